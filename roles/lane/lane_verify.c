/* What clients sign in a lane, as it is checked on receipt (docs/audit.md I1): inputs of batches, and
 * requests of a shared session. */
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "mpc/pack.h"
#include "roles/input_share.h"
#include "roles/lane/lane_internal.h"

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

/* ---- Requests of a shared session ---- */

/* No request may be served twice, nor one guest's name be two clients': parties answer for that with their
 * signatures. So a session remembers its guests while it lives, gone or not. */
struct csl__asked {
    const struct csl_member *owner;
    uint8_t guest[CSL_GUEST_ID_BYTES];
    uint32_t last; /* request that was taken */
};

enum {
    ASKED_MANY = 1 << 16, /* then new ones are sent to another session; those that are here may go on */
    ASKED_MAX = 4 * ASKED_MANY
};

static struct csl__asked *find_asked(const struct csl_lane *l, const uint8_t guest[CSL_GUEST_ID_BYTES]) {
    for (size_t i = l->n_asked; i-- > 0;) { /* those that are here came last */
        if (memcmp(l->asked[i].guest, guest, CSL_GUEST_ID_BYTES) == 0) {
            return &l->asked[i];
        }
    }
    return NULL;
}

static enum csl_err add_asked(struct csl_lane *l, const struct csl_record_input *in, struct csl_diag *diag) {
    if (l->n_asked >= ASKED_MAX) { /* somebody joins faster than ticks tell */
        return csl_fail(diag, CSL_EBUSY, "this session has had %zu guests, and remembers no more of them",
                        l->n_asked);
    }
    if (l->n_asked == l->room_asked) {
        size_t room = l->room_asked == 0 ? 64 : 2 * l->room_asked;
        struct csl__asked *grown = reallocarray(l->asked, room, sizeof *grown);
        if (grown == NULL) {
            return CSL_ENOMEM;
        }
        l->asked = grown;
        l->room_asked = room;
    }
    struct csl__asked *a = &l->asked[l->n_asked++];
    *a = (struct csl__asked){.owner = in->owner, .last = in->request.number};
    memcpy(a->guest, in->request.guest, sizeof a->guest);
    return CSL_OK;
}

bool csl__lane_many_asked(const struct csl_lane *l) {
    return l->n_asked >= ASKED_MANY;
}

void csl__lane_forget_requests(struct csl_lane *l) {
    free(l->asked);
    l->asked = NULL;
    l->n_asked = l->room_asked = 0;
}

enum csl_err csl__lane_verify_request(struct csl_lane *l, struct csl_record_input *in,
                                      struct csl_diag *diag) {
    struct checking c = {.l = l, .in = in, .diag = diag};
    struct csl__asked *asked = find_asked(l, in->request.guest);
    if (asked != NULL && asked->owner != in->owner) {
        return refuse_input(&c, "bears the name of another client's guest");
    }
    if (asked != NULL && in->request.number <= asked->last) {
        return refuse_input(
            &c, "comes again: a guest counts its requests, and draws its name anew when it joins");
    }
    TRY(verify_input(&c));
    if (asked == NULL) {
        return add_asked(l, in, diag);
    }
    asked->last = in->request.number;
    return CSL_OK;
}
