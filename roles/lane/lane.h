/* A lane: one session at one party, in a thread with its own loop and connections.
 *
 * The main thread makes it, hands over connections that arrive for it, and interrupts it when a peer is known
 * to be dead or the daemon stops; everything else happens in its thread, as straight-line code.
 */
#ifndef CSL_ROLES_LANE_H
#define CSL_ROLES_LANE_H

#include "net/mesh_link.h"
#include "roles/daemon/epoch.h"
#include "roles/package/package.h"
#include "roles/request.h"

struct csl_lane;

struct csl_lane_options {
    const struct csl_context *ctx;
    struct csl_store *store;
    struct csl_package *package;         /* a reference, taken over */
    struct csl_party_epoch *epoch;       /* a reference, taken over */
    const struct csl_member *client;     /* of a shared session NULL: guests join it (csl_lane_join) */
    struct csl_conn_parts *client_parts; /* taken over; likewise */
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

/* Main thread. A connection for the session, of purpose PEER, CORRECTIONS, INPUT or OFFLINE; taken over. */
void csl_lane_arrive(struct csl_lane *lane, const struct csl_member *from, Csl__Pb__Purpose purpose,
                     struct csl_conn_parts *parts);
/* Main thread. The session must end: every wait of the lane fails with this. */
void csl_lane_interrupt(struct csl_lane *lane, enum csl_err err, const char *reason);

/* ---- Shared sessions (docs/protocol.md S15), main thread ---- */

enum { CSL_GUESTS_MAX = CSL_RECORD_INPUTS_MAX }; /* at a time */

/* The most inferences that one request of a shared session of this plan may have, at every party the same. */
CSL_MUST_CHECK enum csl_err csl_lane_shared_rows(uint32_t *rows, const struct csl_plan *plan,
                                                 bool reveal_label, uint32_t max_batch);

/* Whether a guest that asks for this could join, were there room. package and epoch: those that are newest
 * here, or NULL where the session was named. */
bool csl_lane_is_shared(const struct csl_lane *lane, const struct csl_request *q,
                        const struct csl_package *package, const struct csl_party_epoch *epoch);
/* It has not begun to end. */
bool csl_lane_takes_guests(const struct csl_lane *lane);
/* rows: of csl_lane_shared_rows. CSL_EUSAGE. */
CSL_MUST_CHECK enum csl_err csl_lane_check_rows(uint32_t rows, const struct csl_request *q,
                                                struct csl_diag *diag);
/* Keeps a place for a guest, a member of the context's roster. CSL_EBUSY: there are CSL_GUESTS_MAX, or as
 * many of this client as the roster allows; CSL_ESTALE: it takes no more; CSL_EUSAGE: its requests would be
 * too large. */
CSL_MUST_CHECK enum csl_err csl_lane_reserve(struct csl_lane *lane, const struct csl_member *guest,
                                             const struct csl_request *q, struct csl_diag *diag);
/* The guest that a place was kept for. parts are taken over; NULL: it does not come, after all. */
void csl_lane_join(struct csl_lane *lane, const struct csl_member *guest, const struct csl_request *q,
                   struct csl_conn_parts *parts);
/* It takes no more guests, and ends when the last one leaves. */
void csl_lane_drain(struct csl_lane *lane);

#endif
