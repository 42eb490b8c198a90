#include "crypto/hash.h"

#include <openssl/crypto.h>
#include <string.h>

#include "crypto/fetch_internal.h"

enum csl_err csl_sha256_init(struct csl_sha256 *h) {
    h->ctx = NULL;
    const struct csl__algs *algs = csl__algs();
    if (algs == NULL) {
        return CSL_EINTERNAL;
    }
    h->ctx = EVP_MD_CTX_new();
    if (h->ctx == NULL) {
        return CSL_ENOMEM;
    }
    if (EVP_DigestInit_ex2(h->ctx, algs->sha256, NULL) != 1) {
        csl_sha256_clear(h);
        return CSL_EINTERNAL;
    }
    return CSL_OK;
}

enum csl_err csl_sha256_update(struct csl_sha256 *h, const uint8_t *data, size_t n) {
    if (h->ctx == NULL || (n != 0 && EVP_DigestUpdate(h->ctx, data, n) != 1)) {
        return CSL_EINTERNAL;
    }
    return CSL_OK;
}

enum csl_err csl_sha256_final(struct csl_sha256 *h, uint8_t out[CSL_SHA256_BYTES]) {
    bool ok = h->ctx != NULL && EVP_DigestFinal_ex(h->ctx, out, NULL) == 1;
    csl_sha256_clear(h);
    if (!ok) {
        memset(out, 0, CSL_SHA256_BYTES);
        return CSL_EINTERNAL;
    }
    return CSL_OK;
}

/* EVP_MD_CTX_free cleanses the digest's state. */
void csl_sha256_clear(struct csl_sha256 *h) {
    EVP_MD_CTX_free(h->ctx);
    h->ctx = NULL;
}

enum csl_err csl_sha256_once(uint8_t out[CSL_SHA256_BYTES], const uint8_t *data, size_t n) {
    enum csl_err err;
    struct csl_sha256 h;
    memset(out, 0, CSL_SHA256_BYTES);
    TRY(csl_sha256_init(&h));
    TRY_OUT(csl_sha256_update(&h, data, n));
    err = csl_sha256_final(&h, out);
out:
    csl_sha256_clear(&h);
    return err;
}

bool csl_hash_equal(const uint8_t *a, const uint8_t *b, size_t n) {
    return n == 0 || CRYPTO_memcmp(a, b, n) == 0;
}
