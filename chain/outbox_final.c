/* final.jsonl: lines of rising index and size, so that a place in them is found by halving. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chain/outbox_internal.h"

enum { LINE_MAX_BYTES = 2048 };

struct finals {
    char path[CSL__PATH_MAX];
    int fd;    /* -1: there is no file */
    off_t end; /* of the complete lines; what a crash tore off is behind it */
};

static enum csl_err damaged(const struct finals *f, off_t at, struct csl_diag *diag) {
    return csl_fail(diag, CSL_EDATA, "%s is damaged after %lld bytes: move it away; the chain has the same",
                    f->path, (long long)at);
}

/* What stands in [from, to), which is there. */
static enum csl_err read_part(const struct finals *f, char *out, off_t from, off_t to,
                              struct csl_diag *diag) {
    size_t n = (size_t)(to - from), got = 0;
    while (got < n) {
        ssize_t k = pread(f->fd, out + got, n - got, from + (off_t)got);
        if (k <= 0) {
            return csl_fail(diag, CSL_EIO, "%s cannot be read: %s", f->path,
                            k < 0 ? strerror(errno) : "it became shorter");
        }
        got += (size_t)k;
    }
    return CSL_OK;
}

static off_t least(off_t a, off_t b) {
    return a < b ? a : b;
}

/* The line that has the byte at `at`, which is before f->end: *start to *next. */
static enum csl_err line_at(struct csl_outbox_anchor *a, off_t *start, off_t *next, const struct finals *f,
                            off_t at, struct csl_diag *diag) {
    char text[2 * LINE_MAX_BYTES];
    off_t from = at < LINE_MAX_BYTES ? 0 : at - LINE_MAX_BYTES, to = least(f->end, at + LINE_MAX_BYTES);
    TRY(read_part(f, text, from, to, diag));
    size_t here = (size_t)(at - from), first = here, n = (size_t)(to - from);
    while (first > 0 && text[first - 1] != '\n') {
        first--;
    }
    const char *end = memchr(text + here, '\n', n - here);
    if (end == NULL || (first == 0 && from != 0) ||
        !csl__outbox_final_parse(a, text + first, (size_t)(end - text) - first)) {
        return damaged(f, from + (off_t)first, diag);
    }
    *start = from + (off_t)first;
    *next = from + (off_t)(end - text) + 1;
    return CSL_OK;
}

/* The first line for which it is true (of all behind it, too); *at is f->end when there is none. */
typedef bool is_behind(const struct csl_outbox_anchor *a, uint64_t what);

static enum csl_err find(struct csl_outbox_anchor *found, off_t *at, const struct finals *f, is_behind *is,
                         uint64_t what, struct csl_diag *diag) {
    off_t low = 0, high = f->end;
    while (low < high) {
        struct csl_outbox_anchor a = {.index = 0};
        off_t start = 0, next = 0;
        TRY(line_at(&a, &start, &next, f, low + (high - low) / 2, diag));
        if (is(&a, what)) {
            *found = a;
            high = start;
        } else {
            low = next;
        }
    }
    *at = high;
    return CSL_OK;
}

static bool is_larger(const struct csl_outbox_anchor *a, uint64_t size) {
    return a->is.size > size;
}

static bool is_from(const struct csl_outbox_anchor *a, uint64_t index) {
    return a->index >= index;
}

/* The end of the last complete line, which must be one. */
static enum csl_err find_end(struct finals *f, struct csl_diag *diag) {
    struct stat st;
    char text[LINE_MAX_BYTES];
    if (fstat(f->fd, &st) != 0) {
        return csl_fail(diag, CSL_EIO, "%s: %s", f->path, strerror(errno));
    }
    off_t from = st.st_size < LINE_MAX_BYTES ? 0 : st.st_size - LINE_MAX_BYTES;
    TRY(read_part(f, text, from, st.st_size, diag));
    size_t n = (size_t)(st.st_size - from);
    while (n > 0 && text[n - 1] != '\n') {
        n--;
    }
    if (n == 0 && from != 0) {
        return damaged(f, from, diag);
    }
    f->end = from + (off_t)n;
    struct csl_outbox_anchor last;
    off_t start = 0, next = 0;
    return f->end == 0 ? CSL_OK : line_at(&last, &start, &next, f, f->end - 1, diag);
}

static enum csl_err open_finals(struct finals *f, const char *dir, int flags, struct csl_diag *diag) {
    f->end = 0;
    TRY(csl__path(f->path, dir, "final.jsonl", diag));
    f->fd = open(f->path, flags | O_CLOEXEC, 0600);
    if (f->fd < 0) {
        return errno == ENOENT ? CSL_OK : csl_fail(diag, CSL_EIO, "%s: %s", f->path, strerror(errno));
    }
    enum csl_err err = find_end(f, diag);
    if (err != CSL_OK) {
        (void)close(f->fd);
    }
    return err;
}

static bool append(const struct finals *f, off_t at, const char *text) {
    char line[LINE_MAX_BYTES];
    int n = snprintf(line, sizeof line, "%s\n", text);
    return n > 0 && (size_t)n < sizeof line && lseek(f->fd, at, SEEK_SET) == at &&
           write(f->fd, line, (size_t)n) == n;
}

enum csl_err csl__finals_put(const char *dir, uint64_t from, const char *line, struct csl_diag *diag) {
    struct finals f;
    struct csl_outbox_anchor ignored;
    off_t at = 0;
    TRY(open_finals(&f, dir, line == NULL ? O_RDWR : O_RDWR | O_CREAT, diag));
    if (f.fd < 0) {
        return line == NULL ? CSL_OK : csl_fail(diag, CSL_EIO, "%s: %s", f.path, strerror(errno));
    }
    enum csl_err err = find(&ignored, &at, &f, is_from, from, diag);
    if (err == CSL_OK && (line != NULL || at != f.end)) {
        bool good =
            ftruncate(f.fd, at) == 0 && (line == NULL || append(&f, at, line)) && fdatasync(f.fd) == 0;
        err = good ? CSL_OK : csl_fail(diag, CSL_EIO, "%s cannot be written: %s", f.path, strerror(errno));
    }
    (void)close(f.fd);
    return err;
}

enum csl_err csl__finals_covering(struct csl_outbox_anchor *out, bool *found, const char *dir, uint64_t leaf,
                                  struct csl_diag *diag) {
    struct finals f;
    off_t at = 0;
    *found = false;
    TRY(open_finals(&f, dir, O_RDONLY, diag));
    if (f.fd < 0) {
        return CSL_OK;
    }
    enum csl_err err = find(out, &at, &f, is_larger, leaf, diag);
    *found = err == CSL_OK && at != f.end;
    (void)close(f.fd);
    return err;
}
