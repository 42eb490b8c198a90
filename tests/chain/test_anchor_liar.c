/* Anchoring through a node that says what is not so: it costs little, and an honest node afterwards is
 * enough. */
#include "tests/chain/liar_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Gas ---- */

static json_t *estimates(struct liar *l, const char *method, const json_t *params) {
    (void)params;
    bool is = strcmp(method, "eth_estimateGas") == 0;
    l->asked += is ? 1 : 0;
    return is && l->value != 0 ? quantity(l->value) : NULL;
}

/* An estimate that is too low makes no transaction that fails, nor one that never gets anywhere. */
static void too_low_an_estimate(void **state) {
    (void)state;
    struct site s;
    struct liar l;
    struct csl_anchor_progress p;
    site_open(&s, 2);
    automine(false);
    liar_start(&l, &s, estimates, 1);
    assert_int_equal(step(&s, true), CSL_OK);
    progress(&s, &p);
    assert_in_range(p.outbox->entries[0].gas_limit, 95000, 110000);
    liar_stop(&l, &s);
    settle(&s);
    expect_anchored(&s, 1);
    assert_null(strstr(s.said, "reverted"));
    site_close(&s);
}

/* What replaces a transaction is estimated, too. */
static void replacements_are_estimated(void **state) {
    (void)state;
    struct site s;
    struct liar l;
    struct csl_anchor_progress p;
    site_open(&s, 2);
    automine(false);
    liar_start(&l, &s, estimates, 0);
    assert_int_equal(step(&s, true), CSL_OK);
    assert_int_equal(l.asked, 1);
    l.value = 5000000; /* now the node wants more than --gas-limit */
    s.now_s += s.opt.limits.resend_s;
    assert_int_equal(step(&s, true), CSL_EPROTO);
    assert_non_null(strstr(s.diag.text, "--gas-limit"));
    assert_int_equal(l.asked, 2);
    progress(&s, &p);
    assert_int_equal(p.outbox->entries[0].n_variants, 1);
    l.value = 120000;
    assert_int_equal(step(&s, true), CSL_OK);
    assert_int_equal(p.outbox->entries[0].n_variants, 2);
    assert_int_equal(p.outbox->entries[0].gas_limit, 150000);
    liar_stop(&l, &s);
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

/* ---- Fees ---- */

static json_t *no_base_fee(struct liar *l, const char *method, const json_t *params) {
    if (strcmp(method, "eth_gasPrice") == 0) {
        return quantity(l->value);
    }
    if (strcmp(method, "eth_getBlockByNumber") != 0) {
        return NULL;
    }
    char *text = json_dumps(params, JSON_COMPACT);
    json_t *block = node_ask(method, text);
    free(text);
    (void)json_object_del(block, "baseFeePerGas");
    return block;
}

static void a_base_fee_is_not_forgotten(void **state) {
    (void)state;
    struct site s;
    struct liar l;
    struct csl_anchor_progress p;
    site_open(&s, 2);
    settle(&s);
    add_leaves(&s, 1);
    anchor_close(&s); /* nor by the next process */
    anchor_open(&s);
    automine(false);
    liar_start(&l, &s, no_base_fee, 99000000000);
    assert_int_equal(step(&s, true), CSL_EPROTO);
    assert_non_null(strstr(s.diag.text, "shows no base fee"));
    assert_true(csl_anchor_again(CSL_EPROTO));
    assert_int_equal(nonce_of(s.signer.address), 1);
    liar_stop(&l, &s);
    settle(&s);
    expect_anchored(&s, 2);
    site_close(&s);

    site_open(&s, 2); /* who never saw one pays at most the whole limit */
    automine(false);
    liar_start(&l, &s, no_base_fee, 101000000000);
    assert_int_equal(step(&s, true), CSL_EBUSY);
    assert_non_null(strstr(s.diag.text, "--max-fee-gwei"));
    l.value = 99000000000;
    assert_int_equal(step(&s, true), CSL_OK);
    progress(&s, &p);
    assert_true(p.outbox->entries[0].variants[0].legacy);
    assert_true(p.outbox->entries[0].variants[0].max_fee == 99000000000);
    liar_stop(&l, &s);
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

/* Chains of which the program knows it. */
static void a_base_fee_is_known(void **state) {
    (void)state;
    struct site s;
    struct liar l;
    site_open(&s, 1);
    anchor_close(&s);
    s.opt.contract.chain_id = 1;
    anchor_open(&s);
    node_do("anvil_setChainId", "[1]");
    liar_start(&l, &s, no_base_fee, 1000);
    assert_int_equal(step(&s, true), CSL_EPROTO);
    node_do("anvil_setChainId", "[31337]");
    assert_non_null(strstr(s.diag.text, "shows no base fee"));
    assert_int_equal(nonce_of(s.signer.address), 0);
    liar_stop(&l, &s);
    site_close(&s);
}

/* ---- Counts ---- */

static json_t *counts(struct liar *l, const char *method, const json_t *params) {
    (void)params;
    return strcmp(method, "eth_getTransactionCount") == 0 ? quantity(l->value) : NULL;
}

static void counts_that_cannot_be(void **state) {
    (void)state;
    struct site s;
    struct liar l;
    site_open(&s, 1);
    automine(false);
    liar_start(&l, &s, counts, UINT64_MAX);
    assert_int_equal(step(&s, true), CSL_EPROTO);
    assert_true(csl_anchor_again(CSL_EPROTO));
    assert_non_null(strstr(s.diag.text, "eth_getTransactionCount"));
    liar_stop(&l, &s);
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

/* ---- Blocks ---- */

static json_t *receipt(const struct liar *l, uint64_t block, bool good) {
    static const char hash[] = "0xabababababababababababababababababababababababababababababababab";
    static const char who[] = "0x1111111111111111111111111111111111111111";
    return json_pack("{s:s, s:s, s:o, s:s, s:s, s:n, s:s, s:s}", "transactionHash", l->hash, "blockHash",
                     hash, "blockNumber", quantity(block), "from", who, "to", who, "contractAddress",
                     "status", good ? "0x1" : "0x0", "gasUsed", "0x5208");
}

static bool asks_for_receipt(const struct liar *l, const char *method, const json_t *params) {
    return strcmp(method, "eth_getTransactionReceipt") == 0 &&
           strcmp(json_string_value(json_array_get(params, 0)), l->hash) == 0;
}

/* Everything far in the future, and final. */
static json_t *far_blocks(struct liar *l, const char *method, const json_t *params) {
    if (strcmp(method, "eth_sendRawTransaction") == 0) {
        return liar_swallow(l, params);
    }
    if (!l->sent) {
        return NULL;
    }
    if (asks_for_receipt(l, method, params)) {
        return receipt(l, l->value, true);
    }
    const char *at = json_string_value(json_array_get(params, 0));
    if (strcmp(method, "eth_getBlockByNumber") == 0) {
        json_t *block = node_ask(method, "[\"latest\",false]");
        bool latest = strcmp(at, "latest") == 0;
        (void)json_object_set_new(block, "number", latest ? quantity(l->value + 20) : json_string(at));
        (void)json_object_set_new(
            block, "hash", json_string("0xabababababababababababababababababababababababababababababababab"));
        return block;
    }
    if (strcmp(method, "eth_call") == 0) { /* head: count, root, size, block, time */
        char text[2 + 5 * 64 + 1];
        (void)snprintf(text, sizeof text, "0x%064x%.64s%.64s%064llx%064llx", 1, l->call + 8 + 4 * 64,
                       l->call + 8 + 3 * 64, (unsigned long long)l->value, 1795288900ULL);
        return json_string(text);
    }
    return NULL;
}

/* The outbox holds for final what never was: after a while it goes on from what honest nodes show. */
static void blocks_that_never_come(void **state) {
    (void)state;
    static const uint64_t far[] = {UINT64_C(1) << 60, UINT64_MAX - 20};
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        struct site s;
        struct liar l;
        struct csl_anchor_progress p;
        site_open(&s, 3);
        automine(false);
        liar_start(&l, &s, far_blocks, far[i]);
        assert_int_equal(step(&s, true), CSL_OK);
        assert_int_equal(step(&s, true), CSL_OK);
        progress(&s, &p);
        assert_int_equal(p.final, 3);
        liar_stop(&l, &s);
        assert_int_equal(step(&s, true), CSL_ESTALE);
        assert_non_null(strstr(s.diag.text, "1 are final: it is behind"));
        assert_non_null(strstr(s.diag.text, "--behind"));
        s.now_s += s.opt.limits.behind_s - 1;
        assert_int_equal(step(&s, true), CSL_ESTALE);
        anchor_close(&s); /* a restart does not begin the wait anew */
        anchor_open(&s);
        s.now_s++;
        assert_int_equal(step(&s, true), CSL_OK);
        assert_non_null(strstr(s.said, "what the contract holds is continued"));
        settle(&s);
        expect_anchored(&s, 1);
        progress(&s, &p);
        assert_int_equal(p.outbox->behind_s, 0);
        site_close(&s);
    }
}

/* The same of one that is not final yet; and a node that was only behind for a while makes nothing go back.
 */
static void blocks_that_are_not_there(void **state) {
    (void)state;
    struct site s;
    struct liar l;
    struct csl_anchor_progress p;
    site_open(&s, 3);
    anchor_close(&s);
    s.opt.confirmations = 100;
    anchor_open(&s);
    automine(false);
    liar_start(&l, &s, far_blocks, UINT64_C(1) << 60);
    assert_int_equal(step(&s, true), CSL_OK);
    assert_int_equal(step(&s, true), CSL_OK);
    progress(&s, &p);
    assert_int_equal(p.mined, 3);
    assert_int_equal(p.final, 0);
    liar_stop(&l, &s);
    assert_int_equal(step(&s, true), CSL_ESTALE);
    assert_non_null(strstr(s.diag.text, "it is behind, or its blocks were taken back"));
    s.now_s += s.opt.limits.behind_s;
    assert_int_equal(step(&s, true), CSL_OK);
    progress(&s, &p);
    assert_int_equal(p.waiting, 1);
    assert_int_equal(p.outbox->entries[0].nonce, 0); /* the same transaction, for a little more */
    mine(101);
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

/* The contract's list without what our blocks have: a node that contradicts itself, or did when it was asked.
 */
static void forget_list(const struct site *s) {
    uint8_t words[64] = {0}, slot[32]; /* keccak256(origin | keccak256(member | 0)): the list's length */
    char params[512], where[CSL_HASH_ROOM], to[CSL_ADDRESS_ROOM];
    memcpy(words + 12, s->signer.address, CSL_ADDRESS_BYTES);
    csl_keccak256(words + 32, words, 64);
    assert_int_equal(csl_contract_origin(words, ORIGIN), CSL_OK);
    csl_keccak256(slot, words, 64);
    csl_hex0x_text(where, slot, sizeof slot);
    csl_address_text(to, contract_address);
    (void)snprintf(params, sizeof params, "[\"%s\",\"%s\",\"0x%064x\"]", to, where, 0);
    node_do("anvil_setStorageAt", params);
}

static void blocks_without_the_anchor(void **state) {
    (void)state;
    for (uint32_t confirmations = 1; confirmations <= 50; confirmations += 49) {
        struct site s;
        struct csl_anchor_progress p;
        site_open(&s, 2);
        anchor_close(&s);
        s.opt.confirmations = confirmations;
        anchor_open(&s);
        step_mined(&s);
        forget_list(&s);
        assert_int_equal(step(&s, true), CSL_ESTALE);
        s.now_s += s.opt.limits.behind_s - 1;
        assert_int_equal(step(&s, true), CSL_ESTALE);
        s.now_s += 1;
        (void)!step(&s, true); /* with a receipt in that very block still there, it begins again and again */
        assert_non_null(strstr(s.said, "what the contract holds is continued"));
        progress(&s, &p);
        assert_int_equal(p.mined, 0);
        if (confirmations == 1) {
            settle(&s);
            assert_int_equal(anchors_of(&s, NULL), 1);
        }
        site_close(&s);
    }
}

/* A chain that makes blocks only for transactions, put back: nobody but we would make the next one. */
static void no_block_without_us(void **state) {
    (void)state;
    struct site s;
    uint64_t entries = 0;
    site_open(&s, 2);
    settle(&s);
    json_t *snapshot = node_ask("evm_snapshot", "[]");
    char params[64];
    (void)snprintf(params, sizeof params, "[\"%s\"]", json_string_value(snapshot));
    json_decref(snapshot);
    add_leaves(&s, 2);
    settle(&s);
    expect_anchored(&s, 2);
    node_do("evm_revert", params);
    automine(true);
    assert_int_equal(step(&s, true), CSL_ESTALE);
    s.now_s += 10;
    assert_int_equal(step(&s, true), CSL_ESTALE);
    s.now_s += s.opt.limits.behind_s;
    step_mined(&s);
    assert_int_equal(anchors_of(&s, &entries), 2);
    assert_int_equal(entries, 4);
    site_close(&s);
}

/* Forged receipts of failures: their block is looked at. */
static json_t *failures(struct liar *l, const char *method, const json_t *params) {
    if (strcmp(method, "eth_sendRawTransaction") == 0) {
        return liar_swallow(l, params);
    }
    return l->sent && asks_for_receipt(l, method, params) ? receipt(l, 1, false) : NULL;
}

static void failures_that_never_were(void **state) {
    (void)state;
    struct site s;
    struct liar l;
    struct csl_anchor_progress p;
    site_open(&s, 1);
    automine(false);
    liar_start(&l, &s, failures, 0);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(step(&s, true), CSL_OK);
    }
    progress(&s, &p);
    assert_int_equal(p.outbox->reverts, 0);
    assert_int_equal(p.waiting, 1);
    liar_stop(&l, &s);
    settle(&s);
    expect_anchored(&s, 1);
    site_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_low_an_estimate),         cmocka_unit_test(replacements_are_estimated),
        cmocka_unit_test(a_base_fee_is_not_forgotten), cmocka_unit_test(a_base_fee_is_known),
        cmocka_unit_test(counts_that_cannot_be),       cmocka_unit_test(blocks_that_never_come),
        cmocka_unit_test(blocks_that_are_not_there),   cmocka_unit_test(blocks_without_the_anchor),
        cmocka_unit_test(no_block_without_us),         cmocka_unit_test(failures_that_never_were),

    };
    need_anvil();
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
