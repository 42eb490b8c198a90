/* Tensors and operators of the evaluator (graph_ref.h). */
#ifndef CSL_TESTS_NN_GRAPH_REF_INTERNAL_H
#define CSL_TESTS_NN_GRAPH_REF_INTERNAL_H

#include "nn/graph.h"

struct ref_tensor {
    unsigned rank;
    int64_t dims[CSL_MAX_RANK];
    size_t n;
    double *v;
    const int64_t *i64; /* of a constant of integers */
};

/* False: not a shape, or memory is short. */
bool ref_alloc(struct ref_tensor *t, unsigned rank, const int64_t *dims);
bool ref_copy_as(struct ref_tensor *y, const struct ref_tensor *x, unsigned rank, const int64_t *dims);
bool ref_permute(struct ref_tensor *y, const struct ref_tensor *x, const int64_t *perm);
/* Row-major index to coordinates, and back. */
void ref_unravel(int64_t *at, const struct ref_tensor *t, size_t i);
size_t ref_ravel(const struct ref_tensor *t, const int64_t *at);

struct ref_call {
    const struct csl_node *node;
    const struct csl_attributes *a;
    struct ref_tensor in[16]; /* not owned; rank 0 and v NULL where absent */
    unsigned n;
    struct ref_tensor y;
};

/* All of them: false when the inputs do not fit the operator. y is freed by the caller all the same. */

/* graph_ref_arith.c; binary: elementwise with broadcasting. */
bool ref_matmul(struct ref_call *c);
bool ref_binary(struct ref_call *c, struct ref_tensor *y, const struct ref_tensor *a,
                const struct ref_tensor *b);
bool ref_sum(struct ref_call *c);
bool ref_gemm(struct ref_call *c);
bool ref_function(struct ref_call *c);
bool ref_mean(struct ref_call *c);

/* graph_ref_picture.c */
bool ref_conv(struct ref_call *c);
bool ref_pool(struct ref_call *c);
bool ref_batch_norm(struct ref_call *c);

/* graph_ref_shape.c */
bool ref_concat(struct ref_call *c);
bool ref_pad(struct ref_call *c);
bool ref_reshape(struct ref_call *c);
bool ref_flatten(struct ref_call *c);
bool ref_squeeze(struct ref_call *c);
bool ref_transpose(struct ref_call *c);

#endif
