/* The store at a node and behind a gateway, honest and not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_node.h"
#include "store_files.h"

/* ---- A node ---- */

static const struct csl_cas_options quick = {.total_ms = 300};

static void node(void **state) {
    (void)state;
    struct fake_node f;
    struct csl_cas_file file;
    const struct csl_unixfs_profile *profiles[] = {&csl_unixfs_256k, &csl_unixfs_1m};
    fake_node_start(&f);
    struct csl_cas *c = test_store_open(fake_node_url(&f, "/"), NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct csl_diag diag;
        if (csl_cas_put(c, &file, test_source, profiles[i], NULL, &diag) != CSL_OK) {
            fail_msg("%s", diag.text);
        }
        assert_int_equal(f.n, SIZE);
        assert_memory_equal(f.bytes, test_bytes, SIZE);
        assert_int_equal(f.profile.chunk_bytes, profiles[i]->chunk_bytes);
        assert_int_equal(f.profile.max_links, profiles[i]->max_links);
        const char *said[] = {
            "cid-version=1", "raw-leaves=true",          "pin=true", "hash=sha2-256", "trickle=false",
            "inline=false",  "wrap-with-directory=false"};
        for (size_t k = 0; k < sizeof said / sizeof *said; k++) {
            assert_non_null(strstr(f.head, said[k]));
        }
        test_get_ok(c, &file.cid, true, NULL);
        assert_non_null(strstr(f.head, "POST /api/v0/cat?arg=baf"));
    }
    csl_cas_close(c);
    c = test_store_open(fake_node_url(&f, "/prefix"), &(struct csl_cas_options){.unpinned = true});
    assert_int_equal(csl_cas_put(c, &file, test_source, profiles[0], NULL, NULL), CSL_EPROTO); /* 404 */
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
    struct csl_cas *c = test_store_open(fake_node_url(&f, ""), &quick);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct csl_diag diag = {""};
        struct csl_cas_file file;
        f.how = cases[i].how;
        enum csl_err err = csl_cas_put(c, &file, test_source, &csl_unixfs_256k, NULL, &diag);
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
    struct csl_cas *c = test_store_open(fake_node_url(&f, ""), NULL),
                   *q = test_store_open(fake_node_url(&f, ""), &quick);
    assert_int_equal(csl_cas_put(c, &file, test_source, &csl_unixfs_256k, NULL, NULL), CSL_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f.how = cases[i].how;
        test_get_fails(cases[i].err == CSL_ETIMEOUT ? q : c, &file.cid, cases[i].err, cases[i].says);
    }
    f.how = FAKE_ENDLESS;
    struct csl_diag diag;
    struct csl_cas_file got;
    assert_int_equal(csl_cas_get(c, &got, test_target, &file.cid, SIZE, NULL, NULL, NULL, &diag), CSL_EPROTO);
    assert_non_null(strstr(diag.text, "more than the 700001 bytes that are allowed"));
    test_store_target(false);
    f.how = FAKE_HONEST;
    assert_int_equal(csl_cas_get(c, &got, test_target, &file.cid, SIZE - 1, NULL, NULL, NULL, &diag),
                     CSL_EPROTO);
    test_store_target(false);
    test_get_ok(c, &file.cid, true, NULL);
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
    struct csl_cas *c = test_store_open(fake_node_url(&f, ""), NULL);
    assert_int_equal(csl_cas_put(c, &file, test_source, &csl_unixfs_256k, NULL, NULL), CSL_OK);
    struct csl_cid cid = test_import(NULL, &odd, SIZE);
    test_get_fails(c, &cid, CSL_EAUTH, "another way");
    assert_int_equal(csl_cas_get(c, &file, test_target, &cid, MAX, wrong, NULL, NULL, &diag), CSL_EAUTH);
    test_store_target(false);
    test_get_ok(c, &cid, false, test_sha256);
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
    struct csl_cas *c =
        test_store_open(fake_node_url(&f, "/ipfs/"), &(struct csl_cas_options){.total_ms = 10000});
    assert_int_equal(csl_cas_put(c, &file, test_source, &csl_unixfs_256k, NULL, &diag), CSL_EUSAGE);
    assert_non_null(strstr(diag.text, "gateway"));
    /* Blocks prove themselves: any import will do. */
    struct csl_cid cid = test_import(&f.blocks, &odd, SIZE);
    test_get_ok(c, &cid, true, NULL);
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
        test_get_fails(c, &cid, cases[i].err, cases[i].says);
    }
    csl_cas_close(c);
    c = test_store_open(fake_node_url(&f, "/ipfs"), &quick);
    f.how = FAKE_NEVER;
    test_get_fails(c, &cid, CSL_ETIMEOUT, "in time");
    f.how = FAKE_HONEST;
    free(f.blocks.items[2].p);
    f.blocks.items[2] = f.blocks.items[--f.blocks.n];
    test_get_fails(c, &cid, CSL_EPROTO, "404: not here");
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
    c = test_store_open("https://user:secret@store.example:8443/rpc/", NULL);
    assert_string_equal(csl_cas_place(c), "https://store.example:8443");
    csl_cas_close(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(node),
                                       cmocka_unit_test(node_lies_when_put),
                                       cmocka_unit_test(node_lies_when_read),
                                       cmocka_unit_test(other_import),
                                       cmocka_unit_test(gateway),
                                       cmocka_unit_test(urls)};
    return cmocka_run_group_tests(tests, test_store_setup, test_store_teardown);
}
