/* Addresses, amounts, and the contract ABI: published and foreign vectors, and what must be refused. */
#include "tests/chain/chain_test.h"

#include "chain/abi.h"
#include "tests/chain/vectors.h"

/* The examples of EIP-55. */
static const char *const eip55[] = {
    "0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77", "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"};

static void addresses(void **state) {
    uint8_t address[CSL_ADDRESS_BYTES];
    char text[CSL_ADDRESS_ROOM];
    (void)state;
    for (size_t i = 0; i < sizeof eip55 / sizeof eip55[0]; i++) {
        assert_ok(csl_address_parse(address, eip55[i], NULL));
        csl_address_text(text, address);
        assert_string_equal(text, eip55[i]);
    }
    /* Any letter in the other case is a wrong checksum. */
    for (size_t i = 2; i < CSL_ADDRESS_ROOM - 1; i++) {
        (void)snprintf(text, sizeof text, "%s", eip55[4]);
        if (text[i] >= 'A') {
            text[i] = (char)(text[i] ^ 0x20);
            assert_int_equal(csl_address_parse(address, text, NULL), CSL_EDATA);
        }
    }
}

static void not_addresses(void **state) {
    static const char *const bad[] = {"",
                                      "0x",
                                      "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
                                      "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
                                      "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed0",
                                      "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed ",
                                      "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeg",
                                      "0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
                                      "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
                                      "0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED"};
    uint8_t address[CSL_ADDRESS_BYTES] = {9};
    struct csl_diag diag;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(csl_address_parse(address, bad[i], &diag), CSL_EDATA);
        assert_int_equal(address[0], 9);
    }
    assert_non_null(strstr(diag.text, "no checksum"));
    assert_int_equal(csl_address_parse(address, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD", &diag),
                     CSL_EDATA);
    assert_non_null(strstr(diag.text, "wrong checksum"));
}

static void contracts_addresses(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof create_vectors / sizeof create_vectors[0]; i++) {
        uint8_t sender[CSL_ADDRESS_BYTES], got[CSL_ADDRESS_BYTES];
        char text[CSL_ADDRESS_ROOM];
        assert_ok(csl_address_parse(sender, create_vectors[i].sender, NULL));
        csl_address_of_contract(got, sender, create_vectors[i].nonce);
        csl_address_text(text, got);
        assert_string_equal(text, create_vectors[i].contract);
    }
}

static void well_known(void **state) {
    static const char *const known[] = {"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",  /* anvil's first */
                                        "0x90F8bf6A479f320ead074411a4B0e7944Ea8c9C1",  /* ganache's */
                                        "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"}; /* the key 1 */
    uint8_t address[CSL_ADDRESS_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_ok(csl_address_parse(address, known[i], NULL));
        assert_true(csl_address_is_well_known(address));
        address[19] ^= 1;
        assert_false(csl_address_is_well_known(address));
    }
}

static void amounts(void **state) {
    const csl_wei coin = 1000000000000000000U;
    const struct {
        csl_wei wei;
        const char *text;
    } cases[] = {{0, "0"},
                 {1, "0.000000000000000001"},
                 {coin, "1"},
                 {coin * 10000, "10000"},
                 {coin / 10 * 15, "1.5"},
                 {coin - 1, "0.999999999999999999"},
                 {1234000000000000U, "0.001234"},
                 {CSL_WEI_MAX, "340282366920938463463.374607431768211455"}};
    char text[CSL_WEI_ROOM];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        csl_wei_text(text, cases[i].wei);
        assert_string_equal(text, cases[i].text);
    }
}

static void calls(void **state) {
    uint8_t out[256], address[CSL_ADDRESS_BYTES], word[CSL_ABI_WORD], got[CSL_ABI_WORD];
    (void)state;
    assert_ok(csl_address_parse(address, abi_address, NULL));
    assert_true(csl_hex0x_parse(word, sizeof word, abi_word));
    struct csl_writer w = csl_writer_of(out, sizeof out);
    csl_abi_put_selector(&w, "f(uint64,bool,address,bytes32)");
    csl_abi_put_u64(&w, UINT64_MAX);
    csl_abi_put_bool(&w, true);
    csl_abi_put_address(&w, address);
    csl_abi_put_bytes32(&w, word);
    assert_false(w.bad);
    assert_hex(out, w.n, abi_call);
    struct csl_reader r = csl_reader_of(out + CSL_ABI_SELECTOR, w.n - CSL_ABI_SELECTOR);
    assert_true(csl_abi_take_u64(&r) == UINT64_MAX);
    assert_true(csl_abi_take_bool(&r));
    csl_abi_take_address(&r, got);
    assert_memory_equal(got, address, sizeof address);
    csl_abi_take_bytes32(&r, got);
    assert_memory_equal(got, word, sizeof word);
    assert_true(csl_reader_done(&r));
    csl_abi_topic(word, "Transfer(address,address,uint256)");
    assert_hex(word, sizeof word, abi_topic_of_transfer);
}

/* A word must hold nothing but its value. */
static void words_that_do_not_fit(void **state) {
    uint8_t address[CSL_ADDRESS_BYTES];
    (void)state;
    for (size_t i = 0; i < 24; i++) {
        uint8_t word[CSL_ABI_WORD] = {[CSL_ABI_WORD - 1] = 1};
        word[i] = 1;
        struct csl_reader r = csl_reader_of(word, sizeof word);
        (void)csl_abi_take_u64(&r);
        assert_true(r.bad);
        r = csl_reader_of(word, sizeof word);
        (void)csl_abi_take_bool(&r);
        assert_true(r.bad);
        r = csl_reader_of(word, sizeof word);
        csl_abi_take_address(&r, address);
        assert_int_equal(r.bad, i < 12);
    }
    uint8_t two[CSL_ABI_WORD] = {[CSL_ABI_WORD - 1] = 2};
    struct csl_reader r = csl_reader_of(two, sizeof two);
    (void)csl_abi_take_bool(&r);
    assert_true(r.bad);
    r = csl_reader_of(two, sizeof two - 1);
    (void)csl_abi_take_u64(&r);
    assert_true(r.bad);
}

static void dynamic_values(void **state) {
    size_t n = 0, n_got = 0;
    const uint8_t *got = NULL;
    uint8_t *p = from_hex(abi_dynamic, &n);
    (void)state;
    assert_true(csl_abi_dynamic(&got, &n_got, p, n, 0));
    assert_int_equal(n_got, strlen("a string that is longer than thirty-two bytes"));
    assert_memory_equal(got, "a string that is longer than thirty-two bytes", n_got);
    assert_true(csl_abi_dynamic(&got, &n_got, p, n, 2));
    assert_int_equal(n_got, 0);
    assert_false(csl_abi_dynamic(&got, &n_got, p, n, 1)); /* 5 is no offset */
    assert_false(csl_abi_dynamic(&got, &n_got, p, n, n));
    for (size_t cut = 0; cut < 192; cut++) { /* the string ends at 192 */
        assert_false(csl_abi_dynamic(&got, &n_got, p, cut, 0));
    }
    const size_t offset_at = 31, length_at = 127, padding_at = 191;
    const struct {
        size_t at;
        uint8_t value;
    } bad[] = {{offset_at, 0x61}, {offset_at, 0xff},  {offset_at - 24, 1}, {length_at, 0x41},
               {length_at, 0xff}, {length_at - 8, 1}, {padding_at, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t kept = p[bad[i].at];
        p[bad[i].at] = bad[i].value;
        bool taken = csl_abi_dynamic(&got, &n_got, p, bad[i].at == length_at ? 192 : n, 0);
        assert_false(taken);
        p[bad[i].at] = kept;
    }
    free(p);
}

static const char *const errors[] = {"Stale(uint64,bytes32)", "Not(address,bool,uint256)", "Odd(string)"};

static void reverts(void **state) {
    char text[CSL_REVERT_TEXT];
    int known = 0;
    (void)state;
    for (size_t i = 0; i < sizeof revert_vectors / sizeof revert_vectors[0]; i++) {
        size_t n = 0;
        uint8_t *p = from_hex(revert_vectors[i].data, &n);
        csl_abi_revert_text(text, &known, p, n, errors, 3);
        assert_string_equal(text, revert_vectors[i].text);
        assert_int_equal(known, text[0] == 'S' ? 0 : text[0] == 'N' ? 1 : -1);
        for (size_t cut = 0; cut < n; cut++) { /* truncated: hex, never a guess */
            csl_abi_revert_text(text, NULL, p, cut, errors, 3);
            assert_true(cut == 0 ? strcmp(text, "no reason given") == 0 : strncmp(text, "0x", 2) == 0);
        }
        free(p);
    }
}

/* What a contract says can be anything; what is shown is short and printable. */
static void hostile_reverts(void **state) {
    uint8_t data[4 + 64 + 1024] = {0};
    char text[CSL_REVERT_TEXT];
    (void)state;
    csl_abi_selector(data, "Error(string)");
    data[4 + 31] = 32;
    data[4 + 32 + 30] = 4; /* 1,024 bytes */
    memset(data + 68, '\n', 1024);
    data[70] = '\0';
    data[71] = 0x1b;
    csl_abi_revert_text(text, NULL, data, sizeof data, NULL, 0);
    assert_int_equal(strlen(text), CSL_REVERT_TEXT - 1);
    assert_int_equal(strspn(text, "?"), CSL_REVERT_TEXT - 1);
    memset(data, 0xee, sizeof data);
    csl_abi_revert_text(text, NULL, data, sizeof data, errors, 3);
    assert_true(strlen(text) < CSL_REVERT_TEXT && strncmp(text, "0xeeee", 6) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(addresses),
                                       cmocka_unit_test(not_addresses),
                                       cmocka_unit_test(contracts_addresses),
                                       cmocka_unit_test(well_known),
                                       cmocka_unit_test(amounts),
                                       cmocka_unit_test(calls),
                                       cmocka_unit_test(words_that_do_not_fit),
                                       cmocka_unit_test(dynamic_values),
                                       cmocka_unit_test(reverts),
                                       cmocka_unit_test(hostile_reverts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
