/* IDX (yann.lecun.com/exdb/mnist): 00 00 type dimensions, then each dimension as a big-endian u32, then the
 * elements. Only unsigned bytes (type 08) occur in the public data sets. */
#include "crypto/secret.h"
#include "nn/image_internal.h"

#include <string.h>

enum { IDX_UBYTE = 0x08, IDX_DIMS_MAX = 4 };

struct idx_header {
    size_t n_dims, dims[IDX_DIMS_MAX];
    size_t at; /* where the elements start */
    size_t elements;
};

bool csl__idx_is(const uint8_t *at, size_t n) {
    return n >= 4 && at[0] == 0 && at[1] == 0 && at[2] >= 0x08 && at[2] <= 0x0e && at[3] >= 1;
}

static size_t load_be32(const uint8_t *p) {
    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

static enum csl_err read_header(struct idx_header *h, const struct csl__image_file *f) {
    if (!csl__idx_is(f->at, f->n)) {
        return csl_fail(f->diag, CSL_EDATA,
                        "%s: not an IDX file: it must start with 00 00 08 and a dimension count", f->name);
    }
    if (f->at[2] != IDX_UBYTE) {
        return csl_fail(f->diag, CSL_EDATA,
                        "%s: byte 2: element type 0x%02x; only unsigned bytes (0x08) are read", f->name,
                        f->at[2]);
    }
    h->n_dims = f->at[3];
    if (h->n_dims > IDX_DIMS_MAX) {
        return csl_fail(f->diag, CSL_EDATA, "%s: byte 3: %zu dimensions; at most 4 are read", f->name,
                        h->n_dims);
    }
    h->at = 4 + 4 * h->n_dims;
    if (f->n < h->at) {
        return csl_fail(f->diag, CSL_EDATA, "%s: the file ends in its header, at byte %zu of %zu", f->name,
                        f->n, h->at);
    }
    h->elements = 1;
    for (size_t i = 0; i < h->n_dims; i++) {
        h->dims[i] = load_be32(f->at + 4 + 4 * i);
        if (!csl__times(&h->elements, h->elements, h->dims[i], CSL__IMAGE_ELEMENTS_MAX)) {
            return csl_fail(f->diag, CSL_EDATA,
                            "%s: byte %zu: dimension %zu is %zu, more than 2^31 elements in all", f->name,
                            4 + 4 * i, i, h->dims[i]);
        }
        if (h->dims[i] == 0) {
            return csl_fail(f->diag, CSL_EDATA, "%s: byte %zu: dimension %zu is 0", f->name, 4 + 4 * i, i);
        }
    }
    return CSL_OK;
}

static enum csl_err check_length(const struct idx_header *h, const struct csl__image_file *f) {
    if (f->n - h->at != h->elements) {
        return csl_fail(f->diag, CSL_EDATA,
                        "%s: the header declares %zu bytes of elements, %zu are there; fetch the file again",
                        f->name, h->elements, f->n - h->at);
    }
    return CSL_OK;
}

enum csl_err csl__idx_declared(size_t *total, const struct csl__image_file *head) {
    struct idx_header h;
    TRY(read_header(&h, head));
    *total = h.at + h.elements;
    return CSL_OK;
}

enum csl_err csl__idx_parse(struct csl_images *out, const struct csl__image_file *f, size_t max_count) {
    struct idx_header h;
    TRY(read_header(&h, f));
    if (h.n_dims < 3) {
        return csl_fail(f->diag, CSL_EDATA, "%s: byte 3: %zu dimension%s; images have 3 or 4 (%s)", f->name,
                        h.n_dims, h.n_dims == 1 ? "" : "s",
                        h.n_dims == 1 ? "is this the labels file?" : "N x H x W");
    }
    TRY(check_length(&h, f));
    out->count = max_count != 0 && max_count < h.dims[0] ? max_count : h.dims[0];
    out->channels = h.n_dims == 4 ? h.dims[1] : 1;
    out->height = h.dims[h.n_dims - 2];
    out->width = h.dims[h.n_dims - 1];
    TRY(csl__image_alloc(out, f));
    size_t n = out->count * csl_images_stride(out);
    for (size_t i = 0; i < n; i++) {
        out->data[i] = (float)f->at[h.at + i];
    }
    return CSL_OK;
}

static enum csl_err labels_from_idx(struct csl_labels *out, const struct csl__image_file *f,
                                    size_t max_count) {
    struct idx_header h;
    TRY(read_header(&h, f));
    if (h.n_dims != 1) {
        return csl_fail(f->diag, CSL_EDATA,
                        "%s: byte 3: %zu dimensions; labels have 1 (is this the images file?)", f->name,
                        h.n_dims);
    }
    TRY(check_length(&h, f));
    size_t count = max_count != 0 && max_count < h.elements ? max_count : h.elements;
    out->data = csl_secret_alloc(count, 1);
    if (out->data == NULL) {
        return csl_fail(f->diag, CSL_ENOMEM, "%s: no memory for %zu labels", f->name, count);
    }
    memcpy(out->data, f->at + h.at, count);
    out->count = count;
    return CSL_OK;
}

enum csl_err csl_labels_parse(struct csl_labels *out, const uint8_t *bytes, size_t n_bytes, const char *name,
                              size_t max_count, struct csl_diag *diag) {
    struct csl__image_file f = {.at = bytes, .n = n_bytes, .name = name, .diag = diag};
    uint8_t *inflated = NULL;
    *out = (struct csl_labels){0};
    if (csl__gzip_is(bytes, n_bytes)) {
        size_t n;
        TRY(csl__image_gunzip(&inflated, &n, &f));
        f.at = inflated;
        f.n = n;
    }
    enum csl_err err = labels_from_idx(out, &f, max_count);
    csl_secret_free(inflated);
    return err;
}

void csl_labels_clear(struct csl_labels *labels) {
    csl_secret_free(labels->data);
    *labels = (struct csl_labels){0};
}
