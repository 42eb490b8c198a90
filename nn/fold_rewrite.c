/* One spelling for each thing: constant inputs become the attributes that older operator sets have, and
 * operators that are another one in disguise become that one. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/fold_internal.h"

/* The one number that input i holds; false when it holds none or more. */
static bool number(const struct csl__fold *f, double *out, const struct csl_node *node, unsigned i) {
    const struct csl_tensor *t = csl__fold_constant(f, node, i);
    if (t == NULL || t->n_elements != 1) {
        return false;
    }
    *out = t->f32 != NULL ? (double)t->f32[0] : (double)t->i64[0];
    return true;
}

/* The integers that input i holds; NULL when it holds none, or more than max. */
static const struct csl_tensor *integers(const struct csl__fold *f, const struct csl_node *node, unsigned i,
                                         size_t max) {
    const struct csl_tensor *t = csl__fold_constant(f, node, i);
    return t != NULL && t->i64 != NULL && t->rank <= 1 && t->n_elements <= max ? t : NULL;
}

static void bound(bool *has, float *out, double v) {
    *has = fabs(v) < (double)FLT_MAX;
    *out = *has ? (float)v : 0;
}

static void clip(const struct csl__fold *f, struct csl_node *node) {
    double v[2] = {-HUGE_VAL, HUGE_VAL};
    for (unsigned i = 0; i < 2; i++) {
        if (csl__fold_input(f, node, i + 1) != NULL && !number(f, &v[i], node, i + 1)) {
            return;
        }
    }
    if (node->n_inputs > 1) {
        bound(&node->attr.has_min, &node->attr.min, v[0]);
        bound(&node->attr.has_max, &node->attr.max, v[1]);
        node->n_inputs = 1;
    }
}

/* pads of all dimensions, from those of some axes. */
static bool spread_pads(int64_t *pads, unsigned rank, const struct csl_tensor *given,
                        const struct csl_tensor *axes) {
    memset(pads, 0, 2 * CSL_MAX_RANK * sizeof *pads);
    for (size_t i = 0; i < axes->n_elements; i++) {
        unsigned axis;
        if (!csl__axis(&axis, axes->i64[i], rank)) {
            return false;
        }
        pads[axis] = given->i64[i];
        pads[axis + rank] = given->i64[i + axes->n_elements];
    }
    return true;
}

static void pad(const struct csl__fold *f, struct csl_node *node) {
    const struct csl_tensor *given = integers(f, node, 1, 2 * CSL_MAX_RANK);
    const struct csl_tensor *axes = integers(f, node, 3, CSL_MAX_RANK);
    unsigned rank = csl__fold_shape(f, node, 0).rank;
    double value = 0;
    if (node->n_inputs < 2 || given == NULL || (csl__fold_input(f, node, 3) != NULL && axes == NULL) ||
        (csl__fold_input(f, node, 2) != NULL && !number(f, &value, node, 2)) ||
        (axes != NULL && (rank == 0 || given->n_elements != 2 * axes->n_elements))) {
        return;
    }
    int64_t pads[2 * CSL_MAX_RANK];
    unsigned n = axes != NULL ? 2 * rank : (unsigned)given->n_elements;
    if (axes == NULL) {
        memcpy(pads, given->i64, n * sizeof *pads);
    } else if (!spread_pads(pads, rank, given, axes)) {
        return;
    }
    memcpy(node->attr.pads, pads, n * sizeof *pads);
    node->attr.n_pads = n;
    node->attr.pad_value = (float)value;
    node->n_inputs = 1;
}

/* Squeeze, Unsqueeze, ReduceMean. */
static void axes(const struct csl__fold *f, struct csl_node *node) {
    const struct csl_tensor *t = integers(f, node, 1, CSL_MAX_RANK);
    if (t != NULL) {
        bool all = node->op == CSL_OP_REDUCE_MEAN && t->n_elements == 0;
        node->attr.has_axes = !all;
        node->attr.n_axes = (unsigned)t->n_elements;
        memcpy(node->attr.axes, t->i64, t->n_elements * sizeof t->i64[0]);
    }
    if (t != NULL || csl__fold_input(f, node, 1) == NULL) {
        node->n_inputs = 1;
    }
    struct csl__shape x = csl__fold_shape(f, node, 0);
    if (node->op != CSL_OP_SQUEEZE || node->attr.has_axes || node->n_inputs != 1 || !x.known) {
        return;
    }
    node->attr.has_axes = true; /* those of length 1 */
    for (unsigned i = 0; i < x.rank; i++) {
        if (x.dims[i].kind == CSL__DIM_OPEN) {
            node->attr.has_axes = false;
        } else if (x.dims[i].kind == CSL__DIM_KNOWN && x.dims[i].v == 1) {
            node->attr.axes[node->attr.n_axes++] = i;
        }
    }
}

/* A slice from the beginning to the end of each of its axes. */
static bool takes_all(const struct csl__fold *f, const struct csl_node *node) {
    const struct csl_attributes *a = &node->attr;
    struct csl__shape x = csl__fold_shape(f, node, 0);
    for (unsigned i = 0; i < a->n_axes; i++) {
        unsigned axis;
        bool known = x.known && csl__axis(&axis, a->axes[i], x.rank) && x.dims[axis].kind == CSL__DIM_KNOWN;
        if (a->starts[i] != 0 || (a->ends[i] < INT32_MAX && !(known && a->ends[i] >= x.dims[axis].v))) {
            return false;
        }
    }
    return true;
}

static void slice(const struct csl__fold *f, struct csl_node *node) {
    struct csl_attributes *a = &node->attr;
    if (!a->has_slice) {
        const struct csl_tensor *starts = integers(f, node, 1, CSL_MAX_RANK);
        const struct csl_tensor *ends = integers(f, node, 2, CSL_MAX_RANK);
        const struct csl_tensor *at = integers(f, node, 3, CSL_MAX_RANK);
        const struct csl_tensor *steps = integers(f, node, 4, CSL_MAX_RANK);
        if (starts == NULL || ends == NULL || ends->n_elements != starts->n_elements ||
            (csl__fold_input(f, node, 3) != NULL && (at == NULL || at->n_elements != starts->n_elements)) ||
            (csl__fold_input(f, node, 4) != NULL && steps == NULL)) {
            return;
        }
        for (size_t i = 0; steps != NULL && i < steps->n_elements; i++) {
            if (steps->i64[i] != 1) {
                return;
            }
        }
        a->has_slice = a->has_axes = true;
        a->n_axes = (unsigned)starts->n_elements;
        for (unsigned i = 0; i < a->n_axes; i++) {
            a->starts[i] = starts->i64[i];
            a->ends[i] = ends->i64[i];
            a->axes[i] = at == NULL ? (int64_t)i : at->i64[i];
        }
        node->n_inputs = 1;
    }
    if (csl__fold_constant(f, node, 0) == NULL && takes_all(f, node)) {
        node->op = CSL_OP_IDENTITY;
    }
}

/* Ratio and training_mode; a ratio alone does nothing when the network is run. */
static void dropout(const struct csl__fold *f, struct csl_node *node) {
    double training = 0;
    if (csl__fold_input(f, node, 2) != NULL && (!number(f, &training, node, 2) || training != 0)) {
        node->attr.training = true;
    }
    node->n_inputs = node->n_inputs > 1 ? 1 : node->n_inputs;
}

static void conv(const struct csl__fold *f, struct csl_node *node) {
    const struct csl_tensor *w = csl__fold_constant(f, node, 1);
    if (w != NULL && w->rank == 4 && !node->attr.channels_last && node->attr.kernel[0] == 0) {
        node->attr.n_spatial = 2;
        for (unsigned i = 0; i < 2; i++) {
            node->attr.kernel[i] = w->dims[i + 2];
            node->attr.strides[i] = node->attr.strides[i] == 0 ? 1 : node->attr.strides[i];
            node->attr.dilations[i] = node->attr.dilations[i] == 0 ? 1 : node->attr.dilations[i];
        }
    }
}

/* Min or Max of an activation and one number. */
static void min_max(const struct csl__fold *f, struct csl_node *node) {
    double v;
    for (unsigned i = 0; node->n_inputs == 2 && i < 2; i++) {
        if (csl__fold_constant(f, node, 1 - i) == NULL && csl__fold_constant(f, node, i) != NULL &&
            csl__fold_constant(f, node, i)->rank <= 1 && number(f, &v, node, i)) {
            bool max = strcmp(node->op_name, "Max") == 0;
            node->attr = csl_attributes_default();
            bound(max ? &node->attr.has_min : &node->attr.has_max, max ? &node->attr.min : &node->attr.max,
                  v);
            node->inputs[0] = node->inputs[1 - i];
            node->n_inputs = 1;
            node->op = CSL_OP_CLIP;
            return;
        }
    }
}

/* The node becomes a Mul of its input by v. */
static enum csl_err scale(struct csl__fold *f, uint32_t at, uint32_t input, float v, struct csl_diag *diag) {
    uint32_t factor;
    TRY(csl__fold_new(f, &factor, CSL_DTYPE_F32, 0, NULL, diag));
    f->graph->tensors[factor].f32[0] = v;
    struct csl_node *node = &f->graph->nodes[at];
    uint32_t *inputs = reallocarray(node->inputs, 2, sizeof *inputs);
    if (inputs == NULL) {
        return CSL_ENOMEM;
    }
    inputs[0] = input;
    inputs[1] = factor;
    node->inputs = inputs;
    node->n_inputs = 2;
    node->op = CSL_OP_MUL;
    return CSL_OK;
}

/* Selu(x) = gamma * Elu(x). beta holds gamma. */
static enum csl_err selu(struct csl__fold *f, uint32_t at, struct csl_diag *diag) {
    struct csl_graph *g = f->graph;
    struct csl_node old = g->nodes[at];
    struct csl_attributes attr = csl_attributes_default();
    attr.alpha = old.attr.alpha;
    char name[64];
    uint32_t elu;
    do {
        snprintf(name, sizeof name, "folded:%zu", ++f->n_made);
    } while (csl_graph_find(g, name) != CSL_NO_TENSOR);
    TRY(csl_graph_tensor(g, &elu, name, diag));
    f->info[elu].shape = csl__fold_shape(f, &old, 0);
    TRY(csl_graph_node(g, CSL_OP_ELU, old.name, old.op_name, old.inputs, 1, &elu, 1, &attr, diag));
    return scale(f, at, elu, old.attr.beta, diag);
}

/* A constant takes the type of an activation, which is float, or of an integer computed of dimensions. */
static void cast_like(const struct csl__fold *f, struct csl_node *node) {
    if (node->n_inputs == 2 && csl__fold_constant(f, node, 0) != NULL &&
        csl__fold_constant(f, node, 1) == NULL && csl__fold_input(f, node, 1) != NULL) {
        node->op = CSL_OP_CAST;
        node->attr.cast_to = csl__fold_ints(f, node, 1).known ? 7 : 1;
        node->n_inputs = 1;
    }
}

static enum csl_err rewrite_unknown(struct csl__fold *f, uint32_t at, struct csl_diag *diag) {
    struct csl_node *node = &f->graph->nodes[at];
    bool activation = node->n_inputs > 0 && csl__fold_input(f, node, 0) != NULL &&
                      csl__fold_constant(f, node, 0) == NULL && !csl__fold_ints(f, node, 0).known;
    if (csl__fold_is(node, "Min") || csl__fold_is(node, "Max")) {
        min_max(f, node);
    } else if (csl__fold_is(node, "CastLike") && csl__fold_constant(f, node, 0) != NULL) {
        cast_like(f, node);
    } else if (!activation) {
        return CSL_OK;
    } else if (csl__fold_is(node, "Neg")) {
        return scale(f, at, node->inputs[0], -1.0F, diag);
    } else if (csl__fold_is(node, "Selu")) {
        return selu(f, at, diag);
    } else if (csl__fold_is(node, "Celu") && node->attr.alpha == 1.0F) {
        node->op = CSL_OP_ELU;
    } else if (csl__fold_is(node, "CastLike") &&
               (csl__fold_constant(f, node, 1) == NULL || csl__fold_constant(f, node, 1)->f32 != NULL)) {
        node->op = CSL_OP_IDENTITY;
        node->n_inputs = 1;
    }
    return CSL_OK;
}

enum csl_err csl__fold_rewrite(struct csl__fold *f, uint32_t at, struct csl_diag *diag) {
    struct csl_node *node = &f->graph->nodes[at];
    switch (node->op) {
    case CSL_OP_CLIP:
        clip(f, node);
        break;
    case CSL_OP_PAD:
        pad(f, node);
        break;
    case CSL_OP_SQUEEZE:
    case CSL_OP_UNSQUEEZE:
    case CSL_OP_REDUCE_MEAN:
        axes(f, node);
        break;
    case CSL_OP_SLICE:
        slice(f, node);
        break;
    case CSL_OP_DROPOUT:
        dropout(f, node);
        break;
    case CSL_OP_CONV:
        conv(f, node);
        break;
    case CSL_OP_UNKNOWN:
        return rewrite_unknown(f, at, diag);
    default:
        break;
    }
    return CSL_OK;
}
