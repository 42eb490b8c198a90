/* Requests of shared sessions: a batch holds those of several clients, each with its own statement and its
 * own output. A party takes a request once in a session, whoever its client is (docs/protocol.md S15); so
 * heads over one request twice accuse the party that signed them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/verify_internal.h"
#include "crypto/bytes.h"

const struct csl__fact **csl__keep_facts(struct csl__verify *v, const struct csl__fact *const *facts,
                                         size_t n) {
    const struct csl__fact **kept = csl__calloc(v, n, sizeof *kept);
    if (kept != NULL && n != 0) {
        memcpy(kept, facts, n * sizeof *kept);
    }
    return kept;
}

/* ---- One ledger: outputs are those of the inputs ---- */

static bool answers(const struct csl__fact *output, const struct csl__fact *input) {
    const Csl__Audit__OutputStatement *o = output->m;
    const Csl__Audit__InputStatement *i = input->m;
    return o->request == i->request && o->count == i->count && csl__same(&o->guest, &i->guest);
}

void csl__check_answers(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k) {
    const char *who = site->member->name;
    size_t at = 0, missing = 0;
    if (k->inputs == NULL || k->outputs == NULL) {
        return;
    }
    for (size_t i = 0; i < k->n_inputs; i++) {
        if (at < k->n_outputs && answers(k->outputs[at], k->inputs[i])) {
            at++;
        } else {
            missing++;
        }
    }
    if (at != k->n_outputs) {
        csl__find(
            v, CSL_VERDICT_MISMATCH, who, csl__id(k->batch->session), k->batch->number,
            "%s's ledger, batch %u: its outputs are not those of the requests in it, or in another order",
            who, k->batch->number);
    } else if (missing != 0) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, who, csl__id(k->batch->session), k->batch->number,
                  "%s's ledger, batch %u: the outputs of %zu of its %zu requests are missing", who,
                  k->batch->number, missing, k->n_inputs);
    }
}

/* ---- All ledgers: no request twice ---- */

/* Which party's batches which request is in. */
static bool place_of(struct csl__verify *v, uint8_t key[32], unsigned party, const struct csl__session *s,
                     const Csl__Audit__InputStatement *m) {
    uint8_t bytes[4 + 32 + CSL__GUEST_BYTES + 4];
    csl_store_u32(bytes, party);
    memcpy(bytes + 4, s->digest, 32);
    memcpy(bytes + 36, m->guest.data, CSL__GUEST_BYTES);
    csl_store_u32(bytes + 36 + CSL__GUEST_BYTES, m->request);
    return !csl__failed(v, csl_sha256_once(key, bytes, sizeof bytes));
}

/* The requests that this head stands for. */
static void use(struct csl__verify *v, struct csl__map *used, const struct csl__kept *k, unsigned party) {
    struct csl__batch *b = k->batch;
    const char *who = b->heads[party]->signer->name;
    for (size_t i = 0; v->err == CSL_OK && i < k->n_inputs; i++) {
        const Csl__Audit__InputStatement *m = k->inputs[i]->m;
        uint8_t key[32];
        if (!place_of(v, key, party, b->session, m)) {
            return;
        }
        const struct csl__batch *before = csl__map_get(used, key);
        if (before != NULL) {
            csl__find(
                v, CSL_VERDICT_ATTRIBUTABLE, who, csl__id(b->session), b->number,
                "%s served request %u of one guest twice: it signed heads over it for batch %u, and for "
                "batch %u",
                who, m->request, b->number, before->number);
        } else {
            (void)csl__failed(v, csl__map_put(used, key, b));
        }
    }
}

void csl__check_requests(struct csl__verify *v) {
    struct csl__map used = {.n = 0};
    for (size_t i = 0; i < v->n_sites; i++) {
        for (const struct csl__kept *k = v->sites[i].all_kept; v->err == CSL_OK && k != NULL; k = k->next) {
            for (unsigned p = 0; k->inputs != NULL && p < v->world->n_parties; p++) {
                const struct csl__fact *head = k->batch->heads[p];
                const Csl__Audit__HeadStatement *m = head == NULL ? NULL : head->m;
                if (m != NULL && !k->batch->used[p] && csl__is(&m->inputs_digest, k->inputs_digest)) {
                    k->batch->used[p] = true; /* other ledgers have the same */
                    use(v, &used, k, p);
                }
            }
        }
    }
    free(used.slots);
}
