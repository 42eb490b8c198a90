#include "forward.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "world.h"

enum { PAIRS_MAX = 32 };

struct pairs {
    int fd[2 * PAIRS_MAX]; /* neighbours belong together */
    unsigned n;
};

static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void end_pair(struct pairs *p, unsigned i) {
    i &= ~1U;
    (void)close(p->fd[i]);
    (void)close(p->fd[i + 1]);
    p->n -= 2;
    p->fd[i] = p->fd[p->n];
    p->fd[i + 1] = p->fd[p->n + 1];
}

static void let_in(const struct forward *f, struct pairs *p) {
    struct sockaddr_in to = loopback(f->to);
    int in = accept(f->listen_fd, NULL, NULL), out = socket(AF_INET, SOCK_STREAM, 0);
    if (in < 0 || out < 0 || p->n == 2 * PAIRS_MAX || connect(out, (struct sockaddr *)&to, sizeof to) != 0) {
        (void)close(in);
        (void)close(out);
        return;
    }
    p->fd[p->n++] = in;
    p->fd[p->n++] = out;
}

/* What has come on one end to the other; false: either has gone. */
static bool pass(const struct pairs *p, unsigned i) {
    char bytes[16384];
    ssize_t n = read(p->fd[i], bytes, sizeof bytes);
    for (ssize_t at = 0, k; at < n; at += k) {
        k = send(p->fd[i ^ 1U], bytes + at, (size_t)(n - at), MSG_NOSIGNAL);
        if (k <= 0) {
            return false;
        }
    }
    return n > 0;
}

/* false: it is over. */
static bool obey(const struct forward *f, struct pairs *p) {
    char what = 'q';
    (void)!read(f->control[0], &what, 1);
    while (p->n > 0) {
        end_pair(p, 0);
    }
    return what != 'q';
}

static void *run(void *arg) {
    const struct forward *f = arg;
    struct pairs p = {.n = 0};
    for (;;) {
        struct pollfd polled[2 * PAIRS_MAX + 2];
        unsigned n = p.n;
        for (unsigned i = 0; i < n; i++) {
            polled[i] = (struct pollfd){.fd = p.fd[i], .events = POLLIN};
        }
        polled[n] = (struct pollfd){.fd = f->listen_fd, .events = POLLIN};
        polled[n + 1] = (struct pollfd){.fd = f->control[0], .events = POLLIN};
        (void)poll(polled, n + 2, -1);
        for (unsigned i = n; i-- > 0;) { /* from the end: the last pair takes an ended one's place */
            if (polled[i].revents != 0 && i < p.n && !pass(&p, i)) {
                end_pair(&p, i);
                i &= ~1U;
            }
        }
        if (polled[n].revents != 0) {
            let_in(f, &p);
        }
        if (polled[n + 1].revents != 0 && !obey(f, &p)) {
            return NULL;
        }
    }
}

void forward_start(struct forward *f, uint16_t to) {
    struct sockaddr_in a = loopback(0);
    socklen_t n = sizeof a;
    memset(f, 0, sizeof *f);
    f->to = to;
    f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(f->listen_fd, (struct sockaddr *)&a, &n), 0);
    assert_int_equal(listen(f->listen_fd, 16), 0);
    f->port = ntohs(a.sin_port);
    assert_int_equal(pipe(f->control), 0);
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
}

static void say(struct forward *f, char what) {
    assert_int_equal(write(f->control[1], &what, 1), 1);
}

void forward_cut(struct forward *f) {
    say(f, 'c');
}

void forward_stop(struct forward *f) {
    if (f->port == 0) {
        return;
    }
    say(f, 'q');
    assert_int_equal(pthread_join(f->thread, NULL), 0);
    (void)close(f->listen_fd);
    (void)close(f->control[0]);
    (void)close(f->control[1]);
    memset(f, 0, sizeof *f);
}
