/* BatchNormalization, and arithmetic with constants: s x + t, into the layer before or the layer after. */
#include <math.h>
#include <string.h>

#include "crypto/secret.h"
#include "nn/lower_internal.h"

static double at(const double *v, size_t n, size_t i, double absent) {
    return v == NULL ? absent : v[n == 1 ? 0 : i];
}

/* The constants in canonical order: one, one a channel, or one an element. */
static enum csl_err spread(struct csl__lowering *lo, struct csl__affine *a, const struct csl_node *node,
                           const struct csl__value *x, const double *s, const double *t, size_t n,
                           const size_t stride[CSL_MAX_RANK], struct csl_diag *diag) {
    struct csl_hwc d = csl__dim(lo, x->value);
    bool channels = true;
    for (unsigned i = 0; i < x->view.rank; i++) {
        for (unsigned k = x->view.first[i]; k < x->view.first[i + 1]; k++) {
            channels = channels && (stride[i] == 0 || x->view.atoms[k].axis == CSL__AXIS_C);
        }
    }
    a->n = n == 1 ? 1 : channels ? d.c : csl__count(d);
    TRY(csl__spend(lo, node, 4 * a->n, diag));
    double *both = csl__arena(lo, 2 * a->n, sizeof *both);
    if (both == NULL) {
        return CSL_ENOMEM;
    }
    a->s = both;
    a->t = both + a->n;
    a->node = node;
    for (size_t i = 0; i < a->n; i++) {
        both[i] = at(s, 1, 0, 1.0);
        both[a->n + i] = at(t, 1, 0, 0.0);
    }
    if (a->n > 1 && s != NULL) {
        csl__view_spread(both, &x->view, d, channels, s, stride);
    }
    if (a->n > 1 && t != NULL) {
        csl__view_spread(both + a->n, &x->view, d, channels, t, stride);
    }
    return CSL_OK;
}

/* b after a. The numbers of either are repeated where it has fewer. */
static enum csl_err compose(struct csl__lowering *lo, struct csl__affine *out, const struct csl__affine *a,
                            const struct csl__affine *b, struct csl_diag *diag) {
    size_t n = a->n > b->n ? a->n : b->n;
    TRY(csl__spend(lo, b->node, 4 * n, diag));
    double *both = csl__arena(lo, 2 * n, sizeof *both);
    if (both == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        both[i] = b->s[i % b->n] * a->s[i % a->n];
        both[n + i] = b->s[i % b->n] * a->t[i % a->n] + b->t[i % b->n];
    }
    *out = (struct csl__affine){n, both, both + n, b->node};
    return CSL_OK;
}

/* Into the rows' columns of the layer that makes the value. */
static void fold_back(struct csl_op_node *op, const struct csl__affine *a) {
    size_t n = op->shape.out_c;
    size_t rows = (size_t)op->shape.kernel_h * op->shape.kernel_w * (op->shape.in_c / op->shape.groups);
    for (size_t i = 0; i < rows * n; i++) {
        op->w[i] = (float)((double)op->w[i] * a->s[i % n % a->n]);
    }
    for (size_t j = 0; j < n; j++) {
        op->b[j] = (float)((double)op->b[j] * a->s[j % a->n] + a->t[j % a->n]);
    }
}

enum csl_err csl__affine(struct csl__lowering *lo, const struct csl_node *node, const struct csl__value *x,
                         struct csl__value *out, const double *s, const double *t, size_t n,
                         const size_t stride[CSL_MAX_RANK], struct csl_diag *diag) {
    struct csl__affine *a = csl__arena(lo, 1, sizeof *a);
    if (a == NULL) {
        return CSL_ENOMEM;
    }
    TRY(spread(lo, a, node, x, s, t, n, stride, diag));
    if (x->affine != NULL) {
        struct csl__affine first = *a;
        TRY(compose(lo, a, x->affine, &first, diag));
    }
    *out = *x;
    out->affine = a;
    struct csl_op_node *op = x->value == 0 ? NULL : &lo->net->nodes[x->value - 1];
    if (op != NULL && op->kind == CSL_OPK_CONV && !x->shared && (a->n == 1 || a->n == op->out.c)) {
        fold_back(op, a);
        out->affine = NULL;
    }
    return CSL_OK;
}

enum csl_err csl__settle(struct csl__lowering *lo, struct csl__value *x, struct csl_diag *diag) {
    const struct csl__affine *a = x->affine;
    struct csl_hwc d = csl__dim(lo, x->value);
    struct csl_op_node *op;
    if (a == NULL) {
        return CSL_OK;
    }
    if (a->n != 1 && a->n != d.c) {
        x->kind = CSL__VALUE_NONE;
        if (csl__want_input(lo, x, (struct csl__layout){{1, 1, (uint32_t)csl__count(d)}, true})) {
            return CSL_OK;
        }
        return csl__issue(lo, a->node, "use one constant a channel, or put a dense layer directly behind it",
                          "its constants differ from element to element, not only between channels");
    }
    TRY(csl__spend(lo, a->node, 2 * (uint64_t)d.c, diag));
    TRY(csl__new_node(lo, &op, a->node, CSL_OPK_CONV, x->value, d, diag));
    op->shape = (struct csl_conv_shape){.in_h = d.h,
                                        .in_w = d.w,
                                        .in_c = d.c,
                                        .out_h = d.h,
                                        .out_w = d.w,
                                        .out_c = d.c,
                                        .kernel_h = 1,
                                        .kernel_w = 1,
                                        .stride_h = 1,
                                        .stride_w = 1,
                                        .dilation_h = 1,
                                        .dilation_w = 1,
                                        .groups = d.c};
    op->w = csl_secret_alloc(d.c, sizeof *op->w);
    op->b = csl_secret_alloc(d.c, sizeof *op->b);
    if (op->w == NULL || op->b == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t c = 0; c < d.c; c++) {
        op->w[c] = (float)a->s[c % a->n];
        op->b[c] = (float)a->t[c % a->n];
    }
    x->value = csl__last_value(lo);
    x->affine = NULL;
    return CSL_OK;
}

static bool sees_everything(const struct csl_conv_shape *s) {
    return s->kernel_h == s->in_h && s->kernel_w == s->in_w && s->out_h == 1 && s->out_w == 1 &&
           s->dilation_h == 1 && s->dilation_w == 1 && s->groups == 1;
}

bool csl__affine_keeps_zero(const struct csl__affine *a) {
    for (size_t i = 0; i < a->n; i++) {
        if (a->t[i] != 0.0) {
            return false;
        }
    }
    return true;
}

bool csl__affine_fits(const struct csl__affine *a, const struct csl_conv_shape *s) {
    uint64_t reach_h = (uint64_t)(s->out_h - 1) * s->stride_h + (uint64_t)(s->kernel_h - 1) * s->dilation_h;
    uint64_t reach_w = (uint64_t)(s->out_w - 1) * s->stride_w + (uint64_t)(s->kernel_w - 1) * s->dilation_w;
    bool padded = s->pad_top != 0 || s->pad_left != 0 || reach_h >= s->in_h || reach_w >= s->in_w;
    return (!padded || csl__affine_keeps_zero(a)) && (a->n == 1 || a->n == s->in_c || sees_everything(s));
}

void csl__affine_absorb(struct csl_op_node *op, const struct csl__affine *a) {
    const struct csl_conv_shape *s = &op->shape;
    uint32_t in_g = s->in_c / s->groups;
    uint32_t out_g = s->out_c / s->groups;
    size_t taps = (size_t)s->kernel_h * s->kernel_w;
    for (size_t j = 0; j < s->out_c; j++) {
        size_t first = j / out_g * in_g; /* channel of the column's row 0 */
        double b = (double)op->b[j];
        for (size_t k = 0; k < taps; k++) {
            for (size_t i = 0; i < in_g; i++) {
                float *w = &op->w[(k * in_g + i) * s->out_c + j];
                size_t place = a->n == 1 ? 0 : a->n == s->in_c ? first + i : k * in_g + i;
                b += (double)*w * a->t[place];
                *w = (float)((double)*w * a->s[place]);
            }
        }
        op->b[j] = (float)b;
    }
}

/* ---- operators ---- */

/* A constant of n floats along dimension `axis`. */
static bool is_vector(const struct csl__value *v, int64_t n) {
    return v->kind == CSL__VALUE_CONST && v->f32 != NULL && (int64_t)v->n == n;
}

enum csl_err csl__lower_batch_norm(struct csl__lowering *lo, const struct csl_node *node,
                                   struct csl__value *out, struct csl_diag *diag) {
    const struct csl__value *x = csl__input(lo, node, 0);
    unsigned axis = node->attr.channels_last ? x->view.rank - 1 : 1;
    if (x->kind != CSL__VALUE_ACTIVATION || x->view.rank < 2 || (int)axis == x->view.batch) {
        return csl__issue(lo, node, "apply it to [batch, channels, ...]",
                          "its input is a constant, or has no channels in dimension %u", axis);
    }
    if (node->attr.training) {
        return csl__issue(lo, node, "export in evaluation mode (model.eval())", "it is in training mode");
    }
    int64_t n = x->view.dims[axis];
    const struct csl__value *p[4];
    for (unsigned i = 0; i < 4; i++) {
        p[i] = csl__input(lo, node, i + 1);
        if (!is_vector(p[i], n)) {
            return csl__issue(lo, node, "check the exporter",
                              "its input %u is not %lld float constants, one a channel", i + 1, (long long)n);
        }
    }
    TRY(csl__spend(lo, node, 4 * (uint64_t)n, diag));
    double *s = csl__arena(lo, (size_t)n, sizeof *s);
    double *t = csl__arena(lo, (size_t)n, sizeof *t);
    if (s == NULL || t == NULL) {
        return CSL_ENOMEM;
    }
    for (int64_t i = 0; i < n; i++) {
        double var = (double)p[3]->f32[i] + (double)node->attr.epsilon;
        if (!(var > 0.0)) {
            return csl__issue(lo, node, "train again, or set a positive epsilon",
                              "variance plus epsilon of channel %lld is not positive", (long long)i);
        }
        s[i] = (double)p[0]->f32[i] / sqrt(var);
        t[i] = (double)p[1]->f32[i] - s[i] * (double)p[2]->f32[i];
    }
    size_t stride[CSL_MAX_RANK] = {0};
    stride[axis] = n == 1 ? 0 : 1;
    return csl__affine(lo, node, x, out, s, t, (size_t)n, stride, diag);
}

/* How a constant repeats over an activation; shapes are aligned at the right. */
static bool broadcast(size_t stride[CSL_MAX_RANK], const struct csl__view *x, const struct csl__value *c) {
    memset(stride, 0, CSL_MAX_RANK * sizeof *stride);
    if (c->view.rank > x->rank) {
        return false;
    }
    unsigned shift = x->rank - c->view.rank;
    size_t step = 1;
    for (unsigned i = c->view.rank; i-- > 0;) {
        int64_t d = c->view.dims[i];
        if (d != 1 && ((int)(i + shift) == x->batch || d != x->dims[i + shift])) {
            return false;
        }
        stride[i + shift] = d == 1 ? 0 : step;
        step *= (size_t)d;
    }
    return true;
}

/* x op c, or c op x when `left`. */
static enum csl_err with_constant(struct csl__lowering *lo, const struct csl_node *node,
                                  const struct csl__value *x, const struct csl__value *c, bool left,
                                  struct csl__value *out, struct csl_diag *diag) {
    size_t stride[CSL_MAX_RANK];
    if (node->op == CSL_OP_DIV && left) {
        return csl__issue(lo, node, "divide by constants only",
                          "it divides by a value that depends on the input");
    }
    if (c->f32 == NULL || !broadcast(stride, &x->view, c)) {
        return csl__issue(lo, node, "use one float constant, one a channel, or one an element",
                          "its constant does not fit the shape of its other operand");
    }
    TRY(csl__spend(lo, node, 2 * (uint64_t)c->n, diag));
    double *v = csl__arena(lo, c->n, sizeof *v);
    if (v == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t i = 0; i < c->n; i++) {
        double e = (double)c->f32[i];
        v[i] = node->op == CSL_OP_DIV ? 1.0 / e : node->op == CSL_OP_SUB && !left ? -e : e;
        if (!isfinite(v[i])) {
            return csl__issue(lo, node, "check the constant", "it divides by zero");
        }
    }
    const double minus = -1.0;
    if (node->op == CSL_OP_MUL || node->op == CSL_OP_DIV) {
        return csl__affine(lo, node, x, out, v, NULL, c->n, stride, diag);
    }
    if (node->op == CSL_OP_SUB && left) {
        struct csl__value negated;
        const size_t none[CSL_MAX_RANK] = {0};
        TRY(csl__affine(lo, node, x, &negated, &minus, NULL, 1, none, diag));
        return csl__affine(lo, node, &negated, out, NULL, v, c->n, stride, diag);
    }
    return csl__affine(lo, node, x, out, NULL, v, c->n, stride, diag);
}

enum csl_err csl__lower_arithmetic(struct csl__lowering *lo, const struct csl_node *node,
                                   struct csl__value *out, struct csl_diag *diag) {
    const struct csl__value *a = csl__input(lo, node, 0);
    const struct csl__value *b = csl__input(lo, node, 1);
    if (a->kind == CSL__VALUE_ACTIVATION && b->kind == CSL__VALUE_CONST) {
        return with_constant(lo, node, a, b, false, out, diag);
    }
    if (a->kind == CSL__VALUE_CONST && b->kind == CSL__VALUE_ACTIVATION) {
        return with_constant(lo, node, b, a, true, out, diag);
    }
    if (a->kind == CSL__VALUE_CONST) {
        return csl__issue(lo, node, "fold constants when exporting", "both operands are constants");
    }
    if (node->op == CSL_OP_MUL || node->op == CSL_OP_DIV) {
        return csl__issue(lo, node,
                          "use layers with constant weights; gates and attention (products of activations) "
                          "cannot be run",
                          "it %s two values that both depend on the input",
                          node->op == CSL_OP_MUL ? "multiplies" : "divides");
    }
    return csl__lower_join(lo, node, out, diag);
}
