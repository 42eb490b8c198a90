/* What the roster commands show. */
#ifndef CSL_CLI_ROSTER_SHOW_H
#define CSL_CLI_ROSTER_SHOW_H

#include "cli/commands.h"
#include "cli/show.h"
#include "net/roster.h"

/* Its digest as 64 hex digits. */
CSL_MUST_CHECK enum csl_err csl_roster_digest_text(char hex[CSL_HEX32_TEXT], const struct csl_roster *r);

/* The roster for people, or as JSON (--json). */
CSL_MUST_CHECK enum csl_err csl_roster_show(struct csl_cli *cli, const struct csl_roster *r);

#endif
