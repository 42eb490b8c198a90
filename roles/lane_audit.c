/* What a lane signs, checks and logs beside the protocol (docs/audit.md): the session's statement, the
 * inputs' and the output's statements, and the ledger's leaves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"
#include "crypto/rand.h"
#include "crypto/secret.h"
#include "mpc/pack.h"
#include "roles/daemon.h"
#include "roles/input_share.h"
#include "roles/lane_internal.h"
#include "roles/logbook.h"
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
    if (l->opt.client != NULL) { /* of a shared session the statements name guests, and who signed them */
        m.client = (char *)(uintptr_t)l->opt.client->name;
    }
    m.shared = l->opt.client == NULL;
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

/* ---- Inputs ---- */

/* An input as it should have been signed: of this batch, or a guest's request. */
struct checking {
    const struct csl_lane *l;
    struct csl_record_input *in;
    uint32_t batch; /* 0: a request of a shared session */
    struct csl_diag *diag;
};

static enum csl_err refuse_input(const struct checking *c, const char *what) {
    return csl_fail(c->diag, CSL_EAUTH, "%s: the statement of its input of %s %u %s", c->in->owner->name,
                    c->batch == 0 ? "request" : "batch", c->batch == 0 ? c->in->request.number : c->batch,
                    what);
}

static bool same_guest(const struct csl_record_input *in, const Csl__Audit__InputStatement *m) {
    return m->request == in->request.number &&
           (in->request.number == 0 ? m->guest.len == 0
                                    : m->guest.len == CSL_GUEST_ID_BYTES &&
                                          memcmp(m->guest.data, in->request.guest, m->guest.len) == 0);
}

static enum csl_err check_statement(const struct checking *c, const Csl__Audit__InputStatement *m,
                                    const uint8_t root[CSL_MERKLE_BYTES]) {
    const struct csl_lane *l = c->l;
    if (memcmp(m->session.data, l->agreed.digest, CSL_DIGEST_BYTES) != 0) {
        return refuse_input(c, "is of another session");
    }
    if (m->batch != c->batch || m->count != c->in->count || m->part != c->in->part) {
        return refuse_input(c, "is of another batch, count or part");
    }
    if (!same_guest(c->in, m)) {
        return refuse_input(c, "is of another guest or request");
    }
    if (m->n_roots != l->n_parties || memcmp(m->roots[l->self].data, root, CSL_MERKLE_BYTES) != 0) {
        return refuse_input(c, "does not commit to the share that we got");
    }
    return CSL_OK;
}

/* Our commitments, from the share as it came. */
static enum csl_err commit_input(const struct checking *c) {
    struct csl_record_input *in = c->in;
    unsigned bits = csl_plan_input_bits(&c->l->opt.package->plan);
    size_t n = (size_t)in->count * in->each;
    free(in->commitments);
    in->commitments = calloc(in->count, CSL_MERKLE_BYTES);
    if (in->commitments == NULL) {
        return CSL_ENOMEM;
    }
    if (!c->l->is_last) {
        return csl_input_leaves(in->commitments, in->salt, in->share, NULL, in->count, in->each, bits);
    }
    uint64_t *x = csl_secret_alloc(n, sizeof *x);
    enum csl_err err = x == NULL ? CSL_ENOMEM : csl_unpack_bits_strict(x, in->share, in->n, n, bits, c->diag);
    if (err == CSL_OK) {
        err = csl_input_leaves(in->commitments, in->salt, NULL, x, in->count, in->each, bits);
    }
    csl_secret_free(x);
    return err;
}

static enum csl_err verify_input(const struct checking *c) {
    const struct csl_record_input *in = c->in;
    enum csl_err err =
        csl_statement_verify(CSL_STATEMENT_INPUT, in->statement.statement, in->statement.n,
                             in->statement.signature, CSL_SIGNATURE_BYTES, in->owner->sign_key, c->diag);
    if (err == CSL_EAUTH) {
        return refuse_input(c, "is not signed by its key in the roster");
    }
    TRY(err);
    uint8_t root[CSL_MERKLE_BYTES];
    Csl__Audit__InputStatement *m;
    TRY(commit_input(c));
    TRY(csl_merkle_root(root, in->commitments, in->count));
    err = csl_input_statement_decode(&m, in->statement.statement, in->statement.n, c->diag);
    if (err != CSL_OK) {
        return csl_fail_context(c->diag, err, "the statement of the input of %s", in->owner->name);
    }
    err = check_statement(c, m, root);
    csl_statement_free(m);
    return err;
}

enum csl_err csl__lane_verify_inputs(struct csl_lane *l, struct csl__batch *b) {
    for (size_t i = 0; i < b->record.n_inputs; i++) {
        struct checking c = {.l = l, .in = &b->record.inputs[i], .batch = b->number, .diag = &l->diag};
        TRY(verify_input(&c));
    }
    return CSL_OK;
}

enum csl_err csl__lane_verify_request(struct csl_lane *l, struct csl_record_input *in,
                                      struct csl_diag *diag) {
    struct checking c = {.l = l, .in = in, .diag = diag};
    return verify_input(&c);
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

enum csl_err csl__lane_sign_output(struct csl_lane *l, struct csl__batch *b) {
    struct csl_record *r = &b->record;
    for (size_t i = 0; i < r->n_outputs; i++) {
        TRY(sign_output(l, b, &r->outputs[i], &r->inputs[i]));
    }
    return CSL_OK;
}

/* ---- Leaves ---- */

static void fill_signed(Csl__Audit__Signed *out, const struct csl_signed *s, const char *signer) {
    csl__audit__signed__init(out);
    out->statement = csl_bytes(s->statement, s->n);
    out->signature = csl_bytes(s->signature, CSL_SIGNATURE_BYTES);
    out->signer = (char *)(uintptr_t)signer;
}

static enum csl_err log_inputs(struct csl_lane *l, struct csl__batch *b) {
    struct csl_record *r = &b->record;
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
    body.batch = b->number;
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
        TRY(log_inputs(l, b));
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
        err = l->opt.client == NULL ? CSL_OK /* requests were verified as they came */
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
    return csl_view_add(l->view, &b->record, &l->diag);
}

void csl__lane_log_close(struct csl_lane *l, enum csl_err err) {
    struct csl_diag diag = {""};
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
