#include "chain/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chain/outbox_internal.h"
#include "crypto/secret.h"

enum { FILE_MAX = 1 << 22 };

/* ---- Files ---- */

static enum csl_err take_lock(struct csl_outbox *o, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    TRY(csl__path(path, o->dir, "lock", diag));
    o->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (o->lock < 0) {
        return csl_fail(diag, CSL_ECREATE, "%s: %s", path, strerror(errno));
    }
    if (flock(o->lock, LOCK_EX | LOCK_NB) != 0) {
        return csl_fail(diag, CSL_EBUSY,
                        "%s: another `consilium audit anchor` of this site runs; one is enough", path);
    }
    return CSL_OK;
}

/* *there is false when there is none. */
static enum csl_err load(struct csl_outbox *o, bool *there, struct csl_diag *diag) {
    char path[CSL__PATH_MAX], *text = NULL;
    size_t n = 0;
    TRY(csl__path(path, o->dir, "outbox.json", diag));
    enum csl_err err = csl__read_file(&text, &n, path, FILE_MAX, diag);
    *there = err == CSL_OK;
    if (err == CSL_ENOINPUT && access(path, F_OK) != 0) {
        return CSL_OK;
    }
    TRY(err);
    err = csl_outbox_parse(o, text, n, diag);
    csl_secret_free(text);
    return err;
}

enum csl_err csl_outbox_open(struct csl_outbox **out, const char *dir, struct csl_diag *diag) {
    *out = NULL;
    struct csl_outbox *o = calloc(1, sizeof *o);
    if (o == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    o->lock = -1;
    enum csl_err err = strlen(dir) >= sizeof o->dir
                           ? csl_fail(diag, CSL_EUSAGE, "%s: the path is too long", dir)
                           : csl__make_dir(dir, diag);
    if (err == CSL_OK) {
        memcpy(o->dir, dir, strlen(dir) + 1);
        err = take_lock(o, diag);
    }
    bool there = false;
    err = err == CSL_OK ? load(o, &there, diag) : err;
    if (err == CSL_OK && there) { /* lines of what a crash kept from being gone back on */
        err = csl_outbox_cut_finals(o, diag);
    }
    if (err != CSL_OK) {
        csl_outbox_close(o);
        return err;
    }
    *out = o;
    return CSL_OK;
}

void csl_outbox_close(struct csl_outbox *o) {
    if (o != NULL && o->lock >= 0) {
        (void)close(o->lock);
    }
    free(o);
}

enum csl_err csl_outbox_save(const struct csl_outbox *o, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    TRY(csl__path(path, o->dir, "outbox.json", diag));
    char *text = csl__outbox_text(o);
    if (text == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    enum csl_err err = csl__replace_file(path, 0600, text, strlen(text), diag);
    free(text);
    return err;
}

enum csl_err csl_outbox_write_final(const struct csl_outbox *o, struct csl_diag *diag) {
    char *text = csl__outbox_final_text(&o->entries[0]);
    if (text == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    enum csl_err err = csl__finals_put(o->dir, o->entries[0].index, text, diag);
    free(text);
    return err;
}

enum csl_err csl_outbox_cut_finals(const struct csl_outbox *o, struct csl_diag *diag) {
    return csl__finals_put(o->dir, o->n_final, NULL, diag);
}

/* ---- Entries ---- */

void csl_outbox_drop_final(struct csl_outbox *o) {
    const struct csl_outbox_entry *e = &o->entries[0];
    o->n_final = e->index + 1;
    o->final = e->is;
    o->final_block = e->mined.block;
    memcpy(o->final_hash, e->mined.block_hash, sizeof o->final_hash);
    memmove(&o->entries[0], &o->entries[1], (o->n - 1) * sizeof o->entries[0]);
    csl_outbox_cut(o, o->n - 1);
}

const struct csl_anchor_root *csl_outbox_last(const struct csl_outbox *o) {
    return o->n == 0 ? &o->final : &o->entries[o->n - 1].is;
}

struct csl_outbox_entry *csl_outbox_add(struct csl_outbox *o, const struct csl_anchor_root *is) {
    if (o->n == CSL_OUTBOX_MAX) {
        return NULL;
    }
    struct csl_outbox_entry *e = &o->entries[o->n];
    memset(e, 0, sizeof *e);
    e->index = o->n_final + o->n;
    e->previous = *csl_outbox_last(o);
    e->is = *is;
    o->n++;
    return e;
}

void csl_outbox_cut(struct csl_outbox *o, size_t i) {
    if (i < o->n) {
        memset(&o->entries[i], 0, (o->n - i) * sizeof o->entries[0]);
        o->n = i;
    }
}

/* ---- Readers ---- */

enum csl_err csl_outbox_covering(struct csl_outbox_anchor *out, bool *found, const char *dir, uint64_t leaf,
                                 struct csl_diag *diag) {
    bool there = false;
    memset(out, 0, sizeof *out);
    *found = false;
    struct csl_outbox *o = calloc(1, sizeof *o);
    if (o == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    (void)snprintf(o->dir, sizeof o->dir, "%s", dir);
    enum csl_err err = load(o, &there, diag);
    if (err == CSL_OK) {
        err = csl__finals_covering(out, found, dir, leaf, diag);
    }
    /* A line that the outbox does not hold for final was gone back on, or is just being written. */
    *found = err == CSL_OK && *found && (!there || out->index < o->n_final);
    for (size_t i = 0; err == CSL_OK && !*found && i < o->n; i++) {
        const struct csl_outbox_entry *e = &o->entries[i];
        if (e->state == CSL_OUTBOX_MINED && e->is.size > leaf) {
            *out = (struct csl_outbox_anchor){
                .index = e->index, .previous = e->previous, .is = e->is, .mined = e->mined};
            *found = true;
        }
    }
    free(o);
    return err;
}
