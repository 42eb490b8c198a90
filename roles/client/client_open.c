/* The client opens a session (docs/protocol.md S2, S8). */
#include <string.h>

#include "crypto/hash.h"
#include "roles/client/client_internal.h"

uint64_t csl__client_patience_ms(const struct csl_client *c) {
    const struct csl_timeouts *t = &c->ctx->roster.timeouts;
    return 2 * ((uint64_t)t->connect_ms + 2 * (uint64_t)t->handshake_ms);
}

static enum csl_err ask(struct csl_client *c, unsigned i, struct csl_diag *diag) {
    CSL_CONTROL(m, body, OpenSession, OPEN_SESSION, OPEN_SESSION, open_session);
    body.session_id = csl_bytes(c->session_id, sizeof c->session_id);
    body.model = c->model;
    body.max_batch = c->opt.max_batch;
    body.reveal_label = c->opt.reveal_label;
    Csl__Pb__Part pb[CSL_PARTS_MAX], *list[CSL_PARTS_MAX];
    csl_parts_to_message(pb, list, &c->parts);
    body.ahead = c->opt.ahead;
    body.n_parts = c->parts.n;
    body.parts = list;
    if (c->opt.shared) {
        body.shared = true;
        body.guest_id = csl_bytes(c->guest_id, sizeof c->guest_id);
    }
    return csl_talk_send(&c->talks[i], &m, diag);
}

static enum csl_err admitted(struct csl_client *c, unsigned i, struct csl_diag *diag) {
    csl_control *m;
    TRY(csl_talk_expect(&c->talks[i], &m, CSL__PB__CONTROL__KIND_ADMITTED, csl__client_patience_ms(c), diag));
    const ProtobufCBinaryData *id = &m->admitted->session_id;
    enum csl_err err = CSL_OK;
    if ((id->len != 0) != c->opt.shared ||
        (c->opt.shared && i != 0 && memcmp(id->data, c->session_id, id->len) != 0)) {
        err = csl_fail(diag, CSL_EPROTO, "%s admitted us to another session than we asked for",
                       c->talks[i].peer);
    } else if (c->opt.shared) {
        memcpy(c->session_id, id->data, id->len); /* party 0 knows which one there is */
    }
    csl_message_free(m);
    return err;
}

static enum csl_err dial(struct csl_client *c, unsigned i, struct csl_diag *diag) {
    return csl_talk_dial(&c->talks[i], &c->worker, csl_roster_party(&c->ctx->roster, i),
                         CSL__PB__PURPOSE__PURPOSE_CLIENT, NULL, diag);
}

struct asking {
    struct csl_client *c;
    bool asked[CSL_MAX_PARTIES];
    unsigned left;
};

static bool one_ready(void *arg) {
    const struct asking *a = arg;
    for (unsigned i = 1; i < a->c->n_parties; i++) {
        if (!a->asked[i] && a->c->talks[i].ready) {
            return true;
        }
    }
    return csl_worker_check(&a->c->worker, NULL) != CSL_OK;
}

/* Each as soon as it is connected: while one hangs, those that wait to be asked would give up as soon as we
 * do (handshake_ms), and be blamed for it. */
static enum csl_err ask_others(struct csl_client *c, struct csl_talk *const *talks, struct csl_diag *diag) {
    struct asking a = {.c = c, .left = c->n_parties - 1};
    while (a.left > 0) {
        if (csl_loop_run_until(&c->worker.loop, one_ready, &a, csl__client_patience_ms(c)) != CSL_OK) {
            return csl_talk_wait_ready(&c->worker, talks + 1, c->n_parties - 1, 0,
                                       diag); /* says who is late */
        }
        TRY(csl_worker_check(&c->worker, diag));
        for (unsigned i = 1; i < c->n_parties; i++) {
            if (!a.asked[i] && c->talks[i].ready) {
                TRY(ask(c, i, diag));
                a.asked[i] = true;
                a.left--;
            }
        }
    }
    return CSL_OK;
}

/* Party 0 is asked first and the others once it has a lane for us: so two clients never hold half of the
 * lanes each. The others are not even dialled before, since a connection that asks for nothing is closed
 * there (handshake_ms) while we may wait longer for the lane. */
enum csl_err csl__client_ask_all(struct csl_client *c, struct csl_diag *diag) {
    struct csl_talk *talks[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < c->n_parties; i++) {
        talks[i] = &c->talks[i];
    }
    TRY(dial(c, 0, diag));
    TRY(csl_talk_wait_ready(&c->worker, talks, 1, csl__client_patience_ms(c), diag));
    TRY(ask(c, 0, diag));
    TRY(admitted(c, 0, diag));
    for (unsigned i = 1; i < c->n_parties; i++) {
        TRY(dial(c, i, diag));
    }
    TRY(ask_others(c, talks, diag));
    for (unsigned i = 1; i < c->n_parties; i++) {
        TRY(admitted(c, i, diag));
    }
    return csl_talk_wait_frames(&c->worker, talks, c->n_parties, csl__client_patience_ms(c), diag);
}

static enum csl_err check_manifest(struct csl_client *c, const Csl__Pb__SessionReady *m,
                                   struct csl_diag *diag) {
    const struct csl_manifest *offered = &c->manifest;
    if (strcmp(offered->name, c->model) != 0 || offered->n_parties != c->n_parties) {
        return csl_fail(diag, CSL_EPROTO, "the parties offer model %s of %s among %u parties, not model %s",
                        offered->name, offered->owner, offered->n_parties, c->model);
    }
    return csl_manifest_verify(offered, m->manifest.data, m->manifest.len, m->manifest_signature.data,
                               m->manifest_signature.len, &c->ctx->roster, diag);
}

/* The same session statement at all of them: what we sign names it. */
static enum csl_err take_session(struct csl_client *c, unsigned i, const Csl__Pb__SessionReady *m,
                                 struct csl_diag *diag) {
    const char *peer = c->talks[i].peer;
    if ((m->session.len != 0) != c->sign) {
        return csl_fail(diag, CSL_EPROTO, "%s %s", peer,
                        c->sign ? "names no session statement, as the roster's audit.sign demands"
                                : "names a session statement; the roster says audit.sign: off");
    }
    if (c->sign && i == 0) {
        memcpy(c->session, m->session.data, sizeof c->session);
    } else if (c->sign && memcmp(c->session, m->session.data, sizeof c->session) != 0) {
        return csl_fail(diag, CSL_EAUTH, "%s and %s signed different session statements", c->talks[0].peer,
                        peer);
    }
    return CSL_OK;
}

/* Every party must describe the same model in the same bytes. */
static enum csl_err take_model(struct csl_client *c, unsigned i, const Csl__Pb__SessionReady *m,
                               struct csl_diag *diag) {
    if (i == 0) {
        TRY(csl_manifest_decode(&c->manifest, m->manifest.data, m->manifest.len, diag));
        return check_manifest(c, m, diag);
    }
    uint8_t digest[CSL_DIGEST_BYTES];
    TRY(csl_sha256_once(digest, m->manifest.data, m->manifest.len));
    return memcmp(digest, c->manifest.digest, CSL_DIGEST_BYTES) == 0
               ? CSL_OK
               : csl_fail(diag, CSL_EPROTO, "%s and %s describe different models", c->talks[0].peer,
                          c->talks[i].peer);
}

enum csl_err csl__client_all_ready(struct csl_client *c, struct csl_diag *diag) {
    for (unsigned i = 0; i < c->n_parties; i++) {
        csl_control *m;
        TRY(csl_talk_expect(&c->talks[i], &m, CSL__PB__CONTROL__KIND_SESSION_READY,
                            csl__client_patience_ms(c), diag));
        enum csl_err err = take_model(c, i, m->session_ready, diag);
        if (err == CSL_OK) {
            err = take_session(c, i, m->session_ready, diag);
        }
        csl_message_free(m);
        TRY(err);
    }
    return csl_parts_fit(&c->parts, &c->manifest.plan, diag);
}
