/* Keccak-256 with the padding as a parameter, for the tests. */
#ifndef CSL_CHAIN_KECCAK_INTERNAL_H
#define CSL_CHAIN_KECCAK_INTERNAL_H

#include "chain/keccak.h"

/* padding is its first byte: 0x01 gives Keccak-256, 0x06 SHA3-256. */
void csl__keccak256_padded(uint8_t out[CSL_KECCAK256_BYTES], const uint8_t *data, size_t n, uint8_t padding);

#endif
