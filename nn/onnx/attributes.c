/* AttributeProtos to struct csl_attributes. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/onnx/onnx_internal.h"

struct reading {
    struct csl_attributes *attr;
    struct csl__refusal *refusal;
    enum csl_op op;
    unsigned n_starts, n_ends; /* Slice */
    bool not_spatial;          /* BatchNormalization, opset 7 and 8 */
    bool noop;                 /* ReduceMean */
};

#define REFUSE(r, hint_text, ...)                                                                            \
    ((r)->refusal->hint = (hint_text),                                                                       \
     (void)snprintf((r)->refusal->reason, sizeof(r)->refusal->reason, __VA_ARGS__))

static bool is_window(enum csl_op op) {
    return op == CSL_OP_CONV || op == CSL_OP_MAX_POOL || op == CSL_OP_AVERAGE_POOL;
}

/* The operator's defaults, where they differ from zero. */
static void set_defaults(struct csl_attributes *attr, enum csl_op op, int64_t opset) {
    *attr = csl_attributes_default();
    attr->group = 1;
    attr->epsilon = 1e-5F;
    attr->keepdims = true;
    for (unsigned i = 0; i < 2; i++) {
        attr->strides[i] = attr->dilations[i] = 1;
    }
    switch (op) {
    case CSL_OP_LEAKY_RELU:
        attr->alpha = 0.01F;
        break;
    case CSL_OP_HARD_SIGMOID:
        attr->alpha = 0.2F;
        attr->beta = 0.5F;
        break;
    case CSL_OP_SOFTMAX:
    case CSL_OP_LOGSOFTMAX:
        attr->has_axis = true;
        attr->axis = opset < 13 ? 1 : -1;
        break;
    case CSL_OP_FLATTEN:
        attr->has_axis = true;
        break;
    case CSL_OP_GATHER:
        attr->has_axis = true;
        attr->axis = 0;
        break;
    case CSL_OP_SHAPE:
        attr->ends[0] = INT64_MAX;
        break;
    default:
        break;
    }
}

/* At most `max` integers; more are a refusal. Returns how many. */
static unsigned read_list(struct reading *r, int64_t *out, const Csl__Onnx__Attribute *a, unsigned max) {
    if (a->n_ints > max) {
        REFUSE(r, "check the exporter", "its attribute \"%.40s\" has %zu entries; at most %u are possible",
               a->name, a->n_ints, max);
        return 0;
    }
    for (size_t i = 0; i < a->n_ints; i++) {
        out[i] = a->ints[i];
    }
    return (unsigned)a->n_ints;
}

/* kernel_shape, strides, dilations. */
static void read_spatial(struct reading *r, int64_t *out, const Csl__Onnx__Attribute *a) {
    if (a->n_ints != 2) {
        REFUSE(r, "only images in two dimensions can be run; write a Conv1d as a Conv2d of height 1",
               "its %.40s has %zu spatial dimensions, not two", a->name, a->n_ints);
        return;
    }
    r->attr->n_spatial = read_list(r, out, a, 2);
}

static void read_pads(struct reading *r, const Csl__Onnx__Attribute *a) {
    if (is_window(r->op) && a->n_ints != 4) {
        REFUSE(r, "only images in two dimensions can be run", "its pads have %zu entries, not four",
               a->n_ints);
        return;
    }
    r->attr->n_pads = read_list(r, r->attr->pads, a, 2 * CSL_MAX_RANK);
}

static bool string_is(const Csl__Onnx__Attribute *a, const char *word) {
    return a->s.len == strlen(word) && memcmp(a->s.data, word, a->s.len) == 0;
}

static void read_auto_pad(struct reading *r, const Csl__Onnx__Attribute *a) {
    static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    for (unsigned i = 0; i < 4; i++) {
        if (string_is(a, names[i])) {
            r->attr->auto_pad = (enum csl_auto_pad)i;
            return;
        }
    }
    if (a->s.len != 0) {
        REFUSE(r, "use NOTSET, SAME_UPPER, SAME_LOWER or VALID", "its auto_pad is not one of the standard's");
    }
}

/* Bounds that bound nothing are none. */
static void read_bound(bool *has, float *out, float v) {
    *has = fabsf(v) < FLT_MAX;
    *out = *has ? v : 0;
}

static void read_fill(struct reading *r, const Csl__Onnx__Attribute *a) {
    int64_t i;
    float f;
    if (!csl__onnx_scalar(&r->attr->fill_is_int, &f, &i, a->t)) {
        REFUSE(r, "fill with one number", "its value is not one number");
        return;
    }
    r->attr->fill = r->attr->fill_is_int ? (float)i : f;
    if (r->attr->fill_is_int && (i < -(1 << 24) || i > 1 << 24)) {
        REFUSE(r, "fill with a smaller number", "its value %lld is too large", (long long)i);
    }
}

/* X(attribute, operator or CSL_OP_UNKNOWN for all, type, what to do with r, a and attr) */
#define ATTRIBUTES(X)                                                                                        \
    X("alpha", CSL_OP_UNKNOWN, CSL__ATTR_FLOAT, attr->alpha = a->f)                                          \
    X("beta", CSL_OP_UNKNOWN, CSL__ATTR_FLOAT, attr->beta = a->f)                                            \
    X("transA", CSL_OP_UNKNOWN, CSL__ATTR_INT, attr->trans_a = a->i != 0)                                    \
    X("transB", CSL_OP_UNKNOWN, CSL__ATTR_INT, attr->trans_b = a->i != 0)                                    \
    X("axis", CSL_OP_UNKNOWN, CSL__ATTR_INT, (attr->has_axis = true, attr->axis = a->i))                     \
    X("allowzero", CSL_OP_RESHAPE, CSL__ATTR_INT, attr->allow_zero = a->i != 0)                              \
    X("perm", CSL_OP_TRANSPOSE, CSL__ATTR_INTS, attr->n_perm = read_list(r, attr->perm, a, CSL_MAX_RANK))    \
    X("kernel_shape", CSL_OP_UNKNOWN, CSL__ATTR_INTS, read_spatial(r, attr->kernel, a))                      \
    X("strides", CSL_OP_UNKNOWN, CSL__ATTR_INTS, read_spatial(r, attr->strides, a))                          \
    X("dilations", CSL_OP_UNKNOWN, CSL__ATTR_INTS, read_spatial(r, attr->dilations, a))                      \
    X("pads", CSL_OP_UNKNOWN, CSL__ATTR_INTS, read_pads(r, a))                                               \
    X("auto_pad", CSL_OP_UNKNOWN, CSL__ATTR_STRING, read_auto_pad(r, a))                                     \
    X("group", CSL_OP_UNKNOWN, CSL__ATTR_INT, attr->group = a->i)                                            \
    X("ceil_mode", CSL_OP_UNKNOWN, CSL__ATTR_INT, attr->ceil_mode = a->i != 0)                               \
    X("count_include_pad", CSL_OP_UNKNOWN, CSL__ATTR_INT, attr->count_include_pad = a->i != 0)               \
    X("epsilon", CSL_OP_UNKNOWN, CSL__ATTR_FLOAT, attr->epsilon = a->f)                                      \
    X("training_mode", CSL_OP_UNKNOWN, CSL__ATTR_INT, attr->training = a->i != 0)                            \
    X("min", CSL_OP_CLIP, CSL__ATTR_FLOAT, read_bound(&attr->has_min, &attr->min, a->f))                     \
    X("max", CSL_OP_CLIP, CSL__ATTR_FLOAT, read_bound(&attr->has_max, &attr->max, a->f))                     \
    X("mode", CSL_OP_PAD, CSL__ATTR_STRING,                                                                  \
      attr->pad_mode = string_is(a, "constant") || a->s.len == 0 ? CSL_PADMODE_CONSTANT : CSL_PADMODE_OTHER) \
    X("value", CSL_OP_PAD, CSL__ATTR_FLOAT, attr->pad_value = a->f)                                          \
    X("value", CSL_OP_CONSTANT_OF_SHAPE, CSL__ATTR_TENSOR, read_fill(r, a))                                  \
    X("axes", CSL_OP_UNKNOWN, CSL__ATTR_INTS,                                                                \
      (attr->has_axes = true, attr->n_axes = read_list(r, attr->axes, a, CSL_MAX_RANK)))                     \
    X("keepdims", CSL_OP_UNKNOWN, CSL__ATTR_INT, attr->keepdims = a->i != 0)                                 \
    X("starts", CSL_OP_SLICE, CSL__ATTR_INTS,                                                                \
      (attr->has_slice = true, r->n_starts = read_list(r, attr->starts, a, CSL_MAX_RANK)))                   \
    X("ends", CSL_OP_SLICE, CSL__ATTR_INTS, r->n_ends = read_list(r, attr->ends, a, CSL_MAX_RANK))           \
    X("start", CSL_OP_SHAPE, CSL__ATTR_INT, (attr->has_slice = true, attr->starts[0] = a->i))                \
    X("end", CSL_OP_SHAPE, CSL__ATTR_INT, (attr->has_slice = true, attr->ends[0] = a->i))                    \
    X("gamma", CSL_OP_UNKNOWN, CSL__ATTR_FLOAT, attr->beta = a->f) /* Selu */                                \
    X("noop_with_empty_axes", CSL_OP_REDUCE_MEAN, CSL__ATTR_INT, r->noop = a->i != 0)                        \
    X("to", CSL_OP_CAST, CSL__ATTR_INT, attr->cast_to = a->i > 0 && a->i < 64 ? (int)a->i : 0)               \
    X("spatial", CSL_OP_BATCH_NORMALIZATION, CSL__ATTR_INT, r->not_spatial = a->i == 0)                      \
    X("storage_order", CSL_OP_MAX_POOL, CSL__ATTR_INT, (void)0) /* concerns the second output only */

/* What several attributes say together. */
static void check_together(struct reading *r, const Csl__Onnx__Node *proto) {
    struct csl_attributes *attr = r->attr;
    unsigned n_starts = r->n_starts;
    if (r->refusal->reason[0] != '\0') {
        return;
    }
    if (r->op == CSL_OP_SLICE &&
        (n_starts != r->n_ends || (attr->has_slice && attr->has_axes && attr->n_axes != n_starts))) {
        REFUSE(r, "check the exporter", "its starts, ends and axes have different lengths");
    } else if (r->op == CSL_OP_SLICE && attr->has_slice && !attr->has_axes) {
        attr->n_axes = n_starts;
        for (unsigned i = 0; i < n_starts; i++) {
            attr->axes[i] = i;
        }
    }
    if (r->not_spatial) {
        REFUSE(r, "export with spatial=1: one mean and variance a channel",
               "its spatial=0 normalises each pixel by itself");
    }
    bool statistics = r->op == CSL_OP_BATCH_NORMALIZATION && proto->n_output > 1 &&
                      csl__onnx_text(proto->output[1])[0] != '\0';
    if (attr->training || statistics) {
        REFUSE(r, "export in evaluation mode: model.eval() before torch.onnx.export",
               "it was exported in training mode");
    }
    if (r->noop && !attr->has_axes && proto->n_input < 2) {
        REFUSE(r, "remove it", "it reduces nothing: noop_with_empty_axes without axes");
    }
    if (r->op == CSL_OP_CONCAT && !attr->has_axis) {
        REFUSE(r, "check the exporter", "it lacks its attribute \"axis\"");
    }
}

static enum csl_err read_one(struct reading *r, const Csl__Onnx__Attribute *a, const char *name,
                             const char *node, struct csl_diag *diag) {
    struct csl_attributes *attr = r->attr;
#define ATTRIBUTE_READ(text, for_op, attr_type, action)                                                      \
    if (strcmp(name, text) == 0 && ((for_op) == CSL_OP_UNKNOWN || (for_op) == r->op)) {                      \
        if ((a->type != 0 && a->type != (attr_type)) || ((attr_type) == CSL__ATTR_TENSOR && a->t == NULL)) { \
            return csl_fail(diag, CSL_EDATA, "node \"%s\": attribute \"%s\" has type %d, not %d", node,      \
                            name, (int)a->type, attr_type);                                                  \
        }                                                                                                    \
        action;                                                                                              \
    }
    ATTRIBUTES(ATTRIBUTE_READ)
#undef ATTRIBUTE_READ
    return CSL_OK;
}

/* Operators that folding knows although the graph does not: their attributes count as well. */
static bool is_foldable(const char *op) {
    return strcmp(op, "Selu") == 0 || strcmp(op, "Celu") == 0 || strcmp(op, "ReduceProd") == 0;
}

enum csl_err csl__onnx_attributes(struct csl_attributes *attr, struct csl__refusal *refusal, enum csl_op op,
                                  int64_t opset, const struct csl__scope *scope, const Csl__Onnx__Node *proto,
                                  const char *node, struct csl_diag *diag) {
    struct reading r = {.attr = attr, .refusal = refusal, .op = op};
    refusal->reason[0] = '\0';
    set_defaults(attr, op, opset);
    if (op == CSL_OP_UNKNOWN && !is_foldable(csl__onnx_text(proto->op_type))) {
        return CSL_OK;
    }
    if (strcmp(proto->op_type, "Selu") == 0) {
        attr->alpha = 1.67326319217681884765625F;
        attr->beta = 1.05070102214813232421875F;
    }
    for (size_t i = 0; i < proto->n_attribute; i++) {
        const Csl__Onnx__Attribute *a = csl__onnx_resolve(scope, proto->attribute[i]);
        if (a != NULL) {
            TRY(read_one(&r, a, csl__onnx_text(proto->attribute[i]->name), node, diag));
        }
    }
    check_together(&r, proto);
    return CSL_OK;
}
