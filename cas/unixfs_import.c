/* A file's blocks, from its bytes in order. */
#include <stdlib.h>
#include <string.h>

#include "cas/unixfs.h"

const struct csl_unixfs_profile csl_unixfs_256k = {.chunk_bytes = 256 << 10, .max_links = 174};
const struct csl_unixfs_profile csl_unixfs_1m = {.chunk_bytes = 1 << 20, .max_links = 1024};

/* The links of the node that is being filled at a height. */
struct level {
    struct csl_unixfs_link *links;
    size_t n;
};

/* A binary tree of one-byte chunks up to CSL_UNIXFS_FILE_MAX is the highest. */
enum { LEVELS_MAX = 64 };

struct csl_unixfs_import {
    struct csl_unixfs_profile profile;
    csl_block_put *put;
    void *put_arg;
    uint8_t *chunk;
    size_t n_chunk;
    uint64_t n_file;
    struct level levels[LEVELS_MAX]; /* 0 names leaves */
    unsigned n_levels;
};

enum csl_err csl_unixfs_import_new(struct csl_unixfs_import **out, const struct csl_unixfs_profile *profile,
                                   csl_block_put *put, void *put_arg) {
    *out = NULL;
    if (profile->chunk_bytes < 1 || profile->chunk_bytes > CSL_BLOCK_MAX || profile->max_links < 2 ||
        profile->max_links > CSL_UNIXFS_LINKS_MAX) {
        return CSL_EUSAGE;
    }
    struct csl_unixfs_import *im = calloc(1, sizeof *im);
    uint8_t *chunk = malloc(profile->chunk_bytes);
    if (im == NULL || chunk == NULL) {
        free(im);
        free(chunk);
        return CSL_ENOMEM;
    }
    im->profile = *profile;
    im->put = put;
    im->put_arg = put_arg;
    im->chunk = chunk;
    *out = im;
    return CSL_OK;
}

void csl_unixfs_import_free(struct csl_unixfs_import *im) {
    if (im == NULL) {
        return;
    }
    for (unsigned i = 0; i < im->n_levels; i++) {
        free(im->levels[i].links);
    }
    free(im->chunk);
    free(im);
}

static enum csl_err emit(struct csl_unixfs_import *im, struct csl_cid *cid, uint8_t codec,
                         const uint8_t *block, size_t n, struct csl_diag *diag) {
    TRY(csl_cid_of(cid, codec, block, n));
    return im->put == NULL ? CSL_OK : im->put(im->put_arg, cid, block, n, diag);
}

/* The node of a level, which is empty afterwards. */
static enum csl_err close_level(struct csl_unixfs_import *im, struct level *l, struct csl_unixfs_link *out,
                                struct csl_diag *diag) {
    uint8_t *block;
    size_t n;
    TRY(csl_unixfs_node_encode(&block, &n, l->links, l->n));
    *out = (struct csl_unixfs_link){.dag_bytes = n};
    for (size_t i = 0; i < l->n; i++) {
        out->dag_bytes += l->links[i].dag_bytes;
        out->file_bytes += l->links[i].file_bytes;
    }
    l->n = 0;
    enum csl_err err = emit(im, &out->cid, CSL_CID_DAG_PB, block, n, diag);
    free(block);
    return err;
}

static enum csl_err make_level(struct csl_unixfs_import *im, unsigned height) {
    if (height < im->n_levels) {
        return CSL_OK;
    }
    if (height >= LEVELS_MAX) {
        return CSL_EDATA;
    }
    im->levels[height].links = calloc(im->profile.max_links, sizeof(struct csl_unixfs_link));
    if (im->levels[height].links == NULL) {
        return CSL_ENOMEM;
    }
    im->n_levels = height + 1;
    return CSL_OK;
}

/* A full node is closed only when another link follows it, so that a root is seen to be one. */
static enum csl_err add(struct csl_unixfs_import *im, unsigned height, struct csl_unixfs_link link,
                        struct csl_diag *diag) {
    for (;; height++) {
        TRY(make_level(im, height));
        struct level *l = &im->levels[height];
        if (l->n < im->profile.max_links) {
            l->links[l->n++] = link;
            return CSL_OK;
        }
        struct csl_unixfs_link full;
        TRY(close_level(im, l, &full, diag));
        l->links[l->n++] = link;
        link = full;
    }
}

static enum csl_err close_chunk(struct csl_unixfs_import *im, struct csl_diag *diag) {
    struct csl_unixfs_link leaf = {.dag_bytes = im->n_chunk, .file_bytes = im->n_chunk};
    TRY(emit(im, &leaf.cid, CSL_CID_RAW, im->chunk, im->n_chunk, diag));
    im->n_chunk = 0;
    return add(im, 0, leaf, diag);
}

enum csl_err csl_unixfs_import_write(struct csl_unixfs_import *im, const uint8_t *p, size_t n,
                                     struct csl_diag *diag) {
    if (n > CSL_UNIXFS_FILE_MAX - im->n_file) {
        return csl_fail(diag, CSL_EDATA, "a file of more than %llu bytes",
                        (unsigned long long)CSL_UNIXFS_FILE_MAX);
    }
    im->n_file += n;
    while (n != 0) {
        size_t room = im->profile.chunk_bytes - im->n_chunk, part = n < room ? n : room;
        memcpy(im->chunk + im->n_chunk, p, part);
        im->n_chunk += part;
        p += part;
        n -= part;
        if (im->n_chunk == im->profile.chunk_bytes) {
            TRY(close_chunk(im, diag));
        }
    }
    return CSL_OK;
}

enum csl_err csl_unixfs_import_end(struct csl_unixfs_import *im, struct csl_cid *root,
                                   struct csl_diag *diag) {
    memset(root, 0, sizeof *root);
    if (im->n_chunk != 0 || im->n_file == 0) {
        TRY(close_chunk(im, diag));
    }
    for (unsigned height = 0;; height++) {
        struct level *l = &im->levels[height];
        if (height + 1 == im->n_levels && l->n == 1) {
            *root = l->links[0].cid;
            return CSL_OK;
        }
        struct csl_unixfs_link node;
        TRY(close_level(im, l, &node, diag));
        TRY(add(im, height + 1, node, diag));
    }
}
