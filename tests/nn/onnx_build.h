/* Writes ONNX files by hand, field by field, so that tests can say exactly what a file holds. */
#ifndef CSL_TESTS_NN_ONNX_BUILD_H
#define CSL_TESTS_NN_ONNX_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing byte string; free with buf_free. */
struct buf {
    uint8_t *at;
    size_t n, cap;
};

void buf_free(struct buf *b);
void put_bytes(struct buf *b, const void *data, size_t n);
void put_varint(struct buf *b, uint64_t v);
void put_int(struct buf *b, unsigned field, int64_t v);
void put_string(struct buf *b, unsigned field, const char *s);
/* A nested message, which is freed. */
void put_message(struct buf *b, unsigned field, struct buf *message);

enum { ONNX_FLOAT = 1, ONNX_INT32 = 6, ONNX_INT64 = 7, ONNX_HALF = 10, ONNX_DOUBLE = 11, ONNX_BFLOAT = 16 };

/* TensorProto; dims ends with 0 for none (use DIMS). The typed form goes to the type's own field. */
#define DIMS(...) ((const int64_t[]){__VA_ARGS__, INT64_MIN})
#define NO_DIMS ((const int64_t[]){INT64_MIN})
struct buf tensor_float(const char *name, int type, bool raw, const int64_t *dims, const float *data,
                        size_t n);
struct buf tensor_int64(const char *name, bool raw, const int64_t *dims, const int64_t *data, size_t n);

/* AttributeProto */
struct buf attr_int(const char *name, int64_t v);
struct buf attr_float(const char *name, float v);
struct buf attr_ints(const char *name, const int64_t *v, size_t n);
struct buf attr_tensor(const char *name, struct buf tensor);

/* A model in the making: messages of a GraphProto, in any order. */
struct model {
    struct buf graph;
    int64_t opset; /* 0: none is written */
};

void model_init(struct model *m, int64_t opset);
/* dims of -1 become symbolic ("N"). */
void model_input(struct model *m, const char *name, const int64_t *dims);
void model_output(struct model *m, const char *name);
/* An initialiser, which is freed. */
void model_tensor(struct model *m, struct buf tensor);
/* Names separated by commas; name NULL: the node has none. attrs: n_attrs attributes, which are freed. */
void model_node_attrs(struct model *m, const char *op, const char *name, const char *inputs,
                      const char *outputs, struct buf *attrs, size_t n_attrs);
void model_node(struct model *m, const char *op, const char *name, const char *inputs, const char *outputs);
/* The file. m is freed. */
struct buf model_finish(struct model *m);

#endif
