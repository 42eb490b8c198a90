/* consilium bench relu: ReLUs with truncation among real processes over TLS, checked and beside their bound.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench/bound.h"
#include "cli/bench/links.h"
#include "cli/bench/options.h"
#include "cli/bench/relu.h"
#include "crypto/prg.h"
#include "mpc/dealer.h"
#include "mpc/relu.h"
#include "mpc/ring.h"

#define RUNS_MAX CSL_BENCH_RUNS_MAX

/* Of one party, in shared memory. */
struct party {
    double from[RUNS_MAX], to[RUNS_MAX]; /* of each run, on the clock that all share */
    uint32_t rounds;
    uint64_t bytes; /* to each peer, of one run */
};

struct job {
    struct csl_bench_relu o;
    struct csl_demand demand;
    struct party party[CSL_MAX_PARTIES];
    double dealer_s;   /* the best run's corrections */
    uint64_t *outputs; /* parties x count, of the last run; shared memory of its own */
};

/* ---- A party ---- */

/* Shares of z: everybody draws, the last one takes what is missing. z itself is known to all: it is a bench.
 */
static enum csl_err draw(uint64_t *z, const struct job *j, unsigned self) {
    static const uint8_t seed[CSL_SEED_BYTES] = {3};
    size_t n = j->demand.count;
    unsigned bits = (unsigned)(j->o.k + j->o.f);
    struct csl_prg prg;
    uint64_t *other = calloc(n, sizeof *other);
    enum csl_err err = other == NULL ? CSL_ENOMEM : csl_prg_init(&prg, seed);
    if (err != CSL_OK) {
        free(other);
        return err;
    }
    bool last = self + 1 == j->o.parties;
    err = csl_prg_fill_u64(&prg, z, n, last ? 0 : self + 1, bits);
    for (unsigned p = 0; last && p + 1 < j->o.parties && err == CSL_OK; p++) {
        err = csl_prg_fill_u64(&prg, other, n, p + 1, bits);
        for (size_t i = 0; i < n; i++) {
            z[i] -= other[i];
        }
    }
    csl_prg_clear(&prg);
    free(other);
    return err;
}

/* Correlations of a run, as the dealer makes them; the last party is the dealer too. */
static enum csl_err prepare(struct csl_corr **corr, struct job *j, unsigned self, unsigned run,
                            struct csl_diag *diag) {
    unsigned n = (unsigned)j->o.parties;
    uint8_t seeds[CSL_MAX_PARTIES * CSL_INDEX_SEED_BYTES];
    bool last = self + 1 == n;
    size_t chunk = csl_correction_bytes(&j->demand, 1);
    uint8_t *corrections = last ? malloc(chunk) : NULL;
    memset(seeds, 7, sizeof seeds);
    for (unsigned p = 0; p < n; p++) {
        seeds[p * CSL_INDEX_SEED_BYTES] = (uint8_t)p;
        seeds[p * CSL_INDEX_SEED_BYTES + CSL_INDEX_SEED_BYTES / 2] = (uint8_t)(p + 100 * run);
    }
    enum csl_err err = last && corrections == NULL ? CSL_ENOMEM : CSL_OK;
    if (err == CSL_OK && last) {
        double from = csl_bench_now_s();
        err = csl_dealer_corrections(corrections, chunk, &j->demand, 1, n, seeds, NULL, 1, diag);
        double s = csl_bench_now_s() - from;
        j->dealer_s = run == 0 || s < j->dealer_s ? s : j->dealer_s;
    }
    if (err == CSL_OK) {
        err = csl_corr_new(corr, &j->demand, 1, n, self, 1, diag);
    }
    if (err == CSL_OK) {
        err = csl_corr_expand(*corr, 0, seeds + self * CSL_INDEX_SEED_BYTES, corrections, last ? chunk : 0,
                              diag);
    }
    free(corrections);
    return err;
}

/* Everybody is ready: a round that is not counted. */
static enum csl_err gather(struct csl_session *s) {
    uint8_t in[CSL_MAX_PARTIES][1], *at[CSL_MAX_PARTIES], out = 1;
    for (unsigned p = 0; p < CSL_MAX_PARTIES; p++) {
        at[p] = in[p];
    }
    return csl_session_exchange(s, at, &out, 1);
}

static enum csl_err one_run(struct csl_session *s, struct job *j, uint64_t *y, const uint64_t *z,
                            const uint64_t *zero, unsigned run, struct csl_diag *diag) {
    struct party *me = &j->party[s->self];
    struct csl_corr *corr = NULL;
    enum csl_err err = prepare(&corr, j, s->self, run, diag);
    if (err == CSL_OK) {
        err = gather(s);
    }
    if (err == CSL_OK) {
        struct csl_session_stats before = s->stats;
        me->from[run] = csl_bench_now_s();
        err = j->demand.kind == CSL_DEMAND_MAX ? csl_max(s, y, z, zero, corr, 0) : csl_relu(s, y, z, corr, 0);
        me->to[run] = csl_bench_now_s();
        me->rounds = s->stats.rounds - before.rounds;
        me->bytes = s->stats.bytes_per_peer - before.bytes_per_peer;
    }
    csl_corr_free(corr);
    return err;
}

static enum csl_err party(struct csl_link *link, void *arg, struct csl_diag *diag) {
    struct job *j = arg;
    size_t n = j->demand.count;
    struct csl_session s;
    uint64_t *z = calloc(n, sizeof *z), *y = calloc(n, sizeof *y), *zero = calloc(n, sizeof *zero);
    enum csl_err err = csl_session_init(&s, link);
    if (err == CSL_OK) {
        err = z == NULL || y == NULL || zero == NULL ? CSL_ENOMEM : draw(z, j, link->self);
    }
    for (unsigned run = 0; run < j->o.runs && err == CSL_OK; run++) {
        err = one_run(&s, j, y, z, zero, run, diag);
    }
    if (err == CSL_OK) {
        memcpy(j->outputs + link->self * n, y, n * sizeof *y);
    } else if (s.err != CSL_OK) {
        *diag = s.diag;
    }
    csl_session_clear(&s);
    free(z);
    free(y);
    free(zero);
    return err;
}

/* ---- The check ---- */

/* ReLU to nearest, or one unit off (step T5); of max(z, 0) either, the larger but for 2^f (step M1). */
static bool right(const struct job *j, uint64_t z, uint64_t y) {
    unsigned bits = (unsigned)(j->o.k + j->o.f), f = (unsigned)j->o.f;
    uint64_t half = (uint64_t)1 << (bits - 1), cut = (uint64_t)1 << f;
    bool max = j->demand.kind == CSL_DEMAND_MAX;
    uint64_t margin = max || f <= CSL_GUARD_BITS ? 0 : cut / 2;
    if ((z < half && z > half - cut - margin) || (z >= half && z < half + margin)) { /* outside the range */
        return true;
    }
    if (max) {
        bool near = z < cut || z >= 2 * half - cut;
        return y == z ? z < half || near : y == 0 && (z >= half || near);
    }
    uint64_t nearest = z < half ? (z + cut / 2) >> f : 0;
    return y + 1 == nearest || y == nearest || y == nearest + 1;
}

static enum csl_err check(const struct job *j, struct csl_diag *diag) {
    static const uint8_t seed[CSL_SEED_BYTES] = {3};
    size_t n = j->demand.count, wrong = 0;
    uint64_t *z = calloc(n, sizeof *z), mask = csl_ring_mask(j->demand.trunc.out_bits);
    struct csl_prg prg = {.path = NULL};
    enum csl_err err = z == NULL ? CSL_ENOMEM : csl_prg_init(&prg, seed);
    if (err == CSL_OK) {
        err = csl_prg_fill_u64(&prg, z, n, 0, (unsigned)(j->o.k + j->o.f));
    }
    for (size_t i = 0; i < n && err == CSL_OK; i++) {
        uint64_t y = 0;
        for (unsigned p = 0; p < j->o.parties; p++) {
            y += j->outputs[p * n + i];
        }
        wrong += !right(j, z[i], y & mask);
    }
    csl_prg_clear(&prg);
    free(z);
    return err != CSL_OK || wrong == 0
               ? err
               : csl_fail(diag, CSL_EINTERNAL, "%zu of %zu results are wrong", wrong, n);
}

/* ---- The report ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* From the first party's start to the last one's end: nothing of it was done before. The first run grows the
 * arenas. */
static double median_s(const struct job *j, double *best) {
    double s[RUNS_MAX];
    size_t n = 0;
    for (unsigned r = j->o.runs > 1 ? 1 : 0; r < j->o.runs; r++) {
        double from = j->party[0].from[r], to = 0;
        for (unsigned p = 0; p < j->o.parties; p++) {
            from = j->party[p].from[r] < from ? j->party[p].from[r] : from;
            to = j->party[p].to[r] > to ? j->party[p].to[r] : to;
        }
        s[n++] = to - from;
    }
    qsort(s, n, sizeof *s, by_value);
    *best = s[0];
    return s[n / 2];
}

static json_t *report(const struct job *j, const struct csl_bench_machine *m) {
    const struct party *p = &j->party[0];
    struct csl_bench_work work = {
        .n_parties = (unsigned)j->o.parties, .openings = p->rounds, .bytes = p->bytes};
    struct csl_bench_bound b = csl_bench_bound_of(m, &work, CSL_BENCH_BEST);
    double count = (double)j->o.count, best, median = median_s(j, &best) * 1e3;
    json_t *doc = json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:s, s:i}", "version", CSL_VERSION, "step",
                            j->o.max ? "max" : "relu", "form", j->o.wan ? "wan" : "lan", "count",
                            (json_int_t)j->o.count, "parties", (int)j->o.parties, "k", (int)j->o.k, "f",
                            (int)j->o.f, "wait", j->o.wait, "runs", (int)j->o.runs);
    json_t *rest = json_pack("{s:f, s:f, s:f, s:f, s:f, s:i, s:I, s:f, s:f, s:f, s:o, s:o}", "median_ms",
                             median, "best_ms", best * 1e3, "ns_each", median * 1e6 / count, "bound_ms",
                             b.bound_ms, "ratio", median / b.bound_ms, "rounds", (int)p->rounds,
                             "bytes_per_link", (json_int_t)p->bytes, "bytes_each", (double)p->bytes / count,
                             "correction_bytes_each", (double)csl_correction_bytes(&j->demand, 1) / count,
                             "dealer_ns_each", j->dealer_s * 1e9 / count, "bound",
                             csl_bench_bound_json(m, &work, &b), "machine", csl_bench_machine_json(m));
    if (doc != NULL && rest != NULL) {
        (void)json_object_update(doc, rest);
    }
    json_decref(rest);
    return doc;
}

static void print(const json_t *doc) {
    static const char *const keys[] = {
        "median_ms",     "ns_each", "bound_ms", "ratio", "rounds", "bytes_each", "correction_bytes_each",
        "dealer_ns_each"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        (void)printf("%-22s %10.3f\n", keys[i], json_number_value(json_object_get(doc, keys[i])));
    }
    csl_bench_probes_print(
        json_number_value(json_object_get(json_object_get(doc, "machine"), "probes_quotient")));
}

/* ---- The command ---- */

static const struct csl_opt opts[] = {
    CSL_UINT(struct csl_bench_relu, count, "count", "K", 1, 1u << 24, "ReLUs; default 100000"),
    CSL_BENCH_PARTIES(struct csl_bench_relu, parties),
    CSL_UINT(struct csl_bench_relu, k, "k", "BITS", 2, 37, "compared bits; default 24"),
    CSL_UINT(struct csl_bench_relu, f, "f", "BITS", 1, 20, "bits that are cut off; default 16"),
    CSL_UINT(struct csl_bench_relu, runs, "runs", "R", 1, RUNS_MAX, "default by their size"),
    CSL_FLAG(struct csl_bench_relu, max, "max", "max(a, b) instead, as pooling takes it: nothing is cut off"),
    CSL_FLAG(struct csl_bench_relu, wan, "wan", "the wan form: two rounds, and more corrections"),
    CSL_BENCH_WAIT(struct csl_bench_relu, wait, "spin|auto|block", "spin"),
    CSL_FLAG(struct csl_bench_relu, quick, "quick", "two runs and a tenth of the probes, for a try"),
    CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "bench relu",
    .synopsis = "[--count K] [--parties N] [--wait spin|auto|block] [--json]",
    .text =
        "Evaluates K ReLUs with truncation among N processes linked by TLS, checks every result, and puts "
        "time and\n"
        "bytes beside the bound of this machine. Correlations are made before and not counted.",
    .opts = opts,
    .has_json = true};

static enum csl_err measure(json_t **doc, struct job *j, struct csl_diag *diag) {
    struct csl_bench_machine m;
    size_t outputs = j->o.parties * j->o.count * sizeof *j->outputs;
    enum csl_wait wait = CSL_WAIT_SPIN;
    if (!csl_wait_parse(&wait, j->o.wait)) {
        return csl_fail(diag, CSL_EUSAGE, "--wait is spin, auto or block, not \"%.40s\"", j->o.wait);
    }
    uint32_t n = (uint32_t)j->o.count;
    unsigned k = (unsigned)j->o.k, f = (unsigned)j->o.f;
    j->demand = j->o.max ? csl_demand_max(n, k, f) : csl_demand_relu(n, k, f, k + f);
    j->demand = j->o.wan ? csl_demand_wan(j->demand) : j->demand;
    TRY(csl_demand_check(&j->demand, diag));
    TRY(csl_bench_machine_measure(&m, (unsigned)j->o.parties, j->o.quick, diag));
    j->outputs = csl_bench_shared_alloc(outputs);
    enum csl_err err = j->outputs == NULL
                           ? CSL_ENOMEM
                           : csl_bench_links_run((unsigned)j->o.parties, (uint32_t)(8 * j->o.count + 64),
                                                 wait, party, j, diag);
    if (err == CSL_OK) {
        err = csl_bench_machine_again(&m, j->o.quick, diag);
    }
    if (err == CSL_OK) {
        err = check(j, diag);
    }
    csl_bench_shared_free(j->outputs, outputs);
    *doc = err == CSL_OK ? report(j, &m) : NULL;
    return err == CSL_OK && *doc == NULL ? CSL_ENOMEM : err;
}

enum csl_err csl_bench_relu(json_t **doc, const struct csl_bench_relu *o, struct csl_diag *diag) {
    *doc = NULL;
    struct job *j = csl_bench_shared_alloc(sizeof *j);
    if (j == NULL) {
        return CSL_ENOMEM;
    }
    j->o = *o;
    if (o->runs == 0) {
        j->o.runs = o->quick ? 2 : o->count <= 100000 ? 21 : 6;
    }
    enum csl_err err = measure(doc, j, diag);
    csl_bench_shared_free(j, sizeof *j);
    return err;
}

int cmd_bench_relu(struct csl_cli *cli, int argc, char **argv) {
    struct csl_bench_relu o = {.count = 100000, .parties = 2, .k = 24, .f = 16, .wait = "spin"};
    int code;
    json_t *doc = NULL;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    enum csl_err err = csl_bench_relu(&doc, &o, &cli->diag);
    return csl_cli_finish_document(cli, err, doc, print);
}
