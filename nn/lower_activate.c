/* Elementwise functions. */
#include <float.h>
#include <math.h>

#include "nn/lower_internal.h"

/* A bound of Clip: attribute or constant input; *has false when there is none. */
static bool read_bound(const struct csl__lowering *lo, const struct csl_node *node, unsigned i, bool *has,
                       float *v) {
    const struct csl__value *in = csl__input(lo, node, i);
    *has = i == 1 ? node->attr.has_min : node->attr.has_max;
    *v = i == 1 ? node->attr.min : node->attr.max;
    if (in != NULL) {
        if (in->kind != CSL__VALUE_CONST || in->n != 1) {
            return false;
        }
        *v = in->f32 != NULL ? in->f32[0] : (float)in->i64[0];
        *has = true;
    }
    *has = *has && fabsf(*v) < FLT_MAX;
    return !isnan(*v);
}

/* Open ends become the largest float, which every range lies within. */
static enum csl_err read_clip(struct csl__lowering *lo, struct csl_op_node *op, const struct csl_node *node,
                              bool *ok) {
    bool has_lo;
    bool has_hi;
    float lo_bound;
    float hi_bound;
    *ok = false;
    if (!read_bound(lo, node, 1, &has_lo, &lo_bound) || !read_bound(lo, node, 2, &has_hi, &hi_bound)) {
        return csl__issue(lo, node, "use constants for min and max", "a bound is not one constant number");
    }
    op->a = has_lo ? lo_bound : -FLT_MAX;
    op->b_param = has_hi ? hi_bound : FLT_MAX;
    op->fn = has_lo && lo_bound == 0.0F && !has_hi ? CSL_FN_RELU : CSL_FN_CLIP;
    if (!(op->a <= op->b_param)) {
        return csl__issue(lo, node, "check the bounds", "its min %g is above its max %g", (double)op->a,
                          (double)op->b_param);
    }
    *ok = true;
    return CSL_OK;
}

static enum csl_err read_slopes(struct csl__lowering *lo, struct csl_op_node *op, const struct csl_node *node,
                                bool *ok) {
    const struct csl__value *slope = csl__input(lo, node, 1);
    *ok = slope->kind == CSL__VALUE_CONST && slope->f32 != NULL && slope->n > 0;
    if (!*ok) {
        return csl__issue(lo, node, "use a constant slope", "its slope is not a float constant");
    }
    op->a = slope->f32[0];
    for (size_t i = 1; i < slope->n; i++) {
        *ok = *ok && slope->f32[i] == op->a;
    }
    return *ok ? CSL_OK
               : csl__issue(lo, node, "train with one slope for all channels (num_parameters=1)",
                            "its slopes differ between channels");
}

static enum csl_err read_function(struct csl__lowering *lo, struct csl_op_node *op,
                                  const struct csl_node *node, bool *ok) {
    op->a = node->attr.alpha;
    op->b_param = 0.0F;
    *ok = true;
    switch (node->op) {
    case CSL_OP_CLIP:
        return read_clip(lo, op, node, ok);
    case CSL_OP_PRELU:
        op->fn = CSL_FN_LEAKY_RELU;
        TRY(read_slopes(lo, op, node, ok));
        break;
    case CSL_OP_LEAKY_RELU:
        op->fn = CSL_FN_LEAKY_RELU;
        break;
    case CSL_OP_ELU:
        op->fn = CSL_FN_ELU;
        break;
    case CSL_OP_HARD_SIGMOID:
        op->fn = CSL_FN_HARD_SIGMOID;
        op->b_param = node->attr.beta;
        break;
    case CSL_OP_SIGMOID:
        op->fn = CSL_FN_SIGMOID;
        break;
    case CSL_OP_TANH:
        op->fn = CSL_FN_TANH;
        break;
    default:
        op->fn = CSL_FN_RELU;
        break;
    }
    if (op->fn == CSL_FN_LEAKY_RELU && op->a == 0.0F) {
        op->fn = CSL_FN_RELU;
    }
    if (op->fn == CSL_FN_RELU || op->fn == CSL_FN_SIGMOID || op->fn == CSL_FN_TANH) {
        op->a = 0.0F;
    }
    if (*ok && (!isfinite(op->a) || !isfinite(op->b_param))) {
        *ok = false;
        return csl__issue(lo, node, "use finite numbers", "its alpha or beta is not finite");
    }
    return CSL_OK;
}

enum csl_err csl__lower_activation(struct csl__lowering *lo, const struct csl_node *node,
                                   struct csl__value *out, struct csl_diag *diag) {
    struct csl__value *x = csl__input(lo, node, 0);
    struct csl_op_node function = {0};
    bool ok;
    if (x->kind != CSL__VALUE_ACTIVATION) {
        return csl__issue(lo, node, "fold constants when exporting", "it works on a constant");
    }
    TRY(read_function(lo, &function, node, &ok));
    if (!ok) {
        return CSL_OK;
    }
    if (function.fn == CSL_FN_CLIP && function.a == -FLT_MAX && function.b_param == FLT_MAX) {
        *out = *x;
        return CSL_OK;
    }
    TRY(csl__settle(lo, x, diag));
    if (x->kind == CSL__VALUE_NONE) {
        return CSL_OK;
    }
    const struct csl_op_node *before = x->value == 0 ? NULL : &lo->net->nodes[x->value - 1];
    if (before != NULL && before->kind == CSL_OPK_ACTIVATE && before->fn == CSL_FN_RELU &&
        function.fn == CSL_FN_RELU) {
        *out = *x; /* twice is as good as once */
        return CSL_OK;
    }
    struct csl_op_node *op;
    TRY(csl__new_node(lo, &op, node, CSL_OPK_ACTIVATE, x->value, csl__dim(lo, x->value), diag));
    op->fn = function.fn;
    op->a = function.a;
    op->b_param = function.b_param;
    *out = (struct csl__value){.kind = CSL__VALUE_ACTIVATION, .view = x->view, .value = csl__last_value(lo)};
    return CSL_OK;
}
