/* consilium model check. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/model/accuracy.h"
#include "cli/model/check_audit.h"
#include "cli/model/options.h"
#include "roles/lane/lane.h"

enum { DEFAULT_MAX_BATCH = 256 }; /* limits.max_batch of a roster that says nothing */

static const struct csl_opt check_opts[] = {
    CSL_MODEL_OPTIONS(true),
    CSL_STRING(struct csl_model_opts, labels, "labels", "FILE", false, "IDX labels of the samples"),
    CSL_UINT(struct csl_model_opts, parties, "parties", "N", 2, 16, "for the costs; default 3"),
    CSL_UINT(struct csl_model_opts, batch, "batch", "N", 1, 65536, "for the costs; default 1"),
    CSL_STRING(struct csl_model_opts, reveal, "reveal", "logits|label", false,
               "for the costs; default: logits"),
    CSL_STRING(struct csl_model_opts, profile, "profile", "lan|wan", false,
               "for the costs: fewest bytes or fewest rounds; default: lan"),
    CSL_STRING(struct csl_model_opts, sign, "sign", "WHEN", false,
               "the roster's audit.sign, for the costs: before-output (default), after-output, off"),
    CSL_UINT(struct csl_model_opts, check_rows, "check-rows", "N", 0, 64,
             "the roster's audit.check_rows, for the costs; default 0"),
    CSL_OPTS_END};
static const struct csl_spec check_spec = {
    .name = "model check",
    .synopsis = "MODEL --normalize HOW [--images FILE... [--labels FILE]] [--parties N] [--batch N] "
                "[--profile wan] [--json]",
    .text =
        "Says whether the network can be evaluated, before anything is shared: its steps with the widths "
        "that interval\n"
        "bounds over the declared inputs demand, every node that cannot be run with the reason and what to "
        "change, and\n"
        "what an inference costs. With sample images also fixed point against float: classes, logits, and "
        "the error\n"
        "layer by layer. ONNX, and Keras where that is built in. Exit code 0 when it can run, 65 when not.",
    .opts = check_opts,
    .has_json = true,
    .pos_min = 1,
    .pos_max = 1,
    .pos_meta = "MODEL"};

static json_t *step_json(const struct csl_model_report *r, const struct csl_accuracy *a, uint32_t i) {
    const struct csl_step *s = &r->plan.steps[i];
    const struct csl_value *v = &r->plan.values[i + 1];
    const struct csl_step_report *x = &r->ranges.steps[i];
    json_t *o = json_pack("{s:s, s:s, s:[i,i,i], s:i, s:i, s:i, s:i, s:[f,f], s:f, s:i, s:I}", "name",
                          s->name, "kind", csl_step_name((enum csl_step_kind)s->kind), "shape", (int)v->dim.h,
                          (int)v->dim.w, (int)v->dim.c, "ring_bits", (int)v->bits, "frac_bits", (int)v->frac,
                          "comparison_bits", (int)s->trunc.k, "truncated_bits", (int)s->trunc.f, "range",
                          x->lo, x->hi, "rounding_noise", x->noise_std, "rounds", (int)r->steps[i].rounds,
                          "online_bytes", (json_int_t)r->steps[i].online_bytes);
    if (o != NULL && s->kind == CSL_STEP_PWL) {
        (void)json_object_set_new(o, "approximation_error", json_real(x->approximation));
    }
    if (o != NULL && a->n != 0 && a->step_error[i] >= 0) {
        (void)json_object_set_new(o, "error_against_float", json_real(a->step_error[i]));
    }
    return o;
}

static json_t *cost_json(const struct csl_cost *c) {
    return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rounds", (int)c->rounds,
                     "online_bytes_per_link", (json_int_t)c->online_bytes, "output_bytes",
                     (json_int_t)c->output_bytes, "input_bytes", (json_int_t)c->input_bytes, "offline_bytes",
                     (json_int_t)c->offline_bytes, "open_weights_bytes", (json_int_t)c->open_weights_bytes,
                     "share_bytes", (json_int_t)c->share_bytes, "party_memory_bytes",
                     (json_int_t)c->party_memory, "ahead_memory_bytes", (json_int_t)c->ahead_memory,
                     "dealer_memory_bytes", (json_int_t)c->dealer_memory, "client_memory_bytes",
                     (json_int_t)c->client_memory);
}

static json_t *accuracy_json(const struct csl_accuracy *a) {
    json_t *o = json_pack("{s:I, s:f, s:f}", "images", (json_int_t)a->n, "agree_with_plain",
                          (double)a->agree / (double)a->n, "max_logit_error", a->max_logit_error);
    if (o != NULL && a->n_labels != 0) {
        (void)json_object_set_new(o, "accuracy", json_real((double)a->correct / (double)a->n_labels));
        (void)json_object_set_new(o, "plain_accuracy",
                                  json_real((double)a->plain_correct / (double)a->n_labels));
    }
    return o;
}

/* Without the batch, as infer --part counts its axes. */
static json_t *shape_json(const struct csl_plan *plan) {
    json_t *shape = json_array();
    for (uint32_t a = 0; a < plan->input_rank; a++) {
        (void)json_array_append_new(shape, json_integer(plan->input_shape[a]));
    }
    return shape;
}

/* Inputs that one request of a shared session may have; 0: no plan says so. */
static uint32_t shared_rows(const struct csl_model_report *r) {
    uint32_t rows;
    return csl_lane_shared_rows(&rows, &r->plan, r->reveal_label, DEFAULT_MAX_BATCH) == CSL_OK ? rows : 0;
}

static void print_shape(const struct csl_plan *plan) {
    for (uint32_t a = 0; a < plan->input_rank; a++) {
        (void)printf("%s%u", a == 0 ? "input of " : " x ", plan->input_shape[a]);
    }
    (void)printf("\n");
}

static json_t *report_json(const struct csl_model_report *r, const struct csl_check_audit *audit,
                           const struct csl_accuracy *a) {
    json_t *steps = json_array(), *issues = json_array();
    for (uint32_t i = 0; r->ok && i < r->plan.n_steps; i++) {
        (void)json_array_append_new(steps, step_json(r, a, i));
    }
    for (size_t i = 0; i < r->issues.n; i++) {
        const struct csl_issue *x = &r->issues.at[i];
        (void)json_array_append_new(issues, json_pack("{s:s, s:s, s:s, s:s}", "node", x->node, "op", x->op,
                                                      "reason", x->reason, "hint", x->hint));
    }
    json_t *doc = json_pack("{s:s, s:b, s:i, s:i, s:s, s:o, s:o}", "version", CSL_VERSION, "runs", r->ok,
                            "parties", (int)r->n_parties, "batch", (int)r->batch, "profile",
                            csl_profile_name(r->profile), "steps", steps, "unsupported", issues);
    if (doc != NULL && r->ok) {
        (void)json_object_set_new(doc, "ranges_from_samples", json_boolean(r->plan.from_samples));
        (void)json_object_set_new(doc, "input_shape", shape_json(&r->plan));
        (void)json_object_set_new(doc, "cost", cost_json(&r->cost));
        (void)json_object_set_new(doc, "shared_request_inputs", json_integer(shared_rows(r)));
        (void)json_object_set_new(doc, "audit", csl_check_audit_json(audit));
        if (a->n != 0) {
            (void)json_object_set_new(doc, "fixed_point", accuracy_json(a));
        }
    } else if (doc != NULL) {
        (void)json_object_set_new(doc, "reason", json_string(r->error));
    }
    return doc;
}

static void print_accuracy(const struct csl_model_report *r, const struct csl_accuracy *a) {
    (void)printf(
        "\nfixed point against float on %zu images: classes agree on %zu, largest logit difference %.6f\n",
        a->n, a->agree, a->max_logit_error);
    if (a->n_labels != 0) {
        (void)printf("right: %zu in fixed point, %zu in float, of %zu\n", a->correct, a->plain_correct,
                     a->n_labels);
    }
    (void)printf("largest error of an element, on the first %zu:\n", a->n_step_images);
    for (uint32_t i = 0; i < r->plan.n_steps; i++) {
        if (a->step_error[i] >= 0) {
            (void)printf("  %-28.28s %.3g\n", r->plan.steps[i].name, a->step_error[i]);
        }
    }
}

static enum csl_err make_report(struct csl_model_report *report, struct csl_check_audit *audit,
                                struct csl_accuracy *accuracy, struct csl_model *m,
                                const struct csl_model_opts *o, struct csl_diag *diag) {
    struct csl_plan_options po;
    struct csl_ranges ranges = {0};
    struct csl_weights weights = {0};
    struct csl_images normalised = {0};
    enum csl_err err = CSL_OK;
    TRY_OUT(csl_model_options(&po, &ranges, m->net, &m->choice, diag));
    bool label = o->reveal != NULL && strcmp(o->reveal, "label") == 0;
    enum csl_profile profile = CSL_PROFILE_LAN;
    TRY_OUT(o->profile == NULL ? CSL_OK : csl_profile_parse(&profile, o->profile, diag));
    TRY_OUT(csl_model_report_make(report, &weights, m->net, &m->issues, &po, (unsigned)o->parties,
                                  (uint32_t)o->batch, profile, label, diag));
    TRY_OUT(csl_check_audit_add(audit, report, o->sign, (uint32_t)o->check_rows, diag));
    if (report->ok && m->images.count != 0) {
        TRY_OUT(csl_images_for(&normalised, &m->images, &m->choice.input, csl_plan_n_inputs(&report->plan),
                               diag));
        TRY_OUT(
            csl_accuracy_measure(accuracy, m->net, &report->plan, &weights, &normalised, &m->labels, diag));
    }
out:
    csl_images_clear(&normalised);
    csl_weights_clear(&weights);
    csl_ranges_clear(&ranges);
    return err;
}

static enum csl_err check(struct csl_cli *cli, const char *path, const struct csl_model_opts *o) {
    struct csl_model m;
    struct csl_model_report *report = calloc(1, sizeof *report);
    struct csl_accuracy *accuracy = calloc(1, sizeof *accuracy);
    struct csl_check_audit audit;
    enum csl_err err =
        report == NULL || accuracy == NULL ? CSL_ENOMEM : csl_model_load(&m, path, o, &cli->diag);
    if (err == CSL_OK) {
        err = make_report(report, &audit, accuracy, &m, o, &cli->diag);
    }
    bool runs = err == CSL_OK && report->ok;
    bool listed = !cli->json && err == CSL_OK && report->issues.n != 0;
    if (err == CSL_OK && cli->json) {
        err = csl_cli_print_json(cli, report_json(report, &audit, accuracy));
        cli->json = false; /* the document is out: an error goes to stderr alone */
    } else if (err == CSL_OK) {
        if (runs) {
            print_shape(&report->plan);
        }
        csl_model_report_print(report, stdout);
        if (runs) {
            (void)printf("infer --shared: a request of at most %u inputs (with limits.max_batch %d)\n",
                         shared_rows(report), DEFAULT_MAX_BATCH);
            csl_check_audit_print(&audit);
        }
        if (accuracy->n != 0) {
            print_accuracy(report, accuracy);
        }
    }
    if (err == CSL_OK && !runs) {
        err = csl_fail(&cli->diag, CSL_EDATA, "%.200s: %s", path,
                       listed ? "cannot be run, for the reasons listed" : report->error);
    }
    if (report != NULL && accuracy != NULL) {
        csl_model_clear(&m);
        csl_model_report_clear(report);
    }
    free(report);
    free(accuracy);
    return err;
}

int csl_model_check(struct csl_cli *cli, int argc, char **argv) {
    struct csl_model_opts o = {.parties = 3, .batch = 1, .frac_bits = 16, .sign = "before-output"};
    struct csl_list files = {0};
    int code;
    if (!csl_args_parse(cli, &check_spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, check(cli, files.items[0], &o));
}
