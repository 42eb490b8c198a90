/* AVX-512 IFMA path for rings of at most 52 bits: vpmadd52luq adds the low 52 bits of the product of two
 * 52-bit numbers to a 64-bit accumulator. 2^52 divides 2^64, so accumulators may wrap and stay right mod
 * 2^52. One micro-operation, where vpmullq and an addition are four. */
#include "mpc/gemm_internal.h"

#if defined(__x86_64__)

#define MUL_ACC(acc, d, w) _mm512_madd52lo_epu64(acc, d, w)
#include "mpc/gemm_avx512_tile.h"

void csl__windows_ifma_low(const struct csl__windows *p) {
    windows(p);
}

void csl__gemm_ifma_low(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n) {
    gemm(y, d, w, m, k, n);
}

#endif
