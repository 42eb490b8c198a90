/* Conv. */
#include <math.h>

#include "crypto/secret.h"
#include "nn/lower_internal.h"

/* Weights of ONNX are out x in/groups x height x width. */
static enum csl_err check_weights(struct csl__lowering *lo, bool *ok, const struct csl_node *node,
                                  const struct csl__value *w, struct csl_conv_shape *s) {
    *ok = false;
    if (w->kind != CSL__VALUE_CONST || w->f32 == NULL || w->view.rank != 4) {
        return csl__issue(lo, node, "weights must be float constants of rank 4", "its weights are %s",
                          w->kind != CSL__VALUE_CONST ? "not constant"
                          : w->f32 == NULL            ? "integers"
                                                      : "not of rank 4");
    }
    const int64_t *d = w->view.dims;
    int64_t groups = node->attr.group;
    if (groups < 1 || groups > (int64_t)s->in_c || s->in_c % groups != 0 || d[0] % groups != 0) {
        return csl__issue(lo, node, "check the exporter",
                          "its %lld groups do not divide its %u input and %lld output channels",
                          (long long)groups, s->in_c, (long long)d[0]);
    }
    if (d[1] != (int64_t)s->in_c / groups) {
        return csl__issue(lo, node, "check the exporter",
                          "its weights are for %lld channels, its input has %u in %lld groups",
                          (long long)(d[1]), s->in_c, (long long)groups);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (node->attr.n_spatial != 0 && node->attr.kernel[i] != 0 && node->attr.kernel[i] != d[2 + i]) {
            return csl__issue(lo, node, "check the exporter",
                              "its kernel_shape says %lld where its weights have %lld",
                              (long long)node->attr.kernel[i], (long long)d[2 + i]);
        }
        if (d[2 + i] > CSL__MAX_ELEMENTS) {
            return csl__issue(lo, node, "use a smaller kernel", "its kernel is too large");
        }
    }
    if (d[0] > CSL__MAX_ELEMENTS) {
        return csl__issue(lo, node, "use fewer channels", "it has %lld output channels", (long long)d[0]);
    }
    s->groups = (uint32_t)groups;
    s->out_c = (uint32_t)d[0];
    s->kernel_h = (uint32_t)d[2];
    s->kernel_w = (uint32_t)d[3];
    *ok = true;
    return CSL_OK;
}

static void copy_weights(float *out, const float *w, const struct csl_conv_shape *s) {
    size_t in_g = s->in_c / s->groups;
    size_t taps = (size_t)s->kernel_h * s->kernel_w;
    for (size_t o = 0; o < s->out_c; o++) {
        for (size_t i = 0; i < in_g; i++) {
            for (size_t k = 0; k < taps; k++) {
                out[(k * in_g + i) * s->out_c + o] = *w++;
            }
        }
    }
}

static enum csl_err add_conv(struct csl__lowering *lo, const struct csl_node *node,
                             const struct csl_conv_shape *s, struct csl__value *x, const struct csl__value *w,
                             const struct csl__value *b, struct csl_diag *diag) {
    struct csl_op_node *op;
    TRY(csl__spend(lo, node, w->n + 2 * (uint64_t)s->out_c, diag));
    TRY(csl__new_node(lo, &op, node, CSL_OPK_CONV, x->value, (struct csl_hwc){s->out_h, s->out_w, s->out_c},
                      diag));
    op->shape = *s;
    op->w = csl_secret_alloc(w->n, sizeof *op->w);
    op->b = csl_secret_alloc(s->out_c, sizeof *op->b);
    if (op->w == NULL || op->b == NULL) {
        return CSL_ENOMEM;
    }
    copy_weights(op->w, w->f32, s);
    for (size_t j = 0; b != NULL && j < s->out_c; j++) {
        op->b[j] = b->f32[j];
    }
    if (x->affine != NULL) {
        csl__affine_absorb(op, x->affine);
    }
    return CSL_OK;
}

enum csl_err csl__lower_conv(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                             struct csl_diag *diag) {
    struct csl__value *x = csl__input(lo, node, 0);
    const struct csl__value *w = csl__input(lo, node, 1);
    const struct csl__value *b = csl__input(lo, node, 2);
    bool ok;
    if (x->kind != CSL__VALUE_ACTIVATION) {
        return csl__issue(lo, node, "fold constants when exporting", "it works on a constant");
    }
    TRY(csl__need_picture(lo, &ok, node, x, node->attr.channels_last));
    if (!ok) {
        return CSL_OK;
    }
    struct csl_hwc d = csl__dim(lo, x->value);
    struct csl_conv_shape s = {.in_h = d.h, .in_w = d.w, .in_c = d.c};
    TRY(check_weights(lo, &ok, node, w, &s));
    if (ok) {
        TRY(csl__window(lo, &ok, node, &s));
    }
    if (!ok) {
        return CSL_OK;
    }
    if (b != NULL && (b->kind != CSL__VALUE_CONST || b->f32 == NULL || b->n != s.out_c)) {
        return csl__issue(lo, node, "the bias must be one float constant a channel",
                          "its bias is not %u float constants", s.out_c);
    }
    if (x->affine != NULL && !csl__affine_fits(x->affine, &s)) {
        TRY(csl__settle(lo, x, diag));
        if (x->kind == CSL__VALUE_NONE) {
            return CSL_OK;
        }
    }
    TRY(add_conv(lo, node, &s, x, w, b, diag));
    struct csl_hwc dim = {s.out_h, s.out_w, s.out_c};
    *out = (struct csl__value){.kind = CSL__VALUE_ACTIVATION, .value = csl__last_value(lo)};
    out->view = csl__view_picture(dim, x->view.dims[0], node->attr.channels_last);
    return CSL_OK;
}
