#include "cas/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cas/store_internal.h"

/* ---- The place ---- */

static bool is_url(const char *place) {
    return strstr(place, "://") != NULL;
}

enum csl_err csl_cas_open(struct csl_cas **out, const char *place, const struct csl_cas_options *options,
                          struct csl_diag *diag) {
    *out = NULL;
    struct csl_cas *c = calloc(1, sizeof *c);
    if (place[0] == '\0') {
        free(c);
        return csl_fail(diag, CSL_EUSAGE, "the place of a store is a folder or an http:// or https:// URL");
    }
    if (c != NULL) {
        c->options = options != NULL ? *options : c->options;
        c->place = strdup(place);
        c->ca_file = c->options.ca_file != NULL ? strdup(c->options.ca_file) : NULL;
    }
    if (c == NULL || c->place == NULL || (c->options.ca_file != NULL && c->ca_file == NULL)) {
        csl_cas_close(c);
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    c->options.ca_file = c->ca_file;
    for (size_t n = strlen(c->place); n > 1 && c->place[n - 1] == '/'; n--) {
        c->place[n - 1] = '\0';
    }
    enum csl_err err = CSL_OK;
    if (is_url(place)) {
        err = csl__cas_of_url(&c->backend, c, diag);
    } else {
        c->backend = &csl__cas_folder;
        (void)snprintf(c->shown, sizeof c->shown, "%.255s", c->place);
    }
    if (err != CSL_OK) {
        csl_cas_close(c);
        return err;
    }
    *out = c;
    return CSL_OK;
}

void csl_cas_close(struct csl_cas *c) {
    if (c != NULL) {
        free(c->place);
        free(c->ca_file);
        free(c);
    }
}

const char *csl_cas_place(const struct csl_cas *c) {
    return c->shown;
}

/* ---- Putting ---- */

static ssize_t next_piece(struct csl__cas_source *s, uint8_t *p, size_t n) {
    ssize_t got;
    if (s->bytes != NULL) {
        n = n < s->n_bytes - s->n_read ? n : (size_t)(s->n_bytes - s->n_read);
        memcpy(p, s->bytes + s->n_read, n);
        return (ssize_t)n;
    }
    do {
        got = read(s->fd, p, n);
    } while (got < 0 && errno == EINTR);
    return got;
}

enum csl_err csl__cas_read(struct csl__cas_source *s, uint8_t *p, size_t n, size_t *n_out,
                           struct csl_diag *diag) {
    ssize_t got = next_piece(s, p, n);
    *n_out = 0;
    if (got < 0) {
        return csl_fail(diag, CSL_EIO, "%s: %s", s->path, strerror(errno));
    }
    if ((uint64_t)got > s->n_bytes - s->n_read || (got == 0 && s->n_read != s->n_bytes)) {
        return csl_fail(diag, CSL_EDATA, "%s: it changed while it was read", s->path);
    }
    TRY(csl_sha256_update(&s->sha, p, (size_t)got));
    TRY(csl_unixfs_import_write(s->im, p, (size_t)got, diag));
    s->n_read += (size_t)got;
    *n_out = (size_t)got;
    return CSL_OK;
}

/* To the end, which must be where it was said to be. */
static enum csl_err drain(struct csl__cas_source *s, struct csl_diag *diag) {
    enum { PIECE = 65536 };
    size_t n = 1;
    uint8_t *piece = malloc(PIECE);
    enum csl_err err = piece == NULL ? csl_fail(diag, CSL_ENOMEM, "out of memory") : CSL_OK;
    while (err == CSL_OK && n != 0) {
        err = csl__cas_read(s, piece, PIECE, &n, diag);
    }
    free(piece);
    return err;
}

static enum csl_err open_file(struct csl__cas_source *s, struct csl_diag *diag) {
    struct stat st;
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (s->fd < 0 || fstat(s->fd, &st) != 0) {
        return csl_fail(diag, CSL_ENOINPUT, "%s: %s", s->path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode) || st.st_size < 0) {
        return csl_fail(diag, CSL_ENOINPUT, "%s: not a regular file", s->path);
    }
    s->n_bytes = (uint64_t)st.st_size;
    return CSL_OK;
}

static enum csl_err open_source(struct csl__cas_source *s, struct csl_cas *c, struct csl_diag *diag) {
    TRY(s->bytes != NULL ? CSL_OK : open_file(s, diag));
    TRY(csl_sha256_init(&s->sha));
    return csl_unixfs_import_new(&s->im, s->profile, c->backend->put_block, c);
}

static enum csl_err check_answer(struct csl_cas *c, const struct csl_cid *want, const struct csl_cid *answer,
                                 struct csl_diag *diag) {
    char w[CSL_CID_TEXT], a[CSL_CID_TEXT];
    if (csl_cid_equal(want, answer)) {
        return CSL_OK;
    }
    return csl_fail(diag, CSL_EPROTO,
                    "%s says that it holds %s, but what was sent is %s: it stored other bytes, or does not "
                    "know this profile (for large files Kubo before 0.35 knows 256k alone)",
                    c->shown, csl_cid_text(a, answer), csl_cid_text(w, want));
}

static enum csl_err put(struct csl_cas *c, struct csl_cas_file *out, struct csl__cas_source *s,
                        const uint8_t *sha256, struct csl_diag *diag) {
    struct csl_cid answer = {0};
    TRY(open_source(s, c, diag));
    if (c->backend->send != NULL) {
        TRY(c->backend->send(c, &answer, s, diag));
    }
    TRY(drain(s, diag));
    TRY(csl_sha256_final(&s->sha, out->sha256));
    if (sha256 != NULL && !csl_hash_equal(out->sha256, sha256, CSL_SHA256_BYTES)) {
        return csl_fail(diag, CSL_EDATA, "%s: it changed while it was read", s->path);
    }
    TRY(csl_unixfs_import_end(s->im, &out->cid, diag));
    out->n_bytes = s->n_bytes;
    out->cid_proven = true;
    return c->backend->send != NULL ? check_answer(c, &out->cid, &answer, diag) : CSL_OK;
}

static enum csl_err put_source(struct csl_cas *c, struct csl_cas_file *out, struct csl__cas_source *s,
                               const uint8_t *sha256, struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    if (c->backend->put_block == NULL && c->backend->send == NULL) {
        return csl_fail(diag, CSL_EUSAGE,
                        "%s is a gateway, which can only be read; push to a folder or to a node's RPC",
                        c->shown);
    }
    enum csl_err err = put(c, out, s, sha256, diag);
    csl_unixfs_import_free(s->im);
    csl_sha256_clear(&s->sha);
    if (s->fd >= 0) {
        close(s->fd);
    }
    if (err != CSL_OK) {
        memset(out, 0, sizeof *out);
    }
    return err;
}

enum csl_err csl_cas_put(struct csl_cas *c, struct csl_cas_file *out, const char *path,
                         const struct csl_unixfs_profile *profile, const uint8_t sha256[CSL_SHA256_BYTES],
                         struct csl_diag *diag) {
    struct csl__cas_source s = {.path = path, .profile = profile, .fd = -1};
    return put_source(c, out, &s, sha256, diag);
}

enum csl_err csl_cas_put_bytes(struct csl_cas *c, struct csl_cas_file *out, const uint8_t *bytes, size_t n,
                               const char *name, const struct csl_unixfs_profile *profile,
                               struct csl_diag *diag) {
    struct csl__cas_source s = {.path = name, .profile = profile, .bytes = bytes, .n_bytes = n, .fd = -1};
    return put_source(c, out, &s, NULL, diag);
}
