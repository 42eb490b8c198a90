#include "nn/plan.h"

#include <string.h>

#include "nn/plan_internal.h"

_Static_assert((int)CSL_PLAN_MAX_DEMANDS <= (int)CSL_MAX_DEMANDS, "a plan's demands fit");
_Static_assert((int)CSL_PLAN_MAX_ELEMENTS <= (int)CSL_MAX_DIM, "a plan's values fit");

const char *csl_step_name(enum csl_step_kind kind) {
    static const char *const names[CSL_STEP_COUNT] = {
#define CSL_STEP_TEXT(e, name) name,
        CSL_STEP_LIST(CSL_STEP_TEXT)
#undef CSL_STEP_TEXT
    };
    return (unsigned)kind < CSL_STEP_COUNT ? names[kind] : "unknown";
}

/* ---- accessors ---- */

static const struct csl_value *output(const struct csl_plan *plan) {
    return &plan->values[plan->n_steps];
}

uint32_t csl_plan_n_inputs(const struct csl_plan *plan) {
    return (uint32_t)csl__elements(&plan->values[0]);
}

uint32_t csl_plan_n_outputs(const struct csl_plan *plan) {
    return (uint32_t)csl__elements(output(plan));
}

unsigned csl_plan_input_bits(const struct csl_plan *plan) {
    return plan->values[0].bits;
}

unsigned csl_plan_input_frac(const struct csl_plan *plan) {
    return plan->values[0].frac;
}

unsigned csl_plan_output_bits(const struct csl_plan *plan) {
    return output(plan)->bits;
}

unsigned csl_plan_output_frac(const struct csl_plan *plan) {
    return output(plan)->frac;
}

unsigned csl_plan_label_bits(const struct csl_plan *plan) {
    unsigned bits = 1;
    while (csl_plan_n_outputs(plan) > (uint32_t)1 << bits) {
        bits++;
    }
    return bits;
}

/* ---- demands ---- */

static const char *const profile_names[CSL_PROFILE_COUNT] = {"lan", "wan"};

const char *csl_profile_name(enum csl_profile p) {
    return (unsigned)p < CSL_PROFILE_COUNT ? profile_names[p] : "unknown";
}

enum csl_err csl_profile_parse(enum csl_profile *out, const char *name, struct csl_diag *diag) {
    for (unsigned p = 0; p < CSL_PROFILE_COUNT; p++) {
        if (strcmp(name, profile_names[p]) == 0) {
            *out = (enum csl_profile)p;
            return CSL_OK;
        }
    }
    return csl_fail(diag, CSL_EUSAGE, "the profile \"%.20s\" is not known; there are lan and wan", name);
}

enum csl_err csl_profile_option(bool *automatic, enum csl_profile *out, const char *name,
                                struct csl_diag *diag) {
    *out = CSL_PROFILE_LAN;
    *automatic = name == NULL || strcmp(name, "auto") == 0;
    return *automatic || csl_profile_parse(out, name, NULL) == CSL_OK
               ? CSL_OK
               : csl_fail(diag, CSL_EUSAGE, "--profile is auto, lan or wan, not \"%.40s\"", name);
}

/* A product's fraction bits below the activations' are not compared; outputs without any are doubled, so
 * that there is a bit to cut, and the comparison is exact. */
struct csl__label csl__label_params(const struct csl_plan *plan) {
    enum { MAX_K = CSL_MAX_DIGITS * CSL_MAX_DIGIT_BITS + 1 };
    unsigned bits = csl_plan_output_bits(plan);
    unsigned frac = csl_plan_output_frac(plan);
    unsigned cut = frac > csl_plan_input_frac(plan) ? frac - csl_plan_input_frac(plan) : 0;
    struct csl__label p = {.shift = cut == 0 && bits < CSL_PLAN_MAX_BITS, .f = cut == 0 ? 1 : cut};
    unsigned l = bits + p.shift;
    p.f = l - p.f > MAX_K ? l - MAX_K : p.f;
    p.k = l - p.f;
    return p;
}

/* Room in out for all of them was checked. */
struct demand_list {
    struct csl_demand *out;
    size_t n;
    enum csl_profile profile;
};

static enum csl_err append(struct demand_list *list, struct csl_demand d) {
    if (list->n == CSL_PLAN_MAX_DEMANDS) {
        return CSL_EDATA;
    }
    bool wan = list->profile == CSL_PROFILE_WAN && d.trunc.n_digits > 1;
    list->out[list->n++] = wan ? csl_demand_wan(d) : d;
    return CSL_OK;
}

static struct csl_demand compare_demand(enum csl_demand_kind kind, size_t count,
                                        const struct csl_trunc_params *t) {
    return (struct csl_demand){.kind = kind, .count = (uint32_t)count, .trunc = *t};
}

static enum csl_err max_demands(struct demand_list *list, const struct csl_step *step) {
    size_t n = csl_conv_outputs(&step->shape);
    for (size_t m = csl__taps(&step->shape); m > 1; m = csl__after_level(m)) {
        enum csl_demand_kind kind = step->exact ? CSL_DEMAND_RELU : CSL_DEMAND_MAX;
        TRY(append(list, compare_demand(kind, n * csl__pairs(m), &step->trunc)));
    }
    return CSL_OK;
}

static enum csl_err step_demands(struct demand_list *list, const struct csl_plan *plan,
                                 const struct csl_step *step) {
    size_t n = csl__elements(&plan->values[step->in[0]]);
    switch (step->kind) {
    case CSL_STEP_LINEAR:
        return append(list, csl_demand_conv(&step->shape, step->l_bits));
    case CSL_STEP_RELU:
        return append(list, compare_demand(CSL_DEMAND_RELU, n, &step->trunc));
    case CSL_STEP_TRUNC:
        return append(list, compare_demand(CSL_DEMAND_TRUNC, n, &step->trunc));
    case CSL_STEP_PWL:
        return append(list, compare_demand(CSL_DEMAND_RELU, n * step->n_arms, &step->trunc));
    case CSL_STEP_MAX:
        return max_demands(list, step);
    default:
        return CSL_OK;
    }
}

size_t csl__step_n_demands(const struct csl_step *step) {
    size_t n = 0;
    for (size_t m = csl__taps(&step->shape); step->kind == CSL_STEP_MAX && m > 1; m = csl__after_level(m)) {
        n++;
    }
    bool one = step->kind == CSL_STEP_LINEAR || step->kind == CSL_STEP_RELU || step->kind == CSL_STEP_TRUNC ||
               step->kind == CSL_STEP_PWL;
    return n + one;
}

static enum csl_err label_demands(struct demand_list *list, const struct csl_plan *plan) {
    struct csl__label p = csl__label_params(plan);
    if (csl_plan_n_outputs(plan) > CSL_PLAN_MAX_LABELS) {
        return CSL_EUSAGE;
    }
    for (size_t m = csl_plan_n_outputs(plan); m > 1; m = csl__after_level(m)) {
        struct csl_demand d = csl_demand_argmax((uint32_t)csl__pairs(m), p.k, p.f, csl_plan_label_bits(plan));
        TRY(csl_demand_check(&d, NULL));
        TRY(append(list, d));
    }
    return CSL_OK;
}

enum csl_err csl__plan_list_demands(const struct csl_plan *plan, enum csl_profile profile, bool reveal_label,
                                    struct csl_demand *out, size_t *n_out) {
    struct demand_list list = {out, 0, profile};
    *n_out = 0;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        TRY(step_demands(&list, plan, &plan->steps[i]));
    }
    if (reveal_label) {
        TRY(label_demands(&list, plan));
    }
    *n_out = list.n;
    return CSL_OK;
}

enum csl_err csl_plan_demands(const struct csl_plan *plan, enum csl_profile profile, bool reveal_label,
                              struct csl_demand *out, size_t *n_out) {
    *n_out = 0;
    if ((unsigned)profile >= CSL_PROFILE_COUNT) {
        return CSL_EUSAGE;
    }
    TRY(csl_plan_check(plan, NULL));
    return csl__plan_list_demands(plan, profile, reveal_label, out, n_out);
}
