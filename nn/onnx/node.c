/* NodeProto to a node of the neutral graph. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/onnx/onnx_internal.h"

static const char *text(const char *s) {
    return s == NULL ? "" : s;
}

/* What a user can do about an operator that we do not have; a prefix match on the name. */
static const char *hint_for(const char *op) {
    static const struct {
        const char *op, *hint;
    } hints[] = {
        {"Conv", "convolutions cannot be run yet; use dense layers (Gemm, MatMul)"},
        {"MaxPool", "pooling cannot be run yet; use dense layers (Gemm, MatMul)"},
        {"AveragePool", "pooling cannot be run yet; use dense layers (Gemm, MatMul)"},
        {"GlobalAveragePool", "pooling cannot be run yet; use dense layers (Gemm, MatMul)"},
        {"BatchNormalization", "fold it into the dense layer before it, and export again in evaluation mode"},
        {"Sigmoid", "replace it by Relu and train again; after the last layer leave it out"},
        {"Tanh", "replace it by Relu and train again"},
        {"LeakyRelu", "replace it by Relu and train again"},
        {"PRelu", "replace it by Relu and train again"},
        {"Elu", "replace it by Relu and train again"},
        {"Selu", "replace it by Relu and train again"},
        {"Gelu", "replace it by Relu and train again"},
        {"Clip", "replace it by Relu and train again"},
        {"ArgMax", "remove it: the client receives the logits and takes the largest"},
        {"QLinear", "export the network in float32, without quantisation"},
        {"QuantizeLinear", "export the network in float32, without quantisation"},
        {"DequantizeLinear", "export the network in float32, without quantisation"},
        {"If", "export without control flow: trace the network with a fixed input shape"},
        {"Loop", "export without control flow: trace the network with a fixed input shape"},
        {"Scan", "export without control flow: trace the network with a fixed input shape"},
        {"Shape", "export with a fixed input shape, so that the exporter folds it away"},
        {"Gather", "export with a fixed input shape, so that the exporter folds it away"},
        {"Unsqueeze", "export with a fixed input shape, so that the exporter folds it away"},
        {"Squeeze", "export with a fixed input shape, so that the exporter folds it away"},
        {"Concat", "export with a fixed input shape, or without branches"},
        {"Cast", "export the network in float32 throughout"},
        {"Mul", "fold the factor into the next layer's weights; declare input scaling as the normalisation"},
        {"Div", "fold the divisor into the next layer's weights; declare input scaling as the normalisation"},
        {"Sub", "fold it into the next layer's bias; declare input scaling as the normalisation"},
    };
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        if (strncmp(op, hints[i].op, strlen(hints[i].op)) == 0) {
            return hints[i].hint;
        }
    }
    return "dense networks can be run: Gemm, MatMul, Add, Relu, Flatten, Reshape, Transpose, Identity, "
           "Dropout, "
           "final Softmax or LogSoftmax";
}

static enum csl_op find_op(const char *op_type) {
    for (int op = CSL_OP_UNKNOWN + 1; op < CSL_OP_COUNT; op++) {
        if (strcmp(csl_op_text((enum csl_op)op), op_type) == 0) {
            return (enum csl_op)op;
        }
    }
    return CSL_OP_UNKNOWN;
}

static bool standard_domain(const Csl__Onnx__Node *proto) {
    return text(proto->domain)[0] == '\0' || strcmp(proto->domain, "ai.onnx") == 0;
}

static enum csl_err read_perm(struct csl_attributes *attr, const Csl__Onnx__Attribute *a, const char *node,
                              struct csl_diag *diag) {
    if (a->n_ints > CSL_MAX_RANK) {
        return csl_fail(diag, CSL_EDATA,
                        "node \"%s\": attribute \"perm\" has %zu entries; at most %d are possible", node,
                        a->n_ints, CSL_MAX_RANK);
    }
    attr->n_perm = (unsigned)a->n_ints;
    for (size_t i = 0; i < a->n_ints; i++) {
        attr->perm[i] = a->ints[i];
    }
    return CSL_OK;
}

/* The attributes of the operators that we have; others are of no consequence to them. */
static enum csl_err read_attributes(struct csl_attributes *attr, const Csl__Onnx__Node *proto,
                                    const char *node, struct csl_diag *diag) {
    *attr = csl_attributes_default();
    for (size_t i = 0; i < proto->n_attribute; i++) {
        const Csl__Onnx__Attribute *a = proto->attribute[i];
        const char *name = text(a->name);
        if (strcmp(name, "alpha") == 0) {
            attr->alpha = a->f;
        } else if (strcmp(name, "beta") == 0) {
            attr->beta = a->f;
        } else if (strcmp(name, "transA") == 0) {
            attr->trans_a = a->i != 0;
        } else if (strcmp(name, "transB") == 0) {
            attr->trans_b = a->i != 0;
        } else if (strcmp(name, "axis") == 0) {
            attr->has_axis = true;
            attr->axis = a->i;
        } else if (strcmp(name, "allowzero") == 0) {
            attr->allow_zero = a->i != 0;
        } else if (strcmp(name, "perm") == 0) {
            TRY(read_perm(attr, a, node, diag));
        }
    }
    return CSL_OK;
}

/* Constant: the value becomes a constant tensor of the graph. `done` is false when there is no form we read.
 */
static enum csl_err read_constant(struct csl_graph *graph, bool *done, const Csl__Onnx__Node *proto,
                                  const char *node, struct csl_diag *diag) {
    *done = false;
    if (proto->n_output != 1 || proto->n_attribute != 1) {
        return csl_fail(diag, CSL_EDATA, "node \"%s\" (Constant) must have one output and one value", node);
    }
    const Csl__Onnx__Attribute *a = proto->attribute[0];
    const char *name = text(a->name);
    uint32_t tensor;
    TRY(csl_graph_tensor(graph, &tensor, proto->output[0], diag));
    *done = true;
    if (strcmp(name, "value") == 0 && a->t != NULL) {
        return csl__onnx_constant(graph, tensor, a->t, diag);
    }
    bool is_float = strncmp(name, "value_float", 11) == 0;
    bool is_list = strcmp(name, "value_floats") == 0 || strcmp(name, "value_ints") == 0;
    if (!is_list && strcmp(name, "value_float") != 0 && strcmp(name, "value_int") != 0) {
        *done = false;
        return CSL_OK;
    }
    int64_t n = !is_list ? 1 : (int64_t)(is_float ? a->n_floats : a->n_ints);
    TRY(csl_graph_constant(graph, tensor, is_float ? CSL_DTYPE_F32 : CSL_DTYPE_I64, is_list ? 1 : 0, &n,
                           diag));
    struct csl_tensor *t = &graph->tensors[tensor];
    for (int64_t i = 0; i < n; i++) {
        if (is_float) {
            t->f32[i] = is_list ? a->floats[i] : a->f;
        } else {
            t->i64[i] = is_list ? a->ints[i] : a->i;
        }
    }
    return csl_graph_check_finite(graph, tensor, diag);
}

/* Names to tensors; an empty name is an optional one that is not there. */
static enum csl_err find_tensors(struct csl_graph *graph, uint32_t *list, char *const *names, size_t n,
                                 struct csl_diag *diag) {
    for (size_t i = 0; i < n; i++) {
        list[i] = CSL_NO_TENSOR;
        if (text(names[i])[0] != '\0') {
            TRY(csl_graph_tensor(graph, &list[i], names[i], diag));
        }
    }
    return CSL_OK;
}

static enum csl_err add_node(struct csl_graph *graph, enum csl_op op, const Csl__Onnx__Node *proto,
                             const char *node, const char *op_name, struct csl_diag *diag) {
    struct csl_attributes attr;
    TRY(read_attributes(&attr, proto, node, diag));
    if (proto->n_input > CSL_GRAPH_MAX_TENSORS || proto->n_output > CSL_GRAPH_MAX_TENSORS) {
        return csl_fail(diag, CSL_EDATA, "node \"%s\" has too many inputs or outputs", node);
    }
    uint32_t *list = calloc(proto->n_input + proto->n_output + 1, sizeof *list);
    enum csl_err err = CSL_ENOMEM;
    if (list == NULL) {
        goto out;
    }
    TRY_OUT(find_tensors(graph, list, proto->input, proto->n_input, diag));
    TRY_OUT(find_tensors(graph, list + proto->n_input, proto->output, proto->n_output, diag));
    err = csl_graph_node(graph, op, node, op_name, list, (unsigned)proto->n_input, list + proto->n_input,
                         (unsigned)proto->n_output, &attr, diag);
out:
    free(list);
    return err;
}

enum csl_err csl__onnx_node(struct csl_graph *graph, struct csl_issues *issues, const Csl__Onnx__Node *proto,
                            size_t number, struct csl_diag *diag) {
    const char *type = text(proto->op_type);
    char node[128];
    char op_name[128];
    if (text(proto->name)[0] != '\0') {
        snprintf(node, sizeof node, "%s", proto->name);
    } else {
        snprintf(node, sizeof node, "%.64s #%zu", type, number);
    }
    snprintf(op_name, sizeof op_name, "%.60s%s%.60s", standard_domain(proto) ? "" : proto->domain,
             standard_domain(proto) ? "" : "::", type);
    if (type[0] == '\0') {
        return csl_fail(diag, CSL_EDATA, "node \"%s\" has no operator", node);
    }
    if (standard_domain(proto) && strcmp(type, "Constant") == 0) {
        bool done;
        TRY(read_constant(graph, &done, proto, node, diag));
        if (done) {
            return CSL_OK;
        }
    }
    enum csl_op op = standard_domain(proto) ? find_op(type) : CSL_OP_UNKNOWN;
    TRY(add_node(graph, op, proto, node, op_name, diag));
    if (op == CSL_OP_UNKNOWN) {
        const struct csl_node *added = &graph->nodes[graph->n_nodes - 1]; /* its names are fit to print */
        return csl_issues_add(issues, added->name, added->op_name,
                              standard_domain(proto) ? hint_for(type)
                                                     : "use operators of the ONNX standard only",
                              "the operator is not supported");
    }
    return CSL_OK;
}
