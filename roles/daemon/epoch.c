#include "roles/daemon/epoch.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/envelope.h"
#include "crypto/hash.h"
#include "crypto/rand.h"
#include "crypto/secret.h"
#include "crypto/sign.h"

#define SEED_LABEL "consilium/epoch-seed"
#define GRANT_CONTEXT "consilium/epoch-grant"

enum { GRANT_TEXT_MAX = 32 + 8 + 4 + 32 + CSL_MAX_PARTIES * 32 + 4 + 4096 };

/* What binds an envelope to its epoch and party. */
static void envelope_aad(uint8_t aad[CSL_EPOCH_ID_BYTES + 4], const uint8_t id[CSL_EPOCH_ID_BYTES],
                         unsigned party) {
    memcpy(aad, id, CSL_EPOCH_ID_BYTES);
    csl_store_u32(aad + CSL_EPOCH_ID_BYTES, party);
}

/* The bytes that the dealer signs: every field of the grant, the roster, and the party that it is for. */
static size_t grant_text(uint8_t out[GRANT_TEXT_MAX], const uint8_t roster_digest[32], unsigned party,
                         const Csl__Pb__EpochGrant *g) {
    struct csl_writer w = csl_writer_of(out, GRANT_TEXT_MAX);
    csl_writer_bytes(&w, roster_digest, 32);
    csl_writer_u64(&w, g->number);
    csl_writer_u32(&w, party);
    csl_writer_bytes(&w, g->dealer_nonce.data, g->dealer_nonce.len);
    for (size_t i = 0; i < g->n_party_nonces; i++) {
        csl_writer_bytes(&w, g->party_nonces[i].data, g->party_nonces[i].len);
    }
    csl_writer_u32(&w, (uint32_t)g->sealed_seed.len);
    csl_writer_bytes(&w, g->sealed_seed.data, g->sealed_seed.len);
    return w.bad ? 0 : w.n;
}

/* ---- Party ---- */

static enum csl_err check_grant(const struct csl_context *ctx, const Csl__Pb__EpochGrant *g,
                                const uint8_t nonce[CSL_NONCE_BYTES], uint8_t digest[32],
                                struct csl_diag *diag) {
    const struct csl_member *dealer = csl_roster_dealer(&ctx->roster);
    if (g->n_party_nonces != ctx->roster.n_parties) {
        return csl_fail(diag, CSL_EPROTO, "%s: epoch %llu names %zu parties, the roster %u", dealer->name,
                        (unsigned long long)g->number, g->n_party_nonces, ctx->roster.n_parties);
    }
    if (memcmp(g->party_nonces[ctx->self->party].data, nonce, CSL_NONCE_BYTES) != 0) {
        return csl_fail(diag, CSL_EPROTO, "%s: epoch %llu does not hold our nonce", dealer->name,
                        (unsigned long long)g->number);
    }
    uint8_t text[GRANT_TEXT_MAX];
    size_t n = grant_text(text, ctx->roster_digest, (unsigned)ctx->self->party, g);
    TRY(csl_sha256_once(digest, text, n));
    enum csl_err err =
        csl_verify(dealer->sign_key, g->signature.data, g->signature.len, GRANT_CONTEXT, text, n, diag);
    return err == CSL_OK
               ? CSL_OK
               : csl_fail(diag, err, "%s: the grant of epoch %llu is not signed by its key in the roster",
                          dealer->name, (unsigned long long)g->number);
}

static enum csl_err open_seed(uint8_t seed[32], const struct csl_context *ctx,
                              const uint8_t id[CSL_EPOCH_ID_BYTES], const Csl__Pb__EpochGrant *g,
                              struct csl_diag *diag) {
    size_t n = 0;
    TRY(csl_envelope_plain_size(&n, g->sealed_seed.data, g->sealed_seed.len, diag));
    if (n != 32) {
        return csl_fail(diag, CSL_EPROTO, "epoch grant: a seed of %zu bytes", n);
    }
    uint8_t aad[CSL_EPOCH_ID_BYTES + 4];
    envelope_aad(aad, id, (unsigned)ctx->self->party);
    return csl_envelope_open(seed, &n, ctx->site.wrap_key, SEED_LABEL, aad, sizeof aad, g->sealed_seed.data,
                             g->sealed_seed.len, diag);
}

enum csl_err csl_party_epoch_new(struct csl_party_epoch **out, const struct csl_context *ctx,
                                 const Csl__Pb__EpochGrant *grant, const uint8_t nonce[CSL_NONCE_BYTES],
                                 struct csl_diag *diag) {
    *out = NULL;
    uint8_t grant_digest[32];
    TRY(check_grant(ctx, grant, nonce, grant_digest, diag));
    struct csl_party_epoch *e = csl_secret_alloc(1, sizeof *e);
    if (e == NULL) {
        return CSL_ENOMEM;
    }
    uint8_t nonces[CSL_MAX_PARTIES * CSL_NONCE_BYTES], seed[32] = {0};
    for (size_t i = 0; i < grant->n_party_nonces; i++) {
        memcpy(nonces + i * CSL_NONCE_BYTES, grant->party_nonces[i].data, CSL_NONCE_BYTES);
    }
    enum csl_err err = CSL_OK;
    TRY_OUT(csl_epoch_id(e->id, ctx->roster_digest, grant->dealer_nonce.data, nonces, ctx->roster.n_parties));
    TRY_OUT(open_seed(seed, ctx, e->id, grant, diag));
    TRY_OUT(csl_epoch_keys_derive(&e->keys, e->id, seed));
    TRY_OUT(csl_stream_set_init(&e->streams));
    memcpy(e->grant_digest, grant_digest, sizeof e->grant_digest);
    e->number = grant->number;
    e->refs = 1;
out:
    csl_wipe(seed, sizeof seed);
    if (err != CSL_OK) {
        csl_secret_free(e);
        return err;
    }
    *out = e;
    return CSL_OK;
}

struct csl_party_epoch *csl_party_epoch_ref(struct csl_party_epoch *e) {
    e->refs++;
    return e;
}

void csl_party_epoch_unref(struct csl_party_epoch *e) {
    if (e != NULL && --e->refs == 0) {
        csl_stream_set_clear(&e->streams);
        csl_epoch_keys_clear(&e->keys);
        csl_secret_free(e);
    }
}

/* ---- Dealer ---- */

static enum csl_err fill_epoch(struct csl_dealer_epoch *e, const struct csl_context *ctx) {
    TRY(csl_rand(e->dealer_nonce, sizeof e->dealer_nonce));
    TRY(csl_epoch_id(e->id, ctx->roster_digest, e->dealer_nonce, e->nonces, e->n_parties));
    for (unsigned i = 0; i < e->n_parties; i++) {
        TRY(csl_rand_secret(e->seeds[i], sizeof e->seeds[i]));
        TRY(csl_epoch_keys_derive(&e->keys[i], e->id, e->seeds[i]));
    }
    return csl_stream_set_init(&e->streams);
}

enum csl_err csl_dealer_epoch_new(struct csl_dealer_epoch **out, const struct csl_context *ctx,
                                  uint64_t number, const uint8_t *nonces, struct csl_diag *diag) {
    *out = NULL;
    struct csl_dealer_epoch *e = csl_secret_alloc(1, sizeof *e);
    if (e == NULL) {
        return CSL_ENOMEM;
    }
    e->refs = 1;
    e->number = number;
    e->n_parties = ctx->roster.n_parties;
    memcpy(e->nonces, nonces, e->n_parties * (size_t)CSL_NONCE_BYTES);
    enum csl_err err = fill_epoch(e, ctx);
    if (err != CSL_OK) {
        csl_secret_free(e);
        return csl_fail(diag, err, "epoch %llu cannot be made: %s", (unsigned long long)number,
                        csl_err_text(err));
    }
    *out = e;
    return CSL_OK;
}

struct csl_dealer_epoch *csl_dealer_epoch_ref(struct csl_dealer_epoch *e) {
    e->refs++;
    return e;
}

void csl_dealer_epoch_unref(struct csl_dealer_epoch *e) {
    if (e != NULL && --e->refs == 0) {
        csl_stream_set_clear(&e->streams);
        csl_secret_free(e); /* wipes keys and seeds */
    }
}

void csl_dealer_epoch_granted(struct csl_dealer_epoch *e) {
    csl_wipe(e->seeds, sizeof e->seeds);
}

void csl_grant_clear(struct csl_grant *g) {
    free(g->sealed);
    g->sealed = NULL;
}

static enum csl_err seal_seed(struct csl_grant *g, const struct csl_dealer_epoch *e,
                              const struct csl_member *to, struct csl_diag *diag) {
    size_t n;
    TRY(csl_envelope_size(&n, 32, to->wrap_key, diag));
    g->sealed = malloc(n);
    if (g->sealed == NULL) {
        return CSL_ENOMEM;
    }
    uint8_t aad[CSL_EPOCH_ID_BYTES + 4];
    envelope_aad(aad, e->id, (unsigned)to->party);
    TRY(csl_envelope_seal(g->sealed, &n, to->wrap_key, SEED_LABEL, aad, sizeof aad, e->seeds[to->party], 32,
                          diag));
    g->pb.sealed_seed = csl_bytes(g->sealed, n);
    return CSL_OK;
}

enum csl_err csl_dealer_epoch_grant(struct csl_grant *out, const struct csl_context *ctx,
                                    const struct csl_dealer_epoch *e, unsigned party, struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    csl__pb__epoch_grant__init(&out->pb);
    out->pb.number = e->number;
    out->pb.dealer_nonce = csl_bytes(e->dealer_nonce, sizeof e->dealer_nonce);
    for (unsigned i = 0; i < e->n_parties; i++) {
        out->nonces[i] = csl_bytes(e->nonces + (size_t)i * CSL_NONCE_BYTES, CSL_NONCE_BYTES);
    }
    out->pb.n_party_nonces = e->n_parties;
    out->pb.party_nonces = out->nonces;
    enum csl_err err = seal_seed(out, e, csl_roster_party(&ctx->roster, party), diag);
    if (err == CSL_OK) {
        uint8_t text[GRANT_TEXT_MAX];
        size_t n = grant_text(text, ctx->roster_digest, party, &out->pb);
        err = csl_sign(out->signature, ctx->site.sign_key, GRANT_CONTEXT, text, n, diag);
        out->pb.signature = csl_bytes(out->signature, sizeof out->signature);
    }
    if (err != CSL_OK) {
        csl_grant_clear(out);
    }
    return err;
}
