/* The log file of a ledger. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/ledger_internal.h"
#include "crypto/bytes.h"

#define CLOSED                                                                                               \
    "; nothing is logged any more, so no session is admitted: make room or repair the disk, then restart"

static const uint8_t log_header[CSL__LOG_HEADER] = {'C', 'S', 'L', 'L', 1, 0, 0, 0};

/* ---- Opening ---- */

static enum csl_err check_header(const struct csl_ledger *l, struct csl_diag *diag) {
    uint8_t b[CSL__LOG_HEADER];
    ssize_t n = pread(l->fd, b, sizeof b, 0);
    if (n < 0) {
        return csl_fail(diag, CSL_EIO, "%s/log: %s", l->dir, strerror(errno));
    }
    return n == (ssize_t)sizeof b && memcmp(b, log_header, sizeof b) == 0
               ? CSL_OK
               : csl_fail(diag, CSL_EAUTH,
                          "%s/log does not begin as a ledger of version 1 does: it was "
                          "overwritten or cut off; put back the newest copy of the folder",
                          l->dir);
}

enum csl_err csl__log_open(struct csl_ledger *l, bool create, struct csl_diag *diag) {
    char path[CSL__PATH_MAX];
    TRY(csl__path(path, l->dir, "log", diag));
    l->fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (l->fd < 0 && errno == ENOENT) {
        if (!create) {
            return csl_fail(diag, CSL_EAUTH,
                            "%s is missing, but its checkpoint is there: the log was removed; put back the "
                            "newest copy of the folder",
                            path);
        }
        TRY(csl__create_file(path, 0600, log_header, sizeof log_header, diag));
        l->fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
    }
    if (l->fd < 0) {
        return csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(errno));
    }
    l->end = CSL__LOG_HEADER;
    return check_header(l, diag);
}

void csl__log_flock(struct csl_ledger *l, bool on) {
    while (flock(l->fd, on ? LOCK_EX : LOCK_UN) != 0 && errno == EINTR) {
    }
}

/* ---- Entries ---- */

static enum csl_err length_check(uint8_t out[4], const uint8_t length[4]) {
    uint8_t digest[CSL_SHA256_BYTES];
    TRY(csl_sha256_once(digest, length, 4));
    memcpy(out, digest, 4);
    return CSL_OK;
}

static enum csl_err take_in(struct csl_ledger *l, const uint8_t hash[CSL_MERKLE_BYTES], size_t n) {
    if (l->tree.n % CSL__MARK_EVERY == 0 && l->tree.n / CSL__MARK_EVERY == l->n_marks) {
        if (l->n_marks == l->room_marks) {
            size_t room = l->room_marks == 0 ? 64 : l->room_marks * 2;
            uint64_t *p = room > SIZE_MAX / sizeof *p ? NULL : realloc(l->marks, room * sizeof *p);
            if (p == NULL) {
                return CSL_ENOMEM;
            }
            l->marks = p;
            l->room_marks = room;
        }
        l->marks[l->n_marks++] = l->end;
    }
    TRY(csl_merkle_append(&l->tree, hash));
    l->end += CSL__ENTRY_HEADER + n;
    return CSL_OK;
}

enum parsed { WHOLE, UNFINISHED, DAMAGED };

/* The entry at p, of which n bytes are there; ends: the file ends with them. */
static enum csl_err parse(enum parsed *what, uint8_t hash[CSL_MERKLE_BYTES], size_t *n_leaf, const uint8_t *p,
                          size_t n, bool ends) {
    uint8_t check[4];
    *what = UNFINISHED;
    if (n < CSL__ENTRY_HEADER) {
        return CSL_OK;
    }
    uint32_t length = csl_load_u32(p);
    TRY(length_check(check, p));
    if (length == 0 || length > CSL_LEAF_MAX || memcmp(check, p + 4, 4) != 0) {
        *what = DAMAGED;
    } else if (length <= n - CSL__ENTRY_HEADER) {
        TRY(csl_merkle_leaf(hash, p + CSL__ENTRY_HEADER, length));
        *n_leaf = length;
        *what = memcmp(hash, p + 8, 4) == 0               ? WHOLE
                : ends && length == n - CSL__ENTRY_HEADER ? UNFINISHED /* not all of its pages were written */
                                                          : DAMAGED;
    }
    return CSL_OK;
}

/* What a crash of the machine may leave of what was not synced: zeros up to the end. */
static enum csl_err only_zeros(bool *zeros, struct csl_ledger *l, uint64_t size, uint8_t *buf, size_t room,
                               struct csl_diag *diag) {
    *zeros = false;
    for (uint64_t at = l->end; at < size;) {
        ssize_t n = pread(l->fd, buf, room, (off_t)at);
        if (n <= 0) {
            return csl_fail(diag, CSL_EIO, "%s/log: %s", l->dir, n < 0 ? strerror(errno) : "unexpected end");
        }
        for (ssize_t i = 0; i < n; i++) {
            if (buf[i] != 0) {
                return CSL_OK;
            }
        }
        at += (uint64_t)n;
    }
    *zeros = true;
    return CSL_OK;
}

static enum csl_err damaged(struct csl_ledger *l, uint64_t size, uint8_t *buf, size_t room, uint64_t *torn,
                            struct csl_diag *diag) {
    bool zeros;
    TRY(only_zeros(&zeros, l, size, buf, room, diag));
    if (zeros) {
        *torn = size - l->end;
        return CSL_OK;
    }
    return csl_fail(diag, CSL_EAUTH,
                    "entry %llu of %s/log, at byte %llu, was changed or damaged; keep the folder for the "
                    "audit and put back its newest good copy",
                    (unsigned long long)l->tree.n, l->dir, (unsigned long long)l->end);
}

/* One buffer full: as many whole entries as it holds. *more: there may be others behind. */
static enum csl_err read_some(struct csl_ledger *l, uint64_t size, uint8_t *buf, size_t room, uint64_t *torn,
                              bool *more, struct csl_diag *diag) {
    uint64_t rest = size - l->end;
    size_t want = rest < room ? (size_t)rest : room, have = 0;
    while (have < want) {
        ssize_t n = pread(l->fd, buf + have, want - have, (off_t)(l->end + have));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return csl_fail(diag, CSL_EIO, "%s/log: %s", l->dir, n < 0 ? strerror(errno) : "unexpected end");
        }
        have += (size_t)n;
    }
    *more = false;
    for (size_t at = 0; at < have;) {
        uint8_t hash[CSL_MERKLE_BYTES];
        size_t n_leaf = 0;
        enum parsed what;
        TRY(parse(&what, hash, &n_leaf, buf + at, have - at, have == rest));
        if (what == DAMAGED) {
            return damaged(l, size, buf, room, torn, diag);
        }
        if (what == UNFINISHED) {
            *more = have < rest;
            *torn = have < rest ? 0 : have - at;
            return CSL_OK;
        }
        TRY(take_in(l, hash, n_leaf));
        at += CSL__ENTRY_HEADER + n_leaf;
    }
    *more = have < rest;
    return CSL_OK;
}

enum csl_err csl__log_read(struct csl_ledger *l, uint64_t *torn, struct csl_diag *diag) {
    enum { ROOM = CSL_LEAF_MAX + CSL__ENTRY_HEADER };
    struct stat st;
    *torn = 0;
    if (fstat(l->fd, &st) != 0) {
        return csl_fail(diag, CSL_EIO, "%s/log: %s", l->dir, strerror(errno));
    }
    uint64_t size = (uint64_t)st.st_size;
    if (size < l->end) {
        return csl_fail(diag, CSL_EAUTH, "%s/log became shorter while it was in use: %llu of %llu bytes",
                        l->dir, (unsigned long long)size, (unsigned long long)l->end);
    }
    if (size == l->end) {
        return CSL_OK;
    }
    size_t room = size - l->end < ROOM ? (size_t)(size - l->end) : ROOM;
    uint8_t *buf = malloc(room);
    if (buf == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "no memory to read %s/log", l->dir);
    }
    bool more = true;
    enum csl_err err = CSL_OK;
    while (err == CSL_OK && more) {
        err = read_some(l, size, buf, room, torn, &more, diag);
    }
    free(buf);
    return err;
}

enum csl_err csl__log_catch_up(struct csl_ledger *l, struct csl_diag *diag) {
    uint64_t torn;
    TRY(csl__log_read(l, &torn, diag));
    if (torn != 0) {
        if (ftruncate(l->fd, (off_t)l->end) != 0 || fsync(l->fd) != 0) {
            return csl_fail(diag, CSL_EIO, "%s/log: an unfinished entry cannot be cut off: %s", l->dir,
                            strerror(errno));
        }
        l->torn += torn;
    }
    return CSL_OK;
}

/* ---- Writing ---- */

static bool write_all(int fd, const uint8_t *p, size_t n, uint64_t at) {
    for (size_t done = 0; done < n;) {
        ssize_t w = pwrite(fd, p + done, n - done, (off_t)(at + done));
        if (w < 0 && errno == EINTR) {
            continue;
        }
        if (w <= 0) {
            errno = w == 0 ? ENOSPC : errno;
            return false;
        }
        done += (size_t)w;
    }
    return true;
}

enum csl_err csl__log_write(struct csl_ledger *l, const uint8_t *leaf, size_t n, struct csl_diag *diag) {
    uint8_t hash[CSL_MERKLE_BYTES];
    TRY(csl_merkle_leaf(hash, leaf, n));
    uint8_t *entry = malloc(CSL__ENTRY_HEADER + n);
    if (entry == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "no memory for an entry of %zu bytes in %s/log", n, l->dir);
    }
    csl_store_u32(entry, (uint32_t)n);
    enum csl_err err = length_check(entry + 4, entry);
    memcpy(entry + 8, hash, 4);
    memcpy(entry + CSL__ENTRY_HEADER, leaf, n);
    if (err == CSL_OK && !write_all(l->fd, entry, CSL__ENTRY_HEADER + n, l->end)) {
        struct csl_diag why;
        (void)csl_fail(&why, CSL_EIO, "%s/log: entry %llu cannot be written: %s" CLOSED, l->dir,
                       (unsigned long long)l->tree.n, strerror(errno));
        (void)!ftruncate(l->fd, (off_t)l->end); /* if this fails too, the next opening cuts it off */
        err = csl__ledger_fail(l, CSL_EIO, &why, diag);
    }
    free(entry);
    return err == CSL_OK ? take_in(l, hash, n) : err;
}

/* One thread syncs for all who wait: those whose entries came meanwhile need another round. */
enum csl_err csl__log_sync(struct csl_ledger *l, struct csl_diag *diag) {
    const uint64_t want = l->end;
    while (l->synced < want) {
        TRY(csl__ledger_alive(l, diag));
        if (l->syncing) {
            (void)pthread_cond_wait(&l->sync_done, &l->lock);
            continue;
        }
        const uint64_t target = l->end;
        l->syncing = true;
        (void)pthread_mutex_unlock(&l->lock);
        bool ok = fdatasync(l->fd) == 0;
        int saved = errno;
        (void)pthread_mutex_lock(&l->lock);
        l->syncing = false;
        if (ok) {
            l->synced = target;
        } else {
            struct csl_diag why;
            (void)csl_fail(&why, CSL_EIO, "%s/log cannot be written through to the disk: %s" CLOSED, l->dir,
                           strerror(saved));
            (void)csl__ledger_fail(l, CSL_EIO, &why, NULL);
        }
        (void)pthread_cond_broadcast(&l->sync_done);
    }
    return csl__ledger_alive(l, diag);
}

/* ---- Reading one ---- */

static bool read_all(int fd, uint8_t *p, size_t n, uint64_t at) {
    for (size_t done = 0; done < n;) {
        ssize_t r = pread(fd, p + done, n - done, (off_t)(at + done));
        if (r <= 0 && !(r < 0 && errno == EINTR)) {
            return false;
        }
        done += r > 0 ? (size_t)r : 0;
    }
    return true;
}

enum csl_err csl__log_leaf(struct csl_ledger *l, uint8_t **leaf, size_t *n, uint64_t i,
                           struct csl_diag *diag) {
    if (i >= l->tree.n) {
        return csl_fail(diag, CSL_EUSAGE, "%s/log has no entry %llu", l->dir, (unsigned long long)i);
    }
    uint8_t header[CSL__ENTRY_HEADER], hash[CSL_MERKLE_BYTES];
    uint64_t at = l->marks[i / CSL__MARK_EVERY];
    uint32_t length = 0;
    bool ok = true;
    for (uint64_t k = i - i % CSL__MARK_EVERY; ok && k <= i; k++) {
        at += length == 0 ? 0 : CSL__ENTRY_HEADER + (uint64_t)length;
        ok = read_all(l->fd, header, sizeof header, at);
        length = ok ? csl_load_u32(header) : 0;
        ok = ok && length != 0 && length <= CSL_LEAF_MAX;
    }
    uint8_t *p = ok ? malloc(length) : NULL;
    if (ok && p == NULL) {
        return csl_fail(diag, CSL_ENOMEM, "no memory for an entry of %u bytes", length);
    }
    ok = ok && read_all(l->fd, p, length, at + CSL__ENTRY_HEADER);
    enum csl_err err = ok ? csl_merkle_leaf(hash, p, length) : CSL_OK;
    if (err == CSL_OK &&
        (!ok || memcmp(hash, l->tree.levels[0].hashes + i * CSL_MERKLE_BYTES, CSL_MERKLE_BYTES) != 0)) {
        err = csl_fail(diag, CSL_EAUTH, "entry %llu of %s/log was changed while it was in use",
                       (unsigned long long)i, l->dir);
    }
    if (err != CSL_OK) {
        free(p);
        return err;
    }
    *leaf = p;
    *n = length;
    return CSL_OK;
}
