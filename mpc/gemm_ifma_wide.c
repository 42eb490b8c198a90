/* AVX-512 IFMA path for all 64 bits, for CPUs where vpmullq is three micro-operations: three vpmadd52 do what
 * it does with the addition. With x = x0 + 2^52 x1 and w = w0 + 2^52 w1,
 *     x w = lo52(x0 w0) + 2^52 (hi52(x0 w0) + x0 w1 + x1 w0)   mod 2^64,
 * and of what is multiplied by 2^52 only 12 bits count, hence of x0, w0 in the crossed products too. Both of
 * these come from one product: (a + 2^32 x1)(b + 2^32 w1) with a = x mod 2^12, b = w mod 2^12 holds a w1 + b
 * x1 in its bits from 32 on, above the sums of at most 256 a b. Tiles of 4 rows x 16 columns, three
 * accumulators a vector. */
#include "mpc/gemm_internal.h"

#if defined(__x86_64__)

#include "crypto/secret.h"

#include <immintrin.h>
#include <string.h>

enum { ROWS = 4, COLS = 16, K_BLOCK = 128 }; /* 32 KB of W and its folded words stay in L1 */
_Static_assert(K_BLOCK <= 256, "sums of products of 12 bits stay below 2^32");

/* The 12 lowest and the 12 highest bits, these from bit 32 on. */
static inline __m512i fold(__m512i x) {
    __m512i low = _mm512_and_si512(x, _mm512_set1_epi64(0xfff));
    return _mm512_or_si512(low, _mm512_slli_epi64(_mm512_srli_epi64(x, 52), 32));
}

static void fold_all(uint64_t *out, const uint64_t *in, size_t n) {
    for (size_t i = 0; i < n; i += 8) {
        __mmask8 left = n - i < 8 ? (__mmask8)(0xff >> (8 - (n - i))) : 0xff;
        _mm512_mask_storeu_epi64(out + i, left, fold(_mm512_maskz_loadu_epi64(left, in + i)));
    }
}

/* COLS words of W and COLS folded ones a row; zeros from column n on. */
static void copy_panel(uint64_t *panel, const uint64_t *w, size_t ldw, size_t k, size_t n) {
    __mmask8 first = (__mmask8)(n < 8 ? 0xff >> (8 - n) : 0xff);
    __mmask8 second = (__mmask8)(n <= 8 ? 0 : n < COLS ? 0xff >> (COLS - n) : 0xff);
    for (size_t p = 0; p < k; p++, panel += 2 * COLS, w += ldw) {
        __m512i a = _mm512_maskz_loadu_epi64(first, w), b = _mm512_maskz_loadu_epi64(second, w + 8);
        _mm512_store_si512(panel, a);
        _mm512_store_si512(panel + 8, b);
        _mm512_store_si512(panel + 16, fold(a));
        _mm512_store_si512(panel + 24, fold(b));
    }
}

static inline __m512i broadcast(uint64_t d) {
    return _mm512_set1_epi64((long long)d);
}

static inline void add_to(uint64_t *y, __mmask8 columns, __m512i low, __m512i high, __m512i crossed) {
    high = _mm512_slli_epi64(_mm512_add_epi64(high, _mm512_srli_epi64(crossed, 32)), 52);
    __m512i sum = _mm512_add_epi64(_mm512_maskz_loadu_epi64(columns, y), _mm512_add_epi64(low, high));
    _mm512_mask_storeu_epi64(y, columns, sum);
}

/* What a tile reads: rows of D and of its folded words, at the same places. */
struct rows {
    const uint64_t *d, *folded;
    size_t ld;
};

/* clang-format off */
/* X(row, distance from the first row) */
#define REP1(X) X(0, 0)
#define REP2(X) REP1(X) X(1, ld)
#define REP3(X) REP2(X) X(2, 2 * ld)
#define REP4(X) REP3(X) X(3, ld3)
#define IN_REGISTER(v) __asm__("" : "+v"(v)) /* gcc would rather load it again for each use */
#define ZERO(r, away) __m512i la##r = _mm512_setzero_si512(), lb##r = la##r, ha##r = la##r, hb##r = la##r, ca##r = la##r, cb##r = la##r;
#define STEP(r, away)                                                                                              \
    v = broadcast(d[away]);                                                                    \
    la##r = _mm512_madd52lo_epu64(la##r, v, w0); lb##r = _mm512_madd52lo_epu64(lb##r, v, w1);                \
    ha##r = _mm512_madd52hi_epu64(ha##r, v, w0); hb##r = _mm512_madd52hi_epu64(hb##r, v, w1);                \
    v = broadcast(f[away]);                                                               \
    ca##r = _mm512_madd52lo_epu64(ca##r, v, f0); cb##r = _mm512_madd52lo_epu64(cb##r, v, f1);
#define STORE(r, away)                                                                                             \
    add_to(y + (r) * ldy, first, la##r, ha##r, ca##r);                                                       \
    add_to(y + (r) * ldy + 8, second, lb##r, hb##r, cb##r);

#define DEFINE_TILE(rows_)                                                                                   \
    static void tile_##rows_(uint64_t *y, size_t ldy, const struct rows *x, const uint64_t *panel, size_t k, \
                             __mmask8 first, __mmask8 second) {                                              \
        const uint64_t *d = x->d, *f = x->folded;                                                            \
        const size_t ld = x->ld, ld3 = 3 * ld;                                                               \
        REP##rows_(ZERO)                                                                                     \
        for (; k > 0; k--, panel += 2 * COLS, d++, f++) {                                                    \
            __m512i w0 = _mm512_load_si512(panel), w1 = _mm512_load_si512(panel + 8), v;                     \
            __m512i f0 = _mm512_load_si512(panel + 16), f1 = _mm512_load_si512(panel + 24);                  \
            IN_REGISTER(w0); IN_REGISTER(w1); IN_REGISTER(f0); IN_REGISTER(f1);                              \
            REP##rows_(STEP)                                                                                 \
        }                                                                                                    \
        (void)ld3;                                                                                           \
        (void)ld;                                                                                            \
        REP##rows_(STORE)                                                                                    \
    }
/* clang-format on */

DEFINE_TILE(1)
DEFINE_TILE(2)
DEFINE_TILE(3)
DEFINE_TILE(4)

typedef void tile_fn(uint64_t *y, size_t ldy, const struct rows *x, const uint64_t *panel, size_t k,
                     __mmask8 first, __mmask8 second);
static tile_fn *const tiles[ROWS] = {tile_1, tile_2, tile_3, tile_4};

/* n columns of all rows, up to COLS. */
static void panel_product(const struct csl__windows *g, size_t j, const struct rows *x, const uint64_t *panel,
                          size_t k) {
    size_t n = g->n - j < COLS ? g->n - j : COLS;
    __mmask8 first = (__mmask8)(n < 8 ? 0xff >> (8 - n) : 0xff);
    __mmask8 second = (__mmask8)(n <= 8 ? 0 : n < COLS ? 0xff >> (COLS - n) : 0xff);
    for (size_t i = 0; i < g->wide; i += ROWS) {
        size_t rows = g->wide - i < ROWS ? g->wide - i : ROWS;
        const struct rows here = {x->d + i * x->ld, x->folded + i * x->ld, x->ld};
        tiles[rows - 1](g->y + i * g->ldy + j, g->ldy, &here, panel, k, first, second);
    }
}

/* Dense products of some rows; the folded words of D take as much memory as D. */
static bool product(const struct csl__windows *g) {
    enum { LEAST = 8 };
    _Alignas(64) uint64_t panel[K_BLOCK * 2 * COLS];
    bool dense = g->pictures * g->high == 1 && g->runs == 1 && g->d_right == g->run;
    uint64_t *folded = dense && g->wide >= LEAST ? csl_secret_alloc(g->wide * g->run, sizeof *folded) : NULL;
    if (folded == NULL) {
        return false;
    }
    fold_all(folded, g->d, g->wide * g->run);
    size_t blocks = (g->run - 1) / K_BLOCK + 1, step = (g->run - 1) / blocks + 1;
    for (size_t p = 0; p < g->run; p += step) {
        size_t k = g->run - p < step ? g->run - p : step;
        const struct rows x = {g->d + p, folded + p, g->d_right};
        for (size_t j = 0; j < g->n; j += COLS) {
            copy_panel(panel, g->w + p * g->ldw + j, g->ldw, k, g->n - j < COLS ? g->n - j : COLS);
            panel_product(g, j, &x, panel, k);
        }
    }
    csl_wipe(panel, step * 2 * COLS * sizeof *panel);
    csl_secret_free(folded);
    return true;
}

void csl__windows_ifma_wide(const struct csl__windows *p) {
    if (!product(p)) {
        csl__windows_avx512(p);
    }
}

void csl__gemm_ifma_wide(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n) {
    if (m > 0 && k > 0 && n > 0) {
        const struct csl__windows p = csl__dense(y, d, w, m, k, n);
        csl__windows_ifma_wide(&p);
    }
}

#endif
