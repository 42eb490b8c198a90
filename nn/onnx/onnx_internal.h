/* Shared inside the ONNX front end. */
#ifndef CSL_NN_ONNX_INTERNAL_H
#define CSL_NN_ONNX_INTERNAL_H

#include "nn/onnx/onnx.h"
#include "onnx.pb-c.h"

/* Checks a TensorProto against its declared shape and type and makes it the constant `tensor` of the graph.
 */
CSL_MUST_CHECK enum csl_err csl__onnx_constant(struct csl_graph *graph, uint32_t tensor,
                                               const Csl__Onnx__Tensor *proto, struct csl_diag *diag);

/* Adds one NodeProto: a constant, a node, or an unknown node with an issue. number counts nodes from 1. */
CSL_MUST_CHECK enum csl_err csl__onnx_node(struct csl_graph *graph, struct csl_issues *issues,
                                           const Csl__Onnx__Node *proto, size_t number,
                                           struct csl_diag *diag);

#endif
