/* Demands as bytes, so that a dealer can be held to what it was asked for. */
#include "crypto/bytes.h"
#include "crypto/hash.h"
#include "mpc/correlation.h"

#include <stdlib.h>
#include <string.h>

enum { CONV_FIELDS = sizeof(struct csl_conv_shape) / sizeof(uint32_t) };
_Static_assert(7 + CSL_MAX_DIGITS + 4 + 4 * CONV_FIELDS == CSL_DEMAND_BYTES, "all fields are encoded");

void csl_demands_encode(uint8_t *out, const struct csl_demand *demands, size_t n_demands) {
    struct csl_writer w = csl_writer_of(out, n_demands * CSL_DEMAND_BYTES);
    for (size_t i = 0; i < n_demands; i++) {
        const struct csl_demand *d = &demands[i];
        const struct csl_trunc_params *t = &d->trunc;
        const uint8_t head[] = {(uint8_t)d->kind, d->bits, t->k, t->f, t->out_bits, t->n_digits, d->form};
        uint32_t conv[CONV_FIELDS];
        memcpy(conv, &d->conv, sizeof conv);
        csl_writer_bytes(&w, head, sizeof head);
        csl_writer_bytes(&w, t->digit_bits, sizeof t->digit_bits);
        csl_writer_u32(&w, d->count);
        for (size_t f = 0; f < CONV_FIELDS; f++) {
            csl_writer_u32(&w, conv[f]);
        }
    }
}

enum csl_err csl_demands_decode(struct csl_demand *out, const uint8_t *in, size_t n_demands,
                                struct csl_diag *diag) {
    struct csl_reader r = csl_reader_of(in, n_demands * CSL_DEMAND_BYTES);
    for (size_t i = 0; i < n_demands; i++) {
        struct csl_demand *d = &out[i];
        struct csl_trunc_params *t = &d->trunc;
        memset(d, 0, sizeof *d);
        d->kind = csl_reader_u8(&r);
        d->bits = csl_reader_u8(&r);
        t->k = csl_reader_u8(&r);
        t->f = csl_reader_u8(&r);
        t->out_bits = csl_reader_u8(&r);
        t->n_digits = csl_reader_u8(&r);
        d->form = csl_reader_u8(&r);
        csl_reader_bytes(&r, t->digit_bits, sizeof t->digit_bits);
        d->count = csl_reader_u32(&r);
        uint32_t conv[CONV_FIELDS];
        for (size_t f = 0; f < CONV_FIELDS; f++) {
            conv[f] = csl_reader_u32(&r);
        }
        memcpy(&d->conv, conv, sizeof conv);
        enum csl_err err = csl_demand_check(d, diag);
        if (err != CSL_OK) {
            return csl_fail_context(diag, err, "demand %zu", i);
        }
    }
    return CSL_OK;
}

enum csl_err csl_demands_digest(uint8_t out[32], const struct csl_demand *demands, size_t n_demands) {
    static const char label[] = "consilium/demands"; /* its zero byte too */
    struct csl_sha256 h = {0};
    enum csl_err err = csl_sha256_init(&h);
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, (const uint8_t *)label, sizeof label);
    }
    for (size_t i = 0; i < n_demands && err == CSL_OK; i++) {
        uint8_t bytes[CSL_DEMAND_BYTES];
        csl_demands_encode(bytes, &demands[i], 1);
        err = csl_sha256_update(&h, bytes, sizeof bytes);
    }
    if (err == CSL_OK) {
        return csl_sha256_final(&h, out);
    }
    csl_sha256_clear(&h);
    memset(out, 0, 32);
    return err;
}

enum csl_err csl_correction_digests(uint8_t matrix[32], uint8_t bits[32], const struct csl_demand *demands,
                                    size_t n_demands, const uint8_t *corrections, size_t n) {
    size_t want = csl_correction_bytes(demands, n_demands);
    struct csl_sha256 h[2] = {{0}, {0}}; /* bits, matrix */
    enum csl_err err = want == 0 || n != want ? CSL_EPROTO : csl_sha256_init(&h[0]);
    if (err == CSL_OK) {
        err = csl_sha256_init(&h[1]);
    }
    for (size_t d = 0; d < n_demands && err == CSL_OK; d++) {
        size_t n_bytes = csl_correction_bytes(&demands[d], 1);
        err = csl_sha256_update(&h[demands[d].kind == CSL_DEMAND_LINEAR], corrections, n_bytes);
        corrections += n_bytes;
    }
    if (err == CSL_OK) {
        err = csl_sha256_final(&h[1], matrix);
    }
    if (err == CSL_OK) {
        err = csl_sha256_final(&h[0], bits);
    }
    if (err != CSL_OK) {
        csl_sha256_clear(&h[0]);
        csl_sha256_clear(&h[1]);
        memset(matrix, 0, 32);
        memset(bits, 0, 32);
    }
    return err;
}
