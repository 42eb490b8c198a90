/* Image files as float tensors, and their normalisation.
 *
 * Formats, told apart by their first bytes and never by their names:
 *   IDX    unsigned bytes, 3 dimensions (N x H x W) or 4 (N x C x H x W)
 *   PGM    P2, P5 (one image, one channel), 8 or 16 bit
 *   PPM    P3, P6 (one image, three channels), 8 or 16 bit
 *   PNG    gray (1 channel) or RGB and palette (3 channels), 1 to 16 bit; alpha or transparency is refused;
 *          samples as stored, no gamma
 *   .npy   versions 1 to 3, C order, dtype u1, i4, i8, f4, f8, little-endian;
 *          shapes N x H x W, N x C x H x W, and two-dimensional ones as enum csl_npy_shape says
 *   gzip   of an IDX or .npy file; inflates to no more than the size that the inner header declares
 *
 * Pixel values are in raw units: 0..255, whatever the file's sample depth (v * 255 / maxval). Numbers of a
 * .npy file are kept as they stand. A file never says how it was normalised: the caller declares it.
 *
 * Limits: at most 2^31 elements and no dimension of 0, NaN and infinity are refused, every declared size is
 * checked against the bytes that are there before memory is taken. Errors name the file, the offset or field,
 * the reason, and what to do.
 */
#ifndef CSL_NN_IMAGE_H
#define CSL_NN_IMAGE_H

#include "crypto/err.h"

/* count images of channels x height x width, image-major (NCHW). init with {0}; csl_images_clear wipes and
 * frees. */
struct csl_images {
    size_t count, channels, height, width;
    float *data;
};

/* How a two-dimensional .npy array is to be read; every other format ignores it. */
enum csl_npy_shape {
    CSL_NPY_UNDECLARED, /* refused, and the error says what to declare */
    CSL_NPY_IMAGES,     /* H x W: one image */
    CSL_NPY_FEATURES    /* N x F: N inputs of 1 x 1 x F */
};

struct csl_image_options {
    size_t max_count; /* decode at most so many images; 0: all */
    enum csl_npy_shape npy_shape;
};

void csl_images_clear(struct csl_images *images);

/* Elements of one image: channels * height * width. */
size_t csl_images_stride(const struct csl_images *images);

/* Reads the files one after another into one tensor; all must have the same channels, height and width.
 * opt may be NULL: all images, nothing declared. CSL_ENOINPUT, CSL_EDATA, CSL_EIO, CSL_ENOMEM; then *out is
 * empty. */
CSL_MUST_CHECK enum csl_err csl_images_load(struct csl_images *out, const char *const *paths, size_t n_paths,
                                            const struct csl_image_options *opt, struct csl_diag *diag);

/* The same from the bytes of one file; name stands for it in errors. */
CSL_MUST_CHECK enum csl_err csl_images_parse(struct csl_images *out, const uint8_t *bytes, size_t n_bytes,
                                             const char *name, const struct csl_image_options *opt,
                                             struct csl_diag *diag);

/* Class labels of an IDX1 file of unsigned bytes (or its gzip). init with {0}. */
struct csl_labels {
    size_t count;
    uint8_t *data;
};

void csl_labels_clear(struct csl_labels *labels);
CSL_MUST_CHECK enum csl_err csl_labels_load(struct csl_labels *out, const char *path, size_t max_count,
                                            struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_labels_parse(struct csl_labels *out, const uint8_t *bytes, size_t n_bytes,
                                             const char *name, size_t max_count, struct csl_diag *diag);

/* X(enumerator, command-line name, lo, hi): the input interval that the model is bounded over */
#define CSL_NORMALIZE_LIST(X)                                                                                \
    X(CSL_NORMALIZE_RAW, "raw", 0.0, 255.0)                                                                  \
    X(CSL_NORMALIZE_UNIT, "unit", 0.0, 1.0)                                                                  \
    X(CSL_NORMALIZE_CENTERED, "centered", -1.0, 1.0)                                                         \
    X(CSL_NORMALIZE_MNIST, "mnist", (0.0 - 0.1307) / 0.3081, (1.0 - 0.1307) / 0.3081)

enum csl_normalize {
    CSL_NORMALIZE_NONE, /* "none": values as they stand, over an interval that the caller must give */
#define CSL_NORMALIZE_ENUM(e, name, lo, hi) e,
    CSL_NORMALIZE_LIST(CSL_NORMALIZE_ENUM)
#undef CSL_NORMALIZE_ENUM
        CSL_NORMALIZE_COUNT
};

/* A declared normalisation and the closed interval that its values lie in. */
struct csl_normalization {
    enum csl_normalize kind;
    double lo, hi;
};

const char *csl_normalize_name(enum csl_normalize kind);

/* kind other than NONE with its interval. CSL_EUSAGE for another name, and for "none", which has no
 * interval of its own; diag lists the names. */
CSL_MUST_CHECK enum csl_err csl_normalization_named(struct csl_normalization *out, const char *name,
                                                    struct csl_diag *diag);

/* CSL_NORMALIZE_NONE over lo..hi. CSL_EUSAGE unless both are finite and lo < hi. */
CSL_MUST_CHECK enum csl_err csl_normalization_none(struct csl_normalization *out, double lo, double hi,
                                                   struct csl_diag *diag);

/* In place. For RAW..MNIST every value must lie in 0..255 (a .npy file of other floats is refused), for NONE
 * in lo..hi; NaN never passes. CSL_EDATA names image, index and value; the values are then untouched.
 * Afterwards every value lies in lo..hi. */
CSL_MUST_CHECK enum csl_err csl_images_normalize(struct csl_images *images,
                                                 const struct csl_normalization *how, struct csl_diag *diag);

#endif
