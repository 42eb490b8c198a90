/* Matrix products and packing of every path on one core, beside the multiply peak of the vpmullq instruction;
 * convolutions beside the plain product of the same size (alone: bench_kernels conv).
 *
 * The peak is measured by a loop of its own that calls nothing of the project: independent multiplications,
 * no memory and no additions. A product also adds, on the same two ports: 3/4 of the peak is all that
 * multiplying by vpmullq can give where vpmullq is three micro-operations. Paths take turns and the best of
 * several turns counts, so that a change of clock frequency hits all alike.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mpc/conv.h"
#include "mpc/gemm.h"
#include "mpc/gemm_internal.h"
#include "mpc/pack.h"

enum { TURNS = 12, TURN_MULTIPLICATIONS = 30000000, PACK_VALUES = 1 << 16, PACK_TURNS = 200 };

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#if defined(__x86_64__)
#define MUL(r) "vpmullq %%zmm16, %%zmm16, %%zmm" #r "\n\t"
#define REP16(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define MUL_ADD(r) MUL(r) "vpaddq %%zmm" #r ", %%zmm16, %%zmm" #r "\n\t"
#define CLOBBERS                                                                                             \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",        \
        "xmm12", "xmm13", "xmm14", "xmm15"

/* Multiplications per second of independent instructions, without and with an addition after each. */
__attribute__((target("avx512f,avx512dq"))) static double vpmullq_turn(bool adds) {
    enum { STEPS = TURN_MULTIPLICATIONS / (8 * 16) };
    double from = now_s();
    for (int i = 0; i < STEPS; i++) {
        if (adds) {
            __asm__ volatile(REP16(MUL_ADD)::: CLOBBERS);
        } else {
            __asm__ volatile(REP16(MUL)::: CLOBBERS);
        }
    }
    return 8.0 * 16 * STEPS / (now_s() - from);
}
#endif

static const struct {
    const char *name;
    enum csl__gemm_kind kind;
    csl__gemm_fn *fn;
} paths[] = {
    {"portable", CSL__GEMM_PORTABLE, csl__gemm_portable},
#if defined(__x86_64__)
    {"avx2", CSL__GEMM_AVX2, csl__gemm_avx2},
    {"avx512", CSL__GEMM_AVX512, csl__gemm_avx512},
    {"ifma (mod 2^52)", CSL__GEMM_IFMA_LOW, csl__gemm_ifma_low},
#endif
};
enum { N_PATHS = sizeof paths / sizeof *paths };

static uint64_t *values(size_t n) {
    uint64_t *v = calloc(n, sizeof *v);
    if (v == NULL) {
        abort();
    }
    for (size_t i = 0; i < n; i++) {
        v[i] = (i + 1) * 0x9e3779b97f4a7c15;
    }
    return v;
}

/* Prints every path, and its ratio to the vpmullq peak measured between the same turns. */
static void bench_product(size_t m, size_t k, size_t n) {
    uint64_t *y = values(m * n), *d = values(m * k), *w = values(k * n);
    double best[N_PATHS] = {0}, peak = 0, peak_adds = 0;
    size_t repeat = TURN_MULTIPLICATIONS / (m * k * n) + 1;
    for (int t = 0; t < TURNS; t++) {
#if defined(__x86_64__)
        if (csl__gemm_has(CSL__GEMM_AVX512)) {
            double rate = vpmullq_turn(false), rate_adds = vpmullq_turn(true);
            peak = rate > peak ? rate : peak;
            peak_adds = rate_adds > peak_adds ? rate_adds : peak_adds;
        }
#endif
        for (size_t x = 0; x < N_PATHS; x++) {
            if (csl__gemm_has(paths[x].kind)) {
                double from = now_s();
                for (size_t i = 0; i < repeat; i++) {
                    paths[x].fn(y, d, w, m, k, n);
                }
                double rate = (double)(m * k * n) * (double)repeat / (now_s() - from);
                best[x] = rate > best[x] ? rate : best[x];
            }
        }
    }
    for (size_t x = 0; x < N_PATHS; x++) {
        if (best[x] > 0) {
            printf("product %zux%zux%zu %-16s %9.2f us  %6.2f G mul/s", m, k, n, paths[x].name,
                   (double)(m * k * n) / best[x] * 1e6, best[x] * 1e-9);
            if (peak > 0) {
                printf("  %5.2f x vpmullq (%.1f), %5.2f x vpmullq and vpaddq (%.1f)", best[x] / peak,
                       peak * 1e-9, best[x] / peak_adds, peak_adds * 1e-9);
            }
            printf("\n");
        }
    }
    free(y), free(d), free(w);
}

static void bench_pack(unsigned bits) {
    uint64_t *in = values(PACK_VALUES), *out = values(PACK_VALUES);
    uint8_t *bytes = calloc(PACK_VALUES, sizeof *in);
    double pack_s = 1e9, unpack_s = 1e9;
    if (bytes == NULL) {
        abort();
    }
    for (int t = 0; t < PACK_TURNS; t++) {
        double from = now_s();
        csl_pack_bits(bytes, in, PACK_VALUES, bits);
        double middle = now_s();
        csl_unpack_bits(out, bytes, PACK_VALUES, bits);
        double to = now_s();
        pack_s = middle - from < pack_s ? middle - from : pack_s;
        unpack_s = to - middle < unpack_s ? to - middle : unpack_s;
    }
    printf("pack %2u bits  %6.2f GB/s of u64  unpack %6.2f GB/s\n", bits, 8e-9 * PACK_VALUES / pack_s,
           8e-9 * PACK_VALUES / unpack_s);
    free(in), free(out), free(bytes);
}

struct rate {
    double conv, product;
};

static void bench_turn(struct rate *best, uint64_t *y, const uint64_t *d, const uint64_t *w,
                       const struct csl_conv_shape *s, size_t batch, unsigned bits,
                       const uint64_t *unfolded) {
    size_t m = batch * s->out_h * s->out_w, k = csl_conv_weights(s) / s->out_c, n = s->out_c;
    size_t repeat = TURN_MULTIPLICATIONS / (m * k * n) + 1;
    double from = now_s();
    for (size_t i = 0; i < repeat; i++) {
        if (csl_conv_acc(y, d, w, s, batch, bits, false) != CSL_OK) {
            abort();
        }
    }
    double middle = now_s();
    for (size_t i = 0; unfolded != NULL && i < repeat; i++) {
        csl_gemm_acc_mod(y, unfolded, w, m, k, n, bits);
    }
    double work = (double)(m * k * n) * (double)repeat;
    double conv = work / (middle - from), product = unfolded == NULL ? 0 : work / (now_s() - middle);
    best->conv = conv > best->conv ? conv : best->conv;
    best->product = product > best->product ? product : best->product;
}

/* Prints a convolution beside the plain product of its unfolded size (not for a depthwise one). */
static void bench_conv(const char *name, struct csl_conv_shape s, size_t batch, unsigned bits) {
    size_t m = batch * s.out_h * s.out_w, k = csl_conv_weights(&s) / s.out_c;
    uint64_t *y = values(batch * csl_conv_outputs(&s)), *d = values(batch * csl_conv_inputs(&s));
    uint64_t *w = values(csl_conv_weights(&s)), *unfolded = s.groups == 1 ? values(m * k) : NULL;
    struct rate best = {0, 0};
    for (int t = 0; t < TURNS; t++) {
        bench_turn(&best, y, d, w, &s, batch, bits, unfolded);
    }
    printf("conv %-24s batch %3zu, mod 2^%u  %9.2f us  %6.2f G mul/s", name, batch, bits,
           (double)(m * k * s.out_c) / best.conv * 1e6, best.conv * 1e-9);
    if (unfolded != NULL) {
        printf("  %5.2f x the product (%.1f)", best.conv / best.product, best.product * 1e-9);
    }
    printf("\n");
    free(y), free(d), free(w), free(unfolded);
}

static struct csl_conv_shape square(uint32_t in, uint32_t in_c, uint32_t out, uint32_t out_c, uint32_t kernel,
                                    uint32_t pad, uint32_t groups) {
    return (struct csl_conv_shape){in, in, in_c, out, out, out_c, kernel, kernel,
                                   1,  1,  pad,  pad, 1,   1,     groups};
}

static void bench_convs(void) {
    static const unsigned widths[] = {43, 64};
    static const size_t batches[] = {1, 16, 128};
    for (size_t b = 0; b < 2; b++) {
        for (size_t i = 0; i < 3; i++) {
            bench_conv("MiniONN 1: 28x28x1, 5x5", square(28, 1, 24, 16, 5, 0, 1), batches[i], widths[b]);
            bench_conv("MiniONN 2: 12x12x16, 5x5", square(12, 16, 8, 16, 5, 0, 1), batches[i], widths[b]);
        }
        bench_conv("residual: 32x32x16, 3x3", square(32, 16, 32, 16, 3, 1, 1), 1, widths[b]);
        bench_conv("residual: 8x8x64, 3x3", square(8, 64, 8, 64, 3, 1, 1), 1, widths[b]);
        bench_conv("depthwise: 32x32x32, 3x3", square(32, 32, 32, 32, 3, 1, 32), 1, widths[b]);
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "conv") == 0) {
        bench_convs();
        return 0;
    }
    bench_product(128, 784, 128);
    bench_product(1, 784, 128);
    bench_product(128, 128, 128);
    bench_product(128, 128, 10);
    bench_product(1, 128, 10);
    bench_product(128, 1024, 1024);
    static const unsigned widths[] = {1, 16, 27, 32, 43, 57, 60, 64};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        bench_pack(widths[i]);
    }
    bench_convs();
    return 0;
}
