/* Flatten, Reshape, Squeeze, Unsqueeze and Transpose: only the view changes. Of constants: the data, too. */
#include <string.h>

#include "nn/lower_internal.h"

#define KEEP_BATCH "keep the batch as dimension 0, e.g. Reshape to [-1, features] or Flatten with axis 1"

/* The same elements in new dimensions, the batch in dims[batch] (-1: nowhere). */
static enum csl_err regroup(struct csl__lowering *lo, const struct csl_node *node, const struct csl__value *x,
                            struct csl__value *out, unsigned rank, const int64_t *dims, int batch) {
    *out = *x;
    if (x->kind == CSL__VALUE_CONST) {
        out->view.rank = rank;
        memcpy(out->view.dims, dims, rank * sizeof *dims);
        return CSL_OK;
    }
    if (!csl__view_regroup(&out->view, &x->view, rank, dims, batch)) {
        *out = (struct csl__value){0};
        return csl__issue(lo, node, "reshape along whole dimensions",
                          "its new shape cuts across reordered dimensions");
    }
    return CSL_OK;
}

enum csl_err csl__lower_flatten(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                                struct csl_diag *diag) {
    (void)diag;
    const struct csl__value *x = csl__input(lo, node, 0);
    const struct csl__view *v = &x->view;
    int64_t axis = node->attr.axis + (node->attr.axis < 0 ? (int64_t)v->rank : 0);
    bool is_const = x->kind == CSL__VALUE_CONST;
    if (axis < 0 || axis > (int64_t)v->rank) {
        return csl__issue(lo, node, KEEP_BATCH, "axis %lld is not one of its input's",
                          (long long)node->attr.axis);
    }
    int64_t dims[2] = {1, 1};
    for (unsigned i = 0; i < v->rank; i++) {
        if (is_const || (int)i != v->batch) {
            dims[(int64_t)i < axis ? 0 : 1] *= v->dims[i];
        }
    }
    if (!is_const) { /* a batch of 1 that was squeezed away comes back */
        if (dims[0] != 1 || v->batch > 0 || (v->batch == 0 && axis == 0 && v->dims[0] != 1)) {
            return csl__issue(lo, node, KEEP_BATCH, "it mixes the batch with other dimensions");
        }
        dims[0] = v->batch < 0 ? 1 : v->dims[0];
    }
    return regroup(lo, node, x, out, 2, dims, 0);
}

/* Fills in 0 and -1 so that the dimensions have n elements, skipping dims[skip]. */
static bool resolve(int64_t *dims, unsigned rank, int skip, const struct csl__view *x, int64_t n,
                    bool allow_zero) {
    int64_t known = 1;
    int64_t *open = NULL;
    for (unsigned i = 0; i < rank; i++) {
        if ((int)i == skip) {
            continue;
        }
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

static unsigned count_open(const int64_t *dims, unsigned rank) {
    unsigned n = 0;
    for (unsigned i = 0; i < rank; i++) {
        n += dims[i] == -1 ? 1 : 0;
    }
    return n;
}

/* Where the batch is in the new shape: in dimension 0, kept by 0 or -1 or by its number; or, when it is 1,
 * in any dimension of 1, or nowhere. -2: nowhere that works. dims is completed. */
static int place_batch(int64_t *dims, unsigned rank, const struct csl__view *x, bool allow_zero) {
    int64_t given[CSL_MAX_RANK] = {0};
    int64_t batch = x->batch < 0 ? 1 : x->dims[x->batch];
    int64_t features = csl__features(x);
    memcpy(given, dims, rank * sizeof *dims);
    bool first = rank > 0 && (x->batch == 0 || batch == 1);
    bool stated = dims[0] == batch || (batch == CSL_DIM_UNKNOWN && dims[0] == 1) ||
                  (batch == CSL_DIM_UNKNOWN && dims[0] > 1 && count_open(dims, rank) == 0);
    bool kept = first && ((dims[0] == 0 && !allow_zero && x->batch == 0) || dims[0] == -1 || stated);
    if (kept && count_open(dims, rank) <= 1 && resolve(dims, rank, 0, x, features, allow_zero)) {
        dims[0] = batch;
        return 0;
    }
    memcpy(dims, given, rank * sizeof *dims);
    if (batch != 1 || !resolve(dims, rank, -1, x, features, allow_zero)) {
        return -2;
    }
    return rank > 0 && dims[0] == 1 ? 0 : -1;
}

enum csl_err csl__lower_reshape(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                                struct csl_diag *diag) {
    (void)diag;
    const struct csl__value *x = csl__input(lo, node, 0);
    const struct csl__value *shape = csl__input(lo, node, 1);
    if (shape->kind != CSL__VALUE_CONST || shape->i64 == NULL || shape->n > CSL_MAX_RANK ||
        shape->view.rank != 1) {
        return csl__issue(lo, node, "export with a fixed input shape",
                          "its shape is not a constant of at most %d integers", CSL_MAX_RANK);
    }
    unsigned rank = (unsigned)shape->n;
    int64_t dims[CSL_MAX_RANK] = {0};
    memcpy(dims, shape->i64, rank * sizeof *dims);
    if (x->kind == CSL__VALUE_CONST) {
        return resolve(dims, rank, -1, &x->view, (int64_t)x->n, node->attr.allow_zero)
                   ? regroup(lo, node, x, out, rank, dims, -1)
                   : csl__issue(lo, node, "check the shape", "the constant does not fit the new shape");
    }
    int batch = place_batch(dims, rank, &x->view, node->attr.allow_zero);
    if (batch == -2) {
        return csl__issue(lo, node, KEEP_BATCH,
                          "the new shape does not keep the batch in dimension 0 and the %lld elements of "
                          "each input together",
                          (long long)csl__features(&x->view));
    }
    return regroup(lo, node, x, out, rank, dims, batch);
}

/* Axes of Squeeze and Unsqueeze as a set, of `rank` dimensions. False: not constant or out of range. */
static bool read_axes(const struct csl__lowering *lo, const struct csl_node *node, unsigned rank,
                      unsigned *set, bool *given) {
    const struct csl__value *in = csl__input(lo, node, 1);
    const int64_t *axes = node->attr.axes;
    size_t n = node->attr.has_axes ? node->attr.n_axes : 0;
    if (in != NULL) {
        axes = in->i64;
        n = in->n;
    }
    *set = 0;
    *given = in != NULL || node->attr.has_axes;
    if ((in != NULL && (in->kind != CSL__VALUE_CONST || axes == NULL)) || n > CSL_MAX_RANK) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        int64_t axis = axes[i] + (axes[i] < 0 ? (int64_t)rank : 0);
        if (axis < 0 || axis >= (int64_t)rank || (*set >> axis & 1) != 0) {
            return false;
        }
        *set |= 1U << axis;
    }
    return true;
}

enum csl_err csl__lower_squeeze(struct csl__lowering *lo, const struct csl_node *node, struct csl__value *out,
                                struct csl_diag *diag) {
    (void)diag;
    const struct csl__value *x = csl__input(lo, node, 0);
    const struct csl__view *v = &x->view;
    int64_t dims[CSL_MAX_RANK];
    unsigned rank = 0;
    int batch = -1;
    unsigned set;
    bool given;
    if (!read_axes(lo, node, v->rank, &set, &given)) {
        return csl__issue(lo, node, "check the exporter",
                          "its axes are not constants within its input's rank");
    }
    for (unsigned i = 0; i < v->rank; i++) {
        bool is_batch = x->kind == CSL__VALUE_ACTIVATION && (int)i == v->batch;
        bool goes = given ? (set >> i & 1) != 0 : v->dims[i] == 1 && !is_batch;
        if (goes && v->dims[i] != 1) {
            return csl__issue(lo, node, is_batch ? KEEP_BATCH : "check the exporter",
                              "it removes dimension %u, which is not of size 1", i);
        }
        if (!goes) {
            batch = is_batch ? (int)rank : batch;
            dims[rank++] = v->dims[i];
        }
    }
    return regroup(lo, node, x, out, rank, dims, batch);
}

enum csl_err csl__lower_unsqueeze(struct csl__lowering *lo, const struct csl_node *node,
                                  struct csl__value *out, struct csl_diag *diag) {
    (void)diag;
    const struct csl__value *x = csl__input(lo, node, 0);
    const struct csl__view *v = &x->view;
    const struct csl__value *in = csl__input(lo, node, 1);
    size_t n = in != NULL ? in->n : node->attr.n_axes;
    int64_t dims[CSL_MAX_RANK];
    int batch = -1;
    unsigned set;
    bool given;
    if (n > CSL_MAX_RANK || v->rank + n > CSL_MAX_RANK ||
        !read_axes(lo, node, v->rank + (unsigned)n, &set, &given)) {
        return csl__issue(lo, node, "check the exporter",
                          "its axes are not constants within its output's rank");
    }
    for (unsigned i = 0, from = 0; i < v->rank + n; i++) {
        if ((set >> i & 1) != 0) {
            dims[i] = 1;
            continue;
        }
        batch = x->kind == CSL__VALUE_ACTIVATION && (int)from == v->batch ? (int)i : batch;
        dims[i] = v->dims[from++];
    }
    if (x->kind == CSL__VALUE_ACTIVATION && batch < 0 && dims[0] == 1) {
        batch = 0; /* the batch of 1 comes back */
    }
    return regroup(lo, node, x, out, v->rank + (unsigned)n, dims, batch);
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

static enum csl_err transpose_constant(struct csl__lowering *lo, const struct csl_node *node,
                                       struct csl__value *out, const struct csl__value *x,
                                       const unsigned *perm, struct csl_diag *diag) {
    TRY(csl__spend(lo, node, x->n, diag));
    float *data = csl__arena(lo, x->n, sizeof *data);
    if (data == NULL) {
        return CSL_ENOMEM;
    }
    size_t stride[CSL_MAX_RANK];
    size_t step = 1;
    for (unsigned i = x->view.rank; i-- > 0;) {
        stride[i] = step;
        step *= (size_t)x->view.dims[i];
    }
    for (size_t at = 0; at < x->n; at++) {
        size_t rest = at;
        size_t from = 0;
        for (unsigned i = x->view.rank; i-- > 0;) {
            size_t dim = (size_t)x->view.dims[perm[i]];
            from += rest % dim * stride[perm[i]];
            rest /= dim;
        }
        data[at] = x->f32[from];
    }
    *out = *x;
    out->f32 = data;
    for (unsigned i = 0; i < x->view.rank; i++) {
        out->view.dims[i] = x->view.dims[perm[i]];
    }
    return CSL_OK;
}

enum csl_err csl__lower_transpose(struct csl__lowering *lo, const struct csl_node *node,
                                  struct csl__value *out, struct csl_diag *diag) {
    const struct csl__value *x = csl__input(lo, node, 0);
    unsigned perm[CSL_MAX_RANK];
    if (!read_perm(perm, node, x->view.rank) || x->i64 != NULL) {
        return csl__issue(lo, node, "check the exporter", "its perm is not a permutation of %u dimensions",
                          x->view.rank);
    }
    if (x->kind == CSL__VALUE_CONST) {
        return transpose_constant(lo, node, out, x, perm, diag);
    }
    *out = *x;
    csl__view_permute(&out->view, &x->view, perm);
    return CSL_OK;
}
