/* Layers by class, except convolutions and activations. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/keras/keras_internal.h"

/* ---- Building blocks ---- */

unsigned csl__keras_rank(const struct csl__keras_context *c, uint32_t tensor) {
    return tensor < c->n_rank ? c->rank[tensor] : 0;
}

enum csl_err csl__keras_set_rank(struct csl__keras_context *c, uint32_t tensor, unsigned rank) {
    if (tensor >= c->n_rank) {
        size_t n = (size_t)tensor * 2 + 64;
        uint8_t *more = realloc(c->rank, n);
        if (more == NULL) {
            return CSL_ENOMEM;
        }
        memset(more + c->n_rank, 0, n - c->n_rank);
        c->rank = more;
        c->n_rank = n;
    }
    c->rank[tensor] = (uint8_t)rank;
    return CSL_OK;
}

enum csl_err csl__keras_emit(struct csl__keras_layer *l, enum csl_op op, const char *suffix,
                             const uint32_t *inputs, unsigned n_inputs, const struct csl_attributes *attr,
                             unsigned rank) {
    char name[320];
    snprintf(name, sizeof name, "%s%s%s", l->out_name, suffix[0] == '\0' ? "" : "/", suffix);
    uint32_t out = (uint32_t)l->c->graph->n_tensors;
    char tensor[340]; /* a name of its own: the layer's name is taken by the layer's output */
    snprintf(tensor, sizeof tensor, "%s #%u", name, (unsigned)out);
    TRY(csl_graph_tensor(l->c->graph, &out, tensor, l->c->diag));
    TRY(csl__keras_set_rank(l->c, out, rank));
    TRY(csl_graph_node(l->c->graph, op, name, suffix[0] == '\0' ? l->type : csl_op_text(op), inputs, n_inputs,
                       &out, 1, attr, l->c->diag));
    l->out = out;
    return CSL_OK;
}

enum csl_err csl__keras_constant(struct csl__keras_layer *l, uint32_t *tensor, bool *fresh,
                                 const char *suffix, enum csl_dtype type, unsigned rank,
                                 const int64_t *dims) {
    char name[320];
    snprintf(name, sizeof name, "%s/%s", l->name, suffix);
    TRY(csl_graph_tensor(l->c->graph, tensor, name, l->c->diag));
    const struct csl_tensor *t = &l->c->graph->tensors[*tensor];
    *fresh = t->dtype == CSL_DTYPE_NONE;
    if (!*fresh) { /* a shared layer, or another layer of that name */
        bool same = t->dtype == type && t->rank == rank;
        for (unsigned i = 0; i < rank && same; i++) {
            same = t->dims[i] == dims[i];
        }
        return same ? CSL_OK : csl__keras_fail(l, "two layers of the model have this name");
    }
    return csl_graph_constant(l->c->graph, *tensor, type, rank, dims, l->c->diag);
}

enum csl_err csl__keras_scalar(struct csl__keras_layer *l, uint32_t *tensor, const char *suffix,
                               float value) {
    const int64_t one = 1;
    bool fresh;
    TRY(csl__keras_constant(l, tensor, &fresh, suffix, CSL_DTYPE_F32, 1, &one));
    l->c->graph->tensors[*tensor].f32[0] = value;
    return CSL_OK;
}

enum csl_err csl__keras_unsupported(struct csl__keras_layer *l, const char *hint, const char *fmt, ...) {
    char reason[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(reason, sizeof reason, fmt, args);
    va_end(args);
    csl_text_clean(reason);
    const uint32_t *in = l->out != CSL_NO_TENSOR ? &l->out : l->in;
    TRY(csl__keras_emit(l, CSL_OP_UNKNOWN, "", in, l->out != CSL_NO_TENSOR ? 1 : l->n_in, NULL, 0));
    const struct csl_node *node = &l->c->graph->nodes[l->c->graph->n_nodes - 1];
    return csl_issues_add(l->c->issues, node->name, node->op_name, hint, "%s", reason);
}

/* ---- Layers ---- */

static enum csl_err nothing(struct csl__keras_layer *l) {
    return csl__keras_emit(l, CSL_OP_IDENTITY, "", l->in, 1, NULL, csl__keras_rank(l->c, l->in[0]));
}

static enum csl_err dropout(struct csl__keras_layer *l) {
    return csl__keras_emit(l, CSL_OP_DROPOUT, "", l->in, 1, NULL, csl__keras_rank(l->c, l->in[0]));
}

/* Vectors: Gemm. Otherwise the last dimension is multiplied: MatMul and Add. */
static enum csl_err dense(struct csl__keras_layer *l) {
    static const char *const roles[] = {"kernel", "bias"};
    struct csl__keras_array w[2];
    double units;
    bool bias = csl__keras_get_bool(l, "use_bias", true);
    unsigned rank = csl__keras_rank(l->c, l->in[0]);
    TRY(csl__keras_get_number(l, &units, "units", -1));
    TRY(csl__keras_weights(l, w, roles, bias ? 2 : 1));
    if (!(units == -1 || (units >= 1 && units <= CSL_GRAPH_MAX_DIM))) {
        return csl__keras_fail(l, "\"units\" in its configuration is not a whole number from 1");
    }
    const int64_t dims[2] = {-1, (int64_t)units};
    TRY(csl__keras_expect(l, &w[0], "kernel", 2, dims));
    uint32_t in[3] = {l->in[0], CSL_NO_TENSOR, CSL_NO_TENSOR};
    TRY(csl__keras_copy(l, &in[1], &w[0], "kernel"));
    if (bias) {
        TRY(csl__keras_expect(l, &w[1], "bias", 1, &w[0].dims[1]));
        TRY(csl__keras_copy(l, &in[2], &w[1], "bias"));
    }
    if (rank <= 2) {
        TRY(csl__keras_emit(l, CSL_OP_GEMM, "", in, bias ? 3 : 2, NULL, 2));
    } else {
        TRY(csl__keras_emit(l, CSL_OP_MATMUL, "", in, 2, NULL, rank));
        uint32_t add[2] = {l->out, in[2]};
        if (bias) {
            TRY(csl__keras_emit(l, CSL_OP_ADD, "BiasAdd", add, 2, NULL, rank));
        }
    }
    return csl__keras_activation(l, json_object_get(l->config, "activation"), l->out);
}

static enum csl_err activation(struct csl__keras_layer *l) {
    return csl__keras_activation(l, json_object_get(l->config, "activation"), l->in[0]);
}

/* A layer that is an activation itself, in the form in which other layers hold it. */
static enum csl_err activation_layer(struct csl__keras_layer *l) {
    json_t *value = json_pack("{s:s, s:O}", "class_name", l->type, "config", (json_t *)(uintptr_t)l->config);
    if (value == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = csl__keras_activation(l, value, l->in[0]);
    json_decref(value);
    return err;
}

static enum csl_err to_channels_last(struct csl__keras_layer *l, uint32_t x) {
    struct csl_attributes attr = csl_attributes_default();
    attr.n_perm = 4;
    memcpy(attr.perm, (const int64_t[]){0, 2, 3, 1}, 4 * sizeof(int64_t));
    return csl__keras_emit(l, CSL_OP_TRANSPOSE, "Transpose", &x, 1, &attr, 4);
}

/* With channels_first, Keras flattens in the order of channels_last all the same. */
static enum csl_err flatten(struct csl__keras_layer *l) {
    uint32_t x = l->in[0];
    if (!csl__keras_channels_last(l) && csl__keras_rank(l->c, x) == 4) {
        TRY(to_channels_last(l, x));
        x = l->out;
    }
    return csl__keras_emit(l, CSL_OP_FLATTEN, "", &x, 1, NULL, 2);
}

static enum csl_err global_pool(struct csl__keras_layer *l) {
    struct csl_attributes attr = csl_attributes_default();
    attr.channels_last = csl__keras_channels_last(l);
    enum csl_op op =
        strncmp(l->type, "GlobalMax", 9) == 0 ? CSL_OP_GLOBAL_MAX_POOL : CSL_OP_GLOBAL_AVERAGE_POOL;
    TRY(csl__keras_emit(l, op, "", l->in, 1, &attr, 4));
    if (csl__keras_get_bool(l, "keepdims", false)) {
        return CSL_OK;
    }
    return csl__keras_emit(l, CSL_OP_FLATTEN, "Flatten", &l->out, 1, NULL, 2);
}

/* A list of whole numbers of the configuration behind `first`. */
static enum csl_err get_list(struct csl__keras_layer *l, int64_t *list, unsigned *n, const char *key,
                             int64_t lo) {
    const json_t *value = json_object_get(l->config, key);
    size_t size = json_array_size(value);
    if (!json_is_array(value) || size == 0 || size >= CSL_MAX_RANK) {
        return csl__keras_fail(l, "\"%s\" in its configuration is not a list of 1 to %d numbers", key,
                               CSL_MAX_RANK - 1);
    }
    for (size_t i = 0; i < size; i++) {
        list[i] = json_integer_value(json_array_get(value, i));
        if (!json_is_integer(json_array_get(value, i)) || list[i] < lo || list[i] > CSL_GRAPH_MAX_DIM) {
            return csl__keras_fail(l, "\"%s\" in its configuration has an entry that is no dimension", key);
        }
    }
    *n = (unsigned)size;
    return CSL_OK;
}

static enum csl_err reshape(struct csl__keras_layer *l) {
    int64_t dims[CSL_MAX_RANK] = {0}; /* the batch stays */
    unsigned n;
    TRY(get_list(l, dims + 1, &n, "target_shape", -1));
    const int64_t rank = (int64_t)n + 1;
    uint32_t in[2] = {l->in[0], CSL_NO_TENSOR};
    bool fresh;
    TRY(csl__keras_constant(l, &in[1], &fresh, "shape", CSL_DTYPE_I64, 1, &rank));
    memcpy(l->c->graph->tensors[in[1]].i64, dims, (size_t)rank * sizeof *dims);
    return csl__keras_emit(l, CSL_OP_RESHAPE, "", in, 2, NULL, (unsigned)rank);
}

static enum csl_err permute(struct csl__keras_layer *l) {
    struct csl_attributes attr = csl_attributes_default();
    unsigned n, seen = 0;
    TRY(get_list(l, attr.perm + 1, &n, "dims", 1));
    for (unsigned i = 1; i <= n; i++) {
        seen |= attr.perm[i] <= (int64_t)n ? 1U << attr.perm[i] : 0;
    }
    if (seen != (2U << n) - 2) {
        return csl__keras_fail(l, "\"dims\" in its configuration is not a permutation of 1 to %u", n);
    }
    attr.n_perm = n + 1;
    return csl__keras_emit(l, CSL_OP_TRANSPOSE, "", l->in, 1, &attr, n + 1);
}

/* padding: a number, a pair, or ((top, bottom), (left, right)) */
static enum csl_err zero_padding(struct csl__keras_layer *l) {
    struct csl_attributes attr = csl_attributes_default();
    attr.channels_last = csl__keras_channels_last(l);
    attr.n_pads = 8;
    const json_t *value = json_object_get(l->config, "padding");
    for (size_t i = 0; i < 2; i++) {
        const json_t *side = json_is_array(value) ? json_array_get(value, i) : value;
        size_t at = i + (attr.channels_last ? 1 : 2);
        for (size_t j = 0; j < 2; j++) {
            const json_t *v = json_is_array(side) ? json_array_get(side, j) : side;
            attr.pads[at + 4 * j] = json_integer_value(v);
            if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > 4096) {
                return csl__keras_fail(l, "\"padding\" in its configuration is not a number from 0 to 4096, "
                                          "nor two pairs of such");
            }
        }
    }
    return csl__keras_emit(l, CSL_OP_PAD, "", l->in, 1, &attr, 4);
}

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

static enum csl_err batch_normalisation(struct csl__keras_layer *l) {
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

static enum csl_err rescaling(struct csl__keras_layer *l) {
    uint32_t mul[2] = {l->in[0], CSL_NO_TENSOR}, add[2];
    unsigned rank = csl__keras_rank(l->c, l->in[0]);
    TRY(channel_constant(l, &mul[1], "scale", 1));
    TRY(csl__keras_emit(l, CSL_OP_MUL, "", mul, 2, NULL, rank));
    add[0] = l->out;
    TRY(channel_constant(l, &add[1], "offset", 0));
    return csl__keras_emit(l, CSL_OP_ADD, "offset", add, 2, NULL, rank);
}

static enum csl_err several(struct csl__keras_layer *l) {
    if (l->n_in < 2) {
        return csl__keras_fail(l, "it has %u inputs; it needs 2 or more", l->n_in);
    }
    return CSL_OK;
}

static enum csl_err add(struct csl__keras_layer *l) {
    TRY(several(l));
    return csl__keras_emit(l, l->n_in == 2 ? CSL_OP_ADD : CSL_OP_SUM, "", l->in, l->n_in, NULL,
                           csl__keras_rank(l->c, l->in[0]));
}

static enum csl_err subtract(struct csl__keras_layer *l) {
    TRY(several(l));
    return csl__keras_emit(l, CSL_OP_SUB, "", l->in, 2, NULL, csl__keras_rank(l->c, l->in[0]));
}

static enum csl_err average(struct csl__keras_layer *l) {
    uint32_t mul[2];
    TRY(add(l));
    mul[0] = l->out;
    TRY(csl__keras_scalar(l, &mul[1], "weight", 1.0F / (float)l->n_in));
    return csl__keras_emit(l, CSL_OP_MUL, "Mul", mul, 2, NULL, csl__keras_rank(l->c, l->in[0]));
}

static enum csl_err concatenate(struct csl__keras_layer *l) {
    struct csl_attributes attr = csl_attributes_default();
    double axis;
    TRY(several(l));
    TRY(csl__keras_get_number(l, &axis, "axis", -1));
    if (axis != rint(axis) || fabs(axis) > CSL_MAX_RANK) {
        return csl__keras_fail(l, "its axis is not a dimension");
    }
    attr.has_axis = true;
    attr.axis = (int64_t)axis;
    return csl__keras_emit(l, CSL_OP_CONCAT, "", l->in, l->n_in, &attr, csl__keras_rank(l->c, l->in[0]));
}

/* ---- The table ---- */

static const struct {
    const char *type;
    enum csl_err (*make)(struct csl__keras_layer *l);
} makers[] = {
    {"Dense", dense},
    {"Conv2D", csl__keras_conv2d},
    {"DepthwiseConv2D", csl__keras_depthwise},
    {"SeparableConv2D", csl__keras_separable},
    {"MaxPooling2D", csl__keras_max_pool},
    {"AveragePooling2D", csl__keras_average_pool},
    {"GlobalAveragePooling2D", global_pool},
    {"GlobalMaxPooling2D", global_pool},
    {"Flatten", flatten},
    {"Reshape", reshape},
    {"Permute", permute},
    {"ZeroPadding2D", zero_padding},
    {"BatchNormalization", batch_normalisation},
    {"BatchNormalizationV1", batch_normalisation},
    {"BatchNormalizationV2", batch_normalisation},
    {"SyncBatchNormalization", batch_normalisation},
    {"Rescaling", rescaling},
    {"Add", add},
    {"Subtract", subtract},
    {"Average", average},
    {"Concatenate", concatenate},
    {"Activation", activation},
    {"ReLU", activation_layer},
    {"LeakyReLU", activation_layer},
    {"ELU", activation_layer},
    {"Softmax", activation_layer},
    {"Dropout", dropout},
    {"SpatialDropout1D", dropout},
    {"SpatialDropout2D", dropout},
    {"GaussianDropout", dropout},
    {"AlphaDropout", dropout},
    {"GaussianNoise", nothing},
    {"ActivityRegularization", nothing},
    {"RandomFlip", nothing},
    {"RandomRotation", nothing},
    {"RandomZoom", nothing},
    {"RandomTranslation", nothing},
    {"RandomContrast", nothing},
    {"RandomBrightness", nothing},
    {"Identity", nothing},
    {"InputLayer", nothing},
};

/* What a user can do about a class that we do not have; a prefix match. */
static const char *hint_for(const char *type) {
    static const struct {
        const char *type, *hint;
    } hints[] = {
        {"Lambda",
         "its Python code is not run; write it with standard layers (Rescaling, Reshape, Activation)"},
        {"TFOpLambda", "write the operation with standard layers (Add, Rescaling, Reshape, Concatenate)"},
        {"LSTM", "recurrent networks cannot be run; use convolutions or dense layers"},
        {"GRU", "recurrent networks cannot be run; use convolutions or dense layers"},
        {"SimpleRNN", "recurrent networks cannot be run; use convolutions or dense layers"},
        {"Bidirectional", "recurrent networks cannot be run; use convolutions or dense layers"},
        {"Embedding", "texts cannot be classified; the input must be numbers of a fixed shape"},
        {"MultiHeadAttention", "attention cannot be run; use convolutions or dense layers"},
        {"LayerNormalization", "use BatchNormalization, which folds into the weights, and train again"},
        {"GroupNormalization", "use BatchNormalization, which folds into the weights, and train again"},
        {"Normalization", "remove it and choose the same with --normalize, or use Rescaling"},
        {"PReLU", "use LeakyReLU and train again"},
        {"ThresholdedReLU", "use ReLU and train again"},
        {"Conv1D", "use Conv2D with a kernel of height 1, and an input of height 1"},
        {"MaxPooling1D", "use MaxPooling2D with a window of height 1"},
        {"AveragePooling1D", "use AveragePooling2D with a window of height 1"},
        {"Conv2DTranspose", "transposed convolutions cannot be run; classifiers do without"},
        {"UpSampling2D", "upsampling cannot be run; classifiers do without"},
        {"Cropping2D", "crop the images before they are shared"},
        {"Resizing", "resize the images before they are shared"},
        {"CenterCrop", "crop the images before they are shared"},
        {"Multiply", "products of two values of the network cannot be run; use Add or Concatenate"},
        {"Maximum", "use MaxPooling2D, or ReLU of a difference, and train again"},
    };
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        if (strncmp(type, hints[i].type, strlen(hints[i].type)) == 0) {
            return hints[i].hint;
        }
    }
    return "use Dense, Conv2D, pooling, BatchNormalization, Add, Concatenate, Flatten and activations";
}

enum csl_err csl__keras_layer(struct csl__keras_layer *l) {
    const json_t *entry = json_array_get(l->scope->layers, l->index);
    const char *registered = csl__keras_text(json_object_get(entry, "registered_name"));
    bool custom = strchr(registered, '>') != NULL;
    for (size_t i = 0; i < sizeof makers / sizeof makers[0] && !custom; i++) {
        if (strcmp(l->type, makers[i].type) != 0) {
            continue;
        }
        if (l->n_in == 0) {
            return csl__keras_fail(l, "it has no input");
        }
        TRY(makers[i].make(l));
        return l->out == CSL_NO_TENSOR ? nothing(l) : CSL_OK;
    }
    if (l->n_in == 0) {
        return csl__keras_fail(l, "it has no input");
    }
    return csl__keras_unsupported(
        l, custom ? "a class of your own: write it with standard layers" : hint_for(l->type),
        "the layer is not supported");
}
