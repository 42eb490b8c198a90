/* Nodes that only read a constant in another way: as a view of its elements. */
#include <string.h>

#include "nn/fold_internal.h"

static struct csl__view whole(const struct csl_tensor *x) {
    struct csl__view v = {.rank = x->rank};
    int64_t step = 1;
    for (unsigned i = x->rank; i-- > 0;) {
        v.dims[i] = x->dims[i];
        v.stride[i] = step;
        step *= x->dims[i];
    }
    return v;
}

bool csl__fold_is(const struct csl_node *node, const char *op) {
    return node->op == CSL_OP_UNKNOWN && strcmp(node->op_name, op) == 0;
}

static bool view_transpose(struct csl__view *v, const struct csl_node *node) {
    struct csl__view x = *v;
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

static bool view_slice(struct csl__view *v, const struct csl_attributes *attr, const int64_t *steps) {
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

const struct csl_tensor *csl__fold_list(const struct csl__fold *f, const struct csl_node *node, unsigned i) {
    const struct csl_tensor *t = csl__fold_constant(f, node, i);
    return t != NULL && t->i64 != NULL && t->rank <= 1 && t->n_elements <= CSL_MAX_RANK ? t : NULL;
}

/* The new dims of a dense view; 0 and -1 as ONNX has them. */
static bool view_reshape(struct csl__view *v, const struct csl_tensor *x, const struct csl_tensor *shape,
                         bool allow_zero) {
    int64_t known = 1;
    int64_t n = (int64_t)x->n_elements;
    unsigned open = CSL_MAX_RANK;
    if (shape == NULL || n == 0) {
        return false;
    }
    struct csl__view out = {.rank = (unsigned)shape->n_elements};
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

static bool view_squeeze(struct csl__view *v, const struct csl_attributes *attr) {
    struct csl__view x = *v;
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

static bool view_unsqueeze(struct csl__view *v, const struct csl_attributes *attr) {
    struct csl__view x = *v;
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

static bool view_expand(struct csl__view *v, const struct csl_tensor *shape) {
    struct csl__view x = *v;
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

static bool view_flatten(struct csl__view *v, const struct csl_node *node, const struct csl_tensor *x) {
    int64_t axis = node->attr.axis + (node->attr.axis < 0 ? (int64_t)x->rank : 0);
    if (axis < 0 || axis > (int64_t)x->rank || x->n_elements == 0) {
        return false;
    }
    int64_t before = 1;
    for (unsigned i = 0; (int64_t)i < axis; i++) {
        before *= x->dims[i];
    }
    *v = (struct csl__view){.rank = 2, .dims = {before, (int64_t)x->n_elements / before}};
    v->stride[0] = v->dims[1];
    v->stride[1] = 1;
    return true;
}

/* Slices whose steps stand in an input of their own keep their inputs. */
static bool slice_inputs(const struct csl__fold *f, struct csl__view *v, const struct csl_node *node) {
    if (node->attr.has_slice) {
        return view_slice(v, &node->attr, NULL);
    }
    struct csl_attributes attr = node->attr;
    const struct csl_tensor *starts = csl__fold_list(f, node, 1);
    const struct csl_tensor *ends = csl__fold_list(f, node, 2);
    const struct csl_tensor *axes = csl__fold_list(f, node, 3);
    const struct csl_tensor *steps = csl__fold_list(f, node, 4);
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

bool csl__fold_view(const struct csl__fold *f, struct csl__view *v, const struct csl_node *node,
                    const struct csl_tensor *x) {
    *v = whole(x);
    switch (node->op) {
    case CSL_OP_IDENTITY:
    case CSL_OP_DROPOUT:
        return true;
    case CSL_OP_TRANSPOSE:
        return view_transpose(v, node);
    case CSL_OP_RESHAPE:
        return view_reshape(v, x, csl__fold_list(f, node, 1), node->attr.allow_zero);
    case CSL_OP_FLATTEN:
        return view_flatten(v, node, x);
    case CSL_OP_SQUEEZE:
        return node->n_inputs == 1 && view_squeeze(v, &node->attr);
    case CSL_OP_UNSQUEEZE:
        return node->n_inputs == 1 && view_unsqueeze(v, &node->attr);
    case CSL_OP_SLICE:
        return slice_inputs(f, v, node);
    default:
        return csl__fold_is(node, "Expand") && view_expand(v, csl__fold_list(f, node, 1));
    }
}
