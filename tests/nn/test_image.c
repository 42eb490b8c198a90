/* Every image format read back, files on disk, and the normalisations. */
#include "nn/image.h"

#include "tests/nn/image_make.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static struct csl_images parse(const struct made *m, const struct csl_image_options *opt) {
    struct csl_images images;
    struct csl_diag diag = {{0}};
    if (csl_images_parse(&images, m->at, m->n, "made", opt, &diag) != CSL_OK) {
        fail_msg("%s", diag.text);
    }
    return images;
}

static void expect_shape(const struct csl_images *im, size_t count, size_t channels, size_t height,
                         size_t width) {
    assert_int_equal(im->count, count);
    assert_int_equal(im->channels, channels);
    assert_int_equal(im->height, height);
    assert_int_equal(im->width, width);
}

static void expect_pixels(const struct csl_images *im) {
    for (size_t i = 0; i < im->count * csl_images_stride(im); i++) {
        assert_true(im->data[i] == (float)(uint8_t)(7 * i));
    }
}

static void test_idx(void **state) {
    (void)state;
    struct made m3 = make_idx(3, (const uint32_t[]){5, 3, 4}),
                m4 = make_idx(4, (const uint32_t[]){2, 3, 4, 5});
    struct made zipped = make_gzip(&m3);
    struct csl_images im = parse(&m3, NULL);
    expect_shape(&im, 5, 1, 3, 4);
    expect_pixels(&im);
    csl_images_clear(&im);
    im = parse(&m4, NULL);
    expect_shape(&im, 2, 3, 4, 5);
    expect_pixels(&im);
    csl_images_clear(&im);
    im = parse(&zipped, &(struct csl_image_options){.max_count = 2});
    expect_shape(&im, 2, 1, 3, 4);
    expect_pixels(&im);
    csl_images_clear(&im);
    assert_null(im.data);
}

static void test_labels(void **state) {
    (void)state;
    struct made plain = make_idx(1, (const uint32_t[]){6}), zipped = make_gzip(&plain);
    struct made images = make_idx(3, (const uint32_t[]){1, 2, 2});
    struct csl_labels labels;
    struct csl_diag diag;
    assert_int_equal(csl_labels_parse(&labels, plain.at, plain.n, "labels", 0, &diag), CSL_OK);
    assert_int_equal(labels.count, 6);
    assert_int_equal(labels.data[5], 35);
    csl_labels_clear(&labels);
    assert_int_equal(csl_labels_parse(&labels, zipped.at, zipped.n, "labels", 4, &diag), CSL_OK);
    assert_int_equal(labels.count, 4);
    csl_labels_clear(&labels);
    assert_int_equal(csl_labels_parse(&labels, images.at, images.n, "labels", 0, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "images file"));
    struct csl_images im;
    assert_int_equal(csl_images_parse(&im, plain.at, plain.n, "images", NULL, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "labels file"));
}

static void expect_values(const struct csl_images *im, const double *want) {
    for (size_t i = 0; i < im->count * csl_images_stride(im); i++) {
        assert_true(fabs((double)im->data[i] - want[i]) < 1e-4);
    }
}

static void test_pnm(void **state) {
    (void)state;
    struct made m = {.n = 0}, wide = {.n = 0}, text = {.n = 0}, colour = {.n = 0}, colour_text = {.n = 0};
    made_text(&m, "P5\n# a comment\n4 #another\n3\n255\n");
    made_pixels(&m, 12);
    struct csl_images im = parse(&m, NULL);
    expect_shape(&im, 1, 1, 3, 4);
    expect_pixels(&im);
    csl_images_clear(&im);
    made_text(&wide, "P5 2 1 1000\n");
    made_add(&wide, "\x03\xe8\x01\xf4", 4);
    im = parse(&wide, NULL);
    expect_values(&im, (const double[]){255, 127.5});
    csl_images_clear(&im);
    made_text(&text, "P2\n3 1\n15 # depth\n0 15\n5 # end\n\n");
    im = parse(&text, NULL);
    expect_values(&im, (const double[]){0, 255, 85});
    csl_images_clear(&im);
    made_text(&colour, "P6 2 1 255\n\x01\x02\x03\x04\x05\x06");
    im = parse(&colour, NULL);
    expect_shape(&im, 1, 3, 1, 2);
    expect_values(&im, (const double[]){1, 4, 2, 5, 3, 6});
    csl_images_clear(&im);
    made_text(&colour_text, "P3 1 2 255 1 2 3 4 5 6");
    im = parse(&colour_text, NULL);
    expect_shape(&im, 1, 3, 2, 1);
    expect_values(&im, (const double[]){1, 4, 2, 5, 3, 6});
    csl_images_clear(&im);
}

static void check_png(int depth, int type, int interlace, const uint8_t *rows, size_t row_bytes,
                      unsigned width, size_t channels, const double *want) {
    struct made m = make_png(width, 2, depth, type, interlace, rows, row_bytes);
    struct csl_images im = parse(&m, NULL);
    expect_shape(&im, 1, channels, 2, width);
    expect_values(&im, want);
    csl_images_clear(&im);
}

static void test_png(void **state) {
    (void)state;
    const uint8_t gray[] = {0, 100, 255, 3, 4, 5}, bits[] = {0x80, 0x40}, pairs[] = {0x1b, 0xe4};
    const uint8_t deep[] = {0xff, 0xff, 0x80, 0x00, 0, 1, 0, 0};
    const uint8_t rgb[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    for (int interlace = PNG_INTERLACE_NONE; interlace <= PNG_INTERLACE_ADAM7; interlace++) {
        check_png(8, PNG_COLOR_TYPE_GRAY, interlace, gray, 3, 3, 1, (const double[]){0, 100, 255, 3, 4, 5});
        check_png(1, PNG_COLOR_TYPE_GRAY, interlace, bits, 1, 2, 1, (const double[]){255, 0, 0, 255});
        check_png(2, PNG_COLOR_TYPE_GRAY, interlace, pairs, 1, 4, 1,
                  (const double[]){0, 85, 170, 255, 255, 170, 85, 0});
        check_png(16, PNG_COLOR_TYPE_GRAY, interlace, deep, 4, 2, 1,
                  (const double[]){255, 32768 / 257.0, 1 / 257.0, 0});
        check_png(8, PNG_COLOR_TYPE_RGB, interlace, rgb, 6, 2, 3,
                  (const double[]){1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12});
        check_png(2, PNG_COLOR_TYPE_PALETTE, interlace, pairs, 1, 2, 3,
                  (const double[]){1, 40, 250, 7, 2, 50, 251, 8, 3, 60, 252, 9});
    }
    struct csl_images im;
    struct csl_diag diag;
    struct made alpha = make_png(1, 2, 8, PNG_COLOR_TYPE_RGBA, 0, rgb, 4);
    assert_int_equal(csl_images_parse(&im, alpha.at, alpha.n, "a.png", NULL, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "alpha"));
}

static void check_npy(unsigned version, const char *dictionary, const void *data, size_t n,
                      const double *want) {
    struct made m = make_npy(version, dictionary, data, n), zipped = make_gzip(&m);
    struct csl_images im = parse(&m, NULL);
    expect_shape(&im, 1, 1, 2, 2);
    expect_values(&im, want);
    csl_images_clear(&im);
    im = parse(&zipped, NULL);
    expect_values(&im, want);
    csl_images_clear(&im);
}

static void test_npy(void **state) {
    (void)state;
    const double want[] = {0, -1.5, 255, 3}, whole[] = {0, -1, 255, 3};
    const float f4[] = {0, -1.5f, 255, 3};
    const int32_t i4[] = {0, -1, 255, 3};
    const int64_t i8[] = {0, -1, 255, 3};
    const uint8_t u1[] = {0, 7, 255, 3};
    for (unsigned version = 1; version <= 3; version++) {
        check_npy(version, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 2), }   ", f4, 16, want);
        check_npy(version, "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 2, 2), }", want, 32,
                  want);
        check_npy(version, "{\"shape\":(1,2,2),\"descr\":\"<i4\",\"fortran_order\":False}", i4, 16, whole);
        check_npy(version, "{'descr': '<i8', 'fortran_order': False, 'shape': (1, 2, 2)}", i8, 32, whole);
        check_npy(version, "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 2)}", u1, 4,
                  (const double[]){0, 7, 255, 3});
    }
}

static void test_npy_two_dimensions(void **state) {
    (void)state;
    const uint8_t data[6] = {1, 2, 3, 4, 5, 6};
    struct made m = make_npy(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3)}", data, 6);
    struct csl_images im;
    struct csl_diag diag;
    assert_int_equal(csl_images_parse(&im, m.at, m.n, "two.npy", NULL, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "say which"));
    im = parse(&m, &(struct csl_image_options){.npy_shape = CSL_NPY_IMAGES});
    expect_shape(&im, 1, 1, 2, 3);
    csl_images_clear(&im);
    im = parse(&m, &(struct csl_image_options){.npy_shape = CSL_NPY_FEATURES, .max_count = 1});
    expect_shape(&im, 1, 1, 1, 3);
    csl_images_clear(&im);
}

/* A file of the test's own, removed by the caller. */
static void write_file(char path[64], const struct made *m) {
    strcpy(path, "/tmp/csl_test_image_XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, m->at, m->n), (ssize_t)m->n);
    close(fd);
}

static void test_files(void **state) {
    (void)state;
    struct made idx = make_idx(3, (const uint32_t[]){3, 2, 2}),
                other = make_idx(3, (const uint32_t[]){1, 2, 3});
    struct made gray = make_png(2, 2, 8, PNG_COLOR_TYPE_GRAY, 0, (const uint8_t[]){9, 8, 7, 6}, 2),
                empty = {.n = 0};
    char a[64], b[64], c[64], d[64];
    write_file(a, &idx), write_file(b, &gray), write_file(c, &other), write_file(d, &empty);
    struct csl_images im;
    struct csl_diag diag;
    assert_int_equal(csl_images_load(&im, (const char *const[]){a, b, a}, 3, NULL, &diag), CSL_OK);
    expect_shape(&im, 7, 1, 2, 2);
    assert_true(im.data[12] == 9 && im.data[15] == 6 && im.data[16] == 0 && im.data[27] == 77);
    csl_images_clear(&im);
    struct csl_image_options opt = {.max_count = 4};
    assert_int_equal(csl_images_load(&im, (const char *const[]){a, b, "/nonexistent"}, 3, &opt, &diag),
                     CSL_OK);
    expect_shape(&im, 4, 1, 2, 2);
    csl_images_clear(&im);
    opt.max_count = 2;
    assert_int_equal(csl_images_load(&im, (const char *const[]){a}, 1, &opt, &diag), CSL_OK);
    expect_shape(&im, 2, 1, 2, 2);
    csl_images_clear(&im);
    assert_int_equal(csl_images_load(&im, (const char *const[]){a, c}, 2, NULL, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, c));
    assert_null(im.data);
    assert_int_equal(csl_images_load(&im, (const char *const[]){a, d}, 2, NULL, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "empty"));
    assert_int_equal(csl_images_load(&im, (const char *const[]){a, "/nonexistent"}, 2, NULL, &diag),
                     CSL_ENOINPUT);
    assert_non_null(strstr(diag.text, "/nonexistent"));
    assert_int_equal(csl_images_load(&im, (const char *const[]){"/tmp"}, 1, NULL, &diag), CSL_ENOINPUT);
    assert_int_equal(csl_images_load(&im, (const char *const[]){"/dev/zero"}, 1, NULL, &diag), CSL_ENOINPUT);
    assert_int_equal(csl_images_load(&im, NULL, 0, NULL, &diag), CSL_EUSAGE);
    struct csl_labels labels;
    assert_int_equal(csl_labels_load(&labels, a, 0, &diag), CSL_EDATA);
    assert_int_equal(csl_labels_load(&labels, "/nonexistent", 0, &diag), CSL_ENOINPUT);
    unlink(a), unlink(b), unlink(c), unlink(d);
}

static void test_normalize(void **state) {
    (void)state;
    static const char *const names[] = {"raw", "unit", "centered", "mnist"};
    static const double at_100[] = {100, 100 / 255.0, 100 / 127.5 - 1, (100 / 255.0 - 0.1307) / 0.3081};
    struct csl_diag diag;
    struct csl_normalization how;
    for (int k = 0; k < 4; k++) {
        float data[] = {0, 255, 100};
        struct csl_images im = {.count = 1, .channels = 1, .height = 1, .width = 3, .data = data};
        assert_int_equal(csl_normalization_named(&how, names[k], &diag), CSL_OK);
        assert_string_equal(csl_normalize_name(how.kind), names[k]);
        assert_int_equal(csl_images_normalize(&im, &how, &diag), CSL_OK);
        assert_true(fabs((double)data[0] - how.lo) < 1e-6 && fabs((double)data[1] - how.hi) < 1e-6);
        assert_true((double)data[0] >= how.lo && (double)data[1] <= how.hi);
        assert_true(fabs((double)data[2] - at_100[k]) < 1e-5);
    }
    assert_int_equal(csl_normalization_named(&how, "MNIST", &diag), CSL_EUSAGE);
    assert_non_null(strstr(diag.text, "centered"));
    assert_int_equal(csl_normalization_named(&how, "none", &diag), CSL_EUSAGE);
    assert_non_null(strstr(diag.text, "interval"));
    assert_int_equal(csl_normalization_none(&how, 1, 1, &diag), CSL_EUSAGE);
    assert_int_equal(csl_normalization_none(&how, NAN, 1, &diag), CSL_EUSAGE);
    assert_int_equal(csl_normalization_none(&how, 0, INFINITY, &diag), CSL_EUSAGE);
}

static void test_normalize_refuses(void **state) {
    (void)state;
    struct csl_diag diag;
    struct csl_normalization how;
    const float bad[] = {-1, 255.5f, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        float data[] = {1, 2, 3, bad[i]};
        struct csl_images im = {.count = 2, .channels = 1, .height = 1, .width = 2, .data = data};
        assert_int_equal(csl_normalization_named(&how, "unit", &diag), CSL_OK);
        assert_int_equal(csl_images_normalize(&im, &how, &diag), CSL_EDATA);
        assert_non_null(strstr(diag.text, "image 1, element 1"));
        assert_true(data[0] == 1 && data[2] == 3); /* untouched */
        assert_int_equal(csl_normalization_none(&how, -0.5, 3, &diag), CSL_OK);
        assert_int_equal(csl_images_normalize(&im, &how, &diag), CSL_EDATA);
        data[3] = -0.5f;
        assert_int_equal(csl_images_normalize(&im, &how, &diag), CSL_OK);
        assert_true(data[3] == -0.5f);
        assert_int_equal(csl_images_normalize(&im, &(struct csl_normalization){0}, &diag), CSL_EUSAGE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_pnm),
        cmocka_unit_test(test_png),
        cmocka_unit_test(test_npy),
        cmocka_unit_test(test_npy_two_dimensions),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_normalize),
        cmocka_unit_test(test_normalize_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
