/* What the audit commands share about the chain. In a build without libcurl or libsecp256k1 each function
 * fails with CSL_EUNAVAILABLE and says so. */
#ifndef CSL_CLI_AUDIT_CHAIN_H
#define CSL_CLI_AUDIT_CHAIN_H

#include "audit/bundle.h"
#include "audit/verify.h"
#include "cli/commands.h"
#include "net/roster.h"
#include "roles/context.h"

/* The node that an auditor asks. url NULL: nobody asks the chain. */
struct csl_chain_node {
    const char *url, *ca_file;
    uint64_t timeout_s;  /* for each question; 0: 20 */
    uint64_t deadline_s; /* for all of them, about a bundle or a session; 0: 600 */
};

/* Compares each bundle with the anchors of its site, adds findings to r, and tells how much is anchored, a
 * site an object. CSL_EUSAGE: the roster has no chain. */
CSL_MUST_CHECK enum csl_err csl_chain_verify(json_t **doc, struct csl_audit_report *r,
                                             const struct csl_roster *roster,
                                             const struct csl_auditee *members, csl_bundle *const *bundles,
                                             size_t n_bundles, const struct csl_chain_node *node,
                                             struct csl_diag *diag);

void csl_chain_print_verified(const json_t *doc);

/* The anchor that covers entry `leaf` of this site's ledger: from the chain where there is a URL, otherwise
 * from the site's own outbox, and it is said which. JSON null when none does. CSL_OK and null, too, where the
 * roster has no chain and there is no URL. */
CSL_MUST_CHECK enum csl_err csl_chain_anchor_of(json_t **out, const struct csl_context *ctx, uint64_t leaf,
                                                const struct csl_chain_node *node, struct csl_diag *diag);
/* Prints such an anchor: transaction, block, previous and current root. */
void csl_chain_print_anchor(const json_t *anchor, const char *indent);

#endif
