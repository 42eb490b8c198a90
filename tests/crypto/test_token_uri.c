/* PKCS#11 URIs (RFC 7512). */
#include "tests/crypto/crypto_test.h"

#include <stdio.h>

#include "crypto/token.h"

static struct csl_token_uri uri;
static struct csl_diag diag;

static enum csl_err parse(const char *text) {
    return csl_token_uri_parse(&uri, text, strlen(text), &diag);
}

static void all_attributes(void **state) {
    (void)state;
    assert_ok(
        parse("pkcs11:token=My%20token;manufacturer=SoftHSM%20project;model=SoftHSM%20v2;serial=0011aaFF;"
              "object=key%3B1;id=%00%fF%7a!;slot-id=4294967296;type=private?"
              "module-path=/usr/lib/x.so&pin-source=file:/run/pin\r\n"));
    assert_string_equal(uri.token, "My token");
    assert_string_equal(uri.manufacturer, "SoftHSM project");
    assert_string_equal(uri.model, "SoftHSM v2");
    assert_string_equal(uri.serial, "0011aaFF");
    assert_string_equal(uri.object, "key;1");
    assert_int_equal(uri.n_id, 4);
    assert_memory_equal(uri.id, "\x00\xff\x7a!", 4);
    assert_true(uri.has_slot && uri.slot == 4294967296UL);
    assert_string_equal(uri.module_path, "/usr/lib/x.so");
    assert_string_equal(uri.pin_source, "file:/run/pin");
}

/* A ';' does not part a query. */
static void query_separator(void **state) {
    (void)state;
    assert_ok(parse("pkcs11:object=a%25b?pin-source=p%26q;id=1&module-path=/x"));
    assert_string_equal(uri.object, "a%b");
    assert_string_equal(uri.pin_source, "p&q;id=1");
    assert_int_equal(uri.n_id, 0);
}

static void round_trip(void **state) {
    (void)state;
    char line[CSL_TOKEN_URI_MAX + 1];
    static const char *const texts[] = {"pkcs11:token=t;object=o", "pkcs11:id=%00%01",
                                        "pkcs11:object=a%3B%3F%26%25%20?module-path=/m%26n",
                                        "pkcs11:slot-id=0?pin-source=x", "pkcs11:object=%C3%A4"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_ok(parse(texts[i]));
        struct csl_token_uri first = uri;
        assert_ok(csl_token_uri_print(line, &uri, &diag));
        assert_true(line[strlen(line) - 1] == '\n');
        assert_ok(parse(line));
        assert_memory_equal(&first, &uri, sizeof uri);
    }
    memset(&uri, 0, sizeof uri);
    memset(uri.module_path, '%', CSL_TOKEN_PATH_MAX);
    memset(uri.pin_source, '%', CSL_TOKEN_PATH_MAX);
    assert_err(csl_token_uri_print(line, &uri, &diag), CSL_EUSAGE);
    assert_string_equal(line, "");
}

static void refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "pkcs1",
        "PKCS11:token=t",
        "-----BEGIN PRIVATE KEY-----",
        "pkcs11:token",
        "pkcs11:;token=t",
        "pkcs11:token=",
        "pkcs11:token=a;token=b",
        "pkcs11:token=a b",
        "pkcs11:token=a\tb",
        "pkcs11:token=a\n\n",
        "pkcs11:token=a%0",
        "pkcs11:token=a%",
        "pkcs11:token=a%zz",
        "pkcs11:token=a%00b",
        "pkcs11:token=a%0Ab",
        "pkcs11:token=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "pkcs11:serial=12345678901234567",
        "pkcs11:id=",
        "pkcs11:id=%01;id=%02",
        "pkcs11:slot-id=",
        "pkcs11:slot-id=-1",
        "pkcs11:slot-id=1x",
        "pkcs11:slot-id=1;slot-id=1",
        "pkcs11:slot-id=1234567890123456789",
        "pkcs11:type=cert",
        "pkcs11:type=privat",
        "pkcs11:object=o;library-version=3",
        "pkcs11:module-path=/x",
        "pkcs11:object=o?token=t",
        "pkcs11:object=o?pin-value=1234",
        "pkcs11:object=o?pin-source=|cat",
        "pkcs11:object=o?pin-source=%7Ccat",
        "pkcs11:object=o?module-name=x",
        "pkcs11:object=o?x-vendor=1",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (parse(texts[i]) != CSL_ECONFIG) {
            fail_msg("%s: %s", texts[i], diag.text);
        }
        assert_null(strstr(diag.text, "1234"));
        assert_zero(&uri, sizeof uri);
    }
    char zero[] = "pkcs11:token=a\0b";
    assert_err(csl_token_uri_parse(&uri, zero, sizeof zero - 1, &diag), CSL_ECONFIG);
    static char line[CSL_TOKEN_URI_MAX + 2] = "pkcs11:object=";
    memset(line + strlen(line), 'a', sizeof line - 1 - strlen(line));
    assert_err(parse(line), CSL_ECONFIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_attributes), cmocka_unit_test(query_separator),
                                       cmocka_unit_test(round_trip), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
