/* Life of a ledger, appending, and what is asked of its tree. */
#include "audit/ledger_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum csl_err csl__ledger_alive(const struct csl_ledger *l, struct csl_diag *diag) {
    return l->failed == CSL_OK ? CSL_OK : csl_fail(diag, l->failed, "%s", l->why.text);
}

enum csl_err csl__ledger_fail(struct csl_ledger *l, enum csl_err err, const struct csl_diag *why,
                              struct csl_diag *diag) {
    if (l->failed == CSL_OK) {
        l->failed = err;
        l->why = *why;
        (void)pthread_cond_broadcast(&l->sync_done);
    }
    return csl__ledger_alive(l, diag);
}

/* Errors of reading what is there close the ledger as well: it is not what it was. */
static enum csl_err catch_up(struct csl_ledger *l, struct csl_diag *diag) {
    struct csl_diag why = {""};
    enum csl_err err = csl__log_catch_up(l, &why);
    return err == CSL_OK ? CSL_OK : csl__ledger_fail(l, err, &why, diag);
}

/* ---- Group commit ---- */

static void *sync_thread(void *arg) {
    struct csl_ledger *l = arg;
    (void)pthread_mutex_lock(&l->lock);
    while (!l->stopping && l->failed == CSL_OK) {
        if (l->synced >= l->end) {
            (void)pthread_cond_wait(&l->dirty, &l->lock);
            continue;
        }
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        uint64_t ns = (uint64_t)until.tv_nsec + (uint64_t)l->sync_ms * 1000000;
        until.tv_sec += (time_t)(ns / 1000000000);
        until.tv_nsec = (long)(ns % 1000000000);
        while (!l->stopping && pthread_cond_timedwait(&l->dirty, &l->lock, &until) == 0) {
        }
        (void)!csl__log_sync(l, NULL); /* the error stays in l->failed */
    }
    (void)pthread_mutex_unlock(&l->lock);
    return NULL;
}

static enum csl_err start_syncer(struct csl_ledger *l, struct csl_diag *diag) {
    l->has_syncer = l->sync_ms != 0 && pthread_create(&l->syncer, NULL, sync_thread, l) == 0;
    return l->has_syncer || l->sync_ms == 0 ? CSL_OK : csl_fail(diag, CSL_EOS, "no thread for the ledger");
}

static void stop_syncer(struct csl_ledger *l) {
    if (l->has_syncer) {
        (void)pthread_mutex_lock(&l->lock);
        l->stopping = true;
        (void)pthread_cond_broadcast(&l->dirty);
        (void)pthread_mutex_unlock(&l->lock);
        (void)pthread_join(l->syncer, NULL);
        l->has_syncer = false;
    }
}

/* ---- Opening ---- */

static enum csl_err open_folder(struct csl_ledger *l, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    TRY(csl__make_dir(l->dir, diag));
    TRY(csl__path(path, l->dir, "seen", diag));
    TRY(csl__make_dir(path, diag));
    TRY(csl__path(path, l->dir, "lock", diag));
    l->notes_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    return l->notes_fd >= 0 ? CSL_OK : csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(errno));
}

/* A ledger has a checkpoint from its first moment on, of no leaf: so a log without one is one that somebody
 * took it from. */
static enum csl_err first_checkpoint(struct csl_ledger *l, struct csl_note *note, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    static const char *const files[2] = {"log", "history"};
    for (size_t i = 0; i < 2; i++) {
        TRY(csl__path(path, l->dir, files[i], diag));
        if (access(path, F_OK) == 0) {
            return csl_fail(diag, CSL_EAUTH,
                            "%s/checkpoint is missing, but %s is there: it was removed; put back the newest "
                            "copy of the folder",
                            l->dir, path);
        }
    }
    struct csl_checkpoint c = {.size = 0};
    (void)snprintf(c.origin, sizeof c.origin, "%s", l->origin);
    TRY(csl_merkle_tree_root(c.root, &l->tree, 0));
    TRY(csl_note_sign(note, &c, l->name, l->key, diag));
    return csl__notes_write(l, note, "checkpoint", diag);
}

/* Who reads first without the file lock keeps nobody waiting; the rest is short. */
static enum csl_err load_log(struct csl_ledger *l, uint64_t size, struct csl_diag *diag) {
    uint64_t torn;
    TRY(csl__log_open(l, size == 0, diag));
    TRY(csl__log_read(l, &torn, diag));
    csl__log_flock(l, true);
    enum csl_err err = csl__log_read(l, &torn, diag);
    if (err == CSL_OK && l->tree.n < size) {
        err = csl_fail(diag, CSL_EAUTH,
                       "%s/log ends before entry %llu, but its checkpoint signs %llu entries: it was cut off "
                       "or rolled back; put back the newest copy of the folder",
                       l->dir, (unsigned long long)l->tree.n, (unsigned long long)size);
    }
    if (err == CSL_OK) {
        err = csl__log_catch_up(l, diag);
    }
    csl__log_flock(l, false);
    return err;
}

static enum csl_err load(struct csl_ledger *l, struct csl_diag *diag) {
    struct csl_note *newest = calloc(1, sizeof *newest);
    if (newest == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = csl__notes_read(l, newest, "checkpoint", diag);
    if (err == CSL_ENOINPUT) {
        err = first_checkpoint(l, newest, diag);
    }
    if (err == CSL_OK) {
        err = load_log(l, newest->checkpoint.size, diag);
    }
    free(newest);
    return err == CSL_OK ? csl__notes_check(l, diag) : err;
}

static enum csl_err open_all(struct csl_ledger *l, const struct csl_ledger_options *opt,
                             struct csl_diag *diag) {
    int a = snprintf(l->dir, sizeof l->dir, "%s", opt->dir);
    int b = snprintf(l->origin, sizeof l->origin, "%s", opt->origin);
    int c = snprintf(l->name, sizeof l->name, "%s", opt->name);
    if (a >= (int)sizeof l->dir || b >= (int)sizeof l->origin || c >= (int)sizeof l->name) {
        return csl_fail(diag, CSL_EUSAGE, "the ledger's folder, origin or name is too long");
    }
    TRY(open_folder(l, diag));
    csl__notes_enter(l);
    (void)pthread_mutex_lock(&l->lock);
    enum csl_err err = load(l, diag);
    (void)pthread_mutex_unlock(&l->lock);
    csl__notes_leave(l);
    return err == CSL_OK ? start_syncer(l, diag) : err;
}

static void free_ledger(struct csl_ledger *l) {
    stop_syncer(l);
    if (l->fd >= 0) {
        (void)close(l->fd);
    }
    if (l->notes_fd >= 0) {
        (void)close(l->notes_fd);
    }
    csl_merkle_tree_clear(&l->tree);
    (void)pthread_mutex_destroy(&l->lock);
    (void)pthread_mutex_destroy(&l->notes_lock);
    (void)pthread_cond_destroy(&l->sync_done);
    (void)pthread_cond_destroy(&l->dirty);
    free(l->marks);
    csl__history_forget(l);
    free(l);
}

enum csl_err csl_ledger_open(struct csl_ledger **out, const struct csl_ledger_options *opt,
                             struct csl_diag *diag) {
    *out = NULL;
    struct csl_ledger *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return CSL_ENOMEM;
    }
    l->fd = l->notes_fd = -1;
    l->key = opt->sign_key;
    l->sync_ms = opt->sync_ms;
    csl_merkle_tree_init(&l->tree);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_mutex_init(&l->notes_lock, NULL);
    (void)pthread_cond_init(&l->sync_done, NULL);
    (void)pthread_cond_init(&l->dirty, &attr);
    (void)pthread_condattr_destroy(&attr);
    enum csl_err err = open_all(l, opt, diag);
    if (err != CSL_OK) {
        free_ledger(l);
        return err == CSL_ECREATE ? CSL_EIO : err;
    }
    *out = l;
    return CSL_OK;
}

void csl_ledger_close(struct csl_ledger *l) {
    if (l != NULL) {
        struct csl_note *last = malloc(sizeof *last);
        stop_syncer(l);
        if (last != NULL) {
            (void)!csl_ledger_checkpoint(l, last, NULL);
            free(last);
        }
        free_ledger(l);
    }
}

uint64_t csl_ledger_torn(const struct csl_ledger *l) {
    return l->torn;
}

/* ---- Appending ---- */

enum csl_err csl_ledger_append(struct csl_ledger *l, uint64_t *index, const uint8_t *leaf, size_t n,
                               bool durable, struct csl_diag *diag) {
    if (n == 0 || n > CSL_LEAF_MAX) {
        return csl_fail(diag, CSL_EDATA, "a ledger's entry has 1 to %d bytes, not %zu", CSL_LEAF_MAX, n);
    }
    (void)pthread_mutex_lock(&l->lock);
    enum csl_err err = csl__ledger_alive(l, diag);
    if (err == CSL_OK) {
        csl__log_flock(l, true);
        err = catch_up(l, diag);
        if (err == CSL_OK) {
            *index = l->tree.n;
            err = csl__log_write(l, leaf, n, diag);
        }
        csl__log_flock(l, false);
    }
    if (err == CSL_OK) {
        (void)pthread_cond_signal(&l->dirty);
        err = durable ? csl__log_sync(l, diag) : CSL_OK;
    }
    (void)pthread_mutex_unlock(&l->lock);
    return err;
}

enum csl_err csl_ledger_sync(struct csl_ledger *l, struct csl_diag *diag) {
    (void)pthread_mutex_lock(&l->lock);
    enum csl_err err = csl__ledger_alive(l, diag);
    if (err == CSL_OK) {
        err = csl__log_sync(l, diag);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return err;
}

enum csl_err csl_ledger_check(struct csl_ledger *l, struct csl_diag *diag) {
    (void)pthread_mutex_lock(&l->lock);
    enum csl_err err = csl__ledger_alive(l, diag);
    (void)pthread_mutex_unlock(&l->lock);
    return err;
}

/* ---- Reading ---- */

uint64_t csl_ledger_size(struct csl_ledger *l) {
    (void)pthread_mutex_lock(&l->lock);
    uint64_t n = l->tree.n;
    (void)pthread_mutex_unlock(&l->lock);
    return n;
}

enum csl_err csl_ledger_refresh(struct csl_ledger *l, struct csl_diag *diag) {
    (void)pthread_mutex_lock(&l->lock);
    enum csl_err err = csl__ledger_alive(l, diag);
    if (err == CSL_OK) {
        csl__log_flock(l, true);
        err = catch_up(l, diag);
        csl__log_flock(l, false);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return err;
}

enum csl_err csl_ledger_root(struct csl_ledger *l, uint8_t out[CSL_MERKLE_BYTES], uint64_t n) {
    (void)pthread_mutex_lock(&l->lock);
    enum csl_err err = csl_merkle_tree_root(out, &l->tree, n);
    (void)pthread_mutex_unlock(&l->lock);
    return err;
}

enum csl_err csl_ledger_leaf(struct csl_ledger *l, uint8_t **leaf, size_t *n, uint64_t i,
                             struct csl_diag *diag) {
    (void)pthread_mutex_lock(&l->lock);
    enum csl_err err = csl__log_leaf(l, leaf, n, i, diag);
    (void)pthread_mutex_unlock(&l->lock);
    return err;
}

enum csl_err csl_ledger_inclusion(struct csl_ledger *l, uint8_t (*proof)[CSL_MERKLE_BYTES], size_t *n_proof,
                                  uint64_t index, uint64_t size) {
    (void)pthread_mutex_lock(&l->lock);
    enum csl_err err = csl_merkle_inclusion(proof, n_proof, &l->tree, index, size);
    (void)pthread_mutex_unlock(&l->lock);
    return err;
}

enum csl_err csl_ledger_consistency(struct csl_ledger *l, uint8_t (*proof)[CSL_MERKLE_BYTES], size_t *n_proof,
                                    uint64_t old_size, uint64_t size) {
    (void)pthread_mutex_lock(&l->lock);
    enum csl_err err = csl_merkle_consistency(proof, n_proof, &l->tree, old_size, size);
    (void)pthread_mutex_unlock(&l->lock);
    return err;
}
