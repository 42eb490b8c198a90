#include "tests/crypto/crypto_test.h"

#include <sysexits.h>

static void every_error_has_name_text_and_exit_code(void **state) {
    (void)state;
    for (int e = CSL_OK; e < CSL_ERR_COUNT; e++) {
        assert_memory_equal(csl_err_name((enum csl_err)e), e == CSL_OK ? "CSL_OK" : "CSL_E", 5);
        assert_true(strlen(csl_err_text((enum csl_err)e)) > 1);
        int code = csl_err_exit_code((enum csl_err)e);
        assert_true(e == CSL_OK ? code == 0 : code >= EX__BASE && code <= EX__MAX);
    }
}

static void exit_codes_are_those_of_sysexits(void **state) {
    (void)state;
    assert_int_equal(csl_err_exit_code(CSL_EUSAGE), EX_USAGE);
    assert_int_equal(csl_err_exit_code(CSL_EDATA), EX_DATAERR);
    assert_int_equal(csl_err_exit_code(CSL_ENOINPUT), EX_NOINPUT);
    assert_int_equal(csl_err_exit_code(CSL_ENOHOST), EX_NOHOST);
    assert_int_equal(csl_err_exit_code(CSL_EUNAVAILABLE), EX_UNAVAILABLE);
    assert_int_equal(csl_err_exit_code(CSL_EINTERNAL), EX_SOFTWARE);
    assert_int_equal(csl_err_exit_code(CSL_EOS), EX_OSERR);
    assert_int_equal(csl_err_exit_code(CSL_ENOMEM), EX_OSERR);
    assert_int_equal(csl_err_exit_code(CSL_ECREATE), EX_CANTCREAT);
    assert_int_equal(csl_err_exit_code(CSL_EIO), EX_IOERR);
    assert_int_equal(csl_err_exit_code(CSL_ETIMEOUT), EX_TEMPFAIL);
    assert_int_equal(csl_err_exit_code(CSL_ESTALE), EX_TEMPFAIL);
    assert_int_equal(csl_err_exit_code(CSL_EBUSY), EX_TEMPFAIL);
    assert_int_equal(csl_err_exit_code(CSL_EPROTO), EX_PROTOCOL);
    assert_int_equal(csl_err_exit_code(CSL_EPEER), EX_PROTOCOL);
    assert_int_equal(csl_err_exit_code(CSL_EAUTH), EX_NOPERM);
    assert_int_equal(csl_err_exit_code(CSL_EPERM), EX_NOPERM);
    assert_int_equal(csl_err_exit_code(CSL_ECONFIG), EX_CONFIG);
}

static void unknown_errors_are_internal(void **state) {
    (void)state;
    const int unknown[] = {CSL_ERR_COUNT, 1000, -1};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        enum csl_err e = (enum csl_err)unknown[i];
        assert_string_equal(csl_err_name(e), "CSL_E?");
        assert_string_equal(csl_err_text(e), "unknown error");
        assert_int_equal(csl_err_exit_code(e), EX_SOFTWARE);
    }
}

static void fail_writes_the_sentence(void **state) {
    (void)state;
    struct csl_diag diag;
    memset(&diag, 'x', sizeof diag);
    assert_err(csl_fail(&diag, CSL_EDATA, "%s: node %d", "a.onnx", 7), CSL_EDATA);
    assert_string_equal(diag.text, "a.onnx: node 7");
    assert_err(csl_fail_context(&diag, CSL_EDATA, "model %s", "m"), CSL_EDATA);
    assert_string_equal(diag.text, "model m: a.onnx: node 7");
}

static void fail_without_diag_returns_the_error(void **state) {
    (void)state;
    assert_err(csl_fail(NULL, CSL_EIO, "%s", "x"), CSL_EIO);
    assert_err(csl_fail_context(NULL, CSL_EIO, "%s", "x"), CSL_EIO);
}

static void long_sentences_are_cut_and_terminated(void **state) {
    (void)state;
    struct csl_diag diag;
    char text[2 * sizeof diag.text];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_err(csl_fail(&diag, CSL_EDATA, "%s", text), CSL_EDATA);
    assert_int_equal(strnlen(diag.text, sizeof diag.text), sizeof diag.text - 1);
    /* A context before a full sentence pushes its end out. */
    assert_err(csl_fail_context(&diag, CSL_EDATA, "peer %d", 2), CSL_EDATA);
    assert_int_equal(strnlen(diag.text, sizeof diag.text), sizeof diag.text - 1);
    assert_memory_equal(diag.text, "peer 2: aaaa", 12);
}

/* Contexts of every length around the room that is left. */
static void long_contexts_are_cut_and_terminated(void **state) {
    (void)state;
    struct csl_diag diag;
    char context[sizeof diag.text + 8];
    for (size_t n = sizeof diag.text - 8; n < sizeof context; n++) {
        memset(context, 'c', n);
        context[n] = '\0';
        assert_err(csl_fail(&diag, CSL_EDATA, "cause"), CSL_EDATA);
        assert_err(csl_fail_context(&diag, CSL_EDATA, "%s", context), CSL_EDATA);
        size_t got = strnlen(diag.text, sizeof diag.text);
        assert_true(got < sizeof diag.text);
        assert_int_equal(got, n + 7 < sizeof diag.text ? n + 7 : sizeof diag.text - 1);
        assert_memory_equal(diag.text, context, n < got ? n : got);
    }
}

static enum csl_err first_fails(int *reached) {
    TRY(CSL_ETIMEOUT);
    *reached = 1;
    return CSL_OK;
}

static enum csl_err goes_out(int *cleaned) {
    enum csl_err err;
    TRY_OUT(CSL_OK);
    TRY_OUT(CSL_EPEER);
    return CSL_EINTERNAL;
out:
    *cleaned = 1;
    return err;
}

static void try_returns_and_try_out_cleans_up(void **state) {
    (void)state;
    int reached = 0, cleaned = 0;
    assert_err(first_fails(&reached), CSL_ETIMEOUT);
    assert_int_equal(reached, 0);
    assert_err(goes_out(&cleaned), CSL_EPEER);
    assert_int_equal(cleaned, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_name_text_and_exit_code),
        cmocka_unit_test(exit_codes_are_those_of_sysexits),
        cmocka_unit_test(unknown_errors_are_internal),
        cmocka_unit_test(fail_writes_the_sentence),
        cmocka_unit_test(fail_without_diag_returns_the_error),
        cmocka_unit_test(long_sentences_are_cut_and_terminated),
        cmocka_unit_test(long_contexts_are_cut_and_terminated),
        cmocka_unit_test(try_returns_and_try_out_cleans_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
