/* Register tiles of up to 12 rows x 16 columns (24 accumulators of 32 registers), for a file that has defined
 * MUL_ACC(acc, d, w): the vector acc + d*w. The accumulators are named variables, not an array, so that every
 * compiler keeps them in registers; k >= 1, so that gcc needs no second copy of them for an empty loop.
 */
#ifndef CSL_MPC_GEMM_AVX512_TILE_H
#define CSL_MPC_GEMM_AVX512_TILE_H

#include "mpc/gemm_tile.h"

#include <immintrin.h>

enum { ROWS = 12, COLS = 16 };

#define REP1(X) X(0)
#define REP2(X) REP1(X) X(1)
#define REP4(X) REP2(X) X(2) X(3)
#define REP8(X) REP4(X) X(4) X(5) X(6) X(7)
#define REP12(X) REP8(X) X(8) X(9) X(10) X(11)

static inline __m512i broadcast(uint64_t d) {
    return _mm512_set1_epi64((long long)d);
}

static inline void add_to(uint64_t *y, __m512i acc) {
    _mm512_storeu_si512(y, _mm512_add_epi64(_mm512_loadu_si512(y), acc));
}

/* clang-format off */
#define ROW_ZERO(r) __m512i a##r = _mm512_setzero_si512(), b##r = _mm512_setzero_si512();
#define ROW_STEP(r) v = broadcast(d[(r) * ldd + p]); a##r = MUL_ACC(a##r, v, w0); b##r = MUL_ACC(b##r, v, w1);
#define ROW_STORE(r) add_to(y + (r) * ldy, a##r); add_to(y + (r) * ldy + 8, b##r);

#define DEFINE_TILE(name, REP)                                                                               \
    static void name(uint64_t *y, size_t ldy, const uint64_t *d, size_t ldd, const uint64_t *w, size_t ldw,  \
                     size_t k) {                                                                             \
        REP(ROW_ZERO)                                                                                        \
        size_t p = 0;                                                                                        \
        do {                                                                                                 \
            __m512i w0 = _mm512_loadu_si512(w), w1 = _mm512_loadu_si512(w + 8), v;                           \
            REP(ROW_STEP)                                                                                    \
            w += ldw;                                                                                        \
        } while (++p < k);                                                                                   \
        REP(ROW_STORE)                                                                                       \
    }
/* clang-format on */

DEFINE_TILE(tile_12, REP12)
DEFINE_TILE(tile_8, REP8)
DEFINE_TILE(tile_4, REP4)
DEFINE_TILE(tile_2, REP2)
DEFINE_TILE(tile_1, REP1)

/* 1 to 12 rows as tiles of 12, 8, 4, 2 and 1 (csl__tile_fn). */
static void tile(uint64_t *y, size_t ldy, const uint64_t *d, size_t ldd, const uint64_t *w, size_t ldw,
                 size_t k, size_t rows) {
    if (rows == 12) {
        tile_12(y, ldy, d, ldd, w, ldw, k);
        return;
    }
    if (rows & 8) {
        tile_8(y, ldy, d, ldd, w, ldw, k);
        y += 8 * ldy, d += 8 * ldd;
    }
    if (rows & 4) {
        tile_4(y, ldy, d, ldd, w, ldw, k);
        y += 4 * ldy, d += 4 * ldd;
    }
    if (rows & 2) {
        tile_2(y, ldy, d, ldd, w, ldw, k);
        y += 2 * ldy, d += 2 * ldd;
    }
    if (rows & 1) {
        tile_1(y, ldy, d, ldd, w, ldw, k);
    }
}

#define COLUMN_LOAD(c) __m512i a##c = _mm512_loadu_si512(y + 8 * (c));
#define COLUMN_STEP(c) a##c = MUL_ACC(a##c, v, _mm512_loadu_si512(w + 8 * (c)));
#define COLUMN_STORE(c) _mm512_storeu_si512(y + 8 * (c), a##c);

/* One row of Y, 64 columns. */
static void gemv_64(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t ldw, size_t k) {
    REP8(COLUMN_LOAD)
    for (size_t p = 0; p < k; p++, w += ldw) {
        __m512i v = broadcast(d[p]);
        REP8(COLUMN_STEP)
    }
    REP8(COLUMN_STORE)
}

/* One row of Y, up to 8 columns. */
static void gemv_8(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t ldw, size_t k, size_t width) {
    __mmask8 columns = (__mmask8)(0xff >> (8 - width));
    __m512i acc = _mm512_maskz_loadu_epi64(columns, y);
    for (size_t p = 0; p < k; p++, w += ldw) {
        acc = MUL_ACC(acc, broadcast(d[p]), _mm512_maskz_loadu_epi64(columns, w));
    }
    _mm512_mask_storeu_epi64(y, columns, acc);
}

/* m = 1: streams W by whole cache lines, without a copy. */
static void gemv(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t k, size_t n) {
    size_t j = 0;
    for (; j + 64 <= n; j += 64) {
        gemv_64(y + j, d, w + j, n, k);
    }
    for (; j < n; j += 8) {
        gemv_8(y + j, d, w + j, n, k, n - j < 8 ? n - j : 8);
    }
}

#endif
