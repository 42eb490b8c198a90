#include "crypto/sign.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "crypto/token_internal.h"

static enum csl_err check_key(const EVP_PKEY *key, struct csl_diag *diag) {
    if (key == NULL || EVP_PKEY_is_a(key, "ED25519") != 1) {
        return csl_fail(diag, CSL_ECONFIG, "the signing key is of type %s; it must be Ed25519",
                        key == NULL ? "none" : EVP_PKEY_get0_type_name(key));
    }
    return CSL_OK;
}

static enum csl_err check_arguments(const EVP_PKEY *key, const char *context, struct csl_diag *diag) {
    size_t n = strlen(context);
    if (n == 0 || n > CSL_SIGN_CONTEXT_MAX) {
        return csl_fail(diag, CSL_EUSAGE, "a signature's context must have 1 to %d bytes, not %zu",
                        CSL_SIGN_CONTEXT_MAX, n);
    }
    return check_key(key, diag);
}

static enum csl_err check_text(const EVP_PKEY *key, const char *text, size_t n, struct csl_diag *diag) {
    if (n == 0 || memchr(text, 0, n) != NULL) {
        return csl_fail(diag, CSL_EUSAGE, "a text to sign must not be empty or hold a zero byte");
    }
    return check_key(key, diag);
}

/* Allocates context | 0x00 | msg: OpenSSL's Ed25519 takes a message in one piece. */
static enum csl_err join(uint8_t **joined, size_t *n_joined, const char *context, const uint8_t *msg,
                         size_t n, struct csl_diag *diag) {
    size_t n_context = strlen(context) + 1;
    *joined = n > SIZE_MAX - n_context ? NULL : malloc(n_context + n);
    if (*joined == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "no memory to sign or verify %zu bytes (%s)", n, context);
    }
    memcpy(*joined, context, n_context);
    if (n != 0) {
        memcpy(*joined + n_context, msg, n);
    }
    *n_joined = n_context + n;
    return CSL_OK;
}

/* OpenSSL signs with a public key's missing private half only to fail late; ask first. */
static bool has_private(const EVP_PKEY *key) {
    uint8_t raw[32];
    size_t n = sizeof raw;
    bool ok = EVP_PKEY_get_raw_private_key(key, raw, &n) == 1 && n == sizeof raw;
    csl_wipe(raw, sizeof raw);
    return ok;
}

/* what: for errors. */
static enum csl_err sign_bytes(uint8_t sig[CSL_SIGNATURE_BYTES], EVP_PKEY *key, const char *what,
                               const uint8_t *p, size_t n, struct csl_diag *diag) {
    struct csl__token_key *in_token = csl__token_key_of(key);
    if (in_token != NULL) {
        return csl__token_sign(sig, in_token, p, n, diag);
    }
    if (!has_private(key)) {
        return csl_fail(diag, CSL_ECONFIG, "the signing key for \"%s\" has no private part", what);
    }
    size_t n_sig = CSL_SIGNATURE_BYTES;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) == 1 &&
              EVP_DigestSign(ctx, sig, &n_sig, p, n) == 1 && n_sig == CSL_SIGNATURE_BYTES;
    EVP_MD_CTX_free(ctx);
    if (!ok) {
        memset(sig, 0, CSL_SIGNATURE_BYTES);
        return csl_fail(diag, CSL_EINTERNAL, "OpenSSL could not sign for \"%s\"", what);
    }
    return CSL_OK;
}

static enum csl_err verify_bytes(EVP_PKEY *key, const uint8_t *sig, size_t n_sig, const char *what,
                                 const uint8_t *p, size_t n, struct csl_diag *diag) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ready = ctx != NULL && EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) == 1;
    bool good = ready && EVP_DigestVerify(ctx, sig, n_sig, p, n) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ready) {
        return csl_fail(diag, CSL_EINTERNAL, "OpenSSL could not verify for \"%s\"", what);
    }
    return good ? CSL_OK
                : csl_fail(diag, CSL_EAUTH, "the signature for \"%s\" is not by this key over these bytes",
                           what);
}

static enum csl_err check_length(size_t n_sig, const char *what, struct csl_diag *diag) {
    return n_sig == CSL_SIGNATURE_BYTES
               ? CSL_OK
               : csl_fail(diag, CSL_EAUTH, "the signature for \"%s\" has %zu bytes; it must have %d", what,
                          n_sig, CSL_SIGNATURE_BYTES);
}

enum csl_err csl_sign(uint8_t sig[CSL_SIGNATURE_BYTES], EVP_PKEY *key, const char *context,
                      const uint8_t *msg, size_t n, struct csl_diag *diag) {
    uint8_t *joined;
    size_t n_joined = 0;
    memset(sig, 0, CSL_SIGNATURE_BYTES);
    TRY(check_arguments(key, context, diag));
    TRY(join(&joined, &n_joined, context, msg, n, diag));
    (void)ERR_set_mark();
    enum csl_err err = sign_bytes(sig, key, context, joined, n_joined, diag);
    (void)ERR_pop_to_mark();
    free(joined);
    return err;
}

enum csl_err csl_verify(EVP_PKEY *key, const uint8_t *sig, size_t n_sig, const char *context,
                        const uint8_t *msg, size_t n, struct csl_diag *diag) {
    uint8_t *joined;
    size_t n_joined = 0;
    TRY(check_arguments(key, context, diag));
    TRY(check_length(n_sig, context, diag));
    TRY(join(&joined, &n_joined, context, msg, n, diag));
    (void)ERR_set_mark();
    enum csl_err err = verify_bytes(key, sig, n_sig, context, joined, n_joined, diag);
    (void)ERR_pop_to_mark();
    free(joined);
    return err;
}

enum csl_err csl_sign_raw(uint8_t sig[CSL_SIGNATURE_BYTES], EVP_PKEY *key, const char *text, size_t n,
                          struct csl_diag *diag) {
    memset(sig, 0, CSL_SIGNATURE_BYTES);
    TRY(check_text(key, text, n, diag));
    (void)ERR_set_mark();
    enum csl_err err = sign_bytes(sig, key, "a text", (const uint8_t *)text, n, diag);
    (void)ERR_pop_to_mark();
    return err;
}

enum csl_err csl_verify_raw(EVP_PKEY *key, const uint8_t *sig, size_t n_sig, const char *text, size_t n,
                            struct csl_diag *diag) {
    TRY(check_text(key, text, n, diag));
    TRY(check_length(n_sig, "a text", diag));
    (void)ERR_set_mark();
    enum csl_err err = verify_bytes(key, sig, n_sig, "a text", (const uint8_t *)text, n, diag);
    (void)ERR_pop_to_mark();
    return err;
}
