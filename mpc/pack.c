#include "mpc/pack.h"

#include "crypto/bytes.h"
#include "mpc/ring.h"

#include <assert.h>

enum csl_err csl_pack_size(size_t *n_bytes, size_t n, unsigned bits) {
    *n_bytes = 0;
    if (bits < 1 || bits > 64 || n > SIZE_MAX / sizeof(uint64_t)) {
        return CSL_EDATA;
    }
    *n_bytes = n / 8 * bits + (n % 8 * bits + 7) / 8; /* at most 8*n */
    return CSL_OK;
}

static size_t packed_size(size_t n, unsigned bits) {
    return n / 8 * bits + (n % 8 * bits + 7) / 8;
}

/* The branch depends on the position alone. acc holds the `fill` < 64 bits that are not yet written. */
void csl_pack_bits(uint8_t *out, const uint64_t *in, size_t n, unsigned bits) {
    assert(bits >= 1 && bits <= 64);
    uint64_t mask = csl_ring_mask(bits), acc = 0;
    unsigned fill = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t v = in[i] & mask;
        acc |= v << fill;
        fill += bits;
        if (fill >= 64) {
            csl_store_u64(out, acc);
            out += 8;
            fill -= 64;
            acc = v >> (bits - fill - 1) >> 1; /* the shift may be 64 */
        }
    }
    for (; fill > 0; fill -= fill < 8 ? fill : 8) {
        *out++ = (uint8_t)acc;
        acc >>= 8;
    }
}

/* Bits shift .. shift+63 of the 9 bytes at p; shift <= 7. */
static uint64_t load_wide(const uint8_t *p, unsigned shift) {
    return csl_load_u64(p) >> shift | (uint64_t)p[8] << 1 << (63 - shift);
}

/* The value at bit j*bits of a group of 8 values, of which only n_bytes bytes may be read. */
static uint64_t load_near_end(const uint8_t *group, size_t n_bytes, unsigned j, unsigned bits) {
    uint8_t bytes[9] = {0};
    size_t first = (size_t)j * bits / 8;
    size_t left = n_bytes - first;
    memcpy(bytes, group + first, left < sizeof bytes ? left : sizeof bytes);
    return load_wide(bytes, j * bits % 8) & csl_ring_mask(bits);
}

/* A group of 8 values is `bits` bytes. Whole groups are read by words as long as 9 bytes may be read
 * from the start of the group's last value on. */
void csl_unpack_bits(uint64_t *out, const uint8_t *in, size_t n, unsigned bits) {
    assert(bits >= 1 && bits <= 64);
    uint64_t mask = csl_ring_mask(bits);
    size_t left = packed_size(n, bits), reach = 7 * bits / 8 + 9;
    for (; n >= 8 && left >= reach; n -= 8, out += 8, in += bits, left -= bits) {
        if (bits <= 57) {
            for (unsigned j = 0; j < 8; j++) {
                out[j] = csl_load_u64(in + j * bits / 8) >> (j * bits % 8) & mask;
            }
        } else {
            for (unsigned j = 0; j < 8; j++) {
                out[j] = load_wide(in + j * bits / 8, j * bits % 8) & mask;
            }
        }
    }
    while (n > 0) {
        unsigned count = n < 8 ? (unsigned)n : 8;
        for (unsigned j = 0; j < count; j++) {
            out[j] = load_near_end(in, left, j, bits);
        }
        n -= count;
        if (n > 0) {
            out += count, in += bits, left -= bits;
        }
    }
}

enum csl_err csl_unpack_bits_strict(uint64_t *out, const uint8_t *in, size_t n_bytes, size_t n, unsigned bits,
                                    struct csl_diag *diag) {
    size_t want;
    if (csl_pack_size(&want, n, bits) != CSL_OK) {
        return csl_fail(diag, CSL_EPROTO, "a vector of %zu values of %u bits cannot be", n, bits);
    }
    if (n_bytes != want) {
        return csl_fail(diag, CSL_EPROTO, "a vector of %zu values of %u bits has %zu bytes, %zu came", n,
                        bits, want, n_bytes);
    }
    unsigned used = (unsigned)(n % 8 * bits % 8); /* bits of the last byte that belong to values; 0: all */
    if (used != 0 && in[n_bytes - 1] >> used != 0) {
        return csl_fail(diag, CSL_EPROTO, "padding bits are set after %zu values of %u bits", n, bits);
    }
    csl_unpack_bits(out, in, n, bits);
    return CSL_OK;
}
