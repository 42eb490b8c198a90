/* SHA-256 (FIPS 180-4), by OpenSSL. Constant time in the data, not in its length.
 *
 * Errors: CSL_ENOMEM; CSL_EINTERNAL when OpenSSL refuses or a context is used after its end.
 */
#ifndef CSL_CRYPTO_HASH_H
#define CSL_CRYPTO_HASH_H

#include "crypto/err.h"

enum { CSL_SHA256_BYTES = 32 };

/* The digest of data[0..n). data may be NULL when n is 0. */
CSL_MUST_CHECK enum csl_err csl_sha256_once(uint8_t out[CSL_SHA256_BYTES], const uint8_t *data, size_t n);

/* Incremental: init, any number of updates, final. clear() at any time after a first
 * `struct csl_sha256 h = {0}` or init; it wipes the state and may be called twice. */
struct csl_sha256 {
    struct evp_md_ctx_st *ctx;
};

CSL_MUST_CHECK enum csl_err csl_sha256_init(struct csl_sha256 *h);
CSL_MUST_CHECK enum csl_err csl_sha256_update(struct csl_sha256 *h, const uint8_t *data, size_t n);
/* Writes the digest and clears h, also on error (then out is zero). */
CSL_MUST_CHECK enum csl_err csl_sha256_final(struct csl_sha256 *h, uint8_t out[CSL_SHA256_BYTES]);
void csl_sha256_clear(struct csl_sha256 *h);

/* Whether a[0..n) equals b[0..n), in time that depends on n alone. The answer is public. */
bool csl_hash_equal(const uint8_t *a, const uint8_t *b, size_t n);

#endif
