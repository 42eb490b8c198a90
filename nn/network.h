/* A network in a few canonical operations, in float: what lowering makes of an importer's graph, and what the
 * plan compiler reads. Acyclic; nodes in topological order; every value is the output of one node, value 0 is
 * the input. One inference; values are height x width x channels, channels innermost (HWC); vectors are 1 x 1
 * x n.
 *
 * Lowering has already: folded constants, BatchNormalization, Mul/Add/Sub/Div by constants into neighbouring
 * weights (or made them a 1x1 depthwise convolution), resolved auto_pad, turned Flatten/Reshape/Transpose
 * into permutations of the next weights' rows, put a ReLU that stands before a MaxPool behind it (they
 * commute), fused bias adds, and dropped Identity/Dropout/Cast. The head (final Softmax, LogSoftmax) is left
 * to the client.
 */
#ifndef CSL_NN_NETWORK_H
#define CSL_NN_NETWORK_H

#include "mpc/conv.h"
#include "nn/graph.h"

enum {
    CSL_NETWORK_MAX_NODES = 240,
    CSL_NETWORK_MAX_INPUTS = 8, /* of an Add or Concat */
    CSL_NETWORK_NAME_BYTES = 64
};

enum csl_op_kind {
    CSL_OPK_CONV,     /* dense too: weights and bias */
    CSL_OPK_ACTIVATE, /* an elementwise function, enum csl_function */
    CSL_OPK_MAXPOOL,
    CSL_OPK_AVGPOOL,
    CSL_OPK_ADD,    /* of n_in values of one shape */
    CSL_OPK_CONCAT, /* along the channels */
    CSL_OPK_PAD,    /* constant zero, by pad_top/left and the output's size */
    CSL_OPK_COUNT
};

/* X(enumerator, name, uses a, uses b) */
#define CSL_FUNCTION_LIST(X)                                                                                 \
    X(CSL_FN_RELU, "Relu")                                                                                   \
    X(CSL_FN_CLIP, "Clip")            /* a = lo, b = hi; ReLU6 is Clip(0, 6) */                              \
    X(CSL_FN_LEAKY_RELU, "LeakyRelu") /* a = slope below 0 */                                                \
    X(CSL_FN_ELU, "Elu")              /* a = alpha */                                                        \
    X(CSL_FN_SIGMOID, "Sigmoid")                                                                             \
    X(CSL_FN_TANH, "Tanh")                                                                                   \
    X(CSL_FN_HARD_SIGMOID, "HardSigmoid") /* max(0, min(1, a x + b)) */
enum csl_function {
#define CSL_FUNCTION_ENUM(e, name) e,
    CSL_FUNCTION_LIST(CSL_FUNCTION_ENUM)
#undef CSL_FUNCTION_ENUM
        CSL_FN_COUNT
};
const char *csl_function_name(enum csl_function f);

struct csl_hwc {
    uint32_t h, w, c;
};

struct csl_op_node {
    char name[CSL_NETWORK_NAME_BYTES]; /* of the graph's node, for messages */
    enum csl_op_kind kind;
    uint32_t n_in;
    uint32_t in[CSL_NETWORK_MAX_INPUTS]; /* values: 0 is the input, i+1 the output of node i */
    struct csl_hwc out;
    /* CONV, and the windows of MAXPOOL, AVGPOOL (groups = channels) and PAD (kernel 1) */
    struct csl_conv_shape shape;
    float *w;               /* CONV: kernel_h x kernel_w x in_c/groups x out_c */
    float *b;               /* CONV: out_c; never NULL */
    bool count_include_pad; /* AVGPOOL */
    /* ACTIVATE */
    enum csl_function fn;
    float a, b_param;
};

enum csl_head { CSL_HEAD_LOGITS, CSL_HEAD_SOFTMAX, CSL_HEAD_LOGSOFTMAX, CSL_HEAD_COUNT };

struct csl_network {
    char name[CSL_NETWORK_NAME_BYTES];
    uint32_t input_rank;                /* as users see it, without the batch */
    uint32_t input_shape[CSL_MAX_RANK]; /* e.g. 1,28,28 (channels first), 784, or 28,28,1 */
    bool input_channels_last;           /* of input_shape, when its rank is 3 */
    struct csl_hwc input;
    uint32_t n_nodes;
    struct csl_op_node nodes[CSL_NETWORK_MAX_NODES];
    uint32_t output; /* value */
    enum csl_head head;
};

/* Lowers a finished graph. Nodes that cannot be evaluated are appended to issues, all of them, each with
 * reason and hint; with any issue (also of the importer) the result is CSL_EDATA. *net is freed with
 * csl_network_free. */
CSL_MUST_CHECK enum csl_err csl_network_lower(struct csl_network **net, struct csl_issues *issues,
                                              const struct csl_graph *graph, struct csl_diag *diag);
void csl_network_free(struct csl_network *net); /* wipes the weights; NULL is fine */

/* The float reference: x is batch inputs in the order of input_shape, y the outputs in the graph's order
 * (the head is not applied). Double precision over float32 weights. */
CSL_MUST_CHECK enum csl_err csl_network_eval(const struct csl_network *net, double *y, const float *x,
                                             uint32_t batch);

/* The same; watch sees every value (0 is the input) of every inference, in HWC, as it is made. */
typedef void csl_value_fn(void *ctx, uint32_t value, const double *v, size_t n);
CSL_MUST_CHECK enum csl_err csl_network_watch(const struct csl_network *net, double *y, const float *x,
                                              uint32_t batch, csl_value_fn *watch, void *ctx);

#endif
