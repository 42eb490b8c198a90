/* Shared inside the Keras front end: what crosses the pipe, and how layers become nodes. */
#ifndef CSL_NN_KERAS_INTERNAL_H
#define CSL_NN_KERAS_INTERNAL_H

#include <jansson.h>

#include "nn/keras/keras.h"

/* ---- The child's records ----
 *
 * type (1 byte), bytes of the name with its NUL (u32), bytes of the payload (u64), name, payload. Host byte
 * order: both ends are one program. Names are paths from the root of the weights, "dense_1/dense_1/kernel:0";
 * attributes stand behind '@', "dense_1@weight_names". */
enum csl__keras_record {
    CSL_KR_CONFIG = 'C',  /* payload: the text of the configuration */
    CSL_KR_VERSION = 'V', /* the text of keras_version */
    CSL_KR_TEXT = 'T',    /* a text attribute */
    CSL_KR_LIST = 'L',    /* an attribute of texts, each with its NUL */
    CSL_KR_ARRAY = 'D',   /* rank (u32), dimensions (i64 each), float32 data */
    CSL_KR_ERROR = 'E',   /* a sentence; nothing follows */
    CSL_KR_END = 'Z'      /* all was sent */
};

enum {
    CSL_KR_HEADER = 13,
    CSL_KR_MAX_NAME = 2048,
    CSL_KR_MAX_RECORDS = 1 << 16,
    CSL_KR_MAX_TEXT = 8 << 20 /* bytes of a configuration or list */
};

/* What the child may send for a file of n bytes: compressed and shared storage make more of it, but not
 * without end. */
size_t csl__keras_budget(size_t n);

/* Where the child writes; `left` is what remains of the budget. */
struct csl__keras_sink {
    int fd;
    size_t left, n_records;
};

/* False when the reader has gone or the budget is used up; the child ends then. */
CSL_MUST_CHECK bool csl__keras_send(struct csl__keras_sink *sink, enum csl__keras_record type,
                                    const char *name, const void *payload, size_t n);
/* Sends the sentence as the last record. Returns false, for `return csl__keras_refuse(...)`. */
bool csl__keras_refuse(struct csl__keras_sink *sink, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* In the child: sends everything of an HDF5 image, or of the archive. False after an error was sent. */
CSL_MUST_CHECK bool csl__keras_read_h5(struct csl__keras_sink *sink, const uint8_t *bytes, size_t n);
CSL_MUST_CHECK bool csl__keras_read_zip(struct csl__keras_sink *sink, const uint8_t *bytes, size_t n,
                                        size_t max_entry);

/* Runs the child on bytes[0..n) and collects what it sends. *out is the caller's (csl_wipe, free). */
CSL_MUST_CHECK enum csl_err csl__keras_child(uint8_t **out, size_t *n_out, const uint8_t *bytes, size_t n,
                                             enum csl_keras_kind kind, struct csl_diag *diag);
/* In the child: limits, closed files, default signals; keeps fd, which becomes the return value. */
int csl__keras_confine(int fd, size_t n_bytes);

/* ---- What was received ---- */

struct csl__keras_entry {
    enum csl__keras_record type;
    const char *name;
    const uint8_t *data;
    size_t n;
};

/* Views into the received bytes, sorted by type and name. */
struct csl__keras_store {
    struct csl__keras_entry *entries;
    size_t n;
};

struct csl__keras_array {
    const char *name;
    unsigned rank;
    int64_t dims[CSL_MAX_RANK];
    size_t n;            /* elements */
    const uint8_t *data; /* float32, unaligned */
};

/* Checks all of the records; the store is cleared by the caller also after an error. */
CSL_MUST_CHECK enum csl_err csl__keras_store_parse(struct csl__keras_store *store, const uint8_t *bytes,
                                                   size_t n, struct csl_diag *diag);
void csl__keras_store_clear(struct csl__keras_store *store);
const struct csl__keras_entry *csl__keras_find(const struct csl__keras_store *store,
                                               enum csl__keras_record type, const char *name);
/* False when there is no such array. */
bool csl__keras_array(struct csl__keras_array *array, const struct csl__keras_store *store, const char *name);
float csl__keras_at(const struct csl__keras_array *array, size_t i);

/* The entry point behind the pipe, also for the fuzzer: received bytes to a graph. */
CSL_MUST_CHECK enum csl_err csl__keras_build(struct csl_graph **graph, struct csl_issues *issues,
                                             const uint8_t *bytes, size_t n, struct csl_diag *diag);

/* ---- Layers to nodes ---- */

enum {
    CSL_KERAS_MAX_LAYERS = 4096, /* in one model */
    CSL_KERAS_MAX_INPUTS = 64,   /* of one layer */
    CSL_KERAS_MAX_DEPTH = 8,     /* of models in models */
    CSL_KERAS_MAX_CALLS = 64     /* of one shared layer */
};

struct csl__keras_context {
    struct csl_graph *graph;
    struct csl_issues *issues;
    const struct csl__keras_store *store;
    int major;     /* of the version of Keras that wrote the file */
    uint8_t *rank; /* of each tensor, with the batch; 0: unknown */
    size_t n_rank;
    size_t n_layers;
    struct csl_diag *diag;
};

/* A model, or a model in a model. */
struct csl__keras_scope {
    const struct csl__keras_scope *parent;
    const json_t *layers;  /* the array of the configuration */
    const char *prefix;    /* of names in the graph: "" or "inner/" */
    const char *container; /* Keras 3: path of the group "layers"; NULL: the file has groups by name */
    const char *top;       /* the outermost model's layer that holds all of this; NULL at the top */
    unsigned depth;
};

struct csl__keras_layer {
    struct csl__keras_context *c;
    const struct csl__keras_scope *scope;
    size_t index;       /* in scope->layers */
    const char *type;   /* class_name */
    const char *own;    /* its name in the file */
    char name[256];     /* with the prefix */
    char out_name[272]; /* of its output: the name, and ":call" for a shared layer */
    const json_t *config;
    const uint32_t *in;
    unsigned n_in;
    uint32_t out; /* set by the last node emitted; CSL_NO_TENSOR: the layer does nothing */
};

/* Text of a JSON string, or "". */
const char *csl__keras_text(const json_t *value);
/* A number, also one that older versions wrapped in an object; false when there is none. */
bool csl__keras_number(double *out, const json_t *value);
/* config[key] as a number, or the default where it is absent or null. CSL_EDATA for another type. */
CSL_MUST_CHECK enum csl_err csl__keras_get_number(const struct csl__keras_layer *l, double *out,
                                                  const char *key, double absent);
/* config[key] as 1 or 2 whole numbers from lo to CSL_GRAPH_MAX_DIM; absent or null: *found is false. */
CSL_MUST_CHECK enum csl_err csl__keras_get_pair(const struct csl__keras_layer *l, int64_t pair[2],
                                                bool *found, const char *key, int64_t lo);
bool csl__keras_get_bool(const struct csl__keras_layer *l, const char *key, bool absent);
/* Whether data_format (or, without one, the default) is channels_last. */
bool csl__keras_channels_last(const struct csl__keras_layer *l);
CSL_MUST_CHECK enum csl_err csl__keras_fail(const struct csl__keras_layer *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

unsigned csl__keras_rank(const struct csl__keras_context *c, uint32_t tensor);
CSL_MUST_CHECK enum csl_err csl__keras_set_rank(struct csl__keras_context *c, uint32_t tensor, unsigned rank);

/* Appends a node that reads the inputs and writes a new tensor, l->out. suffix "": the layer's main node. */
CSL_MUST_CHECK enum csl_err csl__keras_emit(struct csl__keras_layer *l, enum csl_op op, const char *suffix,
                                            const uint32_t *inputs, unsigned n_inputs,
                                            const struct csl_attributes *attr, unsigned rank);
/* A constant "layer/suffix" with zeroed data; *fresh is false when an earlier call of the layer filled it. */
CSL_MUST_CHECK enum csl_err csl__keras_constant(struct csl__keras_layer *l, uint32_t *tensor, bool *fresh,
                                                const char *suffix, enum csl_dtype type, unsigned rank,
                                                const int64_t *dims);
CSL_MUST_CHECK enum csl_err csl__keras_scalar(struct csl__keras_layer *l, uint32_t *tensor,
                                              const char *suffix, float value);

/* Notes that the layer cannot be run and puts an unknown node in its place. */
CSL_MUST_CHECK enum csl_err csl__keras_unsupported(struct csl__keras_layer *l, const char *hint,
                                                   const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The activation of `value` (a name, a serialised function or layer; null is linear) on tensor x. */
CSL_MUST_CHECK enum csl_err csl__keras_activation(struct csl__keras_layer *l, const json_t *value,
                                                  uint32_t x);

/* The layer's weights in the order of roles ("kernel", "bias"); CSL_EDATA when one is missing. */
CSL_MUST_CHECK enum csl_err csl__keras_weights(const struct csl__keras_layer *l,
                                               struct csl__keras_array *arrays, const char *const *roles,
                                               size_t n_roles);
/* Checks a weight's shape; -1 is any size. */
CSL_MUST_CHECK enum csl_err csl__keras_expect(const struct csl__keras_layer *l,
                                              const struct csl__keras_array *array, const char *role,
                                              unsigned rank, const int64_t *dims);
/* The constant of a vector weight, as it stands. */
CSL_MUST_CHECK enum csl_err csl__keras_copy(struct csl__keras_layer *l, uint32_t *tensor,
                                            const struct csl__keras_array *array, const char *role);

/* One layer by its class. */
CSL_MUST_CHECK enum csl_err csl__keras_layer(struct csl__keras_layer *l);
CSL_MUST_CHECK enum csl_err csl__keras_conv2d(struct csl__keras_layer *l);
CSL_MUST_CHECK enum csl_err csl__keras_depthwise(struct csl__keras_layer *l);
CSL_MUST_CHECK enum csl_err csl__keras_separable(struct csl__keras_layer *l);
CSL_MUST_CHECK enum csl_err csl__keras_max_pool(struct csl__keras_layer *l);
CSL_MUST_CHECK enum csl_err csl__keras_average_pool(struct csl__keras_layer *l);
CSL_MUST_CHECK enum csl_err csl__keras_batch_normalisation(struct csl__keras_layer *l);
CSL_MUST_CHECK enum csl_err csl__keras_rescaling(struct csl__keras_layer *l);

/* A model's layers: from tensor `input` (CSL_NO_TENSOR at the top: made here) to *output. */
CSL_MUST_CHECK enum csl_err csl__keras_model(struct csl__keras_context *c, const json_t *model,
                                             const struct csl__keras_scope *parent, const char *prefix,
                                             const char *container, const char *top, uint32_t input,
                                             uint32_t *output);
/* Snake case of a class name, as in the paths of Keras 3: MaxPooling2D is max_pooling2d. */
void csl__keras_snake(char *out, size_t size, const char *type);
/* Keras 3's path of a layer that is a model, for its container. */
void csl__keras_path(char *out, size_t size, const struct csl__keras_layer *l);

#endif
