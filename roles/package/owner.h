/* The model owner: shares a model among the parties. The owner is no computing party. */
#ifndef CSL_ROLES_OWNER_H
#define CSL_ROLES_OWNER_H

#include "nn/infer.h"
#include "roles/context.h"
#include "roles/package/seal.h"

/* Delivers each party its sealed part; each checks and stores it before it answers. All parties must be
 * reachable: when one is not, nothing is delivered to any. A failure after that names the party; sharing
 * again replaces what some already hold. The newest checkpoint of our ledger goes along, and comes back
 * cosigned: needs ctx->logbook. CSL_EAUTH also when a party knows another history of our ledger. */
CSL_MUST_CHECK enum csl_err csl_owner_deliver(const struct csl_context *ctx, const struct csl_sealed *sealed,
                                              struct csl_diag *diag);

/* Quantises, splits and seals (csl_seal, for CSL_SEAL_DAYS_DEFAULT), and delivers. digest gets the package
 * digest. Opens the site's ledger where ctx has none. CSL_EPERM: the roster does not let this site share
 * `name`. */
CSL_MUST_CHECK enum csl_err csl_owner_share(uint8_t digest[CSL_DIGEST_BYTES], const struct csl_context *ctx,
                                            const char *name, const struct csl_plan *plan,
                                            const struct csl_weights *weights, struct csl_diag *diag);

#endif
