/* Ledgers that are shown against what their sites anchored, on a real chain; and a node that makes things up.
 */
#include "tests/chain/anvil_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "audit/verify.h"
#include "chain/anchored.h"

static const uint8_t roster_digest[32] = {7};

struct trial {
    struct csl_anchored a;
    struct csl_audit_report r;
};

static void clear(struct trial *t) {
    csl_audit_report_clear(&t->r);
}

static csl_bundle *bundle_of(struct csl_ledger *l) {
    struct csl_diag diag = {""};
    csl_bundle *b = NULL;
    assert_int_equal(csl_bundle_export(&b, l, NAME, roster_digest, NULL, NULL, 0, &diag), CSL_OK);
    return b;
}

static void verify(struct trial *t, struct site *s, const csl_bundle *b, uint32_t confirmations) {
    struct csl_auditee who = {.name = NAME, .roles = 1, .party = 0, .sign_key = key};
    struct csl_anchored_site site = {.member = &who, .account = s->signer.address, .consortium = CONSORTIUM};
    memset(t, 0, sizeof *t);
    t->r.verdict = CSL_VERDICT_CONSISTENT;
    assert_int_equal(csl_anchored_verify(&t->a, &t->r, &s->opt.contract, confirmations, &site, b, &s->diag),
                     CSL_OK);
}

/* One finding, and what it says. */
static void expect_finding(const struct trial *t, enum csl_verdict v, const char *text) {
    if (t->r.n_findings != 1 || t->r.verdict != v || strstr(t->r.findings[0].text, text) == NULL) {
        for (size_t i = 0; i < t->r.n_findings; i++) {
            print_error("%d: %s\n", (int)t->r.findings[i].verdict, t->r.findings[i].text);
        }
    }
    assert_int_equal(t->r.n_findings, 1);
    assert_int_equal(t->r.verdict, v);
    assert_string_equal(t->r.findings[0].who, NAME);
    assert_non_null(strstr(t->r.findings[0].text, text));
}

static void what_was_anchored(void **state) {
    (void)state;
    struct site s;
    struct trial t;
    site_open(&s, 3);
    csl_bundle *b = bundle_of(s.ledger);
    verify(&t, &s, b, 1);
    assert_int_equal(t.r.verdict, CSL_VERDICT_CONSISTENT); /* nothing is anchored: told, and no fault */
    assert_true(t.a.asked);
    assert_int_equal(t.a.n_anchors, 0);
    assert_int_equal(t.a.covered, 0);
    clear(&t);
    csl_bundle_free(b);

    settle(&s);
    add_leaves(&s, 2);
    settle(&s);
    add_leaves(&s, 1);
    b = bundle_of(s.ledger);
    verify(&t, &s, b, 1);
    assert_int_equal(t.r.verdict, CSL_VERDICT_CONSISTENT);
    assert_int_equal(t.a.entries, 6);
    assert_int_equal(t.a.n_final, 2);
    assert_int_equal(t.a.n_compared, 2);
    assert_int_equal(t.a.covered, 5);
    assert_int_equal(t.a.newest.index, 1);
    assert_true(t.a.whole);
    assert_int_equal(t.a.n_beyond, 0);
    assert_int_equal(t.a.event.previous.size, 3);
    clear(&t);

    verify(&t, &s, b, 10000); /* none of them is final by such a roster */
    assert_int_equal(t.r.verdict, CSL_VERDICT_CONSISTENT);
    assert_int_equal(t.a.n_anchors, 2);
    assert_int_equal(t.a.n_final, 0);
    assert_int_equal(t.a.covered, 0);
    clear(&t);

    size_t n = b->n_leaves; /* as a session's bundle, which has not all entries: only equal sizes compare */
    b->n_leaves = 0;
    verify(&t, &s, b, 1);
    expect_finding(&t, CSL_VERDICT_INCOMPLETE, "none of the 2 anchors");
    assert_int_equal(t.a.n_final, 2);
    assert_int_equal(t.a.n_compared,
                     0); /* nobody cosigned here, so that only the newest checkpoint is shown */
    assert_false(t.a.whole);
    b->n_leaves = n;
    clear(&t);
    csl_bundle_free(b);
    site_close(&s);
}

static void covering(void **state) {
    (void)state;
    struct site s;
    struct csl_anchor_entry e;
    struct csl_anchor_event event;
    uint64_t confirmations = 0;
    bool found = false;
    site_open(&s, 2);
    for (unsigned i = 0; i < 5; i++) {
        settle(&s);
        add_leaves(&s, 2);
    }
    for (uint64_t leaf = 0; leaf < 12; leaf++) {
        assert_int_equal(csl_anchored_covering(&e, &event, &confirmations, &found, &s.opt.contract,
                                               s.signer.address, ORIGIN, leaf, &s.diag),
                         CSL_OK);
        assert_int_equal(found, leaf < 10);
        if (found) {
            assert_int_equal(e.index, leaf / 2);
            assert_int_equal(e.is.size, leaf / 2 * 2 + 2);
            assert_int_equal(event.previous.size, leaf / 2 * 2);
            assert_true(confirmations >= 1);
        }
    }
    site_close(&s);
}

static void incomplete_is_no_accusation(void **state) {
    (void)state;
    struct site s;
    struct trial t;
    site_open(&s, 2);
    csl_bundle *old = bundle_of(s.ledger);
    add_leaves(&s, 2);
    settle(&s);
    verify(&t, &s, old, 1);
    expect_finding(&t, CSL_VERDICT_INCOMPLETE, "4 were anchored");
    clear(&t);
    const char *url = s.rpc.url;
    s.rpc.url = "http://127.0.0.1:1";
    verify(&t, &s, old, 1);
    expect_finding(&t, CSL_VERDICT_INCOMPLETE, "were not looked at");
    assert_false(t.a.asked);
    clear(&t);
    s.rpc.url = url;
    s.opt.contract.chain_id = 5;
    verify(&t, &s, old, 1);
    expect_finding(&t, CSL_VERDICT_INCOMPLETE, "chain 31337");
    clear(&t);
    csl_bundle_free(old);
    site_close(&s);
}

static void another_ledger_names_its_site(void **state) {
    (void)state;
    struct site s, other;
    struct trial t;
    site_open(&s, 3);
    settle(&s);
    add_leaves(&s, 2);
    settle(&s);
    site_open(&other, 6); /* rewritten: the same key and origin, other entries */
    csl_bundle *b = bundle_of(other.ledger);
    verify(&t, &s, b, 1);
    expect_finding(&t, CSL_VERDICT_ATTRIBUTABLE, "contradicts its anchor 0");
    assert_int_equal(t.a.covered, 0);
    clear(&t);

    size_t n = b->n_leaves; /* one entry less: it proves nothing about sizes without a checkpoint */
    b->n_leaves--;
    verify(&t, &s, b, 1);
    expect_finding(&t, CSL_VERDICT_INCOMPLETE, "could be compared");
    assert_int_equal(t.a.n_compared, 0);
    b->n_leaves = n;
    clear(&t);

    b->leaves[5]->leaf.data[0] ^= 1; /* entries that the checkpoint does not sign are nobody's */
    verify(&t, &s, b, 1);
    expect_finding(&t, CSL_VERDICT_INCOMPLETE, "could be compared");
    assert_int_equal(t.a.n_compared, 0);
    clear(&t);
    csl_bundle_free(b);
    site_close(&other);
    site_close(&s);
}

/* The slot of the first anchor's root: keccak256(keccak256(origin | keccak256(member | 0))). */
static void root_slot(uint8_t slot[32], const struct site *s) {
    uint8_t words[64] = {0};
    memcpy(words + 12, s->signer.address, CSL_ADDRESS_BYTES);
    csl_keccak256(words + 32, words, 64);
    assert_int_equal(csl_contract_origin(words, ORIGIN), CSL_OK);
    csl_keccak256(slot, words, 64);
    csl_keccak256(slot, slot, 32);
}

/* A node that says what nobody signed cannot make anybody guilty. */
static void a_node_cannot_frame(void **state) {
    (void)state;
    struct site s;
    struct trial t;
    uint8_t slot[32];
    char params[512], where[CSL_HASH_ROOM], to[CSL_ADDRESS_ROOM];
    site_open(&s, 3);
    settle(&s);
    root_slot(slot, &s);
    csl_hex0x_text(where, slot, sizeof slot);
    csl_address_text(to, contract_address);
    (void)snprintf(params, sizeof params,
                   "[\"%s\",\"%s\",\"0x1111111111111111111111111111111111111111111111111111111111111111\"]",
                   to, where);
    node_do("anvil_setStorageAt", params);
    csl_bundle *b = bundle_of(s.ledger);
    verify(&t, &s, b, 1);
    expect_finding(&t, CSL_VERDICT_MISMATCH, "ask another node");
    assert_int_equal(t.a.covered, 0);
    clear(&t);
    assert_int_equal(step(&s, true), CSL_EPROTO); /* nor does the site stop for good: it asks again */
    assert_non_null(strstr(s.diag.text, "ask another node"));
    assert_true(csl_anchor_again(CSL_EPROTO));
    csl_bundle_free(b);
    site_close(&s);
}

/* The same of a chain without a base fee: legacy transactions, and their signatures from such fields. */
static void legacy_chain(void **state) {
    (void)state;
    static const char *const args[] = {"--hardfork", "berlin", NULL};
    struct csl_anvil *before = anvil;
    uint8_t contract_before[CSL_ADDRESS_BYTES];
    memcpy(contract_before, contract_address, sizeof contract_before);
    world_restart(args);
    json_t *block = node_ask("eth_getBlockByNumber", "[\"latest\",false]");
    assert_null(json_object_get(block, "baseFeePerGas"));
    json_decref(block);
    struct site s, other;
    struct trial t;
    site_open(&s, 3);
    settle(&s);
    site_open(&other, 4);
    csl_bundle *b = bundle_of(other.ledger);
    verify(&t, &s, b, 1);
    expect_finding(&t, CSL_VERDICT_ATTRIBUTABLE, "contradicts its anchor 0");
    clear(&t);
    csl_bundle_free(b);
    site_close(&other);
    site_close(&s);
    csl_anvil_stop(anvil);
    anvil = before;
    memcpy(contract_address, contract_before, sizeof contract_before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_anchored),           cmocka_unit_test(covering),
        cmocka_unit_test(incomplete_is_no_accusation), cmocka_unit_test(another_ledger_names_its_site),
        cmocka_unit_test(a_node_cannot_frame),         cmocka_unit_test(legacy_chain),
    };
    need_anvil();
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
