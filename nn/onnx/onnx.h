/* The ONNX front end: file bytes to the neutral graph.
 *
 * Opset 7 to 21 where dense networks are concerned: Gemm, MatMul, Add, Relu, Flatten, Reshape, Transpose,
 * Identity, Dropout, Softmax, LogSoftmax, Constant. Initialisers may also be listed as inputs; tensor data
 * raw or typed; float, double, float16 and bfloat16 (converted to float32), int32 and int64; nodes in any
 * order. Other operators are noted in `issues` and become CSL_OP_UNKNOWN nodes; the import goes on.
 *
 * Bounds: a file of n bytes makes the parser allocate at most 64 MiB + 4n; messages cannot nest, because
 * proto/onnx.proto has no recursive field. Source of the format: the ONNX specification, onnx.proto
 * (IR 3..10).
 */
#ifndef CSL_NN_ONNX_ONNX_H
#define CSL_NN_ONNX_ONNX_H

#include "nn/graph.h"

enum { CSL_ONNX_MIN_OPSET = 7, CSL_ONNX_MAX_OPSET = 21 };

/* Default limit for csl_onnx_import_file. */
#define CSL_ONNX_MAX_FILE_BYTES ((size_t)512 << 20)

/* Parses bytes[0..n) into a new, finished graph (csl_graph_finish has run). CSL_EDATA with a diag that names
 * tensor, node or field: not ONNX, an opset outside the range, external data, a tensor whose data does not
 * fit its shape, zero, negative or overflowing dimensions, NaN or Inf weights, a missing initialiser, cycles,
 * no nodes, several inputs or outputs. Unsupported nodes are NOT an error here: the caller looks at issues->n
 * (and csl_plan_compile adds its own). On error *graph is NULL; issues keeps what was found so far. */
CSL_MUST_CHECK enum csl_err csl_onnx_import(struct csl_graph **graph, struct csl_issues *issues,
                                            const uint8_t *bytes, size_t n, struct csl_diag *diag);

/* Reads the file (a regular file of at most max_bytes) and imports it. CSL_ENOINPUT, CSL_EDATA as above with
 * the path in front. */
CSL_MUST_CHECK enum csl_err csl_onnx_import_file(struct csl_graph **graph, struct csl_issues *issues,
                                                 const char *path, size_t max_bytes, struct csl_diag *diag);

#endif
