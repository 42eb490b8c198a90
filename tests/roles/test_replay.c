/* The replay: honest parties are never accused, a party that cheats is named with batch, round and element,
 * and nobody can frame another. Parties are threads, everything else as in a session. */
#include "replay_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"

static void consistent(const struct rw_session *s, unsigned p) {
    struct rw_verdict v = rw_replay(s, p, 0);
    if (v.verdict != CSL_VERDICT_CONSISTENT || v.batches != RW_BATCHES) {
        fail_msg("party %u: verdict %d after %zu batches: %s", p, (int)v.verdict, v.batches, v.text);
    }
}

static void all_consistent(const struct rw_session *s, int but) {
    for (unsigned p = 0; p < s->w->n; p++) {
        if ((int)p != but) {
            consistent(s, p);
        }
    }
}

/* ATTRIBUTABLE to the party of the fault, there. round 0: the output. */
static struct rw_verdict named(const struct rw_session *s, uint32_t round) {
    const struct rw_fault *f = &s->fault;
    struct rw_verdict v = rw_replay(s, (unsigned)f->party, 0);
    if (v.verdict != CSL_VERDICT_ATTRIBUTABLE) {
        fail_msg("party %d, batch %u, round %u: verdict %d: %s", f->party, f->batch, round, (int)v.verdict,
                 v.text);
    }
    assert_string_equal(v.who, s->w->roster.members[f->party].name);
    assert_true(v.fault.found);
    assert_int_equal(v.batch, f->batch);
    assert_int_equal(v.fault.batch, f->batch);
    assert_int_equal(v.fault.round, round);
    return v;
}

static void accuses_nobody(struct rw_verdict v, enum csl_verdict want, const char *word) {
    if (v.verdict != want || strstr(v.text, word) == NULL) {
        fail_msg("verdict %d instead of %d (\"%s\"): %s", (int)v.verdict, (int)want, word, v.text);
    }
}

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
                all_consistent(s, -1);
                rw_session_free(s);
            }
            w.sign = CSL_SIGN_AFTER_OUTPUT;
            struct rw_session *s = rw_run(&w, RW_HONEST, 9);
            all_consistent(s, -1);
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
        all_consistent(s, -1);
        rw_session_free(s);
        for (uint32_t round = 1; round <= w.openings; round++) {
            struct rw_fault f = {.party = (int)(round % w.n), .batch = 1 + round % 2, .round = round};
            s = rw_run(&w, f, (uint8_t)round);
            (void)named(s, round);
            all_consistent(s, f.party);
            rw_session_free(s);
        }
        rw_set_profile(&w, CSL_PROFILE_LAN);
        s = rw_run(&w, RW_HONEST, 200);
        all_consistent(s, -1);
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
                struct rw_verdict v = named(s, round);
                assert_int_equal(v.fault.inference, 1);
                assert_int_equal(v.fault.element, 0);
                check_names(&w, round, &v.fault);
                if (p == round % w.n) { /* the others' replays are slow to repeat each time */
                    all_consistent(s, (int)p);
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
        struct rw_verdict v = named(s, 1);
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
            named(s, 1); /* the first thing that an input goes into */
            all_consistent(s, (int)p);
            rw_session_free(s);
            s = rw_run(&w, (struct rw_fault){.party = (int)p, .batch = 1, .output = true}, 2);
            struct rw_verdict v = named(s, 0);
            assert_string_equal(v.fault.step, "output");
            all_consistent(s, (int)p);
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
        assert_int_equal(named(s, 1).fault.inference, 2);
        all_consistent(s, 0);
        struct csl_record *r = &s->batches[0][1];
        r->counters[1] = r->first + 1;
        assert_int_equal(csl_index_seed(r->seeds + CSL_INDEX_SEED_BYTES, &w.epoch_keys[0], 3, r->counters[1]),
                         CSL_OK);
        accuses_nobody(rw_replay(s, 0, 0), CSL_VERDICT_MISMATCH, "not what it signed");
        rw_sign_heads(s, 0, 0); /* its own anew: the others' are not of these rows */
        accuses_nobody(rw_replay(s, 0, 0), CSL_VERDICT_MISMATCH, "is not what");
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
        all_consistent(s, -1);
        rw_session_free(s);
        rw_close(&w);
    }
}

/* ---- Changed views ---- */

struct change {
    const char *what, *word;
    void (*make)(struct rw_session *s, unsigned p);
};

static struct csl_record *first(struct rw_session *s, unsigned p) {
    return &s->batches[p][0];
}
static void received(struct rw_session *s, unsigned p) {
    first(s, p)->rounds[2].messages[(p + 1) % s->w->n][0] ^= 1;
}
static void sent(struct rw_session *s, unsigned p) {
    first(s, p)->rounds[2].messages[p][0] ^= 1;
}
static void seed(struct rw_session *s, unsigned p) {
    first(s, p)->seeds[70] ^= 1;
}
static void seed_leaf(struct rw_session *s, unsigned p) {
    first(s, p)->seed_leaves[33] ^= 1;
}
static void counter(struct rw_session *s, unsigned p) {
    first(s, p)->counters[1]--;
}
static void first_counter(struct rw_session *s, unsigned p) {
    first(s, p)->first--;
    first(s, p)->counters[0]--;
    first(s, p)->counters[1]--;
}
static void correction(struct rw_session *s, unsigned p) {
    if (p + 1 == s->w->n) {
        first(s, p)->corrections[3] ^= 1;
    } else {
        seed(s, p);
    }
}
static void dealt(struct rw_session *s, unsigned p) {
    first(s, p)->dealt.signature[5] ^= 1;
}
static void input(struct rw_session *s, unsigned p) {
    first(s, p)->inputs[0].share[1] ^= 1;
}
static void salt(struct rw_session *s, unsigned p) {
    first(s, p)->inputs[0].salt[1] ^= 1;
}
static void input_statement(struct rw_session *s, unsigned p) {
    first(s, p)->inputs[0].statement.signature[1] ^= 1;
}
static void head(struct rw_session *s, unsigned p) {
    first(s, p)->heads[(p + 1) % s->w->n].signature[1] ^= 1;
}
static void own_head(struct rw_session *s, unsigned p) {
    first(s, p)->heads[p].signature[1] ^= 1;
}
static void output(struct rw_session *s, unsigned p) {
    first(s, p)->outputs[0].share[0] ^= 1;
}
static void output_salt(struct rw_session *s, unsigned p) {
    first(s, p)->outputs[0].salt[0] ^= 1;
}
static void output_signature(struct rw_session *s, unsigned p) {
    first(s, p)->outputs[0].statement.signature[0] ^= 1;
}
static void output_statement(struct rw_session *s, unsigned p) { /* another one, that nobody signed */
    first(s, p)->outputs[0].statement.statement[first(s, p)->outputs[0].statement.n - 1] ^= 1;
}
static void larger(struct rw_session *s, unsigned p) {
    first(s, p)->count = RW_COUNT + 1; /* nothing of the size is read */
}
static void fewer_rounds(struct rw_session *s, unsigned p) {
    free(first(s, p)->rounds[--first(s, p)->n_rounds].messages[0]);
}
static void batches(struct rw_session *s, unsigned p) {
    struct csl_record swapped = s->batches[p][0];
    s->batches[p][0] = s->batches[p][1];
    s->batches[p][1] = swapped;
}
static void nonces(struct rw_session *s, unsigned p) {
    s->views[p].record.nonces[1] ^= 1;
}
static void session_signature(struct rw_session *s, unsigned p) {
    s->views[p].record.signatures[(p + 1) % s->w->n][1] ^= 1;
}
static void statement(struct rw_session *s, unsigned p) {
    s->views[p].record.statement[s->views[p].record.n_statement - 1] ^= 3;
}
static void manifest(struct rw_session *s, unsigned p) {
    s->views[p].manifest_signature[1] ^= 1;
}
static void model_part(struct rw_session *s, unsigned p) {
    s->views[p].part[40] ^= 1;
}
static void masked_weights(struct rw_session *s, unsigned p) {
    s->views[p].e[1][0] ^= 1;
}
static void request(struct rw_session *s, unsigned p) {
    s->views[p].request.max_batch++;
}

static const struct change changes[] = {
    {"a received message", "is not what", received},
    {"a sent message", "not what it signed", sent},
    {"a seed", "seed", seed},
    {"a leaf of a seed", "seeds", seed_leaf},
    {"a counter", "seed of inference 2", counter},
    {"the first counter", "first counter", first_counter},
    {"a correction", "inference", correction},
    {"the dealer's signature", "dealer signed", dealt},
    {"the input share", "committed to", input},
    {"its salt", "committed to", salt},
    {"the input's signature", "not signed by clinic", input_statement},
    {"a peer's signature", "does not carry its signature", head},
    {"its own signature", "does not carry its signature", own_head},
    {"the output share", "output share", output},
    {"its salt", "output share", output_salt},
    {"its signature", "output share", output_signature},
    {"its statement", "output share", output_statement},
    {"a larger count", "session allows 2", larger},
    {"a message less", "not what", fewer_rounds},
    {"batches swapped", "where 1 is due", batches},
    {"the nonces", "nonces", nonces},
    {"a session signature", "not signed by", session_signature},
    {"the statement", "", statement},
    {"the manifest's signature", "not signed by the model's owner", manifest},
    {"the share of the model", "share of the model", model_part},
    {"the masked weights", "masked weights", masked_weights},
    {"the request", "request", request},
};

/* A party that lies about what it received, or anybody who changes a view: nobody is accused. */
static void changed_views_accuse_nobody(void **state) {
    (void)state;
    struct rw w;
    rw_open(&w, 3, false, false);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        for (unsigned p = 0; p < w.n; p += 2) {
            struct rw_session *s = rw_run(&w, RW_HONEST, 1);
            changes[i].make(s, p);
            struct rw_verdict v = rw_replay(s, p, 0);
            if (v.verdict != CSL_VERDICT_MISMATCH || strstr(v.text, changes[i].word) == NULL) {
                fail_msg("%s of party %u: verdict %d: %s", changes[i].what, p, (int)v.verdict, v.text);
            }
            assert_false(v.fault.found);
            rw_session_free(s);
        }
    }
    rw_close(&w);
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
    first(s, 1)->rounds[3].messages[0][0] ^= 1;
    w.keys[0] = w.keys[1];
    rw_sign_heads(s, 1, 0);
    w.keys[0] = honest;
    rw_bundles(s);
    accuses_nobody(rw_replay(s, 1, 0), CSL_VERDICT_MISMATCH, "does not carry its signature");
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
    first(s, 1)->rounds[3].messages[1][0] ^= 1; /* what it should have sent */
    rw_sign_heads(s, 1, 1);
    struct rw_verdict v = rw_replay(s, 1, 0);
    assert_int_equal(v.verdict, CSL_VERDICT_ATTRIBUTABLE);
    assert_string_equal(v.who, "hospital-b");
    assert_non_null(strstr(v.text, "two different heads"));
    accuses_nobody(rw_replay(s, 1, 7), CSL_VERDICT_INCOMPLETE, "no other site's bundle");
    accuses_nobody(rw_replay(s, 1, 5), CSL_VERDICT_ATTRIBUTABLE,
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
    first(s, 2)->rounds[0].messages[0][0] ^= 1;
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
    struct rw_session *s = rw_run(&w, RW_HONEST, 1), *t = rw_run(&w, RW_HONEST, 1);
    struct csl_record *r = first(s, 0);
    Csl__Audit__OutputStatement *m = NULL;
    struct csl_signed other, mine = r->outputs[0].statement;
    assert_int_equal(csl_output_statement_decode(&m, mine.statement, mine.n, NULL), CSL_OK);
    m->commitment.data[0] ^= 1;
    assert_int_equal(csl_statement_sign(&other, CSL_STATEMENT_OUTPUT, &m->base, w.keys[0], NULL), CSL_OK);
    csl_statement_free(m);
    r->outputs[0].statement = other;
    rw_bundles(s); /* its ledger says so, its view the other */
    r->outputs[0].statement = mine;
    csl_signed_clear(&other);
    struct rw_verdict v = rw_replay(s, 0, 0);
    assert_int_equal(v.verdict, CSL_VERDICT_ATTRIBUTABLE);
    assert_non_null(strstr(v.text, "two different commitments"));
    rw_session_free(s);
    rw_session_free(t);
    rw_close(&w);
}

/* ---- Other sessions, silence ---- */

static void heads_of_another_session_do_not_serve(void **state) {
    (void)state;
    struct rw w;
    rw_open(&w, 3, false, false);
    struct rw_session *s = rw_run(&w, RW_HONEST, 1), *t = rw_run(&w, RW_HONEST, 2);
    for (unsigned p = 0; p < w.n; p++) {
        struct csl_signed swapped = first(s, 0)->heads[p];
        first(s, 0)->heads[p] = first(t, 0)->heads[p];
        accuses_nobody(rw_replay(s, 0, 0), CSL_VERDICT_MISMATCH, "not what");
        first(s, 0)->heads[p] = swapped;
    }
    struct csl_record mine = *first(s, 0); /* a whole batch of another session */
    *first(s, 0) = *first(t, 0);
    accuses_nobody(rw_replay(s, 0, 0), CSL_VERDICT_MISMATCH, "another session");
    *first(s, 0) = mine;
    consistent(s, 0);
    csl_bundle *bundle = s->bundles[1]; /* bundles of another session say nothing of this one */
    s->bundles[1] = t->bundles[1];
    accuses_nobody(rw_replay(s, 0, 4), CSL_VERDICT_INCOMPLETE, "no other site's bundle");
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
    csl_signed_clear(&first(s, 0)->heads[2]);
    struct rw_verdict v = rw_replay(s, 0, 0);
    accuses_nobody(v, CSL_VERDICT_INCOMPLETE, "hospital-c signed nothing");
    rw_session_free(s);
    w.sign = CSL_SIGN_OFF;
    s = rw_run(&w, RW_HONEST, 1);
    accuses_nobody(rw_replay(s, 0, 0), CSL_VERDICT_INCOMPLETE, "audit.sign");
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
    assert_int_equal(csl_replay_batch(r, first(s, 0), NULL), CSL_OK);
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
        cmocka_unit_test(changed_views_accuse_nobody),
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
