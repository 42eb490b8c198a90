/* Convolutions and pooling: windows, and weights in the form of ONNX. */
#include <stdio.h>
#include <string.h>

#include "nn/keras/keras_internal.h"

static enum csl_err read_padding(const struct csl__keras_layer *l, struct csl_attributes *attr) {
    const char *padding = csl__keras_text(json_object_get(l->config, "padding"));
    if (strcmp(padding, "same") == 0) {
        attr->auto_pad = CSL_PAD_SAME_UPPER;
    } else if (padding[0] != '\0' && strcmp(padding, "valid") != 0) {
        return csl__keras_fail(l, "its padding is \"%.40s\"; it must be \"valid\" or \"same\"", padding);
    }
    return CSL_OK;
}

/* Window, strides, dilation and padding. kernel_key holds the window; without strides: as `strides_absent`.
 */
static enum csl_err read_window(const struct csl__keras_layer *l, struct csl_attributes *attr,
                                const char *kernel_key, bool strides_are_kernel) {
    bool found;
    *attr = csl_attributes_default();
    attr->n_spatial = 2;
    attr->group = 1;
    attr->channels_last = csl__keras_channels_last(l);
    TRY(csl__keras_get_pair(l, attr->kernel, &found, kernel_key, 1));
    if (!found) {
        return csl__keras_fail(l, "its configuration has no \"%s\"", kernel_key);
    }
    TRY(csl__keras_get_pair(l, attr->strides, &found, "strides", 1));
    for (size_t i = 0; i < 2 && !found; i++) {
        attr->strides[i] = strides_are_kernel ? attr->kernel[i] : 1;
    }
    TRY(csl__keras_get_pair(l, attr->dilations, &found, "dilation_rate", 1));
    for (size_t i = 0; i < 2 && !found; i++) {
        attr->dilations[i] = 1;
    }
    return read_padding(l, attr);
}

/* A whole number from 1, as a dimension; absent: -1, any. */
static enum csl_err get_count(const struct csl__keras_layer *l, int64_t *count, const char *key,
                              int64_t absent) {
    double value;
    TRY(csl__keras_get_number(l, &value, key, (double)absent));
    *count = absent;
    if (value != (double)absent) {
        if (value < 1 || value > CSL_GRAPH_MAX_DIM || value != (double)(int64_t)value) {
            return csl__keras_fail(l, "\"%s\" in its configuration is not a whole number from 1", key);
        }
        *count = (int64_t)value;
    }
    return CSL_OK;
}

/* Height x width x in x out to out x in x height x width. depthwise: the file has height x width x channels x
 * multiplier, of which every filter (channel, multiplier) has one input. */
static enum csl_err kernel_constant(struct csl__keras_layer *l, uint32_t *tensor,
                                    const struct csl__keras_array *k, const char *role, bool depthwise) {
    const size_t spatial = (size_t)(k->dims[0] * k->dims[1]);
    const size_t n_in = (size_t)k->dims[2], n_out = (size_t)k->dims[3];
    const int64_t dims[4] = {depthwise ? k->dims[2] * k->dims[3] : k->dims[3], depthwise ? 1 : k->dims[2],
                             k->dims[0], k->dims[1]};
    bool fresh;
    TRY(csl__keras_constant(l, tensor, &fresh, role, CSL_DTYPE_F32, 4, dims));
    float *to = l->c->graph->tensors[*tensor].f32;
    for (size_t s = 0; fresh && s < spatial; s++) {
        for (size_t i = 0; i < n_in; i++) {
            for (size_t o = 0; o < n_out; o++) {
                size_t filter = depthwise ? i * n_out + o : o * n_in + i;
                to[filter * spatial + s] = csl__keras_at(k, (s * n_in + i) * n_out + o);
            }
        }
    }
    return CSL_OK;
}

/* The node: x, kernel, and the bias where there is one. */
static enum csl_err emit_conv(struct csl__keras_layer *l, const char *suffix, uint32_t x, uint32_t kernel,
                              const struct csl__keras_array *bias, const struct csl_attributes *attr) {
    uint32_t in[3] = {x, kernel, CSL_NO_TENSOR};
    if (bias != NULL) {
        const int64_t n = l->c->graph->tensors[kernel].dims[0];
        TRY(csl__keras_expect(l, bias, "bias", 1, &n));
        TRY(csl__keras_copy(l, &in[2], bias, "bias"));
    }
    return csl__keras_emit(l, CSL_OP_CONV, suffix, in, bias != NULL ? 3 : 2, attr, 4);
}

static enum csl_err finish(struct csl__keras_layer *l) {
    return csl__keras_activation(l, json_object_get(l->config, "activation"), l->out);
}

enum csl_err csl__keras_conv2d(struct csl__keras_layer *l) {
    static const char *const roles[] = {"kernel", "bias"};
    struct csl_attributes attr;
    struct csl__keras_array w[2];
    int64_t filters;
    bool bias = csl__keras_get_bool(l, "use_bias", true);
    TRY(read_window(l, &attr, "kernel_size", false));
    TRY(get_count(l, &attr.group, "groups", 1));
    TRY(get_count(l, &filters, "filters", -1));
    TRY(csl__keras_weights(l, w, roles, bias ? 2 : 1));
    const int64_t dims[4] = {attr.kernel[0], attr.kernel[1], -1, filters};
    TRY(csl__keras_expect(l, &w[0], "kernel", 4, dims));
    uint32_t kernel;
    TRY(kernel_constant(l, &kernel, &w[0], "kernel", false));
    TRY(emit_conv(l, "", l->in[0], kernel, bias ? &w[1] : NULL, &attr));
    return finish(l);
}

enum csl_err csl__keras_depthwise(struct csl__keras_layer *l) {
    /* "kernel" since Keras 3, at the same place */
    const char *roles[] = {l->c->major >= 3 ? "kernel" : "depthwise_kernel", "bias"};
    struct csl_attributes attr;
    struct csl__keras_array w[2];
    int64_t multiplier;
    bool bias = csl__keras_get_bool(l, "use_bias", true);
    TRY(read_window(l, &attr, "kernel_size", false));
    TRY(get_count(l, &multiplier, "depth_multiplier", 1));
    TRY(csl__keras_weights(l, w, roles, bias ? 2 : 1));
    const int64_t dims[4] = {attr.kernel[0], attr.kernel[1], -1, multiplier};
    TRY(csl__keras_expect(l, &w[0], "depthwise_kernel", 4, dims));
    attr.group = w[0].dims[2];
    uint32_t kernel;
    TRY(kernel_constant(l, &kernel, &w[0], "depthwise_kernel", true));
    TRY(emit_conv(l, "", l->in[0], kernel, bias ? &w[1] : NULL, &attr));
    return finish(l);
}

enum csl_err csl__keras_separable(struct csl__keras_layer *l) {
    static const char *const roles[] = {"depthwise_kernel", "pointwise_kernel", "bias"};
    struct csl_attributes attr, point = csl_attributes_default();
    struct csl__keras_array w[3];
    int64_t multiplier, filters;
    bool bias = csl__keras_get_bool(l, "use_bias", true);
    TRY(read_window(l, &attr, "kernel_size", false));
    TRY(get_count(l, &multiplier, "depth_multiplier", 1));
    TRY(get_count(l, &filters, "filters", -1));
    TRY(csl__keras_weights(l, w, roles, bias ? 3 : 2));
    const int64_t depth[4] = {attr.kernel[0], attr.kernel[1], -1, multiplier};
    TRY(csl__keras_expect(l, &w[0], roles[0], 4, depth));
    const int64_t across[4] = {1, 1, w[0].dims[2] * multiplier, filters};
    TRY(csl__keras_expect(l, &w[1], roles[1], 4, across));
    attr.group = w[0].dims[2];
    point.n_spatial = 2;
    point.group = 1;
    point.channels_last = attr.channels_last;
    for (size_t i = 0; i < 2; i++) {
        point.kernel[i] = point.strides[i] = point.dilations[i] = 1;
    }
    uint32_t depthwise, pointwise;
    TRY(kernel_constant(l, &depthwise, &w[0], roles[0], true));
    TRY(kernel_constant(l, &pointwise, &w[1], roles[1], false));
    TRY(emit_conv(l, "depthwise", l->in[0], depthwise, NULL, &attr));
    TRY(emit_conv(l, "", l->out, pointwise, bias ? &w[2] : NULL, &point));
    return finish(l);
}

enum csl_err csl__keras_max_pool(struct csl__keras_layer *l) {
    struct csl_attributes attr;
    TRY(read_window(l, &attr, "pool_size", true));
    return csl__keras_emit(l, CSL_OP_MAX_POOL, "", l->in, 1, &attr, 4);
}

enum csl_err csl__keras_average_pool(struct csl__keras_layer *l) {
    struct csl_attributes attr; /* padding does not count, as by default in ONNX */
    TRY(read_window(l, &attr, "pool_size", true));
    return csl__keras_emit(l, CSL_OP_AVERAGE_POOL, "", l->in, 1, &attr, 4);
}
