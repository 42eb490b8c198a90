#include "chain/keccak_internal.h"

#include <string.h>

enum { LANES = 25, ROUNDS = 24 };

/* FIPS 202, 3.2.5: iota's constants. */
static const uint64_t round_constants[ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};

/* rho and pi in one walk over the lanes but the first: the lane that comes next, and how far it turns. */
static const uint8_t walk_lane[LANES - 1] = {10, 7,  11, 17, 18, 3, 5,  16, 8,  21, 24, 4,
                                             15, 23, 19, 13, 12, 2, 20, 14, 22, 9,  6,  1};
static const uint8_t walk_turn[LANES - 1] = {1,  3,  6,  10, 15, 21, 28, 36, 45, 55, 2,  14,
                                             27, 41, 56, 8,  25, 43, 62, 18, 39, 61, 20, 44};

static uint64_t turn(uint64_t v, unsigned by) {
    return v << by | v >> (64 - by);
}

static void theta(uint64_t a[LANES]) {
    uint64_t c[5];
    for (size_t x = 0; x < 5; x++) {
        c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    }
    for (size_t i = 0; i < LANES; i++) {
        a[i] ^= c[(i + 4) % 5] ^ turn(c[(i + 1) % 5], 1);
    }
}

static void rho_pi(uint64_t a[LANES]) {
    uint64_t moving = a[1];
    for (size_t i = 0; i < LANES - 1; i++) {
        uint64_t next = a[walk_lane[i]];
        a[walk_lane[i]] = turn(moving, walk_turn[i]);
        moving = next;
    }
}

static void chi(uint64_t a[LANES]) {
    for (size_t y = 0; y < LANES; y += 5) {
        uint64_t row[5];
        memcpy(row, a + y, sizeof row);
        for (size_t x = 0; x < 5; x++) {
            a[y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]);
        }
    }
}

static void permute(uint64_t a[LANES]) {
    for (size_t round = 0; round < ROUNDS; round++) {
        theta(a);
        rho_pi(a);
        chi(a);
        a[0] ^= round_constants[round];
    }
}

static void absorb(uint64_t a[LANES], const uint8_t block[CSL_KECCAK256_RATE]) {
    for (size_t i = 0; i < CSL_KECCAK256_RATE; i++) {
        a[i / 8] ^= (uint64_t)block[i] << (8 * (i % 8));
    }
    permute(a);
}

void csl__keccak256_padded(uint8_t out[CSL_KECCAK256_BYTES], const uint8_t *data, size_t n, uint8_t padding) {
    uint64_t a[LANES] = {0};
    while (n >= CSL_KECCAK256_RATE) {
        absorb(a, data);
        data += CSL_KECCAK256_RATE;
        n -= CSL_KECCAK256_RATE;
    }
    uint8_t last[CSL_KECCAK256_RATE] = {0};
    if (n != 0) {
        memcpy(last, data, n);
    }
    last[n] = padding;
    last[CSL_KECCAK256_RATE - 1] |= 0x80;
    absorb(a, last);
    for (size_t i = 0; i < CSL_KECCAK256_BYTES; i++) {
        out[i] = (uint8_t)(a[i / 8] >> (8 * (i % 8)));
    }
}

void csl_keccak256(uint8_t out[CSL_KECCAK256_BYTES], const uint8_t *data, size_t n) {
    csl__keccak256_padded(out, data, n, 0x01);
}
