/* Certificates made at run time for the tests, good ones and bad ones. */
#ifndef TESTS_NET_TEST_CERTS_H
#define TESTS_NET_TEST_CERTS_H

#include "net/tls.h"

struct test_ca {
    EVP_PKEY *key;
    X509 *cert;
};

struct test_cert {
    EVP_PKEY *key;
    X509 *cert;
};

/* A P-256 CA with this common name. */
struct test_ca test_ca_new(const char *common_name);
void test_ca_free(struct test_ca *ca);

/* A site certificate, valid from now + from_s to now + to_s. uri NULL: consilium:site:<name>. */
struct test_cert test_cert_new(const struct test_ca *ca, const char *name, const char *uri, long from_s,
                               long to_s);
void test_cert_free(struct test_cert *cert);

/* The TLS context of a site: cert of `own`, trusting `ca`. */
struct csl_tls_ctx *test_tls_ctx(const struct test_cert *own, const struct test_ca *ca);
/* In one go: a good certificate for name. */
struct csl_tls_ctx *test_site(const struct test_ca *ca, const char *name);

#endif
