/* Statements: signatures, strict decoding, commitments. */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/statement.h"
#include "crypto/bytes.h"
#include "crypto/kdf.h"
#include "tests/audit/world.h"

/* ---- Signing ---- */

static void test_sign(void **state) {
    (void)state;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
             *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    uint8_t digest[32] = {1}, session_id[16] = {2};
    struct csl_signed s, copy;
    Csl__Audit__ConsentStatement m = CSL__AUDIT__CONSENT_STATEMENT__INIT, *back = NULL;
    m.package_digest = m.judge = (ProtobufCBinaryData){.len = 32, .data = digest};
    m.session_id = (ProtobufCBinaryData){.len = 16, .data = session_id};
    m.party = (char *)(uintptr_t) "hospital-a";
    assert_int_equal(csl_statement_sign(&s, CSL_STATEMENT_CONSENT, &m.base, key, NULL), CSL_OK);
    assert_int_equal(
        csl_statement_verify(CSL_STATEMENT_CONSENT, s.statement, s.n, s.signature, 64, key, NULL), CSL_OK);
    /* Another key, other bytes, another kind of statement. */
    assert_int_equal(
        csl_statement_verify(CSL_STATEMENT_CONSENT, s.statement, s.n, s.signature, 64, other, NULL),
        CSL_EAUTH);
    for (int kind = CSL_STATEMENT_SESSION; kind <= CSL_STATEMENT_VIEW; kind++) {
        enum csl_err err =
            csl_statement_verify((enum csl_statement)kind, s.statement, s.n, s.signature, 64, key, NULL);
        assert_int_equal(err, kind == CSL_STATEMENT_CONSENT ? CSL_OK : CSL_EAUTH);
    }
    assert_int_equal(
        csl_statement_verify((enum csl_statement)99, s.statement, s.n, s.signature, 64, key, NULL),
        CSL_EUSAGE);
    assert_int_equal(csl_signed_copy(&copy, s.statement, s.n, s.signature), CSL_OK);
    assert_memory_equal(copy.statement, s.statement, s.n);
    copy.statement[0] ^= 1;
    assert_int_equal(
        csl_statement_verify(CSL_STATEMENT_CONSENT, copy.statement, copy.n, copy.signature, 64, key, NULL),
        CSL_EAUTH);
    assert_int_equal(csl_consent_statement_decode(&back, s.statement, s.n, NULL), CSL_OK);
    assert_string_equal(back->party, "hospital-a");
    csl_statement_free(back);
    csl_signed_clear(&s);
    csl_signed_clear(&s);
    csl_signed_clear(&copy);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

/* ---- Decoding ---- */

struct world w;
struct w_session x;

static void session_is(enum csl_err want, const char *field) {
    uint8_t *p = NULL;
    size_t n = 0;
    struct csl_diag diag = {""};
    Csl__Audit__SessionStatement *m = NULL;
    assert_int_equal(csl_statement_pack(&p, &n, &x.m.base), CSL_OK);
    assert_int_equal(csl_session_statement_decode(&m, p, n, &diag), want);
    assert_true((m != NULL) == (want == CSL_OK));
    if (want != CSL_OK && strstr(diag.text, field) == NULL) {
        fail_msg("\"%s\" does not name %s", diag.text, field);
    }
    csl_statement_free(m);
    free(p);
    w_session_fill(&w, &x, 1, CSL_SIGN_BEFORE_OUTPUT);
}

static void test_session(void **state) {
    (void)state;
    w_open(&w, 3);
    w_session_fill(&w, &x, 1, CSL_SIGN_BEFORE_OUTPUT);
    session_is(CSL_OK, "");
    ProtobufCBinaryData *digests[] = {&x.m.roster_digest,  &x.m.package_digest, &x.m.plan_digest,
                                      &x.m.epoch_id,       &x.m.mask_id,        &x.m.weights_digest,
                                      &x.m.request_digest, &x.m.nonces_digest,  &x.m.session_id};
    for (size_t i = 0; i < sizeof digests / sizeof digests[0]; i++) {
        digests[i]->len--;
        session_is(CSL_EDATA, "bytes, not");
    }
    x.m.model = (char *)(uintptr_t) "";
    session_is(CSL_EDATA, "model");
    x.m.client = (char *)(uintptr_t) "../clinic";
    session_is(CSL_EDATA, "client");
    x.m.n_parties = 0;
    session_is(CSL_EDATA, "parties");
    x.m.n_software = 2;
    session_is(CSL_EDATA, "software");
    x.m.n_configuration = 1;
    session_is(CSL_EDATA, "configuration");
    x.m.n_seed_commitments = 2;
    session_is(CSL_EDATA, "seed_commitments");
    x.parties[2] = x.parties[0];
    session_is(CSL_EDATA, "twice");
    x.m.check_rows = 65;
    session_is(CSL_EDATA, "check_rows");
    x.m.sign = 3;
    session_is(CSL_EDATA, "sign");
    x.m.profile = 2;
    session_is(CSL_EDATA, "profile");
    x.m.shared = true; /* and the client is there */
    session_is(CSL_EDATA, "client");
    x.m.client = (char *)(uintptr_t) "";
    session_is(CSL_EDATA, "client");
    x.m.client = (char *)(uintptr_t) "";
    x.m.shared = true;
    session_is(CSL_OK, NULL);
    w_close(&w);
}

/* Unknown fields, repeated fields, too long: one content has one encoding. */
static void test_canonical(void **state) {
    (void)state;
    static uint8_t p[CSL_STATEMENT_MAX + 1];
    uint8_t digest[32] = {3}, *packed = NULL;
    size_t n = 0;
    Csl__Audit__HeadStatement m = CSL__AUDIT__HEAD_STATEMENT__INIT, *back = NULL;
    m.session = m.head = m.dealt_digest = m.inputs_digest = (ProtobufCBinaryData){.len = 32, .data = digest};
    m.party = 2;
    m.batch = 1;
    m.count = 3;
    m.rounds = 9;
    assert_int_equal(csl_statement_pack(&packed, &n, &m.base), CSL_OK);
    memcpy(p, packed, n);
    free(packed);
    assert_int_equal(csl_head_statement_decode(&back, p, n, NULL), CSL_OK);
    csl_statement_free(back);
    memcpy(p + n, (uint8_t[]){0x78, 1}, 2); /* field 15 */
    assert_int_equal(csl_head_statement_decode(&back, p, n + 2, NULL), CSL_EDATA);
    memcpy(p + n, (uint8_t[]){0x10, 2}, 2); /* the party again */
    assert_int_equal(csl_head_statement_decode(&back, p, n + 2, NULL), CSL_EDATA);
    memcpy(p + n, (uint8_t[]){0x92, 0x80, 0x00}, 3); /* a key in more bytes than it needs */
    assert_int_equal(csl_head_statement_decode(&back, p, n + 3, NULL), CSL_EDATA);
    assert_int_equal(csl_head_statement_decode(&back, p, sizeof p, NULL), CSL_EDATA);
    assert_int_equal(csl_head_statement_decode(&back, p, 0, NULL), CSL_EDATA);
    assert_null(back);
    csl_statement_free(NULL);
}

static void test_ranges(void **state) {
    (void)state;
    uint8_t digest[32] = {3}, *p = NULL;
    size_t n = 0;
    ProtobufCBinaryData d = {.len = 32, .data = digest}, id = {.len = 16, .data = digest}, roots[17];
    for (size_t i = 0; i < 17; i++) {
        roots[i] = d;
    }
    static const struct {
        uint32_t first, count;
        size_t roots;
        enum csl_err want;
    } dealt[] = {{0, 1, 2, CSL_OK},
                 {UINT32_MAX, 1, 16, CSL_OK},
                 {UINT32_MAX, 2, 2, CSL_EDATA}, /* beyond the last counter */
                 {0, 0, 2, CSL_EDATA},
                 {0, 65536 + 65, 2, CSL_EDATA},
                 {0, 1, 0, CSL_EDATA},
                 {0, 1, 17, CSL_EDATA}};
    for (size_t i = 0; i < sizeof dealt / sizeof dealt[0]; i++) {
        Csl__Audit__DealtStatement m = CSL__AUDIT__DEALT_STATEMENT__INIT, *back = NULL;
        m.session_id = id;
        m.epoch_id = m.package_digest = m.corrections_root = m.demands_digest = d;
        m.first = dealt[i].first;
        m.count = dealt[i].count;
        m.seed_roots = roots;
        m.n_seed_roots = dealt[i].roots;
        assert_int_equal(csl_statement_pack(&p, &n, &m.base), CSL_OK);
        assert_int_equal(csl_dealt_statement_decode(&back, p, n, NULL), dealt[i].want);
        csl_statement_free(back);
        free(p);
    }
    static const struct {
        uint32_t batch, count, part;
        enum csl_err want;
    } inputs[] = {{1, 1, 0, CSL_OK},    {1, 65536, 16, CSL_OK},   {0, 1, 0, CSL_EDATA},
                  {1, 0, 0, CSL_EDATA}, {1, 65537, 0, CSL_EDATA}, {1, 1, 17, CSL_EDATA}};
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        Csl__Audit__InputStatement m = CSL__AUDIT__INPUT_STATEMENT__INIT, *back = NULL;
        m.session = d;
        m.batch = inputs[i].batch;
        m.count = inputs[i].count;
        m.part = inputs[i].part;
        m.roots = roots;
        m.n_roots = 2;
        assert_int_equal(csl_statement_pack(&p, &n, &m.base), CSL_OK);
        assert_int_equal(csl_input_statement_decode(&back, p, n, NULL), inputs[i].want);
        csl_statement_free(back);
        free(p);
    }
}

/* A guest and its request, or neither; and an input of a request is of no batch and no part. */
static void test_requests(void **state) {
    (void)state;
    uint8_t digest[32] = {3}, *p = NULL;
    size_t n = 0;
    struct csl_diag diag;
    ProtobufCBinaryData d = {.len = 32, .data = digest}, roots[2] = {d, d};
    static const struct {
        uint32_t batch, part, request;
        size_t guest;
        const char *input, *output; /* the field that is wrong; NULL: none is */
    } cases[] = {{0, 0, 1, 16, NULL, "batch"},    {0, 0, UINT32_MAX, 16, NULL, "batch"},
                 {1, 0, 1, 16, "batch", NULL},    {1, 0, 0, 0, NULL, NULL},
                 {0, 0, 1, 0, "guest", "batch"},  {0, 0, 1, 15, "guest", "batch"},
                 {0, 0, 1, 17, "guest", "batch"}, {1, 0, 1, 0, "guest", "guest"},
                 {1, 0, 1, 32, "guest", "guest"}, {1, 0, 0, 16, "guest", "guest"},
                 {0, 0, 0, 16, "batch", "batch"}, {0, 0, 0, 0, "batch", "batch"},
                 {0, 1, 1, 16, "part", "batch"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ProtobufCBinaryData guest = {.len = cases[i].guest, .data = digest};
        Csl__Audit__InputStatement in = CSL__AUDIT__INPUT_STATEMENT__INIT, *in_back = NULL;
        Csl__Audit__OutputStatement out = CSL__AUDIT__OUTPUT_STATEMENT__INIT, *out_back = NULL;
        in.session = out.session = out.commitment = d;
        in.batch = out.batch = cases[i].batch;
        in.count = out.count = 1;
        in.part = cases[i].part;
        in.roots = roots;
        in.n_roots = 2;
        in.guest = out.guest = guest;
        in.request = out.request = cases[i].request;
        assert_int_equal(csl_statement_pack(&p, &n, &in.base), CSL_OK);
        assert_int_equal(csl_input_statement_decode(&in_back, p, n, &diag),
                         cases[i].input == NULL ? CSL_OK : CSL_EDATA);
        assert_true(cases[i].input == NULL || strstr(diag.text, cases[i].input) != NULL);
        free(p);
        assert_int_equal(csl_statement_pack(&p, &n, &out.base), CSL_OK);
        assert_int_equal(csl_output_statement_decode(&out_back, p, n, &diag),
                         cases[i].output == NULL ? CSL_OK : CSL_EDATA);
        assert_true(cases[i].output == NULL || strstr(diag.text, cases[i].output) != NULL);
        free(p);
        csl_statement_free(in_back);
        csl_statement_free(out_back);
    }
}

static void test_first_row(void **state) {
    (void)state;
    static const struct {
        uint32_t first_row, count;
        enum csl_err want;
    } cases[] = {{0, 65536, CSL_OK},    {65535, 1, CSL_OK},         {65536, 1, CSL_EDATA},
                 {1, 65536, CSL_EDATA}, {UINT32_MAX, 1, CSL_EDATA}, {UINT32_MAX, UINT32_MAX, CSL_EDATA}};
    uint8_t digest[32] = {3}, *p = NULL;
    size_t n = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Csl__Audit__HeadStatement m = CSL__AUDIT__HEAD_STATEMENT__INIT, *back = NULL;
        m.session = m.head = m.dealt_digest = m.inputs_digest =
            (ProtobufCBinaryData){.len = 32, .data = digest};
        m.batch = 1;
        m.count = cases[i].count;
        m.first_row = cases[i].first_row;
        assert_int_equal(csl_statement_pack(&p, &n, &m.base), CSL_OK);
        assert_int_equal(csl_head_statement_decode(&back, p, n, NULL), cases[i].want);
        csl_statement_free(back);
        free(p);
    }
}

/* ---- Commitments, by their formulas ---- */

static void test_commitments(void **state) {
    (void)state;
    uint8_t a[32], b[32], salt[32], share[5] = {1, 2, 3, 4, 5}, got[32], want[32], row_salt[32], text[128];
    memset(a, 1, 32);
    memset(b, 2, 32);
    memset(salt, 3, 32);
    memcpy(text, a, 32);
    memcpy(text + 32, b, 32);
    assert_int_equal(csl_merkle_leaf(want, text, 64), CSL_OK);
    assert_int_equal(csl_seed_leaf(got, a, b), CSL_OK);
    assert_memory_equal(got, want, 32);
    assert_int_equal(csl_corrections_leaf(got, a, b), CSL_OK);
    assert_memory_equal(got, want, 32);
    assert_int_equal(csl_prf(row_salt, salt, "row", (const uint8_t *)"\x07\x01\0\0", 4), CSL_OK);
    memcpy(text, "consilium/input-share", 22);
    memcpy(text + 22, row_salt, 32);
    memcpy(text + 54, share, 5);
    assert_int_equal(csl_sha256_once(want, text, 59), CSL_OK);
    assert_int_equal(csl_merkle_leaf(want, want, 32), CSL_OK);
    assert_int_equal(csl_input_leaf(got, salt, 0x107, share, 5), CSL_OK);
    assert_memory_equal(got, want, 32);
    assert_int_equal(csl_input_leaf(got, salt, 0x108, share, 5), CSL_OK);
    assert_memory_not_equal(got, want, 32);
    memcpy(text, "consilium/output-share", 23);
    memcpy(text + 23, salt, 32);
    memcpy(text + 55, share, 5);
    assert_int_equal(csl_sha256_once(want, text, 60), CSL_OK);
    assert_int_equal(csl_output_commit(got, salt, share, 5), CSL_OK);
    assert_memory_equal(got, want, 32);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign),        cmocka_unit_test(test_session),  cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_ranges),      cmocka_unit_test(test_requests), cmocka_unit_test(test_first_row),
        cmocka_unit_test(test_commitments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
