/* An archive's files on disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/files_internal.h"
#include "roles/package/archive_internal.h"

enum { NAME_MAX_BYTES = 1024 };

bool csl__archive_name_valid(const char *name) {
    size_t n = strlen(name);
    if (n == 0 || n > NAME_MAX_BYTES || name[0] == '/' || name[n - 1] == '/' || strchr(name, '\\') != NULL) {
        return false;
    }
    for (const char *part = name; part != NULL;) {
        size_t k = strcspn(part, "/");
        if (k == 0 || (k == 2 && part[0] == '.' && part[1] == '.')) {
            return false;
        }
        part = part[k] == '/' ? part + k + 1 : NULL;
    }
    return true;
}

/* Both begin an ONNX file, too: only the second field tells, and it is long in an archive alone. */
bool csl_archive_detect(const char *path) {
    uint8_t head[16];
    FILE *f = fopen(path, "rbe");
    size_t n = f == NULL ? 0 : fread(head, 1, sizeof head, f);
    if (f != NULL) {
        (void)fclose(f);
    }
    if (n < sizeof head || head[0] != 0x08 || head[1] != 0x01 || head[2] != 0x12) {
        return false;
    }
    size_t at = 3;
    while (at < n && (head[at] & 0x80) != 0) {
        at++;
    }
    at++;
    return at + 4 <= n && memcmp(head + at, "CSLE", 4) == 0;
}

/* The folders of a name below dir: made, or (remove) taken away where they are empty. */
static enum csl_err folders(const char *dir, const char *name, bool remove, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    TRY(csl__path(path, dir, name, diag));
    size_t base = strlen(dir) + 1;
    if (!remove) {
        for (char *slash = path + base; (slash = strchr(slash, '/')) != NULL; slash++) {
            *slash = '\0';
            TRY(csl__make_dir(path, diag));
            *slash = '/';
        }
        return CSL_OK;
    }
    for (char *slash; (slash = strrchr(path + base, '/')) != NULL;) {
        *slash = '\0';
        (void)rmdir(path);
    }
    return CSL_OK;
}

enum csl_err csl_archive_extract(char *path, size_t n_path, const struct csl_archive *a, const char *dir,
                                 struct csl_diag *diag) {
    char at[CSL__PATH_MAX];
    TRY(csl__make_dir(dir, diag));
    for (size_t i = 0; i < a->n_files; i++) {
        TRY(folders(dir, a->files[i].name, false, diag));
        TRY(csl__path(at, dir, a->files[i].name, diag));
        TRY(csl__create_file(at, 0600, a->files[i].content, a->files[i].n, diag));
        if (i == 0 && path != NULL) {
            (void)snprintf(path, n_path, "%s", at);
        }
    }
    return CSL_OK;
}

void csl_archive_remove(const struct csl_archive *a, const char *dir) {
    char at[CSL__PATH_MAX];
    for (size_t i = 0; i < a->n_files; i++) {
        if (csl__path(at, dir, a->files[i].name, NULL) == CSL_OK) {
            (void)unlink(at);
            (void)folders(dir, a->files[i].name, true, NULL);
        }
    }
    (void)rmdir(dir);
}
