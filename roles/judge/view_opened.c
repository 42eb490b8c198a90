/* Views sealed to a judge and signed by the party: one file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "crypto/bytes.h"
#include "crypto/secret.h"
#include "roles/judge/view_internal.h"

enum { CLEAR_BYTES = 12, HEAD_MAX = 1 << 16, TAIL_BYTES = 8 + CSL_SIGNATURE_BYTES, CHUNK = 1 << 16 };

void csl_opened_view_clear(struct csl_opened_view *o) {
    csl_signed_clear(&o->consent);
    memset(o, 0, sizeof *o);
}

/* ---- Writing ---- */

struct out_file {
    int fd;
    const char *path;
    struct csl_sha256 hash;
};

static enum csl_err put(struct out_file *f, const uint8_t *p, size_t n, struct csl_diag *diag) {
    size_t done = 0;
    TRY(csl_sha256_update(&f->hash, p, n));
    while (done < n) {
        ssize_t r = write(f->fd, p + done, n - done);
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r <= 0) {
            return csl_fail(diag, CSL_EIO, "%s: %s", f->path, strerror(errno));
        }
        done += (size_t)r;
    }
    return CSL_OK;
}

static ProtobufCBinaryData bytes_of(const uint8_t *p, size_t n) {
    return (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)p};
}

/* All that stands before the records. */
static enum csl_err pack_head(uint8_t **out, size_t *n, const struct csl_opened_view *head) {
    Csl__View__Opened m = CSL__VIEW__OPENED__INIT;
    Csl__View__Signed consent = CSL__VIEW__SIGNED__INIT;
    m.version = CSL__VIEW_VERSION;
    m.roster_digest = bytes_of(head->roster_digest, 32);
    m.session_id = bytes_of(head->session_id, 16);
    m.package_digest = bytes_of(head->package_digest, 32);
    m.party = (char *)(uintptr_t)head->party;
    m.judge = bytes_of(head->judge, CSL_SPKI_BYTES);
    m.model = (char *)(uintptr_t)head->model;
    if (head->consent.statement != NULL) {
        consent.statement = bytes_of(head->consent.statement, head->consent.n);
        consent.signature = bytes_of(head->consent.signature, CSL_SIGNATURE_BYTES);
        m.consent = &consent;
    }
    size_t n_m = csl__view__opened__get_packed_size(&m);
    *out = malloc(CLEAR_BYTES + n_m);
    if (*out == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(*out, "CSLO", 4);
    csl_store_u32(*out + 4, CSL__VIEW_VERSION);
    csl_store_u32(*out + 8, (uint32_t)n_m);
    (void)csl__view__opened__pack(&m, *out + CLEAR_BYTES);
    *n = CLEAR_BYTES + n_m;
    return CSL_OK;
}

static enum csl_err put_sealed(struct out_file *f, EVP_PKEY *judge, const uint8_t *head, size_t n_head,
                               uint64_t number, const uint8_t *plain, size_t n, struct csl_diag *diag) {
    uint8_t *sealed = NULL;
    size_t n_sealed = 0;
    TRY(csl__view_seal(&sealed, &n_sealed, judge, CSL__OPENED_LABEL, head, n_head, number, plain, n, diag));
    enum csl_err err = put(f, sealed, n_sealed, diag);
    free(sealed);
    return err;
}

static bool is_end(const uint8_t *plain, size_t n) {
    Csl__View__Record *r = NULL;
    bool end = csl__view_unpack(&r, plain, n, NULL) == CSL_OK && r->kind_case == CSL__VIEW__RECORD__KIND_END;
    csl__view_free(r);
    return end;
}

/* Every record of v, and an end where v has none. */
static enum csl_err put_records(struct out_file *f, EVP_PKEY *judge, const uint8_t *head, size_t n_head,
                                struct csl_view_reader *v, struct csl_diag *diag) {
    uint8_t *plain = NULL;
    size_t n = 0;
    for (uint64_t number = 0;; number++) {
        TRY(csl__view_next(v, &plain, &n, diag));
        if (plain == NULL) {
            TRY(csl__view_pack_end(&plain, &n, false, v->why));
        }
        bool end = is_end(plain, n);
        enum csl_err err = put_sealed(f, judge, head, n_head, number, plain, n, diag);
        csl_secret_free(plain);
        if (err != CSL_OK || end) {
            return err;
        }
    }
}

static enum csl_err put_all(struct out_file *f, const struct csl_opened_view *head, struct csl_view_reader *v,
                            EVP_PKEY *judge, EVP_PKEY *sign_key, struct csl_diag *diag) {
    uint8_t *clear = NULL, digest[CSL_SHA256_BYTES], tail[CSL_SIGNATURE_BYTES], none[8] = {0};
    size_t n = 0;
    TRY(pack_head(&clear, &n, head));
    enum csl_err err = put(f, clear, n, diag);
    if (err == CSL_OK) {
        err = put_records(f, judge, clear, n, v, diag);
    }
    free(clear);
    TRY(err);
    TRY(put(f, none, sizeof none, diag));
    struct csl_sha256 hash = f->hash;
    f->hash = (struct csl_sha256){0};
    TRY(csl_sha256_final(&hash, digest));
    TRY(csl_statement_sign_bytes(tail, CSL_STATEMENT_VIEW, digest, sizeof digest, sign_key, diag));
    TRY(csl_sha256_init(&f->hash)); /* put() hashes */
    TRY(put(f, tail, sizeof tail, diag));
    return fsync(f->fd) == 0 ? CSL_OK : csl_fail(diag, CSL_EIO, "%s: %s", f->path, strerror(errno));
}

enum csl_err csl_opened_view_write(const char *path, const struct csl_opened_view *head,
                                   struct csl_view_reader *v, EVP_PKEY *judge, EVP_PKEY *sign_key,
                                   struct csl_diag *diag) {
    struct out_file f = {.path = path};
    f.fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (f.fd < 0) {
        return csl_fail(diag, CSL_ECREATE, "%s: %s%s", path, strerror(errno),
                        errno == EEXIST ? " and is never overwritten" : "");
    }
    enum csl_err err = csl_sha256_init(&f.hash);
    if (err == CSL_OK) {
        err = put_all(&f, head, v, judge, sign_key, diag);
    }
    csl_sha256_clear(&f.hash);
    if (close(f.fd) != 0 && err == CSL_OK) {
        err = csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(errno));
    }
    if (err != CSL_OK) {
        (void)unlink(path);
    }
    return err;
}

/* ---- At the judge ---- */

static enum csl_err take_head(struct csl_opened_view *out, const Csl__View__Opened *m,
                              struct csl_diag *diag) {
    if (m->version != CSL__VIEW_VERSION || m->roster_digest.len != 32 || m->session_id.len != 16 ||
        m->package_digest.len != 32 || m->judge.len != CSL_SPKI_BYTES || !csl_name_valid(m->party) ||
        strlen(m->model) > CSL_MODEL_NAME_MAX) {
        return csl_fail(diag, CSL_EDATA, "a field of its head has a wrong length or value");
    }
    memcpy(out->roster_digest, m->roster_digest.data, 32);
    memcpy(out->session_id, m->session_id.data, 16);
    memcpy(out->package_digest, m->package_digest.data, 32);
    memcpy(out->judge, m->judge.data, CSL_SPKI_BYTES);
    (void)snprintf(out->party, sizeof out->party, "%s", m->party);
    (void)snprintf(out->model, sizeof out->model, "%s", m->model);
    if (m->consent == NULL) {
        return CSL_OK;
    }
    if (m->consent->signature.len != CSL_SIGNATURE_BYTES || m->consent->statement.len == 0 ||
        m->consent->statement.len > CSL_STATEMENT_MAX) {
        return csl_fail(diag, CSL_EDATA, "the owner's consent in it has a wrong length");
    }
    return csl_signed_copy(&out->consent, m->consent->statement.data, m->consent->statement.len,
                           m->consent->signature.data);
}

static enum csl_err read_head(struct csl_opened_view *head, struct csl__view_file *f, struct csl_diag *diag) {
    uint8_t clear[CLEAR_BYTES];
    TRY(csl__pread(f->fd, f->path, clear, sizeof clear, 0, diag));
    uint32_t n = csl_load_u32(clear + 8);
    if (memcmp(clear, "CSLO", 4) != 0 || csl_load_u32(clear + 4) != CSL__VIEW_VERSION || n > HEAD_MAX ||
        f->end < (uint64_t)sizeof clear + n + TAIL_BYTES) {
        return csl_fail(diag, CSL_EDATA, "not an opened view that this program knows (version %d)",
                        CSL__VIEW_VERSION);
    }
    f->n_head = sizeof clear + n;
    f->head = malloc(f->n_head);
    if (f->head == NULL) {
        return CSL_ENOMEM;
    }
    TRY(csl__pread(f->fd, f->path, f->head, f->n_head, 0, diag));
    Csl__View__Opened *m = csl__view__opened__unpack(NULL, n, f->head + sizeof clear);
    enum csl_err err =
        m == NULL ? csl_fail(diag, CSL_EDATA, "its head cannot be decoded") : take_head(head, m, diag);
    if (m != NULL) {
        csl__view__opened__free_unpacked(m, NULL);
    }
    f->at = f->n_head;
    return err;
}

/* The signature over everything before it, by the party that the head names. */
static enum csl_err verify(const struct csl_opened_view *head, struct csl__view_file *f,
                           const struct csl_roster *roster, struct csl_diag *diag) {
    const struct csl_member *party = csl_roster_member(roster, head->party);
    if (party == NULL || party->party < 0) {
        return csl_fail(diag, CSL_EAUTH, "the roster has no party %s", head->party);
    }
    uint8_t digest[CSL_SHA256_BYTES], tail[TAIL_BYTES], *chunk = malloc(CHUNK);
    struct csl_sha256 hash = {0};
    enum csl_err err = chunk == NULL ? CSL_ENOMEM : csl_sha256_init(&hash);
    uint64_t n = f->end - CSL_SIGNATURE_BYTES;
    for (uint64_t at = 0; at < n && err == CSL_OK;) {
        size_t some = n - at < CHUNK ? (size_t)(n - at) : CHUNK;
        err = csl__pread(f->fd, f->path, chunk, some, at, diag);
        if (err == CSL_OK) {
            err = csl_sha256_update(&hash, chunk, some);
        }
        at += some;
    }
    free(chunk);
    if (err == CSL_OK) {
        err = csl_sha256_final(&hash, digest);
    }
    csl_sha256_clear(&hash);
    TRY(err);
    TRY(csl__pread(f->fd, f->path, tail, sizeof tail, f->end - sizeof tail, diag));
    if (csl_statement_verify(CSL_STATEMENT_VIEW, digest, sizeof digest, tail + 8, CSL_SIGNATURE_BYTES,
                             party->sign_key, NULL) != CSL_OK) {
        return csl_fail(diag, CSL_EAUTH, "%s did not sign it: changed on its way, or of another roster",
                        head->party);
    }
    f->end -= TAIL_BYTES;
    return csl_load_u64(tail) == 0 ? CSL_OK : csl_fail(diag, CSL_EDATA, "its records have no end");
}

static enum csl_err open_view(struct csl_view_reader *v, struct csl_opened_view *head,
                              const struct csl_roster *roster, EVP_PKEY *judge, struct csl_diag *diag) {
    uint8_t spki[CSL_SPKI_BYTES];
    struct stat st;
    if (fstat(v->file.fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return csl_fail(diag, CSL_ENOINPUT, "not a regular file");
    }
    v->file.end = (uint64_t)st.st_size;
    TRY(read_head(head, &v->file, diag));
    TRY(verify(head, &v->file, roster, diag));
    TRY(csl_key_spki(spki, judge));
    if (memcmp(spki, head->judge, sizeof spki) != 0) {
        return csl_fail(diag, CSL_EAUTH, "it is sealed to another judge's key");
    }
    if (EVP_PKEY_up_ref(judge) != 1) {
        return CSL_EINTERNAL;
    }
    v->file.key = judge;
    v->file.label = CSL__OPENED_LABEL;
    return CSL_OK;
}

enum csl_err csl_opened_view_open(struct csl_view_reader **out, struct csl_opened_view *head,
                                  const char *path, const struct csl_roster *roster, EVP_PKEY *judge,
                                  struct csl_diag *diag) {
    *out = NULL;
    memset(head, 0, sizeof *head);
    struct csl_view_reader *v = calloc(1, sizeof *v);
    if (v == NULL) {
        return CSL_ENOMEM;
    }
    v->weights.fd = -1;
    v->file.path = strdup(path);
    v->file.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    enum csl_err err = v->file.fd < 0 || v->file.path == NULL
                           ? csl_fail(diag, CSL_ENOINPUT, "%s", strerror(errno))
                           : open_view(v, head, roster, judge, diag);
    if (err != CSL_OK) {
        csl_opened_view_clear(head);
        csl_view_reader_free(v);
        return csl_fail_context(diag, err, "%s", path);
    }
    *out = v;
    return CSL_OK;
}
