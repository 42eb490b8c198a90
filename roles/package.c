#include "roles/package.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "roles/message.h"
#include "roles/plan_codec.h"

enum { MANIFEST_VERSION = 1 };

/* ---- Manifest ---- */

static enum csl_err manifest_fields(struct csl_manifest *out, const Csl__Pb__ModelManifest *m,
                                    struct csl_diag *diag) {
    if (m->version != MANIFEST_VERSION) {
        return csl_fail(diag, CSL_EDATA, "model manifest: version %u, this program knows %d", m->version,
                        MANIFEST_VERSION);
    }
    if (strlen(m->name) > CSL_MODEL_NAME_MAX || m->name[0] == '\0' || !csl_name_valid(m->owner)) {
        return csl_fail(diag, CSL_EDATA, "model manifest: field name or owner is not a name");
    }
    (void)snprintf(out->name, sizeof out->name, "%s", m->name);
    (void)snprintf(out->owner, sizeof out->owner, "%s", m->owner);
    if (m->nonce.len != sizeof out->nonce || m->n_share_commitments < 2 ||
        m->n_share_commitments > CSL_MAX_PARTIES) {
        return csl_fail(diag, CSL_EDATA,
                        "model manifest: field nonce or share_commitments has a wrong length");
    }
    memcpy(out->nonce, m->nonce.data, sizeof out->nonce);
    out->n_parties = (unsigned)m->n_share_commitments;
    for (unsigned i = 0; i < out->n_parties; i++) {
        if (m->share_commitments[i].len != CSL_DIGEST_BYTES) {
            return csl_fail(diag, CSL_EDATA, "model manifest: share_commitments[%u] has a wrong length", i);
        }
        memcpy(out->commitments[i], m->share_commitments[i].data, CSL_DIGEST_BYTES);
    }
    return csl_plan_from_message(&out->plan, m->plan, diag);
}

enum csl_err csl_manifest_decode(struct csl_manifest *out, const uint8_t *bytes, size_t n,
                                 struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    Csl__Pb__ModelManifest *m = n > CSL_MANIFEST_MAX ? NULL : csl__pb__model_manifest__unpack(NULL, n, bytes);
    if (m == NULL) {
        return csl_fail(diag, CSL_EDATA, "a model manifest of %zu bytes cannot be decoded", n);
    }
    enum csl_err err = manifest_fields(out, m, diag);
    csl__pb__model_manifest__free_unpacked(m, NULL);
    if (err == CSL_OK) {
        err = csl_sha256_once(out->digest, bytes, n);
    }
    if (err != CSL_OK) {
        memset(out, 0, sizeof *out);
    }
    return err;
}

static enum csl_err pack_manifest(uint8_t **bytes, size_t *n, struct csl_manifest *m, Csl__Pb__Plan *plan) {
    ProtobufCBinaryData commitments[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < m->n_parties; i++) {
        commitments[i] = csl_bytes(m->commitments[i], CSL_DIGEST_BYTES);
    }
    Csl__Pb__ModelManifest pb = CSL__PB__MODEL_MANIFEST__INIT;
    pb.version = MANIFEST_VERSION;
    pb.name = m->name;
    pb.owner = m->owner;
    pb.plan = plan;
    pb.nonce = csl_bytes(m->nonce, sizeof m->nonce);
    pb.n_share_commitments = m->n_parties;
    pb.share_commitments = commitments;
    uint8_t *p = malloc(csl__pb__model_manifest__get_packed_size(&pb) + 1);
    if (p == NULL) {
        return CSL_ENOMEM;
    }
    size_t size = csl__pb__model_manifest__pack(&pb, p);
    enum csl_err err = csl_sha256_once(m->digest, p, size);
    if (err != CSL_OK) {
        free(p);
        return err;
    }
    *bytes = p;
    *n = size;
    return CSL_OK;
}

enum csl_err csl_manifest_encode(uint8_t **bytes, size_t *n, struct csl_manifest *m) {
    Csl__Pb__Plan *plan;
    TRY(csl_plan_to_message(&plan, &m->plan));
    enum csl_err err = pack_manifest(bytes, n, m, plan);
    csl__pb__plan__free_unpacked(plan, NULL);
    return err;
}

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

enum csl_err csl_package_share(struct csl_model_share *out, const struct csl_package *p, unsigned party,
                               struct csl_diag *diag) {
    const uint8_t *share = p->part + CSL_SALT_BYTES;
    if (party + 1 < p->n_parties) {
        return csl_model_share_expand(out, &p->plan, share);
    }
    return csl_model_share_decode(out, &p->plan, share, p->n_part - CSL_SALT_BYTES, diag);
}

/* ---- Package ---- */

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

static enum csl_err fill_package(struct csl_package *p, const struct csl_context *ctx,
                                 const uint8_t *manifest, size_t n_manifest, const uint8_t *part,
                                 size_t n_part, struct csl_diag *diag) {
    struct csl_manifest m;
    TRY(csl_manifest_decode(&m, manifest, n_manifest, diag));
    if (m.n_parties != ctx->roster.n_parties) {
        return csl_fail(diag, CSL_EDATA, "model %s is shared among %u parties, the roster has %u", m.name,
                        m.n_parties, ctx->roster.n_parties);
    }
    p->refs = 1;
    memcpy(p->name, m.name, sizeof p->name);
    memcpy(p->owner, m.owner, sizeof p->owner);
    memcpy(p->digest, m.digest, sizeof p->digest);
    p->plan = m.plan;
    p->n_parties = m.n_parties;
    p->manifest = malloc(n_manifest);
    p->part = csl_secret_alloc(n_part, 1);
    if (p->manifest == NULL || p->part == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(p->manifest, manifest, n_manifest);
    p->n_manifest = n_manifest;
    memcpy(p->part, part, n_part);
    p->n_part = n_part;
    return check_part(p, &m, (unsigned)ctx->self->party, diag);
}

static void package_free(struct csl_package *p) {
    free(p->manifest);
    csl_secret_free(p->part);
    free(p);
}

enum csl_err csl_package_new(struct csl_package **out, const struct csl_context *ctx, const uint8_t *manifest,
                             size_t n_manifest, const uint8_t *part, size_t n_part, struct csl_diag *diag) {
    *out = NULL;
    struct csl_package *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = fill_package(p, ctx, manifest, n_manifest, part, n_part, diag);
    if (err != CSL_OK) {
        package_free(p);
        return err;
    }
    *out = p;
    return CSL_OK;
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
