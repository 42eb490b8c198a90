/* The roster for people, or as JSON (--json). */
#ifndef CSL_CLI_ROSTER_SHOW_H
#define CSL_CLI_ROSTER_SHOW_H

#include "cli/commands.h"
#include "net/roster.h"

CSL_MUST_CHECK enum csl_err csl_roster_show(struct csl_cli *cli, const struct csl_roster *r);

#endif
