/* The offline part of a batch (docs/protocol.md S9): its correlations, expanded and bound to the weights. */
#include "crypto/secret.h"
#include "roles/lane_internal.h"

static enum csl_err expand_row(struct csl_lane *l, struct csl__batch *b, uint32_t first, uint32_t row,
                               const uint8_t *corrections) {
    uint8_t seed[CSL_INDEX_SEED_BYTES];
    enum csl_err err = csl_index_seed(seed, &l->opt.epoch->keys, l->stream, first + row);
    if (err == CSL_OK) {
        err = csl_corr_expand(b->corr, row, seed, corrections, corrections == NULL ? 0 : l->correction_bytes,
                              &l->diag);
    }
    csl_wipe(seed, sizeof seed);
    return err;
}

static enum csl_err expand_with_corrections(struct csl_lane *l, struct csl__batch *b, uint32_t first) {
    struct csl_talk *dealer = &l->peers[l->n_parties];
    CSL_CONTROL(m, body, WantCorrections, WANT_CORRECTIONS, WANT_CORRECTIONS, want_corrections);
    body.first = first;
    body.count = b->count;
    TRY(csl_talk_send(dealer, &m, &l->diag));
    for (uint32_t row = 0; row < b->count; row++) {
        struct csl_frame_in *f;
        TRY(csl_talk_expect_data(dealer, &f, first + row, l->correction_bytes,
                                 l->opt.ctx->roster.timeouts.round_ms, &l->diag));
        b->offline_bytes += CSL_FRAME_HEADER_BYTES + f->h.n;
        CSL_SECRET(f->payload, f->h.n);
        enum csl_err err = expand_row(l, b, first, row, f->payload);
        csl_frame_in_free(f);
        TRY(err);
    }
    return CSL_OK;
}

enum csl_err csl__lane_prepare(struct csl_lane *l, struct csl__batch *b) {
    uint32_t first = (uint32_t)l->counters.next;
    TRY(csl_counter_take(&l->counters, first, b->count, &l->diag)); /* before anything is expanded */
    TRY(csl_corr_new(&b->corr, l->demands, l->n_demands, l->n_parties, l->self, b->count, &l->diag));
    if (l->is_last) {
        TRY(expand_with_corrections(l, b, first));
    } else {
        for (uint32_t row = 0; row < b->count; row++) {
            TRY(expand_row(l, b, first, row, NULL));
        }
    }
    return csl_infer_prepare(b->corr, &l->opened->share, &l->diag);
}
