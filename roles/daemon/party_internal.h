/* Shared by party.c (life, epochs, connections), party_sessions.c (admission, lanes), party_shared.c (guests
 * of shared sessions) and party_models.c (sharing). */
#ifndef CSL_ROLES_PARTY_INTERNAL_H
#define CSL_ROLES_PARTY_INTERNAL_H

#include "roles/daemon/logbook.h"
#include "roles/daemon/party.h"
#include "roles/lane/lane.h"

enum {
    CSL_WAITING_MAX = 64,  /* sessions that wait for a lane */
    CSL_PARKED_MAX = 128,  /* peers' connections for sessions that the client has not opened here yet */
    CSL_RECENT_MAX = 4096, /* ids of sessions that were opened here */
    CSL_REFUSED_MAX = 64   /* sessions that were refused here last */
};

struct csl_party;
struct csl_storing;
struct csl_told;

/* A client's request that waits for a lane or an epoch. */
struct csl_waiting {
    struct csl_waiting *next;
    struct csl_party *party;
    struct csl_conn *conn;
    const struct csl_member *client;
    uint8_t session_id[CSL_SESSION_ID_BYTES];
    struct csl_request request;
    uint64_t deadline_ms; /* loop time */
};

struct csl_parked {
    struct csl_conn_parts *parts;
    const struct csl_member *from;
    Csl__Pb__Purpose purpose;
    uint8_t session_id[CSL_SESSION_ID_BYTES];
    uint64_t deadline_ms;
};

/* A session that was refused: peers that come for it are told why. */
struct csl_refused {
    uint8_t session_id[CSL_SESSION_ID_BYTES];
    enum csl_err err; /* CSL_OK: none */
    struct csl_diag why;
};

struct csl_running {
    struct csl_running *next;
    struct csl_party *party;
    struct csl_lane *lane;
};

struct csl_party {
    struct csl_context *ctx;
    struct csl_daemon *daemon;
    enum csl_wait wait;
    bool auto_profile;
    enum csl_profile profile;
    struct csl_logbook logbook; /* before the store, which asks it what was accepted */
    struct csl_store store;
    struct csl_party_epoch *epoch; /* NULL: none now */
    uint64_t epoch_wanted;         /* number of the epoch that is being made; 0: none */
    uint8_t nonce[CSL_NONCE_BYTES];
    struct csl_waiting *waiting; /* oldest first */
    unsigned n_waiting;
    struct csl_running *running;
    unsigned n_running;
    struct csl_parked parked[CSL_PARKED_MAX];
    unsigned n_parked;
    uint8_t recent[CSL_RECENT_MAX][CSL_SESSION_ID_BYTES];
    unsigned n_recent; /* ever */
    struct csl_refused refused[CSL_REFUSED_MAX];
    unsigned n_refused;          /* ever */
    struct csl_storing *storing; /* models that are being received */
    unsigned n_storing;
    struct csl_told *told; /* openings of views that are being counted */
    unsigned n_told;
    bool refreshing;    /* a thread looks for new model files */
    uint64_t looked_ms; /* loop time: when we last looked */
    uv_timer_t tick;    /* deadlines of what waits and what is parked */
    bool stopping;
};

void csl__party_open_session(struct csl_party *p, struct csl_conn *conn, const struct csl_member *client,
                             const Csl__Pb__OpenSession *m);
void csl__party_arrive(struct csl_party *p, struct csl_conn *conn, const struct csl_member *from,
                       Csl__Pb__Purpose purpose, const uint8_t *session_id);
/* Something changed (a lane ended, an epoch came): starts what can start. */
void csl__party_admit(struct csl_party *p);
void csl__party_tick(struct csl_party *p);
void csl__party_interrupt(struct csl_party *p, const struct csl_member *lost, const char *reason);
void csl__party_stop_sessions(struct csl_party *p);

void csl__waiting_unlink(struct csl_waiting *w);
/* Unlinks it and takes its connection; NULL: that is about to end. */
struct csl_conn_parts *csl__waiting_detach(struct csl_waiting *w);
/* This client alone: other guests may still open the session. Frees w. */
void csl__waiting_refuse(struct csl_waiting *w, enum csl_err err, const char *reason);

/* party_shared.c. Whether a shared session of this id runs or waits here. */
bool csl__party_named(const struct csl_party *p, const uint8_t *session_id);
/* Whether there is a session for this guest: then it has joined it or was refused, and w is freed. */
bool csl__party_join(struct csl_party *p, struct csl_waiting *w);
/* A session that this guest opens could serve its requests. CSL_EUSAGE. */
CSL_MUST_CHECK enum csl_err csl__shared_fits(const struct csl_party *p, const struct csl_waiting *w,
                                             const struct csl_package *package, struct csl_diag *diag);
/* The newest epoch is over: shared sessions of it take no new guests. */
void csl__party_drain(struct csl_party *p);

void csl__party_share_model(struct csl_party *p, struct csl_conn *conn, const struct csl_member *owner,
                            const Csl__Pb__ShareModel *m);
void csl__party_stop_storing(struct csl_party *p);

/* party_audit.c */
void csl__party_told(struct csl_party *p, struct csl_conn *conn, const struct csl_member *from,
                     const Csl__Pb__OpeningAnnounced *m);
void csl__party_stop_told(struct csl_party *p);
void csl__party_look_for_models(struct csl_party *p);

#endif
