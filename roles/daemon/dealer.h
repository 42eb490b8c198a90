/* The dealer daemon: makes epochs, and corrections for the sessions of the last party. It never sees data. */
#ifndef CSL_ROLES_DEALER_H
#define CSL_ROLES_DEALER_H

#include "roles/daemon/daemon.h"

/* Runs until SIGTERM or SIGINT. */
CSL_MUST_CHECK enum csl_err csl_dealer_run(struct csl_context *ctx, const struct csl_daemon_options *opt,
                                           struct csl_diag *diag);

#endif
