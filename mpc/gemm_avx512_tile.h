/* Register tiles of 1 to 12 rows x 16 columns (24 accumulators of 32 registers), for a file that has defined
 * MUL_ACC(acc, d, w): the vector acc + d*w. The accumulators are named variables, not an array, so that every
 * compiler keeps them in registers.
 */
#ifndef CSL_MPC_GEMM_AVX512_TILE_H
#define CSL_MPC_GEMM_AVX512_TILE_H

#include "mpc/gemm_tile.h"

#include <immintrin.h>

enum { ROWS = 12, COLS = 16 };

/* X(row, pointer to the first of three rows, distance from it) */
#define REP1(X) X(0, d0, 0)
#define REP2(X) REP1(X) X(1, d0, ld1)
#define REP3(X) REP2(X) X(2, d0, ld2)
#define REP4(X) REP3(X) X(3, d1, 0)
#define REP5(X) REP4(X) X(4, d1, ld1)
#define REP6(X) REP5(X) X(5, d1, ld2)
#define REP7(X) REP6(X) X(6, d2, 0)
#define REP8(X) REP7(X) X(7, d2, ld1)
#define REP9(X) REP8(X) X(8, d2, ld2)
#define REP10(X) REP9(X) X(9, d3, 0)
#define REP11(X) REP10(X) X(10, d3, ld1)
#define REP12(X) REP11(X) X(11, d3, ld2)

static inline __m512i broadcast(uint64_t d) {
    return _mm512_set1_epi64((long long)d);
}

static inline void add_to(uint64_t *y, __m512i acc) {
    _mm512_storeu_si512(y, _mm512_add_epi64(_mm512_loadu_si512(y), acc));
}

/* gcc would rather load a vector again for each use, and the loads would be the limit. */
#define IN_REGISTER(v) __asm__("" : "+v"(v))

/* clang-format off */
#define ROW_ZERO(r, base, away) __m512i a##r = _mm512_setzero_si512(), b##r = _mm512_setzero_si512();
#define ROW_STEP(r, base, away) v = broadcast((base)[away]); a##r = MUL_ACC(a##r, v, w0); b##r = MUL_ACC(b##r, v, w1);
#define ROW_STORE(r, base, away) add_to(y + (r) * ldy, a##r); add_to(y + (r) * ldy + 8, b##r);

#define DEFINE_TILE(rows)                                                                                    \
    static void tile_##rows(uint64_t *y, size_t ldy, const uint64_t *d, const struct csl__block *block,      \
                            const uint64_t *w, size_t ldw) {                                                 \
        const size_t ld1 = block->d_right, ld2 = 2 * ld1;                                                    \
        REP##rows(ROW_ZERO)                                                                                  \
        for (size_t s = 0; s < block->runs; s++, d += block->d_step) {                                       \
            const uint64_t *d0 = d, *d1 = d0 + 3 * ld1, *d2 = d1 + 3 * ld1, *d3 = d2 + 3 * ld1;              \
            for (size_t p = block->run; p > 0; p--, w += ldw, d0++, d1++, d2++, d3++) {                      \
                __m512i w0 = _mm512_loadu_si512(w), w1 = _mm512_loadu_si512(w + 8), v;                       \
                IN_REGISTER(w0);                                                                             \
                IN_REGISTER(w1);                                                                             \
                REP##rows(ROW_STEP)                                                                          \
            }                                                                                                \
        }                                                                                                    \
        (void)ld2;                                                                                           \
        REP##rows(ROW_STORE)                                                                                 \
    }
/* clang-format on */

DEFINE_TILE(1)
DEFINE_TILE(2)
DEFINE_TILE(3)
DEFINE_TILE(4)
DEFINE_TILE(5)
DEFINE_TILE(6)
DEFINE_TILE(7)
DEFINE_TILE(8)
DEFINE_TILE(9)
DEFINE_TILE(10)
DEFINE_TILE(11)
DEFINE_TILE(12)

typedef void tile_fn(uint64_t *y, size_t ldy, const uint64_t *d, const struct csl__block *block,
                     const uint64_t *w, size_t ldw);
static tile_fn *const tiles[ROWS] = {tile_1, tile_2, tile_3, tile_4,  tile_5,  tile_6,
                                     tile_7, tile_8, tile_9, tile_10, tile_11, tile_12};

static void tile(uint64_t *y, size_t ldy, const uint64_t *d, const struct csl__block *block,
                 const uint64_t *w, size_t ldw, size_t rows) {
    tiles[rows - 1](y, ldy, d, block, w, ldw);
}

#define REP8_COLUMNS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define COLUMN_LOAD(c) __m512i a##c = _mm512_loadu_si512(y + 8 * (c));
#define COLUMN_STEP(c) a##c = MUL_ACC(a##c, v, _mm512_loadu_si512(w + 8 * (c)));
#define COLUMN_STORE(c) _mm512_storeu_si512(y + 8 * (c), a##c);

/* One row of Y, 64 columns. */
static void gemv_64(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t ldw, size_t k) {
    REP8_COLUMNS(COLUMN_LOAD)
    for (size_t p = 0; p < k; p++, w += ldw) {
        __m512i v = broadcast(d[p]);
        REP8_COLUMNS(COLUMN_STEP)
    }
    REP8_COLUMNS(COLUMN_STORE)
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

/* y[0..n) += d[0..8) . W, n a multiple of 8. */
static void gemv_8_rows(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t ldw, size_t n) {
    const __m512i d0 = broadcast(d[0]), d1 = broadcast(d[1]), d2 = broadcast(d[2]), d3 = broadcast(d[3]);
    const __m512i d4 = broadcast(d[4]), d5 = broadcast(d[5]), d6 = broadcast(d[6]), d7 = broadcast(d[7]);
    for (size_t j = 0; j < n; j += 8, w += 8) {
        __m512i a = _mm512_loadu_si512(y + j), b = _mm512_setzero_si512();
        a = MUL_ACC(a, d0, _mm512_loadu_si512(w));
        b = MUL_ACC(b, d1, _mm512_loadu_si512(w + ldw));
        a = MUL_ACC(a, d2, _mm512_loadu_si512(w + 2 * ldw));
        b = MUL_ACC(b, d3, _mm512_loadu_si512(w + 3 * ldw));
        a = MUL_ACC(a, d4, _mm512_loadu_si512(w + 4 * ldw));
        b = MUL_ACC(b, d5, _mm512_loadu_si512(w + 5 * ldw));
        a = MUL_ACC(a, d6, _mm512_loadu_si512(w + 6 * ldw));
        b = MUL_ACC(b, d7, _mm512_loadu_si512(w + 7 * ldw));
        _mm512_storeu_si512(y + j, _mm512_add_epi64(a, b));
    }
}

/* y += d . W, columns of whole cache lines at a time. */
static void gemv_columns(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t ldw, size_t k, size_t n) {
    size_t j = 0;
    for (; j + 64 <= n; j += 64) {
        gemv_64(y + j, d, w + j, ldw, k);
    }
    for (; j < n; j += 8) {
        gemv_8(y + j, d, w + j, ldw, k, n - j < 8 ? n - j : 8);
    }
}

/* One row: streams W without a copy; by its rows where these are on pages of their own. */
static void gemv(const struct csl__windows *p) {
    enum { FAR = 256 };
    size_t k = 0, n = p->n / 8 * 8;
    for (; p->ldw >= FAR && k + 8 <= p->run; k += 8) {
        gemv_8_rows(p->y, p->d + k, p->w + k * p->ldw, p->ldw, n);
    }
    if (k != 0 && n < p->n) {
        gemv_8(p->y + n, p->d, p->w + n, p->ldw, k, p->n - n);
    }
    gemv_columns(p->y, p->d + k, p->w + k * p->ldw, p->ldw, p->run - k, p->n);
}

static void windows(const struct csl__windows *p) {
    if (p->pictures * p->high * p->wide == 1 && p->runs == 1) {
        gemv(p);
    } else {
        csl__tiled_product(p, tile, ROWS, COLS);
    }
}

static void gemm(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n) {
    if (m > 0 && k > 0 && n > 0) {
        const struct csl__windows p = csl__dense(y, d, w, m, k, n);
        windows(&p);
    }
}

#endif
