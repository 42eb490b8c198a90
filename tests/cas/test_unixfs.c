/* Files as blocks: the CIDs of another implementation, round trips, and blocks that lie. */
#include "cas/unixfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "content.h"

enum { SIZE_MAX_TESTED = 60000000 };
static const uint64_t no_limit = UINT64_MAX;

/* Same names as npm's ipfs-unixfs-importer gives. */
static void vectors(void **state) {
    (void)state;
    FILE *f = fopen("tests/cas/vectors.txt", "r");
    char line[256], text[CSL_CID_TEXT];
    unsigned n = 0;
    uint8_t *content = malloc(SIZE_MAX_TESTED);
    assert_non_null(f);
    assert_non_null(content);
    test_content(content, 0, SIZE_MAX_TESTED);
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned chunk, links;
        unsigned long long size;
        char want[CSL_CID_TEXT + 1];
        if (line[0] == '#') {
            continue;
        }
        assert_int_equal(sscanf(line, "%u %u %llu %60s", &chunk, &links, &size, want), 4);
        struct csl_unixfs_profile p = {.chunk_bytes = chunk, .max_links = links};
        assert_true(size <= SIZE_MAX_TESTED);
        struct csl_cid root = test_import_bytes(NULL, &p, content, size);
        if (strcmp(csl_cid_text(text, &root), want) != 0) {
            fail_msg("%llu bytes in chunks of %u, %u links: %s, not %s", size, chunk, links, text, want);
        }
        n++;
    }
    assert_int_equal(fclose(f), 0);
    free(content);
    assert_true(n >= 300);
}

/* ---- Round trips ---- */

struct compared {
    uint64_t at, stop;
};

static enum csl_err compare(void *arg, const uint8_t *p, size_t n, struct csl_diag *diag) {
    struct compared *c = arg;
    uint8_t *want = malloc(n + 1);
    assert_non_null(want);
    test_content(want, c->at, n);
    bool same = memcmp(p, want, n) == 0;
    free(want);
    c->at += n;
    assert_true(n != 0);
    if (c->stop != 0 && c->at >= c->stop) {
        return csl_fail(diag, CSL_EIO, "the disk is full");
    }
    return same ? CSL_OK : csl_fail(diag, CSL_EINTERNAL, "other bytes");
}

static enum csl_err export(struct test_blocks *b, const struct csl_cid *root, uint64_t max, uint64_t *n,
                           struct csl_diag *diag) {
    struct compared c = {0};
    enum csl_err err = csl_unixfs_export(root, max, test_blocks_get, b, compare, &c, n, diag);
    assert_true(err != CSL_OK || c.at == *n);
    return err;
}

static void round_trips(void **state) {
    (void)state;
    const struct csl_unixfs_profile profiles[] = {{2, 3}, {1, 2}, {7, 5}, {100, 174}};
    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++) {
        for (uint64_t size = 0; size < 300; size++) {
            struct test_blocks b = {0};
            struct csl_cid root = test_import(&b, &profiles[i], size);
            uint64_t n = 1;
            assert_int_equal(export(&b, &root, size, &n, NULL), CSL_OK);
            assert_int_equal(n, size);
            assert_int_equal(size == 0 ? CSL_OK : export(&b, &root, size - 1, &n, NULL),
                             size == 0 ? CSL_OK : CSL_EDATA);
            assert_int_equal(n == size || n == 0, 1);
            test_blocks_clear(&b);
        }
    }
    struct test_blocks b = {0};
    uint64_t n;
    struct csl_cid root = test_import(&b, &csl_unixfs_256k, 3000000);
    assert_int_equal(b.n, 13);
    assert_int_equal(export(&b, &root, no_limit, &n, NULL), CSL_OK);
    assert_int_equal(n, 3000000);
    struct compared c = {.stop = 1000000};
    struct csl_diag diag;
    assert_int_equal(csl_unixfs_export(&root, no_limit, test_blocks_get, &b, compare, &c, &n, &diag),
                     CSL_EIO);
    assert_string_equal(diag.text, "the disk is full");
    assert_int_equal(n, 0);
    test_blocks_clear(&b);
}

static void profiles(void **state) {
    (void)state;
    const struct csl_unixfs_profile bad[] = {
        {0, 174}, {CSL_BLOCK_MAX + 1, 174}, {1, 1}, {1, 0}, {1, CSL_UNIXFS_LINKS_MAX + 1}};
    struct csl_unixfs_import *im;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(csl_unixfs_import_new(&im, &bad[i], NULL, NULL), CSL_EUSAGE);
        assert_null(im);
    }
}

static enum csl_err full(void *arg, const struct csl_cid *cid, const uint8_t *block, size_t n,
                         struct csl_diag *diag) {
    size_t *left = arg;
    (void)cid, (void)block, (void)n;
    return (*left)-- == 0 ? csl_fail(diag, CSL_EIO, "no space left") : CSL_OK;
}

/* A store that fails at each block in turn. */
static void put_fails(void **state) {
    (void)state;
    const struct csl_unixfs_profile p = {2, 2};
    uint8_t bytes[16] = {0};
    for (size_t at = 0; at < 15; at++) { /* 8 leaves, 4 + 2 + 1 nodes */
        struct csl_unixfs_import *im;
        struct csl_diag diag = {""};
        struct csl_cid root;
        size_t left = at;
        assert_int_equal(csl_unixfs_import_new(&im, &p, full, &left), CSL_OK);
        enum csl_err err = csl_unixfs_import_write(im, bytes, sizeof bytes, &diag);
        err = err != CSL_OK ? err : csl_unixfs_import_end(im, &root, &diag);
        assert_int_equal(err, CSL_EIO);
        assert_string_equal(diag.text, "no space left");
        csl_unixfs_import_free(im);
    }
}

/* ---- Blocks that lie ---- */

/* Export fails with this error, and what was read is bounded. */
static void fails(struct test_blocks *b, const struct csl_cid *root, uint64_t max, enum csl_err want,
                  const char *says) {
    struct csl_diag diag = {""};
    uint64_t n = 1;
    b->gets = 0;
    enum csl_err err =
        csl_unixfs_export(root, max, test_blocks_get, b, compare, &(struct compared){0}, &n, &diag);
    if (err != want || strstr(diag.text, says) == NULL) {
        fail_msg("%s, not %s: %s", csl_err_name(err), csl_err_name(want), diag.text);
    }
    assert_int_equal(n, 0);
}

static void other_bytes(void **state) {
    (void)state;
    struct test_blocks b = {0};
    const struct csl_unixfs_profile p = {50, 3};
    struct csl_cid root = test_import(&b, &p, 600);
    for (size_t i = 0; i < b.n; i++) {
        struct test_block *block = &b.items[i], honest = *block;
        for (size_t k = 0; k < honest.n; k += 7) {
            block->p[k] ^= 1;
            fails(&b, &root, no_limit, CSL_EAUTH, "holds other bytes");
            block->p[k] ^= 1;
        }
        for (size_t n = 0; n < honest.n; n += 5) { /* truncated; empty */
            block->n = n;
            fails(&b, &root, no_limit, CSL_EAUTH, "holds other bytes");
        }
        block->n = honest.n;
        block->cid.digest[0] ^= 1; /* missing */
        fails(&b, &root, no_limit, CSL_ENOINPUT, "no such block");
        block->cid.digest[0] ^= 1;
    }
    test_blocks_clear(&b);
}

/* A node of n links to the same part. */
static struct csl_cid repeat(struct test_blocks *b, const struct csl_cid *part, uint64_t part_bytes,
                             size_t n) {
    struct csl_unixfs_link *links = calloc(n, sizeof *links);
    uint8_t *block;
    size_t n_block;
    assert_non_null(links);
    for (size_t i = 0; i < n; i++) {
        links[i] = (struct csl_unixfs_link){.cid = *part, .dag_bytes = 1, .file_bytes = part_bytes};
    }
    assert_int_equal(csl_unixfs_node_encode(&block, &n_block, links, n), CSL_OK);
    struct csl_cid cid = test_blocks_add(b, CSL_CID_DAG_PB, block, n_block);
    free(block);
    free(links);
    return cid;
}

static enum csl_err swallow(void *arg, const uint8_t *p, size_t n, struct csl_diag *diag) {
    (void)p, (void)diag;
    *(uint64_t *)arg += n;
    return CSL_OK;
}

static void bombs(void **state) {
    (void)state;
    struct test_blocks b = {0};
    uint8_t leaf[1024] = {0};
    uint64_t size = sizeof leaf, n, sum = 0;
    struct csl_cid cid = test_blocks_add(&b, CSL_CID_RAW, leaf, sizeof leaf);
    for (unsigned i = 0; i < 3; i++, size *= 1000) { /* 10^12 bytes in four blocks */
        cid = repeat(&b, &cid, size, 1000);
    }
    fails(&b, &cid, (uint64_t)1 << 31, CSL_EDATA, "are allowed");
    assert_int_equal(b.gets, 1);
    /* One that is allowed is as long as it said. */
    struct csl_cid one = test_blocks_add(&b, CSL_CID_RAW, leaf, sizeof leaf);
    one = repeat(&b, &one, sizeof leaf, 1000);
    assert_int_equal(csl_unixfs_export(&one, no_limit, test_blocks_get, &b, swallow, &sum, &n, NULL), CSL_OK);
    assert_int_equal(n, 1024000);
    assert_int_equal(sum, n);
    /* Few bytes in very many blocks. */
    cid = test_blocks_add(&b, CSL_CID_RAW, leaf, 1);
    size = 1;
    for (unsigned i = 0; i < 2; i++, size *= 1000) {
        cid = repeat(&b, &cid, size, 1000);
    }
    b.gets = 0;
    sum = 0;
    struct csl_diag diag;
    assert_int_equal(csl_unixfs_export(&cid, no_limit, test_blocks_get, &b, swallow, &sum, &n, &diag),
                     CSL_EDATA);
    assert_non_null(strstr(diag.text, "a file of 1000000 bytes in more than"));
    assert_true(b.gets < 1000000 / 512 + CSL_UNIXFS_NODE_SLACK + 2);
    /* A long way down. */
    cid = test_blocks_add(&b, CSL_CID_RAW, leaf, 9);
    for (unsigned i = 0; i < CSL_UNIXFS_DEPTH_MAX; i++) {
        cid = repeat(&b, &cid, 9, 1);
    }
    assert_int_equal(csl_unixfs_export(&cid, no_limit, test_blocks_get, &b, swallow, &sum, &n, NULL), CSL_OK);
    cid = repeat(&b, &cid, 9, 1);
    fails(&b, &cid, no_limit, CSL_EDATA, "is below 12 others");
    test_blocks_clear(&b);
}

/* Sizes that a parent says of its part, and that are not so. */
static void wrong_sizes(void **state) {
    (void)state;
    struct test_blocks b = {0};
    uint8_t leaf[100] = {0};
    const uint64_t said[] = {1, 99, 101, 200, CSL_UNIXFS_FILE_MAX};
    struct csl_cid part = test_blocks_add(&b, CSL_CID_RAW, leaf, sizeof leaf), cid;
    struct csl_cid node = repeat(&b, &part, 100, 2);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        cid = repeat(&b, &part, said[i], 1);
        fails(&b, &cid, no_limit, CSL_EDATA, "its parent says");
        if (said[i] != 200) {
            cid = repeat(&b, &node, said[i], 1);
            fails(&b, &cid, no_limit, CSL_EDATA, "its parent says");
        }
    }
    cid = repeat(&b, &part, 0, 3);
    fails(&b, &cid, no_limit, CSL_EDATA, "part 1 has no size");
    cid = repeat(&b, &part, CSL_UNIXFS_FILE_MAX, 2);
    fails(&b, &cid, no_limit, CSL_EDATA, "none that is possible");
    cid = repeat(&b, &part, UINT64_MAX, 1);
    fails(&b, &cid, no_limit, CSL_EDATA, "none that is possible");
    test_blocks_clear(&b);
}

/* ---- Nodes ---- */

struct node_case {
    const char *bytes;
    size_t n;
};
#define NODE(s)                                                                                              \
    { s, sizeof s - 1 }
#define CID                                                                                                  \
    "\x01\x55\x12\x20" /* and 32 bytes */                                                                    \
    "0123456789abcdef0123456789abcdef"
#define LINK "\x12\x2a\x0a\x24" CID "\x12\x00\x18\x05"

static void nodes(void **state) {
    (void)state;
    const struct node_case good[] = {
        NODE("\x0a\x04\x08\x02\x18\x00"),                     /* empty file */
        NODE("\x0a\x02\x08\x02"),                             /* the same, as old writers had it */
        NODE("\x0a\x09\x08\x02\x12\x03\x61\x62\x63\x18\x03"), /* abc as a leaf in dag-pb */
        NODE("\x0a\x09\x08\x00\x12\x03\x61\x62\x63\x18\x03"),
        NODE(LINK "\x0a\x06\x08\x02\x18\x05\x20\x05"),
        NODE(LINK LINK "\x0a\x08\x08\x02\x18\x09\x20\x05\x20\x04")};
    const struct node_case bad[] = {
        NODE(""),
        NODE("\x0a\x00"),                                          /* no type */
        NODE("\x0a\x02\x08\x01"),                                  /* a folder */
        NODE("\x0a\x02\x08\x04"),                                  /* a symbolic link */
        NODE("\x0a\x05\x08\x02\x18\x80\x00"),                      /* a varint that is too long */
        NODE("\x0a\x04\x08\x02\x18\x01"),                          /* a byte that is not there */
        NODE("\x0a\x09\x08\x02\x12\x03\x61\x62\x63\x18\x02"),      /* a size that is not the data's */
        NODE("\x0a\x09\x18\x03\x08\x02\x12\x03\x61\x62\x63"),      /* another order */
        NODE("\x0a\x07\x08\x02\x18\x00\x38\xa4\x03"),              /* a mode */
        NODE("\x0a\x04\x08\x02\x18\x00\x0a\x04\x08\x02\x18\x00"),  /* data twice */
        NODE("\x0a\x04\x08\x02\x18\x00\x00"),                      /* bytes behind it */
        NODE("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x08"),  /* a length that wraps */
        NODE(LINK),                                                /* no data */
        NODE("\x0a\x06\x08\x02\x18\x05\x20\x05" LINK),             /* data first */
        NODE(LINK "\x0a\x04\x08\x02\x18\x00"),                     /* a link without a size */
        NODE(LINK "\x0a\x08\x08\x02\x18\x0a\x20\x05\x20\x05"),     /* a size without a link */
        NODE(LINK "\x0a\x06\x08\x02\x18\x06\x20\x05"),             /* a wrong sum */
        NODE(LINK "\x0a\x06\x08\x02\x18\x00\x20\x00"),             /* an empty part */
        NODE(LINK "\x0a\x07\x08\x02\x18\x05\x22\x01\x05"),         /* packed sizes */
        NODE(LINK "\x0a\x09\x08\x02\x12\x01\x61\x18\x06\x20\x05"), /* both links and data */
        NODE("\x12\x2b\x0a\x24" CID "\x12\x01x\x18\x05\x0a\x06\x08\x02\x18\x05\x20\x05"), /* a name */
        NODE("\x12\x28\x0a\x24" CID "\x18\x05\x0a\x06\x08\x02\x18\x05\x20\x05"),          /* none at all */
        NODE("\x12\x2a\x12\x00\x0a\x24" CID "\x18\x05\x0a\x06\x08\x02\x18\x05\x20\x05"),
        NODE("\x12\x06\x0a\x00\x12\x00\x18\x05\x0a\x06\x08\x02\x18\x05\x20\x05")};
    struct csl_unixfs_node node;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct csl_diag diag = {""};
        if (csl_unixfs_node_decode(&node, (const uint8_t *)good[i].bytes, good[i].n, &diag) != CSL_OK) {
            fail_msg("good node %zu: %s", i, diag.text);
        }
        csl_unixfs_node_clear(&node);
        for (size_t n = 0; n < good[i].n; n++) {
            assert_int_equal(csl_unixfs_node_decode(&node, (const uint8_t *)good[i].bytes, n, NULL),
                             CSL_EDATA);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct csl_diag diag = {""};
        if (csl_unixfs_node_decode(&node, (const uint8_t *)bad[i].bytes, bad[i].n, &diag) != CSL_EDATA ||
            diag.text[0] == '\0' || node.links != NULL) {
            fail_msg("bad node %zu was taken", i);
        }
    }
}

static size_t from_hex(uint8_t *out, const char *hex) {
    size_t n = 0;
    unsigned byte;
    while (sscanf(hex + 2 * n, "%2x", &byte) == 1) {
        out[n++] = (uint8_t)byte;
    }
    return n;
}

/* A file as older tools import it: CIDv0, leaves in dag-pb. By ipfs-unixfs-importer, of chunks of 40 bytes
 * and 2 links; it can be read, and is never written. */
static void old_import(void **state) {
    (void)state;
    const struct {
        const char *cid, *block;
    } blocks[] = {
        {"QmbdLGyRAvAVw3GKHnMRGov9R2t7AybBbUE3iGJYuJBYHv",
         "0a2e08021228b7284e5106c3f43027b4f08585b29c24cd530dcc084deb5cc4aec9180b65394913297cc2900425e91828"},
        {"QmXixCNx7SFcXK94bUhCX9yPfdrzkJmVTbMPAL4zDcNsPW",
         "0a2e0802122804fea09373ad887c927dbb95f1d3ebbf45d81accbc532555e89ed0d8175304d61455f1e121094bd21828"},
        {"QmXQ6J7CidBmSUt9EVpHe4FMAVv2sYdQt2h5dwDYKqXLsv",
         "0a1a08021214656112ea36f14b788c3cb8d1efe9c4bb3ad7737f1814"},
        {"QmQHFAWnERjH2BG1mEFno8PX1rYuxFwpD2tXJZByP1fqZJ",
         "12280a221220c56df60ee116aeccf19720d931e45ebeec860537381ae4342fe1dae4cac270911200183012280a2212208b6"
         "fbb"
         "b792d89805bcced062625eec556a6b6e8f379f051836352def3e2fa0d9120018300a080802185020282028"},
        {"QmXXFhK69TD1w1EmTqgpu4V8iu3uPBX8Z7tEdBafwbX4RZ",
         "12280a221220869adaee8ab3cc0e428e9860fa5c40de025a9082565e42a88985133dcc5dcbe51200181c0a0608021814201"
         "4"},
        {"QmNPBNZRA7aJ5T9XWyL4cTuPYXkqofo6PQRVgPjd2Ck525",
         "12290a2212201cd80264ef4ae99e106376cff22197cad00218621a6fcbc19af364bcf3fefcc1120018be0112280a2212208"
         "870"
         "8cb10575e5d92ef3ddf8e403e8c93737ec7564dea736606ae86e0d704f8c1200184e0a080802186420502014"}};
    struct test_blocks b = {0};
    struct csl_cid cid, is;
    uint64_t n;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        uint8_t bytes[256];
        assert_int_equal(csl_cid_parse(&cid, blocks[i].cid, NULL), CSL_OK);
        is = test_blocks_add(&b, CSL_CID_DAG_PB, bytes, from_hex(bytes, blocks[i].block));
        assert_true(csl_cid_equal(&cid, &is));
    }
    assert_int_equal(export(&b, &cid, no_limit, &n, NULL), CSL_OK);
    assert_int_equal(n, 100);
    test_blocks_clear(&b);
}

/* The decoder knows one encoding: what it takes is what we would write. */
static void one_encoding(void **state) {
    (void)state;
    struct test_blocks b = {0};
    const struct csl_unixfs_profile p = {50, 3};
    struct csl_cid root = test_import(&b, &p, 149);
    uint8_t *block, *again;
    size_t n, n_again, taken = 0;
    assert_int_equal(test_blocks_get(&b, &root, &block, &n, NULL), CSL_OK);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        struct csl_unixfs_node node;
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (csl_unixfs_node_decode(&node, block, n, NULL) == CSL_OK) {
            assert_int_equal(csl_unixfs_node_encode(&again, &n_again, node.links, node.n_links), CSL_OK);
            /* UnixFS has two types that say the same of a file. */
            if (n_again != n || memcmp(again, block, n) != 0) {
                assert_int_equal(block[n - 11 + 1], 0);
            }
            free(again);
            csl_unixfs_node_clear(&node);
            taken++;
        }
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(taken >= 3 * 256); /* the digests' bits, at least */
    free(block);
    test_blocks_clear(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors),      cmocka_unit_test(round_trips),
                                       cmocka_unit_test(profiles),     cmocka_unit_test(put_fails),
                                       cmocka_unit_test(other_bytes),  cmocka_unit_test(bombs),
                                       cmocka_unit_test(wrong_sizes),  cmocka_unit_test(nodes),
                                       cmocka_unit_test(one_encoding), cmocka_unit_test(old_import)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
