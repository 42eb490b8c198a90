#include "store_files.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

char test_root[] = "/tmp/csl-store-XXXXXX";
char test_source[64], test_target[64], test_place[64];
uint8_t *test_bytes;
uint8_t test_sha256[CSL_SHA256_BYTES];

void test_write_file(const char *path, const uint8_t *p, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void remove_tree(const char *path) {
    char child[4352];
    DIR *d = opendir(path);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            (void)snprintf(child, sizeof child, "%s/%s", path, e->d_name);
            remove_tree(child);
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    (void)remove(path);
}

int test_store_setup(void **state) {
    (void)state;
    assert_non_null(mkdtemp(test_root));
    (void)snprintf(test_source, sizeof test_source, "%s/source", test_root);
    (void)snprintf(test_target, sizeof test_target, "%s/out/target", test_root);
    (void)snprintf(test_place, sizeof test_place, "%s/store", test_root);
    char out[64];
    (void)snprintf(out, sizeof out, "%s/out", test_root);
    assert_int_equal(mkdir(out, 0700), 0);
    test_bytes = malloc(SIZE);
    assert_non_null(test_bytes);
    test_content(test_bytes, 0, SIZE);
    assert_int_equal(csl_sha256_once(test_sha256, test_bytes, SIZE), CSL_OK);
    test_write_file(test_source, test_bytes, SIZE);
    return 0;
}

int test_store_teardown(void **state) {
    (void)state;
    remove_tree(test_root);
    free(test_bytes);
    return 0;
}

struct csl_cas *test_store_open(const char *where, const struct csl_cas_options *o) {
    struct csl_cas *c;
    struct csl_diag diag;
    if (csl_cas_open(&c, where, o, &diag) != CSL_OK) {
        fail_msg("%s: %s", where, diag.text);
    }
    return c;
}

/* The target is the content, and alone in its folder; or there is nothing. */
void test_store_target(bool there) {
    char dir[64];
    unsigned n = 0;
    (void)snprintf(dir, sizeof dir, "%s/out", test_root);
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        n += e->d_name[0] != '.';
    }
    (void)closedir(d);
    assert_int_equal(n, there ? 1 : 0);
    if (there) {
        uint8_t *back = malloc(SIZE + 1);
        FILE *f = fopen(test_target, "rb");
        assert_non_null(f);
        assert_int_equal(fread(back, 1, SIZE + 1, f), SIZE);
        assert_memory_equal(back, test_bytes, SIZE);
        (void)fclose(f);
        free(back);
        assert_int_equal(unlink(test_target), 0);
    }
}

void test_get_ok(struct csl_cas *c, const struct csl_cid *cid, bool proven, const uint8_t *sha256) {
    struct csl_diag diag;
    struct csl_cas_file file;
    if (csl_cas_get(c, &file, test_target, cid, MAX, sha256, NULL, NULL, &diag) != CSL_OK) {
        fail_msg("%s: %s", csl_cas_place(c), diag.text);
    }
    assert_int_equal(file.n_bytes, SIZE);
    assert_int_equal(file.cid_proven, proven);
    assert_memory_equal(file.sha256, test_sha256, sizeof test_sha256);
    test_store_target(true);
}

void test_get_fails(struct csl_cas *c, const struct csl_cid *cid, enum csl_err want, const char *says) {
    struct csl_diag diag = {""};
    struct csl_cas_file file;
    enum csl_err err = csl_cas_get(c, &file, test_target, cid, MAX, NULL, NULL, NULL, &diag);
    if (err != want || strstr(diag.text, says) == NULL) {
        fail_msg("%s, not %s: %s", csl_err_name(err), csl_err_name(want), diag.text);
    }
    assert_int_equal(file.n_bytes, 0);
    test_store_target(false);
}
