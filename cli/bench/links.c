#include "cli/bench/links.h"

#include <errno.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/bench/machine.h"
#include "net/listener.h"

enum { MEET_MS = 20000, ROUND_MS = 60000 };

struct mesh {
    unsigned n;
    char names[CSL_MAX_PARTIES][24];
    struct csl_tls_ctx *ctx[CSL_MAX_PARTIES];
    struct csl_conn_parts *parts[CSL_MAX_PARTIES][CSL_MAX_PARTIES]; /* [i][j]: i's end of its line with j */
};

/* A party's end, in shared memory. */
struct outcome {
    enum csl_err err;
    struct csl_diag diag;
};

void *csl_bench_shared_alloc(size_t n) {
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void csl_bench_shared_free(void *p, size_t n) {
    if (p != NULL) {
        (void)munmap(p, n);
    }
}

/* ---- Connections, made before anybody forks ---- */

struct meeting {
    struct csl_conn_parts *ends[2];
    enum csl_err err;
    struct csl_diag why;
};

static void on_open(struct csl_conn *conn, void *arg) {
    struct meeting *m = arg;
    m->ends[0] = csl_conn_detach(conn);
}

static void on_close(struct csl_conn *conn, enum csl_err err, const struct csl_diag *why, void *arg) {
    struct meeting *m = arg;
    (void)conn;
    m->err = err;
    m->why = *why;
}

static void on_conn(struct csl_listener *listener, struct csl_conn *conn, void *arg) {
    struct meeting *m = arg;
    (void)listener;
    m->ends[1] = csl_conn_detach(conn);
}

static bool met(void *arg) {
    const struct meeting *m = arg;
    return (m->ends[0] != NULL && m->ends[1] != NULL) || m->err != CSL_OK;
}

static enum csl_err meet(struct meeting *m, struct csl_loop *loop, struct csl_tls_ctx *a,
                         struct csl_tls_ctx *b, struct csl_diag *diag) {
    static const struct csl_listener_callbacks lcb = {.on_conn = on_conn};
    static const struct csl_conn_callbacks cb = {.on_open = on_open, .on_close = on_close};
    struct csl_listener_options opt;
    struct csl_listener *listener;
    struct csl_conn *conn;
    csl_listener_options_init(&opt);
    opt.bind_address = "127.0.0.1";
    TRY(csl_listener_new(&listener, &loop->uv, b, &opt, &lcb, m, diag));
    enum csl_err err =
        csl_conn_dial(&conn, &loop->uv, "127.0.0.1", csl_listener_port(listener), a, NULL, &cb, m, diag);
    if (err == CSL_OK) {
        err = csl_loop_run_until(loop, met, m, MEET_MS);
    }
    csl_listener_close(listener);
    return err == CSL_OK && m->err != CSL_OK ? csl_fail(diag, m->err, "%s", m->why.text) : err;
}

static enum csl_err link_pair(struct mesh *m, unsigned i, unsigned j, struct csl_diag *diag) {
    struct meeting meeting = {.err = CSL_OK};
    struct csl_loop loop;
    TRY(csl_loop_init(&loop, diag));
    enum csl_err err = meet(&meeting, &loop, m->ctx[i], m->ctx[j], diag);
    enum csl_err cleared = csl_loop_clear(&loop, MEET_MS);
    m->parts[i][j] = meeting.ends[0];
    m->parts[j][i] = meeting.ends[1];
    return err != CSL_OK ? err : cleared;
}

static enum csl_err certify(struct mesh *m, X509 *ca, EVP_PKEY *ca_key, struct csl_diag *diag) {
    for (unsigned i = 0; i < m->n; i++) {
        X509 *cert;
        EVP_PKEY *key;
        (void)snprintf(m->names[i], sizeof m->names[i], "party-%u", i);
        TRY(csl_bench_cert(&cert, &key, m->names[i], ca, ca_key));
        struct csl_tls_config config = {.cert = cert, .key = key, .ca = ca};
        enum csl_err err = csl_tls_ctx_new(&m->ctx[i], &config, diag);
        X509_free(cert);
        EVP_PKEY_free(key);
        TRY(err);
    }
    return CSL_OK;
}

static enum csl_err make_mesh(struct mesh *m, struct csl_diag *diag) {
    X509 *ca;
    EVP_PKEY *ca_key;
    TRY(csl_bench_cert(&ca, &ca_key, "Bench CA", NULL, NULL));
    enum csl_err err = certify(m, ca, ca_key, diag);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    for (unsigned i = 0; i < m->n && err == CSL_OK; i++) {
        for (unsigned j = i + 1; j < m->n && err == CSL_OK; j++) {
            err = link_pair(m, i, j, diag);
        }
    }
    return err;
}

/* Of all parties but one. */
static void free_mesh(struct mesh *m, unsigned but) {
    for (unsigned i = 0; i < m->n; i++) {
        for (unsigned j = 0; j < m->n && i != but; j++) {
            csl_conn_parts_free(m->parts[i][j]);
            m->parts[i][j] = NULL;
        }
        csl_tls_ctx_free(m->ctx[i]);
        m->ctx[i] = NULL;
    }
}

/* ---- A party ---- */

static enum csl_err attach(struct csl_mesh_link **link, struct mesh *m, unsigned self, struct csl_loop *loop,
                           uint32_t max_bytes, enum csl_wait wait, struct csl_diag *diag) {
    struct csl_mesh_options opt = {
        .n_parties = m->n, .self = self, .max_message_bytes = max_bytes, .round_ms = ROUND_MS, .wait = wait};
    for (unsigned i = 0; i < m->n; i++) {
        opt.names[i] = m->names[i];
    }
    TRY(csl_mesh_link_new(link, loop, &opt, diag));
    for (unsigned p = 0; p < m->n; p++) {
        if (p != self) {
            struct csl_conn_parts *parts = m->parts[self][p];
            m->parts[self][p] = NULL;
            TRY(csl_mesh_link_attach(*link, p, parts, diag));
        }
    }
    return CSL_OK;
}

static enum csl_err run_party(struct mesh *m, unsigned self, uint32_t max_bytes, enum csl_wait wait,
                              csl_bench_party_fn *fn, void *arg, struct csl_diag *diag) {
    struct csl_loop loop;
    struct csl_mesh_link *link = NULL;
    TRY(csl_loop_init(&loop, diag));
    enum csl_err err = attach(&link, m, self, &loop, max_bytes, wait, diag);
    if (err == CSL_OK) {
        err = fn(csl_mesh_link_base(link), arg, diag);
    }
    csl_mesh_link_free(link);
    (void)!csl_loop_clear(&loop, MEET_MS);
    return err;
}

/* ---- All of them ---- */

static pid_t start(struct mesh *m, unsigned self, uint32_t max_bytes, enum csl_wait wait,
                   csl_bench_party_fn *fn, void *arg, struct outcome *out) {
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        free_mesh(m, self); /* the sockets of others */
        out->err =
            getppid() != parent ? CSL_EINTERNAL : run_party(m, self, max_bytes, wait, fn, arg, &out->diag);
        _exit(0);
    }
    return pid;
}

static void run_processes(struct mesh *m, uint32_t max_bytes, enum csl_wait wait, csl_bench_party_fn *fn,
                          void *arg, struct outcome *outcomes) {
    pid_t pid[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < m->n; i++) {
        outcomes[i].err = CSL_EINTERNAL;
        (void)csl_fail(&outcomes[i].diag, CSL_EINTERNAL, "party %u did not end well", i);
        pid[i] = start(m, i, max_bytes, wait, fn, arg, &outcomes[i]);
    }
    free_mesh(m, m->n); /* a party that dies takes its sockets along */
    for (unsigned i = 0; i < m->n; i++) {
        int status;
        while (pid[i] > 0 && waitpid(pid[i], &status, 0) < 0 && errno == EINTR) {
        }
    }
}

enum csl_err csl_bench_links_run(unsigned n, uint32_t max_bytes, enum csl_wait wait, csl_bench_party_fn *fn,
                                 void *arg, struct csl_diag *diag) {
    struct mesh m = {.n = n};
    struct outcome *outcomes = csl_bench_shared_alloc(n * sizeof *outcomes);
    if (outcomes == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = make_mesh(&m, diag);
    if (err == CSL_OK) {
        run_processes(&m, max_bytes, wait, fn, arg, outcomes);
    }
    for (unsigned i = 0; i < n && err == CSL_OK; i++) {
        err = outcomes[i].err == CSL_OK
                  ? CSL_OK
                  : csl_fail(diag, outcomes[i].err, "party %u: %.400s", i, outcomes[i].diag.text);
    }
    free_mesh(&m, n);
    csl_bench_shared_free(outcomes, n * sizeof *outcomes);
    return err;
}
