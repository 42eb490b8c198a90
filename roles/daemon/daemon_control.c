/* Control connections to the other daemons: dialled again when lost, with heartbeats. */
#include "roles/daemon/daemon_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BACKOFF_FIRST_MS = 100, BACKOFF_MAX_MS = 2000 };

static void dial(struct csl_control_peer *p);

struct csl_control_peer *csl__control_find(const struct csl_daemon *d, const struct csl_member *m) {
    for (unsigned i = 0; i < d->n_peers; i++) {
        if (d->peers[i].member == m) {
            return (struct csl_control_peer *)(uintptr_t)&d->peers[i];
        }
    }
    return NULL;
}

static void on_retry(uv_timer_t *timer) {
    dial(timer->data);
}

/* The next attempt, later each time, so that a site that is down costs nothing. */
static void retry_later(struct csl_control_peer *p) {
    if (p->we_dial && !p->daemon->stopping) {
        (void)uv_timer_start(&p->retry, on_retry, p->backoff_ms, 0);
        p->backoff_ms = p->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : p->backoff_ms * 2;
    }
}

static void went_up(struct csl_control_peer *p) {
    const struct csl_timeouts *t = &p->daemon->ctx->roster.timeouts;
    p->up = true;
    p->backoff_ms = BACKOFF_FIRST_MS;
    p->last_reason[0] = '\0';
    csl_conn_set_heartbeat(p->conn, t->heartbeat_ms, t->dead_ms);
    csl_log("connected to %s", p->member->name);
    csl__witness_peer(p, true);
    p->daemon->ops->on_peer(p->daemon->arg, p->member, true, "");
}

static bool of_witnesses(const csl_control *m) {
    return m->kind_case == CSL__PB__CONTROL__KIND_ADD_CHECKPOINT ||
           m->kind_case == CSL__PB__CONTROL__KIND_COSIGNED ||
           m->kind_case == CSL__PB__CONTROL__KIND_WITNESS_BEHIND ||
           m->kind_case == CSL__PB__CONTROL__KIND_WITNESS_REFUSES;
}

static void on_message(struct csl_control_peer *p, const struct csl_frame_header *h, const uint8_t *payload) {
    struct csl_diag diag = {""};
    csl_control *m = NULL;
    enum csl_err err = h->type == CSL_FRAME_CONTROL
                           ? csl_message_decode(&m, payload, h->n, &diag)
                           : csl_fail(&diag, CSL_EPROTO, "unexpected %s frame", csl_frame_type_name(h->type));
    if (err == CSL_OK) {
        err = of_witnesses(m) ? csl__witness_message(p, &m, &diag)
                              : p->daemon->ops->on_control(p->daemon->arg, p->member, m, &diag);
    }
    csl_message_free(m);
    if (err != CSL_OK) {
        csl_conn_close(p->conn, err, diag.text);
    }
}

static void on_ack(struct csl_control_peer *p, const struct csl_frame_header *h, const uint8_t *payload) {
    struct csl_diag diag = {""};
    Csl__Pb__HelloAck *ack = NULL;
    enum csl_err err = h->type == CSL_FRAME_HELLO_ACK
                           ? csl_hello_ack_decode(&ack, payload, h->n, &diag)
                           : csl_fail(&diag, CSL_EPROTO, "unexpected %s frame", csl_frame_type_name(h->type));
    if (err == CSL_OK) {
        err = csl_hello_ack_check(p->daemon->ctx, ack, p->member->name, &diag);
        csl__pb__hello_ack__free_unpacked(ack, NULL);
    }
    if (err != CSL_OK) {
        csl_conn_close(p->conn, err, diag.text);
        return;
    }
    went_up(p);
}

static void on_frame(struct csl_conn *conn, const struct csl_frame_header *h, const uint8_t *payload,
                     void *arg) {
    struct csl_control_peer *p = arg;
    if (h->type == CSL_FRAME_ABORT) { /* its roster does not have us, or has another key */
        struct csl_diag reason;
        enum csl_err err = csl_abort_decode(&reason, payload, h->n);
        csl_conn_close(conn, err, reason.text);
    } else if (p->up) {
        on_message(p, h, payload);
    } else {
        on_ack(p, h, payload);
    }
}

static void on_open(struct csl_conn *conn, void *arg) {
    struct csl_control_peer *p = arg;
    uint8_t *hello;
    size_t n;
    enum csl_err err = csl_hello_encode(&hello, &n, p->daemon->ctx, CSL__PB__PURPOSE__PURPOSE_CONTROL, NULL);
    if (err == CSL_OK) {
        err = csl_conn_send(conn, CSL_FRAME_HELLO, 0, hello, n);
        free(hello);
    }
    if (err != CSL_OK) {
        csl_conn_close(conn, err, "HELLO cannot be sent");
        return;
    }
    const struct csl_timeouts *t = &p->daemon->ctx->roster.timeouts;
    csl_conn_set_heartbeat(conn, t->heartbeat_ms, t->dead_ms);
}

static void on_close(struct csl_conn *conn, enum csl_err err, const struct csl_diag *why, void *arg) {
    struct csl_control_peer *p = arg;
    (void)conn;
    bool was_up = p->up;
    const char *reason = err == CSL_OK ? "it ended the connection" : why->text;
    p->conn = NULL;
    p->up = false;
    if (was_up || strcmp(reason, p->last_reason) != 0) {
        struct csl_diag said;
        (void)csl_fail_ended(&said, CSL_EPEER, was_up ? "lost" : "cannot connect to", p->member->name,
                             reason);
        csl_log("%s", said.text);
        (void)snprintf(p->last_reason, sizeof p->last_reason, "%s", reason);
    }
    if (was_up) {
        csl__witness_peer(p, false);
        p->daemon->ops->on_peer(p->daemon->arg, p->member, false, reason);
    }
    retry_later(p);
}

static const struct csl_conn_callbacks callbacks = {
    .on_open = on_open, .on_frame = on_frame, .on_close = on_close};

static void dial(struct csl_control_peer *p) {
    struct csl_daemon *d = p->daemon;
    if (d->stopping || p->conn != NULL) {
        return;
    }
    struct csl_conn_options opt;
    csl_context_conn_options(d->ctx, &opt);
    opt.expect_name = p->member->name;
    struct csl_diag diag = {""};
    if (csl_conn_dial(&p->conn, &d->loop, p->member->host, p->member->port, d->ctx->tls, &opt, &callbacks, p,
                      &diag) != CSL_OK) {
        p->conn = NULL;
        csl_log("cannot dial %s: %s", p->member->name, diag.text);
        retry_later(p);
    }
}

void csl__control_accept(struct csl_daemon *d, struct csl_conn *conn, const struct csl_member *from) {
    struct csl_control_peer *p = csl__control_find(d, from);
    if (p == NULL || from == d->ctx->self) {
        (void)!csl__send_ack(d, conn, CSL_EPERM, "only parties and the dealer keep control connections");
        csl_conn_shutdown(conn);
        return;
    }
    if (p->conn !=
        NULL) { /* a second process with the same identity, or one that came back before we saw it go */
        (void)!csl__send_ack(
            d, conn, CSL_EBUSY,
            "this identity is connected already; if a second process runs with it, stop one, "
            "otherwise it is let in as soon as the old connection has timed out");
        csl_conn_shutdown(conn);
        return;
    }
    if (csl__send_ack(d, conn, CSL_OK, NULL) != CSL_OK) {
        csl_conn_close(conn, CSL_EPEER, "HELLO_ACK cannot be sent");
        return;
    }
    p->conn = conn;
    csl_conn_set_callbacks(conn, &callbacks, p);
    went_up(p);
}

static bool keeps_control(const struct csl_member *m) {
    return (m->roles & (CSL_ROLE_PARTY | CSL_ROLE_DEALER)) != 0;
}

enum csl_err csl__control_start(struct csl_daemon *d, struct csl_diag *diag) {
    const struct csl_roster *r = &d->ctx->roster;
    for (size_t i = 0; i < r->n_members; i++) {
        const struct csl_member *m = &r->members[i];
        if (m == d->ctx->self || !keeps_control(m)) {
            continue;
        }
        struct csl_control_peer *p = &d->peers[d->n_peers];
        *p = (struct csl_control_peer){.daemon = d, .member = m, .backoff_ms = BACKOFF_FIRST_MS};
        p->we_dial = csl_roster_dials(r, d->ctx->self, m);
        if (uv_timer_init(&d->loop, &p->retry) != 0) {
            return csl_fail(diag, CSL_EOS, "no timer");
        }
        p->retry.data = p;
        d->n_peers++;
        if (p->we_dial) {
            dial(p);
        }
    }
    return CSL_OK;
}

void csl__control_stop(struct csl_daemon *d) {
    for (unsigned i = 0; i < d->n_peers; i++) {
        struct csl_control_peer *p = &d->peers[i];
        p->we_dial = false;
        uv_close((uv_handle_t *)&p->retry, NULL);
        if (p->conn != NULL) {
            if (csl_conn_is_open(p->conn)) {
                csl_conn_shutdown(p->conn);
            } else {
                csl_conn_close(p->conn, CSL_OK, NULL);
            }
        }
    }
}

/* ---- For the role ---- */

bool csl_daemon_peer_up(const struct csl_daemon *d, const struct csl_member *peer) {
    const struct csl_control_peer *p = csl__control_find(d, peer);
    return p != NULL && p->up;
}

void csl_daemon_missing(const struct csl_daemon *d, char *out, size_t n) {
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < d->n_peers; i++) {
        if (!d->peers[i].up && at < n) {
            int k = snprintf(out + at, n - at, "%s%s", at == 0 ? "" : ", ", d->peers[i].member->name);
            at += k > 0 ? (size_t)k : 0;
        }
    }
}

bool csl_daemon_send(struct csl_daemon *d, const struct csl_member *peer, const csl_control *m) {
    struct csl_control_peer *p = csl__control_find(d, peer);
    uint8_t *bytes;
    size_t n;
    if (p == NULL || !p->up || csl_message_encode(&bytes, &n, m) != CSL_OK) {
        return false;
    }
    enum csl_err err = csl_conn_send(p->conn, CSL_FRAME_CONTROL, 0, bytes, n);
    free(bytes);
    return err == CSL_OK;
}
