/* Batches: what one ledger holds of each, and whether all of them tell the same. */
#include <stdlib.h>
#include <string.h>

#include "audit/verify_internal.h"
#include "crypto/bytes.h"

/* ---- Places ---- */

static struct csl__batch *batch_of(struct csl__verify *v, const struct csl__session *s, uint32_t number,
                                   uint8_t key[32]) {
    uint8_t bytes[36];
    memcpy(bytes, s->digest, 32);
    csl_store_u32(bytes + 32, number);
    if (csl__failed(v, csl_sha256_once(key, bytes, sizeof bytes))) {
        return NULL;
    }
    struct csl__batch *b = csl__map_get(&v->batches, key);
    if (b == NULL && (b = csl__calloc(v, 1, sizeof *b)) != NULL) {
        *b = (struct csl__batch){.session = s, .number = number, .next = v->all_batches};
        v->all_batches = b;
        (void)csl__failed(v, csl__map_put(&v->batches, key, b));
    }
    return b;
}

static struct csl__kept *kept_of(struct csl__verify *v, struct csl__site *site, struct csl__shown *shown,
                                 uint32_t number) {
    uint8_t key[32];
    if (!shown->session->ours) {
        return NULL;
    }
    struct csl__batch *b = batch_of(v, shown->session, number, key);
    struct csl__kept *k = v->err != CSL_OK ? NULL : csl__map_get(&site->kept, key);
    if (v->err == CSL_OK && k == NULL && (k = csl__calloc(v, 1, sizeof *k)) != NULL) {
        *k = (struct csl__kept){.batch = b, .shown = shown, .next = site->all_kept};
        site->all_kept = k;
        shown->batches++;
        (void)csl__failed(v, csl__map_put(&site->kept, key, k));
    }
    return v->err == CSL_OK ? k : NULL;
}

static const uint8_t *id_of(const struct csl__kept *k) {
    return csl__id(k->batch->session);
}

static void mismatch(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k,
                     const char *what) {
    csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, id_of(k), k->batch->number,
              "%s's ledger, batch %u: %s", site->member->name, k->batch->number, what);
}

static void agree_on_count(struct csl__verify *v, const struct csl__site *site, struct csl__kept *k,
                           uint32_t count) {
    if (k->batch->count == 0) {
        k->batch->count = count;
    } else if (k->batch->count != count) {
        mismatch(v, site, k, "a statement is of another number of inferences than the others");
    }
    if (!k->counted) {
        k->counted = true;
        k->shown->inferences += count;
    }
}

/* ---- Inputs ---- */

static void check_roots(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k,
                        const Csl__Audit__InputLeaf *m, size_t at, const Csl__Audit__InputStatement *s) {
    uint8_t root[CSL_MERKLE_BYTES];
    uint8_t *leaves = csl__calloc(v, s->count, CSL_MERKLE_BYTES);
    for (size_t i = 0; leaves != NULL && i < s->count; i++) {
        memcpy(leaves + CSL_MERKLE_BYTES * i, m->commitments[at * s->count + i].data, CSL_MERKLE_BYTES);
    }
    if (leaves != NULL && !csl__failed(v, csl_merkle_root(root, leaves, s->count)) &&
        !csl__is(&s->roots[site->member->party], root)) {
        mismatch(v, site, k, "its commitments to inputs are not those that the input's owner signed");
    }
    free(leaves);
}

static void check_commitments(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k,
                              const Csl__Audit__InputLeaf *m, size_t at,
                              const Csl__Audit__InputStatement *s) {
    uint64_t all = (uint64_t)m->n_inputs * s->count;
    if (m->n_commitments == 0 && all <= CSL_LEAF_COMMITMENTS_MAX) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, site->member->name, id_of(k), k->batch->number,
                  "%s's ledger: the commitments to its shares of the inputs of batch %u are missing",
                  site->member->name, k->batch->number);
    } else if (m->n_commitments != 0 && m->n_commitments != all) {
        mismatch(v, site, k, "there are not as many commitments as inputs");
    } else if (m->n_commitments != 0) {
        check_roots(v, site, k, m, at, s);
    }
}

/* Part 0 is the whole input and the client's; others are their owners', who are not named in the session. */
static void check_input(struct csl__verify *v, const struct csl__site *site, struct csl__kept *k,
                        const Csl__Audit__InputLeaf *m, size_t at, const struct csl__fact *f) {
    const Csl__Audit__InputStatement *s = f->m;
    const Csl__Audit__SessionStatement *session = k->batch->session->m;
    if (!csl__is(&s->session, k->batch->session->digest) || s->batch != m->batch) {
        mismatch(v, site, k, "an input statement is of another session or batch, and proves nothing here");
        return;
    }
    if (s->n_roots != session->n_parties || (s->part == 0 && strcmp(f->signer->name, session->client) != 0) ||
        (m->n_inputs > 1 && s->part == 0)) {
        mismatch(v, site, k, "an input statement does not fit the session");
        return;
    }
    agree_on_count(v, site, k, s->count);
    check_commitments(v, site, k, m, at, s);
}

void csl__read_input(struct csl__verify *v, struct csl__site *site, const Csl__Audit__InputLeaf *m) {
    struct csl__shown *shown = csl__shown_of(v, site, &m->session, "inputs");
    struct csl__kept *k = shown == NULL ? NULL : kept_of(v, site, shown, m->batch);
    struct csl_sha256 h = {0};
    if (k == NULL || csl__failed(v, csl_sha256_init(&h))) {
        return;
    }
    if (k->input) {
        mismatch(v, site, k, "its inputs are entered twice");
    }
    uint32_t part = 0;
    for (size_t i = 0; v->err == CSL_OK && i < m->n_inputs; i++) {
        const Csl__Audit__Signed *s = m->inputs[i];
        (void)csl__failed(v, csl_sha256_update(&h, s->statement.data, s->statement.len));
        const struct csl__fact *f = csl__fact(v, CSL_STATEMENT_INPUT, s, "inputs");
        if (f == NULL) {
            continue;
        }
        const Csl__Audit__InputStatement *input = f->m;
        if (i != 0 && input->part <= part) {
            mismatch(v, site, k, "the parts of the input are not in order");
        }
        part = input->part;
        check_input(v, site, k, m, i, f);
    }
    if (v->err == CSL_OK) {
        (void)csl__failed(v, csl_sha256_final(&h, k->inputs_digest));
    }
    csl_sha256_clear(&h);
    k->input = m->n_inputs != 0 || k->batch->session->m->sign == CSL_SIGN_OFF;
}

/* ---- Heads ---- */

static void check_dealt(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k,
                        const struct csl__fact *f) {
    const Csl__Audit__DealtStatement *d = f->m;
    const Csl__Audit__SessionStatement *s = k->batch->session->m;
    uint64_t count = (uint64_t)k->batch->count + s->check_rows;
    if (!csl__same(&d->session_id, &s->session_id) || !csl__same(&d->epoch_id, &s->epoch_id) ||
        !csl__same(&d->package_digest, &s->package_digest) || d->stream != s->stream ||
        d->n_seed_roots != s->n_parties || (k->batch->count != 0 && d->count != count)) {
        mismatch(v, site, k, "the dealer's statement is not of this session, or not of this batch");
    }
}

static const Csl__Audit__HeadStatement *head_of(const struct csl__fact *f) {
    return f->m;
}

static void read_head(struct csl__verify *v, const struct csl__site *site, struct csl__kept *k,
                      const Csl__Audit__HeadsLeaf *m, const struct csl__fact *f, bool *there) {
    const Csl__Audit__HeadStatement *h = f->m;
    if (!csl__is(&h->session, k->batch->session->digest) || h->batch != m->batch) {
        mismatch(v, site, k, "a head names another session or batch, and proves nothing here");
        return;
    }
    if (f->signer->party < 0 || h->party != (unsigned)f->signer->party || h->party >= v->world->n_parties) {
        mismatch(v, site, k, "a head bears the number of another party than its signer's");
        return;
    }
    agree_on_count(v, site, k, h->count);
    there[h->party] = true;
    if (k->batch->heads[h->party] == NULL) {
        k->batch->heads[h->party] = f;
    }
}

static void missing_heads(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k,
                          const bool *there) {
    for (unsigned i = 0; i < v->world->n_parties; i++) {
        if (!there[i]) {
            const char *who = k->batch->session->m->parties[i];
            csl__find(v, CSL_VERDICT_INCOMPLETE, who, id_of(k), k->batch->number,
                      "%s's ledger: no signed head of %s for batch %u", site->member->name, who,
                      k->batch->number);
        }
    }
}

static void read_dealt(struct csl__verify *v, const struct csl__site *site, struct csl__kept *k,
                       const Csl__Audit__HeadsLeaf *m) {
    const struct csl__fact *f =
        m->dealt == NULL ? NULL : csl__fact(v, CSL_STATEMENT_DEALT, m->dealt, "heads");
    if (m->dealt == NULL) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, site->member->name, id_of(k), k->batch->number,
                  "%s's ledger: the dealer's statement for batch %u is missing", site->member->name,
                  k->batch->number);
    }
    if (f == NULL) {
        return;
    }
    check_dealt(v, site, k, f);
    bool any = false;
    for (unsigned i = 0; i < v->world->n_parties; i++) {
        const struct csl__fact *head = k->batch->heads[i];
        any |= head != NULL;
        if (head != NULL && csl__is(&head_of(head)->dealt_digest, f->digest)) {
            k->batch->dealt = f;
        }
    }
    if (any && k->batch->dealt != f) {
        mismatch(v, site, k, "the dealer's statement is not the one that the heads name");
    }
}

void csl__read_heads(struct csl__verify *v, struct csl__site *site, const Csl__Audit__HeadsLeaf *m) {
    bool there[CSL__PARTIES_MAX] = {false};
    struct csl__shown *shown = csl__shown_of(v, site, &m->session, "heads");
    struct csl__kept *k = shown == NULL ? NULL : kept_of(v, site, shown, m->batch);
    if (k == NULL) {
        return;
    }
    if (k->heads != NULL) {
        mismatch(v, site, k, "its heads are entered twice");
    }
    k->heads = m;
    for (size_t i = 0; v->err == CSL_OK && i < m->n_heads; i++) {
        const struct csl__fact *f = csl__fact(v, CSL_STATEMENT_HEAD, m->heads[i], "heads");
        if (f != NULL) {
            read_head(v, site, k, m, f, there);
        }
    }
    if (v->err == CSL_OK && k->batch->session->m->sign != CSL_SIGN_OFF) {
        missing_heads(v, site, k, there);
        read_dealt(v, site, k, m);
    }
}

/* ---- Output ---- */

void csl__read_output(struct csl__verify *v, struct csl__site *site, const Csl__Audit__OutputLeaf *m) {
    struct csl__shown *shown = csl__shown_of(v, site, &m->session, "output");
    if (shown == NULL) {
        return;
    }
    bool off = shown->session->m->sign == CSL_SIGN_OFF;
    if (m->n_outputs == 0 && !off) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, site->member->name, shown->id, 0,
                  "%s's ledger: an output without its statement", site->member->name);
    }
    const struct csl__fact *f =
        m->n_outputs == 0 ? NULL : csl__fact(v, CSL_STATEMENT_OUTPUT, m->outputs[0], "output");
    if (f == NULL) {
        return;
    }
    const Csl__Audit__OutputStatement *s = f->m;
    if (f->signer != site->member || s->party != (unsigned)site->member->party ||
        !csl__same(&s->session, &m->session)) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, shown->id, s->batch,
                  "%s's ledger: an output's statement is of another session or party", site->member->name);
        return;
    }
    struct csl__kept *k = kept_of(v, site, shown, s->batch);
    if (k != NULL && k->output) {
        mismatch(v, site, k, "its output is entered twice");
    } else if (k != NULL) {
        k->output = true;
        agree_on_count(v, site, k, s->count);
    }
}

/* ---- One ledger's batches ---- */

static void check_one_kept(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k) {
    if (k->batch->session->m->sign == CSL_SIGN_OFF) {
        return;
    }
    if (!k->input || k->heads == NULL || !k->output) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, site->member->name, id_of(k), k->batch->number,
                  "%s's ledger, batch %u: the entry of its %s is missing", site->member->name,
                  k->batch->number,
                  !k->input          ? "inputs"
                  : k->heads == NULL ? "heads"
                                     : "output");
    }
    for (unsigned i = 0; k->input && i < v->world->n_parties; i++) {
        const struct csl__fact *head = k->batch->heads[i];
        if (head != NULL && !csl__is(&head_of(head)->inputs_digest, k->inputs_digest)) {
            mismatch(v, site, k, "its inputs are not those that the heads name");
            return;
        }
    }
}

void csl__check_kept(struct csl__verify *v, struct csl__site *site) {
    for (const struct csl__kept *k = site->all_kept; v->err == CSL_OK && k != NULL; k = k->next) {
        check_one_kept(v, site, k);
    }
}

/* ---- All ledgers ---- */

static bool agree(const struct csl__fact *a, const struct csl__fact *b) {
    const Csl__Audit__HeadStatement *x = head_of(a), *y = head_of(b);
    return x->count == y->count && x->rounds == y->rounds && csl__same(&x->dealt_digest, &y->dealt_digest) &&
           csl__same(&x->inputs_digest, &y->inputs_digest);
}

static void check_heads(struct csl__verify *v, const struct csl__batch *b) {
    const struct csl__fact *first = NULL;
    for (unsigned i = 0; i < v->world->n_parties; i++) {
        if (b->heads[i] == NULL) {
            continue;
        }
        first = first == NULL ? b->heads[i] : first;
        if (!agree(first, b->heads[i])) {
            csl__find(v, CSL_VERDICT_MISMATCH, "", csl__id(b->session), b->number,
                      "batch %u: %s and %s signed heads with other correlations, inputs, rounds or counts",
                      b->number, first->signer->name, b->heads[i]->signer->name);
            return;
        }
    }
}

/* A site that closed the session in order must have every batch; one that ended it with an error may have
 * ended before. */
static void check_site(struct csl__verify *v, const struct csl__batch *b, const uint8_t key[32],
                       const struct csl__site *site) {
    uint8_t id[32] = {0};
    const uint8_t *session_id = csl__id(b->session);
    memcpy(id, session_id, CSL__SESSION_ID_BYTES);
    const struct csl__shown *shown =
        site->member == NULL ? NULL : csl__map_get(&site->by_statement, b->session->digest);
    if (shown != NULL && shown->close != NULL && shown->close->error == CSL_OK &&
        csl__map_get(&site->kept, key) == NULL) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, site->member->name, session_id, b->number,
                  "%s's ledger: batch %u is missing, which others have", site->member->name, b->number);
    }
    bool dealer = site->member != NULL && (site->member->roles & CSL__ROLE_DEALER) != 0;
    if (dealer && b->dealt != NULL && csl__map_get(&site->by_id, id) != NULL &&
        csl__map_get(&site->dealt, b->dealt->digest) == NULL) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, site->member->name, session_id, b->number,
                  "%s's ledger: no entry of what it dealt for batch %u", site->member->name, b->number);
    }
}

void csl__check_batches(struct csl__verify *v) {
    for (struct csl__batch *b = v->all_batches; v->err == CSL_OK && b != NULL; b = b->next) {
        uint8_t key[32];
        (void)batch_of(v, b->session, b->number, key);
        check_heads(v, b);
        for (size_t i = 0; v->err == CSL_OK && i < v->n_sites; i++) {
            check_site(v, b, key, &v->sites[i]);
        }
    }
}
