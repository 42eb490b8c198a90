#include "roles/package/package.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/envelope.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "roles/package/reseal.h"

/* ---- Parts ---- */

size_t csl_part_bytes(const struct csl_plan *plan, unsigned n_parties, unsigned party) {
    size_t share = party + 1 < n_parties ? CSL_SEED_BYTES : csl_model_share_bytes(plan);
    return share == 0 ? 0 : CSL_SALT_BYTES + share;
}

enum csl_err csl_part_commit(uint8_t out[CSL_DIGEST_BYTES], const uint8_t nonce[32], unsigned party,
                             const uint8_t *part, size_t n) {
    static const char label[] = "consilium/model-share"; /* with its final 0 */
    uint8_t index[4];
    csl_store_u32(index, party);
    struct csl_sha256 h;
    enum csl_err err = csl_sha256_init(&h);
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, (const uint8_t *)label, sizeof label);
    }
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, nonce, 32);
    }
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, index, sizeof index);
    }
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, part, n);
    }
    if (err == CSL_OK) {
        err = csl_sha256_final(&h, out);
    }
    csl_sha256_clear(&h);
    CSL_PUBLIC(out, CSL_DIGEST_BYTES); /* salted: a commitment */
    return err;
}

enum csl_err csl_part_aad(uint8_t out[CSL_DIGEST_BYTES], const uint8_t nonce[32], unsigned party) {
    static const char label[] = "consilium/package"; /* with its final 0 */
    uint8_t text[sizeof label + 32 + 4];
    memcpy(text, label, sizeof label);
    memcpy(text + sizeof label, nonce, 32);
    csl_store_u32(text + sizeof label + 32, party);
    return csl_sha256_once(out, text, sizeof text);
}

enum csl_err csl_package_share(struct csl_model_share *out, const struct csl_package *p, unsigned party,
                               struct csl_diag *diag) {
    const uint8_t *share = p->part + CSL_SALT_BYTES;
    if (party + 1 < p->n_parties) {
        return csl_model_share_expand(out, &p->plan, share);
    }
    return csl_model_share_decode(out, &p->plan, share, p->n_part - CSL_SALT_BYTES, diag);
}

/* ---- Opening ---- */

static enum csl_err check_part(const struct csl_package *p, const struct csl_manifest *m, unsigned party,
                               struct csl_diag *diag) {
    if (p->n_part != csl_part_bytes(&p->plan, p->n_parties, party)) {
        return csl_fail(diag, CSL_EDATA, "model %s: our part has %zu bytes, the plan needs %zu", p->name,
                        p->n_part, csl_part_bytes(&p->plan, p->n_parties, party));
    }
    uint8_t commitment[CSL_DIGEST_BYTES];
    TRY(csl_part_commit(commitment, m->nonce, party, p->part, p->n_part));
    if (!csl_hash_equal(commitment, m->commitments[party], sizeof commitment)) {
        return csl_fail(diag, CSL_EAUTH, "model %s: our part is not the one that the manifest commits to",
                        p->name);
    }
    struct csl_model_share share = {0};
    TRY(csl_package_share(&share, p, party, diag));
    csl_model_share_clear(&share);
    return CSL_OK;
}

static enum csl_err open_part(struct csl_package *p, const struct csl_manifest *m,
                              const struct csl_context *ctx, const Csl__Pb__ModelPackage *file,
                              struct csl_diag *diag) {
    uint8_t aad[CSL_DIGEST_BYTES];
    struct csl_diag why = {""};
    size_t n;
    enum csl_err err = csl_envelope_plain_size(&n, file->sealed.data, file->sealed.len, &why);
    if (err != CSL_OK) {
        return csl_fail(diag, err, "model %s: the sealed part: %s", p->name, why.text);
    }
    TRY(csl_part_aad(aad, m->nonce, file->party));
    p->part = csl_secret_alloc(n + 1, 1);
    if (p->part == NULL) {
        return CSL_ENOMEM;
    }
    p->n_part = n;
    err = csl_envelope_open(p->part, &p->n_part, ctx->site.wrap_key, CSL_PART_LABEL, aad, sizeof aad,
                            file->sealed.data, file->sealed.len, &why);
    return err != CSL_EAUTH
               ? err
               : csl_fail(diag, err, "model %s: the sealed part does not open with the wrapping key of %s",
                          p->name, ctx->self->name);
}

/* Whom the package is for, before anything is decrypted. */
static enum csl_err check_party(const struct csl_manifest *m, const struct csl_context *ctx,
                                const Csl__Pb__ModelPackage *file, struct csl_diag *diag) {
    if (ctx->self->party < 0) {
        return csl_fail(diag, CSL_EPERM, "%s is no party in the roster: model packages are theirs",
                        ctx->self->name);
    }
    if (file->party != (unsigned)ctx->self->party) {
        return csl_fail(diag, CSL_EAUTH, "model %s: this is the package of party %u (%s); %s is party %d",
                        m->name, file->party, file->party < m->n_parties ? m->parties[file->party] : "nobody",
                        ctx->self->name, ctx->self->party);
    }
    return CSL_OK;
}

static enum csl_err fill_package(struct csl_package *p, struct csl_manifest *m, const struct csl_context *ctx,
                                 const Csl__Pb__ModelPackage *file, struct csl_diag *diag) {
    p->refs = 1;
    TRY(csl_manifest_decode(m, file->manifest.data, file->manifest.len, diag));
    TRY(csl_manifest_verify(m, file->manifest.data, file->manifest.len, file->signature.data,
                            file->signature.len, &ctx->roster, diag));
    TRY(check_party(m, ctx, file, diag));
    TRY(csl_sha256_once(p->sealed_digest, file->sealed.data, file->sealed.len));
    TRY(csl_reseal_check(m, file, p->sealed_digest, ctx->self, diag));
    memcpy(p->name, m->name, sizeof p->name);
    memcpy(p->owner, m->owner, sizeof p->owner);
    memcpy(p->digest, m->digest, sizeof p->digest);
    memcpy(p->signature, file->signature.data, sizeof p->signature);
    p->expires_ms = m->expires_ms;
    p->plan = m->plan;
    p->n_parties = m->n_parties;
    p->n_manifest = file->manifest.len;
    p->manifest = malloc(p->n_manifest);
    if (p->manifest == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(p->manifest, file->manifest.data, p->n_manifest);
    TRY(open_part(p, m, ctx, file, diag));
    return check_part(p, m, file->party, diag);
}

static void package_free(struct csl_package *p) {
    free(p->manifest);
    csl_secret_free(p->part);
    free(p);
}

enum csl_err csl_package_open(struct csl_package **out, const struct csl_context *ctx,
                              const Csl__Pb__ModelPackage *file, struct csl_diag *diag) {
    *out = NULL;
    struct csl_package *p = calloc(1, sizeof *p);
    struct csl_manifest *m = malloc(sizeof *m);
    enum csl_err err = p == NULL || m == NULL ? CSL_ENOMEM : fill_package(p, m, ctx, file, diag);
    free(m);
    if (err == CSL_OK) {
        *out = p;
    } else if (p != NULL) {
        package_free(p);
    }
    return err;
}

enum csl_err csl_package_check_expiry(const struct csl_package *p, struct csl_diag *diag) {
    return csl_seal_check_expiry(p->name, p->owner, p->expires_ms, diag);
}

struct csl_package *csl_package_ref(struct csl_package *p) {
    p->refs++;
    return p;
}

void csl_package_unref(struct csl_package *p) {
    if (p != NULL && --p->refs == 0) {
        package_free(p);
    }
}

/* ---- Opened weights ---- */

enum csl_err csl_opened_new(struct csl_opened **out, const struct csl_package *p,
                            const uint8_t epoch_id[CSL_EPOCH_ID_BYTES], struct csl_model_share *share) {
    struct csl_opened *o = calloc(1, sizeof *o);
    if (o == NULL) {
        return CSL_ENOMEM;
    }
    o->refs = 1;
    memcpy(o->package_digest, p->digest, sizeof o->package_digest);
    memcpy(o->epoch_id, epoch_id, sizeof o->epoch_id);
    o->share = *share;
    memset(share, 0, sizeof *share);
    *out = o;
    return CSL_OK;
}

void csl_opened_unref(struct csl_opened *o) {
    if (o != NULL && --o->refs == 0) {
        csl_model_share_clear(&o->share);
        free(o);
    }
}
