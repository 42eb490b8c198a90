#include "net/channel.h"

static void on_wake(uv_timer_t *timer) {
    struct csl_loop *loop = timer->data;
    loop->late = true;
}

/* A timer of this very pass may have made it true: then the loop must not sleep in its poll. */
static void before_poll(uv_prepare_t *prepare) {
    struct csl_loop *loop = prepare->data;
    if (loop->done != NULL && loop->done(loop->done_arg)) {
        uv_stop(&loop->uv);
    }
}

enum csl_err csl_loop_init(struct csl_loop *loop, struct csl_diag *diag) {
    int r = uv_loop_init(&loop->uv);
    if (r < 0) {
        return csl_fail(diag, r == UV_ENOMEM ? CSL_ENOMEM : CSL_EOS, "cannot make an event loop: %s",
                        uv_strerror(r));
    }
    (void)uv_timer_init(&loop->uv, &loop->wake); /* cannot fail */
    (void)uv_prepare_init(&loop->uv, &loop->before_poll);
    (void)uv_prepare_start(&loop->before_poll, before_poll);
    uv_unref((uv_handle_t *)&loop->before_poll);
    loop->wake.data = loop->before_poll.data = loop;
    loop->done = NULL;
    loop->late = false;
    return CSL_OK;
}

static void set_wake(struct csl_loop *loop, uint64_t timeout_ms) {
    loop->late = false;
    if (timeout_ms != CSL_NO_TIMEOUT) {
        uv_update_time(&loop->uv); /* the thread may have computed for long */
        (void)uv_timer_start(&loop->wake, on_wake, timeout_ms, 0);
    }
}

enum csl_err csl_loop_run_until(struct csl_loop *loop, bool (*done)(void *arg), void *arg,
                                uint64_t timeout_ms) {
    enum csl_err err = CSL_OK;
    if (done(arg)) {
        return CSL_OK;
    }
    set_wake(loop, timeout_ms);
    loop->done = done;
    loop->done_arg = arg;
    do {
        if (loop->late) {
            err = CSL_ETIMEOUT;
            break;
        }
        if (uv_run(&loop->uv, UV_RUN_ONCE) == 0 && timeout_ms == CSL_NO_TIMEOUT && !done(arg)) {
            err = CSL_EUSAGE; /* nothing is left that could make it true */
            break;
        }
    } while (!done(arg));
    (void)uv_timer_stop(&loop->wake);
    loop->done = NULL;
    return err;
}

enum csl_err csl_loop_clear(struct csl_loop *loop, uint64_t linger_ms) {
    set_wake(loop, linger_ms);
    uv_unref((uv_handle_t *)&loop->wake); /* the loop is done when nothing but the timer is left */
    while (!loop->late && uv_run(&loop->uv, UV_RUN_ONCE) != 0) {
    }
    uv_ref((uv_handle_t *)&loop->wake);
    if (loop->late && uv_loop_alive(&loop->uv) && linger_ms != CSL_NO_TIMEOUT) {
        (void)uv_timer_stop(&loop->wake);
        if (uv_loop_alive(&loop->uv)) {
            return CSL_EBUSY;
        }
    }
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->before_poll, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    return uv_loop_close(&loop->uv) == 0 ? CSL_OK : CSL_EBUSY;
}
