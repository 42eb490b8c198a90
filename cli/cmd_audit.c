/* consilium audit: what a ledger holds, exported, verified, shown and replayed; each in a file of its own. */
#include "cli/commands.h"

int cmd_audit(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_command table[] = {{NULL, NULL, NULL}};
    return csl_cli_dispatch(cli, "audit", table, argc, argv);
}
