#include "guest.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/rand.h"

/* ---- By the library ---- */

enum csl_err guest_client_open(struct csl_client **c, const struct csl_context *ctx, uint32_t max_batch,
                               struct csl_diag *diag) {
    struct csl_client_options opt = {.model = MODEL, .max_batch = max_batch, .shared = true};
    return csl_client_open(c, ctx, &opt, diag);
}

struct csl_client *guest_client(struct world *w, uint32_t max_batch) {
    struct csl_diag diag = {""};
    struct csl_client *c;
    must(guest_client_open(&c, &w->clinic, max_batch, &diag), &diag, "join");
    return c;
}

void guest_visit(struct world *w) {
    struct csl_client *c = guest_client(w, 2);
    world_infer(w, c, 2, NULL);
    csl_client_close(c);
}

static unsigned salt_of(const struct visitor *v, unsigned request) {
    return v->number * 100 + request;
}

static enum csl_err visit(struct visitor *v, struct csl_client *c) {
    for (; v->done < v->requests; v->done++) {
        float x[VISITOR_BATCH * N_IN];
        struct csl_batch_stats s;
        uint32_t count = 1 + (v->number + 5 * v->done) % VISITOR_BATCH;
        world_inputs(x, csl_client_plan(c), count, salt_of(v, v->done));
        v->counts[v->done] = count;
        TRY(world_client_infer(c, v->logits[v->done], &s, x, count, &v->diag));
    }
    return CSL_OK;
}

static void *visitor_thread(void *arg) {
    struct visitor *v = arg;
    struct csl_client *c;
    v->err = guest_client_open(&c, &v->ctx, VISITOR_BATCH, &v->diag);
    (void)pthread_barrier_wait(v->all_in);
    if (v->err == CSL_OK) {
        v->err = visit(v, c);
        csl_client_close(c);
    }
    return NULL;
}

void visitors_start(struct visitors *v, unsigned n, struct world *w, unsigned requests) {
    assert_true(n <= VISITORS_MAX && requests <= VISITOR_REQUESTS);
    v->n = n;
    assert_int_equal(pthread_barrier_init(&v->all_in, NULL, n), 0);
    for (unsigned i = 0; i < n; i++) {
        v->at[i] = (struct visitor){.w = w, .number = i, .requests = requests, .all_in = &v->all_in};
        world_context(&v->at[i].ctx, w, "clinic");
    }
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(pthread_create(&v->at[i].thread, NULL, visitor_thread, &v->at[i]), 0);
    }
}

void visitors_end(struct visitors *v) {
    for (unsigned i = 0; i < v->n; i++) {
        assert_int_equal(pthread_join(v->at[i].thread, NULL), 0);
        csl_context_free(&v->at[i].ctx);
    }
    (void)pthread_barrier_destroy(&v->all_in);
    for (unsigned i = 0; i < v->n; i++) {
        const struct visitor *of = &v->at[i];
        for (unsigned k = 0; k < of->done; k++) {
            float x[VISITOR_BATCH * N_IN];
            world_inputs(x, &of->w->net->plan, of->counts[k], salt_of(of, k));
            world_check_logits(of->w, of->logits[k], x, of->counts[k]);
        }
    }
}

void visitors_succeed(struct visitors *v) {
    visitors_end(v);
    for (unsigned i = 0; i < v->n; i++) {
        must(v->at[i].err, &v->at[i].diag, "a guest");
        assert_int_equal(v->at[i].done, v->at[i].requests);
    }
}

/* ---- Message by message ---- */

void guest_open_as(struct guest *g, struct world *w, const struct csl_context *ctx) {
    struct csl_diag diag = {""};
    fake_open(&g->f, w, ctx);
    must(csl_rand(g->id, sizeof g->id), &diag, "rand");
}

void guest_open(struct guest *g, struct world *w) {
    guest_open_as(g, w, &w->clinic);
}

void guest_close(struct guest *g) {
    fake_close(&g->f);
}

void guest_dies(struct guest *g) {
    for (unsigned i = 0; i < g->f.w->n; i++) {
        if (g->f.talks[i].conn != NULL) {
            csl_conn_close(g->f.talks[i].conn, CSL_EPEER, "gone");
        }
    }
    fake_close(&g->f);
}

void guest_ask(struct guest *g, unsigned i, const char *model, uint32_t max_batch, bool reveal_label) {
    struct csl_diag diag = {""};
    fake_dial(&g->f, i, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    CSL_CONTROL(m, body, OpenSession, OPEN_SESSION, OPEN_SESSION, open_session);
    body.session_id = csl_bytes(g->f.id, sizeof g->f.id);
    body.model = (char *)(uintptr_t)model;
    body.max_batch = max_batch;
    body.reveal_label = reveal_label;
    body.shared = true;
    body.guest_id = csl_bytes(g->id, sizeof g->id);
    must(csl_talk_send(&g->f.talks[i], &m, &diag), &diag, "send");
}

void guest_join(struct guest *g, unsigned i, uint32_t max_batch) {
    struct csl_diag diag = {""};
    csl_control *m;
    guest_ask(g, i, MODEL, max_batch, false);
    must(csl_talk_expect(&g->f.talks[i], &m, CSL__PB__CONTROL__KIND_ADMITTED, FAKE_WAIT_MS, &diag), &diag,
         "admitted");
    assert_int_equal(m->admitted->session_id.len, sizeof g->f.id);
    memcpy(g->f.id, m->admitted->session_id.data, sizeof g->f.id);
    csl_message_free(m);
}

void guest_enter(struct guest *g, uint32_t max_batch) {
    for (unsigned i = 0; i < g->f.w->n; i++) {
        guest_join(g, i, max_batch);
    }
    for (unsigned i = 0; i < g->f.w->n; i++) {
        fake_expect(&g->f, i, CSL__PB__CONTROL__KIND_SESSION_READY);
        csl_talk_allow_data(&g->f.talks[i], 1 << 20);
    }
}

void guest_sign(struct fake_statement *out, const struct guest *g, uint32_t request, uint32_t count,
                uint8_t salt) {
    Csl__Audit__InputStatement m = CSL__AUDIT__INPUT_STATEMENT__INIT;
    m.guest = csl_bytes(g->id, sizeof g->id);
    m.request = request;
    m.count = count;
    fake_sign_as(out, &g->f, salt, &m);
}

void guest_send_input(struct guest *g, unsigned i, uint32_t request, uint32_t count,
                      const struct fake_statement *s) {
    struct csl_diag diag = {""};
    uint8_t seed[32] = {1, 2, 3};
    CSL_CONTROL(m, body, Input, INPUT, INPUT, input);
    body.batch = request;
    body.count = count;
    if (i + 1 < g->f.w->n) {
        body.seed = csl_bytes(seed, sizeof seed);
    }
    if (s != NULL) {
        body.salt = csl_bytes(s->salt, sizeof s->salt);
        body.statement = csl_bytes(s->s.statement, s->s.n);
        body.signature = csl_bytes(s->s.signature, sizeof s->s.signature);
    }
    must(csl_talk_send(&g->f.talks[i], &m, &diag), &diag, "send");
}

void guest_send(struct guest *g, unsigned i, uint32_t request, uint32_t count) {
    struct fake_statement s;
    guest_sign(&s, g, request, count, 7);
    guest_send_input(g, i, request, count, &s);
    csl_signed_clear(&s.s);
    if (i + 1 == g->f.w->n) {
        fake_send_vector(&g->f, i, request, count);
    }
}

void guest_send_all(struct guest *g, uint32_t request, uint32_t count) {
    for (unsigned i = 0; i < g->f.w->n; i++) {
        guest_send(g, i, request, count);
    }
}

static uint32_t batch_done(struct guest *g, unsigned i) {
    struct csl_diag diag = {""};
    csl_control *m;
    must(csl_talk_expect(&g->f.talks[i], &m, CSL__PB__CONTROL__KIND_BATCH_DONE, FAKE_WAIT_MS, &diag), &diag,
         "batch done");
    Csl__Audit__OutputStatement *s = csl__audit__output_statement__unpack(NULL, m->batch_done->statement.len,
                                                                          m->batch_done->statement.data);
    assert_non_null(s);
    uint32_t batch = s->batch;
    csl__audit__output_statement__free_unpacked(s, NULL);
    csl_message_free(m);
    return batch;
}

uint32_t guest_answered(struct guest *g, uint32_t request) {
    uint32_t batch = 0;
    for (unsigned i = 0; i < g->f.w->n; i++) {
        struct csl_diag diag = {""};
        struct csl_frame_in *in;
        must(csl_talk_receive(&g->f.talks[i], &in, FAKE_WAIT_MS, &diag), &diag, "output");
        assert_int_equal(in->h.type, CSL_FRAME_DATA);
        assert_int_equal(in->h.seq, request);
        csl_frame_in_free(in);
        uint32_t here = batch_done(g, i);
        assert_true(here != 0 && (i == 0 || here == batch));
        batch = here;
    }
    return batch;
}
