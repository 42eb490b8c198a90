/* Views: what a party kept of a session so that an independent judge can recompute what it sent
 * (docs/audit.md R).
 *
 * While a session runs the lane adds each batch to <site>/state/views/<session id>.view; each record
 * (proto/view.proto) is sealed to the site's own wrapping key. A view holds seeds of single indices, never an
 * epoch key, and never a weight mask. The roster's audit.views_mib bounds the folder: the oldest views go
 * first, but none of a session that runs; 0 keeps none.
 *
 *   "CSLV" | version u32 = 1 | name of E 32 | session id 16, then records: length u64 | envelope
 *
 * Envelopes have the label "consilium/view" and bind session id and number of the record. E lies beside the
 * views in <name of E>.weights, in the same form, once for all sessions of a mask id. The name is
 * SHA-256("consilium/masked-weights" 0 | mask id | salt of the party's part of the model | E).
 */
#ifndef CSL_ROLES_VIEW_H
#define CSL_ROLES_VIEW_H

#include "nn/infer.h"
#include "roles/context.h"
#include "roles/lane/record.h"
#include "roles/package/package.h"
#include "roles/request.h"

/* ---- Writing, in a lane. Trouble with the disk is logged and never breaks the session: the view then ends
 * as incomplete. The results are CSL_OK but for CSL_ENOMEM and the like. ---- */

struct csl_view_writer;

/* share: with E. request: as the client sent it (its digest is in the statement). *out is NULL when no view
 * is kept. Everything is borrowed for the call, ctx for the writer's life. */
CSL_MUST_CHECK enum csl_err csl_view_begin(struct csl_view_writer **out, const struct csl_context *ctx,
                                           const uint8_t session_id[16], const struct csl_session_record *s,
                                           const struct csl_package *package, const uint8_t mask_id[32],
                                           const struct csl_model_share *share,
                                           const struct csl_request *request, struct csl_diag *diag);
/* After the output was sent; r may go when it returns. A large record is sealed and written by a thread: what
 * goes wrong there is an error of the next call. w may be NULL. */
CSL_MUST_CHECK enum csl_err csl_view_add(struct csl_view_writer *w, const struct csl_record *r,
                                         struct csl_diag *diag);
/* Whether its records, those on their way included, are more than a quarter of what the roster allows for all
 * views of the site. NULL: no. */
bool csl_view_is_large(const struct csl_view_writer *w);
/* However the session ends. NULL is allowed. */
void csl_view_end(struct csl_view_writer *w);

/* ---- A view in memory, as the replay reads it ---- */

struct csl_view_session {
    struct csl_session_record record;
    uint8_t *manifest;
    size_t n_manifest;
    uint8_t manifest_signature[CSL_SIGNATURE_BYTES];
    uint8_t *part; /* secret */
    size_t n_part;
    struct csl_request request;
    uint8_t **e; /* E of each layer, packed */
    size_t *n_e;
    size_t n_layers;
};
void csl_view_session_clear(struct csl_view_session *s); /* may be zero */

/* Records one after another; only one is in memory at a time. */
struct csl_view_reader;

/* Of this site's own view, opened with its wrapping key. It is not deleted while it is read. CSL_ENOINPUT: no
 * view of this session (what may have become of it is in the sentence). */
CSL_MUST_CHECK enum csl_err csl_view_open_own(struct csl_view_reader **out, const struct csl_context *ctx,
                                              const uint8_t session_id[16], struct csl_diag *diag);
void csl_view_reader_free(struct csl_view_reader *v); /* NULL is allowed */
/* First: the session. Lengths and counts are checked (CSL_EDATA), nothing else is. The roster is borrowed
 * until the reader is freed. */
CSL_MUST_CHECK enum csl_err csl_view_read_session(struct csl_view_session *out, struct csl_view_reader *v,
                                                  const struct csl_roster *roster, struct csl_diag *diag);
/* Then batches, until *end. The record is the caller's to clear. complete: no batch of the session is
 * missing; else why tells what happened. */
CSL_MUST_CHECK enum csl_err csl_view_read_batch(struct csl_record *out, bool *end, struct csl_view_reader *v,
                                                struct csl_diag *diag);
bool csl_view_complete(const struct csl_view_reader *v, const char **why);

/* ---- An opened view: one file for a judge ----
 *
 *   "CSLO" | version u32 = 1 | length u32 | head (proto/view.proto Opened) | length u64 | envelope ... |
 *   0 u64 | signature 64
 *
 * Envelopes are sealed to the judge's key (label "consilium/opened-view", bound to the head and the number of
 * the record); the party signs SHA-256 of all that stands before the signature. */

struct csl_opened_view {
    uint8_t roster_digest[32], session_id[16], package_digest[32], judge[CSL_SPKI_BYTES];
    char party[CSL_NAME_MAX + 1], model[CSL_MODEL_NAME_MAX + 1];
    struct csl_signed consent; /* statement NULL: none */
};
void csl_opened_view_clear(struct csl_opened_view *o); /* may be zero */

/* Reads the rest of v and writes it for the judge. The file is new (CSL_ECREATE), 0600. */
CSL_MUST_CHECK enum csl_err csl_opened_view_write(const char *path, const struct csl_opened_view *head,
                                                  struct csl_view_reader *v, EVP_PKEY *judge,
                                                  EVP_PKEY *sign_key, struct csl_diag *diag);
/* At the judge: the head, and that the party that it names signed the file with the roster's key (CSL_EAUTH).
 * judge: the private key; CSL_EAUTH when the view is sealed to another. No record is opened before it is
 * read. */
CSL_MUST_CHECK enum csl_err csl_opened_view_open(struct csl_view_reader **out, struct csl_opened_view *head,
                                                 const char *path, const struct csl_roster *roster,
                                                 EVP_PKEY *judge, struct csl_diag *diag);

#endif
