/* consilium model check, consilium model share. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/model_accuracy.h"
#include "cli/model_file.h"
#include "cli/show.h"
#include "roles/owner.h"

struct options {
    const char *normalize, *interval, *site, *roster, *name, *labels, *npy, *reveal, *profile;
    struct csl_list images;
    uint64_t parties, batch, frac_bits, count;
    bool sample_ranges;
};

#define MODEL_OPTIONS                                                                                        \
    CSL_STRING(struct options, normalize, "normalize", "HOW", true,                                          \
               "raw (0..255), unit (/255), centered, mnist, or none with --interval"),                       \
        CSL_STRING(struct options, interval, "interval", "LO:HI", false, "range of the inputs, with none"),  \
        CSL_UINT(struct options, frac_bits, "frac-bits", "N", 4, 20, "fractional bits; default 16"),         \
        CSL_LIST(struct options, images, "images", "FILE", false, "sample inputs"),                          \
        CSL_STRING(struct options, npy, "npy", "images|features", false,                                     \
                   "how a two-dimensional .npy is meant"),                                                   \
        CSL_UINT(struct options, count, "count", "N", 1, 1u << 24, "only the first N of them"),              \
        CSL_FLAG(struct options, sample_ranges, "sample-ranges",                                             \
                 "narrow the ranges by the samples, with 2 bits of margin: an assumption")

/* ---- The model, as the options say ---- */

struct model {
    struct csl_network *net; /* NULL: cannot be lowered */
    struct csl_issues issues;
    struct csl_images images; /* raw */
    struct csl_labels labels;
    struct csl_model_choice choice;
};

static void model_clear(struct model *m) {
    csl_network_free(m->net);
    csl_issues_clear(&m->issues);
    csl_images_clear(&m->images);
    csl_labels_clear(&m->labels);
}

static enum csl_err load_samples(struct model *m, const struct options *o, struct csl_diag *diag) {
    struct csl_image_options io = {.max_count = o->count, .npy_shape = CSL_NPY_IMAGES};
    if (o->npy != NULL && strcmp(o->npy, "features") == 0) {
        io.npy_shape = CSL_NPY_FEATURES;
    } else if (o->npy != NULL && strcmp(o->npy, "images") != 0) {
        return csl_fail(diag, CSL_EUSAGE, "--npy is images or features, not \"%.40s\"", o->npy);
    }
    if (o->images.n != 0) {
        TRY(csl_images_load(&m->images, o->images.items, o->images.n, &io, diag));
    }
    if (o->labels != NULL) {
        TRY(csl_labels_load(&m->labels, o->labels, m->images.count, diag));
    }
    return CSL_OK;
}

/* The network itself may be one that cannot run: then net is NULL and issues say why. */
static enum csl_err load_model(struct model *m, const char *path, const struct options *o,
                               struct csl_diag *diag) {
    memset(m, 0, sizeof *m);
    m->choice.frac_bits = (unsigned)o->frac_bits;
    m->choice.sample_ranges = o->sample_ranges;
    m->choice.images = &m->images;
    TRY(csl_parse_normalization(&m->choice.input, o->normalize, o->interval, diag));
    TRY(load_samples(m, o, diag));
    enum csl_err err = csl_model_file_import(&m->net, &m->issues, path, diag);
    return err == CSL_EDATA && m->issues.n != 0 ? CSL_OK : err;
}

/* ---- check ---- */

static const struct csl_opt check_opts[] = {
    MODEL_OPTIONS,
    CSL_STRING(struct options, labels, "labels", "FILE", false, "IDX labels of the samples"),
    CSL_UINT(struct options, parties, "parties", "N", 2, 16, "for the costs; default 3"),
    CSL_UINT(struct options, batch, "batch", "N", 1, 65536, "for the costs; default 1"),
    CSL_STRING(struct options, reveal, "reveal", "logits|label", false, "for the costs; default: logits"),
    CSL_STRING(struct options, profile, "profile", "lan|wan", false,
               "for the costs: fewest bytes or fewest rounds; default: lan"),
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
    return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rounds", (int)c->rounds,
                     "online_bytes_per_link", (json_int_t)c->online_bytes, "output_bytes",
                     (json_int_t)c->output_bytes, "input_bytes", (json_int_t)c->input_bytes, "offline_bytes",
                     (json_int_t)c->offline_bytes, "open_weights_bytes", (json_int_t)c->open_weights_bytes,
                     "share_bytes", (json_int_t)c->share_bytes, "party_memory_bytes",
                     (json_int_t)c->party_memory, "dealer_memory_bytes", (json_int_t)c->dealer_memory,
                     "client_memory_bytes", (json_int_t)c->client_memory);
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

static void print_shape(const struct csl_plan *plan) {
    for (uint32_t a = 0; a < plan->input_rank; a++) {
        (void)printf("%s%u", a == 0 ? "input of " : " x ", plan->input_shape[a]);
    }
    (void)printf("\n");
}

static json_t *report_json(const struct csl_model_report *r, const struct csl_accuracy *a) {
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

static enum csl_err make_report(struct csl_model_report *report, struct csl_accuracy *accuracy,
                                struct model *m, const struct options *o, struct csl_diag *diag) {
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

static enum csl_err check(struct csl_cli *cli, const char *path, const struct options *o) {
    struct model m;
    struct csl_model_report *report = calloc(1, sizeof *report);
    struct csl_accuracy *accuracy = calloc(1, sizeof *accuracy);
    enum csl_err err = report == NULL || accuracy == NULL ? CSL_ENOMEM : load_model(&m, path, o, &cli->diag);
    if (err == CSL_OK) {
        err = make_report(report, accuracy, &m, o, &cli->diag);
    }
    bool runs = err == CSL_OK && report->ok;
    bool listed = !cli->json && err == CSL_OK && report->issues.n != 0;
    if (err == CSL_OK && cli->json) {
        err = csl_cli_print_json(cli, report_json(report, accuracy));
        cli->json = false; /* the document is out: an error goes to stderr alone */
    } else if (err == CSL_OK) {
        if (runs) {
            print_shape(&report->plan);
        }
        csl_model_report_print(report, stdout);
        if (accuracy->n != 0) {
            print_accuracy(report, accuracy);
        }
    }
    if (err == CSL_OK && !runs) {
        err = csl_fail(&cli->diag, CSL_EDATA, "%.200s: %s", path,
                       listed ? "cannot be run, for the reasons listed" : report->error);
    }
    if (report != NULL && accuracy != NULL) {
        model_clear(&m);
        csl_model_report_clear(report);
    }
    free(report);
    free(accuracy);
    return err;
}

static int cmd_check(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {.parties = 3, .batch = 1, .frac_bits = 16};
    struct csl_list files = {0};
    int code;
    if (!csl_args_parse(cli, &check_spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, check(cli, files.items[0], &o));
}

/* ---- share ---- */

static const struct csl_opt share_opts[] = {
    CSL_STRING(struct options, site, "site", "DIR", true, "the owner's site folder"),
    CSL_STRING(struct options, roster, "roster", "FILE", false, "default: roster.yaml in the folder"),
    CSL_STRING(struct options, name, "name", "NAME", true, "the model's name in the roster"), MODEL_OPTIONS,
    CSL_OPTS_END};
static const struct csl_spec share_spec = {
    .name = "model share",
    .synopsis = "MODEL --site DIR --name NAME --normalize HOW [--frac-bits N] [--json]",
    .text =
        "Shares the network among the parties: each gets a part that by itself is noise, and stores it "
        "sealed to its own\n"
        "key. The architecture, the widths and the normalisation are public to parties, dealer and clients.\n"
        "Sharing again replaces the model for sessions that begin afterwards.",
    .opts = share_opts,
    .has_json = true,
    .pos_min = 1,
    .pos_max = 1,
    .pos_meta = "MODEL"};

static enum csl_err report_shared(struct csl_cli *cli, const struct csl_context *ctx, const struct options *o,
                                  const uint8_t digest[32]) {
    char hex[CSL_HEX32_TEXT];
    (void)csl_hex32(hex, digest);
    if (cli->json) {
        return csl_cli_print_json(cli, json_pack("{s:s, s:s, s:i}", "model", o->name, "package_sha256", hex,
                                                 "parties", (int)ctx->roster.n_parties));
    }
    (void)printf("model %s is shared among %u parties\npackage %s\n", o->name, ctx->roster.n_parties, hex);
    return CSL_OK;
}

static enum csl_err share(struct csl_cli *cli, const char *path, const struct options *o) {
    struct model m;
    struct csl_context ctx = {0};
    struct csl_plan *plan = calloc(1, sizeof *plan);
    struct csl_weights weights = {0};
    uint8_t digest[32];
    memset(&m, 0, sizeof m);
    enum csl_err err = plan == NULL ? CSL_ENOMEM : CSL_OK;
    TRY_OUT(err);
    TRY_OUT(csl_context_load(&ctx, o->site, o->roster, &cli->diag));
    TRY_OUT(load_model(&m, path, o, &cli->diag));
    TRY_OUT(m.net != NULL ? CSL_OK : csl_issues_fail(&m.issues, &cli->diag));
    TRY_OUT(csl_model_compile(plan, &weights, NULL, m.net, &m.choice, &cli->diag));
    TRY_OUT(csl_owner_share(digest, &ctx, o->name, plan, &weights, &cli->diag));
    err = report_shared(cli, &ctx, o, digest);
out:
    model_clear(&m);
    csl_weights_clear(&weights);
    csl_context_free(&ctx);
    free(plan);
    return err;
}

static int cmd_share(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {.frac_bits = 16};
    struct csl_list files = {0};
    int code;
    if (!csl_args_parse(cli, &share_spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, share(cli, files.items[0], &o));
}

int cmd_model(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_command table[] = {
        {"check", "whether a network can run, and what it costs", cmd_check},
        {"share", "share a network among the parties", cmd_share},
        {NULL, NULL, NULL}};
    return csl_cli_dispatch(cli, "model", table, argc, argv);
}
