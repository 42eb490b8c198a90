/* The roster's digest: SHA-256 over
 *   "consilium/roster/1", consortium, CA certificate (DER),
 *   members: count, each name, roles, host, port, the three key fingerprints,
 *   models: count, each name, owner, label only (0, 1), clients: count, each index,
 *   connections: count, each from, to; timeouts, lanes, max_batch,
 *   audit: sign (0 off, 1 after the output, 2 before it), check_rows, views_mib, colluding;
 *   where there is a chain or a member with an account: "chain", id (two numbers, the lower first), contract,
 *   confirmations, and the account of each member (empty when it has none).
 *   where session_places_per_client is not 8 (it is newer than the others, and rosters keep their digests):
 *   "session places", its number.
 * Texts and blobs are preceded by their length; numbers and lengths are 32 bits, little-endian; lists keep
 * the file's order. */
#include <openssl/evp.h>
#include <string.h>

#include "net/roster_internal.h"

static bool put_u32(EVP_MD_CTX *md, size_t v) {
    uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    return EVP_DigestUpdate(md, b, 4) == 1;
}

static bool put(EVP_MD_CTX *md, const void *data, size_t n) {
    return put_u32(md, n) && EVP_DigestUpdate(md, data, n) == 1;
}

static bool put_text(EVP_MD_CTX *md, const char *s) {
    return put(md, s, strlen(s));
}

static bool put_ca(EVP_MD_CTX *md, const X509 *ca) {
    unsigned char *der = NULL;
    int n = i2d_X509(ca, &der);
    bool ok = n > 0 && put(md, der, (size_t)n);
    OPENSSL_free(der);
    return ok;
}

static bool put_member(EVP_MD_CTX *md, const struct csl_member *m) {
    return put_text(md, m->name) && put_u32(md, m->roles) && put_text(md, m->host) && put_u32(md, m->port) &&
           put(md, m->tls_spki, CSL_SPKI_BYTES) && put(md, m->wrap_spki, CSL_SPKI_BYTES) &&
           put(md, m->sign_spki, CSL_SPKI_BYTES);
}

static bool put_model(EVP_MD_CTX *md, const struct csl_model_rule *m) {
    bool ok = put_text(md, m->name) && put_u32(md, m->owner) && put_u32(md, m->label_only) &&
              put_u32(md, m->n_clients);
    for (size_t i = 0; ok && i < m->n_clients; i++) {
        ok = put_u32(md, m->clients[i]);
    }
    return ok;
}

static bool put_numbers(EVP_MD_CTX *md, const void *base, const struct csl__roster_number *rows, size_t n) {
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        ok = put_u32(md, csl__number_get(base, &rows[i]));
    }
    return ok;
}

enum { IN_EVERY_DIGEST = 2 }; /* of the limits: the first ones */

static bool put_newer_limits(EVP_MD_CTX *md, const struct csl_limits *l) {
    const struct csl__roster_number *row = &csl__limits[IN_EVERY_DIGEST];
    uint32_t places = csl__number_get(l, row);
    return places == row->standard || (put_text(md, "session places") && put_u32(md, places));
}

static bool put_chain(EVP_MD_CTX *md, const struct csl_roster *r) {
    bool any = r->chain.id != 0;
    for (size_t i = 0; i < r->n_members; i++) {
        any = any || r->members[i].has_account;
    }
    if (!any) {
        return true;
    }
    bool ok = put_text(md, "chain") && put_u32(md, (uint32_t)r->chain.id) &&
              put_u32(md, (uint32_t)(r->chain.id >> 32)) &&
              put(md, r->chain.contract, CSL_ROSTER_ACCOUNT_BYTES) &&
              put_numbers(md, &r->chain, csl__chain, CSL__N_CHAIN);
    for (size_t i = 0; ok && i < r->n_members; i++) {
        const struct csl_member *m = &r->members[i];
        ok = put(md, m->account, m->has_account ? CSL_ROSTER_ACCOUNT_BYTES : 0);
    }
    return ok;
}

static bool put_roster(EVP_MD_CTX *md, const struct csl_roster *r) {
    bool ok = put_text(md, "consilium/roster/1") && put_text(md, r->consortium) && put_ca(md, r->ca) &&
              put_u32(md, r->n_members);
    for (size_t i = 0; ok && i < r->n_members; i++) {
        ok = put_member(md, &r->members[i]);
    }
    ok = ok && put_u32(md, r->n_models);
    for (size_t i = 0; ok && i < r->n_models; i++) {
        ok = put_model(md, &r->models[i]);
    }
    ok = ok && put_u32(md, r->n_connections);
    for (size_t i = 0; ok && i < r->n_connections; i++) {
        ok = put_u32(md, r->connections[i].from) && put_u32(md, r->connections[i].to);
    }
    return ok && put_numbers(md, &r->timeouts, csl__timeouts, CSL__N_TIMEOUTS) &&
           put_numbers(md, &r->limits, csl__limits, IN_EVERY_DIGEST) && put_u32(md, r->audit.sign) &&
           put_numbers(md, &r->audit, csl__audit, CSL__N_AUDIT) && put_chain(md, r) &&
           put_newer_limits(md, &r->limits);
}

enum csl_err csl_roster_digest(uint8_t out[32], const struct csl_roster *r) {
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 && put_roster(md, r) &&
              EVP_DigestFinal_ex(md, out, NULL) == 1;
    EVP_MD_CTX_free(md);
    if (!ok) {
        memset(out, 0, 32);
    }
    return ok ? CSL_OK : CSL_ENOMEM;
}
