/* A lane: one session at one party, in a thread with its own loop and connections.
 *
 * The main thread makes it, hands over connections that arrive for it, and interrupts it when a peer is known
 * to be dead or the daemon stops; everything else happens in its thread, as straight-line code.
 */
#ifndef CSL_ROLES_LANE_H
#define CSL_ROLES_LANE_H

#include "net/mesh_link.h"
#include "roles/epoch.h"
#include "roles/package.h"
#include "roles/request.h"

struct csl_lane;

struct csl_lane_options {
    const struct csl_context *ctx;
    struct csl_store *store;
    struct csl_package *package;   /* a reference, taken over */
    struct csl_party_epoch *epoch; /* a reference, taken over */
    const struct csl_member *client;
    struct csl_conn_parts *client_parts; /* taken over */
    uint8_t session_id[CSL_SESSION_ID_BYTES];
    struct csl_request request;
    enum csl_wait wait;
    bool auto_profile;        /* party 0's: the profile by the measured round trip, not the one below */
    enum csl_profile profile; /* party 0's choice; of no meaning at the others */
};

/* Main thread. On error everything that was to be taken over is released. */
CSL_MUST_CHECK enum csl_err csl_lane_new(struct csl_lane **out, const struct csl_lane_options *opt,
                                         struct csl_diag *diag);
/* The thread's body: the whole session. */
void csl_lane_run(void *lane);
/* Main thread, after the thread has ended. */
void csl_lane_free(struct csl_lane *lane);

const uint8_t *csl_lane_session_id(const struct csl_lane *lane);

/* Main thread. A connection for the session, of purpose PEER, CORRECTIONS or INPUT; taken over. */
void csl_lane_arrive(struct csl_lane *lane, const struct csl_member *from, Csl__Pb__Purpose purpose,
                     struct csl_conn_parts *parts);
/* Main thread. The session must end: every wait of the lane fails with this. */
void csl_lane_interrupt(struct csl_lane *lane, enum csl_err err, const char *reason);

#endif
