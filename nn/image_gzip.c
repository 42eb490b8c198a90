/* gzip around IDX and .npy: the inner header says how long the file is, so inflating is bounded by it. */
#include "crypto/secret.h"
#include "nn/image_internal.h"

#include <string.h>
#include <zlib.h>

enum { HEAD_BYTES = CSL__NPY_HEADER_MAX + 16 };

struct gunzip {
    const struct csl__image_file *f;
    z_stream z;
    size_t fed; /* bytes of f given to zlib */
    bool ended;
};

bool csl__gzip_is(const uint8_t *at, size_t n) {
    return n >= 3 && at[0] == 0x1f && at[1] == 0x8b && at[2] == 8;
}

/* Inflates up to `room` bytes; fewer only at the end of the member or of the file. */
static enum csl_err inflate_some(struct gunzip *g, uint8_t *out, size_t room, size_t *made) {
    *made = 0;
    while (!g->ended && *made < room) {
        if (g->z.avail_in == 0) {
            size_t left = g->f->n - g->fed, feed = left < (1u << 30) ? left : 1u << 30;
            g->z.next_in = (Bytef *)(uintptr_t)(g->f->at + g->fed); /* zlib only reads it */
            g->z.avail_in = (uInt)feed;
            g->fed += feed;
        }
        size_t chunk = room - *made < (1u << 30) ? room - *made : 1u << 30;
        g->z.next_out = out + *made;
        g->z.avail_out = (uInt)chunk;
        int rc = inflate(&g->z, Z_NO_FLUSH);
        *made += chunk - g->z.avail_out;
        g->ended = rc == Z_STREAM_END;
        if (rc == Z_MEM_ERROR) {
            return csl_fail(g->f->diag, CSL_ENOMEM, "%s: no memory to inflate", g->f->name);
        }
        if (rc != Z_OK && rc != Z_STREAM_END) {
            return csl_fail(g->f->diag, CSL_EDATA, "%s: byte %zu: gzip: %s; fetch the file again", g->f->name,
                            g->fed - g->z.avail_in,
                            rc == Z_BUF_ERROR ? "the file is cut short" : "the data are damaged");
        }
    }
    return CSL_OK;
}

static enum csl_err declared_size(size_t *total, const struct gunzip *g, const uint8_t *head, size_t n) {
    struct csl__image_file inner = *g->f;
    inner.at = head;
    inner.n = n;
    if (csl__npy_is(head, n)) {
        TRY(csl__npy_declared(total, &inner));
    } else if (csl__idx_is(head, n)) {
        TRY(csl__idx_declared(total, &inner));
    } else {
        return csl_fail(g->f->diag, CSL_EDATA,
                        "%s: gzip is read around IDX and .npy only; unpack the file first", g->f->name);
    }
    if (*total / CSL__DEFLATE_RATIO > g->f->n) {
        return csl_fail(g->f->diag, CSL_EDATA,
                        "%s: the header declares %zu bytes, which %zu bytes of gzip cannot hold", g->f->name,
                        *total, g->f->n);
    }
    return CSL_OK;
}

/* The rest after the head, which must fill `total` exactly and end the member and the file. */
static enum csl_err inflate_rest(struct gunzip *g, uint8_t *out, size_t total, size_t have) {
    size_t made = 0, extra = 0;
    uint8_t more;
    if (have < total) {
        TRY(inflate_some(g, out + have, total - have, &made));
    }
    if (have + made == total && !g->ended) {
        TRY(inflate_some(g, &more, 1, &extra));
    }
    if (have + made != total || extra != 0) {
        return csl_fail(g->f->diag, CSL_EDATA, "%s: the header declares %zu bytes, the gzip data hold %s",
                        g->f->name, total, have + made < total ? "fewer" : "more");
    }
    if (g->z.avail_in != 0 || g->fed != g->f->n) {
        return csl_fail(g->f->diag, CSL_EDATA, "%s: byte %zu: data after the end of the gzip data",
                        g->f->name, g->fed - g->z.avail_in);
    }
    return CSL_OK;
}

static enum csl_err gunzip_into(struct gunzip *g, uint8_t *head, uint8_t **bytes, size_t *n) {
    enum csl_err err;
    size_t have, total = 0;
    TRY(inflate_some(g, head, HEAD_BYTES, &have));
    TRY(declared_size(&total, g, head, have));
    uint8_t *out = csl_secret_alloc(total, 1);
    if (out == NULL) {
        return csl_fail(g->f->diag, CSL_ENOMEM, "%s: no memory for %zu bytes", g->f->name, total);
    }
    memcpy(out, head, have < total ? have : total);
    TRY_OUT(inflate_rest(g, out, total, have));
    *bytes = out;
    *n = total;
    return CSL_OK;
out:
    csl_secret_free(out);
    return err;
}

enum csl_err csl__image_gunzip(uint8_t **bytes, size_t *n, const struct csl__image_file *f) {
    struct gunzip g = {.f = f};
    *bytes = NULL;
    *n = 0;
    uint8_t *head = csl_secret_alloc(HEAD_BYTES, 1);
    if (head == NULL || inflateInit2(&g.z, 15 + 16) != Z_OK) {
        csl_secret_free(head);
        return csl_fail(f->diag, CSL_ENOMEM, "%s: no memory to inflate", f->name);
    }
    enum csl_err err = gunzip_into(&g, head, bytes, n);
    (void)inflateEnd(&g.z);
    csl_secret_free(head);
    return err;
}
