/* AVX-512DQ path: vpmullq on register tiles of 12 rows x 16 columns (24 accumulators of 32 registers). */
#include "mpc/gemm_internal.h"

#if defined(__x86_64__)

#include "mpc/gemm_tile.h"

#include <immintrin.h>

#define UNROLL _Pragma("GCC unroll 16")

enum { ROWS = 12, COLS = 16, GEMV_VECTORS = 8 };

/* `rows` is a constant at every call, so that acc lives in registers. */
static inline __attribute__((always_inline)) void tile_rows(uint64_t *y, size_t ldy, const uint64_t *d,
                                                            size_t ldd, const uint64_t *w, size_t ldw,
                                                            size_t k, const size_t rows) {
    __m512i acc[ROWS][2];
    UNROLL for (size_t r = 0; r < rows; r++) {
        acc[r][0] = acc[r][1] = _mm512_setzero_si512();
    }
    for (size_t p = 0; p < k; p++, w += ldw) {
        __m512i w0 = _mm512_loadu_si512(w), w1 = _mm512_loadu_si512(w + 8);
        UNROLL for (size_t r = 0; r < rows; r++) {
            __m512i v = _mm512_set1_epi64((long long)d[r * ldd + p]);
            acc[r][0] = _mm512_add_epi64(acc[r][0], _mm512_mullo_epi64(v, w0));
            acc[r][1] = _mm512_add_epi64(acc[r][1], _mm512_mullo_epi64(v, w1));
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++) {
        uint64_t *row = y + r * ldy;
        _mm512_storeu_si512(row, _mm512_add_epi64(_mm512_loadu_si512(row), acc[r][0]));
        _mm512_storeu_si512(row + 8, _mm512_add_epi64(_mm512_loadu_si512(row + 8), acc[r][1]));
    }
}

/* Any number of rows as tiles of 12, 8, 4, 2 and 1. */
static void tile(uint64_t *y, size_t ldy, const uint64_t *d, size_t ldd, const uint64_t *w, size_t ldw,
                 size_t k, size_t rows) {
    if (rows == 12) {
        tile_rows(y, ldy, d, ldd, w, ldw, k, 12);
        return;
    }
    if (rows & 8) {
        tile_rows(y, ldy, d, ldd, w, ldw, k, 8);
        y += 8 * ldy, d += 8 * ldd;
    }
    if (rows & 4) {
        tile_rows(y, ldy, d, ldd, w, ldw, k, 4);
        y += 4 * ldy, d += 4 * ldd;
    }
    if (rows & 2) {
        tile_rows(y, ldy, d, ldd, w, ldw, k, 2);
        y += 2 * ldy, d += 2 * ldd;
    }
    if (rows & 1) {
        tile_rows(y, ldy, d, ldd, w, ldw, k, 1);
    }
}

/* One row of Y, 64 columns at a time: streams W by whole cache lines, without a copy. Returns the columns
 * done. */
static size_t gemv(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t k, size_t n) {
    size_t j = 0;
    for (; j + 8 * GEMV_VECTORS <= n; j += 8 * GEMV_VECTORS) {
        __m512i acc[GEMV_VECTORS];
        UNROLL for (size_t c = 0; c < GEMV_VECTORS; c++) {
            acc[c] = _mm512_loadu_si512(y + j + 8 * c);
        }
        const uint64_t *row = w + j;
        for (size_t p = 0; p < k; p++, row += n) {
            __m512i v = _mm512_set1_epi64((long long)d[p]);
            UNROLL for (size_t c = 0; c < GEMV_VECTORS; c++) {
                acc[c] = _mm512_add_epi64(acc[c], _mm512_mullo_epi64(v, _mm512_loadu_si512(row + 8 * c)));
            }
        }
        UNROLL for (size_t c = 0; c < GEMV_VECTORS; c++) {
            _mm512_storeu_si512(y + j + 8 * c, acc[c]);
        }
    }
    return j;
}

void csl__gemm_avx512(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n) {
    size_t first = m == 1 ? gemv(y, d, w, k, n) : 0;
    csl__tiled_product(y, d, w, m, k, n, first, tile, ROWS, COLS);
}

#endif
