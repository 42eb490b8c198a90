/* Requests of sites, the CA that signs them, and what must be refused. */
#include "site_world.h"

#include <sys/stat.h>

static void request_round_trip(void **state) {
    (void)state;
    static const char *const hosts[] = {"a.example.org", "10.0.0.7", "fe80::1"};
    char *text = world_request("a", hosts, 3);
    struct csl_enrolment e;
    struct csl_site s;
    assert_null(strstr(text, "PRIVATE"));
    assert_ok(csl_enrolment_parse(&e, text, strlen(text), &world_diag));
    assert_ok(csl_site_load_keys(&s, in_root("a"), &world_diag));
    assert_string_equal(e.name, "hospital-a");
    assert_int_equal(e.n_hosts, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(e.hosts[i], hosts[i]);
    }
    assert_memory_equal(e.tls_spki, s.tls_spki, CSL_SPKI_BYTES);
    assert_memory_equal(e.wrap_spki, s.wrap_spki, CSL_SPKI_BYTES);
    assert_memory_equal(e.sign_spki, s.sign_spki, CSL_SPKI_BYTES);
    csl_site_free(&s);
    csl_enrolment_free(&e);
    free(text);
}

static void request_refuses_bad_hosts(void **state) {
    (void)state;
    static const char *const bad[] = {"", "a b", "-x.org", "http://a", "a_b\n", "1.2.3.4:80"};
    struct csl_site s;
    char *text = NULL;
    assert_ok(csl_site_load_keys(&s, in_root("a"), &world_diag));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_err(CSL_EUSAGE, "neither a DNS name", csl_enrolment_write(&text, &s, &bad[i], 1, &world_diag));
        assert_null(text);
    }
    const char *many[CSL_SITE_HOSTS_MAX + 1];
    for (size_t i = 0; i <= CSL_SITE_HOSTS_MAX; i++) {
        many[i] = "a.org";
    }
    assert_err(CSL_EUSAGE, "more than",
               csl_enrolment_write(&text, &s, many, CSL_SITE_HOSTS_MAX + 1, &world_diag));
    csl_site_free(&s);
}

/* Every flipped bit, except in the comment lines, is an error; the parser never crashes. */
static void request_flipped_and_truncated(void **state) {
    (void)state;
    char *text = world_request("a", NULL, 0);
    size_t n = strlen(text);
    struct csl_enrolment e;
    bool comment = false;
    for (size_t i = 0; i < n; i++) {
        comment = (i == 0 || text[i - 1] == '\n') ? text[i] == '#' : comment;
        char old = text[i];
        /* the digit before '=' has unused bits */
        bool space = old == '\n' || old == '=' || text[i + 1] == '\n' || text[i + 1] == '=' || comment;
        for (int bit = 0; bit < 8 && !space; bit += 3) {
            text[i] = (char)(old ^ (1 << bit));
            enum csl_err err = csl_enrolment_parse(&e, text, n, &world_diag);
            if (err != CSL_EDATA && err != CSL_EAUTH) {
                fail_msg("byte %zu bit %d of ...%.30s: %s", i, bit, text + i - 5, csl_err_name(err));
            }
            assert_null(e.req);
        }
        text[i] = old;
        if (i < n - 2) {
            enum csl_err err = csl_enrolment_parse(&e, text, i, &world_diag);
            assert_true(err == CSL_EDATA || err == CSL_EAUTH);
        }
    }
    free(text);
}

static void request_refuses_other_contents(void **state) {
    (void)state;
    struct csl_enrolment e;
    char *a = world_request("a", NULL, 0), *b = world_request("b", NULL, 0);
    /* a's request with b's wrapping and signing keys */
    char *tail_a = strstr(a, "# wrapping key"), *tail_b = strstr(b, "# wrapping key");
    char mixed[16384];
    int n = snprintf(mixed, sizeof mixed, "%.*s%s", (int)(tail_a - a), a, tail_b);
    assert_err(CSL_EAUTH, "wrapping key", csl_enrolment_parse(&e, mixed, (size_t)n, &world_diag));
    char *sign_a = strstr(a, "# signing key"), *sign_b = strstr(b, "# signing key");
    n = snprintf(mixed, sizeof mixed, "%.*s%s", (int)(sign_a - a), a, sign_b);
    assert_err(CSL_EAUTH, "signing key", csl_enrolment_parse(&e, mixed, (size_t)n, &world_diag));
    n = snprintf(mixed, sizeof mixed, "%.*s", (int)(sign_a - a), a);
    assert_err(CSL_EDATA, "signing key is missing", csl_enrolment_parse(&e, mixed, (size_t)n, &world_diag));
    n = snprintf(mixed, sizeof mixed, "%s%s", a, sign_b);
    assert_err(CSL_EDATA, "more than two", csl_enrolment_parse(&e, mixed, (size_t)n, &world_diag));
    n = snprintf(mixed, sizeof mixed, "%s%s", a, b);
    assert_err(CSL_EDATA, "CERTIFICATE REQUEST", csl_enrolment_parse(&e, mixed, (size_t)n, &world_diag));
    size_t n_key = 0;
    char *key = world_read(in_root("a/tls.key"), &n_key);
    n = snprintf(mixed, sizeof mixed, "%s%s", a, key);
    assert_err(CSL_EDATA, "never leaves its site", csl_enrolment_parse(&e, mixed, (size_t)n, &world_diag));
    csl_secret_free(key);
    assert_err(CSL_EDATA, "no PEM", csl_enrolment_parse(&e, "", 0, &world_diag));
    char *big = calloc(1, CSL_ENROLMENT_MAX + 1);
    assert_err(CSL_EDATA, "at most", csl_enrolment_parse(&e, big, CSL_ENROLMENT_MAX + 1, &world_diag));
    free(big);
    free(a);
    free(b);
}

/* A request of a site that asks for more than it may: for another's keys, or signed by another key. */
static void request_of_a_liar(void **state) {
    (void)state;
    struct csl_site a, b;
    struct csl_enrolment e;
    char *text = NULL;
    assert_ok(csl_site_load_keys(&a, in_root("a"), &world_diag));
    assert_ok(csl_site_load_keys(&b, in_root("b"), &world_diag));
    struct csl_site liar = a;
    (void)snprintf(liar.name, sizeof liar.name, "UPPER");
    assert_ok(csl_enrolment_write(&text, &liar, NULL, 0, &world_diag));
    assert_err(CSL_EDATA, "malformed", csl_enrolment_parse(&e, text, strlen(text), &world_diag));
    free(text);
    liar = a;
    liar.tls_key = a.sign_key;
    assert_err(CSL_EINTERNAL, "request", csl_enrolment_write(&text, &liar, NULL, 0, &world_diag));
    liar = a;
    liar.wrap_key = b.sign_key;
    memcpy(liar.wrap_spki, b.sign_spki, CSL_SPKI_BYTES);
    assert_ok(csl_enrolment_write(&text, &liar, NULL, 0, &world_diag));
    assert_err(CSL_EDATA, "wrapping key is not an RSA key",
               csl_enrolment_parse(&e, text, strlen(text), &world_diag));
    free(text);
    csl_site_free(&a);
    csl_site_free(&b);
}

static void ca_refuses(void **state) {
    (void)state;
    char *text = world_request("a", NULL, 0), *pem = NULL;
    struct csl_enrolment e;
    assert_ok(csl_enrolment_parse(&e, text, strlen(text), &world_diag));
    assert_err(CSL_EUSAGE, "days", csl_ca_sign(&pem, in_root("ca"), &e, 0, &world_diag));
    assert_err(CSL_EUSAGE, "days", csl_ca_sign(&pem, in_root("ca"), &e, CSL_CERT_DAYS_MAX + 1, &world_diag));
    assert_err(CSL_ENOINPUT, "ca.key", csl_ca_sign(&pem, in_root("a"), &e, 1, &world_diag));
    assert_err(CSL_EUSAGE, "1 to 64", csl_ca_create(in_root("ca3"), "", 1, &world_diag));
    size_t n = 0;
    char *ca2 = world_read(in_root("ca2/ca.crt"), &n);
    char *ca = world_read(in_root("ca/ca.crt"), &n);
    world_write(in_root("ca/ca.crt"), ca2, strlen(ca2));
    assert_err(CSL_ECONFIG, "ca.crt", csl_ca_sign(&pem, in_root("ca"), &e, 1, &world_diag));
    world_write(in_root("ca/ca.crt"), ca, strlen(ca));
    assert_int_equal(chmod(in_root("ca/ca.key"), 0644), 0);
    assert_err(CSL_ECONFIG, "chmod 600", csl_ca_sign(&pem, in_root("ca"), &e, 1, &world_diag));
    assert_int_equal(chmod(in_root("ca/ca.key"), 0600), 0);
    assert_null(pem);
    csl_secret_free(ca);
    csl_secret_free(ca2);
    csl_enrolment_free(&e);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_round_trip),
        cmocka_unit_test(request_refuses_bad_hosts),
        cmocka_unit_test(request_flipped_and_truncated),
        cmocka_unit_test(request_refuses_other_contents),
        cmocka_unit_test(request_of_a_liar),
        cmocka_unit_test(ca_refuses),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
