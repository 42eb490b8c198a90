/* Arithmetic on vectors over Z/2^bits, 1 <= bits <= 64, one value in each uint64_t.
 *
 * Results are reduced: bits at and above `bits` are zero. Inputs need not be reduced.
 * out may be the same array as an input, but may not overlap one otherwise. n may be 0.
 * Constant time in all values.
 */
#ifndef CSL_MPC_RING_H
#define CSL_MPC_RING_H

#include <stddef.h>
#include <stdint.h>

/* 2^bits - 1, for 1 <= bits <= 64. */
static inline uint64_t csl_ring_mask(unsigned bits) {
    return UINT64_MAX >> (64 - bits);
}

/* The two's complement value of the low `bits` bits of v, whatever is above them. */
static inline int64_t csl_ring_signed(uint64_t v, unsigned bits) {
    uint64_t sign = (uint64_t)1 << (bits - 1);
    return (int64_t)(((v & csl_ring_mask(bits)) ^ sign) - sign);
}

/* out = a + b */
void csl_add_mod(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n, unsigned bits);
/* out = a - b */
void csl_sub_mod(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n, unsigned bits);
/* out = -a */
void csl_neg_mod(uint64_t *out, const uint64_t *a, size_t n, unsigned bits);
/* out = a mod 2^bits */
void csl_reduce_mod(uint64_t *out, const uint64_t *a, size_t n, unsigned bits);
/* out[i][j] = a[i][j] + row[j], a and out m x n: a bias added to every row of a batch */
void csl_add_row_mod(uint64_t *out, const uint64_t *a, const uint64_t *row, size_t m, size_t n,
                     unsigned bits);

#endif
