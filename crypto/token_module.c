/* PKCS#11 modules: loaded and initialised once a process. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/token_internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct csl__module *modules;

const char *csl__ck_text(csl__ck_rv rv) {
    switch (rv) {
#define CKR_CASE(name, value, text)                                                                          \
    case value:                                                                                              \
        return text " (CKR_" #name ")";
        CSL__CKR_LIST(CKR_CASE)
#undef CKR_CASE
    default:
        return "an error that PKCS#11 leaves to the module";
    }
}

/* The functions that we call are all there. */
static bool complete(const struct csl__ck_functions *f) {
    return f != NULL && f->version.major >= 2 && f->initialize != NULL && f->finalize != NULL &&
           f->get_slot_list != NULL && f->get_token_info != NULL && f->open_session != NULL &&
           f->close_session != NULL && f->login != NULL && f->get_attributes != NULL &&
           f->find_init != NULL && f->find != NULL && f->find_final != NULL && f->decrypt_init != NULL &&
           f->decrypt != NULL && f->sign_init != NULL && f->sign != NULL && f->generate_key_pair != NULL;
}

static enum csl_err load(struct csl__module **out, const char *path, struct csl_diag *diag) {
    struct csl__ck_functions *f = NULL;
    csl__ck_get_function_list *get = NULL;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        const char *why = dlerror();
        return csl_fail(diag, CSL_EUNAVAILABLE, "the PKCS#11 module cannot be loaded (module-path): %s",
                        why == NULL ? path : why);
    }
    void *symbol = dlsym(handle, "C_GetFunctionList");
    memcpy(&get, &symbol, sizeof get); /* ISO C has no cast from a data to a function pointer */
    if (get == NULL || get(&f) != CSL__CKR_OK || !complete(f)) {
        (void)dlclose(handle);
        return csl_fail(diag, CSL_ECONFIG, "%s: not a PKCS#11 module", path);
    }
    struct csl__module *m = calloc(1, sizeof *m);
    char *copy = strdup(path);
    if (m == NULL || copy == NULL) {
        free(m);
        free(copy);
        (void)dlclose(handle);
        return csl_fail(diag, CSL_ENOMEM, "out of memory");
    }
    *m = (struct csl__module){.next = modules, .path = copy, .handle = handle, .f = f, .refs = 1};
    modules = m;
    *out = m;
    return CSL_OK;
}

enum csl_err csl__module_open(struct csl__module **m, const char *path, struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    (void)pthread_mutex_lock(&lock);
    struct csl__module *at = modules;
    while (at != NULL && strcmp(at->path, path) != 0) {
        at = at->next;
    }
    if (at != NULL) {
        at->refs++;
        *m = at;
    } else {
        err = load(m, path, diag);
    }
    (void)pthread_mutex_unlock(&lock);
    return err;
}

enum csl_err csl__module_ready(struct csl__module *m, struct csl_diag *diag) {
    struct csl__ck_initialize_args args = {.flags = CSL__CKF_OS_LOCKING_OK};
    csl__ck_rv rv = CSL__CKR_OK;
    (void)pthread_mutex_lock(&lock);
    if (!m->initialized) {
        rv = m->f->initialize(&args);
        m->ours = rv == CSL__CKR_OK;
        m->initialized = m->ours || rv == CSL__CKR_CRYPTOKI_ALREADY_INITIALIZED;
    }
    bool ok = m->initialized;
    (void)pthread_mutex_unlock(&lock);
    return ok ? CSL_OK
              : csl_fail(diag, CSL_EUNAVAILABLE, "the PKCS#11 module %s does not start: %s", m->path,
                         csl__ck_text(rv));
}

void csl__module_lost(struct csl__module *m) {
    (void)pthread_mutex_lock(&lock);
    m->initialized = false;
    (void)pthread_mutex_unlock(&lock);
}

void csl__module_close(struct csl__module *m) {
    if (m == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&lock);
    if (--m->refs == 0) {
        struct csl__module **at = &modules;
        while (*at != m) {
            at = &(*at)->next;
        }
        *at = m->next;
        if (m->initialized && m->ours) {
            (void)m->f->finalize(NULL);
        }
        (void)dlclose(m->handle);
        free(m->path);
        free(m);
    }
    (void)pthread_mutex_unlock(&lock);
}

void csl__module_forked(void) {
    (void)pthread_mutex_init(&lock, NULL);
    for (struct csl__module *m = modules; m != NULL; m = m->next) {
        m->initialized = false;
    }
}
