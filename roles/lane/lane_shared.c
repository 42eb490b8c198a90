/* Batches of a shared session (docs/protocol.md S15): the lane sleeps in its loop until a guest, a peer or
 * the pool has something for it; then a tick, and, when it finds requests that all parties hold, one
 * evaluation of as many of them as there are correlations for. */
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "roles/daemon/logbook.h"
#include "roles/lane/lane_internal.h"

static enum csl_err check_pool(struct csl_lane *l) {
    return atomic_exchange(&l->ahead.changed, false) ? csl_pool_error(l->ahead.pool, &l->diag) : CSL_OK;
}

/* ---- A batch ---- */

/* The requests move from their guests into the record. */
static enum csl_err gather(struct csl_lane *l, struct csl__batch *b, const struct csl__agreed *a, size_t n) {
    struct csl_record *r = &b->record;
    b->number = r->batch = (uint32_t)(l->batches + 1);
    for (size_t i = 0; i < n; i++) {
        struct csl__guest *g = a->guests[i];
        r->inputs[i] = g->input;
        memset(&g->input, 0, sizeof g->input);
        g->state = CSL_GUEST_IDLE;
        l->shared->served[g->client] = b->number;
        r->inputs[i].first = b->count;
        b->count += r->inputs[i].count;
        b->input_ns = g->input_ns > b->input_ns ? g->input_ns : b->input_ns;
        r->n_inputs = i + 1;
    }
    r->count = b->count;
    return l->batches < UINT32_MAX - 1
               ? CSL_OK
               : csl_fail(&l->diag, CSL_ESTALE, "the shared session has had its last batch; open another");
}

static enum csl_err take_inputs(struct csl_lane *l, struct csl__batch *b) {
    const struct csl_plan *plan = &l->opt.package->plan;
    size_t n_x = csl_plan_n_inputs(plan), n_y = l->opt.request.reveal_label ? 1 : csl_plan_n_outputs(plan);
    b->n_x = b->count * n_x;
    b->n_y = b->count * n_y;
    b->x = csl_secret_alloc(b->n_x, sizeof *b->x);
    b->y = csl_secret_alloc(b->n_y, sizeof *b->y);
    if (b->x == NULL || b->y == NULL) {
        return csl_fail(&l->diag, CSL_ENOMEM, "no memory for a batch of %u", b->count);
    }
    for (size_t i = 0; i < b->record.n_inputs; i++) {
        const struct csl_record_input *in = &b->record.inputs[i];
        TRY(csl__guest_expand(l, in, b->x + in->first * n_x, &l->diag));
    }
    return CSL_OK;
}

/* A guest that has gone loses its output, and nothing else. */
static enum csl_err answer_one(struct csl_lane *l, struct csl__batch *b, size_t i, struct csl__guest *g) {
    uint32_t number = b->record.inputs[i].request.number;
    bool alone = b->record.n_inputs == 1; /* then as in a session of its own; else nobody is woken twice */
    if (alone) {
        (void)!csl__lane_send_output(b, i, &g->talk, number, NULL);
    }
    if (l->sign != CSL_SIGN_OFF) {
        TRY(csl__lane_sign_output(l, b, i));
    }
    if (!alone) {
        (void)!csl__lane_send_output(b, i, &g->talk, number, NULL);
    }
    (void)!csl__lane_report(l, b, i, &g->talk, number, NULL);
    g->active_ms = uv_now(&l->worker.loop.uv);
    return CSL_OK;
}

/* One after another, so that the first need not wait for the last one's signature. */
static enum csl_err answer(struct csl_lane *l, struct csl__batch *b, const struct csl__agreed *a) {
    struct csl_record *r = &b->record;
    for (size_t i = 0; i < r->n_inputs; i++) {
        r->n_outputs = i + 1;
        TRY(csl__lane_pack_output(l, b, i, r->inputs[i].first, r->inputs[i].count));
    }
    csl__lane_count_signatures(l, b);
    for (size_t i = 0; i < r->n_inputs; i++) {
        TRY(answer_one(l, b, i, a->guests[i]));
    }
    return CSL_OK;
}

/* The tick that found the requests is theirs. */
static void count_tick(const struct csl_lane *l, struct csl__batch *b) {
    enum { EACH = CSL_FRAME_HEADER_BYTES + CSL__TICK_BYTES };
    b->online_bytes += (uint64_t)EACH * (l->n_parties - 1);
    b->max_link_bytes += EACH;
}

static enum csl_err run_batch(struct csl_lane *l, struct csl__batch *b, const struct csl__agreed *a,
                              size_t n) {
    TRY(gather(l, b, a, n));
    TRY(csl_logbook_check(l->opt.ctx, &l->diag)); /* nothing runs unlogged */
    TRY(csl_pool_take(l->ahead.pool, b->count, &b->corr, &b->record, &b->offline_bytes, &l->diag));
    TRY(csl_audit_link_begin(l->audit, &b->record, l->openings));
    TRY(take_inputs(l, b));
    TRY(csl__lane_evaluate(l, b));
    count_tick(l, b);
    enum csl_err err = answer(l, b, a);
    if (err != CSL_OK) {
        csl__lane_log_cut(l, b);
        return err;
    }
    TRY(csl__lane_log_batch(l, b));
    l->batches++;
    l->inferences += b->count;
    return CSL_OK;
}

/* How many of the agreed requests go next, by what all parties know. */
static size_t fit(struct csl_lane *l, const struct csl__agreed *a) {
    uint32_t counts[CSL_GUESTS_MAX];
    size_t taken = 0;
    for (size_t i = 0; i < a->n; i++) {
        counts[i] = a->guests[i]->input.count;
    }
    (void)csl_pool_fit(l->ahead.pool, a->chunks, counts, a->n, l->opt.request.max_batch, &taken);
    return taken;
}

/* ---- The session ---- */

static bool awake(void *arg) {
    struct csl_lane *l = arg;
    return csl_mesh_link_pending(l->link) || csl__guests_busy(l) || csl__tick_due(l) ||
           atomic_load(&l->ahead.changed) || csl_worker_check(&l->worker, NULL) != CSL_OK;
}

static enum csl_err wait_for_work(struct csl_lane *l) {
    uv_update_time(&l->worker.loop.uv);
    (void)uv_run(&l->worker.loop.uv, UV_RUN_NOWAIT); /* what came while we computed */
    uint64_t now = uv_now(&l->worker.loop.uv), until = csl__guests_deadline_ms(l);
    uint64_t ms = until == UINT64_MAX ? CSL_NO_TIMEOUT : until > now ? until - now : 0;
    (void)!csl_loop_run_until(&l->worker.loop, awake, l, ms);
    TRY(csl_worker_check(&l->worker, &l->diag));
    return check_pool(l);
}

static enum csl_err serve_one(struct csl_lane *l, bool *over) {
    struct csl__agreed a;
    TRY(wait_for_work(l));
    csl__guests_work(l);
    if (!csl__tick_due(l) && !csl_mesh_link_pending(l->link)) {
        return CSL_OK;
    }
    TRY(csl__tick(l, &a));
    *over = a.closing;
    size_t n = fit(l, &a);
    if (n == 0) {
        return CSL_OK;
    }
    l->shared->again = n < a.n;
    struct csl__batch b = {0};
    enum csl_err err = run_batch(l, &b, &a, n);
    csl__batch_clear(&b); /* after a failure too: what was drawn is gone */
    return err;
}

enum csl_err csl__shared_serve(struct csl_lane *l) {
    csl_mesh_link_set_slot(l->link, CSL_LANE_SLOT_ONLINE);
    csl__guests_open(l);
    bool over = false;
    while (!over) {
        TRY(serve_one(l, &over));
    }
    return CSL_OK;
}
