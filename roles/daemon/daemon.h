/* What the party's and the dealer's daemons have in common: the main thread.
 *
 * It accepts and authenticates, keeps one control connection to every other daemon (heartbeats; who dials is
 * in the roster), starts threads and hears of their end, reloads a renewed certificate (SIGHUP, and every few
 * seconds on its own) and stops on SIGTERM or SIGINT. It never computes: sessions live in threads of their
 * own.
 *
 * All functions and callbacks are of the main thread.
 */
#ifndef CSL_ROLES_DAEMON_H
#define CSL_ROLES_DAEMON_H

#include "net/listener.h"
#include "roles/context.h"
#include "roles/message.h"

struct csl_daemon;

struct csl_daemon_ops {
    /* May this member come with this purpose? CONTROL and PROBE are answered by the daemon itself. */
    enum csl_err (*may)(void *arg, const struct csl_member *from, Csl__Pb__Purpose purpose,
                        struct csl_diag *diag);
    /* HELLO was accepted; the conn is the callee's (give it callbacks, detach or close it). For purposes
     * CLIENT and SHARE_MODEL the first control message is in request (borrowed), for the others it is NULL.
     */
    void (*on_conn)(void *arg, struct csl_conn *conn, const struct csl_member *from,
                    const Csl__Pb__Hello *hello, const csl_control *request);
    /* A control connection came up or went away (reason). */
    void (*on_peer)(void *arg, const struct csl_member *peer, bool up, const char *reason);
    /* A message on a control connection. An error closes it. */
    enum csl_err (*on_control)(void *arg, const struct csl_member *peer, const csl_control *m,
                               struct csl_diag *diag);
    /* What csl_daemon_admits or csl_daemon_unseen say has changed. May be NULL. */
    void (*on_witnessed)(void *arg);
    /* The daemon is to stop: interrupt every thread; it ends when they have all ended. */
    void (*on_stop)(void *arg);
};

struct csl_daemon_options {
    const char *bind_address; /* NULL: all addresses */
    uint16_t port;            /* 0: the port of the roster's address */
    int listen_fd;            /* a bound socket to adopt, or -1 */
};

/* ctx is borrowed and must outlive the daemon; ops and arg too. */
CSL_MUST_CHECK enum csl_err csl_daemon_new(struct csl_daemon **out, struct csl_context *ctx,
                                           const struct csl_daemon_ops *ops, void *arg,
                                           const struct csl_daemon_options *opt, struct csl_diag *diag);
/* Until it is told to stop. */
enum csl_err csl_daemon_run(struct csl_daemon *d);
void csl_daemon_free(struct csl_daemon *d);

uv_loop_t *csl_daemon_loop(struct csl_daemon *d);

/* A line on stderr with the time. Never a secret. Any thread. */
void csl_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Whether the control connection to this member is up. */
bool csl_daemon_peer_up(const struct csl_daemon *d, const struct csl_member *peer);
/* Names of daemons that are not connected, "hospital-b, dealer"; "" when all are. */
void csl_daemon_missing(const struct csl_daemon *d, char *out, size_t n);
/* Best effort; false when the peer is not connected. */
bool csl_daemon_send(struct csl_daemon *d, const struct csl_member *peer, const csl_control *m);

/* Whether new sessions may start: our ledger can be written and is what it was, and no daemon has shown a
 * ledger that does not continue the one that we know. CSL_EIO, CSL_EAUTH with the sentence for the client. */
CSL_MUST_CHECK enum csl_err csl_daemon_admits(const struct csl_daemon *d, struct csl_diag *diag);
/* Whether a daemon has not connected yet, or has not shown its ledger on this connection yet, and which:
 * sessions wait for that moment. */
bool csl_daemon_unseen(const struct csl_daemon *d, const char **who);
/* Something worth a checkpoint was logged: a session has ended. */
void csl_daemon_logged(struct csl_daemon *d);

/* Runs body(arg) in a thread, then done(arg) in the main thread. The daemon does not end before it. */
CSL_MUST_CHECK enum csl_err csl_daemon_spawn(struct csl_daemon *d, void (*body)(void *arg),
                                             void (*done)(void *arg), void *arg);

/* Sends a Failure on a conn of ours and closes it in order. */
void csl_conn_refuse(struct csl_conn *conn, enum csl_err err, const char *reason);
/* The same with an ABORT, for a connection of PURPOSE_PEER: a mesh link, which reads no messages, may be at
 * its other end already. */
void csl_conn_abort(struct csl_conn *conn, enum csl_err err, const char *reason);

#endif
