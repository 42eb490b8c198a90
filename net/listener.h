/* The accepting side: a listening socket on a uv_loop that hands out authenticated connections.
 *
 * A conn is handed out only after its handshake and the verify callback. At most max_pending sockets
 * are in their handshake at a time; above that, the oldest that has had evict_ms makes room, else new
 * ones wait in the kernel's backlog. When file descriptors or memory run out, accepting pauses and is
 * tried again; it never spins, and established conns are not touched.
 */
#ifndef CSL_NET_LISTENER_H
#define CSL_NET_LISTENER_H

#include "net/conn.h"

struct csl_listener;

struct csl_listener_callbacks {
    /* An authenticated conn, now the caller's: give it callbacks (csl_conn_set_callbacks), detach or
     * close it before returning. */
    void (*on_conn)(struct csl_listener *listener, struct csl_conn *conn, void *arg);
    /* Somebody did not get in, or accepting paused (address "" then): for the log. May be NULL. */
    void (*on_failed)(struct csl_listener *listener, const char *address, enum csl_err err,
                      const struct csl_diag *why, void *arg);
};

struct csl_listener_options {
    const char *bind_address; /* numeric IPv4 or IPv6 or a name; NULL: all addresses */
    uint16_t port;            /* 0: any free one */
    int fd;                   /* a bound or listening socket to adopt, or -1 */
    int backlog;              /* 128 */
    unsigned max_pending;     /* handshakes at a time: 64 */
    uint32_t evict_ms;        /* 1000 */
    struct csl_conn_options conn;
};

/* Defaults as above, fd -1, port 0. */
void csl_listener_options_init(struct csl_listener_options *opt);

struct csl_listener_stats {
    uint64_t accepted; /* sockets */
    uint64_t opened;   /* handed out */
    uint64_t failed;   /* handshakes that failed or timed out */
    uint64_t evicted;  /* of these, to make room */
    uint64_t pauses;   /* accepting stopped: full, or no descriptors */
    unsigned pending;  /* in their handshake now */
};

/* Resolves bind_address at once. CSL_ENOHOST, CSL_EUNAVAILABLE (in use: names the port), CSL_EPERM
 * (privileged port), CSL_EOS. fd is owned from the call on. ctx: a reference is taken. */
CSL_MUST_CHECK enum csl_err csl_listener_new(struct csl_listener **out, uv_loop_t *loop,
                                             struct csl_tls_ctx *ctx, const struct csl_listener_options *opt,
                                             const struct csl_listener_callbacks *cb, void *arg,
                                             struct csl_diag *diag);

/* Later handshakes use this certificate; running ones and open conns keep theirs. */
void csl_listener_set_ctx(struct csl_listener *listener, struct csl_tls_ctx *ctx);

/* The port it listens on. */
uint16_t csl_listener_port(const struct csl_listener *listener);
void csl_listener_stats(const struct csl_listener *listener, struct csl_listener_stats *out);

/* Stops: handshakes in work are dropped, conns that were handed out live on. No callback comes after
 * this; the memory is freed by the loop. NULL is allowed. */
void csl_listener_close(struct csl_listener *listener);

#endif
