/* TLS client and server meet in memory. */
#include "test_certs.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

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

struct pair {
    struct csl_tls *end[2]; /* 0 the client, 1 the server */
    enum csl_err err[2];
    struct csl_diag diag[2];
    bool done[2];
};

static void pair_init(struct pair *p, struct csl_tls_ctx *client, struct csl_tls_ctx *server) {
    memset(p, 0, sizeof *p);
    assert_int_equal(csl_tls_new(&p->end[0], client, false, NULL), CSL_OK);
    assert_int_equal(csl_tls_new(&p->end[1], server, true, NULL), CSL_OK);
}

static void pair_clear(struct pair *p) {
    csl_tls_free(p->end[0]);
    csl_tls_free(p->end[1]);
}

/* One step of an end: handshake, then reads, so that an error of either kind is seen. */
static void step(struct pair *p, int i) {
    uint8_t buf[64];
    size_t n;
    if (p->err[i] != CSL_OK) {
        return;
    }
    p->err[i] = csl_tls_handshake(p->end[i], &p->done[i], &p->diag[i]);
    if (p->err[i] == CSL_OK && p->done[i]) {
        p->err[i] = csl_tls_read(p->end[i], buf, sizeof buf, &n, &p->diag[i]);
    }
}

/* Moves at most max bytes a time from i to the other, at most total in all; the number moved. */
static size_t move(struct pair *p, int i, size_t max, size_t total) {
    size_t moved = 0, n;
    const uint8_t *out = csl_tls_out(p->end[i], &n);
    while (n != 0 && moved < total) {
        size_t taken, want = n < max ? n : max;
        want = want < total - moved ? want : total - moved;
        csl_tls_feed(p->end[1 - i], out, want, &taken);
        csl_tls_out_consume(p->end[i], taken);
        moved += taken;
        step(p, 1 - i);
        if (taken == 0) {
            break;
        }
        out = csl_tls_out(p->end[i], &n);
    }
    return moved;
}

static void meet(struct pair *p, size_t max) {
    step(p, 0);
    while (move(p, 0, max, SIZE_MAX) + move(p, 1, max, SIZE_MAX) != 0) {
    }
}

static void meets_in_pieces(void **state) {
    (void)state;
    struct csl_tls_ctx *a = test_site(&ca, "alice"), *b = test_site(&ca, "bob");
    const size_t sizes[] = {1, 2, 7, 100, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct pair p;
        pair_init(&p, a, b);
        meet(&p, sizes[i]);
        assert_true(p.done[0] && p.done[1]);
        assert_int_equal(p.err[0], CSL_OK);
        assert_int_equal(p.err[1], CSL_OK);
        assert_string_equal(csl_tls_peer_name(p.end[0]), "bob");
        assert_string_equal(csl_tls_peer_name(p.end[1]), "alice");
        uint8_t spki[CSL_SPKI_BYTES], want[CSL_SPKI_BYTES];
        csl_tls_peer_spki_sha256(p.end[0], spki);
        assert_int_equal(csl_cert_spki(want, csl_tls_peer_cert(p.end[0])), CSL_OK);
        assert_memory_equal(spki, want, sizeof spki);
        assert_non_null(strstr(csl_tls_cipher(p.end[0]), "TLS_"));
        assert_true(csl_tls_peer_not_after(p.end[0]) == csl_tls_ctx_not_after(b));
        pair_clear(&p);
    }
    csl_tls_ctx_free(a);
    csl_tls_ctx_free(b);
}

static void carries_data_both_ways(void **state) {
    (void)state;
    enum { BYTES = 300000 };
    struct csl_tls_ctx *a = test_site(&ca, "alice"), *b = test_site(&ca, "bob");
    struct pair p;
    uint8_t *sent = test_malloc(BYTES), *got = test_malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++) {
        sent[i] = (uint8_t)(i * 31 + (i >> 8));
    }
    pair_init(&p, a, b);
    meet(&p, SIZE_MAX);
    for (int from = 0; from < 2; from++) {
        size_t have = 0, n;
        assert_int_equal(csl_tls_write(p.end[from], sent, BYTES, NULL), CSL_OK);
        memset(got, 0, BYTES);
        while (have < BYTES) {
            const uint8_t *out = csl_tls_out(p.end[from], &n);
            size_t taken;
            csl_tls_feed(p.end[1 - from], out, n, &taken);
            csl_tls_out_consume(p.end[from], taken);
            do {
                assert_int_equal(csl_tls_read(p.end[1 - from], got + have, BYTES - have, &n, NULL), CSL_OK);
                have += n;
            } while (n != 0);
        }
        assert_memory_equal(sent, got, BYTES);
    }
    csl_tls_shutdown(p.end[0]);
    (void)move(&p, 0, SIZE_MAX, SIZE_MAX);
    assert_true(csl_tls_peer_closed(p.end[1]));
    assert_int_equal(p.err[1], CSL_OK);
    pair_clear(&p);
    test_free(sent);
    test_free(got);
    csl_tls_ctx_free(a);
    csl_tls_ctx_free(b);
}

/* Cut off after every number of bytes in either direction: an error, or still waiting; never done on both. */
static void truncated_at_each_point(void **state) {
    (void)state;
    struct csl_tls_ctx *a = test_site(&ca, "alice"), *b = test_site(&ca, "bob");
    for (int cut = 0; cut < 2; cut++) {
        bool whole = false;
        for (size_t at = 0; !whole; at += at < 16 ? 1 : 37) {
            struct pair p;
            pair_init(&p, a, b);
            step(&p, 0);
            size_t left = at, moved;
            do {
                moved = move(&p, 1 - cut, SIZE_MAX, SIZE_MAX);
                size_t n = move(&p, cut, SIZE_MAX, left);
                left -= n;
                moved += n;
            } while (moved != 0);
            whole = p.done[0] && p.done[1];
            if (!whole) {
                csl_tls_in_eof(p.end[1 - cut]);
                step(&p, 1 - cut);
                assert_int_equal(p.err[1 - cut], CSL_EPEER);
                assert_true(strlen(p.diag[1 - cut].text) > 10);
            }
            pair_clear(&p);
        }
    }
    csl_tls_ctx_free(a);
    csl_tls_ctx_free(b);
}

/* client's and server's certificates meet; the expected errors and words of each. */
static void refused(struct csl_tls_ctx *client, struct csl_tls_ctx *server, enum csl_err client_err,
                    const char *client_says, enum csl_err server_err, const char *server_says) {
    struct pair p;
    pair_init(&p, client, server);
    meet(&p, SIZE_MAX);
    const char *says[2] = {client_says, server_says};
    enum csl_err want[2] = {client_err, server_err};
    for (int i = 0; i < 2; i++) {
        if (p.err[i] != want[i] || (says[i] != NULL && strstr(p.diag[i].text, says[i]) == NULL)) {
            fail_msg("end %d: %s: '%s', expected %s: '%s'", i, csl_err_name(p.err[i]), p.diag[i].text,
                     csl_err_name(want[i]), says[i] != NULL ? says[i] : "");
        }
    }
    assert_false(p.done[1]);
    pair_clear(&p);
}

static void wrong_ca(void **state) {
    (void)state;
    struct test_ca other = test_ca_new("Other CA"), twin = test_ca_new("Test CA");
    struct test_cert c = test_cert_new(&other, "alice", NULL, -3600, 3600);
    struct test_cert t = test_cert_new(&twin, "alice", NULL, -3600, 3600);
    struct csl_tls_ctx *alice = test_tls_ctx(&c, &ca), *alice2 = test_tls_ctx(&t, &ca);
    struct csl_tls_ctx *bob = test_site(&ca, "bob"), *stranger = test_site(&other, "bob");
    refused(alice, bob, CSL_EAUTH, "does not know the CA", CSL_EAUTH,
            "the certificate of alice was not issued by our CA");
    refused(alice2, bob, CSL_EAUTH, "the peer refused our certificate", CSL_EAUTH,
            "the certificate of alice was not issued by our CA");
    struct csl_tls_ctx *good = test_site(&ca, "alice");
    refused(good, stranger, CSL_EAUTH, "the certificate of bob was not issued by our CA", CSL_EAUTH,
            "does not know the CA");
    csl_tls_ctx_free(good);
    csl_tls_ctx_free(alice);
    csl_tls_ctx_free(alice2);
    csl_tls_ctx_free(bob);
    csl_tls_ctx_free(stranger);
    test_cert_free(&c);
    test_cert_free(&t);
    test_ca_free(&other);
    test_ca_free(&twin);
}

static void out_of_date(void **state) {
    (void)state;
    struct csl_tls_ctx *bob = test_site(&ca, "bob");
    struct test_cert old = test_cert_new(&ca, "alice", NULL, -7200, -3600);
    struct test_cert young = test_cert_new(&ca, "alice", NULL, 3600, 7200);
    struct csl_tls_ctx *a = test_tls_ctx(&old, &ca), *b = test_tls_ctx(&young, &ca);
    refused(a, bob, CSL_EAUTH, "as expired", CSL_EAUTH, "the certificate of alice expired at");
    refused(bob, a, CSL_EAUTH, "our clock says", CSL_EAUTH, "as expired");
    refused(b, bob, CSL_EAUTH, "compare the clocks", CSL_EAUTH, "is not valid before");
    refused(bob, b, CSL_EAUTH, "check the clocks", CSL_EAUTH, "compare the clocks");
    csl_tls_ctx_free(a);
    csl_tls_ctx_free(b);
    csl_tls_ctx_free(bob);
    test_cert_free(&old);
    test_cert_free(&young);
}

static void names_that_are_none(void **state) {
    (void)state;
    const char *const uris[] = {"DNS:alice", "URI:consilium:site:", "URI:consilium:site:Al ice",
                                "URI:consilium:site:a,URI:consilium:site:b", "URI:http://alice"};
    struct csl_tls_ctx *bob = test_site(&ca, "bob");
    for (size_t i = 0; i < sizeof uris / sizeof *uris; i++) {
        struct test_cert c = test_cert_new(&ca, "alice", uris[i], -3600, 3600);
        struct csl_tls_ctx *alice = test_tls_ctx(&c, &ca);
        refused(alice, bob, CSL_OK, NULL, CSL_EAUTH, "the peer's certificate");
        csl_tls_ctx_free(alice);
        test_cert_free(&c);
    }
    csl_tls_ctx_free(bob);
}

/* An ordinary OpenSSL end of the given version, with or without a certificate, against ours. */
static void meet_openssl(int version, bool with_cert, bool ours_is_server, struct csl_diag *diag,
                         enum csl_err *err, bool *done) {
    struct csl_tls_ctx *bob = test_site(&ca, "bob");
    struct test_cert c = test_cert_new(&ca, "alice", NULL, -3600, 3600);
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
    if (with_cert) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, c.cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, c.key), 1);
    }
    SSL *ssl = SSL_new(ctx);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    ours_is_server ? SSL_set_connect_state(ssl) : SSL_set_accept_state(ssl);
    struct csl_tls *tls;
    assert_int_equal(csl_tls_new(&tls, bob, ours_is_server, NULL), CSL_OK);
    *err = CSL_OK;
    for (int turn = 0; turn < 6 && *err == CSL_OK; turn++) {
        uint8_t buf[8192];
        size_t n, taken;
        *err = csl_tls_handshake(tls, done, diag);
        const uint8_t *out = csl_tls_out(tls, &n);
        if (n != 0) {
            assert_int_equal(BIO_write(SSL_get_rbio(ssl), out, (int)n), n);
            csl_tls_out_consume(tls, n);
        }
        (void)SSL_do_handshake(ssl);
        int got = BIO_read(SSL_get_wbio(ssl), buf, sizeof buf);
        csl_tls_feed(tls, buf, got > 0 ? (size_t)got : 0, &taken);
    }
    csl_tls_free(tls);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    test_cert_free(&c);
    csl_tls_ctx_free(bob);
}

static void old_versions_and_no_certificate(void **state) {
    (void)state;
    struct csl_diag diag;
    enum csl_err err;
    bool done;
    meet_openssl(TLS1_3_VERSION, true, true, &diag, &err, &done);
    assert_int_equal(err, CSL_OK); /* the bench itself works */
    assert_true(done);
    meet_openssl(TLS1_3_VERSION, false, true, &diag, &err, &done);
    assert_int_equal(err, CSL_EAUTH);
    assert_non_null(strstr(diag.text, "sent no certificate"));
    assert_false(done);
    meet_openssl(TLS1_2_VERSION, true, true, &diag, &err, &done);
    assert_int_equal(err, CSL_EPROTO);
    assert_non_null(strstr(diag.text, "does not offer TLS 1.3"));
    meet_openssl(TLS1_2_VERSION, true, false, &diag, &err, &done);
    assert_int_equal(err, CSL_EPROTO);
    assert_non_null(strstr(diag.text, "does not offer TLS 1.3"));
}

/* Bytes that are no TLS, to a client and to a server. */
static void no_tls(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *says;
        int is_server; /* 2: both */
    } cases[] = {{"GET / HTTP/1.1\r\n\r\n", "speaks HTTP", 1},
                 {"POST /x HTTP/1.1\r\n\r\n", "speaks HTTP", 1},
                 {"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP", 2},
                 {"SSH-2.0-OpenSSH_9.2\r\n", "speaks SSH", 2},
                 {"\x01\x02\x03\x04\x05\x06\x07", "does not speak TLS", 2},
                 {"\x16\x03\x01\xff\xff\x01\x02\x03\x04\x05\x06", "TLS", 2},
                 {"\x16\x03\x03\x01\x05zzzzzzzzzzzz", "", 2}};
    struct csl_tls_ctx *bob = test_site(&ca, "bob");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int server = 0; server < 2; server++) {
            struct csl_tls *tls;
            struct csl_diag diag;
            bool done;
            size_t taken;
            if (cases[i].is_server == 1 && !server) {
                continue;
            }
            assert_int_equal(csl_tls_new(&tls, bob, server, NULL), CSL_OK);
            csl_tls_feed(tls, (const uint8_t *)cases[i].bytes, strlen(cases[i].bytes), &taken);
            enum csl_err err = csl_tls_handshake(tls, &done, &diag);
            if (err == CSL_OK) { /* a record that announces more than came */
                csl_tls_in_eof(tls);
                err = csl_tls_handshake(tls, &done, &diag);
                assert_int_equal(err, CSL_EPEER);
            } else {
                assert_int_equal(err, CSL_EPROTO);
            }
            assert_non_null(strstr(diag.text, cases[i].says));
            assert_false(done);
            csl_tls_free(tls);
        }
    }
    csl_tls_ctx_free(bob);
}

/* A flipped bit, a record twice, and our own records sent back. */
static void damaged_replayed_reflected(void **state) {
    (void)state;
    struct csl_tls_ctx *a = test_site(&ca, "alice"), *b = test_site(&ca, "bob");
    for (int what = 0; what < 3; what++) {
        struct pair p;
        uint8_t record[256], buf[64];
        size_t n, taken;
        struct csl_diag diag;
        pair_init(&p, a, b);
        meet(&p, SIZE_MAX);
        assert_int_equal(csl_tls_write(p.end[0], (const uint8_t *)"hello", 5, NULL), CSL_OK);
        const uint8_t *out = csl_tls_out(p.end[0], &n);
        assert_true(n < sizeof record);
        memcpy(record, out, n);
        struct csl_tls *to = what == 2 ? p.end[0] : p.end[1];
        if (what == 0) {
            record[n - 1] ^= 1;
        } else if (what == 1) {
            size_t got;
            csl_tls_feed(to, record, n, &taken);
            assert_int_equal(csl_tls_read(to, buf, sizeof buf, &got, NULL), CSL_OK);
            assert_int_equal(got, 5);
        }
        csl_tls_feed(to, record, n, &taken);
        assert_int_equal(csl_tls_read(to, buf, sizeof buf, &n, &diag), CSL_EPROTO);
        assert_non_null(strstr(diag.text, "does not authenticate"));
        assert_int_equal(n, 0);
        pair_clear(&p);
    }
    csl_tls_ctx_free(a);
    csl_tls_ctx_free(b);
}

static void contexts_that_cannot_be(void **state) {
    (void)state;
    struct test_cert x = test_cert_new(&ca, "x", NULL, -10, 3600),
                     y = test_cert_new(&ca, "y", NULL, -10, 3600);
    struct csl_diag diag;
    struct csl_tls_ctx *ctx;
    struct csl_tls_config wrong_key = {.cert = x.cert, .key = y.key, .ca = ca.cert};
    assert_int_equal(csl_tls_ctx_new(&ctx, &wrong_key, &diag), CSL_ECONFIG);
    assert_non_null(strstr(diag.text, "does not belong"));
    assert_null(ctx);
    struct csl_tls_config no_file = {.chain_path = "no/such/tls.crt", .key = x.key, .ca = ca.cert};
    assert_int_equal(csl_tls_ctx_new(&ctx, &no_file, &diag), CSL_ENOINPUT);
    assert_non_null(strstr(diag.text, "no/such/tls.crt"));
    struct csl_tls_config no_key = {.cert = x.cert, .key_path = "no/such/tls.key", .ca = ca.cert};
    assert_int_equal(csl_tls_ctx_new(&ctx, &no_key, &diag), CSL_ENOINPUT);
    struct csl_tls_config not_pem = {.chain_pem = "abc", .chain_n = 3, .key = x.key, .ca = ca.cert};
    assert_int_equal(csl_tls_ctx_new(&ctx, &not_pem, &diag), CSL_ECONFIG);
    struct csl_tls_config bad_ca = {.cert = x.cert, .key = x.key, .ca_pem = "abc", .ca_n = 3};
    assert_int_equal(csl_tls_ctx_new(&ctx, &bad_ca, &diag), CSL_ECONFIG);
    struct csl_tls_config nothing = {0};
    assert_int_equal(csl_tls_ctx_new(&ctx, &nothing, &diag), CSL_EUSAGE);
    test_cert_free(&x);
    test_cert_free(&y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meets_in_pieces),
        cmocka_unit_test(carries_data_both_ways),
        cmocka_unit_test(truncated_at_each_point),
        cmocka_unit_test(wrong_ca),
        cmocka_unit_test(out_of_date),
        cmocka_unit_test(names_that_are_none),
        cmocka_unit_test(old_versions_and_no_certificate),
        cmocka_unit_test(no_tls),
        cmocka_unit_test(damaged_replayed_reflected),
        cmocka_unit_test(contexts_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
