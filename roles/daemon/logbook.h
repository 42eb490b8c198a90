/* A site's ledger (audit/ledger.h) with its leaves written by name. Any thread.
 *
 * Lives in <site>/state/ledger. Every daemon, and every command that changes what is accounted for (seal,
 * share, reseal, archive, open a view, consent), opens it. Where the roster says `audit: sign: off` leaves
 * are written all the same; only statements of batches are missing.
 */
#ifndef CSL_ROLES_LOGBOOK_H
#define CSL_ROLES_LOGBOOK_H

#include <pthread.h>

#include "audit/leaf.h"
#include "audit/ledger.h"
#include "roles/context.h"

enum {
    CSL_LOGBOOK_SYNC_MS = 100, /* of the daemons */
    CSL_LOGBOOK_SHOWN = 32
};

struct csl_logbook {
    const struct csl_context *ctx;
    struct csl_ledger *ledger;
    pthread_mutex_t refusals_lock;
    uint64_t minute, dropped; /* of refusals: in which minute, and those that were not written */
    unsigned refusals;
    uint8_t shown[CSL_LOGBOOK_SHOWN][CSL_SHA256_BYTES]; /* refused checkpoints that were written down */
    size_t n_shown;
};
/* sync_ms: as csl_ledger_options. Logs (csl_log) what a crash had torn off. */
CSL_MUST_CHECK enum csl_err csl_logbook_open(struct csl_logbook *b, const struct csl_context *ctx,
                                             uint32_t sync_ms, struct csl_diag *diag);
void csl_logbook_close(struct csl_logbook *b); /* may be zero */
/* Whether entries can be written, where there is a logbook: asked before a session is admitted. */
CSL_MUST_CHECK enum csl_err csl_logbook_check(const struct csl_context *ctx, struct csl_diag *diag);
/* Encodes (fresh salt, time) and appends. */
CSL_MUST_CHECK enum csl_err csl_logbook_add(struct csl_logbook *b, csl_leaf *leaf, bool durable,
                                            struct csl_diag *diag);
/* A refusal: who (may be unknown: "an unknown peer"), what it wanted, why not. Best effort in the sense that
 * the refusal stands whatever happens to the ledger; at most 100 a minute are written, then one that says how
 * many more. b may be NULL: nothing is written. */
void csl_logbook_refused(struct csl_logbook *b, const char *who, const char *what, enum csl_err err,
                         const char *reason);
/* "consilium/<consortium>/<site>": the origin of a member's checkpoints. */
void csl_logbook_origin(char out[CSL_ORIGIN_MAX + 1], const struct csl_roster *r, const char *name);

#endif
