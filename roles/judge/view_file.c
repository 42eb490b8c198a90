/* Files of sealed records: a clear head, then length u64 | envelope, one after another. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "crypto/bytes.h"
#include "crypto/secret.h"
#include "roles/judge/view_internal.h"

enum { ENVELOPE_OVERHEAD_MAX = 4096 };

void csl__view_head(uint8_t out[CSL__VIEW_HEAD_BYTES], const uint8_t weights_id[32],
                    const uint8_t session_id[16]) {
    memcpy(out, "CSLV", 4);
    csl_store_u32(out + 4, CSL__VIEW_VERSION);
    memcpy(out + 8, weights_id, 32);
    memcpy(out + 40, session_id, 16);
}

/* SHA-256(label 0 | head | number u64) */
static enum csl_err bind_record(uint8_t out[CSL_SHA256_BYTES], const char *label, const uint8_t *head,
                                size_t n_head, uint64_t number) {
    uint8_t le[8];
    csl_store_u64(le, number);
    struct csl_sha256 h = {0};
    enum csl_err err = CSL_OK;
    TRY_OUT(csl_sha256_init(&h));
    TRY_OUT(csl_sha256_update(&h, (const uint8_t *)label, strlen(label) + 1));
    TRY_OUT(csl_sha256_update(&h, head, n_head));
    TRY_OUT(csl_sha256_update(&h, le, sizeof le));
    err = csl_sha256_final(&h, out);
out:
    csl_sha256_clear(&h);
    return err;
}

enum csl_err csl__view_seal(uint8_t **out, size_t *n_out, EVP_PKEY *key, const char *label,
                            const uint8_t *head, size_t n_head, uint64_t number, const uint8_t *plain,
                            size_t n, struct csl_diag *diag) {
    uint8_t aad[CSL_SHA256_BYTES];
    size_t n_env;
    *out = NULL;
    TRY(bind_record(aad, label, head, n_head, number));
    TRY(csl_envelope_size(&n_env, n, key, diag));
    uint8_t *p = malloc(8 + n_env);
    if (p == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = csl_envelope_seal(p + 8, &n_env, key, label, aad, sizeof aad, plain, n, diag);
    if (err != CSL_OK) {
        free(p);
        return err;
    }
    csl_store_u64(p, n_env);
    *out = p;
    *n_out = 8 + n_env;
    return CSL_OK;
}

enum csl_err csl__pread(int fd, const char *path, uint8_t *out, size_t n, uint64_t at,
                        struct csl_diag *diag) {
    size_t got = 0;
    while (got < n) {
        ssize_t r = pread(fd, out + got, n - got, (off_t)(at + got));
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r < 0) {
            return csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(errno));
        }
        if (r == 0) {
            return csl_fail(diag, CSL_EDATA, "%s: shorter than it says", path);
        }
        got += (size_t)r;
    }
    return CSL_OK;
}

/* A session that the client has just closed ends soon. */
static bool lock_shared(int fd) {
    enum { TRIES = 100 };
    static const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    for (int i = 0; flock(fd, LOCK_SH | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK || i == TRIES) {
            return false;
        }
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

static enum csl_err open_locked(struct csl__view_file *f, const char *path, struct csl_diag *diag) {
    struct stat st;
    f->path = strdup(path);
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (f->fd < 0 || f->path == NULL) {
        return csl_fail(diag, CSL_ENOINPUT, "%s: %s", path, strerror(errno));
    }
    if (!lock_shared(f->fd)) {
        return csl_fail(diag, CSL_EBUSY,
                        "%s: the session still runs; try again when the client has closed it", path);
    }
    if (fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return csl_fail(diag, CSL_ENOINPUT, "%s: not a regular file", path);
    }
    f->end = (uint64_t)st.st_size;
    return CSL_OK;
}

enum csl_err csl__view_file_open(struct csl__view_file *f, const char *path, EVP_PKEY *key,
                                 struct csl_diag *diag) {
    *f = (struct csl__view_file){.fd = -1, .label = CSL__VIEW_LABEL};
    enum csl_err err = open_locked(f, path, diag);
    TRY_OUT(err);
    f->head = malloc(CSL__VIEW_HEAD_BYTES);
    f->n_head = CSL__VIEW_HEAD_BYTES;
    if (f->head == NULL || EVP_PKEY_up_ref(key) != 1) {
        err = CSL_ENOMEM;
        goto out;
    }
    f->key = key;
    TRY_OUT(csl__pread(f->fd, path, f->head, f->n_head, 0, diag));
    if (memcmp(f->head, "CSLV", 4) != 0 || csl_load_u32(f->head + 4) != CSL__VIEW_VERSION) {
        err = csl_fail(diag, CSL_EDATA, "%s: not a view that this program wrote (version %d)", path,
                       CSL__VIEW_VERSION);
    }
    f->at = CSL__VIEW_HEAD_BYTES;
out:
    if (err != CSL_OK) {
        csl__view_file_close(f);
    }
    return err;
}

void csl__view_file_close(struct csl__view_file *f) {
    if (f->path != NULL && f->fd >= 0) {
        close(f->fd);
    }
    free(f->path);
    free(f->head);
    EVP_PKEY_free(f->key);
    *f = (struct csl__view_file){.fd = -1};
}

static enum csl_err open_record(struct csl__view_file *f, uint8_t **plain, size_t *n, const uint8_t *env,
                                size_t n_env, struct csl_diag *diag) {
    uint8_t aad[CSL_SHA256_BYTES];
    size_t room;
    TRY(bind_record(aad, f->label, f->head, f->n_head, f->number));
    TRY(csl_envelope_plain_size(&room, env, n_env, diag));
    uint8_t *p = csl_secret_alloc(room + 1, 1);
    if (p == NULL) {
        return CSL_ENOMEM;
    }
    *n = room;
    enum csl_err err = csl_envelope_open(p, n, f->key, f->label, aad, sizeof aad, env, n_env, diag);
    if (err != CSL_OK) {
        csl_secret_free(p);
        return err;
    }
    *plain = p;
    return CSL_OK;
}

enum csl_err csl__view_file_next(struct csl__view_file *f, uint8_t **plain, size_t *n, bool *torn,
                                 struct csl_diag *diag) {
    uint8_t length[8];
    *plain = NULL;
    *n = 0;
    *torn = false;
    if (f->end - f->at < sizeof length) {
        *torn = f->end != f->at;
        return CSL_OK;
    }
    TRY(csl__pread(f->fd, f->path, length, sizeof length, f->at, diag));
    uint64_t n_env = csl_load_u64(length);
    if (n_env > f->end - f->at - sizeof length) {
        *torn = true;
        return CSL_OK;
    }
    uint8_t *env = malloc((size_t)n_env + 1);
    if (env == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = csl__pread(f->fd, f->path, env, (size_t)n_env, f->at + sizeof length, diag);
    if (err == CSL_OK) {
        err = open_record(f, plain, n, env, (size_t)n_env, diag);
        err = err == CSL_OK || err == CSL_ENOMEM
                  ? err
                  : csl_fail_context(diag, err, "%s: record %llu", f->path, (unsigned long long)f->number);
    }
    free(env);
    f->at += sizeof length + n_env;
    f->number++;
    return err;
}
