/* Tokens that misbehave: slow, gone, locked, full, lying. By a module of our own (fake_token.c). */
#include "tests/crypto/crypto_test.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/cryptoki_internal.h"
#include "crypto/envelope.h"
#include "crypto/files_internal.h"
#include "crypto/identity.h"
#include "crypto/sign.h"
#include "fake_token.h"

/* A child starts threads. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
    return "die_after_fork=0";
}

static struct fake_token *fake;
static char dir[64] = "/tmp/csl-token-XXXXXX";
static struct csl_diag diag;
static const uint8_t text[] = "something to sign";

static void write_file(const char *name, const char *content) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_ok(csl__replace_file(path, 0600, content, strlen(content), &diag));
}

static int start(void **state) {
    (void)state;
    void *handle = dlopen(FAKE_MODULE, RTLD_NOW | RTLD_LOCAL);
    fake_token_control *control = NULL;
    void *symbol = handle == NULL ? NULL : dlsym(handle, "fake_token");
    memcpy(&control, &symbol, sizeof control);
    assert_non_null(control);
    fake = control();
    assert_non_null(mkdtemp(dir));
    write_file("name", "site\n");
    return 0;
}

static int stop(void **state) {
    static const char *const files[] = {"name", "tls.key", "wrap.key", "sign.key", "token.pin"};
    char path[128];
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)unlink(path);
    }
    return rmdir(dir);
}

/* Before each test: a good token, and the site's lines and PIN. */
static int good(void **state) {
    static const char *const kinds[] = {"tls", "wrap", "sign"};
    char name[16], line[512];
    (void)state;
    fake->flags = 0;
    fake->absent = fake->foreign = fake->no_public = fake->hang = false;
    fake->oaep = fake->bare_rsa = true;
    fake->fail_times = 0;
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "%s.key", kinds[i]);
        (void)snprintf(line, sizeof line, "pkcs11:token=" FAKE_LABEL ";object=%s?module-path=%s\n", kinds[i],
                       FAKE_MODULE);
        write_file(name, line);
    }
    write_file("token.pin", FAKE_PIN "\n");
    assert_int_equal(setenv("CONSILIUM_TOKEN_TIMEOUT_MS", "30000", 1), 0);
    fake->n_login = fake->n_initialize = fake->n_finalize = fake->n_used = 0;
    return 0;
}

static void load(struct csl_site *s) {
    enum csl_err err = csl_site_load_keys(s, dir, &diag);
    if (err != CSL_OK) {
        fail_msg("%s", diag.text);
    }
}

static void load_fails(enum csl_err want, const char *file, const char *what) {
    struct csl_site s;
    diag.text[0] = 0;
    assert_err(csl_site_load_keys(&s, dir, &diag), want);
    if (strstr(diag.text, file) == NULL || strstr(diag.text, what) == NULL ||
        strstr(diag.text, FAKE_PIN) != NULL) {
        fail_msg("%s", diag.text);
    }
    assert_null(s.tls_key);
}

static enum csl_err sign_once(const struct csl_site *s) {
    uint8_t sig[CSL_SIGNATURE_BYTES];
    TRY(csl_sign(sig, s->sign_key, "test", text, sizeof text, &diag));
    assert_ok(csl_verify(s->sign_key, sig, sizeof sig, "test", text, sizeof text, NULL));
    return CSL_OK;
}

static void says(const char *a, const char *b, const char *c) {
    if (strstr(diag.text, a) == NULL || strstr(diag.text, b) == NULL || strstr(diag.text, c) == NULL) {
        fail_msg("\"%s\" does not hold \"%s\", \"%s\", \"%s\"", diag.text, a, b, c);
    }
}

/* ---- All is well ---- */

static void open_and_refuse(const struct csl_site *s) {
    uint8_t env[1024], out[1024];
    size_t n_env = sizeof env, n = sizeof out;
    assert_ok(csl_envelope_seal(env, &n_env, s->wrap_key, "label", NULL, 0, text, sizeof text, &diag));
    assert_ok(csl_envelope_open(out, &n, s->wrap_key, "label", NULL, 0, env, n_env, &diag));
    assert_int_equal(n, sizeof text);
    assert_bytes(out, text, n);
    n = sizeof out;
    assert_err(csl_envelope_open(out, &n, s->wrap_key, "labels", NULL, 0, env, n_env, &diag), CSL_EAUTH);
    for (size_t at = 8; at < 8 + 384; at += 61) { /* in the wrapped key */
        env[at] ^= 1;
        n = sizeof out;
        assert_err(csl_envelope_open(out, &n, s->wrap_key, "label", NULL, 0, env, n_env, &diag), CSL_EAUTH);
        assert_int_equal(n, 0);
        assert_non_null(strstr(diag.text, "does not open"));
        env[at] ^= 1;
    }
    memset(env + 8, 0xff, 384); /* no number below the modulus: no token is asked */
    int used = fake->n_used;
    n = sizeof out;
    assert_err(csl_envelope_open(out, &n, s->wrap_key, "label", NULL, 0, env, n_env, &diag), CSL_EAUTH);
    assert_int_equal(fake->n_used, used);
}

static void three_keys(void **state) {
    (void)state;
    struct csl_site s;
    char *request = NULL;
    char where[CSL_TOKEN_WHERE_MAX];
    struct csl_enrolment e;
    load(&s);
    assert_ok(sign_once(&s));
    open_and_refuse(&s);
    assert_ok(csl_enrolment_write(&request, &s, NULL, 0, &diag));
    assert_ok(csl_enrolment_parse(&e, request, strlen(request), &diag));
    assert_memory_equal(e.tls_spki, s.tls_spki, sizeof e.tls_spki);
    assert_string_equal(csl_token_where(where, s.wrap_key), "token \"" FAKE_LABEL "\", object \"wrap\"");
    assert_string_equal(csl_token_where(where, e.wrap_key), "file");
    csl_enrolment_free(&e);
    free(request);
    csl_site_free(&s);
    assert_int_equal(fake->n_login, 1);
    assert_int_equal(fake->n_initialize, 1);
    assert_int_equal(fake->n_finalize, 1); /* the module is left as it was found */
}

static void oaep_outside_of_the_token(void **state) {
    (void)state;
    struct csl_site s;
    char where[CSL_TOKEN_WHERE_MAX];
    fake->oaep = false;
    load(&s);
    assert_non_null(strstr(csl_token_where(where, s.wrap_key), "OAEP decoded outside"));
    open_and_refuse(&s);
    csl_site_free(&s);
    fake->bare_rsa = false;
    load_fails(CSL_ECONFIG, "wrap.key", "CKR_MECHANISM_INVALID");
}

/* A private half is never shown: what would export it finds none. */
static void nothing_leaves(void **state) {
    (void)state;
    struct csl_site s;
    uint8_t raw[64];
    size_t n = sizeof raw;
    load(&s);
    assert_int_not_equal(EVP_PKEY_get_raw_private_key(s.sign_key, raw, &n), 1);
    EVP_PKEY *const keys[] = {s.tls_key, s.wrap_key, s.sign_key};
    for (size_t i = 0; i < 3; i++) {
        unsigned char *der = NULL;
        assert_true(i2d_PrivateKey(keys[i], &der) <= 0);
        OPENSSL_free(der);
    }
    csl_site_free(&s);
}

/* ---- The PIN ---- */

static void wrong_pin_is_tried_once(void **state) {
    (void)state;
    write_file("token.pin", "11111111\n");
    load_fails(CSL_EAUTH, "tls.key", "CKR_PIN_INCORRECT");
    load_fails(CSL_EAUTH, "tls.key", "refused before");
    assert_int_equal(fake->n_login, 1);
    write_file("token.pin", FAKE_PIN);
    struct csl_site s;
    load(&s);
    csl_site_free(&s);
}

static void last_try_is_kept(void **state) {
    (void)state;
    fake->flags = CSL__CKF_USER_PIN_FINAL_TRY;
    load_fails(CSL_EAUTH, "tls.key", "one more wrong PIN");
    fake->flags = CSL__CKF_USER_PIN_LOCKED;
    load_fails(CSL_EAUTH, "tls.key", "locked");
    assert_int_equal(fake->n_login, 0);
}

static void where_the_pin_is(void **state) {
    (void)state;
    struct csl_site s;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/token.pin", dir);
    assert_int_equal(chmod(path, 0644), 0);
    load_fails(CSL_ECONFIG, "token.pin", "");
    assert_int_equal(unlink(path), 0);
    load_fails(CSL_ECONFIG, "tls.key", "needs a PIN");
    assert_int_equal(setenv("CONSILIUM_TOKEN_PIN", FAKE_PIN, 1), 0);
    load(&s);
    csl_site_free(&s);
    assert_int_equal(unsetenv("CONSILIUM_TOKEN_PIN"), 0);
    write_file("tls.key", "pkcs11:token=" FAKE_LABEL ";object=tls?pin-source=none&module-path=" FAKE_MODULE);
    load_fails(CSL_ENOINPUT, "none", "");
    write_file("token.pin", "\n");
    write_file("tls.key", "pkcs11:token=" FAKE_LABEL ";object=tls?module-path=" FAKE_MODULE);
    load_fails(CSL_ECONFIG, "token.pin", "must hold");
}

/* ---- What the line names is not there ---- */

static void wrong_lines(void **state) {
    (void)state;
    static const struct {
        const char *line, *what;
        enum csl_err err;
    } cases[] = {
        {"pkcs11:token=" FAKE_LABEL ";object=none?module-path=" FAKE_MODULE, "no private key", CSL_ECONFIG},
        {"pkcs11:token=" FAKE_LABEL ";object=tls;id=%02?module-path=" FAKE_MODULE, "no private key",
         CSL_ECONFIG},
        {"pkcs11:token=" FAKE_LABEL "?module-path=" FAKE_MODULE, "names no key", CSL_ECONFIG},
        {"pkcs11:token=" FAKE_LABEL ";object=sign?module-path=" FAKE_MODULE, "not a P-256 key", CSL_ECONFIG},
        {"pkcs11:token=" FAKE_LABEL ";object=wrap?module-path=" FAKE_MODULE, "not a P-256 key", CSL_ECONFIG},
        {"pkcs11:token=other;object=tls?module-path=" FAKE_MODULE, "token \"other\": no such token",
         CSL_EUNAVAILABLE},
        {"pkcs11:token=" FAKE_LABEL ";slot-id=8;object=tls?module-path=" FAKE_MODULE, "no such token",
         CSL_EUNAVAILABLE},
        {"pkcs11:token=" FAKE_LABEL ";object=tls", "no PKCS#11 module is named", CSL_ECONFIG},
        {"pkcs11:token=" FAKE_LABEL ";object=tls?module-path=fake.so", "absolute", CSL_ECONFIG},
        {"pkcs11:token=" FAKE_LABEL ";object=tls?module-path=/none/fake.so", "cannot be loaded",
         CSL_EUNAVAILABLE},
        {"pkcs11:token=" FAKE_LABEL ";object=tls?module-path=" NO_MODULE, "not a PKCS#11 module",
         CSL_ECONFIG},
        {"pkcs11:token=" FAKE_LABEL ";object=tls?pin-value=" FAKE_PIN, "pin-value", CSL_ECONFIG},
        {"pkcs11:object=tls\npkcs11:object=tls\n", "not one PKCS#11 URI", CSL_ECONFIG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file("tls.key", cases[i].line);
        load_fails(cases[i].err, "tls.key", cases[i].what);
    }
    /* The id alone is enough; so is the module's path in the environment. */
    struct csl_site s;
    write_file("tls.key", "pkcs11:slot-id=7;id=%01");
    assert_int_equal(setenv("CONSILIUM_TOKEN_MODULE", FAKE_MODULE, 1), 0);
    load(&s);
    csl_site_free(&s);
    assert_int_equal(unsetenv("CONSILIUM_TOKEN_MODULE"), 0);
}

static void halves_that_are_no_pair(void **state) {
    (void)state;
    fake->foreign = true;
    load_fails(CSL_ECONFIG, "tls.key", "does not fit");
    fake->foreign = false;
    fake->no_public = true;
    load_fails(CSL_ECONFIG, "tls.key", "public half of \"tls\"");
}

static void full_token(void **state) {
    (void)state;
    struct csl_token_uri uri;
    bool drawn[CSL_TOKEN_KINDS];
    char path[128];
    static const char line[] = "pkcs11:token=" FAKE_LABEL "?module-path=" FAKE_MODULE;
    assert_ok(csl_token_uri_parse(&uri, line, sizeof line - 1, &diag));
    const struct csl_token_uri *where[CSL_TOKEN_KINDS] = {&uri, &uri, &uri};
    assert_err(csl_site_keygen_in(dir, "site", where, drawn, &diag), CSL_ECREATE); /* a site is here */
    static const char *const files[] = {"name", "tls.key", "wrap.key", "sign.key"};
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_err(csl_site_keygen_in(dir, "site", where, drawn, &diag), CSL_EUNAVAILABLE);
    says("tls.key", FAKE_LABEL, "the token is full");
    assert_int_equal(access(path, F_OK), -1);
    (void)snprintf(path, sizeof path, "%s/name", dir);
    assert_int_equal(access(path, F_OK), -1); /* nothing was written: keygen can be tried again */
    (void)snprintf(path, sizeof path, "%s/state", dir);
    assert_int_equal(rmdir(path), 0);
    write_file("name", "site\n");
}

/* ---- Trouble later ---- */

static void lost_sessions_are_opened_again(void **state) {
    (void)state;
    static const csl__ck_rv lost[] = {CSL__CKR_SESSION_HANDLE_INVALID, CSL__CKR_DEVICE_REMOVED,
                                      CSL__CKR_USER_NOT_LOGGED_IN, CSL__CKR_KEY_HANDLE_INVALID,
                                      CSL__CKR_CRYPTOKI_NOT_INITIALIZED};
    struct csl_site s;
    load(&s);
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
        fake->fail = lost[i];
        fake->fail_times = 1;
        assert_ok(sign_once(&s));
        assert_int_equal(fake->fail_times, 0);
    }
    fake->fail = CSL__CKR_GENERAL_ERROR; /* this is an answer */
    fake->fail_times = 1;
    assert_err(sign_once(&s), CSL_EUNAVAILABLE);
    says("sign.key", FAKE_LABEL, "CKR_GENERAL_ERROR");
    assert_ok(sign_once(&s));
    csl_site_free(&s);
}

static void removed_and_back(void **state) {
    (void)state;
    struct csl_site s;
    uint8_t env[1024], out[1024];
    size_t n_env = sizeof env, n = sizeof out;
    load(&s);
    assert_ok(csl_envelope_seal(env, &n_env, s.wrap_key, "label", NULL, 0, text, sizeof text, &diag));
    fake->absent = true;
    for (int i = 0; i < 3; i++) {
        assert_err(sign_once(&s), CSL_EUNAVAILABLE);
        says("sign.key", FAKE_LABEL, "no such token");
    }
    assert_err(csl_envelope_open(out, &n, s.wrap_key, "label", NULL, 0, env, n_env, &diag), CSL_EUNAVAILABLE);
    says("wrap.key", FAKE_LABEL, "no such token");
    assert_int_equal(n, 0);
    fake->absent = false;
    assert_ok(sign_once(&s));
    csl_site_free(&s);
}

/* An error of the token is not taken for a bad envelope, and a certificate request names it. */
static void request_without_token(void **state) {
    (void)state;
    struct csl_site s;
    char *request = NULL;
    load(&s);
    fake->absent = true;
    assert_int_not_equal(csl_enrolment_write(&request, &s, NULL, 0, &diag), CSL_OK);
    assert_null(request);
    says("tls.key", FAKE_LABEL, "no such token");
    csl_site_free(&s);
}

static void slow_token(void **state) {
    (void)state;
    struct csl_site s;
    assert_int_equal(setenv("CONSILIUM_TOKEN_TIMEOUT_MS", "1000", 1), 0);
    load(&s);
    fake->hang = true;
    assert_err(sign_once(&s), CSL_ETIMEOUT);
    says("sign.key", FAKE_LABEL, "did not answer");
    int used = fake->n_used;
    for (int i = 0; i < 100; i++) { /* nobody waits for a token that is known to hang */
        assert_err(sign_once(&s), CSL_ETIMEOUT);
        says("sign.key", FAKE_LABEL, "since an earlier call");
    }
    assert_int_equal(fake->n_used, used);
    fake->hang = false;
    enum csl_err err = CSL_ETIMEOUT;
    while (err == CSL_ETIMEOUT) { /* until the late worker is back; ctest has the deadline */
        (void)sched_yield();
        err = sign_once(&s);
    }
    assert_ok(err);
    csl_site_free(&s);
}

static void *sign_late(void *arg) {
    const struct csl_site *s = arg;
    uint8_t sig[CSL_SIGNATURE_BYTES];
    struct csl_diag own;
    enum csl_err err = csl_sign(sig, s->sign_key, "test", text, sizeof text, &own);
    return err == CSL_ETIMEOUT ? NULL : arg;
}

/* Each call that hangs keeps its thread; when there is none left the sentence says what to do. */
static void all_threads_hang(void **state) {
    (void)state;
    enum { ALL = 4 };
    struct csl_site s;
    pthread_t late[ALL];
    assert_int_equal(setenv("CONSILIUM_TOKEN_TIMEOUT_MS", "2000", 1), 0);
    load(&s);
    fake->hang = true;
    for (int i = 0; i < ALL; i++) { /* at the same time: after the first late one nobody else is let in */
        assert_int_equal(pthread_create(&late[i], NULL, sign_late, &s), 0);
    }
    for (int i = 0; i < ALL; i++) {
        void *wrong = &s;
        assert_int_equal(pthread_join(late[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_err(sign_once(&s), CSL_ETIMEOUT);
    says("sign.key", "all 4 threads", "then restart");
    fake->hang = false; /* it comes back after all */
    enum csl_err err = CSL_ETIMEOUT;
    while (err == CSL_ETIMEOUT) {
        (void)sched_yield();
        err = sign_once(&s);
    }
    assert_ok(err);
    csl_site_free(&s);
}

/* Keys are freed while a worker hangs in the module: it cleans up when it comes back. */
static void freed_while_it_hangs(void **state) {
    (void)state;
    struct csl_site s;
    assert_int_equal(setenv("CONSILIUM_TOKEN_TIMEOUT_MS", "1000", 1), 0);
    load(&s);
    fake->hang = true;
    assert_err(sign_once(&s), CSL_ETIMEOUT);
    csl_site_free(&s);
    assert_int_equal(fake->n_finalize, 0);
    fake->hang = false;
    while (fake->n_finalize == 0) {
        (void)sched_yield();
    }
    load(&s);
    csl_site_free(&s);
}

/* ---- Threads and forks ---- */

static void *sign_many(void *arg) {
    const struct csl_site *s = arg;
    uint8_t sig[CSL_SIGNATURE_BYTES];
    size_t bad = 0;
    for (uint8_t i = 0; i < 50; i++) {
        bad += csl_sign(sig, s->sign_key, "test", &i, 1, NULL) != CSL_OK ||
               csl_verify(s->sign_key, sig, sizeof sig, "test", &i, 1, NULL) != CSL_OK;
    }
    return bad == 0 ? NULL : arg;
}

static void threads(void **state) {
    (void)state;
    enum { N = 8 };
    pthread_t t[N];
    struct csl_site s;
    load(&s);
    for (int i = 0; i < N; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, sign_many, &s), 0);
    }
    for (int i = 0; i < N; i++) {
        void *bad = NULL;
        assert_int_equal(pthread_join(t[i], &bad), 0);
        assert_null(bad);
    }
    csl_site_free(&s);
    assert_int_equal(fake->n_login, 1);
}

static void forks(void **state) {
    (void)state;
    struct csl_site s;
    int status = -1;
    load(&s);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        enum csl_err err = sign_once(&s);
        csl_site_free(&s);
        _exit(err == CSL_OK ? 0 : 1);
    }
    assert_ok(sign_once(&s));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(sign_once(&s));
    csl_site_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(three_keys, good),
        cmocka_unit_test_setup(oaep_outside_of_the_token, good),
        cmocka_unit_test_setup(nothing_leaves, good),
        cmocka_unit_test_setup(wrong_pin_is_tried_once, good),
        cmocka_unit_test_setup(last_try_is_kept, good),
        cmocka_unit_test_setup(where_the_pin_is, good),
        cmocka_unit_test_setup(wrong_lines, good),
        cmocka_unit_test_setup(halves_that_are_no_pair, good),
        cmocka_unit_test_setup(full_token, good),
        cmocka_unit_test_setup(lost_sessions_are_opened_again, good),
        cmocka_unit_test_setup(removed_and_back, good),
        cmocka_unit_test_setup(request_without_token, good),
        cmocka_unit_test_setup(slow_token, good),
        cmocka_unit_test_setup(freed_while_it_hangs, good),
        cmocka_unit_test_setup(all_threads_hang, good),
        cmocka_unit_test_setup(threads, good),
        cmocka_unit_test_setup(forks, good),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
