/* Shared inside the lowering of graphs: what is known of each tensor while the nodes are walked in order.
 *
 * An activation tensor is a view of a canonical value (HWC): its logical dimensions are sequences of atoms,
 * each a piece of the axis H, W or C, in row-major order. Transpose permutes the groups, Reshape groups
 * anew (and splits atoms); neither moves data. A view may also have an affine map pending (BatchNormalization
 * or constants behind a value that others use too), which the next linear layer takes in where it can.
 */
#ifndef CSL_NN_LOWER_INTERNAL_H
#define CSL_NN_LOWER_INTERNAL_H

#include "nn/network.h"

enum {
    CSL__MAX_ELEMENTS = 1 << 24, /* of a value */
    CSL__MAX_ATOMS = 32          /* sizes are at least 2, so that 24 are enough */
};

enum csl__axis { CSL__AXIS_H, CSL__AXIS_W, CSL__AXIS_C };

struct csl__atom {
    enum csl__axis axis;
    uint32_t size; /* at least 2 */
    uint32_t step; /* along the axis */
};

struct csl__view {
    unsigned rank;
    int64_t dims[CSL_MAX_RANK];      /* the batch may be CSL_DIM_UNKNOWN */
    int batch;                       /* its dimension; -1 when a batch of 1 was squeezed away */
    uint8_t first[CSL_MAX_RANK + 1]; /* dimension i has the atoms first[i] .. first[i + 1] - 1 */
    struct csl__atom atoms[CSL__MAX_ATOMS];
};

/* y = s x + t: n is 1, the number of channels, or that of elements (in canonical order). Never changed once
 * made; owned by the lowering. */
struct csl__affine {
    size_t n;
    const double *s, *t;
    const struct csl_node *node; /* where it comes from */
};

enum csl__value_kind {
    CSL__VALUE_NONE,      /* comes from a node that cannot be run; nothing more is said about it */
    CSL__VALUE_CONST,     /* view.rank and dims are its shape */
    CSL__VALUE_ACTIVATION /* depends on the input */
};

struct csl__value {
    enum csl__value_kind kind;
    struct csl__view view;
    /* CONST */
    const float *f32;
    const int64_t *i64;
    size_t n;
    /* ACTIVATION */
    uint32_t value;                   /* of the network */
    bool shared;                      /* others use the value too: it must stay what it is */
    bool head;                        /* behind the Softmax */
    const struct csl__affine *affine; /* pending, or NULL */
};

/* How the elements of the input stand in the order that users give them in. */
struct csl__layout {
    struct csl_hwc dim;
    bool channels_last;
};

struct csl__lowering {
    const struct csl_graph *graph;
    struct csl_network *net;
    struct csl_issues *issues;
    struct csl__value *values; /* of each tensor */
    uint32_t *uses;            /* of each tensor, the graph's output included */
    uint32_t head_node;        /* node of the Softmax, or CSL_NO_NODE */
    bool head_reported;
    struct csl__layout input;
    struct csl__layout wanted; /* another layout of the input that a node asked for; valid with `restart` */
    bool restart, fixed;       /* fixed: this is the second walk, no third one */
    void **arena;              /* allocations that live as long as the lowering */
    size_t n_arena, cap_arena;
    uint64_t budget; /* elements that may still be allocated: a small file must not make large weights */
};

static inline size_t csl__count(struct csl_hwc d) {
    return (size_t)d.h * d.w * d.c;
}

/* ---- lower.c ---- */

/* The node's i-th input, or NULL where the node has none there. */
struct csl__value *csl__input(const struct csl__lowering *lo, const struct csl_node *node, unsigned i);

/* Zeroed memory for n elements of `size` bytes, freed and wiped with the lowering; NULL: none, or too much.
 */
void *csl__arena(struct csl__lowering *lo, size_t n, size_t size);

/* Takes n elements off the budget. CSL_EDATA names the node. */
CSL_MUST_CHECK enum csl_err csl__spend(struct csl__lowering *lo, const struct csl_node *node, uint64_t n,
                                       struct csl_diag *diag);

/* A new node of one input. CSL_EDATA when there are too many. */
CSL_MUST_CHECK enum csl_err csl__new_node(struct csl__lowering *lo, struct csl_op_node **op,
                                          const struct csl_node *node, enum csl_op_kind kind, uint32_t value,
                                          struct csl_hwc out, struct csl_diag *diag);

/* Dimensions of a value of the network. */
struct csl_hwc csl__dim(const struct csl__lowering *lo, uint32_t value);

/* The value that the last new node makes. */
uint32_t csl__last_value(const struct csl__lowering *lo);

/* The issue list's entry for this node. */
#define csl__issue(lo, node, hint, ...)                                                                      \
    csl_issues_add((lo)->issues, (node)->name, (node)->op_name, hint, __VA_ARGS__)

/* Has the walk begin anew with the input in another layout, where the view is of the input and the walk may;
 * false: the caller notes an issue. */
bool csl__want_input(struct csl__lowering *lo, const struct csl__value *x, struct csl__layout layout);

/* ---- lower_ends.c ---- */

/* The input's view and description, in the layout lo->input (a guess in the first walk). */
CSL_MUST_CHECK enum csl_err csl__lower_input(struct csl__lowering *lo, struct csl_diag *diag);

/* The output must stand in canonical order. Nothing is said where there are issues already. */
CSL_MUST_CHECK enum csl_err csl__lower_output(struct csl__lowering *lo, struct csl_diag *diag);

/* Folding can divide by zero or overflow. */
CSL_MUST_CHECK enum csl_err csl__check_weights(const struct csl_network *net, struct csl_diag *diag);

/* ---- lower_view.c ---- */

/* Elements without the batch. */
int64_t csl__features(const struct csl__view *v);

/* Dimension i is exactly this axis (of `size`), in order. */
bool csl__dim_is_axis(const struct csl__view *v, unsigned i, enum csl__axis axis, uint32_t size);

/* The view of a value with these dimensions, each an axis; dims[0] is the batch. */
struct csl__view csl__view_picture(struct csl_hwc d, int64_t batch, bool channels_last);
/* [batch, n] of a 1 x 1 x n value; transposed: [n, batch]. */
struct csl__view csl__view_vector(uint32_t n, int64_t batch, bool transposed);

/* The same elements in other dimensions; new_dims[batch] stands for the batch (-1: there is none). False when
 * an axis would have to be cut across. */
bool csl__view_regroup(struct csl__view *out, const struct csl__view *v, unsigned rank, const int64_t *dims,
                       int batch);
void csl__view_permute(struct csl__view *out, const struct csl__view *v, const unsigned *perm);

/* Replaces the atoms of dimension i, which is the channels, by c channels. */
void csl__view_set_channels(struct csl__view *v, unsigned i, uint32_t c);

/* Both mean the same element of equally formed values at each place. */
bool csl__view_same(const struct csl__view *a, const struct csl__view *b);

/* map[i]: canonical place of the i-th element in the view's order; n = csl__features(v) entries. */
void csl__view_map(uint32_t *map, const struct csl__view *v, struct csl_hwc d);

/* For constants spread over the view: dst[canonical place, or channel when `channels`] = src[...]. stride[i]:
 * of the constant along dimension i; 0 where it is repeated. */
void csl__view_spread(double *dst, const struct csl__view *v, struct csl_hwc d, bool channels,
                      const double *src, const size_t stride[CSL_MAX_RANK]);

/* x is [batch, channels, height, width] ([batch, height, width, channels]) over the axes of its value. When
 * not: the input's layout is asked for, or an issue noted; *ok says which. */
CSL_MUST_CHECK enum csl_err csl__need_picture(struct csl__lowering *lo, bool *ok, const struct csl_node *node,
                                              struct csl__value *x, bool channels_last);

/* ---- lower_affine.c ---- */

/* out = s x + t, where s and t (NULL: 1, 0) are n constants spread with these strides. */
CSL_MUST_CHECK enum csl_err csl__affine(struct csl__lowering *lo, const struct csl_node *node,
                                        const struct csl__value *x, struct csl__value *out, const double *s,
                                        const double *t, size_t n, const size_t stride[CSL_MAX_RANK],
                                        struct csl_diag *diag);

/* Makes a pending affine map a layer of its own. After an issue x is CSL__VALUE_NONE. */
CSL_MUST_CHECK enum csl_err csl__settle(struct csl__lowering *lo, struct csl__value *x,
                                        struct csl_diag *diag);

/* No offset: padding stays zero. */
bool csl__affine_keeps_zero(const struct csl__affine *a);

/* Whether a CONV can take in the map of its input: padding is the same before and after it, and the map is
 * one a channel, or the layer sees the whole value at once. False: csl__settle must come before. */
bool csl__affine_fits(const struct csl__affine *a, const struct csl_conv_shape *s);
void csl__affine_absorb(struct csl_op_node *op, const struct csl__affine *a);

/* ---- lower_window.c ---- */

/* Output size and padding of the node's windows over a picture, into `s` (in_* and kernel_* are set by the
 * caller). *ok false: an issue was noted. */
CSL_MUST_CHECK enum csl_err csl__window(struct csl__lowering *lo, bool *ok, const struct csl_node *node,
                                        struct csl_conv_shape *s);

/* Taps of output position o that lie in the picture. */
uint32_t csl__taps(uint32_t o, uint32_t kernel, uint32_t stride, uint32_t dilation, uint32_t pad,
                   uint32_t in);

/* Lower one node into out (which is VALUE_NONE on entry and stays so after an issue). */
typedef enum csl_err csl__lower_fn(struct csl__lowering *lo, const struct csl_node *node,
                                   struct csl__value *out, struct csl_diag *diag);
csl__lower_fn csl__lower_conv;                                              /* lower_conv.c */
csl__lower_fn csl__lower_gemm, csl__lower_matmul;                           /* lower_dense.c */
csl__lower_fn csl__lower_batch_norm, csl__lower_arithmetic;                 /* lower_affine.c */
csl__lower_fn csl__lower_pool, csl__lower_global_pool, csl__lower_mean;     /* lower_pool.c */
csl__lower_fn csl__lower_activation;                                        /* lower_activate.c */
csl__lower_fn csl__lower_join, csl__lower_concat, csl__lower_pad;           /* lower_join.c */
csl__lower_fn csl__lower_flatten, csl__lower_reshape, csl__lower_transpose, /* lower_shape.c */
    csl__lower_squeeze, csl__lower_unsqueeze;

#endif
