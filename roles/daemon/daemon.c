#include "roles/daemon/daemon_internal.h"
#include "roles/daemon/logbook.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RELOAD_MS = 5000 };

void csl_log(const char *fmt, ...) {
    char text[1024], when[32];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct timespec t;
    struct tm tm;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    (void)gmtime_r(&t.tv_sec, &tm);
    (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)fprintf(stderr, "%s.%03ldZ %s\n", when, t.tv_nsec / 1000000, text);
}

uv_loop_t *csl_daemon_loop(struct csl_daemon *d) {
    return &d->loop;
}

/* ---- Threads ---- */

static void *task_thread(void *arg) {
    struct csl_task *t = arg;
    struct csl_daemon *d = t->daemon;
    t->body(t->arg);
    pthread_mutex_lock(&d->tasks_lock);
    t->next = d->finished;
    d->finished = t;
    pthread_mutex_unlock(&d->tasks_lock);
    (void)uv_async_send(&d->tasks_done);
    return NULL;
}

enum csl_err csl_daemon_spawn(struct csl_daemon *d, void (*body)(void *arg), void (*done)(void *arg),
                              void *arg) {
    struct csl_task *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return CSL_ENOMEM;
    }
    *t = (struct csl_task){.daemon = d, .body = body, .done = done, .arg = arg};
    if (pthread_create(&t->thread, NULL, task_thread, t) != 0) {
        free(t);
        return CSL_EOS;
    }
    d->n_tasks++;
    return CSL_OK;
}

static void close_handles(struct csl_daemon *d);

static void on_tasks_done(uv_async_t *async) {
    struct csl_daemon *d = async->data;
    pthread_mutex_lock(&d->tasks_lock);
    struct csl_task *list = d->finished;
    d->finished = NULL;
    pthread_mutex_unlock(&d->tasks_lock);
    while (list != NULL) {
        struct csl_task *t = list;
        list = t->next;
        pthread_join(t->thread, NULL);
        d->n_tasks--;
        t->done(t->arg);
        free(t);
    }
    if (d->stopping && d->n_tasks == 0) {
        close_handles(d);
    }
}

/* ---- Stopping ---- */

static void close_handles(struct csl_daemon *d) {
    if (d->handles_open) {
        d->handles_open = false;
        for (int i = 0; i < 3; i++) {
            uv_close((uv_handle_t *)&d->signals[i], NULL);
        }
        uv_close((uv_handle_t *)&d->reload, NULL);
        uv_close((uv_handle_t *)&d->tasks_done, NULL);
    }
}

static void stop(struct csl_daemon *d) {
    if (d->stopping) {
        return;
    }
    d->stopping = true;
    csl_log("stopping");
    csl_listener_close(d->listener);
    d->listener = NULL;
    d->ops->on_stop(d->arg);
    csl__control_stop(d);
    csl__witness_stop(d);
    csl__greet_stop(d);
    if (d->n_tasks == 0) {
        close_handles(d);
    }
}

/* ---- Signals and the certificate ---- */

static void reload(struct csl_daemon *d) {
    bool changed;
    struct csl_diag diag = {""};
    if (csl_context_reload(d->ctx, &changed, &diag) != CSL_OK) {
        if (strcmp(diag.text, d->not_reloaded.text) != 0) { /* the timer comes again and again */
            csl_log("the certificate on disk is not used: %s", diag.text);
            d->not_reloaded = diag;
        }
        return;
    }
    d->not_reloaded.text[0] = '\0';
    if (changed) {
        csl_listener_set_ctx(d->listener, d->ctx->tls);
        char until[32] = "?";
        time_t t = (time_t)csl_tls_ctx_not_after(d->ctx->tls);
        struct tm tm;
        (void)(gmtime_r(&t, &tm) != NULL && strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", &tm) != 0);
        csl_log("renewed certificate in use, valid until %s", until);
    }
}

static void on_reload_timer(uv_timer_t *timer) {
    struct csl_daemon *d = timer->data;
    if (!d->stopping) {
        reload(d);
    }
}

static void on_signal(uv_signal_t *handle, int signum) {
    struct csl_daemon *d = handle->data;
    if (signum == SIGHUP) {
        if (!d->stopping) {
            reload(d);
        }
    } else {
        stop(d);
    }
}

static enum csl_err open_handles(struct csl_daemon *d, struct csl_diag *diag) {
    static const int numbers[3] = {SIGTERM, SIGINT, SIGHUP};
    (void)signal(SIGPIPE, SIG_IGN);
    int bad = uv_async_init(&d->loop, &d->tasks_done, on_tasks_done);
    bad |= uv_timer_init(&d->loop, &d->reload);
    for (int i = 0; i < 3; i++) {
        bad |= uv_signal_init(&d->loop, &d->signals[i]);
        d->signals[i].data = d;
    }
    d->tasks_done.data = d;
    d->reload.data = d;
    d->handles_open = true;
    for (int i = 0; i < 3; i++) {
        bad |= uv_signal_start(&d->signals[i], on_signal, numbers[i]);
    }
    bad |= uv_timer_start(&d->reload, on_reload_timer, RELOAD_MS, RELOAD_MS);
    return bad == 0 ? CSL_OK : csl_fail(diag, CSL_EOS, "event loop handles cannot be made");
}

static void on_refused(struct csl_listener *listener, const char *address, enum csl_err err,
                       const struct csl_diag *why, void *arg) {
    struct csl_daemon *d = arg;
    (void)listener;
    csl_logbook_refused(d->ctx->logbook, address, "a connection", err, why->text);
    csl_log("not let in: %s: %s (%s)", address, why->text, csl_err_name(err));
}

static enum csl_err listen_on(struct csl_daemon *d, const struct csl_daemon_options *opt,
                              struct csl_diag *diag) {
    struct csl_listener_options lo;
    csl_listener_options_init(&lo);
    lo.bind_address = opt->bind_address;
    lo.port = opt->port != 0 ? opt->port : d->ctx->self->port;
    lo.fd = opt->listen_fd;
    csl_context_conn_options(d->ctx, &lo.conn);
    if (lo.port == 0 && lo.fd < 0) {
        return csl_fail(diag, CSL_ECONFIG,
                        "the roster has no address for %s: give --port, or an address there",
                        d->ctx->self->name);
    }
    static const struct csl_listener_callbacks cb = {.on_conn = csl__greet, .on_failed = on_refused};
    TRY(csl_listener_new(&d->listener, &d->loop, d->ctx->tls, &lo, &cb, d, diag));
    csl_log("listening on port %u", csl_listener_port(d->listener));
    return CSL_OK;
}

/* ---- Life ---- */

enum csl_err csl_daemon_new(struct csl_daemon **out, struct csl_context *ctx,
                            const struct csl_daemon_ops *ops, void *arg, const struct csl_daemon_options *opt,
                            struct csl_diag *diag) {
    *out = NULL;
    struct csl_daemon *d = calloc(1, sizeof *d);
    if (d == NULL || uv_loop_init(&d->loop) != 0) {
        free(d);
        return csl_fail(diag, CSL_ENOMEM, "no event loop");
    }
    d->ctx = ctx;
    d->ops = ops;
    d->arg = arg;
    (void)pthread_mutex_init(&d->tasks_lock, NULL);
    enum csl_err err = open_handles(d, diag);
    if (err == CSL_OK) {
        err = listen_on(d, opt, diag);
    }
    if (err == CSL_OK) {
        err = csl__witness_start(d, diag);
    }
    if (err == CSL_OK) {
        err = csl__control_start(d, diag);
    }
    if (err != CSL_OK) {
        d->stopping = true;
        csl_listener_close(d->listener);
        csl__control_stop(d);
        csl__witness_stop(d);
        close_handles(d);
        (void)csl_daemon_run(d);
        csl_daemon_free(d);
        return err;
    }
    *out = d;
    return CSL_OK;
}

enum csl_err csl_daemon_run(struct csl_daemon *d) {
    return uv_run(&d->loop, UV_RUN_DEFAULT) == 0 ? CSL_OK : CSL_EINTERNAL;
}

void csl_daemon_free(struct csl_daemon *d) {
    if (d != NULL) {
        (void)uv_loop_close(&d->loop);
        pthread_mutex_destroy(&d->tasks_lock);
        free(d);
    }
}
