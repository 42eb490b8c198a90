/* Key derivation: HKDF-SHA256 (RFC 5869) and a PRF by HMAC-SHA256 (RFC 2104), by OpenSSL.
 *
 * Protocol steps K2 (HKDF), K3 and K5 (PRF). Constant time in keys and data. Outputs are
 * marked CSL_SECRET; on error they are zero. Errors: CSL_EUSAGE (a length outside the stated
 * range), CSL_ENOMEM, CSL_EINTERNAL. Thread-safe.
 */
#ifndef CSL_CRYPTO_KDF_H
#define CSL_CRYPTO_KDF_H

#include "crypto/err.h"

enum { CSL_KEY_BYTES = 32, CSL_HKDF_MAX = 255 * 32, CSL_KDF_LABEL_MAX = 128 };

/* out[0..n) = HKDF(salt, ikm, info), extract and expand; 1 <= n <= CSL_HKDF_MAX. salt may be empty
 * (NULL, 0), ikm may not. info is a string of at most CSL_KDF_LABEL_MAX bytes, it may be "". */
CSL_MUST_CHECK enum csl_err csl_hkdf(uint8_t *out, size_t n, const uint8_t *salt, size_t n_salt,
                                     const uint8_t *ikm, size_t n_ikm, const char *info);

/* out = HMAC-SHA256(key, label | 0x00 | data[0..n)). label: 1..CSL_KDF_LABEL_MAX bytes; the zero byte keeps
 * labels apart whatever data holds. About a microsecond for short data: fit to be called for every index. */
CSL_MUST_CHECK enum csl_err csl_prf(uint8_t out[CSL_KEY_BYTES], const uint8_t key[CSL_KEY_BYTES],
                                    const char *label, const uint8_t *data, size_t n);

#endif
