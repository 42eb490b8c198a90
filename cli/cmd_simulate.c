/* consilium simulate: a whole consortium on this machine, every role a process, measured. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/federation.h"
#include "cli/images.h"
#include "cli/run_args.h"
#include "mpc/threads.h"
#include "nn/plan.h"

struct options {
    const char *model, *labels, *normalize, *interval, *reveal, *npy, *dir, *keys, *wait, *sign, *profile;
    struct csl_list images;
    uint64_t parties, count, batch, frac_bits, check_rows, threads;
    bool keep;
};

/* ---- Shared ---- */

static enum csl_err share_model(struct csl_cli *cli, struct csl_federation *fed, const struct options *o) {
    struct csl_run_args a = {.n = 0};
    csl_run_args_add(&a, "model");
    csl_run_args_add(&a, "share");
    csl_run_args_add(&a, o->model);
    csl_run_args_option(&a, "--name", "network");
    csl_run_args_option(&a, "--normalize", o->normalize);
    csl_run_args_option(&a, "--interval", o->interval);
    csl_run_args_number(&a, "--frac-bits", o->frac_bits);
    csl_run_args_add(&a, "--json");
    json_t *doc = NULL;
    enum csl_err err = csl_federation_run(fed, &doc, CSL_FEDERATION_OWNER, a.at, &cli->diag);
    json_decref(doc);
    return err;
}

static void infer_args(struct csl_run_args *a, const struct options *o) {
    csl_run_args_add(a, "infer");
    csl_run_args_option(a, "--model", "network");
    for (size_t i = 0; i < o->images.n; i++) {
        csl_run_args_option(a, "--images", o->images.items[i]);
    }
    csl_run_args_option(a, "--npy", o->npy);
    csl_run_args_option(a, "--labels", o->labels);
    csl_run_args_option(a, "--compare", o->model);
    csl_run_args_option(a, "--reveal", o->reveal);
    csl_run_args_number(a, "--count", o->count);
    csl_run_args_number(a, "--batch", o->batch);
}

/* Before a minute of key making: files must be there (relative paths are the caller's). */
static enum csl_err check_options(struct csl_cli *cli, const struct options *o) {
    if (o->reveal != NULL && strcmp(o->reveal, "logits") != 0 && strcmp(o->reveal, "label") != 0) {
        return csl_fail(&cli->diag, CSL_EUSAGE, "--reveal is logits or label, not \"%.40s\"", o->reveal);
    }
    const char *files[CSL_LIST_MAX + 2];
    size_t n = 0;
    files[n++] = o->model;
    if (o->labels != NULL) {
        files[n++] = o->labels;
    }
    for (size_t i = 0; i < o->images.n; i++) {
        files[n++] = o->images.items[i];
    }
    for (size_t i = 0; i < n; i++) {
        if (access(files[i], R_OK) != 0) {
            return csl_fail(&cli->diag, CSL_ENOINPUT, "%s: cannot be read", files[i]);
        }
    }
    return CSL_OK;
}

static enum csl_err start(struct csl_federation **fed, struct csl_cli *cli, const struct options *o) {
    TRY(check_options(cli, o));
    struct csl_roster defaults = {0};
    csl_roster_defaults(&defaults);
    struct csl_audit_policy audit = defaults.audit;
    audit.check_rows = (uint32_t)o->check_rows;
    if (o->sign != NULL && !csl_roster_sign_parse(&audit.sign, o->sign)) {
        return csl_fail(&cli->diag, CSL_EUSAGE, "--sign is before-output, after-output or off, not \"%.40s\"",
                        o->sign);
    }
    bool automatic;
    enum csl_profile profile;
    TRY(csl_profile_option(&automatic, &profile, o->profile, &cli->diag));
    if (o->keys != NULL && mkdir(o->keys, 0700) != 0 && errno != EEXIST) {
        return csl_fail(&cli->diag, CSL_ECREATE, "%s: %s", o->keys, strerror(errno));
    }
    struct csl_federation_options fo = {.n_parties = (unsigned)o->parties,
                                        .model = "network",
                                        .dir = o->dir,
                                        .max_batch = (uint32_t)(o->batch > 256 ? o->batch : 256),
                                        .wait = o->wait,
                                        .profile = o->profile,
                                        .threads = (uint32_t)o->threads,
                                        .audit = &audit,
                                        .keys = o->keys};
    return csl_federation_start(fed, &fo, &cli->diag);
}

/* ---- simulate ---- */

static const struct csl_opt simulate_opts[] = {
    CSL_UINT(struct options, parties, "parties", "N", 2, 16, "computing parties; default 3"),
    CSL_STRING(struct options, model, "model", "MODEL", true,
               "the network: ONNX, or Keras where that is built in"),
    CSL_OPT_IMAGES(struct options, true),
    CSL_OPT_NPY(struct options),
    CSL_OPT_LABELS(struct options),
    CSL_STRING(struct options, normalize, "normalize", "HOW", false,
               "raw, unit, centered, mnist, or none with --interval; default: unit"),
    CSL_STRING(struct options, interval, "interval", "LO:HI", false, "range of the inputs, with none"),
    CSL_STRING(struct options, reveal, "reveal", "logits|label", false,
               "label: the client learns the class and nothing else; default: logits"),
    CSL_OPT_COUNT(struct options),
    CSL_UINT(struct options, batch, "batch", "N", 1, 65536, "images in one pass; default 1"),
    CSL_UINT(struct options, frac_bits, "frac-bits", "N", 4, 20, "fractional bits; default 16"),
    CSL_STRING(struct options, wait, "wait", "auto|spin|block", false, "how parties wait; default: auto"),
    CSL_UINT(struct options, threads, "threads", "N", 1, CSL_MAX_THREADS,
             "of each daemon, for large layers; default: the cores, divided by the daemons"),
    CSL_STRING(struct options, profile, "profile", "auto|lan|wan", false,
               "fewest bytes, fewest rounds, or by the measured round trip; default: lan, as all are near"),
    CSL_STRING(struct options, sign, "sign", "WHEN", false,
               "parties sign what they sent: before-output (default), after-output, off"),
    CSL_UINT(struct options, check_rows, "check-rows", "N", 0, 64,
             "correlations of a batch that are opened to check the dealer; default 0"),
    CSL_STRING(struct options, dir, "dir", "DIR", false, "keep the sites, logs and keys in this new folder"),
    CSL_STRING(struct options, keys, "keys", "DIR", false,
               "keep the sites' keys here for the next run (drawing them takes seconds)"),
    CSL_OPTS_END};
static const struct csl_spec simulate_spec = {
    .name = "simulate",
    .synopsis = "--parties N --model MODEL --images FILE [--labels FILE] [--normalize HOW] [--count K] "
                "[--batch B] [--reveal label] [--json]",
    .text = "Issues keys and certificates, starts N parties and the dealer as processes that speak TLS on "
            "loopback, shares the\n"
            "model, runs the images through it and compares every output with the plaintext network.",
    .opts = simulate_opts,
    .has_json = true};

static void print_simulation(json_t *doc) {
    const char *key;
    json_t *value;
    json_object_foreach(doc, key, value) {
        char *text =
            json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        (void)printf("%-26s %s\n", key, text != NULL ? text : json_string_value(value));
        free(text);
    }
}

static enum csl_err simulate(struct csl_cli *cli, const struct options *o) {
    struct csl_federation *fed;
    TRY(start(&fed, cli, o));
    json_t *doc = NULL, *rss = json_object();
    enum csl_err err = share_model(cli, fed, o);
    if (err == CSL_OK) {
        struct csl_run_args a = {.n = 0};
        infer_args(&a, o);
        csl_run_args_add(&a, "--quiet");
        csl_run_args_add(&a, "--json");
        err = csl_federation_run(fed, &doc, CSL_FEDERATION_CLIENT, a.at, &cli->diag);
    }
    csl_federation_stop(fed, rss);
    if (err == CSL_OK) {
        (void)json_object_set(doc, "peak_rss_kib", rss);
        if (cli->json) {
            err = csl_cli_print_json(cli, json_incref(doc));
        } else {
            print_simulation(doc);
        }
    }
    json_decref(rss);
    json_decref(doc);
    return err;
}

int cmd_simulate(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {.parties = 3, .batch = 1, .normalize = "unit", .profile = "lan"};
    int code;
    if (!csl_args_parse(cli, &simulate_spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, simulate(cli, &o));
}
