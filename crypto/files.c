#include "crypto/files_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/secret.h"

enum csl_err csl__path(char out[CSL__PATH_MAX], const char *dir, const char *name, struct csl_diag *diag) {
    int n = snprintf(out, CSL__PATH_MAX, "%s/%s", dir, name);
    if (n < 0 || n >= CSL__PATH_MAX) {
        return csl_fail(diag, CSL_EUSAGE, "the path of %s in its folder is longer than %d bytes", name,
                        CSL__PATH_MAX - 1);
    }
    return CSL_OK;
}

static enum csl_err check_file(int fd, size_t *size, const char *path, size_t max, bool is_private,
                               struct csl_diag *diag) {
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return csl_fail(diag, CSL_ENOINPUT, "%s: not a regular file", path);
    }
    if (is_private && (st.st_mode & 077) != 0) {
        return csl_fail(diag, CSL_ECONFIG,
                        "%s: other users can access this private key (mode %03o); run: chmod 600 %s", path,
                        (unsigned)st.st_mode & 0777U, path);
    }
    if (st.st_size < 0 || (uintmax_t)st.st_size > max) {
        return csl_fail(diag, CSL_EDATA, "%s: larger than the %zu bytes that such a file may have", path,
                        max);
    }
    *size = (size_t)st.st_size;
    return CSL_OK;
}

static enum csl_err read_fd(int fd, char *data, size_t *n, size_t size, const char *path,
                            struct csl_diag *diag) {
    size_t got = 0;
    while (got < size) {
        ssize_t r = read(fd, data + got, size - got);
        if (r < 0 && errno != EINTR) {
            return csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(errno));
        }
        if (r == 0) {
            break;
        }
        got += r > 0 ? (size_t)r : 0;
    }
    *n = got;
    return CSL_OK;
}

static enum csl_err read_file(char **data, size_t *n, const char *path, size_t max, bool is_private,
                              struct csl_diag *diag) {
    enum csl_err err = CSL_OK;
    char *buf = NULL;
    size_t size = 0;
    /* O_NONBLOCK: opening a FIFO must not hang. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return csl_fail(diag, CSL_ENOINPUT, "%s: %s", path, strerror(errno));
    }
    TRY_OUT(check_file(fd, &size, path, max, is_private, diag));
    buf = csl_secret_alloc(size + 1, 1);
    if (buf == NULL) {
        err = csl_fail(diag, CSL_ENOMEM, "%s: out of memory", path);
        goto out;
    }
    TRY_OUT(read_fd(fd, buf, n, size, path, diag));
    *data = buf;
    buf = NULL;
out:
    csl_secret_free(buf);
    close(fd);
    return err;
}

enum csl_err csl__read_file(char **data, size_t *n, const char *path, size_t max, struct csl_diag *diag) {
    return read_file(data, n, path, max, false, diag);
}

enum csl_err csl__read_private_file(char **data, size_t *n, const char *path, size_t max,
                                    struct csl_diag *diag) {
    return read_file(data, n, path, max, true, diag);
}

/* Writes, syncs and closes. A short or failed write removes the file. */
static enum csl_err write_fd(int fd, const char *path, const char *data, size_t n, struct csl_diag *diag) {
    size_t done = 0;
    bool ok = true;
    while (ok && done < n) {
        ssize_t w = write(fd, data + done, n - done);
        ok = w > 0 || (w < 0 && errno == EINTR);
        done += w > 0 ? (size_t)w : 0;
    }
    ok = ok && fsync(fd) == 0;
    int saved = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        saved = errno;
    }
    if (!ok) {
        (void)unlink(path);
        return csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(saved));
    }
    return CSL_OK;
}

/* A new name is durable only when its folder is synced as well. */
enum csl_err csl__sync_parent(const char *path, struct csl_diag *diag) {
    char dir[CSL__PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - path);
    if (n >= sizeof dir) {
        return csl_fail(diag, CSL_EUSAGE, "%s: the path is too long", path);
    }
    memcpy(dir, path, n);
    dir[n] = 0;
    int fd = open(slash == NULL ? "." : n == 0 ? "/" : dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return CSL_OK; /* the folder may be write-only for us; the file itself is synced */
    }
    int rc = fsync(fd);
    int saved = errno;
    close(fd);
    if (rc != 0 && saved != EINVAL && saved != EROFS) {
        return csl_fail(diag, CSL_EIO, "%s: %s", dir, strerror(saved));
    }
    return CSL_OK;
}

enum csl_err csl__create_file(const char *path, unsigned mode, const void *data, size_t n,
                              struct csl_diag *diag) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0) {
        const char *hint = errno == EEXIST ? " and is never overwritten" : "";
        return csl_fail(diag, CSL_ECREATE, "%s: %s%s", path, strerror(errno), hint);
    }
    TRY(write_fd(fd, path, data, n, diag));
    return csl__sync_parent(path, diag);
}

enum csl_err csl__replace_file(const char *path, unsigned mode, const void *data, size_t n,
                               struct csl_diag *diag) {
    char tmp[CSL__PATH_MAX];
    int len = snprintf(tmp, sizeof tmp, "%s.XXXXXX", path);
    if (len < 0 || (size_t)len >= sizeof tmp) {
        return csl_fail(diag, CSL_EUSAGE, "%s: the path is too long", path);
    }
    int fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0) {
        return csl_fail(diag, CSL_ECREATE, "%s: %s", path, strerror(errno));
    }
    if (fchmod(fd, (mode_t)mode) != 0) {
        int saved = errno;
        close(fd);
        (void)unlink(tmp);
        return csl_fail(diag, CSL_ECREATE, "%s: %s", path, strerror(saved));
    }
    TRY(write_fd(fd, tmp, data, n, diag));
    if (rename(tmp, path) != 0) {
        int saved = errno;
        (void)unlink(tmp);
        return csl_fail(diag, CSL_ECREATE, "%s: %s", path, strerror(saved));
    }
    return csl__sync_parent(path, diag);
}

enum csl_err csl__make_dir(const char *path, struct csl_diag *diag) {
    struct stat st;
    if (mkdir(path, 0700) == 0) {
        return CSL_OK;
    }
    if (errno != EEXIST) {
        return csl_fail(diag, CSL_ECREATE, "%s: %s", path, strerror(errno));
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return csl_fail(diag, CSL_ECREATE, "%s: exists and is not a folder", path);
    }
    return CSL_OK;
}
