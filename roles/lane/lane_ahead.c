/* A client that announces batches before the last one is answered (docs/protocol.md S17): the pool makes
 * their correlations while the lane serves, exactly those that were announced. */
#include "roles/lane/lane_internal.h"

/* ---- Announcements ---- */

static enum csl_err judge(struct csl_lane *l, const Csl__Pb__Prepare *m) {
    struct csl__ahead *a = &l->ahead;
    if (m->batch != a->announced + 1 || m->count > l->opt.request.max_batch) {
        return csl_fail(&a->diag, CSL_EPROTO,
                        "%s announced batch %u of %u inputs; batch %llu of at most %u is due", l->client.peer,
                        m->batch, m->count, (unsigned long long)a->announced + 1, l->opt.request.max_batch);
    }
    if (m->batch - a->answered > CSL_POOL_WAITING) {
        return csl_fail(&a->diag, CSL_EPROTO,
                        "%s announced batch %u when batch %u was not answered; at most %d may wait",
                        l->client.peer, m->batch, a->answered + 1, CSL_POOL_WAITING);
    }
    a->announced = m->batch;
    a->counts[m->batch % CSL_POOL_WAITING] = m->count;
    return csl_pool_announce(a->pool, m->count, &a->diag);
}

/* As a frame arrives. Of what is no announcement, or nothing at all, whoever waits for a frame judges. */
static bool on_frame(void *arg, const struct csl_frame_header *h, const uint8_t *payload) {
    struct csl_lane *l = arg;
    csl_control *m;
    struct csl_diag ignored;
    if (h->type != CSL_FRAME_CONTROL || l->ahead.err != CSL_OK ||
        csl_message_decode(&m, payload, h->n, &ignored) != CSL_OK) {
        return false;
    }
    bool mine = m->kind_case == CSL__PB__CONTROL__KIND_PREPARE;
    if (mine) {
        l->ahead.err = judge(l, m->prepare);
    }
    csl_message_free(m);
    return mine;
}

void csl__ahead_begin(struct csl_lane *l) {
    l->client.on_frame = on_frame;
    l->client.on_frame_arg = l;
}

enum csl_err csl__ahead_error(const struct csl_lane *l, struct csl_diag *diag) {
    const struct csl__ahead *a = &l->ahead;
    if (a->err != CSL_OK) {
        return csl_fail(diag, a->err, "%s", a->diag.text);
    }
    return l->shared == NULL && a->pool != NULL ? csl_pool_error(a->pool, diag) : CSL_OK;
}

/* ---- The next batch ---- */

/* One was announced that has not been served. */
static bool is_due(const struct csl_lane *l) {
    return l->ahead.announced > l->batches;
}

/* The client has gone, and what it sent before was taken. */
static bool is_gone(const struct csl_lane *l) {
    return l->client.err != CSL_OK && l->client.first == NULL;
}

static bool next(void *arg) {
    struct csl_lane *l = arg;
    return is_gone(l) || csl_worker_check(&l->worker, NULL) != CSL_OK ||
           (is_due(l) ? csl_pool_chunks(l->ahead.pool) > l->batches : l->client.first != NULL);
}

/* Until then. What is due comes, or the pool fails: each of its waits has a deadline. What is not is waited
 * for as long as a session may idle. */
static enum csl_err wait_next(struct csl_lane *l) {
    enum csl_err late = CSL_OK;
    uint64_t idle_ms = l->opt.ctx->roster.timeouts.session_idle_ms;
    do {
        late = csl_loop_run_until(&l->worker.loop, next, l, is_due(l) ? CSL_NO_TIMEOUT : idle_ms);
    } while (late == CSL_ETIMEOUT && is_due(l));
    TRY(csl_worker_check(&l->worker, &l->diag));
    if (is_gone(l)) {
        return csl_fail(&l->diag, l->client.err, "%s", l->client.diag.text);
    }
    return late == CSL_ETIMEOUT ? csl_fail(&l->diag, late, "no answer from %s for %llu ms", l->client.peer,
                                           (unsigned long long)idle_ms)
                                : late;
}

/* What else it may send where a batch is due. */
static enum csl_err expect_goodbye(struct csl_lane *l) {
    struct csl_frame_in *f;
    csl_control *m;
    TRY(csl_talk_receive(&l->client, &f, 0, &l->diag));
    TRY(csl_talk_decode(&l->client, &m, f, &l->diag));
    enum csl_err err = m->kind_case == CSL__PB__CONTROL__KIND_CLOSE_SESSION
                           ? CSL_OK
                           : csl_fail(&l->diag, CSL_EPROTO, "%s sent %s where prepare is due", l->client.peer,
                                      csl_message_kind_name((int)m->kind_case));
    csl_message_free(m);
    return err;
}

enum csl_err csl__ahead_prepare(struct csl_lane *l, struct csl__batch *b, bool *closed) {
    TRY(wait_next(l));
    *closed = !is_due(l) || l->client.err != CSL_OK; /* it has gone: nobody is there to be told of a batch */
    if (*closed) {
        return expect_goodbye(l);
    }
    b->number = b->record.batch = (uint32_t)(l->batches + 1);
    b->count = b->record.count = l->ahead.counts[b->number % CSL_POOL_WAITING];
    return csl_pool_take(l->ahead.pool, b->count, &b->corr, &b->record, &b->offline_bytes, &l->diag);
}

static bool drained(void *arg) {
    struct csl_lane *l = arg;
    return csl_pool_chunks(l->ahead.pool) == l->ahead.announced ||
           csl_worker_check(&l->worker, NULL) != CSL_OK;
}

enum csl_err csl__ahead_drain(struct csl_lane *l) {
    TRY(csl_loop_run_until(&l->worker.loop, drained, l, CSL_NO_TIMEOUT));
    return csl_worker_check(&l->worker, &l->diag);
}
