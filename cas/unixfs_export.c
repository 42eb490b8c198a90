/* A file's bytes, from blocks that nobody vouches for. */
#include <stdlib.h>

#include "cas/unixfs.h"

struct walk {
    csl_block_get *get;
    void *get_arg;
    csl_unixfs_sink *sink;
    void *sink_arg;
    uint64_t max_bytes, n_blocks;
    struct csl_diag *diag;
    /* The nodes from the root down to where we are. */
    struct {
        struct csl_unixfs_node node;
        size_t next; /* link to follow */
    } stack[CSL_UNIXFS_DEPTH_MAX];
    unsigned depth;
    uint64_t n_file; /* of the root */
};

static enum csl_err fetch(struct walk *w, const struct csl_cid *cid, uint8_t **block, size_t *n) {
    struct csl_cid is;
    char text[CSL_CID_TEXT];
    TRY(w->get(w->get_arg, cid, block, n, w->diag));
    enum csl_err err = *n > CSL_BLOCK_MAX ? csl_fail(w->diag, CSL_EDATA, "block %s has more than %d bytes",
                                                     csl_cid_text(text, cid), CSL_BLOCK_MAX)
                                          : csl_cid_of(&is, cid->codec, *block, *n);
    if (err == CSL_OK && !csl_cid_equal(&is, cid)) {
        err = csl_fail(w->diag, CSL_EAUTH, "block %s holds other bytes than those it is named by",
                       csl_cid_text(text, cid));
    }
    if (err != CSL_OK) {
        free(*block);
        *block = NULL;
    }
    return err;
}

/* What is known of the whole file once its first block is there. */
static enum csl_err begin(struct walk *w, uint64_t n_file) {
    if (n_file > w->max_bytes) {
        return csl_fail(w->diag, CSL_EDATA, "a file of %llu bytes, and %llu are allowed",
                        (unsigned long long)n_file, (unsigned long long)w->max_bytes);
    }
    w->n_file = n_file;
    return CSL_OK;
}

/* Enters a block whose part of the file should have `want` bytes (the root's: whatever it says). */
static enum csl_err enter(struct walk *w, const struct csl_cid *cid, uint64_t want, bool is_root) {
    uint8_t *block = NULL;
    size_t n = 0;
    char text[CSL_CID_TEXT];
    struct csl_unixfs_node node = {0};
    TRY(fetch(w, cid, &block, &n));
    enum csl_err err = CSL_OK;
    if (cid->codec == CSL_CID_RAW) {
        node = (struct csl_unixfs_node){.data = block, .n_data = n, .file_bytes = n};
    } else {
        err = csl_unixfs_node_decode(&node, block, n, w->diag);
        err = err == CSL_OK ? CSL_OK : csl_fail_context(w->diag, err, "block %s", csl_cid_text(text, cid));
    }
    if (err == CSL_OK && is_root) {
        err = begin(w, node.file_bytes);
    } else if (err == CSL_OK && node.file_bytes != want) {
        err =
            csl_fail(w->diag, CSL_EDATA, "block %s is %llu bytes of the file, its parent says %llu",
                     csl_cid_text(text, cid), (unsigned long long)node.file_bytes, (unsigned long long)want);
    }
    if (err == CSL_OK && node.n_links == 0) {
        err = node.n_data == 0 ? CSL_OK : w->sink(w->sink_arg, node.data, node.n_data, w->diag);
    } else if (err == CSL_OK && w->depth == CSL_UNIXFS_DEPTH_MAX) {
        err = csl_fail(w->diag, CSL_EDATA, "block %s is below %d others", csl_cid_text(text, cid), w->depth);
    } else if (err == CSL_OK) {
        w->stack[w->depth].node = node;
        w->stack[w->depth++].next = 0;
        node.links = NULL; /* the stack's */
    }
    csl_unixfs_node_clear(&node);
    free(block);
    return err;
}

static enum csl_err step(struct walk *w) {
    unsigned top = w->depth - 1;
    struct csl_unixfs_node *node = &w->stack[top].node;
    if (w->stack[top].next == node->n_links) {
        csl_unixfs_node_clear(node);
        w->depth--;
        return CSL_OK;
    }
    if (++w->n_blocks > w->n_file / 512 + CSL_UNIXFS_NODE_SLACK) {
        return csl_fail(w->diag, CSL_EDATA, "a file of %llu bytes in more than %llu blocks",
                        (unsigned long long)w->n_file, (unsigned long long)w->n_blocks - 1);
    }
    const struct csl_unixfs_link *link = &node->links[w->stack[top].next++];
    return enter(w, &link->cid, link->file_bytes, false);
}

enum csl_err csl_unixfs_export(const struct csl_cid *root, uint64_t max_bytes, csl_block_get *get,
                               void *get_arg, csl_unixfs_sink *sink, void *sink_arg, uint64_t *n_bytes,
                               struct csl_diag *diag) {
    struct walk *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    w->get = get;
    w->get_arg = get_arg;
    w->sink = sink;
    w->sink_arg = sink_arg;
    w->max_bytes = max_bytes;
    w->diag = diag;
    enum csl_err err = enter(w, root, 0, true);
    while (err == CSL_OK && w->depth != 0) {
        err = step(w);
    }
    while (w->depth != 0) {
        csl_unixfs_node_clear(&w->stack[--w->depth].node);
    }
    if (n_bytes != NULL) {
        *n_bytes = err == CSL_OK ? w->n_file : 0;
    }
    free(w);
    return err;
}
