/* Shared inside the lowering of graphs: what is known of each tensor while the nodes are walked in order. */
#ifndef CSL_NN_LOWER_INTERNAL_H
#define CSL_NN_LOWER_INTERNAL_H

#include "nn/plan_internal.h"

enum csl__value_kind {
    CSL__VALUE_NONE,      /* comes from a node that cannot be run; nothing more is said about it */
    CSL__VALUE_CONST,     /* folded at import */
    CSL__VALUE_ACTIVATION /* depends on the input; the batch is dimension 0 */
};

struct csl__value {
    enum csl__value_kind kind;
    unsigned rank;
    int64_t dims[CSL_MAX_RANK]; /* the batch may be CSL_DIM_UNKNOWN */
    /* CONST */
    const float *f32;
    const int64_t *i64;
    float *owned; /* f32, when it was folded here */
    size_t n;
    /* ACTIVATION */
    bool transposed; /* rank 2: stands as features x batch */
    bool head;       /* behind a Softmax */
    bool linear;     /* nothing but shape changes since the last dense layer: a bias can still be added */
};

struct csl__lowering {
    const struct csl_graph *graph;
    struct csl_plan *plan;
    struct csl_weights *weights;
    struct csl_issues *issues;
    struct csl__value *values; /* of each tensor */
    uint32_t head_node;        /* node of the Softmax, or CSL_NO_NODE */
};

/* The node's i-th input, or NULL where the node has none there. */
struct csl__value *csl__input(const struct csl__lowering *lo, const struct csl_node *node, unsigned i);

/* Elements of an activation without the batch. */
int64_t csl__features(const struct csl__value *v);

/* The issue list's entry for this node. */
#define csl__issue(lo, node, hint, ...)                                                                      \
    csl_issues_add((lo)->issues, (node)->name, (node)->op_name, hint, __VA_ARGS__)

/* Lower one node into out (which is VALUE_NONE on entry and stays so after an issue). */
typedef enum csl_err csl__lower_fn(struct csl__lowering *lo, const struct csl_node *node,
                                   struct csl__value *out, struct csl_diag *diag);
csl__lower_fn csl__lower_gemm, csl__lower_matmul, csl__lower_add, csl__lower_relu; /* lower_dense.c */
csl__lower_fn csl__lower_flatten, csl__lower_reshape, csl__lower_transpose;        /* lower_shape.c */

#endif
