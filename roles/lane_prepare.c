/* The offline part of a batch (docs/protocol.md S9): its correlations, dealt, answered for by the dealer and
 * checked (C), then bound to the weights. */
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "roles/dealt.h"
#include "roles/lane_internal.h"

/* A batch's correlations in the making. */
struct preparing {
    struct csl_lane *l;
    struct csl__batch *b;
    struct csl_dealt dealt;
    uint32_t checked[CSL_CHECK_MAX_ROWS]; /* rows that are discarded, rising */
    size_t n_checked;
};

/* ---- Expanding ---- */

static enum csl_err expand_row(struct preparing *p, uint32_t row, const uint8_t *corrections) {
    struct csl_lane *l = p->l;
    struct csl_record *r = &p->b->record;
    uint8_t seed[CSL_INDEX_SEED_BYTES];
    enum csl_err err = csl_index_seed(seed, &l->opt.epoch->keys, l->stream, r->first + row);
    if (err == CSL_OK) {
        err = csl_dealt_seed_leaf(r->seed_leaves + (size_t)row * CSL_MERKLE_BYTES, seed);
    }
    if (err == CSL_OK && corrections != NULL) {
        err = csl_dealt_corrections_leaf(r->correction_leaves + (size_t)row * CSL_MERKLE_BYTES, l->demands,
                                         l->n_demands, corrections, l->correction_bytes);
    }
    if (err == CSL_OK) {
        err = csl_corr_expand(p->b->corr, row, seed, corrections,
                              corrections == NULL ? 0 : l->correction_bytes, &l->diag);
    }
    csl_wipe(seed, sizeof seed);
    return err;
}

static enum csl_err take_statement(struct preparing *p, struct csl_talk *dealer) {
    struct csl_lane *l = p->l;
    csl_control *m;
    TRY(csl_talk_expect(dealer, &m, CSL__PB__CONTROL__KIND_DEALT, l->opt.ctx->roster.timeouts.round_ms,
                        &l->diag));
    enum csl_err err = csl_signed_copy(&p->b->record.dealt, m->dealt->statement.data, m->dealt->statement.len,
                                       m->dealt->signature.data);
    csl_message_free(m);
    return err;
}

static enum csl_err expand_with_corrections(struct preparing *p) {
    struct csl_lane *l = p->l;
    struct csl_record *r = &p->b->record;
    struct csl_talk *dealer = &l->peers[l->n_parties];
    CSL_CONTROL(m, body, WantCorrections, WANT_CORRECTIONS, WANT_CORRECTIONS, want_corrections);
    body.first = r->first;
    body.count = r->total;
    TRY(csl_talk_send(dealer, &m, &l->diag));
    for (uint32_t row = 0; row < r->total; row++) {
        struct csl_frame_in *f;
        TRY(csl_talk_expect_data(dealer, &f, r->first + row, l->correction_bytes,
                                 l->opt.ctx->roster.timeouts.round_ms, &l->diag));
        p->b->offline_bytes += CSL_FRAME_HEADER_BYTES + f->h.n;
        CSL_SECRET(f->payload, f->h.n);
        enum csl_err err = expand_row(p, row, f->payload);
        csl_frame_in_free(f);
        TRY(err);
    }
    return take_statement(p, dealer);
}

static enum csl_err expand_all(struct preparing *p) {
    if (p->l->is_last) {
        return expand_with_corrections(p);
    }
    for (uint32_t row = 0; row < p->b->record.total; row++) {
        TRY(expand_row(p, row, NULL));
    }
    return CSL_OK;
}

/* ---- The dealer's statement, and the check of the dealer ---- */

static enum csl_err share_statement(struct preparing *p) {
    struct csl_lane *l = p->l;
    struct csl_record *r = &p->b->record;
    uint8_t records[CSL_MAX_PARTIES][CSL_DEALT_RECORD_BYTES] = {{0}}, *in[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < l->n_parties; i++) {
        in[i] = records[i];
    }
    if (l->is_last && csl_dealt_to_record(records[l->self], &r->dealt) != CSL_OK) {
        return csl_fail(&l->diag, CSL_EPROTO, "%s sent a statement of %zu bytes",
                        csl_roster_dealer(&l->opt.ctx->roster)->name, r->dealt.n);
    }
    if (csl_session_exchange(&l->session, in, records[l->self], CSL_DEALT_RECORD_BYTES) != CSL_OK) {
        return csl_fail(&l->diag, l->session.err, "%s", l->session.diag.text);
    }
    if (l->is_last) {
        return CSL_OK;
    }
    enum csl_err err = csl_dealt_from_record(&r->dealt, records[l->n_parties - 1], &l->diag);
    return err == CSL_OK ? CSL_OK
                         : csl_fail_context(&l->diag, err, "%s",
                                            csl_roster_party(&l->opt.ctx->roster, l->n_parties - 1)->name);
}

static enum csl_err check_dealer(struct preparing *p) {
    struct csl_lane *l = p->l;
    struct csl_record *r = &p->b->record;
    struct csl_dealt_check c = {.ctx = l->opt.ctx,
                                .session = &l->session,
                                .dealt = &p->dealt,
                                .statement = &r->dealt,
                                .demands = l->demands,
                                .n_demands = l->n_demands,
                                .corr = p->b->corr,
                                .keys = &l->opt.epoch->keys,
                                .mask_id = l->mask_id,
                                .seed_leaves = r->seed_leaves,
                                .correction_leaves = r->correction_leaves,
                                .n_rows = p->n_checked};
    return csl_dealt_check(&c, p->checked, &l->diag);
}

/* A client that announces a batch to one party and another to the next would make an honest dealer look like
 * a liar: it deals what the last party was told. */
static enum csl_err same_batch(struct preparing *p) {
    struct csl_lane *l = p->l;
    const struct csl_record *r = &p->b->record;
    Csl__Audit__DealtStatement *m;
    TRY(csl_dealt_statement_decode(&m, r->dealt.statement, r->dealt.n, &l->diag));
    uint32_t count = m->count, first = m->first;
    csl_statement_free(m);
    return count == r->total && first == r->first
               ? CSL_OK
               : csl_fail(&l->diag, CSL_EPROTO,
                          "%s prepares batch %u with correlations %u to %u, we with %u to %u: unless %s told "
                          "every party the same, the fault may be its own",
                          csl_roster_party(&l->opt.ctx->roster, l->n_parties - 1)->name, p->b->number, first,
                          first + count - 1, r->first, r->first + r->total - 1, l->client.peer);
}

static enum csl_err verify_statement(struct preparing *p) {
    struct csl_lane *l = p->l;
    const struct csl_record *r = &p->b->record;
    const struct csl_roster *roster = &l->opt.ctx->roster;
    enum csl_err err = csl_dealt_verify(&r->dealt, &p->dealt, l->self, r->seed_leaves, r->correction_leaves,
                                        csl_roster_dealer(roster), &l->diag);
    return err == CSL_OK || l->is_last ? err /* the others know it from the last party alone */
                                       : csl_fail_context(&l->diag, err, "as %s passed it on",
                                                          csl_roster_party(roster, l->n_parties - 1)->name);
}

static enum csl_err hold_dealer_to_it(struct preparing *p) {
    struct csl_lane *l = p->l;
    if (l->sign == CSL_SIGN_OFF && p->n_checked == 0) {
        return CSL_OK;
    }
    if (l->is_last) { /* which passes on only what is right: what differs then is the client's doing */
        TRY(verify_statement(p));
        TRY(share_statement(p));
    } else {
        TRY(share_statement(p));
        TRY(same_batch(p));
        TRY(verify_statement(p));
    }
    return p->n_checked == 0 ? CSL_OK : check_dealer(p);
}

static uint64_t sent_offline(const struct csl_lane *l) {
    const struct csl_mesh_counters *c = csl_mesh_link_counters(l->link, CSL_LANE_SLOT_OFFLINE);
    uint64_t n = 0;
    for (unsigned i = 0; i < l->n_parties; i++) {
        n += c->peer[i].bytes_sent;
    }
    return n;
}

/* These exchanges are offline, none of the batch's openings. A peer may have to wait for all corrections
 * first: as long as the client waits for us. */
static enum csl_err offline_exchanges(struct preparing *p) {
    struct csl_lane *l = p->l;
    uint32_t round_ms = l->opt.ctx->roster.timeouts.round_ms;
    uint64_t before = sent_offline(l);
    csl_mesh_link_set_slot(l->link, CSL_LANE_SLOT_OFFLINE);
    csl_mesh_link_set_round_ms(l->link, 2 * round_ms);
    enum csl_err err = hold_dealer_to_it(p);
    csl_mesh_link_set_round_ms(l->link, round_ms);
    csl_mesh_link_set_slot(l->link, CSL_LANE_SLOT_ONLINE);
    p->b->offline_bytes += sent_offline(l) - before;
    return err;
}

/* ---- The record ---- */

static enum csl_err begin_record(struct preparing *p, uint32_t first) {
    struct csl_lane *l = p->l;
    struct csl_record *r = &p->b->record;
    struct csl_dealt *d = &p->dealt;
    r->first = first;
    r->total = p->b->count + (uint32_t)p->n_checked;
    r->counters = calloc(p->b->count, sizeof *r->counters);
    r->seed_leaves = calloc(r->total, CSL_MERKLE_BYTES);
    r->correction_leaves = l->is_last ? calloc(r->total, CSL_MERKLE_BYTES) : NULL;
    if (r->counters == NULL || r->seed_leaves == NULL || (l->is_last && r->correction_leaves == NULL)) {
        return csl_fail(&l->diag, CSL_ENOMEM, "no memory for a batch of %u", p->b->count);
    }
    memcpy(d->session_id, l->opt.session_id, sizeof d->session_id);
    memcpy(d->epoch_id, l->opt.epoch->id, sizeof d->epoch_id);
    memcpy(d->package_digest, l->opt.package->digest, sizeof d->package_digest);
    d->stream = l->stream;
    d->first = first;
    d->total = r->total;
    d->n_parties = l->n_parties;
    return csl_demands_digest(d->demands_digest, l->demands, l->n_demands);
}

/* For a view: what this party's part of the rows that serve was made from. */
static enum csl_err keep_secrets(struct preparing *p) {
    struct csl_lane *l = p->l;
    struct csl_record *r = &p->b->record;
    size_t n = p->b->count;
    r->seeds = csl_secret_alloc(n, CSL_INDEX_SEED_BYTES);
    r->n_corrections = l->is_last ? l->correction_bytes : 0;
    r->corrections = l->is_last ? csl_secret_alloc(n, r->n_corrections) : NULL;
    if (r->seeds == NULL || (l->is_last && r->corrections == NULL)) {
        return csl_fail(&l->diag, CSL_ENOMEM, "no memory for a batch of %zu", n);
    }
    for (size_t row = 0; row < n; row++) {
        TRY(csl_index_seed(r->seeds + row * CSL_INDEX_SEED_BYTES, &l->opt.epoch->keys, l->stream,
                           r->counters[row]));
        if (l->is_last) {
            TRY(csl_corr_corrections(r->corrections + row * r->n_corrections, r->n_corrections, p->b->corr,
                                     row, &l->diag));
        }
    }
    return CSL_OK;
}

static enum csl_err end_record(struct preparing *p) {
    struct csl_record *r = &p->b->record;
    uint32_t n = 0;
    for (uint32_t row = 0, gone = 0; row < r->total; row++) {
        if (gone < p->n_checked && p->checked[gone] == row) {
            gone++;
        } else {
            r->counters[n++] = r->first + row;
        }
    }
    return p->l->keep_views ? keep_secrets(p) : CSL_OK;
}

enum csl_err csl__lane_prepare(struct csl_lane *l, struct csl__batch *b) {
    struct preparing p = {.l = l, .b = b, .n_checked = l->opt.ctx->roster.audit.check_rows};
    uint32_t first = (uint32_t)l->counters.next;
    TRY(begin_record(&p, first));
    TRY(csl_counter_take(&l->counters, first, b->record.total, &l->diag)); /* before anything is expanded */
    TRY(csl_corr_new(&b->corr, l->demands, l->n_demands, l->n_parties, l->self, b->record.total, &l->diag));
    TRY(expand_all(&p));
    TRY(offline_exchanges(&p));
    TRY(end_record(&p));
    return csl_infer_prepare(b->corr, &l->opened->share, &l->diag);
}
