/* The way into a connection: socket -> TLS -> frames. */
#include "net/conn_internal.h"

#include "crypto/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { PASSES = 16 }; /* reads before other connections have their turn */

static void fail_errno(struct csl_conn *c, int e) {
    struct csl_diag diag;
    enum csl_err err = e == ENOMEM || e == ENOBUFS ? CSL_ENOMEM : CSL_EPEER;
    const char *what = e == ECONNRESET || e == EPIPE ? "the peer reset the connection" : strerror(e);
    csl__conn_finish(c, csl_fail(&diag, err, "%s", what), &diag);
}

/* Makes a verified peer ours, or refuses it with an ABORT, since it believes itself connected. */
static bool open_conn(struct csl_conn *c) {
    struct csl_conn_parts *s = c->s;
    struct csl_diag diag;
    enum csl_err err = CSL_OK;
    const char *name = csl_tls_peer_name(s->tls);
    csl_tls_peer_spki_sha256(s->tls, s->spki);
    if (s->opt.expect_name != NULL && strcmp(s->opt.expect_name, name) != 0) {
        err = csl_fail(&diag, CSL_EAUTH,
                       "expected %s here, but the certificate says %s; check the address in the roster",
                       s->opt.expect_name, name);
    } else if (s->opt.verify != NULL) {
        diag.text[0] = '\0';
        err = s->opt.verify(s->opt.verify_arg, name, s->spki, csl_tls_peer_cert(s->tls), &diag);
    }
    (void)snprintf(s->label, sizeof s->label, "%s (%s)", name, s->address);
    c->heard = c->progress = c->since = csl__now_ms();
    if (err != CSL_OK) {
        uint8_t payload[CSL_ABORT_MAX];
        size_t n = csl_abort_encode(payload, CSL_EPERM,
                                    "this certificate is not accepted here; compare the "
                                    "rosters and addresses of both sites");
        c->why = diag;
        c->state = CSL__CONN_OPEN;
        (void)csl__conn_put_frame(c, CSL_FRAME_ABORT, 0, payload, n);
        if (c->state != CSL__CONN_CLOSED) {
            csl__conn_bye(c, err);
        }
        return false;
    }
    c->state = CSL__CONN_OPEN;
    csl__conn_arm(c);
    if (c->cb.on_open != NULL) {
        c->cb.on_open(c, c->arg);
    }
    return c->s != NULL && c->state == CSL__CONN_OPEN;
}

static bool shake(struct csl_conn *c) {
    bool done;
    struct csl_diag diag;
    enum csl_err err = csl_tls_handshake(c->s->tls, &done, &diag);
    if (err != CSL_OK) {
        csl__conn_finish(c, err, &diag); /* sends the alert that is in the queue */
        return false;
    }
    csl__conn_flush(c);
    return c->state != CSL__CONN_CLOSED && done && open_conn(c);
}

static void take_pong(struct csl_conn *c, uint32_t seq) {
    if (seq != c->ping_seq || c->pinged_ns == 0) {
        return;
    }
    uint64_t ns = uv_hrtime() - c->pinged_ns;
    ns = ns == 0 ? 1 : ns;
    c->pinged_ns = 0;
    c->rtt_ns = c->rtt_ns == 0 || ns < c->rtt_ns ? ns : c->rtt_ns;
    c->rtt_answers++;
}

/* True: go on with this conn. */
static bool dispatch(struct csl_conn *c) {
    struct csl_conn_parts *s = c->s;
    const struct csl_frame_header *h = csl_frame_current(&s->dec);
    s->counters.frames_received++;
    s->counters.bytes_received += CSL_FRAME_HEADER_BYTES + h->n;
    if (h->type == CSL_FRAME_PING) {
        if (csl_conn_queued(c) >= s->opt.max_queue_bytes) {
            struct csl_diag diag;
            csl__conn_finish(c, csl_fail(&diag, CSL_EBUSY, "the peer sends and does not read"), &diag);
        } else if (s->tx_errno == 0) {
            (void)csl__conn_put_frame(c, CSL_FRAME_PONG, h->seq, NULL, 0);
        }
    } else if (h->type == CSL_FRAME_BYE) {
        s->peer_bye = true;
    } else if (h->type == CSL_FRAME_PONG) {
        take_pong(c, h->seq);
    } else if (c->cb.on_frame != NULL) {
        c->in_frame = true;
        c->cb.on_frame(c, h, csl_frame_payload(&s->dec), c->arg);
        c->in_frame = false;
    }
    if (c->s == NULL) {
        return false; /* detached: it ended the frame */
    }
    csl_frame_next(&c->s->dec);
    return c->state == CSL__CONN_OPEN;
}

static enum csl_err on_header(struct csl_conn *c, struct csl_diag *diag) {
    uint8_t *dst = NULL;
    const struct csl_frame_header *h = csl_frame_current(&c->s->dec);
    if (c->cb.on_header == NULL || h->type == CSL_FRAME_PING || h->type == CSL_FRAME_PONG ||
        h->type == CSL_FRAME_BYE) {
        return CSL_OK;
    }
    TRY(c->cb.on_header(c, h, &dst, diag, c->arg));
    if (dst != NULL && h->n != 0) {
        csl_frame_direct(&c->s->dec, dst);
    }
    return CSL_OK;
}

/* Decrypts one piece. True: there may be more. */
static bool take_piece(struct csl_conn *c) {
    struct csl_conn_parts *s = c->s;
    struct csl_diag diag;
    diag.text[0] = '\0';
    uint8_t *dst;
    size_t room, got;
    enum csl_frame_event event = CSL_FRAME_MORE;
    enum csl_err err = csl_frame_space(&s->dec, &dst, &room, &diag);
    if (err == CSL_OK) {
        err = csl_tls_read(s->tls, dst, room, &got, &diag);
    }
    if (err == CSL_OK && got == 0) {
        return false;
    }
    if (err == CSL_OK) {
        c->heard = csl__now_ms();
        err = csl_frame_advance(&s->dec, got, &event, &diag);
    }
    if (err == CSL_OK && event == CSL_FRAME_HEADER) {
        err = on_header(c, &diag);
        if (c->state != CSL__CONN_OPEN) {
            return false; /* the callback ended it */
        }
        if (err == CSL_OK && csl_frame_current(&s->dec)->n == 0) {
            err = csl_frame_advance(&s->dec, 0, &event, &diag);
        }
    }
    if (err != CSL_OK) {
        csl__conn_finish(c, err, &diag);
        return false;
    }
    return event != CSL_FRAME_READY || dispatch(c);
}

/* The peer's TLS goodbye, or while draining anything that ends the stream. */
static void peer_ended(struct csl_conn *c) {
    struct csl_diag diag;
    if (!csl_frame_at_boundary(&c->s->dec)) {
        csl__conn_finish(
            c, csl_fail(&diag, CSL_EPEER, "the peer closed the connection in the middle of a frame"), &diag);
    } else if (c->s->peer_bye) {
        csl_tls_shutdown(c->s->tls);
        (void)csl_fail(&diag, CSL_OK, "closed by the peer");
        csl__conn_finish(c, CSL_OK, &diag);
    } else {
        csl__conn_finish(c, csl_fail(&diag, CSL_EPEER, "the peer closed the connection"), &diag);
    }
}

/* While draining: nothing is looked at but the end. */
static void discard(struct csl_conn *c) {
    uint8_t scratch[4096];
    size_t got = 1;
    enum csl_err err = CSL_OK;
    while (err == CSL_OK && got != 0) {
        err = csl_tls_read(c->s->tls, scratch, sizeof scratch, &got, NULL);
    }
    csl_wipe(scratch, sizeof scratch);
    if (err != CSL_OK || (csl_tls_peer_closed(c->s->tls) && c->wr_shut)) {
        csl__conn_finish(c, c->err, &c->why);
    }
}

/* Uses the ciphertext that is in memory. True: wants more of it. */
static bool use_input(struct csl_conn *c) {
    if (c->state == CSL__CONN_HANDSHAKE && !shake(c)) {
        return c->s != NULL && c->state == CSL__CONN_HANDSHAKE;
    }
    while (c->s != NULL && c->state == CSL__CONN_OPEN && !c->paused && csl_tls_has_input(c->s->tls) &&
           take_piece(c)) {
    }
    if (c->s != NULL && c->state == CSL__CONN_DRAINING) {
        discard(c);
    }
    if (c->s != NULL && c->state == CSL__CONN_OPEN && !c->paused && csl_tls_peer_closed(c->s->tls)) {
        peer_ended(c);
    }
    return c->s != NULL && c->state != CSL__CONN_CLOSED && !c->paused;
}

/* Reads once from the socket. True: it may have more. */
static bool receive(struct csl_conn *c, bool *heard) {
    size_t room;
    uint8_t *p = csl_tls_in_space(c->s->tls, &room);
    if (room == 0) {
        return false;
    }
    ssize_t r = recv(c->s->fd, p, room, MSG_DONTWAIT);
    if (r > 0) {
        csl_tls_in_commit(c->s->tls, (size_t)r);
        *heard = true;
        return (size_t)r == room;
    }
    if (r == 0) {
        csl_tls_in_eof(c->s->tls);
        *heard = true;
    } else if (errno == EINTR) {
        return true;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        fail_errno(c, errno);
    } else if (c->s->tx_errno != 0) {
        fail_errno(c, c->s->tx_errno);
    }
    return false;
}

/* Reads and uses what the socket has. True when something came in. */
bool csl__conn_pump(struct csl_conn *c) {
    bool heard = false, more = true;
    if (c->busy || c->state < CSL__CONN_HANDSHAKE || c->state == CSL__CONN_CLOSED) {
        return false;
    }
    c->busy = true;
    for (int pass = 0; pass < PASSES && more && use_input(c); pass++) {
        more = receive(c, &heard);
    }
    if (heard && c->state != CSL__CONN_CLOSED) {
        (void)use_input(c); /* the socket will not tell again of what is in memory */
    }
    c->busy = false;
    if (c->s != NULL && c->state != CSL__CONN_CLOSED && c->paused && c->s->tx_errno != 0) {
        fail_errno(c, c->s->tx_errno);
    }
    return heard;
}

bool csl_conn_poll(struct csl_conn *c) {
    if (c->busy || c->s == NULL || c->state < CSL__CONN_HANDSHAKE || c->state == CSL__CONN_CLOSED) {
        return false;
    }
    bool waiting = csl_conn_queued(c) != 0;
    if (waiting) {
        csl__conn_flush(c);
    }
    bool heard = csl__conn_pump(c);
    if (waiting && c->s != NULL && c->state != CSL__CONN_CLOSED) {
        csl__conn_update_poll(c);
    }
    return heard;
}
