/* How far the secure evaluation may be from the nearest reference: units of error, element by element. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "nn/plan_internal.h"

struct products {
    double *y;
    const double *x;
    const int64_t *w;
};

static void add_products(void *ctx, size_t y, size_t x, size_t w, size_t n) {
    const struct products *p = ctx;
    for (size_t j = 0; j < n; j++) {
        p->y[y + j] += p->x[x] * fabs((double)p->w[w + j]);
    }
}

/* Off by e units before a truncation: off by at most ceil(e / 2^f) after it, and one from rounding. The
 * secure one floors (z' + d) / 2^f with -m <= d <= 2^f - 2^(f-4) + m, m <= 2^(f-1) (T5), the reference (z +
 * 2^(f-1)) / 2^f: numerators apart by at most e + 2^f either way, above even less than e + 2^f. */
static void through_trunc(double *y, const double *x, size_t n, unsigned f) {
    for (size_t i = 0; i < n; i++) {
        y[i] = ceil(ldexp(x[i], -(int)f)) + 1;
    }
}

/* The steepest piece moves e; each arm's rounding moves at most 3/2 of its slope, and 1/2 in the reference.
 */
static void through_pwl(double *y, const double *x, size_t n, const struct csl_plan *plan,
                        const struct csl_step *step) {
    double slope = 0;
    double steepest = 0;
    double sum = 0;
    for (unsigned j = 0; j < step->n_arms; j++) {
        double change = (double)plan->arms[step->first_arm + j].slope;
        slope += change;
        steepest = fmax(steepest, fabs(slope));
        sum += fabs(change);
    }
    for (size_t i = 0; i < n; i++) {
        y[i] = steepest * ldexp(x[i], -(int)step->trunc.f) + 2 * sum;
    }
}

/* A maximum moves by no more than its inputs do; each level of top-bit comparisons may take one that is up to
 * 2^f smaller. */
static enum csl_err through_windows(double *y, const double *x, size_t n, const struct csl_step *step) {
    bool is_max = step->kind == CSL_STEP_MAX;
    size_t taps = csl__taps(&step->shape);
    uint32_t *index = csl__window_index(&step->shape, is_max);
    if (index == NULL) {
        return CSL_ENOMEM;
    }
    double loss = 0;
    for (size_t m = taps; is_max && !step->exact && m > 1; m = csl__after_level(m)) {
        loss += ldexp(1, step->trunc.f);
    }
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t t = 0; t < taps; t++) {
            uint32_t at = index[i * taps + t];
            double e = at == CSL__OUTSIDE ? 0 : x[at];
            sum = is_max ? fmax(sum, e) : sum + e;
        }
        uint32_t inside = csl__window_count(index, taps, i);
        y[i] = sum * (step->w_frac == 0 || inside == 0 ? 1 : ceil(ldexp(1, step->w_frac) / inside)) + loss;
    }
    free(index);
    return CSL_OK;
}

static void through_several(double *y, double *const *e, const struct csl_plan *plan,
                            const struct csl_step *step, size_t n) {
    size_t first = 0;
    size_t c_out = plan->values[step - plan->steps + 1].dim.c;
    for (unsigned j = 0; j < step->n_in; j++) {
        const double *x = e[step->in[j]];
        size_t c = plan->values[step->in[j]].dim.c;
        for (size_t i = 0; step->kind == CSL_STEP_ADD && i < n; i++) {
            y[i] += x[i] * fabs((double)step->factor[j]);
        }
        for (size_t i = 0; step->kind == CSL_STEP_CONCAT && i < n / c_out * c; i++) {
            y[i / c * c_out + first + i % c] = x[i];
        }
        first += c;
    }
}

static enum csl_err bound_step(double *y, double *const *e, const struct csl_plan *plan,
                               const struct csl_qweights *q, const struct csl_step *step, size_t n) {
    const double *x = e[step->in[0]];
    switch (step->kind) {
    case CSL_STEP_LINEAR:
        csl__conv_each(&step->shape, add_products, &(struct products){y, x, q->layers[step->layer].w});
        return CSL_OK;
    case CSL_STEP_RELU:
    case CSL_STEP_TRUNC:
        through_trunc(y, x, n, step->trunc.f);
        return CSL_OK;
    case CSL_STEP_PWL:
        through_pwl(y, x, n, plan, step);
        return CSL_OK;
    case CSL_STEP_MAX:
    case CSL_STEP_SUM:
    case CSL_STEP_PAD:
        return through_windows(y, x, n, step);
    default:
        through_several(y, e, plan, step, n);
        return CSL_OK;
    }
}

enum csl_err csl_eval_error_bound(const struct csl_plan *plan, const struct csl_qweights *q, double *bound,
                                  unsigned n_parties) {
    double *e[CSL_PLAN_MAX_VALUES] = {0};
    enum csl_err err = CSL_OK;
    for (uint32_t i = 0; i <= plan->n_steps && err == CSL_OK; i++) {
        size_t n = csl__elements(&plan->values[i]);
        e[i] = csl_secret_alloc(n, sizeof **e);
        err = e[i] == NULL ? CSL_ENOMEM : CSL_OK;
        if (err == CSL_OK && i > 0) {
            err = bound_step(e[i], e, plan, q, &plan->steps[i - 1], n);
        }
    }
    double cut = plan->output_cut == 0 ? 0 : ldexp((n_parties + 1) / 2, plan->output_cut);
    double unit = ldexp(plan->values[plan->n_steps].scale, -(int)csl_plan_output_frac(plan));
    for (size_t j = 0; j < csl_plan_n_outputs(plan) && err == CSL_OK; j++) {
        bound[j] = (e[plan->n_steps][j] + cut) * unit;
    }
    for (uint32_t i = 0; i <= plan->n_steps; i++) {
        csl_secret_free(e[i]);
    }
    return err;
}
