/* Evaluating nodes on constants: everything that only moves elements. */
#include <math.h>
#include <string.h>

#include "nn/fold_internal.h"

/* A way to read a constant: element (i0, i1, ...) of dims stands at base + sum i * stride. */
struct view {
    unsigned rank;
    int64_t dims[CSL_MAX_RANK];
    int64_t stride[CSL_MAX_RANK];
    int64_t base;
};

static struct view whole(const struct csl_tensor *x) {
    struct view v = {.rank = x->rank};
    int64_t step = 1;
    for (unsigned i = x->rank; i-- > 0;) {
        v.dims[i] = x->dims[i];
        v.stride[i] = step;
        step *= x->dims[i];
    }
    return v;
}

static void copy_element(struct csl_tensor *out, size_t to, const struct csl_tensor *x, size_t from) {
    if (out->dtype == CSL_DTYPE_F32) {
        out->f32[to] = x->f32[from];
    } else {
        out->i64[to] = x->i64[from];
    }
}

static enum csl_err emit(struct csl__fold *f, const struct csl_node *node, const struct csl_tensor *x,
                         const struct view *v, struct csl_diag *diag) {
    struct csl_tensor *out;
    TRY(csl__fold_output(f, &out, node->outputs[0], x->dtype, v->rank, v->dims, diag));
    int64_t index[CSL_MAX_RANK] = {0};
    int64_t from = v->base;
    for (size_t i = 0; out != NULL && i < out->n_elements; i++) {
        copy_element(out, i, x, (size_t)from);
        for (unsigned d = v->rank; d-- > 0;) { /* the next index */
            from += v->stride[d];
            if (++index[d] < v->dims[d]) {
                break;
            }
            from -= v->dims[d] * v->stride[d];
            index[d] = 0;
        }
    }
    return CSL_OK;
}

static bool view_transpose(struct view *v, const struct csl_node *node) {
    struct view x = *v;
    unsigned seen = 0;
    if (node->attr.n_perm != 0 && node->attr.n_perm != x.rank) {
        return false;
    }
    for (unsigned i = 0; i < x.rank; i++) {
        int64_t p = node->attr.n_perm == 0 ? (int64_t)(x.rank - 1 - i) : node->attr.perm[i];
        if (p < 0 || p >= (int64_t)x.rank || (seen >> p & 1) != 0) {
            return false;
        }
        seen |= 1U << p;
        v->dims[i] = x.dims[p];
        v->stride[i] = x.stride[p];
    }
    return true;
}

static bool view_slice(struct view *v, const struct csl_attributes *attr, const int64_t *steps) {
    for (unsigned i = 0; i < attr->n_axes; i++) {
        unsigned axis;
        int64_t step = steps == NULL ? 1 : steps[i];
        if (!csl__axis(&axis, attr->axes[i], v->rank) || step == 0 || step < -(1 << 28) || step > 1 << 28) {
            return false;
        }
        int64_t n = v->dims[axis];
        int64_t lo = step > 0 ? 0 : -1; /* of the end; the start may be one more */
        int64_t hi = step > 0 ? n : n - 1;
        int64_t start = attr->starts[i] < 0 && attr->starts[i] >= -n ? attr->starts[i] + n : attr->starts[i];
        int64_t end = attr->ends[i] < 0 && attr->ends[i] >= -n ? attr->ends[i] + n : attr->ends[i];
        start = start < 0 ? 0 : start > hi ? hi : start;
        end = end < lo ? lo : end > hi ? hi : end;
        int64_t count = step > 0 ? (end - start + step - 1) / step : (start - end - step - 1) / -step;
        v->base += start * v->stride[axis];
        v->dims[axis] = count < 0 ? 0 : count;
        v->stride[axis] *= step;
    }
    return true;
}

/* The constant list input i as int64, of at most CSL_MAX_RANK entries. */
static const struct csl_tensor *list_input(const struct csl__fold *f, const struct csl_node *node,
                                           unsigned i) {
    const struct csl_tensor *t = csl__fold_constant(f, node, i);
    return t != NULL && t->i64 != NULL && t->rank <= 1 && t->n_elements <= CSL_MAX_RANK ? t : NULL;
}

/* The new dims of a dense view; 0 and -1 as ONNX has them. */
static bool view_reshape(struct view *v, const struct csl_tensor *x, const struct csl_tensor *shape,
                         bool allow_zero) {
    int64_t known = 1;
    int64_t n = (int64_t)x->n_elements;
    unsigned open = CSL_MAX_RANK;
    if (shape == NULL || n == 0) {
        return false;
    }
    struct view out = {.rank = (unsigned)shape->n_elements};
    for (unsigned i = 0; i < out.rank; i++) {
        int64_t d = shape->i64[i];
        d = d == 0 && !allow_zero && i < x->rank ? x->dims[i] : d;
        if (d == -1 && open == CSL_MAX_RANK) {
            open = i;
            continue;
        }
        if (d <= 0 || d > n / known) {
            return false;
        }
        known *= d;
        out.dims[i] = d;
    }
    if (open != CSL_MAX_RANK) {
        out.dims[open] = n / known;
        known *= out.dims[open];
    }
    int64_t step = 1;
    for (unsigned i = out.rank; i-- > 0;) {
        out.stride[i] = step;
        step *= out.dims[i];
    }
    *v = out;
    return known == n;
}

static bool view_squeeze(struct view *v, const struct csl_attributes *attr) {
    struct view x = *v;
    unsigned gone = 0;
    for (unsigned i = 0; i < attr->n_axes; i++) {
        unsigned axis;
        if (!csl__axis(&axis, attr->axes[i], x.rank) || x.dims[axis] != 1) {
            return false;
        }
        gone |= 1U << axis;
    }
    v->rank = 0;
    for (unsigned i = 0; i < x.rank; i++) {
        if (attr->has_axes ? (gone >> i & 1) == 0 : x.dims[i] != 1) {
            v->dims[v->rank] = x.dims[i];
            v->stride[v->rank++] = x.stride[i];
        }
    }
    return true;
}

static bool view_unsqueeze(struct view *v, const struct csl_attributes *attr) {
    struct view x = *v;
    unsigned added = 0;
    unsigned rank = x.rank + attr->n_axes;
    if (rank > CSL_MAX_RANK || !attr->has_axes) {
        return false;
    }
    for (unsigned i = 0; i < attr->n_axes; i++) {
        unsigned axis;
        if (!csl__axis(&axis, attr->axes[i], rank) || (added >> axis & 1) != 0) {
            return false;
        }
        added |= 1U << axis;
    }
    v->rank = rank;
    for (unsigned i = 0, from = 0; i < rank; i++) {
        bool is_new = (added >> i & 1) != 0;
        v->dims[i] = is_new ? 1 : x.dims[from];
        v->stride[i] = is_new ? 0 : x.stride[from];
        from += is_new ? 0 : 1;
    }
    return true;
}

static bool view_expand(struct view *v, const struct csl_tensor *shape) {
    struct view x = *v;
    if (shape == NULL) {
        return false;
    }
    unsigned n = (unsigned)shape->n_elements;
    v->rank = x.rank > n ? x.rank : n;
    for (unsigned i = 0; i < v->rank; i++) { /* from the right */
        int64_t a = i < x.rank ? x.dims[x.rank - 1 - i] : 1;
        int64_t b = i < n ? shape->i64[n - 1 - i] : 1;
        if (b <= 0 || (a != b && a != 1 && b != 1)) {
            return false;
        }
        v->dims[v->rank - 1 - i] = a == 1 ? b : a;
        v->stride[v->rank - 1 - i] = a == 1 ? 0 : x.stride[x.rank - 1 - i];
    }
    return true;
}

static bool view_flatten(struct view *v, const struct csl_node *node, const struct csl_tensor *x) {
    int64_t axis = node->attr.axis + (node->attr.axis < 0 ? (int64_t)x->rank : 0);
    if (axis < 0 || axis > (int64_t)x->rank || x->n_elements == 0) {
        return false;
    }
    int64_t before = 1;
    for (unsigned i = 0; (int64_t)i < axis; i++) {
        before *= x->dims[i];
    }
    *v = (struct view){.rank = 2, .dims = {before, (int64_t)x->n_elements / before}};
    v->stride[0] = v->dims[1];
    v->stride[1] = 1;
    return true;
}

static bool is(const struct csl_node *node, const char *op) {
    return node->op == CSL_OP_UNKNOWN && strcmp(node->op_name, op) == 0;
}

/* Slices whose steps stand in an input of their own keep their inputs. */
static bool slice_inputs(const struct csl__fold *f, struct view *v, const struct csl_node *node) {
    if (node->attr.has_slice) {
        return view_slice(v, &node->attr, NULL);
    }
    struct csl_attributes attr = node->attr;
    const struct csl_tensor *starts = list_input(f, node, 1);
    const struct csl_tensor *ends = list_input(f, node, 2);
    const struct csl_tensor *axes = list_input(f, node, 3);
    const struct csl_tensor *steps = list_input(f, node, 4);
    if (starts == NULL || ends == NULL || ends->n_elements != starts->n_elements ||
        (csl__fold_input(f, node, 3) != NULL && (axes == NULL || axes->n_elements != starts->n_elements)) ||
        (csl__fold_input(f, node, 4) != NULL && (steps == NULL || steps->n_elements != starts->n_elements))) {
        return false;
    }
    attr.n_axes = (unsigned)starts->n_elements;
    for (unsigned i = 0; i < attr.n_axes; i++) {
        attr.axes[i] = axes == NULL ? (int64_t)i : axes->i64[i];
        attr.starts[i] = starts->i64[i];
        attr.ends[i] = ends->i64[i];
    }
    return view_slice(v, &attr, steps == NULL ? NULL : steps->i64);
}

/* False when the node is none that only reads its first input in another way, or does not fit it. */
static bool find_view(const struct csl__fold *f, struct view *v, const struct csl_node *node,
                      const struct csl_tensor *x) {
    *v = whole(x);
    switch (node->op) {
    case CSL_OP_IDENTITY:
    case CSL_OP_DROPOUT:
        return true;
    case CSL_OP_TRANSPOSE:
        return view_transpose(v, node);
    case CSL_OP_RESHAPE:
        return view_reshape(v, x, list_input(f, node, 1), node->attr.allow_zero);
    case CSL_OP_FLATTEN:
        return view_flatten(v, node, x);
    case CSL_OP_SQUEEZE:
        return node->n_inputs == 1 && view_squeeze(v, &node->attr);
    case CSL_OP_UNSQUEEZE:
        return node->n_inputs == 1 && view_unsqueeze(v, &node->attr);
    case CSL_OP_SLICE:
        return slice_inputs(f, v, node);
    default:
        return is(node, "Expand") && view_expand(v, list_input(f, node, 1));
    }
}

static enum csl_err eval_gather(struct csl__fold *f, const struct csl_node *node, const struct csl_tensor *x,
                                struct csl_diag *diag) {
    const struct csl_tensor *index = csl__fold_constant(f, node, 1);
    unsigned axis;
    if (index == NULL || index->i64 == NULL || !csl__axis(&axis, node->attr.axis, x->rank) ||
        x->rank - 1 + index->rank > CSL_MAX_RANK) {
        return CSL_OK;
    }
    int64_t dims[CSL_MAX_RANK];
    unsigned rank = 0;
    size_t before = 1;
    size_t after = 1;
    for (unsigned i = 0; i < x->rank; i++) {
        for (unsigned j = 0; i == axis && j < index->rank; j++) {
            dims[rank++] = index->dims[j];
        }
        if (i != axis) {
            dims[rank++] = x->dims[i];
            *(i < axis ? &before : &after) *= (size_t)x->dims[i];
        }
    }
    for (size_t i = 0; i < index->n_elements; i++) {
        if (index->i64[i] < -x->dims[axis] || index->i64[i] >= x->dims[axis]) {
            return CSL_OK;
        }
    }
    struct csl_tensor *out;
    TRY(csl__fold_output(f, &out, node->outputs[0], x->dtype, rank, dims, diag));
    size_t n = (size_t)x->dims[axis];
    for (size_t i = 0, to = 0; out != NULL && i < before; i++) {
        for (size_t j = 0; j < index->n_elements; j++) {
            int64_t at = index->i64[j] + (index->i64[j] < 0 ? (int64_t)n : 0);
            for (size_t k = 0; k < after; k++) {
                copy_element(out, to++, x, (i * n + (size_t)at) * after + k);
            }
        }
    }
    return CSL_OK;
}

/* The shape of the inputs side by side; false when they do not fit. */
static bool concat_shape(const struct csl__fold *f, int64_t *dims, unsigned *axis,
                         const struct csl_node *node) {
    const struct csl_tensor *x = csl__fold_constant(f, node, 0);
    if (!csl__axis(axis, node->attr.axis, x->rank)) {
        return false;
    }
    memcpy(dims, x->dims, sizeof x->dims);
    for (unsigned i = 1; i < node->n_inputs; i++) {
        const struct csl_tensor *y = csl__fold_constant(f, node, i);
        if (y == NULL || y->dtype != x->dtype || y->rank != x->rank) {
            return false;
        }
        for (unsigned d = 0; d < x->rank; d++) {
            if (d != *axis && y->dims[d] != x->dims[d]) {
                return false;
            }
        }
        dims[*axis] += y->dims[*axis]; /* at most 2^17 times 2^28 */
    }
    return true;
}

static enum csl_err eval_concat(struct csl__fold *f, const struct csl_node *node, const struct csl_tensor *x,
                                struct csl_diag *diag) {
    int64_t dims[CSL_MAX_RANK];
    unsigned axis;
    struct csl_tensor *out;
    if (!concat_shape(f, dims, &axis, node)) {
        return CSL_OK;
    }
    TRY(csl__fold_output(f, &out, node->outputs[0], x->dtype, x->rank, dims, diag));
    size_t before = 1;
    for (unsigned d = 0; d < axis; d++) {
        before *= (size_t)dims[d];
    }
    for (size_t i = 0, to = 0; out != NULL && i < before; i++) {
        for (unsigned k = 0; k < node->n_inputs; k++) {
            const struct csl_tensor *y = csl__fold_constant(f, node, k);
            size_t n = y->n_elements / before;
            for (size_t j = 0; j < n; j++) {
                copy_element(out, to++, y, i * n + j);
            }
        }
    }
    return CSL_OK;
}

static bool to_float(int type) {
    return type == 1 || type == 10 || type == 11 || type == 16;
}

/* ONNX rounds towards zero; bool is whether it is not zero. */
static enum csl_err eval_cast(struct csl__fold *f, const struct csl_node *node, const struct csl_tensor *x,
                              bool is_float, int type, struct csl_diag *diag) {
    bool is_int = type >= 2 && type <= 13 && !is_float && type != 8;
    if (!is_float && !is_int) {
        return CSL_OK;
    }
    for (size_t i = 0; x->f32 != NULL && is_int && i < x->n_elements; i++) {
        if (!(fabsf(x->f32[i]) < 0x1p62F)) {
            return CSL_OK;
        }
    }
    struct csl_tensor *out;
    TRY(csl__fold_output(f, &out, node->outputs[0], is_float ? CSL_DTYPE_F32 : CSL_DTYPE_I64, x->rank,
                         x->dims, diag));
    for (size_t i = 0; out != NULL && i < x->n_elements; i++) {
        if (is_float) {
            out->f32[i] = x->f32 != NULL ? x->f32[i] : (float)x->i64[i];
        } else if (type == 9) {
            out->i64[i] = x->f32 != NULL ? x->f32[i] != 0 : x->i64[i] != 0;
        } else {
            out->i64[i] = x->f32 != NULL ? (int64_t)x->f32[i] : x->i64[i];
        }
    }
    return CSL_OK;
}

/* Shape and ReduceProd: as for activations, but all of it is known. */
static enum csl_err eval_ints(struct csl__fold *f, const struct csl_node *node, struct csl_diag *diag) {
    struct csl__ints ints = csl__fold_symbols(f, node);
    struct csl_tensor *out;
    int64_t n = ints.n;
    for (unsigned i = 0; i < ints.n; i++) {
        if (ints.at[i].kind != CSL__DIM_KNOWN) {
            return CSL_OK;
        }
    }
    if (!ints.known) {
        return CSL_OK;
    }
    TRY(csl__fold_output(f, &out, node->outputs[0], CSL_DTYPE_I64, ints.rank, &n, diag));
    for (unsigned i = 0; out != NULL && i < ints.n; i++) {
        out->i64[i] = ints.at[i].v;
    }
    return CSL_OK;
}

static enum csl_err eval_constant_of_shape(struct csl__fold *f, const struct csl_node *node,
                                           struct csl_diag *diag) {
    const struct csl_tensor *shape = list_input(f, node, 0);
    struct csl_tensor *out;
    if (shape == NULL) {
        return CSL_OK;
    }
    TRY(csl__fold_output(f, &out, node->outputs[0], node->attr.fill_is_int ? CSL_DTYPE_I64 : CSL_DTYPE_F32,
                         (unsigned)shape->n_elements, shape->i64, diag));
    for (size_t i = 0; out != NULL && i < out->n_elements; i++) {
        if (out->f32 != NULL) {
            out->f32[i] = node->attr.fill;
        } else {
            out->i64[i] = (int64_t)node->attr.fill;
        }
    }
    return CSL_OK;
}

enum csl_err csl__fold_evaluate(struct csl__fold *f, const struct csl_node *node, struct csl_diag *diag) {
    const struct csl_tensor *x = csl__fold_constant(f, node, 0);
    const struct csl_tensor *like = csl__fold_constant(f, node, 1);
    struct view v;
    if (x == NULL) {
        return CSL_OK;
    }
    /* The tensors may not move while x is in use: outputs are there already, and nothing is added. */
    switch (node->op) {
    case CSL_OP_GATHER:
        return eval_gather(f, node, x, diag);
    case CSL_OP_CONCAT:
        return eval_concat(f, node, x, diag);
    case CSL_OP_CAST:
        return eval_cast(f, node, x, to_float(node->attr.cast_to), node->attr.cast_to, diag);
    case CSL_OP_SHAPE:
        return eval_ints(f, node, diag);
    case CSL_OP_CONSTANT_OF_SHAPE:
        return eval_constant_of_shape(f, node, diag);
    default:
        if (is(node, "ReduceProd")) {
            return eval_ints(f, node, diag);
        }
        if (is(node, "CastLike") && like != NULL) {
            return eval_cast(f, node, x, like->f32 != NULL, 7, diag);
        }
        return find_view(f, &v, node, x) ? emit(f, node, x, &v, diag) : csl__fold_math(f, node, diag);
    }
}
