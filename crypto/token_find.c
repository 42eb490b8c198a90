/* Objects of a token: private keys, their public halves, and new pairs. Runs on workers. */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <string.h>

#include "crypto/token_internal.h"

enum { ATTRIBUTE_MAX = 8192 }; /* a certificate is the largest */

static const uint8_t p256_oid[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t ed25519_oid[] = {0x06, 0x03, 0x2b, 0x65, 0x70};
static const uint8_t ed25519_name[] = {0x13, 0x0c, 'e', 'd', 'w', 'a', 'r',
                                       'd',  's',  '2', '5', '5', '1', '9'};

#define ATTRIBUTE(type, p, n)                                                                                \
    { CSL__CKA_##type, (void *)(uintptr_t)(p), (n) }

/* ---- Looking ---- */

/* Objects of a class under a label and an id (each may be empty); *n is 0, 1, or 2 for more than one. */
static csl__ck_rv find(csl__ck_ulong out[2], csl__ck_ulong *n, struct csl__token_session *s,
                       csl__ck_ulong class, const char *label, const uint8_t *id, size_t n_id) {
    struct csl__ck_attribute a[3] = {ATTRIBUTE(CLASS, &class, sizeof class)};
    csl__ck_ulong n_a = 1;
    if (label[0] != 0) {
        a[n_a++] = (struct csl__ck_attribute)ATTRIBUTE(LABEL, label, strlen(label));
    }
    if (n_id != 0) {
        a[n_a++] = (struct csl__ck_attribute)ATTRIBUTE(ID, id, n_id);
    }
    *n = 0;
    csl__ck_rv rv = s->f->find_init(s->handle, a, n_a);
    if (rv != CSL__CKR_OK) {
        return rv;
    }
    rv = s->f->find(s->handle, out, 2, n);
    csl__ck_rv end = s->f->find_final(s->handle);
    *n = *n > 2 ? 2 : *n;
    return rv != CSL__CKR_OK ? rv : end;
}

static csl__ck_rv find_private(csl__ck_ulong out[2], csl__ck_ulong *n, struct csl__token_session *s,
                               const struct csl_token_uri *uri) {
    return find(out, n, s, CSL__CKO_PRIVATE_KEY, uri->object, uri->id, uri->n_id);
}

csl__ck_rv csl__token_key_handle(csl__ck_ulong *handle, struct csl__token_session *s,
                                 struct csl__token_call *c) {
    const struct csl_token_uri *uri = &c->key->uri;
    csl__ck_ulong found[2], n;
    if (csl__token_handle(handle, c->key)) {
        return CSL__CKR_OK;
    }
    csl__ck_rv rv = find_private(found, &n, s, uri);
    if (rv == CSL__CKR_OK && n != 1) {
        c->err = csl_fail(&c->diag, CSL_ECONFIG,
                          n == 0 ? "holds no private key with label \"%s\"%s; `pkcs11-tool --login "
                                   "--list-objects` shows what it holds"
                                 : "holds more than one private key with label \"%s\"%s; add id= to the URI",
                          uri->object, uri->n_id == 0 ? "" : " and the URI's id");
        return CSL__CKR_OBJECT_HANDLE_INVALID;
    }
    if (rv == CSL__CKR_OK) {
        *handle = found[0];
        csl__token_handle_found(c->key, found[0]);
    }
    return rv;
}

csl__ck_rv csl__token_op_exists(struct csl__token_session *s, struct csl__token_call *c) {
    csl__ck_ulong found[2], n;
    csl__ck_rv rv = find_private(found, &n, s, &c->key->uri);
    c->flag = n != 0;
    return rv;
}

/* ---- The public half ---- */

/* The bytes of an attribute; 0 when it is not there or does not fit. */
static size_t get(struct csl__token_session *s, csl__ck_ulong object, csl__ck_ulong type, void *out,
                  size_t room) {
    struct csl__ck_attribute a = {type, out, room};
    csl__ck_rv rv = s->f->get_attributes(s->handle, object, &a, 1);
    return rv == CSL__CKR_OK && a.n <= room ? a.n : 0;
}

static EVP_PKEY *make_key(const char *type, OSSL_PARAM *params) {
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = params == NULL ? NULL : EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *rsa_key(struct csl__token_session *s, csl__ck_ulong object) {
    uint8_t n_bytes[CSL__TOKEN_OUT_MAX], e_bytes[16];
    size_t n_n = get(s, object, CSL__CKA_MODULUS, n_bytes, sizeof n_bytes);
    size_t n_e = get(s, object, CSL__CKA_PUBLIC_EXPONENT, e_bytes, sizeof e_bytes);
    if (n_n == 0 || n_e == 0) {
        return NULL;
    }
    BIGNUM *n = BN_bin2bn(n_bytes, (int)n_n, NULL), *e = BN_bin2bn(e_bytes, (int)n_e, NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    if (n != NULL && e != NULL && bld != NULL && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1) {
        params = OSSL_PARAM_BLD_to_param(bld);
    }
    EVP_PKEY *key = make_key("RSA", params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);
    return key;
}

/* A point: in a DER string, as the standard says, or bare, as some tokens have it. */
static const uint8_t *unpack_point(const uint8_t *p, size_t n, size_t want) {
    bool octets = n == want + 2 && p[0] == 0x04 && p[1] == want;
    bool bits = n == want + 3 && p[0] == 0x03 && p[1] == want + 1 && p[2] == 0;
    return octets ? p + 2 : bits ? p + 3 : n == want ? p : NULL;
}

static EVP_PKEY *ec_key(struct csl__token_session *s, csl__ck_ulong object) {
    enum { POINT_BYTES = 65 };
    uint8_t curve[64], bytes[256];
    char group[] = "prime256v1";
    size_t n_curve = get(s, object, CSL__CKA_EC_PARAMS, curve, sizeof curve);
    size_t n = get(s, object, CSL__CKA_EC_POINT, bytes, sizeof bytes);
    const uint8_t *point = unpack_point(bytes, n, POINT_BYTES);
    if (n_curve != sizeof p256_oid || memcmp(curve, p256_oid, sizeof p256_oid) != 0 || point == NULL) {
        return NULL;
    }
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point, POINT_BYTES),
        OSSL_PARAM_construct_end()};
    return make_key("EC", params);
}

static EVP_PKEY *edwards_key(struct csl__token_session *s, csl__ck_ulong object) {
    uint8_t bytes[256];
    size_t n = get(s, object, CSL__CKA_EC_POINT, bytes, sizeof bytes);
    const uint8_t *point = unpack_point(bytes, n, 32);
    return point == NULL ? NULL : EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, point, 32);
}

static EVP_PKEY *key_of_object(struct csl__token_session *s, csl__ck_ulong object) {
    csl__ck_ulong type = ~0UL;
    if (get(s, object, CSL__CKA_KEY_TYPE, &type, sizeof type) != sizeof type) {
        return NULL;
    }
    return type == CSL__CKK_RSA          ? rsa_key(s, object)
           : type == CSL__CKK_EC         ? ec_key(s, object)
           : type == CSL__CKK_EC_EDWARDS ? edwards_key(s, object)
                                         : NULL;
}

static EVP_PKEY *key_of_cert(struct csl__token_session *s, csl__ck_ulong object) {
    uint8_t der[ATTRIBUTE_MAX];
    const unsigned char *p = der;
    size_t n = get(s, object, CSL__CKA_VALUE, der, sizeof der);
    X509 *cert = n == 0 ? NULL : d2i_X509(NULL, &p, (long)n);
    EVP_PKEY *key = cert == NULL ? NULL : X509_get_pubkey(cert);
    X509_free(cert);
    return key;
}

/* From the public key that goes with it, from the private key's own attributes, or from a certificate. */
static EVP_PKEY *public_half(struct csl__token_session *s, csl__ck_ulong private_key) {
    char label[CSL_TOKEN_OBJECT_MAX + 1] = "";
    uint8_t id[CSL_TOKEN_ID_MAX];
    csl__ck_ulong found[2], n;
    size_t n_id = get(s, private_key, CSL__CKA_ID, id, sizeof id);
    if (n_id == 0) {
        label[get(s, private_key, CSL__CKA_LABEL, label, sizeof label - 1)] = 0;
    }
    bool named = n_id != 0 || label[0] != 0;
    EVP_PKEY *key = NULL;
    if (named && find(found, &n, s, CSL__CKO_PUBLIC_KEY, label, id, n_id) == CSL__CKR_OK && n != 0) {
        key = key_of_object(s, found[0]);
    }
    if (key == NULL) {
        key = key_of_object(s, private_key);
    }
    if (key == NULL && named && find(found, &n, s, CSL__CKO_CERTIFICATE, label, id, n_id) == CSL__CKR_OK &&
        n != 0) {
        key = key_of_cert(s, found[0]);
    }
    return key;
}

csl__ck_rv csl__token_op_find(struct csl__token_session *s, struct csl__token_call *c) {
    csl__ck_ulong handle;
    csl__ck_byte extractable = 0;
    csl__ck_rv rv = csl__token_key_handle(&handle, s, c);
    if (rv != CSL__CKR_OK) {
        return rv;
    }
    (void)ERR_set_mark();
    EVP_PKEY_free(c->found);
    c->found = public_half(s, handle);
    (void)ERR_pop_to_mark();
    c->flag = get(s, handle, CSL__CKA_EXTRACTABLE, &extractable, 1) == 1 && extractable != 0;
    if (c->found == NULL) {
        c->err = csl_fail(&c->diag, CSL_ECONFIG,
                          "the public half of \"%s\" is not in it, as a public key or a certificate with the "
                          "same id, or of no kind that is used here (P-256, RSA, Ed25519)",
                          c->key->uri.object);
    }
    return CSL__CKR_OK;
}

/* ---- New pairs ---- */

static csl__ck_rv generate(struct csl__token_session *s, csl__ck_ulong session, csl__ck_ulong mechanism,
                           const struct csl__token_call *c, const void *params, size_t n_params) {
    static const csl__ck_byte yes = 1, no = 0;
    static const csl__ck_ulong bits = 3072;
    static const csl__ck_byte exponent[] = {1, 0, 1};
    const struct csl_token_uri *uri = &c->key->uri;
    struct csl__ck_mechanism m = {mechanism, NULL, 0};
    csl__ck_ulong pub_key, priv_key;
    size_t n_label = strlen(uri->object);
    bool rsa = c->kind == CSL_TOKEN_WRAP;
    struct csl__ck_attribute pub[] = {
        ATTRIBUTE(TOKEN, &yes, 1),
        ATTRIBUTE(LABEL, uri->object, n_label),
        ATTRIBUTE(ID, uri->id, uri->n_id),
        {rsa ? CSL__CKA_ENCRYPT : CSL__CKA_VERIFY, (void *)(uintptr_t)&yes, 1},
        {rsa ? CSL__CKA_MODULUS_BITS : CSL__CKA_EC_PARAMS, (void *)(uintptr_t)(rsa ? &bits : params),
         rsa ? sizeof bits : n_params},
        ATTRIBUTE(PUBLIC_EXPONENT, exponent, sizeof exponent), /* RSA only */
    };
    struct csl__ck_attribute priv[] = {
        ATTRIBUTE(TOKEN, &yes, 1),
        ATTRIBUTE(PRIVATE, &yes, 1),
        ATTRIBUTE(SENSITIVE, &yes, 1),
        ATTRIBUTE(EXTRACTABLE, &no, 1),
        ATTRIBUTE(LABEL, uri->object, n_label),
        ATTRIBUTE(ID, uri->id, uri->n_id),
        {rsa ? CSL__CKA_DECRYPT : CSL__CKA_SIGN, (void *)(uintptr_t)&yes, 1},
        {rsa ? CSL__CKA_SIGN : CSL__CKA_DECRYPT, (void *)(uintptr_t)&no, 1},
        ATTRIBUTE(UNWRAP, &no, 1),
        ATTRIBUTE(DERIVE, &no, 1),
    };
    enum { N_PRIV = sizeof priv / sizeof priv[0], N_USELESS = 3 };
    csl__ck_rv rv = s->f->generate_key_pair(session, &m, pub, rsa ? 6 : 5, priv, N_PRIV, &pub_key, &priv_key);
    /* A token that does not let uses be ruled out that the key cannot have. */
    if (rv == CSL__CKR_TEMPLATE_INCONSISTENT || rv == CSL__CKR_ATTRIBUTE_TYPE_INVALID ||
        rv == CSL__CKR_ATTRIBUTE_VALUE_INVALID) {
        rv = s->f->generate_key_pair(session, &m, pub, rsa ? 6 : 5, priv, N_PRIV - N_USELESS, &pub_key,
                                     &priv_key);
    }
    return rv;
}

csl__ck_rv csl__token_op_generate(struct csl__token_session *s, struct csl__token_call *c) {
    csl__ck_ulong session, found[2], n;
    csl__ck_rv rv = find_private(found, &n, s, &c->key->uri);
    if (rv != CSL__CKR_OK) {
        return rv;
    }
    if (n != 0) {
        c->err = csl_fail(&c->diag, CSL_ECREATE, "holds a private key with label \"%s\" already",
                          c->key->uri.object);
        return CSL__CKR_OK;
    }
    rv = s->f->open_session(s->slot, CSL__CKF_SERIAL_SESSION | CSL__CKF_RW_SESSION, NULL, NULL, &session);
    if (rv != CSL__CKR_OK) {
        return rv;
    }
    if (c->kind == CSL_TOKEN_WRAP) {
        rv = generate(s, session, CSL__CKM_RSA_PKCS_KEY_PAIR_GEN, c, NULL, 0);
    } else if (c->kind == CSL_TOKEN_TLS) {
        rv = generate(s, session, CSL__CKM_EC_KEY_PAIR_GEN, c, p256_oid, sizeof p256_oid);
    } else {
        /* PKCS#11 3.0 allows for both ways to name the curve; tokens know one or the other. */
        rv = generate(s, session, CSL__CKM_EC_EDWARDS_KEY_PAIR_GEN, c, ed25519_oid, sizeof ed25519_oid);
        if (rv != CSL__CKR_OK) {
            rv = generate(s, session, CSL__CKM_EC_EDWARDS_KEY_PAIR_GEN, c, ed25519_name, sizeof ed25519_name);
        }
    }
    (void)s->f->close_session(session);
    return rv;
}
