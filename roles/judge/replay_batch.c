/* A batch of a view against what others signed: the dealer, the input's owners (replay_input.c), and every
 * party its head. */
#include <stdlib.h>
#include <string.h>

#include "roles/judge/replay_internal.h"
#include "roles/lane/dealt.h"

/* ---- The dealer: seeds and corrections ---- */

static enum csl_err check_leaves(struct csl_replay *r, const struct csl_record *b) {
    uint8_t leaf[CSL_MERKLE_BYTES];
    for (uint32_t row = 0; row < b->count; row++) {
        size_t at = (size_t)(b->counters[row] - b->first) * CSL_MERKLE_BYTES;
        TRY(csl_dealt_seed_leaf(leaf, b->seeds + (size_t)row * CSL_INDEX_SEED_BYTES));
        if (memcmp(leaf, b->seed_leaves + at, sizeof leaf) != 0) {
            return CSL__MISMATCH(
                r, b, "the view's seed of inference %u is not the one that the dealer signed", row + 1);
        }
        if (!r->is_last) {
            continue;
        }
        TRY(csl_dealt_corrections_leaf(leaf, r->demands, r->n_demands,
                                       b->corrections + (size_t)row * b->n_corrections, b->n_corrections));
        if (memcmp(leaf, b->correction_leaves + at, sizeof leaf) != 0) {
            return CSL__MISMATCH(
                r, b, "the view's corrections of inference %u are not those that the dealer signed", row + 1);
        }
    }
    return CSL_OK;
}

static enum csl_err check_dealt(struct csl_replay *r, const struct csl_record *b) {
    const Csl__Audit__SessionStatement *s = r->statement;
    struct csl_dealt d = {
        .stream = s->stream, .first = b->first, .total = b->total, .n_parties = r->n_parties};
    struct csl_diag why = {""};
    memcpy(d.session_id, s->session_id.data, sizeof d.session_id);
    memcpy(d.epoch_id, s->epoch_id.data, sizeof d.epoch_id);
    memcpy(d.package_digest, r->manifest.digest, sizeof d.package_digest);
    TRY(csl_demands_digest(d.demands_digest, r->demands, r->n_demands));
    if (b->seeds == NULL || b->seed_leaves == NULL || b->counters == NULL ||
        (r->is_last && (b->corrections == NULL || b->correction_leaves == NULL ||
                        b->n_corrections != csl_correction_bytes(r->demands, r->n_demands)))) {
        return CSL__MISMATCH(r, b, "the view lacks seeds or corrections");
    }
    enum csl_err err =
        csl_dealt_verify(&b->dealt, &d, r->self, b->seed_leaves, r->is_last ? b->correction_leaves : NULL,
                         csl_roster_dealer(r->opt.roster), &why);
    if (err != CSL_OK) {
        return err == CSL_ENOMEM
                   ? err
                   : CSL__MISMATCH(r, b, "the view's seeds are not what the dealer signed: %s", why.text);
    }
    r->report->signatures++;
    return check_leaves(r, b);
}

/* ---- Heads ---- */

static enum csl_err inputs_digest(uint8_t out[CSL_DIGEST_BYTES], const struct csl_record *b) {
    struct csl_sha256 h = {0};
    enum csl_err err = csl_sha256_init(&h);
    for (size_t i = 0; i < b->n_inputs && err == CSL_OK; i++) {
        err = csl_sha256_update(&h, b->inputs[i].statement.statement, b->inputs[i].statement.n);
    }
    if (err == CSL_OK) {
        err = csl_sha256_final(&h, out);
    }
    csl_sha256_clear(&h);
    return err;
}

/* The rows and the messages of this batch onto party p's chain. */
static enum csl_err chain(struct csl_replay *r, const struct csl_record *b, unsigned p) {
    TRY(csl_record_chain_rows(&r->chains[p], b));
    for (size_t k = 0; k < b->n_rounds; k++) {
        TRY(csl_transcript_add(&r->chains[p], b->batch, (uint32_t)k + 1, b->rounds[k].messages[p],
                               b->rounds[k].n));
    }
    return CSL_OK;
}

static bool head_fits(const struct csl_replay *r, const struct csl_record *b, unsigned p,
                      const Csl__Audit__HeadStatement *m, const uint8_t *dealt, const uint8_t *inputs) {
    return csl__is_digest(&m->session, r->view->record.digest) && m->party == p && m->batch == b->batch &&
           m->count == b->count && m->rounds == b->n_rounds && m->first_row == b->first_row &&
           csl__is_digest(&m->head, r->chains[p].head) && csl__is_digest(&m->dealt_digest, dealt) &&
           csl__is_digest(&m->inputs_digest, inputs);
}

static enum csl_err check_head(struct csl_replay *r, const struct csl_record *b, unsigned p,
                               const uint8_t *dealt, const uint8_t *inputs) {
    const struct csl_signed *head = &b->heads[p];
    const struct csl_member *m = csl_roster_party(r->opt.roster, p);
    Csl__Audit__HeadStatement *statement = NULL;
    if (head->statement == NULL) {
        return CSL__STOP(r, CSL_VERDICT_INCOMPLETE, m->name, b->batch,
                         "%s signed nothing of this batch: no more can be said of it", m->name);
    }
    if (csl_statement_verify(CSL_STATEMENT_HEAD, head->statement, head->n, head->signature,
                             CSL_SIGNATURE_BYTES, m->sign_key, NULL) != CSL_OK) {
        return CSL__MISMATCH(r, b, "the view's head of %s does not carry its signature", m->name);
    }
    r->report->signatures++;
    TRY(chain(r, b, p));
    bool fits = csl_head_statement_decode(&statement, head->statement, head->n, NULL) == CSL_OK &&
                head_fits(r, b, p, statement, dealt, inputs);
    csl_statement_free(statement);
    if (fits) {
        return CSL_OK;
    }
    return p == r->self ? CSL__MISMATCH(r, b, "what %s shows as sent is not what it signed", m->name)
                        : CSL__MISMATCH(r, b, "what %s shows as received from %s is not what %s signed",
                                        r->opt.party, m->name, m->name);
}

static enum csl_err check_heads(struct csl_replay *r, const struct csl_record *b) {
    uint8_t dealt[CSL_DIGEST_BYTES], inputs[CSL_DIGEST_BYTES];
    TRY(csl_sha256_once(dealt, b->dealt.statement, b->dealt.n));
    TRY(inputs_digest(inputs, b));
    for (unsigned p = 0; p < r->n_parties; p++) {
        CSL__CHECK(r, check_head(r, b, p, dealt, inputs));
    }
    return CSL_OK;
}

/* ---- What others know of it ---- */

/* Another statement of the same party about the same thing, with its signature. */
static bool contradicts(const Csl__Audit__Signed *other, const struct csl_signed *ours,
                        enum csl_statement what, EVP_PKEY *key) {
    bool same =
        other->statement.len == ours->n && memcmp(other->statement.data, ours->statement, ours->n) == 0;
    return !same && csl_statement_verify(what, other->statement.data, other->statement.len,
                                         other->signature.data, other->signature.len, key, NULL) == CSL_OK;
}

/* A head leaf's statements are about its session and batch only if they say so. */
static bool is_head_of(const Csl__Audit__Signed *s, const struct csl_replay *r, unsigned p, uint32_t batch) {
    Csl__Audit__HeadStatement *m = NULL;
    bool is = csl_head_statement_decode(&m, s->statement.data, s->statement.len, NULL) == CSL_OK &&
              csl__is_digest(&m->session, r->view->record.digest) && m->party == p && m->batch == batch;
    csl_statement_free(m);
    return is;
}

/* i: of a shared session, which request's. */
static bool is_output_of(const Csl__Audit__Signed *s, const struct csl_replay *r, const struct csl_record *b,
                         size_t i) {
    Csl__Audit__OutputStatement *m = NULL;
    bool is = csl_output_statement_decode(&m, s->statement.data, s->statement.len, NULL) == CSL_OK &&
              csl__is_digest(&m->session, r->view->record.digest) && m->party == r->self &&
              m->batch == b->batch && csl__is_request(&m->guest, m->request, &b->inputs[i].request);
    csl_statement_free(m);
    return is;
}

/* Whether the view's own statement of the output is one, and signed: else it contradicts nothing. */
static bool is_own_output(const struct csl_replay *r, const struct csl_record *b, size_t i) {
    const struct csl_signed *o = &b->outputs[i].statement;
    const Csl__Audit__Signed s = {.statement = {o->n, o->statement}};
    return csl_statement_verify(CSL_STATEMENT_OUTPUT, o->statement, o->n, o->signature, CSL_SIGNATURE_BYTES,
                                r->member->sign_key, NULL) == CSL_OK &&
           is_output_of(&s, r, b, i);
}

static enum csl_err compare_outputs(struct csl_replay *r, const struct csl_record *b,
                                    const struct csl__replay_leaf *l) {
    const Csl__Audit__OutputLeaf *leaf = l->leaf->output;
    for (size_t k = 0; k < leaf->n_outputs * b->n_outputs; k++) {
        const Csl__Audit__Signed *other = leaf->outputs[k / b->n_outputs];
        size_t i = k % b->n_outputs;
        if (is_output_of(other, r, b, i) && is_own_output(r, b, i) &&
            contradicts(other, &b->outputs[i].statement, CSL_STATEMENT_OUTPUT, r->member->sign_key)) {
            return CSL__STOP(r, CSL_VERDICT_ATTRIBUTABLE, r->opt.party, b->batch,
                             "%s signed two different commitments to its output share: one is in its view, "
                             "the other in the ledger of %s",
                             r->opt.party, l->site);
        }
    }
    return CSL_OK;
}

static enum csl_err compare_heads(struct csl_replay *r, const struct csl_record *b,
                                  const struct csl__replay_leaf *l, bool *known) {
    const Csl__Audit__HeadsLeaf *heads = l->leaf->heads;
    for (unsigned p = 0; p < r->n_parties && p < heads->n_heads; p++) {
        const struct csl_member *m = csl_roster_party(r->opt.roster, p);
        const Csl__Audit__Signed *other = heads->heads[p];
        if (!is_head_of(other, r, p, b->batch)) {
            continue;
        }
        if (contradicts(other, &b->heads[p], CSL_STATEMENT_HEAD, m->sign_key)) {
            return CSL__STOP(r, CSL_VERDICT_ATTRIBUTABLE, m->name, b->batch,
                             "%s signed two different heads of this batch: one is in the view of %s, the "
                             "other in the ledger of %s",
                             m->name, r->opt.party, l->site);
        }
        bool same = other->statement.len == b->heads[p].n &&
                    memcmp(other->statement.data, b->heads[p].statement, b->heads[p].n) == 0;
        *known = *known || (p == r->self && same && strcmp(l->site, r->opt.party) != 0);
    }
    return CSL_OK;
}

/* A head that only its own party shows may have been signed for this occasion. */
static enum csl_err check_bundles(struct csl_replay *r, const struct csl_record *b) {
    bool known = false;
    for (size_t i = 0; i < r->n_leaves; i++) {
        const struct csl__replay_leaf *l = &r->leaves[i];
        if (l->batch != b->batch) {
            continue;
        }
        if (l->leaf->body_case == CSL__AUDIT__LEAF__BODY_HEADS) {
            CSL__CHECK(r, compare_heads(r, b, l, &known));
        } else {
            CSL__CHECK(r, compare_outputs(r, b, l));
        }
    }
    return known ? CSL_OK
                 : CSL__STOP(r, CSL_VERDICT_INCOMPLETE, r->opt.party, b->batch,
                             "no other site's bundle holds the head that %s signed; give the bundle of "
                             "another party of the session",
                             r->opt.party);
}

/* ---- Which correlations ---- */

/* Rows that serve are as many as are not checked; a batch of a shared session takes those from first_row on.
 */
static enum csl_err check_rows(struct csl_replay *r, const struct csl_record *b) {
    uint32_t checked = r->statement->check_rows;
    bool fits = b->total >= checked && b->first_row <= b->total - checked &&
                b->count <= b->total - checked - b->first_row;
    for (uint32_t i = 0; fits && r->statement->shared && i < b->count; i++) {
        uint32_t before = b->counters[i] - b->first; /* rows, checked ones among them */
        fits = before >= b->first_row + i && before - (b->first_row + i) <= checked;
    }
    return fits ? CSL_OK
                : CSL__MISMATCH(r, b, "the view's correlations are not the rows that the heads name");
}

/* The heads are verified: the party has signed for these counters. */
static enum csl_err check_counters(struct csl_replay *r, const struct csl_record *b) {
    uint64_t next = r->next_counter;
    r->next_counter = (uint64_t)b->counters[b->count - 1] + 1;
    return b->counters[0] >= next
               ? CSL_OK
               : CSL__STOP(r, CSL_VERDICT_ATTRIBUTABLE, r->opt.party, b->batch,
                           "%s used correlations twice, or out of order: it signed for the one of counter %u "
                           "after that of counter %llu",
                           r->opt.party, b->counters[0], (unsigned long long)next - 1);
}

enum csl_err csl__replay_check_batch(struct csl_replay *r, const struct csl_record *b, uint64_t *x) {
    if (b->batch != r->batches + 1) {
        return CSL__MISMATCH(r, b, "the view goes on with batch %u where %u is due", b->batch,
                             r->batches + 1);
    }
    if (r->statement->sign == CSL_SIGN_OFF) {
        return CSL__STOP(r, CSL_VERDICT_INCOMPLETE, "", b->batch,
                         "nothing of this session's batches was signed (audit.sign of the roster was off)");
    }
    CSL__CHECK(r, check_dealt(r, b));
    CSL__CHECK(r, check_rows(r, b));
    CSL__CHECK(r, csl__replay_check_inputs(r, b, x));
    CSL__CHECK(r, check_heads(r, b));
    CSL__CHECK(r, check_counters(r, b));
    return check_bundles(r, b);
}
