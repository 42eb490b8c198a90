/* Ranges of every value, from which the plan gets the widths of its rings and comparisons.
 *
 * All bounds are exact integers over the quantised weights: no rounding enters them. Each truncation takes
 * the floor of (z + d) / 2^f, where -m <= d < 2^f + m and m is csl__shift_margin (docs/protocol.md T5).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "nn/plan_internal.h"

void csl__range_clear(struct csl__range *r) {
    csl_secret_free(r->lo);
    csl_secret_free(r->hi);
    csl_secret_free(r->noise);
    *r = (struct csl__range){0};
}

enum csl_err csl__range_init(struct csl__range *r, size_t n) {
    *r = (struct csl__range){n, csl_secret_alloc(n, sizeof *r->lo), csl_secret_alloc(n, sizeof *r->hi),
                             csl_secret_alloc(n, sizeof *r->noise)};
    if (r->lo == NULL || r->hi == NULL || r->noise == NULL) {
        csl__range_clear(r);
        return CSL_ENOMEM;
    }
    return CSL_OK;
}

struct csl__extremes csl__extremes_of(const struct csl__range *r) {
    struct csl__extremes e = {r->lo[0], r->hi[0], r->noise[0]};
    for (size_t j = 1; j < r->n; j++) {
        e.lo = r->lo[j] < e.lo ? r->lo[j] : e.lo;
        e.hi = r->hi[j] > e.hi ? r->hi[j] : e.hi;
        e.noise = r->noise[j] > e.noise ? r->noise[j] : e.noise;
    }
    return e;
}

bool csl__fits(enum csl__use use, csl__wide lo, csl__wide hi, unsigned l, unsigned f) {
    csl__wide half = (csl__wide)1 << (l - 1), unit = (csl__wide)1 << f, margin = csl__shift_margin(f);
    switch (use) {
    case CSL__RELU:
        return -half + margin <= lo && hi <= half - unit - margin;
    case CSL__TRUNC:
        return -half / 2 + margin < lo && hi < half / 2 - margin;
    case CSL__MAX:
        return -half <= lo && hi <= half - unit;
    default:
        return -half <= lo && hi < half;
    }
}

unsigned csl__bits_for(enum csl__use use, csl__wide lo, csl__wide hi, unsigned f) {
    for (unsigned l = f + 2; l <= CSL_PLAN_MAX_BITS + 2; l++) {
        if (csl__fits(use, lo, hi, l, f)) {
            return l;
        }
    }
    return CSL_PLAN_MAX_BITS + 3;
}

/* False when it is beyond CSL__MAX_BOUND. */
static bool put(struct csl__range *r, size_t i, csl__wide lo, csl__wide hi) {
    bool ok = lo >= -CSL__MAX_BOUND && hi <= CSL__MAX_BOUND;
    r->lo[i] = ok ? (int64_t)lo : 0;
    r->hi[i] = ok ? (int64_t)hi : 0;
    return ok;
}

/* ---- linear ---- */

struct through_conv {
    csl__wide *lo, *hi;
    double *noise;
    const struct csl__range *x;
    const int64_t *w;
};

/* Lower bounds meet positive weights, upper bounds negative ones. */
static void conv_products(void *ctx, size_t y, size_t x, size_t w, size_t n) {
    const struct through_conv *t = ctx;
    csl__wide lo = t->x->lo[x];
    csl__wide hi = t->x->hi[x];
    double noise = t->x->noise[x];
    for (size_t j = 0; j < n; j++) {
        int64_t weight = t->w[w + j];
        t->lo[y + j] += (weight > 0 ? lo : hi) * weight;
        t->hi[y + j] += (weight > 0 ? hi : lo) * weight;
        t->noise[y + j] += noise * (double)weight * (double)weight;
    }
}

static enum csl_err range_linear(struct csl__range *out, const struct csl_step *step,
                                 const struct csl__range *x, const struct csl_layer_qweights *q) {
    struct through_conv t = {csl_secret_alloc(out->n, sizeof *t.lo), csl_secret_alloc(out->n, sizeof *t.hi),
                             out->noise, x, q->w};
    enum csl_err err = t.lo == NULL || t.hi == NULL ? CSL_ENOMEM : CSL_OK;
    if (err == CSL_OK) {
        for (size_t i = 0; i < out->n; i++) {
            t.lo[i] = t.hi[i] = q->b[i % q->n_b];
        }
        csl__conv_each(&step->shape, conv_products, &t);
    }
    for (size_t i = 0; i < out->n && err == CSL_OK; i++) {
        err = put(out, i, t.lo[i], t.hi[i]) ? CSL_OK : CSL_EDATA;
    }
    csl_secret_free(t.lo);
    csl_secret_free(t.hi);
    return err;
}

/* ---- elementwise ---- */

/* W3: a truncation's two-point noise of variance at most 1/4, and that of the shares' low bits. */
static double trunc_noise(unsigned f) {
    return f > CSL_GUARD_BITS ? 0.25 + 1.0 / 128 : 0.25;
}

static enum csl_err range_trunc(struct csl__range *out, const struct csl_step *step,
                                const struct csl__range *x) {
    unsigned f = step->trunc.f;
    int64_t margin = csl__shift_margin(f), round_up = ((int64_t)1 << f) - 1 + margin;
    for (size_t i = 0; i < out->n; i++) {
        out->lo[i] = (x->lo[i] - margin) >> f;
        out->hi[i] = (x->hi[i] + round_up) >> f;
        out->noise[i] = ldexp(x->noise[i], -2 * (int)f) + trunc_noise(f);
        if (step->kind == CSL_STEP_RELU) {
            out->lo[i] = out->lo[i] > 0 ? out->lo[i] : 0;
            out->hi[i] = out->hi[i] > 0 ? out->hi[i] : 0;
        }
    }
    return CSL_OK;
}

/* The function before rounding, times 2^f. */
static csl__wide pwl_at(const struct csl_step *step, const struct csl_arm *arms, csl__wide x) {
    csl__wide y = (csl__wide)step->c0 * ((csl__wide)1 << step->trunc.f);
    for (unsigned j = 0; j < step->n_arms; j++) {
        y += (x > arms[j].knot ? x - arms[j].knot : 0) * arms[j].slope;
    }
    return y;
}

/* The extremes of a piecewise-linear function stand at the ends and at knots; each rounding moves the result
 * by at most its slope, and half of it more where shares are shifted. */
static enum csl_err range_pwl(struct csl__range *out, const struct csl_plan *plan,
                              const struct csl_step *step, const struct csl__range *x) {
    const struct csl_arm *arms = plan->arms + step->first_arm;
    unsigned f = step->trunc.f;
    csl__wide slack = 0;
    double squares = 0;
    double steepest = 0;
    csl__wide slope = 0;
    for (unsigned j = 0; j < step->n_arms; j++) {
        slack += arms[j].slope < 0 ? -arms[j].slope : arms[j].slope;
        squares += (double)arms[j].slope * (double)arms[j].slope;
        slope += arms[j].slope;
        steepest = fmax(steepest, fabs((double)slope));
    }
    slack += f > CSL_GUARD_BITS ? (slack + 1) / 2 : 0;
    for (size_t i = 0; i < out->n; i++) {
        csl__wide a = pwl_at(step, arms, x->lo[i]);
        csl__wide b = pwl_at(step, arms, x->hi[i]);
        csl__wide lo = a < b ? a : b;
        csl__wide hi = a < b ? b : a;
        for (unsigned j = 0; j < step->n_arms; j++) {
            if (arms[j].knot > x->lo[i] && arms[j].knot < x->hi[i]) {
                csl__wide y = pwl_at(step, arms, arms[j].knot);
                lo = y < lo ? y : lo;
                hi = y > hi ? y : hi;
            }
        }
        if (!put(out, i, (lo >> f) - slack, (hi >> f) + 1 + slack)) {
            return CSL_EDATA;
        }
        out->noise[i] = ldexp(x->noise[i] * steepest * steepest, -2 * (int)f) + squares * trunc_noise(f);
    }
    return CSL_OK;
}

/* ---- windows ---- */

/* A comparison of the top bits takes the smaller of two only when they differ by d < 2^f, and then with
 * probability 1 - d / 2^f: a squared error of at most 4/27 2^2f a level. The noise of a maximum is taken as
 * that of its noisiest element (where they tie it is less than 1.3 times that for four). */
static void max_window(struct csl__range *out, size_t i, const struct csl__range *x, const uint32_t *at,
                       size_t taps, double level_noise) {
    int64_t lo = x->lo[at[0]];
    int64_t hi = x->hi[at[0]];
    double noise = x->noise[at[0]];
    for (size_t t = 1; t < taps; t++) {
        lo = x->lo[at[t]] > lo ? x->lo[at[t]] : lo;
        hi = x->hi[at[t]] > hi ? x->hi[at[t]] : hi;
        noise = fmax(noise, x->noise[at[t]]);
    }
    out->lo[i] = lo;
    out->hi[i] = hi;
    out->noise[i] = noise;
    for (size_t m = taps; m > 1; m = csl__after_level(m)) {
        out->noise[i] += level_noise;
    }
}

/* What top-k comparisons may lose goes into the lower bound. */
static enum csl_err range_max(struct csl__range *out, const struct csl_step *step,
                              const struct csl__range *x) {
    size_t taps = csl__taps(&step->shape);
    uint32_t *index = csl__window_index(&step->shape, true);
    if (index == NULL) {
        return CSL_ENOMEM;
    }
    int64_t loss = 0;
    for (size_t m = taps; m > 1 && !step->exact; m = csl__after_level(m)) {
        loss += ((int64_t)1 << step->trunc.f) - 1;
    }
    double level_noise = step->exact ? 0 : ldexp(4.0 / 27, 2 * step->trunc.f);
    for (size_t i = 0; i < out->n; i++) {
        const uint32_t *at = index + i * taps;
        max_window(out, i, x, at, taps, level_noise);
        int64_t least = x->lo[at[0]]; /* and it is one of them */
        for (size_t t = 1; t < taps; t++) {
            least = x->lo[at[t]] < least ? x->lo[at[t]] : least;
        }
        out->lo[i] = out->lo[i] - loss > least ? out->lo[i] - loss : least;
    }
    free(index);
    return CSL_OK;
}

void csl__difference(csl__wide *lo, csl__wide *hi, const struct csl__range *x,
                     const struct csl_conv_shape *s) {
    *lo = 0;
    for (size_t c = 0; c < s->in_c; c++) { /* values of one channel only are compared */
        csl__wide least = x->lo[c];
        csl__wide most = x->hi[c];
        for (size_t i = c; i < x->n; i += s->in_c) {
            least = x->lo[i] < least ? x->lo[i] : least;
            most = x->hi[i] > most ? x->hi[i] : most;
        }
        *lo = least - most < *lo ? least - most : *lo;
    }
    *hi = -*lo;
}

static enum csl_err range_sum(struct csl__range *out, const struct csl_step *step,
                              const struct csl__range *x) {
    size_t taps = csl__taps(&step->shape);
    uint32_t *index = csl__window_index(&step->shape, false);
    enum csl_err err = index == NULL ? CSL_ENOMEM : CSL_OK;
    for (size_t i = 0; i < out->n && err == CSL_OK; i++) {
        uint32_t inside = csl__window_count(index, taps, i);
        int64_t factor =
            step->w_frac == 0 || inside == 0 ? 1 : (((int64_t)2 << step->w_frac) / inside + 1) / 2;
        csl__wide lo = 0;
        csl__wide hi = 0;
        for (size_t t = 0; t < taps; t++) {
            uint32_t at = index[i * taps + t];
            if (at != CSL__OUTSIDE) {
                lo += x->lo[at];
                hi += x->hi[at];
                out->noise[i] += x->noise[at] * (double)factor * (double)factor;
            }
        }
        err = put(out, i, lo * factor, hi * factor) ? CSL_OK : CSL_EDATA;
    }
    free(index);
    return err;
}

/* ---- several inputs ---- */

/* Deviations of the inputs may go together: standard deviations add. */
static enum csl_err range_add(struct csl__range *out, const struct csl_step *step,
                              const struct csl__range *ranges) {
    for (size_t i = 0; i < out->n; i++) {
        csl__wide lo = 0;
        csl__wide hi = 0;
        double std = 0;
        for (unsigned j = 0; j < step->n_in; j++) {
            const struct csl__range *x = &ranges[step->in[j]];
            int64_t factor = step->factor[j];
            lo += (factor > 0 ? x->lo[i] : x->hi[i]) * (csl__wide)factor;
            hi += (factor > 0 ? x->hi[i] : x->lo[i]) * (csl__wide)factor;
            std += sqrt(x->noise[i]) * fabs((double)factor);
        }
        if (!put(out, i, lo, hi)) {
            return CSL_EDATA;
        }
        out->noise[i] = std * std;
    }
    return CSL_OK;
}

static enum csl_err range_concat(struct csl__range *out, const struct csl_plan *plan,
                                 const struct csl_step *step, const struct csl__range *ranges, size_t c_out) {
    size_t first = 0;
    for (unsigned j = 0; j < step->n_in; j++) {
        const struct csl__range *x = &ranges[step->in[j]];
        size_t c = plan->values[step->in[j]].dim.c;
        for (size_t i = 0; i < x->n; i++) {
            size_t at = i / c * c_out + first + i % c;
            out->lo[at] = x->lo[i];
            out->hi[at] = x->hi[i];
            out->noise[at] = x->noise[i];
        }
        first += c;
    }
    return CSL_OK;
}

static enum csl_err range_of(struct csl__range *out, const struct csl_plan *plan, const struct csl_step *step,
                             const struct csl__range *ranges, const struct csl_layer_qweights *q) {
    const struct csl__range *x = &ranges[step->in[0]];
    switch (step->kind) {
    case CSL_STEP_LINEAR:
        return range_linear(out, step, x, q);
    case CSL_STEP_RELU:
    case CSL_STEP_TRUNC:
        return range_trunc(out, step, x);
    case CSL_STEP_PWL:
        return range_pwl(out, plan, step, x);
    case CSL_STEP_MAX:
        return range_max(out, step, x);
    case CSL_STEP_SUM:
    case CSL_STEP_PAD:
        return range_sum(out, step, x);
    case CSL_STEP_ADD:
        return range_add(out, step, ranges);
    case CSL_STEP_CONCAT:
        return range_concat(out, plan, step, ranges, plan->values[step - plan->steps + 1].dim.c);
    default:
        return CSL_EINTERNAL;
    }
}

enum csl_err csl__range_step(struct csl__range *out, const struct csl_plan *plan, const struct csl_step *step,
                             const struct csl__range *ranges, const struct csl_layer_qweights *q) {
    TRY(csl__range_init(out, csl__elements(&plan->values[step - plan->steps + 1])));
    enum csl_err err = range_of(out, plan, step, ranges, q);
    if (err != CSL_OK) {
        csl__range_clear(out);
    }
    return err;
}
