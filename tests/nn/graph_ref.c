#include "graph_ref.h"
#include "graph_ref_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- tensors ---- */

bool ref_alloc(struct ref_tensor *t, unsigned rank, const int64_t *dims) {
    t->rank = rank;
    t->n = 1;
    for (unsigned i = 0; i < rank; i++) {
        if (dims[i] <= 0 || t->n > ((size_t)1 << 22) / (size_t)dims[i]) {
            return false;
        }
        t->dims[i] = dims[i];
        t->n *= (size_t)dims[i];
    }
    t->v = calloc(t->n, sizeof *t->v);
    return t->v != NULL;
}

bool ref_copy_as(struct ref_tensor *y, const struct ref_tensor *x, unsigned rank, const int64_t *dims) {
    if (!ref_alloc(y, rank, dims) || y->n != x->n || x->v == NULL) {
        return false;
    }
    memcpy(y->v, x->v, x->n * sizeof *x->v);
    return true;
}

void ref_unravel(int64_t *at, const struct ref_tensor *t, size_t i) {
    for (unsigned d = t->rank; d-- > 0;) {
        at[d] = (int64_t)(i % (size_t)t->dims[d]);
        i /= (size_t)t->dims[d];
    }
}

size_t ref_ravel(const struct ref_tensor *t, const int64_t *at) {
    size_t i = 0;
    for (unsigned d = 0; d < t->rank; d++) {
        i = i * (size_t)t->dims[d] + (size_t)at[d];
    }
    return i;
}

bool ref_permute(struct ref_tensor *y, const struct ref_tensor *x, const int64_t *perm) {
    int64_t dims[CSL_MAX_RANK];
    unsigned seen = 0;
    for (unsigned i = 0; i < x->rank; i++) {
        if (perm[i] < 0 || perm[i] >= (int64_t)x->rank) {
            return false;
        }
        seen |= 1U << perm[i];
        dims[i] = x->dims[perm[i]];
    }
    if (seen != (1U << x->rank) - 1 || !ref_alloc(y, x->rank, dims)) {
        return false;
    }
    for (size_t i = 0; i < y->n; i++) {
        int64_t to[CSL_MAX_RANK];
        int64_t from[CSL_MAX_RANK];
        ref_unravel(to, y, i);
        for (unsigned d = 0; d < x->rank; d++) {
            from[perm[d]] = to[d];
        }
        y->v[i] = x->v[ref_ravel(x, from)];
    }
    return true;
}

/* ---- nodes ---- */

static bool evaluate(struct ref_call *c) {
    switch (c->node->op) {
    case CSL_OP_GEMM:
        return ref_gemm(c);
    case CSL_OP_MATMUL:
        return ref_matmul(c);
    case CSL_OP_CONV:
        return ref_conv(c);
    case CSL_OP_ADD:
    case CSL_OP_SUB:
    case CSL_OP_MUL:
    case CSL_OP_DIV:
        return c->n == 2 && ref_binary(c, &c->y, &c->in[0], &c->in[1]);
    case CSL_OP_SUM:
        return ref_sum(c);
    case CSL_OP_MAX_POOL:
    case CSL_OP_AVERAGE_POOL:
    case CSL_OP_GLOBAL_AVERAGE_POOL:
    case CSL_OP_GLOBAL_MAX_POOL:
        return ref_pool(c);
    case CSL_OP_REDUCE_MEAN:
        return ref_mean(c);
    case CSL_OP_BATCH_NORMALIZATION:
        return ref_batch_norm(c);
    case CSL_OP_CONCAT:
        return ref_concat(c);
    case CSL_OP_PAD:
        return ref_pad(c);
    case CSL_OP_FLATTEN:
        return ref_flatten(c);
    case CSL_OP_RESHAPE:
        return ref_reshape(c);
    case CSL_OP_TRANSPOSE:
        return ref_transpose(c);
    case CSL_OP_SQUEEZE:
    case CSL_OP_UNSQUEEZE:
        return ref_squeeze(c);
    default: /* functions, and what changes nothing (the head is not applied) */
        return ref_function(c);
    }
}

static bool load(struct ref_tensor *t, const struct csl_tensor *from) {
    *t = (struct ref_tensor){0};
    if (from->dtype == CSL_DTYPE_I64) {
        t->i64 = from->i64;
        t->n = from->n_elements;
        return true;
    }
    if (from->dtype == CSL_DTYPE_NONE) {
        return true;
    }
    bool ok = ref_alloc(t, from->rank, from->dims);
    for (size_t i = 0; ok && i < t->n; i++) {
        t->v[i] = (double)from->f32[i];
    }
    return ok;
}

static bool run_node(struct ref_tensor *all, const struct csl_node *node) {
    struct ref_call c = {.node = node, .a = &node->attr, .n = node->n_inputs};
    if (c.n > 16 || node->n_outputs < 1) {
        return false;
    }
    for (unsigned i = 0; i < c.n; i++) {
        if (node->inputs[i] != CSL_NO_TENSOR) {
            c.in[i] = all[node->inputs[i]];
        }
    }
    bool ok = c.n > 0 && c.in[0].v != NULL && evaluate(&c);
    all[node->outputs[0]] = c.y;
    return ok;
}

bool graph_ref(const struct csl_graph *g, const float *x, int64_t batch, double **y, size_t *n) {
    struct ref_tensor *all = calloc(g->n_tensors + 1, sizeof *all);
    int64_t dims[CSL_MAX_RANK];
    bool ok = all != NULL;
    for (size_t i = 0; ok && i < g->n_tensors; i++) {
        ok = load(&all[i], &g->tensors[i]);
    }
    memcpy(dims, g->tensors[g->input].dims, sizeof dims);
    dims[0] = dims[0] == CSL_DIM_UNKNOWN ? batch : dims[0];
    ok = ok && ref_alloc(&all[g->input], g->tensors[g->input].rank, dims);
    for (size_t i = 0; ok && i < all[g->input].n; i++) {
        all[g->input].v[i] = (double)x[i];
    }
    for (size_t i = 0; ok && i < g->n_nodes; i++) {
        ok = run_node(all, &g->nodes[i]);
    }
    *y = NULL;
    if (ok) {
        *y = all[g->output].v;
        *n = all[g->output].n;
        all[g->output].v = NULL;
    }
    for (size_t i = 0; all != NULL && i < g->n_tensors; i++) {
        free(all[i].v);
    }
    free(all);
    return ok;
}
