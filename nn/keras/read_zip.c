/* In the child: a .keras archive. Entries are named here, never by the file, and nothing is written to disk.
 */
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "nn/keras/keras_internal.h"

/* Reads the entry whole, which also checks its CRC. NULL: refused. */
static uint8_t *read_entry(struct csl__keras_sink *sink, zip_t *zip, const char *name, size_t most,
                           size_t *n) {
    zip_stat_t st;
    const char *want = "save the model again with model.save(\"model.keras\")";
    if (zip_stat(zip, name, 0, &st) != 0 || (st.valid & ZIP_STAT_SIZE) == 0) {
        (void)csl__keras_refuse(sink, "a zip archive without \"%s\": not a .keras model; %s", name, want);
        return NULL;
    }
    if (st.size > most) {
        (void)csl__keras_refuse(sink, "\"%s\" in the archive unpacks to %llu bytes; at most %zu are read",
                                name, (unsigned long long)st.size, most);
        return NULL;
    }
    uint8_t *bytes = malloc((size_t)st.size + 1);
    zip_file_t *f = zip_fopen(zip, name, 0);
    bool whole = bytes != NULL && f != NULL;
    for (*n = 0; whole && *n <= st.size;) {
        zip_int64_t got = zip_fread(f, bytes + *n, st.size + 1 - *n);
        whole = got >= 0;
        if (got <= 0) {
            break;
        }
        *n += (size_t)got;
    }
    if (f != NULL) {
        (void)zip_fclose(f);
    }
    if (!whole || *n != st.size) {
        (void)csl__keras_refuse(sink, "\"%s\" in the archive cannot be unpacked: damaged or encrypted", name);
        free(bytes);
        return NULL;
    }
    bytes[*n] = 0;
    return bytes;
}

static bool send_archive(struct csl__keras_sink *sink, zip_t *zip, size_t max_entry) {
    size_t n;
    uint8_t *bytes = read_entry(sink, zip, "config.json", CSL_KR_MAX_TEXT, &n);
    bool sent = bytes != NULL && csl__keras_send(sink, CSL_KR_CONFIG, "", bytes, n);
    free(bytes);
    if (!sent) {
        return false;
    }
    if (zip_name_locate(zip, "metadata.json", 0) >= 0) {
        bytes = read_entry(sink, zip, "metadata.json", 1 << 16, &n);
        sent = bytes != NULL && csl__keras_send(sink, CSL_KR_TEXT, "metadata.json", bytes, n);
        free(bytes);
    }
    if (!sent) {
        return false;
    }
    bytes = read_entry(sink, zip, "model.weights.h5", max_entry, &n);
    sent = bytes != NULL && csl__keras_read_h5(sink, bytes, n);
    free(bytes);
    return sent;
}

bool csl__keras_read_zip(struct csl__keras_sink *sink, const uint8_t *bytes, size_t n, size_t max_entry) {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(bytes, n, 0, &error);
    zip_t *zip = source == NULL ? NULL : zip_open_from_source(source, ZIP_RDONLY, &error);
    bool sent = zip != NULL ? send_archive(sink, zip, max_entry)
                            : csl__keras_refuse(sink, "a zip archive that is cut off or damaged (%s)",
                                                zip_error_strerror(&error));
    if (zip != NULL) {
        zip_discard(zip);
    } else if (source != NULL) {
        zip_source_free(source);
    }
    zip_error_fini(&error);
    return sent;
}
