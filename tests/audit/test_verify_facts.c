/* audit verify: signed statements that exclude each other name their signer, and nothing else does. */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "audit/verify_internal.h"
#include "tests/audit/scene.h"

/* ---- Who contradicts himself ---- */

typedef void change_fn(struct scene *s, unsigned site);

/* Plays one batch; then `change` makes other statements for the same place, and party `site` enters those. */
static void second_story(struct scene *s, change_fn *change, unsigned site) {
    scene_open(s, 3, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s->w, &s->sessions[0]);
    s->batches[0] = (struct w_batch){.number = 1, .count = 2};
    w_batch(&s->w, &s->sessions[0], &s->batches[0]);
    change(s, site);
    w_session_end(&s->w, &s->sessions[0], CSL_OK);
    scene_export(s);
    scene_drop_empty(s);
}

static void enter_head(struct scene *s, unsigned at, unsigned signer, const Csl__Audit__HeadStatement *m,
                       const struct csl_signed *dealt) {
    struct csl_signed signed_ = {0};
    assert_int_equal(
        csl_statement_sign(&signed_, CSL_STATEMENT_HEAD, &m->base, s->w.members[signer].sign_key, NULL),
        CSL_OK);
    Csl__Audit__Signed one = CSL__AUDIT__SIGNED__INIT, two = CSL__AUDIT__SIGNED__INIT, *pointer = &one;
    one.statement = (ProtobufCBinaryData){.data = signed_.statement, .len = signed_.n};
    one.signature = (ProtobufCBinaryData){.data = signed_.signature, .len = CSL_SIGNATURE_BYTES};
    one.signer = s->w.names[signer];
    CSL_LEAF(leaf, body, HeadsLeaf, HEADS_LEAF, HEADS, heads);
    body.session = (ProtobufCBinaryData){.data = s->sessions[0].digest, .len = 32};
    body.batch = 1;
    body.heads = &pointer;
    body.n_heads = 1;
    if (dealt != NULL) {
        two.statement = (ProtobufCBinaryData){.data = dealt->statement, .len = dealt->n};
        two.signature =
            (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)dealt->signature, .len = CSL_SIGNATURE_BYTES};
        two.signer = s->w.names[w_dealer(&s->w)];
        body.dealt = &two;
    }
    w_append(&s->w, at, &leaf);
    csl_signed_clear(&signed_);
}

static Csl__Audit__HeadStatement *head_of(struct scene *s, unsigned party) {
    Csl__Audit__HeadStatement *m = NULL;
    assert_int_equal(csl_head_statement_decode(&m, s->batches[0].heads[party].statement,
                                               s->batches[0].heads[party].n, NULL),
                     CSL_OK);
    return m;
}

static void other_head(struct scene *s, unsigned site) {
    Csl__Audit__HeadStatement *m = head_of(s, 1);
    m->head.data[0] ^= 1;
    enter_head(s, site, 1, m, NULL);
    csl_statement_free(m);
}

static void test_two_heads(void **state) {
    (void)state;
    for (unsigned site = 0; site < 3; site++) {
        struct scene s;
        second_story(&s, other_head, site);
        scene_expect(&s, CSL_VERDICT_ATTRIBUTABLE, "hospital-b");
        scene_close(&s);
    }
}

/* A head of another session or batch, and one that bears another party's number, prove nothing. */
static void swapped_session(struct scene *s, unsigned site) {
    Csl__Audit__HeadStatement *m = head_of(s, 1);
    m->session.data[0] ^= 1;
    m->dealt_digest.data[0] ^= 1; /* with the same dealing it would have used that one twice */
    enter_head(s, site, 1, m, NULL);
    csl_statement_free(m);
}

static void swapped_batch(struct scene *s, unsigned site) {
    Csl__Audit__HeadStatement *m = head_of(s, 1);
    m->batch = 7;
    m->dealt_digest.data[0] ^= 1;
    enter_head(s, site, 1, m, NULL);
    csl_statement_free(m);
}

/* hospital-c signs what hospital-b should have. */
static void framed_head(struct scene *s, unsigned site) {
    Csl__Audit__HeadStatement *m = head_of(s, 1);
    m->head.data[0] ^= 1;
    EVP_PKEY *key = s->w.members[1].sign_key;
    s->w.members[1].sign_key = s->w.members[2].sign_key;
    enter_head(s, site, 1, m, NULL);
    s->w.members[1].sign_key = key;
    csl_statement_free(m);
}

static void test_heads_that_prove_nothing(void **state) {
    (void)state;
    change_fn *changes[] = {swapped_session, swapped_batch, framed_head};
    for (size_t i = 0; i < 3; i++) {
        struct scene s;
        second_story(&s, changes[i], 0);
        scene_expect(&s, CSL_VERDICT_MISMATCH, NULL);
        scene_close(&s);
    }
}

/* Whole batches a second time, by those who sign them. */
static void test_owner_signs_two_inputs(void **state) {
    (void)state;
    struct scene s;
    scene_open(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s.w, &s.sessions[0]);
    s.batches[0] = (struct w_batch){.number = 1, .count = 2, .stop_after = 1};
    w_batch(&s.w, &s.sessions[0], &s.batches[0]);
    s.batches[1] = (struct w_batch){.number = 1, .count = 2, .leave_out_head = 1};
    assert_int_equal(csl_signed_copy(&s.batches[1].dealt, s.batches[0].dealt.statement, s.batches[0].dealt.n,
                                     s.batches[0].dealt.signature),
                     CSL_OK);
    s.batches[1].parts = 1; /* part 1 beside part 0: another place, no contradiction */
    w_batch(&s.w, &s.sessions[0], &s.batches[1]);
    scene_export(&s);
    scene_drop_empty(&s);
    struct csl_audit_report r = w_verify(&s.w, s.bundles, s.n);
    for (size_t i = 0; i < r.n_findings; i++) { /* the parties' heads differ, the client's inputs do not */
        assert_string_not_equal(r.findings[i].verdict == CSL_VERDICT_ATTRIBUTABLE ? r.findings[i].who : "",
                                "clinic");
    }
    assert_int_equal(r.verdict, CSL_VERDICT_ATTRIBUTABLE);
    csl_audit_report_clear(&r);
    scene_close(&s);
}

static void other_input(struct scene *s, unsigned site) {
    Csl__Audit__InputStatement *m = NULL;
    struct csl_signed signed_;
    assert_int_equal(
        csl_input_statement_decode(&m, s->batches[0].inputs[0].statement, s->batches[0].inputs[0].n, NULL),
        CSL_OK);
    m->roots[2].data[0] ^= 1;
    assert_int_equal(csl_statement_sign(&signed_, CSL_STATEMENT_INPUT, &m->base,
                                        s->w.members[w_client(&s->w)].sign_key, NULL),
                     CSL_OK);
    Csl__Audit__Signed one = CSL__AUDIT__SIGNED__INIT, *pointer = &one;
    one.statement = (ProtobufCBinaryData){.data = signed_.statement, .len = signed_.n};
    one.signature = (ProtobufCBinaryData){.data = signed_.signature, .len = CSL_SIGNATURE_BYTES};
    one.signer = s->w.names[w_client(&s->w)];
    CSL_LEAF(leaf, body, InputLeaf, INPUT_LEAF, INPUT, input);
    body.session = (ProtobufCBinaryData){.data = s->sessions[0].digest, .len = 32};
    body.batch = 1;
    body.inputs = &pointer;
    body.n_inputs = 1;
    w_append(&s->w, site, &leaf);
    csl_signed_clear(&signed_);
    csl_statement_free(m);
}

static void test_two_inputs(void **state) {
    (void)state;
    struct scene s;
    second_story(&s, other_input, 2);
    scene_expect(&s, CSL_VERDICT_ATTRIBUTABLE, "clinic");
    scene_close(&s);
}

/* ---- Session statements ---- */

static void two_statements(struct scene *s, bool same_nonces) {
    scene_open(s, 2, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s->w, &s->sessions[0]);
    w_session_end(&s->w, &s->sessions[0], CSL_OK);
    memset(s->sessions[1].m.session_id.data, 1, 16); /* the client's choice */
    if (same_nonces) {
        memcpy(s->sessions[1].m.nonces_digest.data, s->sessions[0].m.nonces_digest.data, 32);
        s->sessions[1].m.plan_digest.data[0] ^= 1;
    }
    EVP_PKEY *key = s->w.members[0].sign_key, *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (same_nonces) {
        s->w.members[0].sign_key = other; /* hospital-a has no part in it */
    }
    w_session_enter(&s->w, &s->sessions[1]);
    s->w.members[0].sign_key = key;
    EVP_PKEY_free(other);
    w_session_end(&s->w, &s->sessions[1], CSL_OK);
    scene_export(s);
    scene_drop_empty(s);
}

static void test_two_session_statements(void **state) {
    (void)state;
    struct scene s;
    two_statements(&s, true);
    scene_expect(&s, CSL_VERDICT_ATTRIBUTABLE, "hospital-b");
    scene_close(&s);
    two_statements(&s, false); /* an id that the client used twice is no proof against the parties */
    scene_expect(&s, CSL_VERDICT_MISMATCH, NULL);
    scene_close(&s);
}

/* Every field of the statement that has to fit something else. */
static void test_session_fields(void **state) {
    (void)state;
    for (int field = 0; field < 6; field++) {
        struct scene s;
        scene_open(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
        struct w_session *x = &s.sessions[0];
        uint8_t digest[32] = {9};
        if (field == 0) {
            x->m.roster_digest.data = digest;
        } else if (field == 1) {
            x->m.package_digest.data[0] ^= 1; /* nobody accepted that package */
        } else if (field == 2) {
            x->m.model = (char *)(uintptr_t) "other";
        } else if (field == 3) {
            x->parties[0] = s.w.names[1];
            x->parties[1] = s.w.names[0];
        } else if (field == 4) {
            x->m.client = s.w.names[0]; /* the inputs are the clinic's */
        }
        w_session_enter(&s.w, x);
        if (field == 5) {
            x->m.check_rows = 5; /* other than what is dealt */
        }
        s.batches[0] = (struct w_batch){.number = 1, .count = 2};
        w_batch(&s.w, x, &s.batches[0]);
        w_session_end(&s.w, x, CSL_OK);
        scene_export(&s);
        scene_drop_empty(&s);
        scene_expect(&s, field <= 1 ? CSL_VERDICT_INCOMPLETE : CSL_VERDICT_MISMATCH, NULL);
        scene_close(&s);
    }
}

/* ---- Correlations ---- */

/* The second batch is dealt the indices of the first, under the other session or the same one. */
static void test_index_twice(void **state) {
    (void)state;
    for (int other = 0; other < 2; other++) {
        struct scene s;
        scene_open(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
        w_session_enter(&s.w, &s.sessions[0]);
        w_session_enter(&s.w, &s.sessions[1]);
        s.batches[0] = (struct w_batch){.number = 1, .count = 2, .first = 10};
        s.batches[1] = (struct w_batch){.number = 2, .count = 2, .first = 13};
        w_batch(&s.w, &s.sessions[0], &s.batches[0]);
        w_batch(&s.w, &s.sessions[other], &s.batches[1]);
        scene_export(&s);
        scene_drop_empty(&s);
        struct csl_audit_report r = w_verify(&s.w, s.bundles, s.n);
        bool named[3] = {false};
        for (size_t i = 0; i < r.n_findings; i++) {
            for (int k = 0; r.findings[i].verdict == CSL_VERDICT_ATTRIBUTABLE && k < 3; k++) {
                named[k] |= strcmp(r.findings[i].who, s.w.names[k]) == 0;
            }
        }
        assert_true(named[0] && named[1] && named[2]); /* both parties, and the dealer */
        csl_audit_report_clear(&r);
        scene_close(&s);
    }
}

/* The dealer's statement is used for two batches: it dealt once, the parties used it twice. */
static void test_dealing_used_twice(void **state) {
    (void)state;
    struct scene s;
    scene_open(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s.w, &s.sessions[0]);
    s.batches[0] = (struct w_batch){.number = 1, .count = 2};
    s.batches[1] = (struct w_batch){.number = 2, .count = 2};
    w_batch(&s.w, &s.sessions[0], &s.batches[0]);
    assert_int_equal(csl_signed_copy(&s.batches[1].dealt, s.batches[0].dealt.statement, s.batches[0].dealt.n,
                                     s.batches[0].dealt.signature),
                     CSL_OK);
    w_batch(&s.w, &s.sessions[0], &s.batches[1]);
    w_session_end(&s.w, &s.sessions[0], CSL_OK);
    scene_export(&s);
    scene_drop_empty(&s);
    struct csl_audit_report r = w_verify(&s.w, s.bundles, s.n);
    assert_int_equal(r.verdict, CSL_VERDICT_ATTRIBUTABLE);
    for (size_t i = 0; i < r.n_findings; i++) {
        assert_string_not_equal(r.findings[i].verdict == CSL_VERDICT_ATTRIBUTABLE ? r.findings[i].who : "",
                                "dealer");
    }
    csl_audit_report_clear(&r);
    scene_close(&s);
}

/* Neighbours, and the same counters in another epoch or stream, are no reuse. */
static void test_index_neighbours(void **state) {
    (void)state;
    for (int which = 0; which < 3; which++) {
        struct scene s;
        scene_open(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
        if (which == 0) {
            s.sessions[1].m.epoch_id.data[31] ^= 1;
        } else if (which == 1) {
            s.sessions[1].m.stream++;
        }
        for (int i = 0; i < 2; i++) {
            w_session_enter(&s.w, &s.sessions[i]);
            s.batches[i] = (struct w_batch){.number = 1, .count = 2, .first = which == 2 && i == 1 ? 14 : 10};
            w_batch(&s.w, &s.sessions[i], &s.batches[i]);
            w_session_end(&s.w, &s.sessions[i], CSL_OK);
        }
        scene_export(&s);
        scene_drop_empty(&s);
        scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
        scene_close(&s);
    }
}

/* Ids that a hostile bundle chose to be alike: what holds them stays fast (it took minutes). */
static void test_chosen_keys(void **state) {
    enum { N = 150000 };
    (void)state;
    struct csl__map m = {.n = 0};
    uint8_t key[32] = {0};
    clock_t begun = clock();
    for (uint32_t i = 1; i <= N; i++) {
        memcpy(key + 8, &i, sizeof i);
        assert_int_equal(csl__map_put(&m, key, (void *)(uintptr_t)i), CSL_OK);
    }
    for (uint32_t i = 1; i <= N; i++) {
        memcpy(key + 8, &i, sizeof i);
        assert_ptr_equal(csl__map_get(&m, key), (void *)(uintptr_t)i);
    }
    key[31] = 1;
    assert_null(csl__map_get(&m, key));
    assert_int_equal(m.n, N);
    assert_true((clock() - begun) / CLOCKS_PER_SEC < 20);
    free(m.slots);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_heads),
        cmocka_unit_test(test_heads_that_prove_nothing),
        cmocka_unit_test(test_owner_signs_two_inputs),
        cmocka_unit_test(test_two_inputs),
        cmocka_unit_test(test_two_session_statements),
        cmocka_unit_test(test_session_fields),
        cmocka_unit_test(test_index_twice),
        cmocka_unit_test(test_dealing_used_twice),
        cmocka_unit_test(test_index_neighbours),
        cmocka_unit_test(test_chosen_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
