/* Fields, the dealer's corrections, other makers, and use that must be refused. */
#include "parties.h"

#include <stdlib.h>
#include <string.h>

static void the_dealer_checks_its_arguments(void **state) {
    (void)state;
    struct csl_demand d[2] = {csl_demand_linear(3, 2, 20), csl_demand_relu(3, 5, 2, 9)};
    uint8_t seeds[2 * CSL_INDEX_SEED_BYTES] = {1}, out[200];
    const uint64_t b[6] = {0};
    const uint64_t *masks[2] = {b, NULL}, *none[2] = {NULL, NULL};
    size_t n = csl_correction_bytes(d, 2);
    struct csl_diag diag;
    assert_true(n < sizeof out);
    assert_int_equal(csl_dealer_corrections(out, n, d, 2, 2, seeds, masks, 1, &diag), CSL_OK);
    assert_int_equal(csl_dealer_corrections(out, n, d, 2, 2, seeds, none, 1, &diag), CSL_EDATA);
    assert_int_equal(csl_dealer_corrections(out, n, d, 2, 2, seeds, NULL, 1, &diag), CSL_EDATA);
    assert_int_equal(csl_dealer_corrections(out, n + 1, d, 2, 2, seeds, masks, 1, &diag), CSL_EDATA);
    assert_int_equal(csl_dealer_corrections(out, n, d, 2, 2, seeds, masks, 2, &diag), CSL_EDATA);
    assert_int_equal(csl_dealer_corrections(out, n, d, 2, 1, seeds, masks, 1, &diag), CSL_EDATA);
    assert_int_equal(csl_dealer_corrections(out, n, d, 2, 17, seeds, masks, 1, &diag), CSL_EDATA);
    assert_int_equal(csl_dealer_corrections(out, n, d, 2, 2, seeds, masks, 0, &diag), CSL_EDATA);
    d[1].trunc.f = 0;
    assert_int_equal(csl_dealer_corrections(out, n, d, 2, 2, seeds, masks, 1, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "demand 1"));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(out[i], 0); /* after an error */
    }
}

/* The relations between fields that the protocols rely on, for a batch of several rows. */
static void dealt_fields_hold(void **state) {
    (void)state;
    const unsigned n_parties[] = {2, 3, 16};
    enum { K = 7, N = 5, R = 70, BATCH = 3 };
    struct csl_demand d[3] = {csl_demand_linear(K, N, 43), csl_demand_relu(R, 14, 9, 30),
                              csl_demand_trunc(R, 30, 9, 40)};
    uint64_t b[K * N], a[BATCH * K], c[BATCH * N], r[BATCH * R], rh[BATCH * R], s[BATCH * R],
        table[BATCH * R];
    test_random(b, K * N, 43, 4);
    const uint64_t *masks[3] = {b, NULL, NULL};
    for (size_t t = 0; t < 3; t++) {
        struct parties all;
        parties_init(&all, n_parties[t]);
        parties_deal(&all, d, 3, masks, BATCH, 8);
        join_field(a, &all, 0, CSL_LINEAR_A);
        join_field(c, &all, 0, CSL_LINEAR_C);
        for (size_t i = 0; i < BATCH * N; i++) {
            uint64_t sum = 0;
            for (size_t j = 0; j < K; j++) {
                sum += a[i / N * K + j] * b[j * N + i % N];
            }
            assert_int_equal(c[i], sum & csl_ring_mask(43));
        }
        join_field(r, &all, 1, CSL_RELU_R);
        join_field(rh, &all, 1, CSL_RELU_R_HIGH);
        join_field(s, &all, 1, CSL_RELU_S);
        join_field(table, &all, 1, CSL_RELU_TABLE + 1);
        for (size_t i = 0; i < BATCH * R; i++) {
            assert_int_equal(rh[i], r[i] >> 4); /* the guard bits of 9 */
            assert_int_equal(s[i], r[i] >> 17);
            assert_int_equal(table[i], ((uint64_t)1 << (r[i] >> (4 + 5) & 15)) - 1); /* digits 5 4 4 */
        }
        join_field(r, &all, 2, CSL_TRUNC_R);
        join_field(rh, &all, 2, CSL_TRUNC_R_HIGH);
        join_field(s, &all, 2, CSL_TRUNC_S);
        for (size_t i = 0; i < BATCH * R; i++) {
            assert_int_equal(rh[i], r[i] >> 4);
            assert_int_equal(s[i], r[i] >> 33);
        }
        parties_clear(&all);
    }
}

/* The same of a maximum and an arg-max, whose payload's ring is narrower or wider than l. */
static void fields_of_maxima_hold(void **state) {
    (void)state;
    enum { R = 70, BATCH = 2, N = R * BATCH };
    const struct csl_demand d[3] = {csl_demand_max(R, 14, 9), csl_demand_argmax(R, 14, 9, 4),
                                    csl_demand_argmax(R, 3, 1, 16)};
    uint64_t beta[2 * BATCH], beta_r[N], r[N], v[N], p[N];
    for (unsigned n_parties = 2; n_parties <= 16; n_parties += 7) {
        struct parties all;
        parties_init(&all, n_parties);
        parties_deal(&all, d, 3, NULL, BATCH, 8);
        for (size_t at = 0; at < 3; at++) {
            const struct csl_trunc_params *t = &d[at].trunc;
            join_field(beta, &all, at, CSL_RELU_BETA);
            join_field(beta_r, &all, at, CSL_MAX_BETA_R);
            join_field(r, &all, at, CSL_RELU_R);
            join_field(v, &all, at, CSL_MAX_R_BETA);
            for (size_t i = 0; i < N; i++) {
                assert_int_equal(beta_r[i], beta[i / R * 2 + i % R / 64] >> i % R % 64 & 1);
                assert_int_equal(v[i], beta_r[i] * r[i]);
            }
            join_field(v, &all, at, CSL_RELU_TABLE);
            for (size_t i = 0; i < N; i++) {
                uint64_t digit = r[i] >> t->f & csl_ring_mask(t->digit_bits[0]);
                assert_int_equal(v[i], ((uint64_t)1 << digit) - 1);
            }
            join_field(beta, &all, at, CSL_RELU_S_BIT);
            for (size_t i = 0; i < N; i++) {
                assert_int_equal(beta[i / R * 2 + i % R / 64] >> i % R % 64 & 1, r[i] >> (t->k + t->f - 1));
            }
            struct csl_field f[CSL_MAX_FIELDS];
            assert_int_equal(csl_demand_fields(f, &d[at]), CSL_MAX_N_FIELDS);
            assert_false(f[CSL_MAX_P].dealt); /* the mask of an opening */
            assert_int_equal(f[CSL_MAX_P].row_words, at == 0 ? 0 : R);
            if (at != 0) {
                join_field(p, &all, at, CSL_MAX_P);
                join_field(v, &all, at, CSL_MAX_P_BETA);
                for (size_t i = 0; i < N; i++) {
                    assert_int_equal(v[i], p[i] * beta_r[i]);
                }
            }
        }
        parties_clear(&all);
    }
}

/* The product of masks e_1, e_2, l_0, l_1, l_2 (bits 0..4 of `set`) of element i of a row. */
static uint64_t monomial(const uint64_t *planes, unsigned set, size_t i, size_t n_words) {
    uint64_t product = 1;
    for (unsigned j = 0; j < 5; j++) {
        product &= (set >> j & 1) == 0 ? 1 : planes[j * n_words + i / 64] >> i % 64 & 1;
    }
    return product;
}

/* F5: of three digits, e_1, e_2, e_1 e_2, then l_0 with none, e_1, e_2, both, l_1 with none, e_2, and l_2. */
static const uint8_t monomials[10] = {1, 2, 3, 4, 5, 6, 7, 8, 10, 16};

static void check_wan_fields(const struct parties *all, size_t at, const struct csl_demand *d, size_t batch) {
    size_t n = d->count, total = n * batch, n_words = (n + 63) / 64;
    unsigned low = csl_demand_low_bits(d), top = d->trunc.k + low - 1, shift = low;
    bool relu = d->kind == CSL_DEMAND_RELU;
    unsigned bits = d->trunc.out_bits, payload = d->kind == CSL_DEMAND_ARGMAX ? d->bits : 0;
    unsigned wider = bits > payload ? bits : payload;
    uint64_t *v[CSL_WAN_N_FIELDS];
    const struct csl_field *f = all->party[0].corr->demands[at].fields;
    assert_int_equal(all->party[0].corr->demands[at].n_fields, CSL_WAN_N_FIELDS);
    for (unsigned i = 0; i < CSL_WAN_N_FIELDS; i++) {
        v[i] = alloc_words(f[i].row_words * batch);
        if (f[i].row_words != 0) {
            join_field(v[i], all, at, i);
        }
    }
    for (size_t i = 0; i < total; i++) {
        size_t row = i / n, col = i % n;
        uint64_t r = v[CSL_WAN_R][i], s = r >> top, high = relu ? r >> low : r;
        uint64_t sign = 1 - 2 * s, p = payload == 0 ? 0 : v[CSL_WAN_P][i];
        assert_int_equal(v[CSL_WAN_S][i], s);
        assert_int_equal(v[CSL_WAN_S_R][i], s * high);
        assert_true(!relu || v[CSL_WAN_R_HIGH][i] == high);
        assert_true(payload == 0 || v[CSL_WAN_S_P][i] == s * p);
        for (size_t m = 0; m < 10; m++) {
            uint64_t product = monomial(v[CSL_WAN_M] + row * 5 * n_words, monomials[m], col, n_words);
            size_t len = n - col / 64 * 64 < 64 ? n % 64 : 64; /* 64 elements, monomial after monomial */
            size_t x = row * 10 * n + col / 64 * 64 * 10 + m * len + col % 64;
            assert_int_equal(v[CSL_WAN_A][x], sign * product & csl_ring_mask(wider));
            assert_int_equal(v[CSL_WAN_A_R][x], sign * product * high & csl_ring_mask(bits));
            assert_true(!relu || bits == d->trunc.k || v[CSL_WAN_S_M][x] == s * product);
            assert_true(payload == 0 || v[CSL_WAN_A_P][x] == (sign * product * p & csl_ring_mask(payload)));
        }
    }
    for (unsigned j = 0; j < d->trunc.n_digits; shift += d->trunc.digit_bits[j++]) {
        unsigned width = d->trunc.digit_bits[j];
        size_t words = width > 6 ? (size_t)1 << (width - 6) : 1;
        for (size_t i = 0; i < total; i++) {
            uint64_t digit = v[CSL_WAN_R][i] >> shift & csl_ring_mask(width);
            for (uint64_t x = 0; x < (uint64_t)1 << width; x++) {
                assert_int_equal(v[CSL_WAN_TABLE + j][i * words + x / 64] >> x % 64 & 1, x < digit);
            }
        }
    }
    for (unsigned i = 0; i < CSL_WAN_N_FIELDS; i++) {
        free(v[i]);
    }
}

static void fields_of_the_wan_form_hold(void **state) {
    (void)state;
    enum { R = 70, BATCH = 2 };
    const struct csl_demand d[4] = {
        csl_demand_wan(csl_demand_relu(R, 24, 9, 30)), csl_demand_wan(csl_demand_relu(R, 20, 2, 20)),
        csl_demand_wan(csl_demand_max(R, 28, 9)), csl_demand_wan(csl_demand_argmax(R, 19, 3, 16))};
    for (unsigned n_parties = 2; n_parties <= 16; n_parties += 7) {
        struct parties all;
        parties_init(&all, n_parties);
        parties_deal(&all, d, 4, NULL, BATCH, 8);
        for (size_t at = 0; at < 4; at++) {
            check_wan_fields(&all, at, &d[at], BATCH);
        }
        parties_clear(&all);
    }
}

/* Step K4 as other implementations will read it: stream demand << 8 | field, one u64 an element. */
static void streams_are_as_specified(void **state) {
    (void)state;
    enum { N = 70 };
    struct csl_demand d[2] = {csl_demand_linear(N, 3, 43), csl_demand_relu(N, 14, 9, 30)};
    struct csl_corr *c = NULL;
    uint8_t seed[CSL_INDEX_SEED_BYTES];
    uint64_t want[10 * N];
    struct csl_prg prg = {0};
    test_seed(seed, 1, 2, 0);
    assert_int_equal(csl_corr_new(&c, d, 2, 2, 0, 1, NULL), CSL_OK);
    assert_int_equal(csl_corr_expand(c, 0, seed, NULL, 0, NULL), CSL_OK);
    assert_int_equal(csl_prg_init(&prg, seed), CSL_OK);
    assert_int_equal(csl_prg_fill_u64(&prg, want, N, 0, 43), CSL_OK);
    assert_memory_equal(want, csl__corr_row(&c->demands[0], CSL_LINEAR_A, 0), N * sizeof *want);
    csl_prg_clear(&prg); /* linear demands by the matrix key, all others by the bits key */
    assert_int_equal(csl_prg_init(&prg, seed + CSL_SEED_BYTES), CSL_OK);
    assert_int_equal(csl_prg_fill_u64(&prg, want, N, 1 << 8 | 4, 15), CSL_OK); /* table of the second digit */
    assert_memory_equal(want, csl__corr_row(&c->demands[1], CSL_RELU_TABLE + 1, 0), N * sizeof *want);
    assert_int_equal(csl_prg_fill_u64(&prg, want, 8, 1 << 8 | 1, 64), CSL_OK); /* four planes of masks */
    for (size_t i = 1; i < 8; i += 2) {
        want[i] &= 0x3f; /* 70 elements in 128 bits */
    }
    assert_memory_equal(want, csl__corr_row(&c->demands[1], CSL_RELU_M, 0), 8 * sizeof *want);
    csl_prg_clear(&prg);
    csl_corr_free(c);
}

struct relu_case {
    uint64_t *z[CSL_MAX_PARTIES], *y[CSL_MAX_PARTIES];
};

static enum csl_err run_relu(struct party *p) {
    struct relu_case *c = p->arg;
    return csl_relu(&p->s, c->y[p->s.self], c->z[p->s.self], p->corr, 0);
}

static void a_correlation_serves_once(void **state) {
    (void)state;
    enum { N = 10 };
    struct csl_demand d = csl_demand_relu(N, 10, 5, 20);
    uint64_t z[N] = {0};
    struct relu_case c;
    make_shares(c.z, 2, z, N, 15, 1);
    alloc_shares(c.y, 2, N);
    struct parties all;
    parties_init(&all, 2);
    parties_deal(&all, &d, 1, NULL, 1, 3);
    parties_run_ok(&all, run_relu, &c);
    assert_null(all.party[0].corr->demands[0].words); /* wiped where it was used */
    struct csl_session *s = &all.party[0].s;
    uint32_t rounds = s->stats.rounds;
    memset(c.y[0], 1, N * sizeof *c.y[0]);
    assert_int_equal(csl_relu(s, c.y[0], c.z[0], all.party[0].corr, 0), CSL_EINTERNAL);
    assert_non_null(strstr(s->diag.text, "used before"));
    assert_int_equal(s->stats.rounds, rounds);
    assert_int_equal(c.y[0][0], 0);
    /* poisoned: a fresh correlation does not help, and is used up too */
    parties_deal(&all, &d, 1, NULL, 1, 4);
    assert_int_equal(csl_relu(s, c.y[0], c.z[0], all.party[0].corr, 0), CSL_EINTERNAL);
    assert_true(all.party[0].corr->demands[0].used);
    uint8_t seed[CSL_INDEX_SEED_BYTES];
    test_seed(seed, 3, 0, 0);
    struct csl_diag diag;
    assert_int_equal(csl_corr_expand(all.party[0].corr, 0, seed, NULL, 0, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_corr_put(all.party[0].corr, 0, CSL_RELU_R, 0, z, &diag), CSL_EINTERNAL);
    parties_clear(&all);
    free_shares(c.z, 2);
    free_shares(c.y, 2);
}

static void wrong_use_is_refused(void **state) {
    (void)state;
    struct csl_demand d[2] = {csl_demand_linear(3, 2, 20), csl_demand_relu(3, 5, 2, 9)};
    struct csl_corr *c = NULL;
    struct csl_diag diag;
    uint8_t seed[CSL_INDEX_SEED_BYTES] = {1}, chunk[200] = {0};
    uint64_t e[6] = {0}, x[8] = {0}, y[8] = {0};
    size_t n = csl_correction_bytes(d, 2);
    assert_int_equal(csl_corr_new(&c, d, 2, 2, 1, 2, &diag), CSL_OK);
    /* the last party needs its corrections, whole and with clean padding */
    assert_int_equal(csl_corr_expand(c, 0, seed, NULL, 0, &diag), CSL_EPROTO);
    assert_int_equal(csl_corr_expand(c, 0, seed, chunk, n - 1, &diag), CSL_EPROTO);
    assert_int_equal(csl_corr_expand(c, 0, seed, NULL, n, &diag), CSL_EPROTO);
    assert_int_equal(csl_corr_expand(c, 2, seed, chunk, n, &diag), CSL_EINTERNAL);
    chunk[n - 1] = 0x80; /* [s beta]: 3 elements of 4 bits */
    assert_int_equal(csl_corr_expand(c, 0, seed, chunk, n, &diag), CSL_EPROTO);
    assert_non_null(strstr(diag.text, "[s beta]"));
    chunk[n - 1] = 0;
    assert_int_equal(csl_corr_expand(c, 0, seed, chunk, n, &diag), CSL_OK);
    assert_int_equal(csl_corr_expand(c, 0, seed, chunk, n, &diag), CSL_EINTERNAL);
    /* rows are missing */
    assert_int_equal(csl_corr_bind_weights(c, 0, e, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_corr_put(c, 0, CSL_LINEAR_A, 0, x, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_corr_put(c, 0, 2, 1, x, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_corr_put(c, 1, CSL_RELU_TABLE + 5, 1, x, &diag), CSL_EINTERNAL); /* empty */
    assert_int_equal(csl_corr_put(c, 2, 0, 1, x, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_corr_expand_own(c, 1, seed, &diag), CSL_OK);
    assert_int_equal(csl_corr_bind_weights(c, 0, e, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_corr_put(c, 0, CSL_LINEAR_C, 1, x, &diag), CSL_OK);
    assert_int_equal(csl_corr_bind_weights(c, 0, e, &diag), CSL_OK);
    assert_int_equal(csl_corr_bind_weights(c, 0, e, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_corr_bind_weights(c, 1, e, &diag), CSL_EINTERNAL);
    for (int what = 0; what < 5; what++) {
        struct parties all;
        parties_init(&all, what == 0 ? 3 : 2);
        struct csl_session *s = &all.party[what == 1 ? 0 : 1].s; /* other count, other party */
        struct csl_linear layer = {e, NULL, csl_conv_dense(3, what == 3 ? 1 : 2), 20};
        enum csl_err err = what == 2   ? csl_relu(s, y, x, c, 1) /* row 1 has no dealt fields */
                           : what == 3 ? csl_linear_forward(s, y, &layer, x, c, 0)
                           : what == 4 ? csl_trunc(s, y, x, c, 0)
                                       : csl_relu(s, y, x, c, what == 1 ? 1 : 7);
        assert_int_equal(err, CSL_EINTERNAL);
        assert_int_equal(s->stats.rounds, 0);
        parties_clear(&all);
    }
    csl_corr_free(c);
}

/* A flipped bit in the corrections gives wrong results, never a crash. */
static void flipped_corrections(void **state) {
    (void)state;
    enum { N = 40 };
    struct csl_demand d = csl_demand_relu(N, 12, 4, 20);
    size_t n = csl_correction_bytes(&d, 1);
    uint64_t z[N], right[N], got[N];
    test_random(z, N, 15, 2);
    size_t wrong = 0;
    for (size_t at = 0; at <= n; at += at == 0 ? 1 : 17) {
        struct relu_case c;
        make_shares(c.z, 2, z, N, 16, 1);
        alloc_shares(c.y, 2, N);
        struct parties all;
        parties_init(&all, 2);
        uint8_t seeds[2 * CSL_INDEX_SEED_BYTES], *chunk = malloc(n);
        assert_non_null(chunk);
        test_seed(seeds, 1, 0, 0);
        test_seed(seeds + CSL_INDEX_SEED_BYTES, 1, 0, 1);
        assert_int_equal(csl_dealer_corrections(chunk, n, &d, 1, 2, seeds, NULL, 1, NULL), CSL_OK);
        chunk[at == 0 ? 0 : at - 1] ^= at == 0 ? 0 : 0x01; /* the lowest bit is never padding */
        for (unsigned p = 0; p < 2; p++) {
            assert_int_equal(csl_corr_new(&all.party[p].corr, &d, 1, 2, p, 1, NULL), CSL_OK);
            assert_int_equal(csl_corr_expand(all.party[p].corr, 0, seeds + CSL_INDEX_SEED_BYTES * p,
                                             p == 1 ? chunk : NULL, p == 1 ? n : 0, NULL),
                             CSL_OK);
        }
        parties_run_ok(&all, run_relu, &c);
        join_shares(at == 0 ? right : got, c.y, 2, N, 20);
        wrong += at != 0 && memcmp(right, got, sizeof got) != 0;
        parties_clear(&all);
        free_shares(c.z, 2);
        free_shares(c.y, 2);
        free(chunk);
    }
    assert_true(wrong > 3);
}

/* Another maker: every field by csl_corr_put(), from what the dealer's parties hold. */
static void put_all(struct parties *to, const struct parties *from, const struct csl_demand *d,
                    size_t batch) {
    for (unsigned p = 0; p < from->n; p++) {
        const struct csl__corr_demand *cd = from->party[p].corr->demands;
        struct csl_corr **out = &to->party[p].corr;
        assert_int_equal(csl_corr_new(out, d, 1, from->n, p, batch, NULL), CSL_OK);
        for (size_t row = 0; row < batch; row++) {
            for (unsigned f = 0; f < cd->n_fields; f++) {
                if (cd->fields[f].row_words != 0) {
                    assert_int_equal(csl_corr_put(*out, 0, f, row, csl__corr_row(cd, f, row), NULL), CSL_OK);
                }
            }
        }
    }
}

static enum csl_err run_argmax(struct party *p) {
    struct relu_case *c = p->arg;
    unsigned me = p->s.self;
    uint64_t payload[140] = {me}, other[140] = {me + 1};
    return csl_argmax_step(&p->s, c->y[me], payload, c->z[me], payload, c->y[me], other, p->corr, 0);
}

static void another_maker(void **state) {
    (void)state;
    enum { N = 70, BATCH = 2 };
    const struct csl_demand d[2] = {csl_demand_relu(N, 15, 6, 25), csl_demand_argmax(N, 15, 6, 4)};
    uint64_t z[BATCH * N], first[BATCH * N], second[BATCH * N];
    test_random(z, BATCH * N, 20, 2);
    for (size_t i = 0; i < 2; i++) {
        party_fn *const run = i == 0 ? run_relu : run_argmax;
        struct relu_case c;
        struct parties all, copy;
        make_shares(c.z, 3, z, BATCH * N, 21, 1);
        parties_init(&all, 3);
        parties_init(&copy, 3);
        parties_deal(&all, &d[i], 1, NULL, BATCH, 3);
        put_all(&copy, &all, &d[i], BATCH);
        alloc_shares(c.y, 3, BATCH * N);
        parties_run_ok(&all, run, &c);
        join_shares(first, c.y, 3, BATCH * N, d[i].trunc.out_bits);
        free_shares(c.y, 3);
        alloc_shares(c.y, 3, BATCH * N);
        parties_run_ok(&copy, run, &c);
        join_shares(second, c.y, 3, BATCH * N, d[i].trunc.out_bits);
        assert_memory_equal(first, second, sizeof first);
        parties_clear(&all);
        parties_clear(&copy);
        free_shares(c.z, 3);
        free_shares(c.y, 3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dealer_checks_its_arguments),
        cmocka_unit_test(dealt_fields_hold),
        cmocka_unit_test(streams_are_as_specified),
        cmocka_unit_test(a_correlation_serves_once),
        cmocka_unit_test(wrong_use_is_refused),
        cmocka_unit_test(flipped_corrections),
        cmocka_unit_test(another_maker),
        cmocka_unit_test(fields_of_maxima_hold),
        cmocka_unit_test(fields_of_the_wan_form_hold),

    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
