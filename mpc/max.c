/* Steps M1, M2 and T8: max(a, b) = b + keep (a - b), keep from the sign of a - b. */
#include "mpc/compare_internal.h"
#include "mpc/relu.h"

#include "crypto/secret.h"
#include "mpc/ring.h"

struct operands {
    uint64_t *y, *yp; /* yp, ap, bp: NULL for a maximum alone */
    const uint64_t *a, *ap, *b, *bp;
};

/* M1, M2: c = open([a] - [b] + [r] mod 2^l) and, in the same round, v = open([ap] - [bp] + [P]). */
static enum csl_err open_differences(const struct csl__compare *j, uint64_t *v, const struct operands *o) {
    size_t n = j->batch * j->count, h_v = 0;
    unsigned l = j->params->out_bits, bits = j->t->demand.bits;
    struct csl_round *round = csl_round_begin(j->s);
    csl_sub_mod(j->c, o->a, o->b, n, l);
    size_t h = csl_round_open_sum(round, j->c, j->t->data[CSL_RELU_R], n, l);
    if (o->yp != NULL) {
        bool wan = csl__compare_is_wan(j);
        csl_sub_mod(v, o->ap, o->bp, n, bits);
        h_v = csl_round_open_sum(round, v, j->t->data[wan ? (int)CSL_WAN_P : (int)CSL_MAX_P], n, bits);
    }
    TRY(csl_round_flush(round));
    csl_reduce_mod(j->c, csl_round_ring(round, h), n, l);
    if (o->yp != NULL) {
        csl_reduce_mod(v, csl_round_ring(round, h_v), n, bits);
    }
    return CSL_OK;
}

/* y = other + keep (opened - mask), mod 2^bits: T5 without the wrap. */
static void take_larger(const struct csl__compare *j, uint64_t *y, const uint64_t *other,
                        const uint64_t *opened, unsigned mask, unsigned mask_beta, unsigned bits) {
    const struct csl__corr_demand *t = j->t;
    uint64_t *kept = j->extra; /* y may be `other` */
    for (size_t row = 0; row < j->batch; row++) {
        struct csl__relu_finish f = {
            .c_high = opened + row * j->count,
            .e = j->e + row * j->n_words,
            .beta = csl__corr_row(t, CSL_MAX_BETA_R, row),
            .r_high = csl__corr_row(t, mask, row),
            .r_beta = csl__corr_row(t, mask_beta, row),
            .n = j->count,
            .k = j->params->k,
            .out_bits = bits,
            .one = j->one,
        };
        j->kernels->finish(kept + row * j->count, &f);
    }
    csl_add_mod(y, other, kept, j->batch * j->count, bits);
}

/* T8 for a maximum: no wrap. */
static void select_larger(const struct csl__compare *j, const struct operands *o, const uint64_t *v) {
    const struct csl_demand *d = &j->t->demand;
    size_t n = j->batch * j->count;
    uint64_t *kept = j->extra;
    csl__compare_select(
        j, kept, j->c, &(struct csl__compare_fields){CSL_WAN_R, CSL_WAN_S_R, CSL_WAN_A_R, d->trunc.out_bits});
    csl_add_mod(o->y, o->b, kept, n, d->trunc.out_bits);
    if (o->yp != NULL) {
        csl__compare_select(j, kept, v,
                            &(struct csl__compare_fields){CSL_WAN_P, CSL_WAN_S_P, CSL_WAN_A_P, d->bits});
        csl_add_mod(o->yp, o->bp, kept, n, d->bits);
    }
}

static enum csl_err max_step(struct csl_session *s, const struct csl__corr_demand *t, size_t batch,
                             void *arg) {
    const struct operands *o = arg;
    struct csl__compare j;
    size_t n = batch * t->demand.count;
    TRY(csl__compare_init(&j, s, t, batch, t->demand.trunc.f, o->yp == NULL ? n : 2 * n));
    uint64_t *v = j.extra + n; /* of the payload only */
    TRY(open_differences(&j, v, o));
    if (csl__compare_is_wan(&j)) {
        TRY(csl__compare_inputs(&j));
        select_larger(&j, o, v);
        return CSL_OK;
    }
    TRY(csl__compare_sign(&j));
    take_larger(&j, o->y, o->b, j.c, CSL_RELU_R, CSL_MAX_R_BETA, t->demand.trunc.out_bits);
    if (o->yp != NULL) {
        take_larger(&j, o->yp, o->bp, v, CSL_MAX_P, CSL_MAX_P_BETA, t->demand.bits);
    }
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
