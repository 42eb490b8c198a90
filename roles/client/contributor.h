/* The owner of a part of the inputs of somebody else's session.
 *
 * The session's client names the parts when it opens it and tells the owners the session's id (by any way: it
 * is no secret; who may join is in the client's request and in the roster). An owner shares its part of every
 * batch; it learns nothing of the others' parts nor of the result.
 *
 *     TRY(csl_contributor_join(&c, ctx, session_id, diag));
 *     for (;;) {
 *         TRY(csl_contributor_wait(c, &count, diag));       the next batch; 0: the session is over
 *         TRY(csl_contributor_send(c, x, diag));            count times the part's box
 *     }
 *     csl_contributor_leave(c);
 */
#ifndef CSL_ROLES_CONTRIBUTOR_H
#define CSL_ROLES_CONTRIBUTOR_H

#include "roles/message.h"
#include "roles/package/package.h"
#include "roles/parts.h"

struct csl_contributor;

/* All parties must describe the same model and part. Waits until the client's session is there, for a while.
 */
CSL_MUST_CHECK enum csl_err csl_contributor_join(struct csl_contributor **out, const struct csl_context *ctx,
                                                 const uint8_t session_id[CSL_SESSION_ID_BYTES],
                                                 struct csl_diag *diag);
const struct csl_plan *csl_contributor_plan(const struct csl_contributor *c);
const struct csl_part *csl_contributor_part(const struct csl_contributor *c);
/* Waits for the next batch (at most session_idle_ms). */
CSL_MUST_CHECK enum csl_err csl_contributor_wait(struct csl_contributor *c, uint32_t *count,
                                                 struct csl_diag *diag);
/* x: as many parts as wait said, row-major boxes of normalised values. */
CSL_MUST_CHECK enum csl_err csl_contributor_send(struct csl_contributor *c, const float *x,
                                                 struct csl_diag *diag);
void csl_contributor_leave(struct csl_contributor *c); /* NULL is allowed */

#endif
