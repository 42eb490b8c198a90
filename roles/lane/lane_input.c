/* The input of a batch (docs/protocol.md I1), from all its owners. */
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "mpc/pack.h"
#include "mpc/share.h"
#include "roles/input_share.h"
#include "roles/lane/lane_internal.h"

/* One owner's share of the batch. */
struct taking {
    struct csl_talk *from;
    uint64_t *x; /* count x each */
    size_t each;
    struct csl_record_input *record;
    bool *closed; /* where it may say goodbye instead */
};

static enum csl_err missent(struct csl_lane *l, const struct taking *t, const char *what) {
    return csl_fail(&l->diag, CSL_EPROTO, "message input: %s %s", t->from->peer, what);
}

/* Keeps what is signed of it, for the checks and the ledger. */
static enum csl_err take_statement(struct csl_lane *l, const struct taking *t, const Csl__Pb__Input *m) {
    bool there = m->statement.len != 0;
    if (l->sign == CSL_SIGN_OFF) {
        return there ? missent(l, t, "signed its input; the roster says audit.sign: off") : CSL_OK;
    }
    if (!there) {
        return missent(l, t, "did not sign its input, as the roster demands");
    }
    memcpy(t->record->salt, m->salt.data, sizeof t->record->salt);
    return csl_signed_copy(&t->record->statement, m->statement.data, m->statement.len, m->signature.data);
}

/* What was sent as our share, for commitments and a view. */
static enum csl_err keep_share(struct csl_lane *l, const struct taking *t, const uint8_t *p, size_t n) {
    if (l->sign == CSL_SIGN_OFF) {
        return CSL_OK;
    }
    t->record->share = csl_secret_alloc(n, 1);
    if (t->record->share == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(t->record->share, p, n);
    t->record->n = n;
    return CSL_OK;
}

static enum csl_err take_seed(struct csl_lane *l, const struct taking *t, const struct csl__batch *b,
                              const Csl__Pb__Input *m) {
    CSL_SECRET(m->seed.data, m->seed.len);
    TRY(keep_share(l, t, m->seed.data, m->seed.len));
    return csl_input_expand(t->x, m->seed.data, b->count, t->each,
                            csl_plan_input_bits(&l->opt.package->plan));
}

/* Whoever announced a batch ahead may have nothing for it in the end. */
static enum csl_err expect_input(struct csl_lane *l, const struct taking *t, csl_control **m) {
    struct csl_frame_in *f;
    TRY(csl_talk_receive(t->from, &f, l->opt.ctx->roster.timeouts.session_idle_ms, &l->diag));
    TRY(csl_talk_decode(t->from, m, f, &l->diag));
    bool goodbye = (*m)->kind_case == CSL__PB__CONTROL__KIND_CLOSE_SESSION;
    if ((*m)->kind_case == CSL__PB__CONTROL__KIND_INPUT) {
        return CSL_OK;
    }
    enum csl_err err = csl_fail(&l->diag, CSL_EPROTO, "%s sent %s where input is due", t->from->peer,
                                csl_message_kind_name((int)(*m)->kind_case));
    *t->closed = goodbye && l->opt.request.ahead && t->from == &l->client;
    csl_message_free(*m);
    return err;
}

static enum csl_err take_message(struct csl_lane *l, const struct taking *t, const struct csl__batch *b) {
    csl_control *m;
    TRY(expect_input(l, t, &m));
    enum csl_err err = CSL_OK;
    if (m->input->batch != b->number) {
        err = csl_fail(&l->diag, CSL_EPROTO, "%s sent the input of batch %u where %u is due", t->from->peer,
                       m->input->batch, b->number);
    } else if ((m->input->seed.len == 0) != l->is_last) {
        err = missent(l, t, l->is_last ? "sent a seed to the last party" : "sent no seed");
    } else {
        err = take_statement(l, t, m->input);
    }
    if (err == CSL_OK && !l->is_last) {
        err = take_seed(l, t, b, m->input);
    }
    csl_message_free(m);
    return err;
}

static enum csl_err take_vector(struct csl_lane *l, const struct taking *t, const struct csl__batch *b) {
    unsigned bits = csl_plan_input_bits(&l->opt.package->plan);
    size_t n = (size_t)b->count * t->each, n_bytes;
    TRY(csl_pack_size(&n_bytes, n, bits));
    struct csl_frame_in *f;
    TRY(csl_talk_expect_data(t->from, &f, b->number, n_bytes, l->opt.ctx->roster.timeouts.session_idle_ms,
                             &l->diag));
    CSL_SECRET(f->payload, f->h.n);
    enum csl_err err = csl_unpack_bits_strict(t->x, f->payload, f->h.n, n, bits, &l->diag);
    if (err == CSL_OK) {
        err = keep_share(l, t, f->payload, f->h.n);
    }
    csl_frame_in_free(f);
    return err;
}

static enum csl_err take(struct csl_lane *l, const struct taking *t, const struct csl__batch *b) {
    t->record->first = 0;
    t->record->count = b->count;
    t->record->each = t->each;
    enum csl_err err = take_message(l, t, b);
    if (err == CSL_OK && l->is_last) {
        err = take_vector(l, t, b);
    }
    if (err == CSL_OK) {
        return CSL_OK;
    }
    TRY(csl__ahead_error(l, &l->diag)); /* which says what it was about */
    /* a peer that has its own may have lost patience first */
    return csl_fail_context(&l->diag, err, "waiting for the input of %s", t->from->peer);
}

/* One owner's boxes into the inputs. */
static enum csl_err take_part(struct csl_lane *l, struct csl__batch *b, size_t part, bool *closed) {
    const struct csl_plan *plan = &l->opt.package->plan;
    size_t n = csl_part_elements(&l->parts.at[part]), whole = csl_plan_n_inputs(plan);
    uint32_t *positions = malloc(2 * n * sizeof *positions);
    struct taking t = {.from = csl__lane_owner(l, part),
                       .x = csl_secret_alloc((size_t)b->count * n, sizeof *t.x),
                       .each = n,
                       .record = &b->record.inputs[part],
                       .closed = closed};
    t.record->owner = l->parts.at[part].owner;
    t.record->part = (uint32_t)part + 1;
    enum csl_err err = positions == NULL || t.x == NULL
                           ? csl_fail(&l->diag, CSL_ENOMEM, "no memory for a batch of %u", b->count)
                           : take(l, &t, b);
    if (err == CSL_OK) {
        csl_part_positions(&l->parts.at[part], plan, positions, positions + n);
        for (uint32_t row = 0; row < b->count; row++) {
            for (size_t i = 0; i < n; i++) {
                b->x[row * whole + positions[n + i]] = t.x[row * n + i];
            }
        }
    }
    free(positions);
    csl_secret_free(t.x);
    return err;
}

enum csl_err csl__lane_input(struct csl_lane *l, struct csl__batch *b, bool *closed) {
    const struct csl_plan *plan = &l->opt.package->plan;
    b->n_x = (size_t)b->count * csl_plan_n_inputs(plan);
    b->n_y = (size_t)b->count * (l->opt.request.reveal_label ? 1 : csl_plan_n_outputs(plan));
    b->x = csl_secret_alloc(b->n_x, sizeof *b->x);
    b->y = csl_secret_alloc(b->n_y, sizeof *b->y);
    if (b->x == NULL || b->y == NULL) {
        return csl_fail(&l->diag, CSL_ENOMEM, "no memory for a batch of %u", b->count);
    }
    b->record.n_inputs = l->parts.n == 0 ? 1 : l->parts.n;
    if (l->parts.n == 0) {
        struct taking t = {.from = &l->client,
                           .x = b->x,
                           .each = csl_plan_n_inputs(plan),
                           .record = &b->record.inputs[0],
                           .closed = closed};
        t.record->owner = l->opt.client;
        TRY(take(l, &t, b));
    }
    for (size_t i = 0; i < l->parts.n; i++) {
        TRY(take_part(l, b, i, closed));
    }
    b->input_ns = csl_monotonic_ns();
    return CSL_OK;
}
