/* A plan from outside: nothing in it is believed. After this, every index, size and width may be used. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/plan_internal.h"

enum { MAX_FRAC = 61 };
#define MAX_TOTAL_ELEMENTS ((uint64_t)1 << 27) /* of all values together */
#define MAX_PRODUCTS ((uint64_t)1 << 36)       /* multiplications of all linear layers, one inference */

static bool check_name(const char name[CSL_PLAN_NAME_BYTES]) {
    char copy[CSL_PLAN_NAME_BYTES];
    memcpy(copy, name, sizeof copy);
    if (memchr(copy, '\0', sizeof copy) == NULL) {
        return false;
    }
    csl_text_clean(copy);
    return strcmp(copy, name) == 0;
}

static enum csl_err check_counts(const struct csl_plan *plan, struct csl_diag *diag) {
    if (!check_name(plan->name)) {
        return csl_fail(diag, CSL_EDATA, "plan: its name is not text");
    }
    if (plan->n_steps < 1 || plan->n_steps > CSL_PLAN_MAX_STEPS) {
        return csl_fail(diag, CSL_EDATA, "plan: %u steps; 1 to %d are possible", plan->n_steps,
                        CSL_PLAN_MAX_STEPS);
    }
    if (plan->n_arms > CSL_PLAN_MAX_ARMS) {
        return csl_fail(diag, CSL_EDATA, "plan: %u linear pieces; at most %d are possible", plan->n_arms,
                        CSL_PLAN_MAX_ARMS);
    }
    if (plan->input_rank < 1 || plan->input_rank > CSL_MAX_RANK) {
        return csl_fail(diag, CSL_EDATA, "plan: the input has rank %u; 1 to %d are possible",
                        plan->input_rank, CSL_MAX_RANK);
    }
    if (plan->input_channels_last > 1 || plan->from_samples > 1) {
        return csl_fail(diag, CSL_EDATA, "plan: a flag is neither 0 nor 1");
    }
    if (plan->head >= CSL_HEAD_COUNT) {
        return csl_fail(diag, CSL_EDATA, "plan: its head %u is not known", (unsigned)plan->head);
    }
    return CSL_OK;
}

/* Dimensions, ring, fraction bits, scale. */
static enum csl_err check_value(const struct csl_value *v, uint32_t i, uint64_t *total,
                                struct csl_diag *diag) {
    const struct csl_hwc *d = &v->dim;
    uint64_t plane = (uint64_t)d->h * d->w;
    const char *wrong = NULL;
    if (d->h < 1 || d->w < 1 || d->c < 1 || plane > CSL_PLAN_MAX_ELEMENTS ||
        plane * d->c > CSL_PLAN_MAX_ELEMENTS || (*total += plane * d->c) > MAX_TOTAL_ELEMENTS) {
        wrong = "size";
    } else if (v->bits < 2 || v->bits > CSL_PLAN_MAX_BITS) {
        wrong = "ring";
    } else if (v->frac < 1 || v->frac > MAX_FRAC) {
        wrong = "fraction bits";
    } else if (!(v->scale >= 0x1p-40 && v->scale <= 0x1p40)) {
        wrong = "scale";
    }
    return wrong == NULL ? CSL_OK : csl_fail(diag, CSL_EDATA, "plan: value %u: its %s cannot be", i, wrong);
}

static enum csl_err check_input(const struct csl_plan *plan, struct csl_diag *diag) {
    const struct csl_value *x = &plan->values[0];
    uint64_t n = 1;
    for (uint32_t i = 0; i < plan->input_rank; i++) {
        if (plan->input_shape[i] < 1 || plan->input_shape[i] > CSL_PLAN_MAX_ELEMENTS ||
            (n *= plan->input_shape[i]) > CSL_PLAN_MAX_ELEMENTS) {
            return csl_fail(diag, CSL_EDATA,
                            "plan: the input's dimension %u is %u; the shape has 1 to %d elements", i,
                            plan->input_shape[i], CSL_PLAN_MAX_ELEMENTS);
        }
    }
    if (n != csl__elements(x)) {
        return csl_fail(diag, CSL_EDATA, "plan: the input has %llu elements, its first value %zu",
                        (unsigned long long)n, csl__elements(x));
    }
    const uint32_t *s = plan->input_shape;
    bool last = plan->input_channels_last;
    if (plan->input_rank == 3 && (s[last ? 0 : 1] != x->dim.h || s[last ? 1 : 2] != x->dim.w)) {
        return csl_fail(diag, CSL_EDATA, "plan: the input's shape is not that of its first value");
    }
    if (x->frac > 20 || x->scale != 1) {
        return csl_fail(diag, CSL_EDATA, "plan: the input's fraction bits or scale cannot be");
    }
    if (!((unsigned)plan->input.kind < CSL_NORMALIZE_COUNT && isfinite(plan->input.lo) &&
          isfinite(plan->input.hi) && plan->input.lo < plan->input.hi)) {
        return csl_fail(diag, CSL_EDATA, "plan: its normalisation or input interval is not valid");
    }
    double limit = ldexp((double)CSL__MAX_INPUT, -(int)x->frac);
    if (!(fabs(plan->input.lo) < limit && fabs(plan->input.hi) < limit)) {
        return csl_fail(diag, CSL_EDATA, "plan: the input interval is too wide");
    }
    return CSL_OK;
}

/* ---- steps ---- */

static bool same_dim(const struct csl_hwc *a, const struct csl_hwc *b) {
    return a->h == b->h && a->w == b->w && a->c == b->c;
}

static bool shape_joins(const struct csl_conv_shape *s, const struct csl_hwc *in, const struct csl_hwc *out) {
    return s->in_h == in->h && s->in_w == in->w && s->in_c == in->c && s->out_h == out->h &&
           s->out_w == out->w && s->out_c == out->c;
}

struct budget {
    uint64_t weights, products;
    uint32_t layers;
};

static const char *wrong_linear(const struct csl_step *step, const struct csl_value *x,
                                const struct csl_value *y, struct budget *b) {
    const struct csl_conv_shape *s = &step->shape;
    if (csl_conv_check(s, NULL) != CSL_OK || !shape_joins(s, &x->dim, &y->dim)) {
        return "shape";
    }
    if (step->layer != b->layers++) {
        return "layer number";
    }
    uint64_t rows = (uint64_t)csl__taps(s) * (s->in_c / s->groups);
    if (csl__taps(s) > CSL_PLAN_MAX_WEIGHTS || rows > CSL_PLAN_MAX_WEIGHTS ||
        rows * s->out_c > CSL_PLAN_MAX_WEIGHTS || (b->weights += rows * s->out_c) > CSL_PLAN_MAX_WEIGHTS) {
        return "number of weights";
    }
    if ((b->products += rows * csl_conv_outputs(s)) > MAX_PRODUCTS) {
        return "number of products";
    }
    if (step->w_frac < 1 || step->w_frac > 20 || x->frac + step->w_frac != y->frac) {
        return "fraction bits";
    }
    return step->l_bits != y->bits || step->l_bits > x->bits ? "ring" : NULL;
}

/* MAX, SUM, PAD. */
static const char *wrong_window(const struct csl_step *step, const struct csl_value *x,
                                const struct csl_value *y) {
    const struct csl_conv_shape *s = &step->shape;
    if (csl_conv_check(s, NULL) != CSL_OK || !shape_joins(s, &x->dim, &y->dim) || s->in_c != s->out_c ||
        s->groups != s->in_c) {
        return "shape";
    }
    if (csl__taps(s) > CSL_PLAN_MAX_TAPS || csl__taps(s) * csl_conv_outputs(s) > CSL_PLAN_MAX_TAPS) {
        return "window";
    }
    if (step->kind == CSL_STEP_PAD) {
        return csl__taps(s) != 1 || step->w_frac != 0 ? "window" : NULL;
    }
    return csl__windows_touch(s) ? NULL : "window (it lies outside the picture)";
}

static const char *wrong_max(const struct csl_step *step, const struct csl_value *x,
                             const struct csl_value *y) {
    unsigned l = (unsigned)step->trunc.k + step->trunc.f;
    if (step->exact > 1) {
        return "flag";
    }
    if (step->w_frac != 0 || x->frac != y->frac || csl__taps(&step->shape) < 2) {
        return "fraction bits";
    }
    if (step->l_bits != l || step->trunc.out_bits != y->bits || x->bits < y->bits) {
        return "ring";
    }
    return step->exact ? (step->trunc.f != 1 ? "truncation" : NULL) : (l != y->bits ? "ring" : NULL);
}

/* RELU, TRUNC, PWL */
static const char *wrong_trunc(const struct csl_plan *plan, const struct csl_step *step,
                               const struct csl_value *x, const struct csl_value *y) {
    if (!same_dim(&x->dim, &y->dim)) {
        return "size";
    }
    if (step->trunc.k + step->trunc.f > x->bits || step->trunc.out_bits != y->bits) {
        return "ring";
    }
    if (step->trunc.f >= x->frac) {
        return "fraction bits";
    }
    if (step->kind != CSL_STEP_PWL) {
        return x->frac - step->trunc.f != y->frac ? "fraction bits" : NULL;
    }
    if (step->n_arms < 1 || step->n_arms > plan->n_arms || step->first_arm > plan->n_arms - step->n_arms ||
        csl__elements(x) * step->n_arms > CSL_PLAN_MAX_ELEMENTS) {
        return "arms";
    }
    for (unsigned j = 0; j < step->n_arms; j++) {
        const struct csl_arm *arm = &plan->arms[step->first_arm + j];
        if (llabs(arm->knot / 2) > CSL__MAX_BOUND || llabs(arm->slope / 2) > CSL__MAX_WEIGHT) {
            return "arms";
        }
    }
    return llabs(step->c0 / 2) > CSL__MAX_BIAS ? "c0" : NULL;
}

static const char *wrong_sum(const struct csl_step *step, const struct csl_value *x,
                             const struct csl_value *y) {
    if (step->w_frac > 30 || x->frac + step->w_frac != y->frac) {
        return "fraction bits";
    }
    return x->bits < y->bits ? "ring" : NULL;
}

/* ADD, CONCAT: every input. */
static const char *wrong_inputs(const struct csl_plan *plan, const struct csl_step *step,
                                const struct csl_value *y) {
    uint64_t channels = 0;
    for (unsigned j = 0; j < step->n_in; j++) {
        const struct csl_value *x = &plan->values[step->in[j]];
        struct csl_hwc d = x->dim;
        channels += d.c;
        d.c = step->kind == CSL_STEP_CONCAT ? y->dim.c : d.c;
        if (!same_dim(&d, &y->dim)) {
            return "size";
        }
        if (x->bits < y->bits) {
            return "ring";
        }
        if (step->kind == CSL_STEP_ADD && llabs(step->factor[j] / 2) > CSL__MAX_WEIGHT) {
            return "factor";
        }
        if (step->kind == CSL_STEP_CONCAT && (x->frac != y->frac || x->scale != y->scale)) {
            return "fraction bits or scale";
        }
    }
    return step->kind == CSL_STEP_CONCAT && channels != y->dim.c ? "size" : NULL;
}

static const char *wrong_step(const struct csl_plan *plan, uint32_t i, struct budget *b) {
    const struct csl_step *step = &plan->steps[i];
    if (!check_name(step->name)) {
        return "name";
    }
    bool many = step->kind == CSL_STEP_ADD || step->kind == CSL_STEP_CONCAT;
    if (step->kind >= CSL_STEP_COUNT) {
        return "kind";
    }
    if (step->n_in < 1 || step->n_in > (many ? CSL_NETWORK_MAX_INPUTS : 1)) {
        return "number of inputs";
    }
    for (unsigned j = 0; j < step->n_in; j++) {
        if (step->in[j] > i) {
            return "input";
        }
    }
    const struct csl_value *x = &plan->values[step->in[0]];
    const struct csl_value *y = &plan->values[i + 1];
    const char *wrong;
    switch (step->kind) {
    case CSL_STEP_LINEAR:
        return wrong_linear(step, x, y, b);
    case CSL_STEP_RELU:
    case CSL_STEP_TRUNC:
    case CSL_STEP_PWL:
        return wrong_trunc(plan, step, x, y);
    case CSL_STEP_MAX:
        wrong = wrong_window(step, x, y);
        return wrong != NULL ? wrong : wrong_max(step, x, y);
    case CSL_STEP_SUM:
    case CSL_STEP_PAD:
        wrong = wrong_window(step, x, y);
        return wrong != NULL ? wrong : wrong_sum(step, x, y);
    default:
        return wrong_inputs(plan, step, y);
    }
}

/* The demands hold what the protocol steps ask for: digits, widths, counts. */
static enum csl_err check_demands(const struct csl_plan *plan, struct csl_diag *diag) {
    struct csl_demand *demands = calloc(CSL_PLAN_MAX_DEMANDS, sizeof *demands);
    if (demands == NULL) {
        return CSL_ENOMEM;
    }
    size_t n;
    enum csl_err err = csl__plan_list_demands(plan, CSL_PROFILE_LAN, false, demands, &n);
    if (err != CSL_OK) {
        err = csl_fail(diag, err, "plan: it needs more than %d correlations", CSL_PLAN_MAX_DEMANDS);
    }
    for (size_t i = 0; i < n && err == CSL_OK; i++) {
        err = csl_demand_check(&demands[i], diag);
        if (err != CSL_OK) {
            csl_fail_context(diag, err, "plan: correlation %zu", i);
        }
    }
    if (err == CSL_OK && csl_correction_bytes(demands, n) == 0) {
        err = csl_fail(diag, CSL_EDATA, "plan: its correlations are too large");
    }
    free(demands);
    return err;
}

enum csl_err csl_plan_check(const struct csl_plan *plan, struct csl_diag *diag) {
    struct budget budget = {0};
    uint64_t total = 0;
    TRY(check_counts(plan, diag));
    for (uint32_t i = 0; i <= plan->n_steps; i++) {
        TRY(check_value(&plan->values[i], i, &total, diag));
    }
    TRY(check_input(plan, diag));
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const char *wrong = wrong_step(plan, i, &budget);
        if (wrong != NULL) {
            return csl_fail(diag, CSL_EDATA, "plan: step %u: its %s cannot be", i, wrong);
        }
    }
    if (budget.layers != plan->n_layers || budget.layers < 1) {
        return csl_fail(diag, CSL_EDATA,
                        "plan: %u layers with weights; %u are declared, at least one must be", budget.layers,
                        plan->n_layers);
    }
    if (plan->output_cut >= csl_plan_output_bits(plan)) {
        return csl_fail(diag, CSL_EDATA, "plan: the output cut %u leaves nothing of %u bits",
                        (unsigned)plan->output_cut, csl_plan_output_bits(plan));
    }
    return check_demands(plan, diag);
}
