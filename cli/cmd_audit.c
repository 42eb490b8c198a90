/* consilium audit: what a ledger holds, exported, verified, shown and replayed; each in a file of its own. */
#include "cli/commands.h"

int cmd_audit(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_command table[] = {
        {"export", "write what a ledger holds of a session, for an auditor", cmd_audit_export},
        {"verify", "what the bundles of all sites prove, and against whom", cmd_audit_verify},
        {"show", "the story of a session, or of a ledger", cmd_audit_show},
        {"open", "party: show the view of a session to a judge", cmd_audit_open},
        {"replay", "judge: recompute what a party should have sent", cmd_audit_replay},
        {"consent", "owner: let a party open more than the roster allows", cmd_audit_consent},
        {"accept", "take the new ledger of a member that lost its own", cmd_audit_accept},
        {"anchor", "put this site's checkpoints on a chain", cmd_audit_anchor},
        {NULL, NULL, NULL}};
    return csl_cli_dispatch(cli, "audit", table, argc, argv);
}
