/* Rows of a correlation: given back as they came and taken out for good, for a check of the dealer; moved, to
 * serve several batches. */
#include "mpc/correlation_internal.h"

#include <stdlib.h>
#include <string.h>

enum csl_err csl_corr_corrections(uint8_t *out, size_t n_out, const struct csl_corr *c, size_t row,
                                  struct csl_diag *diag) {
    size_t n = 0;
    bool good = c->self + 1 == c->n_parties && row < c->batch;
    for (size_t d = 0; d < c->n_demands && good; d++) {
        const struct csl__corr_demand *cd = &c->demands[d];
        good = cd->words != NULL && !cd->bound && (~cd->filled[row] & ((1u << cd->n_fields) - 1)) == 0;
        n += csl_correction_bytes(&cd->demand, 1);
    }
    if (!good || n != n_out) {
        return csl_fail(diag, CSL_EINTERNAL, "correlation: no corrections of row %zu", row);
    }
    for (size_t d = 0; d < c->n_demands; d++) {
        const struct csl__corr_demand *cd = &c->demands[d];
        for (unsigned i = 0; i < cd->n_fields; i++) {
            if (cd->fields[i].dealt && cd->fields[i].row_words != 0) {
                csl__field_pack(out, &cd->fields[i], csl__corr_row(cd, i, row));
                out += cd->fields[i].row_bytes;
            }
        }
    }
    return CSL_OK;
}

static void move_row(struct csl_corr *c, size_t to, size_t from) {
    for (size_t d = 0; d < c->n_demands; d++) {
        struct csl__corr_demand *cd = &c->demands[d];
        for (unsigned i = 0; i < cd->n_fields; i++) {
            if (cd->fields[i].row_words != 0) {
                memcpy(csl__corr_row(cd, i, to), csl__corr_row(cd, i, from),
                       cd->fields[i].row_words * sizeof(uint64_t));
            }
        }
        cd->filled[to] = cd->filled[from];
    }
}

static bool can_discard(const struct csl_corr *c, const uint32_t *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (rows[i] >= c->batch || (i != 0 && rows[i] <= rows[i - 1])) {
            return false;
        }
    }
    for (size_t d = 0; d < c->n_demands; d++) {
        if (c->demands[d].bound || c->demands[d].words == NULL) {
            return false;
        }
    }
    return n < c->batch;
}

enum csl_err csl_corr_discard(struct csl_corr *c, const uint32_t *rows, size_t n, struct csl_diag *diag) {
    if (!can_discard(c, rows, n)) {
        return csl_fail(diag, CSL_EINTERNAL, "correlation: %zu rows of %zu cannot be discarded", n, c->batch);
    }
    size_t kept = n == 0 ? c->batch : rows[0];
    for (size_t row = kept, gone = 0; row < c->batch; row++) {
        if (gone < n && rows[gone] == row) {
            gone++;
            continue;
        }
        move_row(c, kept++, row);
    }
    for (size_t row = kept; row < c->batch; row++) {
        csl__corr_wipe_row(c, row);
    }
    c->batch = kept;
    return CSL_OK;
}

/* The copy of n rows from `first` on. */
static void copy_rows(struct csl_corr *to, const struct csl_corr *from, size_t first, size_t n) {
    for (size_t d = 0; d < from->n_demands; d++) {
        const struct csl__corr_demand *cd = &from->demands[d];
        for (unsigned i = 0; i < cd->n_fields; i++) {
            if (cd->fields[i].row_words != 0) {
                memcpy(csl__corr_row(&to->demands[d], i, 0), csl__corr_row(cd, i, first),
                       n * cd->fields[i].row_words * sizeof(uint64_t));
            }
        }
        memcpy(to->demands[d].filled, cd->filled + first, n * sizeof *cd->filled);
        to->demands[d].bound = cd->bound;
    }
}

static bool whole_rows(const struct csl_corr *c, size_t first, size_t n) {
    bool good = n != 0 && first < c->batch && n <= c->batch - first;
    for (size_t d = 0; d < c->n_demands && good; d++) {
        const struct csl__corr_demand *cd = &c->demands[d];
        good = cd->words != NULL && !cd->used;
        for (size_t row = first; row < first + n && good; row++) {
            good = (~cd->filled[row] & ((1u << cd->n_fields) - 1)) == 0;
        }
    }
    return good;
}

enum csl_err csl_corr_move(struct csl_corr **out, struct csl_corr *c, size_t first, size_t n,
                           struct csl_diag *diag) {
    *out = NULL;
    if (!whole_rows(c, first, n)) {
        return csl_fail(diag, CSL_EINTERNAL, "correlation: rows %zu to %zu of %zu are not there", first,
                        first + n, c->batch);
    }
    struct csl_demand *demands = calloc(c->n_demands, sizeof *demands);
    if (demands == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t d = 0; d < c->n_demands; d++) {
        demands[d] = c->demands[d].demand;
    }
    enum csl_err err = csl_corr_new(out, demands, c->n_demands, c->n_parties, c->self, n, diag);
    free(demands);
    TRY(err);
    copy_rows(*out, c, first, n);
    for (size_t row = first; row < first + n; row++) {
        csl__corr_wipe_row(c, row);
    }
    return CSL_OK;
}
