#include "roles/daemon/logbook.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/verify.h"
#include "crypto/files_internal.h"
#include "roles/daemon/daemon.h"

enum { REFUSALS_A_MINUTE = 100, TEXT_MAX = 400 };

void csl_logbook_origin(char out[CSL_ORIGIN_MAX + 1], const struct csl_roster *r, const char *name) {
    csl_audit_origin(out, r->consortium, name);
}

enum csl_err csl_logbook_open(struct csl_logbook *b, const struct csl_context *ctx, uint32_t sync_ms,
                              struct csl_diag *diag) {
    char state[CSL__PATH_MAX], dir[CSL__PATH_MAX], origin[CSL_ORIGIN_MAX + 1];
    memset(b, 0, sizeof *b);
    TRY(csl__path(state, ctx->dir, "state", diag));
    TRY(csl__make_dir(state, diag));
    TRY(csl__path(dir, state, "ledger", diag));
    csl_logbook_origin(origin, &ctx->roster, ctx->self->name);
    struct csl_ledger_options opt = {.dir = dir,
                                     .origin = origin,
                                     .name = ctx->self->name,
                                     .sign_key = ctx->site.sign_key,
                                     .sync_ms = sync_ms};
    TRY(csl_ledger_open(&b->ledger, &opt, diag));
    b->ctx = ctx;
    (void)pthread_mutex_init(&b->refusals_lock, NULL);
    if (csl_ledger_torn(b->ledger) != 0) {
        csl_log("the ledger's last %llu bytes were not finished when the program stopped the last time, and "
                "are cut off",
                (unsigned long long)csl_ledger_torn(b->ledger));
    }
    return CSL_OK;
}

enum csl_err csl_logbook_add(struct csl_logbook *b, csl_leaf *leaf, bool durable, struct csl_diag *diag) {
    uint8_t *bytes;
    size_t n;
    uint64_t index;
    enum csl_err err = csl_leaf_encode(&bytes, &n, leaf);
    if (err != CSL_OK) {
        return csl_fail(diag, err, "a ledger's entry cannot be made");
    }
    err = csl_ledger_append(b->ledger, &index, bytes, n, durable, diag);
    free(bytes);
    return err;
}

enum csl_err csl_logbook_check(const struct csl_context *ctx, struct csl_diag *diag) {
    return ctx->logbook == NULL ? CSL_OK : csl_ledger_check(ctx->logbook->ledger, diag);
}

/* ---- Refusals ---- */

static void add_refusal(struct csl_logbook *b, const char *who, const char *what, enum csl_err err,
                        const char *reason) {
    char text[3][TEXT_MAX + 1];
    const char *given[3] = {who, what, reason};
    for (size_t i = 0; i < 3; i++) {
        size_t n = strnlen(given[i], TEXT_MAX);
        for (size_t k = 0; k < n; k++) { /* what a peer sent may be in a reason */
            unsigned char c = (unsigned char)given[i][k];
            text[i][k] = c >= 0x20 && c < 0x7f ? (char)c : '?';
        }
        text[i][n] = '\0';
    }
    CSL_LEAF(leaf, body, RefusedLeaf, REFUSED_LEAF, REFUSED, refused);
    body.who = text[0];
    body.what = text[1];
    body.reason = text[2];
    body.error = err;
    struct csl_diag diag = {""};
    if (csl_logbook_add(b, &leaf, false, &diag) != CSL_OK) {
        csl_log("a refusal is not in the ledger: %s", diag.text);
    }
}

static uint64_t minute_now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec / 60;
}

/* The refusals that the minute before had no room for, as one. refusals_lock is held. */
static void add_dropped(struct csl_logbook *b) {
    if (b->dropped != 0) {
        char text[80];
        (void)snprintf(text, sizeof text, "%llu more refusals within a minute",
                       (unsigned long long)b->dropped);
        b->dropped = 0;
        add_refusal(b, "several", "connections", CSL_EBUSY, text);
    }
}

void csl_logbook_refused(struct csl_logbook *b, const char *who, const char *what, enum csl_err err,
                         const char *reason) {
    if (b == NULL || b->ledger == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&b->refusals_lock);
    uint64_t minute = minute_now();
    if (minute != b->minute) {
        add_dropped(b);
        b->minute = minute;
        b->refusals = 0;
    }
    if (b->refusals < REFUSALS_A_MINUTE) {
        b->refusals++;
        add_refusal(b, who, what, err, reason);
    } else {
        b->dropped++;
    }
    (void)pthread_mutex_unlock(&b->refusals_lock);
}

void csl_logbook_close(struct csl_logbook *b) {
    if (b->ledger != NULL) {
        (void)pthread_mutex_lock(&b->refusals_lock);
        add_dropped(b);
        (void)pthread_mutex_unlock(&b->refusals_lock);
        (void)pthread_mutex_destroy(&b->refusals_lock);
        csl_ledger_close(b->ledger);
    }
    memset(b, 0, sizeof *b);
}
