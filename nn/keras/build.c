/* Received records to a finished graph: the whole of the import behind the pipe. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/keras/keras_internal.h"

static const char save_hint[] =
    "save the whole model with model.save(\"model.keras\") or model.save(\"model.h5\")";

/* The names of the layers in a file of weights, for its owner to recognise it. */
static void list_layers(char *out, size_t size, const struct csl__keras_store *store) {
    const struct csl__keras_entry *e = csl__keras_find(store, CSL_KR_LIST, "@layer_names");
    size_t used = 0;
    out[0] = '\0';
    for (size_t at = 0; e != NULL && at < e->n;) {
        const char *name = (const char *)e->data + at;
        int n = snprintf(out + used, size - used, "%s%.40s", used == 0 ? " of the layers " : ", ", name);
        if (n < 0 || (size_t)n >= size - used) {
            snprintf(out + used, size - used, ", ...");
            break;
        }
        used += (size_t)n;
        at += strlen(name) + 1;
    }
    csl_text_clean(out);
}

static enum csl_err no_config(const struct csl__keras_store *store, struct csl_diag *diag) {
    bool weights = csl__keras_find(store, CSL_KR_LIST, "@layer_names") != NULL;
    for (size_t i = 0; i < store->n && !weights; i++) {
        weights = store->entries[i].type == CSL_KR_ARRAY;
    }
    if (!weights) {
        return csl_fail(diag, CSL_EDATA, "an HDF5 file, but not a Keras model: it has no model_config; %s",
                        save_hint);
    }
    char layers[160];
    list_layers(layers, sizeof layers - 8, store);
    return csl_fail(diag, CSL_EDATA,
                    "the file holds weights only%s: what the layers are and how they are connected is not in "
                    "it; build the model in Keras, load these weights into it (model.load_weights) and %s",
                    layers, save_hint);
}

static enum csl_err parse_json(json_t **json, const struct csl__keras_entry *e, const char *what,
                               struct csl_diag *diag) {
    json_error_t error;
    *json = json_loadb((const char *)e->data, e->n, 0, &error);
    if (*json == NULL || !json_is_object(*json)) {
        json_decref(*json);
        *json = NULL;
        csl_text_clean(error.text);
        return csl_fail(diag, CSL_EDATA, "the %s is not JSON (%.100s): the file is damaged; %s", what,
                        error.text, save_hint);
    }
    return CSL_OK;
}

/* The major version, from the attributes of HDF5 files or from metadata.json. Unknown: 2. */
static enum csl_err read_version(struct csl__keras_context *c) {
    const struct csl__keras_entry *e = csl__keras_find(c->store, CSL_KR_VERSION, "");
    const struct csl__keras_entry *meta = csl__keras_find(c->store, CSL_KR_TEXT, "metadata.json");
    e = e != NULL ? e : csl__keras_find(c->store, CSL_KR_VERSION, "weights");
    c->major = e != NULL && e->n > 0 && e->data[0] >= '0' && e->data[0] <= '9' ? e->data[0] - '0' : 2;
    if (meta != NULL) {
        json_t *json;
        TRY(parse_json(&json, meta, "file's metadata.json", c->diag));
        const char *version = csl__keras_text(json_object_get(json, "keras_version"));
        c->major = version[0] >= '0' && version[0] <= '9' ? version[0] - '0' : 3;
        json_decref(json);
    }
    if (c->major < 2) {
        return csl_fail(c->diag, CSL_EDATA,
                        "the file was written by Keras %d; load it with Keras 2.2 or later and save it again",
                        c->major);
    }
    return CSL_OK;
}

/* Where the archive's weights stand; NULL for files with a group for each layer name. */
static const char *find_container(const struct csl__keras_store *store) {
    static const char *const names[] = {"layers", "_layer_checkpoint_dependencies"};
    if (csl__keras_find(store, CSL_KR_LIST, "@layer_names") != NULL) {
        return NULL;
    }
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        size_t n = strlen(names[k]);
        for (size_t i = 0; i < store->n; i++) {
            const struct csl__keras_entry *e = &store->entries[i];
            if (e->type == CSL_KR_ARRAY && strncmp(e->name, names[k], n) == 0 && e->name[n] == '/') {
                return names[k];
            }
        }
    }
    return csl__keras_find(store, CSL_KR_TEXT, "metadata.json") != NULL ? names[0] : NULL;
}

static enum csl_err build(struct csl__keras_context *c, const json_t *model) {
    TRY(read_version(c));
    uint32_t output;
    TRY(csl__keras_model(c, model, NULL, "", find_container(c->store), NULL, CSL_NO_TENSOR, &output));
    c->graph->output = output;
    for (uint32_t i = 0; i < c->graph->n_tensors; i++) {
        TRY(csl_graph_check_finite(c->graph, i, c->diag));
    }
    return csl_graph_finish(c->graph, c->diag);
}

static enum csl_err build_graph(struct csl_graph **graph, struct csl_issues *issues,
                                const struct csl__keras_store *store, struct csl_diag *diag) {
    struct csl__keras_context c = {.issues = issues, .store = store, .diag = diag};
    const struct csl__keras_entry *config = csl__keras_find(store, CSL_KR_CONFIG, "");
    if (config == NULL) {
        return no_config(store, diag);
    }
    json_t *model;
    TRY(parse_json(&model, config, "model's configuration", diag));
    const char *name = csl__keras_text(json_object_get(json_object_get(model, "config"), "name"));
    enum csl_err err = csl_graph_new(&c.graph, strlen(name) <= CSL_GRAPH_MAX_NAME ? name : "");
    if (err == CSL_OK) {
        err = build(&c, model);
    }
    if (err == CSL_OK) {
        *graph = c.graph;
    } else {
        csl_graph_free(c.graph);
    }
    free(c.rank);
    json_decref(model);
    return err;
}

enum csl_err csl__keras_build(struct csl_graph **graph, struct csl_issues *issues, const uint8_t *bytes,
                              size_t n, struct csl_diag *diag) {
    *graph = NULL;
    struct csl__keras_store store;
    enum csl_err err = csl__keras_store_parse(&store, bytes, n, diag);
    if (err == CSL_OK) {
        err = build_graph(graph, issues, &store, diag);
    }
    csl__keras_store_clear(&store);
    return err;
}

/* ---- Values of the configuration ---- */

const char *csl__keras_text(const json_t *value) {
    const char *text = json_string_value(value);
    return text == NULL ? "" : text;
}

bool csl__keras_number(double *out, const json_t *value) {
    if (json_is_object(value)) { /* {"type": "ndarray", "value": 6.0} and the like */
        value = json_object_get(value, "value");
    }
    if (json_is_array(value) && json_array_size(value) == 1) {
        value = json_array_get(value, 0);
    }
    if (!json_is_number(value)) {
        return false;
    }
    *out = json_number_value(value);
    return true;
}

enum csl_err csl__keras_fail(const struct csl__keras_layer *l, const char *fmt, ...) {
    char text[320];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    char name[100], type[40];
    snprintf(name, sizeof name, "%.99s", l->name);
    snprintf(type, sizeof type, "%.39s", l->type);
    csl_text_clean(name);
    csl_text_clean(type);
    csl_text_clean(text);
    return csl_fail(l->c->diag, CSL_EDATA, "layer \"%s\" (%s): %s", name, type, text);
}

enum csl_err csl__keras_get_number(const struct csl__keras_layer *l, double *out, const char *key,
                                   double absent) {
    const json_t *value = json_object_get(l->config, key);
    *out = absent;
    if (value == NULL || json_is_null(value) || csl__keras_number(out, value)) {
        return CSL_OK;
    }
    return csl__keras_fail(l, "\"%s\" in its configuration is not a number", key);
}

enum csl_err csl__keras_get_pair(const struct csl__keras_layer *l, int64_t pair[2], bool *found,
                                 const char *key, int64_t lo) {
    const json_t *value = json_object_get(l->config, key);
    *found = value != NULL && !json_is_null(value);
    if (!*found) {
        return CSL_OK;
    }
    bool list = json_is_array(value);
    for (size_t i = 0; i < 2; i++) {
        const json_t *v = list ? json_array_get(value, json_array_size(value) == 1 ? 0 : i) : value;
        pair[i] = json_integer_value(v);
        if (!json_is_integer(v) || pair[i] < lo || pair[i] > CSL_GRAPH_MAX_DIM ||
            (list && json_array_size(value) > 2)) {
            return csl__keras_fail(l, "\"%s\" in its configuration is not one or two whole numbers from %lld",
                                   key, (long long)lo);
        }
    }
    return CSL_OK;
}

bool csl__keras_get_bool(const struct csl__keras_layer *l, const char *key, bool absent) {
    const json_t *value = json_object_get(l->config, key);
    return value == NULL || json_is_null(value) ? absent : json_is_true(value);
}

bool csl__keras_channels_last(const struct csl__keras_layer *l) {
    return strcmp(csl__keras_text(json_object_get(l->config, "data_format")), "channels_first") != 0;
}
