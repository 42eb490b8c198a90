/* Site folders: keys and certificates, and what must be refused. */
#include "site_world.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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
        assert_err(CSL_EUSAGE, "site name", csl_site_keygen(in_root("never"), bad[i], &world_diag));
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
    char *before = world_read(in_root("a/tls.key"), &n);
    assert_err(CSL_ECREATE, "a/name", csl_site_keygen(in_root("a"), "hospital-x", &world_diag));
    assert_err(CSL_ECREATE, "ca/ca.key", csl_ca_create(in_root("ca"), "Other", 1, &world_diag));
    char *after = world_read(in_root("a/tls.key"), &n2);
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
    assert_ok(csl_site_load(&s, in_root("a"), &world_diag));
    assert_string_equal(s.name, "hospital-a");
    assert_true(csl_key_is_tls(s.tls_key) && csl_key_is_wrap(s.wrap_key) && csl_key_is_sign(s.sign_key));
    assert_false(csl_key_is_tls(s.wrap_key) || csl_key_is_wrap(s.sign_key) || csl_key_is_sign(s.tls_key));
    assert_ok(csl_cert_spki(spki, s.tls_cert));
    assert_memory_equal(spki, s.tls_spki, sizeof spki);
    assert_memory_not_equal(s.wrap_spki, s.sign_spki, sizeof spki);
    assert_ok(csl_cert_site_name(name, s.tls_cert, &world_diag));
    assert_string_equal(name, "hospital-a");
    assert_int_equal(X509_check_host(s.tls_cert, "mpc.example.org", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(s.tls_cert, "other.example.org", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(s.tls_cert, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(s.tls_cert, "::1", 0), 1);
    int64_t left = csl_cert_not_after(s.tls_cert) - (int64_t)time(NULL);
    assert_in_range(left, 10 * 86400 - 600, 10 * 86400);
    assert_err(CSL_EDATA, "site name", csl_cert_site_name(name, s.ca, &world_diag));
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
            assert_err(CSL_ECONFIG, "chmod 600", csl_site_load(&s, in_root("a"), &world_diag));
            assert_non_null(strstr(world_diag.text, keys[k]));
        }
        assert_int_equal(chmod(in_root(keys[k]), 0400), 0);
        assert_ok(csl_site_load(&s, in_root("a"), &world_diag));
        csl_site_free(&s);
        assert_int_equal(chmod(in_root(keys[k]), 0600), 0);
    }
}

/* Runs csl_site_load on site a with one file exchanged for n bytes. */
static void with_file(const char *file, const void *data, size_t n, enum csl_err expected, const char *part) {
    char path[256];
    struct csl_site s;
    size_t n_old = 0;
    (void)snprintf(path, sizeof path, "%s/a/%s", world_root, file);
    char *old = world_read(path, &n_old);
    assert_ok(csl__replace_file(path, 0600, data, n, &world_diag));
    assert_err(expected, part, csl_site_load(&s, in_root("a"), &world_diag));
    /* a wrong name shows where it is compared with the certificate's */
    assert_non_null(strstr(world_diag.text, strcmp(file, "name") == 0 ? "/a/" : file));
    assert_null(s.tls_key);
    assert_int_equal(unlink(path), 0);
    assert_err(CSL_ENOINPUT, file, csl_site_load(&s, in_root("a"), &world_diag));
    assert_ok(csl__replace_file(path, 0600, old, n_old, &world_diag));
    csl_secret_free(old);
}

static void refuses_wrong_files(void **state) {
    (void)state;
    size_t n_tls, n_wrap, n_sign, n_crt, n_ca2;
    char *tls = world_read(in_root("a/tls.key"), &n_tls);
    char *wrap = world_read(in_root("a/wrap.key"), &n_wrap);
    char *sign = world_read(in_root("a/sign.key"), &n_sign);
    char *other = world_read(in_root("b.crt"), &n_crt);
    char *ca2 = world_read(in_root("ca2/ca.crt"), &n_ca2);
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
    world_write(in_root("a/ca.crt"), ca2, n_ca2);
    assert_err(CSL_EAUTH, "does not verify", csl_site_load(&s, in_root("a"), &world_diag));
    assert_ok(csl_site_import_cert(in_root("a"), in_root("a.crt"), in_root("ca/ca.crt"), &world_diag));
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
    assert_ok(csl_site_load_keys(&s, in_root("a"), &world_diag));
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
               csl_site_import_cert(in_root("a"), in_root("b.crt"), in_root("ca/ca.crt"), &world_diag));
    world_certify("a", "ca2", 10, "a2.crt");
    assert_err(CSL_EAUTH, "does not verify",
               csl_site_import_cert(in_root("a"), in_root("a2.crt"), in_root("ca/ca.crt"), &world_diag));
    assert_err(CSL_ENOINPUT, "missing.crt",
               csl_site_import_cert(in_root("a"), in_root("missing.crt"), in_root("ca/ca.crt"), &world_diag));
    char *cert = world_read(in_root("a.crt"), &n), *key = world_read(in_root("b/tls.key"), &n_key);
    char *both = malloc(n + n_key);
    assert_non_null(both);
    memcpy(both, cert, n);
    memcpy(both + n, key, n_key);
    world_write(in_root("both.crt"), both, n + n_key);
    assert_err(CSL_EDATA, "never leaves its site",
               csl_site_import_cert(in_root("a"), in_root("both.crt"), in_root("ca/ca.crt"), &world_diag));
    free(both);
    csl_secret_free(cert);
    csl_secret_free(key);
    struct csl_site s; /* nothing of it was written */
    assert_ok(csl_site_load(&s, in_root("a"), &world_diag));
    csl_site_free(&s);
}

static void expiry(void **state) {
    (void)state;
    struct csl_site s;
    assert_ok(csl_site_load(&s, in_root("a"), &world_diag));
    int64_t now = (int64_t)time(NULL);
    assert_ok(csl_cert_verify(s.tls_cert, NULL, s.ca, 0, &world_diag));
    assert_ok(csl_cert_verify(s.tls_cert, NULL, s.ca, -1, &world_diag));
    assert_err(CSL_EAUTH, "expired", csl_cert_verify(s.tls_cert, NULL, s.ca, now + 11 * 86400, &world_diag));
    assert_err(CSL_EAUTH, "not yet valid", csl_cert_verify(s.tls_cert, NULL, s.ca, now - 86400, &world_diag));
    assert_err(CSL_EAUTH, "not a CA", csl_cert_verify(s.tls_cert, NULL, s.tls_cert, 0, &world_diag));
    csl_site_free(&s);
    /* never longer than the CA */
    world_certify("a", "ca", 5000, "long.crt");
    assert_ok(csl_site_import_cert(in_root("a"), in_root("long.crt"), in_root("ca/ca.crt"), &world_diag));
    assert_ok(csl_site_load(&s, in_root("a"), &world_diag));
    assert_int_equal(csl_cert_not_after(s.tls_cert), csl_cert_not_after(s.ca));
    csl_site_free(&s);
}

static void renewal_keeps_the_key(void **state) {
    (void)state;
    struct csl_site s;
    bool changed = true;
    uint8_t before[CSL_SPKI_BYTES], after[CSL_SPKI_BYTES];
    assert_ok(csl_site_load(&s, in_root("b"), &world_diag));
    assert_ok(csl_cert_spki(before, s.tls_cert));
    assert_ok(csl_site_reload_cert(&s, &changed, in_root("b"), &world_diag));
    assert_false(changed);
    world_certify("b", "ca", 20, "b-new.crt");
    assert_ok(csl_site_import_cert(in_root("b"), in_root("b-new.crt"), in_root("ca/ca.crt"), &world_diag));
    assert_ok(csl_site_reload_cert(&s, &changed, in_root("b"), &world_diag));
    assert_true(changed);
    assert_ok(csl_cert_spki(after, s.tls_cert));
    assert_memory_equal(before, after, sizeof before);
    assert_in_range(csl_cert_not_after(s.tls_cert) - (int64_t)time(NULL), 20 * 86400 - 600, 20 * 86400);
    /* a bad file leaves the certificate that serves */
    const X509 *serving = s.tls_cert;
    world_write(in_root("b/tls.crt"), "garbage", 7);
    assert_err(CSL_EDATA, "tls.crt", csl_site_reload_cert(&s, &changed, in_root("b"), &world_diag));
    assert_false(changed);
    assert_ptr_equal(serving, s.tls_cert);
    assert_ok(csl_site_import_cert(in_root("b"), in_root("b-new.crt"), in_root("ca/ca.crt"), &world_diag));
    csl_site_free(&s);
}

static void files_that_are_none(void **state) {
    (void)state;
    char *data = NULL;
    size_t n = 0;
    assert_int_equal(mkfifo(in_root("fifo"), 0600), 0);
    assert_err(CSL_ENOINPUT, "not a regular", csl__read_file(&data, &n, in_root("fifo"), 10, &world_diag));
    assert_err(CSL_ENOINPUT, "not a regular", csl__read_file(&data, &n, world_root, 10, &world_diag));
    world_write(in_root("eleven"), "01234567890", 11);
    assert_err(CSL_EDATA, "larger", csl__read_file(&data, &n, in_root("eleven"), 10, &world_diag));
    assert_ok(csl__read_file(&data, &n, in_root("eleven"), 11, &world_diag));
    assert_int_equal(n, 11);
    csl_secret_free(data);
    assert_err(CSL_ECREATE, "no/where", csl__replace_file(in_root("no/where"), 0600, "x", 1, &world_diag));
    assert_err(CSL_ECREATE, "eleven", csl__make_dir(in_root("eleven"), &world_diag));
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
        cmocka_unit_test(files_that_are_none),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
