#include "mpc/relu.h"

#include "crypto/secret.h"
#include "mpc/compare_internal.h"
#include "mpc/ring.h"
#include "mpc/round_internal.h"

#include <string.h>

/* T1: c = open(([z] >> shift) + [r] mod 2^(k + g)); `add` is a public constant. */
static enum csl_err open_c(struct csl_session *s, uint64_t *c_high, const uint64_t *z, const uint64_t *r,
                           size_t n, const struct csl_demand *d, uint64_t add) {
    unsigned low = csl_demand_low_bits(d), shift = d->trunc.f - low, bits = d->trunc.k + low;
    uint64_t centre = s->self == 0 ? s->n_parties * (((uint64_t)1 << shift) - 1) / 2 : 0;
    const struct csl__relu_kernels *kernels = csl__relu_kernels_get();
    kernels->shift_out(c_high, z, n, centre, 64, shift); /* what z holds above l bits ends above `bits` */
    struct csl_round *round = csl_round_begin(s);
    size_t h = csl_round_open_sum(round, c_high, r, n, bits);
    TRY(csl_round_flush(round));
    kernels->shift_out(c_high, csl_round_ring(round, h), n, add, bits, low);
    return CSL_OK;
}

struct operands {
    uint64_t *y;
    const uint64_t *z;
};

/* T5 */
static void finish_range(const struct csl__compare *j, void *arg, size_t row, size_t first, size_t n) {
    const struct csl__corr_demand *t = j->t;
    bool wrap = t->data[CSL_RELU_S_BETA] != NULL;
    uint64_t *y = arg;
    struct csl__relu_finish f = {
        .c_high = j->c + row * j->count + first,
        .e = j->e + row * j->n_words + first / 64,
        .beta = csl__corr_row(t, CSL_RELU_BETA_R, row) + first,
        .r_high = csl__corr_row(t, CSL_RELU_R_HIGH, row) + first,
        .r_beta = csl__corr_row(t, CSL_RELU_R_BETA, row) + first,
        .s = wrap ? csl__corr_row(t, CSL_RELU_S, row) + first : NULL,
        .s_beta = wrap ? csl__corr_row(t, CSL_RELU_S_BETA, row) + first : NULL,
        .n = n,
        .k = j->params->k,
        .out_bits = j->params->out_bits,
        .one = j->one,
    };
    j->kernels->finish(y + row * j->count + first, &f);
}

static enum csl_err relu(struct csl_session *s, const struct csl__corr_demand *t, size_t batch, void *arg) {
    const struct operands *o = arg;
    struct csl__compare j;
    TRY(csl__compare_init(&j, s, t, batch, 0, 0));
    TRY(open_c(s, j.c, o->z, t->data[CSL_RELU_R], batch * j.count, &t->demand, 0));
    if (csl__compare_is_wan(&j)) {
        const struct csl__compare_fields f = {CSL_WAN_R_HIGH, CSL_WAN_S_R, CSL_WAN_A_R, j.params->out_bits};
        TRY(csl__compare_inputs(&j));
        csl__compare_select(&j, o->y, j.c, &f); /* T8 */
        return CSL_OK;
    }
    TRY(csl__compare_sign(&j));
    csl__compare_split(&j, finish_range, o->y, 1);
    return CSL_OK;
}

/* T6 */
static enum csl_err trunc_signed(struct csl_session *s, const struct csl__corr_demand *t, size_t batch,
                                 void *arg) {
    const struct operands *o = arg;
    const struct csl_trunc_params *p = &t->demand.trunc;
    size_t n = batch * t->demand.count;
    unsigned k = p->k;
    uint64_t *c_high = csl__arena_take(&s->scratch, n);
    if (c_high == NULL) {
        return csl_session_fail(s, CSL_ENOMEM, "trunc: no memory for %zu elements", n);
    }
    unsigned low = csl_demand_low_bits(&t->demand);
    TRY(open_c(s, c_high, o->z, t->data[CSL_TRUNC_R], n, &t->demand, (uint64_t)1 << (k + low - 2)));
    const uint64_t *r_high = t->data[CSL_TRUNC_R_HIGH], *wraps = t->data[CSL_TRUNC_S];
    uint64_t one = s->self == 0, mask = csl_ring_mask(p->out_bits);
    for (size_t i = 0; i < n; i++) {
        uint64_t top_is_zero = (c_high[i] >> (k - 1) & 1) - 1;
        uint64_t wrap = wraps == NULL ? 0 : wraps[i] << k;
        uint64_t public_part = c_high[i] - ((uint64_t)1 << (k - 2));
        o->y[i] = ((public_part & (0 - one)) - r_high[i] + (wrap & top_is_zero)) & mask;
    }
    return CSL_OK;
}

static enum csl_err run(struct csl_session *s, uint64_t *y, const uint64_t *z, struct csl_corr *corr,
                        size_t demand, enum csl_demand_kind kind, csl__step_fn *step) {
    struct operands o = {y, z};
    enum csl_err err = csl__step_run(s, corr, demand, kind, step, &o);
    const struct csl_demand *d = csl_corr_demand(corr, demand);
    if (err != CSL_OK && d != NULL && d->kind == kind) {
        csl_wipe(y, corr->batch * d->count * sizeof *y);
    }
    return err;
}

enum csl_err csl_relu(struct csl_session *s, uint64_t *y, const uint64_t *z, struct csl_corr *corr,
                      size_t demand) {
    return run(s, y, z, corr, demand, CSL_DEMAND_RELU, relu);
}

enum csl_err csl_trunc(struct csl_session *s, uint64_t *y, const uint64_t *z, struct csl_corr *corr,
                       size_t demand) {
    return run(s, y, z, corr, demand, CSL_DEMAND_TRUNC, trunc_signed);
}
