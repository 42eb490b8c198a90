/* Dialling: name, then every address in turn, then TLS. */
#include "net/conn_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct csl__resolve {
    uv_getaddrinfo_t req;
    struct csl_conn *conn; /* NULL when it has given up */
};

void csl__print_address(char *out, size_t n, const struct sockaddr *sa) {
    char host[INET6_ADDRSTRLEN] = "?";
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
        (void)uv_inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        (void)snprintf(out, n, "%s:%u", host, ntohs(v4->sin_port));
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;
        (void)uv_inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        (void)snprintf(out, n, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        (void)snprintf(out, n, "?");
    }
}

void csl__dial_cancel(struct csl_conn *c) {
    if (c->resolve != NULL) {
        c->resolve->conn = NULL;
        (void)uv_cancel((uv_req_t *)&c->resolve->req);
        c->resolve = NULL;
    }
    uv_freeaddrinfo(c->addresses);
    c->addresses = c->next_address = NULL;
}

/* No address answered: the last failure is in c->why. */
static void give_up(struct csl_conn *c) {
    csl__conn_finish(c, c->all_timed_out ? CSL_ETIMEOUT : CSL_EUNAVAILABLE, NULL);
}

/* Remembers why this address did not answer. */
static void note_failure(struct csl_conn *c, int e) {
    const char *advice = "";
    if (e == ECONNREFUSED) {
        advice = "; is it running there, and is this the right port?";
    } else if (e == ENETUNREACH || e == EHOSTUNREACH) {
        advice = "; check the address and the route";
    } else if (e == ETIMEDOUT) {
        advice = "; check the address, and that no firewall drops it";
    }
    c->all_timed_out = c->all_timed_out && e == ETIMEDOUT;
    (void)csl_fail(&c->why, CSL_EUNAVAILABLE, "%s: %s%s", c->s->address, strerror(e), advice);
}

static void drop_socket(struct csl_conn *c) {
    csl__conn_stop_poll(c);
    if (c->s->fd >= 0) {
        (void)close(c->s->fd);
        c->s->fd = -1;
    }
}

void csl__set_tcp_options(int fd) {
    int on = 1, idle = 30, interval = 10, count = 3;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

/* Begins a connection to one address; an errno value when it fails at once. */
static int try_address(struct csl_conn *c, const struct addrinfo *ai) {
    struct csl_diag diag;
    csl__print_address(c->s->address, sizeof c->s->address, ai->ai_addr);
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    c->s->fd = fd;
    csl__set_tcp_options(fd);
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0 && errno != EINPROGRESS && errno != EINTR) {
        return errno;
    }
    return csl__conn_start_poll(c, &diag) == CSL_OK ? 0 : ENOMEM;
}

/* The next address, with its share of the time that is left. */
void csl__dial_next(struct csl_conn *c) {
    if (c->poll != NULL) {
        note_failure(c, ETIMEDOUT);
    }
    drop_socket(c);
    while (c->next_address != NULL) {
        const struct addrinfo *ai = c->next_address;
        unsigned left = 0;
        for (const struct addrinfo *a = ai; a != NULL; a = a->ai_next) {
            left++;
        }
        uint64_t now = csl__now_ms(), end = c->since + c->s->opt.connect_ms;
        if (now >= end) {
            break;
        }
        c->next_address = ai->ai_next;
        c->attempt_ends = now + (end - now) / left;
        int e = try_address(c, ai);
        if (e == 0) {
            csl__conn_arm(c);
            return;
        }
        note_failure(c, e);
        drop_socket(c);
    }
    give_up(c);
}

/* A free local port can be given to the connection that asks for it: then it reaches itself. */
static bool is_own_socket(int fd) {
    struct sockaddr_storage here, there;
    socklen_t n_here = sizeof here, n_there = sizeof there;
    memset(&here, 0, sizeof here);
    memset(&there, 0, sizeof there);
    return getsockname(fd, (struct sockaddr *)&here, &n_here) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &n_there) == 0 && n_here == n_there &&
           memcmp(&here, &there, n_here) == 0;
}

void csl__dial_writable(struct csl_conn *c) {
    int e = 0;
    socklen_t len = sizeof e;
    if (getsockopt(c->s->fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0) {
        e = errno;
    }
    if (e == 0 && is_own_socket(c->s->fd)) {
        e = ECONNREFUSED;
    }
    if (e != 0) {
        note_failure(c, e);
        drop_socket(c);
        csl__dial_next(c);
        return;
    }
    uv_freeaddrinfo(c->addresses);
    c->addresses = c->next_address = NULL;
    (void)snprintf(c->s->label, sizeof c->s->label, "%s%s%s%s",
                   c->s->opt.expect_name != NULL ? c->s->opt.expect_name : "",
                   c->s->opt.expect_name != NULL ? " (" : "", c->s->address,
                   c->s->opt.expect_name != NULL ? ")" : "");
    struct csl_diag diag;
    c->why.text[0] = '\0';
    enum csl_err err = csl__conn_start_tls(c, c->ctx, false, &diag);
    if (err != CSL_OK) {
        csl__conn_finish(c, err, &diag);
    }
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list) {
    struct csl__resolve *r = (struct csl__resolve *)req;
    struct csl_conn *c = r->conn;
    free(r);
    if (c == NULL) {
        uv_freeaddrinfo(list);
        return;
    }
    c->resolve = NULL;
    if (status < 0 || list == NULL) {
        struct csl_diag diag;
        uv_freeaddrinfo(list);
        enum csl_err err = status == UV_EAI_AGAIN ? CSL_EUNAVAILABLE : CSL_ENOHOST;
        csl__conn_finish(c,
                         csl_fail(&diag, err, "the host name does not resolve: %s; check it in the roster",
                                  status < 0 ? uv_strerror(status) : "no address"),
                         &diag);
        return;
    }
    c->addresses = c->next_address = list;
    c->state = CSL__CONN_CONNECTING;
    csl__dial_next(c);
}

static enum csl_err resolve(struct csl_conn *c, const char *host, uint16_t port, struct csl_diag *diag) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char service[8];
    (void)snprintf(service, sizeof service, "%u", port);
    struct csl__resolve *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "out of memory for a connection");
    }
    r->conn = c;
    c->resolve = r;
    int e = uv_getaddrinfo(c->loop, &r->req, on_resolved, host, service, &hints);
    if (e < 0) {
        c->resolve = NULL;
        free(r);
        return csl_fail(diag, e == UV_ENOMEM ? CSL_ENOMEM : CSL_ENOHOST, "%s: %s", host, uv_strerror(e));
    }
    return CSL_OK;
}

enum csl_err csl_conn_dial(struct csl_conn **out, uv_loop_t *loop, const char *host, uint16_t port,
                           struct csl_tls_ctx *ctx, const struct csl_conn_options *opt,
                           const struct csl_conn_callbacks *cb, void *arg, struct csl_diag *diag) {
    *out = NULL;
    struct csl_conn_parts *s = csl__parts_new(opt);
    struct csl_conn *c = s != NULL ? csl__conn_new(loop, s, cb, arg) : NULL;
    if (c == NULL) {
        csl_conn_parts_free(s);
        return csl_fail(diag, CSL_ENOMEM, "out of memory for a connection");
    }
    c->ctx = csl_tls_ctx_ref(ctx);
    c->all_timed_out = true;
    (void)snprintf(s->address, sizeof s->address, "%s:%u", host, port);
    (void)snprintf(s->label, sizeof s->label, "%s%s%.*s%s", s->opt.expect_name != NULL ? s->expect : "",
                   s->opt.expect_name != NULL ? " (" : "", (int)sizeof s->address, s->address,
                   s->opt.expect_name != NULL ? ")" : "");
    enum csl_err err = resolve(c, host, port, diag);
    if (err != CSL_OK) {
        csl_conn_set_callbacks(c, NULL, NULL);
        csl_conn_close(c, err, NULL);
        return err;
    }
    csl__conn_arm(c);
    *out = c;
    return CSL_OK;
}
