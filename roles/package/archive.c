#include "roles/package/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/envelope.h"
#include "crypto/files_internal.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "crypto/sign.h"
#include "model.pb-c.h"
#include "roles/daemon/logbook.h"
#include "roles/message.h"
#include "roles/package/archive_internal.h"

#define LABEL "consilium/model-archive"
#define CONTEXT "consilium/archive"

enum { ARCHIVE_VERSION = 1 };
static const size_t archive_max = (size_t)2 << 30;

void csl_archive_clear(struct csl_archive *a) {
    for (size_t i = 0; i < a->n_files; i++) {
        free(a->files[i].name);
        csl_secret_free(a->files[i].content);
    }
    free(a->files);
    memset(a, 0, sizeof *a);
}

static struct csl_archive_file *new_file(struct csl_archive *a, const char *name) {
    struct csl_archive_file *files = realloc(a->files, (a->n_files + 1) * sizeof *files);
    if (files == NULL) {
        return NULL;
    }
    a->files = files;
    files[a->n_files] = (struct csl_archive_file){.name = strdup(name)};
    return files[a->n_files].name == NULL ? NULL : &files[a->n_files++];
}

static enum csl_err check_place(const struct csl_archive *a, const char *name, struct csl_diag *diag) {
    if (a->n_files >= CSL_ARCHIVE_FILES_MAX) {
        return csl_fail(diag, CSL_EDATA, "a model of more than %d files", CSL_ARCHIVE_FILES_MAX);
    }
    if (!csl__archive_name_valid(name)) {
        return csl_fail(diag, CSL_EDATA, "\"%.100s\" is no name of a file below the model's folder", name);
    }
    for (size_t i = 0; i < a->n_files; i++) {
        if (strcmp(a->files[i].name, name) == 0) {
            return csl_fail(diag, CSL_EDATA, "the file \"%.100s\" is there twice", name);
        }
    }
    return CSL_OK;
}

enum csl_err csl_archive_add(struct csl_archive *a, const char *folder, const char *name,
                             struct csl_diag *diag) {
    char path[CSL__PATH_MAX], *data;
    size_t n;
    TRY(check_place(a, name, diag));
    TRY(csl__path(path, folder, name, diag));
    TRY(csl__read_file(&data, &n, path, archive_max, diag));
    struct csl_archive_file *f = new_file(a, name);
    if (f == NULL) {
        csl_secret_free(data);
        return CSL_ENOMEM;
    }
    f->content = (uint8_t *)data;
    f->n = n;
    return CSL_OK;
}

/* ---- Sealing ---- */

/* The plaintext, in wiped memory. */
static enum csl_err pack(uint8_t **out, size_t *n, const struct csl_archive *a) {
    Csl__Pb__ModelArchive m = CSL__PB__MODEL_ARCHIVE__INIT;
    Csl__Pb__ArchiveFile *files = calloc(a->n_files + 1, sizeof *files);
    Csl__Pb__ArchiveFile **at = calloc(a->n_files + 1, sizeof *at);
    enum csl_err err = files == NULL || at == NULL ? CSL_ENOMEM : CSL_OK;
    for (size_t i = 0; err == CSL_OK && i < a->n_files; i++) {
        csl__pb__archive_file__init(&files[i]);
        files[i].name = a->files[i].name;
        files[i].content = csl_bytes(a->files[i].content, a->files[i].n);
        at[i] = &files[i];
    }
    if (err == CSL_OK) {
        m.version = ARCHIVE_VERSION;
        m.name = (char *)(uintptr_t)a->name;
        m.owner = (char *)(uintptr_t)a->owner;
        m.options = (char *)(uintptr_t)a->options;
        m.files = at;
        m.n_files = a->n_files;
        *n = csl__pb__model_archive__get_packed_size(&m);
        *out = csl_secret_alloc(*n + 1, 1);
        err = *out == NULL ? CSL_ENOMEM : CSL_OK;
    }
    if (err == CSL_OK) {
        (void)csl__pb__model_archive__pack(&m, *out);
    }
    free(files);
    free(at);
    return err;
}

static enum csl_err seal(uint8_t **env, size_t *n_env, const struct csl_archive *a, EVP_PKEY *recipient,
                         struct csl_diag *diag) {
    uint8_t *plain = NULL;
    size_t n;
    enum csl_err err = CSL_OK;
    TRY_OUT(pack(&plain, &n, a));
    TRY_OUT(csl_envelope_size(n_env, n, recipient, diag));
    if (*n_env > archive_max) {
        err = csl_fail(diag, CSL_EDATA, "the model has %zu bytes, more than an archive takes", n);
        goto out;
    }
    *env = malloc(*n_env);
    TRY_OUT(*env == NULL ? CSL_ENOMEM : CSL_OK);
    err = csl_envelope_seal(*env, n_env, recipient, LABEL, NULL, 0, plain, n, diag);
out:
    csl_secret_free(plain);
    return err;
}

enum csl_err csl_archive_seal(uint8_t **out, size_t *n, struct csl_archive *a, EVP_PKEY *recipient,
                              const struct csl_context *ctx, struct csl_diag *diag) {
    uint8_t *env = NULL, signature[CSL_SIGNATURE_BYTES];
    size_t n_env;
    enum csl_err err = CSL_OK;
    Csl__Pb__SealedArchive m = CSL__PB__SEALED_ARCHIVE__INIT;
    *out = NULL;
    (void)snprintf(a->owner, sizeof a->owner, "%s", ctx != NULL ? ctx->self->name : "");
    TRY_OUT(csl_envelope_check_key(recipient, diag));
    TRY_OUT(seal(&env, &n_env, a, recipient, diag));
    TRY_OUT(csl_sha256_once(a->digest, env, n_env));
    m.version = ARCHIVE_VERSION;
    m.sealed = csl_bytes(env, n_env);
    if (ctx != NULL) {
        TRY_OUT(csl_sign(signature, ctx->site.sign_key, CONTEXT, a->digest, sizeof a->digest, diag));
        m.signer = a->owner;
        m.signature = csl_bytes(signature, sizeof signature);
        TRY_OUT(csl_archive_log(a, ctx, CSL_MODEL_ARCHIVED, diag));
    }
    *out = malloc(csl__pb__sealed_archive__get_packed_size(&m) + 1);
    TRY_OUT(*out == NULL ? CSL_ENOMEM : CSL_OK);
    *n = csl__pb__sealed_archive__pack(&m, *out);
out:
    free(env);
    return err;
}

/* ---- Opening ---- */

static enum csl_err take_file(struct csl_archive *a, const Csl__Pb__ArchiveFile *m, struct csl_diag *diag) {
    TRY(check_place(a, m->name, diag));
    struct csl_archive_file *f = new_file(a, m->name);
    if (f == NULL) {
        return CSL_ENOMEM;
    }
    f->content = csl_secret_alloc(m->content.len + 1, 1);
    if (f->content == NULL) {
        return CSL_ENOMEM;
    }
    if (m->content.len != 0) {
        memcpy(f->content, m->content.data, m->content.len);
    }
    f->n = m->content.len;
    return CSL_OK;
}

static enum csl_err take(struct csl_archive *a, const Csl__Pb__ModelArchive *m, struct csl_diag *diag) {
    if (m->version != ARCHIVE_VERSION || m->n_files == 0 || strlen(m->name) > CSL_MODEL_NAME_MAX ||
        strlen(m->options) > CSL_ARCHIVE_OPTIONS_MAX || (m->owner[0] != '\0' && !csl_name_valid(m->owner))) {
        return csl_fail(diag, CSL_EDATA, "an archive of another version (%u), or of no model", m->version);
    }
    (void)snprintf(a->name, sizeof a->name, "%s", m->name);
    (void)snprintf(a->owner, sizeof a->owner, "%s", m->owner);
    (void)snprintf(a->options, sizeof a->options, "%s", m->options);
    for (size_t i = 0; i < m->n_files; i++) {
        TRY(take_file(a, m->files[i], diag));
    }
    return CSL_OK;
}

/* Every block that protobuf takes is wiped with what it held. */
static void *wiped_alloc(void *arg, size_t n) {
    (void)arg;
    return csl_secret_alloc(n, 1);
}

static void wiped_free(void *arg, void *p) {
    (void)arg;
    csl_secret_free(p);
}

static enum csl_err unpack(struct csl_archive *a, const uint8_t *plain, size_t n, struct csl_diag *diag) {
    ProtobufCAllocator allocator = {wiped_alloc, wiped_free, NULL};
    CSL_PUBLIC(plain, n); /* its holder opened it */
    Csl__Pb__ModelArchive *m = csl__pb__model_archive__unpack(&allocator, n, plain);
    if (m == NULL) {
        return csl_fail(diag, CSL_EDATA, "the archive opens, and holds no model");
    }
    enum csl_err err = take(a, m, diag);
    csl__pb__model_archive__free_unpacked(m, &allocator);
    return err;
}

static enum csl_err open_sealed(struct csl_archive *a, const ProtobufCBinaryData *env, EVP_PKEY *key,
                                struct csl_diag *diag) {
    size_t n;
    TRY(csl_envelope_plain_size(&n, env->data, env->len, diag));
    uint8_t *plain = csl_secret_alloc(n + 1, 1);
    if (plain == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = csl_envelope_open(plain, &n, key, LABEL, NULL, 0, env->data, env->len, NULL);
    if (err == CSL_EAUTH) {
        err = csl_fail(diag, err, "does not open with this key: sealed to another, or changed");
    }
    if (err == CSL_OK) {
        err = unpack(a, plain, n, diag);
    }
    csl_secret_free(plain);
    return err;
}

static enum csl_err check_signer(const struct csl_roster *roster, const Csl__Pb__SealedArchive *m,
                                 const uint8_t digest[32], struct csl_diag *diag) {
    if (m->signer[0] == '\0') {
        return csl_fail(diag, CSL_EAUTH, "nobody signed it: model archive was run without --site");
    }
    const struct csl_member *signer = csl_roster_member(roster, m->signer);
    if (signer == NULL) {
        return csl_fail(diag, CSL_EPERM, "signed by \"%.40s\", which the roster does not name", m->signer);
    }
    if (csl_verify(signer->sign_key, m->signature.data, m->signature.len, CONTEXT, digest, 32, NULL) !=
        CSL_OK) {
        return csl_fail(diag, CSL_EAUTH, "the signature is not that of %s, by the roster's key",
                        signer->name);
    }
    return CSL_OK;
}

static enum csl_err open_file(struct csl_archive *a, const Csl__Pb__SealedArchive *m, EVP_PKEY *key,
                              const struct csl_roster *roster, struct csl_diag *diag) {
    if (m->version != ARCHIVE_VERSION || m->base.n_unknown_fields != 0) {
        return csl_fail(diag, CSL_EDATA, "not an archive of version %d (it says %u)", ARCHIVE_VERSION,
                        m->version);
    }
    TRY(csl_sha256_once(a->digest, m->sealed.data, m->sealed.len));
    if (roster != NULL) {
        TRY(check_signer(roster, m, a->digest, diag));
    }
    TRY(open_sealed(a, &m->sealed, key, diag));
    if (strcmp(a->owner, m->signer) != 0) { /* the seal is the owner's, the signature must be too */
        return csl_fail(diag, CSL_EAUTH, "sealed by %s and signed by %s: somebody took the signature away",
                        a->owner[0] != '\0' ? a->owner : "nobody",
                        m->signer[0] != '\0' ? m->signer : "nobody");
    }
    return CSL_OK;
}

enum csl_err csl_archive_open(struct csl_archive *a, const uint8_t *bytes, size_t n, EVP_PKEY *key,
                              const struct csl_roster *roster, struct csl_diag *diag) {
    memset(a, 0, sizeof *a);
    Csl__Pb__SealedArchive *m = csl__pb__sealed_archive__unpack(NULL, n, bytes);
    if (m == NULL) {
        return csl_fail(diag, CSL_EDATA, "not an archive, or a damaged one");
    }
    enum csl_err err = open_file(a, m, key, roster, diag);
    csl__pb__sealed_archive__free_unpacked(m, NULL);
    if (err != CSL_OK) {
        csl_archive_clear(a);
    }
    return err;
}

enum csl_err csl_archive_read(struct csl_archive *a, const char *path, EVP_PKEY *key,
                              const struct csl_roster *roster, struct csl_diag *diag) {
    char *data;
    size_t n;
    memset(a, 0, sizeof *a);
    TRY(csl__read_file(&data, &n, path, archive_max, diag));
    enum csl_err err = csl_archive_open(a, (const uint8_t *)data, n, key, roster, diag);
    csl_secret_free(data);
    return err == CSL_OK ? err : csl_fail_context(diag, err, "%s", path);
}

enum csl_err csl_archive_log(const struct csl_archive *a, const struct csl_context *ctx, unsigned event,
                             struct csl_diag *diag) {
    CSL_LEAF(leaf, model, ModelLeaf, MODEL_LEAF, MODEL, model);
    model.name = (char *)(uintptr_t)a->name;
    model.owner = (char *)(uintptr_t)(a->owner[0] != '\0' ? a->owner : ctx->self->name);
    model.package_digest = csl_bytes(a->digest, sizeof a->digest);
    model.event = event;
    if (ctx->logbook == NULL) {
        return csl_fail(diag, CSL_EINTERNAL, "no ledger is open");
    }
    return csl_logbook_add(ctx->logbook, &leaf, true, diag);
}
