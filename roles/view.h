/* Views: what a party kept of a session so that an independent judge can recompute what it sent
 * (docs/audit.md R).
 *
 * While a session runs the lane adds each batch to <site>/state/views/<session id>.view; each record is
 * sealed to the site's own wrapping key. The roster's audit.views_mib bounds the folder: the oldest views go
 * first; 0 keeps none. A view holds seeds of single indices, never an epoch key, and never a weight mask.
 */
#ifndef CSL_ROLES_VIEW_H
#define CSL_ROLES_VIEW_H

#include "nn/infer.h"
#include "roles/context.h"
#include "roles/package.h"
#include "roles/record.h"

struct csl_view_writer;

/* E (opened masked weights) is written once for each mask id, beside the views. *out is NULL when none are
 * kept. */
CSL_MUST_CHECK enum csl_err csl_view_begin(struct csl_view_writer **out, const struct csl_context *ctx,
                                           const uint8_t session_id[16], const struct csl_session_record *s,
                                           const struct csl_package *package, const uint8_t mask_id[32],
                                           const struct csl_model_share *share, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_view_add(struct csl_view_writer *w, const struct csl_record *r,
                                         struct csl_diag *diag);
void csl_view_end(struct csl_view_writer *w); /* NULL is allowed */

#endif
