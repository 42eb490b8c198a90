/* Randomness from OpenSSL's CSPRNG. Thread-safe.
 *
 * On error (CSL_EOS: the generator could not be seeded) out is all zero and must not be used.
 */
#ifndef CSL_CRYPTO_RAND_H
#define CSL_CRYPTO_RAND_H

#include "crypto/err.h"

/* n random bytes that will be shown to others: nonces, session ids. */
CSL_MUST_CHECK enum csl_err csl_rand(uint8_t *out, size_t n);

/* n random bytes that stay secret: seeds, keys, shares. From the generator that OpenSSL
 * keeps apart for private values; marked CSL_SECRET. */
CSL_MUST_CHECK enum csl_err csl_rand_secret(uint8_t *out, size_t n);

#endif
