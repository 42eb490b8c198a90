/* Straight-line conversations: one connection, messages in and out, with deadlines.
 *
 * For threads that own a loop: lanes, and the short-lived client, owner and doctor programs. Every wait ends
 * at its deadline, when the connection ends, or when the worker's `check` says that something else failed.
 */
#ifndef CSL_ROLES_TALK_H
#define CSL_ROLES_TALK_H

#include <pthread.h>

#include "net/channel.h"
#include "roles/context.h"
#include "roles/message.h"

/* A thread that waits in its own loop, and that others may interrupt. Made and cleared by the one who owns
 * it; between, everything but csl_worker_interrupt and csl_worker_wake is the thread's own. */
struct csl_worker {
    struct csl_loop loop;
    const struct csl_context *ctx;
    struct csl_tls_ctx *tls; /* this thread's reference */
    /* An error from elsewhere that must end every wait; may be NULL. */
    enum csl_err (*check)(void *arg, struct csl_diag *diag);
    /* Called in the thread's loop after csl_worker_wake; may be NULL. */
    void (*on_wake)(void *arg);
    void *arg;
    /* private */
    uv_async_t async;
    pthread_mutex_t lock;
    bool open;               /* under lock: async may be used */
    enum csl_err posted_err; /* under lock */
    struct csl_diag posted;  /* under lock */
    enum csl_err stop_err;   /* the thread's copy */
    struct csl_diag stop_diag;
};
CSL_MUST_CHECK enum csl_err csl_worker_init(struct csl_worker *w, const struct csl_context *ctx,
                                            struct csl_tls_ctx *tls, struct csl_diag *diag);
/* Flushes and frees; what lived on the loop must be closed before. Interrupts that come later do nothing. */
void csl_worker_clear(struct csl_worker *w);
/* Any thread: every wait of the worker fails with this from now on; the first interrupt counts. */
void csl_worker_interrupt(struct csl_worker *w, enum csl_err err, const char *reason);
/* The worker's thread: the error that ends its waits, or CSL_OK. */
CSL_MUST_CHECK enum csl_err csl_worker_check(struct csl_worker *w, struct csl_diag *diag);
/* Any thread: on_wake is called soon. */
void csl_worker_wake(struct csl_worker *w);

struct csl_frame_in { /* one received frame; freed with csl_frame_in_free, which wipes it */
    struct csl_frame_in *next;
    struct csl_frame_header h;
    uint8_t payload[];
};
void csl_frame_in_free(struct csl_frame_in *f);

struct csl_talk {
    struct csl_worker *worker;
    struct csl_conn *conn; /* NULL once closed */
    char peer[CSL_NAME_MAX + 1];
    Csl__Pb__Purpose purpose;
    uint8_t session_id[CSL_SESSION_ID_BYTES];
    bool ready;                            /* HELLO was accepted */
    bool ended;                            /* the peer said goodbye in order */
    enum csl_err err;                      /* of the end */
    struct csl_diag diag;                  /* "lost connection to hospital-b: ..." */
    int64_t clock_skew_ms;                 /* the peer's clock minus ours, from HELLO_ACK */
    char software[CSL_MODEL_NAME_MAX + 1]; /* the peer's version */
    struct csl_frame_in *first, **last;
    size_t queued;
    bool paused;
    /* Sees each frame as it arrives, whatever is waited for; true: it took it. Set by the owner; may be NULL.
     */
    bool (*on_frame)(void *arg, const struct csl_frame_header *h, const uint8_t *payload);
    void *on_frame_arg;
};

/* Starts to dial a member and to say HELLO; wait with csl_talk_wait_ready. session_id may be NULL. */
CSL_MUST_CHECK enum csl_err csl_talk_dial(struct csl_talk *t, struct csl_worker *w,
                                          const struct csl_member *member, Csl__Pb__Purpose purpose,
                                          const uint8_t *session_id, struct csl_diag *diag);
/* Takes over a connection whose HELLO was answered elsewhere. Consumes parts. Nothing is read from one of
 * purpose PEER: that is for the mesh link to do (csl_talk_release). */
CSL_MUST_CHECK enum csl_err csl_talk_adopt(struct csl_talk *t, struct csl_worker *w,
                                           struct csl_conn_parts *parts, Csl__Pb__Purpose purpose,
                                           struct csl_diag *diag);
/* Until every one of the n talks (NULL entries are passed over) is ready; the first that fails is the error.
 */
CSL_MUST_CHECK enum csl_err csl_talk_wait_ready(struct csl_worker *w, struct csl_talk *const *talks, size_t n,
                                                uint64_t timeout_ms, struct csl_diag *diag);
/* Until every one of them has a frame waiting; the first that fails is the error. */
CSL_MUST_CHECK enum csl_err csl_talk_wait_frames(struct csl_worker *w, struct csl_talk *const *talks,
                                                 size_t n, uint64_t timeout_ms, struct csl_diag *diag);
/* Until what was sent has left for the kernel, or the deadline: for bounded sending of many frames. */
CSL_MUST_CHECK enum csl_err csl_talk_drain(struct csl_talk *t, size_t max_queued, uint64_t timeout_ms,
                                           struct csl_diag *diag);

CSL_MUST_CHECK enum csl_err csl_talk_send(struct csl_talk *t, const csl_control *m, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_talk_send_data(struct csl_talk *t, uint32_t seq, const void *p, size_t n,
                                               struct csl_diag *diag);
/* Best effort: tells the peer why we end. */
void csl_talk_send_failure(struct csl_talk *t, enum csl_err err, const char *reason);

/* The largest DATA frame that the peer may send; 0 forbids them, as at the start. */
void csl_talk_allow_data(struct csl_talk *t, size_t max_bytes);

/* The next frame, waiting for it. A Failure message becomes the error that it carries, with the peer's name
 * in front; so does the end of the connection. */
CSL_MUST_CHECK enum csl_err csl_talk_receive(struct csl_talk *t, struct csl_frame_in **out,
                                             uint64_t timeout_ms, struct csl_diag *diag);
/* The next frame must be a control message of this kind (CSL__PB__CONTROL__KIND_...). */
CSL_MUST_CHECK enum csl_err csl_talk_expect(struct csl_talk *t, csl_control **out, int kind,
                                            uint64_t timeout_ms, struct csl_diag *diag);
/* The next frame must be DATA with this seq and exactly n bytes. */
CSL_MUST_CHECK enum csl_err csl_talk_expect_data(struct csl_talk *t, struct csl_frame_in **out, uint32_t seq,
                                                 size_t n, uint64_t timeout_ms, struct csl_diag *diag);
/* A control message out of a received frame (which is freed). */
CSL_MUST_CHECK enum csl_err csl_talk_decode(struct csl_talk *t, csl_control **out, struct csl_frame_in *f,
                                            struct csl_diag *diag);

/* Gives the connection away (to a mesh link); the talk is closed then. NULL when it has ended. */
struct csl_conn *csl_talk_release(struct csl_talk *t);
/* Says goodbye and forgets the connection; waiting frames are wiped. May be called for a zeroed talk. */
void csl_talk_close(struct csl_talk *t);

/* HELLO as this site says it; for talks, and for daemons' control connections. The caller frees *out. */
CSL_MUST_CHECK enum csl_err csl_hello_encode(uint8_t **out, size_t *n, const struct csl_context *ctx,
                                             Csl__Pb__Purpose purpose, const uint8_t *session_id);
CSL_MUST_CHECK enum csl_err csl_hello_ack_encode(uint8_t **out, size_t *n, const struct csl_context *ctx,
                                                 enum csl_err err, const char *reason);
/* "lost connection to hospital-b (192.0.2.7:7700): no answer for 4000 ms": what, the peer, and why it ended;
 * why begins with the peer's label where net wrote it. */
enum csl_err csl_fail_ended(struct csl_diag *diag, enum csl_err err, const char *what, const char *peer,
                            const char *why);
/* Judges the answer: version, roster digest, refusal. */
CSL_MUST_CHECK enum csl_err csl_hello_ack_check(const struct csl_context *ctx, const Csl__Pb__HelloAck *ack,
                                                const char *peer, struct csl_diag *diag);
uint64_t csl_clock_ms(void);     /* wall clock */
uint64_t csl_monotonic_ns(void); /* for durations */

#endif
