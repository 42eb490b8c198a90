/* A party's models on disk: <site>/state/models/<name>.model =
 * magic "CSLM" | version u32 | manifest length u32 | manifest | envelope of the part to our own wrapping key.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/envelope.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "roles/daemon.h"
#include "roles/package.h"

#define MAGIC "CSLM"
#define PART_LABEL "consilium/model-at-rest"
#define SUFFIX ".model"

enum { FILE_VERSION = 1, HEAD_BYTES = 12 };
static const size_t file_max = (size_t)2 << 30;

static enum csl_err models_dir(char out[CSL__PATH_MAX], const struct csl_context *ctx,
                               struct csl_diag *diag) {
    char state[CSL__PATH_MAX];
    TRY(csl__path(state, ctx->dir, "state", diag));
    TRY(csl__make_dir(state, diag));
    TRY(csl__path(out, state, "models", diag));
    return csl__make_dir(out, diag);
}

/* ---- Writing ---- */

static enum csl_err write_package(const struct csl_context *ctx, const struct csl_package *p,
                                  struct csl_diag *diag) {
    char dir[CSL__PATH_MAX], path[CSL__PATH_MAX], file[CSL_MODEL_NAME_MAX + sizeof SUFFIX];
    (void)snprintf(file, sizeof file, "%s%s", p->name, SUFFIX);
    TRY(models_dir(dir, ctx, diag));
    TRY(csl__path(path, dir, file, diag));
    size_t n_env;
    TRY(csl_envelope_size(&n_env, p->n_part, ctx->site.wrap_key, diag));
    size_t head = HEAD_BYTES + p->n_manifest;
    uint8_t *bytes = malloc(head + n_env);
    if (bytes == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(bytes, MAGIC, 4);
    csl_store_u32(bytes + 4, FILE_VERSION);
    csl_store_u32(bytes + 8, (uint32_t)p->n_manifest);
    memcpy(bytes + HEAD_BYTES, p->manifest, p->n_manifest);
    enum csl_err err = csl_envelope_seal(bytes + head, &n_env, ctx->site.wrap_key, PART_LABEL, p->digest,
                                         sizeof p->digest, p->part, p->n_part, diag);
    if (err == CSL_OK) {
        err = csl__replace_file(path, 0600, bytes, head + n_env, diag);
    }
    free(bytes);
    return err;
}

/* ---- Reading ---- */

static enum csl_err open_part(struct csl_package **out, const struct csl_context *ctx,
                              const uint8_t *manifest, size_t n_manifest, const uint8_t *env, size_t n_env,
                              struct csl_diag *diag) {
    struct csl_manifest m;
    size_t n;
    TRY(csl_manifest_decode(&m, manifest, n_manifest, diag));
    TRY(csl_envelope_plain_size(&n, env, n_env, diag));
    uint8_t *part = csl_secret_alloc(n, 1);
    if (part == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = csl_envelope_open(part, &n, ctx->site.wrap_key, PART_LABEL, m.digest, sizeof m.digest,
                                         env, n_env, diag);
    if (err == CSL_OK) {
        err = csl_package_new(out, ctx, manifest, n_manifest, part, n, diag);
    }
    csl_secret_free(part);
    return err;
}

static enum csl_err read_package(struct csl_package **out, const struct csl_context *ctx, const char *path,
                                 struct csl_diag *diag) {
    char *data = NULL;
    size_t n;
    TRY(csl__read_file(&data, &n, path, file_max, diag));
    struct csl_reader r = csl_reader_of((const uint8_t *)data, n);
    const uint8_t *magic = csl_reader_view(&r, 4);
    uint32_t version = csl_reader_u32(&r), n_manifest = csl_reader_u32(&r);
    const uint8_t *manifest = csl_reader_view(&r, n_manifest);
    enum csl_err err;
    if (r.bad || memcmp(magic, MAGIC, 4) != 0 || version != FILE_VERSION) {
        err = csl_fail(diag, CSL_EDATA, "not a model package of this version; its owner must share it again");
    } else {
        err = open_part(out, ctx, manifest, n_manifest, r.at, r.left, diag);
    }
    csl_secret_free(data);
    return err == CSL_OK ? CSL_OK : csl_fail_context(diag, err, "%s", path);
}

/* ---- The store ---- */

static void put(struct csl_store *s, struct csl_package *p) {
    size_t i = 0;
    while (i < s->n && strcmp(s->packages[i]->name, p->name) != 0) {
        i++;
    }
    if (i == s->n) {
        s->n++;
    } else {
        csl_package_unref(s->packages[i]);
        csl_opened_unref(s->opened[i]);
    }
    s->packages[i] = p;
    s->opened[i] = NULL;
}

static bool has_suffix(const char *name) {
    size_t n = strlen(name), k = strlen(SUFFIX);
    return n > k && strcmp(name + n - k, SUFFIX) == 0;
}

/* A package that the roster no longer names, of another number of parties, or damaged stays on disk and is
 * not served: the daemon must run for its owner to share it again. */
static enum csl_err load_all(struct csl_store *s, const char *dir, DIR *d, struct csl_diag *diag) {
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (!has_suffix(e->d_name)) {
            continue;
        }
        char path[CSL__PATH_MAX];
        TRY(csl__path(path, dir, e->d_name, diag));
        struct csl_package *p = NULL;
        struct csl_diag why = {""};
        enum csl_err err = read_package(&p, s->ctx, path, &why);
        if (err == CSL_ENOMEM || err == CSL_EOS) {
            return csl_fail(diag, err, "%s", why.text);
        }
        if (err != CSL_OK) {
            csl_log("%s; not served", why.text);
            continue;
        }
        if (s->n == CSL_ROSTER_MODELS_MAX || !csl_roster_may_share(&s->ctx->roster, p->owner, p->name)) {
            csl_log("%s: the roster does not name model %s of %s; not served", path, p->name, p->owner);
            csl_package_unref(p);
            continue;
        }
        put(s, p);
    }
    return CSL_OK;
}

enum csl_err csl_store_init(struct csl_store *s, const struct csl_context *ctx, struct csl_diag *diag) {
    memset(s, 0, sizeof *s);
    char dir[CSL__PATH_MAX];
    TRY(models_dir(dir, ctx, diag));
    DIR *d = opendir(dir);
    if (d == NULL) {
        return csl_fail(diag, CSL_EIO, "%s: cannot be listed", dir);
    }
    s->ctx = ctx;
    (void)pthread_mutex_init(&s->lock, NULL);
    enum csl_err err = load_all(s, dir, d, diag);
    closedir(d);
    if (err != CSL_OK) {
        csl_store_clear(s);
    }
    return err;
}

void csl_store_clear(struct csl_store *s) {
    for (size_t i = 0; i < s->n; i++) {
        csl_package_unref(s->packages[i]);
        csl_opened_unref(s->opened[i]);
    }
    s->n = 0;
    if (s->ctx != NULL) {
        pthread_mutex_destroy(&s->lock);
        s->ctx = NULL;
    }
}

enum csl_err csl_store_put(struct csl_store *s, struct csl_package *p, struct csl_diag *diag) {
    pthread_mutex_lock(&s->lock); /* also keeps two writers of one file apart */
    enum csl_err err = write_package(s->ctx, p, diag);
    if (err == CSL_OK) {
        put(s, csl_package_ref(p));
    }
    pthread_mutex_unlock(&s->lock);
    return err;
}

struct csl_package *csl_store_get(struct csl_store *s, const char *name) {
    struct csl_package *found = NULL;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n && found == NULL; i++) {
        if (strcmp(s->packages[i]->name, name) == 0) {
            found = csl_package_ref(s->packages[i]);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

struct csl_opened *csl_store_opened(struct csl_store *s, const struct csl_package *p,
                                    const uint8_t epoch_id[CSL_EPOCH_ID_BYTES]) {
    struct csl_opened *found = NULL;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++) {
        struct csl_opened *o = s->opened[i];
        if (o != NULL && memcmp(o->package_digest, p->digest, sizeof p->digest) == 0 &&
            memcmp(o->epoch_id, epoch_id, CSL_EPOCH_ID_BYTES) == 0) {
            o->refs++;
            found = o;
            break;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

void csl_store_offer(struct csl_store *s, const struct csl_package *p, struct csl_opened *o) {
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++) {
        if (memcmp(s->packages[i]->digest, p->digest, sizeof p->digest) == 0) {
            o->refs++;
            csl_opened_unref(s->opened[i]);
            s->opened[i] = o;
        }
    }
    pthread_mutex_unlock(&s->lock);
}
