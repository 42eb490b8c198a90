#include "net/mesh_link.h"

#include "net/conn_internal.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { SPIN_US_DEFAULT = 100, SPINS_PER_LOOP_TURN = 64, WHERE_BYTES = 32 };

struct peer {
    struct csl_mesh_link *link;
    unsigned index;
    struct csl_conn *conn; /* NULL when it is gone */
    char name[CSL_NAME_MAX + 1];
    bool set;       /* it had a conn once */
    bool got;       /* its message of the round in work is in */
    bool has_early; /* its message of the next round is in */
    uint8_t *early;
    size_t early_n;
    enum csl_err gone_err;
    struct csl_diag gone; /* why it is gone */
};

struct csl_mesh_link {
    struct csl_link base;
    struct csl_loop *loop;
    struct csl_mesh_options opt;
    struct peer peer[CSL_MAX_PARTIES];
    uint32_t round; /* in work, or done last */
    bool active;    /* an exchange is in work */
    uint8_t *const *in;
    size_t n;
    uint64_t usual_ns; /* what lately was waited in an exchange, a moving average */
    unsigned missing;
    enum csl_err err;
    struct csl_diag why;
    unsigned culprit;
    unsigned slot;
    struct csl_mesh_counters counters[CSL_MESH_SLOTS];
    uv_async_t async;
    pthread_mutex_t lock; /* the next two */
    enum csl_err interrupt_err;
    struct csl_diag interrupt_why;
    atomic_bool interrupted;
};

static const char *const wait_names[] = {
    [CSL_WAIT_BLOCK] = "block", [CSL_WAIT_SPIN] = "spin", [CSL_WAIT_AUTO] = "auto"};

const char *csl_wait_name(enum csl_wait wait) {
    return wait_names[wait];
}

bool csl_wait_parse(enum csl_wait *out, const char *text) {
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, wait_names[i]) == 0) {
            *out = (enum csl_wait)i;
            return true;
        }
    }
    return false;
}

/* ---- failing ---- */

static const char *where(const struct csl_mesh_link *l, char out[WHERE_BYTES]) {
    (void)snprintf(out, WHERE_BYTES, "%s round %u", l->active ? "in" : "after", l->round);
    return out;
}

/* Lets go of a conn, which ends by itself. reason NULL: in order, else with an ABORT. */
static void release(struct peer *p, enum csl_err err, const char *reason) {
    struct csl_conn *c = p->conn;
    if (c == NULL) {
        return;
    }
    p->conn = NULL;
    csl_conn_set_callbacks(c, NULL, NULL);
    if (csl_conn_undirect(c) != CSL_OK) {
        csl_conn_close(c, CSL_ENOMEM, NULL);
        return;
    }
    if (reason != NULL && csl_conn_is_open(c)) {
        uint8_t payload[CSL_ABORT_MAX];
        size_t n = csl_abort_encode(payload, err, reason);
        enum csl_err sent = csl_conn_send(c, CSL_FRAME_ABORT, 0, payload, n);
        (void)sent; /* best effort */
    }
    csl_conn_shutdown(c);
}

/* The first failure ends the link: buffers of the round are zeroed, everybody is told. */
static void fail(struct csl_mesh_link *l, enum csl_err err, unsigned culprit, const struct csl_diag *why) {
    if (l->err != CSL_OK) {
        return;
    }
    l->err = err;
    l->why = *why;
    l->culprit = culprit;
    for (unsigned p = 0; p < l->base.n_parties; p++) {
        release(&l->peer[p], err, why->text);
    }
}

static void fail_gone(struct csl_mesh_link *l, const struct peer *p) {
    struct csl_diag d;
    char at[WHERE_BYTES];
    if (p->gone_err == CSL_EPROTO || p->gone_err == CSL_EAUTH) {
        (void)csl_fail(&d, CSL_EPROTO, "%s broke the protocol %s: %s", p->name, where(l, at), p->gone.text);
        fail(l, p->gone_err, p->index, &d);
    } else {
        (void)csl_fail(&d, CSL_EPEER, "lost connection to %s %s (%s)", p->name, where(l, at), p->gone.text);
        fail(l, CSL_EPEER, p->index, &d);
    }
}

/* ---- what peers send ---- */

static void accept_message(struct csl_mesh_link *l, struct peer *p) {
    struct csl_conn_counters *c = &l->counters[l->slot].peer[p->index];
    c->frames_received++;
    c->bytes_received += CSL_FRAME_HEADER_BYTES + l->n;
    p->got = true;
    l->missing--;
}

static enum csl_err wrong_length(struct csl_mesh_link *l, struct peer *p, size_t n) {
    struct csl_diag d;
    (void)csl_fail(&d, CSL_EPROTO, "%s sent %zu bytes in round %u, where %zu are due", p->name, n, l->round,
                   l->n);
    fail(l, CSL_EPROTO, p->index, &d);
    return CSL_EPROTO;
}

static enum csl_err wrong_round(struct csl_mesh_link *l, struct peer *p, uint32_t seq) {
    struct csl_diag d;
    char at[WHERE_BYTES];
    bool again = seq == l->round ? p->got || !l->active : seq == l->round + 1 && p->has_early;
    (void)csl_fail(&d, CSL_EPROTO, "%s sent a %smessage of round %u %s", p->name, again ? "second " : "", seq,
                   where(l, at));
    fail(l, CSL_EPROTO, p->index, &d);
    return CSL_EPROTO;
}

static bool is_due(const struct csl_mesh_link *l, const struct peer *p, uint32_t seq) {
    return l->active && !p->got && seq == l->round;
}

static bool is_early(const struct csl_mesh_link *l, const struct peer *p, uint32_t seq) {
    return (p->got || !l->active) && !p->has_early && l->round != UINT32_MAX && seq == l->round + 1;
}

static enum csl_err on_header(struct csl_conn *conn, const struct csl_frame_header *h, uint8_t **dst,
                              struct csl_diag *diag, void *arg) {
    struct peer *p = arg;
    struct csl_mesh_link *l = p->link;
    enum csl_err err = CSL_OK;
    (void)conn;
    if (h->type != CSL_FRAME_DATA) {
        return CSL_OK;
    }
    if (is_due(l, p, h->seq)) {
        if (h->n == l->n) {
            *dst = l->in[p->index];
        } else {
            err = wrong_length(l, p, h->n);
        }
    } else if (!is_early(l, p, h->seq)) {
        err = wrong_round(l, p, h->seq);
    }
    return err != CSL_OK ? csl_fail(diag, err, "%s", l->why.text) : CSL_OK;
}

static void on_data(struct csl_mesh_link *l, struct peer *p, const struct csl_frame_header *h,
                    const uint8_t *payload) {
    if (is_due(l, p, h->seq)) {
        if (h->n != l->n) { /* it had begun before the exchange did */
            (void)wrong_length(l, p, h->n);
            return;
        }
        if (h->n != 0 && payload != l->in[p->index]) {
            memcpy(l->in[p->index], payload, h->n);
        }
        accept_message(l, p);
    } else {
        p->early = h->n != 0 ? csl_frame_take(&p->conn->s->dec) : NULL;
        p->early_n = h->n;
        p->has_early = true;
    }
}

static void on_frame(struct csl_conn *conn, const struct csl_frame_header *h, const uint8_t *payload,
                     void *arg) {
    struct peer *p = arg;
    struct csl_mesh_link *l = p->link;
    (void)conn;
    if (h->type == CSL_FRAME_ABORT) {
        struct csl_diag reason, d;
        char at[WHERE_BYTES];
        (void)csl_abort_decode(&reason, payload, h->n);
        (void)csl_fail(&d, CSL_EPEER, "%s aborted %s: %.350s", p->name, where(l, at), reason.text);
        fail(l, CSL_EPEER, p->index, &d);
    } else if (h->type == CSL_FRAME_DATA) {
        on_data(l, p, h, payload);
    }
}

/* A peer that is done may leave while others still wait for a third: it matters when it is missed. */
static void note_gone(struct peer *p, enum csl_err err, const char *reason) {
    struct csl_mesh_link *l = p->link;
    p->conn = NULL;
    p->gone_err = err;
    (void)csl_fail(&p->gone, err, "%s", reason);
    if (l->active && !p->got) {
        fail_gone(l, p);
    }
}

static void on_close(struct csl_conn *conn, enum csl_err err, const struct csl_diag *why, void *arg) {
    (void)why;
    note_gone(arg, err, csl__conn_reason(conn));
}

static const struct csl_conn_callbacks callbacks = {
    .on_header = on_header, .on_frame = on_frame, .on_close = on_close};

/* ---- the exchange ---- */

/* Takes over an interrupt from another thread. */
static void take_interrupt(struct csl_mesh_link *l) {
    struct csl_diag d;
    char at[WHERE_BYTES];
    if (!atomic_load(&l->interrupted) || l->err != CSL_OK) {
        return;
    }
    (void)pthread_mutex_lock(&l->lock);
    enum csl_err err = l->interrupt_err;
    (void)csl_fail(&d, err, "%.440s (%s)", l->interrupt_why.text, where(l, at));
    (void)pthread_mutex_unlock(&l->lock);
    fail(l, err, l->base.n_parties, &d);
}

/* Not all of our message has gone out to p. */
static bool is_unsent(const struct peer *p) {
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
        struct peer *p = &l->peer[i];
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
        const struct peer *p = &l->peer[i];
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
        struct peer *p = &l->peer[i];
        if (i != l->base.self && (l->missing != 0 ? !p->got : is_unsent(p))) {
            first = first == l->base.n_parties ? i : first;
            int n = snprintf(names + used, sizeof names - used, "%s%s", used != 0 ? ", " : "", p->name);
            used = n > 0 && (size_t)n < sizeof names - used ? used + (size_t)n : used;
        }
    }
    (void)csl_fail(&d, CSL_ETIMEOUT, "%s %s in round %u for %u ms",
                   l->missing != 0 ? "no message from" : "our message was not read by", names, l->round,
                   l->opt.round_ms);
    fail(l, CSL_ETIMEOUT, first, &d);
}

static void send_all(struct csl_mesh_link *l, const uint8_t *out) {
    unsigned n_parties = l->base.n_parties;
    for (unsigned k = 1; k < n_parties && l->err == CSL_OK; k++) {
        struct peer *p = &l->peer[(l->base.self + k) % n_parties];
        struct csl_conn_counters *c = &l->counters[l->slot].peer[p->index];
        if (p->conn == NULL) {
            fail_gone(l, p);
            return;
        }
        enum csl_err err = csl_conn_send_borrowed(p->conn, CSL_FRAME_DATA, l->round, out, l->n);
        if (err != CSL_OK && err != CSL_EPEER) { /* a lost peer tells why by on_close or an ABORT */
            struct csl_diag d;
            (void)csl_fail(&d, err, "cannot send to %s in round %u: %s", p->name, l->round,
                           csl_err_text(err));
            fail(l, err, p->index, &d);
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
        fail(l, err, l->base.n_parties, &d);
    }
}

/* What came before we asked. */
static void take_early(struct csl_mesh_link *l) {
    for (unsigned i = 0; i < l->base.n_parties; i++) {
        struct peer *p = &l->peer[i];
        if (!p->has_early) {
            continue;
        }
        if (p->early_n != l->n) {
            (void)wrong_length(l, p, p->early_n);
            return;
        }
        if (l->n != 0) {
            memcpy(l->in[i], p->early, l->n);
        }
        free(p->early);
        p->early = NULL;
        p->has_early = false;
        accept_message(l, p);
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
        struct peer *p = &l->peer[i];
        if (l->err == CSL_OK && p->conn != NULL && csl_conn_settle(p->conn) != CSL_OK) {
            note_gone(p, CSL_EPEER, "sending failed");
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

static const struct csl_link_ops ops = {.exchange = exchange};

/* ---- making ---- */

static void on_interrupt(uv_async_t *async) {
    (void)async; /* it wakes the loop; the exchange looks at the flag */
}

enum csl_err csl_mesh_link_new(struct csl_mesh_link **out, struct csl_loop *loop,
                               const struct csl_mesh_options *opt, struct csl_diag *diag) {
    *out = NULL;
    if (opt->n_parties < 2 || opt->n_parties > CSL_MAX_PARTIES || opt->self >= opt->n_parties ||
        opt->max_message_bytes > CSL_FRAME_MAX_BYTES) {
        return csl_fail(diag, CSL_EUSAGE, "a mesh of %u parties with messages of %u bytes", opt->n_parties,
                        opt->max_message_bytes);
    }
    struct csl_mesh_link *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory for a mesh");
    }
    if (pthread_mutex_init(&l->lock, NULL) != 0 || uv_async_init(&loop->uv, &l->async, on_interrupt) < 0) {
        free(l);
        return csl_fail(diag, CSL_EOS, "cannot set up a mesh: out of descriptors or memory");
    }
    l->async.data = l;
    uv_unref((uv_handle_t *)&l->async); /* does not keep the loop running */
    l->base = (struct csl_link){.ops = &ops, .n_parties = opt->n_parties, .self = opt->self};
    l->loop = loop;
    l->opt = *opt;
    l->opt.spin_us = opt->spin_us != 0 ? opt->spin_us : SPIN_US_DEFAULT;
    l->culprit = opt->n_parties;
    for (unsigned i = 0; i < opt->n_parties; i++) {
        l->peer[i].link = l;
        l->peer[i].index = i;
        (void)snprintf(l->peer[i].name, sizeof l->peer[i].name, "%s",
                       opt->names[i] != NULL ? opt->names[i] : "?");
        l->opt.names[i] = l->peer[i].name;
    }
    *out = l;
    return CSL_OK;
}

static enum csl_err check_peer(const struct csl_mesh_link *l, unsigned p, const char *name,
                               struct csl_diag *diag) {
    if (p >= l->base.n_parties || p == l->base.self || l->peer[p].set) {
        return csl_fail(diag, CSL_EUSAGE, "party %u has its connection already or is none of this mesh", p);
    }
    if (strcmp(name, l->peer[p].name) != 0) {
        return csl_fail(diag, CSL_EAUTH, "a connection with %s was given for %s", name, l->peer[p].name);
    }
    return CSL_OK;
}

enum csl_err csl_mesh_link_set_peer(struct csl_mesh_link *l, unsigned p, struct csl_conn *conn,
                                    struct csl_diag *diag) {
    TRY(csl_conn_error(conn, diag));
    TRY(check_peer(l, p, csl_conn_peer_name(conn), diag));
    for (unsigned t = 0; t < CSL_FRAME_TYPES; t++) {
        bool keep = t == CSL_FRAME_PING || t == CSL_FRAME_PONG || t == CSL_FRAME_BYE || t == CSL_FRAME_ABORT;
        if (!keep) {
            csl_conn_set_limit(conn, (enum csl_frame_type)t, CSL_FRAME_FORBIDDEN);
        }
    }
    csl_conn_set_limit(conn, CSL_FRAME_DATA, l->opt.max_message_bytes);
    /* What is left of a round's message waits behind the next: two of them, never more. */
    conn->s->opt.max_queue_bytes += 2 * (size_t)l->opt.max_message_bytes;
    csl_conn_set_callbacks(conn, &callbacks, &l->peer[p]);
    l->peer[p].conn = conn;
    l->peer[p].set = true;
    return CSL_OK;
}

enum csl_err csl_mesh_link_attach(struct csl_mesh_link *l, unsigned p, struct csl_conn_parts *parts,
                                  struct csl_diag *diag) {
    struct csl_conn *conn;
    enum csl_err err = check_peer(l, p, csl_conn_parts_peer_name(parts), diag);
    if (err != CSL_OK) {
        csl_conn_parts_free(parts);
        return err;
    }
    TRY(csl_conn_attach(&conn, &l->loop->uv, parts, NULL, NULL, NULL, diag));
    return csl_mesh_link_set_peer(l, p, conn, diag);
}

struct csl_link *csl_mesh_link_base(struct csl_mesh_link *l) {
    return &l->base;
}

void csl_mesh_link_interrupt(struct csl_mesh_link *l, enum csl_err err, const char *reason) {
    (void)pthread_mutex_lock(&l->lock);
    if (!atomic_load(&l->interrupted)) {
        l->interrupt_err = err != CSL_OK ? err : CSL_EPEER;
        (void)csl_fail(&l->interrupt_why, err, "%s", reason);
        atomic_store(&l->interrupted, true);
    }
    (void)uv_async_send(&l->async);
    (void)pthread_mutex_unlock(&l->lock);
}

void csl_mesh_link_abort(struct csl_mesh_link *l, enum csl_err err, const char *reason) {
    struct csl_diag d;
    (void)csl_fail(&d, err, "%s", reason);
    fail(l, err != CSL_OK ? err : CSL_EPEER, l->base.n_parties, &d);
}

enum csl_err csl_mesh_link_probe(struct csl_mesh_link *l, unsigned p) {
    struct csl_conn *conn = p < l->base.n_parties ? l->peer[p].conn : NULL;
    return conn != NULL ? csl_conn_probe(conn) : CSL_EPEER;
}

uint64_t csl_mesh_link_rtt_ns(const struct csl_mesh_link *l, unsigned p, unsigned *answers) {
    const struct csl_conn *conn = p < l->base.n_parties ? l->peer[p].conn : NULL;
    *answers = conn != NULL ? csl_conn_rtt_answers(conn) : 0;
    return conn != NULL ? csl_conn_rtt_ns(conn) : 0;
}

bool csl_mesh_link_pending(const struct csl_mesh_link *l) {
    bool pending = false;
    for (unsigned i = 0; i < l->base.n_parties; i++) {
        const struct peer *p = &l->peer[i];
        pending = pending || p->has_early || (p->set && p->conn == NULL);
    }
    return pending;
}

enum csl_err csl_mesh_link_error(const struct csl_mesh_link *l, struct csl_diag *diag) {
    return l->err != CSL_OK ? csl_fail(diag, l->err, "%s", l->why.text) : CSL_OK;
}

unsigned csl_mesh_link_culprit(const struct csl_mesh_link *l) {
    return l->culprit;
}

void csl_mesh_link_set_slot(struct csl_mesh_link *l, unsigned slot) {
    l->slot = slot < CSL_MESH_SLOTS ? slot : l->slot;
}

const struct csl_mesh_counters *csl_mesh_link_counters(const struct csl_mesh_link *l, unsigned slot) {
    return &l->counters[slot < CSL_MESH_SLOTS ? slot : 0];
}

void csl_mesh_link_set_round_ms(struct csl_mesh_link *l, uint32_t round_ms) {
    l->opt.round_ms = round_ms;
}

void csl_mesh_link_set_wait(struct csl_mesh_link *l, enum csl_wait wait) {
    l->opt.wait = wait;
}

static void on_async_gone(uv_handle_t *handle) {
    struct csl_mesh_link *l = handle->data;
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
}

void csl_mesh_link_free(struct csl_mesh_link *l) {
    if (l == NULL) {
        return;
    }
    for (unsigned i = 0; i < l->base.n_parties; i++) {
        release(&l->peer[i], CSL_OK, NULL);
        free(l->peer[i].early);
    }
    uv_close((uv_handle_t *)&l->async, on_async_gone);
}
