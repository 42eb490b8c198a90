/* Layers with a factor and an offset for each channel: normalisation and rescaling. */
#include <math.h>

#include "nn/keras/keras_internal.h"

/* Weights in the order gamma, beta, mean, variance; gamma and beta only with scale and center. */
static enum csl_err normalisation_weights(struct csl__keras_layer *l, uint32_t in[5]) {
    static const char *const all[] = {"gamma", "beta", "moving_mean", "moving_variance"};
    const bool has[] = {csl__keras_get_bool(l, "scale", true), csl__keras_get_bool(l, "center", true), true,
                        true};
    const char *roles[4];
    struct csl__keras_array w[4];
    size_t n = 0;
    for (size_t i = 0; i < 4; i++) {
        if (has[i]) {
            roles[n++] = all[i];
        }
    }
    TRY(csl__keras_weights(l, w, roles, n));
    for (size_t i = 0, k = 0; i < 4; i++) {
        const int64_t *channels = &w[n - 1].dims[0];
        if (has[i]) {
            TRY(csl__keras_expect(l, &w[k], roles[k], 1, k == 0 && n > 1 ? w[1].dims : channels));
            TRY(csl__keras_copy(l, &in[i + 1], &w[k++], all[i]));
            continue;
        }
        bool fresh;
        TRY(csl__keras_constant(l, &in[i + 1], &fresh, all[i], CSL_DTYPE_F32, 1, channels));
        for (int64_t c = 0; c < *channels; c++) {
            l->c->graph->tensors[in[i + 1]].f32[c] = i == 0 ? 1.0F : 0.0F;
        }
    }
    return CSL_OK;
}

enum csl_err csl__keras_batch_normalisation(struct csl__keras_layer *l) {
    struct csl_attributes attr = csl_attributes_default();
    double epsilon, axis;
    unsigned rank = csl__keras_rank(l->c, l->in[0]);
    TRY(csl__keras_get_number(l, &epsilon, "epsilon", 1e-3));
    TRY(csl__keras_get_number(l, &axis, "axis", -1));
    attr.epsilon = (float)epsilon;
    attr.channels_last = axis == -1 || (rank != 0 && axis == rank - 1);
    if (!attr.channels_last && axis != 1 && !(rank != 0 && axis == 1 - (double)rank)) {
        return csl__keras_unsupported(l, "normalise over the channels (axis -1, or 1 with channels_first)",
                                      "it normalises over the dimension %g, which is not the channels", axis);
    }
    if (!isfinite(attr.epsilon) || attr.epsilon < 0) {
        return csl__keras_fail(l, "its epsilon %g is not a number from 0", epsilon);
    }
    uint32_t in[5] = {l->in[0]};
    TRY(normalisation_weights(l, in));
    return csl__keras_emit(l, CSL_OP_BATCH_NORMALIZATION, "", in, 5, &attr, rank);
}

/* A number, or a list of one for each channel (the last dimension). */
static enum csl_err channel_constant(struct csl__keras_layer *l, uint32_t *tensor, const char *key,
                                     double absent) {
    const json_t *value = json_object_get(l->config, key);
    const json_t *list = json_is_object(value) ? json_object_get(value, "value") : value;
    const int64_t n = json_is_array(list) ? (int64_t)json_array_size(list) : 1;
    bool fresh;
    if (n < 1 || n > 4096) {
        return csl__keras_fail(l, "\"%s\" in its configuration has %lld entries", key, (long long)n);
    }
    TRY(csl__keras_constant(l, tensor, &fresh, key, CSL_DTYPE_F32, 1, &n));
    for (int64_t i = 0; i < n; i++) {
        double v = absent;
        const json_t *item = json_is_array(list) ? json_array_get(list, (size_t)i) : value;
        if (item != NULL && !json_is_null(item) && !csl__keras_number(&v, item)) {
            return csl__keras_fail(l, "\"%s\" in its configuration is not a number", key);
        }
        l->c->graph->tensors[*tensor].f32[i] = (float)v;
    }
    return CSL_OK;
}

enum csl_err csl__keras_rescaling(struct csl__keras_layer *l) {
    uint32_t mul[2] = {l->in[0], CSL_NO_TENSOR}, add[2];
    unsigned rank = csl__keras_rank(l->c, l->in[0]);
    TRY(channel_constant(l, &mul[1], "scale", 1));
    TRY(csl__keras_emit(l, CSL_OP_MUL, "", mul, 2, NULL, rank));
    add[0] = l->out;
    TRY(channel_constant(l, &add[1], "offset", 0));
    return csl__keras_emit(l, CSL_OP_ADD, "offset", add, 2, NULL, rank);
}
