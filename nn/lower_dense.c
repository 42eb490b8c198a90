/* Gemm, MatMul, Add and Relu to dense layers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "nn/lower_internal.h"

/* Appends a dense layer of weights alpha * B (or its transpose) with a zero bias. */
static enum csl_err add_layer(struct csl__lowering *lo, const struct csl_node *node,
                              const struct csl__value *w, bool transposed, float alpha,
                              struct csl_diag *diag) {
    struct csl_plan *plan = lo->plan;
    int64_t k = transposed ? w->dims[1] : w->dims[0];
    int64_t n = transposed ? w->dims[0] : w->dims[1];
    if (plan->n_layers == CSL_PLAN_MAX_LAYERS) {
        return csl_fail(diag, CSL_EDATA, "the network has more than %d dense layers", CSL_PLAN_MAX_LAYERS);
    }
    if (k > CSL_PLAN_MAX_DIM || n > CSL_PLAN_MAX_DIM || k * n > CSL_PLAN_MAX_WEIGHTS) {
        return csl_fail(diag, CSL_EDATA, "node \"%s\": a %lld x %lld layer is too large", node->name,
                        (long long)k, (long long)n);
    }
    struct csl_layer_weights *lw = &lo->weights->layers[plan->n_layers];
    lw->k = (uint32_t)k;
    lw->n = (uint32_t)n;
    lw->w = csl_secret_alloc((size_t)(k * n), sizeof *lw->w);
    lw->b = csl_secret_alloc((size_t)n, sizeof *lw->b);
    lo->weights->n_layers = plan->n_layers + 1;
    if (lw->w == NULL || lw->b == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t i = 0; i < (size_t)k; i++) {
        for (size_t j = 0; j < (size_t)n; j++) {
            lw->w[i * (size_t)n + j] = alpha * w->f32[transposed ? j * (size_t)k + i : i * (size_t)n + j];
        }
    }
    struct csl_layer *layer = &plan->layers[plan->n_layers++];
    snprintf(layer->name, sizeof layer->name, "%s", node->name);
    csl_text_clean(layer->name);
    layer->k = (uint32_t)k;
    layer->n = (uint32_t)n;
    layer->activation = CSL_ACTIVATION_NONE;
    return CSL_OK;
}

/* Adds scale * (the constant, broadcast over the activation's features) to the last layer's bias. False when
 * the shapes do not broadcast to one value a feature. */
static bool add_bias(struct csl__lowering *lo, const struct csl__value *x, const struct csl__value *c,
                     float scale) {
    struct csl_layer_weights *lw = &lo->weights->layers[lo->plan->n_layers - 1];
    if (c->kind != CSL__VALUE_CONST || c->f32 == NULL || c->rank > x->rank) {
        return false;
    }
    unsigned shift = x->rank - c->rank; /* shapes are aligned at the right */
    size_t stride[CSL_MAX_RANK] = {0};
    size_t step = 1;
    for (unsigned i = c->rank; i-- > 0;) {
        bool is_batch = i + shift == (x->transposed ? 1U : 0U);
        if (c->dims[i] != 1 && (is_batch || c->dims[i] != x->dims[i + shift])) {
            return false;
        }
        stride[i + shift] = c->dims[i] == 1 ? 0 : step;
        step *= (size_t)c->dims[i];
    }
    for (size_t f = 0; f < lw->n; f++) {
        size_t rest = f;
        size_t at = 0;
        for (unsigned i = x->rank; i-- > 0;) {
            if (i != (x->transposed ? 1U : 0U)) {
                at += rest % (size_t)x->dims[i] * stride[i];
                rest /= (size_t)x->dims[i];
            }
        }
        lw->b[f] += scale * c->f32[at];
    }
    return true;
}

static bool is_matrix(const struct csl__value *v) {
    return v->kind == CSL__VALUE_CONST && v->rank == 2 && v->f32 != NULL;
}

/* Both operands known or both not: nothing that fixed weights can do. */
static enum csl_err operand_issue(struct csl__lowering *lo, const struct csl_node *node,
                                  const struct csl__value *a, const struct csl__value *b) {
    if (a->kind == CSL__VALUE_NONE || b->kind == CSL__VALUE_NONE) {
        return CSL_OK;
    }
    if (a->kind == CSL__VALUE_ACTIVATION && b->kind == CSL__VALUE_ACTIVATION) {
        return csl__issue(lo, node, "one of the operands must be a constant weight matrix",
                          "it combines two values that both depend on the input");
    }
    if (a->kind == CSL__VALUE_CONST) {
        return csl__issue(lo, node, "write it as x.W with the batch in dimension 0",
                          "the constant is its left operand, or both are constants");
    }
    return csl__issue(lo, node, "store the weights as a float matrix of rank 2", "its weights have rank %u%s",
                      b->rank, b->f32 == NULL ? " and are integers" : "");
}

enum csl_err csl__lower_gemm(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                             struct csl_diag *diag) {
    const struct csl__value *x = csl__input(lo, node, 0);
    const struct csl__value *w = csl__input(lo, node, 1);
    const struct csl__value *c = csl__input(lo, node, 2);
    if (x->kind != CSL__VALUE_ACTIVATION || !is_matrix(w)) {
        return operand_issue(lo, node, x, w);
    }
    if (x->rank != 2 || x->transposed != node->attr.trans_a) {
        return csl__issue(lo, node, "put a Flatten before it; leave transA at 0",
                          x->rank != 2
                              ? "its input has rank %u, not 2"
                              : "transA does not fit its input of rank %u: the batch would be multiplied",
                          x->rank);
    }
    int64_t k = node->attr.trans_b ? w->dims[1] : w->dims[0];
    if (k != csl__features(x)) {
        return csl_fail(diag, CSL_EDATA,
                        "node \"%s\" (%s): its weights have %lld rows, its input has %lld features",
                        node->name, node->op_name, (long long)k, (long long)csl__features(x));
    }
    TRY(add_layer(lo, node, w, node->attr.trans_b, node->attr.alpha, diag));
    *out = (struct csl__value){.kind = CSL__VALUE_ACTIVATION, .rank = 2, .linear = true};
    out->dims[0] = x->dims[x->transposed ? 1 : 0];
    out->dims[1] = lo->plan->layers[lo->plan->n_layers - 1].n;
    if (c != NULL && c->kind == CSL__VALUE_NONE) {
        *out = (struct csl__value){0};
        return CSL_OK;
    }
    if (c != NULL && !add_bias(lo, out, c, node->attr.beta)) {
        *out = (struct csl__value){0};
        return csl__issue(lo, node, "the bias must be a float constant of shape [n] or [1, n]",
                          "its bias C is not one constant a column");
    }
    return CSL_OK;
}

enum csl_err csl__lower_matmul(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                               struct csl_diag *diag) {
    const struct csl__value *x = csl__input(lo, node, 0);
    const struct csl__value *w = csl__input(lo, node, 1);
    if (x->kind != CSL__VALUE_ACTIVATION || !is_matrix(w) || x->transposed) {
        return x->kind == CSL__VALUE_ACTIVATION && x->transposed
                   ? csl__issue(lo, node, "remove the Transpose before it", "its input is transposed")
                   : operand_issue(lo, node, x, w);
    }
    int64_t last = x->dims[x->rank - 1];
    if (last != csl__features(x)) {
        return csl__issue(lo, node, "put a Flatten before it",
                          "it is applied to each row of an input of rank %u, not to the whole input",
                          x->rank);
    }
    if (w->dims[0] != last) {
        return csl_fail(diag, CSL_EDATA,
                        "node \"%s\" (%s): its weights have %lld rows, its input has %lld features",
                        node->name, node->op_name, (long long)w->dims[0], (long long)last);
    }
    TRY(add_layer(lo, node, w, false, 1.0F, diag));
    *out = *x;
    out->linear = true;
    out->dims[x->rank - 1] = w->dims[1];
    return CSL_OK;
}

enum csl_err csl__lower_add(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                            struct csl_diag *diag) {
    (void)diag;
    const struct csl__value *x = csl__input(lo, node, 0);
    const struct csl__value *c = csl__input(lo, node, 1);
    if (x->kind == CSL__VALUE_CONST) {
        const struct csl__value *t = x;
        x = c;
        c = t;
    }
    if (x->kind == CSL__VALUE_NONE || c->kind == CSL__VALUE_NONE) {
        return CSL_OK;
    }
    if (c->kind != CSL__VALUE_CONST || x->kind != CSL__VALUE_ACTIVATION) {
        return csl__issue(lo, node, "networks without residual connections can be run",
                          "it adds two values that both depend on the input, or two constants");
    }
    if (!x->linear) {
        return csl__issue(lo, node, "fold the constant into the bias of the next dense layer",
                          "it adds a constant where no dense layer stands directly before it");
    }
    if (!add_bias(lo, x, c, 1.0F)) {
        return csl__issue(lo, node, "the bias must be a float constant of shape [n] or [1, n]",
                          "its constant is not one value a column");
    }
    *out = *x;
    return CSL_OK;
}

enum csl_err csl__lower_relu(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                             struct csl_diag *diag) {
    (void)diag;
    const struct csl__value *x = csl__input(lo, node, 0);
    if (x->kind != CSL__VALUE_ACTIVATION || lo->plan->n_layers == 0) {
        return csl__issue(lo, node, "apply it to the output of a dense layer",
                          "it is applied to %s, before any dense layer",
                          x->kind == CSL__VALUE_ACTIVATION ? "the network's input" : "a constant");
    }
    lo->plan->layers[lo->plan->n_layers - 1].activation = CSL_ACTIVATION_RELU; /* twice is as good as once */
    *out = *x;
    out->linear = false;
    return CSL_OK;
}
