/* AVX2 path. There is no 64-bit multiplication: with d = dl + 2^32 dh and w = wl + 2^32 wh,
 *     d w = dl wl + 2^32 (dl wh + dh wl)   mod 2^64.
 * vpmuludq gives dl wl; vpmulld of w with the swapped halves of d gives both cross terms mod 2^32 side by
 * side. They are summed in accumulators of their own and put together once at the end. Tiles of 3 rows x 8
 * columns (12 accumulators of 16 registers). */
#include "mpc/gemm_internal.h"

#if defined(__x86_64__)

#include "mpc/gemm_tile.h"

#include <immintrin.h>

#define UNROLL _Pragma("GCC unroll 16")

enum { ROWS = 3, COLS = 8, GEMV_VECTORS = 4 };

static inline __m256i load(const uint64_t *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

/* *y += low + 2^32 (sum of the 32-bit halves of cross) */
static inline void add_to(uint64_t *y, __m256i low, __m256i cross) {
    __m256i swapped = _mm256_slli_epi64(cross, 32);
    __m256i high = _mm256_add_epi32(swapped, _mm256_andnot_si256(_mm256_set1_epi64x(0xffffffff), cross));
    _mm256_storeu_si256((__m256i *)y, _mm256_add_epi64(load(y), _mm256_add_epi64(low, high)));
}

/* low += the products of the low halves, cross += both cross terms */
static inline __attribute__((always_inline)) void mul_acc(__m256i *low, __m256i *cross, __m256i d,
                                                          __m256i d_swapped, __m256i w) {
    *low = _mm256_add_epi64(*low, _mm256_mul_epu32(d, w));
    *cross = _mm256_add_epi32(*cross, _mm256_mullo_epi32(d_swapped, w));
}

static inline __m256i broadcast(uint64_t d) {
    return _mm256_set1_epi64x((long long)d);
}

static inline __m256i swap_halves(__m256i d) {
    return _mm256_shuffle_epi32(d, 0xb1);
}

/* `rows` is a constant at every call, so that the accumulators live in registers. */
static inline __attribute__((always_inline)) void tile_rows(uint64_t *y, size_t ldy, const uint64_t *d,
                                                            size_t ldd, const uint64_t *w, size_t ldw,
                                                            size_t k, const size_t rows) {
    __m256i low[ROWS][2], cross[ROWS][2];
    UNROLL for (size_t r = 0; r < rows; r++) {
        low[r][0] = low[r][1] = cross[r][0] = cross[r][1] = _mm256_setzero_si256();
    }
    for (size_t p = 0; p < k; p++, w += ldw) {
        __m256i w0 = load(w), w1 = load(w + 4);
        UNROLL for (size_t r = 0; r < rows; r++) {
            __m256i v = broadcast(d[r * ldd + p]), s = swap_halves(v);
            mul_acc(&low[r][0], &cross[r][0], v, s, w0);
            mul_acc(&low[r][1], &cross[r][1], v, s, w1);
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++) {
        add_to(y + r * ldy, low[r][0], cross[r][0]);
        add_to(y + r * ldy + 4, low[r][1], cross[r][1]);
    }
}

static void tile(uint64_t *y, size_t ldy, const uint64_t *d, size_t ldd, const uint64_t *w, size_t ldw,
                 size_t k, size_t rows) {
    if (rows == 3) {
        tile_rows(y, ldy, d, ldd, w, ldw, k, 3);
    } else if (rows == 2) {
        tile_rows(y, ldy, d, ldd, w, ldw, k, 2);
    } else {
        tile_rows(y, ldy, d, ldd, w, ldw, k, 1);
    }
}

/* One row of Y, 16 columns at a time: streams W by whole cache lines, without a copy. Returns the columns
 * done. */
static size_t gemv(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t k, size_t n) {
    size_t j = 0;
    for (; j + 4 * GEMV_VECTORS <= n; j += 4 * GEMV_VECTORS) {
        __m256i low[GEMV_VECTORS], cross[GEMV_VECTORS];
        UNROLL for (size_t c = 0; c < GEMV_VECTORS; c++) {
            low[c] = cross[c] = _mm256_setzero_si256();
        }
        const uint64_t *row = w + j;
        for (size_t p = 0; p < k; p++, row += n) {
            __m256i v = broadcast(d[p]), s = swap_halves(v);
            UNROLL for (size_t c = 0; c < GEMV_VECTORS; c++) {
                mul_acc(&low[c], &cross[c], v, s, load(row + 4 * c));
            }
        }
        UNROLL for (size_t c = 0; c < GEMV_VECTORS; c++) {
            add_to(y + j + 4 * c, low[c], cross[c]);
        }
    }
    return j;
}

void csl__gemm_avx2(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n) {
    size_t first = m == 1 ? gemv(y, d, w, k, n) : 0;
    csl__tiled_product(y, d, w, m, k, n, first, tile, ROWS, COLS);
}

#endif
