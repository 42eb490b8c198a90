/* The one thing the protocols ask of a network: exchange one message with every peer.
 *
 * mpc defines this interface; net implements it over TLS, tests implement it in memory.
 * All messages of one round have the same length, and a party sends the same bytes to
 * every peer (an opening). Calls on one link are made by one thread, one after another.
 */
#ifndef CSL_MPC_LINK_H
#define CSL_MPC_LINK_H

#include "crypto/err.h"

enum { CSL_MAX_PARTIES = 16 };

struct csl_link;

struct csl_link_ops {
    /* Sends out[0..n) to every peer and receives n bytes from each peer p into in[p]
     * (in[self] is not touched). round counts the exchanges of this session from 1 on; a message of
     * another round or of another length is CSL_EPROTO. Returns when every peer's message is in,
     * or with an error whose diag names the peer and the round. out must be public (opened) data. */
    enum csl_err (*exchange)(struct csl_link *link, uint8_t *const in[CSL_MAX_PARTIES], uint32_t round,
                             const uint8_t *out, size_t n, struct csl_diag *diag);
};

/* Embed as the first member of an implementation. */
struct csl_link {
    const struct csl_link_ops *ops;
    unsigned n_parties; /* 2..CSL_MAX_PARTIES */
    unsigned self;      /* 0..n_parties-1 */
    /* NULL, or what need not be done before an exchange: an implementation that can calls it once in each,
     * when our message is on its way and the peers' are awaited. An error ends the exchange with it. Whoever
     * sets it sees to what was not called. */
    enum csl_err (*meanwhile)(void *arg, struct csl_diag *diag);
    void *meanwhile_arg;
    /* During an exchange of openings: the malloc'd block in which in[0], .., in[N-1] lie (in[0] at its begin)
     * and out at in[self]. An implementation that wants the messages takes it (sets NULL) and frees it, not
     * before the exchange after this one. */
    void *block;
};

#endif
