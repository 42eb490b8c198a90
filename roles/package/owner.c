#include "roles/package/owner.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "roles/daemon/witness.h"
#include "roles/talk.h"

struct delivery {
    const struct csl_context *ctx;
    const struct csl_sealed *sealed;
    struct csl_worker worker;
    struct csl_talk talks[CSL_MAX_PARTIES];
};

/* ---- What each party cosigned of our ledger: state/cosigned/NAME ----
 *
 * The ledger keeps cosignatures of its newest checkpoint; when an answer was lost, a party is further than
 * the ledger knows, and says so with the checkpoint that it cosigned. The next proof begins there. */

static enum csl_err cosigned_path(char out[CSL__PATH_MAX], const struct csl_context *ctx, const char *party,
                                  struct csl_diag *diag) {
    char state[CSL__PATH_MAX], dir[CSL__PATH_MAX];
    TRY(csl__path(state, ctx->dir, "state", diag));
    TRY(csl__make_dir(state, diag));
    TRY(csl__path(dir, state, "cosigned", diag));
    TRY(csl__make_dir(dir, diag));
    return csl__path(out, dir, party, diag);
}

/* A file that is gone or damaged costs one cosignature. */
static uint64_t known_size(const struct csl_context *ctx, const struct csl_member *party) {
    char path[CSL__PATH_MAX], *text;
    size_t n;
    uint64_t size = CSL_WITNESS_UNKNOWN;
    struct csl_note *note = malloc(sizeof *note);
    if (note != NULL && cosigned_path(path, ctx, party->name, NULL) == CSL_OK &&
        csl__read_file(&text, &n, path, CSL_NOTE_MAX, NULL) == CSL_OK) {
        if (csl_note_parse(note, text, n, NULL) == CSL_OK &&
            csl_note_verify_cosignature(note, party->name, party->sign_key, NULL) == CSL_OK) {
            size = note->checkpoint.size;
        }
        csl_secret_free(text);
    }
    free(note);
    return size;
}

/* ---- Delivery ---- */

static enum csl_err send_part(struct delivery *d, unsigned i, struct csl_diag *diag) {
    const struct csl_sealed *s = d->sealed;
    CSL_CONTROL(m, body, ShareModel, SHARE_MODEL, SHARE_MODEL, share_model);
    body.manifest = csl_bytes(s->bytes, s->n_bytes);
    body.signature = csl_bytes(s->signature, sizeof s->signature);
    struct csl_witness_offer *offer = malloc(sizeof *offer);
    if (offer == NULL) {
        return CSL_ENOMEM;
    }
    const struct csl_member *party = csl_roster_party(&d->ctx->roster, i);
    enum csl_err err = csl_witness_offer(offer, d->ctx, party, known_size(d->ctx, party), diag);
    if (err == CSL_OK) {
        body.checkpoint = offer->note.text;
        body.old_size = offer->old_size;
        body.proof = offer->proof;
        body.n_proof = offer->n_proof;
        err = csl_talk_send(&d->talks[i], &m, diag);
    }
    free(offer);
    TRY(err);
    return csl_talk_send_data(&d->talks[i], 0, s->parts[i].p, s->parts[i].n, diag);
}

/* Our checkpoint comes back cosigned, or an older one of ours where we lost the answer to it. */
static enum csl_err take_cosigned(struct delivery *d, unsigned i, const char *note, struct csl_diag *diag) {
    const struct csl_member *party = csl_roster_party(&d->ctx->roster, i);
    if (note[0] == '\0') {
        return CSL_OK;
    }
    char path[CSL__PATH_MAX];
    TRY(csl_witness_against_us(d->ctx, party, note, diag));
    TRY(csl_witness_take(d->ctx, party, note, diag));
    TRY(cosigned_path(path, d->ctx, party->name, diag));
    return csl__replace_file(path, 0600, note, strlen(note), diag);
}

static enum csl_err expect_stored(struct delivery *d, unsigned i, uint64_t patience, struct csl_diag *diag) {
    csl_control *m;
    TRY(csl_talk_expect(&d->talks[i], &m, CSL__PB__CONTROL__KIND_MODEL_STORED, patience, diag));
    bool same =
        memcmp(m->model_stored->package_digest.data, d->sealed->manifest.digest, CSL_DIGEST_BYTES) == 0;
    enum csl_err err = take_cosigned(d, i, m->model_stored->checkpoint, diag);
    csl_message_free(m);
    return same ? err : csl_fail(diag, CSL_EPROTO, "%s stored another model than was sent", d->talks[i].peer);
}

static enum csl_err deliver(struct delivery *d, struct csl_diag *diag) {
    uint64_t patience = d->ctx->roster.timeouts.round_ms;
    struct csl_talk *talks[CSL_MAX_PARTIES];
    unsigned n = d->ctx->roster.n_parties;
    for (unsigned i = 0; i < n; i++) {
        talks[i] = &d->talks[i];
        TRY(csl_talk_dial(talks[i], &d->worker, csl_roster_party(&d->ctx->roster, i),
                          CSL__PB__PURPOSE__PURPOSE_SHARE_MODEL, NULL, diag));
    }
    TRY(csl_talk_wait_ready(&d->worker, talks, n, patience, diag));
    for (unsigned i = 0; i < n; i++) {
        TRY(send_part(d, i, diag));
    }
    for (unsigned i = 0; i < n; i++) {
        TRY(expect_stored(d, i, patience, diag));
    }
    return CSL_OK;
}

enum csl_err csl_owner_deliver(const struct csl_context *ctx, const struct csl_sealed *sealed,
                               struct csl_diag *diag) {
    if (sealed->manifest.n_parties != ctx->roster.n_parties) {
        return csl_fail(diag, CSL_EDATA, "model %s was sealed for %u parties, the roster has %u",
                        sealed->manifest.name, sealed->manifest.n_parties, ctx->roster.n_parties);
    }
    struct delivery *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return CSL_ENOMEM;
    }
    d->ctx = ctx;
    d->sealed = sealed;
    enum csl_err err = csl_worker_init(&d->worker, ctx, ctx->tls, diag);
    if (err == CSL_OK) {
        err = deliver(d, diag);
        for (unsigned i = 0; i < ctx->roster.n_parties; i++) {
            csl_talk_close(&d->talks[i]);
        }
        csl_worker_clear(&d->worker);
    }
    free(d);
    return err;
}

static enum csl_err seal_and_deliver(uint8_t digest[CSL_DIGEST_BYTES], const struct csl_context *ctx,
                                     const char *name, const struct csl_plan *plan,
                                     const struct csl_weights *weights, struct csl_diag *diag) {
    struct csl_sealed *sealed;
    TRY(csl_seal(&sealed, ctx, name, plan, weights, CSL_SEAL_DAYS_DEFAULT, diag));
    enum csl_err err = csl_owner_deliver(ctx, sealed, diag);
    if (err == CSL_OK) {
        memcpy(digest, sealed->manifest.digest, CSL_DIGEST_BYTES);
    }
    csl_sealed_free(sealed);
    return err;
}

enum csl_err csl_owner_share(uint8_t digest[CSL_DIGEST_BYTES], const struct csl_context *ctx,
                             const char *name, const struct csl_plan *plan, const struct csl_weights *weights,
                             struct csl_diag *diag) {
    memset(digest, 0, CSL_DIGEST_BYTES);
    if (ctx->logbook != NULL) {
        return seal_and_deliver(digest, ctx, name, plan, weights, diag);
    }
    struct csl_context own = *ctx; /* borrows everything */
    struct csl_logbook book;
    TRY(csl_logbook_open(&book, ctx, 0, diag));
    own.logbook = &book;
    enum csl_err err = seal_and_deliver(digest, &own, name, plan, weights, diag);
    csl_logbook_close(&book);
    return err;
}
