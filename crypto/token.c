/* Tokens: the list of those that are open, and what a fork does to them. */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "crypto/secret.h"
#include "crypto/token_state_internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the list; taken before a token's */
static struct csl__token *tokens;

/* ---- Forks: the child has neither the threads nor the sessions ---- */

static void before_fork(void) {
    (void)pthread_mutex_lock(&lock);
    for (struct csl__token *t = tokens; t != NULL; t = t->next) {
        (void)pthread_mutex_lock(&t->lock);
    }
}

static void after_fork(void) {
    for (struct csl__token *t = tokens; t != NULL; t = t->next) {
        (void)pthread_mutex_unlock(&t->lock);
    }
    (void)pthread_mutex_unlock(&lock);
}

static void init_conditions(struct csl__token *t) {
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&t->work, &attr);
    (void)pthread_cond_init(&t->done, &attr);
    (void)pthread_condattr_destroy(&attr);
}

static void in_child(void) {
    csl__module_forked();
    csl__pins_forked();
    for (struct csl__token *t = tokens; t != NULL; t = t->next) {
        t->n_workers = t->n_idle = 0;
        t->head = NULL; /* calls of threads that are not here */
        t->stuck = false;
        t->epoch++;
        init_conditions(t);
        (void)pthread_mutex_init(&t->login, NULL);
    }
    after_fork();
}

static void watch_forks(void) {
    (void)pthread_atfork(before_fork, after_fork, in_child);
}

/* ---- Opening and closing ---- */

static bool same_token(const struct csl_token_uri *a, const struct csl_token_uri *b) {
    return strcmp(a->module_path, b->module_path) == 0 && strcmp(a->token, b->token) == 0 &&
           strcmp(a->serial, b->serial) == 0 && strcmp(a->manufacturer, b->manufacturer) == 0 &&
           strcmp(a->model, b->model) == 0 && a->has_slot == b->has_slot && a->slot == b->slot;
}

static enum csl_err token_new(struct csl__token **out, const struct csl_token_uri *uri, const char *path,
                              struct csl_diag *diag) {
    struct csl__token *t = csl_secret_alloc(1, sizeof *t);
    if (t == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "%s: out of memory", path);
    }
    t->uri = *uri;
    enum csl_err err = csl__token_settings(t, path, diag);
    if (err != CSL_OK) {
        csl_secret_free(t);
        return err;
    }
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_mutex_init(&t->login, NULL);
    init_conditions(t);
    t->epoch = 1;
    t->refs = 1;
    t->next = tokens;
    tokens = t;
    *out = t;
    return CSL_OK;
}

/* The URI with the module's path, which may come from the environment. */
static enum csl_err complete_uri(struct csl_token_uri *full, const struct csl_token_uri *uri,
                                 const char *path, struct csl_diag *diag) {
    const char *module = getenv("CONSILIUM_TOKEN_MODULE");
    *full = *uri;
    if (full->module_path[0] == 0 && module != NULL && strlen(module) <= CSL_TOKEN_PATH_MAX) {
        memcpy(full->module_path, module, strlen(module) + 1);
    }
    if (full->module_path[0] != '/') {
        return csl_fail(diag, CSL_ECONFIG,
                        "%s: no PKCS#11 module is named: add ?module-path=/absolute/path to the URI, or set "
                        "CONSILIUM_TOKEN_MODULE to such a path",
                        path);
    }
    return CSL_OK;
}

enum csl_err csl__token_open(struct csl__token **t, const struct csl_token_uri *uri, const char *path,
                             struct csl_diag *diag) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    enum csl_err err = CSL_OK;
    struct csl_token_uri full;
    (void)pthread_once(&once, watch_forks);
    TRY(complete_uri(&full, uri, path, diag));
    (void)pthread_mutex_lock(&lock);
    struct csl__token *at = tokens;
    while (at != NULL && !same_token(&at->uri, &full)) {
        at = at->next;
    }
    if (at != NULL) {
        at->refs++;
        *t = at;
    } else {
        err = token_new(t, &full, path, diag);
    }
    (void)pthread_mutex_unlock(&lock);
    return err;
}

void csl__token_free(struct csl__token *t) {
    (void)pthread_cond_destroy(&t->work);
    (void)pthread_cond_destroy(&t->done);
    (void)pthread_mutex_destroy(&t->lock);
    (void)pthread_mutex_destroy(&t->login);
    csl_secret_free(t);
}

struct timespec csl__from_now(unsigned ms) {
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

void csl__token_close(struct csl__token *t, bool by_worker) {
    (void)pthread_mutex_lock(&lock);
    bool last = --t->refs == 0;
    if (last) {
        struct csl__token **at = &tokens;
        while (*at != t) {
            at = &(*at)->next;
        }
        *at = t->next;
    }
    (void)pthread_mutex_unlock(&lock);
    if (!last) {
        return;
    }
    struct timespec until = csl__from_now(t->timeout_ms);
    (void)pthread_mutex_lock(&t->lock);
    t->stopping = true;
    (void)pthread_cond_broadcast(&t->work);
    while (!by_worker && t->n_workers != 0 && pthread_cond_timedwait(&t->done, &t->lock, &until) == 0) {
    }
    /* Otherwise the last worker frees it: this one, or one that hangs in the module, if it ever comes back.
     */
    bool ours = t->n_workers == 0;
    t->orphaned = !ours;
    (void)pthread_mutex_unlock(&t->lock);
    if (ours) {
        csl__token_free(t);
    }
}

const char *csl__token_name(const struct csl_token_uri *uri) {
    return uri->token[0] != 0    ? uri->token
           : uri->serial[0] != 0 ? uri->serial
           : uri->model[0] != 0  ? uri->model
                                 : "(without a label)";
}
