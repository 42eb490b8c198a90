/* Bigger than MNIST: a residual network of CIFAR-10's size with random weights, its ranges from samples,
 * evaluated once by two parties; its cost is printed. */
#include "../mpc/parties.h"
#include "cnn.h"
#include "nn/infer.h"
#include "nn/model_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* relu(x + conv(relu(conv(x)))), the first with a stride; a 1x1 convolution where the shape changes. */
static uint32_t block(struct csl_network *net, uint32_t x, uint32_t c, uint32_t stride, uint32_t salt) {
    uint32_t y = net_relu(net, net_conv(net, x, c, WINDOW(3, stride, 1), 1, salt));
    y = net_conv(net, y, c, WINDOW(3, 1, 1), 0.5, salt + 1);
    uint32_t skip = stride == 1 ? x : net_conv(net, x, c, WINDOW(1, stride, 0), 1, salt + 2);
    return net_relu(net, net_join(net, CSL_OPK_ADD, y, skip));
}

/* ResNet-20: about 270 K parameters. */
static struct csl_network *resnet(void) {
    struct csl_network *net = net_new(32, 32, 3);
    uint32_t x = net_relu(net, net_conv(net, 0, 16, WINDOW(3, 1, 1), 1, 1));
    for (uint32_t i = 0; i < 9; i++) {
        x = block(net, x, 16U << (i / 3), i == 3 || i == 6 ? 2 : 1, 10 + 3 * i);
    }
    net_dense(net, net_pool(net, x, CSL_OPK_AVGPOOL, WINDOW(8, 8, 0), false), 10, 1, 100);
    return net;
}

struct job {
    const struct built *b;
    struct csl_model_share share[2];
    struct csl_epoch_keys keys[2];
    uint8_t mask_id[CSL_DIGEST_BYTES];
    uint64_t *x[CSL_MAX_PARTIES], *y[CSL_MAX_PARTIES];
};

static enum csl_err party(struct party *p) {
    struct job *job = p->arg;
    unsigned i = p->s.self;
    TRY(csl_model_open_weights(&p->s, &job->share[i], &job->keys[i], job->mask_id));
    TRY(csl_infer_prepare(p->corr, &job->share[i], NULL));
    return csl_infer(&p->s, job->y[i], &job->b->plan, &job->share[i], p->corr, job->x[i], CSL_PROFILE_LAN,
                     false);
}

static void deal(struct parties *all, struct job *job) {
    static struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    uint64_t *masks[CSL_PLAN_MAX_DEMANDS] = {0};
    size_t n;
    uint32_t layer = 0;
    assert_int_equal(csl_plan_demands(&job->b->plan, CSL_PROFILE_LAN, false, demands, &n), CSL_OK);
    for (size_t d = 0; d < n; d++) {
        if (demands[d].kind == CSL_DEMAND_LINEAR) {
            size_t n_w = csl_conv_weights(&demands[d].conv);
            masks[d] = alloc_words(n_w);
            assert_int_equal(
                csl_weight_mask_sum(masks[d], job->keys, 2, job->mask_id, layer++, n_w, demands[d].bits),
                CSL_OK);
        }
    }
    parties_deal(all, demands, n, (const uint64_t *const *)masks, 1, 1);
    for (size_t d = 0; d < n; d++) {
        free(masks[d]);
    }
}

/* Logits of the two parties against the nearest reference. */
static void evaluate(const struct built *b, const int64_t *x, const int64_t *expected) {
    static struct job job;
    struct parties all;
    struct csl_cost cost;
    uint8_t seed[CSL_SEED_BYTES];
    size_t n_y = csl_plan_n_outputs(&b->plan);
    uint64_t y[10];
    job.b = b;
    parties_init(&all, 2);
    assert_int_equal(csl_model_split(seed, &job.share[1], &b->plan, &b->q, 2, NULL), CSL_OK);
    assert_int_equal(csl_model_share_expand(&job.share[0], &b->plan, seed), CSL_OK);
    deal(&all, &job);
    make_shares(job.x, 2, (const uint64_t *)x, csl_plan_n_inputs(&b->plan), csl_plan_input_bits(&b->plan), 7);
    alloc_shares(job.y, 2, n_y);
    parties_run_ok(&all, party, &job);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 2, 1, CSL_PROFILE_LAN, false), CSL_OK);
    assert_int_equal(all.party[0].s.stats.rounds,
                     cost.rounds); /* the weights' opening for the output's hop */
    assert_int_equal(all.party[0].s.stats.bytes_per_peer, cost.open_weights_bytes + cost.online_bytes);
    join_shares(y, job.y, 2, n_y, csl_plan_output_bits(&b->plan));
    for (size_t i = 0; i < n_y; i++) {
        double got = (double)csl_ring_signed(y[i], csl_plan_output_bits(&b->plan));
        assert_true(fabs(got - (double)expected[i]) <= ldexp(1, b->plan.output_cut)); /* 64 deviations */
    }
    csl_model_share_clear(&job.share[0]);
    csl_model_share_clear(&job.share[1]);
    free_shares(job.x, 2);
    free_shares(job.y, 2);
    parties_clear(&all);
}

static void test_resnet(void **state) {
    (void)state;
    struct csl_plan_options opt = csl_plan_options_default();
    struct csl_ranges ranges = {0};
    struct csl_network *net = resnet();
    struct csl_plan shape = {.input = opt.input};
    shape.values[0].dim = net->input;
    float *samples = random_inputs(&shape, 3, 5);
    float *x = random_inputs(&shape, 1, 6);
    assert_int_equal(csl_ranges_observe(&ranges, net, samples, 3), CSL_OK);
    opt.samples = &ranges;
    struct built *b = build(net, &opt);
    int64_t *xf = calloc(csl_plan_n_inputs(&b->plan), sizeof *xf);
    int64_t yf[10];
    double y[10];
    assert_non_null(xf);
    assert_int_equal(csl_plan_encode_input(&b->plan, xf, x, 1, NULL), CSL_OK);
    assert_int_equal(csl_eval_fixed(&b->plan, &b->q, yf, xf, 1, NULL, NULL, NULL), CSL_OK);
    assert_int_equal(csl_network_eval(net, y, x, 1), CSL_OK);
    for (int i = 0; i < 10; i++) {
        assert_true(fabs(y[i] - ldexp((double)yf[i], -(int)csl_plan_output_frac(&b->plan))) < 0.01);
    }
    evaluate(b, xf, yf);
    struct csl_model_report *report = calloc(1, sizeof *report);
    assert_non_null(report);
    assert_int_equal(csl_model_report_make(report, NULL, net, NULL, &opt, 2, 1, CSL_PROFILE_LAN, false, NULL),
                     CSL_OK);
    csl_model_report_print(report, stdout);
    csl_model_report_clear(report);
    free(report);
    free(samples);
    free(x);
    free(xf);
    built_free(b);
    csl_ranges_clear(&ranges);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_resnet)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
