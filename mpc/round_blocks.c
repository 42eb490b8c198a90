/* What was opened, read from the messages block by block. */
#include "mpc/bits_internal.h"
#include "mpc/pack.h"
#include "mpc/ring.h"
#include "mpc/round_internal.h"

#include <string.h>

enum { BLOCK = 512 }; /* elements; a whole number of bytes at any width */

/* Up to BLOCK elements from `first` on, a multiple of 8. */
static void sum_messages(const struct csl__opening *o, uint64_t *out, size_t first, size_t n) {
    uint64_t part[BLOCK];
    unsigned bits = (unsigned)o->n_bits;
    csl_unpack_bits(out, o->in[0] + first / 8 * bits, n, bits);
    for (unsigned p = 1; p < o->n_parties; p++) {
        csl_unpack_bits(part, o->in[p] + first / 8 * bits, n, bits);
        csl_add_mod(out, out, part, n, bits);
    }
}

void csl__opened_ring(const struct csl__opening *o, uint64_t *out, size_t first, size_t n) {
    size_t skip = first % 8;
    if (skip != 0) { /* a group of 8 that begins before it */
        uint64_t group[8];
        size_t begin = first - skip, in_group = o->n - begin < 8 ? o->n - begin : 8;
        size_t m = in_group - skip < n ? in_group - skip : n;
        sum_messages(o, group, begin, in_group);
        memcpy(out, group + skip, m * sizeof *out);
        out += m, first += m, n -= m;
    }
    for (size_t at = 0; at < n; at += BLOCK) {
        sum_messages(o, out + at, first + at, n - at < BLOCK ? n - at : BLOCK);
    }
}

void csl__opened_bits(const struct csl__opening *o, uint64_t *out, size_t row, size_t first, size_t n) {
    size_t at = row * csl__bits_bytes(o->n_bits) + first / 8, full = n / 64;
    memset(out, 0, csl__bits_words(n) * sizeof *out);
    for (unsigned p = 0; p < o->n_parties; p++) {
        const uint8_t *in = o->in[p] + at;
        for (size_t i = 0; i < full; i++) {
            out[i] ^= csl_load_u64(in + 8 * i);
        }
        if (n % 64 != 0) {
            out[full] ^= csl__bits_load(in, full, n);
        }
    }
}

enum csl_err csl__opened_check(const struct csl__item *item, const uint8_t *in, struct csl_diag *diag) {
    if (!item->is_bits) {
        return csl_pack_check(in, item->n, (unsigned)item->n_bits, diag);
    }
    size_t row_bytes = csl__bits_bytes(item->n_bits);
    unsigned used = (unsigned)(item->n_bits % 8), padding = 0;
    for (size_t row = 0; row < item->n && used != 0; row++) {
        padding |= (unsigned)in[row * row_bytes + row_bytes - 1] >> used;
    }
    return padding == 0 ? CSL_OK : csl_fail(diag, CSL_EPROTO, "padding bits are set");
}
