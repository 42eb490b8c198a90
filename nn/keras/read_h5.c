/* In the child: walks an HDF5 image and sends configuration, names and float arrays.
 *
 * Hard links only; no file, plugin or external storage can be opened (csl__keras_confine). */
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/keras/keras_internal.h"

enum { MAX_DEPTH = 24, MAX_ITEMS = 1 << 16 };

/* ---- The image: HDF5's callbacks hand out the caller's bytes instead of copies ---- */

struct image {
    const uint8_t *bytes;
    size_t n;
};

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *data) {
    const struct image *image = data;
    (void)op;
    return size == image->n ? (void *)(uintptr_t)image->bytes : NULL;
}

static void *image_copy(void *dest, const void *src, size_t size, H5FD_file_image_op_t op, void *data) {
    (void)src, (void)size, (void)op, (void)data;
    return dest; /* they are the same bytes */
}

static void *image_realloc(void *ptr, size_t size, H5FD_file_image_op_t op, void *data) {
    (void)ptr, (void)size, (void)op, (void)data;
    return NULL; /* nothing is written */
}

static herr_t image_free(void *ptr, H5FD_file_image_op_t op, void *data) {
    (void)ptr, (void)op, (void)data;
    return 0;
}

static void *data_copy(void *data) {
    return data;
}

static herr_t data_free(void *data) {
    (void)data;
    return 0;
}

static hid_t open_image(struct image *image) {
    H5FD_file_image_callbacks_t callbacks = {image_malloc, image_copy, image_realloc, image_free,
                                             data_copy,    data_free,  image};
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    hid_t file = -1;
    if (access >= 0 && H5Pset_fapl_core(access, 1 << 16, 0) >= 0 &&
        H5Pset_file_image_callbacks(access, &callbacks) >= 0 &&
        H5Pset_file_image(access, (void *)(uintptr_t)image->bytes, image->n) >= 0) {
        file = H5Fopen("image", H5F_ACC_RDONLY, access);
    }
    if (access >= 0) {
        (void)H5Pclose(access);
    }
    return file;
}

/* ---- Attributes ---- */

/* The texts of a string attribute, each with its NUL, as it is stored: fixed or variable length. NULL where
 * there is none that can be read. */
static char *read_texts(hid_t object, const char *name, size_t *n, size_t *n_texts) {
    char *out = NULL, *raw = NULL;
    hid_t attr = H5Aexists(object, name) > 0 ? H5Aopen(object, name, H5P_DEFAULT) : -1;
    hid_t type = attr < 0 ? -1 : H5Aget_type(attr);
    hid_t space = attr < 0 ? -1 : H5Aget_space(attr);
    hssize_t count = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    bool variable = type >= 0 && H5Tis_variable_str(type) > 0;
    size_t size = type < 0 ? 0 : H5Tget_size(type);
    *n = 0;
    if (count <= 0 || count > MAX_ITEMS || H5Tget_class(type) != H5T_STRING || size == 0 ||
        size > CSL_KR_MAX_TEXT || size * (size_t)count > 2 * (size_t)CSL_KR_MAX_TEXT) {
        goto out;
    }
    raw = calloc((size_t)count, size);
    if (raw == NULL || H5Aread(attr, type, raw) < 0) {
        goto out;
    }
    size_t cap = 0;
    for (hssize_t pass = 0; pass < 2; pass++) { /* measures, then copies */
        *n = 0;
        for (size_t i = 0; i < (size_t)count; i++) {
            const char *text = variable ? ((char **)(void *)raw)[i] : raw + i * size;
            size_t length = text == NULL ? 0 : variable ? strlen(text) : strnlen(text, size);
            if (pass == 1) {
                memcpy(out + *n, text == NULL ? "" : text, length);
                out[*n + length] = '\0';
            }
            *n += length + 1;
        }
        cap = *n;
        if (pass == 0 && (cap > 2 * (size_t)CSL_KR_MAX_TEXT || (out = malloc(cap)) == NULL)) {
            break;
        }
    }
    *n_texts = (size_t)count;
out:
    free(raw);
    if (space >= 0) {
        (void)H5Sclose(space);
    }
    if (type >= 0) {
        (void)H5Tclose(type);
    }
    if (attr >= 0) {
        (void)H5Aclose(attr);
    }
    return out;
}

static bool attribute_name(char *out, size_t size, const char *path, const char *name) {
    int n = snprintf(out, size, "%s@%s", path, name);
    return n > 0 && (size_t)n < size;
}

/* One text under `type` and `as`, when it is there. */
static bool send_text(struct csl__keras_sink *sink, hid_t object, const char *name,
                      enum csl__keras_record type, const char *as) {
    size_t n, n_texts;
    char *text = read_texts(object, name, &n, &n_texts);
    bool sent = text == NULL || n_texts != 1 || csl__keras_send(sink, type, as, text, n - 1);
    free(text);
    return sent;
}

/* A list of texts. Long ones are in parts: weight_names0, weight_names1, ... */
static bool send_list(struct csl__keras_sink *sink, hid_t object, const char *path, const char *name) {
    char part[64], as[CSL_KR_MAX_NAME];
    char *all = NULL;
    size_t n_all = 0, n = 0, n_texts;
    if (!attribute_name(as, sizeof as, path, name)) {
        return csl__keras_refuse(sink, "a name in the file is longer than %d bytes", CSL_KR_MAX_NAME);
    }
    bool in_parts = H5Aexists(object, name) <= 0;
    for (int i = 0; i < MAX_ITEMS; i++) {
        snprintf(part, sizeof part, in_parts ? "%s%d" : "%s", name, i);
        char *texts = read_texts(object, part, &n, &n_texts);
        char *more = texts == NULL || n_all + n > CSL_KR_MAX_TEXT ? NULL : realloc(all, n_all + n);
        if (more != NULL) {
            memcpy(more + n_all, texts, n);
            all = more;
            n_all += n;
        }
        free(texts);
        if (more == NULL || !in_parts) {
            break;
        }
    }
    bool sent = all == NULL || csl__keras_send(sink, CSL_KR_LIST, as, all, n_all);
    free(all);
    return sent;
}

/* ---- Arrays ---- */

/* Virtual datasets and external files are not followed; what was never written would read as zeros. */
static bool is_stored_here(hid_t set) {
    H5D_space_status_t status = H5D_SPACE_STATUS_NOT_ALLOCATED;
    hid_t created = H5Dget_create_plist(set);
    bool here = false;
    if (created >= 0) {
        H5D_layout_t layout = H5Pget_layout(created);
        here = (layout == H5D_COMPACT || layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED) &&
               H5Pget_external_count(created) == 0 && H5Dget_space_status(set, &status) >= 0 &&
               status != H5D_SPACE_STATUS_NOT_ALLOCATED;
        (void)H5Pclose(created);
    }
    return here;
}

/* Rank and dimensions; false where it is no array of floats that we take. */
static bool describe(hid_t set, uint32_t *rank, hsize_t dims[CSL_MAX_RANK], size_t *n) {
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    bool fits = type >= 0 && space >= 0 && H5Tget_class(type) == H5T_FLOAT && H5Tget_size(type) <= 8 &&
                H5Sget_simple_extent_ndims(space) >= 0 && H5Sget_simple_extent_ndims(space) <= CSL_MAX_RANK;
    if (fits) {
        int r = H5Sget_simple_extent_dims(space, dims, NULL);
        fits = r >= 0;
        *rank = fits ? (uint32_t)r : 0;
        *n = 1;
        for (uint32_t i = 0; fits && i < *rank; i++) {
            fits = dims[i] > 0 && dims[i] <= CSL_GRAPH_MAX_DIM && *n <= CSL_GRAPH_MAX_ELEMENTS / dims[i];
            *n *= fits ? (size_t)dims[i] : 0;
        }
    }
    if (space >= 0) {
        (void)H5Sclose(space);
    }
    if (type >= 0) {
        (void)H5Tclose(type);
    }
    return fits;
}

static bool send_array(struct csl__keras_sink *sink, hid_t set, const char *path) {
    uint32_t rank = 0;
    hsize_t dims[CSL_MAX_RANK] = {0};
    size_t n = 0;
    if (!describe(set, &rank, dims, &n)) {
        return true; /* counters of seeds and the like; if a layer wants it, it is missing there */
    }
    if (!is_stored_here(set)) {
        return csl__keras_refuse(sink, "the weights \"%.200s\" hold no data in this file", path);
    }
    size_t head = sizeof rank + rank * sizeof(int64_t), size = head + n * sizeof(float);
    if (size > sink->left) {
        return csl__keras_refuse(sink, "the file unpacks to far more than its size; save it again without "
                                       "compression");
    }
    uint8_t *payload = malloc(size);
    float *values = payload == NULL ? NULL : malloc(n * sizeof(float));
    bool sent = false;
    if (values == NULL) {
        (void)csl__keras_refuse(sink, "not enough memory for the weights \"%.200s\"", path);
    } else if (H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
        (void)csl__keras_refuse(sink, "the weights \"%.200s\" cannot be read: the file is damaged", path);
    } else {
        memcpy(payload, &rank, sizeof rank);
        for (uint32_t i = 0; i < rank; i++) {
            int64_t d = (int64_t)dims[i];
            memcpy(payload + sizeof rank + i * sizeof d, &d, sizeof d);
        }
        memcpy(payload + head, values, n * sizeof(float));
        sent = csl__keras_send(sink, CSL_KR_ARRAY, path, payload, size);
    }
    free(values);
    free(payload);
    return sent;
}

/* ---- Groups ---- */

struct walk {
    struct csl__keras_sink *sink;
    char path[CSL_KR_MAX_NAME];
    unsigned depth;
    size_t n_objects;
    bool skip_optimizer; /* it stands beside the layers in Keras 3 */
    bool failed;
};

static bool walk_group(struct walk *w, hid_t group);

static bool walk_object(struct walk *w, hid_t object) {
    if (++w->n_objects > CSL_KR_MAX_RECORDS) {
        return csl__keras_refuse(w->sink, "the file has more than %d parts", CSL_KR_MAX_RECORDS);
    }
    switch (H5Iget_type(object)) {
    case H5I_GROUP:
        if (w->depth >= MAX_DEPTH) {
            return csl__keras_refuse(w->sink, "the groups of the file are nested more than %d deep",
                                     MAX_DEPTH);
        }
        return walk_group(w, object);
    case H5I_DATASET:
        return send_array(w->sink, object, w->path);
    default:
        return true;
    }
}

static herr_t visit_link(hid_t group, const char *name, const H5L_info_t *info, void *data) {
    struct walk *w = data;
    size_t at = strlen(w->path);
    bool optimizer = w->skip_optimizer && w->depth == 1 && strncmp(name, "optimizer", 9) == 0;
    if (info->type != H5L_TYPE_HARD || optimizer) {
        return 0;
    }
    int n = snprintf(w->path + at, sizeof w->path - at, "%s%s", at == 0 ? "" : "/", name);
    if (n < 0 || (size_t)n >= sizeof w->path - at) {
        w->failed = true;
        (void)csl__keras_refuse(w->sink, "a name in the file is longer than %d bytes", CSL_KR_MAX_NAME);
        return -1;
    }
    for (char *p = w->path + at; *p != '\0'; p++) { /* archives written on Windows */
        *p = *p == '\\' ? '/' : *p;
    }
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0) {
        w->failed = true;
        (void)csl__keras_refuse(w->sink, "the part \"%.200s\" cannot be opened: the file is damaged",
                                w->path);
        return -1;
    }
    w->failed = !walk_object(w, object);
    (void)H5Oclose(object);
    w->path[at] = '\0';
    return w->failed ? -1 : 0;
}

static bool walk_group(struct walk *w, hid_t group) {
    char as[CSL_KR_MAX_NAME];
    if (!attribute_name(as, sizeof as, w->path, "name")) {
        return csl__keras_refuse(w->sink, "a name in the file is longer than %d bytes", CSL_KR_MAX_NAME);
    }
    if (!send_list(w->sink, group, w->path, "weight_names") ||
        !send_text(w->sink, group, "name", CSL_KR_TEXT, as)) {
        return false;
    }
    w->depth++;
    herr_t done = H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, visit_link, w);
    w->depth--;
    if (done < 0 && !w->failed) {
        w->failed = true;
        return csl__keras_refuse(w->sink, "the group \"%.200s\" cannot be read: the file is damaged",
                                 w->path);
    }
    return !w->failed;
}

static bool send_file(struct csl__keras_sink *sink, hid_t file) {
    struct walk *w = calloc(1, sizeof *w);
    bool whole = H5Lexists(file, "model_weights", H5P_DEFAULT) > 0;
    hid_t weights = whole ? H5Oopen(file, "model_weights", H5P_DEFAULT) : H5Gopen2(file, "/", H5P_DEFAULT);
    bool sent = false;
    if (w == NULL) {
        (void)csl__keras_refuse(sink, "not enough memory");
    } else if (weights < 0 || H5Iget_type(weights) != H5I_GROUP) {
        (void)csl__keras_refuse(sink, "the group model_weights cannot be opened: the file is damaged");
    } else {
        w->sink = sink;
        w->skip_optimizer = !whole;
        sent = send_text(sink, file, "model_config", CSL_KR_CONFIG, "") &&
               send_text(sink, file, "keras_version", CSL_KR_VERSION, "") &&
               send_text(sink, weights, "keras_version", CSL_KR_VERSION, "weights") &&
               send_list(sink, weights, "", "layer_names") && walk_group(w, weights);
    }
    if (weights >= 0) {
        (void)H5Oclose(weights);
    }
    free(w);
    return sent;
}

bool csl__keras_read_h5(struct csl__keras_sink *sink, const uint8_t *bytes, size_t n) {
    struct image image = {bytes, n};
    if (H5dont_atexit() < 0 || H5open() < 0 || H5Eset_auto2(H5E_DEFAULT, NULL, NULL) < 0 ||
        H5PLset_loading_state(0) < 0) {
        return csl__keras_refuse(sink, "the HDF5 library does not start");
    }
    hid_t file = open_image(&image);
    if (file < 0) {
        return csl__keras_refuse(sink, "not an HDF5 file, or cut off or damaged");
    }
    return send_file(sink, file); /* the process ends here: nothing is closed on a damaged file */
}
