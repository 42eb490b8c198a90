/* The HTTP client against servers that answer well, badly, slowly and never. */
#include "net/http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>

#include "http_server.h"
#include "test_certs.h"

enum { SHORT_MS = 150, MAX_BYTES = 100000 };

/* What a script does is chosen by the path of the request. */
static bool asks(const struct test_http_request *q, const char *path) {
    const char *at = strchr(q->head, ' ');
    return at != NULL && strncmp(at + 1, path, strlen(path)) == 0 && at[1 + strlen(path)] == ' ';
}

static void stall(struct test_http_conn *c) {
    (void)test_http_wait(c, 0);
}

static void bad_answers(const struct test_http_request *q, struct test_http_conn *c) {
    if (asks(q, "/nothing")) {
        return;
    }
    if (asks(q, "/garbage")) {
        (void)test_http_say(c, "SSH-2.0-OpenSSH_9.2\r\n");
    } else if (asks(q, "/old")) {
        (void)test_http_say(c, "just bytes, as HTTP/0.9 had it");
    } else if (asks(q, "/truncated")) {
        (void)test_http_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    } else if (asks(q, "/chunked")) {
        (void)test_http_say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n9\r\nef");
    } else if (asks(q, "/badchunk")) {
        (void)test_http_say(
            c,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabcd\r\n0\r\n\r\n");
    } else if (asks(q, "/says-long")) {
        (void)test_http_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx");
        stall(c);
    } else if (asks(q, "/is-long")) {
        (void)test_http_say(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while (test_http_say(c, "0123456789abcdef0123456789abcdef")) {
        }
    } else if (asks(q, "/headers")) {
        (void)test_http_say(c, "HTTP/1.1 200 OK\r\n");
        while (test_http_say(c, "X-More: 0123456789abcdef0123456789abcdef\r\n")) {
        }
    } else if (asks(q, "/interim")) {
        while (test_http_say(c, "HTTP/1.1 100 Continue\r\n\r\n")) {
        }
    } else if (asks(q, "/redirect")) {
        (void)test_http_say(c, "HTTP/1.1 302 Found\r\nLocation: http://u:pw@elsewhere.example:81/x?key=1\r\n"
                               "Content-Length: 0\r\n\r\n");
    } else if (asks(q, "/redirect-file")) {
        (void)test_http_say(
            c, "HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n");
    } else if (asks(q, "/refused")) {
        static const char why[] = "{\"Message\":\"no such\x1b[31m block\"}";
        (void)test_http_answer(c, 500, "application/json", why, sizeof why - 1);
    } else if (asks(q, "/refused-long")) {
        (void)test_http_say(c, "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
        while (test_http_say(c, "<html>no such page</html>")) {
        }
    }
}

static void script(void *arg, const struct test_http_request *q, struct test_http_conn *c) {
    (void)arg;
    if (asks(q, "/echo")) {
        (void)test_http_answer(c, 200, "text/plain", q->body, q->n_body);
    } else if (asks(q, "/head")) {
        (void)test_http_answer(c, 200, "text/plain", q->head, strlen(q->head));
    } else if (asks(q, "/chunks")) {
        (void)test_http_say(
            c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    } else if (asks(q, "/empty")) {
        (void)test_http_say(c, "HTTP/1.1 204 No Content\r\n\r\n");
    } else if (asks(q, "/never")) {
        stall(c);
    } else if (asks(q, "/stops")) {
        (void)test_http_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
        stall(c);
    } else if (asks(q, "/dribble")) {
        (void)test_http_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n");
        while (test_http_say(c, ".") && test_http_wait(c, 10)) {
        }
    } else {
        bad_answers(q, c);
    }
}

static struct test_http *server;

static int start(void **state) {
    (void)state;
    server = test_http_start(script, NULL, NULL);
    return 0;
}

static int stop(void **state) {
    (void)state;
    test_http_stop(server);
    return 0;
}

static enum csl_err ask(const char *path, struct csl_http q, long *status, char **out, size_t *n,
                        struct csl_diag *diag) {
    char url[256];
    (void)snprintf(url, sizeof url, "%s", test_http_url(server, path));
    q.url = url;
    q.max_response_bytes = MAX_BYTES;
    diag->text[0] = '\0';
    return csl_http_fetch(&q, status, out, n, diag);
}

/* An error of this kind, with nothing returned and a sentence that names the place and holds `says`. */
static void fails(const char *path, struct csl_http q, enum csl_err want, const char *says) {
    struct csl_diag diag;
    char *out = (char *)1, place[64];
    size_t n = 1;
    enum csl_err err = ask(path, q, NULL, &out, &n, &diag);
    if (err != want || strstr(diag.text, says) == NULL) {
        fail_msg("%s: %s, not %s: %s", path, csl_err_name(err), csl_err_name(want), diag.text);
    }
    csl_http_place(place, sizeof place, test_http_url(server, ""));
    assert_non_null(strstr(diag.text, place));
    assert_null(out);
    assert_int_equal(n, 0);
}

/* ---- Good answers ---- */

static void echoes(void **state) {
    (void)state;
    struct csl_diag diag;
    uint8_t *body = malloc(MAX_BYTES);
    char *out;
    size_t n;
    long status;
    for (size_t i = 0; i < MAX_BYTES; i++) {
        body[i] = (uint8_t)(i * 31 >> 3);
    }
    const size_t sizes[] = {0, 1, 5, 65536, MAX_BYTES};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct csl_http q = {.body = body, .n_body = sizes[i]};
        assert_int_equal(ask("/echo", q, &status, &out, &n, &diag), CSL_OK);
        assert_int_equal(status, 200);
        assert_int_equal(n, sizes[i]);
        assert_memory_equal(out, body, n);
        assert_int_equal(out[n], 0);
        free(out);
    }
    assert_int_equal(ask("/chunks", (struct csl_http){.get = true}, &status, &out, &n, &diag), CSL_OK);
    assert_string_equal(out, "abcde");
    free(out);
    assert_int_equal(ask("/empty", (struct csl_http){.get = true}, &status, &out, &n, &diag), CSL_OK);
    assert_int_equal(status, 204);
    assert_int_equal(n, 0);
    free(out);
    free(body);
}

static void what_is_sent(void **state) {
    (void)state;
    struct csl_diag diag;
    char *out;
    size_t n;
    /* None of these has a say. */
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
    struct csl_http q = {.body = (const uint8_t *)"{}", .n_body = 2, .content_type = "application/json"};
    assert_int_equal(ask("/head", q, NULL, &out, &n, &diag), CSL_OK);
    assert_non_null(strstr(out, "POST /head HTTP/1.1\r\n"));
    assert_non_null(strstr(out, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(out, "Content-Length: 2\r\n"));
    assert_null(strstr(out, "Expect:"));
    free(out);
    assert_int_equal(ask("/head", (struct csl_http){.get = true}, NULL, &out, &n, &diag), CSL_OK);
    assert_non_null(strstr(out, "GET /head HTTP/1.1\r\n"));
    assert_null(strstr(out, "Content-Length"));
    free(out);
    assert_int_equal(unsetenv("http_proxy") | unsetenv("ALL_PROXY"), 0);
}

struct stream {
    size_t left, piece;
    enum csl_err err;
};

static enum csl_err give(void *arg, uint8_t *p, size_t n, size_t *n_out, struct csl_diag *diag) {
    struct stream *s = arg;
    if (s->left == 0 && s->err != CSL_OK) {
        return csl_fail(diag, s->err, "the disk is broken");
    }
    n = n < s->piece ? n : s->piece;
    *n_out = n < s->left ? n : s->left;
    memset(p, 'x', *n_out);
    s->left -= *n_out;
    return CSL_OK;
}

static void streams(void **state) {
    (void)state;
    struct csl_diag diag;
    char *out;
    size_t n;
    struct stream s = {.left = 70001, .piece = 777};
    struct csl_http q = {.source = give, .source_arg = &s, .n_source = 70001};
    assert_int_equal(ask("/echo", q, NULL, &out, &n, &diag), CSL_OK);
    assert_int_equal(n, 70001);
    assert_int_equal(strspn(out, "x"), n);
    free(out);
    s = (struct stream){.left = 70000, .piece = 777};
    fails("/echo", q, CSL_EDATA, "1 bytes before the length");
    s = (struct stream){.left = 500, .piece = 777, .err = CSL_EIO};
    assert_int_equal(ask("/echo", q, NULL, &out, &n, &diag), CSL_EIO);
    assert_string_equal(diag.text, "the disk is broken");
}

static enum csl_err refuse(void *arg, const uint8_t *p, size_t n, struct csl_diag *diag) {
    (void)arg, (void)p, (void)n;
    return csl_fail(diag, CSL_EDATA, "not what was asked for");
}

static void sink_refuses(void **state) {
    (void)state;
    struct csl_diag diag;
    struct csl_http q = {.url = test_http_url(server, "/chunks"), .get = true, .max_response_bytes = 10};
    assert_int_equal(csl_http(&q, NULL, refuse, NULL, &diag), CSL_EDATA);
    assert_string_equal(diag.text, "not what was asked for");
}

/* ---- Bad answers ---- */

static void late(void **state) {
    (void)state;
    const struct csl_http total = {.get = true, .total_ms = SHORT_MS};
    const struct csl_http idle = {.get = true, .idle_ms = SHORT_MS};
    fails("/never", total, CSL_ETIMEOUT, "in time");
    fails("/never", idle, CSL_ETIMEOUT, "for 150 ms");
    fails("/stops", idle, CSL_ETIMEOUT, "for 150 ms");
    fails("/stops", total, CSL_ETIMEOUT, "in time");
    fails("/dribble", total, CSL_ETIMEOUT, "in time");
}

static void wrong(void **state) {
    (void)state;
    const struct csl_http q = {.get = true};
    fails("/nothing", q, CSL_EPEER, "before its answer was complete");
    fails("/truncated", q, CSL_EPEER, "before its answer was complete");
    fails("/chunked", q, CSL_EPEER, "before its answer was complete");
    fails("/badchunk", q, CSL_EPEER, "before its answer was complete");
    fails("/garbage", q, CSL_EPROTO, "HTTP");
    fails("/old", q, CSL_EPROTO, "HTTP");
    fails("/says-long", q, CSL_EPROTO, "more than the 100000 bytes");
    fails("/is-long", q, CSL_EPROTO, "more than the 100000 bytes");
    fails("/headers", q, CSL_EPROTO, "bytes of headers");
    fails("/interim", q, CSL_EPROTO, "bytes of headers");
}

static void refused(void **state) {
    (void)state;
    struct csl_diag diag;
    char *out;
    size_t n;
    long status = 0;
    const struct csl_http q = {.get = true};
    assert_int_equal(ask("/refused", q, &status, &out, &n, &diag), CSL_EPROTO);
    assert_int_equal(status, 500);
    assert_non_null(strstr(diag.text, "500: {\"Message\":\"no such?[31m block\"}"));
    fails("/refused-long", q, CSL_EPROTO, "404: <html>no such page</html>");
    unsigned before = test_http_count(server);
    fails("/redirect", q, CSL_EPROTO, "to http://elsewhere.example:81, which");
    assert_int_equal(ask("/redirect", q, &status, &out, &n, &diag), CSL_EPROTO);
    assert_null(strstr(diag.text, "pw"));
    assert_null(strstr(diag.text, "key"));
    assert_int_equal(status, 302);
    fails("/redirect-file", q, CSL_EPROTO, "redirect");
    assert_int_equal(test_http_count(server), before + 3);
}

static void urls(void **state) {
    (void)state;
    struct csl_diag diag;
    const char *bad[] = {"",        "nonsense",  "127.0.0.1:80", "ftp://127.0.0.1/x", "file:///etc/passwd",
                         "http://", "http:///x", "https://a b/", "gopher://x/",       "http://a:99999/"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct csl_http q = {.url = bad[i], .get = true, .max_response_bytes = 10};
        char *out;
        size_t n;
        if (csl_http_fetch(&q, NULL, &out, &n, &diag) != CSL_EUSAGE) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
    }
    struct csl_http half = {.url = "https://user:se/cret@host/", .get = true, .max_response_bytes = 10};
    char *none;
    size_t n_none;
    assert_int_equal(csl_http_fetch(&half, NULL, &none, &n_none, &diag), CSL_EUSAGE);
    assert_non_null(strstr(diag.text, "percent-encoded"));
    assert_null(strstr(diag.text, "user"));
    assert_null(strstr(diag.text, "host"));
    /* A port where nobody listens: the server's own, after it has gone. */
    char url[128];
    struct test_http *gone = test_http_start(script, NULL, NULL);
    (void)snprintf(url, sizeof url, "%s", test_http_url(gone, "/echo"));
    test_http_stop(gone);
    struct csl_http q = {.url = url, .get = true, .max_response_bytes = 10};
    char *out;
    size_t n;
    assert_int_equal(csl_http_fetch(&q, NULL, &out, &n, &diag), CSL_EUNAVAILABLE);
    assert_non_null(strstr(diag.text, "cannot be reached"));
    /* A name that is unknown, or where nobody is there to ask. */
    q.url = "http://no-such-host.invalid/";
    q.total_ms = 1000;
    enum csl_err err = csl_http_fetch(&q, NULL, &out, &n, &diag);
    assert_true(err == CSL_EUNAVAILABLE || err == CSL_ETIMEOUT);
    assert_non_null(strstr(diag.text, "no-such-host.invalid"));
}

static void places(void **state) {
    (void)state;
    const struct {
        const char *url, *place;
    } cases[] = {{"http://a.example/x?y#z", "http://a.example"},
                 {"https://user:p@ss@a.example:8545?key=1", "https://a.example:8545"},
                 {"http://[::1]:80/", "http://[::1]:80"},
                 {"http://a\x1b[31m/", "http://a?[31m"},
                 {"user:secret@host", "host"},
                 {"https://user:se/cret@host/", "https://"}, /* where a password may be, nothing is shown */
                 {"https://user:se?cret@host", "https://"},
                 {"https://user:se#cr@et@host", "https://"},
                 {"https://user:se\\cret@host", "https://"},
                 {"user:se/cret@host", ""},
                 {"https://user:secret@host/a@b", "https://host"},
                 {"", ""}};
    char out[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        csl_http_place(out, sizeof out, cases[i].url);
        assert_string_equal(out, cases[i].place);
    }
    for (size_t room = 1; room < 12; room++) {
        csl_http_place(out, room, "http://abc/");
        assert_int_equal(strlen(out), room < 11 ? room - 1 : 10);
    }
}

/* ---- TLS ---- */

static SSL_CTX *server_tls(const struct test_cert *cert) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_non_null(ctx);
    assert_int_equal(SSL_CTX_use_certificate(ctx, cert->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, cert->key), 1);
    return ctx;
}

static void with_certificate(const struct test_ca *ca, const char *san, long to_s, const char *ca_file,
                             enum csl_err want, const char *says) {
    struct csl_diag diag = {""};
    struct test_cert cert = test_cert_new(ca, "a", san, -3600, to_s);
    SSL_CTX *tls = server_tls(&cert);
    struct test_http *s = test_http_start(script, NULL, tls);
    struct csl_http q = {
        .url = test_http_url(s, "/chunks"), .get = true, .max_response_bytes = 10, .ca_file = ca_file};
    char *out;
    size_t n;
    enum csl_err err = csl_http_fetch(&q, NULL, &out, &n, &diag);
    test_http_stop(s);
    SSL_CTX_free(tls);
    test_cert_free(&cert);
    if (err != want || strstr(diag.text, says) == NULL) {
        fail_msg("%s, not %s: %s", csl_err_name(err), csl_err_name(want), diag.text);
    }
    free(out);
}

static void certificates(void **state) {
    (void)state;
    char path[] = "/tmp/csl-http-ca-XXXXXX";
    struct test_ca ca = test_ca_new("store CA"), other = test_ca_new("other CA");
    FILE *f = fdopen(mkstemp(path), "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, ca.cert), 1);
    assert_int_equal(fclose(f), 0);
    with_certificate(&ca, "IP:127.0.0.1", 86400, path, CSL_OK, "");
    with_certificate(&ca, "IP:127.0.0.1", 86400, NULL, CSL_EAUTH, "certificate of https://127.0.0.1");
    with_certificate(&other, "IP:127.0.0.1", 86400, path, CSL_EAUTH, "certificate of https://127.0.0.1");
    with_certificate(&ca, "IP:127.0.0.2", 86400, path, CSL_EAUTH, "certificate of https://127.0.0.1");
    with_certificate(&ca, "IP:127.0.0.1", -60, path, CSL_EAUTH, "expired");
    with_certificate(&ca, "IP:127.0.0.1", 86400, "/tmp/csl-no-such-file", CSL_ENOINPUT, "csl-no-such-file");
    assert_int_equal(unlink(path), 0);
    test_ca_free(&ca);
    test_ca_free(&other);
    /* https to a server that does not speak TLS */
    struct csl_diag diag;
    char url[128];
    (void)snprintf(url, sizeof url, "https%s", test_http_url(server, "/echo") + 4);
    struct csl_http q = {.url = url, .get = true, .max_response_bytes = 10, .total_ms = 1000};
    char *out;
    size_t n;
    assert_int_not_equal(csl_http_fetch(&q, NULL, &out, &n, &diag), CSL_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(echoes),  cmocka_unit_test(what_is_sent),
                                       cmocka_unit_test(streams), cmocka_unit_test(sink_refuses),
                                       cmocka_unit_test(late),    cmocka_unit_test(wrong),
                                       cmocka_unit_test(refused), cmocka_unit_test(urls),
                                       cmocka_unit_test(places),  cmocka_unit_test(certificates)};
    return cmocka_run_group_tests(tests, start, stop);
}
