/* The folder of views stays within its bound: the oldest views go first, but none that somebody holds a lock
 * of (a session that runs, a command that reads it). */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/files_internal.h"
#include "roles/daemon/daemon.h"
#include "roles/judge/view_internal.h"

enum { NAME_MAX_BYTES = 80 }; /* 64 hex digits and an ending */

struct entry {
    char name[NAME_MAX_BYTES];
    uint64_t size;
    struct timespec changed;
    bool is_weights;
};
struct list {
    struct entry *at;
    size_t n, room;
    uint64_t size;
};

/* What a folder holds, as far as this process knows, so that not every batch reads it. Only daemons write
 * there; what a person deletes makes the number too large, which the next reading mends. */
struct usage {
    struct usage *next;
    uint64_t used;
    char dir[];
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct usage *usages;

void csl__views_lock(void) {
    pthread_mutex_lock(&lock);
}

void csl__views_unlock(void) {
    pthread_mutex_unlock(&lock);
}

enum csl_err csl__views_dir(char out[4096], const struct csl_context *ctx, struct csl_diag *diag) {
    return csl__path(out, ctx->dir, "state/views", diag);
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

static void add_entry(struct list *l, int dir_fd, const char *name) {
    struct stat st;
    if (l->n == l->room) {
        size_t room = l->room * 2 + 64;
        struct entry *at = realloc(l->at, room * sizeof *at);
        if (at == NULL) {
            return; /* a shorter list: fewer views can be deleted */
        }
        l->at = at;
        l->room = room;
    }
    if (strlen(name) < NAME_MAX_BYTES && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(st.st_mode)) {
        struct entry *e = &l->at[l->n++];
        (void)snprintf(e->name, sizeof e->name, "%s", name);
        e->size = (uint64_t)st.st_size;
        e->changed = st.st_mtim;
        e->is_weights = ends_with(name, ".weights");
        l->size += e->size;
    }
}

static void read_folder(struct list *l, const char *dir) {
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (ends_with(e->d_name, ".view") || ends_with(e->d_name, ".weights")) {
            add_entry(l, dirfd(d), e->d_name);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
}

static int older_first(const void *a, const void *b) {
    const struct timespec *x = &((const struct entry *)a)->changed, *y = &((const struct entry *)b)->changed;
    return x->tv_sec != y->tv_sec     ? (x->tv_sec < y->tv_sec ? -1 : 1)
           : x->tv_nsec != y->tv_nsec ? (x->tv_nsec < y->tv_nsec ? -1 : 1)
                                      : 0;
}

static bool delete_unused(int dir_fd, const struct entry *e) {
    int fd = openat(dir_fd, e->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool gone = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(dir_fd, e->name, 0) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return gone;
}

/* Whether a view that is left names this file of weights. */
static bool is_named(int dir_fd, const struct list *l, const char *weights) {
    for (size_t i = 0; i < l->n; i++) {
        uint8_t head[CSL__VIEW_HEAD_BYTES];
        char hex[65] = "";
        if (l->at[i].is_weights || l->at[i].size == 0) {
            continue;
        }
        int fd = openat(dir_fd, l->at[i].name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        bool read_it = fd >= 0 && pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head;
        if (fd >= 0) {
            close(fd);
        }
        for (int b = 0; read_it && b < 32; b++) {
            (void)snprintf(hex + 2 * (ptrdiff_t)b, 3, "%02x", head[8 + b]);
        }
        if (read_it && strncmp(weights, hex, 64) == 0) {
            return true;
        }
    }
    return false;
}

/* Deletes until at most `target` bytes are left. A deleted entry has size 0. */
static void shrink(struct list *l, const char *dir, uint64_t target) {
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t deleted = 0;
    if (l->n > 1) {
        qsort(l->at, l->n, sizeof *l->at, older_first);
    }
    for (size_t i = 0; i < l->n && l->size > target && dir_fd >= 0; i++) {
        if (!l->at[i].is_weights && delete_unused(dir_fd, &l->at[i])) {
            l->size -= l->at[i].size;
            l->at[i].size = 0;
            deleted++;
        }
    }
    for (size_t i = 0; i < l->n && deleted != 0; i++) {
        if (l->at[i].is_weights && !is_named(dir_fd, l, l->at[i].name) && delete_unused(dir_fd, &l->at[i])) {
            l->size -= l->at[i].size;
            l->at[i].size = 0;
        }
    }
    if (dir_fd >= 0) {
        close(dir_fd);
    }
    if (deleted != 0) {
        csl_log("views: %zu of the oldest deleted (audit.views_mib of the roster)", deleted);
    }
}

static struct usage *usage_of(const char *dir) {
    struct usage *u = usages;
    while (u != NULL && strcmp(u->dir, dir) != 0) {
        u = u->next;
    }
    if (u == NULL && (u = malloc(sizeof *u + strlen(dir) + 1)) != NULL) {
        (void)strcpy(u->dir, dir);
        u->used = UINT64_MAX; /* not read yet */
        u->next = usages;
        usages = u;
    }
    return u;
}

bool csl__views_room(const char *dir, uint64_t bound, uint64_t need) {
    struct usage *u = usage_of(dir);
    if (u == NULL || need > bound) {
        return false;
    }
    if (u->used == UINT64_MAX || u->used > bound - need) {
        struct list l = {0};
        read_folder(&l, dir);
        if (l.size > bound - need) {
            uint64_t spare = bound / 16; /* so that the folder is not read again at once */
            shrink(&l, dir, bound - need > spare ? bound - need - spare : 0);
        }
        u->used = l.size;
        free(l.at);
    }
    if (u->used > bound - need) {
        return false;
    }
    u->used += need;
    return true;
}

void csl__views_return(const char *dir, uint64_t n) {
    struct usage *u = usage_of(dir);
    if (u != NULL && u->used != UINT64_MAX) {
        u->used -= n < u->used ? n : u->used;
    }
}
