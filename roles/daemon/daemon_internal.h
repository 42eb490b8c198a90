/* Shared by daemon.c (life), daemon_control.c (control connections) and daemon_greet.c (incoming ones). */
#ifndef CSL_ROLES_DAEMON_INTERNAL_H
#define CSL_ROLES_DAEMON_INTERNAL_H

#include <pthread.h>

#include "roles/daemon/daemon.h"
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
    /* Witnessing (daemon_witness.c): what we showed it, and what it showed us, on this connection. */
    uint64_t generation;              /* of the connection */
    bool offered, answered;           /* a checkpoint of ours is with it; its answer is being read */
    uint64_t offered_size, cosigned;  /* the last offered; the last that it cosigned, ever */
    unsigned behind;                  /* times that it asked for another proof */
    bool judging, shown, told_behind; /* its checkpoint is being judged; one was good */
    bool distrusted;                  /* it showed one that was not, on this connection */
    bool refused;                     /* and none that was since, on any */
    struct csl_diag reason;
};

struct csl_witness_job;

struct csl_witnessing {
    uv_timer_t timer;
    bool started;
    struct csl_witness_job *jobs; /* that wait */
    bool busy, making, soon;
    uint64_t made_ms, size; /* of our newest checkpoint: loop time, leaves */
    enum csl_err closed;    /* a witness proved that our ledger is not what it was */
    struct csl_diag why;
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
    struct csl_witnessing witness;
    bool stopping;
    bool handles_open;
};

enum csl_err csl__control_start(struct csl_daemon *d, struct csl_diag *diag);
void csl__control_stop(struct csl_daemon *d);
/* An accepted connection whose HELLO asked for CONTROL; answers it. */
void csl__control_accept(struct csl_daemon *d, struct csl_conn *conn, const struct csl_member *from);
struct csl_control_peer *csl__control_find(const struct csl_daemon *d, const struct csl_member *m);

enum csl_err csl__witness_start(struct csl_daemon *d, struct csl_diag *diag);
void csl__witness_stop(struct csl_daemon *d);
/* A control connection came up or went away. */
void csl__witness_peer(struct csl_control_peer *p, bool up);
/* AddCheckpoint, Cosigned, WitnessBehind or WitnessRefuses; *m is NULL afterwards when it was kept. */
enum csl_err csl__witness_message(struct csl_control_peer *p, csl_control **m, struct csl_diag *diag);

/* listener callback; and the end of all that have asked for nothing yet */
void csl__greet(struct csl_listener *listener, struct csl_conn *conn, void *arg);
void csl__greet_stop(struct csl_daemon *d);

enum csl_err csl__send_ack(struct csl_daemon *d, struct csl_conn *conn, enum csl_err err, const char *reason);

#endif
