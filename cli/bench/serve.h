/* A federation under the load of concurrent clients. */
#ifndef CSL_CLI_BENCH_SERVE_H
#define CSL_CLI_BENCH_SERVE_H

#include <jansson.h>

#include "cli/args.h"
#include "roles/client/client.h"

enum { CSL_SERVE_CLIENTS_MAX = 64, CSL_SERVE_STEPS_MAX = 16 };

/* ---- One step: so many clients, each with one request at a time ---- */

struct csl_serve_load {
    const struct csl_context *ctx;
    struct csl_client_options client;
    unsigned n_clients;
    uint32_t batch;    /* inputs of a request */
    uint64_t requests; /* of each client; 0: as many as fit into seconds */
    double seconds;
    unsigned warm_up; /* requests of each client before */
    double pause_ms;  /* of a client between two requests */
    const float *x;   /* inputs of the plan's form, used again and again */
    size_t n_x;
    unsigned samples; /* results that each client keeps */
};

struct csl_serve_sample { /* one request */
    size_t first;         /* of its inputs in x */
    double *logits;       /* batch x n_outputs; not set where labels alone are revealed */
    uint32_t *classes;
};

struct csl_serve_step {
    uint64_t requests, inferences;
    double seconds;
    double p50_ms, p95_ms, p99_ms, max_ms;   /* of a request: from the call to the outputs */
    double sent_p50_ms;                      /* from the input sent to the outputs joined */
    double online_p50_ms;                    /* at the parties: from the input held to the output sent */
    double batch_requests, batch_inferences; /* of the parties' batches; 0: not known */
    uint32_t rounds;                         /* of a batch */
    enum csl_profile profile;
    struct csl_serve_sample *samples;
    size_t n_samples;
};
void csl_serve_step_clear(struct csl_serve_step *s);

/* Opens the sessions, warms up, and measures. Every result has the right shape; the first client that fails
 * is the error. */
CSL_MUST_CHECK enum csl_err csl_serve_run(struct csl_serve_step *out, const struct csl_serve_load *load,
                                          struct csl_diag *diag);

/* ---- All of it ---- */

struct csl_bench_serve {
    const char *model;         /* file of the network, or, with a site, its name in the roster */
    const char *site, *roster; /* a federation that runs; NULL: one is started */
    const char *compare;       /* with a site: the network's file, for the sample's plaintext */
    const char *normalize, *interval, *wait, *profile, *sign, *keys;
    const char *clients; /* "1,2,4"; NULL: doubled until throughput saturates */
    uint64_t parties, batch, seconds, requests, frac_bits;
    bool own; /* a session of its own for each client, instead of the shared one */
    bool shared, quick;
};

/* *doc: what docs/performance.md says of `bench serve`. */
CSL_MUST_CHECK enum csl_err csl_bench_serve(json_t **doc, const struct csl_bench_serve *o,
                                            struct csl_diag *diag);

#endif
