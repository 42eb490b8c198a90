/* What a backend of the store does. */
#ifndef CSL_CAS_STORE_INTERNAL_H
#define CSL_CAS_STORE_INTERNAL_H

#include "cas/store.h"

/* A file that is being put: its bytes go through the import and the digest as they are read. */
struct csl__cas_source {
    const char *path;
    const struct csl_unixfs_profile *profile;
    uint64_t n_bytes, n_read; /* stated; read */
    const uint8_t *bytes;     /* of all, in memory; NULL: they are read from fd */
    int fd;
    struct csl_unixfs_import *im;
    struct csl_sha256 sha;
};
/* The next bytes, *n_out of at most n; 0 at the end. */
CSL_MUST_CHECK enum csl_err csl__cas_read(struct csl__cas_source *s, uint8_t *p, size_t n, size_t *n_out,
                                          struct csl_diag *diag);

struct csl__cas_backend {
    /* Takes a block. NULL: only whole files are taken. */
    csl_block_put *put_block; /* arg: struct csl_cas */
    /* Takes the file; *answer is what the store says it is. NULL: put_block does. */
    enum csl_err (*send)(struct csl_cas *c, struct csl_cid *answer, struct csl__cas_source *s,
                         struct csl_diag *diag);
    /* Gives the file's bytes to sink, at most max_bytes. */
    enum csl_err (*get)(struct csl_cas *c, const struct csl_cid *cid, uint64_t max_bytes,
                        csl_unixfs_sink *sink, void *sink_arg, struct csl_diag *diag);
    bool proves; /* get gives only what was checked against the CID */
};

struct csl_cas {
    const struct csl__cas_backend *backend;
    char *place; /* folder; or URL without a / at its end */
    char *ca_file;
    char shown[256];
    struct csl_cas_options options;
};

extern const struct csl__cas_backend csl__cas_folder;
/* The backend of a URL, or why there is none. */
CSL_MUST_CHECK enum csl_err csl__cas_of_url(const struct csl__cas_backend **out, struct csl_cas *c,
                                            struct csl_diag *diag);

/* What /api/v0/add answered: lines of JSON, in which one names one CID. place is for the messages.
 * CSL_EPROTO.
 */
CSL_MUST_CHECK enum csl_err csl__kubo_answer(struct csl_cid *out, const char *text, size_t n,
                                             const char *place, struct csl_diag *diag);

#endif
