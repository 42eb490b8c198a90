/* The Keras front end: model files of Keras 2.2 to 3.x to the neutral graph.
 *
 * Read are HDF5 files (`model.save("m.h5")`: the attribute model_config and the group model_weights) and
 * `.keras` archives (a zip with config.json, metadata.json and model.weights.h5). Sequential and functional
 * models, also nested ones, with one input and one output, of: InputLayer, Dense, Conv2D, DepthwiseConv2D,
 * SeparableConv2D, MaxPooling2D, AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, Flatten,
 * Reshape, Permute, ZeroPadding2D, BatchNormalization, Rescaling, Add, Subtract, Average, Concatenate,
 * Activation, ReLU, LeakyReLU, ELU, Softmax, Dropout and other layers that do nothing outside training. What
 * else a file holds is noted in `issues`, every layer with its name, class, reason and a hint, and becomes a
 * CSL_OP_UNKNOWN node. A file with weights only is refused with the names of its layers and what to save
 * instead.
 *
 * The graph: tensors stand as in the file, by default channels last (NHWC); Conv, pools, BatchNormalization
 * and Pad say so by attr.channels_last. Weights of convolutions are transposed here to the form of ONNX,
 * out x in/group x height x width, in either layout; dense weights are in x out (Gemm without transB). A
 * layer gives a node of its name, and "name/Relu" and the like for what is fused into it.
 *
 * Hostile files: HDF5 crashes on some, so that zip and HDF5 are parsed in a child process, with limits on
 * memory, CPU time and files (none can be opened), which sends configuration and weights over a pipe; its
 * death, silence or nonsense is CSL_EDATA. The child is forked, not executed: an embedding program needs no
 * helper binary. The child calls nothing that takes a lock but malloc, which the C library keeps usable after
 * fork, and HDF5 and libzip, which are used in such children alone, so that no other thread can hold their
 * locks. It holds a copy of the caller's memory: import before keys are loaded. Programs that reap all
 * children (waitpid(-1)) are fine as well.
 *
 * Bounds: a file of n bytes makes child and parent allocate at most about 192 MiB + 32 n each, whatever it
 * claims. Not constant-time: the model's owner reads its own file.
 *
 * Sources: keras/src/legacy/saving/legacy_h5_format.py and keras/src/saving/saving_lib.py (Keras 3),
 * keras/engine/saving.py (Keras 2).
 */
#ifndef CSL_NN_KERAS_KERAS_H
#define CSL_NN_KERAS_KERAS_H

#include "nn/graph.h"

/* Default limit for csl_keras_import_file. */
#define CSL_KERAS_MAX_FILE_BYTES ((size_t)512 << 20)

enum csl_keras_kind {
    CSL_KERAS_NOT, /* 0: something else, e.g. ONNX */
    CSL_KERAS_HDF5,
    CSL_KERAS_ZIP
};

/* Whether the library was built with HDF5 and libzip. csl_keras_detect works in either case. */
bool csl_keras_available(void);

/* What the first bytes say: the signature of HDF5 (also behind a user block of 512, 1024, ... bytes) or of a
 * zip archive. */
enum csl_keras_kind csl_keras_detect_bytes(const uint8_t *bytes, size_t n);

/* The same for a file, of which at most 4 KiB are read; what cannot be read is CSL_KERAS_NOT. */
enum csl_keras_kind csl_keras_detect(const char *path);

/* Parses bytes[0..n) into a new, finished graph (csl_graph_finish has run). CSL_EDATA with a diag that names
 * layer or part: not a Keras model, weights only, damaged, a weight that is missing or has another shape than
 * its layer says, NaN or Inf weights, several inputs or outputs, cycles. CSL_EUNAVAILABLE: built without
 * HDF5 or libzip. Unsupported layers are NOT an error here: the caller looks at issues->n. On error *graph
 * is NULL; issues keeps what was found so far. */
CSL_MUST_CHECK enum csl_err csl_keras_import(struct csl_graph **graph, struct csl_issues *issues,
                                             const uint8_t *bytes, size_t n, struct csl_diag *diag);

/* Reads the file (a regular file of at most max_bytes) and imports it. CSL_ENOINPUT, and as above with the
 * path in front. */
CSL_MUST_CHECK enum csl_err csl_keras_import_file(struct csl_graph **graph, struct csl_issues *issues,
                                                  const char *path, size_t max_bytes, struct csl_diag *diag);

#endif
