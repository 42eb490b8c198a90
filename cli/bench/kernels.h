/* Every kernel on one core beside its bound. */
#ifndef CSL_CLI_BENCH_KERNELS_H
#define CSL_CLI_BENCH_KERNELS_H

#include <jansson.h>
#include <stdbool.h>

/* What docs/performance.md says of `bench kernels`; NULL without memory. */
json_t *csl_bench_kernels(bool quick);

#endif
