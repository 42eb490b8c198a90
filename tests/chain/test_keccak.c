/* Keccak-256 against published digests, another implementation's, and OpenSSL's SHA3-256 by its padding. */
#include "tests/chain/chain_test.h"

#include <openssl/evp.h>

#include "chain/keccak_internal.h"
#include "tests/chain/vectors.h"

static void is_keccak(const char *text, const char *want) {
    uint8_t out[CSL_KECCAK256_BYTES];
    csl_keccak256(out, (const uint8_t *)text, strlen(text));
    assert_hex(out, sizeof out, want);
}

/* The Keccak team's KeccakKAT-3 (empty, 0xcc), and what Ethereum's documents quote. */
static void published(void **state) {
    uint8_t out[CSL_KECCAK256_BYTES];
    (void)state;
    is_keccak("", "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
    is_keccak("abc", "0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
    is_keccak("\xcc", "0xeead6dbfc7340a56caedc044696a168870549a6a7f6f56961e84a54bd9970b8a");
    is_keccak("Transfer(address,address,uint256)",
              "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
    is_keccak("The quick brown fox jumps over the lazy dog",
              "0x4d741b6f1eb29cb2a9b9911c82f56fa8d73b04959d3d9d222895df6c0b28aa15");
    csl_keccak256(out, NULL, 0);
    assert_hex(out, sizeof out, "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
}

static uint8_t *pattern(size_t n) {
    uint8_t *p = malloc(n + 1);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)(7 * i + 1);
    }
    return p;
}

static void another_implementation(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof keccak_vectors / sizeof keccak_vectors[0]; i++) {
        uint8_t out[CSL_KECCAK256_BYTES], *p = pattern(keccak_vectors[i].n);
        csl_keccak256(out, p, keccak_vectors[i].n);
        assert_hex(out, sizeof out, keccak_vectors[i].hash);
        free(p);
    }
}

/* The same permutation and sponge: only the padding differs. Every length around three blocks. */
static void sha3_by_its_padding(void **state) {
    enum { N = 3 * CSL_KECCAK256_RATE + 2 };
    uint8_t *p = pattern(N);
    (void)state;
    for (size_t n = 0; n <= N; n++) {
        uint8_t out[CSL_KECCAK256_BYTES], want[CSL_KECCAK256_BYTES];
        assert_int_equal(EVP_Digest(p, n, want, NULL, EVP_sha3_256(), NULL), 1);
        csl__keccak256_padded(out, p, n, 0x06);
        assert_memory_equal(out, want, sizeof out);
        csl_keccak256(out, p, n);
        assert_memory_not_equal(out, want, sizeof out);
    }
    free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(published), cmocka_unit_test(another_implementation),
                                       cmocka_unit_test(sha3_by_its_padding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
