/* What a content-addressed store shows us: identifiers, nodes, files of blocks that lie about each other, and
 * a node's answers; the first byte chooses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cas/store_internal.h"
#include "crypto/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok) {
    if (!ok) {
        abort();
    }
}

/* Text and bytes: what is taken is written back the same. */
static void identifier(const uint8_t *data, size_t size) {
    struct csl_cid cid, back;
    struct csl_diag diag = {""};
    char text[256], again[CSL_CID_TEXT];
    uint8_t bytes[CSL_CID_BYTES];
    if (size < sizeof text) {
        memcpy(text, data, size);
        text[size] = '\0';
        if (csl_cid_parse(&cid, text, &diag) == CSL_OK) {
            check(text[0] != 'b' || strcmp(csl_cid_text(again, &cid), text) == 0);
            check(csl_cid_parse(&back, csl_cid_text(again, &cid), NULL) == CSL_OK &&
                  csl_cid_equal(&cid, &back));
        } else {
            check(diag.text[0] != '\0' && cid.codec == 0);
        }
    }
    if (csl_cid_decode(&cid, data, size, &diag) == CSL_OK) {
        csl_cid_bytes(bytes, &cid);
        check(size == CSL_CID_V0_BYTES ? memcmp(bytes + 2, data, size) == 0
                                       : size == CSL_CID_BYTES && memcmp(bytes, data, size) == 0);
    }
}

/* A node has one encoding: what is taken and we could have written, we write the same. */
static void node(const uint8_t *data, size_t size) {
    struct csl_unixfs_node n;
    struct csl_diag diag = {""};
    uint8_t *bytes;
    size_t n_bytes;
    uint64_t sum = 0;
    if (csl_unixfs_node_decode(&n, data, size, &diag) != CSL_OK) {
        check(diag.text[0] != '\0' && n.links == NULL);
        return;
    }
    for (size_t i = 0; i < n.n_links; i++) {
        check(n.links[i].file_bytes != 0);
        sum += n.links[i].file_bytes;
    }
    check(n.n_links <= CSL_UNIXFS_LINKS_MAX && n.file_bytes == sum + n.n_data &&
          (n.n_links == 0 || n.n_data == 0));
    check(csl_unixfs_node_encode(&bytes, &n_bytes, n.links, n.n_links) == CSL_OK);
    /* CIDv0 links are shorter, and two types mean a file. */
    check(n.n_data != 0 || n.n_links == 0 || n_bytes >= size);
    free(bytes);
    csl_unixfs_node_clear(&n);
}

/* ---- A file of blocks ---- */

enum { BLOCKS_MAX = 64, FILE_BYTES_MAX = 1 << 16 };

struct blocks {
    struct csl_cid cids[BLOCKS_MAX];
    uint8_t *p[BLOCKS_MAX];
    size_t n_bytes[BLOCKS_MAX], n, gets;
    uint64_t given;
};

static enum csl_err get(void *arg, const struct csl_cid *cid, uint8_t **block, size_t *n,
                        struct csl_diag *diag) {
    struct blocks *b = arg;
    b->gets++;
    for (size_t i = 0; i < b->n; i++) {
        if (csl_cid_equal(&b->cids[i], cid)) {
            *block = malloc(b->n_bytes[i] + 1);
            check(*block != NULL);
            memcpy(*block, b->p[i], b->n_bytes[i]);
            *n = b->n_bytes[i];
            return CSL_OK;
        }
    }
    return csl_fail(diag, CSL_ENOINPUT, "no such block");
}

static enum csl_err take(void *arg, const uint8_t *p, size_t n, struct csl_diag *diag) {
    struct blocks *b = arg;
    (void)p, (void)diag;
    b->given += n;
    return CSL_OK;
}

/* u8: below 128 a leaf of so many bytes; else a node of so many links less 128, each u8 which block, u16 what
 * size it is said to be. */
static void add_block(struct blocks *b, struct csl_reader *r) {
    struct csl_unixfs_link links[128];
    uint8_t what = csl_reader_u8(r), *p = NULL;
    size_t n = what % 128, i = b->n++;
    memset(links, 0, sizeof links);
    if (what < 128 || i == 0) {
        p = calloc(1, n + 1);
        check(p != NULL && csl_cid_of(&b->cids[i], CSL_CID_RAW, p, n) == CSL_OK);
    } else {
        for (size_t k = 0; k < n; k++) {
            links[k].cid = b->cids[csl_reader_u8(r) % i];
            links[k].file_bytes = csl_reader_u16(r);
        }
        check(csl_unixfs_node_encode(&p, &n, links, n) == CSL_OK &&
              csl_cid_of(&b->cids[i], CSL_CID_DAG_PB, p, n) == CSL_OK);
    }
    b->p[i] = p;
    b->n_bytes[i] = n;
}

static void file(const uint8_t *data, size_t size) {
    struct blocks b = {.n = 0};
    struct csl_diag diag = {""};
    struct csl_reader r = csl_reader_of(data, size);
    uint64_t n = 1;
    while (b.n < BLOCKS_MAX && r.left != 0) {
        add_block(&b, &r);
    }
    if (b.n != 0) {
        enum csl_err err = csl_unixfs_export(&b.cids[b.n - 1], FILE_BYTES_MAX, get, &b, take, &b, &n, &diag);
        check(b.given <= FILE_BYTES_MAX && b.gets <= FILE_BYTES_MAX / 512 + CSL_UNIXFS_NODE_SLACK + 1);
        check(err == CSL_OK ? n == b.given : n == 0 && diag.text[0] != '\0');
    }
    for (size_t i = 0; i < b.n; i++) {
        free(b.p[i]);
    }
}

static void answer(const uint8_t *data, size_t size) {
    struct csl_cid cid;
    struct csl_diag diag = {""};
    enum csl_err err = csl__kubo_answer(&cid, (const char *)data, size, "http://node", &diag);
    check(err == CSL_OK ? cid.codec != 0 : cid.codec == 0 && strstr(diag.text, "http://node") != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const decoders[])(const uint8_t *, size_t) = {identifier, node, file, answer};
    if (size != 0) {
        decoders[data[0] % 4](data + 1, size - 1);
    }
    return 0;
}
