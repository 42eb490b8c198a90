/* Integers computed of dimensions, the batch among them: what exporters write before a Reshape. */
#include <string.h>

#include "nn/fold_internal.h"

static const struct csl__dim open_dim = {CSL__DIM_OPEN, 0};

bool csl__dim_same(struct csl__dim a, struct csl__dim b) {
    return a.kind != CSL__DIM_OPEN && a.kind == b.kind && a.v == b.v;
}

struct csl__dim csl__dim_add(struct csl__dim a, struct csl__dim b) {
    struct csl__dim out = {a.kind, 0};
    bool fine = a.kind != CSL__DIM_OPEN && a.kind == b.kind && !__builtin_add_overflow(a.v, b.v, &out.v);
    return fine ? out : open_dim;
}

struct csl__dim csl__dim_sub(struct csl__dim a, struct csl__dim b) {
    struct csl__dim out = {a.kind, 0};
    bool fine = a.kind != CSL__DIM_OPEN && a.kind == b.kind && !__builtin_sub_overflow(a.v, b.v, &out.v);
    return fine ? out : open_dim;
}

struct csl__dim csl__dim_mul(struct csl__dim a, struct csl__dim b) {
    bool batches = a.kind == CSL__DIM_BATCH && b.kind == CSL__DIM_BATCH;
    struct csl__dim out = {a.kind == CSL__DIM_BATCH ? a.kind : b.kind, 0};
    bool fine = a.kind != CSL__DIM_OPEN && b.kind != CSL__DIM_OPEN && !batches &&
                !__builtin_mul_overflow(a.v, b.v, &out.v);
    return fine ? out : open_dim;
}

/* Exact quotients of the batch only; of numbers as C rounds, which is as ONNX does. */
struct csl__dim csl__dim_div(struct csl__dim a, struct csl__dim b) {
    if (a.kind == CSL__DIM_OPEN || b.kind == CSL__DIM_OPEN || b.v == 0 || b.v == -1) {
        return open_dim;
    }
    if (a.kind == b.kind && (a.kind == CSL__DIM_KNOWN || a.v % b.v == 0)) {
        return csl__known(a.v / b.v);
    }
    return a.kind == CSL__DIM_BATCH && b.kind == CSL__DIM_KNOWN && a.v % b.v == 0
               ? (struct csl__dim){CSL__DIM_BATCH, a.v / b.v}
               : open_dim;
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

/* Elements [start, end) of a list. */
static struct csl__ints part(const struct csl__ints *x, int64_t start, int64_t end) {
    struct csl__ints out = {.known = true, .rank = 1};
    int64_t n = x->n;
    start = clamp(start < 0 ? start + n : start, 0, n);
    end = clamp(end < 0 && end >= -n ? end + n : end, 0, n);
    for (int64_t i = start; i < end; i++) {
        out.at[out.n++] = x->at[i];
    }
    return out;
}

static struct csl__ints shape_of(const struct csl__fold *f, const struct csl_node *node) {
    struct csl__shape s = csl__fold_shape(f, node, 0);
    struct csl__ints all = {.known = s.known, .rank = 1, .n = s.rank};
    memcpy(all.at, s.dims, sizeof s.dims);
    return !s.known || !node->attr.has_slice ? all : part(&all, node->attr.starts[0], node->attr.ends[0]);
}

static struct csl__ints gather(const struct csl__fold *f, const struct csl_node *node,
                               const struct csl__ints *x) {
    struct csl__ints index = csl__fold_ints(f, node, 1);
    struct csl__ints out = {.known = index.known && x->rank == 1, .rank = index.rank, .n = index.n};
    for (unsigned i = 0; i < index.n; i++) {
        unsigned at;
        if (index.at[i].kind != CSL__DIM_KNOWN || !csl__axis(&at, index.at[i].v, x->n)) {
            return (struct csl__ints){0};
        }
        out.at[i] = x->at[at];
    }
    return out;
}

static struct csl__ints slice(const struct csl_node *node, const struct csl__ints *x) {
    if (x->rank != 1 || !node->attr.has_slice || node->n_inputs != 1 || node->attr.n_axes != 1) {
        return (struct csl__ints){0};
    }
    return part(x, node->attr.starts[0], node->attr.ends[0]);
}

static struct csl__ints concat(const struct csl__fold *f, const struct csl_node *node) {
    struct csl__ints out = {.known = true, .rank = 1};
    for (unsigned i = 0; i < node->n_inputs; i++) {
        struct csl__ints x = csl__fold_ints(f, node, i);
        if (!x.known || x.rank != 1 || out.n + x.n > CSL__MAX_INTS) {
            return (struct csl__ints){0};
        }
        memcpy(out.at + out.n, x.at, x.n * sizeof x.at[0]);
        out.n += x.n;
    }
    return out;
}

typedef struct csl__dim dim_fn(struct csl__dim a, struct csl__dim b);

static struct csl__ints elementwise(const struct csl__fold *f, const struct csl_node *node,
                                    const struct csl__ints *x, dim_fn *fn) {
    struct csl__ints y = csl__fold_ints(f, node, 1);
    unsigned n = x->n > y.n ? x->n : y.n;
    if (!y.known || node->n_inputs != 2 || x->n == 0 || y.n == 0 || (x->n != n && x->n != 1) ||
        (y.n != n && y.n != 1)) {
        return (struct csl__ints){0};
    }
    struct csl__ints out = {.known = true, .rank = x->rank > y.rank ? x->rank : y.rank, .n = n};
    for (unsigned i = 0; i < n; i++) {
        out.at[i] = fn(x->at[x->n == 1 ? 0 : i], y.at[y.n == 1 ? 0 : i]);
    }
    return out;
}

/* The same elements as a vector or, one of them, as a scalar. */
static struct csl__ints reshape(const struct csl__fold *f, const struct csl_node *node,
                                const struct csl__ints *x) {
    struct csl__ints shape = csl__fold_ints(f, node, 1);
    struct csl__ints out = *x;
    out.known = shape.known && shape.n <= 1 && (shape.n == 1 || x->n == 1);
    out.rank = shape.n;
    if (shape.n == 1) {
        int64_t v = shape.at[0].v;
        out.known = out.known && shape.at[0].kind == CSL__DIM_KNOWN &&
                    (v == -1 || v == (int64_t)x->n || (v == 0 && x->rank == 1));
    }
    return out;
}

static struct csl__ints product(const struct csl_node *node, const struct csl__ints *x) {
    struct csl__ints out = {
        .known = node->n_inputs == 1 && x->n > 0, .rank = node->attr.keepdims ? x->rank : 0, .n = 1};
    out.at[0] = csl__known(1);
    for (unsigned i = 0; i < x->n; i++) {
        out.at[0] = csl__dim_mul(out.at[0], x->at[i]);
    }
    return out;
}

struct csl__ints csl__fold_symbols(const struct csl__fold *f, const struct csl_node *node) {
    if (node->op == CSL_OP_SHAPE) {
        return shape_of(f, node);
    }
    struct csl__ints x = csl__fold_ints(f, node, 0);
    if (!x.known) {
        return x;
    }
    switch (node->op) {
    case CSL_OP_GATHER:
        return gather(f, node, &x);
    case CSL_OP_SLICE:
        return slice(node, &x);
    case CSL_OP_CONCAT:
        return concat(f, node);
    case CSL_OP_ADD:
        return elementwise(f, node, &x, csl__dim_add);
    case CSL_OP_SUB:
        return elementwise(f, node, &x, csl__dim_sub);
    case CSL_OP_MUL:
        return elementwise(f, node, &x, csl__dim_mul);
    case CSL_OP_DIV:
        return elementwise(f, node, &x, csl__dim_div);
    case CSL_OP_RESHAPE:
        return reshape(f, node, &x);
    case CSL_OP_IDENTITY:
        return x;
    case CSL_OP_CAST: /* int32 and int64 */
        x.known = node->attr.cast_to == 6 || node->attr.cast_to == 7;
        return x;
    case CSL_OP_UNSQUEEZE:
        x.known = x.rank == 0 && node->attr.n_axes == 1;
        x.rank = 1;
        return x;
    case CSL_OP_SQUEEZE:
        x.known = x.rank == 1 && x.n == 1;
        x.rank = 0;
        return x;
    case CSL_OP_UNKNOWN:
        if (strcmp(node->op_name, "ReduceProd") == 0) {
            return product(node, &x);
        }
        return (struct csl__ints){0};
    default:
        return (struct csl__ints){0};
    }
}
