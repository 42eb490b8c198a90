#include "onnx_build.h"

#include <stdlib.h>
#include <string.h>

void buf_free(struct buf *b) {
    free(b->at);
    *b = (struct buf){0};
}

void put_bytes(struct buf *b, const void *data, size_t n) {
    if (b->n + n > b->cap) {
        b->cap = 2 * (b->n + n) + 64;
        b->at = realloc(b->at, b->cap);
        if (b->at == NULL) {
            abort();
        }
    }
    if (n != 0) {
        memcpy(b->at + b->n, data, n);
    }
    b->n += n;
}

void put_varint(struct buf *b, uint64_t v) {
    do {
        uint8_t byte = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        put_bytes(b, &byte, 1);
        v >>= 7;
    } while (v != 0);
}

static void put_tag(struct buf *b, unsigned field, unsigned wire_type) {
    put_varint(b, field << 3 | wire_type);
}

void put_int(struct buf *b, unsigned field, int64_t v) {
    put_tag(b, field, 0);
    put_varint(b, (uint64_t)v);
}

static void put_block(struct buf *b, unsigned field, const void *data, size_t n) {
    put_tag(b, field, 2);
    put_varint(b, n);
    put_bytes(b, data, n);
}

void put_string(struct buf *b, unsigned field, const char *s) {
    put_block(b, field, s, strlen(s));
}

void put_message(struct buf *b, unsigned field, struct buf *message) {
    put_block(b, field, message->at, message->n);
    buf_free(message);
}

static void put_dims(struct buf *t, const int64_t *dims) {
    for (; *dims != INT64_MIN; dims++) {
        put_int(t, 1, *dims);
    }
}

/* Nearest half of a float that a half can hold. */
static uint16_t to_half(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    uint32_t exponent = u >> 23 & 0xff;
    if (exponent == 0xff) {
        return (uint16_t)((u >> 16 & 0x8000) | 0x7c00 | ((u & 0x7fffff) != 0 ? 1 : 0));
    }
    return exponent < 113 ? (uint16_t)(u >> 16 & 0x8000)
                          : (uint16_t)((u >> 16 & 0x8000) | (exponent - 112) << 10 | (u >> 13 & 0x3ff));
}

static void put_float_as(struct buf *out, int type, bool raw, float f) {
    double d = (double)f;
    uint32_t u;
    memcpy(&u, &f, 4);
    uint16_t half = type == ONNX_HALF ? to_half(f) : (uint16_t)(u >> 16);
    switch (type) {
    case ONNX_DOUBLE:
        put_bytes(out, &d, 8);
        break;
    case ONNX_HALF:
    case ONNX_BFLOAT:
        if (raw) {
            put_bytes(out, &half, 2);
        } else {
            put_varint(out, half);
        }
        break;
    default:
        put_bytes(out, &f, 4);
    }
}

struct buf tensor_float(const char *name, int type, bool raw, const int64_t *dims, const float *data,
                        size_t n) {
    struct buf t = {0};
    struct buf values = {0};
    put_dims(&t, dims);
    put_int(&t, 2, type);
    put_string(&t, 8, name);
    for (size_t i = 0; i < n; i++) {
        put_float_as(&values, type, raw, data[i]);
    }
    put_message(&t, raw ? 9 : type == ONNX_FLOAT ? 4 : type == ONNX_DOUBLE ? 10 : 5, &values);
    return t;
}

struct buf tensor_int64(const char *name, bool raw, const int64_t *dims, const int64_t *data, size_t n) {
    struct buf t = {0};
    struct buf values = {0};
    put_dims(&t, dims);
    put_int(&t, 2, ONNX_INT64);
    put_string(&t, 8, name);
    for (size_t i = 0; i < n; i++) {
        if (raw) {
            put_bytes(&values, &data[i], 8);
        } else {
            put_varint(&values, (uint64_t)data[i]);
        }
    }
    put_message(&t, raw ? 9 : 7, &values);
    return t;
}

struct buf attr_int(const char *name, int64_t v) {
    struct buf a = {0};
    put_string(&a, 1, name);
    put_int(&a, 3, v);
    put_int(&a, 20, 2);
    return a;
}

struct buf attr_float(const char *name, float v) {
    struct buf a = {0};
    put_string(&a, 1, name);
    put_tag(&a, 2, 5);
    put_bytes(&a, &v, 4);
    put_int(&a, 20, 1);
    return a;
}

struct buf attr_ints(const char *name, const int64_t *v, size_t n) {
    struct buf a = {0};
    put_string(&a, 1, name);
    for (size_t i = 0; i < n; i++) {
        put_int(&a, 8, v[i]);
    }
    put_int(&a, 20, 7);
    return a;
}

struct buf attr_tensor(const char *name, struct buf tensor) {
    struct buf a = {0};
    put_string(&a, 1, name);
    put_message(&a, 5, &tensor);
    put_int(&a, 20, 4);
    return a;
}

void model_init(struct model *m, int64_t opset) {
    *m = (struct model){.opset = opset};
    put_string(&m->graph, 2, "test");
}

static void put_value(struct model *m, unsigned field, const char *name, const int64_t *dims) {
    struct buf shape = {0};
    struct buf tensor = {0};
    struct buf type = {0};
    struct buf value = {0};
    for (; dims != NULL && *dims != INT64_MIN; dims++) {
        struct buf dim = {0};
        if (*dims == -1) {
            put_string(&dim, 2, "N");
        } else {
            put_int(&dim, 1, *dims);
        }
        put_message(&shape, 1, &dim);
    }
    put_int(&tensor, 1, ONNX_FLOAT);
    if (dims != NULL) {
        put_message(&tensor, 2, &shape);
    }
    put_message(&type, 1, &tensor);
    put_string(&value, 1, name);
    put_message(&value, 2, &type);
    put_message(&m->graph, field, &value);
}

void model_input(struct model *m, const char *name, const int64_t *dims) {
    put_value(m, 11, name, dims);
}

void model_output(struct model *m, const char *name) {
    put_value(m, 12, name, NULL);
}

void model_tensor(struct model *m, struct buf tensor) {
    put_message(&m->graph, 5, &tensor);
}

static void put_list(struct buf *node, unsigned field, const char *names) {
    while (*names != '\0') {
        size_t n = strcspn(names, ",");
        put_block(node, field, names, n);
        names += n + (names[n] == ',');
    }
}

void model_node_attrs(struct model *m, const char *op, const char *name, const char *inputs,
                      const char *outputs, struct buf *attrs, size_t n_attrs) {
    struct buf node = {0};
    put_list(&node, 1, inputs);
    put_list(&node, 2, outputs);
    if (name != NULL) {
        put_string(&node, 3, name);
    }
    put_string(&node, 4, op);
    for (size_t i = 0; i < n_attrs; i++) {
        put_message(&node, 5, &attrs[i]);
    }
    put_message(&m->graph, 1, &node);
}

void model_node(struct model *m, const char *op, const char *name, const char *inputs, const char *outputs) {
    model_node_attrs(m, op, name, inputs, outputs, NULL, 0);
}

struct buf model_finish(struct model *m) {
    struct buf file = {0};
    struct buf set = {0};
    put_int(&file, 1, 8);
    put_string(&file, 2, "consilium tests");
    put_message(&file, 7, &m->graph);
    if (m->opset != 0) {
        put_string(&set, 1, "");
        put_int(&set, 2, m->opset);
        put_message(&file, 8, &set);
    }
    return file;
}
