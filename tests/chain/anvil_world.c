#include "tests/chain/anvil_world.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/http/http.h"

struct csl_anvil *anvil;
EVP_PKEY *key;
uint8_t contract_address[CSL_ADDRESS_BYTES];
char base[64] = "/tmp/csl_anchor_XXXXXX";

enum { STEPS_MAX = 60, CALL_MS = 10000 };

static char program[1024];
static unsigned n_sites;

void need_anvil(void) {
    FILE *f = popen("scripts/fetch-npm anvil '" CSL_NPM_DIR "' 2>&1", "r");
    size_t n = f == NULL ? 0 : fread(program, 1, sizeof program - 1, f);
    program[n] = '\0';
    program[strcspn(program, "\n")] = '\0';
    if (f == NULL || pclose(f) != 0) {
        printf("skipped: no anvil: %s\n", program);
        exit(77);
    }
}

/* ---- The node ---- */

json_t *node_ask(const char *method, const char *params) {
    char body[8192], *text = NULL;
    size_t n = 0;
    struct csl_diag diag = {""};
    int len = snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}",
                       method, params);
    assert_in_range(len, 1, sizeof body - 1);
    struct csl_http q = {.url = csl_anvil_url(anvil),
                         .content_type = "application/json",
                         .total_ms = CALL_MS,
                         .max_response_bytes = 1 << 20,
                         .body = (const uint8_t *)body,
                         .n_body = (size_t)len};
    enum csl_err err = csl_http_fetch(&q, NULL, &text, &n, &diag);
    if (err != CSL_OK) {
        print_error("%s: %s\n", method, diag.text);
    }
    assert_int_equal(err, CSL_OK);
    json_t *doc = json_loadb(text, n, JSON_DECODE_ANY, NULL), *result = json_object_get(doc, "result");
    if (result == NULL) {
        print_error("%s %s: %s\n", method, params, text);
    }
    assert_non_null(result);
    json_incref(result);
    json_decref(doc);
    free(text);
    return result;
}

void node_do(const char *method, const char *params) {
    json_decref(node_ask(method, params));
}

void automine(bool on) {
    node_do("evm_setAutomine", on ? "[true]" : "[false]");
}

void mine(unsigned n) {
    char params[32];
    (void)snprintf(params, sizeof params, "[\"0x%x\"]", n);
    node_do("anvil_mine", params);
}

void mine_forgotten(unsigned tries) {
    if (tries % 50 == 0) {
        mine(1);
    }
}

void fund(const uint8_t address[CSL_ADDRESS_BYTES], const char *wei_hex) {
    char params[128], text[CSL_ADDRESS_ROOM];
    csl_address_text(text, address);
    (void)snprintf(params, sizeof params, "[\"%s\",\"%s\"]", text, wei_hex);
    node_do("anvil_setBalance", params);
}

uint64_t nonce_of(const uint8_t address[CSL_ADDRESS_BYTES]) {
    char params[128], text[CSL_ADDRESS_ROOM];
    csl_address_text(text, address);
    (void)snprintf(params, sizeof params, "[\"%s\",\"latest\"]", text);
    json_t *r = node_ask("eth_getTransactionCount", params);
    uint64_t n = strtoull(json_string_value(r), NULL, 16);
    json_decref(r);
    return n;
}

/* ---- Group ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static struct csl_rpc rpc_here(void) {
    return (struct csl_rpc){
        .url = csl_anvil_url(anvil), .connect_ms = CALL_MS, .total_ms = CALL_MS, .idle_ms = CALL_MS};
}

void world_restart(const char *const *args) {
    struct csl_diag diag = {""};
    struct csl_account *account = NULL;
    uint8_t tx[CSL_HASH_BYTES];
    uint64_t gas = 0;
    static int number;
    char kept[CSL__PATH_MAX];
    (void)snprintf(kept, sizeof kept, "%s/deploy-%d.tx", base, number++);
    if (csl_anvil_start(&anvil, program, args, &diag) != CSL_OK) {
        printf("skipped: %s\n", diag.text);
        exit(77);
    }
    struct csl_rpc rpc = rpc_here();
    assert_int_equal(csl_account_new(&account, &diag), CSL_OK);
    struct csl_signer signer = {.kind = CSL_SIGNER_ACCOUNT, .account = account};
    memcpy(signer.address, csl_account_address(account), CSL_ADDRESS_BYTES);
    fund(signer.address, "0xde0b6b3a7640000");
    enum csl_err err = csl_anchor_deploy(contract_address, tx, &gas, &rpc, CSL_ANVIL_CHAIN_ID, &signer,
                                         &csl_anchor_limits_default, 5000, kept, &diag);
    if (err != CSL_OK) {
        print_error("%s\n", diag.text);
    }
    assert_int_equal(err, CSL_OK);
    assert_in_range(gas, 100000, 700000);
    csl_account_free(account);
}

int world_setup(void **state) {
    (void)state;
    key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_non_null(key);
    assert_non_null(mkdtemp(base));
    world_restart(NULL);
    return 0;
}

int world_teardown(void **state) {
    (void)state;
    csl_anvil_stop(anvil);
    EVP_PKEY_free(key);
    return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- A site ---- */

static int64_t now_of(void *arg) {
    return ((struct site *)arg)->now_s;
}

static void listen_to(void *arg, const char *text) {
    struct site *s = arg;
    size_t n = strlen(s->said);
    (void)snprintf(s->said + n, sizeof s->said - n, "%s\n", text);
}

static void open_ledger(struct site *s) {
    struct csl_ledger_options opt = {.dir = s->ledger_dir, .origin = ORIGIN, .name = NAME, .sign_key = key};
    assert_int_equal(csl_ledger_open(&s->ledger, &opt, &s->diag), CSL_OK);
}

void add_leaves(struct site *s, unsigned n) {
    struct csl_note *note = calloc(1, sizeof *note);
    assert_non_null(note);
    for (unsigned i = 0; i < n; i++) {
        char text[128];
        uint64_t index = 0;
        int len =
            snprintf(text, sizeof text, "leaf %llu of %s", (unsigned long long)s->n_leaves++, s->ledger_dir);
        assert_int_equal(
            csl_ledger_append(s->ledger, &index, (const uint8_t *)text, (size_t)len, true, &s->diag), CSL_OK);
    }
    assert_int_equal(csl_ledger_checkpoint(s->ledger, note, &s->diag), CSL_OK);
    free(note);
}

void anchor_open(struct site *s) {
    enum csl_err err = csl_anchor_open(&s->anchor, &s->opt, &s->diag);
    if (err != CSL_OK) {
        print_error("%s\n", s->diag.text);
    }
    assert_int_equal(err, CSL_OK);
}

void anchor_close(struct site *s) {
    csl_anchor_close(s->anchor);
    s->anchor = NULL;
}

void site_open(struct site *s, unsigned n_leaves) {
    memset(s, 0, sizeof *s);
    n_sites++;
    (void)snprintf(s->ledger_dir, sizeof s->ledger_dir, "%s/%u-ledger", base, n_sites);
    (void)snprintf(s->state, sizeof s->state, "%s/%u-state", base, n_sites);
    open_ledger(s);
    add_leaves(s, n_leaves);
    s->now_s = 1700000000;
    s->rpc = rpc_here();
    assert_int_equal(csl_account_new(&s->account, &s->diag), CSL_OK);
    s->signer = (struct csl_signer){.kind = CSL_SIGNER_ACCOUNT, .account = s->account};
    memcpy(s->signer.address, csl_account_address(s->account), CSL_ADDRESS_BYTES);
    fund(s->signer.address, "0xde0b6b3a7640000");
    automine(true);
    s->opt = (struct csl_anchor_options){.state = s->state,
                                         .origin = ORIGIN,
                                         .confirmations = 1,
                                         .contract = {.rpc = &s->rpc, .chain_id = CSL_ANVIL_CHAIN_ID},
                                         .signer = &s->signer,
                                         .limits = csl_anchor_limits_default,
                                         .now_s = now_of,
                                         .say = listen_to,
                                         .arg = s};
    memcpy(s->opt.contract.address, contract_address, CSL_ADDRESS_BYTES);
    anchor_open(s);
}

void site_close(struct site *s) {
    anchor_close(s);
    csl_ledger_close(s->ledger);
    csl_account_free(s->account);
}

enum csl_err step(struct site *s, bool take) {
    s->diag.text[0] = '\0';
    return csl_anchor_step(s->anchor, s->ledger, take, &s->diag);
}

void progress(struct site *s, struct csl_anchor_progress *p) {
    csl_anchor_progress(s->anchor, p);
}

void step_mined(struct site *s) {
    struct csl_anchor_progress p = {.mined = 0};
    for (unsigned i = 1; p.mined != s->n_leaves; i++) {
        assert_in_range(i, 1, 500);
        assert_int_equal(step(s, true), CSL_OK);
        progress(s, &p);
        mine_forgotten(i);
    }
}

void settle(struct site *s) {
    struct csl_anchor_progress p;
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        enum csl_err err = step(s, true);
        if (err != CSL_OK && err != CSL_ESTALE) {
            print_error("step: %s\n", s->diag.text);
        }
        assert_true(err == CSL_OK || err == CSL_ESTALE);
        progress(s, &p);
        if (p.final == s->n_leaves) {
            return;
        }
        mine(1);
    }
    print_error("final %llu, mined %llu, begun %llu of %llu; waiting %zu: %s\n", (unsigned long long)p.final,
                (unsigned long long)p.mined, (unsigned long long)p.anchored, (unsigned long long)s->n_leaves,
                p.waiting, s->said);
    fail_msg("not everything became final");
}

uint64_t anchors_of(struct site *s, uint64_t *entries) {
    struct csl_anchor_entry newest;
    uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES];
    uint64_t count = 0;
    assert_int_equal(csl_contract_origin(origin, ORIGIN), CSL_OK);
    assert_int_equal(
        csl_contract_head(&s->opt.contract, &count, &newest, s->signer.address, origin, CSL_LATEST, &s->diag),
        CSL_OK);
    if (entries != NULL) {
        *entries = newest.is.size;
    }
    return count;
}

void expect_anchored(struct site *s, uint64_t anchors) {
    uint64_t entries = 0;
    assert_int_equal(anchors_of(s, &entries), anchors);
    assert_int_equal(entries, s->n_leaves);
    assert_int_equal(nonce_of(s->signer.address), anchors);
}
