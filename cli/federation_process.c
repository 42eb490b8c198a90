/* A federation's daemons and commands as child processes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "cli/federation_internal.h"

enum { LISTEN_FD = 3, STOP_MS = 5000, CAPTURE_MAX = 256 << 20, ERROR_TEXT_MAX = 480, ARGS_MAX = 63 };

extern char **environ;

/* Between fork and exec: only async-signal-safe calls. */
static void child(const char *exe, char *const argv[], int out_fd, int err_fd, int listen_fd) {
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a killed parent leaves nothing behind */
#endif
    if (out_fd >= 0) {
        (void)dup2(out_fd, STDOUT_FILENO);
    }
    if (err_fd >= 0) {
        (void)dup2(err_fd, STDERR_FILENO);
    }
    if (listen_fd >= 0) {
        if (listen_fd == LISTEN_FD) {
            (void)fcntl(LISTEN_FD, F_SETFD, 0);
        } else {
            (void)dup2(listen_fd, LISTEN_FD);
        }
    }
    execve(exe, argv, environ);
    _exit(127);
}

static enum csl_err spawn(pid_t *pid, const char *program, char *const argv[], int out_fd, int err_fd,
                          int listen_fd, struct csl_diag *diag) {
    pid_t p = fork();
    if (p < 0) {
        return csl_fail(diag, CSL_EOS, "fork: %s", strerror(errno));
    }
    if (p == 0) {
        child(program, argv, out_fd, err_fd, listen_fd);
    }
    *pid = p;
    return CSL_OK;
}

struct csl_fed_member *csl__federation_member(const struct csl_federation *fed, const char *name) {
    for (size_t i = 0; i < fed->n_members; i++) {
        if (strcmp(fed->members[i].name, name) == 0) {
            return (struct csl_fed_member *)(uintptr_t)&fed->members[i];
        }
    }
    return NULL;
}

enum csl_err csl_federation_spawn(struct csl_federation *fed, const char *name, const char *program,
                                  const char *const *args, struct csl_diag *diag) {
    struct csl_fed_member *m = csl__federation_member(fed, name);
    if (m == NULL || m->port == 0 || m->pid > 0) {
        return csl_fail(diag, CSL_EUSAGE, "%s is no daemon, or runs already", name);
    }
    TRY(csl__federation_listen(m, diag));
    char site[CSL_PATH_MAX], log[CSL_PATH_MAX];
    (void)snprintf(site, sizeof site, "%s/%s", fed->dir, m->name);
    (void)snprintf(log, sizeof log, "%s/%s.log", fed->dir, m->name);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        return csl_fail(diag, CSL_ECREATE, "%s: %s", log, strerror(errno));
    }
    const char *argv[ARGS_MAX + 1] = {
        "consilium", m->roles == CSL_ROLE_DEALER ? "dealer" : "party", "--site", site, "--listen-fd", "3"};
    size_t n = 6;
    if (fed->wait != NULL && m->roles != CSL_ROLE_DEALER) {
        argv[n++] = "--wait";
        argv[n++] = fed->wait;
    }
    if (fed->profile != NULL && m->roles != CSL_ROLE_DEALER) {
        argv[n++] = "--profile";
        argv[n++] = fed->profile;
    }
    if (fed->threads[0] != 0) {
        argv[n++] = "--threads";
        argv[n++] = fed->threads;
    }
    for (; args != NULL && *args != NULL && n < ARGS_MAX; args++) {
        argv[n++] = *args;
    }
    enum csl_err err = spawn(&m->pid, program != NULL ? program : fed->program, (char *const *)argv, fd, fd,
                             m->listen_fd, diag);
    close(fd);
    close(m->listen_fd);
    m->listen_fd = -1;
    return err;
}

/* What a child writes to a pipe, until it closes it. */
struct capture {
    char *text;
    size_t n, cap;
};

static bool capture_some(struct capture *c, int fd) {
    if (c->n + 65536 > c->cap) {
        size_t cap = c->cap == 0 ? 65536 * 2 : c->cap * 2;
        char *p = cap > CAPTURE_MAX ? NULL : realloc(c->text, cap);
        if (p == NULL) {
            return false;
        }
        c->text = p;
        c->cap = cap;
    }
    ssize_t got = read(fd, c->text + c->n, c->cap - c->n - 1);
    if (got <= 0) {
        return false;
    }
    c->n += (size_t)got;
    return true;
}

static void capture_both(struct capture c[2], int fds[2]) {
    struct pollfd p[2] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}};
    while (p[0].fd >= 0 || p[1].fd >= 0) {
        if (poll(p, 2, -1) < 0 && errno != EINTR) {
            return;
        }
        for (int i = 0; i < 2; i++) {
            if (p[i].fd >= 0 && p[i].revents != 0 && !capture_some(&c[i], fds[i])) {
                p[i].fd = -1;
            }
        }
    }
}

/* The peak of a process that still runs. What wait4 says of an ended one begins with this process's own size,
 * from before its exec, and is the second choice. */
static void note_peak(struct csl_fed_member *m) {
    char path[64], line[256];
    (void)snprintf(path, sizeof path, "/proc/%ld/status", (long)m->pid);
    FILE *f = fopen(path, "re");
    long kib;
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "VmHWM: %ld", &kib) == 1) {
            m->peak_rss_kib = kib;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

static enum csl_err reap(struct csl_fed_member *m, int *code) {
    int status;
    struct rusage usage;
    pid_t p;
    do {
        p = wait4(m->pid, &status, 0, &usage);
    } while (p < 0 && errno == EINTR);
    m->pid = 0;
    if (p < 0) {
        return CSL_EOS;
    }
    if (m->peak_rss_kib == 0) {
        m->peak_rss_kib = usage.ru_maxrss;
    }
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return CSL_OK;
}

/* The last line that the command wrote to stderr, its error sentence. */
static const char *last_line(const struct capture *errors, int *n) {
    size_t end = errors->n;
    while (end > 0 && errors->text[end - 1] == '\n') {
        end--;
    }
    size_t at = end;
    while (at > 0 && errors->text[at - 1] != '\n') {
        at--;
    }
    *n = end - at > ERROR_TEXT_MAX ? ERROR_TEXT_MAX : (int)(end - at);
    return errors->text + at;
}

static enum csl_err command_failed(const char *command, int code, const struct capture *errors,
                                   struct csl_diag *diag) {
    int n = 12;
    const char *text = errors->n == 0 ? "(no message)" : last_line(errors, &n);
    enum csl_err err = CSL_EINTERNAL;
    for (int e = 1; e < CSL_ERR_COUNT; e++) {
        if (csl_err_exit_code((enum csl_err)e) == code) {
            err = (enum csl_err)e;
            break;
        }
    }
    return csl_fail(diag, err, "%.*s (exit code %d of `consilium %s`)", n, text, code, command);
}

static enum csl_err parse_output(json_t **json, const struct capture *out, struct csl_diag *diag) {
    json_error_t e;
    *json = json_loadb(out->n == 0 ? "" : out->text, out->n, 0, &e);
    return *json != NULL ? CSL_OK : csl_fail(diag, CSL_EINTERNAL, "JSON output: line %d: %s", e.line, e.text);
}

enum csl_err csl_federation_run(struct csl_federation *fed, json_t **json, enum csl_federation_role role,
                                const char *const *args, struct csl_diag *diag) {
    return csl_federation_run_as(fed, json, fed->members[fed->n_parties + 1 + role].name, args, diag);
}

/* Runs the program to its end; m takes note of it. *code is its exit code, and its last words are in *errors.
 */
static enum csl_err run_program(struct csl_federation *fed, struct csl_fed_member *m, json_t **json,
                                int *code, const char *const *argv, struct capture *errors,
                                struct csl_diag *diag) {
    int out[2], errs[2];
    if (pipe2(out, O_CLOEXEC) != 0) {
        return csl_fail(diag, CSL_EOS, "pipe: %s", strerror(errno));
    }
    if (pipe2(errs, O_CLOEXEC) != 0) {
        close(out[0]);
        close(out[1]);
        return csl_fail(diag, CSL_EOS, "pipe: %s", strerror(errno));
    }
    enum csl_err err =
        spawn(&m->pid, fed->program, (char *const *)argv, json != NULL ? out[1] : -1, errs[1], -1, diag);
    close(out[1]);
    close(errs[1]);
    struct capture text[2] = {{0}, {0}};
    if (err == CSL_OK) {
        capture_both(text, (int[2]){out[0], errs[0]});
        note_peak(m); /* where it has not quite ended yet */
        for (int i = 0; i < 2; i++) {
            if (text[i].text != NULL) {
                text[i].text[text[i].n] = '\0';
            }
        }
        err = reap(m, code);
        if (err == CSL_OK && json != NULL && (*code == 0 || text[0].n != 0)) {
            err = parse_output(json, &text[0], diag);
        }
    }
    close(out[0]);
    close(errs[0]);
    free(text[0].text);
    *errors = text[1];
    return err;
}

enum csl_err csl_federation_run_as(struct csl_federation *fed, json_t **json, const char *name,
                                   const char *const *args, struct csl_diag *diag) {
    struct csl_fed_member of_command = {.pid = 0}; /* a daemon's own record stays the daemon's */
    struct csl_fed_member *m = csl__federation_member(fed, name);
    if (json != NULL) {
        *json = NULL;
    }
    if (m == NULL) {
        return csl_fail(diag, CSL_EUSAGE, "no member %s", name);
    }
    char site[CSL_PATH_MAX];
    (void)snprintf(site, sizeof site, "%s/%s", fed->dir, m->name);
    const char *argv[ARGS_MAX + 1] = {"consilium"};
    size_t n = 1;
    for (; args[n - 1] != NULL && n < ARGS_MAX - 2; n++) {
        argv[n] = args[n - 1];
    }
    argv[n++] = "--site";
    argv[n++] = site;
    int code = 0;
    struct capture errors = {0};
    enum csl_err err = run_program(fed, m->port != 0 ? &of_command : m, json, &code, argv, &errors, diag);
    if (err == CSL_OK && code != 0) {
        err = command_failed(args[0], code, &errors, diag);
    }
    free(errors.text);
    return err;
}

enum csl_err csl_federation_run_tool(struct csl_federation *fed, json_t **json, int *code,
                                     const char *const *args, struct csl_diag *diag) {
    enum { VERDICTS = 3 };
    struct csl_fed_member nobody = {.pid = 0};
    const char *argv[ARGS_MAX + 1] = {"consilium"};
    for (size_t n = 1; args[n - 1] != NULL && n < ARGS_MAX; n++) {
        argv[n] = args[n - 1];
    }
    if (json != NULL) {
        *json = NULL;
    }
    struct capture errors = {0};
    enum csl_err err = run_program(fed, &nobody, json, code, argv, &errors, diag);
    if (err == CSL_OK && (*code < 0 || *code > VERDICTS)) {
        err = command_failed(args[0], *code, &errors, diag);
    }
    free(errors.text);
    return err;
}

pid_t csl_federation_pid(const struct csl_federation *fed, const char *name) {
    const struct csl_fed_member *m = csl__federation_member(fed, name);
    return m != NULL ? m->pid : 0;
}

bool csl_federation_wait_stopped(struct csl_federation *fed, const char *name) {
    siginfo_t info = {0};
    int rc;
    do {
        rc = waitid(P_PID, (id_t)csl_federation_pid(fed, name), &info, WSTOPPED | WEXITED | WNOWAIT);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 && info.si_code == CLD_STOPPED;
}

int csl_federation_wait_ended(struct csl_federation *fed, const char *name) {
    struct csl_fed_member *m = csl__federation_member(fed, name);
    int code = -1;
    return m != NULL && m->pid > 0 && reap(m, &code) == CSL_OK ? code : -1;
}

/* True when the process ended within the deadline. */
static bool wait_ended(pid_t pid) {
    for (int waited = 0; waited < STOP_MS; waited += 10) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid) {
            return true;
        }
        (void)poll(NULL, 0, 10);
    }
    return false;
}

void csl__federation_stop_daemons(struct csl_federation *fed, json_t *rss) {
    for (size_t i = 0; i < fed->n_members; i++) {
        if (fed->members[i].pid > 0) {
            note_peak(&fed->members[i]);
            (void)kill(fed->members[i].pid, SIGTERM);
            (void)kill(fed->members[i].pid, SIGCONT);
        }
    }
    for (size_t i = 0; i < fed->n_members; i++) {
        struct csl_fed_member *m = &fed->members[i];
        if (m->pid > 0) {
            int code;
            if (!wait_ended(m->pid)) {
                (void)kill(m->pid, SIGKILL);
            }
            (void)!reap(m, &code);
        }
        if (rss != NULL && m->name[0] != '\0') {
            (void)json_object_set_new(rss, m->name, json_integer(m->peak_rss_kib));
        }
    }
}
