/* Shared by view.c (the writer), view_folder.c (its bound), view_codec.c (records), view_file.c (files of
 * records) and view_opened.c (views sealed to a judge). */
#ifndef CSL_ROLES_VIEW_INTERNAL_H
#define CSL_ROLES_VIEW_INTERNAL_H

#include "crypto/envelope.h"
#include "roles/judge/view.h"
#include "view.pb-c.h"

enum {
    CSL__VIEW_VERSION = 1,
    CSL__VIEW_HEAD_BYTES = 8 + 32 + 16, /* magic, version, mask id, session id */
    CSL__VIEW_DEPTH_ROUNDS = 1 << 16    /* rounds of a batch, at most */
};
#define CSL__VIEW_LABEL "consilium/view"
#define CSL__OPENED_LABEL "consilium/opened-view"

/* ---- Records as bytes; what is packed or unpacked is secret ---- */

/* *out by csl_secret_alloc. */
CSL_MUST_CHECK enum csl_err csl__view_pack(uint8_t **out, size_t *n, const Csl__View__Record *r);
/* Of exactly this kind. CSL_EDATA. Freed by csl__view_free, which wipes it. */
CSL_MUST_CHECK enum csl_err csl__view_unpack(Csl__View__Record **out, const uint8_t *p, size_t n,
                                             struct csl_diag *diag);
void csl__view_free(Csl__View__Record *r);

CSL_MUST_CHECK enum csl_err csl__view_pack_session(uint8_t **out, size_t *n,
                                                   const struct csl_session_record *s,
                                                   const struct csl_package *package,
                                                   const struct csl_request *request);
CSL_MUST_CHECK enum csl_err csl__view_pack_weights(uint8_t **out, size_t *n,
                                                   const struct csl_model_share *share);
CSL_MUST_CHECK enum csl_err csl__view_pack_batch(uint8_t **out, size_t *n, const struct csl_record *r,
                                                 unsigned n_parties);
CSL_MUST_CHECK enum csl_err csl__view_pack_end(uint8_t **out, size_t *n, bool complete, const char *reason);

CSL_MUST_CHECK enum csl_err csl__view_take_session(struct csl_view_session *out, const Csl__View__Session *m,
                                                   const struct csl_roster *roster, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl__view_take_weights(struct csl_view_session *out, const Csl__View__Weights *m,
                                                   struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl__view_take_batch(struct csl_record *out, const Csl__View__Batch *m,
                                                 unsigned n_parties, const struct csl_roster *roster,
                                                 struct csl_diag *diag);

/* ---- Files of records ---- */

/* A record's envelope, with its length before it; *out is malloc'ed. head: what stands before the records. */
CSL_MUST_CHECK enum csl_err csl__view_seal(uint8_t **out, size_t *n_out, EVP_PKEY *key, const char *label,
                                           const uint8_t *head, size_t n_head, uint64_t number,
                                           const uint8_t *plain, size_t n, struct csl_diag *diag);
void csl__view_head(uint8_t out[CSL__VIEW_HEAD_BYTES], const uint8_t weights_id[32],
                    const uint8_t session_id[16]);

struct csl__view_file {
    int fd;
    char *path;
    uint64_t at, end; /* records lie in [at, end) */
    uint64_t number;  /* of the next */
    uint8_t *head;
    size_t n_head;
    const char *label;
    EVP_PKEY *key; /* a reference of its own */
};
/* Opens and reads the head of a view or weights file, under a shared lock. CSL_EBUSY: somebody writes it. */
CSL_MUST_CHECK enum csl_err csl__view_file_open(struct csl__view_file *f, const char *path, EVP_PKEY *key,
                                                struct csl_diag *diag);
void csl__view_file_close(struct csl__view_file *f); /* may be zero */
/* The next record in clear (csl_secret_alloc); *plain NULL at the end. *torn: it ends within a record. */
CSL_MUST_CHECK enum csl_err csl__view_file_next(struct csl__view_file *f, uint8_t **plain, size_t *n,
                                                bool *torn, struct csl_diag *diag);
/* Exactly n bytes at an offset. */
CSL_MUST_CHECK enum csl_err csl__pread(int fd, const char *path, uint8_t *out, size_t n, uint64_t at,
                                       struct csl_diag *diag);

struct csl_view_reader {
    struct csl__view_file file, weights; /* weights: of an own view, a file beside it; else unused */
    unsigned n_parties;                  /* once the session was read, as the next */
    const struct csl_roster *roster;
    bool ended, complete;
    char why[512];
};
/* The next record of a view: session, weights, batches, end. *plain NULL after the end. */
CSL_MUST_CHECK enum csl_err csl__view_next(struct csl_view_reader *v, uint8_t **plain, size_t *n,
                                           struct csl_diag *diag);

/* ---- The folder ---- */

CSL_MUST_CHECK enum csl_err csl__views_dir(char out[4096], const struct csl_context *ctx,
                                           struct csl_diag *diag);
void csl__views_lock(void);
void csl__views_unlock(void);
/* Under the lock: whether `need` more bytes fit within the bound, after deleting old views that nobody uses
 * where they do not; they are counted then. */
bool csl__views_room(const char *dir, uint64_t bound, uint64_t need);
/* Counts them back. */
void csl__views_return(const char *dir, uint64_t n);

#endif
