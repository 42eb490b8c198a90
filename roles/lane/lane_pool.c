/* A lane's pool (docs/protocol.md S16, S17): made when the lane has its connections, ended with the session.
 */
#include "roles/lane/dealt.h"
#include "roles/lane/lane_internal.h"

/* Under the lane's lock. */
bool csl__lane_pool_arrive(struct csl_lane *l, const struct csl_member *from, Csl__Pb__Purpose purpose,
                           struct csl_conn_parts *parts) {
    struct csl__ahead *a = &l->ahead;
    bool offline = purpose == CSL__PB__PURPOSE__PURPOSE_OFFLINE;
    if (!l->has_pool || a->over || (!offline && purpose != CSL__PB__PURPOSE__PURPOSE_CORRECTIONS)) {
        return false;
    }
    if (a->pool != NULL) {
        csl_pool_arrive(a->pool, from, purpose, parts);
        return true;
    }
    unsigned place = offline ? (unsigned)from->party : l->n_parties;
    if (a->offline[place] != NULL) {
        return false;
    }
    a->offline[place] = parts;
    a->offline_from[place] = from;
    return true;
}

/* What came before there was one. Under the lane's lock. */
static void hand_over(struct csl_lane *l) {
    struct csl__ahead *a = &l->ahead;
    for (unsigned i = 0; i <= l->n_parties; i++) {
        if (a->offline[i] != NULL) {
            csl_pool_arrive(a->pool, a->offline_from[i],
                            i < l->n_parties ? CSL__PB__PURPOSE__PURPOSE_OFFLINE
                                             : CSL__PB__PURPOSE__PURPOSE_CORRECTIONS,
                            a->offline[i]);
            a->offline[i] = NULL;
        }
    }
}

/* From the pool's thread. */
static void changed(void *arg) {
    struct csl_lane *l = arg;
    atomic_store(&l->ahead.changed, true);
    csl_worker_wake(&l->worker);
}

/* The largest message of what checks the dealer, in either profile: which one it will be is not agreed yet.
 */
static enum csl_err largest_message(struct csl_lane *l, uint32_t *out) {
    const struct csl_request *q = &l->opt.request;
    uint32_t rows = l->opt.ctx->roster.audit.check_rows;
    uint64_t max = 0;
    for (int p = 0; p < CSL_PROFILE_COUNT; p++) {
        TRY(csl_plan_demands(&l->opt.package->plan, (enum csl_profile)p, q->reveal_label, l->demands,
                             &l->n_demands));
        uint64_t n = csl_dealt_max_message(l->demands, l->n_demands, rows, q->max_batch + rows);
        max = n > max ? n : max;
    }
    *out = (uint32_t)max;
    return max <= CSL_FRAME_MAX_BYTES
               ? CSL_OK
               : csl_fail(&l->diag, CSL_EDATA,
                          "checking the dealer needs messages of %llu bytes; use fewer rows",
                          (unsigned long long)max);
}

enum csl_err csl__lane_pool_new(struct csl_lane *l) {
    struct csl_pool *pool;
    struct csl_pool_options opt = {.ctx = l->opt.ctx,
                                   .session_id = l->opt.session_id,
                                   .announced = l->shared == NULL,
                                   .on_change = changed,
                                   .arg = l};
    TRY(largest_message(l, &opt.max_message_bytes));
    TRY(csl_pool_new(&pool, &opt, &l->diag));
    pthread_mutex_lock(&l->lock);
    l->ahead.pool = pool;
    hand_over(l);
    pthread_mutex_unlock(&l->lock);
    return CSL_OK;
}

void csl__lane_pool_end(struct csl_lane *l) {
    pthread_mutex_lock(&l->lock);
    struct csl_pool *pool = l->ahead.pool;
    l->ahead.pool = NULL;
    l->ahead.over = true;
    pthread_mutex_unlock(&l->lock);
    csl_pool_free(pool);
}
