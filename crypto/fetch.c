#include "crypto/fetch_internal.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdbool.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct csl__algs algs;
static bool complete;

static EVP_MAC_CTX *hmac_template(void) {
    static const unsigned char zero_key[32];
    EVP_MAC *mac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
    EVP_MAC_CTX *ctx = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    if (ctx != NULL && EVP_MAC_init(ctx, zero_key, sizeof zero_key, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

static void fetch(void) {
    (void)ERR_set_mark();
    algs = (struct csl__algs){
        .sha256 = EVP_MD_fetch(NULL, "SHA256", NULL),
        .aes128_ctr = EVP_CIPHER_fetch(NULL, "AES-128-CTR", NULL),
        .aes256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL),
        .hkdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_HKDF, NULL),
        .hmac = hmac_template(),
    };
    (void)ERR_pop_to_mark();
    complete = algs.sha256 != NULL && algs.aes128_ctr != NULL && algs.aes256_gcm != NULL &&
               algs.hkdf != NULL && algs.hmac != NULL;
}

const struct csl__algs *csl__algs(void) {
    (void)pthread_once(&once, fetch);
    return complete ? &algs : NULL;
}
