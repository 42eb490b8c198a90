#include "cli/images.h"

#include <string.h>

enum csl_err csl_images_options(struct csl_image_options *out, const char *npy, uint64_t count,
                                struct csl_diag *diag) {
    *out = (struct csl_image_options){.max_count = count, .npy_shape = CSL_NPY_IMAGES};
    if (npy != NULL && strcmp(npy, "features") == 0) {
        out->npy_shape = CSL_NPY_FEATURES;
    } else if (npy != NULL && strcmp(npy, "images") != 0) {
        return csl_fail(diag, CSL_EUSAGE, "--npy is images or features, not \"%.40s\"", npy);
    }
    return CSL_OK;
}
