/* Eight values, `bits` bytes, at a time by AVX-512 VBMI: vpermb moves bytes between lanes and the string,
 * variable shifts the bits within them. Masked loads and stores end where the string ends. */
#include "mpc/pack_internal.h"

#if defined(__x86_64__)

#include "mpc/ring.h"

#include <immintrin.h>

enum { LEAST = 24 }; /* fewer values are not worth the set-up */

static inline __m512i lanes(void) {
    return _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
}

static inline __mmask64 first_bytes(size_t n) {
    return n == 0 ? 0 : UINT64_MAX >> (64 - n);
}

/* j * bits of each lane j */
static inline __m512i bit_positions(unsigned bits) {
    return _mm512_mul_epu32(lanes(), _mm512_set1_epi64(bits));
}

/* ---- unpacking ---- */

struct unpacking {
    __m512i bytes, shifts, mask;
    __m512i ninth, up; /* the byte after the eight, and how far up it belongs */
};

static inline struct unpacking unpacking_of(unsigned bits) {
    const __m512i own = _mm512_set1_epi64(0x0706050403020100);
    const __m512i spread = _mm512_set4_epi64(0x0808080808080808, 0, 0x0808080808080808, 0);
    struct unpacking u;
    __m512i at = bit_positions(bits);
    __m512i first = _mm512_shuffle_epi8(_mm512_srli_epi64(at, 3), spread); /* in every byte of its lane */
    u.bytes = _mm512_add_epi8(first, own);
    u.shifts = _mm512_and_si512(at, _mm512_set1_epi64(7));
    u.mask = _mm512_set1_epi64((long long)csl_ring_mask(bits));
    u.ninth = _mm512_add_epi8(first, _mm512_set1_epi8(8));
    u.up = _mm512_sub_epi64(_mm512_set1_epi64(64), u.shifts); /* 64 shifts everything out */
    return u;
}

static inline __m512i unpack_group(__m512i v, const struct unpacking *u) {
    return _mm512_and_si512(_mm512_srlv_epi64(_mm512_permutexvar_epi8(u->bytes, v), u->shifts), u->mask);
}

static inline __m512i unpack_wide_group(__m512i v, const struct unpacking *u) {
    __m512i low = _mm512_srlv_epi64(_mm512_permutexvar_epi8(u->bytes, v), u->shifts);
    __m512i high = _mm512_maskz_permutexvar_epi8(0x0101010101010101, u->ninth, v);
    return _mm512_and_si512(_mm512_or_si512(low, _mm512_sllv_epi64(high, u->up)), u->mask);
}

/* The values after the last whole group. */
static inline void unpack_rest(uint64_t *out, const uint8_t *in, size_t n, unsigned bits,
                               const struct unpacking *u) {
    if (n != 0) {
        __m512i v = _mm512_maskz_loadu_epi8(first_bytes((n * bits + 7) / 8), in);
        _mm512_mask_storeu_epi64(out, (__mmask8)(0xff >> (8 - n)), unpack_wide_group(v, u));
    }
}

void csl__unpack_vbmi(uint64_t *out, const uint8_t *in, size_t n, unsigned bits) {
    if (n < LEAST) {
        csl__unpack_portable(out, in, n, bits);
        return;
    }
    const struct unpacking u = unpacking_of(bits);
    const __mmask64 group = first_bytes(bits);
    if (bits <= 57) {
        for (; n >= 8; n -= 8, out += 8, in += bits) {
            _mm512_storeu_si512(out, unpack_group(_mm512_maskz_loadu_epi8(group, in), &u));
        }
    } else {
        for (; n >= 8; n -= 8, out += 8, in += bits) {
            _mm512_storeu_si512(out, unpack_wide_group(_mm512_maskz_loadu_epi8(group, in), &u));
        }
    }
    unpack_rest(out, in, n, bits, &u);
}

/* ---- packing ---- */

/* Values of at least 8 bits. A byte of the string ends with bits of one value, and may begin with those of
 * the one before it. Both are bytes of their lanes once these are shifted to where they stand in a byte; a
 * value of more than 57 bits may have a ninth byte, which begins another one. */
struct packing {
    __m512i mask, shifts, down;
    __m512i ends, begins, ninths; /* which byte of the lanes; `ninths` of those shifted down */
    __mmask64 has_begin, has_ninth;
};

/* For each byte of the string the last value that has begun there: `lane` is 8 times its number, `first` the
 * byte where it begins. round 0: before the byte ends; 7: at its first bit at the latest. */
static inline void last_begun(__m512i *lane, __m512i *first, __m512i byte, unsigned bits, unsigned round) {
    *lane = *first = _mm512_setzero_si512();
    for (unsigned j = 1; j < 8; j++) {
        __mmask64 begun = _mm512_cmpge_epu8_mask(byte, _mm512_set1_epi8((char)((j * bits + round) / 8)));
        *lane = _mm512_mask_mov_epi8(*lane, begun, _mm512_set1_epi8((char)(8 * j)));
        *first = _mm512_mask_mov_epi8(*first, begun, _mm512_set1_epi8((char)(j * bits / 8)));
    }
}

static inline struct packing packing_of(unsigned bits) {
    const __m512i own = _mm512_set1_epi64(0x0706050403020100);
    const __m512i byte =
        _mm512_add_epi8(own, _mm512_mullo_epi64(lanes(), _mm512_set1_epi64(0x0808080808080808)));
    struct packing p;
    __m512i lane, first, at = bit_positions(bits);
    p.mask = _mm512_set1_epi64((long long)csl_ring_mask(bits));
    p.shifts = _mm512_and_si512(at, _mm512_set1_epi64(7));
    p.down = _mm512_sub_epi64(_mm512_set1_epi64(64), p.shifts);
    last_begun(&lane, &first, byte, bits, 0);
    p.ends = _mm512_add_epi8(lane, _mm512_sub_epi8(byte, first));
    last_begun(&p.ninths, &first, byte, bits, 7);
    p.begins = _mm512_add_epi8(p.ninths, _mm512_sub_epi8(byte, first));
    __mmask64 two = _mm512_cmpneq_epu8_mask(lane, p.ninths);
    __mmask64 ninth = _mm512_cmpeq_epu8_mask(_mm512_sub_epi8(byte, first), _mm512_set1_epi8(8));
    p.has_begin = two & ~ninth;
    p.has_ninth = two & ninth;
    return p;
}

static inline __m512i pack_group(__m512i v, const struct packing *p) {
    v = _mm512_sllv_epi64(_mm512_and_si512(v, p->mask), p->shifts);
    return _mm512_or_si512(_mm512_permutexvar_epi8(p->ends, v),
                           _mm512_maskz_permutexvar_epi8(p->has_begin, p->begins, v));
}

static inline __m512i pack_wide_group(__m512i v, const struct packing *p) {
    __m512i over = _mm512_srlv_epi64(_mm512_and_si512(v, p->mask), p->down);
    return _mm512_or_si512(pack_group(v, p), _mm512_maskz_permutexvar_epi8(p->has_ninth, p->ninths, over));
}

void csl__pack_vbmi(uint8_t *out, const uint64_t *in, size_t n, unsigned bits) {
    if (n < LEAST || bits < 8 || bits == 64) {
        csl__pack_portable(out, in, n, bits);
        return;
    }
    const struct packing p = packing_of(bits);
    const __mmask64 group = first_bytes(bits);
    if (bits <= 57) {
        for (; n >= 8; n -= 8, in += 8, out += bits) {
            _mm512_mask_storeu_epi8(out, group, pack_group(_mm512_loadu_si512(in), &p));
        }
    } else {
        for (; n >= 8; n -= 8, in += 8, out += bits) {
            _mm512_mask_storeu_epi8(out, group, pack_wide_group(_mm512_loadu_si512(in), &p));
        }
    }
    if (n != 0) {
        __m512i v = _mm512_maskz_loadu_epi64((__mmask8)(0xff >> (8 - n)), in);
        _mm512_mask_storeu_epi8(out, first_bytes((n * bits + 7) / 8), pack_wide_group(v, &p));
    }
}

#endif
