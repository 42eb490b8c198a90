/* Envelopes: bytes sealed to one recipient's RSA wrapping key (protocol step K1).
 *
 * A fresh AES-256 key is wrapped by RSA-OAEP (SHA-256, MGF1-SHA-256, RFC 8017) and encrypts the bytes with
 * GCM (NIST SP 800-38D). The label (a constant that says what the envelope is for, e.g.
 * "consilium/seed-grant") is the OAEP label and is bound by GCM as well; aad (public, e.g. epoch and party)
 * is bound by GCM.
 *
 *     magic "CSLE" | version u16 = 1 | wrapped key length u16 | wrapped key | iv 12 | ciphertext length u64 |
 * ciphertext | tag 16
 *
 * (little-endian). GCM's associated data is all that stands before the ciphertext | label length u64 | label
 * | aad length u64 | aad. An envelope does not say who sealed it: sign it (crypto/sign.h).
 *
 * Keys are EVP_PKEYs of type RSA of 3072 to 16384 bits; others are CSL_ECONFIG.
 * label: 1..CSL_ENVELOPE_LABEL_MAX bytes. After an error outputs are zero (up to the length they would have
 * had) and the lengths 0.
 */
#ifndef CSL_CRYPTO_ENVELOPE_H
#define CSL_CRYPTO_ENVELOPE_H

#include "crypto/err.h"

typedef struct evp_pkey_st EVP_PKEY;

enum { CSL_ENVELOPE_LABEL_MAX = 128, CSL_WRAP_MIN_BITS = 3072, CSL_WRAP_MAX_BITS = 16384 };

/* CSL_OK when the key may be used for wrapping: RSA, 3072 to 16384 bits. */
CSL_MUST_CHECK enum csl_err csl_envelope_check_key(const EVP_PKEY *key, struct csl_diag *diag);

/* The size of an envelope for n plaintext bytes sealed to this key. */
CSL_MUST_CHECK enum csl_err csl_envelope_size(size_t *n_env, size_t n, const EVP_PKEY *pub,
                                              struct csl_diag *diag);

/* The plaintext length that an envelope states, after all checks that need no key (CSL_EDATA when it is
 * malformed): magic, version, and that its lengths add up to n_env exactly. */
CSL_MUST_CHECK enum csl_err csl_envelope_plain_size(size_t *n, const uint8_t *env, size_t n_env,
                                                    struct csl_diag *diag);

/* Seals plain[0..n). *n_out: in, the room at out (CSL_EUSAGE when less than csl_envelope_size()); out, the
 * envelope's length. What is written is marked CSL_PUBLIC. out must not overlap plain. */
CSL_MUST_CHECK enum csl_err csl_envelope_seal(uint8_t *out, size_t *n_out, EVP_PKEY *pub, const char *label,
                                              const uint8_t *aad, size_t n_aad, const uint8_t *plain,
                                              size_t n, struct csl_diag *diag);

/* Opens env[0..n_env). *n_out: in, the room at out (csl_envelope_plain_size(); n_env always suffices); out,
 * the plaintext's length. CSL_EDATA: malformed, seen without the key. CSL_EAUTH: the one error for everything
 * that needs the key (wrong key, label or aad, or changed bytes): when the unwrapping fails, a
 * random key takes its place, so that it ends in the same GCM failure. A token that holds priv and fails is
 * an error of crypto/token.h. The plaintext is marked CSL_SECRET. */
CSL_MUST_CHECK enum csl_err csl_envelope_open(uint8_t *out, size_t *n_out, EVP_PKEY *priv, const char *label,
                                              const uint8_t *aad, size_t n_aad, const uint8_t *env,
                                              size_t n_env, struct csl_diag *diag);

#endif
