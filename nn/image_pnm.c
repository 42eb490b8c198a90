/* Netpbm gray and colour maps: P2, P5, P3, P6 (netpbm.sourceforge.net/doc/pgm.html, ppm.html). */
#include "nn/image_internal.h"

struct pnm {
    const struct csl__image_file *f;
    size_t at;
    bool ascii;
    size_t channels, width, height, maxval;
};

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* White space, and comments from # to the end of the line. */
static void skip_space(struct pnm *p) {
    const struct csl__image_file *f = p->f;
    while (p->at < f->n && (is_space(f->at[p->at]) || f->at[p->at] == '#')) {
        if (f->at[p->at++] == '#') {
            while (p->at < f->n && f->at[p->at] != '\n' && f->at[p->at] != '\r') {
                p->at++;
            }
        }
    }
}

/* The next decimal number, at most `max`, which follows white space. */
static enum csl_err read_number(struct pnm *p, size_t *out, const char *field, size_t max) {
    const struct csl__image_file *f = p->f;
    skip_space(p);
    size_t start = p->at, v = 0;
    while (p->at < f->n && f->at[p->at] >= '0' && f->at[p->at] <= '9') {
        v = v * 10 + (size_t)(f->at[p->at++] - '0');
        if (v > max) {
            return csl_fail(f->diag, CSL_EDATA, "%s: byte %zu: %s is more than %zu", f->name, start, field,
                            max);
        }
    }
    if (p->at == start) {
        return csl_fail(f->diag, CSL_EDATA, "%s: byte %zu: a decimal number is missing: %s", f->name, start,
                        field);
    }
    *out = v;
    return CSL_OK;
}

static enum csl_err read_header(struct pnm *p) {
    const struct csl__image_file *f = p->f;
    if (f->n < 3 || f->at[0] != 'P' || !(is_space(f->at[2]) || f->at[2] == '#')) {
        return csl_fail(f->diag, CSL_EDATA, "%s: not a PGM or PPM file: it must start with P2, P3, P5 or P6",
                        f->name);
    }
    p->ascii = f->at[1] == '2' || f->at[1] == '3';
    p->channels = f->at[1] == '3' || f->at[1] == '6' ? 3 : 1;
    p->at = 2;
    TRY(read_number(p, &p->width, "width", 65535));
    TRY(read_number(p, &p->height, "height", 65535));
    TRY(read_number(p, &p->maxval, "maximum value", 65535));
    if (p->maxval == 0) {
        return csl_fail(f->diag, CSL_EDATA, "%s: the maximum value is 0; it must be 1 to 65535", f->name);
    }
    if (p->at >= f->n || !is_space(f->at[p->at])) {
        return csl_fail(f->diag, CSL_EDATA, "%s: byte %zu: the samples are missing", f->name, p->at);
    }
    p->at++; /* exactly one byte of white space */
    return CSL_OK;
}

/* Before memory is taken: the bytes that `elements` samples need must be there. */
static enum csl_err check_length(const struct pnm *p, size_t elements) {
    const struct csl__image_file *f = p->f;
    size_t left = f->n - p->at, need;
    if (p->ascii) {
        need = 2 * elements - 1; /* at least a digit each, and a space between */
    } else {
        need = elements * (p->maxval > 255 ? 2 : 1);
    }
    if (left < need || (!p->ascii && left > need)) {
        return csl_fail(
            f->diag, CSL_EDATA,
            "%s: %zu x %zu samples of %zu channel(s) need %s%zu bytes, %zu are there (one image a file)",
            f->name, p->height, p->width, p->channels, p->ascii ? "at least " : "", need, left);
    }
    return CSL_OK;
}

static enum csl_err read_sample(struct pnm *p, size_t *v) {
    const struct csl__image_file *f = p->f;
    size_t start = p->at;
    if (p->ascii) {
        return read_number(p, v, "sample", p->maxval);
    }
    *v = f->at[p->at++];
    if (p->maxval > 255) {
        *v = *v << 8 | f->at[p->at++];
    }
    if (*v > p->maxval) {
        return csl_fail(f->diag, CSL_EDATA, "%s: byte %zu: sample %zu is above the maximum value %zu",
                        f->name, start, *v, p->maxval);
    }
    return CSL_OK;
}

static enum csl_err read_samples(struct csl_images *out, struct pnm *p) {
    size_t plane = out->height * out->width;
    for (size_t i = 0; i < plane; i++) {
        for (size_t c = 0; c < out->channels; c++) {
            size_t v;
            TRY(read_sample(p, &v));
            out->data[c * plane + i] = (float)((double)v * 255.0 / (double)p->maxval);
        }
    }
    if (p->ascii) {
        skip_space(p);
    }
    if (p->at != p->f->n) {
        return csl_fail(p->f->diag, CSL_EDATA, "%s: byte %zu: data after the last sample; one image a file",
                        p->f->name, p->at);
    }
    return CSL_OK;
}

enum csl_err csl__pnm_parse(struct csl_images *out, const struct csl__image_file *f) {
    struct pnm p = {.f = f};
    size_t elements;
    TRY(read_header(&p));
    struct csl_images shape = {.count = 1, .channels = p.channels, .height = p.height, .width = p.width};
    TRY(csl__image_check_shape(&elements, &shape, f));
    TRY(check_length(&p, elements));
    *out = shape;
    TRY(csl__image_alloc(out, f));
    enum csl_err err = read_samples(out, &p);
    if (err != CSL_OK) {
        csl_images_clear(out);
    }
    return err;
}
