/* Signed notes: published examples of the specifications, round trips, and every way of breaking one. */
#include "tests/crypto/crypto_test.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "audit/note.h"

static EVP_PKEY *key, *other;
static struct csl_note note;

#define NAME "hospital-a"
#define WITNESS "hospital-b"

static const struct csl_checkpoint checkpoint = {
    .origin = "consilium/heart-network/hospital-a", .size = 42, .root = {1, 2, 3, [31] = 0xff}};

static int setup(void **state) {
    (void)state;
    uint8_t seed[32] = {7}, seed2[32] = {8};
    key = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, seed, sizeof seed);
    other = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, seed2, sizeof seed2);
    return key == NULL || other == NULL || csl_note_sign(&note, &checkpoint, NAME, key, NULL) != CSL_OK ||
           csl_note_cosign(&note, WITNESS, other, 1700000000, NULL) != CSL_OK;
}

static int teardown(void **state) {
    (void)state;
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    return 0;
}

/* ---- Published ---- */

/* The example of c2sp.org/tlog-cosignature: its form, and the key id of a log's line. */
static void example_of_the_specification(void **state) {
    static const char text[] =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "\xe2\x80\x94 example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
        "\xe2\x80\x94 witness.example.com/w1 "
        "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2"
        "oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    static struct csl_note got;
    (void)state;
    assert_ok(csl_note_parse(&got, text, strlen(text), NULL));
    assert_string_equal(got.checkpoint.origin, "example.com/behind-the-sofa");
    assert_int_equal(got.checkpoint.size, 20852163);
    assert_int_equal(got.n_signatures, 2);
    assert_false(got.signatures[0].cosignature);
    assert_true(got.signatures[1].cosignature);
    assert_int_equal(got.signatures[1].time_s, 1679315147); /* as its text says */
    assert_string_equal(got.signatures[1].name, "witness.example.com/w1");
    assert_int_equal(csl_note_cosignatures(&got), 1);
    assert_string_equal(got.text, text);
}

/* The note of Go's golang.org/x/mod/sumdb/note and c2sp.org/signed-note: PeterNeumann's key, whose id is
 * c74f20a3, checked through what a line of ours holds. */
static void key_id_of_a_published_key(void **state) {
    static const char public64[] = "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"; /* type 1 | key */
    uint8_t raw[34], want[4] = {0xc7, 0x4f, 0x20, 0xa3}, digest[32], b[64];
    (void)state;
    assert_int_equal(EVP_DecodeBlock(raw, (const unsigned char *)public64, (int)strlen(public64)), 33);
    assert_int_equal(raw[0], 1);
    size_t n = (size_t)snprintf((char *)b, sizeof b, "PeterNeumann\n");
    memcpy(b + n, raw, 33);
    assert_ok(csl_sha256_once(digest, b, n + 33));
    assert_memory_equal(digest, want, 4); /* the definition; and verification finds it: */
    EVP_PKEY *pub = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, raw + 1, 32);
    assert_non_null(pub);
    static struct csl_note signed_;
    struct csl_diag diag = {""};
    assert_ok(csl_note_sign(&signed_, &checkpoint, "PeterNeumann", key, NULL));
    assert_err(csl_note_verify(&signed_, "PeterNeumann", pub, &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "another key"));
    memcpy(signed_.signatures[0].key_id, want, 4);
    assert_err(csl_note_verify(&signed_, "PeterNeumann", pub, &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "its signature is wrong"));
    /* And the published note: its line holds this id, and a signature over the text as it stands. */
    static const char text[] = "If you think cryptography is the answer to your problem,\n"
                               "then you don't know what your problem is.\n";
    static const char line[] =
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
    uint8_t sig[80];
    assert_int_equal(EVP_DecodeBlock(sig, (const unsigned char *)line, (int)strlen(line)), 69);
    assert_memory_equal(sig, want, 4);
    assert_ok(csl_verify_raw(pub, sig + 4, 64, text, strlen(text), NULL));
    assert_err(csl_verify_raw(pub, sig + 4, 64, text, strlen(text) - 1, NULL), CSL_EAUTH);
    EVP_PKEY_free(pub);
}

/* What is signed, byte for byte. */
static void what_is_signed(void **state) {
    char text[1024];
    (void)state;
    const char *body = "consilium/heart-network/hospital-a\n42\n"
                       "AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8=\n";
    assert_int_equal(note.n_body, strlen(body));
    assert_memory_equal(note.text, body, strlen(body));
    assert_ok(csl_verify_raw(key, note.signatures[0].signature, 64, body, strlen(body), NULL));
    int n = snprintf(text, sizeof text, "cosignature/v1\ntime 1700000000\n%s", body);
    assert_ok(csl_verify_raw(other, note.signatures[1].signature, 64, text, (size_t)n, NULL));
}

/* ---- Round trips ---- */

static void signed_and_parsed(void **state) {
    static struct csl_note got;
    (void)state;
    assert_ok(csl_note_parse(&got, note.text, strlen(note.text), NULL));
    assert_int_equal(got.n_signatures, 2);
    assert_string_equal(got.checkpoint.origin, checkpoint.origin);
    assert_int_equal(got.checkpoint.size, checkpoint.size);
    assert_memory_equal(got.checkpoint.root, checkpoint.root, 32);
    assert_ok(csl_note_verify(&got, NAME, key, NULL));
    assert_ok(csl_note_verify_cosignature(&got, WITNESS, other, NULL));
    /* Neither is the other, nor anybody else's. */
    assert_err(csl_note_verify(&got, NAME, other, NULL), CSL_EAUTH);
    assert_err(csl_note_verify(&got, WITNESS, other, NULL), CSL_EAUTH);
    assert_err(csl_note_verify_cosignature(&got, NAME, key, NULL), CSL_EAUTH);
    assert_err(csl_note_verify_cosignature(&got, "hospital-c", other, NULL), CSL_EAUTH);
    for (uint64_t size = 0; size < 3; size++) {
        struct csl_checkpoint c = checkpoint;
        c.size = size == 2 ? INT64_MAX : size;
        static struct csl_note made;
        assert_ok(csl_note_sign(&made, &c, NAME, key, NULL));
        assert_ok(csl_note_parse(&got, made.text, strlen(made.text), NULL));
        assert_int_equal(got.checkpoint.size, c.size);
    }
}

static void cosignatures_are_replaced_and_merged(void **state) {
    static struct csl_note a, b, c;
    (void)state;
    assert_ok(csl_note_sign(&a, &checkpoint, NAME, key, NULL));
    b = a;
    assert_ok(csl_note_cosign(&b, WITNESS, other, 5, NULL));
    assert_ok(csl_note_cosign(&b, WITNESS, other, 6, NULL));
    assert_int_equal(b.n_signatures, 2);
    assert_int_equal(b.signatures[1].time_s, 6);
    assert_ok(csl_note_merge(&a, &b, WITNESS, other, NULL));
    assert_string_equal(a.text, b.text);
    assert_ok(csl_note_merge(&a, &b, WITNESS, other, NULL));
    assert_int_equal(a.n_signatures, 2);
    /* Not one that does not verify, nor that of another body. */
    c = b;
    c.signatures[1].signature[3] ^= 1;
    assert_err(csl_note_merge(&a, &c, WITNESS, other, NULL), CSL_EAUTH);
    assert_err(csl_note_merge(&a, &b, "hospital-c", other, NULL), CSL_EAUTH);
    struct csl_checkpoint later = checkpoint;
    later.size++;
    assert_ok(csl_note_sign(&c, &later, NAME, key, NULL));
    assert_ok(csl_note_cosign(&c, WITNESS, other, 7, NULL));
    assert_err(csl_note_merge(&a, &c, WITNESS, other, NULL), CSL_EDATA);
    assert_string_equal(a.text, b.text);
    csl_note_only(&a, NAME, NULL);
    assert_int_equal(csl_note_cosignatures(&a), 0);
    assert_ok(csl_note_parse(&c, a.text, strlen(a.text), NULL));
    assert_ok(csl_note_verify(&c, NAME, key, NULL));
}

static void as_many_signatures_as_fit(void **state) {
    static struct csl_note n, got;
    char name[CSL_NOTE_NAME_MAX + 1];
    struct csl_checkpoint c = checkpoint;
    (void)state;
    memset(c.origin, 'o', CSL_ORIGIN_MAX);
    c.size = INT64_MAX;
    assert_ok(csl_note_sign(&n, &c, NAME, key, NULL));
    for (unsigned i = 0; i < CSL_NOTE_SIGNATURES_MAX - 1; i++) {
        memset(name, 'a' + (int)(i % 26), CSL_NOTE_NAME_MAX);
        name[0] = (char)('a' + (int)(i / 26));
        name[CSL_NOTE_NAME_MAX] = '\0';
        assert_ok(csl_note_cosign(&n, name, other, INT64_MAX, NULL));
    }
    assert_err(csl_note_cosign(&n, "one-more", other, 1, NULL), CSL_EDATA);
    assert_ok(csl_note_parse(&got, n.text, strlen(n.text), NULL));
    assert_int_equal(got.n_signatures, CSL_NOTE_SIGNATURES_MAX);
    assert_string_equal(got.text, n.text);
}

static void names_that_cannot_be(void **state) {
    static struct csl_note n;
    static const char *const bad[] = {"",
                                      "a b",
                                      "a\nb",
                                      "a+b",
                                      "a\tb",
                                      "\xc3\xa4",
                                      "0123456789012345678901234567890123456789012345678901234567890123x"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct csl_checkpoint c = checkpoint;
        n = note;
        assert_err(csl_note_cosign(&n, bad[i], key, 1, NULL), CSL_EUSAGE);
        assert_err(csl_note_sign(&n, &checkpoint, bad[i], key, NULL), CSL_EUSAGE);
        (void)snprintf(c.origin, sizeof c.origin, "%s", bad[i]);
        assert_err(csl_note_sign(&n, &c, NAME, key, NULL), strlen(bad[i]) > 60 ? CSL_OK : CSL_EUSAGE);
    }
    struct csl_checkpoint c = checkpoint;
    c.size = (uint64_t)INT64_MAX + 1;
    assert_err(csl_note_sign(&n, &c, NAME, key, NULL), CSL_EUSAGE);
    EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    assert_err(csl_note_sign(&n, &checkpoint, NAME, rsa, NULL), CSL_ECONFIG);
    assert_err(csl_note_verify(&note, NAME, rsa, NULL), CSL_ECONFIG);
    EVP_PKEY_free(rsa);
}

/* ---- Broken ---- */

/* A flipped bit gives a text that is no note, or one that does not verify. */
static void every_bit_flip(void **state) {
    static struct csl_note got;
    char text[CSL_NOTE_MAX];
    size_t n = strlen(note.text), parsed = 0;
    (void)state;
    memcpy(text, note.text, n);
    for (size_t bit = 0; bit < n * 8; bit++) {
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
        enum csl_err err = csl_note_parse(&got, text, n, NULL);
        if (err == CSL_OK) {
            parsed++;
            assert_true(csl_note_verify(&got, NAME, key, NULL) == CSL_EAUTH ||
                        csl_note_verify_cosignature(&got, WITNESS, other, NULL) == CSL_EAUTH);
        } else {
            assert_err(err, CSL_EDATA);
            assert_int_equal(got.n_body, 0);
        }
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
    }
    assert_true(parsed > 100); /* most letters give other letters */
}

static void truncated_and_extended(void **state) {
    static struct csl_note got;
    char text[CSL_NOTE_MAX + 8];
    size_t n = strlen(note.text);
    const char *second = strstr(note.text, "\xe2\x80\x94 " WITNESS);
    (void)state;
    assert_non_null(second);
    memcpy(text, note.text, n);
    for (size_t k = 0; k < n; k++) { /* without the second line it is a note too */
        enum csl_err err = csl_note_parse(&got, text, k, NULL);
        assert_err(err, note.text + k == second ? CSL_OK : CSL_EDATA);
    }
    for (int c = 0; c < 256; c++) {
        text[n] = (char)c;
        assert_err(csl_note_parse(&got, text, n + 1, NULL), CSL_EDATA);
    }
    memset(text + n, 'x', sizeof text - n);
    assert_err(csl_note_parse(&got, text, sizeof text, NULL), CSL_EDATA);
}

static void forms_that_are_not_strict(void **state) {
#define ROOT64 "AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8=\n"
#define LINE                                                                                                 \
    "\xe2\x80\x94 a "                                                                                        \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"            \
    "=\n"
    static const char *const bad[] = {
        "",
        "\n",
        "o\n1\n" ROOT64,            /* no signature */
        "o\n1\n" ROOT64 "\n",       /* none either */
        "o\n01\n" ROOT64 "\n" LINE, /* leading zero */
        "o\n+1\n" ROOT64 "\n" LINE, /* sign */
        "o\n-1\n" ROOT64 "\n" LINE, /* */
        "o\n 1\n" ROOT64 "\n" LINE, /* space */
        "o\n\n" ROOT64 "\n" LINE,   /* no size */
        "o\n9223372036854775808\n" ROOT64 "\n" LINE,
        "o\n99999999999999999999\n" ROOT64 "\n" LINE,
        "\n1\n" ROOT64 "\n" LINE,    /* no origin */
        "o o\n1\n" ROOT64 "\n" LINE, /* a space in it */
        "o\r\n1\n" ROOT64 "\n" LINE, /* a carriage return */
        "o\n1\n" ROOT64 LINE,        /* no empty line */
        "o\n1\n" ROOT64 "extension\n\n" LINE,
        "o\n1\n" ROOT64 "\n\n" LINE,                                   /* one too many */
        "o\n1\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP9=\n\n" LINE, /* not canonical */
        "o\n1\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8\n\n" LINE,  /* not padded */
        "o\n1\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_P8=\n\n" LINE, /* another alphabet */
        "o\n1\n" ROOT64 "\n" LINE LINE,                                /* twice */
        "o\n1\n" ROOT64 "\n- a AAAA\n",                                /* another dash */
        "o\n1\n" ROOT64 "\n\xe2\x80\x94 AAAA\n",
        "o\n1\n" ROOT64 "\n\xe2\x80\x94 a AAAA\n", /* too short for a signature */
        "o\n1\n" ROOT64 "\n\xe2\x80\x94  AAAA\n",
        "o\n1\n" ROOT64 "\n" LINE "\n",
    };
    static struct csl_note got;
    struct csl_diag diag;
    (void)state;
    assert_ok(csl_note_parse(&got, "o\n1\n" ROOT64 "\n" LINE, strlen("o\n1\n" ROOT64 "\n" LINE), NULL));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        diag.text[0] = '\0';
        if (csl_note_parse(&got, bad[i], strlen(bad[i]), &diag) != CSL_EDATA) {
            print_error("case %zu\n", i);
            fail();
        }
        assert_non_null(strstr(diag.text, "not a signed checkpoint: "));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_of_the_specification),
        cmocka_unit_test(key_id_of_a_published_key),
        cmocka_unit_test(what_is_signed),
        cmocka_unit_test(signed_and_parsed),
        cmocka_unit_test(cosignatures_are_replaced_and_merged),
        cmocka_unit_test(as_many_signatures_as_fit),
        cmocka_unit_test(names_that_cannot_be),
        cmocka_unit_test(every_bit_flip),
        cmocka_unit_test(truncated_and_extended),
        cmocka_unit_test(forms_that_are_not_strict),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
