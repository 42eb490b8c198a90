/* AES-128 counter mode by AES-NI, eight blocks at a time. */
#include "crypto/prg_internal.h"

#ifdef __x86_64__

#include <immintrin.h>
#include <string.h>

#include "crypto/secret.h"

#define AESNI __attribute__((target("aes,sse4.1,ssse3")))

/* gcc keeps such short loops, and then the blocks do not stay in registers. */
#define UNROLL _Pragma("GCC unroll 8")

enum { WAYS = 8, ROUNDS = 10, GROUP = WAYS * CSL_PRG_BLOCK };

/* One step of the schedule: k[i] from k[i-1] and the keygen assist of it (FIPS 197, figure 11). */
AESNI static inline __m128i schedule(__m128i k, __m128i assist) {
    assist = _mm_shuffle_epi32(assist, 0xff);
    k = _mm_xor_si128(k, _mm_slli_si128(k, 4));
    k = _mm_xor_si128(k, _mm_slli_si128(k, 8));
    return _mm_xor_si128(k, assist);
}

AESNI void csl__aesni_expand_key(uint8_t round_keys[11 * 16], const uint8_t key[16]) {
    __m128i *rk = (__m128i *)(void *)round_keys; /* aligned in struct csl_prg */
    __m128i k = _mm_loadu_si128((const __m128i *)(const void *)key);
    _mm_storeu_si128(&rk[0], k);
#define STEP(i, rcon)                                                                                        \
    k = schedule(k, _mm_aeskeygenassist_si128(k, rcon));                                                     \
    _mm_storeu_si128(&rk[i], k)
    STEP(1, 0x01);
    STEP(2, 0x02);
    STEP(3, 0x04);
    STEP(4, 0x08);
    STEP(5, 0x10);
    STEP(6, 0x20);
    STEP(7, 0x40);
    STEP(8, 0x80);
    STEP(9, 0x1b);
    STEP(10, 0x36);
#undef STEP
}

/* out[0..128) = the masked keystream of the eight blocks at ctr, whose last lane counts in host order. */
AESNI static inline void group(uint8_t *out, const __m128i *rk, __m128i ctr, __m128i mask) {
    const __m128i swap_last = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 14, 13, 12);
    __m128i b[WAYS];
    UNROLL
    for (int i = 0; i < WAYS; i++) {
        __m128i c = _mm_add_epi32(ctr, _mm_setr_epi32(0, 0, 0, i));
        b[i] = _mm_xor_si128(_mm_shuffle_epi8(c, swap_last), rk[0]);
    }
    for (int r = 1; r < ROUNDS; r++) {
        __m128i k = rk[r];
        UNROLL
        for (int i = 0; i < WAYS; i++) {
            b[i] = _mm_aesenc_si128(b[i], k);
        }
    }
    UNROLL
    for (int i = 0; i < WAYS; i++) {
        __m128i *to = (__m128i *)(void *)(out + CSL_PRG_BLOCK * i);
        _mm_storeu_si128(to, _mm_and_si128(_mm_aesenclast_si128(b[i], rk[ROUNDS]), mask));
    }
}

AESNI void csl__aesni_ctr(uint8_t *out, size_t n_bytes, const struct csl_prg *prg, uint32_t stream,
                          uint32_t first, uint64_t mask) {
    const __m128i *rk = (const __m128i *)(const void *)prg->round_keys;
    const __m128i bits = _mm_set1_epi64x((long long)mask);
    uint64_t nonce;
    memcpy(&nonce, prg->nonce, sizeof nonce);
    uint64_t tail = (uint64_t)first << 32 | __builtin_bswap32(stream);
    __m128i ctr = _mm_set_epi64x((long long)tail, (long long)nonce);
    for (; n_bytes >= GROUP; n_bytes -= GROUP, out += GROUP) {
        group(out, rk, ctr, bits);
        ctr = _mm_add_epi32(ctr, _mm_setr_epi32(0, 0, 0, WAYS));
    }
    if (n_bytes != 0) {
        uint8_t last[GROUP];
        group(last, rk, ctr, bits);
        memcpy(out, last, n_bytes);
        csl_wipe(last, sizeof last);
    }
}

#endif
