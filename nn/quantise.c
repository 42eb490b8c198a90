#include <math.h>

#include "crypto/secret.h"
#include "nn/plan_internal.h"

/* round(x * 2^frac_bits), ties to even; false when it is not finite or beyond limit. */
static bool to_fixed(int64_t *out, float x, unsigned frac_bits, int64_t limit) {
    double v = ldexp((double)x, (int)frac_bits);
    *out = 0;
    if (!(fabs(v) < (double)limit)) {
        return false;
    }
    *out = (int64_t)llrint(v);
    return true;
}

static enum csl_err to_fixed_array(int64_t *out, const float *in, size_t n, unsigned frac_bits, int64_t limit,
                                   const char *layer, const char *what, struct csl_diag *diag) {
    for (size_t i = 0; i < n; i++) {
        if (!to_fixed(&out[i], in[i], frac_bits, limit)) {
            return csl_fail(
                diag, CSL_EDATA,
                "layer \"%s\": %s %zu is %g, which %u fraction bits cannot hold; scale the network's "
                "weights down",
                layer, what, i, (double)in[i], frac_bits);
        }
    }
    return CSL_OK;
}

enum csl_err csl__quantise_layer(struct csl_layer_qweights *q, const struct csl_layer *layer,
                                 const struct csl_layer_weights *weights, struct csl_diag *diag) {
    if (weights->k != layer->k || weights->n != layer->n) {
        return csl_fail(diag, CSL_EDATA, "layer \"%s\" is %u x %u in the plan, %u x %u in the weights",
                        layer->name, layer->k, layer->n, weights->k, weights->n);
    }
    size_t n_w = (size_t)layer->k * layer->n;
    q->k = layer->k;
    q->n = layer->n;
    q->w = csl_secret_alloc(n_w, sizeof *q->w);
    q->b = csl_secret_alloc(layer->n, sizeof *q->b);
    if (q->w == NULL || q->b == NULL) {
        return CSL_ENOMEM;
    }
    TRY(to_fixed_array(q->w, weights->w, n_w, layer->w_frac, CSL__MAX_WEIGHT, layer->name, "weight", diag));
    return to_fixed_array(q->b, weights->b, layer->n, layer->x_frac + layer->w_frac, CSL__MAX_BIAS,
                          layer->name, "bias", diag);
}

enum csl_err csl_quantise(struct csl_qweights *out, const struct csl_plan *plan,
                          const struct csl_weights *weights, struct csl_diag *diag) {
    *out = (struct csl_qweights){.n_layers = plan->n_layers};
    if (weights->n_layers != plan->n_layers) {
        return csl_fail(diag, CSL_EDATA, "the plan has %u layers, the weights have %u", plan->n_layers,
                        weights->n_layers);
    }
    for (uint32_t d = 0; d < plan->n_layers; d++) {
        enum csl_err err = csl__quantise_layer(&out->layers[d], &plan->layers[d], &weights->layers[d], diag);
        if (err != CSL_OK) {
            csl_qweights_clear(out);
            return err;
        }
    }
    return CSL_OK;
}

void csl_qweights_clear(struct csl_qweights *q) {
    for (uint32_t d = 0; d < CSL_PLAN_MAX_LAYERS; d++) {
        csl_secret_free(q->layers[d].w);
        csl_secret_free(q->layers[d].b);
    }
    *q = (struct csl_qweights){0};
}

void csl_weights_clear(struct csl_weights *weights) {
    for (uint32_t d = 0; d < CSL_PLAN_MAX_LAYERS; d++) {
        csl_secret_free(weights->layers[d].w);
        csl_secret_free(weights->layers[d].b);
    }
    *weights = (struct csl_weights){0};
}
