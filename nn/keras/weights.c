/* Where a layer's weights stand in files of the different versions. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "nn/keras/keras_internal.h"

/* keras/src/utils/naming.py, to_snake_case: an underscore before a capital that begins a word. */
void csl__keras_snake(char *out, size_t size, const char *type) {
    size_t used = 0;
    for (const char *p = type; *p != '\0' && used + 3 < size; p++) {
        unsigned char c = (unsigned char)*p, next = (unsigned char)p[1];
        unsigned char last = p == type ? 0 : (unsigned char)p[-1];
        bool word = isupper(c) && p != type && (islower(next) || islower(last));
        if (word) {
            out[used++] = '_';
        }
        if (isalnum(c) || c == '_') {
            out[used++] = (char)tolower(c);
        }
    }
    out[used] = '\0';
}

/* ---- Keras 3: <container>/<class>_<number>/vars/<index> ---- */

/* How many layers of this one's class stand before it. */
static size_t count_before(const struct csl__keras_layer *l) {
    size_t n = 0;
    for (size_t i = 0; i < l->index; i++) {
        const json_t *other = json_array_get(l->scope->layers, i);
        n += strcmp(csl__keras_text(json_object_get(other, "class_name")), l->type) == 0;
    }
    return n;
}

static void numbered(char *out, size_t size, const char *container, const char *snake, size_t k) {
    if (k == 0) {
        snprintf(out, size, "%s/%s", container, snake);
    } else {
        snprintf(out, size, "%s/%s_%zu", container, snake, k);
    }
}

/* Newer files say the layer's name in an attribute of the group "vars". */
static bool find_by_name(char *out, size_t size, const struct csl__keras_layer *l) {
    static const char tail[] = "/vars@name";
    const struct csl__keras_store *store = l->c->store;
    size_t n = strlen(l->scope->container), n_own = strlen(l->own);
    for (size_t i = 0; i < store->n; i++) {
        const struct csl__keras_entry *e = &store->entries[i];
        if (e->type != CSL_KR_TEXT || e->n != n_own || memcmp(e->data, l->own, n_own) != 0 ||
            strncmp(e->name, l->scope->container, n) != 0 || e->name[n] != '/') {
            continue;
        }
        const char *group = e->name + n + 1, *end = strchr(group, '/');
        if (end != NULL && strcmp(end, tail) == 0 && (size_t)(end - e->name) < size) {
            snprintf(out, size, "%.*s", (int)(end - e->name), e->name);
            return true;
        }
    }
    return false;
}

void csl__keras_path(char *out, size_t size, const struct csl__keras_layer *l) {
    char snake[128];
    if (find_by_name(out, size, l)) {
        return;
    }
    csl__keras_snake(snake, sizeof snake, l->type);
    numbered(out, size, l->scope->container, snake, count_before(l));
}

/* The group of a layer with weights: the k-th layer of a class has the k-th group of that class. Some
 * versions leave out numbers. */
static void find_group(char *out, size_t size, const struct csl__keras_layer *l) {
    char snake[128], first[CSL_KR_MAX_NAME];
    struct csl__keras_array array;
    if (find_by_name(out, size, l)) {
        return;
    }
    csl__keras_snake(snake, sizeof snake, l->type);
    size_t k = count_before(l), most = 2 * json_array_size(l->scope->layers) + 1;
    for (size_t number = 0, seen = 0; number < most; number++) {
        numbered(out, size, l->scope->container, snake, number);
        snprintf(first, sizeof first, "%.1900s/vars/0", out);
        if (csl__keras_array(&array, l->c->store, first) && seen++ == k) {
            return;
        }
    }
    numbered(out, size, l->scope->container, snake, k);
}

static bool find_numbered(const struct csl__keras_layer *l, struct csl__keras_array *array, const char *group,
                          size_t index) {
    char path[CSL_KR_MAX_NAME];
    snprintf(path, sizeof path, "%.1900s/vars/%zu", group, index);
    return csl__keras_array(array, l->c->store, path);
}

/* ---- Keras 2 and .h5 of Keras 3: <layer>@weight_names lists the paths below <layer> ---- */

/* Whether the path's last part is the role: "dense_1/kernel:0" is "kernel". */
static bool has_role(const char *path, const char *role) {
    const char *last = strrchr(path, '/');
    last = last == NULL ? path : last + 1;
    size_t n = strcspn(last, ":");
    return strlen(role) == n && memcmp(last, role, n) == 0;
}

/* In the group of a model in the model: the layer's name is a part of the path before the last. */
static bool is_of_layer(const char *path, const char *layer) {
    size_t n = strlen(layer);
    for (const char *p = path; (p = strstr(p, layer)) != NULL; p++) {
        if ((p == path || p[-1] == '/') && p[n] == '/') {
            return true;
        }
    }
    return false;
}

/* The path of a role: by name, or (an odd name) by its place among the layer's `n_roles` weights. */
static const char *find_listed(const struct csl__keras_layer *l, const struct csl__keras_entry *list,
                               const char *role, size_t index, size_t n_roles) {
    const char *by_place = NULL;
    size_t place = 0;
    for (size_t at = 0; at < list->n; at += strlen((const char *)list->data + at) + 1) {
        const char *path = (const char *)list->data + at;
        if (l->scope->top != NULL && !is_of_layer(path, l->own)) {
            continue;
        }
        if (has_role(path, role)) {
            return path;
        }
        if (place++ == index) {
            by_place = path;
        }
    }
    return place == n_roles ? by_place : NULL;
}

static bool find_in_group(const struct csl__keras_layer *l, struct csl__keras_array *array, const char *role,
                          size_t index, size_t n_roles) {
    char path[CSL_KR_MAX_NAME];
    const char *group = l->scope->top != NULL ? l->scope->top : l->own;
    int n = snprintf(path, sizeof path, "%s@weight_names", group);
    const struct csl__keras_entry *list =
        n < 0 || (size_t)n >= sizeof path ? NULL : csl__keras_find(l->c->store, CSL_KR_LIST, path);
    const char *name = list == NULL ? NULL : find_listed(l, list, role, index, n_roles);
    if (name == NULL) {
        return false;
    }
    n = snprintf(path, sizeof path, "%s/%s", group, name);
    return n >= 0 && (size_t)n < sizeof path && csl__keras_array(array, l->c->store, path);
}

enum csl_err csl__keras_weights(const struct csl__keras_layer *l, struct csl__keras_array *arrays,
                                const char *const *roles, size_t n_roles) {
    char group[1800] = "";
    if (l->scope->container != NULL) {
        find_group(group, sizeof group, l);
    }
    for (size_t i = 0; i < n_roles; i++) {
        bool found = l->scope->container != NULL ? find_numbered(l, &arrays[i], group, i)
                                                 : find_in_group(l, &arrays[i], roles[i], i, n_roles);
        if (!found) {
            return csl__keras_fail(
                l,
                "its weights \"%s\" are missing from the file (or not of float type); save "
                "the model again after it was built and trained",
                roles[i]);
        }
    }
    return CSL_OK;
}

enum csl_err csl__keras_expect(const struct csl__keras_layer *l, const struct csl__keras_array *array,
                               const char *role, unsigned rank, const int64_t *dims) {
    bool same = array->rank == rank;
    for (unsigned i = 0; i < rank && same; i++) {
        same = dims[i] == -1 || dims[i] == array->dims[i];
    }
    if (same) {
        return CSL_OK;
    }
    char have[128] = "", want[128] = "";
    for (unsigned i = 0; i < array->rank; i++) {
        size_t n = strlen(have);
        snprintf(have + n, sizeof have - n, "%s%lld", i == 0 ? "" : " x ", (long long)array->dims[i]);
    }
    for (unsigned i = 0; i < rank; i++) {
        size_t n = strlen(want);
        if (dims[i] == -1) {
            snprintf(want + n, sizeof want - n, "%sany", i == 0 ? "" : " x ");
        } else {
            snprintf(want + n, sizeof want - n, "%s%lld", i == 0 ? "" : " x ", (long long)dims[i]);
        }
    }
    return csl__keras_fail(l, "its weights \"%s\" are %s, but its configuration says %s", role,
                           have[0] == '\0' ? "a single number" : have, want);
}

enum csl_err csl__keras_copy(struct csl__keras_layer *l, uint32_t *tensor,
                             const struct csl__keras_array *array, const char *role) {
    bool fresh;
    TRY(csl__keras_constant(l, tensor, &fresh, role, CSL_DTYPE_F32, array->rank, array->dims));
    float *to = l->c->graph->tensors[*tensor].f32;
    for (size_t i = 0; fresh && i < array->n; i++) {
        to[i] = csl__keras_at(array, i);
    }
    return CSL_OK;
}
