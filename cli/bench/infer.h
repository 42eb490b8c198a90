/* One workload of inference, measured among real processes beside its bound. */
#ifndef CSL_CLI_BENCH_INFER_H
#define CSL_CLI_BENCH_INFER_H

#include "cli/args.h"
#include "cli/bench/bound.h"
#include "nn/plan.h"

struct csl_bench_infer {
    const char *model, *normalize, *interval;
    const char *net;                           /* "lan", "wan"; NULL: loopback */
    const char *wait;                          /* "spin", "block" */
    const char *profile;                       /* "auto", "lan", "wan"; NULL: auto */
    const char *sign;                          /* "after-output", "before-output", "off" */
    struct csl_list images;                    /* none: random inputs */
    uint64_t parties, batch, count, frac_bits; /* count: batches; 0: by their size */
    uint64_t threads;                          /* of each daemon; 0: their default */
    bool quick;
    const char *keys;                /* see csl_federation_options; NULL: none are kept */
    const struct csl_bench_cpu *cpu; /* measured already; NULL: measure */
};

/* *doc: what docs/performance.md says of `bench infer`. CSL_EUSAGE, CSL_ENOINPUT, and whatever a command of
 * the federation says. */
CSL_MUST_CHECK enum csl_err csl_bench_infer(json_t **doc, const struct csl_bench_infer *o,
                                            struct csl_diag *diag);

/* The owner of a federation shares a network there under the name "network". */
struct csl_bench_model {
    const char *path, *normalize, *interval;
    uint64_t frac_bits;
};
struct csl_federation;
CSL_MUST_CHECK enum csl_err csl_bench_share(struct csl_federation *fed, const struct csl_bench_model *m,
                                            struct csl_diag *diag);

/* Offline work for one inference of a plan, one core each. */
struct csl_bench_offline {
    double dealer_per_s;     /* corrections that the dealer makes */
    double party_per_s;      /* rows that a party expands from its seed */
    double last_party_per_s; /* the same where corrections come in */
    uint64_t correction_bytes;
};
CSL_MUST_CHECK enum csl_err csl_bench_offline(struct csl_bench_offline *out, const struct csl_plan *plan,
                                              enum csl_profile profile, unsigned n_parties, bool quick,
                                              struct csl_diag *diag);

#endif
