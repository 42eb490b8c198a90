/* Unpacking by AVX2: the bytes of two neighbours lie within 16, a half of a register; a shuffle puts eight in
 * the place of each, a shift removes the bits before it. */
#include "mpc/pack_internal.h"

#if defined(__x86_64__)

#include "mpc/ring.h"

#include <immintrin.h>

/* Of values j, j+1 and j+2, j+3 of a group. */
struct quarter {
    size_t first[2]; /* bytes of the group where the pairs begin */
    __m256i bytes, shifts;
};

static struct quarter quarter_of(unsigned j, unsigned bits) {
    struct quarter q;
    uint8_t bytes[32];
    uint64_t shifts[4];
    for (unsigned i = 0; i < 4; i++) {
        size_t pair = (j + i / 2 * 2) * bits / 8, own = (j + i) * bits / 8;
        q.first[i / 2] = pair;
        shifts[i] = (j + i) * bits % 8;
        for (unsigned b = 0; b < 8; b++) {
            bytes[8 * i + b] = (uint8_t)(own - pair + b);
        }
    }
    q.bytes = _mm256_loadu_si256((const __m256i *)(const void *)bytes);
    q.shifts = _mm256_loadu_si256((const __m256i *)(const void *)shifts);
    return q;
}

static inline __m128i load(const uint8_t *p) {
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline void unpack_quarter(uint64_t *out, const uint8_t *in, const struct quarter *q, __m256i mask) {
    __m256i v =
        _mm256_inserti128_si256(_mm256_castsi128_si256(load(in + q->first[0])), load(in + q->first[1]), 1);
    v = _mm256_srlv_epi64(_mm256_shuffle_epi8(v, q->bytes), q->shifts);
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_and_si256(v, mask));
}

void csl__unpack_avx2(uint64_t *out, const uint8_t *in, size_t n, unsigned bits) {
    enum { WIDEST = 57, LEAST = 32 }; /* wider ones take 9 bytes; fewer values are not worth the set-up */
    if (bits <= WIDEST && n >= LEAST) {
        const struct quarter low = quarter_of(0, bits), high = quarter_of(4, bits);
        const __m256i mask = _mm256_set1_epi64x((long long)csl_ring_mask(bits));
        size_t left = n / 8 * bits; /* less than may be read where n % 8 != 0 */
        for (; n >= 8 && left >= high.first[1] + 16; n -= 8, out += 8, in += bits, left -= bits) {
            unpack_quarter(out, in, &low, mask);
            unpack_quarter(out + 4, in, &high, mask);
        }
    }
    if (n > 0) {
        csl__unpack_portable(out, in, n, bits);
    }
}

#endif
