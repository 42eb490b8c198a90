#include "roles/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"

/* A peer that sends faster than we consume is slowed down by TCP from here on. */
enum { QUEUE_HIGH = 8 << 20 };

static void send_frame_abort(struct csl_conn *conn, enum csl_err err, const char *reason) {
    uint8_t payload[CSL_ABORT_MAX];
    size_t n = csl_abort_encode(payload, err, reason);
    (void)!csl_conn_send(conn, CSL_FRAME_ABORT, 0, payload, n); /* best effort */
}

/* ---- Connection callbacks ---- */

void csl_frame_in_free(struct csl_frame_in *f) {
    if (f != NULL) {
        csl_wipe(f, sizeof *f + f->h.n);
        free(f);
    }
}

enum csl_err csl_fail_ended(struct csl_diag *diag, enum csl_err err, const char *what, const char *peer,
                            const char *why) {
    size_t n = strlen(peer);
    bool labelled = strncmp(why, peer, n) == 0 && strncmp(why + n, " (", 2) == 0;
    return labelled ? csl_fail(diag, err, "%s %s", what, why)
                    : csl_fail(diag, err, "%s %s: %s", what, peer, why);
}

/* A peer may finish its set-up before us and send the first round, which is for the mesh link to read. */
static void pause_peer(struct csl_talk *t) {
    if (csl_purpose_is_mesh(t->purpose) && t->conn != NULL) {
        csl_conn_set_reading(t->conn, false);
    }
}

static void on_ack(struct csl_talk *t, const struct csl_frame_header *h, const uint8_t *payload) {
    Csl__Pb__HelloAck *ack = NULL;
    enum csl_err err = h->type == CSL_FRAME_HELLO_ACK
                           ? csl_hello_ack_decode(&ack, payload, h->n, &t->diag)
                           : csl_fail(&t->diag, CSL_EPROTO, "%s answered HELLO with %s", t->peer,
                                      csl_frame_type_name(h->type));
    if (err == CSL_OK) {
        t->clock_skew_ms = (int64_t)(ack->clock_ms - csl_clock_ms());
        (void)snprintf(t->software, sizeof t->software, "%s", ack->software);
        err = csl_hello_ack_check(t->worker->ctx, ack, t->peer, &t->diag);
        csl__pb__hello_ack__free_unpacked(ack, NULL);
    }
    t->err = err;
    t->ready = err == CSL_OK;
    pause_peer(t);
    if (err != CSL_OK) {
        csl_conn_close(t->conn, err, t->diag.text);
    }
}

static void on_frame(struct csl_conn *conn, const struct csl_frame_header *h, const uint8_t *payload,
                     void *arg) {
    struct csl_talk *t = arg;
    if (h->type == CSL_FRAME_ABORT) { /* from a lane, or from one whose roster does not have us */
        struct csl_diag reason;
        enum csl_err err = csl_abort_decode(&reason, payload, h->n);
        csl_conn_close(conn, err, reason.text);
        return;
    }
    if (!t->ready) {
        on_ack(t, h, payload);
        return;
    }
    if (t->on_frame != NULL && t->on_frame(t->on_frame_arg, h, payload)) {
        return;
    }
    struct csl_frame_in *f = malloc(sizeof *f + h->n);
    if (f == NULL) {
        csl_conn_close(conn, CSL_ENOMEM, "out of memory for a frame");
        return;
    }
    f->next = NULL;
    f->h = *h;
    if (h->n != 0) {
        memcpy(f->payload, payload, h->n);
    }
    *t->last = f;
    t->last = &f->next;
    t->queued += sizeof *f + h->n; /* empty frames take memory, too */
    if (t->queued > QUEUE_HIGH && !t->paused) {
        t->paused = true;
        csl_conn_set_reading(conn, false);
    }
}

static void on_open(struct csl_conn *conn, void *arg) {
    struct csl_talk *t = arg;
    uint8_t *p;
    size_t n;
    bool named = csl_purpose_names_session(t->purpose);
    enum csl_err err = csl_hello_encode(&p, &n, t->worker->ctx, t->purpose, named ? t->session_id : NULL);
    if (err == CSL_OK) {
        err = csl_conn_send(conn, CSL_FRAME_HELLO, 0, p, n);
        free(p);
    }
    if (err != CSL_OK) {
        csl_conn_close(conn, err, "HELLO cannot be sent");
    }
}

static void on_close(struct csl_conn *conn, enum csl_err err, const struct csl_diag *why, void *arg) {
    struct csl_talk *t = arg;
    (void)conn;
    t->conn = NULL;
    t->ended = err == CSL_OK;
    if (t->err != CSL_OK) {
        return;
    }
    if (t->ended) {
        t->err = csl_fail(&t->diag, CSL_EPEER, "%s ended the connection", t->peer);
    } else {
        const char *what = t->ready ? "lost connection to" : "cannot connect to";
        t->err = csl_fail_ended(&t->diag, err, what, t->peer, why->text);
    }
}

static const struct csl_conn_callbacks callbacks = {
    .on_open = on_open, .on_frame = on_frame, .on_close = on_close};

/* ---- Opening and closing ---- */

static void talk_init(struct csl_talk *t, struct csl_worker *w, const char *peer) {
    memset(t, 0, sizeof *t);
    t->worker = w;
    t->last = &t->first;
    (void)snprintf(t->peer, sizeof t->peer, "%s", peer);
}

enum csl_err csl_talk_dial(struct csl_talk *t, struct csl_worker *w, const struct csl_member *member,
                           Csl__Pb__Purpose purpose, const uint8_t *session_id, struct csl_diag *diag) {
    talk_init(t, w, member->name);
    t->purpose = purpose;
    if (session_id != NULL) {
        memcpy(t->session_id, session_id, sizeof t->session_id);
    }
    if (member->host[0] == '\0') {
        return csl_fail(diag, CSL_ECONFIG, "the roster has no address for %s", member->name);
    }
    struct csl_conn_options opt;
    csl_context_conn_options(w->ctx, &opt);
    opt.expect_name = member->name;
    return csl_conn_dial(&t->conn, &w->loop.uv, member->host, member->port, w->tls, &opt, &callbacks, t,
                         diag);
}

enum csl_err csl_talk_adopt(struct csl_talk *t, struct csl_worker *w, struct csl_conn_parts *parts,
                            Csl__Pb__Purpose purpose, struct csl_diag *diag) {
    talk_init(t, w, csl_conn_parts_peer_name(parts));
    t->purpose = purpose;
    t->ready = true;
    enum csl_err err = csl_conn_attach(&t->conn, &w->loop.uv, parts, NULL, &callbacks, t, diag);
    if (err != CSL_OK) {
        t->conn = NULL;
        t->err = err;
    }
    pause_peer(t);
    return err;
}

struct csl_conn *csl_talk_release(struct csl_talk *t) {
    struct csl_conn *conn = t->conn;
    t->conn = NULL;
    t->ready = false;
    if (t->err == CSL_OK) {
        t->err = CSL_EPEER;
    }
    if (conn != NULL) {
        csl_conn_set_reading(conn, true);
    }
    return conn;
}

void csl_talk_close(struct csl_talk *t) {
    if (t->conn != NULL) {
        struct csl_conn *conn = t->conn;
        t->conn = NULL;
        csl_conn_set_callbacks(conn, NULL, NULL);
        if (csl_conn_is_open(conn)) {
            csl_conn_shutdown(conn);
        } else {
            csl_conn_close(conn, CSL_OK, NULL);
        }
    }
    while (t->first != NULL) {
        struct csl_frame_in *f = t->first;
        t->first = f->next;
        csl_frame_in_free(f);
    }
    t->last = &t->first;
}

void csl_talk_allow_data(struct csl_talk *t, size_t max_bytes) {
    if (t->conn != NULL) {
        uint32_t max = max_bytes == 0                    ? CSL_FRAME_FORBIDDEN
                       : max_bytes > CSL_FRAME_MAX_BYTES ? CSL_FRAME_MAX_BYTES
                                                         : (uint32_t)max_bytes;
        csl_conn_set_limit(t->conn, CSL_FRAME_DATA, max);
    }
}

/* ---- Waiting ---- */

struct wait {
    struct csl_worker *w;
    struct csl_talk *const *talks;
    size_t n;
    bool frames; /* for frames, not for readiness */
};

static bool satisfied(const struct csl_talk *t, bool frames) {
    return t == NULL || (frames ? t->first != NULL : t->ready && t->err == CSL_OK);
}

static bool wait_over(void *arg) {
    const struct wait *x = arg;
    bool all = true;
    for (size_t i = 0; i < x->n; i++) {
        const struct csl_talk *t = x->talks[i];
        if (!satisfied(t, x->frames)) {
            if (t->err != CSL_OK) {
                return true;
            }
            all = false;
        }
    }
    return all || csl_worker_check(x->w, NULL) != CSL_OK;
}

static enum csl_err wait_late(const struct wait *x, uint64_t timeout_ms, struct csl_diag *diag) {
    char names[200] = "";
    for (size_t i = 0; i < x->n; i++) {
        if (!satisfied(x->talks[i], x->frames)) {
            size_t at = strlen(names);
            (void)snprintf(names + at, sizeof names - at, "%s%s", at == 0 ? "" : ", ", x->talks[i]->peer);
        }
    }
    return csl_fail(diag, CSL_ETIMEOUT, "no answer from %s for %llu ms", names,
                    (unsigned long long)timeout_ms);
}

static enum csl_err wait_talks(struct wait *x, uint64_t timeout_ms, struct csl_diag *diag) {
    enum csl_err err = csl_loop_run_until(&x->w->loop, wait_over, x, timeout_ms);
    TRY(csl_worker_check(x->w, diag));
    for (size_t i = 0; i < x->n; i++) {
        const struct csl_talk *t = x->talks[i];
        if (!satisfied(t, x->frames) && t->err != CSL_OK) {
            return csl_fail(diag, t->err, "%s", t->diag.text);
        }
    }
    return err == CSL_ETIMEOUT ? wait_late(x, timeout_ms, diag) : err;
}

enum csl_err csl_talk_wait_ready(struct csl_worker *w, struct csl_talk *const *talks, size_t n,
                                 uint64_t timeout_ms, struct csl_diag *diag) {
    struct wait x = {.w = w, .talks = talks, .n = n, .frames = false};
    return wait_talks(&x, timeout_ms, diag);
}

enum csl_err csl_talk_wait_frames(struct csl_worker *w, struct csl_talk *const *talks, size_t n,
                                  uint64_t timeout_ms, struct csl_diag *diag) {
    struct wait x = {.w = w, .talks = talks, .n = n, .frames = true};
    return wait_talks(&x, timeout_ms, diag);
}

struct drain {
    struct csl_talk *t;
    size_t max;
};

static bool drained(void *arg) {
    const struct drain *d = arg;
    return d->t->err != CSL_OK || d->t->conn == NULL || csl_conn_queued(d->t->conn) <= d->max ||
           csl_worker_check(d->t->worker, NULL) != CSL_OK;
}

enum csl_err csl_talk_drain(struct csl_talk *t, size_t max_queued, uint64_t timeout_ms,
                            struct csl_diag *diag) {
    struct drain d = {.t = t, .max = max_queued};
    enum csl_err err = csl_loop_run_until(&t->worker->loop, drained, &d, timeout_ms);
    TRY(csl_worker_check(t->worker, diag));
    if (t->err != CSL_OK) {
        return csl_fail(diag, t->err, "%s", t->diag.text);
    }
    return err == CSL_ETIMEOUT
               ? csl_fail(diag, err, "%s takes no data for %llu ms", t->peer, (unsigned long long)timeout_ms)
               : err;
}

/* ---- Messages ---- */

static enum csl_err sent(struct csl_talk *t, enum csl_err err, struct csl_diag *diag) {
    if (err == CSL_OK) {
        return CSL_OK;
    }
    if (t->err != CSL_OK) {
        return csl_fail(diag, t->err, "%s", t->diag.text);
    }
    return csl_fail(diag, err, "cannot send to %s: %s", t->peer, csl_err_text(err));
}

enum csl_err csl_talk_send(struct csl_talk *t, const csl_control *m, struct csl_diag *diag) {
    if (t->conn == NULL) {
        return sent(t, CSL_EPEER, diag);
    }
    uint8_t *p;
    size_t n;
    TRY(csl_message_encode(&p, &n, m));
    enum csl_err err = csl_conn_send(t->conn, CSL_FRAME_CONTROL, 0, p, n);
    csl_wipe(p, n); /* an Input carries a seed */
    free(p);
    return sent(t, err, diag);
}

enum csl_err csl_talk_send_data(struct csl_talk *t, uint32_t seq, const void *p, size_t n,
                                struct csl_diag *diag) {
    return sent(t, t->conn == NULL ? CSL_EPEER : csl_conn_send(t->conn, CSL_FRAME_DATA, seq, p, n), diag);
}

void csl_talk_send_failure(struct csl_talk *t, enum csl_err err, const char *reason) {
    /* A peer's lane may be ours already, though its answer to HELLO is still on its way. */
    bool mesh = csl_purpose_is_mesh(t->purpose);
    if (t->conn == NULL || !(t->ready || (mesh && csl_conn_is_open(t->conn)))) {
        return;
    }
    if (mesh) { /* the peer may read with its mesh link already */
        send_frame_abort(t->conn, err, reason);
    } else {
        CSL_CONTROL(m, body, Failure, FAILURE, FAILURE, failure);
        body.error = err;
        body.reason = (char *)(uintptr_t)reason;
        (void)!csl_talk_send(t, &m, NULL);
    }
}

enum csl_err csl_talk_decode(struct csl_talk *t, csl_control **out, struct csl_frame_in *f,
                             struct csl_diag *diag) {
    enum csl_err err;
    csl_control *m = NULL;
    if (f->h.type != CSL_FRAME_CONTROL) {
        err = csl_fail(diag, CSL_EPROTO, "%s sent a %s frame where a control message is due", t->peer,
                       csl_frame_type_name(f->h.type));
    } else {
        err = csl_message_decode(&m, f->payload, f->h.n, diag);
        if (err != CSL_OK) {
            csl_fail_context(diag, err, "from %s", t->peer);
        }
    }
    csl_frame_in_free(f);
    if (err == CSL_OK && m->kind_case == CSL__PB__CONTROL__KIND_FAILURE) {
        err = csl_fail(diag, (enum csl_err)m->failure->error, "%s: %s", t->peer, m->failure->reason);
        csl_message_free(m);
        m = NULL;
    }
    *out = m;
    return err;
}

/* A Failure message is an answer to every question. */
static enum csl_err failure_or(struct csl_talk *t, struct csl_frame_in *f, const char *wanted,
                               struct csl_diag *diag) {
    uint8_t type = f->h.type;
    csl_control *m = NULL;
    TRY(csl_talk_decode(t, &m, f, diag));
    enum csl_err err =
        csl_fail(diag, CSL_EPROTO, "%s sent %s where %s is due", t->peer,
                 type == CSL_FRAME_CONTROL ? csl_message_kind_name((int)m->kind_case) : "?", wanted);
    csl_message_free(m);
    return err;
}

enum csl_err csl_talk_receive(struct csl_talk *t, struct csl_frame_in **out, uint64_t timeout_ms,
                              struct csl_diag *diag) {
    *out = NULL;
    TRY(csl_talk_wait_frames(t->worker, &t, 1, timeout_ms, diag));
    struct csl_frame_in *f = t->first;
    t->first = f->next;
    if (t->first == NULL) {
        t->last = &t->first;
    }
    t->queued -= sizeof *f + f->h.n;
    if (t->paused && t->queued <= QUEUE_HIGH / 2 && t->conn != NULL) {
        t->paused = false;
        csl_conn_set_reading(t->conn, true);
    }
    *out = f;
    return CSL_OK;
}

enum csl_err csl_talk_expect(struct csl_talk *t, csl_control **out, int kind, uint64_t timeout_ms,
                             struct csl_diag *diag) {
    *out = NULL;
    struct csl_frame_in *f;
    TRY(csl_talk_receive(t, &f, timeout_ms, diag));
    csl_control *m;
    TRY(csl_talk_decode(t, &m, f, diag));
    if ((int)m->kind_case != kind) {
        enum csl_err err = csl_fail(diag, CSL_EPROTO, "%s sent %s where %s is due", t->peer,
                                    csl_message_kind_name((int)m->kind_case), csl_message_kind_name(kind));
        csl_message_free(m);
        return err;
    }
    *out = m;
    return CSL_OK;
}

enum csl_err csl_talk_expect_data(struct csl_talk *t, struct csl_frame_in **out, uint32_t seq, size_t n,
                                  uint64_t timeout_ms, struct csl_diag *diag) {
    *out = NULL;
    struct csl_frame_in *f;
    TRY(csl_talk_receive(t, &f, timeout_ms, diag));
    if (f->h.type != CSL_FRAME_DATA) {
        return failure_or(t, f, "DATA", diag);
    }
    if (f->h.seq != seq || f->h.n != n) {
        enum csl_err err =
            csl_fail(diag, CSL_EPROTO, "%s sent DATA %u of %u bytes where DATA %u of %zu bytes is due",
                     t->peer, f->h.seq, f->h.n, seq, n);
        csl_frame_in_free(f);
        return err;
    }
    *out = f;
    return CSL_OK;
}
