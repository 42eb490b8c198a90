/* The consortium's certificate authority, and what the program reads from certificates.
 *
 * A CA folder holds ca.key (P-256, 0600) and ca.crt. The CA signs site certificates; it never sees a private
 * key of a site. TLS trust is the CA AND the roster: a certificate that the CA issued for a key that is not
 * in the roster opens no connection.
 */
#ifndef CSL_CRYPTO_CERT_H
#define CSL_CRYPTO_CERT_H

#include "crypto/identity.h"

enum { CSL_CERT_DAYS_DEFAULT = 365, CSL_CA_DAYS_DEFAULT = 3650, CSL_CERT_DAYS_MAX = 36500 };

/* Creates dir (0700, if missing), ca.key and ca.crt (self-signed, path length 0). Never overwrites. */
CSL_MUST_CHECK enum csl_err csl_ca_create(const char *dir, const char *common_name, unsigned days,
                                          struct csl_diag *diag);

/* Issues the certificate of a parsed request, in PEM (NUL-terminated; the caller frees with free).
 * Copies the names that csl_enrolment_parse checked and nothing else of the request; sets a random 159-bit
 * serial, client and server use, no CA. Valid from five minutes ago (clocks differ) for days, but never
 * longer than the CA certificate. CSL_ECONFIG when the CA's own certificate has expired. */
CSL_MUST_CHECK enum csl_err csl_ca_sign(char **cert_pem, const char *ca_dir, const struct csl_enrolment *e,
                                        unsigned days, struct csl_diag *diag);

/* The end of validity in seconds since 1970 (UTC); 0 when the certificate has none that can be read. */
int64_t csl_cert_not_after(const X509 *cert);
int64_t csl_cert_not_before(const X509 *cert);

/* The site's name from the one URI name consilium:site:<name>. CSL_EDATA: none, two, or an invalid one. */
CSL_MUST_CHECK enum csl_err csl_cert_site_name(char name[CSL_NAME_MAX + 1], X509 *cert,
                                               struct csl_diag *diag);

/* SHA-256 of the certificate's SubjectPublicKeyInfo: what the roster pins. */
CSL_MUST_CHECK enum csl_err csl_cert_spki(uint8_t out[CSL_SPKI_BYTES], X509 *cert);

/* Parses one PEM certificate; the caller frees with X509_free. what names the source in errors. */
CSL_MUST_CHECK enum csl_err csl_cert_parse(X509 **cert, const char *pem, size_t n, const char *what,
                                           struct csl_diag *diag);

/* Verifies that cert chains to ca (the only trust anchor) through chain (may be NULL), for client and server
 * use; at_time 0 is now, -1 leaves validity dates unchecked. CSL_EAUTH with OpenSSL's reason. */
CSL_MUST_CHECK enum csl_err csl_cert_verify(X509 *cert, STACK_OF(X509) * chain, X509 *ca, int64_t at_time,
                                            struct csl_diag *diag);

#endif
