/* A site's keys in a real token: SoftHSM2. */
#include "tests/crypto/crypto_test.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/cert.h"
#include "crypto/envelope.h"
#include "crypto/files_internal.h"
#include "crypto/sign.h"
#include "softhsm.h"

static char root[64] = "/tmp/csl-token-XXXXXX";
static struct csl_diag diag;
static const uint8_t text[] = "something to sign";

static const char *in_root(const char *name) {
    static char paths[4][256];
    static unsigned next;
    char *p = paths[next++ % 4];
    (void)snprintf(p, 256, "%s/%s", root, name);
    return p;
}

#define must(expr)                                                                                           \
    do {                                                                                                     \
        if ((expr) != CSL_OK) {                                                                              \
            fail_msg("%s: %s", #expr, diag.text);                                                            \
        }                                                                                                    \
    } while (0)

#define must_fail(expr, want, a, b)                                                                          \
    do {                                                                                                     \
        diag.text[0] = 0;                                                                                    \
        enum csl_err e_ = (expr);                                                                            \
        if (e_ != (want) || strstr(diag.text, (a)) == NULL || strstr(diag.text, (b)) == NULL) {              \
            fail_msg("%s: %s: %s", #expr, csl_err_name(e_), diag.text);                                      \
        }                                                                                                    \
    } while (0)

static void write_file(const char *name, const char *content) {
    must(csl__replace_file(in_root(name), 0600, content, strlen(content), &diag));
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

static int start(void **state) {
    (void)state;
    return mkdtemp(root) == NULL;
}

static int stop(void **state) {
    (void)state;
    softhsm_stop();
    return nftw(root, drop, 8, FTW_DEPTH | FTW_PHYS);
}

/* A folder with the PIN, and keys of which where says where they are. */
static enum csl_err keygen(const char *name, const char *tls, const char *wrap, const char *sign,
                           bool drawn[CSL_TOKEN_KINDS]) {
    const char *const uris[CSL_TOKEN_KINDS] = {tls, wrap, sign};
    struct csl_token_uri parsed[CSL_TOKEN_KINDS];
    const struct csl_token_uri *where[CSL_TOKEN_KINDS] = {NULL};
    char pin[64];
    (void)mkdir(in_root(name), 0700);
    (void)snprintf(pin, sizeof pin, "%s/token.pin", name);
    write_file(pin, SOFTHSM_PIN "\n");
    for (size_t i = 0; i < CSL_TOKEN_KINDS; i++) {
        if (uris[i] != NULL) {
            TRY(csl_token_uri_parse(&parsed[i], uris[i], strlen(uris[i]), &diag));
            where[i] = &parsed[i];
        }
    }
    return csl_site_keygen_in(in_root(name), name, where, drawn, &diag);
}

static void check_sign(const struct csl_site *s, EVP_PKEY *public_key) {
    uint8_t sig[CSL_SIGNATURE_BYTES];
    must(csl_sign(sig, s->sign_key, "test", text, sizeof text, &diag));
    must(csl_verify(public_key, sig, sizeof sig, "test", text, sizeof text, &diag));
    must(csl_sign_raw(sig, s->sign_key, "a note", 6, &diag));
    must(csl_verify_raw(public_key, sig, sizeof sig, "a note", 6, &diag));
    sig[3] ^= 1;
    must_fail(csl_verify(public_key, sig, sizeof sig, "test", text, sizeof text, &diag), CSL_EAUTH, "test",
              "");
}

static void check_open(const struct csl_site *s, EVP_PKEY *public_key) {
    uint8_t env[1024], out[1024];
    size_t n_env = sizeof env, n = sizeof out;
    must(csl_envelope_seal(env, &n_env, public_key, "label", (const uint8_t *)"aad", 3, text, sizeof text,
                           &diag));
    must(csl_envelope_open(out, &n, s->wrap_key, "label", (const uint8_t *)"aad", 3, env, n_env, &diag));
    assert_int_equal(n, sizeof text);
    assert_bytes(out, text, n);
    n = sizeof out;
    must_fail(csl_envelope_open(out, &n, s->wrap_key, "other", (const uint8_t *)"aad", 3, env, n_env, &diag),
              CSL_EAUTH, "other", "does not open");
    env[100] ^= 1;
    n = sizeof out;
    must_fail(csl_envelope_open(out, &n, s->wrap_key, "label", (const uint8_t *)"aad", 3, env, n_env, &diag),
              CSL_EAUTH, "label", "does not open");
}

/* The request of a site, parsed: its public halves. */
static void request(struct csl_enrolment *e, const struct csl_site *s) {
    static const char *const hosts[] = {"127.0.0.1"};
    char *pem = NULL;
    must(csl_enrolment_write(&pem, s, hosts, 1, &diag));
    assert_null(strstr(pem, "PRIVATE"));
    must(csl_enrolment_parse(e, pem, strlen(pem), &diag));
    free(pem);
}

static void certify(const char *site, const struct csl_enrolment *e, const char *ca) {
    char *pem = NULL, ca_file[64];
    must(csl_ca_sign(&pem, in_root(ca), e, 30, &diag));
    write_file("site.crt", pem);
    free(pem);
    (void)snprintf(ca_file, sizeof ca_file, "%s/ca.crt", ca);
    must(csl_site_import_cert(in_root(site), in_root("site.crt"), in_root(ca_file), &diag));
}

static void drawn_in_the_token(void **state) {
    (void)state;
    struct csl_site s;
    struct csl_enrolment e;
    bool drawn[CSL_TOKEN_KINDS];
    const char *uri = softhsm_uri(NULL);
    must(keygen("alpha", uri, uri, uri, drawn));
    assert_true(drawn[0] && drawn[1] && drawn[2]);
    must(csl_ca_create(in_root("ca"), "Test CA", 60, &diag));
    must(csl_site_load_keys(&s, in_root("alpha"), &diag));
    request(&e, &s);
    certify("alpha", &e, "ca");
    csl_site_free(&s);
    must(csl_site_load(&s, in_root("alpha"), &diag));
    check_sign(&s, e.sign_key);
    check_open(&s, e.wrap_key);
    char where[CSL_TOKEN_WHERE_MAX];
    assert_string_equal(csl_token_where(where, s.tls_key),
                        "token \"" SOFTHSM_TOKEN "\", object \"alpha-tls\"");
    csl_site_free(&s);
    csl_enrolment_free(&e);
}

/* A second site that names the same objects uses them; some keys in files. */
static void existing_and_mixed(void **state) {
    (void)state;
    struct csl_site a, b;
    bool drawn[CSL_TOKEN_KINDS];
    must(keygen("beta", NULL, softhsm_uri("alpha-wrap"), NULL, drawn));
    assert_true(drawn[CSL_TOKEN_TLS] && !drawn[CSL_TOKEN_WRAP] && drawn[CSL_TOKEN_SIGN]);
    must(csl_site_load_keys(&a, in_root("alpha"), &diag));
    must(csl_site_load_keys(&b, in_root("beta"), &diag));
    assert_memory_equal(a.wrap_spki, b.wrap_spki, CSL_SPKI_BYTES);
    assert_memory_not_equal(a.sign_spki, b.sign_spki, CSL_SPKI_BYTES);
    check_open(&b, a.wrap_key);
    check_sign(&b, b.sign_key);
    csl_site_free(&a);
    csl_site_free(&b);
    /* of the wrong type: nothing is written */
    must_fail(keygen("gamma", softhsm_uri("alpha-sign"), NULL, NULL, drawn), CSL_ECONFIG, "tls.key",
              "not a P-256 key");
    assert_int_equal(access(in_root("gamma/name"), F_OK), -1);
    must_fail(keygen("beta", NULL, NULL, NULL, drawn), CSL_ECREATE, "beta/name", "never overwritten");
}

/* New keys for a site whose old ones the token has: not the old ones by mistake. */
static void new_keys_are_new(void **state) {
    (void)state;
    struct csl_token_uri uri;
    bool drawn[CSL_TOKEN_KINDS];
    const char *line = softhsm_uri(NULL);
    (void)mkdir(in_root("alpha-new"), 0700);
    write_file("alpha-new/token.pin", SOFTHSM_PIN "\n");
    must(csl_token_uri_parse(&uri, line, strlen(line), &diag));
    for (size_t kind = 0; kind < CSL_TOKEN_KINDS; kind++) {
        static const char *const names[CSL_TOKEN_KINDS] = {"\"alpha-tls\"", "\"alpha-wrap\"",
                                                           "\"alpha-sign\""};
        const struct csl_token_uri *where[CSL_TOKEN_KINDS] = {NULL};
        where[kind] = &uri;
        must_fail(csl_site_keygen_in(in_root("alpha-new"), "alpha", where, drawn, &diag), CSL_ECREATE,
                  "alpha-new/", names[kind]);
        assert_non_null(strstr(diag.text, "--token-key"));
        assert_int_equal(access(in_root("alpha-new/name"), F_OK), -1);
    }
}

/* A CA's key in the token, too. */
static void a_ca_in_the_token(void **state) {
    (void)state;
    struct csl_site s;
    struct csl_enrolment e;
    must(csl_ca_create(in_root("ca2"), "Another CA", 60, &diag));
    softhsm_import(in_root("ca2/ca.key"), "ca", "ca");
    write_file("ca2/ca.key", softhsm_uri("ca"));
    write_file("ca2/token.pin", SOFTHSM_PIN);
    must(csl_site_load_keys(&s, in_root("alpha"), &diag));
    request(&e, &s);
    certify("alpha", &e, "ca2");
    csl_enrolment_free(&e);
    csl_site_free(&s);
}

static void wrong_pin_and_names(void **state) {
    (void)state;
    struct csl_site s;
    char line[512];
    write_file("alpha/token.pin", "00000000");
    must_fail(csl_site_load_keys(&s, in_root("alpha"), &diag), CSL_EAUTH, "alpha/tls.key",
              "CKR_PIN_INCORRECT");
    write_file("alpha/token.pin", "1");
    must_fail(csl_site_load_keys(&s, in_root("alpha"), &diag), CSL_EAUTH, "alpha/tls.key", SOFTHSM_TOKEN);
    write_file("alpha/token.pin", SOFTHSM_PIN);
    (void)snprintf(line, sizeof line, "%s", softhsm_uri("alpha-sign"));
    must(csl__replace_file(in_root("keep"), 0600, line, strlen(line), &diag));
    write_file("alpha/sign.key", softhsm_uri("nothing"));
    must_fail(csl_site_load_keys(&s, in_root("alpha"), &diag), CSL_ECONFIG, "alpha/sign.key",
              "no private key");
    write_file("alpha/sign.key", softhsm_uri("alpha-wrap"));
    must_fail(csl_site_load_keys(&s, in_root("alpha"), &diag), CSL_ECONFIG, "alpha/sign.key",
              "not an Ed25519 key");
    write_file("alpha/sign.key", "pkcs11:token=another;object=x?module-path=/usr/lib/softhsm/none.so");
    must_fail(csl_site_load_keys(&s, in_root("alpha"), &diag), CSL_EUNAVAILABLE, "alpha/sign.key",
              "cannot be loaded");
    write_file("alpha/sign.key", line);
    must(csl_site_load_keys(&s, in_root("alpha"), &diag));
    csl_site_free(&s);
}

static void gone_in_the_middle(void **state) {
    (void)state;
    struct csl_site s;
    uint8_t sig[CSL_SIGNATURE_BYTES], env[1024], out[1024];
    size_t n_env = sizeof env, n = sizeof out;
    must(csl_site_load_keys(&s, in_root("alpha"), &diag));
    must(csl_envelope_seal(env, &n_env, s.wrap_key, "label", NULL, 0, text, sizeof text, &diag));
    softhsm_hide(true);
    must_fail(csl_sign(sig, s.sign_key, "test", text, sizeof text, &diag), CSL_EUNAVAILABLE, "alpha/sign.key",
              SOFTHSM_TOKEN);
    assert_zero(sig, sizeof sig);
    must_fail(csl_envelope_open(out, &n, s.wrap_key, "label", NULL, 0, env, n_env, &diag), CSL_EUNAVAILABLE,
              "alpha/wrap.key", SOFTHSM_TOKEN);
    softhsm_hide(false);
    check_sign(&s, s.sign_key);
    check_open(&s, s.wrap_key);
    csl_site_free(&s);
}

/* Signs, and opens an envelope, in a process that another one forked. */
static void forks(void **state) {
    (void)state;
    struct csl_site s;
    int status = -1;
    must(csl_site_load_keys(&s, in_root("alpha"), &diag));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        check_sign(&s, s.sign_key);
        check_open(&s, s.wrap_key);
        csl_site_free(&s);
        _exit(0);
    }
    check_sign(&s, s.sign_key);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    check_sign(&s, s.sign_key);
    csl_site_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawn_in_the_token),
        cmocka_unit_test(existing_and_mixed),
        cmocka_unit_test(new_keys_are_new),
        cmocka_unit_test(a_ca_in_the_token),
        cmocka_unit_test(wrong_pin_and_names),
        cmocka_unit_test(gone_in_the_middle),
        cmocka_unit_test(forks),
    };
    if (!softhsm_start()) {
        return 77;
    }
    return cmocka_run_group_tests(tests, start, stop);
}
