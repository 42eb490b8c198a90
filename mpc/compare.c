#include "mpc/compare_internal.h"

#include "mpc/bits_internal.h"
#include "mpc/round_internal.h"

enum csl_err csl__compare_init(struct csl__compare *j, struct csl_session *s,
                               const struct csl__corr_demand *t, size_t batch, unsigned shift,
                               size_t n_extra) {
    *j = (struct csl__compare){.s = s,
                               .t = t,
                               .params = &t->demand.trunc,
                               .kernels = csl__relu_kernels_get(),
                               .batch = batch,
                               .count = t->demand.count,
                               .n_words = csl__bits_words(t->demand.count),
                               .shift = shift,
                               .one = s->self == 0};
    csl__products_init(&j->products, t->demand.trunc.n_digits);
    size_t n_c = batch * j->count, n_x = batch * j->products.n_inputs * j->n_words, n_b = batch * j->n_words;
    j->c = csl__arena_take(&s->scratch, n_c + n_extra + n_x + n_b);
    if (j->c == NULL) {
        return csl_session_fail(s, CSL_ENOMEM, "compare: no memory for %zu elements", n_c);
    }
    j->extra = j->c + n_c;
    j->x = j->extra + n_extra;
    j->b = j->x + n_x;
    return CSL_OK;
}

/* T2: the inputs of the comparison, from the tables at the public digits of c'. */
static void read_digits(const struct csl__compare *j) {
    unsigned n_e = j->products.n_digits - 1, shift = j->shift;
    for (unsigned digit = 0; digit <= n_e; shift += j->params->digit_bits[digit++]) {
        for (size_t row = 0; row < j->batch; row++) {
            uint64_t *x = j->x + row * j->products.n_inputs * j->n_words;
            uint64_t *lt = digit < n_e ? x + (n_e + digit) * j->n_words : j->b + row * j->n_words;
            uint64_t *eq = digit > 0 ? x + (digit - 1) * j->n_words : NULL;
            j->kernels->read_table(lt, eq, csl__corr_row(j->t, CSL_RELU_TABLE + digit, row),
                                   j->c + row * j->count, j->count, shift, j->params->digit_bits[digit],
                                   j->one);
        }
    }
}

/* T3: u = open(<x> ^ <m>), then <lt> is local. With one digit there is nothing to combine, and no round. */
static enum csl_err combine_digits(const struct csl__compare *j) {
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
static enum csl_err open_sign(struct csl__compare *j) {
    unsigned top = j->shift + j->params->k - 1u;
    for (size_t row = 0; row < j->batch; row++) {
        uint64_t *b = j->b + row * j->n_words;
        const uint64_t *s = csl__corr_row(j->t, CSL_RELU_S_BIT, row), *c = j->c + row * j->count;
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

enum csl_err csl__compare_sign(struct csl__compare *j) {
    read_digits(j);
    TRY(combine_digits(j));
    return open_sign(j);
}

enum csl_err csl__step_run(struct csl_session *s, struct csl_corr *corr, size_t demand,
                           enum csl_demand_kind kind, csl__step_fn *step, void *arg) {
    struct csl__corr_demand *t;
    TRY(csl__corr_take(&t, s, corr, demand, kind));
    enum csl_err err = step(s, t, corr->batch, arg);
    csl__arena_reset(&s->scratch);
    csl__corr_done(t);
    return err;
}
