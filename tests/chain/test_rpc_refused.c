/* Nodes that refuse, and nodes that cannot be reached. */
#include "tests/chain/rpc_world.h"

#include "tests/net/http_server.h"
#include "tests/net/test_certs.h"

static const uint8_t address[CSL_ADDRESS_BYTES] = {0x5f, 0xbd, 0xb2};

/* ---- The connection ---- */

static void bad_connections(void **state) {
    struct world *w = *state;
    uint64_t v = 0;
    world_result(w, "\"0x1\"");
    w->status = 429;
    assert_int_equal(csl_rpc_chain_id(&w->rpc, &v, &w->diag), CSL_EPROTO);
    world_blames(w, "eth_chainId", "429");
    w->status = 307;
    assert_int_equal(csl_rpc_chain_id(&w->rpc, &v, &w->diag), CSL_EPROTO);
    w->status = 200;
    w->how = WORLD_CLOSES;
    assert_int_equal(csl_rpc_chain_id(&w->rpc, &v, &w->diag), CSL_EPEER);
    world_blames(w, "eth_chainId", "");
    assert_int_equal(w->rpc.refused, CSL_REFUSED_NOT);
    w->how = WORLD_CUTS;
    assert_int_equal(csl_rpc_chain_id(&w->rpc, &v, &w->diag), CSL_EPEER);
    w->how = WORLD_HUGE;
    assert_int_equal(csl_rpc_chain_id(&w->rpc, &v, &w->diag), CSL_EPROTO);
    world_blames(w, "eth_chainId", "");
    w->how = WORLD_NEVER;
    w->rpc.total_ms = 50;
    assert_int_equal(csl_rpc_chain_id(&w->rpc, &v, &w->diag), CSL_ETIMEOUT);
    world_blames(w, "eth_chainId", "");
    w->how = WORLD_ANSWERS_WHOLE;
    w->rpc.total_ms = 0;
    assert_ok(csl_rpc_chain_id(&w->rpc, &v, &w->diag));
    w->rpc.url = "ftp://127.0.0.1/";
    assert_int_equal(csl_rpc_chain_id(&w->rpc, &v, &w->diag), CSL_EUSAGE);
}

/* ---- Refusals ---- */

static void refuses(struct world *w, const char *error, enum csl_rpc_refusal want) {
    static char body[4096];
    uint64_t gas = 0;
    const struct csl_call call = {.from = address, .to = address};
    (void)snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":%s}", error);
    world_says(w, (const char *const[]){body, NULL});
    assert_int_equal(csl_rpc_estimate_gas(&w->rpc, &gas, &call, &w->diag), CSL_EPEER);
    world_blames(w, "eth_estimateGas", "");
    if (w->rpc.refused != want) {
        fail_msg("%s is understood as %d, not %d", error, (int)w->rpc.refused, (int)want);
    }
}

#define E(code, message) "{\"code\":" code ",\"message\":\"" message "\"}"

static void refusals(void **state) {
    struct world *w = *state;
    const struct {
        const char *error;
        enum csl_rpc_refusal want;
    } cases[] = {{E("-32000", "already known"), CSL_REFUSED_KNOWN},
                 {E("-32010", "AlreadyKnown"), CSL_REFUSED_KNOWN},
                 {E("-32003", "transaction already imported"), CSL_REFUSED_KNOWN},
                 {E("-32000", "Known transaction"), CSL_REFUSED_KNOWN},
                 {E("-32000", "nonce too low: next nonce 4, tx nonce 3"), CSL_REFUSED_NONCE_LOW},
                 {E("-32001", "Nonce too low"), CSL_REFUSED_NONCE_LOW},
                 {E("-32010", "OldNonce"), CSL_REFUSED_NONCE_LOW},
                 {E("-32000", "nonce too high"), CSL_REFUSED_NONCE_HIGH},
                 {E("-32000", "insufficient funds for gas * price + value: balance 0"), CSL_REFUSED_FUNDS},
                 {E("-32003", "Insufficient funds for gas * price + value"), CSL_REFUSED_FUNDS},
                 {E("-32004", "Upfront cost exceeds account balance"), CSL_REFUSED_FUNDS},
                 {E("-32000", "replacement transaction underpriced"), CSL_REFUSED_UNDERPRICED},
                 {E("-32003", "max fee per gas less than block base fee"), CSL_REFUSED_UNDERPRICED},
                 {E("-32009", "Gas price below configured minimum gas price"), CSL_REFUSED_UNDERPRICED},
                 {E("-32010", "FeeTooLow, MaxFeePerGas too low"), CSL_REFUSED_UNDERPRICED},
                 {E("-32003", "invalid chain id for signer"), CSL_REFUSED_CHAIN_ID},
                 {E("-32000", "invalid sender"), CSL_REFUSED_CHAIN_ID},
                 {E("-32601", "the method x does not exist/is not available"), CSL_REFUSED_METHOD},
                 {E("-32005", "query returned more than 10000 results"), CSL_REFUSED_RANGE},
                 {E("-32600", "eth_getLogs is limited to a 10,000 range"), CSL_REFUSED_RANGE},
                 {E("3", "execution reverted"), CSL_REFUSED_REVERT},
                 {E("3", "execution reverted: already known"), CSL_REFUSED_REVERT}, /* the contract's words */
                 {E("-32000", "execution reverted: nonce too low"), CSL_REFUSED_REVERT},
                 {E("-32015", "VM execution error: revert"), CSL_REFUSED_REVERT},
                 {E("-32000", "gas required exceeds allowance (100)"), CSL_REFUSED_OTHER},
                 {E("-32603", ""), CSL_REFUSED_OTHER}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        refuses(w, cases[i].error, cases[i].want);
    }
    /* An error to a request whose id could not be read. */
    world_says(w, (const char *const[]){
                      "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":" E("-32700", "parse error") "}", NULL});
    uint64_t v = 0;
    assert_int_equal(csl_rpc_chain_id(&w->rpc, &v, &w->diag), CSL_EPEER);
    world_blames(w, "eth_chainId", "parse error");
    refuses(w, E("-1", "line\\none\\u001b[31m \\u00e9"), CSL_REFUSED_OTHER);
    world_blames(w, "eth_estimateGas", "line?one?[31m ??");
}

#define NO_OWNER                                                                                             \
    "0x08c379a0"                                                                                             \
    "0000000000000000000000000000000000000000000000000000000000000020"                                       \
    "000000000000000000000000000000000000000000000000000000000000000d"                                       \
    "6e6f7420746865206f776e657200000000000000000000000000000000000000"

static void reverts(void **state) {
    struct world *w = *state;
    static const char *const errors[] = {"Other()", "Stale(uint64)"};
    uint8_t selector[CSL_ABI_SELECTOR];
    char hex[2 * CSL_ABI_SELECTOR + 3], error[512];
    w->rpc.errors = errors;
    w->rpc.n_errors = 2;
    refuses(w, "{\"code\":3,\"message\":\"execution reverted: not the owner\",\"data\":\"" NO_OWNER "\"}",
            CSL_REFUSED_REVERT);
    assert_string_equal(w->rpc.revert, "not the owner");
    assert_int_equal(w->rpc.revert_known, -1);
    world_blames(w, "eth_estimateGas", "the call is reverted: not the owner");
    refuses(w, "{\"code\":-32000,\"message\":\"m\",\"data\":{\"data\":\"" NO_OWNER "\"}}",
            CSL_REFUSED_REVERT);
    assert_string_equal(w->rpc.revert, "not the owner");
    csl_abi_selector(selector, "Stale(uint64)");
    csl_hex0x_text(hex, selector, sizeof selector);
    (void)snprintf(error, sizeof error, "{\"code\":3,\"message\":\"m\",\"data\":\"%s%064x\"}", hex, 12);
    refuses(w, error, CSL_REFUSED_REVERT);
    assert_string_equal(w->rpc.revert, "Stale(12)");
    assert_int_equal(w->rpc.revert_known, 1);
    /* Data that is none is not a reason. */
    refuses(w, "{\"code\":3,\"message\":\"execution reverted\",\"data\":\"0xabc\"}", CSL_REFUSED_REVERT);
    assert_string_equal(w->rpc.revert, "no reason given");
    refuses(w, "{\"code\":-1,\"message\":\"m\",\"data\":[1]}", CSL_REFUSED_OTHER);
    assert_string_equal(w->rpc.revert, "");
}

static void nothing(void *arg, const struct test_http_request *q, struct test_http_conn *c) {
    (void)arg;
    (void)q;
    (void)test_http_answer(c, 200, "application/json", "{}", 2);
}

/* Nobody's certificate: the node is not to be had now, and may be tomorrow. */
static void bad_certificate(void **state) {
    (void)state;
    struct test_ca ca = test_ca_new("nobody's CA");
    struct test_cert cert = test_cert_new(&ca, "a", "IP:127.0.0.1", -3600, 86400);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    struct csl_diag diag = {""};
    uint64_t v = 0;
    assert_non_null(tls);
    assert_int_equal(SSL_CTX_use_certificate(tls, cert.cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(tls, cert.key), 1);
    struct test_http *s = test_http_start(nothing, NULL, tls);
    struct csl_rpc rpc = {.url = test_http_url(s, "/")};
    assert_int_equal(csl_rpc_chain_id(&rpc, &v, &diag), CSL_EUNAVAILABLE);
    assert_non_null(strstr(diag.text, "certificate of https://127.0.0.1"));
    test_http_stop(s);
    SSL_CTX_free(tls);
    test_cert_free(&cert);
    test_ca_free(&ca);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(bad_connections), TEST(refusals), TEST(reverts),
                                       cmocka_unit_test(bad_certificate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
