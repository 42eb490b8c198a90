#include "nets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* All of them are exact in half precision and in bfloat16. */
const float net_w1[N_IN * N_HIDDEN] = {0.5F,   -0.25F, 1.0F,  0.125F,  -1.5F,   0.75F,  2.0F,   -0.5F,
                                       0.25F,  0.5F,   -1.0F, 0.5F,    0.0625F, -0.75F, 0.25F,  1.5F,
                                       -2.0F,  0.5F,   1.0F,  -0.125F, 0.25F,   0.75F,  -1.25F, 0.5F,
                                       0.375F, -0.5F,  1.0F,  -0.375F, 0.25F,   1.0F};
const float net_b1[N_HIDDEN] = {0.25F, -0.5F, 0.125F, 0.75F, -0.25F};
const float net_w2[N_HIDDEN * N_OUT] = {1.0F,   -0.5F, 0.25F, -1.5F, 0.75F,  0.5F,  0.125F, 1.0F,
                                        -0.75F, 0.5F,  -1.0F, 2.0F,  -0.25F, 0.25F, 1.0F};
const float net_b2[N_OUT] = {0.5F, -0.25F, 0.125F};

void transpose(float *out, const float *w, size_t k, size_t n) {
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j < n; j++) {
            out[j * k + i] = w[i * n + j];
        }
    }
}

void net_tensors(struct model *m, int type, bool raw, bool transposed) {
    float w1[N_IN * N_HIDDEN];
    float w2[N_HIDDEN * N_OUT];
    transpose(w1, net_w1, N_IN, N_HIDDEN);
    transpose(w2, net_w2, N_HIDDEN, N_OUT);
    model_tensor(m, tensor_float("w1", type, raw, transposed ? DIMS(N_HIDDEN, N_IN) : DIMS(N_IN, N_HIDDEN),
                                 transposed ? w1 : net_w1, N_IN * N_HIDDEN));
    model_tensor(m, tensor_float("b1", type, raw, DIMS(N_HIDDEN), net_b1, N_HIDDEN));
    model_tensor(m, tensor_float("w2", type, raw, transposed ? DIMS(N_OUT, N_HIDDEN) : DIMS(N_HIDDEN, N_OUT),
                                 transposed ? w2 : net_w2, N_HIDDEN * N_OUT));
    model_tensor(m, tensor_float("b2", type, raw, DIMS(N_OUT), net_b2, N_OUT));
}

static enum csl_err compile_file(struct compiled *c, const struct buf *file,
                                 const struct csl_plan_options *opt, struct csl_diag *diag) {
    struct csl_graph *graph = NULL;
    struct csl_issues issues = {0};
    enum csl_err err = csl_onnx_import(&graph, &issues, file->at, file->n, diag);
    assert_true((err == CSL_OK) == (graph != NULL));
    if (err == CSL_OK) {
        err = csl_network_lower(&c->net, &issues, graph, diag);
    }
    if (err == CSL_OK) {
        err = csl_plan_compile(&c->plan, &c->weights, &c->report, c->net, opt, diag);
    }
    csl_issues_clear(&issues);
    csl_graph_free(graph);
    return err;
}

struct compiled *compile_net_with(struct buf file, const struct csl_plan_options *opt) {
    struct csl_diag diag = {""};
    struct compiled *c = calloc(1, sizeof *c);
    assert_non_null(c);
    enum csl_err err = compile_file(c, &file, opt, &diag);
    if (err != CSL_OK) {
        fail_msg("%s: %s", csl_err_name(err), diag.text);
    }
    assert_int_equal(csl_plan_check(&c->plan, &diag), CSL_OK);
    assert_int_equal(csl_quantise(&c->q, &c->plan, &c->weights, &diag), CSL_OK);
    buf_free(&file);
    return c;
}

struct compiled *compile_net(struct buf file) {
    struct csl_plan_options opt = csl_plan_options_default();
    opt.input = (struct csl_normalization){CSL_NORMALIZE_CENTERED, -1.0, 1.0};
    return compile_net_with(file, &opt);
}

void compiled_free(struct compiled *c) {
    csl_weights_clear(&c->weights);
    csl_qweights_clear(&c->q);
    csl_network_free(c->net);
    free(c);
}

static void net_reference(double y[N_OUT], const float *x) {
    double h[N_HIDDEN];
    for (size_t j = 0; j < N_HIDDEN; j++) {
        h[j] = (double)net_b1[j];
        for (size_t i = 0; i < N_IN; i++) {
            h[j] += (double)x[i] * (double)net_w1[i * N_HIDDEN + j];
        }
        h[j] = h[j] > 0 ? h[j] : 0;
    }
    for (size_t j = 0; j < N_OUT; j++) {
        y[j] = (double)net_b2[j];
        for (size_t i = 0; i < N_HIDDEN; i++) {
            y[j] += h[i] * (double)net_w2[i * N_OUT + j];
        }
    }
}

void expect_net(struct buf file) {
    struct compiled *c = compile_net(file);
    assert_int_equal(csl_plan_n_inputs(&c->plan), N_IN);
    assert_int_equal(csl_plan_n_outputs(&c->plan), N_OUT);
    for (int sample = 0; sample < 20; sample++) {
        float x[N_IN];
        double y[N_OUT];
        double expected[N_OUT];
        int64_t fixed[N_OUT];
        int64_t xf[N_IN];
        for (int i = 0; i < N_IN; i++) {
            x[i] = (float)((sample * 37 + i * 101) % 65 - 32) / 32.0F;
        }
        net_reference(expected, x);
        assert_int_equal(csl_network_eval(c->net, y, x, 1), CSL_OK);
        assert_int_equal(csl_plan_encode_input(&c->plan, xf, x, 1, NULL), CSL_OK);
        assert_int_equal(csl_eval_fixed(&c->plan, &c->q, fixed, xf, 1, NULL, NULL, NULL), CSL_OK);
        for (int j = 0; j < N_OUT; j++) {
            assert_true(fabs(y[j] - expected[j]) < 1e-9);
            double f = ldexp((double)fixed[j], -(int)csl_plan_output_frac(&c->plan));
            assert_true(fabs(f - expected[j]) < 1e-3);
        }
    }
    compiled_free(c);
}

void expect_refused(struct buf file, enum csl_err err, const char *const *words) {
    struct csl_diag diag = {""};
    struct csl_plan_options opt = csl_plan_options_default();
    struct compiled *c = calloc(1, sizeof *c);
    assert_non_null(c);
    enum csl_err got = compile_file(c, &file, &opt, &diag);
    if (got != err) {
        fail_msg("%s instead of %s: %s", csl_err_name(got), csl_err_name(err), diag.text);
    }
    assert_int_equal(c->plan.n_steps, 0);
    for (; *words != NULL; words++) {
        if (strstr(diag.text, *words) == NULL) {
            fail_msg("\"%s\" is not in: %s", *words, diag.text);
        }
    }
    buf_free(&file);
    compiled_free(c);
}
