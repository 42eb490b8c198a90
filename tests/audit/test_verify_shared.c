/* audit verify, shared sessions: honest ones are consistent; who serves a request or a correlation twice, or
 * signs two things for one request, is named, and nobody else. */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/audit/shared.h"

static struct world *world(struct sh_scene *x) {
    return &x->s.w;
}
static struct w_session *session(struct sh_scene *x) {
    return &x->s.sessions[0];
}

/* All parties are accused, and nobody else is; the text is there. */
static void expect_parties(struct sh_scene *x, const char *text) {
    struct csl_audit_report r = w_verify(world(x), x->s.bundles, x->s.n);
    bool named[W_SITES_MAX] = {false}, told = false;
    for (size_t i = 0; i < r.n_findings; i++) {
        if (r.findings[i].verdict != CSL_VERDICT_ATTRIBUTABLE) {
            continue;
        }
        told |= strstr(r.findings[i].text, text) != NULL;
        for (size_t k = 0; k < world(x)->n_members; k++) {
            named[k] |= strcmp(r.findings[i].who, world(x)->names[k]) == 0;
        }
    }
    for (size_t k = 0; k < world(x)->n_members; k++) {
        if (named[k] != (k < world(x)->n_parties) || !told) {
            w_print(&r);
            fail_msg("%s: %d", world(x)->names[k], named[k]);
        }
    }
    csl_audit_report_clear(&r);
}

/* A finding of this verdict and with these words is there, and the verdict is no graver. */
static void expect_text(struct sh_scene *x, enum csl_verdict verdict, const char *text) {
    struct csl_audit_report r = w_verify(world(x), x->s.bundles, x->s.n);
    size_t n = 0;
    for (size_t i = 0; i < r.n_findings; i++) {
        n += r.findings[i].verdict == verdict && strstr(r.findings[i].text, text) != NULL;
    }
    if (r.verdict != verdict || n == 0) {
        w_print(&r);
        fail_msg("verdict %d, not %d (\"%s\")", (int)r.verdict, (int)verdict, text);
    }
    csl_audit_report_clear(&r);
}

/* ---- Honest ---- */

static void test_honest(void **state) {
    (void)state;
    static const unsigned parties[] = {2, 3, 16};
    for (size_t i = 0; i < 3; i++) {
        struct sh_scene x;
        sh_open(&x, parties[i], i == 0 ? CSL_SIGN_AFTER_OUTPUT : CSL_SIGN_BEFORE_OUTPUT);
        sh_end(&x, CSL_OK);
        struct csl_audit_report r = w_verify(world(&x), x.s.bundles, x.s.n);
        w_print(&r);
        assert_int_equal(r.verdict, CSL_VERDICT_CONSISTENT);
        assert_int_equal(r.sessions, 1);
        assert_int_equal(r.batches, SH_BATCHES);
        assert_int_equal(r.inferences, 10);
        csl_audit_report_clear(&r);
        sh_close(&x);
    }
}

/* 32 guests in one batch; an entry cannot hold more. */
static void test_full_batch(void **state) {
    (void)state;
    struct sh_scene x;
    struct csl_signed dealt;
    struct sh_batch *b = calloc(1, sizeof *b);
    sh_open(&x, 2, CSL_SIGN_BEFORE_OUTPUT);
    sh_deal(world(&x), session(&x), 40, &dealt);
    b->number = SH_BATCHES + 1;
    b->dealt = &dealt;
    b->n = SH_REQUESTS_MAX;
    for (size_t i = 0; i < b->n; i++) {
        b->requests[i] =
            (struct sh_request){.ward = i % 3 == 0, .guest = (uint8_t)(0x80 + i), .number = 1, .count = 1};
    }
    sh_sign(world(&x), session(&x), b);
    for (size_t i = 0; i < SH_BATCHES; i++) {
        sh_enter(world(&x), session(&x), &x.batches[i]);
    }
    sh_enter(world(&x), session(&x), b);
    for (unsigned i = 0; i <= 2; i++) {
        w_close_leaf(world(&x), i, session(&x), CSL_OK, i == 2 ? 3 : 4, session(&x)->inferences);
    }
    scene_export(&x.s);
    scene_drop_empty(&x.s);
    scene_expect(&x.s, CSL_VERDICT_CONSISTENT, NULL);
    sh_clear(b);
    free(b);
    csl_signed_clear(&dealt);
    sh_close(&x);
}

/* ---- Correlations ---- */

/* Batch 2 begins one row too early, at the same row, or within: its parties signed for a row twice. */
static void test_rows_twice(void **state) {
    (void)state;
    for (uint32_t first = 0; first < 3; first++) {
        struct sh_scene x;
        sh_open(&x, 3, CSL_SIGN_BEFORE_OUTPUT);
        x.batches[1].first_row = first;
        sh_sign_heads(world(&x), session(&x), &x.batches[1]);
        sh_end(&x, CSL_OK);
        expect_parties(&x, "twice: it signed heads for batch 2, and for batch 1 of the same session");
        sh_close(&x);
    }
}

/* A batch of many rows covers a later one that does not touch its neighbour. */
static void test_rows_within(void **state) {
    (void)state;
    struct sh_scene x;
    sh_open(&x, 2, CSL_SIGN_BEFORE_OUTPUT);
    x.batches[2].dealt = &x.dealt[0]; /* 4 rows from 0 on: those of batch 1, and the first of batch 2 */
    sh_sign_heads(world(&x), session(&x), &x.batches[2]);
    sh_end(&x, CSL_OK);
    expect_parties(&x, "twice");
    sh_close(&x);
}

/* Rows that nobody dealt: the heads and the dealing do not fit, and that is all. */
static void test_rows_beyond(void **state) {
    (void)state;
    struct sh_scene x;
    sh_open(&x, 2, CSL_SIGN_BEFORE_OUTPUT);
    x.batches[1].first_row = 4; /* 4, 5 and one of the two that were checked */
    sh_sign_heads(world(&x), session(&x), &x.batches[1]);
    sh_end(&x, CSL_OK);
    expect_text(&x, CSL_VERDICT_MISMATCH, "not dealt");
    sh_close(&x);
}

/* In a session of one client a dealing serves one batch, whatever rows the heads name. */
static void test_rows_of_one_client(void **state) {
    (void)state;
    struct scene s;
    scene_open(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s.w, &s.sessions[0]);
    s.batches[0] = (struct w_batch){.number = 1, .count = 2};
    w_batch(&s.w, &s.sessions[0], &s.batches[0]);
    Csl__Audit__HeadStatement *m = NULL;
    assert_int_equal(
        csl_head_statement_decode(&m, s.batches[0].heads[1].statement, s.batches[0].heads[1].n, NULL),
        CSL_OK);
    m->batch = 2;
    m->first_row = 2;
    struct csl_signed other;
    assert_int_equal(csl_statement_sign(&other, CSL_STATEMENT_HEAD, &m->base, s.w.members[1].sign_key, NULL),
                     CSL_OK);
    csl_statement_free(m);
    Csl__Audit__Signed one = w_signed(&s.w, 1, &other), *pointer = &one;
    CSL_LEAF(leaf, body, HeadsLeaf, HEADS_LEAF, HEADS, heads);
    body.session = w_data(s.sessions[0].digest, 32);
    body.batch = 2;
    body.heads = &pointer;
    body.n_heads = 1;
    w_append(&s.w, 0, &leaf);
    w_session_end(&s.w, &s.sessions[0], CSL_OK);
    scene_export(&s);
    scene_drop_empty(&s);
    scene_expect(&s, CSL_VERDICT_ATTRIBUTABLE, "hospital-b");
    csl_signed_clear(&other);
    scene_close(&s);
}

/* ---- Requests ---- */

/* A request of batch 1 again in batch 2 (which 0), in batch 1 itself (1), or under another client's signature
 * with the same guest's name (2). */
static void test_request_twice(void **state) {
    (void)state;
    for (int which = 0; which < 3; which++) {
        struct sh_scene x;
        sh_open(&x, 3, CSL_SIGN_BEFORE_OUTPUT);
        struct sh_batch *b = &x.batches[which == 1 ? 0 : 1];
        b->requests[b->n] = x.batches[0].requests[0];
        b->requests[b->n].ward = which == 2;
        b->requests[b->n].count = 2;
        b->n++;
        b->first_row = which == 1 ? 0 : 6;
        if (which == 1) { /* outside of the others' rows */
            x.batches[1].first_row = 4;
            sh_sign_heads(world(&x), session(&x), &x.batches[1]);
        }
        sh_sign(world(&x), session(&x), b);
        sh_end(&x, CSL_OK);
        expect_parties(&x, "served request 1 of one guest twice");
        sh_close(&x);
    }
}

/* A client signs two inputs for one request; the second stands in one site's ledger. */
static void test_client_signs_two(void **state) {
    (void)state;
    struct sh_scene x;
    sh_open(&x, 2, CSL_SIGN_BEFORE_OUTPUT);
    for (size_t i = 0; i < SH_BATCHES; i++) {
        for (unsigned p = 0; p < 2; p++) {
            if (i == 0 && p == 1) { /* after the heads */
                sh_sign_input(world(&x), session(&x), &x.batches[0], 1, 99);
            }
            sh_enter_inputs(world(&x), p, session(&x), &x.batches[i]);
            sh_enter_heads(world(&x), p, session(&x), &x.batches[i]);
            sh_enter_outputs(world(&x), p, session(&x), &x.batches[i]);
        }
        session(&x)->batches++;
        session(&x)->inferences += x.batches[i].count;
    }
    sh_export(&x, CSL_OK);
    scene_expect(&x.s, CSL_VERDICT_ATTRIBUTABLE, "ward");
    sh_close(&x);
}

/* Two guests of one client have the same numbers, and two clients' requests, too: no contradiction. In the
 * honest scene they do. What one site writes down about another batch frames nobody. */
static void test_inputs_twice_frame_nobody(void **state) {
    (void)state;
    struct sh_scene x;
    sh_open(&x, 2, CSL_SIGN_BEFORE_OUTPUT);
    struct sh_batch lie = x.batches[0];
    lie.number = 2; /* batch 1's requests as those of batch 2, then the right ones */
    for (size_t i = 0; i < SH_BATCHES; i++) {
        if (i == 1) {
            sh_enter_inputs(world(&x), 0, session(&x), &lie);
        }
        sh_enter(world(&x), session(&x), &x.batches[i]);
    }
    sh_export(&x, CSL_OK);
    expect_text(&x, CSL_VERDICT_MISMATCH, "entered twice");
    sh_close(&x);
}

/* ---- What one ledger holds of a batch ---- */

typedef void change_fn(struct sh_scene *x, struct sh_batch *b);

static void heads_count(struct sh_scene *x, struct sh_batch *b) {
    b->count++;
    sh_sign_heads(world(x), session(x), b);
    session(x)->inferences--;
    b->commitments[0] = b->commitments[1] = b->count - 1;
}
static void inputs_swapped(struct sh_scene *x, struct sh_batch *b) {
    (void)x;
    b->input_order[0][0] = 1;
    b->input_order[0][1] = 0;
}
static void input_missing(struct sh_scene *x, struct sh_batch *b) {
    (void)x;
    b->n_inputs[0]--;
    b->commitments[0] = 3;
}
static void commitments_none(struct sh_scene *x, struct sh_batch *b) {
    (void)x;
    b->commitments[0] = 0;
}
static void commitments_fewer(struct sh_scene *x, struct sh_batch *b) {
    (void)x;
    b->commitments[0]--;
}
static void commitments_other(struct sh_scene *x, struct sh_batch *b) {
    sh_sign_input(world(x), session(x), b, 1, 7); /* the owner's roots are others */
    sh_sign_heads(world(x), session(x), b);
}
static void output_missing(struct sh_scene *x, struct sh_batch *b) {
    (void)x;
    b->n_outputs[0]--;
}
static void output_missing_first(struct sh_scene *x, struct sh_batch *b) {
    (void)x;
    b->n_outputs[1]--;
    b->output_order[1][0] = 1;
    b->output_order[1][1] = 2;
}
static void outputs_all_missing(struct sh_scene *x, struct sh_batch *b) {
    (void)x;
    b->n_outputs[0] = 0;
}
static void outputs_swapped(struct sh_scene *x, struct sh_batch *b) {
    (void)x;
    b->output_order[1][0] = 2;
    b->output_order[1][2] = 0;
}
static void output_twice(struct sh_scene *x, struct sh_batch *b) {
    (void)x;
    b->output_order[1][1] = 0;
}
static void output_count(struct sh_scene *x, struct sh_batch *b) {
    b->requests[1].count++;
    sh_sign_output(world(x), session(x), b, 0, 1, 1);
    b->requests[1].count--;
}
static void output_guest(struct sh_scene *x, struct sh_batch *b) {
    b->requests[1].guest++;
    sh_sign_output(world(x), session(x), b, 0, 1, 1);
    b->requests[1].guest--;
}
static void output_batch(struct sh_scene *x, struct sh_batch *b) {
    b->number = 2;
    sh_sign_output(world(x), session(x), b, 0, 1, 1);
    b->number = 3;
}
static void forged_input(struct sh_scene *x, struct sh_batch *b) {
    (void)x;
    b->inputs[1].signature[5] ^= 1;
}
static void forged_output(struct sh_scene *x, struct sh_batch *b) {
    (void)x;
    b->outputs[0][1].signature[5] ^= 1;
}

static void test_entries(void **state) {
    (void)state;
    static const struct {
        change_fn *change;
        enum csl_verdict want;
        const char *text;
    } cases[] = {
        {heads_count, CSL_VERDICT_MISMATCH, "another number of inferences"},
        {inputs_swapped, CSL_VERDICT_MISMATCH, "not those that the heads name"},
        {input_missing, CSL_VERDICT_MISMATCH, "not those that the heads name"},
        {commitments_none, CSL_VERDICT_INCOMPLETE, "commitments"},
        {commitments_fewer, CSL_VERDICT_MISMATCH, "as many commitments"},
        {commitments_other, CSL_VERDICT_MISMATCH, "commitments to inputs are not those"},
        {output_missing, CSL_VERDICT_INCOMPLETE, "outputs of 1 of its 3 requests"},
        {output_missing_first, CSL_VERDICT_INCOMPLETE, "outputs of 1 of its 3 requests"},
        {outputs_all_missing, CSL_VERDICT_INCOMPLETE, "an output without its statement"},
        {outputs_swapped, CSL_VERDICT_MISMATCH, "not those of the requests"},
        {output_twice, CSL_VERDICT_MISMATCH, "not those of the requests"},
        {output_count, CSL_VERDICT_MISMATCH, "not those of the requests"},
        {output_guest, CSL_VERDICT_MISMATCH, "not those of the requests"},
        {output_batch, CSL_VERDICT_MISMATCH, "outputs of several batches"},
        {forged_input, CSL_VERDICT_MISMATCH, "does not verify"},
        {forged_output, CSL_VERDICT_MISMATCH, "does not verify"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sh_scene x;
        sh_open(&x, 2, CSL_SIGN_BEFORE_OUTPUT);
        cases[i].change(&x, &x.batches[2]);
        sh_end(&x, CSL_OK);
        expect_text(&x, cases[i].want, cases[i].text);
        sh_close(&x);
    }
}

/* A party signs two outputs for one request: in two batches, and in two ledgers' worth of one. */
static void test_two_outputs(void **state) {
    (void)state;
    for (int other = 0; other < 2; other++) {
        struct sh_scene x;
        sh_open(&x, 2, CSL_SIGN_BEFORE_OUTPUT);
        for (size_t i = 0; i < SH_BATCHES; i++) {
            sh_enter(world(&x), session(&x), &x.batches[i]);
        }
        struct sh_batch *b = &x.batches[0];
        b->number = other == 0 ? 1 : 2;
        sh_sign_output(world(&x), session(&x), b, 1, 0, 77);
        b->n_outputs[1] = 1;
        sh_enter_outputs(world(&x), 1, session(&x), b);
        sh_export(&x, CSL_OK);
        scene_expect(&x.s, CSL_VERDICT_ATTRIBUTABLE, "hospital-b");
        sh_close(&x);
    }
}

/* ---- Statements of the other kind of session ---- */

/* The input and output of a batch in a shared session, requests in a session of one client. */
static void test_other_kind(void **state) {
    (void)state;
    struct sh_scene x;
    sh_open(&x, 2, CSL_SIGN_BEFORE_OUTPUT);
    struct w_batch b = {.number = 4, .count = 2};
    w_batch(world(&x), session(&x), &b);
    sh_end(&x, CSL_OK);
    expect_text(&x, CSL_VERDICT_MISMATCH, "does not fit the session");
    w_batch_clear(&b);
    sh_close(&x);

    sh_open(&x, 2, CSL_SIGN_BEFORE_OUTPUT);
    struct w_session *own = &x.s.sessions[1];
    w_session_enter(world(&x), own);
    for (size_t i = 0; i < SH_BATCHES; i++) {
        sh_sign(world(&x), own, &x.batches[i]);
        sh_enter(world(&x), own, &x.batches[i]);
    }
    w_session_end(world(&x), own, CSL_OK);
    sh_export(&x, CSL_OK);
    struct csl_audit_report r = w_verify(world(&x), x.s.bundles, x.s.n);
    bool fits = true, accused_other = false;
    for (size_t i = 0; i < r.n_findings; i++) {
        fits &= strstr(r.findings[i].text, "does not fit the session") == NULL;
        accused_other |= r.findings[i].verdict == CSL_VERDICT_ATTRIBUTABLE &&
                         strncmp(r.findings[i].who, "hospital-", 9) != 0;
    }
    assert_false(fits);
    assert_false(accused_other); /* the parties did use one dealing for two batches there */
    csl_audit_report_clear(&r);
    sh_close(&x);
}

/* ---- The end ---- */

/* After an error what was dealt ahead is told once; when all of it served, or nothing failed, nothing is. */
static void test_unused_after_error(void **state) {
    (void)state;
    struct sh_scene x;
    sh_open(&x, 2, CSL_SIGN_BEFORE_OUTPUT);
    sh_end(&x, CSL_EPEER);
    struct csl_audit_report r = w_verify(world(&x), x.s.bundles, x.s.n);
    assert_int_equal(r.verdict, CSL_VERDICT_INCOMPLETE);
    assert_int_equal(r.n_findings, 1);
    assert_non_null(strstr(r.findings[0].text, "correlations were left"));
    csl_audit_report_clear(&r);
    sh_close(&x);

    sh_open(&x, 2, CSL_SIGN_BEFORE_OUTPUT);
    x.batches[2].first_row = 2; /* to the end */
    sh_sign_heads(world(&x), session(&x), &x.batches[2]);
    sh_end(&x, CSL_EPEER);
    scene_expect(&x.s, CSL_VERDICT_CONSISTENT, NULL);
    sh_close(&x);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest),
        cmocka_unit_test(test_full_batch),
        cmocka_unit_test(test_rows_twice),
        cmocka_unit_test(test_rows_within),
        cmocka_unit_test(test_rows_beyond),
        cmocka_unit_test(test_rows_of_one_client),
        cmocka_unit_test(test_request_twice),
        cmocka_unit_test(test_client_signs_two),
        cmocka_unit_test(test_inputs_twice_frame_nobody),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_two_outputs),
        cmocka_unit_test(test_other_kind),
        cmocka_unit_test(test_unused_after_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
