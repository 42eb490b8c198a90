/* A party's models on disk, <site>/state/models/NAME.model, and in memory. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "roles/daemon/daemon.h"
#include "roles/package/package.h"

#define SUFFIX ".model"

static enum csl_err models_dir(char out[CSL__PATH_MAX], const struct csl_context *ctx,
                               struct csl_diag *diag) {
    char state[CSL__PATH_MAX];
    TRY(csl__path(state, ctx->dir, "state", diag));
    TRY(csl__make_dir(state, diag));
    TRY(csl__path(out, state, "models", diag));
    return csl__make_dir(out, diag);
}

static enum csl_err model_path(char out[CSL__PATH_MAX], const struct csl_context *ctx, const char *name,
                               struct csl_diag *diag) {
    char dir[CSL__PATH_MAX], file[CSL_MODEL_NAME_MAX + sizeof SUFFIX];
    if (strlen(name) > CSL_MODEL_NAME_MAX || strchr(name, '/') != NULL) {
        return csl_fail(diag, CSL_EUSAGE, "\"%.64s\" is not the name of a model", name);
    }
    (void)snprintf(file, sizeof file, "%s%s", name, SUFFIX);
    TRY(models_dir(dir, ctx, diag));
    return csl__path(out, dir, file, diag);
}

/* ---- Taking in ---- */

static enum csl_err write_file(const struct csl_context *ctx, const char *name, Csl__Pb__ModelPackage *file,
                               struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    uint8_t *bytes;
    size_t n;
    TRY(model_path(path, ctx, name, diag));
    TRY(csl_package_file_pack(&bytes, &n, file));
    enum csl_err err = csl__replace_file(path, 0600, bytes, n, diag);
    free(bytes);
    return err;
}

enum csl_err csl_store_accept(struct csl_package **out, const struct csl_context *ctx,
                              Csl__Pb__ModelPackage *file, struct csl_diag *diag) {
    *out = NULL;
    struct csl_package *p;
    TRY(csl_package_open(&p, ctx, file, diag));
    enum csl_err err = csl_accepted_add(ctx, p, diag);
    if (err == CSL_OK) {
        err = write_file(ctx, p->name, file, diag);
    }
    if (err != CSL_OK) {
        csl_package_unref(p);
        return err;
    }
    *out = p;
    return CSL_OK;
}

enum csl_err csl_store_read(Csl__Pb__ModelPackage **file, struct csl_package **package,
                            const struct csl_context *ctx, const char *name, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    struct csl_accepted accepted = {0};
    *file = NULL;
    *package = NULL;
    TRY(model_path(path, ctx, name, diag));
    TRY(csl_package_file_read(file, path, diag));
    enum csl_err err = csl_package_open(package, ctx, *file, diag);
    if (err == CSL_OK) {
        err = csl_accepted_update(&accepted, ctx, diag);
    }
    if (err == CSL_OK) {
        err = csl_accepted_check(&accepted, *package, diag);
    }
    csl_accepted_clear(&accepted);
    if (err != CSL_OK) {
        csl_package_file_free(*file);
        csl_package_unref(*package);
        *file = NULL;
        *package = NULL;
        return csl_fail_context(diag, err, "%s", path);
    }
    return CSL_OK;
}

/* ---- In memory; under lock ---- */

static size_t place_of(const struct csl_store *s, const char *name) {
    size_t i = 0;
    while (i < s->n && strcmp(s->packages[i]->name, name) != 0) {
        i++;
    }
    return i;
}

/* Takes the reference. */
static void put(struct csl_store *s, struct csl_package *p) {
    pthread_mutex_lock(&s->lock);
    size_t i = place_of(s, p->name);
    if (i == CSL_ROSTER_MODELS_MAX) { /* the roster names no more */
        csl_package_unref(p);
        p = NULL;
    } else if (i == s->n) {
        s->n++;
    } else {
        csl_package_unref(s->packages[i]);
        csl_opened_unref(s->opened[i]);
    }
    if (p != NULL) {
        s->packages[i] = p;
        s->opened[i] = NULL;
    }
    pthread_mutex_unlock(&s->lock);
}

static void drop(struct csl_store *s, const char *name) {
    pthread_mutex_lock(&s->lock);
    size_t i = place_of(s, name);
    if (i < s->n) {
        csl_package_unref(s->packages[i]);
        csl_opened_unref(s->opened[i]);
        s->n--;
        s->packages[i] = s->packages[s->n];
        s->opened[i] = s->opened[s->n];
        s->opened[s->n] = NULL;
    }
    pthread_mutex_unlock(&s->lock);
}

static struct csl_store_file *file_of(struct csl_store *s, const char *name) {
    for (size_t i = 0; i < s->n_files; i++) {
        if (strcmp(s->files[i].name, name) == 0) {
            return &s->files[i];
        }
    }
    return NULL;
}

/* What became of a file. */
static void remember(struct csl_store *s, const char *name, const struct stat *st, enum csl_err err,
                     const struct csl_diag *why) {
    pthread_mutex_lock(&s->lock);
    struct csl_store_file *f = file_of(s, name);
    if (f == NULL && s->n_files < CSL_ROSTER_MODELS_MAX) {
        f = &s->files[s->n_files++];
        (void)snprintf(f->name, sizeof f->name, "%s", name);
    }
    if (f != NULL) {
        f->inode = (uint64_t)st->st_ino;
        f->size = (uint64_t)st->st_size;
        f->changed_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
        f->err = err;
        f->why = *why;
    }
    pthread_mutex_unlock(&s->lock);
}

static bool is_known(struct csl_store *s, const char *name, const struct stat *st) {
    pthread_mutex_lock(&s->lock);
    const struct csl_store_file *f = file_of(s, name);
    bool known = f != NULL && f->inode == (uint64_t)st->st_ino && f->size == (uint64_t)st->st_size &&
                 f->changed_ns == (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
    pthread_mutex_unlock(&s->lock);
    return known;
}

enum csl_err csl_store_put(struct csl_store *s, struct csl_package **out, Csl__Pb__ModelPackage *file,
                           struct csl_diag *diag) {
    static const struct csl_diag none = {""};
    char path[CSL__PATH_MAX];
    struct stat st;
    pthread_mutex_lock(&s->writing); /* also keeps two writers of one file apart */
    enum csl_err err = csl_store_accept(out, s->ctx, file, diag);
    if (err == CSL_OK) {
        put(s, csl_package_ref(*out));
        if (model_path(path, s->ctx, (*out)->name, NULL) == CSL_OK && stat(path, &st) == 0) {
            remember(s, (*out)->name, &st, CSL_OK, &none);
        }
    }
    pthread_mutex_unlock(&s->writing);
    return err;
}

/* ---- Loading ---- */

static bool name_of(char name[CSL_MODEL_NAME_MAX + 1], const char *file) {
    size_t n = strlen(file), k = strlen(SUFFIX);
    if (n <= k || n - k > CSL_MODEL_NAME_MAX || strcmp(file + n - k, SUFFIX) != 0) {
        return false;
    }
    memcpy(name, file, n - k);
    name[n - k] = '\0';
    return true;
}

static enum csl_err open_file(struct csl_package **out, struct csl_store *s, const char *path,
                              const char *name, struct csl_diag *diag) {
    Csl__Pb__ModelPackage *file;
    char *data;
    size_t n;
    TRY(csl_package_file_load(&data, &n, path, diag));
    enum csl_err err = csl_package_file_parse(&file, (const uint8_t *)data, n, diag);
    csl_secret_free(data);
    TRY(err);
    err = csl_package_open(out, s->ctx, file, diag);
    csl_package_file_free(file);
    if (err == CSL_OK && strcmp((*out)->name, name) != 0) {
        err = csl_fail(diag, CSL_EAUTH, "the file of model %s holds model %s", name, (*out)->name);
    }
    if (err == CSL_OK) {
        err = csl_accepted_check(&s->accepted, *out, diag);
    }
    if (err != CSL_OK) {
        csl_package_unref(*out);
        *out = NULL;
    }
    return err;
}

/* A package that cannot be used stays on disk and is not served: the daemon must run for its owner to share
 * it again. */
static enum csl_err load_one(struct csl_store *s, const char *dir, const char *file, struct csl_diag *diag) {
    char path[CSL__PATH_MAX], name[CSL_MODEL_NAME_MAX + 1];
    struct stat st;
    if (!name_of(name, file)) {
        return CSL_OK;
    }
    TRY(csl__path(path, dir, file, diag));
    if (stat(path, &st) != 0 || is_known(s, name, &st)) {
        return CSL_OK;
    }
    struct csl_package *p = NULL;
    struct csl_diag why = {""};
    enum csl_err err = open_file(&p, s, path, name, &why);
    if (err == CSL_ENOMEM || err == CSL_EOS) {
        return csl_fail(diag, err, "%s", why.text);
    }
    if (err != CSL_OK) {
        csl_log("%s: %s; not served", path, why.text);
    }
    remember(s, name, &st, err, &why); /* told to clients: without the path */
    if (err != CSL_OK) {
        drop(s, name);
    } else {
        put(s, p);
    }
    return CSL_OK;
}

static int64_t changed_ns(const char *dir) {
    struct stat st;
    return stat(dir, &st) == 0 ? (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec : 0;
}

/* Under writing. */
static enum csl_err load_all(struct csl_store *s, struct csl_diag *diag) {
    char dir[CSL__PATH_MAX];
    TRY(models_dir(dir, s->ctx, diag));
    s->listed_ns = changed_ns(dir);
    TRY(csl_accepted_update(&s->accepted, s->ctx, diag));
    DIR *d = opendir(dir);
    if (d == NULL) {
        return csl_fail(diag, CSL_EIO, "%s: cannot be listed", dir);
    }
    enum csl_err err = CSL_OK;
    for (struct dirent *e; err == CSL_OK && (e = readdir(d)) != NULL;) {
        err = load_one(s, dir, e->d_name, diag);
    }
    closedir(d);
    return err;
}

void csl_store_refresh(struct csl_store *s) {
    struct csl_diag diag = {""};
    pthread_mutex_lock(&s->writing);
    if (load_all(s, &diag) != CSL_OK) {
        csl_log("the models on disk cannot be looked through: %s", diag.text);
    }
    pthread_mutex_unlock(&s->writing);
}

/* Clocks of file systems are coarse: what changed a moment ago may have changed again. */
bool csl_store_changed(struct csl_store *s) {
    enum { COARSE_MS = 2000 };
    char dir[CSL__PATH_MAX];
    if (models_dir(dir, s->ctx, NULL) != CSL_OK) {
        return false;
    }
    int64_t now = changed_ns(dir), listed = s->listed_ns, wall_ms = (int64_t)csl_wall_ms();
    return now != listed || (wall_ms >= now / 1000000 && wall_ms - now / 1000000 < COARSE_MS);
}

enum csl_err csl_store_init(struct csl_store *s, const struct csl_context *ctx, struct csl_diag *diag) {
    memset(s, 0, sizeof *s);
    s->files = calloc(CSL_ROSTER_MODELS_MAX, sizeof *s->files);
    if (s->files == NULL) {
        return CSL_ENOMEM;
    }
    s->ctx = ctx;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_mutex_init(&s->writing, NULL);
    enum csl_err err = load_all(s, diag);
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
        pthread_mutex_destroy(&s->writing);
        s->ctx = NULL;
    }
    csl_accepted_clear(&s->accepted);
    free(s->files);
    s->files = NULL;
    s->n_files = 0;
}

/* ---- Serving ---- */

enum csl_err csl_store_find(struct csl_store *s, struct csl_package **out, const char *name,
                            struct csl_diag *diag) {
    struct csl_diag why;
    enum csl_err err = CSL_EUNAVAILABLE;
    (void)csl_fail(&why, err, "model %s was not shared with %s; its owner runs `consilium model share`", name,
                   s->ctx->self->name);
    *out = NULL;
    pthread_mutex_lock(&s->lock);
    size_t i = place_of(s, name);
    const struct csl_store_file *f = file_of(s, name);
    if (i < s->n) {
        *out = csl_package_ref(s->packages[i]);
        err = CSL_OK;
    } else if (f != NULL && f->err != CSL_OK) {
        err = f->err;
        why = f->why;
    }
    pthread_mutex_unlock(&s->lock);
    if (err != CSL_OK) {
        return csl_fail(diag, err, "%s", why.text);
    }
    err = csl_package_check_expiry(*out, diag);
    if (err != CSL_OK) {
        csl_package_unref(*out);
        *out = NULL;
    }
    return err;
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
