/* The connections of a session (docs/protocol.md S4), and its mesh. */
#include <string.h>

#include "roles/lane/dealt.h"
#include "roles/lane/join.h"
#include "roles/lane/lane_internal.h"

/* The largest message of the session: an opening with its signature, all masked weights, a record of the
 * setup, or a step of what checks the dealer. */
static enum csl_err largest_message(struct csl_lane *l, enum csl_profile profile, uint64_t *max) {
    enum { RECORD = 512 };
    const struct csl_request *q = &l->opt.request;
    uint32_t rows = l->opt.ctx->roster.audit.check_rows;
    struct csl_cost cost;
    TRY(csl_plan_cost(&l->opt.package->plan, &cost, l->n_parties, q->max_batch, profile, q->reveal_label));
    TRY(csl_plan_demands(&l->opt.package->plan, profile, q->reveal_label, l->demands, &l->n_demands));
    uint64_t n = cost.online_bytes + CSL_SIGNATURE_BYTES + RECORD;
    uint64_t check = csl_dealt_max_message(l->demands, l->n_demands, rows, q->max_batch + rows);
    n = n > cost.open_weights_bytes ? n : cost.open_weights_bytes;
    n = n > check ? n : check;
    *max = n > *max ? n : *max;
    return CSL_OK;
}

static enum csl_err make_link(struct csl_lane *l, struct csl_join *j) {
    const struct csl_context *ctx = l->opt.ctx;
    uint64_t max = l->shared != NULL ? CSL__TICK_BYTES : 0;
    for (int p = 0; p < CSL_PROFILE_COUNT; p++) { /* which one it will be is agreed over the link */
        TRY(largest_message(l, (enum csl_profile)p, &max));
    }
    if (max > CSL_FRAME_MAX_BYTES) {
        return csl_fail(&l->diag, CSL_EDATA,
                        "a batch of %u needs messages of %llu bytes; ask for a smaller batch",
                        l->opt.request.max_batch, (unsigned long long)max);
    }
    struct csl_mesh_options mo = {.n_parties = l->n_parties,
                                  .self = l->self,
                                  .max_message_bytes = (uint32_t)max,
                                  .round_ms = ctx->roster.timeouts.round_ms,
                                  .wait = l->opt.wait};
    for (unsigned i = 0; i < l->n_parties; i++) {
        mo.names[i] = csl_roster_party(&ctx->roster, i)->name;
    }
    struct csl_mesh_link *link;
    TRY(csl_mesh_link_new(&link, &l->worker.loop, &mo, &l->diag));
    pthread_mutex_lock(&l->lock);
    l->link = link;
    pthread_mutex_unlock(&l->lock);
    TRY(csl_join_link(j, link, &l->diag));
    csl_mesh_link_set_slot(link, CSL_LANE_SLOT_SETUP);
    return CSL_OK;
}

enum csl_err csl__lane_connect(struct csl_lane *l) {
    struct csl_join j = {.ctx = l->opt.ctx,
                         .worker = &l->worker,
                         .session_id = l->opt.session_id,
                         .purpose = CSL__PB__PURPOSE__PURPOSE_PEER,
                         .with_dealer = l->is_last && !l->has_pool, /* else its pool's */
                         .talks = l->peers,
                         .present = l->present,
                         .client = &l->client,
                         .asked_by = l->shared == NULL ? l->opt.client->name : "a client"};
    TRY(csl_join_all(&j, &l->diag));
    TRY(make_link(l, &j));
    return l->self == 0 ? csl__lane_choose_profile(l) : CSL_OK;
}
