/* NumPy's .npy, versions 1 to 3: "\x93NUMPY" major minor, header length (u16, from version 2 on u32), a
 * Python dictionary with descr, fortran_order and shape, then the elements (numpy.lib.format). */
#include "crypto/bytes.h"
#include "nn/image_internal.h"

#include <float.h>
#include <math.h>

enum { NPY_DIMS_MAX = 4, NPY_TEXT_MAX = 32 };

enum npy_type { NPY_U1, NPY_I4, NPY_I8, NPY_F4, NPY_F8, NPY_TYPES };

static const struct {
    const char *descr;
    size_t size;
} types[NPY_TYPES] = {[NPY_U1] = {"|u1", 1},
                      [NPY_I4] = {"<i4", 4},
                      [NPY_I8] = {"<i8", 8},
                      [NPY_F4] = {"<f4", 4},
                      [NPY_F8] = {"<f8", 8}};

struct npy {
    const struct csl__image_file *f;
    size_t at, end; /* of the dictionary that is left to read */
    bool has_descr, has_order, has_shape;
    enum npy_type type;
    size_t n_dims, dims[NPY_DIMS_MAX], elements;
};

bool csl__npy_is(const uint8_t *at, size_t n) {
    return n >= 6 && memcmp(at, "\x93NUMPY", 6) == 0;
}

static enum csl_err bad(const struct npy *p, const char *what) {
    return csl_fail(p->f->diag, CSL_EDATA, "%s: byte %zu of the .npy header: %s", p->f->name, p->at, what);
}

/* The next byte after white space; 0 at the end. */
static uint8_t peek(struct npy *p) {
    while (p->at < p->end && (p->f->at[p->at] == ' ' || p->f->at[p->at] == '\n')) {
        p->at++;
    }
    return p->at < p->end ? p->f->at[p->at] : 0;
}

static bool take(struct npy *p, uint8_t c) {
    if (peek(p) != c) {
        return false;
    }
    p->at++;
    return true;
}

static enum csl_err read_string(struct npy *p, char text[NPY_TEXT_MAX]) {
    uint8_t quote = peek(p);
    if (quote != '\'' && quote != '"') {
        return bad(p, "a quoted string is expected (structured types are not read)");
    }
    size_t n = 0;
    for (p->at++; p->at < p->end && p->f->at[p->at] != quote; p->at++) {
        if (n + 1 >= NPY_TEXT_MAX || p->f->at[p->at] < ' ' || p->f->at[p->at] > '~') {
            return bad(p, "a string is longer than any known one, or not text");
        }
        text[n++] = (char)p->f->at[p->at];
    }
    text[n] = 0;
    return take(p, quote) ? CSL_OK : bad(p, "a string has no end");
}

static enum csl_err read_descr(struct npy *p) {
    char text[NPY_TEXT_MAX];
    TRY(read_string(p, text));
    for (int t = 0; t < NPY_TYPES; t++) {
        if (strcmp(text, types[t].descr) == 0) {
            p->type = (enum npy_type)t;
            return CSL_OK;
        }
    }
    return csl_fail(
        p->f->diag, CSL_EDATA,
        "%s: descr: element type '%s' is not read; save as |u1, <i4, <i8, <f4 or <f8, for example "
        "numpy.save(name, array.astype('<f4'))",
        p->f->name, text);
}

static enum csl_err read_order(struct npy *p) {
    static const char no[] = "False", yes[] = "True";
    (void)peek(p);
    size_t left = p->end - p->at;
    if (left >= sizeof no - 1 && memcmp(p->f->at + p->at, no, sizeof no - 1) == 0) {
        p->at += sizeof no - 1;
        return CSL_OK;
    }
    if (left >= sizeof yes - 1 && memcmp(p->f->at + p->at, yes, sizeof yes - 1) == 0) {
        return csl_fail(
            p->f->diag, CSL_EDATA,
            "%s: fortran_order: column-major arrays are not read; save numpy.ascontiguousarray(array)",
            p->f->name);
    }
    return bad(p, "fortran_order must be True or False");
}

static enum csl_err read_dimension(struct npy *p) {
    size_t v = 0, digits = 0;
    for (; p->at < p->end && p->f->at[p->at] >= '0' && p->f->at[p->at] <= '9'; p->at++, digits++) {
        v = v * 10 + (size_t)(p->f->at[p->at] - '0');
        if (v > CSL__IMAGE_ELEMENTS_MAX) {
            return bad(p, "a dimension is more than 2^31");
        }
    }
    if (digits == 0) {
        return bad(p, "shape must be a tuple of decimal numbers");
    }
    if (v == 0) {
        return bad(p, "a dimension is 0");
    }
    if (p->n_dims == NPY_DIMS_MAX) {
        return bad(p, "shape has more than 4 dimensions");
    }
    if (!csl__times(&p->elements, p->elements, v, CSL__IMAGE_ELEMENTS_MAX)) {
        return bad(p, "shape has more than 2^31 elements");
    }
    p->dims[p->n_dims++] = v;
    return CSL_OK;
}

static enum csl_err read_shape(struct npy *p) {
    if (!take(p, '(')) {
        return bad(p, "shape must be a tuple");
    }
    p->elements = 1;
    while (peek(p) != ')') {
        TRY(read_dimension(p));
        if (!take(p, ',') && peek(p) != ')') {
            return bad(p, "shape: a comma or ) is missing");
        }
    }
    return take(p, ')') ? CSL_OK : bad(p, "shape has no end");
}

static enum csl_err read_entry(struct npy *p) {
    char key[NPY_TEXT_MAX];
    TRY(read_string(p, key));
    if (!take(p, ':')) {
        return bad(p, "a colon is missing");
    }
    bool *seen = strcmp(key, "descr") == 0           ? &p->has_descr
                 : strcmp(key, "fortran_order") == 0 ? &p->has_order
                 : strcmp(key, "shape") == 0         ? &p->has_shape
                                                     : NULL;
    if (seen == NULL || *seen) {
        return csl_fail(p->f->diag, CSL_EDATA, "%s: .npy header: key '%s' is %s", p->f->name, key,
                        seen == NULL ? "not known" : "there twice");
    }
    *seen = true;
    return seen == &p->has_descr ? read_descr(p) : seen == &p->has_order ? read_order(p) : read_shape(p);
}

static enum csl_err read_dictionary(struct npy *p) {
    if (!take(p, '{')) {
        return bad(p, "a dictionary is expected");
    }
    while (peek(p) != '}') {
        TRY(read_entry(p));
        if (!take(p, ',') && peek(p) != '}') {
            return bad(p, "a comma or } is missing");
        }
    }
    p->at++;
    (void)peek(p);
    if (p->at != p->end) {
        return bad(p, "text after the dictionary");
    }
    if (!p->has_descr || !p->has_order || !p->has_shape) {
        return bad(p, "descr, fortran_order or shape is missing");
    }
    return CSL_OK;
}

/* Reads up to the first element, which is then at p->end. */
static enum csl_err read_header(struct npy *p) {
    const struct csl__image_file *f = p->f;
    struct csl_reader r = csl_reader_of(f->at, f->n);
    (void)csl_reader_view(&r, 6);
    unsigned major = csl_reader_u8(&r), minor = csl_reader_u8(&r);
    size_t length = major == 1 ? csl_reader_u16(&r) : csl_reader_u32(&r);
    if (r.bad || !csl__npy_is(f->at, f->n)) {
        return csl_fail(f->diag, CSL_EDATA, "%s: the file ends in its .npy header", f->name);
    }
    if (major < 1 || major > 3 || minor != 0) {
        return csl_fail(f->diag, CSL_EDATA, "%s: byte 6: .npy version %u.%u; 1.0, 2.0 and 3.0 are read",
                        f->name, major, minor);
    }
    p->at = f->n - r.left;
    if (length > CSL__NPY_HEADER_MAX || length > r.left) {
        return csl_fail(f->diag, CSL_EDATA,
                        "%s: byte 8: a header of %zu bytes is declared, %zu bytes are there", f->name, length,
                        r.left);
    }
    p->end = p->at + length;
    return read_dictionary(p);
}

enum csl_err csl__npy_declared(size_t *total, const struct csl__image_file *head) {
    struct npy p = {.f = head};
    TRY(read_header(&p));
    *total = p.end + p.elements * types[p.type].size;
    return CSL_OK;
}

static enum csl_err choose_shape(struct csl_images *out, const struct npy *p,
                                 enum csl_npy_shape two_dimensional) {
    const size_t *d = p->dims;
    if (p->n_dims == 4) {
        *out = (struct csl_images){.count = d[0], .channels = d[1], .height = d[2], .width = d[3]};
    } else if (p->n_dims == 3) {
        *out = (struct csl_images){.count = d[0], .channels = 1, .height = d[1], .width = d[2]};
    } else if (p->n_dims == 2 && two_dimensional == CSL_NPY_IMAGES) {
        *out = (struct csl_images){.count = 1, .channels = 1, .height = d[0], .width = d[1]};
    } else if (p->n_dims == 2 && two_dimensional == CSL_NPY_FEATURES) {
        *out = (struct csl_images){.count = d[0], .channels = 1, .height = 1, .width = d[1]};
    } else if (p->n_dims == 2) {
        return csl_fail(
            p->f->diag, CSL_EDATA,
            "%s: shape (%zu, %zu) is one image of H x W or N inputs of F features; say which, or save the "
            "array as N x H x W",
            p->f->name, d[0], d[1]);
    } else {
        return csl_fail(p->f->diag, CSL_EDATA,
                        "%s: shape has %zu dimension(s); N x H x W or N x C x H x W is read", p->f->name,
                        p->n_dims);
    }
    return CSL_OK;
}

static double element(const uint8_t *at, enum npy_type type) {
    union {
        uint64_t bits;
        double v;
    } f8;
    union {
        uint32_t bits;
        float v;
    } f4;
    switch (type) {
    case NPY_U1:
        return at[0];
    case NPY_I4:
        return (double)(int32_t)csl_load_u32(at);
    case NPY_I8:
        return (double)(int64_t)csl_load_u64(at);
    case NPY_F4:
        f4.bits = csl_load_u32(at);
        return (double)f4.v;
    default:
        f8.bits = csl_load_u64(at);
        return f8.v;
    }
}

static enum csl_err read_elements(struct csl_images *out, const struct npy *p) {
    size_t n = out->count * csl_images_stride(out), size = types[p->type].size;
    for (size_t i = 0; i < n; i++) {
        double v = element(p->f->at + p->end + i * size, p->type);
        if (!(fabs(v) <= (double)FLT_MAX)) {
            return csl_fail(p->f->diag, CSL_EDATA, "%s: element %zu is %g, which is no usable number",
                            p->f->name, i, v);
        }
        out->data[i] = (float)v;
    }
    return CSL_OK;
}

enum csl_err csl__npy_parse(struct csl_images *out, const struct csl__image_file *f, size_t max_count,
                            enum csl_npy_shape two_dimensional) {
    struct npy p = {.f = f};
    struct csl_images shape;
    TRY(read_header(&p));
    TRY(choose_shape(&shape, &p, two_dimensional));
    if (f->n - p.end != p.elements * types[p.type].size) {
        return csl_fail(f->diag, CSL_EDATA,
                        "%s: shape and type declare %zu bytes, %zu are there; write the file again", f->name,
                        p.elements * types[p.type].size, f->n - p.end);
    }
    if (max_count != 0 && max_count < shape.count) {
        shape.count = max_count;
    }
    *out = shape;
    TRY(csl__image_alloc(out, f));
    enum csl_err err = read_elements(out, &p);
    if (err != CSL_OK) {
        csl_images_clear(out);
    }
    return err;
}
