/* Products of matrices and convolutions of bench kernels. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/bench/kernels_internal.h"
#include "mpc/conv.h"
#include "mpc/gemm.h"
#include "mpc/gemm_internal.h"

static const struct path {
    const char *name;
    enum csl__gemm_kind kind;
    unsigned bits;
    csl__gemm_fn *fn;
    const char *own;
} paths[] = {
    {"portable", CSL__GEMM_PORTABLE, 64, csl__gemm_portable, "64-bit scalar"},
#if defined(__x86_64__)
    {"avx2", CSL__GEMM_AVX2, 64, csl__gemm_avx2, "AVX2"},
    {"avx512", CSL__GEMM_AVX512, 64, csl__gemm_avx512, "AVX-512"},
    {"ifma", CSL__GEMM_IFMA_LOW, 52, csl__gemm_ifma_low, "AVX-512 IFMA"},
    {"ifma wide", CSL__GEMM_IFMA_WIDE, 64, csl__gemm_ifma_wide, "AVX-512"},
#endif
};

struct product {
    csl__gemm_fn *fn;
    uint64_t *y, *d, *w;
    size_t m, k, n;
};

static void run_product(void *arg) {
    const struct product *p = arg;
    p->fn(p->y, p->d, p->w, p->m, p->k, p->n);
}

static void bench_product(struct csl__bench *b, size_t m, size_t k, size_t n) {
    struct product p = {.y = csl__bench_values(m * n),
                        .d = csl__bench_values(m * k),
                        .w = csl__bench_values(k * n),
                        .m = m,
                        .k = k,
                        .n = n};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (csl__gemm_has(paths[i].kind)) {
            struct csl__bench_work w = {.name = m == 1 ? "gemv" : "gemm",
                                        .path = paths[i].name,
                                        .bits = paths[i].bits,
                                        .own = paths[i].own,
                                        .products = (double)(m * k * n),
                                        .read_bytes = 8.0 * (double)(k * n)};
            (void)snprintf(w.shape, sizeof w.shape, "%zux%zux%zu", m, k, n);
            p.fn = paths[i].fn;
            csl__bench_measure(b, &w, run_product, &p);
        }
    }
    free(p.y), free(p.d), free(p.w);
}

/* A layer whose weights do not stay in a core's cache, mod 2^40, by the best path: what the binding of a
 * weight mask (L2 of docs/protocol.md) and the product itself cost there, a row and m rows at once. */
static void run_large(void *arg) {
    const struct product *p = arg;
    csl_gemm_acc_mod(p->y, p->d, p->w, p->m, p->k, p->n, 40);
}

static void bench_large(struct csl__bench *b, size_t m, size_t k, size_t n) {
    struct product p = {.y = csl__bench_values(m * n),
                        .d = csl__bench_values(m * k),
                        .w = csl__bench_values(k * n),
                        .m = m,
                        .k = k,
                        .n = n};
    struct csl__bench_work w = {.name = "layer",
                                .path = csl_gemm_path(),
                                .bits = 40,
                                .products = (double)(m * k * n),
                                .read_bytes = 8.0 * (double)(k * n)};
    (void)snprintf(w.shape, sizeof w.shape, "%zux%zux%zu", m, k, n);
    csl__bench_measure(b, &w, run_large, &p);
    free(p.y), free(p.d), free(p.w);
}

struct conv {
    struct csl_conv_shape shape;
    size_t batch;
    unsigned bits;
    uint64_t *y, *d, *w;
};

static void run_conv(void *arg) {
    const struct conv *c = arg;
    if (csl_conv_acc(c->y, c->d, c->w, &c->shape, c->batch, c->bits, false) != CSL_OK) {
        abort();
    }
}

static void bench_conv(struct csl__bench *b, uint32_t in, uint32_t in_c, uint32_t out, uint32_t out_c,
                       uint32_t kernel, uint32_t pad, uint32_t groups, size_t batch, unsigned bits) {
    struct conv c = {.shape = {in, in, in_c, out, out, out_c, kernel, kernel, 1, 1, pad, pad, 1, 1, groups},
                     .batch = batch,
                     .bits = bits};
    size_t n_w = csl_conv_weights(&c.shape), n_y = batch * csl_conv_outputs(&c.shape);
    c.y = csl__bench_values(n_y), c.d = csl__bench_values(batch * csl_conv_inputs(&c.shape)),
    c.w = csl__bench_values(n_w);
    struct csl__bench_work w = {.name = "conv",
                                .path = csl_gemm_path(),
                                .bits = bits,
                                .products = (double)n_y * (double)n_w / out_c,
                                .read_bytes = 8.0 * (double)n_w,
                                .written_bytes = 8.0 * (double)n_y};
    (void)snprintf(w.shape, sizeof w.shape, "%zu x %ux%ux%u, %ux%u to %u", batch, in, in, in_c, kernel,
                   kernel, out_c);
    csl__bench_measure(b, &w, run_conv, &c);
    free(c.y), free(c.d), free(c.w);
}

static void bench_convs(struct csl__bench *b) {
    static const unsigned widths[] = {40, 64};
    static const size_t batches[] = {1, 16, 128};
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < (b->o.quick ? 1 : 3); k++) {
            bench_conv(b, 28, 1, 24, 16, 5, 0, 1, batches[k], widths[i]);
            bench_conv(b, 12, 16, 8, 16, 5, 0, 1, batches[k], widths[i]);
        }
        bench_conv(b, 32, 16, 32, 16, 3, 1, 1, 1, widths[i]);
        bench_conv(b, 8, 64, 8, 64, 3, 1, 1, 1, widths[i]);
        bench_conv(b, 32, 32, 32, 32, 3, 1, 32, 1, widths[i]); /* depthwise */
    }
}

void csl__bench_products(struct csl__bench *b) {
    bench_product(b, 128, 784, 128);
    bench_product(b, 1, 784, 128);
    bench_product(b, 128, 128, 128);
    bench_product(b, 128, 128, 10);
    bench_product(b, 1, 128, 10);
    if (!b->o.quick) {
        bench_product(b, 128, 1024, 1024);
        bench_large(b, 1, 4096, 4096);
        bench_large(b, 16, 4096, 4096);
    }
    bench_convs(b);
}
