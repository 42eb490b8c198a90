#include "roles/package/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/statement.h"
#include "crypto/cert.h"
#include "crypto/envelope.h"
#include "crypto/files_internal.h"
#include "crypto/hash.h"
#include "crypto/rand.h"
#include "crypto/secret.h"
#include "net/frame.h"
#include "roles/message.h"

enum { DAY_MS = 24 * 3600 * 1000 };

void csl_sealed_free(struct csl_sealed *s) {
    if (s != NULL) {
        for (unsigned i = 0; i < CSL_MAX_PARTIES; i++) {
            free(s->parts[i].p);
        }
        free(s->bytes);
        free(s);
    }
}

/* ---- Sealing ---- */

/* Envelope of a part to the roster's party, and its digest. */
static enum csl_err seal_part(struct csl_sealed *s, const struct csl_context *ctx, unsigned i,
                              const uint8_t *part, size_t n, struct csl_diag *diag) {
    EVP_PKEY *key = csl_roster_party(&ctx->roster, i)->wrap_key;
    uint8_t aad[CSL_DIGEST_BYTES];
    size_t n_env;
    TRY(csl_envelope_size(&n_env, n, key, diag));
    if (n_env > CSL_FRAME_MAX_BYTES) {
        return csl_fail(diag, CSL_EDATA, "model %s: the part of %s has %zu bytes, more than can be shared",
                        s->manifest.name, s->manifest.parties[i], n_env);
    }
    TRY(csl_part_aad(aad, s->manifest.nonce, i));
    s->parts[i].p = malloc(n_env);
    if (s->parts[i].p == NULL) {
        return CSL_ENOMEM;
    }
    s->parts[i].n = n_env;
    TRY(csl_envelope_seal(s->parts[i].p, &s->parts[i].n, key, CSL_PART_LABEL, aad, sizeof aad, part, n,
                          diag));
    return csl_sha256_once(s->manifest.sealed[i], s->parts[i].p, s->parts[i].n);
}

static enum csl_err make_part(struct csl_sealed *s, const struct csl_context *ctx, unsigned i,
                              const uint8_t *seeds, const struct csl_model_share *last,
                              struct csl_diag *diag) {
    size_t n = csl_part_bytes(&s->manifest.plan, s->manifest.n_parties, i);
    uint8_t *part = n == 0 ? NULL : csl_secret_alloc(n, 1);
    if (part == NULL) {
        return n == 0 ? CSL_EDATA : CSL_ENOMEM;
    }
    enum csl_err err = csl_rand_secret(part, CSL_SALT_BYTES);
    uint8_t *share = part + CSL_SALT_BYTES;
    if (err == CSL_OK && i + 1 < s->manifest.n_parties) {
        memcpy(share, seeds + (size_t)i * CSL_SEED_BYTES, CSL_SEED_BYTES);
    } else if (err == CSL_OK) {
        err = csl_model_share_encode(share, n - CSL_SALT_BYTES, last);
    }
    if (err == CSL_OK) {
        err = csl_part_commit(s->manifest.commitments[i], s->manifest.nonce, i, part, n);
    }
    if (err == CSL_OK) {
        err = seal_part(s, ctx, i, part, n, diag);
    }
    csl_secret_free(part);
    return err;
}

static enum csl_err make_parts(struct csl_sealed *s, const struct csl_context *ctx,
                               const struct csl_weights *weights, struct csl_diag *diag) {
    uint8_t seeds[CSL_MAX_PARTIES * CSL_SEED_BYTES];
    struct csl_qweights q = {0};
    struct csl_model_share last = {0};
    enum csl_err err = CSL_OK;
    TRY_OUT(csl_quantise(&q, &s->manifest.plan, weights, diag));
    TRY_OUT(csl_model_split(seeds, &last, &s->manifest.plan, &q, s->manifest.n_parties, diag));
    TRY_OUT(csl_rand(s->manifest.nonce, sizeof s->manifest.nonce));
    for (unsigned i = 0; i < s->manifest.n_parties; i++) {
        TRY_OUT(make_part(s, ctx, i, seeds, &last, diag));
    }
out:
    csl_wipe(seeds, sizeof seeds);
    csl_model_share_clear(&last);
    csl_qweights_clear(&q);
    return err;
}

static enum csl_err check_may_seal(const struct csl_context *ctx, const char *name, unsigned days,
                                   struct csl_diag *diag) {
    TRY(csl_context_require(ctx, CSL_ROLE_OWNER, diag));
    if (!csl_roster_may_share(&ctx->roster, ctx->self->name, name)) {
        return csl_fail(diag, CSL_EPERM, "the roster does not name %s as the owner of model %s",
                        ctx->self->name, name);
    }
    if (days == 0 || days > CSL_SEAL_DAYS_MAX) {
        return csl_fail(diag, CSL_EUSAGE, "a seal is good for 1 to %d days, not %u", CSL_SEAL_DAYS_MAX, days);
    }
    int64_t now = (int64_t)time(NULL);
    if (csl_cert_not_before(ctx->site.tls_cert) > now || csl_cert_not_after(ctx->site.tls_cert) <= now) {
        return csl_fail(
            diag, CSL_ESTALE,
            "the certificate of %s is not valid now: renew it with consilium cert request, or set "
            "this machine's clock; then seal",
            ctx->self->name);
    }
    return CSL_OK;
}

static enum csl_err add_leaf(const struct csl_context *ctx, const struct csl_sealed *s,
                             struct csl_diag *diag) {
    CSL_LEAF(leaf, model, ModelLeaf, MODEL_LEAF, MODEL, model);
    ProtobufCBinaryData digests[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < s->manifest.n_parties; i++) {
        digests[i] = csl_bytes(s->manifest.sealed[i], CSL_DIGEST_BYTES);
    }
    model.name = (char *)(uintptr_t)s->manifest.name;
    model.owner = (char *)(uintptr_t)s->manifest.owner;
    model.package_digest = csl_bytes(s->manifest.digest, CSL_DIGEST_BYTES);
    model.sealed_digests = digests;
    model.n_sealed_digests = s->manifest.n_parties;
    model.event = CSL_MODEL_SEALED;
    return csl_logbook_add(ctx->logbook, &leaf, true, diag);
}

static void begin(struct csl_sealed *s, const struct csl_context *ctx, const char *name,
                  const struct csl_plan *plan, unsigned days) {
    struct csl_manifest *m = &s->manifest;
    m->plan = *plan;
    m->n_parties = ctx->roster.n_parties;
    (void)snprintf(m->name, sizeof m->name, "%s", name);
    (void)snprintf(m->owner, sizeof m->owner, "%s", ctx->self->name);
    for (unsigned i = 0; i < m->n_parties; i++) {
        const struct csl_member *party = csl_roster_party(&ctx->roster, i);
        memcpy(m->parties[i], party->name, sizeof m->parties[i]);
        memcpy(m->party_keys[i], party->sign_spki, sizeof m->party_keys[i]);
    }
    m->sealed_ms = csl_wall_ms();
    m->expires_ms = m->sealed_ms + (uint64_t)days * DAY_MS;
}

enum csl_err csl_seal(struct csl_sealed **out, const struct csl_context *ctx, const char *name,
                      const struct csl_plan *plan, const struct csl_weights *weights, unsigned days,
                      struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    *out = NULL;
    TRY(check_may_seal(ctx, name, days, diag));
    struct csl_sealed *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return CSL_ENOMEM;
    }
    begin(s, ctx, name, plan, days);
    TRY_OUT(make_parts(s, ctx, weights, diag));
    TRY_OUT(csl_manifest_encode(&s->bytes, &s->n_bytes, &s->manifest));
    TRY_OUT(csl_statement_sign_bytes(s->signature, CSL_STATEMENT_MANIFEST, s->bytes, s->n_bytes,
                                     ctx->site.sign_key, diag));
    TRY_OUT(add_leaf(ctx, s, diag));
    *out = s;
    s = NULL;
out:
    csl_sealed_free(s);
    return err;
}

/* ---- Files ---- */

enum csl_err csl_sealed_path(char *out, size_t n_out, const char *dir, const struct csl_sealed *s, unsigned i,
                             struct csl_diag *diag) {
    int n = snprintf(out, n_out, "%s/%s.%s.package", dir, s->manifest.name, s->manifest.parties[i]);
    return n >= 0 && (size_t)n < n_out
               ? CSL_OK
               : csl_fail(diag, CSL_EUSAGE, "the path of a package in the folder is too long");
}

static enum csl_err write_one(const struct csl_sealed *s, const char *dir, unsigned i,
                              struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    uint8_t *bytes;
    size_t n;
    Csl__Pb__ModelPackage f = CSL__PB__MODEL_PACKAGE__INIT;
    f.manifest = csl_bytes(s->bytes, s->n_bytes);
    f.signature = csl_bytes(s->signature, sizeof s->signature);
    f.party = i;
    f.sealed = csl_bytes(s->parts[i].p, s->parts[i].n);
    TRY(csl_sealed_path(path, sizeof path, dir, s, i, diag));
    TRY(csl_package_file_pack(&bytes, &n, &f));
    enum csl_err err = csl__replace_file(path, 0600, bytes, n, diag);
    free(bytes);
    return err;
}

enum csl_err csl_sealed_write(const struct csl_sealed *s, const char *dir, struct csl_diag *diag) {
    TRY(csl__make_dir(dir, diag));
    for (unsigned i = 0; i < s->manifest.n_parties; i++) {
        TRY(write_one(s, dir, i, diag));
    }
    return CSL_OK;
}

/* The first file gives the manifest, the others must have the same. */
static enum csl_err take_manifest(struct csl_sealed *s, const struct csl_context *ctx, const char *name,
                                  const Csl__Pb__ModelPackage *f, struct csl_diag *diag) {
    if (s->bytes != NULL) {
        bool same = f->manifest.len == s->n_bytes && memcmp(f->manifest.data, s->bytes, s->n_bytes) == 0;
        return same ? CSL_OK
                    : csl_fail(diag, CSL_EDATA, "of another sealing than the package of %s",
                               s->manifest.parties[0]);
    }
    TRY(csl_manifest_decode(&s->manifest, f->manifest.data, f->manifest.len, diag));
    TRY(csl_manifest_verify(&s->manifest, f->manifest.data, f->manifest.len, f->signature.data,
                            f->signature.len, &ctx->roster, diag));
    if (strcmp(s->manifest.owner, ctx->self->name) != 0 || strcmp(s->manifest.name, name) != 0) {
        return csl_fail(diag, CSL_EPERM, "holds model %s of %s, not %s of %s", s->manifest.name,
                        s->manifest.owner, name, ctx->self->name);
    }
    s->bytes = malloc(f->manifest.len);
    if (s->bytes == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(s->bytes, f->manifest.data, f->manifest.len);
    s->n_bytes = f->manifest.len;
    memcpy(s->signature, f->signature.data, sizeof s->signature);
    return CSL_OK;
}

static enum csl_err take_part(struct csl_sealed *s, const Csl__Pb__ModelPackage *f, unsigned i,
                              struct csl_diag *diag) {
    uint8_t digest[CSL_DIGEST_BYTES];
    TRY(csl_sha256_once(digest, f->sealed.data, f->sealed.len));
    if (f->party != i || !csl_hash_equal(digest, s->manifest.sealed[i], sizeof digest)) {
        return csl_fail(diag, CSL_EAUTH, "not the sealed part of party %u that the manifest names", i);
    }
    s->parts[i].p = malloc(f->sealed.len);
    if (s->parts[i].p == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(s->parts[i].p, f->sealed.data, f->sealed.len);
    s->parts[i].n = f->sealed.len;
    return CSL_OK;
}

static enum csl_err read_one(struct csl_sealed *s, const struct csl_context *ctx, const char *name,
                             const char *dir, unsigned i, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    Csl__Pb__ModelPackage *f = NULL;
    TRY(csl_sealed_path(path, sizeof path, dir, s, i, diag));
    TRY(csl_package_file_read(&f, path, diag));
    enum csl_err err = take_manifest(s, ctx, name, f, diag);
    if (err == CSL_OK) {
        err = take_part(s, f, i, diag);
    }
    csl_package_file_free(f);
    return err == CSL_OK ? err : csl_fail_context(diag, err, "%s", path);
}

enum csl_err csl_sealed_read(struct csl_sealed **out, const struct csl_context *ctx, const char *name,
                             const char *dir, struct csl_diag *diag) {
    *out = NULL;
    TRY(csl_context_require(ctx, CSL_ROLE_OWNER, diag));
    struct csl_sealed *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return CSL_ENOMEM;
    }
    (void)snprintf(s->manifest.name, sizeof s->manifest.name, "%s", name);
    enum csl_err err = CSL_OK;
    for (unsigned i = 0; err == CSL_OK && i < ctx->roster.n_parties; i++) {
        memcpy(s->manifest.parties[i], csl_roster_party(&ctx->roster, i)->name, CSL_NAME_MAX + 1);
        err = read_one(s, ctx, name, dir, i, diag);
    }
    if (err != CSL_OK) {
        csl_sealed_free(s);
        return err;
    }
    *out = s;
    return CSL_OK;
}
