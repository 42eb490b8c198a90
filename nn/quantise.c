/* Weights in fixed point, as the plan says. */
#include <math.h>
#include <stdlib.h>

#include "crypto/secret.h"
#include "nn/plan_internal.h"

/* round(x * 2^frac_bits), ties to even; false when it is not finite or beyond limit. */
static bool to_fixed(int64_t *out, double x, unsigned frac_bits, int64_t limit) {
    double v = ldexp(x, (int)frac_bits);
    *out = 0;
    if (!(fabs(v) < (double)limit)) {
        return false;
    }
    *out = (int64_t)llrint(v);
    return true;
}

static enum csl_err to_fixed_array(int64_t *out, const double *in, size_t n, unsigned frac_bits,
                                   int64_t limit, const char *layer, const char *what,
                                   struct csl_diag *diag) {
    for (size_t i = 0; i < n; i++) {
        if (!to_fixed(&out[i], in[i], frac_bits, limit)) {
            return csl_fail(
                diag, CSL_EDATA,
                "layer \"%s\": %s %zu is %g, which %u fraction bits cannot hold; scale the network's "
                "weights down",
                layer, what, i, in[i], frac_bits);
        }
    }
    return CSL_OK;
}

void csl__qlayer_clear(struct csl_layer_qweights *q) {
    csl_secret_free(q->w);
    csl_secret_free(q->b);
    *q = (struct csl_layer_qweights){0};
}

enum csl_err csl__quantise_layer(struct csl_layer_qweights *q, const struct csl_step *step, unsigned x_frac,
                                 const struct csl_layer_weights *weights, struct csl_diag *diag) {
    *q = (struct csl_layer_qweights){0};
    size_t n_w = csl_conv_weights(&step->shape);
    if (weights->n_w != n_w || weights->n_b != step->shape.out_c) {
        return csl_fail(diag, CSL_EDATA,
                        "layer \"%s\" has %zu weights and %u biases in the plan, %zu and %zu are given",
                        step->name, n_w, step->shape.out_c, weights->n_w, weights->n_b);
    }
    *q = (struct csl_layer_qweights){.n_w = n_w, .n_b = weights->n_b};
    q->w = csl_secret_alloc(n_w, sizeof *q->w);
    q->b = csl_secret_alloc(q->n_b, sizeof *q->b);
    enum csl_err err = q->w == NULL || q->b == NULL ? CSL_ENOMEM : CSL_OK;
    if (err == CSL_OK) {
        err =
            to_fixed_array(q->w, weights->w, n_w, step->w_frac, CSL__MAX_WEIGHT, step->name, "weight", diag);
    }
    if (err == CSL_OK) {
        err = to_fixed_array(q->b, weights->b, q->n_b, x_frac + step->w_frac, CSL__MAX_BIAS, step->name,
                             "bias", diag);
    }
    if (err != CSL_OK) {
        csl__qlayer_clear(q);
    }
    return err;
}

enum csl_err csl_quantise(struct csl_qweights *out, const struct csl_plan *plan,
                          const struct csl_weights *weights, struct csl_diag *diag) {
    *out = (struct csl_qweights){0};
    if (weights->n_layers != plan->n_layers) {
        return csl_fail(diag, CSL_EDATA, "the plan has %u layers, the weights have %u", plan->n_layers,
                        weights->n_layers);
    }
    out->layers = calloc(plan->n_layers + 1, sizeof *out->layers);
    if (out->layers == NULL) {
        return CSL_ENOMEM;
    }
    out->n_layers = plan->n_layers;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const struct csl_step *step = &plan->steps[i];
        if (step->kind == CSL_STEP_LINEAR && step->layer < plan->n_layers) {
            enum csl_err err =
                csl__quantise_layer(&out->layers[step->layer], step, plan->values[step->in[0]].frac,
                                    &weights->layers[step->layer], diag);
            if (err != CSL_OK) {
                csl_qweights_clear(out);
                return err;
            }
        }
    }
    return CSL_OK;
}

void csl_qweights_clear(struct csl_qweights *q) {
    for (uint32_t d = 0; q->layers != NULL && d < q->n_layers; d++) {
        csl__qlayer_clear(&q->layers[d]);
    }
    free(q->layers);
    *q = (struct csl_qweights){0};
}

void csl_weights_clear(struct csl_weights *weights) {
    for (uint32_t d = 0; weights->layers != NULL && d < weights->n_layers; d++) {
        csl_secret_free(weights->layers[d].w);
        csl_secret_free(weights->layers[d].b);
    }
    free(weights->layers);
    *weights = (struct csl_weights){0};
}
