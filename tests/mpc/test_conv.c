/* Convolutions against the definition in exact integers (GMP); the secure layer over them. Registered once
 * for each path of the matrix products (CONSILIUM_CPU), so that all of them equal the one definition. */
#include "mpc/conv.h"

#include "parties.h"

#include <gmp.h>
#include <stdlib.h>
#include <string.h>

struct triple {
    uint64_t *d, *w, *y;
};

static struct triple operands(const struct csl_conv_shape *s, size_t batch, uint32_t stream) {
    struct triple t = {alloc_words(batch * csl_conv_inputs(s)), alloc_words(csl_conv_weights(s)),
                       alloc_words(batch * csl_conv_outputs(s))};
    test_random(t.d, batch * csl_conv_inputs(s), 64, stream);
    test_random(t.w, csl_conv_weights(s), 64, stream + 1);
    test_random(t.y, batch * csl_conv_outputs(s), 64, stream + 2);
    return t;
}

static void triple_free(struct triple *t) {
    free(t->d);
    free(t->w);
    free(t->y);
}

/* The input at a position of a picture; zero outside. */
static uint64_t pixel(const struct csl_conv_shape *s, const uint64_t *d, int64_t y, int64_t x, size_t c) {
    bool inside = y >= 0 && x >= 0 && y < (int64_t)s->in_h && x < (int64_t)s->in_w;
    return inside ? d[((size_t)y * s->in_w + (size_t)x) * s->in_c + c] : 0;
}

/* One output by the definition: y0 + sum over the window, not reduced. */
static void define_output(mpz_t sum, const struct csl_conv_shape *s, const uint64_t *d, const uint64_t *w,
                          uint64_t y0, size_t oy, size_t ox, size_t oc) {
    size_t in_g = s->in_c / s->groups, group = oc / (s->out_c / s->groups);
    mpz_t a;
    mpz_init(a);
    mpz_set_ui(sum, y0);
    for (size_t ky = 0; ky < s->kernel_h; ky++) {
        for (size_t kx = 0; kx < s->kernel_w; kx++) {
            for (size_t c = 0; c < in_g; c++) {
                int64_t y = (int64_t)(oy * s->stride_h + ky * s->dilation_h) - (int64_t)s->pad_top;
                int64_t x = (int64_t)(ox * s->stride_w + kx * s->dilation_w) - (int64_t)s->pad_left;
                mpz_set_ui(a, pixel(s, d, y, x, group * in_g + c));
                mpz_mul_ui(a, a, w[((ky * s->kernel_w + kx) * in_g + c) * s->out_c + oc]);
                mpz_add(sum, sum, a);
            }
        }
    }
    mpz_clear(a);
}

static void define(uint64_t *out, const struct csl_conv_shape *s, const struct triple *t, size_t batch,
                   unsigned bits) {
    mpz_t sum;
    mpz_init(sum);
    for (size_t i = 0; i < batch * csl_conv_outputs(s); i++) {
        size_t at = i % csl_conv_outputs(s), oc = at % s->out_c, ox = at / s->out_c % s->out_w;
        define_output(sum, s, t->d + i / csl_conv_outputs(s) * csl_conv_inputs(s), t->w, t->y[i],
                      at / s->out_c / s->out_w, ox, oc);
        mpz_fdiv_r_2exp(sum, sum, bits);
        out[i] = mpz_get_ui(sum);
    }
    mpz_clear(sum);
}

/* y += conv(d, w) with d public and secret equals the definition, whatever y held. */
static void check_shape(const struct csl_conv_shape *s, size_t batch, unsigned bits, uint32_t stream) {
    struct csl_diag diag = {""};
    if (csl_conv_check(s, &diag) != CSL_OK) {
        fail_msg("%s", diag.text);
    }
    struct triple t = operands(s, batch, stream);
    size_t n = batch * csl_conv_outputs(s);
    uint64_t *want = alloc_words(n), *got = alloc_words(n);
    define(want, s, &t, batch, bits);
    for (int secret = 0; secret < 2; secret++) {
        memcpy(got, t.y, n * sizeof *got);
        assert_int_equal(csl_conv_acc(got, t.d, t.w, s, batch, bits, secret == 1), CSL_OK);
        for (size_t i = 0; i < n; i++) {
            if (got[i] != want[i]) {
                fail_msg(
                    "%ux%ux%u -> %ux%ux%u, kernel %ux%u, stride %u,%u, pad %u,%u, dilation %u,%u, groups %u, "
                    "batch %zu, mod 2^%u: output %zu is %llx, not %llx",
                    s->in_h, s->in_w, s->in_c, s->out_h, s->out_w, s->out_c, s->kernel_h, s->kernel_w,
                    s->stride_h, s->stride_w, s->pad_top, s->pad_left, s->dilation_h, s->dilation_w,
                    s->groups, batch, bits, i, (unsigned long long)got[i], (unsigned long long)want[i]);
            }
        }
    }
    free(want);
    free(got);
    triple_free(&t);
}

/* Output size of one direction with padding `before` and `after`; 0 when the kernel does not fit. */
static uint32_t out_size(uint32_t in, uint32_t kernel, uint32_t stride, uint32_t dilation, uint32_t pads) {
    uint32_t extent = (kernel - 1) * dilation + 1;
    return in + pads < extent ? 0 : (in + pads - extent) / stride + 1;
}

static struct csl_conv_shape shape(uint32_t in_h, uint32_t in_w, uint32_t in_c, uint32_t out_c,
                                   uint32_t kernel, uint32_t stride, uint32_t pad, uint32_t dilation,
                                   uint32_t groups) {
    return (struct csl_conv_shape){in_h,
                                   in_w,
                                   in_c,
                                   out_size(in_h, kernel, stride, dilation, 2 * pad),
                                   out_size(in_w, kernel, stride, dilation, 2 * pad),
                                   out_c,
                                   kernel,
                                   kernel,
                                   stride,
                                   stride,
                                   pad,
                                   pad,
                                   dilation,
                                   dilation,
                                   groups};
}

static void known_networks(void **state) {
    (void)state;
    const struct csl_conv_shape shapes[] = {
        shape(28, 28, 1, 16, 5, 1, 0, 1, 1),                                      /* MiniONN */
        shape(12, 12, 16, 16, 5, 1, 0, 1, 1), shape(28, 28, 1, 6, 5, 1, 2, 1, 1), /* LeNet-5 */
        shape(5, 5, 16, 120, 5, 1, 0, 1, 1), /* as a convolution of the whole picture */
        shape(8, 8, 64, 32, 1, 1, 0, 1, 1),  /* pointwise */
        shape(9, 9, 16, 24, 1, 2, 0, 1, 1),  /* a residual network's shortcut */
        shape(9, 7, 16, 8, 3, 1, 1, 1, 1),    shape(9, 7, 12, 12, 3, 2, 1, 1, 12), /* depthwise */
        shape(9, 7, 5, 15, 3, 1, 1, 1, 5),  /* depthwise, multiplier 3 */
        shape(9, 7, 12, 18, 3, 1, 1, 2, 3), /* groups, dilated */
        shape(6, 6, 4, 3, 1, 1, 1, 1, 1),   /* pointwise with padding: the border is y */
        shape(4, 4, 2, 3, 3, 1, 5, 1, 1),   /* windows wholly outside */
        shape(1, 1, 40, 30, 1, 1, 0, 1, 1),
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_shape(&shapes[i], 1, 64, 1);
        check_shape(&shapes[i], 3, 43, 2);
    }
    struct csl_conv_shape same =
        shape(7, 8, 3, 5, 4, 2, 1, 1, 1); /* SAME_UPPER: one more after than before */
    same.out_h = 4;
    same.out_w = 4;
    check_shape(&same, 2, 52, 3);
    struct csl_conv_shape wide = shape(2, 200, 4, 4, 2, 1, 0, 1, 1); /* several blocks of unfolded rows */
    check_shape(&wide, 30, 50, 4);
}

/* Little of these windows is picture: what holds the zeros between would be larger than any memory. */
static void windows_far_apart(void **state) {
    (void)state;
    const uint32_t far = 1 << 20;
    const struct csl_conv_shape shapes[] = {
        {8, 8, 1, 5, 5, 2, 3, 3, far, far, far, far, 1, 1, 1},
        {8, 8, 3, 4, 4, 2, 2, 2, 1, 1, far, far, far, far, 1},
        {8, 8, 1, 1, 5, 2, 2, 1, 1, 2, 0, 0, far, 1, 1},
        {6, 6, 4, 8, 8, 4, 3, 3, far, far, 2 * far, 2 * far, 1, 1, 2},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_shape(&shapes[i], 2, 40, 6);
    }
}

/* What is taken, by hand; beside the kernels themselves, which take as much as csl_conv_scratch says. */
static void scratch(void **state) {
    (void)state;
    enum { WORDS = 1 << 15, SPARE = 8 };
    const struct {
        struct csl_conv_shape s;
        size_t batch, threads, words;
    } cases[] = {
        {shape(8, 8, 64, 32, 1, 1, 0, 1, 1), 5, 1, 0},                /* pointwise: plain */
        {shape(28, 28, 1, 16, 5, 1, 0, 1, 1), 5, 1, 0},               /* windows where they stand */
        {shape(9, 7, 12, 12, 3, 2, 1, 1, 12), 5, 1, 0},               /* depthwise */
        {shape(28, 28, 1, 6, 5, 1, 2, 1, 1), 5, 1, 5 * 32 * 32},      /* zeros around */
        {shape(28, 28, 1, 6, 5, 1, 2, 1, 1), 50, 1, 32 * 32 * 32},    /* 32 pictures in 256 KB */
        {shape(28, 28, 1, 6, 5, 1, 2, 1, 1), 50, 2, 50 * 32 * 32},    /* 64 */
        {shape(200, 200, 3, 6, 3, 1, 1, 1, 1), 50, 2, 202 * 202 * 3}, /* one, which is more */
        {shape(3, 3, 4, 6, 3, 1, 1, 2, 1), 1, 1, 1 * 36 + SPARE},     /* dilated: unfolded */
        {shape(40, 40, 64, 6, 3, 1, 1, 2, 1), 9, 1, WORDS / 576 / 12 * 12 * 576 + SPARE},
        {shape(40, 40, 640, 6, 3, 1, 1, 2, 1), 9, 1, 48 * 5760 + SPARE},         /* 48 rows, which is more */
        {shape(3, 3, 4, 6, 3, 1, 0, 1, 2), 1, 1, 1 * (18 + 3) + 18 * 3 + SPARE}, /* groups */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(csl_conv_check(&cases[i].s, NULL), CSL_OK);
        assert_int_equal(csl_conv_scratch(&cases[i].s, cases[i].batch, cases[i].threads), cases[i].words);
    }
}

static uint32_t in_range(uint64_t random, uint32_t lo, uint32_t hi) {
    return lo + (uint32_t)(random % (hi - lo + 1));
}

static void random_shapes(void **state) {
    (void)state;
    for (uint32_t i = 0, checked = 0; checked < 400; i++) {
        uint64_t r[16];
        test_random(r, 16, 32, 1000 + i);
        struct csl_conv_shape s = {.in_h = in_range(r[0], 1, 11),
                                   .in_w = in_range(r[1], 1, 11),
                                   .kernel_h = in_range(r[2], 1, 5),
                                   .kernel_w = in_range(r[3], 1, 5),
                                   .stride_h = in_range(r[4], 1, 3),
                                   .stride_w = in_range(r[5], 1, 3),
                                   .pad_top = in_range(r[6], 0, 3),
                                   .pad_left = in_range(r[7], 0, 3),
                                   .dilation_h = in_range(r[8], 1, 3),
                                   .dilation_w = in_range(r[9], 1, 3),
                                   .groups = i % 3 == 0 ? in_range(r[10], 2, 4) : 1};
        s.in_c = s.groups * (i % 2 == 0 ? 1 : in_range(r[11], 1, 9));
        s.out_c = s.groups * in_range(r[12], 1, 18);
        s.out_h = out_size(s.in_h, s.kernel_h, s.stride_h, s.dilation_h, s.pad_top + in_range(r[13], 0, 3));
        s.out_w = out_size(s.in_w, s.kernel_w, s.stride_w, s.dilation_w, s.pad_left + in_range(r[14], 0, 3));
        if (s.out_h != 0 && s.out_w != 0) {
            check_shape(&s, in_range(r[15], 1, 4), 1 + i % 64, 5);
            checked++;
        }
    }
}

static void refused(struct csl_conv_shape s) {
    struct csl_diag diag = {""};
    assert_int_equal(csl_conv_check(&s, &diag), CSL_EDATA);
    assert_true(diag.text[0] != '\0');
    assert_int_equal(csl_conv_check(&s, NULL), CSL_EDATA);
}

static void shapes_at_their_limits(void **state) {
    (void)state;
    const struct csl_conv_shape good = shape(9, 9, 6, 4, 3, 1, 1, 1, 2);
    assert_int_equal(csl_conv_check(&good, NULL), CSL_OK);
    assert_int_equal(csl_conv_inputs(&good), 9 * 9 * 6);
    assert_int_equal(csl_conv_outputs(&good), 9 * 9 * 4);
    assert_int_equal(csl_conv_weights(&good), 3 * 3 * 3 * 4);
    enum { N_FIELDS = sizeof good / sizeof(uint32_t), TOP = 10, LEFT = 11 };
    for (size_t i = 0; i < N_FIELDS; i++) { /* every field is a uint32_t */
        uint32_t v[N_FIELDS];
        struct csl_conv_shape s;
        const uint32_t wrong[] = {0, CSL_MAX_DIM + 1, UINT32_MAX};
        for (size_t k = i == TOP || i == LEFT ? 1 : 0; k < 3; k++) {
            memcpy(v, &good, sizeof good);
            v[i] = wrong[k];
            memcpy(&s, v, sizeof s);
            refused(s);
        }
    }
    struct csl_conv_shape s = good;
    s.groups = 4; /* divides the outputs alone */
    refused(s);
    s.groups = 3;
    refused(s);
    refused(shape(1 << 12, 1 << 12, 2, 1, 1, 1, 0, 1, 1));           /* inputs */
    refused(shape(1 << 12, 1 << 12, 1, 2, 1, 1, 0, 1, 1));           /* outputs */
    refused(shape(1, 1, CSL_MAX_DIM, 1, 1 << 13, 1, 1 << 13, 1, 1)); /* weights */
    s = good;
    s.out_h = CSL_MAX_DIM;
    s.stride_h = CSL_MAX_DIM;
    refused(s);
    s = good;
    s.out_h = 1;
    s.out_w = 1;
    s.kernel_w = 1 << 14;
    s.dilation_w = 1 << 14; /* padding behind the picture */
    refused(s);
    s = csl_conv_dense(CSL_MAX_DIM, CSL_MAX_DIM);
    assert_int_equal(csl_conv_check(&s, NULL), CSL_OK);
}

/* ---- the secure layer ---- */

struct layer_case {
    struct csl_demand demand;
    uint64_t *w[CSL_MAX_PARTIES], *bias[CSL_MAX_PARTIES], *b[CSL_MAX_PARTIES];
    uint64_t *x[CSL_MAX_PARTIES], *y[CSL_MAX_PARTIES];
    bool has_bias;
};

static enum csl_err run_layer(struct party *p) {
    struct layer_case *c = p->arg;
    unsigned me = p->s.self;
    size_t n_w = csl_conv_weights(&c->demand.conv);
    const struct csl_linear layer = {c->w[me], c->has_bias ? c->bias[me] : NULL, c->demand.conv,
                                     c->demand.bits};
    uint64_t *e = alloc_words(n_w);
    enum csl_err err = csl_linear_open_weights(&p->s, e, layer.w, c->b[me], n_w, layer.bits);
    TRY_OUT(err);
    TRY_OUT(csl_corr_bind_weights(p->corr, 0, e, &p->s.diag));
    p->s.stats.bytes_per_peer = 0;
    TRY_OUT(csl_linear_forward(&p->s, c->y[me], &layer, c->x[me], p->corr, 0));
out:
    free(e);
    return err;
}

/* Y = conv(X, W) + bias mod 2^bits at the sum of the shares; the wire carries X once, not unfolded. */
static void check_layer(unsigned n_parties, const struct csl_conv_shape *s, unsigned bits, size_t batch,
                        bool has_bias) {
    struct layer_case c = {.demand = csl_demand_conv(s, bits), .has_bias = has_bias};
    size_t n_w = csl_conv_weights(s), n_x = batch * csl_conv_inputs(s), n_y = batch * csl_conv_outputs(s);
    struct triple t = operands(s, batch, 31);
    uint64_t *bias = alloc_words(s->out_c), *mask = alloc_words(n_w), *want = alloc_words(n_y);
    uint64_t *got = alloc_words(n_y);
    const uint64_t *masks[1] = {mask};
    test_random(bias, s->out_c, 64, 41);
    test_random(mask, n_w, bits, 42);
    make_shares(c.w, n_parties, t.w, n_w, bits, 51);
    make_shares(c.bias, n_parties, bias, s->out_c, bits, 52);
    make_shares(c.b, n_parties, mask, n_w, bits, 53);
    make_shares(c.x, n_parties, t.d, n_x, 64, 54);
    alloc_shares(c.y, n_parties, n_y);
    for (size_t i = 0; i < n_y; i++) {
        t.y[i] = has_bias ? bias[i % s->out_c] : 0;
    }
    define(want, s, &t, batch, bits);
    struct parties all;
    parties_init(&all, n_parties);
    parties_deal(&all, &c.demand, 1, masks, batch, 61);
    parties_run_ok(&all, run_layer, &c);
    join_shares(got, c.y, n_parties, n_y, bits);
    assert_memory_equal(got, want, n_y * sizeof *got);
    assert_int_equal(all.party[0].s.stats.bytes_per_peer, (n_x * bits + 7) / 8);
    assert_int_equal(all.party[0].s.stats.rounds, 2);
    parties_clear(&all);
    free_shares(c.w, n_parties);
    free_shares(c.bias, n_parties);
    free_shares(c.b, n_parties);
    free_shares(c.x, n_parties);
    free_shares(c.y, n_parties);
    free(bias);
    free(mask);
    free(want);
    free(got);
    triple_free(&t);
}

static void secure_layers(void **state) {
    (void)state;
    const struct csl_conv_shape shapes[] = {
        shape(12, 12, 3, 16, 5, 1, 0, 1, 1), shape(9, 7, 4, 6, 3, 2, 1, 1, 1),
        shape(7, 7, 6, 6, 3, 1, 1, 1, 6),    shape(7, 6, 6, 9, 3, 1, 1, 2, 3),
        shape(5, 5, 7, 4, 1, 1, 0, 1, 1),    shape(4, 4, 3, 10, 4, 1, 0, 1, 1),
    };
    const unsigned n_parties[] = {2, 3, 5};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (size_t p = 0; p < 3; p++) {
            check_layer(n_parties[p], &shapes[i], 43, 1 + i % 3, true);
            check_layer(n_parties[p], &shapes[i], p == 0 ? 64 : 1 + 11 * (unsigned)i, 2, i % 2 == 0);
        }
    }
    struct csl_conv_shape large =
        shape(96, 96, 64, 4, 1, 1, 0, 1, 1); /* the dealer takes a few rows at once */
    check_layer(2, &large, 40, 8, true);
}

/* A layer whose kernel differs from its correlation's opens nothing. */
static void another_kernel_is_refused(void **state) {
    (void)state;
    const struct csl_conv_shape s = shape(6, 6, 2, 3, 3, 1, 1, 1, 1);
    struct csl_conv_shape other = s;
    other.dilation_h = 2;
    other.pad_top = 2; /* the same sizes */
    struct csl_demand d = csl_demand_conv(&s, 20);
    uint64_t mask[3 * 3 * 2 * 3] = {0}, x[72] = {0}, y[108];
    const uint64_t *masks[1] = {mask};
    struct parties all;
    parties_init(&all, 2);
    parties_deal(&all, &d, 1, masks, 1, 1);
    struct csl_session *session = &all.party[0].s;
    assert_int_equal(csl_corr_bind_weights(all.party[0].corr, 0, mask, NULL), CSL_OK);
    memset(y, 1, sizeof y);
    const struct csl_linear layer = {mask, NULL, other, 20};
    assert_int_equal(csl_linear_forward(session, y, &layer, x, all.party[0].corr, 0), CSL_EINTERNAL);
    assert_non_null(strstr(session->diag.text, "kernels differ"));
    assert_int_equal(session->stats.rounds, 0);
    assert_int_equal(y[0] | y[107], 0);
    assert_null(all.party[0].corr->demands[0].words);
    parties_clear(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_networks),
        cmocka_unit_test(windows_far_apart),
        cmocka_unit_test(scratch),
        cmocka_unit_test(random_shapes),
        cmocka_unit_test(shapes_at_their_limits),
        cmocka_unit_test(secure_layers),
        cmocka_unit_test(another_kernel_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
