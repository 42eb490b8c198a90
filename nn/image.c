#include "nn/image.h"

#include "crypto/secret.h"
#include "nn/image_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (8 * CSL__IMAGE_ELEMENTS_MAX + 2 * CSL__NPY_HEADER_MAX)

bool csl__times(size_t *product, size_t a, size_t b, size_t max) {
    if (b != 0 && a > max / b) {
        return false;
    }
    *product = a * b;
    return true;
}

size_t csl_images_stride(const struct csl_images *images) {
    return images->channels * images->height * images->width;
}

void csl_images_clear(struct csl_images *images) {
    csl_secret_free(images->data);
    *images = (struct csl_images){0};
}

enum csl_err csl__image_check_shape(size_t *elements, const struct csl_images *shape,
                                    const struct csl__image_file *f) {
    size_t n;
    if (!csl__times(&n, shape->channels, shape->height, CSL__IMAGE_ELEMENTS_MAX) ||
        !csl__times(&n, n, shape->width, CSL__IMAGE_ELEMENTS_MAX) ||
        !csl__times(&n, n, shape->count, CSL__IMAGE_ELEMENTS_MAX) || n == 0) {
        return csl_fail(f->diag, CSL_EDATA,
                        "%s: %zu images of %zu x %zu x %zu are none, or more than 2^31 elements; load fewer",
                        f->name, shape->count, shape->channels, shape->height, shape->width);
    }
    if (elements != NULL) {
        *elements = n;
    }
    return CSL_OK;
}

enum csl_err csl__image_alloc(struct csl_images *out, const struct csl__image_file *f) {
    size_t n;
    enum csl_err err = csl__image_check_shape(&n, out, f);
    out->data = err == CSL_OK ? csl_secret_alloc(n, sizeof *out->data) : NULL;
    if (err == CSL_OK && out->data == NULL) {
        err = csl_fail(f->diag, CSL_ENOMEM, "%s: no memory for %zu elements", f->name, n);
    }
    if (err != CSL_OK) {
        *out = (struct csl_images){0};
    }
    return err;
}

static enum csl_err parse_plain(struct csl_images *out, const struct csl__image_file *f,
                                const struct csl_image_options *opt) {
    static const uint8_t png_magic[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (csl__npy_is(f->at, f->n)) {
        return csl__npy_parse(out, f, opt->max_count, opt->npy_shape);
    }
    if (csl__idx_is(f->at, f->n)) {
        return csl__idx_parse(out, f, opt->max_count);
    }
    if (f->n >= sizeof png_magic && memcmp(f->at, png_magic, sizeof png_magic) == 0) {
        return csl__png_parse(out, f);
    }
    if (f->n >= 2 && f->at[0] == 'P' && f->at[1] != 0 && strchr("2356", f->at[1]) != NULL) {
        return csl__pnm_parse(out, f);
    }
    if (f->n == 0) {
        return csl_fail(f->diag, CSL_EDATA, "%s: the file is empty", f->name);
    }
    return csl_fail(
        f->diag, CSL_EDATA,
        "%s: byte 0: not IDX, PGM or PPM (P2, P3, P5, P6), PNG or .npy; convert the file to one of them",
        f->name);
}

enum csl_err csl_images_parse(struct csl_images *out, const uint8_t *bytes, size_t n_bytes, const char *name,
                              const struct csl_image_options *opt, struct csl_diag *diag) {
    static const struct csl_image_options defaults = {0};
    struct csl__image_file f = {.at = bytes, .n = n_bytes, .name = name, .diag = diag};
    uint8_t *inflated = NULL;
    *out = (struct csl_images){0};
    if (csl__gzip_is(bytes, n_bytes)) {
        size_t n;
        TRY(csl__image_gunzip(&inflated, &n, &f));
        f.at = inflated;
        f.n = n;
    }
    enum csl_err err = parse_plain(out, &f, opt == NULL ? &defaults : opt);
    csl_secret_free(inflated);
    return err;
}

static enum csl_err read_all(uint8_t *bytes, size_t n, int fd, const char *path, struct csl_diag *diag) {
    for (size_t done = 0; done < n;) {
        ssize_t got = read(fd, bytes + done, n - done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return csl_fail(diag, CSL_EIO, "%s: byte %zu of %zu: %s", path, done, n,
                            got == 0 ? "the file became shorter while it was read" : strerror(errno));
        }
        done += (size_t)got;
    }
    return CSL_OK;
}

static enum csl_err read_open_file(uint8_t **bytes, size_t *n, int fd, const char *path,
                                   struct csl_diag *diag) {
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return csl_fail(diag, CSL_ENOINPUT, "%s: not a regular file; name the image files themselves", path);
    }
    if (st.st_size < 0 || (uintmax_t)st.st_size > FILE_BYTES_MAX) {
        return csl_fail(diag, CSL_EDATA, "%s: %jd bytes are more than 2^31 elements need; split the file",
                        path, (intmax_t)st.st_size);
    }
    *n = (size_t)st.st_size;
    *bytes = csl_secret_alloc(*n + 1, 1); /* a byte more, since an empty file is for the parser to refuse */
    if (*bytes == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "%s: no memory for %zu bytes", path, *n);
    }
    enum csl_err err = read_all(*bytes, *n, fd, path, diag);
    if (err != CSL_OK) {
        csl_secret_free(*bytes);
        *bytes = NULL;
    }
    return err;
}

static enum csl_err read_file(uint8_t **bytes, size_t *n, const char *path, struct csl_diag *diag) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block; it is refused */
    if (fd < 0) {
        return csl_fail(diag, CSL_ENOINPUT, "%s: %s", path, strerror(errno));
    }
    enum csl_err err = read_open_file(bytes, n, fd, path, diag);
    (void)close(fd);
    return err;
}

enum csl_err csl_labels_load(struct csl_labels *out, const char *path, size_t max_count,
                             struct csl_diag *diag) {
    uint8_t *bytes = NULL;
    size_t n = 0;
    *out = (struct csl_labels){0};
    TRY(read_file(&bytes, &n, path, diag));
    enum csl_err err = csl_labels_parse(out, bytes, n, path, max_count, diag);
    csl_secret_free(bytes);
    return err;
}

static enum csl_err load_one(struct csl_images *out, const char *path, const struct csl_image_options *opt,
                             struct csl_diag *diag) {
    uint8_t *bytes = NULL;
    size_t n = 0;
    TRY(read_file(&bytes, &n, path, diag));
    enum csl_err err = csl_images_parse(out, bytes, n, path, opt, diag);
    csl_secret_free(bytes);
    return err;
}

/* Loads files until max_count images are there; *used says how many files that took. */
static enum csl_err load_parts(struct csl_images *parts, size_t *used, const char *const *paths,
                               size_t n_paths, const struct csl_image_options *opt, struct csl_diag *diag) {
    struct csl_image_options left = *opt;
    size_t count = 0;
    for (*used = 0; *used < n_paths && (opt->max_count == 0 || count < opt->max_count); ++*used) {
        struct csl_images *part = &parts[*used];
        left.max_count = opt->max_count == 0 ? 0 : opt->max_count - count;
        TRY(load_one(part, paths[*used], &left, diag));
        count += part->count;
        if (part->channels != parts->channels || part->height != parts->height ||
            part->width != parts->width) {
            return csl_fail(diag, CSL_EDATA,
                            "%s: images of %zu x %zu x %zu, but %s has %zu x %zu x %zu; load like ones",
                            paths[*used], part->channels, part->height, part->width, paths[0],
                            parts->channels, parts->height, parts->width);
        }
    }
    return CSL_OK;
}

static enum csl_err join_parts(struct csl_images *out, const struct csl_images *parts, size_t used,
                               const struct csl__image_file *f) {
    *out = parts[0];
    out->count = 0;
    for (size_t i = 0; i < used; i++) {
        out->count += parts[i].count;
    }
    TRY(csl__image_alloc(out, f));
    float *to = out->data;
    for (size_t i = 0; i < used; i++) {
        size_t n = parts[i].count * csl_images_stride(&parts[i]);
        memcpy(to, parts[i].data, n * sizeof *to);
        to += n;
    }
    return CSL_OK;
}

enum csl_err csl_images_load(struct csl_images *out, const char *const *paths, size_t n_paths,
                             const struct csl_image_options *opt, struct csl_diag *diag) {
    static const struct csl_image_options defaults = {0};
    enum csl_err err;
    size_t used = 0;
    *out = (struct csl_images){0};
    if (n_paths == 0) {
        return csl_fail(diag, CSL_EUSAGE, "no image file is named");
    }
    struct csl_images *parts = calloc(n_paths, sizeof *parts);
    if (parts == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "no memory for %zu files", n_paths);
    }
    TRY_OUT(load_parts(parts, &used, paths, n_paths, opt == NULL ? &defaults : opt, diag));
    if (used == 1) {
        *out = parts[0];
        parts[0] = (struct csl_images){0};
    } else {
        struct csl__image_file all = {.name = paths[0], .diag = diag};
        TRY_OUT(join_parts(out, parts, used, &all));
    }
out:
    for (size_t i = 0; i < n_paths; i++) {
        csl_images_clear(&parts[i]);
    }
    free(parts);
    return err;
}
