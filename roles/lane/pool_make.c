/* The pool's thread: connections of its own, then chunk after chunk. */
#include <stdlib.h>
#include <string.h>

#include "roles/lane/join.h"
#include "roles/lane/pool_internal.h"

enum { FIRST_ROWS = 4 }; /* of the first chunk that grows; each one after it has twice as many */

static struct csl_talk *dealer_of(struct csl_pool *p) {
    return p->is_last ? &p->talks[p->n_parties] : NULL;
}

void csl__pool_on_wake(void *arg) {
    struct csl_pool *p = arg;
    struct csl_conn_parts *arrived[CSL__POOL_PLACES];
    pthread_mutex_lock(&p->lock);
    memcpy(arrived, p->arrived, sizeof arrived);
    memset(p->arrived, 0, sizeof p->arrived);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < CSL__POOL_PLACES; i++) {
        if (arrived[i] == NULL || p->present[i]) {
            csl_conn_parts_free(arrived[i]);
            continue;
        }
        p->present[i] = true;
        (void)!csl_talk_adopt(&p->talks[i], &p->worker, arrived[i],
                              i < p->n_parties ? CSL__PB__PURPOSE__PURPOSE_OFFLINE
                                               : CSL__PB__PURPOSE__PURPOSE_CORRECTIONS,
                              &p->talks[i].diag); /* the talk keeps the error */
    }
}

enum csl_err csl__pool_check(void *arg, struct csl_diag *diag) {
    const struct csl_pool *p = arg;
    return p->link != NULL ? csl_mesh_link_error(p->link, diag) : CSL_OK;
}

/* ---- Connections ---- */

static enum csl_err make_link(struct csl_pool *p, struct csl_join *j, struct csl_diag *diag) {
    const struct csl_context *ctx = p->opt.ctx;
    struct csl_mesh_options mo = {.n_parties = p->n_parties,
                                  .self = p->self,
                                  .max_message_bytes = p->opt.max_message_bytes,
                                  .round_ms = ctx->roster.timeouts.round_ms,
                                  .wait = CSL_WAIT_BLOCK};
    for (unsigned i = 0; i < p->n_parties; i++) {
        mo.names[i] = csl_roster_party(&ctx->roster, i)->name;
    }
    struct csl_mesh_link *link;
    TRY(csl_mesh_link_new(&link, &p->worker.loop, &mo, diag));
    pthread_mutex_lock(&p->lock);
    p->link = link;
    pthread_mutex_unlock(&p->lock);
    return csl_join_link(j, link, diag);
}

static enum csl_err connect_all(struct csl_pool *p, struct csl_diag *diag) {
    struct csl_join j = {.ctx = p->opt.ctx,
                         .worker = &p->worker,
                         .session_id = p->opt.session_id,
                         .purpose = CSL__PB__PURPOSE__PURPOSE_OFFLINE,
                         .with_dealer = p->is_last,
                         .talks = p->talks,
                         .present = p->present,
                         .asked_by = "its lane"};
    TRY(csl_join_all(&j, diag));
    TRY(make_link(p, &j, diag));
    TRY(csl_session_init(&p->session, csl_mesh_link_base(p->link)));
    p->session_open = true;
    return CSL_OK;
}

/* ---- What there is to do ---- */

static bool stopped(struct csl_pool *p) {
    pthread_mutex_lock(&p->lock);
    bool stop = p->stop;
    pthread_mutex_unlock(&p->lock);
    return stop;
}

/* What ends the thread while it waits; a peer that has gone shows in the next exchange. */
static bool over(struct csl_pool *p) {
    const struct csl_talk *dealer = dealer_of(p);
    return stopped(p) || csl_worker_check(&p->worker, NULL) != CSL_OK ||
           (dealer != NULL && dealer->err != CSL_OK);
}

/* Under lock. */
static bool wanted(const struct csl_pool *p) {
    bool known = p->opt.announced ? p->n_announced > p->n_ready : p->n_waiting < CSL_POOL_WAITING;
    return p->making != NULL && known;
}

static bool something_to_do(void *arg) {
    struct csl_pool *p = arg;
    pthread_mutex_lock(&p->lock);
    bool any = wanted(p);
    pthread_mutex_unlock(&p->lock);
    return any || over(p);
}

static bool begun(void *arg) {
    struct csl_pool *p = arg;
    pthread_mutex_lock(&p->lock);
    bool any = p->making != NULL;
    pthread_mutex_unlock(&p->lock);
    return any || over(p);
}

/* In the loop, which answers heartbeats and hears of the end of a connection; for as long as the session has
 * nothing for us, whose lane ends it when it idles. */
static enum csl_err wait_until(struct csl_pool *p, bool (*done)(void *), struct csl_diag *diag) {
    TRY(csl_loop_run_until(&p->worker.loop, done, p, CSL_NO_TIMEOUT));
    TRY(csl_worker_check(&p->worker, diag));
    const struct csl_talk *dealer = dealer_of(p);
    return dealer != NULL && dealer->err != CSL_OK && !stopped(p)
               ? csl_fail(diag, dealer->err, "%s", dealer->diag.text)
               : CSL_OK;
}

/* ---- Chunks ---- */

/* Rows of chunk c, from 0 on. */
static uint32_t rows_of(struct csl_pool *p, uint32_t c) {
    if (p->opt.announced) {
        pthread_mutex_lock(&p->lock);
        uint32_t announced = p->announced[c % CSL_POOL_WAITING];
        pthread_mutex_unlock(&p->lock);
        return announced;
    }
    uint32_t full = p->making->max_rows, rows = c < 8 ? (uint32_t)FIRST_ROWS << c : full;
    return rows < full ? rows : full;
}

static void put(struct csl_pool *p, struct csl__chunk *c) {
    pthread_mutex_lock(&p->lock);
    *p->last = c;
    p->last = &c->next;
    p->n_waiting++;
    p->n_ready++;
    pthread_mutex_unlock(&p->lock);
    if (p->opt.on_change != NULL) {
        p->opt.on_change(p->opt.arg);
    }
}

static enum csl_err make_chunk(struct csl_pool *p, uint32_t number, struct csl_diag *diag) {
    struct csl__chunk *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "no memory for correlations");
    }
    c->rows = rows_of(p, number);
    c->r.batch = number + 1; /* for messages; where chunks are announced it is the batch's */
    enum csl_err err = csl_maker_make(&p->maker, c->rows, &c->corr, &c->r, &c->bytes, diag);
    if (err != CSL_OK) {
        csl__chunk_free(c);
        return err;
    }
    put(p, c);
    return CSL_OK;
}

static enum csl_err serve(struct csl_pool *p, struct csl_diag *diag) {
    TRY(connect_all(p, diag));
    TRY(wait_until(p, begun, diag));
    if (stopped(p)) {
        return CSL_OK;
    }
    p->maker = (struct csl_maker){.m = p->making,
                                  .session = &p->session,
                                  .link = p->link,
                                  .dealer = dealer_of(p),
                                  .counters = csl_counter_guard_of(p->making->stream)};
    TRY(csl_maker_open(&p->maker, diag));
    for (uint32_t number = 0;; number++) {
        TRY(wait_until(p, something_to_do, diag));
        if (stopped(p)) {
            return CSL_OK;
        }
        TRY(make_chunk(p, number, diag));
    }
}

/* ---- The thread ---- */

static void close_all(struct csl_pool *p, enum csl_err err, const char *why) {
    if (err != CSL_OK && p->link != NULL) {
        csl_mesh_link_abort(p->link, err, why);
    }
    for (unsigned i = 0; i < CSL__POOL_PLACES; i++) {
        if (err != CSL_OK) {
            csl_talk_send_failure(&p->talks[i], err, why);
        }
        csl_talk_close(&p->talks[i]);
    }
    if (p->session_open) {
        csl_session_clear(&p->session);
    }
    pthread_mutex_lock(&p->lock);
    struct csl_mesh_link *link = p->link;
    p->link = NULL;
    pthread_mutex_unlock(&p->lock);
    csl_mesh_link_free(link);
    csl_worker_clear(&p->worker);
}

/* Of an announced batch it is what the client reads, as if its lane had made the correlations. */
static void fail_with(struct csl_pool *p, enum csl_err err, const char *text) {
    pthread_mutex_lock(&p->lock);
    p->err = csl_fail(&p->diag, err, "%s%s", p->opt.announced ? "" : "correlations: ", text);
    pthread_mutex_unlock(&p->lock);
    if (p->opt.on_change != NULL) {
        p->opt.on_change(p->opt.arg);
    }
}

void *csl__pool_run(void *arg) {
    struct csl_pool *p = arg;
    struct csl_diag diag = {""};
    enum csl_err err = serve(p, &diag);
    if (err != CSL_OK && !stopped(p)) {
        fail_with(p, err, diag.text[0] != '\0' ? diag.text : csl_err_text(err));
    }
    close_all(p, stopped(p) ? CSL_OK : err, diag.text);
    return NULL;
}
