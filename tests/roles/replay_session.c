/* A session of rw: what dealer, owners of the input and parties do. */
#include "replay_world.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/rand.h"
#include "crypto/secret.h"
#include "mpc/dealer.h"
#include "mpc/link_mem.h"
#include "mpc/pack.h"
#include "mpc/share.h"
#include "roles/input_share.h"
#include "roles/lane/dealt.h"
#include "roles/message.h"

#define OK(x) assert_int_equal((x), CSL_OK)

/* ---- The session's statement ---- */

void rw__statement(struct rw_session *s) {
    const struct rw *w = s->w;
    struct csl_session_record *a = &s->record;
    uint8_t weights[32], request[32], nonces[32], other[32] = {1};
    char *parties[CSL_MAX_PARTIES];
    ProtobufCBinaryData others[CSL_MAX_PARTIES];
    a->n_parties = w->n;
    OK(csl_rand(a->nonces, w->n * CSL_NONCE_BYTES));
    OK(csl_weights_digest(weights, a->nonces, w->n, &w->shares[0]));
    OK(csl_request_digest(request, &w->request));
    OK(csl_nonces_digest(nonces, a->nonces, w->n));
    for (unsigned p = 0; p < w->n; p++) {
        parties[p] = w->roster.members[p].name;
        others[p] = csl_bytes(other, sizeof other);
    }
    Csl__Audit__SessionStatement m = CSL__AUDIT__SESSION_STATEMENT__INIT;
    m.session_id = csl_bytes(s->session_id, sizeof s->session_id);
    m.roster_digest = csl_bytes(w->roster_digest, 32);
    m.package_digest = csl_bytes(w->manifest.digest, 32);
    m.plan_digest = csl_bytes(other, 32);
    m.epoch_id = csl_bytes(w->epoch_id, 32);
    m.mask_id = csl_bytes(w->mask_id, 32);
    m.weights_digest = csl_bytes(weights, 32);
    m.request_digest = csl_bytes(request, 32);
    m.nonces_digest = csl_bytes(nonces, 32);
    m.stream = 3;
    m.model = (char *)"network";
    m.client = (char *)(w->shared ? "" : "clinic");
    m.shared = w->shared;
    m.n_parties = m.n_software = m.n_configuration = m.n_seed_commitments = w->n;
    m.parties = parties;
    m.software = m.configuration = m.seed_commitments = others;
    m.check_rows = 1;
    m.sign = w->sign;
    m.profile = (uint32_t)w->profile;
    OK(csl_statement_pack(&a->statement, &a->n_statement, &m.base));
    OK(csl_sha256_once(a->digest, a->statement, a->n_statement));
    for (unsigned p = 0; p < w->n; p++) {
        OK(csl_statement_sign_bytes(a->signatures[p], CSL_STATEMENT_SESSION, a->statement, a->n_statement,
                                    w->keys[p], NULL));
    }
}

/* ---- Dealer and owners of the input ---- */

/* Of which the second is taken for checked and discarded. A shared session has one dealing for all batches.
 */
uint32_t rw__dealt_rows(const struct rw *w) {
    return (w->shared ? RW_BATCHES : 1) * RW_COUNT + 1;
}

static uint32_t first_of(const struct rw *w, uint32_t b) {
    return w->shared ? 0 : 10 * b;
}

static uint64_t **make_masks(const struct rw *w) {
    uint64_t **masks = calloc(w->n_demands, sizeof *masks);
    assert_non_null(masks);
    uint32_t layer = 0;
    for (size_t d = 0; d < w->n_demands; d++) {
        if (w->demands[d].kind == CSL_DEMAND_LINEAR) {
            size_t n = csl_conv_weights(&w->demands[d].conv);
            masks[d] = csl_secret_alloc(n, sizeof **masks);
            OK(csl_weight_mask_sum(masks[d], w->epoch_keys, w->n, w->mask_id, layer++, n,
                                   w->demands[d].bits));
        }
    }
    return masks;
}

static uint32_t row_of(uint32_t i) {
    return i == 0 ? 0 : i + 1;
}

/* Dealt for all parties. */
struct dealing {
    uint32_t rows;
    uint8_t *seeds, *leaves, *corrections, *correction_leaves;
    size_t n_corrections; /* of a row */
    struct csl_signed statement;
};

static void keep_dealt(struct rw_session *s, uint32_t b, unsigned p, const struct dealing *d) {
    struct csl_record *r = &s->batches[p][b];
    bool last = p + 1 == s->w->n;
    size_t n_corrections = d->n_corrections;
    r->batch = b + 1;
    r->count = RW_COUNT;
    r->first = first_of(s->w, b);
    r->first_row = s->w->shared && !s->w->rows_twice ? b * RW_COUNT : 0;
    r->total = d->rows;
    r->counters = calloc(RW_COUNT, sizeof *r->counters);
    r->seeds = csl_secret_alloc(RW_COUNT, CSL_INDEX_SEED_BYTES);
    r->seed_leaves = malloc(d->rows * 32);
    memcpy(r->seed_leaves, d->leaves + (size_t)p * d->rows * 32, d->rows * 32);
    if (last) {
        r->n_corrections = n_corrections;
        r->corrections = csl_secret_alloc(RW_COUNT, n_corrections);
        r->correction_leaves = malloc(d->rows * 32);
        memcpy(r->correction_leaves, d->correction_leaves, d->rows * 32);
    }
    for (uint32_t i = 0; i < RW_COUNT; i++) {
        uint32_t row = row_of(r->first_row + i);
        r->counters[i] = r->first + row;
        memcpy(r->seeds + i * CSL_INDEX_SEED_BYTES,
               d->seeds + (row * s->w->n + p) * (size_t)CSL_INDEX_SEED_BYTES, CSL_INDEX_SEED_BYTES);
        if (last) {
            memcpy(r->corrections + i * n_corrections, d->corrections + row * n_corrections, n_corrections);
        }
    }
    OK(csl_signed_copy(&r->dealt, d->statement.statement, d->statement.n, d->statement.signature));
}

static void sign_dealing(const struct rw_session *s, uint32_t b, struct dealing *out) {
    const struct rw *w = s->w;
    struct csl_dealt d = {.stream = 3, .first = first_of(w, b), .total = out->rows, .n_parties = w->n};
    memcpy(d.session_id, s->session_id, sizeof d.session_id);
    memcpy(d.epoch_id, w->epoch_id, sizeof d.epoch_id);
    memcpy(d.package_digest, w->manifest.digest, sizeof d.package_digest);
    OK(csl_demands_digest(d.demands_digest, w->demands, w->n_demands));
    OK(csl_dealt_sign(&out->statement, &d, out->leaves, out->correction_leaves, w->dealer->sign_key, NULL));
}

void rw__deal(struct rw_session *s, uint32_t b) {
    const struct rw *w = s->w;
    struct dealing d = {.rows = rw__dealt_rows(w)};
    size_t n_c = d.n_corrections = csl_correction_bytes(w->demands, w->n_demands);
    d.seeds = csl_secret_alloc((size_t)d.rows * w->n, CSL_INDEX_SEED_BYTES);
    d.corrections = csl_secret_alloc(d.rows, n_c);
    d.leaves = malloc((size_t)w->n * d.rows * 32);
    d.correction_leaves = malloc((size_t)d.rows * 32);
    uint64_t **masks = make_masks(w);
    for (uint32_t row = 0; row < d.rows; row++) {
        for (unsigned p = 0; p < w->n; p++) {
            uint8_t *seed = d.seeds + (row * w->n + p) * (size_t)CSL_INDEX_SEED_BYTES;
            OK(csl_index_seed(seed, &w->epoch_keys[p], 3, first_of(w, b) + row));
            OK(csl_dealt_seed_leaf(d.leaves + ((size_t)p * d.rows + row) * 32, seed));
        }
    }
    OK(csl_dealer_corrections(d.corrections, d.rows * n_c, w->demands, w->n_demands, w->n, d.seeds,
                              (const uint64_t *const *)masks, d.rows, NULL));
    if (s->fault.dealer && (w->shared || s->fault.batch == b + 1)) {
        d.corrections[0] ^= 1;
    }
    for (uint32_t row = 0; row < d.rows; row++) {
        OK(csl_dealt_corrections_leaf(d.correction_leaves + (size_t)row * 32, w->demands, w->n_demands,
                                      d.corrections + row * n_c, n_c));
    }
    sign_dealing(s, b, &d);
    for (unsigned p = 0; p < w->n; p++) {
        keep_dealt(s, b, p, &d);
    }
    csl_signed_clear(&d.statement);
    for (size_t i = 0; i < w->n_demands; i++) {
        csl_secret_free(masks[i]);
    }
    free(masks);
    csl_secret_free(d.seeds);
    csl_secret_free(d.corrections);
    free(d.leaves);
    free(d.correction_leaves);
}

/* Input i of a batch: all of one client's, a part, or a request of one inference. */
static void share_one(struct rw_session *s, uint32_t b, size_t i, const float *x) {
    const struct rw *w = s->w;
    const struct csl_plan *plan = &w->net->plan;
    const struct csl_part *part = w->two_owners ? &w->request.parts.at[i] : NULL;
    uint32_t count = w->shared ? 1 : RW_COUNT, first = w->shared ? (uint32_t)i : 0;
    struct csl_input_share in;
    struct csl_record_request request = {.number = w->shared ? b + 1 : 0};
    memset(request.guest, w->shared ? 0x30 + (int)i : 0, sizeof request.guest);
    OK(csl_input_share_make(&in, plan, part, x + first * csl_plan_n_inputs(plan), count, w->n, NULL));
    OK(csl_input_share_sign(&in, w->clients[i]->sign_key, s->record.digest, w->shared ? 0 : b + 1,
                            w->two_owners ? (uint32_t)i + 1 : 0, w->shared ? request.guest : NULL,
                            request.number, NULL));
    for (unsigned p = 0; p < w->n; p++) {
        struct csl_record_input *to = &s->batches[p][b].inputs[i];
        bool last = p + 1 == w->n;
        s->batches[p][b].n_inputs = i + 1;
        to->owner = w->clients[i];
        to->first = first;
        to->count = count;
        to->request = request;
        to->each = in.each;
        to->n = last ? in.n_packed : CSL_SHARE_SEED_BYTES;
        to->share = csl_secret_alloc(to->n, 1);
        memcpy(to->share, last ? in.packed : in.seeds + (size_t)p * CSL_SHARE_SEED_BYTES, to->n);
        memcpy(to->salt, in.salts + (size_t)p * 32, 32);
        OK(csl_signed_copy(&to->statement, in.statement.statement, in.statement.n, in.statement.signature));
    }
    csl_input_share_clear(&in);
}

void rw__share_input(struct rw_session *s, uint32_t b) {
    float *x = random_inputs(&s->w->net->plan, RW_COUNT, 5 + b);
    for (size_t i = 0; i < (s->w->two_owners || s->w->shared ? RW_OWNERS : 1); i++) {
        share_one(s, b, i, x);
    }
    free(x);
}

/* ---- A party ---- */

struct party {
    struct rw_session *s;
    unsigned self;
    struct csl_mem_net *net;
    struct csl_audit_link *audit;
    struct csl_link liar; /* above the audit link */
    uint32_t batch, opening;
    pthread_t thread;
    enum csl_err err;
};

static enum csl_err exchange(struct csl_link *link, uint8_t *const in[CSL_MAX_PARTIES], uint32_t round,
                             const uint8_t *out, size_t n, struct csl_diag *diag) {
    struct party *p = (struct party *)((char *)link - offsetof(struct party, liar));
    const struct rw_fault *f = &p->s->fault;
    p->opening++;
    if ((int)p->self == f->party && p->batch == f->batch && p->opening == f->round) {
        ((uint8_t *)(uintptr_t)out)[f->byte < n ? f->byte : 0] ^= 1;
    }
    struct csl_link *below = csl_audit_link_base(p->audit);
    return below->ops->exchange(below, in, round, out, n, diag);
}
static const struct csl_link_ops liar_ops = {.exchange = exchange};

static void take_input(const struct rw_session *s, const struct csl_record *r, unsigned p, uint64_t *x) {
    const struct csl_plan *plan = &s->w->net->plan;
    unsigned bits = csl_plan_input_bits(plan);
    size_t whole = csl_plan_n_inputs(plan);
    for (size_t i = 0; i < r->n_inputs; i++) {
        const struct csl_record_input *in = &r->inputs[i];
        size_t each = in->each;
        uint64_t *part = csl_secret_alloc(in->count * each, sizeof *part);
        uint32_t *at = calloc(2 * each, sizeof *at);
        if (p + 1 < s->w->n) {
            OK(csl_input_expand(part, in->share, in->count, each, bits));
        } else {
            csl_unpack_bits(part, in->share, in->count * each, bits);
        }
        for (size_t k = 0; k < each; k++) {
            at[each + k] = (uint32_t)k;
        }
        if (s->w->two_owners) {
            csl_part_positions(&s->w->request.parts.at[i], plan, at, at + each);
        }
        for (size_t k = 0; k < in->count * each; k++) {
            x[(in->first + k / each) * whole + at[each + k % each]] = part[k];
        }
        csl_secret_free(part);
        free(at);
    }
}

/* Output i, of n_y values: all of them, or a request's. */
static enum csl_err put_one(const struct party *p, struct csl_record *r, size_t i, const uint64_t *y,
                            size_t n_y, unsigned bits) {
    struct csl_record_output *out = &r->outputs[i];
    uint8_t commitment[32];
    r->n_outputs = i + 1;
    TRY(csl_pack_size(&out->n, n_y, bits));
    out->share = csl_secret_alloc(out->n, 1);
    csl_pack_bits(out->share, y, n_y, bits);
    TRY(csl_rand(out->salt, sizeof out->salt));
    TRY(csl_output_commit(commitment, out->salt, out->share, out->n));
    Csl__Audit__OutputStatement m = CSL__AUDIT__OUTPUT_STATEMENT__INIT;
    m.session = csl_bytes(p->s->record.digest, 32);
    m.party = p->self;
    m.batch = r->batch;
    m.count = r->count;
    m.commitment = csl_bytes(commitment, sizeof commitment);
    if (p->s->w->shared) {
        m.count = r->inputs[i].count;
        m.guest = csl_bytes(r->inputs[i].request.guest, CSL_GUEST_ID_BYTES);
        m.request = r->inputs[i].request.number;
    }
    return csl_statement_sign(&out->statement, CSL_STATEMENT_OUTPUT, &m.base, p->s->w->keys[p->self], NULL);
}

static enum csl_err put_out(const struct party *p, struct csl_record *r, uint64_t *y, size_t n_y) {
    const struct rw *w = p->s->w;
    const struct csl_plan *plan = &w->net->plan;
    unsigned bits = w->label ? csl_plan_label_bits(plan) : csl_plan_output_bits(plan);
    unsigned cut = w->label ? 0 : plan->output_cut;
    size_t n = w->shared ? r->n_inputs : 1;
    csl_output_cut(y, y, n_y, bits, cut);
    for (size_t i = 0; i < n; i++) {
        TRY(put_one(p, r, i, y + i * (n_y / n), n_y / n, bits - cut));
    }
    return CSL_OK;
}

static enum csl_err run_batch(struct party *p, struct csl_session *session, struct csl_record *r) {
    const struct rw *w = p->s->w;
    const struct csl_plan *plan = &w->net->plan;
    const struct rw_fault *f = &p->s->fault;
    bool cheats = (int)p->self == f->party && f->batch == r->batch;
    struct csl_model_share share = w->shares[p->self]; /* borrowed */
    struct csl_layer_share *layer = cheats && f->weights ? &share.layers[f->layer] : NULL;
    size_t n_x = RW_COUNT * csl_plan_n_inputs(plan),
           n_y = RW_COUNT * (w->label ? 1 : csl_plan_n_outputs(plan));
    uint64_t *x = csl_secret_alloc(n_x + n_y, sizeof *x), *y = x + n_x;
    struct csl_corr *corr = NULL;
    enum csl_err err = CSL_OK;
    p->batch = r->batch;
    p->opening = 0;
    TRY_OUT(csl_corr_new(&corr, w->demands, w->n_demands, w->n, p->self, RW_COUNT, NULL));
    for (uint32_t i = 0; i < RW_COUNT; i++) {
        const uint8_t *chunk = r->corrections == NULL ? NULL : r->corrections + i * r->n_corrections;
        uint8_t seed[CSL_INDEX_SEED_BYTES];
        memcpy(seed, r->seeds + i * CSL_INDEX_SEED_BYTES, sizeof seed);
        if (cheats && f->row && i == 1) {
            TRY_OUT(csl_index_seed(seed, &w->epoch_keys[p->self], 3, r->first + 1));
        }
        TRY_OUT(csl_corr_expand(corr, i, seed, chunk, chunk == NULL ? 0 : r->n_corrections, NULL));
    }
    TRY_OUT(csl_infer_prepare(corr, &share, NULL));
    take_input(p->s, r, p->self, x);
    x[0] ^= cheats && f->input;
    if (layer != NULL) {
        layer->w[0] ^= 1;
    }
    TRY_OUT(csl_audit_link_begin(p->audit, r, w->openings));
    err = csl_infer(session, y, plan, &share, corr, x, w->profile, w->label);
    if (layer != NULL) {
        layer->w[0] ^= 1;
    }
    TRY_OUT(err);
    y[f->output_row * (n_y / RW_COUNT)] ^= (uint64_t)(cheats && f->output)
                                           << (w->label ? 0 : plan->output_cut);
    TRY_OUT(put_out(p, r, y, n_y));
    TRY_OUT(csl_audit_link_sign(p->audit, session));
out:
    csl_corr_free(corr);
    csl_secret_free(x);
    return err;
}

static void *run_party(void *arg) {
    struct party *p = arg;
    struct csl_session session;
    p->liar = (struct csl_link){.ops = &liar_ops, .n_parties = p->s->w->n, .self = p->self};
    p->err = csl_session_init(&session, &p->liar);
    for (uint32_t b = 0; b < RW_BATCHES && p->err == CSL_OK; b++) {
        p->err = run_batch(p, &session, &p->s->batches[p->self][b]);
    }
    if (p->err != CSL_OK) {
        (void)fprintf(stderr, "party %u: %s: %s\n", p->self, csl_err_name(p->err), session.diag.text);
    }
    csl_session_clear(&session);
    csl_mem_net_leave(p->net, p->self);
    return NULL;
}

void rw__run_parties(struct rw_session *s) {
    const struct rw *w = s->w;
    struct party parties[CSL_MAX_PARTIES] = {{0}};
    struct csl_mem_net *net;
    OK(csl_mem_net_new(&net, w->n));
    for (unsigned p = 0; p < w->n; p++) {
        parties[p].s = s;
        parties[p].self = p;
        parties[p].net = net;
        struct csl_audit_link_options opt = {
            .below = csl_mem_net_link(net, p), .ctx = &w->ctx[p], .sign = w->sign, .keep_messages = true};
        OK(csl_audit_link_new(&parties[p].audit, &opt));
        OK(csl_audit_link_start(parties[p].audit, &s->record));
        assert_int_equal(pthread_create(&parties[p].thread, NULL, run_party, &parties[p]), 0);
    }
    for (unsigned p = 0; p < w->n; p++) {
        assert_int_equal(pthread_join(parties[p].thread, NULL), 0);
    }
    for (unsigned p = 0; p < w->n; p++) {
        OK(parties[p].err);
        csl_audit_link_free(parties[p].audit);
    }
    csl_mem_net_free(net);
}
