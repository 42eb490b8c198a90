/* Who a site is: its three key pairs, its certificate, and the request that it sends to the consortium.
 *
 * A site folder holds
 *   name       the site's name, [a-z0-9-]{1,32}
 *   tls.key    P-256, for TLS only               (private, 0600)
 *   wrap.key   RSA-3072, opens envelopes only    (private, 0600)
 *   sign.key   Ed25519, signs only               (private, 0600)
 *   tls.crt    certificate of tls.key, issued by the consortium's CA (and any intermediate ones after it)
 *   ca.crt     the consortium's CA certificate
 *   roster.yaml, state/   a copy of the roster; what a daemon must remember
 * Instead of a key, each .key file may hold a line that says where in a PKCS#11 token it is (crypto/token.h).
 * No key has two uses. Private keys are created in the folder with O_EXCL and never leave it: a request
 * holds public keys only. A private key that group or others can read is refused.
 *
 * Errors: CSL_ENOINPUT a file is missing; CSL_ECONFIG permissions, key types or a certificate that is not
 * this site's; CSL_EDATA malformed input; CSL_EAUTH a signature or fingerprint that does not verify;
 * CSL_ECREATE and CSL_EIO for output. Each diag names the file. Outputs are zero after an error.
 */
#ifndef CSL_CRYPTO_IDENTITY_H
#define CSL_CRYPTO_IDENTITY_H

#include <openssl/x509.h>

#include "crypto/err.h"
#include "crypto/token.h"

enum {
    CSL_NAME_MAX = 32,            /* bytes of a site name, without the final 0 */
    CSL_SPKI_BYTES = 32,          /* SHA-256 of a DER SubjectPublicKeyInfo */
    CSL_WRAP_BITS = 3072,         /* RSA modulus of a wrapping key */
    CSL_HOST_MAX = 253,           /* bytes of a DNS name or an IP address, without the final 0 */
    CSL_SITE_HOSTS_MAX = 16,      /* DNS names and IP addresses in one request or certificate */
    CSL_ENROLMENT_MAX = 64 * 1024 /* bytes of a request file */
};

/* [a-z0-9-]{1,32}, not starting or ending with '-'. */
bool csl_name_valid(const char *name);

/* ---- A site and its folder ---- */

struct csl_site {
    char name[CSL_NAME_MAX + 1];
    EVP_PKEY *tls_key;
    EVP_PKEY *wrap_key;
    EVP_PKEY *sign_key;
    X509 *tls_cert;                   /* NULL after csl_site_load_keys */
    STACK_OF(X509) * tls_chain;       /* intermediate certificates of tls.crt; may be NULL */
    X509 *ca;                         /* NULL after csl_site_load_keys */
    uint8_t tls_spki[CSL_SPKI_BYTES]; /* what the roster pins */
    uint8_t wrap_spki[CSL_SPKI_BYTES];
    uint8_t sign_spki[CSL_SPKI_BYTES];
};

/* Creates dir (0700, if missing) and in it name, tls.key, wrap.key, sign.key and state/. Nothing is ever
 * overwritten: CSL_ECREATE when one of the files exists. Takes about a second (RSA). */
CSL_MUST_CHECK enum csl_err csl_site_keygen(const char *dir, const char *name, struct csl_diag *diag);

/* The same with keys in tokens: where[kind] NULL puts a key into its file; otherwise the token's key under
 * the URI's object and id is used, or drawn there when the token has none (drawn[kind]). A URI with neither
 * object nor id means a new object NAME-tls, NAME-wrap, NAME-sign: CSL_ECREATE when the token has one of that
 * name, so that nobody keeps old keys by mistake. Nothing is written when a token fails. */
CSL_MUST_CHECK enum csl_err csl_site_keygen_in(const char *dir, const char *name,
                                               const struct csl_token_uri *const where[CSL_TOKEN_KINDS],
                                               bool drawn[CSL_TOKEN_KINDS], struct csl_diag *diag);

/* Loads everything a daemon or client needs and checks: permissions, key types and sizes, that tls.crt is
 * of tls.key, carries the site's name, and chains to ca.crt. An expired or not yet valid certificate is
 * loaded (see csl_cert_not_after; TLS peers refuse it). The caller clears with csl_site_free. */
CSL_MUST_CHECK enum csl_err csl_site_load(struct csl_site *site, const char *dir, struct csl_diag *diag);

/* The same without tls.crt and ca.crt, for a site that has not been certified yet. */
CSL_MUST_CHECK enum csl_err csl_site_load_keys(struct csl_site *site, const char *dir, struct csl_diag *diag);

/* Reads tls.crt and ca.crt again and, if they are other ones and good for this site's key, puts them
 * into the site; *changed says so. After an error the site is unchanged: the old certificate serves on.
 * Not thread-safe against readers of site: call it where the TLS contexts are made. */
CSL_MUST_CHECK enum csl_err csl_site_reload_cert(struct csl_site *site, bool *changed, const char *dir,
                                                 struct csl_diag *diag);

/* Frees (and OpenSSL wipes) the keys; zeroes the struct. site may be all zero. */
void csl_site_free(struct csl_site *site);

/* Imports a certificate that the CA issued: cert_file must be of dir's tls.key, carry its name and chain to
 * ca_file, be valid now, and not hold a private key. Then ca.crt and tls.crt are replaced, each by an atomic
 * rename. A renewal keeps the key, so the roster stays valid. */
CSL_MUST_CHECK enum csl_err csl_site_import_cert(const char *dir, const char *cert_file, const char *ca_file,
                                                 struct csl_diag *diag);

/* SHA-256 of a public key's DER SubjectPublicKeyInfo. */
CSL_MUST_CHECK enum csl_err csl_key_spki(uint8_t out[CSL_SPKI_BYTES], EVP_PKEY *key);

/* One public key in PEM ("-----BEGIN PUBLIC KEY-----"). parse: the caller frees *key with EVP_PKEY_free; a
 * private key or anything after the block is CSL_EDATA. Check the type with the functions below. */
CSL_MUST_CHECK enum csl_err csl_key_parse_public(EVP_PKEY **key, const char *pem, size_t n,
                                                 struct csl_diag *diag);
bool csl_key_is_tls(EVP_PKEY *key);  /* EC, P-256 */
bool csl_key_is_wrap(EVP_PKEY *key); /* RSA, exactly 3072 bits, e = 65537 */
bool csl_key_is_sign(EVP_PKEY *key); /* Ed25519 */

/* ---- The enrolment request ----
 *
 * One text file: a PEM certificate request of the TLS key, with these subject alternative names
 *   URI  consilium:site:<name>
 *   URI  consilium:wrap:sha256:<64 hex digits>     SHA-256 of the wrapping key's SubjectPublicKeyInfo
 *   URI  consilium:sign:sha256:<64 hex digits>     the same of the signing key
 *   DNS and IP names of the site (optional)
 * followed by the PEM of the wrapping and of the signing public key. The request's self-signature thus covers
 * all three. */
struct csl_enrolment {
    char name[CSL_NAME_MAX + 1];
    X509_REQ *req;
    EVP_PKEY *tls_key; /* public keys only */
    EVP_PKEY *wrap_key;
    EVP_PKEY *sign_key;
    uint8_t tls_spki[CSL_SPKI_BYTES];
    uint8_t wrap_spki[CSL_SPKI_BYTES];
    uint8_t sign_spki[CSL_SPKI_BYTES];
    char hosts[CSL_SITE_HOSTS_MAX][CSL_HOST_MAX + 1]; /* DNS names and IP addresses */
    size_t n_hosts;
};

/* The request of a site as text (NUL-terminated; the caller frees with free). hosts: DNS names or IP
 * addresses, n_hosts <= CSL_SITE_HOSTS_MAX. */
CSL_MUST_CHECK enum csl_err csl_enrolment_write(char **text, const struct csl_site *site,
                                                const char *const *hosts, size_t n_hosts,
                                                struct csl_diag *diag);

/* Parses n <= CSL_ENROLMENT_MAX bytes and verifies the signatures, key types and fingerprints; any other
 * block, extension or name in it is an error. The caller clears with csl_enrolment_free. */
CSL_MUST_CHECK enum csl_err csl_enrolment_parse(struct csl_enrolment *e, const char *text, size_t n,
                                                struct csl_diag *diag);
void csl_enrolment_free(struct csl_enrolment *e);

#endif
