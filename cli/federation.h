/* A whole consortium on this machine, for simulate and demo: every site in a folder of its own, every role a
 * process of this same program, TLS on loopback. What is started here is the deployment; nothing is faked.
 *
 * The parent binds every listening socket itself (port 0) and hands it to its daemon, so that no port is
 * guessed and nobody connects too early.
 */
#ifndef CSL_CLI_FEDERATION_H
#define CSL_CLI_FEDERATION_H

#include <jansson.h>

#include "net/roster.h"

enum { CSL_FEDERATION_MODEL_NAME_MAX = CSL_MODEL_NAME_MAX };

struct csl_federation;

struct csl_federation_options {
    unsigned n_parties;
    const char *model;  /* its name in the roster */
    const char *dir;    /* NULL: a temporary folder, removed at the end */
    uint32_t max_batch; /* roster limit */
    uint32_t lanes;     /* roster limit; 0: the default */
    const char *wait;   /* party --wait option, or NULL */
};

/* Creates CA, sites, certificates and the roster, and starts the dealer and the parties. */
CSL_MUST_CHECK enum csl_err csl_federation_start(struct csl_federation **out,
                                                 const struct csl_federation_options *opt,
                                                 struct csl_diag *diag);

/* Runs `consilium ARGS... --site <the owner's or client's folder>` to its end. stdout goes to this process's
 * stdout, or, when json is not NULL, is parsed into *json. An exit code other than 0 is an error whose diag
 * is what the command printed to stderr. */
enum csl_federation_role { CSL_FEDERATION_OWNER, CSL_FEDERATION_CLIENT };
CSL_MUST_CHECK enum csl_err csl_federation_run(struct csl_federation *fed, json_t **json,
                                               enum csl_federation_role role, const char *const *args,
                                               struct csl_diag *diag);

/* Names of the parties, in order ("hospital-a"). */
const char *csl_federation_party_name(const struct csl_federation *fed, unsigned i);
const char *csl_federation_dir(const struct csl_federation *fed);

/* Stops every daemon (SIGTERM, then SIGKILL after a deadline), waits for all, and adds the peak resident set
 * of each role in KiB to rss ({"hospital-a": 1234, ...}; may be NULL). Removes a temporary folder. */
void csl_federation_stop(struct csl_federation *fed, json_t *rss);

#endif
