/* The writer of views, in a lane. What goes wrong with the disk is logged and marks the view as incomplete;
 * the session goes on. */
#include "roles/judge/view.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "roles/daemon/daemon.h"
#include "roles/judge/view_internal.h"

enum {
    END_ROOM = 1024,        /* kept for the last record */
    BACKGROUND = 256 * 1024 /* bytes of a record from which on a thread seals and writes it */
};

struct csl_view_writer {
    const struct csl_context *ctx;
    int fd; /* with an exclusive lock */
    char dir[CSL__PATH_MAX], path[CSL__PATH_MAX];
    uint8_t head[CSL__VIEW_HEAD_BYTES];
    uint64_t size, number;
    unsigned n_parties;
    bool stopped; /* nothing but the end is written any more */
    bool broken;  /* not even that */
    char why[512];
    /* A large record on its way; nothing above is touched until the thread is joined. */
    bool adding;
    pthread_t thread;
    uint8_t *plain;
    size_t n_plain;
    enum csl_err added;
    struct csl_diag added_diag;
    uint64_t taken; /* bytes of all records so far, whether written yet or not; the lane's alone */
};

static uint64_t bound_of(const struct csl_context *ctx) {
    return (uint64_t)ctx->roster.audit.views_mib << 20;
}

static void stop(struct csl_view_writer *w, const char *why) {
    if (!w->stopped) {
        w->stopped = true;
        (void)snprintf(w->why, sizeof w->why, "%s", why);
        csl_log("view %s is incomplete from here on: %s", w->path, w->why);
    }
}

static bool write_all(int fd, const uint8_t *p, size_t n) {
    size_t done = 0;
    while (done < n) {
        ssize_t r = write(fd, p + done, n - done);
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r <= 0) {
            return false;
        }
        done += (size_t)r;
    }
    return true;
}

/* Sealed bytes to the file's end, or nothing of them. */
static void append(struct csl_view_writer *w, const uint8_t *p, size_t n) {
    char why[256];
    if (write_all(w->fd, p, n)) {
        w->size += n;
        w->number++;
        return;
    }
    (void)snprintf(why, sizeof why, "it cannot be written: %s", strerror(errno));
    if (ftruncate(w->fd, (off_t)w->size) != 0 || lseek(w->fd, (off_t)w->size, SEEK_SET) < 0) {
        w->broken = true; /* a reader finds an unfinished record at the end */
    }
    csl__views_lock();
    csl__views_return(w->dir, n);
    csl__views_unlock();
    stop(w, why);
}

/* Seals a record and adds it, as far as the bound allows. Takes plain over. */
static enum csl_err add_record(struct csl_view_writer *w, uint8_t *plain, size_t n, struct csl_diag *diag) {
    uint8_t *sealed = NULL;
    size_t n_sealed = 0;
    enum csl_err err = csl__view_seal(&sealed, &n_sealed, w->ctx->self->wrap_key, CSL__VIEW_LABEL, w->head,
                                      sizeof w->head, w->number, plain, n, diag);
    csl_secret_free(plain);
    TRY(err);
    csl__views_lock();
    bool fits = w->size + n_sealed + END_ROOM <= bound_of(w->ctx) &&
                csl__views_room(w->dir, bound_of(w->ctx), n_sealed);
    csl__views_unlock();
    if (fits) {
        append(w, sealed, n_sealed);
    } else {
        stop(w, "it would be larger than the roster's audit.views_mib leaves room for");
    }
    free(sealed);
    return CSL_OK;
}

static void *add_behind(void *arg) {
    struct csl_view_writer *w = arg;
    w->added = add_record(w, w->plain, w->n_plain, &w->added_diag);
    return NULL;
}

/* The record that was on its way is in the file, or why it is not. */
static enum csl_err settle(struct csl_view_writer *w, struct csl_diag *diag) {
    if (!w->adding) {
        return CSL_OK;
    }
    (void)pthread_join(w->thread, NULL);
    w->adding = false;
    return w->added == CSL_OK ? CSL_OK : csl_fail(diag, w->added, "%s", w->added_diag.text);
}

/* Sealing and writing megabytes takes as long as the batch did: the next one is prepared meanwhile. Takes
 * plain over. */
static enum csl_err add_large(struct csl_view_writer *w, uint8_t *plain, size_t n, struct csl_diag *diag) {
    w->plain = plain;
    w->n_plain = n;
    w->adding = pthread_create(&w->thread, NULL, add_behind, w) == 0;
    return w->adding ? CSL_OK : add_record(w, plain, n, diag);
}

/* ---- Beginning ---- */

/* E is what all parties opened, and opened again when one asks for it: another E of the same mask id (a party
 * sent another share) must not be taken for the one that is there. The salt of our part keeps the name from
 * telling anything. */
static enum csl_err name_weights(uint8_t id[32], const struct csl_package *package, const uint8_t mask_id[32],
                                 const struct csl_model_share *share) {
    uint8_t salts[2 * CSL_NONCE_BYTES];
    _Static_assert((int)CSL_SALT_BYTES == (int)CSL_NONCE_BYTES, "both go before E");
    memcpy(salts, mask_id, CSL_NONCE_BYTES);
    memcpy(salts + CSL_NONCE_BYTES, package->part, CSL_SALT_BYTES);
    enum csl_err err = csl_weights_digest(id, salts, 2, share);
    csl_wipe(salts, sizeof salts);
    CSL_PUBLIC(id, 32);
    return err;
}

/* E, once for each of its names; under the folder's lock. */
static enum csl_err write_weights(const struct csl_view_writer *w, const uint8_t weights_id[32],
                                  const struct csl_model_share *share, struct csl_diag *diag) {
    char path[CSL__PATH_MAX], name[80] = "";
    uint8_t head[CSL__VIEW_HEAD_BYTES], none[16] = {0}, *plain = NULL, *sealed = NULL;
    size_t n = 0, n_sealed = 0;
    for (int i = 0; i < 32; i++) {
        (void)snprintf(name + 2 * (ptrdiff_t)i, 3, "%02x", weights_id[i]);
    }
    (void)strcat(name, ".weights");
    TRY(csl__path(path, w->dir, name, diag));
    if (access(path, F_OK) == 0) {
        return CSL_OK;
    }
    csl__view_head(head, weights_id, none);
    TRY(csl__view_pack_weights(&plain, &n, share));
    enum csl_err err = csl__view_seal(&sealed, &n_sealed, w->ctx->self->wrap_key, CSL__VIEW_LABEL, head,
                                      sizeof head, 0, plain, n, diag);
    csl_secret_free(plain);
    TRY(err);
    uint8_t *all = malloc(sizeof head + n_sealed);
    if (all == NULL) {
        free(sealed);
        return CSL_ENOMEM;
    }
    memcpy(all, head, sizeof head);
    memcpy(all + sizeof head, sealed, n_sealed);
    free(sealed);
    n = sizeof head + n_sealed;
    err = csl__views_room(w->dir, bound_of(w->ctx), n)
              ? csl__replace_file(path, 0600, all, n, diag)
              : csl_fail(diag, CSL_EIO, "the weights do not fit into the roster's audit.views_mib");
    free(all);
    return err;
}

/* The file with its head, under the folder's lock: nobody deletes the weights before it names them. */
static enum csl_err create(struct csl_view_writer *w, const uint8_t weights_id[32],
                           const uint8_t session_id[16], const struct csl_model_share *share,
                           struct csl_diag *diag) {
    char name[48] = "";
    for (int i = 0; i < 16; i++) {
        (void)snprintf(name + 2 * (ptrdiff_t)i, 3, "%02x", session_id[i]);
    }
    (void)strcat(name, ".view");
    TRY(csl__path(w->path, w->dir, name, diag));
    csl__view_head(w->head, weights_id, session_id);
    TRY(write_weights(w, weights_id, share, diag));
    if (!csl__views_room(w->dir, bound_of(w->ctx), sizeof w->head + END_ROOM)) {
        return csl_fail(diag, CSL_EIO, "the roster's audit.views_mib leaves no room for another view");
    }
    w->fd = open(w->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->fd < 0 || flock(w->fd, LOCK_EX | LOCK_NB) != 0 || !write_all(w->fd, w->head, sizeof w->head)) {
        return csl_fail(diag, CSL_EIO, "%s: %s", w->path, strerror(errno));
    }
    w->size = sizeof w->head;
    return CSL_OK;
}

static enum csl_err begin(struct csl_view_writer *w, const uint8_t session_id[16],
                          const struct csl_package *package, const uint8_t mask_id[32],
                          const struct csl_model_share *share, struct csl_diag *diag) {
    char state[CSL__PATH_MAX];
    uint8_t weights_id[32];
    TRY(name_weights(weights_id, package, mask_id, share));
    TRY(csl__path(state, w->ctx->dir, "state", diag));
    TRY(csl__make_dir(state, diag));
    TRY(csl__views_dir(w->dir, w->ctx, diag));
    TRY(csl__make_dir(w->dir, diag));
    csl__views_lock();
    enum csl_err err = create(w, weights_id, session_id, share, diag);
    csl__views_unlock();
    return err;
}

static void writer_free(struct csl_view_writer *w) {
    if (w->fd >= 0) {
        close(w->fd);
    }
    free(w);
}

enum csl_err csl_view_begin(struct csl_view_writer **out, const struct csl_context *ctx,
                            const uint8_t session_id[16], const struct csl_session_record *s,
                            const struct csl_package *package, const uint8_t mask_id[32],
                            const struct csl_model_share *share, const struct csl_request *request,
                            struct csl_diag *diag) {
    struct csl_diag why = {""};
    uint8_t *plain = NULL;
    size_t n = 0;
    *out = NULL;
    if (ctx->roster.audit.views_mib == 0) {
        return CSL_OK;
    }
    struct csl_view_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return CSL_ENOMEM;
    }
    w->ctx = ctx;
    w->fd = -1;
    w->n_parties = s->n_parties;
    if (begin(w, session_id, package, mask_id, share, &why) != CSL_OK) {
        csl_log("no view of this session is kept: %s", why.text);
        writer_free(w);
        return CSL_OK;
    }
    enum csl_err err = csl__view_pack_session(&plain, &n, s, package, request);
    if (err == CSL_OK) {
        err = add_record(w, plain, n, diag);
    }
    if (err != CSL_OK) {
        writer_free(w);
        return err;
    }
    w->taken = w->size;
    *out = w;
    return CSL_OK;
}

/* ---- Batches, and the end ---- */

enum csl_err csl_view_add(struct csl_view_writer *w, const struct csl_record *r, struct csl_diag *diag) {
    uint8_t *plain = NULL;
    size_t n = 0;
    if (w == NULL) {
        return CSL_OK;
    }
    TRY(settle(w, diag));
    if (w->stopped) {
        return CSL_OK;
    }
    TRY(csl__view_pack_batch(&plain, &n, r, w->n_parties));
    w->taken += n;
    return n >= BACKGROUND ? add_large(w, plain, n, diag) : add_record(w, plain, n, diag);
}

bool csl_view_is_large(const struct csl_view_writer *w) {
    return w != NULL && w->taken > bound_of(w->ctx) / 4;
}

void csl_view_end(struct csl_view_writer *w) {
    uint8_t *plain = NULL, *sealed = NULL;
    size_t n = 0, n_sealed = 0;
    struct csl_diag diag = {""};
    if (w == NULL) {
        return;
    }
    if (settle(w, &diag) != CSL_OK) {
        stop(w, diag.text);
    }
    if (!w->broken && csl__view_pack_end(&plain, &n, !w->stopped, w->why) == CSL_OK &&
        csl__view_seal(&sealed, &n_sealed, w->ctx->self->wrap_key, CSL__VIEW_LABEL, w->head, sizeof w->head,
                       w->number, plain, n, &diag) == CSL_OK) {
        append(w, sealed, n_sealed); /* its room was kept */
    }
    csl_secret_free(plain);
    free(sealed);
    (void)fdatasync(w->fd);
    writer_free(w);
}
