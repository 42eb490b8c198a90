/* A node's answers: what is asked, what is understood, and everything that a node can get wrong. */
#include "tests/chain/rpc_world.h"

#define H1 "0x1111111111111111111111111111111111111111111111111111111111111111"
#define H2 "0x2222222222222222222222222222222222222222222222222222222222222222"
#define A1 "0x5FbDB2315678afecb367f032d93F642f64180aa3"
#define A1_LOWER "0x5fbdb2315678afecb367f032d93f642f64180aa3"
#define A2_LOWER "0x00000000000000000000000000000000000000ff"

#define BLOCK(number, hash)                                                                                  \
    "{\"number\":\"" number "\",\"hash\":\"" hash "\",\"parentHash\":\"" H2                                  \
    "\",\"timestamp\":\"0x665544\",\"gasLimit\":\"0x1c9c380\",\"baseFeePerGas\":\"0x7\",\"extra\":[1]}"

static uint8_t address[CSL_ADDRESS_BYTES], hash1[CSL_HASH_BYTES], hash2[CSL_HASH_BYTES];

/* ---- Right answers ---- */

static void numbers(void **state) {
    struct world *w = *state;
    uint64_t v = 0;
    csl_wei wei = 0;
    world_result(w, "\"0x7a69\"");
    assert_ok(csl_rpc_chain_id(&w->rpc, &v, &w->diag));
    assert_int_equal(v, 31337);
    world_was_asked(w, 0, "eth_chainId", "[]");
    world_result(w, "\"0xffffffffffffffff\"");
    assert_ok(csl_rpc_block_number(&w->rpc, &v, &w->diag));
    assert_true(v == UINT64_MAX);
    world_result(w, "\"0x0\"");
    assert_ok(csl_rpc_nonce(&w->rpc, &v, address, CSL_PENDING, &w->diag));
    assert_int_equal(v, 0);
    world_was_asked(w, 0, "eth_getTransactionCount", "[\"" A1 "\",\"pending\"]");
    world_result(w, "\"0x21e19e0c9bab2400000\"");
    assert_ok(csl_rpc_balance(&w->rpc, &wei, address, CSL_LATEST, &w->diag));
    assert_true(wei == (csl_wei)10000 * 1000000000000000000U);
    world_result(w, "\"" H1 "\""); /* more than 128 bits */
    assert_ok(csl_rpc_balance(&w->rpc, &wei, address,
                              &(struct csl_block_at){.kind = CSL_AT_HASH, .hash = {0xab}}, &w->diag));
    assert_true(wei == CSL_WEI_MAX);
    world_was_asked(w, 0, "eth_getBalance",
                    "[\"" A1
                    "\",{\"blockHash\":\"0xab00000000000000000000000000000000000000000000000000000000"
                    "000000\"}]");
}

static void blocks(void **state) {
    struct world *w = *state;
    struct csl_block b;
    bool found = false;
    const struct csl_block_at third = {.kind = CSL_AT_NUMBER, .number = 3},
                              of_hash = {.kind = CSL_AT_HASH, .hash = {0x11}},
                              pending = {.kind = CSL_AT_PENDING};
    world_result(w, BLOCK("0x3", H1));
    assert_ok(csl_rpc_block(&w->rpc, &b, &found, &third, &w->diag));
    world_was_asked(w, 0, "eth_getBlockByNumber", "[\"0x3\",false]");
    assert_true(found && b.number == 3 && b.timestamp == 0x665544 && b.has_base_fee && b.base_fee == 7);
    assert_true(b.gas_limit == 30000000);
    assert_memory_equal(b.hash, hash1, sizeof hash1);
    assert_memory_equal(b.parent, hash2, sizeof hash2);
    world_result(w, BLOCK("0x4", H1));
    assert_int_equal(csl_rpc_block(&w->rpc, &b, &found, &third, &w->diag), CSL_EPROTO);
    world_blames(w, "eth_getBlockByNumber", "another block");
    assert_int_equal(csl_rpc_block(&w->rpc, &b, &found, &of_hash, &w->diag), CSL_EPROTO);
    world_blames(w, "eth_getBlockByHash", "another block");
    world_result(w, "null");
    assert_ok(csl_rpc_block(&w->rpc, &b, &found, &of_hash, &w->diag));
    assert_false(found);
    assert_int_equal(csl_rpc_block(&w->rpc, &b, &found, &pending, &w->diag), CSL_EUSAGE);
    world_result(w, "{\"number\":\"0x1\",\"hash\":\"" H1 "\",\"parentHash\":\"" H2
                    "\",\"timestamp\":\"0x1\",\"gasLimit\":\"0x1\"}");
    assert_ok(csl_rpc_block(&w->rpc, &b, &found, CSL_LATEST, &w->diag));
    assert_false(b.has_base_fee);
}

static void calls(void **state) {
    struct world *w = *state;
    uint8_t *out = NULL;
    size_t n = 0;
    uint64_t gas = 0;
    const struct csl_call call = {
        .from = address, .to = address, .data = (const uint8_t *)"\x01\xff", .n_data = 2};
    world_result(w, "\"0xAbcd\"");
    assert_ok(csl_rpc_call(&w->rpc, &out, &n, &call, CSL_LATEST, &w->diag));
    world_was_asked(w, 0, "eth_call",
                    "[{\"from\":\"" A1 "\",\"to\":\"" A1 "\",\"data\":\"0x01ff\"},\"latest\"]");
    assert_true(n == 2 && out[0] == 0xab && out[1] == 0xcd);
    free(out);
    world_result(w, "\"0x\"");
    assert_ok(csl_rpc_code(&w->rpc, &out, &n, address, CSL_LATEST, &w->diag));
    assert_true(n == 0 && out == NULL);
    world_was_asked(w, 0, "eth_getCode", "[\"" A1 "\",\"latest\"]");
    world_result(w, "\"0x5208\"");
    const struct csl_call creation = {.data = (const uint8_t *)"\xfe", .n_data = 1};
    assert_ok(csl_rpc_estimate_gas(&w->rpc, &gas, &creation, &w->diag));
    assert_int_equal(gas, 21000);
    world_was_asked(w, 0, "eth_estimateGas", "[{\"data\":\"0xfe\"}]");
    assert_int_equal(csl_rpc_call(&w->rpc, &out, &n, &creation, CSL_LATEST, &w->diag), CSL_EUSAGE);
}

#define RECEIPT(hash, more)                                                                                  \
    "{\"transactionHash\":\"" hash "\",\"blockHash\":\"" H2                                                  \
    "\",\"blockNumber\":\"0x9\",\"from\":\"" A1_LOWER                                                        \
    "\",\"gasUsed\":\"0x5208\",\"effectiveGasPrice\":\"0x3b9aca00\",\"logs\":[]," more "}"

static void receipts(void **state) {
    struct world *w = *state;
    struct csl_receipt r;
    bool found = false;
    world_result(w, RECEIPT(H1, "\"status\":\"0x1\",\"to\":\"" A2_LOWER "\",\"contractAddress\":null"));
    assert_ok(csl_rpc_receipt(&w->rpc, &r, &found, hash1, &w->diag));
    world_was_asked(w, 0, "eth_getTransactionReceipt", "[\"" H1 "\"]");
    assert_true(found && r.succeeded && !r.created && r.block_number == 9 && r.gas_used == 21000);
    assert_true(r.to[19] == 0xff && r.gas_price == 1000000000);
    world_result(w, RECEIPT(H1, "\"status\":\"0x0\",\"to\":null,\"contractAddress\":\"" A2_LOWER "\""));
    assert_ok(csl_rpc_receipt(&w->rpc, &r, &found, hash1, &w->diag));
    assert_true(found && !r.succeeded && r.created && r.contract[19] == 0xff);
    world_result(w, "null");
    assert_ok(csl_rpc_receipt(&w->rpc, &r, &found, hash1, &w->diag));
    assert_false(found);
    static const char *const bad[] = {
        RECEIPT(H2, "\"status\":\"0x1\",\"to\":\"" A2_LOWER "\""), /* of another transaction */
        RECEIPT(H1, "\"status\":\"0x2\",\"to\":\"" A2_LOWER "\""),
        RECEIPT(H1, "\"to\":\"" A2_LOWER "\""), /* from before there was a status */
        RECEIPT(H1, "\"status\":\"0x1\",\"to\":\"" A2_LOWER "\",\"contractAddress\":\"" A2_LOWER "\""),
        RECEIPT(H1, "\"status\":\"0x1\""),
        RECEIPT(H1, "\"status\":true,\"to\":\"" A2_LOWER "\""),
        "[]",
        "\"" H1 "\"",
        "{}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        world_result(w, bad[i]);
        assert_int_equal(csl_rpc_receipt(&w->rpc, &r, &found, hash1, &w->diag), CSL_EPROTO);
        world_blames(w, "eth_getTransactionReceipt", "");
    }
}

#define TX(hash, more) "{\"hash\":\"" hash "\",\"from\":\"" A1_LOWER "\",\"nonce\":\"0x5\"," more "}"

static void transactions(void **state) {
    struct world *w = *state;
    struct csl_rpc_tx t;
    bool found = false;
    world_result(w, TX(H1, "\"blockHash\":null,\"blockNumber\":null"));
    assert_ok(csl_rpc_transaction(&w->rpc, &t, &found, hash1, &w->diag));
    assert_true(found && !t.mined && t.nonce == 5);
    assert_memory_equal(t.from, address, sizeof address);
    world_result(w, TX(H1, "\"blockHash\":\"" H2 "\",\"blockNumber\":\"0x10\""));
    assert_ok(csl_rpc_transaction(&w->rpc, &t, &found, hash1, &w->diag));
    assert_true(found && t.mined && t.block_number == 16);
    static const char *const bad[] = {TX(H2, "\"blockHash\":null"), TX(H1, "\"blockHash\":\"" H2 "\""),
                                      TX(H1, "\"blockHash\":\"0x12\",\"blockNumber\":\"0x10\"")};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        world_result(w, bad[i]);
        assert_int_equal(csl_rpc_transaction(&w->rpc, &t, &found, hash1, &w->diag), CSL_EPROTO);
        world_blames(w, "eth_getTransactionByHash", "");
    }
}

static void sends(void **state) {
    struct world *w = *state;
    static const uint8_t raw[] = {2, 0xc0};
    uint8_t hash[CSL_HASH_BYTES];
    char result[128] = "\"";
    csl_tx_hash(hash, raw, sizeof raw);
    csl_hex0x_text(result + 1, hash, sizeof hash);
    (void)strcat(result, "\"");
    world_result(w, result);
    assert_ok(csl_rpc_send(&w->rpc, raw, sizeof raw, &w->diag));
    world_was_asked(w, 0, "eth_sendRawTransaction", "[\"0x02c0\"]");
    world_result(w, "\"" H1 "\"");
    assert_int_equal(csl_rpc_send(&w->rpc, raw, sizeof raw, &w->diag), CSL_EPROTO);
    world_blames(w, "eth_sendRawTransaction", "another transaction");
}

/* ---- Wrong answers ---- */

static void broken_envelopes(void **state) {
    struct world *w = *state;
    static const char *const bad[] = {
        "",
        " ",
        "<html><body>Welcome</body></html>",
        "{",
        "[]",
        "\"0x1\"",
        "{}",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID}",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"0x1\"",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"0x1\"} x",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"0x1\",\"result\":\"0x2\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"0x1\",\"error\":{\"code\":1,\"message\":\"m\"}}",
        "{\"jsonrpc\":\"1.0\",\"id\":$ID,\"result\":\"0x1\"}",
        "{\"jsonrpc\":2,\"id\":$ID,\"result\":\"0x1\"}",
        "{\"id\":$ID,\"result\":\"0x1\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"0x1\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"$ID\",\"result\":\"0x1\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":\"0x1\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":1,\"message\":\"m\"}}",
        "[{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"0x1\"}]",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":\"no\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":{\"code\":\"1\",\"message\":\"m\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":{\"code\":1}}",
        "{\"jsonrpc\":\"2.0\",\"id\":99999999999999999999999,\"result\":\"0x1\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"\xff\xfe\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t v = 77;
        world_says(w, (const char *const[]){bad[i], NULL});
        assert_int_equal(csl_rpc_chain_id(&w->rpc, &v, &w->diag), CSL_EPROTO);
        assert_int_equal(v, 77);
        world_blames(w, "eth_chainId", "answer");
        assert_int_equal(w->rpc.refused, CSL_REFUSED_NOT);
    }
}

/* What is null is absent, as some nodes have it. */
static void nulls(void **state) {
    struct world *w = *state;
    uint64_t v = 0;
    world_says(
        w, (const char *const[]){"{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"0x1\",\"error\":null}", NULL});
    assert_ok(csl_rpc_chain_id(&w->rpc, &v, &w->diag));
    assert_int_equal(v, 1);
    world_says(w,
               (const char *const[]){"{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":null,\"error\":{\"code\":1,"
                                     "\"message\":\"m\"}}",
                                     NULL});
    assert_int_equal(csl_rpc_chain_id(&w->rpc, &v, &w->diag), CSL_EPEER);
    world_says(w, (const char *const[]){"{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":null}", NULL});
    assert_int_equal(csl_rpc_chain_id(&w->rpc, &v, &w->diag), CSL_EPROTO);
}

/* Deeper than any parser should follow. */
static void nested_answer(void **state) {
    struct world *w = *state;
    static char deep[100001];
    uint64_t v = 0;
    memset(deep, '[', sizeof deep - 1);
    world_says(w, (const char *const[]){deep, NULL});
    w->rpc.total_ms = 10000;
    const struct csl_call call = {.to = address};
    uint8_t *out = NULL;
    size_t n = 0;
    assert_int_equal(csl_rpc_call(&w->rpc, &out, &n, &call, CSL_LATEST, &w->diag), CSL_EPROTO);
    world_blames(w, "eth_call", "not JSON");
    assert_int_equal(csl_rpc_chain_id(&w->rpc, &v, &w->diag), CSL_EPROTO); /* longer than a number can be */
}

/* 257 bits. */
#define TOO_LONG "\"0x10000000000000000000000000000000000000000000000000000000000000000\""

static void not_quantities(void **state) {
    struct world *w = *state;
    static const char *const bad[] = {"1",
                                      "1.5",
                                      "null",
                                      "true",
                                      "[]",
                                      "{}",
                                      "\"\"",
                                      "\"0x\"",
                                      "\"0x01\"",
                                      "\"00x1\"",
                                      "\"12\"",
                                      "\"0xg\"",
                                      "\"0x 1\"",
                                      "\"-0x1\"",
                                      "\"0x-1\"",
                                      "\"0X1\"",
                                      "\"0x1 \"",
                                      "\"0x1\\u0000\"",
                                      "\"0x10000000000000000\"",
                                      TOO_LONG};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t v = 77;
        world_result(w, bad[i]);
        assert_int_equal(csl_rpc_block_number(&w->rpc, &v, &w->diag), CSL_EPROTO);
        assert_int_equal(v, 77);
        world_blames(w, "eth_blockNumber", "is not");
    }
    uint64_t id = 0;
    world_result(w, "\"0x0\"");
    assert_int_equal(csl_rpc_chain_id(&w->rpc, &id, &w->diag), CSL_EPROTO);
    world_result(w, "\"0xffffffffffffffff\"");
    assert_int_equal(csl_rpc_chain_id(&w->rpc, &id, &w->diag), CSL_EPROTO);
}

static void not_blocks(void **state) {
    struct world *w = *state;
    static const char *const bad[] = {
        "[]",
        "\"0x1\"",
        "{}",
        "true",
        "{\"number\":\"0x1\",\"hash\":\"0x11\",\"parentHash\":\"" H1
        "\",\"timestamp\":\"0x1\",\"gasLimit\":\"0x1\"}",
        "{\"number\":\"0x1\",\"hash\":\"" H1 "\",\"parentHash\":\"" H1
        "00\",\"timestamp\":\"0x1\",\"gasLimit\":\"0x1\"}",
        "{\"number\":null,\"hash\":null,\"parentHash\":\"" H1
        "\",\"timestamp\":\"0x1\",\"gasLimit\":\"0x1\"}",
        "{\"number\":\"0x1\",\"hash\":\"" H1 "\",\"parentHash\":\"" H1
        "\",\"timestamp\":17,\"gasLimit\":\"0x1\"}",
        "{\"number\":\"0x1\",\"hash\":\"" H1 "\",\"parentHash\":\"" H1
        "\",\"timestamp\":\"0x1\",\"gasLimit\":\"0x1\",\"baseFeePerGas\":\"0xfffffffffffffffff\"}"};
    struct csl_block b;
    bool found = false;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        world_result(w, bad[i]);
        assert_int_equal(csl_rpc_block(&w->rpc, &b, &found, CSL_LATEST, &w->diag), CSL_EPROTO);
        world_blames(w, "eth_getBlockByNumber", "");
        assert_false(found);
    }
}

static void not_bytes(void **state) {
    struct world *w = *state;
    static const char *const bad[] = {"null",   "\"\"", "\"0x1\"",          "\"0xzz\"",
                                      "\"ab\"", "7",    "\"0x12\\u000034\""};
    uint8_t *out = NULL;
    size_t n = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        world_result(w, bad[i]);
        assert_int_equal(csl_rpc_code(&w->rpc, &out, &n, address, CSL_LATEST, &w->diag), CSL_EPROTO);
        world_blames(w, "eth_getCode", "is not");
        assert_null(out);
    }
}

static int prepare(void **state) {
    (void)state;
    return csl_address_parse(address, A1, NULL) != CSL_OK || !csl_hex0x_parse(hash1, sizeof hash1, H1) ||
           !csl_hex0x_parse(hash2, sizeof hash2, H2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(numbers),          TEST(blocks),        TEST(calls),
                                       TEST(receipts),         TEST(transactions),  TEST(sends),
                                       TEST(broken_envelopes), TEST(nested_answer), TEST(not_quantities),
                                       TEST(not_blocks),       TEST(not_bytes),     TEST(nulls)};
    return cmocka_run_group_tests(tests, prepare, NULL);
}
