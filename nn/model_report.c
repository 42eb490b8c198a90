#include "nn/model_report.h"

#include <string.h>

#include "mpc/link.h"

static enum csl_err copy_issues(struct csl_issues *out, const struct csl_issues *in) {
    for (size_t i = 0; in != NULL && i < in->n; i++) {
        const struct csl_issue *at = &in->at[i];
        TRY(csl_issues_add(out, at->node, at->op, at->hint, "%s", at->reason));
    }
    out->n_more += in == NULL ? 0 : in->n_more;
    return CSL_OK;
}

enum csl_err csl_model_report_make(struct csl_model_report *report, struct csl_weights *weights,
                                   const struct csl_graph *graph, const struct csl_issues *import_issues,
                                   const struct csl_plan_options *opt, unsigned n_parties, uint32_t batch,
                                   struct csl_diag *diag) {
    *report = (struct csl_model_report){.n_parties = n_parties, .batch = batch};
    struct csl_weights own = {0};
    struct csl_weights *w = weights == NULL ? &own : weights;
    struct csl_diag why = {{0}};
    *w = (struct csl_weights){0};
    enum csl_err err = copy_issues(&report->issues, import_issues);
    if (err == CSL_OK) {
        err = csl_plan_compile(&report->plan, w, &report->ranges, &report->issues, graph, opt, &why);
    }
    if (err == CSL_EDATA) {
        memcpy(report->error, why.text, sizeof report->error);
        err = CSL_OK;
    } else if (err == CSL_OK) {
        report->ok = true;
        err = csl_plan_cost(&report->plan, &report->cost, n_parties, batch);
        if (err != CSL_OK) {
            (void)csl_fail(&why, err,
                           "%u parties and a batch of %u: 2 to %d parties, 1 to %d inputs are possible",
                           n_parties, batch, CSL_MAX_PARTIES, CSL_PLAN_MAX_BATCH);
        }
    }
    csl_weights_clear(&own);
    if (err != CSL_OK) {
        if (weights != NULL) {
            csl_weights_clear(weights);
        }
        csl_model_report_clear(report);
        return csl_fail(diag, err, "%s", why.text);
    }
    return CSL_OK;
}

void csl_model_report_clear(struct csl_model_report *report) {
    csl_issues_clear(&report->issues);
    *report = (struct csl_model_report){0};
}

static void print_layer(const struct csl_layer *layer, const struct csl_layer_report *r, FILE *out) {
    static const char *const names[CSL_ACTIVATION_COUNT] = {"", "relu", "truncate"};
    fprintf(out, "  %-24s %6u x %-6u %-8s  z %11.5g .. %-11.5g  ring %2u bits", layer->name, layer->k,
            layer->n, names[layer->activation], r->z_lo, r->z_hi, layer->bits);
    if (layer->activation == CSL_ACTIVATION_RELU) {
        fprintf(out, ", compares %u", layer->trunc_k);
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

void csl_model_report_print(const struct csl_model_report *report, FILE *out) {
    if (!report->ok) {
        fprintf(out, "cannot be run: %s\n", report->error);
        print_issues(&report->issues, out);
        return;
    }
    static const char *const heads[CSL_HEAD_COUNT] = {"logits", "softmax at the client",
                                                      "log-softmax at the client"};
    const struct csl_plan *plan = &report->plan;
    const struct csl_cost *cost = &report->cost;
    fprintf(out, "%s: %u inputs (%s, %g to %g), %u outputs (%s)\n", plan->name, csl_plan_n_inputs(plan),
            csl_normalize_name(plan->input.kind), plan->input.lo, plan->input.hi, csl_plan_n_outputs(plan),
            heads[plan->head]);
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        print_layer(&plan->layers[d], &report->ranges.layers[d], out);
    }
    fprintf(out, "%u parties, batch of %u:\n", report->n_parties, report->batch);
    fprintf(out, "  rounds                          %12u\n", cost->rounds);
    fprintf(out, "  online, a party to each peer    %12llu bytes\n", (unsigned long long)cost->online_bytes);
    fprintf(out, "  online, a party in all          %12llu bytes\n",
            (unsigned long long)cost->total_sent_bytes);
    fprintf(out, "  offline, to the last party      %12llu bytes\n", (unsigned long long)cost->offline_bytes);
    fprintf(out, "  weights, once a model and epoch %12llu bytes\n",
            (unsigned long long)cost->open_weights_bytes);
    fprintf(out, "  memory of a party, about        %12llu KiB\n",
            (unsigned long long)(cost->party_memory / 1024));
    fprintf(out, "  resolution of the output        %12.3g\n", report->ranges.output_unit);
}
