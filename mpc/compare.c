#include "mpc/compare_internal.h"

#include "crypto/secret.h"
#include "mpc/bits_internal.h"
#include "mpc/round_internal.h"
#include "mpc/threads.h"

#include <string.h>

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
                               .n_inputs = 2 * (t->demand.trunc.n_digits - 1u),
                               .shift = shift,
                               .one = s->self == 0};
    csl__products_init(&j->products, t->demand.trunc.n_digits);
    j->n_inputs += csl__compare_is_wan(j); /* l_{D-1} too */
    size_t n_c = batch * j->count, n_x = batch * j->n_inputs * j->n_words, n_b = batch * j->n_words;
    j->c = csl__arena_take(&s->scratch, n_c + n_extra + n_x + n_b);
    if (j->c == NULL) {
        return csl_session_fail(s, CSL_ENOMEM, "compare: no memory for %zu elements", n_c);
    }
    j->extra = j->c + n_c;
    j->x = j->extra + n_extra;
    j->b = j->x + n_x;
    return CSL_OK;
}

/* ---- over threads ---- */

struct split {
    const struct csl__compare *j;
    csl__range_fn *fn;
    void *arg;
};

static void some_rows(void *arg, size_t first, size_t n) {
    const struct split *s = arg;
    for (size_t row = first; row < first + n; row++) {
        s->fn(s->j, s->arg, row, 0, s->j->count);
    }
}

static void some_words(void *arg, size_t first, size_t n) {
    const struct split *s = arg;
    size_t left = s->j->count - 64 * first;
    s->fn(s->j, s->arg, 0, 64 * first, 64 * n < left ? 64 * n : left);
}

void csl__compare_split(const struct csl__compare *j, csl__range_fn *fn, void *arg, double ns_each) {
    enum { WORDS = 8 };
    struct split s = {j, fn, arg};
    double ns = ns_each * (double)j->batch * (double)j->count;
    if (j->batch == 1) {
        csl__threads_split(some_words, &s, j->n_words, WORDS, ns);
    } else {
        csl__threads_split(some_rows, &s, j->batch, 1, ns);
    }
}

/* ---- steps ---- */

static void read_range(const struct csl__compare *j, void *arg, size_t row, size_t first, size_t n) {
    unsigned n_e = j->params->n_digits - 1u, shift = j->shift;
    uint64_t *x = j->x + row * j->n_inputs * j->n_words + first / 64;
    uint64_t *b = j->b + row * j->n_words + first / 64;
    (void)arg;
    for (unsigned digit = 0; digit <= n_e; shift += j->params->digit_bits[digit++]) {
        unsigned width = j->params->digit_bits[digit];
        uint64_t *lt = n_e + digit < j->n_inputs ? x + (n_e + digit) * j->n_words : b;
        uint64_t *eq = digit > 0 ? x + (digit - 1) * j->n_words : NULL;
        const uint64_t *table = csl__corr_row(j->t, CSL_RELU_TABLE + digit, row);
        table += first << (width > 6 ? width - 6 : 0); /* words an element */
        j->kernels->read_table(lt, eq, table, j->c + row * j->count + first, n, shift, width, j->one);
    }
}

/* T2: the inputs of the comparison, from the tables at the public digits of c'. */
static void read_digits(const struct csl__compare *j) {
    csl__compare_split(j, read_range, NULL, j->params->n_digits);
}

/* T3: u = open(<x> ^ <m>) */
static enum csl_err open_inputs(struct csl__compare *j) {
    _Static_assert((int)CSL_RELU_M == (int)CSL_WAN_M && (int)CSL_RELU_TABLE == (int)CSL_WAN_TABLE,
                   "fields of both forms");
    struct csl_round *round = csl_round_begin(j->s);
    size_t h = csl_round_open_bits(round, j->x, j->t->data[CSL_RELU_M], j->batch * j->n_inputs, j->count);
    TRY(csl_round_flush(round));
    j->u = csl_round_bits(round, h);
    return CSL_OK;
}

/* T3: then <lt> is local. With one digit there is nothing to combine, and no round. */
static enum csl_err combine_digits(struct csl__compare *j) {
    if (j->n_inputs == 0) {
        return CSL_OK;
    }
    TRY(open_inputs(j));
    for (size_t row = 0; row < j->batch; row++) {
        j->kernels->combine(j->b + row * j->n_words, j->u + row * j->n_inputs * j->n_words,
                            csl__corr_row(j->t, CSL_RELU_M, row), csl__corr_row(j->t, CSL_RELU_PRODUCTS, row),
                            &j->products, j->n_words, 0 - j->one);
    }
    return CSL_OK;
}

/* T4: b = c'_{k-1} ^ s ^ lt is the sign; n elements of a row. */
static void sign_range(const struct csl__compare *j, void *arg, size_t row, size_t first, size_t n) {
    enum { WORDS = 64 };
    bool is_relu = j->t->demand.kind == CSL_DEMAND_RELU;
    const uint64_t *c = j->c + row * j->count + first;
    const uint64_t *s = csl__corr_row(j->t, is_relu ? (unsigned)CSL_RELU_S : (unsigned)CSL_RELU_S_BIT, row);
    uint64_t *b = j->b + row * j->n_words + first / 64, tops[WORDS], s_bits[WORDS];
    (void)arg;
    s += is_relu ? first : first / 64;
    for (size_t at = 0; at < n; at += 64 * WORDS, b += WORDS) {
        size_t m = n - at < 64 * WORDS ? n - at : 64 * WORDS;
        j->kernels->gather(tops, c + at, m, j->shift + j->params->k - 1u);
        if (is_relu) { /* the low bits of additive shares are XOR shares */
            j->kernels->gather(s_bits, s + at, m, 0);
        } else {
            memcpy(s_bits, s + at / 64, csl__bits_words(m) * sizeof *s);
        }
        for (size_t w = 0; w < csl__bits_words(m); w++) {
            b[w] ^= s_bits[w] ^ (tops[w] & (0 - j->one));
        }
    }
    csl_wipe(s_bits, csl__bits_words(n < 64 * WORDS ? n : 64 * WORDS) * sizeof *s_bits);
}

/* T4: e = open(<b> ^ <beta>). */
static enum csl_err open_sign(struct csl__compare *j) {
    csl__compare_split(j, sign_range, NULL, 1);
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

enum csl_err csl__compare_inputs(struct csl__compare *j) {
    read_digits(j);
    return open_inputs(j);
}

void csl__compare_select(const struct csl__compare *j, uint64_t *y, const uint64_t *opened,
                         const struct csl__compare_fields *f) {
    const struct csl__corr_demand *t = j->t;
    bool wrap = t->data[CSL_WAN_S_M] != NULL;
    struct csl__relu_select k = {.n_words = j->n_words,
                                 .top_shift = j->shift + j->params->k - 1u,
                                 .n = j->count,
                                 .k = j->params->k,
                                 .out_bits = f->bits,
                                 .one = j->one};
    csl__monomials_init(&k.monomials, j->params->n_digits);
    for (size_t row = 0; row < j->batch; row++) {
        k.c = opened + row * j->count;
        k.top = j->c + row * j->count;
        k.u = j->u + row * j->n_inputs * j->n_words;
        k.s = csl__corr_row(t, CSL_WAN_S, row);
        k.r = csl__corr_row(t, f->r, row);
        k.s_r = csl__corr_row(t, f->s_r, row);
        k.a = csl__corr_row(t, CSL_WAN_A, row);
        k.a_r = csl__corr_row(t, f->a_r, row);
        k.s_m = wrap ? csl__corr_row(t, CSL_WAN_S_M, row) : NULL;
        j->kernels->select(y + row * j->count, &k);
    }
}

enum csl_err csl__step_run(struct csl_session *s, struct csl_corr *corr, size_t demand,
                           enum csl_demand_kind kind, csl__step_fn *step, void *arg) {
    struct csl__corr_demand *t;
    TRY(csl__corr_take(&t, s, corr, demand, kind));
    enum csl_err err = step(s, t, corr->batch, arg);
    if (err == CSL_OK) { /* c is first, and was opened */
        size_t n_c = corr->batch * t->demand.count;
        csl_wipe(s->scratch.words + n_c, (s->scratch.used - n_c) * sizeof *s->scratch.words);
        s->scratch.used = 0;
    } else {
        csl__arena_reset(&s->scratch);
    }
    csl__corr_done(t);
    return err;
}
