/* Who is in a shared session (docs/protocol.md S15): guests come and go while it runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpc/pack.h"
#include "roles/daemon/daemon.h"
#include "roles/daemon/logbook.h"
#include "roles/lane/lane_internal.h"

/* ---- Main thread ---- */

enum csl_err csl_lane_shared_rows(uint32_t *rows, const struct csl_plan *plan, bool reveal_label,
                                  uint32_t max_batch) {
    struct csl_demand demands[CSL_PLAN_MAX_DEMANDS];
    size_t n;
    *rows = UINT32_MAX;
    for (int p = 0; p < CSL_PROFILE_COUNT; p++) { /* before anybody knows which one it will be */
        TRY(csl_plan_demands(plan, (enum csl_profile)p, reveal_label, demands, &n));
        uint32_t of_profile = csl_pool_chunk_rows(demands, n, max_batch);
        *rows = of_profile < *rows ? of_profile : *rows;
    }
    return CSL_OK;
}

bool csl_lane_is_shared(const struct csl_lane *l, const struct csl_request *q,
                        const struct csl_package *package, const struct csl_party_epoch *epoch) {
    return l->shared != NULL && strcmp(l->opt.request.model, q->model) == 0 &&
           l->opt.request.reveal_label == q->reveal_label &&
           (package == NULL || memcmp(l->opt.package->digest, package->digest, CSL_DIGEST_BYTES) == 0) &&
           (epoch == NULL || memcmp(l->opt.epoch->id, epoch->id, CSL_EPOCH_ID_BYTES) == 0);
}

enum csl_err csl_lane_check_rows(uint32_t rows, const struct csl_request *q, struct csl_diag *diag) {
    return q->max_batch <= rows
               ? CSL_OK
               : csl_fail(diag, CSL_EUSAGE,
                          "requests of %u inputs; in a shared session of model %s one may have %u: ask for "
                          "fewer, or open a session of your own",
                          q->max_batch, q->model, rows);
}

bool csl_lane_takes_guests(const struct csl_lane *l) {
    struct csl_lane *lane = (struct csl_lane *)(uintptr_t)l; /* for its lock */
    if (l->shared == NULL) {
        return false;
    }
    pthread_mutex_lock(&lane->lock);
    bool takes = !l->shared->over && !l->shared->drain;
    pthread_mutex_unlock(&lane->lock);
    return takes;
}

static size_t client_of(const struct csl_lane *l, const struct csl_member *guest) {
    return (size_t)(guest - l->opt.ctx->roster.members);
}

/* Under lock. */
static enum csl_err has_place(const struct csl_lane *l, const struct csl_member *guest,
                              const struct csl_request *q, struct csl_diag *diag) {
    const struct csl__shared *s = l->shared;
    uint32_t most = l->opt.ctx->roster.limits.session_places_per_client;
    if (s->over || s->drain) {
        return csl_fail(diag, CSL_ESTALE, "the shared session takes no more clients; try again");
    }
    if (s->places[client_of(l, guest)] >= most) {
        return csl_fail(
            diag, CSL_EBUSY,
            "%s has %u places in the shared session of model %s already, as many as the roster's "
            "limits.session_places_per_client gives one client: try again when one of its runs has "
            "ended",
            guest->name, most, q->model);
    }
    return s->n_guests < CSL_GUESTS_MAX
               ? CSL_OK
               : csl_fail(diag, CSL_EBUSY,
                          "all %d places of the shared session of model %s are taken; try again",
                          CSL_GUESTS_MAX, q->model);
}

enum csl_err csl_lane_reserve(struct csl_lane *l, const struct csl_member *guest, const struct csl_request *q,
                              struct csl_diag *diag) {
    struct csl__shared *s = l->shared;
    TRY(csl_lane_check_rows(l->opt.request.max_batch, q, diag));
    pthread_mutex_lock(&l->lock);
    enum csl_err err = has_place(l, guest, q, diag);
    if (err == CSL_OK) {
        s->n_guests++;
        s->places[client_of(l, guest)]++;
    }
    pthread_mutex_unlock(&l->lock);
    return err;
}

void csl_lane_join(struct csl_lane *l, const struct csl_member *guest, const struct csl_request *q,
                   struct csl_conn_parts *parts) {
    struct csl__shared *s = l->shared;
    pthread_mutex_lock(&l->lock);
    if (parts != NULL && !s->over) {
        s->joining[s->n_joining++] =
            (struct csl__joining){.member = guest, .request = *q, .parts = parts}; /* its place was kept */
        parts = NULL;
    } else {
        s->n_guests--;
        s->places[client_of(l, guest)]--;
    }
    pthread_mutex_unlock(&l->lock);
    csl_conn_parts_free(parts);
    csl_worker_wake(&l->worker);
}

void csl_lane_drain(struct csl_lane *l) {
    if (l->shared == NULL) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    l->shared->drain = true;
    pthread_mutex_unlock(&l->lock);
    csl_worker_wake(&l->worker);
}

/* ---- Coming ---- */

static uint64_t now_ms(const struct csl_lane *l) {
    return uv_now(&l->worker.loop.uv);
}

static void tell_ready(struct csl_lane *l, struct csl__guest *g) {
    g->told = true;
    (void)!csl__lane_tell(l, &g->talk, NULL, 0, NULL); /* the talk keeps the error */
}

static size_t most_bytes(const struct csl_lane *l, const struct csl__guest *g) {
    const struct csl_plan *plan = &l->opt.package->plan;
    size_t n;
    bool ok = csl_pack_size(&n, (size_t)g->request.max_batch * csl_plan_n_inputs(plan),
                            csl_plan_input_bits(plan)) == CSL_OK;
    return ok && l->is_last ? n : 0;
}

static void admit(struct csl_lane *l, struct csl__guest *g) {
    CSL_CONTROL(m, body, Admitted, ADMITTED, ADMITTED, admitted);
    body.session_id = csl_bytes(l->opt.session_id, CSL_SESSION_ID_BYTES);
    csl_talk_allow_data(&g->talk, most_bytes(l, g));
    (void)!csl_talk_send(&g->talk, &m, NULL); /* likewise */
    if (l->shared->open) {
        tell_ready(l, g);
    }
}

/* The place of a new guest; NULL where its id is taken. */
static struct csl__guest *place_for(struct csl__shared *s, const struct csl_request *q) {
    struct csl__guest *place = NULL;
    for (unsigned i = 0; i < CSL_GUESTS_MAX; i++) {
        struct csl__guest *g = &s->guests[i];
        if (g->member == NULL) {
            place = place == NULL ? g : place;
        } else if (memcmp(g->request.guest, q->guest, CSL_GUEST_ID_BYTES) == 0) {
            return NULL;
        }
    }
    return place;
}

static void give_back(struct csl_lane *l, const struct csl_member *guest) {
    pthread_mutex_lock(&l->lock);
    l->shared->places[client_of(l, guest)]--;
    bool last = --l->shared->n_guests == 0;
    pthread_mutex_unlock(&l->lock);
    if (last) {
        l->shared->alone_ms = now_ms(l);
    }
}

static void take_in(struct csl_lane *l, const struct csl__joining *j) {
    struct csl__guest *g = place_for(l->shared, &j->request);
    struct csl_talk stranger;
    struct csl_talk *talk = g == NULL ? &stranger : &g->talk;
    struct csl_diag diag = {""};
    enum csl_err err = csl_talk_adopt(talk, &l->worker, j->parts, CSL__PB__PURPOSE__PURPOSE_CLIENT, &diag);
    if (g == NULL) {
        csl_talk_send_failure(talk, CSL_EPROTO, "another client of the session has this guest id");
        csl_talk_close(talk);
        give_back(l, j->member);
        return;
    }
    g->member = j->member;
    g->client = client_of(l, j->member);
    g->request = j->request;
    g->active_ms = now_ms(l);
    if (err == CSL_OK) { /* else its talk says so: csl__guests_work */
        admit(l, g);
    }
}

void csl__guests_take(struct csl_lane *l) {
    struct csl__joining joining[CSL_GUESTS_MAX];
    struct csl__shared *s = l->shared;
    pthread_mutex_lock(&l->lock);
    unsigned n = s->n_joining;
    memcpy(joining, s->joining, n * sizeof *joining);
    s->n_joining = 0;
    pthread_mutex_unlock(&l->lock);
    for (unsigned i = 0; i < n; i++) {
        take_in(l, &joining[i]);
    }
}

void csl__guests_open(struct csl_lane *l) {
    struct csl__shared *s = l->shared;
    s->open = true;
    s->alone_ms = now_ms(l);
    for (unsigned i = 0; i < CSL_GUESTS_MAX; i++) {
        struct csl__guest *g = &s->guests[i];
        if (g->member != NULL && !g->told && g->talk.err == CSL_OK) {
            g->active_ms = now_ms(l);
            tell_ready(l, g);
        }
    }
}

/* ---- Going ---- */

/* Its request, where one waits, goes with it. */
static void leave(struct csl_lane *l, struct csl__guest *g) {
    const struct csl_member *who = g->member;
    csl_talk_close(&g->talk);
    csl_record_input_clear(&g->input);
    memset(g, 0, sizeof *g);
    give_back(l, who);
}

void csl__guest_refuse(struct csl_lane *l, struct csl__guest *g, enum csl_err err, const char *why) {
    csl_log("%s leaves the shared session of model %s: %s", g->member->name, l->opt.request.model, why);
    if (err != CSL_ETIMEOUT) {
        csl_logbook_refused(l->opt.ctx->logbook, g->member->name, "a request", err, why);
    }
    csl_talk_send_failure(&g->talk, err, why);
    leave(l, g);
}

static uint64_t idle_ms(const struct csl_lane *l) {
    return l->opt.ctx->roster.timeouts.session_idle_ms;
}

static void silent(struct csl_lane *l, struct csl__guest *g) {
    char why[200];
    if (g->state == CSL_GUEST_WAITING) {
        (void)snprintf(why, sizeof why,
                       "request %u was not answered within %llu ms: not every party has got it, or they have "
                       "too much to do",
                       g->input.request.number, (unsigned long long)idle_ms(l));
    } else {
        (void)snprintf(why, sizeof why, "%s sent no request for %llu ms", g->member->name,
                       (unsigned long long)idle_ms(l));
    }
    csl__guest_refuse(l, g, CSL_ETIMEOUT, why);
}

static void work(struct csl_lane *l, struct csl__guest *g) {
    struct csl_diag diag = {""};
    bool closed = false;
    enum csl_err err = CSL_OK;
    while (g->talk.first != NULL && err == CSL_OK && !closed) {
        g->active_ms = now_ms(l);
        err = csl__guest_frame(l, g, &closed, &diag);
    }
    if (err != CSL_OK) {
        csl__guest_refuse(l, g, err, diag.text[0] != '\0' ? diag.text : csl_err_text(err));
    } else if (closed || g->talk.err != CSL_OK) {
        leave(l, g);
    } else if (now_ms(l) >= g->active_ms + idle_ms(l)) {
        silent(l, g);
    }
}

void csl__guests_work(struct csl_lane *l) {
    for (unsigned i = 0; i < CSL_GUESTS_MAX; i++) {
        if (l->shared->guests[i].member != NULL) {
            work(l, &l->shared->guests[i]);
        }
    }
}

bool csl__guests_busy(const struct csl_lane *l) {
    for (unsigned i = 0; i < CSL_GUESTS_MAX; i++) {
        const struct csl__guest *g = &l->shared->guests[i];
        if (g->member != NULL && (g->talk.first != NULL || g->talk.err != CSL_OK)) {
            return true;
        }
    }
    return false;
}

uint64_t csl__guests_deadline_ms(struct csl_lane *l) {
    uint64_t first = UINT64_MAX;
    bool any = false;
    for (unsigned i = 0; i < CSL_GUESTS_MAX; i++) {
        const struct csl__guest *g = &l->shared->guests[i];
        if (g->member != NULL) {
            any = true;
            first = g->active_ms < first ? g->active_ms : first;
        }
    }
    if (!any && l->shared->said_closing) {
        return UINT64_MAX; /* the other parties are still at it */
    }
    return (any ? first : l->shared->alone_ms) + idle_ms(l);
}

bool csl__guests_closing(struct csl_lane *l) {
    struct csl__shared *s = l->shared;
    pthread_mutex_lock(&l->lock);
    bool alone = s->n_guests == 0, drain = s->drain;
    pthread_mutex_unlock(&l->lock);
    return alone && (drain || now_ms(l) >= s->alone_ms + idle_ms(l));
}

void csl__guests_end(struct csl_lane *l, enum csl_err err, const char *why) {
    struct csl__shared *s = l->shared;
    pthread_mutex_lock(&l->lock);
    s->over = true; /* nobody is added to those who join from here on */
    pthread_mutex_unlock(&l->lock);
    csl__guests_take(l);
    for (unsigned i = 0; i < CSL_GUESTS_MAX; i++) {
        struct csl__guest *g = &s->guests[i];
        if (g->member != NULL) { /* who came when it was about to end in order tries again */
            csl_talk_send_failure(&g->talk, err == CSL_OK ? CSL_ESTALE : err, why);
            leave(l, g);
        }
    }
}
