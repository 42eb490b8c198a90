/* Pooling: MaxPool, AveragePool, the global ones, and ReduceMean over height and width. */
#include "nn/lower_internal.h"

/* How many taps of the windows along one side lie in the picture: smallest and largest number. */
static void count_taps(uint32_t *least, uint32_t *most, uint32_t out, uint32_t kernel, uint32_t stride,
                       uint32_t dilation, uint32_t pad, uint32_t in) {
    *least = UINT32_MAX;
    *most = 0;
    for (uint32_t o = 0; o < out; o++) {
        uint32_t n = csl__taps(o, kernel, stride, dilation, pad, in);
        *least = n < *least ? n : *least;
        *most = n > *most ? n : *most;
    }
}

/* ReLU and maximum commute: behind the pool there are fewer values to compare with zero. The layer that made
 * the ReLU now pools; the caller appends the ReLU. */
static bool swap_relu(struct csl__lowering *lo, struct csl__value *x, struct csl_op_node *pool) {
    struct csl_op_node *relu = x->value == 0 ? NULL : &lo->net->nodes[x->value - 1];
    if (relu == NULL || relu->kind != CSL_OPK_ACTIVATE || relu->fn != CSL_FN_RELU || x->shared ||
        pool->kind != CSL_OPK_MAXPOOL) {
        return false;
    }
    struct csl_op_node old = *relu;
    *relu = *pool;
    relu->in[0] = old.in[0];
    *pool = old;
    pool->in[0] = x->value;
    pool->out = relu->out;
    return true;
}

/* A map that the pool may come before. Maxima keep the order only where the factor is not negative; means of
 * windows that see padding are no means of the map. */
static bool affine_passes(const struct csl__affine *a, const struct csl_op_node *op, uint32_t channels,
                          bool padded) {
    if (a->n != 1 && a->n != channels) {
        return false;
    }
    for (size_t i = 0; op->kind == CSL_OPK_MAXPOOL && i < a->n; i++) {
        if (a->s[i] < 0.0) {
            return false;
        }
    }
    return op->kind == CSL_OPK_MAXPOOL || !(padded && op->count_include_pad) || csl__affine_keeps_zero(a);
}

/* Every window's taps; *ok false: an issue was noted. */
static enum csl_err check_taps(struct csl__lowering *lo, bool *ok, bool *padded, const struct csl_node *node,
                               struct csl_op_node *op) {
    const struct csl_conv_shape *s = &op->shape;
    uint32_t least_h;
    uint32_t most_h;
    uint32_t least_w;
    uint32_t most_w;
    count_taps(&least_h, &most_h, s->out_h, s->kernel_h, s->stride_h, s->dilation_h, s->pad_top, s->in_h);
    count_taps(&least_w, &most_w, s->out_w, s->kernel_w, s->stride_w, s->dilation_w, s->pad_left, s->in_w);
    *padded = least_h != s->kernel_h || least_w != s->kernel_w;
    *ok = least_h != 0 && least_w != 0;
    if (!*ok) {
        return csl__issue(lo, node, "use less padding than the kernel's size",
                          "one of its windows lies in the padding altogether");
    }
    if (op->kind == CSL_OPK_AVGPOOL && !op->count_include_pad && least_h == most_h && least_w == most_w &&
        !*padded) {
        op->count_include_pad = true;
    }
    return CSL_OK;
}

/* Adds the pool `op` of x (its kind, shape and count_include_pad) and gives out its value; out->view is the
 * caller's. */
static enum csl_err add_pool(struct csl__lowering *lo, const struct csl_node *node, struct csl_op_node op,
                             struct csl__value *x, struct csl__value *out, struct csl_diag *diag) {
    bool ok;
    bool padded;
    struct csl_op_node *added;
    TRY(check_taps(lo, &ok, &padded, node, &op));
    if (!ok) {
        return CSL_OK;
    }
    if (x->affine != NULL && !affine_passes(x->affine, &op, op.shape.in_c, padded)) {
        TRY(csl__settle(lo, x, diag));
        if (x->kind == CSL__VALUE_NONE) {
            return CSL_OK;
        }
    }
    TRY(csl__new_node(lo, &added, node, op.kind, x->value,
                      (struct csl_hwc){op.shape.out_h, op.shape.out_w, op.shape.out_c}, diag));
    added->shape = op.shape;
    added->count_include_pad = op.count_include_pad;
    (void)swap_relu(lo, x, added);
    *out =
        (struct csl__value){.kind = CSL__VALUE_ACTIVATION, .value = csl__last_value(lo), .affine = x->affine};
    return CSL_OK;
}

static enum csl_err not_constant(struct csl__lowering *lo, bool *ok, const struct csl_node *node,
                                 struct csl__value *x, bool channels_last) {
    *ok = false;
    if (x->kind != CSL__VALUE_ACTIVATION) {
        return csl__issue(lo, node, "fold constants when exporting", "it works on a constant");
    }
    return csl__need_picture(lo, ok, node, x, channels_last);
}

/* With ceil_mode the last window may reach beyond the padding, which is not counted then. */
static bool reaches_beyond(const struct csl_conv_shape *s, const struct csl_node *node) {
    const int64_t *pads = node->attr.pads;
    bool given = node->attr.n_pads == 4;
    int64_t end_h = (int64_t)(s->out_h - 1) * s->stride_h + (int64_t)(s->kernel_h - 1) * s->dilation_h;
    int64_t end_w = (int64_t)(s->out_w - 1) * s->stride_w + (int64_t)(s->kernel_w - 1) * s->dilation_w;
    return node->attr.ceil_mode && node->attr.auto_pad == CSL_PAD_NOTSET &&
           (end_h >= (int64_t)s->in_h + s->pad_top + (given ? pads[2] : 0) ||
            end_w >= (int64_t)s->in_w + s->pad_left + (given ? pads[3] : 0));
}

enum csl_err csl__lower_pool(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                             struct csl_diag *diag) {
    struct csl__value *x = csl__input(lo, node, 0);
    const struct csl_attributes *attr = &node->attr;
    bool ok;
    TRY(not_constant(lo, &ok, node, x, attr->channels_last));
    if (!ok) {
        return CSL_OK;
    }
    struct csl_hwc d = csl__dim(lo, x->value);
    bool small = attr->kernel[0] >= 1 && attr->kernel[0] <= CSL__MAX_ELEMENTS && attr->kernel[1] >= 1 &&
                 attr->kernel[1] <= CSL__MAX_ELEMENTS;
    struct csl_op_node op = {.kind = node->op == CSL_OP_MAX_POOL ? CSL_OPK_MAXPOOL : CSL_OPK_AVGPOOL,
                             .count_include_pad = node->op == CSL_OP_AVERAGE_POOL && attr->count_include_pad,
                             .shape = {.in_h = d.h,
                                       .in_w = d.w,
                                       .in_c = d.c,
                                       .out_c = d.c,
                                       .kernel_h = small ? (uint32_t)attr->kernel[0] : 0,
                                       .kernel_w = small ? (uint32_t)attr->kernel[1] : 0,
                                       .groups = d.c}};
    TRY(csl__window(lo, &ok, node, &op.shape));
    if (!ok) {
        return CSL_OK;
    }
    if (op.count_include_pad && reaches_beyond(&op.shape, node)) {
        return csl__issue(
            lo, node, "set ceil_mode or count_include_pad to 0",
            "with ceil_mode and count_include_pad its windows at the edge count fewer elements");
    }
    TRY(add_pool(lo, node, op, x, out, diag));
    if (out->kind == CSL__VALUE_ACTIVATION) {
        out->view = csl__view_picture(csl__dim(lo, out->value), x->view.dims[0], attr->channels_last);
    }
    return CSL_OK;
}

/* One window over height, width or both. */
static struct csl_op_node global(enum csl_op_kind kind, struct csl_hwc d, bool height, bool width) {
    return (struct csl_op_node){.kind = kind,
                                .count_include_pad = kind == CSL_OPK_AVGPOOL,
                                .shape = {.in_h = d.h,
                                          .in_w = d.w,
                                          .in_c = d.c,
                                          .out_h = height ? 1 : d.h,
                                          .out_w = width ? 1 : d.w,
                                          .out_c = d.c,
                                          .kernel_h = height ? d.h : 1,
                                          .kernel_w = width ? d.w : 1,
                                          .stride_h = 1,
                                          .stride_w = 1,
                                          .dilation_h = 1,
                                          .dilation_w = 1,
                                          .groups = d.c}};
}

enum csl_err csl__lower_global_pool(struct csl__lowering *lo, const struct csl_node *node,
                                    struct csl__value *out, struct csl_diag *diag) {
    struct csl__value *x = csl__input(lo, node, 0);
    bool ok;
    TRY(not_constant(lo, &ok, node, x, node->attr.channels_last));
    if (!ok) {
        return CSL_OK;
    }
    enum csl_op_kind kind = node->op == CSL_OP_GLOBAL_MAX_POOL ? CSL_OPK_MAXPOOL : CSL_OPK_AVGPOOL;
    TRY(add_pool(lo, node, global(kind, csl__dim(lo, x->value), true, true), x, out, diag));
    if (out->kind == CSL__VALUE_ACTIVATION) {
        out->view = csl__view_picture(csl__dim(lo, out->value), x->view.dims[0], node->attr.channels_last);
    }
    return CSL_OK;
}

/* ---- ReduceMean ---- */

/* The axes as a set of dimensions, from the attribute or the second input. */
static enum csl_err read_axes(struct csl__lowering *lo, unsigned *set, const struct csl_node *node,
                              const struct csl__view *v) {
    const struct csl__value *in = csl__input(lo, node, 1);
    bool from_input = in != NULL && in->kind == CSL__VALUE_CONST && in->i64 != NULL && in->n <= CSL_MAX_RANK;
    const int64_t *axes = from_input ? in->i64 : node->attr.axes;
    size_t n = from_input ? in->n : node->attr.has_axes ? node->attr.n_axes : 0;
    *set = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t axis = axes[i] + (axes[i] < 0 ? (int64_t)v->rank : 0);
        if (axis < 0 || axis >= (int64_t)v->rank || axis == v->batch) {
            *set = 0;
            break;
        }
        *set |= 1U << axis;
    }
    if (*set == 0) {
        return csl__issue(lo, node, "reduce over height and width only",
                          "its axes are not constant, or they concern the batch");
    }
    return CSL_OK;
}

/* Elements of axis h or w among the reduced dimensions; false when channels are, too. */
static bool reduced(const struct csl__view *v, unsigned set, uint64_t *h, uint64_t *w) {
    *h = *w = 1;
    for (unsigned i = 0; i < v->rank; i++) {
        for (unsigned a = v->first[i]; (set >> i & 1) != 0 && a < v->first[i + 1]; a++) {
            if (v->atoms[a].axis == CSL__AXIS_C) {
                return false;
            }
            *(v->atoms[a].axis == CSL__AXIS_H ? h : w) *= v->atoms[a].size;
        }
    }
    return true;
}

/* The view without the atoms of the set; the dimensions stay as 1, or go. */
static struct csl__view drop(const struct csl__view *v, unsigned set, bool keep) {
    struct csl__view y = {.batch = v->batch};
    unsigned n = 0;
    for (unsigned i = 0; i < v->rank; i++) {
        bool in_set = (set >> i & 1) != 0;
        if (in_set && !keep) {
            y.batch -= (int)i < v->batch ? 1 : 0;
            continue;
        }
        y.dims[y.rank++] = in_set ? 1 : v->dims[i];
        for (unsigned a = v->first[i]; !in_set && a < v->first[i + 1]; a++) {
            y.atoms[n++] = v->atoms[a];
        }
        y.first[y.rank] = (uint8_t)n;
    }
    return y;
}

enum csl_err csl__lower_mean(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                             struct csl_diag *diag) {
    struct csl__value *x = csl__input(lo, node, 0);
    unsigned set;
    uint64_t h;
    uint64_t w;
    if (x->kind != CSL__VALUE_ACTIVATION) {
        return csl__issue(lo, node, "fold constants when exporting", "it works on a constant");
    }
    TRY(read_axes(lo, &set, node, &x->view));
    if (set == 0) {
        return CSL_OK;
    }
    struct csl_hwc d = csl__dim(lo, x->value);
    if (!reduced(&x->view, set, &h, &w) || (h != 1 && h != d.h) || (w != 1 && w != d.w)) {
        return csl__issue(lo, node, "reduce over height and width only",
                          "it takes the mean over channels or over parts of the picture");
    }
    struct csl_op_node op = global(CSL_OPK_AVGPOOL, d, h != 1, w != 1);
    struct csl__view view = drop(&x->view, set, node->attr.keepdims);
    TRY(add_pool(lo, node, op, x, out, diag));
    if (out->kind == CSL__VALUE_ACTIVATION) {
        out->view = view;
    }
    return CSL_OK;
}
