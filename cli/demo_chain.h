/* The demonstration's chain: anvil on this machine, in whose contract every site anchors its ledger. */
#ifndef CSL_CLI_DEMO_CHAIN_H
#define CSL_CLI_DEMO_CHAIN_H

#include "cli/anvil.h"
#include "cli/demo_audit.h"

enum { CSL_DEMO_CHAIN_SITES = CSL_ROSTER_PARTIES_MAX + 2 };

struct csl_demo_chain {
    const char *program; /* anvil's */
    struct csl_anvil *anvil;
    size_t n;
    struct csl_demo_chain_site {
        char name[CSL_NAME_MAX + 1];
        uint8_t account[CSL_ROSTER_ACCOUNT_BYTES];
    } sites[CSL_DEMO_CHAIN_SITES]; /* who keeps a ledger */
};

/* For csl_federation_options: makes an account for every site that keeps a ledger, and puts the chain into
 * the roster. arg is a struct csl_demo_chain. */
CSL_MUST_CHECK enum csl_err csl_demo_chain_roster(void *arg, struct csl_roster *r, const char *dir,
                                                  struct csl_diag *diag);
/* Starts anvil with funds for these accounts, and deploys the contract from the first one's. */
CSL_MUST_CHECK enum csl_err csl_demo_chain_start(struct csl_demo_chain *c, struct csl_demo_audit *a);
/* Every site anchors what its ledger holds now: prints transaction, block, previous and current root, or adds
 * them to *doc. */
CSL_MUST_CHECK enum csl_err csl_demo_chain_anchor(struct csl_demo_chain *c, struct csl_demo_audit *a,
                                                  json_t **doc);
/* Exports every whole ledger and verifies them against the chain: *doc as audit verify --json prints it, and
 * *code its exit code. */
CSL_MUST_CHECK enum csl_err csl_demo_chain_verify(struct csl_demo_chain *c, struct csl_demo_audit *a,
                                                  int *code, json_t **doc);
/* What a site's ledger tells of a session's anchor, as audit show --session --chain has it: prints or adds
 * it. */
CSL_MUST_CHECK enum csl_err csl_demo_chain_show(struct csl_demo_chain *c, struct csl_demo_audit *a,
                                                const char *session, json_t **doc);
void csl_demo_chain_stop(struct csl_demo_chain *c);

#endif
