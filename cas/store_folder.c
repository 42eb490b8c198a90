/* Blocks in a folder. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cas/store_internal.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"

/* DIR/blocks/XY: what all names begin with is the same, so the fan-out is by their end. */
static enum csl_err folder_of(char out[CSL__PATH_MAX], const struct csl_cas *c, const char *cid,
                              struct csl_diag *diag) {
    char name[16];
    (void)snprintf(name, sizeof name, "blocks/%.2s", cid + CSL_CID_TEXT - 1 - 3);
    return csl__path(out, c->place, name, diag);
}

static enum csl_err path_of(char out[CSL__PATH_MAX], const struct csl_cas *c, const struct csl_cid *cid,
                            struct csl_diag *diag) {
    char text[CSL_CID_TEXT], dir[CSL__PATH_MAX];
    TRY(folder_of(dir, c, csl_cid_text(text, cid), diag));
    return csl__path(out, dir, text, diag);
}

/* Others may read a store: what is in it is public by itself. */
static enum csl_err make_folder(const char *path, struct csl_diag *diag) {
    struct stat st;
    if (mkdir(path, 0755) == 0) {
        return csl__sync_parent(path, diag);
    }
    int saved = errno;
    if (saved == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return CSL_OK;
    }
    return csl_fail(diag, CSL_ECREATE, "%s: %s", path,
                    saved == EEXIST ? "exists and is not a folder" : strerror(saved));
}

static enum csl_err make_folders(const struct csl_cas *c, const struct csl_cid *cid, struct csl_diag *diag) {
    char path[CSL__PATH_MAX], text[CSL_CID_TEXT];
    TRY(make_folder(c->place, diag));
    TRY(csl__path(path, c->place, "blocks", diag));
    TRY(make_folder(path, diag));
    TRY(folder_of(path, c, csl_cid_text(text, cid), diag));
    return make_folder(path, diag);
}

/* A block that is there and whole is left alone; a damaged one is mended. */
static enum csl_err put_block(void *arg, const struct csl_cid *cid, const uint8_t *block, size_t n,
                              struct csl_diag *diag) {
    struct csl_cas *c = arg;
    char path[CSL__PATH_MAX], *old = NULL;
    size_t n_old = 0;
    TRY(path_of(path, c, cid, diag));
    enum csl_err err = csl__read_file(&old, &n_old, path, CSL_BLOCK_MAX, NULL);
    bool same = err == CSL_OK && n_old == n && memcmp(old, block, n) == 0;
    csl_secret_free(old);
    if (same) {
        return CSL_OK;
    }
    TRY(make_folders(c, cid, diag));
    return csl__replace_file(path, 0644, block, n, diag);
}

static enum csl_err get_block(void *arg, const struct csl_cid *cid, uint8_t **block, size_t *n,
                              struct csl_diag *diag) {
    struct csl_cas *c = arg;
    struct csl_diag why = {""};
    char path[CSL__PATH_MAX], text[CSL_CID_TEXT], *data = NULL;
    TRY(path_of(path, c, cid, diag));
    enum csl_err err = csl__read_file(&data, n, path, CSL_BLOCK_MAX, &why);
    if (err != CSL_OK) {
        return csl_fail(diag, err, "the store %s has no block %s to give (%.200s)", c->shown,
                        csl_cid_text(text, cid), why.text);
    }
    *block = malloc(*n + 1);
    if (*block != NULL) {
        memcpy(*block, data, *n);
    }
    csl_secret_free(data);
    return *block != NULL ? CSL_OK : csl_fail(diag, CSL_ENOMEM, "out of memory");
}

static enum csl_err get(struct csl_cas *c, const struct csl_cid *cid, uint64_t max_bytes,
                        csl_unixfs_sink *sink, void *sink_arg, struct csl_diag *diag) {
    enum csl_err err = csl_unixfs_export(cid, max_bytes, get_block, c, sink, sink_arg, NULL, diag);
    /* A block that cannot be trusted is the store's own fault: say which store. */
    return err == CSL_EAUTH || err == CSL_EDATA ? csl_fail_context(diag, err, "the store %s", c->shown) : err;
}

const struct csl__cas_backend csl__cas_folder = {.put_block = put_block, .get = get, .proves = true};
