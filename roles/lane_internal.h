/* Shared by lane.c (life, mailbox), lane_connect.c (the mesh), lane_profile.c (lan or wan), lane_open.c
 * (setting the session up), lane_prepare.c (correlations of a batch), lane_serve.c (batches) and lane_audit.c
 * (statements, leaves). */
#ifndef CSL_ROLES_LANE_INTERNAL_H
#define CSL_ROLES_LANE_INTERNAL_H

#include "mpc/correlation.h"
#include "roles/audit_link.h"
#include "roles/lane.h"
#include "roles/maker.h"
#include "roles/record.h"
#include "roles/talk.h"
#include "roles/view.h"

/* Places for connections: parties by number, the dealer, then the owners of parts of the input. */
enum { CSL_LANE_PLACES = CSL_MAX_PARTIES + 1 + CSL_PARTS_MAX };
enum {
    CSL_LANE_SLOT_SETUP,
    CSL_LANE_SLOT_ONLINE,
    CSL_LANE_SLOT_OFFLINE
}; /* counter slots of the mesh link */

struct csl_lane {
    struct csl_lane_options opt;
    unsigned self, n_parties;
    bool is_last; /* takes corrections from the dealer */

    /* Mailbox: main thread and lane, under lock. */
    pthread_mutex_t lock;
    struct csl_conn_parts *arrived[CSL_LANE_PLACES];
    struct csl_mesh_link *link; /* set and cleared under lock */

    /* The lane's own. */
    struct csl_worker worker;
    struct csl_talk client;
    struct csl_talk peers[CSL_LANE_PLACES]; /* until the mesh link has them; the dealer's stays */
    bool present[CSL_LANE_PLACES];
    struct csl_session session;
    bool session_open;
    uint32_t stream;
    enum csl_profile profile; /* party 0's choice; agreed on from csl__lane_open's first round on */
    struct csl_making making; /* from csl__lane_making on */
    struct csl_maker maker;   /* over the lane's own connections; not of a shared session, which has a pool */
    struct csl_parts parts;   /* of the input, fitted to the plan; none: the client's alone */
    struct csl_opened *opened;
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    size_t n_demands;
    size_t correction_bytes; /* of one index */
    uint64_t batches, inferences;
    struct csl_diag diag; /* why the session ended */

    /* The audit (docs/audit.md). */
    enum csl_audit_sign sign; /* the roster's; off: batches carry no statements */
    bool keep_views;          /* batches are kept for a judge: seeds and corrections go into the record */
    uint32_t openings;        /* of a batch */
    struct csl_audit_link *audit;
    struct csl_view_writer *view;     /* NULL: none is kept */
    struct csl_session_record agreed; /* the session's statement, from csl__lane_agree_statement on */
    uint8_t mask_id[CSL_DIGEST_BYTES];
};

/* What one party said in the agreement beside what is compared, in party order. */
struct csl__lane_said {
    uint8_t software[CSL_DIGEST_BYTES], configuration[CSL_DIGEST_BYTES], seed_commitment[CSL_DIGEST_BYTES];
};

/* lane_connect.c: every place taken, and the mesh link made. */
CSL_MUST_CHECK enum csl_err csl__lane_connect(struct csl_lane *l);
/* lane_profile.c, party 0, before the first round: l->profile, by its site's option or
 * by the round trips to the peers. */
CSL_MUST_CHECK enum csl_err csl__lane_choose_profile(struct csl_lane *l);

/* lane_open.c: connections, agreement, masked weights, the dealer; then tells the client that it may begin.
 */
CSL_MUST_CHECK enum csl_err csl__lane_open(struct csl_lane *l);
/* Where the owner of part i is to be found. */
static inline unsigned csl__lane_place(const struct csl_lane *l, size_t part) {
    return l->n_parties + 1 + (unsigned)part;
}
/* The talk with the owner of part i: the client's own, or one of the others. */
struct csl_talk *csl__lane_owner(struct csl_lane *l, size_t part);

/* One batch in the making. */
struct csl__batch {
    uint32_t number, count;
    struct csl_corr *corr;
    uint64_t *x, *y; /* shares */
    size_t n_x, n_y;
    uint64_t input_ns, output_ns;
    uint64_t offline_bytes, online_bytes, max_link_bytes;
    uint32_t rounds;
    struct csl_record record; /* batch and count are set before csl__lane_prepare */
};

/* lane_prepare.c: once stream, demands, mask id and opened weights are known. */
void csl__lane_making(struct csl_lane *l);
/* Takes counters, makes b->corr ready to use. number and count are set. */
CSL_MUST_CHECK enum csl_err csl__lane_prepare(struct csl_lane *l, struct csl__batch *b);

/* lane_input.c: the input of a batch (I1), from all its owners, into b->x and the record. */
CSL_MUST_CHECK enum csl_err csl__lane_input(struct csl_lane *l, struct csl__batch *b);

/* lane_serve.c: batches until the client says goodbye. */
CSL_MUST_CHECK enum csl_err csl__lane_serve(struct csl_lane *l);

/* lane_audit.c */
/* The session's statement from what was agreed (l->agreed.nonces are there); everybody signs it, all
 * signatures are verified, and the ledger's leaf is on the disk when it returns. */
CSL_MUST_CHECK enum csl_err csl__lane_agree_statement(struct csl_lane *l,
                                                      const struct csl__lane_said said[CSL_MAX_PARTIES]);
/* Statements and commitments of the batch's inputs are right: CSL_EAUTH names the owner. */
CSL_MUST_CHECK enum csl_err csl__lane_verify_inputs(struct csl_lane *l, struct csl__batch *b);
/* Signs the commitment to the output share (b->record.output_share). */
CSL_MUST_CHECK enum csl_err csl__lane_sign_output(struct csl_lane *l, struct csl__batch *b);
/* After the output: leaves and the view. */
CSL_MUST_CHECK enum csl_err csl__lane_log_batch(struct csl_lane *l, struct csl__batch *b);
/* The session ended, whatever way. */
void csl__lane_log_close(struct csl_lane *l, enum csl_err err);

#endif
