/* Batches: what one ledger holds of each (of their inputs: verify_input.c), and whether all of them tell the
 * same. */
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

struct csl__kept *csl__kept_of(struct csl__verify *v, struct csl__site *site, struct csl__shown *shown,
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

void csl__not_fitting(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k,
                      const char *what) {
    csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, id_of(k), k->batch->number,
              "%s's ledger, batch %u: %s", site->member->name, k->batch->number, what);
}

void csl__agree_on_count(struct csl__verify *v, const struct csl__site *site, struct csl__kept *k,
                         uint32_t count) {
    if (k->batch->count == 0) {
        k->batch->count = count;
    } else if (k->batch->count != count) {
        csl__not_fitting(v, site, k, "a statement is of another number of inferences than the others");
    }
    if (!k->counted) {
        k->counted = true;
        k->shown->inferences += count;
    }
}

/* ---- Heads ---- */

static void check_dealt(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k,
                        const struct csl__fact *f) {
    const Csl__Audit__DealtStatement *d = f->m;
    const Csl__Audit__SessionStatement *s = k->batch->session->m;
    uint64_t count = (uint64_t)k->batch->count + s->check_rows;
    bool fits = s->shared ? d->count >= count : d->count == count; /* then it is of several batches */
    if (!csl__same(&d->session_id, &s->session_id) || !csl__same(&d->epoch_id, &s->epoch_id) ||
        !csl__same(&d->package_digest, &s->package_digest) || d->stream != s->stream ||
        d->n_seed_roots != s->n_parties || (k->batch->count != 0 && !fits)) {
        csl__not_fitting(v, site, k, "the dealer's statement is not of this session, or not of this batch");
    }
}

static const Csl__Audit__HeadStatement *head_of(const struct csl__fact *f) {
    return f->m;
}

/* The rows that a head names are among those that serve: not beyond what was dealt. */
static void check_rows(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k,
                       const struct csl__fact *dealt, const Csl__Audit__HeadStatement *h) {
    const Csl__Audit__DealtStatement *d = dealt->m;
    const Csl__Audit__SessionStatement *s = k->batch->session->m;
    if (s->shared && (uint64_t)h->first_row + h->count + s->check_rows > d->count) {
        csl__not_fitting(v, site, k, "a head names correlations that were not dealt");
    }
}

static void read_head(struct csl__verify *v, const struct csl__site *site, struct csl__kept *k,
                      const Csl__Audit__HeadsLeaf *m, const struct csl__fact *f, bool *there) {
    const Csl__Audit__HeadStatement *h = f->m;
    if (!csl__is(&h->session, k->batch->session->digest) || h->batch != m->batch) {
        csl__not_fitting(v, site, k, "a head names another session or batch, and proves nothing here");
        return;
    }
    if (f->signer->party < 0 || h->party != (unsigned)f->signer->party || h->party >= v->world->n_parties) {
        csl__not_fitting(v, site, k, "a head bears the number of another party than its signer's");
        return;
    }
    if (!k->batch->session->m->shared && h->first_row != 0) {
        csl__not_fitting(v, site, k, "a head does not fit the session");
    }
    csl__agree_on_count(v, site, k, h->count);
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
            check_rows(v, site, k, f, head_of(head));
        }
    }
    if (any && k->batch->dealt != f) {
        csl__not_fitting(v, site, k, "the dealer's statement is not the one that the heads name");
    }
}

void csl__read_heads(struct csl__verify *v, struct csl__site *site, const Csl__Audit__HeadsLeaf *m) {
    bool there[CSL__PARTIES_MAX] = {false};
    struct csl__shown *shown = csl__shown_of(v, site, &m->session, "heads");
    struct csl__kept *k = shown == NULL ? NULL : csl__kept_of(v, site, shown, m->batch);
    if (k == NULL) {
        return;
    }
    if (k->heads != NULL) {
        csl__not_fitting(v, site, k, "its heads are entered twice");
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

/* The batch that an output is of; NULL with a finding when it does not belong here. */
static struct csl__kept *output_of(struct csl__verify *v, struct csl__site *site, struct csl__shown *shown,
                                   const struct csl__fact *f) {
    const Csl__Audit__OutputStatement *s = f->m;
    if (f->signer != site->member || s->party != (unsigned)site->member->party ||
        !csl__is(&s->session, shown->session->digest) ||
        (s->request != 0) != (bool)shown->session->m->shared) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, shown->id, s->batch,
                  "%s's ledger: an output's statement is of another session or party", site->member->name);
        return NULL;
    }
    return csl__kept_of(v, site, shown, s->batch);
}

/* One; of a shared session one a request. */
static void take_outputs(struct csl__verify *v, const struct csl__site *site, struct csl__kept *k,
                         const struct csl__fact *const *outputs, size_t n) {
    bool shared = k->batch->session->m->shared;
    const Csl__Audit__OutputStatement *first = outputs[0]->m;
    if (k->output || (n != 1 && !shared)) {
        csl__not_fitting(v, site, k, "its output is entered twice");
        return;
    }
    k->output = true;
    if (!shared) {
        csl__agree_on_count(v, site, k, first->count);
    } else if ((k->outputs = csl__keep_facts(v, outputs, n)) != NULL) {
        k->n_outputs = n;
    }
}

void csl__read_output(struct csl__verify *v, struct csl__site *site, const Csl__Audit__OutputLeaf *m) {
    struct csl__shown *shown = csl__shown_of(v, site, &m->session, "output");
    const struct csl__fact *outputs[CSL__INPUTS_MAX];
    struct csl__kept *k = NULL;
    size_t n = 0;
    if (shown == NULL) {
        return;
    }
    if (m->n_outputs == 0 && shown->session->m->sign != CSL_SIGN_OFF) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, site->member->name, shown->id, 0,
                  "%s's ledger: an output without its statement", site->member->name);
    }
    for (size_t i = 0; v->err == CSL_OK && i < m->n_outputs; i++) {
        const struct csl__fact *f = csl__fact(v, CSL_STATEMENT_OUTPUT, m->outputs[i], "output");
        struct csl__kept *of = f == NULL ? NULL : output_of(v, site, shown, f);
        if (of != NULL && k != NULL && of != k) {
            csl__not_fitting(v, site, k, "an entry holds the outputs of several batches");
        } else if (of != NULL) {
            k = of;
            outputs[n++] = f;
        }
    }
    if (v->err == CSL_OK && k != NULL) {
        take_outputs(v, site, k, outputs, n);
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
            csl__not_fitting(v, site, k, "its inputs are not those that the heads name");
            break;
        }
    }
    csl__check_answers(v, site, k);
}

void csl__check_kept(struct csl__verify *v, struct csl__site *site) {
    for (const struct csl__kept *k = site->all_kept; v->err == CSL_OK && k != NULL; k = k->next) {
        check_one_kept(v, site, k);
    }
}

/* ---- All ledgers ---- */

static bool agree(const struct csl__fact *a, const struct csl__fact *b) {
    const Csl__Audit__HeadStatement *x = head_of(a), *y = head_of(b);
    return x->count == y->count && x->rounds == y->rounds && x->first_row == y->first_row &&
           csl__same(&x->dealt_digest, &y->dealt_digest) && csl__same(&x->inputs_digest, &y->inputs_digest);
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
