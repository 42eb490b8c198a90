#include "crypto/cert.h"

#include <openssl/err.h>
#include <string.h>
#include <time.h>

#include "crypto/pem_internal.h"

static int64_t seconds(const ASN1_TIME *t) {
    struct tm tm;
    memset(&tm, 0, sizeof tm);
    if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1) {
        return 0;
    }
    return (int64_t)timegm(&tm);
}

int64_t csl_cert_not_after(const X509 *cert) {
    return seconds(X509_get0_notAfter(cert));
}

int64_t csl_cert_not_before(const X509 *cert) {
    return seconds(X509_get0_notBefore(cert));
}

enum csl_err csl_cert_spki(uint8_t out[CSL_SPKI_BYTES], X509 *cert) {
    EVP_PKEY *key = X509_get0_pubkey(cert);
    if (key == NULL) {
        ERR_clear_error();
        return CSL_EDATA;
    }
    return csl_key_spki(out, key);
}

static enum csl_err find_name(char name[CSL_NAME_MAX + 1], const GENERAL_NAMES *names,
                              struct csl_diag *diag) {
    static const size_t n_prefix = sizeof CSL__URI_SITE - 1;
    const char *found = NULL;
    char uri[160], keep[160];
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *gn = sk_GENERAL_NAME_value(names, i);
        if (gn->type != GEN_URI || !csl__ia5_text(uri, sizeof uri - 1, gn->d.uniformResourceIdentifier) ||
            strncmp(uri, CSL__URI_SITE, n_prefix) != 0) {
            continue;
        }
        if (found != NULL) {
            return csl_fail(diag, CSL_EDATA, "the certificate has more than one site name");
        }
        memcpy(keep, uri, sizeof keep);
        found = keep + n_prefix;
    }
    if (found == NULL || !csl_name_valid(found)) {
        return csl_fail(diag, CSL_EDATA, "the certificate has no valid site name (a URI %s<name>)",
                        CSL__URI_SITE);
    }
    memcpy(name, found, strlen(found) + 1);
    return CSL_OK;
}

enum csl_err csl_cert_site_name(char name[CSL_NAME_MAX + 1], X509 *cert, struct csl_diag *diag) {
    name[0] = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    enum csl_err err = find_name(name, names, diag);
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return err;
}

enum csl_err csl_cert_parse(X509 **cert, const char *pem, size_t n, const char *what, struct csl_diag *diag) {
    STACK_OF(X509) *chain = NULL;
    X509 *x = NULL;
    TRY(csl__certs_parse(&x, &chain, pem, n, what, diag));
    if (chain != NULL) {
        sk_X509_pop_free(chain, X509_free);
        X509_free(x);
        return csl_fail(diag, CSL_EDATA, "%s: holds more than one certificate", what);
    }
    *cert = x;
    return CSL_OK;
}

static enum csl_err verify_store(X509 *cert, STACK_OF(X509) * chain, X509_STORE *store, int64_t at_time,
                                 struct csl_diag *diag) {
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (ctx == NULL || X509_STORE_CTX_init(ctx, store, cert, chain) != 1) {
        X509_STORE_CTX_free(ctx);
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN; /* the CA given is the anchor, self-signed or not */
    if (at_time < 0) {
        flags |= X509_V_FLAG_NO_CHECK_TIME;
    } else if (at_time > 0) {
        X509_VERIFY_PARAM_set_time(param, (time_t)at_time);
    }
    X509_VERIFY_PARAM_set_flags(param, flags);
    X509_VERIFY_PARAM_set_auth_level(param, 2);
    X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT);
    enum csl_err err = CSL_OK;
    if (X509_verify_cert(ctx) != 1) {
        err = csl_fail(diag, CSL_EAUTH, "the certificate does not verify against the CA: %s",
                       X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    } else if (X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0) != 1) {
        err = csl_fail(diag, CSL_EAUTH, "the certificate is not issued for TLS servers as well");
    }
    X509_STORE_CTX_free(ctx);
    return err;
}

enum csl_err csl_cert_verify(X509 *cert, STACK_OF(X509) * chain, X509 *ca, int64_t at_time,
                             struct csl_diag *diag) {
    /* As a trust anchor, a site's certificate would vouch for itself. */
    if (X509_check_ca(ca) != 1) {
        ERR_clear_error();
        return csl_fail(diag, CSL_EAUTH,
                        "the certificate does not verify: what is given as the CA is not a CA");
    }
    X509_STORE *store = X509_STORE_new();
    if (store == NULL || X509_STORE_add_cert(store, ca) != 1) {
        X509_STORE_free(store);
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    enum csl_err err = verify_store(cert, chain, store, at_time, diag);
    X509_STORE_free(store);
    ERR_clear_error();
    return err;
}
