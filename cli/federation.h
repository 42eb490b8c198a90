/* A whole consortium on this machine, for simulate and demo: every site in a folder of its own, every role a
 * process of this same program, TLS on loopback. What is started here is the deployment; nothing is faked.
 *
 * The parent binds every listening socket itself (port 0) and hands it to its daemon, so that no port is
 * guessed and nobody connects too early.
 */
#ifndef CSL_CLI_FEDERATION_H
#define CSL_CLI_FEDERATION_H

#include <jansson.h>
#include <sys/types.h>

#include "net/roster.h"

enum { CSL_FEDERATION_MODEL_NAME_MAX = CSL_MODEL_NAME_MAX };

struct csl_federation;

/* Another member of the roster, beside the parties, the dealer, "model-owner" and "clinic". */
struct csl_federation_extra {
    const char *name;
    unsigned roles;
    bool queries; /* is among the model's clients */
};
/* A line of the roster's `connections`. */
struct csl_federation_dial {
    const char *from, *to;
};

struct csl_federation_options {
    unsigned n_parties;
    const char *model;                    /* its name in the roster */
    const char *dir;                      /* NULL: a temporary folder, removed at the end */
    uint32_t max_batch;                   /* roster limit */
    uint32_t lanes;                       /* roster limit; 0: the default */
    const char *wait;                     /* party --wait option, or NULL */
    const char *profile;                  /* party --profile option, or NULL */
    uint32_t threads;                     /* --threads option of parties and dealer; 0: their default */
    const struct csl_audit_policy *audit; /* the roster's; NULL: the defaults */

    /* A network between the processes: via[i] gets the port at which others reach the daemon that listens on
     * ports[i]; the roster names it. NULL: they reach each other directly. */
    enum csl_err (*via)(void *arg, uint16_t *via, const uint16_t *ports, size_t n, struct csl_diag *diag);
    void *via_arg;

    /* Adds to the roster before it is written; the sites' folders, with their keys, are in dir. May be NULL.
     */
    enum csl_err (*roster)(void *arg, struct csl_roster *r, const char *dir, struct csl_diag *diag);
    void *roster_arg;

    /* For tests; zero or NULL otherwise. */
    const char *program;                 /* the consilium to run; NULL: this program itself */
    const char *keys;                    /* a folder that keeps the sites' keys for the next federation */
    const struct csl_timeouts *timeouts; /* the roster's; NULL: the defaults */
    const struct csl_federation_extra *extras;
    size_t n_extras;
    const struct csl_federation_dial *dials;
    size_t n_dials;
    bool label_only; /* the roster's word on the model */
    bool idle;       /* starts no daemon: csl_federation_spawn does */
};

/* Creates CA, sites, certificates and the roster, and starts the dealer and the parties. */
CSL_MUST_CHECK enum csl_err csl_federation_start(struct csl_federation **out,
                                                 const struct csl_federation_options *opt,
                                                 struct csl_diag *diag);

/* Runs `consilium ARGS... --site <the owner's or client's folder>` to its end. stdout goes to this process's
 * stdout, or, when json is not NULL, is parsed into *json (NULL when there was none). An exit code other than
 * 0 is an error whose diag is what the command printed to stderr. */
enum csl_federation_role { CSL_FEDERATION_OWNER, CSL_FEDERATION_CLIENT };
CSL_MUST_CHECK enum csl_err csl_federation_run(struct csl_federation *fed, json_t **json,
                                               enum csl_federation_role role, const char *const *args,
                                               struct csl_diag *diag);

/* The same for any member. */
CSL_MUST_CHECK enum csl_err csl_federation_run_as(struct csl_federation *fed, json_t **json, const char *name,
                                                  const char *const *args, struct csl_diag *diag);

/* A command that needs no site (audit verify, audit replay): its exit codes 0 to 3 are verdicts and come back
 * in *code, any other is an error. */
CSL_MUST_CHECK enum csl_err csl_federation_run_tool(struct csl_federation *fed, json_t **json, int *code,
                                                    const char *const *args, struct csl_diag *diag);

/* Names of the parties, in order ("hospital-a"). */
const char *csl_federation_party_name(const struct csl_federation *fed, unsigned i);
const char *csl_federation_dir(const struct csl_federation *fed);

/* ---- One daemon at a time, by its member's name ---- */

/* Starts a daemon that does not run, on its port. program NULL: the federation's. args (may be NULL) are
 * added to its command line. */
CSL_MUST_CHECK enum csl_err csl_federation_spawn(struct csl_federation *fed, const char *name,
                                                 const char *program, const char *const *args,
                                                 struct csl_diag *diag);
/* 0: it does not run, as far as was waited for. */
pid_t csl_federation_pid(const struct csl_federation *fed, const char *name);
/* Waits until the daemon has been stopped by a signal (true) or has ended (false). */
bool csl_federation_wait_stopped(struct csl_federation *fed, const char *name);
/* Waits for its end: the exit code, or 128 + the number of the signal that ended it. */
int csl_federation_wait_ended(struct csl_federation *fed, const char *name);

/* Stops every daemon (SIGTERM, then SIGKILL after a deadline), waits for all, and adds the peak resident set
 * of each role in KiB to rss ({"hospital-a": 1234, ...}; may be NULL). Removes a temporary folder. */
void csl_federation_stop(struct csl_federation *fed, json_t *rss);

#endif
