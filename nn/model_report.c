#include "nn/model_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mpc/link.h"
#include "nn/plan_internal.h"

static enum csl_err copy_issues(struct csl_issues *out, const struct csl_issues *in) {
    for (size_t i = 0; in != NULL && i < in->n; i++) {
        const struct csl_issue *at = &in->at[i];
        TRY(csl_issues_add(out, at->node, at->op, at->hint, "%s", at->reason));
    }
    out->n_more += in == NULL ? 0 : in->n_more;
    return CSL_OK;
}

static enum csl_err fill(struct csl_model_report *r, struct csl_weights *w, const struct csl_network *net,
                         const struct csl_plan_options *opt, struct csl_diag *diag) {
    if (r->issues.n != 0 || net == NULL) {
        enum csl_err err = r->issues.n != 0 ? csl_issues_fail(&r->issues, diag)
                                            : csl_fail(diag, CSL_EDATA, "the network could not be read");
        return err;
    }
    TRY(csl_plan_compile(&r->plan, w, &r->ranges, net, opt, diag));
    enum csl_err err = csl_plan_cost(&r->plan, &r->cost, r->n_parties, r->batch, r->profile, r->reveal_label);
    if (err == CSL_OK) {
        err = csl__cost_steps(&r->plan, r->steps, r->batch, r->profile, r->reveal_label);
    }
    if (err == CSL_EUSAGE) {
        return csl_fail(diag, err,
                        "%u parties and a batch of %u: 2 to %d parties, 1 to %d inputs are possible%s",
                        r->n_parties, r->batch, CSL_MAX_PARTIES, CSL_PLAN_MAX_BATCH,
                        r->reveal_label ? ", and labels of at most 65536 outputs" : "");
    }
    return err;
}

enum csl_err csl_model_report_make(struct csl_model_report *report, struct csl_weights *weights,
                                   const struct csl_network *net, const struct csl_issues *issues,
                                   const struct csl_plan_options *opt, unsigned n_parties, uint32_t batch,
                                   enum csl_profile profile, bool reveal_label, struct csl_diag *diag) {
    memset(report, 0, sizeof *report);
    report->n_parties = n_parties;
    report->batch = batch;
    report->profile = profile;
    report->reveal_label = reveal_label;
    struct csl_weights own = {0};
    struct csl_weights *w = weights == NULL ? &own : weights;
    struct csl_diag why = {{0}};
    *w = (struct csl_weights){0};
    enum csl_err err = copy_issues(&report->issues, issues);
    if (err == CSL_OK) {
        err = fill(report, w, net, opt, &why);
    }
    report->ok = err == CSL_OK;
    if (err == CSL_EDATA) {
        memcpy(report->error, why.text, sizeof report->error);
        err = CSL_OK;
    }
    csl_weights_clear(&own);
    if (err != CSL_OK) {
        if (weights != NULL) {
            csl_weights_clear(weights);
        }
        csl_model_report_clear(report);
        return csl_fail(diag, err, "%s", why.text[0] != '\0' ? why.text : csl_err_text(err));
    }
    return CSL_OK;
}

void csl_model_report_clear(struct csl_model_report *report) {
    csl_issues_clear(&report->issues);
    memset(report, 0, sizeof *report);
}

/* ---- text ---- */

static void print_dim(const struct csl_hwc *d, FILE *out) {
    char text[40];
    if (d->h == 1 && d->w == 1) {
        (void)snprintf(text, sizeof text, "%u", d->c);
    } else {
        (void)snprintf(text, sizeof text, "%ux%ux%u", d->h, d->w, d->c);
    }
    fprintf(out, "%-12s", text);
}

/* name, kind, input and output shapes, ring, comparison, range, rounds and bytes. */
static void print_step(const struct csl_model_report *report, uint32_t i, FILE *out) {
    const struct csl_plan *plan = &report->plan;
    const struct csl_step *step = &plan->steps[i];
    const struct csl_step_report *r = &report->ranges.steps[i];
    const struct csl_value *y = &plan->values[i + 1];
    fprintf(out, "  %-24s %-7s ", step->name, csl_step_name((enum csl_step_kind)step->kind));
    print_dim(&plan->values[step->in[0]].dim, out);
    fprintf(out, "-> ");
    print_dim(&y->dim, out);
    fprintf(out, " %10.4g .. %-10.4g ring %2u.%-2u", r->lo, r->hi, y->bits, y->frac);
    if (step->trunc.n_digits != 0) {
        fprintf(out, " k %2u f %2u", step->trunc.k, step->trunc.f);
    } else if (step->trunc.f != 0) {
        fprintf(out, "      f %2u", step->trunc.f);
    } else {
        fprintf(out, "          ");
    }
    fprintf(out, " %2u rounds %9llu B", report->steps[i].rounds,
            (unsigned long long)report->steps[i].online_bytes);
    if (step->kind == CSL_STEP_PWL) {
        fprintf(out, "  %u pieces, within %.2g", step->n_arms, r->approximation);
    }
    fprintf(out, "\n");
}

static void print_issues(const struct csl_issues *issues, FILE *out) {
    for (size_t i = 0; i < issues->n; i++) {
        const struct csl_issue *at = &issues->at[i];
        fprintf(out, "  %s (%s): %s\n      %s\n", at->node, at->op, at->reason, at->hint);
    }
    if (issues->n_more != 0) {
        fprintf(out, "  and %zu more\n", issues->n_more);
    }
}

/* What was assumed or given up to make the network fit. */
static void print_notes(const struct csl_plan *plan, FILE *out) {
    unsigned frac = csl_plan_input_frac(plan);
    if (plan->from_samples) {
        fprintf(out, "assumed: no value exceeds four times what the sample inputs showed; inputs that break "
                     "this give wrong results\n");
    }
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const struct csl_step *step = &plan->steps[i];
        if (step->kind == CSL_STEP_LINEAR && step->w_frac < frac) {
            fprintf(out, "note: the weights of \"%s\" have %u fraction bits, not %u, to fit the ring\n",
                    step->name, step->w_frac, frac);
        }
        if (step->kind == CSL_STEP_RELU && plan->values[i + 1].frac < frac &&
            plan->values[i + 1].frac < plan->values[step->in[0]].frac) {
            fprintf(out, "note: the values of \"%s\" have %u fraction bits, not %u, to be compared\n",
                    step->name, plan->values[i + 1].frac, frac);
        }
    }
}

static void print_cost(const struct csl_model_report *report, FILE *out) {
    const struct csl_cost *cost = &report->cost;
    const struct {
        const char *name;
        uint64_t n;
        const char *unit;
    } lines[] = {
        {"rounds", cost->rounds, ""},
        {"online, a party to each peer", cost->online_bytes, " bytes"},
        {"online, a party in all", cost->total_sent_bytes, " bytes"},
        {"input, to the last party", cost->input_bytes, " bytes"},
        {"output, a party to the client", cost->output_bytes, " bytes"},
        {"offline, to the last party", cost->offline_bytes, " bytes"},
        {"weights, once a model and epoch", cost->open_weights_bytes, " bytes"},
        {"memory of a party, about", cost->party_memory / 1024, " KiB"},
        {"more, with batches announced", cost->ahead_memory / 1024, " KiB"},
        {"memory of the dealer, about", cost->dealer_memory / 1024, " KiB"},
        {"memory of the client, about", cost->client_memory / 1024, " KiB"},
    };
    fprintf(out, "%u parties, batch of %u%s%s:\n", report->n_parties, report->batch,
            report->profile == CSL_PROFILE_WAN ? ", fewest rounds (wan)" : "",
            report->reveal_label ? ", labels only" : "");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        fprintf(out, "  %-32s%13llu%s\n", lines[i].name, (unsigned long long)lines[i].n, lines[i].unit);
    }
    fprintf(out, "  %-32s%13.3g\n", "resolution of the output", report->ranges.output_unit);
}

void csl_model_report_print(const struct csl_model_report *report, FILE *out) {
    if (!report->ok) {
        fprintf(out, "cannot be run: %s\n", report->error);
        print_issues(&report->issues, out);
        return;
    }
    static const char *const heads[CSL_HEAD_COUNT] = {"logits", "softmax at the client",
                                                      "log-softmax at the client"};
    const struct csl_plan *plan = &report->plan;
    fprintf(out, "%s: %u inputs (%s, %g to %g), %u outputs (%s)\n", plan->name, csl_plan_n_inputs(plan),
            csl_normalize_name(plan->input.kind), plan->input.lo, plan->input.hi, csl_plan_n_outputs(plan),
            heads[plan->head]);
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        print_step(report, i, out);
    }
    print_notes(plan, out);
    print_cost(report, out);
}
