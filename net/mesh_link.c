#include "net/mesh_internal.h"

#include <stdlib.h>
#include <string.h>

enum { SPIN_US_DEFAULT = 100 };

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
    l->base = (struct csl_link){.ops = &csl__mesh_ops, .n_parties = opt->n_parties, .self = opt->self};
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
    csl_conn_set_callbacks(conn, &csl__mesh_callbacks, &l->peer[p]);
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
    csl__mesh_fail(l, err != CSL_OK ? err : CSL_EPEER, l->base.n_parties, &d);
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
        const struct csl__mesh_peer *p = &l->peer[i];
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
        csl__mesh_release(&l->peer[i], CSL_OK, NULL);
        free(l->peer[i].early);
    }
    uv_close((uv_handle_t *)&l->async, on_async_gone);
}
