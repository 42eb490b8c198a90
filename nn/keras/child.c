/* The child process that parses hostile files, and the parent's end of the pipe. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "crypto/secret.h"
#include "nn/keras/keras_internal.h"

#if defined(__SANITIZE_ADDRESS__)
#define CSL_ADDRESS_SPACE_IS_SHADOWED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CSL_ADDRESS_SPACE_IS_SHADOWED 1
#endif
#endif
#ifndef CSL_ADDRESS_SPACE_IS_SHADOWED
#define CSL_ADDRESS_SPACE_IS_SHADOWED 0
#endif

/* ---- The child ---- */

/* Bytes of address space in use now; RLIMIT_AS counts what the parent had mapped as well. */
static size_t address_space(void) {
    unsigned long pages = 0;
    char text[64] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, text, sizeof text - 1);
        (void)close(fd);
        pages = n > 0 ? strtoul(text, NULL, 10) : 0;
    }
    return pages == 0 ? 0 : pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* `grace` more is the hard limit: at the soft one of CPU time a signal says which limit it was. */
static void limit(int resource, size_t n, size_t grace) {
    struct rlimit now, want;
    if (getrlimit(resource, &now) != 0) {
        return;
    }
    want.rlim_max = n + grace < now.rlim_max ? (rlim_t)(n + grace) : now.rlim_max;
    want.rlim_cur = n < want.rlim_max ? (rlim_t)n : want.rlim_max;
    (void)setrlimit(resource, &want);
}

static void close_from(int first) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 34)
    if (close_range((unsigned)first, ~0U, 0) == 0) {
        return;
    }
#endif
    long max = sysconf(_SC_OPEN_MAX);
    for (int fd = first; fd < (max < 0 || max > 65536 ? 65536 : max); fd++) {
        (void)close(fd);
    }
}

int csl__keras_confine(int fd, size_t n_bytes) {
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
    struct sigaction plain = {.sa_handler = SIG_DFL};
    for (int sig = 1; sig < NSIG; sig++) {
        (void)sigaction(sig, &plain, NULL);
    }
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    size_t mapped = address_space();
    int nowhere = open("/dev/null", O_RDWR);
    int keep = fcntl(fd, F_DUPFD, 3);
    for (int i = 0; i < 3; i++) {
        (void)(nowhere >= 0 ? dup2(nowhere, i) : close(i));
    }
    if (keep != 3) {
        keep = dup2(keep, 3);
    }
    close_from(4);
    if (!CSL_ADDRESS_SPACE_IS_SHADOWED && mapped != 0) {
        size_t more = ((size_t)128 << 20) + csl__keras_budget(n_bytes) + 8 * n_bytes;
        limit(RLIMIT_AS, mapped + more, 0);
    }
    limit(RLIMIT_CPU, 4 + (n_bytes >> 22), 1);
    limit(RLIMIT_FSIZE, 0, 0);
    limit(RLIMIT_CORE, 0, 0);
    limit(RLIMIT_NOFILE, 0, 0); /* external links, external storage and filter plugins find nothing */
    return keep;
}

static _Noreturn void child(int fd, const uint8_t *bytes, size_t n, enum csl_keras_kind kind) {
    struct csl__keras_sink sink = {.fd = csl__keras_confine(fd, n), .left = csl__keras_budget(n)};
    bool sent = kind == CSL_KERAS_ZIP ? csl__keras_read_zip(&sink, bytes, n, sink.left)
                                      : csl__keras_read_h5(&sink, bytes, n);
    sent = sent && csl__keras_send(&sink, CSL_KR_END, "", NULL, 0);
    _exit(sent ? 0 : 1);
}

/* ---- The parent ---- */

struct received {
    uint8_t *bytes;
    size_t n, cap;
};

static enum csl_err make_room(struct received *r, size_t most) {
    if (r->n < r->cap) {
        return CSL_OK;
    }
    size_t cap = r->cap == 0 ? 1 << 16 : r->cap > most / 2 ? most : r->cap * 2;
    uint8_t *bytes = cap <= r->n ? NULL : malloc(cap);
    if (bytes == NULL) {
        return cap <= r->n ? CSL_EDATA : CSL_ENOMEM;
    }
    if (r->n != 0) {
        memcpy(bytes, r->bytes, r->n);
        csl_wipe(r->bytes, r->n);
    }
    free(r->bytes);
    r->bytes = bytes;
    r->cap = cap;
    return CSL_OK;
}

static int64_t now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Reads until the child closes its end. The CPU limit stops a child that loops; the deadline is for one that
 * neither computes nor writes. */
static enum csl_err collect(struct received *r, int fd, size_t n_file, struct csl_diag *diag) {
    const size_t most = csl__keras_budget(n_file) + 4096;
    const int64_t deadline = now_ms() + 120000 + (int64_t)(n_file >> 10);
    for (;;) {
        enum csl_err err = make_room(r, most);
        if (err == CSL_EDATA) {
            return csl_fail(diag, CSL_EDATA, "the file unpacks to far more than its size");
        }
        TRY(err);
        int64_t left = deadline - now_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = left <= 0 ? 0 : poll(&p, 1, (int)(left > 60000 ? 60000 : left));
        if (ready == 0 && left <= 0) {
            return csl_fail(diag, CSL_EDATA, "reading this file takes too long: it is damaged or hostile");
        }
        ssize_t n = ready <= 0 ? -1 : read(fd, r->bytes + r->n, r->cap - r->n);
        if (n == 0) {
            return CSL_OK;
        }
        if (n > 0) {
            r->n += (size_t)n;
        } else if (ready < 0 || ready > 0) {
            if (errno != EINTR && errno != EAGAIN) {
                return csl_fail(diag, CSL_EOS, "cannot read from the child process: %s", strerror(errno));
            }
        }
    }
}

/* Waits for the child, which is dead or about to be. -1: unknown (the program ignores SIGCHLD, or reaped). */
static int reap(pid_t pid) {
    int status = -1;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return status;
}

static enum csl_err judge(int status, const struct received *r, struct csl_diag *diag) {
    bool ended = r->n >= CSL_KR_HEADER + 1 && r->bytes[r->n - CSL_KR_HEADER - 1] == CSL_KR_END;
    if (status >= 0 && WIFSIGNALED(status)) {
        return csl_fail(diag, CSL_EDATA,
                        "the HDF5 library gave up on this file (signal %d%s): it is damaged or hostile",
                        WTERMSIG(status), WTERMSIG(status) == SIGXCPU ? ", out of time" : "");
    }
    /* A child that refused sent its reason, which the store finds; one without a reason died. */
    if (!ended && r->n == 0) {
        return csl_fail(diag, CSL_EDATA, "the HDF5 library gave up on this file: it is damaged or hostile");
    }
    return CSL_OK;
}

enum csl_err csl__keras_child(uint8_t **out, size_t *n_out, const uint8_t *bytes, size_t n,
                              enum csl_keras_kind kind, struct csl_diag *diag) {
    *out = NULL;
    *n_out = 0;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return csl_fail(diag, CSL_EOS, "cannot make a pipe: %s", strerror(errno));
    }
    pid_t pid = fork();
    if (pid == 0) {
        child(ends[1], bytes, n, kind);
    }
    int fork_errno = errno;
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return csl_fail(diag, CSL_EOS, "cannot start a process to read the file in: %s",
                        strerror(fork_errno));
    }
    struct received r = {0};
    enum csl_err err = collect(&r, ends[0], n, diag);
    (void)close(ends[0]);
    if (err != CSL_OK) {
        (void)kill(pid, SIGKILL);
    }
    int status = reap(pid);
    if (err == CSL_OK) {
        err = judge(status, &r, diag);
    }
    if (err == CSL_OK) {
        *out = r.bytes;
        *n_out = r.n;
        return CSL_OK;
    }
    if (r.bytes != NULL) {
        csl_wipe(r.bytes, r.n);
    }
    free(r.bytes);
    return err;
}
