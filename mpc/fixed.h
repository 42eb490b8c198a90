/* Fixed point: the real number x stands in Z/2^bits as the two's complement of round(x * 2^frac_bits).
 *
 * Rounding is to nearest, ties to even (IEEE default mode). Ring values are reduced: the bits at and above
 * `bits` are zero. 1 <= bits <= 64, 0 <= frac_bits <= 63.
 * Encoding and decoding happen where the values are known in clear (client, model owner): not constant time.
 */
#ifndef CSL_MPC_FIXED_H
#define CSL_MPC_FIXED_H

#include "crypto/err.h"

/* CSL_EDATA, *out = 0, when x is NaN or infinite, or when the rounded value lies outside
 * -2^(bits-1) .. 2^(bits-1)-1. CSL_EUSAGE when bits or frac_bits is out of its range. */
CSL_MUST_CHECK enum csl_err csl_fixed_encode(uint64_t *out, double x, unsigned frac_bits, unsigned bits);

/* n values; diag names the first bad index and its value. On error out is zeroed. */
CSL_MUST_CHECK enum csl_err csl_fixed_encode_f32(uint64_t *out, const float *in, size_t n, unsigned frac_bits,
                                                 unsigned bits, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_fixed_encode_f64(uint64_t *out, const double *in, size_t n,
                                                 unsigned frac_bits, unsigned bits, struct csl_diag *diag);

/* The real number of the low `bits` bits of v; what is above them is ignored. Exact up to 53
 * significant bits, else rounded to nearest. */
double csl_fixed_decode(uint64_t v, unsigned frac_bits, unsigned bits);
void csl_fixed_decode_f64(double *out, const uint64_t *in, size_t n, unsigned frac_bits, unsigned bits);

#endif
