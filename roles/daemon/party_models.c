/* An owner delivers this party's part of a model: received, checked and stored in a thread of its own. And
 * models that come as files. */
#include <stdlib.h>
#include <string.h>

#include "crypto/envelope.h"
#include "roles/daemon/party_internal.h"
#include "roles/daemon/witness.h"
#include "roles/talk.h"

enum { STORING_MAX = 2 };

/* The owner's checkpoint, which comes with a model, and what is answered to it. */
struct witnessing {
    char *note;
    uint64_t old_size;
    uint8_t nodes[CSL_MERKLE_PROOF_MAX][CSL_MERKLE_BYTES];
    size_t n_proof;
    struct csl_witness_verdict verdict;
};

struct csl_storing {
    struct csl_storing *next;
    struct csl_party *party;
    struct csl_conn_parts *parts;
    const struct csl_member *owner;
    struct csl_worker worker;
    struct csl_talk talk;
    uint8_t *manifest;
    size_t n_manifest;
    uint8_t signature[CSL_SIGNATURE_BYTES];
    size_t n_signature;
    struct witnessing witness;
    struct csl_diag diag;
};

/* ---- The owner's ledger ---- */

static enum csl_err keep_checkpoint(struct witnessing *w, const Csl__Pb__ShareModel *m) {
    w->old_size = m->old_size;
    for (; w->n_proof < m->n_proof && w->n_proof < CSL_MERKLE_PROOF_MAX; w->n_proof++) {
        if (m->proof[w->n_proof].len != CSL_MERKLE_BYTES) {
            return CSL_EPROTO;
        }
        memcpy(w->nodes[w->n_proof], m->proof[w->n_proof].data, CSL_MERKLE_BYTES);
    }
    w->note = strdup(m->checkpoint);
    return w->note == NULL ? CSL_ENOMEM : CSL_OK;
}

/* An owner whose ledger does not continue the one that we know does not share. One that is behind (it may
 * have lost our answer) gets back what we cosigned last. */
static enum csl_err witness(struct csl_storing *s, struct csl_diag *diag) {
    const struct csl_context *ctx = s->party->ctx;
    struct witnessing *w = &s->witness;
    ProtobufCBinaryData proof[CSL_MERKLE_PROOF_MAX];
    if (w->note[0] == '\0') {
        return CSL_OK;
    }
    for (size_t i = 0; i < w->n_proof; i++) {
        proof[i] = csl_bytes(w->nodes[i], CSL_MERKLE_BYTES);
    }
    TRY(csl_witness_judge(&w->verdict, ctx, s->owner, w->note, w->old_size, proof, w->n_proof, true, diag));
    if (w->verdict.kind == CSL_WITNESS_REFUSED) {
        return csl_fail(diag, CSL_EAUTH, "the ledger of %s: %s", s->owner->name, w->verdict.reason.text);
    }
    return w->verdict.kind == CSL_WITNESSED
               ? CSL_OK
               : csl_ledger_seen(ctx->logbook->ledger, &w->verdict.note, s->owner->name, diag);
}

/* ---- The part ---- */

/* Who delivers is who owns: before anything large is received. */
static enum csl_err check_manifest(const struct csl_storing *s, struct csl_manifest *m,
                                   struct csl_diag *diag) {
    const struct csl_context *ctx = s->party->ctx;
    TRY(csl_manifest_decode(m, s->manifest, s->n_manifest, diag));
    if (strcmp(m->owner, s->owner->name) != 0) {
        return csl_fail(diag, CSL_EPERM, "the roster does not let %s share model %s", s->owner->name,
                        m->name);
    }
    return csl_manifest_verify(m, s->manifest, s->n_manifest, s->signature, s->n_signature, &ctx->roster,
                               diag);
}

static enum csl_err sealed_bytes(size_t *n, const struct csl_context *ctx, const struct csl_manifest *m,
                                 struct csl_diag *diag) {
    size_t part = csl_part_bytes(&m->plan, m->n_parties, (unsigned)ctx->self->party);
    enum csl_err err = part == 0 ? CSL_EDATA : csl_envelope_size(n, part, ctx->site.wrap_key, diag);
    if (err != CSL_OK || *n > CSL_FRAME_MAX_BYTES) {
        return csl_fail(diag, CSL_EDATA, "model %s is too large to be shared in one message", m->name);
    }
    return CSL_OK;
}

static enum csl_err receive_part(struct csl_storing *s, struct csl_package **package, struct csl_diag *diag) {
    struct csl_party *p = s->party;
    struct csl_manifest m;
    size_t n = 0;
    TRY(check_manifest(s, &m, diag));
    TRY(sealed_bytes(&n, p->ctx, &m, diag));
    csl_talk_allow_data(&s->talk, n);
    struct csl_frame_in *f;
    TRY(csl_talk_expect_data(&s->talk, &f, 0, n, p->ctx->roster.timeouts.round_ms, diag));
    Csl__Pb__ModelPackage file = CSL__PB__MODEL_PACKAGE__INIT;
    file.manifest = csl_bytes(s->manifest, s->n_manifest);
    file.signature = csl_bytes(s->signature, s->n_signature);
    file.party = (uint32_t)p->ctx->self->party;
    file.sealed = csl_bytes(f->payload, f->h.n);
    enum csl_err err = csl_store_put(&p->store, package, &file, diag);
    csl_frame_in_free(f);
    return err;
}

static enum csl_err store_part(struct csl_storing *s, struct csl_diag *diag) {
    struct csl_package *package = NULL;
    TRY(witness(s, diag));
    TRY(receive_part(s, &package, diag));
    csl_log("model %s of %s stored, %u parties", package->name, package->owner, package->n_parties);
    CSL_CONTROL(done, body, ModelStored, MODEL_STORED, MODEL_STORED, model_stored);
    body.package_digest = csl_bytes(package->digest, sizeof package->digest);
    body.checkpoint = s->witness.verdict.note.text;
    enum csl_err err = csl_talk_send(&s->talk, &done, diag);
    csl_package_unref(package);
    return err;
}

static void storing_body(void *arg) {
    struct csl_storing *s = arg;
    enum csl_err err =
        csl_talk_adopt(&s->talk, &s->worker, s->parts, CSL__PB__PURPOSE__PURPOSE_SHARE_MODEL, &s->diag);
    s->parts = NULL;
    if (err == CSL_OK) {
        err = store_part(s, &s->diag);
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
    free(s->witness.note);
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
    s->n_signature = m->signature.len < sizeof s->signature ? m->signature.len : sizeof s->signature;
    memcpy(s->signature, m->signature.data, s->n_signature);
    TRY(keep_checkpoint(&s->witness, m));
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

/* ---- Files that model install put beside us ---- */

static void refresh_body(void *arg) {
    csl_store_refresh(&((struct csl_party *)arg)->store);
}

static void refresh_done(void *arg) {
    ((struct csl_party *)arg)->refreshing = false;
}

void csl__party_look_for_models(struct csl_party *p) {
    if (!p->refreshing && !p->stopping && csl_store_changed(&p->store)) {
        p->refreshing = csl_daemon_spawn(p->daemon, refresh_body, refresh_done, p) == CSL_OK;
    }
}

void csl__party_stop_storing(struct csl_party *p) {
    for (struct csl_storing *s = p->storing; s != NULL; s = s->next) {
        csl_worker_interrupt(&s->worker, CSL_EPEER, "the daemon is being stopped");
    }
}
