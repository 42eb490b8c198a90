/* The linear layer against exact integers (GMP): the result is the integer itself, no wrap. And whole
 * networks. */
#include "mpc/epoch.h"
#include "mpc/share.h"
#include "parties.h"

#include <gmp.h>
#include <stdlib.h>
#include <string.h>

struct net_case {
    uint64_t *z[2][CSL_MAX_PARTIES]; /* what the ReLUs got */
    size_t n_layers;
    size_t batch;
    struct csl_demand demands[8];
    struct csl_linear layers[CSL_MAX_PARTIES][8];
    uint64_t *w[8][CSL_MAX_PARTIES], *bias[8][CSL_MAX_PARTIES], *b[8][CSL_MAX_PARTIES],
        *e[CSL_MAX_PARTIES][8];
    uint64_t *masks[8]; /* B, the sums */
    uint64_t *x[CSL_MAX_PARTIES], *y[CSL_MAX_PARTIES];
    uint8_t mask_id[32];
    struct csl_epoch_keys keys[CSL_MAX_PARTIES];
};

static void epoch_keys(struct net_case *c, unsigned n_parties) {
    uint8_t roster[32] = "roster", nonce[32] = "dealer", nonces[CSL_MAX_PARTIES * 32] = "parties", id[32];
    uint8_t package[32] = "package", seed[32];
    assert_int_equal(csl_epoch_id(id, roster, nonce, nonces, n_parties), CSL_OK);
    assert_int_equal(csl_mask_id(c->mask_id, package, id), CSL_OK);
    for (unsigned p = 0; p < n_parties; p++) {
        memset(seed, (int)p + 1, sizeof seed);
        assert_int_equal(csl_epoch_keys_derive(&c->keys[p], id, seed), CSL_OK);
    }
}

/* Layer at `demand` with the weights w and bias (one a channel), shared among all. */
static void add_layer(struct net_case *c, unsigned n_parties, size_t demand, struct csl_demand d,
                      const uint64_t *w, const uint64_t *bias) {
    size_t n = csl_conv_weights(&d.conv);
    c->demands[demand] = d;
    make_shares(c->w[demand], n_parties, w, n, d.bits, 500 + (uint32_t)demand);
    make_shares(c->bias[demand], n_parties, bias, d.conv.out_c, d.bits, 600 + (uint32_t)demand);
    c->masks[demand] = alloc_words(n);
    assert_int_equal(
        csl_weight_mask_sum(c->masks[demand], c->keys, n_parties, c->mask_id, (uint32_t)demand, n, d.bits),
        CSL_OK);
    for (unsigned p = 0; p < n_parties; p++) {
        c->b[demand][p] = alloc_words(n);
        c->e[p][demand] = alloc_words(n);
        assert_int_equal(
            csl_weight_mask(c->b[demand][p], &c->keys[p], c->mask_id, (uint32_t)demand, n, d.bits), CSL_OK);
        c->layers[p][demand] = (struct csl_linear){c->w[demand][p], c->bias[demand][p], d.conv, d.bits};
    }
}

static void clear_case(struct net_case *c, unsigned n_parties) {
    for (size_t i = 0; i < 8; i++) {
        for (unsigned p = 0; p < n_parties; p++) {
            free(c->w[i][p]);
            free(c->bias[i][p]);
            free(c->b[i][p]);
            free(c->e[p][i]);
        }
        free(c->masks[i]);
    }
    free_shares(c->x, n_parties);
    free_shares(c->y, n_parties);
}

static enum csl_err run_linear(struct party *p) {
    struct net_case *c = p->arg;
    unsigned me = p->s.self;
    const struct csl_linear *layer = &c->layers[me][0];
    TRY(csl_linear_open_weights(&p->s, c->e[me][0], layer->w, c->b[0][me], csl_conv_weights(&layer->conv),
                                layer->bits));
    TRY(csl_corr_bind_weights(p->corr, 0, c->e[me][0], &p->s.diag));
    return csl_linear_forward(&p->s, c->y[me], layer, c->x[me], p->corr, 0);
}

/* Values of x_bits and w_bits signed bits: the exact result fits `bits` bits, or it is only right mod 2^bits.
 */
static void check_linear(unsigned n_parties, uint32_t k, uint32_t n, unsigned bits, size_t batch,
                         unsigned x_bits, unsigned w_bits, bool exact) {
    struct net_case c = {.n_layers = 1, .batch = batch};
    uint64_t *x = alloc_words(batch * k), *w = alloc_words((size_t)k * n), *bias = alloc_words(n);
    uint64_t *got = alloc_words(batch * n);
    test_random(x, batch * k, 64, 1);
    test_random(w, (size_t)k * n, 64, 2);
    test_random(bias, n, 64, 3);
    for (size_t i = 0; i < batch * k; i++) {
        x[i] = (uint64_t)csl_ring_signed(x[i], x_bits);
    }
    for (size_t i = 0; i < (size_t)k * n; i++) {
        w[i] = (uint64_t)csl_ring_signed(w[i], w_bits);
    }
    for (size_t i = 0; i < n; i++) {
        bias[i] = (uint64_t)csl_ring_signed(bias[i], w_bits);
    }
    epoch_keys(&c, n_parties);
    add_layer(&c, n_parties, 0, csl_demand_linear(k, n, bits), w, bias);
    make_shares(c.x, n_parties, x, batch * k, bits, 9);
    alloc_shares(c.y, n_parties, batch * n);
    struct parties all;
    parties_init(&all, n_parties);
    parties_deal(&all, c.demands, 1, (const uint64_t *const *)c.masks, batch, 3);
    parties_run_ok(&all, run_linear, &c);
    join_shares(got, c.y, n_parties, batch * n, bits);
    mpz_t sum, t;
    mpz_inits(sum, t, NULL);
    for (size_t i = 0; i < batch * n; i++) {
        mpz_set_si(sum, (long)bias[i % n]);
        for (size_t j = 0; j < k; j++) {
            mpz_set_si(t, (long)x[i / n * k + j]);
            mpz_mul_si(t, t, (long)w[j * n + i % n]);
            mpz_add(sum, sum, t);
        }
        if (exact) {
            assert_true(mpz_sizeinbase(sum, 2) < bits);
            assert_int_equal(mpz_cmp_si(sum, (long)csl_ring_signed(got[i], bits)), 0);
        }
        mpz_fdiv_r_2exp(sum, sum, bits);
        assert_int_equal(mpz_cmp_ui(sum, got[i]), 0);
    }
    mpz_clears(sum, t, NULL);
    assert_int_equal(all.party[0].s.stats.rounds, 2);
    parties_clear(&all);
    clear_case(&c, n_parties);
    free(x);
    free(w);
    free(bias);
    free(got);
}

static void linear_equals_exact_integers(void **state) {
    (void)state;
    const unsigned n_parties[] = {2, 3, 5, 16};
    check_linear(2, 700, 30, 50, 64, 10, 20, true); /* by blocks, and what dies there is wiped there */
    for (size_t i = 0; i < 4; i++) {
        check_linear(n_parties[i], 31, 7, 43, 3, 17, 17, true);
        check_linear(n_parties[i], 20, 5, 64, 2, 28, 29, true);
    }
    check_linear(2, 784, 128, 43, 1, 17, 15, true);
    check_linear(2, 1, 1, 64, 1, 31, 32, true);
    for (unsigned bits = 1; bits <= 64; bits++) {
        check_linear(2, 9, 4, bits, 2, 64 < bits ? 64 : bits, bits, false);
    }
    check_linear(3, 40, 33, 43, 300, 17, 17, true); /* more rows than the dealer takes at once */
}

/* A small network: linear, ReLU, linear, ReLU, linear; every layer's weights opened in one round. */
static enum csl_err run_network(struct party *p) {
    struct net_case *c = p->arg;
    unsigned me = p->s.self;
    const struct csl_linear linear[] = {c->layers[me][0], c->layers[me][2], c->layers[me][4]};
    const uint64_t *b[] = {c->b[0][me], c->b[2][me], c->b[4][me]};
    uint64_t *e[] = {c->e[me][0], c->e[me][2], c->e[me][4]};
    TRY(csl_linear_open_all(&p->s, e, linear, b, 3));
    for (size_t d = 0; d < 5; d += 2) {
        TRY(csl_corr_bind_weights(p->corr, d, e[d / 2], &p->s.diag));
    }
    size_t n = csl_corr_batch(p->corr) * 40;
    uint64_t *h = alloc_words(n), *h2 = alloc_words(n);
    enum csl_err err = csl_linear_forward(&p->s, h, &linear[0], c->x[me], p->corr, 0);
    TRY_OUT(err);
    memcpy(c->z[0][me], h, n * sizeof *h);
    TRY_OUT(csl_relu(&p->s, h, h, p->corr, 1));
    TRY_OUT(csl_linear_forward(&p->s, h2, &linear[1], h, p->corr, 2));
    memcpy(c->z[1][me], h2, n * sizeof *h2);
    TRY_OUT(csl_relu(&p->s, h2, h2, p->corr, 3));
    TRY_OUT(csl_linear_forward(&p->s, c->y[me], &linear[2], h2, p->corr, 4));
    csl_output_cut(c->y[me], c->y[me], csl_corr_batch(p->corr) * 10, 43, 4);
out:
    free(h);
    free(h2);
    return err;
}

static void fixed(uint64_t *out, size_t n, double scale, uint32_t stream) {
    test_random(out, n, 64, stream);
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint64_t)(int64_t)((double)(int64_t)out[i] / 0x1p63 * scale * 65536);
    }
}

/* The network in the clear; T5's rounding with r summed over the parties, and T1's: each share loses 12 bits.
 */
static void relu_clear(int64_t *v, const uint64_t *r, uint64_t *const z[], unsigned n_parties, size_t n) {
    int64_t centre = (int64_t)n_parties * 0xfff / 2;
    for (size_t i = 0; i < n; i++) {
        int64_t d = centre + (int64_t)((r[i] & 0xf) << 12);
        for (unsigned p = 0; p < n_parties; p++) {
            d -= (int64_t)((z[p][i] + (p == 0 ? (uint64_t)centre : 0)) & 0xfff);
        }
        v[i] = v[i] + d < 0 ? 0 : (v[i] + d) >> 16;
    }
}

static void linear_clear(int64_t *y, const int64_t *x, const uint64_t *w, const uint64_t *bias, size_t m,
                         size_t k, size_t n) {
    for (size_t i = 0; i < m * n; i++) {
        y[i] = (int64_t)bias[i % n];
        for (size_t j = 0; j < k; j++) {
            y[i] += x[i / n * k + j] * (int64_t)w[j * n + i % n];
        }
    }
}

static void network_is_bit_exact(void **state) {
    (void)state;
    const unsigned n_parties[] = {2, 3, 5, 16};
    enum { M = 5, K = 50, H = 40, O = 10 };
    uint64_t w0[K * H], w1[H * H], w2[H * O], bias[3][H], x[M * K], r1[M * H], r2[M * H];
    fixed(w0, K * H, 0.5, 1);
    fixed(w1, H * H, 0.5, 2);
    fixed(w2, H * O, 0.5, 3);
    for (uint32_t i = 0; i < 3; i++) {
        fixed(bias[i], H, 65536, 4 + i);
    }
    fixed(x, M * K, 1, 8);
    for (size_t t = 0; t < 4; t++) {
        unsigned n = n_parties[t];
        struct net_case c = {.n_layers = 3, .batch = M};
        epoch_keys(&c, n);
        add_layer(&c, n, 0, csl_demand_linear(K, H, 43), w0, bias[0]);
        add_layer(&c, n, 2, csl_demand_linear(H, H, 43), w1, bias[1]);
        add_layer(&c, n, 4, csl_demand_linear(H, O, 43), w2, bias[2]);
        c.demands[1] = c.demands[3] = csl_demand_relu(H, 27, 16, 43);
        make_shares(c.x, n, x, M * K, 43, 9);
        alloc_shares(c.y, n, M * H);
        alloc_shares(c.z[0], n, M * H);
        alloc_shares(c.z[1], n, M * H);
        struct parties all;
        parties_init(&all, n);
        parties_deal(&all, c.demands, 5, (const uint64_t *const *)c.masks, M, 21);
        join_field(r1, &all, 1, CSL_RELU_R);
        join_field(r2, &all, 3, CSL_RELU_R);
        parties_run_ok(&all, run_network, &c);
        int64_t h[M * H], h2[M * H], want[M * H], got[M * O];
        linear_clear(h, (const int64_t *)x, w0, bias[0], M, K, H);
        relu_clear(h, r1, c.z[0], n, M * H);
        linear_clear(h2, h, w1, bias[1], M, H, H);
        relu_clear(h2, r2, c.z[1], n, M * H);
        linear_clear(want, h2, w2, bias[2], M, H, O);
        csl_output_join(got, (const uint64_t *const *)c.y, n, M * O, 43, 4);
        for (size_t i = 0; i < M * O; i++) {
            int64_t error = got[i] - (want[i] >> 4);
            assert_true(error >= -(int64_t)n && error <= (int64_t)n / 2);
        }
        assert_int_equal(all.party[0].s.stats.rounds, 1 + 3 + 2 * 3);
        free_shares(c.z[0], n);
        free_shares(c.z[1], n);
        parties_clear(&all);
        clear_case(&c, n);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_equals_exact_integers),
        cmocka_unit_test(network_is_bit_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
