#include "mpc/conv.h"

#include "crypto/secret.h"
#include "mpc/conv_internal.h"
#include "mpc/correlation.h"
#include "mpc/gemm.h"
#include "mpc/gemm_internal.h"
#include "mpc/ring.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROWS_MIN = 48,  /* of one GEMM: below it copying W would cost more than L2 misses do */
    ROWS_STEP = 12, /* whole register tiles */
    COPY_WORDS = 8, /* a run is copied by whole blocks where that stays inside d */
};

/* ---- shapes ---- */

_Static_assert(sizeof(struct csl_conv_shape) == 15 * sizeof(uint32_t), "shapes are compared by memcmp");

struct csl_conv_shape csl_conv_dense(uint32_t k, uint32_t n) {
    return (struct csl_conv_shape){.in_h = 1,
                                   .in_w = 1,
                                   .in_c = k,
                                   .out_h = 1,
                                   .out_w = 1,
                                   .out_c = n,
                                   .kernel_h = 1,
                                   .kernel_w = 1,
                                   .stride_h = 1,
                                   .stride_w = 1,
                                   .dilation_h = 1,
                                   .dilation_w = 1,
                                   .groups = 1};
}

static enum csl_err check_dims(const struct csl_conv_shape *s, struct csl_diag *diag) {
    const struct {
        const char *name;
        uint32_t value, least;
    } dims[] = {
        {"input height", s->in_h, 1},
        {"input width", s->in_w, 1},
        {"input channels", s->in_c, 1},
        {"output height", s->out_h, 1},
        {"output width", s->out_w, 1},
        {"output channels", s->out_c, 1},
        {"kernel height", s->kernel_h, 1},
        {"kernel width", s->kernel_w, 1},
        {"vertical stride", s->stride_h, 1},
        {"horizontal stride", s->stride_w, 1},
        {"vertical dilation", s->dilation_h, 1},
        {"horizontal dilation", s->dilation_w, 1},
        {"groups", s->groups, 1},
        {"top padding", s->pad_top, 0},
        {"left padding", s->pad_left, 0},
    };
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        if (dims[i].value < dims[i].least || dims[i].value > CSL_MAX_DIM) {
            return csl_fail(diag, CSL_EDATA, "%s is %u; it must be %u..%u", dims[i].name, dims[i].value,
                            dims[i].least, (unsigned)CSL_MAX_DIM);
        }
    }
    return CSL_OK;
}

/* One direction: the padding after the picture, which follows from the sizes, is bounded like the one before
 * it. */
static enum csl_err check_extent(const char *name, uint64_t in, uint64_t out, uint64_t kernel,
                                 uint64_t stride, uint64_t dilation, uint64_t pad, struct csl_diag *diag) {
    uint64_t extent = (out - 1) * stride + (kernel - 1) * dilation + 1; /* each factor below 2^24 */
    if (extent > pad + in + CSL_MAX_DIM) {
        return csl_fail(diag, CSL_EDATA,
                        "%llu output positions reach %llu past a picture of %s %llu; at most %u",
                        (unsigned long long)out, (unsigned long long)(extent - pad - in), name,
                        (unsigned long long)in, (unsigned)CSL_MAX_DIM);
    }
    return CSL_OK;
}

/* a b c <= limit, each at most CSL_MAX_DIM */
static bool product_fits(uint64_t a, uint64_t b, uint64_t c, uint64_t limit) {
    return a * b <= limit && a * b <= limit / c;
}

enum csl_err csl_conv_check(const struct csl_conv_shape *s, struct csl_diag *diag) {
    TRY(check_dims(s, diag));
    if (s->in_c % s->groups != 0 || s->out_c % s->groups != 0) {
        return csl_fail(diag, CSL_EDATA, "%u groups do not divide %u input and %u output channels", s->groups,
                        s->in_c, s->out_c);
    }
    TRY(check_extent("height", s->in_h, s->out_h, s->kernel_h, s->stride_h, s->dilation_h, s->pad_top, diag));
    TRY(check_extent("width", s->in_w, s->out_w, s->kernel_w, s->stride_w, s->dilation_w, s->pad_left, diag));
    const uint64_t rows_max = SIZE_MAX / sizeof(uint64_t) / s->out_c;
    if (!product_fits(s->in_h, s->in_w, s->in_c, CSL_MAX_DIM) ||
        !product_fits(s->out_h, s->out_w, s->out_c, CSL_MAX_DIM) ||
        !product_fits(s->kernel_h, s->kernel_w, s->in_c / s->groups, rows_max)) {
        return csl_fail(diag, CSL_EDATA,
                        "a layer of %u x %u x %u inputs, %u x %u x %u outputs and a %u x %u kernel is too "
                        "large; at most %u elements",
                        s->in_h, s->in_w, s->in_c, s->out_h, s->out_w, s->out_c, s->kernel_h, s->kernel_w,
                        (unsigned)CSL_MAX_DIM);
    }
    return CSL_OK;
}

size_t csl_conv_inputs(const struct csl_conv_shape *s) {
    return (size_t)s->in_h * s->in_w * s->in_c;
}

size_t csl_conv_outputs(const struct csl_conv_shape *s) {
    return (size_t)s->out_h * s->out_w * s->out_c;
}

static size_t kernel_rows(const struct csl_conv_shape *s) {
    return (size_t)s->kernel_h * s->kernel_w * (s->in_c / s->groups);
}

size_t csl_conv_weights(const struct csl_conv_shape *s) {
    return kernel_rows(s) * s->out_c;
}

/* ---- unfolding ---- */

/* A convolution over a batch; positions count through all its outputs. */
struct job {
    const struct csl_conv_shape *s;
    const uint64_t *d;
    size_t n_d;      /* words of d in all */
    size_t channels; /* of a group's input */
    size_t first;    /* the group's first input channel */
};

/* An output position, and where its window begins; that may be outside the picture. */
struct window {
    size_t picture; /* offset in d */
    uint32_t out_y, out_x;
    int64_t y, x;
};

static struct window first_window(const struct csl_conv_shape *s) {
    return (struct window){.y = -(int64_t)s->pad_top, .x = -(int64_t)s->pad_left};
}

/* The next position: along the row, then the next row, then the next picture. */
static void next_window(struct window *w, const struct csl_conv_shape *s) {
    w->x += s->stride_w;
    if (++w->out_x < s->out_w) {
        return;
    }
    w->out_x = 0;
    w->x = -(int64_t)s->pad_left;
    w->y += s->stride_h;
    if (++w->out_y < s->out_h) {
        return;
    }
    w->out_y = 0;
    w->y = -(int64_t)s->pad_top;
    w->picture += csl_conv_inputs(s);
}

/* n words. out has COPY_WORDS words to spare behind it, which a later run overwrites. */
static inline void copy_run(uint64_t *out, const struct job *j, size_t from, size_t n) {
    size_t whole = (n + COPY_WORDS - 1) / COPY_WORDS * COPY_WORDS;
    if (whole > j->n_d - from) {
        memcpy(out, j->d + from, n * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i += COPY_WORDS) {
        memcpy(out + i, j->d + from + i, COPY_WORDS * sizeof *out);
    }
}

/* One kernel row whose pixels lie side by side (one group, no dilation), clipped to the picture. */
static void unfold_run(uint64_t *out, const struct job *j, size_t line, int64_t x) {
    const struct csl_conv_shape *s = j->s;
    int64_t end = x + s->kernel_w;
    if (x >= 0 && end <= s->in_w) {
        copy_run(out, j, line + (size_t)x * s->in_c, (size_t)s->kernel_w * s->in_c);
        return;
    }
    int64_t lo = x < 0 ? 0 : x, hi = end < s->in_w ? end : s->in_w;
    memset(out, 0, (size_t)s->kernel_w * s->in_c * sizeof *out);
    if (lo < hi) {
        memcpy(out + (size_t)(lo - x) * s->in_c, j->d + line + (size_t)lo * s->in_c,
               (size_t)(hi - lo) * s->in_c * sizeof *out);
    }
}

/* One kernel row, pixel by pixel. */
static void unfold_pixels(uint64_t *out, const struct job *j, size_t line, int64_t x) {
    const struct csl_conv_shape *s = j->s;
    for (uint32_t kx = 0; kx < s->kernel_w; kx++, x += s->dilation_w, out += j->channels) {
        if (x >= 0 && x < s->in_w) {
            copy_run(out, j, line + (size_t)x * s->in_c + j->first, j->channels);
        } else {
            memset(out, 0, j->channels * sizeof *out);
        }
    }
}

/* A window that lies wholly inside the picture, kernel rows in one piece: copied in whole blocks, without a
 * check a row. False when it is none, or when the last block would reach past d. */
static bool unfold_inner(uint64_t *out, const struct job *j, const struct window *w, size_t run) {
    const struct csl_conv_shape *s = j->s;
    int64_t last_y = w->y + (int64_t)(s->kernel_h - 1) * s->dilation_h;
    if (w->x < 0 || w->x + s->kernel_w > s->in_w || w->y < 0 || last_y >= s->in_h) {
        return false;
    }
    size_t line = (size_t)s->in_w * s->in_c, step = line * s->dilation_h;
    size_t at = w->picture + (size_t)w->y * line + (size_t)w->x * s->in_c;
    size_t blocks = (run + COPY_WORDS - 1) / COPY_WORDS;
    if (at + (s->kernel_h - 1) * step + blocks * COPY_WORDS > j->n_d) {
        return false;
    }
    for (uint32_t ky = 0; ky < s->kernel_h; ky++, at += step, out += run) {
        for (size_t i = 0; i < blocks; i++) {
            memcpy(out + i * COPY_WORDS, j->d + at + i * COPY_WORDS, COPY_WORDS * sizeof *out);
        }
    }
    return true;
}

/* The inputs of one output position, in the order of the weights' rows. */
static void unfold_position(uint64_t *out, const struct job *j, const struct window *w) {
    const struct csl_conv_shape *s = j->s;
    size_t run = s->kernel_w * j->channels;
    bool whole_runs = s->groups == 1 && (s->dilation_w == 1 || s->kernel_w == 1);
    if (whole_runs && unfold_inner(out, j, w, run)) {
        return;
    }
    int64_t y = w->y;
    for (uint32_t ky = 0; ky < s->kernel_h; ky++, y += s->dilation_h, out += run) {
        if (y < 0 || y >= s->in_h) {
            memset(out, 0, run * sizeof *out);
            continue;
        }
        size_t line = w->picture + (size_t)y * s->in_w * s->in_c;
        if (whole_runs) {
            unfold_run(out, j, line, w->x);
        } else {
            unfold_pixels(out, j, line, w->x);
        }
    }
}

/* The next m positions, k inputs each. */
static void unfold(uint64_t *out, const struct job *j, struct window *w, size_t m, size_t k) {
    for (size_t r = 0; r < m; r++, out += k) {
        unfold_position(out, j, w);
        next_window(w, j->s);
    }
}

/* ---- products ---- */

/* Every output position reads whole pixels in order: the unfolded matrix is d itself. */
static bool is_plain_product(const struct csl_conv_shape *s) {
    bool pointwise = s->kernel_h == 1 && s->kernel_w == 1 && s->stride_h == 1 && s->stride_w == 1 &&
                     s->out_h == s->in_h && s->out_w == s->in_w;
    bool whole = s->kernel_h == s->in_h && s->kernel_w == s->in_w && s->out_h == 1 && s->out_w == 1 &&
                 (s->dilation_h == 1 || s->kernel_h == 1) && (s->dilation_w == 1 || s->kernel_w == 1);
    return s->groups == 1 && s->pad_top == 0 && s->pad_left == 0 && (pointwise || whole);
}

/* How many positions are unfolded at a time. */
static size_t block_rows(size_t k, size_t positions) {
    size_t rows = CSL__CONV_SCRATCH_WORDS / k / ROWS_STEP * ROWS_STEP;
    rows = rows < ROWS_MIN ? ROWS_MIN : rows;
    return rows < positions ? rows : positions;
}

static size_t unfolded_words(const struct csl_conv_shape *s, size_t rows) {
    return rows * kernel_rows(s) + COPY_WORDS;
}

static size_t grouped_words(const struct csl_conv_shape *s, size_t rows) {
    size_t k = kernel_rows(s), n = s->out_c / s->groups;
    return rows * (k + n) + k * n + COPY_WORDS;
}

static enum csl_err acc_unfolded(uint64_t *y, const uint64_t *d, const uint64_t *w,
                                 const struct csl_conv_shape *s, size_t batch, unsigned bits, bool secret_d) {
    size_t k = kernel_rows(s), n = s->out_c, positions = batch * s->out_h * s->out_w;
    size_t rows = block_rows(k, positions);
    uint64_t *unfolded = csl__conv_scratch_alloc(unfolded_words(s, rows), secret_d);
    if (unfolded == NULL) {
        return CSL_ENOMEM;
    }
    const struct job j = {.s = s, .d = d, .n_d = batch * csl_conv_inputs(s), .channels = s->in_c};
    struct window window = first_window(s);
    for (size_t at = 0; at < positions; at += rows) {
        size_t m = positions - at < rows ? positions - at : rows;
        unfold(unfolded, &j, &window, m, k);
        csl_gemm_acc_mod(y + at * n, unfolded, w, m, k, n, bits);
    }
    csl__conv_scratch_free(unfolded, secret_d);
    return CSL_OK;
}

/* A group's weights and results stand in columns of wider matrices: they are copied out and added back. One
 * of the operands is secret, so the scratch is wiped in any case. */
static enum csl_err acc_groups(uint64_t *y, const uint64_t *d, const uint64_t *w,
                               const struct csl_conv_shape *s, size_t batch, unsigned bits) {
    size_t k = kernel_rows(s), n = s->out_c / s->groups, positions = batch * s->out_h * s->out_w;
    size_t rows = block_rows(k, positions);
    uint64_t *unfolded = csl_secret_alloc(grouped_words(s, rows), sizeof *unfolded);
    if (unfolded == NULL) {
        return CSL_ENOMEM;
    }
    uint64_t *part = unfolded + rows * k + COPY_WORDS, *weights = part + rows * n;
    for (size_t g = 0; g < s->groups; g++) {
        const struct job j = {.s = s,
                              .d = d,
                              .n_d = batch * csl_conv_inputs(s),
                              .channels = s->in_c / s->groups,
                              .first = g * (s->in_c / s->groups)};
        for (size_t i = 0; i < k; i++) {
            memcpy(weights + i * n, w + i * s->out_c + g * n, n * sizeof *w);
        }
        struct window window = first_window(s);
        for (size_t at = 0; at < positions; at += rows) {
            size_t m = positions - at < rows ? positions - at : rows;
            unfold(unfolded, &j, &window, m, k);
            memset(part, 0, m * n * sizeof *part);
            csl_gemm_acc(part, unfolded, weights, m, k, n);
            for (size_t r = 0; r < m; r++) {
                uint64_t *out = y + (at + r) * s->out_c + g * n;
                csl_add_mod(out, out, part + r * n, n, bits);
            }
        }
    }
    csl_secret_free(unfolded);
    return CSL_OK;
}

/* y[c] += d[c / multiplier] w[c], one pixel under one kernel position */
static void acc_pixel(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t in_c, size_t multiplier) {
    if (multiplier == 1) {
        csl__mul_acc(y, d, w, in_c);
        return;
    }
    for (size_t c = 0; c < in_c; c++) {
        for (size_t i = 0; i < multiplier; i++) {
            y[c * multiplier + i] += d[c] * w[c * multiplier + i];
        }
    }
}

/* One input channel a group: as a product it would have a single column. */
static void acc_depthwise(uint64_t *y, const uint64_t *d, const uint64_t *w, const struct csl_conv_shape *s,
                          size_t batch, unsigned bits) {
    size_t positions = batch * s->out_h * s->out_w, multiplier = s->out_c / s->in_c;
    struct window v = first_window(s);
    for (size_t at = 0; at < positions; at++, y += s->out_c, next_window(&v, s)) {
        const uint64_t *weights = w;
        int64_t py = v.y;
        for (uint32_t ky = 0; ky < s->kernel_h; ky++, py += s->dilation_h) {
            int64_t px = v.x;
            for (uint32_t kx = 0; kx < s->kernel_w; kx++, px += s->dilation_w, weights += s->out_c) {
                if (py >= 0 && py < s->in_h && px >= 0 && px < s->in_w) {
                    const uint64_t *pixel = d + v.picture + ((size_t)py * s->in_w + (size_t)px) * s->in_c;
                    acc_pixel(y, pixel, weights, s->in_c, multiplier);
                }
            }
        }
        csl_reduce_mod(y, y, s->out_c, bits);
    }
}

/* The ways to a convolution. */
enum way { PLAIN, DIRECT, UNFOLDED, DEPTHWISE, GROUPS };

static enum way way_of(const struct csl_conv_shape *s) {
    return is_plain_product(s)      ? PLAIN
           : csl__conv_is_direct(s) ? DIRECT
           : s->groups == 1         ? UNFOLDED
           : s->groups == s->in_c   ? DEPTHWISE
                                    : GROUPS;
}

size_t csl_conv_scratch(const struct csl_conv_shape *s, size_t batch, size_t threads) {
    size_t rows = block_rows(kernel_rows(s), batch * s->out_h * s->out_w);
    enum way way = way_of(s);
    return way == DIRECT     ? csl__conv_direct_scratch(s, batch, threads)
           : way == UNFOLDED ? unfolded_words(s, rows)
           : way == GROUPS   ? grouped_words(s, rows)
                             : 0;
}

enum csl_err csl_conv_acc(uint64_t *y, const uint64_t *d, const uint64_t *w, const struct csl_conv_shape *s,
                          size_t batch, unsigned bits, bool secret_d) {
    enum csl_err err = CSL_OK;
    switch (way_of(s)) {
    case PLAIN:
        csl_gemm_acc_mod(y, d, w, batch * s->out_h * s->out_w, kernel_rows(s), s->out_c, bits);
        break;
    case DIRECT:
        err = csl__conv_direct(y, d, w, s, batch, bits, secret_d);
        break;
    case UNFOLDED:
        err = acc_unfolded(y, d, w, s, batch, bits, secret_d);
        break;
    case DEPTHWISE:
        acc_depthwise(y, d, w, s, batch, bits);
        break;
    case GROUPS:
        err = acc_groups(y, d, w, s, batch, bits);
        break;
    }
    if (err != CSL_OK) {
        csl_wipe(y, batch * csl_conv_outputs(s) * sizeof *y);
    }
    return err;
}
