/* The manifest of a shared model: its form, its signature, its expiry. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/statement.h"
#include "crypto/hash.h"
#include "roles/message.h"
#include "roles/package/package.h"
#include "roles/plan_codec.h"

enum { MANIFEST_VERSION = 2 };

uint64_t csl_wall_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- Decoding ---- */

/* As in a roster: it becomes part of a path. */
static bool model_name_valid(const char *name) {
    size_t n = strlen(name);
    return n >= 1 && n <= CSL_MODEL_NAME_MAX && name[0] != '.' && name[0] != '-' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static enum csl_err bad(struct csl_diag *diag, const char *field, unsigned i) {
    return csl_fail(diag, CSL_EDATA, "model manifest: %s[%u] has a wrong form", field, i);
}

/* Everything that there is one of for each party. */
static enum csl_err party_fields(struct csl_manifest *out, const Csl__Pb__ModelManifest *m,
                                 struct csl_diag *diag) {
    size_t n = m->n_share_commitments;
    if (n < 2 || n > CSL_MAX_PARTIES || m->n_sealed_digests != n || m->n_parties != n ||
        m->n_party_keys != n) {
        return csl_fail(diag, CSL_EDATA,
                        "model manifest: commitments, sealed digests, parties and their keys are not of the "
                        "same 2 to %d parties",
                        CSL_MAX_PARTIES);
    }
    out->n_parties = (unsigned)n;
    for (unsigned i = 0; i < n; i++) {
        if (m->share_commitments[i].len != CSL_DIGEST_BYTES) {
            return bad(diag, "share_commitments", i);
        }
        if (m->sealed_digests[i].len != CSL_DIGEST_BYTES) {
            return bad(diag, "sealed_digests", i);
        }
        if (!csl_name_valid(m->parties[i])) {
            return bad(diag, "parties", i);
        }
        if (m->party_keys[i].len != CSL_SPKI_BYTES) {
            return bad(diag, "party_keys", i);
        }
        memcpy(out->commitments[i], m->share_commitments[i].data, CSL_DIGEST_BYTES);
        memcpy(out->sealed[i], m->sealed_digests[i].data, CSL_DIGEST_BYTES);
        (void)snprintf(out->parties[i], sizeof out->parties[i], "%s", m->parties[i]);
        memcpy(out->party_keys[i], m->party_keys[i].data, CSL_SPKI_BYTES);
    }
    return CSL_OK;
}

static enum csl_err manifest_fields(struct csl_manifest *out, const Csl__Pb__ModelManifest *m,
                                    struct csl_diag *diag) {
    if (m->version != MANIFEST_VERSION) {
        return csl_fail(diag, CSL_EDATA, "model manifest: version %u, this program knows %d", m->version,
                        MANIFEST_VERSION);
    }
    if (!model_name_valid(m->name) || !csl_name_valid(m->owner)) {
        return csl_fail(diag, CSL_EDATA, "model manifest: field name or owner is not a name");
    }
    (void)snprintf(out->name, sizeof out->name, "%s", m->name);
    (void)snprintf(out->owner, sizeof out->owner, "%s", m->owner);
    if (m->nonce.len != sizeof out->nonce) {
        return csl_fail(diag, CSL_EDATA, "model manifest: field nonce has a wrong length");
    }
    memcpy(out->nonce, m->nonce.data, sizeof out->nonce);
    if (m->sealed_ms >= m->expires_ms) {
        return csl_fail(diag, CSL_EDATA, "model manifest: it expires before it was sealed");
    }
    out->sealed_ms = m->sealed_ms;
    out->expires_ms = m->expires_ms;
    TRY(party_fields(out, m, diag));
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

/* ---- Encoding ---- */

static enum csl_err pack_manifest(uint8_t **bytes, size_t *n, struct csl_manifest *m, Csl__Pb__Plan *plan) {
    ProtobufCBinaryData commitments[CSL_MAX_PARTIES], sealed[CSL_MAX_PARTIES], keys[CSL_MAX_PARTIES];
    char *parties[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < m->n_parties; i++) {
        commitments[i] = csl_bytes(m->commitments[i], CSL_DIGEST_BYTES);
        sealed[i] = csl_bytes(m->sealed[i], CSL_DIGEST_BYTES);
        keys[i] = csl_bytes(m->party_keys[i], CSL_SPKI_BYTES);
        parties[i] = m->parties[i];
    }
    Csl__Pb__ModelManifest pb = CSL__PB__MODEL_MANIFEST__INIT;
    pb.version = MANIFEST_VERSION;
    pb.name = m->name;
    pb.owner = m->owner;
    pb.plan = plan;
    pb.nonce = csl_bytes(m->nonce, sizeof m->nonce);
    pb.n_share_commitments = pb.n_sealed_digests = pb.n_parties = pb.n_party_keys = m->n_parties;
    pb.share_commitments = commitments;
    pb.sealed_digests = sealed;
    pb.parties = parties;
    pb.party_keys = keys;
    pb.sealed_ms = m->sealed_ms;
    pb.expires_ms = m->expires_ms;
    uint8_t *p = malloc(csl__pb__model_manifest__get_packed_size(&pb) + 1);
    if (p == NULL) {
        return CSL_ENOMEM;
    }
    size_t size = csl__pb__model_manifest__pack(&pb, p);
    enum csl_err err = size > CSL_MANIFEST_MAX ? CSL_EDATA : csl_sha256_once(m->digest, p, size);
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

/* ---- Verification ---- */

enum csl_err csl_seal_check_expiry(const char *model, const char *owner, uint64_t expires_ms,
                                   struct csl_diag *diag) {
    if (csl_wall_ms() < expires_ms) {
        return CSL_OK;
    }
    char date[32] = "a day that cannot be written";
    time_t t = (time_t)(expires_ms / 1000);
    struct tm tm;
    if (gmtime_r(&t, &tm) != NULL) {
        (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &tm);
    }
    return csl_fail(diag, CSL_ESTALE, "the seal of model %s by %s expired on %s; its owner must seal it anew",
                    model, owner, date);
}

enum csl_err csl_manifest_verify(const struct csl_manifest *m, const uint8_t *bytes, size_t n,
                                 const uint8_t *signature, size_t n_signature,
                                 const struct csl_roster *roster, struct csl_diag *diag) {
    const struct csl_member *owner = csl_roster_member(roster, m->owner);
    if (owner == NULL || !csl_roster_may_share(roster, m->owner, m->name)) {
        return csl_fail(diag, CSL_EPERM, "the roster does not let %s share model %s", m->owner, m->name);
    }
    if (n_signature == 0) {
        return csl_fail(diag, CSL_EAUTH, "model %s is not signed; its owner %s must sign its manifest",
                        m->name, m->owner);
    }
    if (csl_statement_verify(CSL_STATEMENT_MANIFEST, bytes, n, signature, n_signature, owner->sign_key,
                             NULL) != CSL_OK) {
        return csl_fail(
            diag, CSL_EAUTH,
            "model %s: the manifest's signature is not of its owner %s, by the key that the roster "
            "has of it",
            m->name, m->owner);
    }
    if (m->n_parties != roster->n_parties) {
        return csl_fail(diag, CSL_EDATA, "model %s is shared among %u parties, the roster has %u", m->name,
                        m->n_parties, roster->n_parties);
    }
    return csl_seal_check_expiry(m->name, m->owner, m->expires_ms, diag);
}
