/* Connections over loopback sockets: what goes well, and every way in which a peer can be bad. */
#include "test_pair.h"

#include "net/listener.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>

enum { LONG_MS = 60000, DATA_MAX = 4 << 20, MAX_ENDS = 80 };

/* One end under test, and what came of it. */
struct end {
    struct csl_conn *conn;
    bool open, closed;
    enum csl_err err;
    struct csl_diag why;
    unsigned frames;
    struct csl_frame_header last;
    uint32_t next_seq; /* DATA is expected in order */
    bool disorder;
    uint64_t bytes;
    uint8_t *direct; /* on_header gives this for DATA */
    void (*then)(struct end *e, const struct csl_frame_header *h, const uint8_t *payload);
    void *extra;
};

static void on_open(struct csl_conn *c, void *arg) {
    struct end *e = arg;
    e->conn = c;
    e->open = true;
}

static enum csl_err on_header(struct csl_conn *c, const struct csl_frame_header *h, uint8_t **dst,
                              struct csl_diag *diag, void *arg) {
    struct end *e = arg;
    (void)c, (void)diag;
    if (h->type == CSL_FRAME_DATA) {
        *dst = e->direct;
    }
    return CSL_OK;
}

static void on_frame(struct csl_conn *c, const struct csl_frame_header *h, const uint8_t *payload,
                     void *arg) {
    struct end *e = arg;
    (void)c;
    e->frames++;
    e->last = *h;
    e->bytes += h->n;
    e->disorder = e->disorder || (h->type == CSL_FRAME_DATA && h->seq != e->next_seq++);
    if (e->then != NULL) {
        e->then(e, h, payload);
    }
}

static void on_close(struct csl_conn *c, enum csl_err err, const struct csl_diag *why, void *arg) {
    struct end *e = arg;
    (void)c;
    assert_false(e->closed);
    e->closed = true;
    e->conn = NULL;
    e->err = err;
    e->why = *why;
}

static const struct csl_conn_callbacks callbacks = {on_open, on_header, on_frame, on_close};

/* A loop with a listener whose conns become ends. */
struct site {
    struct csl_loop loop;
    struct csl_listener *listener;
    struct csl_tls_ctx *alice, *bob; /* alice dials, bob listens */
    struct csl_conn_options opt;     /* of both sides */
    struct end in[MAX_ENDS];
    unsigned n_in;
    unsigned failed;
    enum csl_err fail_err;
    struct csl_diag fail_why;
};

static struct test_ca ca;

static int setup(void **state) {
    (void)state;
    ca = test_ca_new("Test CA");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    test_ca_free(&ca);
    return 0;
}

static void on_conn(struct csl_listener *l, struct csl_conn *c, void *arg) {
    struct site *s = arg;
    (void)l;
    assert_true(s->n_in < MAX_ENDS);
    struct end *e = &s->in[s->n_in++];
    e->conn = c;
    e->open = true;
    csl_conn_set_callbacks(c, &callbacks, e);
}

static void on_failed(struct csl_listener *l, const char *address, enum csl_err err,
                      const struct csl_diag *why, void *arg) {
    struct site *s = arg;
    (void)l;
    if (address[0] != '\0') {
        s->failed++;
        s->fail_err = err;
        s->fail_why = *why;
    }
}

static void site_options(struct site *s, struct csl_listener_options *opt) {
    memset(s, 0, sizeof *s);
    csl_listener_options_init(opt);
    csl_conn_options_init(&s->opt);
    s->opt.limits.max[CSL_FRAME_DATA] = DATA_MAX;
    opt->conn = s->opt;
    opt->bind_address = "127.0.0.1";
    s->alice = test_site(&ca, "alice");
    s->bob = test_site(&ca, "bob");
    assert_int_equal(csl_loop_init(&s->loop, NULL), CSL_OK);
}

static void site_listen(struct site *s, const struct csl_listener_options *opt) {
    static const struct csl_listener_callbacks cb = {on_conn, on_failed};
    struct csl_diag diag;
    enum csl_err err = csl_listener_new(&s->listener, &s->loop.uv, s->bob, opt, &cb, s, &diag);
    if (err != CSL_OK) {
        fail_msg("%s", diag.text);
    }
}

static void site_init(struct site *s) {
    struct csl_listener_options opt;
    site_options(s, &opt);
    site_listen(s, &opt);
}

static void site_clear(struct site *s) {
    csl_listener_close(s->listener);
    for (unsigned i = 0; i < s->n_in; i++) {
        if (s->in[i].conn != NULL) {
            csl_conn_set_callbacks(s->in[i].conn, NULL, NULL);
            csl_conn_close(s->in[i].conn, CSL_OK, NULL);
        }
    }
    assert_int_equal(csl_loop_clear(&s->loop, LONG_MS), CSL_OK);
    csl_tls_ctx_free(s->alice);
    csl_tls_ctx_free(s->bob);
}

static void drop(struct end *e) {
    if (e->conn != NULL) {
        csl_conn_set_callbacks(e->conn, NULL, NULL);
        csl_conn_close(e->conn, CSL_OK, NULL);
        e->conn = NULL;
    }
}

static void dial(struct site *s, struct end *e, struct csl_tls_ctx *ctx) {
    memset(e, 0, sizeof *e);
    assert_int_equal(csl_conn_dial(&e->conn, &s->loop.uv, "127.0.0.1", csl_listener_port(s->listener), ctx,
                                   &s->opt, &callbacks, e, NULL),
                     CSL_OK);
}

static void run(struct site *s, bool (*done)(void *), void *arg) {
    enum csl_err err = csl_loop_run_until(&s->loop, done, arg, LONG_MS);
    assert_int_equal(err, CSL_OK);
}

static bool is_open(void *arg) {
    const struct end *e = arg;
    if (e->closed) {
        fail_msg("closed: %s", e->why.text);
    }
    return e->open;
}

static bool is_closed(void *arg) {
    return ((struct end *)arg)->closed;
}

static bool has_guest(void *arg) {
    return ((struct site *)arg)->n_in != 0;
}

static bool has_failed(void *arg) {
    return ((struct site *)arg)->failed != 0;
}

/* alice dials bob: a is alice's end, s->in[0] bob's. */
static void connect_both(struct site *s, struct end *a) {
    dial(s, a, s->alice);
    run(s, is_open, a);
    run(s, has_guest, s);
}

static void assert_says(const struct csl_diag *d, const char *words) {
    if (strstr(d->text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", d->text, words);
    }
}

/* ---- sockets that are no csl_conn ---- */

static int raw_socket(const struct site *s) {
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(csl_listener_port(s->listener))};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* A TLS client by hand, so that the test decides when a byte moves. */
struct hand {
    struct csl_tls *tls;
    int fd;
    struct site *site;
};

static void hand_init(struct hand *h, struct site *s) {
    h->site = s;
    h->fd = raw_socket(s);
    assert_int_equal(csl_tls_new(&h->tls, s->alice, false, NULL), CSL_OK);
}

/* Sends at most n bytes of what TLS has to say; the number sent. */
static size_t hand_send(struct hand *h, size_t n) {
    size_t have;
    const uint8_t *out = csl_tls_out(h->tls, &have);
    n = n < have ? n : have;
    ssize_t r = n != 0 ? send(h->fd, out, n, MSG_NOSIGNAL) : 0;
    if (r > 0) {
        csl_tls_out_consume(h->tls, (size_t)r);
    }
    return r > 0 ? (size_t)r : 0;
}

/* A byte out, a byte in. */
static bool hand_shake(void *arg) {
    struct hand *h = arg;
    uint8_t b;
    bool done;
    size_t taken;
    (void)hand_send(h, 1);
    if (recv(h->fd, &b, 1, MSG_DONTWAIT) == 1) {
        csl_tls_feed(h->tls, &b, 1, &taken);
    }
    assert_int_equal(csl_tls_handshake(h->tls, &done, NULL), CSL_OK);
    (void)uv_run(&h->site->loop.uv, UV_RUN_NOWAIT);
    return done && h->site->n_in != 0;
}

static void hand_connect(struct hand *h) {
    while (!hand_shake(h)) {
    }
}

static void hand_clear(struct hand *h) {
    csl_tls_free(h->tls);
    (void)close(h->fd);
}

static void hand_frame(struct hand *h, unsigned type, uint32_t seq, uint32_t n, uint32_t sent) {
    uint8_t frame[CSL_FRAME_HEADER_BYTES + 200] = {0};
    struct csl_frame_header head = {.n = n, .type = (uint8_t)type, .seq = seq};
    assert_true(sent <= 200);
    csl_frame_encode_header(frame, &head);
    assert_int_equal(csl_tls_write(h->tls, frame, CSL_FRAME_HEADER_BYTES + sent, NULL), CSL_OK);
}

/* ---- good ---- */

static void echo(struct end *e, const struct csl_frame_header *h, const uint8_t *payload) {
    assert_int_equal(csl_conn_send(e->conn, (enum csl_frame_type)h->type, h->seq, payload, h->n), CSL_OK);
}

static bool has_200(void *arg) {
    return ((struct end *)arg)->frames == 200;
}

static void frames_go_both_ways(void **state) {
    (void)state;
    struct site s;
    struct end a;
    site_init(&s);
    connect_both(&s, &a);
    assert_string_equal(csl_conn_peer_name(a.conn), "bob");
    assert_string_equal(csl_conn_peer_name(s.in[0].conn), "alice");
    uint8_t spki[CSL_SPKI_BYTES];
    assert_int_equal(csl_cert_spki(spki, csl_conn_peer_cert(a.conn)), CSL_OK);
    assert_memory_equal(spki, csl_conn_peer_spki(a.conn), sizeof spki);
    uint8_t *big = test_calloc(1, 300000), *direct = test_calloc(1, 300000);
    s.in[0].then = echo;
    s.in[0].direct = direct;
    uint64_t sent = 0;
    for (uint32_t i = 0; i < 200; i++) {
        size_t n = i % 10 == 0 ? 0 : i % 10 == 5 ? 100000 + i : i * 3;
        big[n] = (uint8_t)i;
        sent += n;
        assert_int_equal(csl_conn_send(a.conn, CSL_FRAME_DATA, i, big, n), CSL_OK);
    }
    run(&s, has_200, &a);
    assert_false(a.disorder || s.in[0].disorder);
    assert_true(a.bytes == sent && s.in[0].bytes == sent);
    const struct csl_conn_counters *c = csl_conn_counters(a.conn);
    assert_true(c->frames_sent == 200 && c->bytes_sent == sent + 200 * CSL_FRAME_HEADER_BYTES);
    assert_true(c->frames_received == 200 && c->bytes_received == c->bytes_sent);
    csl_conn_shutdown(a.conn);
    run(&s, is_closed, &a);
    run(&s, is_closed, &s.in[0]);
    assert_int_equal(a.err, CSL_OK);
    assert_int_equal(s.in[0].err, CSL_OK); /* after a BYE */
    test_free(big);
    test_free(direct);
    site_clear(&s);
}

static bool one_frame(void *arg) {
    struct end *e = arg;
    return e->frames == 1 || e->closed;
}

/* Handshake and frames a byte at a time. */
static void one_byte_fragments(void **state) {
    (void)state;
    struct site s;
    struct hand h;
    site_init(&s);
    hand_init(&h, &s);
    hand_connect(&h);
    hand_frame(&h, CSL_FRAME_DATA, 0, 100, 100);
    while (hand_send(&h, 1) != 0) {
        (void)uv_run(&s.loop.uv, UV_RUN_NOWAIT);
    }
    run(&s, one_frame, &s.in[0]);
    assert_true(s.in[0].frames == 1 && s.in[0].last.n == 100);
    hand_clear(&h);
    run(&s, is_closed, &s.in[0]);
    assert_int_equal(s.in[0].err, CSL_EPEER); /* no goodbye */
    assert_says(&s.in[0].why, "alice (127.0.0.1:");
    assert_says(&s.in[0].why, "cut off");
    site_clear(&s);
}

/* ---- refused ---- */

static enum csl_err refuse(void *arg, const char *name, const uint8_t spki[32], X509 *cert,
                           struct csl_diag *diag) {
    (void)arg, (void)spki, (void)cert;
    return csl_fail(diag, CSL_EPERM, "%s is not in the roster", name);
}

static void keep_abort(struct end *e, const struct csl_frame_header *h, const uint8_t *payload) {
    assert_int_equal(h->type, CSL_FRAME_ABORT);
    assert_int_equal(csl_abort_decode(e->extra, payload, h->n), CSL_EPERM);
}

static void refused_by_the_roster(void **state) {
    (void)state;
    struct site s;
    struct end a;
    struct csl_diag reason;
    struct csl_listener_options opt;
    site_options(&s, &opt);
    opt.conn.verify = refuse;
    site_listen(&s, &opt);
    dial(&s, &a, s.alice);
    a.then = keep_abort;
    a.extra = &reason;
    run(&s, is_closed, &a);
    run(&s, has_failed, &s);
    assert_int_equal(s.n_in, 0);
    assert_int_equal(s.fail_err, CSL_EPERM);
    assert_says(&s.fail_why, "alice is not in the roster");
    assert_int_equal(a.frames, 1);
    assert_says(&reason, "not accepted here");
    site_clear(&s);
}

static void another_party_answers(void **state) {
    (void)state;
    struct site s;
    struct end a;
    site_init(&s);
    s.opt.expect_name = "carol";
    dial(&s, &a, s.alice);
    run(&s, is_closed, &a);
    assert_false(a.open);
    assert_int_equal(a.err, CSL_EAUTH);
    assert_says(&a.why, "expected carol here, but the certificate says bob");
    site_clear(&s);
}

static void bad_certificates_over_sockets(void **state) {
    (void)state;
    struct site s;
    struct end a;
    struct test_ca other = test_ca_new("Other CA");
    struct test_cert old = test_cert_new(&ca, "alice", NULL, -7200, -3600);
    struct test_cert foreign = test_cert_new(&other, "alice", NULL, -3600, 3600);
    struct csl_tls_ctx *ctx[2] = {test_tls_ctx(&old, &ca), test_tls_ctx(&foreign, &ca)};
    const char *client_says[2] = {"as expired", "does not know the CA"};
    const char *server_says[2] = {"expired at", "not issued by our CA"};
    site_init(&s);
    for (int i = 0; i < 2; i++) {
        s.failed = 0;
        dial(&s, &a, ctx[i]);
        run(&s, is_closed, &a);
        run(&s, has_failed, &s);
        assert_int_equal(s.fail_err, CSL_EAUTH);
        assert_says(&s.fail_why, server_says[i]);
        assert_int_equal(a.err, CSL_EAUTH);
        assert_says(&a.why, client_says[i]);
        csl_tls_ctx_free(ctx[i]);
    }
    assert_int_equal(s.n_in, 0);
    /* the listener lives: a good one gets in */
    connect_both(&s, &a);
    drop(&a);
    test_cert_free(&old);
    test_cert_free(&foreign);
    test_ca_free(&other);
    site_clear(&s);
}

static void renewed_certificate(void **state) {
    (void)state;
    struct site s;
    struct end a, b;
    site_init(&s);
    connect_both(&s, &a);
    struct csl_tls_ctx *renewed = test_site(&ca, "bob-2");
    csl_listener_set_ctx(s.listener, renewed);
    csl_tls_ctx_free(renewed);
    dial(&s, &b, s.alice);
    run(&s, is_open, &b);
    assert_string_equal(csl_conn_peer_name(b.conn), "bob-2");
    assert_string_equal(csl_conn_peer_name(a.conn), "bob");
    assert_true(csl_conn_is_open(a.conn));
    drop(&a);
    drop(&b);
    site_clear(&s);
}

static void nobody_there(void **state) {
    (void)state;
    struct site s;
    struct end a = {0};
    site_init(&s);
    uint16_t port = csl_listener_port(s.listener);
    csl_listener_close(s.listener);
    s.listener = NULL;
    assert_int_equal(
        csl_conn_dial(&a.conn, &s.loop.uv, "127.0.0.1", port, s.alice, &s.opt, &callbacks, &a, NULL), CSL_OK);
    run(&s, is_closed, &a);
    assert_int_equal(a.err, CSL_EUNAVAILABLE);
    assert_says(&a.why, "refused");
    a = (struct end){0};
    assert_int_equal(
        csl_conn_dial(&a.conn, &s.loop.uv, "no such host", port, s.alice, &s.opt, &callbacks, &a, NULL),
        CSL_OK);
    run(&s, is_closed, &a);
    assert_int_equal(a.err, CSL_ENOHOST);
    assert_says(&a.why, "no such host");
    assert_says(&a.why, "host name");
    site_clear(&s);
}

static void http_client_and_server(void **state) {
    (void)state;
    struct site s;
    site_init(&s);
    int fd = raw_socket(&s);
    assert_int_equal(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    run(&s, has_failed, &s);
    assert_int_equal(s.fail_err, CSL_EPROTO);
    assert_says(&s.fail_why, "speaks HTTP");
    (void)close(fd);
    site_clear(&s);
}

/* ---- wire ---- */

/* hand sends one frame; bob's end closes with this error. */
static void bad_frame(unsigned type, uint32_t n, uint32_t sent, bool reset, enum csl_err err,
                      const char *says) {
    struct site s;
    struct hand h;
    site_init(&s);
    hand_init(&h, &s);
    hand_connect(&h);
    hand_frame(&h, type, 0, n, sent);
    while (hand_send(&h, 1000) != 0) {
    }
    if (reset) {
        struct linger hard = {.l_onoff = 1, .l_linger = 0};
        (void)uv_run(&s.loop.uv, UV_RUN_NOWAIT);
        assert_int_equal(setsockopt(h.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
        (void)close(h.fd);
        h.fd = -1;
    }
    run(&s, is_closed, &s.in[0]);
    assert_int_equal(s.in[0].err, err);
    assert_int_equal(s.in[0].frames, 0);
    assert_says(&s.in[0].why, says);
    assert_says(&s.in[0].why, "alice");
    csl_tls_free(h.tls);
    if (h.fd >= 0) {
        (void)close(h.fd);
    }
    site_clear(&s);
}

static void bad_frames(void **state) {
    (void)state;
    bad_frame(CSL_FRAME_DATA, DATA_MAX + 1, 10, false, CSL_EPROTO, "4194305 bytes");
    bad_frame(99, 0, 0, false, CSL_EPROTO, "unknown type 99");
    bad_frame(CSL_FRAME_PING, 1, 1, false, CSL_EPROTO, "PING");
    bad_frame(CSL_FRAME_DATA, 1000, 100, true, CSL_EPEER, "reset");
}

static void reflected_bytes(void **state) {
    (void)state;
    struct site s;
    struct hand h;
    uint8_t buf[4096];
    ssize_t n = 0;
    site_init(&s);
    hand_init(&h, &s);
    hand_connect(&h);
    while (recv(h.fd, buf, sizeof buf, 0) > 0) {
    }
    assert_int_equal(csl_conn_send(s.in[0].conn, CSL_FRAME_DATA, 0, buf, 50), CSL_OK);
    while ((n = recv(h.fd, buf, sizeof buf, 0)) <= 0) {
    }
    assert_int_equal(send(h.fd, buf, (size_t)n, MSG_NOSIGNAL), n);
    run(&s, is_closed, &s.in[0]);
    assert_int_equal(s.in[0].err, CSL_EPROTO);
    assert_says(&s.in[0].why, "does not authenticate");
    hand_clear(&h);
    site_clear(&s);
}

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
    run(&s, trickle, &h);
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
    int fd = raw_socket(&s);
    run(&s, has_failed, &s);
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
    run(&s, is_closed, &s.in[0]);
    assert_int_equal(s.in[0].err, CSL_ETIMEOUT);
    assert_says(&s.in[0].why, "nothing heard for");
    hand_clear(&h);

    s.n_in = 0;
    memset(s.in, 0, sizeof s.in);
    hand_init(&h, &s);
    hand_connect(&h);
    csl_conn_set_heartbeat(s.in[0].conn, 10, 50);
    run(&s, is_closed, &s.in[0]);
    assert_int_equal(s.in[0].err, CSL_ETIMEOUT);
    assert_says(&s.in[0].why, "no answer for");
    hand_clear(&h);

    /* a live peer that sends nothing of its own answers, so that neither deadline strikes */
    s.n_in = 0;
    memset(s.in, 0, sizeof s.in);
    connect_both(&s, &a);
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
    drop(&a);
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
    run(&s, is_closed, &s.in[0]);
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
        fd[i] = raw_socket(&s);
    }
    dial(&s, &a, s.alice); /* the last in the queue gets in all the same */
    run(&s, is_open, &a);
    run(&s, has_guest, &s);
    csl_listener_stats(s.listener, &st);
    assert_true(st.pending <= 4);
    assert_true(st.evicted >= FLOOD - 4);
    assert_true(st.opened == 1 && st.pauses != 0);
    for (int i = 0; i < FLOOD; i++) {
        (void)close(fd[i]);
    }
    drop(&a);
    site_clear(&s);
}

/* In a child, since the limit is the process's. */
static int exhaust_descriptors(void) {
    struct site s;
    struct end a;
    struct csl_listener_stats st;
    struct rlimit lim;
    site_init(&s);
    int peer = raw_socket(&s); /* waits in the backlog */
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
    dial(&s, &a, s.alice);
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
    const struct csl_listener_callbacks cb = {on_conn, on_failed};
    site_init(&s);
    csl_listener_options_init(&opt);
    opt.bind_address = "127.0.0.1";
    opt.port = csl_listener_port(s.listener);
    assert_int_equal(csl_listener_new(&second, &s.loop.uv, s.bob, &opt, &cb, &s, &diag), CSL_EUNAVAILABLE);
    assert_says(&diag, "in use");
    opt.bind_address = "192.0.2.1";
    opt.port = 0;
    assert_int_equal(csl_listener_new(&second, &s.loop.uv, s.bob, &opt, &cb, &s, &diag), CSL_ECONFIG);
    assert_says(&diag, "192.0.2.1 is not an address of this machine");
    site_clear(&s);
}

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
    connect_both(&s, &a);
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
    run(&s, has_some, &s.in[0]);
    assert_false(s.in[0].disorder);
    drop(&a);
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
    m->end.then = echo;
    if (csl_conn_attach(&m->end.conn, &loop.uv, m->parts, NULL, &callbacks, &m->end, NULL) != CSL_OK) {
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
    connect_both(&s, &a);
    s.in[0].then = detach_in_frame;
    s.in[0].extra = &m;
    for (uint32_t i = 0; i < MOVED_FRAMES; i++) { /* far more than fits in one read */
        assert_int_equal(csl_conn_send(a.conn, CSL_FRAME_DATA, i, payload, i % 300), CSL_OK);
    }
    run(&s, is_moved, &m);
    m.end.next_seq = s.in[0].next_seq;
    assert_int_equal(m.end.next_seq, 778);
    assert_string_equal(csl_conn_parts_peer_name(m.parts), "alice");
    assert_int_equal(pthread_create(&t, NULL, lane_main, &m), 0);
    run(&s, has_all, &a);
    assert_int_equal(a.next_seq, MOVED_FRAMES);
    assert_false(a.disorder);
    run(&s, is_closed, &a);
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
        assert_int_equal(csl_conn_attach(&e.conn, &s.loop.uv, parts, NULL, &callbacks, &e, NULL), CSL_OK);
        uint8_t got[40] = {0};
        e.direct = part < CSL_FRAME_HEADER_BYTES ? got : NULL;
        assert_int_equal(csl_tls_write(h.tls, frame + part, sizeof frame - part, NULL), CSL_OK);
        while (hand_send(&h, 1000) != 0) {
        }
        run(&s, one_frame, &e);
        assert_int_equal(e.frames, 1);
        assert_int_equal(e.last.n, 40);
        drop(&e);
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
        cmocka_unit_test(no_descriptors_left), /* first: it forks, and the others start threads */
        cmocka_unit_test(frames_go_both_ways),
        cmocka_unit_test(one_byte_fragments),
        cmocka_unit_test(refused_by_the_roster),
        cmocka_unit_test(another_party_answers),
        cmocka_unit_test(bad_certificates_over_sockets),
        cmocka_unit_test(renewed_certificate),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(http_client_and_server),
        cmocka_unit_test(bad_frames),
        cmocka_unit_test(reflected_bytes),
        cmocka_unit_test(slow_handshake),
        cmocka_unit_test(silent_connection),
        cmocka_unit_test(idle_and_heartbeat),
        cmocka_unit_test(deaf_peer),
        cmocka_unit_test(ping_flood),
        cmocka_unit_test(flood_over_the_limit),
        cmocka_unit_test(port_in_use),
        cmocka_unit_test(paused_reading),
        cmocka_unit_test(moves_with_frames_in_flight),
        cmocka_unit_test(moves_with_half_a_frame),
        cmocka_unit_test(waiting_has_an_end),
        cmocka_unit_test(a_timer_ends_the_waiting),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
