/* Latency against parties and against round-trip time, as SVG. */
#ifndef CSL_CLI_BENCH_PLOT_H
#define CSL_CLI_BENCH_PLOT_H

#include <jansson.h>

#include "crypto/err.h"

/* rows: documents of csl_bench_infer; those of this model with batch 1, polling and the first way of signing
 * count. CSL_ECREATE, CSL_EIO. */
CSL_MUST_CHECK enum csl_err csl_bench_plot(const char *path, json_t *rows, const char *model,
                                           struct csl_diag *diag);

#endif
