/* A whole inference with every share, seed and mask marked secret: input, linear, ReLU, truncation, linear,
 * output; and convolutions, a maximum and an arg-max; comparisons in both forms; and the check of the dealer.
 * In the ct preset it runs under valgrind, which reports each branch or index on a secret, and each share
 * that leaves unopened. `test_ct_flow leak` is the negative control: a party sends a share that nobody
 * opened; it must be reported.
 */
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "mpc/check.h"
#include "mpc/epoch.h"
#include "mpc/share.h"
#include "parties.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, K = 9, H = 70, O = 4, L = 31, F = 10, KBITS = 21, CUT = 3 };

struct flow {
    struct csl_demand demands[4];
    struct csl_epoch_keys keys[CSL_MAX_PARTIES];
    uint8_t mask_id[32];
    uint64_t *masks[4];
    uint64_t *w[2][CSL_MAX_PARTIES];
    uint8_t input_seeds[15 * 32];
    uint64_t input_last[BATCH * K];
    uint64_t *out[CSL_MAX_PARTIES];
};

static enum csl_err infer(struct party *p) {
    struct flow *c = p->arg;
    unsigned me = p->s.self;
    uint64_t x[BATCH * K], h[BATCH * H], y[BATCH * O], e[K * H], b[K * H];
    const struct csl_linear first = {c->w[0][me], NULL, csl_conv_dense(K, H), L},
                            second = {c->w[1][me], NULL, csl_conv_dense(H, O), L};
    if (me + 1 == p->s.n_parties) {
        memcpy(x, c->input_last, sizeof x);
        CSL_SECRET(x, sizeof x);
    } else {
        TRY(csl_share_expand(x, c->input_seeds + 32 * me, BATCH * K, L));
    }
    TRY(csl_weight_mask(b, &c->keys[me], c->mask_id, 0, K * H, L));
    TRY(csl_linear_open_weights(&p->s, e, first.w, b, K * H, L));
    TRY(csl_corr_bind_weights(p->corr, 0, e, &p->s.diag));
    TRY(csl_weight_mask(b, &c->keys[me], c->mask_id, 3, H * O, L));
    TRY(csl_linear_open_weights(&p->s, e, second.w, b, H * O, L));
    TRY(csl_corr_bind_weights(p->corr, 3, e, &p->s.diag));
    TRY(csl_linear_forward(&p->s, h, &first, x, p->corr, 0));
    TRY(csl_relu(&p->s, h, h, p->corr, 1));
    for (size_t i = 0; i < BATCH * H; i++) {
        h[i] <<= F; /* so that the truncation has something to cut */
    }
    TRY(csl_trunc(&p->s, h, h, p->corr, 2));
    TRY(csl_linear_forward(&p->s, y, &second, h, p->corr, 3));
    csl_output_cut(c->out[me], y, BATCH * O, L, CUT);
    CSL_PUBLIC(c->out[me], BATCH * O * sizeof(uint64_t)); /* sealed to the client */
    return CSL_OK;
}

static struct csl_demand in_form(struct csl_demand d, enum csl_form form) {
    return form == CSL_FORM_WAN ? csl_demand_wan(d) : d;
}

static void set_up(struct flow *c, unsigned n, enum csl_form form, uint64_t *w0, uint64_t *w1) {
    uint8_t id[32] = "epoch", package[32] = "package", seed[32];
    assert_int_equal(csl_mask_id(c->mask_id, package, id), CSL_OK);
    for (unsigned p = 0; p < n; p++) {
        memset(seed, (int)p + 1, sizeof seed);
        CSL_SECRET(seed, sizeof seed);
        assert_int_equal(csl_epoch_keys_derive(&c->keys[p], id, seed), CSL_OK);
    }
    c->demands[0] = csl_demand_linear(K, H, L);
    c->demands[1] = in_form(csl_demand_relu(H, KBITS, F, L), form);
    c->demands[2] = csl_demand_trunc(H, KBITS, F, L);
    c->demands[3] = csl_demand_linear(H, O, L);
    for (size_t d = 0; d < 4; d += 3) {
        size_t size = d == 0 ? K * H : H * O;
        c->masks[d] = alloc_words(size);
        assert_int_equal(csl_weight_mask_sum(c->masks[d], c->keys, n, c->mask_id, (uint32_t)d, size, L),
                         CSL_OK);
    }
    make_shares(c->w[0], n, w0, K * H, L, 3);
    make_shares(c->w[1], n, w1, H * O, L, 4);
    alloc_shares(c->out, n, BATCH * O);
}

static int64_t clear_output(const uint64_t *x, const uint64_t *w0, const uint64_t *w1, size_t row, size_t o) {
    int64_t sum = 0;
    for (size_t h = 0; h < H; h++) {
        int64_t v = 0;
        for (size_t k = 0; k < K; k++) {
            v += (int64_t)x[row * K + k] * (int64_t)w0[k * H + h];
        }
        sum += (v < 0 ? 0 : v >> F) * (int64_t)w1[h * O + o];
    }
    return sum;
}

static void flow(unsigned n, enum csl_form form) {
    struct flow c = {.masks = {NULL}};
    uint64_t w0[K * H], w1[H * O], x[BATCH * K];
    test_random(w0, K * H, 10, 1);
    test_random(w1, H * O, 4, 2);
    test_random(x, BATCH * K, 10, 3);
    for (size_t i = 0; i < K * H; i++) {
        w0[i] -= 512;
    }
    set_up(&c, n, form, w0, w1);
    assert_int_equal(csl_share_input(c.input_seeds, c.input_last, x, BATCH * K, L, n), CSL_OK);
    CSL_PUBLIC(c.input_seeds, sizeof c.input_seeds); /* sealed to the parties */
    CSL_PUBLIC(c.input_last, sizeof c.input_last);
    struct parties all;
    parties_init(&all, n);
    parties_deal(&all, c.demands, 4, (const uint64_t *const *)c.masks, BATCH, 5);
    parties_run_ok(&all, infer, &c);
    int64_t out[BATCH * O];
    csl_output_join(out, (const uint64_t *const *)c.out, n, BATCH * O, L, CUT);
    for (size_t i = 0; i < BATCH * O; i++) {
        int64_t want = clear_output(x, w0, w1, i / O, i % O) >> CUT;
        int64_t slack =
            (H << 4 >> CUT) + (int64_t)n; /* one unit of rounding a ReLU, times the largest weight */
        assert_true(out[i] >= want - slack && out[i] <= want + slack);
    }
    parties_clear(&all);
    free(c.masks[0]);
    free(c.masks[3]);
    free_shares(c.w[0], n);
    free_shares(c.w[1], n);
    free_shares(c.out, n);
}

/* ---- the check of the dealer ---- */

enum { CHECKED = 2, DEALT = 5 };

static enum csl_err check_dealer(struct party *p) {
    struct flow *c = p->arg;
    unsigned me = p->s.self, n = p->s.n_parties;
    uint8_t coin[CSL_COIN_BYTES], own[CHECKED * CSL_CHECK_KEY_BYTES], matrix[32], bits[32];
    uint8_t opened[CSL_MAX_PARTIES * sizeof own], seed[CSL_INDEX_SEED_BYTES];
    uint32_t rows[CHECKED];
    size_t chunk = csl_correction_bytes(c->demands, 4);
    TRY(csl_check_toss(&p->s, coin, NULL));
    TRY(csl_check_choose(rows, CHECKED, DEALT, coin));
    for (size_t i = 0; i < CHECKED; i++) {
        test_seed(seed, 6, rows[i], me);
        memcpy(own + i * CSL_CHECK_KEY_BYTES, seed + CSL_SEED_BYTES, CSL_SEED_BYTES);
        TRY(csl_sha256_once(own + i * CSL_CHECK_KEY_BYTES + CSL_SEED_BYTES, seed, CSL_SEED_BYTES));
    }
    TRY(csl_check_open(&p->s, opened, own, CHECKED, 0));
    for (size_t i = 0; i < CHECKED && me + 1 == n; i++) {
        uint8_t *corrections = malloc(chunk);
        assert_non_null(corrections);
        TRY(csl_corr_corrections(corrections, chunk, p->corr, rows[i], NULL));
        TRY(csl_correction_digests(matrix, bits, c->demands, 4, corrections, chunk));
        CSL_PUBLIC(bits, sizeof bits);
        CSL_PUBLIC(corrections, chunk); /* of a row that is discarded */
        TRY(csl_check_bits(c->demands, 4, n, opened + i * CSL_CHECK_KEY_BYTES, sizeof own, bits, corrections,
                           NULL));
        free(corrections);
    }
    TRY(csl_check_sacrifice(&p->s, p->corr, rows, CHECKED, coin, &c->keys[me], c->mask_id));
    return csl_corr_discard(p->corr, rows, CHECKED, NULL);
}

static void check_flow(unsigned n) {
    struct flow c = {.masks = {NULL}};
    uint64_t w0[K * H], w1[H * O];
    test_random(w0, K * H, 10, 1);
    test_random(w1, H * O, 4, 2);
    set_up(&c, n, CSL_FORM_LAN, w0, w1);
    /* here the second layer's mask has the number that it has in a plan (K5) */
    assert_int_equal(csl_weight_mask_sum(c.masks[3], c.keys, n, c.mask_id, 1, H * O, L), CSL_OK);
    struct parties all;
    parties_init(&all, n);
    parties_deal(&all, c.demands, 4, (const uint64_t *const *)c.masks, DEALT, 6);
    parties_run_ok(&all, check_dealer, &c);
    assert_int_equal(csl_corr_batch(all.party[0].corr), DEALT - CHECKED);
    parties_clear(&all);
    free(c.masks[0]);
    free(c.masks[3]);
    free_shares(c.w[0], n);
    free_shares(c.w[1], n);
    free_shares(c.out, n);
}

/* ---- a convolution, a maximum and an arg-max ---- */

/* 5 x 4 x 2 through a 3 x 3 kernel with padding, and through groups and depthwise, to pairs of pixels. */
enum { CH = 5, CW = 4, CC = 2, PIXELS = CH * CW, N_CONV = 3 };

struct pool_flow {
    struct csl_demand demands[N_CONV + 2];
    uint64_t *masks[N_CONV + 2];
    uint64_t *mask_shares[N_CONV][CSL_MAX_PARTIES], *w[N_CONV][CSL_MAX_PARTIES];
    uint64_t *x[CSL_MAX_PARTIES], *out[CSL_MAX_PARTIES], *label[CSL_MAX_PARTIES];
};

static struct csl_conv_shape same_size(uint32_t channels, uint32_t groups) {
    return (struct csl_conv_shape){.in_h = CH,
                                   .in_w = CW,
                                   .in_c = channels,
                                   .out_h = CH,
                                   .out_w = CW,
                                   .out_c = 4,
                                   .kernel_h = 3,
                                   .kernel_w = 3,
                                   .stride_h = 1,
                                   .stride_w = 1,
                                   .pad_top = 1,
                                   .pad_left = 1,
                                   .dilation_h = 1,
                                   .dilation_w = 1,
                                   .groups = groups};
}

static enum csl_err infer_pool(struct party *p) {
    struct pool_flow *c = p->arg;
    unsigned me = p->s.self;
    uint64_t h[PIXELS * 4], y[PIXELS * 4], e[3 * 3 * 4 * 4], label[PIXELS] = {0}, other[PIXELS];
    memcpy(h, c->x[me], PIXELS * CC * sizeof *h);
    for (size_t i = 0; i < N_CONV; i++) {
        const struct csl_linear layer = {c->w[i][me], NULL, c->demands[i].conv, L};
        TRY(csl_linear_open_weights(&p->s, e, layer.w, c->mask_shares[i][me], csl_conv_weights(&layer.conv),
                                    L));
        TRY(csl_corr_bind_weights(p->corr, i, e, &p->s.diag));
        TRY(csl_linear_forward(&p->s, y, &layer, h, p->corr, i));
        memcpy(h, y, sizeof h);
    }
    /* the two halves of the outputs against each other, then once more with their numbers */
    TRY(csl_max(&p->s, h, h, h + PIXELS * 2, p->corr, N_CONV));
    for (size_t i = 0; i < PIXELS; i++) {
        other[i] = me == 0;
    }
    TRY(csl_argmax_step(&p->s, c->out[me], c->label[me], h, label, h + PIXELS, other, p->corr, N_CONV + 1));
    CSL_PUBLIC(c->out[me], PIXELS * sizeof(uint64_t)); /* sealed to the client */
    CSL_PUBLIC(c->label[me], PIXELS * sizeof(uint64_t));
    return CSL_OK;
}

static void pool_flow(unsigned n, enum csl_form form) {
    struct pool_flow c = {.masks = {NULL}};
    const struct csl_conv_shape shapes[N_CONV] = {same_size(CC, 1), same_size(4, 2), same_size(4, 4)};
    uint64_t v[3 * 3 * 4 * 4], first[PIXELS], second[PIXELS];
    for (uint32_t i = 0; i < N_CONV; i++) {
        size_t size = csl_conv_weights(&shapes[i]);
        c.demands[i] = csl_demand_conv(&shapes[i], L);
        c.masks[i] = alloc_words(size);
        test_random(c.masks[i], size, L, 70 + i);
        make_shares(c.mask_shares[i], n, c.masks[i], size, L, 73 + i);
        CSL_SECRET(c.masks[i], size * sizeof *c.masks[i]);
        test_random(v, size, 3, 80 + i);
        make_shares(c.w[i], n, v, size, L, 83 + i);
    }
    c.demands[N_CONV] = in_form(csl_demand_max(PIXELS * 2, KBITS, F), form);
    c.demands[N_CONV + 1] = in_form(csl_demand_argmax(PIXELS, KBITS, F, 1), form);
    test_random(v, PIXELS * CC, 8, 90);
    make_shares(c.x, n, v, PIXELS * CC, L, 91);
    alloc_shares(c.out, n, PIXELS);
    alloc_shares(c.label, n, PIXELS);
    struct parties all;
    parties_init(&all, n);
    parties_deal(&all, c.demands, N_CONV + 2, (const uint64_t *const *)c.masks, 1, 5);
    parties_run_ok(&all, infer_pool, &c);
    join_shares(first, c.out, n, PIXELS, L);
    join_shares(second, c.label, n, PIXELS, 1);
    size_t ones = 0;
    for (size_t i = 0; i < PIXELS; i++) {
        assert_true(first[i] > 0 && first[i] < (uint64_t)1 << (L - 2)); /* weights and inputs are positive */
        ones += second[i];
    }
    assert_true(ones > 0 && ones < PIXELS);
    parties_clear(&all);
    for (size_t i = 0; i < N_CONV; i++) {
        free(c.masks[i]);
        free_shares(c.mask_shares[i], n);
        free_shares(c.w[i], n);
    }
    free_shares(c.x, n);
    free_shares(c.out, n);
    free_shares(c.label, n);
}

static void convolution_and_maximum(void **state) {
    (void)state;
    pool_flow(2, CSL_FORM_LAN);
    pool_flow(3, CSL_FORM_LAN);
    pool_flow(3, CSL_FORM_WAN);
}

static void dealer_is_checked(void **state) {
    (void)state;
    check_flow(2);
    check_flow(3);
}

static void whole_flow(void **state) {
    (void)state;
    flow(2, CSL_FORM_LAN);
    flow(3, CSL_FORM_LAN);
    flow(3, CSL_FORM_WAN);
}

/* Sends a share as it is. */
static enum csl_err leak(struct party *p) {
    uint8_t share[8], in_bytes[CSL_MAX_PARTIES][8];
    uint8_t *in[CSL_MAX_PARTIES];
    for (size_t i = 0; i < CSL_MAX_PARTIES; i++) {
        in[i] = in_bytes[i];
    }
    memset(share, (int)p->s.self, sizeof share);
    CSL_SECRET(share, sizeof share);
    return p->s.link->ops->exchange(p->s.link, in, 1, share, sizeof share, NULL);
}

static void leak_a_share(void **state) {
    (void)state;
    struct parties all;
    parties_init(&all, 2);
    parties_run_ok(&all, leak, NULL);
    parties_clear(&all);
}

int main(int argc, char **argv) {
    const struct CMUnitTest good[] = {cmocka_unit_test(whole_flow), cmocka_unit_test(dealer_is_checked),
                                      cmocka_unit_test(convolution_and_maximum)};
    const struct CMUnitTest bad[] = {cmocka_unit_test(leak_a_share)};
    return argc > 1 && strcmp(argv[1], "leak") == 0 ? cmocka_run_group_tests(bad, NULL, NULL)
                                                    : cmocka_run_group_tests(good, NULL, NULL);
}
