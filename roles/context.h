/* Who we are and who the others are: this site's keys, its TLS context and the roster. Read-only once loaded,
 * but for the certificate, which may be renewed while the program runs. */
#ifndef CSL_ROLES_CONTEXT_H
#define CSL_ROLES_CONTEXT_H

#include "net/conn.h"
#include "net/roster.h"

struct csl_context {
    struct csl_site site;
    char *dir;
    struct csl_roster roster;
    uint8_t roster_digest[32];
    const struct csl_member *self; /* this site's line in the roster */
    struct csl_tls_ctx *tls;
    uint8_t software[32]; /* digests that a session's statement names; csl_context_configure */
    uint8_t configuration[32];
    struct csl_logbook *logbook; /* roles/daemon/logbook.h; borrowed; NULL in a command that logs nothing */
};

/* Loads the site folder and the roster (roster_path NULL: <dir>/roster.yaml). CSL_ECONFIG when the roster has
 * no such site, another key for it, or another CA. */
CSL_MUST_CHECK enum csl_err csl_context_load(struct csl_context *ctx, const char *dir,
                                             const char *roster_path, struct csl_diag *diag);
void csl_context_free(struct csl_context *ctx); /* may be all zero */

/* Reads tls.crt again; *changed when later connections use a new one; one that the roster's CA did not issue,
 * or that is not valid now, is an error and the old one stays. Main thread; lanes take their own reference of
 * ctx->tls when they start. */
CSL_MUST_CHECK enum csl_err csl_context_reload(struct csl_context *ctx, bool *changed, struct csl_diag *diag);

/* A daemon, once at its start: the digest of this program's file, and that of what the site set beside the
 * roster, SHA-256("consilium/configuration" 0 | settings); settings: "wait=block profile=auto cpu=avx2", say.
 */
CSL_MUST_CHECK enum csl_err csl_context_configure(struct csl_context *ctx, const char *settings,
                                                  struct csl_diag *diag);

/* CSL_EPERM unless this site has the role. */
CSL_MUST_CHECK enum csl_err csl_context_require(const struct csl_context *ctx, enum csl_role role,
                                                struct csl_diag *diag);

/* Connection options by the roster's timeouts, with the roster as the judge of peers. */
void csl_context_conn_options(const struct csl_context *ctx, struct csl_conn_options *opt);

#endif
