/* The model's own functions (FunctionProto), which newer exporters write: their nodes take the place of each
 * call, under names of their own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/onnx/onnx_internal.h"

bool csl__onnx_standard(const char *domain) {
    return csl__onnx_text(domain)[0] == '\0' || strcmp(domain, "ai.onnx") == 0;
}

int64_t csl__onnx_opset(Csl__Onnx__OperatorSet *const *sets, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (csl__onnx_standard(sets[i]->domain)) {
            return sets[i]->version;
        }
    }
    return 0;
}

const Csl__Onnx__Function *csl__onnx_function(const struct csl__onnx *o, const Csl__Onnx__Node *proto) {
    if (csl__onnx_standard(proto->domain)) {
        return NULL;
    }
    for (size_t i = 0; i < o->model->n_functions; i++) {
        const Csl__Onnx__Function *f = o->model->functions[i];
        if (strcmp(csl__onnx_text(f->name), csl__onnx_text(proto->op_type)) == 0 &&
            strcmp(csl__onnx_text(f->domain), csl__onnx_text(proto->domain)) == 0 &&
            strcmp(csl__onnx_text(f->overload), csl__onnx_text(proto->overload)) == 0) {
            return f;
        }
    }
    return NULL;
}

static const Csl__Onnx__Attribute *find(Csl__Onnx__Attribute *const *list, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(csl__onnx_text(list[i]->name), name) == 0) {
            return list[i];
        }
    }
    return NULL;
}

const Csl__Onnx__Attribute *csl__onnx_resolve(const struct csl__scope *scope, const Csl__Onnx__Attribute *a) {
    while (a != NULL && csl__onnx_text(a->ref_attr_name)[0] != '\0') {
        if (scope == NULL) {
            return NULL;
        }
        const Csl__Onnx__Attribute *given =
            find(scope->call->attribute, scope->call->n_attribute, a->ref_attr_name);
        if (given == NULL) { /* its default refers to nothing */
            given =
                find(scope->function->attribute_proto, scope->function->n_attribute_proto, a->ref_attr_name);
            return given != NULL && csl__onnx_text(given->ref_attr_name)[0] != '\0' ? NULL : given;
        }
        a = given;
        scope = scope->up;
    }
    return a;
}

/* The caller's name for one of the function's inputs or outputs; NULL: it is neither. */
static const char *passed(const struct csl__scope *s, const char *name) {
    for (size_t i = 0; i < s->function->n_input; i++) {
        if (strcmp(csl__onnx_text(s->function->input[i]), name) == 0) {
            return csl__onnx_text(s->inputs[i]);
        }
    }
    for (size_t i = 0; i < s->function->n_output; i++) {
        if (s->outputs[i] != NULL && strcmp(csl__onnx_text(s->function->output[i]), name) == 0) {
            return s->outputs[i];
        }
    }
    return NULL;
}

/* A name of the graph, or of the function's body made the graph's. */
static void global_name(char *out, size_t n_out, const struct csl__scope *scope, const char *name) {
    const char *outer = scope == NULL || name[0] == '\0' ? name : passed(scope, name);
    if (outer != NULL) {
        snprintf(out, n_out, "%s", outer);
    } else {
        snprintf(out, n_out, "%s@%zu", name, scope->number);
    }
}

enum csl_err csl__onnx_tensor(struct csl__onnx *o, uint32_t *tensor, const struct csl__scope *scope,
                              const char *name, struct csl_diag *diag) {
    char global[CSL_GRAPH_MAX_NAME + 32];
    *tensor = CSL_NO_TENSOR;
    if (strlen(name) > CSL_GRAPH_MAX_NAME) {
        return csl_graph_tensor(o->graph, tensor, name, diag); /* which refuses it */
    }
    global_name(global, sizeof global, scope, name);
    return global[0] == '\0' ? CSL_OK : csl_graph_tensor(o->graph, tensor, global, diag);
}

/* Names of the caller for n names of the function. */
static enum csl_err pass(char ***list, size_t n, const struct csl__scope *scope, char *const *names,
                         size_t n_names) {
    char global[CSL_GRAPH_MAX_NAME + 32];
    *list = calloc(n + 1, sizeof **list);
    if (*list == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t i = 0; i < n && i < n_names; i++) {
        if (csl__onnx_text(names[i])[0] == '\0' || strlen(names[i]) > CSL_GRAPH_MAX_NAME) {
            continue;
        }
        global_name(global, sizeof global, scope, names[i]);
        (*list)[i] = global[0] == '\0' ? NULL : strdup(global);
        if ((*list)[i] == NULL && global[0] != '\0') {
            return CSL_ENOMEM;
        }
    }
    return CSL_OK;
}

static void free_list(char **list, size_t n) {
    for (size_t i = 0; list != NULL && i < n; i++) {
        free(list[i]);
    }
    free(list);
}

/* No function may stand within itself. */
static enum csl_err check_depth(const struct csl__scope *scope, const Csl__Onnx__Function *function,
                                const char *node, struct csl_diag *diag) {
    unsigned depth = 0;
    for (const struct csl__scope *s = scope; s != NULL; s = s->up) {
        if (s->function == function || ++depth == CSL__ONNX_MAX_DEPTH) {
            return csl_fail(diag, CSL_EDATA, "node \"%s\": the model's function \"%.100s\" %s", node,
                            csl__onnx_text(function->name),
                            s->function == function ? "calls itself" : "is called too many levels deep");
        }
    }
    return CSL_OK;
}

enum csl_err csl__onnx_call(struct csl__onnx *o, const struct csl__scope *scope,
                            const Csl__Onnx__Function *function, const Csl__Onnx__Node *call,
                            const char *node, struct csl_diag *diag) {
    TRY(check_depth(scope, function, node, diag));
    if (call->n_input > function->n_input || call->n_output > function->n_output) {
        return csl_fail(diag, CSL_EDATA,
                        "node \"%s\" calls the function \"%.100s\" with %zu inputs and %zu outputs; it has "
                        "%zu and %zu",
                        node, csl__onnx_text(function->name), call->n_input, call->n_output,
                        function->n_input, function->n_output);
    }
    int64_t opset = csl__onnx_opset(function->opset_import, function->n_opset_import);
    struct csl__scope inner = {
        .up = scope,
        .function = function,
        .call = call,
        .number = ++o->n_calls,
        .opset = opset != 0      ? opset
                 : scope != NULL ? scope->opset
                                 : csl__onnx_opset(o->model->opset_import, o->model->n_opset_import)};
    snprintf(inner.name, sizeof inner.name, "%s", node);
    enum csl_err err;
    TRY_OUT(pass(&inner.inputs, function->n_input, scope, call->input, call->n_input));
    TRY_OUT(pass(&inner.outputs, function->n_output, scope, call->output, call->n_output));
    for (size_t i = 0; i < function->n_node; i++) {
        TRY_OUT(csl__onnx_node(o, &inner, function->node[i], i + 1, diag));
    }
out:
    free_list(inner.inputs, function->n_input);
    free_list(inner.outputs, function->n_output);
    return err;
}
