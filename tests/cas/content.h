/* What the tests of the store put into files, and a store in memory. */
#ifndef TESTS_CAS_CONTENT_H
#define TESTS_CAS_CONTENT_H

#include "cas/unixfs.h"

/* Bytes at..at+n of the endless file of vectors.mjs. */
void test_content(uint8_t *out, uint64_t at, size_t n);

struct test_blocks {
    struct test_block {
        struct csl_cid cid;
        uint8_t *p;
        size_t n;
    } * items;
    size_t n, gets;
};
/* A csl_block_put and a csl_block_get. */
enum csl_err test_blocks_put(void *arg, const struct csl_cid *cid, const uint8_t *block, size_t n,
                             struct csl_diag *diag);
enum csl_err test_blocks_get(void *arg, const struct csl_cid *cid, uint8_t **block, size_t *n,
                             struct csl_diag *diag);
/* Puts these bytes and gives their name. */
struct csl_cid test_blocks_add(struct test_blocks *b, uint8_t codec, const uint8_t *p, size_t n);
void test_blocks_clear(struct test_blocks *b);

/* Imports these bytes, or the first n of the content; b NULL: only for the CID. */
struct csl_cid test_import_bytes(struct test_blocks *b, const struct csl_unixfs_profile *profile,
                                 const uint8_t *p, size_t n);
struct csl_cid test_import(struct test_blocks *b, const struct csl_unixfs_profile *profile, size_t n);

#endif
