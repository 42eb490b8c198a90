/* Secure evaluation over the in-memory link against the fixed-point reference: bit for bit with the
 * correlations' own rounding replayed, and within the stated bound of the nearest; rounds and bytes as
 * csl_plan_cost says. */
#include "../mpc/parties.h"
#include "cnn.h"
#include "crypto/secret.h"
#include "mpc/pack.h"
#include "mpc/share.h"
#include "nn/infer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3 };

struct job {
    const struct built *b;
    enum csl_profile profile;
    bool label;
    double precision; /* what the error bound must be below */
    struct csl_model_share share[CSL_MAX_PARTIES];
    struct csl_epoch_keys keys[CSL_MAX_PARTIES];
    uint8_t mask_id[CSL_DIGEST_BYTES];
    uint64_t *x[CSL_MAX_PARTIES];
    uint64_t *y[CSL_MAX_PARTIES];
    size_t n_y;
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    size_t n_demands;
    uint64_t *r[CSL_PLAN_MAX_DEMANDS]; /* of every comparison and truncation, put together before its use */
    uint64_t *c[CSL_PLAN_MAX_DEMANDS]; /* what ReLU and truncation opened */
    uint32_t c_round[CSL_PLAN_MAX_DEMANDS];
    struct parties all;
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
    return csl_infer(&p->s, job->y[i], &job->b->plan, &job->share[i], p->corr, job->x[i], job->profile,
                     job->label);
}

/* The masks of all linear demands as the dealer knows them. */
static void deal(struct job *job, uint32_t salt) {
    uint64_t *masks[CSL_PLAN_MAX_DEMANDS] = {0};
    uint32_t layer = 0;
    assert_int_equal(csl_plan_demands(&job->b->plan, job->profile, job->label, job->demands, &job->n_demands),
                     CSL_OK);
    for (size_t d = 0; d < job->n_demands; d++) {
        const struct csl_demand *demand = &job->demands[d];
        if (demand->kind == CSL_DEMAND_LINEAR) {
            size_t n_w = csl_conv_weights(&demand->conv);
            masks[d] = alloc_words(n_w);
            assert_int_equal(csl_weight_mask_sum(masks[d], job->keys, job->all.n, job->mask_id, layer++, n_w,
                                                 demand->bits),
                             CSL_OK);
        }
    }
    assert_int_equal(layer, job->b->plan.n_layers);
    parties_deal(&job->all, job->demands, job->n_demands, (const uint64_t *const *)masks, BATCH, salt);
    for (size_t d = 0; d < job->n_demands; d++) {
        free(masks[d]);
        if (job->demands[d].kind != CSL_DEMAND_LINEAR) {
            job->r[d] = alloc_words((size_t)BATCH * job->demands[d].count);
            job->c[d] = alloc_words((size_t)BATCH * job->demands[d].count);
            join_field(job->r[d], &job->all, d, 0); /* CSL_RELU_R and CSL_TRUNC_R */
        }
    }
}

/* The owner's side, over bytes as they would travel. */
static void share_model(struct job *job, unsigned n) {
    uint8_t seeds[CSL_MAX_PARTIES * CSL_SEED_BYTES];
    struct csl_model_share last;
    struct csl_diag diag;
    const struct csl_plan *plan = &job->b->plan;
    assert_int_equal(csl_model_split(seeds, &last, plan, &job->b->q, n, &diag), CSL_OK);
    for (unsigned p = 0; p + 1 < n; p++) {
        assert_int_equal(csl_model_share_expand(&job->share[p], plan, seeds + p * CSL_SEED_BYTES), CSL_OK);
    }
    size_t n_bytes = csl_model_share_bytes(plan);
    uint8_t *bytes = malloc(n_bytes + 1);
    assert_non_null(bytes);
    assert_int_equal(csl_model_share_encode(bytes, n_bytes - 1, &last), CSL_EUSAGE);
    assert_int_equal(csl_model_share_encode(bytes, n_bytes + 1, &last), CSL_EUSAGE);
    assert_int_equal(csl_model_share_encode(bytes, n_bytes, &last), CSL_OK);
    CSL_PUBLIC(bytes, n_bytes); /* to the last party alone */
    assert_int_equal(csl_model_share_decode(&job->share[n - 1], plan, bytes, n_bytes - 1, &diag), CSL_EPROTO);
    assert_int_equal(csl_model_share_decode(&job->share[n - 1], plan, bytes, n_bytes + 1, &diag), CSL_EPROTO);
    assert_int_equal(csl_model_share_decode(&job->share[n - 1], plan, bytes, n_bytes, &diag), CSL_OK);
    csl_model_share_clear(&last);
    free(bytes);
}

static struct job *job_new(const struct built *b, unsigned n, enum csl_profile profile, bool label,
                           const int64_t *x, uint32_t salt) {
    struct job *job = calloc(1, sizeof *job);
    assert_non_null(job);
    job->b = b;
    job->profile = profile;
    job->label = label;
    job->n_y = (size_t)BATCH * (label ? 1 : csl_plan_n_outputs(&b->plan));
    parties_init(&job->all, n);
    for (unsigned p = 0; p < n; p++) {
        uint8_t keys[CSL_INDEX_SEED_BYTES];
        test_seed(keys, 99, 0, p);
        memcpy(job->keys[p].mask_key, keys, sizeof job->keys[p].mask_key);
    }
    share_model(job, n);
    deal(job, salt);
    make_shares(job->x, n, (const uint64_t *)x, (size_t)BATCH * csl_plan_n_inputs(&b->plan),
                csl_plan_input_bits(&b->plan), 7);
    alloc_shares(job->y, n, job->n_y);
    return job;
}

static void job_free(struct job *job) {
    for (unsigned p = 0; p < job->all.n; p++) {
        csl_model_share_clear(&job->share[p]);
    }
    for (size_t d = 0; d < job->n_demands; d++) {
        free(job->r[d]);
        free(job->c[d]);
    }
    free_shares(job->x, job->all.n);
    free_shares(job->y, job->all.n);
    parties_clear(&job->all);
    free(job);
}

/* In which round each demand opens its c, after `opened` rounds. */
static void set_rounds(struct job *job, uint32_t opened) {
    for (size_t d = 0; d < job->n_demands; d++) {
        const struct csl_demand *demand = &job->demands[d];
        bool one = demand->kind == CSL_DEMAND_LINEAR || demand->kind == CSL_DEMAND_TRUNC;
        job->c_round[d] = opened + 1;
        bool two = demand->trunc.n_digits == 1 || demand->form == CSL_FORM_WAN;
        opened += one ? 1 : two ? 2 : 3;
    }
}

static void tap_c(void *arg, unsigned party, uint32_t round, const uint8_t *out, size_t n_bytes) {
    struct job *job = arg;
    (void)party;
    for (size_t d = 0; d < job->n_demands; d++) {
        const struct csl_demand *demand = &job->demands[d];
        bool cut = demand->kind == CSL_DEMAND_RELU || demand->kind == CSL_DEMAND_TRUNC;
        if (!cut || round != job->c_round[d]) {
            continue;
        }
        size_t n = (size_t)BATCH * demand->count;
        unsigned bits = demand->trunc.k + csl_demand_low_bits(demand);
        uint64_t *part = alloc_words(n);
        assert_int_equal(n_bytes, (n * bits + 7) / 8);
        csl_unpack_bits(part, out, n, bits);
        csl_add_mod(job->c[d], job->c[d], part, n, bits);
        free(part);
    }
}

/* What was added to z: c - r is z as it was opened, with what single shares lost when they were shifted. */
static int64_t replay(void *ctx, size_t demand, size_t at, int64_t z) {
    const struct job *job = ctx;
    assert_true(demand < job->n_demands && job->r[demand] != NULL);
    const struct csl_demand *d = &job->demands[demand];
    assert_true(at < (size_t)BATCH * d->count);
    uint64_t r = job->r[demand][at], c = job->c[demand][at];
    unsigned low = csl_demand_low_bits(d), f = d->trunc.f;
    if (d->kind == CSL_DEMAND_MAX || d->kind == CSL_DEMAND_ARGMAX) {
        return (int64_t)(r & csl_ring_mask(f));
    }
    uint64_t opened = (c - (r >> low << low)) << (f - low);
    int64_t added = csl_ring_signed(opened - (uint64_t)z, d->trunc.k + f);
    int64_t unit = (int64_t)1 << f, margin = f > low ? unit / 2 : 0;
    assert_true(-margin <= added && added < unit + margin);
    return added;
}

/* ---- one run ---- */

/* O1 at parties and client: every logit within the bound of the nearest reference. */
static void check_logits(struct job *job, const int64_t *nearest) {
    const struct csl_plan *plan = &job->b->plan;
    unsigned bits = csl_plan_output_bits(plan), n = job->all.n;
    size_t n_out = csl_plan_n_outputs(plan);
    int64_t *joined = calloc(job->n_y, sizeof *joined);
    double *y = calloc(job->n_y, sizeof *y);
    double *bound = calloc(n_out, sizeof *bound);
    assert_true(joined != NULL && y != NULL && bound != NULL);
    for (unsigned p = 0; p < n; p++) {
        csl_output_cut(job->y[p], job->y[p], job->n_y, bits, plan->output_cut);
        CSL_PUBLIC(job->y[p], job->n_y * sizeof(uint64_t)); /* to the client alone */
    }
    csl_output_join(joined, (const uint64_t *const *)job->y, n, job->n_y, bits, plan->output_cut);
    csl_plan_decode_output(plan, y, joined, job->n_y);
    assert_int_equal(csl_eval_error_bound(plan, &job->b->q, bound, n), CSL_OK);
    for (size_t i = 0; i < job->n_y; i++) {
        double unit = ldexp(plan->values[plan->n_steps].scale, -(int)csl_plan_output_frac(plan));
        assert_true(fabs(y[i] - (double)nearest[i] * unit) <= bound[i % n_out]);
        assert_true(bound[i % n_out] < job->precision);
    }
    free(joined);
    free(y);
    free(bound);
}

static void check_result(struct job *job, const int64_t *x) {
    const struct csl_plan *plan = &job->b->plan;
    size_t n_out = csl_plan_n_outputs(plan);
    unsigned bits = job->label ? csl_plan_label_bits(plan) : csl_plan_output_bits(plan);
    int64_t *expected = calloc(BATCH * n_out, sizeof *expected);
    uint64_t *y = alloc_words(job->n_y);
    assert_non_null(expected);
    assert_int_equal(csl_eval_fixed(plan, &job->b->q, expected, x, BATCH, replay, job, NULL), CSL_OK);
    join_shares(y, job->y, job->all.n, job->n_y, bits);
    for (size_t i = 0; i < job->n_y; i++) {
        if (job->label) {
            uint32_t label;
            assert_int_equal(csl_eval_label(plan, &label, expected + i * n_out, i, replay, job), CSL_OK);
            assert_int_equal(y[i], label);
        } else {
            assert_int_equal(csl_ring_signed(y[i], bits), expected[i]);
        }
    }
    assert_int_equal(csl_eval_fixed(plan, &job->b->q, expected, x, BATCH, NULL, NULL, NULL), CSL_OK);
    if (!job->label) {
        check_logits(job, expected);
    }
    free(expected);
    free(y);
}

static void run_profile(const struct built *b, unsigned n, enum csl_profile profile, bool label,
                        uint32_t salt, double precision) {
    const struct csl_plan *plan = &b->plan;
    size_t n_x = (size_t)BATCH * csl_plan_n_inputs(plan);
    float *values = random_inputs(plan, BATCH, salt);
    int64_t *x = calloc(n_x, sizeof *x);
    struct csl_cost cost;
    assert_non_null(x);
    assert_int_equal(csl_plan_encode_input(plan, x, values, BATCH, NULL), CSL_OK);
    struct job *job = job_new(b, n, profile, label, x, salt);
    job->precision = precision;
    parties_run_ok(&job->all, open_weights, job);
    assert_int_equal(csl_plan_cost(plan, &cost, n, BATCH, profile, label), CSL_OK);
    const struct csl_session_stats *stats = &job->all.party[n - 1].s.stats;
    uint32_t opening = stats->rounds;
    assert_int_equal(opening, (plan->n_layers + CSL_ROUND_MAX_ITEMS - 1) / CSL_ROUND_MAX_ITEMS);
    assert_int_equal(stats->bytes_per_peer, cost.open_weights_bytes);
    set_rounds(job, opening);
    csl_mem_net_tap(job->all.net, tap_c, job);
    parties_run_ok(&job->all, infer, job);
    assert_int_equal(stats->rounds - opening, cost.rounds - 1); /* without the output's hop */
    assert_int_equal(stats->bytes_per_peer - cost.open_weights_bytes, cost.online_bytes);
    check_result(job, x);
    job_free(job);
    free(values);
    free(x);
}

static void run_network_within(const struct built *b, unsigned n, bool label, uint32_t salt,
                               double precision) {
    run_profile(b, n, CSL_PROFILE_LAN, label, salt, precision);
    run_profile(b, n, CSL_PROFILE_WAN, label, salt, precision);
}

static void run_network(const struct built *b, unsigned n, bool label, uint32_t salt) {
    run_network_within(b, n, label, salt, 0.1);
}

static void test_networks(void **state) {
    (void)state;
    static const unsigned parties[] = {2, 3, 5};
    for (int i = 0; i < N_CNNS - 1; i++) {
        struct built *b = build(cnn(i), NULL);
        run_network(b, parties[i % 3], false, 10 + (uint32_t)i);
        run_network(b, parties[(i + 1) % 3], true, 30 + (uint32_t)i);
        built_free(b);
    }
}

static void test_minionn(void **state) {
    (void)state;
    struct csl_plan_options opt = csl_plan_options_default();
    struct built *b = build(cnn(N_CNNS - 1), &opt);
    run_network_within(b, 2, false, 50, 2); /* the worst case of all roundings grows with depth and width */
    run_network_within(b, 3, false, 51, 2);
    built_free(b);
}

/* More layers than a round opens at once, and fixed point of 20, 12 and 8 bits. */
static void test_scales(void **state) {
    (void)state;
    struct csl_plan_options opt = csl_plan_options_default();
    struct csl_network *net = net_new(1, 1, 6);
    uint32_t x = 0;
    for (uint32_t i = 0; i < 70; i++) {
        x = net_relu(net, net_dense(net, x, 6, 0.4, i));
    }
    net_dense(net, x, 3, 1, 100);
    struct built *b = build(net, &opt);
    run_network(b, 2, false, 60);
    built_free(b);
    for (unsigned frac = 12; frac <= 20; frac += 4) {
        opt.frac_bits = frac;
        b = build(cnn(9), &opt);
        assert_int_equal(csl_plan_input_frac(&b->plan), frac);
        if (frac > 12) { /* at 12 bits the bound of check_logits does not hold */
            run_network(b, frac == 20 ? 16 : 2, false, 60 + frac);
        }
        built_free(b);
    }
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

static enum csl_err other_share(struct party *p) {
    struct job *job = p->arg;
    struct csl_model_share empty = {0};
    unsigned i = p->s.self;
    return csl_infer(&p->s, job->y[i], &job->b->plan, &empty, p->corr, job->x[i], CSL_PROFILE_LAN, false);
}

/* A wider ring than the correlations were made for. */
static enum csl_err other_plan(struct party *p) {
    struct job *job = p->arg;
    unsigned i = p->s.self;
    struct csl_plan *plan = malloc(sizeof *plan);
    assert_non_null(plan);
    *plan = job->b->plan;
    plan->values[0].bits++;
    plan->values[1].bits++;
    plan->steps[0].l_bits++;
    enum csl_err err =
        csl_infer(&p->s, job->y[i], plan, &job->share[i], p->corr, job->x[i], CSL_PROFILE_LAN, false);
    free(plan);
    return err;
}

/* Labels from correlations for logits. */
static enum csl_err label_unasked(struct party *p) {
    struct job *job = p->arg;
    unsigned i = p->s.self;
    TRY(open_weights(p));
    return csl_infer(&p->s, job->y[i], &job->b->plan, &job->share[i], p->corr, job->x[i], CSL_PROFILE_LAN,
                     true);
}

/* Two rounds from correlations for three. */
static enum csl_err other_profile(struct party *p) {
    struct job *job = p->arg;
    unsigned i = p->s.self;
    TRY(open_weights(p));
    return csl_infer(&p->s, job->y[i], &job->b->plan, &job->share[i], p->corr, job->x[i], CSL_PROFILE_WAN,
                     false);
}

static void test_misuse(void **state) {
    (void)state;
    static party_fn *const wrong[] = {infer_unopened, infer_twice, open_twice,    no_model,
                                      other_share,    other_plan,  label_unasked, other_profile};
    struct built *b = build(cnn(9), NULL);
    int64_t *x = calloc((size_t)BATCH * csl_plan_n_inputs(&b->plan), sizeof *x);
    for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
        struct job *job = job_new(b, 2, CSL_PROFILE_LAN, false, x, 60);
        parties_run(&job->all, wrong[k], job);
        for (unsigned p = 0; p < 2; p++) {
            assert_int_equal(job->all.party[p].err, CSL_EINTERNAL);
            assert_int_equal(csl_session_error(&job->all.party[p].s), CSL_EINTERNAL);
        }
        job_free(job);
    }
    free(x);
    built_free(b);
}

/* A peer that leaves in any round: an error, and no output. */
static void gone_in(const struct built *b, enum csl_profile profile, const int64_t *x, uint32_t round) {
    struct job *job = job_new(b, 3, profile, true, x, 61);
    csl_mem_net_fault(job->all.net, 1, round, CSL_MEM_GONE, 0, 0);
    parties_run_ok(&job->all, open_weights, job);
    parties_run(&job->all, infer, job);
    for (unsigned p = 0; p < 3; p++) {
        assert_true(job->all.party[p].err != CSL_OK);
        for (size_t i = 0; i < job->n_y; i++) {
            assert_int_equal(job->y[p][i], 0);
        }
    }
    assert_int_equal(job->all.party[0].err, CSL_EPEER);
    job_free(job);
}

static void test_peer_gone(void **state) {
    (void)state;
    static const int networks[] = {9, 6};
    for (int k = 0; k < 2; k++) {
        struct built *b = build(cnn(networks[k]), NULL);
        int64_t *x = calloc((size_t)BATCH * csl_plan_n_inputs(&b->plan), sizeof *x);
        for (enum csl_profile profile = CSL_PROFILE_LAN; profile < CSL_PROFILE_COUNT; profile++) {
            struct csl_cost cost;
            assert_int_equal(csl_plan_cost(&b->plan, &cost, 3, BATCH, profile, true), CSL_OK);
            for (uint32_t round = 2; round <= cost.rounds; round++) {
                gone_in(b, profile, x, round);
            }
        }
        free(x);
        built_free(b);
    }
}

static void test_split_refused(void **state) {
    (void)state;
    struct built *b = build(cnn(1), NULL);
    uint8_t seeds[CSL_MAX_PARTIES * CSL_SEED_BYTES];
    struct csl_model_share last;
    assert_int_equal(csl_model_split(seeds, &last, &b->plan, &b->q, 1, NULL), CSL_EUSAGE);
    assert_int_equal(csl_model_split(seeds, &last, &b->plan, &b->q, 17, NULL), CSL_EUSAGE);
    b->q.layers[1].n_w++;
    assert_int_equal(csl_model_split(seeds, &last, &b->plan, &b->q, 2, NULL), CSL_EDATA);
    b->q.layers[1].n_w--;
    b->plan.head = 99;
    assert_int_equal(csl_model_split(seeds, &last, &b->plan, &b->q, 2, NULL), CSL_EDATA);
    assert_int_equal(csl_model_share_expand(&last, &b->plan, seeds), CSL_EDATA);
    assert_int_equal(csl_model_share_decode(&last, &b->plan, seeds, sizeof seeds, NULL), CSL_EDATA);
    assert_null(last.layers);
    built_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_networks),  cmocka_unit_test(test_minionn),
        cmocka_unit_test(test_scales),    cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_peer_gone), cmocka_unit_test(test_split_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
