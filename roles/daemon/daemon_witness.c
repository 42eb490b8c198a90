/* Daemons cosign each other's checkpoints over their control connections, in the manner of
 * c2sp.org/tlog-witness. The main thread keeps the state; what signs, verifies or syncs runs in a thread, one
 * at a time, so that the main loop never waits for the disk.
 *
 * A checkpoint is offered to a daemon when its connection comes up, and whenever there is a newer one: every
 * SLOW_MS while something is being logged, at the next tick after a session has ended. Until a connected
 * daemon has shown a checkpoint that continues what we know of it, sessions wait; one that shows another
 * history is refused until it shows the right one. */
#include <stdlib.h>
#include <string.h>

#include "roles/daemon/daemon_internal.h"
#include "roles/daemon/witness.h"

enum { TICK_MS = 100, SLOW_MS = 2000, BEHIND_MAX = 4 };

enum job_kind { MAKE, OFFER, JUDGE, TAKE, ACCUSED };

struct csl_witness_job {
    struct csl_witness_job *next;
    struct csl_daemon *d;
    struct csl_control_peer *peer;
    uint64_t generation; /* of the peer's connection: an answer to an earlier one is dropped */
    enum job_kind kind;
    /* JUDGE, TAKE, ACCUSED: what came */
    csl_control *m;
    bool lenient;
    uint64_t known; /* OFFER */
    enum csl_err err;
    struct csl_diag diag;
    struct csl_witness_offer offer; /* MAKE, OFFER */
    struct csl_witness_verdict verdict;
};

/* ---- Jobs ---- */

static void run(void *arg) {
    struct csl_witness_job *j = arg;
    const struct csl_context *ctx = j->d->ctx;
    const struct csl_member *from = j->peer != NULL ? j->peer->member : NULL;
    switch (j->kind) {
    case MAKE:
        j->err = csl_ledger_checkpoint(ctx->logbook->ledger, &j->offer.note, &j->diag);
        break;
    case OFFER:
        j->err = csl_witness_offer(&j->offer, ctx, from, j->known, &j->diag);
        break;
    case JUDGE:
        j->err = csl_witness_judge(&j->verdict, ctx, from, j->m->add_checkpoint->note,
                                   j->m->add_checkpoint->old_size, j->m->add_checkpoint->proof,
                                   j->m->add_checkpoint->n_proof, j->lenient, &j->diag);
        break;
    case TAKE:
        j->err = csl_witness_take(ctx, from, j->m->cosigned->note, &j->diag);
        break;
    case ACCUSED:
        j->err = csl_witness_against_us(ctx, from, j->m->witness_refuses->note, &j->diag);
        break;
    }
}

static void start_next(struct csl_daemon *d);
static void offer_to(struct csl_control_peer *p, uint64_t known);

static void free_job(struct csl_witness_job *j) {
    csl_message_free(j->m);
    free(j);
}

static struct csl_witness_job *add_job(struct csl_daemon *d, struct csl_control_peer *p, enum job_kind kind) {
    struct csl_witness_job *j = calloc(1, sizeof *j);
    if (j == NULL) {
        csl_log("no memory to witness checkpoints");
        return NULL;
    }
    j->d = d;
    j->peer = p;
    j->kind = kind;
    j->generation = p != NULL ? p->generation : 0;
    struct csl_witness_job **at = &d->witness.jobs;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = j;
    return j;
}

/* ---- Results, in the main thread ---- */

static void send_to(struct csl_control_peer *p, const csl_control *m) {
    (void)csl_daemon_send(p->daemon, p->member, m);
}

static void made(struct csl_daemon *d, const struct csl_witness_job *j) {
    d->witness.making = false;
    if (j->err != CSL_OK) {
        return; /* csl_daemon_admits says so */
    }
    d->witness.size = j->offer.note.checkpoint.size;
    for (unsigned i = 0; i < d->n_peers; i++) {
        struct csl_control_peer *p = &d->peers[i];
        if (p->up && !p->offered && d->witness.size > p->cosigned && d->witness.size != p->offered_size) {
            offer_to(p, p->cosigned);
        }
    }
}

static void offered(struct csl_control_peer *p, const struct csl_witness_job *j) {
    if (j->err != CSL_OK) {
        p->offered = false;
        return;
    }
    CSL_CONTROL(m, body, AddCheckpoint, ADD_CHECKPOINT, ADD_CHECKPOINT, add_checkpoint);
    ProtobufCBinaryData proof[CSL_MERKLE_PROOF_MAX];
    for (size_t i = 0; i < j->offer.n_proof; i++) {
        proof[i] = csl_bytes(j->offer.nodes[i], CSL_MERKLE_BYTES);
    }
    body.note = (char *)(uintptr_t)j->offer.note.text;
    body.old_size = j->offer.old_size;
    body.n_proof = j->offer.n_proof;
    body.proof = proof;
    p->offered_size = j->offer.note.checkpoint.size;
    send_to(p, &m);
}

/* Sessions wait for, or are refused because of, what has just changed. */
static void tell_role(struct csl_daemon *d) {
    if (d->ops->on_witnessed != NULL) {
        d->ops->on_witnessed(d->arg);
    }
}

static void distrust(struct csl_control_peer *p, const struct csl_diag *reason) {
    if (!p->refused || strcmp(p->reason.text, reason->text) != 0) {
        csl_log("the ledger of %s is refused: %s", p->member->name, reason->text);
    }
    p->distrusted = p->refused = true;
    p->reason = *reason;
    tell_role(p->daemon);
}

static void witnessed(struct csl_control_peer *p) {
    if (p->refused) {
        csl_log("the ledger of %s continues what was seen of it; it is trusted again", p->member->name);
    }
    bool news = p->distrusted || !p->shown;
    p->distrusted = p->refused = false;
    p->shown = true;
    p->told_behind = false;
    if (news) {
        tell_role(p->daemon);
    }
}

static void judged(struct csl_control_peer *p, const struct csl_witness_job *j) {
    p->judging = false;
    if (j->err != CSL_OK) {
        csl_log("the checkpoint of %s cannot be judged: %s", p->member->name, j->diag.text);
        if (j->err == CSL_EAUTH || j->err == CSL_EDATA) {
            csl_conn_close(p->conn, j->err, j->diag.text);
        }
        return;
    }
    if (j->verdict.kind == CSL_WITNESS_BEHIND) {
        CSL_CONTROL(m, body, WitnessBehind, WITNESS_BEHIND, WITNESS_BEHIND, witness_behind);
        body.size = j->verdict.have;
        p->told_behind = true;
        send_to(p, &m);
    } else if (j->verdict.kind == CSL_WITNESSED) {
        CSL_CONTROL(m, body, Cosigned, COSIGNED, COSIGNED, cosigned);
        body.note = (char *)(uintptr_t)j->verdict.note.text;
        send_to(p, &m);
        witnessed(p);
    } else {
        CSL_CONTROL(m, body, WitnessRefuses, WITNESS_REFUSES, WITNESS_REFUSES, witness_refuses);
        body.size = j->verdict.have;
        body.note = (char *)(uintptr_t)j->verdict.note.text;
        body.reason = (char *)(uintptr_t)j->verdict.reason.text;
        send_to(p, &m);
        distrust(p, &j->verdict.reason);
    }
}

static void taken(struct csl_control_peer *p, const struct csl_witness_job *j) {
    p->offered = p->answered = false;
    p->behind = 0;
    if (j->err != CSL_OK) {
        csl_log("not taken: %s", j->diag.text);
        return;
    }
    p->cosigned = p->offered_size;
    if (p->daemon->witness.size > p->cosigned) {
        offer_to(p, p->cosigned);
    }
}

static void accused(struct csl_control_peer *p, const struct csl_witness_job *j) {
    struct csl_daemon *d = p->daemon;
    p->offered = p->answered = false;
    if (j->err == CSL_EAUTH && d->witness.closed == CSL_OK) {
        d->witness.closed = j->err;
        d->witness.why = j->diag;
        csl_log("%s", j->diag.text);
        tell_role(d);
    } else if (j->err == CSL_OK) {
        csl_log("%s refuses our checkpoint without showing one of ours that ours does not continue: %s",
                p->member->name, j->m->witness_refuses->reason);
    }
}

static void done(void *arg) {
    struct csl_witness_job *j = arg;
    struct csl_daemon *d = j->d;
    struct csl_control_peer *p = j->peer;
    d->witness.busy = false;
    if (!d->stopping && p == NULL) {
        made(d, j);
    } else if (!d->stopping && p->up && p->generation == j->generation) {
        switch (j->kind) {
        case OFFER:
            offered(p, j);
            break;
        case JUDGE:
            judged(p, j);
            break;
        case TAKE:
            taken(p, j);
            break;
        default:
            accused(p, j);
        }
    }
    free_job(j);
    start_next(d);
}

static void start_next(struct csl_daemon *d) {
    struct csl_witness_job *j = d->witness.jobs;
    if (j == NULL || d->witness.busy || d->stopping) {
        return;
    }
    d->witness.jobs = j->next;
    d->witness.busy = true;
    if (csl_daemon_spawn(d, run, done, j) != CSL_OK) {
        csl_log("no thread to witness checkpoints");
        d->witness.busy = false;
        free_job(j);
    }
}

/* ---- What starts them ---- */

static void offer_to(struct csl_control_peer *p, uint64_t known) {
    struct csl_witness_job *j = add_job(p->daemon, p, OFFER);
    if (j != NULL) {
        j->known = known;
        p->offered = true;
        start_next(p->daemon);
    }
}

static void on_tick(uv_timer_t *timer) {
    struct csl_daemon *d = timer->data;
    struct csl_witnessing *w = &d->witness;
    uint64_t now = uv_now(&d->loop);
    bool slow = now - w->made_ms >= SLOW_MS;
    bool news = csl_ledger_size(d->ctx->logbook->ledger) != w->size;
    if (!w->making && !d->stopping && (slow || (w->soon && news))) {
        w->making = add_job(d, NULL, MAKE) != NULL;
        w->made_ms = now;
        w->soon = false;
        start_next(d);
    }
}

static void restart(struct csl_control_peer *p) {
    p->generation++;
    p->offered = p->answered = p->shown = p->told_behind = p->judging = p->distrusted = false;
    p->behind = 0;
    p->offered_size = UINT64_MAX;
}

void csl__witness_peer(struct csl_control_peer *p, bool up) {
    restart(p);
    if (up && p->daemon->ctx->logbook != NULL) {
        offer_to(p, p->cosigned != 0 ? p->cosigned : CSL_WITNESS_UNKNOWN);
    }
}

static enum csl_err on_behind(struct csl_control_peer *p, uint64_t size, struct csl_diag *diag) {
    if (!p->offered || p->behind++ >= BEHIND_MAX) {
        return csl_fail(diag, CSL_EPROTO, "%s asks again and again where our proof begins", p->member->name);
    }
    offer_to(p, size);
    return CSL_OK;
}

enum csl_err csl__witness_message(struct csl_control_peer *p, csl_control **m, struct csl_diag *diag) {
    enum job_kind kind;
    switch ((*m)->kind_case) {
    case CSL__PB__CONTROL__KIND_ADD_CHECKPOINT:
        kind = JUDGE;
        break;
    case CSL__PB__CONTROL__KIND_COSIGNED:
        kind = TAKE;
        break;
    case CSL__PB__CONTROL__KIND_WITNESS_REFUSES:
        kind = ACCUSED;
        break;
    default:
        return on_behind(p, (*m)->witness_behind->size, diag);
    }
    if (p->daemon->ctx->logbook == NULL) {
        return CSL_OK;
    }
    if (kind == JUDGE ? p->judging : !p->offered || p->answered) {
        return csl_fail(diag, CSL_EPROTO, "%s sent %s out of turn", p->member->name,
                        csl_message_kind_name((int)(*m)->kind_case));
    }
    struct csl_witness_job *j = add_job(p->daemon, p, kind);
    if (j == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "no memory to judge a checkpoint");
    }
    j->m = *m;
    *m = NULL;
    j->lenient = !p->told_behind;
    p->judging = p->judging || kind == JUDGE;
    p->answered = p->answered || kind != JUDGE;
    start_next(p->daemon);
    return CSL_OK;
}

/* ---- For the daemon and its role ---- */

enum csl_err csl__witness_start(struct csl_daemon *d, struct csl_diag *diag) {
    if (uv_timer_init(&d->loop, &d->witness.timer) != 0) {
        return csl_fail(diag, CSL_EOS, "no timer");
    }
    d->witness.timer.data = d;
    d->witness.started = true;
    if (d->ctx->logbook != NULL) {
        d->witness.size = csl_ledger_size(d->ctx->logbook->ledger);
        (void)uv_timer_start(&d->witness.timer, on_tick, TICK_MS, TICK_MS);
    }
    return CSL_OK;
}

void csl__witness_stop(struct csl_daemon *d) {
    if (d->witness.started) {
        d->witness.started = false;
        uv_close((uv_handle_t *)&d->witness.timer, NULL);
    }
    while (d->witness.jobs != NULL) {
        struct csl_witness_job *j = d->witness.jobs;
        d->witness.jobs = j->next;
        free_job(j);
    }
}

void csl_daemon_logged(struct csl_daemon *d) {
    d->witness.soon = true;
}

enum csl_err csl_daemon_admits(const struct csl_daemon *d, struct csl_diag *diag) {
    TRY(csl_logbook_check(d->ctx, diag));
    if (d->witness.closed != CSL_OK) {
        return csl_fail(diag, d->witness.closed, "%s", d->witness.why.text);
    }
    for (unsigned i = 0; i < d->n_peers; i++) {
        const struct csl_control_peer *p = &d->peers[i];
        if (p->distrusted) {
            return csl_fail(diag, CSL_EAUTH, "no session with %s: %s", p->member->name, p->reason.text);
        }
    }
    return CSL_OK;
}

bool csl_daemon_unseen(const struct csl_daemon *d, const char **who) {
    for (unsigned i = 0; d->ctx->logbook != NULL && i < d->n_peers; i++) {
        const struct csl_control_peer *p = &d->peers[i];
        bool expected = p->up || p->generation == 0; /* one that went away fails the session in its own way */
        if (expected && !p->shown && !p->distrusted) {
            *who = p->member->name;
            return true;
        }
    }
    return false;
}
