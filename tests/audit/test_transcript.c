/* The chain over what a party sent, by its formula, and that everything counts in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/transcript.h"

static const uint8_t session[32] = {9};

static void test_formula(void **state) {
    (void)state;
    uint8_t nonces[3 * 32], text[256], want[32];
    struct csl_transcript t;
    memset(nonces, 5, sizeof nonces);
    memcpy(text, "consilium/transcript", 21);
    memcpy(text + 21, session, 32);
    memcpy(text + 53, "\x02\0\0\0", 4);
    memcpy(text + 57, nonces, sizeof nonces);
    assert_int_equal(csl_sha256_once(want, text, 57 + sizeof nonces), CSL_OK);
    assert_int_equal(csl_transcript_start(&t, session, 2, nonces, 3), CSL_OK);
    assert_memory_equal(t.head, want, 32);
    memcpy(text, want, 32);
    memcpy(text + 32, "\x04\0\0\0\x01\0\0\0\x03\0\0\0\0\0\0\0abc", 19);
    assert_int_equal(csl_sha256_once(want, text, 51), CSL_OK);
    assert_int_equal(csl_transcript_add(&t, 4, 1, (const uint8_t *)"abc", 3), CSL_OK);
    assert_memory_equal(t.head, want, 32);
}

static void head_of(uint8_t out[32], unsigned party, uint8_t nonce, uint32_t batch, uint32_t round,
                    const char *payload) {
    uint8_t nonces[64];
    struct csl_transcript t;
    memset(nonces, nonce, sizeof nonces);
    assert_int_equal(csl_transcript_start(&t, session, party, nonces, 2), CSL_OK);
    assert_int_equal(csl_transcript_add(&t, batch, round, (const uint8_t *)payload, strlen(payload)), CSL_OK);
    memcpy(out, t.head, 32);
}

static void test_everything_counts(void **state) {
    (void)state;
    uint8_t heads[7][32];
    head_of(heads[0], 0, 1, 1, 1, "abc");
    head_of(heads[1], 1, 1, 1, 1, "abc");
    head_of(heads[2], 0, 2, 1, 1, "abc");
    head_of(heads[3], 0, 1, 2, 1, "abc");
    head_of(heads[4], 0, 1, 1, 2, "abc");
    head_of(heads[5], 0, 1, 1, 1, "abd");
    head_of(heads[6], 0, 1, 1, 1, "");
    for (size_t i = 0; i < 7; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_memory_not_equal(heads[i], heads[k], 32);
        }
    }
}

/* Two messages are not one with both contents. */
static void test_no_joining(void **state) {
    (void)state;
    uint8_t nonces[64] = {0};
    struct csl_transcript two, one;
    assert_int_equal(csl_transcript_start(&two, session, 0, nonces, 2), CSL_OK);
    one = two;
    assert_int_equal(csl_transcript_add(&two, 1, 1, (const uint8_t *)"ab", 2), CSL_OK);
    assert_int_equal(csl_transcript_add(&two, 1, 2, (const uint8_t *)"c", 1), CSL_OK);
    assert_int_equal(csl_transcript_add(&one, 1, 1, (const uint8_t *)"a", 1), CSL_OK);
    assert_int_equal(csl_transcript_add(&one, 1, 2, (const uint8_t *)"bc", 2), CSL_OK);
    assert_memory_not_equal(one.head, two.head, 32);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formula),
        cmocka_unit_test(test_everything_counts),
        cmocka_unit_test(test_no_joining),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
