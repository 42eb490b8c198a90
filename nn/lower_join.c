/* Add and Concat of activations, and Pad. */
#include <stdio.h>
#include <string.h>

#include "nn/lower_internal.h"

static bool equal_dim(struct csl_hwc a, struct csl_hwc b) {
    return a.h == b.h && a.w == b.w && a.c == b.c;
}

static enum csl_err too_many(struct csl__lowering *lo, const struct csl_node *node) {
    return csl__issue(lo, node, "join in several steps", "it joins more than %d values",
                      CSL_NETWORK_MAX_INPUTS);
}

/* The node's activations, at most CSL_NETWORK_MAX_INPUTS, settled; *n 0: an issue was noted. */
static enum csl_err operands(struct csl__lowering *lo, struct csl__value *x[CSL_NETWORK_MAX_INPUTS],
                             unsigned *n, const struct csl_node *node, struct csl_diag *diag) {
    unsigned found = 0;
    *n = 0;
    for (unsigned i = 0; i < node->n_inputs; i++) {
        struct csl__value *v = csl__input(lo, node, i);
        if (v == NULL || v->kind != CSL__VALUE_ACTIVATION) {
            return csl__issue(lo, node, "fold constants when exporting",
                              "its operand %u is a constant or absent", i);
        }
        if (found == CSL_NETWORK_MAX_INPUTS) {
            return too_many(lo, node);
        }
        if (v->view.batch != csl__input(lo, node, 0)->view.batch) {
            return csl__issue(lo, node, "keep the batch in dimension 0",
                              "its operands have the batch in different dimensions");
        }
        TRY(csl__settle(lo, v, diag));
        if (v->kind == CSL__VALUE_NONE) {
            return CSL_OK;
        }
        x[found++] = v;
    }
    *n = found;
    return CSL_OK;
}

static enum csl_err add(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *const *x,
                        unsigned n, struct csl__value *out, struct csl_diag *diag) {
    struct csl_op_node *op;
    struct csl_hwc d = csl__dim(lo, x[0]->value);
    for (unsigned i = 1; i < n; i++) {
        if (!csl__view_same(&x[0]->view, &x[i]->view) || !equal_dim(d, csl__dim(lo, x[i]->value))) {
            return csl__issue(lo, node, "add values of one shape and layout",
                              "its operands have different shapes, or stand in different orders");
        }
    }
    if (n == 1) {
        *out = *x[0];
        return CSL_OK;
    }
    TRY(csl__new_node(lo, &op, node, CSL_OPK_ADD, x[0]->value, d, diag));
    op->n_in = n;
    for (unsigned i = 0; i < n; i++) {
        op->in[i] = x[i]->value;
    }
    *out =
        (struct csl__value){.kind = CSL__VALUE_ACTIVATION, .view = x[0]->view, .value = csl__last_value(lo)};
    return CSL_OK;
}

/* Add, Sum and Sub of activations. */
enum csl_err csl__lower_join(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                             struct csl_diag *diag) {
    struct csl__value *x[CSL_NETWORK_MAX_INPUTS];
    struct csl__value negated;
    unsigned n;
    if (node->op == CSL_OP_SUB) {
        const size_t none[CSL_MAX_RANK] = {0};
        const double minus = -1.0;
        x[0] = csl__input(lo, node, 0);
        x[1] = &negated;
        n = 2;
        TRY(csl__affine(lo, node, csl__input(lo, node, 1), &negated, &minus, NULL, 1, none, diag));
        TRY(csl__settle(lo, x[0], diag));
        TRY(csl__settle(lo, &negated, diag));
        if (x[0]->kind == CSL__VALUE_NONE || negated.kind == CSL__VALUE_NONE) {
            return CSL_OK;
        }
    } else {
        TRY(operands(lo, x, &n, node, diag));
    }
    return n == 0 ? CSL_OK : add(lo, node, x, n, out, diag);
}

/* Views that differ only in the number of channels, which are dimension `axis`. */
static bool alike(const struct csl__lowering *lo, const struct csl__value *a, const struct csl__value *b,
                  unsigned axis) {
    struct csl_hwc da = csl__dim(lo, a->value);
    struct csl_hwc db = csl__dim(lo, b->value);
    struct csl__view x = a->view;
    struct csl__view y = b->view;
    if (x.rank != y.rank || da.h != db.h || da.w != db.w || !csl__dim_is_axis(&x, axis, CSL__AXIS_C, da.c) ||
        !csl__dim_is_axis(&y, axis, CSL__AXIS_C, db.c)) {
        return false;
    }
    csl__view_set_channels(&x, axis, 1);
    csl__view_set_channels(&y, axis, 1);
    return csl__view_same(&x, &y);
}

enum csl_err csl__lower_concat(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                               struct csl_diag *diag) {
    struct csl__value *x[CSL_NETWORK_MAX_INPUTS];
    struct csl_op_node *op;
    unsigned n;
    TRY(operands(lo, x, &n, node, diag));
    if (n == 0) {
        return CSL_OK;
    }
    int64_t axis = node->attr.axis + (node->attr.axis < 0 ? (int64_t)x[0]->view.rank : 0);
    struct csl_hwc d = csl__dim(lo, x[0]->value);
    uint64_t channels = 0;
    for (unsigned i = 0; i < n; i++) {
        if (axis < 0 || axis >= (int64_t)x[0]->view.rank || !alike(lo, x[0], x[i], (unsigned)axis)) {
            return csl__issue(lo, node, "join along the channels, before any Flatten",
                              "axis %lld is not the channels of all its operands, or their other dimensions "
                              "differ",
                              (long long)node->attr.axis);
        }
        channels += csl__dim(lo, x[i]->value).c;
    }
    if (channels > CSL__MAX_ELEMENTS) {
        return csl__issue(lo, node, "use fewer channels", "its output is too large");
    }
    d.c = (uint32_t)channels;
    TRY(csl__new_node(lo, &op, node, CSL_OPK_CONCAT, x[0]->value, d, diag));
    op->n_in = n;
    for (unsigned i = 0; i < n; i++) {
        op->in[i] = x[i]->value;
    }
    *out =
        (struct csl__value){.kind = CSL__VALUE_ACTIVATION, .view = x[0]->view, .value = csl__last_value(lo)};
    csl__view_set_channels(&out->view, (unsigned)axis, d.c);
    return CSL_OK;
}

/* ---- Pad ---- */

/* Begins and ends of each dimension, from the attribute or the inputs (with axes). False: not constant, or
 * not zeros. */
static bool read_pads(const struct csl__lowering *lo, const struct csl_node *node, unsigned rank,
                      int64_t begin[CSL_MAX_RANK], int64_t end[CSL_MAX_RANK]) {
    const struct csl__value *pads = csl__input(lo, node, 1);
    const struct csl__value *value = csl__input(lo, node, 2);
    const struct csl__value *axes = csl__input(lo, node, 3);
    const int64_t *p = node->attr.pads;
    size_t n = node->attr.n_pads;
    if (pads != NULL) {
        p = pads->i64;
        n = pads->kind == CSL__VALUE_CONST && p != NULL ? pads->n : 0;
    }
    size_t half = axes != NULL ? axes->n : rank;
    bool zero = value == NULL ? node->attr.pad_value == 0.0F
                              : value->kind == CSL__VALUE_CONST && value->n == 1 &&
                                    (value->f32 != NULL ? value->f32[0] == 0.0F : value->i64[0] == 0);
    if (!zero || n == 0 || n != 2 * half || half > rank ||
        (axes != NULL && (axes->kind != CSL__VALUE_CONST || axes->i64 == NULL))) {
        return false;
    }
    memset(begin, 0, CSL_MAX_RANK * sizeof *begin);
    memset(end, 0, CSL_MAX_RANK * sizeof *end);
    for (size_t i = 0; i < half; i++) {
        int64_t axis = axes == NULL ? (int64_t)i : axes->i64[i] + (axes->i64[i] < 0 ? (int64_t)rank : 0);
        if (axis < 0 || axis >= (int64_t)rank || p[i] < 0 || p[i] > CSL__MAX_ELEMENTS || p[half + i] < 0 ||
            p[half + i] > CSL__MAX_ELEMENTS) {
            return false;
        }
        begin[axis] = p[i];
        end[axis] = p[half + i];
    }
    return true;
}

/* Where the picture has its channels: not in a dimension that is padded. */
static bool channels_stand_last(const struct csl__lowering *lo, const struct csl_node *node,
                                const struct csl__value *x, const int64_t *begin, const int64_t *end) {
    uint32_t c = csl__dim(lo, x->value).c;
    if (node->attr.channels_last || x->view.rank != 4 || begin[1] + end[1] != 0 || begin[3] + end[3] != 0) {
        return node->attr.channels_last || begin[3] + end[3] == 0;
    }
    return !csl__dim_is_axis(&x->view, 1, CSL__AXIS_C, c) && csl__dim_is_axis(&x->view, 3, CSL__AXIS_C, c);
}

static enum csl_err add_pad(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *x,
                            const int64_t top_left[2], const int64_t bottom_right[2], struct csl_diag *diag) {
    struct csl_op_node *op;
    struct csl_hwc d = csl__dim(lo, x->value);
    struct csl_hwc y = {d.h + (uint32_t)(top_left[0] + bottom_right[0]),
                        d.w + (uint32_t)(top_left[1] + bottom_right[1]), d.c};
    TRY(csl__new_node(lo, &op, node, CSL_OPK_PAD, x->value, y, diag));
    op->shape = (struct csl_conv_shape){.in_h = d.h,
                                        .in_w = d.w,
                                        .in_c = d.c,
                                        .out_h = y.h,
                                        .out_w = y.w,
                                        .out_c = y.c,
                                        .kernel_h = 1,
                                        .kernel_w = 1,
                                        .stride_h = 1,
                                        .stride_w = 1,
                                        .pad_top = (uint32_t)top_left[0],
                                        .pad_left = (uint32_t)top_left[1],
                                        .dilation_h = 1,
                                        .dilation_w = 1,
                                        .groups = d.c};
    return CSL_OK;
}

enum csl_err csl__lower_pad(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                            struct csl_diag *diag) {
    struct csl__value *x = csl__input(lo, node, 0);
    int64_t begin[CSL_MAX_RANK];
    int64_t end[CSL_MAX_RANK];
    bool ok;
    if (x->kind != CSL__VALUE_ACTIVATION) {
        return csl__issue(lo, node, "fold constants when exporting", "it works on a constant");
    }
    if (node->attr.pad_mode != CSL_PADMODE_CONSTANT || !read_pads(lo, node, x->view.rank, begin, end)) {
        return csl__issue(
            lo, node, "pad with zeros, by constant amounts that are not negative",
            "its mode is not constant, its value not zero, or its pads are not constants that fit "
            "its input");
    }
    bool none = true;
    for (unsigned i = 0; i < x->view.rank; i++) {
        none = none && begin[i] == 0 && end[i] == 0;
    }
    if (none) {
        *out = *x;
        return CSL_OK;
    }
    bool last = channels_stand_last(lo, node, x, begin, end);
    TRY(csl__need_picture(lo, &ok, node, x, last));
    if (!ok) {
        return CSL_OK;
    }
    unsigned c = last ? 3 : 1;
    unsigned h = last ? 1 : 2;
    if (begin[0] + end[0] + begin[c] + end[c] != 0) {
        return csl__issue(lo, node, "pad height and width only", "it pads the batch or the channels");
    }
    TRY(csl__settle(lo, x, diag));
    if (x->kind == CSL__VALUE_NONE) {
        return CSL_OK;
    }
    TRY(add_pad(lo, node, x, (const int64_t[]){begin[h], begin[h + 1]}, (const int64_t[]){end[h], end[h + 1]},
                diag));
    *out = (struct csl__value){.kind = CSL__VALUE_ACTIVATION, .value = csl__last_value(lo)};
    out->view = csl__view_picture(csl__dim(lo, out->value), x->view.dims[0], last);
    return CSL_OK;
}
