/* The inputs of a batch of a view: shares as their owners, or the guests of a shared session, signed them. */
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "mpc/pack.h"
#include "roles/input_share.h"
#include "roles/judge/replay_internal.h"

struct owner {
    const struct csl_member *member;
    uint32_t part;        /* number from 1 on; 0: the whole input */
    size_t each;          /* values of an inference */
    uint32_t first, rows; /* of the batch: of a shared session those of one request, else all */
    struct csl_record_request request;
};

static struct owner owner_of(const struct csl_replay *r, const struct csl_record *b, size_t i) {
    const struct csl_record_input *in = &b->inputs[i];
    struct owner o = {.each = csl_plan_n_inputs(&r->manifest.plan), .rows = b->count};
    if (r->statement->shared) {
        o.member = in->owner;
        o.first = in->first;
        o.rows = in->count;
        o.request = in->request;
    } else if (r->parts.n == 0) {
        o.member = csl_roster_member(r->opt.roster, r->statement->client);
    } else {
        o.member = r->parts.at[i].owner;
        o.part = (uint32_t)i + 1;
        o.each = csl_part_elements(&r->parts.at[i]);
    }
    return o;
}

/* The share of one owner's values, rows x each, and its commitments. */
static enum csl_err expand_input(struct csl_replay *r, const struct csl_record *b,
                                 const struct csl_record_input *in, const struct owner *o, uint64_t *x,
                                 uint8_t *leaves) {
    unsigned bits = csl_plan_input_bits(&r->manifest.plan);
    if (!r->is_last) {
        if (in->n != CSL_SHARE_SEED_BYTES) {
            return CSL__MISMATCH(r, b, "the view's input share is no seed");
        }
        TRY(csl_input_expand(x, in->share, o->rows, o->each, bits));
        return csl_input_leaves(leaves, in->salt, in->share, NULL, o->rows, o->each, bits);
    }
    if (csl_unpack_bits_strict(x, in->share, in->n, o->rows * o->each, bits, NULL) != CSL_OK) {
        return CSL__MISMATCH(r, b, "the view's input share has a wrong length");
    }
    return csl_input_leaves(leaves, in->salt, NULL, x, o->rows, o->each, bits);
}

static bool input_fits(const struct csl_replay *r, const struct csl_record *b, const struct owner *o,
                       const Csl__Audit__InputStatement *m, const uint8_t root[CSL_MERKLE_BYTES]) {
    return csl__is_digest(&m->session, r->view->record.digest) &&
           m->batch == (r->statement->shared ? 0 : b->batch) && m->count == o->rows && m->part == o->part &&
           csl__is_request(&m->guest, m->request, &o->request) && m->n_roots == r->n_parties &&
           csl__is_digest(&m->roots[r->self], root);
}

static enum csl_err check_input(struct csl_replay *r, const struct csl_record *b, size_t i, uint64_t *x,
                                uint8_t *leaves) {
    const struct csl_record_input *in = &b->inputs[i];
    struct owner o = owner_of(r, b, i);
    uint8_t root[CSL_MERKLE_BYTES];
    Csl__Audit__InputStatement *m = NULL;
    if (o.member == NULL || csl_statement_verify(CSL_STATEMENT_INPUT, in->statement.statement,
                                                 in->statement.n, in->statement.signature,
                                                 CSL_SIGNATURE_BYTES, o.member->sign_key, NULL) != CSL_OK) {
        return CSL__MISMATCH(r, b, "the view's input statement is not signed by %s",
                             o.member == NULL ? r->statement->client : o.member->name);
    }
    r->report->signatures++;
    CSL__CHECK(r, expand_input(r, b, in, &o, x, leaves));
    TRY(csl_merkle_root(root, leaves, o.rows));
    bool fits = csl_input_statement_decode(&m, in->statement.statement, in->statement.n, NULL) == CSL_OK &&
                input_fits(r, b, &o, m, root);
    csl_statement_free(m);
    return fits ? CSL_OK
                : CSL__MISMATCH(r, b, "the view's input share is not the one that %s committed to",
                                o.member->name);
}

/* Into the inputs of the network, HWC. */
static enum csl_err place(const struct csl_replay *r, const struct csl_record *b, size_t i, uint64_t *x,
                          const uint64_t *part) {
    struct owner o = owner_of(r, b, i);
    size_t whole = csl_plan_n_inputs(&r->manifest.plan), each = o.each;
    if (r->parts.n == 0) {
        memcpy(x + o.first * whole, part, o.rows * whole * sizeof *x);
        return CSL_OK;
    }
    uint32_t *positions = malloc(2 * each * sizeof *positions);
    if (positions == NULL) {
        return CSL_ENOMEM;
    }
    csl_part_positions(&r->parts.at[i], &r->manifest.plan, positions, positions + each);
    for (uint32_t row = 0; row < b->count; row++) {
        for (size_t k = 0; k < each; k++) {
            x[row * whole + positions[each + k]] = part[row * each + k];
        }
    }
    free(positions);
    return CSL_OK;
}

/* Requests of which the rows are one after another, with an output each; else the input, or all its parts,
 * and one output. */
static bool owners_fit(const struct csl_replay *r, const struct csl_record *b) {
    uint32_t first = 0;
    if (!r->statement->shared) {
        return b->n_inputs == (r->parts.n == 0 ? 1 : r->parts.n) && b->n_outputs == 1;
    }
    for (size_t i = 0; i < b->n_inputs; i++) {
        const struct csl_record_input *in = &b->inputs[i];
        if (in->request.number == 0 || in->first != first || in->count == 0 || in->count > b->count - first) {
            return false;
        }
        first += in->count;
    }
    return first == b->count && b->n_outputs == b->n_inputs;
}

enum csl_err csl__replay_check_inputs(struct csl_replay *r, const struct csl_record *b, uint64_t *x) {
    if (!owners_fit(r, b)) {
        return CSL__MISMATCH(
            r, b, "the view has the inputs of %zu owners, and they are not those of the batch", b->n_inputs);
    }
    size_t n = (size_t)b->count * csl_plan_n_inputs(&r->manifest.plan);
    uint64_t *part = csl_secret_alloc(n, sizeof *part);
    uint8_t *leaves = malloc((size_t)b->count * CSL_MERKLE_BYTES);
    enum csl_err err = part == NULL || leaves == NULL ? CSL_ENOMEM : CSL_OK;
    for (size_t i = 0; i < b->n_inputs && err == CSL_OK && !r->stopped; i++) {
        err = check_input(r, b, i, part, leaves);
        if (err == CSL_OK && !r->stopped) {
            err = place(r, b, i, x, part);
        }
    }
    csl_secret_free(part);
    free(leaves);
    return err;
}
