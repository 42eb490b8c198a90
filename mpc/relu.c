#include "mpc/relu.h"

#include "crypto/secret.h"
#include "mpc/compare_internal.h"
#include "mpc/pack.h"
#include "mpc/ring.h"
#include "mpc/threads.h"

struct operands {
    uint64_t *y;
    const uint64_t *z;
};

/* ---- T1: c = open(([z] >> shift) + [r] mod 2^(k + g)) ---- */

struct masking {
    struct csl__corr_demand *t;
    const struct csl__relu_kernels *kernels;
    const uint64_t *z;
    size_t n;
    uint64_t centre;
    unsigned bits, shift;
    uint8_t *wire;
};

static void mask_part(void *arg, size_t first, size_t n) {
    const struct masking *m = arg;
    uint64_t c[CSL__BLOCK], *r = m->t->data[CSL_RELU_R] + first;
    for (size_t at = 0; at < n; at += CSL__BLOCK) {
        size_t nb = n - at < CSL__BLOCK ? n - at : CSL__BLOCK;
        /* what z holds above l bits ends above `bits` */
        m->kernels->shift_out(c, m->z + first + at, nb, m->centre, 64, m->shift);
        csl_add_mod(c, c, r + at, nb, m->bits);
        csl_pack_bits(m->wire + (first + at) / 8 * m->bits, c, nb, m->bits);
        if (m->t->by_blocks) {
            csl_wipe(r + at, nb * sizeof *r);
        }
    }
}

static void make_c(void *arg, uint8_t *wire) {
    struct masking *m = arg;
    m->wire = wire;
    csl__threads_split(mask_part, m, m->n, CSL__BLOCK, 1.5 * (double)m->n);
}

static enum csl_err open_c(struct csl_session *s, struct csl__opening *c, const uint64_t *z,
                           struct csl__corr_demand *t, size_t n) {
    _Static_assert((int)CSL_RELU_R == (int)CSL_TRUNC_R && (int)CSL_RELU_R == (int)CSL_WAN_R, "one field");
    const struct csl_demand *d = &t->demand;
    unsigned low = csl_demand_low_bits(d), shift = d->trunc.f - low;
    struct masking m = {.t = t,
                        .kernels = csl__relu_kernels_get(),
                        .z = z,
                        .n = n,
                        .centre = s->self == 0 ? s->n_parties * (((uint64_t)1 << shift) - 1) / 2 : 0,
                        .bits = d->trunc.k + low,
                        .shift = shift};
    struct csl_round *round = csl_round_begin(s);
    size_t h = csl__round_make_ring(round, n, m.bits, make_c, &m);
    TRY(csl_round_flush(round));
    csl__corr_wiped(t, CSL_RELU_R);
    *c = csl__round_opening(round, h);
    return CSL_OK;
}

/* ---- ReLU ---- */

static const uint8_t of_finish[] = {CSL_RELU_BETA_R, CSL_RELU_R_HIGH, CSL_RELU_R_BETA, CSL_RELU_S,
                                    CSL_RELU_S_BETA};
static const uint8_t of_select[] = {CSL_WAN_S, CSL_WAN_R_HIGH, CSL_WAN_S_R,
                                    CSL_WAN_A, CSL_WAN_A_R,    CSL_WAN_S_M};

/* T5 */
static void finish_row(const struct csl__compare *j, uint64_t *y, size_t row, const struct csl__block *b) {
    const struct csl__corr_demand *t = j->t;
    bool wrap = t->data[CSL_RELU_S_BETA] != NULL;
    uint64_t e[CSL__BLOCK_WORDS];
    csl__opened_bits(&j->e, e, row, b->first, b->n);
    struct csl__relu_finish f = {
        .c_high = j->c + row * j->count + b->first,
        .e = e,
        .beta = csl__corr_row(t, CSL_RELU_BETA_R, row) + b->first,
        .r_high = csl__corr_row(t, CSL_RELU_R_HIGH, row) + b->first,
        .r_beta = csl__corr_row(t, CSL_RELU_R_BETA, row) + b->first,
        .s = wrap ? csl__corr_row(t, CSL_RELU_S, row) + b->first : NULL,
        .s_beta = wrap ? csl__corr_row(t, CSL_RELU_S_BETA, row) + b->first : NULL,
        .n = b->n,
        .k = j->params->k,
        .out_bits = j->params->out_bits,
        .one = j->one,
    };
    j->kernels->finish(y + row * j->count + b->first, &f);
}

static void finish_block(const struct csl__compare *j, void *arg, const struct csl__block *b) {
    for (size_t row = b->row; row < b->row + b->n_rows; row++) {
        finish_row(j, arg, row, b);
    }
    csl__compare_wipe(j, b, of_finish, sizeof of_finish);
}

/* T8 */
static void select_block(const struct csl__compare *j, void *arg, const struct csl__block *b) {
    const struct csl__compare_fields f = {CSL_WAN_R_HIGH, CSL_WAN_S_R, CSL_WAN_A_R, j->params->out_bits};
    uint64_t *y = arg;
    for (size_t row = b->row; row < b->row + b->n_rows; row++) {
        csl__compare_select(j, y + row * j->count + b->first, j->c, row, b, &f);
    }
    csl__compare_wipe(j, b, of_select, sizeof of_select);
}

/* z is done with when c is opened, so y holds c meanwhile. */
static enum csl_err relu(struct csl_session *s, struct csl__corr_demand *t, size_t batch, void *arg) {
    const struct operands *o = arg;
    struct csl__compare j;
    TRY(csl__compare_init(&j, s, t, batch, o->y, false));
    j.cut = csl_demand_low_bits(&t->demand);
    TRY(open_c(s, &j.opened_c, o->z, t, batch * j.count));
    if (csl__compare_is_wan(&j)) {
        TRY(csl__compare_inputs(&j));
        csl__compare_blocks(&j, select_block, o->y, 20);
        csl__compare_wiped(&j, of_select, sizeof of_select);
    } else {
        TRY(csl__compare_sign(&j));
        csl__compare_blocks(&j, finish_block, o->y, 1.5);
        csl__compare_wiped(&j, of_finish, sizeof of_finish);
    }
    csl__compare_done(&j);
    return CSL_OK;
}

/* ---- T6 ---- */

struct truncation {
    const struct csl__corr_demand *t;
    struct csl__opening c;
    uint64_t *y, one;
};

static void finish_trunc(const struct truncation *o, size_t first, size_t n) {
    const struct csl_trunc_params *p = &o->t->demand.trunc;
    unsigned k = p->k, low = csl_demand_low_bits(&o->t->demand);
    uint64_t c_high[CSL__BLOCK], *y = o->y + first, mask = csl_ring_mask(p->out_bits);
    const uint64_t *r_high = o->t->data[CSL_TRUNC_R_HIGH] + first;
    const uint64_t *wraps = o->t->data[CSL_TRUNC_S];
    csl__opened_ring(&o->c, c_high, first, n);
    csl__relu_kernels_get()->shift_out(c_high, c_high, n, (uint64_t)1 << (k + low - 2), k + low, low);
    for (size_t i = 0; i < n; i++) {
        uint64_t top_is_zero = (c_high[i] >> (k - 1) & 1) - 1;
        uint64_t wrap = wraps == NULL ? 0 : wraps[first + i] << k;
        uint64_t public_part = c_high[i] - ((uint64_t)1 << (k - 2));
        y[i] = ((public_part & (0 - o->one)) - r_high[i] + (wrap & top_is_zero)) & mask;
    }
}

static void trunc_part(void *arg, size_t first, size_t n) {
    const struct truncation *o = arg;
    for (size_t at = first; at < first + n; at += CSL__BLOCK) {
        size_t nb = first + n - at < CSL__BLOCK ? first + n - at : CSL__BLOCK;
        finish_trunc(o, at, nb);
        for (unsigned field = CSL_TRUNC_R_HIGH; field <= CSL_TRUNC_S && o->t->by_blocks; field++) {
            if (o->t->data[field] != NULL) {
                csl_wipe(o->t->data[field] + at, nb * sizeof(uint64_t));
            }
        }
    }
}

static enum csl_err trunc_signed(struct csl_session *s, struct csl__corr_demand *t, size_t batch, void *arg) {
    const struct operands *o = arg;
    struct truncation j = {.t = t, .y = o->y, .one = s->self == 0};
    size_t n = batch * t->demand.count;
    TRY(open_c(s, &j.c, o->z, t, n));
    csl__threads_split(trunc_part, &j, n, CSL__BLOCK, 2 * (double)n);
    csl__corr_wiped(t, CSL_TRUNC_R_HIGH);
    csl__corr_wiped(t, CSL_TRUNC_S);
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
