/* Arithmetic: products, sums, functions, means. */
#include "graph_ref_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool matmul(struct ref_tensor *y, const struct ref_tensor *a, const struct ref_tensor *b, bool ta,
                   bool tb) {
    if (a->rank != 2 || b->rank != 2) {
        return false;
    }
    int64_t m = a->dims[ta ? 1 : 0];
    int64_t k = a->dims[ta ? 0 : 1];
    int64_t n = b->dims[tb ? 0 : 1];
    if (k != b->dims[tb ? 1 : 0] || !ref_alloc(y, 2, (const int64_t[]){m, n})) {
        return false;
    }
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            for (int64_t l = 0; l < k; l++) {
                y->v[i * n + j] += a->v[ta ? l * m + i : i * k + l] * b->v[tb ? j * k + l : l * n + j];
            }
        }
    }
    return true;
}

bool ref_binary(struct ref_call *c, struct ref_tensor *y, const struct ref_tensor *a,
                const struct ref_tensor *b) {
    unsigned rank = a->rank > b->rank ? a->rank : b->rank;
    int64_t dims[CSL_MAX_RANK];
    for (unsigned i = 0; i < rank; i++) {
        int64_t da = i + a->rank < rank ? 1 : a->dims[i + a->rank - rank];
        int64_t db = i + b->rank < rank ? 1 : b->dims[i + b->rank - rank];
        if (da != db && da != 1 && db != 1) {
            return false;
        }
        dims[i] = da == 1 ? db : da;
    }
    if (a->v == NULL || b->v == NULL || !ref_alloc(y, rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < y->n; i++) {
        int64_t at[CSL_MAX_RANK];
        double v[2];
        ref_unravel(at, y, i);
        for (unsigned k = 0; k < 2; k++) {
            const struct ref_tensor *t = k == 0 ? a : b;
            int64_t from[CSL_MAX_RANK];
            for (unsigned d = 0; d < t->rank; d++) {
                from[d] = t->dims[d] == 1 ? 0 : at[d + rank - t->rank];
            }
            v[k] = t->v[ref_ravel(t, from)];
        }
        y->v[i] = c->node->op == CSL_OP_SUB   ? v[0] - v[1]
                  : c->node->op == CSL_OP_MUL ? v[0] * v[1]
                  : c->node->op == CSL_OP_DIV ? v[0] / v[1]
                                              : v[0] + v[1];
    }
    return true;
}

bool ref_sum(struct ref_call *c) {
    struct ref_tensor y = {0};
    if (c->n == 0 || c->in[0].v == NULL || !ref_copy_as(&y, &c->in[0], c->in[0].rank, c->in[0].dims)) {
        free(y.v);
        return false;
    }
    for (unsigned i = 1; i < c->n; i++) {
        struct ref_tensor z = {0};
        bool ok = ref_binary(c, &z, &y, &c->in[i]);
        free(y.v);
        y = z;
        if (!ok) {
            free(y.v);
            return false;
        }
    }
    c->y = y;
    return true;
}

bool ref_gemm(struct ref_call *c) {
    struct ref_tensor product = {0};
    struct ref_tensor bias = {0};
    bool ok = matmul(&product, &c->in[0], &c->in[1], c->a->trans_a, c->a->trans_b);
    for (size_t i = 0; ok && i < product.n; i++) {
        product.v[i] *= (double)c->a->alpha;
    }
    if (ok && c->n > 2 && c->in[2].v != NULL) {
        ok = ref_copy_as(&bias, &c->in[2], c->in[2].rank, c->in[2].dims);
        for (size_t i = 0; ok && i < bias.n; i++) {
            bias.v[i] *= (double)c->a->beta;
        }
        ok = ok && ref_binary(c, &c->y, &product, &bias) && c->y.n == product.n;
        free(product.v);
    } else {
        c->y = product;
    }
    free(bias.v);
    return ok;
}

bool ref_matmul(struct ref_call *c) {
    struct ref_tensor a = c->in[0];
    if (a.rank < 1 || c->in[1].rank != 2) {
        return false;
    }
    unsigned rank = a.rank;
    int64_t dims[CSL_MAX_RANK];
    memcpy(dims, a.dims, sizeof dims);
    a.dims[0] = (int64_t)a.n / a.dims[rank - 1];
    a.dims[1] = dims[rank - 1];
    a.rank = 2;
    if (!matmul(&c->y, &a, &c->in[1], false, false)) {
        return false;
    }
    dims[rank - 1] = c->y.dims[1];
    memcpy(c->y.dims, dims, sizeof dims);
    c->y.rank = rank;
    return true;
}

static double function(const struct ref_call *c, double x, double slope) {
    double alpha = (double)c->a->alpha;
    bool min_in = c->n > 1 && c->in[1].v != NULL;
    bool max_in = c->n > 2 && c->in[2].v != NULL;
    switch (c->node->op) {
    case CSL_OP_RELU:
        return x > 0 ? x : 0;
    case CSL_OP_CLIP:
        x = min_in || c->a->has_min ? fmax(x, min_in ? c->in[1].v[0] : (double)c->a->min) : x;
        return max_in || c->a->has_max ? fmin(x, max_in ? c->in[2].v[0] : (double)c->a->max) : x;
    case CSL_OP_LEAKY_RELU:
        return x >= 0 ? x : alpha * x;
    case CSL_OP_PRELU:
        return x >= 0 ? x : slope * x;
    case CSL_OP_ELU:
        return x >= 0 ? x : alpha * (exp(x) - 1);
    case CSL_OP_SIGMOID:
        return 1 / (1 + exp(-x));
    case CSL_OP_HARD_SIGMOID:
        return fmax(0, fmin(1, alpha * x + (double)c->a->beta));
    case CSL_OP_TANH:
        return tanh(x);
    default:
        return x;
    }
}

bool ref_function(struct ref_call *c) {
    if (!ref_copy_as(&c->y, &c->in[0], c->in[0].rank, c->in[0].dims)) {
        return false;
    }
    double slope = c->node->op == CSL_OP_PRELU ? c->in[1].v[0] : 0; /* tests use equal ones */
    for (size_t i = 0; i < c->y.n; i++) {
        c->y.v[i] = function(c, c->y.v[i], slope);
    }
    return true;
}

bool ref_mean(struct ref_call *c) {
    const struct ref_tensor *x = &c->in[0];
    int64_t dims[CSL_MAX_RANK];
    const int64_t *axes = c->n > 1 && c->in[1].i64 != NULL ? c->in[1].i64 : c->a->axes;
    size_t n = c->n > 1 && c->in[1].i64 != NULL ? c->in[1].n : c->a->n_axes;
    double share = 1;
    memcpy(dims, x->dims, sizeof dims);
    for (size_t i = 0; i < n; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + (int64_t)x->rank : axes[i];
        if (axis < 0 || axis >= (int64_t)x->rank) {
            return false;
        }
        dims[axis] = 1;
    }
    if (!ref_alloc(&c->y, x->rank, dims)) {
        return false;
    }
    share = (double)c->y.n / (double)x->n;
    for (size_t i = 0; i < x->n; i++) {
        int64_t at[CSL_MAX_RANK];
        ref_unravel(at, x, i);
        for (unsigned d = 0; d < x->rank; d++) {
            at[d] = dims[d] == 1 ? 0 : at[d];
        }
        c->y.v[ref_ravel(&c->y, at)] += x->v[i] * share;
    }
    unsigned rank = 0;
    for (unsigned d = 0; !c->a->keepdims && d < x->rank; d++) {
        bool gone = false;
        for (size_t i = 0; i < n; i++) {
            gone = gone || axes[i] == (int64_t)d || axes[i] + (int64_t)x->rank == (int64_t)d;
        }
        if (!gone) {
            c->y.dims[rank++] = c->y.dims[d];
        }
    }
    c->y.rank = c->a->keepdims ? x->rank : rank;
    return true;
}
