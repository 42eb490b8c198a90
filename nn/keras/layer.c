/* Layers by class: the table of all, and those that have no file of their own. */
#include <math.h>
#include <string.h>

#include "nn/keras/keras_internal.h"

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
    {"BatchNormalization", csl__keras_batch_normalisation},
    {"BatchNormalizationV1", csl__keras_batch_normalisation},
    {"BatchNormalizationV2", csl__keras_batch_normalisation},
    {"SyncBatchNormalization", csl__keras_batch_normalisation},
    {"Rescaling", csl__keras_rescaling},
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
