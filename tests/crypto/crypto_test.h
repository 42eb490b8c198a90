/* What the tests of crypto/ share. Include first. */
#ifndef CSL_TESTS_CRYPTO_TEST_H
#define CSL_TESTS_CRYPTO_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/err.h"
#include "crypto/secret.h"

#define assert_ok(expr) assert_int_equal((expr), CSL_OK)
#define assert_err(expr, expected) assert_int_equal((expr), (expected))

/* Compares what may be marked secret: the test is its recipient. */
static inline void assert_bytes(const void *got, const void *want, size_t n) {
    CSL_PUBLIC(got, n);
    CSL_PUBLIC(want, n);
    if (n != 0) {
        assert_memory_equal(got, want, n);
    }
}

static inline void assert_zero(const void *p, size_t n) {
    const uint8_t *b = p;
    CSL_PUBLIC(p, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(b[i], 0);
    }
}

static inline unsigned hex_digit(char c) {
    const char *digits = "0123456789abcdef", *at = strchr(digits, c);
    assert_true(c != '\0' && at != NULL);
    return (unsigned)(at - digits);
}

/* Decodes a hex string into out and returns the number of bytes. */
static inline size_t unhex(uint8_t *out, size_t room, const char *hex) {
    size_t n = strlen(hex) / 2;
    assert_int_equal(strlen(hex) % 2, 0);
    assert_true(n <= room);
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    }
    return n;
}

#endif
