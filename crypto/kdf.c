#include "crypto/kdf.h"

#include <openssl/core_names.h>
#include <string.h>

#include "crypto/fetch_internal.h"
#include "crypto/secret.h"

/* RFC 5869. OSSL_PARAM wants pointers to non-const; nothing is written through them. */
static bool hkdf_derive(EVP_KDF_CTX *ctx, uint8_t *out, size_t n, const uint8_t *salt, size_t n_salt,
                        const uint8_t *ikm, size_t n_ikm, const char *info) {
    char digest[] = "SHA256";
    OSSL_PARAM params[5], *p = params;
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)ikm, n_ikm);
    if (n_salt != 0) {
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt, n_salt);
    }
    if (*info != '\0') {
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, strlen(info));
    }
    *p = OSSL_PARAM_construct_end();
    return EVP_KDF_derive(ctx, out, n, params) == 1;
}

enum csl_err csl_hkdf(uint8_t *out, size_t n, const uint8_t *salt, size_t n_salt, const uint8_t *ikm,
                      size_t n_ikm, const char *info) {
    if (n == 0 || n > CSL_HKDF_MAX) {
        return CSL_EUSAGE;
    }
    memset(out, 0, n);
    if (n_ikm == 0 || strlen(info) > CSL_KDF_LABEL_MAX) {
        return CSL_EUSAGE;
    }
    const struct csl__algs *algs = csl__algs();
    if (algs == NULL) {
        return CSL_EINTERNAL;
    }
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(algs->hkdf);
    if (ctx == NULL) {
        return CSL_ENOMEM;
    }
    bool ok = hkdf_derive(ctx, out, n, salt, n_salt, ikm, n_ikm, info);
    EVP_KDF_CTX_free(ctx);
    if (!ok) {
        csl_wipe(out, n);
        return CSL_EINTERNAL;
    }
    CSL_SECRET(out, n);
    return CSL_OK;
}

enum csl_err csl_prf(uint8_t out[CSL_KEY_BYTES], const uint8_t key[CSL_KEY_BYTES], const char *label,
                     const uint8_t *data, size_t n) {
    size_t n_label = strlen(label);
    memset(out, 0, CSL_KEY_BYTES);
    if (n_label == 0 || n_label > CSL_KDF_LABEL_MAX) {
        return CSL_EUSAGE;
    }
    const struct csl__algs *algs = csl__algs();
    if (algs == NULL) {
        return CSL_EINTERNAL;
    }
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(algs->hmac);
    if (ctx == NULL) {
        return CSL_ENOMEM;
    }
    /* The label's terminating zero is the separator. */
    size_t n_out = 0;
    bool ok = EVP_MAC_init(ctx, key, CSL_KEY_BYTES, NULL) == 1 &&
              EVP_MAC_update(ctx, (const unsigned char *)label, n_label + 1) == 1 &&
              (n == 0 || EVP_MAC_update(ctx, data, n) == 1) &&
              EVP_MAC_final(ctx, out, &n_out, CSL_KEY_BYTES) == 1 && n_out == CSL_KEY_BYTES;
    EVP_MAC_CTX_free(ctx);
    if (!ok) {
        csl_wipe(out, CSL_KEY_BYTES);
        return CSL_EINTERNAL;
    }
    CSL_SECRET(out, CSL_KEY_BYTES);
    return CSL_OK;
}
