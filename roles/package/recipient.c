#include "roles/package/recipient.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/files_internal.h"
#include "crypto/pem_internal.h"
#include "crypto/secret.h"

/* The name stands before the block, where PEM readers skip it. */
static enum csl_err write_public(EVP_PKEY *key, const char *path, const char *name, struct csl_diag *diag) {
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio != NULL && (name == NULL || BIO_printf(bio, "recipient: %s\n", name) > 0) &&
              PEM_write_bio_PUBKEY(bio, key) == 1;
    char *text = NULL;
    enum csl_err err = ok ? csl__bio_text(&text, bio) : CSL_ENOMEM;
    BIO_free(bio);
    if (err == CSL_OK) {
        err = csl__create_file(path, 0644, text, strlen(text), diag);
    }
    free(text);
    return err;
}

enum csl_err csl_recipient_keygen(const char *dir, const char *name, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    if (name != NULL && !csl_name_valid(name)) {
        return csl_fail(diag, CSL_EUSAGE, "\"%.40s\" is no name: use 1 to %d of a-z, 0-9 and '-'", name,
                        CSL_NAME_MAX);
    }
    TRY(csl__make_dir(dir, diag));
    TRY(csl__path(path, dir, "wrap.key", diag));
    EVP_PKEY *key = EVP_RSA_gen(CSL_WRAP_BITS);
    if (key == NULL) {
        return csl_fail(diag, CSL_EINTERNAL, "%s: no key could be drawn (%s)", path, csl__openssl_reason());
    }
    enum csl_err err = csl__key_create(key, path, diag);
    if (err == CSL_OK) {
        err = csl__path(path, dir, "recipient.pem", diag);
    }
    if (err == CSL_OK) {
        err = write_public(key, path, name, diag);
    }
    EVP_PKEY_free(key);
    return err;
}

enum csl_err csl_recipient_key(EVP_PKEY **key, const char *dir, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    EVP_PKEY *k = NULL;
    TRY(csl__path(path, dir, "wrap.key", diag));
    TRY(csl__key_load(&k, path, diag));
    if (!csl_key_is_wrap(k)) {
        ERR_clear_error();
        EVP_PKEY_free(k);
        return csl_fail(diag, CSL_ECONFIG, "%s: not an RSA key of %d bits", path, CSL_WRAP_BITS);
    }
    *key = k;
    return CSL_OK;
}

static enum csl_err from_request(EVP_PKEY **key, char *name, uint8_t *sign_spki, const char *text, size_t n,
                                 struct csl_diag *diag) {
    struct csl_enrolment e;
    TRY(csl_enrolment_parse(&e, text, n, diag));
    if (EVP_PKEY_up_ref(e.wrap_key) != 1) {
        csl_enrolment_free(&e);
        return CSL_ENOMEM;
    }
    *key = e.wrap_key;
    memcpy(name, e.name, CSL_NAME_MAX + 1);
    memcpy(sign_spki, e.sign_spki, CSL_SPKI_BYTES);
    csl_enrolment_free(&e);
    return CSL_OK;
}

static enum csl_err parse_public(EVP_PKEY **key, char *name, uint8_t *sign_spki, const char *text, size_t n,
                                 struct csl_diag *diag) {
    memset(name, 0, CSL_NAME_MAX + 1);
    memset(sign_spki, 0, CSL_SPKI_BYTES);
    if (strstr(text, "CERTIFICATE REQUEST-----") != NULL) {
        return from_request(key, name, sign_spki, text, n, diag);
    }
    EVP_PKEY *k = NULL;
    TRY(csl_key_parse_public(&k, text, n, diag));
    if (!csl_key_is_wrap(k)) {
        ERR_clear_error();
        EVP_PKEY_free(k);
        return csl_fail(diag, CSL_EDATA,
                        "not the public key of an RSA pair of %d bits: its holder makes one with: consilium "
                        "cert recipient",
                        CSL_WRAP_BITS);
    }
    *key = k;
    return CSL_OK;
}

enum csl_err csl_recipient_public(EVP_PKEY **key, char name[CSL_NAME_MAX + 1],
                                  uint8_t sign_spki[CSL_SPKI_BYTES], const char *path,
                                  struct csl_diag *diag) {
    char *text = NULL;
    size_t n = 0;
    char own_name[CSL_NAME_MAX + 1];
    uint8_t own_spki[CSL_SPKI_BYTES];
    TRY(csl__read_file(&text, &n, path, CSL_ENROLMENT_MAX, diag));
    enum csl_err err = parse_public(key, name != NULL ? name : own_name,
                                    sign_spki != NULL ? sign_spki : own_spki, text, n, diag);
    csl_secret_free(text);
    return err == CSL_OK ? err : csl_fail_context(diag, err, "%s", path);
}
