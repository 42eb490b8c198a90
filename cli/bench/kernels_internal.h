/* What the parts of bench kernels share. */
#ifndef CSL_CLI_BENCH_KERNELS_INTERNAL_H
#define CSL_CLI_BENCH_KERNELS_INTERNAL_H

#include "cli/bench/machine.h"

struct csl__bench_options {
    bool quick;
};

struct csl__bench {
    struct csl__bench_options o;
    struct csl_bench_cpu cpu;
    json_t *rows;
};

/* What one call does: its bound is the longest of these. */
struct csl__bench_work {
    const char *name, *path;
    char shape[48];
    unsigned bits;
    double products, read_bytes, written_bytes, random_bytes;
    const char *own; /* how the probes' ways of multiplying by this path's instructions begin; or NULL */
};

typedef void csl__bench_call_fn(void *arg);

/* Times the call and adds a row. */
void csl__bench_measure(struct csl__bench *b, const struct csl__bench_work *w, csl__bench_call_fn *call,
                        void *arg);

/* n words, for free(); no memory ends the program. */
uint64_t *csl__bench_values(size_t n);

/* Products of matrices, convolutions. */
void csl__bench_products(struct csl__bench *b);

#endif
