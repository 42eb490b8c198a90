#include "mpc/relu.h"

#include "crypto/secret.h"
#include "mpc/bits_internal.h"
#include "mpc/correlation_internal.h"
#include "mpc/relu_kernels.h"
#include "mpc/ring.h"
#include "mpc/round_internal.h"

#include <string.h>

/* One call's shapes and scratch. Everything of a row is `count` elements, or planes of n_words. */
struct job {
    struct csl_session *s;
    const struct csl__corr_demand *t;
    const struct csl_trunc_params *params;
    const struct csl__relu_kernels *kernels;
    struct csl__products products;
    size_t batch;
    size_t count;
    size_t n_words;
    uint64_t one;      /* a share of the constant 1: 1 at party 0, else 0 */
    uint64_t *c_high;  /* batch x count: c', public */
    uint64_t *x;       /* batch x n_inputs planes: <e_1>.., <l_0>.. */
    uint64_t *b;       /* batch planes: <lt_{D-1}>, then <lt>, then <b> */
    const uint64_t *e; /* batch planes, public */
};

/* T1: c = open([z] + [r] mod 2^l); `add` is a public constant. */
static enum csl_err open_c(struct csl_session *s, uint64_t *c_high, const uint64_t *z, const uint64_t *r,
                           size_t n, const struct csl_trunc_params *t, uint64_t add) {
    unsigned l = t->k + t->f;
    struct csl_round *round = csl_round_begin(s);
    size_t h = csl_round_open_sum(round, z, r, n, l);
    TRY(csl_round_flush(round));
    const uint64_t *c = csl_round_ring(round, h);
    for (size_t i = 0; i < n; i++) {
        c_high[i] = ((c[i] + add) & csl_ring_mask(l)) >> t->f;
    }
    return CSL_OK;
}

/* T2: the inputs of the comparison, from the tables at the public digits of c'. */
static void read_digits(const struct job *j) {
    unsigned n_e = j->products.n_digits - 1, shift = 0;
    for (unsigned digit = 0; digit <= n_e; shift += j->params->digit_bits[digit++]) {
        for (size_t row = 0; row < j->batch; row++) {
            uint64_t *x = j->x + row * j->products.n_inputs * j->n_words;
            uint64_t *lt = digit < n_e ? x + (n_e + digit) * j->n_words : j->b + row * j->n_words;
            uint64_t *eq = digit > 0 ? x + (digit - 1) * j->n_words : NULL;
            j->kernels->read_table(lt, eq, csl__corr_row(j->t, CSL_RELU_TABLE + digit, row),
                                   j->c_high + row * j->count, j->count, shift, j->params->digit_bits[digit],
                                   j->one);
        }
    }
}

/* T3: u = open(<x> ^ <m>), then <lt> is local. With one digit there is nothing to combine, and no round. */
static enum csl_err compare(const struct job *j) {
    if (j->products.n_inputs == 0) {
        return CSL_OK;
    }
    size_t planes = j->batch * j->products.n_inputs;
    struct csl_round *round = csl_round_begin(j->s);
    size_t h = csl_round_open_bits(round, j->x, j->t->data[CSL_RELU_M], planes, j->count);
    TRY(csl_round_flush(round));
    const uint64_t *u = csl_round_bits(round, h);
    for (size_t row = 0; row < j->batch; row++) {
        j->kernels->combine(j->b + row * j->n_words, u + row * j->products.n_inputs * j->n_words,
                            csl__corr_row(j->t, CSL_RELU_M, row), csl__corr_row(j->t, CSL_RELU_PRODUCTS, row),
                            &j->products, j->n_words, 0 - j->one);
    }
    return CSL_OK;
}

/* T4: b = c'_{k-1} ^ s ^ lt is the sign; e = open(<b> ^ <beta>). */
static enum csl_err open_sign(struct job *j) {
    unsigned top = j->params->k - 1u;
    for (size_t row = 0; row < j->batch; row++) {
        uint64_t *b = j->b + row * j->n_words;
        const uint64_t *s = csl__corr_row(j->t, CSL_RELU_S_BIT, row), *c = j->c_high + row * j->count;
        for (size_t w = 0; w < j->n_words; w++) {
            size_t n = j->count - 64 * w < 64 ? j->count - 64 * w : 64;
            uint64_t signs = 0;
            for (size_t i = 0; i < n; i++) {
                signs |= (c[64 * w + i] >> top & 1) << i;
            }
            b[w] ^= s[w] ^ (signs & (0 - j->one));
        }
    }
    struct csl_round *round = csl_round_begin(j->s);
    size_t h = csl_round_open_bits(round, j->b, j->t->data[CSL_RELU_BETA], j->batch, j->count);
    TRY(csl_round_flush(round));
    j->e = csl_round_bits(round, h);
    return CSL_OK;
}

/* T5 */
static void finish(const struct job *j, uint64_t *y) {
    const struct csl__corr_demand *t = j->t;
    bool wrap = t->data[CSL_RELU_S] != NULL;
    for (size_t row = 0; row < j->batch; row++) {
        struct csl__relu_finish f = {
            .c_high = j->c_high + row * j->count,
            .e = j->e + row * j->n_words,
            .beta = csl__corr_row(t, CSL_RELU_BETA_R, row),
            .r_high = csl__corr_row(t, CSL_RELU_R_HIGH, row),
            .r_beta = csl__corr_row(t, CSL_RELU_R_BETA, row),
            .s = wrap ? csl__corr_row(t, CSL_RELU_S, row) : NULL,
            .s_beta = wrap ? csl__corr_row(t, CSL_RELU_S_BETA, row) : NULL,
            .n = j->count,
            .k = j->params->k,
            .out_bits = j->params->out_bits,
            .one = j->one,
        };
        j->kernels->finish(y + row * j->count, &f);
    }
}

static enum csl_err relu(struct csl_session *s, uint64_t *y, const uint64_t *z,
                         const struct csl__corr_demand *t, size_t batch) {
    struct job j = {.s = s,
                    .t = t,
                    .params = &t->demand.trunc,
                    .kernels = csl__relu_kernels_get(),
                    .batch = batch,
                    .count = t->demand.count,
                    .n_words = csl__bits_words(t->demand.count),
                    .one = s->self == 0};
    csl__products_init(&j.products, t->demand.trunc.n_digits);
    size_t n_c = batch * j.count, n_x = batch * j.products.n_inputs * j.n_words, n_b = batch * j.n_words;
    j.c_high = csl__arena_take(&s->scratch, n_c + n_x + n_b);
    if (j.c_high == NULL) {
        return csl_session_fail(s, CSL_ENOMEM, "relu: no memory for %zu elements", n_c);
    }
    j.x = j.c_high + n_c;
    j.b = j.x + n_x;
    TRY(open_c(s, j.c_high, z, t->data[CSL_RELU_R], n_c, j.params, 0));
    read_digits(&j);
    TRY(compare(&j));
    TRY(open_sign(&j));
    finish(&j, y);
    return CSL_OK;
}

/* T6 */
static enum csl_err trunc_signed(struct csl_session *s, uint64_t *y, const uint64_t *z,
                                 const struct csl__corr_demand *t, size_t batch) {
    const struct csl_trunc_params *p = &t->demand.trunc;
    size_t n = batch * t->demand.count;
    unsigned k = p->k;
    uint64_t *c_high = csl__arena_take(&s->scratch, n);
    if (c_high == NULL) {
        return csl_session_fail(s, CSL_ENOMEM, "trunc: no memory for %zu elements", n);
    }
    TRY(open_c(s, c_high, z, t->data[CSL_TRUNC_R], n, p, (uint64_t)1 << (k + p->f - 2)));
    const uint64_t *r_high = t->data[CSL_TRUNC_R_HIGH], *wraps = t->data[CSL_TRUNC_S];
    uint64_t one = s->self == 0, mask = csl_ring_mask(p->out_bits);
    for (size_t i = 0; i < n; i++) {
        uint64_t top_is_zero = (c_high[i] >> (k - 1) & 1) - 1;
        uint64_t wrap = wraps == NULL ? 0 : wraps[i] << k;
        uint64_t public_part = c_high[i] - ((uint64_t)1 << (k - 2));
        y[i] = ((public_part & (0 - one)) - r_high[i] + (wrap & top_is_zero)) & mask;
    }
    return CSL_OK;
}

typedef enum csl_err step_fn(struct csl_session *s, uint64_t *y, const uint64_t *z,
                             const struct csl__corr_demand *t, size_t batch);

static enum csl_err run(struct csl_session *s, uint64_t *y, const uint64_t *z, struct csl_corr *corr,
                        size_t demand, enum csl_demand_kind kind, step_fn *step) {
    struct csl__corr_demand *t;
    enum csl_err err = csl__corr_take(&t, s, corr, demand, kind);
    if (err == CSL_OK) {
        err = step(s, y, z, t, corr->batch);
        csl__arena_reset(&s->scratch);
        csl__corr_done(t);
    }
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
