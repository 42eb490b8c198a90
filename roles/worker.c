/* What a thread needs that talks: its loop, its interrupts. */
#include <string.h>

#include "roles/talk.h"

enum { CLEAR_MS = 3000 }; /* longer than a conn lingers (net/conn.h), so that all are gone */

static void on_async(uv_async_t *async) {
    struct csl_worker *w = async->data;
    pthread_mutex_lock(&w->lock);
    if (w->stop_err == CSL_OK && w->posted_err != CSL_OK) {
        w->stop_err = w->posted_err;
        w->stop_diag = w->posted;
    }
    pthread_mutex_unlock(&w->lock);
    if (w->on_wake != NULL) {
        w->on_wake(w->arg);
    }
}

enum csl_err csl_worker_init(struct csl_worker *w, const struct csl_context *ctx, struct csl_tls_ctx *tls,
                             struct csl_diag *diag) {
    memset(w, 0, sizeof *w);
    TRY(csl_loop_init(&w->loop, diag));
    if (uv_async_init(&w->loop.uv, &w->async, on_async) != 0) {
        (void)csl_loop_clear(&w->loop, 0);
        return csl_fail(diag, CSL_EOS, "no async handle");
    }
    w->async.data = w;
    (void)pthread_mutex_init(&w->lock, NULL);
    w->open = true;
    w->ctx = ctx;
    w->tls = csl_tls_ctx_ref(tls);
    return CSL_OK;
}

void csl_worker_clear(struct csl_worker *w) {
    if (w->tls == NULL) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->open = false;
    pthread_mutex_unlock(&w->lock);
    uv_close((uv_handle_t *)&w->async, NULL);
    (void)csl_loop_clear(&w->loop, CLEAR_MS);
    csl_tls_ctx_free(w->tls);
    w->tls = NULL;
}

void csl_worker_interrupt(struct csl_worker *w, enum csl_err err, const char *reason) {
    pthread_mutex_lock(&w->lock);
    if (w->posted_err == CSL_OK) {
        w->posted_err = csl_fail(&w->posted, err, "%s", reason);
    }
    if (w->open) {
        (void)uv_async_send(&w->async);
    }
    pthread_mutex_unlock(&w->lock);
}

void csl_worker_wake(struct csl_worker *w) {
    pthread_mutex_lock(&w->lock);
    if (w->open) {
        (void)uv_async_send(&w->async);
    }
    pthread_mutex_unlock(&w->lock);
}

enum csl_err csl_worker_check(struct csl_worker *w, struct csl_diag *diag) {
    if (w->stop_err != CSL_OK) {
        return csl_fail(diag, w->stop_err, "%s", w->stop_diag.text);
    }
    return w->check != NULL ? w->check(w->arg, diag) : CSL_OK;
}
