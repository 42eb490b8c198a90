#include "cli/model/options.h"

#include <string.h>

void csl_model_clear(struct csl_model *m) {
    csl_network_free(m->net);
    csl_issues_clear(&m->issues);
    csl_images_clear(&m->images);
    csl_labels_clear(&m->labels);
}

enum csl_err csl_model_load_samples(struct csl_model *m, const struct csl_model_opts *o,
                                    struct csl_diag *diag) {
    struct csl_image_options io;
    TRY(csl_images_options(&io, o->npy, o->count, diag));
    if (o->images.n != 0) {
        TRY(csl_images_load(&m->images, o->images.items, o->images.n, &io, diag));
    }
    if (o->labels != NULL) {
        TRY(csl_labels_load(&m->labels, o->labels, m->images.count, diag));
    }
    return CSL_OK;
}

enum csl_err csl_model_load(struct csl_model *m, const char *path, const struct csl_model_opts *o,
                            struct csl_diag *diag) {
    memset(m, 0, sizeof *m);
    m->choice.frac_bits = (unsigned)o->frac_bits;
    m->choice.sample_ranges = o->sample_ranges;
    m->choice.images = &m->images;
    if (o->normalize == NULL) {
        return csl_fail(diag, CSL_EUSAGE, "--normalize HOW says how inputs are scaled for this network");
    }
    TRY(csl_parse_normalization(&m->choice.input, o->normalize, o->interval, diag));
    TRY(csl_model_load_samples(m, o, diag));
    enum csl_err err = csl_model_file_import(&m->net, &m->issues, path, diag);
    return err == CSL_EDATA && m->issues.n != 0 ? CSL_OK : err;
}

enum csl_err csl_model_site_open(struct csl_model_site *s, const struct csl_model_opts *o,
                                 struct csl_diag *diag) {
    memset(s, 0, sizeof *s);
    TRY(csl_context_load(&s->ctx, o->site, o->roster, diag));
    enum csl_err err = csl_logbook_open(&s->book, &s->ctx, 0, diag);
    if (err != CSL_OK) {
        csl_context_free(&s->ctx);
        return err;
    }
    s->ctx.logbook = &s->book;
    return CSL_OK;
}

void csl_model_site_close(struct csl_model_site *s) {
    csl_logbook_close(&s->book);
    csl_context_free(&s->ctx);
}
