#include "conn_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>

static void on_open(struct csl_conn *c, void *arg) {
    struct end *e = arg;
    e->conn = c;
    e->open = true;
}

static enum csl_err on_header(struct csl_conn *c, const struct csl_frame_header *h, uint8_t **dst,
                              struct csl_diag *diag, void *arg) {
    struct end *e = arg;
    (void)c, (void)diag;
    if (h->type == CSL_FRAME_DATA) {
        *dst = e->direct;
    }
    return CSL_OK;
}

static void on_frame(struct csl_conn *c, const struct csl_frame_header *h, const uint8_t *payload,
                     void *arg) {
    struct end *e = arg;
    (void)c;
    e->frames++;
    e->last = *h;
    e->bytes += h->n;
    e->disorder = e->disorder || (h->type == CSL_FRAME_DATA && h->seq != e->next_seq++);
    if (e->then != NULL) {
        e->then(e, h, payload);
    }
}

static void on_close(struct csl_conn *c, enum csl_err err, const struct csl_diag *why, void *arg) {
    struct end *e = arg;
    (void)c;
    assert_false(e->closed);
    e->closed = true;
    e->conn = NULL;
    e->err = err;
    e->why = *why;
}

const struct csl_conn_callbacks end_callbacks = {on_open, on_header, on_frame, on_close};

struct test_ca conn_ca;

int conn_setup(void **state) {
    (void)state;
    conn_ca = test_ca_new("Test CA");
    return 0;
}

int conn_teardown(void **state) {
    (void)state;
    test_ca_free(&conn_ca);
    return 0;
}

static void on_conn(struct csl_listener *l, struct csl_conn *c, void *arg) {
    struct site *s = arg;
    (void)l;
    assert_true(s->n_in < MAX_ENDS);
    struct end *e = &s->in[s->n_in++];
    e->conn = c;
    e->open = true;
    csl_conn_set_callbacks(c, &end_callbacks, e);
}

static void on_failed(struct csl_listener *l, const char *address, enum csl_err err,
                      const struct csl_diag *why, void *arg) {
    struct site *s = arg;
    (void)l;
    if (address[0] != '\0') {
        s->failed++;
        s->fail_err = err;
        s->fail_why = *why;
    }
}

const struct csl_listener_callbacks site_callbacks = {on_conn, on_failed};

void site_options(struct site *s, struct csl_listener_options *opt) {
    memset(s, 0, sizeof *s);
    csl_listener_options_init(opt);
    csl_conn_options_init(&s->opt);
    s->opt.limits.max[CSL_FRAME_DATA] = DATA_MAX;
    opt->conn = s->opt;
    opt->bind_address = "127.0.0.1";
    s->alice = test_site(&conn_ca, "alice");
    s->bob = test_site(&conn_ca, "bob");
    assert_int_equal(csl_loop_init(&s->loop, NULL), CSL_OK);
}

void site_listen(struct site *s, const struct csl_listener_options *opt) {
    struct csl_diag diag;
    enum csl_err err = csl_listener_new(&s->listener, &s->loop.uv, s->bob, opt, &site_callbacks, s, &diag);
    if (err != CSL_OK) {
        fail_msg("%s", diag.text);
    }
}

void site_init(struct site *s) {
    struct csl_listener_options opt;
    site_options(s, &opt);
    site_listen(s, &opt);
}

void site_clear(struct site *s) {
    csl_listener_close(s->listener);
    for (unsigned i = 0; i < s->n_in; i++) {
        if (s->in[i].conn != NULL) {
            csl_conn_set_callbacks(s->in[i].conn, NULL, NULL);
            csl_conn_close(s->in[i].conn, CSL_OK, NULL);
        }
    }
    assert_int_equal(csl_loop_clear(&s->loop, LONG_MS), CSL_OK);
    csl_tls_ctx_free(s->alice);
    csl_tls_ctx_free(s->bob);
}

void end_drop(struct end *e) {
    if (e->conn != NULL) {
        csl_conn_set_callbacks(e->conn, NULL, NULL);
        csl_conn_close(e->conn, CSL_OK, NULL);
        e->conn = NULL;
    }
}

void site_dial(struct site *s, struct end *e, struct csl_tls_ctx *ctx) {
    memset(e, 0, sizeof *e);
    assert_int_equal(csl_conn_dial(&e->conn, &s->loop.uv, "127.0.0.1", csl_listener_port(s->listener), ctx,
                                   &s->opt, &end_callbacks, e, NULL),
                     CSL_OK);
}

void site_run(struct site *s, bool (*done)(void *), void *arg) {
    enum csl_err err = csl_loop_run_until(&s->loop, done, arg, LONG_MS);
    assert_int_equal(err, CSL_OK);
}

bool end_is_open(void *arg) {
    const struct end *e = arg;
    if (e->closed) {
        fail_msg("closed: %s", e->why.text);
    }
    return e->open;
}

bool end_is_closed(void *arg) {
    return ((struct end *)arg)->closed;
}

bool site_has_guest(void *arg) {
    return ((struct site *)arg)->n_in != 0;
}

bool site_has_failed(void *arg) {
    return ((struct site *)arg)->failed != 0;
}

void site_connect(struct site *s, struct end *a) {
    site_dial(s, a, s->alice);
    site_run(s, end_is_open, a);
    site_run(s, site_has_guest, s);
}

void assert_says(const struct csl_diag *d, const char *words) {
    if (strstr(d->text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", d->text, words);
    }
}

void end_echo(struct end *e, const struct csl_frame_header *h, const uint8_t *payload) {
    assert_int_equal(csl_conn_send(e->conn, (enum csl_frame_type)h->type, h->seq, payload, h->n), CSL_OK);
}

bool end_has_one_frame(void *arg) {
    struct end *e = arg;
    return e->frames == 1 || e->closed;
}

/* ---- sockets that are no csl_conn ---- */

int site_raw_socket(const struct site *s) {
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(csl_listener_port(s->listener))};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

void hand_init(struct hand *h, struct site *s) {
    h->site = s;
    h->fd = site_raw_socket(s);
    assert_int_equal(csl_tls_new(&h->tls, s->alice, false, NULL), CSL_OK);
}

size_t hand_send(struct hand *h, size_t n) {
    size_t have;
    const uint8_t *out = csl_tls_out(h->tls, &have);
    n = n < have ? n : have;
    ssize_t r = n != 0 ? send(h->fd, out, n, MSG_NOSIGNAL) : 0;
    if (r > 0) {
        csl_tls_out_consume(h->tls, (size_t)r);
    }
    return r > 0 ? (size_t)r : 0;
}

/* A byte out, a byte in. */
static bool hand_shake(void *arg) {
    struct hand *h = arg;
    uint8_t b;
    bool done;
    size_t taken;
    (void)hand_send(h, 1);
    if (recv(h->fd, &b, 1, MSG_DONTWAIT) == 1) {
        csl_tls_feed(h->tls, &b, 1, &taken);
    }
    assert_int_equal(csl_tls_handshake(h->tls, &done, NULL), CSL_OK);
    (void)uv_run(&h->site->loop.uv, UV_RUN_NOWAIT);
    return done && h->site->n_in != 0;
}

void hand_connect(struct hand *h) {
    while (!hand_shake(h)) {
    }
}

void hand_clear(struct hand *h) {
    csl_tls_free(h->tls);
    (void)close(h->fd);
}

void hand_frame(struct hand *h, unsigned type, uint32_t seq, uint32_t n, uint32_t sent) {
    uint8_t frame[CSL_FRAME_HEADER_BYTES + 200] = {0};
    struct csl_frame_header head = {.n = n, .type = (uint8_t)type, .seq = seq};
    assert_true(sent <= 200);
    csl_frame_encode_header(frame, &head);
    assert_int_equal(csl_tls_write(h->tls, frame, CSL_FRAME_HEADER_BYTES + sent, NULL), CSL_OK);
}
