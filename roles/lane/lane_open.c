/* Setting a session up (docs/protocol.md S5..S8): the agreement, the masked weights, the dealer. */
#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/hash.h"
#include "crypto/rand.h"
#include "crypto/secret.h"
#include "roles/lane/lane_internal.h"

/* ---- Agreement (S5): the session's first round, one fixed record ---- */

enum { AGREE_BYTES = CSL_SESSION_ID_BYTES + 4 * 32 + 4 + 1 + 1 + 4 * 32 };

struct agreement {
    const uint8_t *session_id, *roster, *epoch_id, *package, *request;
    uint32_t stream; /* party 0's counts */
    uint8_t have_weights;
    uint8_t profile; /* party 0's counts; 0 at the others */
    /* Each party's own; they go into the session's statement. */
    const uint8_t *nonce, *software, *configuration, *seed_commitment;
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
    csl_writer_u8(&w, a->profile);
    csl_writer_bytes(&w, a->nonce, CSL_NONCE_BYTES);
    csl_writer_bytes(&w, a->software, 32);
    csl_writer_bytes(&w, a->configuration, 32);
    csl_writer_bytes(&w, a->seed_commitment, 32);
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
    a->profile = csl_reader_u8(&r);
    a->nonce = csl_reader_view(&r, CSL_NONCE_BYTES);
    a->software = csl_reader_view(&r, 32);
    a->configuration = csl_reader_view(&r, 32);
    a->seed_commitment = csl_reader_view(&r, 32);
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
    if (l->shared != NULL && memcmp(ours->request, theirs->request, 32) != 0) {
        return csl_fail(&l->diag, CSL_ESTALE,
                        "some client asked %s for another shared session than us, under one id; try again",
                        peer);
    }
    if (memcmp(ours->request, theirs->request, 32) != 0 || theirs->have_weights > 1) {
        return csl_fail(&l->diag, CSL_EPROTO,
                        "%s was asked for another session by the client (batch size, what is revealed, who "
                        "owns the input, or whether batches are announced ahead)",
                        peer);
    }
    if (theirs->profile >= CSL_PROFILE_COUNT) {
        return csl_fail(&l->diag, CSL_EPROTO, "%s names profile %u, which does not exist", peer,
                        theirs->profile);
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

/* K2: fixes our correlations before anybody knows what they will serve. */
static enum csl_err commit_seed(uint8_t out[CSL_DIGEST_BYTES], const struct csl_party_epoch *epoch) {
    static const char label[] = "consilium/correlation-key"; /* its zero byte is part of it */
    struct csl_sha256 h = {0};
    enum csl_err err = csl_sha256_init(&h);
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, (const uint8_t *)label, sizeof label);
    }
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, epoch->id, sizeof epoch->id);
    }
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, epoch->keys.corr_key, sizeof epoch->keys.corr_key);
    }
    if (err == CSL_OK) {
        err = csl_sha256_final(&h, out);
    }
    csl_sha256_clear(&h);
    return err;
}

static void take_said(struct csl_lane *l, struct csl__lane_said *said, unsigned party,
                      const struct agreement *a) {
    memcpy(l->agreed.nonces + (size_t)party * CSL_NONCE_BYTES, a->nonce, CSL_NONCE_BYTES);
    memcpy(said->software, a->software, sizeof said->software);
    memcpy(said->configuration, a->configuration, sizeof said->configuration);
    memcpy(said->seed_commitment, a->seed_commitment, sizeof said->seed_commitment);
}

static enum csl_err compare_each(struct csl_lane *l, const struct agreement *ours,
                                 const uint8_t (*in)[AGREE_BYTES], bool *all_have,
                                 struct csl__lane_said said[CSL_MAX_PARTIES]) {
    *all_have = ours->have_weights == 1;
    take_said(l, &said[l->self], l->self, ours);
    for (unsigned i = 0; i < l->n_parties; i++) {
        if (i != l->self) {
            struct agreement theirs;
            read_agreement(&theirs, in[i]);
            TRY(compare(l, ours, &theirs, csl_roster_party(&l->opt.ctx->roster, i)->name));
            *all_have = *all_have && theirs.have_weights == 1;
            take_said(l, &said[i], i, &theirs);
            if (i == 0) {
                l->stream = theirs.stream;
                l->profile = (enum csl_profile)theirs.profile;
            }
        }
    }
    return CSL_OK;
}

/* Exchanges and compares the records; they hold the nonces, hence the wiping. *all_have: everybody has the
 * masked weights of this package and epoch already. */
static enum csl_err compare_all(struct csl_lane *l, const struct agreement *ours, bool *all_have,
                                struct csl__lane_said said[CSL_MAX_PARTIES]) {
    uint8_t out[AGREE_BYTES], in[CSL_MAX_PARTIES][AGREE_BYTES];
    uint8_t *into[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < CSL_MAX_PARTIES; i++) {
        into[i] = in[i];
    }
    write_agreement(out, ours);
    enum csl_err err = poisoned(l, csl_session_exchange(&l->session, into, out, sizeof out));
    if (err == CSL_OK) {
        err = compare_each(l, ours, (const uint8_t(*)[AGREE_BYTES])in, all_have, said);
    }
    csl_wipe(out, sizeof out);
    csl_wipe(in, sizeof in);
    return err;
}

static enum csl_err agree(struct csl_lane *l, bool *all_have, struct csl__lane_said said[CSL_MAX_PARTIES]) {
    const struct csl_context *ctx = l->opt.ctx;
    struct csl_party_epoch *epoch = l->opt.epoch;
    if (l->self == 0) {
        TRY(csl_stream_allot(&epoch->streams, &l->stream, &l->diag));
    }
    l->opened = csl_store_opened(l->opt.store, l->opt.package, epoch->id);
    uint8_t request[CSL_DIGEST_BYTES], nonce[CSL_NONCE_BYTES], commitment[CSL_DIGEST_BYTES];
    TRY(csl_request_digest(request, &l->opt.request));
    TRY(csl_rand(nonce, sizeof nonce));
    TRY(commit_seed(commitment, epoch));
    struct agreement ours = {.session_id = l->opt.session_id,
                             .roster = ctx->roster_digest,
                             .epoch_id = epoch->id,
                             .package = l->opt.package->digest,
                             .request = request,
                             .stream = l->stream,
                             .have_weights = l->opened != NULL,
                             .profile = l->self == 0 ? (uint8_t)l->profile : 0,
                             .nonce = nonce,
                             .software = ctx->software,
                             .configuration = ctx->configuration,
                             .seed_commitment = commitment};
    enum csl_err err = compare_all(l, &ours, all_have, said);
    csl_wipe(nonce, sizeof nonce);
    TRY(err);
    l->agreed.n_parties = l->n_parties;
    if (l->self != 0) {
        TRY(csl_stream_take(&epoch->streams, l->stream, &l->diag));
    }
    return CSL_OK;
}

/* ---- Masked weights (L1) ---- */

static enum csl_err open_weights(struct csl_lane *l) {
    struct csl_package *p = l->opt.package;
    struct csl_party_epoch *epoch = l->opt.epoch;
    struct csl_model_share share = {0};
    enum csl_err err = csl_package_share(&share, p, l->self, &l->diag);
    if (err == CSL_OK) {
        err = poisoned(l, csl_model_open_weights(&l->session, &share, &epoch->keys, l->mask_id));
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

/* ---- The client, and the owners of parts ---- */

enum csl_err csl__lane_tell(struct csl_lane *l, struct csl_talk *to, Csl__Pb__Part *part, uint32_t number,
                            struct csl_diag *diag) {
    CSL_CONTROL(m, body, SessionReady, SESSION_READY, SESSION_READY, session_ready);
    body.package_digest = csl_bytes(l->opt.package->digest, CSL_DIGEST_BYTES);
    body.epoch_id = csl_bytes(l->opt.epoch->id, CSL_EPOCH_ID_BYTES);
    body.manifest = csl_bytes(l->opt.package->manifest, l->opt.package->n_manifest);
    body.reveal_label = l->opt.request.reveal_label;
    body.part = part;
    body.part_number = number;
    body.manifest_signature = csl_bytes(l->opt.package->signature, CSL_SIGNATURE_BYTES);
    if (l->sign != CSL_SIGN_OFF) {
        body.session = csl_bytes(l->agreed.digest, CSL_DIGEST_BYTES);
    }
    return csl_talk_send(to, &m, diag);
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
        TRY(csl__lane_tell(l, csl__lane_owner(l, i), list[i], (uint32_t)i + 1, &l->diag));
    }
    return CSL_OK;
}

static enum csl_err admit(struct csl_lane *l) {
    CSL_CONTROL(m, body, Admitted, ADMITTED, ADMITTED, admitted);
    return csl_talk_send(&l->client, &m, &l->diag);
}

/* The link that keeps the transcripts, and the session on it. */
static enum csl_err begin_session(struct csl_lane *l) {
    struct csl_audit_link_options ao = {.below = csl_mesh_link_base(l->link),
                                        .ctx = l->opt.ctx,
                                        .sign = l->sign,
                                        .keep_messages = l->keep_views,
                                        .on_cut = csl__lane_keep_inputs,
                                        .on_cut_arg = l};
    TRY(csl_audit_link_new(&l->audit, &ao));
    TRY(csl_session_init(&l->session, csl_audit_link_base(l->audit)));
    l->session_open = true;
    return CSL_OK;
}

/* What a batch takes, once the profile is agreed. */
static enum csl_err plan_batches(struct csl_lane *l) {
    const struct csl_plan *plan = &l->opt.package->plan;
    bool label = l->opt.request.reveal_label;
    struct csl_cost cost;
    TRY(csl_plan_demands(plan, l->profile, label, l->demands, &l->n_demands));
    l->correction_bytes = csl_correction_bytes(l->demands, l->n_demands);
    TRY(csl_plan_cost(plan, &cost, l->n_parties, l->opt.request.max_batch, l->profile, label));
    l->openings = cost.rounds - 1; /* the last one is the output */
    return CSL_OK;
}

enum csl_err csl__lane_open(struct csl_lane *l) {
    if (l->shared == NULL) { /* guests are admitted as they come */
        TRY(admit(l));
    }
    l->parts = l->opt.request.parts;
    TRY(csl_parts_fit(&l->parts, &l->opt.package->plan, &l->diag));
    TRY(csl_mask_id(l->mask_id, l->opt.package->digest, l->opt.epoch->id));
    TRY(csl__lane_connect(l));
    if (l->has_pool) {
        TRY(csl__lane_pool_new(l));
    }
    TRY(begin_session(l));
    bool all_have = false;
    struct csl__lane_said said[CSL_MAX_PARTIES];
    TRY(agree(l, &all_have, said));
    TRY(plan_batches(l));
    if (!all_have) {
        TRY(open_weights(l));
    }
    TRY(csl__lane_agree_statement(l, said));
    csl__lane_making(l);
    if (l->has_pool) {
        csl_pool_begin(l->ahead.pool, &l->making);
    } else {
        TRY(csl_maker_open(&l->maker, &l->diag));
    }
    if (l->shared != NULL) {
        return CSL_OK;
    }
    if (l->has_pool) {
        csl__ahead_begin(l);
    }
    TRY(csl__lane_tell(l, &l->client, NULL, 0, &l->diag));
    return wait_owners(l);
}
