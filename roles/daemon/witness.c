#include "roles/daemon/witness.h"

#include <stdlib.h>
#include <string.h>

/* ---- Our own checkpoint ---- */

static bool cosigned_by(const struct csl_note *note, const char *name) {
    for (size_t i = 0; i < note->n_signatures; i++) {
        if (note->signatures[i].cosignature && strcmp(note->signatures[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Leaves of the newest checkpoint of ours that it cosigned, as far as we know. The last few of history will
 * do: whoever is further behind says from where to prove. */
static uint64_t known_to(struct csl_ledger *l, const struct csl_note *newest, const char *name) {
    enum { LOOK_BACK = 16 };
    if (cosigned_by(newest, name)) {
        return newest->checkpoint.size;
    }
    struct csl_note *note = malloc(sizeof *note);
    uint64_t best = 0;
    size_t n = 0;
    while (note != NULL && csl_ledger_history(l, note, n, NULL) == CSL_OK) {
        n++;
    }
    for (size_t back = 0; note != NULL && best == 0 && back < LOOK_BACK && back < n; back++) {
        if (csl_ledger_history(l, note, n - 1 - back, NULL) == CSL_OK && cosigned_by(note, name)) {
            best = note->checkpoint.size;
        }
    }
    free(note);
    return best;
}

enum csl_err csl_witness_offer(struct csl_witness_offer *o, const struct csl_context *ctx,
                               const struct csl_member *to, uint64_t known, struct csl_diag *diag) {
    struct csl_ledger *l = ctx->logbook->ledger;
    enum csl_err err = csl_ledger_checkpoint(l, &o->note, diag);
    if (err == CSL_EIO) { /* what was signed before the disk failed is true still */
        err = csl_ledger_newest(l, &o->note, diag);
        err = err == CSL_ENOINPUT && o->note.n_signatures != 0 ? CSL_OK : err;
    }
    TRY(err);
    uint64_t size = o->note.checkpoint.size;
    o->old_size = known == CSL_WITNESS_UNKNOWN ? known_to(l, &o->note, to->name) : known;
    o->old_size = o->old_size > size ? 0 : o->old_size;
    csl_note_only(&o->note, ctx->self->name, NULL);
    err = csl_ledger_consistency(l, o->nodes, &o->n_proof, o->old_size, size);
    if (err != CSL_OK) {
        return csl_fail(diag, err, "no proof from %llu entries to %llu", (unsigned long long)o->old_size,
                        (unsigned long long)size);
    }
    for (size_t i = 0; i < o->n_proof; i++) {
        o->proof[i] = (ProtobufCBinaryData){.len = CSL_MERKLE_BYTES, .data = o->nodes[i]};
    }
    return CSL_OK;
}

enum csl_err csl_witness_take(const struct csl_context *ctx, const struct csl_member *from, const char *text,
                              struct csl_diag *diag) {
    if (text[0] == '\0') {
        return CSL_OK;
    }
    struct csl_note *note = malloc(sizeof *note);
    if (note == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = csl_note_parse(note, text, strlen(text), diag);
    if (err == CSL_OK) {
        err = csl_ledger_cosigned(ctx->logbook->ledger, note, from->name, from->sign_key, diag);
    }
    free(note);
    return err == CSL_OK ? err : csl_fail_context(diag, err, "the cosignature of %s", from->name);
}

enum csl_err csl_witness_against_us(const struct csl_context *ctx, const struct csl_member *from,
                                    const char *text, struct csl_diag *diag) {
    struct csl_ledger *l = ctx->logbook->ledger;
    char origin[CSL_ORIGIN_MAX + 1];
    uint8_t root[CSL_MERKLE_BYTES];
    struct csl_note *note = malloc(2 * sizeof *note);
    if (note == NULL) {
        return CSL_ENOMEM;
    }
    csl_logbook_origin(origin, &ctx->roster, ctx->self->name);
    bool ours = csl_note_parse(note, text, strlen(text), NULL) == CSL_OK &&
                csl_note_verify(note, ctx->self->name, ctx->self->sign_key, NULL) == CSL_OK &&
                strcmp(note->checkpoint.origin, origin) == 0;
    /* A fresh look first: another program of this site may have appended and shown what this one has not. */
    enum csl_err err = ours ? csl_ledger_checkpoint(l, &note[1], diag) : CSL_OK;
    uint64_t size = csl_ledger_size(l), shown = note->checkpoint.size;
    if (ours && err == CSL_OK && shown > size) {
        err = csl_fail(
            diag, CSL_EAUTH,
            "%s cosigned this site's ledger when it had %llu entries; now it has %llu: it was rolled "
            "back. No session is admitted until the newest copy of state/ledger is put back and the "
            "daemon restarted",
            from->name, (unsigned long long)shown, (unsigned long long)size);
    } else if (ours && err == CSL_OK &&
               (csl_ledger_root(l, root, shown) != CSL_OK ||
                memcmp(root, note->checkpoint.root, sizeof root) != 0)) {
        err =
            csl_fail(diag, CSL_EAUTH,
                     "%s cosigned another ledger of this site than the one that is here (at %llu entries): a "
                     "copy went on by itself. No session is admitted until the right state/ledger is put "
                     "back and the daemon restarted",
                     from->name, (unsigned long long)shown);
    }
    free(note);
    return err;
}

/* ---- As a witness ---- */

static enum csl_err add_leaf(const struct csl_context *ctx, const struct csl_member *from,
                             const struct csl_note *seen, const struct csl_note *shown,
                             const struct csl_diag *reason, struct csl_diag *diag) {
    CSL_LEAF(leaf, body, WitnessLeaf, WITNESS_LEAF, WITNESS, witness);
    body.who = (char *)(uintptr_t)from->name;
    body.note_seen = (char *)(uintptr_t)seen->text;
    body.note_shown = (char *)(uintptr_t)shown->text;
    body.reason = (char *)(uintptr_t)reason->text;
    return csl_logbook_add(ctx->logbook, &leaf, true, diag);
}

/* The same refusal is written once, however often it is provoked. */
static bool said_before(struct csl_logbook *b, const struct csl_note *shown) {
    uint8_t digest[CSL_SHA256_BYTES];
    if (csl_sha256_once(digest, (const uint8_t *)shown->text, shown->n_body) != CSL_OK) {
        return false;
    }
    (void)pthread_mutex_lock(&b->refusals_lock);
    bool before = false;
    for (size_t i = 0; i < CSL_LOGBOOK_SHOWN; i++) {
        before = before || memcmp(b->shown[i], digest, sizeof digest) == 0;
    }
    if (!before) {
        memcpy(b->shown[b->n_shown++ % CSL_LOGBOOK_SHOWN], digest, sizeof digest);
    }
    (void)pthread_mutex_unlock(&b->refusals_lock);
    return before;
}

static enum csl_err refuse(struct csl_witness_verdict *v, const struct csl_context *ctx,
                           const struct csl_member *from, const struct csl_note *shown,
                           struct csl_diag *diag) {
    v->kind = CSL_WITNESS_REFUSED;
    TRY(csl_ledger_seen(ctx->logbook->ledger, &v->note, from->name, diag));
    csl_note_only(&v->note, from->name, ctx->self->name);
    return said_before(ctx->logbook, shown) ? CSL_OK : add_leaf(ctx, from, &v->note, shown, &v->reason, diag);
}

static enum csl_err judge(struct csl_witness_verdict *v, const struct csl_context *ctx,
                          const struct csl_member *from, struct csl_note *note, uint64_t old_size,
                          const uint8_t (*proof)[CSL_MERKLE_BYTES], size_t n_proof, bool lenient,
                          struct csl_diag *diag) {
    char origin[CSL_ORIGIN_MAX + 1];
    bool forked;
    csl_logbook_origin(origin, &ctx->roster, from->name);
    TRY(csl_note_verify(note, from->name, from->sign_key, diag));
    if (strcmp(origin, note->checkpoint.origin) != 0) {
        return csl_fail(diag, CSL_EAUTH, "the checkpoint of %s is of another ledger", from->name);
    }
    csl_note_only(note, from->name, NULL);
    enum csl_err err = csl_ledger_witness(ctx->logbook->ledger, note, from->name, from->sign_key, origin,
                                          old_size, proof, n_proof, &v->have, &forked, &v->reason);
    if (err == CSL_OK) {
        v->kind = CSL_WITNESSED;
        v->note = *note;
        return CSL_OK;
    }
    if (err == CSL_ESTALE || (err == CSL_EAUTH && lenient && note->checkpoint.size < v->have)) {
        v->kind = CSL_WITNESS_BEHIND;
        return CSL_OK;
    }
    /* have is 0 only where nothing was compared: then it is our own ledger that failed */
    return err == CSL_EAUTH && v->have != 0 ? refuse(v, ctx, from, note, diag)
                                            : csl_fail(diag, err, "%s", v->reason.text);
}

enum csl_err csl_witness_judge(struct csl_witness_verdict *v, const struct csl_context *ctx,
                               const struct csl_member *from, const char *note, uint64_t old_size,
                               const ProtobufCBinaryData *proof, size_t n_proof, bool lenient,
                               struct csl_diag *diag) {
    uint8_t nodes[CSL_MERKLE_PROOF_MAX][CSL_MERKLE_BYTES];
    memset(v, 0, sizeof *v);
    for (size_t i = 0; i < n_proof; i++) {
        if (n_proof > CSL_MERKLE_PROOF_MAX || proof[i].len != CSL_MERKLE_BYTES) {
            return csl_fail(diag, CSL_EDATA, "the proof of %s is none", from->name);
        }
        memcpy(nodes[i], proof[i].data, CSL_MERKLE_BYTES);
    }
    struct csl_note *shown = malloc(sizeof *shown);
    if (shown == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = csl_note_parse(shown, note, strlen(note), diag);
    if (err == CSL_OK) {
        err = judge(v, ctx, from, shown, old_size, (const uint8_t(*)[CSL_MERKLE_BYTES])nodes, n_proof,
                    lenient, diag);
    }
    free(shown);
    return err;
}

/* ---- A member that lost its ledger ---- */

/* The newest checkpoint of `name` that was refused here because of `seen`; its text is "" when none was. */
static enum csl_err find_refused(struct csl_note *out, struct csl_ledger *l, const char *name,
                                 const struct csl_note *seen, struct csl_diag *diag) {
    out->text[0] = '\0';
    for (uint64_t i = csl_ledger_size(l); i-- > 0 && out->text[0] == '\0';) {
        uint8_t *bytes;
        size_t n;
        csl_leaf *leaf;
        TRY(csl_ledger_leaf(l, &bytes, &n, i, diag));
        enum csl_err err = csl_leaf_decode(&leaf, bytes, n, diag);
        free(bytes);
        TRY(err);
        const Csl__Audit__WitnessLeaf *m =
            leaf->body_case == CSL__AUDIT__LEAF__BODY_WITNESS ? leaf->witness : NULL;
        if (m != NULL && strcmp(m->who, name) == 0 && strncmp(m->note_seen, seen->text, seen->n_body) == 0 &&
            csl_note_parse(out, m->note_shown, strlen(m->note_shown), NULL) != CSL_OK) {
            out->text[0] = '\0';
        }
        csl_leaf_free(leaf);
    }
    return CSL_OK;
}

static enum csl_err accept_new(struct csl_note *seen, struct csl_note *shown, const struct csl_context *ctx,
                               const struct csl_member *who, const char *reason, struct csl_diag *diag) {
    struct csl_ledger *l = ctx->logbook->ledger;
    struct csl_diag said;
    TRY(csl_ledger_seen(l, seen, who->name, diag));
    if (seen->checkpoint.size == 0) {
        return csl_fail(diag, CSL_ENOINPUT,
                        "%s has cosigned no ledger of %s: its next checkpoint is taken without this",
                        ctx->self->name, who->name);
    }
    TRY(find_refused(shown, l, who->name, seen, diag));
    (void)csl_fail(&said, CSL_OK, CSL_WITNESS_ACCEPTED "%s", reason);
    TRY(add_leaf(ctx, who, seen, shown, &said, diag));
    return csl_ledger_forget(l, seen, who->name, diag);
}

enum csl_err csl_witness_accept(struct csl_note *seen, const struct csl_context *ctx,
                                const struct csl_member *who, const char *reason, struct csl_diag *diag) {
    if (who == ctx->self) {
        return csl_fail(diag, CSL_EUSAGE, "%s cannot accept its own ledger: the other sites must", who->name);
    }
    if (reason[strspn(reason, " ")] == '\0' || strlen(reason) > CSL_WITNESS_REASON_MAX) {
        return csl_fail(diag, CSL_EUSAGE, "a reason of 1 to %d bytes is needed: it stays in the ledger",
                        CSL_WITNESS_REASON_MAX);
    }
    struct csl_note *shown = malloc(sizeof *shown);
    enum csl_err err = shown == NULL ? CSL_ENOMEM : accept_new(seen, shown, ctx, who, reason, diag);
    free(shown);
    return err;
}
