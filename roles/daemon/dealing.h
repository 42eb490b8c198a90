/* One session's corrections at the dealer, in a thread of its own. */
#ifndef CSL_ROLES_DEALING_H
#define CSL_ROLES_DEALING_H

#include "mpc/correlation.h"
#include "nn/plan.h"
#include "roles/daemon/epoch.h"
#include "roles/talk.h"

/* B = sum of the parties' weight masks, for every linear demand of one model in one epoch; kept for the
 * sessions to come. */
struct csl_masks {
    _Atomic int refs;
    uint8_t mask_id[32];
    size_t n_demands;
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    uint64_t *b[CSL_PLAN_MAX_DEMANDS]; /* NULL where the demand is no linear one */
};

enum { CSL_MASKS_KEPT = 4 };
struct csl_mask_cache { /* thread-safe */
    pthread_mutex_t lock;
    struct csl_masks *kept[CSL_MASKS_KEPT]; /* newest first */
};
void csl_mask_cache_init(struct csl_mask_cache *c);
/* Forgets all, when their epoch has ended; sessions that run keep theirs by reference. */
void csl_mask_cache_drop(struct csl_mask_cache *c);
void csl_mask_cache_clear(struct csl_mask_cache *c);
/* A reference to the masks, made if need be. The caller unrefs. */
CSL_MUST_CHECK enum csl_err csl_masks_get(struct csl_masks **out, struct csl_mask_cache *c,
                                          const struct csl_dealer_epoch *e, const uint8_t package_digest[32],
                                          const struct csl_demand *demands, size_t n_demands,
                                          struct csl_diag *diag);
void csl_masks_unref(struct csl_masks *m);

struct csl_dealing;
/* Main thread. epoch (a reference) and parts are taken over; parts NULL: the dealing dials `to` itself. */
CSL_MUST_CHECK enum csl_err csl_dealing_new(struct csl_dealing **out, const struct csl_context *ctx,
                                            struct csl_mask_cache *masks, struct csl_dealer_epoch *epoch,
                                            const struct csl_member *to, struct csl_conn_parts *parts,
                                            const uint8_t session_id[CSL_SESSION_ID_BYTES],
                                            struct csl_diag *diag);
void csl_dealing_run(void *dealing); /* the thread's body */
void csl_dealing_interrupt(struct csl_dealing *d, enum csl_err err, const char *reason);
void csl_dealing_free(struct csl_dealing *d); /* main thread, after the thread has ended */

#endif
