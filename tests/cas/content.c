#include "content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/bytes.h"

static uint32_t mix(uint32_t h) {
    h ^= h >> 16;
    h *= 0x85ebca6bU;
    h ^= h >> 13;
    h *= 0xc2b2ae35U;
    return h ^ h >> 16;
}

void test_content(uint8_t *out, uint64_t at, size_t n) {
    for (size_t i = 0; i < n;) {
        uint8_t word[4];
        csl_store_u32(word, mix((uint32_t)((at + i) / 4 + 1)));
        size_t skip = (at + i) % 4, part = 4 - skip < n - i ? 4 - skip : n - i;
        memcpy(out + i, word + skip, part);
        i += part;
    }
}

static struct test_block *find(struct test_blocks *b, const struct csl_cid *cid) {
    for (size_t i = 0; i < b->n; i++) {
        if (csl_cid_equal(&b->items[i].cid, cid)) {
            return &b->items[i];
        }
    }
    return NULL;
}

enum csl_err test_blocks_put(void *arg, const struct csl_cid *cid, const uint8_t *block, size_t n,
                             struct csl_diag *diag) {
    struct test_blocks *b = arg;
    (void)diag;
    if (find(b, cid) != NULL) {
        return CSL_OK;
    }
    b->items = realloc(b->items, (b->n + 1) * sizeof *b->items);
    assert_non_null(b->items);
    struct test_block *new = &b->items[b->n++];
    new->cid = *cid;
    new->n = n;
    new->p = malloc(n + 1);
    assert_non_null(new->p);
    memcpy(new->p, block, n);
    return CSL_OK;
}

enum csl_err test_blocks_get(void *arg, const struct csl_cid *cid, uint8_t **block, size_t *n,
                             struct csl_diag *diag) {
    struct test_blocks *b = arg;
    const struct test_block *has = find(b, cid);
    b->gets++;
    if (has == NULL) {
        return csl_fail(diag, CSL_ENOINPUT, "no such block");
    }
    *block = malloc(has->n + 1);
    assert_non_null(*block);
    memcpy(*block, has->p, has->n);
    *n = has->n;
    return CSL_OK;
}

struct csl_cid test_blocks_add(struct test_blocks *b, uint8_t codec, const uint8_t *p, size_t n) {
    struct csl_cid cid;
    assert_int_equal(csl_cid_of(&cid, codec, p, n), CSL_OK);
    assert_int_equal(test_blocks_put(b, &cid, p, n, NULL), CSL_OK);
    return cid;
}

void test_blocks_clear(struct test_blocks *b) {
    for (size_t i = 0; i < b->n; i++) {
        free(b->items[i].p);
    }
    free(b->items);
    memset(b, 0, sizeof *b);
}

struct csl_cid test_import_bytes(struct test_blocks *b, const struct csl_unixfs_profile *profile,
                                 const uint8_t *p, size_t n) {
    enum { PIECE = 99991 }; /* no chunk is a multiple of it */
    struct csl_unixfs_import *im;
    struct csl_cid root;
    assert_int_equal(csl_unixfs_import_new(&im, profile, b == NULL ? NULL : test_blocks_put, b), CSL_OK);
    for (size_t at = 0; at < n; at += PIECE) {
        size_t part = n - at < PIECE ? n - at : PIECE;
        assert_int_equal(csl_unixfs_import_write(im, p + at, part, NULL), CSL_OK);
    }
    assert_int_equal(csl_unixfs_import_end(im, &root, NULL), CSL_OK);
    csl_unixfs_import_free(im);
    return root;
}

struct csl_cid test_import(struct test_blocks *b, const struct csl_unixfs_profile *profile, size_t n) {
    uint8_t *p = malloc(n + 1);
    assert_non_null(p);
    test_content(p, 0, n);
    struct csl_cid root = test_import_bytes(b, profile, p, n);
    free(p);
    return root;
}
