/* The three kinds of key: their checks, files and fingerprints. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "crypto/files_internal.h"
#include "crypto/pem_internal.h"
#include "crypto/secret.h"
#include "crypto/token.h"

enum { KEY_FILE_MAX = 64 * 1024, P256_SPKI_BYTES = 91 };

bool csl_name_valid(const char *name) {
    size_t n = strnlen(name, CSL_NAME_MAX + 1);
    if (n == 0 || n > CSL_NAME_MAX || name[0] == '-' || name[n - 1] == '-') {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

bool csl_key_is_tls(EVP_PKEY *key) {
    char group[32] = "";
    size_t n = 0;
    /* The length also rules out explicit parameters and compressed points: one key, one fingerprint. */
    return key != NULL && EVP_PKEY_is_a(key, "EC") == 1 &&
           EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1 && strcmp(group, "prime256v1") == 0 &&
           i2d_PUBKEY(key, NULL) == P256_SPKI_BYTES;
}

bool csl_key_is_wrap(EVP_PKEY *key) {
    BIGNUM *e = NULL;
    bool ok = key != NULL && EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_get_bits(key) == CSL_WRAP_BITS &&
              EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_word(e, RSA_F4);
    BN_free(e);
    return ok;
}

bool csl_key_is_sign(EVP_PKEY *key) {
    return key != NULL && EVP_PKEY_is_a(key, "ED25519") == 1;
}

enum csl_err csl_key_spki(uint8_t out[CSL_SPKI_BYTES], EVP_PKEY *key) {
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    bool ok = n > 0 && EVP_Digest(der, (size_t)n, out, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return ok ? CSL_OK : CSL_ENOMEM;
}

EVP_PKEY *csl__key_from_der(const unsigned char *der, long n) {
    unsigned char *again = NULL;
    const unsigned char *p = der;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, n);
    int n_again = key == NULL ? -1 : i2d_PUBKEY(key, &again);
    bool same = n_again >= 0 && n_again == n && memcmp(again, der, (size_t)n) == 0;
    OPENSSL_free(again);
    if (!same) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

enum csl_err csl_key_parse_public(EVP_PKEY **key, const char *pem, size_t n, struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    unsigned char *der = NULL, *more = NULL;
    long n_der = 0, n_more = 0;
    EVP_PKEY *k = NULL;
    BIO *bio = csl__bio_view(pem, n);
    if (bio == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    TRY_OUT(csl__pem_block(&der, &n_der, bio, "PUBLIC KEY", diag));
    if (der == NULL) {
        err = csl_fail(diag, CSL_EDATA, "not a PEM public key");
        goto out;
    }
    TRY_OUT(csl__pem_block(&more, &n_more, bio, "PUBLIC KEY", diag));
    k = csl__key_from_der(der, n_der);
    if (k == NULL || more != NULL) {
        const char *reason = more != NULL ? "more than one block" : csl__openssl_reason();
        err = csl_fail(diag, CSL_EDATA, "not one public key (%s)", reason);
        goto out;
    }
    *key = k;
    k = NULL;
out:
    OPENSSL_free(der);
    OPENSSL_free(more);
    EVP_PKEY_free(k);
    BIO_free(bio);
    return err;
}

/* Never asks at the terminal: a key file with a passphrase is an error. */
static int no_passphrase(char *buf, int size, int rwflag, void *u) {
    (void)buf, (void)size, (void)rwflag, (void)u;
    return -1;
}

/* A line instead of PEM: the key is in a token. */
static enum csl_err load_from_token(EVP_PKEY **key, const char *line, size_t n, const char *path,
                                    struct csl_diag *diag) {
    struct csl_token_uri uri;
    enum csl_err err = csl_token_uri_parse(&uri, line, n, diag);
    return err == CSL_OK ? csl_token_key_load(key, &uri, path, diag)
                         : csl_fail_context(diag, err, "%s", path);
}

enum csl_err csl__key_load(EVP_PKEY **key, const char *path, struct csl_diag *diag) {
    char *pem = NULL;
    size_t n = 0;
    TRY(csl__read_private_file(&pem, &n, path, KEY_FILE_MAX, diag));
    if (csl_token_is_uri(pem, n)) {
        enum csl_err err = load_from_token(key, pem, n, path, diag);
        csl_secret_free(pem);
        return err;
    }
    BIO *bio = csl__bio_view(pem, n);
    EVP_PKEY *k = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    csl_secret_free(pem);
    if (k == NULL) {
        return csl_fail(diag, CSL_EDATA,
                        "%s: not a PEM private key without passphrase, nor a PKCS#11 URI (%s)", path,
                        csl__openssl_reason());
    }
    *key = k;
    return CSL_OK;
}

enum csl_err csl__key_create(EVP_PKEY *key, const char *path, struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    const char *pem = NULL;
    BIO *bio = BIO_new(BIO_s_secmem());
    if (bio == NULL || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        err =
            csl_fail(diag, CSL_EINTERNAL, "%s: the key cannot be encoded (%s)", path, csl__openssl_reason());
        goto out;
    }
    long n = BIO_get_mem_data(bio, &pem);
    TRY_OUT(csl__create_file(path, 0600, pem, (size_t)n, diag));
out:
    BIO_free(bio); /* a secmem BIO wipes */
    return err;
}
