/* Deadlines and limits of connections: peers that are slow, deaf or dead, and too many of them. */
#include "conn_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- slow, deaf, dead ---- */

/* A byte whenever the loop turns does not keep the handshake open beyond its deadline. */
static bool trickle(void *arg) {
    struct hand *h = arg;
    return h->site->failed != 0;
}

static void on_trickle(uv_timer_t *timer) {
    (void)hand_send(timer->data, 1);
}

static void slow_handshake(void **state) {
    (void)state;
    struct site s;
    struct hand h;
    uv_timer_t timer;
    bool done;
    struct csl_listener_options opt;
    site_options(&s, &opt);
    opt.conn.handshake_ms = 60;
    site_listen(&s, &opt);
    hand_init(&h, &s);
    assert_int_equal(csl_tls_handshake(h.tls, &done, NULL), CSL_OK);
    assert_int_equal(uv_timer_init(&s.loop.uv, &timer), 0);
    timer.data = &h;
    assert_int_equal(uv_timer_start(&timer, on_trickle, 1, 1), 0);
    site_run(&s, trickle, &h);
    assert_int_equal(s.fail_err, CSL_ETIMEOUT);
    assert_says(&s.fail_why, "handshake was not complete after 60 ms");
    uv_close((uv_handle_t *)&timer, NULL);
    hand_clear(&h);
    site_clear(&s);
}

static void silent_connection(void **state) {
    (void)state;
    struct site s;
    struct csl_listener_options opt;
    site_options(&s, &opt);
    opt.conn.handshake_ms = 50;
    site_listen(&s, &opt);
    int fd = site_raw_socket(&s);
    site_run(&s, site_has_failed, &s);
    assert_int_equal(s.fail_err, CSL_ETIMEOUT);
    (void)close(fd);
    site_clear(&s);
}

static void idle_and_heartbeat(void **state) {
    (void)state;
    struct site s;
    struct hand h;
    struct end a;
    struct csl_listener_options opt;
    site_options(&s, &opt);
    opt.conn.idle_ms = 60;
    site_listen(&s, &opt);
    hand_init(&h, &s); /* half open: it never says anything */
    hand_connect(&h);
    site_run(&s, end_is_closed, &s.in[0]);
    assert_int_equal(s.in[0].err, CSL_ETIMEOUT);
    assert_says(&s.in[0].why, "nothing heard for");
    hand_clear(&h);

    s.n_in = 0;
    memset(s.in, 0, sizeof s.in);
    hand_init(&h, &s);
    hand_connect(&h);
    csl_conn_set_heartbeat(s.in[0].conn, 10, 50);
    site_run(&s, end_is_closed, &s.in[0]);
    assert_int_equal(s.in[0].err, CSL_ETIMEOUT);
    assert_says(&s.in[0].why, "no answer for");
    hand_clear(&h);

    /* a live peer that sends nothing of its own answers, so that neither deadline strikes */
    s.n_in = 0;
    memset(s.in, 0, sizeof s.in);
    site_connect(&s, &a);
    csl_conn_set_heartbeat(s.in[0].conn, 10, LONG_MS);
    const struct csl_conn_counters *c = csl_conn_counters(s.in[0].conn);
    while (c->frames_received < 12) {
        assert_false(s.in[0].closed);
        (void)uv_run(&s.loop.uv, UV_RUN_ONCE);
    }
    assert_int_equal(a.frames, 0); /* PING never reaches on_frame */
    assert_true(csl_conn_rtt_answers(s.in[0].conn) != 0 && csl_conn_rtt_ns(s.in[0].conn) != 0);
    assert_int_equal(csl_conn_rtt_ns(a.conn), 0); /* it asked nothing yet */
    assert_int_equal(csl_conn_probe(a.conn), CSL_OK);
    while (csl_conn_rtt_answers(a.conn) == 0) {
        assert_false(a.closed);
        (void)uv_run(&s.loop.uv, UV_RUN_ONCE);
    }
    assert_int_equal(csl_conn_rtt_answers(a.conn), 1);
    assert_true(csl_conn_rtt_ns(a.conn) != 0);
    end_drop(&a);
    site_clear(&s);
}

/* A peer that reads nothing: the queue is bounded, and a deadline ends it. */
static void deaf_peer(void **state) {
    (void)state;
    struct site s;
    struct hand h;
    struct csl_listener_options opt;
    site_options(&s, &opt);
    opt.conn.write_ms = 80;
    opt.conn.max_queue_bytes = 1 << 20;
    site_listen(&s, &opt);
    hand_init(&h, &s);
    hand_connect(&h);
    uint8_t *mb = test_calloc(1, 1 << 20);
    enum csl_err err = CSL_OK;
    unsigned sent = 0;
    while (err == CSL_OK && sent < 1000) {
        err = csl_conn_send(s.in[0].conn, CSL_FRAME_DATA, sent++, mb, 1 << 20);
    }
    assert_int_equal(err, CSL_EBUSY);
    assert_true(csl_conn_queued(s.in[0].conn) < (4 << 20));
    site_run(&s, end_is_closed, &s.in[0]);
    assert_int_equal(s.in[0].err, CSL_ETIMEOUT);
    assert_says(&s.in[0].why, "has read nothing for");
    test_free(mb);
    hand_clear(&h);
    site_clear(&s);
}

/* One that floods with PINGs and reads no PONG. */
static void ping_flood(void **state) {
    (void)state;
    struct site s;
    struct hand h;
    struct csl_listener_options opt;
    site_options(&s, &opt);
    opt.conn.max_queue_bytes = 65536;
    opt.conn.write_ms = LONG_MS;
    site_listen(&s, &opt);
    hand_init(&h, &s);
    hand_connect(&h);
    for (uint32_t i = 0; !s.in[0].closed; i++) {
        size_t waiting;
        (void)csl_tls_out(h.tls, &waiting);
        if (waiting < 65536) {
            hand_frame(&h, CSL_FRAME_PING, i, 0, 0);
        }
        (void)hand_send(&h, 65536);
        if (i % 1000 == 0) {
            (void)uv_run(&s.loop.uv, UV_RUN_NOWAIT);
        }
    }
    assert_int_equal(s.in[0].err, CSL_EBUSY);
    assert_says(&s.in[0].why, "does not read");
    hand_clear(&h);
    site_clear(&s);
}

/* ---- many ---- */

static void flood_over_the_limit(void **state) {
    (void)state;
    enum { FLOOD = 40 };
    struct site s;
    struct end a;
    int fd[FLOOD];
    struct csl_listener_stats st;
    struct csl_listener_options opt;
    site_options(&s, &opt);
    opt.max_pending = 4;
    opt.evict_ms = 5;
    opt.conn.handshake_ms = LONG_MS;
    site_listen(&s, &opt);
    for (int i = 0; i < FLOOD; i++) {
        fd[i] = site_raw_socket(&s);
    }
    site_dial(&s, &a, s.alice); /* the last in the queue gets in all the same */
    site_run(&s, end_is_open, &a);
    site_run(&s, site_has_guest, &s);
    csl_listener_stats(s.listener, &st);
    assert_true(st.pending <= 4);
    assert_true(st.evicted >= FLOOD - 4);
    assert_true(st.opened == 1 && st.pauses != 0);
    for (int i = 0; i < FLOOD; i++) {
        (void)close(fd[i]);
    }
    end_drop(&a);
    site_clear(&s);
}

/* In a child, since the limit is the process's. */
static int exhaust_descriptors(void) {
    struct site s;
    struct end a;
    struct csl_listener_stats st;
    struct rlimit lim;
    site_init(&s);
    int peer = site_raw_socket(&s); /* waits in the backlog */
    int last = dup(0);
    lim.rlim_cur = lim.rlim_max = (rlim_t)last + 1;
    (void)close(last);
    int filler = dup(0);
    if (setrlimit(RLIMIT_NOFILE, &lim) != 0 || dup(0) >= 0) {
        return 2;
    }
    unsigned turns = 0;
    do { /* it pauses, and the loop sleeps in between */
        (void)uv_run(&s.loop.uv, UV_RUN_ONCE);
        csl_listener_stats(s.listener, &st);
        turns++;
    } while (st.pauses == 0);
    (void)uv_run(&s.loop.uv, UV_RUN_ONCE);
    if (st.accepted != 0 || turns > 10) {
        return 3;
    }
    (void)close(filler);
    (void)close(peer); /* room for two: a client and its conn */
    site_dial(&s, &a, s.alice);
    while (!a.open && !a.closed) {
        (void)uv_run(&s.loop.uv, UV_RUN_ONCE);
    }
    return a.open ? 0 : 4;
}

static void no_descriptors_left(void **state) {
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(exhaust_descriptors());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void port_in_use(void **state) {
    (void)state;
    struct site s;
    struct csl_diag diag;
    struct csl_listener *second;
    struct csl_listener_options opt;
    site_init(&s);
    csl_listener_options_init(&opt);
    opt.bind_address = "127.0.0.1";
    opt.port = csl_listener_port(s.listener);
    assert_int_equal(csl_listener_new(&second, &s.loop.uv, s.bob, &opt, &site_callbacks, &s, &diag),
                     CSL_EUNAVAILABLE);
    assert_says(&diag, "in use");
    opt.bind_address = "192.0.2.1";
    opt.port = 0;
    assert_int_equal(csl_listener_new(&second, &s.loop.uv, s.bob, &opt, &site_callbacks, &s, &diag),
                     CSL_ECONFIG);
    assert_says(&diag, "192.0.2.1 is not an address of this machine");
    site_clear(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_descriptors_left), /* first: it forks, and the others start threads */
        cmocka_unit_test(slow_handshake),      cmocka_unit_test(silent_connection),
        cmocka_unit_test(idle_and_heartbeat),  cmocka_unit_test(deaf_peer),
        cmocka_unit_test(ping_flood),          cmocka_unit_test(flood_over_the_limit),
        cmocka_unit_test(port_in_use),
    };
    return cmocka_run_group_tests(tests, conn_setup, conn_teardown);
}
