/* The party daemon: admits sessions, keeps models, and follows the dealer's epochs. */
#ifndef CSL_ROLES_PARTY_H
#define CSL_ROLES_PARTY_H

#include "net/mesh_link.h"
#include "roles/daemon.h"

struct csl_party_options {
    struct csl_daemon_options daemon;
    enum csl_wait wait;
};

/* Runs until SIGTERM or SIGINT. */
CSL_MUST_CHECK enum csl_err csl_party_run(struct csl_context *ctx, const struct csl_party_options *opt,
                                          struct csl_diag *diag);

#endif
