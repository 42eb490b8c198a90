/* Guests of shared sessions (docs/protocol.md S15), in the main thread: who joins which lane. */
#include <stdlib.h>
#include <string.h>

#include "roles/daemon/party_internal.h"
#include "roles/talk.h"

static bool same_id(const uint8_t *a, const uint8_t *b) {
    return memcmp(a, b, CSL_SESSION_ID_BYTES) == 0;
}

static struct csl_lane *lane_named(const struct csl_party *p, const uint8_t *session_id) {
    for (struct csl_running *r = p->running; r != NULL; r = r->next) {
        if (same_id(csl_lane_session_id(r->lane), session_id)) {
            return r->lane;
        }
    }
    return NULL;
}

bool csl__party_named(const struct csl_party *p, const uint8_t *session_id) {
    bool waits = false;
    for (const struct csl_waiting *w = p->waiting; w != NULL; w = w->next) {
        waits = waits || (w->request.shared && same_id(w->session_id, session_id));
    }
    const struct csl_lane *lane = lane_named(p, session_id);
    return p->ctx->self->party != 0 && (waits || (lane != NULL && csl_lane_takes_guests(lane)));
}

/* Party 0: the session that runs for such guests. One of another epoch or package, or that takes no more
 * guests, is none. */
static struct csl_lane *lane_for(struct csl_party *p, const struct csl_waiting *w) {
    struct csl_package *package;
    struct csl_lane *found = NULL;
    struct csl_diag why;
    if (p->epoch == NULL || csl_store_find(&p->store, &package, w->request.model, &why) != CSL_OK) {
        return NULL; /* whoever opens one is told */
    }
    for (struct csl_running *r = p->running; r != NULL && found == NULL; r = r->next) {
        if (csl_lane_is_shared(r->lane, &w->request, package, p->epoch) && csl_lane_takes_guests(r->lane)) {
            found = r->lane;
        }
    }
    csl_package_unref(package);
    return found;
}

struct csl_conn_parts *csl__waiting_detach(struct csl_waiting *w) {
    csl__waiting_unlink(w);
    csl_conn_set_callbacks(w->conn, NULL, NULL); /* it may be about to end, and would tell w */
    return csl_conn_detach(w->conn);
}

bool csl__party_join(struct csl_party *p, struct csl_waiting *w) {
    struct csl_diag why = {""};
    bool first = p->ctx->self->party == 0;
    struct csl_lane *lane = first ? lane_for(p, w) : lane_named(p, w->session_id);
    if (lane == NULL) {
        return false;
    }
    enum csl_err err =
        csl_lane_is_shared(lane, &w->request, NULL, NULL)
            ? csl_lane_reserve(lane, w->client, &w->request, &why)
            : csl_fail(&why, CSL_ESTALE, "the session of this id is for something else; try again");
    if (err == CSL_ESTALE && first) {
        return false; /* it ended just now: another one */
    }
    if (err != CSL_OK) {
        csl__waiting_refuse(w, err, why.text);
        return true;
    }
    struct csl_conn_parts *parts = csl__waiting_detach(w);
    csl_lane_join(lane, w->client, &w->request, parts);
    free(w);
    return true;
}

enum csl_err csl__shared_fits(const struct csl_party *p, const struct csl_waiting *w,
                              const struct csl_package *package, struct csl_diag *diag) {
    uint32_t rows;
    TRY(csl_lane_shared_rows(&rows, &package->plan, w->request.reveal_label,
                             p->ctx->roster.limits.max_batch));
    return csl_lane_check_rows(rows, &w->request, diag);
}

void csl__party_drain(struct csl_party *p) {
    for (struct csl_running *r = p->running; r != NULL; r = r->next) {
        csl_lane_drain(r->lane);
    }
}
