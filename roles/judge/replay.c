#include "roles/judge/replay.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "mpc/epoch.h"
#include "mpc/pack.h"
#include "roles/judge/replay_internal.h"

/* ---- The session's statement ---- */

static enum csl_err mismatch_before(struct csl_replay *r, const char *why) {
    r->stopped = true;
    return csl_audit_find(r->report, CSL_VERDICT_MISMATCH, r->opt.party, NULL, 0, "%s", why);
}

static bool same_members(const struct csl_replay *r) {
    const Csl__Audit__SessionStatement *s = r->statement;
    bool same = s->n_parties == r->opt.roster->n_parties && s->n_parties == r->view->record.n_parties;
    for (unsigned i = 0; same && i < s->n_parties; i++) {
        same = strcmp(s->parties[i], csl_roster_party(r->opt.roster, i)->name) == 0;
    }
    return same;
}

static enum csl_err check_statement(struct csl_replay *r) {
    const struct csl_session_record *s = &r->view->record;
    struct csl_diag why = {""};
    enum csl_err err = csl_session_statement_decode(&r->statement, s->statement, s->n_statement, &why);
    if (err != CSL_OK) {
        return err == CSL_ENOMEM ? err : mismatch_before(r, why.text);
    }
    if ((r->opt.session_id != NULL && memcmp(r->opt.session_id, r->statement->session_id.data, 16) != 0) ||
        (r->opt.package_digest != NULL &&
         !csl__is_digest(&r->statement->package_digest, r->opt.package_digest))) {
        return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, 0,
                         "the view is of another session or package than its head says");
    }
    if (!csl__is_digest(&r->statement->roster_digest, r->opt.roster_digest) || !same_members(r)) {
        return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, 0,
                         "the session ran under another roster than the one given; use the roster of its "
                         "time");
    }
    for (unsigned i = 0; i < s->n_parties; i++) {
        const struct csl_member *m = csl_roster_party(r->opt.roster, i);
        if (csl_statement_verify(CSL_STATEMENT_SESSION, s->statement, s->n_statement, s->signatures[i],
                                 CSL_SIGNATURE_BYTES, m->sign_key, NULL) != CSL_OK) {
            return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, 0,
                             "the view's session statement is not signed by %s", m->name);
        }
        r->report->signatures++;
    }
    return CSL_OK;
}

static enum csl_err check_request(struct csl_replay *r) {
    uint8_t digest[CSL_DIGEST_BYTES];
    struct csl_diag why = {""};
    TRY(csl_nonces_digest(digest, r->view->record.nonces, r->n_parties));
    if (!csl__is_digest(&r->statement->nonces_digest, digest)) {
        return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, 0, "the view's nonces are other ones");
    }
    TRY(csl_request_digest(digest, &r->view->request));
    r->parts = r->view->request.parts;
    if (!csl__is_digest(&r->statement->request_digest, digest) ||
        r->view->request.shared != (bool)r->statement->shared ||
        (r->parts.n != 0 && csl_parts_fit(&r->parts, &r->manifest.plan, &why) != CSL_OK)) {
        return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, 0,
                         "the view's request is not the one that the parties signed");
    }
    return CSL_OK;
}

/* ---- The model ---- */

static enum csl_err check_manifest(struct csl_replay *r) {
    const struct csl_view_session *v = r->view;
    struct csl_diag why = {""};
    enum csl_err err = csl_manifest_decode(&r->manifest, v->manifest, v->n_manifest, &why);
    if (err != CSL_OK) {
        return err == CSL_ENOMEM ? err : CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, 0, "%s", why.text);
    }
    const struct csl_member *owner = csl_roster_member(r->opt.roster, r->manifest.owner);
    if (!csl__is_digest(&r->statement->package_digest, r->manifest.digest) ||
        r->manifest.n_parties != r->n_parties) {
        return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, 0,
                         "the view's manifest is not the one that the parties signed");
    }
    if (owner == NULL ||
        csl_statement_verify(CSL_STATEMENT_MANIFEST, v->manifest, v->n_manifest, v->manifest_signature,
                             CSL_SIGNATURE_BYTES, owner->sign_key, NULL) != CSL_OK) {
        return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, 0,
                         "the view's manifest is not signed by the model's owner %s", r->manifest.owner);
    }
    r->report->signatures++;
    return CSL_OK;
}

static enum csl_err check_part(struct csl_replay *r) {
    const struct csl_view_session *v = r->view;
    const struct csl_plan *plan = &r->manifest.plan;
    uint8_t commitment[CSL_DIGEST_BYTES];
    TRY(csl_part_commit(commitment, r->manifest.nonce, r->self, v->part, v->n_part));
    if (v->n_part != csl_part_bytes(plan, r->n_parties, r->self) ||
        !csl_hash_equal(commitment, r->manifest.commitments[r->self], sizeof commitment)) {
        return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, 0,
                         "the view's share of the model is not the one that the manifest commits to");
    }
    const uint8_t *share = v->part + CSL_SALT_BYTES;
    struct csl_diag why = {""};
    enum csl_err err = r->is_last
                           ? csl_model_share_decode(&r->share, plan, share, v->n_part - CSL_SALT_BYTES, &why)
                           : csl_model_share_expand(&r->share, plan, share);
    if (err != CSL_OK && err != CSL_ENOMEM) {
        return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, 0,
                         "the view's share of the model cannot be decoded");
    }
    return err;
}

static enum csl_err take_e(struct csl_layer_share *l, const uint8_t *packed, size_t n, bool *fits) {
    l->e = csl_secret_alloc(l->n_w, sizeof *l->e);
    if (l->e == NULL) {
        return CSL_ENOMEM;
    }
    *fits = csl_unpack_bits_strict(l->e, packed, n, l->n_w, l->bits, NULL) == CSL_OK;
    return CSL_OK;
}

static enum csl_err check_weights(struct csl_replay *r) {
    uint8_t digest[CSL_DIGEST_BYTES] = {0};
    bool fits = r->view->n_layers == r->share.n_layers;
    for (uint32_t i = 0; i < r->share.n_layers && fits; i++) {
        TRY(take_e(&r->share.layers[i], r->view->e[i], r->view->n_e[i], &fits));
    }
    if (fits) {
        TRY(csl_weights_digest(digest, r->view->record.nonces, r->n_parties, &r->share));
    }
    if (!fits || !csl__is_digest(&r->statement->weights_digest, digest)) {
        return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, 0,
                         "the view's masked weights are not those that the parties signed");
    }
    r->share.opened = true;
    return CSL_OK;
}

/* ---- Bundles ---- */

static uint32_t batch_of_output(const Csl__Audit__OutputLeaf *l) {
    Csl__Audit__OutputStatement *m = NULL;
    uint32_t batch = 0;
    if (l->n_outputs != 0 && csl_output_statement_decode(&m, l->outputs[0]->statement.data,
                                                         l->outputs[0]->statement.len, NULL) == CSL_OK) {
        batch = m->batch;
    }
    csl_statement_free(m);
    return batch;
}

/* The batch of this session that a leaf is about; 0: none. */
static uint32_t batch_of(const csl_leaf *l, const uint8_t *session) {
    if (l->body_case == CSL__AUDIT__LEAF__BODY_HEADS && csl__is_digest(&l->heads->session, session)) {
        return l->heads->batch;
    }
    return l->body_case == CSL__AUDIT__LEAF__BODY_OUTPUT && csl__is_digest(&l->output->session, session)
               ? batch_of_output(l->output)
               : 0;
}

static enum csl_err keep_leaf(struct csl_replay *r, const char *site, csl_leaf *l, uint32_t batch) {
    struct csl__replay_leaf *leaves = realloc(r->leaves, (r->n_leaves + 1) * sizeof *leaves);
    if (leaves == NULL) {
        csl_leaf_free(l);
        return CSL_ENOMEM;
    }
    r->leaves = leaves;
    leaves[r->n_leaves++] = (struct csl__replay_leaf){site, l, batch};
    return CSL_OK;
}

static enum csl_err take_leaves(struct csl_replay *r) {
    for (size_t b = 0; b < r->opt.n_bundles; b++) {
        const csl_bundle *bundle = r->opt.bundles[b];
        for (size_t i = 0; i < bundle->n_leaves; i++) {
            const ProtobufCBinaryData *bytes = &bundle->leaves[i]->leaf;
            csl_leaf *l = NULL;
            if (csl_leaf_decode(&l, bytes->data, bytes->len, NULL) != CSL_OK) {
                continue; /* audit verify reports it */
            }
            uint32_t batch = batch_of(l, r->view->record.digest);
            if (batch == 0) {
                csl_leaf_free(l);
            } else {
                TRY(keep_leaf(r, bundle->site, l, batch));
            }
        }
    }
    return CSL_OK;
}

/* ---- Life ---- */

static enum csl_err begin(struct csl_replay *r, struct csl_diag *diag) {
    r->member = csl_roster_member(r->opt.roster, r->opt.party);
    if (r->member == NULL || r->member->party < 0) {
        return csl_fail(diag, CSL_EUSAGE, "the roster has no party %s", r->opt.party);
    }
    r->self = (unsigned)r->member->party;
    r->n_parties = r->opt.roster->n_parties;
    r->is_last = r->self + 1 == r->n_parties;
    CSL__CHECK(r, check_statement(r));
    CSL__CHECK(r, check_manifest(r));
    CSL__CHECK(r, check_request(r));
    CSL__CHECK(r, check_part(r));
    CSL__CHECK(r, check_weights(r));
    if (csl_plan_demands(&r->manifest.plan, (enum csl_profile)r->statement->profile,
                         r->view->request.reveal_label, r->demands, &r->n_demands) != CSL_OK) {
        return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, 0, "the view's plan cannot be run");
    }
    for (unsigned p = 0; p < r->n_parties; p++) {
        TRY(csl_transcript_start(&r->chains[p], r->view->record.digest, p, r->view->record.nonces,
                                 r->n_parties));
    }
    r->report->sessions++;
    return take_leaves(r);
}

enum csl_err csl_replay_begin(struct csl_replay **out, const struct csl_replay_options *opt,
                              const struct csl_view_session *view, struct csl_audit_report *report,
                              struct csl_diag *diag) {
    *out = NULL;
    struct csl_replay *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return CSL_ENOMEM;
    }
    r->opt = *opt;
    r->report = report;
    r->view = view;
    enum csl_err err = begin(r, diag);
    if (err != CSL_OK) {
        csl_replay_free(r);
        return err;
    }
    *out = r;
    return CSL_OK;
}

enum csl_err csl_replay_batch(struct csl_replay *r, const struct csl_record *record, struct csl_diag *diag) {
    if (r->stopped) {
        return CSL_OK;
    }
    if (record->count == 0 || record->count > r->view->request.max_batch) {
        return CSL__STOP(r, CSL_VERDICT_MISMATCH, r->opt.party, record->batch,
                         "the view has a batch of %u inferences, the session allows %u", record->count,
                         r->view->request.max_batch);
    }
    size_t n = (size_t)record->count * csl_plan_n_inputs(&r->manifest.plan);
    uint64_t *x = csl_secret_alloc(n, sizeof *x);
    if (x == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = csl__replay_check_batch(r, record, x);
    if (err == CSL_OK && !r->stopped) {
        err = csl__replay_run(r, record, x, diag);
        r->batches++;
        r->report->batches++;
        r->report->inferences += record->count;
    }
    csl_secret_free(x);
    return err;
}

enum csl_err csl_replay_end(struct csl_replay *r, bool complete, const char *why, struct csl_diag *diag) {
    (void)diag;
    if (r->stopped) {
        return CSL_OK;
    }
    const uint8_t *id = r->statement->session_id.data;
    for (size_t i = 0; i < r->n_leaves; i++) {
        const csl_leaf *l = r->leaves[i].leaf;
        if (l->body_case == CSL__AUDIT__LEAF__BODY_HEADS && l->heads->batch > r->batches) {
            return csl_audit_find(r->report, CSL_VERDICT_INCOMPLETE, r->opt.party, id, l->heads->batch,
                                  "the ledger of %s has batch %u, which is not in the view%s%s",
                                  r->leaves[i].site, l->heads->batch, complete ? "" : ": ",
                                  complete ? "" : why);
        }
    }
    if (r->batches == 0) {
        return csl_audit_find(r->report, CSL_VERDICT_INCOMPLETE, r->opt.party, id, 0,
                              "the view holds no batch%s%s", complete ? "" : ": ", complete ? "" : why);
    }
    return complete ? CSL_OK
                    : csl_audit_find(r->report, CSL_VERDICT_INCOMPLETE, r->opt.party, id, 0,
                                     "the view is incomplete: %s", why);
}

const struct csl_replay_fault *csl_replay_fault(const struct csl_replay *r) {
    return &r->fault;
}

void csl_replay_free(struct csl_replay *r) {
    if (r == NULL) {
        return;
    }
    csl_model_share_clear(&r->share);
    csl_statement_free(r->statement);
    for (size_t i = 0; i < r->n_leaves; i++) {
        csl_leaf_free(r->leaves[i].leaf);
    }
    free(r->leaves);
    free(r);
}

static enum csl_err all_batches(struct csl_replay *r, struct csl_view_reader *v, struct csl_diag *diag) {
    const char *why = "";
    for (;;) {
        struct csl_record record;
        bool end = false;
        TRY(csl_view_read_batch(&record, &end, v, diag));
        if (end) {
            break;
        }
        enum csl_err err = csl_replay_batch(r, &record, diag);
        csl_record_clear(&record);
        TRY(err);
    }
    bool complete = csl_view_complete(v, &why);
    return csl_replay_end(r, complete, why, diag);
}

enum csl_err csl_replay_view(struct csl_audit_report *report, struct csl_replay_fault *fault,
                             const struct csl_replay_options *opt, struct csl_view_reader *v,
                             struct csl_diag *diag) {
    struct csl_view_session session;
    struct csl_replay *r = NULL;
    TRY(csl_view_read_session(&session, v, opt->roster, diag));
    enum csl_err err = csl_replay_begin(&r, opt, &session, report, diag);
    if (err == CSL_OK) {
        err = all_batches(r, v, diag);
    }
    if (r != NULL && fault != NULL) {
        *fault = r->fault;
    }
    csl_replay_free(r);
    csl_view_session_clear(&session);
    return err;
}
