/* The exchange round of N processes over TLS 1.3 on loopback, by plain sockets and OpenSSL alone. */
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/bench/machine.h"

enum {
    STRETCHES = 520, /* at most, of a size */
    POLL_US = 100,   /* as the parties: whoever polls for longer keeps others off the cores */
    DEADLINE_MS = 60000,
    DEADLINE_S = 600,
    READ_BUFFER = 64 << 10
};

const size_t csl_bench_sizes[CSL_BENCH_SIZES] = {16, 1 << 10, 8 << 10, 64 << 10, 1 << 20};
static const unsigned stretch_rounds[CSL_BENCH_SIZES] = {10, 10, 5, 2, 1};
static const double budget_s = 0.5; /* of a size: on a loaded machine fewer stretches must do */

/* Memory that all processes see. */
struct shared {
    struct csl_bench_rounds rounds;
    pthread_barrier_t ready;
    atomic_uint last; /* round of a size, by party 0 */
};

struct probe {
    unsigned n, self;
    bool quick;
    int listener[CSL_MAX_PARTIES];
    uint16_t port[CSL_MAX_PARTIES];
    SSL_CTX *ctx;
    SSL *ssl[CSL_MAX_PARTIES];
    int fd[CSL_MAX_PARTIES];
    uint8_t *out, *in;
    struct shared *shared;
};

/* ---- One exchange ---- */

struct progress {
    size_t sent[CSL_MAX_PARTIES], got[CSL_MAX_PARTIES];
};

/* 1: went on; 0: would block; -1: failed. */
static int moved(SSL *ssl, int rc, size_t *at) {
    if (rc > 0) {
        *at += (size_t)rc;
        return 1;
    }
    int e = SSL_get_error(ssl, rc);
    return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* Tries every peer once, both ways; the number of steps that went on, or -1. */
static int step(struct probe *p, struct progress *x, size_t n, bool *done) {
    int steps = 0;
    *done = true;
    for (unsigned i = 0; i < p->n; i++) {
        if (i == p->self) {
            continue;
        }
        int w = 0, r = 0;
        if (x->sent[i] < n) {
            w = moved(p->ssl[i], SSL_write(p->ssl[i], p->out + x->sent[i], (int)(n - x->sent[i])),
                      &x->sent[i]);
        }
        if (x->got[i] < n) {
            r = moved(p->ssl[i], SSL_read(p->ssl[i], p->in + x->got[i], (int)(n - x->got[i])), &x->got[i]);
        }
        if (w < 0 || r < 0) {
            return -1;
        }
        steps += w + r;
        *done = *done && x->sent[i] == n && x->got[i] == n;
    }
    return steps;
}

static nfds_t wanted(struct pollfd f[CSL_MAX_PARTIES], const struct probe *p, const struct progress *x,
                     size_t n) {
    nfds_t k = 0;
    for (unsigned i = 0; i < p->n; i++) {
        if (i != p->self && (x->got[i] < n || x->sent[i] < n)) {
            short events = (short)((x->got[i] < n ? POLLIN : 0) | (x->sent[i] < n ? POLLOUT : 0));
            f[k++] = (struct pollfd){.fd = p->fd[i], .events = events};
        }
    }
    return k;
}

/* Asks with poll(), which takes no socket's lock while the kernel delivers. False: nothing came. */
static bool polled(struct pollfd *f, nfds_t k) {
    double end = csl_bench_now_s() + POLL_US * 1e-6;
    do {
        if (poll(f, k, 0) > 0) {
            return true;
        }
        (void)sched_yield();
    } while (csl_bench_now_s() < end);
    return false;
}

static bool exchange(struct probe *p, size_t n, bool spin) {
    struct progress x = {{0}, {0}};
    for (bool done = false; !done;) {
        struct pollfd f[CSL_MAX_PARTIES];
        int steps = step(p, &x, n, &done);
        if (steps < 0) {
            return false;
        }
        if (steps == 0 && !done) {
            nfds_t k = wanted(f, p, &x, n);
            if (!(spin && polled(f, k)) && poll(f, k, DEADLINE_MS) <= 0 && errno != EINTR) {
                return false;
            }
        }
    }
    return true;
}

/* ---- Connections ---- */

static bool finish_handshake(SSL *ssl) {
    for (;;) {
        int rc = SSL_do_handshake(ssl);
        if (rc == 1) {
            return true;
        }
        int e = SSL_get_error(ssl, rc);
        struct pollfd f = {.fd = SSL_get_fd(ssl), .events = e == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN};
        if ((e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) || poll(&f, 1, DEADLINE_MS) <= 0) {
            return false;
        }
    }
}

static bool secure(struct probe *p, unsigned peer, int fd, bool server) {
    int on = 1;
    SSL *ssl = SSL_new(p->ctx);
    p->ssl[peer] = ssl;
    p->fd[peer] = fd;
    if (fd < 0 || ssl == NULL || SSL_set_fd(ssl, fd) != 1 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        return false;
    }
    (server ? SSL_set_accept_state : SSL_set_connect_state)(ssl);
    return finish_handshake(ssl);
}

static int dial(uint16_t port) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool set_nonblocking(struct probe *p) {
    for (unsigned i = 0; i < p->n; i++) {
        if (i != p->self && BIO_socket_nbio(p->fd[i], 1) != 1) {
            return false;
        }
    }
    return true;
}

/* Dials all lower numbers, one after the other, then accepts the higher ones: whoever comes says its number.
 */
static bool connect_all(struct probe *p) {
    for (unsigned i = 0; i < p->self; i++) {
        int fd = dial(p->port[i]);
        uint8_t self = (uint8_t)p->self;
        if (fd < 0 || write(fd, &self, 1) != 1 || !secure(p, i, fd, false)) {
            return false;
        }
    }
    for (unsigned i = p->self + 1; i < p->n; i++) {
        int fd = accept(p->listener[p->self], NULL, NULL);
        uint8_t who = 0;
        if (fd < 0 || read(fd, &who, 1) != 1 || who <= p->self || who >= p->n || p->ssl[who] != NULL ||
            !secure(p, who, fd, true)) {
            return false;
        }
    }
    return set_nonblocking(p);
}

/* ---- A process ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The middle stretch. Party 0 ends it two rounds ahead: nobody can begin the third without its message. */
static bool middle(struct probe *p, double *us, size_t n, unsigned stretch, unsigned most, bool spin) {
    double begun = csl_bench_now_s(), from = begun, all[STRETCHES];
    size_t n_all = 0;
    for (unsigned k = 1; k <= atomic_load(&p->shared->last); k++) {
        if (!exchange(p, n, spin)) {
            return false;
        }
        if (p->self == 0 && k % stretch == 0) {
            double to = csl_bench_now_s();
            all[n_all++] = (to - from) * 1e6 / stretch;
            if (to - begun > budget_s && k + 2 < most) {
                atomic_store(&p->shared->last, k + 2);
                most = 0;
            }
            from = to;
        }
    }
    qsort(all, n_all, sizeof *all, by_value);
    *us = n_all > 0 ? all[n_all / 2] : INFINITY;
    return true;
}

/* Stretches are as long as a small batch, whose median is compared with theirs: on a loaded machine most of
 * them pass between two interruptions, as most batches do. */
static bool measure(struct probe *p, double us[CSL_BENCH_SIZES], bool spin) {
    for (size_t s = 0; s < CSL_BENCH_SIZES; s++) {
        double one;
        unsigned stretch = stretch_rounds[s], most = stretch * (p->quick ? STRETCHES / 13 : STRETCHES);
        most = s + 1 == CSL_BENCH_SIZES ? most / 2 : most; /* the largest are slow */
        if (p->self == 0) {
            atomic_store(&p->shared->last, most);
        }
        (void)pthread_barrier_wait(&p->shared->ready);
        if (!middle(p, &one, csl_bench_sizes[s], stretch, most, spin)) {
            return false;
        }
        if (p->self == 0) {
            us[s] = one;
        }
        (void)pthread_barrier_wait(&p->shared->ready);
    }
    return true;
}

static bool run(struct probe *p) {
    size_t most = csl_bench_sizes[CSL_BENCH_SIZES - 1];
    p->out = calloc(1, most);
    p->in = calloc(1, most);
    return p->out != NULL && p->in != NULL && connect_all(p) && measure(p, p->shared->rounds.spin_us, true) &&
           measure(p, p->shared->rounds.block_us, false);
}

static bool open_probe(struct probe *p) {
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    p->ctx = SSL_CTX_new(TLS_method());
    bool ok = p->ctx != NULL && csl_bench_cert(&cert, &key, "probe", NULL, NULL) == CSL_OK &&
              SSL_CTX_set_min_proto_version(p->ctx, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_ciphersuites(p->ctx, "TLS_AES_128_GCM_SHA256") == 1 &&
              SSL_CTX_set_num_tickets(p->ctx, 0) == 1 && SSL_CTX_use_certificate(p->ctx, cert) == 1 &&
              SSL_CTX_use_PrivateKey(p->ctx, key) == 1;
    X509_free(cert);
    EVP_PKEY_free(key);
    if (ok) {
        (void)SSL_CTX_set_mode(p->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_read_ahead(p->ctx, 1); /* one system call takes header and body of a record, or several */
        SSL_CTX_set_default_read_buffer_len(p->ctx, READ_BUFFER);
    }
    for (unsigned i = 0; i < p->n && ok; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof a;
        p->listener[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ok = p->listener[i] >= 0 && bind(p->listener[i], (struct sockaddr *)&a, sizeof a) == 0 &&
             listen(p->listener[i], CSL_MAX_PARTIES) == 0 &&
             getsockname(p->listener[i], (struct sockaddr *)&a, &n) == 0;
        p->port[i] = ntohs(a.sin_port);
    }
    return ok;
}

/* One process a party; true when all of them ended well. */
static bool run_all(struct probe *p) {
    pid_t pid[CSL_MAX_PARTIES], parent = getpid();
    bool ok = true;
    for (unsigned i = 0; i < p->n; i++) {
        pid[i] = ok ? fork() : -1;
        if (pid[i] == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)alarm(DEADLINE_S);              /* when another one died */
            for (unsigned k = 0; k < p->n; k++) { /* a party that dies takes its port along */
                if (k != i) {
                    close(p->listener[k]);
                }
            }
            p->self = i;
            _exit(getppid() == parent && run(p) ? 0 : 1);
        }
        ok = pid[i] > 0;
    }
    for (unsigned i = 0; i < p->n; i++) {
        close(p->listener[i]);
        p->listener[i] = -1;
    }
    for (unsigned i = 0; i < p->n; i++) {
        int status = 1;
        while (pid[i] > 0 && waitpid(pid[i], &status, 0) < 0 && errno == EINTR) {
        }
        ok = ok && status == 0;
    }
    return ok;
}

enum csl_err csl_bench_rounds_measure(struct csl_bench_rounds *out, unsigned n_parties, bool quick,
                                      struct csl_diag *diag) {
    struct probe p = {.n = n_parties, .quick = quick};
    pthread_barrierattr_t attr;
    memset(p.listener, -1, sizeof p.listener);
    p.shared = mmap(NULL, sizeof *p.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p.shared == MAP_FAILED) {
        return csl_fail(diag, CSL_ENOMEM, "no memory for the probe");
    }
    bool ready = pthread_barrierattr_init(&attr) == 0 &&
                 pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0 &&
                 pthread_barrier_init(&p.shared->ready, &attr, n_parties) == 0;
    enum csl_err err = ready && open_probe(&p) && run_all(&p)
                           ? CSL_OK
                           : csl_fail(diag, CSL_EOS, "the probe of TLS on loopback failed");
    *out = p.shared->rounds;
    out->n_parties = n_parties;
    for (unsigned i = 0; i < n_parties; i++) {
        if (p.listener[i] >= 0) {
            close(p.listener[i]);
        }
    }
    (void)munmap(p.shared, sizeof *p.shared);
    SSL_CTX_free(p.ctx);
    return err;
}
