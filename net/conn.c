/* Life of a connection: making, ending, moving, and what may be asked of it. */
#include "net/conn_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DRAIN_BYTES = 1 << 20 };

uint64_t csl__now_ms(void) {
    return uv_hrtime() / 1000000;
}

void csl_conn_options_init(struct csl_conn_options *opt) {
    *opt = (struct csl_conn_options){.connect_ms = 10000,
                                     .handshake_ms = 10000,
                                     .idle_ms = 0,
                                     .write_ms = 30000,
                                     .linger_ms = 2000,
                                     .max_queue_bytes = (size_t)16 << 20};
    csl_frame_limits_init(&opt->limits);
}

/* ---- parts ---- */

static void set_options(struct csl_conn_parts *s, const struct csl_conn_options *opt) {
    s->opt = *opt;
    s->dec.limits = opt->limits;
    s->opt.expect_name = NULL;
    if (opt->expect_name != NULL) {
        (void)snprintf(s->expect, sizeof s->expect, "%s", opt->expect_name);
        s->opt.expect_name = s->expect;
    }
}

struct csl_conn_parts *csl__parts_new(const struct csl_conn_options *opt) {
    struct csl_conn_options defaults;
    struct csl_conn_parts *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    if (opt == NULL) {
        csl_conn_options_init(&defaults);
        opt = &defaults;
    }
    s->fd = -1;
    csl_frame_decoder_init(&s->dec, &opt->limits);
    set_options(s, opt);
    return s;
}

void csl_conn_parts_free(struct csl_conn_parts *s) {
    if (s != NULL) {
        if (s->fd >= 0) {
            (void)close(s->fd);
        }
        csl_frame_decoder_clear(&s->dec);
        csl_tls_free(s->tls);
        free(s);
    }
}

const char *csl_conn_parts_peer_name(const struct csl_conn_parts *s) {
    return csl_tls_peer_name(s->tls);
}

/* ---- making and ending ---- */

struct csl_conn *csl__conn_new(uv_loop_t *loop, struct csl_conn_parts *s, const struct csl_conn_callbacks *cb,
                               void *arg) {
    struct csl_conn *c = calloc(1, sizeof *c);
    if (c == NULL || uv_timer_init(loop, &c->timer) != 0) {
        free(c);
        return NULL;
    }
    c->loop = loop;
    c->s = s;
    c->timer.data = c;
    c->timer_at = CSL__NO_DEADLINE;
    c->since = c->heard = c->progress = csl__now_ms();
    csl_conn_set_callbacks(c, cb, arg);
    return c;
}

static void on_gone(uv_handle_t *handle) {
    struct csl_conn *c = handle->data;
    if (c->s != NULL && c->cb.on_close != NULL) {
        struct csl_diag why = c->why;
        if (!c->err_is_local) {
            (void)csl_fail_context(&why, c->err, "%s", c->s->label);
        }
        c->cb.on_close(c, c->err, &why, c->arg);
    }
    csl_conn_parts_free(c->s);
    csl_tls_ctx_free(c->ctx);
    free(c);
}

/* Sends what may explain the end (an alert), and takes in what was not read: closing a socket with
 * unread bytes makes the kernel throw away what was sent. */
static void close_socket(struct csl_conn *c) {
    uint8_t scratch[4096];
    int fd = c->s->fd;
    if (fd < 0) {
        return;
    }
    if (c->s->tls != NULL) {
        size_t n;
        const uint8_t *out = csl_tls_out(c->s->tls, &n);
        if (n != 0 && c->s->tx_errno == 0) {
            (void)!send(fd, out, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        (void)shutdown(fd, SHUT_WR);
        for (size_t taken = 0; taken < DRAIN_BYTES; taken += sizeof scratch) {
            if (recv(fd, scratch, sizeof scratch, MSG_DONTWAIT) <= 0) {
                break;
            }
        }
    }
    (void)close(fd);
    c->s->fd = -1;
}

void csl__conn_finish(struct csl_conn *c, enum csl_err err, const struct csl_diag *why) {
    if (c->state == CSL__CONN_CLOSED) {
        return;
    }
    c->state = CSL__CONN_CLOSED;
    c->err = err;
    if (why != NULL && why != &c->why) {
        c->why = *why;
    }
    c->s->borrowed = NULL;
    c->s->borrowed_n = 0;
    csl__dial_cancel(c);
    csl__conn_stop_poll(c);
    close_socket(c);
    uv_close((uv_handle_t *)&c->timer, on_gone);
}

void csl_conn_close(struct csl_conn *c, enum csl_err err, const char *why) {
    struct csl_diag diag;
    if (c->s == NULL || c->state == CSL__CONN_CLOSED) {
        return;
    }
    c->err_is_local = why != NULL;
    (void)csl_fail(&diag, err, "%s", why != NULL ? why : err == CSL_OK ? "closed here" : csl_err_text(err));
    csl__conn_finish(c, err, &diag);
}

void csl_conn_shutdown(struct csl_conn *c) {
    if (c->s == NULL || c->state == CSL__CONN_DRAINING) {
        return;
    }
    if (c->state != CSL__CONN_OPEN) {
        csl_conn_close(c, CSL_OK, NULL);
        return;
    }
    (void)csl_fail(&c->why, CSL_OK, "closed here");
    csl__conn_bye(c, CSL_OK);
}

/* ---- TLS on a connected socket ---- */

enum csl_err csl__conn_start_tls(struct csl_conn *c, struct csl_tls_ctx *ctx, bool is_server,
                                 struct csl_diag *diag) {
    TRY(csl_tls_new(&c->s->tls, ctx, is_server, diag));
    c->state = CSL__CONN_HANDSHAKE;
    c->since = csl__now_ms();
    c->kick = true; /* a client speaks first */
    csl__conn_update_poll(c);
    csl__conn_arm(c);
    return CSL_OK;
}

enum csl_err csl_conn_accept(struct csl_conn **out, uv_loop_t *loop, int fd, struct csl_tls_ctx *ctx,
                             const struct csl_conn_options *opt, const struct csl_conn_callbacks *cb,
                             void *arg, struct csl_diag *diag) {
    *out = NULL;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct csl_conn_parts *s = csl__parts_new(opt);
    struct csl_conn *c = s != NULL ? csl__conn_new(loop, s, cb, arg) : NULL;
    if (c == NULL) {
        csl_conn_parts_free(s);
        (void)close(fd);
        return csl_fail(diag, CSL_ENOMEM, "out of memory for a connection");
    }
    s->fd = fd;
    csl__set_tcp_options(fd);
    if (getpeername(fd, (struct sockaddr *)&sa, &len) == 0) {
        csl__print_address(s->address, sizeof s->address, (struct sockaddr *)&sa);
    }
    (void)snprintf(s->label, sizeof s->label, "%s", s->address);
    enum csl_err err = csl__conn_start_poll(c, diag);
    if (err == CSL_OK) {
        err = csl__conn_start_tls(c, ctx, true, diag);
    }
    if (err != CSL_OK) {
        csl_conn_set_callbacks(c, NULL, NULL);
        csl_conn_close(c, err, NULL);
        return err;
    }
    *out = c;
    return CSL_OK;
}

/* ---- moving ---- */

struct csl_conn_parts *csl_conn_detach(struct csl_conn *c) {
    if (c->s == NULL || c->state != CSL__CONN_OPEN || csl_conn_settle(c) != CSL_OK ||
        (c->busy && !c->in_frame && c->s->dec.in_body) || csl_conn_undirect(c) != CSL_OK) {
        return NULL;
    }
    struct csl_conn_parts *s = c->s;
    if (c->in_frame) {
        csl_frame_next(&s->dec);
    }
    csl__conn_stop_poll(c);
    c->s = NULL;
    c->state = CSL__CONN_CLOSED;
    uv_close((uv_handle_t *)&c->timer, on_gone);
    return s;
}

enum csl_err csl_conn_attach(struct csl_conn **out, uv_loop_t *loop, struct csl_conn_parts *s,
                             const struct csl_conn_options *opt, const struct csl_conn_callbacks *cb,
                             void *arg, struct csl_diag *diag) {
    *out = NULL;
    if (opt != NULL) {
        set_options(s, opt);
    }
    struct csl_conn *c = csl__conn_new(loop, s, cb, arg);
    if (c == NULL) {
        csl_conn_parts_free(s);
        return csl_fail(diag, CSL_ENOMEM, "out of memory for a connection");
    }
    c->state = CSL__CONN_OPEN;
    enum csl_err err = csl__conn_start_poll(c, diag);
    if (err != CSL_OK) {
        csl_conn_set_callbacks(c, NULL, NULL);
        csl_conn_close(c, err, NULL);
        return err;
    }
    c->kick = true; /* bytes may wait in memory, where the socket does not tell of them */
    csl__conn_arm(c);
    *out = c;
    return CSL_OK;
}

/* ---- settings and questions ---- */

void csl_conn_set_callbacks(struct csl_conn *c, const struct csl_conn_callbacks *cb, void *arg) {
    c->cb = cb != NULL ? *cb : (struct csl_conn_callbacks){0};
    c->arg = arg;
}

void csl_conn_set_limit(struct csl_conn *c, enum csl_frame_type type, uint32_t max_bytes) {
    if (c->s != NULL && (unsigned)type < CSL_FRAME_TYPES) {
        c->s->opt.limits.max[type] = c->s->dec.limits.max[type] = max_bytes;
    }
}

void csl_conn_set_reading(struct csl_conn *c, bool on) {
    if (c->s == NULL || c->state == CSL__CONN_CLOSED || c->paused == !on) {
        return;
    }
    c->paused = !on;
    c->heard = csl__now_ms();
    c->kick = c->kick || on;
    csl__conn_update_poll(c);
    csl__conn_arm(c);
}

enum csl_err csl_conn_probe(struct csl_conn *c) {
    c->pinged_ns = uv_hrtime();
    return csl_conn_send(c, CSL_FRAME_PING, ++c->ping_seq, NULL, 0);
}

uint64_t csl_conn_rtt_ns(const struct csl_conn *c) {
    return c->rtt_ns;
}

unsigned csl_conn_rtt_answers(const struct csl_conn *c) {
    return c->rtt_answers;
}

void csl_conn_set_heartbeat(struct csl_conn *c, uint32_t interval_ms, uint32_t dead_ms) {
    if (c->s != NULL) {
        c->ping_ms = interval_ms;
        c->dead_ms = dead_ms;
        c->heard = csl__now_ms();
        c->ping_at = c->heard + interval_ms;
        csl__conn_arm(c);
    }
}

enum csl_err csl_conn_undirect(struct csl_conn *c) {
    return c->s != NULL && !c->in_frame ? csl_frame_undirect(&c->s->dec) : CSL_OK;
}

enum csl_err csl_conn_error(const struct csl_conn *c, struct csl_diag *diag) {
    if (c->state < CSL__CONN_DRAINING) {
        return CSL_OK;
    }
    enum csl_err err = c->err != CSL_OK ? c->err : CSL_EPEER;
    return csl_fail(diag, err, "%s: %s", csl_conn_label(c), c->why.text);
}

bool csl_conn_is_open(const struct csl_conn *c) {
    return c->state == CSL__CONN_OPEN;
}

const char *csl_conn_label(const struct csl_conn *c) {
    return c->s != NULL ? c->s->label : "";
}

const char *csl_conn_address(const struct csl_conn *c) {
    return c->s != NULL ? c->s->address : "";
}

const char *csl_conn_peer_name(const struct csl_conn *c) {
    return c->s != NULL && c->s->tls != NULL ? csl_tls_peer_name(c->s->tls) : "";
}

const uint8_t *csl_conn_peer_spki(const struct csl_conn *c) {
    return c->s->spki;
}

X509 *csl_conn_peer_cert(const struct csl_conn *c) {
    return c->s != NULL && c->s->tls != NULL ? csl_tls_peer_cert(c->s->tls) : NULL;
}

const struct csl_conn_counters *csl_conn_counters(const struct csl_conn *c) {
    return &c->s->counters;
}

const char *csl__conn_reason(const struct csl_conn *c) {
    return c->why.text;
}
