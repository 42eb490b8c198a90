/* Signers: ours, and a remote one that signs something else, with another key, or not at all. */
#include "tests/chain/rpc_world.h"

#include "chain/account.h"
#include "chain/signer.h"

static struct csl_account *account, *stranger;
static struct csl_tx asked;
static const uint8_t call_data[] = {1, 2, 3, 4, 5};

static int make_accounts(void **state) {
    (void)state;
    uint8_t key[CSL_ACCOUNT_KEY_BYTES] = {1};
    if (csl_account_from_key(&account, key, NULL) != CSL_OK || csl_account_new(&stranger, NULL) != CSL_OK) {
        return 1;
    }
    asked = (struct csl_tx){.chain_id = 31337,
                            .nonce = 7,
                            .to = {0xc0},
                            .data = call_data,
                            .n_data = sizeof call_data,
                            .gas_limit = 100000,
                            .max_fee = 3000000000,
                            .max_priority = 1000000000};
    return 0;
}

static int free_accounts(void **state) {
    (void)state;
    csl_account_free(account);
    csl_account_free(stranger);
    return 0;
}

static struct csl_signer signer_of(struct world *w, enum csl_signer_kind kind) {
    struct csl_signer s = {
        .kind = kind, .account = kind == CSL_SIGNER_ACCOUNT ? account : NULL, .remote = &w->rpc};
    memcpy(s.address, csl_account_address(account), sizeof s.address);
    return s;
}

/* The remote signer answers with these bytes; object: as {"raw": ..}. */
static void answers_raw(struct world *w, const uint8_t *raw, size_t n, bool object) {
    char hex[2048], result[4096];
    assert_true(n < 1000);
    csl_hex0x_text(hex, raw, n);
    (void)snprintf(result, sizeof result, object ? "{\"raw\":\"%s\",\"tx\":{\"nonce\":\"0x9\"}}" : "\"%s\"",
                   hex);
    world_result(w, result);
}

static void answers_signed(struct world *w, const struct csl_tx *tx, const struct csl_account *by,
                           bool object) {
    uint8_t *raw = NULL, hash[CSL_HASH_BYTES];
    size_t n = 0;
    assert_ok(csl_tx_sign(&raw, &n, hash, tx, by, NULL));
    answers_raw(w, raw, n, object);
    free(raw);
}

/* The remote signer's answer is refused. */
static void refuses(struct world *w, enum csl_err want, const char *what) {
    struct csl_signer s = signer_of(w, CSL_SIGNER_WEB3);
    uint8_t *raw = NULL, hash[CSL_HASH_BYTES] = {0};
    size_t n = 0;
    assert_int_equal(csl_signer_sign(&raw, &n, hash, &s, &asked, &w->diag), want);
    assert_null(raw);
    assert_int_equal(n, 0);
    world_blames(w, "eth_signTransaction", what);
}

static void signs(struct world *w, enum csl_signer_kind kind, const struct csl_tx *tx) {
    struct csl_signer s = signer_of(w, kind);
    uint8_t *raw = NULL, *own = NULL, hash[CSL_HASH_BYTES], own_hash[CSL_HASH_BYTES];
    size_t n = 0, n_own = 0;
    assert_ok(csl_signer_sign(&raw, &n, hash, &s, tx, &w->diag));
    assert_ok(csl_tx_sign(&own, &n_own, own_hash, tx, account, NULL));
    assert_int_equal(n, n_own);
    assert_memory_equal(raw, own, n);
    assert_memory_equal(hash, own_hash, sizeof hash);
    free(raw);
    free(own);
}

#define FIELDS                                                                                               \
    "\"from\":\"0x%s\",\"to\":\"0xC000000000000000000000000000000000000000\",\"nonce\":\"0x7\","             \
    "\"chainId\":\"0x7a69\",\"gas\":\"0x186a0\",\"value\":\"0x0\",\"data\":\"0x0102030405\","

static void was_asked_to_sign(struct world *w, const char *method, const char *fees) {
    char text[CSL_ADDRESS_ROOM], params[1024];
    csl_address_text(text, csl_account_address(account));
    (void)snprintf(params, sizeof params, "[{" FIELDS "%s}]", text + 2, fees);
    world_was_asked(w, 0, method, params);
}

static void honest(void **state) {
    struct world *w = *state;
    struct csl_tx legacy = asked, creation = asked;
    signs(w, CSL_SIGNER_ACCOUNT, &asked);
    answers_signed(w, &asked, account, false);
    signs(w, CSL_SIGNER_WEB3, &asked);
    was_asked_to_sign(w, "eth_signTransaction",
                      "\"maxFeePerGas\":\"0xb2d05e00\",\"maxPriorityFeePerGas\":\"0x3b9aca00\"");
    answers_signed(w, &asked, account, true);
    signs(w, CSL_SIGNER_WEB3, &asked);
    answers_signed(w, &asked, account, true);
    signs(w, CSL_SIGNER_CLEF, &asked);
    was_asked_to_sign(w, "account_signTransaction",
                      "\"maxFeePerGas\":\"0xb2d05e00\",\"maxPriorityFeePerGas\":\"0x3b9aca00\"");
    legacy.legacy = true;
    legacy.max_priority = 0;
    answers_signed(w, &legacy, account, false);
    signs(w, CSL_SIGNER_WEB3, &legacy);
    was_asked_to_sign(w, "eth_signTransaction", "\"gasPrice\":\"0xb2d05e00\"");
    creation.creates = true;
    memset(creation.to, 0, sizeof creation.to);
    answers_signed(w, &creation, account, false);
    signs(w, CSL_SIGNER_WEB3, &creation);
    assert_null(strstr(w->asked[0], "\"to\""));
}

/* One field changed, each signed with the right key. */
static void another_transaction(void **state) {
    struct world *w = *state;
    static const uint8_t other_data[] = {1, 2, 3, 4, 6};
    const char *const named[] = {"chain id",  "nonce", "gas limit", "fee per gas", "tip per gas", "recipient",
                                 "recipient", "value", "data",      "data",        "legacy"};
    enum { N = sizeof named / sizeof named[0] };
    struct csl_tx other[N];
    for (size_t i = 0; i < N; i++) {
        other[i] = asked;
    }
    other[0].chain_id = 1;
    other[1].nonce = 8;
    other[2].gas_limit++;
    other[3].max_fee++;
    other[4].max_priority++;
    other[5].to[19] = 1;
    other[6].creates = true;
    memset(other[6].to, 0, sizeof other[6].to);
    other[7].value = 1;
    other[8].data = other_data;
    other[9].n_data--;
    other[10].legacy = true;
    other[10].max_priority = 0;
    for (size_t i = 0; i < N; i++) {
        answers_signed(w, &other[i], account, i % 2 == 0);
        refuses(w, CSL_EPROTO, named[i]);
    }
}

static void another_key(void **state) {
    struct world *w = *state;
    char text[CSL_ADDRESS_ROOM];
    csl_address_text(text, csl_account_address(stranger));
    answers_signed(w, &asked, stranger, false);
    refuses(w, CSL_EAUTH, text);
}

static void broken_bytes(void **state) {
    struct world *w = *state;
    uint8_t *raw = NULL, hash[CSL_HASH_BYTES];
    size_t n = 0;
    struct csl_tx_signature none = {.parity = 0};
    assert_ok(csl_tx_sign(&raw, &n, hash, &asked, account, NULL));
    for (size_t cut = 0; cut < n; cut += 9) {
        answers_raw(w, raw, cut, false);
        refuses(w, CSL_EPROTO, "");
    }
    raw[n - 1] ^= 1; /* s: another sender, or none */
    answers_raw(w, raw, n, false);
    refuses(w, CSL_EAUTH, "sign");
    free(raw);
    /* Not signed: r and s are zero. */
    assert_ok(csl_tx_encode(&raw, &n, &asked, &none, NULL));
    answers_raw(w, raw, n, true);
    refuses(w, CSL_EAUTH, "signature");
    free(raw);
}

/* The unsigned bytes, whose hash is signed, are no transaction. */
static void unsigned_bytes(void **state) {
    struct world *w = *state;
    size_t n = 0;
    uint8_t *raw = from_hex("0x02e9827a6907843b9aca0084b2d05e00830186a094c00000000000000000000000000000000000"
                            "000080850102030405c0",
                            &n);
    answers_raw(w, raw, n, false);
    refuses(w, CSL_EPROTO, "");
    free(raw);
}

static void no_transaction(void **state) {
    struct world *w = *state;
    static const char *const bad[] = {
        "null", "7", "true", "{}", "[]", "\"0x\"", "\"signed\"", "{\"raw\":7}", "{\"raw\":\"0x123\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        world_result(w, bad[i]);
        refuses(w, CSL_EPROTO, "");
    }
    world_says(
        w, (const char *const[]){
               "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":{\"code\":-32000,\"message\":\"Request denied\"}}",
               NULL});
    refuses(w, CSL_EPEER, "Request denied");
    w->how = WORLD_NEVER;
    w->rpc.total_ms = 50;
    refuses(w, CSL_ETIMEOUT, "");
}

/* What no chain takes is not even asked for. */
static void our_own_mistake(void **state) {
    struct world *w = *state;
    struct csl_signer s = signer_of(w, CSL_SIGNER_WEB3);
    struct csl_tx tx = asked;
    uint8_t *raw = NULL, hash[CSL_HASH_BYTES];
    size_t n = 0;
    tx.max_priority = tx.max_fee + 1;
    assert_int_equal(csl_signer_sign(&raw, &n, hash, &s, &tx, &w->diag), CSL_EUSAGE);
    assert_int_equal(w->n_asked, 0);
    s = signer_of(w, CSL_SIGNER_ACCOUNT); /* an account that is not the one it should be */
    s.account = stranger;
    assert_int_equal(csl_signer_sign(&raw, &n, hash, &s, &asked, &w->diag), CSL_ECONFIG);
}

static void has_the_account(void **state) {
    struct world *w = *state;
    char text[CSL_ADDRESS_ROOM], result[256];
    struct csl_signer s = signer_of(w, CSL_SIGNER_WEB3), clef = signer_of(w, CSL_SIGNER_CLEF),
                      own = signer_of(w, CSL_SIGNER_ACCOUNT);
    csl_hex0x_text(text, csl_account_address(account), CSL_ADDRESS_BYTES);
    (void)snprintf(result, sizeof result, "[\"0x00000000000000000000000000000000000000ff\",\"%s\"]", text);
    world_result(w, result);
    assert_ok(csl_signer_check(&s, &w->diag));
    world_was_asked(w, 0, "eth_accounts", "[]");
    world_result(w, result);
    assert_ok(csl_signer_check(&clef, &w->diag));
    world_was_asked(w, 0, "account_list", "[]");
    assert_ok(csl_signer_check(&own, &w->diag));
    world_result(w, "[\"0x00000000000000000000000000000000000000ff\"]");
    assert_int_equal(csl_signer_check(&s, &w->diag), CSL_ECONFIG);
    world_blames(w, "eth_accounts", "has no account");
    world_result(w, "[]"); /* its keys are not loaded yet: asked again */
    assert_int_equal(csl_signer_check(&s, &w->diag), CSL_EUNAVAILABLE);
    world_blames(w, "eth_accounts", "no accounts yet");
    static const char *const bad[] = {"null", "\"0x00000000000000000000000000000000000000ff\"", "[7]",
                                      "[\"0xff\"]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        world_result(w, bad[i]);
        assert_int_equal(csl_signer_check(&s, &w->diag), CSL_EPROTO);
        world_blames(w, "eth_accounts", "");
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(honest),          TEST(another_transaction), TEST(another_key),
                                       TEST(broken_bytes),    TEST(unsigned_bytes),      TEST(no_transaction),
                                       TEST(our_own_mistake), TEST(has_the_account)};
    return cmocka_run_group_tests(tests, make_accounts, free_accounts);
}
