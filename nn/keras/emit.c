/* What layers are built of: nodes, constants, the ranks of tensors, and layers that cannot be run. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/keras/keras_internal.h"

unsigned csl__keras_rank(const struct csl__keras_context *c, uint32_t tensor) {
    return tensor < c->n_rank ? c->rank[tensor] : 0;
}

enum csl_err csl__keras_set_rank(struct csl__keras_context *c, uint32_t tensor, unsigned rank) {
    if (tensor >= c->n_rank) {
        size_t n = (size_t)tensor * 2 + 64;
        uint8_t *more = realloc(c->rank, n);
        if (more == NULL) {
            return CSL_ENOMEM;
        }
        memset(more + c->n_rank, 0, n - c->n_rank);
        c->rank = more;
        c->n_rank = n;
    }
    c->rank[tensor] = (uint8_t)rank;
    return CSL_OK;
}

enum csl_err csl__keras_emit(struct csl__keras_layer *l, enum csl_op op, const char *suffix,
                             const uint32_t *inputs, unsigned n_inputs, const struct csl_attributes *attr,
                             unsigned rank) {
    char name[320];
    snprintf(name, sizeof name, "%s%s%s", l->out_name, suffix[0] == '\0' ? "" : "/", suffix);
    uint32_t out = (uint32_t)l->c->graph->n_tensors;
    char tensor[340]; /* a name of its own: the layer's name is taken by the layer's output */
    snprintf(tensor, sizeof tensor, "%s #%u", name, (unsigned)out);
    TRY(csl_graph_tensor(l->c->graph, &out, tensor, l->c->diag));
    TRY(csl__keras_set_rank(l->c, out, rank));
    TRY(csl_graph_node(l->c->graph, op, name, suffix[0] == '\0' ? l->type : csl_op_text(op), inputs, n_inputs,
                       &out, 1, attr, l->c->diag));
    l->out = out;
    return CSL_OK;
}

enum csl_err csl__keras_constant(struct csl__keras_layer *l, uint32_t *tensor, bool *fresh,
                                 const char *suffix, enum csl_dtype type, unsigned rank,
                                 const int64_t *dims) {
    char name[320];
    snprintf(name, sizeof name, "%s/%s", l->name, suffix);
    TRY(csl_graph_tensor(l->c->graph, tensor, name, l->c->diag));
    const struct csl_tensor *t = &l->c->graph->tensors[*tensor];
    *fresh = t->dtype == CSL_DTYPE_NONE;
    if (!*fresh) { /* a shared layer, or another layer of that name */
        bool same = t->dtype == type && t->rank == rank;
        for (unsigned i = 0; i < rank && same; i++) {
            same = t->dims[i] == dims[i];
        }
        return same ? CSL_OK : csl__keras_fail(l, "two layers of the model have this name");
    }
    return csl_graph_constant(l->c->graph, *tensor, type, rank, dims, l->c->diag);
}

enum csl_err csl__keras_scalar(struct csl__keras_layer *l, uint32_t *tensor, const char *suffix,
                               float value) {
    const int64_t one = 1;
    bool fresh;
    TRY(csl__keras_constant(l, tensor, &fresh, suffix, CSL_DTYPE_F32, 1, &one));
    l->c->graph->tensors[*tensor].f32[0] = value;
    return CSL_OK;
}

enum csl_err csl__keras_unsupported(struct csl__keras_layer *l, const char *hint, const char *fmt, ...) {
    char reason[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(reason, sizeof reason, fmt, args);
    va_end(args);
    csl_text_clean(reason);
    const uint32_t *in = l->out != CSL_NO_TENSOR ? &l->out : l->in;
    TRY(csl__keras_emit(l, CSL_OP_UNKNOWN, "", in, l->out != CSL_NO_TENSOR ? 1 : l->n_in, NULL, 0));
    const struct csl_node *node = &l->c->graph->nodes[l->c->graph->n_nodes - 1];
    return csl_issues_add(l->c->issues, node->name, node->op_name, hint, "%s", reason);
}
