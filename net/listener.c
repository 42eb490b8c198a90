#include "net/listener.h"

#include "net/conn_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAUSE_MS = 100, ACCEPTS = 32 /* before others have their turn */ };

/* A conn in its handshake. The list is in the order of arrival. */
struct pending {
    struct csl_listener *listener; /* NULL when it was closed */
    struct csl_conn *conn;
    struct pending *next, *prev;
    uint64_t since;
};

struct csl_listener {
    uv_loop_t *loop;
    uv_poll_t poll;
    uv_timer_t timer; /* ends a pause */
    unsigned handles; /* still to be closed */
    bool closed, paused;
    int fd;
    struct csl_tls_ctx *ctx;
    struct csl_listener_options opt;
    char expect[CSL_NAME_MAX + 1];
    struct csl_listener_callbacks cb;
    void *arg;
    struct pending head; /* head.next is the oldest */
    struct csl_listener_stats stats;
};

void csl_listener_options_init(struct csl_listener_options *opt) {
    *opt = (struct csl_listener_options){.fd = -1, .backlog = 128, .max_pending = 64, .evict_ms = 1000};
    csl_conn_options_init(&opt->conn);
}

/* ---- handshakes in work ---- */

static void accept_more(struct csl_listener *l);

static void unlink_pending(struct pending *p) {
    p->prev->next = p->next;
    p->next->prev = p->prev;
    p->listener->stats.pending--;
}

static void on_open(struct csl_conn *conn, void *arg) {
    struct pending *p = arg;
    struct csl_listener *l = p->listener;
    unlink_pending(p);
    free(p);
    csl_conn_set_callbacks(conn, NULL, NULL);
    l->stats.opened++;
    l->cb.on_conn(l, conn, l->arg);
    if (l->paused && !l->closed) {
        accept_more(l);
    }
}

static void on_close(struct csl_conn *conn, enum csl_err err, const struct csl_diag *why, void *arg) {
    struct pending *p = arg;
    struct csl_listener *l = p->listener;
    unlink_pending(p);
    free(p);
    l->stats.failed++;
    if (l->cb.on_failed != NULL) {
        l->cb.on_failed(l, csl_conn_address(conn), err, why, l->arg);
    }
    if (l->paused && !l->closed) {
        accept_more(l);
    }
}

static const struct csl_conn_callbacks pending_callbacks = {.on_open = on_open, .on_close = on_close};

/* ---- accepting ---- */

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer) {
    accept_more(timer->data);
}

/* Waits for room (a handshake that ends, or one that may be evicted) or for descriptors. why: for the log,
 * or NULL. */
static void pause_accepting(struct csl_listener *l, uint64_t ms, enum csl_err err, const char *why) {
    if (!l->paused) {
        l->paused = true;
        (void)uv_poll_stop(&l->poll);
        l->stats.pauses += why != NULL;
        if (why != NULL && l->cb.on_failed != NULL) {
            struct csl_diag diag;
            (void)csl_fail(&diag, err, "accepting pauses: %s", why);
            l->cb.on_failed(l, "", err, &diag, l->arg);
        }
    }
    if (!l->closed) {
        uv_update_time(l->loop);
        (void)uv_timer_start(&l->timer, on_pause_over, ms != 0 ? ms : 1, 0);
    }
}

/* True when there is room for one more handshake. */
static bool make_room(struct csl_listener *l) {
    if (l->stats.pending < l->opt.max_pending) {
        return true;
    }
    struct pending *oldest = l->head.next;
    uint64_t now = csl__now_ms(), ripe = oldest->since + l->opt.evict_ms;
    if (now < ripe) {
        pause_accepting(l, ripe - now, CSL_EBUSY, "too many connections are in their handshake");
        return false;
    }
    if (csl__conn_reason(oldest->conn)[0] == '\0') {
        l->stats.evicted++;
        csl_conn_close(oldest->conn, CSL_EBUSY, "dropped in its handshake to make room for others");
    }
    pause_accepting(l, 1, CSL_OK, NULL); /* its end, from the loop, resumes accepting */
    return false;
}

static void admit(struct csl_listener *l, int fd) {
    struct csl_diag diag;
    struct pending *p = calloc(1, sizeof *p);
    l->stats.accepted++;
    if (p == NULL) {
        (void)close(fd);
        return;
    }
    p->listener = l;
    p->since = csl__now_ms();
    enum csl_err err =
        csl_conn_accept(&p->conn, l->loop, fd, l->ctx, &l->opt.conn, &pending_callbacks, p, &diag);
    if (err != CSL_OK) {
        free(p);
        l->stats.failed++;
        if (l->cb.on_failed != NULL) {
            l->cb.on_failed(l, "", err, &diag, l->arg);
        }
        return;
    }
    p->prev = l->head.prev;
    p->next = &l->head;
    p->prev->next = p;
    l->head.prev = p;
    l->stats.pending++;
}

static void accept_more(struct csl_listener *l) {
    if (l->closed) {
        return;
    }
    for (int i = 0; i < ACCEPTS; i++) {
        if (!make_room(l)) {
            return;
        }
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(l, fd);
            if (l->closed) {
                return;
            }
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            pause_accepting(l, PAUSE_MS, CSL_EOS, strerror(errno));
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            break; /* EAGAIN, or an error of a connection that is gone already */
        }
    }
    if (l->paused) {
        l->paused = false;
        (void)uv_timer_stop(&l->timer);
        (void)uv_poll_start(&l->poll, UV_READABLE, on_readable);
    }
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    struct csl_listener *l = poll->data;
    (void)events;
    if (status < 0) {
        pause_accepting(l, PAUSE_MS, CSL_EOS, uv_strerror(status));
        return;
    }
    accept_more(l);
}

/* ---- making ---- */

static enum csl_err bind_failed(const struct csl_listener_options *opt, int e, struct csl_diag *diag) {
    const char *where = opt->bind_address != NULL ? opt->bind_address : "all addresses";
    if (e == EADDRINUSE) {
        return csl_fail(diag, CSL_EUNAVAILABLE, "port %u on %s is in use; is it running already?", opt->port,
                        where);
    }
    if (e == EACCES || e == EPERM) {
        return csl_fail(diag, CSL_EPERM, "port %u on %s is not permitted; use one above 1023", opt->port,
                        where);
    }
    if (e == EADDRNOTAVAIL) {
        return csl_fail(diag, CSL_ECONFIG, "%s is not an address of this machine; check the bind address",
                        where);
    }
    return csl_fail(diag, CSL_EOS, "cannot listen on port %u of %s: %s", opt->port, where, strerror(e));
}

/* A bound socket, or -1 and errno. */
static int bind_one(const struct addrinfo *ai) {
    int on = 1, off = 0;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (ai->ai_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        int e = errno;
        (void)close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

static enum csl_err bind_socket(int *out, const struct csl_listener_options *opt, struct csl_diag *diag) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    char service[8];
    int fd = -1, e = 0;
    (void)snprintf(service, sizeof service, "%u", opt->port);
    int r = getaddrinfo(opt->bind_address, service, &hints, &list);
    if (r != 0) {
        return csl_fail(diag, CSL_ENOHOST, "bind address %s: %s",
                        opt->bind_address != NULL ? opt->bind_address : "*", gai_strerror(r));
    }
    /* For all addresses IPv6 first (with V6ONLY off it serves IPv4, too); for a name IPv4 first. */
    for (int pass = 0; pass < 2 && fd < 0; pass++) {
        for (const struct addrinfo *ai = list; ai != NULL && fd < 0; ai = ai->ai_next) {
            if ((ai->ai_family == AF_INET6) == (pass == (opt->bind_address != NULL))) {
                fd = bind_one(ai);
                e = fd < 0 ? errno : 0;
            }
        }
    }
    freeaddrinfo(list);
    *out = fd;
    return fd >= 0 ? CSL_OK : bind_failed(opt, e, diag);
}

/* A child that must not inherit, and accept that must not block. */
static enum csl_err start_listening(int *fd, const struct csl_listener_options *opt, struct csl_diag *diag) {
    *fd = opt->fd;
    if (opt->fd < 0) {
        TRY(bind_socket(fd, opt, diag));
    }
    if (listen(*fd, opt->backlog) != 0 || fcntl(*fd, F_SETFL, fcntl(*fd, F_GETFL) | O_NONBLOCK) != 0 ||
        fcntl(*fd, F_SETFD, FD_CLOEXEC) != 0) {
        int e = errno;
        (void)close(*fd);
        return bind_failed(opt, e, diag);
    }
    return CSL_OK;
}

enum csl_err csl_listener_new(struct csl_listener **out, uv_loop_t *loop, struct csl_tls_ctx *ctx,
                              const struct csl_listener_options *opt, const struct csl_listener_callbacks *cb,
                              void *arg, struct csl_diag *diag) {
    *out = NULL;
    int fd;
    TRY(start_listening(&fd, opt, diag));
    struct csl_listener *l = calloc(1, sizeof *l);
    if (l == NULL) {
        (void)close(fd);
        return csl_fail(diag, CSL_ENOMEM, "out of memory for a listener");
    }
    int r = uv_poll_init(loop, &l->poll, fd);
    if (r < 0) {
        (void)close(fd);
        free(l);
        return csl_fail(diag, CSL_EOS, "cannot watch the listening socket: %s", uv_strerror(r));
    }
    (void)uv_timer_init(loop, &l->timer); /* cannot fail */
    l->handles = 2;
    l->loop = loop;
    l->fd = fd;
    l->ctx = csl_tls_ctx_ref(ctx);
    l->opt = *opt;
    l->opt.bind_address = NULL;
    l->opt.max_pending = opt->max_pending != 0 ? opt->max_pending : 1;
    if (opt->conn.expect_name != NULL) {
        (void)snprintf(l->expect, sizeof l->expect, "%s", opt->conn.expect_name);
        l->opt.conn.expect_name = l->expect;
    }
    l->cb = *cb;
    l->arg = arg;
    l->head.next = l->head.prev = &l->head;
    l->poll.data = l->timer.data = l;
    (void)uv_poll_start(&l->poll, UV_READABLE, on_readable);
    *out = l;
    return CSL_OK;
}

void csl_listener_set_ctx(struct csl_listener *l, struct csl_tls_ctx *ctx) {
    struct csl_tls_ctx *old = l->ctx;
    l->ctx = csl_tls_ctx_ref(ctx);
    csl_tls_ctx_free(old);
}

uint16_t csl_listener_port(const struct csl_listener *l) {
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    if (getsockname(l->fd, (struct sockaddr *)&sa, &n) != 0) {
        return 0;
    }
    return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
                                          : ((struct sockaddr_in *)&sa)->sin_port);
}

void csl_listener_stats(const struct csl_listener *l, struct csl_listener_stats *out) {
    *out = l->stats;
}

static void on_handle_gone(uv_handle_t *handle) {
    struct csl_listener *l = handle->data;
    if (--l->handles == 0) {
        csl_tls_ctx_free(l->ctx);
        free(l);
    }
}

void csl_listener_close(struct csl_listener *l) {
    if (l == NULL || l->closed) {
        return;
    }
    l->closed = true;
    while (l->head.next != &l->head) {
        struct pending *p = l->head.next;
        unlink_pending(p);
        csl_conn_set_callbacks(p->conn, NULL, NULL);
        csl_conn_close(p->conn, CSL_OK, NULL);
        free(p);
    }
    uv_close((uv_handle_t *)&l->poll, on_handle_gone);
    uv_close((uv_handle_t *)&l->timer, on_handle_gone);
    (void)close(l->fd);
}
