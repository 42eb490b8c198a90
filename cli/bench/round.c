/* consilium bench round: exchange rounds of this program's mesh, beside those of plain sockets and OpenSSL.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench/links.h"
#include "cli/bench/machine.h"
#include "cli/commands.h"

enum { ROUNDS_MAX = 2000 };

struct options {
    uint64_t parties;
    bool quick;
};

/* Shared memory; party 0 fills in the times. */
struct job {
    unsigned rounds[CSL_BENCH_SIZES];
    double us[CSL_BENCH_SIZES];
};

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum csl_err rounds_of(struct csl_link *link, double *median, uint32_t *number, size_t n,
                              unsigned rounds, uint8_t *const in[CSL_MAX_PARTIES], const uint8_t *out,
                              struct csl_diag *diag) {
    double us[ROUNDS_MAX];
    for (unsigned k = 0; k < rounds; k++) {
        double from = csl_bench_now_s();
        TRY(link->ops->exchange(link, in, ++*number, out, n, diag));
        us[k] = (csl_bench_now_s() - from) * 1e6;
    }
    qsort(us, rounds, sizeof *us, by_value);
    *median = us[rounds / 2];
    return CSL_OK;
}

static enum csl_err party(struct csl_link *link, void *arg, struct csl_diag *diag) {
    struct job *j = arg;
    size_t most = csl_bench_sizes[CSL_BENCH_SIZES - 1];
    uint8_t *in[CSL_MAX_PARTIES] = {NULL}, *out = calloc(1, most);
    enum csl_err err = out == NULL ? CSL_ENOMEM : CSL_OK;
    for (unsigned p = 0; p < link->n_parties && err == CSL_OK; p++) {
        in[p] = calloc(1, most);
        err = in[p] == NULL ? CSL_ENOMEM : CSL_OK;
    }
    uint32_t number = 0;
    for (size_t i = 0; i < CSL_BENCH_SIZES && err == CSL_OK; i++) {
        double median = 0;
        err = rounds_of(link, &median, &number, csl_bench_sizes[i], j->rounds[i], in, out, diag);
        if (link->self == 0) {
            j->us[i] = median;
        }
    }
    for (unsigned p = 0; p < CSL_MAX_PARTIES; p++) {
        free(in[p]);
    }
    free(out);
    return err;
}

static json_t *report(const struct options *o, const double us[2][CSL_BENCH_SIZES],
                      const struct csl_bench_rounds *probe) {
    json_t *list = json_array();
    for (size_t i = 0; i < CSL_BENCH_SIZES; i++) {
        (void)json_array_append_new(list, json_pack("{s:I, s:f, s:f, s:f, s:f}", "bytes",
                                                    (json_int_t)csl_bench_sizes[i], "spin_us", us[0][i],
                                                    "block_us", us[1][i], "plain_spin_us", probe->spin_us[i],
                                                    "plain_block_us", probe->block_us[i]));
    }
    return json_pack("{s:s, s:i, s:o}", "version", CSL_VERSION, "parties", (int)o->parties, "rounds", list);
}

static void print(const json_t *doc) {
    size_t i;
    json_t *row;
    (void)printf("%10s %12s %12s %12s %12s\n", "bytes", "polling, us", "plain", "sleeping, us", "plain");
    json_array_foreach(json_object_get(doc, "rounds"), i, row) {
        (void)printf("%10.0f %12.1f %12.1f %12.1f %12.1f\n", json_number_value(json_object_get(row, "bytes")),
                     json_number_value(json_object_get(row, "spin_us")),
                     json_number_value(json_object_get(row, "plain_spin_us")),
                     json_number_value(json_object_get(row, "block_us")),
                     json_number_value(json_object_get(row, "plain_block_us")));
    }
}

static enum csl_err measure(json_t **doc, const struct options *o, struct job *j, struct csl_diag *diag) {
    static const unsigned rounds[CSL_BENCH_SIZES] = {2000, 2000, 1000, 200, 40};
    static const enum csl_wait waits[2] = {CSL_WAIT_SPIN, CSL_WAIT_BLOCK};
    struct csl_bench_rounds probe;
    double us[2][CSL_BENCH_SIZES];
    TRY(csl_bench_rounds_measure(&probe, (unsigned)o->parties, o->quick, diag));
    for (size_t i = 0; i < CSL_BENCH_SIZES; i++) {
        j->rounds[i] = o->quick ? rounds[i] / 20 : rounds[i];
    }
    for (int w = 0; w < 2; w++) {
        TRY(csl_bench_links_run((unsigned)o->parties, (uint32_t)csl_bench_sizes[CSL_BENCH_SIZES - 1],
                                waits[w], party, j, diag));
        memcpy(us[w], j->us, sizeof us[w]);
    }
    *doc = report(o, (const double(*)[CSL_BENCH_SIZES])us, &probe);
    return *doc == NULL ? CSL_ENOMEM : CSL_OK;
}

static const struct csl_opt opts[] = {
    CSL_UINT(struct options, parties, "parties", "N", 2, 16, "processes; default 2"),
    CSL_FLAG(struct options, quick, "quick", "a twentieth of the rounds, for a try"), CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "bench round",
    .synopsis = "[--parties N] [--quick] [--json]",
    .text =
        "Times one exchange among N processes by this program's mesh over TLS, polling and sleeping, beside "
        "plain\n"
        "sockets and OpenSSL: what frames, deadlines and the event loop cost.",
    .opts = opts,
    .has_json = true};

int cmd_bench_round(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {.parties = 2};
    int code;
    json_t *doc = NULL;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    struct job *j = csl_bench_shared_alloc(sizeof *j);
    enum csl_err err = j == NULL ? CSL_ENOMEM : measure(&doc, &o, j, &cli->diag);
    csl_bench_shared_free(j, sizeof *j);
    return csl_cli_finish_document(cli, err, doc, print);
}
