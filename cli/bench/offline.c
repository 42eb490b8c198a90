/* What the correlations of an inference cost, without the network: the dealer's and the parties' share. */
#include <stdlib.h>
#include <string.h>

#include "cli/bench/infer.h"
#include "crypto/prg.h"
#include "mpc/dealer.h"

enum { ROWS_MAX = 32, ROOM = 256 << 20 };

struct offline {
    struct csl_demand *demands;
    size_t n_demands, row_bytes, rows;
    unsigned n_parties;
    uint64_t **masks; /* one a demand; NULL where it is not linear */
    uint8_t *seeds, *corrections;
};

static void clear(struct offline *x) {
    for (size_t i = 0; x->masks != NULL && i < x->n_demands; i++) {
        free(x->masks[i]);
    }
    free(x->masks);
    free(x->demands);
    free(x->seeds);
    free(x->corrections);
}

/* Masks and seeds of no session: any will do. */
static enum csl_err make(struct offline *x, const struct csl_plan *plan, enum csl_profile profile) {
    static const uint8_t seed[CSL_SEED_BYTES] = {1};
    struct csl_prg prg;
    x->demands = calloc(CSL_PLAN_MAX_DEMANDS, sizeof *x->demands);
    x->masks = calloc(CSL_PLAN_MAX_DEMANDS, sizeof *x->masks);
    if (x->demands == NULL || x->masks == NULL) {
        return CSL_ENOMEM;
    }
    TRY(csl_plan_demands(plan, profile, false, x->demands, &x->n_demands));
    x->row_bytes = csl_correction_bytes(x->demands, x->n_demands);
    size_t fit = ROOM / (x->row_bytes + csl_corr_bytes(x->demands, x->n_demands, 1) + 1);
    x->rows = fit > ROWS_MAX ? ROWS_MAX : fit < 1 ? 1 : fit;
    x->seeds = malloc(x->rows * x->n_parties * CSL_INDEX_SEED_BYTES);
    x->corrections = malloc(x->rows * x->row_bytes);
    if (x->seeds == NULL || x->corrections == NULL) {
        return CSL_ENOMEM;
    }
    TRY(csl_prg_init(&prg, seed));
    enum csl_err err = csl_prg_fill(&prg, x->seeds, x->rows * x->n_parties * CSL_INDEX_SEED_BYTES, 0, 0);
    for (uint32_t i = 0; i < x->n_demands && err == CSL_OK; i++) {
        const struct csl_demand *d = &x->demands[i];
        if (d->kind == CSL_DEMAND_LINEAR) {
            size_t n = csl_conv_weights(&d->conv);
            x->masks[i] = malloc(n * sizeof **x->masks);
            err = x->masks[i] == NULL ? CSL_ENOMEM : csl_prg_fill_u64(&prg, x->masks[i], n, i + 1, d->bits);
        }
    }
    csl_prg_clear(&prg);
    return err;
}

static enum csl_err deal(const struct offline *x, struct csl_diag *diag) {
    return csl_dealer_corrections(x->corrections, x->rows * x->row_bytes, x->demands, x->n_demands,
                                  x->n_parties, x->seeds, (const uint64_t *const *)x->masks, x->rows, diag);
}

static enum csl_err expand(const struct offline *x, bool last, double *seconds, struct csl_diag *diag) {
    struct csl_corr *corr;
    unsigned self = last ? x->n_parties - 1 : 0;
    TRY(csl_corr_new(&corr, x->demands, x->n_demands, x->n_parties, self, x->rows, diag));
    enum csl_err err = CSL_OK;
    double from = csl_bench_now_s();
    for (size_t row = 0; row < x->rows && err == CSL_OK; row++) {
        const uint8_t *seed = x->seeds + (row * x->n_parties + self) * CSL_INDEX_SEED_BYTES;
        err = csl_corr_expand(corr, row, seed, last ? x->corrections + row * x->row_bytes : NULL,
                              last ? x->row_bytes : 0, diag);
    }
    *seconds = csl_bench_now_s() - from;
    csl_corr_free(corr);
    return err;
}

static void keep_best(double *rate, size_t rows, double seconds) {
    double here = (double)rows / seconds;
    *rate = here > *rate ? here : *rate;
}

enum csl_err csl_bench_offline(struct csl_bench_offline *out, const struct csl_plan *plan,
                               enum csl_profile profile, unsigned n_parties, bool quick,
                               struct csl_diag *diag) {
    struct offline x = {.n_parties = n_parties};
    enum csl_err err = CSL_OK;
    memset(out, 0, sizeof *out);
    TRY_OUT(make(&x, plan, profile));
    out->correction_bytes = x.row_bytes;
    for (int turn = 0; turn < (quick ? 1 : 5); turn++) {
        double seconds, from = csl_bench_now_s();
        TRY_OUT(deal(&x, diag));
        keep_best(&out->dealer_per_s, x.rows, csl_bench_now_s() - from);
        TRY_OUT(expand(&x, false, &seconds, diag));
        keep_best(&out->party_per_s, x.rows, seconds);
        TRY_OUT(expand(&x, true, &seconds, diag));
        keep_best(&out->last_party_per_s, x.rows, seconds);
    }
out:
    clear(&x);
    return err;
}
