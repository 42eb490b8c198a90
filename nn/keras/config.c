/* Sequential and functional configurations: which layers there are, and what they read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/keras/keras_internal.h"

static bool is_sequential(const json_t *model) {
    return strcmp(csl__keras_text(json_object_get(model, "class_name")), "Sequential") == 0;
}

static bool is_model(const json_t *layer) {
    const char *type = csl__keras_text(json_object_get(layer, "class_name"));
    return strcmp(type, "Sequential") == 0 || strcmp(type, "Functional") == 0 || strcmp(type, "Model") == 0;
}

/* Keras 2.2 had a bare list for sequential models. */
static const json_t *layers_of(const json_t *model) {
    const json_t *config = json_object_get(model, "config");
    return json_is_array(config) ? config : json_object_get(config, "layers");
}

static const char *name_of(const json_t *layer) {
    const char *name = csl__keras_text(json_object_get(json_object_get(layer, "config"), "name"));
    return name[0] != '\0' ? name : csl__keras_text(json_object_get(layer, "name"));
}

/* ---- The input's shape ---- */

static const json_t *shape_in(const json_t *config) {
    static const char *const keys[] = {"batch_shape", "batch_input_shape", "build_input_shape"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *shape = json_object_get(config, keys[i]);
        if (json_is_array(shape)) {
            return json_is_array(json_array_get(shape, 0)) ? json_array_get(shape, 0) : shape;
        }
    }
    return NULL;
}

/* Stated by the input layer, the first layer, or the model itself; NULL: not stated. `input` is the name of
 * the input layer of a functional model. */
static const json_t *find_shape(const json_t *model, const char *input, unsigned depth) {
    const json_t *layers = layers_of(model), *first = NULL;
    for (size_t i = 0; i < json_array_size(layers) && first == NULL; i++) {
        const json_t *layer = json_array_get(layers, i);
        first = input == NULL || strcmp(name_of(layer), input) == 0 ? layer : NULL;
    }
    const json_t *shape = shape_in(json_object_get(first, "config"));
    if (shape == NULL && first != NULL && is_model(first) && is_sequential(first) &&
        depth < CSL_KERAS_MAX_DEPTH) {
        shape = find_shape(first, NULL, depth + 1);
    }
    if (shape == NULL) {
        shape = shape_in(json_object_get(model, "config"));
    }
    const json_t *built = json_object_get(json_object_get(model, "build_config"), "input_shape");
    return shape == NULL && json_is_array(built) ? built : shape;
}

static enum csl_err make_input(struct csl__keras_context *c, const json_t *shape, const char *name) {
    int64_t dims[CSL_MAX_RANK];
    size_t rank = json_array_size(shape);
    if (rank < 2 || rank > CSL_MAX_RANK) {
        return csl_fail(c->diag, CSL_EDATA,
                        "the model does not say the shape of its input; build it with an Input layer, "
                        "keras.Input(shape=(28, 28, 1)), and save it again");
    }
    for (size_t i = 0; i < rank; i++) {
        const json_t *d = json_array_get(shape, i);
        dims[i] = json_is_null(d) ? CSL_DIM_UNKNOWN : json_integer_value(d);
        if (!json_is_null(d) && (!json_is_integer(d) || dims[i] <= 0)) {
            return csl_fail(c->diag, CSL_EDATA, "dimension %zu of the input's shape is not a number from 1",
                            i);
        }
    }
    TRY(csl_graph_tensor(c->graph, &c->graph->input, name, c->diag));
    TRY(csl_graph_set_shape(c->graph, c->graph->input, (unsigned)rank, dims, c->diag));
    return csl__keras_set_rank(c, c->graph->input, (unsigned)rank);
}

/* ---- One layer ---- */

static enum csl_err start_layer(struct csl__keras_layer *l, struct csl__keras_context *c,
                                const struct csl__keras_scope *scope, size_t index) {
    const json_t *entry = json_array_get(scope->layers, index);
    *l = (struct csl__keras_layer){.c = c,
                                   .scope = scope,
                                   .index = index,
                                   .type = csl__keras_text(json_object_get(entry, "class_name")),
                                   .own = name_of(entry),
                                   .config = json_object_get(entry, "config"),
                                   .out = CSL_NO_TENSOR};
    int n = snprintf(l->name, sizeof l->name, "%s%s", scope->prefix, l->own);
    if (l->type[0] == '\0' || l->own[0] == '\0' || strlen(l->type) > 64 || n < 0 || n > 200) {
        return csl_fail(c->diag, CSL_EDATA,
                        "layer %zu of the model has no class or name, or one that is longer than 200 bytes",
                        index + 1);
    }
    if (++c->n_layers > CSL_GRAPH_MAX_NODES) {
        return csl_fail(c->diag, CSL_EDATA, "the model has more than %d layers", CSL_GRAPH_MAX_NODES);
    }
    return CSL_OK;
}

/* The model in the layer's place: its names get the layer's name in front. */
static enum csl_err nested(struct csl__keras_layer *l) {
    char prefix[300], container[1900] = "";
    const struct csl__keras_scope *scope = l->scope;
    const char *group = NULL;
    if (l->n_in != 1) {
        return csl__keras_fail(l, "a model in the model has %u inputs; one is possible", l->n_in);
    }
    snprintf(prefix, sizeof prefix, "%s/", l->out_name);
    if (scope->container != NULL) {
        csl__keras_path(container, sizeof container - 40, l);
        size_t n = strlen(container);
        snprintf(container + n, sizeof container - n, "/%s",
                 strncmp(scope->container, "_layer", 6) == 0 ? "_layer_checkpoint_dependencies" : "layers");
        group = container;
    }
    return csl__keras_model(l->c, json_array_get(scope->layers, l->index), scope, prefix, group,
                            scope->top != NULL ? scope->top : l->own, l->in[0], &l->out);
}

/* One call of a layer: its nodes, and the tensor `out_name` that other layers read. */
static enum csl_err call_layer(struct csl__keras_layer *l, const uint32_t *in, unsigned n_in, unsigned call) {
    uint32_t named;
    l->in = in;
    l->n_in = n_in;
    snprintf(l->out_name, sizeof l->out_name, call == 0 ? "%s" : "%s:%u", l->name, call);
    TRY(csl_graph_tensor(l->c->graph, &named, l->out_name, l->c->diag));
    if (is_model(json_array_get(l->scope->layers, l->index))) {
        uint32_t inner;
        TRY(nested(l));
        inner = l->out;
        l->out = CSL_NO_TENSOR;
        TRY(csl__keras_emit(l, CSL_OP_IDENTITY, "", &inner, 1, NULL, csl__keras_rank(l->c, inner)));
    } else {
        TRY(csl__keras_layer(l));
    }
    /* The last node writes the layer's own tensor. */
    struct csl_node *last = &l->c->graph->nodes[l->c->graph->n_nodes - 1];
    unsigned rank = csl__keras_rank(l->c, l->out);
    last->outputs[0] = named;
    l->out = named;
    return csl__keras_set_rank(l->c, named, rank);
}

/* ---- Sequential ---- */

static enum csl_err sequential(struct csl__keras_context *c, const struct csl__keras_scope *scope,
                               uint32_t *x) {
    for (size_t i = 0; i < json_array_size(scope->layers); i++) {
        struct csl__keras_layer l;
        TRY(start_layer(&l, c, scope, i));
        if (strcmp(l.type, "InputLayer") == 0) {
            continue;
        }
        const uint32_t in = *x;
        TRY(call_layer(&l, &in, 1, 0));
        *x = l.out;
    }
    return CSL_OK;
}

/* ---- Functional ---- */

struct references {
    const json_t *at[CSL_KERAS_MAX_INPUTS]; /* [layer, node, tensor] */
    unsigned n;
    bool too_many;
};

static bool is_reference(const json_t *value) {
    return json_is_string(json_array_get(value, 0)) && json_is_integer(json_array_get(value, 1));
}

/* Collects what a call reads: lists [layer, node, tensor, ...] of Keras 2, tensors with a keras_history of
 * Keras 3, at any depth of lists. */
static void collect(struct references *refs, const json_t *value, unsigned depth) {
    const json_t *history = json_object_get(json_object_get(value, "config"), "keras_history");
    if (json_is_array(history)) {
        value = history;
    }
    if (is_reference(value)) {
        refs->too_many |= refs->n == CSL_KERAS_MAX_INPUTS;
        if (refs->n < CSL_KERAS_MAX_INPUTS) {
            refs->at[refs->n++] = value;
        }
        return;
    }
    const char *key;
    json_t *item;
    size_t i;
    if (depth == 0) {
        return;
    }
    json_array_foreach(value, i, item) {
        collect(refs, item, depth - 1);
    }
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, item) {
            collect(refs, item, depth - 1);
        }
    }
}

static const json_t *find_layer(const struct csl__keras_scope *scope, const char *name) {
    for (size_t i = 0; i < json_array_size(scope->layers); i++) {
        const json_t *layer = json_array_get(scope->layers, i);
        if (strcmp(name_of(layer), name) == 0) {
            return layer;
        }
    }
    return NULL;
}

/* The call that node index `node` means. A model in the model had a node of its own before its first call,
 * except Sequential in Keras 3. */
static int64_t call_of(const struct csl__keras_context *c, const json_t *layer, int64_t node) {
    size_t n = json_array_size(json_object_get(layer, "inbound_nodes"));
    bool own_node = is_model(layer) && !(c->major >= 3 && is_sequential(layer));
    if (own_node || (is_model(layer) && node >= (int64_t)n)) {
        node = node > 0 ? node - 1 : 0;
    }
    return node;
}

/* The tensor of a reference. */
static enum csl_err resolve(struct csl__keras_context *c, const struct csl__keras_scope *scope,
                            uint32_t *tensor, const json_t *ref, const char *reader) {
    const char *name = csl__keras_text(json_array_get(ref, 0));
    const json_t *layer = find_layer(scope, name);
    int64_t call = call_of(c, layer, json_integer_value(json_array_get(ref, 1)));
    char clean[100], full[320];
    snprintf(clean, sizeof clean, "%s", name);
    csl_text_clean(clean);
    if (layer == NULL || call < 0 || call >= CSL_KERAS_MAX_CALLS) {
        return csl_fail(c->diag, CSL_EDATA, "%.120s reads call %lld of layer \"%s\", which the model %s",
                        reader, (long long)call, clean, layer == NULL ? "does not have" : "does not make");
    }
    if (json_integer_value(json_array_get(ref, 2)) != 0) {
        return csl_fail(c->diag, CSL_EDATA, "%.120s reads the second output of layer \"%s\"; one is possible",
                        reader, clean);
    }
    int n =
        snprintf(full, sizeof full, call == 0 ? "%s%s" : "%s%s:%lld", scope->prefix, name, (long long)call);
    if (n < 0 || (size_t)n >= sizeof full) {
        return csl_fail(c->diag, CSL_EDATA, "a layer's name is longer than 200 bytes: \"%s\"", clean);
    }
    return csl_graph_tensor(c->graph, tensor, full, c->diag);
}

static enum csl_err call_functional(struct csl__keras_context *c, const struct csl__keras_scope *scope,
                                    size_t index) {
    struct csl__keras_layer l;
    TRY(start_layer(&l, c, scope, index));
    const json_t *nodes = json_object_get(json_array_get(scope->layers, index), "inbound_nodes");
    size_t n = json_array_size(nodes);
    if (n > CSL_KERAS_MAX_CALLS) {
        return csl__keras_fail(&l, "it is used %zu times; at most %d are possible", n, CSL_KERAS_MAX_CALLS);
    }
    char reader[280];
    snprintf(reader, sizeof reader, "layer \"%s\"", l.name);
    csl_text_clean(reader);
    for (size_t i = 0; i < n; i++) {
        struct references refs = {0};
        uint32_t in[CSL_KERAS_MAX_INPUTS];
        collect(&refs, json_array_get(nodes, i), 8);
        if (refs.too_many) {
            return csl__keras_fail(&l, "it has more than %d inputs", CSL_KERAS_MAX_INPUTS);
        }
        for (unsigned j = 0; j < refs.n; j++) {
            TRY(resolve(c, scope, &in[j], refs.at[j], reader));
        }
        l.out = CSL_NO_TENSOR;
        TRY(call_layer(&l, in, refs.n, (unsigned)i));
    }
    return CSL_OK;
}

/* The one layer that input_layers or output_layers names. */
static enum csl_err one_end(struct csl__keras_context *c, const json_t **ref, const json_t *config,
                            const char *key) {
    struct references refs = {0};
    const char *what = key[0] == 'i' ? "input" : "output";
    collect(&refs, json_object_get(config, key), 4);
    if (refs.n != 1) {
        return csl_fail(c->diag, CSL_EDATA, "the model has %u %ss; one is possible%s", refs.n, what,
                        refs.n == 0 ? " (its configuration is damaged)"
                                    : ": make a keras.Model of one input and one output");
    }
    *ref = refs.at[0];
    return CSL_OK;
}

static enum csl_err functional(struct csl__keras_context *c, const json_t *model,
                               const struct csl__keras_scope *scope, uint32_t input, uint32_t *output) {
    const json_t *config = json_object_get(model, "config"), *in = NULL, *out = NULL;
    TRY(one_end(c, &in, config, "input_layers"));
    TRY(one_end(c, &out, config, "output_layers"));
    const char *first = csl__keras_text(json_array_get(in, 0));
    if (input == CSL_NO_TENSOR) {
        TRY(make_input(c, find_shape(model, first, 0), first));
    }
    for (size_t i = 0; i < json_array_size(scope->layers); i++) {
        const json_t *layer = json_array_get(scope->layers, i);
        if (strcmp(name_of(layer), first) != 0) {
            TRY(call_functional(c, scope, i));
        } else if (input != CSL_NO_TENSOR) { /* an inner model: its input layer passes the outer tensor on */
            struct csl__keras_layer l;
            TRY(start_layer(&l, c, scope, i));
            TRY(call_layer(&l, &input, 1, 0));
        }
    }
    return resolve(c, scope, output, out, "the model's output");
}

enum csl_err csl__keras_model(struct csl__keras_context *c, const json_t *model,
                              const struct csl__keras_scope *parent, const char *prefix,
                              const char *container, const char *top, uint32_t input, uint32_t *output) {
    const struct csl__keras_scope scope = {.parent = parent,
                                           .layers = layers_of(model),
                                           .prefix = prefix,
                                           .container = container,
                                           .top = top,
                                           .depth = parent == NULL ? 0 : parent->depth + 1};
    if (!is_model(model) || !json_is_array(scope.layers)) {
        char type[64];
        snprintf(type, sizeof type, "%s", csl__keras_text(json_object_get(model, "class_name")));
        csl_text_clean(type);
        return csl_fail(
            c->diag, CSL_EDATA,
            "the model is of class \"%s\"; Sequential and functional models can be read: build it "
            "as keras.Model(inputs, outputs) and save it again",
            type);
    }
    if (scope.depth > CSL_KERAS_MAX_DEPTH || json_array_size(scope.layers) > CSL_KERAS_MAX_LAYERS) {
        return csl_fail(c->diag, CSL_EDATA,
                        "the model has models in models more than %d deep, or more than %d layers",
                        CSL_KERAS_MAX_DEPTH, CSL_KERAS_MAX_LAYERS);
    }
    if (!is_sequential(model)) {
        return functional(c, model, &scope, input, output);
    }
    if (input == CSL_NO_TENSOR) {
        TRY(make_input(c, find_shape(model, NULL, 0), "input:0"));
        input = c->graph->input;
    }
    *output = input;
    return sequential(c, &scope, output);
}
