#include "test_pair.h"

#include "net/listener.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(enum csl_err err, const struct csl_diag *diag, const char *what) {
    if (err != CSL_OK) {
        (void)fprintf(stderr, "%s: %s: %s\n", what, csl_err_name(err), diag->text);
        abort();
    }
}

struct meeting {
    struct csl_conn_parts *ends[2];
};

static void on_open(struct csl_conn *conn, void *arg) {
    struct meeting *m = arg;
    m->ends[0] = csl_conn_detach(conn);
}

static void on_close(struct csl_conn *conn, enum csl_err err, const struct csl_diag *why, void *arg) {
    (void)conn, (void)arg;
    must(err, why, "dial");
}

static void on_conn(struct csl_listener *listener, struct csl_conn *conn, void *arg) {
    struct meeting *m = arg;
    (void)listener;
    m->ends[1] = csl_conn_detach(conn);
}

static bool met(void *arg) {
    const struct meeting *m = arg;
    return m->ends[0] != NULL && m->ends[1] != NULL;
}

void test_connect(struct csl_conn_parts *ends[2], struct csl_tls_ctx *a, struct csl_tls_ctx *b) {
    struct csl_loop loop;
    struct csl_diag diag = {""};
    struct csl_listener *listener;
    struct csl_listener_options opt;
    struct csl_conn *conn;
    struct meeting m = {{NULL, NULL}};
    const struct csl_listener_callbacks lcb = {.on_conn = on_conn};
    const struct csl_conn_callbacks cb = {.on_open = on_open, .on_close = on_close};
    csl_listener_options_init(&opt);
    opt.bind_address = "127.0.0.1";
    must(csl_loop_init(&loop, &diag), &diag, "loop");
    must(csl_listener_new(&listener, &loop.uv, b, &opt, &lcb, &m, &diag), &diag, "listener");
    must(csl_conn_dial(&conn, &loop.uv, "127.0.0.1", csl_listener_port(listener), a, NULL, &cb, &m, &diag),
         &diag, "dial");
    must(csl_loop_run_until(&loop, met, &m, 60000), &diag, "meeting");
    csl_listener_close(listener);
    must(csl_loop_clear(&loop, 10000), &diag, "clear");
    ends[0] = m.ends[0];
    ends[1] = m.ends[1];
}

void test_mesh_new(struct test_mesh *m, unsigned n, const struct test_ca *ca) {
    struct csl_tls_ctx *ctx[CSL_MAX_PARTIES];
    memset(m, 0, sizeof *m);
    m->n = n;
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(m->names[i], sizeof m->names[i], "party-%u", i);
        ctx[i] = test_site(ca, m->names[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        for (unsigned j = i + 1; j < n; j++) {
            struct csl_conn_parts *ends[2];
            test_connect(ends, ctx[i], ctx[j]);
            m->parts[i][j] = ends[0];
            m->parts[j][i] = ends[1];
        }
    }
    for (unsigned i = 0; i < n; i++) {
        csl_tls_ctx_free(ctx[i]);
    }
}

struct csl_mesh_link *test_mesh_link(struct test_mesh *m, unsigned self, struct csl_loop *loop,
                                     uint32_t max_bytes, uint32_t round_ms, enum csl_wait wait) {
    struct csl_diag diag = {""};
    struct csl_mesh_link *link;
    struct csl_mesh_options opt = {
        .n_parties = m->n, .self = self, .max_message_bytes = max_bytes, .round_ms = round_ms, .wait = wait};
    for (unsigned i = 0; i < m->n; i++) {
        opt.names[i] = m->names[i];
    }
    must(csl_mesh_link_new(&link, loop, &opt, &diag), &diag, "mesh");
    for (unsigned p = 0; p < m->n; p++) {
        if (p != self) {
            must(csl_mesh_link_attach(link, p, m->parts[self][p], &diag), &diag, "attach");
            m->parts[self][p] = NULL;
        }
    }
    return link;
}
