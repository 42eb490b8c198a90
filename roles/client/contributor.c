#include "roles/client/contributor.h"

#include <stdlib.h>
#include <string.h>

#include "roles/input_share.h"

struct csl_contributor {
    const struct csl_context *ctx;
    unsigned n_parties;
    struct csl_worker worker;
    struct csl_talk talks[CSL_MAX_PARTIES];
    struct csl_manifest manifest;
    struct csl_part part;
    uint32_t number;                   /* of the part, from 1 on */
    bool sign;                         /* the roster's: we sign what we share */
    uint8_t session[CSL_DIGEST_BYTES]; /* digest of the session's statement */
    uint32_t batch, count;             /* announced last */
};

const struct csl_plan *csl_contributor_plan(const struct csl_contributor *c) {
    return &c->manifest.plan;
}

const struct csl_part *csl_contributor_part(const struct csl_contributor *c) {
    return &c->part;
}

static uint64_t patience_ms(const struct csl_contributor *c) {
    const struct csl_timeouts *t = &c->ctx->roster.timeouts;
    return 2 * ((uint64_t)t->connect_ms + 2 * (uint64_t)t->handshake_ms);
}

/* ---- Joining ---- */

static enum csl_err take_part(struct csl_part *out, const struct csl_contributor *c, const Csl__Pb__Part *pb,
                              const struct csl_plan *plan, struct csl_diag *diag) {
    if (pb == NULL || strcmp(pb->owner, c->ctx->self->name) != 0 || pb->n_begin != plan->input_rank ||
        pb->n_end != plan->input_rank) {
        return csl_fail(diag, CSL_EPROTO, "the parties name no part of ours");
    }
    *out = (struct csl_part){.owner = c->ctx->self, .rank = plan->input_rank};
    for (uint32_t a = 0; a < plan->input_rank; a++) {
        out->begin[a] = pb->begin[a];
        out->end[a] = pb->end[a];
        if (out->begin[a] >= out->end[a] || out->end[a] > plan->input_shape[a]) {
            return csl_fail(diag, CSL_EPROTO, "the parties name a part that is not within the input");
        }
    }
    return CSL_OK;
}

/* What we sign names the session and the part: all parties must name the same. */
static enum csl_err take_session(struct csl_contributor *c, unsigned i, const Csl__Pb__SessionReady *m,
                                 struct csl_diag *diag) {
    const char *peer = c->talks[i].peer;
    if ((m->session.len != 0) != c->sign) {
        return csl_fail(diag, CSL_EPROTO, "%s %s", peer,
                        c->sign ? "names no session statement, as the roster's audit.sign demands"
                                : "names a session statement; the roster says audit.sign: off");
    }
    if (i == 0) {
        c->number = m->part_number;
        if (c->sign) {
            memcpy(c->session, m->session.data, sizeof c->session);
        }
    }
    if (m->part_number != c->number || c->number == 0 || c->number > CSL_PARTS_MAX) {
        return csl_fail(diag, CSL_EPROTO, "%s names another part than %s", peer, c->talks[0].peer);
    }
    return !c->sign || memcmp(c->session, m->session.data, sizeof c->session) == 0
               ? CSL_OK
               : csl_fail(diag, CSL_EAUTH, "%s and %s signed different session statements", c->talks[0].peer,
                          peer);
}

static enum csl_err one_ready(struct csl_contributor *c, unsigned i, struct csl_diag *diag) {
    csl_control *m;
    TRY(csl_talk_expect(&c->talks[i], &m, CSL__PB__CONTROL__KIND_SESSION_READY, patience_ms(c), diag));
    struct csl_manifest *manifest = malloc(sizeof *manifest);
    struct csl_part part;
    enum csl_err err = manifest == NULL ? CSL_ENOMEM
                                        : csl_manifest_decode(manifest, m->session_ready->manifest.data,
                                                              m->session_ready->manifest.len, diag);
    if (err == CSL_OK) {
        err = csl_manifest_verify(manifest, m->session_ready->manifest.data, m->session_ready->manifest.len,
                                  m->session_ready->manifest_signature.data,
                                  m->session_ready->manifest_signature.len, &c->ctx->roster, diag);
    }
    if (err == CSL_OK) {
        err = take_session(c, i, m->session_ready, diag);
    }
    if (err == CSL_OK) {
        err = take_part(&part, c, m->session_ready->part, &manifest->plan, diag);
    }
    if (err == CSL_OK && i == 0) {
        c->manifest = *manifest;
        c->part = part;
    } else if (err == CSL_OK && (memcmp(manifest->digest, c->manifest.digest, CSL_DIGEST_BYTES) != 0 ||
                                 memcmp(part.begin, c->part.begin, sizeof part.begin) != 0 ||
                                 memcmp(part.end, c->part.end, sizeof part.end) != 0)) {
        err = csl_fail(diag, CSL_EPROTO, "%s and %s describe different models or parts", c->talks[0].peer,
                       c->talks[i].peer);
    }
    free(manifest);
    csl_message_free(m);
    return err;
}

static enum csl_err join(struct csl_contributor *c, const uint8_t *session_id, struct csl_diag *diag) {
    struct csl_talk *talks[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < c->n_parties; i++) {
        talks[i] = &c->talks[i];
        TRY(csl_talk_dial(talks[i], &c->worker, csl_roster_party(&c->ctx->roster, i),
                          CSL__PB__PURPOSE__PURPOSE_INPUT, session_id, diag));
    }
    TRY(csl_talk_wait_ready(&c->worker, talks, c->n_parties, patience_ms(c), diag));
    for (unsigned i = 0; i < c->n_parties; i++) {
        TRY(one_ready(c, i, diag));
    }
    return CSL_OK;
}

enum csl_err csl_contributor_join(struct csl_contributor **out, const struct csl_context *ctx,
                                  const uint8_t session_id[CSL_SESSION_ID_BYTES], struct csl_diag *diag) {
    *out = NULL;
    TRY(csl_context_require(ctx, CSL_ROLE_CLIENT, diag));
    struct csl_contributor *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return CSL_ENOMEM;
    }
    c->ctx = ctx;
    c->n_parties = ctx->roster.n_parties;
    c->sign = ctx->roster.audit.sign != CSL_ROSTER_SIGN_OFF;
    enum csl_err err = csl_worker_init(&c->worker, ctx, ctx->tls, diag);
    if (err == CSL_OK) {
        err = join(c, session_id, diag);
    }
    if (err != CSL_OK) {
        csl_contributor_leave(c);
        return err;
    }
    *out = c;
    return CSL_OK;
}

void csl_contributor_leave(struct csl_contributor *c) {
    if (c != NULL) {
        for (unsigned i = 0; i < c->n_parties; i++) {
            csl_talk_close(&c->talks[i]);
        }
        csl_worker_clear(&c->worker);
        free(c);
    }
}

/* ---- Batches ---- */

enum csl_err csl_contributor_wait(struct csl_contributor *c, uint32_t *count, struct csl_diag *diag) {
    *count = 0;
    for (unsigned i = 0; i < c->n_parties; i++) {
        csl_control *m;
        struct csl_frame_in *f;
        enum csl_err err = csl_talk_receive(&c->talks[i], &f, c->ctx->roster.timeouts.session_idle_ms, diag);
        if (err != CSL_OK) {
            return c->talks[i].ended ? CSL_OK : err;
        }
        TRY(csl_talk_decode(&c->talks[i], &m, f, diag));
        bool over = m->kind_case == CSL__PB__CONTROL__KIND_CLOSE_SESSION;
        bool good = m->kind_case == CSL__PB__CONTROL__KIND_CREDIT && m->credit->batch == c->batch + 1 &&
                    m->credit->count != 0 && (i == 0 || m->credit->count == c->count);
        c->count = good ? m->credit->count : 0;
        csl_message_free(m);
        if (over) {
            return CSL_OK;
        }
        if (!good) {
            return csl_fail(diag, CSL_EPROTO, "%s announces another batch than the others", c->talks[i].peer);
        }
    }
    c->batch++;
    *count = c->count;
    return CSL_OK;
}

enum csl_err csl_contributor_send(struct csl_contributor *c, const float *x, struct csl_diag *diag) {
    struct csl_input_share share = {0};
    TRY(csl_input_share_make(&share, &c->manifest.plan, &c->part, x, c->count, c->n_parties, diag));
    enum csl_err err = c->sign ? csl_input_share_sign(&share, c->ctx->site.sign_key, c->session, c->batch,
                                                      c->number, NULL, 0, diag)
                               : CSL_OK;
    if (err == CSL_OK) {
        err = csl_input_share_send(&share, c->talks, c->batch, diag);
    }
    csl_input_share_clear(&share);
    return err;
}
