/* A small HTTP/1.1 server on loopback for tests: one thread, one connection at a time, a free port. What it
 * answers is the test's script, so it can lie, stall and stop as it likes. */
#ifndef TESTS_NET_HTTP_SERVER_H
#define TESTS_NET_HTTP_SERVER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test_http_request {
    char *head; /* request line and headers, NUL-terminated */
    uint8_t *body;
    size_t n_body;
};

struct test_http_conn; /* the connection that a script answers on */

/* Answers one request; the connection is closed when it returns. Runs in the server's thread. */
typedef void test_http_script(void *arg, const struct test_http_request *q, struct test_http_conn *c);

struct test_http;
/* tls NULL: plain. Aborts when there is no port. */
struct test_http *test_http_start(test_http_script *script, void *arg, SSL_CTX *tls);
/* http://127.0.0.1:PORT (or https); path is put behind it. Lives until the next call. */
const char *test_http_url(struct test_http *s, const char *path);
/* How many requests came. */
unsigned test_http_count(struct test_http *s);
/* Ends the scripts' waits, and the thread. */
void test_http_stop(struct test_http *s);

/* For scripts. They give false when the client is gone, or the server stops. */
bool test_http_send(struct test_http_conn *c, const void *p, size_t n);
bool test_http_say(struct test_http_conn *c, const char *text);
/* A whole answer: status line, content type, length, body. */
bool test_http_answer(struct test_http_conn *c, int status, const char *type, const void *body, size_t n);
/* Waits until the client has closed, or for ms when that is not 0: then true while the client is there. */
bool test_http_wait(struct test_http_conn *c, int ms);

#endif
