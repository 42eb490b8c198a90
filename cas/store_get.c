/* Fetching: under a passing name until it is found to be what was asked for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cas/store_internal.h"
#include "crypto/files_internal.h"

/* The ways of import that a CID is tried by. */
enum { N_PROFILES = 2 };

struct fetch {
    struct csl_cas *c;
    const char *path;
    char tmp[CSL__PATH_MAX];
    int fd;
    uint64_t n_bytes, max_bytes;
    struct csl_sha256 sha;
    struct csl_unixfs_import *im[N_PROFILES]; /* where the store proves nothing */
};

static enum csl_err disk(const struct fetch *f, struct csl_diag *diag) {
    return csl_fail(diag, CSL_EIO, "%s: %s", f->tmp, strerror(errno));
}

static enum csl_err take(void *arg, const uint8_t *p, size_t n, struct csl_diag *diag) {
    struct fetch *f = arg;
    if (n > f->max_bytes - f->n_bytes) {
        return csl_fail(diag, CSL_EDATA, "%s gives a file of more than the %llu bytes that are allowed",
                        f->c->shown, (unsigned long long)f->max_bytes);
    }
    f->n_bytes += n;
    TRY(csl_sha256_update(&f->sha, p, n));
    for (unsigned i = 0; i < N_PROFILES && f->im[i] != NULL; i++) {
        TRY(csl_unixfs_import_write(f->im[i], p, n, diag));
    }
    while (n != 0) {
        ssize_t done = write(f->fd, p, n);
        if (done < 0 && errno != EINTR) {
            return disk(f, diag);
        }
        p += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return CSL_OK;
}

static enum csl_err begin(struct fetch *f, struct csl_diag *diag) {
    const struct csl_unixfs_profile *profiles[N_PROFILES] = {&csl_unixfs_256k, &csl_unixfs_1m};
    for (unsigned i = 0; i < N_PROFILES && !f->c->backend->proves; i++) {
        TRY(csl_unixfs_import_new(&f->im[i], profiles[i], NULL, NULL));
    }
    TRY(csl_sha256_init(&f->sha));
    int n = snprintf(f->tmp, sizeof f->tmp, "%s.XXXXXX", f->path);
    if (n < 0 || (size_t)n >= sizeof f->tmp) {
        f->tmp[0] = '\0';
        return csl_fail(diag, CSL_EUSAGE, "%s: the path is too long", f->path);
    }
    f->fd = mkostemp(f->tmp, O_CLOEXEC);
    if (f->fd < 0) {
        f->tmp[0] = '\0';
        return csl_fail(diag, CSL_ECREATE, "%s: %s", f->path, strerror(errno));
    }
    return CSL_OK;
}

static enum csl_err prove(struct fetch *f, struct csl_cas_file *out, const struct csl_cid *cid,
                          const uint8_t *sha256, struct csl_diag *diag) {
    char text[CSL_CID_TEXT];
    out->n_bytes = f->n_bytes;
    out->cid = *cid;
    out->cid_proven = f->c->backend->proves;
    TRY(csl_sha256_final(&f->sha, out->sha256));
    for (unsigned i = 0; i < N_PROFILES && f->im[i] != NULL; i++) {
        struct csl_cid is;
        TRY(csl_unixfs_import_end(f->im[i], &is, diag));
        out->cid_proven = out->cid_proven || csl_cid_equal(&is, cid);
    }
    if (out->cid_proven || (sha256 != NULL && csl_hash_equal(out->sha256, sha256, CSL_SHA256_BYTES))) {
        return CSL_OK;
    }
    return csl_fail(diag, CSL_EAUTH, "the %llu bytes that %s gives are not what %s names%s",
                    (unsigned long long)f->n_bytes, f->c->shown, csl_cid_text(text, cid),
                    sha256 != NULL ? " in either profile, nor of the SHA-256 that was given"
                                   : ", unless it was imported in another way than our two profiles: the "
                                     "SHA-256 of the file would prove it then");
}

static enum csl_err finish(struct fetch *f, struct csl_diag *diag) {
    bool ok = fsync(f->fd) == 0;
    if (close(f->fd) != 0 || !ok) {
        f->fd = -1;
        return disk(f, diag);
    }
    f->fd = -1;
    return CSL_OK;
}

static enum csl_err name_it(struct fetch *f, struct csl_diag *diag) {
    if (rename(f->tmp, f->path) != 0) {
        return csl_fail(diag, CSL_ECREATE, "%s: %s", f->path, strerror(errno));
    }
    f->tmp[0] = '\0';
    return csl__sync_parent(f->path, diag);
}

enum csl_err csl_cas_get(struct csl_cas *c, struct csl_cas_file *out, const char *path,
                         const struct csl_cid *cid, uint64_t max_bytes,
                         const uint8_t sha256[CSL_SHA256_BYTES], csl_cas_check *check, void *check_arg,
                         struct csl_diag *diag) {
    struct fetch *f = calloc(1, sizeof *f);
    const struct csl_cid want = *cid; /* which may stand in *out */
    memset(out, 0, sizeof *out);
    if (f == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    *f = (struct fetch){.c = c, .path = path, .fd = -1, .max_bytes = max_bytes};
    enum csl_err err;
    TRY_OUT(begin(f, diag));
    TRY_OUT(c->backend->get(c, &want, max_bytes, take, f, diag));
    TRY_OUT(prove(f, out, &want, sha256, diag));
    TRY_OUT(finish(f, diag));
    TRY_OUT(check == NULL ? CSL_OK : check(check_arg, f->tmp, out, diag));
    err = name_it(f, diag);
out:
    if (f->fd >= 0) {
        close(f->fd);
    }
    if (f->tmp[0] != '\0') {
        (void)unlink(f->tmp);
    }
    for (unsigned i = 0; i < N_PROFILES; i++) {
        csl_unixfs_import_free(f->im[i]);
    }
    csl_sha256_clear(&f->sha);
    free(f);
    if (err != CSL_OK) {
        memset(out, 0, sizeof *out);
    }
    return err;
}
