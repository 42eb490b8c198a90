/* Every roster that must be refused. */
#include "roster_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/identity.h"

/* ---- What is refused ---- */

static void missing_fields(void **state) {
    (void)state;
    static const char *const lines[][2] = {
        {"version:", "version"},
        {"consortium:", "consortium"},
        {"ca:", "ca"},
        {"members:", "members"},
        {"    roles:", "role"},
        {"    tls_spki_sha256:", "tls_spki_sha256"},
        {"    wrap_key:", "wrap_key"},
        {"    sign_key:", "sign_key"},
        {"    owner:", "owner"},
        {"    clients:", "clients"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        roster_refuse(text_without(roster_text, lines[i][0]), lines[i][1]);
    }
    roster_refuse(text_edited(roster_text, "  - name: \"hospital-b\"\n    roles", "  - roles"), "name");
    roster_refuse(text_edited(roster_text, "  - name: \"digits_v1.0\"\n    owner", "  - owner"), "name");
    roster_refuse(
        text_edited(roster_text, "{from: \"hospital-a\", to: \"hospital-b\"}", "{from: hospital-a}"), "to");
    roster_refuse(text_edited(roster_text, "{from: \"hospital-a\", to: \"hospital-b\"}", "{to: hospital-a}"),
                  "from");
}

static void repeated_fields(void **state) {
    (void)state;
    static const char *const lines[] = {
        "version:",      "consortium:",         "ca:",        "limits:",      "    roles:", "    address:",
        "    wrap_key:", "    sign_key:",       "    owner:", "    clients:", "  lanes:",   "  dead_ms:",
        "connections:",  "    tls_spki_sha256:"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        roster_refuse(text_twice(roster_text, lines[i]), "repeated field");
    }
}

static void unknown_fields_and_types(void **state) {
    (void)state;
    static const char *const edits[][3] = {
        {"version: 1", "version: 1\ncolour: red", "colour"},
        {"    roles: [party]", "    role: party\n    port: 1", "port"},
        {"    owner: \"lab\"", "    owner: \"lab\"\n    price: 1", "price"},
        {"to: \"hospital-b\"", "to: \"hospital-b\", via: x", "via"},
        {"  lanes: 4", "  lanes: 4\n  lines: 4", "lines"},
        {"  dead_ms: 4000", "  dead_s: 4", "dead_s"},
        {"  sign: before-output", "  signs: off", "signs"},
        {"  sign: before-output", "  sign: [off]", "sign"},
        {"  check_rows: 0", "  check_rows: 0.5", "check_rows"},
        {"version: 1", "version: one", "version"},
        {"version: 1", "version: 2", "version"},
        {"version: 1", "version: -1", "version"},
        {"version: 1", "version: [1]", "version"},
        {"roles: [party]", "roles: {party: 1}", "unknown field party"},
        {"roles: [party]", "roles: party", "roles"},
        {"roles: [party]", "roles: []", "roles"},
        {"roles: [party]", "roles: [[party]]", "roles"},
        {"lanes: 4", "lanes: 4.5", "lanes"},
        {"lanes: 4", "lanes: -4", "lanes"},
        {"lanes: 4", "lanes: 99999999999999999999", "lanes"},
        {"lanes: 4", "lanes: ''", "lanes"},
        {"lanes: 4", "lanes: 0x4", "lanes"},
        {"lanes: 4", "lanes: ' 4'", "lanes"},
        {"lanes: 4", "lanes: ~", "lanes"},
        {"    owner: \"lab\"", "    owner: [lab]", "owner"},
        {"version: 1", "version: 1\n? [a]\n: b", "field name"},
        {"version: 1", "version: 1\n? {a: b}\n: b", "field name"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        roster_refuse(text_edited(roster_text, edits[i][0], edits[i][1]), edits[i][2]);
    }
}

static void bad_values(void **state) {
    (void)state;
    static const char *const edits[][3] = {
        {"a.example.org:7400", "a.example.org", "members[0].address"},
        {"a.example.org:7400", "a.example.org:0", "members[0].address"},
        {"a.example.org:7400", "a.example.org:65536", "members[0].address"},
        {"a.example.org:7400", "a.example.org:74x", "members[0].address"},
        {"a.example.org:7400", "a_b:1", "members[0].address"},
        {"[fe80::3]:7400", "fe80::3:7400", "members[2].address"},
        {"name: \"hospital-b\"", "name: \"Hospital-B\"", "members[1].name"},
        {"name: \"hospital-c\"", "name: \"hospital-a\"", "members[2].name: hospital-a is there twice"},
        {"roles: [party]", "roles: [party, party]", "members[1].roles: party is there twice"},
        {"roles: [party]", "roles: [judge]", "members[1].roles"},
        {"roles: [party]", "role: judge", "members[1].role"},
        {"roles: [party]", "roles: [party]\n    role: party", "members[1].role"},
        {"roles: [party]", "roles: [dealer]", "second dealer"},
        {"roles: [dealer]", "roles: [dealer, client]", "members[3].roles"},
        {"roles: [dealer]", "roles: [client]", "there is no dealer"},
        {"owner: \"lab\"", "owner: \"clinic\"", "models[0].owner"},
        {"owner: \"lab\"", "owner: \"nobody\"", "models[0].owner: no member is called \"nobody\""},
        {"[\"clinic\", \"hospital-a\"]", "[\"clinic\", \"ghost\"]", "models[0].clients: no member"},
        {"[\"clinic\", \"hospital-a\"]", "[\"clinic\", \"clinic\"]",
         "models[0].clients: clinic is there twice"},
        {"[\"clinic\", \"hospital-a\"]", "[\"clinic\", \"hospital-b\"]", "does not have the role client"},
        {"name: \"digits_v1.0\"", "name: \"../etc\"", "models[0].name"},
        {"name: \"digits_v1.0\"", "name: \"a b\"", "models[0].name"},
        {"to: \"hospital-b\"}", "to: \"hospital-a\"}", "never talk"},
        {"to: \"hospital-b\"}", "to: \"clinic\"}", "connections[0].to: clinic has no address"},
        {"to: \"hospital-b\"}", "to: \"ghost\"}", "connections[0].to: no member"},
        {"{from: \"hospital-a\", to: \"hospital-b\"}", "{from: clinic, to: dealer}", "never talk"},
        {"to: \"hospital-b\"}\n", "to: hospital-b}\n  - {from: hospital-b, to: hospital-a}\n", "twice"},
        {"connect_ms: 5000", "connect_ms: 99", "timeouts.connect_ms: 99 is not a number in 100..600000"},
        {"round_ms: 30000", "round_ms: 3600001", "timeouts.round_ms"},
        {"dead_ms: 4000", "dead_ms: 1999", "twice heartbeat_ms"},
        {"lanes: 4", "lanes: 0", "limits.lanes"},
        {"lanes: 4", "lanes: 257", "limits.lanes"},
        {"max_batch: 256", "max_batch: 65537", "limits.max_batch"},
        {"session_places_per_client: 8", "session_places_per_client: 0",
         "limits.session_places_per_client: 0 is not a number in 1..32"},
        {"session_places_per_client: 8", "session_places_per_client: 33", "limits.session_places_per_client"},
        {"sign: before-output", "sign: 2", "audit.sign: \"2\" is not before-output"},
        {"sign: before-output", "sign: Off", "audit.sign"},
        {"check_rows: 0", "check_rows: 65", "audit.check_rows: 65 is not a number in 0..64"},
        {"views_mib: 256", "views_mib: 1048577", "audit.views_mib"},
        {"colluding: 1", "colluding: 16", "audit.colluding"},
        {"colluding: 1", "colluding: 3", "audit.colluding: 3 parties may collude, of 3"},
        {"\"heart", "\"heart\\n", "consortium"},
        {"\"heart", "\"heart\\0", "NUL"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        roster_refuse(text_edited(roster_text, edits[i][0], edits[i][1]), edits[i][2]);
    }
}

static void bad_keys(void **state) {
    (void)state;
    const char *at = strstr(roster_text, "tls_spki_sha256: \"") + 18;
    char hex[65], bad[80];
    (void)snprintf(hex, sizeof hex, "%s", at);
    (void)snprintf(bad, sizeof bad, "%.63s", hex);
    roster_refuse(text_edited(roster_text, hex, bad), "members[0].tls_spki_sha256");
    (void)snprintf(bad, sizeof bad, "%s0", hex);
    roster_refuse(text_edited(roster_text, hex, bad), "members[0].tls_spki_sha256");
    (void)snprintf(bad, sizeof bad, "%.63sg", hex);
    roster_refuse(text_edited(roster_text, hex, bad), "members[0].tls_spki_sha256");
    (void)snprintf(bad, sizeof bad, "%.63sA", hex);
    roster_refuse(text_edited(roster_text, hex, bad), "members[0].tls_spki_sha256");
    roster_refuse(
        text_edited(roster_text, "    wrap_key: |\n      -----BEGIN", "    wrap_key: |\n      -----BEG"),
        "wrap_key");
    roster_refuse(text_edited(roster_text, "    wrap_key: |", "    wrap_key: hello\n    sign_key: |"),
                  "repeated");
    roster_refuse(text_edited(roster_text, "ca: |\n", "ca: |\n  -----BEGIN X-----\n"), "ca:");
    /* the wrapping key where the signing key should be */
    size_t n_wrap = 0, n_sign = 0;
    const char *wrap = text_field(roster_text, "    wrap_key:", &n_wrap);
    const char *sign = text_field(roster_text, "    sign_key:", &n_sign);
    char *out = malloc(strlen(roster_text) + 1);
    (void)sprintf(out, "%.*s    wrap_key%.*s    sign_key%.*s%s", (int)(wrap - roster_text), roster_text,
                  (int)(n_sign - 12), sign + 12, (int)(n_wrap - 12), wrap + 12, sign + n_sign);
    roster_refuse(out, "members[0].wrap_key: not an RSA key of 3072 bits");
}

/* The same key at two members, and for two uses. */
static void shared_keys(void **state) {
    (void)state;
    char *text = NULL;
    struct csl_roster r = roster_base;
    struct csl_member members[6];
    r.members = members;
    memcpy(members, roster_base.members, sizeof members);
    memcpy(members[4].tls_spki, members[1].tls_spki, CSL_SPKI_BYTES);
    assert_int_equal(csl_roster_write(&text, &r, &roster_diag), CSL_ECONFIG);
    assert_non_null(strstr(roster_diag.text,
                           "members[4].tls_spki_sha256: the same key as tls_spki_sha256 of hospital-b"));
    memcpy(members, roster_base.members, sizeof members);
    members[5].wrap_key = members[0].wrap_key;
    assert_int_equal(csl_roster_write(&text, &r, &roster_diag), CSL_ECONFIG);
    assert_non_null(strstr(roster_diag.text, "members[5].wrap_key: the same key as wrap_key of hospital-a"));
    memcpy(members, roster_base.members, sizeof members);
    members[5].sign_key = members[3].sign_key;
    assert_int_equal(csl_roster_write(&text, &r, &roster_diag), CSL_ECONFIG);
    assert_non_null(strstr(roster_diag.text, "members[5].sign_key: the same key as sign_key of dealer"));
    memcpy(members, roster_base.members, sizeof members);
    assert_int_equal(csl_key_spki(members[2].tls_spki, members[2].sign_key), CSL_OK);
    assert_int_equal(csl_roster_write(&text, &r, &roster_diag), CSL_ECONFIG);
    assert_non_null(
        strstr(roster_diag.text, "members[2].sign_key: the same key as tls_spki_sha256 of hospital-c"));
    assert_null(text);
}

static void number_of_parties(void **state) {
    (void)state;
    struct csl_roster r, again;
    char *text = NULL;
    char name[16];
    roster_start(&r, 18);
    roster_add(&r, "dealer", CSL_ROLE_DEALER, "d.org");
    assert_int_equal(csl_roster_write(&text, &r, &roster_diag), CSL_ECONFIG);
    assert_non_null(strstr(roster_diag.text, "at least 2 parties, not 0"));
    for (unsigned n = 1; n <= 17; n++) {
        (void)snprintf(name, sizeof name, "party-%u", n);
        roster_add(&r, name, CSL_ROLE_PARTY, "p.org");
        if (n >= 2 && n <= 16) {
            assert_int_equal(csl_roster_write(&text, &r, &roster_diag), CSL_OK);
            roster_accept(&again, text);
            assert_int_equal(again.n_parties, n);
            csl_roster_free(&again);
            text = NULL;
        } else {
            assert_int_equal(csl_roster_write(&text, &r, &roster_diag), CSL_ECONFIG);
            assert_non_null(
                strstr(roster_diag.text, n == 1 ? "at least 2 parties, not 1" : "party number 17"));
            assert_null(text);
        }
    }
    csl_roster_free(&r);
}

static void errors_name_the_line(void **state) {
    (void)state;
    static const char *const edits[][2] = {
        {"[fe80::3]:7400", "[fe80::3]:0"},  {"owner: \"lab\"", "owner: \"nobody\""},
        {"lanes: 4", "lanes: 0"},           {"to: \"hospital-b\"", "to: \"x\""},
        {"lanes: 4", "lanes: 4\n  zzz: 1"}, {"version: 1", "version: 3"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        const char *at = strstr(roster_text, edits[i][0]);
        assert_non_null(at);
        size_t line = i == 4 ? 2 : 1; /* the added line is the next one */
        for (const char *c = roster_text; c < at; c++) {
            line += *c == '\n';
        }
        char expected[32], expected2[32];
        (void)snprintf(expected, sizeof expected, "test.yaml:%zu: ", line);
        (void)snprintf(expected2, sizeof expected2, "line: %zu,", line);
        char *text = text_edited(roster_text, edits[i][0], edits[i][1]);
        roster_refuse_bytes(text, strlen(text), "test.yaml");
        if (strstr(roster_diag.text, expected) == NULL && strstr(roster_diag.text, expected2) == NULL) {
            fail_msg("line %zu is not in: %s", line, roster_diag.text);
        }
        free(text);
    }
}

static void hostile_yaml(void **state) {
    (void)state;
    static const char *const texts[][2] = {
        {"", "empty"},
        {"\n# nothing\n", "empty"},
        {"--- \n", "test.yaml"},
        {"hello", "test.yaml"},
        {"[1, 2]", "test.yaml"},
        {"version: &a 1", "anchors"},
        {"version: *a", "alias"},
        {"version: !!int 1", "tags"},
        {"version: !x 1", "tags"},
        {"members: &a [x,x]\nmodels: &b [*a,*a]\nlimits: &c [*b,*b]", "anchors"},
        {"<<: {version: 1}", "<<"},
        {"version: 1\n---\nversion: 1", "second document"},
        {"version: [[[[[[[[1]]]]]]]]", "nested too deeply"},
        {"version: {a: {a: 1}}", "unknown field a"},
        {"version: \"\\0\"", "NUL"},
        {"version: \xff", "not UTF-8"},
        {"version: \xc3", "not UTF-8"},
        {"version: \xc0\x80", "not UTF-8"},
        {"\tversion: 1", "not YAML"},
        {"version: 'open", "not YAML"},
        {"version: b: c", "not YAML"},
        {"version: \x01", "not UTF-8"},
        {"# x\xc2\x85%TAG !a! b\n---\nversion: 1", "directives"},
        {"\xef\xbb\xbf%TAG !a! b\n---\nversion: 1", "directives"},
        {"%YAML 9.9\n---\nversion: 1", "test.yaml:1: directives"},
        {"# x\n%TAG !a! b\n---\nversion: 1", "test.yaml:2: directives"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        roster_refuse_bytes(texts[i][0], strlen(texts[i][0]), texts[i][1]);
    }
    roster_refuse_bytes("version\0: 1", 11, "test.yaml");
    roster_refuse_bytes("\xff\xfev\0e\0r\0", 8, "not UTF-8");
    roster_refuse_bytes("\xef\xbb\xbf", 3, "empty");
}

static void large_and_deep(void **state) {
    (void)state;
    size_t n = (size_t)2 << 20;
    char *big = malloc(n);
    assert_non_null(big);
    memset(big, '#', n);
    roster_refuse_bytes(big, n, "larger than");
    memset(big, '[', CSL_ROSTER_BYTES_MAX);
    roster_refuse_bytes(big, CSL_ROSTER_BYTES_MAX, "nested too deeply");
    memset(big, '{', CSL_ROSTER_BYTES_MAX);
    roster_refuse_bytes(big, CSL_ROSTER_BYTES_MAX, "test.yaml");
    memset(big, 'a', CSL_ROSTER_BYTES_MAX);
    roster_refuse_bytes(big, CSL_ROSTER_BYTES_MAX, "test.yaml");
    size_t head = (size_t)sprintf(big, "members:\n");
    for (size_t i = head; i + 5 <= CSL_ROSTER_BYTES_MAX; i += 5) {
        memcpy(big + i, "- {}\n", 5);
        n = i + 5;
    }
    roster_refuse_bytes(big, n, "test.yaml");
    free(big);
}

static void truncated(void **state) {
    (void)state;
    size_t n = strlen(roster_text);
    for (size_t i = 0; i < n; i += 50) {
        struct csl_roster r;
        enum csl_err err = csl_roster_parse(&r, roster_text, i, "test.yaml", &roster_diag);
        /* behind the last required field a shorter roster can be a correct one */
        if (roster_text + i < strstr(roster_text, "# owner:") - 2) {
            assert_int_equal(err, CSL_ECONFIG);
        }
        csl_roster_free(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_fields),
        cmocka_unit_test(repeated_fields),
        cmocka_unit_test(unknown_fields_and_types),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(bad_keys),
        cmocka_unit_test(shared_keys),
        cmocka_unit_test(number_of_parties),
        cmocka_unit_test(errors_name_the_line),
        cmocka_unit_test(hostile_yaml),
        cmocka_unit_test(large_and_deep),
        cmocka_unit_test(truncated),
    };
    return cmocka_run_group_tests(tests, roster_setup, roster_teardown);
}
