#include "view_world.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/rsa.h>

void view_site_open(struct view_site *t, uint32_t views_mib) {
    static EVP_PKEY *wrap, *judge; /* half a second each */
    memset(t, 0, sizeof *t);
    rw_open(&t->w, 2, false, true);
    t->s = rw_run(&t->w, RW_HONEST, 1);
    wrap = wrap != NULL ? wrap : EVP_RSA_gen(3072);
    judge = judge != NULL ? judge : EVP_RSA_gen(3072);
    t->wrap = wrap;
    t->judge = judge;
    t->ctx = &t->w.ctx[1];
    (void)snprintf(t->dir, sizeof t->dir, "/tmp/consilium-view.XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    t->ctx->dir = t->dir;
    t->ctx->site.wrap_key = wrap;
    t->w.roster.members[1].wrap_key = wrap;
    t->ctx->roster.audit.views_mib = views_mib;
    t->package.manifest = t->w.manifest_bytes;
    t->package.n_manifest = t->w.n_manifest;
    memcpy(t->package.signature, t->w.manifest_signature, sizeof t->package.signature);
    t->package.part = t->w.parts[1];
    t->package.n_part = t->w.n_parts[1];
}

void view_path(char out[256], const struct view_site *t, const char *name) {
    (void)snprintf(out, 256, "%s/%s", t->dir, name);
}

size_t view_each(const struct view_site *t, const char *end, bool remove_it) {
    char path[256], file[600];
    size_t n = 0;
    view_path(path, t, "state/views");
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        size_t len = strlen(e->d_name), want = strlen(end);
        if (len > want && strcmp(e->d_name + len - want, end) == 0) {
            n++;
            (void)snprintf(file, sizeof file, "%s/%s", path, e->d_name);
            if (remove_it) {
                (void)unlink(file);
            }
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return n;
}

void view_site_close(struct view_site *t) {
    static const char *const names[] = {"opened", "judge/openings", "judge", "state/views", "state", ""};
    (void)view_each(t, "view", true);
    (void)view_each(t, "weights", true);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256];
        view_path(path, t, names[i]);
        (void)remove(path);
    }
    rw_session_free(t->s);
    rw_close(&t->w);
}

struct csl_view_writer *view_begin(const struct view_site *t, uint8_t id, uint8_t mask) {
    struct csl_view_writer *v = NULL;
    struct csl_diag diag = {""};
    uint8_t session[16], mask_id[32];
    memset(session, id, sizeof session);
    memset(mask_id, mask, sizeof mask_id);
    assert_int_equal(csl_view_begin(&v, t->ctx, session, &t->s->record, &t->package, mask_id, &t->w.shares[1],
                                    &t->w.request, &diag),
                     CSL_OK);
    return v;
}

void view_add(struct csl_view_writer *v, const struct csl_record *r) {
    assert_int_equal(csl_view_add(v, r, NULL), CSL_OK);
}

enum csl_err view_open_id(struct csl_view_reader **v, const struct view_site *t, uint8_t id,
                          struct csl_diag *diag) {
    uint8_t session[16];
    memset(session, id, sizeof session);
    return csl_view_open_own(v, t->ctx, session, diag);
}

enum csl_err view_read_all(struct csl_view_reader *v, const struct view_site *t, size_t *n, bool *complete,
                           struct csl_diag *diag) {
    struct csl_view_session s;
    const char *why;
    *n = 0;
    TRY(csl_view_read_session(&s, v, &t->w.roster, diag));
    csl_view_session_clear(&s);
    for (;;) {
        struct csl_record r;
        bool end;
        TRY(csl_view_read_batch(&r, &end, v, diag));
        if (end) {
            *complete = csl_view_complete(v, &why);
            return CSL_OK;
        }
        csl_record_clear(&r);
        ++*n;
    }
}

void view_write_file(const char *path, const char *bytes, size_t n) {
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* A crash: whatever was written whole is read, and the view says that it has no end. */
