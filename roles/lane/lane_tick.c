/* The tick of a shared session (docs/protocol.md S15): one exchange, outside of a batch, after which every
 * party knows which requests all of them hold, and so computes the same next batch by itself.
 *
 * Wire: chunks u32 | flags u8 (1: closing, 2: no new guests) | n u8 | CSL_GUESTS_MAX entries, those after the
 * n-th zero: guest (16) | request u32 | count u32 | digest (32). The digest is over the client's name and the
 * statement that it signed: a client that says one thing here and another there is in no batch. */
#include <string.h>

#include "crypto/bytes.h"
#include "roles/lane/lane_internal.h"

struct entry {
    const uint8_t *guest, *digest;
    uint32_t request, count;
};

enum { FLAG_CLOSING = 1, FLAG_DRAIN = 2 };

struct said { /* by one party */
    uint32_t chunks;
    uint8_t flags, n;
    struct entry at[CSL_GUESTS_MAX];
};

bool csl__tick_due(struct csl_lane *l) {
    const struct csl__shared *s = l->shared;
    bool waiting = false;
    for (unsigned i = 0; i < CSL_GUESTS_MAX; i++) {
        const struct csl__guest *g = &s->guests[i];
        if (g->member != NULL && g->state == CSL_GUEST_WAITING) {
            waiting = true;
            if (!g->said) {
                return true;
            }
        }
    }
    return s->again || (waiting && csl_pool_chunks(l->ahead.pool) != s->said_chunks) ||
           (!s->said_drain && !csl_lane_takes_guests(l)) || (!s->said_closing && csl__guests_closing(l));
}

/* ---- What we say ---- */

static bool is_before(const struct csl__shared *s, const struct csl__guest *a, const struct csl__guest *b) {
    uint32_t served_a = s->served[a->client], served_b = s->served[b->client];
    return a->turn != b->turn     ? a->turn < b->turn
           : served_a != served_b ? served_a < served_b
                                  : a->arrival < b->arrival;
}

static unsigned turn_of(const struct csl__guest *g, struct csl__guest *const *waiting, size_t n) {
    unsigned turn = 0;
    for (size_t i = 0; i < n; i++) {
        turn += waiting[i]->client == g->client && waiting[i]->arrival < g->arrival ? 1 : 0;
    }
    return turn;
}

size_t csl__tick_order(struct csl__shared *s, struct csl__guest *out[CSL_GUESTS_MAX]) {
    struct csl__guest *waiting[CSL_GUESTS_MAX];
    size_t n = 0;
    for (unsigned i = 0; i < CSL_GUESTS_MAX; i++) {
        if (s->guests[i].member != NULL && s->guests[i].state == CSL_GUEST_WAITING) {
            waiting[n++] = &s->guests[i];
        }
    }
    for (size_t i = 0; i < n; i++) {
        waiting[i]->turn = turn_of(waiting[i], waiting, n);
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && is_before(s, waiting[i], out[at - 1]); at--) {
            out[at] = out[at - 1];
        }
        out[at] = waiting[i];
    }
    return n;
}

static void write_tick(uint8_t out[CSL__TICK_BYTES], struct csl_lane *l) {
    struct csl__shared *s = l->shared;
    struct csl__guest *guests[CSL_GUESTS_MAX];
    size_t n = csl__tick_order(s, guests);
    struct csl_writer w = csl_writer_of(out, CSL__TICK_BYTES);
    memset(out, 0, CSL__TICK_BYTES);
    s->said_chunks = csl_pool_chunks(l->ahead.pool);
    s->said_drain = !csl_lane_takes_guests(l);
    s->said_closing = csl__guests_closing(l);
    s->again = false;
    csl_writer_u32(&w, s->said_chunks);
    csl_writer_u8(&w, (uint8_t)((s->said_closing ? FLAG_CLOSING : 0) | (s->said_drain ? FLAG_DRAIN : 0)));
    csl_writer_u8(&w, (uint8_t)n);
    for (size_t i = 0; i < n; i++) {
        struct csl__guest *g = guests[i];
        csl_writer_bytes(&w, g->request.guest, CSL_GUEST_ID_BYTES);
        csl_writer_u32(&w, g->input.request.number);
        csl_writer_u32(&w, g->input.count);
        csl_writer_bytes(&w, g->digest, CSL_DIGEST_BYTES);
        g->said = true;
    }
}

/* ---- What everybody said ---- */

static enum csl_err read_tick(struct csl_lane *l, struct said *out, const uint8_t in[CSL__TICK_BYTES],
                              unsigned party) {
    struct csl_reader r = csl_reader_of(in, CSL__TICK_BYTES);
    out->chunks = csl_reader_u32(&r);
    out->flags = csl_reader_u8(&r);
    out->n = csl_reader_u8(&r);
    bool right = out->flags <= (FLAG_CLOSING | FLAG_DRAIN) && out->n <= CSL_GUESTS_MAX;
    for (unsigned i = 0; right && i < out->n; i++) {
        struct entry *e = &out->at[i];
        e->guest = csl_reader_view(&r, CSL_GUEST_ID_BYTES);
        e->request = csl_reader_u32(&r);
        e->count = csl_reader_u32(&r);
        e->digest = csl_reader_view(&r, CSL_DIGEST_BYTES);
        bool twice = false;
        for (unsigned k = 0; k < i; k++) {
            twice = twice || memcmp(out->at[k].guest, e->guest, CSL_GUEST_ID_BYTES) == 0;
        }
        right = e->request != 0 && e->count != 0 && e->count <= l->opt.request.max_batch && !twice;
    }
    while (right && r.left > 0) {
        right = csl_reader_u8(&r) == 0;
    }
    return right ? CSL_OK
                 : csl_fail(&l->diag, CSL_EPROTO, "%s sent a tick that makes no sense",
                            csl_roster_party(&l->opt.ctx->roster, party)->name);
}

static const struct entry *find(const struct said *s, const uint8_t *guest) {
    for (unsigned i = 0; i < s->n; i++) {
        if (memcmp(s->at[i].guest, guest, CSL_GUEST_ID_BYTES) == 0) {
            return &s->at[i];
        }
    }
    return NULL;
}

static bool same(const struct entry *a, const struct entry *b) {
    return a->request == b->request && a->count == b->count &&
           memcmp(a->digest, b->digest, CSL_DIGEST_BYTES) == 0;
}

static bool all_hold(const struct said *said, unsigned n_parties, const struct entry *e) {
    bool all = true;
    for (unsigned p = 0; p < n_parties; p++) {
        const struct entry *theirs = find(&said[p], e->guest);
        all = all && theirs != NULL && same(e, theirs);
    }
    return all;
}

static struct csl__guest *guest_of(struct csl__shared *s, const uint8_t *id) {
    for (unsigned i = 0; i < CSL_GUESTS_MAX; i++) {
        struct csl__guest *g = &s->guests[i];
        if (g->member != NULL && memcmp(g->request.guest, id, CSL_GUEST_ID_BYTES) == 0) {
            return g;
        }
    }
    return NULL;
}

/* A client that asks two parties for different things under one number would wait for ever. */
static void refuse_two_tongued(struct csl_lane *l, const struct said *said) {
    const struct said *ours = &said[l->self];
    for (unsigned i = 0; i < ours->n; i++) {
        struct csl__guest *g = guest_of(l->shared, ours->at[i].guest);
        for (unsigned p = 0; g != NULL && p < l->n_parties; p++) {
            const struct entry *theirs = find(&said[p], ours->at[i].guest);
            if (theirs != NULL && theirs->request == ours->at[i].request && !same(theirs, &ours->at[i])) {
                struct csl_diag why;
                const char *other = csl_roster_party(&l->opt.ctx->roster, p)->name;
                (void)csl_fail(&why, CSL_EPROTO,
                               "%s sent us and %s different inputs as request %u, unless %s reports another "
                               "than it got",
                               g->member->name, other, theirs->request, other);
                csl__guest_refuse(l, g, CSL_EPROTO, why.text);
                break;
            }
        }
    }
}

static enum csl_err agree(struct csl_lane *l, struct csl__agreed *out, const uint8_t (*in)[CSL__TICK_BYTES]) {
    struct said said[CSL_MAX_PARTIES];
    bool drain = false;
    memset(out, 0, sizeof *out);
    out->closing = true;
    out->chunks = UINT32_MAX;
    for (unsigned p = 0; p < l->n_parties; p++) {
        TRY(read_tick(l, &said[p], in[p], p));
        out->closing = out->closing && (said[p].flags & FLAG_CLOSING) != 0;
        drain = drain || (said[p].flags & FLAG_DRAIN) != 0;
        out->chunks = said[p].chunks < out->chunks ? said[p].chunks : out->chunks;
    }
    if (drain && csl_lane_takes_guests(l)) { /* whatever a party's reason: it ends when the guests are gone */
        csl_lane_drain(l);
    }
    for (unsigned i = 0; i < said[0].n; i++) {
        const struct entry *e = &said[0].at[i];
        struct csl__guest *g = all_hold(said, l->n_parties, e) ? guest_of(l->shared, e->guest) : NULL;
        if (g != NULL) { /* what we said is in `said`: g is NULL for nobody else's request */
            out->guests[out->n++] = g;
        }
    }
    refuse_two_tongued(l, said);
    return CSL_OK;
}

enum csl_err csl__tick(struct csl_lane *l, struct csl__agreed *out) {
    uint8_t all[CSL_MAX_PARTIES][CSL__TICK_BYTES], *into[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < CSL_MAX_PARTIES; i++) {
        into[i] = all[i];
    }
    write_tick(all[l->self], l);
    csl_mesh_link_set_slot(l->link, CSL_LANE_SLOT_TICK);
    enum csl_err err = csl_session_exchange(&l->session, into, all[l->self], CSL__TICK_BYTES);
    csl_mesh_link_set_slot(l->link, CSL_LANE_SLOT_ONLINE);
    if (err != CSL_OK) {
        l->diag = l->session.diag;
        return err;
    }
    return agree(l, out, (const uint8_t(*)[CSL__TICK_BYTES])all);
}
