/* Shared by daemon.c (life), daemon_control.c (control connections) and daemon_greet.c (incoming ones). */
#ifndef CSL_ROLES_DAEMON_INTERNAL_H
#define CSL_ROLES_DAEMON_INTERNAL_H

#include <pthread.h>

#include "roles/daemon.h"
#include "roles/talk.h"

enum { CSL_DAEMON_PEERS_MAX = CSL_ROSTER_PARTIES_MAX + 1 };

/* The standing connection to one other daemon. */
struct csl_control_peer {
    struct csl_daemon *daemon;
    const struct csl_member *member;
    struct csl_conn *conn; /* dialling, greeting or up */
    bool we_dial;
    bool up;
    uv_timer_t retry;
    uint32_t backoff_ms;
    char last_reason[512]; /* so that the same failure is logged once */
};

struct csl_greeting;

struct csl_task {
    struct csl_task *next;
    struct csl_daemon *daemon;
    pthread_t thread;
    void (*body)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

struct csl_daemon {
    uv_loop_t loop;
    struct csl_context *ctx;
    const struct csl_daemon_ops *ops;
    void *arg;
    struct csl_listener *listener;
    struct csl_control_peer peers[CSL_DAEMON_PEERS_MAX];
    unsigned n_peers;
    uv_signal_t signals[3];
    uv_timer_t reload;
    struct csl_diag not_reloaded; /* why the certificate on disk is not in use, as logged */
    uv_async_t tasks_done;
    pthread_mutex_t tasks_lock;
    struct csl_task *finished; /* under tasks_lock */
    unsigned n_tasks;
    unsigned n_greetings;
    struct csl_greeting *greetings; /* list */
    bool stopping;
    bool handles_open;
};

enum csl_err csl__control_start(struct csl_daemon *d, struct csl_diag *diag);
void csl__control_stop(struct csl_daemon *d);
/* An accepted connection whose HELLO asked for CONTROL; answers it. */
void csl__control_accept(struct csl_daemon *d, struct csl_conn *conn, const struct csl_member *from);
struct csl_control_peer *csl__control_find(const struct csl_daemon *d, const struct csl_member *m);

/* listener callback; and the end of all that have asked for nothing yet */
void csl__greet(struct csl_listener *listener, struct csl_conn *conn, void *arg);
void csl__greet_stop(struct csl_daemon *d);

enum csl_err csl__send_ack(struct csl_daemon *d, struct csl_conn *conn, enum csl_err err, const char *reason);

#endif
