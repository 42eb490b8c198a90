/* Widths from intervals, what is refused, plans from outside, costs. */
#include "mpc/correlation.h"
#include "mpc/link.h"
#include "nets.h"
#include "nn/model_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Gemm, Relu, Gemm; or a chain of dense layers without activation; weights scaled. */
static struct buf net_file(float scale, float scale2, const char *between, bool final_relu) {
    struct model m;
    float w1[N_IN * N_HIDDEN];
    float w2[N_HIDDEN * N_OUT];
    for (int i = 0; i < N_IN * N_HIDDEN; i++) {
        w1[i] = net_w1[i] * scale;
    }
    for (int i = 0; i < N_HIDDEN * N_OUT; i++) {
        w2[i] = net_w2[i] * scale2;
    }
    model_init(&m, 13);
    model_input(&m, "x", DIMS(-1, N_IN));
    model_node(&m, "Gemm", "first", "x,w1,b1", "z");
    model_node(&m, between, NULL, "z", "h");
    model_node(&m, "Gemm", "second", "h,w2,b2", final_relu ? "y0" : "y");
    if (final_relu) {
        model_node(&m, "Relu", NULL, "y0", "y");
    }
    model_tensor(&m, tensor_float("w1", ONNX_FLOAT, true, DIMS(N_IN, N_HIDDEN), w1, N_IN * N_HIDDEN));
    model_tensor(&m, tensor_float("b1", ONNX_FLOAT, true, DIMS(N_HIDDEN), net_b1, N_HIDDEN));
    model_tensor(&m, tensor_float("w2", ONNX_FLOAT, true, DIMS(N_HIDDEN, N_OUT), w2, N_HIDDEN * N_OUT));
    model_tensor(&m, tensor_float("b2", ONNX_FLOAT, true, DIMS(N_OUT), net_b2, N_OUT));
    model_output(&m, "y");
    return model_finish(&m);
}

/* The interval's extreme of z_j is reached by an input at the interval's ends: compare by trying all of them.
 */
static void test_interval_is_tight(void **state) {
    (void)state;
    struct compiled *c = compile_net(net_file(1, 1, "Relu", false));
    double lo = 0;
    double hi = 0;
    for (unsigned corner = 0; corner < 1U << N_IN; corner++) {
        for (int j = 0; j < N_HIDDEN; j++) {
            double z = (double)net_b1[j];
            for (int i = 0; i < N_IN; i++) {
                z += (corner >> i & 1 ? 1.0 : -1.0) * (double)net_w1[i * N_HIDDEN + j];
            }
            lo = fmin(lo, z);
            hi = fmax(hi, z);
        }
    }
    const struct csl_layer *first = &c->plan.layers[0];
    assert_true(c->report.layers[0].z_lo == lo && c->report.layers[0].z_hi == hi);
    assert_true(-ldexp(1, first->bits - 1) <= ldexp(lo, 32) &&
                ldexp(hi, 32) <= ldexp(1, first->bits - 1) - 65536);
    assert_true(-ldexp(1, first->bits - 2) > ldexp(lo, 32) ||
                ldexp(hi, 32) > ldexp(1, first->bits - 2) - 65536);
    assert_int_equal(first->trunc_f, 16);
    assert_int_equal(first->trunc_k + 16, first->bits);
    assert_int_equal(first->out_bits, c->plan.layers[1].bits);
    assert_int_equal(c->plan.layers[1].activation, CSL_ACTIVATION_NONE);
    compiled_free(c);
}

/* An interval that ends exactly at a power of two: one unit more needs one bit more. */
static void test_width_at_the_edge(void **state) {
    (void)state;
    static const struct {
        double w;
        unsigned bits;
    } cases[] = {{-1.0, 33}, {-1.0 - 0x1p-16, 34}, {1.0, 34}, {1.0 - 0x1p-16, 33}, {0x1p-16, 18}, {0.0, 18}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct model m;
        float w = (float)cases[i].w;
        float one = 1;
        model_init(&m, 13);
        model_input(&m, "x", DIMS(-1, 1));
        model_node(&m, "MatMul", "first", "x,w", "z");
        model_node(&m, "Relu", NULL, "z", "h");
        model_node(&m, "MatMul", "second", "h,one", "y");
        model_tensor(&m, tensor_float("w", ONNX_FLOAT, true, DIMS(1, 1), &w, 1));
        model_tensor(&m, tensor_float("one", ONNX_FLOAT, true, DIMS(1, 1), &one, 1));
        model_output(&m, "y");
        struct csl_plan_options opt = csl_plan_options_default(); /* 0..1 */
        struct compiled *c = compile_net_with(model_finish(&m), &opt);
        assert_int_equal(c->plan.layers[0].bits, cases[i].bits);
        compiled_free(c);
    }
}

static void test_trunc_between(void **state) {
    (void)state;
    struct compiled *c = compile_net(net_file(1, 1, "Identity", false));
    const struct csl_layer *first = &c->plan.layers[0];
    assert_int_equal(first->activation, CSL_ACTIVATION_TRUNC);
    assert_int_equal(first->n_digits, 0);
    double bound = fmax(-c->report.layers[0].z_lo, c->report.layers[0].z_hi);
    assert_true(ldexp(bound, 32) < ldexp(1, first->bits - 2) &&
                ldexp(bound, 32) >= ldexp(1, first->bits - 3));
    compiled_free(c);
    c = compile_net(net_file(1, 1, "Relu", true));
    assert_int_equal(c->plan.layers[1].activation, CSL_ACTIVATION_RELU);
    assert_int_equal(csl_plan_output_frac(&c->plan), 16);
    assert_true(csl_plan_output_bits(&c->plan) >= c->plan.layers[1].trunc_k);
    compiled_free(c);
}

static void test_refused_widths(void **state) {
    (void)state;
    REFUSED(net_file(1 << 20, 1, "Relu", false), "\"first\"", "fraction bits"); /* k would exceed 37 */
    REFUSED(net_file(1 << 20, 1 << 10, "Identity", false), "\"second\"", "overflow", "fraction bits");
    REFUSED(net_file(1e35F, 1, "Relu", false), "\"first\"", "weight 0", "scale");
    struct csl_plan_options opt = csl_plan_options_default();
    opt.frac_bits = 8; /* what 16 bits cannot, 8 can */
    compiled_free(compile_net_with(net_file(1 << 20, 1, "Relu", false), &opt));
    struct csl_graph *g;
    struct csl_issues issues = {0};
    struct csl_diag diag;
    struct buf file = net_file(1, 1, "Relu", false);
    assert_int_equal(csl_onnx_import(&g, &issues, file.at, file.n, &diag), CSL_OK);
    struct compiled *c = calloc(1, sizeof *c);
    assert_non_null(c);
    static const unsigned frac[] = {0, 3, 21, 64};
    for (int i = 0; i < 4; i++) {
        opt.frac_bits = frac[i];
        assert_int_equal(csl_plan_compile(&c->plan, &c->weights, NULL, &issues, g, &opt, &diag), CSL_EUSAGE);
    }
    opt = csl_plan_options_default();
    static const double bad[][2] = {{0, INFINITY}, {NAN, 1}, {1, 0}, {0, 1e12}, {-1e300, 0}};
    for (int i = 0; i < 5; i++) {
        opt.input = (struct csl_normalization){CSL_NORMALIZE_NONE, bad[i][0], bad[i][1]};
        assert_int_equal(csl_plan_compile(&c->plan, &c->weights, NULL, &issues, g, &opt, &diag), CSL_EDATA);
        assert_non_null(strstr(diag.text, "interval"));
    }
    compiled_free(c);
    csl_graph_free(g);
    buf_free(&file);
}

/* Step O1: the unit is at least 64 times the noise, and the ring has room for half a unit a party. */
static void test_output_cut(void **state) {
    (void)state;
    struct compiled *c = compile_net(net_file(1, 1, "Relu", false));
    double sigma = 0; /* worst column of w2, a quarter unit squared an input */
    for (int j = 0; j < N_OUT; j++) {
        double v = 0;
        for (int i = 0; i < N_HIDDEN; i++) {
            double w = (double)net_w2[i * N_OUT + j];
            v += w * w;
        }
        v += 0;
        sigma = fmax(sigma, v);
    }
    /* the first layer's inputs are exact, so its result has variance 1/4 */
    double expected = sqrt(sigma / 4) * 0x1p-16;
    assert_true(fabs(c->report.output_noise_std - expected) < 1e-12);
    assert_true(c->report.output_unit >= 64 * expected && c->report.output_unit < 128 * expected);
    double top = ldexp(1, (int)csl_plan_output_bits(&c->plan) - 1 - (int)csl_plan_output_frac(&c->plan));
    assert_true(c->report.layers[1].z_hi + 8 * c->report.output_unit < top);
    assert_true(c->report.layers[1].z_lo - 8 * c->report.output_unit >= -top);
    compiled_free(c);
}

/* Every byte of a plan changed in turn: refused, or a plan that is still within all bounds. */
static void test_check_mutations(void **state) {
    (void)state;
    struct compiled *c = compile_net(net_file(1, 1, "Relu", true));
    struct csl_plan *p = calloc(1, sizeof *p);
    assert_non_null(p);
    size_t used = offsetof(struct csl_plan, layers) + 2 * sizeof(struct csl_layer);
    for (size_t at = 0; at < sizeof *p; at++) {
        if (at == used) {
            at = offsetof(struct csl_plan, layers) + sizeof p->layers;
        }
        static const uint8_t values[] = {0, 1, 2, 7, 16, 63, 64, 127, 255};
        for (size_t v = 0; v < sizeof values; v++) {
            memcpy(p, &c->plan, sizeof *p);
            ((uint8_t *)p)[at] = values[v];
            struct csl_diag diag = {""};
            struct csl_cost cost;
            if (csl_plan_check(p, &diag) == CSL_OK) {
                assert_int_equal(csl_plan_cost(p, &cost, 16, CSL_PLAN_MAX_BATCH), CSL_OK);
            } else {
                assert_true(strncmp(diag.text, "plan: ", 6) == 0);
            }
        }
    }
    free(p);
    compiled_free(c);
}

#define WRONG(word, ...)                                                                                     \
    do {                                                                                                     \
        struct csl_plan p_ = c->plan;                                                                        \
        struct csl_plan *p = &p_;                                                                            \
        struct csl_diag diag = {""};                                                                         \
        __VA_ARGS__;                                                                                         \
        assert_int_equal(csl_plan_check(p, &diag), CSL_EDATA);                                               \
        assert_non_null(strstr(diag.text, word));                                                            \
    } while (0)

static void test_check(void **state) {
    (void)state;
    struct compiled *c = compile_net(net_file(1, 1, "Relu", false));
    WRONG("0 layers", p->n_layers = 0);
    WRONG("65 layers", p->n_layers = 65);
    WRONG("4294967295 layers", p->n_layers = UINT32_MAX);
    WRONG("rank", p->input_rank = 0);
    WRONG("rank", p->input_rank = 9);
    WRONG("dimension", p->input_shape[0] = 0);
    WRONG("7 elements", p->input_shape[0] = 7);
    WRONG("dimension 1", p->input_rank = 2; p->input_shape[0] = 1 << 20; p->input_shape[1] = 1 << 20);
    WRONG("interval", p->input.hi = NAN);
    WRONG("interval", p->input.lo = 2);
    WRONG("interval", p->input.hi = 1e30);
    WRONG("normalisation", p->input.kind = CSL_NORMALIZE_COUNT);
    WRONG("name", memset(p->name, 'a', sizeof p->name));
    WRONG("name", memset(p->layers[1].name, 'a', sizeof p->name));
    WRONG("name", p->layers[0].name[0] = '\x1b');
    WRONG("layer 0: its k or n", p->layers[0].n = 0);
    WRONG("layer 0: its n", p->layers[0].n = 4);
    WRONG("layer 1: its k or n", p->layers[1].n = UINT32_MAX);
    WRONG("weights", p->layers[1].n = 1 << 20; p->layers[0].n = p->layers[1].k = 1 << 10);
    WRONG("fraction", p->layers[0].x_frac = 0);
    WRONG("fraction", p->layers[0].w_frac = 21);
    WRONG("fraction", p->layers[1].x_frac = 15);
    WRONG("ring", p->layers[1].bits = 63);
    WRONG("ring", p->layers[1].bits = 0);
    WRONG("out_bits", p->layers[0].out_bits++);
    WRONG("out_bits", p->layers[1].bits++; p->layers[1].out_bits++);
    WRONG("truncation", p->layers[1].bits++; p->layers[0].out_bits++);
    WRONG("truncation", p->layers[0].trunc_k++);
    WRONG("truncation", p->layers[1].trunc_f = 1);
    WRONG("activation", p->layers[0].activation = CSL_ACTIVATION_COUNT);
    WRONG("digits", p->layers[0].activation = CSL_ACTIVATION_TRUNC);
    WRONG("digits", p->layers[0].n_digits = 255);
    WRONG("layer 0", p->layers[0].n_digits--; p->layers[0].digit_bits[p->layers[0].n_digits] = 0);
    WRONG("layer 0", p->layers[0].digit_bits[0]++);
    WRONG("digits", p->layers[1].digit_bits[0] = 1);
    WRONG("head", p->head = CSL_HEAD_COUNT);
    WRONG("cut", p->output_cut = p->layers[1].bits);
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    size_t n;
    assert_int_equal(csl_plan_demands(&c->plan, demands, &n), CSL_OK);
    assert_int_equal(n, 3);
    assert_int_equal(demands[0].kind, CSL_DEMAND_LINEAR);
    assert_int_equal(demands[1].kind, CSL_DEMAND_RELU);
    assert_int_equal(demands[1].count, N_HIDDEN);
    assert_int_equal(demands[2].n_dim, N_OUT);
    compiled_free(c);
}

static void test_cost(void **state) {
    (void)state;
    struct compiled *c = compile_net(net_file(1, 1, "Relu", false));
    struct csl_cost cost;
    const struct csl_layer *l = c->plan.layers;
    assert_int_equal(csl_plan_cost(&c->plan, &cost, 3, 2), CSL_OK);
    assert_int_equal(cost.rounds, 6); /* D c u e D output */
    uint64_t online = (2 * N_IN * l[0].bits + 7) / 8 + (2 * N_HIDDEN * l[0].bits + 7) / 8 +
                      2 * (2 * (l[0].n_digits - 1U) + 1) + (2 * N_HIDDEN * l[1].bits + 7) / 8;
    assert_int_equal(cost.online_bytes, online);
    assert_int_equal(cost.output_bytes, (2 * N_OUT * (unsigned)(l[1].bits - c->plan.output_cut) + 7) / 8);
    assert_int_equal(cost.total_sent_bytes, 2 * online + cost.output_bytes);
    assert_int_equal(csl_plan_cost(&c->plan, &cost, 1, 1), CSL_EUSAGE);
    assert_int_equal(csl_plan_cost(&c->plan, &cost, 17, 1), CSL_EUSAGE);
    assert_int_equal(csl_plan_cost(&c->plan, &cost, 2, 0), CSL_EUSAGE);
    assert_int_equal(csl_plan_cost(&c->plan, &cost, 2, CSL_PLAN_MAX_BATCH + 1), CSL_EUSAGE);
    compiled_free(c);
}

static void test_report(void **state) {
    (void)state;
    struct csl_graph *g;
    struct csl_issues issues = {0};
    struct csl_diag diag;
    struct buf files[2] = {net_file(1, 1, "Relu", false), net_file(1, 1, "Sigmoid", false)};
    struct csl_model_report *r = calloc(1, sizeof *r);
    struct csl_plan_options opt = csl_plan_options_default();
    assert_non_null(r);
    for (int i = 0; i < 2; i++) {
        char *text = NULL;
        size_t n_text;
        FILE *out = open_memstream(&text, &n_text);
        assert_non_null(out);
        assert_int_equal(csl_onnx_import(&g, &issues, files[i].at, files[i].n, &diag), CSL_OK);
        assert_int_equal(csl_model_report_make(r, NULL, g, &issues, &opt, 3, 1, &diag), CSL_OK);
        assert_int_equal(r->ok, i == 0);
        csl_model_report_print(r, out);
        fclose(out);
        assert_non_null(strstr(text, i == 0 ? "first" : "Sigmoid #2 (Sigmoid)"));
        assert_non_null(strstr(text, i == 0 ? "rounds" : "replace it by Relu"));
        free(text);
        csl_model_report_clear(r);
        assert_int_equal(csl_model_report_make(r, NULL, g, NULL, &opt, 1, 1, &diag),
                         i == 0 ? CSL_EUSAGE : CSL_OK);
        csl_model_report_clear(r);
        csl_issues_clear(&issues);
        csl_graph_free(g);
        buf_free(&files[i]);
    }
    free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interval_is_tight),
        cmocka_unit_test(test_width_at_the_edge),
        cmocka_unit_test(test_trunc_between),
        cmocka_unit_test(test_refused_widths),
        cmocka_unit_test(test_output_cut),
        cmocka_unit_test(test_check_mutations),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
