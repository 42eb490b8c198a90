/* Constant folding on the neutral graph, between an importer and lowering.
 *
 * Exporters write arithmetic on shapes and constants into their files. Folding evaluates what does not
 * depend on the input, so that lowering sees layers only:
 * - nodes whose inputs are all constant become constants (Shape, Gather, Unsqueeze, Squeeze, Concat, Slice,
 *   Cast, Transpose, Reshape, Flatten, ConstantOfShape, Identity, Dropout, Add, Sub, Mul, Div and what else
 *   shape arithmetic uses: Expand, Where, Equal, Range, ReduceProd, Min, Max, Sqrt, ...);
 * - the shapes of activations are inferred as far as the operators are known, and set on the tensors; the
 *   batch is carried as a symbol, whether the file fixes it or not. A chain such as
 *   Shape -> Gather -> Unsqueeze -> Concat -> Reshape that only passes the batch on becomes a Reshape by a
 *   constant that keeps it (0);
 * - inputs that newer operator sets have in place of attributes become attributes again, where they are
 *   constant: Clip (has_min, has_max), Pad (n_pads, pads of all dimensions, pad_value), Squeeze, Unsqueeze
 *   and ReduceMean (has_axes), Slice (has_slice, has_axes, with steps of 1), Dropout (training). Then the
 *   node has one input. A Conv's kernel is taken from its weights where the file does not state it;
 * - spellings of the same thing become one: Min and Max with one number Clip, Neg a Mul, Selu an Elu and a
 *   Mul, Celu with alpha 1 an Elu, CastLike and a Slice that takes all an Identity.
 * Nodes that the output no longer needs and constants that no node reads are dropped.
 *
 * Not secret to the model's owner; variable time. Source: the ONNX operator specifications.
 */
#ifndef CSL_NN_FOLD_H
#define CSL_NN_FOLD_H

#include "nn/graph.h"

/* Folds a finished graph in place and finishes it again; twice is as good as once. What cannot be folded
 * stays as it is, for lowering to refuse by name. CSL_EDATA with a diag: constants that overflow to infinity,
 * or more than 4 Mi + 8 times the graph's own constants in elements. After an error the graph may only be
 * freed.
 */
CSL_MUST_CHECK enum csl_err csl_graph_fold(struct csl_graph *graph, struct csl_diag *diag);

#endif
