#include "roles/lane/pool.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "roles/lane/dealt.h"
#include "roles/lane/join.h"

enum {
    FIRST_ROWS = 4,              /* of the first chunk; each one after it has twice as many */
    FULL_ROWS = 64,              /* of a chunk at most */
    WAITING = 2,                 /* chunks that are ready, the one in use included; then the maker waits */
    MEMORY = 64 << 20,           /* of WAITING chunks */
    PLACES = CSL_MAX_PARTIES + 1 /* parties by number, then the dealer */
};

struct chunk {
    struct chunk *next;
    struct csl_corr *corr;
    struct csl_record r; /* the offline part, of all rows */
    uint32_t rows, taken;
    uint64_t bytes;
};

struct csl_pool {
    struct csl_pool_options opt;
    const struct csl_making *making;
    uint32_t full_rows;
    pthread_t thread;
    bool started;

    /* Under lock: what the lane, the main thread and the maker's thread share. */
    pthread_mutex_t lock;
    struct chunk *first, **last;         /* ready; the first is in use */
    uint32_t n_waiting, n_ready, n_used; /* chunks: in the list, ever ready, ever used up */
    struct csl_conn_parts *arrived[PLACES];
    struct csl_mesh_link *link; /* set and cleared under lock */
    bool stop;
    enum csl_err err;
    struct csl_diag diag;

    /* The maker's thread. */
    struct csl_worker worker;
    struct csl_talk talks[PLACES];
    bool present[PLACES];
    struct csl_session session;
    bool session_open;
    struct csl_maker maker;
};

/* ---- Sizes: the same at every party ---- */

uint32_t csl_pool_chunk_rows(const struct csl_demand *demands, size_t n_demands, uint32_t max_batch) {
    uint32_t rows = max_batch < FULL_ROWS ? max_batch : FULL_ROWS;
    while (rows > 1) {
        size_t bytes = csl_corr_bytes(demands, n_demands, rows);
        if (bytes != 0 && bytes <= MEMORY / WAITING) {
            break;
        }
        rows /= 2;
    }
    return rows;
}

size_t csl_pool_bytes(const struct csl_demand *demands, size_t n_demands, uint32_t max_batch) {
    return WAITING * csl_corr_bytes(demands, n_demands, csl_pool_chunk_rows(demands, n_demands, max_batch));
}

/* Rows of chunk c, from 0 on. */
static uint32_t rows_of(const struct csl_pool *p, uint32_t c) {
    uint32_t rows = c < 8 ? (uint32_t)FIRST_ROWS << c : FULL_ROWS;
    return rows < p->full_rows ? rows : p->full_rows;
}

/* ---- Chunks ---- */

static void chunk_free(struct chunk *c) {
    if (c != NULL) {
        csl_corr_free(c->corr);
        csl_record_clear(&c->r);
        free(c);
    }
}

/* Under lock. */
static struct chunk *unlink_first(struct csl_pool *p) {
    struct chunk *c = p->first;
    p->first = c->next;
    if (p->first == NULL) {
        p->last = &p->first;
    }
    p->n_waiting--;
    p->n_used++;
    return c;
}

static void put(struct csl_pool *p, struct chunk *c) {
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

/* ---- The maker's thread ---- */

static void on_wake(void *arg) {
    struct csl_pool *p = arg;
    struct csl_conn_parts *arrived[PLACES];
    pthread_mutex_lock(&p->lock);
    memcpy(arrived, p->arrived, sizeof arrived);
    memset(p->arrived, 0, sizeof p->arrived);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < PLACES; i++) {
        if (arrived[i] == NULL || p->present[i]) {
            csl_conn_parts_free(arrived[i]);
            continue;
        }
        p->present[i] = true;
        (void)!csl_talk_adopt(&p->talks[i], &p->worker, arrived[i],
                              i < p->making->n_parties ? CSL__PB__PURPOSE__PURPOSE_OFFLINE
                                                       : CSL__PB__PURPOSE__PURPOSE_CORRECTIONS,
                              &p->talks[i].diag); /* the talk keeps the error */
    }
}

static enum csl_err check(void *arg, struct csl_diag *diag) {
    const struct csl_pool *p = arg;
    return p->link != NULL ? csl_mesh_link_error(p->link, diag) : CSL_OK;
}

static enum csl_err make_link(struct csl_pool *p, struct csl_join *j, struct csl_diag *diag) {
    const struct csl_making *of = p->making;
    uint32_t rows = of->ctx->roster.audit.check_rows;
    uint64_t max = csl_dealt_max_message(of->demands, of->n_demands, rows, p->full_rows + rows);
    if (max > CSL_FRAME_MAX_BYTES) {
        return csl_fail(diag, CSL_EDATA, "checking the dealer needs messages of %llu bytes; use fewer rows",
                        (unsigned long long)max);
    }
    struct csl_mesh_options mo = {.n_parties = of->n_parties,
                                  .self = of->self,
                                  .max_message_bytes = (uint32_t)max,
                                  .round_ms = of->ctx->roster.timeouts.round_ms,
                                  .wait = CSL_WAIT_BLOCK};
    for (unsigned i = 0; i < of->n_parties; i++) {
        mo.names[i] = csl_roster_party(&of->ctx->roster, i)->name;
    }
    struct csl_mesh_link *link;
    TRY(csl_mesh_link_new(&link, &p->worker.loop, &mo, diag));
    pthread_mutex_lock(&p->lock);
    p->link = link;
    pthread_mutex_unlock(&p->lock);
    return csl_join_link(j, link, diag);
}

static enum csl_err begin(struct csl_pool *p, struct csl_diag *diag) {
    const struct csl_making *of = p->making;
    struct csl_join j = {.ctx = of->ctx,
                         .worker = &p->worker,
                         .session_id = of->session_id,
                         .purpose = CSL__PB__PURPOSE__PURPOSE_OFFLINE,
                         .with_dealer = of->is_last,
                         .talks = p->talks,
                         .present = p->present,
                         .asked_by = "its lane"};
    TRY(csl_join_all(&j, diag));
    TRY(make_link(p, &j, diag));
    TRY(csl_session_init(&p->session, csl_mesh_link_base(p->link)));
    p->session_open = true;
    p->maker = (struct csl_maker){.m = of,
                                  .session = &p->session,
                                  .link = p->link,
                                  .dealer = of->is_last ? &p->talks[of->n_parties] : NULL,
                                  .counters = csl_counter_guard_of(of->stream)};
    return csl_maker_open(&p->maker, diag);
}

static enum csl_err make_chunk(struct csl_pool *p, uint32_t number, struct csl_diag *diag) {
    struct chunk *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "no memory for correlations");
    }
    c->rows = rows_of(p, number);
    c->r.batch = number + 1; /* for messages */
    enum csl_err err = csl_maker_make(&p->maker, c->rows, &c->corr, &c->r, &c->bytes, diag);
    if (err != CSL_OK) {
        chunk_free(c);
        return err;
    }
    put(p, c);
    return CSL_OK;
}

/* There is room for another chunk, or nothing more to wait for. */
static bool room(void *arg) {
    struct csl_pool *p = arg;
    pthread_mutex_lock(&p->lock);
    bool any = p->n_waiting < WAITING || p->stop;
    pthread_mutex_unlock(&p->lock);
    bool last = p->making->is_last;
    return any || csl_worker_check(&p->worker, NULL) != CSL_OK ||
           (last && p->talks[p->making->n_parties].err != CSL_OK);
}

static bool stopped(struct csl_pool *p) {
    pthread_mutex_lock(&p->lock);
    bool stop = p->stop;
    pthread_mutex_unlock(&p->lock);
    return stop;
}

static enum csl_err serve(struct csl_pool *p, struct csl_diag *diag) {
    TRY(begin(p, diag));
    for (uint32_t number = 0;; number++) {
        /* In the loop, which answers heartbeats and hears of the end of a connection. */
        TRY(csl_loop_run_until(&p->worker.loop, room, p, CSL_NO_TIMEOUT));
        if (stopped(p)) {
            return CSL_OK;
        }
        TRY(csl_worker_check(&p->worker, diag));
        TRY(make_chunk(p, number, diag));
    }
}

static void close_all(struct csl_pool *p, enum csl_err err, const char *why) {
    if (err != CSL_OK && p->link != NULL) {
        csl_mesh_link_abort(p->link, err, why);
    }
    for (unsigned i = 0; i < PLACES; i++) {
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

static void *run(void *arg) {
    struct csl_pool *p = arg;
    struct csl_diag diag = {""};
    enum csl_err err = serve(p, &diag);
    if (err != CSL_OK && !stopped(p)) {
        pthread_mutex_lock(&p->lock);
        p->err =
            csl_fail(&p->diag, err, "correlations: %s", diag.text[0] != '\0' ? diag.text : csl_err_text(err));
        pthread_mutex_unlock(&p->lock);
        if (p->opt.on_change != NULL) {
            p->opt.on_change(p->opt.arg);
        }
    }
    close_all(p, stopped(p) ? CSL_OK : err, diag.text);
    return NULL;
}

/* ---- Life ---- */

enum csl_err csl_pool_new(struct csl_pool **out, const struct csl_pool_options *opt, struct csl_diag *diag) {
    const struct csl_making *of = opt->making;
    *out = NULL;
    struct csl_pool *p = calloc(1, sizeof *p);
    enum csl_err err = p == NULL ? CSL_ENOMEM : csl_worker_init(&p->worker, of->ctx, of->ctx->tls, diag);
    if (err != CSL_OK) {
        free(p);
        return err;
    }
    p->opt = *opt;
    p->making = of;
    p->full_rows = of->max_rows;
    p->last = &p->first;
    p->worker.check = check;
    p->worker.on_wake = on_wake;
    p->worker.arg = p;
    (void)pthread_mutex_init(&p->lock, NULL);
    p->started = pthread_create(&p->thread, NULL, run, p) == 0;
    if (!p->started) {
        csl_pool_free(p);
        return csl_fail(diag, CSL_EOS, "no thread for correlations");
    }
    *out = p;
    return CSL_OK;
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
        chunk_free(unlink_first(p));
    }
    for (unsigned i = 0; i < PLACES; i++) {
        csl_conn_parts_free(p->arrived[i]);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void csl_pool_arrive(struct csl_pool *p, const struct csl_member *from, Csl__Pb__Purpose purpose,
                     struct csl_conn_parts *parts) {
    unsigned place =
        purpose == CSL__PB__PURPOSE__PURPOSE_OFFLINE ? (unsigned)from->party : p->making->n_parties;
    pthread_mutex_lock(&p->lock);
    if (place < PLACES && p->arrived[place] == NULL && place != p->making->self) {
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

uint32_t csl_pool_chunks(struct csl_pool *p) {
    pthread_mutex_lock(&p->lock);
    uint32_t n = p->n_ready;
    pthread_mutex_unlock(&p->lock);
    return n;
}

/* ---- Taking ---- */

/* The lane's thread alone takes from the list, so that its first chunk stays while the lock is not held. */
static struct chunk *front(struct csl_pool *p, uint32_t chunks) {
    pthread_mutex_lock(&p->lock);
    struct chunk *c = p->n_used < chunks ? p->first : NULL;
    pthread_mutex_unlock(&p->lock);
    return c;
}

static void drop_front(struct csl_pool *p) {
    pthread_mutex_lock(&p->lock);
    struct chunk *c = unlink_first(p);
    pthread_mutex_unlock(&p->lock);
    chunk_free(c);
    csl_worker_wake(&p->worker);
}

uint32_t csl_pool_fit(struct csl_pool *p, uint32_t chunks, const uint32_t *counts, size_t n,
                      uint32_t max_rows, size_t *n_taken) {
    struct chunk *c;
    uint32_t rows = 0;
    *n_taken = 0;
    if (n == 0) {
        return 0;
    }
    while ((c = front(p, chunks)) != NULL && c->rows - c->taken < counts[0]) {
        drop_front(p);
    }
    if (c == NULL) {
        return 0;
    }
    uint32_t left = c->rows - c->taken;
    left = left < max_rows ? left : max_rows;
    for (size_t i = 0; i < n && counts[i] <= left - rows; i++) {
        rows += counts[i];
        *n_taken = i + 1;
    }
    return rows;
}

/* This batch's rows of what is kept for a view. */
static enum csl_err take_secrets(struct csl_record *r, const struct chunk *c, uint32_t n) {
    const struct csl_record *from = &c->r;
    if (from->seeds == NULL) {
        return CSL_OK;
    }
    r->n_corrections = from->n_corrections;
    r->seeds = csl_secret_alloc(n, CSL_INDEX_SEED_BYTES);
    r->corrections = from->corrections == NULL ? NULL : csl_secret_alloc(n, from->n_corrections);
    if (r->seeds == NULL || (from->corrections != NULL && r->corrections == NULL)) {
        return CSL_ENOMEM;
    }
    memcpy(r->seeds, from->seeds + (size_t)c->taken * CSL_INDEX_SEED_BYTES, (size_t)n * CSL_INDEX_SEED_BYTES);
    if (from->corrections != NULL) {
        memcpy(r->corrections, from->corrections + c->taken * from->n_corrections, n * from->n_corrections);
    }
    return CSL_OK;
}

static uint8_t *copy_leaves(const uint8_t *leaves, uint32_t n) {
    uint8_t *copy = malloc((size_t)n * CSL_MERKLE_BYTES);
    if (copy != NULL) {
        memcpy(copy, leaves, (size_t)n * CSL_MERKLE_BYTES);
    }
    return copy;
}

static enum csl_err take_record(struct csl_record *r, const struct chunk *c, uint32_t n) {
    const struct csl_record *from = &c->r;
    r->first = from->first;
    r->total = from->total;
    r->first_row = c->taken;
    r->counters = calloc(n, sizeof *r->counters);
    r->seed_leaves = copy_leaves(from->seed_leaves, from->total);
    r->correction_leaves =
        from->correction_leaves == NULL ? NULL : copy_leaves(from->correction_leaves, from->total);
    if (r->counters == NULL || r->seed_leaves == NULL ||
        (from->correction_leaves != NULL && r->correction_leaves == NULL)) {
        return CSL_ENOMEM;
    }
    memcpy(r->counters, from->counters + c->taken, n * sizeof *r->counters);
    if (from->dealt.n != 0) {
        TRY(csl_signed_copy(&r->dealt, from->dealt.statement, from->dealt.n, from->dealt.signature));
    }
    return take_secrets(r, c, n);
}

enum csl_err csl_pool_take(struct csl_pool *p, uint32_t count, struct csl_corr **corr, struct csl_record *r,
                           uint64_t *offline_bytes, struct csl_diag *diag) {
    struct chunk *c = front(p, UINT32_MAX);
    *corr = NULL;
    if (c == NULL || count == 0 || count > c->rows - c->taken) {
        return csl_fail(diag, CSL_EINTERNAL, "%u correlations are not there", count);
    }
    enum csl_err err = take_record(r, c, count);
    if (err == CSL_OK) {
        err = csl_corr_move(corr, c->corr, c->taken, count, diag);
    }
    if (err == CSL_ENOMEM) {
        return csl_fail(diag, err, "no memory for a batch of %u", count);
    }
    TRY(err);
    *offline_bytes = c->bytes * count / c->rows;
    c->taken += count;
    if (c->taken == c->rows) {
        drop_front(p);
    }
    return CSL_OK;
}
