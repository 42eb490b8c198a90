#include "roles/lane/maker.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "roles/lane/dealt.h"
#include "roles/lane/join.h"
#include "roles/plan_codec.h"

/* Correlations in the making. */
struct making {
    struct csl_maker *k;
    const struct csl_making *of;
    uint32_t count; /* rows that serve */
    struct csl_corr *corr;
    struct csl_record *r;
    uint64_t bytes;
    struct csl_diag *diag;
    struct csl_dealt dealt;
    uint32_t checked[CSL_CHECK_MAX_ROWS]; /* rows that are discarded, rising */
    size_t n_checked;
};

static const struct csl_member *last_party(const struct making *p) {
    return csl_roster_party(&p->of->ctx->roster, p->of->n_parties - 1);
}

/* ---- The dealer of the session (S7) ---- */

enum csl_err csl_maker_open(struct csl_maker *k, struct csl_diag *diag) {
    const struct csl_making *of = k->m;
    if (!of->is_last) {
        return CSL_OK;
    }
    /* The plan alone: the dealer learns what to make, not whose model it is for. */
    uint8_t *plan;
    size_t n;
    TRY(csl_plan_encode(&plan, &n, &of->package->plan));
    CSL_CONTROL(m, body, OpenCorrections, OPEN_CORRECTIONS, OPEN_CORRECTIONS, open_corrections);
    body.session_id = csl_bytes(of->session_id, CSL_SESSION_ID_BYTES);
    body.epoch_id = csl_bytes(of->epoch->id, CSL_EPOCH_ID_BYTES);
    body.package_digest = csl_bytes(of->package->digest, CSL_DIGEST_BYTES);
    body.plan = csl_bytes(plan, n);
    body.stream = of->stream;
    body.max_batch = of->max_rows;
    body.reveal_label = of->reveal_label;
    body.profile = (uint32_t)of->profile;
    enum csl_err err = csl_talk_send(k->dealer, &m, diag);
    free(plan);
    TRY(err);
    csl_talk_allow_data(k->dealer, of->correction_bytes);
    csl_control *answer;
    TRY(csl_talk_expect(k->dealer, &answer, CSL__PB__CONTROL__KIND_CORRECTIONS_READY, csl_join_ms(of->ctx),
                        diag));
    csl_message_free(answer);
    return CSL_OK;
}

/* ---- Expanding ---- */

static enum csl_err expand_row(struct making *p, uint32_t row, const uint8_t *corrections) {
    const struct csl_making *of = p->of;
    uint8_t seed[CSL_INDEX_SEED_BYTES];
    size_t at = (size_t)row * CSL_MERKLE_BYTES, n = corrections == NULL ? 0 : of->correction_bytes;
    enum csl_err err = csl_index_seed(seed, &of->epoch->keys, of->stream, p->r->first + row);
    if (err == CSL_OK) {
        err = csl_dealt_seed_leaf(p->r->seed_leaves + at, seed);
    }
    if (err == CSL_OK && corrections != NULL) {
        err = csl_dealt_corrections_leaf(p->r->correction_leaves + at, of->demands, of->n_demands,
                                         corrections, n);
    }
    if (err == CSL_OK) {
        err = csl_corr_expand(p->corr, row, seed, corrections, n, p->diag);
    }
    if (of->keep_views) {
        memcpy(p->r->seeds + (size_t)row * sizeof seed, seed, sizeof seed);
        if (corrections != NULL) {
            memcpy(p->r->corrections + (size_t)row * n, corrections, n);
        }
    }
    csl_wipe(seed, sizeof seed);
    return err;
}

static enum csl_err take_statement(struct making *p) {
    csl_control *m;
    TRY(csl_talk_expect(p->k->dealer, &m, CSL__PB__CONTROL__KIND_DEALT, p->of->ctx->roster.timeouts.round_ms,
                        p->diag));
    enum csl_err err = csl_signed_copy(&p->r->dealt, m->dealt->statement.data, m->dealt->statement.len,
                                       m->dealt->signature.data);
    csl_message_free(m);
    return err;
}

static enum csl_err expand_with_corrections(struct making *p) {
    const struct csl_making *of = p->of;
    CSL_CONTROL(m, body, WantCorrections, WANT_CORRECTIONS, WANT_CORRECTIONS, want_corrections);
    body.first = p->r->first;
    body.count = p->r->total;
    TRY(csl_talk_send(p->k->dealer, &m, p->diag));
    for (uint32_t row = 0; row < p->r->total; row++) {
        struct csl_frame_in *f;
        TRY(csl_talk_expect_data(p->k->dealer, &f, p->r->first + row, of->correction_bytes,
                                 of->ctx->roster.timeouts.round_ms, p->diag));
        p->bytes += CSL_FRAME_HEADER_BYTES + f->h.n;
        CSL_SECRET(f->payload, f->h.n);
        enum csl_err err = expand_row(p, row, f->payload);
        csl_frame_in_free(f);
        TRY(err);
    }
    return take_statement(p);
}

static enum csl_err expand_all(struct making *p) {
    if (p->of->is_last) {
        return expand_with_corrections(p);
    }
    for (uint32_t row = 0; row < p->r->total; row++) {
        TRY(expand_row(p, row, NULL));
    }
    return CSL_OK;
}

/* ---- The dealer's statement, and the check of the dealer ---- */

static enum csl_err share_statement(struct making *p) {
    const struct csl_making *of = p->of;
    struct csl_session *s = p->k->session;
    uint8_t records[CSL_MAX_PARTIES][CSL_DEALT_RECORD_BYTES] = {{0}}, *in[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < of->n_parties; i++) {
        in[i] = records[i];
    }
    if (of->is_last && csl_dealt_to_record(records[of->self], &p->r->dealt) != CSL_OK) {
        return csl_fail(p->diag, CSL_EPROTO, "%s sent a statement of %zu bytes",
                        csl_roster_dealer(&of->ctx->roster)->name, p->r->dealt.n);
    }
    if (csl_session_exchange(s, in, records[of->self], CSL_DEALT_RECORD_BYTES) != CSL_OK) {
        return csl_fail(p->diag, s->err, "%s", s->diag.text);
    }
    if (of->is_last) {
        return CSL_OK;
    }
    enum csl_err err = csl_dealt_from_record(&p->r->dealt, records[of->n_parties - 1], p->diag);
    return err == CSL_OK ? CSL_OK : csl_fail_context(p->diag, err, "%s", last_party(p)->name);
}

static enum csl_err check_dealer(struct making *p) {
    const struct csl_making *of = p->of;
    struct csl_dealt_check c = {.ctx = of->ctx,
                                .session = p->k->session,
                                .dealt = &p->dealt,
                                .statement = &p->r->dealt,
                                .demands = of->demands,
                                .n_demands = of->n_demands,
                                .corr = p->corr,
                                .keys = &of->epoch->keys,
                                .mask_id = of->mask_id,
                                .seed_leaves = p->r->seed_leaves,
                                .correction_leaves = p->r->correction_leaves,
                                .n_rows = p->n_checked};
    return csl_dealt_check(&c, p->checked, p->diag);
}

/* A client that announces a batch to one party and another to the next would make an honest dealer look like
 * a liar: it deals what the last party was told. */
static enum csl_err same_batch(struct making *p) {
    const struct csl_record *r = p->r;
    Csl__Audit__DealtStatement *m;
    TRY(csl_dealt_statement_decode(&m, r->dealt.statement, r->dealt.n, p->diag));
    uint32_t count = m->count, first = m->first;
    csl_statement_free(m);
    if (count == r->total && first == r->first) {
        return CSL_OK;
    }
    enum csl_err err =
        csl_fail(p->diag, CSL_EPROTO, "%s prepares batch %u with correlations %u to %u, we with %u to %u",
                 last_party(p)->name, r->batch, first, first + count - 1, r->first, r->first + r->total - 1);
    struct csl_diag seen = *p->diag;
    return p->of->client == NULL
               ? err
               : csl_fail(p->diag, err,
                          "%.400s: unless %s told every party the same, the fault may be its own", seen.text,
                          p->of->client);
}

static enum csl_err verify_statement(struct making *p) {
    const struct csl_making *of = p->of;
    enum csl_err err =
        csl_dealt_verify(&p->r->dealt, &p->dealt, of->self, p->r->seed_leaves, p->r->correction_leaves,
                         csl_roster_dealer(&of->ctx->roster), p->diag);
    return err == CSL_OK || of->is_last
               ? err /* the others know it from the last party alone */
               : csl_fail_context(p->diag, err, "as %s passed it on", last_party(p)->name);
}

static enum csl_err hold_dealer_to_it(struct making *p) {
    if (p->of->sign == CSL_SIGN_OFF && p->n_checked == 0) {
        return CSL_OK;
    }
    if (p->of->is_last) { /* which passes on only what is right: what differs then is the client's doing */
        TRY(verify_statement(p));
        TRY(share_statement(p));
    } else {
        TRY(share_statement(p));
        TRY(same_batch(p));
        TRY(verify_statement(p));
    }
    return p->n_checked == 0 ? CSL_OK : check_dealer(p);
}

static uint64_t sent(const struct making *p) {
    const struct csl_mesh_counters *c = csl_mesh_link_counters(p->k->link, p->k->slot);
    uint64_t n = 0;
    for (unsigned i = 0; i < p->of->n_parties; i++) {
        n += c->peer[i].bytes_sent;
    }
    return n;
}

/* These exchanges are offline, none of a batch's openings. A peer may have to wait for all corrections
 * first: as long as the client waits for us. */
static enum csl_err offline_exchanges(struct making *p) {
    uint32_t round_ms = p->of->ctx->roster.timeouts.round_ms;
    uint64_t before = sent(p);
    csl_mesh_link_set_slot(p->k->link, p->k->slot);
    csl_mesh_link_set_round_ms(p->k->link, 2 * round_ms);
    enum csl_err err = hold_dealer_to_it(p);
    csl_mesh_link_set_round_ms(p->k->link, round_ms);
    csl_mesh_link_set_slot(p->k->link, p->k->after_slot);
    p->bytes += sent(p) - before;
    return err;
}

/* ---- The record ---- */

static enum csl_err begin_record(struct making *p) {
    const struct csl_making *of = p->of;
    struct csl_record *r = p->r;
    struct csl_dealt *d = &p->dealt;
    r->first = (uint32_t)p->k->counters.next;
    r->total = p->count + (uint32_t)p->n_checked;
    r->counters = calloc(p->count, sizeof *r->counters);
    r->seed_leaves = calloc(r->total, CSL_MERKLE_BYTES);
    r->correction_leaves = of->is_last ? calloc(r->total, CSL_MERKLE_BYTES) : NULL;
    if (of->keep_views) { /* what this party's part of the rows was made from */
        r->n_corrections = of->is_last ? of->correction_bytes : 0;
        r->seeds = csl_secret_alloc(r->total, CSL_INDEX_SEED_BYTES);
        r->corrections = of->is_last ? csl_secret_alloc(r->total, r->n_corrections) : NULL;
    }
    if (r->counters == NULL || r->seed_leaves == NULL || (of->is_last && r->correction_leaves == NULL) ||
        (of->keep_views && (r->seeds == NULL || (of->is_last && r->corrections == NULL)))) {
        return csl_fail(p->diag, CSL_ENOMEM, "no memory for a batch of %u", p->count);
    }
    memcpy(d->session_id, of->session_id, sizeof d->session_id);
    memcpy(d->epoch_id, of->epoch->id, sizeof d->epoch_id);
    memcpy(d->package_digest, of->package->digest, sizeof d->package_digest);
    d->stream = of->stream;
    d->first = r->first;
    d->total = r->total;
    d->n_parties = of->n_parties;
    return csl_demands_digest(d->demands_digest, of->demands, of->n_demands);
}

static void keep_row(struct making *p, uint32_t to, uint32_t from) {
    struct csl_record *r = p->r;
    r->counters[to] = r->first + from;
    if (r->seeds != NULL && to != from) {
        memcpy(r->seeds + (size_t)to * CSL_INDEX_SEED_BYTES, r->seeds + (size_t)from * CSL_INDEX_SEED_BYTES,
               CSL_INDEX_SEED_BYTES);
    }
    if (r->corrections != NULL && to != from) {
        memcpy(r->corrections + to * r->n_corrections, r->corrections + from * r->n_corrections,
               r->n_corrections);
    }
}

/* What is left of the rows that were checked away. */
static void end_record(struct making *p) {
    struct csl_record *r = p->r;
    uint32_t n = 0;
    for (uint32_t row = 0, gone = 0; row < r->total; row++) {
        if (gone < p->n_checked && p->checked[gone] == row) {
            gone++;
        } else {
            keep_row(p, n++, row);
        }
    }
    if (r->seeds != NULL) {
        csl_wipe(r->seeds + (size_t)n * CSL_INDEX_SEED_BYTES, (size_t)(r->total - n) * CSL_INDEX_SEED_BYTES);
    }
    if (r->corrections != NULL) {
        csl_wipe(r->corrections + n * r->n_corrections, (r->total - n) * r->n_corrections);
    }
}

static enum csl_err make(struct making *p) {
    const struct csl_making *of = p->of;
    TRY(begin_record(p));
    TRY(csl_counter_take(&p->k->counters, p->r->first, p->r->total,
                         p->diag)); /* before anything is expanded */
    TRY(csl_corr_new(&p->corr, of->demands, of->n_demands, of->n_parties, of->self, p->r->total, p->diag));
    TRY(expand_all(p));
    TRY(offline_exchanges(p));
    end_record(p);
    return csl_infer_prepare(p->corr, &of->opened->share, p->diag);
}

enum csl_err csl_maker_make(struct csl_maker *k, uint32_t count, struct csl_corr **corr, struct csl_record *r,
                            uint64_t *bytes, struct csl_diag *diag) {
    struct making p = {.k = k,
                       .of = k->m,
                       .count = count,
                       .r = r,
                       .diag = diag,
                       .n_checked = k->m->ctx->roster.audit.check_rows};
    enum csl_err err = make(&p);
    *bytes = p.bytes;
    *corr = NULL;
    if (err == CSL_OK) {
        *corr = p.corr;
    } else {
        csl_corr_free(p.corr);
    }
    return err;
}
