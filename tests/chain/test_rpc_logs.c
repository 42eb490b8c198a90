/* Logs in ranges, and fees: a node that orders, repeats, adds and refuses as it likes. */
#include "tests/chain/rpc_world.h"

#define H1 "0x1111111111111111111111111111111111111111111111111111111111111111"
#define H2 "0x2222222222222222222222222222222222222222222222222222222222222222"
#define H3 "0x3333333333333333333333333333333333333333333333333333333333333333"
#define A1 "0x5FbDB2315678afecb367f032d93F642f64180aa3"
#define A2 "0x00000000000000000000000000000000000000ff"
#define ANSWER(result) "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":" result "}"
#define REFUSAL(message)                                                                                     \
    "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":{\"code\":-32005,\"message\":\"" message "\"}}"

#define LOG_OF(address, topics, block, hash, index, data)                                                    \
    "{\"address\":\"" address "\",\"topics\":[" topics "],\"blockNumber\":\"" block                          \
    "\",\"blockHash\":\"" hash "\",\"transactionHash\":\"" H3 "\",\"logIndex\":\"" index                     \
    "\",\"data\":\"" data "\",\"removed\":false}"
#define LOG(block, hash, index) LOG_OF(A1, "\"" H1 "\",\"" H2 "\"", block, hash, index, "0x0a0b")

static uint8_t address[CSL_ADDRESS_BYTES], hash1[CSL_HASH_BYTES], hash2[CSL_HASH_BYTES];

struct seen {
    size_t n, stop_at;
    uint64_t block[8], index[8];
};

static enum csl_err keep(void *arg, const struct csl_log *log, struct csl_diag *diag) {
    struct seen *s = arg;
    assert_int_equal(log->n_topics, 2);
    assert_int_equal(log->n_data, 2);
    assert_int_equal(log->data[1], 0x0b);
    assert_memory_equal(log->topics[1], hash2, sizeof hash2);
    assert_true(s->n < 8);
    s->block[s->n] = log->block_number;
    s->index[s->n++] = log->index;
    return s->n == s->stop_at ? csl_fail(diag, CSL_ESTALE, "enough") : CSL_OK;
}

static struct csl_log_filter filter_of(uint64_t from, uint64_t to, uint32_t step) {
    return (struct csl_log_filter){.address = address,
                                   .topics = {hash1, NULL, NULL, NULL},
                                   .from_block = from,
                                   .to_block = to,
                                   .step = step};
}

static void in_ranges(void **state) {
    struct world *w = *state;
    struct seen seen = {0};
    const struct csl_log_filter f = filter_of(5, 24, 8);
    world_says(w, (const char *const[]){ANSWER("[" LOG("0x5", H1, "0x0") "," LOG("0x5", H1, "0x3") "]"),
                                        ANSWER("[]"), ANSWER("[" LOG("0x18", H2, "0x1") "]"), NULL});
    assert_ok(csl_rpc_logs(&w->rpc, &f, keep, &seen, &w->diag));
    assert_true(seen.n == 3 && seen.block[2] == 24 && seen.index[1] == 3);
    assert_int_equal(w->n_asked, 3);
    world_was_asked(w, 0, "eth_getLogs",
                    "[{\"fromBlock\":\"0x5\",\"toBlock\":\"0xc\",\"address\":\"" A1 "\",\"topics\":[\"" H1
                    "\"]}]");
    world_was_asked(w, 2, "eth_getLogs",
                    "[{\"fromBlock\":\"0x15\",\"toBlock\":\"0x18\",\"address\":\"" A1 "\",\"topics\":[\"" H1
                    "\"]}]");
}

/* Too much at once: half of it, down to a block; then it is an error. */
static void halved(void **state) {
    struct world *w = *state;
    struct seen seen = {0};
    struct csl_log_filter f = filter_of(0, 3, 0);
    world_says(w, (const char *const[]){
                      REFUSAL("query returned more than 10000 results"), REFUSAL("block range is too wide"),
                      ANSWER("[" LOG("0x0", H1, "0x0") "]"), ANSWER("[" LOG("0x1", H1, "0x0") "]"),
                      ANSWER("[]"), ANSWER("[" LOG("0x3", H1, "0x0") "]"), NULL});
    assert_ok(csl_rpc_logs(&w->rpc, &f, keep, &seen, &w->diag));
    assert_int_equal(seen.n, 3);
    assert_int_equal(w->n_asked, 6);
    world_says(w, (const char *const[]){REFUSAL("too many logs"), NULL});
    assert_int_equal(csl_rpc_logs(&w->rpc, &f, keep, &seen, &w->diag), CSL_EPEER);
    assert_int_equal(w->n_asked, 3); /* four blocks, two, one */
    assert_int_equal(w->rpc.refused, CSL_REFUSED_RANGE);
    world_blames(w, "eth_getLogs", "too many logs");
}

static void the_last_block(void **state) {
    struct world *w = *state;
    struct seen seen = {0};
    struct csl_log_filter f = filter_of(UINT64_MAX - 1, UINT64_MAX, 1);
    world_result(w, "[]");
    assert_ok(csl_rpc_logs(&w->rpc, &f, keep, &seen, &w->diag));
    assert_int_equal(w->n_asked, 2);
    f.from_block = 9;
    f.to_block = 8;
    world_result(w, "[]");
    assert_ok(csl_rpc_logs(&w->rpc, &f, keep, &seen, &w->diag));
    assert_int_equal(w->n_asked, 0);
}

static void lies(void **state) {
    struct world *w = *state;
    static const char *const bad[] = {
        "null",
        "{}",
        "[7]",
        "[[]]",
        "[" LOG("0x4", H1, "0x0") "]",                           /* before what was asked for */
        "[" LOG("0x19", H1, "0x0") "]",                          /* behind it */
        "[" LOG("0x6", H1, "0x0") "," LOG("0x5", H2, "0x0") "]", /* out of order */
        "[" LOG("0x6", H1, "0x2") "," LOG("0x6", H1, "0x1") "]", /* likewise in a block */
        "[" LOG("0x6", H1, "0x2") "," LOG("0x6", H1, "0x2") "]", /* twice */
        "[" LOG("0x6", H1, "0x1") "," LOG("0x6", H2, "0x2") "]", /* one number, two blocks */
        "[" LOG_OF(A2, "\"" H1 "\",\"" H2 "\"", "0x6", H1, "0x0", "0x0a0b") "]", /* another contract */
        "[" LOG_OF(A1, "\"" H2 "\",\"" H2 "\"", "0x6", H1, "0x0", "0x0a0b") "]", /* another topic */
        "[" LOG_OF(A1, "", "0x6", H1, "0x0", "0x0a0b") "]",
        "[" LOG_OF(A1, "\"" H1 "\",\"" H1 "\",\"" H1 "\",\"" H1 "\",\"" H1 "\"", "0x6", H1, "0x0",
                   "0x0a0b") "]",
        "[" LOG_OF(A1, "\"" H1 "\",\"0x22\"", "0x6", H1, "0x0", "0x0a0b") "]",
        "[" LOG_OF(A1, "\"" H1 "\",\"" H2 "\"", "0x6", H1, "0x0", "0x0a0") "]",
        "[" LOG_OF(A1, "\"" H1 "\",\"" H2 "\"", "6", H1, "0x0", "0x0a0b") "]",
        "[{\"removed\":true}]"};
    struct csl_log_filter f = filter_of(5, 24, 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct seen seen = {0};
        world_result(w, bad[i]);
        assert_int_equal(csl_rpc_logs(&w->rpc, &f, keep, &seen, &w->diag), CSL_EPROTO);
        world_blames(w, "eth_getLogs", "");
    }
}

/* Data of 4,097 bytes. */
static void large_data(void **state) {
    struct world *w = *state;
    struct csl_log_filter f = filter_of(5, 24, 0);
    static char result[16384];
    struct seen seen = {0};
    int n = snprintf(result, sizeof result,
                     "[" LOG_OF(A1, "\"" H1 "\",\"" H2 "\"", "0x6", H1, "0x0", "0x%08194d") "]", 0);
    assert_true(n > 8194 && (size_t)n < sizeof result);
    world_result(w, result);
    assert_int_equal(csl_rpc_logs(&w->rpc, &f, keep, &seen, &w->diag), CSL_EPROTO);
    world_blames(w, "eth_getLogs", "data");
}

static void the_sink_says_stop(void **state) {
    struct world *w = *state;
    struct seen seen = {.stop_at = 2};
    struct csl_log_filter f = filter_of(5, 24, 0);
    world_result(w, "[" LOG("0x5", H1, "0x0") "," LOG("0x5", H1, "0x1") "," LOG("0x5", H1, "0x2") "]");
    assert_int_equal(csl_rpc_logs(&w->rpc, &f, keep, &seen, &w->diag), CSL_ESTALE);
    assert_string_equal(w->diag.text, "enough");
    assert_int_equal(seen.n, 2);
}

/* ---- Fees ---- */

#define LATEST(more)                                                                                         \
    ANSWER("{\"number\":\"0x3\",\"hash\":\"" H1 "\",\"parentHash\":\"" H2                                    \
           "\",\"timestamp\":\"0x1\",\"gasLimit\":\"0x1\"" more "}")
#define HISTORY(fees, rewards)                                                                               \
    ANSWER("{\"oldestBlock\":\"0x1\",\"baseFeePerGas\":" fees ",\"reward\":" rewards "}")
#define NO_METHOD                                                                                            \
    "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":{\"code\":-32601,\"message\":\"no such method\"}}"

static void fees_of_1559(void **state) {
    struct world *w = *state;
    struct csl_fees fees;
    world_says(w,
               (const char *const[]){
                   LATEST(",\"baseFeePerGas\":\"0x8\""),
                   HISTORY("[\"0x7\",\"0x8\",\"0x9\"]", "[[\"0x0\"],[\"0x5\"],[\"0x3\"],[\"0x64\"]]"), NULL});
    assert_ok(csl_rpc_fees(&w->rpc, &fees, &w->diag));
    assert_true(!fees.legacy && fees.base_fee == 9 && fees.priority == 5 && fees.gas_price == 14);
    world_was_asked(w, 1, "eth_feeHistory", "[\"0x5\",\"latest\",[50]]");
    assert_int_equal(w->n_asked, 2);
    /* Nobody paid a tip: what the node would. */
    world_says(w, (const char *const[]){LATEST(",\"baseFeePerGas\":\"0x8\""),
                                        HISTORY("[\"0x9\"]", "[[\"0x0\"]]"), ANSWER("\"0x2\""), NULL});
    assert_ok(csl_rpc_fees(&w->rpc, &fees, &w->diag));
    assert_true(fees.base_fee == 9 && fees.priority == 2);
    world_was_asked(w, 2, "eth_maxPriorityFeePerGas", "[]");
}

static void fees_of_sparse_nodes(void **state) {
    struct world *w = *state;
    struct csl_fees fees;
    /* No history: what the base fee can rise to; and no tip either. */
    world_says(w, (const char *const[]){LATEST(",\"baseFeePerGas\":\"0x50\""), NO_METHOD, NO_METHOD, NULL});
    assert_ok(csl_rpc_fees(&w->rpc, &fees, &w->diag));
    assert_true(fees.base_fee == 91 && fees.priority == 0);
    /* No base fee: legacy. */
    world_says(w, (const char *const[]){LATEST(""), ANSWER("\"0x4a817c800\""), NULL});
    assert_ok(csl_rpc_fees(&w->rpc, &fees, &w->diag));
    assert_true(fees.legacy && fees.gas_price == 20000000000);
    world_was_asked(w, 1, "eth_gasPrice", "[]");
    /* As much as there can be does not wrap around. */
    world_says(w, (const char *const[]){LATEST(",\"baseFeePerGas\":\"0x8\""),
                                        HISTORY("[\"0xffffffffffffffff\"]", "[[\"0xffffffffffffffff\"]]"),
                                        NULL});
    assert_ok(csl_rpc_fees(&w->rpc, &fees, &w->diag));
    assert_true(fees.gas_price == UINT64_MAX);
}

static void lying_fees(void **state) {
    struct world *w = *state;
    static const char *const bad[] = {"null",
                                      "[]",
                                      "{}",
                                      "{\"baseFeePerGas\":[]}",
                                      "{\"baseFeePerGas\":\"0x1\"}",
                                      "{\"baseFeePerGas\":[1]}",
                                      "{\"baseFeePerGas\":[\"0x10000000000000000\"]}",
                                      "{\"baseFeePerGas\":[\"0x1\"],\"reward\":[\"0x1\"]}",
                                      "{\"baseFeePerGas\":[\"0x1\"],\"reward\":[[]]}",
                                      "{\"baseFeePerGas\":[\"0x1\"],\"reward\":[[\"0x1\",\"0x2\"]]}",
                                      "{\"baseFeePerGas\":[\"0x1\"],\"reward\":[[null]]}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char body[256];
        struct csl_fees fees = {.base_fee = 77};
        (void)snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":%s}", bad[i]);
        world_says(w, (const char *const[]){LATEST(",\"baseFeePerGas\":\"0x8\""), body, NULL});
        assert_int_equal(csl_rpc_fees(&w->rpc, &fees, &w->diag), CSL_EPROTO);
        assert_int_equal(fees.base_fee, 77);
        world_blames(w, "eth_feeHistory", "");
    }
    world_result(w, "null"); /* no latest block */
    struct csl_fees fees;
    assert_int_equal(csl_rpc_fees(&w->rpc, &fees, &w->diag), CSL_EPROTO);
    world_blames(w, "eth_getBlockByNumber", "no latest block");
}

static int prepare(void **state) {
    (void)state;
    return csl_address_parse(address, A1, NULL) != CSL_OK || !csl_hex0x_parse(hash1, sizeof hash1, H1) ||
           !csl_hex0x_parse(hash2, sizeof hash2, H2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(in_ranges),      TEST(halved),
                                       TEST(the_last_block), TEST(lies),
                                       TEST(large_data),     TEST(the_sink_says_stop),
                                       TEST(fees_of_1559),   TEST(fees_of_sparse_nodes),
                                       TEST(lying_fees)};
    return cmocka_run_group_tests(tests, prepare, NULL);
}
