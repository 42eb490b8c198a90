/* PEM blocks and keys, shared by the identity files. */
#ifndef CSL_CRYPTO_PEM_INTERNAL_H
#define CSL_CRYPTO_PEM_INTERNAL_H

#include <openssl/bio.h>
#include <openssl/x509v3.h>

#include "crypto/identity.h"

enum { CSL__PEM_FILE_MAX = 256 * 1024 };

#define CSL__URI_SITE "consilium:site:"
#define CSL__URI_WRAP "consilium:wrap:sha256:"
#define CSL__URI_SIGN "consilium:sign:sha256:"

/* OpenSSL's oldest queued reason as text (never NULL); empties the queue. */
const char *csl__openssl_reason(void);

/* A read-only BIO over n bytes; NULL without memory or when n is too large. */
BIO *csl__bio_view(const void *data, size_t n);

/* The next block of bio: its DER in *der (free with OPENSSL_free). *der is NULL at the end of the input,
 * where nothing but white space may be left. A block of another type than type is CSL_EDATA, with a warning
 * when it is a private key. */
CSL_MUST_CHECK enum csl_err csl__pem_block(unsigned char **der, long *n_der, BIO *bio, const char *type,
                                           struct csl_diag *diag);

/* Copies what a memory BIO holds into malloc'ed, NUL-terminated text. */
CSL_MUST_CHECK enum csl_err csl__bio_text(char **text, BIO *mem);

/* A SubjectPublicKeyInfo of exactly n bytes in its one canonical encoding; NULL when it is not that. */
EVP_PKEY *csl__key_from_der(const unsigned char *der, long n);

/* Reads a private key file (0600). */
CSL_MUST_CHECK enum csl_err csl__key_load(EVP_PKEY **key, const char *path, struct csl_diag *diag);

/* Creates the file of a private key (O_EXCL, 0600). */
CSL_MUST_CHECK enum csl_err csl__key_create(EVP_PKEY *key, const char *path, struct csl_diag *diag);

/* Parses certificates: the first into *cert, the others (at most 8) into *chain (NULL when there are none).
 */
CSL_MUST_CHECK enum csl_err csl__certs_parse(X509 **cert, STACK_OF(X509) * *chain, const char *pem, size_t n,
                                             const char *what, struct csl_diag *diag);

/* PEM text (malloc) of cert and the certificates of chain, which may be NULL. */
CSL_MUST_CHECK enum csl_err csl__certs_pem(char **pem, X509 *cert, STACK_OF(X509) * chain);

/* The names of a request or certificate. */
CSL_MUST_CHECK enum csl_err csl__names_make(GENERAL_NAMES **names, const char *site,
                                            const uint8_t wrap[CSL_SPKI_BYTES],
                                            const uint8_t sign[CSL_SPKI_BYTES], const char *const *hosts,
                                            size_t n_hosts, struct csl_diag *diag);

/* The names of a request into e (name, hosts) and the two fingerprints; each URI exactly once, nothing
 * unknown. */
CSL_MUST_CHECK enum csl_err csl__names_take(struct csl_enrolment *e, uint8_t wrap[CSL_SPKI_BYTES],
                                            uint8_t sign[CSL_SPKI_BYTES], const GENERAL_NAMES *names,
                                            struct csl_diag *diag);

/* Exactly 2 * n_out lower-case hex digits; public data. */
bool csl__hex_decode(uint8_t *out, size_t n_out, const char *hex, size_t n_hex);

/* Text of a URI or DNS name; false when it holds a NUL or other non-printable byte or is longer than max. */
bool csl__ia5_text(char *out, size_t max, const ASN1_STRING *s);

#endif
