/* A whole model sealed for a central authority (docs/protocol.md Q): the network's file, its external data
 * files, and how it was read. For custody, and for classification in the clear by its holder.
 *
 * The file is a SealedArchive (proto/model.proto): the envelope of a ModelArchive to the recipient's wrapping
 * key (label "consilium/model-archive"), and, where a site of the consortium made it, that site's signature
 * over SHA-256 of the envelope.
 */
#ifndef CSL_ROLES_ARCHIVE_H
#define CSL_ROLES_ARCHIVE_H

#include "roles/context.h"

enum { CSL_ARCHIVE_FILES_MAX = 1024, CSL_ARCHIVE_OPTIONS_MAX = 4096 };

/* What is in an archive. Contents are secret: wiped by csl_archive_clear. */
struct csl_archive {
    char name[CSL_MODEL_NAME_MAX + 1];
    char owner[CSL_NAME_MAX + 1];              /* the site that signed; "" for none */
    char options[CSL_ARCHIVE_OPTIONS_MAX + 1]; /* JSON: how the network is read */
    struct csl_archive_file {
        char *name; /* relative, no "..": safe to write below a folder */
        uint8_t *content;
        size_t n;
    } * files; /* the network first */
    size_t n_files;
    uint8_t digest[32]; /* SHA-256 of the sealed archive, what leaves of the ledger name */
};
void csl_archive_clear(struct csl_archive *a); /* may be zero */
/* Adds a file, read from folder/name. CSL_EDATA: a name that leads elsewhere, or too many. */
CSL_MUST_CHECK enum csl_err csl_archive_add(struct csl_archive *a, const char *folder, const char *name,
                                            struct csl_diag *diag);

/* Seals to the recipient. ctx: the owner's site, which signs and writes the ARCHIVED leaf into its ledger
 * (ctx->logbook) durably; NULL: unsigned. Fills in owner and digest; the caller frees *out. */
CSL_MUST_CHECK enum csl_err csl_archive_seal(uint8_t **out, size_t *n, struct csl_archive *a,
                                             EVP_PKEY *recipient, const struct csl_context *ctx,
                                             struct csl_diag *diag);
/* Opens. roster: verifies who signed, which must be a member (CSL_EAUTH, CSL_EPERM); NULL: the signature is
 * not looked at, and owner is what the archive says. CSL_EAUTH: sealed to another key, or changed. */
CSL_MUST_CHECK enum csl_err csl_archive_open(struct csl_archive *a, const uint8_t *bytes, size_t n,
                                             EVP_PKEY *key, const struct csl_roster *roster,
                                             struct csl_diag *diag);
/* Whether these bytes look like an archive's file rather than a network's. */
bool csl_archive_detect(const char *path);
/* Reads a file of an archive. */
CSL_MUST_CHECK enum csl_err csl_archive_read(struct csl_archive *a, const char *path, EVP_PKEY *key,
                                             const struct csl_roster *roster, struct csl_diag *diag);
/* Writes all files below dir (made if missing), never over an existing one, mode 0600. path (room
 * n_path) gets the network's. */
CSL_MUST_CHECK enum csl_err csl_archive_extract(char *path, size_t n_path, const struct csl_archive *a,
                                                const char *dir, struct csl_diag *diag);
/* The same folder without them again: files and the folders that were made. */
void csl_archive_remove(const struct csl_archive *a, const char *dir);
/* Writes a leaf about it durably: CSL_MODEL_ARCHIVED or CSL_MODEL_RESTORED. */
CSL_MUST_CHECK enum csl_err csl_archive_log(const struct csl_archive *a, const struct csl_context *ctx,
                                            unsigned event, struct csl_diag *diag);

#endif
