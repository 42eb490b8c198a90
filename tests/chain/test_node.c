/* Requests and transactions against a real node: with EIP-1559, and a chain from before it. */
#include "tests/chain/chain_test.h"

#include "chain/account.h"
#include "chain/rpc_internal.h"
#include "chain/signer.h"
#include "cli/anvil.h"

/* Emits a log of 32 bytes with topic 1 when it is called: PUSH1 1, PUSH1 32, PUSH1 0, LOG1, STOP. */
static const uint8_t logger[] = {0x67, 0x60, 0x01, 0x60, 0x20, 0x60, 0x00, 0xa1, 0x00,
                                 0x60, 0x00, 0x52, 0x60, 0x08, 0x60, 0x18, 0xf3};
/* Reverts with the bytes 11 22 33 44. */
static const uint8_t reverter[] = {0x63, 0x11, 0x22, 0x33, 0x44, 0x60, 0x00,
                                   0x52, 0x60, 0x04, 0x60, 0x1c, 0xfd};

static char program[1024];

struct node {
    struct csl_anvil *anvil;
    struct csl_account *account;
    struct csl_rpc rpc;
    struct csl_signer signer;
    struct csl_diag diag;
};
static struct node node;

static void need_anvil(void) {
    FILE *f = popen("scripts/fetch-npm anvil '" CSL_NPM_DIR "' 2>&1", "r");
    size_t n = f == NULL ? 0 : fread(program, 1, sizeof program - 1, f);
    program[n] = '\0';
    program[strcspn(program, "\n")] = '\0';
    if (f == NULL || pclose(f) != 0) {
        printf("skipped: no anvil: %s\n", program);
        exit(77);
    }
}

static int start(void **state, const char *const *args) {
    /* anvil's first account, whose key everybody has */
    static const char key_text[] = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    uint8_t key[CSL_ACCOUNT_KEY_BYTES];
    memset(&node, 0, sizeof node);
    if (!csl_hex0x_parse(key, sizeof key, key_text) ||
        csl_account_from_key(&node.account, key, NULL) != CSL_OK ||
        csl_anvil_start(&node.anvil, program, args, &node.diag) != CSL_OK) {
        print_error("%s\n", node.diag.text);
        return 1;
    }
    node.rpc = (struct csl_rpc){.url = csl_anvil_url(node.anvil)};
    node.signer =
        (struct csl_signer){.kind = CSL_SIGNER_ACCOUNT, .account = node.account, .remote = &node.rpc};
    memcpy(node.signer.address, csl_account_address(node.account), CSL_ADDRESS_BYTES);
    *state = &node;
    return 0;
}

/* Blocks are made by mine() alone: by itself the node makes them some time after its answer. */
static int start_newest(void **state) {
    return start(state, (const char *const[]){"--no-mining", NULL});
}

static int start_legacy(void **state) {
    return start(state, (const char *const[]){"--no-mining", "--hardfork", "berlin", NULL});
}

static int stop(void **state) {
    (void)state;
    csl_anvil_stop(node.anvil);
    csl_account_free(node.account);
    return 0;
}

/* Signs and sends; the hash. */
static enum csl_err send(struct node *n, const struct csl_tx *tx, uint8_t hash[CSL_HASH_BYTES]) {
    uint8_t *raw = NULL;
    size_t n_raw = 0;
    assert_ok(csl_signer_sign(&raw, &n_raw, hash, &n->signer, tx, &n->diag));
    enum csl_err err = csl_rpc_send(&n->rpc, raw, n_raw, &n->diag);
    free(raw);
    return err;
}

static void mine(struct node *n) {
    json_t *result = NULL;
    assert_ok(csl__rpc_ask(&result, &n->rpc, "evm_mine", json_array(), CSL__RPC_SMALL, &n->diag));
    json_decref(result);
}

static void is_refused(struct node *n, const struct csl_tx *tx, enum csl_rpc_refusal why) {
    uint8_t hash[CSL_HASH_BYTES];
    assert_int_equal(send(n, tx, hash), CSL_EPEER);
    if (n->rpc.refused != why) {
        fail_msg("%s is understood as %d, not %d", n->diag.text, (int)n->rpc.refused, (int)why);
    }
}

static struct csl_tx creation(const struct csl_fees *fees, uint64_t gas) {
    return (struct csl_tx){.chain_id = CSL_ANVIL_CHAIN_ID,
                           .creates = true,
                           .data = logger,
                           .n_data = sizeof logger,
                           .gas_limit = gas,
                           .legacy = fees->legacy,
                           .max_fee = fees->legacy ? fees->gas_price : 2 * fees->base_fee + fees->priority,
                           .max_priority = fees->legacy ? 0 : fees->priority};
}

static enum csl_err count(void *arg, const struct csl_log *log, struct csl_diag *diag) {
    (void)diag;
    assert_int_equal(log->n_topics, 1);
    assert_int_equal(log->topics[0][31], 1);
    assert_int_equal(log->n_data, 32);
    ++*(size_t *)arg;
    return CSL_OK;
}

/* Creates the contract, calls it twice, and finds its logs. */
static void a_contract(void **state) {
    struct node *n = *state;
    struct csl_fees fees;
    struct csl_receipt receipt;
    struct csl_rpc_tx seen;
    uint64_t gas = 0, newest = 0, id = 0;
    uint8_t hash[CSL_HASH_BYTES], where[CSL_ADDRESS_BYTES], *code = NULL;
    size_t n_code = 0, n_logs = 0;
    bool found = false;
    const struct csl_call call = {.from = n->signer.address, .data = logger, .n_data = sizeof logger};
    assert_ok(csl_rpc_chain_id(&n->rpc, &id, &n->diag));
    assert_int_equal(id, CSL_ANVIL_CHAIN_ID);
    assert_ok(csl_rpc_fees(&n->rpc, &fees, &n->diag));
    assert_ok(csl_rpc_estimate_gas(&n->rpc, &gas, &call, &n->diag));
    struct csl_tx tx = creation(&fees, gas);
    assert_ok(send(n, &tx, hash));
    assert_ok(csl_rpc_receipt(&n->rpc, &receipt, &found, hash, &n->diag));
    assert_false(found);
    assert_ok(csl_rpc_transaction(&n->rpc, &seen, &found, hash, &n->diag));
    assert_true(found && !seen.mined && seen.nonce == 0);
    mine(n);
    assert_ok(csl_rpc_receipt(&n->rpc, &receipt, &found, hash, &n->diag));
    assert_true(found && receipt.succeeded && receipt.created && receipt.gas_used <= gas);
    csl_address_of_contract(where, n->signer.address, 0);
    assert_memory_equal(where, receipt.contract, sizeof where);
    assert_ok(csl_rpc_transaction(&n->rpc, &seen, &found, hash, &n->diag));
    assert_true(found && seen.mined && memcmp(seen.from, n->signer.address, sizeof seen.from) == 0);
    assert_ok(csl_rpc_code(&n->rpc, &code, &n_code, where, CSL_LATEST, &n->diag));
    assert_int_equal(n_code, 8);
    assert_memory_equal(code, logger + 1, n_code);
    free(code);
    n->signer.kind = CSL_SIGNER_WEB3; /* anvil has the key, too */
    assert_ok(csl_signer_check(&n->signer, &n->diag));
    for (tx.nonce = 1; tx.nonce <= 2; tx.nonce++) {
        tx.creates = false;
        tx.n_data = 0;
        memcpy(tx.to, where, sizeof tx.to);
        assert_ok(send(n, &tx, hash));
        mine(n);
    }
    n->signer.kind = CSL_SIGNER_ACCOUNT;
    assert_ok(csl_rpc_block_number(&n->rpc, &newest, &n->diag));
    const struct csl_log_filter filter = {.address = where, .to_block = newest, .step = 2};
    assert_ok(csl_rpc_logs(&n->rpc, &filter, count, &n_logs, &n->diag));
    assert_int_equal(n_logs, 2);
}

/* A node's words for what it refuses. */
static void refusals(void **state) {
    struct node *n = *state;
    struct csl_fees fees;
    uint64_t gas = 0, nonce = 0;
    uint8_t hash[CSL_HASH_BYTES];
    struct csl_account *poor = NULL;
    assert_ok(csl_rpc_fees(&n->rpc, &fees, &n->diag));
    assert_ok(csl_rpc_nonce(&n->rpc, &nonce, n->signer.address, CSL_PENDING, &n->diag));
    struct csl_tx tx = creation(&fees, 100000);
    is_refused(n, &tx, CSL_REFUSED_NONCE_LOW);
    tx.nonce = nonce;
    tx.chain_id++;
    is_refused(n, &tx, CSL_REFUSED_CHAIN_ID);
    tx.chain_id--;
    tx.max_fee = tx.max_priority = 1;
    is_refused(n, &tx, CSL_REFUSED_UNDERPRICED);
    tx = creation(&fees, 100000);
    tx.nonce = nonce + 5; /* waits, since those before it are missing */
    assert_ok(send(n, &tx, hash));
    is_refused(n, &tx, CSL_REFUSED_KNOWN);
    const struct csl_call call = {.from = n->signer.address, .data = reverter, .n_data = sizeof reverter};
    assert_int_equal(csl_rpc_estimate_gas(&n->rpc, &gas, &call, &n->diag), CSL_EPEER);
    assert_int_equal(n->rpc.refused, CSL_REFUSED_REVERT);
    assert_string_equal(n->rpc.revert, "0x11223344");
    assert_ok(csl_account_new(&poor, NULL));
    n->signer.account = poor;
    memcpy(n->signer.address, csl_account_address(poor), CSL_ADDRESS_BYTES);
    tx.nonce = 0;
    is_refused(n, &tx, CSL_REFUSED_FUNDS);
    csl_account_free(poor);
}

/* Blocks by tag, number and hash. */
static void blocks(void **state) {
    struct node *n = *state;
    struct csl_block latest, same;
    bool found = false;
    csl_wei wei = 0;
    assert_ok(csl_rpc_block(&n->rpc, &latest, &found, CSL_LATEST, &n->diag));
    assert_true(found && latest.has_base_fee);
    struct csl_block_at at = {.kind = CSL_AT_HASH};
    memcpy(at.hash, latest.hash, sizeof at.hash);
    assert_ok(csl_rpc_block(&n->rpc, &same, &found, &at, &n->diag));
    assert_true(found && same.number == latest.number);
    assert_ok(csl_rpc_balance(&n->rpc, &wei, n->signer.address, &at, &n->diag));
    assert_true(wei == (csl_wei)10000 * 1000000000000000000U);
    at.hash[0] ^= 1;
    assert_ok(csl_rpc_block(&n->rpc, &same, &found, &at, &n->diag));
    assert_false(found);
    at = (struct csl_block_at){.kind = CSL_AT_NUMBER, .number = 1000000};
    assert_ok(csl_rpc_block(&n->rpc, &same, &found, &at, &n->diag));
    assert_false(found);
}

static void legacy_fees(void **state) {
    struct node *n = *state;
    struct csl_fees fees;
    assert_ok(csl_rpc_fees(&n->rpc, &fees, &n->diag));
    assert_true(fees.legacy && fees.gas_price > 0);
}

int main(void) {
    const struct CMUnitTest newest[] = {cmocka_unit_test(blocks), cmocka_unit_test(a_contract),
                                        cmocka_unit_test(refusals)};
    const struct CMUnitTest legacy[] = {cmocka_unit_test(legacy_fees), cmocka_unit_test(a_contract)};
    need_anvil();
    return cmocka_run_group_tests(newest, start_newest, stop) +
           cmocka_run_group_tests(legacy, start_legacy, stop);
}
