/* All image parsers, the labels and the normalisation, from bytes. The first byte chooses the options. */
#include "nn/image.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    struct csl_image_options opt = {.max_count = data[0] >> 2,
                                    .npy_shape = (enum csl_npy_shape)(data[0] % 3)};
    struct csl_images images;
    struct csl_labels labels;
    struct csl_normalization how;
    struct csl_diag diag;
    if (csl_images_parse(&images, data + 1, size - 1, "fuzz", &opt, &diag) == CSL_OK) {
        size_t n = images.count * csl_images_stride(&images);
        if (n == 0 || csl_normalization_named(&how, "mnist", &diag) != CSL_OK) {
            abort();
        }
        if (csl_images_normalize(&images, &how, &diag) == CSL_OK) {
            for (size_t i = 0; i < n; i++) {
                if (!((double)images.data[i] >= how.lo && (double)images.data[i] <= how.hi)) {
                    abort();
                }
            }
        }
    } else if (images.data != NULL || images.count != 0) {
        abort();
    }
    csl_images_clear(&images);
    if (csl_labels_parse(&labels, data + 1, size - 1, "fuzz", opt.max_count, &diag) == CSL_OK &&
        labels.count == 0) {
        abort();
    }
    csl_labels_clear(&labels);
    return 0;
}
