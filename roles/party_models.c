/* An owner delivers this party's part of a model: received, checked and stored in a thread of its own. */
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "roles/party_internal.h"
#include "roles/talk.h"

enum { STORING_MAX = 2 };

struct csl_storing {
    struct csl_storing *next;
    struct csl_party *party;
    struct csl_conn_parts *parts;
    const struct csl_member *owner;
    struct csl_worker worker;
    struct csl_talk talk;
    uint8_t *manifest;
    size_t n_manifest;
    struct csl_diag diag;
};

static enum csl_err check_manifest(const struct csl_storing *s, struct csl_manifest *m,
                                   struct csl_diag *diag) {
    const struct csl_context *ctx = s->party->ctx;
    TRY(csl_manifest_decode(m, s->manifest, s->n_manifest, diag));
    if (strcmp(m->owner, s->owner->name) != 0 || !csl_roster_may_share(&ctx->roster, m->owner, m->name)) {
        return csl_fail(diag, CSL_EPERM, "the roster does not let %s share model %s", s->owner->name,
                        m->name);
    }
    return CSL_OK;
}

static enum csl_err receive_part(struct csl_storing *s, struct csl_diag *diag) {
    struct csl_party *p = s->party;
    struct csl_manifest m;
    TRY(check_manifest(s, &m, diag));
    size_t n = csl_part_bytes(&m.plan, m.n_parties, (unsigned)p->ctx->self->party);
    if (n == 0 || n > CSL_FRAME_MAX_BYTES) {
        return csl_fail(diag, CSL_EDATA, "model %s is too large to be shared in one message", m.name);
    }
    csl_talk_allow_data(&s->talk, n);
    struct csl_frame_in *f;
    TRY(csl_talk_expect_data(&s->talk, &f, 0, n, p->ctx->roster.timeouts.round_ms, diag));
    CSL_SECRET(f->payload, f->h.n);
    struct csl_package *package = NULL;
    enum csl_err err =
        csl_package_new(&package, p->ctx, s->manifest, s->n_manifest, f->payload, f->h.n, diag);
    csl_frame_in_free(f);
    TRY(err);
    err = csl_store_put(&p->store, package, diag);
    if (err == CSL_OK) {
        csl_log("model %s of %s stored, %u parties", package->name, package->owner, package->n_parties);
        CSL_CONTROL(done, body, ModelStored, MODEL_STORED, MODEL_STORED, model_stored);
        body.package_digest = csl_bytes(package->digest, sizeof package->digest);
        err = csl_talk_send(&s->talk, &done, diag);
    }
    csl_package_unref(package);
    return err;
}

static void storing_body(void *arg) {
    struct csl_storing *s = arg;
    enum csl_err err =
        csl_talk_adopt(&s->talk, &s->worker, s->parts, CSL__PB__PURPOSE__PURPOSE_SHARE_MODEL, &s->diag);
    s->parts = NULL;
    if (err == CSL_OK) {
        err = receive_part(s, &s->diag);
    }
    if (err != CSL_OK) {
        csl_log("model of %s not stored: %s", s->owner->name, s->diag.text);
        csl_talk_send_failure(&s->talk, err, s->diag.text);
    }
    csl_talk_close(&s->talk);
    csl_worker_clear(&s->worker);
}

static void storing_free(struct csl_storing *s) {
    csl_conn_parts_free(s->parts);
    csl_worker_clear(&s->worker);
    free(s->manifest);
    free(s);
}

static void storing_done(void *arg) {
    struct csl_storing *s = arg;
    struct csl_storing **at = &s->party->storing;
    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    s->party->n_storing--;
    storing_free(s);
}

/* On error the conn is the caller's still, unless it has ended. */
static enum csl_err start(struct csl_storing *s, struct csl_conn *conn, const Csl__Pb__ShareModel *m) {
    s->manifest = malloc(m->manifest.len);
    if (s->manifest == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(s->manifest, m->manifest.data, m->manifest.len);
    s->n_manifest = m->manifest.len;
    TRY(csl_worker_init(&s->worker, s->party->ctx, s->party->ctx->tls, &s->diag));
    s->parts = csl_conn_detach(conn);
    if (s->parts == NULL) {
        return CSL_EPEER;
    }
    TRY(csl_daemon_spawn(s->party->daemon, storing_body, storing_done, s));
    s->next = s->party->storing;
    s->party->storing = s;
    s->party->n_storing++;
    return CSL_OK;
}

void csl__party_share_model(struct csl_party *p, struct csl_conn *conn, const struct csl_member *owner,
                            const Csl__Pb__ShareModel *m) {
    struct csl_storing *s = p->n_storing < STORING_MAX && !p->stopping ? calloc(1, sizeof *s) : NULL;
    if (s == NULL) {
        csl_conn_refuse(conn, CSL_EBUSY, "another model is being stored; try again");
        return;
    }
    s->party = p;
    s->owner = owner;
    enum csl_err err = start(s, conn, m);
    if (err != CSL_OK) {
        csl_log("model of %s not stored: %s", owner->name, csl_err_text(err));
        if (s->parts == NULL && err != CSL_EPEER) {
            csl_conn_refuse(conn, err, "no thread or memory to store a model");
        }
        storing_free(s);
    }
}

void csl__party_stop_storing(struct csl_party *p) {
    for (struct csl_storing *s = p->storing; s != NULL; s = s->next) {
        csl_worker_interrupt(&s->worker, CSL_EPEER, "the daemon is being stopped");
    }
}
