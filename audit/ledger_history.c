/* The history of a ledger: notes one after another, an empty line behind each. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/ledger_internal.h"
#include "crypto/secret.h"

enum { HISTORY_BYTES_MAX = CSL__HISTORY_MAX * CSL_NOTE_MAX };

/* The end of the note at `at` (its last newline included), or 0 when it is not finished: body, empty line,
 * signatures, empty line. */
static size_t note_end(const char *text, size_t n, size_t at) {
    const char *body = memmem(text + at, n - at, "\n\n", 2);
    if (body == NULL) {
        return 0;
    }
    size_t signatures = (size_t)(body - text) + 2;
    const char *end = memmem(text + signatures, n - signatures, "\n\n", 2);
    return end == NULL ? 0 : (size_t)(end - text) + 1;
}

void csl__history_forget(struct csl_ledger *l) {
    csl_secret_free(l->history);
    free(l->notes);
    l->history = NULL;
    l->notes = NULL;
    l->n_notes = l->n_history_bytes = 0;
}

/* Finds the notes; *whole is the end of the last finished one. */
static enum csl_err split(struct csl_ledger *l, size_t *whole, struct csl_diag *diag) {
    size_t room = 0, at = 0;
    for (size_t end; (end = note_end(l->history, l->n_history_bytes, at)) != 0; at = end + 1) {
        if (l->n_notes + 1 >= room) {
            room = room == 0 ? 64 : room * 2;
            size_t *p = realloc(l->notes, room * sizeof *p);
            if (p == NULL) {
                return csl_fail(diag, CSL_ENOMEM, "no memory for %s/history", l->dir);
            }
            l->notes = p;
        }
        l->notes[l->n_notes++] = at;
        l->notes[l->n_notes] = end + 1;
    }
    *whole = at;
    return CSL_OK;
}

static enum csl_err cut(struct csl_ledger *l, const char *path, size_t whole, struct csl_diag *diag) {
    if (whole == l->n_history_bytes) {
        return CSL_OK;
    }
    if (truncate(path, (off_t)whole) != 0) {
        return csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(errno));
    }
    l->torn += l->n_history_bytes - whole;
    l->n_history_bytes = whole;
    return CSL_OK;
}

enum csl_err csl__history_load(struct csl_ledger *l, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    struct stat st;
    TRY(csl__path(path, l->dir, "history", diag));
    if (stat(path, &st) != 0) {
        if (errno != ENOENT) {
            return csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(errno));
        }
        return l->n_notes == 0 ? CSL_OK : csl_fail(diag, CSL_EAUTH, "%s was removed while in use", path);
    }
    if (l->history != NULL && st.st_dev == l->history_dev && st.st_ino == l->history_ino &&
        (uint64_t)st.st_size == l->n_history_bytes) {
        return CSL_OK;
    }
    csl__history_forget(l);
    enum csl_err err = csl__read_file(&l->history, &l->n_history_bytes, path, HISTORY_BYTES_MAX, diag);
    if (err != CSL_OK) {
        return err == CSL_EDATA ? CSL_EAUTH : err;
    }
    l->history_dev = st.st_dev;
    l->history_ino = st.st_ino;
    size_t whole = 0;
    TRY(split(l, &whole, diag));
    return cut(l, path, whole, diag);
}

enum csl_err csl__history_note(const struct csl_ledger *l, struct csl_note *out, size_t i,
                               struct csl_diag *diag) {
    if (i >= l->n_notes) {
        return csl_fail(diag, CSL_ENOINPUT, "%s/history has %zu checkpoints", l->dir, l->n_notes);
    }
    enum csl_err err = csl_note_parse(out, l->history + l->notes[i], l->notes[i + 1] - l->notes[i] - 1, diag);
    return err == CSL_OK ? err
                         : csl_fail_context(diag, CSL_EAUTH,
                                            "checkpoint %zu of %s/history was changed or "
                                            "damaged",
                                            i, l->dir);
}

/* Every second one of the older half goes: consistency proofs lead from any checkpoint to any later one. */
static enum csl_err thin_out(struct csl_ledger *l, const char *path, struct csl_diag *diag) {
    char *kept = malloc(l->n_history_bytes);
    if (kept == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "no memory for %s", path);
    }
    size_t n = 0;
    for (size_t i = 0; i < l->n_notes; i++) {
        if (i >= l->n_notes / 2 || i % 2 == 0) {
            size_t length = l->notes[i + 1] - l->notes[i];
            memcpy(kept + n, l->history + l->notes[i], length);
            n += length;
        }
    }
    enum csl_err err = csl__replace_file(path, 0600, kept, n, diag);
    free(kept);
    return err == CSL_OK ? csl__history_load(l, diag) : CSL_EIO;
}

static enum csl_err append(const char *path, const struct csl_note *note, struct csl_diag *diag) {
    char text[CSL_NOTE_MAX + 1];
    size_t n = strlen(note->text);
    memcpy(text, note->text, n);
    text[n++] = '\n';
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);
    bool ok = fd >= 0;
    for (size_t done = 0; ok && done < n;) {
        ssize_t w = write(fd, text + done, n - done);
        ok = w > 0 || (w < 0 && errno == EINTR);
        done += w > 0 ? (size_t)w : 0;
    }
    ok = ok && fsync(fd) == 0;
    int saved = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok ? CSL_OK : csl_fail(diag, CSL_EIO, "%s cannot be written: %s", path, strerror(saved));
}

enum csl_err csl__history_add(struct csl_ledger *l, const struct csl_note *note, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    TRY(csl__path(path, l->dir, "history", diag));
    TRY(csl__history_load(l, diag));
    if (l->n_notes >= CSL__HISTORY_MAX) {
        TRY(thin_out(l, path, diag));
    }
    if (l->n_notes != 0) { /* a crash came between this and the new checkpoint: it is there already */
        struct csl_note *last = malloc(sizeof *last);
        enum csl_err err = last == NULL ? CSL_ENOMEM : csl__history_note(l, last, l->n_notes - 1, diag);
        bool there = err == CSL_OK && last->checkpoint.size >= note->checkpoint.size;
        free(last);
        if (err != CSL_OK || there) {
            return err;
        }
    }
    if (access(path, F_OK) != 0) {
        enum csl_err err = csl__create_file(path, 0600, "", 0, diag);
        if (err != CSL_OK) {
            return CSL_EIO;
        }
    }
    return append(path, note, diag);
}
