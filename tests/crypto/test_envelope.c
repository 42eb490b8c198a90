#include "tests/crypto/crypto_test.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "crypto/bytes.h"
#include "crypto/envelope.h"

static const char label[] = "consilium/test";
static const uint8_t aad[] = {9, 8, 7, 6};

static EVP_PKEY *key, *other;

static int make_keys(void **state) {
    (void)state;
    key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)3072);
    other = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)3072);
    return key == NULL || other == NULL;
}

static int free_keys(void **state) {
    (void)state;
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    return 0;
}

enum { HEAD = 8, WRAPPED = 384, LENGTH_AT = HEAD + WRAPPED + 12, TEXT_AT = LENGTH_AT + 8 };

struct sealed {
    uint8_t plain[40];
    uint8_t env[TEXT_AT + 40 + 16];
    size_t n;
};

static struct sealed seal_one(void) {
    struct sealed s = {.n = sizeof s.env};
    for (size_t i = 0; i < sizeof s.plain; i++) {
        s.plain[i] = (uint8_t)(3 * i + 1);
    }
    CSL_SECRET(s.plain, sizeof s.plain);
    assert_ok(csl_envelope_seal(s.env, &s.n, key, label, aad, sizeof aad, s.plain, sizeof s.plain, NULL));
    assert_int_equal(s.n, sizeof s.env);
    return s;
}

/* Opens with everything right but env: expects `want`, a wiped output, no length, no queued OpenSSL error. */
static void refuse(enum csl_err want, const uint8_t *env, size_t n_env) {
    uint8_t out[64];
    size_t n = sizeof out;
    struct csl_diag diag = {""};
    memset(out, 0, sizeof out);
    assert_err(csl_envelope_open(out, &n, key, label, aad, sizeof aad, env, n_env, &diag), want);
    assert_int_equal(n, 0);
    assert_zero(out, sizeof out);
    assert_true(strlen(diag.text) > 10);
    assert_int_equal(ERR_peek_error(), 0);
}

static void what_is_sealed_opens(void **state) {
    (void)state;
    const size_t sizes[] = {0, 1, 15, 16, 17, 32, 1000, (1 << 24) - 1, (1 << 24) + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i], n_env, n_plain, n_out;
        assert_ok(csl_envelope_size(&n_env, n, key, NULL));
        assert_int_equal(n_env, n + TEXT_AT + 16);
        uint8_t *plain = csl_secret_alloc(n + 1, 1), *env = malloc(n_env), *out = csl_secret_alloc(n + 1, 1);
        assert_true(plain != NULL && env != NULL && out != NULL);
        memset(plain, 0x3c, n);
        size_t n_sealed = n_env;
        assert_ok(csl_envelope_seal(env, &n_sealed, key, label, aad, sizeof aad, plain, n, NULL));
        assert_int_equal(n_sealed, n_env);
        CSL_ASSERT_PUBLIC(env, n_env);
        assert_ok(csl_envelope_plain_size(&n_plain, env, n_env, NULL));
        assert_int_equal(n_plain, n);
        n_out = n;
        assert_ok(csl_envelope_open(out, &n_out, key, label, aad, sizeof aad, env, n_env, NULL));
        assert_int_equal(n_out, n);
        assert_bytes(out, plain, n);
        csl_secret_free(plain);
        csl_secret_free(out);
        free(env);
    }
}

static void the_format_is_as_documented(void **state) {
    (void)state;
    struct sealed a = seal_one(), b = seal_one();
    assert_memory_equal(a.env, "CSLE\x01\x00\x80\x01", 8);
    assert_int_equal(csl_load_u64(a.env + LENGTH_AT), sizeof a.plain);
    /* Fresh key and iv each time. */
    assert_memory_not_equal(a.env + HEAD, b.env + HEAD, WRAPPED);
    assert_memory_not_equal(a.env + HEAD + WRAPPED, b.env + HEAD + WRAPPED, 12);
    assert_memory_not_equal(a.env + TEXT_AT, b.env + TEXT_AT, sizeof a.plain);
}

static void wrong_key_label_and_aad_are_one_error(void **state) {
    (void)state;
    struct sealed s = seal_one();
    const struct {
        EVP_PKEY *key;
        const char *label;
        const uint8_t *aad;
        size_t n_aad;
    } wrong[] = {
        {other, label, aad, sizeof aad},           {key, "consilium/tess", aad, sizeof aad},
        {key, "consilium/test2", aad, sizeof aad}, {key, label, (const uint8_t *)"\x09\x08\x07\x07", 4},
        {key, label, aad, sizeof aad - 1},         {key, label, NULL, 0},
    };
    struct csl_diag first = {""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint8_t out[64] = {0};
        size_t n = sizeof out;
        struct csl_diag diag = {""};
        assert_err(csl_envelope_open(out, &n, wrong[i].key, wrong[i].label, wrong[i].aad, wrong[i].n_aad,
                                     s.env, s.n, &diag),
                   CSL_EAUTH);
        assert_int_equal(n, 0);
        assert_zero(out, sizeof out);
        if (strcmp(wrong[i].label, label) == 0) { /* the sentence does not tell causes apart either */
            first = i == 0 ? diag : first;
            assert_string_equal(diag.text, first.text);
        }
    }
    assert_int_equal(ERR_peek_error(), 0);
}

static void a_public_key_does_not_open(void **state) {
    (void)state;
    struct sealed s = seal_one();
    unsigned char *der = NULL;
    int n_der = i2d_PUBKEY(key, &der);
    const unsigned char *at = der;
    EVP_PKEY *pub = d2i_PUBKEY(NULL, &at, n_der);
    assert_non_null(pub);
    uint8_t out[64] = {0};
    size_t n = sizeof s.env;
    assert_ok(csl_envelope_seal(s.env, &n, pub, label, aad, sizeof aad, s.plain, sizeof s.plain, NULL));
    n = sizeof out;
    assert_err(csl_envelope_open(out, &n, pub, label, aad, sizeof aad, s.env, s.n, NULL), CSL_EAUTH);
    assert_zero(out, sizeof out);
    EVP_PKEY_free(pub);
    OPENSSL_free(der);
}

/* Each byte of head, iv, length, text and tag; every fifth of the wrapped key. */
static void every_flipped_byte_is_refused(void **state) {
    (void)state;
    struct sealed s = seal_one();
    for (size_t i = 0; i < s.n; i += i >= HEAD && i < HEAD + WRAPPED - 5 ? 5 : 1) {
        bool structure = i < HEAD || (i >= LENGTH_AT && i < TEXT_AT);
        s.env[i] ^= (uint8_t)(1 << i % 8);
        refuse(structure ? CSL_EDATA : CSL_EAUTH, s.env, s.n);
        s.env[i] ^= (uint8_t)(1 << i % 8);
    }
    uint8_t out[40];
    size_t n = sizeof out;
    assert_ok(csl_envelope_open(out, &n, key, label, aad, sizeof aad, s.env, s.n, NULL));
    assert_bytes(out, s.plain, sizeof s.plain);
}

static void every_truncation_is_refused(void **state) {
    (void)state;
    struct sealed s = seal_one();
    for (size_t n = 0; n < s.n; n++) {
        uint8_t *exact = malloc(n + (n == 0)); /* so that a sanitizer sees a read past the end */
        assert_non_null(exact);
        memcpy(exact, s.env, n);
        refuse(CSL_EDATA, exact, n);
        free(exact);
    }
    uint8_t longer[sizeof s.env + 1] = {0};
    memcpy(longer, s.env, s.n);
    refuse(CSL_EDATA, longer, sizeof longer);
    refuse(CSL_EDATA, NULL, 0);
}

static void stated_lengths_are_not_trusted(void **state) {
    (void)state;
    const uint64_t lengths[] = {0,
                                39,
                                41,
                                56,
                                1u << 31,
                                (uint64_t)1 << 36,
                                1ull << 63,
                                UINT64_MAX,
                                UINT64_MAX - 15,
                                UINT64_MAX - TEXT_AT};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct sealed s = seal_one();
        size_t n;
        csl_store_u64(s.env + LENGTH_AT, lengths[i]);
        refuse(CSL_EDATA, s.env, s.n);
        assert_err(csl_envelope_plain_size(&n, s.env, s.n, NULL), CSL_EDATA);
        assert_int_equal(n, 0);
    }
    const uint16_t wrapped[] = {0, 1, 383, 385, 0x7fff, 0xffff};
    for (size_t i = 0; i < sizeof wrapped / sizeof *wrapped; i++) {
        struct sealed s = seal_one();
        csl_store_u16(s.env + 6, wrapped[i]);
        refuse(CSL_EDATA, s.env, s.n);
    }
}

/* Well-formed, with a wrapped key of another size than the key's: the key decides, in GCM's words. */
static void a_wrapped_key_of_another_size_is_refused(void **state) {
    (void)state;
    const size_t sizes[] = {385, 512, 2048};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t env[2048 + 60] = "CSLE\x01";
        csl_store_u16(env + 6, (uint16_t)sizes[i]);
        csl_store_u64(env + HEAD + sizes[i] + 12, 8);
        refuse(CSL_EAUTH, env, HEAD + sizes[i] + 12 + 8 + 8 + 16);
    }
    const uint16_t unfit[] = {383, 2049};
    for (size_t i = 0; i < 2; i++) {
        uint8_t env[2049 + 60] = "CSLE\x01";
        csl_store_u16(env + 6, unfit[i]);
        csl_store_u64(env + HEAD + unfit[i] + 12, 8);
        refuse(CSL_EDATA, env, HEAD + (size_t)unfit[i] + 12 + 8 + 8 + 16);
    }
}

static void unfit_key(EVP_PKEY *bad, const char *word) {
    struct sealed s = seal_one();
    uint8_t out[sizeof s.env];
    size_t n = sizeof out;
    struct csl_diag diag = {""};
    assert_err(csl_envelope_check_key(bad, &diag), CSL_ECONFIG);
    assert_non_null(strstr(diag.text, word));
    assert_err(csl_envelope_size(&n, 1, bad, NULL), CSL_ECONFIG);
    assert_int_equal(n, 0);
    n = sizeof out;
    assert_err(csl_envelope_seal(out, &n, bad, label, aad, sizeof aad, s.plain, 4, NULL), CSL_ECONFIG);
    assert_int_equal(n, 0);
    n = sizeof out;
    assert_err(csl_envelope_open(out, &n, bad, label, aad, sizeof aad, s.env, s.n, NULL), CSL_ECONFIG);
    assert_int_equal(n, 0);
}

static void unfit_keys_are_refused(void **state) {
    (void)state;
    EVP_PKEY *small = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    assert_true(small != NULL && ed != NULL && ec != NULL);
    unfit_key(small, "2048");
    unfit_key(ed, "ED25519");
    unfit_key(ec, "EC");
    unfit_key(NULL, "none");
    EVP_PKEY_free(small);
    EVP_PKEY_free(ed);
    EVP_PKEY_free(ec);
}

static void too_little_room_is_refused(void **state) {
    (void)state;
    struct sealed s = seal_one();
    uint8_t out[sizeof s.env];
    size_t n = sizeof s.env - 1;
    memset(out, 0x42, sizeof out);
    assert_err(csl_envelope_seal(out, &n, key, label, aad, sizeof aad, s.plain, sizeof s.plain, NULL),
               CSL_EUSAGE);
    assert_int_equal(n, 0);
    n = sizeof s.plain - 1;
    assert_err(csl_envelope_open(out, &n, key, label, aad, sizeof aad, s.env, s.n, NULL), CSL_EUSAGE);
    assert_int_equal(n, 0);
    for (size_t i = 0; i < sizeof out; i++) {
        assert_int_equal(out[i], 0x42);
    }
    assert_err(csl_envelope_size(&n, SIZE_MAX, key, NULL), CSL_EUSAGE);
    assert_err(csl_envelope_size(&n, ((size_t)1 << 36) - 31, key, NULL), CSL_EUSAGE);
    assert_ok(csl_envelope_size(&n, ((size_t)1 << 36) - 32, key, NULL));
}

static void labels_outside_their_range_are_refused(void **state) {
    (void)state;
    struct sealed s = seal_one();
    char text[CSL_ENVELOPE_LABEL_MAX + 2];
    uint8_t out[sizeof s.env];
    memset(text, 'l', sizeof text);
    text[sizeof text - 1] = '\0';
    const char *bad[] = {"", text};
    for (int i = 0; i < 2; i++) {
        size_t n = sizeof out;
        assert_err(csl_envelope_seal(out, &n, key, bad[i], NULL, 0, s.plain, 1, NULL), CSL_EUSAGE);
        n = sizeof out;
        assert_err(csl_envelope_open(out, &n, key, bad[i], NULL, 0, s.env, s.n, NULL), CSL_EUSAGE);
    }
    size_t n = sizeof out, n_plain = 1;
    uint8_t plain;
    assert_ok(csl_envelope_seal(out, &n, key, text + 1, NULL, 0, s.plain, 1, NULL));
    assert_ok(csl_envelope_open(&plain, &n_plain, key, text + 1, NULL, 0, out, n, NULL));
    assert_bytes(&plain, s.plain, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens),
        cmocka_unit_test(the_format_is_as_documented),
        cmocka_unit_test(wrong_key_label_and_aad_are_one_error),
        cmocka_unit_test(a_public_key_does_not_open),
        cmocka_unit_test(every_flipped_byte_is_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(stated_lengths_are_not_trusted),
        cmocka_unit_test(a_wrapped_key_of_another_size_is_refused),
        cmocka_unit_test(unfit_keys_are_refused),
        cmocka_unit_test(too_little_room_is_refused),
        cmocka_unit_test(labels_outside_their_range_are_refused),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
