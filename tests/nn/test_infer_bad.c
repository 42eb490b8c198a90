/* Secure evaluation with what does not belong together, out of order, or with a peer that leaves: an error at
 * all, and no output. */
#include "infer_job.h"

#include <stdlib.h>

static enum csl_err infer_unopened(struct party *p) {
    struct job *job = p->arg;
    enum csl_err err = csl_infer_prepare(p->corr, &job->share[p->s.self], NULL);
    assert_int_equal(err, CSL_EINTERNAL);
    err = job_infer(p);
    for (size_t i = 0; i < job->n_y; i++) {
        assert_int_equal(job->y[p->s.self][i], 0);
    }
    return err;
}

static enum csl_err infer_twice(struct party *p) {
    TRY(job_open_weights(p));
    TRY(job_infer(p));
    return job_infer(p);
}

static enum csl_err open_twice(struct party *p) {
    struct job *job = p->arg;
    unsigned i = p->s.self;
    TRY(job_open_weights(p));
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
    TRY(job_open_weights(p));
    return csl_infer(&p->s, job->y[i], &job->b->plan, &job->share[i], p->corr, job->x[i], CSL_PROFILE_LAN,
                     true);
}

/* Two rounds from correlations for three. */
static enum csl_err other_profile(struct party *p) {
    struct job *job = p->arg;
    unsigned i = p->s.self;
    TRY(job_open_weights(p));
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
    parties_run_ok(&job->all, job_open_weights, job);
    parties_run(&job->all, job_infer, job);
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
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_peer_gone),
        cmocka_unit_test(test_split_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
