/* The way out of a connection: frames -> TLS -> socket. */
#include "net/conn_internal.h"

#include "crypto/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
    RECORD_BYTES = 16384,   /* plaintext of one TLS record */
    CHUNK_BYTES = 64 * 1024 /* encrypted ahead of the socket */
};

size_t csl_conn_queued(const struct csl_conn *c) {
    size_t n = 0;
    if (c->s != NULL && c->s->tls != NULL) {
        (void)csl_tls_out(c->s->tls, &n);
        n += c->s->borrowed_n;
    }
    return n;
}

/* Encrypts the next chunk of the borrowed payload. */
static bool encrypt_chunk(struct csl_conn *c, size_t max) {
    struct csl_conn_parts *s = c->s;
    size_t n = s->borrowed_n < max ? s->borrowed_n : max;
    struct csl_diag diag;
    enum csl_err err = csl_tls_write(s->tls, s->borrowed, n, &diag);
    if (err != CSL_OK) {
        csl__conn_finish(c, err, &diag);
        return false;
    }
    s->borrowed += n;
    s->borrowed_n -= n;
    if (s->borrowed_n == 0) {
        s->borrowed = NULL;
    }
    return true;
}

/* Gives the socket what it takes. */
void csl__conn_flush(struct csl_conn *c) {
    struct csl_conn_parts *s = c->s;
    while (c->state != CSL__CONN_CLOSED && s->tx_errno == 0) {
        size_t n;
        const uint8_t *out = csl_tls_out(s->tls, &n);
        if (n == 0) {
            if (s->borrowed_n == 0 || !encrypt_chunk(c, CHUNK_BYTES)) {
                break;
            }
            continue;
        }
        ssize_t r = send(s->fd, out, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r > 0) {
            csl_tls_out_consume(s->tls, (size_t)r);
            c->progress = csl__now_ms();
        } else if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            break;
        } else if (r < 0 && errno != EINTR) {
            s->tx_errno = errno; /* what the peer said before is still to be read */
            c->kick = true;
        }
    }
    if (c->state == CSL__CONN_DRAINING && !c->wr_shut && csl_conn_queued(c) == 0) {
        c->wr_shut = true;
        (void)shutdown(s->fd, SHUT_WR);
    }
}

/* Encrypts a frame's header and as much of its payload as goes into the same record. */
static enum csl_err write_head(struct csl_conn *c, const struct csl_frame_header *h, const uint8_t *payload,
                               size_t *used, struct csl_diag *diag) {
    uint8_t record[RECORD_BYTES];
    size_t room = sizeof record - CSL_FRAME_HEADER_BYTES;
    *used = h->n < room ? h->n : room;
    csl_frame_encode_header(record, h);
    if (*used != 0) {
        memcpy(record + CSL_FRAME_HEADER_BYTES, payload, *used);
    }
    enum csl_err err = csl_tls_write(c->s->tls, record, CSL_FRAME_HEADER_BYTES + *used, diag);
    csl_wipe(record, CSL_FRAME_HEADER_BYTES + *used);
    return err;
}

enum csl_err csl__conn_put_frame(struct csl_conn *c, unsigned type, uint32_t seq, const uint8_t *payload,
                                 size_t n) {
    struct csl_frame_header h = {.n = (uint32_t)n, .type = (uint8_t)type, .seq = seq};
    struct csl_diag diag;
    size_t used;
    TRY(csl_conn_settle(c));
    bool waited = csl_conn_queued(c) != 0;
    enum csl_err err = write_head(c, &h, payload, &used, &diag);
    if (err != CSL_OK) {
        csl__conn_finish(c, err, &diag);
        return err;
    }
    c->s->borrowed_n = n - used;
    c->s->borrowed = n > used ? payload + used : NULL;
    c->s->counters.frames_sent++;
    c->s->counters.bytes_sent += CSL_FRAME_HEADER_BYTES + n;
    csl__conn_flush(c);
    if (c->state == CSL__CONN_CLOSED) {
        return c->err;
    }
    if (csl_conn_queued(c) != 0 || c->kick) {
        if (!waited) {
            c->progress = csl__now_ms();
        }
        csl__conn_update_poll(c);
        csl__conn_arm(c);
    }
    return CSL_OK;
}

enum csl_err csl_conn_settle(struct csl_conn *c) {
    while (c->s != NULL && c->s->borrowed_n != 0) {
        if (c->state == CSL__CONN_CLOSED) {
            c->s->borrowed = NULL;
            c->s->borrowed_n = 0;
            return c->err;
        }
        if (!encrypt_chunk(c, CHUNK_BYTES)) {
            return c->err;
        }
    }
    return CSL_OK;
}

bool csl_conn_borrowing(const struct csl_conn *c) {
    return c->s != NULL && c->s->borrowed_n != 0;
}

enum csl_err csl_conn_send_borrowed(struct csl_conn *c, enum csl_frame_type type, uint32_t seq,
                                    const void *payload, size_t n) {
    if (c->state == CSL__CONN_CLOSED || c->state == CSL__CONN_DRAINING ||
        (c->s != NULL && c->s->tx_errno != 0)) {
        return c->err != CSL_OK ? c->err : CSL_EPEER;
    }
    if (c->state != CSL__CONN_OPEN || n > CSL_FRAME_MAX_BYTES) {
        return CSL_EUSAGE;
    }
    if (csl_conn_queued(c) - c->s->borrowed_n >= c->s->opt.max_queue_bytes) {
        return CSL_EBUSY;
    }
    return csl__conn_put_frame(c, type, seq, payload, n);
}

enum csl_err csl_conn_send(struct csl_conn *c, enum csl_frame_type type, uint32_t seq, const void *payload,
                           size_t n) {
    TRY(csl_conn_send_borrowed(c, type, seq, payload, n));
    return csl_conn_settle(c);
}

/* BYE and the TLS goodbye; on_close will get err. */
void csl__conn_bye(struct csl_conn *c, enum csl_err err) {
    c->state = CSL__CONN_DRAINING;
    c->since = csl__now_ms();
    c->err = err;
    if (c->s->tx_errno == 0 && csl_conn_settle(c) == CSL_OK) {
        struct csl_diag ignored;
        size_t used;
        struct csl_frame_header h = {.type = CSL_FRAME_BYE};
        (void)write_head(c, &h, NULL, &used, &ignored);
        csl_tls_shutdown(c->s->tls);
    }
    if (c->state != CSL__CONN_CLOSED) {
        c->paused = false;
        c->kick = true;
        csl__conn_flush(c);
        csl__conn_update_poll(c);
        csl__conn_arm(c);
    }
}
