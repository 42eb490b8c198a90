/* One connection on a uv_loop: TCP, TLS and frames, with a deadline on everything.
 *
 * A conn belongs to its loop's thread. It lives until on_close has returned; on_close comes exactly
 * once, always from the loop (never from inside a csl_conn_ call), for every conn that was dialled,
 * attached or handed out, unless it is detached. No function here blocks.
 *
 * PING, PONG and BYE are handled here and never reach on_frame. ABORT does: it is also what a peer gets
 * whom the verify callback refused (csl_abort_decode, CSL_EPERM), since its own handshake had succeeded.
 */
#ifndef CSL_NET_CONN_H
#define CSL_NET_CONN_H

#include "net/frame.h"
#include "net/tls.h"

#include <uv.h>

struct csl_conn;

/* All callbacks may close, shut down, detach or send on their conn. Every pointer may be NULL. */
struct csl_conn_callbacks {
    /* The handshake is done and the peer is verified. */
    void (*on_open)(struct csl_conn *conn, void *arg);
    /* A header has come in. May set *dst to a buffer of h->n bytes for the payload (it must live until
     * on_frame, on_close or csl_conn_undirect). An error closes the conn with it. */
    enum csl_err (*on_header)(struct csl_conn *conn, const struct csl_frame_header *h, uint8_t **dst,
                              struct csl_diag *diag, void *arg);
    /* A frame is complete. payload is valid until this returns (or is the *dst of on_header). */
    void (*on_frame)(struct csl_conn *conn, const struct csl_frame_header *h, const uint8_t *payload,
                     void *arg);
    /* The end. CSL_OK: closed by us, or by the peer after a BYE. Otherwise why says who and what. */
    void (*on_close)(struct csl_conn *conn, enum csl_err err, const struct csl_diag *why, void *arg);
};

/* The roster's word on a peer whose chain is verified: its name, the hash of its key, its certificate.
 * An error refuses the peer. */
typedef enum csl_err (*csl_conn_verify_fn)(void *arg, const char *name, const uint8_t spki_sha256[32],
                                           X509 *cert, struct csl_diag *diag);

struct csl_conn_options {
    uint32_t connect_ms;    /* name resolution and TCP, all addresses together (10 s) */
    uint32_t handshake_ms;  /* the whole TLS handshake, however the bytes trickle (10 s) */
    uint32_t idle_ms;       /* nothing received for so long: CSL_ETIMEOUT; 0: never (0) */
    uint32_t write_ms;      /* bytes wait and the peer takes none for so long: CSL_ETIMEOUT (30 s) */
    uint32_t linger_ms;     /* csl_conn_shutdown: to flush and hear the peer's goodbye (2 s) */
    size_t max_queue_bytes; /* unsent bytes above which csl_conn_send says CSL_EBUSY (16 MiB) */
    struct csl_frame_limits limits;
    const char *expect_name; /* dial: the only acceptable site name, or NULL (copied) */
    csl_conn_verify_fn verify;
    void *verify_arg; /* must outlive the handshake */
};

/* The values in parentheses; verify and expect_name NULL. */
void csl_conn_options_init(struct csl_conn_options *opt);

/* Resolves host, tries each of its addresses, then the handshake. ctx: a reference is taken. opt NULL:
 * defaults. An error here is CSL_ENOMEM or CSL_EOS only; everything else comes by on_close, e.g.
 * CSL_ENOHOST (name), CSL_EUNAVAILABLE (refused, unreachable), CSL_ETIMEOUT, CSL_EAUTH, CSL_EPROTO. */
CSL_MUST_CHECK enum csl_err csl_conn_dial(struct csl_conn **out, uv_loop_t *loop, const char *host,
                                          uint16_t port, struct csl_tls_ctx *ctx,
                                          const struct csl_conn_options *opt,
                                          const struct csl_conn_callbacks *cb, void *arg,
                                          struct csl_diag *diag);

/* The server side of an accepted socket, which it owns from now on (closed on error, too).
 * net/listener.h does this for you. */
CSL_MUST_CHECK enum csl_err csl_conn_accept(struct csl_conn **out, uv_loop_t *loop, int fd,
                                            struct csl_tls_ctx *ctx, const struct csl_conn_options *opt,
                                            const struct csl_conn_callbacks *cb, void *arg,
                                            struct csl_diag *diag);

/* Other callbacks from now on. cb NULL: none (the conn still closes by itself). */
void csl_conn_set_callbacks(struct csl_conn *conn, const struct csl_conn_callbacks *cb, void *arg);
void csl_conn_set_limit(struct csl_conn *conn, enum csl_frame_type type, uint32_t max_bytes);
/* Stops and resumes reading. While paused the peer is slowed down by TCP; idle_ms and heartbeats are
 * not judged. Resuming delivers from the loop. */
void csl_conn_set_reading(struct csl_conn *conn, bool on);

/* Sends one frame: at once as far as the socket takes it, the rest from the loop. The payload is copied.
 * CSL_EBUSY: max_queue_bytes are waiting, nothing was sent; CSL_EPEER: the conn is closed or closing;
 * CSL_EUSAGE: not open yet, or n above CSL_FRAME_MAX_BYTES. */
CSL_MUST_CHECK enum csl_err csl_conn_send(struct csl_conn *conn, enum csl_frame_type type, uint32_t seq,
                                          const void *payload, size_t n);

/* As csl_conn_send, but the payload is borrowed and encrypted as the socket takes it; it does not count
 * for max_queue_bytes. It must live until csl_conn_settle, or until csl_conn_borrowing is false. */
CSL_MUST_CHECK enum csl_err csl_conn_send_borrowed(struct csl_conn *conn, enum csl_frame_type type,
                                                   uint32_t seq, const void *payload, size_t n);
bool csl_conn_borrowing(const struct csl_conn *conn);
/* Encrypts what is left of a borrowed payload, so that it may be freed. */
enum csl_err csl_conn_settle(struct csl_conn *conn);
/* A buffer that on_header gave is about to go away: what has come in is copied, the rest follows. */
enum csl_err csl_conn_undirect(struct csl_conn *conn);

/* Unsent bytes (ciphertext, and borrowed plaintext). */
size_t csl_conn_queued(const struct csl_conn *conn);

/* Reads and writes what the socket has, now, without the loop: for a busy-polling lane. Calls callbacks.
 * True when something came in. */
bool csl_conn_poll(struct csl_conn *conn);

/* Sends a PING every interval_ms; closes with CSL_ETIMEOUT "no answer for X ms" when nothing at all
 * came in for dead_ms. interval_ms 0 turns it off. PINGs are answered whether this is on or not. */
void csl_conn_set_heartbeat(struct csl_conn *conn, uint32_t interval_ms, uint32_t dead_ms);

/* Sends a PING now, and measures when its answer comes: the least round trip so far in ns, to the peer's
 * program and back (so also over a proxy, of which TCP_INFO knows the near side only); 0 before the first
 * answer. Only the answer to the last PING counts. Heartbeats measure too. */
CSL_MUST_CHECK enum csl_err csl_conn_probe(struct csl_conn *conn);
uint64_t csl_conn_rtt_ns(const struct csl_conn *conn);
unsigned csl_conn_rtt_answers(const struct csl_conn *conn); /* PINGs that counted */

/* Ends in order: BYE, the queue, the TLS goodbye, then waits (linger_ms) for the peer's. on_close gets
 * CSL_OK. Frames that come in meanwhile are dropped. */
void csl_conn_shutdown(struct csl_conn *conn);
/* Ends now. on_close gets err (CSL_OK too) and the sentence, which may be NULL. */
void csl_conn_close(struct csl_conn *conn, enum csl_err err, const char *why);

/* CSL_OK while the conn is usable or opening; else the error that on_close has or will get. */
enum csl_err csl_conn_error(const struct csl_conn *conn, struct csl_diag *diag);
bool csl_conn_is_open(const struct csl_conn *conn);

/* For messages: "hospital-b (192.0.2.7:7700)", before the handshake the address only. */
const char *csl_conn_label(const struct csl_conn *conn);
/* "192.0.2.7:7700" */
const char *csl_conn_address(const struct csl_conn *conn);
/* The verified site name, "" before on_open. */
const char *csl_conn_peer_name(const struct csl_conn *conn);
const uint8_t *csl_conn_peer_spki(const struct csl_conn *conn); /* 32 bytes */
X509 *csl_conn_peer_cert(const struct csl_conn *conn);          /* borrowed; NULL before on_open */

/* Since the handshake: TLS application bytes, frame headers included. */
struct csl_conn_counters {
    uint64_t frames_sent, bytes_sent, frames_received, bytes_received;
};
const struct csl_conn_counters *csl_conn_counters(const struct csl_conn *conn);

/* Moving a conn to another loop and thread. detach takes everything (socket, TLS state, half a frame,
 * unsent bytes) out of the loop; the conn is gone and on_close will not come. NULL when it is not open.
 * May be called from on_open and on_frame (not on_header): the frame in hand is then finished and its
 * payload gone, all later ones are in the parts. */
struct csl_conn_parts;
struct csl_conn_parts *csl_conn_detach(struct csl_conn *conn);
/* Puts it into a loop. Consumes the parts, also on error. opt NULL: as before. on_open is not called
 * again; frames that had arrived are delivered from the loop. */
CSL_MUST_CHECK enum csl_err csl_conn_attach(struct csl_conn **out, uv_loop_t *loop,
                                            struct csl_conn_parts *parts, const struct csl_conn_options *opt,
                                            const struct csl_conn_callbacks *cb, void *arg,
                                            struct csl_diag *diag);
const char *csl_conn_parts_peer_name(const struct csl_conn_parts *parts);
/* Drops parts that nobody attaches: the socket is closed. NULL is allowed. */
void csl_conn_parts_free(struct csl_conn_parts *parts);

#endif
