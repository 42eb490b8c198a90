/* Gemm and MatMul with constant weights: dense layers over the whole value, or over the channels of each
 * pixel. */
#include "crypto/secret.h"
#include "nn/lower_internal.h"

/* Element (i, j) of the weights, k x n, is w[i * row + j * column] * alpha. */
struct matrix {
    const float *w;
    int64_t k, n;
    size_t row, column;
    float alpha;
};

static struct matrix read_matrix(const struct csl__value *w, bool transposed, float alpha) {
    int64_t rows = w->view.dims[0];
    int64_t columns = w->view.dims[1];
    return transposed ? (struct matrix){w->f32, columns, rows, 1, (size_t)columns, alpha}
                      : (struct matrix){w->f32, rows, columns, (size_t)columns, 1, alpha};
}

static bool is_matrix(const struct csl__value *v) {
    return v->kind == CSL__VALUE_CONST && v->view.rank == 2 && v->f32 != NULL;
}

/* A CONV of x with these weights. map[i]: canonical row of the matrix' row i; NULL: the same. */
static enum csl_err add_layer(struct csl__lowering *lo, const struct csl_node *node,
                              const struct csl_conv_shape *s, struct csl__value *x, const struct matrix *m,
                              const uint32_t *map, struct csl_diag *diag) {
    struct csl_op_node *op;
    if (x->affine != NULL && !csl__affine_fits(x->affine, s)) {
        TRY(csl__settle(lo, x, diag));
        if (x->kind == CSL__VALUE_NONE) {
            return CSL_OK;
        }
    }
    size_t n = (size_t)m->n;
    TRY(csl__spend(lo, node, ((uint64_t)m->k + 1) * n, diag));
    TRY(csl__new_node(lo, &op, node, CSL_OPK_CONV, x->value, (struct csl_hwc){s->out_h, s->out_w, s->out_c},
                      diag));
    op->shape = *s;
    op->w = csl_secret_alloc((size_t)m->k * n, sizeof *op->w);
    op->b = csl_secret_alloc(n, sizeof *op->b);
    if (op->w == NULL || op->b == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t i = 0; i < (size_t)m->k; i++) {
        float *row = op->w + (map == NULL ? i : map[i]) * n;
        for (size_t j = 0; j < n; j++) {
            row[j] = m->alpha * m->w[i * m->row + j * m->column];
        }
    }
    if (x->affine != NULL) {
        csl__affine_absorb(op, x->affine);
    }
    return CSL_OK;
}

static enum csl_err wrong_rows(const struct csl_node *node, int64_t k, int64_t features,
                               struct csl_diag *diag) {
    return csl_fail(diag, CSL_EDATA,
                    "node \"%s\" (%s): its weights have %lld rows, its input has %lld features", node->name,
                    node->op_name, (long long)k, (long long)features);
}

/* All of x at once. transposed: the result is [n, batch]. */
static enum csl_err whole(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *x,
                          const struct matrix *m, bool transposed, struct csl__value *out,
                          struct csl_diag *diag) {
    int64_t features = csl__features(&x->view);
    if (m->k != features) {
        return wrong_rows(node, m->k, features, diag);
    }
    if (m->n > CSL__MAX_ELEMENTS) {
        return csl_fail(diag, CSL_EDATA, "node \"%s\" (%s): %lld columns are too many", node->name,
                        node->op_name, (long long)m->n);
    }
    struct csl_hwc d = csl__dim(lo, x->value);
    struct csl_conv_shape s = {.in_h = d.h,
                               .in_w = d.w,
                               .in_c = d.c,
                               .out_h = 1,
                               .out_w = 1,
                               .out_c = (uint32_t)m->n,
                               .kernel_h = d.h,
                               .kernel_w = d.w,
                               .stride_h = 1,
                               .stride_w = 1,
                               .dilation_h = 1,
                               .dilation_w = 1,
                               .groups = 1};
    TRY(csl__spend(lo, node, (uint64_t)features, diag));
    uint32_t *map = csl__arena(lo, (size_t)features, sizeof *map);
    if (map == NULL) {
        return CSL_ENOMEM;
    }
    csl__view_map(map, &x->view, d);
    TRY(add_layer(lo, node, &s, x, m, map, diag));
    if (x->kind == CSL__VALUE_NONE) {
        return CSL_OK;
    }
    int64_t batch = x->view.batch < 0 ? 1 : x->view.dims[x->view.batch];
    *out = (struct csl__value){.kind = CSL__VALUE_ACTIVATION, .value = csl__last_value(lo)};
    out->view = csl__view_vector((uint32_t)m->n, batch, transposed);
    return CSL_OK;
}

/* Both operands known or both not: nothing that fixed weights can do. */
static enum csl_err operand_issue(struct csl__lowering *lo, const struct csl_node *node,
                                  const struct csl__value *a, const struct csl__value *b) {
    if (a->kind == CSL__VALUE_ACTIVATION && b->kind == CSL__VALUE_ACTIVATION) {
        return csl__issue(lo, node, "one of the operands must be a constant weight matrix",
                          "it multiplies two values that both depend on the input");
    }
    if (a->kind == CSL__VALUE_CONST && b->kind == CSL__VALUE_CONST) {
        return csl__issue(lo, node, "fold constants when exporting", "both operands are constants");
    }
    const struct csl__value *w = a->kind == CSL__VALUE_CONST ? a : b;
    return csl__issue(lo, node, "store the weights as a float matrix of rank 2", "its weights have rank %u%s",
                      w->view.rank, w->f32 == NULL ? " and are integers" : "");
}

/* Rank 2 with the batch in dimension `batch`; a batch of 1 that was squeezed away may be either. */
static bool is_rows(const struct csl__view *v, unsigned batch) {
    return v->rank == 2 && (v->batch == (int)batch || (v->batch < 0 && v->dims[batch] == 1));
}

static enum csl_err add_bias(struct csl__lowering *lo, const struct csl_node *node,
                             const struct csl__value *c, struct csl__value *out, struct csl_diag *diag) {
    struct csl__value y = *out;
    unsigned features = y.view.batch == 0 ? 1 : 0;
    int64_t n = y.view.dims[features];
    unsigned shift = 2 - (c->view.rank < 2 ? c->view.rank : 2);
    bool ok = c->kind == CSL__VALUE_CONST && c->f32 != NULL && c->view.rank <= 2;
    for (unsigned i = 0; ok && i < c->view.rank; i++) {
        ok = c->view.dims[i] == 1 || (i + shift == features && c->view.dims[i] == n);
    }
    *out = (struct csl__value){0};
    if (!ok) {
        return csl__issue(lo, node, "the bias must be a float constant of shape [n] or [1, n]",
                          "its bias C is not one constant a column");
    }
    TRY(csl__spend(lo, node, 2 * (uint64_t)c->n, diag));
    double *t = csl__arena(lo, c->n, sizeof *t);
    if (t == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t i = 0; i < c->n; i++) {
        t[i] = (double)node->attr.beta * (double)c->f32[i];
    }
    size_t stride[CSL_MAX_RANK] = {0};
    stride[features] = c->n == 1 ? 0 : 1;
    return csl__affine(lo, node, &y, out, NULL, t, c->n, stride, diag);
}

enum csl_err csl__lower_gemm(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                             struct csl_diag *diag) {
    struct csl__value *a = csl__input(lo, node, 0);
    struct csl__value *b = csl__input(lo, node, 1);
    const struct csl__value *c = csl__input(lo, node, 2);
    bool left = a->kind == CSL__VALUE_CONST; /* the weights stand at the left */
    struct csl__value *x = left ? b : a;
    const struct csl__value *w = left ? a : b;
    if (x->kind != CSL__VALUE_ACTIVATION || !is_matrix(w)) {
        return operand_issue(lo, node, a, b);
    }
    /* op(x) is [batch, k], or at the right [k, batch]. */
    unsigned batch = (left ? node->attr.trans_b : node->attr.trans_a) == left ? 0 : 1;
    if (!is_rows(&x->view, batch)) {
        return csl__issue(lo, node, "put a Flatten before it; leave transA at 0",
                          x->view.rank != 2
                              ? "its input has %u dimensions, not 2"
                              : "transA does not fit its input of rank %u: the batch would be multiplied",
                          x->view.rank);
    }
    struct matrix m = read_matrix(w, left ? !node->attr.trans_a : node->attr.trans_b, node->attr.alpha);
    TRY(whole(lo, node, x, &m, left, out, diag));
    if (c != NULL && out->kind == CSL__VALUE_ACTIVATION) {
        return add_bias(lo, node, c, out, diag);
    }
    return CSL_OK;
}

/* x [..., k] times the matrix where the channels are the last dimension: a 1 x 1 convolution. */
static enum csl_err each_pixel(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *x,
                               const struct matrix *m, struct csl__value *out, struct csl_diag *diag) {
    struct csl_hwc d = csl__dim(lo, x->value);
    unsigned last = x->view.rank - 1;
    if (!csl__dim_is_axis(&x->view, last, CSL__AXIS_C, d.c)) {
        return csl__issue(lo, node, "put a Flatten before it",
                          "it is applied to each row of an input of rank %u, not to the whole input",
                          x->view.rank);
    }
    struct csl_conv_shape s = {.in_h = d.h,
                               .in_w = d.w,
                               .in_c = d.c,
                               .out_h = d.h,
                               .out_w = d.w,
                               .out_c = (uint32_t)m->n,
                               .kernel_h = 1,
                               .kernel_w = 1,
                               .stride_h = 1,
                               .stride_w = 1,
                               .dilation_h = 1,
                               .dilation_w = 1,
                               .groups = 1};
    if (m->k != (int64_t)d.c) {
        return wrong_rows(node, m->k, d.c, diag);
    }
    if (m->n > CSL__MAX_ELEMENTS) {
        return csl_fail(diag, CSL_EDATA, "node \"%s\" (%s): %lld columns are too many", node->name,
                        node->op_name, (long long)m->n);
    }
    TRY(add_layer(lo, node, &s, x, m, NULL, diag));
    if (x->kind == CSL__VALUE_NONE) {
        return CSL_OK;
    }
    *out = (struct csl__value){.kind = CSL__VALUE_ACTIVATION, .view = x->view, .value = csl__last_value(lo)};
    csl__view_set_channels(&out->view, last, (uint32_t)m->n);
    return CSL_OK;
}

enum csl_err csl__lower_matmul(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                               struct csl_diag *diag) {
    struct csl__value *a = csl__input(lo, node, 0);
    struct csl__value *b = csl__input(lo, node, 1);
    bool left = a->kind == CSL__VALUE_CONST;
    struct csl__value *x = left ? b : a;
    const struct csl__value *w = left ? a : b;
    if (x->kind != CSL__VALUE_ACTIVATION || !is_matrix(w)) {
        return operand_issue(lo, node, a, b);
    }
    const struct csl__view *v = &x->view;
    struct matrix m = read_matrix(w, left, 1.0F);
    if (left) {
        return is_rows(v, 1) ? whole(lo, node, x, &m, true, out, diag)
                             : csl__issue(lo, node, "write it as x.W with the batch in dimension 0",
                                          "the constant is its left operand");
    }
    if (v->rank == 0 || v->batch == (int)v->rank - 1) {
        return csl__issue(lo, node, "remove the Transpose before it",
                          "its input is transposed: the batch would be multiplied");
    }
    if (v->dims[v->rank - 1] != csl__features(v)) {
        return each_pixel(lo, node, x, &m, out, diag);
    }
    struct csl__view before = *v;
    TRY(whole(lo, node, x, &m, false, out, diag));
    if (out->kind == CSL__VALUE_ACTIVATION) { /* as many dimensions as before */
        for (unsigned i = 0; i <= before.rank; i++) {
            before.first[i] = 0;
        }
        csl__view_set_channels(&before, before.rank - 1, (uint32_t)m.n);
        out->view = before;
    }
    return CSL_OK;
}
