/* The rounds of a mesh: one message to and from every peer. */
#include "net/mesh_internal.h"

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { SPINS_PER_LOOP_TURN = 64 };

/* Takes over an interrupt from another thread. */
static void take_interrupt(struct csl_mesh_link *l) {
    struct csl_diag d;
    char at[CSL__MESH_WHERE_BYTES];
    if (!atomic_load(&l->interrupted) || l->err != CSL_OK) {
        return;
    }
    (void)pthread_mutex_lock(&l->lock);
    enum csl_err err = l->interrupt_err;
    (void)csl_fail(&d, err, "%.440s (%s)", l->interrupt_why.text, csl__mesh_where(l, at));
    (void)pthread_mutex_unlock(&l->lock);
    csl__mesh_fail(l, err, l->base.n_parties, &d);
}

/* Not all of our message has gone out to p. */
static bool is_unsent(const struct csl__mesh_peer *p) {
    return p->conn != NULL && csl_conn_queued(p->conn) != 0;
}

/* Every message is in and ours is out. Waiting for the latter costs nobody anything (a peer whose message is
 * in reads ours now), and keeps a lane from going off to compute with half a message in its hands. */
static bool is_complete(const struct csl_mesh_link *l) {
    bool complete = l->missing == 0;
    for (unsigned i = 0; complete && i < l->base.n_parties; i++) {
        complete = !is_unsent(&l->peer[i]);
    }
    return complete;
}

static bool is_done(void *arg) {
    const struct csl_mesh_link *l = arg;
    return l->err != CSL_OK || atomic_load_explicit(&l->interrupted, memory_order_relaxed) || is_complete(l);
}

static void poll_peers(struct csl_mesh_link *l) {
    for (unsigned i = 0; i < l->base.n_parties; i++) {
        struct csl__mesh_peer *p = &l->peer[i];
        if (p->conn != NULL && (!p->got || is_unsent(p))) {
            (void)csl_conn_poll(p->conn);
        }
    }
}

/* A wait that counts for more would keep a link from polling again for long after it. */
static void note_wait(struct csl_mesh_link *l, uint64_t ns) {
    uint64_t most = 4 * (uint64_t)l->opt.spin_us * 1000;
    l->usual_ns = (3 * l->usual_ns + (ns < most ? ns : most)) / 4;
}

/* Polling pays where the message comes before a sleep and a wake-up would have passed. */
static bool polls(const struct csl_mesh_link *l) {
    return l->opt.wait == CSL_WAIT_SPIN ||
           (l->opt.wait == CSL_WAIT_AUTO && l->usual_ns < (uint64_t)l->opt.spin_us * 1000);
}

/* Asks all sockets at once; true when one of them has something. Unlike recv() it takes no socket's lock,
 * which the kernel needs just then to deliver what the peer sends. */
static bool ask_sockets(struct csl_mesh_link *l) {
    struct pollfd f[CSL_MAX_PARTIES];
    nfds_t n = 0;
    for (unsigned i = 0; i < l->base.n_parties; i++) {
        const struct csl__mesh_peer *p = &l->peer[i];
        if (p->conn != NULL && (!p->got || is_unsent(p))) {
            short events = (short)((p->got ? 0 : POLLIN) | (is_unsent(p) ? POLLOUT : 0));
            f[n++] = (struct pollfd){.fd = p->conn->s->fd, .events = events};
        }
    }
    return poll(f, n, 0) > 0;
}

/* Looks at the sockets for a while before it sleeps. sched_yield, since with more lanes than cores a spinning
 * one would keep its peer from running until the scheduler's tick. */
static void spin(struct csl_mesh_link *l) {
    uint64_t end = uv_hrtime() + (uint64_t)l->opt.spin_us * 1000;
    for (unsigned i = 1; !is_done(l) && uv_hrtime() < end; i++) {
        if (ask_sockets(l)) {
            poll_peers(l);
        } else if (i % SPINS_PER_LOOP_TURN == 0) {
            (void)uv_run(&l->loop->uv, UV_RUN_NOWAIT);
        } else {
            (void)sched_yield();
        }
    }
}

static void late(struct csl_mesh_link *l) {
    struct csl_diag d;
    char names[256] = "";
    size_t used = 0;
    unsigned first = l->base.n_parties;
    for (unsigned i = 0; i < l->base.n_parties; i++) {
        struct csl__mesh_peer *p = &l->peer[i];
        if (i != l->base.self && (l->missing != 0 ? !p->got : is_unsent(p))) {
            first = first == l->base.n_parties ? i : first;
            int n = snprintf(names + used, sizeof names - used, "%s%s", used != 0 ? ", " : "", p->name);
            used = n > 0 && (size_t)n < sizeof names - used ? used + (size_t)n : used;
        }
    }
    (void)csl_fail(&d, CSL_ETIMEOUT, "%s %s in round %u for %u ms",
                   l->missing != 0 ? "no message from" : "our message was not read by", names, l->round,
                   l->opt.round_ms);
    csl__mesh_fail(l, CSL_ETIMEOUT, first, &d);
}

static void send_all(struct csl_mesh_link *l, const uint8_t *out) {
    unsigned n_parties = l->base.n_parties;
    for (unsigned k = 1; k < n_parties && l->err == CSL_OK; k++) {
        struct csl__mesh_peer *p = &l->peer[(l->base.self + k) % n_parties];
        struct csl_conn_counters *c = &l->counters[l->slot].peer[p->index];
        if (p->conn == NULL) {
            csl__mesh_fail_gone(l, p);
            return;
        }
        enum csl_err err = csl_conn_send_borrowed(p->conn, CSL_FRAME_DATA, l->round, out, l->n);
        if (err != CSL_OK && err != CSL_EPEER) { /* a lost peer tells why by on_close or an ABORT */
            struct csl_diag d;
            (void)csl_fail(&d, err, "cannot send to %s in round %u: %s", p->name, l->round,
                           csl_err_text(err));
            csl__mesh_fail(l, err, p->index, &d);
            return;
        }
        c->frames_sent++;
        c->bytes_sent += CSL_FRAME_HEADER_BYTES + l->n;
    }
}

/* While our message travels. */
static void do_meanwhile(struct csl_mesh_link *l) {
    struct csl_diag d = {""};
    enum csl_err err =
        l->err == CSL_OK && l->base.meanwhile != NULL ? l->base.meanwhile(l->base.meanwhile_arg, &d) : CSL_OK;
    if (err != CSL_OK) {
        csl__mesh_fail(l, err, l->base.n_parties, &d);
    }
}

/* What came before we asked. */
static void take_early(struct csl_mesh_link *l) {
    for (unsigned i = 0; i < l->base.n_parties; i++) {
        struct csl__mesh_peer *p = &l->peer[i];
        if (!p->has_early) {
            continue;
        }
        if (p->early_n != l->n) {
            (void)csl__mesh_wrong_length(l, p, p->early_n);
            return;
        }
        if (l->n != 0) {
            memcpy(l->in[i], p->early, l->n);
        }
        free(p->early);
        p->early = NULL;
        p->has_early = false;
        csl__mesh_accept(l, p);
    }
}

static void begin(struct csl_mesh_link *l, uint8_t *const *in, uint32_t round, size_t n) {
    l->round = round;
    l->in = in;
    l->n = n;
    l->active = true;
    l->missing = l->base.n_parties - 1;
    l->counters[l->slot].rounds++;
    for (unsigned i = 0; i < l->base.n_parties; i++) {
        l->peer[i].got = false;
    }
}

/* No buffer of the caller's is used after this. */
static enum csl_err end(struct csl_mesh_link *l, struct csl_diag *diag) {
    for (unsigned i = 0; i < l->base.n_parties; i++) {
        struct csl__mesh_peer *p = &l->peer[i];
        if (l->err == CSL_OK && p->conn != NULL && csl_conn_settle(p->conn) != CSL_OK) {
            csl__mesh_note_gone(p, CSL_EPEER, "sending failed");
        }
    }
    if (l->err != CSL_OK) {
        for (unsigned i = 0; i < l->base.n_parties && l->n != 0; i++) {
            if (i != l->base.self) {
                memset(l->in[i], 0, l->n);
            }
        }
    }
    l->active = false;
    l->in = NULL;
    return l->err != CSL_OK ? csl_fail(diag, l->err, "%s", l->why.text) : CSL_OK;
}

static enum csl_err check_call(struct csl_mesh_link *l, uint32_t round, size_t n, struct csl_diag *diag) {
    take_interrupt(l);
    if (l->err != CSL_OK) {
        return csl_fail(diag, l->err, "%s", l->why.text);
    }
    if (round != l->round + 1 || round == 0) {
        return csl_fail(diag, CSL_EUSAGE, "round %u was asked for after round %u", round, l->round);
    }
    if (n > l->opt.max_message_bytes) {
        return csl_fail(diag, CSL_EUSAGE, "a message of %zu bytes in round %u; at most %u are agreed", n,
                        round, l->opt.max_message_bytes);
    }
    for (unsigned i = 0; i < l->base.n_parties; i++) {
        if (i != l->base.self && !l->peer[i].set) {
            return csl_fail(diag, CSL_EUSAGE, "no connection to %s was given to the mesh", l->peer[i].name);
        }
    }
    return CSL_OK;
}

static enum csl_err exchange(struct csl_link *base, uint8_t *const in[CSL_MAX_PARTIES], uint32_t round,
                             const uint8_t *out, size_t n, struct csl_diag *diag) {
    struct csl_mesh_link *l = (struct csl_mesh_link *)base;
    TRY(check_call(l, round, n, diag));
    begin(l, in, round, n);
    take_early(l);
    if (l->err == CSL_OK) {
        send_all(l, out);
    }
    do_meanwhile(l);
    uint64_t sent_ns = uv_hrtime();
    if (!is_done(l)) {
        poll_peers(l);
    }
    if (polls(l)) {
        spin(l);
    }
    enum csl_err waited = csl_loop_run_until(l->loop, is_done, l, l->opt.round_ms);
    note_wait(l, uv_hrtime() - sent_ns);
    take_interrupt(l);
    if (waited != CSL_OK && l->err == CSL_OK) {
        late(l);
    }
    return end(l, diag);
}

const struct csl_link_ops csl__mesh_ops = {.exchange = exchange};
