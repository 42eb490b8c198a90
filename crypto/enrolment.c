/* A site's request to the CA: written, read and verified. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/pem_internal.h"

/* ---- Writing ---- */

static enum csl_err add_san(X509_REQ *req, GENERAL_NAMES *names) {
    STACK_OF(X509_EXTENSION) *exts = NULL;
    bool ok = X509V3_add1_i2d(&exts, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1 &&
              X509_REQ_add_extensions(req, exts) == 1;
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    return ok ? CSL_OK : CSL_ENOMEM;
}

static enum csl_err make_req(X509_REQ **out, const struct csl_site *site, GENERAL_NAMES *names) {
    enum csl_err err = CSL_ENOMEM;
    X509_REQ *req = X509_REQ_new();
    X509_NAME *subject = X509_NAME_new();
    if (req == NULL || subject == NULL ||
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)site->name, -1, -1,
                                   0) != 1 ||
        X509_REQ_set_version(req, X509_REQ_VERSION_1) != 1 || X509_REQ_set_subject_name(req, subject) != 1 ||
        X509_REQ_set_pubkey(req, site->tls_key) != 1) {
        goto out;
    }
    TRY_OUT(add_san(req, names));
    if (X509_REQ_sign(req, site->tls_key, EVP_sha256()) <= 0) {
        err = CSL_EINTERNAL;
        goto out;
    }
    *out = req;
    req = NULL;
out:
    X509_REQ_free(req);
    X509_NAME_free(subject);
    return err;
}

enum csl_err csl_enrolment_write(char **text, const struct csl_site *site, const char *const *hosts,
                                 size_t n_hosts, struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    GENERAL_NAMES *names = NULL;
    X509_REQ *req = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    TRY_OUT(csl__names_make(&names, site->name, site->wrap_spki, site->sign_spki, hosts, n_hosts, diag));
    ERR_clear_error();
    err = make_req(&req, site, names);
    if (err != CSL_OK) {
        enum csl_err token = csl_token_failure(diag);
        const char *why = csl__openssl_reason();
        err = token != CSL_OK ? token : csl_fail(diag, err, "the request cannot be made (%s)", why);
        goto out;
    }
    if (BIO_printf(bio, "# Consilium: enrolment request of %s. Public keys only.\n", site->name) <= 0 ||
        PEM_write_bio_X509_REQ(bio, req) != 1 || BIO_printf(bio, "# wrapping key\n") <= 0 ||
        PEM_write_bio_PUBKEY(bio, site->wrap_key) != 1 || BIO_printf(bio, "# signing key\n") <= 0 ||
        PEM_write_bio_PUBKEY(bio, site->sign_key) != 1) {
        err = csl_fail(diag, CSL_ENOMEM, "the request cannot be encoded (%s)", csl__openssl_reason());
        goto out;
    }
    err = csl__bio_text(text, bio);
out:
    GENERAL_NAMES_free(names);
    X509_REQ_free(req);
    BIO_free(bio);
    return err;
}

/* ---- Parsing ---- */

static enum csl_err read_req(struct csl_enrolment *e, BIO *bio, struct csl_diag *diag) {
    unsigned char *der = NULL;
    long n = 0;
    TRY(csl__pem_block(&der, &n, bio, "CERTIFICATE REQUEST", diag));
    if (der == NULL) {
        return csl_fail(diag, CSL_EDATA, "holds no PEM certificate request");
    }
    const unsigned char *p = der;
    e->req = d2i_X509_REQ(NULL, &p, n);
    bool ok = e->req != NULL && p == der + n;
    OPENSSL_free(der);
    return ok ? CSL_OK : csl_fail(diag, CSL_EDATA, "not a certificate request (%s)", csl__openssl_reason());
}

static enum csl_err read_key(EVP_PKEY **key, BIO *bio, const char *what, struct csl_diag *diag) {
    unsigned char *der = NULL;
    long n = 0;
    TRY(csl__pem_block(&der, &n, bio, "PUBLIC KEY", diag));
    if (der == NULL) {
        return csl_fail(diag, CSL_EDATA, "the %s key is missing", what);
    }
    *key = csl__key_from_der(der, n);
    OPENSSL_free(der);
    return *key != NULL
               ? CSL_OK
               : csl_fail(diag, CSL_EDATA, "the %s key cannot be read (%s)", what, csl__openssl_reason());
}

static enum csl_err check_types(const struct csl_enrolment *e, struct csl_diag *diag) {
    if (!csl_key_is_tls(e->tls_key)) {
        return csl_fail(diag, CSL_EDATA, "the TLS key is not a P-256 key");
    }
    if (!csl_key_is_wrap(e->wrap_key)) {
        return csl_fail(diag, CSL_EDATA, "the wrapping key is not an RSA key of %d bits", CSL_WRAP_BITS);
    }
    if (!csl_key_is_sign(e->sign_key)) {
        return csl_fail(diag, CSL_EDATA, "the signing key is not an Ed25519 key");
    }
    return CSL_OK;
}

static enum csl_err check_signature(const struct csl_enrolment *e, struct csl_diag *diag) {
    int nid = X509_REQ_get_signature_nid(e->req);
    if (nid != NID_ecdsa_with_SHA256) {
        return csl_fail(diag, CSL_EDATA, "the request is signed with %s instead of ECDSA-SHA256",
                        nid == NID_undef ? "an unknown algorithm" : OBJ_nid2sn(nid));
    }
    if (X509_REQ_verify(e->req, e->tls_key) != 1) {
        ERR_clear_error();
        return csl_fail(diag, CSL_EAUTH,
                        "the request's signature does not verify: it was changed on its way; ask the site "
                        "to send it again");
    }
    return CSL_OK;
}

/* Exactly one attribute (the extension request) with one extension (the names). */
static enum csl_err read_names(GENERAL_NAMES **names, const struct csl_enrolment *e, struct csl_diag *diag) {
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(e->req);
    int crit = 0;
    bool one = exts != NULL && sk_X509_EXTENSION_num(exts) == 1 && X509_REQ_get_attr_count(e->req) == 1;
    *names = one ? X509V3_get_d2i(exts, NID_subject_alt_name, &crit, NULL) : NULL;
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    ERR_clear_error();
    return *names != NULL ? CSL_OK
                          : csl_fail(diag, CSL_EDATA,
                                     "the request must ask for subject alternative names "
                                     "and for nothing else");
}

static enum csl_err check_fingerprints(const struct csl_enrolment *e, const uint8_t wrap[CSL_SPKI_BYTES],
                                       const uint8_t sign[CSL_SPKI_BYTES], struct csl_diag *diag) {
    const char *what = memcmp(wrap, e->wrap_spki, CSL_SPKI_BYTES) != 0   ? "wrapping"
                       : memcmp(sign, e->sign_spki, CSL_SPKI_BYTES) != 0 ? "signing"
                                                                         : NULL;
    if (what != NULL) {
        return csl_fail(
            diag, CSL_EAUTH,
            "the %s key is not the one that the request of %s is about: it was exchanged on its way", what,
            e->name);
    }
    return CSL_OK;
}

static enum csl_err parse(struct csl_enrolment *e, BIO *bio, struct csl_diag *diag) {
    uint8_t wrap[CSL_SPKI_BYTES], sign[CSL_SPKI_BYTES];
    unsigned char *der = NULL;
    long n = 0;
    TRY(read_req(e, bio, diag));
    TRY(read_key(&e->wrap_key, bio, "wrapping", diag));
    TRY(read_key(&e->sign_key, bio, "signing", diag));
    TRY(csl__pem_block(&der, &n, bio, "PUBLIC KEY", diag));
    if (der != NULL) {
        OPENSSL_free(der);
        return csl_fail(diag, CSL_EDATA, "more than two public keys");
    }
    e->tls_key = X509_REQ_get_pubkey(e->req);
    TRY(check_types(e, diag));
    TRY(check_signature(e, diag));
    TRY(csl_key_spki(e->tls_spki, e->tls_key));
    TRY(csl_key_spki(e->wrap_spki, e->wrap_key));
    TRY(csl_key_spki(e->sign_spki, e->sign_key));
    GENERAL_NAMES *names = NULL;
    TRY(read_names(&names, e, diag));
    enum csl_err err = csl__names_take(e, wrap, sign, names, diag);
    GENERAL_NAMES_free(names);
    TRY(err);
    return check_fingerprints(e, wrap, sign, diag);
}

enum csl_err csl_enrolment_parse(struct csl_enrolment *e, const char *text, size_t n, struct csl_diag *diag) {
    memset(e, 0, sizeof *e);
    if (n > CSL_ENROLMENT_MAX) {
        return csl_fail(diag, CSL_EDATA, "a request is at most %d bytes long", CSL_ENROLMENT_MAX);
    }
    BIO *bio = csl__bio_view(text, n);
    if (bio == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    enum csl_err err = parse(e, bio, diag);
    BIO_free(bio);
    ERR_clear_error();
    if (err != CSL_OK) {
        csl_enrolment_free(e);
    }
    return err;
}

void csl_enrolment_free(struct csl_enrolment *e) {
    X509_REQ_free(e->req);
    EVP_PKEY_free(e->tls_key);
    EVP_PKEY_free(e->wrap_key);
    EVP_PKEY_free(e->sign_key);
    memset(e, 0, sizeof *e);
}
