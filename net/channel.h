/* Straight-line code over an event loop: what a lane's thread waits with.
 *
 *   struct csl_loop loop;
 *   TRY(csl_loop_init(&loop, diag));
 *   csl_conn_dial(&conn, &loop.uv, ...);
 *   err = csl_loop_run_until(&loop, hello_is_in, &state, 5000);
 *   ...
 *   csl_loop_clear(&loop, 2000);
 *
 * uv_run is not re-entrant: never call these from a callback.
 */
#ifndef CSL_NET_CHANNEL_H
#define CSL_NET_CHANNEL_H

#include "crypto/err.h"

#include <uv.h>

struct csl_loop {
    uv_loop_t uv;
    uv_timer_t wake;
    uv_prepare_t before_poll;
    bool (*done)(void *arg); /* of the run_until in work, or NULL */
    void *done_arg;
    bool late;
};

CSL_MUST_CHECK enum csl_err csl_loop_init(struct csl_loop *loop, struct csl_diag *diag);

/* Runs the loop until done(arg) is true (CSL_OK; it is asked first, so that nothing runs when it is
 * true already) or timeout_ms have passed (CSL_ETIMEOUT; the caller knows what to say about it).
 * CSL_NO_TIMEOUT waits for ever. */
#define CSL_NO_TIMEOUT UINT64_MAX
CSL_MUST_CHECK enum csl_err csl_loop_run_until(struct csl_loop *loop, bool (*done)(void *arg), void *arg,
                                               uint64_t timeout_ms);

/* Runs the loop until every conn and listener is gone, at most linger_ms; then the loop is freed.
 * Close or shut down what lives on it first. CSL_EBUSY: something was still open; nothing is freed
 * then (the caller has a bug, or shut down without enough time). */
enum csl_err csl_loop_clear(struct csl_loop *loop, uint64_t linger_ms);

#endif
