#include "infer_job.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "mpc/share.h"

enum csl_err job_open_weights(struct party *p) {
    struct job *job = p->arg;
    unsigned i = p->s.self;
    TRY(csl_model_open_weights(&p->s, &job->share[i], &job->keys[i], job->mask_id));
    return csl_infer_prepare(p->corr, &job->share[i], NULL);
}

enum csl_err job_infer(struct party *p) {
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

struct job *job_new(const struct built *b, unsigned n, enum csl_profile profile, bool label, const int64_t *x,
                    uint32_t salt) {
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

void job_free(struct job *job) {
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
