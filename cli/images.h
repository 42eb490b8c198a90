/* The options by which commands take images, and what they mean. */
#ifndef CSL_CLI_IMAGES_H
#define CSL_CLI_IMAGES_H

#include "cli/commands.h"
#include "nn/image.h"

/* Rows of a command's table; S is its options struct, which has a member of that name. */
#define CSL_OPT_IMAGES(S, required)                                                                          \
    CSL_LIST(S, images, "images", "FILE", required, "IDX, PGM, PPM, PNG, .npy (repeatable; gzip too)")
#define CSL_OPT_NPY(S)                                                                                       \
    CSL_STRING(S, npy, "npy", "images|features", false, "how a two-dimensional .npy is meant")
#define CSL_OPT_LABELS(S) CSL_STRING(S, labels, "labels", "FILE", false, "IDX labels, to count what is right")
#define CSL_OPT_COUNT(S) CSL_UINT(S, count, "count", "N", 1, 1u << 24, "only the first N images")

/* Of --npy (NULL: not given) and --count. CSL_EUSAGE for another word. */
CSL_MUST_CHECK enum csl_err csl_images_options(struct csl_image_options *out, const char *npy, uint64_t count,
                                               struct csl_diag *diag);

#endif
