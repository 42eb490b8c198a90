/* Making the correlations of a chunk of inferences (docs/protocol.md S9, C): taking counters, expanding, the
 * dealer's statement, its check, and binding them to the weights. Used by a lane for its next batch, and by a
 * pool (roles/lane/pool.h) ahead of need.
 */
#ifndef CSL_ROLES_MAKER_H
#define CSL_ROLES_MAKER_H

#include "mpc/correlation.h"
#include "net/mesh_link.h"
#include "roles/daemon/epoch.h"
#include "roles/lane/record.h"
#include "roles/package/package.h"
#include "roles/talk.h"

/* What they are made for; constant while the session lives, all borrowed. */
struct csl_making {
    const struct csl_context *ctx;
    unsigned self, n_parties;
    bool is_last;
    const uint8_t *session_id;
    const struct csl_party_epoch *epoch;
    const struct csl_package *package;
    const struct csl_opened *opened;
    const struct csl_demand *demands;
    size_t n_demands;
    size_t correction_bytes; /* of one index */
    const uint8_t *mask_id;
    uint32_t stream;
    uint32_t max_rows; /* of a chunk, without those that are checked */
    enum csl_profile profile;
    bool reveal_label;
    enum csl_audit_sign sign;
    bool keep_views;
    const char *client; /* who may be at fault when the parties were told different batches; NULL: nobody */
};

/* One that makes them: over which connections. */
struct csl_maker {
    const struct csl_making *m;
    struct csl_session *session; /* on the link below */
    struct csl_mesh_link *link;  /* its counters tell what was sent */
    struct csl_talk *dealer;     /* last party; else NULL */
    unsigned slot, after_slot;   /* counter slots of the link: while it makes, and afterwards */
    struct csl_counter_guard counters;
};

/* Last party: asks the dealer for the session's corrections (S7), and waits until it is ready. */
CSL_MUST_CHECK enum csl_err csl_maker_open(struct csl_maker *k, struct csl_diag *diag);

/* `count` rows that serve, into *corr and the offline part of the record (r->batch: for messages). *bytes:
 * what came from the dealer and was sent to peers. */
CSL_MUST_CHECK enum csl_err csl_maker_make(struct csl_maker *k, uint32_t count, struct csl_corr **corr,
                                           struct csl_record *r, uint64_t *bytes, struct csl_diag *diag);

#endif
