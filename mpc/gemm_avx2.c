/* AVX2 path. There is no 64-bit multiplication: with d = dl + 2^32 dh and w = wl + 2^32 wh,
 *     d w = dl wl + 2^32 (dl wh + dh wl)   mod 2^64.
 * vpmuludq gives dl wl; vpmulld of w with the swapped halves of d gives both cross terms mod 2^32 side by
 * side. They are summed in accumulators of their own and put together once at the end. Tiles of 3 rows x 8
 * columns (12 accumulators of 16 registers). */
#include "mpc/gemm_internal.h"

#if defined(__x86_64__)

#include "mpc/gemm_tile.h"

#include <immintrin.h>

enum { ROWS = 3, COLS = 8 };

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

/* clang-format off */
#define REP1(X) X(0)
#define REP2(X) REP1(X) X(1)
#define REP3(X) REP2(X) X(2)
#define REP4(X) REP3(X) X(3)

#define ROW_ZERO(r) __m256i a##r = _mm256_setzero_si256(), b##r = a##r, ax##r = a##r, bx##r = a##r;
#define ROW_STEP(r)                                                                                          \
    v = broadcast(d[(r) * ldd + p]);                                                                         \
    s = swap_halves(v);                                                                                      \
    mul_acc(&a##r, &ax##r, v, s, w0);                                                                        \
    mul_acc(&b##r, &bx##r, v, s, w1);
#define ROW_STORE(r) add_to(y + (r) * ldy, a##r, ax##r); add_to(y + (r) * ldy + 4, b##r, bx##r);

#define DEFINE_TILE(name, REP)                                                                               \
    static void name(uint64_t *y, size_t ldy, const uint64_t *d, const struct csl__block *block,             \
                     const uint64_t *w, size_t ldw) {                                                        \
        const size_t ldd = block->d_right;                                                                   \
        REP(ROW_ZERO)                                                                                        \
        for (size_t t = 0; t < block->runs; t++, d += block->d_step) {                                       \
            for (size_t p = 0; p < block->run; p++, w += ldw) {                                              \
                __m256i w0 = load(w), w1 = load(w + 4), v, s;                                                \
                REP(ROW_STEP)                                                                                \
            }                                                                                                \
        }                                                                                                    \
        REP(ROW_STORE)                                                                                       \
    }
/* clang-format on */

DEFINE_TILE(tile_3, REP3)
DEFINE_TILE(tile_2, REP2)
DEFINE_TILE(tile_1, REP1)

static void tile(uint64_t *y, size_t ldy, const uint64_t *d, const struct csl__block *block,
                 const uint64_t *w, size_t ldw, size_t rows) {
    if (rows == 3) {
        tile_3(y, ldy, d, block, w, ldw);
    } else if (rows == 2) {
        tile_2(y, ldy, d, block, w, ldw);
    } else {
        tile_1(y, ldy, d, block, w, ldw);
    }
}

#define COLUMN_ZERO(c) __m256i a##c = _mm256_setzero_si256(), ax##c = a##c;
#define COLUMN_STEP(c) mul_acc(&a##c, &ax##c, v, s, load(w + 4 * (c)));
#define COLUMN_STORE(c) add_to(y + 4 * (c), a##c, ax##c);

/* One row of Y, 16 columns. */
static void gemv_16(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t ldw, size_t k) {
    REP4(COLUMN_ZERO)
    for (size_t p = 0; p < k; p++, w += ldw) {
        __m256i v = broadcast(d[p]), s = swap_halves(v);
        REP4(COLUMN_STEP)
    }
    REP4(COLUMN_STORE)
}

/* One row of Y, up to 4 columns. */
static void gemv_4(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t ldw, size_t k, size_t width) {
    uint64_t sum[4] = {0};
    __m256i columns = _mm256_cmpgt_epi64(broadcast(width), _mm256_setr_epi64x(0, 1, 2, 3));
    __m256i low = _mm256_setzero_si256(), cross = low;
    for (size_t p = 0; p < k; p++, w += ldw) {
        __m256i v = broadcast(d[p]);
        mul_acc(&low, &cross, v, swap_halves(v), _mm256_maskload_epi64((const long long *)w, columns));
    }
    add_to(sum, low, cross);
    for (size_t c = 0; c < width; c++) {
        y[c] += sum[c];
    }
}

/* One row: streams W, without a copy. */
static void gemv(const struct csl__windows *p) {
    size_t j = 0;
    for (; j + 16 <= p->n; j += 16) {
        gemv_16(p->y + j, p->d, p->w + j, p->ldw, p->run);
    }
    for (; j < p->n; j += 4) {
        gemv_4(p->y + j, p->d, p->w + j, p->ldw, p->run, p->n - j < 4 ? p->n - j : 4);
    }
}

void csl__windows_avx2(const struct csl__windows *p) {
    if (p->pictures * p->high * p->wide == 1 && p->runs == 1) {
        gemv(p);
    } else {
        csl__tiled_product(p, tile, ROWS, COLS);
    }
}

void csl__gemm_avx2(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n) {
    if (m > 0 && k > 0 && n > 0) {
        const struct csl__windows p = csl__dense(y, d, w, m, k, n);
        csl__windows_avx2(&p);
    }
}

#endif
