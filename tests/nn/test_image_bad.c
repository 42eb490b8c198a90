/* Image files that must be refused: cut at every byte, extended, with every header byte changed, with sizes
 * that overflow or that the bytes cannot hold. */
#include "nn/image.h"

#include "tests/nn/image_make.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct csl_image_options options = {.npy_shape = CSL_NPY_IMAGES};

/* Parses an exact copy, so that a sanitizer sees every step outside. */
static enum csl_err parse(const uint8_t *at, size_t n, struct csl_diag *diag) {
    struct csl_images im;
    uint8_t *copy = malloc(n > 0 ? n : 1);
    assert_non_null(copy);
    memcpy(copy, at, n);
    diag->text[0] = 0;
    enum csl_err err = csl_images_parse(&im, copy, n, "bad.file", &options, diag);
    if (err == CSL_OK) {
        assert_true(im.count * csl_images_stride(&im) > 0 && im.data != NULL);
    } else {
        assert_true(im.count == 0 && im.data == NULL);
        assert_non_null(strstr(diag->text, "bad.file: ")); /* the file is named, and something is said */
        assert_true(strlen(diag->text) > 15);
    }
    csl_images_clear(&im);
    free(copy);
    return err;
}

static void expect_bad(const struct made *m, const char *words) {
    struct csl_diag diag;
    assert_int_equal(parse(m->at, m->n, &diag), CSL_EDATA);
    if (strstr(diag.text, words) == NULL) {
        fail_msg("'%s' is not in: %s", words, diag.text);
    }
}

/* One good file of each kind. */
enum { KINDS = 12 };
static struct made good(int kind) {
    static const char dictionary[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    const float f4[6] = {1, 2, 3, 4, 5, 6};
    const uint8_t rows[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    struct made m = {.n = 0}, inner;
    switch (kind) {
    case 0:
        return make_idx(3, (const uint32_t[]){2, 3, 4});
    case 1:
        return make_idx(4, (const uint32_t[]){2, 1, 3, 4});
    case 2:
        inner = make_idx(3, (const uint32_t[]){2, 3, 4});
        return make_gzip(&inner);
    case 3:
        return make_npy(1, dictionary, f4, sizeof f4);
    case 4:
        return make_npy(3, dictionary, f4, sizeof f4);
    case 5:
        inner = make_npy(2, dictionary, f4, sizeof f4);
        return make_gzip(&inner);
    case 6:
        made_text(&m, "P5\n3 2\n255\n");
        made_pixels(&m, 6);
        return m;
    case 7:
        made_text(&m, "P6 1 2 65535\n");
        made_pixels(&m, 12);
        return m;
    case 8:
        made_text(&m, "P3 1 2 9 0 1 2 3 4 5");
        return m;
    case 9:
        return make_png(3, 2, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, rows, 3);
    case 10:
        return make_png(2, 2, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_ADAM7, rows, 6);
    default:
        return make_png(2, 2, 2, PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE, rows, 1);
    }
}

static void test_cut_at_every_byte(void **state) {
    (void)state;
    struct csl_diag diag;
    for (int kind = 0; kind < KINDS; kind++) {
        struct made m = good(kind);
        assert_int_equal(parse(m.at, m.n, &diag), CSL_OK);
        for (size_t n = 0; n < m.n; n++) {
            if (parse(m.at, n, &diag) != CSL_EDATA) {
                fail_msg("kind %d cut to %zu of %zu bytes was accepted", kind, n, m.n);
            }
        }
    }
}

static void test_extended(void **state) {
    (void)state;
    struct csl_diag diag;
    for (int kind = 0; kind < KINDS; kind++) {
        struct made m = good(kind);
        made_add(&m, "x", 1);
        if (parse(m.at, m.n, &diag) != CSL_EDATA) {
            fail_msg("kind %d with a byte more was accepted", kind);
        }
    }
}

/* Whatever a byte becomes, the parser answers with a tensor or a sentence. */
static void test_every_byte_changed(void **state) {
    (void)state;
    struct csl_diag diag;
    for (int kind = 0; kind < KINDS; kind++) {
        struct made m = good(kind);
        size_t refused = 0;
        for (size_t at = 0; at < m.n; at++) {
            const uint8_t old = m.at[at];
            for (unsigned v = 0; v < 256; v += at < 16 ? 1 : 17) {
                m.at[at] = (uint8_t)v;
                refused += parse(m.at, m.n, &diag) != CSL_OK;
            }
            m.at[at] = old;
        }
        assert_true(refused > 256);
    }
}

static void test_idx_headers(void **state) {
    (void)state;
    struct made m = {.n = 0};
    made_add(&m, "\0\0\x0d\x03", 4); /* floats */
    made_pixels(&m, 12);
    expect_bad(&m, "byte 2");
    m.n = 0;
    made_add(&m, "\0\0\x08\x05", 4);
    made_pixels(&m, 40);
    expect_bad(&m, "5 dimensions");
    m.n = 0;
    made_add(&m, "\0\0\x08\x03", 4);
    made_be32(&m, 0x10000), made_be32(&m, 0x10000), made_be32(&m, 0x10000);
    expect_bad(&m, "2^31");
    m.n = 0;
    made_add(&m, "\0\0\x08\x03", 4);
    made_be32(&m, 0xffffffff), made_be32(&m, 0xffffffff), made_be32(&m, 0);
    expect_bad(&m, "2^31");
    m.n = 0;
    made_add(&m, "\0\0\x08\x03", 4);
    made_be32(&m, 0), made_be32(&m, 28), made_be32(&m, 28);
    expect_bad(&m, "dimension 0 is 0");
    m.n = 0;
    made_add(&m, "\0\0\x08\x03", 4);
    made_be32(&m, 60000), made_be32(&m, 28), made_be32(&m, 28);
    expect_bad(&m, "47040000 bytes of elements, 0 are there");
    m.n = 0;
    made_text(&m, "GIF89a..........");
    expect_bad(&m, "not IDX");
}

static void test_pnm_headers(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"P5 0 2 255\n", "load fewer"},
        {"P5 65536 2 255\n", "width is more than 65535"},
        {"P5 3 99999999999999999999 255\n", "height"},
        {"P5 3 2 0\n", "maximum value is 0"},
        {"P5 3 2 65536\n", "maximum value"},
        {"P5 -3 2 255\n", "number is missing"},
        {"P5 3 2 255", "samples are missing"},
        {"P5 65535 32768 1\n", "need"},
        {"P2 2 1 9 1 10", "sample is more"},
        {"P2 2 1 9 1 2 3", "after the last sample"},
        {"P2 65535 32767 9 1 2", "need"},
        {"P5 1 1 9\n\x0a", "above the maximum"},
        {"P4 1 1\n\x80", "not IDX"},
        {"P5x3 2 255\n", "P5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct made m = {.n = 0};
        made_text(&m, cases[i].text);
        expect_bad(&m, cases[i].words);
    }
}

static void test_npy_headers(void **state) {
    (void)state;
    static const struct {
        const char *dictionary, *words;
    } cases[] = {
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1, 2, 3)}", "'>f4' is not read"},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (1, 2, 3)}", "astype"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1, 2, 3)}", "'|O'"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 2, 3)}", "structured"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2, 3)}", "column-major"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1, 2, 3)}", "True or False"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,)}", "1 dimension"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': ()}", "0 dimension"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 2, 3)}", "more than 4"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 0, 3)}", "dimension is 0"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, -2, 3)}", "decimal"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999, 2, 3)}", "2^31"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (65536, 65536, 3)}", "2^31"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (60000, 28, 28)}",
         "188160000 bytes, 24 are there"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2 3)}", "comma"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3", "missing"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3)}", "there twice"},
        {"{'descr': '<f4', 'colour': False, 'shape': (1, 2, 3)}", "not known"},
        {"{'descr': '<f4', 'shape': (1, 2, 3)}", "is missing"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3)} os.system('x')",
         "after the dictionary"},
        {"{'descr': '<f4<f4<f4<f4<f4<f4<f4<f4<f4<f4<f4<f4', 'shape': (1, 2, 3)}", "longer"},
        {"['descr']", "dictionary"},
        {"{'descr' '<f4'}", "colon"},
    };
    const float data[6] = {1, 2, 3, 4, 5, 6};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct made m = make_npy(1, cases[i].dictionary, data, sizeof data);
        expect_bad(&m, cases[i].words);
    }
    struct made m =
        make_npy(4, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3)}", data, sizeof data);
    expect_bad(&m, "version 4.0");
    m = make_npy(2, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3)}", data, sizeof data);
    m.at[11] = 0xff; /* 4 GB of header */
    expect_bad(&m, "header of");
}

static void test_npy_values(void **state) {
    (void)state;
    const double bad[] = {NAN, INFINITY, -INFINITY, 1e300};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const double data[2] = {1, bad[i]};
        struct made m =
            make_npy(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 2)}", data, sizeof data);
        expect_bad(&m, "element 1");
    }
}

static void test_gzip(void **state) {
    (void)state;
    struct made text = {.n = 0}, idx = make_idx(3, (const uint32_t[]){2, 3, 4}), m;
    made_text(&text, "P5 1 1 255\nx");
    m = make_gzip(&text);
    expect_bad(&m, "IDX and .npy only");
    m = make_gzip(&idx);
    m = make_gzip(&m);
    expect_bad(&m, "IDX and .npy only");
    m = make_gzip(&idx);
    m.at[m.n - 8] ^= 1; /* the checksum */
    expect_bad(&m, "damaged");
    idx.n--;
    m = make_gzip(&idx);
    expect_bad(&m, "fewer");
    idx.n += 5;
    m = make_gzip(&idx);
    expect_bad(&m, "more");
    struct made two = make_gzip(&text), huge = {.n = 0};
    idx = make_idx(3, (const uint32_t[]){2, 3, 4});
    m = make_gzip(&idx);
    made_add(&m, two.at, two.n); /* a second member */
    expect_bad(&m, "after the end");
    made_add(&huge, "\0\0\x08\x03", 4);
    made_be32(&huge, 30000), made_be32(&huge, 256), made_be32(&huge, 256);
    m = make_gzip(&huge);
    expect_bad(&m, "cannot hold");
}

/* Sizes that the bytes cannot hold are refused before memory is taken. */
static void test_png_bombs(void **state) {
    (void)state;
    struct made m = good(9);
    const uint8_t huge[13] = {0, 0, 0xff, 0xff, 0, 0, 0x7f, 0xff, 8, 0, 0, 0, 0};
    memcpy(m.at + 16, huge, sizeof huge);
    uLong crc = crc32(0, m.at + 12, 17);
    for (int i = 0; i < 4; i++) {
        m.at[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
    }
    expect_bad(&m, "cannot be in a file");
    m.at[16] = 0x7f; /* wider than any limit */
    crc = crc32(0, m.at + 12, 17);
    for (int i = 0; i < 4; i++) {
        m.at[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
    }
    expect_bad(&m, "PNG:");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_at_every_byte),  cmocka_unit_test(test_extended),
        cmocka_unit_test(test_every_byte_changed), cmocka_unit_test(test_idx_headers),
        cmocka_unit_test(test_pnm_headers),        cmocka_unit_test(test_npy_headers),
        cmocka_unit_test(test_npy_values),         cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_png_bombs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
