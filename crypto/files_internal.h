/* Small files, read and written whole: keys, certificates, requests, rosters. */
#ifndef CSL_CRYPTO_FILES_INTERNAL_H
#define CSL_CRYPTO_FILES_INTERNAL_H

#include "crypto/err.h"

enum { CSL__PATH_MAX = 4096 };

/* "dir/name" into out. CSL_EUSAGE when it is too long. */
CSL_MUST_CHECK enum csl_err csl__path(char out[CSL__PATH_MAX], const char *dir, const char *name,
                                      struct csl_diag *diag);

/* Reads a regular file of at most max bytes; *data is NUL-terminated behind its n bytes, and the caller frees
 * it with csl_secret_free. CSL_ENOINPUT, CSL_EDATA (too large), CSL_EIO. */
CSL_MUST_CHECK enum csl_err csl__read_file(char **data, size_t *n, const char *path, size_t max,
                                           struct csl_diag *diag);

/* The same for a private key: CSL_ECONFIG when group or others have any access to the file. */
CSL_MUST_CHECK enum csl_err csl__read_private_file(char **data, size_t *n, const char *path, size_t max,
                                                   struct csl_diag *diag);

/* Creates the file (O_EXCL) and writes it through to the disk. CSL_ECREATE when it exists. */
CSL_MUST_CHECK enum csl_err csl__create_file(const char *path, unsigned mode, const void *data, size_t n,
                                             struct csl_diag *diag);

/* Replaces or creates the file by an atomic rename: readers see the old or the new content. */
CSL_MUST_CHECK enum csl_err csl__replace_file(const char *path, unsigned mode, const void *data, size_t n,
                                              struct csl_diag *diag);

/* Creates the folder (0700) unless it is there; parents must exist. */
CSL_MUST_CHECK enum csl_err csl__make_dir(const char *path, struct csl_diag *diag);

/* Makes the name of a new file or folder durable. */
CSL_MUST_CHECK enum csl_err csl__sync_parent(const char *path, struct csl_diag *diag);

#endif
