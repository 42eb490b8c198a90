/* Share vectors on the wire: n values of `bits` bits each as little-endian packed bits (docs/protocol.md P1).
 *
 * Value i occupies bits i*bits .. (i+1)*bits-1 of the byte string, where bit j of the string is bit j%8 of
 * byte j/8. The string has ceil(n*bits/8) bytes; the bits after the last value (fewer than 8) are zero.
 * 1 <= bits <= 64. Constant time in all values. Nothing outside the named arrays is read or written.
 * in and out do not overlap; n may be 0 (then pointers are not used).
 */
#ifndef CSL_MPC_PACK_H
#define CSL_MPC_PACK_H

#include "crypto/err.h"

/* *n_bytes = ceil(n*bits/8). CSL_EDATA, with *n_bytes 0, when bits is not in 1..64 or when the values
 * (8*n bytes unpacked) would not fit in a size_t. */
CSL_MUST_CHECK enum csl_err csl_pack_size(size_t *n_bytes, size_t n, unsigned bits);

/* Packs the low `bits` bits of each in[i] into ceil(n*bits/8) bytes; what is above them is dropped.
 * The caller has sized out by csl_pack_size. */
void csl_pack_bits(uint8_t *out, const uint64_t *in, size_t n, unsigned bits);

/* Unpacks n values from ceil(n*bits/8) bytes; each out[i] is below 2^bits. Padding bits are ignored:
 * for our own data. */
void csl_unpack_bits(uint64_t *out, const uint8_t *in, size_t n, unsigned bits);

/* The same for bytes of a peer: CSL_EPROTO when n_bytes is not csl_pack_size(n, bits) or when a padding
 * bit is set (the padding is public, so the check reveals nothing), and then out is untouched. */
CSL_MUST_CHECK enum csl_err csl_unpack_bits_strict(uint64_t *out, const uint8_t *in, size_t n_bytes, size_t n,
                                                   unsigned bits, struct csl_diag *diag);

/* The padding alone, of csl_pack_size(n, bits) bytes that are there: CSL_EPROTO when a bit of it is set. */
CSL_MUST_CHECK enum csl_err csl_pack_check(const uint8_t *in, size_t n, unsigned bits, struct csl_diag *diag);

#endif
