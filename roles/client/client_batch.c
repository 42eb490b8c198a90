/* The client's part of a batch (docs/protocol.md S9, I1, O1). */
#include <string.h>

#include "crypto/secret.h"
#include "mpc/pack.h"
#include "mpc/ring.h"
#include "mpc/share.h"
#include "roles/client/client_internal.h"
#include "roles/input_share.h"

struct batch {
    struct csl_client *c;
    uint32_t number, count;       /* number: of a shared session the request's */
    uint32_t served_in;           /* shared session: the parties' batch, as the first of them says */
    struct csl_input_share input; /* of what we own */
    size_t n_y;
    uint64_t *y; /* every party's output share */
    const uint64_t *shares[CSL_MAX_PARTIES];
};

/* Whether encoding will take it: then the parties may be told of the batch before it is done. */
static bool in_interval(const struct batch *b, const float *x) {
    const struct csl_plan *plan = &b->c->manifest.plan;
    const struct csl_part *part = csl_client_part(b->c);
    size_t n = b->count * (part != NULL ? csl_part_elements(part) : csl_plan_n_inputs(plan));
    float lo = (float)plan->input.lo, hi = (float)plan->input.hi;
    size_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        bad += !(x[i] >= lo && x[i] <= hi);
    }
    return bad == 0;
}

static enum csl_err encode(struct batch *b, const float *x, struct csl_diag *diag) {
    const struct csl_client *c = b->c;
    const struct csl_plan *plan = &c->manifest.plan;
    b->n_y = (size_t)b->count * (c->opt.reveal_label ? 1 : csl_plan_n_outputs(plan));
    b->y = csl_secret_alloc(b->n_y * c->n_parties, sizeof *b->y);
    if (b->y == NULL) {
        return CSL_ENOMEM;
    }
    if (!csl_client_owns_input(c)) {
        return CSL_OK;
    }
    TRY(csl_input_share_make(&b->input, plan, csl_client_part(c), x, b->count, c->n_parties, diag));
    if (!c->sign) {
        return CSL_OK;
    }
    return c->opt.shared ? csl_input_share_sign(&b->input, c->ctx->site.sign_key, c->session, 0, 0,
                                                c->guest_id, b->number, diag)
                         : csl_input_share_sign(&b->input, c->ctx->site.sign_key, c->session, b->number,
                                                (uint32_t)(c->own_part + 1), NULL, 0, diag);
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
 * parts, or other clients' requests, may take their time. */
static uint64_t batch_ms(const struct csl_client *c) {
    const struct csl_timeouts *t = &c->ctx->roster.timeouts;
    return 2 * (uint64_t)t->round_ms + (c->parts.n != 0 || c->opt.shared ? t->session_idle_ms : 0);
}

/* ---- Announcing ---- */

static enum csl_err tell_next(struct csl_client *c, uint32_t count, struct csl_diag *diag) {
    c->announced++;
    c->counts[c->announced % CSL_CLIENT_AHEAD] = count;
    for (unsigned i = 0; i < c->n_parties; i++) {
        CSL_CONTROL(m, body, Prepare, PREPARE, PREPARE, prepare);
        body.batch = c->announced;
        body.count = count;
        TRY(csl_talk_send(&c->talks[i], &m, diag));
    }
    return CSL_OK;
}

static enum csl_err check_count(const struct csl_client *c, uint32_t count, struct csl_diag *diag) {
    if (c->failed) {
        return csl_fail(diag, CSL_EUSAGE, "this session has ended");
    }
    return count != 0 && count <= c->opt.max_batch
               ? CSL_OK
               : csl_fail(diag, CSL_EUSAGE, "a batch of %u where at most %u were agreed", count,
                          c->opt.max_batch);
}

enum csl_err csl_client_announce(struct csl_client *c, uint32_t count, struct csl_diag *diag) {
    TRY(check_count(c, count, diag));
    if (!c->opt.ahead || c->announced - c->batches >= CSL_CLIENT_AHEAD) {
        return csl_fail(diag, CSL_EUSAGE, "batch %u cannot be announced now: %s", c->announced + 1,
                        c->opt.ahead ? "too many wait for their inputs"
                                     : "the session was not opened for it");
    }
    enum csl_err err = tell_next(c, count, diag);
    return err == CSL_OK ? CSL_OK : csl__client_explain(c, err, diag);
}

/* That the parties know of this batch. */
static enum csl_err announce(struct batch *b, struct csl_diag *diag) {
    struct csl_client *c = b->c;
    if (c->opt.shared ||
        c->announced >= b->number) { /* there the Input is the announcement; or it was made */
        return CSL_OK;
    }
    return tell_next(c, b->count, diag);
}

/* The first correlations may have to wait for the connections that they come by. */
static uint64_t credit_ms(const struct csl_client *c) {
    return batch_ms(c) + (c->opt.ahead ? csl__client_patience_ms(c) : 0);
}

/* In a shared session correlations are ready, or the parties wait for them. */
static enum csl_err take_credits(struct batch *b, struct csl_diag *diag) {
    struct csl_client *c = b->c;
    for (unsigned i = 0; i < c->n_parties && !c->opt.shared; i++) {
        csl_control *m;
        TRY(csl_talk_expect(&c->talks[i], &m, CSL__PB__CONTROL__KIND_CREDIT, credit_ms(c), diag));
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
    s->profile = (enum csl_profile)r->profile;
}

static enum csl_err refuse_output(const struct batch *b, unsigned i, const char *what,
                                  struct csl_diag *diag) {
    return csl_fail(diag, CSL_EAUTH, "%s: its statement of the output of batch %u %s", b->c->talks[i].peer,
                    b->number, what);
}

/* Of a shared session nobody but the parties knows the batch's number: they must name the same. */
static bool same_batch(struct batch *b, const Csl__Audit__OutputStatement *m) {
    const struct csl_client *c = b->c;
    if (!c->opt.shared) {
        return m->batch == b->number && m->guest.len == 0;
    }
    b->served_in = b->served_in == 0 ? m->batch : b->served_in;
    return m->batch == b->served_in && m->request == b->number && m->guest.len == sizeof c->guest_id &&
           memcmp(m->guest.data, c->guest_id, sizeof c->guest_id) == 0;
}

static enum csl_err check_output(struct batch *b, unsigned i, const Csl__Audit__OutputStatement *m,
                                 const uint8_t commitment[CSL_DIGEST_BYTES], struct csl_diag *diag) {
    if (memcmp(m->session.data, b->c->session, CSL_DIGEST_BYTES) != 0 || m->party != i || !same_batch(b, m) ||
        m->count != b->count) {
        return refuse_output(b, i, "is of another session, party or batch", diag);
    }
    return memcmp(m->commitment.data, commitment, CSL_DIGEST_BYTES) == 0
               ? CSL_OK
               : refuse_output(b, i, "does not commit to the share that it sent", diag);
}

/* The party answers for the share that it sent us (packed[0..n)). */
static enum csl_err verify_output(struct batch *b, unsigned i, const Csl__Pb__BatchDone *r,
                                  const uint8_t *packed, size_t n, struct csl_diag *diag) {
    const struct csl_client *c = b->c;
    if ((r->statement.len != 0) != c->sign) {
        return csl_fail(diag, CSL_EPROTO, "%s %s", c->talks[i].peer,
                        c->sign ? "did not sign its output, as the roster demands"
                                : "signed its output; the roster says audit.sign: off");
    }
    if (!c->sign) {
        return CSL_OK;
    }
    enum csl_err err =
        csl_statement_verify(CSL_STATEMENT_OUTPUT, r->statement.data, r->statement.len, r->signature.data,
                             r->signature.len, csl_roster_party(&c->ctx->roster, i)->sign_key, diag);
    if (err == CSL_EAUTH) {
        return refuse_output(b, i, "is not signed by its key in the roster", diag);
    }
    TRY(err);
    uint8_t commitment[CSL_DIGEST_BYTES];
    Csl__Audit__OutputStatement *m;
    TRY(csl_output_commit(commitment, r->salt.data, packed, n));
    err = csl_output_statement_decode(&m, r->statement.data, r->statement.len, diag);
    if (err != CSL_OK) {
        return csl_fail_context(diag, err, "the statement of the output of %s", c->talks[i].peer);
    }
    err = check_output(b, i, m, commitment, diag);
    csl_statement_free(m);
    return err;
}

static enum csl_err take_report(struct batch *b, unsigned i, struct csl_batch_stats *stats,
                                const struct csl_frame_in *output, struct csl_diag *diag) {
    csl_control *m;
    TRY(csl_talk_expect(&b->c->talks[i], &m, CSL__PB__CONTROL__KIND_BATCH_DONE, batch_ms(b->c), diag));
    b->c->due[i]--;
    add_report(stats, m->batch_done);
    enum csl_err err = m->batch_done->batch == b->number
                           ? verify_output(b, i, m->batch_done, output->payload, output->h.n, diag)
                           : csl_fail(diag, CSL_EPROTO, "%s reports on another batch", b->c->talks[i].peer);
    csl_message_free(m);
    return err;
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
    TRY(csl_talk_expect_data(&c->talks[i], &f, b->number, n, batch_ms(c), diag));
    c->due[i]--;
    uint64_t *share = b->y + i * b->n_y;
    enum csl_err err = csl_unpack_bits_strict(share, f->payload, f->h.n, b->n_y, bits, diag);
    b->shares[i] = share;
    if (err == CSL_OK) {
        err = take_report(b, i, stats, f, diag);
    }
    csl_frame_in_free(f);
    return err;
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

static enum csl_err take_outputs(struct batch *b, struct csl_talk *const *talks,
                                 struct csl_batch_stats *stats, struct csl_diag *diag) {
    enum { FRAMES = 2 }; /* the share, and BatchDone */
    struct csl_client *c = b->c;
    memset(c->due, FRAMES, sizeof c->due);
    c->answering = true;
    enum csl_err err = csl_talk_wait_frames(&c->worker, talks, c->n_parties, batch_ms(c), diag);
    for (unsigned i = 0; i < c->n_parties && err == CSL_OK; i++) {
        err = take_output(b, i, stats, diag);
    }
    c->answering = false;
    return err;
}

static enum csl_err run_batch(struct batch *b, struct csl_outputs *out, struct csl_batch_stats *stats,
                              struct csl_diag *diag) {
    struct csl_client *c = b->c;
    struct csl_talk *talks[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < c->n_parties; i++) {
        talks[i] = &c->talks[i];
        csl_talk_allow_data(talks[i], b->n_y * 8);
    }
    TRY(take_credits(b, diag));
    uint64_t start = csl_monotonic_ns();
    if (csl_client_owns_input(c)) {
        TRY(c->opt.shared ? csl_input_share_send_request(&b->input, c->talks, b->number, diag)
                          : csl_input_share_send(&b->input, c->talks, b->number, diag));
    }
    TRY(take_outputs(b, talks, stats, diag));
    enum csl_err err = join(b, out);
    stats->client_ns = csl_monotonic_ns() - start;
    stats->batch = c->opt.shared ? b->served_in : b->number;
    return err == CSL_EPROTO ? csl_fail(diag, err, "the parties' shares join to no class") : err;
}

/* The batch's number is used up only where its inputs are good. */
static enum csl_err begin_batch(struct batch *b, const float *x, struct csl_diag *diag) {
    bool good = !csl_client_owns_input(b->c) || in_interval(b, x);
    enum csl_err told = good ? announce(b, diag) : CSL_OK;
    TRY(encode(b, x, diag));
    b->c->batches++;
    return told;
}

static enum csl_err infer(struct batch *b, struct csl_outputs *out, struct csl_batch_stats *stats,
                          csl_share_fn *show, void *show_arg, struct csl_diag *diag) {
    if (show != NULL && csl_client_owns_input(b->c)) {
        TRY(show_shares(b, show, show_arg));
    }
    return run_batch(b, out, stats, diag);
}

enum csl_err csl_client_infer(struct csl_client *c, struct csl_outputs *out, struct csl_batch_stats *stats,
                              const float *x, uint32_t count, csl_share_fn *show, void *show_arg,
                              struct csl_diag *diag) {
    memset(stats, 0, sizeof *stats);
    TRY(check_count(c, count, diag));
    struct batch b = {.c = c, .number = c->batches + 1, .count = count};
    uint32_t announced = c->counts[b.number % CSL_CLIENT_AHEAD];
    if (c->announced >= b.number && announced != count) {
        return csl_fail(diag, CSL_EUSAGE, "a batch of %u where one of %u was announced", count, announced);
    }
    stats->count = count;
    enum csl_err err = begin_batch(&b, x, diag);
    if (err == CSL_OK) {
        err = infer(&b, out, stats, show, show_arg, diag);
    }
    if (err != CSL_OK && !(err == CSL_EDATA && c->batches < b.number)) {
        err = csl__client_explain(c, err, diag);
    }
    csl_input_share_clear(&b.input);
    csl_secret_free(b.y);
    return err;
}
