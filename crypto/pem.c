#include "crypto/pem_internal.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/files_internal.h"
#include "crypto/secret.h"

const char *csl__openssl_reason(void) {
    unsigned long e = ERR_get_error();
    ERR_clear_error();
    const char *text = e == 0 ? NULL : ERR_reason_error_string(e);
    return text == NULL ? "no reason given" : text;
}

BIO *csl__bio_view(const void *data, size_t n) {
    return n > INT_MAX ? NULL : BIO_new_mem_buf(data, (int)n);
}

static enum csl_err block_type(const char *name, const char *header, const char *type,
                               struct csl_diag *diag) {
    bool same = strcmp(name, type) == 0 ||
                (strcmp(type, "CERTIFICATE REQUEST") == 0 && strcmp(name, "NEW CERTIFICATE REQUEST") == 0);
    if (!same && strstr(name, "PRIVATE KEY") != NULL) {
        return csl_fail(
            diag, CSL_EDATA,
            "holds a private key (PEM block \"%s\"); a private key never leaves its site: if this "
            "file was sent, make new keys",
            name);
    }
    if (!same) {
        return csl_fail(diag, CSL_EDATA, "PEM block \"%.40s\" where \"%s\" is expected", name, type);
    }
    if (header[0] != 0) {
        return csl_fail(diag, CSL_EDATA, "PEM block \"%s\" has header lines", name);
    }
    return CSL_OK;
}

enum csl_err csl__pem_block(unsigned char **der, long *n_der, BIO *bio, const char *type,
                            struct csl_diag *diag) {
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long n = 0;
    *der = NULL;
    ERR_clear_error();
    if (PEM_read_bio(bio, &name, &header, &data, &n) != 1) {
        bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
        const char *reason = csl__openssl_reason();
        return at_end ? CSL_OK : csl_fail(diag, CSL_EDATA, "PEM block cannot be read (%s)", reason);
    }
    enum csl_err err = block_type(name, header, type, diag);
    if (err == CSL_OK) {
        *der = data;
        *n_der = n;
    } else {
        OPENSSL_clear_free(data, n > 0 ? (size_t)n : 0);
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    return err;
}

enum csl_err csl__bio_text(char **text, BIO *mem) {
    const char *data = NULL;
    long n = BIO_get_mem_data(mem, &data);
    char *copy = n < 0 ? NULL : malloc((size_t)n + 1);
    if (copy == NULL) {
        return CSL_ENOMEM;
    }
    if (n > 0) {
        memcpy(copy, data, (size_t)n);
    }
    copy[n] = 0;
    *text = copy;
    return CSL_OK;
}

/* DER of exactly one certificate. */
static enum csl_err cert_from_der(X509 **cert, const unsigned char *der, long n, const char *what,
                                  struct csl_diag *diag) {
    const unsigned char *p = der;
    X509 *x = d2i_X509(NULL, &p, n);
    if (x == NULL || p != der + n) {
        X509_free(x);
        return csl_fail(diag, CSL_EDATA, "%s: not a certificate (%s)", what, csl__openssl_reason());
    }
    *cert = x;
    return CSL_OK;
}

static enum csl_err chain_push(STACK_OF(X509) * *chain, X509 *x, const char *what, struct csl_diag *diag) {
    enum { MAX_CHAIN = 8 };
    if (*chain == NULL) {
        *chain = sk_X509_new_null();
    }
    if (*chain != NULL && sk_X509_num(*chain) >= MAX_CHAIN) {
        X509_free(x);
        return csl_fail(diag, CSL_EDATA, "%s: more than %d certificates", what, MAX_CHAIN + 1);
    }
    if (*chain == NULL || sk_X509_push(*chain, x) <= 0) {
        X509_free(x);
        return csl_fail(diag, CSL_ENOMEM, "%s: out of memory", what);
    }
    return CSL_OK;
}

enum csl_err csl__certs_parse(X509 **cert, STACK_OF(X509) * *chain, const char *pem, size_t n,
                              const char *what, struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    X509 *first = NULL;
    STACK_OF(X509) *others = NULL;
    unsigned char *der = NULL;
    long n_der = 0;
    BIO *bio = csl__bio_view(pem, n);
    if (bio == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "%s: out of memory", what);
    }
    for (;;) {
        err = csl__pem_block(&der, &n_der, bio, "CERTIFICATE", diag);
        if (err != CSL_OK) {
            err = csl_fail_context(diag, err, "%s", what);
            goto out;
        }
        if (der == NULL) {
            break;
        }
        X509 *x = NULL;
        err = cert_from_der(&x, der, n_der, what, diag);
        OPENSSL_free(der);
        if (err == CSL_OK && first == NULL) {
            first = x;
        } else if (err == CSL_OK) {
            err = chain_push(&others, x, what, diag);
        }
        TRY_OUT(err);
    }
    if (first == NULL) {
        err = csl_fail(diag, CSL_EDATA, "%s: holds no PEM certificate", what);
        goto out;
    }
    *cert = first;
    *chain = others;
    first = NULL;
    others = NULL;
out:
    BIO_free(bio);
    X509_free(first);
    sk_X509_pop_free(others, X509_free);
    return err;
}

enum csl_err csl__certs_pem(char **pem, X509 *cert, STACK_OF(X509) * chain) {
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio != NULL && PEM_write_bio_X509(bio, cert) == 1;
    for (int i = 0; ok && chain != NULL && i < sk_X509_num(chain); i++) {
        ok = PEM_write_bio_X509(bio, sk_X509_value(chain, i)) == 1;
    }
    enum csl_err err = ok ? csl__bio_text(pem, bio) : CSL_ENOMEM;
    BIO_free(bio);
    return err;
}

bool csl__ia5_text(char *out, size_t max, const ASN1_STRING *s) {
    const unsigned char *data = ASN1_STRING_get0_data(s);
    int n = ASN1_STRING_length(s);
    if (n <= 0 || (size_t)n > max) {
        return false;
    }
    for (int i = 0; i < n; i++) {
        if (data[i] <= ' ' || data[i] > '~') {
            return false;
        }
    }
    memcpy(out, data, (size_t)n);
    out[n] = 0;
    return true;
}
