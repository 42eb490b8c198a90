/* Truncation and ReLU against the formula of step T5 with the masks and share bits that were actually drawn.
 */
#include "mpc/gemm_internal.h"
#include "mpc/pack.h"
#include "mpc/relu_kernels.h"
#include "parties.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bits that every party drops before the opening. */
static unsigned cut_of(const struct csl_demand *d) {
    return d->trunc.f - csl_demand_low_bits(d);
}

struct relu_case {
    struct csl_demand demand;
    uint64_t *z[CSL_MAX_PARTIES];
    uint64_t *y[CSL_MAX_PARTIES];
};

static enum csl_err run_relu(struct party *p) {
    struct relu_case *c = p->arg;
    unsigned me = p->s.self;
    return c->demand.kind == CSL_DEMAND_RELU ? csl_relu(&p->s, c->y[me], c->z[me], p->corr, 0)
                                             : csl_trunc(&p->s, c->y[me], c->z[me], p->corr, 0);
}

/* Fills z with the limits of the range, values about zero, and uniform ones. */
static void range_values(int64_t *z, size_t n, const struct csl_demand *d, uint32_t stream) {
    unsigned k = d->trunc.k, f = d->trunc.f, l = k + f;
    bool relu = d->kind == CSL_DEMAND_RELU;
    int64_t margin = f > CSL_GUARD_BITS ? (int64_t)1 << (f - 1) : 0;
    int64_t lo = (relu ? -((int64_t)1 << (l - 1)) : 1 - ((int64_t)1 << (l - 2))) + margin;
    int64_t hi = (relu ? ((int64_t)1 << (l - 1)) - ((int64_t)1 << f) : ((int64_t)1 << (l - 2)) - 1) - margin;
    int64_t unit = (int64_t)1 << f;
    const int64_t edges[] = {lo, lo + 1, hi, hi - 1, 0, 1, -1, unit, -unit, unit - 1, 1 - unit, unit + 1};
    uint64_t *random = alloc_words(n);
    test_random(random, n, 64, stream);
    for (size_t i = 0; i < n; i++) {
        int64_t v = i < 3 * 12 ? edges[i % 12] : lo + (int64_t)(random[i] % (uint64_t)(hi - lo + 1));
        z[i] = v < lo ? lo : v > hi ? hi : v;
    }
    free(random);
}

/* Of every other element the shares' low bits become all zero or all one where the sum permits it: the
 * farthest that the shift of single shares can be off. */
static void push_low_bits(struct relu_case *c, unsigned n_parties, size_t n) {
    uint64_t low = ((uint64_t)1 << cut_of(&c->demand)) - 1;
    for (size_t i = 0; i < n; i += 2) {
        for (unsigned p = 1; p < n_parties; p++) {
            uint64_t to = (i % 4 == 0 ? low : 0), change = to - (c->z[p][i] & low);
            c->z[p][i] += change;
            c->z[0][i] -= change;
        }
    }
}

/* What the shift adds to z: the centre less what single shares lose (T1). */
static int64_t lost(const struct relu_case *c, unsigned n_parties, size_t i) {
    uint64_t low = ((uint64_t)1 << cut_of(&c->demand)) - 1;
    int64_t centre = (int64_t)(n_parties * low / 2), sum = centre;
    for (unsigned p = 0; p < n_parties; p++) {
        sum -= (int64_t)((c->z[p][i] + (p == 0 ? (uint64_t)centre : 0)) & low);
    }
    return sum;
}

static void check_form(unsigned n_parties, struct csl_demand d, size_t batch, uint32_t salt) {
    size_t n = batch * d.count;
    unsigned f = d.trunc.f, l = d.trunc.k + f, o = d.trunc.out_bits;
    int64_t *z = calloc(n, sizeof *z);
    assert_non_null(z);
    range_values(z, n, &d, salt);
    struct relu_case c = {.demand = d};
    make_shares(c.z, n_parties, (const uint64_t *)z, n, salt % 2 == 0 ? l : 64, salt);
    alloc_shares(c.y, n_parties, n);
    push_low_bits(&c, n_parties, n);
    struct parties all;
    parties_init(&all, n_parties);
    parties_deal(&all, &d, 1, NULL, batch, salt);
    uint64_t *r = alloc_words(n), *got = alloc_words(n);
    join_field(r, &all, 0, 0); /* r is field 0 of both kinds */
    parties_run_ok(&all, run_relu, &c);
    join_shares(got, c.y, n_parties, n, o);
    for (size_t i = 0; i < n; i++) {
        int64_t added = (int64_t)((r[i] & csl_ring_mask(csl_demand_low_bits(&d))) << cut_of(&d));
        int64_t want = (z[i] + lost(&c, n_parties, i) + added) >> f;
        want = d.kind == CSL_DEMAND_RELU && want < 0 ? 0 : want;
        double exact = d.kind == CSL_DEMAND_RELU && z[i] < 0 ? 0 : ldexp((double)z[i], -(int)f);
        if (got[i] != ((uint64_t)want & csl_ring_mask(o))) {
            fail_msg("N=%u k=%u f=%u o=%u: z=%lld gives %llx instead of %lld", n_parties, d.trunc.k, f, o,
                     (long long)z[i], (unsigned long long)got[i], (long long)want);
        }
        assert_true(fabs((double)want - exact) < 1 + (f > CSL_GUARD_BITS ? n_parties / 32.0 : 0));
    }
    bool two = d.form == CSL_FORM_WAN || d.trunc.n_digits == 1;
    unsigned rounds = d.kind == CSL_DEMAND_TRUNC ? 1 : two ? 2 : 3;
    assert_int_equal(all.party[0].s.stats.rounds, rounds);
    parties_clear(&all);
    free_shares(c.z, n_parties);
    free_shares(c.y, n_parties);
    free(r);
    free(got);
    free(z);
}

static void check_case(unsigned n_parties, struct csl_demand d, size_t batch, uint32_t salt) {
    check_form(n_parties, d, batch, salt);
    if (d.kind == CSL_DEMAND_RELU) {
        check_form(n_parties, csl_demand_wan(d), batch, salt);
    }
}

static void all_small_widths(void **state) {
    (void)state;
    for (unsigned k = 2; k <= 12; k++) {
        for (unsigned f = 1; f <= 10; f++) {
            check_case(2, csl_demand_relu(100, k, f, 64), 1, k * 16 + f);
            check_case(3, csl_demand_relu(65, k, f, k), 2, k * 16 + f);
            check_case(2, csl_demand_trunc(70, k, f, k), 2, k * 16 + f);
        }
    }
}

static void every_k_and_f(void **state) {
    (void)state;
    for (unsigned k = 2; k <= 37; k++) {
        unsigned f = 1 + k * 7 % 25;
        check_case(2, csl_demand_relu(200, k, f, k + f), 1, k);
        check_case(3, csl_demand_relu(64, k, 62 - k, k + (64 - k) / 2), 2, k);
    }
    for (unsigned f = 1; f <= 60; f++) {
        check_case(2, csl_demand_relu(40, f <= 25 ? 37 : 62 - f, f, 64), 1, f);
        check_case(2, csl_demand_trunc(40, 62 - f, f, 64), 1, f);
        check_case(3, csl_demand_trunc(40, 2 + f % 3 * (60 - f) / 3, f, 63), 1, f);
    }
}

static void all_party_counts(void **state) {
    (void)state;
    const unsigned n[] = {2, 3, 5, 16};
    for (size_t i = 0; i < 4; i++) {
        check_case(n[i], csl_demand_relu(128, 27, 16, 43), 3, 1 + n[i]);
        check_case(n[i], csl_demand_relu(300, 24, 16, 64), 1, 2 + n[i]);
        check_case(n[i], csl_demand_trunc(129, 27, 16, 64), 2, 3 + n[i]);
    }
}

/* Rows that end within a word, and row counts: padding never leaks into results. */
static void all_row_lengths(void **state) {
    (void)state;
    for (uint32_t count = 1; count <= 130; count += 3) {
        check_case(2, csl_demand_relu(count, 20, 12, 40), 1 + count % 4, count);
    }
    check_case(2, csl_demand_relu(20000, 27, 16, 43), 1, 9);
    check_case(3, csl_demand_relu(1, 27, 16, 43), 100, 9);
}

static void uneven_digits(void **state) {
    (void)state;
    struct csl_demand d = csl_demand_relu(200, 13, 8, 30);
    d.trunc.n_digits = 6;
    const uint8_t widths[6] = {1, 2, 3, 4, 1, 1};
    memcpy(d.trunc.digit_bits, widths, 6);
    check_form(3, d, 2, 4);
    d.form = CSL_FORM_WAN;
    const uint8_t wan[][6] = {{1, 9, 1, 1}, {9, 1, 2}, {3, 9}, {1, 1, 1, 9}, {6, 2, 2, 2}, {5, 7}};
    for (size_t i = 0; i < 6; i++) {
        d.trunc.n_digits = (uint8_t)(i == 0 || i == 3 || i == 4 ? 4 : i == 1 ? 3 : 2);
        memcpy(d.trunc.digit_bits, wan[i], 6);
        check_form(2, d, 2, 4);
    }
    struct csl_demand tiny = csl_demand_relu(200, 3, 1, 4);
    tiny.trunc.n_digits = 2;
    tiny.trunc.digit_bits[0] = tiny.trunc.digit_bits[1] = 1;
    check_form(2, tiny, 1, 4);
}

/* c is uniform: chi-square over its top 8 bits and its low 8 bits, fixed seed. */
static double chi_square(const uint64_t *v, size_t n, unsigned shift) {
    size_t bin[256] = {0};
    for (size_t i = 0; i < n; i++) {
        bin[v[i] >> shift & 0xff]++;
    }
    double sum = 0, mean = (double)n / 256;
    for (size_t i = 0; i < 256; i++) {
        sum += ((double)bin[i] - mean) * ((double)bin[i] - mean) / mean;
    }
    return sum;
}

struct tap {
    uint64_t *sum; /* of both parties' c shares */
    size_t n;
    unsigned bits;
};

static void tap_c(void *arg, unsigned party, uint32_t round, const uint8_t *out, size_t n_bytes) {
    struct tap *t = arg;
    (void)party;
    (void)n_bytes;
    if (round == 1) {
        uint64_t *part = alloc_words(t->n);
        csl_unpack_bits(part, out, t->n, t->bits);
        csl_add_mod(t->sum, t->sum, part, t->n, t->bits);
        free(part);
    }
}

static void opened_c_is_uniform_and_rounding_unbiased(void **state) {
    (void)state;
    enum { N = 1 << 16 };
    struct csl_demand d = csl_demand_relu(N, 27, 16, 64);
    const uint64_t secret = (uint64_t)12345 << 16 | 0x4000; /* 12345.25 */
    uint64_t *z = alloc_words(N), *got = alloc_words(N);
    for (size_t i = 0; i < N; i++) {
        z[i] = secret;
    }
    struct relu_case c = {.demand = d};
    make_shares(c.z, 2, z, N, 43, 77);
    alloc_shares(c.y, 2, N);
    struct tap tap = {alloc_words(N), N, 27 + CSL_GUARD_BITS};
    struct parties all;
    parties_init(&all, 2);
    csl_mem_net_tap(all.net, tap_c, &tap);
    parties_deal(&all, &d, 1, NULL, 1, 77);
    parties_run_ok(&all, run_relu, &c);
    join_shares(got, c.y, 2, N, 64);
    size_t up = 0;
    for (size_t i = 0; i < N; i++) {
        assert_true(got[i] == 12345 || got[i] == 12346);
        up += got[i] == 12346;
    }
    /* 255 degrees of freedom: 360 is beyond five sigma; up is 1/4 within five sigma of 110 */
    assert_true(chi_square(tap.sum, N, 23) < 360);
    assert_true(chi_square(tap.sum, N, 0) < 360);
    assert_true(up > N / 4 - 560 && up < N / 4 + 560);
    assert_true(chi_square(z, N, 0) > 1e6); /* the test itself sees what is not uniform */
    parties_clear(&all);
    free_shares(c.z, 2);
    free_shares(c.y, 2);
    free(tap.sum);
    free(z);
    free(got);
}

/* 28 + 7 bits opened at k = 24, f = 16 with four digits; 63.4 bytes of corrections mod 2^64, 48.4 mod 2^40.
 */
static void cost(struct csl_demand d, size_t opened_bits) {
    struct relu_case c = {.demand = d};
    uint64_t z[64] = {0};
    make_shares(c.z, 2, z, 64, 40, 1);
    alloc_shares(c.y, 2, 64);
    struct parties all;
    parties_init(&all, 2);
    parties_deal(&all, &d, 1, NULL, 1, 1);
    parties_run_ok(&all, run_relu, &c);
    assert_int_equal(all.party[1].s.stats.bytes_per_peer, opened_bits * 8);
    parties_clear(&all);
    free_shares(c.z, 2);
    free_shares(c.y, 2);
}

static void costs(void **state) {
    (void)state;
    struct csl_demand d = csl_demand_relu(64, 24, 16, 64), narrow = csl_demand_relu(64, 24, 16, 40);
    assert_int_equal(d.trunc.n_digits, 4);
    assert_int_equal(d.trunc.digit_bits[0], 6);
    assert_int_equal(d.trunc.digit_bits[3], 5);
    assert_int_equal(csl_correction_bytes(&d, 1), 8 * (3 * 63 + 31 + 15 + 3 * 64 + 2 * 40));
    assert_int_equal(csl_correction_bytes(&narrow, 1), 8 * (3 * 63 + 31 + 15 + 3 * 40 + 2 * 16));
    cost(d, 28 + 6 + 1);
    /* two rounds: 28 + 5 bits; tables of 8 8 7 bits, ten monomials of o + o + (o - k), three values */
    d = csl_demand_wan(d);
    narrow = csl_demand_wan(narrow);
    assert_int_equal(d.trunc.n_digits, 3);
    assert_int_equal(d.trunc.digit_bits[0], 8);
    assert_int_equal(d.trunc.digit_bits[2], 7);
    assert_int_equal(csl_correction_bytes(&d, 1), 64 * (80 + (10 * (64 + 64 + 40) + 3 * 64) / 8));
    assert_int_equal(csl_correction_bytes(&narrow, 1), 64 * (80 + (10 * (40 + 40 + 16) + 3 * 40) / 8));
    cost(d, 28 + 5);
}

static void wan_kernels_are_equal(const struct csl__relu_kernels *const k[2]) {
    enum { N = 64 * 3 + 5, WORDS = 4 };
    uint64_t *wide = alloc_words(8 * N), *shares[6], c[N], planes[7 * WORDS], out[2][3][N];
    test_random(wide, 8 * N, 64, 70);
    test_random(c, N, 20, 71);
    test_random(planes, 7 * WORDS, 64, 72);
    for (uint32_t i = 0; i < 6; i++) {
        shares[i] = alloc_words(CSL__MAX_MONOMIALS * N);
        test_random(shares[i], CSL__MAX_MONOMIALS * N, 64, 73 + i);
    }
    for (unsigned digits = 1; digits <= 4; digits++) {
        struct csl__relu_select f = {.c = c,
                                     .top = c,
                                     .u = planes,
                                     .s = shares[0],
                                     .r = shares[1],
                                     .s_r = shares[2],
                                     .a = shares[3],
                                     .a_r = shares[4],
                                     .s_m = shares[5],
                                     .n = N,
                                     .n_words = WORDS,
                                     .top_shift = 19,
                                     .k = 20,
                                     .out_bits = 50,
                                     .one = digits % 2};
        csl__monomials_init(&f.monomials, digits);
        memset(out, 0, sizeof out);
        for (int path = 0; path < 2; path++) {
            f.s_m = digits == 2 ? NULL : shares[5];
            k[path]->select(out[path][0], &f);
            k[path]->read_table(out[path][1], out[path][2], wide, c, N, digits, 5 + digits, digits % 2);
            out[path][1][WORDS - 1] &= 0x1f;
            out[path][2][WORDS - 1] &= 0x1f;
        }
        assert_memory_equal(out[0], out[1], sizeof out[0]);
    }
    for (uint32_t i = 0; i < 6; i++) {
        free(shares[i]);
    }
    free(wide);
}

/* Both paths give the same bits, on arbitrary words. */
static void check_kernels(const struct csl__relu_kernels *other) {
    enum { N = 64 * 11 + 5, WORDS = 12 };
    const struct csl__relu_kernels *k[2] = {&csl__relu_portable, other};
    uint64_t in[6][N], planes[3][100 * WORDS], out[2][3][N];
    for (uint32_t i = 0; i < 6; i++) {
        test_random(in[i], N, 64, 40 + i);
        test_random(planes[i % 3], 100 * WORDS, 64, 50 + i);
    }
    for (unsigned digits = 1; digits <= 6; digits++) {
        struct csl__products p;
        csl__products_init(&p, digits);
        memset(out, 0, sizeof out);
        for (int path = 0; path < 2; path++) {
            k[path]->read_table(out[path][0], out[path][1], in[0], in[1], N, digits, digits, digits % 2);
            k[path]->combine(out[path][0], planes[0], planes[1], planes[2], &p, WORDS, WORDS,
                             0 - (uint64_t)(digits % 2));
            csl_reduce_mod(in[2], in[2], N, 20);
            struct csl__relu_finish f = {in[2], planes[0], in[3], in[4], in[5],     in[0],
                                         in[1], N,         20,    64,    digits % 2};
            k[path]->finish(out[path][2], &f);
        }
        out[0][0][WORDS - 1] &= 0x1f; /* padding is not specified */
        out[1][0][WORDS - 1] &= 0x1f;
        out[0][1][WORDS - 1] &= 0x1f;
        out[1][1][WORDS - 1] &= 0x1f;
        assert_memory_equal(out[0], out[1], sizeof out[0]);
    }
    for (size_t n = N - 70; n <= N; n++) {
        memset(out, 0, sizeof out);
        for (int path = 0; path < 2; path++) {
            k[path]->shift_out(out[path][0], in[0], n, in[1][0], (unsigned)(n % 64) + 1, (unsigned)n % 7);
            k[path]->gather(out[path][1], in[1], n, (unsigned)n % 64);
        }
        assert_memory_equal(out[0], out[1], sizeof out[0]);
        assert_int_equal(out[0][1][(n - 1) / 64] >> (n - 1) % 64, in[1][n - 1] >> n % 64 & 1);
    }
    wan_kernels_are_equal(k);
}

static void kernels_are_equal(void **state) {
    (void)state;
    bool avx2 = csl__gemm_has(CSL__GEMM_AVX2), avx512 = csl__gemm_has(CSL__GEMM_AVX512);
    print_message("avx2: %s, avx512: %s\n", avx2 ? "tested" : "not on this CPU",
                  avx512 ? "tested" : "not on this CPU");
    if (avx2) {
        check_kernels(&csl__relu_avx2);
    }
    if (avx512) {
        check_kernels(&csl__relu_avx512);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs),
        cmocka_unit_test(kernels_are_equal),
        cmocka_unit_test(all_small_widths),
        cmocka_unit_test(every_k_and_f),
        cmocka_unit_test(all_party_counts),
        cmocka_unit_test(all_row_lengths),
        cmocka_unit_test(uneven_digits),
        cmocka_unit_test(opened_c_is_uniform_and_rounding_unbiased),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
