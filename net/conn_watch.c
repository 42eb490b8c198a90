/* When a connection is looked at: events of its socket, and its deadlines. */
#include "net/conn_internal.h"

#include <stdlib.h>

/* ---- socket events ---- */

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct csl_conn *c = poll->data;
    if (c == NULL || c->s == NULL || c->state == CSL__CONN_CLOSED) {
        return;
    }
    if (status < 0) {
        c->poll_mask = 0; /* libuv has stopped it */
    }
    if (c->state == CSL__CONN_CONNECTING) {
        csl__dial_writable(c);
        return;
    }
    if (status < 0 || (events & UV_WRITABLE) != 0) {
        csl__conn_flush(c);
    }
    (void)csl__conn_pump(c);
    if (c->s != NULL && c->state != CSL__CONN_CLOSED) {
        csl__conn_update_poll(c);
        csl__conn_arm(c);
    }
}

enum csl_err csl__conn_start_poll(struct csl_conn *c, struct csl_diag *diag) {
    uv_poll_t *poll = malloc(sizeof *poll);
    if (poll == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory for a connection");
    }
    int r = uv_poll_init(c->loop, poll, c->s->fd);
    if (r < 0) {
        free(poll);
        return csl_fail(diag, CSL_EOS, "cannot watch a socket: %s", uv_strerror(r));
    }
    poll->data = c;
    c->poll = poll;
    c->poll_mask = 0;
    csl__conn_update_poll(c);
    return CSL_OK;
}

static void free_handle(uv_handle_t *handle) {
    free(handle);
}

void csl__conn_stop_poll(struct csl_conn *c) {
    if (c->poll != NULL) {
        c->poll->data = NULL;
        uv_close((uv_handle_t *)c->poll, free_handle);
        c->poll = NULL;
    }
}

void csl__conn_update_poll(struct csl_conn *c) {
    if (c->poll == NULL) {
        return;
    }
    int mask = c->state == CSL__CONN_CONNECTING || c->paused ? 0 : UV_READABLE;
    if (c->state == CSL__CONN_CONNECTING || (csl_conn_queued(c) != 0 && c->s->tx_errno == 0)) {
        mask |= UV_WRITABLE;
    }
    if (mask != c->poll_mask) {
        c->poll_mask = mask;
        (void)(mask != 0 ? uv_poll_start(c->poll, mask, on_poll) : uv_poll_stop(c->poll));
    }
}

/* ---- deadlines ---- */

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* When the timer must look again. */
static uint64_t next_deadline(const struct csl_conn *c) {
    const struct csl_conn_options *o = &c->s->opt;
    uint64_t at = CSL__NO_DEADLINE;
    switch (c->state) {
    case CSL__CONN_RESOLVING:
        return c->since + o->connect_ms;
    case CSL__CONN_CONNECTING:
        return sooner(c->since + o->connect_ms, c->attempt_ends);
    case CSL__CONN_HANDSHAKE:
        return c->since + o->handshake_ms;
    case CSL__CONN_DRAINING:
        return c->since + o->linger_ms;
    case CSL__CONN_CLOSED:
        return CSL__NO_DEADLINE;
    case CSL__CONN_OPEN:
        break;
    }
    if (o->idle_ms != 0 && !c->paused) {
        at = sooner(at, c->heard + o->idle_ms);
    }
    if (o->write_ms != 0 && csl_conn_queued(c) != 0) {
        at = sooner(at, c->progress + o->write_ms);
    }
    if (c->ping_ms != 0) {
        at = sooner(at, c->ping_at);
        at = c->paused ? at : sooner(at, c->heard + c->dead_ms);
    }
    return at;
}

static void give_up(struct csl_conn *c, const char *what, uint64_t ms) {
    struct csl_diag diag;
    csl__conn_finish(c, csl_fail(&diag, CSL_ETIMEOUT, "%s %lu ms", what, (unsigned long)ms), &diag);
}

/* The deadlines of an open conn. What the socket had has just been read. */
static void judge_open(struct csl_conn *c, uint64_t now) {
    const struct csl_conn_options *o = &c->s->opt;
    if (c->ping_ms != 0 && !c->paused && now >= c->heard + c->dead_ms) {
        give_up(c, "no answer for", now - c->heard);
    } else if (o->idle_ms != 0 && !c->paused && now >= c->heard + o->idle_ms) {
        give_up(c, "nothing heard for", now - c->heard);
    } else if (o->write_ms != 0 && csl_conn_queued(c) != 0 && now >= c->progress + o->write_ms) {
        give_up(c, "the peer has read nothing for", now - c->progress);
    } else if (c->ping_ms != 0 && now >= c->ping_at) {
        c->ping_at = now + c->ping_ms;
        if (csl_conn_queued(c) == 0) { /* else it would only queue up */
            enum csl_err err = csl_conn_probe(c);
            (void)err; /* the conn knows it, and its timer has judged before */
        }
    }
}

static void judge(struct csl_conn *c) {
    const struct csl_conn_options *o = &c->s->opt;
    uint64_t now = csl__now_ms();
    switch (c->state) {
    case CSL__CONN_RESOLVING:
        if (now >= c->since + o->connect_ms) {
            give_up(c, "the host name did not resolve within", o->connect_ms);
        }
        break;
    case CSL__CONN_CONNECTING:
        if (now >= c->attempt_ends) {
            csl__dial_next(c);
        }
        break;
    case CSL__CONN_HANDSHAKE:
        if (now >= c->since + o->handshake_ms) {
            give_up(c, "the TLS handshake was not complete after", o->handshake_ms);
        }
        break;
    case CSL__CONN_OPEN:
        judge_open(c, now);
        break;
    case CSL__CONN_DRAINING:
        if (now >= c->since + o->linger_ms) {
            csl__conn_finish(c, c->err, &c->why);
        }
        break;
    case CSL__CONN_CLOSED:
        break;
    }
}

static void on_timer(uv_timer_t *timer) {
    struct csl_conn *c = timer->data;
    c->timer_at = CSL__NO_DEADLINE;
    c->kick = false;
    if (c->s != NULL && c->state >= CSL__CONN_HANDSHAKE && c->state != CSL__CONN_CLOSED) {
        csl__conn_flush(c);
        (void)csl__conn_pump(c); /* this thread may have been away: read before judging */
    }
    if (c->s != NULL) {
        judge(c);
    }
    if (c->s != NULL && c->state != CSL__CONN_CLOSED) {
        csl__conn_update_poll(c);
        csl__conn_arm(c);
    }
}

/* Sets the timer if it would fire too late. That it may fire early costs nothing. */
void csl__conn_arm(struct csl_conn *c) {
    if (c->s == NULL || c->state == CSL__CONN_CLOSED) {
        return;
    }
    uint64_t now = csl__now_ms();
    uint64_t at = c->kick ? now : next_deadline(c);
    if (at < c->timer_at) {
        c->timer_at = at;
        uv_update_time(c->loop);
        (void)uv_timer_start(&c->timer, on_timer, at > now ? at - now : 0, 0);
    }
}
