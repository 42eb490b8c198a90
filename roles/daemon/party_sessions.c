/* Admission of sessions and the life of their lanes, in the main thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roles/daemon/party_internal.h"
#include "roles/talk.h"

static uint64_t loop_ms(struct csl_party *p) {
    return uv_now(csl_daemon_loop(p->daemon));
}

static uint64_t patience_ms(const struct csl_party *p) {
    return (uint64_t)p->ctx->roster.timeouts.connect_ms + p->ctx->roster.timeouts.handshake_ms;
}

static bool same_id(const uint8_t *a, const uint8_t *b) {
    return memcmp(a, b, CSL_SESSION_ID_BYTES) == 0;
}

/* ---- Sessions that are refused ---- */

static void unpark(struct csl_party *p, unsigned i) {
    p->parked[i] = p->parked[--p->n_parked];
}

/* A connection for a session, of a peer, an owner of a part or the dealer: it learns why. */
static void turn_away(struct csl_conn *conn, Csl__Pb__Purpose purpose, enum csl_err err, const char *reason) {
    if (csl_purpose_is_mesh(purpose)) {
        csl_conn_abort(conn, err, reason);
    } else {
        csl_conn_refuse(conn, err, reason);
    }
}

static void turn_away_parked(struct csl_party *p, const struct csl_refused *r) {
    for (unsigned i = 0; i < p->n_parked;) {
        struct csl_parked k = p->parked[i];
        struct csl_conn *conn;
        if (!same_id(k.session_id, r->session_id)) {
            i++;
            continue;
        }
        unpark(p, i);
        if (csl_conn_attach(&conn, csl_daemon_loop(p->daemon), k.parts, NULL, NULL, NULL, NULL) == CSL_OK) {
            turn_away(conn, k.purpose, r->err, r->why.text);
        }
    }
}

static struct csl_refused *find_refused(struct csl_party *p, const uint8_t *session_id) {
    for (unsigned i = 0; i < CSL_REFUSED_MAX; i++) {
        if (p->refused[i].err != CSL_OK && same_id(p->refused[i].session_id, session_id)) {
            return &p->refused[i];
        }
    }
    return NULL;
}

/* Peers' lanes have dialled us for it, or will: else they would take us for lost. */
static void note_refused(struct csl_party *p, const uint8_t *session_id, enum csl_err err,
                         const char *reason) {
    struct csl_refused *r = &p->refused[p->n_refused++ % CSL_REFUSED_MAX];
    memcpy(r->session_id, session_id, sizeof r->session_id);
    r->err = csl_fail(&r->why, err, "%s", reason);
    turn_away_parked(p, r);
}

/* ---- Sessions that wait ---- */

void csl__waiting_unlink(struct csl_waiting *w) {
    struct csl_waiting **at = &w->party->waiting;
    while (*at != w) {
        at = &(*at)->next;
    }
    *at = w->next;
    w->party->n_waiting--;
}

static void log_refusal(struct csl_party *p, const struct csl_member *client, enum csl_err err,
                        const char *reason) {
    csl_log("session of %s refused: %s", client->name, reason);
    csl_logbook_refused(&p->logbook, client->name, "a session", err, reason);
}

static void refuse_one(struct csl_waiting *w, enum csl_err err, const char *reason) {
    log_refusal(w->party, w->client, err, reason);
    csl__waiting_unlink(w);
    csl_conn_refuse(w->conn, err, reason);
}

void csl__waiting_refuse(struct csl_waiting *w, enum csl_err err, const char *reason) {
    refuse_one(w, err, reason);
    free(w);
}

static void refuse_waiting(struct csl_waiting *w, enum csl_err err, const char *reason) {
    refuse_one(w, err, reason);
    note_refused(w->party, w->session_id, err, reason);
    free(w);
}

static void waiting_closed(struct csl_conn *conn, enum csl_err err, const struct csl_diag *why, void *arg) {
    struct csl_waiting *w = arg;
    (void)conn;
    (void)err;
    (void)why;
    csl__waiting_unlink(w);
    free(w);
}

static void waiting_spoke(struct csl_conn *conn, const struct csl_frame_header *h, const uint8_t *payload,
                          void *arg) {
    (void)h;
    (void)payload;
    (void)arg;
    csl_conn_close(conn, CSL_EPROTO, "the client spoke before its session was admitted");
}

static const struct csl_conn_callbacks waiting_callbacks = {.on_frame = waiting_spoke,
                                                            .on_close = waiting_closed};

static bool seen(const struct csl_party *p, const uint8_t id[CSL_SESSION_ID_BYTES]) {
    unsigned n = p->n_recent < CSL_RECENT_MAX ? p->n_recent : CSL_RECENT_MAX;
    for (unsigned i = 0; i < n; i++) {
        if (memcmp(p->recent[i], id, CSL_SESSION_ID_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static enum csl_err judge(const struct csl_party *p, struct csl_request *request,
                          const struct csl_member *client, const Csl__Pb__OpenSession *m,
                          struct csl_diag *diag) {
    TRY(csl_request_from_message(request, &p->ctx->roster, client, m, diag));
    bool named = m->shared && csl__party_named(p, m->session_id.data); /* another guest has opened it here */
    if (!named && seen(p, m->session_id.data)) {
        return csl_fail(diag, CSL_ESTALE, "this session id was used before; a session is opened once");
    }
    if (p->n_waiting >= CSL_WAITING_MAX || p->stopping) {
        return csl_fail(diag, CSL_EBUSY, "%u sessions wait already; try again", p->n_waiting);
    }
    return CSL_OK;
}

void csl__party_open_session(struct csl_party *p, struct csl_conn *conn, const struct csl_member *client,
                             const Csl__Pb__OpenSession *m) {
    struct csl_diag diag = {""};
    struct csl_request request;
    enum csl_err err = judge(p, &request, client, m, &diag);
    struct csl_waiting *w = err == CSL_OK ? calloc(1, sizeof *w) : NULL;
    if (w == NULL) {
        err = err == CSL_OK ? CSL_ENOMEM : err;
        const char *reason = diag.text[0] != '\0' ? diag.text : csl_err_text(err);
        log_refusal(p, client, err, reason);
        csl_conn_refuse(conn, err, reason);
        if (!seen(p, m->session_id.data) && !m->shared) { /* else it says nothing of the session that had this
                                                             id first, or of what other guests may ask */
            note_refused(p, m->session_id.data, err, reason);
        }
        return;
    }
    struct csl_refused *before = find_refused(p, m->session_id.data);
    if (before != NULL) {
        before->err = CSL_OK; /* asked for again, and better */
    }
    if (!seen(p, m->session_id.data)) {
        memcpy(p->recent[p->n_recent++ % CSL_RECENT_MAX], m->session_id.data, CSL_SESSION_ID_BYTES);
    }
    w->party = p;
    w->conn = conn;
    w->client = client;
    memcpy(w->session_id, m->session_id.data, sizeof w->session_id);
    w->request = request;
    w->deadline_ms = loop_ms(p) + patience_ms(p);
    csl_conn_set_callbacks(conn, &waiting_callbacks, w);
    struct csl_waiting **at = &p->waiting;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = w;
    p->n_waiting++;
    csl__party_admit(p);
}

/* ---- Connections of peers, and of a dealer that dials ---- */

void csl__party_arrive(struct csl_party *p, struct csl_conn *conn, const struct csl_member *from,
                       Csl__Pb__Purpose purpose, const uint8_t *session_id) {
    for (struct csl_running *r = p->running; r != NULL; r = r->next) {
        if (same_id(csl_lane_session_id(r->lane), session_id)) {
            csl_lane_arrive(r->lane, from, purpose, csl_conn_detach(conn));
            return;
        }
    }
    bool waits = false;
    for (struct csl_waiting *w = p->waiting; w != NULL; w = w->next) {
        waits = waits || same_id(w->session_id, session_id);
    }
    const struct csl_refused *refused = waits ? NULL : find_refused(p, session_id);
    if (refused != NULL) {
        turn_away(conn, purpose, refused->err, refused->why.text);
        return;
    }
    if (!waits && seen(p, session_id)) {
        turn_away(conn, purpose, CSL_ESTALE, "this session has ended here");
        return;
    }
    if (p->n_parked == CSL_PARKED_MAX) {
        turn_away(conn, purpose, CSL_EBUSY, "too many connections for sessions that were not opened here");
        return;
    }
    struct csl_conn_parts *parts = csl_conn_detach(conn);
    if (parts != NULL) {
        struct csl_parked *k = &p->parked[p->n_parked++];
        *k = (struct csl_parked){
            .parts = parts, .from = from, .purpose = purpose, .deadline_ms = loop_ms(p) + patience_ms(p)};
        memcpy(k->session_id, session_id, sizeof k->session_id);
    }
}

static void hand_parked(struct csl_party *p, struct csl_lane *lane) {
    for (unsigned i = 0; i < p->n_parked;) {
        if (same_id(p->parked[i].session_id, csl_lane_session_id(lane))) {
            csl_lane_arrive(lane, p->parked[i].from, p->parked[i].purpose, p->parked[i].parts);
            unpark(p, i);
        } else {
            i++;
        }
    }
}

/* ---- Lanes ---- */

static void lane_done(void *arg) {
    struct csl_running *r = arg;
    struct csl_party *p = r->party;
    struct csl_running **at = &p->running;
    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    p->n_running--;
    csl_daemon_logged(p->daemon);
    csl_lane_free(r->lane);
    free(r);
    if (!p->stopping) {
        csl__party_admit(p);
    }
}

static void lane_body(void *arg) {
    csl_lane_run(((struct csl_running *)arg)->lane);
}

/* Where the dealer is the end that dials, it must be told. */
static void want_dealer(struct csl_party *p, const uint8_t *session_id) {
    const struct csl_member *dealer = csl_roster_dealer(&p->ctx->roster);
    bool last = (unsigned)p->ctx->self->party + 1 == p->ctx->roster.n_parties;
    if (last && csl_roster_dials(&p->ctx->roster, dealer, p->ctx->self)) {
        CSL_CONTROL(m, body, CorrectionsWanted, CORRECTIONS_WANTED, CORRECTIONS_WANTED, corrections_wanted);
        body.session_id = csl_bytes(session_id, CSL_SESSION_ID_BYTES);
        (void)csl_daemon_send(p->daemon, dealer, &m);
    }
}

/* The guest that opens a session; csl__shared_fits has seen to it that there is a place for it. */
static void join_first(struct csl_lane *lane, const struct csl_waiting *w, struct csl_conn_parts *parts) {
    struct csl_diag why;
    csl_log("session %02x%02x%02x%02x: shared, opened by %s", w->session_id[0], w->session_id[1],
            w->session_id[2], w->session_id[3], w->client->name);
    if (csl_lane_reserve(lane, w->client, &w->request, &why) == CSL_OK) {
        csl_lane_join(lane, w->client, &w->request, parts);
    } else {
        csl_conn_parts_free(parts);
    }
}

static void start_lane(struct csl_party *p, struct csl_waiting *w, struct csl_package *package) {
    struct csl_lane_options opt = {.ctx = p->ctx,
                                   .store = &p->store,
                                   .package = package,
                                   .epoch = csl_party_epoch_ref(p->epoch),
                                   .client = w->request.shared ? NULL : w->client,
                                   .request = w->request,
                                   .wait = p->wait,
                                   .auto_profile = p->auto_profile,
                                   .profile = p->profile};
    memcpy(opt.session_id, w->session_id, sizeof opt.session_id);
    struct csl_diag diag = {""};
    struct csl_conn_parts *parts = csl__waiting_detach(w);
    struct csl_running *r = parts != NULL ? calloc(1, sizeof *r) : NULL;
    if (r == NULL) {
        csl_conn_parts_free(parts);
        csl_package_unref(package);
        csl_party_epoch_unref(opt.epoch);
        free(w);
        return;
    }
    opt.client_parts = w->request.shared ? NULL : parts;
    if (csl_lane_new(&r->lane, &opt, &diag) != CSL_OK) {
        csl_log("no lane: %s", diag.text);
        free(r);
        csl_conn_parts_free(w->request.shared ? parts : NULL);
        free(w);
        return;
    }
    r->party = p;
    if (w->request.shared) {
        join_first(r->lane, w, parts);
    }
    free(w);
    hand_parked(p, r->lane);
    want_dealer(p, opt.session_id);
    if (csl_daemon_spawn(p->daemon, lane_body, lane_done, r) != CSL_OK) {
        csl_log("no thread for a lane");
        csl_lane_free(r->lane);
        free(r);
        return;
    }
    r->next = p->running;
    p->running = r;
    p->n_running++;
}

/* Nothing runs unlogged, or beside a ledger that was rolled back. */
static void refuse_unlogged(struct csl_party *p) {
    struct csl_diag diag = {""};
    enum csl_err err = csl_daemon_admits(p->daemon, &diag);
    while (err != CSL_OK && p->waiting != NULL) {
        refuse_waiting(p->waiting, err, diag.text);
    }
}

void csl__party_admit(struct csl_party *p) {
    struct csl_waiting *next;
    const char *unseen;
    bool full = false;
    refuse_unlogged(p);
    for (struct csl_waiting *w = p->waiting; w != NULL; w = next) {
        next = w->next;
        struct csl_package *package;
        struct csl_diag why = {""};
        if (w->request.shared && csl__party_join(p, w)) {
            continue;
        }
        if (full) {
            continue; /* later, in order; a guest of a session that runs needs no lane */
        }
        enum csl_err err = csl_store_find(&p->store, &package, w->request.model, &why);
        if (err != CSL_OK) {
            refuse_waiting(w, err, why.text);
        } else if (w->request.shared && csl__shared_fits(p, w, package, &why) != CSL_OK) {
            csl_package_unref(package);
            csl__waiting_refuse(w, CSL_EUSAGE, why.text);
        } else if (p->epoch == NULL || p->n_running >= p->ctx->roster.limits.lanes ||
                   csl_daemon_unseen(p->daemon, &unseen)) {
            csl_package_unref(package);
            full = true;
        } else {
            start_lane(p, w, package);
        }
    }
}

/* ---- Deadlines and interruptions ---- */

static void refuse_late(struct csl_party *p, struct csl_waiting *w) {
    char text[512], missing[300];
    const char *unseen;
    if (p->epoch == NULL) {
        csl_daemon_missing(p->daemon, missing, sizeof missing);
        (void)snprintf(text, sizeof text, "%s has no correlations: %s%s; `consilium doctor` says why",
                       p->ctx->self->name,
                       missing[0] != '\0' ? "it is not connected to " : "the dealer lacks a party",
                       missing[0] != '\0' ? missing : "");
        refuse_waiting(w, CSL_EUNAVAILABLE, text);
    } else if (csl_daemon_unseen(p->daemon, &unseen)) {
        (void)snprintf(
            text, sizeof text,
            "%s has not shown %s the checkpoint of its ledger: its daemon is not connected here, or "
            "its disk does not answer; `consilium doctor` says more",
            unseen, p->ctx->self->name);
        refuse_waiting(w, CSL_EUNAVAILABLE, text);
    } else {
        (void)snprintf(text, sizeof text, "all %u lanes of %s are busy; try again later",
                       p->ctx->roster.limits.lanes, p->ctx->self->name);
        refuse_waiting(w, CSL_EBUSY, text);
    }
}

void csl__party_tick(struct csl_party *p) {
    uint64_t now = loop_ms(p);
    struct csl_waiting *next;
    for (struct csl_waiting *w = p->waiting; w != NULL; w = next) {
        next = w->next;
        if (now >= w->deadline_ms) {
            refuse_late(p, w);
        }
    }
    for (unsigned i = 0; i < p->n_parked;) {
        if (now >= p->parked[i].deadline_ms) {
            csl_log("%s came for a session that no client opened here", p->parked[i].from->name);
            csl_conn_parts_free(p->parked[i].parts);
            unpark(p, i);
        } else {
            i++;
        }
    }
}

void csl__party_interrupt(struct csl_party *p, const struct csl_member *lost, const char *reason) {
    bool last = (unsigned)p->ctx->self->party + 1 == p->ctx->roster.n_parties;
    if (lost->party < 0 && !last) {
        return; /* only the last party talks to the dealer during a session */
    }
    struct csl_diag said;
    (void)csl_fail_ended(&said, CSL_EPEER, "lost", lost->name, reason);
    for (struct csl_running *r = p->running; r != NULL; r = r->next) {
        csl_lane_interrupt(r->lane, CSL_EPEER, said.text);
    }
}

void csl__party_stop_sessions(struct csl_party *p) {
    char text[128];
    (void)snprintf(text, sizeof text, "the daemon of %s is being stopped", p->ctx->self->name);
    while (p->waiting != NULL) {
        refuse_waiting(p->waiting, CSL_EUNAVAILABLE, text);
    }
    while (p->n_parked > 0) {
        csl_conn_parts_free(p->parked[0].parts);
        unpark(p, 0);
    }
    for (struct csl_running *r = p->running; r != NULL; r = r->next) {
        csl_lane_interrupt(r->lane, CSL_EPEER, text);
    }
}
