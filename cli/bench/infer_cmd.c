/* The command line of bench infer. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/bench/infer.h"
#include "cli/bench/options.h"
#include "mpc/threads.h"

static const struct csl_opt opts[] = {
    CSL_STRING(struct csl_bench_infer, model, "model", "MODEL", true, "the network, ONNX or Keras"),
    CSL_BENCH_PARTIES(struct csl_bench_infer, parties),
    CSL_UINT(struct csl_bench_infer, batch, "batch", "B", 1, 65536, "inputs in one pass; default 1"),
    CSL_UINT(struct csl_bench_infer, count, "count", "C", 1, 1u << 20, "batches; default by their size"),
    CSL_STRING(struct csl_bench_infer, net, "net", "loopback|lan|wan", false,
               "lan: 0.5 ms RTT, 1 Gb/s; wan: 40 ms, 400 Mb/s; default: loopback"),
    CSL_BENCH_WAIT(struct csl_bench_infer, wait, "spin|auto|block", "spin"),
    CSL_UINT(struct csl_bench_infer, threads, "threads", "N", 1, CSL_MAX_THREADS,
             "of each daemon, for large layers; default: the cores, divided by the daemons"),
    CSL_BENCH_SESSION(struct csl_bench_infer),
    CSL_LIST(struct csl_bench_infer, images, "images", "FILE", false,
             "inputs, taken again and again where batches need more; default: random ones"),
    CSL_BENCH_READING(struct csl_bench_infer),
    CSL_BENCH_KEYS(struct csl_bench_infer, keys),
    CSL_FLAG(struct csl_bench_infer, quick, "quick", "a few batches and a tenth of the probes, for a try"),
    CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "bench infer",
    .synopsis = "--model MODEL [--parties N] [--batch B] [--net lan|wan] [--wait spin|auto|block] "
                "[--profile lan|wan] [--threads N] [--count C] [--json]",
    .text = "Measures this machine, derives the least time that the workload could take on it, then runs the "
            "workload\n"
            "among real processes: online time of a batch (median, 95th percentile), its ratio to the bound, "
            "images a\n"
            "second online and sustained (the dealer and all offline work on the same cores), rounds, bytes "
            "and memory.",
    .opts = opts,
    .has_json = true};

static double at(const json_t *doc, const char *key) {
    return json_number_value(json_object_get(doc, key));
}

static void print(const json_t *doc) {
    const json_t *bound = json_object_get(doc, "bound"), *terms = json_object_get(bound, "terms_ms");
    const json_t *offline = json_object_get(doc, "offline"), *value;
    const char *key;
    char *inputs = json_dumps(json_object_get(bound, "inputs"), JSON_REAL_PRECISION(4));
    (void)printf("online       %10.3f ms a batch (median), %.3f ms (95th percentile)\n", at(doc, "median_ms"),
                 at(doc, "p95_ms"));
    (void)printf("bound        %10.3f ms by the better way of waiting (%s): ratio %.2f\n",
                 at(doc, "bound_ms"), json_string_value(json_object_get(bound, "waiting")), at(doc, "ratio"));
    (void)printf(
        "             = rounds %.4f, then the larger of wire %.4f and bytes %.4f + compute %.4f ms\n",
        at(terms, "rounds"), at(terms, "wire"), at(terms, "bytes"), at(terms, "compute"));
    (void)printf("             %10.3f ms waiting as the parties did (%s): ratio %.2f\n",
                 at(doc, "bound_same_wait_ms"),
                 json_string_value(json_object_get(json_object_get(doc, "bound_same_wait"), "waiting")),
                 at(doc, "ratio_same_wait"));
    (void)printf("             %s\n             %s\n", json_string_value(json_object_get(bound, "formula")),
                 inputs != NULL ? inputs : "");
    csl_bench_probes_print(at(json_object_get(doc, "machine"), "probes_quotient"));
    free(inputs);
    (void)printf("images a s   %10.0f online, %.0f sustained with all offline work\n",
                 at(doc, "images_per_s"), at(doc, "sustained_images_per_s"));
    (void)printf("rounds       %10.0f, the output's way to the client among them\n", at(doc, "rounds"));
    (void)printf("sent         %10.0f B by a party, %.0f B on a link, %.0f B of corrections an inference\n",
                 at(doc, "bytes_per_party"), at(doc, "bytes_per_link"), at(offline, "correction_bytes"));
    (void)printf("offline      %10.0f inferences a second by the dealer, %.0f by a party, %.0f by the last\n",
                 at(offline, "dealer_inferences_per_s"), at(offline, "party_inferences_per_s"),
                 at(offline, "last_party_inferences_per_s"));
    (void)printf("memory, MiB ");
    json_object_foreach((json_t *)(uintptr_t)json_object_get(doc, "peak_rss_kib"), key, value) {
        if (json_integer_value(value) != 0) {
            (void)printf(" %s %.0f", key, (double)json_integer_value(value) / 1024);
        }
    }
    (void)putchar('\n');
}

int cmd_bench_infer(struct csl_cli *cli, int argc, char **argv) {
    struct csl_bench_infer o = {
        .parties = 2, .batch = 1, .wait = "spin", .sign = "after-output", .normalize = "unit"};
    int code;
    json_t *doc = NULL;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    enum csl_err err = csl_bench_infer(&doc, &o, &cli->diag);
    return csl_cli_finish_document(cli, err, doc, print);
}
