/* Graphs for tests, and what they mean: an evaluator of the neutral graph written from the ONNX operator
 * specification, on whole tensors with their logical shapes. It shares no code with lowering. */
#ifndef CSL_TESTS_NN_GRAPH_REF_H
#define CSL_TESTS_NN_GRAPH_REF_H

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

/* Evaluates the finished graph on x (as the input's dims, an unknown batch being `batch`). *y is allocated,
 * *n elements. False: an operator's inputs do not fit it, or memory is short. */
bool graph_ref(const struct csl_graph *g, const float *x, int64_t batch, double **y, size_t *n);

#endif
