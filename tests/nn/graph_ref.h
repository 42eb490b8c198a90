/* What a graph means: an evaluator of the neutral graph written from the ONNX operator specification, on
 * whole tensors with their logical shapes. It shares no code with lowering. */
#ifndef CSL_TESTS_NN_GRAPH_REF_H
#define CSL_TESTS_NN_GRAPH_REF_H

#include "nn/graph.h"

/* Evaluates the finished graph on x (as the input's dims, an unknown batch being `batch`). *y is allocated,
 * *n elements. False: an operator's inputs do not fit it, or memory is short. */
bool graph_ref(const struct csl_graph *g, const float *x, int64_t batch, double **y, size_t *n);

#endif
