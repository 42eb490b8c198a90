/* The network between processes: bytes arrive as they were sent, ends and resets arrive too. Its delays are
 * not asserted. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/bench/net.h"

enum { WAIT_MS = 60000, MANY = 6 << 20, LINES = 8 };

/* Fast, so that tests need not wait, and with a delay, so that bytes are held. */
static const struct csl_bench_profile quick = {"quick", 2000, 4000000000ULL};
static const struct csl_bench_profile bare = {"bare", 0, 0};

static int listen_any(uint16_t *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s >= 0 && bind(s, (struct sockaddr *)&a, sizeof a) == 0 && listen(s, LINES) == 0);
    assert_int_equal(getsockname(s, (struct sockaddr *)&a, &n), 0);
    *port = ntohs(a.sin_port);
    return s;
}

static int dial(uint16_t port) {
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s >= 0);
    assert_int_equal(connect(s, (struct sockaddr *)&a, sizeof a), 0);
    return s;
}

/* A client's and a server's end with the network between. */
struct line {
    struct csl_bench_net *net;
    int client, server;
};

static struct line open_line(const struct csl_bench_profile *profile) {
    struct line l;
    struct csl_diag diag = {""};
    uint16_t port, via;
    int listener = listen_any(&port);
    assert_int_equal(csl_bench_net_start(&l.net, profile, &via, &port, 1, &diag), CSL_OK);
    assert_int_not_equal(via, port);
    l.client = dial(via);
    l.server = accept(listener, NULL, NULL);
    assert_true(l.server >= 0);
    close(listener);
    return l;
}

static void close_line(struct line *l) {
    close(l->client);
    close(l->server);
    csl_bench_net_stop(l->net);
}

/* What recv says once there is something to say. */
static ssize_t receive(int fd, void *out, size_t n) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    return recv(fd, out, n, 0);
}

static uint8_t byte_at(unsigned salt, size_t i) {
    return (uint8_t)((i * 2654435761U + salt * 977U) >> 11);
}

struct stream {
    int fd;
    unsigned salt;
    bool ok;
};

static void *send_many(void *arg) {
    struct stream *s = arg;
    uint8_t *bytes = malloc(MANY);
    for (size_t i = 0; bytes != NULL && i < MANY; i++) {
        bytes[i] = byte_at(s->salt, i);
    }
    size_t at = 0;
    while (bytes != NULL && at < MANY) {
        ssize_t n = send(s->fd, bytes + at, MANY - at, MSG_NOSIGNAL);
        if (n <= 0) {
            break;
        }
        at += (size_t)n;
    }
    s->ok = at == MANY && shutdown(s->fd, SHUT_WR) == 0;
    free(bytes);
    return NULL;
}

/* Reads to the end, and whether it was what send_many sends. */
static bool receive_many(int fd, unsigned salt) {
    uint8_t bytes[65536];
    size_t at = 0;
    for (;;) {
        ssize_t n = receive(fd, bytes, sizeof bytes);
        if (n <= 0) {
            return n == 0 && at == MANY;
        }
        for (ssize_t i = 0; i < n; i++, at++) {
            if (at >= MANY || bytes[i] != byte_at(salt, at)) {
                return false;
            }
        }
    }
}

static void *receive_thread(void *arg) {
    struct stream *s = arg;
    s->ok = receive_many(s->fd, s->salt);
    return NULL;
}

static void both_ways_under_load(const struct csl_bench_profile *profile) {
    struct csl_diag diag = {""};
    struct csl_bench_net *net;
    uint16_t port[2], via[2];
    int listener[2] = {listen_any(&port[0]), listen_any(&port[1])};
    assert_int_equal(csl_bench_net_start(&net, profile, via, port, 2, &diag), CSL_OK);
    struct stream s[LINES][4];
    pthread_t t[LINES][4];
    enum { USED = 3 };
    for (unsigned i = 0; i < USED; i++) { /* each way of each line has bytes of its own */
        int client = dial(via[i % 2]), server = accept(listener[i % 2], NULL, NULL);
        assert_true(server >= 0);
        s[i][0] = (struct stream){client, 2 * i, false};
        s[i][1] = (struct stream){server, 2 * i + 1, false};
        s[i][2] = (struct stream){server, 2 * i, false};
        s[i][3] = (struct stream){client, 2 * i + 1, false};
        for (int k = 0; k < 4; k++) {
            assert_int_equal(pthread_create(&t[i][k], NULL, k < 2 ? send_many : receive_thread, &s[i][k]), 0);
        }
    }
    for (unsigned i = 0; i < USED; i++) {
        for (int k = 0; k < 4; k++) {
            assert_int_equal(pthread_join(t[i][k], NULL), 0);
            assert_true(s[i][k].ok);
        }
        close(s[i][0].fd);
        close(s[i][1].fd);
    }
    close(listener[0]);
    close(listener[1]);
    csl_bench_net_stop(net);
}

static void test_bytes_arrive_intact(void **state) {
    (void)state;
    both_ways_under_load(&quick);
    both_ways_under_load(&bare);
}

/* A request that ends, and an answer after it. */
static void test_half_closed(void **state) {
    (void)state;
    struct line l = open_line(&quick);
    uint8_t in[16];
    assert_int_equal(send(l.client, "question", 8, MSG_NOSIGNAL), 8);
    assert_int_equal(shutdown(l.client, SHUT_WR), 0);
    size_t got = 0;
    ssize_t n;
    while ((n = receive(l.server, in + got, sizeof in - got)) > 0) {
        got += (size_t)n;
    }
    assert_int_equal(n, 0);
    assert_int_equal(got, 8);
    assert_memory_equal(in, "question", 8);
    assert_int_equal(send(l.server, "answer", 6, MSG_NOSIGNAL), 6);
    assert_int_equal(receive(l.client, in, sizeof in), 6);
    assert_memory_equal(in, "answer", 6);
    assert_int_equal(shutdown(l.server, SHUT_WR), 0);
    assert_int_equal(receive(l.client, in, sizeof in), 0);
    close_line(&l);
}

static void reset_end(int *fd) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(*fd);
    *fd = -1;
}

static void expect_reset(int fd) {
    uint8_t in[16];
    errno = 0;
    assert_int_equal(receive(fd, in, sizeof in), -1);
    assert_int_equal(errno, ECONNRESET);
}

static void test_resets(void **state) {
    (void)state;
    struct line l = open_line(&quick);
    reset_end(&l.client);
    expect_reset(l.server);
    close_line(&l);
    l = open_line(&quick);
    reset_end(&l.server);
    expect_reset(l.client);
    close_line(&l);
}

/* The end of one direction has gone through already. */
static void test_reset_after_an_end(void **state) {
    (void)state;
    struct line l = open_line(&quick);
    uint8_t in[16];
    assert_int_equal(shutdown(l.client, SHUT_WR), 0);
    assert_int_equal(receive(l.server, in, sizeof in), 0);
    reset_end(&l.server);
    expect_reset(l.client);
    close_line(&l);
}

static void test_nobody_listens(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_bench_net *net;
    uint16_t port, via;
    close(listen_any(&port));
    assert_int_equal(csl_bench_net_start(&net, &quick, &via, &port, 1, &diag), CSL_OK);
    int client = dial(via);
    expect_reset(client);
    close(client);
    csl_bench_net_stop(net);
}

static void test_stopping_closes(void **state) {
    (void)state;
    struct line l = open_line(&quick);
    uint8_t in[16];
    csl_bench_net_stop(l.net);
    l.net = NULL;
    assert_true(receive(l.server, in, sizeof in) <= 0);
    assert_true(receive(l.client, in, sizeof in) <= 0);
    close_line(&l);
}

static void test_profiles(void **state) {
    (void)state;
    const struct csl_bench_profile *lan = csl_bench_profile("lan"), *wan = csl_bench_profile("wan");
    assert_non_null(lan);
    assert_non_null(wan);
    assert_int_equal(lan->rtt_us, 500);
    assert_int_equal(wan->rtt_us, 40000);
    assert_true(lan->bits_per_s == 1000000000 && wan->bits_per_s == 400000000);
    assert_null(csl_bench_profile("moon"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_arrive_intact),
        cmocka_unit_test(test_half_closed),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_reset_after_an_end),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_stopping_closes),
        cmocka_unit_test(test_profiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
