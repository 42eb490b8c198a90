/* Helpers of the chain's tests. */
#ifndef TESTS_CHAIN_CHAIN_TEST_H
#define TESTS_CHAIN_CHAIN_TEST_H

#include "tests/crypto/crypto_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain/address.h"

/* The bytes of "0x...", in memory of their very size (so that ASan sees a step beyond). Aborts when it is
 * not that; the caller frees. */
static inline uint8_t *from_hex(const char *text, size_t *n) {
    *n = (strlen(text) - 2) / 2;
    uint8_t *p = malloc(*n);
    if ((p == NULL && *n != 0) || !csl_hex0x_parse(p, *n, text)) {
        abort();
    }
    return p;
}

static inline void assert_hex(const uint8_t *p, size_t n, const char *want) {
    char *text = malloc(2 * n + 3);
    assert_non_null(text);
    csl_hex0x_text(text, p, n);
    assert_string_equal(text, want);
    free(text);
}

#endif
