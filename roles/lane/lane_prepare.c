/* What a session's correlations are made for, and those of its next batch (docs/protocol.md S9). */
#include "roles/lane/lane_internal.h"

void csl__lane_making(struct csl_lane *l) {
    l->making = (struct csl_making){.ctx = l->opt.ctx,
                                    .self = l->self,
                                    .n_parties = l->n_parties,
                                    .is_last = l->is_last,
                                    .session_id = l->opt.session_id,
                                    .epoch = l->opt.epoch,
                                    .package = l->opt.package,
                                    .opened = l->opened,
                                    .demands = l->demands,
                                    .n_demands = l->n_demands,
                                    .correction_bytes = l->correction_bytes,
                                    .mask_id = l->mask_id,
                                    .stream = l->stream,
                                    .max_rows = l->opt.request.max_batch,
                                    .profile = l->profile,
                                    .reveal_label = l->opt.request.reveal_label,
                                    .sign = l->sign,
                                    .keep_views = l->keep_views,
                                    .client = l->shared == NULL ? l->client.peer : NULL};
    l->maker = (struct csl_maker){.m = &l->making,
                                  .session = &l->session,
                                  .link = l->link,
                                  .dealer = l->is_last ? &l->peers[l->n_parties] : NULL,
                                  .slot = CSL_LANE_SLOT_OFFLINE,
                                  .after_slot = CSL_LANE_SLOT_ONLINE,
                                  .counters = csl_counter_guard_of(l->stream)};
}

enum csl_err csl__lane_prepare(struct csl_lane *l, struct csl__batch *b) {
    uint64_t bytes;
    enum csl_err err = csl_maker_make(&l->maker, b->count, &b->corr, &b->record, &bytes, &l->diag);
    b->offline_bytes += bytes;
    return err;
}
