/* The package file: one strict encoding of a ModelPackage. */
#include <stdlib.h>
#include <string.h>

#include "audit/statement.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "roles/package/package.h"

enum { FILE_VERSION = 1, SIGNER_KEY_MAX = 256 };
static const size_t file_max = (size_t)2 << 30;

/* Compares what is packed with the bytes that were parsed, without a second copy of a large part. */
struct comparing {
    ProtobufCBuffer base;
    const uint8_t *at;
    size_t left;
    bool differs;
};

static void compare(ProtobufCBuffer *buffer, size_t n, const uint8_t *data) {
    struct comparing *c = (struct comparing *)buffer;
    if (c->differs || n > c->left || (n != 0 && memcmp(c->at, data, n) != 0)) {
        c->differs = true;
        return;
    }
    c->at += n;
    c->left -= n;
}

static bool canonical(const Csl__Pb__ModelPackage *f, const uint8_t *bytes, size_t n) {
    struct comparing c = {.base = {.append = compare}, .at = bytes, .left = n};
    if (f->base.n_unknown_fields != 0) {
        return false;
    }
    for (size_t i = 0; i < f->n_reseals; i++) {
        if (f->reseals[i]->base.n_unknown_fields != 0) {
            return false;
        }
    }
    (void)csl__pb__model_package__pack_to_buffer(f, &c.base);
    return !c.differs && c.left == 0;
}

static enum csl_err check_reseal(const Csl__Pb__Reseal *r, size_t i, struct csl_diag *diag) {
    if (r->statement.len == 0 || r->statement.len > CSL_STATEMENT_MAX ||
        r->signature.len != CSL_SIGNATURE_BYTES || !csl_name_valid(r->signer) || r->signer_key.len == 0 ||
        r->signer_key.len > SIGNER_KEY_MAX) {
        return csl_fail(diag, CSL_EDATA, "a model package whose statement %zu of being handed on is damaged",
                        i + 1);
    }
    return CSL_OK;
}

static enum csl_err check_file(const Csl__Pb__ModelPackage *f, struct csl_diag *diag) {
    if (f->version != FILE_VERSION) {
        return csl_fail(diag, CSL_EDATA,
                        "not a model package of version %d (it says %u); its owner must seal it again",
                        FILE_VERSION, f->version);
    }
    if (f->manifest.len == 0 || f->manifest.len > CSL_MANIFEST_MAX || f->sealed.len == 0) {
        return csl_fail(diag, CSL_EDATA, "a model package without manifest or sealed part");
    }
    if (f->signature.len != 0 && f->signature.len != CSL_SIGNATURE_BYTES) {
        return csl_fail(diag, CSL_EDATA, "a model package whose signature has %zu bytes, not %d",
                        f->signature.len, CSL_SIGNATURE_BYTES);
    }
    if (f->party >= CSL_MAX_PARTIES || f->n_reseals > CSL_RESEALS_MAX) {
        return csl_fail(diag, CSL_EDATA, "a model package of party %u that was handed on %zu times", f->party,
                        f->n_reseals);
    }
    for (size_t i = 0; i < f->n_reseals; i++) {
        TRY(check_reseal(f->reseals[i], i, diag));
    }
    return CSL_OK;
}

enum csl_err csl_package_file_parse(Csl__Pb__ModelPackage **out, const uint8_t *bytes, size_t n,
                                    struct csl_diag *diag) {
    *out = NULL;
    Csl__Pb__ModelPackage *f = csl__pb__model_package__unpack(NULL, n, bytes);
    if (f == NULL) {
        return csl_fail(diag, CSL_EDATA,
                        "not a model package, or a damaged one; its owner must seal it again");
    }
    enum csl_err err = check_file(f, diag);
    if (err == CSL_OK && !canonical(f, bytes, n)) {
        err = csl_fail(diag, CSL_EDATA, "a model package with bytes that mean nothing: it is damaged");
    }
    if (err != CSL_OK) {
        csl_package_file_free(f);
        return err;
    }
    *out = f;
    return CSL_OK;
}

void csl_package_file_free(Csl__Pb__ModelPackage *f) {
    if (f != NULL) {
        csl__pb__model_package__free_unpacked(f, NULL);
    }
}

enum csl_err csl_package_file_pack(uint8_t **out, size_t *n, Csl__Pb__ModelPackage *f) {
    f->version = FILE_VERSION;
    size_t size = csl__pb__model_package__get_packed_size(f);
    *n = 0;
    *out = malloc(size + 1);
    if (*out == NULL) {
        return CSL_ENOMEM;
    }
    *n = csl__pb__model_package__pack(f, *out);
    return CSL_OK;
}

enum csl_err csl_package_file_load(char **bytes, size_t *n, const char *path, struct csl_diag *diag) {
    return csl__read_file(bytes, n, path, file_max, diag);
}

enum csl_err csl_package_file_read(Csl__Pb__ModelPackage **out, const char *path, struct csl_diag *diag) {
    char *data = NULL;
    size_t n;
    *out = NULL;
    TRY(csl_package_file_load(&data, &n, path, diag));
    enum csl_err err = csl_package_file_parse(out, (const uint8_t *)data, n, diag);
    csl_secret_free(data);
    return err == CSL_OK ? CSL_OK : csl_fail_context(diag, err, "%s", path);
}
