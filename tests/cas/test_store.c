/* The store in a folder: whole, damaged, missing, full. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_files.h"

/* ---- A folder ---- */

static void folder(void **state) {
    (void)state;
    struct csl_cas *c = test_store_open(test_place, NULL);
    struct csl_cas_file file, again;
    const struct csl_unixfs_profile *profiles[] = {&csl_unixfs_256k, &csl_unixfs_1m};
    struct csl_cid none;
    assert_int_equal(csl_cid_of(&none, CSL_CID_RAW, NULL, 0), CSL_OK);
    test_get_fails(c, &none, CSL_ENOINPUT, "has no block bafkreihdwdcef");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(csl_cas_put(c, &file, test_source, profiles[i], test_sha256, NULL), CSL_OK);
        struct csl_cid want = test_import(NULL, profiles[i], SIZE);
        assert_true(csl_cid_equal(&file.cid, &want));
        assert_int_equal(file.n_bytes, SIZE);
        assert_memory_equal(file.sha256, test_sha256, sizeof test_sha256);
        test_get_ok(c, &file.cid, true, NULL);
        /* Once more is the same. */
        assert_int_equal(csl_cas_put(c, &again, test_source, profiles[i], NULL, NULL), CSL_OK);
        assert_true(csl_cid_equal(&again.cid, &file.cid));
        assert_int_equal(/* from memory: the same, whatever is at that path */
                         csl_cas_put_bytes(c, &again, test_bytes, (size_t)file.n_bytes, "/no/such/file",
                                           profiles[i], NULL),
                         CSL_OK);
        assert_memory_equal(again.sha256, file.sha256, sizeof file.sha256);
        assert_true(csl_cid_equal(&file.cid, &again.cid));
    }
    struct csl_diag diag;
    assert_int_equal(csl_cas_get(c, &file, test_target, &again.cid, SIZE - 1, NULL, NULL, NULL, &diag),
                     CSL_EDATA);
    assert_non_null(strstr(diag.text, "700000 are allowed"));
    test_store_target(false);
    csl_cas_close(c);
}

/* The file of a block. */
static void block_path(char out[256], const struct csl_cid *cid) {
    char text[CSL_CID_TEXT];
    (void)csl_cid_text(text, cid);
    (void)snprintf(out, 256, "%s/blocks/%.2s/%s", test_place, text + CSL_CID_TEXT - 4, text);
}

static void folder_damaged(void **state) {
    (void)state;
    struct csl_cas *c = test_store_open(test_place, NULL);
    struct csl_cas_file file, again;
    struct test_blocks b = {0};
    char path[256];
    assert_int_equal(csl_cas_put(c, &file, test_source, &csl_unixfs_256k, NULL, NULL), CSL_OK);
    (void)test_import(&b, &csl_unixfs_256k, SIZE);
    assert_int_equal(b.n, 4);
    for (size_t i = 0; i < b.n; i++) {
        struct test_block *x = &b.items[i];
        block_path(path, &x->cid);
        x->p[x->n / 2] ^= 1;
        test_write_file(path, x->p, x->n);
        test_get_fails(c, &file.cid, CSL_EAUTH, "holds other bytes");
        test_write_file(path, x->p, x->n / 2);
        test_get_fails(c, &file.cid, CSL_EAUTH, "holds other bytes");
        test_write_file(path, x->p, 0);
        test_get_fails(c, &file.cid, CSL_EAUTH, "holds other bytes");
        assert_int_equal(truncate(path, (off_t)1 << 40), 0); /* sparse */
        test_get_fails(c, &file.cid, CSL_EDATA, "larger than");
        assert_int_equal(unlink(path), 0);
        test_get_fails(c, &file.cid, CSL_ENOINPUT, "has no block");
        assert_int_equal(mkfifo(path, 0600), 0);
        test_get_fails(c, &file.cid, CSL_ENOINPUT, "not a regular file");
        assert_int_equal(unlink(path), 0);
        x->p[x->n / 2] ^= 1;
        test_write_file(path, x->p, x->n / 3); /* putting mends it */
        assert_int_equal(csl_cas_put(c, &again, test_source, &csl_unixfs_256k, NULL, NULL), CSL_OK);
        test_get_ok(c, &file.cid, true, NULL);
    }
    test_blocks_clear(&b);
    csl_cas_close(c);
}

static enum csl_err never(void *arg, const char *path, const struct csl_cas_file *file,
                          struct csl_diag *diag) {
    struct stat st;
    /* It is whole, and has no name yet. */
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, (off_t)file->n_bytes);
    assert_int_not_equal(access(test_target, F_OK), 0);
    ++*(int *)arg;
    return csl_fail(diag, CSL_EAUTH, "not wanted");
}

static void paths(void **state) {
    (void)state;
    struct csl_cas *c = test_store_open(test_place, NULL), *bad;
    struct csl_cas_file file, other;
    struct csl_diag diag;
    char long_path[5000], dir[128];
    int asked = 0;
    assert_int_equal(csl_cas_put(c, &file, test_source, &csl_unixfs_1m, NULL, NULL), CSL_OK);
    assert_int_equal(csl_cas_get(c, &other, test_target, &file.cid, MAX, NULL, never, &asked, &diag),
                     CSL_EAUTH);
    assert_string_equal(diag.text, "not wanted");
    assert_int_equal(asked, 1);
    test_store_target(false);
    (void)snprintf(dir, sizeof dir, "%s/no/such/folder", test_root);
    assert_int_equal(csl_cas_get(c, &other, dir, &file.cid, MAX, NULL, NULL, NULL, &diag), CSL_ECREATE);
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_int_equal(csl_cas_get(c, &other, long_path, &file.cid, MAX, NULL, NULL, NULL, &diag), CSL_EUSAGE);
    assert_int_equal(csl_cas_put(c, &other, dir, &csl_unixfs_1m, NULL, &diag), CSL_ENOINPUT);
    assert_int_equal(csl_cas_put(c, &other, test_root, &csl_unixfs_1m, NULL, &diag), CSL_ENOINPUT);
    uint8_t sha[CSL_SHA256_BYTES] = {0};
    assert_int_equal(csl_cas_put(c, &other, test_source, &csl_unixfs_1m, sha, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "changed while"));
    /* A store that is a file; one in no folder. */
    bad = test_store_open(test_source, NULL);
    assert_int_equal(csl_cas_put(bad, &other, test_source, &csl_unixfs_1m, NULL, &diag), CSL_ECREATE);
    csl_cas_close(bad);
    bad = test_store_open(dir, NULL);
    assert_int_equal(csl_cas_put(bad, &other, test_source, &csl_unixfs_1m, NULL, &diag), CSL_ECREATE);
    csl_cas_close(bad);
    csl_cas_close(c);
    assert_int_equal(csl_cas_open(&bad, "", NULL, &diag), CSL_EUSAGE);
    assert_null(bad);
}

/* A disk that takes no more, at any place: no half of a block, no half of a file. */
static void disk_full(void **state) {
    (void)state;
    char full[64];
    (void)snprintf(full, sizeof full, "%s/full", test_root);
    struct csl_cas *c = test_store_open(full, NULL), *whole = test_store_open(test_place, NULL);
    struct csl_cas_file file, got;
    struct csl_diag diag;
    struct rlimit old, small;
    assert_int_equal(csl_cas_put(whole, &file, test_source, &csl_unixfs_256k, NULL, NULL), CSL_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    const rlim_t limits[] = {0, 1, 100000, 262143};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        small = (struct rlimit){.rlim_cur = limits[i], .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        enum csl_err put = csl_cas_put(c, &got, test_source, &csl_unixfs_256k, NULL, &diag);
        enum csl_err get = csl_cas_get(whole, &got, test_target, &file.cid, MAX, NULL, NULL, NULL, &diag);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(put, CSL_EIO);
        assert_int_equal(get, CSL_EIO);
        test_store_target(false);
        test_get_fails(c, &file.cid, CSL_ENOINPUT, "has no block");
    }
    assert_int_equal(csl_cas_put(c, &got, test_source, &csl_unixfs_256k, NULL, NULL), CSL_OK);
    test_get_ok(c, &file.cid, true, NULL);
    csl_cas_close(whole);
    csl_cas_close(c);
}

static enum csl_err die(void *arg, const char *path, const struct csl_cas_file *file, struct csl_diag *diag) {
    (void)arg, (void)path, (void)file, (void)diag;
    (void)raise(SIGKILL);
    return CSL_OK;
}

/* A process that ends when the file is whole and has no name yet. */
static void killed(void **state) {
    (void)state;
    struct csl_cas *c = test_store_open(test_place, NULL);
    struct csl_cas_file file;
    char out[64];
    int status = 0;
    assert_int_equal(csl_cas_put(c, &file, test_source, &csl_unixfs_256k, NULL, NULL), CSL_OK);
    (void)snprintf(out, sizeof out, "%s/killed", test_root);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit((int)csl_cas_get(c, &file, out, &file.cid, MAX, NULL, die, NULL, NULL));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_not_equal(access(out, F_OK), 0);
    test_get_ok(c, &file.cid, true, NULL);
    csl_cas_close(c);
}

#ifndef CSL_WITH_CAS
static void no_http(void **state) {
    (void)state;
    struct csl_cas *c;
    struct csl_diag diag;
    assert_int_equal(csl_cas_open(&c, "http://127.0.0.1:5001", NULL, &diag), CSL_EUNAVAILABLE);
    assert_non_null(strstr(diag.text, "this build has no HTTP client"));
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folder),    cmocka_unit_test(folder_damaged), cmocka_unit_test(paths),
        cmocka_unit_test(disk_full), cmocka_unit_test(killed),
#ifndef CSL_WITH_CAS
        cmocka_unit_test(no_http),
#endif
    };
    return cmocka_run_group_tests(tests, test_store_setup, test_store_teardown);
}
