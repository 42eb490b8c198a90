/* Steps M1, M2 and T8: max(a, b) = b + keep (a - b), keep from the sign of a - b. */
#include "mpc/compare_internal.h"
#include "mpc/relu.h"

#include "crypto/secret.h"
#include "mpc/pack.h"
#include "mpc/ring.h"
#include "mpc/threads.h"

struct operands {
    uint64_t *y, *yp; /* yp, ap, bp: NULL for a maximum alone */
    const uint64_t *a, *ap, *b, *bp;
};

/* ---- M1, M2: c = open([a] - [b] + [r] mod 2^l) and, in the same round, v = open([ap] - [bp] + [P]) ---- */

struct masking {
    const uint64_t *a, *b, *mask;
    size_t n;
    unsigned bits;
    uint8_t *wire;
};

static void mask_part(void *arg, size_t first, size_t n) {
    const struct masking *m = arg;
    uint64_t c[CSL__BLOCK];
    for (size_t at = first; at < first + n; at += CSL__BLOCK) {
        size_t nb = first + n - at < CSL__BLOCK ? first + n - at : CSL__BLOCK;
        csl_sub_mod(c, m->a + at, m->b + at, nb, m->bits);
        csl_add_mod(c, c, m->mask + at, nb, m->bits);
        csl_pack_bits(m->wire + at / 8 * m->bits, c, nb, m->bits);
    }
}

static void make_differences(void *arg, uint8_t *wire) {
    struct masking *m = arg;
    m->wire = wire;
    csl__threads_split(mask_part, m, m->n, CSL__BLOCK, 1.5 * (double)m->n);
}

static enum csl_err open_differences(struct csl__compare *j, const struct operands *o) {
    size_t n = j->batch * j->count, h_v = 0;
    unsigned p = csl__compare_is_wan(j) ? (unsigned)CSL_WAN_P : (unsigned)CSL_MAX_P;
    struct masking c = {
        .a = o->a, .b = o->b, .mask = j->t->data[CSL_RELU_R], .n = n, .bits = j->params->out_bits};
    struct masking v = {.a = o->ap, .b = o->bp, .mask = j->t->data[p], .n = n, .bits = j->t->demand.bits};
    struct csl_round *round = csl_round_begin(j->s);
    size_t h = csl__round_make_ring(round, n, c.bits, make_differences, &c);
    if (o->yp != NULL) {
        h_v = csl__round_make_ring(round, n, v.bits, make_differences, &v);
    }
    TRY(csl_round_flush(round));
    j->opened_c = csl__round_opening(round, h);
    if (o->yp != NULL) {
        j->opened_v = csl__round_opening(round, h_v);
    }
    return CSL_OK;
}

/* ---- what is taken ---- */

static const uint8_t of_finish[] = {CSL_RELU_R, CSL_MAX_BETA_R, CSL_MAX_R_BETA, CSL_MAX_P, CSL_MAX_P_BETA};
static const uint8_t of_select[] = {CSL_WAN_R, CSL_WAN_P,   CSL_WAN_S,   CSL_WAN_S_R,
                                    CSL_WAN_A, CSL_WAN_A_R, CSL_WAN_S_P, CSL_WAN_A_P};

/* keep (opened - mask) of a row of a block, mod 2^bits: T5 without the wrap. */
static void keep_row(const struct csl__compare *j, uint64_t *kept, size_t row, const struct csl__block *b,
                     const uint64_t *opened, unsigned mask, unsigned mask_beta, unsigned bits) {
    const struct csl__corr_demand *t = j->t;
    uint64_t e[CSL__BLOCK_WORDS];
    csl__opened_bits(&j->e, e, row, b->first, b->n);
    struct csl__relu_finish f = {
        .c_high = opened + row * j->count + b->first,
        .e = e,
        .beta = csl__corr_row(t, CSL_MAX_BETA_R, row) + b->first,
        .r_high = csl__corr_row(t, mask, row) + b->first,
        .r_beta = csl__corr_row(t, mask_beta, row) + b->first,
        .n = b->n,
        .k = j->params->k,
        .out_bits = bits,
        .one = j->one,
    };
    j->kernels->finish(kept, &f);
}

/* y = b + keep (a - b), and the payload before it, since y may hold c. */
static void take_larger(const struct csl__compare *j, void *arg, const struct csl__block *b) {
    const struct operands *o = arg;
    unsigned l = j->params->out_bits, bits = j->t->demand.bits;
    uint64_t kept[CSL__BLOCK];
    for (size_t row = b->row; row < b->row + b->n_rows; row++) {
        size_t at = row * j->count + b->first;
        if (o->yp != NULL) {
            keep_row(j, kept, row, b, j->v, CSL_MAX_P, CSL_MAX_P_BETA, bits);
            csl_add_mod(o->yp + at, o->bp + at, kept, b->n, bits);
        }
        keep_row(j, kept, row, b, j->c, CSL_RELU_R, CSL_MAX_R_BETA, l);
        csl_add_mod(o->y + at, o->b + at, kept, b->n, l);
    }
    csl__compare_wipe(j, b, of_finish, sizeof of_finish);
    csl_wipe(kept, b->n * sizeof *kept);
}

/* T8 for a maximum: no wrap. */
static void select_larger(const struct csl__compare *j, void *arg, const struct csl__block *b) {
    const struct operands *o = arg;
    unsigned l = j->params->out_bits, bits = j->t->demand.bits;
    uint64_t kept[CSL__BLOCK];
    for (size_t row = b->row; row < b->row + b->n_rows; row++) {
        size_t at = row * j->count + b->first;
        if (o->yp != NULL) {
            csl__compare_select(j, kept, j->v, row, b,
                                &(struct csl__compare_fields){CSL_WAN_P, CSL_WAN_S_P, CSL_WAN_A_P, bits});
            csl_add_mod(o->yp + at, o->bp + at, kept, b->n, bits);
        }
        csl__compare_select(j, kept, j->c, row, b,
                            &(struct csl__compare_fields){CSL_WAN_R, CSL_WAN_S_R, CSL_WAN_A_R, l});
        csl_add_mod(o->y + at, o->b + at, kept, b->n, l);
    }
    csl__compare_wipe(j, b, of_select, sizeof of_select);
    csl_wipe(kept, b->n * sizeof *kept);
}

/* a is done with when c is opened, so y holds c meanwhile where it is not b. */
static enum csl_err max_step(struct csl_session *s, struct csl__corr_demand *t, size_t batch, void *arg) {
    struct operands *o = arg;
    struct csl__compare j;
    TRY(csl__compare_init(&j, s, t, batch, o->y != o->b ? o->y : NULL, o->yp != NULL));
    j.shift = t->demand.trunc.f;
    TRY(open_differences(&j, o));
    if (csl__compare_is_wan(&j)) {
        TRY(csl__compare_inputs(&j));
        csl__compare_blocks(&j, select_larger, o, 20);
        csl__compare_wiped(&j, of_select, sizeof of_select);
    } else {
        TRY(csl__compare_sign(&j));
        csl__compare_blocks(&j, take_larger, o, 2);
        csl__compare_wiped(&j, of_finish, sizeof of_finish);
    }
    csl__compare_done(&j);
    return CSL_OK;
}

static enum csl_err run(struct csl_session *s, struct operands *o, struct csl_corr *corr, size_t demand,
                        enum csl_demand_kind kind) {
    enum csl_err err = csl__step_run(s, corr, demand, kind, max_step, o);
    const struct csl_demand *d = csl_corr_demand(corr, demand);
    if (err != CSL_OK && d != NULL && d->kind == kind) {
        csl_wipe(o->y, corr->batch * d->count * sizeof *o->y);
        if (o->yp != NULL) {
            csl_wipe(o->yp, corr->batch * d->count * sizeof *o->yp);
        }
    }
    return err;
}

enum csl_err csl_max(struct csl_session *s, uint64_t *y, const uint64_t *a, const uint64_t *b,
                     struct csl_corr *corr, size_t demand) {
    struct operands o = {.y = y, .a = a, .b = b};
    return run(s, &o, corr, demand, CSL_DEMAND_MAX);
}

enum csl_err csl_argmax_step(struct csl_session *s, uint64_t *y, uint64_t *yp, const uint64_t *a,
                             const uint64_t *ap, const uint64_t *b, const uint64_t *bp, struct csl_corr *corr,
                             size_t demand) {
    struct operands o = {y, yp, a, ap, b, bp};
    return run(s, &o, corr, demand, CSL_DEMAND_ARGMAX);
}
