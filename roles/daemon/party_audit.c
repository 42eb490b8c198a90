/* Another party tells that it opens its view of a session to a judge: counted in our ledger, and answered, in
 * a thread of its own, since the answer waits for the disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roles/daemon/party_internal.h"
#include "roles/judge/opening.h"
#include "roles/talk.h"

enum { TOLD_MAX = 4 };

struct csl_told {
    struct csl_told *next;
    struct csl_party *party;
    struct csl_conn_parts *parts;
    struct csl_opening opening;
    struct csl_worker worker;
    struct csl_talk talk;
    struct csl_diag diag;
};

static enum csl_err answer(struct csl_told *t) {
    struct csl_openings known;
    char *names[CSL_MAX_PARTIES];
    TRY(csl_opening_accept(&known, t->party->ctx->logbook, &t->opening, &t->diag));
    csl_log("%s opens its share of model %s to a judge", t->opening.party, known.model);
    CSL_CONTROL(m, body, OpeningsKnown, OPENINGS_KNOWN, OPENINGS_KNOWN, openings_known);
    body.parties = names;
    for (unsigned i = 0; i < known.n; i++) {
        names[body.n_parties++] = known.names[i];
    }
    return csl_talk_send(&t->talk, &m, &t->diag);
}

static void told_body(void *arg) {
    struct csl_told *t = arg;
    enum csl_err err =
        csl_talk_adopt(&t->talk, &t->worker, t->parts, CSL__PB__PURPOSE__PURPOSE_AUDIT, &t->diag);
    t->parts = NULL;
    if (err == CSL_OK) {
        err = answer(t);
    }
    if (err != CSL_OK) {
        csl_log("the opening of a view of %s is not agreed to: %s", t->opening.party, t->diag.text);
        csl_logbook_refused(t->party->ctx->logbook, t->opening.party, "to open its view to a judge", err,
                            t->diag.text);
        csl_talk_send_failure(&t->talk, err, t->diag.text);
    }
    csl_talk_close(&t->talk);
    csl_worker_clear(&t->worker);
}

static void told_free(struct csl_told *t) {
    csl_conn_parts_free(t->parts);
    csl_worker_clear(&t->worker);
    csl_opening_clear(&t->opening);
    free(t);
}

static void told_done(void *arg) {
    struct csl_told *t = arg;
    struct csl_told **at = &t->party->told;
    while (*at != t) {
        at = &(*at)->next;
    }
    *at = t->next;
    t->party->n_told--;
    told_free(t);
}

/* On error the conn is the caller's still, unless it has ended. */
static enum csl_err start(struct csl_told *t, struct csl_conn *conn, const Csl__Pb__OpeningAnnounced *m) {
    memcpy(t->opening.package_digest, m->package_digest.data, sizeof t->opening.package_digest);
    memcpy(t->opening.session_id, m->session_id.data, sizeof t->opening.session_id);
    memcpy(t->opening.judge, m->judge.data, sizeof t->opening.judge);
    if (m->consent.len != 0) {
        TRY(csl_signed_copy(&t->opening.consent, m->consent.data, m->consent.len, m->consent_signature.data));
    }
    TRY(csl_worker_init(&t->worker, t->party->ctx, t->party->ctx->tls, &t->diag));
    t->parts = csl_conn_detach(conn);
    if (t->parts == NULL) {
        return CSL_EPEER;
    }
    TRY(csl_daemon_spawn(t->party->daemon, told_body, told_done, t));
    t->next = t->party->told;
    t->party->told = t;
    t->party->n_told++;
    return CSL_OK;
}

static bool form_is_right(const Csl__Pb__OpeningAnnounced *m) {
    return m->package_digest.len == CSL_DIGEST_BYTES && m->session_id.len == CSL_SESSION_ID_BYTES &&
           m->judge.len == CSL_SPKI_BYTES && m->consent.len <= CSL_STATEMENT_MAX &&
           (m->consent.len == 0 || m->consent_signature.len == CSL_SIGNATURE_BYTES);
}

void csl__party_told(struct csl_party *p, struct csl_conn *conn, const struct csl_member *from,
                     const Csl__Pb__OpeningAnnounced *m) {
    if (!form_is_right(m)) {
        csl_conn_refuse(conn, CSL_EPROTO, "message opening_announced: a field has a wrong length");
        return;
    }
    struct csl_told *t = p->n_told < TOLD_MAX && !p->stopping ? calloc(1, sizeof *t) : NULL;
    if (t == NULL) {
        csl_conn_refuse(conn, CSL_EBUSY, "other openings are being counted; try again");
        return;
    }
    t->party = p;
    (void)snprintf(t->opening.party, sizeof t->opening.party, "%s", from->name);
    enum csl_err err = start(t, conn, m);
    if (err != CSL_OK) {
        csl_log("the opening of a view of %s is not counted: %s", from->name, csl_err_text(err));
        if (t->parts == NULL && err != CSL_EPEER) {
            csl_conn_refuse(conn, err, "no thread or memory to count an opening");
        }
        told_free(t);
    }
}

void csl__party_stop_told(struct csl_party *p) {
    for (struct csl_told *t = p->told; t != NULL; t = t->next) {
        csl_worker_interrupt(&t->worker, CSL_EPEER, "the daemon is being stopped");
    }
}
