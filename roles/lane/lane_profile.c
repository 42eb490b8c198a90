/* Which profile a session has (nn/plan.h): party 0's word, its site's option or what it measures. */
#include "roles/daemon/daemon.h"
#include "roles/lane/lane_internal.h"

/* Above this round trip to the farthest peer a session is wan. What the wan form saves is a one-way hop a
 * layer of comparisons, RTT / 2; what it costs is some 170 bytes more of corrections a comparison (wan 215,
 * lan 48) and the work on them: with 10^4 comparisons in a layer 1.7 MB, which at 10 Gb/s are 1.4 ms and at
 * some 1 GB/s of dealing and expanding as much again, together about 2.5 ms = RTT / 2. It is also far above
 * what a busy machine makes of a local network's 0.1 to 1 ms. */
enum { WAN_RTT_NS = 5 * 1000 * 1000 };

/* A peer may be busy with its side of the setup, or its machine with others: the least of so many counts, and
 * the first that is short ends it. */
enum { PROBES = 4 };

struct probing {
    struct csl_lane *l;
    unsigned answers; /* wanted of each peer that is not known to be near */
};

static bool enough(const struct csl_lane *l, unsigned peer, unsigned wanted) {
    unsigned answers;
    uint64_t ns = csl_mesh_link_rtt_ns(l->link, peer, &answers);
    return peer == l->self || answers >= wanted || (answers != 0 && ns <= WAN_RTT_NS);
}

static bool all_answered(void *arg) {
    const struct probing *x = arg;
    struct csl_lane *l = x->l;
    bool all = true;
    for (unsigned i = 0; i < l->n_parties; i++) {
        all = all && enough(l, i, x->answers);
    }
    return all || csl_mesh_link_error(l->link, NULL) != CSL_OK || l->client.err != CSL_OK ||
           csl_worker_check(&l->worker, NULL) != CSL_OK;
}

static enum csl_err late(struct csl_lane *l, unsigned wanted) {
    uint32_t ms = l->opt.ctx->roster.timeouts.round_ms;
    for (unsigned i = 0; i < l->n_parties; i++) {
        if (!enough(l, i, wanted)) {
            return csl_fail(&l->diag, CSL_ETIMEOUT, "%s did not answer a PING within %u ms",
                            csl_roster_party(&l->opt.ctx->roster, i)->name, ms);
        }
    }
    return CSL_OK;
}

/* Whoever has not answered often enough is asked once more. */
static enum csl_err probe(struct csl_lane *l, unsigned number) {
    struct probing x = {l, number};
    for (unsigned i = 0; i < l->n_parties; i++) {
        if (!enough(l, i, number) && csl_mesh_link_probe(l->link, i) != CSL_OK &&
            csl_mesh_link_error(l->link, NULL) == CSL_OK) {
            return csl_fail(&l->diag, CSL_EPEER, "lost connection to %s before the first round",
                            csl_roster_party(&l->opt.ctx->roster, i)->name);
        }
    }
    enum csl_err err =
        csl_loop_run_until(&l->worker.loop, all_answered, &x, l->opt.ctx->roster.timeouts.round_ms);
    TRY(csl_worker_check(&l->worker, &l->diag));
    if (l->client.err != CSL_OK) {
        return csl_fail(&l->diag, l->client.err, "%s", l->client.diag.text);
    }
    TRY(csl_mesh_link_error(l->link, &l->diag));
    return err == CSL_OK ? CSL_OK : late(l, number);
}

enum csl_err csl__lane_choose_profile(struct csl_lane *l) {
    uint64_t rtt_ns = 0;
    l->profile = l->opt.profile;
    if (!l->opt.auto_profile) {
        return CSL_OK;
    }
    for (unsigned k = 1; k <= PROBES; k++) {
        TRY(probe(l, k));
    }
    for (unsigned i = 0; i < l->n_parties; i++) {
        unsigned answers;
        uint64_t ns = csl_mesh_link_rtt_ns(l->link, i, &answers);
        rtt_ns = ns > rtt_ns ? ns : rtt_ns;
    }
    l->profile = rtt_ns > WAN_RTT_NS ? CSL_PROFILE_WAN : CSL_PROFILE_LAN;
    csl_log("session %02x%02x%02x%02x: profile %s, the farthest peer is %.2f ms away and back",
            l->opt.session_id[0], l->opt.session_id[1], l->opt.session_id[2], l->opt.session_id[3],
            csl_profile_name(l->profile), (double)rtt_ns / 1e6);
    return CSL_OK;
}
