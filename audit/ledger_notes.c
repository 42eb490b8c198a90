/* Checkpoints of a ledger, and witnessing those of others. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "audit/ledger_internal.h"
#include "crypto/identity.h"
#include "crypto/secret.h"

void csl__notes_enter(struct csl_ledger *l) {
    (void)pthread_mutex_lock(&l->notes_lock);
    while (flock(l->notes_fd, LOCK_EX) != 0 && errno == EINTR) {
    }
}

void csl__notes_leave(struct csl_ledger *l) {
    while (flock(l->notes_fd, LOCK_UN) != 0 && errno == EINTR) {
    }
    (void)pthread_mutex_unlock(&l->notes_lock);
}

enum csl_err csl__notes_read(const struct csl_ledger *l, struct csl_note *out, const char *file,
                             struct csl_diag *diag) {
    char path[CSL__PATH_MAX], *text;
    size_t n;
    TRY(csl__path(path, l->dir, file, diag));
    enum csl_err err = csl__read_file(&text, &n, path, CSL_NOTE_MAX, diag);
    if (err != CSL_OK) {
        return err == CSL_EDATA ? CSL_EAUTH : err;
    }
    err = csl_note_parse(out, text, n, diag);
    csl_secret_free(text);
    return err == CSL_OK ? err : csl_fail_context(diag, CSL_EAUTH, "%s was changed or damaged", path);
}

/* As every failed write, it closes the ledger. */
enum csl_err csl__notes_write(struct csl_ledger *l, const struct csl_note *note, const char *file,
                              struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    struct csl_diag why = {""};
    TRY(csl__path(path, l->dir, file, diag));
    enum csl_err err = csl__replace_file(path, 0600, note->text, strlen(note->text), &why);
    if (err == CSL_OK || err == CSL_EUSAGE) {
        return err;
    }
    (void)csl_fail_context(&why, err, "the ledger cannot be written, so no session is admitted");
    return csl_fail(diag, CSL_EIO, "%s", why.text);
}

/* Takes lock for itself. */
static enum csl_err fail_for_good(struct csl_ledger *l, enum csl_err err, const struct csl_diag *why,
                                  struct csl_diag *diag) {
    (void)pthread_mutex_lock(&l->lock);
    err = csl__ledger_fail(l, err, why, diag);
    (void)pthread_mutex_unlock(&l->lock);
    return err;
}

static enum csl_err write_or_close(struct csl_ledger *l, const struct csl_note *note, const char *file,
                                   struct csl_diag *diag) {
    struct csl_diag why = {""};
    enum csl_err err = csl__notes_write(l, note, file, &why);
    return err == CSL_OK ? err : fail_for_good(l, err, &why, diag);
}

/* ---- At the opening ---- */

/* Whether the note is ours, and of the log as it is. good: leaves of the newest checkpoint that was. */
static enum csl_err check_own(const struct csl_ledger *l, const struct csl_note *note, const char *file,
                              uint64_t good, struct csl_diag *diag) {
    uint8_t root[CSL_MERKLE_BYTES];
    const struct csl_checkpoint *c = &note->checkpoint;
    if (strcmp(c->origin, l->origin) != 0) {
        return csl_fail(diag, CSL_EAUTH, "%s/%s is of %s; this ledger is of %s", l->dir, file, c->origin,
                        l->origin);
    }
    enum csl_err err = csl_note_verify(note, l->name, l->key, diag);
    if (err != CSL_OK) {
        return csl_fail_context(diag, err, "%s/%s was changed or damaged", l->dir, file);
    }
    if (c->size > l->tree.n) {
        return csl_fail(diag, CSL_EAUTH,
                        "%s/log holds %llu entries, but %s has a signed checkpoint of %llu: the log was cut "
                        "off or rolled back; put back the newest copy of the folder",
                        l->dir, (unsigned long long)l->tree.n, file, (unsigned long long)c->size);
    }
    TRY(csl_merkle_tree_root(root, &l->tree, c->size));
    if (memcmp(root, c->root, sizeof root) != 0) {
        return csl_fail(diag, CSL_EAUTH,
                        "%s/log is not what was signed: an entry from %llu to %llu was changed, removed, "
                        "added or moved (the signed checkpoint of %llu entries in %s has another root); put "
                        "back the newest good copy of the folder",
                        l->dir, (unsigned long long)good, (unsigned long long)(c->size - 1),
                        (unsigned long long)c->size, file);
    }
    return CSL_OK;
}

static enum csl_err check_seen(const struct csl_ledger *l, struct csl_note *note, struct csl_diag *diag) {
    char path[CSL__PATH_MAX], file[CSL_NAME_MAX + 8];
    TRY(csl__path(path, l->dir, "seen", diag));
    DIR *d = opendir(path);
    if (d == NULL) {
        return csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(errno));
    }
    enum csl_err err = CSL_OK;
    for (struct dirent *e = readdir(d); err == CSL_OK && e != NULL; e = readdir(d)) {
        if (csl_name_valid(e->d_name)) { /* else what a crash left */
            (void)snprintf(file, sizeof file, "seen/%.*s", CSL_NAME_MAX, e->d_name);
            err = csl__notes_read(l, note, file, diag);
            if (err == CSL_OK) {
                err = csl_note_verify_cosignature(note, l->name, l->key, diag);
                err = err == CSL_OK
                          ? err
                          : csl_fail_context(diag, CSL_EAUTH, "%s/%s was changed or damaged", l->dir, file);
            }
        }
    }
    (void)closedir(d);
    return err;
}

enum csl_err csl__notes_check(struct csl_ledger *l, struct csl_diag *diag) {
    struct csl_note *note = malloc(sizeof *note);
    if (note == NULL) {
        return CSL_ENOMEM;
    }
    uint64_t good = 0;
    enum csl_err err = csl__history_load(l, diag);
    for (size_t i = 0; err == CSL_OK && i < l->n_notes; i++) {
        err = csl__history_note(l, note, i, diag);
        err = err == CSL_OK ? check_own(l, note, "history", good, diag) : err;
        good = note->checkpoint.size;
    }
    if (err == CSL_OK) {
        err = csl__notes_read(l, note, "checkpoint", diag);
    }
    if (err == CSL_OK && note->checkpoint.size < good) {
        err = csl_fail(diag, CSL_EAUTH,
                       "%s/checkpoint is older than the history beside it: it was rolled back", l->dir);
    }
    if (err == CSL_OK) {
        err = check_own(l, note, "checkpoint", good, diag);
    }
    if (err == CSL_OK) {
        err = check_seen(l, note, diag);
    }
    free(note);
    return err;
}

/* ---- Checkpoints ---- */

/* Size and root of all that there is, synced; and whether it continues the newest checkpoint. */
static enum csl_err present(struct csl_ledger *l, struct csl_checkpoint *c,
                            const struct csl_checkpoint *newest, struct csl_diag *diag) {
    uint8_t root[CSL_MERKLE_BYTES];
    struct csl_diag why = {""};
    TRY(csl__ledger_alive(l, diag));
    csl__log_flock(l, true);
    enum csl_err err = csl__log_catch_up(l, &why);
    csl__log_flock(l, false);
    if (err == CSL_OK) {
        c->size = l->tree.n;
        (void)snprintf(c->origin, sizeof c->origin, "%s", l->origin);
        err = csl_merkle_tree_root(c->root, &l->tree, c->size);
    }
    if (err == CSL_OK && (csl_merkle_tree_root(root, &l->tree, newest->size) != CSL_OK ||
                          memcmp(root, newest->root, sizeof root) != 0)) {
        err =
            csl_fail(&why, CSL_EAUTH, "%s/checkpoint of %llu entries does not fit the log: it was exchanged",
                     l->dir, (unsigned long long)newest->size);
    }
    return err == CSL_OK ? csl__log_sync(l, diag) : csl__ledger_fail(l, err, &why, diag);
}

static enum csl_err replace_checkpoint(struct csl_ledger *l, struct csl_note *newest, struct csl_diag *diag) {
    struct csl_checkpoint c;
    (void)pthread_mutex_lock(&l->lock);
    enum csl_err err = present(l, &c, &newest->checkpoint, diag);
    (void)pthread_mutex_unlock(&l->lock);
    if (err != CSL_OK || c.size == newest->checkpoint.size) {
        return err;
    }
    if (csl_note_cosignatures(newest) != 0) {
        struct csl_diag why = {""};
        err = csl__history_add(l, newest, &why);
        if (err != CSL_OK) {
            return fail_for_good(l, err, &why, diag);
        }
    }
    TRY(csl_note_sign(newest, &c, l->name, l->key, diag));
    return write_or_close(l, newest, "checkpoint", diag);
}

enum csl_err csl_ledger_checkpoint(struct csl_ledger *l, struct csl_note *out, struct csl_diag *diag) {
    csl__notes_enter(l);
    struct csl_diag why = {""};
    enum csl_err err = csl__notes_read(l, out, "checkpoint", &why);
    err = err == CSL_OK ? replace_checkpoint(l, out, diag)
                        : fail_for_good(l, err == CSL_ENOINPUT ? CSL_EAUTH : err, &why, diag);
    csl__notes_leave(l);
    return err;
}

enum csl_err csl_ledger_newest(struct csl_ledger *l, struct csl_note *out, struct csl_diag *diag) {
    csl__notes_enter(l);
    enum csl_err err = csl__notes_read(l, out, "checkpoint", diag);
    csl__notes_leave(l);
    if (err == CSL_OK && out->checkpoint.size == 0) {
        return csl_fail(diag, CSL_ENOINPUT, "the ledger of %s has no checkpoint yet", l->name);
    }
    return err;
}

enum csl_err csl_ledger_cosigned(struct csl_ledger *l, const struct csl_note *note, const char *name,
                                 EVP_PKEY *key, struct csl_diag *diag) {
    TRY(csl_note_verify_cosignature(note, name, key, diag));
    TRY(csl_note_verify(note, l->name, l->key, diag));
    struct csl_note *newest = malloc(sizeof *newest);
    if (newest == NULL) {
        return CSL_ENOMEM;
    }
    csl__notes_enter(l);
    enum csl_err err = csl__notes_read(l, newest, "checkpoint", diag);
    if (err == CSL_OK && note->checkpoint.size != 0 && newest->n_body == note->n_body &&
        memcmp(newest->text, note->text, note->n_body) == 0) { /* else one that was replaced meanwhile */
        err = csl_note_merge(newest, note, name, key, diag);
        err = err == CSL_OK ? write_or_close(l, newest, "checkpoint", diag) : err;
    }
    csl__notes_leave(l);
    free(newest);
    return err;
}

enum csl_err csl_ledger_history(struct csl_ledger *l, struct csl_note *out, size_t i, struct csl_diag *diag) {
    csl__notes_enter(l);
    enum csl_err err = csl__history_load(l, diag);
    if (err == CSL_OK) {
        err = csl__history_note(l, out, i, diag);
    }
    csl__notes_leave(l);
    return err;
}

/* ---- As a witness ---- */

static enum csl_err seen_file(char file[CSL_NAME_MAX + 8], const char *name, struct csl_diag *diag) {
    if (!csl_name_valid(name)) {
        return csl_fail(diag, CSL_EUSAGE, "\"%.64s\" is not a site's name", name);
    }
    (void)snprintf(file, CSL_NAME_MAX + 8, "seen/%s", name);
    return CSL_OK;
}

static enum csl_err read_seen(const struct csl_ledger *l, struct csl_note *out, const char *file,
                              struct csl_diag *diag) {
    enum csl_err err = csl__notes_read(l, out, file, diag);
    if (err == CSL_ENOINPUT) {
        memset(out, 0, sizeof *out);
        return CSL_OK;
    }
    return err;
}

enum csl_err csl_ledger_seen(struct csl_ledger *l, struct csl_note *out, const char *name,
                             struct csl_diag *diag) {
    char file[CSL_NAME_MAX + 8];
    TRY(seen_file(file, name, diag));
    csl__notes_enter(l);
    enum csl_err err = read_seen(l, out, file, diag);
    csl__notes_leave(l);
    return err;
}

static enum csl_err judge(const struct csl_checkpoint *seen, const struct csl_checkpoint *c, const char *name,
                          uint64_t old_size, const uint8_t (*proof)[CSL_MERKLE_BYTES], size_t n_proof,
                          uint64_t *have, bool *forked, struct csl_diag *diag) {
    *have = seen->size;
    if (c->size < seen->size) {
        return csl_fail(diag, CSL_EAUTH,
                        "%s shows a ledger of %llu entries, but had one of %llu cosigned here: it was rolled "
                        "back",
                        name, (unsigned long long)c->size, (unsigned long long)seen->size);
    }
    if (seen->size != 0 && c->size == seen->size) {
        *forked = memcmp(c->root, seen->root, sizeof c->root) != 0;
        return !*forked ? CSL_OK
                        : csl_fail(diag, CSL_EAUTH,
                                   "%s signed two different ledgers of %llu entries: it was forked", name,
                                   (unsigned long long)c->size);
    }
    if (old_size != seen->size) {
        return csl_fail(diag, CSL_ESTALE, "the proof of %s begins at %llu entries; %llu were cosigned here",
                        name, (unsigned long long)old_size, (unsigned long long)seen->size);
    }
    if (seen->size == 0) {
        return CSL_OK; /* the first that we see */
    }
    enum csl_err err =
        csl_merkle_verify_consistency(seen->root, seen->size, c->root, c->size, proof, n_proof);
    return err != CSL_EAUTH
               ? err
               : csl_fail(diag, err,
                          "%s shows a ledger of %llu entries that does not continue the one of %llu that was "
                          "cosigned here: it was forked or changed",
                          name, (unsigned long long)c->size, (unsigned long long)seen->size);
}

enum csl_err csl_ledger_witness(struct csl_ledger *l, struct csl_note *note, const char *name, EVP_PKEY *key,
                                const char *origin, uint64_t old_size,
                                const uint8_t (*proof)[CSL_MERKLE_BYTES], size_t n_proof, uint64_t *have,
                                bool *forked, struct csl_diag *diag) {
    char file[CSL_NAME_MAX + 8];
    *forked = false;
    *have = 0;
    TRY(seen_file(file, name, diag));
    TRY(csl_ledger_check(l, diag));
    TRY(csl_note_verify(note, name, key, diag));
    if (strcmp(note->checkpoint.origin, origin) != 0) {
        return csl_fail(diag, CSL_EAUTH, "%s signed a checkpoint of %s; its ledger is %s", name,
                        note->checkpoint.origin, origin);
    }
    struct csl_note *seen = malloc(sizeof *seen);
    if (seen == NULL) {
        return CSL_ENOMEM;
    }
    csl__notes_enter(l);
    enum csl_err err = read_seen(l, seen, file, diag);
    if (err == CSL_OK) {
        err = judge(&seen->checkpoint, &note->checkpoint, name, old_size, proof, n_proof, have, forked, diag);
    }
    if (err == CSL_OK) {
        csl_note_only(note, name, NULL);
        err = csl_note_cosign(note, l->name, l->key, (uint64_t)time(NULL), diag);
    }
    if (err == CSL_OK && note->checkpoint.size != 0) { /* of an empty ledger there is nothing to remember */
        err = write_or_close(l, note, file, diag);
    }
    csl__notes_leave(l);
    free(seen);
    return err;
}
