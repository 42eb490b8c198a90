/* What the guests of a shared session send (docs/protocol.md S15): requests, each with an input of its own
 * (I1), which is complete and verified before any other party hears of it. */
#include <string.h>

#include "crypto/hash.h"
#include "crypto/secret.h"
#include "mpc/pack.h"
#include "roles/input_share.h"
#include "roles/lane/lane_internal.h"

struct taking {
    struct csl_lane *l;
    struct csl__guest *g;
    struct csl_diag *diag;
};

static enum csl_err missent(const struct taking *t, const char *what) {
    return csl_fail(t->diag, CSL_EPROTO, "message input: %s %s", t->g->talk.peer, what);
}

static unsigned bits_of(const struct csl_lane *l) {
    return csl_plan_input_bits(&l->opt.package->plan);
}

/* ---- A complete request ---- */

/* Two parties wait for the same request when this is the same: who asks, and what was signed. */
static enum csl_err digest_request(uint8_t out[CSL_DIGEST_BYTES], const struct csl_record_input *in) {
    struct csl_sha256 h = {0};
    const char *name = in->owner->name;
    enum csl_err err = csl_sha256_init(&h);
    if (err == CSL_OK) {
        err = csl_sha256_update(&h, (const uint8_t *)name, strlen(name) + 1);
    }
    if (err == CSL_OK && in->statement.n != 0) {
        err = csl_sha256_update(&h, in->statement.statement, in->statement.n);
    }
    if (err == CSL_OK) {
        err = csl_sha256_final(&h, out);
    }
    csl_sha256_clear(&h);
    return err;
}

/* Where nobody signs the vector was not looked at yet: a batch with it must not fail for all. */
static enum csl_err well_formed(const struct taking *t) {
    const struct csl_record_input *in = &t->g->input;
    uint64_t *x = csl_secret_alloc((size_t)in->count * in->each, sizeof *x);
    enum csl_err err = x == NULL ? CSL_ENOMEM : csl__guest_expand(t->l, in, x, t->diag);
    csl_secret_free(x);
    return err;
}

static enum csl_err complete(const struct taking *t) {
    struct csl__guest *g = t->g;
    TRY(t->l->sign != CSL_SIGN_OFF ? csl__lane_verify_request(t->l, &g->input, t->diag) : well_formed(t));
    TRY(digest_request(g->digest, &g->input));
    g->state = CSL_GUEST_WAITING;
    g->said = false;
    g->arrival = t->l->shared->arrivals++;
    g->input_ns = csl_monotonic_ns();
    if (csl__lane_many_asked(t->l)) {
        csl_lane_drain(t->l);
    }
    return CSL_OK;
}

/* ---- Its messages ---- */

static enum csl_err keep_share(const struct taking *t, const uint8_t *p, size_t n) {
    struct csl_record_input *in = &t->g->input;
    in->share = csl_secret_alloc(n, 1);
    if (in->share == NULL) {
        return csl_fail(t->diag, CSL_ENOMEM, "no memory for a request of %u", in->count);
    }
    memcpy(in->share, p, n);
    in->n = n;
    return CSL_OK;
}

static enum csl_err check_input(const struct taking *t, const Csl__Pb__Input *m) {
    const struct csl_lane *l = t->l;
    const struct csl__guest *g = t->g;
    if (g->state != CSL_GUEST_IDLE) {
        return csl_fail(t->diag, CSL_EPROTO, "%s sent request %u before request %u was answered",
                        g->talk.peer, m->batch, g->last);
    }
    if (m->batch <= g->last) {
        return csl_fail(t->diag, CSL_EPROTO, "%s sent request %u again, or after request %u", g->talk.peer,
                        m->batch, g->last);
    }
    if (m->count == 0 || m->count > g->request.max_batch) {
        return csl_fail(t->diag, CSL_EPROTO, "%s sent a request of %u inputs; it joined for at most %u",
                        g->talk.peer, m->count, g->request.max_batch);
    }
    if ((m->seed.len == 0) != l->is_last) {
        return missent(t, l->is_last ? "sent a seed to the last party" : "sent no seed");
    }
    if ((m->statement.len != 0) != (l->sign != CSL_SIGN_OFF)) {
        return missent(t, l->sign != CSL_SIGN_OFF ? "did not sign its input, as the roster demands"
                                                  : "signed its input; the roster says audit.sign: off");
    }
    return CSL_OK;
}

static enum csl_err take_input(const struct taking *t, const Csl__Pb__Input *m) {
    const struct csl_lane *l = t->l;
    struct csl__guest *g = t->g;
    struct csl_record_input *in = &g->input;
    TRY(check_input(t, m));
    in->owner = g->member;
    in->count = m->count;
    in->each = csl_plan_n_inputs(&l->opt.package->plan);
    memcpy(in->request.guest, g->request.guest, sizeof in->request.guest);
    in->request.number = g->last = m->batch;
    if (l->sign != CSL_SIGN_OFF) {
        memcpy(in->salt, m->salt.data, sizeof in->salt);
        TRY(csl_signed_copy(&in->statement, m->statement.data, m->statement.len, m->signature.data));
    }
    if (l->is_last) {
        g->state = CSL_GUEST_VECTOR;
        return csl_pack_size(&g->due, (size_t)in->count * in->each, bits_of(l));
    }
    CSL_SECRET(m->seed.data, m->seed.len);
    TRY(keep_share(t, m->seed.data, m->seed.len));
    return complete(t);
}

static enum csl_err take_vector(const struct taking *t, const struct csl_frame_in *f) {
    struct csl__guest *g = t->g;
    if (f->h.type != CSL_FRAME_DATA || f->h.seq != g->last || f->h.n != g->due) {
        return csl_fail(t->diag, CSL_EPROTO,
                        "%s sent a %s frame (%u, %u bytes) where DATA %u of %zu bytes is due", g->talk.peer,
                        csl_frame_type_name(f->h.type), f->h.seq, f->h.n, g->last, g->due);
    }
    CSL_SECRET(f->payload, f->h.n);
    TRY(keep_share(t, f->payload, f->h.n));
    return complete(t);
}

static enum csl_err take_message(const struct taking *t, struct csl_frame_in *f, bool *closed) {
    csl_control *m;
    TRY(csl_talk_decode(&t->g->talk, &m, f, t->diag));
    enum csl_err err = CSL_OK;
    if (m->kind_case == CSL__PB__CONTROL__KIND_CLOSE_SESSION) {
        *closed = true;
    } else if (m->kind_case == CSL__PB__CONTROL__KIND_INPUT) {
        err = take_input(t, m->input);
    } else {
        err = csl_fail(t->diag, CSL_EPROTO, "%s sent %s where a request is due", t->g->talk.peer,
                       csl_message_kind_name((int)m->kind_case));
    }
    csl_message_free(m);
    return err;
}

enum csl_err csl__guest_frame(struct csl_lane *l, struct csl__guest *g, bool *closed, struct csl_diag *diag) {
    struct taking t = {.l = l, .g = g, .diag = diag};
    struct csl_frame_in *f;
    TRY(csl_talk_receive(&g->talk, &f, 0, diag)); /* it is there */
    if (g->state == CSL_GUEST_VECTOR) {
        enum csl_err err = take_vector(&t, f);
        csl_frame_in_free(f);
        return err;
    }
    return take_message(&t, f, closed);
}

enum csl_err csl__guest_expand(const struct csl_lane *l, const struct csl_record_input *in, uint64_t *x,
                               struct csl_diag *diag) {
    return l->is_last
               ? csl_unpack_bits_strict(x, in->share, in->n, (size_t)in->count * in->each, bits_of(l), diag)
               : csl_input_expand(x, in->share, in->count, in->each, bits_of(l));
}
