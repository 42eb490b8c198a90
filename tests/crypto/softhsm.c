#include "softhsm.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char folder[64], module[256];

/* SoftHSM2 2.6.1 leaks some bytes with each Ed25519 signature, so leaks are not looked for here and in the
 * daemons that this program starts; test_token_faults runs the same code of ours with leaks looked for. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "detect_leaks=0";
}

/* A child starts threads. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
    return "die_after_fork=0";
}

static void must(bool ok, const char *what) {
    if (!ok) {
        (void)fprintf(stderr, "SoftHSM2: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

/* softhsm2-util ARGS...; its exit code, or -1 when it is not there. What it says on stdout is dropped. */
static int util(const char *const *args) {
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    int status = -1;
    must(posix_spawn_file_actions_init(&actions) == 0 &&
             posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) == 0,
         "posix_spawn");
    int rc = posix_spawnp(&pid, "softhsm2-util", &actions, NULL, (char *const *)args, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (rc != 0) {
        return -1;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static bool find_module(void) {
    static const char *const places[] = {
        "/usr/lib/softhsm/libsofthsm2.so",       "/usr/lib64/pkcs11/libsofthsm2.so",
        "/usr/lib64/softhsm/libsofthsm2.so",     "/usr/lib/pkcs11/libsofthsm2.so",
        "/usr/local/lib/softhsm/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (access(places[i], R_OK) == 0) {
            (void)snprintf(module, sizeof module, "%s", places[i]);
            return true;
        }
    }
    return false;
}

bool softhsm_start(void) {
    static const char *const version[] = {"softhsm2-util", "--version", NULL};
    static const char *const init[] = {"softhsm2-util", "--init-token", "--free",   "--label",  SOFTHSM_TOKEN,
                                       "--pin",         SOFTHSM_PIN,    "--so-pin", "13572468", NULL};
    char path[128];
    (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 0);
    if (!find_module() || util(version) != 0) {
        (void)printf("skipped: SoftHSM2 is not installed (scripts/deps token)\n");
        return false;
    }
    (void)snprintf(folder, sizeof folder, "/tmp/csl-softhsm-XXXXXX");
    must(mkdtemp(folder) != NULL, folder);
    (void)snprintf(path, sizeof path, "%s/tokens", folder);
    must(mkdir(path, 0700) == 0, path);
    (void)snprintf(path, sizeof path, "%s/softhsm2.conf", folder);
    FILE *f = fopen(path, "we");
    must(f != NULL &&
             fprintf(f, "directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n",
                     folder) > 0,
         path);
    must(fclose(f) == 0 && setenv("SOFTHSM2_CONF", path, 1) == 0, path);
    must(util(init) == 0, "no token could be made");
    return true;
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

void softhsm_stop(void) {
    (void)nftw(folder, drop, 8, FTW_DEPTH | FTW_PHYS);
}

const char *softhsm_module(void) {
    return module;
}

const char *softhsm_uri(const char *object) {
    static char uri[512];
    (void)snprintf(uri, sizeof uri, "pkcs11:token=consilium%%20test%s%s?module-path=%s",
                   object == NULL ? "" : ";object=", object == NULL ? "" : object, module);
    return uri;
}

void softhsm_import(const char *pem_file, const char *object, const char *id) {
    const char *const args[] = {"softhsm2-util", "--import", pem_file, "--token", SOFTHSM_TOKEN, "--label",
                                object,          "--id",     id,       "--pin",   SOFTHSM_PIN,   NULL};
    must(util(args) == 0, pem_file);
}

void softhsm_hide(bool hidden) {
    char here[128], away[128];
    (void)snprintf(here, sizeof here, "%s/tokens", folder);
    (void)snprintf(away, sizeof away, "%s/away", folder);
    must((hidden ? rename(here, away) : rename(away, here)) == 0, here);
}
