/* Shared by lane.c (life, mailbox), lane_open.c (setting the session up), lane_prepare.c (correlations of a
 * batch) and lane_serve.c (batches). */
#ifndef CSL_ROLES_LANE_INTERNAL_H
#define CSL_ROLES_LANE_INTERNAL_H

#include "mpc/correlation.h"
#include "roles/lane.h"
#include "roles/talk.h"

/* Places for connections: parties by number, the dealer, then the owners of parts of the input. */
enum { CSL_LANE_PLACES = CSL_MAX_PARTIES + 1 + CSL_PARTS_MAX };
enum { CSL_LANE_SLOT_SETUP = 0, CSL_LANE_SLOT_ONLINE = 1 }; /* counter slots of the mesh link */

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
    struct csl_counter_guard counters;
    struct csl_parts parts; /* of the input, fitted to the plan; none: the client's alone */
    struct csl_opened *opened;
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    size_t n_demands;
    size_t correction_bytes; /* of one index */
    uint64_t batches, inferences;
    struct csl_diag diag; /* why the session ended */
};

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
};

/* lane_prepare.c: takes counters, makes b->corr ready to use. number and count are set. */
CSL_MUST_CHECK enum csl_err csl__lane_prepare(struct csl_lane *l, struct csl__batch *b);

/* lane_serve.c: batches until the client says goodbye. */
CSL_MUST_CHECK enum csl_err csl__lane_serve(struct csl_lane *l);

#endif
