/* Shared by anchor.c (anchoring, deploying) and account.c (who signs). */
#ifndef CSL_CLI_AUDIT_ANCHOR_H
#define CSL_CLI_AUDIT_ANCHOR_H

#include "chain/account.h"
#include "chain/anchor.h"
#include "cli/commands.h"
#include "roles/daemon/logbook.h"

enum { CSL_ANCHOR_CALL_MS = 20000, CSL_ANCHOR_SIGNER_MS = 300000 /* a person may have to approve */ };

struct csl_anchor_words {
    const char *site, *roster, *url, *ca, *remote_signer, *account;
    bool clef, new_account, deploy, once, after_reverts, development;
    uint64_t every, wait, poll_ms, chain_id, max_fee_gwei, max_tip_gwei, gas_limit, resend_s, behind_s;
};

struct csl_anchor_job {
    struct csl_cli *cli;
    const struct csl_anchor_words *o;
    struct csl_context ctx;
    struct csl_logbook book;
    struct csl_account *account;
    struct csl_rpc rpc, remote;
    struct csl_signer signer;
    bool signer_checked;
    struct csl_anchor *anchor;
};

/* Makes chain.key in the site's folder, and says its address. */
CSL_MUST_CHECK enum csl_err csl_anchor_new_account(struct csl_cli *cli, const struct csl_anchor_words *o);
/* The site's key or the remote signer: not everybody has the account's key. */
CSL_MUST_CHECK enum csl_err csl_anchor_open_signer(struct csl_anchor_job *j, struct csl_diag *diag);
/* That it has the account; asked until it once said so. A remote signer may be down for a while: what fails
 * for that is csl_anchor_again(). csl_anchor_open_signer has done it where nobody waits. */
CSL_MUST_CHECK enum csl_err csl_anchor_check_signer(struct csl_anchor_job *j, struct csl_diag *diag);

#endif
