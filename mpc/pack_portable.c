/* Eight values are `bits` whole bytes. Their shifts are constants in a function of each width; the compiler
 * makes the 64 of them. */
#include "mpc/pack_internal.h"

#include "crypto/bytes.h"
#include "mpc/ring.h"

#include <string.h>

#define UNROLL _Pragma("GCC unroll 8")
#define INLINE static inline __attribute__((always_inline))

static size_t packed_size(size_t n, unsigned bits) {
    return n / 8 * bits + (n % 8 * bits + 7) / 8;
}

/* One store: gcc does not join the eight of csl_store_u64(). */
INLINE void store_word(uint8_t *p, uint64_t v) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, sizeof v);
}

/* Eight values; the last store may reach 7 bytes past them. */
INLINE void pack_group(uint8_t *restrict out, const uint64_t *restrict in, unsigned bits) {
    uint64_t mask = csl_ring_mask(bits), acc = 0;
    unsigned fill = 0;
    UNROLL
    for (unsigned j = 0; j < 8; j++) {
        uint64_t v = in[j] & mask;
        acc |= v << fill;
        fill += bits;
        if (fill >= 64) {
            store_word(out, acc);
            out += 8;
            fill -= 64;
            acc = v >> (bits - fill - 1) >> 1; /* the shift may be 64 */
        }
    }
    if (fill > 0) {
        store_word(out, acc);
    }
}

/* Bits shift .. shift+63 of the 9 bytes at p; shift <= 7. */
INLINE uint64_t load_wide(const uint8_t *p, unsigned shift) {
    return csl_load_u64(p) >> shift | (uint64_t)p[8] << 1 << (63 - shift);
}

/* Eight values; may read 8 bytes past the first byte of the last, 9 where bits > 57. */
INLINE void unpack_group(uint64_t *restrict out, const uint8_t *restrict in, unsigned bits) {
    uint64_t mask = csl_ring_mask(bits);
    UNROLL
    for (unsigned j = 0; j < 8; j++) {
        const uint8_t *at = in + j * bits / 8;
        unsigned shift = j * bits % 8;
        out[j] = (bits <= 57 ? csl_load_u64(at) >> shift : load_wide(at, shift)) & mask;
    }
}

/* As many whole groups as leave room for what a group may touch behind itself; returns their number. */
typedef size_t pack_groups_fn(uint8_t *out, const uint64_t *in, size_t groups, size_t n_bytes);
typedef size_t unpack_groups_fn(uint64_t *out, const uint8_t *in, size_t groups, size_t n_bytes);

#define DEFINE_WIDTH(bits)                                                                                   \
    static size_t pack_##bits(uint8_t *out, const uint64_t *in, size_t groups, size_t n_bytes) {             \
        size_t g = 0;                                                                                        \
        for (; g < groups && n_bytes - g * (bits) >= (bits) + 7; g++) {                                      \
            pack_group(out + g * (bits), in + 8 * g, bits);                                                  \
        }                                                                                                    \
        return g;                                                                                            \
    }                                                                                                        \
    static size_t unpack_##bits(uint64_t *out, const uint8_t *in, size_t groups, size_t n_bytes) {           \
        size_t g = 0;                                                                                        \
        for (; g < groups && n_bytes - g * (bits) >= 7 * (bits) / 8 + 9; g++) {                              \
            unpack_group(out + 8 * g, in + g * (bits), bits);                                                \
        }                                                                                                    \
        return g;                                                                                            \
    }
#define EIGHT(X, a, b, c, d, e, f, g, h) X(a) X(b) X(c) X(d) X(e) X(f) X(g) X(h)
#define WIDTHS(X)                                                                                            \
    EIGHT(X, 1, 2, 3, 4, 5, 6, 7, 8)                                                                         \
    EIGHT(X, 9, 10, 11, 12, 13, 14, 15, 16)                                                                  \
    EIGHT(X, 17, 18, 19, 20, 21, 22, 23, 24)                                                                 \
    EIGHT(X, 25, 26, 27, 28, 29, 30, 31, 32)                                                                 \
    EIGHT(X, 33, 34, 35, 36, 37, 38, 39, 40)                                                                 \
    EIGHT(X, 41, 42, 43, 44, 45, 46, 47, 48)                                                                 \
    EIGHT(X, 49, 50, 51, 52, 53, 54, 55, 56)                                                                 \
    EIGHT(X, 57, 58, 59, 60, 61, 62, 63, 64)

WIDTHS(DEFINE_WIDTH)

#define PACK_NAME(bits) pack_##bits,
#define UNPACK_NAME(bits) unpack_##bits,
static pack_groups_fn *const pack_groups[64] = {WIDTHS(PACK_NAME)};
static unpack_groups_fn *const unpack_groups[64] = {WIDTHS(UNPACK_NAME)};

/* The last values, byte by byte: acc holds the `fill` < 64 bits that are not yet written. */
static void pack_tail(uint8_t *out, const uint64_t *in, size_t n, unsigned bits) {
    uint64_t mask = csl_ring_mask(bits), acc = 0;
    unsigned fill = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t v = in[i] & mask;
        acc |= v << fill;
        fill += bits;
        if (fill >= 64) {
            store_word(out, acc);
            out += 8;
            fill -= 64;
            acc = v >> (bits - fill - 1) >> 1;
        }
    }
    for (; fill > 0; fill -= fill < 8 ? fill : 8) {
        *out++ = (uint8_t)acc;
        acc >>= 8;
    }
}

/* Value j of a string of which only n_bytes bytes may be read. */
static uint64_t load_near_end(const uint8_t *in, size_t n_bytes, size_t j, unsigned bits) {
    uint8_t bytes[9] = {0};
    size_t first = j * bits / 8, left = n_bytes - first;
    memcpy(bytes, in + first, left < sizeof bytes ? left : sizeof bytes);
    return load_wide(bytes, (unsigned)(j * bits % 8)) & csl_ring_mask(bits);
}

void csl__pack_portable(uint8_t *out, const uint64_t *in, size_t n, unsigned bits) {
    size_t done = pack_groups[bits - 1](out, in, n / 8, packed_size(n, bits));
    pack_tail(out + done * bits, in + 8 * done, n - 8 * done, bits);
}

void csl__unpack_portable(uint64_t *out, const uint8_t *in, size_t n, unsigned bits) {
    size_t n_bytes = packed_size(n, bits);
    size_t done = unpack_groups[bits - 1](out, in, n / 8, n_bytes);
    in += done * bits;
    n_bytes -= done * bits;
    for (size_t j = 0; j < n - 8 * done; j++) { /* at most 72 of them */
        out[8 * done + j] = load_near_end(in, n_bytes, j, bits);
    }
}
