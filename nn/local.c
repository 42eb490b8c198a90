/* What the secure and the plaintext evaluation share: windows, trees of comparisons, and the steps that every
 * party does alone. */
#include <stdlib.h>
#include <string.h>

#include "mpc/ring.h"
#include "nn/plan_internal.h"

/* ---- windows ---- */

/* Kernel positions first..last whose pixel start + i * dilation lies in 0..in-1. */
struct axis {
    int64_t first, last;
};

static struct axis axis_at(uint32_t out, uint32_t stride, uint32_t pad, uint32_t kernel, uint32_t dilation,
                           uint32_t in) {
    int64_t start = (int64_t)out * stride - pad;
    struct axis a = {start < 0 ? (-start + dilation - 1) / dilation : 0, -1};
    if (start < in) {
        a.last = ((int64_t)in - 1 - start) / dilation;
        a.last = a.last < kernel ? a.last : (int64_t)kernel - 1;
    }
    return a;
}

static struct axis rows_at(const struct csl_conv_shape *s, uint32_t y) {
    return axis_at(y, s->stride_h, s->pad_top, s->kernel_h, s->dilation_h, s->in_h);
}

static struct axis columns_at(const struct csl_conv_shape *s, uint32_t x) {
    return axis_at(x, s->stride_w, s->pad_left, s->kernel_w, s->dilation_w, s->in_w);
}

bool csl__windows_touch(const struct csl_conv_shape *s) {
    for (uint32_t y = 0; y < s->out_h; y++) {
        struct axis a = rows_at(s, y);
        if (a.first > a.last) {
            return false;
        }
    }
    for (uint32_t x = 0; x < s->out_w; x++) {
        struct axis a = columns_at(s, x);
        if (a.first > a.last) {
            return false;
        }
    }
    return true;
}

/* i, or the nearest in a; -1 when it is outside and is to be left out. */
static int64_t tap_at(const struct axis *a, int64_t i, bool clamp) {
    if (i >= a->first && i <= a->last) {
        return i;
    }
    return !clamp ? -1 : i < a->first ? a->first : a->last;
}

/* The picture's pixel (row or column) for each position of one axis, or -1. */
static int64_t pixel_of(const struct axis *a, int64_t i, bool clamp, uint32_t out, uint32_t stride,
                        uint32_t pad, uint32_t dilation) {
    int64_t tap = tap_at(a, i, clamp);
    return tap < 0 ? -1 : (int64_t)out * stride - pad + tap * dilation;
}

static void index_position(uint32_t *at, const struct csl_conv_shape *s, uint32_t y, uint32_t x, bool clamp) {
    struct axis rows = rows_at(s, y);
    struct axis columns = columns_at(s, x);
    size_t taps = csl__taps(s);
    for (uint32_t i = 0; i < s->kernel_h; i++) {
        int64_t row = pixel_of(&rows, i, clamp, y, s->stride_h, s->pad_top, s->dilation_h);
        for (uint32_t j = 0; j < s->kernel_w; j++) {
            int64_t column = pixel_of(&columns, j, clamp, x, s->stride_w, s->pad_left, s->dilation_w);
            bool inside = row >= 0 && column >= 0;
            uint32_t pixel = inside ? (uint32_t)((row * s->in_w + column) * s->in_c) : 0;
            for (size_t c = 0; c < s->out_c; c++) {
                at[c * taps + (size_t)i * s->kernel_w + j] = inside ? pixel + (uint32_t)c : CSL__OUTSIDE;
            }
        }
    }
}

uint32_t *csl__window_index(const struct csl_conv_shape *s, bool clamp) {
    size_t taps = csl__taps(s);
    uint32_t *index = calloc(csl_conv_outputs(s) * taps, sizeof *index);
    if (index == NULL) {
        return NULL;
    }
    uint32_t *at = index;
    for (uint32_t y = 0; y < s->out_h; y++) {
        for (uint32_t x = 0; x < s->out_w; x++) {
            index_position(at, s, y, x, clamp);
            at += taps * s->out_c;
        }
    }
    return index;
}

uint32_t csl__window_count(const uint32_t *index, size_t taps, size_t i) {
    uint32_t n = 0;
    for (size_t t = 0; t < taps; t++) {
        n += index[i * taps + t] != CSL__OUTSIDE;
    }
    return n;
}

/* ---- trees of comparisons ---- */

void csl__level_split(uint64_t *a, uint64_t *b, const uint64_t *v, size_t n, size_t m) {
    size_t pairs = csl__pairs(m);
    for (size_t i = 0; i < n * pairs && m % 2 == 0; i++) {
        a[i] = v[2 * i];
        b[i] = v[2 * i + 1];
    }
    for (size_t i = 0; i < n && m % 2 != 0; i++) {
        for (size_t p = 0; p < pairs; p++) {
            a[i * pairs + p] = v[i * m + 2 * p];
            b[i * pairs + p] = v[i * m + 2 * p + 1];
        }
    }
}

void csl__level_join(uint64_t *v, const uint64_t *max, size_t n, size_t m) {
    size_t pairs = csl__pairs(m);
    size_t left = csl__after_level(m);
    for (size_t i = 0; i < n; i++) { /* what is written was read before */
        uint64_t odd = v[i * m + m - 1];
        memcpy(v + i * left, max + i * pairs, pairs * sizeof *v);
        if (m % 2 != 0) {
            v[i * left + pairs] = odd;
        }
    }
}

/* ---- local steps ---- */

static enum csl_err sum(uint64_t *y, const uint64_t *x, const struct csl_step *step, size_t batch,
                        uint64_t mask) {
    const struct csl_conv_shape *s = &step->shape;
    size_t n = csl_conv_outputs(s);
    size_t taps = csl__taps(s);
    uint32_t *index = csl__window_index(s, false);
    if (index == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t inside = csl__window_count(index, taps, i);
        uint64_t factor = step->w_frac == 0 || inside == 0
                              ? 1
                              : (((uint64_t)2 << step->w_frac) / inside + 1) / 2; /* to nearest */
        for (size_t row = 0; row < batch; row++) {
            const uint64_t *in = x + row * csl_conv_inputs(s);
            uint64_t total = 0;
            for (size_t t = 0; t < taps; t++) {
                uint32_t at = index[i * taps + t];
                total += at == CSL__OUTSIDE ? 0 : in[at];
            }
            y[row * n + i] = total * factor & mask;
        }
    }
    free(index);
    return CSL_OK;
}

static void add(uint64_t *y, const uint64_t *const *x, const struct csl_step *step, size_t n, uint64_t mask) {
    for (size_t i = 0; i < n; i++) {
        uint64_t total = 0;
        for (unsigned j = 0; j < step->n_in; j++) {
            total += x[j][i] * (uint64_t)step->factor[j];
        }
        y[i] = total & mask;
    }
}

static void concat(uint64_t *y, const uint64_t *const *x, const struct csl_plan *plan,
                   const struct csl_step *step, const struct csl_hwc *out, size_t batch, uint64_t mask) {
    size_t first = 0;
    for (unsigned j = 0; j < step->n_in; j++) {
        size_t c = plan->values[step->in[j]].dim.c;
        for (size_t i = 0; i < batch * out->h * out->w; i++) {
            for (size_t k = 0; k < c; k++) {
                y[i * out->c + first + k] = x[j][i * c + k] & mask;
            }
        }
        first += c;
    }
}

enum csl_err csl__local_step(uint64_t *y, const uint64_t *const *x, const struct csl_plan *plan,
                             const struct csl_step *step, size_t batch, unsigned bits) {
    const struct csl_value *out = &plan->values[step - plan->steps + 1];
    uint64_t mask = csl_ring_mask(bits);
    switch (step->kind) {
    case CSL_STEP_SUM:
    case CSL_STEP_PAD: /* windows of one element */
        return sum(y, x[0], step, batch, mask);
    case CSL_STEP_ADD:
        add(y, x, step, batch * csl__elements(out), mask);
        return CSL_OK;
    case CSL_STEP_CONCAT:
        concat(y, x, plan, step, &out->dim, batch, mask);
        return CSL_OK;
    default:
        return CSL_EINTERNAL;
    }
}

void csl__last_uses(uint32_t last[CSL_PLAN_MAX_VALUES], const struct csl_plan *plan) {
    memset(last, 0, CSL_PLAN_MAX_VALUES * sizeof *last);
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        for (unsigned j = 0; j < plan->steps[i].n_in; j++) {
            last[plan->steps[i].in[j]] = i;
        }
    }
    last[plan->n_steps] = plan->n_steps;
}

/* ---- convolutions in clear ---- */

static void each_at(const struct csl_conv_shape *s, uint32_t y, uint32_t x, csl__conv_fn *fn, void *ctx) {
    struct axis rows = rows_at(s, y);
    struct axis columns = columns_at(s, x);
    size_t in_c = s->in_c / s->groups;
    size_t out_c = s->out_c / s->groups;
    size_t out = ((size_t)y * s->out_w + x) * s->out_c;
    for (int64_t i = rows.first; i <= rows.last; i++) {
        for (int64_t j = columns.first; j <= columns.last; j++) {
            int64_t row = (int64_t)y * s->stride_h - s->pad_top + i * s->dilation_h;
            int64_t column = (int64_t)x * s->stride_w - s->pad_left + j * s->dilation_w;
            size_t in = (size_t)(row * s->in_w + column) * s->in_c;
            size_t w = (size_t)(i * s->kernel_w + j) * in_c;
            for (size_t c = 0; c < s->in_c; c++) {
                size_t g = c / in_c;
                fn(ctx, out + g * out_c, in + c, (w + c % in_c) * s->out_c + g * out_c, out_c);
            }
        }
    }
}

void csl__conv_each(const struct csl_conv_shape *s, csl__conv_fn *fn, void *ctx) {
    for (uint32_t y = 0; y < s->out_h; y++) {
        for (uint32_t x = 0; x < s->out_w; x++) {
            each_at(s, y, x, fn, ctx);
        }
    }
}
