/* Leaves, statements, commitments and transcripts: what is encoded decodes, anything else is refused by
 * field. */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/leaf.h"
#include "audit/ledger.h"
#include "audit/statement.h"
#include "audit/transcript.h"
#include "crypto/bytes.h"
#include "crypto/kdf.h"

static uint8_t some[4096];
static ProtobufCBinaryData bytes(size_t n) {
    return (ProtobufCBinaryData){.len = n, .data = some};
}

static Csl__Audit__Signed a_signed(void) {
    Csl__Audit__Signed s = CSL__AUDIT__SIGNED__INIT;
    s.statement = bytes(40);
    s.signature = bytes(64);
    s.signer = (char *)(uintptr_t) "hospital-a";
    return s;
}

/* Encodes, decodes, encodes again; the same but for salt and time. */
static void round_trip(csl_leaf *l) {
    uint8_t *p = NULL, *q = NULL;
    size_t n = 0, n_again = 0;
    csl_leaf *back = NULL;
    struct csl_diag diag = {""};
    assert_int_equal(csl_leaf_encode(&p, &n, l), CSL_OK);
    assert_int_equal(l->salt.len, 0);
    assert_int_equal(csl_leaf_decode(&back, p, n, &diag), CSL_OK);
    assert_int_equal(back->body_case, l->body_case);
    assert_int_equal(back->salt.len, CSL_LEAF_SALT_BYTES);
    assert_true(back->time_ms > 1600000000000ULL);
    assert_int_equal(csl_leaf_encode(&q, &n_again, l), CSL_OK);
    assert_int_equal(n, n_again);
    assert_memory_not_equal(p, q, 34); /* salts differ */
    for (size_t i = 0; i < n; i++) {   /* no prefix of it is a leaf */
        csl_leaf *none = NULL;
        assert_int_equal(csl_leaf_decode(&none, p, i, NULL), CSL_EDATA);
        assert_null(none);
    }
    csl_leaf_free(back);
    free(p);
    free(q);
}

/* A leaf that no decoder would take is not written either. */
static void refused(csl_leaf *l, const char *field) {
    uint8_t *p = NULL, salt[32] = {0};
    size_t n = 0;
    struct csl_diag diag = {""};
    csl_leaf *back = NULL;
    assert_int_equal(csl_leaf_encode(&p, &n, l), CSL_EDATA);
    assert_null(p);
    l->salt = (ProtobufCBinaryData){.len = 32, .data = salt};
    n = csl__audit__leaf__get_packed_size(l);
    p = malloc(n);
    (void)csl__audit__leaf__pack(l, p);
    l->salt.len = 0;
    assert_int_equal(csl_leaf_decode(&back, p, n, &diag), CSL_EDATA);
    if (strstr(diag.text, field) == NULL) {
        fail_msg("\"%s\" does not name %s", diag.text, field);
    }
    free(p);
}

static void fill_all(Csl__Audit__Signed *all[33], Csl__Audit__Signed *s) {
    for (size_t i = 0; i < 33; i++) {
        all[i] = s;
    }
}

static void test_model_leaf(void **state) {
    (void)state;
    Csl__Audit__Signed s = a_signed();
    ProtobufCBinaryData digests[17] = {bytes(32), bytes(32), bytes(32)};
    CSL_LEAF(l, b, ModelLeaf, MODEL_LEAF, MODEL, model);
    b.name = (char *)(uintptr_t) "digits";
    b.owner = (char *)(uintptr_t) "lab";
    b.package_digest = bytes(32);
    b.sealed_digests = digests;
    b.n_sealed_digests = 2;
    b.event = CSL_MODEL_RESEALED;
    b.reseal = &s;
    round_trip(&l);
    b.event = 6;
    refused(&l, "model.event");
    b.event = 0;
    refused(&l, "model.event");
    b.event = 1;
    b.n_sealed_digests = 17;
    for (size_t i = 0; i < 17; i++) {
        digests[i] = bytes(32);
    }
    refused(&l, "model.sealed_digests");
    b.n_sealed_digests = 1;
    digests[0].len = 31;
    refused(&l, "model.sealed_digests");
    digests[0].len = 32;
    b.name = (char *)(uintptr_t) "";
    refused(&l, "model.name");
    b.name = (char *)(uintptr_t) "a\nb";
    refused(&l, "model.name");
    b.name = (char *)(uintptr_t) "digits";
    b.owner = (char *)(uintptr_t) "The Lab";
    refused(&l, "model.owner");
    b.owner = (char *)(uintptr_t) "lab";
    s.signature.len = 63;
    refused(&l, "model.reseal.signature");
    s.signature.len = 64;
    s.statement.len = 0;
    refused(&l, "model.reseal.statement");
    s.statement.len = 40;
}

static void test_session_leaf(void **state) {
    (void)state;
    ProtobufCBinaryData signatures[2] = {bytes(64), bytes(64)};
    CSL_LEAF(l, b, SessionLeaf, SESSION_LEAF, SESSION, session);
    b.statement = bytes(300);
    b.signatures = signatures;
    b.n_signatures = 2;
    b.grant_digest = bytes(32);
    round_trip(&l);
    b.grant_digest.len = 0;
    round_trip(&l);
    b.grant_digest.len = 3;
    refused(&l, "session.grant_digest");
    b.grant_digest.len = 32;
    signatures[1].len = 0;
    refused(&l, "session.signatures");
    b.n_signatures = 0;
    b.statement.len = 0;
    refused(&l, "session.statement");
}

static void test_input_leaf(void **state) {
    (void)state;
    Csl__Audit__Signed s = a_signed();
    Csl__Audit__Signed *all[33];
    fill_all(all, &s);
    ProtobufCBinaryData digests[17] = {bytes(32), bytes(32), bytes(32)};
    CSL_LEAF(l, b, InputLeaf, INPUT_LEAF, INPUT, input);
    b.session = bytes(32);
    b.batch = 1;
    b.inputs = all;
    b.n_inputs = 2;
    b.commitments = digests;
    b.n_commitments = 3;
    round_trip(&l);
    b.batch = 0;
    refused(&l, "input.batch");
    b.batch = 1;
    digests[2].len = 33;
    refused(&l, "input.commitments");
    digests[2].len = 32;
    b.session.len = 16;
    refused(&l, "input.session");
    b.session.len = 32;
    b.n_inputs = 32;
    round_trip(&l);
    b.n_inputs = 33;
    refused(&l, "input.inputs");
}

static void test_heads_leaf(void **state) {
    (void)state;
    Csl__Audit__Signed s = a_signed();
    Csl__Audit__Signed *all[33];
    fill_all(all, &s);
    CSL_LEAF(l, b, HeadsLeaf, HEADS_LEAF, HEADS, heads);
    b.session = bytes(32);
    b.batch = 7;
    b.heads = all;
    b.n_heads = 16;
    b.dealt = &s;
    round_trip(&l);
    b.dealt = NULL;
    round_trip(&l);
    b.n_heads = 17;
    refused(&l, "heads.heads");
}

static void test_output_leaf(void **state) {
    (void)state;
    Csl__Audit__Signed s = a_signed();
    Csl__Audit__Signed *all[33];
    fill_all(all, &s);
    CSL_LEAF(l, b, OutputLeaf, OUTPUT_LEAF, OUTPUT, output);
    b.session = bytes(32);
    round_trip(&l);
    b.n_outputs = 1;
    b.outputs = all;
    round_trip(&l);
    b.session.len = 0;
    refused(&l, "output.session");
}

static void test_dealt_leaf(void **state) {
    (void)state;
    Csl__Audit__Signed s = a_signed();
    CSL_LEAF(l, b, DealtLeaf, DEALT_LEAF, DEALT, dealt);
    refused(&l, "dealt.dealt");
    b.dealt = &s;
    round_trip(&l);
}

static void test_consent_leaf(void **state) {
    (void)state;
    Csl__Audit__Signed s = a_signed();
    CSL_LEAF(l, b, ConsentLeaf, CONSENT_LEAF, CONSENT, consent);
    refused(&l, "consent.consent");
    b.consent = &s;
    round_trip(&l);
}

static void test_opening_leaf(void **state) {
    (void)state;
    CSL_LEAF(l, b, OpeningLeaf, OPENING_LEAF, OPENING, opening);
    b.package_digest = bytes(32);
    b.session_id = bytes(16);
    b.party = (char *)(uintptr_t) "hospital-b";
    b.judge = bytes(32);
    round_trip(&l);
    b.session_id.len = 32;
    refused(&l, "opening.session_id");
    b.session_id.len = 16;
    b.judge.len = 0;
    refused(&l, "opening.judge");
}

static void test_no_leaf(void **state) {
    (void)state;
    csl_leaf l = CSL__AUDIT__LEAF__INIT;
    refused(&l, "body");
}

/* Reasons come from anywhere and never keep an event from being written. */
static void test_sentences(void **state) {
    (void)state;
    static char text[2000];
    uint8_t *p = NULL;
    size_t n = 0;
    csl_leaf *back = NULL;
    memset(text, 'x', sizeof text - 1);
    text[3] = '\x1b';
    CSL_LEAF(l, b, RefusedLeaf, REFUSED_LEAF, REFUSED, refused);
    b.who = text;
    b.what = (char *)(uintptr_t) "a session\n";
    b.reason = text;
    b.error = CSL_EPERM;
    assert_int_equal(csl_leaf_encode(&p, &n, &l), CSL_OK);
    assert_ptr_equal(b.who, text); /* the caller's leaf is as it was */
    assert_int_equal(csl_leaf_decode(&back, p, n, NULL), CSL_OK);
    assert_int_equal(strlen(back->refused->reason), 512);
    assert_int_equal(back->refused->who[3], '?');
    assert_string_equal(back->refused->what, "a session?");
    csl_leaf_free(back);
    free(p);
    b.error = CSL_OK;
    refused(&l, "refused.");
    CSL_LEAF(c, close, CloseLeaf, CLOSE_LEAF, CLOSE, close);
    close.session_id = bytes(16);
    close.reason = (char *)(uintptr_t) "";
    round_trip(&c);
    close.session = bytes(32);
    close.error = CSL_EPEER;
    round_trip(&c);
    close.error = CSL_ERR_COUNT;
    refused(&c, "close.error");
}

/* What does not fit into a leaf is left out of it. */
static void test_many_commitments(void **state) {
    (void)state;
    uint8_t *p = NULL;
    size_t n = 0, many = CSL_LEAF_COMMITMENTS_MAX + 1;
    csl_leaf *back = NULL;
    ProtobufCBinaryData *all = calloc(many, sizeof *all);
    for (size_t i = 0; i < many; i++) {
        all[i] = bytes(32);
    }
    CSL_LEAF(l, b, InputLeaf, INPUT_LEAF, INPUT, input);
    b.session = bytes(32);
    b.batch = 1;
    b.commitments = all;
    for (size_t i = 0; i < 2; i++) {
        b.n_commitments = many - 1 + i;
        assert_int_equal(csl_leaf_encode(&p, &n, &l), CSL_OK);
        assert_int_equal(b.n_commitments, many - 1 + i);
        assert_int_equal(csl_leaf_decode(&back, p, n, NULL), CSL_OK);
        assert_int_equal(back->input->n_commitments, i == 0 ? many - 1 : 0);
        csl_leaf_free(back);
        free(p);
    }
    free(all);
}

static void test_unknown(void **state) {
    (void)state;
    uint8_t *p = NULL, wider[200];
    size_t n = 0;
    csl_leaf *back = NULL;
    CSL_LEAF(l, b, CloseLeaf, CLOSE_LEAF, CLOSE, close);
    b.session_id = bytes(16);
    assert_int_equal(csl_leaf_encode(&p, &n, &l), CSL_OK);
    memcpy(wider, p, n);
    wider[n] = 0xa0; /* field 100, varint 1 */
    wider[n + 1] = 0x06;
    wider[n + 2] = 1;
    assert_int_equal(csl_leaf_decode(&back, wider, n + 3, NULL), CSL_EDATA);
    memcpy(wider + n, p, 34); /* the salt twice: another encoding of the same */
    assert_int_equal(csl_leaf_decode(&back, wider, n + 34, NULL), CSL_EDATA);
    assert_int_equal(csl_leaf_decode(&back, some, CSL_LEAF_MAX + 1UL, NULL), CSL_EDATA);
    free(p);
    for (int i = -1; i < 20; i++) {
        assert_true(strlen(csl_leaf_kind_name(i)) > 3);
    }
    assert_string_equal(csl_leaf_kind_name(CSL__AUDIT__LEAF__BODY_SESSION), "session opened");
    assert_string_equal(csl_leaf_kind_name(99), "unknown");
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_leaf),       cmocka_unit_test(test_session_leaf),
        cmocka_unit_test(test_input_leaf),       cmocka_unit_test(test_heads_leaf),
        cmocka_unit_test(test_output_leaf),      cmocka_unit_test(test_dealt_leaf),
        cmocka_unit_test(test_consent_leaf),     cmocka_unit_test(test_opening_leaf),
        cmocka_unit_test(test_no_leaf),          cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_many_commitments), cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
