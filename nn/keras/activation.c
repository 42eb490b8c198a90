/* Activations: by name in other layers, and layers of their own. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/keras/keras_internal.h"

static const char hint[] = "use relu, relu6, leaky_relu, elu, sigmoid, hard_sigmoid or tanh, and train again";

/* An elementwise function, behind a name or layer. */
static enum csl_err emit(struct csl__keras_layer *l, uint32_t x, enum csl_op op,
                         const struct csl_attributes *attr) {
    const char *suffix = l->out == CSL_NO_TENSOR ? "" : csl_op_text(op);
    return csl__keras_emit(l, op, suffix, &x, 1, attr, csl__keras_rank(l->c, x));
}

static enum csl_err emit_alpha(struct csl__keras_layer *l, uint32_t x, enum csl_op op, double alpha,
                               double beta) {
    struct csl_attributes attr = csl_attributes_default();
    attr.alpha = (float)alpha;
    attr.beta = (float)beta;
    if (!isfinite(attr.alpha)) {
        return csl__keras_fail(l, "a parameter of its activation is not finite");
    }
    return emit(l, x, op, &attr);
}

static enum csl_err emit_clip(struct csl__keras_layer *l, uint32_t x, double lo, double hi) {
    struct csl_attributes attr = csl_attributes_default();
    attr.has_min = attr.has_max = true;
    attr.min = (float)lo;
    attr.max = (float)hi;
    if (!isfinite(attr.min) || !isfinite(attr.max) || attr.min > attr.max) {
        return csl__keras_fail(l, "it clips to %g to %g, which is no range", lo, hi);
    }
    return emit(l, x, CSL_OP_CLIP, &attr);
}

static enum csl_err emit_softmax(struct csl__keras_layer *l, uint32_t x, enum csl_op op, int64_t axis) {
    struct csl_attributes attr = csl_attributes_default();
    attr.has_axis = true;
    attr.axis = axis;
    return emit(l, x, op, &attr);
}

/* scale * elu(x, alpha), with the constants of Klambauer et al. */
static enum csl_err emit_selu(struct csl__keras_layer *l, uint32_t x) {
    uint32_t in[2];
    TRY(emit_alpha(l, x, CSL_OP_ELU, 1.6732632423543772, 1));
    in[0] = l->out;
    TRY(csl__keras_scalar(l, &in[1], "scale", 1.0507009873554805F));
    return csl__keras_emit(l, CSL_OP_MUL, "selu", in, 2, NULL, csl__keras_rank(l->c, x));
}

static enum csl_err by_name(struct csl__keras_layer *l, const char *name, uint32_t x) {
    static const struct {
        const char *name;
        enum csl_op op;
    } plain[] = {{"relu", CSL_OP_RELU}, {"sigmoid", CSL_OP_SIGMOID}, {"tanh", CSL_OP_TANH}};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (strcmp(name, plain[i].name) == 0) {
            return emit(l, x, plain[i].op, NULL);
        }
    }
    if (strcmp(name, "linear") == 0) {
        return CSL_OK;
    } else if (strcmp(name, "softmax") == 0) {
        return emit_softmax(l, x, CSL_OP_SOFTMAX, -1);
    } else if (strcmp(name, "log_softmax") == 0) {
        return emit_softmax(l, x, CSL_OP_LOGSOFTMAX, -1);
    } else if (strcmp(name, "relu6") == 0) {
        return emit_clip(l, x, 0, 6);
    } else if (strcmp(name, "hard_tanh") == 0) {
        return emit_clip(l, x, -1, 1);
    } else if (strcmp(name, "elu") == 0) {
        return emit_alpha(l, x, CSL_OP_ELU, 1, 1);
    } else if (strcmp(name, "leaky_relu") == 0) {
        return emit_alpha(l, x, CSL_OP_LEAKY_RELU, 0.2, 1);
    } else if (strcmp(name, "selu") == 0) {
        return emit_selu(l, x);
    } else if (strcmp(name, "hard_sigmoid") == 0) { /* Keras 3 has another slope than Keras 2 */
        return emit_alpha(l, x, CSL_OP_HARD_SIGMOID, l->c->major >= 3 ? 1.0 / 6 : 0.2, 0.5);
    }
    return csl__keras_unsupported(l, hint, "the activation \"%.60s\" is not supported", name);
}

/* ReLU(max_value, negative_slope, threshold) */
static enum csl_err relu(struct csl__keras_layer *l, uint32_t x) {
    double max, slope, threshold;
    TRY(csl__keras_get_number(l, &max, "max_value", INFINITY));
    TRY(csl__keras_get_number(l, &slope, "negative_slope", 0));
    TRY(csl__keras_get_number(l, &threshold, "threshold", 0));
    if (threshold != 0 || (slope != 0 && isfinite(max))) {
        return csl__keras_unsupported(l, "use ReLU with max_value alone or negative_slope alone",
                                      threshold != 0 ? "ReLU with a threshold is not supported"
                                                     : "ReLU with max_value and negative_slope together is "
                                                       "not supported");
    }
    if (isfinite(max)) {
        return emit_clip(l, x, 0, max);
    }
    return slope != 0 ? emit_alpha(l, x, CSL_OP_LEAKY_RELU, slope, 1) : emit(l, x, CSL_OP_RELU, NULL);
}

static enum csl_err by_layer(struct csl__keras_layer *l, const char *type, uint32_t x) {
    double a;
    if (strcmp(type, "ReLU") == 0) {
        return relu(l, x);
    } else if (strcmp(type, "LeakyReLU") == 0) { /* alpha was renamed in Keras 3 */
        TRY(csl__keras_get_number(l, &a, "alpha", 0.3));
        TRY(csl__keras_get_number(l, &a, "negative_slope", a));
        return emit_alpha(l, x, CSL_OP_LEAKY_RELU, a, 1);
    } else if (strcmp(type, "ELU") == 0) {
        TRY(csl__keras_get_number(l, &a, "alpha", 1));
        return emit_alpha(l, x, CSL_OP_ELU, a, 1);
    } else if (strcmp(type, "Softmax") == 0) {
        TRY(csl__keras_get_number(l, &a, "axis", -1));
        if (a != rint(a) || fabs(a) > CSL_MAX_RANK) {
            return csl__keras_fail(l, "its axis is not a dimension");
        }
        return emit_softmax(l, x, CSL_OP_SOFTMAX, (int64_t)a);
    }
    return csl__keras_unsupported(l, hint, "the activation \"%.60s\" is not supported", type);
}

/* The function that a serialised object names: a string, {"class_name": "function", "config": "relu"}, or a
 * layer with its configuration. */
enum csl_err csl__keras_activation(struct csl__keras_layer *l, const json_t *value, uint32_t x) {
    if (value == NULL || json_is_null(value)) {
        return CSL_OK;
    }
    if (json_is_string(value)) {
        return by_name(l, json_string_value(value), x);
    }
    const char *type = csl__keras_text(json_object_get(value, "class_name"));
    const json_t *config = json_object_get(value, "config");
    if (json_is_string(config)) {
        return by_name(l, json_string_value(config), x);
    }
    if (type[0] == '\0' || !json_is_object(config)) {
        return csl__keras_fail(l, "its activation is neither a name nor a layer");
    }
    const json_t *own = l->config;
    l->config = config;
    enum csl_err err =
        strcmp(type, "Activation") == 0 && json_is_string(json_object_get(config, "activation"))
            ? by_name(l, csl__keras_text(json_object_get(config, "activation")), x)
            : by_layer(l, type, x);
    l->config = own;
    return err;
}
