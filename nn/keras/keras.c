/* Files, their kinds, and what happens when the component was left out. */
#include "nn/keras/keras.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/secret.h"
#ifdef CSL_HAVE_KERAS
#include "nn/keras/keras_internal.h"
#endif

bool csl_keras_available(void) {
#ifdef CSL_HAVE_KERAS
    return true;
#else
    return false;
#endif
}

enum csl_keras_kind csl_keras_detect_bytes(const uint8_t *bytes, size_t n) {
    static const uint8_t h5[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    for (size_t at = 0; at < n && n - at >= sizeof h5; at = at == 0 ? 512 : at * 2) {
        if (memcmp(bytes + at, h5, sizeof h5) == 0) {
            return CSL_KERAS_HDF5;
        }
    }
    bool zip = n >= 4 && (memcmp(bytes, "PK\3\4", 4) == 0 || memcmp(bytes, "PK\5\6", 4) == 0);
    return zip ? CSL_KERAS_ZIP : CSL_KERAS_NOT;
}

/* NULL with errno for what cannot be opened; a FIFO does not block, and is found out by the caller. */
static FILE *open_file(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "rb");
    if (f == NULL && fd >= 0) {
        (void)close(fd);
    }
    return f;
}

enum csl_keras_kind csl_keras_detect(const char *path) {
    uint8_t head[4096];
    struct stat st;
    FILE *f = open_file(path);
    if (f == NULL) {
        return CSL_KERAS_NOT;
    }
    size_t n = 0;
    if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode)) {
        n = fread(head, 1, sizeof head, f);
    }
    (void)fclose(f);
    return csl_keras_detect_bytes(head, n);
}

#ifdef CSL_HAVE_KERAS
enum csl_err csl_keras_import(struct csl_graph **graph, struct csl_issues *issues, const uint8_t *bytes,
                              size_t n, struct csl_diag *diag) {
    *graph = NULL;
    enum csl_keras_kind kind = csl_keras_detect_bytes(bytes, n);
    if (kind == CSL_KERAS_NOT) {
        return csl_fail(diag, CSL_EDATA, "not a Keras model: neither an HDF5 file nor a zip archive");
    }
    uint8_t *received;
    size_t n_received;
    TRY(csl__keras_child(&received, &n_received, bytes, n, kind, diag));
    enum csl_err err = csl__keras_build(graph, issues, received, n_received, diag);
    csl_wipe(received, n_received);
    free(received);
    return err;
}
#else
enum csl_err csl_keras_import(struct csl_graph **graph, struct csl_issues *issues, const uint8_t *bytes,
                              size_t n, struct csl_diag *diag) {
    (void)issues, (void)bytes, (void)n;
    *graph = NULL;
    return csl_fail(diag, CSL_EUNAVAILABLE,
                    "Keras models cannot be read by this build; install the packages libhdf5-dev and "
                    "libzip-dev (Fedora: hdf5-devel, libzip-devel) and build again, or convert the model to "
                    "ONNX with tf2onnx");
}
#endif

static enum csl_err read_file(uint8_t **bytes, size_t *n, FILE *f, size_t max_bytes, struct csl_diag *diag) {
    struct stat st;
    if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode)) {
        return csl_fail(diag, CSL_ENOINPUT, "not a regular file");
    }
    if (st.st_size <= 0 || (uintmax_t)st.st_size > max_bytes) {
        return csl_fail(diag, CSL_EDATA, "%s (%lld bytes; the limit is %zu)",
                        st.st_size <= 0 ? "the file is empty" : "the file is too large",
                        (long long)st.st_size, max_bytes);
    }
    *n = (size_t)st.st_size;
    *bytes = malloc(*n);
    if (*bytes == NULL) {
        return CSL_ENOMEM;
    }
    if (fread(*bytes, 1, *n, f) != *n) {
        return csl_fail(diag, CSL_EIO, "cannot read all of it");
    }
    return CSL_OK;
}

enum csl_err csl_keras_import_file(struct csl_graph **graph, struct csl_issues *issues, const char *path,
                                   size_t max_bytes, struct csl_diag *diag) {
    *graph = NULL;
    uint8_t *bytes = NULL;
    size_t n = 0;
    FILE *f = open_file(path);
    if (f == NULL) {
        return csl_fail(diag, CSL_ENOINPUT, "%s: %s", path, strerror(errno));
    }
    enum csl_err err = read_file(&bytes, &n, f, max_bytes, diag);
    (void)fclose(f);
    if (err == CSL_OK) {
        err = csl_keras_import(graph, issues, bytes, n, diag);
    }
    if (err != CSL_OK && err != CSL_ENOMEM) {
        err = csl_fail_context(diag, err, "%s", path);
    }
    if (bytes != NULL) {
        csl_wipe(bytes, n);
    }
    free(bytes);
    return err;
}
