/* The demonstration as a user runs it: the digits are right, the first audit passes, the second names the
 * hospital that lied, and the round. With two parties also on a chain, where anvil can be had.
 *
 *   test_demo PARTIES */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulate.h"

static int failures;

static void expect(bool ok, const char *what) {
    if (!ok) {
        printf("FAILED: %s\n", what);
        failures++;
    }
}

/* anvil's path, or "" with the reason on stdout. */
static void find_anvil(char out[1024]) {
    out[0] = '\0';
#ifdef CSL_NPM_DIR
    FILE *f = popen("scripts/fetch-npm anvil '" CSL_NPM_DIR "' 2>&1", "r");
    size_t n = f == NULL ? 0 : fread(out, 1, 1023, f);
    out[n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (f == NULL || pclose(f) != 0) {
        printf("without a chain: %s\n", out);
        out[0] = '\0';
    }
#else
    printf("without a chain: this build has none\n");
#endif
}

/* Who keeps a ledger: both hospitals, the dealer and the owner. */
static void expect_chain(const json_t *chain) {
    const json_t *first = json_object_get(chain, "first"), *second = json_object_get(chain, "second");
    const json_t *verified = json_object_get(chain, "verified"), *sites = json_object_get(verified, "sites");
    expect(json_array_size(first) == 4 && json_array_size(second) == 4, "every site anchors, twice");
    for (size_t i = 0; i < json_array_size(first); i++) {
        const json_t *a = json_object_get(json_array_get(first, i), "anchor"),
                     *b = json_object_get(json_array_get(second, i), "anchor");
        expect(json_is_string(json_object_get(a, "transaction")) && number(a, "block") > 0,
               "its transaction");
        expect(json_is_null(json_object_get(a, "previous_root")), "nothing before the first");
        expect(i == 3 || number(b, "previous_entries") >= number(a, "entries"), "the second continues it");
        expect(number(json_array_get(sites, i), "anchored") == number(a, "entries"), "all of it is verified");
    }
    expect(number(verified, "exit") == 0, "the ledgers contain what was anchored");
    const json_t *session = json_object_get(chain, "session"),
                 *a = json_object_get(json_array_get(first, 0), "anchor");
    const char *tx = json_string_value(json_object_get(session, "transaction")),
               *same = json_string_value(json_object_get(a, "transaction"));
    expect(tx != NULL && same != NULL && strcmp(tx, same) == 0, "the session's transaction is that anchor's");
}

int main(int argc, char **argv) {
    unsigned parties = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    if (parties < 2) {
        return 64;
    }
    char anvil[1024] = "";
    if (parties == 2) {
        find_anvil(anvil);
    }
    json_t *doc = run_json("'%s' demo --json --count 2 --parties %u %s %s", CSL_PROGRAM, parties,
                           anvil[0] == '\0' ? "" : "--anvil", anvil);
    if (doc == NULL) {
        return 1;
    }
    const json_t *audit = json_object_get(doc, "audit"), *clean = json_object_get(audit, "clean"),
                 *tampered = json_object_get(audit, "tampered"),
                 *inference = json_object_get(doc, "inference");
    const char *liar = json_string_value(json_object_get(tampered, "party"));
    expect(number(doc, "parties") == parties, "parties");
    expect(number(inference, "accuracy") == 1 && number(inference, "agree_with_plain") == 1, "the digits");
    expect(number(clean, "exit") == 0, "the first audit passes");
    expect(json_is_null(json_object_get(clean, "party")), "and names nobody");
    expect(number(tampered, "exit") == 2, "the second finds a fault");
    expect(liar != NULL && strcmp(liar, "hospital-b") == 0, "and names who lied");
    expect(number(tampered, "round") == 5, "and the round");
    if (anvil[0] != '\0') {
        expect_chain(json_object_get(doc, "chain"));
    }
    json_decref(doc);
    printf("demo, %u parties: %s\n", parties, failures == 0 ? "ok" : "FAILED");
    return failures != 0;
}
