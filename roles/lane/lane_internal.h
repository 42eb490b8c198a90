/* Shared by lane.c (life, mailbox), lane_connect.c (the mesh), lane_profile.c (lan or wan), lane_open.c
 * (setting the session up), lane_prepare.c (correlations of a batch), lane_pool.c (its pool, where it has
 * one), lane_ahead.c (batches that a client announces ahead), lane_input.c and lane_serve.c (batches of a
 * client), lane_guests.c (who is in a shared session), lane_request.c (what they ask), lane_tick.c (what the
 * parties agree to evaluate next), lane_shared.c (its batches) and lane_audit.c (statements, leaves). */
#ifndef CSL_ROLES_LANE_INTERNAL_H
#define CSL_ROLES_LANE_INTERNAL_H

#include <stdatomic.h>

#include "mpc/correlation.h"
#include "roles/judge/view.h"
#include "roles/lane/audit_link.h"
#include "roles/lane/lane.h"
#include "roles/lane/maker.h"
#include "roles/lane/pool.h"
#include "roles/lane/record.h"
#include "roles/talk.h"

/* Places for connections: parties by number, the dealer, then the owners of parts of the input. */
enum { CSL_LANE_PLACES = CSL_MAX_PARTIES + 1 + CSL_PARTS_MAX };
enum {
    CSL_LANE_SLOT_SETUP,
    CSL_LANE_SLOT_ONLINE,
    CSL_LANE_SLOT_OFFLINE,
    CSL_LANE_SLOT_TICK
}; /* counter slots of the mesh link */

/* ---- Shared sessions ---- */

enum csl__guest_state {
    CSL_GUEST_IDLE,
    CSL_GUEST_VECTOR, /* last party: its Input is here, the DATA is not */
    CSL_GUEST_WAITING /* a complete, verified request */
};

struct csl__guest {
    const struct csl_member *member; /* NULL: a free place */
    size_t client;                   /* its index in the roster */
    struct csl_request request;      /* what it joined with */
    struct csl_talk talk;
    bool told; /* SessionReady */
    enum csl__guest_state state;
    uint32_t last;                 /* number of its last request */
    struct csl_record_input input; /* of the request in work */
    uint8_t digest[CSL_DIGEST_BYTES];
    size_t due;         /* bytes of its vector */
    uint64_t input_ns;  /* when the request was complete */
    uint64_t arrival;   /* its number among all requests here */
    unsigned turn;      /* how many of this client's requests wait before it (csl__tick_order) */
    uint64_t active_ms; /* loop time: its last message, or our last answer */
    bool said;          /* the request was in our last tick */
};

/* Who waits for the lane's thread to take it in. */
struct csl__joining {
    const struct csl_member *member;
    struct csl_request request;
    struct csl_conn_parts *parts;
};

struct csl__shared {
    /* Main thread and lane, under the lane's lock. */
    struct csl__joining joining[CSL_GUESTS_MAX];
    unsigned n_joining;
    unsigned n_guests;                      /* places kept or taken */
    uint8_t places[CSL_ROSTER_MEMBERS_MAX]; /* the same, of each client */
    bool drain;                             /* no new guests */
    bool over;                              /* the session has ended, or is about to */

    /* The lane's own. */
    struct csl__guest guests[CSL_GUESTS_MAX];
    uint64_t arrivals;
    uint32_t served[CSL_ROSTER_MEMBERS_MAX]; /* number of the batch that last had a request of this client */
    bool open;                               /* guests may be told so */
    uint64_t alone_ms;                       /* loop time: since when there is no guest */
    uint32_t said_chunks;                    /* in our last tick */
    bool said_closing, said_drain;
    bool again; /* the last tick left requests that all parties hold */
};

/* ---- Sessions whose correlations are made ahead of need ---- */

struct csl__ahead {
    /* Main thread and lane, under the lane's lock. */
    struct csl_conn_parts *offline[CSL_MAX_PARTIES + 1]; /* for the pool, as long as there is none */
    const struct csl_member *offline_from[CSL_MAX_PARTIES + 1];
    struct csl_pool *pool;
    bool over; /* there will be none any more */

    atomic_bool changed; /* from the pool's thread: a chunk is ready, or it failed */

    /* The lane's own, of a client that announces its batches. */
    uint32_t announced, answered;      /* numbers of the last ones */
    uint32_t counts[CSL_POOL_WAITING]; /* of batch n at n % CSL_POOL_WAITING */
    enum csl_err err;                  /* what was announced makes no sense */
    struct csl_diag diag;
};

struct csl_lane {
    struct csl_lane_options opt;
    unsigned self, n_parties;
    bool is_last;  /* takes corrections from the dealer */
    bool has_pool; /* a shared session, or one whose client announces its batches */

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
    struct csl_maker maker;   /* over the lane's own connections; not of a session that has a pool */
    struct csl_parts parts;   /* of the input, fitted to the plan; none: the client's alone */
    struct csl_opened *opened;
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    size_t n_demands;
    size_t correction_bytes; /* of one index */
    uint64_t batches, inferences;
    struct csl_diag diag; /* why the session ended */

    struct csl__shared *shared; /* NULL: the session of one client */
    struct csl__ahead ahead;

    /* The audit (docs/audit.md). */
    enum csl_audit_sign sign; /* the roster's; off: batches carry no statements */
    bool keep_views;          /* batches are kept for a judge: seeds and corrections go into the record */
    uint32_t openings;        /* of a batch */
    struct csl_audit_link *audit;
    struct csl_view_writer *view;     /* NULL: none is kept */
    struct csl_session_record agreed; /* the session's statement, from csl__lane_agree_statement on */
    uint8_t mask_id[CSL_DIGEST_BYTES];
    struct csl__asked *asked; /* shared session: who asked what so far (lane_verify.c) */
    size_t n_asked, room_asked;
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
/* SessionReady. part: of an owner, its number from 1 on; 0: to the client. */
CSL_MUST_CHECK enum csl_err csl__lane_tell(struct csl_lane *l, struct csl_talk *to, Csl__Pb__Part *part,
                                           uint32_t number, struct csl_diag *diag);
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

/* lane_pool.c, of a session that has a pool. Main thread: a connection for it; true: taken over. */
bool csl__lane_pool_arrive(struct csl_lane *l, const struct csl_member *from, Csl__Pb__Purpose purpose,
                           struct csl_conn_parts *parts);
/* It connects, as soon as the other parties' lanes are there; and it begins, once l->making is known. */
CSL_MUST_CHECK enum csl_err csl__lane_pool_new(struct csl_lane *l);
void csl__lane_pool_end(struct csl_lane *l);

/* lane_ahead.c: the client announces batches, at most CSL_POOL_WAITING that are not answered. From here on
 * its announcements go to the pool as they come, whatever the lane does. */
void csl__ahead_begin(struct csl_lane *l);
/* The lane's check: what the client announced makes no sense, or the pool failed. */
enum csl_err csl__ahead_error(const struct csl_lane *l, struct csl_diag *diag);
/* Until the next batch was announced and its correlations are ready: into *b. *closed: the client said
 * goodbye instead. */
CSL_MUST_CHECK enum csl_err csl__ahead_prepare(struct csl_lane *l, struct csl__batch *b, bool *closed);
/* The client said goodbye: until what it had announced is made here, as it will be at all parties, so that
 * none takes the others' end for a failure. */
CSL_MUST_CHECK enum csl_err csl__ahead_drain(struct csl_lane *l);

/* lane_input.c: the input of a batch (I1), from all its owners, into b->x and the record. *closed: the client
 * announced batches ahead, and said goodbye in its place. */
CSL_MUST_CHECK enum csl_err csl__lane_input(struct csl_lane *l, struct csl__batch *b, bool *closed);

/* lane_serve.c: batches until the client says goodbye. */
CSL_MUST_CHECK enum csl_err csl__lane_serve(struct csl_lane *l);
/* b->y from b->x, corr and the record; what it cost. */
CSL_MUST_CHECK enum csl_err csl__lane_evaluate(struct csl_lane *l, struct csl__batch *b);
/* count rows of b->y from row `first` on, cut and packed for output i of the record. */
CSL_MUST_CHECK enum csl_err csl__lane_pack_output(struct csl_lane *l, struct csl__batch *b, size_t i,
                                                  uint32_t first, uint32_t count);
/* Output i as DATA `seq`. CSL_EPEER: the client is gone. */
CSL_MUST_CHECK enum csl_err csl__lane_send_output(struct csl__batch *b, size_t i, struct csl_talk *to,
                                                  uint32_t seq, struct csl_diag *diag);
/* BatchDone of output i. */
CSL_MUST_CHECK enum csl_err csl__lane_report(struct csl_lane *l, const struct csl__batch *b, size_t i,
                                             struct csl_talk *to, uint32_t seq, struct csl_diag *diag);
/* Signatures that follow the output go out for certain, and are of this batch. */
void csl__lane_count_signatures(const struct csl_lane *l, struct csl__batch *b);
void csl__batch_clear(struct csl__batch *b);

/* lane_guests.c. In the lane's thread: */
/* From the mailbox; Admitted, and SessionReady when the session is open. In a callback, too. */
void csl__guests_take(struct csl_lane *l);
/* The session is open. */
void csl__guests_open(struct csl_lane *l);
/* Its requests, and its end. */
void csl__guests_work(struct csl_lane *l);
/* Whether csl__guests_work has something to do. */
bool csl__guests_busy(const struct csl_lane *l);
/* Loop time at which it will have, if nothing happens: somebody has been silent for too long, or nobody is
 * here for so long that the session may end. */
uint64_t csl__guests_deadline_ms(struct csl_lane *l);
/* Nobody is here, and nobody will come. */
bool csl__guests_closing(struct csl_lane *l);
void csl__guest_refuse(struct csl_lane *l, struct csl__guest *g, enum csl_err err, const char *why);
/* The session ends: everybody is told why (CSL_OK: that it has ended); nobody joins any more. */
void csl__guests_end(struct csl_lane *l, enum csl_err err, const char *why);

/* lane_request.c: the next frame of a guest. *closed: it says goodbye. An error is its own. */
CSL_MUST_CHECK enum csl_err csl__guest_frame(struct csl_lane *l, struct csl__guest *g, bool *closed,
                                             struct csl_diag *diag);
/* Our share of its input, count x n_inputs, into x. */
CSL_MUST_CHECK enum csl_err csl__guest_expand(const struct csl_lane *l, const struct csl_record_input *in,
                                              uint64_t *x, struct csl_diag *diag);

/* lane_tick.c: what the parties agreed on. */
enum {
    CSL__TICK_ENTRY = CSL_GUEST_ID_BYTES + 4 + 4 + CSL_DIGEST_BYTES,
    CSL__TICK_BYTES = 4 + 1 + 1 + CSL_GUESTS_MAX * CSL__TICK_ENTRY
};
struct csl__agreed {
    bool closing;
    uint32_t chunks;
    struct csl__guest *guests[CSL_GUESTS_MAX]; /* whose requests all parties hold, in party 0's order */
    size_t n;
};
/* Those that wait, in their order: first every client's oldest request, those before all others whose client
 * was served in the oldest batch, then every client's second, and so on. So whatever a client asks for, from
 * however many places, between two batches another one that waits loses its turn to at most one request of
 * it. */
size_t csl__tick_order(struct csl__shared *s, struct csl__guest *out[CSL_GUESTS_MAX]);
/* Whether there is something to say to the other parties. */
bool csl__tick_due(struct csl_lane *l);
CSL_MUST_CHECK enum csl_err csl__tick(struct csl_lane *l, struct csl__agreed *out);

/* lane_shared.c: batches until the session ends. */
CSL_MUST_CHECK enum csl_err csl__shared_serve(struct csl_lane *l);

/* lane_verify.c */
/* Statements and commitments of the batch's inputs are right: CSL_EAUTH names the owner. Not of a shared
 * session. */
CSL_MUST_CHECK enum csl_err csl__lane_verify_inputs(struct csl_lane *l, struct csl__batch *b);
/* Shared session: one guest's request on arrival, complete (owner, count, request, each, share, n, salt and
 * statement are set); with any setting of `sign` but off. Fills in the commitments, and takes no statement
 * twice. CSL_EAUTH, CSL_EDATA, CSL_EPROTO: that guest's fault alone. */
CSL_MUST_CHECK enum csl_err csl__lane_verify_request(struct csl_lane *l, struct csl_record_input *in,
                                                     struct csl_diag *diag);
/* Party 0: so many guests have asked that new ones should begin another session. */
bool csl__lane_many_asked(const struct csl_lane *l);
void csl__lane_forget_requests(struct csl_lane *l); /* the session has ended */

/* lane_audit.c */
/* The session's statement from what was agreed (l->agreed.nonces are there); everybody signs it, all
 * signatures are verified, and the ledger's leaf is on the disk when it returns. */
CSL_MUST_CHECK enum csl_err csl__lane_agree_statement(struct csl_lane *l,
                                                      const struct csl__lane_said said[CSL_MAX_PARTIES]);
/* Signs the commitment to output share i (b->record.outputs[i]), of which share and n are set; of a shared
 * session one a request, in the order of the inputs. */
CSL_MUST_CHECK enum csl_err csl__lane_sign_output(struct csl_lane *l, struct csl__batch *b, size_t i);
/* After the output: leaves and the view. */
CSL_MUST_CHECK enum csl_err csl__lane_log_batch(struct csl_lane *l, struct csl__batch *b);
/* Not all outputs could be signed, and some may be out: what there is of the batch is entered all the same.
 */
void csl__lane_log_cut(struct csl_lane *l, struct csl__batch *b);
/* A batch without an output, whose inputs were verified (csl_audit_link_options.on_cut): these are entered.
 */
void csl__lane_keep_inputs(void *lane, const struct csl_record *r);
/* The session ended, whatever way. */
void csl__lane_log_close(struct csl_lane *l, enum csl_err err);

#endif
