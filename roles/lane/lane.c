#include "roles/lane/lane_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roles/daemon/daemon.h"

/* ---- Mailbox ---- */

/* The place of such a connection, or CSL_LANE_PLACES when the session has none for it. */
static unsigned place_of(const struct csl_lane *l, const struct csl_member *from, Csl__Pb__Purpose purpose) {
    if (purpose == CSL__PB__PURPOSE__PURPOSE_INPUT) {
        int part = csl_parts_find(&l->opt.request.parts, from);
        return part < 0 || from == l->opt.client ? CSL_LANE_PLACES : csl__lane_place(l, (size_t)part);
    }
    return purpose == CSL__PB__PURPOSE__PURPOSE_PEER                          ? (unsigned)from->party
           : purpose == CSL__PB__PURPOSE__PURPOSE_CORRECTIONS && !l->has_pool ? l->n_parties
                                                                              : CSL_LANE_PLACES;
}

void csl_lane_arrive(struct csl_lane *l, const struct csl_member *from, Csl__Pb__Purpose purpose,
                     struct csl_conn_parts *parts) {
    unsigned place = place_of(l, from, purpose);
    pthread_mutex_lock(&l->lock);
    if (csl__lane_pool_arrive(l, from, purpose, parts)) {
        parts = NULL;
    } else if (place < CSL_LANE_PLACES && l->arrived[place] == NULL && place != l->self) {
        l->arrived[place] = parts;
        parts = NULL;
    }
    pthread_mutex_unlock(&l->lock);
    csl_conn_parts_free(parts); /* a second one for the same place, or one that nobody asked for */
    csl_worker_wake(&l->worker);
}

void csl_lane_interrupt(struct csl_lane *l, enum csl_err err, const char *reason) {
    pthread_mutex_lock(&l->lock);
    if (l->link != NULL) {
        csl_mesh_link_interrupt(l->link, err, reason);
    }
    if (l->ahead.pool != NULL) {
        csl_pool_interrupt(l->ahead.pool, err, reason);
    }
    pthread_mutex_unlock(&l->lock);
    csl_worker_interrupt(&l->worker, err, reason);
}

static Csl__Pb__Purpose purpose_of(const struct csl_lane *l, unsigned place) {
    return place < l->n_parties    ? CSL__PB__PURPOSE__PURPOSE_PEER
           : place == l->n_parties ? CSL__PB__PURPOSE__PURPOSE_CORRECTIONS
                                   : CSL__PB__PURPOSE__PURPOSE_INPUT;
}

static void take_arrived(struct csl_lane *l, unsigned place, struct csl_conn_parts *parts) {
    if (parts == NULL) {
        return;
    }
    if (l->present[place]) {
        csl_conn_parts_free(parts);
        return;
    }
    l->present[place] = true;
    (void)!csl_talk_adopt(&l->peers[place], &l->worker, parts, purpose_of(l, place),
                          &l->peers[place].diag); /* the talk keeps the error */
}

static void on_wake(void *arg) {
    struct csl_lane *l = arg;
    struct csl_conn_parts *arrived[CSL_LANE_PLACES];
    pthread_mutex_lock(&l->lock);
    memcpy(arrived, l->arrived, sizeof arrived);
    memset(l->arrived, 0, sizeof l->arrived);
    pthread_mutex_unlock(&l->lock);
    for (unsigned i = 0; i < CSL_LANE_PLACES; i++) {
        take_arrived(l, i, arrived[i]);
    }
    if (l->shared != NULL) {
        csl__guests_take(l);
    }
}

struct csl_talk *csl__lane_owner(struct csl_lane *l, size_t part) {
    return l->opt.request.parts.at[part].owner == l->opt.client ? &l->client
                                                                : &l->peers[csl__lane_place(l, part)];
}

/* What ends a session while the lane waits for something else. */
static enum csl_err check(void *arg, struct csl_diag *diag) {
    const struct csl_lane *l = arg;
    for (size_t i = 0; i < l->opt.request.parts.n; i++) { /* an owner that has gone */
        const struct csl_talk *t = &l->peers[csl__lane_place(l, i)];
        if (t->err != CSL_OK) {
            return csl_fail(diag, t->err, "%s", t->diag.text);
        }
    }
    if (l->link != NULL) {
        TRY(csl_mesh_link_error(l->link, diag));
    }
    return csl__ahead_error(l, diag);
}

/* ---- Made and freed in the main thread ---- */

static enum csl_err make_shared(struct csl_lane *l) {
    struct csl_request *q = &l->opt.request;
    l->shared = calloc(1, sizeof *l->shared);
    if (l->shared == NULL) {
        return CSL_ENOMEM;
    }
    memset(q->guest, 0, sizeof q->guest); /* whoever came first */
    return csl_lane_shared_rows(&q->max_batch, &l->opt.package->plan, q->reveal_label,
                                l->opt.ctx->roster.limits.max_batch);
}

enum csl_err csl_lane_new(struct csl_lane **out, const struct csl_lane_options *opt, struct csl_diag *diag) {
    *out = NULL;
    struct csl_lane *l = calloc(1, sizeof *l);
    if (l == NULL) {
        csl_conn_parts_free(opt->client_parts);
        csl_package_unref(opt->package);
        csl_party_epoch_unref(opt->epoch);
        return CSL_ENOMEM;
    }
    l->opt = *opt;
    l->self = (unsigned)opt->ctx->self->party;
    l->n_parties = opt->ctx->roster.n_parties;
    l->is_last = l->self + 1 == l->n_parties;
    l->has_pool = opt->request.shared || opt->request.ahead;
    l->sign = (enum csl_audit_sign)opt->ctx->roster.audit.sign;
    l->keep_views = l->sign != CSL_SIGN_OFF && opt->ctx->roster.audit.views_mib != 0;
    (void)pthread_mutex_init(&l->lock, NULL);
    enum csl_err err = opt->request.shared ? make_shared(l) : CSL_OK;
    if (err == CSL_OK) {
        err = csl_worker_init(&l->worker, opt->ctx, opt->ctx->tls, diag);
    }
    l->worker.check = check;
    l->worker.on_wake = on_wake;
    l->worker.arg = l;
    if (err != CSL_OK) {
        csl_lane_free(l);
        return err;
    }
    *out = l;
    return CSL_OK;
}

void csl_lane_free(struct csl_lane *l) {
    csl_worker_clear(&l->worker); /* where the thread never ran */
    csl_conn_parts_free(l->opt.client_parts);
    for (unsigned i = 0; i < CSL_LANE_PLACES; i++) {
        csl_conn_parts_free(l->arrived[i]);
    }
    if (l->shared != NULL) {
        for (unsigned i = 0; i < l->shared->n_joining; i++) { /* where the thread never ran */
            csl_conn_parts_free(l->shared->joining[i].parts);
        }
        free(l->shared);
    }
    for (unsigned i = 0; i <= l->n_parties; i++) {
        csl_conn_parts_free(l->ahead.offline[i]);
    }
    csl_audit_link_free(l->audit);
    csl_session_record_clear(&l->agreed);
    csl_opened_unref(l->opened);
    csl_package_unref(l->opt.package);
    csl_party_epoch_unref(l->opt.epoch);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

const uint8_t *csl_lane_session_id(const struct csl_lane *l) {
    return l->opt.session_id;
}

/* ---- The session ---- */

static void log_end(const struct csl_lane *l, enum csl_err err) {
    const char *of = l->shared == NULL ? l->opt.client->name : "several clients";
    char id[9];
    for (int i = 0; i < 4; i++) {
        (void)snprintf(id + 2 * (ptrdiff_t)i, 3, "%02x", l->opt.session_id[i]);
    }
    if (err == CSL_OK) {
        csl_log("session %s of %s: closed after %llu batches, %llu inferences", id, of,
                (unsigned long long)l->batches, (unsigned long long)l->inferences);
    } else {
        csl_log("session %s of %s: aborted in batch %llu: %s (%s)", id, of,
                (unsigned long long)l->batches + 1, l->diag.text, csl_err_name(err));
    }
}

static enum csl_err run(struct csl_lane *l) {
    if (l->shared != NULL) {
        TRY(csl__lane_open(l));
        return csl__shared_serve(l);
    }
    struct csl_conn_parts *parts = l->opt.client_parts;
    l->opt.client_parts = NULL;
    TRY(csl_talk_adopt(&l->client, &l->worker, parts, CSL__PB__PURPOSE__PURPOSE_CLIENT, &l->diag));
    TRY(csl__lane_open(l));
    return csl__lane_serve(l);
}

void csl_lane_run(void *arg) {
    struct csl_lane *l = arg;
    enum csl_err err = run(l);
    if (err != CSL_OK) {
        if (l->diag.text[0] == '\0') {
            (void)csl_fail(&l->diag, err, "%s", csl_err_text(err));
        }
        csl_talk_send_failure(&l->client, err, l->diag.text); /* before the peers tell it what they hear */
        if (l->shared != NULL) {
            csl__guests_end(l, err, l->diag.text);
        }
        if (l->link != NULL) {
            csl_mesh_link_abort(l->link, err, l->diag.text);
        }
        for (unsigned i = 0; i < CSL_LANE_PLACES; i++) { /* where there is no link yet; and the dealer */
            csl_talk_send_failure(&l->peers[i], err, l->diag.text);
        }
    }
    if (l->shared != NULL) {
        csl__guests_end(l, CSL_OK, "the shared session has ended; try again");
    }
    csl__lane_pool_end(l);
    log_end(l, err);
    csl__lane_log_close(l, err);
    csl_view_end(l->view);
    if (l->session_open) {
        csl_session_clear(&l->session);
    }
    csl_talk_close(&l->client);
    for (unsigned i = 0; i < CSL_LANE_PLACES; i++) {
        csl_talk_close(&l->peers[i]);
    }
    pthread_mutex_lock(&l->lock);
    struct csl_mesh_link *link = l->link;
    l->link = NULL;
    pthread_mutex_unlock(&l->lock);
    csl_mesh_link_free(link);
    csl_worker_clear(&l->worker);
}
