/* NodeProto to a node of the neutral graph. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/onnx/onnx_internal.h"

static enum csl_op find_op(const char *op_type) {
    for (int op = CSL_OP_UNKNOWN + 1; op < CSL_OP_COUNT; op++) {
        if (strcmp(csl_op_text((enum csl_op)op), op_type) == 0) {
            return (enum csl_op)op;
        }
    }
    return CSL_OP_UNKNOWN;
}

/* The one attribute of a Constant that holds its value; NULL: there is none that we read. */
static const Csl__Onnx__Attribute *constant_value(const char **name, const struct csl__scope *scope,
                                                  const Csl__Onnx__Node *proto) {
    static const char *const names[] = {"value", "value_float", "value_floats", "value_int", "value_ints"};
    for (size_t i = 0; i < proto->n_attribute; i++) {
        for (size_t j = 0; j < sizeof names / sizeof names[0]; j++) {
            if (strcmp(csl__onnx_text(proto->attribute[i]->name), names[j]) == 0) {
                *name = names[j];
                return csl__onnx_resolve(scope, proto->attribute[i]);
            }
        }
    }
    return NULL;
}

/* Constant: the value becomes a constant tensor of the graph. `done` is false when there is no form we read.
 */
static enum csl_err read_constant(struct csl__onnx *o, bool *done, const struct csl__scope *scope,
                                  const Csl__Onnx__Node *proto, const char *node, struct csl_diag *diag) {
    *done = false;
    if (proto->n_output != 1 || proto->n_attribute == 0) {
        return csl_fail(diag, CSL_EDATA, "node \"%s\" (Constant) must have one output and one value", node);
    }
    const char *name = "";
    const Csl__Onnx__Attribute *a = constant_value(&name, scope, proto);
    if (a == NULL || (strcmp(name, "value") == 0 && a->t == NULL)) {
        return CSL_OK;
    }
    uint32_t tensor;
    TRY(csl__onnx_tensor(o, &tensor, scope, csl__onnx_text(proto->output[0]), diag));
    *done = true;
    if (tensor == CSL_NO_TENSOR) {
        return CSL_OK;
    }
    if (a->t != NULL && strcmp(name, "value") == 0) {
        return csl__onnx_constant(o, tensor, a->t, diag);
    }
    bool is_float = strncmp(name, "value_float", 11) == 0;
    bool is_list = name[strlen(name) - 1] == 's';
    int64_t n = !is_list ? 1 : (int64_t)(is_float ? a->n_floats : a->n_ints);
    TRY(csl_graph_constant(o->graph, tensor, is_float ? CSL_DTYPE_F32 : CSL_DTYPE_I64, is_list ? 1 : 0, &n,
                           diag));
    struct csl_tensor *t = &o->graph->tensors[tensor];
    for (int64_t i = 0; i < n; i++) {
        if (is_float) {
            t->f32[i] = is_list ? a->floats[i] : a->f;
        } else {
            t->i64[i] = is_list ? a->ints[i] : a->i;
        }
    }
    return csl_graph_check_finite(o->graph, tensor, diag);
}

/* Names to tensors; an empty name is an optional one that is not there. */
static enum csl_err find_tensors(struct csl__onnx *o, uint32_t *list, const struct csl__scope *scope,
                                 char *const *names, size_t n, struct csl_diag *diag) {
    for (size_t i = 0; i < n; i++) {
        TRY(csl__onnx_tensor(o, &list[i], scope, csl__onnx_text(names[i]), diag));
    }
    return CSL_OK;
}

static enum csl_err add_node(struct csl__onnx *o, enum csl_op op, const struct csl__scope *scope,
                             const Csl__Onnx__Node *proto, const struct csl_attributes *attr,
                             const char *node, const char *op_name, struct csl_diag *diag) {
    if (proto->n_input > CSL_GRAPH_MAX_TENSORS || proto->n_output > CSL_GRAPH_MAX_TENSORS) {
        return csl_fail(diag, CSL_EDATA, "node \"%s\" has too many inputs or outputs", node);
    }
    uint32_t *list = calloc(proto->n_input + proto->n_output + 1, sizeof *list);
    enum csl_err err = CSL_ENOMEM;
    if (list == NULL) {
        goto out;
    }
    TRY_OUT(find_tensors(o, list, scope, proto->input, proto->n_input, diag));
    TRY_OUT(find_tensors(o, list + proto->n_input, scope, proto->output, proto->n_output, diag));
    err = csl_graph_node(o->graph, op, node, op_name, list, (unsigned)proto->n_input, list + proto->n_input,
                         (unsigned)proto->n_output, attr, diag);
out:
    free(list);
    return err;
}

/* An operator, ours or not. Unknown ones are noted when the constants are folded: some of them go then. */
static enum csl_err read_operator(struct csl__onnx *o, const struct csl__scope *scope,
                                  const Csl__Onnx__Node *proto, const char *node, const char *op_name,
                                  struct csl_diag *diag) {
    struct csl_attributes attr;
    struct csl__refusal refusal;
    enum csl_op op =
        csl__onnx_standard(proto->domain) ? find_op(csl__onnx_text(proto->op_type)) : CSL_OP_UNKNOWN;
    int64_t opset =
        scope != NULL ? scope->opset : csl__onnx_opset(o->model->opset_import, o->model->n_opset_import);
    TRY(csl__onnx_attributes(&attr, &refusal, op, opset, scope, proto, node, diag));
    bool refused = refusal.reason[0] != '\0';
    TRY(add_node(o, refused ? CSL_OP_UNKNOWN : op, scope, proto, &attr, node, op_name, diag));
    if (!refused) {
        return CSL_OK;
    }
    const struct csl_node *added = &o->graph->nodes[o->graph->n_nodes - 1]; /* its names are fit to print */
    return csl_issues_add(o->issues, added->name, added->op_name, refusal.hint, "%s", refusal.reason);
}

enum csl_err csl__onnx_node(struct csl__onnx *o, const struct csl__scope *scope, const Csl__Onnx__Node *proto,
                            size_t number, struct csl_diag *diag) {
    const char *type = csl__onnx_text(proto->op_type);
    bool standard = csl__onnx_standard(proto->domain);
    char node[128];
    char op_name[128];
    const char *outer = scope == NULL ? "" : scope->name;
    const char *slash = scope == NULL ? "" : "/";
    if (csl__onnx_text(proto->name)[0] != '\0') {
        snprintf(node, sizeof node, "%.60s%s%s", outer, slash, proto->name);
    } else {
        snprintf(node, sizeof node, "%.50s%s%.50s #%zu", outer, slash, type, number);
    }
    snprintf(op_name, sizeof op_name, "%.60s%s%.60s", standard ? "" : proto->domain,
             standard ? "" : "::", type);
    o->n_steps += 1 + proto->n_input + proto->n_output;
    if (o->n_steps > CSL__ONNX_MAX_STEPS) {
        return csl_fail(diag, CSL_EDATA, "the network, with its functions, has too many nodes");
    }
    if (type[0] == '\0') {
        return csl_fail(diag, CSL_EDATA, "node \"%s\" has no operator", node);
    }
    const Csl__Onnx__Function *function = csl__onnx_function(o, proto);
    if (function != NULL) {
        return csl__onnx_call(o, scope, function, proto, node, diag);
    }
    if (standard && strcmp(type, "Constant") == 0) {
        bool done;
        TRY(read_constant(o, &done, scope, proto, node, diag));
        if (done) {
            return CSL_OK;
        }
    }
    return read_operator(o, scope, proto, node, op_name, diag);
}
