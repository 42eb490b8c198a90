/* struct csl_link (mpc/link.h) over TLS: the mesh of one session, in one lane's thread.
 *
 * One DATA frame a round and peer, seq = round. A message of another round or length, or a second one of the
 * same round, is CSL_EPROTO and names peer and round. A message of the next round may arrive while others
 * of this round are missing (a peer can be one round ahead, never two); it is kept.
 *
 * Every failure ends the link for good: the other peers are sent ABORT with the reason, so that all
 * name the same culprit, and each later exchange returns the same error.
 *   CSL_EPEER    "hospital-b aborted in round 3: reason", "lost connection to hospital-b in round 3 (reason)"
 *   CSL_ETIMEOUT "no message from hospital-b, hospital-c in round 3 for 10000 ms"
 */
#ifndef CSL_NET_MESH_LINK_H
#define CSL_NET_MESH_LINK_H

#include "mpc/link.h"
#include "net/channel.h"
#include "net/conn.h"

enum csl_wait {
    CSL_WAIT_BLOCK, /* sleep in the event loop */
    CSL_WAIT_SPIN,  /* poll with sched_yield for spin_us, then sleep */
    CSL_WAIT_AUTO /* as SPIN while this link's rounds wait less than spin_us on the average, else as BLOCK */
};
/* "block", "spin", "auto"; false: none of them. */
const char *csl_wait_name(enum csl_wait wait);
CSL_MUST_CHECK bool csl_wait_parse(enum csl_wait *out, const char *text);

enum { CSL_MESH_SLOTS = 4 }; /* counter slots: the caller's meaning, e.g. 0 setup, 1 offline, 2 online */

struct csl_mesh_options {
    unsigned n_parties;
    unsigned self;
    const char *names[CSL_MAX_PARTIES]; /* for messages (copied) */
    uint32_t max_message_bytes;         /* the largest message of a round; larger: CSL_EPROTO */
    uint32_t round_ms;                  /* the deadline of one exchange */
    enum csl_wait wait;
    uint32_t spin_us; /* 0: 100 */
};

struct csl_mesh_link;

/* loop must outlive the link. names: one for each party. */
CSL_MUST_CHECK enum csl_err csl_mesh_link_new(struct csl_mesh_link **out, struct csl_loop *loop,
                                              const struct csl_mesh_options *opt, struct csl_diag *diag);

/* The connection to peer p, attached to the link's loop. Consumes the parts, also on error. The name in
 * the certificate must be names[p]; a peer cannot be set twice. */
CSL_MUST_CHECK enum csl_err csl_mesh_link_attach(struct csl_mesh_link *link, unsigned p,
                                                 struct csl_conn_parts *parts, struct csl_diag *diag);
/* The same with a conn that lives on the link's loop already; its callbacks become the link's. */
CSL_MUST_CHECK enum csl_err csl_mesh_link_set_peer(struct csl_mesh_link *link, unsigned p,
                                                   struct csl_conn *conn, struct csl_diag *diag);
/* What the protocols use. Valid until csl_mesh_link_free. */
struct csl_link *csl_mesh_link_base(struct csl_mesh_link *link);

/* Makes the exchange in work, or the next one, fail with err and reason. From any thread, also often;
 * the first one counts. The caller sees to it that no call overlaps csl_mesh_link_free. */
void csl_mesh_link_interrupt(struct csl_mesh_link *link, enum csl_err err, const char *reason);

/* Sends peer p a PING: between exchanges, or before the first. Its answer comes while the loop runs. */
CSL_MUST_CHECK enum csl_err csl_mesh_link_probe(struct csl_mesh_link *link, unsigned p);
/* The least round trip to p, and how many of its answers there were; 0 before the first (csl_conn_rtt_ns). */
uint64_t csl_mesh_link_rtt_ns(const struct csl_mesh_link *link, unsigned p, unsigned *answers);

/* Between exchanges: a peer's message of the next round is here, or a peer has gone: whoever waits for
 * something else meanwhile should exchange now. The loop must run for it to come true. Lane's thread. */
bool csl_mesh_link_pending(const struct csl_mesh_link *link);

/* CSL_OK, or the error that ended the link. Lane's thread. */
enum csl_err csl_mesh_link_error(const struct csl_mesh_link *link, struct csl_diag *diag);
/* The peer that the error names, or n_parties when it names none. */
unsigned csl_mesh_link_culprit(const struct csl_mesh_link *link);

/* Ends the link because of something else (err, reason): tells every peer. Lane's thread. */
void csl_mesh_link_abort(struct csl_mesh_link *link, enum csl_err err, const char *reason);

/* From now on exchanges count in this slot (< CSL_MESH_SLOTS). Bytes are TLS application bytes with
 * frame headers; rounds are exchanges. */
struct csl_mesh_counters {
    uint64_t rounds;
    struct csl_conn_counters peer[CSL_MAX_PARTIES];
};
void csl_mesh_link_set_slot(struct csl_mesh_link *link, unsigned slot);
const struct csl_mesh_counters *csl_mesh_link_counters(const struct csl_mesh_link *link, unsigned slot);

/* The deadline of the exchanges that follow: while a peer has more to do than its message. */
void csl_mesh_link_set_round_ms(struct csl_mesh_link *link, uint32_t round_ms);

void csl_mesh_link_set_wait(struct csl_mesh_link *link, enum csl_wait wait);

/* Shuts every connection down in order (BYE; linger_ms of the conn) and frees the link. The loop then
 * runs once more in csl_loop_clear to flush. NULL is allowed. */
void csl_mesh_link_free(struct csl_mesh_link *link);

#endif
