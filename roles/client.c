#include "roles/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"
#include "crypto/rand.h"
#include "crypto/secret.h"
#include "mpc/pack.h"
#include "mpc/ring.h"
#include "mpc/share.h"
#include "roles/input_share.h"
#include "roles/talk.h"

enum { RETRIES = 5, RETRY_MS = 200, GATHER_MS = 1000 };

struct csl_client {
    const struct csl_context *ctx;
    unsigned n_parties;
    struct csl_worker worker;
    struct csl_talk talks[CSL_MAX_PARTIES];
    uint8_t session_id[CSL_SESSION_ID_BYTES];
    struct csl_client_options opt;
    char model[CSL_MODEL_NAME_MAX + 1];
    struct csl_parts parts; /* fitted to the plan once that is known */
    int own_part;           /* or -1 */
    uint32_t batches;
    struct csl_manifest manifest;
    bool failed;
};

const struct csl_plan *csl_client_plan(const struct csl_client *c) {
    return &c->manifest.plan;
}

const struct csl_manifest *csl_client_manifest(const struct csl_client *c) {
    return &c->manifest;
}

/* ---- Failures ---- */

/* No party ends its connection before we do: when one does, every wait is over, whomever it is for. */
static enum csl_err check(void *arg, struct csl_diag *diag) {
    const struct csl_client *c = arg;
    for (unsigned i = 0; i < c->n_parties && !c->failed; i++) {
        if (c->talks[i].err != CSL_OK) {
            return csl_fail(diag, c->talks[i].err, "%s", c->talks[i].diag.text);
        }
    }
    return CSL_OK;
}

static bool all_spoke(void *arg) {
    const struct csl_client *c = arg;
    for (unsigned i = 0; i < c->n_parties; i++) {
        const struct csl_talk *t = &c->talks[i];
        if (t->conn != NULL && t->first == NULL && t->err == CSL_OK) {
            return false;
        }
    }
    return true;
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

/* Something failed. The parties that live say in a moment what they saw, which tells more (party, round) than
 * the connection that we lost. The first such sentence is the one to show, but for one that says that trying
 * again helps: the party that found it says so, the others only that this party aborted. */
static enum csl_err explain(struct csl_client *c, enum csl_err err, struct csl_diag *diag) {
    c->failed = true;
    if (transient(err)) {
        return err;
    }
    (void)!csl_loop_run_until(&c->worker.loop, all_spoke, c, GATHER_MS);
    bool explained = false;
    for (unsigned i = 0; i < c->n_parties; i++) {
        struct csl_diag said = {""};
        enum csl_err e = said_by(&c->talks[i], &said);
        if (e != CSL_OK && (!explained || (transient(e) && !transient(err)))) {
            err = csl_fail(diag, e, "%s", said.text);
            explained = true;
        }
    }
    return err;
}

/* ---- Opening ---- */

static uint64_t patience_ms(const struct csl_client *c) {
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
    body.n_parts = c->parts.n;
    body.parts = list;
    return csl_talk_send(&c->talks[i], &m, diag);
}

static enum csl_err admitted(struct csl_client *c, unsigned i, struct csl_diag *diag) {
    csl_control *m;
    TRY(csl_talk_expect(&c->talks[i], &m, CSL__PB__CONTROL__KIND_ADMITTED, patience_ms(c), diag));
    csl_message_free(m);
    return CSL_OK;
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
        if (csl_loop_run_until(&c->worker.loop, one_ready, &a, patience_ms(c)) != CSL_OK) {
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
static enum csl_err ask_all(struct csl_client *c, struct csl_diag *diag) {
    struct csl_talk *talks[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < c->n_parties; i++) {
        talks[i] = &c->talks[i];
    }
    TRY(dial(c, 0, diag));
    TRY(csl_talk_wait_ready(&c->worker, talks, 1, patience_ms(c), diag));
    TRY(ask(c, 0, diag));
    TRY(admitted(c, 0, diag));
    for (unsigned i = 1; i < c->n_parties; i++) {
        TRY(dial(c, i, diag));
    }
    TRY(ask_others(c, talks, diag));
    for (unsigned i = 1; i < c->n_parties; i++) {
        TRY(admitted(c, i, diag));
    }
    return csl_talk_wait_frames(&c->worker, talks, c->n_parties, patience_ms(c), diag);
}

static enum csl_err check_manifest(struct csl_client *c, struct csl_diag *diag) {
    const struct csl_manifest *m = &c->manifest;
    if (strcmp(m->name, c->model) != 0 || m->n_parties != c->n_parties ||
        !csl_roster_may_share(&c->ctx->roster, m->owner, m->name)) {
        return csl_fail(diag, CSL_EPROTO, "the parties offer model %s of %s among %u parties, not model %s",
                        m->name, m->owner, m->n_parties, c->model);
    }
    return CSL_OK;
}

/* Every party must describe the same model in the same bytes. */
static enum csl_err all_ready(struct csl_client *c, struct csl_diag *diag) {
    for (unsigned i = 0; i < c->n_parties; i++) {
        csl_control *m;
        TRY(csl_talk_expect(&c->talks[i], &m, CSL__PB__CONTROL__KIND_SESSION_READY, patience_ms(c), diag));
        uint8_t digest[CSL_DIGEST_BYTES];
        const ProtobufCBinaryData *bytes = &m->session_ready->manifest;
        enum csl_err err = i == 0 ? csl_manifest_decode(&c->manifest, bytes->data, bytes->len, diag)
                                  : csl_sha256_once(digest, bytes->data, bytes->len);
        csl_message_free(m);
        TRY(err);
        if (i != 0 && memcmp(digest, c->manifest.digest, CSL_DIGEST_BYTES) != 0) {
            return csl_fail(diag, CSL_EPROTO, "%s and %s describe different models", c->talks[0].peer,
                            c->talks[i].peer);
        }
    }
    TRY(check_manifest(c, diag));
    return csl_parts_fit(&c->parts, &c->manifest.plan, diag);
}

static void hang_up(struct csl_client *c) {
    for (unsigned i = 0; i < c->n_parties; i++) {
        csl_talk_close(&c->talks[i]);
    }
}

static enum csl_err try_open(struct csl_client *c, struct csl_diag *diag) {
    c->failed = false;
    memset(c->talks, 0, sizeof c->talks); /* what ended the last attempt is not to end this one */
    TRY(csl_rand(c->session_id, sizeof c->session_id));
    enum csl_err err = ask_all(c, diag);
    if (err == CSL_OK) {
        err = all_ready(c, diag);
    }
    if (err != CSL_OK) {
        err = explain(c, err, diag);
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

/* ---- One batch ---- */

struct batch {
    struct csl_client *c;
    uint32_t number, count;
    struct csl_input_share input; /* of what we own */
    size_t n_y;
    uint64_t *y; /* every party's output share */
    const uint64_t *shares[CSL_MAX_PARTIES];
};

static enum csl_err encode(struct batch *b, const float *x, struct csl_diag *diag) {
    const struct csl_client *c = b->c;
    const struct csl_plan *plan = &c->manifest.plan;
    b->n_y = (size_t)b->count * (c->opt.reveal_label ? 1 : csl_plan_n_outputs(plan));
    b->y = csl_secret_alloc(b->n_y * c->n_parties, sizeof *b->y);
    if (b->y == NULL) {
        return CSL_ENOMEM;
    }
    return csl_client_owns_input(c)
               ? csl_input_share_make(&b->input, plan, csl_client_part(c), x, b->count, c->n_parties, diag)
               : CSL_OK;
}

static enum csl_err show_shares(struct batch *b, csl_share_fn *show, void *arg) {
    uint64_t *share = csl_secret_alloc(b->input.n, sizeof *share);
    enum csl_err err = share == NULL ? CSL_ENOMEM : CSL_OK;
    for (unsigned i = 0; i < b->input.n_parties && err == CSL_OK; i++) {
        err = csl_input_share_of(share, &b->input, i);
        if (err == CSL_OK) {
            show(arg, i, share, b->input.n, b->input.bits);
        }
    }
    csl_secret_free(share);
    return err;
}

/* Every round of a batch may take the parties' whole deadline before they give up and say so; and owners of
 * parts may take their time. */
static uint64_t batch_ms(const struct csl_client *c) {
    const struct csl_timeouts *t = &c->ctx->roster.timeouts;
    return 2 * (uint64_t)t->round_ms + (c->parts.n != 0 ? t->session_idle_ms : 0);
}

static enum csl_err announce(struct batch *b, struct csl_diag *diag) {
    struct csl_client *c = b->c;
    for (unsigned i = 0; i < c->n_parties; i++) {
        CSL_CONTROL(m, body, Prepare, PREPARE, PREPARE, prepare);
        body.batch = b->number;
        body.count = b->count;
        TRY(csl_talk_send(&c->talks[i], &m, diag));
    }
    for (unsigned i = 0; i < c->n_parties; i++) {
        csl_control *m;
        TRY(csl_talk_expect(&c->talks[i], &m, CSL__PB__CONTROL__KIND_CREDIT, batch_ms(c), diag));
        bool right = m->credit->batch == b->number;
        csl_message_free(m);
        if (!right) {
            return csl_fail(diag, CSL_EPROTO, "%s is ready for another batch", c->talks[i].peer);
        }
    }
    return CSL_OK;
}

static void add_report(struct csl_batch_stats *s, const Csl__Pb__BatchDone *r) {
#define MAX_OF(field, value) (s->field = (value) > s->field ? (value) : s->field)
    MAX_OF(rounds, r->rounds + 1); /* and the output shares */
    MAX_OF(online_bytes, r->online_bytes);
    MAX_OF(max_link_bytes, r->max_link_bytes);
    MAX_OF(offline_bytes, r->offline_bytes);
    MAX_OF(setup_bytes, r->setup_bytes);
    MAX_OF(input_ns, r->input_ns);
    MAX_OF(output_ns, r->output_ns);
#undef MAX_OF
}

static enum csl_err take_output(struct batch *b, unsigned i, struct csl_batch_stats *stats,
                                struct csl_diag *diag) {
    struct csl_client *c = b->c;
    const struct csl_plan *plan = &c->manifest.plan;
    unsigned bits =
        c->opt.reveal_label ? csl_plan_label_bits(plan) : csl_plan_output_bits(plan) - plan->output_cut;
    size_t n;
    TRY(csl_pack_size(&n, b->n_y, bits));
    struct csl_frame_in *f;
    uint64_t patience = batch_ms(c);
    TRY(csl_talk_expect_data(&c->talks[i], &f, b->number, n, patience, diag));
    uint64_t *share = b->y + i * b->n_y;
    enum csl_err err = csl_unpack_bits_strict(share, f->payload, f->h.n, b->n_y, bits, diag);
    csl_frame_in_free(f);
    TRY(err);
    b->shares[i] = share;
    csl_control *m;
    TRY(csl_talk_expect(&c->talks[i], &m, CSL__PB__CONTROL__KIND_BATCH_DONE, patience, diag));
    add_report(stats, m->batch_done);
    csl_message_free(m);
    return CSL_OK;
}

static enum csl_err join_labels(struct batch *b, uint32_t *classes) {
    const struct csl_client *c = b->c;
    uint64_t mask = csl_ring_mask(csl_plan_label_bits(&c->manifest.plan));
    uint32_t n_classes = csl_plan_n_outputs(&c->manifest.plan);
    for (size_t i = 0; i < b->n_y; i++) {
        uint64_t sum = 0;
        for (unsigned p = 0; p < c->n_parties; p++) {
            sum += b->shares[p][i];
        }
        classes[i] = (uint32_t)(sum & mask);
        if (classes[i] >= n_classes) {
            return CSL_EPROTO; /* honest parties cannot make this */
        }
    }
    return CSL_OK;
}

static enum csl_err join(struct batch *b, struct csl_outputs *out) {
    const struct csl_plan *plan = &b->c->manifest.plan;
    if (b->c->opt.reveal_label) {
        return join_labels(b, out->classes);
    }
    int64_t *joined = csl_secret_alloc(b->n_y, sizeof *joined);
    if (joined == NULL) {
        return CSL_ENOMEM;
    }
    csl_output_join(joined, b->shares, b->c->n_parties, b->n_y, csl_plan_output_bits(plan), plan->output_cut);
    csl_plan_decode_output(plan, out->logits, joined, b->n_y);
    csl_secret_free(joined);
    uint32_t n = csl_plan_n_outputs(plan);
    for (uint32_t i = 0; i < b->count; i++) {
        out->classes[i] = csl_argmax(out->logits + (size_t)i * n, n);
    }
    return CSL_OK;
}

static enum csl_err run_batch(struct batch *b, struct csl_outputs *out, struct csl_batch_stats *stats,
                              struct csl_diag *diag) {
    struct csl_client *c = b->c;
    struct csl_talk *talks[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < c->n_parties; i++) {
        talks[i] = &c->talks[i];
        csl_talk_allow_data(talks[i], b->n_y * 8);
    }
    TRY(announce(b, diag));
    uint64_t start = csl_monotonic_ns();
    if (csl_client_owns_input(c)) {
        TRY(csl_input_share_send(&b->input, c->talks, b->number, diag));
    }
    TRY(csl_talk_wait_frames(&c->worker, talks, c->n_parties, batch_ms(c), diag));
    for (unsigned i = 0; i < c->n_parties; i++) {
        TRY(take_output(b, i, stats, diag));
    }
    enum csl_err err = join(b, out);
    stats->client_ns = csl_monotonic_ns() - start;
    return err == CSL_EPROTO ? csl_fail(diag, err, "the parties' shares join to no class") : err;
}

enum csl_err csl_client_infer(struct csl_client *c, struct csl_outputs *out, struct csl_batch_stats *stats,
                              const float *x, uint32_t count, csl_share_fn *show, void *show_arg,
                              struct csl_diag *diag) {
    memset(stats, 0, sizeof *stats);
    if (c->failed) {
        return csl_fail(diag, CSL_EUSAGE, "this session has ended");
    }
    if (count == 0 || count > c->opt.max_batch) {
        return csl_fail(diag, CSL_EUSAGE, "a batch of %u where at most %u were agreed", count,
                        c->opt.max_batch);
    }
    struct batch b = {.c = c, .number = c->batches + 1, .count = count};
    enum csl_err err = encode(&b, x, diag);
    if (err == CSL_OK) {
        stats->count = count;
        if (show != NULL && csl_client_owns_input(c)) {
            err = show_shares(&b, show, show_arg);
        }
        c->batches++;
        if (err == CSL_OK) {
            err = run_batch(&b, out, stats, diag);
        }
        if (err != CSL_OK) {
            err = explain(c, err, diag);
        }
    }
    csl_input_share_clear(&b.input);
    csl_secret_free(b.y);
    return err;
}
