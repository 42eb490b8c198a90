/* The neutral graph: what every importer builds and what the plan compiler reads.
 *
 * Tensors are named and have a shape where it is known; dimension 0 of the network's input and
 * output is the batch. Constants carry float32 or int64 data. Nodes refer to tensors by index; an
 * absent optional input is CSL_NO_TENSOR. All memory belongs to the graph. Sizes are bounded here
 * (CSL_GRAPH_MAX_*), so that no importer has to be trusted with them.
 *
 * A node that cannot be evaluated is never the end of an import: it is noted in csl_issues with its
 * name, operator, reason and a hint, and the next one is looked at, so that a user sees all of them.
 * Nothing here is secret to the model's owner; parties and clients never hold a graph.
 */
#ifndef CSL_NN_GRAPH_H
#define CSL_NN_GRAPH_H

#include "crypto/err.h"

#define CSL_NO_TENSOR UINT32_MAX
#define CSL_NO_NODE UINT32_MAX
#define CSL_DIM_UNKNOWN ((int64_t)-1) /* symbolic, or not stated */

enum {
    CSL_MAX_RANK = 8,
    CSL_GRAPH_MAX_NODES = 1 << 16,
    CSL_GRAPH_MAX_TENSORS = 1 << 17,
    CSL_GRAPH_MAX_NAME = 512,         /* bytes of a name; longer ones are refused */
    CSL_GRAPH_MAX_ELEMENTS = 1 << 28, /* of one constant */
    CSL_GRAPH_MAX_DIM = 1 << 28,
    CSL_MAX_ISSUES = 1024
};

/* X(enumerator, ONNX name). Every importer speaks in these; what it cannot express becomes CSL_OP_UNKNOWN. */
#define CSL_OP_LIST(X)                                                                                       \
    X(CSL_OP_UNKNOWN, "")                                                                                    \
    X(CSL_OP_GEMM, "Gemm")                                                                                   \
    X(CSL_OP_MATMUL, "MatMul")                                                                               \
    X(CSL_OP_CONV, "Conv")                                                                                   \
    X(CSL_OP_ADD, "Add")                                                                                     \
    X(CSL_OP_SUB, "Sub")                                                                                     \
    X(CSL_OP_MUL, "Mul")                                                                                     \
    X(CSL_OP_DIV, "Div")                                                                                     \
    X(CSL_OP_SUM, "Sum")                                                                                     \
    X(CSL_OP_RELU, "Relu")                                                                                   \
    X(CSL_OP_CLIP, "Clip")                                                                                   \
    X(CSL_OP_LEAKY_RELU, "LeakyRelu")                                                                        \
    X(CSL_OP_PRELU, "PRelu")                                                                                 \
    X(CSL_OP_ELU, "Elu")                                                                                     \
    X(CSL_OP_SIGMOID, "Sigmoid")                                                                             \
    X(CSL_OP_HARD_SIGMOID, "HardSigmoid")                                                                    \
    X(CSL_OP_TANH, "Tanh")                                                                                   \
    X(CSL_OP_MAX_POOL, "MaxPool")                                                                            \
    X(CSL_OP_AVERAGE_POOL, "AveragePool")                                                                    \
    X(CSL_OP_GLOBAL_AVERAGE_POOL, "GlobalAveragePool")                                                       \
    X(CSL_OP_GLOBAL_MAX_POOL, "GlobalMaxPool")                                                               \
    X(CSL_OP_REDUCE_MEAN, "ReduceMean")                                                                      \
    X(CSL_OP_BATCH_NORMALIZATION, "BatchNormalization")                                                      \
    X(CSL_OP_CONCAT, "Concat")                                                                               \
    X(CSL_OP_PAD, "Pad")                                                                                     \
    X(CSL_OP_FLATTEN, "Flatten")                                                                             \
    X(CSL_OP_RESHAPE, "Reshape")                                                                             \
    X(CSL_OP_TRANSPOSE, "Transpose")                                                                         \
    X(CSL_OP_SQUEEZE, "Squeeze")                                                                             \
    X(CSL_OP_UNSQUEEZE, "Unsqueeze")                                                                         \
    X(CSL_OP_SHAPE, "Shape")                                                                                 \
    X(CSL_OP_GATHER, "Gather")                                                                               \
    X(CSL_OP_SLICE, "Slice")                                                                                 \
    X(CSL_OP_CAST, "Cast")                                                                                   \
    X(CSL_OP_CONSTANT_OF_SHAPE, "ConstantOfShape")                                                           \
    X(CSL_OP_IDENTITY, "Identity")                                                                           \
    X(CSL_OP_DROPOUT, "Dropout")                                                                             \
    X(CSL_OP_SOFTMAX, "Softmax")                                                                             \
    X(CSL_OP_LOGSOFTMAX, "LogSoftmax")

enum csl_op {
#define CSL_OP_ENUM(name, text) name,
    CSL_OP_LIST(CSL_OP_ENUM)
#undef CSL_OP_ENUM
        CSL_OP_COUNT
};

enum csl_dtype { CSL_DTYPE_NONE, CSL_DTYPE_F32, CSL_DTYPE_I64 };

struct csl_tensor {
    char *name;
    bool has_shape;
    unsigned rank;
    int64_t dims[CSL_MAX_RANK]; /* > 0, or CSL_DIM_UNKNOWN */
    enum csl_dtype dtype;       /* of a constant; CSL_DTYPE_NONE: not a constant */
    size_t n_elements;          /* of a constant; row-major data in one of: */
    float *f32;
    int64_t *i64;
    uint32_t producer; /* node, or CSL_NO_NODE; set by csl_graph_finish */
};

enum csl_auto_pad { CSL_PAD_NOTSET, CSL_PAD_SAME_UPPER, CSL_PAD_SAME_LOWER, CSL_PAD_VALID };

/* The operators' attributes, with ONNX's defaults already in place. Where newer operator sets moved an
 * attribute to an input (Clip, Pad, Slice, Squeeze, Unsqueeze, ReduceMean), has_... says that it came as an
 * attribute. */
struct csl_attributes {
    float alpha, beta;     /* Gemm, LeakyRelu, Elu, HardSigmoid */
    bool trans_a, trans_b; /* Gemm */
    bool allow_zero;       /* Reshape: 0 means zero, not "as before" */
    bool has_axis;         /* Softmax, LogSoftmax, Flatten, Concat, Gather */
    int64_t axis;
    unsigned n_perm; /* Transpose; 0: reversed */
    int64_t perm[CSL_MAX_RANK];
    /* Conv, MaxPool, AveragePool: two spatial dimensions */
    unsigned
        n_spatial; /* of kernel_shape, strides, dilations as given; 0: not given (Conv: from the weights) */
    int64_t kernel[2], strides[2], dilations[2];
    unsigned
        n_pads; /* Pad: all dimensions, begin then end; else 4: top, left, bottom, right; 0: none given */
    int64_t pads[2 * CSL_MAX_RANK];
    enum csl_auto_pad auto_pad;
    int64_t group;
    bool ceil_mode, count_include_pad;
    float epsilon;         /* BatchNormalization */
    bool training;         /* BatchNormalization, Dropout in training mode: refused */
    bool channels_last;    /* Conv, pools, BatchNormalization, Pad of importers whose files stand in NHWC
                              (Keras); ONNX: false */
    bool has_min, has_max; /* Clip */
    float min, max;
    enum { CSL_PADMODE_CONSTANT, CSL_PADMODE_OTHER } pad_mode;
    float pad_value;
    bool has_axes; /* Squeeze, Unsqueeze, ReduceMean, Slice */
    unsigned n_axes;
    int64_t axes[CSL_MAX_RANK];
    bool keepdims;
    bool has_slice; /* Slice: starts, ends as attributes */
    int64_t starts[CSL_MAX_RANK], ends[CSL_MAX_RANK];
    int cast_to; /* ONNX TensorProto.DataType */
    float fill;  /* ConstantOfShape */
    bool fill_is_int;
};

struct csl_node {
    enum csl_op op;
    char *name;    /* never NULL; importers invent "Gemm #3" where the file has none */
    char *op_name; /* as the file has it, with its domain */
    unsigned n_inputs, n_outputs;
    uint32_t *inputs;
    uint32_t *outputs;
    struct csl_attributes attr;
};

struct csl_graph {
    char *name;
    struct csl_tensor *tensors;
    size_t n_tensors, cap_tensors;
    struct csl_node *nodes; /* after csl_graph_finish: in topological order, only those the output needs */
    size_t n_nodes, cap_nodes;
    uint32_t input, output; /* tensors; CSL_NO_TENSOR until set */
    uint32_t *index;        /* name lookup, open addressing */
    size_t n_index;
};

/* One thing in the network that cannot be evaluated. */
struct csl_issue {
    char node[128];
    char op[64];
    char reason[256];
    char hint[256];
};

/* Grows up to CSL_MAX_ISSUES; more are only counted. Start from {0}. */
struct csl_issues {
    struct csl_issue *at;
    size_t n, cap;
    size_t n_more;
};

/* Appends "reason (printf)" about a node, with a hint that says what to change. CSL_ENOMEM or CSL_OK. */
CSL_MUST_CHECK enum csl_err csl_issues_add(struct csl_issues *issues, const char *node, const char *op,
                                           const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void csl_issues_clear(struct csl_issues *issues);

/* All issues in one sentence for a diag, shortened to fit: "2 nodes cannot be run: ...". Returns CSL_EDATA.
 */
enum csl_err csl_issues_fail(const struct csl_issues *issues, struct csl_diag *diag);

const char *csl_op_text(enum csl_op op);

/* Makes text from outside fit for terminals and JSON: control characters and what is not UTF-8 (also a
 * character that was cut at the end) become '?'. */
void csl_text_clean(char *text);

CSL_MUST_CHECK enum csl_err csl_graph_new(struct csl_graph **graph, const char *name);
void csl_graph_free(struct csl_graph *graph); /* NULL is fine */

/* Finds the tensor of that name or adds it without a shape. Control characters in names become '?'. */
CSL_MUST_CHECK enum csl_err csl_graph_tensor(struct csl_graph *graph, uint32_t *tensor, const char *name,
                                             struct csl_diag *diag);

/* The tensor of that name, or CSL_NO_TENSOR. */
uint32_t csl_graph_find(const struct csl_graph *graph, const char *name);

/* Sets a shape; a dimension is > 0 or CSL_DIM_UNKNOWN. CSL_EDATA names tensor and dimension. */
CSL_MUST_CHECK enum csl_err csl_graph_set_shape(struct csl_graph *graph, uint32_t tensor, unsigned rank,
                                                const int64_t *dims, struct csl_diag *diag);

/* Makes the tensor a constant with zeroed data of dtype, for the caller to fill. Dimensions > 0 only, and a
 * product within CSL_GRAPH_MAX_ELEMENTS. A second constant of the same name is CSL_EDATA. An int64 constant
 * may also have one dimension of 0 elements (an empty shape). */
CSL_MUST_CHECK enum csl_err csl_graph_constant(struct csl_graph *graph, uint32_t tensor, enum csl_dtype dtype,
                                               unsigned rank, const int64_t *dims, struct csl_diag *diag);

/* Every float of the constant must be finite: CSL_EDATA names the tensor and the first bad index. */
CSL_MUST_CHECK enum csl_err csl_graph_check_finite(const struct csl_graph *graph, uint32_t tensor,
                                                   struct csl_diag *diag);

/* Appends a node and copies the names and lists; attr NULL: the defaults. */
CSL_MUST_CHECK enum csl_err csl_graph_node(struct csl_graph *graph, enum csl_op op, const char *name,
                                           const char *op_name, const uint32_t *inputs, unsigned n_inputs,
                                           const uint32_t *outputs, unsigned n_outputs,
                                           const struct csl_attributes *attr, struct csl_diag *diag);
struct csl_attributes csl_attributes_default(void);

/* Checks and orders: input and output are set, every tensor that the output needs has one producer, is a
 * constant or is the input (else CSL_EDATA names node and tensor: a missing initialiser), no cycle; nodes are
 * sorted topologically and those that the output does not need are dropped. */
CSL_MUST_CHECK enum csl_err csl_graph_finish(struct csl_graph *graph, struct csl_diag *diag);

#endif
