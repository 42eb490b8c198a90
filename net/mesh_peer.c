/* What the peers of a mesh send, and how it fails. */
#include "net/mesh_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- failing ---- */

const char *csl__mesh_where(const struct csl_mesh_link *l, char out[CSL__MESH_WHERE_BYTES]) {
    (void)snprintf(out, CSL__MESH_WHERE_BYTES, "%s round %u", l->active ? "in" : "after", l->round);
    return out;
}

void csl__mesh_release(struct csl__mesh_peer *p, enum csl_err err, const char *reason) {
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

void csl__mesh_fail(struct csl_mesh_link *l, enum csl_err err, unsigned culprit, const struct csl_diag *why) {
    if (l->err != CSL_OK) {
        return;
    }
    l->err = err;
    l->why = *why;
    l->culprit = culprit;
    for (unsigned p = 0; p < l->base.n_parties; p++) {
        csl__mesh_release(&l->peer[p], err, why->text);
    }
}

void csl__mesh_fail_gone(struct csl_mesh_link *l, const struct csl__mesh_peer *p) {
    struct csl_diag d;
    char at[CSL__MESH_WHERE_BYTES];
    if (p->gone_err == CSL_EPROTO || p->gone_err == CSL_EAUTH) {
        (void)csl_fail(&d, CSL_EPROTO, "%s broke the protocol %s: %s", p->name, csl__mesh_where(l, at),
                       p->gone.text);
        csl__mesh_fail(l, p->gone_err, p->index, &d);
    } else {
        (void)csl_fail(&d, CSL_EPEER, "lost connection to %s %s (%s)", p->name, csl__mesh_where(l, at),
                       p->gone.text);
        csl__mesh_fail(l, CSL_EPEER, p->index, &d);
    }
}

/* ---- what peers send ---- */

void csl__mesh_accept(struct csl_mesh_link *l, struct csl__mesh_peer *p) {
    struct csl_conn_counters *c = &l->counters[l->slot].peer[p->index];
    c->frames_received++;
    c->bytes_received += CSL_FRAME_HEADER_BYTES + l->n;
    p->got = true;
    l->missing--;
}

enum csl_err csl__mesh_wrong_length(struct csl_mesh_link *l, struct csl__mesh_peer *p, size_t n) {
    struct csl_diag d;
    (void)csl_fail(&d, CSL_EPROTO, "%s sent %zu bytes in round %u, where %zu are due", p->name, n, l->round,
                   l->n);
    csl__mesh_fail(l, CSL_EPROTO, p->index, &d);
    return CSL_EPROTO;
}

static enum csl_err wrong_round(struct csl_mesh_link *l, struct csl__mesh_peer *p, uint32_t seq) {
    struct csl_diag d;
    char at[CSL__MESH_WHERE_BYTES];
    bool again = seq == l->round ? p->got || !l->active : seq == l->round + 1 && p->has_early;
    (void)csl_fail(&d, CSL_EPROTO, "%s sent a %smessage of round %u %s", p->name, again ? "second " : "", seq,
                   csl__mesh_where(l, at));
    csl__mesh_fail(l, CSL_EPROTO, p->index, &d);
    return CSL_EPROTO;
}

static bool is_due(const struct csl_mesh_link *l, const struct csl__mesh_peer *p, uint32_t seq) {
    return l->active && !p->got && seq == l->round;
}

static bool is_early(const struct csl_mesh_link *l, const struct csl__mesh_peer *p, uint32_t seq) {
    return (p->got || !l->active) && !p->has_early && l->round != UINT32_MAX && seq == l->round + 1;
}

static enum csl_err on_header(struct csl_conn *conn, const struct csl_frame_header *h, uint8_t **dst,
                              struct csl_diag *diag, void *arg) {
    struct csl__mesh_peer *p = arg;
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
            err = csl__mesh_wrong_length(l, p, h->n);
        }
    } else if (!is_early(l, p, h->seq)) {
        err = wrong_round(l, p, h->seq);
    }
    return err != CSL_OK ? csl_fail(diag, err, "%s", l->why.text) : CSL_OK;
}

static void on_data(struct csl_mesh_link *l, struct csl__mesh_peer *p, const struct csl_frame_header *h,
                    const uint8_t *payload) {
    if (is_due(l, p, h->seq)) {
        if (h->n != l->n) { /* it had begun before the exchange did */
            (void)csl__mesh_wrong_length(l, p, h->n);
            return;
        }
        if (h->n != 0 && payload != l->in[p->index]) {
            memcpy(l->in[p->index], payload, h->n);
        }
        csl__mesh_accept(l, p);
    } else {
        p->early = h->n != 0 ? csl_frame_take(&p->conn->s->dec) : NULL;
        p->early_n = h->n;
        p->has_early = true;
    }
}

static void on_frame(struct csl_conn *conn, const struct csl_frame_header *h, const uint8_t *payload,
                     void *arg) {
    struct csl__mesh_peer *p = arg;
    struct csl_mesh_link *l = p->link;
    (void)conn;
    if (h->type == CSL_FRAME_ABORT) {
        struct csl_diag reason, d;
        char at[CSL__MESH_WHERE_BYTES];
        (void)csl_abort_decode(&reason, payload, h->n);
        (void)csl_fail(&d, CSL_EPEER, "%s aborted %s: %.350s", p->name, csl__mesh_where(l, at), reason.text);
        csl__mesh_fail(l, CSL_EPEER, p->index, &d);
    } else if (h->type == CSL_FRAME_DATA) {
        on_data(l, p, h, payload);
    }
}

void csl__mesh_note_gone(struct csl__mesh_peer *p, enum csl_err err, const char *reason) {
    struct csl_mesh_link *l = p->link;
    p->conn = NULL;
    p->gone_err = err;
    (void)csl_fail(&p->gone, err, "%s", reason);
    if (l->active && !p->got) {
        csl__mesh_fail_gone(l, p);
    }
}

static void on_close(struct csl_conn *conn, enum csl_err err, const struct csl_diag *why, void *arg) {
    (void)why;
    csl__mesh_note_gone(arg, err, csl__conn_reason(conn));
}

const struct csl_conn_callbacks csl__mesh_callbacks = {
    .on_header = on_header, .on_frame = on_frame, .on_close = on_close};
