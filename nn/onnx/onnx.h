/* The ONNX front end: file bytes to the neutral graph, with its constants folded (nn/fold.h).
 *
 * Opset 7 to 21: the operators of nn/graph.h, those that folding evaluates or rewrites, Constant in all its
 * forms of numbers, and the model's own functions (FunctionProto), whose nodes take the place of each call.
 * Initialisers may also be listed as inputs; tensor data raw, typed or in a file beside the model (only for
 * csl_onnx_import_file; see below); float, double, float16 and bfloat16 (converted to float32), integers and
 * bool (to int64); nodes in any order. Every other operator that the output needs is noted in `issues` and
 * becomes a CSL_OP_UNKNOWN node; the import goes on.
 *
 * Bounds: a file of n bytes makes the parser allocate at most 64 MiB + 4n, and folding at most 4 Mi + 8 times
 * the weights in elements; messages cannot nest, because proto/onnx.proto has no recursive field; functions
 * may call functions 16 levels deep, never themselves. Source of the format: the ONNX specification,
 * onnx.proto (IR 3..10).
 */
#ifndef CSL_NN_ONNX_ONNX_H
#define CSL_NN_ONNX_ONNX_H

#include "nn/graph.h"

enum { CSL_ONNX_MIN_OPSET = 7, CSL_ONNX_MAX_OPSET = 21 };

/* Default limit for csl_onnx_import_file. */
#define CSL_ONNX_MAX_FILE_BYTES ((size_t)512 << 20)

/* Parses bytes[0..n) into a new, finished graph (csl_graph_finish has run). CSL_EDATA with a diag that names
 * tensor, node or field: not ONNX, an opset outside the range, external data, a function that calls itself, a
 * tensor whose data does not fit its shape, zero, negative or overflowing dimensions, NaN or Inf weights, a
 * missing initialiser, cycles, no nodes, several inputs or outputs. Unsupported nodes are NOT an error here:
 * the caller looks at issues->n (and csl_plan_compile adds its own). On error *graph is NULL; issues keeps
 * what was found so far. */
CSL_MUST_CHECK enum csl_err csl_onnx_import(struct csl_graph **graph, struct csl_issues *issues,
                                            const uint8_t *bytes, size_t n, struct csl_diag *diag);

/* Reads the file (a regular file of at most max_bytes) and imports it. External data is read from regular
 * files in the model's folder or below, max_bytes in all: no absolute path, no "..", no symbolic link, and
 * offset and length within the file and as the tensor's shape needs. CSL_ENOINPUT, CSL_EDATA as above with
 * the path in front. */
CSL_MUST_CHECK enum csl_err csl_onnx_import_file(struct csl_graph **graph, struct csl_issues *issues,
                                                 const char *path, size_t max_bytes, struct csl_diag *diag);

/* The external files that csl_onnx_import_file reads for this model, as the model names them (relative to its
 * folder), each once; for those who keep a model whole. Errors as there, but for what cannot be run. */
struct csl_onnx_files {
    char **names;
    size_t n;
};
CSL_MUST_CHECK enum csl_err csl_onnx_external_files(struct csl_onnx_files *out, const char *path,
                                                    size_t max_bytes, struct csl_diag *diag);
void csl_onnx_files_clear(struct csl_onnx_files *f); /* may be zero */

#endif
