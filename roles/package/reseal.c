#include "roles/package/reseal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/statement.h"
#include "crypto/envelope.h"
#include "crypto/files_internal.h"
#include "crypto/hash.h"
#include "crypto/pem_internal.h"
#include "crypto/secret.h"
#include "roles/message.h"

static bool same_digest(const ProtobufCBinaryData *a, const uint8_t b[CSL_DIGEST_BYTES]) {
    return a->len == CSL_DIGEST_BYTES && memcmp(a->data, b, CSL_DIGEST_BYTES) == 0;
}

/* ---- The chain ---- */

/* In whose hands the package is after some of the statements. */
struct holder {
    char name[CSL_NAME_MAX + 1];
    uint8_t sign_spki[CSL_SPKI_BYTES];
    bool has_key;
    uint8_t sealed[CSL_DIGEST_BYTES];
    uint8_t wrap_spki[CSL_SPKI_BYTES]; /* known after a statement only */
};

static enum csl_err check_signer(const struct holder *h, const Csl__Pb__Reseal *r, const char *model,
                                 size_t k, struct csl_diag *diag) {
    uint8_t spki[CSL_SPKI_BYTES];
    EVP_PKEY *key = csl__key_from_der(r->signer_key.data, (long)r->signer_key.len);
    (void)csl__openssl_reason(); /* empties the queue */
    bool ok = key != NULL && csl_key_is_sign(key) && csl_key_spki(spki, key) == CSL_OK && h->has_key &&
              strcmp(r->signer, h->name) == 0 && memcmp(spki, h->sign_spki, sizeof spki) == 0;
    bool signed_by = ok && csl_statement_verify(CSL_STATEMENT_RESEAL, r->statement.data, r->statement.len,
                                                r->signature.data, r->signature.len, key, NULL) == CSL_OK;
    EVP_PKEY_free(key);
    if (!ok) {
        return csl_fail(diag, CSL_EAUTH,
                        "model %s: statement %zu of its being handed on is by %s, not by %s, who held the "
                        "package, with the key that was named for it",
                        model, k + 1, r->signer, h->name);
    }
    return signed_by ? CSL_OK
                     : csl_fail(diag, CSL_EAUTH,
                                "model %s: statement %zu of its being handed on is not signed by %s", model,
                                k + 1, r->signer);
}

static enum csl_err follow(struct holder *h, const struct csl_manifest *m, uint32_t party,
                           const Csl__Pb__Reseal *r, size_t k, struct csl_diag *diag) {
    Csl__Audit__ResealStatement *s;
    TRY(check_signer(h, r, m->name, k, diag));
    TRY(csl_reseal_statement_decode(&s, r->statement.data, r->statement.len, diag));
    bool fits = same_digest(&s->package_digest, m->digest) && s->party == party &&
                same_digest(&s->from_sealed, h->sealed) && s->to_sealed.len == CSL_DIGEST_BYTES &&
                s->to_wrap_key.len == CSL_SPKI_BYTES && csl_name_valid(s->to) &&
                (s->to_sign_key.len == 0 || s->to_sign_key.len == CSL_SPKI_BYTES);
    if (fits) {
        (void)snprintf(h->name, sizeof h->name, "%s", s->to);
        memcpy(h->sealed, s->to_sealed.data, sizeof h->sealed);
        memcpy(h->wrap_spki, s->to_wrap_key.data, sizeof h->wrap_spki);
        h->has_key = s->to_sign_key.len == CSL_SPKI_BYTES;
        if (h->has_key) {
            memcpy(h->sign_spki, s->to_sign_key.data, sizeof h->sign_spki);
        }
    }
    csl_statement_free(s);
    return fits
               ? CSL_OK
               : csl_fail(diag, CSL_EAUTH,
                          "model %s: statement %zu of its being handed on is about another package, party or "
                          "sealed part",
                          m->name, k + 1);
}

enum csl_err csl_reseal_check(const struct csl_manifest *m, const Csl__Pb__ModelPackage *file,
                              const uint8_t sealed[CSL_DIGEST_BYTES], const struct csl_member *self,
                              struct csl_diag *diag) {
    struct holder h = {.has_key = true};
    memcpy(h.name, m->parties[file->party], sizeof h.name);
    memcpy(h.sign_spki, m->party_keys[file->party], sizeof h.sign_spki);
    memcpy(h.sealed, m->sealed[file->party], sizeof h.sealed);
    memcpy(h.wrap_spki, self->wrap_spki, sizeof h.wrap_spki);
    for (size_t k = 0; k < file->n_reseals; k++) {
        TRY(follow(&h, m, file->party, file->reseals[k], k, diag));
    }
    if (!csl_hash_equal(h.sealed, sealed, sizeof h.sealed)) {
        return csl_fail(diag, CSL_EAUTH, "model %s: the sealed part is not the one that %s names", m->name,
                        file->n_reseals == 0 ? "the manifest" : "the last statement");
    }
    if (strcmp(h.name, self->name) != 0 || memcmp(h.wrap_spki, self->wrap_spki, sizeof h.wrap_spki) != 0) {
        return csl_fail(
            diag, CSL_EAUTH,
            "model %s: the package is in the hands of %s, not of %s: who holds it hands it on with "
            "consilium model reseal",
            m->name, h.name, self->name);
    }
    return CSL_OK;
}

/* ---- Handing on ---- */

static enum csl_err seal_to(uint8_t **out, size_t *n, const struct csl_package *p, unsigned party,
                            const uint8_t nonce[32], EVP_PKEY *key, struct csl_diag *diag) {
    uint8_t aad[CSL_DIGEST_BYTES];
    TRY(csl_envelope_check_key(key, diag));
    TRY(csl_envelope_size(n, p->n_part, key, diag));
    TRY(csl_part_aad(aad, nonce, party));
    *out = malloc(*n);
    if (*out == NULL) {
        return CSL_ENOMEM;
    }
    return csl_envelope_seal(*out, n, key, CSL_PART_LABEL, aad, sizeof aad, p->part, p->n_part, diag);
}

static enum csl_err sign_statement(struct csl_signed *out, const struct csl_context *ctx,
                                   const struct csl_package *p, const uint8_t *sealed, size_t n_sealed,
                                   const struct csl_successor *to, struct csl_diag *diag) {
    static const uint8_t none[CSL_SPKI_BYTES];
    uint8_t digest[CSL_DIGEST_BYTES], wrap[CSL_SPKI_BYTES];
    TRY(csl_sha256_once(digest, sealed, n_sealed));
    TRY(csl_key_spki(wrap, to->wrap_key));
    Csl__Audit__ResealStatement s = CSL__AUDIT__RESEAL_STATEMENT__INIT;
    s.package_digest = csl_bytes(p->digest, sizeof p->digest);
    s.party = (uint32_t)ctx->self->party;
    s.from_sealed = csl_bytes(p->sealed_digest, sizeof p->sealed_digest);
    s.to_sealed = csl_bytes(digest, sizeof digest);
    s.to_wrap_key = csl_bytes(wrap, sizeof wrap);
    s.to = (char *)(uintptr_t)to->name;
    s.time_ms = csl_wall_ms();
    if (memcmp(to->sign_spki, none, sizeof none) != 0) {
        s.to_sign_key = csl_bytes(to->sign_spki, sizeof to->sign_spki);
    }
    return csl_statement_sign(out, CSL_STATEMENT_RESEAL, &s.base, ctx->site.sign_key, diag);
}

static enum csl_err add_leaf(const struct csl_context *ctx, const struct csl_package *p,
                             const struct csl_signed *s, struct csl_diag *diag) {
    Csl__Audit__Signed reseal = CSL__AUDIT__SIGNED__INIT;
    reseal.statement = csl_bytes(s->statement, s->n);
    reseal.signature = csl_bytes(s->signature, sizeof s->signature);
    reseal.signer = (char *)(uintptr_t)ctx->self->name;
    ProtobufCBinaryData sealed = csl_bytes(p->sealed_digest, sizeof p->sealed_digest);
    CSL_LEAF(leaf, model, ModelLeaf, MODEL_LEAF, MODEL, model);
    model.name = (char *)(uintptr_t)p->name;
    model.owner = (char *)(uintptr_t)p->owner;
    model.package_digest = csl_bytes(p->digest, sizeof p->digest);
    model.sealed_digests = &sealed;
    model.n_sealed_digests = 1;
    model.event = CSL_MODEL_RESEALED;
    model.reseal = &reseal;
    return csl_logbook_add(ctx->logbook, &leaf, true, diag);
}

/* The file with one more statement and the new sealed part. */
static enum csl_err append(uint8_t **out, size_t *n, const struct csl_context *ctx,
                           const Csl__Pb__ModelPackage *file, const struct csl_signed *s,
                           const uint8_t *sealed, size_t n_sealed) {
    unsigned char *der = NULL;
    int n_der = i2d_PUBKEY(ctx->site.sign_key, &der);
    Csl__Pb__Reseal last = CSL__PB__RESEAL__INIT, *all[CSL_RESEALS_MAX];
    Csl__Pb__ModelPackage f = CSL__PB__MODEL_PACKAGE__INIT;
    if (n_der <= 0) {
        return CSL_ENOMEM;
    }
    last.statement = csl_bytes(s->statement, s->n);
    last.signature = csl_bytes(s->signature, sizeof s->signature);
    last.signer = (char *)(uintptr_t)ctx->self->name;
    last.signer_key = csl_bytes(der, (size_t)n_der);
    for (size_t k = 0; k < file->n_reseals; k++) {
        all[k] = file->reseals[k];
    }
    all[file->n_reseals] = &last;
    f.manifest = file->manifest;
    f.signature = file->signature;
    f.party = file->party;
    f.sealed = csl_bytes(sealed, n_sealed);
    f.reseals = all;
    f.n_reseals = file->n_reseals + 1;
    enum csl_err err = csl_package_file_pack(out, n, &f);
    OPENSSL_free(der);
    return err;
}

static enum csl_err reseal(uint8_t **out, size_t *n, const struct csl_context *ctx,
                           const Csl__Pb__ModelPackage *file, const struct csl_package *p,
                           const struct csl_successor *to, struct csl_diag *diag) {
    struct csl_signed statement = {0};
    uint8_t *sealed = NULL;
    size_t n_sealed;
    enum csl_err err = CSL_OK;
    struct csl_manifest *m = malloc(sizeof *m);
    TRY_OUT(m == NULL ? CSL_ENOMEM : CSL_OK);
    TRY_OUT(csl_manifest_decode(m, file->manifest.data, file->manifest.len, diag));
    TRY_OUT(seal_to(&sealed, &n_sealed, p, file->party, m->nonce, to->wrap_key, diag));
    TRY_OUT(sign_statement(&statement, ctx, p, sealed, n_sealed, to, diag));
    TRY_OUT(append(out, n, ctx, file, &statement, sealed, n_sealed));
    err = add_leaf(ctx, p, &statement, diag);
    if (err != CSL_OK) {
        free(*out);
        *out = NULL;
    }
out:
    csl_signed_clear(&statement);
    free(sealed);
    free(m);
    return err;
}

enum csl_err csl_reseal(uint8_t **out, size_t *n, const struct csl_context *ctx, const char *name,
                        const struct csl_successor *to, struct csl_diag *diag) {
    *out = NULL;
    *n = 0;
    Csl__Pb__ModelPackage *file = NULL;
    struct csl_package *p = NULL;
    if (!csl_name_valid(to->name)) {
        return csl_fail(diag, CSL_EUSAGE, "the successor needs its name in the roster: give --name");
    }
    TRY(csl_store_read(&file, &p, ctx, name, diag));
    enum csl_err err =
        file->n_reseals < CSL_RESEALS_MAX
            ? reseal(out, n, ctx, file, p, to, diag)
            : csl_fail(diag, CSL_EDATA, "model %s went through %d hands; its owner must seal it anew", name,
                       CSL_RESEALS_MAX);
    csl_package_unref(p);
    csl_package_file_free(file);
    return err;
}
