#include "mpc/bits_internal.h"
#include "mpc/correlation.h"
#include "mpc/pack.h"
#include "mpc/products_internal.h"

#include <string.h>

/* ---- demands ---- */

/* k-1 bits over n digits, evenly, the low ones wider. */
static void spread_digits(struct csl_trunc_params *t, unsigned n) {
    unsigned bits = t->k - 1u;
    for (unsigned j = 0; j < n; j++) {
        t->digit_bits[j] = (uint8_t)(bits / n + (j < bits % n));
    }
    t->n_digits = (uint8_t)n;
}

struct csl_trunc_params csl_trunc_params_default(unsigned k, unsigned f, unsigned out_bits) {
    struct csl_trunc_params t = {.k = (uint8_t)(k < 255 ? k : 255),
                                 .f = (uint8_t)(f < 255 ? f : 255),
                                 .out_bits = (uint8_t)(out_bits < 255 ? out_bits : 255)};
    if (k < 2 || k - 1 > CSL_MAX_DIGITS * CSL_MAX_DIGIT_BITS) {
        return t;
    }
    spread_digits(&t, (k - 1 + CSL_MAX_DIGIT_BITS - 1) / CSL_MAX_DIGIT_BITS);
    return t;
}

struct csl_demand csl_demand_linear(uint32_t k_dim, uint32_t n_dim, unsigned bits) {
    struct csl_conv_shape dense = csl_conv_dense(k_dim, n_dim);
    return csl_demand_conv(&dense, bits);
}

struct csl_demand csl_demand_conv(const struct csl_conv_shape *conv, unsigned bits) {
    return (struct csl_demand){
        .kind = CSL_DEMAND_LINEAR, .conv = *conv, .bits = (uint8_t)(bits < 255 ? bits : 255)};
}

struct csl_demand csl_demand_max(uint32_t count, unsigned k, unsigned f) {
    k = k < 255 ? k : 255;
    f = f < 255 ? f : 255;
    return (struct csl_demand){
        .kind = CSL_DEMAND_MAX, .count = count, .trunc = csl_trunc_params_default(k, f, k + f)};
}

struct csl_demand csl_demand_argmax(uint32_t count, unsigned k, unsigned f, unsigned payload_bits) {
    struct csl_demand d = csl_demand_max(count, k, f);
    d.kind = CSL_DEMAND_ARGMAX;
    d.bits = (uint8_t)(payload_bits < 255 ? payload_bits : 255);
    return d;
}

struct csl_demand csl_demand_relu(uint32_t count, unsigned k, unsigned f, unsigned out_bits) {
    return (struct csl_demand){
        .kind = CSL_DEMAND_RELU, .count = count, .trunc = csl_trunc_params_default(k, f, out_bits)};
}

struct csl_demand csl_demand_wan(struct csl_demand d) {
    if (d.kind != CSL_DEMAND_RELU && d.kind != CSL_DEMAND_MAX && d.kind != CSL_DEMAND_ARGMAX) {
        return d;
    }
    unsigned bits = d.trunc.k - 1u; /* what more digits save in tables, products take from 9, 17 and 28 on */
    unsigned n = bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 27 ? 3 : CSL_WAN_MAX_DIGITS;
    d.form = CSL_FORM_WAN;
    d.trunc.n_digits = 0;
    memset(d.trunc.digit_bits, 0, sizeof d.trunc.digit_bits);
    if (d.trunc.k >= 2 && bits <= CSL_WAN_MAX_DIGITS * CSL_WAN_MAX_DIGIT_BITS) {
        spread_digits(&d.trunc, n);
    }
    return d;
}

struct csl_demand csl_demand_trunc(uint32_t count, unsigned k, unsigned f, unsigned out_bits) {
    struct csl_trunc_params t = csl_trunc_params_default(k, f, out_bits);
    t.n_digits = 0;
    memset(t.digit_bits, 0, sizeof t.digit_bits);
    return (struct csl_demand){.kind = CSL_DEMAND_TRUNC, .count = count, .trunc = t};
}

static enum csl_err check_digits(const struct csl_demand *d, struct csl_diag *diag) {
    const struct csl_trunc_params *t = &d->trunc;
    unsigned digits = d->form == CSL_FORM_WAN ? CSL_WAN_MAX_DIGITS : CSL_MAX_DIGITS;
    unsigned width = d->form == CSL_FORM_WAN ? CSL_WAN_MAX_DIGIT_BITS : CSL_MAX_DIGIT_BITS;
    if (d->kind == CSL_DEMAND_TRUNC) {
        return t->n_digits == 0 ? CSL_OK : csl_fail(diag, CSL_EDATA, "a truncation has no digits");
    }
    if (t->n_digits == 0 || t->n_digits > digits) {
        return csl_fail(diag, CSL_EDATA, "%u digits for k = %u; 1..%u digits of at most %u bits hold k <= %u",
                        t->n_digits, t->k, digits, width, digits * width + 1);
    }
    unsigned sum = 0;
    for (unsigned j = 0; j < t->n_digits; j++) {
        if (t->digit_bits[j] == 0 || t->digit_bits[j] > width) {
            return csl_fail(diag, CSL_EDATA, "digit %u has %u bits; it must have 1..%u", j, t->digit_bits[j],
                            width);
        }
        sum += t->digit_bits[j];
    }
    if (sum != t->k - 1u) {
        return csl_fail(diag, CSL_EDATA, "the digits hold %u bits; k = %u needs %u", sum, t->k, t->k - 1u);
    }
    return CSL_OK;
}

static enum csl_err check_widths(const struct csl_demand *d, struct csl_diag *diag) {
    const struct csl_trunc_params *t = &d->trunc;
    if (d->count == 0 || d->count > CSL_MAX_DIM) {
        return csl_fail(diag, CSL_EDATA, "count is %u; it must be 1..%u", d->count, (unsigned)CSL_MAX_DIM);
    }
    if (t->f < 1 || t->k < 2 || t->k + t->f > 62) {
        return csl_fail(diag, CSL_EDATA, "k = %u, f = %u; needed are k >= 2, f >= 1, k + f <= 62", t->k,
                        t->f);
    }
    return check_digits(d, diag);
}

enum csl_err csl_demand_check(const struct csl_demand *d, struct csl_diag *diag) {
    const struct csl_trunc_params *t = &d->trunc;
    bool compares = d->kind != CSL_DEMAND_LINEAR && d->kind != CSL_DEMAND_TRUNC;
    if (d->form > (compares ? CSL_FORM_WAN : CSL_FORM_LAN)) {
        return csl_fail(diag, CSL_EDATA, "form %u of a demand of kind %d", d->form, (int)d->kind);
    }
    switch (d->kind) {
    case CSL_DEMAND_LINEAR:
        if (d->bits < 1 || d->bits > 64) {
            return csl_fail(diag, CSL_EDATA, "a linear layer mod 2^%u; it must be 2^1..2^64", d->bits);
        }
        return csl_conv_check(&d->conv, diag);
    case CSL_DEMAND_RELU:
    case CSL_DEMAND_TRUNC:
        TRY(check_widths(d, diag));
        if (t->out_bits < t->k || t->out_bits > 64) {
            return csl_fail(diag, CSL_EDATA, "the result mod 2^%u cannot hold k = %u bits; needed are k..64",
                            t->out_bits, t->k);
        }
        return CSL_OK;
    case CSL_DEMAND_ARGMAX:
        if (d->bits < 1 || d->bits > 16) {
            return csl_fail(diag, CSL_EDATA, "a payload mod 2^%u; it must be 2^1..2^16", d->bits);
        }
        /* fall through */
    case CSL_DEMAND_MAX:
        TRY(check_widths(d, diag));
        if (t->out_bits != t->k + t->f) {
            return csl_fail(diag, CSL_EDATA, "a maximum of k + f = %u bits cannot be mod 2^%u", t->k + t->f,
                            t->out_bits);
        }
        return CSL_OK;
    default:
        return csl_fail(diag, CSL_EDATA, "there is no correlation of kind %d", (int)d->kind);
    }
}

/* ---- fields ---- */

static struct csl_field vector(const char *name, enum csl_field_form form, bool dealt, unsigned bits,
                               uint32_t count) {
    struct csl_field f = {.name = name, .form = form, .dealt = dealt, .bits = (uint8_t)bits, .count = count};
    if (bits != 0) {
        f.row_words = count;
        f.row_bytes = csl__bits_bytes((size_t)count * bits);
    }
    return f;
}

static struct csl_field planes(const char *name, bool dealt, unsigned n_planes, uint32_t count) {
    return (struct csl_field){.name = name,
                              .form = CSL_FIELD_PLANES,
                              .dealt = dealt,
                              .bits = 1,
                              .count = count,
                              .planes = n_planes,
                              .row_words = n_planes * csl__bits_words(count),
                              .row_bytes = n_planes * csl__bits_bytes(count)};
}

/* T1..T4: what a comparison needs. */
static void sign_fields(struct csl_field *f, const struct csl_demand *d) {
    static const char *const table[CSL_MAX_DIGITS] = {"table 0", "table 1", "table 2",
                                                      "table 3", "table 4", "table 5"};
    const struct csl_trunc_params *t = &d->trunc;
    uint32_t n = d->count;
    struct csl__products p;
    csl__products_init(&p, t->n_digits);
    f[CSL_RELU_R] = vector("r", CSL_FIELD_RING, false, t->k + csl_demand_low_bits(d), n);
    f[CSL_RELU_M] = planes("masks", false, p.n_inputs, n);
    f[CSL_RELU_BETA] = planes("beta", false, 1, n);
    for (unsigned j = 0; j < CSL_MAX_DIGITS; j++) {
        unsigned width = j < t->n_digits ? (1u << t->digit_bits[j]) - 1 : 0; /* the last bit is 0 */
        f[CSL_RELU_TABLE + j] = vector(table[j], CSL_FIELD_TABLE, true, width, n);
    }
    f[CSL_RELU_PRODUCTS] = planes("products of masks", true, p.n_products, n);
    f[CSL_RELU_S_BIT] = planes("<s>", true, d->kind == CSL_DEMAND_RELU ? 0 : 1, n);
}

static size_t relu_fields(struct csl_field *f, const struct csl_demand *d) {
    uint32_t n = d->count;
    unsigned o = d->trunc.out_bits, k = d->trunc.k;
    sign_fields(f, d);
    f[CSL_RELU_BETA_R] = vector("[beta]", CSL_FIELD_RING, true, o, n);
    f[CSL_RELU_R_HIGH] = vector("[r']", CSL_FIELD_RING, true, o, n);
    f[CSL_RELU_R_BETA] = vector("[r' beta]", CSL_FIELD_RING, true, o, n);
    f[CSL_RELU_S] = vector("[s]", CSL_FIELD_RING, true, o > k ? o - k : 1, n); /* its low bit is <s> */
    f[CSL_RELU_S_BETA] = vector("[s beta]", CSL_FIELD_RING, true, o - k, n);
    return CSL_RELU_N_FIELDS;
}

static size_t max_fields(struct csl_field *f, const struct csl_demand *d) {
    unsigned l = d->trunc.k + d->trunc.f;
    unsigned payload = d->kind == CSL_DEMAND_ARGMAX ? d->bits : 0;
    sign_fields(f, d);
    f[CSL_MAX_BETA_R] = vector("[beta]", CSL_FIELD_RING, true, l > payload ? l : payload, d->count);
    f[CSL_MAX_R_BETA] = vector("[r beta]", CSL_FIELD_RING, true, l, d->count);
    f[CSL_MAX_P] = vector("P", CSL_FIELD_RING, false, payload, d->count);
    f[CSL_MAX_P_BETA] = vector("[P beta]", CSL_FIELD_RING, true, payload, d->count);
    return CSL_MAX_N_FIELDS;
}

/* T8; several elements of a field for one of the demand where a table or the monomials need them. */
static size_t wan_fields(struct csl_field *f, const struct csl_demand *d) {
    static const char *const table[CSL_WAN_MAX_DIGITS] = {"table 0", "table 1", "table 2", "table 3"};
    const struct csl_trunc_params *t = &d->trunc;
    bool relu = d->kind == CSL_DEMAND_RELU;
    unsigned o = t->out_bits, payload = d->kind == CSL_DEMAND_ARGMAX ? d->bits : 0;
    uint32_t n = d->count;
    struct csl__monomials m;
    csl__monomials_init(&m, t->n_digits);
    f[CSL_WAN_R] = vector("r", CSL_FIELD_RING, false, t->k + csl_demand_low_bits(d), n);
    f[CSL_WAN_M] = planes("masks", false, m.n_inputs, n);
    f[CSL_WAN_P] = vector("P", CSL_FIELD_RING, false, payload, n);
    for (unsigned j = 0; j < CSL_WAN_MAX_DIGITS; j++) {
        unsigned width = j < t->n_digits ? t->digit_bits[j] : 0, wide = width > 6 ? width - 6 : 0;
        unsigned bits = wide != 0 ? 64 : (1u << width) - 1;
        f[CSL_WAN_TABLE + j] = vector(table[j], CSL_FIELD_TABLE, true, bits, n << wide);
    }
    unsigned wider = o > payload ? o : payload;
    f[CSL_WAN_S] = vector("[s]", CSL_FIELD_RING, true, wider, n);
    f[CSL_WAN_R_HIGH] = vector("[r']", CSL_FIELD_RING, true, relu ? o : 0, n);
    f[CSL_WAN_S_R] = vector("[s r]", CSL_FIELD_RING, true, o, n);
    f[CSL_WAN_A] = vector("[(1-2s) M]", CSL_FIELD_RING, true, wider, n * m.n);
    f[CSL_WAN_A_R] = vector("[(1-2s) M r]", CSL_FIELD_RING, true, o, n * m.n);
    f[CSL_WAN_S_M] = vector("[s M]", CSL_FIELD_RING, true, relu ? o - t->k : 0, n * m.n);
    f[CSL_WAN_S_P] = vector("[s P]", CSL_FIELD_RING, true, payload, n);
    f[CSL_WAN_A_P] = vector("[(1-2s) M P]", CSL_FIELD_RING, true, payload, n * m.n);
    return CSL_WAN_N_FIELDS;
}

size_t csl_demand_fields(struct csl_field fields[CSL_MAX_FIELDS], const struct csl_demand *d) {
    _Static_assert((int)CSL_RELU_N_FIELDS <= (int)CSL_MAX_FIELDS, "the field table is too small");
    _Static_assert((int)CSL_MAX_N_FIELDS <= (int)CSL_MAX_FIELDS, "the field table is too small");
    const struct csl_trunc_params *t = &d->trunc;
    _Static_assert((int)CSL_WAN_N_FIELDS <= (int)CSL_MAX_FIELDS, "the field table is too small");
    memset(fields, 0, CSL_MAX_FIELDS * sizeof *fields);
    if (d->form == CSL_FORM_WAN) {
        return wan_fields(fields, d);
    }
    switch (d->kind) {
    case CSL_DEMAND_LINEAR:
        fields[CSL_LINEAR_A] =
            vector("A", CSL_FIELD_RING, false, d->bits, (uint32_t)csl_conv_inputs(&d->conv));
        fields[CSL_LINEAR_C] =
            vector("C", CSL_FIELD_RING, true, d->bits, (uint32_t)csl_conv_outputs(&d->conv));
        return CSL_LINEAR_N_FIELDS;
    case CSL_DEMAND_RELU:
        return relu_fields(fields, d);
    case CSL_DEMAND_TRUNC:
        fields[CSL_TRUNC_R] = vector("r", CSL_FIELD_RING, false, t->k + csl_demand_low_bits(d), d->count);
        fields[CSL_TRUNC_R_HIGH] = vector("[r']", CSL_FIELD_RING, true, t->out_bits, d->count);
        fields[CSL_TRUNC_S] = vector("[s]", CSL_FIELD_RING, true, t->out_bits - t->k, d->count);
        return CSL_TRUNC_N_FIELDS;
    case CSL_DEMAND_MAX:
    case CSL_DEMAND_ARGMAX:
        return max_fields(fields, d);
    }
    return 0;
}

size_t csl_correction_bytes(const struct csl_demand *demands, size_t n_demands) {
    size_t total = 0;
    if (n_demands > CSL_MAX_DEMANDS) {
        return 0;
    }
    for (size_t d = 0; d < n_demands; d++) {
        struct csl_field f[CSL_MAX_FIELDS];
        if (csl_demand_check(&demands[d], NULL) != CSL_OK) {
            return 0;
        }
        size_t n = csl_demand_fields(f, &demands[d]);
        for (size_t i = 0; i < n; i++) {
            if (f[i].dealt && __builtin_add_overflow(total, f[i].row_bytes, &total)) {
                return 0;
            }
        }
    }
    return total;
}

/* ---- products of masks ---- */

void csl__products_init(struct csl__products *p, unsigned n_digits) {
    memset(p, 0, sizeof *p);
    unsigned n_e = n_digits - 1;
    unsigned next = 2 * n_e;
    p->n_digits = n_digits;
    p->n_inputs = next;
    for (unsigned set = 1; set < 1u << n_e; set++) {
        bool single = (set & (set - 1)) == 0;
        p->e_plane[set] = (uint8_t)(single ? (unsigned)__builtin_ctz(set) : next++);
    }
    for (unsigned low = 0; low < n_e; low++) {
        p->l_plane[low][0] = (uint8_t)(n_e + low);
        for (unsigned set = 1u << low; set < 1u << n_e; set += 1u << low) {
            p->l_plane[low][set] = (uint8_t)next++;
        }
    }
    p->n_products = next - p->n_inputs;
}

void csl__monomials_init(struct csl__monomials *m, unsigned n_digits) {
    memset(m, 0, sizeof *m);
    unsigned n_e = n_digits - 1, next = 0;
    m->n_digits = n_digits;
    m->n_inputs = 2 * n_digits - 1;
    for (unsigned set = 1; set < 1u << n_e; set++) {
        m->e[set] = (uint8_t)next++;
    }
    for (unsigned low = 0; low < n_digits; low++) {
        for (unsigned set = 0; set < 1u << n_e; set += 1u << low) {
            m->l[low][set] = (uint8_t)next++;
        }
    }
    m->n = next;
}
