#include "nn/eval.h"

#include <math.h>
#include <string.h>

#include "crypto/secret.h"
#include "nn/plan_internal.h"

/* The longest row of any layer's input or output. */
static size_t widest(const struct csl_plan *plan) {
    size_t n = csl_plan_n_inputs(plan);
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        n = plan->layers[d].n > n ? plan->layers[d].n : n;
    }
    return n;
}

/* ---- float ---- */

/* z = x.W + b, one row. */
static void dense_float(double *z, const double *x, const struct csl_layer_weights *w) {
    for (size_t j = 0; j < w->n; j++) {
        z[j] = w->b[j];
    }
    for (size_t i = 0; i < w->k; i++) {
        for (size_t j = 0; x[i] != 0 && j < w->n; j++) {
            z[j] += x[i] * (double)w->w[i * w->n + j];
        }
    }
}

enum csl_err csl_eval_float(const struct csl_plan *plan, const struct csl_weights *weights, double *y,
                            const float *x, uint32_t batch) {
    size_t n_in = csl_plan_n_inputs(plan);
    size_t n_out = csl_plan_n_outputs(plan);
    size_t n = widest(plan);
    double *v = csl_secret_alloc(2 * n, sizeof *v);
    if (v == NULL) {
        return CSL_ENOMEM;
    }
    for (uint32_t row = 0; row < batch; row++) {
        double *in = v;
        double *z = v + n;
        for (size_t i = 0; i < n_in; i++) {
            in[i] = (double)x[row * n_in + i];
        }
        for (uint32_t d = 0; d < plan->n_layers; d++) {
            dense_float(z, in, &weights->layers[d]);
            for (size_t j = 0; plan->layers[d].activation == CSL_ACTIVATION_RELU && j < plan->layers[d].n;
                 j++) {
                z[j] = z[j] > 0 ? z[j] : 0;
            }
            double *t = in;
            in = z;
            z = t;
        }
        memcpy(y + row * n_out, in, n_out * sizeof *y);
    }
    csl_secret_free(v);
    return CSL_OK;
}

/* ---- fixed point ---- */

enum csl_err csl_plan_encode_input(const struct csl_plan *plan, int64_t *out, const float *x, uint32_t batch,
                                   struct csl_diag *diag) {
    size_t n = (size_t)csl_plan_n_inputs(plan) * batch;
    int frac = (int)csl_plan_input_frac(plan);
    for (size_t i = 0; i < n; i++) {
        double v = (double)x[i];
        /* The interval's ends are doubles; the nearest float may lie half a float unit beyond. */
        if (!(v >= (double)(float)plan->input.lo && v <= (double)(float)plan->input.hi)) {
            memset(out, 0, n * sizeof *out);
            return csl_fail(diag, CSL_EDATA,
                            "input %zu, element %zu is %g; the network takes %g to %g: is the "
                            "normalisation right?",
                            i / csl_plan_n_inputs(plan), i % csl_plan_n_inputs(plan), v, plan->input.lo,
                            plan->input.hi);
        }
        v = fmin(fmax(v, plan->input.lo), plan->input.hi);
        out[i] = (int64_t)llrint(ldexp(v, frac));
    }
    return CSL_OK;
}

/* z within the range that its ring and its truncation need; see csl_plan_compile. */
static bool in_range(csl__wide z, const struct csl_layer *layer) {
    csl__wide half = (csl__wide)1 << (layer->bits - 1);
    switch (layer->activation) {
    case CSL_ACTIVATION_RELU:
        return -half <= z && z <= half - ((csl__wide)1 << layer->trunc_f);
    case CSL_ACTIVATION_TRUNC:
        return -half / 2 < z && z < half / 2;
    default:
        return -half <= z && z < half;
    }
}

static int64_t activate(int64_t z, const struct csl_layer *layer, uint64_t r_low) {
    switch (layer->activation) {
    case CSL_ACTIVATION_RELU:
        return z < 0 ? 0 : (z + (int64_t)r_low) >> layer->trunc_f;
    case CSL_ACTIVATION_TRUNC:
        return (z + (int64_t)r_low) >> layer->trunc_f;
    default:
        return z;
    }
}

/* One row through one layer: v (k values) becomes its result (n values). */
static enum csl_err layer_fixed(int64_t *v, csl__wide *z, const struct csl_layer *layer,
                                const struct csl_layer_qweights *q, struct csl_diag *diag) {
    for (size_t j = 0; j < q->n; j++) {
        z[j] = q->b[j];
    }
    for (size_t i = 0; i < q->k; i++) {
        for (size_t j = 0; v[i] != 0 && j < q->n; j++) {
            z[j] += (csl__wide)v[i] * q->w[i * q->n + j];
        }
    }
    for (size_t j = 0; j < q->n; j++) {
        if (!in_range(z[j], layer)) {
            return csl_fail(diag, CSL_EDATA, "layer \"%s\": output %zu leaves the range of its %u-bit ring",
                            layer->name, j, layer->bits);
        }
        v[j] = (int64_t)z[j];
    }
    return CSL_OK;
}

enum csl_err csl_eval_fixed(const struct csl_plan *plan, const struct csl_qweights *q, int64_t *y,
                            const int64_t *x, uint32_t batch, csl_round_fn *oracle, void *ctx,
                            struct csl_diag *diag) {
    size_t n_in = csl_plan_n_inputs(plan);
    size_t n_out = csl_plan_n_outputs(plan);
    int64_t *v = csl_secret_alloc(widest(plan), sizeof *v);
    csl__wide *z = csl_secret_alloc(widest(plan), sizeof *z);
    enum csl_err err = v == NULL || z == NULL ? CSL_ENOMEM : CSL_OK;
    for (size_t row = 0; row < batch && err == CSL_OK; row++) {
        memcpy(v, x + row * n_in, n_in * sizeof *v);
        for (uint32_t d = 0; d < plan->n_layers && err == CSL_OK; d++) {
            const struct csl_layer *layer = &plan->layers[d];
            err = layer_fixed(v, z, layer, &q->layers[d], diag);
            for (size_t j = 0; j < layer->n; j++) {
                bool rounds = oracle != NULL && layer->activation != CSL_ACTIVATION_NONE;
                v[j] = activate(v[j], layer, rounds ? oracle(ctx, d, row * layer->n + j) : 0);
            }
        }
        memcpy(y + row * n_out, v, n_out * sizeof *y);
    }
    if (err != CSL_OK) {
        memset(y, 0, batch * n_out * sizeof *y);
    }
    csl_secret_free(v);
    csl_secret_free(z);
    return err;
}

/* ---- bounds and the client's last steps ---- */

/* e: units by which x may differ; becomes the units of the result. With z off by e_z, the result is off by at
 * most ceil(e_z / 2^f) from moving, and one from rounding. */
static void bound_layer(double *e, double *z, const struct csl_layer *layer,
                        const struct csl_layer_qweights *q) {
    memset(z, 0, q->n * sizeof *z);
    for (size_t i = 0; i < q->k; i++) {
        for (size_t j = 0; j < q->n; j++) {
            z[j] += e[i] * fabs((double)q->w[i * q->n + j]);
        }
    }
    for (size_t j = 0; j < q->n; j++) {
        e[j] = layer->activation == CSL_ACTIVATION_NONE ? z[j] : ceil(ldexp(z[j], -(int)layer->trunc_f)) + 1;
    }
}

enum csl_err csl_eval_error_bound(const struct csl_plan *plan, const struct csl_qweights *q, double *bound,
                                  unsigned n_parties) {
    size_t n = widest(plan);
    double *e = csl_secret_alloc(2 * n, sizeof *e);
    if (e == NULL) {
        return CSL_ENOMEM;
    }
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        bound_layer(e, e + n, &plan->layers[d], &q->layers[d]);
    }
    double cut = plan->output_cut == 0 ? 0 : ldexp((n_parties + 1) / 2, plan->output_cut);
    for (size_t j = 0; j < csl_plan_n_outputs(plan); j++) {
        bound[j] = ldexp(e[j] + cut, -(int)csl_plan_output_frac(plan));
    }
    csl_secret_free(e);
    return CSL_OK;
}

void csl_plan_decode_output(const struct csl_plan *plan, double *y, const int64_t *joined, size_t n) {
    int scale = (int)plan->output_cut - (int)csl_plan_output_frac(plan);
    for (size_t i = 0; i < n; i++) {
        y[i] = ldexp((double)joined[i], scale);
    }
}

uint32_t csl_argmax(const double *y, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++) {
        best = y[i] > y[best] ? i : best;
    }
    return best;
}

void csl_plan_apply_head(const struct csl_plan *plan, double *y) {
    uint32_t n = csl_plan_n_outputs(plan);
    if (plan->head == CSL_HEAD_LOGITS) {
        return;
    }
    double top = y[csl_argmax(y, n)];
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += exp(y[i] - top);
    }
    for (uint32_t i = 0; i < n; i++) {
        y[i] = plan->head == CSL_HEAD_SOFTMAX ? exp(y[i] - top) / sum : y[i] - top - log(sum);
    }
}
