/* The connections of a session at one party (docs/protocol.md S4): to every other party and, at the last
 * party, to the dealer; dialled or waited for as the roster has it; then a mesh of those between the parties.
 * For a lane, and for its pool.
 */
#ifndef CSL_ROLES_JOIN_H
#define CSL_ROLES_JOIN_H

#include "net/mesh_link.h"
#include "roles/talk.h"

struct csl_join {
    const struct csl_context *ctx;
    struct csl_worker *worker;
    const uint8_t *session_id;
    Csl__Pb__Purpose purpose; /* PEER or OFFLINE */
    bool with_dealer;         /* the dealer's connection too; last party */
    struct csl_talk *talks;   /* n_parties + 1 places: the parties', then the dealer's */
    bool *present;            /* which of them were dialled or have arrived (set by the worker's on_wake) */
    const struct csl_talk *client; /* its end ends the waiting; may be NULL */
    const char *asked_by;          /* who makes the other parties join, for messages */
};

/* How long setting up a session may take. */
uint64_t csl_join_ms(const struct csl_context *ctx);

/* Dials, and waits until every place is taken and ready, at most csl_join_ms. */
CSL_MUST_CHECK enum csl_err csl_join_all(struct csl_join *j, struct csl_diag *diag);

/* Gives the parties' connections to a link that has been made for them. */
CSL_MUST_CHECK enum csl_err csl_join_link(struct csl_join *j, struct csl_mesh_link *link,
                                          struct csl_diag *diag);

#endif
