/* The forwarding process: one thread, epoll, and a timer for the next chunk that is due. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/bench/net_internal.h"

enum { CHUNK = 16384, QUEUE_MAX = 8 << 20, EVENTS = 64 };

struct chunk {
    struct chunk *next;
    uint64_t due_ns;
    size_t n, sent;
    uint8_t bytes[CHUNK];
};

/* One direction: from fd[side] to fd[!side]. */
struct flow {
    struct chunk *first, *last;
    size_t queued;
    uint64_t busy_until; /* the line is taken by earlier chunks */
    bool ended;          /* its source will send no more */
    uint64_t end_due_ns;
    bool passed_end; /* the other side knows */
    bool blocked;    /* the other side takes nothing now */
};

struct pair {
    struct pair *next;
    int fd[2]; /* accepted, connected; -1 closed */
    uint32_t events[2];
    bool connecting;
    struct flow flow[2];
};

struct forward {
    const struct csl_bench_profile *profile;
    const int *listeners;
    const uint16_t *ports;
    size_t n;
    int epoll, timer;
    struct pair *pairs;
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* ---- The line ---- */

static uint64_t line_ns(const struct csl_bench_profile *p, size_t n) {
    return p->bits_per_s == 0 ? 0 : (uint64_t)n * 8U * 1000000000U / p->bits_per_s;
}

static void enqueue(struct flow *f, struct chunk *c, const struct csl_bench_profile *p) {
    uint64_t now = now_ns(), from = f->busy_until > now ? f->busy_until : now;
    f->busy_until = from + line_ns(p, c->n);
    c->due_ns = f->busy_until + p->rtt_us * 500ULL;
    c->next = NULL;
    *(f->first != NULL ? &f->last->next : &f->first) = c;
    f->last = c;
    f->queued += c->n;
}

static void end(struct flow *f, const struct csl_bench_profile *p) {
    uint64_t now = now_ns();
    f->ended = true;
    f->end_due_ns = (f->busy_until > now ? f->busy_until : now) + p->rtt_us * 500ULL;
}

/* ---- Pairs ---- */

/* Both sides are reset. The pair itself goes when the events at hand are done. */
static void reset(struct pair *p) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    for (int i = 0; i < 2; i++) {
        if (p->fd[i] >= 0) {
            (void)setsockopt(p->fd[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
            close(p->fd[i]);
            p->fd[i] = -1;
        }
    }
}

static void free_pair(struct pair *p) {
    for (int i = 0; i < 2; i++) {
        if (p->fd[i] >= 0) {
            close(p->fd[i]);
        }
        while (p->flow[i].first != NULL) {
            struct chunk *c = p->flow[i].first;
            p->flow[i].first = c->next;
            free(c);
        }
    }
    free(p);
}

/* Events carry pair and side in one pointer: pairs are aligned. */
static void *tag(struct pair *p, int side) {
    return (uint8_t *)p + side;
}

static void watch(const struct forward *f, struct pair *p, int side) {
    struct flow *in = &p->flow[side], *out = &p->flow[!side];
    uint32_t want = 0;
    if (p->fd[side] < 0) {
        return;
    }
    if (!in->ended && in->queued < QUEUE_MAX && !p->connecting) {
        want |= EPOLLIN;
    }
    if (out->blocked || (side == 1 && p->connecting)) {
        want |= EPOLLOUT;
    }
    bool done = in->ended && out->passed_end; /* nothing is due from here: hang-ups do not matter */
    if (done) {
        (void)epoll_ctl(f->epoll, EPOLL_CTL_DEL, p->fd[side], NULL);
    } else if (want != p->events[side]) {
        struct epoll_event e = {.events = want, .data.ptr = tag(p, side)};
        p->events[side] = want;
        (void)epoll_ctl(f->epoll, EPOLL_CTL_MOD, p->fd[side], &e);
    }
}

static void deliver(struct pair *p, int side) {
    struct flow *f = &p->flow[side];
    uint64_t now = now_ns();
    while (p->fd[!side] >= 0 && !p->connecting && f->first != NULL && f->first->due_ns <= now) {
        struct chunk *c = f->first;
        ssize_t n = send(p->fd[!side], c->bytes + c->sent, c->n - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            f->blocked = errno == EAGAIN;
            if (!f->blocked && errno != EINTR) {
                reset(p);
            }
            return;
        }
        c->sent += (size_t)n;
        f->queued -= (size_t)n;
        if (c->sent == c->n) {
            f->first = c->next;
            free(c);
        }
    }
    f->blocked = false;
    if (p->fd[!side] >= 0 && f->first == NULL && f->ended && !f->passed_end && f->end_due_ns <= now &&
        !p->connecting) {
        (void)shutdown(p->fd[!side], SHUT_WR);
        f->passed_end = true;
    }
}

static void take_in(const struct forward *f, struct pair *p, int side) {
    struct flow *in = &p->flow[side];
    while (p->fd[side] >= 0 && !in->ended && in->queued < QUEUE_MAX) {
        struct chunk *c = malloc(sizeof *c);
        ssize_t n = c == NULL ? -1 : recv(p->fd[side], c->bytes, sizeof c->bytes, 0);
        if (n <= 0) {
            free(c);
            if (n == 0) {
                end(in, f->profile);
            } else if (c == NULL || (errno != EAGAIN && errno != EINTR)) {
                reset(p);
            }
            return;
        }
        c->n = (size_t)n;
        c->sent = 0;
        enqueue(in, c, f->profile);
    }
}

/* ---- New connections ---- */

static bool add(const struct forward *f, struct pair *p, int side, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = tag(p, side)};
    int on = 1;
    p->events[side] = events;
    (void)setsockopt(p->fd[side], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return epoll_ctl(f->epoll, EPOLL_CTL_ADD, p->fd[side], &e) == 0;
}

static void accept_one(struct forward *f, size_t i) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(f->ports[i]), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = accept4(f->listeners[i], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct pair *p = calloc(1, sizeof *p);
    if (p == NULL) {
        close(fd);
        return;
    }
    p->fd[0] = fd;
    p->fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    p->connecting = true;
    p->next = f->pairs;
    f->pairs = p;
    bool ok =
        p->fd[1] >= 0 && (connect(p->fd[1], (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS);
    if (!ok || !add(f, p, 0, 0) || !add(f, p, 1, EPOLLOUT)) {
        reset(p);
    }
}

static void finish_connect(struct pair *p) {
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(p->fd[1], SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0) {
        reset(p);
    }
    p->connecting = false;
}

/* ---- The loop ---- */

static void on_event(const struct forward *f, struct pair *p, int side, uint32_t events) {
    if (p->fd[side] < 0) {
        return;
    }
    if (p->connecting && side == 1) {
        finish_connect(p);
    }
    if ((events & EPOLLERR) != 0) {
        reset(p);
    }
    if ((events & (EPOLLIN | EPOLLHUP)) != 0) {
        take_in(f, p, side);
    }
    if ((events & EPOLLHUP) != 0 && p->flow[side].ended && !p->flow[!side].passed_end) {
        reset(p); /* closed, although we have not ended our half: it takes nothing any more */
    }
}

static void set_timer(const struct forward *f) {
    uint64_t next = UINT64_MAX;
    for (struct pair *p = f->pairs; p != NULL; p = p->next) {
        for (int i = 0; i < 2; i++) {
            const struct flow *w = &p->flow[i];
            uint64_t due = w->first != NULL             ? w->first->due_ns
                           : w->ended && !w->passed_end ? w->end_due_ns
                                                        : UINT64_MAX;
            next = !w->blocked && !p->connecting && due < next ? due : next;
        }
    }
    struct itimerspec t = {.it_value = {0, 0}};
    if (next != UINT64_MAX) {
        t.it_value = (struct timespec){(time_t)(next / 1000000000U), (long)(next % 1000000000U)};
    }
    (void)timerfd_settime(f->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

/* Sends what is due, forgets pairs that are over. */
static void serve_pairs(struct forward *f) {
    for (struct pair **at = &f->pairs; *at != NULL;) {
        struct pair *p = *at;
        for (int i = 0; i < 2; i++) {
            deliver(p, i);
        }
        bool over = p->fd[0] < 0 || (p->flow[0].passed_end && p->flow[1].passed_end);
        if (over) {
            *at = p->next;
            free_pair(p);
            continue;
        }
        watch(f, p, 0);
        watch(f, p, 1);
        at = &p->next;
    }
}

static void handle(struct forward *f, const struct epoll_event *e) {
    uint64_t ticks;
    uintptr_t at = (uintptr_t)e->data.ptr;
    if (e->data.ptr == &f->timer) {
        (void)!read(f->timer, &ticks, sizeof ticks);
        return;
    }
    if (at >= (uintptr_t)f->listeners && at < (uintptr_t)(f->listeners + f->n)) {
        accept_one(f, (size_t)((const int *)e->data.ptr - f->listeners));
        return;
    }
    on_event(f, (struct pair *)(at & ~(uintptr_t)1), (int)(at & 1), e->events);
}

void csl__bench_net_forward(const struct csl_bench_profile *profile, const int *listeners,
                            const uint16_t *ports, size_t n) {
    struct forward f = {.profile = profile, .listeners = listeners, .ports = ports, .n = n};
    f.epoll = epoll_create1(EPOLL_CLOEXEC);
    f.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &f.timer};
    bool ok = f.epoll >= 0 && f.timer >= 0 && epoll_ctl(f.epoll, EPOLL_CTL_ADD, f.timer, &e) == 0;
    for (size_t i = 0; i < n && ok; i++) {
        e.data.ptr = (void *)(uintptr_t)&listeners[i];
        ok = epoll_ctl(f.epoll, EPOLL_CTL_ADD, listeners[i], &e) == 0;
    }
    while (ok) {
        struct epoll_event events[EVENTS];
        set_timer(&f);
        int got = epoll_wait(f.epoll, events, EVENTS, -1);
        for (int i = 0; i < got; i++) {
            handle(&f, &events[i]);
        }
        serve_pairs(&f);
    }
    _exit(1);
}
