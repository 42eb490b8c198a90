/* The pool's life, and what other threads say to it. */
#include "roles/lane/pool.h"

#include <stdlib.h>

#include "roles/lane/pool_internal.h"

enum {
    FULL_ROWS = 64,   /* of a chunk that grew, at most */
    MEMORY = 64 << 20 /* of CSL_POOL_WAITING such chunks */
};

uint32_t csl_pool_chunk_rows(const struct csl_demand *demands, size_t n_demands, uint32_t max_batch) {
    uint32_t rows = max_batch < FULL_ROWS ? max_batch : FULL_ROWS;
    while (rows > 1) {
        size_t bytes = csl_corr_bytes(demands, n_demands, rows);
        if (bytes != 0 && bytes <= MEMORY / CSL_POOL_WAITING) {
            break;
        }
        rows /= 2;
    }
    return rows;
}

enum csl_err csl_pool_new(struct csl_pool **out, const struct csl_pool_options *opt, struct csl_diag *diag) {
    *out = NULL;
    struct csl_pool *p = calloc(1, sizeof *p);
    enum csl_err err = p == NULL ? CSL_ENOMEM : csl_worker_init(&p->worker, opt->ctx, opt->ctx->tls, diag);
    if (err != CSL_OK) {
        free(p);
        return err;
    }
    p->opt = *opt;
    p->self = (unsigned)opt->ctx->self->party;
    p->n_parties = opt->ctx->roster.n_parties;
    p->is_last = p->self + 1 == p->n_parties;
    p->last = &p->first;
    p->worker.check = csl__pool_check;
    p->worker.on_wake = csl__pool_on_wake;
    p->worker.arg = p;
    (void)pthread_mutex_init(&p->lock, NULL);
    p->started = pthread_create(&p->thread, NULL, csl__pool_run, p) == 0;
    if (!p->started) {
        csl_pool_free(p);
        return csl_fail(diag, CSL_EOS, "no thread for correlations");
    }
    *out = p;
    return CSL_OK;
}

void csl_pool_begin(struct csl_pool *p, const struct csl_making *making) {
    pthread_mutex_lock(&p->lock);
    p->making = making;
    pthread_mutex_unlock(&p->lock);
    csl_worker_wake(&p->worker);
}

void csl_pool_free(struct csl_pool *p) {
    if (p == NULL) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_mutex_unlock(&p->lock);
    csl_pool_interrupt(p, CSL_EPEER, "the session has ended");
    if (p->started) {
        (void)pthread_join(p->thread, NULL);
    } else {
        csl_worker_clear(&p->worker);
    }
    while (p->first != NULL) {
        csl__chunk_free(csl__pool_unlink_first(p));
    }
    for (unsigned i = 0; i < CSL__POOL_PLACES; i++) {
        csl_conn_parts_free(p->arrived[i]);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void csl_pool_arrive(struct csl_pool *p, const struct csl_member *from, Csl__Pb__Purpose purpose,
                     struct csl_conn_parts *parts) {
    unsigned place = purpose == CSL__PB__PURPOSE__PURPOSE_OFFLINE ? (unsigned)from->party : p->n_parties;
    pthread_mutex_lock(&p->lock);
    if (place < CSL__POOL_PLACES && p->arrived[place] == NULL && place != p->self) {
        p->arrived[place] = parts;
        parts = NULL;
    }
    pthread_mutex_unlock(&p->lock);
    csl_conn_parts_free(parts); /* a second one for the same place */
    csl_worker_wake(&p->worker);
}

void csl_pool_interrupt(struct csl_pool *p, enum csl_err err, const char *reason) {
    pthread_mutex_lock(&p->lock);
    if (p->link != NULL) {
        csl_mesh_link_interrupt(p->link, err, reason);
    }
    pthread_mutex_unlock(&p->lock);
    csl_worker_interrupt(&p->worker, err, reason);
}

enum csl_err csl_pool_error(struct csl_pool *p, struct csl_diag *diag) {
    pthread_mutex_lock(&p->lock);
    enum csl_err err = p->err == CSL_OK ? CSL_OK : csl_fail(diag, p->err, "%s", p->diag.text);
    pthread_mutex_unlock(&p->lock);
    return err;
}

enum csl_err csl_pool_announce(struct csl_pool *p, uint32_t count, struct csl_diag *diag) {
    pthread_mutex_lock(&p->lock);
    bool room = p->opt.announced && p->n_announced - p->n_used < CSL_POOL_WAITING;
    if (room) {
        p->announced[p->n_announced++ % CSL_POOL_WAITING] = count;
    }
    pthread_mutex_unlock(&p->lock);
    csl_worker_wake(&p->worker);
    return room ? CSL_OK : csl_fail(diag, CSL_EINTERNAL, "%u correlations were not expected", count);
}

uint32_t csl_pool_chunks(struct csl_pool *p) {
    pthread_mutex_lock(&p->lock);
    uint32_t n = p->n_ready;
    pthread_mutex_unlock(&p->lock);
    return n;
}
