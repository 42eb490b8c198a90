/* Files as blocks: UnixFS in dag-pb nodes, as IPFS has them.
 *
 * A file is cut into chunks of one size, each a raw block (a leaf). Nodes name up to max_links blocks in
 * order, level above level, until one is left, whose CID names the file. A file of one chunk is that leaf
 * alone, also an empty one. The same bytes and profile give the same CID in every implementation.
 *
 * A node is   2: { 1: CID, 2: "", 3: size of all blocks below } ...  1: { 1: 2, 3: file size, 4: size ... }
 * in just this order of protobuf fields: links before data, which is not the order of their numbers. So
 * protobuf-c, which packs by number, cannot write it and would read too much; the codec here is by hand, and
 * reads the one encoding of a node and no other.
 * Sources: ipld.io/specs/codecs/dag-pb, specs.ipfs.tech/unixfs.
 *
 * Nothing is secret here; what is read is hostile.
 */
#ifndef CSL_CAS_UNIXFS_H
#define CSL_CAS_UNIXFS_H

#include "cas/cid.h"

enum {
    CSL_BLOCK_MAX = 2 << 20,        /* bytes of a block: what IPFS nodes exchange */
    CSL_UNIXFS_LINKS_MAX = 8192,    /* of a node */
    CSL_UNIXFS_DEPTH_MAX = 12,      /* nodes above a leaf */
    CSL_UNIXFS_NODE_SLACK = 1 << 10 /* blocks that are always allowed; see csl_unixfs_export */
};
/* The largest file: what a depth of 12 reaches is beyond it in both profiles. */
#define CSL_UNIXFS_FILE_MAX ((uint64_t)1 << 48)

/* How a file is cut. */
struct csl_unixfs_profile {
    uint32_t chunk_bytes; /* 1..CSL_BLOCK_MAX */
    uint32_t max_links;   /* 2..CSL_UNIXFS_LINKS_MAX */
};
extern const struct csl_unixfs_profile csl_unixfs_256k; /* 256 KiB, 174: what Kubo always did */
extern const struct csl_unixfs_profile csl_unixfs_1m;   /* 1 MiB, 1024: unixfs-v1-2025 */

/* ---- Import ---- */

/* Takes a block, children before their parents; the root is the last. */
typedef enum csl_err csl_block_put(void *arg, const struct csl_cid *cid, const uint8_t *block, size_t n,
                                   struct csl_diag *diag);

/* Holds one chunk, and for each level the links of one node. */
struct csl_unixfs_import;
/* put NULL: only the CID is wanted. CSL_EUSAGE: not a profile. */
CSL_MUST_CHECK enum csl_err csl_unixfs_import_new(struct csl_unixfs_import **out,
                                                  const struct csl_unixfs_profile *profile,
                                                  csl_block_put *put, void *put_arg);
/* The file's next bytes, in any pieces. After an error only free is of use. */
CSL_MUST_CHECK enum csl_err csl_unixfs_import_write(struct csl_unixfs_import *im, const uint8_t *p, size_t n,
                                                    struct csl_diag *diag);
/* The file's end. */
CSL_MUST_CHECK enum csl_err csl_unixfs_import_end(struct csl_unixfs_import *im, struct csl_cid *root,
                                                  struct csl_diag *diag);
void csl_unixfs_import_free(struct csl_unixfs_import *im); /* NULL is allowed */

/* ---- Export ---- */

/* Gives the bytes of a block, malloc'ed, at most CSL_BLOCK_MAX of them. They are checked by the caller. */
typedef enum csl_err csl_block_get(void *arg, const struct csl_cid *cid, uint8_t **block, size_t *n,
                                   struct csl_diag *diag);
/* Takes the file's next bytes. */
typedef enum csl_err csl_unixfs_sink(void *arg, const uint8_t *p, size_t n, struct csl_diag *diag);

/* Gives the file that root names to sink, in order; *n_bytes (may be NULL) is its size. Every block is
 * checked against its CID, every size against what its parent says of it, and nothing is given beyond
 * max_bytes. A part is never empty, and a file of n bytes takes at most n / 512 + CSL_UNIXFS_NODE_SLACK
 * blocks: so a few blocks that name each other many times make neither a long file nor a long work that they
 * did not state.
 * CSL_EAUTH a block is not what its CID says; CSL_EDATA a node that is malformed, or too deep, too large or
 * not a file; what get or sink returned. What sink got before an error is the beginning of nothing. */
CSL_MUST_CHECK enum csl_err csl_unixfs_export(const struct csl_cid *root, uint64_t max_bytes,
                                              csl_block_get *get, void *get_arg, csl_unixfs_sink *sink,
                                              void *sink_arg, uint64_t *n_bytes, struct csl_diag *diag);

/* ---- Nodes ---- */

struct csl_unixfs_link {
    struct csl_cid cid;
    uint64_t dag_bytes;  /* of all blocks below, repeated ones repeatedly; not checked */
    uint64_t file_bytes; /* of the part of the file */
};

/* Either links, or the bytes of a leaf. */
struct csl_unixfs_node {
    struct csl_unixfs_link *links;
    size_t n_links;
    const uint8_t *data; /* borrowed from the block */
    size_t n_data;
    uint64_t file_bytes;
};
/* Decodes the one encoding of a file's node, old ones with CIDv0 links and data in dag-pb leaves as well.
 * Clear it. On error *out is zero. CSL_EDATA, CSL_ENOMEM. */
CSL_MUST_CHECK enum csl_err csl_unixfs_node_decode(struct csl_unixfs_node *out, const uint8_t *block,
                                                   size_t n, struct csl_diag *diag);
void csl_unixfs_node_clear(struct csl_unixfs_node *node);
/* The node of these links, all CIDv1; malloc'ed. CSL_EDATA when it would be larger than a block. */
CSL_MUST_CHECK enum csl_err csl_unixfs_node_encode(uint8_t **block, size_t *n,
                                                   const struct csl_unixfs_link *links, size_t n_links);

#endif
