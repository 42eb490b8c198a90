#include "roles/daemon/party_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/cpu.h"
#include "crypto/rand.h"

enum { TICK_MS = 250, LOOK_MS = 1000 };

/* ---- Epochs ---- */

static void drop_epoch(struct csl_party *p) {
    csl_party_epoch_unref(p->epoch);
    p->epoch = NULL;
    csl__party_drain(p);
}

static enum csl_err begin_epoch(struct csl_party *p, const struct csl_member *dealer, uint64_t number,
                                struct csl_diag *diag) {
    drop_epoch(p); /* running sessions keep their reference */
    TRY(csl_rand(p->nonce, sizeof p->nonce));
    p->epoch_wanted = number;
    CSL_CONTROL(m, body, EpochNonce, EPOCH_NONCE, EPOCH_NONCE, epoch_nonce);
    body.number = number;
    body.nonce = csl_bytes(p->nonce, sizeof p->nonce);
    return csl_daemon_send(p->daemon, dealer, &m) ? CSL_OK
                                                  : csl_fail(diag, CSL_EPEER, "cannot send our nonce");
}

static enum csl_err grant_epoch(struct csl_party *p, const Csl__Pb__EpochGrant *g, struct csl_diag *diag) {
    if (p->epoch_wanted == 0 || g->number != p->epoch_wanted) {
        return csl_fail(diag, CSL_EPROTO, "a grant of epoch %llu that was not begun",
                        (unsigned long long)g->number);
    }
    p->epoch_wanted = 0; /* our nonce serves once */
    TRY(csl_party_epoch_new(&p->epoch, p->ctx, g, p->nonce, diag));
    csl_log("epoch %llu begins", (unsigned long long)g->number);
    csl__party_admit(p);
    return CSL_OK;
}

static enum csl_err on_control(void *arg, const struct csl_member *peer, const csl_control *m,
                               struct csl_diag *diag) {
    struct csl_party *p = arg;
    if (peer == csl_roster_dealer(&p->ctx->roster)) {
        if (m->kind_case == CSL__PB__CONTROL__KIND_EPOCH_BEGIN) {
            return begin_epoch(p, peer, m->epoch_begin->number, diag);
        }
        if (m->kind_case == CSL__PB__CONTROL__KIND_EPOCH_GRANT) {
            return grant_epoch(p, m->epoch_grant, diag);
        }
    }
    return csl_fail(diag, CSL_EPROTO, "unexpected message %s", csl_message_kind_name((int)m->kind_case));
}

/* ---- Connections ---- */

static bool peer_expected(const struct csl_party *p, const struct csl_member *from) {
    return from->party >= 0 && from != p->ctx->self && csl_roster_dials(&p->ctx->roster, from, p->ctx->self);
}

static bool dealer_expected(const struct csl_party *p, const struct csl_member *from) {
    return from == csl_roster_dealer(&p->ctx->roster) &&
           csl_roster_dials(&p->ctx->roster, from, p->ctx->self) &&
           (unsigned)p->ctx->self->party + 1 == p->ctx->roster.n_parties;
}

static enum csl_err may(void *arg, const struct csl_member *from, Csl__Pb__Purpose purpose,
                        struct csl_diag *diag) {
    const struct csl_party *p = arg;
    bool ok = false;
    switch (purpose) {
    case CSL__PB__PURPOSE__PURPOSE_CLIENT:
    case CSL__PB__PURPOSE__PURPOSE_INPUT:
        ok = (from->roles & CSL_ROLE_CLIENT) != 0;
        break;
    case CSL__PB__PURPOSE__PURPOSE_SHARE_MODEL:
        ok = (from->roles & CSL_ROLE_OWNER) != 0;
        break;
    case CSL__PB__PURPOSE__PURPOSE_PEER:
    case CSL__PB__PURPOSE__PURPOSE_OFFLINE:
        ok = peer_expected(p, from);
        break;
    case CSL__PB__PURPOSE__PURPOSE_CORRECTIONS:
        ok = dealer_expected(p, from);
        break;
    case CSL__PB__PURPOSE__PURPOSE_AUDIT:
        ok = from->party >= 0 && from != p->ctx->self;
        break;
    default:
        break;
    }
    char roles[CSL_ROLES_TEXT];
    return ok ? CSL_OK
              : csl_fail(diag, CSL_EPERM,
                         "the roster lists %s as %s, which does not allow this connection to a party",
                         from->name, csl_roles_text(roles, from->roles));
}

static void on_conn(void *arg, struct csl_conn *conn, const struct csl_member *from,
                    const Csl__Pb__Hello *hello, const csl_control *request) {
    struct csl_party *p = arg;
    if (request == NULL) {
        csl__party_arrive(p, conn, from, hello->purpose, hello->session_id.data);
    } else if (hello->purpose == CSL__PB__PURPOSE__PURPOSE_CLIENT &&
               request->kind_case == CSL__PB__CONTROL__KIND_OPEN_SESSION) {
        csl__party_open_session(p, conn, from, request->open_session);
    } else if (hello->purpose == CSL__PB__PURPOSE__PURPOSE_SHARE_MODEL &&
               request->kind_case == CSL__PB__CONTROL__KIND_SHARE_MODEL) {
        csl__party_share_model(p, conn, from, request->share_model);
    } else if (hello->purpose == CSL__PB__PURPOSE__PURPOSE_AUDIT &&
               request->kind_case == CSL__PB__CONTROL__KIND_OPENING_ANNOUNCED) {
        csl__party_told(p, conn, from, request->opening_announced);
    } else {
        csl_conn_refuse(conn, CSL_EPROTO, "the first message does not fit the purpose of the connection");
    }
}

static void on_peer(void *arg, const struct csl_member *peer, bool up, const char *reason) {
    struct csl_party *p = arg;
    if (up) {
        return;
    }
    if (peer == csl_roster_dealer(&p->ctx->roster)) {
        drop_epoch(p); /* the dealer begins a new one when it is back */
        p->epoch_wanted = 0;
    }
    csl__party_interrupt(p, peer, reason);
}

/* ---- Life ---- */

static void on_tick(uv_timer_t *timer) {
    struct csl_party *p = timer->data;
    csl__party_tick(p);
    uint64_t now = uv_now(csl_daemon_loop(p->daemon));
    if (now - p->looked_ms >= LOOK_MS) {
        p->looked_ms = now;
        csl__party_look_for_models(p);
    }
}

static void on_stop(void *arg) {
    struct csl_party *p = arg;
    p->stopping = true;
    csl__party_stop_sessions(p);
    csl__party_stop_storing(p);
    csl__party_stop_told(p);
    uv_close((uv_handle_t *)&p->tick, NULL);
}

/* Sessions that began while a restarted daemon had not shown its ledger yet end with it. */
static void on_witnessed(void *arg) {
    struct csl_party *p = arg;
    struct csl_diag diag = {""};
    enum csl_err err = csl_daemon_admits(p->daemon, &diag);
    for (struct csl_running *r = p->running; err == CSL_EAUTH && r != NULL; r = r->next) {
        csl_lane_interrupt(r->lane, err, diag.text);
    }
    csl__party_admit(p);
}

static const struct csl_daemon_ops ops = {.may = may,
                                          .on_conn = on_conn,
                                          .on_peer = on_peer,
                                          .on_control = on_control,
                                          .on_witnessed = on_witnessed,
                                          .on_stop = on_stop};

/* What this site chose beside the roster: sessions' statements name its digest. */
static enum csl_err configure(struct csl_context *ctx, const struct csl_party_options *opt,
                              struct csl_diag *diag) {
    char settings[64];
    (void)snprintf(settings, sizeof settings, "wait=%s profile=%s cpu=%s", csl_wait_name(opt->wait),
                   opt->auto_profile ? "auto" : csl_profile_name(opt->profile),
                   csl_cpu_name(csl_cpu_level()));
    return csl_context_configure(ctx, settings, diag);
}

enum csl_err csl_party_run(struct csl_context *ctx, const struct csl_party_options *opt,
                           struct csl_diag *diag) {
    TRY(csl_context_require(ctx, CSL_ROLE_PARTY, diag));
    TRY(configure(ctx, opt, diag));
    struct csl_party *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return CSL_ENOMEM;
    }
    p->ctx = ctx;
    p->wait = opt->wait;
    p->auto_profile = opt->auto_profile;
    p->profile = opt->profile;
    enum csl_err err = CSL_OK;
    TRY_OUT(csl_logbook_open(&p->logbook, ctx, CSL_LOGBOOK_SYNC_MS, diag));
    ctx->logbook = &p->logbook;
    TRY_OUT(csl_store_init(&p->store, ctx, diag));
    TRY_OUT(csl_daemon_new(&p->daemon, ctx, &ops, p, &opt->daemon, diag));
    (void)uv_timer_init(csl_daemon_loop(p->daemon), &p->tick);
    p->tick.data = p;
    (void)uv_timer_start(&p->tick, on_tick, TICK_MS, TICK_MS);
    csl_log("%s is party %d of %u, serving %zu models", ctx->self->name, ctx->self->party,
            ctx->roster.n_parties, p->store.n);
    err = csl_daemon_run(p->daemon);
out:
    csl_daemon_free(p->daemon);
    drop_epoch(p);
    csl_store_clear(&p->store);
    ctx->logbook = NULL;
    csl_logbook_close(&p->logbook);
    free(p);
    return err;
}
