/* Batches: the client announces one, correlations are made ready, the input comes, one evaluation, the
 * output. */
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "mpc/pack.h"
#include "mpc/share.h"
#include "roles/lane_internal.h"

static void batch_clear(struct csl__batch *b) {
    csl_corr_free(b->corr);
    csl_secret_free(b->x);
    csl_secret_free(b->y);
    memset(b, 0, sizeof *b);
}

static enum csl_err expect_prepare(struct csl_lane *l, struct csl__batch *b, bool *closed) {
    struct csl_frame_in *f;
    csl_control *m;
    TRY(csl_talk_receive(&l->client, &f, l->opt.ctx->roster.timeouts.session_idle_ms, &l->diag));
    TRY(csl_talk_decode(&l->client, &m, f, &l->diag));
    enum csl_err err = CSL_OK;
    *closed = m->kind_case == CSL__PB__CONTROL__KIND_CLOSE_SESSION;
    if (!*closed && m->kind_case != CSL__PB__CONTROL__KIND_PREPARE) {
        err = csl_fail(&l->diag, CSL_EPROTO, "%s sent %s where prepare is due", l->client.peer,
                       csl_message_kind_name((int)m->kind_case));
    } else if (!*closed &&
               (m->prepare->batch != l->batches + 1 || m->prepare->count > l->opt.request.max_batch)) {
        err = csl_fail(&l->diag, CSL_EPROTO,
                       "%s announced batch %u of %u inputs; batch %llu of at most %u is due", l->client.peer,
                       m->prepare->batch, m->prepare->count, (unsigned long long)l->batches + 1,
                       l->opt.request.max_batch);
    } else if (!*closed) {
        b->number = m->prepare->batch;
        b->count = m->prepare->count;
    }
    csl_message_free(m);
    return err;
}

static enum csl_err give_credit(struct csl_lane *l, const struct csl__batch *b) {
    CSL_CONTROL(m, body, Credit, CREDIT, CREDIT, credit);
    body.batch = b->number;
    body.count = b->count;
    for (size_t i = 0; i < l->parts.n; i++) {
        if (csl__lane_owner(l, i) != &l->client) {
            TRY(csl_talk_send(csl__lane_owner(l, i), &m, &l->diag));
        }
    }
    return csl_talk_send(&l->client, &m, &l->diag);
}

/* ---- The input (I1) ---- */

static enum csl_err input_from_seed(struct csl_lane *l, struct csl_talk *from, uint64_t *x, size_t n,
                                    uint32_t batch, unsigned bits) {
    csl_control *m;
    TRY(csl_talk_expect(from, &m, CSL__PB__CONTROL__KIND_INPUT, l->opt.ctx->roster.timeouts.session_idle_ms,
                        &l->diag));
    enum csl_err err;
    if (m->input->batch != batch) {
        err = csl_fail(&l->diag, CSL_EPROTO, "%s sent the input of batch %u where %u is due", from->peer,
                       m->input->batch, batch);
    } else {
        CSL_SECRET(m->input->seed.data, m->input->seed.len);
        err = csl_share_expand(x, m->input->seed.data, n, bits);
    }
    csl_message_free(m);
    return err;
}

static enum csl_err input_from_vector(struct csl_lane *l, struct csl_talk *from, uint64_t *x, size_t n,
                                      uint32_t batch, unsigned bits) {
    size_t n_bytes;
    TRY(csl_pack_size(&n_bytes, n, bits));
    struct csl_frame_in *f;
    TRY(csl_talk_expect_data(from, &f, batch, n_bytes, l->opt.ctx->roster.timeouts.session_idle_ms,
                             &l->diag));
    CSL_SECRET(f->payload, f->h.n);
    enum csl_err err = csl_unpack_bits_strict(x, f->payload, f->h.n, n, bits, &l->diag);
    csl_frame_in_free(f);
    return err;
}

static enum csl_err input_of(struct csl_lane *l, struct csl_talk *from, uint64_t *x, size_t n,
                             uint32_t batch) {
    unsigned bits = csl_plan_input_bits(&l->opt.package->plan);
    enum csl_err err = l->is_last ? input_from_vector(l, from, x, n, batch, bits)
                                  : input_from_seed(l, from, x, n, batch, bits);
    /* a peer that has its own may have lost patience first */
    return err == CSL_OK ? CSL_OK
                         : csl_fail_context(&l->diag, err, "waiting for the input of %s", from->peer);
}

/* One owner's boxes into the inputs. */
static enum csl_err input_part(struct csl_lane *l, struct csl__batch *b, size_t part) {
    const struct csl_plan *plan = &l->opt.package->plan;
    size_t n = csl_part_elements(&l->parts.at[part]), whole = csl_plan_n_inputs(plan);
    uint32_t *positions = malloc(2 * n * sizeof *positions);
    uint64_t *x = csl_secret_alloc((size_t)b->count * n, sizeof *x);
    enum csl_err err = positions == NULL || x == NULL
                           ? csl_fail(&l->diag, CSL_ENOMEM, "no memory for a batch of %u", b->count)
                           : input_of(l, csl__lane_owner(l, part), x, (size_t)b->count * n, b->number);
    if (err == CSL_OK) {
        csl_part_positions(&l->parts.at[part], plan, positions, positions + n);
        for (uint32_t row = 0; row < b->count; row++) {
            for (size_t i = 0; i < n; i++) {
                b->x[row * whole + positions[n + i]] = x[row * n + i];
            }
        }
    }
    free(positions);
    csl_secret_free(x);
    return err;
}

static enum csl_err take_input(struct csl_lane *l, struct csl__batch *b) {
    const struct csl_plan *plan = &l->opt.package->plan;
    b->n_x = (size_t)b->count * csl_plan_n_inputs(plan);
    b->n_y = (size_t)b->count * (l->opt.request.reveal_label ? 1 : csl_plan_n_outputs(plan));
    b->x = csl_secret_alloc(b->n_x, sizeof *b->x);
    b->y = csl_secret_alloc(b->n_y, sizeof *b->y);
    if (b->x == NULL || b->y == NULL) {
        return csl_fail(&l->diag, CSL_ENOMEM, "no memory for a batch of %u", b->count);
    }
    if (l->parts.n == 0) {
        TRY(input_of(l, &l->client, b->x, b->n_x, b->number));
    }
    for (size_t i = 0; i < l->parts.n; i++) {
        TRY(input_part(l, b, i));
    }
    b->input_ns = csl_monotonic_ns();
    return CSL_OK;
}

/* ---- The evaluation and the output (O1) ---- */

static uint64_t sent_to(const struct csl_lane *l, unsigned peer) {
    return csl_mesh_link_counters(l->link, CSL_LANE_SLOT_ONLINE)->peer[peer].bytes_sent;
}

/* A client that announces a batch to one party and another, or none, to the next makes honest parties miss
 * each other's messages: whoever reads the error should know. */
static void first_round_failed(struct csl_lane *l, const struct csl__batch *b, enum csl_err err) {
    struct csl_diag seen = l->diag;
    (void)csl_fail(&l->diag, err,
                   "%.300s; it is the first round of batch %u (%u inputs): unless %s told every "
                   "party the same, the fault may be its own",
                   seen.text, b->number, b->count, l->client.peer);
}

static enum csl_err evaluate(struct csl_lane *l, struct csl__batch *b) {
    uint64_t before[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < l->n_parties; i++) {
        before[i] = sent_to(l, i);
    }
    uint32_t rounds = l->session.stats.rounds;
    enum csl_err err = csl_infer(&l->session, b->y, &l->opt.package->plan, &l->opened->share, b->corr, b->x,
                                 CSL_PROFILE_LAN, l->opt.request.reveal_label);
    if (err != CSL_OK) {
        l->diag = l->session.diag;
        if (l->session.stats.rounds == rounds && (err == CSL_EPROTO || err == CSL_ETIMEOUT)) {
            first_round_failed(l, b, err);
        }
        return err;
    }
    b->rounds = l->session.stats.rounds - rounds;
    for (unsigned i = 0; i < l->n_parties; i++) {
        uint64_t n = sent_to(l, i) - before[i];
        b->online_bytes += n;
        b->max_link_bytes = n > b->max_link_bytes ? n : b->max_link_bytes;
    }
    return CSL_OK;
}

static enum csl_err send_output(struct csl_lane *l, struct csl__batch *b) {
    const struct csl_plan *plan = &l->opt.package->plan;
    bool label = l->opt.request.reveal_label;
    unsigned bits = label ? csl_plan_label_bits(plan) : csl_plan_output_bits(plan);
    unsigned cut = label ? 0 : plan->output_cut;
    size_t n;
    csl_output_cut(b->y, b->y, b->n_y, bits, cut);
    TRY(csl_pack_size(&n, b->n_y, bits - cut));
    uint8_t *packed = csl_secret_alloc(n, 1);
    if (packed == NULL) {
        return CSL_ENOMEM;
    }
    csl_pack_bits(packed, b->y, b->n_y, bits - cut);
    CSL_PUBLIC(packed, n); /* to its one recipient */
    enum csl_err err = csl_talk_send_data(&l->client, b->number, packed, n, &l->diag);
    csl_secret_free(packed);
    b->output_ns = csl_monotonic_ns();
    b->online_bytes += CSL_FRAME_HEADER_BYTES + n;
    return err;
}

static enum csl_err report(struct csl_lane *l, const struct csl__batch *b) {
    CSL_CONTROL(m, body, BatchDone, BATCH_DONE, BATCH_DONE, batch_done);
    const struct csl_mesh_counters *setup = csl_mesh_link_counters(l->link, CSL_LANE_SLOT_SETUP);
    body.batch = b->number;
    body.rounds = b->rounds;
    body.online_bytes = b->online_bytes;
    body.offline_bytes = b->offline_bytes;
    for (unsigned i = 0; i < l->n_parties; i++) {
        body.setup_bytes += setup->peer[i].bytes_sent;
    }
    body.input_ns = b->input_ns;
    body.output_ns = b->output_ns;
    body.max_link_bytes = b->max_link_bytes;
    return csl_talk_send(&l->client, &m, &l->diag);
}

static enum csl_err serve_one(struct csl_lane *l, struct csl__batch *b, bool *closed) {
    TRY(expect_prepare(l, b, closed));
    if (*closed) {
        return CSL_OK;
    }
    TRY(csl__lane_prepare(l, b));
    TRY(give_credit(l, b));
    TRY(take_input(l, b));
    TRY(evaluate(l, b));
    TRY(send_output(l, b));
    TRY(report(l, b));
    l->batches++;
    l->inferences += b->count;
    return CSL_OK;
}

enum csl_err csl__lane_serve(struct csl_lane *l) {
    const struct csl_plan *plan = &l->opt.package->plan;
    size_t n_input;
    TRY(csl_pack_size(&n_input, (size_t)l->opt.request.max_batch * csl_plan_n_inputs(plan),
                      csl_plan_input_bits(plan)));
    csl_talk_allow_data(&l->client, l->is_last ? n_input : 0);
    for (size_t i = 0; i < l->parts.n; i++) {
        csl_talk_allow_data(csl__lane_owner(l, i), l->is_last ? n_input : 0);
    }
    csl_mesh_link_set_slot(l->link, CSL_LANE_SLOT_ONLINE);
    bool closed = false;
    while (!closed) {
        struct csl__batch b = {0};
        enum csl_err err = serve_one(l, &b, &closed);
        batch_clear(&b); /* after a failure too: what was drawn is gone */
        TRY(err);
    }
    return CSL_OK;
}
