/* What the lane takes of the chunks that are ready. */
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "roles/lane/pool_internal.h"

void csl__chunk_free(struct csl__chunk *c) {
    if (c != NULL) {
        csl_corr_free(c->corr);
        csl_record_clear(&c->r);
        free(c);
    }
}

struct csl__chunk *csl__pool_unlink_first(struct csl_pool *p) {
    struct csl__chunk *c = p->first;
    p->first = c->next;
    if (p->first == NULL) {
        p->last = &p->first;
    }
    p->n_waiting--;
    p->n_used++;
    return c;
}

/* The lane's thread alone takes from the list, so that its first chunk stays while the lock is not held. */
static struct csl__chunk *front(struct csl_pool *p, uint32_t chunks) {
    pthread_mutex_lock(&p->lock);
    struct csl__chunk *c = p->n_used < chunks ? p->first : NULL;
    pthread_mutex_unlock(&p->lock);
    return c;
}

static void drop_front(struct csl_pool *p) {
    pthread_mutex_lock(&p->lock);
    struct csl__chunk *c = csl__pool_unlink_first(p);
    pthread_mutex_unlock(&p->lock);
    csl__chunk_free(c);
    csl_worker_wake(&p->worker);
}

uint32_t csl_pool_fit(struct csl_pool *p, uint32_t chunks, const uint32_t *counts, size_t n,
                      uint32_t max_rows, size_t *n_taken) {
    struct csl__chunk *c;
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
static enum csl_err take_secrets(struct csl_record *r, const struct csl__chunk *c, uint32_t n) {
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

/* The offline part of a record that serves one batch as a whole. */
static void move_record(struct csl_record *r, struct csl_record *from) {
    r->first = from->first;
    r->total = from->total;
    r->dealt = from->dealt;
    r->counters = from->counters;
    r->seeds = from->seeds;
    r->seed_leaves = from->seed_leaves;
    r->corrections = from->corrections;
    r->n_corrections = from->n_corrections;
    r->correction_leaves = from->correction_leaves;
    memset(from, 0, sizeof *from);
}

static enum csl_err take_record(struct csl_record *r, const struct csl__chunk *c, uint32_t n) {
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

static enum csl_err take_rows(struct csl__chunk *c, uint32_t count, struct csl_corr **corr,
                              struct csl_record *r, struct csl_diag *diag) {
    if (count == c->rows) {
        move_record(r, &c->r);
        *corr = c->corr;
        c->corr = NULL;
        return CSL_OK;
    }
    TRY(take_record(r, c, count));
    return csl_corr_move(corr, c->corr, c->taken, count, diag);
}

enum csl_err csl_pool_take(struct csl_pool *p, uint32_t count, struct csl_corr **corr, struct csl_record *r,
                           uint64_t *offline_bytes, struct csl_diag *diag) {
    struct csl__chunk *c = front(p, UINT32_MAX);
    *corr = NULL;
    if (c == NULL || count == 0 || count > c->rows - c->taken) {
        return csl_fail(diag, CSL_EINTERNAL, "%u correlations are not there", count);
    }
    enum csl_err err = take_rows(c, count, corr, r, diag);
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
