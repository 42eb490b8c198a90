/* Shared by mesh_link.c (making, asking), mesh_peer.c (what peers send, and how the link fails) and
 * mesh_exchange.c (rounds). */
#ifndef CSL_NET_MESH_INTERNAL_H
#define CSL_NET_MESH_INTERNAL_H

#include "net/conn_internal.h"
#include "net/mesh_link.h"

#include <pthread.h>
#include <stdatomic.h>

struct csl__mesh_peer {
    struct csl_mesh_link *link;
    unsigned index;
    struct csl_conn *conn; /* NULL when it is gone */
    char name[CSL_NAME_MAX + 1];
    bool set;       /* it had a conn once */
    bool got;       /* its message of the round in work is in */
    bool has_early; /* its message of the next round is in */
    uint8_t *early;
    size_t early_n;
    enum csl_err gone_err;
    struct csl_diag gone; /* why it is gone */
};

struct csl_mesh_link {
    struct csl_link base;
    struct csl_loop *loop;
    struct csl_mesh_options opt;
    struct csl__mesh_peer peer[CSL_MAX_PARTIES];
    uint32_t round; /* in work, or done last */
    bool active;    /* an exchange is in work */
    uint8_t *const *in;
    size_t n;
    uint64_t usual_ns; /* what lately was waited in an exchange, a moving average */
    unsigned missing;
    enum csl_err err;
    struct csl_diag why;
    unsigned culprit;
    unsigned slot;
    struct csl_mesh_counters counters[CSL_MESH_SLOTS];
    uv_async_t async;
    pthread_mutex_t lock; /* the next two */
    enum csl_err interrupt_err;
    struct csl_diag interrupt_why;
    atomic_bool interrupted;
};

/* mesh_peer.c */
enum { CSL__MESH_WHERE_BYTES = 32 };
/* "in round 3", "after round 3". */
const char *csl__mesh_where(const struct csl_mesh_link *l, char out[CSL__MESH_WHERE_BYTES]);
/* Lets go of a conn, which ends by itself. reason NULL: in order, else with an ABORT. */
void csl__mesh_release(struct csl__mesh_peer *p, enum csl_err err, const char *reason);
/* The first failure ends the link: everybody is told. */
void csl__mesh_fail(struct csl_mesh_link *l, enum csl_err err, unsigned culprit, const struct csl_diag *why);
void csl__mesh_fail_gone(struct csl_mesh_link *l, const struct csl__mesh_peer *p);
/* p's message of this round is in. */
void csl__mesh_accept(struct csl_mesh_link *l, struct csl__mesh_peer *p);
enum csl_err csl__mesh_wrong_length(struct csl_mesh_link *l, struct csl__mesh_peer *p, size_t n);
/* A peer that is done may leave while others still wait for a third: it matters when it is missed. */
void csl__mesh_note_gone(struct csl__mesh_peer *p, enum csl_err err, const char *reason);
extern const struct csl_conn_callbacks csl__mesh_callbacks;

/* mesh_exchange.c */
extern const struct csl_link_ops csl__mesh_ops;

#endif
