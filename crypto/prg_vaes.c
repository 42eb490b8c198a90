/* AES-128 counter mode by VAES: 256-bit vectors of two blocks, sixteen blocks at a time.
 *
 * 512-bit vectors gain nothing where a CPU joins two 256-bit AES units for them.
 */
#include "crypto/prg_internal.h"

#ifdef __x86_64__

#include <immintrin.h>
#include <string.h>

#include "crypto/secret.h"

#define VAES __attribute__((target("vaes,aes,avx2")))

/* gcc keeps such short loops, and then the blocks do not stay in registers. */
#define UNROLL _Pragma("GCC unroll 8")

enum { WAYS = 8, ROUNDS = 10, GROUP = 2 * WAYS * CSL_PRG_BLOCK };

VAES static inline __m256i round_key(const uint8_t *round_keys, int r) {
    return _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const __m128i *)(const void *)(round_keys + CSL_PRG_BLOCK * r)));
}

/* out[0..256) = the masked keystream of sixteen blocks; ctr holds the first two, whose last lanes count
 * in host order. */
VAES static inline void group(uint8_t *out, const uint8_t *rk, __m256i ctr, __m256i mask) {
    const __m256i swap_last =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 14, 13, 12));
    __m256i b[WAYS], k = round_key(rk, 0);
    UNROLL
    for (int i = 0; i < WAYS; i++) {
        __m256i c = _mm256_add_epi32(ctr, _mm256_setr_epi32(0, 0, 0, 2 * i, 0, 0, 0, 2 * i));
        b[i] = _mm256_xor_si256(_mm256_shuffle_epi8(c, swap_last), k);
    }
    for (int r = 1; r < ROUNDS; r++) {
        k = round_key(rk, r);
        UNROLL
        for (int i = 0; i < WAYS; i++) {
            b[i] = _mm256_aesenc_epi128(b[i], k);
        }
    }
    k = round_key(rk, ROUNDS);
    UNROLL
    for (int i = 0; i < WAYS; i++) {
        __m256i *to = (__m256i *)(void *)(out + 2 * CSL_PRG_BLOCK * i);
        _mm256_storeu_si256(to, _mm256_and_si256(_mm256_aesenclast_epi128(b[i], k), mask));
    }
}

VAES void csl__vaes_ctr(uint8_t *out, size_t n_bytes, const struct csl_prg *prg, uint32_t stream,
                        uint32_t first, uint64_t mask) {
    const __m256i bits = _mm256_set1_epi64x((long long)mask);
    uint64_t nonce;
    memcpy(&nonce, prg->nonce, sizeof nonce);
    uint64_t tail = (uint64_t)first << 32 | __builtin_bswap32(stream);
    __m128i block = _mm_set_epi64x((long long)tail, (long long)nonce);
    __m256i ctr =
        _mm256_add_epi32(_mm256_broadcastsi128_si256(block), _mm256_setr_epi32(0, 0, 0, 0, 0, 0, 0, 1));
    for (; n_bytes >= GROUP; n_bytes -= GROUP, out += GROUP) {
        group(out, prg->round_keys, ctr, bits);
        ctr = _mm256_add_epi32(ctr, _mm256_setr_epi32(0, 0, 0, 2 * WAYS, 0, 0, 0, 2 * WAYS));
    }
    if (n_bytes != 0) {
        uint8_t last[GROUP];
        group(last, prg->round_keys, ctr, bits);
        memcpy(out, last, n_bytes);
        csl_wipe(last, sizeof last);
    }
}

#endif
