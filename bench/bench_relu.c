/* What a ReLU, a maximum or an arg-max step costs in both forms: online in nanoseconds and bytes (N = 2,
 * in-memory link), offline at a party, at the dealer.
 *
 *     bench_relu [relu|max|argmax] [count [k [f [out_bits, or bits of the payload]]]]
 */
#include "mpc/dealer.h"
#include "mpc/link_mem.h"
#include "mpc/relu.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N = 2, RUNS = 20 };

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct party {
    struct csl_session s;
    struct csl_corr *corr;
    enum csl_demand_kind kind;
    uint64_t *z, *other;
    pthread_barrier_t *start;
    double ns;
    enum csl_err err;
};

static void *run(void *arg) {
    struct party *p = arg;
    pthread_barrier_wait(p->start);
    double t = now_ns();
    switch (p->kind) {
    case CSL_DEMAND_MAX:
        p->err = csl_max(&p->s, p->z, p->z, p->other, p->corr, 0);
        break;
    case CSL_DEMAND_ARGMAX:
        p->err = csl_argmax_step(&p->s, p->z, p->other, p->z, p->other, p->other, p->other, p->corr, 0);
        break;
    default:
        p->err = csl_relu(&p->s, p->z, p->z, p->corr, 0);
    }
    p->ns = now_ns() - t;
    return NULL;
}

struct times {
    double online, expand, expand_last, dealer;
};

static void keep_least(double *best, double ns) {
    *best = *best == 0 || ns < *best ? ns : *best;
}

static enum csl_err prepare(struct party *p, const struct csl_demand *d, struct times *t,
                            struct csl_diag *diag) {
    size_t chunk = csl_correction_bytes(d, 1);
    uint8_t seeds[N * CSL_INDEX_SEED_BYTES], *corrections = malloc(chunk);
    if (corrections == NULL) {
        return CSL_ENOMEM;
    }
    memset(seeds, 7, sizeof seeds / N);
    memset(seeds + sizeof seeds / N, 9, sizeof seeds / N);
    double start = now_ns();
    enum csl_err err = csl_dealer_corrections(corrections, chunk, d, 1, N, seeds, NULL, 1, diag);
    keep_least(&t->dealer, now_ns() - start);
    for (unsigned i = 0; i < N && err == CSL_OK; i++) {
        err = csl_corr_new(&p[i].corr, d, 1, N, i, 1, diag);
        if (err == CSL_OK) {
            bool last = i + 1 == N;
            start = now_ns();
            err = csl_corr_expand(p[i].corr, 0, seeds + CSL_INDEX_SEED_BYTES * i, last ? corrections : NULL,
                                  last ? chunk : 0, diag);
            keep_least(last ? &t->expand_last : &t->expand, now_ns() - start);
        }
    }
    free(corrections);
    return err;
}

static enum csl_err online(struct party *p, struct times *t) {
    pthread_barrier_t start;
    pthread_t thread[N];
    pthread_barrier_init(&start, NULL, N);
    for (unsigned i = 0; i < N; i++) {
        p[i].start = &start;
        if (pthread_create(&thread[i], NULL, run, &p[i]) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < N; i++) {
        pthread_join(thread[i], NULL);
        csl_corr_free(p[i].corr);
        p[i].corr = NULL;
    }
    pthread_barrier_destroy(&start);
    keep_least(&t->online, p[0].ns > p[1].ns ? p[0].ns : p[1].ns);
    return p[0].err != CSL_OK ? p[0].err : p[1].err;
}

static unsigned argument(int argc, char **argv, int i, unsigned otherwise) {
    return argc > i ? (unsigned)strtoul(argv[i], NULL, 10) : otherwise;
}

static void print(const char *name, const struct csl_demand *d, const struct times *t,
                  const struct csl_session_stats *stats) {
    double count = d->count;
    printf("%s, %s form: k=%u f=%u out_bits=%u, %u digits; %u elements, N=2, best of %d\n", name,
           d->form == CSL_FORM_WAN ? "wan" : "lan", d->trunc.k, d->trunc.f, d->trunc.out_bits,
           d->trunc.n_digits, d->count, RUNS);
    printf("online        %8.1f ns each, %.2f ms in all\n", t->online / count, t->online / 1e6);
    printf("opened        %8.2f bytes each, to each peer, in %u rounds\n",
           (double)stats->bytes_per_peer / RUNS / count, stats->rounds / RUNS);
    printf("expand        %8.1f ns each; at the last party %.1f\n", t->expand / count,
           t->expand_last / count);
    printf("corrections   %8.2f bytes each\n", (double)csl_correction_bytes(d, 1) / count);
    printf("dealer        %8.1f ns each\n", t->dealer / count);
}

static enum csl_err measure(const char *name, const struct csl_demand *d, struct csl_diag *diag) {
    struct times t = {0};
    struct party p[N];
    struct csl_mem_net *net = NULL;
    memset(p, 0, sizeof p);
    enum csl_err err = csl_demand_check(d, diag);
    TRY_OUT(err);
    TRY_OUT(csl_mem_net_new(&net, N));
    for (unsigned i = 0; i < N; i++) {
        TRY_OUT(csl_session_init(&p[i].s, csl_mem_net_link(net, i)));
        p[i].kind = d->kind;
        p[i].z = calloc(d->count, sizeof *p[i].z);
        p[i].other = calloc(d->count, sizeof *p[i].other);
        if (p[i].z == NULL || p[i].other == NULL) {
            err = CSL_ENOMEM;
            goto out;
        }
    }
    for (int i = 0; i < RUNS; i++) { /* the first one grows the arenas */
        TRY_OUT(prepare(p, d, &t, diag));
        TRY_OUT(online(p, &t));
    }
    print(name, d, &t, &p[0].s.stats);
out:
    for (unsigned i = 0; i < N; i++) {
        csl_session_clear(&p[i].s);
        csl_corr_free(p[i].corr);
        free(p[i].z);
        free(p[i].other);
    }
    csl_mem_net_free(net);
    return err;
}

int main(int argc, char **argv) {
    const char *name = "relu";
    if (argc > 1 && (argv[1][0] < '0' || argv[1][0] > '9')) {
        name = argv[1];
        argc--;
        argv++;
    }
    unsigned count = argument(argc, argv, 1, 100000), k = argument(argc, argv, 2, 24);
    unsigned f = argument(argc, argv, 3, 16);
    struct csl_demand d = strcmp(name, "max") == 0 ? csl_demand_max(count, k, f)
                          : strcmp(name, "argmax") == 0
                              ? csl_demand_argmax(count, k, f, argument(argc, argv, 4, 4))
                              : csl_demand_relu(count, k, f, argument(argc, argv, 4, k + f));
    struct csl_demand wan = csl_demand_wan(d);
    struct csl_diag diag = {""};
    enum csl_err err = measure(name, &d, &diag);
    if (err == CSL_OK) {
        err = measure(name, &wan, &diag);
    }
    if (err != CSL_OK) {
        fprintf(stderr, "bench_relu: %s %s\n", csl_err_text(err), diag.text);
    }
    return csl_err_exit_code(err);
}
