#include "test_certs.h"

#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

static void must(bool ok, const char *what) {
    if (!ok) {
        (void)fprintf(stderr, "test certificates: %s failed\n", what);
        abort();
    }
}

static X509 *new_cert(const char *common_name, EVP_PKEY *key, long from_s, long to_s) {
    static long serial = 1;
    X509 *cert = X509_new();
    must(cert != NULL && X509_set_version(cert, 2) == 1, "new certificate");
    must(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++) == 1, "serial");
    must(X509_gmtime_adj(X509_getm_notBefore(cert), from_s) != NULL, "not before");
    must(X509_gmtime_adj(X509_getm_notAfter(cert), to_s) != NULL, "not after");
    must(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                    (const unsigned char *)common_name, -1, -1, 0) == 1,
         "name");
    must(X509_set_pubkey(cert, key) == 1, "public key");
    return cert;
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(ext != NULL && X509_add_ext(cert, ext, -1) == 1, value);
    X509_EXTENSION_free(ext);
}

struct test_ca test_ca_new(const char *common_name) {
    struct test_ca ca;
    ca.key = EVP_EC_gen("P-256");
    must(ca.key != NULL, "CA key");
    ca.cert = new_cert(common_name, ca.key, -86400L * 400, 86400L * 400);
    must(X509_set_issuer_name(ca.cert, X509_get_subject_name(ca.cert)) == 1, "issuer");
    extend(ca.cert, ca.cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    extend(ca.cert, ca.cert, NID_key_usage, "critical,keyCertSign,cRLSign");
    extend(ca.cert, ca.cert, NID_subject_key_identifier, "hash");
    must(X509_sign(ca.cert, ca.key, EVP_sha256()) != 0, "signing");
    return ca;
}

void test_ca_free(struct test_ca *ca) {
    EVP_PKEY_free(ca->key);
    X509_free(ca->cert);
}

struct test_cert test_cert_new(const struct test_ca *ca, const char *name, const char *uri, long from_s,
                               long to_s) {
    struct test_cert c;
    char san[160];
    c.key = EVP_EC_gen("P-256");
    must(c.key != NULL, "key");
    c.cert = new_cert(name, c.key, from_s, to_s);
    must(X509_set_issuer_name(c.cert, X509_get_subject_name(ca->cert)) == 1, "issuer");
    extend(c.cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE");
    extend(c.cert, ca->cert, NID_key_usage, "critical,digitalSignature");
    extend(c.cert, ca->cert, NID_ext_key_usage, "serverAuth,clientAuth");
    if (uri == NULL) {
        (void)snprintf(san, sizeof san, "URI:consilium:site:%s", name);
    } else {
        (void)snprintf(san, sizeof san, "%s", uri);
    }
    extend(c.cert, ca->cert, NID_subject_alt_name, san);
    must(X509_sign(c.cert, ca->key, EVP_sha256()) != 0, "signing");
    return c;
}

void test_cert_free(struct test_cert *c) {
    EVP_PKEY_free(c->key);
    X509_free(c->cert);
}

struct csl_tls_ctx *test_tls_ctx(const struct test_cert *own, const struct test_ca *ca) {
    struct csl_tls_ctx *ctx;
    struct csl_diag diag;
    struct csl_tls_config config = {.cert = own->cert, .key = own->key, .ca = ca->cert};
    enum csl_err err = csl_tls_ctx_new(&ctx, &config, &diag);
    must(err == CSL_OK, err != CSL_OK ? diag.text : "TLS context");
    return ctx;
}

struct csl_tls_ctx *test_site(const struct test_ca *ca, const char *name) {
    struct test_cert cert = test_cert_new(ca, name, NULL, -3600, 86400);
    struct csl_tls_ctx *ctx = test_tls_ctx(&cert, ca);
    test_cert_free(&cert);
    return ctx;
}
