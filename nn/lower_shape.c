/* Flatten, Reshape and Transpose: row-major data stays where it is, so that most of them cost nothing. */
#include <string.h>

#include "crypto/secret.h"
#include "nn/lower_internal.h"

#define KEEP_BATCH "keep the batch as dimension 0, e.g. Reshape to [-1, features] or Flatten with axis 1"

enum csl_err csl__lower_flatten(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                                struct csl_diag *diag) {
    (void)diag;
    const struct csl__value *x = csl__input(lo, node, 0);
    int64_t axis = node->attr.axis + (node->attr.axis < 0 ? (int64_t)x->rank : 0);
    if (axis < 0 || axis > (int64_t)x->rank) {
        return csl__issue(lo, node, KEEP_BATCH, "axis %lld is not one of its input's",
                          (long long)node->attr.axis);
    }
    int64_t before = 1;
    int64_t after = 1;
    bool is_const = x->kind == CSL__VALUE_CONST;
    for (unsigned i = is_const ? 0 : 1; i < x->rank; i++) {
        *((int64_t)i < axis ? &before : &after) *= x->dims[i];
    }
    if (!is_const && (axis == 0 || before != 1 || x->transposed)) {
        return csl__issue(lo, node, KEEP_BATCH, "it mixes the batch with other dimensions");
    }
    *out = *x;
    out->owned = NULL;
    out->rank = 2;
    out->dims[0] = is_const ? before : x->dims[0];
    out->dims[1] = after;
    return CSL_OK;
}

/* The new shape with 0 and -1 resolved where they do not concern the batch. n: elements that it must have, of
 * dimensions `first` and up. False when it cannot be. */
static bool resolve(int64_t *dims, const struct csl__value *shape, const struct csl__value *x, unsigned first,
                    int64_t n, bool allow_zero) {
    int64_t known = 1;
    int64_t *open = NULL;
    for (unsigned i = first; i < shape->n; i++) {
        dims[i] = shape->i64[i];
        if (dims[i] == 0 && !allow_zero && i < x->rank) {
            dims[i] = x->dims[i];
        }
        if (dims[i] == -1 && open == NULL) {
            open = &dims[i];
            continue;
        }
        if (dims[i] <= 0 || dims[i] > n / known) {
            return false;
        }
        known *= dims[i];
    }
    if (open != NULL) {
        *open = n / known;
    }
    return open != NULL ? n % known == 0 : n == known;
}

enum csl_err csl__lower_reshape(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                                struct csl_diag *diag) {
    (void)diag;
    const struct csl__value *x = csl__input(lo, node, 0);
    const struct csl__value *shape = csl__input(lo, node, 1);
    if (shape->kind != CSL__VALUE_CONST || shape->i64 == NULL || shape->n > CSL_MAX_RANK ||
        shape->rank != 1) {
        return csl__issue(lo, node, "export with a fixed input shape",
                          "its shape is not a constant of at most %d integers", CSL_MAX_RANK);
    }
    struct csl__value y = *x;
    y.owned = NULL;
    y.rank = (unsigned)shape->n;
    if (x->kind == CSL__VALUE_CONST) {
        if (!resolve(y.dims, shape, x, 0, (int64_t)x->n, node->attr.allow_zero)) {
            return csl__issue(lo, node, "check the shape", "the constant \"%s\" does not fit the new shape",
                              lo->graph->tensors[node->inputs[0]].name);
        }
        *out = y;
        return CSL_OK;
    }
    /* The batch: kept by 0 or -1, or a number that the exporter has fixed; in each case the rest must be the
     * features, so that rows stay rows. */
    int64_t batch = shape->n == 0 ? 0 : shape->i64[0];
    bool fixed = batch > 0 && x->dims[0] != CSL_DIM_UNKNOWN && batch != x->dims[0];
    if (x->transposed || shape->n < 2 || batch < -1 || fixed || (batch == 0 && node->attr.allow_zero) ||
        !resolve(y.dims, shape, x, 1, csl__features(x), node->attr.allow_zero)) {
        return csl__issue(lo, node, KEEP_BATCH,
                          "the new shape does not keep the batch in dimension 0 and the %lld elements of "
                          "each input together",
                          (long long)csl__features(x));
    }
    if (batch == -1) { /* then no other -1 is possible */
        for (size_t i = 1; i < shape->n; i++) {
            if (shape->i64[i] == -1) {
                return csl__issue(lo, node, "use one -1 only", "the new shape has two dimensions of -1");
            }
        }
    }
    *out = y;
    return CSL_OK;
}

/* perm as given, or the reversal; false when it is not a permutation. */
static bool read_perm(unsigned perm[CSL_MAX_RANK], const struct csl_node *node, unsigned rank) {
    unsigned seen = 0;
    for (unsigned i = 0; i < rank; i++) {
        int64_t p = node->attr.n_perm == 0 ? (int64_t)(rank - 1 - i) : node->attr.perm[i];
        if (p < 0 || p >= (int64_t)rank || (seen >> p & 1) != 0) {
            return false;
        }
        seen |= 1U << p;
        perm[i] = (unsigned)p;
    }
    return node->attr.n_perm == 0 || node->attr.n_perm == rank;
}

static enum csl_err transpose_constant(struct csl__value *out, const struct csl__value *x,
                                       const unsigned *perm) {
    float *data = csl_secret_alloc(x->n, sizeof *data);
    if (data == NULL) {
        return CSL_ENOMEM;
    }
    size_t stride[CSL_MAX_RANK];
    size_t step = 1;
    for (unsigned i = x->rank; i-- > 0;) {
        stride[i] = step;
        step *= (size_t)x->dims[i];
    }
    for (size_t at = 0; at < x->n; at++) {
        size_t rest = at;
        size_t from = 0;
        for (unsigned i = x->rank; i-- > 0;) {
            size_t dim = (size_t)x->dims[perm[i]];
            from += rest % dim * stride[perm[i]];
            rest /= dim;
        }
        data[at] = x->f32[from];
    }
    *out = *x;
    out->f32 = data;
    out->owned = data;
    for (unsigned i = 0; i < x->rank; i++) {
        out->dims[i] = x->dims[perm[i]];
    }
    return CSL_OK;
}

/* Only dimensions of size 1 move against the others, and the batch stays: the data is where it was. */
static bool moves_nothing(const struct csl__value *x, const unsigned *perm) {
    unsigned last = 0;
    if (x->transposed || perm[0] != 0) {
        return false;
    }
    for (unsigned i = 1; i < x->rank; i++) {
        if (x->dims[perm[i]] != 1) {
            if (perm[i] < last) {
                return false;
            }
            last = perm[i];
        }
    }
    return true;
}

enum csl_err csl__lower_transpose(struct csl__lowering *lo, const struct csl_node *node,
                                  struct csl__value *out, struct csl_diag *diag) {
    (void)diag;
    const struct csl__value *x = csl__input(lo, node, 0);
    unsigned perm[CSL_MAX_RANK];
    if (!read_perm(perm, node, x->rank)) {
        return csl__issue(lo, node, "check the exporter", "its perm is not a permutation of %u dimensions",
                          x->rank);
    }
    if (x->kind == CSL__VALUE_CONST && x->f32 != NULL) {
        return transpose_constant(out, x, perm);
    }
    if (x->kind == CSL__VALUE_ACTIVATION && (moves_nothing(x, perm) || x->rank == 2)) {
        *out = *x;
        for (unsigned i = 0; i < x->rank; i++) {
            out->dims[i] = x->dims[perm[i]];
        }
        out->transposed = x->rank == 2 && perm[0] == 1 ? !x->transposed : x->transposed;
        return CSL_OK;
    }
    return csl__issue(lo, node,
                      "permute the next layer's weights instead, or export in the layout of the input",
                      "it reorders the values of each input");
}
