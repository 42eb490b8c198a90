/* PNG through libpng's row interface: the samples as they are stored, without gamma or colour management,
 * which the simplified interface would apply. */
#include "crypto/secret.h"
#include "nn/image_internal.h"

#include <png.h>
#include <string.h>

enum { PNG_SIDE_MAX = 65535, PNG_CHUNK_MAX = 1 << 20 };

/* All state of one read is here, since libpng leaves by longjmp. */
struct png_job {
    const struct csl__image_file *f;
    png_structp png;
    png_infop info;
    size_t at;
    struct csl_images *out;
    uint8_t *samples; /* all rows, as decoded */
    size_t row_bytes, depth;
    enum csl_err err;
};

/* Data errors that libpng finds. */
static void on_error(png_structp png, png_const_charp text) {
    struct png_job *job = png_get_error_ptr(png);
    job->err = csl_fail(job->f->diag, CSL_EDATA, "%s: byte %zu: PNG: %s", job->f->name, job->at, text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png, (void)text; /* about ancillary chunks, which are not used */
}

static void on_read(png_structp png, png_bytep to, size_t n) {
    struct png_job *job = png_get_io_ptr(png);
    if (n > job->f->n - job->at) {
        png_error(png, "the file is cut short");
    }
    memcpy(to, job->f->at + job->at, n);
    job->at += n;
}

/* Our own errors leave by the same way. */
static void require(struct png_job *job, enum csl_err err) {
    if (err != CSL_OK) {
        job->err = err;
        png_longjmp(job->png, 1);
    }
}

static enum csl_err check_colours(const struct png_job *job) {
    const struct csl__image_file *f = job->f;
    if ((png_get_color_type(job->png, job->info) & PNG_COLOR_MASK_ALPHA) != 0 ||
        png_get_valid(job->png, job->info, PNG_INFO_tRNS) != 0) {
        return csl_fail(
            f->diag, CSL_EDATA,
            "%s: the picture has an alpha channel or transparency, and what lies behind it is not known; "
            "flatten it first (magick in.png -background black -flatten out.png)",
            f->name);
    }
    return CSL_OK;
}

/* Once the transformations are set: the shape, and whether the rows as stored can be in the bytes that are
 * there. row_bytes is that of the stored rows before, and that of the transformed rows after. */
static enum csl_err check_size(struct png_job *job) {
    const struct csl__image_file *f = job->f;
    struct csl_images shape = {.count = 1,
                               .channels = png_get_channels(job->png, job->info),
                               .height = png_get_image_height(job->png, job->info),
                               .width = png_get_image_width(job->png, job->info)};
    size_t elements;
    TRY(csl__image_check_shape(&elements, &shape, f));
    if (job->row_bytes * shape.height / CSL__DEFLATE_RATIO > f->n) {
        return csl_fail(f->diag, CSL_EDATA, "%s: IHDR: %zu x %zu samples cannot be in a file of %zu bytes",
                        f->name, shape.height, shape.width, f->n);
    }
    job->row_bytes = png_get_rowbytes(job->png, job->info);
    *job->out = shape;
    return CSL_OK;
}

static enum csl_err take_samples(struct png_job *job) {
    job->samples = csl_secret_alloc(job->out->height, job->row_bytes);
    if (job->samples == NULL) {
        return csl_fail(job->f->diag, CSL_ENOMEM, "%s: no memory for %zu rows of %zu bytes", job->f->name,
                        job->out->height, job->row_bytes);
    }
    return CSL_OK;
}

/* The only function that libpng may leave by longjmp; it holds no state of its own. */
static void decode(struct png_job *job) {
    if (setjmp(png_jmpbuf(job->png)) != 0) {
        return;
    }
    png_set_user_limits(job->png, PNG_SIDE_MAX, PNG_SIDE_MAX);
    png_set_chunk_malloc_max(job->png, PNG_CHUNK_MAX);
    png_set_read_fn(job->png, job, on_read);
    png_read_info(job->png, job->info);
    require(job, check_colours(job));
    job->row_bytes = png_get_rowbytes(job->png, job->info);
    png_set_expand(job->png); /* palettes to RGB, 1, 2 and 4 bits to 8 */
    int passes = png_set_interlace_handling(job->png);
    png_read_update_info(job->png, job->info);
    require(job, check_size(job));
    require(job, take_samples(job));
    job->depth = png_get_bit_depth(job->png, job->info);
    for (int pass = 0; pass < passes; pass++) {
        for (size_t y = 0; y < job->out->height; y++) {
            png_read_row(job->png, job->samples + y * job->row_bytes, NULL);
        }
    }
    png_read_end(job->png, NULL);
    job->err = CSL_OK;
}

static void to_planes(struct csl_images *out, const struct png_job *job) {
    size_t plane = out->height * out->width;
    for (size_t y = 0; y < out->height; y++) {
        const uint8_t *row = job->samples + y * job->row_bytes;
        for (size_t i = 0; i < out->width * out->channels; i++) {
            float *to = &out->data[i % out->channels * plane + y * out->width + i / out->channels];
            if (job->depth == 16) {
                *to = (float)((row[2 * i] << 8 | row[2 * i + 1]) * (255.0 / 65535.0));
            } else {
                *to = (float)row[i];
            }
        }
    }
}

enum csl_err csl__png_parse(struct csl_images *out, const struct csl__image_file *f) {
    struct csl_images shape = {0};
    struct png_job job = {.f = f, .out = &shape, .err = CSL_ENOMEM};
    job.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
    job.info = job.png == NULL ? NULL : png_create_info_struct(job.png);
    if (job.info == NULL) {
        (void)csl_fail(f->diag, CSL_ENOMEM, "%s: no memory to read PNG", f->name);
    } else {
        decode(&job);
    }
    if (job.err == CSL_OK && job.at != f->n) {
        job.err =
            csl_fail(f->diag, CSL_EDATA, "%s: byte %zu: data after the end of the picture", f->name, job.at);
    }
    if (job.err == CSL_OK) {
        *out = shape;
        job.err = csl__image_alloc(out, f);
    }
    if (job.err == CSL_OK) {
        to_planes(out, &job);
    }
    png_destroy_read_struct(&job.png, &job.info, NULL);
    csl_secret_free(job.samples);
    return job.err;
}
