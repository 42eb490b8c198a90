/* Graphs for tests, built by hand. */
#ifndef CSL_TESTS_NN_GRAPH_BUILD_H
#define CSL_TESTS_NN_GRAPH_BUILD_H

#include "nn/network.h"

/* A graph under construction. Everything random comes from `seed`. */
struct build {
    struct csl_graph *g;
    struct csl_diag diag;
    uint64_t seed;
    unsigned n_names;
    bool failed; /* an importer would have stopped here; later calls do nothing */
};

void build_init(struct build *b, uint64_t seed);
void build_clear(struct build *b);
double build_random(struct build *b, double lo, double hi);

#define DIMS(...)                                                                                            \
    (unsigned)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) {                \
        __VA_ARGS__                                                                                          \
    }
uint32_t build_input(struct build *b, unsigned rank, const int64_t *dims);
uint32_t build_floats(struct build *b, double lo, double hi, unsigned rank, const int64_t *dims);
uint32_t build_values(struct build *b, unsigned n, const float *v);
uint32_t build_ints(struct build *b, unsigned n, const int64_t *v);
/* ONNX's defaults, by operator. */
struct csl_attributes build_attr(enum csl_op op);
#define IN(...)                                                                                              \
    (unsigned)(sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)), (const uint32_t[]) {             \
        __VA_ARGS__                                                                                          \
    }
/* Adds a node "op #n" and gives its output. attr NULL: build_attr(op). */
uint32_t build_op(struct build *b, enum csl_op op, const struct csl_attributes *attr, unsigned n,
                  const uint32_t *in);

#endif
