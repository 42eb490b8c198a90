/* The roster: what it says, its digest, and everything that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/cert.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "net/roster.h"

static struct csl_roster base; /* hospital-a, hospital-b, hospital-c, dealer, lab, clinic */
static char *base_text;
static struct csl_diag diag;

/* ---- Building ---- */

/* An RSA public key of the right form; nobody needs its private half here, and drawing one is slow. */
static EVP_PKEY *wrap_key(void) {
    unsigned char n_bytes[CSL_WRAP_BITS / 8];
    assert_int_equal(RAND_bytes(n_bytes, sizeof n_bytes), 1);
    n_bytes[0] |= 0x80;
    n_bytes[sizeof n_bytes - 1] |= 1;
    BIGNUM *n = BN_bin2bn(n_bytes, sizeof n_bytes, NULL), *e = BN_new();
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    assert_int_equal(BN_set_word(e, RSA_F4), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e), 1);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    return key;
}

static void add_member(struct csl_roster *r, const char *name, unsigned roles, const char *host) {
    struct csl_member *m = &r->members[r->n_members++];
    (void)snprintf(m->name, sizeof m->name, "%s", name);
    (void)snprintf(m->host, sizeof m->host, "%s", host);
    m->roles = roles;
    m->port = 7400;
    assert_int_equal(RAND_bytes(m->tls_spki, sizeof m->tls_spki), 1);
    m->wrap_key = wrap_key();
    m->sign_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static X509 *make_ca(void) {
    char dir[] = "/tmp/csl-roster-XXXXXX", path[64];
    char *pem = NULL;
    size_t n = 0;
    X509 *ca = NULL;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(csl_ca_create(dir, "Test CA", 10, &diag), CSL_OK);
    (void)snprintf(path, sizeof path, "%s/ca.crt", dir);
    assert_int_equal(csl__read_file(&pem, &n, path, 10000, &diag), CSL_OK);
    assert_int_equal(csl_cert_parse(&ca, pem, n, path, &diag), CSL_OK);
    csl_secret_free(pem);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/ca.key", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    return ca;
}

static void start_roster(struct csl_roster *r, size_t n_members) {
    memset(r, 0, sizeof *r);
    csl_roster_defaults(r);
    (void)snprintf(r->consortium, sizeof r->consortium, "heart \"net\" \\ 7");
    r->members = calloc(n_members, sizeof *r->members);
    r->models = calloc(2, sizeof *r->models);
    r->connections = calloc(2, sizeof *r->connections);
    r->ca = make_ca();
}

static int setup(void **state) {
    (void)state;
    start_roster(&base, 6);
    add_member(&base, "hospital-a", CSL_ROLE_PARTY | CSL_ROLE_CLIENT, "a.example.org");
    add_member(&base, "hospital-b", CSL_ROLE_PARTY, "10.0.0.2");
    add_member(&base, "hospital-c", CSL_ROLE_PARTY, "fe80::3");
    add_member(&base, "dealer", CSL_ROLE_DEALER, "dealer.example.org");
    add_member(&base, "lab", CSL_ROLE_OWNER, "");
    add_member(&base, "clinic", CSL_ROLE_CLIENT, "");
    base.n_models = 1;
    (void)snprintf(base.models[0].name, sizeof base.models[0].name, "digits_v1.0");
    base.models[0].owner = 4;
    base.models[0].clients = calloc(2, sizeof(size_t));
    base.models[0].clients[0] = 5;
    base.models[0].clients[1] = 0;
    base.models[0].n_clients = 2;
    base.n_connections = 1;
    base.connections[0] = (struct csl_connection){.from = 0, .to = 1};
    if (csl_roster_write(&base_text, &base, &diag) != CSL_OK) {
        print_error("%s\n", diag.text);
        return -1;
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    csl_roster_free(&base);
    free(base_text);
    return 0;
}

/* ---- Editing text ---- */

/* text with the first `old` exchanged; the caller frees. */
static char *edited(const char *text, const char *old, const char *new) {
    const char *at = strstr(text, old);
    if (at == NULL) {
        fail_msg("not in the text: %s", old);
    }
    char *out = malloc(strlen(text) + strlen(new) + 1);
    assert_non_null(out);
    (void)sprintf(out, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    return out;
}

static size_t indent_of(const char *line) {
    return strspn(line, " ");
}

/* The first line that starts with `start`, and what is indented deeper below it; *n is its length. */
static const char *field(const char *text, const char *start, size_t *n) {
    char pattern[64];
    (void)snprintf(pattern, sizeof pattern, "\n%s", start);
    const char *at = strstr(text, pattern);
    if (at == NULL) {
        fail_msg("no field %s", start);
    }
    const char *end = ++at;
    do {
        end = strchr(end, '\n') + 1;
    } while (*end != 0 && indent_of(end) > indent_of(at));
    *n = (size_t)(end - at);
    return at;
}

static char *without(const char *text, const char *start) {
    size_t n = 0;
    const char *at = field(text, start, &n);
    char *out = malloc(strlen(text) + 1);
    assert_non_null(out);
    (void)sprintf(out, "%.*s%s", (int)(at - text), text, at + n);
    return out;
}

static char *twice(const char *text, const char *start) {
    size_t n = 0;
    const char *at = field(text, start, &n);
    char *out = malloc(strlen(text) + n + 1);
    assert_non_null(out);
    (void)sprintf(out, "%.*s%.*s%s", (int)(at - text), text, (int)n, at, at);
    return out;
}

static void refuse_bytes(const void *text, size_t n, const char *part) {
    struct csl_roster r;
    diag.text[0] = 0;
    enum csl_err err = csl_roster_parse(&r, text, n, "test.yaml", &diag);
    if (err != CSL_ECONFIG || strstr(diag.text, part) == NULL || strncmp(diag.text, "test.yaml", 9) != 0) {
        fail_msg("expected \"%s\", got %s: %s", part, csl_err_name(err), diag.text);
    }
    assert_null(r.members);
    assert_null(r.ca);
}

/* Takes the text over. */
static void refuse(char *text, const char *part) {
    refuse_bytes(text, strlen(text), part);
    free(text);
}

static void accept(struct csl_roster *r, char *text) {
    if (csl_roster_parse(r, text, strlen(text), "test.yaml", &diag) != CSL_OK) {
        fail_msg("%s", diag.text);
    }
    free(text);
}

/* ---- What it says ---- */

static void says_what_was_written(void **state) {
    (void)state;
    struct csl_roster r;
    accept(&r, strdup(base_text));
    assert_string_equal(r.consortium, base.consortium);
    assert_int_equal(r.n_members, 6);
    assert_int_equal(r.n_parties, 3);
    assert_int_equal(X509_cmp(r.ca, base.ca), 0);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(r.members[i].name, base.members[i].name);
        assert_string_equal(r.members[i].host, base.members[i].host);
        assert_int_equal(r.members[i].port, base.members[i].host[0] == 0 ? 0 : 7400);
        assert_int_equal(r.members[i].roles, base.members[i].roles);
        assert_int_equal(r.members[i].party, i < 3 ? (int)i : -1);
        assert_memory_equal(r.members[i].tls_spki, base.members[i].tls_spki, CSL_SPKI_BYTES);
        assert_int_equal(EVP_PKEY_eq(r.members[i].wrap_key, base.members[i].wrap_key), 1);
        assert_int_equal(EVP_PKEY_eq(r.members[i].sign_key, base.members[i].sign_key), 1);
        assert_ptr_equal(csl_roster_member(&r, base.members[i].name), &r.members[i]);
        assert_ptr_equal(csl_roster_by_spki(&r, base.members[i].tls_spki), &r.members[i]);
    }
    assert_ptr_equal(csl_roster_party(&r, 2), &r.members[2]);
    assert_null(csl_roster_party(&r, 3));
    assert_ptr_equal(csl_roster_dealer(&r), &r.members[3]);
    assert_null(csl_roster_member(&r, "nobody"));
    assert_null(csl_roster_by_spki(&r, base.members[0].sign_spki));
    csl_roster_free(&r);
    csl_roster_free(&r);
}

static void who_may_what(void **state) {
    (void)state;
    struct csl_roster r;
    accept(&r, strdup(base_text));
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
    accept(&r, strdup(base_text));
    static const char *const with_override[] = {"010100", "000100", "110100", "000000", "111000", "111000"};
    for (size_t i = 0; i < 6; i++) {
        dials_row(&r, i, with_override[i]);
    }
    csl_roster_free(&r);
    accept(&r, without(base_text, "connections:"));
    dials_row(&r, 0, "000100");
    dials_row(&r, 1, "100100");
    csl_roster_free(&r);
    refuse(edited(base_text, "    address: \"a.example.org:7400\"\n", ""),
           "neither hospital-a nor lab has an address");
}

static void one_side_without_address(void **state) {
    (void)state;
    struct csl_roster r;
    char *t1 = edited(base_text, "    address: \"a.example.org:7400\"\n", "");
    char *t2 = edited(t1, "roles: [owner]\n", "roles: [owner]\n    address: lab.org:1\n");
    char *t3 = edited(t2, "roles: [client]\n", "roles: [client]\n    address: 'clinic.org:65535'\n");
    free(t1);
    free(t2);
    accept(&r, t3);
    dials_row(&r, 0, "011111");
    dials_row(&r, 4, "011000");
    csl_roster_free(&r);
}

static void peers_are_verified(void **state) {
    (void)state;
    struct csl_roster r;
    const struct csl_member *m = NULL;
    uint8_t spki[CSL_SPKI_BYTES];
    accept(&r, strdup(base_text));
    memcpy(spki, r.members[1].tls_spki, sizeof spki);
    assert_int_equal(csl_roster_verify_peer(&r, &m, "hospital-b", spki, &diag), CSL_OK);
    assert_ptr_equal(m, &r.members[1]);
    assert_int_equal(csl_roster_verify_peer(&r, &m, "hospital-a", spki, &diag), CSL_EPERM);
    assert_null(m);
    assert_non_null(strstr(diag.text, "hospital-a is not in the roster: its key differs"));
    assert_int_equal(csl_roster_verify_peer(&r, &m, "hospital-x", spki, &diag), CSL_EPERM);
    assert_non_null(strstr(diag.text, "hospital-x is not in the roster"));
    spki[31] ^= 1;
    assert_int_equal(csl_roster_verify_peer(&r, &m, "hospital-b", spki, NULL), CSL_EPERM);
    csl_roster_free(&r);
}

/* ---- The digest ---- */

static void digest_of(uint8_t out[32], char *text) {
    struct csl_roster r;
    accept(&r, text);
    assert_int_equal(csl_roster_digest(out, &r), CSL_OK);
    csl_roster_free(&r);
}

static void digest_ignores_form(void **state) {
    (void)state;
    uint8_t d[32], e[32];
    digest_of(d, strdup(base_text));
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
        digest_of(e, edited(base_text, same[i][0], same[i][1]));
        assert_memory_equal(d, e, 32);
    }
    digest_of(e, without(base_text, "timeouts:"));
    assert_memory_equal(d, e, 32);
    digest_of(e, without(base_text, "audit:"));
    assert_memory_equal(d, e, 32);
    char *swapped = without(base_text, "version:"); /* a top-level key moved to the end */
    char *all = malloc(strlen(swapped) + 32);
    (void)sprintf(all, "%sversion: 1\n", swapped);
    free(swapped);
    digest_of(e, all);
    assert_memory_equal(d, e, 32);
}

static void digest_covers_everything(void **state) {
    (void)state;
    uint8_t d[32], e[32];
    digest_of(d, strdup(base_text));
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
        char *t = edited(base_text, other[i][0], other[i][1]);
        if (i == 1) { /* the name stands in the model rule as well */
            char *t2 = edited(t, "\"clinic\"", "\"klinik\"");
            free(t);
            t = t2;
        }
        digest_of(e, t);
        assert_memory_not_equal(d, e, 32);
    }
    struct csl_roster r; /* keys and the CA */
    accept(&r, strdup(base_text));
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
    r.ca = make_ca();
    assert_int_equal(csl_roster_digest(e, &r), CSL_OK);
    assert_memory_not_equal(d, e, 32);
    csl_roster_free(&r);
}

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
        refuse(without(base_text, lines[i][0]), lines[i][1]);
    }
    refuse(edited(base_text, "  - name: \"hospital-b\"\n    roles", "  - roles"), "name");
    refuse(edited(base_text, "  - name: \"digits_v1.0\"\n    owner", "  - owner"), "name");
    refuse(edited(base_text, "{from: \"hospital-a\", to: \"hospital-b\"}", "{from: hospital-a}"), "to");
    refuse(edited(base_text, "{from: \"hospital-a\", to: \"hospital-b\"}", "{to: hospital-a}"), "from");
}

static void repeated_fields(void **state) {
    (void)state;
    static const char *const lines[] = {
        "version:",      "consortium:",         "ca:",        "limits:",      "    roles:", "    address:",
        "    wrap_key:", "    sign_key:",       "    owner:", "    clients:", "  lanes:",   "  dead_ms:",
        "connections:",  "    tls_spki_sha256:"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        refuse(twice(base_text, lines[i]), "repeated field");
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
        refuse(edited(base_text, edits[i][0], edits[i][1]), edits[i][2]);
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
        refuse(edited(base_text, edits[i][0], edits[i][1]), edits[i][2]);
    }
}

static void bad_keys(void **state) {
    (void)state;
    const char *at = strstr(base_text, "tls_spki_sha256: \"") + 18;
    char hex[65], bad[80];
    (void)snprintf(hex, sizeof hex, "%s", at);
    (void)snprintf(bad, sizeof bad, "%.63s", hex);
    refuse(edited(base_text, hex, bad), "members[0].tls_spki_sha256");
    (void)snprintf(bad, sizeof bad, "%s0", hex);
    refuse(edited(base_text, hex, bad), "members[0].tls_spki_sha256");
    (void)snprintf(bad, sizeof bad, "%.63sg", hex);
    refuse(edited(base_text, hex, bad), "members[0].tls_spki_sha256");
    (void)snprintf(bad, sizeof bad, "%.63sA", hex);
    refuse(edited(base_text, hex, bad), "members[0].tls_spki_sha256");
    refuse(edited(base_text, "    wrap_key: |\n      -----BEGIN", "    wrap_key: |\n      -----BEG"),
           "wrap_key");
    refuse(edited(base_text, "    wrap_key: |", "    wrap_key: hello\n    sign_key: |"), "repeated");
    refuse(edited(base_text, "ca: |\n", "ca: |\n  -----BEGIN X-----\n"), "ca:");
    /* the wrapping key where the signing key should be */
    size_t n_wrap = 0, n_sign = 0;
    const char *wrap = field(base_text, "    wrap_key:", &n_wrap);
    const char *sign = field(base_text, "    sign_key:", &n_sign);
    char *out = malloc(strlen(base_text) + 1);
    (void)sprintf(out, "%.*s    wrap_key%.*s    sign_key%.*s%s", (int)(wrap - base_text), base_text,
                  (int)(n_sign - 12), sign + 12, (int)(n_wrap - 12), wrap + 12, sign + n_sign);
    refuse(out, "members[0].wrap_key: not an RSA key of 3072 bits");
}

/* The same key at two members, and for two uses. */
static void shared_keys(void **state) {
    (void)state;
    char *text = NULL;
    struct csl_roster r = base;
    struct csl_member members[6];
    r.members = members;
    memcpy(members, base.members, sizeof members);
    memcpy(members[4].tls_spki, members[1].tls_spki, CSL_SPKI_BYTES);
    assert_int_equal(csl_roster_write(&text, &r, &diag), CSL_ECONFIG);
    assert_non_null(
        strstr(diag.text, "members[4].tls_spki_sha256: the same key as tls_spki_sha256 of hospital-b"));
    memcpy(members, base.members, sizeof members);
    members[5].wrap_key = members[0].wrap_key;
    assert_int_equal(csl_roster_write(&text, &r, &diag), CSL_ECONFIG);
    assert_non_null(strstr(diag.text, "members[5].wrap_key: the same key as wrap_key of hospital-a"));
    memcpy(members, base.members, sizeof members);
    members[5].sign_key = members[3].sign_key;
    assert_int_equal(csl_roster_write(&text, &r, &diag), CSL_ECONFIG);
    assert_non_null(strstr(diag.text, "members[5].sign_key: the same key as sign_key of dealer"));
    memcpy(members, base.members, sizeof members);
    assert_int_equal(csl_key_spki(members[2].tls_spki, members[2].sign_key), CSL_OK);
    assert_int_equal(csl_roster_write(&text, &r, &diag), CSL_ECONFIG);
    assert_non_null(strstr(diag.text, "members[2].sign_key: the same key as tls_spki_sha256 of hospital-c"));
    assert_null(text);
}

static void number_of_parties(void **state) {
    (void)state;
    struct csl_roster r, again;
    char *text = NULL;
    char name[16];
    start_roster(&r, 18);
    add_member(&r, "dealer", CSL_ROLE_DEALER, "d.org");
    assert_int_equal(csl_roster_write(&text, &r, &diag), CSL_ECONFIG);
    assert_non_null(strstr(diag.text, "at least 2 parties, not 0"));
    for (unsigned n = 1; n <= 17; n++) {
        (void)snprintf(name, sizeof name, "party-%u", n);
        add_member(&r, name, CSL_ROLE_PARTY, "p.org");
        if (n >= 2 && n <= 16) {
            assert_int_equal(csl_roster_write(&text, &r, &diag), CSL_OK);
            accept(&again, text);
            assert_int_equal(again.n_parties, n);
            csl_roster_free(&again);
            text = NULL;
        } else {
            assert_int_equal(csl_roster_write(&text, &r, &diag), CSL_ECONFIG);
            assert_non_null(strstr(diag.text, n == 1 ? "at least 2 parties, not 1" : "party number 17"));
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
        const char *at = strstr(base_text, edits[i][0]);
        assert_non_null(at);
        size_t line = i == 4 ? 2 : 1; /* the added line is the next one */
        for (const char *c = base_text; c < at; c++) {
            line += *c == '\n';
        }
        char expected[32], expected2[32];
        (void)snprintf(expected, sizeof expected, "test.yaml:%zu: ", line);
        (void)snprintf(expected2, sizeof expected2, "line: %zu,", line);
        char *text = edited(base_text, edits[i][0], edits[i][1]);
        refuse_bytes(text, strlen(text), "test.yaml");
        if (strstr(diag.text, expected) == NULL && strstr(diag.text, expected2) == NULL) {
            fail_msg("line %zu is not in: %s", line, diag.text);
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
        refuse_bytes(texts[i][0], strlen(texts[i][0]), texts[i][1]);
    }
    refuse_bytes("version\0: 1", 11, "test.yaml");
    refuse_bytes("\xff\xfev\0e\0r\0", 8, "not UTF-8");
    refuse_bytes("\xef\xbb\xbf", 3, "empty");
}

static void large_and_deep(void **state) {
    (void)state;
    size_t n = (size_t)2 << 20;
    char *big = malloc(n);
    assert_non_null(big);
    memset(big, '#', n);
    refuse_bytes(big, n, "larger than");
    memset(big, '[', CSL_ROSTER_BYTES_MAX);
    refuse_bytes(big, CSL_ROSTER_BYTES_MAX, "nested too deeply");
    memset(big, '{', CSL_ROSTER_BYTES_MAX);
    refuse_bytes(big, CSL_ROSTER_BYTES_MAX, "test.yaml");
    memset(big, 'a', CSL_ROSTER_BYTES_MAX);
    refuse_bytes(big, CSL_ROSTER_BYTES_MAX, "test.yaml");
    size_t head = (size_t)sprintf(big, "members:\n");
    for (size_t i = head; i + 5 <= CSL_ROSTER_BYTES_MAX; i += 5) {
        memcpy(big + i, "- {}\n", 5);
        n = i + 5;
    }
    refuse_bytes(big, n, "test.yaml");
    free(big);
}

static void truncated(void **state) {
    (void)state;
    size_t n = strlen(base_text);
    for (size_t i = 0; i < n; i += 50) {
        struct csl_roster r;
        enum csl_err err = csl_roster_parse(&r, base_text, i, "test.yaml", &diag);
        /* behind the last required field a shorter roster can be a correct one */
        if (base_text + i < strstr(base_text, "# owner:") - 2) {
            assert_int_equal(err, CSL_ECONFIG);
        }
        csl_roster_free(&r);
    }
}

static void files(void **state) {
    (void)state;
    struct csl_roster r;
    char path[] = "/tmp/csl-roster-XXXXXX";
    assert_int_equal(csl_roster_load(&r, "/nonexistent/roster.yaml", &diag), CSL_ENOINPUT);
    assert_non_null(strstr(diag.text, "/nonexistent/roster.yaml"));
    assert_int_equal(csl_roster_load(&r, "/tmp", &diag), CSL_ENOINPUT);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, base_text, strlen(base_text)), strlen(base_text));
    assert_int_equal(csl_roster_load(&r, path, &diag), CSL_OK);
    csl_roster_free(&r);
    assert_int_equal(ftruncate(fd, 2 << 20), 0);
    assert_int_equal(csl_roster_load(&r, path, &diag), CSL_ECONFIG);
    assert_non_null(strstr(diag.text, "larger"));
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
    char *t = edited(base_text, "  - name: \"hospital-a\"\n",
                     "  - name: \"hospital-a\"\n    account: " ACCOUNT_A "\n");
    char *u =
        edited(t, "  - name: \"hospital-b\"\n", "  - name: \"hospital-b\"\n    account: \"" ACCOUNT_B "\"\n");
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
    accept(&r, strdup(base_text));
    assert_int_equal(r.chain.id, 0);
    assert_false(r.members[0].has_account);
    csl_roster_free(&r);
    accept(&r, with_chain());
    assert_int_equal(r.chain.id, 31337);
    assert_int_equal(r.chain.confirmations, 12);
    assert_memory_equal(r.chain.contract, "\x5a\xae\xb6\x05\x3f\x3e\x94\xc9", 8);
    assert_true(r.members[0].has_account && r.members[1].has_account && !r.members[2].has_account);
    assert_memory_equal(r.members[1].account, "\xd1\x22\x0a", 3);
    assert_int_equal(csl_roster_digest(d, &r), CSL_OK);
    assert_int_equal(csl_roster_write(&text, &r, &diag), CSL_OK);
    csl_roster_free(&r);
    accept(&again, text);
    assert_int_equal(csl_roster_digest(e, &again), CSL_OK);
    assert_memory_equal(d, e, 32);
    csl_roster_free(&again);

    char *t = with_chain(); /* a default that is not written out is the same */
    digest_of(e, edited(t, "  confirmations: 12\n", ""));
    assert_memory_equal(d, e, 32);
    static const char *const other[][2] = {{"id: 31337", "id: 31338"},
                                           {"id: 31337", "id: 4294998633"},
                                           {CONTRACT, ACCOUNT_A},
                                           {"confirmations: 12", "confirmations: 13"},
                                           {"account: " ACCOUNT_A, "account: " CONTRACT},
                                           {"    account: " ACCOUNT_A "\n", ""}};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        digest_of(e, edited(t, other[i][0], other[i][1]));
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
        refuse(edited(t, bad[i][0], bad[i][1]), bad[i][2]);
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
        cmocka_unit_test(files),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
