/* The connections of a session (docs/protocol.md S4), and its mesh. */
#include <string.h>

#include "roles/dealt.h"
#include "roles/lane_internal.h"

uint64_t csl__lane_setup_ms(const struct csl_lane *l) {
    const struct csl_timeouts *t = &l->opt.ctx->roster.timeouts;
    return (uint64_t)t->connect_ms + 2 * (uint64_t)t->handshake_ms;
}

static const struct csl_member *member_at(const struct csl_lane *l, unsigned slot) {
    const struct csl_roster *r = &l->opt.ctx->roster;
    return slot < l->n_parties ? csl_roster_party(r, slot) : csl_roster_dealer(r);
}

/* The dealer's connection is the last party's alone. */
static unsigned n_slots(const struct csl_lane *l) {
    return l->n_parties + (l->is_last ? 1 : 0);
}

/* ---- Connections ---- */

static enum csl_err dial_all(struct csl_lane *l) {
    for (unsigned i = 0; i < n_slots(l); i++) {
        const struct csl_member *m = member_at(l, i);
        if (i == l->self || !csl_roster_dials(&l->opt.ctx->roster, l->opt.ctx->self, m)) {
            continue;
        }
        TRY(csl_talk_dial(&l->peers[i], &l->worker, m,
                          i < l->n_parties ? CSL__PB__PURPOSE__PURPOSE_PEER
                                           : CSL__PB__PURPOSE__PURPOSE_CORRECTIONS,
                          l->opt.session_id, &l->diag));
        l->present[i] = true;
    }
    return CSL_OK;
}

/* Every place is taken, or one of the connections or the client is lost. */
static bool all_present(void *arg) {
    struct csl_lane *l = arg;
    bool all = true;
    for (unsigned i = 0; i < n_slots(l); i++) {
        all = all && (i == l->self || l->present[i]);
        if (l->present[i] && l->peers[i].err != CSL_OK) {
            return true;
        }
    }
    return all || l->client.err != CSL_OK || csl_worker_check(&l->worker, NULL) != CSL_OK;
}

static enum csl_err missing(struct csl_lane *l) {
    for (unsigned i = 0; i < n_slots(l); i++) {
        if (i != l->self && !l->present[i]) {
            const char *name = member_at(l, i)->name;
            return csl_fail(&l->diag, CSL_ETIMEOUT,
                            "%s did not join the session within %llu ms; it joins when %s asks it to", name,
                            (unsigned long long)csl__lane_setup_ms(l),
                            i < l->n_parties ? l->opt.client->name : l->opt.ctx->self->name);
        }
    }
    return CSL_OK;
}

static enum csl_err connect_all(struct csl_lane *l) {
    TRY(dial_all(l));
    enum csl_err late = csl_loop_run_until(&l->worker.loop, all_present, l, csl__lane_setup_ms(l));
    TRY(csl_worker_check(&l->worker, &l->diag));
    if (l->client.err != CSL_OK) {
        return csl_fail(&l->diag, l->client.err, "%s", l->client.diag.text);
    }
    if (late != CSL_OK) {
        TRY(missing(l));
    }
    struct csl_talk *talks[CSL_MAX_PARTIES + 1];
    size_t n = 0;
    for (unsigned i = 0; i < n_slots(l); i++) {
        if (l->present[i]) {
            talks[n++] = &l->peers[i];
        }
    }
    TRY(csl_talk_wait_ready(&l->worker, talks, n, csl__lane_setup_ms(l), &l->diag));
    return missing(l);
}

/* ---- The mesh link ---- */

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

static enum csl_err make_link(struct csl_lane *l) {
    const struct csl_context *ctx = l->opt.ctx;
    uint64_t max = 0;
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
    for (unsigned i = 0; i < l->n_parties; i++) {
        if (i != l->self) {
            struct csl_conn *conn = csl_talk_release(&l->peers[i]);
            if (conn == NULL) {
                return csl_fail(&l->diag, CSL_EPEER, "%s", l->peers[i].diag.text);
            }
            enum csl_err err = csl_mesh_link_set_peer(link, i, conn, &l->diag);
            if (err != CSL_OK) { /* nobody's: the talk has given it away */
                csl_conn_set_callbacks(conn, NULL, NULL);
                csl_conn_close(conn, err, NULL);
                return err;
            }
        }
    }
    csl_mesh_link_set_slot(link, CSL_LANE_SLOT_SETUP);
    return CSL_OK;
}

enum csl_err csl__lane_connect(struct csl_lane *l) {
    TRY(connect_all(l));
    TRY(make_link(l));
    return l->self == 0 ? csl__lane_choose_profile(l) : CSL_OK;
}
