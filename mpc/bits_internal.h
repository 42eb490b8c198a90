/* Rows of bits: in memory whole little-endian uint64_t with zero padding, on the wire ceil(n/8) bytes. */
#ifndef CSL_MPC_BITS_INTERNAL_H
#define CSL_MPC_BITS_INTERNAL_H

#include "crypto/bytes.h"

static inline size_t csl__bits_words(size_t n_bits) {
    return n_bits / 64 + (n_bits % 64 != 0);
}

static inline size_t csl__bits_bytes(size_t n_bits) {
    return n_bits / 8 + (n_bits % 8 != 0);
}

/* The bits of a row's last word that count. */
static inline uint64_t csl__bits_tail(size_t n_bits) {
    return n_bits % 64 == 0 ? UINT64_MAX : ((uint64_t)1 << n_bits % 64) - 1;
}

/* n_bits >= 1; padding in the last word must be zero. */
static inline void csl__bits_store(uint8_t *out, const uint64_t *row, size_t n_bits) {
    size_t full = n_bits / 64;
    for (size_t i = 0; i < full; i++) {
        csl_store_u64(out + 8 * i, row[i]);
    }
    if (n_bits % 64 != 0) {
        uint8_t last[8];
        csl_store_u64(last, row[full]);
        memcpy(out + 8 * full, last, csl__bits_bytes(n_bits % 64));
    }
}

/* The word `i` of a row on the wire, as it stands there. */
static inline uint64_t csl__bits_load(const uint8_t *in, size_t i, size_t n_bits) {
    size_t left = csl__bits_bytes(n_bits) - 8 * i;
    uint8_t word[8] = {0};
    memcpy(word, in + 8 * i, left < 8 ? left : 8);
    return csl_load_u64(word);
}

#endif
