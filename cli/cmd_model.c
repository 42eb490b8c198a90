/* consilium model check, consilium model share. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/model_file.h"
#include "cli/show.h"
#include "nn/onnx/onnx.h"
#include "roles/owner.h"

struct options {
    const char *normalize, *interval, *site, *roster, *name;
    uint64_t parties, batch, frac_bits;
};

#define MODEL_OPTIONS                                                                                        \
    CSL_STRING(struct options, normalize, "normalize", "HOW", true,                                          \
               "raw (0..255), unit (/255), centered, mnist, or none with --interval"),                       \
        CSL_STRING(struct options, interval, "interval", "LO:HI", false, "range of the inputs, with none"),  \
        CSL_UINT(struct options, frac_bits, "frac-bits", "N", 4, 20, "fractional bits; default 16")

/* ---- check ---- */

static const struct csl_opt check_opts[] = {
    MODEL_OPTIONS, CSL_UINT(struct options, parties, "parties", "N", 2, 16, "for the costs; default 3"),
    CSL_UINT(struct options, batch, "batch", "N", 1, 65536, "for the costs; default 1"), CSL_OPTS_END};
static const struct csl_spec check_spec = {
    .name = "model check",
    .synopsis = "MODEL.onnx --normalize HOW [--parties N] [--batch N] [--frac-bits N] [--json]",
    .text = "Says whether the network can be evaluated, before anything is shared: its layers with the "
            "widths that interval\n"
            "bounds over the declared inputs demand, every node that cannot be run with the reason and what "
            "to change,\n"
            "and what an inference costs. Exit code 0 when it can run, 65 when not.",
    .opts = check_opts,
    .has_json = true,
    .pos_min = 1,
    .pos_max = 1,
    .pos_meta = "MODEL.onnx"};

static json_t *layer_json(const struct csl_layer *l, const struct csl_layer_report *r) {
    static const char *const activations[] = {"none", "relu", "truncate"};
    return json_pack("{s:s, s:i, s:i, s:s, s:i, s:i, s:i, s:[f,f], s:f}", "name", l->name, "inputs",
                     (int)l->k, "outputs", (int)l->n, "activation", activations[l->activation], "ring_bits",
                     (int)l->bits, "comparison_bits", (int)l->trunc_k, "truncated_bits", (int)l->trunc_f,
                     "range", r->z_lo, r->z_hi, "rounding_noise", r->noise_std);
}

static json_t *cost_json(const struct csl_cost *c) {
    return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rounds", (int)c->rounds,
                     "online_bytes_per_link", (json_int_t)c->online_bytes, "output_bytes",
                     (json_int_t)c->output_bytes, "input_bytes", (json_int_t)c->input_bytes, "offline_bytes",
                     (json_int_t)c->offline_bytes, "open_weights_bytes", (json_int_t)c->open_weights_bytes,
                     "share_bytes", (json_int_t)c->share_bytes, "party_memory_bytes",
                     (json_int_t)c->party_memory);
}

static json_t *report_json(const struct csl_model_report *r) {
    json_t *layers = json_array(), *issues = json_array();
    for (uint32_t i = 0; r->ok && i < r->plan.n_layers; i++) {
        (void)json_array_append_new(layers, layer_json(&r->plan.layers[i], &r->ranges.layers[i]));
    }
    for (size_t i = 0; i < r->issues.n; i++) {
        const struct csl_issue *x = &r->issues.at[i];
        (void)json_array_append_new(issues, json_pack("{s:s, s:s, s:s, s:s}", "node", x->node, "op", x->op,
                                                      "reason", x->reason, "hint", x->hint));
    }
    json_t *doc =
        json_pack("{s:s, s:b, s:i, s:i, s:o, s:o}", "version", CSL_VERSION, "runs", r->ok, "parties",
                  (int)r->n_parties, "batch", (int)r->batch, "layers", layers, "unsupported", issues);
    if (doc != NULL && r->ok) {
        (void)json_object_set_new(doc, "cost", cost_json(&r->cost));
    } else if (doc != NULL) {
        (void)json_object_set_new(doc, "reason", json_string(r->error));
    }
    return doc;
}

static enum csl_err check(struct csl_cli *cli, const char *path, const struct options *o) {
    struct csl_plan_options po = csl_plan_options_default();
    po.frac_bits = (unsigned)o->frac_bits;
    TRY(csl_parse_normalization(&po.input, o->normalize, o->interval, &cli->diag));
    struct csl_graph *graph = NULL;
    struct csl_issues issues = {0};
    struct csl_model_report *report = calloc(1, sizeof *report);
    enum csl_err err = report == NULL ? CSL_ENOMEM : CSL_OK;
    TRY_OUT(err);
    TRY_OUT(csl_onnx_import_file(&graph, &issues, path, CSL_ONNX_MAX_FILE_BYTES, &cli->diag));
    TRY_OUT(csl_model_report_make(report, NULL, graph, &issues, &po, (unsigned)o->parties, (uint32_t)o->batch,
                                  &cli->diag));
    bool runs = report->ok;
    if (cli->json) {
        err = csl_cli_print_json(cli, report_json(report));
        cli->json = false; /* the document is out: an error goes to stderr alone */
    } else {
        csl_model_report_print(report, stdout);
    }
    if (err == CSL_OK && !runs) {
        err = csl_fail(&cli->diag, CSL_EDATA, "%s: %s", path, report->error);
    }
out:
    csl_graph_free(graph);
    csl_issues_clear(&issues);
    if (report != NULL) {
        csl_model_report_clear(report);
    }
    free(report);
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
    .synopsis = "MODEL.onnx --site DIR --name NAME --normalize HOW [--frac-bits N] [--json]",
    .text =
        "Shares the network among the parties: each gets a part that by itself is noise, and stores it "
        "sealed to its own\n"
        "key. The architecture, the widths and the normalisation are public to parties, dealer and clients.\n"
        "Sharing again replaces the model for sessions that begin afterwards.",
    .opts = share_opts,
    .has_json = true,
    .pos_min = 1,
    .pos_max = 1,
    .pos_meta = "MODEL.onnx"};

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
    struct csl_plan_options po = csl_plan_options_default();
    po.frac_bits = (unsigned)o->frac_bits;
    TRY(csl_parse_normalization(&po.input, o->normalize, o->interval, &cli->diag));
    struct csl_context ctx = {0};
    struct csl_plan *plan = calloc(1, sizeof *plan);
    struct csl_weights weights = {0};
    uint8_t digest[32];
    enum csl_err err = plan == NULL ? CSL_ENOMEM : CSL_OK;
    TRY_OUT(err);
    TRY_OUT(csl_context_load(&ctx, o->site, o->roster, &cli->diag));
    TRY_OUT(csl_model_file_compile(plan, &weights, path, &po, &cli->diag));
    TRY_OUT(csl_owner_share(digest, &ctx, o->name, plan, &weights, &cli->diag));
    err = report_shared(cli, &ctx, o, digest);
out:
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
