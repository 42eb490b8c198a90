/* An in-memory link between N threads of one process: for tests, for benches, and for researchers who want to
 * run protocols without a network. It checks that what is sent is public (CSL_ASSERT_PUBLIC, in memcheck
 * builds), can be listened to, and can be told to fail.
 *
 * One thread a party calls csl_link exchange on its own end; exchanges block until every party has sent, or
 * has left.
 */
#ifndef CSL_MPC_LINK_MEM_H
#define CSL_MPC_LINK_MEM_H

#include "mpc/session.h"

struct csl_mem_net;

CSL_MUST_CHECK enum csl_err csl_mem_net_new(struct csl_mem_net **out, unsigned n_parties);

/* After all threads are done. net may be NULL. */
void csl_mem_net_free(struct csl_mem_net *net);

/* Party's end, owned by net; NULL when there is no such party. */
struct csl_link *csl_mem_net_link(struct csl_mem_net *net, unsigned party);

/* The party is gone: its peers' exchanges that still need it end with CSL_EPEER. A thread that stops early
 * must call it, or its peers would wait for ever. An exchange that fails does so by itself. */
void csl_mem_net_leave(struct csl_mem_net *net, unsigned party);

enum csl_mem_fault {
    CSL_MEM_GONE,    /* the party leaves instead of sending */
    CSL_MEM_CORRUPT, /* the bits of `mask` are flipped in byte `offset` (from the end when negative) of its
                        message */
    CSL_MEM_SHORTEN, /* its message lacks the last byte */
    CSL_MEM_REPLAY,  /* it sends its message of the round before again */
};

/* In round `round`, party misbehaves so, once. Before the threads start. At most one fault a party. */
void csl_mem_net_fault(struct csl_mem_net *net, unsigned party, uint32_t round, enum csl_mem_fault fault,
                       ptrdiff_t offset, uint8_t mask);

/* Calls tap for every message as it was sent (before faults), one call at a time, from the sender's thread.
 */
typedef void csl_mem_tap_fn(void *arg, unsigned party, uint32_t round, const uint8_t *out, size_t n);
void csl_mem_net_tap(struct csl_mem_net *net, csl_mem_tap_fn *tap, void *arg);

/* All of it in one call: body(s, arg) for every party, each in a thread of its own with a session (s->self
 * says which party it is) over a net of n_parties, until all have returned. The result is CSL_OK or an error
 * of a party, rather its own than its peers' that it went away; diag (may be NULL) gets its sentence. */
typedef enum csl_err csl_mem_body_fn(struct csl_session *s, void *arg);
CSL_MUST_CHECK enum csl_err csl_mem_run(unsigned n_parties, csl_mem_body_fn *body, void *arg,
                                        struct csl_diag *diag);

#endif
