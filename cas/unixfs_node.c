/* The wire form of a file's node. */
#include <stdlib.h>
#include <string.h>

#include "cas/unixfs.h"
#include "crypto/bytes.h"

/* Protobuf tags: field number and wire type. */
enum {
    TAG_LINK = 2 << 3 | 2, /* PBNode.Links */
    TAG_DATA = 1 << 3 | 2, /* PBNode.Data */
    TAG_HASH = 1 << 3 | 2, /* PBLink */
    TAG_NAME = 2 << 3 | 2,
    TAG_TSIZE = 3 << 3 | 0,
    TAG_TYPE = 1 << 3 | 0, /* Data */
    TAG_BYTES = 2 << 3 | 2,
    TAG_FILESIZE = 3 << 3 | 0,
    TAG_BLOCKSIZE = 4 << 3 | 0,
    TYPE_RAW = 0,
    TYPE_FILE = 2,
    VARINT_MAX = 10
};

/* ---- Reading ---- */

/* A varint in its shortest form. */
static uint64_t read_varint(struct csl_reader *r) {
    uint64_t v = 0;
    for (unsigned i = 0; i < VARINT_MAX; i++) {
        uint8_t b = csl_reader_u8(r);
        if ((i == VARINT_MAX - 1 && b > 1) || (b == 0 && i != 0)) {
            break;
        }
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if ((b & 0x80) == 0) {
            return v;
        }
    }
    r->bad = true;
    return 0;
}

/* Whether the next field has this tag; takes the tag then. */
static bool next_is(struct csl_reader *r, uint8_t tag) {
    if (r->bad || r->left == 0 || *r->at != tag) {
        return false;
    }
    (void)csl_reader_u8(r);
    return true;
}

static void expect(struct csl_reader *r, uint8_t tag) {
    if (!next_is(r, tag)) {
        r->bad = true;
    }
}

/* The content of a length-delimited field. */
static struct csl_reader read_part(struct csl_reader *r) {
    uint64_t n = read_varint(r);
    if (n > r->left) {
        r->bad = true;
        n = 0;
    }
    const uint8_t *p = csl_reader_view(r, (size_t)n);
    struct csl_reader part = csl_reader_of(p, (size_t)n);
    part.bad = r->bad;
    return part;
}

static enum csl_err read_link(struct csl_unixfs_link *out, struct csl_reader *r, struct csl_diag *diag) {
    struct csl_reader link = read_part(r);
    expect(&link, TAG_HASH);
    struct csl_reader hash = read_part(&link);
    expect(&link, TAG_NAME);
    struct csl_reader name = read_part(&link);
    expect(&link, TAG_TSIZE);
    out->dag_bytes = read_varint(&link);
    if (!csl_reader_done(&link) || name.left != 0) {
        return csl_fail(diag, CSL_EDATA, "a node with a link that is not one of a file");
    }
    return csl_cid_decode(&out->cid, hash.at, hash.left, diag);
}

static size_t count_links(struct csl_reader r) {
    size_t n = 0;
    while (next_is(&r, TAG_LINK) && n <= CSL_UNIXFS_LINKS_MAX) {
        (void)read_part(&r);
        n++;
    }
    return n;
}

static enum csl_err read_links(struct csl_unixfs_node *out, struct csl_reader *r, struct csl_diag *diag) {
    size_t n = count_links(*r);
    if (n > CSL_UNIXFS_LINKS_MAX) {
        return csl_fail(diag, CSL_EDATA, "a node with more than %d links", CSL_UNIXFS_LINKS_MAX);
    }
    out->links = calloc(n + 1, sizeof *out->links);
    if (out->links == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    for (; out->n_links < n; out->n_links++) {
        expect(r, TAG_LINK);
        TRY(read_link(&out->links[out->n_links], r, diag));
    }
    return CSL_OK;
}

/* One size for each link, none zero, and their sum. */
static enum csl_err read_sizes(struct csl_unixfs_node *out, struct csl_reader *r, struct csl_diag *diag) {
    uint64_t sum = out->n_data;
    for (size_t i = 0; i < out->n_links; i++) {
        expect(r, TAG_BLOCKSIZE);
        uint64_t size = read_varint(r);
        if (r->bad || size == 0 || size > CSL_UNIXFS_FILE_MAX || sum > CSL_UNIXFS_FILE_MAX - size) {
            return csl_fail(diag, CSL_EDATA, "a node whose part %zu has no size, or none that is possible",
                            i + 1);
        }
        out->links[i].file_bytes = size;
        sum += size;
    }
    return sum == out->file_bytes ? CSL_OK
                                  : csl_fail(diag, CSL_EDATA, "a node of %llu bytes whose parts have %llu",
                                             (unsigned long long)out->file_bytes, (unsigned long long)sum);
}

static enum csl_err read_unixfs(struct csl_unixfs_node *out, struct csl_reader *r, struct csl_diag *diag) {
    expect(r, TAG_TYPE);
    uint64_t type = read_varint(r);
    if (r->bad || (type != TYPE_FILE && type != TYPE_RAW)) {
        return csl_fail(diag, CSL_EDATA, "a node that is no file (UnixFS type %llu)",
                        (unsigned long long)type);
    }
    if (next_is(r, TAG_BYTES)) {
        struct csl_reader data = read_part(r);
        out->data = data.at;
        out->n_data = data.left;
    }
    /* Old writers leave out the size of an empty file. */
    out->file_bytes = next_is(r, TAG_FILESIZE) ? read_varint(r) : 0;
    if (out->n_data != 0 && out->n_links != 0) {
        return csl_fail(diag, CSL_EDATA, "a node with both links and data");
    }
    TRY(read_sizes(out, r, diag));
    return csl_reader_done(r)
               ? CSL_OK
               : csl_fail(diag, CSL_EDATA,
                          "a node with more than the file's parts and sizes (import it without mode, time "
                          "or names)");
}

static enum csl_err read_node(struct csl_unixfs_node *out, struct csl_reader *r, struct csl_diag *diag) {
    TRY(read_links(out, r, diag));
    expect(r, TAG_DATA);
    struct csl_reader data = read_part(r);
    if (!csl_reader_done(r)) {
        return csl_fail(diag, CSL_EDATA, "a block that is not a dag-pb node in its one encoding");
    }
    return read_unixfs(out, &data, diag);
}

enum csl_err csl_unixfs_node_decode(struct csl_unixfs_node *out, const uint8_t *block, size_t n,
                                    struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    struct csl_reader r = csl_reader_of(block, n);
    enum csl_err err = n > CSL_BLOCK_MAX
                           ? csl_fail(diag, CSL_EDATA, "a node of more than %d bytes", CSL_BLOCK_MAX)
                           : read_node(out, &r, diag);
    if (err != CSL_OK) {
        csl_unixfs_node_clear(out);
    }
    return err;
}

void csl_unixfs_node_clear(struct csl_unixfs_node *node) {
    free(node->links);
    memset(node, 0, sizeof *node);
}

/* ---- Writing ---- */

static size_t varint_bytes(uint64_t v) {
    size_t n = 1;
    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

static void write_varint(struct csl_writer *w, uint64_t v) {
    while (v >= 0x80) {
        csl_writer_u8(w, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    csl_writer_u8(w, (uint8_t)v);
}

static void write_field(struct csl_writer *w, uint8_t tag, uint64_t v) {
    csl_writer_u8(w, tag);
    write_varint(w, v);
}

static void write_link(struct csl_writer *w, const struct csl_unixfs_link *link) {
    uint8_t cid[CSL_CID_BYTES];
    csl_cid_bytes(cid, &link->cid);
    write_field(w, TAG_LINK, 2 + sizeof cid + 2 + 1 + varint_bytes(link->dag_bytes));
    write_field(w, TAG_HASH, sizeof cid);
    csl_writer_bytes(w, cid, sizeof cid);
    write_field(w, TAG_NAME, 0);
    write_field(w, TAG_TSIZE, link->dag_bytes);
}

enum csl_err csl_unixfs_node_encode(uint8_t **block, size_t *n, const struct csl_unixfs_link *links,
                                    size_t n_links) {
    enum { LINK_MAX = 2 + 2 + CSL_CID_BYTES + 2 + 1 + VARINT_MAX, SIZE_FIELD_MAX = 1 + VARINT_MAX };
    size_t room = n_links * (LINK_MAX + SIZE_FIELD_MAX) + 64;
    uint64_t sum = 0;
    size_t n_data = 0;
    *block = NULL;
    *n = 0;
    for (size_t i = 0; i < n_links; i++) {
        sum += links[i].file_bytes;
        n_data += 1 + varint_bytes(links[i].file_bytes);
    }
    uint8_t *out = n_links <= CSL_UNIXFS_LINKS_MAX ? malloc(room) : NULL;
    if (out == NULL) {
        return n_links <= CSL_UNIXFS_LINKS_MAX ? CSL_ENOMEM : CSL_EDATA;
    }
    struct csl_writer w = csl_writer_of(out, room);
    for (size_t i = 0; i < n_links; i++) {
        write_link(&w, &links[i]);
    }
    write_field(&w, TAG_DATA, 2 + 1 + varint_bytes(sum) + n_data);
    write_field(&w, TAG_TYPE, TYPE_FILE);
    write_field(&w, TAG_FILESIZE, sum);
    for (size_t i = 0; i < n_links; i++) {
        write_field(&w, TAG_BLOCKSIZE, links[i].file_bytes);
    }
    if (w.bad || w.n > CSL_BLOCK_MAX) {
        free(out);
        return CSL_EDATA;
    }
    *block = out;
    *n = w.n;
    return CSL_OK;
}
