/* What the party should have sent: csl_infer over a link that feeds what it received. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "mpc/pack.h"
#include "mpc/share.h"
#include "roles/judge/replay_internal.h"

/* ---- The link ---- */

struct feed {
    struct csl_link base;
    const struct csl_record *record;
    struct csl_session *session;
    uint32_t round;     /* of the batch, from 1 on */
    bool shape_differs; /* the plan needs other messages than the view has */
    bool differs;
    struct csl_round_place place; /* of the first difference */
};

/* The first bit in which a and b differ, or 8 n. */
static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t n) {
    size_t i = 0;
    while (i < n && a[i] == b[i]) {
        i++;
    }
    size_t bit = 8 * i;
    while (i < n && (((a[i] ^ b[i]) >> (bit % 8)) & 1) == 0) {
        bit++;
    }
    return bit;
}

static enum csl_err exchange(struct csl_link *link, uint8_t *const in[CSL_MAX_PARTIES], uint32_t round,
                             const uint8_t *out, size_t n, struct csl_diag *diag) {
    struct feed *f = (struct feed *)link;
    (void)round;
    if (f->round == f->record->n_rounds || f->record->rounds[f->round].n != n) {
        f->shape_differs = true;
        return csl_fail(diag, CSL_EPROTO, "the view has no such message");
    }
    const struct csl_record_round *k = &f->record->rounds[f->round++];
    size_t bit = first_difference(k->messages[link->self], out, n);
    if (bit != 8 * n) {
        f->differs = true;
        (void)csl_round_locate(&f->session->round, &f->place, bit);
        return csl_fail(diag, CSL_EAUTH, "another message was sent");
    }
    for (unsigned p = 0; p < link->n_parties; p++) {
        if (p != link->self) {
            memcpy(in[p], k->messages[p], n);
        }
    }
    return CSL_OK;
}

static const struct csl_link_ops ops = {.exchange = exchange};

/* ---- Names of rounds ---- */

static size_t rounds_of(const struct csl_demand *d) {
    bool compares = d->kind != CSL_DEMAND_LINEAR && d->kind != CSL_DEMAND_TRUNC;
    return !compares ? 1 : d->trunc.n_digits > 1 ? 3 : 2;
}

static size_t levels_of(const struct csl_step *step) {
    size_t n = 0;
    for (size_t m = (size_t)step->shape.kernel_h * step->shape.kernel_w; m > 1; m -= m / 2) {
        n++;
    }
    return n;
}

static size_t demands_of(const struct csl_step *step) {
    switch (step->kind) {
    case CSL_STEP_LINEAR:
    case CSL_STEP_RELU:
    case CSL_STEP_TRUNC:
    case CSL_STEP_PWL:
        return 1;
    case CSL_STEP_MAX:
        return levels_of(step);
    default:
        return 0;
    }
}

/* The step that takes demand number `demand`; NULL: the arg-max. */
static const struct csl_step *step_of(const struct csl_plan *plan, size_t demand) {
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        size_t n = demands_of(&plan->steps[i]);
        if (demand < n) {
            return &plan->steps[i];
        }
        demand -= n;
    }
    return NULL;
}

/* Which opening of a demand it is; the steps of docs/protocol.md. */
static const char *opening_name(const struct csl_demand *d, size_t round, size_t handle) {
    if (d->kind == CSL_DEMAND_LINEAR) {
        return "D, the masked input of the layer (L3)";
    }
    if (d->kind == CSL_DEMAND_TRUNC) {
        return "c, the masked value of a truncation (T6)";
    }
    bool is_max = d->kind == CSL_DEMAND_MAX || d->kind == CSL_DEMAND_ARGMAX;
    if (round == 0) {
        return handle != 0 ? "v, the masked class number (M2)"
               : is_max    ? "c, the masked difference of a comparison (M)"
                           : "c, the masked value (T1)";
    }
    if (round + 1 < rounds_of(d)) {
        return is_max ? "u, masked digits of a comparison (M, T3)" : "u, masked digits (T3)";
    }
    return is_max ? "e, the masked sign of a comparison (M, T4)" : "e, the masked sign (T4)";
}

static void name_fault(struct csl_replay *r, const struct csl_record *b, const struct feed *f) {
    struct csl_replay_fault *fault = &r->fault;
    size_t round = f->round - 1, demand = 0;
    while (demand + 1 < r->n_demands && round >= rounds_of(&r->demands[demand])) {
        round -= rounds_of(&r->demands[demand++]);
    }
    const struct csl_step *step = step_of(&r->manifest.plan, demand);
    size_t each = f->place.n / b->count; /* elements or rows of one inference */
    each = each == 0 ? 1 : each;
    *fault = (struct csl_replay_fault){.found = true, .batch = b->batch, .round = f->round};
    (void)snprintf(fault->step, sizeof fault->step, "%s", step != NULL ? step->name : "arg-max");
    (void)snprintf(fault->what, sizeof fault->what, "%s",
                   opening_name(&r->demands[demand], round, f->place.handle));
    fault->inference = f->place.element / each + 1;
    fault->element =
        f->place.is_bits ? f->place.element % each * f->place.n_bits + f->place.bit : f->place.element % each;
}

/* ---- The batch ---- */

static enum csl_err make_correlations(struct csl_replay *r, const struct csl_record *b,
                                      struct csl_corr **corr, struct csl_diag *diag) {
    TRY(csl_corr_new(corr, r->demands, r->n_demands, r->n_parties, r->self, b->count, diag));
    for (uint32_t row = 0; row < b->count; row++) {
        const uint8_t *chunk = r->is_last ? b->corrections + (size_t)row * b->n_corrections : NULL;
        TRY(csl_corr_expand(*corr, row, b->seeds + (size_t)row * CSL_INDEX_SEED_BYTES, chunk,
                            r->is_last ? b->n_corrections : 0, diag));
    }
    return csl_infer_prepare(*corr, &r->share, diag);
}

/* One output: y, n_y values of the rows of request i, or of the batch. */
struct answer {
    size_t i;
    uint32_t first, rows;
    const uint64_t *y;
    size_t n_y;
    unsigned bits; /* of each as it is sent */
};

static bool is_signed(const struct csl_replay *r, const struct csl_record *b, const struct answer *a,
                      const uint8_t committed[CSL_DIGEST_BYTES]) {
    const struct csl_signed *s = &b->outputs[a->i].statement;
    const struct csl_record_request *of = &b->inputs[a->i].request;
    Csl__Audit__OutputStatement *m = NULL;
    bool is = csl_statement_verify(CSL_STATEMENT_OUTPUT, s->statement, s->n, s->signature,
                                   CSL_SIGNATURE_BYTES, r->member->sign_key, NULL) == CSL_OK &&
              csl_output_statement_decode(&m, s->statement, s->n, NULL) == CSL_OK &&
              csl__is_digest(&m->session, r->view->record.digest) && m->party == r->self &&
              m->batch == b->batch && m->count == a->rows && csl__is_digest(&m->commitment, committed) &&
              m->request == of->number &&
              (of->number == 0 || memcmp(m->guest.data, of->guest, CSL_GUEST_ID_BYTES) == 0);
    csl_statement_free(m);
    return is;
}

static enum csl_err compare_output(struct csl_replay *r, const struct csl_record *b, const struct answer *a) {
    const struct csl_record_output *out = &b->outputs[a->i];
    uint8_t committed[CSL_DIGEST_BYTES];
    size_t n;
    TRY(csl_pack_size(&n, a->n_y, a->bits));
    uint8_t *packed = csl_secret_alloc(n, 1);
    if (packed == NULL) {
        return CSL_ENOMEM;
    }
    csl_pack_bits(packed, a->y, a->n_y, a->bits);
    size_t bit = n == out->n ? first_difference(packed, out->share, n) : 0;
    csl_secret_free(packed);
    TRY(csl_output_commit(committed, out->salt, out->share, out->n));
    if (!is_signed(r, b, a, committed)) {
        return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, b->batch,
                         "the view's output share is not the one that %s signed", r->opt.party);
    }
    r->report->signatures++;
    if (n == out->n && bit == 8 * n) {
        return CSL_OK;
    }
    size_t each = a->n_y / a->rows, element = bit / a->bits;
    r->fault = (struct csl_replay_fault){.found = true,
                                         .batch = b->batch,
                                         .step = "output",
                                         .what = "the output share (O1)",
                                         .inference = a->first + element / each + 1,
                                         .element = element % each};
    return CSL__STOP(r, CSL_VERDICT_ATTRIBUTABLE, r->opt.party, b->batch,
                     "%s committed to an output share that does not follow from what it received: inference "
                     "%zu, element %zu",
                     r->opt.party, r->fault.inference, r->fault.element);
}

static enum csl_err compare_outputs(struct csl_replay *r, const struct csl_record *b, uint64_t *y,
                                    size_t n_y) {
    const struct csl_plan *plan = &r->manifest.plan;
    bool label = r->view->request.reveal_label;
    unsigned bits = label ? csl_plan_label_bits(plan) : csl_plan_output_bits(plan);
    unsigned cut = label ? 0 : plan->output_cut;
    size_t each = n_y / b->count;
    csl_output_cut(y, y, n_y, bits, cut);
    for (size_t i = 0; i < b->n_outputs; i++) {
        struct answer a = {.i = i, .rows = b->count, .bits = bits - cut};
        if (r->statement->shared) {
            a.first = b->inputs[i].first;
            a.rows = b->inputs[i].count;
        }
        a.y = y + a.first * each;
        a.n_y = a.rows * each;
        CSL__CHECK(r, compare_output(r, b, &a));
    }
    return CSL_OK;
}

static enum csl_err judge(struct csl_replay *r, const struct csl_record *b, const struct feed *f,
                          enum csl_err err, uint64_t *y, size_t n_y) {
    if (f->differs) {
        name_fault(r, b, f);
        const struct csl_replay_fault *x = &r->fault;
        return CSL__STOP(r, CSL_VERDICT_ATTRIBUTABLE, r->opt.party, b->batch,
                         "%s signed a wrong message: batch %u, round %u (%s: %s), inference %zu, element %zu",
                         r->opt.party, b->batch, x->round, x->step, x->what, x->inference, x->element);
    }
    if (f->shape_differs || err == CSL_EPROTO || (err == CSL_OK && f->round != b->n_rounds)) {
        return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, b->batch,
                         "the view's messages are not those of the plan (round %u)", f->round + 1);
    }
    TRY(err);
    return compare_outputs(r, b, y, n_y);
}

enum csl_err csl__replay_run(struct csl_replay *r, const struct csl_record *b, const uint64_t *x,
                             struct csl_diag *diag) {
    const struct csl_plan *plan = &r->manifest.plan;
    bool label = r->view->request.reveal_label;
    size_t n_y = (size_t)b->count * (label ? 1 : csl_plan_n_outputs(plan));
    struct csl_session s;
    struct feed f = {.base = {.ops = &ops, .n_parties = r->n_parties, .self = r->self}, .record = b};
    struct csl_corr *corr = NULL;
    f.session = &s;
    uint64_t *y = csl_secret_alloc(n_y, sizeof *y);
    if (y == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = make_correlations(r, b, &corr, diag);
    if (err == CSL_EPROTO) { /* of corrections: padding */
        err = CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, b->batch,
                        "the view's corrections cannot be decoded");
    } else if (err == CSL_OK) {
        err = csl_session_init(&s, &f.base);
        if (err == CSL_OK) {
            err = csl_infer(&s, y, plan, &r->share, corr, x, (enum csl_profile)r->statement->profile, label);
            err = judge(r, b, &f, err, y, n_y);
            if (err != CSL_OK) {
                (void)csl_fail(diag, err, "%s", s.diag.text);
            }
        }
        csl_session_clear(&s);
    }
    csl_corr_free(corr);
    csl_secret_free(y);
    return err;
}
