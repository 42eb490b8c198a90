/* Shapes of activations, as far as the operators are known. What does not fit is left open: lowering says
 * why. */
#include <string.h>

#include "nn/fold_internal.h"

static const struct csl__dim open_dim = {CSL__DIM_OPEN, 0};
static const struct csl__shape no_shape;

/* Output length of a window in one dimension. */
static struct csl__dim window(struct csl__dim in, const struct csl_attributes *a, unsigned i,
                              int64_t kernel) {
    int64_t stride = a->strides[i];
    int64_t dilation = a->dilations[i];
    int64_t before = a->n_pads == 4 && a->auto_pad == CSL_PAD_NOTSET ? a->pads[i] : 0;
    int64_t after = a->n_pads == 4 && a->auto_pad == CSL_PAD_NOTSET ? a->pads[i + 2] : 0;
    if (in.kind != CSL__DIM_KNOWN || stride <= 0 || dilation <= 0 || kernel <= 0 || before < 0 || after < 0 ||
        stride > CSL_GRAPH_MAX_DIM || dilation > CSL_GRAPH_MAX_DIM || kernel > CSL_GRAPH_MAX_DIM ||
        before > CSL_GRAPH_MAX_DIM || after > CSL_GRAPH_MAX_DIM || in.v <= 0 || in.v > CSL_GRAPH_MAX_DIM) {
        return open_dim;
    }
    if (a->auto_pad == CSL_PAD_SAME_UPPER || a->auto_pad == CSL_PAD_SAME_LOWER) {
        return csl__known((in.v + stride - 1) / stride);
    }
    int64_t room = in.v + before + after - (kernel - 1) * dilation - 1;
    if (room < 0) {
        return open_dim;
    }
    int64_t out = (a->ceil_mode ? room + stride - 1 : room) / stride + 1;
    if (a->ceil_mode && (out - 1) * stride >= in.v + before) { /* it would begin in the padding behind */
        out--;
    }
    return csl__known(out);
}

static struct csl__shape windows(const struct csl__fold *f, const struct csl_node *node,
                                 struct csl__shape x) {
    struct csl__shape w = csl__fold_shape(f, node, 1);
    bool conv = node->op == CSL_OP_CONV;
    if (!x.known || x.rank != 4 || node->attr.channels_last || (conv && (!w.known || w.rank != 4))) {
        return no_shape;
    }
    for (unsigned i = 0; i < 2; i++) {
        int64_t kernel = conv && node->attr.kernel[i] == 0 && w.dims[i + 2].kind == CSL__DIM_KNOWN
                             ? w.dims[i + 2].v
                             : node->attr.kernel[i];
        x.dims[i + 2] = window(x.dims[i + 2], &node->attr, i, kernel);
    }
    if (conv) {
        x.dims[1] = w.dims[0];
    }
    return x;
}

static struct csl__dim broadcast_dim(struct csl__dim a, struct csl__dim b) {
    if (csl__dim_same(a, b) || (b.kind == CSL__DIM_KNOWN && b.v == 1)) {
        return a;
    }
    return a.kind == CSL__DIM_KNOWN && a.v == 1 ? b : open_dim;
}

static struct csl__shape broadcast(struct csl__shape a, struct csl__shape b) {
    if (!a.known || !b.known) {
        return no_shape;
    }
    struct csl__shape out = {.known = true, .rank = a.rank > b.rank ? a.rank : b.rank};
    for (unsigned i = 0; i < out.rank; i++) { /* from the right */
        struct csl__dim x = i < a.rank ? a.dims[a.rank - 1 - i] : csl__known(1);
        struct csl__dim y = i < b.rank ? b.dims[b.rank - 1 - i] : csl__known(1);
        out.dims[out.rank - 1 - i] = broadcast_dim(x, y);
    }
    return out;
}

static struct csl__shape broadcast_all(const struct csl__fold *f, const struct csl_node *node,
                                       struct csl__shape x) {
    for (unsigned i = 1; i < node->n_inputs; i++) {
        x = broadcast(x, csl__fold_shape(f, node, i));
    }
    return x;
}

static struct csl__shape gemm(const struct csl__fold *f, const struct csl_node *node, struct csl__shape x) {
    struct csl__shape w = csl__fold_shape(f, node, 1);
    if (!x.known || !w.known || x.rank != 2 || w.rank != 2) {
        return no_shape;
    }
    x.dims[0] = x.dims[node->attr.trans_a ? 1 : 0];
    x.dims[1] = w.dims[node->attr.trans_b ? 0 : 1];
    return x;
}

static struct csl__shape matmul(const struct csl__fold *f, const struct csl_node *node, struct csl__shape x) {
    struct csl__shape w = csl__fold_shape(f, node, 1);
    if (!x.known || !w.known || x.rank < 2 || w.rank != 2) {
        return no_shape;
    }
    x.dims[x.rank - 1] = w.dims[1];
    return x;
}

static struct csl__shape global_pool(struct csl__shape x) {
    for (unsigned i = 2; i < x.rank; i++) {
        x.dims[i] = csl__known(1);
    }
    return x;
}

/* Bits of the axes named; false when one is not an axis. */
static bool axis_set(unsigned *set, const struct csl_attributes *a, unsigned rank) {
    *set = 0;
    for (unsigned i = 0; i < a->n_axes; i++) {
        unsigned axis;
        if (!csl__axis(&axis, a->axes[i], rank)) {
            return false;
        }
        *set |= 1U << axis;
    }
    return true;
}

/* Without the axes of the set. */
static struct csl__shape without(struct csl__shape x, unsigned set) {
    struct csl__shape out = {.known = true};
    for (unsigned i = 0; i < x.rank; i++) {
        if ((set >> i & 1) == 0) {
            out.dims[out.rank++] = x.dims[i];
        }
    }
    return out;
}

static struct csl__shape reduce(const struct csl_node *node, struct csl__shape x) {
    unsigned set;
    if (!x.known || !node->attr.has_axes || !axis_set(&set, &node->attr, x.rank)) {
        return no_shape;
    }
    for (unsigned i = 0; node->attr.keepdims && i < x.rank; i++) {
        x.dims[i] = (set >> i & 1) != 0 ? csl__known(1) : x.dims[i];
    }
    return node->attr.keepdims ? x : without(x, set);
}

static struct csl__shape squeeze(const struct csl_node *node, struct csl__shape x) {
    unsigned set;
    return x.known && node->attr.has_axes && axis_set(&set, &node->attr, x.rank) ? without(x, set) : no_shape;
}

static struct csl__shape unsqueeze(const struct csl_node *node, struct csl__shape x) {
    unsigned set;
    struct csl__shape out = {.known = true, .rank = x.rank + node->attr.n_axes};
    if (!x.known || !node->attr.has_axes || out.rank > CSL_MAX_RANK ||
        !axis_set(&set, &node->attr, out.rank)) {
        return no_shape;
    }
    for (unsigned i = 0, from = 0; i < out.rank; i++) {
        bool is_new = (set >> i & 1) != 0;
        if (!is_new && from == x.rank) {
            return no_shape;
        }
        out.dims[i] = is_new ? csl__known(1) : x.dims[from++];
    }
    return out;
}

static struct csl__shape concat(const struct csl__fold *f, const struct csl_node *node, struct csl__shape x) {
    unsigned axis;
    if (!x.known || !csl__axis(&axis, node->attr.axis, x.rank)) {
        return no_shape;
    }
    for (unsigned i = 1; i < node->n_inputs; i++) {
        struct csl__shape y = csl__fold_shape(f, node, i);
        if (!y.known || y.rank != x.rank) {
            return no_shape;
        }
        x.dims[axis] = csl__dim_add(x.dims[axis], y.dims[axis]);
    }
    return x;
}

static struct csl__shape pad(const struct csl_node *node, struct csl__shape x) {
    if (!x.known || node->attr.n_pads != 2 * x.rank) {
        return no_shape;
    }
    for (unsigned i = 0; i < x.rank; i++) {
        int64_t more;
        if (__builtin_add_overflow(node->attr.pads[i], node->attr.pads[i + x.rank], &more)) {
            return no_shape;
        }
        x.dims[i] = more == 0 ? x.dims[i] : csl__dim_add(x.dims[i], csl__known(more));
    }
    return x;
}

static struct csl__shape flatten(const struct csl_node *node, struct csl__shape x) {
    int64_t axis = node->attr.axis + (node->attr.axis < 0 ? (int64_t)x.rank : 0);
    if (!x.known || axis < 0 || axis > (int64_t)x.rank) {
        return no_shape;
    }
    struct csl__shape out = {.known = true, .rank = 2, .dims = {csl__known(1), csl__known(1)}};
    for (unsigned i = 0; i < x.rank; i++) {
        unsigned to = (int64_t)i < axis ? 0 : 1;
        out.dims[to] = csl__dim_mul(out.dims[to], x.dims[i]);
    }
    return out;
}

static struct csl__dim product(const struct csl__shape *s, unsigned first) {
    struct csl__dim p = csl__known(1);
    for (unsigned i = first; i < s->rank; i++) {
        p = csl__dim_mul(p, s->dims[i]);
    }
    return p;
}

/* The dimension that -1 stands for, when the batch stays in front. */
static struct csl__shape reshape(const struct csl__fold *f, const struct csl_node *node,
                                 struct csl__shape x) {
    struct csl__ints ints = csl__fold_ints(f, node, 1);
    struct csl__shape out = {.known = true, .rank = ints.n};
    unsigned open = CSL_MAX_RANK;
    if (!ints.known || ints.n > CSL_MAX_RANK || ints.rank != 1) {
        return no_shape;
    }
    for (unsigned i = 0; i < ints.n; i++) {
        out.dims[i] = ints.at[i];
        if (ints.at[i].kind == CSL__DIM_KNOWN && ints.at[i].v == 0 && !node->attr.allow_zero) {
            out.dims[i] = x.known && i < x.rank ? x.dims[i] : open_dim;
        } else if (ints.at[i].kind == CSL__DIM_KNOWN && ints.at[i].v == -1) {
            out.dims[i] = csl__known(1);
            open = i;
        }
    }
    struct csl__dim rest = product(&x, 1);
    bool rows = x.known && x.rank > 0 && x.dims[0].kind == CSL__DIM_BATCH && out.rank > 0;
    if (open != CSL_MAX_RANK) {
        out.dims[open] = x.known ? csl__dim_div(product(&x, 0), product(&out, 0)) : open_dim;
    }
    /* A number in front that leaves each input's elements together is a batch that the exporter has fixed. */
    if (rows && out.dims[0].kind == CSL__DIM_KNOWN &&
        (out.dims[0].v == 1 || (out.dims[0].v > 1 && open == CSL_MAX_RANK))) {
        struct csl__shape row = out;
        if (open != CSL_MAX_RANK && open > 0) {
            row.dims[open] = csl__known(1);
            row.dims[open] = csl__dim_div(rest, product(&row, 1));
        }
        if (csl__dim_same(product(&row, 1), rest)) {
            out = row;
            out.dims[0] = x.dims[0];
        }
    }
    return out;
}

static struct csl__shape transpose(const struct csl_node *node, struct csl__shape x) {
    struct csl__shape out = x;
    if (!x.known || (node->attr.n_perm != 0 && node->attr.n_perm != x.rank)) {
        return no_shape;
    }
    for (unsigned i = 0; i < x.rank; i++) {
        int64_t p = node->attr.n_perm == 0 ? (int64_t)(x.rank - 1 - i) : node->attr.perm[i];
        if (p < 0 || p >= (int64_t)x.rank) {
            return no_shape;
        }
        out.dims[i] = x.dims[p];
    }
    return out;
}

struct csl__shape csl__fold_infer(const struct csl__fold *f, const struct csl_node *node) {
    struct csl__shape x = csl__fold_shape(f, node, 0);
    switch (node->op) {
    case CSL_OP_CONV:
    case CSL_OP_MAX_POOL:
    case CSL_OP_AVERAGE_POOL:
        return windows(f, node, x);
    case CSL_OP_GEMM:
        return gemm(f, node, x);
    case CSL_OP_MATMUL:
        return matmul(f, node, x);
    case CSL_OP_ADD:
    case CSL_OP_SUB:
    case CSL_OP_MUL:
    case CSL_OP_DIV:
    case CSL_OP_SUM:
        return broadcast_all(f, node, x);
    case CSL_OP_GLOBAL_AVERAGE_POOL:
    case CSL_OP_GLOBAL_MAX_POOL:
        return node->attr.channels_last ? no_shape : global_pool(x);
    case CSL_OP_REDUCE_MEAN:
        return reduce(node, x);
    case CSL_OP_CONCAT:
        return concat(f, node, x);
    case CSL_OP_PAD:
        return node->attr.channels_last ? no_shape : pad(node, x);
    case CSL_OP_FLATTEN:
        return flatten(node, x);
    case CSL_OP_RESHAPE:
        return reshape(f, node, x);
    case CSL_OP_TRANSPOSE:
        return transpose(node, x);
    case CSL_OP_SQUEEZE:
        return squeeze(node, x);
    case CSL_OP_UNSQUEEZE:
        return unsqueeze(node, x);
    case CSL_OP_RELU:
    case CSL_OP_CLIP:
    case CSL_OP_LEAKY_RELU:
    case CSL_OP_PRELU:
    case CSL_OP_ELU:
    case CSL_OP_SIGMOID:
    case CSL_OP_HARD_SIGMOID:
    case CSL_OP_TANH:
    case CSL_OP_BATCH_NORMALIZATION:
    case CSL_OP_CAST:
    case CSL_OP_IDENTITY:
    case CSL_OP_DROPOUT:
    case CSL_OP_SOFTMAX:
    case CSL_OP_LOGSOFTMAX:
        return x;
    default:
        return no_shape;
    }
}
