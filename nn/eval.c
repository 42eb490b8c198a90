/* The plan in exact integers mod 2^64, as two's complement. */
#include "nn/eval.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "nn/plan_internal.h"

struct fixed {
    const struct csl_plan *plan;
    const struct csl_qweights *q;
    uint64_t *v[CSL_PLAN_MAX_VALUES];
    size_t batch;
    csl_round_fn *oracle;
    void *ctx;
    size_t demand; /* of the next comparison or linear layer */
    struct csl_diag *diag;
};

/* T5: z / 2^f, rounded. */
static int64_t cut(const struct fixed *f, size_t at, int64_t z, unsigned bits) {
    int64_t nearest = (int64_t)1 << (bits - 1);
    return (z + (f->oracle == NULL ? nearest : f->oracle(f->ctx, f->demand, at, z))) >> bits;
}

/* z within what its protocol step can take (docs/protocol.md T, M). */
static bool in_range(csl__wide z, enum csl__use use, unsigned l, unsigned f) {
    return csl__fits(use, z, z, l, f);
}

static enum csl_err out_of_range(const struct fixed *f, const struct csl_step *step, size_t i, unsigned l) {
    return csl_fail(f->diag, CSL_EDATA, "layer \"%s\": value %zu leaves the range of its %u-bit ring",
                    step->name, i, l);
}

/* ---- steps ---- */

static enum csl_err linear(struct fixed *f, uint64_t *y, const struct csl_step *step) {
    const struct csl_layer_qweights *q = &f->q->layers[step->layer];
    size_t n = f->batch * csl_conv_outputs(&step->shape);
    for (size_t i = 0; i < n; i++) {
        y[i] = (uint64_t)q->b[i % q->n_b];
    }
    f->demand++;
    return csl_conv_acc(y, f->v[step->in[0]], (const uint64_t *)q->w, &step->shape, f->batch, 64, false);
}

static enum csl_err truncate(struct fixed *f, uint64_t *y, const struct csl_step *step, size_t n) {
    const uint64_t *x = f->v[step->in[0]];
    const struct csl_trunc_params *t = &step->trunc;
    enum csl__use use = step->kind == CSL_STEP_RELU ? CSL__RELU : CSL__TRUNC;
    for (size_t i = 0; i < f->batch * n; i++) {
        int64_t z = (int64_t)x[i];
        if (!in_range(z, use, (unsigned)t->k + t->f, t->f)) {
            return out_of_range(f, step, i % n, (unsigned)t->k + t->f);
        }
        int64_t v = cut(f, i, z, t->f);
        y[i] = step->kind == CSL_STEP_RELU && v < 0 ? 0 : (uint64_t)v;
    }
    f->demand++;
    return CSL_OK;
}

static enum csl_err pwl(struct fixed *f, uint64_t *y, const struct csl_step *step, size_t n) {
    const uint64_t *x = f->v[step->in[0]];
    const struct csl_trunc_params *t = &step->trunc;
    const struct csl_arm *arms = f->plan->arms + step->first_arm;
    for (size_t i = 0; i < f->batch * n; i++) {
        size_t row = i / n;
        y[i] = (uint64_t)step->c0;
        for (size_t j = 0; j < step->n_arms; j++) {
            csl__wide z = (csl__wide)(int64_t)x[i] - arms[j].knot;
            if (!in_range(z, CSL__RELU, (unsigned)t->k + t->f, t->f)) {
                return out_of_range(f, step, i % n, (unsigned)t->k + t->f);
            }
            int64_t v = cut(f, (row * step->n_arms + j) * n + i % n, (int64_t)z, t->f);
            y[i] += v < 0 ? 0 : (uint64_t)v * (uint64_t)arms[j].slope;
        }
    }
    f->demand++;
    return CSL_OK;
}

/* One level of the trees: pairs of all windows, rows after one another. */
static enum csl_err max_level(struct fixed *f, uint64_t *a, const uint64_t *b, const struct csl_step *step,
                              size_t n) {
    const struct csl_trunc_params *t = &step->trunc;
    for (size_t i = 0; i < n; i++) {
        csl__wide z = (csl__wide)(int64_t)a[i] - (int64_t)b[i];
        z = step->exact ? 2 * z : z;
        if (!in_range(z, step->exact ? CSL__RELU : CSL__MAX, (unsigned)t->k + t->f, t->f)) {
            return out_of_range(f, step, i, (unsigned)t->k + t->f);
        }
        bool keep =
            z + (step->exact || f->oracle == NULL ? 0 : f->oracle(f->ctx, f->demand, i, (int64_t)z)) >= 0;
        a[i] = keep ? a[i] : b[i];
    }
    f->demand++;
    return CSL_OK;
}

static enum csl_err maximum(struct fixed *f, uint64_t *y, const struct csl_step *step, size_t n) {
    size_t taps = csl__taps(&step->shape);
    size_t total = f->batch * n * taps;
    uint32_t *index = csl__window_index(&step->shape, true);
    uint64_t *v = csl_secret_alloc(total, 2 * sizeof *v);
    enum csl_err err = index == NULL || v == NULL ? CSL_ENOMEM : CSL_OK;
    for (size_t i = 0; i < total && err == CSL_OK; i++) {
        v[i] = f->v[step->in[0]][i / (n * taps) * csl_conv_inputs(&step->shape) + index[i % (n * taps)]];
    }
    for (size_t m = taps; m > 1 && err == CSL_OK; m = csl__after_level(m)) {
        uint64_t *a = v + total;
        uint64_t *b = a + f->batch * n * csl__pairs(m);
        csl__level_split(a, b, v, f->batch * n, m);
        err = max_level(f, a, b, step, f->batch * n * csl__pairs(m));
        csl__level_join(v, a, f->batch * n, m);
    }
    if (err == CSL_OK) {
        memcpy(y, v, f->batch * n * sizeof *y);
    }
    free(index);
    csl_secret_free(v);
    return err;
}

static enum csl_err local(struct fixed *f, uint64_t *y, const struct csl_step *step) {
    const uint64_t *x[CSL_NETWORK_MAX_INPUTS];
    for (unsigned j = 0; j < step->n_in; j++) {
        x[j] = f->v[step->in[j]];
    }
    return csl__local_step(y, x, f->plan, step, f->batch, 64);
}

static enum csl_err run_step(struct fixed *f, uint64_t *y, const struct csl_step *step, size_t n) {
    switch (step->kind) {
    case CSL_STEP_LINEAR:
        return linear(f, y, step);
    case CSL_STEP_RELU:
    case CSL_STEP_TRUNC:
        return truncate(f, y, step, n);
    case CSL_STEP_PWL:
        return pwl(f, y, step, n);
    case CSL_STEP_MAX:
        return maximum(f, y, step, n);
    default:
        return local(f, y, step);
    }
}

static enum csl_err run(struct fixed *f, const int64_t *x) {
    const struct csl_plan *plan = f->plan;
    uint32_t last[CSL_PLAN_MAX_VALUES];
    csl__last_uses(last, plan);
    size_t n_x = f->batch * csl_plan_n_inputs(plan);
    f->v[0] = csl_secret_alloc(n_x, sizeof **f->v);
    if (f->v[0] == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(f->v[0], x, n_x * sizeof *x);
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const struct csl_step *step = &plan->steps[i];
        size_t n = csl__elements(&plan->values[i + 1]);
        f->v[i + 1] = csl_secret_alloc(f->batch * n, sizeof **f->v);
        if (f->v[i + 1] == NULL) {
            return CSL_ENOMEM;
        }
        TRY(run_step(f, f->v[i + 1], step, n));
        for (unsigned j = 0; j < step->n_in; j++) {
            if (last[step->in[j]] == i) {
                csl_secret_free(f->v[step->in[j]]);
                f->v[step->in[j]] = NULL;
            }
        }
    }
    return CSL_OK;
}

static enum csl_err check_output(const struct fixed *f, const int64_t *y, size_t n) {
    const struct csl_plan *plan = f->plan;
    unsigned bits = csl_plan_output_bits(plan);
    for (size_t i = 0; i < f->batch * n; i++) {
        if (!in_range(y[i], CSL__PLAIN, bits, 0)) {
            return out_of_range(f, &plan->steps[plan->n_steps - 1], i % n, bits);
        }
    }
    return CSL_OK;
}

enum csl_err csl_eval_fixed(const struct csl_plan *plan, const struct csl_qweights *q, int64_t *y,
                            const int64_t *x, uint32_t batch, csl_round_fn *oracle, void *ctx,
                            struct csl_diag *diag) {
    struct fixed f = {.plan = plan, .q = q, .batch = batch, .oracle = oracle, .ctx = ctx, .diag = diag};
    size_t n = csl_plan_n_outputs(plan);
    if (q->n_layers != plan->n_layers) {
        return csl_fail(diag, CSL_EDATA, "the weights are not those of the plan");
    }
    enum csl_err err = run(&f, x);
    if (err == CSL_OK) {
        memcpy(y, f.v[plan->n_steps], batch * n * sizeof *y);
        err = check_output(&f, y, n);
    }
    if (err != CSL_OK) {
        memset(y, 0, batch * n * sizeof *y);
    }
    for (uint32_t i = 0; i < CSL_PLAN_MAX_VALUES; i++) {
        csl_secret_free(f.v[i]);
    }
    return err;
}

enum csl_err csl_eval_label(const struct csl_plan *plan, uint32_t *label, const int64_t *y, size_t row,
                            csl_round_fn *oracle, void *ctx) {
    struct csl__label p = csl__label_params(plan);
    size_t n = csl_plan_n_outputs(plan);
    uint32_t *best = calloc(n, sizeof *best);
    struct csl_demand *demands = calloc(CSL_PLAN_MAX_DEMANDS, sizeof *demands);
    size_t demand = 0;
    enum csl_err err = best == NULL || demands == NULL ? CSL_ENOMEM : CSL_OK;
    if (err == CSL_OK) {
        err = csl__plan_list_demands(plan, CSL_PROFILE_LAN, false, demands, &demand);
    }
    for (uint32_t i = 0; i < n && err == CSL_OK; i++) {
        best[i] = i;
    }
    for (size_t m = n; m > 1 && err == CSL_OK; m = csl__after_level(m), demand++) {
        size_t pairs = csl__pairs(m);
        for (size_t i = 0; i < pairs; i++) {
            csl__wide z = ((csl__wide)y[best[2 * i]] - y[best[2 * i + 1]]) * (1 << p.shift);
            z += oracle == NULL ? 0 : oracle(ctx, demand, row * pairs + i, (int64_t)z);
            best[i] = z >= 0 ? best[2 * i] : best[2 * i + 1];
        }
        best[pairs] = m % 2 != 0 ? best[m - 1] : best[pairs];
    }
    *label = err == CSL_OK ? best[0] : 0;
    free(best);
    free(demands);
    return err;
}
