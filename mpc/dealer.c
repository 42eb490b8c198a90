#include "mpc/dealer.h"

#include "crypto/secret.h"
#include "mpc/bits_internal.h"
#include "mpc/correlation_internal.h"
#include "mpc/ring.h"

#include <string.h>

/* ---- value functions: the dealt fields from the own fields ---- */

/* out[i] = bit i of a plane */
static void spread(uint64_t *out, const uint64_t *plane, size_t n) {
    for (size_t i = 0; i < n; i++) {
        out[i] = plane[i / 64] >> (i % 64) & 1;
    }
}

/* Bit i of the plane = bit `shift` of in[i]. */
static void gather(uint64_t *plane, const uint64_t *in, size_t n, unsigned shift) {
    memset(plane, 0, csl__bits_words(n) * sizeof *plane);
    for (size_t i = 0; i < n; i++) {
        plane[i / 64] |= (in[i] >> shift & 1) << (i % 64);
    }
}

/* T2: bit v of the element is [v < digit], the digit at `shift` of r. */
static void table_values(uint64_t *out, const uint64_t *r, size_t n, unsigned shift, unsigned width) {
    uint64_t mask = csl_ring_mask(width);
    for (size_t i = 0; i < n; i++) {
        out[i] = ((uint64_t)1 << (r[i] >> shift & mask)) - 1;
    }
}

/* The same of more than 64 bits: word w of the element holds bits 64w..64w+63. Words outermost, or compilers
 * split their loop at the digit. */
static void wide_table_values(uint64_t *out, const uint64_t *r, size_t n, unsigned shift, unsigned width) {
    uint64_t mask = csl_ring_mask(width), n_words = (uint64_t)1 << (width - 6);
    for (uint64_t w = 0; w < n_words; w++) {
        for (size_t i = 0; i < n; i++) {
            uint64_t digit = r[i] >> shift & mask;
            uint64_t below = 0 - ((w - (digit >> 6)) >> 63);      /* w < digit / 64 */
            uint64_t here = 0 - (((w ^ (digit >> 6)) - 1) >> 63); /* w = digit / 64 */
            out[i * n_words + w] = below | (here & (((uint64_t)1 << (digit & 63)) - 1));
        }
    }
}

/* T3: the product of the masks of every set with more than one member. */
static void product_values(uint64_t *out, const uint64_t *m, const struct csl__products *p, size_t n_words) {
    unsigned n_e = p->n_digits - 1;
    for (size_t w = 0; w < n_words; w++) {
        uint64_t e[CSL__MAX_SETS] = {UINT64_MAX};
        for (unsigned set = 1; set < 1u << n_e; set++) {
            unsigned last = (unsigned)__builtin_ctz(set);
            e[set] = e[set & (set - 1)] & m[last * n_words + w];
            if (p->e_plane[set] >= p->n_inputs) {
                out[(p->e_plane[set] - p->n_inputs) * n_words + w] = e[set];
            }
        }
        for (unsigned low = 0; low < n_e; low++) {
            for (unsigned set = 1u << low; set < 1u << n_e; set += 1u << low) {
                uint64_t l = m[(n_e + low) * n_words + w];
                out[(p->l_plane[low][set] - p->n_inputs) * n_words + w] = e[set] & l;
            }
        }
        csl_wipe(e, sizeof e);
    }
}

/* out = a b; out may be one of them, or empty */
static void times(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n) {
    for (size_t i = 0; out != NULL && i < n; i++) {
        out[i] = a[i] * b[i];
    }
}

/* out[i] = bit k-1 of r'; out is [s] and may be empty (out_bits = k) */
static void top_bit(uint64_t *out, const uint64_t *r_high, size_t n, unsigned k) {
    for (size_t i = 0; out != NULL && i < n; i++) {
        out[i] = r_high[i] >> (k - 1) & 1;
    }
}

/* T2..T4: tables, products of masks, <s>. */
static void sign_values(uint64_t *const data[CSL_MAX_FIELDS], const struct csl_demand *d) {
    const struct csl_trunc_params *t = &d->trunc;
    unsigned low = csl_demand_low_bits(d);
    for (unsigned j = 0, shift = low; j < t->n_digits; shift += t->digit_bits[j++]) {
        table_values(data[CSL_RELU_TABLE + j], data[CSL_RELU_R], d->count, shift, t->digit_bits[j]);
    }
    struct csl__products p;
    csl__products_init(&p, t->n_digits);
    if (p.n_products != 0) {
        product_values(data[CSL_RELU_PRODUCTS], data[CSL_RELU_M], &p, csl__bits_words(d->count));
    }
    if (data[CSL_RELU_S_BIT] != NULL) {
        gather(data[CSL_RELU_S_BIT], data[CSL_RELU_R], d->count, t->k + low - 1u);
    }
}

/* T5 */
static void relu_values(uint64_t *const data[CSL_MAX_FIELDS], const struct csl_demand *d) {
    const struct csl_trunc_params *t = &d->trunc;
    size_t n = d->count;
    unsigned low = csl_demand_low_bits(d);
    uint64_t *r_high = data[CSL_RELU_R_HIGH], *beta = data[CSL_RELU_BETA_R];
    sign_values(data, d);
    for (size_t i = 0; i < n; i++) {
        r_high[i] = data[CSL_RELU_R][i] >> low;
    }
    spread(beta, data[CSL_RELU_BETA], n);
    times(data[CSL_RELU_R_BETA], r_high, beta, n);
    top_bit(data[CSL_RELU_S], r_high, n, t->k);
    times(data[CSL_RELU_S_BETA], data[CSL_RELU_S], beta, n);
}

/* M1, M2 */
static void max_values(uint64_t *const data[CSL_MAX_FIELDS], const struct csl_demand *d) {
    uint64_t *beta = data[CSL_MAX_BETA_R];
    sign_values(data, d);
    spread(beta, data[CSL_RELU_BETA], d->count);
    times(data[CSL_MAX_R_BETA], data[CSL_RELU_R], beta, d->count);
    times(data[CSL_MAX_P_BETA], data[CSL_MAX_P], beta, d->count);
}

/* Every monomial of the masks times s, or 1 - 2s (flip), and times x if that is not NULL; in the order of F5.
 * out may be empty. */
static void monomial_values(uint64_t *out, const uint64_t *masks, const uint64_t *s, bool flip,
                            const uint64_t *x, size_t n, const struct csl__monomials *m) {
    uint64_t product[CSL__WAN_SETS][64], bit[2 * CSL_WAN_MAX_DIGITS - 1][64];
    unsigned n_e = m->n_digits - 1;
    for (size_t at = 0; out != NULL && at < n; at += 64) {
        size_t len = n - at < 64 ? n - at : 64;
        for (unsigned j = 0; j < m->n_inputs; j++) {
            for (size_t i = 0; i < len; i++) {
                bit[j][i] = 0 - (masks[j * csl__bits_words(n) + at / 64] >> i & 1);
            }
        }
        for (size_t i = 0; i < len; i++) {
            product[0][i] = (flip ? 1 - 2 * s[at + i] : s[at + i]) * (x == NULL ? 1 : x[at + i]);
        }
        for (unsigned set = 1; set < 1u << n_e; set++) {
            const uint64_t *last = bit[(unsigned)__builtin_ctz(set)];
            for (size_t i = 0; i < len; i++) {
                out[m->e[set] * len + i] = product[set][i] = product[set & (set - 1)][i] & last[i];
            }
        }
        for (unsigned low = 0; low < m->n_digits; low++) {
            for (unsigned set = 0; set < 1u << n_e; set += 1u << low) {
                for (size_t i = 0; i < len; i++) {
                    out[m->l[low][set] * len + i] = product[set][i] & bit[n_e + low][i];
                }
            }
        }
        out += m->n * len;
    }
    csl_wipe(product, sizeof product);
    csl_wipe(bit, sizeof bit);
}

/* T8, of a ReLU, a maximum, an arg-max. */
static void wan_values(uint64_t *const data[CSL_MAX_FIELDS], const struct csl_demand *d) {
    const struct csl_trunc_params *t = &d->trunc;
    unsigned low = csl_demand_low_bits(d);
    size_t n = d->count;
    const uint64_t *r = data[CSL_WAN_R], *masks = data[CSL_WAN_M], *p = data[CSL_WAN_P];
    uint64_t *s = data[CSL_WAN_S];
    struct csl__monomials m;
    csl__monomials_init(&m, t->n_digits);
    for (unsigned j = 0, shift = low; j < t->n_digits; shift += t->digit_bits[j++]) {
        (t->digit_bits[j] > 6 ? wide_table_values : table_values)(data[CSL_WAN_TABLE + j], r, n, shift,
                                                                  t->digit_bits[j]);
    }
    top_bit(s, r, n, t->k + low);
    for (size_t i = 0; data[CSL_WAN_R_HIGH] != NULL && i < n; i++) {
        data[CSL_WAN_R_HIGH][i] = r[i] >> low;
    }
    const uint64_t *high = data[CSL_WAN_R_HIGH] != NULL ? data[CSL_WAN_R_HIGH] : r;
    times(data[CSL_WAN_S_R], s, high, n);
    times(data[CSL_WAN_S_P], s, p, n);
    monomial_values(data[CSL_WAN_A], masks, s, true, NULL, n, &m);
    monomial_values(data[CSL_WAN_A_R], masks, s, true, high, n, &m);
    monomial_values(data[CSL_WAN_S_M], masks, s, false, NULL, n, &m);
    monomial_values(data[CSL_WAN_A_P], masks, s, true, p, n, &m);
}

static void trunc_values(uint64_t *const data[CSL_MAX_FIELDS], const struct csl_demand *d) {
    const struct csl_trunc_params *t = &d->trunc;
    for (size_t i = 0; i < d->count; i++) {
        data[CSL_TRUNC_R_HIGH][i] = data[CSL_TRUNC_R][i] >> csl_demand_low_bits(d);
    }
    top_bit(data[CSL_TRUNC_S], data[CSL_TRUNC_R_HIGH], d->count, t->k);
}

void csl__demand_values(uint64_t *const data[CSL_MAX_FIELDS], const struct csl_demand *d) {
    if (d->form == CSL_FORM_WAN) {
        wan_values(data, d);
        return;
    }
    switch (d->kind) {
    case CSL_DEMAND_RELU:
        relu_values(data, d);
        return;
    case CSL_DEMAND_TRUNC:
        trunc_values(data, d);
        return;
    case CSL_DEMAND_MAX:
    case CSL_DEMAND_ARGMAX:
        max_values(data, d);
        return;
    case CSL_DEMAND_LINEAR: /* by a convolution over the batch, below */
        return;
    }
}

/* ---- corrections ---- */

enum { LINEAR_ROWS = 256, LINEAR_WORDS = 1 << 22 }; /* of one convolution: bound the memory */

struct job {
    const struct csl_demand *demand;
    size_t number; /* of the demand */
    unsigned n_parties;
    const uint8_t *seeds;
    uint8_t *out;       /* this demand's place in the first chunk */
    size_t chunk_bytes; /* to the same place in the next one */
    struct csl_field fields[CSL_MAX_FIELDS];
    size_t n_fields;
};

static void accumulate(uint64_t *sum, const uint64_t *part, const struct csl_field *f) {
    if (f->form == CSL_FIELD_RING) {
        csl_add_mod(sum, sum, part, f->row_words, f->bits);
        return;
    }
    for (size_t i = 0; i < f->row_words; i++) {
        sum[i] ^= part[i];
    }
}

/* sums[i] += every party's expansion of own field i, and parties 0..N-2's of dealt field i. */
static enum csl_err sum_row(const struct job *j, uint64_t *const sums[CSL_MAX_FIELDS], uint64_t *part,
                            size_t row) {
    for (unsigned p = 0; p < j->n_parties; p++) {
        struct csl_prg prg = {0};
        const uint8_t *seed = j->seeds + (row * j->n_parties + p) * CSL_INDEX_SEED_BYTES;
        bool linear = j->demand->kind == CSL_DEMAND_LINEAR;
        enum csl_err err = csl_prg_init(&prg, linear ? seed : seed + CSL_SEED_BYTES);
        for (unsigned i = 0; i < j->n_fields && err == CSL_OK; i++) {
            const struct csl_field *f = &j->fields[i];
            if (f->row_words == 0 || (f->dealt && p + 1 == j->n_parties)) {
                continue;
            }
            err = csl__field_expand(part, f, &prg, j->number, i);
            if (err == CSL_OK) {
                accumulate(sums[i], part, f);
            }
        }
        csl_prg_clear(&prg);
        TRY(err);
    }
    return CSL_OK;
}

/* The corrections of one row: value - sum, packed at `out`. */
static void emit_row(const struct job *j, uint8_t *out, uint64_t *const values[CSL_MAX_FIELDS],
                     uint64_t *const sums[CSL_MAX_FIELDS]) {
    for (unsigned i = 0; i < j->n_fields; i++) {
        const struct csl_field *f = &j->fields[i];
        if (!f->dealt || f->row_words == 0) {
            continue;
        }
        if (f->form == CSL_FIELD_RING) {
            csl_sub_mod(values[i], values[i], sums[i], f->row_words, f->bits);
        } else {
            accumulate(values[i], sums[i], f);
        }
        csl__field_pack(out, f, values[i]);
        out += f->row_bytes;
    }
}

static size_t max_row(const struct job *j) {
    size_t max = 0;
    for (size_t i = 0; i < j->n_fields; i++) {
        max = j->fields[i].row_words > max ? j->fields[i].row_words : max;
    }
    return max;
}

static size_t linear_rows(size_t row_words, size_t batch) {
    size_t rows = LINEAR_WORDS / row_words;
    rows = rows < 1 ? 1 : rows > LINEAR_ROWS ? LINEAR_ROWS : rows;
    return rows < batch ? rows : batch;
}

/* C = conv(A, B) for a block of rows at a time. */
static enum csl_err linear_corrections(const struct job *j, const uint64_t *mask, size_t batch) {
    const struct csl_demand *d = j->demand;
    size_t k = csl_conv_inputs(&d->conv), n = csl_conv_outputs(&d->conv);
    size_t rows = linear_rows(k + 2 * n, batch);
    uint64_t *a = csl_secret_alloc(rows * (k + 2 * n) + max_row(j), sizeof *a);
    if (a == NULL) {
        return CSL_ENOMEM;
    }
    uint64_t *c_sum = a + rows * k, *c = c_sum + rows * n, *part = c + rows * n;
    enum csl_err err = CSL_OK;
    for (size_t first = 0; first < batch && err == CSL_OK; first += rows) {
        size_t m = batch - first < rows ? batch - first : rows;
        memset(a, 0, rows * (k + 2 * n) * sizeof *a);
        for (size_t r = 0; r < m && err == CSL_OK; r++) {
            uint64_t *sums[CSL_MAX_FIELDS] = {a + r * k, c_sum + r * n};
            err = sum_row(j, sums, part, first + r);
        }
        if (err == CSL_OK) {
            err = csl_conv_acc(c, a, mask, &d->conv, m, d->bits, true);
        }
        for (size_t r = 0; r < m && err == CSL_OK; r++) {
            uint64_t *sums[CSL_MAX_FIELDS] = {a + r * k, c_sum + r * n};
            uint64_t *values[CSL_MAX_FIELDS] = {NULL, c + r * n};
            emit_row(j, j->out + (first + r) * j->chunk_bytes, values, sums);
        }
    }
    csl_secret_free(a);
    return err;
}

static enum csl_err value_corrections(const struct job *j, size_t batch) {
    size_t row_words = 0;
    for (size_t i = 0; i < j->n_fields; i++) {
        row_words += j->fields[i].row_words;
    }
    uint64_t *memory = csl_secret_alloc(2 * row_words + max_row(j), sizeof *memory);
    if (memory == NULL) {
        return CSL_ENOMEM;
    }
    uint64_t *sums[CSL_MAX_FIELDS] = {NULL}, *values[CSL_MAX_FIELDS] = {NULL}, *at = memory;
    for (size_t i = 0; i < j->n_fields; i++) {
        size_t n = j->fields[i].row_words;
        sums[i] = n == 0 ? NULL : at;
        /* own fields are their own values */
        values[i] = n == 0 ? NULL : j->fields[i].dealt ? at + row_words : at;
        at += n;
    }
    enum csl_err err = CSL_OK;
    for (size_t row = 0; row < batch && err == CSL_OK; row++) {
        memset(memory, 0, row_words * sizeof *memory);
        err = sum_row(j, sums, memory + 2 * row_words, row);
        if (err == CSL_OK) {
            csl__demand_values(values, j->demand);
            emit_row(j, j->out + row * j->chunk_bytes, values, sums);
        }
    }
    csl_secret_free(memory);
    return err;
}

static enum csl_err check(size_t n_out, const struct csl_demand *demands, size_t n_demands,
                          unsigned n_parties, size_t batch, struct csl_diag *diag) {
    size_t want;
    if (n_parties < 2 || n_parties > CSL_MAX_PARTIES || n_demands == 0 || n_demands > CSL_MAX_DEMANDS ||
        batch == 0 || batch > CSL_MAX_BATCH) {
        return csl_fail(diag, CSL_EDATA, "corrections for %u parties, %zu demands, a batch of %zu", n_parties,
                        n_demands, batch);
    }
    for (size_t d = 0; d < n_demands; d++) {
        enum csl_err err = csl_demand_check(&demands[d], diag);
        if (err != CSL_OK) {
            return csl_fail_context(diag, err, "demand %zu", d);
        }
    }
    size_t chunk = csl_correction_bytes(demands, n_demands);
    if (chunk == 0 || __builtin_mul_overflow(chunk, batch, &want) || want != n_out) {
        return csl_fail(diag, CSL_EDATA, "room for %zu bytes of corrections; a batch of %zu needs %zu each",
                        n_out, batch, chunk);
    }
    return CSL_OK;
}

/* masks NULL: linear demands are passed over. */
static enum csl_err corrections(uint8_t *out, size_t n_out, const struct csl_demand *demands,
                                size_t n_demands, unsigned n_parties, const uint8_t *seeds,
                                const uint64_t *const *masks, size_t batch, struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    size_t at = 0;
    for (size_t d = 0; d < n_demands && err == CSL_OK; d++) {
        bool linear = demands[d].kind == CSL_DEMAND_LINEAR;
        struct job j = {.demand = &demands[d],
                        .number = d,
                        .n_parties = n_parties,
                        .seeds = seeds,
                        .out = out + at,
                        .chunk_bytes = n_out / batch};
        j.n_fields = csl_demand_fields(j.fields, &demands[d]);
        at += csl_correction_bytes(&demands[d], 1);
        if (!linear) {
            err = value_corrections(&j, batch);
        } else if (masks != NULL) {
            err = linear_corrections(&j, masks[d], batch);
        }
        if (err != CSL_OK) {
            (void)csl_fail(diag, err, "corrections of demand %zu: %s", d, csl_err_text(err));
        }
    }
    return err;
}

static enum csl_err check_masks(const struct csl_demand *demands, size_t n_demands,
                                const uint64_t *const *masks, struct csl_diag *diag) {
    for (size_t d = 0; d < n_demands; d++) {
        if (demands[d].kind == CSL_DEMAND_LINEAR && (masks == NULL || masks[d] == NULL)) {
            return csl_fail(diag, CSL_EDATA, "demand %zu: the weight mask is missing", d);
        }
    }
    return CSL_OK;
}

enum csl_err csl_dealer_corrections(uint8_t *out, size_t n_out, const struct csl_demand *demands,
                                    size_t n_demands, unsigned n_parties, const uint8_t *seeds,
                                    const uint64_t *const *masks, size_t batch, struct csl_diag *diag) {
    enum csl_err err = check(n_out, demands, n_demands, n_parties, batch, diag);
    if (err == CSL_OK) {
        err = check_masks(demands, n_demands, masks, diag);
    }
    if (err == CSL_OK) {
        err = corrections(out, n_out, demands, n_demands, n_parties, seeds, masks, batch, diag);
    }
    if (err != CSL_OK && n_out != 0) {
        csl_wipe(out, n_out);
    }
    return err;
}

enum csl_err csl_dealer_bits_corrections(uint8_t *out, size_t n_out, const struct csl_demand *demands,
                                         size_t n_demands, unsigned n_parties, const uint8_t *bits_keys,
                                         size_t batch, struct csl_diag *diag) {
    TRY(check(n_out, demands, n_demands, n_parties, batch, diag));
    memset(out, 0, n_out);
    size_t n = batch * n_parties;
    uint8_t *seeds = csl_secret_alloc(n, CSL_INDEX_SEED_BYTES); /* the matrix keys stay zero */
    if (seeds == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "no memory for corrections");
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(seeds + i * CSL_INDEX_SEED_BYTES + CSL_SEED_BYTES, bits_keys + i * CSL_SEED_BYTES,
               CSL_SEED_BYTES);
    }
    enum csl_err err = corrections(out, n_out, demands, n_demands, n_parties, seeds, NULL, batch, diag);
    csl_secret_free(seeds);
    if (err != CSL_OK) {
        csl_wipe(out, n_out);
    }
    return err;
}
