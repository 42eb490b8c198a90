/* The replay: honest parties are never accused, a party that cheats is named with batch, round and element,
 * and nobody can frame another. Parties are threads, everything else as in a session. */
#include "replay_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const unsigned sizes[] = {2, 3, 5};
enum { N_SIZES = 3 };

/* ---- Honest ---- */

static void honest_parties_are_consistent(void **state) {
    (void)state;
    for (int i = 0; i < N_SIZES; i++) {
        for (int form = 0; form < 4; form++) {
            struct rw w;
            rw_open(&w, sizes[i], (form & 1) != 0, (form & 2) != 0);
            for (uint8_t id = 0; id < 2; id++) {
                struct rw_session *s = rw_run(&w, RW_HONEST, id);
                rw_all_consistent(s, -1);
                rw_session_free(s);
            }
            w.sign = CSL_SIGN_AFTER_OUTPUT;
            struct rw_session *s = rw_run(&w, RW_HONEST, 9);
            rw_all_consistent(s, -1);
            rw_session_free(s);
            rw_close(&w);
        }
    }
}

/* The statement says which form the comparisons had: sessions of both profiles over one package. */
static void profiles_are_replayed(void **state) {
    (void)state;
    for (int i = 0; i < N_SIZES; i++) {
        struct rw w;
        rw_open(&w, sizes[i], true, false);
        uint32_t lan = w.openings;
        rw_set_profile(&w, CSL_PROFILE_WAN);
        assert_true(w.openings < lan);
        struct rw_session *s = rw_run(&w, RW_HONEST, 1);
        rw_all_consistent(s, -1);
        rw_session_free(s);
        for (uint32_t round = 1; round <= w.openings; round++) {
            struct rw_fault f = {.party = (int)(round % w.n), .batch = 1 + round % 2, .round = round};
            s = rw_run(&w, f, (uint8_t)round);
            (void)rw_named(s, round);
            rw_all_consistent(s, f.party);
            rw_session_free(s);
        }
        rw_set_profile(&w, CSL_PROFILE_LAN);
        s = rw_run(&w, RW_HONEST, 200);
        rw_all_consistent(s, -1);
        rw_session_free(s);
        rw_close(&w);
    }
}

/* ---- Cheating parties ---- */

/* What the plan opens in each round: name of the step's kind and the letter. */
static void check_names(const struct rw *w, uint32_t round, const struct csl_replay_fault *f) {
    uint32_t at = 0;
    for (size_t d = 0; d < w->n_demands; d++) {
        const struct csl_demand *demand = &w->demands[d];
        bool compares = demand->kind != CSL_DEMAND_LINEAR && demand->kind != CSL_DEMAND_TRUNC;
        unsigned n = !compares ? 1 : demand->trunc.n_digits > 1 ? 3 : 2;
        if (round > at + n) {
            at += n;
            continue;
        }
        char letter = demand->kind == CSL_DEMAND_LINEAR ? 'D'
                      : round == at + 1                 ? 'c'
                      : round == at + n                 ? 'e'
                                                        : 'u';
        assert_int_equal(f->what[0], letter);
        assert_int_equal(strcmp(f->step, "arg-max") == 0, demand->kind == CSL_DEMAND_ARGMAX);
        return;
    }
    fail_msg("round %u is beyond the plan", round);
}

/* Every opening of every kind of layer, at every party. */
static void wrong_openings_are_named(void **state) {
    (void)state;
    for (int i = 0; i < N_SIZES; i++) {
        struct rw w;
        rw_open(&w, sizes[i], true, i == 1);
        bool kinds[CSL_DEMAND_ARGMAX + 1] = {false};
        for (size_t d = 0; d < w.n_demands; d++) {
            kinds[w.demands[d].kind] = true;
        }
        for (int k = CSL_DEMAND_LINEAR; k <= CSL_DEMAND_ARGMAX; k++) {
            if (!kinds[k]) {
                fail_msg("the network has no demand of kind %d", k);
            }
        }
        for (uint32_t round = 1; round <= w.openings; round++) {
            for (unsigned p = 0; p < w.n; p++) {
                struct rw_fault f = {.party = (int)p, .batch = 1 + round % 2, .round = round};
                struct rw_session *s = rw_run(&w, f, (uint8_t)round);
                struct rw_verdict v = rw_named(s, round);
                assert_int_equal(v.fault.inference, 1);
                assert_int_equal(v.fault.element, 0);
                check_names(&w, round, &v.fault);
                if (p == round % w.n) { /* the others' replays are slow to repeat each time */
                    rw_all_consistent(s, (int)p);
                }
                rw_session_free(s);
            }
        }
        rw_close(&w);
    }
}

/* The second inference of a batch: its elements are counted from its own first. */
static void the_element_is_found(void **state) {
    (void)state;
    struct rw w;
    rw_open(&w, 3, false, false);
    unsigned bits = w.demands[0].bits;
    size_t each = csl_plan_n_inputs(&w.net->plan);
    for (size_t element = 0; element < each; element += 3) {
        size_t bit = (each + element) * bits, byte = (bit + 7) / 8; /* its first whole byte */
        struct rw_fault f = {.party = 1, .batch = 2, .round = 1, .byte = (unsigned)byte};
        struct rw_session *s = rw_run(&w, f, 1);
        struct rw_verdict v = rw_named(s, 1);
        assert_int_equal(v.fault.inference, 2);
        assert_int_equal(v.fault.element, element);
        assert_int_equal(strncmp(v.fault.step, "conv", 4), 0);
        rw_session_free(s);
    }
    rw_close(&w);
}

static void other_shares_are_named(void **state) {
    (void)state;
    for (int i = 0; i < N_SIZES; i++) {
        struct rw w;
        rw_open(&w, sizes[i], i == 1, false);
        for (unsigned p = 0; p < w.n; p++) {
            struct rw_session *s =
                rw_run(&w, (struct rw_fault){.party = (int)p, .batch = 2, .input = true}, 1);
            rw_named(s, 1); /* the first thing that an input goes into */
            rw_all_consistent(s, (int)p);
            rw_session_free(s);
            s = rw_run(&w, (struct rw_fault){.party = (int)p, .batch = 1, .output = true}, 2);
            struct rw_verdict v = rw_named(s, 0);
            assert_string_equal(v.fault.step, "output");
            rw_all_consistent(s, (int)p);
            rw_session_free(s);
            for (int layer = 0; layer < (int)w.net->plan.n_layers; layer++) {
                struct rw_fault f = {.party = (int)p, .batch = 1, .weights = true, .layer = layer};
                s = rw_run(&w, f, 3);
                v = rw_replay(s, p, 0);
                assert_int_equal(v.verdict, CSL_VERDICT_ATTRIBUTABLE);
                assert_string_equal(v.who, w.roster.members[p].name);
                bool last = layer + 1 == (int)w.net->plan.n_layers;
                assert_true(v.fault.round > 1 ||
                            (last && !w.label)); /* what the layer gives is opened later */
                assert_true(!last || w.label || v.fault.round == 0);
                rw_session_free(s);
            }
        }
        rw_close(&w);
    }
}

/* With a row that was checked away it computes rightly, and with the wrong one: its view may say which it
 * was, but everybody signed for the rows that were due. */
static void another_row_is_named(void **state) {
    (void)state;
    static const enum csl_audit_sign forms[] = {CSL_SIGN_BEFORE_OUTPUT, CSL_SIGN_AFTER_OUTPUT};
    for (int i = 0; i < 2 * N_SIZES; i++) {
        struct rw w;
        rw_open(&w, sizes[i / 2], false, false);
        w.sign = forms[i % 2];
        struct rw_session *s = rw_run(&w, (struct rw_fault){.party = 0, .batch = 2, .row = true}, 4);
        assert_int_equal(rw_named(s, 1).fault.inference, 2);
        rw_all_consistent(s, 0);
        struct csl_record *r = &s->batches[0][1];
        r->counters[1] = r->first + 1;
        assert_int_equal(csl_index_seed(r->seeds + CSL_INDEX_SEED_BYTES, &w.epoch_keys[0], 3, r->counters[1]),
                         CSL_OK);
        rw_accuses_nobody(rw_replay(s, 0, 0), CSL_VERDICT_MISMATCH, "not what it signed");
        rw_sign_heads(s, 0, 0); /* its own anew: the others' are not of these rows */
        rw_accuses_nobody(rw_replay(s, 0, 0), CSL_VERDICT_MISMATCH, "is not what");
        rw_session_free(s);
        rw_close(&w);
    }
}

/* Whatever the dealer deals and signs: no party is to blame. */
static void a_cheating_dealer_accuses_nobody(void **state) {
    (void)state;
    for (int i = 0; i < N_SIZES; i++) {
        struct rw w;
        rw_open(&w, sizes[i], false, false);
        struct rw_session *s = rw_run(&w, (struct rw_fault){.party = -1, .batch = 1, .dealer = true}, 1);
        rw_all_consistent(s, -1);
        rw_session_free(s);
        rw_close(&w);
    }
}

/* ---- Framing ---- */

/* A receiver that claims another message needs the sender's signature, and with it the sender would have
 * signed twice. Here the receiver has made up both: the signature is its own. */
static void a_receiver_cannot_frame(void **state) {
    (void)state;
    struct rw w;
    rw_open(&w, 3, false, false);
    struct rw_session *s = rw_run(&w, RW_HONEST, 1);
    EVP_PKEY *honest = w.keys[0];
    rw_first(s, 1)->rounds[3].messages[0][0] ^= 1;
    w.keys[0] = w.keys[1];
    rw_sign_heads(s, 1, 0);
    w.keys[0] = honest;
    rw_bundles(s);
    rw_accuses_nobody(rw_replay(s, 1, 0), CSL_VERDICT_MISMATCH, "does not carry its signature");
    struct rw_verdict v = rw_replay(s, 0, 0); /* the ledger of hospital-b holds the forgery now */
    assert_int_equal(v.verdict, CSL_VERDICT_CONSISTENT);
    rw_session_free(s);
    rw_close(&w);
}

/* A cheat who signs an honest history for the judge contradicts what it had signed for its peers; and what
 * only it shows proves nothing. */
static void a_second_history_is_a_proof(void **state) {
    (void)state;
    struct rw w;
    rw_open(&w, 3, false, false);
    struct rw_session *s = rw_run(&w, (struct rw_fault){.party = 1, .batch = 1, .round = 4}, 1);
    rw_first(s, 1)->rounds[3].messages[1][0] ^= 1; /* what it should have sent */
    rw_sign_heads(s, 1, 1);
    struct rw_verdict v = rw_replay(s, 1, 0);
    assert_int_equal(v.verdict, CSL_VERDICT_ATTRIBUTABLE);
    assert_string_equal(v.who, "hospital-b");
    assert_non_null(strstr(v.text, "two different heads"));
    rw_accuses_nobody(rw_replay(s, 1, 7), CSL_VERDICT_INCOMPLETE, "no other site's bundle");
    rw_accuses_nobody(rw_replay(s, 1, 5), CSL_VERDICT_ATTRIBUTABLE,
                      "two different heads"); /* its own ledger's */
    rw_session_free(s);
    rw_close(&w);
}

/* The same of a peer whose head differs between the view and another's ledger. */
static void a_peer_with_two_heads_is_named(void **state) {
    (void)state;
    struct rw w;
    rw_open(&w, 3, false, false);
    struct rw_session *s = rw_run(&w, RW_HONEST, 1);
    rw_first(s, 2)->rounds[0].messages[0][0] ^= 1;
    rw_sign_heads(s, 2, 0); /* hospital-a told hospital-c something else, and signed it */
    rw_bundles(s);
    struct rw_verdict v = rw_replay(s, 1, 0);
    assert_int_equal(v.verdict, CSL_VERDICT_ATTRIBUTABLE);
    assert_string_equal(v.who, "hospital-a");
    rw_session_free(s);
    rw_close(&w);
}

static void two_outputs_are_a_proof(void **state) {
    (void)state;
    struct rw w;
    rw_open(&w, 2, false, false);
    struct rw_session *s = rw_run(&w, RW_HONEST, 1);
    rw_commit_otherwise(s, 0, 0, 0);
    struct rw_verdict v = rw_replay(s, 0, 0);
    assert_int_equal(v.verdict, CSL_VERDICT_ATTRIBUTABLE);
    assert_non_null(strstr(v.text, "two different commitments"));
    rw_session_free(s);
    rw_close(&w);
}

/* ---- Other sessions, silence ---- */

static void heads_of_another_session_do_not_serve(void **state) {
    (void)state;
    struct rw w;
    rw_open(&w, 3, false, false);
    struct rw_session *s = rw_run(&w, RW_HONEST, 1), *t = rw_run(&w, RW_HONEST, 2);
    for (unsigned p = 0; p < w.n; p++) {
        struct csl_signed swapped = rw_first(s, 0)->heads[p];
        rw_first(s, 0)->heads[p] = rw_first(t, 0)->heads[p];
        rw_accuses_nobody(rw_replay(s, 0, 0), CSL_VERDICT_MISMATCH, "not what");
        rw_first(s, 0)->heads[p] = swapped;
    }
    struct csl_record mine = *rw_first(s, 0); /* a whole batch of another session */
    *rw_first(s, 0) = *rw_first(t, 0);
    rw_accuses_nobody(rw_replay(s, 0, 0), CSL_VERDICT_MISMATCH, "another session");
    *rw_first(s, 0) = mine;
    rw_consistent(s, 0);
    csl_bundle *bundle = s->bundles[1]; /* bundles of another session say nothing of this one */
    s->bundles[1] = t->bundles[1];
    rw_accuses_nobody(rw_replay(s, 0, 4), CSL_VERDICT_INCOMPLETE, "no other site's bundle");
    s->bundles[1] = bundle;
    rw_session_free(s);
    rw_session_free(t);
    rw_close(&w);
}

static void silence_is_incomplete(void **state) {
    (void)state;
    struct rw w;
    rw_open(&w, 3, false, false);
    struct rw_session *s = rw_run(&w, RW_HONEST, 1);
    csl_signed_clear(&rw_first(s, 0)->heads[2]);
    struct rw_verdict v = rw_replay(s, 0, 0);
    rw_accuses_nobody(v, CSL_VERDICT_INCOMPLETE, "hospital-c signed nothing");
    rw_session_free(s);
    w.sign = CSL_SIGN_OFF;
    s = rw_run(&w, RW_HONEST, 1);
    rw_accuses_nobody(rw_replay(s, 0, 0), CSL_VERDICT_INCOMPLETE, "audit.sign");
    rw_session_free(s);
    rw_close(&w);
}

/* The view ends before the ledgers do. */
static void missing_batches_are_incomplete(void **state) {
    (void)state;
    struct rw w;
    rw_open(&w, 2, false, false);
    struct rw_session *s = rw_run(&w, RW_HONEST, 1);
    struct csl_audit_report report = {.verdict = CSL_VERDICT_CONSISTENT};
    const csl_bundle *bundles[2] = {s->bundles[0], s->bundles[1]};
    struct csl_replay_options opt = {.roster = &w.roster,
                                     .roster_digest = w.roster_digest,
                                     .party = "hospital-a",
                                     .bundles = bundles,
                                     .n_bundles = 2};
    struct csl_replay *r = NULL;
    assert_int_equal(csl_replay_begin(&r, &opt, &s->views[0], &report, NULL), CSL_OK);
    assert_int_equal(csl_replay_batch(r, rw_first(s, 0), NULL), CSL_OK);
    assert_int_equal(csl_replay_end(r, false, "no room", NULL), CSL_OK);
    assert_int_equal(report.verdict, CSL_VERDICT_INCOMPLETE);
    assert_non_null(strstr(report.findings[0].text, "no room"));
    csl_replay_free(r);
    csl_audit_report_clear(&report);
    rw_session_free(s);
    rw_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_parties_are_consistent),
        cmocka_unit_test(profiles_are_replayed),
        cmocka_unit_test(wrong_openings_are_named),
        cmocka_unit_test(the_element_is_found),
        cmocka_unit_test(other_shares_are_named),
        cmocka_unit_test(another_row_is_named),
        cmocka_unit_test(a_cheating_dealer_accuses_nobody),
        cmocka_unit_test(a_receiver_cannot_frame),
        cmocka_unit_test(a_second_history_is_a_proof),
        cmocka_unit_test(a_peer_with_two_heads_is_named),
        cmocka_unit_test(two_outputs_are_a_proof),
        cmocka_unit_test(heads_of_another_session_do_not_serve),
        cmocka_unit_test(silence_is_incomplete),
        cmocka_unit_test(missing_batches_are_incomplete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
