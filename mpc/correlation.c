#include "mpc/correlation.h"

#include "crypto/secret.h"
#include "mpc/bits_internal.h"
#include "mpc/correlation_internal.h"
#include "mpc/pack.h"
#include "mpc/ring.h"

#include <stdlib.h>
#include <string.h>

/* ---- fields ---- */

void csl__field_reduce(uint64_t *row, const struct csl_field *f) {
    if (f->form != CSL_FIELD_PLANES) {
        if (f->bits != 0) {
            csl_reduce_mod(row, row, f->count, f->bits);
        }
        return;
    }
    size_t n = csl__bits_words(f->count);
    for (size_t p = 0; p < f->planes; p++) {
        row[p * n + n - 1] &= csl__bits_tail(f->count);
    }
}

enum csl_err csl__field_expand(uint64_t *row, const struct csl_field *f, struct csl_prg *prg, size_t demand,
                               unsigned field) {
    if (f->row_words == 0) {
        return CSL_OK;
    }
    unsigned bits = f->form == CSL_FIELD_PLANES ? 64 : f->bits;
    TRY(csl_prg_fill_u64(prg, row, f->row_words, (uint32_t)(demand << 8 | field), bits));
    if (f->form == CSL_FIELD_PLANES) {
        csl__field_reduce(row, f);
    }
    return CSL_OK;
}

void csl__field_pack(uint8_t *out, const struct csl_field *f, const uint64_t *row) {
    if (f->form != CSL_FIELD_PLANES) {
        if (f->bits != 0) {
            csl_pack_bits(out, row, f->count, f->bits);
        }
        return;
    }
    for (size_t p = 0; p < f->planes; p++) {
        csl__bits_store(out + p * csl__bits_bytes(f->count), row + p * csl__bits_words(f->count), f->count);
    }
}

enum csl_err csl__field_unpack(uint64_t *row, const struct csl_field *f, const uint8_t *in,
                               struct csl_diag *diag) {
    if (f->row_words == 0) {
        return CSL_OK;
    }
    if (f->form != CSL_FIELD_PLANES) {
        return csl_unpack_bits_strict(row, in, f->row_bytes, f->count, f->bits, diag);
    }
    size_t n = csl__bits_words(f->count);
    uint64_t padding = 0;
    for (size_t p = 0; p < f->planes; p++) {
        for (size_t i = 0; i < n; i++) {
            row[p * n + i] = csl__bits_load(in + p * csl__bits_bytes(f->count), i, f->count);
        }
        padding |= row[p * n + n - 1] & ~csl__bits_tail(f->count);
    }
    CSL_PUBLIC(&padding, sizeof padding); /* padding is no secret; the bits before it are */
    return padding == 0 ? CSL_OK : csl_fail(diag, CSL_EPROTO, "padding bits are set");
}

/* ---- life ---- */

enum { BY_BLOCKS_WORDS = 256 * 1024 / 8 }; /* less stays in the cache from its first use to the last */

static size_t demand_row_words(const struct csl_demand *d) {
    struct csl_field f[CSL_MAX_FIELDS];
    size_t n = csl_demand_fields(f, d);
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += f[i].row_words; /* at most CSL_MAX_DIM * 100 */
    }
    return total;
}

size_t csl_corr_bytes(const struct csl_demand *demands, size_t n_demands, size_t batch) {
    size_t total = 0;
    if (n_demands == 0 || n_demands > CSL_MAX_DEMANDS || batch == 0 || batch > CSL_MAX_BATCH) {
        return 0;
    }
    for (size_t d = 0; d < n_demands; d++) {
        size_t n;
        if (csl_demand_check(&demands[d], NULL) != CSL_OK ||
            __builtin_mul_overflow(demand_row_words(&demands[d]) * sizeof(uint64_t) + sizeof(uint32_t), batch,
                                   &n) ||
            __builtin_add_overflow(total, n, &total)) {
            return 0;
        }
    }
    return total;
}

static enum csl_err fill_demand(struct csl__corr_demand *cd, const struct csl_demand *d, size_t batch) {
    cd->demand = *d;
    cd->n_fields = csl_demand_fields(cd->fields, d);
    cd->batch = batch;
    cd->by_blocks = demand_row_words(d) >= BY_BLOCKS_WORDS / batch;
    cd->words = csl_secret_alloc(demand_row_words(d), batch * sizeof *cd->words);
    cd->filled = calloc(batch, sizeof *cd->filled);
    if (cd->words == NULL || cd->filled == NULL) {
        return CSL_ENOMEM;
    }
    uint64_t *at = cd->words;
    uint32_t empty = 0;
    for (size_t i = 0; i < cd->n_fields; i++) {
        size_t n = cd->fields[i].row_words;
        cd->data[i] = n == 0 ? NULL : at;
        empty |= n == 0 ? 1u << i : 0;
        at += n * batch;
    }
    for (size_t row = 0; row < batch; row++) {
        cd->filled[row] = empty;
    }
    return CSL_OK;
}

enum csl_err csl_corr_new(struct csl_corr **out, const struct csl_demand *demands, size_t n_demands,
                          unsigned n_parties, unsigned self, size_t batch, struct csl_diag *diag) {
    *out = NULL;
    if (n_parties < 2 || n_parties > CSL_MAX_PARTIES || self >= n_parties) {
        return csl_fail(diag, CSL_EDATA, "correlations for party %u of %u", self, n_parties);
    }
    if (n_demands == 0 || n_demands > CSL_MAX_DEMANDS || batch == 0 || batch > CSL_MAX_BATCH) {
        return csl_fail(diag, CSL_EDATA, "correlations for %zu demands and a batch of %zu; at most %d and %d",
                        n_demands, batch, CSL_MAX_DEMANDS, CSL_MAX_BATCH);
    }
    for (size_t d = 0; d < n_demands; d++) {
        enum csl_err err = csl_demand_check(&demands[d], diag);
        if (err != CSL_OK) {
            return csl_fail_context(diag, err, "demand %zu", d);
        }
    }
    struct csl_corr *c = calloc(1, sizeof *c);
    struct csl__corr_demand *cds = calloc(n_demands, sizeof *cds);
    enum csl_err err =
        c == NULL || cds == NULL || csl_corr_bytes(demands, n_demands, batch) == 0 ? CSL_ENOMEM : CSL_OK;
    if (c == NULL) {
        free(cds);
        return csl_fail(diag, CSL_ENOMEM, "no memory for correlations");
    }
    *c = (struct csl_corr){n_parties, self, batch, cds == NULL ? 0 : n_demands, cds};
    for (size_t d = 0; d < n_demands && err == CSL_OK; d++) {
        err = fill_demand(&cds[d], &demands[d], batch);
    }
    if (err != CSL_OK) {
        csl_corr_free(c);
        return csl_fail(diag, err, "no memory for the correlations of a batch of %zu: %zu bytes", batch,
                        csl_corr_bytes(demands, n_demands, batch));
    }
    *out = c;
    return CSL_OK;
}

void csl__corr_done(struct csl__corr_demand *cd) {
    if (cd->words != NULL && cd->wiped != 0) {
        for (size_t i = 0; i < cd->n_fields; i++) {
            if (cd->data[i] != NULL && (cd->wiped >> i & 1) == 0) {
                csl_wipe(cd->data[i], cd->batch * cd->fields[i].row_words * sizeof *cd->words);
            }
        }
        csl_secret_free_wiped(cd->words);
    } else {
        csl_secret_free(cd->words);
    }
    cd->words = NULL;
    memset(cd->data, 0, sizeof cd->data);
}

void csl_corr_free(struct csl_corr *c) {
    if (c == NULL) {
        return;
    }
    for (size_t d = 0; d < c->n_demands; d++) {
        csl__corr_done(&c->demands[d]);
        free(c->demands[d].filled);
    }
    free(c->demands);
    free(c);
}

size_t csl_corr_batch(const struct csl_corr *c) {
    return c->batch;
}

size_t csl_corr_n_demands(const struct csl_corr *c) {
    return c->n_demands;
}

const struct csl_demand *csl_corr_demand(const struct csl_corr *c, size_t demand) {
    return demand < c->n_demands ? &c->demands[demand].demand : NULL;
}

/* ---- filling ---- */

static enum csl_err check_row_empty(const struct csl_corr *c, size_t row, struct csl_diag *diag) {
    if (row >= c->batch) {
        return csl_fail(diag, CSL_EINTERNAL, "correlation row %zu of %zu", row, c->batch);
    }
    for (size_t d = 0; d < c->n_demands; d++) {
        const struct csl__corr_demand *cd = &c->demands[d];
        for (size_t i = 0; i < cd->n_fields; i++) {
            if (cd->words == NULL || (cd->fields[i].row_words != 0 && (cd->filled[row] >> i & 1) != 0)) {
                return csl_fail(diag, CSL_EINTERNAL, "correlation row %zu is filled already", row);
            }
        }
    }
    return CSL_OK;
}

/* One demand of one row; dealt fields from *corrections (which moves on) when it is not NULL, from the
 * PRG otherwise, or not at all when own_only. */
static enum csl_err expand_demand(struct csl__corr_demand *cd, size_t demand, size_t row, struct csl_prg *prg,
                                  const uint8_t **corrections, bool own_only, struct csl_diag *diag) {
    for (unsigned i = 0; i < cd->n_fields; i++) {
        const struct csl_field *f = &cd->fields[i];
        if (f->row_words == 0 || (f->dealt && own_only)) {
            continue;
        }
        uint64_t *out = csl__corr_row(cd, i, row);
        if (f->dealt && *corrections != NULL) {
            enum csl_err err = csl__field_unpack(out, f, *corrections, diag);
            if (err != CSL_OK) {
                return csl_fail_context(diag, err, "the dealer's corrections, demand %zu, %s", demand,
                                        f->name);
            }
            *corrections += f->row_bytes;
            CSL_SECRET(out, f->row_words * sizeof *out);
        } else {
            enum csl_err err = csl__field_expand(out, f, prg, demand, i);
            if (err != CSL_OK) {
                return csl_fail(diag, err, "demand %zu: the PRG failed", demand);
            }
        }
        cd->filled[row] |= 1u << i;
    }
    return CSL_OK;
}

void csl__corr_wipe_row(struct csl_corr *c, size_t row) {
    for (size_t d = 0; d < c->n_demands; d++) {
        struct csl__corr_demand *cd = &c->demands[d];
        for (unsigned i = 0; i < cd->n_fields; i++) {
            if (cd->fields[i].row_words != 0) {
                csl_wipe(csl__corr_row(cd, i, row), cd->fields[i].row_words * sizeof(uint64_t));
                cd->filled[row] &= ~(1u << i);
            }
        }
    }
}

static enum csl_err expand(struct csl_corr *c, size_t row, const uint8_t *index_seed,
                           const uint8_t *corrections, bool own_only, struct csl_diag *diag) {
    TRY(check_row_empty(c, row, diag));
    struct csl_prg matrix = {0}, bits = {0};
    enum csl_err err = csl_prg_init(&matrix, index_seed);
    if (err == CSL_OK) {
        err = csl_prg_init(&bits, index_seed + CSL_SEED_BYTES);
    }
    if (err != CSL_OK) {
        csl_prg_clear(&matrix);
        return csl_fail(diag, err, "the PRG cannot be set up");
    }
    for (size_t d = 0; d < c->n_demands && err == CSL_OK; d++) {
        struct csl_prg *prg = c->demands[d].demand.kind == CSL_DEMAND_LINEAR ? &matrix : &bits;
        err = expand_demand(&c->demands[d], d, row, prg, &corrections, own_only, diag);
    }
    csl_prg_clear(&matrix);
    csl_prg_clear(&bits);
    if (err != CSL_OK) {
        csl__corr_wipe_row(c, row);
    }
    return err;
}

enum csl_err csl_corr_expand(struct csl_corr *c, size_t row, const uint8_t index_seed[CSL_INDEX_SEED_BYTES],
                             const uint8_t *corrections, size_t n_corrections, struct csl_diag *diag) {
    size_t want = 0;
    if (c->self + 1 == c->n_parties) {
        for (size_t d = 0; d < c->n_demands; d++) {
            want += csl_correction_bytes(&c->demands[d].demand, 1);
        }
    }
    if (n_corrections != want || (want != 0) != (corrections != NULL)) {
        return csl_fail(diag, CSL_EPROTO, "%zu bytes of corrections for row %zu; party %u of %u needs %zu",
                        n_corrections, row, c->self, c->n_parties, want);
    }
    return expand(c, row, index_seed, corrections, false, diag);
}

enum csl_err csl_corr_expand_own(struct csl_corr *c, size_t row,
                                 const uint8_t index_seed[CSL_INDEX_SEED_BYTES], struct csl_diag *diag) {
    return expand(c, row, index_seed, NULL, true, diag);
}

enum csl_err csl_corr_put(struct csl_corr *c, size_t demand, unsigned field, size_t row,
                          const uint64_t *words, struct csl_diag *diag) {
    if (demand >= c->n_demands || row >= c->batch || field >= c->demands[demand].n_fields ||
        c->demands[demand].words == NULL || c->demands[demand].fields[field].row_words == 0) {
        return csl_fail(diag, CSL_EINTERNAL, "correlation: no field %u of demand %zu, row %zu", field, demand,
                        row);
    }
    struct csl__corr_demand *cd = &c->demands[demand];
    if ((cd->filled[row] >> field & 1) != 0) {
        return csl_fail(diag, CSL_EINTERNAL, "correlation: %s of demand %zu, row %zu is there already",
                        cd->fields[field].name, demand, row);
    }
    uint64_t *out = csl__corr_row(cd, field, row);
    memcpy(out, words, cd->fields[field].row_words * sizeof *out);
    csl__field_reduce(out, &cd->fields[field]);
    cd->filled[row] |= 1u << field;
    return CSL_OK;
}

/* ---- use ---- */

static bool is_whole(const struct csl_corr *c, const struct csl__corr_demand *cd) {
    uint32_t all = 0;
    for (size_t row = 0; row < c->batch; row++) {
        all |= ~cd->filled[row] & ((1u << cd->n_fields) - 1);
    }
    return all == 0;
}

enum csl_err csl_corr_bind_weights(struct csl_corr *c, size_t demand, const uint64_t *e,
                                   struct csl_diag *diag) {
    if (demand >= c->n_demands || c->demands[demand].demand.kind != CSL_DEMAND_LINEAR) {
        return csl_fail(diag, CSL_EINTERNAL, "correlation: demand %zu is no linear layer", demand);
    }
    struct csl__corr_demand *cd = &c->demands[demand];
    if (cd->bound || cd->words == NULL || !is_whole(c, cd)) {
        return csl_fail(diag, CSL_EINTERNAL, "correlation: demand %zu is %s", demand,
                        cd->bound ? "bound already" : "used or not filled");
    }
    const struct csl_demand *d = &cd->demand;
    enum csl_err err =
        csl_conv_acc(cd->data[CSL_LINEAR_C], cd->data[CSL_LINEAR_A], e, &d->conv, c->batch, d->bits, true);
    if (err != CSL_OK) {
        cd->used = true;
        csl__corr_done(cd);
        return csl_fail(diag, err, "correlation: no memory to bind demand %zu", demand);
    }
    cd->bound = true;
    return CSL_OK;
}

enum csl_err csl__corr_take(struct csl__corr_demand **out, struct csl_session *s, struct csl_corr *c,
                            size_t demand, enum csl_demand_kind kind) {
    *out = NULL;
    if (s->err != CSL_OK) {
        if (demand < c->n_demands) {
            c->demands[demand].used = true;
            csl__corr_done(&c->demands[demand]);
        }
        return s->err;
    }
    if (demand >= c->n_demands || c->n_parties != s->n_parties || c->self != s->self) {
        return csl_session_fail(s, CSL_EINTERNAL, "correlation: no demand %zu for party %u of %u", demand,
                                s->self, s->n_parties);
    }
    struct csl__corr_demand *cd = &c->demands[demand];
    if (cd->used) {
        return csl_session_fail(s, CSL_EINTERNAL, "correlation: demand %zu was used before", demand);
    }
    if (cd->demand.kind != kind || !is_whole(c, cd) || (kind == CSL_DEMAND_LINEAR && !cd->bound)) {
        return csl_session_fail(s, CSL_EINTERNAL, "correlation: demand %zu is of another kind or not filled",
                                demand);
    }
    cd->used = true;
    *out = cd;
    return CSL_OK;
}
