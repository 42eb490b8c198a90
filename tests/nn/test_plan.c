/* Widths from intervals, fixed point against float, what is refused. */
#include "cnn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static unsigned count_of(const struct csl_plan *plan, enum csl_step_kind kind) {
    unsigned n = 0;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        n += plan->steps[i].kind == kind;
    }
    return n;
}

/* ---- widths ---- */

/* The interval's extreme of z_j is reached by an input at the interval's ends: compare by trying all of them.
 */
static void test_interval_is_tight(void **state) {
    (void)state;
    struct built *b = build(net_two_layers(1, 1, true), NULL);
    double lo = 0, hi = 0;
    for (unsigned corner = 0; corner < 1U << 6; corner++) {
        for (int j = 0; j < 5; j++) {
            double z = (double)b->q.layers[0].b[j];
            for (int i = 0; i < 6; i++) {
                z += (corner >> i & 1 ? 65536.0 : -65536.0) * (double)b->q.layers[0].w[i * 5 + j];
            }
            lo = fmin(lo, z);
            hi = fmax(hi, z);
        }
    }
    const struct csl_step *relu = &b->plan.steps[1];
    unsigned l = b->plan.steps[0].l_bits;
    assert_true(ldexp(b->report.steps[0].lo, 32) == lo && ldexp(b->report.steps[0].hi, 32) == hi);
    const double low = 32768, high = 65536 + 32768; /* T1's margin, and one unit more above */
    assert_true(-ldexp(1, (int)l - 1) + low <= lo && hi <= ldexp(1, (int)l - 1) - high);
    assert_true(-ldexp(1, (int)l - 2) + low > lo || hi > ldexp(1, (int)l - 2) - high);
    assert_int_equal(relu->kind, CSL_STEP_RELU);
    assert_int_equal(relu->trunc.f, 16);
    assert_int_equal(relu->trunc.k + 16, l);
    assert_int_equal(relu->trunc.out_bits, b->plan.steps[2].l_bits);
    built_free(b);
}

/* An interval that ends exactly where a ring does, half a unit within a power of two below and one and a half
 * above: a little more needs one bit more. */
static void test_width_at_the_edge(void **state) {
    (void)state;
    static const struct {
        double w, b;
        unsigned bits;
    } cases[] = {{-1.0, 0, 34},
                 {-1.0 + 0x1p-16, 0, 33},
                 {1.0 - 0x1p-16, 0, 34},
                 {1.0 - 0x1p-15, 0, 33},
                 {0, -1.0 + 0x1p-17, 33},
                 {0, -1.0 + 0x1p-17 - 0x1p-24, 34},
                 {0, 1.0 - 0x1.8p-16, 33},
                 {0, 1.0 - 0x1.8p-16 + 0x1p-24, 34},
                 {0x1p-16, 0, 19},
                 {0, 0, 18}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct csl_network *net = net_new(1, 1, 1);
        net_dense(net, net_relu(net, net_dense(net, 0, 1, 1, 1)), 1, 1, 2);
        net->nodes[0].w[0] = (float)cases[i].w;
        net->nodes[0].b[0] = (float)cases[i].b;
        struct csl_plan_options opt = csl_plan_options_default(); /* 0..1 */
        struct built *b = build(net, &opt);
        assert_int_equal(b->plan.steps[0].l_bits, cases[i].bits);
        built_free(b);
    }
}

/* Two layers in a row: T6 wants |z| < 2^(l-2). */
static void test_trunc_between(void **state) {
    (void)state;
    struct built *b = build(net_two_layers(1, 1, false), NULL);
    const struct csl_step *trunc = &b->plan.steps[1];
    unsigned l = b->plan.steps[0].l_bits;
    double bound = fmax(-b->report.steps[0].lo, b->report.steps[0].hi);
    assert_int_equal(trunc->kind, CSL_STEP_TRUNC);
    assert_int_equal(trunc->trunc.n_digits, 0);
    assert_int_equal(trunc->trunc.k + trunc->trunc.f, l);
    assert_true(ldexp(bound, 32) < ldexp(1, (int)l - 2) && ldexp(bound, 32) >= ldexp(1, (int)l - 3));
    built_free(b);
}

/* Fewer bits where more do not fit: of weights for the ring, of activations for the comparison. */
static void test_fewer_bits(void **state) {
    (void)state;
    struct built *b = build(net_two_layers(0x1p20, 0x1p-20, true), NULL);
    assert_int_equal(b->plan.steps[0].w_frac, 16);
    assert_int_equal(b->plan.steps[1].trunc.k, 37);
    assert_true(b->plan.values[2].frac < 16);
    built_free(b);
    b = build(net_two_layers(0x1p24, 1, true), NULL);
    assert_true(b->plan.steps[0].w_frac < 16 && b->plan.steps[0].w_frac >= 8);
    assert_true(b->plan.steps[1].trunc.k <= 37);
    built_free(b);
}

static void refused(struct csl_network *net, const struct csl_plan_options *opt, enum csl_err expected,
                    const char *const *words) {
    struct built *b = calloc(1, sizeof *b);
    struct csl_diag diag = {""};
    assert_non_null(b);
    b->net = net;
    assert_int_equal(csl_plan_compile(&b->plan, &b->weights, &b->report, net, opt, &diag), expected);
    assert_int_equal(b->plan.n_steps, 0);
    assert_null(b->weights.layers);
    for (; *words != NULL; words++) {
        if (strstr(diag.text, *words) == NULL) {
            fail_msg("\"%s\" is not in: %s", *words, diag.text);
        }
    }
    built_free(b);
}
#define REFUSED(net, opt, err, ...) refused(net, opt, err, (const char *const[]){__VA_ARGS__, NULL})

static void test_refused(void **state) {
    (void)state;
    struct csl_plan_options opt = csl_plan_options_default();
    REFUSED(net_two_layers(0x1p30, 1, true), &opt, CSL_EDATA, "\"Relu #2\"", "overflow", "fraction bits",
            "sample");
    REFUSED(net_two_layers(0x1p20, 0x1p22, false), &opt, CSL_EDATA, "\"second\"", "overflow",
            "fraction bits");
    REFUSED(net_two_layers(0x1p60, 1, true), &opt, CSL_EDATA, "\"first\"", "weight", "scale");
    struct csl_network *net = net_two_layers(1, 1, true);
    net->nodes[0].w[3] = NAN;
    REFUSED(net, &opt, CSL_EDATA, "\"first\"", "weight 3");
    net = net_new(1, 1, 6);
    net_relu(net, 0);
    REFUSED(net, &opt, CSL_EDATA, "no layer with weights");
    static const unsigned frac[] = {0, 3, 21, 64};
    for (int i = 0; i < 4; i++) {
        opt.frac_bits = frac[i];
        REFUSED(net_two_layers(1, 1, true), &opt, CSL_EUSAGE, "fraction bits");
    }
    opt = csl_plan_options_default();
    static const double bad[][2] = {{0, INFINITY}, {NAN, 1}, {1, 0}, {0, 1e12}, {-1e300, 0}};
    for (int i = 0; i < 5; i++) {
        opt.input = (struct csl_normalization){CSL_NORMALIZE_NONE, bad[i][0], bad[i][1]};
        REFUSED(net_two_layers(1, 1, true), &opt, CSL_EDATA, "interval");
    }
}

/* Step O1: the unit is at least 64 times the noise. */
static void test_output_cut(void **state) {
    (void)state;
    struct built *b = build(net_two_layers(1, 1, true), NULL);
    double worst = 0; /* the first layer's inputs are exact, so its result has variance 1/4 + 1/128 */
    for (int j = 0; j < 3; j++) {
        double v = 0;
        for (int i = 0; i < 5; i++) {
            double w = ldexp((double)b->q.layers[1].w[i * 3 + j], -16);
            v += w * w;
        }
        worst = fmax(worst, v);
    }
    double expected = sqrt(worst * (0.25 + 1.0 / 128)) * 0x1p-16;
    assert_true(fabs(b->report.output_noise_std - expected) < 1e-12);
    assert_true(b->report.output_unit >= 64 * expected && b->report.output_unit < 128 * expected);
    built_free(b);
}

/* ---- fixed point against float ---- */

static void test_like_float(void **state) {
    (void)state;
    enum { N = 16 };
    for (int i = 0; i < N_CNNS; i++) {
        struct csl_plan_options opt = csl_plan_options_default();
        struct built *b = build(cnn(i), i == N_CNNS - 1 ? &opt : NULL);
        size_t n_out = csl_plan_n_outputs(&b->plan);
        float *x = random_inputs(&b->plan, N, (uint32_t)i);
        int64_t *xf = calloc((size_t)N * csl_plan_n_inputs(&b->plan), sizeof *xf);
        int64_t *yf = calloc(N * n_out, sizeof *yf);
        double *y = calloc(N * n_out, sizeof *y);
        assert_true(xf != NULL && yf != NULL && y != NULL);
        assert_int_equal(csl_network_eval(b->net, y, x, N), CSL_OK);
        assert_int_equal(csl_plan_encode_input(&b->plan, xf, x, N, NULL), CSL_OK);
        assert_int_equal(csl_eval_fixed(&b->plan, &b->q, yf, xf, N, NULL, NULL, NULL), CSL_OK);
        double unit = ldexp(b->plan.values[b->plan.n_steps].scale, -(int)csl_plan_output_frac(&b->plan));
        double worst = 0;
        for (size_t j = 0; j < N * n_out; j++) {
            worst = fmax(worst, fabs(y[j] - (double)yf[j] * unit));
        }
        double allowed = 0.002;
        for (uint32_t s = 0; s < b->plan.n_steps; s++) {
            allowed += 4 * b->report.steps[s].approximation;
        }
        if (worst > allowed) {
            fail_msg("network %d: %g beyond %g", i, worst, allowed);
        }
        free(x);
        free(xf);
        free(yf);
        free(y);
        built_free(b);
    }
}

/* Each function alone, over a wide interval: the reported distance holds, and is small. */
static void test_approximations(void **state) {
    (void)state;
    static const struct {
        enum csl_function fn;
        float a, b;
        double error;
    } cases[] = {{CSL_FN_CLIP, 0, 6, 3e-5},
                 {CSL_FN_CLIP, -1, INFINITY, 3e-5},
                 {CSL_FN_CLIP, -INFINITY, 2, 3e-5},
                 {CSL_FN_LEAKY_RELU, 0.01F, 0, 4e-4},
                 {CSL_FN_HARD_SIGMOID, 0.2F, 0.5F, 1e-3},
                 {CSL_FN_HARD_SIGMOID, -0.25F, 0.5F, 3e-5},
                 {CSL_FN_SIGMOID, 0, 0, 2e-3},
                 {CSL_FN_TANH, 0, 0, 3e-3},
                 {CSL_FN_ELU, 1, 0, 2e-3},
                 {CSL_FN_ELU, 0.3F, 0, 1e-3}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct csl_network *net = net_new(1, 1, 1);
        net_dense(net, net_activate(net, net_dense(net, 0, 1, 1, 1), cases[k].fn, cases[k].a, cases[k].b), 1,
                  1, 2);
        net->nodes[0].w[0] = 20;
        net->nodes[2].w[0] = 1;
        net->nodes[0].b[0] = net->nodes[2].b[0] = 0;
        struct built *b = build(net, NULL);
        const struct csl_step *pwl = plan_step(&b->plan, CSL_STEP_PWL);
        double error = b->report.steps[pwl - b->plan.steps].approximation;
        if (error > cases[k].error || pwl->n_arms > 24) {
            fail_msg("case %zu: %g in %u pieces", k, error, pwl->n_arms);
        }
        for (int i = -1000; i <= 1000; i++) {
            float x = (float)i / 1000;
            int64_t xf, yf;
            double y;
            assert_int_equal(csl_network_eval(b->net, &y, &x, 1), CSL_OK);
            assert_int_equal(csl_plan_encode_input(&b->plan, &xf, &x, 1, NULL), CSL_OK);
            assert_int_equal(csl_eval_fixed(&b->plan, &b->q, &yf, &xf, 1, NULL, NULL, NULL), CSL_OK);
            double got = ldexp((double)yf, -(int)csl_plan_output_frac(&b->plan));
            assert_true(fabs(got - y) <= error + 0x1p-11); /* 24 roundings, and the input's times 20 */
        }
        built_free(b);
    }
}

/* Functions that do nothing, or only one thing, over the interval: no pieces for them. */
static void test_simple_functions(void **state) {
    (void)state;
    struct csl_network *net = net_new(1, 1, 4);
    uint32_t x = net_activate(net, net_dense(net, 0, 4, 1, 1), CSL_FN_CLIP, 0, 1000);
    net_dense(net, net_activate(net, x, CSL_FN_CLIP, -5, 1000), 2, 1, 2);
    struct built *b = build(net, NULL);
    assert_int_equal(count_of(&b->plan, CSL_STEP_PWL), 0);
    assert_int_equal(count_of(&b->plan, CSL_STEP_RELU), 1);
    assert_int_equal(b->plan.n_steps, 3);
    built_free(b);
}

/* ---- forms ---- */

static void test_forms(void **state) {
    (void)state;
    struct csl_plan_options opt = csl_plan_options_default();
    struct built *b = build(cnn(N_CNNS - 1), &opt); /* the MNIST network of MiniONN */
    struct csl_cost cost;
    struct csl_demand *d = calloc(CSL_PLAN_MAX_DEMANDS, sizeof *d);
    size_t n;
    assert_int_equal(csl_plan_demands(&b->plan, CSL_PROFILE_LAN, false, d, &n), CSL_OK);
    assert_int_equal(n, 11); /* 2 (conv, max, max, relu), dense, relu, dense */
    assert_int_equal(d[1].kind, CSL_DEMAND_MAX);
    assert_int_equal(d[1].count + d[2].count + d[3].count, 4 * 12 * 12 * 16); /* 4 comparisons a window */
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 2, 1, CSL_PROFILE_LAN, false), CSL_OK);
    assert_int_equal(cost.rounds, 2 * (1 + 3 + 3 + 3) + 4 + 1 + 1);
    built_free(b);
    b = build(cnn(2), NULL); /* residual: the sum is of products, one comparison behind it, no truncation */
    assert_int_equal(count_of(&b->plan, CSL_STEP_TRUNC), 0);
    built_free(b);
    b = build(cnn(4), NULL); /* both sides of the concatenation are products */
    assert_int_equal(count_of(&b->plan, CSL_STEP_TRUNC), 0);
    built_free(b);
    b = build(cnn(9), NULL);
    assert_false(b->plan.steps[1].exact);
    assert_true(b->plan.steps[3].kind == CSL_STEP_MAX && b->plan.steps[3].exact);
    built_free(b);
    free(d);
}

/* Sample inputs narrow the rings; what leaves them is seen by the plaintext evaluation. */
static void test_samples(void **state) {
    (void)state;
    struct csl_ranges ranges = {0};
    struct csl_plan_options opt = csl_plan_options_default();
    struct csl_network *net = cnn(9);
    struct built *wide = build(cnn(9), &opt);
    float *x = random_inputs(&wide->plan, 1, 1);
    size_t n_in = csl_plan_n_inputs(&wide->plan);
    for (size_t i = 0; i < n_in; i++) {
        x[i] *= 0x1p-10F;
    }
    for (uint32_t i = 0; i < net->n_nodes; i++) {
        if (net->nodes[i].b != NULL) {
            memset(net->nodes[i].b, 0, net->nodes[i].out.c * sizeof(float));
        }
    }
    assert_int_equal(csl_ranges_observe(&ranges, net, x, 1), CSL_OK);
    assert_int_equal(csl_ranges_observe(&ranges, net, x, 1), CSL_OK);
    assert_int_equal(csl_ranges_observe(&ranges, wide->net, x, 1), CSL_OK);
    csl_ranges_clear(&ranges);
    assert_int_equal(csl_ranges_observe(&ranges, net, x, 1), CSL_OK);
    opt.samples = &ranges;
    struct built *b = build(net, &opt);
    assert_true(b->plan.from_samples && !wide->plan.from_samples);
    assert_true(b->plan.steps[1].trunc.k + 4 < wide->plan.steps[1].trunc.k);
    int64_t *xf = calloc(n_in, sizeof *xf);
    int64_t yf[4];
    struct csl_diag diag = {""};
    assert_int_equal(csl_plan_encode_input(&b->plan, xf, x, 1, NULL), CSL_OK);
    assert_int_equal(csl_eval_fixed(&b->plan, &b->q, yf, xf, 1, NULL, NULL, &diag), CSL_OK);
    for (size_t i = 0; i < n_in; i++) {
        xf[i] = i % 2 == 0 ? 65536 : 0;
    }
    assert_int_equal(csl_eval_fixed(&b->plan, &b->q, yf, xf, 1, NULL, NULL, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "leaves the range"));
    csl_ranges_clear(&ranges);
    built_free(b);
    built_free(wide);
    free(x);
    free(xf);
}

static void test_inputs(void **state) {
    (void)state;
    struct csl_plan_options opt = csl_plan_options_default();
    struct built *b = build(net_two_layers(1, 1, true), &opt);
    static const float bad[] = {-0.001F, 1.001F, NAN, INFINITY, -INFINITY, 255.0F};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        float x[12] = {0, 1, 0.5F};
        int64_t fixed[12];
        struct csl_diag diag = {""};
        x[8] = bad[i];
        assert_int_equal(csl_plan_encode_input(&b->plan, fixed, x, 2, &diag), CSL_EDATA);
        assert_non_null(strstr(diag.text, "input 1, element 2"));
        assert_int_equal(fixed[1], 0);
    }
    int64_t far[6] = {(int64_t)1 << 40, 0, 0, 0, 0, 0};
    int64_t y[3] = {1, 1, 1};
    struct csl_diag diag = {""};
    assert_int_equal(csl_eval_fixed(&b->plan, &b->q, y, far, 1, NULL, NULL, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "Relu #2"));
    assert_int_equal(y[0], 0);
    built_free(b);
    b = build(cnn(0), &opt); /* channels first to channels last */
    float x[128];
    int64_t fixed[128];
    for (int i = 0; i < 128; i++) {
        x[i] = (float)i / 128;
    }
    assert_int_equal(csl_plan_encode_input(&b->plan, fixed, x, 1, NULL), CSL_OK);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(fixed[2 * i], i * 512);
        assert_int_equal(fixed[2 * i + 1], (64 + i) * 512);
    }
    built_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interval_is_tight), cmocka_unit_test(test_width_at_the_edge),
        cmocka_unit_test(test_trunc_between),     cmocka_unit_test(test_fewer_bits),
        cmocka_unit_test(test_refused),           cmocka_unit_test(test_output_cut),
        cmocka_unit_test(test_like_float),        cmocka_unit_test(test_approximations),
        cmocka_unit_test(test_simple_functions),  cmocka_unit_test(test_forms),
        cmocka_unit_test(test_samples),           cmocka_unit_test(test_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
