/* AVX-512DQ path: vpmullq, three micro-operations on the two ports that also add: at most 3/4 of
 * its own peak once the sums are counted. */
#include "mpc/gemm_internal.h"

#if defined(__x86_64__)

#define MUL_ACC(acc, d, w) _mm512_add_epi64(acc, _mm512_mullo_epi64(d, w))
#include "mpc/gemm_avx512_tile.h"

void csl__windows_avx512(const struct csl__windows *p) {
    windows(p);
}

void csl__gemm_avx512(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n) {
    gemm(y, d, w, m, k, n);
}

void csl__mul_acc_avx512(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t n) {
    for (size_t i = 0; i < n; i += 8) {
        __mmask8 left = n - i < 8 ? (__mmask8)(0xff >> (8 - (n - i))) : 0xff;
        __m512i v = _mm512_maskz_loadu_epi64(left, y + i);
        v = MUL_ACC(v, _mm512_maskz_loadu_epi64(left, d + i), _mm512_maskz_loadu_epi64(left, w + i));
        _mm512_mask_storeu_epi64(y + i, left, v);
    }
}

#endif
