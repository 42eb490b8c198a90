/* consilium bench audit: what signing costs, before the output, after it, and not at all, in one run. */
#include <stdio.h>
#include <string.h>

#include "cli/bench/infer.h"
#include "cli/bench/options.h"
#include "cli/infer_run.h"

enum { PASSES_MAX = 9, MODES = 3 };
static const char *const modes[MODES] = {"off", "after-output", "before-output"};

struct options {
    struct csl_bench_infer work;
    uint64_t passes;
};

static const struct csl_opt opts[] = {
    CSL_STRING(struct options, work.model, "model", "MODEL", true, "the network"),
    CSL_STRING(struct options, work.normalize, "normalize", "HOW", false, "as in simulate; default: unit"),
    CSL_BENCH_PARTIES(struct options, work.parties),
    CSL_UINT(struct options, work.batch, "batch", "N", 1, 65536, "images in one batch; default 1"),
    CSL_UINT(struct options, work.count, "count", "N", 1, 1u << 20, "batches a pass; default 100"),
    CSL_BENCH_WAIT(struct options, work.wait, "spin|block", "block"),
    CSL_BENCH_KEYS(struct options, work.keys),
    CSL_UINT(struct options, passes, "passes", "N", 1, PASSES_MAX, "times that each way is run; default 3"),
    CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "bench audit",
    .synopsis = "--model MODEL [--parties N] [--batch B] [--count K] [--passes P] [--json]",
    .text =
        "Runs the same network with parties that sign before the output, after it, and not at all, in turn, "
        "and prints\nthe median of what each costs online.",
    .opts = opts,
    .has_json = true};

struct cost {
    double online_ms[PASSES_MAX], client_ms[PASSES_MAX], per_s[PASSES_MAX];
    double bytes, rounds;
    size_t n;
};

static double at(const json_t *doc, const char *key) {
    return json_number_value(json_object_get(doc, key));
}

static enum csl_err one_pass(struct cost *c, const struct csl_bench_infer *work, struct csl_diag *diag) {
    json_t *doc;
    TRY(csl_bench_infer(&doc, work, diag));
    c->online_ms[c->n] = at(doc, "median_ms");
    c->client_ms[c->n] = at(doc, "client_ms");
    c->per_s[c->n] = at(doc, "sustained_images_per_s");
    c->bytes = at(doc, "bytes_per_party");
    c->rounds = at(doc, "rounds");
    c->n++;
    json_decref(doc);
    return CSL_OK;
}

static json_t *cost_json(struct cost *c, double off) {
    double online = csl_quantiles_of(c->online_ms, c->n).median;
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "online_ms", online, "ratio_to_off", online / off,
                     "client_ms", csl_quantiles_of(c->client_ms, c->n).median, "sustained_images_per_s",
                     csl_quantiles_of(c->per_s, c->n).median, "bytes_per_party", c->bytes, "rounds",
                     c->rounds);
}

static void print(const json_t *doc) {
    (void)printf("%-14s %12s %8s %12s %12s %12s %7s\n", "signing", "online ms", "to off", "client ms",
                 "images a s", "bytes sent", "rounds");
    for (int i = 0; i < MODES; i++) {
        const json_t *c = json_object_get(doc, modes[i]);
        (void)printf("%-14s %12.3f %8.2f %12.3f %12.0f %12.0f %7.0f\n", modes[i], at(c, "online_ms"),
                     at(c, "ratio_to_off"), at(c, "client_ms"), at(c, "sustained_images_per_s"),
                     at(c, "bytes_per_party"), at(c, "rounds"));
    }
}

static enum csl_err run(struct csl_cli *cli, struct options *o) {
    struct cost costs[MODES] = {{.n = 0}};
    struct csl_bench_cpu cpu;
    csl_bench_cpu_measure(&cpu, true);
    o->work.cpu = &cpu;
    o->work.quick = true; /* the machine's bound is not what this is about */
    for (uint64_t pass = 0; pass < o->passes; pass++) {
        for (int i = 0; i < MODES; i++) { /* in turn: a slow minute hits all of them */
            o->work.sign = modes[i];
            TRY(one_pass(&costs[i], &o->work, &cli->diag));
        }
    }
    double off = csl_quantiles_of(costs[0].online_ms, costs[0].n).median;
    json_t *doc = json_pack("{s:o, s:o, s:o}", modes[0], cost_json(&costs[0], off), modes[1],
                            cost_json(&costs[1], off), modes[2], cost_json(&costs[2], off));
    if (doc == NULL) {
        return CSL_ENOMEM;
    }
    if (cli->json) {
        return csl_cli_print_json(cli, doc);
    }
    print(doc);
    json_decref(doc);
    return CSL_OK;
}

int cmd_bench_audit(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {
        .work = {.parties = 2, .batch = 1, .count = 100, .wait = "block", .normalize = "unit"}, .passes = 3};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, run(cli, &o));
}
