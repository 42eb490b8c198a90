/* TLS contexts: a site's certificate and key, the CA it trusts, TLS 1.3 alone. */
#include "net/tls_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

static int no_passphrase(char *buf, int size, int writing, void *arg) {
    (void)buf, (void)size, (void)writing, (void)arg;
    return 0; /* a daemon has nobody to ask */
}

static enum csl_err new_ssl_ctx(SSL_CTX **out, struct csl_diag *diag) {
    SSL_CTX *ssl = SSL_CTX_new(TLS_method());
    if (ssl == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "OpenSSL cannot set up TLS");
    }
    *out = ssl;
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, csl__tls_verify);
    SSL_CTX_set_verify_depth(ssl, 4);
    SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
    if (SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) != 1 || SSL_CTX_set_num_tickets(ssl, 0) != 1 ||
        SSL_CTX_set_max_early_data(ssl, 0) != 1 || SSL_CTX_set1_groups_list(ssl, "X25519:P-256") != 1 ||
        SSL_CTX_set_ciphersuites(ssl, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                      "TLS_CHACHA20_POLY1305_SHA256") != 1) {
        return csl_fail(diag, CSL_EINTERNAL, "this OpenSSL does not offer TLS 1.3 as it is needed");
    }
    return CSL_OK;
}

/* Own certificate first, then what leads to the CA. */
static enum csl_err use_pem_chain(SSL_CTX *ssl, BIO *pem, const char *what, struct csl_diag *diag) {
    X509 *cert = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL);
    bool ok = cert != NULL && SSL_CTX_use_certificate(ssl, cert) == 1;
    X509_free(cert);
    if (!ok) {
        return csl_fail(diag, CSL_ECONFIG, "%s: not a certificate in PEM that TLS can use", what);
    }
    while ((cert = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(ssl, cert) != 1) {
            X509_free(cert);
            return csl_fail(diag, CSL_ECONFIG, "%s: a certificate of the chain cannot be used", what);
        }
    }
    return CSL_OK;
}

static enum csl_err use_chain(SSL_CTX *ssl, const struct csl_tls_config *c, struct csl_diag *diag) {
    if (c->cert != NULL) {
        if (SSL_CTX_use_certificate(ssl, c->cert) != 1 ||
            (c->chain != NULL && SSL_CTX_set1_chain(ssl, c->chain) != 1)) {
            return csl_fail(diag, CSL_ECONFIG, "TLS cannot use this site's certificate");
        }
        return CSL_OK;
    }
    if (c->chain_pem == NULL && c->chain_path == NULL) {
        return csl_fail(diag, CSL_EUSAGE, "TLS needs a certificate");
    }
    const char *what = c->chain_pem != NULL ? "TLS certificate" : c->chain_path;
    BIO *pem = NULL;
    if (c->chain_pem == NULL) {
        pem = BIO_new_file(c->chain_path, "r");
        if (pem == NULL) {
            return csl_fail(diag, CSL_ENOINPUT, "%s: %s", what, strerror(errno));
        }
    } else if (c->chain_n > INT32_MAX || (pem = BIO_new_mem_buf(c->chain_pem, (int)c->chain_n)) == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory for the TLS certificate");
    }
    enum csl_err err = use_pem_chain(ssl, pem, what, diag);
    BIO_free(pem);
    return err;
}

static enum csl_err use_key(SSL_CTX *ssl, const struct csl_tls_config *c, struct csl_diag *diag) {
    const char *what = c->key_path != NULL ? c->key_path : "TLS key";
    EVP_PKEY *key = c->key;
    if (key == NULL) {
        if (c->key_path == NULL) {
            return csl_fail(diag, CSL_EUSAGE, "TLS needs a private key");
        }
        BIO *pem = BIO_new_file(c->key_path, "r");
        if (pem == NULL) {
            return csl_fail(diag, CSL_ENOINPUT, "%s: %s", what, strerror(errno));
        }
        key = PEM_read_bio_PrivateKey(pem, NULL, no_passphrase, NULL);
        BIO_free(pem);
        if (key == NULL) {
            return csl_fail(diag, CSL_ECONFIG, "%s: not a private key in PEM without a passphrase", what);
        }
    } else {
        EVP_PKEY_up_ref(key);
    }
    bool ok = SSL_CTX_use_PrivateKey(ssl, key) == 1 && SSL_CTX_check_private_key(ssl) == 1;
    EVP_PKEY_free(key);
    if (!ok) {
        return csl_fail(diag, CSL_ECONFIG, "%s: this private key does not belong to the TLS certificate",
                        what);
    }
    return CSL_OK;
}

static enum csl_err add_ca(struct csl_tls_ctx *ctx, X509 *ca, struct csl_diag *diag) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx->ssl), ca) != 1) {
        return csl_fail(diag, CSL_ECONFIG, "the CA certificate cannot be used");
    }
    if (ctx->ca_name[0] == '\0') {
        (void)X509_NAME_oneline(X509_get_subject_name(ca), ctx->ca_name, (int)sizeof ctx->ca_name);
    }
    return CSL_OK;
}

static enum csl_err use_ca(struct csl_tls_ctx *ctx, const struct csl_tls_config *c, struct csl_diag *diag) {
    if (c->ca != NULL) {
        return add_ca(ctx, c->ca, diag);
    }
    if (c->ca_pem == NULL || c->ca_n > INT32_MAX) {
        return csl_fail(diag, CSL_EUSAGE, "TLS needs a CA certificate");
    }
    BIO *pem = BIO_new_mem_buf(c->ca_pem, (int)c->ca_n);
    if (pem == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory for the CA certificate");
    }
    enum csl_err err = CSL_OK;
    unsigned n = 0;
    X509 *ca;
    while (err == CSL_OK && (ca = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL)) != NULL) {
        err = add_ca(ctx, ca, diag);
        X509_free(ca);
        n++;
    }
    BIO_free(pem);
    if (err == CSL_OK && n == 0) {
        err = csl_fail(diag, CSL_ECONFIG, "the CA certificate is not a certificate in PEM");
    }
    return err;
}

enum csl_err csl_tls_ctx_new(struct csl_tls_ctx **out, const struct csl_tls_config *config,
                             struct csl_diag *diag) {
    *out = NULL;
    enum csl_err err;
    struct csl_tls_ctx *ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory for TLS");
    }
    ctx->refs = 1;
    ERR_clear_error();
    ctx->bio = csl__tls_bio_method();
    if (ctx->bio == NULL) {
        err = csl_fail(diag, CSL_ENOMEM, "out of memory for TLS");
        goto out;
    }
    TRY_OUT(new_ssl_ctx(&ctx->ssl, diag));
    TRY_OUT(use_chain(ctx->ssl, config, diag));
    TRY_OUT(use_key(ctx->ssl, config, diag));
    TRY_OUT(use_ca(ctx, config, diag));
    ctx->not_after = csl_cert_not_after(SSL_CTX_get0_certificate(ctx->ssl));
    *out = ctx;
    ctx = NULL;
out:
    ERR_clear_error();
    csl_tls_ctx_free(ctx);
    return err;
}

struct csl_tls_ctx *csl_tls_ctx_ref(struct csl_tls_ctx *ctx) {
    ctx->refs++;
    return ctx;
}

void csl_tls_ctx_free(struct csl_tls_ctx *ctx) {
    if (ctx != NULL && --ctx->refs == 0) {
        SSL_CTX_free(ctx->ssl);
        BIO_meth_free(ctx->bio);
        free(ctx);
    }
}

int64_t csl_tls_ctx_not_after(const struct csl_tls_ctx *ctx) {
    return ctx->not_after;
}
