/* What the image parsers share. Each gets the bytes of one file and writes an empty csl_images. */
#ifndef CSL_NN_IMAGE_INTERNAL_H
#define CSL_NN_IMAGE_INTERNAL_H

#include "nn/image.h"

#define CSL__IMAGE_ELEMENTS_MAX ((size_t)1 << 31)

/* deflate expands no byte to more than 1032: a header that declares more than that is refused unread. */
enum { CSL__DEFLATE_RATIO = 1032 };

/* A file's bytes (borrowed), its name for errors, and where the error goes. */
struct csl__image_file {
    const uint8_t *at;
    size_t n;
    const char *name;
    struct csl_diag *diag;
};

/* Sets *product = a * b, unless that is more than max. */
bool csl__times(size_t *product, size_t a, size_t b, size_t max);

/* Checks the dimensions (none 0, at most CSL__IMAGE_ELEMENTS_MAX elements). *elements may be NULL. */
CSL_MUST_CHECK enum csl_err csl__image_check_shape(size_t *elements, const struct csl_images *shape,
                                                   const struct csl__image_file *f);

/* Takes memory for the shape that is in *out already; on error *out is empty. */
CSL_MUST_CHECK enum csl_err csl__image_alloc(struct csl_images *out, const struct csl__image_file *f);

CSL_MUST_CHECK enum csl_err csl__idx_parse(struct csl_images *out, const struct csl__image_file *f,
                                           size_t max_count);
CSL_MUST_CHECK enum csl_err csl__pnm_parse(struct csl_images *out, const struct csl__image_file *f);
CSL_MUST_CHECK enum csl_err csl__png_parse(struct csl_images *out, const struct csl__image_file *f);
CSL_MUST_CHECK enum csl_err csl__npy_parse(struct csl_images *out, const struct csl__image_file *f,
                                           size_t max_count, enum csl_npy_shape two_dimensional);

bool csl__idx_is(const uint8_t *at, size_t n);
bool csl__npy_is(const uint8_t *at, size_t n);

/* The size in bytes of a whole file, from its first bytes. */
CSL_MUST_CHECK enum csl_err csl__idx_declared(size_t *total, const struct csl__image_file *head);
CSL_MUST_CHECK enum csl_err csl__npy_declared(size_t *total, const struct csl__image_file *head);

enum { CSL__NPY_HEADER_MAX = 1 << 16 };

/* Inflates one gzip member that holds an IDX or .npy file; *bytes is for csl_secret_free. */
CSL_MUST_CHECK enum csl_err csl__image_gunzip(uint8_t **bytes, size_t *n, const struct csl__image_file *f);
bool csl__gzip_is(const uint8_t *at, size_t n);

#endif
