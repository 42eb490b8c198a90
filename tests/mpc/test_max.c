/* Maximum and arg-max: the result is always one of the two, exactly the one that the masks which were drawn
 * decide on, and at most 2^f below the larger. */
#include "parties.h"

#include <stdlib.h>
#include <string.h>

struct max_case {
    struct csl_demand demand;
    uint64_t *a[CSL_MAX_PARTIES], *b[CSL_MAX_PARTIES], *y[CSL_MAX_PARTIES];
    uint64_t *ap[CSL_MAX_PARTIES], *bp[CSL_MAX_PARTIES], *yp[CSL_MAX_PARTIES];
    bool in_place;
};

static enum csl_err run_max(struct party *p) {
    struct max_case *c = p->arg;
    unsigned me = p->s.self;
    uint64_t *y = c->in_place ? c->b[me] : c->y[me], *yp = c->in_place ? c->bp[me] : c->yp[me];
    return c->demand.kind == CSL_DEMAND_MAX
               ? csl_max(&p->s, y, c->a[me], c->b[me], p->corr, 0)
               : csl_argmax_step(&p->s, y, yp, c->a[me], c->ap[me], c->b[me], c->bp[me], p->corr, 0);
}

/* Differences at the limits of the range, about zero, and uniform; b anywhere in the ring. */
static void pairs(uint64_t *a, uint64_t *b, size_t n, const struct csl_demand *d, uint32_t stream) {
    unsigned f = d->trunc.f, l = d->trunc.k + f;
    int64_t lo = -((int64_t)1 << (l - 1)), hi = ((int64_t)1 << (l - 1)) - ((int64_t)1 << f);
    int64_t unit = (int64_t)1 << f;
    const int64_t edges[] = {lo, lo + 1, hi, hi - 1, 0, 1, -1, unit, -unit, unit - 1, 1 - unit, unit + 1};
    uint64_t *random = alloc_words(n);
    test_random(random, n, 64, stream);
    test_random(b, n, l, stream + 1);
    for (size_t i = 0; i < n; i++) {
        int64_t v = i < 3 * 12 ? edges[i % 12] : lo + (int64_t)(random[i] % (uint64_t)(hi - lo + 1));
        v = i % 5 == 4 ? (int64_t)(random[i] % (uint64_t)(4 * unit)) - 2 * unit : v;
        v = v < lo ? lo : v > hi ? hi : v;
        a[i] = (b[i] + (uint64_t)v) & csl_ring_mask(l);
    }
    free(random);
}

static void share_case(struct max_case *c, unsigned n_parties, uint64_t *const v[4], size_t n,
                       uint32_t salt) {
    unsigned l = c->demand.trunc.out_bits;
    make_shares(c->a, n_parties, v[0], n, salt % 2 == 0 ? l : 64, salt);
    make_shares(c->b, n_parties, v[1], n, salt % 2 == 0 ? l : 64, salt + 1);
    make_shares(c->ap, n_parties, v[2], n, 64, salt + 2);
    make_shares(c->bp, n_parties, v[3], n, 64, salt + 3);
    alloc_shares(c->y, n_parties, n);
    alloc_shares(c->yp, n_parties, n);
}

static void check_joined(const struct max_case *c, uint64_t *const v[4], const uint64_t *r, const uint64_t *y,
                         const uint64_t *yp, size_t n) {
    unsigned f = c->demand.trunc.f, l = c->demand.trunc.out_bits, bits = c->demand.bits;
    for (size_t i = 0; i < n; i++) {
        int64_t z = csl_ring_signed(v[0][i] - v[1][i], l);
        bool keep = z + (int64_t)(r[i] & csl_ring_mask(f)) >= 0;
        assert_int_equal(y[i], keep ? v[0][i] : v[1][i]);
        assert_true(keep ? z > -((int64_t)1 << f) : z < 0); /* at most 2^f below the larger */
        if (c->demand.kind == CSL_DEMAND_ARGMAX) {
            assert_int_equal(yp[i], (keep ? v[2][i] : v[3][i]) & csl_ring_mask(bits));
        }
    }
}

static void check_form(unsigned n_parties, struct csl_demand d, size_t batch, uint32_t salt, bool in_place) {
    size_t n = batch * d.count;
    unsigned l = d.trunc.out_bits;
    bool payload = d.kind == CSL_DEMAND_ARGMAX;
    struct max_case c = {.demand = d, .in_place = in_place};
    uint64_t *v[4] = {alloc_words(n), alloc_words(n), alloc_words(n), alloc_words(n)};
    uint64_t *r = alloc_words(n), *y = alloc_words(n), *yp = alloc_words(n);
    pairs(v[0], v[1], n, &d, salt);
    test_random(v[2], n, 64, salt + 7);
    test_random(v[3], n, 64, salt + 8);
    share_case(&c, n_parties, v, n, salt);
    struct parties all;
    parties_init(&all, n_parties);
    parties_deal(&all, &d, 1, NULL, batch, salt);
    join_field(r, &all, 0, CSL_RELU_R);
    parties_run_ok(&all, run_max, &c);
    join_shares(y, in_place ? c.b : c.y, n_parties, n, l);
    join_shares(yp, in_place ? c.bp : c.yp, n_parties, n, payload ? d.bits : 1);
    check_joined(&c, v, r, y, yp, n);
    unsigned digits = d.trunc.n_digits;
    bool wan = d.form == CSL_FORM_WAN;
    assert_int_equal(all.party[0].s.stats.rounds, digits == 1 || wan ? 2 : 3);
    size_t bit_row = (d.count + 7) / 8, c_bytes = (n * l + 7) / 8;
    size_t v_bytes = payload ? (n * d.bits + 7) / 8 : 0;
    assert_int_equal(all.party[0].s.stats.bytes_per_peer,
                     c_bytes + v_bytes + batch * bit_row * (2 * digits - 1));
    parties_clear(&all);
    uint64_t **shares[] = {c.a, c.b, c.y, c.ap, c.bp, c.yp};
    for (size_t i = 0; i < 6; i++) {
        free_shares(shares[i], n_parties);
    }
    for (size_t i = 0; i < 4; i++) {
        free(v[i]);
    }
    free(r);
    free(y);
    free(yp);
}

static void check_case(unsigned n_parties, struct csl_demand d, size_t batch, uint32_t salt, bool in_place) {
    check_form(n_parties, d, batch, salt, in_place);
    check_form(n_parties, csl_demand_wan(d), batch, salt, in_place);
}

static void every_k(void **state) {
    (void)state;
    for (unsigned k = 2; k <= 37; k++) {
        unsigned f = 1 + k * 7 % 25;
        check_case(2, csl_demand_max(120, k, f), 1, 10 * k, false);
        check_case(3, csl_demand_argmax(70, k, f, 1 + k % 16), 2, 10 * k + 1, false);
        check_case(2, csl_demand_argmax(64, k, 62 - k < 25 ? 62 - k : 25, 4), 1, 10 * k + 2, true);
    }
    for (unsigned f = 1; f <= 60; f++) {
        check_case(2, csl_demand_max(60, f <= 25 ? 37 : 62 - f, f), 1, f, f % 2 == 0);
        check_case(2, csl_demand_argmax(60, f <= 25 ? 37 : 62 - f, f, 1 + f % 16), 1, f, f % 2 == 0);
    }
}

static void all_party_counts(void **state) {
    (void)state;
    const unsigned n[] = {2, 3, 5, 16};
    for (size_t i = 0; i < 4; i++) {
        check_case(n[i], csl_demand_max(150, 25, 16), 3, 100 + n[i], false);
        check_case(n[i], csl_demand_argmax(90, 25, 16, 4), 2, 200 + n[i], true);
        check_case(n[i], csl_demand_argmax(1, 3, 1, 16), 50, 300 + n[i], false); /* wider than l */
    }
}

/* 10 classes: four levels, the odd one out waits. The client's class is one of the largest. */
static enum csl_err run_tree(struct party *p) {
    struct max_case *c = p->arg;
    unsigned me = p->s.self;
    size_t batch = csl_corr_batch(p->corr), n = 10;
    uint64_t a[4][5 * 8]; /* a, ap, b, bp of one level */
    for (size_t level = 0; n > 1; level++) {
        size_t half = n / 2, rest = n - half; /* pair i with i + half; an odd last one stays */
        for (size_t i = 0; i < batch * half; i++) {
            size_t lo = i / half * 10 + i % half;
            a[0][i] = c->a[me][lo];
            a[1][i] = c->ap[me][lo];
            a[2][i] = c->a[me][lo + half];
            a[3][i] = c->ap[me][lo + half];
        }
        TRY(csl_argmax_step(&p->s, a[0], a[1], a[0], a[1], a[2], a[3], p->corr, level));
        for (size_t i = 0; i < batch * half; i++) {
            size_t lo = i / half * 10 + i % half;
            c->a[me][lo] = a[0][i];
            c->ap[me][lo] = a[1][i];
        }
        for (size_t row = 0; row < batch && rest > half; row++) {
            c->a[me][row * 10 + half] = c->a[me][row * 10 + n - 1];
            c->ap[me][row * 10 + half] = c->ap[me][row * 10 + n - 1];
        }
        n = rest;
    }
    return CSL_OK;
}

static void a_tree_of_ten(void **state) {
    (void)state;
    enum { ROWS = 8, K = 25, F = 16, L = K + F };
    const uint32_t pairs_at[] = {5, 2, 1, 1};
    for (unsigned n = 2; n <= 3; n++) {
        struct csl_demand d[4];
        uint64_t x[ROWS * 10], top[ROWS * 10], class[ROWS * 10];
        struct max_case c = {.in_place = false};
        for (size_t i = 0; i < 4; i++) {
            d[i] = csl_demand_argmax(pairs_at[i], K, F, 4);
        }
        test_random(x, ROWS * 10, L - 2, 5);
        for (size_t i = 0; i < ROWS * 10; i++) {
            x[i] -= (uint64_t)1 << (L - 3);
        }
        make_shares(c.a, n, x, ROWS * 10, L, 6);
        alloc_shares(c.ap, n, ROWS * 10);
        for (size_t i = 0; i < ROWS * 10; i++) {
            c.ap[0][i] = i % 10; /* public constants, shared as such */
        }
        struct parties all;
        parties_init(&all, n);
        parties_deal(&all, d, 4, NULL, ROWS, 7);
        parties_run_ok(&all, run_tree, &c);
        join_shares(top, c.a, n, ROWS * 10, L);
        join_shares(class, c.ap, n, ROWS * 10, 4);
        for (size_t row = 0; row < ROWS; row++) {
            int64_t best = INT64_MIN;
            for (size_t i = 0; i < 10; i++) {
                int64_t v = (int64_t)x[row * 10 + i];
                best = v > best ? v : best;
            }
            assert_true(class[row * 10] < 10);
            assert_int_equal(top[row * 10], x[row * 10 + class[row * 10]] & csl_ring_mask(L));
            assert_true(best - csl_ring_signed(top[row * 10], L) < 4 << F);
        }
        parties_clear(&all);
        free_shares(c.a, n);
        free_shares(c.ap, n);
    }
}

/* 25 + 16 bits: c, 6 + 1 bits of u and e; tables 4 x 64 bits, products, and [beta], [r beta]. */
static void costs(void **state) {
    (void)state;
    struct csl_demand max = csl_demand_max(64, 25, 16), arg = csl_demand_argmax(64, 25, 16, 4);
    struct csl_demand relu = csl_demand_relu(64, 25, 16, 41);
    size_t common = csl_correction_bytes(&relu, 1) - 64 * (3 * 41 + 2 * 16) / 8 + 64 / 8; /* and <s> */
    assert_int_equal(csl_correction_bytes(&max, 1), common + 64 * 2 * 41 / 8);
    assert_int_equal(csl_correction_bytes(&arg, 1), csl_correction_bytes(&max, 1) + 64 * 4 / 8);
}

static void failures_leave_zeroes(void **state) {
    (void)state;
    enum { N = 20 };
    struct csl_demand d[2] = {csl_demand_max(N, 9, 4), csl_demand_argmax(N, 9, 4, 4)};
    uint64_t a[N], b[N], y[N], yp[N], zero[N] = {0};
    test_random(a, N, 12, 1);
    test_random(b, N, 12, 2);
    for (int what = 0; what < 3; what++) {
        struct parties all;
        parties_init(&all, 2);
        parties_deal(&all, d, 2, NULL, 1, 3);
        struct csl_session *s = &all.party[0].s;
        struct csl_corr *corr = all.party[0].corr;
        memset(y, 1, sizeof y);
        memset(yp, 1, sizeof yp);
        if (what == 0) { /* the peer is gone */
            csl_mem_net_leave(all.net, 1);
            assert_int_not_equal(csl_argmax_step(s, y, yp, a, a, b, b, corr, 1), CSL_OK);
            assert_memory_equal(yp, zero, sizeof zero);
            assert_null(corr->demands[1].words);
            assert_int_equal(csl_max(s, y, a, b, corr, 0), s->err);
            assert_true(corr->demands[0].used);
        } else if (what == 1) { /* of the other kind */
            assert_int_equal(csl_max(s, a, a, b, corr, 1), CSL_EINTERNAL);
            memset(y, 0, sizeof y);
        } else {
            assert_int_equal(csl_relu(s, a, a, corr, 0), CSL_EINTERNAL);
            memset(y, 0, sizeof y);
        }
        assert_memory_equal(y, zero, sizeof zero);
        parties_clear(&all);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_k), cmocka_unit_test(all_party_counts),      cmocka_unit_test(a_tree_of_ten),
        cmocka_unit_test(costs),   cmocka_unit_test(failures_leave_zeroes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
