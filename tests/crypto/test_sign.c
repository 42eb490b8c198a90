#include "tests/crypto/crypto_test.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "crypto/sign.h"

/* RFC 8032, 7.1, TEST 1024: published keys, and the one message there with a zero byte early enough for
 * what stands before it to be a context. */
static const char rfc_private[] = "f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5";
static const char rfc_public[] = "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e";
static const char rfc_message[] =
    "08b8b2b733424243760fe426a4b54908632110a66c2f6591eabd3345e3e4eb98fa6e264bf09efe12ee50f8f54e9f77b1"
    "e355f6c50544e23fb1433ddf73be84d879de7c0046dc4996d9e773f4bc9efe5738829adb26c81b37c93a1b270b20329d"
    "658675fc6ea534e0810a4432826bf58c941efb65d57a338bbd2e26640f89ffbc1a858efcb8550ee3a5e1998bd177e93a"
    "7363c344fe6b199ee5d02e82d522c4feba15452f80288a821a579116ec6dad2b3b310da903401aa62100ab5d1a36553e"
    "06203b33890cc9b832f79ef80560ccb9a39ce767967ed628c6ad573cb116dbefefd75499da96bd68a8a97b928a8bbc10"
    "3b6621fcde2beca1231d206be6cd9ec7aff6f6c94fcd7204ed3455c68c83f4a41da4af2b74ef5c53f1d8ac70bdcb7ed1"
    "85ce81bd84359d44254d95629e9855a94a7c1958d1f8ada5d0532ed8a5aa3fb2d17ba70eb6248e594e1a2297acbbb39d"
    "502f1a8c6eb6f1ce22b3de1a1f40cc24554119a831a9aad6079cad88425de6bde1a9187ebb6092cf67bf2b13fd65f270"
    "88d78b7e883c8759d2c4f5c65adb7553878ad575f9fad878e80a0c9ba63bcbcc2732e69485bbc9c90bfbd62481d9089b"
    "eccf80cfe2df16a2cf65bd92dd597b0707e0917af48bbb75fed413d238f5555a7a569d80c3414a8d0859dc65a46128ba"
    "b27af87a71314f318c782b23ebfe808b82b0ce26401d2e22f04d83d1255dc51addd3b75a2b1ae0784504df543af8969b"
    "e3ea7082ff7fc9888c144da2af58429ec96031dbcad3dad9af0dcbaaaf268cb8fcffead94f3c7ca495e056a9b47acdb7"
    "51fb73e666c6c655ade8297297d07ad1ba5e43f1bca32301651339e22904cc8c42f58c30c04aafdb038dda0847dd988d"
    "cda6f3bfd15c4b4c4525004aa06eeff8ca61783aacec57fb3d1f92b0fe2fd1a85f6724517b65e614ad6808d6f6ee34df"
    "f7310fdc82aebfd904b01e1dc54b2927094b2db68d6f903b68401adebf5a7e08d78ff4ef5d63653a65040cf9bfd4aca7"
    "984a74d37145986780fc0b16ac451649de6188a7dbdf191f64b5fc5e2ab47b57f7f7276cd419c17a3ca8e1b939ae49e4"
    "88acba6b965610b5480109c8b17b80e1b7b750dfc7598d5d5011fd2dcc5600a32ef5b52a1ecc820e308aa342721aac09"
    "43bf6686b64b2579376504ccc493d97e6aed3fb0f9cd71a43dd497f01f17c0e2cb3797aa2a2f256656168e6c496afc5f"
    "b93246f6b1116398a346f1a641f3b041e989f7914f90cc2c7fff357876e506b50d334ba77c225bc307ba537152f3f161"
    "0e4eafe595f6d9d90d11faa933a15ef1369546868a7f3a45a96768d40fd9d03412c091c6315cf4fde7cb68606937380d"
    "b2eaaa707b4c4185c32eddcdd306705e4dc1ffc872eeee475a64dfac86aba41c0618983f8741c5ef68d3a101e8a3b8ca"
    "c60c905c15fc910840b94c00a0b9d0";
static const char rfc_signature[] = "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350"
                                    "aa5371b1508f9f4528ecea23c436d94b5e8fcd4f681e30a6ac00a9704a188a03";

static EVP_PKEY *key, *pub, *other;

static int make_keys(void **state) {
    (void)state;
    uint8_t raw[32];
    unhex(raw, sizeof raw, rfc_private);
    key = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, raw, sizeof raw);
    unhex(raw, sizeof raw, rfc_public);
    pub = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, raw, sizeof raw);
    other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return key == NULL || pub == NULL || other == NULL;
}

static int free_keys(void **state) {
    (void)state;
    EVP_PKEY_free(key);
    EVP_PKEY_free(pub);
    EVP_PKEY_free(other);
    return 0;
}

static void rfc_8032(void **state) {
    (void)state;
    uint8_t joined[1023], want[64], sig[64];
    assert_int_equal(unhex(joined, sizeof joined, rfc_message), sizeof joined);
    unhex(want, sizeof want, rfc_signature);
    const char *context = (const char *)joined;
    size_t n_context = strlen(context);
    assert_int_equal(n_context, 67);
    const uint8_t *msg = joined + n_context + 1;
    size_t n = sizeof joined - n_context - 1;
    assert_ok(csl_sign(sig, key, context, msg, n, NULL));
    assert_memory_equal(sig, want, sizeof want);
    assert_ok(csl_verify(pub, sig, sizeof sig, context, msg, n, NULL));
}

static void other_keys_contexts_and_messages_are_refused(void **state) {
    (void)state;
    const uint8_t msg[] = "bc";
    uint8_t sig[64];
    struct csl_diag diag = {""};
    assert_ok(csl_sign(sig, key, "a", msg, 2, NULL));
    assert_ok(csl_verify(pub, sig, sizeof sig, "a", msg, 2, NULL));
    assert_err(csl_verify(other, sig, sizeof sig, "a", msg, 2, &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "\"a\""));
    assert_err(csl_verify(pub, sig, sizeof sig, "ab", msg + 1, 1, NULL), CSL_EAUTH);
    assert_err(csl_verify(pub, sig, sizeof sig, "b", msg, 2, NULL), CSL_EAUTH);
    assert_err(csl_verify(pub, sig, sizeof sig, "a", msg, 1, NULL), CSL_EAUTH);
    assert_err(csl_verify(pub, sig, sizeof sig, "a", msg, 3, NULL), CSL_EAUTH);
    assert_err(csl_verify(pub, sig, sizeof sig, "a", NULL, 0, NULL), CSL_EAUTH);
    assert_ok(csl_sign(sig, key, "a", NULL, 0, NULL));
    assert_ok(csl_verify(pub, sig, sizeof sig, "a", NULL, 0, NULL));
    assert_int_equal(ERR_peek_error(), 0); /* nothing is left for a later TLS call to stumble on */
}

static void every_flipped_bit_is_refused(void **state) {
    (void)state;
    uint8_t msg[20] = "twenty bytes to sign", sig[64];
    assert_ok(csl_sign(sig, key, "test", msg, sizeof msg, NULL));
    for (size_t i = 0; i < 8 * sizeof sig; i++) {
        sig[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_err(csl_verify(pub, sig, sizeof sig, "test", msg, sizeof msg, NULL), CSL_EAUTH);
        sig[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t i = 0; i < 8 * sizeof msg; i++) {
        msg[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_err(csl_verify(pub, sig, sizeof sig, "test", msg, sizeof msg, NULL), CSL_EAUTH);
        msg[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    assert_ok(csl_verify(pub, sig, sizeof sig, "test", msg, sizeof msg, NULL));
}

static void signatures_of_another_length_are_refused(void **state) {
    (void)state;
    uint8_t sig[65] = {0};
    assert_ok(csl_sign(sig, key, "test", NULL, 0, NULL));
    for (size_t n = 0; n <= 65; n++) {
        assert_err(csl_verify(pub, sig, n, "test", NULL, 0, NULL), n == 64 ? CSL_OK : CSL_EAUTH);
    }
}

static void unfit_keys_are_refused(void **state) {
    (void)state;
    uint8_t sig[64];
    struct csl_diag diag = {""};
    EVP_PKEY *p256 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    assert_non_null(p256);
    memset(sig, 1, sizeof sig);
    assert_err(csl_sign(sig, p256, "test", NULL, 0, &diag), CSL_ECONFIG);
    assert_non_null(strstr(diag.text, "Ed25519"));
    assert_zero(sig, sizeof sig);
    assert_err(csl_verify(p256, sig, sizeof sig, "test", NULL, 0, NULL), CSL_ECONFIG);
    assert_err(csl_sign(sig, NULL, "test", NULL, 0, NULL), CSL_ECONFIG);
    assert_err(csl_verify(NULL, sig, sizeof sig, "test", NULL, 0, NULL), CSL_ECONFIG);
    EVP_PKEY_free(p256);
    assert_err(csl_sign(sig, pub, "test", NULL, 0, &diag), CSL_ECONFIG);
    assert_non_null(strstr(diag.text, "private"));
    assert_zero(sig, sizeof sig);
    assert_int_equal(ERR_peek_error(), 0);
}

static void contexts_outside_their_range_are_refused(void **state) {
    (void)state;
    uint8_t sig[64];
    char context[CSL_SIGN_CONTEXT_MAX + 2];
    memset(context, 'c', sizeof context);
    context[sizeof context - 1] = '\0';
    assert_err(csl_sign(sig, key, "", NULL, 0, NULL), CSL_EUSAGE);
    assert_err(csl_sign(sig, key, context, NULL, 0, NULL), CSL_EUSAGE);
    assert_err(csl_verify(pub, sig, sizeof sig, context, NULL, 0, NULL), CSL_EUSAGE);
    assert_ok(csl_sign(sig, key, context + 1, NULL, 0, NULL));
    assert_ok(csl_verify(pub, sig, sizeof sig, context + 1, NULL, 0, NULL));
    assert_err(csl_sign(sig, key, "test", (const uint8_t *)"", SIZE_MAX, NULL), CSL_ENOMEM);
    assert_zero(sig, sizeof sig);
}

/* RFC 8032, 7.1, TEST 2: a message without a zero byte is signed as it stands. */
static void texts(void **state) {
    uint8_t raw[32], want[64], sig[64];
    (void)state;
    unhex(raw, sizeof raw, "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    EVP_PKEY *k = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, raw, sizeof raw);
    unhex(want, sizeof want,
          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
          "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
    assert_non_null(k);
    assert_ok(csl_sign_raw(sig, k, "r", 1, NULL));
    assert_bytes(sig, want, sizeof want);
    assert_ok(csl_verify_raw(k, sig, sizeof sig, "r", 1, NULL));
    assert_err(csl_verify_raw(k, sig, sizeof sig, "s", 1, NULL), CSL_EAUTH);
    assert_err(csl_verify_raw(k, sig, sizeof sig - 1, "r", 1, NULL), CSL_EAUTH);
    assert_err(csl_verify_raw(other, sig, sizeof sig, "r", 1, NULL), CSL_EAUTH);
    /* What csl_sign signs holds a zero byte, and no text may: neither is ever taken for the other. */
    static const char joined[] = "consilium/grant\0message";
    assert_ok(csl_sign(sig, k, "consilium/grant", (const uint8_t *)"message", 7, NULL));
    assert_err(csl_verify_raw(k, sig, sizeof sig, joined, sizeof joined - 1, NULL), CSL_EUSAGE);
    assert_err(csl_sign_raw(sig, k, joined, sizeof joined - 1, NULL), CSL_EUSAGE);
    assert_zero(sig, sizeof sig);
    assert_err(csl_sign_raw(sig, k, "", 0, NULL), CSL_EUSAGE);
    assert_err(csl_sign_raw(sig, NULL, "r", 1, NULL), CSL_ECONFIG);
    assert_err(csl_sign_raw(sig, pub, "r", 1, NULL), CSL_ECONFIG);
    EVP_PKEY_free(k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_8032),
        cmocka_unit_test(other_keys_contexts_and_messages_are_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(signatures_of_another_length_are_refused),
        cmocka_unit_test(unfit_keys_are_refused),
        cmocka_unit_test(contexts_outside_their_range_are_refused),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
