/* The neutral graph to the network: one walk over the nodes, which stand in topological order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "nn/lower_internal.h"

struct csl__value *csl__input(const struct csl__lowering *lo, const struct csl_node *node, unsigned i) {
    if (i >= node->n_inputs || node->inputs[i] == CSL_NO_TENSOR) {
        return NULL;
    }
    return &lo->values[node->inputs[i]];
}

struct csl_hwc csl__dim(const struct csl__lowering *lo, uint32_t value) {
    return value == 0 ? lo->net->input : lo->net->nodes[value - 1].out;
}

uint32_t csl__last_value(const struct csl__lowering *lo) {
    return lo->net->n_nodes;
}

enum csl_err csl__spend(struct csl__lowering *lo, const struct csl_node *node, uint64_t n,
                        struct csl_diag *diag) {
    if (n > lo->budget) {
        return csl_fail(diag, CSL_EDATA,
                        "node \"%s\" (%s) would make the network far larger than its file: %llu more numbers",
                        node->name, node->op_name, (unsigned long long)n);
    }
    lo->budget -= n;
    return CSL_OK;
}

void *csl__arena(struct csl__lowering *lo, size_t n, size_t size) {
    if (lo->n_arena == lo->cap_arena) {
        size_t cap = lo->cap_arena == 0 ? 16 : lo->cap_arena * 2;
        void **arena = reallocarray(lo->arena, cap, sizeof *arena);
        if (arena == NULL) {
            return NULL;
        }
        lo->arena = arena;
        lo->cap_arena = cap;
    }
    void *p = csl_secret_alloc(n, size);
    if (p != NULL) {
        lo->arena[lo->n_arena++] = p;
    }
    return p;
}

enum csl_err csl__new_node(struct csl__lowering *lo, struct csl_op_node **op, const struct csl_node *node,
                           enum csl_op_kind kind, uint32_t value, struct csl_hwc out, struct csl_diag *diag) {
    struct csl_network *net = lo->net;
    *op = NULL;
    if (net->n_nodes == CSL_NETWORK_MAX_NODES) {
        return csl_fail(diag, CSL_EDATA, "the network has more than %d layers, at node \"%s\" (%s)",
                        CSL_NETWORK_MAX_NODES, node->name, node->op_name);
    }
    if ((uint64_t)out.h * out.w > CSL__MAX_ELEMENTS || (uint64_t)out.h * out.w * out.c > CSL__MAX_ELEMENTS) {
        return csl_fail(diag, CSL_EDATA, "node \"%s\" (%s): its output has more than %d elements", node->name,
                        node->op_name, CSL__MAX_ELEMENTS);
    }
    *op = &net->nodes[net->n_nodes++];
    **op = (struct csl_op_node){.kind = kind, .n_in = 1, .in = {value}, .out = out};
    snprintf((*op)->name, sizeof(*op)->name, "%s", node->name);
    csl_text_clean((*op)->name);
    return CSL_OK;
}

bool csl__want_input(struct csl__lowering *lo, const struct csl__value *x, struct csl__layout layout) {
    if (x->value != 0 || lo->fixed) {
        return false;
    }
    lo->wanted = layout;
    lo->restart = true;
    return true;
}

static enum csl_err lower_identity(struct csl__lowering *lo, const struct csl_node *node,
                                   struct csl__value *out, struct csl_diag *diag) {
    (void)diag;
    *out = *csl__input(lo, node, 0);
    return CSL_OK;
}

/* Between float types: we have one. Constants of integers stay what they are. */
static enum csl_err lower_cast(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                               struct csl_diag *diag) {
    enum { ONNX_FLOAT = 1, ONNX_FLOAT16 = 10, ONNX_DOUBLE = 11, ONNX_BFLOAT16 = 16 };
    int to = node->attr.cast_to;
    const struct csl__value *x = csl__input(lo, node, 0);
    if (to != ONNX_FLOAT && to != ONNX_FLOAT16 && to != ONNX_DOUBLE && to != ONNX_BFLOAT16 &&
        x->i64 == NULL) {
        return csl__issue(lo, node, "keep activations in float; quantised networks cannot be run",
                          "it makes integers (type %d) of float values", to);
    }
    return lower_identity(lo, node, out, diag);
}

/* The client applies it to the opened logits. */
static enum csl_err lower_softmax(struct csl__lowering *lo, const struct csl_node *node,
                                  struct csl__value *out, struct csl_diag *diag) {
    (void)diag;
    const struct csl__value *x = csl__input(lo, node, 0);
    int64_t axis = node->attr.has_axis ? node->attr.axis : -1;
    axis += axis < 0 ? (int64_t)x->view.rank : 0;
    if (x->kind != CSL__VALUE_ACTIVATION) {
        return csl__issue(lo, node, "remove it", "it works on a constant");
    }
    if (axis < 0 || axis >= (int64_t)x->view.rank || axis == x->view.batch ||
        x->view.dims[axis] != csl__features(&x->view)) {
        return csl__issue(lo, node, "apply it to the classes of [batch, classes]",
                          "its axis %lld does not hold all classes", (long long)axis);
    }
    lo->net->head = node->op == CSL_OP_SOFTMAX ? CSL_HEAD_SOFTMAX : CSL_HEAD_LOGSOFTMAX;
    lo->head_node = (uint32_t)(node - lo->graph->nodes);
    *out = *x;
    out->head = true;
    return CSL_OK;
}

/* By operator; NULL: see not_lowered. */
static csl__lower_fn *const lower_table[CSL_OP_COUNT] = {
    [CSL_OP_GEMM] = csl__lower_gemm,
    [CSL_OP_MATMUL] = csl__lower_matmul,
    [CSL_OP_CONV] = csl__lower_conv,
    [CSL_OP_ADD] = csl__lower_arithmetic,
    [CSL_OP_SUB] = csl__lower_arithmetic,
    [CSL_OP_MUL] = csl__lower_arithmetic,
    [CSL_OP_DIV] = csl__lower_arithmetic,
    [CSL_OP_SUM] = csl__lower_join,
    [CSL_OP_RELU] = csl__lower_activation,
    [CSL_OP_CLIP] = csl__lower_activation,
    [CSL_OP_LEAKY_RELU] = csl__lower_activation,
    [CSL_OP_PRELU] = csl__lower_activation,
    [CSL_OP_ELU] = csl__lower_activation,
    [CSL_OP_SIGMOID] = csl__lower_activation,
    [CSL_OP_HARD_SIGMOID] = csl__lower_activation,
    [CSL_OP_TANH] = csl__lower_activation,
    [CSL_OP_MAX_POOL] = csl__lower_pool,
    [CSL_OP_AVERAGE_POOL] = csl__lower_pool,
    [CSL_OP_GLOBAL_AVERAGE_POOL] = csl__lower_global_pool,
    [CSL_OP_GLOBAL_MAX_POOL] = csl__lower_global_pool,
    [CSL_OP_REDUCE_MEAN] = csl__lower_mean,
    [CSL_OP_BATCH_NORMALIZATION] = csl__lower_batch_norm,
    [CSL_OP_CONCAT] = csl__lower_concat,
    [CSL_OP_PAD] = csl__lower_pad,
    [CSL_OP_FLATTEN] = csl__lower_flatten,
    [CSL_OP_RESHAPE] = csl__lower_reshape,
    [CSL_OP_TRANSPOSE] = csl__lower_transpose,
    [CSL_OP_SQUEEZE] = csl__lower_squeeze,
    [CSL_OP_UNSQUEEZE] = csl__lower_unsqueeze,
    [CSL_OP_CAST] = lower_cast,
    [CSL_OP_IDENTITY] = lower_identity,
    [CSL_OP_DROPOUT] = lower_identity,
    [CSL_OP_SOFTMAX] = lower_softmax,
    [CSL_OP_LOGSOFTMAX] = lower_softmax,
};

/* Importers note what they do not know; what only they should see (Shape, Gather, ...) is folded by then. */
static enum csl_err not_lowered(struct csl__lowering *lo, const struct csl_node *node) {
    if (node->op == CSL_OP_UNKNOWN) {
        for (size_t i = 0; i < lo->issues->n; i++) {
            if (strncmp(lo->issues->at[i].node, node->name, sizeof lo->issues->at[i].node - 1) == 0) {
                return CSL_OK;
            }
        }
        return csl__issue(lo, node, "replace it by operators that can be run", "the operator is not known");
    }
    for (unsigned i = 0; i < node->n_inputs; i++) {
        const struct csl__value *x = csl__input(lo, node, i);
        if (x != NULL && x->kind == CSL__VALUE_NONE) {
            return CSL_OK;
        }
    }
    return csl__issue(lo, node, "export with a fixed input shape and constant folding",
                      "it computes on shapes or picks single elements of what depends on the input");
}

static unsigned min_inputs(enum csl_op op) {
    switch (op) {
    case CSL_OP_GEMM:
    case CSL_OP_MATMUL:
    case CSL_OP_CONV:
    case CSL_OP_ADD:
    case CSL_OP_SUB:
    case CSL_OP_MUL:
    case CSL_OP_DIV:
    case CSL_OP_PRELU:
    case CSL_OP_RESHAPE:
        return 2;
    case CSL_OP_BATCH_NORMALIZATION:
        return 5;
    default:
        return 1;
    }
}

/* Behind the Softmax only what keeps its values may follow. */
static bool keeps_values(enum csl_op op) {
    return op == CSL_OP_IDENTITY || op == CSL_OP_DROPOUT || op == CSL_OP_FLATTEN || op == CSL_OP_RESHAPE ||
           op == CSL_OP_SQUEEZE || op == CSL_OP_UNSQUEEZE || op == CSL_OP_CAST;
}

static enum csl_err softmax_inside(struct csl__lowering *lo, const struct csl_node *user) {
    if (lo->head_reported) {
        return CSL_OK;
    }
    lo->head_reported = true;
    const struct csl_node *head = &lo->graph->nodes[lo->head_node];
    return csl__issue(
        lo, head,
        "make it the last node, where the client applies it in the clear; inside, use a Sigmoid "
        "or a ReLU",
        "it stands inside the network (\"%.80s\" works on its output), and there is no secure "
        "exponential and division",
        user->name);
}

/* Whether the node can be looked at: inputs present, none behind an issue or the Softmax. */
static enum csl_err check_inputs(struct csl__lowering *lo, bool *ok, const struct csl_node *node,
                                 struct csl_diag *diag) {
    *ok = false;
    for (unsigned i = 0; i < min_inputs(node->op); i++) {
        if (csl__input(lo, node, i) == NULL) {
            return csl_fail(diag, CSL_EDATA, "node \"%s\" (%s) lacks its input %u", node->name, node->op_name,
                            i);
        }
    }
    for (unsigned i = 0; i < node->n_inputs; i++) {
        const struct csl__value *x = csl__input(lo, node, i);
        if (x != NULL && x->head && !keeps_values(node->op)) {
            return softmax_inside(lo, node);
        }
        if (x != NULL && x->kind == CSL__VALUE_NONE) {
            return CSL_OK;
        }
    }
    *ok = true;
    return CSL_OK;
}

static enum csl_err lower_node(struct csl__lowering *lo, const struct csl_node *node, struct csl_diag *diag) {
    bool ok;
    if (lower_table[node->op] == NULL) {
        return not_lowered(lo, node);
    }
    TRY(check_inputs(lo, &ok, node, diag));
    if (!ok) {
        return CSL_OK;
    }
    struct csl__value out = {0};
    TRY(lower_table[node->op](lo, node, &out, diag));
    if (node->n_outputs > 0 && node->outputs[0] != CSL_NO_TENSOR) {
        out.shared = out.shared || lo->uses[node->outputs[0]] > 1;
        lo->values[node->outputs[0]] = out;
    }
    return CSL_OK;
}

/* ---- the walk ---- */

/* Constants, and how often each tensor is read. */
static void set_tensors(struct csl__lowering *lo) {
    uint64_t elements = 0;
    for (size_t i = 0; i < lo->graph->n_tensors; i++) {
        const struct csl_tensor *t = &lo->graph->tensors[i];
        if (t->dtype != CSL_DTYPE_NONE) {
            lo->values[i] = (struct csl__value){.kind = CSL__VALUE_CONST,
                                                .view.rank = t->rank,
                                                .f32 = t->f32,
                                                .i64 = t->i64,
                                                .n = t->n_elements};
            memcpy(lo->values[i].view.dims, t->dims, sizeof t->dims);
            elements += t->n_elements;
        }
    }
    for (size_t i = 0; i < lo->graph->n_nodes; i++) {
        for (unsigned j = 0; j < lo->graph->nodes[i].n_inputs; j++) {
            uint32_t t = lo->graph->nodes[i].inputs[j];
            if (t != CSL_NO_TENSOR) {
                lo->uses[t]++;
            }
        }
    }
    lo->uses[lo->graph->output]++;
    lo->budget = ((uint64_t)1 << 22) + 8 * elements;
}

static void clear(struct csl__lowering *lo) {
    for (size_t i = 0; i < lo->n_arena; i++) {
        csl_secret_free(lo->arena[i]);
    }
    free(lo->arena);
    free(lo->values);
    free(lo->uses);
    csl_network_free(lo->net);
    lo->arena = NULL;
    lo->values = NULL;
    lo->uses = NULL;
    lo->net = NULL;
    lo->n_arena = lo->cap_arena = 0;
}

static enum csl_err walk(struct csl__lowering *lo, struct csl_diag *diag) {
    const struct csl_graph *graph = lo->graph;
    lo->net = csl_secret_alloc(1, sizeof *lo->net);
    lo->values = calloc(graph->n_tensors + 1, sizeof *lo->values);
    lo->uses = calloc(graph->n_tensors + 1, sizeof *lo->uses);
    if (lo->net == NULL || lo->values == NULL || lo->uses == NULL) {
        return CSL_ENOMEM;
    }
    lo->head_node = CSL_NO_NODE;
    snprintf(lo->net->name, sizeof lo->net->name, "%s", graph->name);
    csl_text_clean(lo->net->name);
    set_tensors(lo);
    TRY(csl__lower_input(lo, diag));
    for (size_t i = 0; i < graph->n_nodes && !lo->restart; i++) {
        TRY(lower_node(lo, &graph->nodes[i], diag));
    }
    return lo->restart ? CSL_OK : csl__lower_output(lo, diag);
}

enum csl_err csl_network_lower(struct csl_network **net, struct csl_issues *issues,
                               const struct csl_graph *graph, struct csl_diag *diag) {
    *net = NULL;
    size_t n_issues = issues->n;
    size_t n_more = issues->n_more;
    struct csl__lowering lo = {.graph = graph, .issues = issues};
    enum csl_err err = walk(&lo, diag);
    if (err == CSL_OK && lo.restart) {
        struct csl__layout wanted = lo.wanted;
        clear(&lo);
        issues->n = n_issues;
        issues->n_more = n_more;
        lo = (struct csl__lowering){.graph = graph, .issues = issues, .input = wanted, .fixed = true};
        err = walk(&lo, diag);
    }
    if (err == CSL_OK && issues->n != 0) {
        err = csl_issues_fail(issues, diag);
    }
    if (err == CSL_OK) {
        err = csl__check_weights(lo.net, diag);
    }
    if (err == CSL_OK) {
        *net = lo.net;
        lo.net = NULL;
    }
    clear(&lo);
    return err;
}
