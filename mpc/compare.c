#include "mpc/compare_internal.h"

#include "crypto/secret.h"
#include "mpc/bits_internal.h"
#include "mpc/threads.h"

#include <string.h>

enum csl_err csl__compare_init(struct csl__compare *j, struct csl_session *s, struct csl__corr_demand *t,
                               size_t batch, uint64_t *c, bool payload) {
    *j = (struct csl__compare){.s = s,
                               .t = t,
                               .params = &t->demand.trunc,
                               .kernels = csl__relu_kernels_get(),
                               .batch = batch,
                               .count = t->demand.count,
                               .n_words = csl__bits_words(t->demand.count),
                               .n_inputs = 2 * (t->demand.trunc.n_digits - 1u),
                               .one = s->self == 0,
                               .c = c};
    if (csl__compare_is_wan(j)) {
        csl__monomials_init(&j->monomials, t->demand.trunc.n_digits);
        j->n_inputs++; /* l_{D-1} too */
    } else {
        csl__products_init(&j->products, t->demand.trunc.n_digits);
    }
    size_t n = batch * j->count, n_b = csl__compare_is_wan(j) ? 0 : batch * j->n_words;
    size_t n_all = n_b + (c == NULL ? n : 0) + (payload ? n : 0);
    uint64_t *scratch = csl__arena_take(&s->scratch, n_all + 1); /* none would be no pointer */
    if (scratch == NULL) {
        return csl_session_fail(s, CSL_ENOMEM, "compare: no memory for %zu elements", n);
    }
    j->b = scratch;
    scratch += n_b;
    if (c == NULL) {
        j->c = scratch;
        scratch += n;
    }
    j->v = payload ? scratch : NULL;
    return CSL_OK;
}

void csl__compare_done(struct csl__compare *j) { /* c and v were opened */
    csl_wipe(j->b, csl__compare_is_wan(j) ? 0 : j->batch * j->n_words * sizeof *j->b);
    j->s->scratch.used = 0;
}

/* ---- blocks, over threads ---- */

struct walk {
    const struct csl__compare *j;
    csl__block_fn *fn;
    void *arg;
};

static void walk_row(const struct walk *w, size_t row, size_t first, size_t n) {
    for (size_t at = 0; at < n; at += CSL__BLOCK) {
        size_t m = n - at < CSL__BLOCK ? n - at : CSL__BLOCK;
        w->fn(w->j, w->arg, &(struct csl__block){.row = row, .n_rows = 1, .first = first + at, .n = m});
    }
}

static void walk_words(void *arg, size_t first, size_t n) {
    const struct walk *w = arg;
    size_t left = w->j->count - 64 * first;
    walk_row(w, 0, 64 * first, 64 * n < left ? 64 * n : left);
}

static size_t rows_a_block(const struct csl__compare *j) {
    return j->count < CSL__BLOCK ? CSL__BLOCK / j->count : 1;
}

static void walk_rows(void *arg, size_t first, size_t n) {
    const struct walk *w = arg;
    size_t count = w->j->count, together = rows_a_block(w->j);
    for (size_t row = 0; row < n && count > CSL__BLOCK; row++) {
        walk_row(w, first + row, 0, count);
    }
    for (size_t row = 0; row < n && count <= CSL__BLOCK; row += together) {
        size_t m = n - row < together ? n - row : together;
        w->fn(w->j, w->arg, &(struct csl__block){.row = first + row, .n_rows = m, .first = 0, .n = count});
    }
}

void csl__compare_blocks(const struct csl__compare *j, csl__block_fn *fn, void *arg, double ns_each) {
    struct walk w = {j, fn, arg};
    double ns = ns_each * (double)j->batch * (double)j->count;
    if (j->batch == 1) {
        csl__threads_split(walk_words, &w, j->n_words, CSL__BLOCK_WORDS, ns);
    } else {
        csl__threads_split(walk_rows, &w, j->batch, rows_a_block(j), ns);
    }
}

static void wipe_field(const struct csl__compare *j, const struct csl__block *b, unsigned field) {
    const struct csl_field *f = &j->t->fields[field];
    uint64_t *row = csl__corr_row(j->t, field, b->row);
    size_t each = f->row_words / j->count; /* of what is not in planes */
    if (b->n == j->count) {
        csl_wipe(row, b->n_rows * f->row_words * sizeof *row);
    } else if (f->form != CSL_FIELD_PLANES) {
        csl_wipe(row + b->first * each, b->n * each * sizeof *row);
    } else {
        for (size_t p = 0; p < f->planes; p++) {
            csl_wipe(row + p * j->n_words + b->first / 64, csl__bits_words(b->n) * sizeof *row);
        }
    }
}

void csl__compare_wipe(const struct csl__compare *j, const struct csl__block *b, const uint8_t *fields,
                       size_t n_fields) {
    for (size_t i = 0; i < n_fields && j->t->by_blocks; i++) {
        if (j->t->data[fields[i]] != NULL) {
            wipe_field(j, b, fields[i]);
        }
    }
}

void csl__compare_wiped(const struct csl__compare *j, const uint8_t *fields, size_t n_fields) {
    for (size_t i = 0; i < n_fields; i++) {
        csl__corr_wiped(j->t, fields[i]);
    }
}

/* When which fields die; a field that the demand does not have is empty. */
static const uint8_t of_tables[] = {CSL_RELU_TABLE,     CSL_RELU_TABLE + 1, CSL_RELU_TABLE + 2,
                                    CSL_RELU_TABLE + 3, CSL_RELU_TABLE + 4, CSL_RELU_TABLE + 5};
static const uint8_t of_wan_inputs[] = {CSL_WAN_M, CSL_WAN_TABLE, CSL_WAN_TABLE + 1, CSL_WAN_TABLE + 2,
                                        CSL_WAN_TABLE + 3};
static const uint8_t of_sign[] = {CSL_RELU_M, CSL_RELU_PRODUCTS, CSL_RELU_BETA, CSL_RELU_S_BIT};

/* ---- steps ---- */

/* What the opening of c gave, without its low bits. */
static void take_opened(const struct csl__compare *j, const struct csl__block *b) {
    size_t at = b->row * j->count + b->first, n = b->n_rows * b->n;
    csl__opened_ring(&j->opened_c, j->c + at, at, n);
    if (j->cut != 0) {
        j->kernels->shift_out(j->c + at, j->c + at, n, 0, (unsigned)j->opened_c.n_bits, j->cut);
    }
    if (j->v != NULL) {
        csl__opened_ring(&j->opened_v, j->v + at, at, n);
    }
}

/* T2: the inputs of the comparison, from the tables at the public digits of c': planes of words(n), and
 * lt_{D-1} of the lan form, which is no input. */
static void read_tables(const struct csl__compare *j, uint64_t *x, size_t row, const struct csl__block *b) {
    unsigned n_e = j->params->n_digits - 1u, shift = j->shift;
    size_t nw = csl__bits_words(b->n);
    const uint64_t *c = j->c + row * j->count + b->first;
    for (unsigned digit = 0; digit <= n_e; shift += j->params->digit_bits[digit++]) {
        unsigned width = j->params->digit_bits[digit];
        uint64_t *lt =
            n_e + digit < j->n_inputs ? x + (n_e + digit) * nw : j->b + row * j->n_words + b->first / 64;
        uint64_t *eq = digit > 0 ? x + (digit - 1) * nw : NULL;
        const uint64_t *table = csl__corr_row(j->t, CSL_RELU_TABLE + digit, row);
        table += b->first << (width > 6 ? width - 6 : 0); /* words an element */
        j->kernels->read_table(lt, eq, table, c, b->n, shift, width, j->one);
    }
}

/* T4's public part, while c' is at hand. */
static void add_top(const struct csl__compare *j, size_t row, const struct csl__block *b) {
    uint64_t *out = j->b + row * j->n_words + b->first / 64, tops[CSL__BLOCK_WORDS];
    if (j->one != 0) {
        j->kernels->gather(tops, j->c + row * j->count + b->first, b->n, j->shift + j->params->k - 1u);
        for (size_t w = 0; w < csl__bits_words(b->n); w++) {
            out[w] ^= tops[w];
        }
    }
}

/* n bits of a plane, masked: they may be sent. */
static void mask_plane(uint8_t *wire, uint64_t *x, const uint64_t *mask, size_t n) {
    size_t nw = csl__bits_words(n);
    for (size_t w = 0; w < nw; w++) {
        x[w] ^= mask[w];
    }
    x[nw - 1] &= csl__bits_tail(n);
    csl__bits_store(wire, x, n);
}

/* T2 and T3's <x> ^ <m> of a block. */
static void read_block(const struct csl__compare *j, void *arg, const struct csl__block *b) {
    uint64_t x[CSL__MAX_INPUTS * CSL__BLOCK_WORDS];
    size_t nw = csl__bits_words(b->n), row_bytes = csl__bits_bytes(j->count);
    (void)arg;
    take_opened(j, b);
    for (size_t row = b->row; row < b->row + b->n_rows; row++) {
        read_tables(j, x, row, b);
        for (unsigned i = 0; i < j->n_inputs; i++) {
            const uint64_t *m = csl__corr_row(j->t, CSL_RELU_M, row) + i * j->n_words + b->first / 64;
            mask_plane(j->wire + (row * j->n_inputs + i) * row_bytes + b->first / 8, x + i * nw, m, b->n);
        }
        if (!csl__compare_is_wan(j)) {
            add_top(j, row, b);
        }
    }
    if (csl__compare_is_wan(j)) {
        csl__compare_wipe(j, b, of_wan_inputs, sizeof of_wan_inputs);
    } else {
        csl__compare_wipe(j, b, of_tables, sizeof of_tables);
    }
}

static void make_inputs(void *arg, uint8_t *wire) {
    struct csl__compare *j = arg;
    j->wire = wire;
    csl__compare_blocks(j, read_block, NULL, 1.5 + j->params->n_digits);
}

/* T3: u = open(<x> ^ <m>) */
static enum csl_err open_inputs(struct csl__compare *j) {
    _Static_assert((int)CSL_RELU_M == (int)CSL_WAN_M && (int)CSL_RELU_TABLE == (int)CSL_WAN_TABLE,
                   "fields of both forms");
    struct csl_round *round = csl_round_begin(j->s);
    size_t h = csl__round_make_bits(round, j->batch * j->n_inputs, j->count, make_inputs, j);
    TRY(csl_round_flush(round));
    j->u = csl__round_opening(round, h);
    return CSL_OK;
}

/* The opened inputs of a row of a block. */
static void take_inputs(const struct csl__compare *j, uint64_t *u, size_t row, const struct csl__block *b) {
    for (unsigned i = 0; i < j->n_inputs; i++) {
        csl__opened_bits(&j->u, u + i * csl__bits_words(b->n), row * j->n_inputs + i, b->first, b->n);
    }
}

/* T4: b = c'_{k-1} ^ s ^ lt is the sign, and <b> ^ <beta>, which may be sent. */
static void sign_row(const struct csl__compare *j, size_t row, const struct csl__block *b) {
    bool is_relu = j->t->demand.kind == CSL_DEMAND_RELU;
    size_t nw = csl__bits_words(b->n), at = b->first / 64;
    const uint64_t *s = csl__corr_row(j->t, is_relu ? (unsigned)CSL_RELU_S : (unsigned)CSL_RELU_S_BIT, row);
    uint64_t *sign = j->b + row * j->n_words + at, bits[CSL__BLOCK_WORDS];
    if (is_relu) { /* the low bits of additive shares are XOR shares */
        j->kernels->gather(bits, s + b->first, b->n, 0);
    } else {
        memcpy(bits, s + at, nw * sizeof *bits);
    }
    for (size_t w = 0; w < nw; w++) {
        bits[w] ^= sign[w];
    }
    mask_plane(j->wire + row * csl__bits_bytes(j->count) + b->first / 8, bits,
               csl__corr_row(j->t, CSL_RELU_BETA, row) + at, b->n);
}

/* T3: then <lt> is local. With one digit there is nothing to combine. */
static void sign_block(const struct csl__compare *j, void *arg, const struct csl__block *b) {
    uint64_t u[CSL__MAX_INPUTS * CSL__BLOCK_WORDS];
    size_t at = b->first / 64;
    (void)arg;
    if (j->n_inputs == 0) {
        read_block(j, NULL, b);
    }
    for (size_t row = b->row; row < b->row + b->n_rows; row++) {
        if (j->n_inputs != 0) {
            take_inputs(j, u, row, b);
            j->kernels->combine(j->b + row * j->n_words + at, u, csl__corr_row(j->t, CSL_RELU_M, row) + at,
                                csl__corr_row(j->t, CSL_RELU_PRODUCTS, row) + at, &j->products,
                                csl__bits_words(b->n), j->n_words, 0 - j->one);
        }
        sign_row(j, row, b);
    }
    csl__compare_wipe(j, b, of_sign, sizeof of_sign);
}

static void make_sign(void *arg, uint8_t *wire) {
    struct csl__compare *j = arg;
    j->wire = wire;
    csl__compare_blocks(j, sign_block, NULL, j->n_inputs == 0 ? 3 : 1);
}

enum csl_err csl__compare_inputs(struct csl__compare *j) {
    TRY(open_inputs(j));
    csl__compare_wiped(j, of_wan_inputs, sizeof of_wan_inputs);
    return CSL_OK;
}

enum csl_err csl__compare_sign(struct csl__compare *j) {
    if (j->n_inputs != 0) {
        TRY(open_inputs(j));
    }
    struct csl_round *round = csl_round_begin(j->s);
    size_t h = csl__round_make_bits(round, j->batch, j->count, make_sign, j); /* T4 */
    TRY(csl_round_flush(round));
    j->e = csl__round_opening(round, h);
    csl__compare_wiped(j, of_tables, sizeof of_tables);
    csl__compare_wiped(j, of_sign, sizeof of_sign);
    return CSL_OK;
}

void csl__compare_select(const struct csl__compare *j, uint64_t *y, const uint64_t *opened, size_t row,
                         const struct csl__block *b, const struct csl__compare_fields *f) {
    const struct csl__corr_demand *t = j->t;
    uint64_t u[CSL__MAX_INPUTS * CSL__BLOCK_WORDS];
    size_t of_monomials = b->first * j->monomials.n;
    struct csl__relu_select k = {.monomials = j->monomials,
                                 .n_words = csl__bits_words(b->n),
                                 .top_shift = j->shift + j->params->k - 1u,
                                 .n = b->n,
                                 .k = j->params->k,
                                 .out_bits = f->bits,
                                 .one = j->one};
    take_inputs(j, u, row, b);
    k.c = opened + row * j->count + b->first;
    k.top = j->c + row * j->count + b->first;
    k.u = u;
    k.s = csl__corr_row(t, CSL_WAN_S, row) + b->first;
    k.r = csl__corr_row(t, f->r, row) + b->first;
    k.s_r = csl__corr_row(t, f->s_r, row) + b->first;
    k.a = csl__corr_row(t, CSL_WAN_A, row) + of_monomials;
    k.a_r = csl__corr_row(t, f->a_r, row) + of_monomials;
    k.s_m = t->data[CSL_WAN_S_M] == NULL ? NULL : csl__corr_row(t, CSL_WAN_S_M, row) + of_monomials;
    j->kernels->select(y, &k);
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
