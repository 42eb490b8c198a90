/* TensorProto to a constant: every length is checked before memory is taken. */
#include <string.h>

#include "crypto/bytes.h"
#include "nn/onnx/onnx_internal.h"

/* onnx.proto, TensorProto.DataType */
enum {
    TYPE_FLOAT = 1,
    TYPE_UINT8 = 2,
    TYPE_INT8 = 3,
    TYPE_INT32 = 6,
    TYPE_INT64 = 7,
    TYPE_BOOL = 9,
    TYPE_FLOAT16 = 10,
    TYPE_DOUBLE = 11,
    TYPE_BFLOAT16 = 16
};

struct source {
    unsigned size; /* bytes of an element in raw_data */
    bool is_float;
    size_t n_typed; /* elements in the typed field */
    const char *field;
};

static bool find_source(struct source *s, const Csl__Onnx__Tensor *p) {
    switch (p->data_type) {
    case TYPE_FLOAT:
        *s = (struct source){4, true, p->n_float_data, "float_data"};
        return true;
    case TYPE_DOUBLE:
        *s = (struct source){8, true, p->n_double_data, "double_data"};
        return true;
    case TYPE_FLOAT16:
    case TYPE_BFLOAT16:
        *s = (struct source){2, true, p->n_int32_data, "int32_data"};
        return true;
    case TYPE_INT64:
        *s = (struct source){8, false, p->n_int64_data, "int64_data"};
        return true;
    case TYPE_INT32:
        *s = (struct source){4, false, p->n_int32_data, "int32_data"};
        return true;
    case TYPE_UINT8:
    case TYPE_INT8:
    case TYPE_BOOL:
        *s = (struct source){1, false, p->n_int32_data, "int32_data"};
        return true;
    default:
        return false;
    }
}

static float bits_to_float(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* IEEE 754 binary16; every value is exact in binary32. */
static float half_to_float(uint32_t h) {
    uint32_t sign = (h & 0x8000u) << 16;
    uint32_t exponent = h >> 10 & 0x1f;
    uint32_t fraction = h & 0x3ff;
    if (exponent == 0x1f) {
        return bits_to_float(sign | 0x7f800000u | fraction << 13);
    }
    if (exponent == 0) {
        float f = (float)fraction * 0x1p-24F;
        return sign != 0 ? -f : f;
    }
    return bits_to_float(sign | (exponent + 112) << 23 | fraction << 13);
}

static float typed_float(const Csl__Onnx__Tensor *p, size_t i) {
    switch (p->data_type) {
    case TYPE_FLOAT:
        return p->float_data[i];
    case TYPE_DOUBLE:
        return (float)p->double_data[i];
    case TYPE_FLOAT16:
        return half_to_float((uint32_t)p->int32_data[i] & 0xffff);
    default:
        return bits_to_float((uint32_t)p->int32_data[i] << 16);
    }
}

static float raw_float(const Csl__Onnx__Tensor *p, size_t i) {
    const uint8_t *raw = p->raw_data.data;
    switch (p->data_type) {
    case TYPE_FLOAT:
        return bits_to_float(csl_load_u32(raw + 4 * i));
    case TYPE_DOUBLE: {
        uint64_t bits = csl_load_u64(raw + 8 * i);
        double d;
        memcpy(&d, &bits, sizeof d);
        return (float)d;
    }
    case TYPE_FLOAT16:
        return half_to_float(csl_load_u16(raw + 2 * i));
    default:
        return bits_to_float((uint32_t)csl_load_u16(raw + 2 * i) << 16);
    }
}

static int64_t raw_int(const Csl__Onnx__Tensor *p, size_t i) {
    const uint8_t *raw = p->raw_data.data;
    switch (p->data_type) {
    case TYPE_INT64:
        return (int64_t)csl_load_u64(raw + 8 * i);
    case TYPE_INT32:
        return (int32_t)csl_load_u32(raw + 4 * i);
    case TYPE_INT8:
        return (int8_t)raw[i];
    default:
        return raw[i];
    }
}

/* The elements of the shape; false when it is not a valid one (csl_graph_constant says why). */
static bool count_elements(size_t *n, const Csl__Onnx__Tensor *p) {
    *n = 1;
    for (size_t i = 0; i < p->n_dims; i++) {
        if (p->dims[i] < 0 || p->dims[i] > CSL_GRAPH_MAX_ELEMENTS ||
            (p->dims[i] != 0 && *n > CSL_GRAPH_MAX_ELEMENTS / (size_t)p->dims[i])) {
            return false;
        }
        *n *= (size_t)p->dims[i];
    }
    return true;
}

/* The data has as many elements as the shape says. */
static enum csl_err check_length(const Csl__Onnx__Tensor *p, const struct source *s, const char *name,
                                 struct csl_diag *diag) {
    size_t n;
    if (!count_elements(&n, p)) {
        return CSL_OK;
    }
    if (p->has_raw_data) {
        if (p->raw_data.len != n * s->size) {
            return csl_fail(diag, CSL_EDATA, "constant \"%s\": raw_data has %zu bytes, its shape needs %zu",
                            name, p->raw_data.len, n * s->size);
        }
    } else if (s->n_typed != n) {
        return csl_fail(diag, CSL_EDATA, "constant \"%s\": %s has %zu elements, its shape needs %zu", name,
                        s->field, s->n_typed, n);
    }
    return CSL_OK;
}

static void fill(struct csl_tensor *t, const Csl__Onnx__Tensor *p) {
    for (size_t i = 0; i < t->n_elements; i++) {
        if (t->dtype == CSL_DTYPE_F32) {
            t->f32[i] = p->has_raw_data ? raw_float(p, i) : typed_float(p, i);
        } else if (p->has_raw_data) {
            t->i64[i] = raw_int(p, i);
        } else {
            t->i64[i] = p->data_type == TYPE_INT64 ? p->int64_data[i] : p->int32_data[i];
        }
    }
}

enum csl_err csl__onnx_constant(struct csl_graph *graph, uint32_t tensor, const Csl__Onnx__Tensor *proto,
                                struct csl_diag *diag) {
    const char *name = graph->tensors[tensor].name;
    if (proto->n_external_data != 0 || proto->data_location == 1) {
        return csl_fail(diag, CSL_EDATA,
                        "constant \"%s\" keeps its data in another file; save the network as one file "
                        "(onnx.save_model with save_as_external_data=False)",
                        name);
    }
    struct source s;
    if (proto->segment != NULL || !find_source(&s, proto)) {
        return csl_fail(diag, CSL_EDATA,
                        "constant \"%s\" has data type %d%s; float, double, float16, bfloat16, int32, int64, "
                        "int8, uint8 and bool can be read",
                        name, (int)proto->data_type, proto->segment != NULL ? " in segments" : "");
    }
    if (proto->n_dims > CSL_MAX_RANK) {
        return csl_fail(diag, CSL_EDATA, "constant \"%s\" has %zu dimensions; at most %d are possible", name,
                        proto->n_dims, CSL_MAX_RANK);
    }
    TRY(check_length(proto, &s, name, diag));
    TRY(csl_graph_constant(graph, tensor, s.is_float ? CSL_DTYPE_F32 : CSL_DTYPE_I64, (unsigned)proto->n_dims,
                           proto->dims, diag));
    fill(&graph->tensors[tensor], proto);
    return csl_graph_check_finite(graph, tensor, diag);
}
