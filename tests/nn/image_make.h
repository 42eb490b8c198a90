/* Image files made in memory, for the tests of the parsers. */
#ifndef CSL_TESTS_IMAGE_MAKE_H
#define CSL_TESTS_IMAGE_MAKE_H

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MADE_MAX = 8192 };

struct made {
    uint8_t at[MADE_MAX];
    size_t n;
};

static inline void made_add(struct made *m, const void *data, size_t n) {
    if (n > MADE_MAX - m->n) {
        abort();
    }
    memcpy(m->at + m->n, data, n);
    m->n += n;
}

static inline void made_text(struct made *m, const char *text) {
    made_add(m, text, strlen(text));
}

static inline void made_be32(struct made *m, uint32_t v) {
    const uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    made_add(m, b, 4);
}

/* n bytes 0, 7, 14, ... */
static inline void made_pixels(struct made *m, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const uint8_t b = (uint8_t)(7 * i);
        made_add(m, &b, 1);
    }
}

static inline struct made make_idx(unsigned n_dims, const uint32_t *dims) {
    struct made m = {.n = 0};
    const uint8_t magic[4] = {0, 0, 8, (uint8_t)n_dims};
    size_t elements = 1;
    made_add(&m, magic, 4);
    for (unsigned i = 0; i < n_dims; i++) {
        made_be32(&m, dims[i]);
        elements *= dims[i];
    }
    made_pixels(&m, elements);
    return m;
}

static inline struct made make_npy(unsigned version, const char *dictionary, const void *data, size_t n) {
    struct made m = {.n = 0};
    size_t length = strlen(dictionary) + 1;
    const uint8_t head[12] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', (uint8_t)version, 0, (uint8_t)length, (uint8_t)(length >> 8), 0, 0};
    made_add(&m, head, version == 1 ? 10 : 12);
    made_text(&m, dictionary);
    made_text(&m, "\n");
    made_add(&m, data, n);
    return m;
}

static inline struct made make_gzip(const struct made *inner) {
    struct made m = {.n = 0};
    z_stream z = {0};
    if (deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        abort();
    }
    uint8_t copy[MADE_MAX];
    memcpy(copy, inner->at, inner->n);
    z.next_in = copy;
    z.avail_in = (uInt)inner->n;
    z.next_out = m.at;
    z.avail_out = MADE_MAX;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END) {
        abort();
    }
    m.n = z.total_out;
    deflateEnd(&z);
    return m;
}

static inline void png_to_made(png_structp png, png_bytep data, size_t n) {
    made_add(png_get_io_ptr(png), data, n);
}

static inline void png_flushed(png_structp png) {
    (void)png;
}

/* rows: height rows of packed samples, 16-bit ones big-endian. */
static inline struct made make_png(unsigned width, unsigned height, int depth, int type, int interlace,
                                   const uint8_t *rows, size_t row_bytes) {
    struct made m = {.n = 0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    const png_color palette[4] = {{1, 2, 3}, {40, 50, 60}, {7, 8, 9}, {250, 251, 252}};
    png_set_write_fn(png, &m, png_to_made, png_flushed);
    png_set_IHDR(png, info, width, height, depth, type, interlace, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_set_PLTE(png, info, palette, 4);
    }
    png_write_info(png, info);
    int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++) {
        for (unsigned y = 0; y < height; y++) {
            png_write_row(png, rows + y * row_bytes);
        }
    }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    return m;
}

#endif
