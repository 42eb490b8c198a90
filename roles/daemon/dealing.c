#include "roles/daemon/dealing.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "mpc/dealer.h"
#include "roles/daemon/daemon.h"
#include "roles/daemon/logbook.h"
#include "roles/lane/dealt.h"
#include "roles/plan_codec.h"

enum { ROWS_AT_ONCE = 32, QUEUED_MAX = 4 << 20 };

struct csl_dealing {
    const struct csl_context *ctx;
    struct csl_mask_cache *cache;
    struct csl_dealer_epoch *epoch;
    const struct csl_member *to;
    struct csl_conn_parts *parts;
    uint8_t session_id[CSL_SESSION_ID_BYTES];
    struct csl_worker worker;
    struct csl_talk talk;
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    size_t n_demands;
    size_t row_bytes; /* corrections of one index */
    uint32_t max_batch;
    struct csl_masks *masks;
    struct csl_counter_guard counters;
    uint8_t package_digest[CSL_DIGEST_BYTES], demands_digest[CSL_DIGEST_BYTES];
    uint64_t batches, rows;
    struct csl_diag diag;
};

enum csl_err csl_dealing_new(struct csl_dealing **out, const struct csl_context *ctx,
                             struct csl_mask_cache *masks, struct csl_dealer_epoch *epoch,
                             const struct csl_member *to, struct csl_conn_parts *parts,
                             const uint8_t session_id[CSL_SESSION_ID_BYTES], struct csl_diag *diag) {
    *out = NULL;
    struct csl_dealing *d = calloc(1, sizeof *d);
    enum csl_err err = d == NULL ? CSL_ENOMEM : csl_worker_init(&d->worker, ctx, ctx->tls, diag);
    if (err != CSL_OK) {
        csl_conn_parts_free(parts);
        csl_dealer_epoch_unref(epoch);
        free(d);
        return err;
    }
    d->ctx = ctx;
    d->cache = masks;
    d->epoch = epoch;
    d->to = to;
    d->parts = parts;
    memcpy(d->session_id, session_id, sizeof d->session_id);
    *out = d;
    return CSL_OK;
}

void csl_dealing_free(struct csl_dealing *d) {
    csl_worker_clear(&d->worker);
    csl_conn_parts_free(d->parts);
    csl_masks_unref(d->masks);
    csl_dealer_epoch_unref(d->epoch);
    free(d);
}

void csl_dealing_interrupt(struct csl_dealing *d, enum csl_err err, const char *reason) {
    csl_worker_interrupt(&d->worker, err, reason);
}

/* ---- Opening ---- */

static uint64_t setup_ms(const struct csl_dealing *d) {
    return (uint64_t)d->ctx->roster.timeouts.connect_ms + 2 * (uint64_t)d->ctx->roster.timeouts.handshake_ms;
}

static enum csl_err connect_last(struct csl_dealing *d) {
    struct csl_talk *t = &d->talk;
    if (d->parts != NULL) {
        struct csl_conn_parts *parts = d->parts;
        d->parts = NULL;
        return csl_talk_adopt(t, &d->worker, parts, CSL__PB__PURPOSE__PURPOSE_CORRECTIONS, &d->diag);
    }
    TRY(csl_talk_dial(t, &d->worker, d->to, CSL__PB__PURPOSE__PURPOSE_CORRECTIONS, d->session_id, &d->diag));
    return csl_talk_wait_ready(&d->worker, &t, 1, setup_ms(d), &d->diag);
}

static enum csl_err read_demands(struct csl_dealing *d, const Csl__Pb__OpenCorrections *m) {
    struct csl_plan *plan = malloc(sizeof *plan);
    if (plan == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = csl_plan_decode(plan, m->plan.data, m->plan.len, &d->diag);
    if (err == CSL_OK) {
        err =
            csl_plan_demands(plan, (enum csl_profile)m->profile, m->reveal_label, d->demands, &d->n_demands);
    }
    free(plan);
    d->row_bytes = err == CSL_OK ? csl_correction_bytes(d->demands, d->n_demands) : 0;
    if (err == CSL_OK && (d->row_bytes == 0 || d->row_bytes > CSL_FRAME_MAX_BYTES)) {
        err = csl_fail(&d->diag, CSL_EDATA, "the plan's corrections are too large");
    }
    return err;
}

static enum csl_err begin(struct csl_dealing *d, const Csl__Pb__OpenCorrections *m) {
    if (memcmp(m->session_id.data, d->session_id, CSL_SESSION_ID_BYTES) != 0) {
        return csl_fail(&d->diag, CSL_EPROTO, "%s asks for another session", d->to->name);
    }
    if (memcmp(m->epoch_id.data, d->epoch->id, CSL_EPOCH_ID_BYTES) != 0) {
        return csl_fail(
            &d->diag, CSL_ESTALE,
            "%s is in another epoch than the dealer; try again, and if it stays so, restart its daemon",
            d->to->name);
    }
    if (m->max_batch > d->ctx->roster.limits.max_batch) {
        return csl_fail(&d->diag, CSL_EPROTO, "a batch of %u; the roster's limit is %u", m->max_batch,
                        d->ctx->roster.limits.max_batch);
    }
    TRY(read_demands(d, m));
    TRY(csl_stream_take(&d->epoch->streams, m->stream, &d->diag));
    d->counters = csl_counter_guard_of(m->stream);
    d->max_batch = m->max_batch + d->ctx->roster.audit.check_rows;
    memcpy(d->package_digest, m->package_digest.data, sizeof d->package_digest);
    TRY(csl_demands_digest(d->demands_digest, d->demands, d->n_demands));
    return csl_masks_get(&d->masks, d->cache, d->epoch, m->package_digest.data, d->demands, d->n_demands,
                         &d->diag);
}

static enum csl_err open_session(struct csl_dealing *d) {
    TRY(connect_last(d));
    csl_control *m;
    TRY(csl_talk_expect(&d->talk, &m, CSL__PB__CONTROL__KIND_OPEN_CORRECTIONS, setup_ms(d), &d->diag));
    enum csl_err err = begin(d, m->open_corrections);
    csl_message_free(m);
    TRY(err);
    CSL_CONTROL(ready, body, CorrectionsReady, CORRECTIONS_READY, CORRECTIONS_READY, corrections_ready);
    return csl_talk_send(&d->talk, &ready, &d->diag);
}

/* ---- Dealing ---- */

/* A batch on its way: what we answer for is gathered while it is sent. */
struct batch {
    uint32_t first, count;
    uint8_t *seed_leaves;       /* n_parties x count x 32, party after party */
    uint8_t *correction_leaves; /* count x 32 */
};

/* The seeds of n rows from `at` on, and their leaves. */
static enum csl_err all_seeds(uint8_t *seeds, const struct csl_dealing *d, const struct batch *b, uint32_t at,
                              uint32_t n) {
    unsigned n_parties = d->epoch->n_parties;
    for (uint32_t row = at; row < at + n; row++) {
        for (unsigned i = 0; i < n_parties; i++, seeds += CSL_INDEX_SEED_BYTES) {
            TRY(csl_index_seed(seeds, &d->epoch->keys[i], d->counters.stream, b->first + row));
            TRY(csl_dealt_seed_leaf(b->seed_leaves + ((size_t)i * b->count + row) * CSL_MERKLE_BYTES, seeds));
        }
    }
    return CSL_OK;
}

static enum csl_err send_row(struct csl_dealing *d, const struct batch *b, uint32_t row, uint8_t *chunk) {
    TRY(csl_dealt_corrections_leaf(b->correction_leaves + (size_t)row * CSL_MERKLE_BYTES, d->demands,
                                   d->n_demands, chunk, d->row_bytes));
    CSL_PUBLIC(chunk, d->row_bytes); /* to its one recipient */
    TRY(csl_talk_send_data(&d->talk, b->first + row, chunk, d->row_bytes, &d->diag));
    return csl_talk_drain(&d->talk, QUEUED_MAX, d->ctx->roster.timeouts.round_ms, &d->diag);
}

static enum csl_err deal_rows(struct csl_dealing *d, const struct batch *b, uint32_t at, uint32_t n) {
    uint8_t *seeds = csl_secret_alloc((size_t)n * d->epoch->n_parties, CSL_INDEX_SEED_BYTES);
    uint8_t *out = csl_secret_alloc(n, d->row_bytes);
    enum csl_err err = seeds == NULL || out == NULL ? CSL_ENOMEM : all_seeds(seeds, d, b, at, n);
    if (err == CSL_OK) {
        err = csl_dealer_corrections(out, n * d->row_bytes, d->demands, d->n_demands, d->epoch->n_parties,
                                     seeds, (const uint64_t *const *)d->masks->b, n, &d->diag);
    }
    for (uint32_t row = 0; err == CSL_OK && row < n; row++) {
        err = send_row(d, b, at + row, out + row * d->row_bytes);
    }
    csl_secret_free(seeds);
    csl_secret_free(out);
    d->rows += err == CSL_OK ? n : 0;
    return err;
}

/* The ledger has it before the last party does; it is synced with others (group commit). */
static enum csl_err log_dealt(struct csl_dealing *d, const struct csl_signed *s) {
    if (d->ctx->logbook == NULL) {
        return CSL_OK;
    }
    CSL_LEAF(leaf, body, DealtLeaf, DEALT_LEAF, DEALT, dealt);
    Csl__Audit__Signed pb = CSL__AUDIT__SIGNED__INIT;
    pb.statement = csl_bytes(s->statement, s->n);
    pb.signature = csl_bytes(s->signature, sizeof s->signature);
    pb.signer = (char *)(uintptr_t)d->ctx->site.name;
    body.dealt = &pb;
    return csl_logbook_add(d->ctx->logbook, &leaf, false, &d->diag);
}

/* Signs what was dealt, and tells the last party. */
static enum csl_err answer_for(struct csl_dealing *d, const struct batch *b) {
    struct csl_dealt what = {
        .stream = d->counters.stream, .first = b->first, .total = b->count, .n_parties = d->epoch->n_parties};
    struct csl_signed s = {0};
    memcpy(what.session_id, d->session_id, sizeof what.session_id);
    memcpy(what.epoch_id, d->epoch->id, sizeof what.epoch_id);
    memcpy(what.package_digest, d->package_digest, sizeof what.package_digest);
    memcpy(what.demands_digest, d->demands_digest, sizeof what.demands_digest);
    enum csl_err err =
        csl_dealt_sign(&s, &what, b->seed_leaves, b->correction_leaves, d->ctx->site.sign_key, &d->diag);
    if (err == CSL_OK) {
        err = log_dealt(d, &s);
    }
    if (err == CSL_OK) {
        CSL_CONTROL(m, body, Dealt, DEALT, DEALT, dealt);
        body.statement = csl_bytes(s.statement, s.n);
        body.signature = csl_bytes(s.signature, sizeof s.signature);
        err = csl_talk_send(&d->talk, &m, &d->diag);
    }
    csl_signed_clear(&s);
    return err;
}

static enum csl_err deal(struct csl_dealing *d, uint32_t first, uint32_t count) {
    if (count > d->max_batch) {
        return csl_fail(&d->diag, CSL_EPROTO, "%s wants %u corrections at once; %u were agreed", d->to->name,
                        count, d->max_batch);
    }
    TRY(csl_counter_take(&d->counters, first, count, &d->diag));
    struct batch b = {.first = first,
                      .count = count,
                      .seed_leaves = calloc((size_t)count * d->epoch->n_parties, CSL_MERKLE_BYTES),
                      .correction_leaves = calloc(count, CSL_MERKLE_BYTES)};
    enum csl_err err = b.seed_leaves == NULL || b.correction_leaves == NULL ? CSL_ENOMEM : CSL_OK;
    for (uint32_t at = 0; at < count && err == CSL_OK; at += ROWS_AT_ONCE) {
        err = deal_rows(d, &b, at, count - at < ROWS_AT_ONCE ? count - at : ROWS_AT_ONCE);
    }
    if (err == CSL_OK) {
        err = answer_for(d, &b);
    }
    free(b.seed_leaves);
    free(b.correction_leaves);
    d->batches += err == CSL_OK ? 1 : 0;
    return err;
}

/* The session ended; not durable: a dealer's ledger without it says nothing about anybody. */
static void log_close(struct csl_dealing *d, enum csl_err err) {
    if (d->ctx->logbook == NULL) {
        return;
    }
    CSL_LEAF(leaf, body, CloseLeaf, CLOSE_LEAF, CLOSE, close);
    struct csl_diag diag = {""};
    body.session_id = csl_bytes(d->session_id, sizeof d->session_id);
    body.error = (uint32_t)err;
    body.reason = err == CSL_OK ? (char *)"" : d->diag.text;
    body.batches = d->batches;
    body.inferences = d->rows;
    if (csl_logbook_add(d->ctx->logbook, &leaf, false, &diag) != CSL_OK) {
        csl_log("the ledger has no end of the corrections for %s: %s", d->to->name, diag.text);
    }
}

static enum csl_err serve(struct csl_dealing *d) {
    TRY(open_session(d));
    for (;;) {
        csl_control *m;
        /* A pool asks when it has used up a chunk, which may take its guests hours. The lane ends a session
         * that idles; the control connection, which has heartbeats, tells when its party is gone. */
        enum csl_err err =
            csl_talk_expect(&d->talk, &m, CSL__PB__CONTROL__KIND_WANT_CORRECTIONS, CSL_NO_TIMEOUT, &d->diag);
        if (err != CSL_OK) {
            return d->talk.ended ? CSL_OK : err; /* the lane closed its session */
        }
        uint32_t first = m->want_corrections->first, count = m->want_corrections->count;
        csl_message_free(m);
        TRY(deal(d, first, count));
    }
}

void csl_dealing_run(void *arg) {
    struct csl_dealing *d = arg;
    enum csl_err err = serve(d);
    if (err != CSL_OK) {
        csl_log("corrections for %s: aborted after %llu: %s", d->to->name, (unsigned long long)d->rows,
                d->diag.text);
        csl_talk_send_failure(&d->talk, err, d->diag.text);
    } else {
        csl_log("corrections for %s: %llu dealt", d->to->name, (unsigned long long)d->rows);
    }
    log_close(d, err);
    csl_talk_close(&d->talk);
    csl_worker_clear(&d->worker);
}
