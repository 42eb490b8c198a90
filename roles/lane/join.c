#include "roles/lane/join.h"

static unsigned n_parties(const struct csl_join *j) {
    return j->ctx->roster.n_parties;
}

static unsigned self(const struct csl_join *j) {
    return (unsigned)j->ctx->self->party;
}

static const struct csl_member *member_at(const struct csl_join *j, unsigned place) {
    return place < n_parties(j) ? csl_roster_party(&j->ctx->roster, place)
                                : csl_roster_dealer(&j->ctx->roster);
}

static unsigned n_places(const struct csl_join *j) {
    return n_parties(j) + (j->with_dealer ? 1 : 0);
}

uint64_t csl_join_ms(const struct csl_context *ctx) {
    const struct csl_timeouts *t = &ctx->roster.timeouts;
    return (uint64_t)t->connect_ms + 2 * (uint64_t)t->handshake_ms;
}

static enum csl_err dial_all(struct csl_join *j, struct csl_diag *diag) {
    for (unsigned i = 0; i < n_places(j); i++) {
        const struct csl_member *m = member_at(j, i);
        if (i == self(j) || !csl_roster_dials(&j->ctx->roster, j->ctx->self, m)) {
            continue;
        }
        TRY(csl_talk_dial(&j->talks[i], j->worker, m,
                          i < n_parties(j) ? j->purpose : CSL__PB__PURPOSE__PURPOSE_CORRECTIONS,
                          j->session_id, diag));
        j->present[i] = true;
    }
    return CSL_OK;
}

/* Every place is taken, or one of the connections or the client is lost. */
static bool all_present(void *arg) {
    struct csl_join *j = arg;
    bool all = true;
    for (unsigned i = 0; i < n_places(j); i++) {
        all = all && (i == self(j) || j->present[i]);
        if (j->present[i] && j->talks[i].err != CSL_OK) {
            return true;
        }
    }
    return all || (j->client != NULL && j->client->err != CSL_OK) ||
           csl_worker_check(j->worker, NULL) != CSL_OK;
}

static enum csl_err missing(struct csl_join *j, struct csl_diag *diag) {
    for (unsigned i = 0; i < n_places(j); i++) {
        if (i != self(j) && !j->present[i]) {
            return csl_fail(diag, CSL_ETIMEOUT,
                            "%s did not join the session within %llu ms; it joins when %s asks it to",
                            member_at(j, i)->name, (unsigned long long)csl_join_ms(j->ctx),
                            i < n_parties(j) ? j->asked_by : j->ctx->self->name);
        }
    }
    return CSL_OK;
}

enum csl_err csl_join_all(struct csl_join *j, struct csl_diag *diag) {
    TRY(dial_all(j, diag));
    enum csl_err late = csl_loop_run_until(&j->worker->loop, all_present, j, csl_join_ms(j->ctx));
    TRY(csl_worker_check(j->worker, diag));
    if (j->client != NULL && j->client->err != CSL_OK) {
        return csl_fail(diag, j->client->err, "%s", j->client->diag.text);
    }
    if (late != CSL_OK) {
        TRY(missing(j, diag));
    }
    struct csl_talk *talks[CSL_MAX_PARTIES + 1];
    size_t n = 0;
    for (unsigned i = 0; i < n_places(j); i++) {
        if (j->present[i]) {
            talks[n++] = &j->talks[i];
        }
    }
    TRY(csl_talk_wait_ready(j->worker, talks, n, csl_join_ms(j->ctx), diag));
    return missing(j, diag);
}

enum csl_err csl_join_link(struct csl_join *j, struct csl_mesh_link *link, struct csl_diag *diag) {
    for (unsigned i = 0; i < n_parties(j); i++) {
        if (i == self(j)) {
            continue;
        }
        struct csl_conn *conn = csl_talk_release(&j->talks[i]);
        if (conn == NULL) {
            return csl_fail(diag, CSL_EPEER, "%s", j->talks[i].diag.text);
        }
        enum csl_err err = csl_mesh_link_set_peer(link, i, conn, diag);
        if (err != CSL_OK) { /* nobody's: the talk has given it away */
            csl_conn_set_callbacks(conn, NULL, NULL);
            csl_conn_close(conn, err, NULL);
            return err;
        }
    }
    return CSL_OK;
}
