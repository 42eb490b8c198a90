#include "http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, BODY_MAX = 256 << 20 };

struct test_http {
    test_http_script *script;
    void *arg;
    SSL_CTX *tls;
    int listener, stop[2];
    unsigned port;
    _Atomic unsigned count;
    char url[512];
    pthread_t thread;
};

struct test_http_conn {
    struct test_http *server;
    int fd;
    SSL *ssl;
};

static void must(bool ok) {
    if (!ok) {
        abort();
    }
}

/* Whether fd has something before the server is stopped; ms < 0: for ever. 0: the time is over. */
static int wait_fd(struct test_http *s, int fd, short events, int ms) {
    struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = s->stop[0], .events = POLLIN}};
    int rc;
    do {
        rc = poll(p, 2, ms);
    } while (rc < 0 && errno == EINTR);
    return p[1].revents != 0 ? -1 : rc;
}

static ssize_t receive(struct test_http_conn *c, void *p, size_t n) {
    if (c->ssl != NULL) {
        return SSL_pending(c->ssl) > 0 || wait_fd(c->server, c->fd, POLLIN, -1) > 0
                   ? SSL_read(c->ssl, p, (int)n)
                   : -1;
    }
    return wait_fd(c->server, c->fd, POLLIN, -1) > 0 ? recv(c->fd, p, n, 0) : -1;
}

bool test_http_send(struct test_http_conn *c, const void *p, size_t n) {
    const uint8_t *at = p;
    while (n != 0) {
        if (wait_fd(c->server, c->fd, POLLOUT, -1) <= 0) {
            return false;
        }
        size_t part = n < 65536 ? n : 65536;
        ssize_t done = c->ssl != NULL ? SSL_write(c->ssl, at, (int)part)
                                      : send(c->fd, at, part, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done < 0 && c->ssl == NULL && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (done <= 0) {
            return false;
        }
        at += done;
        n -= (size_t)done;
    }
    return true;
}

bool test_http_say(struct test_http_conn *c, const char *text) {
    return test_http_send(c, text, strlen(text));
}

bool test_http_answer(struct test_http_conn *c, int status, const char *type, const void *body, size_t n) {
    char head[256];
    (void)snprintf(head, sizeof head,
                   "HTTP/1.1 %d Scripted\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: "
                   "close\r\n\r\n",
                   status, type, n);
    return test_http_say(c, head) && test_http_send(c, body, n);
}

bool test_http_wait(struct test_http_conn *c, int ms) {
    char byte[256];
    for (;;) {
        int rc = wait_fd(c->server, c->fd, POLLIN, ms == 0 ? -1 : ms);
        if (rc == 0) {
            return true;
        }
        if (rc < 0 || recv(c->fd, byte, sizeof byte, 0) <= 0) {
            return false;
        }
    }
}

/* ---- One request ---- */

static size_t content_length(const char *head) {
    for (const char *line = head; line != NULL; line = strstr(line, "\r\n")) {
        line += strspn(line, "\r\n");
        if (strncasecmp(line, "Content-Length:", 15) == 0) {
            return strtoull(line + 15, NULL, 10);
        }
    }
    return 0;
}

static bool read_request(struct test_http_conn *c, struct test_http_request *q) {
    size_t n = 0;
    char *end = NULL;
    q->head = calloc(1, HEAD_MAX + 1);
    must(q->head != NULL);
    while (end == NULL && n < HEAD_MAX) {
        ssize_t got = receive(c, q->head + n, HEAD_MAX - n);
        if (got <= 0) {
            return false;
        }
        n += (size_t)got;
        q->head[n] = '\0';
        end = strstr(q->head, "\r\n\r\n");
    }
    if (end == NULL) {
        return false;
    }
    end += 4;
    size_t early = n - (size_t)(end - q->head);
    q->n_body = content_length(q->head);
    must(q->n_body <= BODY_MAX && early <= q->n_body);
    q->body = malloc(q->n_body + 1);
    must(q->body != NULL);
    memcpy(q->body, end, early);
    *end = '\0';
    while (early < q->n_body) {
        ssize_t got = receive(c, q->body + early, q->n_body - early);
        if (got <= 0) {
            return false;
        }
        early += (size_t)got;
    }
    return true;
}

static void serve(struct test_http *s, int fd) {
    struct test_http_conn c = {.server = s, .fd = fd};
    struct test_http_request q = {0};
    bool ok = true;
    if (s->tls != NULL) {
        c.ssl = SSL_new(s->tls);
        must(c.ssl != NULL && SSL_set_fd(c.ssl, fd) == 1);
        ok = SSL_accept(c.ssl) == 1;
    }
    if (ok && read_request(&c, &q)) {
        s->count++;
        s->script(s->arg, &q, &c);
    }
    if (ok && c.ssl != NULL) {
        (void)SSL_shutdown(c.ssl);
    }
    SSL_free(c.ssl);
    free(q.head);
    free(q.body);
    /* What the client still sends is read, so that closing does not reset what it has not read yet. */
    (void)shutdown(fd, SHUT_WR);
    c.ssl = NULL;
    (void)test_http_wait(&c, 0);
    (void)close(fd);
}

static void *run(void *arg) {
    struct test_http *s = arg;
    sigset_t pipe_only; /* this thread's alone: the client is to do without */
    must(sigemptyset(&pipe_only) == 0 && sigaddset(&pipe_only, SIGPIPE) == 0 &&
         pthread_sigmask(SIG_BLOCK, &pipe_only, NULL) == 0);
    while (wait_fd(s, s->listener, POLLIN, -1) > 0) {
        int fd = accept(s->listener, NULL, NULL);
        if (fd >= 0) {
            serve(s, fd);
        }
    }
    return NULL;
}

/* ---- The server ---- */

struct test_http *test_http_start(test_http_script *script, void *arg, SSL_CTX *tls) {
    struct test_http *s = calloc(1, sizeof *s);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    must(s != NULL);
    s->script = script;
    s->arg = arg;
    s->tls = tls;
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    must(s->listener >= 0 && bind(s->listener, (struct sockaddr *)&a, sizeof a) == 0 &&
         listen(s->listener, 16) == 0 && getsockname(s->listener, (struct sockaddr *)&a, &len) == 0 &&
         pipe(s->stop) == 0);
    s->port = ntohs(a.sin_port);
    must(pthread_create(&s->thread, NULL, run, s) == 0);
    return s;
}

const char *test_http_url(struct test_http *s, const char *path) {
    (void)snprintf(s->url, sizeof s->url, "%s://127.0.0.1:%u%s", s->tls != NULL ? "https" : "http", s->port,
                   path);
    return s->url;
}

unsigned test_http_count(struct test_http *s) {
    return s->count;
}

void test_http_stop(struct test_http *s) {
    must(write(s->stop[1], "x", 1) == 1 && pthread_join(s->thread, NULL) == 0);
    (void)close(s->stop[0]);
    (void)close(s->stop[1]);
    (void)close(s->listener);
    free(s);
}
