/* Connections over loopback sockets: what goes well, who is refused, and what must not be on the wire. */
#include "conn_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- good ---- */

static bool has_200(void *arg) {
    return ((struct end *)arg)->frames == 200;
}

static void frames_go_both_ways(void **state) {
    (void)state;
    struct site s;
    struct end a;
    site_init(&s);
    site_connect(&s, &a);
    assert_string_equal(csl_conn_peer_name(a.conn), "bob");
    assert_string_equal(csl_conn_peer_name(s.in[0].conn), "alice");
    uint8_t spki[CSL_SPKI_BYTES];
    assert_int_equal(csl_cert_spki(spki, csl_conn_peer_cert(a.conn)), CSL_OK);
    assert_memory_equal(spki, csl_conn_peer_spki(a.conn), sizeof spki);
    uint8_t *big = test_calloc(1, 300000), *direct = test_calloc(1, 300000);
    s.in[0].then = end_echo;
    s.in[0].direct = direct;
    uint64_t sent = 0;
    for (uint32_t i = 0; i < 200; i++) {
        size_t n = i % 10 == 0 ? 0 : i % 10 == 5 ? 100000 + i : i * 3;
        big[n] = (uint8_t)i;
        sent += n;
        assert_int_equal(csl_conn_send(a.conn, CSL_FRAME_DATA, i, big, n), CSL_OK);
    }
    site_run(&s, has_200, &a);
    assert_false(a.disorder || s.in[0].disorder);
    assert_true(a.bytes == sent && s.in[0].bytes == sent);
    const struct csl_conn_counters *c = csl_conn_counters(a.conn);
    assert_true(c->frames_sent == 200 && c->bytes_sent == sent + 200 * CSL_FRAME_HEADER_BYTES);
    assert_true(c->frames_received == 200 && c->bytes_received == c->bytes_sent);
    csl_conn_shutdown(a.conn);
    site_run(&s, end_is_closed, &a);
    site_run(&s, end_is_closed, &s.in[0]);
    assert_int_equal(a.err, CSL_OK);
    assert_int_equal(s.in[0].err, CSL_OK); /* after a BYE */
    test_free(big);
    test_free(direct);
    site_clear(&s);
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
    site_run(&s, end_has_one_frame, &s.in[0]);
    assert_true(s.in[0].frames == 1 && s.in[0].last.n == 100);
    hand_clear(&h);
    site_run(&s, end_is_closed, &s.in[0]);
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
    site_dial(&s, &a, s.alice);
    a.then = keep_abort;
    a.extra = &reason;
    site_run(&s, end_is_closed, &a);
    site_run(&s, site_has_failed, &s);
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
    site_dial(&s, &a, s.alice);
    site_run(&s, end_is_closed, &a);
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
    struct test_cert old = test_cert_new(&conn_ca, "alice", NULL, -7200, -3600);
    struct test_cert foreign = test_cert_new(&other, "alice", NULL, -3600, 3600);
    struct csl_tls_ctx *ctx[2] = {test_tls_ctx(&old, &conn_ca), test_tls_ctx(&foreign, &conn_ca)};
    const char *client_says[2] = {"as expired", "does not know the CA"};
    const char *server_says[2] = {"expired at", "not issued by our CA"};
    site_init(&s);
    for (int i = 0; i < 2; i++) {
        s.failed = 0;
        site_dial(&s, &a, ctx[i]);
        site_run(&s, end_is_closed, &a);
        site_run(&s, site_has_failed, &s);
        assert_int_equal(s.fail_err, CSL_EAUTH);
        assert_says(&s.fail_why, server_says[i]);
        assert_int_equal(a.err, CSL_EAUTH);
        assert_says(&a.why, client_says[i]);
        csl_tls_ctx_free(ctx[i]);
    }
    assert_int_equal(s.n_in, 0);
    /* the listener lives: a good one gets in */
    site_connect(&s, &a);
    end_drop(&a);
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
    site_connect(&s, &a);
    struct csl_tls_ctx *renewed = test_site(&conn_ca, "bob-2");
    csl_listener_set_ctx(s.listener, renewed);
    csl_tls_ctx_free(renewed);
    site_dial(&s, &b, s.alice);
    site_run(&s, end_is_open, &b);
    assert_string_equal(csl_conn_peer_name(b.conn), "bob-2");
    assert_string_equal(csl_conn_peer_name(a.conn), "bob");
    assert_true(csl_conn_is_open(a.conn));
    end_drop(&a);
    end_drop(&b);
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
        csl_conn_dial(&a.conn, &s.loop.uv, "127.0.0.1", port, s.alice, &s.opt, &end_callbacks, &a, NULL),
        CSL_OK);
    site_run(&s, end_is_closed, &a);
    assert_int_equal(a.err, CSL_EUNAVAILABLE);
    assert_says(&a.why, "refused");
    a = (struct end){0};
    assert_int_equal(
        csl_conn_dial(&a.conn, &s.loop.uv, "no such host", port, s.alice, &s.opt, &end_callbacks, &a, NULL),
        CSL_OK);
    site_run(&s, end_is_closed, &a);
    assert_int_equal(a.err, CSL_ENOHOST);
    assert_says(&a.why, "no such host");
    assert_says(&a.why, "host name");
    site_clear(&s);
}

static void http_client_and_server(void **state) {
    (void)state;
    struct site s;
    site_init(&s);
    int fd = site_raw_socket(&s);
    assert_int_equal(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    site_run(&s, site_has_failed, &s);
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
    site_run(&s, end_is_closed, &s.in[0]);
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
    site_run(&s, end_is_closed, &s.in[0]);
    assert_int_equal(s.in[0].err, CSL_EPROTO);
    assert_says(&s.in[0].why, "does not authenticate");
    hand_clear(&h);
    site_clear(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, conn_setup, conn_teardown);
}
