/* The commands about a chain, as people type them, against a real one. */
#include "tests/chain/anvil_world.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/federation.h"
#include "cli/run_args.h"
#include "roles/daemon/logbook.h"

static struct csl_federation *fed;
static struct csl_diag diag;
static uint8_t account_a[CSL_ADDRESS_BYTES];

/* The first of anvil's accounts, whose key everybody has. */
static const uint8_t known_key[32] = {0xac, 0x09, 0x74, 0xbe, 0xc3, 0x9a, 0x17, 0xe3, 0x6b, 0xa4, 0xa6,
                                      0xb4, 0xd2, 0x38, 0xff, 0x94, 0x4b, 0xac, 0xb4, 0x78, 0xcb, 0xed,
                                      0x5e, 0xfc, 0xae, 0x78, 0x4d, 0x7b, 0xf4, 0xf2, 0xff, 0x80};

/* ---- A consortium without daemons: hospital-a and hospital-b have accounts, the dealer has none ---- */

static enum csl_err give_account(struct csl_member *m, const char *dir, struct csl_account *a) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s/chain.key", dir, m->name);
    enum csl_err err = csl_account_save(a, path, &diag);
    m->has_account = true;
    memcpy(m->account, csl_account_address(a), CSL_ADDRESS_BYTES);
    csl_account_free(a);
    return err;
}

static enum csl_err into_roster(void *arg, struct csl_roster *r, const char *dir, struct csl_diag *why) {
    (void)arg;
    struct csl_account *a = NULL;
    TRY(csl_account_new(&a, why));
    TRY(give_account(&r->members[0], dir, a));
    memcpy(account_a, r->members[0].account, sizeof account_a);
    TRY(csl_account_from_key(&a, known_key, why));
    TRY(give_account(&r->members[1], dir, a));
    r->chain.id = CSL_ANVIL_CHAIN_ID;
    r->chain.confirmations = 1;
    memcpy(r->chain.contract, contract_address, sizeof r->chain.contract);
    return CSL_OK;
}

/* An entry in a site's ledger, and a checkpoint of it. */
static void add_entry(const char *site) {
    char path[1024];
    struct csl_context ctx;
    struct csl_logbook book;
    (void)snprintf(path, sizeof path, "%s/%s", csl_federation_dir(fed), site);
    assert_int_equal(csl_context_load(&ctx, path, NULL, &diag), CSL_OK);
    assert_int_equal(csl_logbook_open(&book, &ctx, 0, &diag), CSL_OK);
    csl_logbook_refused(&book, "somebody", "a session", CSL_EPERM, "not in the roster");
    csl_logbook_close(&book);
    csl_context_free(&ctx);
}

static int setup(void **state) {
    if (world_setup(state) != 0) {
        return 1;
    }
    struct csl_federation_options opt = {.n_parties = 2,
                                         .model = "network",
                                         .max_batch = 16,
                                         .program = CSL_PROGRAM,
                                         .keys = CSL_TEST_KEYS,
                                         .roster = into_roster,
                                         .idle = true};
    enum csl_err err = csl_federation_start(&fed, &opt, &diag);
    if (err != CSL_OK) {
        print_error("%s\n", diag.text);
    }
    assert_int_equal(err, CSL_OK);
    fund(account_a, "0xde0b6b3a7640000");
    add_entry("hospital-a");
    add_entry("hospital-b");
    return 0;
}

static int teardown(void **state) {
    csl_federation_stop(fed, NULL);
    return world_teardown(state);
}

/* `consilium WORDS... --site SITE`; the document that it prints (the caller's), or NULL. */
static json_t *run_words(const char *site, const char *words) {
    char copy[1024], *rest = NULL;
    struct csl_run_args r = {.n = 0};
    json_t *doc = NULL;
    diag.text[0] = '\0';
    (void)snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok_r(copy, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest)) {
        csl_run_args_add(&r, w);
    }
    csl_run_args_add(&r, "--json");
    if (csl_federation_run_as(fed, &doc, site, r.at, &diag) != CSL_OK) {
        json_decref(doc);
        return NULL;
    }
    return doc;
}

static json_t *run_at(const char *site, const char *words) {
    char text[1024];
    (void)snprintf(text, sizeof text, "%s --url %s --poll-ms 20", words, csl_anvil_url(anvil));
    return run_words(site, text);
}

static void refuses(json_t *doc, const char *why) {
    if (doc != NULL || strstr(diag.text, why) == NULL) {
        fail_msg("expected \"%s\", got: %s", why, doc != NULL ? "success" : diag.text);
    }
}

static long long number_at(const json_t *o, const char *name) {
    return (long long)json_integer_value(json_object_get(o, name));
}

/* ---- Who may anchor ---- */

static void refusals(void **state) {
    (void)state;
    refuses(run_words("hospital-a", "audit anchor --once"), "CONSILIUM_CHAIN_URL");
    refuses(run_at("dealer", "audit anchor --once"), "--new-account");
    json_t *made = run_words("dealer", "audit anchor --new-account");
    assert_non_null(made);
    assert_int_equal(strlen(json_string_value(json_object_get(made, "account"))), 42);
    json_decref(made);
    refuses(run_words("dealer", "audit anchor --new-account"), "chain.key"); /* never over another */
    refuses(run_at("dealer", "audit anchor --once"), "no account for dealer");
    refuses(run_at("hospital-b", "audit anchor --once"), "development keys");
    refuses(run_words("hospital-b", "audit anchor --once --development --url http://192.0.2.1:1"),
            "development keys");
    refuses(run_words("hospital-b", "audit anchor --once --development --url http://127.0.0.1.example.org:1"),
            "development keys");
    refuses(run_at("hospital-a", "audit anchor --deploy"), "--chain-id");
    refuses(run_at("hospital-a", "audit anchor --deploy --chain-id 5"), "not of --chain-id 5");
    refuses(run_at("hospital-a", "audit anchor --once --remote-signer http://127.0.0.1:1"), "--account");
    refuses(run_at("hospital-a", "audit anchor --once --account 0x12 --remote-signer http://127.0.0.1:1"),
            "--account");
    refuses(run_at("hospital-a", "audit anchor --once --account 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
            "--remote-signer");
    refuses(run_at("hospital-a", "audit anchor --once --clef"), "--clef is of a --remote-signer");
    assert_int_equal(nonce_of(account_a), 0);
}

/* ---- Anchoring ---- */

static void once(void **state) {
    (void)state;
    automine(false); /* not in a block in time: it goes on the next time, and not twice */
    refuses(run_at("hospital-a", "audit anchor --once --wait 1"), "0 of 1 entries are anchored");
    automine(true);
    json_t *doc = run_at("hospital-a", "audit anchor --once");
    const json_t *a = json_object_get(doc, "anchor");
    assert_int_equal(number_at(doc, "entries"), 1);
    assert_int_equal(number_at(a, "entries"), 1);
    assert_int_equal(number_at(a, "previous_entries"), 0);
    assert_true(json_is_null(json_object_get(a, "previous_root")));
    assert_true(json_is_string(json_object_get(a, "transaction")) &&
                json_is_true(json_object_get(a, "final")));
    char *root = strdup(json_string_value(json_object_get(a, "root")));
    json_decref(doc);
    assert_int_equal(nonce_of(account_a), 1);
    add_entry("hospital-a");
    doc = run_at("hospital-a", "audit anchor --once");
    a = json_object_get(doc, "anchor");
    assert_int_equal(number_at(a, "index"), 1);
    assert_string_equal(json_string_value(json_object_get(a, "previous_root")), root);
    free(root);
    json_decref(doc);
    doc = run_at("hospital-b", "audit anchor --once --development");
    assert_int_equal(number_at(json_object_get(doc, "anchor"), "entries"), 1);
    json_decref(doc);
}

/* anvil signs for its own accounts, as Web3Signer does; the site's key is not used. */
static void a_remote_signer(void **state) {
    (void)state;
    char words[512];
    add_entry("hospital-b");
    (void)snprintf(words, sizeof words,
                   "audit anchor --once --development --remote-signer %s --account "
                   "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
                   csl_anvil_url(anvil));
    json_t *doc = run_at("hospital-b", words);
    if (doc == NULL) {
        print_error("%s\n", diag.text);
    }
    const json_t *a = json_object_get(doc, "anchor");
    assert_int_equal(number_at(a, "entries"), 2);
    assert_int_equal(number_at(a, "previous_entries"), 1);
    json_decref(doc);
    (void)snprintf(
        words, sizeof words,
        "audit anchor --once --remote-signer %s --account 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        csl_anvil_url(anvil));
    refuses(run_at("hospital-a", words),
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"); /* it has no such key */
    refuses(run_at("hospital-b", "audit anchor --once --wait 1 --development --remote-signer "
                                 "http://127.0.0.1:1 --account 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
            "the rest goes on when this runs again"); /* down: it waits */
}

/* Runs beside everything else until SIGTERM. */
static void keeps_anchoring(void **state) {
    (void)state;
    char site[1024];
    (void)snprintf(site, sizeof site, "%s/hospital-a", csl_federation_dir(fed));
    add_entry("hospital-a");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)freopen("/dev/null", "w", stdout);
        (void)freopen("/dev/null", "w", stderr);
        (void)execl(CSL_PROGRAM, "consilium", "audit", "anchor", "--site", site, "--url",
                    csl_anvil_url(anvil), "--every", "1", "--poll-ms", "20", (char *)NULL);
        _exit(127);
    }
    while (nonce_of(account_a) < 3) { /* the test's own time limit ends it otherwise */
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    }
    refuses(run_at("hospital-a", "audit anchor --once"), "one is enough");
    int status = 0;
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(nonce_of(account_a), 3);
}

/* ---- Verifying ---- */

static void export(const char *site, char out[1100]) {
    char words[1200];
    (void)snprintf(out, 1100, "%s/%s.bundle", csl_federation_dir(fed), site);
    (void)unlink(out);
    (void)snprintf(words, sizeof words, "audit export --wait-ms 0 --out %s", out);
    json_t *doc = run_words(site, words);
    assert_non_null(doc);
    json_decref(doc);
}

static int verify(json_t **doc, const char *url, const char *const *bundles, size_t n) {
    char roster[1100];
    int code = -1;
    struct csl_run_args r = {.n = 0};
    (void)snprintf(roster, sizeof roster, "%s/clinic/roster.yaml", csl_federation_dir(fed));
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "verify");
    csl_run_args_option(&r, "--roster", roster);
    csl_run_args_option(&r, "--chain", url);
    csl_run_args_add(&r, "--json");
    for (size_t i = 0; i < n; i++) {
        csl_run_args_add(&r, bundles[i]);
    }
    enum csl_err err = csl_federation_run_tool(fed, doc, &code, r.at, &diag);
    if (err != CSL_OK) {
        print_error("%s\n", diag.text);
    }
    assert_int_equal(err, CSL_OK);
    return code;
}

static void verdicts(void **state) {
    (void)state;
    static char paths[3][1100];
    const char *const bundles[] = {paths[0], paths[1], paths[2]};
    json_t *doc = NULL;
    add_entry("dealer");
    export("hospital-a", paths[0]);
    export("hospital-b", paths[1]);
    export("dealer", paths[2]);
    assert_int_equal(verify(&doc, NULL, bundles, 3), 0);
    assert_null(json_object_get(doc, "anchored"));
    json_decref(doc);
    assert_int_equal(verify(&doc, csl_anvil_url(anvil), bundles, 3), 0);
    const json_t *a = json_object_get(doc, "anchored");
    assert_int_equal(json_array_size(a), 3);
    assert_int_equal(number_at(json_array_get(a, 0), "anchored"), 3);
    assert_int_equal(number_at(json_array_get(a, 0), "compared"), 3);
    assert_int_equal(number_at(json_array_get(a, 0), "beyond"), 0);
    assert_true(json_is_true(json_object_get(json_array_get(a, 0), "whole")));
    assert_int_equal(number_at(json_array_get(a, 1), "anchored"), 2);
    assert_true(json_is_null(json_object_get(json_array_get(a, 2), "anchored"))); /* no account */
    json_decref(doc);
    assert_int_equal(verify(&doc, "http://127.0.0.1:1", bundles, 1), 3); /* down: nobody's fault */
    assert_true(json_is_null(json_object_get(doc, "party")));
    json_decref(doc);
    add_entry("hospital-a");
    doc = run_at("hospital-a", "audit anchor --once");
    json_decref(doc);
    assert_int_equal(verify(&doc, csl_anvil_url(anvil), bundles, 1), 3); /* more was anchored than is shown */
    json_decref(doc);
}

/* The site's ledger is made anew, shorter and later longer: it refuses to anchor, and an auditor names it. */
static void another_history(void **state) {
    (void)state;
    char ledger[1100], old[1100], path[1100];
    const char *const bundles[] = {path};
    json_t *doc = NULL;
    (void)snprintf(ledger, sizeof ledger, "%s/hospital-a/state/ledger", csl_federation_dir(fed));
    (void)snprintf(old, sizeof old, "%s/hospital-a/state/ledger.old", csl_federation_dir(fed));
    assert_int_equal(rename(ledger, old), 0);
    add_entry("hospital-a");
    refuses(run_at("hospital-a", "audit anchor --once"), "rolled back");
    for (unsigned i = 0; i < 5; i++) {
        add_entry("hospital-a");
    }
    refuses(run_at("hospital-a", "audit anchor --once"), "another ledger");
    export("hospital-a", path);
    assert_int_equal(verify(&doc, csl_anvil_url(anvil), bundles, 1), 2);
    assert_string_equal(json_string_value(json_object_get(doc, "party")), "hospital-a");
    json_decref(doc);
    assert_int_equal(verify(&doc, NULL, bundles, 1), 0); /* without the chain nobody would know */
    json_decref(doc);

    (void)snprintf(ledger, sizeof ledger, "%s/hospital-b/state/ledger", csl_federation_dir(fed));
    (void)snprintf(old, sizeof old, "%s/hospital-b/state/ledger.old", csl_federation_dir(fed));
    assert_int_equal(rename(ledger, old), 0);
    for (unsigned i = 0; i < 5; i++) {
        add_entry("hospital-b");
    }
    export("hospital-b", path);
    assert_int_equal(verify(&doc, csl_anvil_url(anvil), bundles, 1), 1); /* anybody can sign with its key */
    assert_true(json_is_null(json_object_get(doc, "party")));
    json_decref(doc);
}

/* ---- The roster ---- */

static enum csl_err roster_chain(const char *words) {
    char from[1100], to[1100], copy[512], *rest = NULL;
    int code = 0;
    struct csl_run_args r = {.n = 0};
    diag.text[0] = '\0';
    (void)snprintf(from, sizeof from, "%s/clinic/roster.yaml", csl_federation_dir(fed));
    (void)snprintf(to, sizeof to, "%s/new.yaml", csl_federation_dir(fed));
    (void)snprintf(copy, sizeof copy, "%s", words);
    csl_run_args_add(&r, "roster");
    csl_run_args_add(&r, "chain");
    csl_run_args_add(&r, from);
    csl_run_args_option(&r, "--out", to);
    for (char *w = strtok_r(copy, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest)) {
        csl_run_args_add(&r, w);
    }
    return csl_federation_run_tool(fed, NULL, &code, r.at, &diag);
}

static void roster(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"--account nobody:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "no member is called"},
        {"--account dealer:0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "--account"},
        {"--account dealer", "not NAME:ADDRESS"},
        {"--account dealer:0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "everybody has"},
        {"--contract 0x12", "--contract"},
        {"--none --id 3", "--none takes the chain away"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (roster_chain(bad[i][0]) == CSL_OK || strstr(diag.text, bad[i][1]) == NULL) {
            fail_msg("%s: %s", bad[i][0], diag.text);
        }
    }
    assert_int_equal(roster_chain("--id 77 --confirmations 3 --account hospital-b: "
                                  "--account dealer:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
                     CSL_OK);
    char path[1100];
    struct csl_roster r;
    (void)snprintf(path, sizeof path, "%s/new.yaml", csl_federation_dir(fed));
    assert_int_equal(csl_roster_load(&r, path, &diag), CSL_OK);
    assert_int_equal(r.chain.id, 77);
    assert_int_equal(r.chain.confirmations, 3);
    assert_memory_equal(r.chain.contract, contract_address, sizeof contract_address);
    assert_true(csl_roster_member(&r, "hospital-a")->has_account);
    assert_false(csl_roster_member(&r, "hospital-b")->has_account);
    assert_true(csl_roster_member(&r, "dealer")->has_account);
    csl_roster_free(&r);
    assert_int_equal(roster_chain("--none"), CSL_OK);
    assert_int_equal(csl_roster_load(&r, path, &diag), CSL_OK);
    assert_int_equal(r.chain.id, 0);
    csl_roster_free(&r);
}

/* ---- Deploying ---- */

/* Not in a block in time: it is kept, and the next run goes on with it, and the one after that. */
static void deploys_once(void **state) {
    (void)state;
    uint64_t nonce = nonce_of(account_a);
    char words[80];
    (void)snprintf(words, sizeof words, "audit anchor --deploy --wait 1 --chain-id %d", CSL_ANVIL_CHAIN_ID);
    automine(false);
    refuses(run_at("hospital-a", words), "state/anchor/deploy-");
    refuses(run_at("hospital-a", words), "it is not in a block yet");
    automine(true);
    json_t *first = run_at("hospital-a", words), *second = run_at("hospital-a", words);
    assert_non_null(first);
    assert_true(json_equal(first, second));
    assert_int_equal(strlen(json_string_value(json_object_get(first, "contract"))), 42);
    assert_int_equal(nonce_of(account_a), nonce + 1);
    json_decref(first);
    json_decref(second);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),        cmocka_unit_test(once),         cmocka_unit_test(a_remote_signer),
        cmocka_unit_test(keeps_anchoring), cmocka_unit_test(verdicts),     cmocka_unit_test(another_history),
        cmocka_unit_test(roster),          cmocka_unit_test(deploys_once),
    };
    need_anvil();
    return cmocka_run_group_tests(tests, setup, teardown);
}
