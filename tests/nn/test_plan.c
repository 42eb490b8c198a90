/* Widths from intervals, fixed point against float, what is refused, plans from outside, costs. */
#include "cnn.h"
#include "mpc/correlation.h"
#include "mpc/link.h"
#include "nn/model_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct csl_step *step_of(const struct csl_plan *plan, enum csl_step_kind kind) {
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        if (plan->steps[i].kind == kind) {
            return &plan->steps[i];
        }
    }
    fail_msg("no such step");
    return NULL;
}

static unsigned count_of(const struct csl_plan *plan, enum csl_step_kind kind) {
    unsigned n = 0;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        n += plan->steps[i].kind == kind;
    }
    return n;
}

/* 6 -> 5, an activation, 5 -> 3. */
static struct csl_network *two_layers(double gain, double gain2, bool relu) {
    struct csl_network *net = net_new(1, 1, 6);
    uint32_t x = net_dense(net, 0, 5, gain, 1);
    strcpy(net->nodes[0].name, "first");
    net_dense(net, relu ? net_relu(net, x) : x, 3, gain2, 2);
    strcpy(net->nodes[net->n_nodes - 1].name, "second");
    return net;
}

/* ---- widths ---- */

/* The interval's extreme of z_j is reached by an input at the interval's ends: compare by trying all of them.
 */
static void test_interval_is_tight(void **state) {
    (void)state;
    struct built *b = build(two_layers(1, 1, true), NULL);
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
    struct built *b = build(two_layers(1, 1, false), NULL);
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
    struct built *b = build(two_layers(0x1p20, 0x1p-20, true), NULL);
    assert_int_equal(b->plan.steps[0].w_frac, 16);
    assert_int_equal(b->plan.steps[1].trunc.k, 37);
    assert_true(b->plan.values[2].frac < 16);
    built_free(b);
    b = build(two_layers(0x1p24, 1, true), NULL);
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
    REFUSED(two_layers(0x1p30, 1, true), &opt, CSL_EDATA, "\"Relu #2\"", "overflow", "fraction bits",
            "sample");
    REFUSED(two_layers(0x1p20, 0x1p22, false), &opt, CSL_EDATA, "\"second\"", "overflow", "fraction bits");
    REFUSED(two_layers(0x1p60, 1, true), &opt, CSL_EDATA, "\"first\"", "weight", "scale");
    struct csl_network *net = two_layers(1, 1, true);
    net->nodes[0].w[3] = NAN;
    REFUSED(net, &opt, CSL_EDATA, "\"first\"", "weight 3");
    net = net_new(1, 1, 6);
    net_relu(net, 0);
    REFUSED(net, &opt, CSL_EDATA, "no layer with weights");
    static const unsigned frac[] = {0, 3, 21, 64};
    for (int i = 0; i < 4; i++) {
        opt.frac_bits = frac[i];
        REFUSED(two_layers(1, 1, true), &opt, CSL_EUSAGE, "fraction bits");
    }
    opt = csl_plan_options_default();
    static const double bad[][2] = {{0, INFINITY}, {NAN, 1}, {1, 0}, {0, 1e12}, {-1e300, 0}};
    for (int i = 0; i < 5; i++) {
        opt.input = (struct csl_normalization){CSL_NORMALIZE_NONE, bad[i][0], bad[i][1]};
        REFUSED(two_layers(1, 1, true), &opt, CSL_EDATA, "interval");
    }
}

/* Step O1: the unit is at least 64 times the noise. */
static void test_output_cut(void **state) {
    (void)state;
    struct built *b = build(two_layers(1, 1, true), NULL);
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
        const struct csl_step *pwl = step_of(&b->plan, CSL_STEP_PWL);
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
    struct built *b = build(two_layers(1, 1, true), &opt);
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

/* ---- plans from outside ---- */

/* Every byte of what a plan uses, set to several values: refused, or costed, never worse. */
static void mutate(const struct csl_plan *good, struct csl_plan *p, size_t first, size_t n) {
    static const uint8_t values[] = {0, 1, 2, 7, 16, 63, 64, 127, 255};
    for (size_t at = first; at < first + n; at++) {
        for (size_t v = 0; v < sizeof values; v++) {
            memcpy(p, good, sizeof *p);
            ((uint8_t *)p)[at] = values[v];
            struct csl_diag diag = {""};
            struct csl_cost cost;
            if (csl_plan_check(p, &diag) == CSL_OK) {
                assert_int_equal(csl_plan_cost(p, &cost, 16, CSL_PLAN_MAX_BATCH, CSL_PROFILE_LAN, false),
                                 CSL_OK);
                enum csl_err err = csl_plan_cost(p, &cost, 16, 1, CSL_PROFILE_LAN, true);
                assert_true(err == CSL_OK || err == CSL_EUSAGE || err == CSL_EDATA);
            } else {
                assert_true(strncmp(diag.text, "plan: ", 6) == 0);
            }
        }
    }
}

static void test_check_mutations(void **state) {
    (void)state;
    static const int networks[] = {2, 5, 6, 9, 10};
    struct csl_plan *p = calloc(1, sizeof *p);
    assert_non_null(p);
    for (int i = 0; i < 5; i++) {
        struct built *b = build(cnn(networks[i]), NULL);
        mutate(&b->plan, p, 0, offsetof(struct csl_plan, values));
        mutate(&b->plan, p, offsetof(struct csl_plan, values),
               (b->plan.n_steps + 1) * sizeof(struct csl_value));
        mutate(&b->plan, p, offsetof(struct csl_plan, steps), b->plan.n_steps * sizeof(struct csl_step));
        mutate(&b->plan, p, offsetof(struct csl_plan, head), 2);
        built_free(b);
    }
    free(p);
}

#define WRONG(word, ...)                                                                                     \
    do {                                                                                                     \
        struct csl_diag diag = {""};                                                                         \
        *p = b->plan;                                                                                        \
        __VA_ARGS__;                                                                                         \
        assert_int_equal(csl_plan_check(p, &diag), CSL_EDATA);                                               \
        if (strstr(diag.text, word) == NULL) {                                                               \
            fail_msg("\"%s\" is not in: %s", word, diag.text);                                               \
        }                                                                                                    \
    } while (0)

static void test_check(void **state) {
    (void)state;
    struct built *b = build(two_layers(1, 1, true), NULL);
    struct csl_plan *p = calloc(1, sizeof *p);
    struct csl_step *s = p->steps;
    struct csl_value *v = p->values;
    WRONG("0 steps", p->n_steps = 0);
    WRONG("257 steps", p->n_steps = 257);
    WRONG("4294967295 steps", p->n_steps = UINT32_MAX);
    WRONG("linear pieces", p->n_arms = 1025);
    WRONG("rank", p->input_rank = 0);
    WRONG("rank", p->input_rank = 9);
    WRONG("dimension", p->input_shape[0] = 0);
    WRONG("7 elements", p->input_shape[0] = 7);
    WRONG("dimension 1", p->input_rank = 2; p->input_shape[0] = 1 << 20; p->input_shape[1] = 1 << 20);
    WRONG("shape", p->input_rank = 3; p->input_shape[0] = 1; p->input_shape[1] = 2; p->input_shape[2] = 3);
    WRONG("interval", p->input.hi = NAN);
    WRONG("interval", p->input.lo = 2);
    WRONG("interval", p->input.hi = 1e30);
    WRONG("normalisation", p->input.kind = CSL_NORMALIZE_COUNT);
    WRONG("name", memset(p->name, 'a', sizeof p->name));
    WRONG("step 1: its name", memset(s[1].name, 'a', sizeof p->name));
    WRONG("name", s[0].name[0] = '\x1b');
    WRONG("value 1: its size", v[1].dim.c = 0);
    WRONG("value 1: its size", v[1].dim.h = UINT32_MAX; v[1].dim.w = UINT32_MAX);
    WRONG("value 2: its ring", v[2].bits = 63);
    WRONG("value 2: its ring", v[2].bits = 1);
    WRONG("value 2: its fraction", v[2].frac = 62);
    WRONG("value 2: its scale", v[2].scale = NAN);
    WRONG("value 2: its scale", v[2].scale = 0);
    WRONG("step 0: its shape", v[1].dim.c = 4);
    WRONG("step 0: its shape", s[0].shape.groups = 2);
    WRONG("step 0: its shape", s[0].shape.stride_h = 0);
    WRONG("step 0: its layer", s[0].layer = 1);
    WRONG("step 0: its fraction", s[0].w_frac = 21);
    WRONG("step 0: its ring", s[0].l_bits++);
    WRONG("step 0: its ring", v[0].bits--);
    WRONG("step 0: its input", s[0].in[0] = 1);
    WRONG("step 1: its input", s[1].in[0] = 65535);
    WRONG("step 1: its number of inputs", s[1].n_in = 0);
    WRONG("step 1: its number of inputs", s[1].n_in = 2);
    WRONG("step 1: its kind", s[1].kind = CSL_STEP_COUNT);
    WRONG("step 1: its ring", s[1].trunc.k++);
    WRONG("step 1: its ring", s[1].trunc.out_bits++);
    WRONG("fraction", s[1].trunc.f--);
    WRONG("correlation 1", s[1].trunc.n_digits = 255);
    WRONG("correlation 1", s[1].trunc.digit_bits[0]++);
    WRONG("correlation 1", s[1].kind = CSL_STEP_TRUNC);
    WRONG("layers", p->n_layers = 1);
    WRONG("layers", p->n_layers = 300);
    WRONG("head", p->head = CSL_HEAD_COUNT);
    WRONG("cut", p->output_cut = v[3].bits);
    free(p);
    built_free(b);
}

static void test_check_windows(void **state) {
    (void)state;
    struct built *b = build(cnn(9), NULL);
    struct csl_plan *p = calloc(1, sizeof *p);
    struct csl_step *s = p->steps;
    WRONG("step 1: its window", s[1].shape.pad_top = 2; s[1].shape.pad_left = 2);
    WRONG("step 1: its window", s[1].shape.kernel_h = 1 << 20);
    WRONG("step 1: its window", s[1].shape.kernel_h = s[1].shape.kernel_w = 1 << 23);
    WRONG("step 1: its shape", s[1].shape.groups = 3);
    WRONG("step 1: its ring", s[1].exact = true; s[1].trunc.out_bits--);
    WRONG("step 1: its ring", s[1].l_bits--);
    WRONG("step 3: its truncation", s[3].trunc.f = 2; s[3].trunc.k--);
    built_free(b);
    b = build(cnn(6), NULL);
    const struct csl_step *pwl = step_of(&b->plan, CSL_STEP_PWL);
    ptrdiff_t at = pwl - b->plan.steps;
    WRONG("its arms", s[at].n_arms = 0);
    WRONG("its arms", s[at].first_arm = 65535);
    WRONG("its arms", s[at].n_arms = 65535);
    WRONG("its arms", p->n_arms = s[at].n_arms - 1);
    WRONG("its arms", p->arms[s[at].first_arm].slope = INT64_MIN);
    WRONG("its arms", p->arms[s[at].first_arm].knot = INT64_MAX);
    WRONG("its c0", s[at].c0 = INT64_MIN);
    built_free(b);
    b = build(cnn(4), NULL);
    at = step_of(&b->plan, CSL_STEP_CONCAT) - b->plan.steps;
    WRONG("its size", s[at].in[1] = s[at].in[0]);
    WRONG("number of inputs", s[at].n_in = 9);
    WRONG("its input", s[at].in[1] = (uint16_t)(at + 1));
    built_free(b);
    b = build(cnn(2), NULL);
    at = step_of(&b->plan, CSL_STEP_ADD) - b->plan.steps;
    WRONG("its factor", s[at].factor[1] = INT64_MIN);
    free(p);
    built_free(b);
}

/* ---- costs and reports ---- */

/* The same demands in the same order; comparisons alone change, and those of one digit not. */
static void test_profiles(void **state) {
    (void)state;
    static struct csl_demand d[2][CSL_PLAN_MAX_DEMANDS];
    enum csl_profile p;
    struct csl_diag diag = {""};
    for (int i = 0; i < N_CNNS; i++) {
        struct built *b = build(cnn(i), NULL);
        size_t n[2], changed = 0;
        for (p = CSL_PROFILE_LAN; p < CSL_PROFILE_COUNT; p++) {
            assert_int_equal(csl_plan_demands(&b->plan, p, true, d[p], &n[p]), CSL_OK);
        }
        assert_int_equal(n[0], n[1]);
        for (size_t j = 0; j < n[0]; j++) {
            bool wan = d[1][j].form == CSL_FORM_WAN;
            assert_int_equal(d[0][j].form, CSL_FORM_LAN);
            assert_int_equal(wan, d[0][j].trunc.n_digits > 1);
            assert_true(d[0][j].kind == d[1][j].kind && d[0][j].count == d[1][j].count);
            assert_int_equal(csl_demand_check(&d[1][j], NULL), CSL_OK);
            changed += wan;
        }
        assert_true(changed > 0);
        built_free(b);
    }
    assert_int_equal(csl_profile_parse(&p, "wan", &diag), CSL_OK);
    assert_int_equal(p, CSL_PROFILE_WAN);
    assert_int_equal(csl_profile_parse(&p, "lan", &diag), CSL_OK);
    assert_int_equal(p, CSL_PROFILE_LAN);
    assert_int_equal(csl_profile_parse(&p, "LAN", &diag), CSL_EUSAGE);
    assert_int_equal(csl_profile_parse(&p, "", &diag), CSL_EUSAGE);
    assert_string_equal(csl_profile_name(CSL_PROFILE_WAN), "wan");
}

static void test_cost(void **state) {
    (void)state;
    struct built *b = build(two_layers(1, 1, true), NULL);
    struct csl_cost cost;
    const struct csl_step *s = b->plan.steps;
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 3, 2, CSL_PROFILE_LAN, false), CSL_OK);
    assert_int_equal(cost.rounds, 6); /* D c u e D output */
    uint64_t online = (2 * 6 * s[0].l_bits + 7U) / 8 + (2 * 5 * (s[1].trunc.k + 4U) + 7) / 8 +
                      2 * (2 * (s[1].trunc.n_digits - 1U) + 1) + (2 * 5 * s[2].l_bits + 7U) / 8;
    assert_int_equal(cost.online_bytes, online);
    assert_int_equal(cost.output_bytes, (2 * 3 * (unsigned)(s[2].l_bits - b->plan.output_cut) + 7) / 8);
    assert_int_equal(cost.total_sent_bytes, 2 * online + cost.output_bytes);
    assert_true(cost.ahead_memory > 2 * cost.offline_bytes && cost.ahead_memory < cost.party_memory);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 3, 2, CSL_PROFILE_LAN, true), CSL_OK);
    assert_int_equal(cost.rounds, 6 + 2 * 3); /* a tree of three outputs */
    assert_int_equal(cost.output_bytes, 1);   /* two labels of two bits */
    assert_int_equal(csl_plan_label_bits(&b->plan), 2);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 3, 2, CSL_PROFILE_WAN, false), CSL_OK);
    unsigned bits = s[1].trunc.k - 1U, inputs = bits <= 16 ? 3 : 5; /* l and e of two digits, or of three */
    assert_int_equal(cost.rounds, 5);                               /* D c u D output */
    assert_int_equal(cost.online_bytes, online - 2 * (2 * (s[1].trunc.n_digits - 1U) + 1) + 2 * inputs);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 3, 2, CSL_PROFILE_WAN, true), CSL_OK);
    assert_int_equal(cost.rounds, 5 + 2 * 2);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 3, 2, CSL_PROFILE_COUNT, false), CSL_EUSAGE);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 1, 1, CSL_PROFILE_LAN, false), CSL_EUSAGE);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 17, 1, CSL_PROFILE_LAN, false), CSL_EUSAGE);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 2, 0, CSL_PROFILE_LAN, false), CSL_EUSAGE);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 2, CSL_PLAN_MAX_BATCH + 1, CSL_PROFILE_LAN, false),
                     CSL_EUSAGE);
    built_free(b);
}

static char *printed(const struct csl_model_report *r) {
    char *text = NULL;
    size_t n_text;
    FILE *out = open_memstream(&text, &n_text);
    assert_non_null(out);
    csl_model_report_print(r, out);
    fclose(out);
    return text;
}

static void test_report(void **state) {
    (void)state;
    struct csl_plan_options opt = csl_plan_options_default();
    struct csl_model_report *r = calloc(1, sizeof *r);
    struct csl_diag diag = {""};
    assert_non_null(r);
    struct csl_network *net = cnn(6);
    assert_int_equal(csl_model_report_make(r, NULL, net, NULL, &opt, 3, 1, CSL_PROFILE_LAN, true, &diag),
                     CSL_OK);
    assert_true(r->ok);
    uint64_t bytes = 0;
    uint32_t rounds = 1;
    for (uint32_t i = 0; i <= r->plan.n_steps; i++) {
        bytes += r->steps[i].online_bytes;
        rounds += r->steps[i].rounds;
    }
    assert_int_equal(bytes, r->cost.online_bytes);
    assert_int_equal(rounds, r->cost.rounds);
    char *text = printed(r);
    assert_non_null(strstr(text, "conv #1"));
    assert_non_null(strstr(text, "pieces, within"));
    assert_non_null(strstr(text, "labels only"));
    free(text);
    csl_model_report_clear(r);
    assert_int_equal(csl_model_report_make(r, NULL, net, NULL, &opt, 1, 1, CSL_PROFILE_LAN, false, &diag),
                     CSL_EUSAGE);
    csl_network_free(net);
    struct csl_issues issues = {0};
    assert_int_equal(csl_issues_add(&issues, "node 7", "Erf", "replace it by Relu", "no such function"),
                     CSL_OK);
    assert_int_equal(csl_model_report_make(r, NULL, NULL, &issues, &opt, 3, 1, CSL_PROFILE_LAN, false, &diag),
                     CSL_OK);
    assert_false(r->ok);
    text = printed(r);
    assert_non_null(strstr(text, "node 7 (Erf)"));
    assert_non_null(strstr(text, "replace it by Relu"));
    free(text);
    csl_model_report_clear(r);
    csl_issues_clear(&issues);
    free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interval_is_tight),
        cmocka_unit_test(test_width_at_the_edge),
        cmocka_unit_test(test_trunc_between),
        cmocka_unit_test(test_fewer_bits),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_output_cut),
        cmocka_unit_test(test_like_float),
        cmocka_unit_test(test_approximations),
        cmocka_unit_test(test_simple_functions),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_check_mutations),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_check_windows),
        cmocka_unit_test(test_profiles),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
