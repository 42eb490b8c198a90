#include "cli/anvil.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum { ARGS_MAX = 32, SAID_MAX = 16384, START_MS = 20000, POLL_MS = 10 };

struct csl_anvil {
    pid_t pid;
    FILE *out; /* what it says: a file without a name, since a full pipe would stop it */
    char url[CSL_ANVIL_URL];
};

extern char **environ;

static void child(const char *program, char *const argv[], int out) {
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    int null = open("/dev/null", O_RDWR);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(null, STDERR_FILENO);
    execve(program, argv, environ);
    _exit(127);
}

/* "Listening on 127.0.0.1:37995" is the last thing that it says at its start. */
static bool find_port(char url[CSL_ANVIL_URL], const char *said) {
    const char *at = strstr(said, "Listening on 127.0.0.1:");
    unsigned port = 0;
    if (at == NULL || strchr(at, '\n') == NULL || sscanf(at, "Listening on 127.0.0.1:%u", &port) != 1) {
        return false;
    }
    (void)snprintf(url, CSL_ANVIL_URL, "http://127.0.0.1:%u", port);
    return port != 0 && port < 65536;
}

static bool has_ended(struct csl_anvil *a) {
    bool ended = waitpid(a->pid, NULL, WNOHANG) == a->pid;
    a->pid = ended ? 0 : a->pid;
    return ended;
}

static enum csl_err wait_listening(struct csl_anvil *a, const char *program, struct csl_diag *diag) {
    char said[SAID_MAX + 1];
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    for (int waited = 0; waited < START_MS; waited += POLL_MS) {
        ssize_t n = pread(fileno(a->out), said, SAID_MAX, 0);
        said[n < 0 ? 0 : n] = '\0';
        if (find_port(a->url, said)) {
            return CSL_OK;
        }
        if (has_ended(a)) {
            break;
        }
        (void)nanosleep(&pause, NULL);
    }
    return csl_fail(diag, CSL_EUNAVAILABLE, "%s does not start on this machine", program);
}

enum csl_err csl_anvil_start(struct csl_anvil **out, const char *program, const char *const *args,
                             struct csl_diag *diag) {
    const char *argv[ARGS_MAX + 1] = {"anvil", "--port", "0", "--host", "127.0.0.1", "--color", "never"};
    size_t n = 7;
    *out = NULL;
    for (; args != NULL && *args != NULL && n < ARGS_MAX; args++) {
        argv[n++] = *args;
    }
    struct csl_anvil *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return CSL_ENOMEM;
    }
    a->out = tmpfile();
    if (a->out == NULL) {
        free(a);
        return csl_fail(diag, CSL_ECREATE, "no temporary file: %s", strerror(errno));
    }
    a->pid = fork();
    if (a->pid == 0) {
        child(program, (char *const *)argv, fileno(a->out));
    }
    enum csl_err err = a->pid > 0 ? wait_listening(a, program, diag) : csl_fail(diag, CSL_EOS, "fork failed");
    if (err != CSL_OK) {
        csl_anvil_stop(a);
        return err;
    }
    *out = a;
    return CSL_OK;
}

const char *csl_anvil_url(const struct csl_anvil *a) {
    return a->url;
}

int csl_anvil_pid(const struct csl_anvil *a) {
    return (int)a->pid;
}

void csl_anvil_stop(struct csl_anvil *a) {
    if (a == NULL) {
        return;
    }
    if (a->pid > 0) {
        (void)kill(a->pid, SIGKILL);
        (void)waitpid(a->pid, NULL, 0);
    }
    (void)fclose(a->out);
    free(a);
}
