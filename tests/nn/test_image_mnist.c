/* The MNIST test set as published, where it is present (data/mnist, else ../shared/data/mnist); else a skip.
 */
#include "nn/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const folders[] = {"data/mnist", "../shared/data/mnist"};
static char images_path[64], labels_path[64];

static int find_data(void) {
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(images_path, sizeof images_path, "%s/t10k-images-idx3-ubyte.gz", folders[i]);
        snprintf(labels_path, sizeof labels_path, "%s/t10k-labels-idx1-ubyte.gz", folders[i]);
        if (access(images_path, R_OK) == 0 && access(labels_path, R_OK) == 0) {
            return 1;
        }
    }
    return 0;
}

static void test_images(void **state) {
    (void)state;
    struct csl_images im;
    struct csl_diag diag;
    struct csl_normalization unit;
    assert_int_equal(csl_images_load(&im, (const char *const[]){images_path}, 1, NULL, &diag), CSL_OK);
    assert_int_equal(im.count, 10000);
    assert_int_equal(im.channels, 1);
    assert_int_equal(im.height, 28);
    assert_int_equal(im.width, 28);
    double sum = 0;
    for (size_t i = 0; i < im.count * 784; i++) {
        sum += (double)im.data[i];
    }
    assert_true(sum > 0.1324 * 255 * 7840000 && sum < 0.1326 * 255 * 7840000); /* the test set's known mean */
    assert_int_equal(csl_normalization_named(&unit, "unit", &diag), CSL_OK);
    assert_int_equal(csl_images_normalize(&im, &unit, &diag), CSL_OK);
    csl_images_clear(&im);
    struct csl_image_options opt = {.max_count = 100};
    assert_int_equal(csl_images_load(&im, (const char *const[]){images_path}, 1, &opt, &diag), CSL_OK);
    assert_int_equal(im.count, 100);
    csl_images_clear(&im);
}

static void test_labels(void **state) {
    (void)state;
    static const uint8_t first[] = {7, 2, 1, 0, 4, 1, 4, 9, 5, 9};
    struct csl_labels labels;
    struct csl_diag diag;
    assert_int_equal(csl_labels_load(&labels, labels_path, 0, &diag), CSL_OK);
    assert_int_equal(labels.count, 10000);
    assert_memory_equal(labels.data, first, sizeof first);
    csl_labels_clear(&labels);
}

int main(void) {
    if (!find_data()) {
        printf("skip: no MNIST files in data/mnist or ../shared/data/mnist; `make mnist` fetches them\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_images), cmocka_unit_test(test_labels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
