/* ReLUs with truncation among linked processes. */
#ifndef CSL_CLI_BENCH_RELU_H
#define CSL_CLI_BENCH_RELU_H

#include <jansson.h>

#include "crypto/err.h"

enum { CSL_BENCH_RUNS_MAX = 100 };

struct csl_bench_relu {
    uint64_t count, parties, k, f;
    uint64_t runs;    /* 0: by their size */
    const char *wait; /* "spin", "block" */
    bool max;         /* max(a, b) of pairs instead */
    bool wan;         /* the wan form: two rounds */
    bool quick;
};

/* *doc: what docs/performance.md says of `bench relu`. */
CSL_MUST_CHECK enum csl_err csl_bench_relu(json_t **doc, const struct csl_bench_relu *o,
                                           struct csl_diag *diag);

#endif
