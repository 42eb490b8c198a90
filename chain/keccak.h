/* Keccak-256 as Ethereum has it: Keccak[c = 512] with the padding of the submission (first bit 1, that is
 * 0x01), not SHA3-256's (0x06, FIPS 202). OpenSSL 3.0 has only the latter, hence our own permutation.
 *
 * Source: The Keccak reference, version 3.0, and FIPS 202, algorithm 7. Constant time in the data, not in
 * its length; what is hashed here is public. Cannot fail.
 */
#ifndef CSL_CHAIN_KECCAK_H
#define CSL_CHAIN_KECCAK_H

#include <stddef.h>
#include <stdint.h>

enum { CSL_KECCAK256_BYTES = 32, CSL_KECCAK256_RATE = 136 };

/* The digest of data[0..n). data may be NULL when n is 0. */
void csl_keccak256(uint8_t out[CSL_KECCAK256_BYTES], const uint8_t *data, size_t n);

#endif
