/* The rings of a plan's values, from the output back to the input: a value's ring holds what its consumers
 * need, and no more. All steps are sums and products, so a producer's ring may be any larger one. */
#include <math.h>
#include <string.h>

#include "nn/compile_internal.h"

static unsigned max_of(unsigned a, unsigned b) {
    return a > b ? a : b;
}

/* Step O1: 2^s is at least 64 standard deviations of the rounding noise, and never finer than the
 * activations' own resolution (what is finer tells of the weights, not of the class). */
static unsigned output_cut(const struct csl__compiler *c, const struct csl_value *y, double sigma) {
    unsigned s = y->frac > c->frac ? y->frac - c->frac : 0;
    while (s <= CSL_PLAN_MAX_BITS && ldexp(1.0, (int)s) < 64 * sigma) {
        s++;
    }
    return s;
}

/* The output's ring: room for what the cut may add or take away, half a unit a party, and for the differences
 * of an arg-max. */
static enum csl_err output_bits(struct csl__compiler *c, unsigned *bits) {
    struct csl_plan *plan = c->plan;
    const struct csl_value *v = &plan->values[plan->n_steps];
    const char *name = plan->steps[plan->n_steps - 1].name;
    struct csl__extremes y = csl__extremes_of(&c->range[plan->n_steps]);
    double sigma = sqrt(y.noise);
    unsigned s = output_cut(c, v, sigma);
    if (s > CSL_PLAN_MAX_BITS) {
        return csl__too_wide(c, name, y.lo, y.hi, v, "the rounding noise");
    }
    csl__wide margin = (csl__wide)(CSL_MAX_PARTIES / 2) << s;
    csl__wide span = (csl__wide)y.hi - y.lo;
    unsigned g = v->frac > c->frac ? v->frac - c->frac : 0;
    unsigned of_label =
        g > 0 ? csl__bits_for(CSL__MAX, -span, span, g) : csl__bits_for(CSL__MAX, -2 * span, 2 * span, 1) - 1;
    *bits = max_of(csl__bits_for(CSL__PLAIN, y.lo - margin, y.hi + margin, 0), of_label);
    *bits = max_of(*bits, s + 1);
    if (*bits > CSL_PLAN_MAX_BITS) {
        return csl__too_wide(c, name, y.lo, y.hi, v, "the output's ring");
    }
    plan->output_cut = (uint8_t)s;
    c->report->output_noise_std = ldexp(sigma * v->scale, -(int)v->frac);
    c->report->output_unit = ldexp(v->scale, (int)s - (int)v->frac);
    return CSL_OK;
}

static void set_trunc(struct csl_step *step, unsigned out_bits) {
    struct csl_trunc_params t = csl_trunc_params_default(step->trunc.k, step->trunc.f, out_bits);
    if (step->kind == CSL_STEP_TRUNC) {
        t.n_digits = 0;
        memset(t.digit_bits, 0, sizeof t.digit_bits);
    }
    step->trunc = t;
}

/* need: bits that the step's consumers want. Sets the step's rings; returns what it wants of its inputs, and
 * in *out its result's ring. */
static unsigned step_ring(struct csl_step *step, unsigned need, unsigned *out) {
    unsigned l = (unsigned)step->trunc.k + step->trunc.f;
    *out = max_of(need, 2);
    switch (step->kind) {
    case CSL_STEP_LINEAR:
        step->l_bits = (uint8_t)*out;
        return *out;
    case CSL_STEP_RELU:
    case CSL_STEP_TRUNC:
    case CSL_STEP_PWL:
        *out = max_of(need, step->trunc.k);
        set_trunc(step, *out);
        return l;
    case CSL_STEP_MAX:
        *out = max_of(need, step->exact ? step->trunc.k : l);
        if (!step->exact) { /* the comparison's ring is the result's */
            step->trunc.k = (uint8_t)(*out - step->trunc.f);
        }
        step->l_bits = (uint8_t)(step->trunc.k + step->trunc.f);
        set_trunc(step, *out);
        return *out;
    default:
        return *out;
    }
}

enum csl_err csl__assign_rings(struct csl__compiler *c) {
    struct csl_plan *plan = c->plan;
    unsigned need[CSL_PLAN_MAX_VALUES] = {0};
    TRY(output_bits(c, &need[plan->n_steps]));
    for (uint32_t i = plan->n_steps; i-- > 0;) {
        struct csl_step *step = &plan->steps[i];
        unsigned out;
        unsigned in = step_ring(step, need[i + 1], &out);
        if (out > CSL_PLAN_MAX_BITS || (step->kind == CSL_STEP_MAX && step->trunc.k > CSL__MAX_K)) {
            struct csl__extremes x = csl__extremes_of(&c->range[i + 1]);
            return csl__too_wide(c, step->name, x.lo, x.hi, &plan->values[i + 1], "its ring");
        }
        plan->values[i + 1].bits = (uint8_t)out;
        for (unsigned j = 0; j < step->n_in; j++) {
            need[step->in[j]] = max_of(need[step->in[j]], in);
        }
    }
    plan->values[0].bits = (uint8_t)max_of(need[0], 2);
    return CSL_OK;
}
