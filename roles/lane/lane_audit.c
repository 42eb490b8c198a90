/* What a lane signs and logs beside the protocol (docs/audit.md): the session's statement, the output's
 * statements, and the ledger's leaves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"
#include "crypto/rand.h"
#include "roles/daemon/daemon.h"
#include "roles/daemon/logbook.h"
#include "roles/lane/lane_internal.h"
#include "roles/plan_codec.h"

_Static_assert(CSL_PROFILE_COUNT == 2, "audit/statement.c accepts 0 and 1");

/* ---- The session's statement ---- */

struct digests {
    uint8_t plan[CSL_DIGEST_BYTES], weights[CSL_DIGEST_BYTES], request[CSL_DIGEST_BYTES],
        nonces[CSL_DIGEST_BYTES];
};

static enum csl_err make_digests(struct digests *d, const struct csl_lane *l) {
    uint8_t *plan;
    size_t n;
    TRY(csl_plan_encode(&plan, &n, &l->opt.package->plan));
    enum csl_err err = csl_sha256_once(d->plan, plan, n);
    free(plan);
    TRY(err);
    TRY(csl_weights_digest(d->weights, l->agreed.nonces, l->n_parties, &l->opened->share));
    TRY(csl_request_digest(d->request, &l->opt.request));
    return csl_nonces_digest(d->nonces, l->agreed.nonces, l->n_parties);
}

static enum csl_err make_statement(struct csl_lane *l, const struct csl__lane_said said[CSL_MAX_PARTIES]) {
    struct digests d;
    TRY(make_digests(&d, l));
    char *parties[CSL_MAX_PARTIES];
    ProtobufCBinaryData software[CSL_MAX_PARTIES], configuration[CSL_MAX_PARTIES], seeds[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < l->n_parties; i++) {
        parties[i] = (char *)(uintptr_t)csl_roster_party(&l->opt.ctx->roster, i)->name;
        software[i] = csl_bytes(said[i].software, CSL_DIGEST_BYTES);
        configuration[i] = csl_bytes(said[i].configuration, CSL_DIGEST_BYTES);
        seeds[i] = csl_bytes(said[i].seed_commitment, CSL_DIGEST_BYTES);
    }
    Csl__Audit__SessionStatement m = CSL__AUDIT__SESSION_STATEMENT__INIT;
    m.session_id = csl_bytes(l->opt.session_id, CSL_SESSION_ID_BYTES);
    m.roster_digest = csl_bytes(l->opt.ctx->roster_digest, CSL_DIGEST_BYTES);
    m.package_digest = csl_bytes(l->opt.package->digest, CSL_DIGEST_BYTES);
    m.plan_digest = csl_bytes(d.plan, CSL_DIGEST_BYTES);
    m.epoch_id = csl_bytes(l->opt.epoch->id, CSL_EPOCH_ID_BYTES);
    m.mask_id = csl_bytes(l->mask_id, CSL_DIGEST_BYTES);
    m.weights_digest = csl_bytes(d.weights, CSL_DIGEST_BYTES);
    m.request_digest = csl_bytes(d.request, CSL_DIGEST_BYTES);
    m.nonces_digest = csl_bytes(d.nonces, CSL_DIGEST_BYTES);
    m.stream = l->stream;
    m.model = l->opt.request.model;
    m.shared = l->opt.request.shared;
    if (!m.shared) {
        m.client = (char *)(uintptr_t)l->opt.client->name;
    }
    m.n_parties = m.n_software = m.n_configuration = m.n_seed_commitments = l->n_parties;
    m.parties = parties;
    m.software = software;
    m.configuration = configuration;
    m.seed_commitments = seeds;
    m.check_rows = l->opt.ctx->roster.audit.check_rows;
    m.sign = l->sign;
    m.profile = (uint32_t)l->profile;
    TRY(csl_statement_pack(&l->agreed.statement, &l->agreed.n_statement, &m.base));
    return csl_sha256_once(l->agreed.digest, l->agreed.statement, l->agreed.n_statement);
}

/* Everybody's signature of the same bytes. */
static enum csl_err exchange_signatures(struct csl_lane *l) {
    const struct csl_context *ctx = l->opt.ctx;
    struct csl_session_record *a = &l->agreed;
    uint8_t *into[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < CSL_MAX_PARTIES; i++) {
        into[i] = a->signatures[i];
    }
    TRY(csl_statement_sign_bytes(a->signatures[l->self], CSL_STATEMENT_SESSION, a->statement, a->n_statement,
                                 ctx->site.sign_key, &l->diag));
    enum csl_err err = csl_session_exchange(&l->session, into, a->signatures[l->self], CSL_SIGNATURE_BYTES);
    if (err != CSL_OK) {
        l->diag = l->session.diag;
        return err;
    }
    for (unsigned i = 0; i < l->n_parties; i++) {
        const struct csl_member *m = csl_roster_party(&ctx->roster, i);
        err = i == l->self
                  ? CSL_OK
                  : csl_statement_verify(CSL_STATEMENT_SESSION, a->statement, a->n_statement,
                                         a->signatures[i], CSL_SIGNATURE_BYTES, m->sign_key, &l->diag);
        if (err == CSL_EAUTH) {
            return csl_fail(&l->diag, err,
                            "%s signed another session statement than ours: somebody told it and us "
                            "different things (nonces, programs, masked weights); the session is not opened",
                            m->name);
        }
        TRY(err);
    }
    return CSL_OK;
}

static enum csl_err log_session(struct csl_lane *l) {
    ProtobufCBinaryData signatures[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < l->n_parties; i++) {
        signatures[i] = csl_bytes(l->agreed.signatures[i], CSL_SIGNATURE_BYTES);
    }
    CSL_LEAF(leaf, body, SessionLeaf, SESSION_LEAF, SESSION, session);
    body.statement = csl_bytes(l->agreed.statement, l->agreed.n_statement);
    body.n_signatures = l->n_parties;
    body.signatures = signatures;
    body.grant_digest = csl_bytes(l->opt.epoch->grant_digest, CSL_DIGEST_BYTES);
    return csl_logbook_add(l->opt.ctx->logbook, &leaf, true, &l->diag);
}

enum csl_err csl__lane_agree_statement(struct csl_lane *l,
                                       const struct csl__lane_said said[CSL_MAX_PARTIES]) {
    TRY(make_statement(l, said));
    TRY(exchange_signatures(l));
    TRY(csl_audit_link_start(l->audit, &l->agreed));
    TRY(log_session(l));
    return l->keep_views ? csl_view_begin(&l->view, l->opt.ctx, l->opt.session_id, &l->agreed, l->opt.package,
                                          l->mask_id, &l->opened->share, &l->opt.request, &l->diag)
                         : CSL_OK;
}

/* ---- The output ---- */

/* of: whose request it answers, in a shared session. */
static enum csl_err sign_output(struct csl_lane *l, const struct csl__batch *b, struct csl_record_output *out,
                                const struct csl_record_input *of) {
    uint8_t commitment[CSL_DIGEST_BYTES];
    TRY(csl_rand(out->salt, sizeof out->salt));
    TRY(csl_output_commit(commitment, out->salt, out->share, out->n));
    Csl__Audit__OutputStatement m = CSL__AUDIT__OUTPUT_STATEMENT__INIT;
    m.session = csl_bytes(l->agreed.digest, CSL_DIGEST_BYTES);
    m.party = l->self;
    m.batch = b->number;
    m.count = b->count;
    m.commitment = csl_bytes(commitment, sizeof commitment);
    if (of->request.number != 0) {
        m.count = of->count;
        m.guest = csl_bytes(of->request.guest, CSL_GUEST_ID_BYTES);
        m.request = of->request.number;
    }
    return csl_statement_sign(&out->statement, CSL_STATEMENT_OUTPUT, &m.base, l->opt.ctx->site.sign_key,
                              &l->diag);
}

enum csl_err csl__lane_sign_output(struct csl_lane *l, struct csl__batch *b, size_t i) {
    return sign_output(l, b, &b->record.outputs[i], &b->record.inputs[i]);
}

/* ---- Leaves ---- */

static void fill_signed(Csl__Audit__Signed *out, const struct csl_signed *s, const char *signer) {
    csl__audit__signed__init(out);
    out->statement = csl_bytes(s->statement, s->n);
    out->signature = csl_bytes(s->signature, CSL_SIGNATURE_BYTES);
    out->signer = (char *)(uintptr_t)signer;
}

static enum csl_err log_inputs(struct csl_lane *l, const struct csl_record *r) {
    Csl__Audit__Signed pb[CSL_RECORD_INPUTS_MAX], *list[CSL_RECORD_INPUTS_MAX];
    size_t n = 0, at = 0;
    for (size_t i = 0; i < r->n_inputs; i++) {
        n += r->inputs[i].count;
    }
    ProtobufCBinaryData *commitments = calloc(n + 1, sizeof *commitments);
    if (commitments == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t i = 0; i < r->n_inputs; i++) {
        const struct csl_record_input *in = &r->inputs[i];
        fill_signed(&pb[i], &in->statement, in->owner->name);
        list[i] = &pb[i];
        for (uint32_t row = 0; row < in->count; row++) {
            commitments[at++] = csl_bytes(in->commitments + (size_t)row * CSL_MERKLE_BYTES, CSL_MERKLE_BYTES);
        }
    }
    CSL_LEAF(leaf, body, InputLeaf, INPUT_LEAF, INPUT, input);
    body.session = csl_bytes(l->agreed.digest, CSL_DIGEST_BYTES);
    body.batch = r->batch;
    body.n_inputs = r->n_inputs;
    body.inputs = list;
    body.n_commitments = n;
    body.commitments = commitments;
    enum csl_err err = csl_logbook_add(l->opt.ctx->logbook, &leaf, false, &l->diag);
    free(commitments);
    return err;
}

static enum csl_err log_heads(struct csl_lane *l, struct csl__batch *b) {
    struct csl_record *r = &b->record;
    const struct csl_roster *roster = &l->opt.ctx->roster;
    Csl__Audit__Signed pb[CSL_MAX_PARTIES], *list[CSL_MAX_PARTIES], dealt;
    size_t n = 0;
    for (unsigned i = 0; i < l->n_parties; i++) {
        if (r->heads[i].statement != NULL) {
            fill_signed(&pb[n], &r->heads[i], csl_roster_party(roster, i)->name);
            list[n] = &pb[n];
            n++;
        }
    }
    if (n == 0) {
        return CSL_OK;
    }
    CSL_LEAF(leaf, body, HeadsLeaf, HEADS_LEAF, HEADS, heads);
    body.session = csl_bytes(l->agreed.digest, CSL_DIGEST_BYTES);
    body.batch = b->number;
    body.n_heads = n;
    body.heads = list;
    if (r->dealt.statement != NULL) {
        fill_signed(&dealt, &r->dealt, csl_roster_dealer(roster)->name);
        body.dealt = &dealt;
    }
    return csl_logbook_add(l->opt.ctx->logbook, &leaf, false, &l->diag);
}

static enum csl_err log_output(struct csl_lane *l, struct csl__batch *b) {
    Csl__Audit__Signed pb[CSL_RECORD_INPUTS_MAX], *list[CSL_RECORD_INPUTS_MAX];
    for (size_t i = 0; i < b->record.n_outputs; i++) {
        fill_signed(&pb[i], &b->record.outputs[i].statement, l->opt.ctx->self->name);
        list[i] = &pb[i];
    }
    CSL_LEAF(leaf, body, OutputLeaf, OUTPUT_LEAF, OUTPUT, output);
    body.session = csl_bytes(l->agreed.digest, CSL_DIGEST_BYTES);
    body.n_outputs = b->record.n_outputs;
    body.outputs = list;
    return csl_logbook_add(l->opt.ctx->logbook, &leaf, false, &l->diag);
}

/* The entries of inputs that were not verified would say nothing. */
static enum csl_err log_leaves(struct csl_lane *l, struct csl__batch *b, bool inputs) {
    if (inputs) {
        TRY(log_inputs(l, &b->record));
        TRY(log_heads(l, b));
    }
    return log_output(l, b);
}

static enum csl_err sign_after(struct csl_lane *l) {
    enum csl_err err = csl_audit_link_sign(l->audit, &l->session);
    if (err != CSL_OK) {
        l->diag = l->session.diag;
    }
    return err;
}

enum csl_err csl__lane_log_batch(struct csl_lane *l, struct csl__batch *b) {
    if (l->sign == CSL_SIGN_OFF) {
        return CSL_OK;
    }
    bool inputs = true;
    enum csl_err err = CSL_OK;
    if (l->sign == CSL_SIGN_AFTER_OUTPUT) {
        err = l->opt.request.shared ? CSL_OK /* requests were verified as they came */
                                    : csl__lane_verify_inputs(l, b);
        inputs = err == CSL_OK;
        err = inputs ? sign_after(l) : err;
    }
    if (err != CSL_OK) { /* the output is out: what there is of the batch is entered all the same */
        struct csl_diag why = l->diag;
        if (log_leaves(l, b, inputs) != CSL_OK) {
            csl_log("a batch is not in the ledger: %s", l->diag.text);
        }
        l->diag = why;
        return err;
    }
    TRY(log_leaves(l, b, true));
    TRY(csl_view_add(l->view, &b->record, &l->diag));
    if (l->opt.request.shared && csl_view_is_large(l->view) && csl_lane_takes_guests(l)) {
        csl_lane_drain(l); /* new guests begin another session, and another view */
    }
    return CSL_OK;
}

/* What the owners signed for us: one of them may have signed something else for a peer, and only both ledgers
 * show it. */
void csl__lane_keep_inputs(void *lane, const struct csl_record *r) {
    struct csl_lane *l = lane;
    struct csl_diag why = l->diag;
    if (log_inputs(l, r) != CSL_OK) {
        csl_log("the inputs of a batch that broke off are not in the ledger: %s", l->diag.text);
    }
    l->diag = why;
}

void csl__lane_log_cut(struct csl_lane *l, struct csl__batch *b) {
    struct csl_record *r = &b->record;
    struct csl_diag why = l->diag;
    size_t n = 0;
    while (n < r->n_outputs && r->outputs[n].statement.n != 0) {
        n++;
    }
    r->n_outputs = n;
    bool verified = l->sign == CSL_SIGN_BEFORE_OUTPUT || l->opt.request.shared;
    enum csl_err err = l->sign == CSL_SIGN_OFF ? CSL_OK : verified ? log_inputs(l, r) : CSL_OK;
    if (err == CSL_OK && l->sign == CSL_SIGN_BEFORE_OUTPUT) {
        err = log_heads(l, b);
    }
    if (err == CSL_OK && n != 0) {
        err = log_output(l, b);
    }
    if (err != CSL_OK) {
        csl_log("a batch is not in the ledger: %s", l->diag.text);
    }
    l->diag = why;
}

void csl__lane_log_close(struct csl_lane *l, enum csl_err err) {
    struct csl_diag diag = {""};
    csl__lane_forget_requests(l);
    CSL_LEAF(leaf, body, CloseLeaf, CLOSE_LEAF, CLOSE, close);
    if (l->agreed.statement != NULL) {
        body.session = csl_bytes(l->agreed.digest, CSL_DIGEST_BYTES);
    }
    body.session_id = csl_bytes(l->opt.session_id, CSL_SESSION_ID_BYTES);
    body.error = (uint32_t)err;
    body.reason = err == CSL_OK ? (char *)"" : l->diag.text;
    body.batches = l->batches;
    body.inferences = l->inferences;
    if (csl_logbook_add(l->opt.ctx->logbook, &leaf, false, &diag) != CSL_OK) {
        csl_log("the end of a session is not in the ledger: %s", diag.text);
    }
}
