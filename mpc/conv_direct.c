#include "mpc/conv_internal.h"

#include "mpc/gemm_internal.h"
#include "mpc/ring.h"
#include "mpc/threads.h"

#include <string.h>

/* What the windows cover; a picture's part of it stands at (pad_top, pad_left). */
struct extent {
    size_t h, w;
    bool padded; /* more than the picture, or not from its corner on */
};

static struct extent extent_of(const struct csl_conv_shape *s) {
    struct extent e = {
        .h = (size_t)(s->out_h - 1) * s->stride_h + (size_t)(s->kernel_h - 1) * s->dilation_h + 1,
        .w = (size_t)(s->out_w - 1) * s->stride_w + (size_t)(s->kernel_w - 1) * s->dilation_w + 1};
    e.padded = s->pad_top != 0 || s->pad_left != 0 || e.h > s->in_h || e.w > s->in_w;
    return e;
}

/* Whether pictures with their zeros around stay near the pictures' own size: strides, dilations and paddings
 * that a model's author chose could ask for any amount of memory. */
static bool is_extent_modest(const struct csl_conv_shape *s, const struct extent *e) {
    enum { MOST = 4 }; /* times the picture */
    if (!e->padded) {
        return true;
    }
    size_t few = CSL__CONV_SCRATCH_WORDS / s->in_c, pixels = MOST * (size_t)s->in_h * s->in_w;
    return e->h <= (pixels > few ? pixels : few) / e->w;
}

bool csl__conv_is_direct(const struct csl_conv_shape *s) {
    enum { LEAST = 4 };
    const struct extent e = extent_of(s);
    return s->groups == 1 && (s->dilation_w == 1 || s->kernel_w == 1) && s->out_w >= LEAST &&
           is_extent_modest(s, &e);
}

/* One picture with zeros around; out is zero. */
static void pad_picture(uint64_t *out, const uint64_t *d, const struct csl_conv_shape *s,
                        const struct extent *e) {
    if (e->w <= s->pad_left) {
        return;
    }
    size_t wide = e->w - s->pad_left < s->in_w ? e->w - s->pad_left : s->in_w;
    for (size_t y = 0; y < s->in_h && y + s->pad_top < e->h; y++) {
        memcpy(out + ((y + s->pad_top) * e->w + s->pad_left) * s->in_c, d + y * s->in_w * s->in_c,
               wide * s->in_c * sizeof *out);
    }
}

/* The windows of pictures whose rows are `width` pixels long. */
static struct csl__windows windows_of(const struct csl_conv_shape *s, size_t width, const uint64_t *w) {
    return (struct csl__windows){.w = w,
                                 .ldy = s->out_c,
                                 .ldw = s->out_c,
                                 .n = s->out_c,
                                 .high = s->out_h,
                                 .wide = s->out_w,
                                 .runs = s->kernel_h,
                                 .run = (size_t)s->kernel_w * s->in_c,
                                 .d_down = s->stride_h * width * s->in_c,
                                 .d_right = (size_t)s->stride_w * s->in_c,
                                 .d_step = s->dilation_h * width * s->in_c};
}

/* As many pictures at a time as fit in the scratch, and at least one. */
static size_t pictures_together(size_t size, size_t batch, size_t threads) {
    size_t together = CSL__CONV_SCRATCH_WORDS * threads / size;
    return together < 1 ? 1 : together < batch ? together : batch;
}

static size_t padded_size(const struct csl_conv_shape *s, const struct extent *e) {
    return e->h * e->w * s->in_c;
}

size_t csl__conv_direct_scratch(const struct csl_conv_shape *s, size_t batch, size_t threads) {
    const struct extent e = extent_of(s);
    size_t size = padded_size(s, &e);
    return e.padded ? pictures_together(size, batch, threads) * size : 0;
}

static enum csl_err acc_padded(uint64_t *y, const uint64_t *d, const uint64_t *w,
                               const struct csl_conv_shape *s, const struct extent *e, size_t batch,
                               unsigned bits, bool secret_d) {
    size_t size = padded_size(s, e), n_in = csl_conv_inputs(s), n_out = csl_conv_outputs(s);
    size_t together = pictures_together(size, batch, csl_threads());
    uint64_t *padded = csl__conv_scratch_alloc(together * size, secret_d);
    if (padded == NULL) {
        return CSL_ENOMEM;
    }
    struct csl__windows p = windows_of(s, e->w, w);
    p.d = padded;
    p.d_next = size;
    for (size_t at = 0; at < batch; at += together) {
        p.pictures = batch - at < together ? batch - at : together;
        p.y = y + at * n_out;
        for (size_t i = 0; i < p.pictures; i++) {
            pad_picture(padded + i * size, d + (at + i) * n_in, s, e);
        }
        csl__windows_acc(&p, bits);
    }
    csl__conv_scratch_free(padded, secret_d);
    return CSL_OK;
}

enum csl_err csl__conv_direct(uint64_t *y, const uint64_t *d, const uint64_t *w,
                              const struct csl_conv_shape *s, size_t batch, unsigned bits, bool secret_d) {
    const struct extent e = extent_of(s);
    if (e.padded) {
        TRY(acc_padded(y, d, w, s, &e, batch, bits, secret_d));
    } else {
        struct csl__windows p = windows_of(s, s->in_w, w);
        p.y = y;
        p.d = d;
        p.pictures = batch;
        p.d_next = csl_conv_inputs(s);
        csl__windows_acc(&p, bits);
    }
    csl_reduce_mod(y, y, batch * csl_conv_outputs(s), bits);
    return CSL_OK;
}
