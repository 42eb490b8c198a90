#include "nn/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mpc/correlation.h"
#include "nn/plan_internal.h"

_Static_assert((int)CSL_PLAN_MAX_DIGITS == (int)CSL_MAX_DIGITS, "digits of a plan are those of a demand");
_Static_assert((int)CSL_PLAN_MAX_DEMANDS <= (int)CSL_MAX_DEMANDS, "a plan's demands fit");

struct csl_plan_options csl_plan_options_default(void) {
    struct csl_plan_options opt = {.input = {CSL_NORMALIZE_UNIT, 0.0, 1.0}, .frac_bits = 16};
    return opt;
}

static enum csl_err compile(struct csl_plan *plan, struct csl_weights *weights,
                            struct csl_plan_report *report, struct csl_issues *issues,
                            const struct csl_graph *graph, const struct csl_plan_options *opt,
                            struct csl_diag *diag) {
    if (opt->frac_bits < 4 || opt->frac_bits > 20) {
        return csl_fail(diag, CSL_EUSAGE, "%u fraction bits: 4 to 20 are possible", opt->frac_bits);
    }
    plan->input = opt->input;
    TRY(csl__lower(plan, weights, issues, graph, diag));
    if (issues->n != 0) {
        return csl_issues_fail(issues, diag);
    }
    TRY(csl__assign_widths(plan, weights, report, opt->frac_bits, diag));
    return csl_plan_check(plan, diag);
}

enum csl_err csl_plan_compile(struct csl_plan *plan, struct csl_weights *weights,
                              struct csl_plan_report *report, struct csl_issues *issues,
                              const struct csl_graph *graph, const struct csl_plan_options *opt,
                              struct csl_diag *diag) {
    struct csl_plan_report unused;
    report = report == NULL ? &unused : report;
    *plan = (struct csl_plan){0};
    *weights = (struct csl_weights){0};
    *report = (struct csl_plan_report){0};
    enum csl_err err = compile(plan, weights, report, issues, graph, opt, diag);
    if (err != CSL_OK) {
        csl_weights_clear(weights);
        *plan = (struct csl_plan){0};
        *report = (struct csl_plan_report){0};
    }
    return err;
}

uint32_t csl_plan_n_inputs(const struct csl_plan *plan) {
    return plan->layers[0].k;
}

uint32_t csl_plan_n_outputs(const struct csl_plan *plan) {
    return plan->layers[plan->n_layers - 1].n;
}

unsigned csl_plan_input_bits(const struct csl_plan *plan) {
    return plan->layers[0].bits;
}

unsigned csl_plan_input_frac(const struct csl_plan *plan) {
    return plan->layers[0].x_frac;
}

unsigned csl_plan_output_bits(const struct csl_plan *plan) {
    return plan->layers[plan->n_layers - 1].out_bits;
}

unsigned csl_plan_output_frac(const struct csl_plan *plan) {
    const struct csl_layer *last = &plan->layers[plan->n_layers - 1];
    return (unsigned)last->x_frac + last->w_frac - last->trunc_f;
}

/* ---- a plan from outside ---- */

static bool check_name(const char name[CSL_PLAN_NAME_BYTES]) {
    char copy[CSL_PLAN_NAME_BYTES];
    memcpy(copy, name, sizeof copy);
    if (memchr(copy, '\0', sizeof copy) == NULL) {
        return false;
    }
    csl_text_clean(copy);
    return strcmp(copy, name) == 0;
}

static enum csl_err check_input(const struct csl_plan *plan, struct csl_diag *diag) {
    if (!check_name(plan->name)) {
        return csl_fail(diag, CSL_EDATA, "plan: its name is not text");
    }
    if (plan->n_layers < 1 || plan->n_layers > CSL_PLAN_MAX_LAYERS) {
        return csl_fail(diag, CSL_EDATA, "plan: %u layers; 1 to %d are possible", plan->n_layers,
                        CSL_PLAN_MAX_LAYERS);
    }
    if (plan->input_rank < 1 || plan->input_rank > CSL_MAX_RANK) {
        return csl_fail(diag, CSL_EDATA, "plan: the input has rank %u; 1 to %d are possible",
                        plan->input_rank, CSL_MAX_RANK);
    }
    uint64_t n = 1;
    for (uint32_t i = 0; i < plan->input_rank; i++) {
        if (plan->input_shape[i] < 1 || plan->input_shape[i] > CSL_PLAN_MAX_DIM ||
            (n *= plan->input_shape[i]) > CSL_PLAN_MAX_DIM) {
            return csl_fail(diag, CSL_EDATA,
                            "plan: the input's dimension %u is %u; the shape has 1 to %d elements", i,
                            plan->input_shape[i], CSL_PLAN_MAX_DIM);
        }
    }
    if (n != plan->layers[0].k) {
        return csl_fail(diag, CSL_EDATA, "plan: the input has %llu elements, the first layer %u inputs",
                        (unsigned long long)n, plan->layers[0].k);
    }
    if (!((unsigned)plan->input.kind < CSL_NORMALIZE_COUNT && isfinite(plan->input.lo) &&
          isfinite(plan->input.hi) && plan->input.lo < plan->input.hi)) {
        return csl_fail(diag, CSL_EDATA, "plan: its normalisation or input interval is not valid");
    }
    return CSL_OK;
}

/* The demands of one layer; returns how many. */
static size_t layer_demands(struct csl_demand out[2], const struct csl_layer *layer) {
    out[0] = csl_demand_linear(layer->k, layer->n, layer->bits);
    if (layer->activation == CSL_ACTIVATION_NONE) {
        return 1;
    }
    bool relu = layer->activation == CSL_ACTIVATION_RELU;
    out[1] = (struct csl_demand){.kind = relu ? CSL_DEMAND_RELU : CSL_DEMAND_TRUNC, .count = layer->n};
    out[1].trunc = (struct csl_trunc_params){
        .k = layer->trunc_k, .f = layer->trunc_f, .out_bits = layer->out_bits, .n_digits = layer->n_digits};
    memcpy(out[1].trunc.digit_bits, layer->digit_bits, sizeof out[1].trunc.digit_bits);
    return 2;
}

static const char *wrong_shape(const struct csl_layer *layer, uint64_t *n_weights) {
    if (!check_name(layer->name)) {
        return "name";
    }
    if (layer->k < 1 || layer->k > CSL_PLAN_MAX_DIM || layer->n < 1 || layer->n > CSL_PLAN_MAX_DIM) {
        return "k or n";
    }
    *n_weights += (uint64_t)layer->k * layer->n;
    if (*n_weights > CSL_PLAN_MAX_WEIGHTS) {
        return "number of weights";
    }
    return layer->x_frac < 1 || layer->x_frac > 20 || layer->w_frac < 1 || layer->w_frac > 20
               ? "fraction bits"
               : NULL;
}

static const char *wrong_activation(const struct csl_layer *layer) {
    unsigned digits = layer->activation == CSL_ACTIVATION_RELU ? layer->n_digits : 0;
    if (layer->activation >= CSL_ACTIVATION_COUNT) {
        return "activation";
    }
    if (layer->n_digits > CSL_PLAN_MAX_DIGITS || (digits == 0 && layer->n_digits != 0)) {
        return "digits";
    }
    for (unsigned i = digits; i < CSL_PLAN_MAX_DIGITS; i++) {
        if (layer->digit_bits[i] != 0) {
            return "digits";
        }
    }
    if (layer->activation == CSL_ACTIVATION_NONE) {
        return layer->trunc_k != 0 || layer->trunc_f != 0 || layer->out_bits != layer->bits ? "truncation"
                                                                                            : NULL;
    }
    if (layer->bits != layer->trunc_k + layer->trunc_f || layer->trunc_f >= layer->x_frac + layer->w_frac) {
        return "truncation";
    }
    return NULL;
}

static const char *wrong_link(const struct csl_layer *layer, const struct csl_layer *next) {
    if (next == NULL) {
        return NULL;
    }
    if (layer->activation == CSL_ACTIVATION_NONE) {
        return "activation (only the last may have none)";
    }
    if (layer->n != next->k) {
        return "n (not the next one's k)";
    }
    if (layer->out_bits != next->bits) {
        return "out_bits (not the next one's ring)";
    }
    return layer->x_frac + layer->w_frac - layer->trunc_f != next->x_frac
               ? "fraction bits (not the next one's)"
               : NULL;
}

static enum csl_err check_layer(const struct csl_plan *plan, uint32_t d, uint64_t *n_weights,
                                struct csl_diag *diag) {
    const struct csl_layer *layer = &plan->layers[d];
    const char *wrong = wrong_shape(layer, n_weights);
    if (wrong == NULL && (layer->bits < 2 || layer->bits > CSL_PLAN_MAX_BITS || layer->out_bits < 2 ||
                          layer->out_bits > CSL_PLAN_MAX_BITS)) {
        wrong = "ring";
    }
    wrong = wrong != NULL ? wrong : wrong_activation(layer);
    wrong = wrong != NULL ? wrong : wrong_link(layer, d + 1 < plan->n_layers ? layer + 1 : NULL);
    if (wrong != NULL) {
        return csl_fail(diag, CSL_EDATA, "plan: layer %u: its %s cannot be", d, wrong);
    }
    struct csl_demand demands[2];
    size_t n = layer_demands(demands, layer);
    for (size_t i = 0; i < n; i++) {
        enum csl_err err = csl_demand_check(&demands[i], diag);
        if (err != CSL_OK) {
            return csl_fail_context(diag, err, "plan: layer %u", d);
        }
    }
    return CSL_OK;
}

enum csl_err csl_plan_check(const struct csl_plan *plan, struct csl_diag *diag) {
    TRY(check_input(plan, diag));
    uint64_t n_weights = 0;
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        TRY(check_layer(plan, d, &n_weights, diag));
    }
    double limit = ldexp((double)CSL__MAX_INPUT, -(int)plan->layers[0].x_frac);
    if (!(fabs(plan->input.lo) < limit && fabs(plan->input.hi) < limit)) {
        return csl_fail(diag, CSL_EDATA, "plan: the input interval is too wide");
    }
    if (plan->head >= CSL_HEAD_COUNT) {
        return csl_fail(diag, CSL_EDATA, "plan: its head %u is not known", (unsigned)plan->head);
    }
    if (plan->output_cut >= csl_plan_output_bits(plan)) {
        return csl_fail(diag, CSL_EDATA, "plan: the output cut %u leaves nothing of %u bits",
                        (unsigned)plan->output_cut, csl_plan_output_bits(plan));
    }
    return CSL_OK;
}

enum csl_err csl_plan_demands(const struct csl_plan *plan, struct csl_demand *out, size_t *n_out) {
    *n_out = 0;
    TRY(csl_plan_check(plan, NULL));
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        *n_out += layer_demands(&out[*n_out], &plan->layers[d]);
    }
    return CSL_OK;
}
