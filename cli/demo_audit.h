/* The second half of the demonstration: an audit that passes, and one that names a hospital. */
#ifndef CSL_CLI_DEMO_AUDIT_H
#define CSL_CLI_DEMO_AUDIT_H

#include "cli/commands.h"
#include "cli/federation.h"

struct csl_demo_audit {
    struct csl_cli *cli;
    struct csl_federation *fed;
    unsigned n_parties;
};

/* Exports every site's bundle of the last session and verifies them. *doc: {exit, party, round, ...}. */
CSL_MUST_CHECK enum csl_err csl_demo_verify(struct csl_demo_audit *a, const char *tag, json_t **doc);

/* Shows one party's view of the session after the other to a judge, until one message is found wrong or all
 * are right. *doc as above. */
CSL_MUST_CHECK enum csl_err csl_demo_replay(struct csl_demo_audit *a, const char *tag, json_t **doc);

/* Puts a daemon that lies once in the place of a party's. */
CSL_MUST_CHECK enum csl_err csl_demo_corrupt(struct csl_demo_audit *a, const char *party, const char *program,
                                             const char *round);

#endif
