/* Reading views, a site's own and those that were sealed to a judge. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "roles/judge/view_internal.h"

static void hex_of(char *out, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", p[i]);
    }
}

static enum csl_err open_both(struct csl_view_reader *v, const struct csl_context *ctx,
                              const uint8_t session_id[16], struct csl_diag *diag) {
    char dir[CSL__PATH_MAX], path[CSL__PATH_MAX], name[80];
    TRY(csl__views_dir(dir, ctx, diag));
    hex_of(name, session_id, 16);
    (void)snprintf(name + 32, sizeof name - 32, ".view");
    TRY(csl__path(path, dir, name, diag));
    if (access(path, F_OK) != 0) {
        return csl_fail(diag, CSL_ENOINPUT,
                        "%s is not there: no view of this session was kept, or it had to make room for newer "
                        "ones (audit.views_mib of the roster)",
                        path);
    }
    TRY(csl__view_file_open(&v->file, path, ctx->site.wrap_key, diag));
    if (memcmp(v->file.head + 40, session_id, 16) != 0) {
        return csl_fail(diag, CSL_EAUTH, "%s is the view of another session", path);
    }
    hex_of(name, v->file.head + 8, 32);
    (void)snprintf(name + 64, sizeof name - 64, ".weights");
    TRY(csl__path(path, dir, name, diag));
    return csl__view_file_open(&v->weights, path, ctx->site.wrap_key, diag);
}

enum csl_err csl_view_open_own(struct csl_view_reader **out, const struct csl_context *ctx,
                               const uint8_t session_id[16], struct csl_diag *diag) {
    *out = NULL;
    struct csl_view_reader *v = calloc(1, sizeof *v);
    if (v == NULL) {
        return CSL_ENOMEM;
    }
    v->file.fd = v->weights.fd = -1;
    enum csl_err err = open_both(v, ctx, session_id, diag);
    if (err != CSL_OK) {
        csl_view_reader_free(v);
        return err;
    }
    *out = v;
    return CSL_OK;
}

void csl_view_reader_free(struct csl_view_reader *v) {
    if (v != NULL) {
        csl__view_file_close(&v->file);
        csl__view_file_close(&v->weights);
        free(v);
    }
}

enum csl_err csl__view_next(struct csl_view_reader *v, uint8_t **plain, size_t *n, struct csl_diag *diag) {
    bool torn = false;
    *plain = NULL;
    if (v->ended) {
        return CSL_OK;
    }
    struct csl__view_file *f = v->weights.path != NULL && v->file.number == 1 && v->weights.number == 0
                                   ? &v->weights /* after the session */
                                   : &v->file;
    TRY(csl__view_file_next(f, plain, n, &torn, diag));
    if (*plain == NULL && f == &v->weights) {
        return csl_fail(diag, CSL_EDATA, "%s: no weights in it", f->path);
    }
    if (*plain == NULL) { /* no last record */
        v->ended = true;
        (void)snprintf(v->why, sizeof v->why, "the program that wrote the view did not come to its end%s",
                       torn ? " (an unfinished record)" : "");
    }
    return CSL_OK;
}

/* The next record, of this kind; *out NULL at the end. */
static enum csl_err next_record(struct csl_view_reader *v, Csl__View__Record **out, struct csl_diag *diag) {
    uint8_t *plain = NULL;
    size_t n = 0;
    *out = NULL;
    TRY(csl__view_next(v, &plain, &n, diag));
    enum csl_err err = plain == NULL ? CSL_OK : csl__view_unpack(out, plain, n, diag);
    csl_secret_free(plain);
    return err;
}

static enum csl_err in_file(const struct csl_view_reader *v, enum csl_err err, struct csl_diag *diag) {
    return err == CSL_OK || err == CSL_ENOMEM ? err : csl_fail_context(diag, err, "%s", v->file.path);
}

static enum csl_err read_session(struct csl_view_session *out, struct csl_view_reader *v,
                                 const struct csl_roster *roster, struct csl_diag *diag) {
    Csl__View__Record *r = NULL;
    TRY(next_record(v, &r, diag));
    enum csl_err err = r == NULL || r->kind_case != CSL__VIEW__RECORD__KIND_SESSION
                           ? csl_fail(diag, CSL_EDATA, "it does not begin with the session")
                           : csl__view_take_session(out, r->session, roster, diag);
    csl__view_free(r);
    TRY(err);
    TRY(next_record(v, &r, diag));
    err = r == NULL || r->kind_case != CSL__VIEW__RECORD__KIND_WEIGHTS
              ? csl_fail(diag, CSL_EDATA, "the weights do not follow the session")
              : csl__view_take_weights(out, r->weights, diag);
    csl__view_free(r);
    v->n_parties = out->record.n_parties;
    v->roster = roster;
    return err;
}

enum csl_err csl_view_read_session(struct csl_view_session *out, struct csl_view_reader *v,
                                   const struct csl_roster *roster, struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    enum csl_err err = in_file(v, read_session(out, v, roster, diag), diag);
    if (err != CSL_OK) {
        csl_view_session_clear(out);
    }
    return err;
}

static enum csl_err read_batch(struct csl_record *out, bool *end, struct csl_view_reader *v,
                               struct csl_diag *diag) {
    Csl__View__Record *r = NULL;
    enum csl_err err = next_record(v, &r, diag);
    *end = r == NULL;
    if (err == CSL_OK && r != NULL && r->kind_case == CSL__VIEW__RECORD__KIND_END) {
        *end = v->ended = true;
        v->complete = r->end->complete;
        (void)snprintf(v->why, sizeof v->why, "%.500s", r->end->reason);
    } else if (err == CSL_OK && r != NULL && r->kind_case != CSL__VIEW__RECORD__KIND_BATCH) {
        err = csl_fail(diag, CSL_EDATA, "a batch is due");
    } else if (err == CSL_OK && r != NULL) {
        err = csl__view_take_batch(out, r->batch, v->n_parties, v->roster, diag);
    }
    csl__view_free(r);
    return err;
}

enum csl_err csl_view_read_batch(struct csl_record *out, bool *end, struct csl_view_reader *v,
                                 struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    enum csl_err err = in_file(v, read_batch(out, end, v, diag), diag);
    if (err != CSL_OK) {
        csl_record_clear(out);
    }
    return err;
}

bool csl_view_complete(const struct csl_view_reader *v, const char **why) {
    *why = v->why;
    return v->ended && v->complete;
}
