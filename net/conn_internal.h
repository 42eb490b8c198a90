/* Shared among conn*.c and what is built on them in net. */
#ifndef CSL_NET_CONN_INTERNAL_H
#define CSL_NET_CONN_INTERNAL_H

#include "net/conn.h"

#include <netdb.h>

/* All that outlives a move to another loop. */
struct csl_conn_parts {
    int fd; /* -1 when closed */
    struct csl_tls *tls;
    struct csl_frame_decoder dec;
    struct csl_conn_options opt; /* expect_name points to expect or is NULL */
    char expect[CSL_NAME_MAX + 1];
    char address[CSL_HOST_MAX + 16];
    char label[CSL_NAME_MAX + CSL_HOST_MAX + 24];
    uint8_t spki[CSL_SPKI_BYTES];
    const uint8_t *borrowed; /* payload still to be encrypted */
    size_t borrowed_n;
    struct csl_conn_counters counters;
    bool peer_bye;
    int tx_errno; /* sending failed; what the peer still said is read first */
};

enum csl__conn_state {
    CSL__CONN_RESOLVING,
    CSL__CONN_CONNECTING,
    CSL__CONN_HANDSHAKE,
    CSL__CONN_OPEN,
    CSL__CONN_DRAINING, /* shut down: flushing, waiting for the peer's end */
    CSL__CONN_CLOSED    /* on_close is due from the loop */
};

struct csl__resolve;

struct csl_conn {
    uv_loop_t *loop;
    uv_timer_t timer; /* all deadlines; its close callback ends the conn */
    uint64_t timer_at;
    uv_poll_t *poll; /* freed by its own close callback */
    int poll_mask;
    enum csl__conn_state state;
    struct csl_conn_parts *s; /* NULL after detach */
    struct csl_conn_callbacks cb;
    void *arg;
    bool paused;   /* by csl_conn_set_reading */
    bool kick;     /* look at the socket from the loop, whether it is readable or not */
    bool busy;     /* inside the read pump */
    bool in_frame; /* inside on_frame */
    bool wr_shut;  /* SHUT_WR was done */
    /* milliseconds of uv_hrtime */
    uint64_t since;    /* the state began */
    uint64_t heard;    /* the last plaintext came in */
    uint64_t progress; /* the socket last took bytes, or bytes began to wait */
    uint64_t ping_at;
    uint32_t ping_ms, dead_ms, ping_seq;
    uint64_t pinged_ns, rtt_ns; /* the PING ping_seq was sent, 0: answered; the least round trip, 0: none */
    unsigned rtt_answers;
    enum csl_err err;
    bool err_is_local; /* the sentence is the caller's: no label before it */
    struct csl_diag why;
    /* dialling */
    struct csl_tls_ctx *ctx;
    struct csl__resolve *resolve;
    struct addrinfo *addresses, *next_address;
    uint64_t attempt_ends;
    bool all_timed_out;
};

uint64_t csl__now_ms(void);
struct csl_conn_parts *csl__parts_new(const struct csl_conn_options *opt);
struct csl_conn *csl__conn_new(uv_loop_t *loop, struct csl_conn_parts *s, const struct csl_conn_callbacks *cb,
                               void *arg);

/* Ends the conn: on_close follows from the loop. The first call counts. */
void csl__conn_finish(struct csl_conn *c, enum csl_err err, const struct csl_diag *why);
enum csl_err csl__conn_start_tls(struct csl_conn *c, struct csl_tls_ctx *ctx, bool is_server,
                                 struct csl_diag *diag);

/* conn_watch.c */
#define CSL__NO_DEADLINE UINT64_MAX
enum csl_err csl__conn_start_poll(struct csl_conn *c, struct csl_diag *diag);
void csl__conn_stop_poll(struct csl_conn *c);
void csl__conn_update_poll(struct csl_conn *c);
void csl__conn_arm(struct csl_conn *c);

/* conn_send.c */
/* Queues a frame and flushes. The part of the payload that the socket does not take stays borrowed. */
enum csl_err csl__conn_put_frame(struct csl_conn *c, unsigned type, uint32_t seq, const uint8_t *payload,
                                 size_t n);
void csl__conn_flush(struct csl_conn *c);
void csl__conn_bye(struct csl_conn *c, enum csl_err err);

/* conn_receive.c */
bool csl__conn_pump(struct csl_conn *c);

/* conn_dial.c */
void csl__dial_writable(struct csl_conn *c);
void csl__dial_next(struct csl_conn *c);
void csl__dial_cancel(struct csl_conn *c);
void csl__set_tcp_options(int fd);

/* The end's sentence without the label. */
const char *csl__conn_reason(const struct csl_conn *c);

/* "192.0.2.7:7700", "[::1]:7700" */
void csl__print_address(char *out, size_t n, const struct sockaddr *sa);

#endif
