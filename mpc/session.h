/* One session's online state: its link, its round counter, its first error, its statistics.
 *
 * Every online protocol function takes the session first. A session belongs to one thread. After the first
 * failure it is poisoned for good: every later call returns that first error and sends nothing, because a
 * retry with the same correlation would reveal the difference of two secrets (docs/protocol.md, K3).
 */
#ifndef CSL_MPC_SESSION_H
#define CSL_MPC_SESSION_H

#include "mpc/link.h"
#include "mpc/round.h"

struct csl_session_stats {
    uint32_t rounds;         /* exchanges that succeeded */
    uint64_t bytes_per_peer; /* payload bytes sent to each peer (a party sends every peer the same) */
};

struct csl_session {
    struct csl_link *link; /* borrowed; must outlive the session */
    unsigned n_parties;
    unsigned self;
    enum csl_err err;     /* CSL_OK, or the first error: poisoned */
    struct csl_diag diag; /* its sentence; "" while all is well */
    struct csl_session_stats stats;
    struct csl_round round;    /* of the protocol step that runs; see csl_round_begin() */
    struct csl__arena scratch; /* of the protocol function that runs; wiped when it returns */
};

/* link: connected, no exchange made yet. CSL_EINTERNAL when its n_parties or self is out of range;
 * csl_session_clear() may be called all the same. */
CSL_MUST_CHECK enum csl_err csl_session_init(struct csl_session *s, struct csl_link *link);

/* Wipes and frees what the session owns, not the link. Also for a zeroed session; twice is harmless. The
 * error, the diag and the statistics stay readable; an exchange after this is CSL_EINTERNAL. */
void csl_session_clear(struct csl_session *s);

/* Poisons the session, unless it already is. Returns the first error: `return csl_session_fail(s, CSL_E..,
 * "..")`. The sentence must not hold a secret. */
enum csl_err csl_session_fail(struct csl_session *s, enum csl_err e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* One round of public bytes that are no opening (an agreement before the protocol): sends out[0..n) to every
 * peer, receives n bytes of each peer p into in[p]. Counts as a round. A failure poisons the session. */
CSL_MUST_CHECK enum csl_err csl_session_exchange(struct csl_session *s, uint8_t *const in[CSL_MAX_PARTIES],
                                                 const uint8_t *out, size_t n);

/* The first error, or CSL_OK. */
static inline enum csl_err csl_session_error(const struct csl_session *s) {
    return s->err;
}

#endif
