/* Operators that move elements: joining, padding, other shapes and orders. */
#include "graph_ref_internal.h"

#include <string.h>

bool ref_concat(struct ref_call *c) {
    int64_t dims[CSL_MAX_RANK];
    unsigned rank = c->in[0].rank;
    int64_t axis = c->a->axis < 0 ? c->a->axis + (int64_t)rank : c->a->axis;
    memcpy(dims, c->in[0].dims, sizeof dims);
    if (axis < 0 || axis >= (int64_t)rank) {
        return false;
    }
    dims[axis] = 0;
    for (unsigned i = 0; i < c->n; i++) {
        if (c->in[i].rank != rank) {
            return false;
        }
        for (unsigned d = 0; d < rank; d++) {
            if (d != axis && c->in[i].dims[d] != dims[d]) {
                return false;
            }
        }
        dims[axis] += c->in[i].dims[axis];
    }
    if (!ref_alloc(&c->y, rank, dims)) {
        return false;
    }
    int64_t start = 0;
    for (unsigned i = 0; i < c->n; i++) {
        for (size_t j = 0; j < c->in[i].n; j++) {
            int64_t at[CSL_MAX_RANK];
            ref_unravel(at, &c->in[i], j);
            at[axis] += start;
            c->y.v[ref_ravel(&c->y, at)] = c->in[i].v[j];
        }
        start += c->in[i].dims[axis];
    }
    return true;
}

bool ref_pad(struct ref_call *c) {
    const struct ref_tensor *x = &c->in[0];
    const int64_t *pads = c->n > 1 && c->in[1].i64 != NULL ? c->in[1].i64 : c->a->pads;
    size_t n = c->n > 1 && c->in[1].i64 != NULL ? c->in[1].n : c->a->n_pads;
    int64_t dims[CSL_MAX_RANK];
    if (n != 2 * (size_t)x->rank) {
        return false;
    }
    for (unsigned d = 0; d < x->rank; d++) {
        dims[d] = x->dims[d] + pads[d] + pads[x->rank + d];
    }
    if (!ref_alloc(&c->y, x->rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < x->n; i++) {
        int64_t at[CSL_MAX_RANK];
        ref_unravel(at, x, i);
        for (unsigned d = 0; d < x->rank; d++) {
            at[d] += pads[d];
        }
        c->y.v[ref_ravel(&c->y, at)] = x->v[i];
    }
    return true;
}

bool ref_reshape(struct ref_call *c) {
    const struct ref_tensor *x = &c->in[0];
    int64_t dims[CSL_MAX_RANK] = {0};
    unsigned rank = (unsigned)c->in[1].n;
    int64_t known = 1;
    int open = -1;
    if (c->in[1].i64 == NULL || c->in[1].n > CSL_MAX_RANK) {
        return false;
    }
    for (unsigned i = 0; i < rank; i++) {
        dims[i] = c->in[1].i64[i] == 0 && i < x->rank ? x->dims[i] : c->in[1].i64[i];
        open = dims[i] == -1 ? (int)i : open;
        known *= dims[i] == -1 ? 1 : dims[i];
    }
    if (open >= 0 && known > 0) {
        dims[open] = (int64_t)x->n / known;
    }
    return ref_copy_as(&c->y, x, rank, dims);
}

bool ref_flatten(struct ref_call *c) {
    const struct ref_tensor *x = &c->in[0];
    int64_t axis = c->a->axis < 0 ? c->a->axis + (int64_t)x->rank : c->a->axis;
    int64_t dims[2] = {1, 1};
    for (unsigned d = 0; d < x->rank; d++) {
        dims[(int64_t)d < axis ? 0 : 1] *= x->dims[d];
    }
    return ref_copy_as(&c->y, x, 2, dims);
}

bool ref_squeeze(struct ref_call *c) {
    const struct ref_tensor *x = &c->in[0];
    bool un = c->node->op == CSL_OP_UNSQUEEZE;
    const int64_t *axes = c->n > 1 && c->in[1].i64 != NULL ? c->in[1].i64 : c->a->axes;
    size_t n = c->n > 1 && c->in[1].i64 != NULL ? c->in[1].n : c->a->n_axes;
    int64_t dims[2 * CSL_MAX_RANK];
    unsigned rank = 0;
    unsigned from = 0;
    unsigned total = x->rank + (un ? (unsigned)n : 0);
    for (unsigned d = 0; d < total && rank < CSL_MAX_RANK; d++) {
        bool named = !un && n == 0 && x->dims[d] == 1;
        for (size_t i = 0; i < n; i++) {
            named = named || axes[i] == (int64_t)d || axes[i] + (int64_t)total == (int64_t)d;
        }
        if (un) {
            dims[rank++] = named || from >= x->rank ? 1 : x->dims[from++];
        } else if (!named) {
            dims[rank++] = x->dims[d];
        }
    }
    return ref_copy_as(&c->y, x, rank, dims);
}

bool ref_transpose(struct ref_call *c) {
    int64_t perm[CSL_MAX_RANK];
    for (unsigned i = 0; i < c->in[0].rank; i++) {
        perm[i] = c->a->n_perm == 0 ? (int64_t)(c->in[0].rank - 1 - i) : c->a->perm[i];
    }
    return ref_permute(&c->y, &c->in[0], perm);
}
