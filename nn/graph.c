#include "nn/graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"

const char *csl_op_text(enum csl_op op) {
    static const char *const text[CSL_OP_COUNT] = {
#define CSL_OP_TEXT(name, text) text,
        CSL_OP_LIST(CSL_OP_TEXT)
#undef CSL_OP_TEXT
    };
    return op < CSL_OP_COUNT ? text[op] : "";
}

struct csl_attributes csl_attributes_default(void) {
    return (struct csl_attributes){.alpha = 1.0F, .beta = 1.0F, .axis = 1};
}

/* Length of the UTF-8 sequence at p, or 0 when there is none. Overlong forms and surrogates pass: nothing
 * here interprets the characters. */
static size_t utf8_length(const unsigned char *p) {
    size_t n = *p < 0x80                 ? 1
               : *p >= 0xc2 && *p < 0xe0 ? 2
               : *p >= 0xe0 && *p < 0xf0 ? 3
               : *p >= 0xf0 && *p < 0xf5 ? 4
                                         : 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

void csl_text_clean(char *text) {
    for (unsigned char *p = (unsigned char *)text; *p != '\0';) {
        size_t n = utf8_length(p);
        if (n == 0 || *p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0)) {
            *p = '?';
            n = 1;
        }
        p += n;
    }
}

static char *copy_name(const char *name) {
    char *copy = strdup(name);
    if (copy != NULL) {
        csl_text_clean(copy);
    }
    return copy;
}

enum csl_err csl_graph_new(struct csl_graph **graph, const char *name) {
    *graph = NULL;
    struct csl_graph *g = calloc(1, sizeof *g);
    if (g == NULL) {
        return CSL_ENOMEM;
    }
    g->input = CSL_NO_TENSOR;
    g->output = CSL_NO_TENSOR;
    g->name = copy_name(name);
    if (g->name == NULL) {
        free(g);
        return CSL_ENOMEM;
    }
    *graph = g;
    return CSL_OK;
}

static void clear_node(struct csl_node *node) {
    free(node->name);
    free(node->op_name);
    free(node->inputs);
    free(node->outputs);
}

void csl_graph_free(struct csl_graph *graph) {
    if (graph == NULL) {
        return;
    }
    for (size_t i = 0; i < graph->n_tensors; i++) {
        free(graph->tensors[i].name);
        if (graph->tensors[i].f32 != NULL) { /* the owner's weights */
            csl_wipe(graph->tensors[i].f32, graph->tensors[i].n_elements * sizeof(float));
        }
        free(graph->tensors[i].f32);
        free(graph->tensors[i].i64);
    }
    for (size_t i = 0; i < graph->n_nodes; i++) {
        clear_node(&graph->nodes[i]);
    }
    free(graph->tensors);
    free(graph->nodes);
    free(graph->index);
    free(graph->name);
    free(graph);
}

/* Room for one more element of `size` bytes: doubles the capacity. */
static enum csl_err grow(void **array, size_t n, size_t *cap, size_t size) {
    if (n < *cap) {
        return CSL_OK;
    }
    size_t more = *cap == 0 ? 16 : *cap * 2;
    void *p = reallocarray(*array, more, size);
    if (p == NULL) {
        return CSL_ENOMEM;
    }
    *array = p;
    *cap = more;
    return CSL_OK;
}

/* The FNV-1a hash. */
static uint64_t hash_name(const char *name) {
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name != '\0'; name++) {
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    }
    return h ^ h >> 32;
}

/* The slot that holds the name, or the free one where it belongs. */
static size_t index_slot(const struct csl_graph *graph, const char *name) {
    size_t slot = hash_name(name) & (graph->n_index - 1);
    while (graph->index[slot] != CSL_NO_TENSOR &&
           strcmp(graph->tensors[graph->index[slot]].name, name) != 0) {
        slot = (slot + 1) & (graph->n_index - 1);
    }
    return slot;
}

static enum csl_err grow_index(struct csl_graph *graph) {
    if (graph->n_tensors * 2 < graph->n_index) {
        return CSL_OK;
    }
    size_t n = graph->n_index == 0 ? 64 : graph->n_index * 2;
    uint32_t *index = malloc(n * sizeof *index);
    if (index == NULL) {
        return CSL_ENOMEM;
    }
    memset(index, 0xff, n * sizeof *index);
    free(graph->index);
    graph->index = index;
    graph->n_index = n;
    for (uint32_t i = 0; i < graph->n_tensors; i++) {
        index[index_slot(graph, graph->tensors[i].name)] = i;
    }
    return CSL_OK;
}

static enum csl_err add_tensor(struct csl_graph *graph, uint32_t *tensor, char *name, struct csl_diag *diag) {
    if (graph->n_tensors >= CSL_GRAPH_MAX_TENSORS) {
        return csl_fail(diag, CSL_EDATA, "the network has more than %d tensors", CSL_GRAPH_MAX_TENSORS);
    }
    void *tensors = graph->tensors;
    enum csl_err err = grow(&tensors, graph->n_tensors, &graph->cap_tensors, sizeof *graph->tensors);
    graph->tensors = tensors;
    TRY(err);
    TRY(grow_index(graph));
    *tensor = (uint32_t)graph->n_tensors++;
    graph->tensors[*tensor] = (struct csl_tensor){.name = name, .producer = CSL_NO_NODE};
    size_t slot = hash_name(name) & (graph->n_index - 1);
    while (graph->index[slot] != CSL_NO_TENSOR) {
        slot = (slot + 1) & (graph->n_index - 1);
    }
    graph->index[slot] = *tensor;
    return CSL_OK;
}

enum csl_err csl_graph_tensor(struct csl_graph *graph, uint32_t *tensor, const char *name,
                              struct csl_diag *diag) {
    *tensor = CSL_NO_TENSOR;
    if (strlen(name) > CSL_GRAPH_MAX_NAME) {
        return csl_fail(diag, CSL_EDATA, "a tensor's name is longer than %d bytes: \"%.40s...\"",
                        CSL_GRAPH_MAX_NAME, name);
    }
    char *copy = copy_name(name);
    if (copy == NULL) {
        return CSL_ENOMEM;
    }
    *tensor = csl_graph_find(graph, copy);
    if (*tensor != CSL_NO_TENSOR) {
        free(copy);
        return CSL_OK;
    }
    enum csl_err err = add_tensor(graph, tensor, copy, diag);
    if (err != CSL_OK) {
        free(copy);
    }
    return err;
}

uint32_t csl_graph_find(const struct csl_graph *graph, const char *name) {
    return graph->n_index == 0 ? CSL_NO_TENSOR : graph->index[index_slot(graph, name)];
}

enum csl_err csl_graph_set_shape(struct csl_graph *graph, uint32_t tensor, unsigned rank, const int64_t *dims,
                                 struct csl_diag *diag) {
    struct csl_tensor *t = &graph->tensors[tensor];
    if (rank > CSL_MAX_RANK) {
        return csl_fail(diag, CSL_EDATA, "tensor \"%s\" has %u dimensions; at most %d are possible", t->name,
                        rank, CSL_MAX_RANK);
    }
    for (unsigned i = 0; i < rank; i++) {
        if (dims[i] != CSL_DIM_UNKNOWN && (dims[i] <= 0 || dims[i] > CSL_GRAPH_MAX_DIM)) {
            return csl_fail(diag, CSL_EDATA, "tensor \"%s\": dimension %u is %lld; it must be from 1 to %d",
                            t->name, i, (long long)dims[i], CSL_GRAPH_MAX_DIM);
        }
    }
    t->has_shape = true;
    t->rank = rank;
    memset(t->dims, 0, sizeof t->dims);
    for (unsigned i = 0; i < rank; i++) {
        t->dims[i] = dims[i];
    }
    return CSL_OK;
}

/* The product of a constant's dimensions, which are all stated and bounded. */
static enum csl_err count_elements(const struct csl_tensor *t, size_t *n, bool empty_allowed, unsigned rank,
                                   const int64_t *dims, struct csl_diag *diag) {
    *n = 1;
    for (unsigned i = 0; i < rank; i++) {
        if (dims[i] < 0 || (dims[i] == 0 && !(empty_allowed && rank == 1))) {
            return csl_fail(diag, CSL_EDATA, "constant \"%s\": dimension %u is %lld; it must be at least 1",
                            t->name, i, (long long)dims[i]);
        }
        if (dims[i] != 0 && *n > (size_t)CSL_GRAPH_MAX_ELEMENTS / (uint64_t)dims[i]) {
            return csl_fail(diag, CSL_EDATA, "constant \"%s\": its shape has more than %d elements", t->name,
                            CSL_GRAPH_MAX_ELEMENTS);
        }
        *n *= (size_t)dims[i];
    }
    return CSL_OK;
}

enum csl_err csl_graph_constant(struct csl_graph *graph, uint32_t tensor, enum csl_dtype dtype, unsigned rank,
                                const int64_t *dims, struct csl_diag *diag) {
    struct csl_tensor *t = &graph->tensors[tensor];
    if (t->dtype != CSL_DTYPE_NONE) {
        return csl_fail(diag, CSL_EDATA, "constant \"%s\" is defined twice", t->name);
    }
    if (rank > CSL_MAX_RANK) {
        return csl_fail(diag, CSL_EDATA, "constant \"%s\" has %u dimensions; at most %d are possible",
                        t->name, rank, CSL_MAX_RANK);
    }
    size_t n;
    TRY(count_elements(t, &n, dtype == CSL_DTYPE_I64, rank, dims, diag));
    if (dtype == CSL_DTYPE_F32) {
        t->f32 = calloc(n, sizeof *t->f32);
    } else {
        t->i64 = calloc(n + 1, sizeof *t->i64);
    }
    if (t->f32 == NULL && t->i64 == NULL) {
        return CSL_ENOMEM;
    }
    t->dtype = dtype;
    t->n_elements = n;
    t->has_shape = true;
    t->rank = rank;
    memset(t->dims, 0, sizeof t->dims);
    for (unsigned i = 0; i < rank; i++) {
        t->dims[i] = dims[i];
    }
    return CSL_OK;
}

enum csl_err csl_graph_check_finite(const struct csl_graph *graph, uint32_t tensor, struct csl_diag *diag) {
    const struct csl_tensor *t = &graph->tensors[tensor];
    for (size_t i = 0; t->dtype == CSL_DTYPE_F32 && i < t->n_elements; i++) {
        if (!isfinite(t->f32[i])) {
            return csl_fail(diag, CSL_EDATA,
                            "constant \"%s\": element %zu is %s; train or export the network again", t->name,
                            i, isnan(t->f32[i]) ? "not a number" : "infinite");
        }
    }
    return CSL_OK;
}

static uint32_t *copy_list(const uint32_t *list, unsigned n) {
    uint32_t *copy = calloc((size_t)n + 1, sizeof *copy);
    if (copy != NULL && n != 0) {
        memcpy(copy, list, n * sizeof *copy);
    }
    return copy;
}

enum csl_err csl_graph_node(struct csl_graph *graph, enum csl_op op, const char *name, const char *op_name,
                            const uint32_t *inputs, unsigned n_inputs, const uint32_t *outputs,
                            unsigned n_outputs, const struct csl_attributes *attr, struct csl_diag *diag) {
    if (graph->n_nodes >= CSL_GRAPH_MAX_NODES) {
        return csl_fail(diag, CSL_EDATA, "the network has more than %d nodes", CSL_GRAPH_MAX_NODES);
    }
    void *nodes = graph->nodes;
    enum csl_err err = grow(&nodes, graph->n_nodes, &graph->cap_nodes, sizeof *graph->nodes);
    graph->nodes = nodes;
    TRY(err);
    struct csl_node node = {.op = op,
                            .name = copy_name(name),
                            .op_name = copy_name(op_name),
                            .n_inputs = n_inputs,
                            .n_outputs = n_outputs,
                            .inputs = copy_list(inputs, n_inputs),
                            .outputs = copy_list(outputs, n_outputs),
                            .attr = attr == NULL ? csl_attributes_default() : *attr};
    if (node.name == NULL || node.op_name == NULL || node.inputs == NULL || node.outputs == NULL) {
        clear_node(&node);
        return CSL_ENOMEM;
    }
    graph->nodes[graph->n_nodes++] = node;
    return CSL_OK;
}
