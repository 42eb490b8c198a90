#include "nn/onnx/onnx.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "nn/fold.h"
#include "nn/onnx/onnx_internal.h"

/* The parser's memory: a small file must not ask for a large one. A size stands before each block. */
struct budget {
    size_t left;
    bool exceeded;
};

enum { BLOCK_HEADER = 16 };

static void *budget_alloc(void *data, size_t size) {
    struct budget *b = data;
    if (size > SIZE_MAX - BLOCK_HEADER || size + BLOCK_HEADER > b->left) {
        b->exceeded = true;
        return NULL;
    }
    uint8_t *p = malloc(size + BLOCK_HEADER);
    if (p == NULL) {
        return NULL;
    }
    memcpy(p, &size, sizeof size);
    b->left -= size + BLOCK_HEADER;
    return p + BLOCK_HEADER;
}

static void budget_free(void *data, void *pointer) {
    struct budget *b = data;
    if (pointer == NULL) {
        return;
    }
    uint8_t *p = (uint8_t *)pointer - BLOCK_HEADER;
    size_t size;
    memcpy(&size, p, sizeof size);
    b->left += size + BLOCK_HEADER;
    csl_wipe(p, size + BLOCK_HEADER); /* weights pass through here */
    free(p);
}

static enum csl_err check_version(int64_t version, const char *where, struct csl_diag *diag) {
    if (version < CSL_ONNX_MIN_OPSET || version > CSL_ONNX_MAX_OPSET) {
        return csl_fail(diag, CSL_EDATA,
                        "%s uses ONNX opset %lld; export it with an opset from %d to %d, e.g. 17", where,
                        (long long)version, CSL_ONNX_MIN_OPSET, CSL_ONNX_MAX_OPSET);
    }
    return CSL_OK;
}

static bool has_standard(Csl__Onnx__OperatorSet *const *sets, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (csl__onnx_standard(sets[i]->domain)) {
            return true;
        }
    }
    return false;
}

/* Other domains may be imported; what they are needed for shows with the nodes. */
static enum csl_err check_opset(const Csl__Onnx__Model *model, struct csl_diag *diag) {
    if (!has_standard(model->opset_import, model->n_opset_import)) {
        return csl_fail(diag, CSL_EDATA,
                        "the file does not say which ONNX opset it uses: not a complete ONNX model");
    }
    TRY(check_version(csl__onnx_opset(model->opset_import, model->n_opset_import), "the file", diag));
    if (model->n_functions > CSL__ONNX_MAX_FUNCTIONS) {
        return csl_fail(diag, CSL_EDATA, "the file has more than %d functions", CSL__ONNX_MAX_FUNCTIONS);
    }
    for (size_t i = 0; i < model->n_functions; i++) {
        const Csl__Onnx__Function *f = model->functions[i];
        char where[128];
        snprintf(where, sizeof where, "the function \"%.100s\"", csl__onnx_text(f->name));
        if (f->n_input + f->n_output > CSL__ONNX_MAX_PARAMETERS) {
            return csl_fail(diag, CSL_EDATA, "%s has more than %d inputs and outputs", where,
                            CSL__ONNX_MAX_PARAMETERS);
        }
        if (has_standard(f->opset_import, f->n_opset_import)) {
            TRY(check_version(csl__onnx_opset(f->opset_import, f->n_opset_import), where, diag));
        }
    }
    return CSL_OK;
}

static enum csl_err read_initialisers(struct csl__onnx *o, const Csl__Onnx__Graph *proto,
                                      struct csl_diag *diag) {
    if (proto->n_sparse_initializer != 0) {
        return csl_fail(diag, CSL_EDATA, "the file has sparse initialisers; export dense weights");
    }
    for (size_t i = 0; i < proto->n_initializer; i++) {
        const Csl__Onnx__Tensor *t = proto->initializer[i];
        if (csl__onnx_text(t->name)[0] == '\0') {
            return csl_fail(diag, CSL_EDATA, "initialiser %zu has no name", i);
        }
        uint32_t tensor;
        TRY(csl_graph_tensor(o->graph, &tensor, t->name, diag));
        TRY(csl__onnx_constant(o, tensor, t, diag));
    }
    return CSL_OK;
}

/* A declared shape; none is as good as an unknown one. */
static enum csl_err read_shape(struct csl_graph *graph, uint32_t tensor, const Csl__Onnx__ValueInfo *info,
                               struct csl_diag *diag) {
    const Csl__Onnx__Type *type = info->type;
    if (type == NULL || type->tensor_type == NULL) {
        return csl_fail(diag, CSL_EDATA, "input \"%s\" is not a tensor", graph->tensors[tensor].name);
    }
    const Csl__Onnx__Shape *shape = type->tensor_type->shape;
    if (shape == NULL) {
        return csl_fail(diag, CSL_EDATA,
                        "input \"%s\" does not declare its shape; export with a fixed input shape",
                        graph->tensors[tensor].name);
    }
    if (shape->n_dim > CSL_MAX_RANK) {
        return csl_fail(diag, CSL_EDATA, "input \"%s\" has %zu dimensions; at most %d are possible",
                        graph->tensors[tensor].name, shape->n_dim, CSL_MAX_RANK);
    }
    int64_t dims[CSL_MAX_RANK];
    for (size_t i = 0; i < shape->n_dim; i++) {
        dims[i] = shape->dim[i]->has_dim_value ? shape->dim[i]->dim_value : CSL_DIM_UNKNOWN;
        if (i == 0 && dims[i] == CSL_DIM_UNKNOWN) { /* some exporters write an open batch as -1 */
            continue;
        }
        if (shape->dim[i]->has_dim_value && dims[i] <= 0) {
            return csl_fail(diag, CSL_EDATA, "input \"%s\": dimension %zu is %lld; it must be at least 1",
                            graph->tensors[tensor].name, i, (long long)shape->dim[i]->dim_value);
        }
    }
    return csl_graph_set_shape(graph, tensor, (unsigned)shape->n_dim, dims, diag);
}

/* The one input that is not an initialiser (IR versions below 4 list those as well). */
static enum csl_err read_input(struct csl_graph *graph, const Csl__Onnx__Graph *proto,
                               struct csl_diag *diag) {
    for (size_t i = 0; i < proto->n_input; i++) {
        uint32_t tensor;
        TRY(csl_graph_tensor(graph, &tensor, csl__onnx_text(proto->input[i]->name), diag));
        if (graph->tensors[tensor].dtype != CSL_DTYPE_NONE) {
            continue;
        }
        if (graph->input != CSL_NO_TENSOR) {
            return csl_fail(diag, CSL_EDATA,
                            "the network has several inputs, \"%s\" and \"%s\" (or the initialiser of one is "
                            "missing); one is possible",
                            graph->tensors[graph->input].name, graph->tensors[tensor].name);
        }
        graph->input = tensor;
        TRY(read_shape(graph, tensor, proto->input[i], diag));
    }
    return CSL_OK;
}

static enum csl_err read_output(struct csl_graph *graph, const Csl__Onnx__Graph *proto,
                                struct csl_diag *diag) {
    if (proto->n_output > 1) {
        return csl_fail(diag, CSL_EDATA, "the network has %zu outputs, \"%s\", \"%s\"%s; one is possible",
                        proto->n_output, csl__onnx_text(proto->output[0]->name),
                        csl__onnx_text(proto->output[1]->name), proto->n_output > 2 ? ", ..." : "");
    }
    if (proto->n_output == 1) {
        return csl_graph_tensor(graph, &graph->output, csl__onnx_text(proto->output[0]->name), diag);
    }
    return CSL_OK;
}

static bool is_noted(const struct csl_issues *issues, const struct csl_node *node) {
    for (size_t i = 0; i < issues->n; i++) {
        if (strncmp(issues->at[i].node, node->name, sizeof issues->at[i].node - 1) == 0 &&
            strncmp(issues->at[i].op, node->op_name, sizeof issues->at[i].op - 1) == 0) {
            return true;
        }
    }
    return false;
}

/* Every operator that we do not have and that folding has not removed. */
static enum csl_err note_unknown(struct csl__onnx *o) {
    for (size_t i = 0; i < o->graph->n_nodes; i++) {
        const struct csl_node *node = &o->graph->nodes[i];
        if (node->op != CSL_OP_UNKNOWN || is_noted(o->issues, node)) {
            continue;
        }
        bool standard = strstr(node->op_name, "::") == NULL;
        TRY(csl_issues_add(o->issues, node->name, node->op_name,
                           standard ? csl__onnx_hint(node->op_name)
                                    : "use operators of the ONNX standard only",
                           "the operator is not supported"));
    }
    return CSL_OK;
}

/* Of Dropout, BatchNormalization and MaxPool only the first output can be had. */
static enum csl_err note_outputs(struct csl__onnx *o) {
    const struct csl_graph *g = o->graph;
    for (size_t i = 0; i < g->n_nodes; i++) {
        for (unsigned j = 0; j < g->nodes[i].n_inputs; j++) {
            uint32_t t = g->nodes[i].inputs[j];
            const struct csl_node *from = t == CSL_NO_TENSOR || g->tensors[t].producer == CSL_NO_NODE
                                              ? NULL
                                              : &g->nodes[g->tensors[t].producer];
            if (from != NULL && from->op != CSL_OP_UNKNOWN && from->outputs[0] != t) {
                TRY(csl_issues_add(o->issues, g->nodes[i].name, g->nodes[i].op_name,
                                   "only a node's first output can be used",
                                   "it reads \"%s\", a second output of \"%s\" (%s)", g->tensors[t].name,
                                   from->name, from->op_name));
            }
        }
    }
    return CSL_OK;
}

static enum csl_err build(struct csl__onnx *o, struct csl_diag *diag) {
    const Csl__Onnx__Graph *proto = o->model->graph;
    TRY(read_initialisers(o, proto, diag));
    TRY(read_input(o->graph, proto, diag));
    TRY(read_output(o->graph, proto, diag));
    for (size_t i = 0; i < proto->n_node; i++) {
        TRY(csl__onnx_node(o, NULL, proto->node[i], i + 1, diag));
    }
    TRY(csl_graph_finish(o->graph, diag));
    TRY(note_outputs(o));
    TRY(csl_graph_fold(o->graph, diag));
    return note_unknown(o);
}

static enum csl_err import(struct csl_graph **graph, struct csl_issues *issues, struct csl_onnx_files *files,
                           const uint8_t *bytes, size_t n, int folder, size_t max_external,
                           struct csl_diag *diag) {
    *graph = NULL;
    struct budget budget = {.left = ((size_t)64 << 20) + 4 * n};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    Csl__Onnx__Model *model = csl__onnx__model__unpack(&allocator, n, bytes);
    struct csl__onnx o = {
        .issues = issues, .model = model, .folder = folder, .external_left = max_external, .files = files};
    enum csl_err err = CSL_OK;
    if (model == NULL) {
        return csl_fail(diag, CSL_EDATA,
                        budget.exceeded ? "the file has too many small parts for its size"
                                        : "not an ONNX file, or cut off or damaged");
    }
    if (model->graph == NULL) {
        err = csl_fail(diag, CSL_EDATA, "not an ONNX model: it holds no graph");
        goto out;
    }
    TRY_OUT(check_opset(model, diag));
    TRY_OUT(csl_graph_new(&o.graph, csl__onnx_text(model->graph->name)));
    TRY_OUT(build(&o, diag));
    *graph = o.graph;
    o.graph = NULL;
out:
    csl_graph_free(o.graph);
    csl__onnx__model__free_unpacked(model, &allocator);
    return err;
}

enum csl_err csl_onnx_import(struct csl_graph **graph, struct csl_issues *issues, const uint8_t *bytes,
                             size_t n, struct csl_diag *diag) {
    return import(graph, issues, NULL, bytes, n, -1, 0, diag);
}

/* The folder of a file, opened; -1: it cannot be, or has no name that fits. */
static int open_folder(const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int n = slash == NULL   ? snprintf(folder, sizeof folder, ".")
            : slash == path ? snprintf(folder, sizeof folder, "/")
                            : snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    return n < 0 || (size_t)n >= sizeof folder ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static enum csl_err read_file(uint8_t **bytes, size_t *n, FILE *f, const char *path, size_t max_bytes,
                              struct csl_diag *diag) {
    struct stat st;
    if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode)) {
        return csl_fail(diag, CSL_ENOINPUT, "%s: not a regular file", path);
    }
    if (st.st_size <= 0 || (uintmax_t)st.st_size > max_bytes) {
        return csl_fail(diag, CSL_EDATA, "%s: %s (%lld bytes; the limit is %zu)", path,
                        st.st_size <= 0 ? "the file is empty" : "the file is too large",
                        (long long)st.st_size, max_bytes);
    }
    *n = (size_t)st.st_size;
    *bytes = malloc(*n);
    if (*bytes == NULL) {
        return CSL_ENOMEM;
    }
    if (fread(*bytes, 1, *n, f) != *n) {
        return csl_fail(diag, CSL_EIO, "%s: cannot read all of it", path);
    }
    return CSL_OK;
}

static enum csl_err import_file(struct csl_graph **graph, struct csl_issues *issues,
                                struct csl_onnx_files *files, const char *path, size_t max_bytes,
                                struct csl_diag *diag) {
    *graph = NULL;
    uint8_t *bytes = NULL;
    size_t n = 0;
    int folder;
    enum csl_err err = CSL_OK;
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        return csl_fail(diag, CSL_ENOINPUT, "%s: %s", path, strerror(errno));
    }
    TRY_OUT(read_file(&bytes, &n, f, path, max_bytes, diag));
    folder = open_folder(path);
    err = import(graph, issues, files, bytes, n, folder, max_bytes, diag);
    if (folder >= 0) {
        (void)close(folder);
    }
    if (err != CSL_OK) {
        err = csl_fail_context(diag, err, "%s", path);
    }
out:
    if (bytes != NULL) {
        csl_wipe(bytes, n);
    }
    free(bytes);
    (void)fclose(f);
    return err;
}

enum csl_err csl_onnx_import_file(struct csl_graph **graph, struct csl_issues *issues, const char *path,
                                  size_t max_bytes, struct csl_diag *diag) {
    return import_file(graph, issues, NULL, path, max_bytes, diag);
}

enum csl_err csl_onnx_external_files(struct csl_onnx_files *out, const char *path, size_t max_bytes,
                                     struct csl_diag *diag) {
    struct csl_issues issues = {0};
    struct csl_graph *graph = NULL;
    *out = (struct csl_onnx_files){0};
    enum csl_err err = import_file(&graph, &issues, out, path, max_bytes, diag);
    csl_graph_free(graph);
    csl_issues_clear(&issues);
    if (err != CSL_OK) {
        csl_onnx_files_clear(out);
    }
    return err;
}
