#include "roles/client/client_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/rand.h"

enum { RETRIES = 5, RETRY_MS = 200, GATHER_MS = 1000 };

const struct csl_plan *csl_client_plan(const struct csl_client *c) {
    return &c->manifest.plan;
}

const struct csl_manifest *csl_client_manifest(const struct csl_client *c) {
    return &c->manifest;
}

/* ---- Failures ---- */

/* Whether all that this party owes us of the batch's answer is here: then it may go. */
static bool answered(const struct csl_client *c, unsigned i) {
    unsigned n = 0;
    for (const struct csl_frame_in *f = c->talks[i].first; f != NULL && n < c->due[i]; f = f->next) {
        n++;
    }
    return c->answering && n == c->due[i];
}

/* No party ends its connection before we do: when one does, every wait is over, whomever it is for. With
 * after-output signatures one may find a fault, and end, when its answer is out: that is the next batch's. */
static enum csl_err check(void *arg, struct csl_diag *diag) {
    const struct csl_client *c = arg;
    for (unsigned i = 0; i < c->n_parties && !c->failed; i++) {
        if (c->talks[i].err != CSL_OK && !answered(c, i)) {
            return csl_fail(diag, c->talks[i].err, "%s", c->talks[i].diag.text);
        }
    }
    return CSL_OK;
}

static bool transient(enum csl_err err) {
    return err == CSL_ESTALE || err == CSL_EBUSY;
}

/* The Failure among what this party has sent, or CSL_OK. */
static enum csl_err said_by(struct csl_talk *t, struct csl_diag *said) {
    struct csl_frame_in *f;
    while (t->first != NULL && csl_talk_receive(t, &f, 0, NULL) == CSL_OK) {
        if (f->h.type != CSL_FRAME_CONTROL) {
            csl_frame_in_free(f);
            continue;
        }
        csl_control *m = NULL;
        enum csl_err err = csl_talk_decode(t, &m, f, said);
        csl_message_free(m);
        if (err != CSL_OK) {
            return err;
        }
    }
    return CSL_OK;
}

/* Somebody was lost: whoever found out why says more. */
static bool vague(enum csl_err err) {
    return err == CSL_EPEER || err == CSL_ETIMEOUT;
}

/* Whether what a party said (e) is to be shown instead of err. */
static bool tells_more(enum csl_err e, enum csl_err err, bool explained) {
    if (vague(e)) {
        return vague(err) && !explained;
    }
    return !explained || vague(err) || (transient(e) && !transient(err));
}

struct gathering {
    struct csl_client *c;
    bool wait; /* for the Failure of every party that lives; else only look at what is there */
    enum csl_err err[CSL_MAX_PARTIES];
    struct csl_diag said[CSL_MAX_PARTIES];
};

/* An answer to an earlier question is no word on what failed. */
static bool all_spoke(void *arg) {
    struct gathering *g = arg;
    bool all = true;
    for (unsigned i = 0; i < g->c->n_parties; i++) {
        struct csl_talk *t = &g->c->talks[i];
        bool silent = t->first == NULL;
        if (g->err[i] == CSL_OK) {
            g->err[i] = said_by(t, &g->said[i]);
        }
        bool spoke = g->err[i] != CSL_OK || t->conn == NULL || t->err != CSL_OK;
        all = all && (spoke || (!g->wait && !silent));
    }
    return all;
}

/* Something failed. The parties that live say in a moment what they saw, which tells more (party, round) than
 * the connection that we lost. The first such sentence is the one to show, but for one that says that trying
 * again helps, and one that says more than that a party was lost: the party that found the fault says so, the
 * others only that this party aborted. */
enum csl_err csl__client_explain(struct csl_client *c, enum csl_err err, struct csl_diag *diag) {
    c->failed = true;
    if (transient(err)) {
        return err;
    }
    struct gathering g = {.c = c, .wait = vague(err)};
    (void)!csl_loop_run_until(&c->worker.loop, all_spoke, &g, GATHER_MS);
    bool explained = false;
    for (unsigned i = 0; i < c->n_parties; i++) {
        if (g.err[i] != CSL_OK && tells_more(g.err[i], err, explained)) {
            err = csl_fail(diag, g.err[i], "%s", g.said[i].text);
            explained = true;
        }
    }
    return err;
}

/* ---- Opening and closing ---- */

static void hang_up(struct csl_client *c) {
    for (unsigned i = 0; i < c->n_parties; i++) {
        csl_talk_close(&c->talks[i]);
    }
}

static enum csl_err try_open(struct csl_client *c, struct csl_diag *diag) {
    c->failed = false;
    memset(c->talks, 0, sizeof c->talks); /* what ended the last attempt is not to end this one */
    TRY(csl_rand(c->session_id, sizeof c->session_id));
    TRY(csl_rand(c->guest_id, sizeof c->guest_id));
    enum csl_err err = csl__client_ask_all(c, diag);
    if (err == CSL_OK) {
        err = csl__client_all_ready(c, diag);
    }
    if (err != CSL_OK) {
        err = csl__client_explain(c, err, diag);
        hang_up(c);
    }
    return err;
}

static bool never(void *arg) {
    (void)arg;
    return false;
}

static enum csl_err open_client(struct csl_client *c, struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    for (int i = 0; i < RETRIES; i++) {
        err = try_open(c, diag);
        if (!transient(err)) {
            return err;
        }
        (void)!csl_loop_run_until(&c->worker.loop, never, NULL,
                                  RETRY_MS << i); /* goodbyes go out meanwhile */
    }
    return err;
}

static enum csl_err set_options(struct csl_client *c, const struct csl_client_options *opt,
                                struct csl_diag *diag) {
    if (opt->max_batch == 0 || opt->max_batch > c->ctx->roster.limits.max_batch) {
        return csl_fail(diag, CSL_EUSAGE, "a batch of %u; the roster's limit is %u", opt->max_batch,
                        c->ctx->roster.limits.max_batch);
    }
    if (opt->shared && opt->parts != NULL && opt->parts->n != 0) {
        return csl_fail(diag, CSL_EUSAGE,
                        "a shared session has no parts of the input: each request is one "
                        "client's; open a session of your own");
    }
    if (opt->shared && opt->ahead) {
        return csl_fail(diag, CSL_EUSAGE,
                        "in a shared session nothing is announced: its parties make correlations "
                        "ahead of need anyway");
    }
    c->opt = *opt;
    (void)snprintf(c->model, sizeof c->model, "%s", opt->model);
    if (opt->parts != NULL) {
        c->parts = *opt->parts;
    }
    c->own_part = csl_parts_find(&c->parts, c->ctx->self);
    return CSL_OK;
}

enum csl_err csl_client_open(struct csl_client **out, const struct csl_context *ctx,
                             const struct csl_client_options *opt, struct csl_diag *diag) {
    *out = NULL;
    TRY(csl_context_require(ctx, CSL_ROLE_CLIENT, diag));
    struct csl_client *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return CSL_ENOMEM;
    }
    c->ctx = ctx;
    c->n_parties = ctx->roster.n_parties;
    c->sign = ctx->roster.audit.sign != CSL_ROSTER_SIGN_OFF;
    enum csl_err err = set_options(c, opt, diag);
    if (err == CSL_OK) {
        err = csl_worker_init(&c->worker, ctx, ctx->tls, diag);
        c->worker.check = check;
        c->worker.arg = c;
    }
    if (err == CSL_OK) {
        err = open_client(c, diag);
    }
    if (err != CSL_OK) {
        csl_worker_clear(&c->worker);
        free(c);
        return err;
    }
    if (opt->on_session != NULL) {
        opt->on_session(opt->arg, c->session_id);
    }
    *out = c;
    return CSL_OK;
}

const struct csl_part *csl_client_part(const struct csl_client *c) {
    return c->own_part < 0 ? NULL : &c->parts.at[c->own_part];
}

bool csl_client_owns_input(const struct csl_client *c) {
    return c->parts.n == 0 || c->own_part >= 0;
}

void csl_client_close(struct csl_client *c) {
    if (c == NULL) {
        return;
    }
    for (unsigned i = 0; i < c->n_parties && !c->failed; i++) {
        CSL_CONTROL(m, body, CloseSession, CLOSE_SESSION, CLOSE_SESSION, close_session);
        (void)!csl_talk_send(&c->talks[i], &m, NULL);
    }
    hang_up(c);
    csl_worker_clear(&c->worker);
    free(c);
}
