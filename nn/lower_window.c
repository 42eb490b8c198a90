/* Windows over pictures: explicit and automatic padding, output sizes, ceil_mode. */
#include "nn/lower_internal.h"

/* One of the two spatial dimensions. */
struct side {
    const char *name;
    int64_t in, kernel, stride, dilation, before, after;
    int64_t out;
};

/* The kernel with its gaps. */
static int64_t extent(const struct side *s) {
    return (s->kernel - 1) * s->dilation + 1;
}

static void auto_pad(struct side *s, enum csl_auto_pad mode) {
    s->before = s->after = 0;
    if (mode != CSL_PAD_VALID) {
        int64_t out = (s->in + s->stride - 1) / s->stride;
        int64_t total = (out - 1) * s->stride + extent(s) - s->in;
        total = total < 0 ? 0 : total;
        s->before = mode == CSL_PAD_SAME_UPPER ? total / 2 : total - total / 2;
        s->after = total - s->before;
    }
}

/* Sizes are below 2^24, so that no product here overflows. */
static enum csl_err lower_side(struct csl__lowering *lo, bool *ok, const struct csl_node *node,
                               struct side *s) {
    *ok = false;
    if (s->kernel < 1 || s->kernel > CSL__MAX_ELEMENTS || s->stride < 1 || s->stride > CSL__MAX_ELEMENTS ||
        s->dilation < 1 || s->dilation > CSL__MAX_ELEMENTS) {
        return csl__issue(
            lo, node, "check the exporter",
            "its kernel %s, stride and dilation are %lld, %lld and %lld; they must be from 1 to "
            "%d",
            s->name, (long long)s->kernel, (long long)s->stride, (long long)s->dilation, CSL__MAX_ELEMENTS);
    }
    if (node->attr.auto_pad != CSL_PAD_NOTSET) {
        auto_pad(s, node->attr.auto_pad);
    }
    if (s->before < 0 || s->before > CSL__MAX_ELEMENTS || s->after < 0 || s->after > CSL__MAX_ELEMENTS) {
        return csl__issue(lo, node, "pads must not be negative", "its padding along the %s is %lld and %lld",
                          s->name, (long long)s->before, (long long)s->after);
    }
    int64_t padded = s->in + s->before + s->after;
    if (extent(s) > padded) {
        return csl__issue(lo, node, "use a smaller kernel, more padding or larger pictures",
                          "its kernel %s of %lld is larger than the padded input of %lld", s->name,
                          (long long)extent(s), (long long)padded);
    }
    int64_t room = padded - extent(s);
    s->out = room / s->stride + 1;
    bool rest = room % s->stride != 0;
    if (node->attr.ceil_mode && node->attr.auto_pad == CSL_PAD_NOTSET && rest &&
        s->out * s->stride < s->in + s->before) { /* one window more, if it begins inside */
        s->out++;
    }
    *ok = true;
    return CSL_OK;
}

enum csl_err csl__window(struct csl__lowering *lo, bool *ok, const struct csl_node *node,
                         struct csl_conv_shape *s) {
    const struct csl_attributes *attr = &node->attr;
    *ok = false;
    if (attr->n_spatial != 0 && attr->n_spatial != 2) {
        return csl__issue(lo, node, "write a Conv1d as a Conv2d of height 1",
                          "it has %u spatial dimensions, not 2", attr->n_spatial);
    }
    if (attr->n_pads != 0 && attr->n_pads != 4) {
        return csl__issue(lo, node, "check the exporter", "its pads have %u entries, not 4", attr->n_pads);
    }
    bool given = attr->n_pads == 4;
    struct side h = {"height",
                     s->in_h,
                     s->kernel_h,
                     attr->strides[0],
                     attr->dilations[0],
                     given ? attr->pads[0] : 0,
                     given ? attr->pads[2] : 0,
                     0};
    struct side w = {"width",
                     s->in_w,
                     s->kernel_w,
                     attr->strides[1],
                     attr->dilations[1],
                     given ? attr->pads[1] : 0,
                     given ? attr->pads[3] : 0,
                     0};
    TRY(lower_side(lo, ok, node, &h));
    if (*ok) {
        TRY(lower_side(lo, ok, node, &w));
    }
    s->stride_h = (uint32_t)h.stride;
    s->stride_w = (uint32_t)w.stride;
    s->dilation_h = (uint32_t)h.dilation;
    s->dilation_w = (uint32_t)w.dilation;
    s->pad_top = (uint32_t)h.before;
    s->pad_left = (uint32_t)w.before;
    s->out_h = (uint32_t)h.out;
    s->out_w = (uint32_t)w.out;
    return CSL_OK;
}

uint32_t csl__taps(uint32_t o, uint32_t kernel, uint32_t stride, uint32_t dilation, uint32_t pad,
                   uint32_t in) {
    int64_t start = (int64_t)o * stride - pad;
    int64_t last = (int64_t)in - 1 - start;
    int64_t from = start < 0 ? (-start + dilation - 1) / dilation : 0;
    int64_t to = last < 0 ? -1 : last / dilation;
    to = to < (int64_t)kernel - 1 ? to : (int64_t)kernel - 1;
    return to < from ? 0 : (uint32_t)(to - from + 1);
}
