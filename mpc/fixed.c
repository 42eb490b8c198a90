#include "mpc/fixed.h"

#include "mpc/ring.h"

#include <math.h>
#include <string.h>

static bool widths_ok(unsigned frac_bits, unsigned bits) {
    return bits >= 1 && bits <= 64 && frac_bits <= 63;
}

enum csl_err csl_fixed_encode(uint64_t *out, double x, unsigned frac_bits, unsigned bits) {
    *out = 0;
    if (!widths_ok(frac_bits, bits)) {
        return CSL_EUSAGE;
    }
    double limit = ldexp(1.0, (int)bits - 1);
    double scaled = rint(ldexp(x, (int)frac_bits)); /* the product is exact, or infinite */
    if (!(scaled >= -limit && scaled < limit)) {    /* NaN compares false */
        return CSL_EDATA;
    }
    *out = (uint64_t)(int64_t)scaled & csl_ring_mask(bits);
    return CSL_OK;
}

static enum csl_err encode_failed(uint64_t *out, size_t n, size_t i, double x, enum csl_err err,
                                  unsigned frac_bits, unsigned bits, struct csl_diag *diag) {
    memset(out, 0, n * sizeof *out);
    if (err == CSL_EUSAGE) {
        return csl_fail(diag, err, "fixed point of %u bits with %u fraction bits cannot be", bits, frac_bits);
    }
    return csl_fail(diag, err, "value %zu is %g, which %u bits with %u fraction bits cannot hold (limit %g)",
                    i, x, bits, frac_bits, ldexp(1.0, (int)bits - 1 - (int)frac_bits));
}

enum csl_err csl_fixed_encode_f32(uint64_t *out, const float *in, size_t n, unsigned frac_bits, unsigned bits,
                                  struct csl_diag *diag) {
    for (size_t i = 0; i < n; i++) {
        enum csl_err err = csl_fixed_encode(&out[i], (double)in[i], frac_bits, bits);
        if (err != CSL_OK) {
            return encode_failed(out, n, i, (double)in[i], err, frac_bits, bits, diag);
        }
    }
    return CSL_OK;
}

enum csl_err csl_fixed_encode_f64(uint64_t *out, const double *in, size_t n, unsigned frac_bits,
                                  unsigned bits, struct csl_diag *diag) {
    for (size_t i = 0; i < n; i++) {
        enum csl_err err = csl_fixed_encode(&out[i], in[i], frac_bits, bits);
        if (err != CSL_OK) {
            return encode_failed(out, n, i, in[i], err, frac_bits, bits, diag);
        }
    }
    return CSL_OK;
}

double csl_fixed_decode(uint64_t v, unsigned frac_bits, unsigned bits) {
    return ldexp((double)csl_ring_signed(v, bits), -(int)frac_bits);
}

void csl_fixed_decode_f64(double *out, const uint64_t *in, size_t n, unsigned frac_bits, unsigned bits) {
    for (size_t i = 0; i < n; i++) {
        out[i] = csl_fixed_decode(in[i], frac_bits, bits);
    }
}
