/* Folding: one walk over the nodes in their order. */
#include "nn/fold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "nn/fold_internal.h"

const struct csl_tensor *csl__fold_input(const struct csl__fold *f, const struct csl_node *node, unsigned i) {
    return i >= node->n_inputs || node->inputs[i] == CSL_NO_TENSOR ? NULL
                                                                   : &f->graph->tensors[node->inputs[i]];
}

const struct csl_tensor *csl__fold_constant(const struct csl__fold *f, const struct csl_node *node,
                                            unsigned i) {
    const struct csl_tensor *t = csl__fold_input(f, node, i);
    return t != NULL && t->dtype != CSL_DTYPE_NONE ? t : NULL;
}

struct csl__shape csl__fold_shape(const struct csl__fold *f, const struct csl_node *node, unsigned i) {
    struct csl__shape s = {0};
    const struct csl_tensor *t = csl__fold_constant(f, node, i);
    if (t != NULL) {
        s.known = true;
        s.rank = t->rank;
        for (unsigned d = 0; d < t->rank; d++) {
            s.dims[d] = csl__known(t->dims[d]);
        }
    } else if (csl__fold_input(f, node, i) != NULL && node->inputs[i] < f->n_info) {
        s = f->info[node->inputs[i]].shape;
    }
    return s;
}

struct csl__ints csl__fold_ints(const struct csl__fold *f, const struct csl_node *node, unsigned i) {
    struct csl__ints ints = {0};
    const struct csl_tensor *t = csl__fold_constant(f, node, i);
    if (t != NULL) {
        if (t->i64 == NULL || t->rank > 1 || t->n_elements > CSL__MAX_INTS) {
            return ints;
        }
        ints.known = true;
        ints.rank = t->rank;
        ints.n = (unsigned)t->n_elements;
        for (unsigned j = 0; j < ints.n; j++) {
            ints.at[j] = csl__known(t->i64[j]);
        }
    } else if (csl__fold_input(f, node, i) != NULL && node->inputs[i] < f->n_info) {
        ints = f->info[node->inputs[i]].ints;
    }
    return ints;
}

bool csl__axis(unsigned *out, int64_t axis, unsigned rank) {
    if (axis < -(int64_t)rank || axis >= (int64_t)rank) {
        return false;
    }
    *out = (unsigned)(axis < 0 ? axis + (int64_t)rank : axis);
    return true;
}

enum csl_err csl__fold_output(struct csl__fold *f, struct csl_tensor **made, uint32_t tensor,
                              enum csl_dtype dtype, unsigned rank, const int64_t *dims,
                              struct csl_diag *diag) {
    *made = NULL;
    size_t n = 1;
    for (unsigned i = 0; i < rank; i++) {
        bool empty = dims[i] == 0 && rank == 1 && dtype == CSL_DTYPE_I64;
        if (dims[i] < 0 || (dims[i] == 0 && !empty)) {
            return CSL_OK;
        }
        if (dims[i] != 0 && n > f->budget / (size_t)dims[i]) {
            return csl_fail(diag, CSL_EDATA,
                            "constant \"%s\", computed from others, is too large for this file: with it they "
                            "would have more than 8 times the elements of the weights",
                            f->graph->tensors[tensor].name);
        }
        n *= (size_t)dims[i];
    }
    if (n > f->budget) {
        return csl_fail(diag, CSL_EDATA, "the network computes too many constants");
    }
    f->budget -= n;
    TRY(csl_graph_constant(f->graph, tensor, dtype, rank, dims, diag));
    *made = &f->graph->tensors[tensor];
    return CSL_OK;
}

enum csl_err csl__fold_new(struct csl__fold *f, uint32_t *tensor, enum csl_dtype dtype, unsigned rank,
                           const int64_t *dims, struct csl_diag *diag) {
    char name[64];
    do {
        snprintf(name, sizeof name, "folded:%zu", ++f->n_made);
    } while (csl_graph_find(f->graph, name) != CSL_NO_TENSOR);
    TRY(csl_graph_tensor(f->graph, tensor, name, diag));
    struct csl_tensor *made;
    return csl__fold_output(f, &made, *tensor, dtype, rank, dims, diag);
}

static bool all_constant(const struct csl__fold *f, const struct csl_node *node) {
    for (unsigned i = 0; i < node->n_inputs; i++) {
        if (csl__fold_input(f, node, i) != NULL && csl__fold_constant(f, node, i) == NULL) {
            return false;
        }
    }
    return node->n_inputs > 0;
}

/* Integers that are all numbers are a constant. */
static enum csl_err settle_ints(struct csl__fold *f, const struct csl__ints *ints, uint32_t tensor,
                                struct csl_diag *diag) {
    for (unsigned i = 0; i < ints->n; i++) {
        if (ints->at[i].kind != CSL__DIM_KNOWN) {
            return CSL_OK;
        }
    }
    int64_t n = ints->n;
    struct csl_tensor *made;
    TRY(csl__fold_output(f, &made, tensor, CSL_DTYPE_I64, ints->rank, &n, diag));
    for (unsigned i = 0; made != NULL && i < ints->n; i++) {
        made->i64[i] = ints->at[i].v;
    }
    return CSL_OK;
}

/* What was inferred, for all to see. */
static enum csl_err set_shape(struct csl__fold *f, uint32_t tensor, const struct csl__shape *s,
                              struct csl_diag *diag) {
    int64_t dims[CSL_MAX_RANK];
    for (unsigned i = 0; i < s->rank; i++) {
        bool fine =
            s->dims[i].kind == CSL__DIM_KNOWN && s->dims[i].v > 0 && s->dims[i].v <= CSL_GRAPH_MAX_DIM;
        dims[i] = fine ? s->dims[i].v : CSL_DIM_UNKNOWN;
    }
    return csl_graph_set_shape(f->graph, tensor, s->rank, dims, diag);
}

/* A Reshape whose shape holds the batch keeps it by 0; one open dimension becomes -1. */
static enum csl_err settle_reshape(struct csl__fold *f, struct csl_node *node, struct csl_diag *diag) {
    struct csl__ints ints = csl__fold_ints(f, node, 1);
    struct csl__shape x = csl__fold_shape(f, node, 0);
    unsigned n_open = 0;
    if (!ints.known || ints.n == 0 || ints.rank != 1 || csl__fold_constant(f, node, 1) != NULL) {
        return CSL_OK;
    }
    bool keeps = ints.at[0].kind == CSL__DIM_BATCH && ints.at[0].v == 1 && x.known && x.rank > 0 &&
                 x.dims[0].kind == CSL__DIM_BATCH && x.dims[0].v == 1 && !node->attr.allow_zero;
    for (unsigned i = 0; i < ints.n; i++) {
        n_open += ints.at[i].kind == CSL__DIM_KNOWN ? ints.at[i].v == -1 : !(i == 0 && keeps);
    }
    if (n_open > 1) {
        return CSL_OK;
    }
    int64_t n = ints.n;
    uint32_t shape;
    TRY(csl__fold_new(f, &shape, CSL_DTYPE_I64, 1, &n, diag));
    for (unsigned i = 0; i < ints.n; i++) {
        f->graph->tensors[shape].i64[i] = ints.at[i].kind == CSL__DIM_KNOWN ? ints.at[i].v
                                          : i == 0 && keeps                 ? 0
                                                                            : -1;
    }
    node->inputs[1] = shape;
    return CSL_OK;
}

static enum csl_err fold_node(struct csl__fold *f, uint32_t at, struct csl_diag *diag) {
    struct csl_graph *g = f->graph;
    if (g->nodes[at].n_outputs == 0 || g->nodes[at].outputs[0] == CSL_NO_TENSOR) {
        return CSL_OK;
    }
    TRY(csl__fold_rewrite(f, at, diag));
    struct csl_node *node = &g->nodes[at];
    uint32_t out = node->outputs[0];
    bool constant = all_constant(f, node);
    if (constant) {
        TRY(csl__fold_evaluate(f, node, diag));
    }
    if (g->tensors[out].dtype == CSL_DTYPE_NONE) {
        struct csl__info info = {0};
        if (!constant) { /* what has no value has no symbols either */
            info.ints = csl__fold_symbols(f, node);
        }
        if (info.ints.known) {
            TRY(settle_ints(f, &info.ints, out, diag));
        }
        if (node->op == CSL_OP_RESHAPE) {
            TRY(settle_reshape(f, node, diag));
        }
        if (g->tensors[out].dtype == CSL_DTYPE_NONE) {
            info.shape = csl__fold_infer(f, node);
            if (out < f->n_info) {
                f->info[out] = info;
            }
            return info.shape.known ? set_shape(f, out, &info.shape, diag) : CSL_OK;
        }
    }
    node->outputs[0] = CSL_NO_TENSOR; /* a constant has no producer */
    return csl_graph_check_finite(g, out, diag);
}

/* Constants that no node reads: the memory of what was folded on the way. */
static enum csl_err drop_constants(struct csl_graph *g) {
    uint8_t *used = calloc(g->n_tensors + 1, 1);
    if (used == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        for (unsigned j = 0; j < g->nodes[i].n_inputs; j++) {
            if (g->nodes[i].inputs[j] != CSL_NO_TENSOR) {
                used[g->nodes[i].inputs[j]] = 1;
            }
        }
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct csl_tensor *t = &g->tensors[i];
        if (used[i] == 0 && t->dtype != CSL_DTYPE_NONE) {
            if (t->f32 != NULL) {
                csl_wipe(t->f32, t->n_elements * sizeof(float));
            }
            free(t->f32);
            free(t->i64);
            t->f32 = NULL;
            t->i64 = NULL;
            t->n_elements = 0;
            t->dtype = CSL_DTYPE_NONE;
        }
    }
    free(used);
    return CSL_OK;
}

static void set_input(struct csl__fold *f) {
    const struct csl_tensor *t = &f->graph->tensors[f->graph->input];
    struct csl__shape *s = &f->info[f->graph->input].shape;
    s->known = t->has_shape;
    s->rank = t->rank;
    for (unsigned i = 0; i < t->rank; i++) {
        s->dims[i] = t->dims[i] > 0 ? csl__known(t->dims[i]) : (struct csl__dim){CSL__DIM_OPEN, 0};
    }
    s->dims[0] = (struct csl__dim){CSL__DIM_BATCH, 1}; /* also where the file fixes it */
}

enum csl_err csl_graph_fold(struct csl_graph *graph, struct csl_diag *diag) {
    struct csl__fold f = {
        .graph = graph, .n_info = graph->n_tensors + 2 * graph->n_nodes, .budget = (size_t)4 << 20};
    for (size_t i = 0; i < graph->n_tensors; i++) {
        f.budget += 8 * graph->tensors[i].n_elements;
    }
    enum csl_err err = CSL_OK;
    f.info = calloc(f.n_info + 1, sizeof *f.info);
    if (f.info == NULL) {
        return CSL_ENOMEM;
    }
    set_input(&f);
    for (uint32_t i = 0, n = (uint32_t)graph->n_nodes; i < n; i++) {
        TRY_OUT(fold_node(&f, i, diag));
    }
    if (graph->tensors[graph->output].dtype != CSL_DTYPE_NONE) {
        err = csl_fail(diag, CSL_EDATA, "the output \"%s\" does not depend on the input",
                       graph->tensors[graph->output].name);
        goto out;
    }
    TRY_OUT(csl_graph_finish(graph, diag));
    err = drop_constants(graph);
out:
    free(f.info);
    return err;
}
