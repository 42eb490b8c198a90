/* Batches: the client announces one, correlations are made ready, the input comes, one evaluation, the
 * output. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "mpc/pack.h"
#include "mpc/share.h"
#include "roles/daemon/logbook.h"
#include "roles/lane/lane_internal.h"

void csl__batch_clear(struct csl__batch *b) {
    csl_corr_free(b->corr);
    csl_secret_free(b->x);
    csl_secret_free(b->y);
    csl_record_clear(&b->record);
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
        b->record.batch = b->number;
        b->record.count = b->count;
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

/* ---- The evaluation and the output (O1) ---- */

static uint64_t sent_to(const struct csl_lane *l, unsigned peer) {
    return csl_mesh_link_counters(l->link, CSL_LANE_SLOT_ONLINE)->peer[peer].bytes_sent;
}

/* Whoever told parties different things before a batch makes honest ones miss each other's messages: whoever
 * reads the error should know. */
static void first_round_failed(struct csl_lane *l, const struct csl__batch *b, enum csl_err err) {
    struct csl_diag seen = l->diag;
    bool shared = l->shared != NULL;
    (void)csl_fail(&l->diag, err,
                   "%.300s; it is the first round of batch %u (%u inputs): unless %s told every "
                   "party the same, the fault may be %s",
                   seen.text, b->number, b->count, shared ? "each party" : l->client.peer,
                   shared ? "another's" : "its own");
}

enum csl_err csl__lane_evaluate(struct csl_lane *l, struct csl__batch *b) {
    uint64_t before[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < l->n_parties; i++) {
        before[i] = sent_to(l, i);
    }
    uint32_t rounds = l->session.stats.rounds;
    enum csl_err err = csl_infer(&l->session, b->y, &l->opt.package->plan, &l->opened->share, b->corr, b->x,
                                 l->profile, l->opt.request.reveal_label);
    if (err != CSL_OK) {
        l->diag = l->session.diag;
        if (l->session.stats.rounds == rounds && (err == CSL_EPROTO || err == CSL_ETIMEOUT)) {
            first_round_failed(l, b, err);
        }
        return err;
    }
    if (!csl_audit_link_ended(l->audit)) { /* else an output would leave that nobody signed for */
        return csl_fail(&l->diag, CSL_EINTERNAL, "batch %u ended before its %u openings", b->number,
                        l->openings);
    }
    b->rounds = l->session.stats.rounds - rounds;
    for (unsigned i = 0; i < l->n_parties; i++) {
        uint64_t n = sent_to(l, i) - before[i];
        b->online_bytes += n;
        b->max_link_bytes = n > b->max_link_bytes ? n : b->max_link_bytes;
    }
    return CSL_OK;
}

enum csl_err csl__lane_pack_output(struct csl_lane *l, struct csl__batch *b, size_t i, uint32_t first,
                                   uint32_t count) {
    const struct csl_plan *plan = &l->opt.package->plan;
    bool label = l->opt.request.reveal_label;
    unsigned bits = label ? csl_plan_label_bits(plan) : csl_plan_output_bits(plan);
    unsigned cut = label ? 0 : plan->output_cut;
    size_t each = b->n_y / b->count, n_y = count * each, n;
    uint64_t *y = b->y + first * each;
    struct csl_record_output *out = &b->record.outputs[i];
    csl_output_cut(y, y, n_y, bits, cut);
    TRY(csl_pack_size(&n, n_y, bits - cut));
    out->share = csl_secret_alloc(n, 1); /* stays, for its commitment */
    if (out->share == NULL) {
        return csl_fail(&l->diag, CSL_ENOMEM, "no memory for an output of %u", count);
    }
    out->n = n;
    csl_pack_bits(out->share, y, n_y, bits - cut);
    CSL_PUBLIC(out->share, n); /* to its one recipient */
    b->online_bytes += CSL_FRAME_HEADER_BYTES + n;
    return CSL_OK;
}

enum csl_err csl__lane_send_output(struct csl__batch *b, size_t i, struct csl_talk *to, uint32_t seq,
                                   struct csl_diag *diag) {
    const struct csl_record_output *out = &b->record.outputs[i];
    enum csl_err err = csl_talk_send_data(to, seq, out->share, out->n, diag);
    b->output_ns = csl_monotonic_ns();
    return err;
}

void csl__lane_count_signatures(const struct csl_lane *l, struct csl__batch *b) {
    enum { EACH = CSL_FRAME_HEADER_BYTES + CSL_SIGNATURE_BYTES };
    if (l->sign == CSL_SIGN_AFTER_OUTPUT) {
        b->online_bytes += (uint64_t)EACH * (l->n_parties - 1);
        b->max_link_bytes += EACH;
    }
}

enum csl_err csl__lane_report(struct csl_lane *l, const struct csl__batch *b, size_t i, struct csl_talk *to,
                              uint32_t seq, struct csl_diag *diag) {
    CSL_CONTROL(m, body, BatchDone, BATCH_DONE, BATCH_DONE, batch_done);
    const struct csl_mesh_counters *setup = csl_mesh_link_counters(l->link, CSL_LANE_SLOT_SETUP);
    const struct csl_record_output *o = &b->record.outputs[i];
    body.batch = seq;
    body.rounds = b->rounds;
    body.online_bytes = b->online_bytes;
    body.offline_bytes = b->offline_bytes;
    for (unsigned p = 0; p < l->n_parties; p++) {
        body.setup_bytes += setup->peer[p].bytes_sent;
    }
    body.input_ns = b->input_ns;
    body.output_ns = b->output_ns;
    body.max_link_bytes = b->max_link_bytes;
    body.profile = (uint32_t)l->profile;
    if (l->sign != CSL_SIGN_OFF) {
        body.salt = csl_bytes(o->salt, sizeof o->salt);
        body.statement = csl_bytes(o->statement.statement, o->statement.n);
        body.signature = csl_bytes(o->statement.signature, CSL_SIGNATURE_BYTES);
    }
    return csl_talk_send(to, &m, diag);
}

struct verifying {
    struct csl_lane *l;
    struct csl__batch *b;
};

/* Before the output: of the inputs, too. */
static enum csl_err verify_inputs(void *arg, struct csl_diag *diag) {
    const struct verifying *v = arg;
    enum csl_err err = csl__lane_verify_inputs(v->l, v->b);
    *diag = v->l->diag;
    return err;
}

/* Correlations for the next batch, and everything else that needs no input. */
static enum csl_err prepare(struct csl_lane *l, struct csl__batch *b, bool *closed) {
    if (l->has_pool) {
        TRY(csl__ahead_prepare(l, b, closed));
    } else {
        TRY(expect_prepare(l, b, closed));
    }
    if (*closed) {
        return CSL_OK;
    }
    TRY(csl_logbook_check(l->opt.ctx, &l->diag)); /* nothing runs unlogged */
    if (!l->has_pool) {
        TRY(csl__lane_prepare(l, b));
    }
    TRY(csl_audit_link_begin(l->audit, &b->record, l->openings));
    TRY(give_credit(l, b));
    csl_infer_warm(&l->opened->share);
    return CSL_OK;
}

static enum csl_err take_input(struct csl_lane *l, struct csl__batch *b, bool *closed) {
    enum csl_err err = csl__lane_input(l, b, closed);
    return *closed ? CSL_OK : err;
}

static enum csl_err serve_one(struct csl_lane *l, struct csl__batch *b, bool *closed) {
    TRY(prepare(l, b, closed));
    if (!*closed) {
        TRY(take_input(l, b, closed));
    }
    if (*closed) {
        return CSL_OK;
    }
    csl_audit_link_check(l->audit, verify_inputs, &(struct verifying){l, b});
    TRY(csl__lane_evaluate(l, b));
    b->record.n_outputs = 1;
    TRY(csl__lane_pack_output(l, b, 0, 0, b->count));
    l->ahead.answered = b->number; /* the next announcement may come as soon as it is out */
    TRY(csl__lane_send_output(b, 0, &l->client, b->number, &l->diag));
    (void)sched_yield(); /* a peer's lane on this core may have its output still to send */
    if (l->sign != CSL_SIGN_OFF) {
        enum csl_err err = csl__lane_sign_output(l, b, 0);
        if (err != CSL_OK) {
            csl__lane_log_cut(l, b);
            return err;
        }
    }
    csl__lane_count_signatures(l, b);
    enum csl_err told = csl__lane_report(l, b, 0, &l->client, b->number, &l->diag);
    struct csl_diag why = l->diag;
    enum csl_err logged =
        csl__lane_log_batch(l, b); /* the output is out, whether the client is there or not */
    if (told != CSL_OK) {
        l->diag = why;
        return told;
    }
    TRY(logged);
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
        csl__batch_clear(&b); /* after a failure too: what was drawn is gone */
        TRY(err);
    }
    return l->has_pool ? csl__ahead_drain(l) : CSL_OK;
}
