/* The roster: what it says, its digest, and where it lies. */
#include "roster_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- What it says ---- */

static void says_what_was_written(void **state) {
    (void)state;
    struct csl_roster r;
    roster_accept(&r, strdup(roster_text));
    assert_string_equal(r.consortium, roster_base.consortium);
    assert_int_equal(r.n_members, 6);
    assert_int_equal(r.n_parties, 3);
    assert_int_equal(X509_cmp(r.ca, roster_base.ca), 0);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(r.members[i].name, roster_base.members[i].name);
        assert_string_equal(r.members[i].host, roster_base.members[i].host);
        assert_int_equal(r.members[i].port, roster_base.members[i].host[0] == 0 ? 0 : 7400);
        assert_int_equal(r.members[i].roles, roster_base.members[i].roles);
        assert_int_equal(r.members[i].party, i < 3 ? (int)i : -1);
        assert_memory_equal(r.members[i].tls_spki, roster_base.members[i].tls_spki, CSL_SPKI_BYTES);
        assert_int_equal(EVP_PKEY_eq(r.members[i].wrap_key, roster_base.members[i].wrap_key), 1);
        assert_int_equal(EVP_PKEY_eq(r.members[i].sign_key, roster_base.members[i].sign_key), 1);
        assert_ptr_equal(csl_roster_member(&r, roster_base.members[i].name), &r.members[i]);
        assert_ptr_equal(csl_roster_by_spki(&r, roster_base.members[i].tls_spki), &r.members[i]);
    }
    assert_ptr_equal(csl_roster_party(&r, 2), &r.members[2]);
    assert_null(csl_roster_party(&r, 3));
    assert_ptr_equal(csl_roster_dealer(&r), &r.members[3]);
    assert_null(csl_roster_member(&r, "nobody"));
    assert_null(csl_roster_by_spki(&r, roster_base.members[0].sign_spki));
    csl_roster_free(&r);
    csl_roster_free(&r);
}

static void who_may_what(void **state) {
    (void)state;
    struct csl_roster r;
    roster_accept(&r, strdup(roster_text));
    assert_true(csl_roster_may_query(&r, "clinic", "digits_v1.0"));
    assert_true(csl_roster_may_query(&r, "hospital-a", "digits_v1.0"));
    assert_false(csl_roster_may_query(&r, "hospital-b", "digits_v1.0"));
    assert_false(csl_roster_may_query(&r, "lab", "digits_v1.0"));
    assert_false(csl_roster_may_query(&r, "clinic", "digits"));
    assert_false(csl_roster_may_query(&r, "nobody", "digits_v1.0"));
    assert_true(csl_roster_may_share(&r, "lab", "digits_v1.0"));
    assert_false(csl_roster_may_share(&r, "clinic", "digits_v1.0"));
    assert_false(csl_roster_may_share(&r, "lab", "other"));
    csl_roster_free(&r);
}

static void dials_row(const struct csl_roster *r, size_t a, const char *expected) {
    for (size_t b = 0; b < r->n_members; b++) {
        if (csl_roster_dials(r, &r->members[a], &r->members[b]) != (expected[b] == '1')) {
            fail_msg("%s -> %s", r->members[a].name, r->members[b].name);
        }
        /* never both, and exactly one where one is a party */
        bool back = csl_roster_dials(r, &r->members[b], &r->members[a]);
        bool talk = a != b && (r->members[a].party >= 0 || r->members[b].party >= 0);
        assert_int_equal((expected[b] == '1') + back, talk ? 1 : 0);
    }
}

static void who_dials_whom(void **state) {
    (void)state;
    struct csl_roster r;
    roster_accept(&r, strdup(roster_text));
    static const char *const with_override[] = {"010100", "000100", "110100", "000000", "111000", "111000"};
    for (size_t i = 0; i < 6; i++) {
        dials_row(&r, i, with_override[i]);
    }
    csl_roster_free(&r);
    roster_accept(&r, text_without(roster_text, "connections:"));
    dials_row(&r, 0, "000100");
    dials_row(&r, 1, "100100");
    csl_roster_free(&r);
    roster_refuse(text_edited(roster_text, "    address: \"a.example.org:7400\"\n", ""),
                  "neither hospital-a nor lab has an address");
}

static void one_side_without_address(void **state) {
    (void)state;
    struct csl_roster r;
    char *t1 = text_edited(roster_text, "    address: \"a.example.org:7400\"\n", "");
    char *t2 = text_edited(t1, "roles: [owner]\n", "roles: [owner]\n    address: lab.org:1\n");
    char *t3 = text_edited(t2, "roles: [client]\n", "roles: [client]\n    address: 'clinic.org:65535'\n");
    free(t1);
    free(t2);
    roster_accept(&r, t3);
    dials_row(&r, 0, "011111");
    dials_row(&r, 4, "011000");
    csl_roster_free(&r);
}

static void peers_are_verified(void **state) {
    (void)state;
    struct csl_roster r;
    const struct csl_member *m = NULL;
    uint8_t spki[CSL_SPKI_BYTES];
    roster_accept(&r, strdup(roster_text));
    memcpy(spki, r.members[1].tls_spki, sizeof spki);
    assert_int_equal(csl_roster_verify_peer(&r, &m, "hospital-b", spki, &roster_diag), CSL_OK);
    assert_ptr_equal(m, &r.members[1]);
    assert_int_equal(csl_roster_verify_peer(&r, &m, "hospital-a", spki, &roster_diag), CSL_EPERM);
    assert_null(m);
    assert_non_null(strstr(roster_diag.text, "hospital-a is not in the roster: its key differs"));
    assert_int_equal(csl_roster_verify_peer(&r, &m, "hospital-x", spki, &roster_diag), CSL_EPERM);
    assert_non_null(strstr(roster_diag.text, "hospital-x is not in the roster"));
    spki[31] ^= 1;
    assert_int_equal(csl_roster_verify_peer(&r, &m, "hospital-b", spki, NULL), CSL_EPERM);
    csl_roster_free(&r);
}

/* ---- The digest ---- */

static void digest_of(uint8_t out[32], char *text) {
    struct csl_roster r;
    roster_accept(&r, text);
    assert_int_equal(csl_roster_digest(out, &r), CSL_OK);
    csl_roster_free(&r);
}

static void digest_ignores_form(void **state) {
    (void)state;
    uint8_t d[32], e[32];
    digest_of(d, strdup(roster_text));
    static const char *const same[][2] = {
        {"# The order", "# Some other remark\n# The order"},
        {"limits:\n", "\n\nlimits:   # why\n"},
        {"lanes: 4\n", "lanes: \"4\"\n"},
        {"  lanes: 4\n", ""},
        {"roles: [owner]", "role: 'owner'"},
        {"clients: [\"clinic\", \"hospital-a\"]", "clients:\n      - clinic\n      - hospital-a"},
        {"  max_batch: 256\n", ""},
        {"  session_places_per_client: 8\n", ""},
        {"  sign: before-output\n", ""},
        {"  check_rows: 0\n  views_mib: 256\n", ""},
        {"  colluding: 1\n", "  colluding: \"1\"\n"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        digest_of(e, text_edited(roster_text, same[i][0], same[i][1]));
        assert_memory_equal(d, e, 32);
    }
    digest_of(e, text_without(roster_text, "timeouts:"));
    assert_memory_equal(d, e, 32);
    digest_of(e, text_without(roster_text, "audit:"));
    assert_memory_equal(d, e, 32);
    char *swapped = text_without(roster_text, "version:"); /* a top-level key moved to the end */
    char *all = malloc(strlen(swapped) + 32);
    (void)sprintf(all, "%sversion: 1\n", swapped);
    free(swapped);
    digest_of(e, all);
    assert_memory_equal(d, e, 32);
}

static void digest_covers_everything(void **state) {
    (void)state;
    uint8_t d[32], e[32];
    digest_of(d, strdup(roster_text));
    static const char *const other[][2] = {
        {"heart", "Heart"},
        {"name: \"clinic\"", "name: \"klinik\""},
        {"a.example.org:7400", "a.example.com:7400"},
        {"a.example.org:7400", "a.example.org:7401"},
        {"roles: [party, client]", "roles: [party, client, owner]"},
        {"name: \"digits_v1.0\"", "name: \"digits_v1.1\""},
        {"clients: [\"clinic\", \"hospital-a\"]", "clients: [\"clinic\"]"},
        {"{from: \"hospital-a\", to: \"hospital-b\"}", "{from: \"hospital-a\", to: \"hospital-c\"}"},
        {"connect_ms: 5000", "connect_ms: 5001"},
        {"handshake_ms: 5000", "handshake_ms: 5001"},
        {"heartbeat_ms: 1000", "heartbeat_ms: 1001"},
        {"dead_ms: 4000", "dead_ms: 4001"},
        {"round_ms: 30000", "round_ms: 30001"},
        {"session_idle_ms: 120000", "session_idle_ms: 120001"},
        {"lanes: 4", "lanes: 5"},
        {"max_batch: 256", "max_batch: 257"},
        {"session_places_per_client: 8", "session_places_per_client: 9"},
        {"sign: before-output", "sign: after-output"},
        {"sign: before-output", "sign: off"},
        {"check_rows: 0", "check_rows: 1"},
        {"views_mib: 256", "views_mib: 0"},
        {"colluding: 1", "colluding: 2"},
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        char *t = text_edited(roster_text, other[i][0], other[i][1]);
        if (i == 1) { /* the name stands in the model rule as well */
            char *t2 = text_edited(t, "\"clinic\"", "\"klinik\"");
            free(t);
            t = t2;
        }
        digest_of(e, t);
        assert_memory_not_equal(d, e, 32);
    }
    struct csl_roster r; /* keys and the CA */
    roster_accept(&r, strdup(roster_text));
    for (size_t i = 0; i < r.n_members; i++) {
        uint8_t *prints[] = {r.members[i].tls_spki, r.members[i].wrap_spki, r.members[i].sign_spki};
        for (size_t k = 0; k < 3; k++) {
            prints[k][7] ^= 4;
            assert_int_equal(csl_roster_digest(e, &r), CSL_OK);
            assert_memory_not_equal(d, e, 32);
            prints[k][7] ^= 4;
        }
    }
    X509_free(r.ca);
    r.ca = roster_ca();
    assert_int_equal(csl_roster_digest(e, &r), CSL_OK);
    assert_memory_not_equal(d, e, 32);
    csl_roster_free(&r);
}

/* ---- Files and addresses ---- */

static void files(void **state) {
    (void)state;
    struct csl_roster r;
    char path[] = "/tmp/csl-roster-XXXXXX";
    assert_int_equal(csl_roster_load(&r, "/nonexistent/roster.yaml", &roster_diag), CSL_ENOINPUT);
    assert_non_null(strstr(roster_diag.text, "/nonexistent/roster.yaml"));
    assert_int_equal(csl_roster_load(&r, "/tmp", &roster_diag), CSL_ENOINPUT);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, roster_text, strlen(roster_text)), strlen(roster_text));
    assert_int_equal(csl_roster_load(&r, path, &roster_diag), CSL_OK);
    csl_roster_free(&r);
    assert_int_equal(ftruncate(fd, 2 << 20), 0);
    assert_int_equal(csl_roster_load(&r, path, &roster_diag), CSL_ECONFIG);
    assert_non_null(strstr(roster_diag.text, "larger"));
    close(fd);
    unlink(path);
}

static void addresses(void **state) {
    (void)state;
    char host[CSL_HOST_MAX + 1] = "kept";
    uint16_t port = 77;
    static const char *const bad[] = {"",       ":",      ":1",     "a",          "a:",      "a:0",
                                      "a:01",   "a:+1",   "a:1 ",   "a b:1",      "a:99999", "[::1]",
                                      "[::1]1", "[]:1",   "[a]:1",  "::1:1",      "-a:1",    ".a:1",
                                      "a/b:1",  "[::1:1", "::1]:1", "[1.2.3.4]:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (csl_host_port_parse(host, &port, bad[i])) {
            fail_msg("accepted %s", bad[i]);
        }
    }
    assert_string_equal(host, "kept");
    assert_int_equal(port, 77);
    assert_true(csl_host_port_parse(host, &port, "[::1]:65535"));
    assert_string_equal(host, "::1");
    assert_int_equal(port, 65535);
    assert_true(csl_host_port_parse(host, &port, "127.0.0.1:1"));
    char lots[300];
    memset(lots, 'a', sizeof lots);
    (void)snprintf(lots + CSL_HOST_MAX, 8, ":1");
    assert_true(csl_host_port_parse(host, &port, lots));
    (void)snprintf(lots + CSL_HOST_MAX, 8, "a:1");
    assert_false(csl_host_port_parse(host, &port, lots));
}

/* ---- The chain ---- */

#define CONTRACT "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed" /* of EIP-55's examples, as the accounts */
#define ACCOUNT_A "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
#define ACCOUNT_B "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"

static char *with_chain(void) {
    char *t = text_edited(roster_text, "  - name: \"hospital-a\"\n",
                          "  - name: \"hospital-a\"\n    account: " ACCOUNT_A "\n");
    char *u = text_edited(t, "  - name: \"hospital-b\"\n",
                          "  - name: \"hospital-b\"\n    account: \"" ACCOUNT_B "\"\n");
    free(t);
    t = malloc(strlen(u) + 200);
    assert_non_null(t);
    (void)sprintf(t, "%schain:\n  id: 31337\n  contract: \"" CONTRACT "\"\n  confirmations: 12\n", u);
    free(u);
    return t;
}

static void chain_and_accounts(void **state) {
    (void)state;
    struct csl_roster r, again;
    uint8_t d[32], e[32];
    char *text = NULL;
    roster_accept(&r, strdup(roster_text));
    assert_int_equal(r.chain.id, 0);
    assert_false(r.members[0].has_account);
    csl_roster_free(&r);
    roster_accept(&r, with_chain());
    assert_int_equal(r.chain.id, 31337);
    assert_int_equal(r.chain.confirmations, 12);
    assert_memory_equal(r.chain.contract, "\x5a\xae\xb6\x05\x3f\x3e\x94\xc9", 8);
    assert_true(r.members[0].has_account && r.members[1].has_account && !r.members[2].has_account);
    assert_memory_equal(r.members[1].account, "\xd1\x22\x0a", 3);
    assert_int_equal(csl_roster_digest(d, &r), CSL_OK);
    assert_int_equal(csl_roster_write(&text, &r, &roster_diag), CSL_OK);
    csl_roster_free(&r);
    roster_accept(&again, text);
    assert_int_equal(csl_roster_digest(e, &again), CSL_OK);
    assert_memory_equal(d, e, 32);
    csl_roster_free(&again);

    char *t = with_chain(); /* a default that is not written out is the same */
    digest_of(e, text_edited(t, "  confirmations: 12\n", ""));
    assert_memory_equal(d, e, 32);
    static const char *const other[][2] = {{"id: 31337", "id: 31338"},
                                           {"id: 31337", "id: 4294998633"},
                                           {CONTRACT, ACCOUNT_A},
                                           {"confirmations: 12", "confirmations: 13"},
                                           {"account: " ACCOUNT_A, "account: " CONTRACT},
                                           {"    account: " ACCOUNT_A "\n", ""}};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        digest_of(e, text_edited(t, other[i][0], other[i][1]));
        assert_memory_not_equal(d, e, 32);
    }
    static const char *const bad[][3] = {
        {"id: 31337", "id: 0", "chain.id"},
        {"id: 31337", "id: 1234567890123456789", "chain.id"},
        {"id: 31337", "id: -1", "chain.id"},
        {"id: 31337", "id: 0x7a69", "chain.id"},
        {"  id: 31337\n", "", "id"},
        {CONTRACT, "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "chain.contract"}, /* one letter's case */
        {CONTRACT, "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "chain.contract"},
        {CONTRACT, "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "chain.contract"},
        {CONTRACT, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe", "chain.contract"},
        {"confirmations: 12", "confirmations: 0", "chain.confirmations"},
        {"confirmations: 12", "confirmations: 10001", "chain.confirmations"},
        {"confirmations: 12", "confirmation: 12", "unknown field"},
        {"account: " ACCOUNT_A, "account: 0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d358", "members[0].account"},
        {"account: " ACCOUNT_A, "account: hospital", "members[0].account"},
        {"account: " ACCOUNT_A, "account: " ACCOUNT_B, "members[1].account: the same account as hospital-a"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        roster_refuse(text_edited(t, bad[i][0], bad[i][1]), bad[i][2]);
    }
    free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_and_accounts),
        cmocka_unit_test(says_what_was_written),
        cmocka_unit_test(who_may_what),
        cmocka_unit_test(who_dials_whom),
        cmocka_unit_test(one_side_without_address),
        cmocka_unit_test(peers_are_verified),
        cmocka_unit_test(digest_ignores_form),
        cmocka_unit_test(digest_covers_everything),
        cmocka_unit_test(files),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, roster_setup, roster_teardown);
}
