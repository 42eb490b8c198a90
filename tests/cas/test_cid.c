/* Content identifiers: vectors of other tools, and every wrong text. */
#include "cas/cid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Names by other tools: the empty raw block, "hello world" as a raw block, the empty folder in both versions.
 */
static const char empty[] = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
static const char hello[] = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
static const char folder_v0[] = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
static const char folder_v1[] = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";

static void known(void **state) {
    (void)state;
    struct csl_cid cid, back;
    char text[CSL_CID_TEXT];
    assert_int_equal(csl_cid_of(&cid, CSL_CID_RAW, NULL, 0), CSL_OK);
    assert_string_equal(csl_cid_text(text, &cid), empty);
    assert_int_equal(csl_cid_of(&cid, CSL_CID_RAW, (const uint8_t *)"hello world", 11), CSL_OK);
    assert_string_equal(csl_cid_text(text, &cid), hello);
    assert_int_equal(csl_cid_parse(&back, hello, NULL), CSL_OK);
    assert_true(csl_cid_equal(&cid, &back));
    static const uint8_t folder[] = {0x0a, 0x02, 0x08, 0x01};
    assert_int_equal(csl_cid_of(&cid, CSL_CID_DAG_PB, folder, sizeof folder), CSL_OK);
    assert_int_equal(csl_cid_parse(&back, folder_v0, NULL), CSL_OK);
    assert_true(csl_cid_equal(&cid, &back));
    assert_string_equal(csl_cid_text(text, &back), folder_v1);
    assert_int_equal(csl_cid_parse(&back, folder_v1, NULL), CSL_OK);
    assert_true(csl_cid_equal(&cid, &back));
    /* The codec is part of the name. */
    back.codec = CSL_CID_RAW;
    assert_false(csl_cid_equal(&cid, &back));
}

static void both_ways(void **state) {
    (void)state;
    for (unsigned i = 0; i < 512; i++) {
        struct csl_cid cid, back;
        uint8_t bytes[CSL_CID_BYTES], seed[2] = {(uint8_t)i, (uint8_t)(i >> 8)};
        char text[CSL_CID_TEXT];
        assert_int_equal(csl_cid_of(&cid, i % 2 == 0 ? CSL_CID_RAW : CSL_CID_DAG_PB, seed, 2), CSL_OK);
        assert_int_equal(strlen(csl_cid_text(text, &cid)), CSL_CID_TEXT - 1);
        assert_int_equal(csl_cid_parse(&back, text, NULL), CSL_OK);
        assert_true(csl_cid_equal(&cid, &back));
        csl_cid_bytes(bytes, &cid);
        assert_int_equal(csl_cid_decode(&back, bytes, sizeof bytes, NULL), CSL_OK);
        assert_true(csl_cid_equal(&cid, &back));
    }
}

static void refused(const char *text) {
    struct csl_cid cid;
    struct csl_diag diag = {""};
    if (csl_cid_parse(&cid, text, &diag) != CSL_EDATA || diag.text[0] == '\0' || cid.codec != 0) {
        fail_msg("\"%s\" was taken: %s", text, diag.text);
    }
}

static void wrong_texts(void **state) {
    (void)state;
    char text[CSL_CID_TEXT + 8];
    const char *bad[] = {
        "",
        "b",
        "Qm",
        "BAFKREIHDWDCEFGH4DQKJV67UZCMW7OJEE6XEDZDETOJUZJEVTENXQUVYKU", /* upper case */
        "zdj7WWeQ43G6JJvLWQWZpyHuAMq6uYWRjkBXFad11vE2LHhQ7",           /* base58btc of a CIDv1 */
        "f015512200000000000000000000000000000000000000000000000000000000000000000",
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3N",                 /* short */
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3N0",                /* no such character */
        "QmzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzZ",              /* another length */
        "Qmzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",                /* another hash */
        "bagaaierasords4njcts6vs7qvdjfcvgnume4hqohf65zsfguprqphs3icwea", /* dag-json */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        refused(bad[i]);
    }
    for (size_t n = 0; n < sizeof empty - 1; n++) { /* every beginning */
        (void)snprintf(text, sizeof text, "%.*s", (int)n, empty);
        refused(text);
    }
    (void)snprintf(text, sizeof text, "%sa", empty);
    refused(text);
    (void)snprintf(text, sizeof text, "%s", empty);
    for (const char *c = "bcd"; *c != '\0'; c++) { /* bits behind the last byte */
        text[58] = (char)(empty[58] + (*c - 'a'));
        refused(text);
    }
    for (size_t i = 0; i < sizeof empty - 1; i++) {
        (void)snprintf(text, sizeof text, "%s", empty);
        text[i] = '1';
        refused(text);
        text[i] = '\xff';
        refused(text);
    }
    for (size_t i = 1; i < 7;
         i++) { /* version, codec, hash, length; index 7 has the first bit of the digest */
        (void)snprintf(text, sizeof text, "%s", empty);
        text[i] = text[i] == 'a' ? 'q' : 'a';
        refused(text);
    }
}

static void wrong_bytes(void **state) {
    (void)state;
    struct csl_cid cid;
    uint8_t bytes[64] = {0};
    static const uint8_t v1[] = {1, CSL_CID_RAW, 0x12, 32}, v0[] = {0x12, 32};
    memcpy(bytes, v1, sizeof v1);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        assert_int_equal(csl_cid_decode(&cid, bytes, n, NULL), n == CSL_CID_BYTES ? CSL_OK : CSL_EDATA);
    }
    for (size_t i = 0; i < sizeof v1; i++) {
        bytes[i] ^= 3;
        assert_int_equal(csl_cid_decode(&cid, bytes, CSL_CID_BYTES, NULL), CSL_EDATA);
        bytes[i] ^= 3;
    }
    memcpy(bytes, v0, sizeof v0);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        assert_int_equal(csl_cid_decode(&cid, bytes, n, NULL), n == CSL_CID_V0_BYTES ? CSL_OK : CSL_EDATA);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(known), cmocka_unit_test(both_ways),
                                       cmocka_unit_test(wrong_texts), cmocka_unit_test(wrong_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
