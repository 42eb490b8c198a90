/* The command line of bench serve. */
#include <stdio.h>

#include "cli/bench/options.h"
#include "cli/bench/serve.h"

static const struct csl_opt opts[] = {
    CSL_STRING(struct csl_bench_serve, model, "model", "MODEL", true,
               "the network, ONNX or Keras; with --site its name in the roster"),
    CSL_STRING(struct csl_bench_serve, site, "site", "DIR", false,
               "load a federation that runs, as this client; default: one is started"),
    CSL_STRING(struct csl_bench_serve, roster, "roster", "FILE", false, "default: roster.yaml in the folder"),
    CSL_STRING(struct csl_bench_serve, compare, "compare", "MODEL", false,
               "with --site: the network's file, to check a sample of the results"),
    CSL_STRING(struct csl_bench_serve, clients, "clients", "N,N,...", false,
               "clients at once, step by step; default: 1,2,4..32 until throughput saturates"),
    CSL_UINT(struct csl_bench_serve, batch, "batch", "B", 1, 65536, "inputs of a request; default 1"),
    CSL_UINT(struct csl_bench_serve, seconds, "seconds", "S", 1, 3600, "of a step; default 5"),
    CSL_UINT(struct csl_bench_serve, requests, "requests", "K", 1, 1u << 20,
             "of each client in a step, instead of seconds"),
    CSL_FLAG(struct csl_bench_serve, shared, "shared", "clients share one session: the default"),
    CSL_FLAG(struct csl_bench_serve, own, "own", "each client has a session of its own"),
    CSL_BENCH_PARTIES(struct csl_bench_serve, parties),
    CSL_BENCH_WAIT(struct csl_bench_serve, wait, "spin|block", "block"),
    CSL_BENCH_SESSION(struct csl_bench_serve),
    CSL_BENCH_READING(struct csl_bench_serve),
    CSL_BENCH_KEYS(struct csl_bench_serve, keys),
    CSL_FLAG(struct csl_bench_serve, quick, "quick", "a second a step, for a try"),
    CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "bench serve",
    .synopsis = "--model MODEL [--parties N] [--clients 1,2,4] [--seconds S | --requests K] [--batch B] "
                "[--shared | --own] [--json]",
    .text =
        "Runs a federation (or, with --site, takes one that runs) and loads it with concurrent clients, each "
        "of which\n"
        "sends its next request when the last one is answered: requests and inferences a second, latency "
        "at the client,\n"
        "and how many requests the parties evaluated together, beside the latency of one request when "
        "nobody else is\n"
        "there. All offline work is done meanwhile. Every result is checked for its form, some of them "
        "against the plaintext.",
    .opts = opts,
    .has_json = true};

static double at(const json_t *doc, const char *key) {
    return json_number_value(json_object_get(doc, key));
}

static void print_idle(const json_t *idle, const char *which, const char *words) {
    const json_t *s = json_object_get(idle, which);
    (void)printf("idle, %-18s %9.3f ms a request (median), %.3f ms (95th percentile); from the input sent "
                 "%.3f ms; at the parties %.3f ms\n",
                 words, at(s, "p50_ms"), at(s, "p95_ms"), at(s, "sent_p50_ms"), at(s, "online_p50_ms"));
}

static void print_batch(const json_t *step, const char *key) {
    if (json_is_null(json_object_get(step, key))) {
        (void)printf(" %10s", "-");
    } else {
        (void)printf(" %10.2f", at(step, key));
    }
}

static void print(const json_t *doc) {
    const json_t *idle = json_object_get(doc, "idle"), *best = json_object_get(doc, "saturation"),
                 *checked = json_object_get(doc, "checked"), *step;
    size_t i;
    print_idle(idle, "own", "a session its own");
    print_idle(idle, "shared", "the shared one");
    (void)printf("%7s %11s %12s %9s %9s %9s %9s %10s %10s\n", "clients", "requests/s", "inferences/s",
                 "p50 ms", "p95 ms", "p99 ms", "parties", "requests", "inferences");
    (void)printf("%7s %11s %12s %9s %9s %9s %9s %21s\n", "", "", "", "", "", "", "p50 ms",
                 "of the mean batch");
    json_array_foreach(json_object_get(doc, "steps"), i, step) {
        (void)printf("%7.0f %11.1f %12.1f %9.3f %9.3f %9.3f %9.3f", at(step, "clients"),
                     at(step, "requests_per_s"), at(step, "inferences_per_s"), at(step, "p50_ms"),
                     at(step, "p95_ms"), at(step, "p99_ms"), at(step, "online_p50_ms"));
        print_batch(step, "mean_batch_requests");
        print_batch(step, "mean_batch_inferences");
        (void)putchar('\n');
    }
    (void)printf("most: %.1f requests, %.1f inferences a second, with %.0f clients\n",
                 at(best, "requests_per_s"), at(best, "inferences_per_s"), at(best, "clients"));
    if (checked != NULL) {
        (void)printf("checked against the plaintext: %.0f inferences, the largest error %.3f of its bound\n",
                     at(checked, "inferences"), at(checked, "max_bound_use"));
    }
}

int cmd_bench_serve(struct csl_cli *cli, int argc, char **argv) {
    struct csl_bench_serve o = {
        .parties = 2, .batch = 1, .wait = "block", .sign = "after-output", .normalize = "unit"};
    int code;
    json_t *doc = NULL;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    enum csl_err err = csl_bench_serve(&doc, &o, &cli->diag);
    return csl_cli_finish_document(cli, err, doc, print);
}
