/* The consortium's CA: made, and signing requests. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/cert.h"
#include "crypto/files_internal.h"
#include "crypto/pem_internal.h"
#include "crypto/secret.h"

enum { CLOCK_SKEW_S = 300, DAY_S = 86400 };

static bool set_serial(X509 *cert) {
    BIGNUM *n = BN_new();
    bool ok = n != NULL && BN_rand(n, 159, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
    BN_free(n);
    return ok;
}

static bool set_validity(X509 *cert, unsigned days, const X509 *issuer) {
    int64_t now = (int64_t)time(NULL);
    int64_t end = now + (int64_t)days * DAY_S;
    if (issuer != NULL && end > csl_cert_not_after(issuer)) {
        end = csl_cert_not_after(issuer);
    }
    return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(now - CLOCK_SKEW_S)) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)end) != NULL;
}

static bool set_subject(X509 *cert, const char *common_name) {
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                                      (const unsigned char *)common_name, -1, -1, 0) == 1;
}

struct extension {
    int nid;
    const char *value;
};

static bool add_extensions(X509 *cert, X509 *issuer, const struct extension *exts, size_t n) {
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    for (size_t i = 0; i < n; i++) {
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, exts[i].nid, exts[i].value);
        bool ok = e != NULL && X509_add_ext(cert, e, -1) == 1;
        X509_EXTENSION_free(e);
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* ---- Creating a CA ---- */

static X509 *make_ca(EVP_PKEY *key, const char *common_name, unsigned days) {
    static const struct extension exts[] = {
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
        {NID_key_usage, "critical,keyCertSign,cRLSign"},
        {NID_subject_key_identifier, "hash"},
    };
    X509 *cert = X509_new();
    if (cert != NULL && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
        set_validity(cert, days, NULL) && set_subject(cert, common_name) &&
        X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 && X509_set_pubkey(cert, key) == 1 &&
        add_extensions(cert, cert, exts, sizeof exts / sizeof exts[0]) &&
        X509_sign(cert, key, EVP_sha256()) > 0) {
        return cert;
    }
    X509_free(cert);
    return NULL;
}

static enum csl_err check_days(unsigned days, struct csl_diag *diag) {
    return days >= 1 && days <= CSL_CERT_DAYS_MAX
               ? CSL_OK
               : csl_fail(diag, CSL_EUSAGE, "a certificate is valid for 1 to %d days, not %u",
                          CSL_CERT_DAYS_MAX, days);
}

enum csl_err csl_ca_create(const char *dir, const char *common_name, unsigned days, struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    char path[CSL__PATH_MAX];
    X509 *cert = NULL;
    char *pem = NULL;
    EVP_PKEY *key = NULL;
    TRY(check_days(days, diag));
    if (common_name[0] == 0 || strlen(common_name) > 64) {
        return csl_fail(diag, CSL_EUSAGE, "the name of a CA has 1 to 64 bytes");
    }
    TRY(csl__make_dir(dir, diag));
    key = EVP_EC_gen("P-256");
    cert = key == NULL ? NULL : make_ca(key, common_name, days);
    if (cert == NULL) {
        err = csl_fail(diag, CSL_EINTERNAL, "the CA certificate cannot be made (%s)", csl__openssl_reason());
        goto out;
    }
    TRY_OUT(csl__certs_pem(&pem, cert, NULL));
    TRY_OUT(csl__path(path, dir, "ca.key", diag));
    TRY_OUT(csl__key_create(key, path, diag));
    TRY_OUT(csl__path(path, dir, "ca.crt", diag));
    TRY_OUT(csl__create_file(path, 0644, pem, strlen(pem), diag));
out:
    free(pem);
    X509_free(cert);
    EVP_PKEY_free(key);
    return err;
}

/* ---- Signing ---- */

static enum csl_err load_ca(X509 **cert, EVP_PKEY **key, const char *dir, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    char *pem = NULL;
    size_t n = 0;
    TRY(csl__path(path, dir, "ca.key", diag));
    TRY(csl__key_load(key, path, diag));
    TRY(csl__path(path, dir, "ca.crt", diag));
    TRY(csl__read_file(&pem, &n, path, CSL__PEM_FILE_MAX, diag));
    enum csl_err err = csl_cert_parse(cert, pem, n, path, diag);
    csl_secret_free(pem);
    TRY(err);
    if (X509_check_private_key(*cert, *key) != 1) {
        ERR_clear_error();
        return csl_fail(diag, CSL_ECONFIG, "%s: not the certificate of ca.key", path);
    }
    if (X509_check_ca(*cert) != 1) {
        return csl_fail(diag, CSL_ECONFIG, "%s: not the certificate of a CA", path);
    }
    int64_t now = (int64_t)time(NULL);
    if (csl_cert_not_after(*cert) <= now || csl_cert_not_before(*cert) > now) {
        return csl_fail(diag, CSL_ECONFIG, "%s: has expired or is not valid yet; make a new CA", path);
    }
    return CSL_OK;
}

static enum csl_err add_names(X509 *cert, const struct csl_enrolment *e, struct csl_diag *diag) {
    const char *hosts[CSL_SITE_HOSTS_MAX];
    GENERAL_NAMES *names = NULL;
    for (size_t i = 0; i < e->n_hosts; i++) {
        hosts[i] = e->hosts[i];
    }
    TRY(csl__names_make(&names, e->name, e->wrap_spki, e->sign_spki, hosts, e->n_hosts, diag));
    int ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT);
    GENERAL_NAMES_free(names);
    return ok == 1 ? CSL_OK : CSL_ENOMEM;
}

static enum csl_err make_cert(X509 *cert, X509 *ca, EVP_PKEY *ca_key, const struct csl_enrolment *e,
                              unsigned days, struct csl_diag *diag) {
    static const struct extension exts[] = {
        {NID_basic_constraints, "critical,CA:FALSE"}, {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, "serverAuth,clientAuth"}, {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid"},
    };
    ERR_clear_error();
    bool ok = X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
              set_validity(cert, days, ca) && set_subject(cert, e->name) &&
              X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1 &&
              X509_set_pubkey(cert, e->tls_key) == 1 &&
              add_extensions(cert, ca, exts, sizeof exts / sizeof exts[0]);
    if (ok) {
        TRY(add_names(cert, e, diag));
        /* a CA that came from elsewhere may have an Ed25519 key, which takes no digest */
        ok = X509_sign(cert, ca_key, EVP_PKEY_is_a(ca_key, "ED25519") == 1 ? NULL : EVP_sha256()) > 0;
    }
    if (!ok) { /* ca.key may be in a token */
        enum csl_err token = csl_token_failure(diag);
        const char *why = csl__openssl_reason();
        return token != CSL_OK ? token
                               : csl_fail(diag, CSL_EINTERNAL, "the certificate cannot be made (%s)", why);
    }
    return CSL_OK;
}

enum csl_err csl_ca_sign(char **out_pem, const char *ca_dir, const struct csl_enrolment *e, unsigned days,
                         struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    X509 *ca = NULL, *cert = NULL;
    EVP_PKEY *key = NULL;
    TRY(check_days(days, diag));
    TRY_OUT(load_ca(&ca, &key, ca_dir, diag));
    cert = X509_new();
    if (cert == NULL) {
        err = csl_fail(diag, CSL_ENOMEM, "out of memory");
        goto out;
    }
    TRY_OUT(make_cert(cert, ca, key, e, days, diag));
    TRY_OUT(csl__certs_pem(out_pem, cert, NULL));
out:
    X509_free(ca);
    X509_free(cert);
    EVP_PKEY_free(key);
    return err;
}
