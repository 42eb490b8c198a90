/* Shared inside folding: what is known of each tensor while the nodes are walked in order. */
#ifndef CSL_NN_FOLD_INTERNAL_H
#define CSL_NN_FOLD_INTERNAL_H

#include "nn/fold.h"

enum { CSL__MAX_INTS = 16 };

/* A dimension, or an integer computed of dimensions. */
struct csl__dim {
    enum { CSL__DIM_OPEN, CSL__DIM_KNOWN, CSL__DIM_BATCH } kind;
    int64_t v; /* KNOWN: itself; BATCH: times the batch */
};

struct csl__shape {
    bool known;
    unsigned rank;
    struct csl__dim dims[CSL_MAX_RANK];
};

/* A scalar (rank 0) or a vector of integers, of which some are not numbers. */
struct csl__ints {
    bool known;
    unsigned rank, n;
    struct csl__dim at[CSL__MAX_INTS];
};

struct csl__info {
    struct csl__shape shape;
    struct csl__ints ints;
};

struct csl__fold {
    struct csl_graph *graph;
    struct csl__info *info; /* of each tensor; a node adds two at most */
    size_t n_info;
    size_t budget; /* elements that may still be made */
    size_t n_made; /* tensors made here, for their names */
};

/* The i-th input: its tensor, or NULL where there is none. */
const struct csl_tensor *csl__fold_input(const struct csl__fold *f, const struct csl_node *node, unsigned i);

/* The i-th input when it is a constant; NULL when it is not. */
const struct csl_tensor *csl__fold_constant(const struct csl__fold *f, const struct csl_node *node,
                                            unsigned i);

struct csl__shape csl__fold_shape(const struct csl__fold *f, const struct csl_node *node, unsigned i);
struct csl__ints csl__fold_ints(const struct csl__fold *f, const struct csl_node *node, unsigned i);

static inline struct csl__dim csl__known(int64_t v) {
    return (struct csl__dim){CSL__DIM_KNOWN, v};
}

bool csl__dim_same(struct csl__dim a, struct csl__dim b);
struct csl__dim csl__dim_add(struct csl__dim a, struct csl__dim b);
struct csl__dim csl__dim_sub(struct csl__dim a, struct csl__dim b);
struct csl__dim csl__dim_mul(struct csl__dim a, struct csl__dim b);
struct csl__dim csl__dim_div(struct csl__dim a, struct csl__dim b);

/* axis in [-rank, rank) to [0, rank); false when it is outside. */
bool csl__axis(unsigned *out, int64_t axis, unsigned rank);

/* A constant of the output's name; NULL *data when it may not be (a shape that no constant can have). */
CSL_MUST_CHECK enum csl_err csl__fold_output(struct csl__fold *f, struct csl_tensor **made, uint32_t tensor,
                                             enum csl_dtype dtype, unsigned rank, const int64_t *dims,
                                             struct csl_diag *diag);

/* A new constant under a name of its own. */
CSL_MUST_CHECK enum csl_err csl__fold_new(struct csl__fold *f, uint32_t *tensor, enum csl_dtype dtype,
                                          unsigned rank, const int64_t *dims, struct csl_diag *diag);

/* An operator that the graph has no name for. */
bool csl__fold_is(const struct csl_node *node, const char *op);

/* fold_view.c */
/* A way to read a constant: element (i0, i1, ...) of dims stands at base + sum i * stride. */
struct csl__view {
    unsigned rank;
    int64_t dims[CSL_MAX_RANK];
    int64_t stride[CSL_MAX_RANK];
    int64_t base;
};
/* False when the node is none that only reads its first input in another way, or does not fit it. */
bool csl__fold_view(const struct csl__fold *f, struct csl__view *v, const struct csl_node *node,
                    const struct csl_tensor *x);
/* The constant list input i as int64, of at most CSL_MAX_RANK entries., or NULL. */
const struct csl_tensor *csl__fold_list(const struct csl__fold *f, const struct csl_node *node, unsigned i);

/* fold_const.c, fold_math.c: all inputs are constant. Evaluates the node into its first output, or leaves it
 * alone. */
CSL_MUST_CHECK enum csl_err csl__fold_evaluate(struct csl__fold *f, const struct csl_node *node,
                                               struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl__fold_math(struct csl__fold *f, const struct csl_node *node,
                                           struct csl_diag *diag);

/* fold_rewrite.c: inputs to attributes, other spellings. May add nodes: refers to the node by its number. */
CSL_MUST_CHECK enum csl_err csl__fold_rewrite(struct csl__fold *f, uint32_t node, struct csl_diag *diag);

/* fold_ints.c: the integers that a node makes of its input's symbolic ones. */
struct csl__ints csl__fold_symbols(const struct csl__fold *f, const struct csl_node *node);

/* fold_shape.c: the shape of the node's first output. */
struct csl__shape csl__fold_infer(const struct csl__fold *f, const struct csl_node *node);

#endif
