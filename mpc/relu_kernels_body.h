/* The kernels' C, compiled once for each instruction set: the includer defines CSL__KERNELS, the table's
 * name. */
#include "mpc/relu_kernels.h"

#include "crypto/secret.h"
#include "mpc/lanes.h"
#include "mpc/ring.h"

#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>

/* 64 elements: bit d[i] of a[i], gathered into one word. */
static inline uint64_t pick_bits(const uint64_t *a, const uint64_t *d) {
    const __m512i one = _mm512_set1_epi64(1);
    uint64_t out = 0;
    for (unsigned i = 0; i < 64; i += 8) {
        __m512i at = _mm512_sllv_epi64(one, _mm512_loadu_si512(d + i));
        out |= (uint64_t)_mm512_test_epi64_mask(_mm512_loadu_si512(a + i), at) << i;
    }
    return out;
}
#elif defined(__AVX2__)
#include <immintrin.h>

/* 64 elements: bit d[i] of a[i], gathered into one word. */
static inline uint64_t pick_bits(const uint64_t *a, const uint64_t *d) {
    uint64_t out = 0;
    for (unsigned i = 0; i < 64; i += 4) {
        __m256i top = _mm256_sub_epi64(_mm256_set1_epi64x(63), _mm256_loadu_si256((const __m256i *)(d + i)));
        __m256i bit = _mm256_sllv_epi64(_mm256_loadu_si256((const __m256i *)(a + i)), top);
        out |= (uint64_t)(unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(bit)) << i;
    }
    return out;
}
#else
static inline uint64_t pick_bits(const uint64_t *a, const uint64_t *d) {
    uint64_t out = 0;
    for (unsigned i = 0; i < 64; i++) {
        out = out >> 1 | (a[i] >> d[i]) << 63;
    }
    return out;
}
#endif

/* Bit `at` of 64 elements, gathered into one word. */
static inline uint64_t gather_block(const uint64_t *a, unsigned at) {
    uint64_t out = 0;
#if defined(__AVX512F__)
    const __m512i bit = _mm512_set1_epi64((long long)((uint64_t)1 << at));
    for (unsigned i = 0; i < 64; i += 8) {
        out |= (uint64_t)_mm512_test_epi64_mask(_mm512_loadu_si512(a + i), bit) << i;
    }
#elif defined(__AVX2__)
    const __m128i up = _mm_cvtsi32_si128(63 - (int)at);
    for (unsigned i = 0; i < 64; i += 4) {
        __m256i top = _mm256_sll_epi64(_mm256_loadu_si256((const __m256i *)(a + i)), up);
        out |= (uint64_t)(unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(top)) << i;
    }
#else
    for (unsigned i = 0; i < 64; i++) {
        out = out >> 1 | (a[i] >> at) << 63;
    }
#endif
    return out;
}

static void gather(uint64_t *plane, const uint64_t *in, size_t n, unsigned at) {
    size_t full = n / 64;
    for (size_t w = 0; w < full; w++) {
        plane[w] = gather_block(in + 64 * w, at);
    }
    if (n % 64 != 0) {
        plane[full] = 0;
        for (size_t i = 0; i < n % 64; i++) {
            plane[full] |= (in[64 * full + i] >> at & 1) << i;
        }
    }
}

static void shift_out(uint64_t *out, const uint64_t *z, size_t n, uint64_t add, unsigned bits,
                      unsigned shift) {
    uint64_t mask = csl_ring_mask(bits);
    CSL__LANES
    for (size_t i = 0; i < n; i++) {
        out[i] = ((z[i] + add) & mask) >> shift;
    }
}

/* T2. With T shifted by one, and a share of the constant 1 as T(-1), eq(v) is bit v of T ^ (T << 1 | 1),
 * which `edge` is left with. */
static inline void read_block(uint64_t *lt, uint64_t *eq, uint64_t edge[64], const uint64_t *table,
                              const uint64_t *c_high, unsigned shift, uint64_t mask, uint64_t one) {
    uint64_t digit[64];
    for (unsigned i = 0; i < 64; i++) {
        digit[i] = c_high[i] >> shift & mask;
    }
    *lt = pick_bits(table, digit);
    if (eq != NULL) {
        for (unsigned i = 0; i < 64; i++) {
            edge[i] = table[i] ^ (table[i] << 1 | one);
        }
        *eq = pick_bits(edge, digit);
    }
}

/* Bit v of a table of several words, and a share of the constant 1 before its first. */
static inline uint64_t bit_before(const uint64_t *table, uint64_t v, uint64_t one) {
    return v == 0 ? one : table[(v - 1) >> 6] >> ((v - 1) & 63) & 1;
}

/* T2 for digits of more than 6 bits. */
static void read_wide(uint64_t *lt, uint64_t *eq, const uint64_t *table, const uint64_t *c_high, size_t n,
                      unsigned shift, unsigned width, uint64_t one) {
    uint64_t mask = csl_ring_mask(width);
    for (size_t at = 0; at < n; at += 64) {
        size_t m = n - at < 64 ? n - at : 64;
        uint64_t below = 0, before = 0;
        for (size_t i = 0; i < m; i++) {
            const uint64_t *t = table + ((at + i) << (width - 6));
            uint64_t v = c_high[at + i] >> shift & mask;
            below |= (t[v >> 6] >> (v & 63) & 1) << i;
            before |= bit_before(t, v, one) << i;
        }
        lt[at / 64] = below;
        if (eq != NULL) {
            eq[at / 64] = below ^ before;
        }
    }
}

static void read_table(uint64_t *lt, uint64_t *eq, const uint64_t *table, const uint64_t *c_high, size_t n,
                       unsigned shift, unsigned width, uint64_t one) {
    if (width > 6) {
        read_wide(lt, eq, table, c_high, n, shift, width, one);
        return;
    }
    uint64_t mask = csl_ring_mask(width);
    size_t full = n / 64;
    uint64_t edge[64];
    for (size_t w = 0; w < full; w++) {
        read_block(lt + w, eq == NULL ? NULL : eq + w, edge, table + 64 * w, c_high + 64 * w, shift, mask,
                   one);
    }
    if (n % 64 != 0) {
        uint64_t last_table[64] = {0}, last_c[64] = {0};
        memcpy(last_table, table + 64 * full, n % 64 * sizeof *table);
        memcpy(last_c, c_high + 64 * full, n % 64 * sizeof *c_high);
        read_block(lt + full, eq == NULL ? NULL : eq + full, edge, last_table, last_c, shift, mask, one);
        csl_wipe(last_table, sizeof last_table);
    }
    if (eq != NULL) {
        csl_wipe(edge, sizeof edge);
    }
}

enum { BLOCK = 8 }; /* words */

#define UNROLL _Pragma("GCC unroll 8")

struct planes {
    const uint64_t *m;
    const uint64_t *products;
    unsigned n_inputs;
    size_t n_words; /* of u and lt */
    size_t stride;  /* between planes of m and products */
};

/* The product of masks on a plane, from word `at` on. */
static inline const uint64_t *plane(const struct planes *p, unsigned i, size_t at) {
    return i < p->n_inputs ? p->m + i * p->stride + at : p->products + (i - p->n_inputs) * p->stride + at;
}

/* T3 for nb words: each product of (u ^ m) is the sum, over all subsets of its factors, of the product of the
 * subset's masks and of the other factors' u. The number of digits is a constant where this is inlined, so
 * that everything stays in registers. */
static inline __attribute__((always_inline)) void combine_block(uint64_t *lt, const uint64_t *u,
                                                                const struct csl__products *p,
                                                                const struct planes *planes, size_t at,
                                                                size_t nb, uint64_t ones, unsigned n_e) {
    uint64_t open[CSL__MAX_SETS][BLOCK], constant[BLOCK], sum[BLOCK];
    const unsigned all = (1u << n_e) - 1;
    for (size_t i = 0; i < nb; i++) {
        open[0][i] = UINT64_MAX;
        constant[i] = ones;
        sum[i] = lt[at + i];
    }
    UNROLL
    for (unsigned set = 1; set <= all; set++) {
        const uint64_t *last = u + (unsigned)__builtin_ctz(set) * planes->n_words + at;
        for (size_t i = 0; i < nb; i++) {
            open[set][i] = open[set & (set - 1)][i] & last[i];
        }
    }
    UNROLL
    for (unsigned low = 0; low < n_e; low++) {
        const uint64_t *l = u + (n_e + low) * planes->n_words + at;
        unsigned high = all & ~((1u << low) - 1);
        UNROLL
        for (unsigned set = 0; set <= all; set += 1u << low) {
            const uint64_t *e_mask = set == 0 ? constant : plane(planes, p->e_plane[set], at);
            const uint64_t *l_mask = plane(planes, p->l_plane[low][set], at);
            for (size_t i = 0; i < nb; i++) {
                sum[i] ^= open[high ^ set][i] & ((l[i] & e_mask[i]) ^ l_mask[i]);
            }
        }
    }
    memcpy(lt + at, sum, nb * sizeof *sum);
}

static inline __attribute__((always_inline)) void combine_digits(uint64_t *lt, const uint64_t *u,
                                                                 const struct csl__products *p,
                                                                 const struct planes *planes, uint64_t ones,
                                                                 unsigned n_e) {
    size_t at = 0;
    for (; at + BLOCK <= planes->n_words; at += BLOCK) {
        combine_block(lt, u, p, planes, at, BLOCK, ones, n_e);
    }
    if (at < planes->n_words) {
        combine_block(lt, u, p, planes, at, planes->n_words - at, ones, n_e);
    }
}

static void combine(uint64_t *lt, const uint64_t *u, const uint64_t *m, const uint64_t *products,
                    const struct csl__products *p, size_t n_words, size_t stride, uint64_t ones) {
    const struct planes planes = {m, products, p->n_inputs, n_words, stride};
    switch (p->n_digits) {
    case 3:
        combine_digits(lt, u, p, &planes, ones, 2);
        break;
    case 4: /* k = 20 to 25 */
        combine_digits(lt, u, p, &planes, ones, 3);
        break;
    default:
        combine_digits(lt, u, p, &planes, ones, p->n_digits - 1);
    }
}

/* Up to 64 elements of T5. With m = e - 1 (all ones where e = 0), (1-e) x + (2e-1) y = (x & m) + ((y ^ m) -
 * m). */
static inline void finish_block(uint64_t *y, const struct csl__relu_finish *f, size_t at, size_t n,
                                bool wrap) {
    uint64_t e = f->e[at / 64], one = f->one, mask = csl_ring_mask(f->out_bits);
    unsigned k = f->k;
    const uint64_t *c = f->c_high + at, *b = f->beta + at, *r = f->r_high + at, *rb = f->r_beta + at;
    const uint64_t *s = wrap ? f->s + at : r, *sb = wrap ? f->s_beta + at : r;
    CSL__LANES
    for (size_t i = 0; i < n; i++) {
        uint64_t m = (e >> i & 1) - 1;
        uint64_t keep = (one & m) + ((b[i] ^ m) - m);
        uint64_t v = keep * c[i] - (r[i] & m) - ((rb[i] ^ m) - m);
        if (wrap) {
            uint64_t top_is_zero = (c[i] >> (k - 1) & 1) - 1;
            v += (((s[i] & m) + ((sb[i] ^ m) - m)) & top_is_zero) << k;
        }
        y[i] = v & mask;
    }
}

static void finish(uint64_t *y, const struct csl__relu_finish *f) {
    size_t at = 0;
    for (; f->s != NULL && at + 64 <= f->n; at += 64) {
        finish_block(y + at, f, at, 64, true);
    }
    for (; at < f->n; at += 64) {
        finish_block(y + at, f, at, f->n - at < 64 ? f->n - at : 64, f->s != NULL);
    }
}

/* ---- T8 ---- */

typedef uint64_t csl__lane[64]; /* one value of 64 elements */

/* The public coefficient of every monomial in lt: p[0] of the empty one, p[1 + i] of monomial i. lt is the
 * sum over low of l_low times the e's above it, each input being u + (1 - 2u) m. */
static inline void coefficients(csl__lane *p, const struct csl__relu_select *f, size_t at) {
    const struct csl__monomials *m = &f->monomials;
    unsigned n_e = m->n_digits - 1, all = (1u << n_e) - 1;
    csl__lane x[2 * CSL_WAN_MAX_DIGITS - 1]; /* inputs, as all ones or zero */
    for (unsigned j = 0; j < m->n_inputs; j++) {
        for (unsigned i = 0; i < 64; i++) {
            x[j][i] = 0 - (f->u[j * f->n_words + at / 64] >> i & 1);
        }
    }
    memset(p, 0, (m->n + 1) * sizeof *p);
    for (unsigned low = 0; low <= n_e; low++) {
        const uint64_t *l = x[n_e + low];
        for (unsigned set = 0; set <= all; set += 1u << low) {
            uint64_t *with_l = p[1 + m->l[low][set]], *without = p[set == 0 ? 0 : 1 + m->e[set]];
            csl__lane t;
            for (unsigned i = 0; i < 64; i++) {
                t[i] = 1;
            }
            for (unsigned e = low; e < n_e; e++) {
                uint64_t chosen = 0 - (uint64_t)(set >> e & 1);
                for (unsigned i = 0; i < 64; i++) { /* (1 - 2u) t, or u t */
                    t[i] = (((t[i] ^ x[e][i]) - x[e][i]) & chosen) | (t[i] & x[e][i] & ~chosen);
                }
            }
            for (unsigned i = 0; i < 64; i++) {
                with_l[i] = (t[i] ^ l[i]) - l[i];
                without[i] += t[i] & l[i];
            }
        }
    }
}

/* What a block of T8 sums up. */
struct select_sums {
    csl__lane q, qr, wrap; /* [s xor lt], [(s xor lt) r], [s lt] */
};

/* Up to 64 elements. */
static inline void select_block(uint64_t *y, const struct csl__relu_select *f, struct select_sums *sum,
                                size_t at, size_t n) {
    csl__lane p[CSL__MAX_MONOMIALS + 1];
    uint64_t one = f->one, mask = csl_ring_mask(f->out_bits);
    coefficients(p, f, at);
    for (size_t i = 0; i < n; i++) {
        uint64_t s = f->s[at + i], r = f->r[at + i], sr = f->s_r[at + i];
        sum->q[i] = s + p[0][i] * (one - 2 * s);
        sum->qr[i] = sr + p[0][i] * (r - 2 * sr);
        sum->wrap[i] = p[0][i] * s;
    }
    for (unsigned m = 0; m < f->monomials.n; m++) {
        size_t of_m = f->monomials.n * at + m * n;
        const uint64_t *a = f->a + of_m, *ar = f->a_r + of_m, *c = p[1 + m];
        for (size_t i = 0; i < n; i++) {
            sum->q[i] += c[i] * a[i];
            sum->qr[i] += c[i] * ar[i];
        }
        const uint64_t *sm = f->s_m == NULL ? NULL : f->s_m + of_m;
        for (size_t i = 0; sm != NULL && i < n; i++) {
            sum->wrap[i] += c[i] * sm[i];
        }
    }
    uint64_t has_wrap = f->s_m == NULL ? 0 : UINT64_MAX;
    CSL__LANES
    for (size_t i = 0; i < n; i++) { /* keep = q where c'_{k-1} is 1, else 1 - q */
        uint64_t low = (f->top[at + i] >> f->top_shift & 1) - 1, r = f->r[at + i];
        uint64_t keep = (one & low) + ((sum->q[i] ^ low) - low);
        uint64_t kept_r = (r & low) + ((sum->qr[i] ^ low) - low);
        y[i] = (keep * f->c[at + i] - kept_r + ((sum->wrap[i] & low & has_wrap) << f->k)) & mask;
    }
}

static void select_kept(uint64_t *y, const struct csl__relu_select *f) {
    struct select_sums sum;
    size_t at = 0;
    for (; at + 64 <= f->n; at += 64) {
        select_block(y + at, f, &sum, at, 64);
    }
    if (at < f->n) {
        select_block(y + at, f, &sum, at, f->n - at);
    }
    csl_wipe(&sum, sizeof sum);
}

const struct csl__relu_kernels CSL__KERNELS = {shift_out, gather, read_table, combine, finish, select_kept};
