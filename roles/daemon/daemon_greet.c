/* Incoming connections: HELLO, and for clients and owners their first request, within one deadline. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roles/daemon/daemon_internal.h"
#include "roles/daemon/logbook.h"

enum { GREETINGS_MAX = 256 }; /* authenticated, but with nothing asked yet */

struct csl_greeting {
    struct csl_greeting *next, **link; /* in the daemon's list */
    struct csl_daemon *daemon;
    struct csl_conn *conn;
    const struct csl_member *from;
    uv_timer_t timer;
    Csl__Pb__Hello *hello; /* once accepted */
};

enum csl_err csl__send_ack(struct csl_daemon *d, struct csl_conn *conn, enum csl_err err,
                           const char *reason) {
    uint8_t *p;
    size_t n;
    TRY(csl_hello_ack_encode(&p, &n, d->ctx, err, reason));
    enum csl_err sent = csl_conn_send(conn, CSL_FRAME_HELLO_ACK, 0, p, n);
    free(p);
    return sent;
}

void csl_conn_refuse(struct csl_conn *conn, enum csl_err err, const char *reason) {
    CSL_CONTROL(m, body, Failure, FAILURE, FAILURE, failure);
    body.error = err;
    body.reason = (char *)(uintptr_t)reason;
    uint8_t *p;
    size_t n;
    if (csl_message_encode(&p, &n, &m) == CSL_OK) {
        (void)!csl_conn_send(conn, CSL_FRAME_CONTROL, 0, p, n);
        free(p);
    }
    csl_conn_set_callbacks(conn, NULL, NULL);
    csl_conn_shutdown(conn);
}

void csl_conn_abort(struct csl_conn *conn, enum csl_err err, const char *reason) {
    uint8_t payload[CSL_ABORT_MAX];
    size_t n = csl_abort_encode(payload, err, reason);
    (void)!csl_conn_send(conn, CSL_FRAME_ABORT, 0, payload, n); /* best effort */
    csl_conn_set_callbacks(conn, NULL, NULL);
    csl_conn_shutdown(conn);
}

static void freed(uv_handle_t *handle) {
    free(handle->data);
}

/* The conn belongs to somebody else from now on, or is gone. */
static void end_greeting(struct csl_greeting *g) {
    g->daemon->n_greetings--;
    *g->link = g->next;
    if (g->next != NULL) {
        g->next->link = g->link;
    }
    g->conn = NULL;
    if (g->hello != NULL) {
        csl__pb__hello__free_unpacked(g->hello, NULL);
        g->hello = NULL;
    }
    uv_close((uv_handle_t *)&g->timer, freed);
}

static void refuse_hello(struct csl_greeting *g, enum csl_err err, const char *reason) {
    struct csl_conn *conn = g->conn;
    csl_log("refused %s: %s", csl_conn_label(conn), reason);
    csl_logbook_refused(g->daemon->ctx->logbook, g->from->name, "a connection", err, reason);
    (void)!csl__send_ack(g->daemon, conn, err, reason);
    csl_conn_set_callbacks(conn, NULL, NULL);
    csl_conn_shutdown(conn);
    end_greeting(g);
}

static enum csl_err judge_hello(struct csl_greeting *g, const Csl__Pb__Hello *h, struct csl_diag *diag) {
    struct csl_daemon *d = g->daemon;
    if (h->protocol != CSL_PROTOCOL_VERSION) {
        return csl_fail(diag, CSL_EPROTO,
                        "protocol version %u, we speak %d (our program is %s); install the same version",
                        h->protocol, CSL_PROTOCOL_VERSION, CSL_VERSION);
    }
    if (h->purpose == CSL__PB__PURPOSE__PURPOSE_PROBE) {
        return CSL_OK; /* the answer carries our roster digest: doctor compares */
    }
    if (memcmp(h->roster_digest.data, d->ctx->roster_digest, sizeof d->ctx->roster_digest) != 0) {
        return csl_fail(diag, CSL_ECONFIG, "another roster; compare `consilium roster digest` at both sites");
    }
    if (h->purpose == CSL__PB__PURPOSE__PURPOSE_CONTROL) {
        return CSL_OK;
    }
    return d->ops->may(d->arg, g->from, h->purpose, diag);
}

static bool wants_request(Csl__Pb__Purpose p) {
    return p == CSL__PB__PURPOSE__PURPOSE_CLIENT || p == CSL__PB__PURPOSE__PURPOSE_SHARE_MODEL ||
           p == CSL__PB__PURPOSE__PURPOSE_AUDIT;
}

/* Hands the conn on and ends the greeting; nothing of g may be used after. */
static void hand_on(struct csl_greeting *g, const csl_control *request) {
    struct csl_daemon *d = g->daemon;
    struct csl_conn *conn = g->conn;
    csl_conn_set_callbacks(conn, NULL, NULL);
    d->ops->on_conn(d->arg, conn, g->from, g->hello, request);
    end_greeting(g);
}

static void on_hello(struct csl_greeting *g, const struct csl_frame_header *h, const uint8_t *payload) {
    struct csl_daemon *d = g->daemon;
    struct csl_diag diag = {""};
    Csl__Pb__Hello *hello = NULL;
    enum csl_err err = h->type == CSL_FRAME_HELLO ? csl_hello_decode(&hello, payload, h->n, &diag)
                                                  : csl_fail(&diag, CSL_EPROTO, "%s where HELLO is due",
                                                             csl_frame_type_name(h->type));
    if (err == CSL_OK) {
        g->hello = hello;
        err = judge_hello(g, hello, &diag);
    }
    if (err != CSL_OK) {
        refuse_hello(g, err, diag.text[0] != '\0' ? diag.text : csl_err_text(err));
        return;
    }
    if (hello->purpose == CSL__PB__PURPOSE__PURPOSE_CONTROL) {
        struct csl_conn *conn = g->conn;
        const struct csl_member *from = g->from;
        csl_conn_set_callbacks(conn, NULL, NULL);
        end_greeting(g);
        csl__control_accept(d, conn, from);
        return;
    }
    if (csl__send_ack(d, g->conn, CSL_OK, NULL) != CSL_OK) {
        csl_conn_close(g->conn, CSL_EPEER, "HELLO_ACK cannot be sent");
        return;
    }
    if (!wants_request(hello->purpose) && hello->purpose != CSL__PB__PURPOSE__PURPOSE_PROBE) {
        hand_on(g, NULL);
    }
}

static void on_request(struct csl_greeting *g, const struct csl_frame_header *h, const uint8_t *payload) {
    struct csl_diag diag = {""};
    csl_control *m = NULL;
    enum csl_err err = h->type == CSL_FRAME_CONTROL && wants_request(g->hello->purpose)
                           ? csl_message_decode(&m, payload, h->n, &diag)
                           : csl_fail(&diag, CSL_EPROTO, "unexpected %s frame", csl_frame_type_name(h->type));
    if (err != CSL_OK) {
        csl_log("refused %s: %s", csl_conn_label(g->conn), diag.text);
        csl_logbook_refused(g->daemon->ctx->logbook, g->from->name, "a request", err, diag.text);
        struct csl_conn *conn = g->conn;
        end_greeting(g);
        csl_conn_refuse(conn, err, diag.text);
        return;
    }
    hand_on(g, m);
    csl_message_free(m);
}

static void on_frame(struct csl_conn *conn, const struct csl_frame_header *h, const uint8_t *payload,
                     void *arg) {
    struct csl_greeting *g = arg;
    (void)conn;
    if (g->hello == NULL) {
        on_hello(g, h, payload);
    } else {
        on_request(g, h, payload);
    }
}

static void on_close(struct csl_conn *conn, enum csl_err err, const struct csl_diag *why, void *arg) {
    (void)conn;
    if (err != CSL_OK) {
        csl_log("lost %s before it asked for anything: %s", csl_conn_label(conn), why->text);
    }
    end_greeting(arg);
}

static void on_late(uv_timer_t *timer) {
    struct csl_greeting *g = timer->data;
    csl_conn_close(g->conn, CSL_ETIMEOUT, "no request within the handshake deadline");
}

void csl__greet(struct csl_listener *listener, struct csl_conn *conn, void *arg) {
    struct csl_daemon *d = arg;
    (void)listener;
    struct csl_diag diag = {""};
    const struct csl_member *from;
    struct csl_greeting *g = d->n_greetings < GREETINGS_MAX ? calloc(1, sizeof *g) : NULL;
    if (g == NULL || csl_roster_verify_peer(&d->ctx->roster, &from, csl_conn_peer_name(conn),
                                            csl_conn_peer_spki(conn), &diag) != CSL_OK) {
        free(g);
        csl_conn_close(conn, CSL_EBUSY, "too many connections that ask for nothing");
        return;
    }
    g->daemon = d;
    g->conn = conn;
    g->from = from;
    d->n_greetings++;
    g->next = d->greetings;
    g->link = &d->greetings;
    if (g->next != NULL) {
        g->next->link = &g->next;
    }
    d->greetings = g;
    (void)uv_timer_init(&d->loop, &g->timer);
    g->timer.data = g;
    (void)uv_timer_start(&g->timer, on_late, d->ctx->roster.timeouts.handshake_ms, 0);
    static const struct csl_conn_callbacks cb = {.on_frame = on_frame, .on_close = on_close};
    csl_conn_set_callbacks(conn, &cb, g);
}

void csl__greet_stop(struct csl_daemon *d) {
    for (struct csl_greeting *g = d->greetings; g != NULL; g = g->next) {
        csl_conn_close(g->conn, CSL_OK, NULL); /* on_close ends the greeting, from the loop */
    }
}
