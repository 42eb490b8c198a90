#include "cli/bench/net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/bench/net_internal.h"

enum { FIRST_FD = 3, PORTS_MAX = 64 };

struct csl_bench_net {
    pid_t pid;
};

const struct csl_bench_profile *csl_bench_profile(const char *name) {
    static const struct csl_bench_profile profiles[] = {
        {"lan", 500, 1000000000},
        {"wan", 40000, 400000000},
    };
    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++) {
        if (strcmp(profiles[i].name, name) == 0) {
            return &profiles[i];
        }
    }
    return NULL;
}

static int listen_any(uint16_t *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0) {
        return -1;
    }
    if (bind(s, (struct sockaddr *)&a, sizeof a) != 0 || listen(s, 256) != 0 ||
        getsockname(s, (struct sockaddr *)&a, &n) != 0) {
        close(s);
        return -1;
    }
    *port = ntohs(a.sin_port);
    return s;
}

/* Keeps its listeners alone: a daemon's sockets must close when the daemon does. */
static void child(const struct csl_bench_profile *profile, const int *listeners, const uint16_t *ports,
                  size_t n, pid_t parent) {
    int mine[PORTS_MAX];
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    if (getppid() != parent) {
        _exit(1);
    }
    for (size_t i = 0; i < n; i++) { /* out of the way, then down to the first numbers */
        mine[i] = fcntl(listeners[i], F_DUPFD_CLOEXEC, FIRST_FD + PORTS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        if (mine[i] < 0 || dup2(mine[i], FIRST_FD + (int)i) < 0) {
            _exit(1);
        }
        mine[i] = FIRST_FD + (int)i;
    }
    (void)close_range(FIRST_FD + (unsigned)n, ~0U, 0);
    csl__bench_net_forward(profile, mine, ports, n);
}

enum csl_err csl_bench_net_start(struct csl_bench_net **out, const struct csl_bench_profile *profile,
                                 uint16_t *via, const uint16_t *ports, size_t n, struct csl_diag *diag) {
    int listeners[PORTS_MAX];
    size_t made = 0;
    struct csl_bench_net *net = calloc(1, sizeof *net);
    *out = NULL;
    if (net == NULL) {
        return CSL_ENOMEM;
    }
    while (made < n && n <= PORTS_MAX && (listeners[made] = listen_any(&via[made])) >= 0) {
        made++;
    }
    pid_t parent = getpid();
    net->pid = made == n ? fork() : -1;
    if (net->pid == 0) {
        child(profile, listeners, ports, n, parent);
    }
    enum csl_err err = net->pid > 0 ? CSL_OK
                                    : csl_fail(diag, CSL_EOS, "the network between the processes: %s",
                                               n > PORTS_MAX ? "too many ports" : strerror(errno));
    for (size_t i = 0; i < made; i++) {
        close(listeners[i]);
    }
    if (err == CSL_OK) {
        *out = net;
    } else {
        free(net);
    }
    return err;
}

void csl_bench_net_stop(struct csl_bench_net *net) {
    if (net != NULL) {
        int status;
        (void)kill(net->pid, SIGKILL);
        while (waitpid(net->pid, &status, 0) < 0 && errno == EINTR) {
        }
        free(net);
    }
}
