/* The store: a folder, a node and a gateway, honest and not. */
#include "cas/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef CSL_WITH_CAS
#include "fake_node.h"
#else
#include "content.h"
#endif

enum { SIZE = 700001, MAX = 1 << 24 };

static char root[] = "/tmp/csl-store-XXXXXX";
static char source[64], target[64], place[64];
static uint8_t *content;
static uint8_t content_sha[CSL_SHA256_BYTES];

static void write_file(const char *path, const uint8_t *p, size_t n) {
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

static int setup(void **state) {
    (void)state;
    assert_non_null(mkdtemp(root));
    (void)snprintf(source, sizeof source, "%s/source", root);
    (void)snprintf(target, sizeof target, "%s/out/target", root);
    (void)snprintf(place, sizeof place, "%s/store", root);
    char out[64];
    (void)snprintf(out, sizeof out, "%s/out", root);
    assert_int_equal(mkdir(out, 0700), 0);
    content = malloc(SIZE);
    assert_non_null(content);
    test_content(content, 0, SIZE);
    assert_int_equal(csl_sha256_once(content_sha, content, SIZE), CSL_OK);
    write_file(source, content, SIZE);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    remove_tree(root);
    free(content);
    return 0;
}

static struct csl_cas *open_store(const char *where, const struct csl_cas_options *o) {
    struct csl_cas *c;
    struct csl_diag diag;
    if (csl_cas_open(&c, where, o, &diag) != CSL_OK) {
        fail_msg("%s: %s", where, diag.text);
    }
    return c;
}

/* The target is the content, and alone in its folder; or there is nothing. */
static void check_target(bool there) {
    char dir[64];
    unsigned n = 0;
    (void)snprintf(dir, sizeof dir, "%s/out", root);
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        n += e->d_name[0] != '.';
    }
    (void)closedir(d);
    assert_int_equal(n, there ? 1 : 0);
    if (there) {
        uint8_t *back = malloc(SIZE + 1);
        FILE *f = fopen(target, "rb");
        assert_non_null(f);
        assert_int_equal(fread(back, 1, SIZE + 1, f), SIZE);
        assert_memory_equal(back, content, SIZE);
        (void)fclose(f);
        free(back);
        assert_int_equal(unlink(target), 0);
    }
}

static void get_ok(struct csl_cas *c, const struct csl_cid *cid, bool proven, const uint8_t *sha256) {
    struct csl_diag diag;
    struct csl_cas_file file;
    if (csl_cas_get(c, &file, target, cid, MAX, sha256, NULL, NULL, &diag) != CSL_OK) {
        fail_msg("%s: %s", csl_cas_place(c), diag.text);
    }
    assert_int_equal(file.n_bytes, SIZE);
    assert_int_equal(file.cid_proven, proven);
    assert_memory_equal(file.sha256, content_sha, sizeof content_sha);
    check_target(true);
}

static void get_fails(struct csl_cas *c, const struct csl_cid *cid, enum csl_err want, const char *says) {
    struct csl_diag diag = {""};
    struct csl_cas_file file;
    enum csl_err err = csl_cas_get(c, &file, target, cid, MAX, NULL, NULL, NULL, &diag);
    if (err != want || strstr(diag.text, says) == NULL) {
        fail_msg("%s, not %s: %s", csl_err_name(err), csl_err_name(want), diag.text);
    }
    assert_int_equal(file.n_bytes, 0);
    check_target(false);
}

/* ---- A folder ---- */

static void folder(void **state) {
    (void)state;
    struct csl_cas *c = open_store(place, NULL);
    struct csl_cas_file file, again;
    const struct csl_unixfs_profile *profiles[] = {&csl_unixfs_256k, &csl_unixfs_1m};
    struct csl_cid none;
    assert_int_equal(csl_cid_of(&none, CSL_CID_RAW, NULL, 0), CSL_OK);
    get_fails(c, &none, CSL_ENOINPUT, "has no block bafkreihdwdcef");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(csl_cas_put(c, &file, source, profiles[i], content_sha, NULL), CSL_OK);
        struct csl_cid want = test_import(NULL, profiles[i], SIZE);
        assert_true(csl_cid_equal(&file.cid, &want));
        assert_int_equal(file.n_bytes, SIZE);
        assert_memory_equal(file.sha256, content_sha, sizeof content_sha);
        get_ok(c, &file.cid, true, NULL);
        /* Once more is the same. */
        assert_int_equal(csl_cas_put(c, &again, source, profiles[i], NULL, NULL), CSL_OK);
        assert_true(csl_cid_equal(&file.cid, &again.cid));
    }
    struct csl_diag diag;
    assert_int_equal(csl_cas_get(c, &file, target, &again.cid, SIZE - 1, NULL, NULL, NULL, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "700000 are allowed"));
    check_target(false);
    csl_cas_close(c);
}

/* The file of a block. */
static void block_path(char out[256], const struct csl_cid *cid) {
    char text[CSL_CID_TEXT];
    (void)csl_cid_text(text, cid);
    (void)snprintf(out, 256, "%s/blocks/%.2s/%s", place, text + CSL_CID_TEXT - 4, text);
}

static void folder_damaged(void **state) {
    (void)state;
    struct csl_cas *c = open_store(place, NULL);
    struct csl_cas_file file, again;
    struct test_blocks b = {0};
    char path[256];
    assert_int_equal(csl_cas_put(c, &file, source, &csl_unixfs_256k, NULL, NULL), CSL_OK);
    (void)test_import(&b, &csl_unixfs_256k, SIZE);
    assert_int_equal(b.n, 4);
    for (size_t i = 0; i < b.n; i++) {
        struct test_block *x = &b.items[i];
        block_path(path, &x->cid);
        x->p[x->n / 2] ^= 1;
        write_file(path, x->p, x->n);
        get_fails(c, &file.cid, CSL_EAUTH, "holds other bytes");
        write_file(path, x->p, x->n / 2);
        get_fails(c, &file.cid, CSL_EAUTH, "holds other bytes");
        write_file(path, x->p, 0);
        get_fails(c, &file.cid, CSL_EAUTH, "holds other bytes");
        assert_int_equal(truncate(path, (off_t)1 << 40), 0); /* sparse */
        get_fails(c, &file.cid, CSL_EDATA, "larger than");
        assert_int_equal(unlink(path), 0);
        get_fails(c, &file.cid, CSL_ENOINPUT, "has no block");
        assert_int_equal(mkfifo(path, 0600), 0);
        get_fails(c, &file.cid, CSL_ENOINPUT, "not a regular file");
        assert_int_equal(unlink(path), 0);
        x->p[x->n / 2] ^= 1;
        write_file(path, x->p, x->n / 3); /* putting mends it */
        assert_int_equal(csl_cas_put(c, &again, source, &csl_unixfs_256k, NULL, NULL), CSL_OK);
        get_ok(c, &file.cid, true, NULL);
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
    assert_int_not_equal(access(target, F_OK), 0);
    ++*(int *)arg;
    return csl_fail(diag, CSL_EAUTH, "not wanted");
}

static void paths(void **state) {
    (void)state;
    struct csl_cas *c = open_store(place, NULL), *bad;
    struct csl_cas_file file, other;
    struct csl_diag diag;
    char long_path[5000], dir[128];
    int asked = 0;
    assert_int_equal(csl_cas_put(c, &file, source, &csl_unixfs_1m, NULL, NULL), CSL_OK);
    assert_int_equal(csl_cas_get(c, &other, target, &file.cid, MAX, NULL, never, &asked, &diag), CSL_EAUTH);
    assert_string_equal(diag.text, "not wanted");
    assert_int_equal(asked, 1);
    check_target(false);
    (void)snprintf(dir, sizeof dir, "%s/no/such/folder", root);
    assert_int_equal(csl_cas_get(c, &other, dir, &file.cid, MAX, NULL, NULL, NULL, &diag), CSL_ECREATE);
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_int_equal(csl_cas_get(c, &other, long_path, &file.cid, MAX, NULL, NULL, NULL, &diag), CSL_EUSAGE);
    assert_int_equal(csl_cas_put(c, &other, dir, &csl_unixfs_1m, NULL, &diag), CSL_ENOINPUT);
    assert_int_equal(csl_cas_put(c, &other, root, &csl_unixfs_1m, NULL, &diag), CSL_ENOINPUT);
    uint8_t sha[CSL_SHA256_BYTES] = {0};
    assert_int_equal(csl_cas_put(c, &other, source, &csl_unixfs_1m, sha, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "changed while"));
    /* A store that is a file; one in no folder. */
    bad = open_store(source, NULL);
    assert_int_equal(csl_cas_put(bad, &other, source, &csl_unixfs_1m, NULL, &diag), CSL_ECREATE);
    csl_cas_close(bad);
    bad = open_store(dir, NULL);
    assert_int_equal(csl_cas_put(bad, &other, source, &csl_unixfs_1m, NULL, &diag), CSL_ECREATE);
    csl_cas_close(bad);
    csl_cas_close(c);
    assert_int_equal(csl_cas_open(&bad, "", NULL, &diag), CSL_EUSAGE);
    assert_null(bad);
}

/* A disk that takes no more, at any place: no half of a block, no half of a file. */
static void disk_full(void **state) {
    (void)state;
    char full[64];
    (void)snprintf(full, sizeof full, "%s/full", root);
    struct csl_cas *c = open_store(full, NULL), *whole = open_store(place, NULL);
    struct csl_cas_file file, got;
    struct csl_diag diag;
    struct rlimit old, small;
    assert_int_equal(csl_cas_put(whole, &file, source, &csl_unixfs_256k, NULL, NULL), CSL_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    const rlim_t limits[] = {0, 1, 100000, 262143};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        small = (struct rlimit){.rlim_cur = limits[i], .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        enum csl_err put = csl_cas_put(c, &got, source, &csl_unixfs_256k, NULL, &diag);
        enum csl_err get = csl_cas_get(whole, &got, target, &file.cid, MAX, NULL, NULL, NULL, &diag);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(put, CSL_EIO);
        assert_int_equal(get, CSL_EIO);
        check_target(false);
        get_fails(c, &file.cid, CSL_ENOINPUT, "has no block");
    }
    assert_int_equal(csl_cas_put(c, &got, source, &csl_unixfs_256k, NULL, NULL), CSL_OK);
    get_ok(c, &file.cid, true, NULL);
    csl_cas_close(whole);
    csl_cas_close(c);
}

#ifdef CSL_WITH_CAS

/* ---- A node ---- */

static const struct csl_cas_options quick = {.total_ms = 300};

static void node(void **state) {
    (void)state;
    struct fake_node f;
    struct csl_cas_file file;
    const struct csl_unixfs_profile *profiles[] = {&csl_unixfs_256k, &csl_unixfs_1m};
    fake_node_start(&f);
    struct csl_cas *c = open_store(fake_node_url(&f, "/"), NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct csl_diag diag;
        if (csl_cas_put(c, &file, source, profiles[i], NULL, &diag) != CSL_OK) {
            fail_msg("%s", diag.text);
        }
        assert_int_equal(f.n, SIZE);
        assert_memory_equal(f.bytes, content, SIZE);
        assert_int_equal(f.profile.chunk_bytes, profiles[i]->chunk_bytes);
        assert_int_equal(f.profile.max_links, profiles[i]->max_links);
        const char *said[] = {
            "cid-version=1", "raw-leaves=true",          "pin=true", "hash=sha2-256", "trickle=false",
            "inline=false",  "wrap-with-directory=false"};
        for (size_t k = 0; k < sizeof said / sizeof *said; k++) {
            assert_non_null(strstr(f.head, said[k]));
        }
        get_ok(c, &file.cid, true, NULL);
        assert_non_null(strstr(f.head, "POST /api/v0/cat?arg=baf"));
    }
    csl_cas_close(c);
    c = open_store(fake_node_url(&f, "/prefix"), &(struct csl_cas_options){.unpinned = true});
    assert_int_equal(csl_cas_put(c, &file, source, profiles[0], NULL, NULL), CSL_EPROTO); /* 404 */
    assert_non_null(strstr(f.head, "POST /prefix/api/v0/add?"));
    assert_non_null(strstr(f.head, "pin=false"));
    csl_cas_close(c);
    fake_node_stop(&f);
}

static void node_lies_when_put(void **state) {
    (void)state;
    const struct {
        enum fake_how how;
        enum csl_err err;
        const char *says;
    } cases[] = {{FAKE_OTHER, CSL_EPROTO, "but what was sent is bafy"},
                 {FAKE_TRUNCATED, CSL_EPEER, "before its answer was complete"},
                 {FAKE_NOTHING, CSL_EPROTO, "without a CID"},
                 {FAKE_CLOSED, CSL_EPEER, "before its answer was complete"},
                 {FAKE_NEVER, CSL_ETIMEOUT, "in time"},
                 {FAKE_DRIBBLE, CSL_ETIMEOUT, "in time"},
                 {FAKE_REDIRECT, CSL_EPROTO, "redirect (307) to http://elsewhere.example"},
                 {FAKE_ENDLESS, CSL_EPROTO, "more than the 65536 bytes"},
                 {FAKE_ERROR, CSL_EPROTO, "500: {\"Message\":\"merkledag: not found\""},
                 {FAKE_HTML, CSL_EPROTO, "no JSON object"},
                 {FAKE_TWICE, CSL_EPROTO, "several CIDs"},
                 {FAKE_REFUSES, CSL_EPROTO, "did not store the file: no space left on device"},
                 {FAKE_NO_CID, CSL_EPROTO, "without a CID"},
                 {FAKE_NOT_A_CID, CSL_EPROTO, "\"../../etc/passwd?\" is not a content identifier"}};
    struct fake_node f;
    fake_node_start(&f);
    struct csl_cas *c = open_store(fake_node_url(&f, ""), &quick);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct csl_diag diag = {""};
        struct csl_cas_file file;
        f.how = cases[i].how;
        enum csl_err err = csl_cas_put(c, &file, source, &csl_unixfs_256k, NULL, &diag);
        if (err != cases[i].err || strstr(diag.text, cases[i].says) == NULL ||
            strstr(diag.text, csl_cas_place(c)) == NULL) {
            fail_msg("case %zu: %s, not %s: %s", i, csl_err_name(err), csl_err_name(cases[i].err), diag.text);
        }
        assert_int_equal(file.n_bytes, 0);
    }
    csl_cas_close(c);
    fake_node_stop(&f);
}

static void node_lies_when_read(void **state) {
    (void)state;
    const struct {
        enum fake_how how;
        enum csl_err err;
        const char *says;
    } cases[] = {{FAKE_OTHER, CSL_EAUTH, "are not what bafy"},
                 {FAKE_TRUNCATED, CSL_EPEER, "before its answer was complete"},
                 {FAKE_SHORT, CSL_EAUTH, "the 700000 bytes that"},
                 {FAKE_LONGER, CSL_EAUTH, "the 700002 bytes that"},
                 {FAKE_NOTHING, CSL_EAUTH, "the 0 bytes that"},
                 {FAKE_CLOSED, CSL_EPEER, "before its answer was complete"},
                 {FAKE_NEVER, CSL_ETIMEOUT, "in time"},
                 {FAKE_DRIBBLE, CSL_ETIMEOUT, "in time"},
                 {FAKE_REDIRECT, CSL_EPROTO, "redirect (307) to http://elsewhere.example"},
                 {FAKE_ERROR, CSL_EPROTO, "merkledag: not found"},
                 {FAKE_HTML, CSL_EAUTH, "the 18 bytes that"}};
    struct fake_node f;
    struct csl_cas_file file;
    fake_node_start(&f);
    struct csl_cas *c = open_store(fake_node_url(&f, ""), NULL),
                   *q = open_store(fake_node_url(&f, ""), &quick);
    assert_int_equal(csl_cas_put(c, &file, source, &csl_unixfs_256k, NULL, NULL), CSL_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f.how = cases[i].how;
        get_fails(cases[i].err == CSL_ETIMEOUT ? q : c, &file.cid, cases[i].err, cases[i].says);
    }
    f.how = FAKE_ENDLESS;
    struct csl_diag diag;
    struct csl_cas_file got;
    assert_int_equal(csl_cas_get(c, &got, target, &file.cid, SIZE, NULL, NULL, NULL, &diag), CSL_EPROTO);
    assert_non_null(strstr(diag.text, "more than the 700001 bytes that are allowed"));
    check_target(false);
    f.how = FAKE_HONEST;
    assert_int_equal(csl_cas_get(c, &got, target, &file.cid, SIZE - 1, NULL, NULL, NULL, &diag), CSL_EPROTO);
    check_target(false);
    get_ok(c, &file.cid, true, NULL);
    csl_cas_close(q);
    csl_cas_close(c);
    fake_node_stop(&f);
}

/* A CID that was made in another way is proven by the SHA-256, or not at all. */
static void other_import(void **state) {
    (void)state;
    struct fake_node f;
    struct csl_cas_file file;
    uint8_t wrong[CSL_SHA256_BYTES] = {1};
    struct csl_diag diag;
    const struct csl_unixfs_profile odd = {.chunk_bytes = 1000, .max_links = 30};
    fake_node_start(&f);
    struct csl_cas *c = open_store(fake_node_url(&f, ""), NULL);
    assert_int_equal(csl_cas_put(c, &file, source, &csl_unixfs_256k, NULL, NULL), CSL_OK);
    struct csl_cid cid = test_import(NULL, &odd, SIZE);
    get_fails(c, &cid, CSL_EAUTH, "another way");
    assert_int_equal(csl_cas_get(c, &file, target, &cid, MAX, wrong, NULL, NULL, &diag), CSL_EAUTH);
    check_target(false);
    get_ok(c, &cid, false, content_sha);
    csl_cas_close(c);
    fake_node_stop(&f);
}

/* ---- A gateway ---- */

static void gateway(void **state) {
    (void)state;
    struct fake_node f;
    struct csl_cas_file file;
    struct csl_diag diag;
    const struct csl_unixfs_profile odd = {.chunk_bytes = 50000, .max_links = 4};
    fake_node_start(&f);
    struct csl_cas *c = open_store(fake_node_url(&f, "/ipfs/"), &(struct csl_cas_options){.total_ms = 10000});
    assert_int_equal(csl_cas_put(c, &file, source, &csl_unixfs_256k, NULL, &diag), CSL_EUSAGE);
    assert_non_null(strstr(diag.text, "gateway"));
    /* Blocks prove themselves: any import will do. */
    struct csl_cid cid = test_import(&f.blocks, &odd, SIZE);
    get_ok(c, &cid, true, NULL);
    const struct {
        enum fake_how how;
        enum csl_err err;
        const char *says;
    } cases[] = {{FAKE_OTHER, CSL_EAUTH, "holds other bytes"},
                 {FAKE_TRUNCATED, CSL_EPEER, "before its answer was complete"},
                 {FAKE_SHORT, CSL_EAUTH, "holds other bytes"},
                 {FAKE_LONGER, CSL_EAUTH, "holds other bytes"},
                 {FAKE_NOTHING, CSL_EAUTH, "holds other bytes"},
                 {FAKE_CLOSED, CSL_EPEER, "before its answer was complete"},
                 {FAKE_REDIRECT, CSL_EPROTO, "redirect (307) to http://elsewhere.example"},
                 {FAKE_ENDLESS, CSL_EPROTO, "more than the 2097152 bytes"},
                 {FAKE_ERROR, CSL_EPROTO, "500"},
                 {FAKE_HTML, CSL_EAUTH, "holds other bytes"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f.how = cases[i].how;
        get_fails(c, &cid, cases[i].err, cases[i].says);
    }
    csl_cas_close(c);
    c = open_store(fake_node_url(&f, "/ipfs"), &quick);
    f.how = FAKE_NEVER;
    get_fails(c, &cid, CSL_ETIMEOUT, "in time");
    f.how = FAKE_HONEST;
    free(f.blocks.items[2].p);
    f.blocks.items[2] = f.blocks.items[--f.blocks.n];
    get_fails(c, &cid, CSL_EPROTO, "404: not here");
    csl_cas_close(c);
    fake_node_stop(&f);
}

static void urls(void **state) {
    (void)state;
    const char *bad[] = {"ftp://a/", "http://a/?x=1", "http://a/#b", "http://a b/", "s3://bucket"};
    struct csl_cas *c;
    struct csl_diag diag;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(csl_cas_open(&c, bad[i], NULL, &diag), CSL_EUSAGE);
        assert_null(c);
    }
    c = open_store("https://user:secret@store.example:8443/rpc/", NULL);
    assert_string_equal(csl_cas_place(c), "https://store.example:8443");
    csl_cas_close(c);
}

#else

static void no_http(void **state) {
    (void)state;
    struct csl_cas *c;
    struct csl_diag diag;
    assert_int_equal(csl_cas_open(&c, "http://127.0.0.1:5001", NULL, &diag), CSL_EUNAVAILABLE);
    assert_non_null(strstr(diag.text, "this build has no HTTP client"));
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(folder),
                                       cmocka_unit_test(folder_damaged),
                                       cmocka_unit_test(paths),
                                       cmocka_unit_test(disk_full),
#ifdef CSL_WITH_CAS
                                       cmocka_unit_test(node),
                                       cmocka_unit_test(node_lies_when_put),
                                       cmocka_unit_test(node_lies_when_read),
                                       cmocka_unit_test(other_import),
                                       cmocka_unit_test(gateway),
                                       cmocka_unit_test(urls)
#else
                                       cmocka_unit_test(no_http)
#endif
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
