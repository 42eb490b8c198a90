/* A client, party or owner that does what the test says, message by message. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/rand.h"
#include "mpc/pack.h"
#include "roles/input_share.h"

void fake_open(struct fake *f, struct world *w, const struct csl_context *ctx) {
    struct csl_diag diag = {""};
    memset(f, 0, sizeof *f);
    f->w = w;
    f->ctx = ctx;
    f->plan = &w->net->plan;
    must(csl_rand(f->id, sizeof f->id), &diag, "rand");
    must(csl_worker_init(&f->worker, ctx, ctx->tls, &diag), &diag, "worker");
}

void fake_close(struct fake *f) {
    for (unsigned i = 0; i < CSL_MAX_PARTIES; i++) {
        csl_talk_close(&f->talks[i]);
    }
    csl_worker_clear(&f->worker);
}

enum csl_err fake_dial_fails(struct fake *f, unsigned i, Csl__Pb__Purpose purpose, struct csl_diag *diag) {
    struct csl_talk *t = &f->talks[i];
    TRY(csl_talk_dial(t, &f->worker, csl_roster_party(&f->ctx->roster, i), purpose, f->id, diag));
    return csl_talk_wait_ready(&f->worker, &t, 1, FAKE_WAIT_MS, diag);
}

void fake_dial(struct fake *f, unsigned i, Csl__Pb__Purpose purpose) {
    struct csl_diag diag = {""};
    must(fake_dial_fails(f, i, purpose, &diag), &diag, "dial");
}

static void send_control(struct fake *f, unsigned i, const csl_control *m) {
    struct csl_diag diag = {""};
    must(csl_talk_send(&f->talks[i], m, &diag), &diag, "send");
}

void fake_ask(struct fake *f, unsigned i, const char *model, uint32_t max_batch) {
    CSL_CONTROL(m, body, OpenSession, OPEN_SESSION, OPEN_SESSION, open_session);
    body.session_id = csl_bytes(f->id, sizeof f->id);
    body.model = (char *)(uintptr_t)model;
    body.max_batch = max_batch;
    send_control(f, i, &m);
}

void fake_expect(struct fake *f, unsigned i, int kind) {
    struct csl_diag diag = {""};
    csl_control *m;
    must(csl_talk_expect(&f->talks[i], &m, kind, FAKE_WAIT_MS, &diag), &diag, csl_message_kind_name(kind));
    if (kind == CSL__PB__CONTROL__KIND_SESSION_READY) {
        memcpy(f->epoch_id, m->session_ready->epoch_id.data, sizeof f->epoch_id);
        f->sign = m->session_ready->session.len != 0;
        if (f->sign) {
            memcpy(f->session, m->session_ready->session.data, sizeof f->session);
        }
    }
    csl_message_free(m);
}

enum csl_err fake_end(struct fake *f, unsigned i, struct csl_diag *diag) {
    for (;;) {
        struct csl_frame_in *in;
        csl_control *m;
        TRY(csl_talk_receive(&f->talks[i], &in, FAKE_WAIT_MS, diag));
        if (in->h.type != CSL_FRAME_CONTROL) {
            csl_frame_in_free(in);
            continue;
        }
        TRY(csl_talk_decode(&f->talks[i], &m, in, diag));
        csl_message_free(m);
    }
}

void fake_session(struct fake *f, uint32_t max_batch) {
    for (unsigned i = 0; i < f->w->n; i++) {
        fake_dial(f, i, CSL__PB__PURPOSE__PURPOSE_CLIENT);
        fake_ask(f, i, MODEL, max_batch);
        fake_expect(f, i, CSL__PB__CONTROL__KIND_ADMITTED);
    }
    for (unsigned i = 0; i < f->w->n; i++) {
        fake_expect(f, i, CSL__PB__CONTROL__KIND_SESSION_READY);
    }
}

void fake_prepare(struct fake *f, unsigned i, uint32_t batch, uint32_t count) {
    CSL_CONTROL(m, body, Prepare, PREPARE, PREPARE, prepare);
    body.batch = batch;
    body.count = count;
    send_control(f, i, &m);
}

void fake_prepare_all(struct fake *f, uint32_t batch, uint32_t count) {
    for (unsigned i = 0; i < f->w->n; i++) {
        fake_prepare(f, i, batch, count);
    }
    for (unsigned i = 0; i < f->w->n; i++) {
        fake_expect(f, i, CSL__PB__CONTROL__KIND_CREDIT);
    }
}

void fake_sign_as(struct fake_statement *out, const struct fake *f, uint8_t salt,
                  const Csl__Audit__InputStatement *as) {
    uint32_t count = as->count;
    static const uint64_t zeros[WORLD_MAX_BATCH * N_IN];
    uint8_t leaves[WORLD_MAX_BATCH * CSL_MERKLE_BYTES], roots[CSL_MAX_PARTIES][CSL_MERKLE_BYTES];
    ProtobufCBinaryData list[CSL_MAX_PARTIES];
    struct csl_diag diag = {""};
    *out = (struct fake_statement){.salt = {salt}, .seed = {1, 2, 3}};
    assert_true(count <= WORLD_MAX_BATCH);
    for (unsigned i = 0; i < f->w->n; i++) {
        bool last = i + 1 == f->w->n;
        must(csl_input_leaves(leaves, out->salt, last ? NULL : out->seed, zeros, count, N_IN,
                              csl_plan_input_bits(f->plan)),
             &diag, "leaves");
        must(csl_merkle_root(roots[i], leaves, count), &diag, "root");
        list[i] = csl_bytes(roots[i], CSL_MERKLE_BYTES);
    }
    Csl__Audit__InputStatement m = *as;
    m.session = csl_bytes(f->session, sizeof f->session);
    m.n_roots = f->w->n;
    m.roots = list;
    must(csl_statement_sign(&out->s, CSL_STATEMENT_INPUT, &m.base, f->ctx->site.sign_key, &diag), &diag,
         "sign");
}

void fake_sign(struct fake_statement *out, const struct fake *f, uint32_t batch, uint32_t count) {
    Csl__Audit__InputStatement m = CSL__AUDIT__INPUT_STATEMENT__INIT;
    m.batch = batch;
    m.count = count;
    fake_sign_as(out, f, 7, &m);
}

void fake_send_input(struct fake *f, unsigned i, uint32_t batch, const struct fake_statement *s) {
    uint8_t seed[32] = {1, 2, 3};
    CSL_CONTROL(m, body, Input, INPUT, INPUT, input);
    body.batch = batch;
    if (i + 1 < f->w->n) {
        body.seed = csl_bytes(seed, sizeof seed);
    }
    if (s != NULL) {
        body.salt = csl_bytes(s->salt, sizeof s->salt);
        body.statement = csl_bytes(s->s.statement, s->s.n);
        body.signature = csl_bytes(s->s.signature, sizeof s->s.signature);
    }
    send_control(f, i, &m);
}

void fake_send_vector(struct fake *f, unsigned i, uint32_t batch, uint32_t count) {
    size_t n;
    assert_int_equal(csl_pack_size(&n, (size_t)count * N_IN, csl_plan_input_bits(f->plan)), CSL_OK);
    uint8_t *zeros = calloc(n, 1);
    assert_non_null(zeros);
    fake_send(f, i, CSL_FRAME_DATA, batch, zeros, n);
    free(zeros);
}

void fake_input(struct fake *f, unsigned i, uint32_t batch, uint32_t count) {
    struct fake_statement s = {.s = {.statement = NULL}};
    if (f->sign) {
        fake_sign(&s, f, batch, count);
    }
    fake_send_input(f, i, batch, f->sign ? &s : NULL);
    csl_signed_clear(&s.s);
    if (i + 1 == f->w->n) {
        fake_send_vector(f, i, batch, count);
    }
}

void fake_input_all(struct fake *f, uint32_t batch, uint32_t count) {
    for (unsigned i = 0; i < f->w->n; i++) {
        fake_input(f, i, batch, count);
        csl_talk_allow_data(&f->talks[i], 1 << 20);
    }
}

void fake_send(struct fake *f, unsigned i, enum csl_frame_type type, uint32_t seq, const void *p, size_t n) {
    assert_non_null(f->talks[i].conn);
    assert_int_equal(csl_conn_send(f->talks[i].conn, type, seq, p, n), CSL_OK);
}
