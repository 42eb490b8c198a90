/* Truncation, ReLU, piecewise-linear functions and maxima: the steps that compare or cut. */
#include <math.h>
#include <string.h>

#include "nn/compile_internal.h"

/* An activation never has fewer fraction bits than this. */
static unsigned min_frac(const struct csl__compiler *c) {
    return c->frac < CSL__MIN_FRAC ? c->frac : CSL__MIN_FRAC;
}

enum csl_err csl__emit_truncated(struct csl__compiler *c, uint16_t *out, uint16_t in,
                                 const struct csl_op_node *node) {
    struct csl_value v = c->plan->values[in];
    *out = in;
    if (v.frac <= c->frac) {
        return CSL_OK;
    }
    if (c->truncated[in] != 0) {
        *out = c->truncated[in];
        return CSL_OK;
    }
    struct csl__extremes x = csl__extremes_of(&c->range[in]);
    unsigned f = v.frac - c->frac;
    unsigned l = csl__bits_for(CSL__TRUNC, x.lo, x.hi, f);
    if (l > CSL_PLAN_MAX_BITS) {
        return csl__too_wide(c, node->name, x.lo, x.hi, &v, "a truncation");
    }
    struct csl_step step = {.kind = CSL_STEP_TRUNC, .n_in = 1, .in = {in}};
    step.trunc = (struct csl_trunc_params){.k = (uint8_t)(l - f), .f = (uint8_t)f};
    v.frac = (uint8_t)c->frac;
    TRY(csl__emit(c, out, &step, v, node, NULL));
    c->truncated[in] = *out;
    return CSL_OK;
}

/* A value with at least one fraction bit to cut: a product as it is, others times 2. */
static enum csl_err with_bits_to_cut(struct csl__compiler *c, uint16_t *out, unsigned *f, uint16_t in,
                                     const struct csl_op_node *node) {
    const struct csl_value *v = &c->plan->values[in];
    *out = in;
    *f = v->frac > c->frac ? v->frac - c->frac : 1;
    if (v->frac > c->frac) {
        return CSL_OK;
    }
    return csl__emit_scaled(c, out, in, 2, v->frac + 1U, v->scale, node);
}

/* k and f for comparisons of lo..hi; more bits are cut where more than 37 would have to be compared. */
static enum csl_err comparison(struct csl__compiler *c, struct csl_trunc_params *t, enum csl__use use,
                               csl__wide lo, csl__wide hi, unsigned f, const struct csl_value *v,
                               const struct csl_op_node *node) {
    unsigned l = csl__bits_for(use, lo, hi, f);
    while (l <= CSL_PLAN_MAX_BITS && l - f > CSL__MAX_K && v->frac > min_frac(c) + f) {
        f++;
        l = csl__bits_for(use, lo, hi, f);
    }
    if (l > CSL_PLAN_MAX_BITS || l - f > CSL__MAX_K) {
        return csl__too_wide(c, node->name, lo, hi, v, "a comparison of 37 bits");
    }
    *t = (struct csl_trunc_params){.k = (uint8_t)(l - f), .f = (uint8_t)f};
    return CSL_OK;
}

static enum csl_err emit_relu(struct csl__compiler *c, uint16_t *out, uint16_t in,
                              const struct csl_op_node *node) {
    unsigned f;
    TRY(with_bits_to_cut(c, &in, &f, in, node));
    struct csl_value v = c->plan->values[in];
    struct csl__extremes x = csl__extremes_of(&c->range[in]);
    struct csl_step step = {.kind = CSL_STEP_RELU, .n_in = 1, .in = {in}};
    TRY(comparison(c, &step.trunc, CSL__RELU, x.lo, x.hi, f, &v, node));
    v.frac = (uint8_t)(v.frac - step.trunc.f);
    return csl__emit(c, out, &step, v, node, NULL);
}

/* ---- piecewise-linear ---- */

/* Real units of the value before its scale; quantised arms back to reals, for the error that is reported. */
static struct csl__pwl arms_as_reals(const struct csl_step *step, const struct csl_arm *arms,
                                     unsigned in_frac, unsigned slope_frac, unsigned out_frac) {
    struct csl__pwl p = {.n = step->n_arms, .c0 = ldexp((double)step->c0, -(int)out_frac)};
    for (unsigned j = 0; j < step->n_arms; j++) {
        p.knot[j] = ldexp((double)arms[j].knot, -(int)in_frac);
        p.slope[j] = ldexp((double)arms[j].slope, -(int)slope_frac);
    }
    return p;
}

/* Integer slopes need no fraction bits, and no truncation behind the step. */
static unsigned slope_frac_of(const struct csl__compiler *c, const struct csl__pwl *p) {
    for (unsigned j = 0; j < p->n; j++) {
        if (p->slope[j] != nearbyint(p->slope[j]) || fabs(p->slope[j]) > 16) {
            return c->frac;
        }
    }
    return 0;
}

/* Rounds the slopes of the pieces, not their differences: errors do not add up. */
static enum csl_err quantise_arms(struct csl__compiler *c, struct csl_step *step, const struct csl__pwl *p,
                                  unsigned in_frac, unsigned slope_frac, unsigned out_frac) {
    struct csl_plan *plan = c->plan;
    unsigned n = p->n == 0 ? 1 : p->n; /* a constant: one arm of slope 0 */
    if (plan->n_arms + n > CSL_PLAN_MAX_ARMS) {
        return csl_fail(c->diag, CSL_EDATA,
                        "the network's activation functions need more than %d linear pieces; use ReLU",
                        CSL_PLAN_MAX_ARMS);
    }
    double slope = 0;
    int64_t before = 0;
    for (unsigned j = 0; j < n; j++) {
        slope += j < p->n ? p->slope[j] : 0;
        double knot = ldexp(j < p->n ? p->knot[j] : 0, (int)in_frac);
        double scaled = ldexp(slope, (int)slope_frac);
        if (!(fabs(knot) < (double)CSL__MAX_BOUND && fabs(scaled) < (double)CSL__MAX_INPUT)) {
            return csl_fail(c->diag, CSL_EDATA, "an activation function's slope or bound is too large");
        }
        int64_t now = llrint(scaled);
        plan->arms[plan->n_arms + j] = (struct csl_arm){.knot = llrint(knot), .slope = now - before};
        before = now;
    }
    double c0 = ldexp(p->c0, (int)out_frac);
    if (!(fabs(c0) < (double)CSL__MAX_BIAS)) {
        return csl_fail(c->diag, CSL_EDATA, "an activation function's bound is too large");
    }
    step->first_arm = (uint16_t)plan->n_arms;
    step->n_arms = (uint16_t)n;
    step->c0 = llrint(c0);
    return CSL_OK;
}

/* The bits of max(x - knot, 0) for all arms. */
static enum csl_err pwl_comparison(struct csl__compiler *c, struct csl_step *step, unsigned f,
                                   const struct csl__pwl *p, const struct csl_value *v,
                                   const struct csl_op_node *node) {
    struct csl__extremes x = csl__extremes_of(&c->range[step->in[0]]);
    csl__wide lo = x.lo;
    csl__wide hi = x.hi;
    for (unsigned j = 0; j < p->n; j++) {
        csl__wide knot = (csl__wide)ldexp(p->knot[j], v->frac);
        lo = x.lo - knot - 1 < lo ? x.lo - knot - 1 : lo;
        hi = x.hi - knot + 1 > hi ? x.hi - knot + 1 : hi;
    }
    return comparison(c, &step->trunc, CSL__RELU, lo, hi, f, v, node);
}

static enum csl_err emit_pwl(struct csl__compiler *c, uint16_t *out, uint16_t in, const struct csl__pwl *p,
                             double lo, double hi, const struct csl_op_node *node) {
    unsigned f;
    TRY(with_bits_to_cut(c, &in, &f, in, node));
    struct csl_value v = c->plan->values[in];
    struct csl_step step = {.kind = CSL_STEP_PWL, .n_in = 1, .in = {in}};
    struct csl__pwl scaled = *p; /* in terms of the value without its scale */
    for (unsigned j = 0; j < p->n; j++) {
        scaled.knot[j] /= v.scale;
        scaled.slope[j] *= v.scale;
    }
    unsigned slope_frac = slope_frac_of(c, &scaled);
    TRY(pwl_comparison(c, &step, f, &scaled, &v, node));
    unsigned in_frac = v.frac;
    v.frac = (uint8_t)(v.frac - step.trunc.f + slope_frac);
    TRY(quantise_arms(c, &step, &scaled, in_frac, slope_frac, v.frac));
    double scale = v.scale;
    v.scale = 1;
    TRY(csl__emit(c, out, &step, v, node, NULL));
    c->plan->n_arms += step.n_arms;
    struct csl__pwl back = arms_as_reals(&step, c->plan->arms + step.first_arm, in_frac, slope_frac, v.frac);
    for (unsigned j = 0; j < back.n; j++) {
        back.knot[j] *= scale;
        back.slope[j] /= scale;
    }
    c->report->steps[*out - 1].approximation =
        csl__pwl_error(&back, node->fn, (double)node->a, (double)node->b_param, lo, hi);
    return CSL_OK;
}

enum csl_err csl__emit_function(struct csl__compiler *c, uint16_t *out, uint16_t in,
                                const struct csl_op_node *node) {
    const struct csl_value *v = &c->plan->values[in];
    struct csl__extremes x = csl__extremes_of(&c->range[in]);
    double lo = ldexp((double)x.lo * v->scale, -(int)v->frac);
    double hi = ldexp((double)x.hi * v->scale, -(int)v->frac);
    double a = (double)node->a;
    double b = (double)node->b_param;
    if (node->fn == CSL_FN_RELU || (node->fn == CSL_FN_CLIP && a == 0 && b >= hi)) {
        return emit_relu(c, out, in, node);
    }
    if (isnan(a) || isnan(b)) {
        return csl_fail(c->diag, CSL_EDATA, "node \"%s\": a parameter is not a number", node->name);
    }
    if (node->fn == CSL_FN_CLIP && a <= lo && b >= hi) { /* never clips */
        *out = in;
        return CSL_OK;
    }
    struct csl__pwl p;
    csl__pwl_make(&p, node->fn, a, b, lo, hi);
    return emit_pwl(c, out, in, &p, lo, hi, node);
}

/* ---- maxima ---- */

/* A window of one element is no comparison. */
static enum csl_err emit_gather(struct csl__compiler *c, uint16_t *out, uint16_t in,
                                const struct csl_op_node *node) {
    struct csl_step step = {.kind = CSL_STEP_SUM, .n_in = 1, .in = {in}, .shape = node->shape};
    struct csl_value v = c->plan->values[in];
    v.dim = node->out;
    return csl__emit(c, out, &step, v, node, NULL);
}

enum csl_err csl__emit_max(struct csl__compiler *c, uint16_t *out, uint16_t in,
                           const struct csl_op_node *node) {
    if (csl__taps(&node->shape) == 1) {
        return emit_gather(c, out, in, node);
    }
    struct csl_value v = c->plan->values[in];
    struct csl_step step = {.kind = CSL_STEP_MAX, .n_in = 1, .in = {in}, .shape = node->shape};
    csl__wide lo;
    csl__wide hi;
    csl__difference(&lo, &hi, &c->range[in], &node->shape);
    step.exact = v.frac <= c->frac;
    if (step.exact) {
        struct csl_value doubled = {.scale = ldexp(v.scale, -(int)v.frac - 1)}; /* nothing to cut */
        TRY(comparison(c, &step.trunc, CSL__RELU, 2 * lo, 2 * hi, 1, &doubled, node));
    } else {
        TRY(comparison(c, &step.trunc, CSL__MAX, lo, hi, v.frac - c->frac, &v, node));
    }
    v.dim = node->out;
    return csl__emit(c, out, &step, v, node, NULL);
}
