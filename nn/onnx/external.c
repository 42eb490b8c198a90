/* External data: tensors whose bytes stand in another file. The model's file is not trusted with our file
 * system: only regular files in its own folder or below are opened, name by name, through no symbolic link.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/onnx/onnx_internal.h"

enum { MAX_LOCATION = 4096 };

struct place {
    const char *location;
    uint64_t offset, length;
    bool has_length;
};

/* Digits only. */
static bool read_number(uint64_t *n, const char *s) {
    *n = 0;
    if (*s == '\0') {
        return false;
    }
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9' || *n > (UINT64_MAX >> 1) / 10 - 1) {
            return false;
        }
        *n = *n * 10 + (uint64_t)(*s - '0');
    }
    return true;
}

/* The keys of onnx.proto; "checksum" and what else there may be are of no consequence. */
static enum csl_err read_place(struct place *p, const Csl__Onnx__Tensor *proto, const char *name,
                               struct csl_diag *diag) {
    *p = (struct place){0};
    for (size_t i = 0; i < proto->n_external_data; i++) {
        const char *key = csl__onnx_text(proto->external_data[i]->key);
        const char *value = csl__onnx_text(proto->external_data[i]->value);
        bool fine = true;
        if (strcmp(key, "location") == 0) {
            p->location = value;
        } else if (strcmp(key, "offset") == 0) {
            fine = read_number(&p->offset, value);
        } else if (strcmp(key, "length") == 0) {
            fine = p->has_length = read_number(&p->length, value);
        }
        if (!fine) {
            return csl_fail(diag, CSL_EDATA, "constant \"%s\": its external %s \"%.20s\" is not a number",
                            name, key, value);
        }
    }
    if (p->location == NULL || p->location[0] == '\0' || strlen(p->location) > MAX_LOCATION) {
        return csl_fail(diag, CSL_EDATA, "constant \"%s\" is in another file, but which one is not said",
                        name);
    }
    return CSL_OK;
}

static bool leads_up(const char *path) {
    for (const char *p = path; p != NULL; p = strchr(p, '/')) {
        p += *p == '/' ? 1 : 0;
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0')) {
            return true;
        }
    }
    return false;
}

/* Opens location below the folder. *why says what forbids it, or is NULL and errno tells. */
static int open_below(const char **why, int folder, const char *location) {
    char path[MAX_LOCATION + 1];
    snprintf(path, sizeof path, "%s", location);
    *why = path[0] == '/' || strchr(path, '\\') != NULL ? "it is not a path relative to the model's folder"
           : leads_up(path)                             ? "it leads out of the model's folder"
                                                        : NULL;
    int at = *why == NULL ? dup(folder) : -1;
    for (char *part = path, *next; at >= 0 && part != NULL; part = next) {
        next = strchr(part, '/');
        if (next != NULL) {
            *next++ = '\0';
        }
        if (part[0] == '\0' || strcmp(part, ".") == 0) {
            continue;
        }
        int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
        int down = openat(at, part, flags | (next != NULL ? O_DIRECTORY : 0));
        int saved = errno;
        struct stat st;
        bool link = down < 0 && fstatat(at, part, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
        (void)close(at);
        errno = saved;
        *why = link ? "it goes through a symbolic link" : NULL;
        at = down;
    }
    return at;
}

static enum csl_err read_all(int fd, uint8_t *bytes, size_t n, uint64_t offset) {
    while (n > 0) {
        ssize_t got = pread(fd, bytes, n, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return CSL_EIO;
        }
        bytes += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return CSL_OK;
}

/* What the file must be before memory is taken for it. */
static enum csl_err check_file(struct csl__onnx *o, int fd, size_t n, const struct place *p, const char *name,
                               struct csl_diag *diag) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return csl_fail(diag, CSL_EDATA,
                        "constant \"%s\": its external file \"%.200s\" is not a regular file", name,
                        p->location);
    }
    uint64_t size = (uint64_t)st.st_size;
    if (p->offset > size || n > size - p->offset || (p->has_length && p->length != n)) {
        return csl_fail(diag, CSL_EDATA,
                        "constant \"%s\" needs %zu bytes; of its external file \"%.200s\" (%llu bytes) it is "
                        "given %llu at %llu",
                        name, n, p->location, (unsigned long long)size,
                        (unsigned long long)(p->has_length      ? p->length
                                             : p->offset < size ? size - p->offset
                                                                : 0),
                        (unsigned long long)p->offset);
    }
    if (n > o->external_left) {
        return csl_fail(diag, CSL_EDATA, "constant \"%s\": the external data is larger than the limit", name);
    }
    o->external_left -= n;
    return CSL_OK;
}

static enum csl_err note_file(struct csl_onnx_files *f, const char *location) {
    for (size_t i = 0; f != NULL && i < f->n; i++) {
        if (strcmp(f->names[i], location) == 0) {
            return CSL_OK;
        }
    }
    char **names = f == NULL ? NULL : realloc(f->names, (f->n + 1) * sizeof *names);
    if (names != NULL) {
        f->names = names;
        names[f->n] = strdup(location);
    }
    if (f != NULL && (names == NULL || names[f->n] == NULL)) {
        return CSL_ENOMEM;
    }
    if (f != NULL) {
        f->n++;
    }
    return CSL_OK;
}

void csl_onnx_files_clear(struct csl_onnx_files *f) {
    for (size_t i = 0; i < f->n; i++) {
        free(f->names[i]);
    }
    free(f->names);
    *f = (struct csl_onnx_files){0};
}

enum csl_err csl__onnx_external(struct csl__onnx *o, uint8_t **bytes, size_t n,
                                const Csl__Onnx__Tensor *proto, const char *name, struct csl_diag *diag) {
    *bytes = NULL;
    if (o->folder < 0) {
        return csl_fail(diag, CSL_EDATA,
                        "constant \"%s\" keeps its data in another file; save the network as one file "
                        "(onnx.save_model with save_as_external_data=False)",
                        name);
    }
    struct place place;
    TRY(read_place(&place, proto, name, diag));
    TRY(note_file(o->files, place.location));
    const char *why;
    int fd = open_below(&why, o->folder, place.location);
    if (fd < 0) {
        return csl_fail(diag, CSL_EDATA, "constant \"%s\": cannot read its external file \"%.200s\": %s",
                        name, place.location, why != NULL ? why : strerror(errno));
    }
    enum csl_err err;
    TRY_OUT(check_file(o, fd, n, &place, name, diag));
    *bytes = malloc(n + 1);
    err = *bytes == NULL ? CSL_ENOMEM : read_all(fd, *bytes, n, place.offset);
    if (err == CSL_EIO) {
        free(*bytes);
        *bytes = NULL;
        err = csl_fail(diag, CSL_EIO, "constant \"%s\": cannot read its external file \"%.200s\"", name,
                       place.location);
    }
out:
    (void)close(fd);
    return err;
}
