#include "roles/daemon/dealer.h"

#include <stdlib.h>
#include <string.h>

#include "roles/daemon/dealing.h"
#include "roles/daemon/logbook.h"

enum { TICK_MS = 250 };

struct session {
    struct session *next;
    struct dealer *dealer;
    struct csl_dealing *dealing;
};

struct dealer {
    struct csl_context *ctx;
    struct csl_daemon *daemon;
    struct csl_logbook logbook;
    struct csl_dealer_epoch *epoch; /* NULL: none now */
    uint64_t number;                /* of the last epoch begun */
    bool forming;                   /* nonces are being collected */
    uint64_t forming_deadline_ms;
    uint8_t nonces[CSL_MAX_PARTIES * CSL_NONCE_BYTES];
    bool have_nonce[CSL_MAX_PARTIES];
    struct csl_mask_cache masks;
    struct session *sessions;
    unsigned n_sessions;
    uv_timer_t tick;
    bool stopping;
};

/* ---- Epochs ---- */

static void drop_epoch(struct dealer *d) {
    csl_dealer_epoch_unref(d->epoch);
    d->epoch = NULL;
    csl_mask_cache_drop(&d->masks);
}

static bool all_up(const struct dealer *d) {
    for (unsigned i = 0; i < d->ctx->roster.n_parties; i++) {
        if (!csl_daemon_peer_up(d->daemon, csl_roster_party(&d->ctx->roster, i))) {
            return false;
        }
    }
    return true;
}

static void begin_epoch(struct dealer *d) {
    drop_epoch(d);
    /* The number only labels messages; the nonces make the epoch unique. */
    uint64_t clock = csl_clock_ms();
    d->number = clock > d->number ? clock : d->number + 1;
    d->forming = true;
    d->forming_deadline_ms = uv_now(csl_daemon_loop(d->daemon)) + d->ctx->roster.timeouts.dead_ms;
    memset(d->have_nonce, 0, sizeof d->have_nonce);
    CSL_CONTROL(m, body, EpochBegin, EPOCH_BEGIN, EPOCH_BEGIN, epoch_begin);
    body.number = d->number;
    for (unsigned i = 0; i < d->ctx->roster.n_parties; i++) {
        (void)csl_daemon_send(d->daemon, csl_roster_party(&d->ctx->roster, i), &m);
    }
}

static enum csl_err grant_all(struct dealer *d, struct csl_diag *diag) {
    struct csl_dealer_epoch *e;
    TRY(csl_dealer_epoch_new(&e, d->ctx, d->number, d->nonces, diag));
    enum csl_err err = CSL_OK;
    for (unsigned i = 0; err == CSL_OK && i < e->n_parties; i++) {
        struct csl_grant g;
        err = csl_dealer_epoch_grant(&g, d->ctx, e, i, diag);
        if (err == CSL_OK) {
            csl_control m = CSL__PB__CONTROL__INIT;
            m.kind_case = CSL__PB__CONTROL__KIND_EPOCH_GRANT;
            m.epoch_grant = &g.pb;
            (void)csl_daemon_send(d->daemon, csl_roster_party(&d->ctx->roster, i), &m);
            csl_grant_clear(&g);
        }
    }
    csl_dealer_epoch_granted(e);
    if (err != CSL_OK) {
        csl_dealer_epoch_unref(e);
        return err;
    }
    d->epoch = e;
    csl_log("epoch %llu begins", (unsigned long long)e->number);
    return CSL_OK;
}

static enum csl_err take_nonce(struct dealer *d, const struct csl_member *from, const Csl__Pb__EpochNonce *m,
                               struct csl_diag *diag) {
    if (!d->forming || m->number != d->number || d->have_nonce[from->party]) {
        return CSL_OK; /* of an epoch that was begun anew meanwhile */
    }
    memcpy(d->nonces + (size_t)from->party * CSL_NONCE_BYTES, m->nonce.data, CSL_NONCE_BYTES);
    d->have_nonce[from->party] = true;
    for (unsigned i = 0; i < d->ctx->roster.n_parties; i++) {
        if (!d->have_nonce[i]) {
            return CSL_OK;
        }
    }
    d->forming = false;
    return grant_all(d, diag);
}

static bool is_last(const struct dealer *d, const struct csl_member *m) {
    return m->party >= 0 && (unsigned)m->party + 1 == d->ctx->roster.n_parties;
}

static void interrupt_sessions(struct dealer *d, const char *reason) {
    for (struct session *s = d->sessions; s != NULL; s = s->next) {
        csl_dealing_interrupt(s->dealing, CSL_EPEER, reason);
    }
}

static void on_peer(void *arg, const struct csl_member *peer, bool up, const char *reason) {
    struct dealer *d = arg;
    if (!up &&
        is_last(d, peer)) { /* its sessions must not hold our places until they are idle for too long */
        struct csl_diag lost;
        (void)csl_fail_ended(&lost, CSL_EPEER, "lost", peer->name, reason);
        interrupt_sessions(d, lost.text);
    }
    if (peer->party < 0 || d->stopping) {
        return;
    }
    d->forming = false;
    if (up && all_up(d)) {
        begin_epoch(d);
    } else if (!up) {
        drop_epoch(d); /* running sessions keep their reference, until they notice */
    }
}

static void on_tick(uv_timer_t *timer) {
    struct dealer *d = timer->data;
    if (!d->stopping && d->forming && uv_now(csl_daemon_loop(d->daemon)) >= d->forming_deadline_ms) {
        csl_log("epoch %llu: not every party answered; beginning anew", (unsigned long long)d->number);
        begin_epoch(d);
    }
}

/* ---- Sessions ---- */

static void session_body(void *arg) {
    csl_dealing_run(((struct session *)arg)->dealing);
}

static void session_done(void *arg) {
    struct session *s = arg;
    struct session **at = &s->dealer->sessions;
    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    s->dealer->n_sessions--;
    csl_daemon_logged(s->dealer->daemon);
    csl_dealing_free(s->dealing);
    free(s);
}

static enum csl_err start_session(struct dealer *d, const struct csl_member *to, struct csl_conn_parts *parts,
                                  const uint8_t *session_id) {
    struct csl_diag diag = {""};
    struct session *s = calloc(1, sizeof *s);
    if (s == NULL) {
        csl_conn_parts_free(parts);
        return CSL_ENOMEM;
    }
    enum csl_err err = csl_dealing_new(&s->dealing, d->ctx, &d->masks, csl_dealer_epoch_ref(d->epoch), to,
                                       parts, session_id, &diag);
    if (err == CSL_OK) {
        s->dealer = d;
        err = csl_daemon_spawn(d->daemon, session_body, session_done, s);
        if (err != CSL_OK) {
            csl_dealing_free(s->dealing);
        }
    }
    if (err != CSL_OK) {
        free(s);
        return err;
    }
    s->next = d->sessions;
    d->sessions = s;
    d->n_sessions++;
    return CSL_OK;
}

static enum csl_err admissible(const struct dealer *d, struct csl_diag *diag) {
    TRY(csl_daemon_admits(d->daemon, diag));
    if (d->epoch == NULL) {
        return csl_fail(diag, CSL_ESTALE,
                        "the dealer has no epoch now: a party is missing or has just come back; try again");
    }
    if (d->n_sessions >= d->ctx->roster.limits.lanes) {
        return csl_fail(diag, CSL_EBUSY, "the dealer serves %u sessions already; try again", d->n_sessions);
    }
    return CSL_OK;
}

static enum csl_err on_control(void *arg, const struct csl_member *peer, const csl_control *m,
                               struct csl_diag *diag) {
    struct dealer *d = arg;
    if (peer->party >= 0 && m->kind_case == CSL__PB__CONTROL__KIND_EPOCH_NONCE) {
        return take_nonce(d, peer, m->epoch_nonce, diag);
    }
    if (is_last(d, peer) && m->kind_case == CSL__PB__CONTROL__KIND_CORRECTIONS_WANTED &&
        csl_roster_dials(&d->ctx->roster, d->ctx->self, peer)) {
        struct csl_diag why = {""};
        enum csl_err err = admissible(d, &why);
        if (err == CSL_OK) {
            err = start_session(d, peer, NULL, m->corrections_wanted->session_id.data);
        }
        if (err != CSL_OK) {
            csl_log("no corrections for %s: %s", peer->name, why.text);
        }
        return CSL_OK;
    }
    return csl_fail(diag, CSL_EPROTO, "unexpected message %s", csl_message_kind_name((int)m->kind_case));
}

static enum csl_err may(void *arg, const struct csl_member *from, Csl__Pb__Purpose purpose,
                        struct csl_diag *diag) {
    const struct dealer *d = arg;
    if (purpose != CSL__PB__PURPOSE__PURPOSE_CORRECTIONS || !is_last(d, from)) {
        return csl_fail(diag, CSL_EPERM,
                        "the dealer talks to daemons, and to the last party's sessions only");
    }
    return admissible(d, diag);
}

static void on_conn(void *arg, struct csl_conn *conn, const struct csl_member *from,
                    const Csl__Pb__Hello *hello, const csl_control *request) {
    struct dealer *d = arg;
    (void)request;
    struct csl_conn_parts *parts = csl_conn_detach(conn);
    if (parts != NULL && start_session(d, from, parts, hello->session_id.data) != CSL_OK) {
        csl_log("no thread or memory for the corrections of %s", from->name);
    }
}

/* ---- Life ---- */

static void on_stop(void *arg) {
    struct dealer *d = arg;
    d->stopping = true;
    interrupt_sessions(d, "the dealer's daemon is being stopped");
    uv_close((uv_handle_t *)&d->tick, NULL);
}

static const struct csl_daemon_ops ops = {
    .may = may, .on_conn = on_conn, .on_peer = on_peer, .on_control = on_control, .on_stop = on_stop};

enum csl_err csl_dealer_run(struct csl_context *ctx, const struct csl_daemon_options *opt,
                            struct csl_diag *diag) {
    TRY(csl_context_require(ctx, CSL_ROLE_DEALER, diag));
    struct dealer *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return CSL_ENOMEM;
    }
    d->ctx = ctx;
    csl_mask_cache_init(&d->masks);
    enum csl_err err = csl_logbook_open(&d->logbook, ctx, CSL_LOGBOOK_SYNC_MS, diag);
    if (err == CSL_OK) {
        ctx->logbook = &d->logbook;
        err = csl_daemon_new(&d->daemon, ctx, &ops, d, opt, diag);
    }
    if (err == CSL_OK) {
        (void)uv_timer_init(csl_daemon_loop(d->daemon), &d->tick);
        d->tick.data = d;
        (void)uv_timer_start(&d->tick, on_tick, TICK_MS, TICK_MS);
        csl_log("%s deals for %u parties", ctx->self->name, ctx->roster.n_parties);
        err = csl_daemon_run(d->daemon);
    }
    csl_daemon_free(d->daemon);
    drop_epoch(d);
    csl_mask_cache_clear(&d->masks);
    ctx->logbook = NULL;
    csl_logbook_close(&d->logbook);
    free(d);
    return err;
}
