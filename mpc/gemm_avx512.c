/* AVX-512DQ path: vpmullq, three micro-operations on the two ports that also add: at most 3/4 of
 * its own peak once the sums are counted. */
#include "mpc/gemm_internal.h"

#if defined(__x86_64__)

#define MUL_ACC(acc, d, w) _mm512_add_epi64(acc, _mm512_mullo_epi64(d, w))
#include "mpc/gemm_avx512_tile.h"

void csl__gemm_avx512(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n) {
    if (m == 1) {
        gemv(y, d, w, k, n);
    } else {
        csl__tiled_product(y, d, w, m, k, n, tile, ROWS, COLS);
    }
}

#endif
