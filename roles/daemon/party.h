/* The party daemon: admits sessions, keeps models, and follows the dealer's epochs. */
#ifndef CSL_ROLES_PARTY_H
#define CSL_ROLES_PARTY_H

#include "net/mesh_link.h"
#include "nn/plan.h"
#include "roles/daemon/daemon.h"

struct csl_party_options {
    struct csl_daemon_options daemon;
    enum csl_wait wait;
    bool auto_profile;        /* sessions' profile by the measured round trip; counts at party 0 */
    enum csl_profile profile; /* otherwise this one */
};

/* Runs until SIGTERM or SIGINT. */
CSL_MUST_CHECK enum csl_err csl_party_run(struct csl_context *ctx, const struct csl_party_options *opt,
                                          struct csl_diag *diag);

#endif
