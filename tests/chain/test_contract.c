/* The contract's call as bytes, and nodes that say of the contract what cannot be. */
#include "tests/chain/rpc_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "chain/anchored.h"
#include "chain/contract.h"
#include "chain/tx.h"
#include "crypto/hash.h"

static const uint8_t member[CSL_ADDRESS_BYTES] = {1, 2, 3}, origin[CSL_CONTRACT_ORIGIN_BYTES] = {4, 5};

static struct csl_contract contract_of(struct world *w) {
    struct csl_contract c = {.rpc = &w->rpc, .chain_id = 7};
    c.address[0] = 9;
    return c;
}

/* ---- The call ---- */

static void the_call(void **state) {
    (void)state;
    uint8_t call[CSL_CONTRACT_CALL_BYTES], of[CSL_CONTRACT_ORIGIN_BYTES];
    struct csl_anchor_root a = {.size = 3, .root = {1}}, b = {.size = UINT64_MAX, .root = {2}}, p, n;
    csl_contract_put_anchor(call, origin, &a, &b);
    assert_memory_equal(call, "\x2d\x7d\x7c\x27", 4); /* as the compiler has it */
    assert_true(csl_contract_take_anchor(of, &p, &n, call, sizeof call));
    assert_memory_equal(of, origin, sizeof of);
    assert_true(csl_anchor_root_same(&p, &a) && csl_anchor_root_same(&n, &b));
    for (size_t i = 0; i < sizeof call; i++) {
        assert_false(csl_contract_take_anchor(of, &p, &n, call, i));
    }
    for (size_t i = 0; i < 4; i++) {
        call[i] ^= 1;
        assert_false(csl_contract_take_anchor(of, &p, &n, call, sizeof call));
        call[i] ^= 1;
    }
    uint8_t longer[sizeof call + 3] = {0}; /* the contract looks at no more than it needs */
    memcpy(longer, call, sizeof call);
    assert_true(csl_contract_take_anchor(of, &p, &n, longer, sizeof longer));
    assert_true(csl_anchor_root_same(&n, &b));
    call[4 + 32] = 1; /* a size of more than 64 bits */
    assert_false(csl_contract_take_anchor(of, &p, &n, call, sizeof call));
    /* What the contract refuses, whatever it holds. */
    const struct csl_anchor_root none = {.size = 0}, rootless = {.size = 4}, odd = {.root = {1}};
    const struct csl_anchor_root *const bad[][2] = {{&a, &a},        {&b, &a},        {&none, &none},
                                                    {&a, &rootless}, {&rootless, &b}, {&odd, &b}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        csl_contract_put_anchor(call, origin, bad[i][0], bad[i][1]);
        assert_false(csl_contract_take_anchor(of, &p, &n, call, sizeof call));
    }
    csl_contract_put_anchor(call, origin, &none, &a);
    assert_true(csl_contract_take_anchor(of, &p, &n, call, sizeof call));
}

static void the_origin(void **state) {
    (void)state;
    uint8_t a[32], b[32];
    assert_int_equal(csl_contract_origin(a, "consilium/net/hospital-a"), CSL_OK);
    assert_int_equal(csl_sha256_once(b, (const uint8_t *)"consilium/net/hospital-a", 24), CSL_OK);
    assert_memory_equal(a, b, 32);
}

/* ---- Answers ---- */

enum { WORDS_MAX = 64 };
static char text[2 * 32 * WORDS_MAX + 8];

/* A result of these words. */
static void says_words(struct world *w, const uint64_t *words, size_t n) {
    size_t at = (size_t)sprintf(text, "\"0x");
    for (size_t i = 0; i < n; i++) {
        at += (size_t)sprintf(text + at, "%064llx", (unsigned long long)words[i]);
    }
    (void)sprintf(text + at, "\"");
    world_result(w, text);
}

static enum csl_err head(struct world *w, uint64_t *count, struct csl_anchor_entry *e) {
    struct csl_contract c = contract_of(w);
    return csl_contract_head(&c, count, e, member, origin, CSL_LATEST, &w->diag);
}

static void heads(void **state) {
    struct world *w = *state;
    struct csl_anchor_entry e;
    uint64_t count = 0;
    says_words(w, (const uint64_t[]){2, 0x11, 30, 5, 99}, 5);
    assert_int_equal(head(w, &count, &e), CSL_OK);
    assert_int_equal(count, 2);
    assert_int_equal(e.index, 1);
    assert_int_equal(e.is.size, 30);
    assert_int_equal(e.block, 5);
    assert_int_equal(e.time_s, 99);
    says_words(w, (const uint64_t[]){0, 0, 0, 0, 0}, 5);
    assert_int_equal(head(w, &count, &e), CSL_OK);
    assert_int_equal(count, 0);
    for (uint64_t n = UINT64_C(1) << 20; n <= UINT64_C(1) << 32;
         n = 4 * n) { /* an anchor a minute for long */
        says_words(w, (const uint64_t[]){n, 0x11, n, 5, 99}, 5);
        assert_int_equal(head(w, &count, &e), CSL_OK);
        assert_int_equal(count, n);
        assert_int_equal(e.index, n - 1);
    }
    world_result(w, "\"0x\""); /* no contract at that block */
    assert_int_equal(head(w, &count, &e), CSL_OK);
    assert_int_equal(count, 0);

    static const uint64_t bad[][5] = {
        {1, 0x11, 0, 5, 99}, {0, 0x11, 3, 5, 99}, {(1ULL << 32) + 1, 0x11, 3, 5, 99}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        says_words(w, bad[i], 5);
        assert_int_equal(head(w, &count, &e), CSL_EPROTO);
        assert_int_equal(count, 0);
        assert_non_null(strstr(w->diag.text, "of the contract"));
    }
    for (size_t n = 1; n < 8; n++) {
        says_words(w, (const uint64_t[8]){1, 0x11, 3, 5, 99}, n);
        assert_int_equal(head(w, &count, &e), n == 5 ? CSL_OK : CSL_EPROTO);
    }
}

static enum csl_err entries(struct world *w, uint64_t from, uint64_t to) {
    struct csl_contract c = contract_of(w);
    struct csl_anchor_entry *e = NULL;
    enum csl_err err = csl_contract_entries(&c, &e, from, to, member, origin, CSL_LATEST, &w->diag);
    assert_int_equal(e != NULL, err == CSL_OK);
    if (err == CSL_OK && to > from) {
        assert_int_equal(e[0].index, from);
    }
    free(e);
    return err;
}

static void lists(void **state) {
    struct world *w = *state;
    const uint64_t good[10] = {32, 2, 0x11, 3, 5, 50, 0x12, 4, 5, 50};
    says_words(w, good, 10);
    assert_int_equal(entries(w, 6, 8), CSL_OK);
    assert_int_equal(entries(w, 6, 6), CSL_OK);
    assert_int_equal(entries(w, 6, 9), CSL_ESTALE); /* fewer than there were */
    assert_int_equal(entries(w, 6, 7), CSL_EPROTO); /* more than was asked for */
    assert_int_equal(entries(w, 9, 8), CSL_EUSAGE);
    assert_int_equal(entries(w, 0, UINT64_MAX), CSL_EUSAGE); /* and nothing is allocated */
    for (size_t n = 0; n < 12; n++) {
        uint64_t words[12] = {0};
        memcpy(words, good, sizeof good);
        says_words(w, words, n);
        assert_int_equal(entries(w, 6, 8), n == 10 ? CSL_OK : CSL_EPROTO);
    }
    static const struct {
        size_t at;
        uint64_t value;
    } bad[] = {{0, 64}, {1, 3}, {1, UINT64_MAX}, {3, 4}, {3, 9}, {3, 0}, {4, 6}, {5, 51}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t words[10];
        memcpy(words, good, sizeof good);
        words[bad[i].at] = bad[i].value;
        says_words(w, words, 10);
        assert_int_equal(entries(w, 6, 8), CSL_EPROTO);
    }
}

static void whose_chain(void **state) {
    struct world *w = *state;
    struct csl_contract c = contract_of(w);
    static const char *const other_id[] = {"{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"0x1\"}", NULL};
    static const char *const no_code[] = {"{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"0x7\"}",
                                          "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"0x\"}", NULL};
    static const char *const other_code[] = {"{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"0x7\"}",
                                             "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"0x6000\"}", NULL};
    world_says(w, other_id);
    assert_int_equal(csl_contract_check(&c, &w->diag), CSL_ECONFIG);
    assert_non_null(strstr(w->diag.text, "chain 1,"));
    world_says(w, no_code);
    assert_int_equal(csl_contract_check(&c, &w->diag), CSL_ECONFIG);
    assert_non_null(strstr(w->diag.text, "has no code"));
    world_says(w, other_code);
    assert_int_equal(csl_contract_check(&c, &w->diag), CSL_ECONFIG);
    assert_non_null(strstr(w->diag.text, "other code"));
}

/* ---- Readers, and a node that has forgotten ---- */

#define SAYS(result) "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":" result "}"
#define H1 "0x1111111111111111111111111111111111111111111111111111111111111111"
#define LATEST                                                                                               \
    "{\"number\":\"0x9\",\"hash\":\"" H1 "\",\"parentHash\":\"" H1                                           \
    "\",\"timestamp\":\"0x665544\",\"gasLimit\":\"0x1c9c380\"}"

static char code_answer[2 * CSL_CONTRACT_RUNTIME_BYTES + 128];

static void make_code_answer(void) {
    char hex[2 * CSL_CONTRACT_RUNTIME_BYTES + 3];
    csl_hex0x_text(hex, csl_contract_creation + CSL_CONTRACT_CREATION_BYTES - CSL_CONTRACT_RUNTIME_BYTES,
                   CSL_CONTRACT_RUNTIME_BYTES);
    (void)snprintf(code_answer, sizeof code_answer, SAYS("\"%s\""), hex);
}

static enum csl_err covering(struct world *w, bool *found) {
    struct csl_contract c = contract_of(w);
    struct csl_anchor_entry e;
    struct csl_anchor_event event;
    uint64_t confirmations = 0;
    enum csl_err err = csl_anchored_covering(&e, &event, &confirmations, found, &c, member, "o", 3, &w->diag);
    if (err == CSL_OK && *found) {
        static const uint8_t zero[CSL_HASH_BYTES];
        assert_int_equal(e.is.size, 30);
        assert_int_equal(confirmations, 5);
        assert_memory_equal(event.tx, zero, sizeof zero);
    }
    return err;
}

static void forgetful_nodes(void **state) {
    struct world *w = *state;
    bool found = true;
    char head_words[512], page[512];
    make_code_answer();
    world_says(w, (const char *const[]){SAYS("\"0x7\""), code_answer, SAYS("null"), NULL});
    assert_int_equal(covering(w, &found), CSL_EPROTO);
    assert_non_null(strstr(w->diag.text, "no latest block"));
    assert_false(found);
    /* The event is pruned: the anchor is told without it. */
    (void)snprintf(head_words, sizeof head_words, SAYS("\"0x%064x%064x%064x%064x%064x\""), 1, 0x11, 30, 5,
                   99);
    (void)snprintf(page, sizeof page, SAYS("\"0x%064x%064x%064x%064x%064x%064x\""), 32, 1, 0x11, 30, 5, 99);
    world_says(w, (const char *const[]){
                      SAYS("\"0x7\""), code_answer, SAYS(LATEST), head_words, page,
                      "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":{\"code\":-32000,\"message\":\"pruned\"}}",
                      NULL});
    assert_int_equal(covering(w, &found), CSL_OK);
    assert_true(found);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_call), cmocka_unit_test(the_origin), TEST(heads), TEST(lists),
        TEST(whose_chain),          TEST(forgetful_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
