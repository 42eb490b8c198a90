/* Correlations ahead of need (docs/protocol.md S16, S17): a thread of its own makes them, chunk after chunk,
 * over connections of its own, while the lane serves.
 *
 * A chunk is what the dealer's statement covers. In a shared session nobody knows how large the next batch
 * will be: chunks grow, their rows that serve are taken in order, each once, and a batch never straddles two
 * chunks. Where the client announces its batches, a chunk is exactly one batch, made when it was announced.
 * Either way all parties make the same chunks in the same order and take the same rows of them, so that
 * nothing has to be said about it but, in a shared session, how far each of them is (csl_pool_chunks). Rows
 * that were not taken when the session ends are wiped, and never used.
 */
#ifndef CSL_ROLES_POOL_H
#define CSL_ROLES_POOL_H

#include "roles/lane/maker.h"

struct csl_pool;

enum { CSL_POOL_WAITING = 2 }; /* chunks that are ready or announced, the one in use included */

struct csl_pool_options {
    const struct csl_context *ctx; /* borrowed until csl_pool_free, as is the next */
    const uint8_t *session_id;
    uint32_t max_message_bytes; /* of what checks the dealer, whatever is agreed: csl_dealt_max_message */
    bool announced;             /* chunks are what csl_pool_announce says; else they grow */
    void (*on_change)(
        void *arg); /* a chunk is ready, or the pool failed; from the pool's thread; may be NULL */
    void *arg;
};

/* Rows of a full chunk where chunks grow: the most inferences that a batch, and one request of it, may have.
 * The same at every party: from the plan's demands and the roster's limit alone. The first chunks are
 * smaller, so that the first request need not wait for a full one. */
uint32_t csl_pool_chunk_rows(const struct csl_demand *demands, size_t n_demands, uint32_t max_batch);

/* Starts the thread, which connects to the other parties' pools and, at the last party, to the dealer. */
CSL_MUST_CHECK enum csl_err csl_pool_new(struct csl_pool **out, const struct csl_pool_options *opt,
                                         struct csl_diag *diag);
/* What it makes, once that is agreed: chunks come from now on. making is borrowed, and constant until
 * csl_pool_free. Once. */
void csl_pool_begin(struct csl_pool *p, const struct csl_making *making);
/* Ends it: interrupts what it waits for, joins the thread, wipes what is left. NULL is allowed. */
void csl_pool_free(struct csl_pool *p);

/* Any thread. A connection for the pool, of purpose OFFLINE or CORRECTIONS; taken over. */
void csl_pool_arrive(struct csl_pool *p, const struct csl_member *from, Csl__Pb__Purpose purpose,
                     struct csl_conn_parts *parts);
/* Any thread: every wait of the pool fails with this. */
void csl_pool_interrupt(struct csl_pool *p, enum csl_err err, const char *reason);
/* Any thread: CSL_OK, or why no more chunks come (peer, dealer, reason). */
CSL_MUST_CHECK enum csl_err csl_pool_error(struct csl_pool *p, struct csl_diag *diag);

/* Any thread, where chunks are announced: the next one has `count` rows, at most making->max_rows.
 * CSL_EINTERNAL: CSL_POOL_WAITING of them were not taken yet. */
CSL_MUST_CHECK enum csl_err csl_pool_announce(struct csl_pool *p, uint32_t count, struct csl_diag *diag);

/* Any thread: chunks that were ready here since the session began, those used up included. What is ready at
 * all parties is the least of theirs. */
uint32_t csl_pool_chunks(struct csl_pool *p);

/* The lane's thread, with `chunks` agreed by all parties (at most one's own): rows that a batch can have now,
 * and how many of its requests fit. Given the counts of the requests that wait, in order: the first n_taken
 * of them go into the next batch. Where not even the first fits into what is left of the chunk, the rest of
 * that chunk is discarded. 0: wait for another chunk. Deterministic: the same at every party. */
uint32_t csl_pool_fit(struct csl_pool *p, uint32_t chunks, const uint32_t *counts, size_t n,
                      uint32_t max_rows, size_t *n_taken);

/* The lane's thread: `count` rows as csl_pool_fit said, or the whole of an announced chunk, into *corr (the
 * caller's) and the offline part of the record (dealt, first, total, first_row, counters, seeds, leaves,
 * corrections); *offline_bytes: this batch's share of what was received and sent for the chunk. Never waits.
 */
CSL_MUST_CHECK enum csl_err csl_pool_take(struct csl_pool *p, uint32_t count, struct csl_corr **corr,
                                          struct csl_record *r, uint64_t *offline_bytes,
                                          struct csl_diag *diag);

#endif
