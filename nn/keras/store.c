/* The records that the child sent: checked, sorted, found by name. The child may have been taken over. */
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "nn/keras/keras_internal.h"

static int compare(const void *a, const void *b) {
    const struct csl__keras_entry *x = a, *y = b;
    if (x->type != y->type) {
        return x->type < y->type ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

static enum csl_err broken(struct csl_diag *diag) {
    return csl_fail(diag, CSL_EDATA, "the HDF5 library gave up on this file: it is damaged or hostile");
}

/* The sentence of a child that refused. */
static enum csl_err refused(const struct csl__keras_entry *e, struct csl_diag *diag) {
    char text[401];
    size_t n = e->n < sizeof text - 1 ? e->n : sizeof text - 1;
    memcpy(text, e->data, n);
    text[n] = '\0';
    csl_text_clean(text);
    return text[0] == '\0' ? broken(diag) : csl_fail(diag, CSL_EDATA, "%s", text);
}

/* Takes one record off bytes[*at..n). False: not a record. */
static bool take(struct csl__keras_entry *e, const uint8_t *bytes, size_t n, size_t *at) {
    uint32_t n_name;
    uint64_t n_data;
    if (n - *at < CSL_KR_HEADER) {
        return false;
    }
    const uint8_t *p = bytes + *at;
    e->type = (enum csl__keras_record)p[0];
    memcpy(&n_name, p + 1, sizeof n_name);
    memcpy(&n_data, p + 5, sizeof n_data);
    size_t left = n - *at - CSL_KR_HEADER;
    if (n_name == 0 || n_name > CSL_KR_MAX_NAME || n_name > left || n_data > left - n_name) {
        return false;
    }
    e->name = (const char *)p + CSL_KR_HEADER;
    e->data = p + CSL_KR_HEADER + n_name;
    e->n = (size_t)n_data;
    *at += CSL_KR_HEADER + n_name + e->n;
    return memchr(e->name, 0, n_name) == e->name + n_name - 1;
}

static bool is_sound(const struct csl__keras_entry *e) {
    uint32_t rank;
    switch (e->type) {
    case CSL_KR_CONFIG:
    case CSL_KR_VERSION:
    case CSL_KR_TEXT:
        return e->n <= 2 * (size_t)CSL_KR_MAX_TEXT;
    case CSL_KR_LIST:
        return e->n > 0 && e->data[e->n - 1] == 0;
    case CSL_KR_ARRAY:
        if (e->n < sizeof rank) {
            return false;
        }
        memcpy(&rank, e->data, sizeof rank);
        if (rank > CSL_MAX_RANK || e->n < sizeof rank + rank * sizeof(int64_t)) {
            return false;
        }
        size_t n = 1;
        for (uint32_t i = 0; i < rank; i++) {
            int64_t d;
            memcpy(&d, e->data + sizeof rank + i * sizeof d, sizeof d);
            if (d <= 0 || d > CSL_GRAPH_MAX_DIM || n > (size_t)(CSL_GRAPH_MAX_ELEMENTS / d)) {
                return false;
            }
            n *= (size_t)d;
        }
        return e->n == sizeof rank + rank * sizeof(int64_t) + n * sizeof(float);
    default:
        return false;
    }
}

enum csl_err csl__keras_store_parse(struct csl__keras_store *store, const uint8_t *bytes, size_t n,
                                    struct csl_diag *diag) {
    *store = (struct csl__keras_store){0};
    size_t cap = 0;
    for (size_t at = 0;;) {
        struct csl__keras_entry e;
        if (!take(&e, bytes, n, &at)) {
            return broken(diag);
        }
        if (e.type == CSL_KR_ERROR) {
            return refused(&e, diag);
        }
        if (e.type == CSL_KR_END) {
            break;
        }
        if (!is_sound(&e) || store->n >= CSL_KR_MAX_RECORDS) {
            return broken(diag);
        }
        if (store->n == cap) {
            cap = cap == 0 ? 64 : cap * 2;
            void *more = reallocarray(store->entries, cap, sizeof *store->entries);
            if (more == NULL) {
                return CSL_ENOMEM;
            }
            store->entries = more;
        }
        store->entries[store->n++] = e;
    }
    if (store->n != 0) {
        qsort(store->entries, store->n, sizeof *store->entries, compare);
    }
    return CSL_OK;
}

void csl__keras_store_clear(struct csl__keras_store *store) {
    free(store->entries);
    *store = (struct csl__keras_store){0};
}

const struct csl__keras_entry *csl__keras_find(const struct csl__keras_store *store,
                                               enum csl__keras_record type, const char *name) {
    struct csl__keras_entry key = {.type = type, .name = name};
    return store->n == 0 ? NULL : bsearch(&key, store->entries, store->n, sizeof *store->entries, compare);
}

bool csl__keras_array(struct csl__keras_array *array, const struct csl__keras_store *store,
                      const char *name) {
    const struct csl__keras_entry *e = csl__keras_find(store, CSL_KR_ARRAY, name);
    if (e == NULL) {
        return false;
    }
    uint32_t rank;
    memcpy(&rank, e->data, sizeof rank);
    size_t head = sizeof rank + rank * sizeof(int64_t);
    *array = (struct csl__keras_array){
        .name = e->name, .rank = rank, .n = (e->n - head) / sizeof(float), .data = e->data + head};
    memcpy(array->dims, e->data + sizeof rank, rank * sizeof(int64_t));
    return true;
}

float csl__keras_at(const struct csl__keras_array *array, size_t i) {
    float value;
    memcpy(&value, array->data + i * sizeof value, sizeof value);
    return value;
}
