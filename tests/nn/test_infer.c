/* Secure evaluation over the in-memory link against the fixed-point reference: bit for bit with the
 * correlations' own rounding replayed, and within the stated bound of the floor. */
#include "../mpc/parties.h"
#include "crypto/secret.h"
#include "mpc/share.h"
#include "nets.h"
#include "nn/infer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4 };

struct job {
    const struct csl_plan *plan;
    struct csl_model_share share[CSL_MAX_PARTIES];
    struct csl_epoch_keys keys[CSL_MAX_PARTIES];
    uint8_t mask_id[CSL_DIGEST_BYTES];
    uint64_t *x[CSL_MAX_PARTIES];
    uint64_t *y[CSL_MAX_PARTIES];
    size_t n_y;
};

static enum csl_err open_weights(struct party *p) {
    struct job *job = p->arg;
    unsigned i = p->s.self;
    TRY(csl_model_open_weights(&p->s, &job->share[i], &job->keys[i], job->mask_id));
    return csl_infer_prepare(p->corr, &job->share[i], NULL);
}

static enum csl_err infer(struct party *p) {
    struct job *job = p->arg;
    unsigned i = p->s.self;
    return csl_infer(&p->s, job->y[i], job->plan, &job->share[i], p->corr, job->x[i]);
}

/* The masks of all linear demands as the dealer knows them. */
static void deal(struct parties *all, struct job *job, uint32_t salt) {
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    uint64_t *masks[CSL_PLAN_MAX_DEMANDS] = {0};
    size_t n;
    assert_int_equal(csl_plan_demands(job->plan, demands, &n), CSL_OK);
    for (size_t d = 0; d < n; d++) {
        size_t n_w = (size_t)demands[d].k_dim * demands[d].n_dim;
        if (demands[d].kind == CSL_DEMAND_LINEAR) {
            masks[d] = alloc_words(n_w);
            assert_int_equal(csl_weight_mask_sum(masks[d], job->keys, all->n, job->mask_id, (uint32_t)d, n_w,
                                                 demands[d].bits),
                             CSL_OK);
        }
    }
    parties_deal(all, demands, n, (const uint64_t *const *)masks, BATCH, salt);
    for (size_t d = 0; d < n; d++) {
        free(masks[d]);
    }
}

/* The owner's side, over bytes as they would travel. */
static void share_model(struct job *job, const struct compiled *c, unsigned n) {
    uint8_t seeds[CSL_MAX_PARTIES * CSL_SEED_BYTES];
    struct csl_model_share last;
    struct csl_diag diag;
    assert_int_equal(csl_model_split(seeds, &last, &c->plan, &c->q, n, &diag), CSL_OK);
    for (unsigned p = 0; p + 1 < n; p++) {
        assert_int_equal(csl_model_share_expand(&job->share[p], &c->plan, seeds + p * CSL_SEED_BYTES),
                         CSL_OK);
    }
    size_t n_bytes = csl_model_share_bytes(&c->plan);
    uint8_t *bytes = malloc(n_bytes + 1);
    assert_non_null(bytes);
    assert_int_equal(csl_model_share_encode(bytes, n_bytes, &last), CSL_OK);
    assert_int_equal(csl_model_share_encode(bytes, n_bytes - 1, &last), CSL_EUSAGE);
    assert_int_equal(csl_model_share_encode(bytes, n_bytes + 1, &last), CSL_EUSAGE);
    assert_int_equal(csl_model_share_encode(bytes, n_bytes, &last), CSL_OK);
    CSL_PUBLIC(bytes, n_bytes); /* to the last party alone */
    assert_int_equal(csl_model_share_decode(&job->share[n - 1], &c->plan, bytes, n_bytes - 1, &diag),
                     CSL_EPROTO);
    assert_int_equal(csl_model_share_decode(&job->share[n - 1], &c->plan, bytes, n_bytes + 1, &diag),
                     CSL_EPROTO);
    assert_int_equal(csl_model_share_decode(&job->share[n - 1], &c->plan, bytes, n_bytes, &diag), CSL_OK);
    csl_model_share_clear(&last);
    free(bytes);
}

/* r of every truncation, put together before it is used. */
struct rounding {
    uint64_t *r[CSL_PLAN_MAX_LAYERS];
    uint64_t low[CSL_PLAN_MAX_LAYERS];
};

static uint64_t replay(void *ctx, uint32_t layer, size_t at) {
    const struct rounding *rounding = ctx;
    return rounding->r[layer][at] & rounding->low[layer];
}

static void take_rounding(struct rounding *out, const struct parties *all, const struct csl_plan *plan) {
    *out = (struct rounding){0};
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        if (plan->layers[d].activation != CSL_ACTIVATION_NONE) {
            out->r[d] = alloc_words((size_t)BATCH * plan->layers[d].n);
            out->low[d] = csl_ring_mask(plan->layers[d].trunc_f);
            join_field(out->r[d], all, 2 * d + 1, 0); /* CSL_RELU_R and CSL_TRUNC_R */
        }
    }
}

/* O1 at parties and client: every logit within the bound of the floor reference. */
static void check_output(const struct compiled *c, struct job *job, unsigned n, const int64_t *floor_y) {
    unsigned bits = csl_plan_output_bits(&c->plan);
    unsigned n_out = csl_plan_n_outputs(&c->plan);
    int64_t *joined = calloc(job->n_y, sizeof *joined);
    double *y = calloc(job->n_y, sizeof *y);
    double *bound = calloc(n_out, sizeof *bound);
    assert_true(joined != NULL && y != NULL && bound != NULL);
    for (unsigned p = 0; p < n; p++) {
        csl_output_cut(job->y[p], job->y[p], job->n_y, bits, c->plan.output_cut);
    }
    for (unsigned p = 0; p < n; p++) {
        CSL_PUBLIC(job->y[p], job->n_y * sizeof(uint64_t)); /* to the client alone */
    }
    csl_output_join(joined, (const uint64_t *const *)job->y, n, job->n_y, bits, c->plan.output_cut);
    csl_plan_decode_output(&c->plan, y, joined, job->n_y);
    assert_int_equal(csl_eval_error_bound(&c->plan, &c->q, bound, n), CSL_OK);
    for (size_t i = 0; i < job->n_y; i++) {
        double reference = ldexp((double)floor_y[i], -(int)csl_plan_output_frac(&c->plan));
        assert_true(fabs(y[i] - reference) <= bound[i % n_out]);
        assert_true(bound[i % n_out] < 0.05);
    }
    free(joined);
    free(y);
    free(bound);
}

/* Inputs in the interval, its ends among them. */
static void make_inputs(int64_t *x, const struct csl_plan *plan, uint32_t salt) {
    size_t n = (size_t)BATCH * csl_plan_n_inputs(plan);
    float *values = calloc(n, sizeof *values);
    uint64_t *random = alloc_words(n);
    assert_non_null(values);
    test_random(random, n, 16, salt);
    for (size_t i = 0; i < n; i++) {
        double t = i % 7 == 0 ? 0 : i % 7 == 1 ? 1 : (double)random[i] / 65535.0;
        values[i] = (float)(plan->input.lo + t * (plan->input.hi - plan->input.lo));
    }
    assert_int_equal(csl_plan_encode_input(plan, x, values, BATCH, NULL), CSL_OK);
    free(values);
    free(random);
}

static void run_network(const struct compiled *c, unsigned n, uint32_t salt) {
    const struct csl_plan *plan = &c->plan;
    struct job *job = calloc(1, sizeof *job);
    struct parties all;
    struct rounding rounding;
    struct csl_cost cost;
    assert_non_null(job);
    job->plan = plan;
    job->n_y = (size_t)BATCH * csl_plan_n_outputs(plan);
    size_t n_x = (size_t)BATCH * csl_plan_n_inputs(plan);
    int64_t *x = calloc(n_x, sizeof *x);
    int64_t *expected = calloc(job->n_y, sizeof *expected);
    uint64_t *y = alloc_words(job->n_y);
    assert_true(x != NULL && expected != NULL);
    make_inputs(x, plan, salt);
    parties_init(&all, n);
    for (unsigned p = 0; p < n; p++) {
        test_seed(job->keys[p].mask_key, 99, 0, p);
    }
    share_model(job, c, n);
    deal(&all, job, salt);
    make_shares(job->x, n, (const uint64_t *)x, n_x, csl_plan_input_bits(plan), 7);
    alloc_shares(job->y, n, job->n_y);

    parties_run_ok(&all, open_weights, job);
    assert_int_equal(csl_plan_cost(plan, &cost, n, BATCH), CSL_OK);
    assert_int_equal(all.party[0].s.stats.rounds, 1);
    assert_int_equal(all.party[0].s.stats.bytes_per_peer, cost.open_weights_bytes);
    take_rounding(&rounding, &all, plan);
    parties_run_ok(&all, infer, job);
    assert_int_equal(all.party[n - 1].s.stats.rounds - 1, cost.rounds - 1); /* without the output's hop */
    assert_int_equal(all.party[n - 1].s.stats.bytes_per_peer - cost.open_weights_bytes, cost.online_bytes);

    assert_int_equal(csl_eval_fixed(plan, &c->q, expected, x, BATCH, replay, &rounding, NULL), CSL_OK);
    join_shares(y, job->y, n, job->n_y, csl_plan_output_bits(plan));
    for (size_t i = 0; i < job->n_y; i++) {
        assert_int_equal(csl_ring_signed(y[i], csl_plan_output_bits(plan)), expected[i]);
    }
    assert_int_equal(csl_eval_fixed(plan, &c->q, expected, x, BATCH, NULL, NULL, NULL), CSL_OK);
    check_output(c, job, n, expected);

    for (unsigned p = 0; p < n; p++) {
        csl_model_share_clear(&job->share[p]);
    }
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        free(rounding.r[d]);
    }
    free_shares(job->x, n);
    free_shares(job->y, n);
    parties_clear(&all);
    free(x);
    free(expected);
    free(y);
    free(job);
}

/* `middle` between the layers, an optional ReLU at the end; hidden dense layers of their own random weights.
 */
static struct compiled *network(const char *middle, bool final_relu, uint32_t n_in, uint32_t n_hidden,
                                const struct csl_plan_options *opt) {
    static const char *const names[4] = {"w0", "w1", "b0", "b1"};
    struct model m;
    int64_t dims[4][2] = {{n_in, n_hidden}, {n_hidden, 4}, {1, n_hidden}, {1, 4}};
    model_init(&m, 17);
    model_input(&m, "x", DIMS(-1, (int64_t)n_in));
    for (int i = 0; i < 4; i++) {
        size_t n = (size_t)(dims[i][0] * dims[i][1]);
        uint64_t *random = alloc_words(n);
        float *values = calloc(n, sizeof *values);
        assert_non_null(values);
        test_random(random, n, 16, 1000 + (uint32_t)i);
        for (size_t j = 0; j < n; j++) {
            values[j] = (float)(((double)random[j] / 32768.0 - 1.0) * sqrt(3.0 / (double)dims[0][0]));
        }
        model_tensor(&m, tensor_float(names[i], ONNX_FLOAT, true, DIMS(dims[i][0], dims[i][1]), values, n));
        free(values);
        free(random);
    }
    model_node(&m, "Gemm", NULL, "x,w0,b0", "z");
    model_node(&m, middle, NULL, "z", "h");
    model_node(&m, "Gemm", NULL, "h,w1,b1", final_relu ? "y0" : "y");
    if (final_relu) {
        model_node(&m, "Relu", NULL, "y0", "y");
    }
    model_output(&m, "y");
    return compile_net_with(model_finish(&m), opt);
}

static void test_networks(void **state) {
    (void)state;
    static const unsigned parties[] = {2, 3, 5};
    struct csl_plan_options opt = csl_plan_options_default();
    opt.input = (struct csl_normalization){CSL_NORMALIZE_CENTERED, -1, 1};
    for (int final_relu = 0; final_relu < 2; final_relu++) {
        for (int i = 0; i < 3; i++) {
            struct compiled *c = network("Relu", final_relu, 20, 33, &opt);
            run_network(c, parties[i], 10 + (uint32_t)i);
            compiled_free(c);
            c = network("Identity", final_relu, 20, 33, &opt);
            assert_int_equal(c->plan.layers[0].activation, CSL_ACTIVATION_TRUNC);
            run_network(c, parties[i], 20 + (uint32_t)i);
            compiled_free(c);
        }
    }
}

/* Other fixed-point scales and intervals, 16 parties once. */
static void test_scales(void **state) {
    (void)state;
    for (unsigned frac = 10; frac <= 20; frac += 5) {
        struct csl_plan_options opt = csl_plan_options_default();
        opt.frac_bits = frac;
        struct compiled *c = network("Relu", false, 64, 10, &opt);
        if (frac >= 15) { /* at 10 bits the bound of check_output does not hold */
            run_network(c, frac == 20 ? 16 : 2, 30 + frac);
        }
        assert_int_equal(csl_plan_input_frac(&c->plan), frac);
        compiled_free(c);
    }
}

/* The first layers of network A, at its sizes. */
static void test_large(void **state) {
    (void)state;
    struct csl_plan_options opt = csl_plan_options_default();
    struct compiled *c = network("Relu", false, 784, 128, &opt);
    run_network(c, 3, 40);
    compiled_free(c);
}

static void test_single_layer(void **state) {
    (void)state;
    struct model m;
    model_init(&m, 17);
    model_input(&m, "x", DIMS(1, N_IN));
    net_tensors(&m, ONNX_FLOAT, true, false);
    model_node(&m, "Gemm", NULL, "x,w1,b1", "y");
    model_output(&m, "y");
    struct compiled *c = compile_net(model_finish(&m));
    assert_true(c->report.output_noise_std == 0);
    run_network(c, 3, 50);
    compiled_free(c);
}

/* ---- what must fail ---- */

static enum csl_err infer_unopened(struct party *p) {
    struct job *job = p->arg;
    enum csl_err err = csl_infer_prepare(p->corr, &job->share[p->s.self], NULL);
    assert_int_equal(err, CSL_EINTERNAL);
    err = infer(p);
    for (size_t i = 0; i < job->n_y; i++) {
        assert_int_equal(job->y[p->s.self][i], 0);
    }
    return err;
}

static enum csl_err infer_twice(struct party *p) {
    TRY(open_weights(p));
    TRY(infer(p));
    return infer(p);
}

static enum csl_err open_twice(struct party *p) {
    struct job *job = p->arg;
    unsigned i = p->s.self;
    TRY(open_weights(p));
    return csl_model_open_weights(&p->s, &job->share[i], &job->keys[i], job->mask_id);
}

static enum csl_err no_model(struct party *p) {
    struct job *job = p->arg;
    struct csl_model_share empty = {0};
    return csl_model_open_weights(&p->s, &empty, &job->keys[p->s.self], job->mask_id);
}

/* A wider middle than the correlations were made for. */
static enum csl_err wider_plan(struct party *p) {
    struct job *job = p->arg;
    unsigned i = p->s.self;
    struct csl_plan plan = *job->plan;
    plan.layers[0].n++;
    plan.layers[1].k++;
    return csl_infer(&p->s, job->y[i], &plan, &job->share[i], p->corr, job->x[i]);
}

static enum csl_err other_plan(struct party *p) {
    struct job *job = p->arg;
    struct csl_model_share empty = {0};
    unsigned i = p->s.self;
    return csl_infer(&p->s, job->y[i], job->plan, &empty, p->corr, job->x[i]);
}

static void test_misuse(void **state) {
    (void)state;
    static party_fn *const wrong[] = {infer_unopened, infer_twice, open_twice,
                                      no_model,       other_plan,  wider_plan};
    struct csl_plan_options opt = csl_plan_options_default();
    struct compiled *c = network("Relu", false, 6, 5, &opt);
    for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
        struct job *job = calloc(1, sizeof *job);
        struct parties all;
        assert_non_null(job);
        job->plan = &c->plan;
        job->n_y = (size_t)BATCH * csl_plan_n_outputs(&c->plan);
        uint64_t *x = alloc_words((size_t)BATCH * csl_plan_n_inputs(&c->plan));
        parties_init(&all, 2);
        share_model(job, c, 2);
        deal(&all, job, 60);
        make_shares(job->x, 2, x, (size_t)BATCH * csl_plan_n_inputs(&c->plan), csl_plan_input_bits(&c->plan),
                    8);
        alloc_shares(job->y, 2, job->n_y);
        parties_run(&all, wrong[k], job);
        for (unsigned p = 0; p < 2; p++) {
            assert_int_equal(all.party[p].err, CSL_EINTERNAL);
            assert_int_equal(csl_session_error(&all.party[p].s), CSL_EINTERNAL);
            csl_model_share_clear(&job->share[p]);
        }
        free_shares(job->x, 2);
        free_shares(job->y, 2);
        parties_clear(&all);
        free(x);
        free(job);
    }
    compiled_free(c);
}

/* A peer that leaves in any round: an error that names it, and no output. */
static void test_peer_gone(void **state) {
    (void)state;
    struct csl_plan_options opt = csl_plan_options_default();
    struct compiled *c = network("Relu", false, 6, 5, &opt);
    struct csl_cost cost;
    assert_int_equal(csl_plan_cost(&c->plan, &cost, 3, BATCH), CSL_OK);
    for (uint32_t round = 2; round <= cost.rounds; round++) {
        struct job *job = calloc(1, sizeof *job);
        struct parties all;
        assert_non_null(job);
        job->plan = &c->plan;
        job->n_y = (size_t)BATCH * csl_plan_n_outputs(&c->plan);
        uint64_t *x = alloc_words((size_t)BATCH * csl_plan_n_inputs(&c->plan));
        parties_init(&all, 3);
        csl_mem_net_fault(all.net, 1, round, CSL_MEM_GONE, 0, 0);
        share_model(job, c, 3);
        deal(&all, job, 61);
        make_shares(job->x, 3, x, (size_t)BATCH * csl_plan_n_inputs(&c->plan), csl_plan_input_bits(&c->plan),
                    8);
        alloc_shares(job->y, 3, job->n_y);
        parties_run_ok(&all, open_weights, job);
        parties_run(&all, infer, job);
        for (unsigned p = 0; p < 3; p++) {
            assert_true(all.party[p].err != CSL_OK);
            for (size_t i = 0; i < job->n_y; i++) {
                assert_int_equal(job->y[p][i], 0);
            }
            csl_model_share_clear(&job->share[p]);
        }
        assert_int_equal(all.party[0].err, CSL_EPEER);
        free_shares(job->x, 3);
        free_shares(job->y, 3);
        parties_clear(&all);
        free(x);
        free(job);
    }
    compiled_free(c);
}

static void test_split_refused(void **state) {
    (void)state;
    struct csl_plan_options opt = csl_plan_options_default();
    struct compiled *c = network("Relu", false, 6, 5, &opt);
    uint8_t seeds[CSL_MAX_PARTIES * CSL_SEED_BYTES];
    struct csl_model_share last;
    assert_int_equal(csl_model_split(seeds, &last, &c->plan, &c->q, 1, NULL), CSL_EUSAGE);
    assert_int_equal(csl_model_split(seeds, &last, &c->plan, &c->q, 17, NULL), CSL_EUSAGE);
    c->q.layers[1].k++;
    assert_int_equal(csl_model_split(seeds, &last, &c->plan, &c->q, 2, NULL), CSL_EDATA);
    c->q.layers[1].k--;
    c->plan.head = 99;
    assert_int_equal(csl_model_split(seeds, &last, &c->plan, &c->q, 2, NULL), CSL_EDATA);
    assert_int_equal(csl_model_share_expand(&last, &c->plan, seeds), CSL_EDATA);
    assert_int_equal(csl_model_share_decode(&last, &c->plan, seeds, sizeof seeds, NULL), CSL_EDATA);
    assert_null(last.layers[0].w);
    compiled_free(c);
}

static void test_inputs_refused(void **state) {
    (void)state;
    struct csl_plan_options opt = csl_plan_options_default();
    struct compiled *c = network("Relu", false, 6, 5, &opt);
    static const float bad[] = {-0.001F, 1.001F, NAN, INFINITY, -INFINITY, 255.0F};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        float x[12] = {0, 1, 0.5F};
        int64_t fixed[12];
        struct csl_diag diag = {""};
        x[8] = bad[i];
        assert_int_equal(csl_plan_encode_input(&c->plan, fixed, x, 2, &diag), CSL_EDATA);
        assert_non_null(strstr(diag.text, "input 1, element 2"));
        assert_int_equal(fixed[1], 0);
    }
    int64_t far[6] = {(int64_t)1 << 40, 0, 0, 0, 0, 0};
    int64_t y[4] = {1, 1, 1, 1};
    struct csl_diag diag = {""};
    assert_int_equal(csl_eval_fixed(&c->plan, &c->q, y, far, 1, NULL, NULL, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "Gemm #1"));
    assert_int_equal(y[0], 0);
    compiled_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_networks),      cmocka_unit_test(test_scales),
        cmocka_unit_test(test_large),         cmocka_unit_test(test_single_layer),
        cmocka_unit_test(test_misuse),        cmocka_unit_test(test_peer_gone),
        cmocka_unit_test(test_split_refused), cmocka_unit_test(test_inputs_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
