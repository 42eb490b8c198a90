/* Keys of a token as EVP_PKEYs: a public half of OpenSSL's, and beside it what leads to the private one. */
#define OPENSSL_SUPPRESS_DEPRECATED /* the decoder of OAEP, below */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/rand.h"
#include "crypto/secret.h"
#include "crypto/token_internal.h"

/* ---- The mark of an EVP_PKEY ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int mark = -1;

static void mark_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp) {
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    csl__token_key_unref(ptr, false);
}

static int mark_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **from_d, int idx, long argl,
                    void *argp) {
    (void)to, (void)from, (void)idx, (void)argl, (void)argp;
    csl__token_key_ref(*from_d);
    return 1;
}

static void make_mark(void) {
    mark = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_EVP_PKEY, 0, NULL, NULL, mark_dup, mark_free);
}

struct csl__token_key *csl__token_key_of(const EVP_PKEY *key) {
    (void)pthread_once(&once, make_mark);
    return mark < 0 || key == NULL ? NULL : EVP_PKEY_get_ex_data(key, mark);
}

static bool set_mark(EVP_PKEY *key, struct csl__token_key *k) {
    (void)pthread_once(&once, make_mark);
    if (mark < 0 || EVP_PKEY_set_ex_data(key, mark, k) != 1) {
        return false;
    }
    csl__token_key_ref(k);
    return true;
}

/* ---- Counting ---- */

void csl__token_key_ref(struct csl__token_key *k) {
    if (k != NULL) {
        atomic_fetch_add(&k->refs, 1);
    }
}

void csl__token_key_unref(struct csl__token_key *k, bool by_worker) {
    if (k == NULL || atomic_fetch_sub(&k->refs, 1) != 1) {
        return;
    }
    EVP_PKEY_free(k->pub);
    csl__token_close(k->token, by_worker);
    free(k);
}

static enum csl_err key_new(struct csl__token_key **out, const struct csl_token_uri *uri, const char *path,
                            struct csl_diag *diag) {
    size_t n_path = strlen(path);
    if (uri->object[0] == 0 && uri->n_id == 0) {
        return csl_fail(diag, CSL_ECONFIG, "%s: the PKCS#11 URI names no key: add object= or id=", path);
    }
    struct csl__token_key *k = n_path >= CSL__PATH_MAX ? NULL : calloc(1, sizeof *k);
    if (k == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "%s: out of memory", path);
    }
    k->uri = *uri;
    atomic_init(&k->refs, 1);
    memcpy(k->path, path, n_path + 1);
    enum csl_err err = csl__token_open(&k->token, uri, path, diag);
    if (err != CSL_OK) {
        free(k);
        return err;
    }
    *out = k;
    return CSL_OK;
}

/* A call about the key that needs no input. */
static enum csl_err simple_call(struct csl__token_call **c, struct csl__token_key *k, csl__token_op *op,
                                struct csl_diag *diag) {
    *c = csl__token_call_new(k, op, 0);
    return *c != NULL ? CSL_OK : csl_fail(diag, CSL_ENOMEM, "%s: out of memory", k->path);
}

/* ---- Signing ---- */

static csl__ck_rv op_sign(struct csl__token_session *s, struct csl__token_call *c) {
    struct csl__ck_mechanism m = {c->mechanism, NULL, 0};
    csl__ck_ulong key, n = sizeof c->out;
    csl__ck_rv rv = csl__token_key_handle(&key, s, c);
    if (rv == CSL__CKR_OK) {
        rv = s->f->sign_init(s->handle, &m, key);
    }
    if (rv == CSL__CKR_OK) {
        rv = s->f->sign(s->handle, c->in, c->n_in, c->out, &n);
    }
    c->n_out = n;
    return rv;
}

enum csl_err csl__token_sign(uint8_t sig[64], struct csl__token_key *k, const uint8_t *p, size_t n,
                             struct csl_diag *diag) {
    struct csl__token_call *c = csl__token_call_new(k, op_sign, n);
    if (c == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "%s: no memory to sign %zu bytes", k->path, n);
    }
    c->mechanism = EVP_PKEY_is_a(k->pub, "ED25519") == 1 ? CSL__CKM_EDDSA : CSL__CKM_ECDSA;
    memcpy(c->in, p, n);
    enum csl_err err = csl__token_run(c, CSL__TOKEN_USE, diag);
    if (err == CSL_OK && c->n_out != 64) {
        err = csl_fail(diag, CSL_EUNAVAILABLE, "%s: the token's signature has %zu bytes instead of 64",
                       k->path, c->n_out);
    }
    if (err == CSL_OK) {
        memcpy(sig, c->out, 64);
    }
    csl__token_call_free(c);
    return err;
}

/* ---- Unwrapping ---- */

/* Errors that do not depend on the block, and say so: everything else may be the padding's. */
static bool is_trouble(csl__ck_rv rv) {
    return rv == CSL__CKR_HOST_MEMORY || rv == CSL__CKR_DEVICE_ERROR || rv == CSL__CKR_DEVICE_MEMORY ||
           rv == CSL__CKR_DEVICE_REMOVED || rv == CSL__CKR_KEY_HANDLE_INVALID ||
           rv == CSL__CKR_SESSION_CLOSED || rv == CSL__CKR_SESSION_HANDLE_INVALID ||
           rv == CSL__CKR_TOKEN_NOT_PRESENT || rv == CSL__CKR_USER_NOT_LOGGED_IN ||
           rv == CSL__CKR_CRYPTOKI_NOT_INITIALIZED;
}

static csl__ck_rv op_unwrap(struct csl__token_session *s, struct csl__token_call *c) {
    struct csl__ck_oaep oaep = {CSL__CKM_SHA256, CSL__CKG_MGF1_SHA256, CSL__CKZ_DATA_SPECIFIED, c->label,
                                c->n_label};
    bool raw = c->mechanism == CSL__CKM_RSA_X_509;
    struct csl__ck_mechanism m = {c->mechanism, raw ? NULL : &oaep, raw ? 0 : sizeof oaep};
    csl__ck_ulong key, n = sizeof c->out;
    csl__ck_rv rv = csl__token_key_handle(&key, s, c);
    if (rv == CSL__CKR_OK) {
        rv = s->f->decrypt_init(s->handle, &m, key);
    }
    if (rv != CSL__CKR_OK) {
        return rv;
    }
    rv = s->f->decrypt(s->handle, c->in, c->n_in, c->out, &n);
    c->flag = rv == CSL__CKR_OK && n <= sizeof c->out;
    c->n_out = c->flag ? n : 0;
    return raw || is_trouble(rv) ? rv : CSL__CKR_OK;
}

/* A block that is no number below the modulus is not sent: public, and tokens differ in what they say. */
static bool in_range(EVP_PKEY *pub, const uint8_t *wrapped, size_t n) {
    BIGNUM *modulus = NULL, *x = BN_bin2bn(wrapped, (int)n, NULL);
    bool ok = x != NULL && n == (size_t)EVP_PKEY_get_size(pub) &&
              EVP_PKEY_get_bn_param(pub, OSSL_PKEY_PARAM_RSA_N, &modulus) == 1 && BN_ucmp(x, modulus) < 0;
    BN_free(modulus);
    BN_free(x);
    return ok;
}

/* RFC 8017, 7.1.2, step 3, on the block that the token's bare RSA gave: OpenSSL's decoder, which has neither
 * branches nor indices on the block. */
static void decode_oaep(uint8_t *out, size_t *n, int *ok, struct csl__token_call *c, size_t n_block) {
    uint8_t block[CSL__TOKEN_OUT_MAX] = {0};
    /* The standard says that the block has the modulus' length; pad it where leading zeros were left out. */
    size_t n_out = c->n_out > n_block ? n_block : c->n_out;
    memcpy(block + (n_block - n_out), c->out, n_out);
    CSL_SECRET(block, sizeof block); /* memcheck: nothing depends on it up to where it goes on to GCM */
    int got = RSA_padding_check_PKCS1_OAEP_mgf1(out, (int)n_block, block, (int)n_block, (int)n_block,
                                                c->label, (int)c->n_label, EVP_sha256(), EVP_sha256());
    *ok = (int)(1U ^ ((unsigned)got >> 31));
    *n = (size_t)(unsigned)got;
    CSL_PUBLIC(out, n_block);
    CSL_PUBLIC(ok, sizeof *ok);
    CSL_PUBLIC(n, sizeof *n);
    csl_wipe(block, sizeof block);
}

enum csl_err csl__token_unwrap(uint8_t *out, size_t *n, int *ok, struct csl__token_key *k,
                               const uint8_t *wrapped, size_t n_wrapped, const char *label,
                               struct csl_diag *diag) {
    *ok = 0;
    *n = 0;
    if (!in_range(k->pub, wrapped, n_wrapped)) {
        return CSL_OK;
    }
    struct csl__token_call *c = csl__token_call_new(k, op_unwrap, n_wrapped);
    if (c == NULL || strlen(label) > sizeof c->label) {
        csl__token_call_free(c);
        return csl_fail(diag, CSL_ENOMEM, "%s: out of memory", k->path);
    }
    c->mechanism = k->raw_rsa ? CSL__CKM_RSA_X_509 : CSL__CKM_RSA_PKCS_OAEP;
    c->n_label = strlen(label);
    memcpy(c->label, label, c->n_label);
    memcpy(c->in, wrapped, n_wrapped);
    enum csl_err err = csl__token_run(c, CSL__TOKEN_USE, diag);
    if (err == CSL_OK && k->raw_rsa) {
        decode_oaep(out, n, ok, c, n_wrapped);
    } else if (err == CSL_OK) {
        *ok = c->flag;
        *n = c->n_out;
        memcpy(out, c->out, c->n_out);
    }
    csl__token_call_free(c);
    return err;
}

/* ---- Loading ---- */

static enum csl_err not_a_pair(const struct csl__token_key *k, struct csl_diag *diag) {
    return csl_fail(diag, CSL_ECONFIG,
                    "%s: the token's private key \"%s\" does not fit the public key that stands beside it",
                    k->path, k->uri.object);
}

/* Signs something and verifies it. */
static enum csl_err check_signer(struct csl__token_key *k, struct csl_diag *diag) {
    uint8_t text[32], sig[64];
    unsigned char *der = NULL;
    bool good = false;
    if (csl_rand(text, sizeof text) != CSL_OK) {
        return csl_fail(diag, CSL_EOS, "OpenSSL's random generator failed");
    }
    TRY(csl__token_sign(sig, k, text, sizeof text, diag));
    if (EVP_PKEY_is_a(k->pub, "ED25519") == 1) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->pub) == 1 &&
               EVP_DigestVerify(ctx, sig, sizeof sig, text, sizeof text) == 1;
        EVP_MD_CTX_free(ctx);
    } else {
        int n = csl__token_ecdsa_der(&der, sig);
        EVP_PKEY_CTX *ctx = n <= 0 ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, k->pub, NULL);
        good = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
               EVP_PKEY_verify(ctx, der, (size_t)n, text, sizeof text) == 1;
        EVP_PKEY_CTX_free(ctx);
        OPENSSL_free(der);
    }
    return good ? CSL_OK : not_a_pair(k, diag);
}

static const char probe_label[] = "consilium/token-probe";

static bool wrap_probe(uint8_t *out, size_t n_out, EVP_PKEY *pub, const uint8_t *text, size_t n_text) {
    size_t n = n_out;
    unsigned char *label = (unsigned char *)OPENSSL_strdup(probe_label);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pub, NULL);
    bool ok = ctx != NULL && label != NULL && EVP_PKEY_encrypt_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, label, (int)(sizeof probe_label - 1)) == 1;
    if (!ok) {
        OPENSSL_free(label);
    }
    ok = ok && EVP_PKEY_encrypt(ctx, out, &n, text, n_text) == 1 && n == n_out;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* Unwraps something: by the token's own OAEP, or else by its bare RSA (SoftHSM2 2.6.1 has OAEP only with
 * SHA-1 and without a label). */
static enum csl_err check_unwrapper(struct csl__token_key *k, struct csl_diag *diag) {
    uint8_t text[32], wrapped[CSL__TOKEN_OUT_MAX], plain[CSL__TOKEN_OUT_MAX];
    size_t n = 0, size = (size_t)EVP_PKEY_get_size(k->pub);
    struct csl_diag by_token = {""};
    int ok = 0;
    if (csl_rand(text, sizeof text) != CSL_OK || size > sizeof wrapped ||
        !wrap_probe(wrapped, size, k->pub, text, sizeof text)) {
        return csl_fail(diag, CSL_EINTERNAL, "%s: OpenSSL cannot wrap for the token's key", k->path);
    }
    for (int raw = 0; raw < 2; raw++) {
        k->raw_rsa = raw != 0;
        enum csl_err err = csl__token_unwrap(plain, &n, &ok, k, wrapped, size, probe_label, &by_token);
        if (err == CSL_OK && ok == 1 && n == sizeof text && CRYPTO_memcmp(plain, text, n) == 0) {
            return CSL_OK;
        }
        if (err != CSL_OK && (raw || err == CSL_ETIMEOUT)) {
            return csl_fail(diag, err, "%s", by_token.text);
        }
    }
    return not_a_pair(k, diag);
}

static enum csl_err load(EVP_PKEY **key, struct csl__token_key *k, struct csl_diag *diag) {
    struct csl__token_call *c = NULL;
    TRY(simple_call(&c, k, csl__token_op_find, diag));
    enum csl_err err = csl__token_run(c, CSL__TOKEN_OPEN, diag);
    if (err == CSL_OK) {
        k->pub = c->found;
        k->extractable = c->flag;
        c->found = NULL;
    }
    csl__token_call_free(c);
    TRY(err);
    (void)ERR_set_mark();
    bool rsa = EVP_PKEY_is_a(k->pub, "RSA") == 1;
    err = rsa ? check_unwrapper(k, diag) : check_signer(k, diag);
    EVP_PKEY *made = err != CSL_OK                      ? NULL
                     : EVP_PKEY_is_a(k->pub, "EC") == 1 ? csl__token_provider_key(k)
                                                        : EVP_PKEY_dup(k->pub);
    (void)ERR_pop_to_mark();
    TRY(err);
    if (made == NULL || !set_mark(made, k)) {
        EVP_PKEY_free(made);
        return csl_fail(diag, CSL_EINTERNAL, "%s: OpenSSL does not take the token's key", k->path);
    }
    *key = made;
    return CSL_OK;
}

enum csl_err csl_token_key_load(EVP_PKEY **key, const struct csl_token_uri *uri, const char *path,
                                struct csl_diag *diag) {
    struct csl__token_key *k = NULL;
    TRY(key_new(&k, uri, path, diag));
    enum csl_err err = load(key, k, diag);
    csl__token_key_unref(k, false);
    return err;
}

/* ---- Drawing ---- */

enum csl_err csl_token_key_generate(enum csl_token_kind kind, const struct csl_token_uri *uri,
                                    const char *path, struct csl_diag *diag) {
    struct csl__token_key *k = NULL;
    struct csl__token_call *c = NULL;
    struct csl_token_uri with_id = *uri;
    enum { ID_BYTES = 16 };
    if (uri->n_id == 0) { /* it leads from the private to the public key */
        with_id.n_id = ID_BYTES;
        if (csl_rand(with_id.id, ID_BYTES) != CSL_OK) {
            return csl_fail(diag, CSL_EOS, "OpenSSL's random generator failed");
        }
    }
    bool is_there = false;
    TRY(csl_token_key_exists(&is_there, uri, path, diag));
    if (is_there) {
        return csl_fail(diag, CSL_ECREATE, "%s: the token holds a private key with label \"%s\" already",
                        path, uri->object);
    }
    TRY(key_new(&k, &with_id, path, diag));
    enum csl_err err = simple_call(&c, k, csl__token_op_generate, diag);
    if (err == CSL_OK) {
        c->kind = kind;
        err = csl__token_run(c, CSL__TOKEN_GENERATE, diag);
    }
    csl__token_call_free(c);
    csl__token_key_unref(k, false);
    return err;
}

enum csl_err csl_token_key_exists(bool *is_there, const struct csl_token_uri *uri, const char *path,
                                  struct csl_diag *diag) {
    struct csl__token_key *k = NULL;
    struct csl__token_call *c = NULL;
    *is_there = false;
    TRY(key_new(&k, uri, path, diag));
    enum csl_err err = simple_call(&c, k, csl__token_op_exists, diag);
    if (err == CSL_OK) {
        err = csl__token_run(c, CSL__TOKEN_OPEN, diag);
        *is_there = err == CSL_OK && c->flag;
    }
    csl__token_call_free(c);
    csl__token_key_unref(k, false);
    return err;
}

const char *csl_token_where(char out[CSL_TOKEN_WHERE_MAX], const EVP_PKEY *key) {
    const struct csl__token_key *k = csl__token_key_of(key);
    if (k == NULL) {
        (void)snprintf(out, CSL_TOKEN_WHERE_MAX, "file");
        return out;
    }
    bool named = k->uri.object[0] != 0;
    (void)snprintf(out, CSL_TOKEN_WHERE_MAX, "token \"%s\"%s%s%s%s%s", csl__token_name(&k->uri),
                   named ? ", object \"" : "", k->uri.object, named ? "\"" : "",
                   k->raw_rsa ? ", OAEP decoded outside of it" : "",
                   k->extractable ? ", may be extracted" : "");
    return out;
}
