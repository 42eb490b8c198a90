/* The paths behind mpc/gemm.h and mpc/conv.h. Tests and the bench call them directly, after asking
 * csl__gemm_has. */
#ifndef CSL_MPC_GEMM_INTERNAL_H
#define CSL_MPC_GEMM_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Y += D.W mod 2^64, as csl_gemm_acc. */
typedef void csl__gemm_fn(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n);

/* A product whose left rows are windows of pictures, without their unfolding: the row of window (i, j) of
 * picture q is `runs` pieces of `run` words, the s-th at d + q * d_next + i * d_down + j * d_right + s *
 * d_step, i below `high`, j below `wide`. Y's rows stand one after another at ldy words, W's (runs * run of
 * them) at ldw. n columns. A dense product of m rows is wide = m, run = d_right = k. No number of anything is
 * 0. */
struct csl__windows {
    uint64_t *y;
    const uint64_t *d, *w;
    size_t ldy, ldw, n;
    size_t pictures, high, wide, runs, run;
    size_t d_next, d_down, d_right, d_step;
};

/* Y += D.W mod 2^64 */
typedef void csl__windows_fn(const struct csl__windows *p);

/* Y += D.W, m x k x n. */
static inline struct csl__windows csl__dense(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m,
                                             size_t k, size_t n) {
    return (struct csl__windows){.y = y,
                                 .d = d,
                                 .w = w,
                                 .ldy = n,
                                 .ldw = n,
                                 .n = n,
                                 .pictures = 1,
                                 .high = 1,
                                 .wide = m,
                                 .runs = 1,
                                 .run = k,
                                 .d_right = k};
}

csl__gemm_fn csl__gemm_portable;
csl__gemm_fn csl__gemm_avx2;      /* needs AVX2 */
csl__gemm_fn csl__gemm_avx512;    /* needs AVX-512 F, DQ, BW, VL */
csl__gemm_fn csl__gemm_ifma_low;  /* the same and IFMA; right in the low 52 bits only */
csl__gemm_fn csl__gemm_ifma_wide; /* the same instructions, all 64 bits */

csl__windows_fn csl__windows_portable;
csl__windows_fn csl__windows_avx2;
csl__windows_fn csl__windows_avx512;
csl__windows_fn csl__windows_ifma_low;
csl__windows_fn csl__windows_ifma_wide;

enum csl__gemm_kind {
    CSL__GEMM_PORTABLE,
    CSL__GEMM_AVX2,
    CSL__GEMM_AVX512,
    CSL__GEMM_IFMA_LOW,
    CSL__GEMM_IFMA_WIDE
};

/* Whether this build and this CPU have the path, whatever CONSILIUM_CPU says. */
bool csl__gemm_has(enum csl__gemm_kind kind);

/* The best path for a result that is needed mod 2^bits. */
enum csl__gemm_kind csl__gemm_kind_get(unsigned bits);

/* By that path, over the threads of the pool where it is worth it. */
void csl__windows_acc(const struct csl__windows *p, unsigned bits);

/* y[i] += d[i] w[i] mod 2^64 */
typedef void csl__mul_acc_fn(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t n);
csl__mul_acc_fn csl__mul_acc;        /* the best path */
csl__mul_acc_fn csl__mul_acc_avx512; /* needs AVX-512 F, DQ */

#endif
