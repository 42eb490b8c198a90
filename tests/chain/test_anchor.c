/* Anchoring on a real chain: once for each checkpoint, whatever happens in between. */
#include "tests/chain/anvil_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

/* ---- As it should be ---- */

static void anchors_and_continues(void **state) {
    (void)state;
    struct site s;
    struct csl_anchor_progress p;
    site_open(&s, 3);
    settle(&s);
    expect_anchored(&s, 1);
    assert_int_equal(step(&s, true), CSL_OK); /* nothing new, nothing sent */
    expect_anchored(&s, 1);
    add_leaves(&s, 4);
    assert_int_equal(step(&s, false), CSL_OK); /* not yet */
    assert_int_equal(anchors_of(&s, NULL), 1);
    settle(&s);
    expect_anchored(&s, 2);
    progress(&s, &p);
    assert_int_equal(p.mined, 7);
    assert_int_equal(p.waiting, 0);
    assert_int_equal(p.outbox->n, 0);
    struct csl_outbox_anchor first;
    bool found = false;
    char dir[CSL__PATH_MAX];
    assert_int_equal(
        csl_anchor_dir(dir, s.state, CSL_ANVIL_CHAIN_ID, contract_address, s.signer.address, &s.diag),
        CSL_OK);
    assert_int_equal(csl_outbox_covering(&first, &found, dir, 4, &s.diag), CSL_OK);
    assert_true(found && first.final);
    assert_int_equal(first.index, 1);
    assert_int_equal(first.previous.size, 3);
    assert_int_equal(first.is.size, 7);
    assert_in_range(first.mined.gas_used, 50000, 100000);
    assert_int_equal(csl_outbox_covering(&first, &found, dir, 7, &s.diag), CSL_OK);
    assert_false(found);
    site_close(&s);
}

/* Final only after the roster's confirmations. */
static void waits_for_confirmations(void **state) {
    (void)state;
    struct site s;
    struct csl_anchor_progress p;
    site_open(&s, 2);
    anchor_close(&s);
    s.opt.confirmations = 4;
    anchor_open(&s);
    step_mined(&s);
    progress(&s, &p);
    assert_int_equal(p.mined, 2);
    assert_int_equal(p.final, 0);
    add_leaves(&s, 1); /* the next one does not wait for that */
    step_mined(&s);
    progress(&s, &p);
    assert_int_equal(p.mined, 3);
    assert_int_equal(p.final, 0);
    mine(2);
    assert_int_equal(step(&s, true), CSL_OK);
    progress(&s, &p);
    assert_int_equal(p.final, 2);
    settle(&s);
    expect_anchored(&s, 2);
    site_close(&s);
}

/* ---- The node ---- */

static void chain_is_down_or_slow(void **state) {
    (void)state;
    struct site s;
    struct csl_anchor_progress p;
    site_open(&s, 1);
    s.rpc.url = "http://127.0.0.1:1"; /* nobody listens there */
    assert_int_equal(step(&s, true), CSL_EUNAVAILABLE);
    assert_true(csl_anchor_again(CSL_EUNAVAILABLE));
    s.rpc.url = csl_anvil_url(anvil);
    s.rpc.total_ms = 200;
    int status = 0;
    assert_int_equal(kill(csl_anvil_pid(anvil), SIGSTOP), 0);
    assert_int_equal(waitpid(csl_anvil_pid(anvil), &status, WUNTRACED), csl_anvil_pid(anvil));
    assert_true(WIFSTOPPED(status));
    assert_int_equal(step(&s, true), CSL_ETIMEOUT);
    assert_true(csl_anchor_again(CSL_ETIMEOUT));
    assert_int_equal(kill(csl_anvil_pid(anvil), SIGCONT), 0);
    s.rpc.total_ms = 10000;
    progress(&s, &p);
    assert_int_equal(p.anchored, 0);
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

static void wrong_chain_or_contract(void **state) {
    (void)state;
    struct site s;
    site_open(&s, 1);
    anchor_close(&s);
    s.opt.contract.chain_id = 1;
    anchor_open(&s);
    assert_int_equal(step(&s, true), CSL_ECONFIG);
    assert_non_null(strstr(s.diag.text, "chain 31337"));
    assert_false(csl_anchor_again(CSL_ECONFIG));
    anchor_close(&s);
    s.opt.contract.chain_id = CSL_ANVIL_CHAIN_ID;
    s.opt.contract.address[3] ^= 1;
    anchor_open(&s);
    assert_int_equal(step(&s, true), CSL_ECONFIG);
    assert_non_null(strstr(s.diag.text, "has no code"));
    anchor_close(&s);
    s.opt.contract.address[3] ^= 1;
    anchor_open(&s);
    node_do("anvil_setChainId", "[99]"); /* says what it is not */
    assert_int_equal(step(&s, true), CSL_ECONFIG);
    node_do("anvil_setChainId", "[31337]");
    assert_int_equal(nonce_of(s.signer.address), 0);
    settle(&s);
    node_do("anvil_setChainId", "[99]"); /* once it was right: no reason to end */
    assert_int_equal(step(&s, true), CSL_ESTALE);
    assert_non_null(strstr(s.diag.text, "chain 99"));
    assert_true(csl_anchor_again(CSL_ESTALE));
    node_do("anvil_setChainId", "[31337]");
    assert_int_equal(step(&s, true), CSL_OK);
    expect_anchored(&s, 1);
    site_close(&s);
}

/* Its pool lost the transaction: the same bytes are sent again. */
static void node_forgets(void **state) {
    (void)state;
    struct site s;
    struct csl_anchor_progress p;
    char params[2 * CSL_HASH_ROOM], hash[CSL_HASH_ROOM];
    site_open(&s, 2);
    automine(false);
    assert_int_equal(step(&s, true), CSL_OK);
    progress(&s, &p);
    assert_int_equal(p.waiting, 1);
    csl_hex0x_text(hash, p.outbox->entries[0].variants[0].hash, CSL_HASH_BYTES);
    (void)snprintf(params, sizeof params, "[\"%s\"]", hash);
    node_do("anvil_dropTransaction", params);
    mine(1);
    assert_int_equal(anchors_of(&s, NULL), 0);
    assert_int_equal(step(&s, true), CSL_OK);
    progress(&s, &p);
    assert_int_equal(p.outbox->entries[0].n_variants, 1);
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

/* ---- Money ---- */

static void insufficient_funds(void **state) {
    (void)state;
    struct site s;
    site_open(&s, 1);
    fund(s.signer.address, "0x1");
    enum csl_err err = step(&s, true);
    assert_int_equal(err, CSL_EUNAVAILABLE);
    assert_non_null(strstr(s.diag.text, "insufficient funds"));
    assert_int_equal(step(&s, true), CSL_EUNAVAILABLE);
    assert_int_equal(nonce_of(s.signer.address), 0);
    add_leaves(&s, 2); /* what waited makes room for the newest */
    fund(s.signer.address, "0xde0b6b3a7640000");
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

/* Whichever variant the block has, it is the anchor. */
static void settle_dear(struct site *s) {
    mine(1);
    settle(s);
}

static void fees_within_limits(void **state) {
    (void)state;
    struct site s;
    struct csl_anchor_progress p;
    site_open(&s, 1);
    anchor_close(&s);
    s.opt.limits.max_fee = 1000;
    anchor_open(&s);
    assert_int_equal(step(&s, true), CSL_EBUSY);
    assert_non_null(strstr(s.diag.text, "--max-fee-gwei"));
    anchor_close(&s);
    s.opt.limits = csl_anchor_limits_default;
    s.opt.limits.gas_limit = 30000;
    anchor_open(&s);
    assert_int_equal(step(&s, true), CSL_EPROTO);
    assert_non_null(strstr(s.diag.text, "--gas-limit"));
    anchor_close(&s);
    assert_int_equal(nonce_of(s.signer.address), 0);

    /* One that waits is replaced, an eighth dearer, until the limits. */
    s.opt.limits = csl_anchor_limits_default;
    anchor_open(&s);
    automine(false);
    assert_int_equal(step(&s, true), CSL_OK);
    progress(&s, &p);
    struct csl_outbox_entry first = p.outbox->entries[0];
    assert_int_equal(step(&s, true), CSL_OK);
    assert_int_equal(p.outbox->entries[0].n_variants, 1);
    s.now_s += s.opt.limits.resend_s;
    assert_int_equal(step(&s, true), CSL_OK);
    const struct csl_outbox_entry *now = &p.outbox->entries[0];
    assert_int_equal(now->n_variants, 2);
    assert_int_equal(now->nonce, first.nonce);
    assert_true(now->variants[1].max_fee * 8 >= first.variants[0].max_fee * 9);
    assert_true(now->variants[1].max_priority * 8 >= first.variants[0].max_priority * 9);
    s.now_s += s.opt.limits.resend_s;
    uint64_t at_most = now->variants[1].max_fee;
    anchor_close(&s);
    s.opt.limits.max_fee = at_most;
    anchor_open(&s);
    assert_int_equal(step(&s, true), CSL_EBUSY);
    assert_non_null(strstr(s.diag.text, "at the limits"));
    node_do("anvil_dropAllTransactions",
            "[]"); /* the node forgets it: the bytes that are kept go out again */
    assert_int_equal(step(&s, true), CSL_OK);
    progress(&s, &p); /* another outbox since */
    assert_int_equal(p.outbox->entries[0].n_variants, 2);
    settle_dear(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

/* ---- The account ---- */

static void replace_nonce(struct site *s, uint64_t nonce) {
    char params[512], who[CSL_ADDRESS_ROOM];
    csl_address_text(who, s->signer.address);
    (void)snprintf(params, sizeof params, "[\"%s\"]", who);
    node_do("anvil_impersonateAccount", params);
    (void)snprintf(
        params, sizeof params,
        "[{\"from\":\"%s\",\"to\":\"%s\",\"value\":\"0x1\",\"nonce\":\"0x%llx\",\"gas\":\"0x5208\","
        "\"maxFeePerGas\":\"0x174876e800\",\"maxPriorityFeePerGas\":\"0x174876e800\"}]",
        who, who, (unsigned long long)nonce);
    node_do("eth_sendTransaction", params);
    (void)snprintf(params, sizeof params, "[\"%s\"]", who);
    node_do("anvil_stopImpersonatingAccount", params);
}

static void nonce_is_taken(void **state) {
    (void)state;
    struct site s;
    uint64_t entries = 0;
    site_open(&s, 5);
    automine(false);
    assert_int_equal(step(&s, true), CSL_OK);
    replace_nonce(&s, 0);
    mine(1);
    assert_int_equal(anchors_of(&s, NULL), 0);
    assert_int_equal(nonce_of(s.signer.address), 1);
    settle(&s);
    assert_non_null(strstr(s.said, "nonce 0 was taken"));
    assert_int_equal(anchors_of(&s, &entries), 1);
    assert_int_equal(entries, 5);
    assert_int_equal(nonce_of(s.signer.address), 2);
    site_close(&s);
}

static void only_one_process(void **state) {
    (void)state;
    struct site s;
    struct csl_anchor *other = NULL;
    site_open(&s, 1);
    assert_int_equal(csl_anchor_open(&other, &s.opt, &s.diag), CSL_EBUSY);
    assert_null(other);
    site_close(&s);
}

/* ---- Reverted ---- */

static void set_code(const char *code) {
    char params[8192], to[CSL_ADDRESS_ROOM];
    csl_address_text(to, contract_address);
    int n = snprintf(params, sizeof params, "[\"%s\",\"%s\"]", to, code);
    assert_in_range(n, 1, sizeof params - 1);
    char *body = strdup(params);
    assert_non_null(body);
    node_do("anvil_setCode", body);
    free(body);
}

/* In the block the contract refuses, although the estimate was good: its code is another there. */
static void revert_next(struct site *s) {
    char *code = malloc(2 * CSL_CONTRACT_RUNTIME_BYTES + 3);
    assert_non_null(code);
    csl_hex0x_text(code, csl_contract_creation + CSL_CONTRACT_CREATION_BYTES - CSL_CONTRACT_RUNTIME_BYTES,
                   CSL_CONTRACT_RUNTIME_BYTES);
    assert_int_equal(step(s, true), CSL_OK);
    set_code("0x60006000fd");
    mine(1);
    set_code(code);
    free(code);
}

static void reverted(void **state) {
    (void)state;
    struct site s;
    site_open(&s, 2);
    automine(false);
    revert_next(&s);
    assert_int_equal(nonce_of(s.signer.address), 1);
    assert_int_equal(anchors_of(&s, NULL), 0);
    revert_next(&s); /* sees the first, tries again */
    assert_non_null(strstr(s.said, "was reverted"));
    anchor_close(&s); /* a restart does not forget it */
    anchor_open(&s);
    revert_next(&s);
    assert_int_equal(step(&s, true), CSL_EPERM);
    assert_non_null(strstr(s.diag.text, "--after-reverts"));
    assert_int_equal(nonce_of(s.signer.address), 3);
    anchor_close(&s);
    s.opt.after_reverts = true;
    anchor_open(&s);
    settle(&s);
    assert_int_equal(anchors_of(&s, NULL), 1);
    assert_int_equal(nonce_of(s.signer.address), 4);
    site_close(&s);
}

/* Somebody anchors with the same key in the moment between looking and estimating. */
static struct site *rival;
static void race(void *arg, enum csl_anchor_point point) {
    (void)arg;
    if (point == CSL_POINT_QUEUED && rival != NULL) {
        struct site *r = rival;
        rival = NULL;
        settle(r);
    }
}

static void estimate_says_why(void **state) {
    (void)state;
    struct site s, other;
    site_open(&s, 6);
    other = s;
    (void)snprintf(other.state, sizeof other.state, "%.80s-other", s.state);
    other.opt.state = other.state;
    other.opt.arg = &other;
    anchor_open(&other);
    anchor_close(&s);
    s.opt.at = race;
    anchor_open(&s);
    rival = &other;
    assert_int_equal(step(&s, true), CSL_ESTALE);
    assert_non_null(strstr(s.diag.text, "NotCurrent"));
    assert_int_equal(nonce_of(s.signer.address), 1); /* the rival's: nothing was paid for ours */
    anchor_close(&other);
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anchors_and_continues), cmocka_unit_test(waits_for_confirmations),
        cmocka_unit_test(chain_is_down_or_slow), cmocka_unit_test(wrong_chain_or_contract),
        cmocka_unit_test(node_forgets),          cmocka_unit_test(insufficient_funds),
        cmocka_unit_test(fees_within_limits),    cmocka_unit_test(nonce_is_taken),
        cmocka_unit_test(only_one_process),      cmocka_unit_test(reverted),
        cmocka_unit_test(estimate_says_why),
    };
    need_anvil();
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
