/* The neutral graph to a list of dense layers. Nodes come in topological order, so that one walk suffices. */
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

int64_t csl__features(const struct csl__value *v) {
    if (v->transposed) {
        return v->dims[0];
    }
    int64_t n = 1;
    for (unsigned i = 1; i < v->rank; i++) {
        n *= v->dims[i];
    }
    return n;
}

static enum csl_err lower_identity(struct csl__lowering *lo, const struct csl_node *node,
                                   struct csl__value *out, struct csl_diag *diag) {
    (void)diag;
    *out = *csl__input(lo, node, 0);
    out->owned = NULL;
    return CSL_OK;
}

/* The client applies it to the opened logits. */
static enum csl_err lower_softmax(struct csl__lowering *lo, const struct csl_node *node,
                                  struct csl__value *out, struct csl_diag *diag) {
    (void)diag;
    const struct csl__value *x = csl__input(lo, node, 0);
    int64_t axis = node->attr.has_axis ? node->attr.axis : (int64_t)x->rank - 1;
    axis += axis < 0 ? (int64_t)x->rank : 0;
    if (x->kind != CSL__VALUE_ACTIVATION || x->head || x->transposed) {
        return csl__issue(lo, node, "keep one Softmax, as the last node", "it is not applied to the logits");
    }
    int64_t last = x->rank >= 1 ? x->dims[x->rank - 1] : 0;
    if (x->rank < 2 || axis != (int64_t)x->rank - 1 || last != csl__features(x)) {
        return csl__issue(lo, node, "apply it to the last axis of [batch, classes]",
                          "axis %lld is not the classes", (long long)axis);
    }
    lo->plan->head = node->op == CSL_OP_SOFTMAX ? CSL_HEAD_SOFTMAX : CSL_HEAD_LOGSOFTMAX;
    lo->head_node = (uint32_t)(node - lo->graph->nodes);
    *out = *x;
    out->head = true;
    out->linear = false;
    return CSL_OK;
}

/* By operator; NULL: the importer has noted the issue. */
static csl__lower_fn *const lower_table[CSL_OP_COUNT] = {
    [CSL_OP_GEMM] = csl__lower_gemm,
    [CSL_OP_MATMUL] = csl__lower_matmul,
    [CSL_OP_ADD] = csl__lower_add,
    [CSL_OP_RELU] = csl__lower_relu,
    [CSL_OP_FLATTEN] = csl__lower_flatten,
    [CSL_OP_RESHAPE] = csl__lower_reshape,
    [CSL_OP_TRANSPOSE] = csl__lower_transpose,
    [CSL_OP_IDENTITY] = lower_identity,
    [CSL_OP_DROPOUT] = lower_identity,
    [CSL_OP_SOFTMAX] = lower_softmax,
    [CSL_OP_LOGSOFTMAX] = lower_softmax,
};

static unsigned min_inputs(enum csl_op op) {
    return op == CSL_OP_GEMM || op == CSL_OP_MATMUL || op == CSL_OP_ADD || op == CSL_OP_RESHAPE ? 2 : 1;
}

/* Behind the Softmax only what keeps its values may follow. */
static bool keeps_values(enum csl_op op) {
    return op == CSL_OP_IDENTITY || op == CSL_OP_DROPOUT || op == CSL_OP_FLATTEN || op == CSL_OP_RESHAPE;
}

static enum csl_err lower_node(struct csl__lowering *lo, const struct csl_node *node, struct csl_diag *diag) {
    for (unsigned i = 0; i < min_inputs(node->op); i++) {
        if (csl__input(lo, node, i) == NULL) {
            return csl_fail(diag, CSL_EDATA, "node \"%s\" (%s) lacks its input %u", node->name, node->op_name,
                            i);
        }
    }
    for (unsigned i = 0; i < node->n_inputs; i++) {
        const struct csl__value *x = csl__input(lo, node, i);
        if (x != NULL && x->head && !keeps_values(node->op)) {
            return csl__issue(lo, node, "Softmax and LogSoftmax can only be the last nodes",
                              "it works on the output of \"%s\"", lo->graph->nodes[lo->head_node].name);
        }
    }
    if (lower_table[node->op] == NULL || csl__input(lo, node, 0)->kind == CSL__VALUE_NONE) {
        return CSL_OK;
    }
    struct csl__value out = {0};
    TRY(lower_table[node->op](lo, node, &out, diag));
    if (node->n_outputs > 0 && node->outputs[0] != CSL_NO_TENSOR) {
        lo->values[node->outputs[0]] = out;
    } else {
        csl_secret_free(out.owned);
    }
    return CSL_OK;
}

static enum csl_err set_input(struct csl__lowering *lo, struct csl_diag *diag) {
    const struct csl_tensor *t = &lo->graph->tensors[lo->graph->input];
    struct csl__value *v = &lo->values[lo->graph->input];
    if (!t->has_shape || t->rank < 2) {
        return csl_fail(
            diag, CSL_EDATA,
            "input \"%s\" has no batch dimension: its shape must be [batch, ...], e.g. [1, 784] or "
            "[1, 1, 28, 28]",
            t->name);
    }
    uint64_t n = 1;
    lo->plan->input_rank = t->rank - 1;
    for (unsigned i = 1; i < t->rank; i++) {
        if (t->dims[i] <= 0) {
            return csl_fail(diag, CSL_EDATA,
                            "input \"%s\": dimension %u is not fixed; only the batch (dimension 0) may be",
                            t->name, i);
        }
        n *= (uint64_t)t->dims[i];
        if (n > CSL_PLAN_MAX_DIM) {
            return csl_fail(diag, CSL_EDATA, "input \"%s\" has more than %d elements", t->name,
                            CSL_PLAN_MAX_DIM);
        }
        lo->plan->input_shape[i - 1] = (uint32_t)t->dims[i];
    }
    v->kind = CSL__VALUE_ACTIVATION;
    v->rank = t->rank;
    memcpy(v->dims, t->dims, sizeof v->dims);
    return CSL_OK;
}

static void set_constants(struct csl__lowering *lo) {
    for (size_t i = 0; i < lo->graph->n_tensors; i++) {
        const struct csl_tensor *t = &lo->graph->tensors[i];
        if (t->dtype != CSL_DTYPE_NONE) {
            lo->values[i] = (struct csl__value){
                .kind = CSL__VALUE_CONST, .rank = t->rank, .f32 = t->f32, .i64 = t->i64, .n = t->n_elements};
            memcpy(lo->values[i].dims, t->dims, sizeof t->dims);
        }
    }
}

/* After the walk, when nothing was wrong with any single node. */
static enum csl_err check_result(const struct csl__lowering *lo, struct csl_diag *diag) {
    const struct csl_graph *g = lo->graph;
    const struct csl__value *y = &lo->values[g->output];
    if (lo->issues->n != 0) {
        return CSL_OK;
    }
    if (y->kind != CSL__VALUE_ACTIVATION || lo->plan->n_layers == 0) {
        return csl_fail(diag, CSL_EDATA,
                        "the output \"%s\" does not come from the input through a dense layer",
                        g->tensors[g->output].name);
    }
    if (y->transposed) {
        return csl_fail(diag, CSL_EDATA, "the output \"%s\" is transposed: its batch is not dimension 0",
                        g->tensors[g->output].name);
    }
    return CSL_OK;
}

enum csl_err csl__lower(struct csl_plan *plan, struct csl_weights *weights, struct csl_issues *issues,
                        const struct csl_graph *graph, struct csl_diag *diag) {
    struct csl__lowering lo = {
        .graph = graph, .plan = plan, .weights = weights, .issues = issues, .head_node = CSL_NO_NODE};
    enum csl_err err = CSL_ENOMEM;
    lo.values = calloc(graph->n_tensors + 1, sizeof *lo.values);
    if (lo.values == NULL) {
        goto out;
    }
    snprintf(plan->name, sizeof plan->name, "%s", graph->name);
    csl_text_clean(plan->name);
    set_constants(&lo);
    TRY_OUT(set_input(&lo, diag));
    for (size_t i = 0; i < graph->n_nodes; i++) {
        TRY_OUT(lower_node(&lo, &graph->nodes[i], diag));
    }
    err = check_result(&lo, diag);
out:
    for (size_t i = 0; lo.values != NULL && i < graph->n_tensors; i++) {
        csl_secret_free(lo.values[i].owned);
    }
    free(lo.values);
    return err;
}
