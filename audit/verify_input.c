/* Inputs of batches: those of one session's client or of the owners of its parts, or requests of a shared
 * session. */
#include <stdlib.h>
#include <string.h>

#include "audit/verify_internal.h"

static void check_roots(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k,
                        const Csl__Audit__InputLeaf *m, size_t at, const Csl__Audit__InputStatement *s) {
    uint8_t root[CSL_MERKLE_BYTES];
    uint8_t *leaves = csl__calloc(v, s->count, CSL_MERKLE_BYTES);
    for (size_t i = 0; leaves != NULL && i < s->count; i++) {
        memcpy(leaves + CSL_MERKLE_BYTES * i, m->commitments[at + i].data, CSL_MERKLE_BYTES);
    }
    if (leaves != NULL && !csl__failed(v, csl_merkle_root(root, leaves, s->count)) &&
        !csl__is(&s->roots[site->member->party], root)) {
        csl__not_fitting(v, site, k, "its commitments to inputs are not those that the input's owner signed");
    }
    free(leaves);
}

/* The inputs of a batch, one after another. */
struct inputs {
    const struct csl__fact *at[CSL__INPUTS_MAX];
    size_t n;
    uint64_t rows;
};

static const Csl__Audit__InputStatement *input_of(const struct csl__fact *f) {
    return f->m;
}

static void check_commitments(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k,
                              const Csl__Audit__InputLeaf *m, const struct inputs *in) {
    size_t at = 0;
    if (m->n_commitments == 0 && in->rows <= CSL_LEAF_COMMITMENTS_MAX) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, site->member->name, csl__id(k->batch->session), k->batch->number,
                  "%s's ledger: the commitments to its shares of the inputs of batch %u are missing",
                  site->member->name, k->batch->number);
    } else if (m->n_commitments != 0 && m->n_commitments != in->rows) {
        csl__not_fitting(v, site, k, "there are not as many commitments as inputs");
    } else if (m->n_commitments != 0) {
        for (size_t i = 0; v->err == CSL_OK && i < in->n; i++) {
            check_roots(v, site, k, m, at, input_of(in->at[i]));
            at += input_of(in->at[i])->count;
        }
    }
}

/* Part 0 is the whole input and the client's; others are their owners', who are not named in the session. A
 * request of a shared session is its signer's, and names no batch. */
static bool check_input(struct csl__verify *v, const struct csl__site *site, const struct csl__kept *k,
                        const Csl__Audit__InputLeaf *m, const struct csl__fact *f) {
    const Csl__Audit__InputStatement *s = f->m;
    const Csl__Audit__SessionStatement *session = k->batch->session->m;
    bool request = s->request != 0;
    if (!csl__is(&s->session, k->batch->session->digest) || (!request && s->batch != m->batch)) {
        csl__not_fitting(v, site, k,
                         "an input statement is of another session or batch, and proves nothing here");
        return false;
    }
    if (s->n_roots != session->n_parties || request != session->shared ||
        (!request && s->part == 0 && strcmp(f->signer->name, session->client) != 0) ||
        (!request && m->n_inputs > 1 && s->part == 0)) {
        csl__not_fitting(v, site, k, "an input statement does not fit the session");
        return false;
    }
    return true;
}

/* Requests of several clients, or the parts of one input; every one of them is right. */
static void take_inputs(struct csl__verify *v, const struct csl__site *site, struct csl__kept *k,
                        const Csl__Audit__InputLeaf *m, const struct inputs *in) {
    bool shared = k->batch->session->m->shared;
    for (size_t i = 0; i < in->n && !shared; i++) {
        csl__agree_on_count(v, site, k, input_of(in->at[i])->count);
        if (i != 0 && input_of(in->at[i])->part <= input_of(in->at[i - 1])->part) {
            csl__not_fitting(v, site, k, "the parts of the input are not in order");
        }
    }
    if (shared && in->n != 0) {
        csl__agree_on_count(v, site, k, (uint32_t)in->rows);
    }
    if (shared && (k->inputs = csl__keep_facts(v, in->at, in->n)) != NULL) {
        k->n_inputs = in->n;
    }
    if (in->n != 0) {
        check_commitments(v, site, k, m, in);
    }
}

void csl__read_input(struct csl__verify *v, struct csl__site *site, const Csl__Audit__InputLeaf *m) {
    struct csl__shown *shown = csl__shown_of(v, site, &m->session, "inputs");
    struct csl__kept *k = shown == NULL ? NULL : csl__kept_of(v, site, shown, m->batch);
    struct csl_sha256 h = {0};
    struct inputs in = {.n = 0};
    if (k == NULL || csl__failed(v, csl_sha256_init(&h))) {
        return;
    }
    if (k->input) {
        csl__not_fitting(v, site, k, "its inputs are entered twice");
    }
    free(k->inputs); /* they are those of the digest below, or none */
    k->inputs = NULL;
    k->n_inputs = 0;
    for (size_t i = 0; v->err == CSL_OK && i < m->n_inputs; i++) {
        const Csl__Audit__Signed *s = m->inputs[i];
        (void)csl__failed(v, csl_sha256_update(&h, s->statement.data, s->statement.len));
        const struct csl__fact *f = csl__fact(v, CSL_STATEMENT_INPUT, s, "inputs");
        if (f != NULL && check_input(v, site, k, m, f)) {
            in.at[in.n++] = f;
            in.rows += input_of(f)->count;
        }
    }
    if (v->err == CSL_OK && in.n == m->n_inputs) {
        take_inputs(v, site, k, m, &in);
    }
    if (v->err == CSL_OK) {
        (void)csl__failed(v, csl_sha256_final(&h, k->inputs_digest));
    }
    csl_sha256_clear(&h);
    k->input = m->n_inputs != 0 || k->batch->session->m->sign == CSL_SIGN_OFF;
}
