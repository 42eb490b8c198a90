/* Setting a session up (docs/protocol.md S4..S8): the mesh, the agreement, the masked weights, the dealer. */
#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "roles/lane_internal.h"
#include "roles/plan_codec.h"

static uint64_t setup_ms(const struct csl_lane *l) {
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
                            (unsigned long long)setup_ms(l),
                            i < l->n_parties ? l->opt.client->name : l->opt.ctx->self->name);
        }
    }
    return CSL_OK;
}

static enum csl_err connect_all(struct csl_lane *l) {
    TRY(dial_all(l));
    enum csl_err late = csl_loop_run_until(&l->worker.loop, all_present, l, setup_ms(l));
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
    TRY(csl_talk_wait_ready(&l->worker, talks, n, setup_ms(l), &l->diag));
    return missing(l);
}

/* ---- The mesh link ---- */

enum { AGREE_BYTES = CSL_SESSION_ID_BYTES + 4 * 32 + 4 + 1 };

static enum csl_err make_link(struct csl_lane *l) {
    const struct csl_context *ctx = l->opt.ctx;
    struct csl_cost cost;
    TRY(csl_plan_cost(&l->opt.package->plan, &cost, l->n_parties, l->opt.request.max_batch, CSL_PROFILE_LAN,
                      l->opt.request.reveal_label));
    uint64_t max = cost.online_bytes > cost.open_weights_bytes ? cost.online_bytes : cost.open_weights_bytes;
    if (max > CSL_FRAME_MAX_BYTES) {
        return csl_fail(&l->diag, CSL_EDATA,
                        "a batch of %u needs messages of %llu bytes; ask for a smaller batch",
                        l->opt.request.max_batch, (unsigned long long)max);
    }
    struct csl_mesh_options mo = {.n_parties = l->n_parties,
                                  .self = l->self,
                                  .max_message_bytes = (uint32_t)max + AGREE_BYTES,
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

/* ---- Agreement (S5): the session's first round, one fixed record ---- */

struct agreement {
    const uint8_t *session_id, *roster, *epoch_id, *package, *request;
    uint32_t stream; /* party 0's counts */
    uint8_t have_weights;
};

static void write_agreement(uint8_t out[AGREE_BYTES], const struct agreement *a) {
    struct csl_writer w = csl_writer_of(out, AGREE_BYTES);
    csl_writer_bytes(&w, a->session_id, CSL_SESSION_ID_BYTES);
    csl_writer_bytes(&w, a->roster, 32);
    csl_writer_bytes(&w, a->epoch_id, 32);
    csl_writer_bytes(&w, a->package, 32);
    csl_writer_bytes(&w, a->request, 32);
    csl_writer_u32(&w, a->stream);
    csl_writer_u8(&w, a->have_weights);
}

static void read_agreement(struct agreement *a, const uint8_t in[AGREE_BYTES]) {
    struct csl_reader r = csl_reader_of(in, AGREE_BYTES);
    a->session_id = csl_reader_view(&r, CSL_SESSION_ID_BYTES);
    a->roster = csl_reader_view(&r, 32);
    a->epoch_id = csl_reader_view(&r, 32);
    a->package = csl_reader_view(&r, 32);
    a->request = csl_reader_view(&r, 32);
    a->stream = csl_reader_u32(&r);
    a->have_weights = csl_reader_u8(&r);
}

static enum csl_err compare(struct csl_lane *l, const struct agreement *ours, const struct agreement *theirs,
                            const char *peer) {
    if (memcmp(ours->session_id, theirs->session_id, CSL_SESSION_ID_BYTES) != 0) {
        return csl_fail(&l->diag, CSL_EPROTO, "%s speaks of another session", peer);
    }
    if (memcmp(ours->roster, theirs->roster, 32) != 0) {
        return csl_fail(&l->diag, CSL_ECONFIG, "%s has another roster; compare `consilium roster digest`",
                        peer);
    }
    if (memcmp(ours->package, theirs->package, 32) != 0) {
        return csl_fail(&l->diag, CSL_ESTALE,
                        "%s holds another version of model %s than we do; its owner must share it again",
                        peer, l->opt.package->name);
    }
    if (memcmp(ours->epoch_id, theirs->epoch_id, 32) != 0) {
        return csl_fail(
            &l->diag, CSL_ESTALE,
            "%s is in another epoch of correlations than we are; one of us missed the last one: try "
            "again, and if it stays so, restart the daemon of %s, which begins a new epoch",
            peer, peer);
    }
    if (memcmp(ours->request, theirs->request, 32) != 0 || theirs->have_weights > 1) {
        return csl_fail(&l->diag, CSL_EPROTO,
                        "%s was asked for another session by the client (batch size, what is revealed, or "
                        "who owns the input)",
                        peer);
    }
    return CSL_OK;
}

/* The session keeps the sentence of its first error; the lane shows it. */
static enum csl_err poisoned(struct csl_lane *l, enum csl_err err) {
    if (err != CSL_OK) {
        l->diag = l->session.diag;
    }
    return err;
}

/* *all_have: everybody has the masked weights of this package and epoch already. */
static enum csl_err agree(struct csl_lane *l, bool *all_have) {
    const struct csl_context *ctx = l->opt.ctx;
    struct csl_party_epoch *epoch = l->opt.epoch;
    if (l->self == 0) {
        TRY(csl_stream_allot(&epoch->streams, &l->stream, &l->diag));
    }
    l->opened = csl_store_opened(l->opt.store, l->opt.package, epoch->id);
    uint8_t request[CSL_DIGEST_BYTES];
    TRY(csl_request_digest(request, &l->opt.request));
    struct agreement ours = {.session_id = l->opt.session_id,
                             .roster = ctx->roster_digest,
                             .epoch_id = epoch->id,
                             .package = l->opt.package->digest,
                             .request = request,
                             .stream = l->stream,
                             .have_weights = l->opened != NULL};
    uint8_t out[AGREE_BYTES], in[CSL_MAX_PARTIES][AGREE_BYTES];
    uint8_t *into[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < CSL_MAX_PARTIES; i++) {
        into[i] = in[i];
    }
    write_agreement(out, &ours);
    TRY(poisoned(l, csl_session_exchange(&l->session, into, out, sizeof out)));
    *all_have = ours.have_weights == 1;
    for (unsigned i = 0; i < l->n_parties; i++) {
        if (i != l->self) {
            struct agreement theirs;
            read_agreement(&theirs, in[i]);
            TRY(compare(l, &ours, &theirs, csl_roster_party(&ctx->roster, i)->name));
            *all_have = *all_have && theirs.have_weights == 1;
            if (i == 0) {
                l->stream = theirs.stream;
                TRY(csl_stream_take(&epoch->streams, l->stream, &l->diag));
            }
        }
    }
    l->counters = csl_counter_guard_of(l->stream);
    return CSL_OK;
}

/* ---- Masked weights (L1) ---- */

static enum csl_err open_weights(struct csl_lane *l) {
    struct csl_package *p = l->opt.package;
    struct csl_party_epoch *epoch = l->opt.epoch;
    struct csl_model_share share = {0};
    uint8_t mask_id[32];
    enum csl_err err = csl_package_share(&share, p, l->self, &l->diag);
    if (err == CSL_OK) {
        err = csl_mask_id(mask_id, p->digest, epoch->id);
    }
    if (err == CSL_OK) {
        err = poisoned(l, csl_model_open_weights(&l->session, &share, &epoch->keys, mask_id));
    }
    if (err == CSL_OK) {
        csl_opened_unref(l->opened);
        l->opened = NULL;
        err = csl_opened_new(&l->opened, p, epoch->id, &share);
    }
    csl_model_share_clear(&share);
    if (err == CSL_OK) {
        csl_store_offer(l->opt.store, p, l->opened);
    }
    return err;
}

/* ---- The dealer ---- */

static enum csl_err open_corrections(struct csl_lane *l) {
    struct csl_talk *dealer = &l->peers[l->n_parties];
    /* The plan alone: the dealer learns what to make, not whose model it is for. */
    uint8_t *plan;
    size_t n;
    TRY(csl_plan_encode(&plan, &n, &l->opt.package->plan));
    CSL_CONTROL(m, body, OpenCorrections, OPEN_CORRECTIONS, OPEN_CORRECTIONS, open_corrections);
    body.session_id = csl_bytes(l->opt.session_id, CSL_SESSION_ID_BYTES);
    body.epoch_id = csl_bytes(l->opt.epoch->id, CSL_EPOCH_ID_BYTES);
    body.package_digest = csl_bytes(l->opt.package->digest, CSL_DIGEST_BYTES);
    body.plan = csl_bytes(plan, n);
    body.stream = l->stream;
    body.max_batch = l->opt.request.max_batch;
    body.reveal_label = l->opt.request.reveal_label;
    enum csl_err err = csl_talk_send(dealer, &m, &l->diag);
    free(plan);
    if (err != CSL_OK) {
        return err;
    }
    csl_talk_allow_data(dealer, l->correction_bytes);
    csl_control *answer;
    TRY(csl_talk_expect(dealer, &answer, CSL__PB__CONTROL__KIND_CORRECTIONS_READY, setup_ms(l), &l->diag));
    csl_message_free(answer);
    return CSL_OK;
}

/* ---- The client, and the owners of parts ---- */

static enum csl_err tell(struct csl_lane *l, struct csl_talk *to, Csl__Pb__Part *part) {
    CSL_CONTROL(m, body, SessionReady, SESSION_READY, SESSION_READY, session_ready);
    body.package_digest = csl_bytes(l->opt.package->digest, CSL_DIGEST_BYTES);
    body.epoch_id = csl_bytes(l->opt.epoch->id, CSL_EPOCH_ID_BYTES);
    body.manifest = csl_bytes(l->opt.package->manifest, l->opt.package->n_manifest);
    body.reveal_label = l->opt.request.reveal_label;
    body.part = part;
    return csl_talk_send(to, &m, &l->diag);
}

static bool owners_present(void *arg) {
    struct csl_lane *l = arg;
    for (size_t i = 0; i < l->parts.n; i++) {
        if (l->parts.at[i].owner != l->opt.client && !l->present[csl__lane_place(l, i)]) {
            return l->client.err != CSL_OK || csl_worker_check(&l->worker, NULL) != CSL_OK;
        }
    }
    return true;
}

/* People start the owners' programs: they have as long as a session may idle. */
static enum csl_err wait_owners(struct csl_lane *l) {
    Csl__Pb__Part pb[CSL_PARTS_MAX], *list[CSL_PARTS_MAX];
    uint64_t patience = l->opt.ctx->roster.timeouts.session_idle_ms;
    enum csl_err late = csl_loop_run_until(&l->worker.loop, owners_present, l, patience);
    TRY(csl_worker_check(&l->worker, &l->diag));
    if (l->client.err != CSL_OK) {
        return csl_fail(&l->diag, l->client.err, "%s", l->client.diag.text);
    }
    csl_parts_to_message(pb, list, &l->parts);
    for (size_t i = 0; i < l->parts.n; i++) {
        if (l->parts.at[i].owner == l->opt.client) {
            continue;
        }
        if (late != CSL_OK && !l->present[csl__lane_place(l, i)]) {
            return csl_fail(&l->diag, CSL_ETIMEOUT,
                            "%s, who owns a part of the input, did not join within %llu ms",
                            l->parts.at[i].owner->name, (unsigned long long)patience);
        }
        TRY(tell(l, csl__lane_owner(l, i), list[i]));
    }
    return CSL_OK;
}

static enum csl_err admit(struct csl_lane *l) {
    CSL_CONTROL(m, body, Admitted, ADMITTED, ADMITTED, admitted);
    return csl_talk_send(&l->client, &m, &l->diag);
}

enum csl_err csl__lane_open(struct csl_lane *l) {
    TRY(admit(l));
    l->parts = l->opt.request.parts;
    TRY(csl_parts_fit(&l->parts, &l->opt.package->plan, &l->diag));
    TRY(csl_plan_demands(&l->opt.package->plan, CSL_PROFILE_LAN, l->opt.request.reveal_label, l->demands,
                         &l->n_demands));
    l->correction_bytes = csl_correction_bytes(l->demands, l->n_demands);
    TRY(connect_all(l));
    TRY(make_link(l));
    TRY(csl_session_init(&l->session, csl_mesh_link_base(l->link)));
    l->session_open = true;
    bool all_have = false;
    TRY(agree(l, &all_have));
    if (!all_have) {
        TRY(open_weights(l));
    }
    if (l->is_last) {
        TRY(open_corrections(l));
    }
    TRY(tell(l, &l->client, NULL));
    return wait_owners(l);
}
