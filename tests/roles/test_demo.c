/* The demonstration as a user runs it: the digits are right, the first audit passes, the second names the
 * hospital that lied, and the round.
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

int main(int argc, char **argv) {
    unsigned parties = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    if (parties < 2) {
        return 64;
    }
    json_t *doc = run_json("'%s' demo --json --count 2 --parties %u", CSL_PROGRAM, parties);
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
    json_decref(doc);
    printf("demo, %u parties: %s\n", parties, failures == 0 ? "ok" : "FAILED");
    return failures != 0;
}
