/* Ranges of every value, and from them the widths of rings and comparisons (docs/protocol.md W).
 *
 * All bounds are exact integers over the quantised weights: no rounding enters them. Each truncation gives
 * floor(z / 2^f) or one unit more (docs/protocol.md T5), at most ceil(z / 2^f).
 */
#include <math.h>
#include <string.h>

#include "crypto/secret.h"
#include "mpc/correlation.h"
#include "nn/plan_internal.h"

/* Per element: the interval in fixed point, and the variance of the rounding noise in units squared. */
struct ranges {
    csl__wide *lo, *hi;
    double *noise;
};

static void ranges_clear(struct ranges *r) {
    csl_secret_free(r->lo);
    csl_secret_free(r->hi);
    csl_secret_free(r->noise);
    *r = (struct ranges){0};
}

static enum csl_err ranges_init(struct ranges *r, size_t n) {
    *r = (struct ranges){csl_secret_alloc(n, sizeof *r->lo), csl_secret_alloc(n, sizeof *r->hi),
                         csl_secret_alloc(n, sizeof *r->noise)};
    if (r->lo == NULL || r->hi == NULL || r->noise == NULL) {
        ranges_clear(r);
        return CSL_ENOMEM;
    }
    return CSL_OK;
}

/* W1. z = x.W + b: lower bounds meet positive weights, upper bounds negative ones. */
static void through_dense(struct ranges *z, const struct ranges *x, const struct csl_layer_qweights *q) {
    for (size_t j = 0; j < q->n; j++) {
        z->lo[j] = q->b[j];
        z->hi[j] = q->b[j];
    }
    for (size_t i = 0; i < q->k; i++) {
        for (size_t j = 0; j < q->n; j++) {
            int64_t w = q->w[i * q->n + j];
            z->lo[j] += (w > 0 ? x->lo[i] : x->hi[i]) * w;
            z->hi[j] += (w > 0 ? x->hi[i] : x->lo[i]) * w;
            z->noise[j] += x->noise[i] * (double)w * (double)w;
        }
    }
}

/* W1, W3. Truncation: the floor or one unit more, a two-point noise of variance at most 1/4. */
static void through_activation(struct ranges *z, size_t n, const struct csl_layer *layer) {
    unsigned f = layer->trunc_f;
    csl__wide round_up = ((csl__wide)1 << f) - 1;
    for (size_t j = 0; j < n; j++) {
        z->lo[j] = z->lo[j] >> f;
        z->hi[j] = (z->hi[j] + round_up) >> f;
        z->noise[j] = ldexp(z->noise[j], -2 * (int)f) + 0.25;
        if (layer->activation == CSL_ACTIVATION_RELU) {
            z->lo[j] = z->lo[j] > 0 ? z->lo[j] : 0;
            z->hi[j] = z->hi[j] > 0 ? z->hi[j] : 0;
        }
    }
}

struct extremes {
    csl__wide lo, hi;
    double noise;
};

static struct extremes extremes_of(const struct ranges *r, size_t n) {
    struct extremes e = {r->lo[0], r->hi[0], r->noise[0]};
    for (size_t j = 1; j < n; j++) {
        e.lo = r->lo[j] < e.lo ? r->lo[j] : e.lo;
        e.hi = r->hi[j] > e.hi ? r->hi[j] : e.hi;
        e.noise = r->noise[j] > e.noise ? r->noise[j] : e.noise;
    }
    return e;
}

/* The ranges of the protocol steps: plain ring, T1 with f, T6. */
static bool fits(const struct extremes *z, unsigned l, unsigned activation, unsigned f) {
    csl__wide half = (csl__wide)1 << (l - 1);
    switch (activation) {
    case CSL_ACTIVATION_RELU:
        return -half <= z->lo && z->hi <= half - ((csl__wide)1 << f);
    case CSL_ACTIVATION_TRUNC:
        return -half / 2 < z->lo && z->hi < half / 2;
    default:
        return -half <= z->lo && z->hi < half;
    }
}

static enum csl_err too_wide(const struct csl_layer *layer, const struct extremes *z, struct csl_diag *diag) {
    double scale = ldexp(1.0, -(int)(layer->x_frac + layer->w_frac));
    return csl_fail(
        diag, CSL_EDATA,
        "layer \"%s\" could overflow: its values may lie between %.6g and %.6g, too wide for the ring "
        "at %u fraction bits; use fewer fraction bits, a smaller input interval or smaller weights",
        layer->name, (double)z->lo * scale, (double)z->hi * scale, (unsigned)(layer->x_frac + layer->w_frac));
}

/* W2. The smallest ring for z, at least min_bits (what the layer before needs for its result). */
static enum csl_err choose_bits(struct csl_layer *layer, const struct extremes *z, unsigned min_bits,
                                struct csl_diag *diag) {
    unsigned f = layer->activation == CSL_ACTIVATION_NONE ? 0 : layer->w_frac;
    unsigned l = min_bits > f + 2 ? min_bits : f + 2;
    while (l <= CSL_PLAN_MAX_BITS && !fits(z, l, layer->activation, f)) {
        l++;
    }
    unsigned k = l - f;
    struct csl_trunc_params params = csl_trunc_params_default(k, f, l);
    if (l > CSL_PLAN_MAX_BITS || (layer->activation == CSL_ACTIVATION_RELU && params.n_digits == 0)) {
        return too_wide(layer, z, diag);
    }
    layer->bits = (uint8_t)l;
    layer->out_bits = (uint8_t)l;
    if (layer->activation != CSL_ACTIVATION_NONE) {
        layer->trunc_f = (uint8_t)f;
        layer->trunc_k = (uint8_t)k;
    }
    if (layer->activation == CSL_ACTIVATION_RELU) {
        layer->n_digits = params.n_digits;
        memcpy(layer->digit_bits, params.digit_bits, params.n_digits);
    }
    return CSL_OK;
}

/* Step O1: 2^s is at least 64 standard deviations of the rounding noise, and never finer than the
 * activations' own resolution (what is finer tells of the weights, not of the class). The ring gets room for
 * what the cut may add or take away, half a unit a party. */
static enum csl_err choose_cut(struct csl_plan *plan, struct csl_plan_report *report,
                               const struct extremes *y, struct csl_diag *diag) {
    struct csl_layer *last = &plan->layers[plan->n_layers - 1];
    unsigned frac = csl_plan_output_frac(plan);
    unsigned s = frac - last->x_frac;
    double sigma = sqrt(y->noise);
    while (ldexp(1.0, (int)s) < 64 * sigma) {
        s++;
    }
    if (s > CSL_PLAN_MAX_BITS) {
        return too_wide(last, y, diag);
    }
    csl__wide margin = (csl__wide)(CSL_MAX_PARTIES / 2) << s;
    struct extremes padded = {y->lo - margin, y->hi + margin, 0};
    unsigned bits = last->out_bits;
    while (bits <= CSL_PLAN_MAX_BITS && !fits(&padded, bits, CSL_ACTIVATION_NONE, 0)) {
        bits++;
    }
    if (bits > CSL_PLAN_MAX_BITS) {
        return too_wide(last, y, diag);
    }
    last->out_bits = (uint8_t)bits;
    if (last->activation == CSL_ACTIVATION_NONE) {
        last->bits = (uint8_t)bits;
        if (plan->n_layers > 1) {
            plan->layers[plan->n_layers - 2].out_bits = (uint8_t)bits;
        }
    }
    plan->output_cut = (uint8_t)s;
    report->output_noise_std = ldexp(sigma, -(int)frac);
    report->output_unit = ldexp(1.0, (int)s - (int)frac);
    return CSL_OK;
}

static enum csl_err input_ranges(struct ranges *x, const struct csl_plan *plan, unsigned frac_bits,
                                 struct csl_diag *diag) {
    double lo = ldexp(plan->input.lo, (int)frac_bits);
    double hi = ldexp(plan->input.hi, (int)frac_bits);
    if (!(fabs(lo) < (double)CSL__MAX_INPUT && fabs(hi) < (double)CSL__MAX_INPUT && lo <= hi)) {
        return csl_fail(diag, CSL_EDATA,
                        "the input interval %g..%g cannot be used; declare a normalisation with a "
                        "smaller one",
                        plan->input.lo, plan->input.hi);
    }
    size_t n = csl_plan_n_inputs(plan);
    TRY(ranges_init(x, n));
    for (size_t i = 0; i < n; i++) {
        x->lo[i] = llrint(lo); /* as the client rounds its inputs */
        x->hi[i] = llrint(hi);
    }
    return CSL_OK;
}

static void report_layer(struct csl_layer_report *r, const struct csl_layer *layer, const struct extremes *x,
                         const struct extremes *z, const struct csl_layer_weights *w) {
    int z_frac = layer->x_frac + layer->w_frac;
    r->x_lo = ldexp((double)x->lo, -(int)layer->x_frac);
    r->x_hi = ldexp((double)x->hi, -(int)layer->x_frac);
    r->z_lo = ldexp((double)z->lo, -z_frac);
    r->z_hi = ldexp((double)z->hi, -z_frac);
    r->noise_std = ldexp(sqrt(z->noise), -z_frac);
    r->max_abs_w = 0;
    r->max_abs_b = 0;
    for (size_t i = 0; i < (size_t)w->k * w->n; i++) {
        r->max_abs_w = fmax(r->max_abs_w, fabs((double)w->w[i]));
    }
    for (size_t j = 0; j < w->n; j++) {
        r->max_abs_b = fmax(r->max_abs_b, fabs((double)w->b[j]));
    }
}

/* One layer: x becomes the range of its result. min_bits is raised to what the next ring must have. */
static enum csl_err assign_layer(struct ranges *x, unsigned *min_bits, struct csl_layer *layer,
                                 const struct csl_layer_weights *weights, struct csl_layer_report *report,
                                 struct csl_diag *diag) {
    struct csl_layer_qweights q = {0};
    struct ranges z = {0};
    enum csl_err err = CSL_OK;
    struct extremes before = extremes_of(x, layer->k);
    TRY_OUT(csl__quantise_layer(&q, layer, weights, diag));
    TRY_OUT(ranges_init(&z, layer->n));
    through_dense(&z, x, &q);
    struct extremes range = extremes_of(&z, layer->n);
    TRY_OUT(choose_bits(layer, &range, *min_bits, diag));
    report_layer(report, layer, &before, &range, weights);
    if (layer->activation != CSL_ACTIVATION_NONE) {
        through_activation(&z, layer->n, layer);
        *min_bits = layer->trunc_k;
    }
    ranges_clear(x);
    *x = z;
    z = (struct ranges){0};
out:
    ranges_clear(&z);
    csl_secret_free(q.w);
    csl_secret_free(q.b);
    return err;
}

enum csl_err csl__assign_widths(struct csl_plan *plan, const struct csl_weights *weights,
                                struct csl_plan_report *report, unsigned frac_bits, struct csl_diag *diag) {
    struct ranges x = {0};
    enum csl_err err;
    unsigned min_bits = 0;
    report->n_layers = plan->n_layers;
    TRY_OUT(input_ranges(&x, plan, frac_bits, diag));
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        struct csl_layer *layer = &plan->layers[d];
        layer->x_frac = (uint8_t)frac_bits;
        layer->w_frac = (uint8_t)frac_bits;
        if (layer->activation == CSL_ACTIVATION_NONE && d + 1 < plan->n_layers) {
            layer->activation = CSL_ACTIVATION_TRUNC; /* two dense layers in a row */
        }
        TRY_OUT(assign_layer(&x, &min_bits, layer, &weights->layers[d], &report->layers[d], diag));
        if (d > 0) {
            plan->layers[d - 1].out_bits = layer->bits;
        }
    }
    struct csl_layer *last = &plan->layers[plan->n_layers - 1];
    struct extremes y = extremes_of(&x, last->n);
    if (last->activation != CSL_ACTIVATION_NONE) {
        last->out_bits = (uint8_t)(min_bits > 2 ? min_bits : 2); /* choose_cut widens it to what y needs */
    }
    err = choose_cut(plan, report, &y, diag);
out:
    ranges_clear(&x);
    return err;
}
