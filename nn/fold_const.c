/* Evaluating nodes on constants: everything that only moves elements. */
#include <math.h>
#include <string.h>

#include "nn/fold_internal.h"

static void copy_element(struct csl_tensor *out, size_t to, const struct csl_tensor *x, size_t from) {
    if (out->dtype == CSL_DTYPE_F32) {
        out->f32[to] = x->f32[from];
    } else {
        out->i64[to] = x->i64[from];
    }
}

static enum csl_err emit(struct csl__fold *f, const struct csl_node *node, const struct csl_tensor *x,
                         const struct csl__view *v, struct csl_diag *diag) {
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
    const struct csl_tensor *shape = csl__fold_list(f, node, 0);
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
    struct csl__view v;
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
        if (csl__fold_is(node, "ReduceProd")) {
            return eval_ints(f, node, diag);
        }
        if (csl__fold_is(node, "CastLike") && like != NULL) {
            return eval_cast(f, node, x, like->f32 != NULL, 7, diag);
        }
        return csl__fold_view(f, &v, node, x) ? emit(f, node, x, &v, diag) : csl__fold_math(f, node, diag);
    }
}
