#include "tests/crypto/crypto_test.h"

#include "crypto/hash.h"
#include "crypto/kdf.h"

/* ---- SHA-256: FIPS 180-4 examples ---- */

static const struct {
    const char *message, *digest;
} sha_vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void sha256_vectors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof sha_vectors / sizeof *sha_vectors; i++) {
        uint8_t got[CSL_SHA256_BYTES], want[CSL_SHA256_BYTES];
        const char *m = sha_vectors[i].message;
        unhex(want, sizeof want, sha_vectors[i].digest);
        assert_ok(csl_sha256_once(got, (const uint8_t *)m, strlen(m)));
        assert_memory_equal(got, want, sizeof want);
    }
    uint8_t got[CSL_SHA256_BYTES], want[CSL_SHA256_BYTES];
    unhex(want, sizeof want, sha_vectors[0].digest);
    assert_ok(csl_sha256_once(got, NULL, 0));
    assert_memory_equal(got, want, sizeof want);
}

static void sha256_million_a_in_pieces(void **state) {
    (void)state;
    uint8_t a[997], got[CSL_SHA256_BYTES], want[CSL_SHA256_BYTES];
    memset(a, 'a', sizeof a);
    unhex(want, sizeof want, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    struct csl_sha256 h;
    assert_ok(csl_sha256_init(&h));
    for (size_t left = 1000000; left != 0;) {
        size_t n = left < sizeof a ? left : sizeof a;
        assert_ok(csl_sha256_update(&h, a, n));
        assert_ok(csl_sha256_update(&h, NULL, 0));
        left -= n;
    }
    assert_ok(csl_sha256_final(&h, got));
    assert_memory_equal(got, want, sizeof want);
}

static void sha256_contexts_end(void **state) {
    (void)state;
    uint8_t got[CSL_SHA256_BYTES];
    struct csl_sha256 h = {0};
    csl_sha256_clear(&h);
    assert_err(csl_sha256_update(&h, got, 1), CSL_EINTERNAL);
    assert_ok(csl_sha256_init(&h));
    assert_ok(csl_sha256_final(&h, got));
    assert_err(csl_sha256_update(&h, got, 1), CSL_EINTERNAL);
    memset(got, 1, sizeof got);
    assert_err(csl_sha256_final(&h, got), CSL_EINTERNAL);
    assert_zero(got, sizeof got);
    assert_ok(csl_sha256_init(&h));
    csl_sha256_clear(&h);
    csl_sha256_clear(&h);
}

static void hash_equal_sees_every_bit(void **state) {
    (void)state;
    uint8_t a[33] = {0}, b[33] = {0};
    assert_true(csl_hash_equal(a, b, sizeof a));
    for (size_t i = 0; i < 8 * sizeof a; i++) {
        b[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(csl_hash_equal(a, b, sizeof a));
        assert_true(csl_hash_equal(a, b, i / 8));
        b[i / 8] = 0;
    }
    assert_true(csl_hash_equal(NULL, NULL, 0));
}

/* ---- HKDF: RFC 5869, A.1 to A.3 ---- */

static void check_hkdf(const char *ikm_hex, const char *salt_hex, const char *info_hex, const char *okm_hex) {
    uint8_t ikm[80], salt[80], info[81] = {0}, want[82], got[82];
    size_t n_ikm = unhex(ikm, sizeof ikm, ikm_hex), n_salt = unhex(salt, sizeof salt, salt_hex);
    size_t n = unhex(want, sizeof want, okm_hex);
    unhex(info, sizeof info - 1, info_hex);
    CSL_SECRET(ikm, n_ikm);
    assert_ok(csl_hkdf(got, n, salt, n_salt, ikm, n_ikm, (const char *)info));
    assert_bytes(got, want, n);
}

static void hkdf_vectors(void **state) {
    (void)state;
    check_hkdf("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
               "f0f1f2f3f4f5f6f7f8f9",
               "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    check_hkdf(
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f"
        "303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
        "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f"
        "909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
        "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
        "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
    check_hkdf("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
               "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

static void hkdf_refuses_lengths_outside_its_range(void **state) {
    (void)state;
    static uint8_t out[CSL_HKDF_MAX + 1];
    const uint8_t ikm[4] = {1};
    char info[CSL_KDF_LABEL_MAX + 2];
    memset(info, 'i', sizeof info);
    info[sizeof info - 1] = '\0';
    out[0] = 7;
    assert_err(csl_hkdf(out, 0, NULL, 0, ikm, sizeof ikm, "x"), CSL_EUSAGE);
    assert_err(csl_hkdf(out, CSL_HKDF_MAX + 1, NULL, 0, ikm, sizeof ikm, "x"), CSL_EUSAGE);
    assert_int_equal(out[0], 7);
    assert_ok(csl_hkdf(out, CSL_HKDF_MAX, NULL, 0, ikm, sizeof ikm, info + 1));
    assert_err(csl_hkdf(out, 64, NULL, 0, ikm, 0, "x"), CSL_EUSAGE);
    assert_zero(out, 64);
    assert_err(csl_hkdf(out + 64, 64, NULL, 0, ikm, sizeof ikm, info), CSL_EUSAGE);
    assert_zero(out, 128);
}

/* ---- the PRF against HMAC written out (RFC 2104), and that against RFC 4231 ---- */

static void hmac(uint8_t out[32], const uint8_t *key, size_t n_key, const uint8_t *m, size_t n) {
    uint8_t k[64] = {0}, pad[64];
    struct csl_sha256 h;
    if (n_key > sizeof k) {
        assert_ok(csl_sha256_once(k, key, n_key));
    } else {
        memcpy(k, key, n_key);
    }
    for (size_t i = 0; i < sizeof pad; i++) {
        pad[i] = k[i] ^ 0x36;
    }
    assert_ok(csl_sha256_init(&h));
    assert_ok(csl_sha256_update(&h, pad, sizeof pad));
    assert_ok(csl_sha256_update(&h, m, n));
    assert_ok(csl_sha256_final(&h, out));
    for (size_t i = 0; i < sizeof pad; i++) {
        pad[i] = k[i] ^ 0x5c;
    }
    assert_ok(csl_sha256_init(&h));
    assert_ok(csl_sha256_update(&h, pad, sizeof pad));
    assert_ok(csl_sha256_update(&h, out, 32));
    assert_ok(csl_sha256_final(&h, out));
}

static void check_hmac(const char *key_hex, const char *message_hex, const char *mac_hex) {
    uint8_t key[160], message[160], got[32], want[32];
    size_t n_key = unhex(key, sizeof key, key_hex), n = unhex(message, sizeof message, message_hex);
    unhex(want, sizeof want, mac_hex);
    hmac(got, key, n_key, message, n);
    assert_memory_equal(got, want, sizeof want);
}

static void the_reference_hmac_meets_rfc_4231(void **state) {
    (void)state;
    check_hmac("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
               "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    check_hmac("4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    check_hmac("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
               "dddddddddddddddddddddddddddddddddddddddddddddddddddd"
               "dddddddddddddddddddddddddddddddddddddddddddddddd",
               "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
}

static void the_prf_is_hmac_of_label_zero_data(void **state) {
    (void)state;
    for (size_t n = 0; n < 150; n++) {
        uint8_t key[CSL_KEY_BYTES], message[200] = "index", got[32], want[32];
        for (size_t i = 0; i < sizeof key; i++) {
            key[i] = (uint8_t)(17 * i + n);
        }
        for (size_t i = 0; i < n; i++) {
            message[6 + i] = (uint8_t)(i * n);
        }
        hmac(want, key, sizeof key, message, 6 + n);
        CSL_SECRET(key, sizeof key);
        assert_ok(csl_prf(got, key, "index", message + 6, n));
        assert_bytes(got, want, sizeof want);
    }
}

/* "ab" over "c" and "a" over "bc" must differ, as must a label from its prefix. */
static void prf_labels_are_apart(void **state) {
    (void)state;
    uint8_t out[4][32];
    const uint8_t key[CSL_KEY_BYTES] = {1};
    assert_ok(csl_prf(out[0], key, "ab", (const uint8_t *)"c", 1));
    assert_ok(csl_prf(out[1], key, "a", (const uint8_t *)"bc", 2));
    assert_ok(csl_prf(out[2], key, "abc", NULL, 0));
    assert_ok(csl_prf(out[3], key, "a", (const uint8_t *)"", 0));
    CSL_PUBLIC(out, sizeof out);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < i; j++) {
            assert_memory_not_equal(out[i], out[j], 32);
        }
    }
}

static void prf_refuses_labels_outside_its_range(void **state) {
    (void)state;
    uint8_t out[32];
    const uint8_t key[CSL_KEY_BYTES] = {1};
    char label[CSL_KDF_LABEL_MAX + 2];
    memset(label, 'l', sizeof label);
    label[sizeof label - 1] = '\0';
    memset(out, 1, sizeof out);
    assert_err(csl_prf(out, key, "", NULL, 0), CSL_EUSAGE);
    assert_zero(out, sizeof out);
    assert_err(csl_prf(out, key, label, NULL, 0), CSL_EUSAGE);
    assert_zero(out, sizeof out);
    assert_ok(csl_prf(out, key, label + 1, NULL, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_vectors),
        cmocka_unit_test(sha256_million_a_in_pieces),
        cmocka_unit_test(sha256_contexts_end),
        cmocka_unit_test(hash_equal_sees_every_bit),
        cmocka_unit_test(hkdf_vectors),
        cmocka_unit_test(hkdf_refuses_lengths_outside_its_range),
        cmocka_unit_test(the_reference_hmac_meets_rfc_4231),
        cmocka_unit_test(the_prf_is_hmac_of_label_zero_data),
        cmocka_unit_test(prf_labels_are_apart),
        cmocka_unit_test(prf_refuses_labels_outside_its_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
