/* audit verify: honest worlds are consistent, and what is missing is incomplete. */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/audit/scene.h"

/* ---- Honest ---- */

static void test_honest(void **state) {
    (void)state;
    static const unsigned parties[] = {2, 3, 16};
    for (size_t i = 0; i < 3; i++) {
        struct scene s;
        scene_honest(&s, parties[i], CSL_SIGN_BEFORE_OUTPUT);
        struct csl_audit_report r = w_verify(&s.w, s.bundles, s.n);
        w_print(&r);
        assert_int_equal(r.verdict, CSL_VERDICT_CONSISTENT);
        assert_int_equal(r.bundles, parties[i] + 2);
        assert_int_equal(r.sessions, 2);
        assert_int_equal(r.batches, 4);
        assert_int_equal(r.inferences, 14);
        assert_int_equal(r.cosigned, parties[i]);
        assert_int_equal(r.leaves, parties[i] * (1 + 2 * 2 + 4 * 3) + 4 + 2 + 1);
        csl_audit_report_clear(&r);
        scene_close(&s);
    }
}

static void test_sign_modes(void **state) {
    (void)state;
    for (int sign = CSL_SIGN_OFF; sign <= CSL_SIGN_BEFORE_OUTPUT; sign++) {
        struct scene s;
        scene_honest(&s, 3, (enum csl_audit_sign)sign);
        scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
        scene_close(&s);
    }
}

static void test_one_session(void **state) {
    (void)state;
    for (size_t which = 0; which < 2; which++) {
        struct scene s;
        scene_open(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
        scene_play(&s);
        scene_export_session(&s, which);
        scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
        s.n--; /* without the dealer's */
        scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
        csl_bundle_free(s.bundles[s.n]);
        scene_close(&s);
    }
}

/* A longer history that somebody saw says nothing about a session that is closed in a shorter one. */
static void test_longer_history(void **state) {
    (void)state;
    struct scene s;
    scene_open(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    scene_play(&s);
    scene_export_session(&s, 0);
    size_t n = s.w.logs[1].n;
    w_session_enter(&s.w, &s.sessions[0]);
    w_saw(&s.w, s.bundles[0], 1, n + 1);
    scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    scene_close(&s);
    scene_honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT); /* to the whole ledger it does */
    w_session_enter(&s.w, &s.sessions[0]);
    w_saw(&s.w, s.bundles[0], 1, s.w.logs[1].n);
    scene_expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
    scene_close(&s);
}

static void test_aborted(void **state) {
    (void)state;
    struct scene s;
    scene_open(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s.w, &s.sessions[0]);
    s.batches[0] = (struct w_batch){.number = 1, .count = 2};
    w_batch(&s.w, &s.sessions[0], &s.batches[0]);
    /* The second batch ends at the first party only; the others saw it fail. */
    s.batches[1] = (struct w_batch){.number = 2, .count = 2, .stop_after = 1};
    w_batch(&s.w, &s.sessions[0], &s.batches[1]);
    w_close_leaf(&s.w, 0, &s.sessions[0], CSL_EPEER, 2, 4);
    w_close_leaf(&s.w, 1, &s.sessions[0], CSL_EPEER, 1, 2);
    w_close_leaf(&s.w, 2, &s.sessions[0], CSL_EPEER, 1, 2);
    w_close_leaf(&s.w, 3, &s.sessions[0], CSL_EPEER, 2, 0);
    /* and one that failed before there was a statement */
    CSL_LEAF(leaf, body, CloseLeaf, CLOSE_LEAF, CLOSE, close);
    body.session_id = s.sessions[1].m.session_id;
    body.error = CSL_ETIMEOUT;
    w_append(&s.w, 0, &leaf);
    scene_export(&s);
    scene_drop_empty(&s);
    scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    scene_close(&s);
}

/* ---- What is missing ---- */

static void test_crash(void **state) {
    (void)state;
    struct scene s;
    scene_open(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    w_session_enter(&s.w, &s.sessions[0]);
    s.batches[0] = (struct w_batch){.number = 1, .count = 2};
    w_batch(&s.w, &s.sessions[0], &s.batches[0]);
    w_close_leaf(&s.w, 0, &s.sessions[0], CSL_EPEER, 1, 2);
    w_close_leaf(&s.w, 2, &s.sessions[0], CSL_EPEER, 1, 2); /* not at party 1, which crashed */
    scene_export(&s);
    scene_drop_empty(&s);
    scene_expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
    scene_close(&s);
}

static void test_signs_nothing(void **state) {
    (void)state;
    for (unsigned silent = 0; silent < 3; silent++) {
        struct scene s;
        scene_open(&s, 3, CSL_SIGN_AFTER_OUTPUT);
        w_session_enter(&s.w, &s.sessions[0]);
        s.batches[0] = (struct w_batch){.number = 1, .count = 2, .leave_out_head = silent + 1};
        w_batch(&s.w, &s.sessions[0], &s.batches[0]);
        w_session_end(&s.w, &s.sessions[0], CSL_OK);
        scene_export(&s);
        scene_drop_empty(&s);
        scene_expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
        scene_close(&s);
    }
}

/* The same before the output: there is no batch then, but what was dealt for it. */
static void test_stops_before_signing(void **state) {
    (void)state;
    for (int how = 0; how < 2; how++) {
        struct scene s;
        scene_open(&s, 3, CSL_SIGN_BEFORE_OUTPUT);
        w_session_enter(&s.w, &s.sessions[0]);
        s.batches[0] = (struct w_batch){.number = 1, .count = 2};
        w_batch(&s.w, &s.sessions[0], &s.batches[0]);
        s.batches[1] = (struct w_batch){.number = 2, .count = 2, .dealt_only = true};
        w_batch(&s.w, &s.sessions[0], &s.batches[1]);
        enum csl_err err = how == 0 ? CSL_EAUTH : CSL_OK; /* in order: it was dealt ahead, and not used */
        for (unsigned i = 0; i < 3; i++) {
            w_close_leaf(&s.w, i, &s.sessions[0], err, 1, 2);
        }
        w_close_leaf(&s.w, 3, &s.sessions[0], err, 2, 8);
        scene_export(&s);
        scene_drop_empty(&s);
        scene_expect(&s, how == 0 ? CSL_VERDICT_INCOMPLETE : CSL_VERDICT_CONSISTENT, NULL);
        scene_close(&s);
    }
}

/* Inputs are kept of a batch that broke off: one more than was counted, in a session that an error ended. */
static void test_broken_off(void **state) {
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct scene s;
        scene_open(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
        w_session_enter(&s.w, &s.sessions[0]);
        s.batches[0] = (struct w_batch){.number = 1, .count = 2};
        w_batch(&s.w, &s.sessions[0], &s.batches[0]);
        s.batches[1] = (struct w_batch){.number = 2, .count = 3, .inputs_only = true};
        w_batch(&s.w, &s.sessions[0], &s.batches[1]);
        enum csl_err err = how == 1 ? CSL_OK : CSL_EAUTH;
        for (unsigned i = 0; i < 2; i++) {
            w_close_leaf(&s.w, i, &s.sessions[0], err, how == 2 ? 0 : 1, how == 2 ? 0 : 2);
        }
        w_close_leaf(&s.w, 2, &s.sessions[0], err, 2, 5);
        scene_export(&s);
        scene_drop_empty(&s);
        scene_expect(&s, how == 0 ? CSL_VERDICT_INCOMPLETE : CSL_VERDICT_MISMATCH, NULL);
        scene_close(&s);
    }
}

static void test_no_bundle(void **state) {
    (void)state;
    struct scene s;
    scene_open(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    scene_expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
    scene_close(&s);
}

/* Removing any one entry of any ledger. */
static void test_removed(void **state) {
    (void)state;
    struct scene s;
    scene_honest(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    for (size_t b = 0; b < s.n; b++) {
        csl_bundle *bundle = s.bundles[b];
        for (size_t i = 0; i < bundle->n_leaves; i++) {
            Csl__Audit__BundleLeaf *kept = bundle->leaves[i];
            size_t after = bundle->n_leaves - i - 1;
            memmove(&bundle->leaves[i], &bundle->leaves[i + 1], after * sizeof kept);
            bundle->n_leaves--;
            scene_expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
            memmove(&bundle->leaves[i + 1], &bundle->leaves[i], after * sizeof kept);
            bundle->leaves[i] = kept;
            bundle->n_leaves++;
        }
    }
    scene_expect(&s, CSL_VERDICT_CONSISTENT, NULL);
    scene_close(&s);
}

/* The same where only one session is exported, so that no number shows the hole. */
static void test_removed_of_session(void **state) {
    (void)state;
    struct scene s;
    scene_open(&s, 2, CSL_SIGN_BEFORE_OUTPUT);
    scene_play(&s);
    scene_export_session(&s, 0);
    for (size_t b = 0; b < s.n; b++) {
        csl_bundle *bundle = s.bundles[b];
        for (size_t i = 0; i < bundle->n_leaves; i++) {
            Csl__Audit__BundleLeaf *kept = bundle->leaves[i];
            size_t after = bundle->n_leaves - i - 1;
            memmove(&bundle->leaves[i], &bundle->leaves[i + 1], after * sizeof kept);
            bundle->n_leaves--;
            scene_expect(&s, CSL_VERDICT_INCOMPLETE, NULL);
            memmove(&bundle->leaves[i + 1], &bundle->leaves[i], after * sizeof kept);
            bundle->leaves[i] = kept;
            bundle->n_leaves++;
        }
    }
    scene_close(&s);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest),        cmocka_unit_test(test_sign_modes),
        cmocka_unit_test(test_one_session),   cmocka_unit_test(test_longer_history),
        cmocka_unit_test(test_aborted),       cmocka_unit_test(test_crash),
        cmocka_unit_test(test_signs_nothing), cmocka_unit_test(test_stops_before_signing),
        cmocka_unit_test(test_broken_off),    cmocka_unit_test(test_no_bundle),
        cmocka_unit_test(test_removed),       cmocka_unit_test(test_removed_of_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
