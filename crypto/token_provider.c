/* An OpenSSL provider in this process, for what OpenSSL itself signs with a token's P-256 key: TLS
 * handshakes, certificate requests, a CA's certificates.
 *
 * It has a key manager for EC and ECDSA with SHA-256, in a library context of its own, so that no other fetch
 * meets it: OpenSSL comes here only with a key that was made here. The key manager shows the public half (a
 * key of the default provider answers all questions) and refuses to export a private one; so OpenSSL leaves
 * signing to the provider of the key. */
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <string.h>

#include "crypto/token_internal.h"

#define PARAM_KEY "consilium-token-key"
static const char provider_name[] = "consilium-token";

/* Our key: what the key manager hands around. */
struct key {
    EVP_PKEY *pub; /* of the default provider */
    struct csl__token_key *token;
};

/* ---- The key manager ---- */

static void *key_new(void *provctx) {
    (void)provctx;
    return OPENSSL_zalloc(sizeof(struct key));
}

static void key_free(void *data) {
    struct key *k = data;
    if (k != NULL) {
        EVP_PKEY_free(k->pub);
        csl__token_key_unref(k->token, false);
        OPENSSL_free(k);
    }
}

static int key_has(const void *data, int selection) {
    const struct key *k = data;
    return k != NULL && k->pub != NULL &&
           ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 || k->token != NULL);
}

static int key_match(const void *a, const void *b, int selection) {
    const struct key *x = a, *y = b;
    (void)selection;
    return x->pub != NULL && y->pub != NULL && EVP_PKEY_eq(x->pub, y->pub) == 1;
}

static int key_import(void *data, int selection, const OSSL_PARAM params[]) {
    struct key *k = data;
    struct csl__token_key *token = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, PARAM_KEY);
    bool ok = (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 && ctx != NULL && k->pub == NULL &&
              EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &k->pub, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)(uintptr_t)params) == 1;
    if (ok && p != NULL && p->data_type == OSSL_PARAM_OCTET_STRING && p->data_size == sizeof token) {
        memcpy(&token, p->data, sizeof token);
        csl__token_key_ref(token);
        k->token = token;
    }
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static const OSSL_PARAM *key_import_types(int selection) {
    static const OSSL_PARAM types[] = {OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                                       OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                                       OSSL_PARAM_octet_string(PARAM_KEY, NULL, 0), OSSL_PARAM_END};
    return (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 ? types : NULL;
}

static int key_export(void *data, int selection, OSSL_CALLBACK *callback, void *arg) {
    const struct key *k = data;
    OSSL_PARAM *params = NULL;
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 && k->token != NULL) {
        return 0;
    }
    int ok = k->pub != NULL && EVP_PKEY_todata(k->pub, EVP_PKEY_PUBLIC_KEY, &params) == 1 &&
             callback(params, arg) == 1;
    OSSL_PARAM_free(params);
    return ok;
}

static int key_get_params(void *data, OSSL_PARAM params[]) {
    const struct key *k = data;
    return k->pub != NULL && EVP_PKEY_get_params(k->pub, params) == 1;
}

static const OSSL_PARAM *key_gettable(void *provctx) {
    static const OSSL_PARAM types[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
                                       OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
                                       OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
                                       OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                                       OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                                       OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
                                       OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
                                       OSSL_PARAM_END};
    (void)provctx;
    return types;
}

static const char *key_operation(int operation) {
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

#define FUNCTION(id, f)                                                                                      \
    { id, (void (*)(void))(f) }

static const OSSL_DISPATCH keymgmt[] = {FUNCTION(OSSL_FUNC_KEYMGMT_NEW, key_new),
                                        FUNCTION(OSSL_FUNC_KEYMGMT_FREE, key_free),
                                        FUNCTION(OSSL_FUNC_KEYMGMT_HAS, key_has),
                                        FUNCTION(OSSL_FUNC_KEYMGMT_MATCH, key_match),
                                        FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT, key_import),
                                        FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_import_types),
                                        FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT, key_export),
                                        FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_import_types),
                                        FUNCTION(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),
                                        FUNCTION(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable),
                                        FUNCTION(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, key_operation),
                                        {0, NULL}};

/* ---- ECDSA with SHA-256 ---- */

struct signing {
    const struct key *key; /* the caller's, who keeps it for as long */
    EVP_MD_CTX *digest;
};

static void *sig_new(void *provctx, const char *propq) {
    (void)provctx, (void)propq;
    return OPENSSL_zalloc(sizeof(struct signing));
}

static void sig_free(void *data) {
    struct signing *s = data;
    if (s != NULL) {
        EVP_MD_CTX_free(s->digest);
        OPENSSL_free(s);
    }
}

/* EVP_DigestSignFinal finishes a copy. */
static void *sig_dup(void *data) {
    const struct signing *s = data;
    struct signing *copy = OPENSSL_zalloc(sizeof *copy);
    if (copy == NULL) {
        return NULL;
    }
    copy->key = s->key;
    copy->digest = s->digest == NULL ? NULL : EVP_MD_CTX_new();
    if (s->digest != NULL && (copy->digest == NULL || EVP_MD_CTX_copy_ex(copy->digest, s->digest) != 1)) {
        sig_free(copy);
        copy = NULL;
    }
    return copy;
}

static int sig_init(void *data, const char *md, void *key, const OSSL_PARAM params[]) {
    struct signing *s = data;
    (void)params;
    s->key = key != NULL ? key : s->key;
    if (s->key == NULL || s->key->token == NULL ||
        (md != NULL && md[0] != 0 && EVP_MD_is_a(EVP_sha256(), md) != 1)) {
        return 0;
    }
    EVP_MD_CTX_free(s->digest);
    s->digest = EVP_MD_CTX_new();
    return s->digest != NULL && EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL) == 1;
}

static int sig_update(void *data, const unsigned char *p, size_t n) {
    struct signing *s = data;
    return s->digest != NULL && EVP_DigestUpdate(s->digest, p, n) == 1;
}

/* A library of its own in OpenSSL's errors; the reason is the enum csl_err. */
static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static int library;

static void make_library(void) {
    library = ERR_get_next_error_library();
}

enum csl_err csl_token_failure(struct csl_diag *diag) {
    const char *text = NULL;
    int flags = 0;
    (void)pthread_once(&library_once, make_library);
    unsigned long e = ERR_peek_error_data(&text, &flags);
    if (e == 0 || ERR_GET_LIB(e) != library) {
        return CSL_OK;
    }
    return csl_fail(diag, (enum csl_err)ERR_GET_REASON(e), "%s",
                    (flags & ERR_TXT_STRING) != 0 ? text : "the token of the TLS key failed");
}

static int sig_final(void *data, unsigned char *sig, size_t *n_sig, size_t room) {
    struct signing *s = data;
    enum { DER_MAX = 72 }; /* two integers of 33 bytes */
    uint8_t digest[32], pair[64];
    unsigned char *der = NULL;
    struct csl_diag diag = {""};
    if (sig == NULL) {
        *n_sig = DER_MAX;
        return 1;
    }
    if (room < DER_MAX || s->digest == NULL || EVP_DigestFinal_ex(s->digest, digest, NULL) != 1) {
        return 0;
    }
    enum csl_err err = csl__token_sign(pair, s->key->token, digest, sizeof digest, &diag);
    if (err != CSL_OK) {
        (void)pthread_once(&library_once, make_library);
        ERR_raise_data(library, (int)err, "%s", diag.text);
        return 0;
    }
    int n = csl__token_ecdsa_der(&der, pair);
    bool ok = n > 0 && n <= DER_MAX;
    if (ok) {
        memcpy(sig, der, (size_t)n);
        *n_sig = (size_t)n;
    }
    OPENSSL_free(der);
    return ok;
}

static int sig_once(void *data, unsigned char *sig, size_t *n_sig, size_t room, const unsigned char *p,
                    size_t n) {
    return (sig == NULL || sig_update(data, p, n) == 1) && sig_final(data, sig, n_sig, room) == 1;
}

/* What a certificate says of the signature: ecdsa-with-SHA256 (RFC 5758). */
static int sig_get_params(void *data, OSSL_PARAM params[]) {
    static const uint8_t algorithm[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                        0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID);
    (void)data;
    if (p != NULL && OSSL_PARAM_set_octet_string(p, algorithm, sizeof algorithm) != 1) {
        return 0;
    }
    p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_DIGEST);
    return p == NULL || OSSL_PARAM_set_utf8_string(p, "SHA256") == 1;
}

static const OSSL_PARAM *sig_gettable(void *data, void *provctx) {
    static const OSSL_PARAM types[] = {OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
                                       OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
                                       OSSL_PARAM_END};
    (void)data, (void)provctx;
    return types;
}

static const OSSL_DISPATCH signature[] = {FUNCTION(OSSL_FUNC_SIGNATURE_NEWCTX, sig_new),
                                          FUNCTION(OSSL_FUNC_SIGNATURE_FREECTX, sig_free),
                                          FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, sig_init),
                                          FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, sig_update),
                                          FUNCTION(OSSL_FUNC_SIGNATURE_DUPCTX, sig_dup),
                                          FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, sig_final),
                                          FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, sig_once),
                                          FUNCTION(OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, sig_get_params),
                                          FUNCTION(OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, sig_gettable),
                                          {0, NULL}};

/* ---- The provider ---- */

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache) {
    static const OSSL_ALGORITHM keys[] = {
        {"EC:id-ecPublicKey:1.2.840.10045.2.1", "provider=consilium-token", keymgmt, NULL},
        {NULL, NULL, NULL, NULL}};
    static const OSSL_ALGORITHM signatures[] = {{"ECDSA", "provider=consilium-token", signature, NULL},
                                                {NULL, NULL, NULL, NULL}};
    (void)provctx;
    *no_cache = 0;
    return operation == OSSL_OP_KEYMGMT ? keys : operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                         void **provctx) {
    static const OSSL_DISPATCH functions[] = {FUNCTION(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query), {0, NULL}};
    (void)in;
    *out = functions;
    *provctx = (void *)(uintptr_t)handle;
    return 1;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_LIB_CTX *context; /* for the life of the process; NULL when it could not be made */

/* The default provider is in it for the encoders of public keys. */
static void make_context(void) {
    OSSL_LIB_CTX *c = OSSL_LIB_CTX_new();
    if (c != NULL && OSSL_PROVIDER_add_builtin(c, provider_name, provider_init) == 1 &&
        OSSL_PROVIDER_load(c, provider_name) != NULL && OSSL_PROVIDER_load(c, "default") != NULL) {
        context = c;
    } else {
        OSSL_LIB_CTX_free(c);
    }
}

int csl__token_ecdsa_der(unsigned char **der, const uint8_t pair[64]) {
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(pair, 32, NULL), *s = BN_bin2bn(pair + 32, 32, NULL);
    int n = -1;
    if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL;
        n = i2d_ECDSA_SIG(sig, der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return n;
}

EVP_PKEY *csl__token_provider_key(struct csl__token_key *k) {
    EVP_PKEY *key = NULL;
    OSSL_PARAM *pub = NULL;
    (void)pthread_once(&once, make_context);
    EVP_PKEY_CTX *ctx =
        context == NULL ? NULL : EVP_PKEY_CTX_new_from_name(context, "EC", "provider=consilium-token");
    if (ctx != NULL && EVP_PKEY_todata(k->pub, EVP_PKEY_PUBLIC_KEY, &pub) == 1) {
        OSSL_PARAM own[] = {OSSL_PARAM_construct_octet_string(PARAM_KEY, &k, sizeof k),
                            OSSL_PARAM_construct_end()};
        OSSL_PARAM *params = OSSL_PARAM_merge(pub, own);
        if (params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
            EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1) {
            key = NULL;
        }
        OPENSSL_free(params); /* what it points to is the others' */
    }
    OSSL_PARAM_free(pub);
    EVP_PKEY_CTX_free(ctx);
    return key;
}
