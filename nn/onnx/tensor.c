/* TensorProto to a constant: every length is checked before memory is taken. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/secret.h"
#include "nn/onnx/onnx_internal.h"

/* onnx.proto, TensorProto.DataType */
enum {
    TYPE_FLOAT = 1,
    TYPE_UINT8 = 2,
    TYPE_INT8 = 3,
    TYPE_UINT16 = 4,
    TYPE_INT16 = 5,
    TYPE_INT32 = 6,
    TYPE_INT64 = 7,
    TYPE_BOOL = 9,
    TYPE_FLOAT16 = 10,
    TYPE_DOUBLE = 11,
    TYPE_UINT32 = 12,
    TYPE_UINT64 = 13,
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
    case TYPE_UINT32:
    case TYPE_UINT64:
        *s = (struct source){p->data_type == TYPE_UINT32 ? 4 : 8, false, p->n_uint64_data, "uint64_data"};
        return true;
    case TYPE_INT16:
    case TYPE_UINT16:
        *s = (struct source){2, false, p->n_int32_data, "int32_data"};
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

static float raw_float(int type, const uint8_t *raw, size_t i) {
    switch (type) {
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

static int64_t raw_int(int type, const uint8_t *raw, size_t i) {
    switch (type) {
    case TYPE_INT64:
    case TYPE_UINT64:
        return (int64_t)csl_load_u64(raw + 8 * i);
    case TYPE_INT32:
        return (int32_t)csl_load_u32(raw + 4 * i);
    case TYPE_UINT32:
        return csl_load_u32(raw + 4 * i);
    case TYPE_INT16:
        return (int16_t)csl_load_u16(raw + 2 * i);
    case TYPE_UINT16:
        return csl_load_u16(raw + 2 * i);
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
static enum csl_err check_length(const Csl__Onnx__Tensor *p, const struct source *s, size_t n,
                                 const char *name, struct csl_diag *diag) {
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

static int64_t typed_int(const Csl__Onnx__Tensor *p, size_t i) {
    switch (p->data_type) {
    case TYPE_INT64:
        return p->int64_data[i];
    case TYPE_UINT32:
    case TYPE_UINT64:
        return (int64_t)p->uint64_data[i];
    default:
        return p->int32_data[i];
    }
}

static void fill(struct csl_tensor *t, const Csl__Onnx__Tensor *p, const uint8_t *raw) {
    for (size_t i = 0; i < t->n_elements; i++) {
        if (t->dtype == CSL_DTYPE_F32) {
            t->f32[i] = raw != NULL ? raw_float(p->data_type, raw, i) : typed_float(p, i);
        } else {
            t->i64[i] = raw != NULL ? raw_int(p->data_type, raw, i) : typed_int(p, i);
        }
    }
}

static bool is_external(const Csl__Onnx__Tensor *p) {
    return p->n_external_data != 0 || p->data_location == 1;
}

bool csl__onnx_scalar(bool *is_int, float *f, int64_t *i, const Csl__Onnx__Tensor *proto) {
    struct source s;
    size_t n;
    *is_int = false;
    *f = 0;
    *i = 0;
    if (proto->segment != NULL || is_external(proto) || !find_source(&s, proto) ||
        !count_elements(&n, proto) || n != 1 || check_length(proto, &s, 1, "", NULL) != CSL_OK) {
        return false;
    }
    const uint8_t *raw = proto->has_raw_data ? proto->raw_data.data : NULL;
    *is_int = !s.is_float;
    if (s.is_float) {
        *f = raw != NULL ? raw_float(proto->data_type, raw, 0) : typed_float(proto, 0);
    } else {
        *i = raw != NULL ? raw_int(proto->data_type, raw, 0) : typed_int(proto, 0);
    }
    return isfinite(*f);
}

enum csl_err csl__onnx_constant(struct csl__onnx *o, uint32_t tensor, const Csl__Onnx__Tensor *proto,
                                struct csl_diag *diag) {
    const char *name = o->graph->tensors[tensor].name;
    struct source s;
    size_t n = 0;
    if (proto->segment != NULL || !find_source(&s, proto)) {
        return csl_fail(diag, CSL_EDATA,
                        "constant \"%s\" has data type %d%s; float, double, float16, bfloat16, integers of 8 "
                        "to 64 bits and bool can be read",
                        name, (int)proto->data_type, proto->segment != NULL ? " in segments" : "");
    }
    if (proto->n_dims > CSL_MAX_RANK) {
        return csl_fail(diag, CSL_EDATA, "constant \"%s\" has %zu dimensions; at most %d are possible", name,
                        proto->n_dims, CSL_MAX_RANK);
    }
    bool counted = count_elements(&n, proto); /* if not, csl_graph_constant says why */
    uint8_t *external = NULL;
    const uint8_t *raw = proto->has_raw_data ? proto->raw_data.data : NULL;
    enum csl_err err = CSL_OK;
    if (counted && is_external(proto)) {
        TRY(csl__onnx_external(o, &external, n * s.size, proto, name, diag));
        raw = external;
    } else if (counted) {
        TRY(check_length(proto, &s, n, name, diag));
    }
    TRY_OUT(csl_graph_constant(o->graph, tensor, s.is_float ? CSL_DTYPE_F32 : CSL_DTYPE_I64,
                               (unsigned)proto->n_dims, proto->dims, diag));
    fill(&o->graph->tensors[tensor], proto, raw);
    err = csl_graph_check_finite(o->graph, tensor, diag);
out:
    if (external != NULL) {
        csl_wipe(external, n * s.size);
    }
    free(external);
    return err;
}
