/* Shared by pool.c (life, what other threads say), pool_make.c (the thread that makes chunks) and pool_take.c
 * (what the lane takes of them). */
#ifndef CSL_ROLES_POOL_INTERNAL_H
#define CSL_ROLES_POOL_INTERNAL_H

#include "roles/lane/pool.h"

enum { CSL__POOL_PLACES = CSL_MAX_PARTIES + 1 /* parties by number, then the dealer */ };

struct csl__chunk {
    struct csl__chunk *next;
    struct csl_corr *corr;
    struct csl_record r; /* the offline part, of all rows */
    uint32_t rows, taken;
    uint64_t bytes;
};

struct csl_pool {
    struct csl_pool_options opt;
    unsigned self, n_parties;
    bool is_last; /* takes corrections from the dealer */
    pthread_t thread;
    bool started;

    /* Under lock: what the lane, the main thread and the maker's thread share. */
    pthread_mutex_t lock;
    const struct csl_making *making;                   /* NULL until csl_pool_begin; constant from then on */
    struct csl__chunk *first, **last;                  /* ready; the first is in use */
    uint32_t n_waiting, n_ready, n_used;               /* chunks: in the list, ever ready, ever used up */
    uint32_t n_announced, announced[CSL_POOL_WAITING]; /* ever; rows of chunk c at c % CSL_POOL_WAITING */
    struct csl_conn_parts *arrived[CSL__POOL_PLACES];
    struct csl_mesh_link *link; /* set and cleared under lock */
    bool stop;
    enum csl_err err;
    struct csl_diag diag;

    /* The maker's thread. */
    struct csl_worker worker;
    struct csl_talk talks[CSL__POOL_PLACES];
    bool present[CSL__POOL_PLACES];
    struct csl_session session;
    bool session_open;
    struct csl_maker maker;
};

/* pool_make.c: the thread's body; arg is the pool. */
void *csl__pool_run(void *arg);
/* Its worker's: what ends its waits, and what has arrived for it. */
enum csl_err csl__pool_check(void *arg, struct csl_diag *diag);
void csl__pool_on_wake(void *arg);

/* pool_take.c. NULL is allowed; what is left is wiped. */
void csl__chunk_free(struct csl__chunk *c);
/* Under lock: the first chunk, which is used up or given up, out of the list. */
struct csl__chunk *csl__pool_unlink_first(struct csl_pool *p);

#endif
