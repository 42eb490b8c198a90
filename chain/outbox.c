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

enum { FILE_MAX = 1 << 22, LINE_MAX_BYTES = 2048 };

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

static enum csl_err load(struct csl_outbox *o, struct csl_diag *diag) {
    char path[CSL__PATH_MAX], *text = NULL;
    size_t n = 0;
    TRY(csl__path(path, o->dir, "outbox.json", diag));
    enum csl_err err = csl__read_file(&text, &n, path, FILE_MAX, diag);
    if (err == CSL_ENOINPUT && access(path, F_OK) != 0) {
        return CSL_OK;
    }
    TRY(err);
    err = csl_outbox_parse(o, text, n, diag);
    csl_secret_free(text);
    return err;
}

/* The complete lines of final.jsonl: the newest anchor, and their bytes. */
struct tail {
    struct csl_outbox_anchor newest;
    bool any;
    off_t bytes;
};

typedef bool see_anchor(void *arg, const struct csl_outbox_anchor *a); /* false: enough */

static enum csl_err walk_finals(struct tail *t, const char *dir, see_anchor *see, void *arg,
                                struct csl_diag *diag) {
    char path[CSL__PATH_MAX], line[LINE_MAX_BYTES];
    memset(t, 0, sizeof *t);
    TRY(csl__path(path, dir, "final.jsonl", diag));
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return errno == ENOENT ? CSL_OK : csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(errno));
    }
    bool more = true;
    enum csl_err err = CSL_OK;
    while (more && fgets(line, sizeof line, f) != NULL) {
        size_t n = strlen(line);
        if (n == 0 || line[n - 1] != '\n') {
            break; /* torn off by a crash */
        }
        struct csl_outbox_anchor a = {.index = 0};
        if (!csl__outbox_final_parse(&a, line, n - 1)) {
            err = csl_fail(diag, CSL_EDATA,
                           "%s is damaged after %lld bytes: move it away; the chain has the same", path,
                           (long long)t->bytes);
            break;
        }
        t->newest = a;
        t->any = true;
        t->bytes += (off_t)n;
        more = see == NULL || see(arg, &a);
    }
    if (ferror(f) != 0) {
        err = csl_fail(diag, CSL_EIO, "%s cannot be read", path);
    }
    (void)fclose(f);
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
    err = err == CSL_OK ? load(o, diag) : err;
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

static bool write_line(int fd, const char *text) {
    char line[LINE_MAX_BYTES];
    int n = snprintf(line, sizeof line, "%s\n", text);
    return n > 0 && (size_t)n < sizeof line && write(fd, line, (size_t)n) == n && fdatasync(fd) == 0;
}

enum csl_err csl_outbox_write_final(const struct csl_outbox *o, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    struct tail t;
    const struct csl_outbox_entry *e = &o->entries[0];
    TRY(csl__path(path, o->dir, "final.jsonl", diag));
    TRY(walk_finals(&t, o->dir, NULL, NULL, diag));
    if (t.any && t.newest.index >= e->index && csl_anchor_root_same(&t.newest.is, &e->is)) {
        return CSL_OK; /* written before a crash */
    }
    char *text = csl__outbox_final_text(e);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool good = text != NULL && fd >= 0 && ftruncate(fd, t.bytes) == 0 &&
                lseek(fd, t.bytes, SEEK_SET) == t.bytes && write_line(fd, text);
    int saved = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    free(text);
    return good ? CSL_OK : csl_fail(diag, CSL_EIO, "%s cannot be written: %s", path, strerror(saved));
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

struct search {
    uint64_t leaf;
    struct csl_outbox_anchor *out;
    bool found;
};

static bool covers(void *arg, const struct csl_outbox_anchor *a) {
    struct search *s = arg;
    if (a->is.size > s->leaf && (!s->found || a->is.size <= s->out->is.size)) {
        *s->out = *a;
        s->found = true;
    }
    return true; /* after a reorganisation a later line may be of the same place */
}

enum csl_err csl_outbox_covering(struct csl_outbox_anchor *out, bool *found, const char *dir, uint64_t leaf,
                                 struct csl_diag *diag) {
    struct tail t;
    struct search s = {.leaf = leaf, .out = out};
    memset(out, 0, sizeof *out);
    *found = false;
    TRY(walk_finals(&t, dir, covers, &s, diag));
    if (s.found) {
        *found = true;
        return CSL_OK;
    }
    struct csl_outbox *o = calloc(1, sizeof *o);
    if (o == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    (void)snprintf(o->dir, sizeof o->dir, "%s", dir);
    enum csl_err err = load(o, diag);
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
