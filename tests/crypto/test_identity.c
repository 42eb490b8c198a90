/* Site folders, requests, the CA, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto/cert.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"

static char root[64];
static struct csl_diag diag;

#define assert_ok(expr)                                                                                      \
    do {                                                                                                     \
        diag.text[0] = 0;                                                                                    \
        enum csl_err e_ = (expr);                                                                            \
        if (e_ != CSL_OK) {                                                                                  \
            fail_msg("%s: %s: %s", #expr, csl_err_name(e_), diag.text);                                      \
        }                                                                                                    \
    } while (0)

/* The error and a part of its sentence. */
#define assert_err(expected, part, expr)                                                                     \
    do {                                                                                                     \
        diag.text[0] = 0;                                                                                    \
        enum csl_err e_ = (expr);                                                                            \
        if (e_ != (expected) || strstr(diag.text, (part)) == NULL) {                                         \
            fail_msg("%s: %s: %s", #expr, csl_err_name(e_), diag.text);                                      \
        }                                                                                                    \
    } while (0)

static const char *in_root(const char *name) {
    static char paths[8][256];
    static unsigned next;
    char *p = paths[next++ % 8];
    (void)snprintf(p, 256, "%s/%s", root, name);
    return p;
}

static char *slurp(const char *path, size_t *n) {
    char *data = NULL;
    assert_ok(csl__read_file(&data, n, path, 1 << 20, &diag));
    return data;
}

static void spit(const char *path, const void *data, size_t n) {
    assert_ok(csl__replace_file(path, 0644, data, n, &diag));
}

static char *request_of(const char *site_dir, const char *const *hosts, size_t n_hosts) {
    struct csl_site site;
    char *text = NULL;
    assert_ok(csl_site_load_keys(&site, in_root(site_dir), &diag));
    assert_ok(csl_enrolment_write(&text, &site, hosts, n_hosts, &diag));
    csl_site_free(&site);
    return text;
}

/* Signs the request of a site into a file of root. */
static void certify(const char *site_dir, const char *ca, unsigned days, const char *out) {
    static const char *const hosts[] = {"mpc.example.org", "127.0.0.1", "::1"};
    char *text = request_of(site_dir, hosts, 3), *pem = NULL;
    struct csl_enrolment e;
    assert_ok(csl_enrolment_parse(&e, text, strlen(text), &diag));
    assert_ok(csl_ca_sign(&pem, in_root(ca), &e, days, &diag));
    spit(in_root(out), pem, strlen(pem));
    csl_enrolment_free(&e);
    free(pem);
    free(text);
}

static int setup(void **state) {
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/csl-identity-XXXXXX");
    if (mkdtemp(root) == NULL) {
        return -1;
    }
    umask(022);
    assert_ok(csl_site_keygen(in_root("a"), "hospital-a", &diag));
    assert_ok(csl_site_keygen(in_root("b"), "hospital-b", &diag));
    assert_ok(csl_ca_create(in_root("ca"), "Heart Network CA", 30, &diag));
    assert_ok(csl_ca_create(in_root("ca2"), "Heart Network CA", 30, &diag));
    certify("a", "ca", 10, "a.crt");
    certify("b", "ca", 10, "b.crt");
    assert_ok(csl_site_import_cert(in_root("a"), in_root("a.crt"), in_root("ca/ca.crt"), &diag));
    assert_ok(csl_site_import_cert(in_root("b"), in_root("b.crt"), in_root("ca/ca.crt"), &diag));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char cmd[128];
    (void)snprintf(cmd, sizeof cmd, "rm -rf '%s'", root);
    return system(cmd);
}

static void names(void **state) {
    (void)state;
    static const char *const good[] = {"a", "hospital-1", "0", "abcdefghijklmnopqrstuvwxyz012345"};
    static const char *const bad[] = {
        "", "-", "-a", "a-", "A", "a b", "a.b", "a/b", "..", "ä", "abcdefghijklmnopqrstuvwxyz0123456", "a\n"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(csl_name_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(csl_name_valid(bad[i]));
        assert_err(CSL_EUSAGE, "site name", csl_site_keygen(in_root("never"), bad[i], &diag));
    }
    assert_int_equal(access(in_root("never"), F_OK), -1);
}

static void files_are_private_and_never_overwritten(void **state) {
    (void)state;
    static const char *const keys[] = {"a/tls.key", "a/wrap.key", "a/sign.key", "ca/ca.key"};
    struct stat st;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(stat(in_root(keys[i]), &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    size_t n = 0, n2 = 0;
    char *before = slurp(in_root("a/tls.key"), &n);
    assert_err(CSL_ECREATE, "a/name", csl_site_keygen(in_root("a"), "hospital-x", &diag));
    assert_err(CSL_ECREATE, "ca/ca.key", csl_ca_create(in_root("ca"), "Other", 1, &diag));
    char *after = slurp(in_root("a/tls.key"), &n2);
    assert_int_equal(n, n2);
    assert_memory_equal(before, after, n);
    csl_secret_free(before);
    csl_secret_free(after);
}

static void loads_what_was_made(void **state) {
    (void)state;
    struct csl_site s;
    uint8_t spki[CSL_SPKI_BYTES];
    char name[CSL_NAME_MAX + 1];
    assert_ok(csl_site_load(&s, in_root("a"), &diag));
    assert_string_equal(s.name, "hospital-a");
    assert_true(csl_key_is_tls(s.tls_key) && csl_key_is_wrap(s.wrap_key) && csl_key_is_sign(s.sign_key));
    assert_false(csl_key_is_tls(s.wrap_key) || csl_key_is_wrap(s.sign_key) || csl_key_is_sign(s.tls_key));
    assert_ok(csl_cert_spki(spki, s.tls_cert));
    assert_memory_equal(spki, s.tls_spki, sizeof spki);
    assert_memory_not_equal(s.wrap_spki, s.sign_spki, sizeof spki);
    assert_ok(csl_cert_site_name(name, s.tls_cert, &diag));
    assert_string_equal(name, "hospital-a");
    assert_int_equal(X509_check_host(s.tls_cert, "mpc.example.org", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(s.tls_cert, "other.example.org", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(s.tls_cert, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(s.tls_cert, "::1", 0), 1);
    int64_t left = csl_cert_not_after(s.tls_cert) - (int64_t)time(NULL);
    assert_in_range(left, 10 * 86400 - 600, 10 * 86400);
    assert_err(CSL_EDATA, "site name", csl_cert_site_name(name, s.ca, &diag));
    csl_site_free(&s);
    csl_site_free(&s);
}

static void refuses_open_permissions(void **state) {
    (void)state;
    static const char *const keys[] = {"a/tls.key", "a/wrap.key", "a/sign.key"};
    static const mode_t modes[] = {0640, 0604, 0660, 0610, 0601};
    struct csl_site s;
    for (size_t k = 0; k < 3; k++) {
        for (size_t m = 0; m < 5; m++) {
            assert_int_equal(chmod(in_root(keys[k]), modes[m]), 0);
            assert_err(CSL_ECONFIG, "chmod 600", csl_site_load(&s, in_root("a"), &diag));
            assert_non_null(strstr(diag.text, keys[k]));
        }
        assert_int_equal(chmod(in_root(keys[k]), 0400), 0);
        assert_ok(csl_site_load(&s, in_root("a"), &diag));
        csl_site_free(&s);
        assert_int_equal(chmod(in_root(keys[k]), 0600), 0);
    }
}

/* Runs csl_site_load on site a with one file exchanged for n bytes. */
static void with_file(const char *file, const void *data, size_t n, enum csl_err expected, const char *part) {
    char path[256];
    struct csl_site s;
    size_t n_old = 0;
    (void)snprintf(path, sizeof path, "%s/a/%s", root, file);
    char *old = slurp(path, &n_old);
    assert_ok(csl__replace_file(path, 0600, data, n, &diag));
    assert_err(expected, part, csl_site_load(&s, in_root("a"), &diag));
    /* a wrong name shows where it is compared with the certificate's */
    assert_non_null(strstr(diag.text, strcmp(file, "name") == 0 ? "/a/" : file));
    assert_null(s.tls_key);
    assert_int_equal(unlink(path), 0);
    assert_err(CSL_ENOINPUT, file, csl_site_load(&s, in_root("a"), &diag));
    assert_ok(csl__replace_file(path, 0600, old, n_old, &diag));
    csl_secret_free(old);
}

static void refuses_wrong_files(void **state) {
    (void)state;
    size_t n_tls, n_wrap, n_sign, n_crt, n_ca2;
    char *tls = slurp(in_root("a/tls.key"), &n_tls);
    char *wrap = slurp(in_root("a/wrap.key"), &n_wrap);
    char *sign = slurp(in_root("a/sign.key"), &n_sign);
    char *other = slurp(in_root("b.crt"), &n_crt);
    char *ca2 = slurp(in_root("ca2/ca.crt"), &n_ca2);
    with_file("tls.key", wrap, n_wrap, CSL_ECONFIG, "not a P-256 key");
    with_file("wrap.key", sign, n_sign, CSL_ECONFIG, "not an RSA key");
    with_file("sign.key", tls, n_tls, CSL_ECONFIG, "not an Ed25519 key");
    with_file("tls.key", "", 0, CSL_EDATA, "not a PEM private key");
    with_file("tls.key", tls, n_tls / 2, CSL_EDATA, "not a PEM private key");
    with_file("tls.crt", other, n_crt, CSL_ECONFIG, "not the certificate of this site's tls.key");
    with_file("tls.crt", tls, n_tls, CSL_EDATA, "private key");
    with_file("tls.crt", other, n_crt - 40, CSL_EDATA, "PEM block");
    with_file("name", "hospital-b\n", 11, CSL_ECONFIG, "hospital-b");
    with_file("name", "Hospital\n", 9, CSL_ECONFIG, "no valid site name");
    struct csl_site s;
    spit(in_root("a/ca.crt"), ca2, n_ca2);
    assert_err(CSL_EAUTH, "does not verify", csl_site_load(&s, in_root("a"), &diag));
    assert_ok(csl_site_import_cert(in_root("a"), in_root("a.crt"), in_root("ca/ca.crt"), &diag));
    csl_secret_free(tls), csl_secret_free(wrap), csl_secret_free(sign), csl_secret_free(other);
    csl_secret_free(ca2);
}

static void refuses_weak_and_locked_keys(void **state) {
    (void)state;
    EVP_PKEY *weak = EVP_RSA_gen(2048);
    EVP_PKEY *curve = EVP_EC_gen("P-384");
    assert_false(csl_key_is_wrap(weak));
    assert_false(csl_key_is_tls(curve));
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    struct csl_site s;
    assert_ok(csl_site_load_keys(&s, in_root("a"), &diag));
    assert_int_equal(PEM_write_bio_PrivateKey(bio, s.tls_key, EVP_aes_128_cbc(), NULL, 0, NULL, (void *)"pw"),
                     1);
    long n = BIO_get_mem_data(bio, &data);
    with_file("tls.key", data, (size_t)n, CSL_EDATA, "without passphrase");
    csl_site_free(&s);
    BIO_free(bio);
    EVP_PKEY_free(weak);
    EVP_PKEY_free(curve);
}

static void import_refuses(void **state) {
    (void)state;
    size_t n = 0, n_key = 0;
    assert_err(CSL_ECONFIG, "tls.key",
               csl_site_import_cert(in_root("a"), in_root("b.crt"), in_root("ca/ca.crt"), &diag));
    certify("a", "ca2", 10, "a2.crt");
    assert_err(CSL_EAUTH, "does not verify",
               csl_site_import_cert(in_root("a"), in_root("a2.crt"), in_root("ca/ca.crt"), &diag));
    assert_err(CSL_ENOINPUT, "missing.crt",
               csl_site_import_cert(in_root("a"), in_root("missing.crt"), in_root("ca/ca.crt"), &diag));
    char *cert = slurp(in_root("a.crt"), &n), *key = slurp(in_root("b/tls.key"), &n_key);
    char *both = malloc(n + n_key);
    assert_non_null(both);
    memcpy(both, cert, n);
    memcpy(both + n, key, n_key);
    spit(in_root("both.crt"), both, n + n_key);
    assert_err(CSL_EDATA, "never leaves its site",
               csl_site_import_cert(in_root("a"), in_root("both.crt"), in_root("ca/ca.crt"), &diag));
    free(both);
    csl_secret_free(cert);
    csl_secret_free(key);
    struct csl_site s; /* nothing of it was written */
    assert_ok(csl_site_load(&s, in_root("a"), &diag));
    csl_site_free(&s);
}

static void expiry(void **state) {
    (void)state;
    struct csl_site s;
    assert_ok(csl_site_load(&s, in_root("a"), &diag));
    int64_t now = (int64_t)time(NULL);
    assert_ok(csl_cert_verify(s.tls_cert, NULL, s.ca, 0, &diag));
    assert_ok(csl_cert_verify(s.tls_cert, NULL, s.ca, -1, &diag));
    assert_err(CSL_EAUTH, "expired", csl_cert_verify(s.tls_cert, NULL, s.ca, now + 11 * 86400, &diag));
    assert_err(CSL_EAUTH, "not yet valid", csl_cert_verify(s.tls_cert, NULL, s.ca, now - 86400, &diag));
    assert_err(CSL_EAUTH, "not a CA", csl_cert_verify(s.tls_cert, NULL, s.tls_cert, 0, &diag));
    csl_site_free(&s);
    /* never longer than the CA */
    certify("a", "ca", 5000, "long.crt");
    assert_ok(csl_site_import_cert(in_root("a"), in_root("long.crt"), in_root("ca/ca.crt"), &diag));
    assert_ok(csl_site_load(&s, in_root("a"), &diag));
    assert_int_equal(csl_cert_not_after(s.tls_cert), csl_cert_not_after(s.ca));
    csl_site_free(&s);
}

static void renewal_keeps_the_key(void **state) {
    (void)state;
    struct csl_site s;
    bool changed = true;
    uint8_t before[CSL_SPKI_BYTES], after[CSL_SPKI_BYTES];
    assert_ok(csl_site_load(&s, in_root("b"), &diag));
    assert_ok(csl_cert_spki(before, s.tls_cert));
    assert_ok(csl_site_reload_cert(&s, &changed, in_root("b"), &diag));
    assert_false(changed);
    certify("b", "ca", 20, "b-new.crt");
    assert_ok(csl_site_import_cert(in_root("b"), in_root("b-new.crt"), in_root("ca/ca.crt"), &diag));
    assert_ok(csl_site_reload_cert(&s, &changed, in_root("b"), &diag));
    assert_true(changed);
    assert_ok(csl_cert_spki(after, s.tls_cert));
    assert_memory_equal(before, after, sizeof before);
    assert_in_range(csl_cert_not_after(s.tls_cert) - (int64_t)time(NULL), 20 * 86400 - 600, 20 * 86400);
    /* a bad file leaves the certificate that serves */
    const X509 *serving = s.tls_cert;
    spit(in_root("b/tls.crt"), "garbage", 7);
    assert_err(CSL_EDATA, "tls.crt", csl_site_reload_cert(&s, &changed, in_root("b"), &diag));
    assert_false(changed);
    assert_ptr_equal(serving, s.tls_cert);
    assert_ok(csl_site_import_cert(in_root("b"), in_root("b-new.crt"), in_root("ca/ca.crt"), &diag));
    csl_site_free(&s);
}

static void request_round_trip(void **state) {
    (void)state;
    static const char *const hosts[] = {"a.example.org", "10.0.0.7", "fe80::1"};
    char *text = request_of("a", hosts, 3);
    struct csl_enrolment e;
    struct csl_site s;
    assert_null(strstr(text, "PRIVATE"));
    assert_ok(csl_enrolment_parse(&e, text, strlen(text), &diag));
    assert_ok(csl_site_load_keys(&s, in_root("a"), &diag));
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
    assert_ok(csl_site_load_keys(&s, in_root("a"), &diag));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_err(CSL_EUSAGE, "neither a DNS name", csl_enrolment_write(&text, &s, &bad[i], 1, &diag));
        assert_null(text);
    }
    const char *many[CSL_SITE_HOSTS_MAX + 1];
    for (size_t i = 0; i <= CSL_SITE_HOSTS_MAX; i++) {
        many[i] = "a.org";
    }
    assert_err(CSL_EUSAGE, "more than", csl_enrolment_write(&text, &s, many, CSL_SITE_HOSTS_MAX + 1, &diag));
    csl_site_free(&s);
}

/* Every flipped bit, except in the comment lines, is an error; the parser never crashes. */
static void request_flipped_and_truncated(void **state) {
    (void)state;
    char *text = request_of("a", NULL, 0);
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
            enum csl_err err = csl_enrolment_parse(&e, text, n, &diag);
            if (err != CSL_EDATA && err != CSL_EAUTH) {
                fail_msg("byte %zu bit %d of ...%.30s: %s", i, bit, text + i - 5, csl_err_name(err));
            }
            assert_null(e.req);
        }
        text[i] = old;
        if (i < n - 2) {
            enum csl_err err = csl_enrolment_parse(&e, text, i, &diag);
            assert_true(err == CSL_EDATA || err == CSL_EAUTH);
        }
    }
    free(text);
}

static void request_refuses_other_contents(void **state) {
    (void)state;
    struct csl_enrolment e;
    char *a = request_of("a", NULL, 0), *b = request_of("b", NULL, 0);
    /* a's request with b's wrapping and signing keys */
    char *tail_a = strstr(a, "# wrapping key"), *tail_b = strstr(b, "# wrapping key");
    char mixed[16384];
    int n = snprintf(mixed, sizeof mixed, "%.*s%s", (int)(tail_a - a), a, tail_b);
    assert_err(CSL_EAUTH, "wrapping key", csl_enrolment_parse(&e, mixed, (size_t)n, &diag));
    char *sign_a = strstr(a, "# signing key"), *sign_b = strstr(b, "# signing key");
    n = snprintf(mixed, sizeof mixed, "%.*s%s", (int)(sign_a - a), a, sign_b);
    assert_err(CSL_EAUTH, "signing key", csl_enrolment_parse(&e, mixed, (size_t)n, &diag));
    n = snprintf(mixed, sizeof mixed, "%.*s", (int)(sign_a - a), a);
    assert_err(CSL_EDATA, "signing key is missing", csl_enrolment_parse(&e, mixed, (size_t)n, &diag));
    n = snprintf(mixed, sizeof mixed, "%s%s", a, sign_b);
    assert_err(CSL_EDATA, "more than two", csl_enrolment_parse(&e, mixed, (size_t)n, &diag));
    n = snprintf(mixed, sizeof mixed, "%s%s", a, b);
    assert_err(CSL_EDATA, "CERTIFICATE REQUEST", csl_enrolment_parse(&e, mixed, (size_t)n, &diag));
    size_t n_key = 0;
    char *key = slurp(in_root("a/tls.key"), &n_key);
    n = snprintf(mixed, sizeof mixed, "%s%s", a, key);
    assert_err(CSL_EDATA, "never leaves its site", csl_enrolment_parse(&e, mixed, (size_t)n, &diag));
    csl_secret_free(key);
    assert_err(CSL_EDATA, "no PEM", csl_enrolment_parse(&e, "", 0, &diag));
    char *big = calloc(1, CSL_ENROLMENT_MAX + 1);
    assert_err(CSL_EDATA, "at most", csl_enrolment_parse(&e, big, CSL_ENROLMENT_MAX + 1, &diag));
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
    assert_ok(csl_site_load_keys(&a, in_root("a"), &diag));
    assert_ok(csl_site_load_keys(&b, in_root("b"), &diag));
    struct csl_site liar = a;
    (void)snprintf(liar.name, sizeof liar.name, "UPPER");
    assert_ok(csl_enrolment_write(&text, &liar, NULL, 0, &diag));
    assert_err(CSL_EDATA, "malformed", csl_enrolment_parse(&e, text, strlen(text), &diag));
    free(text);
    liar = a;
    liar.tls_key = a.sign_key;
    assert_err(CSL_EINTERNAL, "request", csl_enrolment_write(&text, &liar, NULL, 0, &diag));
    liar = a;
    liar.wrap_key = b.sign_key;
    memcpy(liar.wrap_spki, b.sign_spki, CSL_SPKI_BYTES);
    assert_ok(csl_enrolment_write(&text, &liar, NULL, 0, &diag));
    assert_err(CSL_EDATA, "wrapping key is not an RSA key",
               csl_enrolment_parse(&e, text, strlen(text), &diag));
    free(text);
    csl_site_free(&a);
    csl_site_free(&b);
}

static void ca_refuses(void **state) {
    (void)state;
    char *text = request_of("a", NULL, 0), *pem = NULL;
    struct csl_enrolment e;
    assert_ok(csl_enrolment_parse(&e, text, strlen(text), &diag));
    assert_err(CSL_EUSAGE, "days", csl_ca_sign(&pem, in_root("ca"), &e, 0, &diag));
    assert_err(CSL_EUSAGE, "days", csl_ca_sign(&pem, in_root("ca"), &e, CSL_CERT_DAYS_MAX + 1, &diag));
    assert_err(CSL_ENOINPUT, "ca.key", csl_ca_sign(&pem, in_root("a"), &e, 1, &diag));
    assert_err(CSL_EUSAGE, "1 to 64", csl_ca_create(in_root("ca3"), "", 1, &diag));
    size_t n = 0;
    char *ca2 = slurp(in_root("ca2/ca.crt"), &n);
    char *ca = slurp(in_root("ca/ca.crt"), &n);
    spit(in_root("ca/ca.crt"), ca2, strlen(ca2));
    assert_err(CSL_ECONFIG, "ca.crt", csl_ca_sign(&pem, in_root("ca"), &e, 1, &diag));
    spit(in_root("ca/ca.crt"), ca, strlen(ca));
    assert_int_equal(chmod(in_root("ca/ca.key"), 0644), 0);
    assert_err(CSL_ECONFIG, "chmod 600", csl_ca_sign(&pem, in_root("ca"), &e, 1, &diag));
    assert_int_equal(chmod(in_root("ca/ca.key"), 0600), 0);
    assert_null(pem);
    csl_secret_free(ca);
    csl_secret_free(ca2);
    csl_enrolment_free(&e);
    free(text);
}

static void files_that_are_none(void **state) {
    (void)state;
    char *data = NULL;
    size_t n = 0;
    assert_int_equal(mkfifo(in_root("fifo"), 0600), 0);
    assert_err(CSL_ENOINPUT, "not a regular", csl__read_file(&data, &n, in_root("fifo"), 10, &diag));
    assert_err(CSL_ENOINPUT, "not a regular", csl__read_file(&data, &n, root, 10, &diag));
    spit(in_root("eleven"), "01234567890", 11);
    assert_err(CSL_EDATA, "larger", csl__read_file(&data, &n, in_root("eleven"), 10, &diag));
    assert_ok(csl__read_file(&data, &n, in_root("eleven"), 11, &diag));
    assert_int_equal(n, 11);
    csl_secret_free(data);
    assert_err(CSL_ECREATE, "no/where", csl__replace_file(in_root("no/where"), 0600, "x", 1, &diag));
    assert_err(CSL_ECREATE, "eleven", csl__make_dir(in_root("eleven"), &diag));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(files_are_private_and_never_overwritten),
        cmocka_unit_test(loads_what_was_made),
        cmocka_unit_test(refuses_open_permissions),
        cmocka_unit_test(refuses_wrong_files),
        cmocka_unit_test(refuses_weak_and_locked_keys),
        cmocka_unit_test(import_refuses),
        cmocka_unit_test(expiry),
        cmocka_unit_test(renewal_keeps_the_key),
        cmocka_unit_test(request_round_trip),
        cmocka_unit_test(request_refuses_bad_hosts),
        cmocka_unit_test(request_flipped_and_truncated),
        cmocka_unit_test(request_refuses_other_contents),
        cmocka_unit_test(request_of_a_liar),
        cmocka_unit_test(ca_refuses),
        cmocka_unit_test(files_that_are_none),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
