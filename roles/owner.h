/* The model owner: shares a model among the parties. The owner is no computing party. */
#ifndef CSL_ROLES_OWNER_H
#define CSL_ROLES_OWNER_H

#include "nn/infer.h"
#include "roles/context.h"

/* Quantises, splits and delivers one part to every party; each stores it before it answers. All parties must
 * be reachable: when one is not, nothing is delivered to any. A failure after that names the party; sharing
 * again replaces what some already hold. digest gets the package digest. CSL_EPERM: the roster does not let
 * this site share `name`.
 */
CSL_MUST_CHECK enum csl_err csl_owner_share(uint8_t digest[CSL_DIGEST_BYTES], const struct csl_context *ctx,
                                            const char *name, const struct csl_plan *plan,
                                            const struct csl_weights *weights, struct csl_diag *diag);

#endif
