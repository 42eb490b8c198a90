/* Connections that pause, and that move to another thread's loop; and how one waits for a loop. */
#include "conn_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- pausing and moving ---- */

static bool has_some(void *arg) {
    return ((struct end *)arg)->frames >= 50;
}

static void stop_at_3(struct end *e, const struct csl_frame_header *h, const uint8_t *payload) {
    (void)payload;
    if (h->seq == 3) {
        csl_conn_set_reading(e->conn, false);
    }
}

static void paused_reading(void **state) {
    (void)state;
    struct site s;
    struct end a;
    site_init(&s);
    site_connect(&s, &a);
    s.in[0].then = stop_at_3;
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(csl_conn_send(a.conn, CSL_FRAME_DATA, i, "abc", 3), CSL_OK);
    }
    while (s.in[0].frames < 4) {
        (void)uv_run(&s.loop.uv, UV_RUN_ONCE);
    }
    for (int i = 0; i < 5; i++) {
        (void)uv_run(&s.loop.uv, UV_RUN_NOWAIT);
    }
    assert_int_equal(s.in[0].frames, 4);
    csl_conn_set_reading(s.in[0].conn, true);
    site_run(&s, has_some, &s.in[0]);
    assert_false(s.in[0].disorder);
    end_drop(&a);
    site_clear(&s);
}

enum { MOVED_FRAMES = 3000 };

struct mover {
    struct csl_conn_parts *parts;
    struct end end;
    bool ok;
};

static bool has_all(void *arg) {
    struct end *e = arg;
    return e->next_seq == MOVED_FRAMES || e->closed;
}

static void *lane_main(void *arg) {
    struct mover *m = arg;
    struct csl_loop loop;
    if (csl_loop_init(&loop, NULL) != CSL_OK) {
        abort();
    }
    m->end.then = end_echo;
    if (csl_conn_attach(&m->end.conn, &loop.uv, m->parts, NULL, &end_callbacks, &m->end, NULL) != CSL_OK) {
        abort();
    }
    enum csl_err err = csl_loop_run_until(&loop, has_all, &m->end, LONG_MS);
    m->ok = err == CSL_OK && !m->end.closed && !m->end.disorder;
    if (m->end.conn != NULL) {
        csl_conn_set_callbacks(m->end.conn, NULL, NULL);
        csl_conn_shutdown(m->end.conn);
    }
    err = csl_loop_clear(&loop, LONG_MS);
    m->ok = m->ok && err == CSL_OK;
    return NULL;
}

static void detach_in_frame(struct end *e, const struct csl_frame_header *h, const uint8_t *payload) {
    struct mover *m = e->extra;
    assert_int_equal(csl_conn_send(e->conn, (enum csl_frame_type)h->type, h->seq, payload, h->n), CSL_OK);
    if (h->seq == 777) {
        m->parts = csl_conn_detach(e->conn);
        assert_non_null(m->parts);
        e->conn = NULL;
    }
}

static bool is_moved(void *arg) {
    return ((struct mover *)arg)->parts != NULL;
}

static void moves_with_frames_in_flight(void **state) {
    (void)state;
    struct site s;
    struct end a;
    struct mover m = {0};
    pthread_t t;
    uint8_t payload[300] = {0};
    site_init(&s);
    site_connect(&s, &a);
    s.in[0].then = detach_in_frame;
    s.in[0].extra = &m;
    for (uint32_t i = 0; i < MOVED_FRAMES; i++) { /* far more than fits in one read */
        assert_int_equal(csl_conn_send(a.conn, CSL_FRAME_DATA, i, payload, i % 300), CSL_OK);
    }
    site_run(&s, is_moved, &m);
    m.end.next_seq = s.in[0].next_seq;
    assert_int_equal(m.end.next_seq, 778);
    assert_string_equal(csl_conn_parts_peer_name(m.parts), "alice");
    assert_int_equal(pthread_create(&t, NULL, lane_main, &m), 0);
    site_run(&s, has_all, &a);
    assert_int_equal(a.next_seq, MOVED_FRAMES);
    assert_false(a.disorder);
    site_run(&s, end_is_closed, &a);
    assert_int_equal(a.err, CSL_OK);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_true(m.ok);
    assert_false(s.in[0].closed); /* on_close does not come after detach */
    site_clear(&s);
}

static void check_5a(struct end *e, const struct csl_frame_header *h, const uint8_t *payload) {
    (void)e;
    for (uint32_t i = 0; i < h->n; i++) {
        assert_int_equal(payload[i], 0x5a);
    }
}

/* Detached when half a frame is in. */
static void moves_with_half_a_frame(void **state) {
    (void)state;
    for (uint32_t part = 1; part < CSL_FRAME_HEADER_BYTES + 40; part += 5) {
        struct site s;
        struct hand h;
        struct end e = {.then = check_5a};
        site_init(&s);
        hand_init(&h, &s);
        hand_connect(&h);
        uint8_t frame[CSL_FRAME_HEADER_BYTES + 40] = {0};
        struct csl_frame_header head = {.n = 40, .type = CSL_FRAME_DATA};
        csl_frame_encode_header(frame, &head);
        memset(frame + CSL_FRAME_HEADER_BYTES, 0x5a, 40);
        assert_int_equal(csl_tls_write(h.tls, frame, part, NULL), CSL_OK);
        while (hand_send(&h, 1000) != 0) {
        }
        uint8_t direct[40];
        s.in[0].direct = direct; /* goes away with the first loop */
        (void)uv_run(&s.loop.uv, UV_RUN_NOWAIT);
        struct csl_conn_parts *parts = csl_conn_detach(s.in[0].conn);
        s.in[0].conn = NULL;
        assert_non_null(parts);
        memset(direct, 0, sizeof direct);
        assert_int_equal(csl_conn_attach(&e.conn, &s.loop.uv, parts, NULL, &end_callbacks, &e, NULL), CSL_OK);
        uint8_t got[40] = {0};
        e.direct = part < CSL_FRAME_HEADER_BYTES ? got : NULL;
        assert_int_equal(csl_tls_write(h.tls, frame + part, sizeof frame - part, NULL), CSL_OK);
        while (hand_send(&h, 1000) != 0) {
        }
        site_run(&s, end_has_one_frame, &e);
        assert_int_equal(e.frames, 1);
        assert_int_equal(e.last.n, 40);
        end_drop(&e);
        hand_clear(&h);
        site_clear(&s);
    }
}

static bool never(void *arg) {
    (void)arg;
    return false;
}

static void waiting_has_an_end(void **state) {
    (void)state;
    struct csl_loop loop;
    assert_int_equal(csl_loop_init(&loop, NULL), CSL_OK);
    assert_int_equal(csl_loop_run_until(&loop, never, NULL, 5), CSL_ETIMEOUT);
    assert_int_equal(csl_loop_run_until(&loop, never, NULL, 0), CSL_ETIMEOUT);
    assert_int_equal(csl_loop_clear(&loop, 0), CSL_OK);
}

static void on_tick(uv_timer_t *timer) {
    *(bool *)timer->data = true;
}

static bool is_set(void *arg) {
    return *(bool *)arg;
}

/* uv_run(UV_RUN_ONCE) sleeps after its timers: what a timer made true must be seen before. */
static void a_timer_ends_the_waiting(void **state) {
    (void)state;
    struct csl_loop loop;
    uv_timer_t timer;
    bool set = false;
    assert_int_equal(csl_loop_init(&loop, NULL), CSL_OK);
    assert_int_equal(uv_timer_init(&loop.uv, &timer), 0);
    timer.data = &set;
    assert_int_equal(uv_timer_start(&timer, on_tick, 0, 0), 0);
    assert_int_equal(csl_loop_run_until(&loop, is_set, &set, LONG_MS), CSL_OK);
    assert_false(loop.late);
    uv_close((uv_handle_t *)&timer, NULL);
    assert_int_equal(csl_loop_clear(&loop, 0), CSL_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paused_reading),           cmocka_unit_test(moves_with_frames_in_flight),
        cmocka_unit_test(moves_with_half_a_frame),  cmocka_unit_test(waiting_has_an_end),
        cmocka_unit_test(a_timer_ends_the_waiting),
    };
    return cmocka_run_group_tests(tests, conn_setup, conn_teardown);
}
