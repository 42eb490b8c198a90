/* Disks that fail: every write, fsync, ftruncate and rename of a ledger fails once, in every way, and the
 * ledger must say so for good, lose nothing that it called durable, and open again afterwards. */
#include "tests/audit/ledger_world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- System calls that fail at the n-th call from now on ---- */

enum how { NO_SPACE, IO_ERROR, HALF_THEN_NO_SPACE };

static long long fail_at = -1; /* calls still to pass; -1: none fails */
static enum how how;
static unsigned long calls;
static bool read_only;

static bool fails(void) {
    calls++;
    if (fail_at < 0 || --fail_at >= 0) {
        return false;
    }
    fail_at = 0; /* and all that follow: the disk does not recover */
    errno = how == IO_ERROR ? EIO : ENOSPC;
    return true;
}

ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n) {
    if (!fails()) {
        return __real_write(fd, p, n);
    }
    return how == HALF_THEN_NO_SPACE && n > 1 ? __real_write(fd, p, n / 2) : -1;
}

ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at) {
    if (!fails()) {
        return __real_pwrite(fd, p, n, at);
    }
    if (how == HALF_THEN_NO_SPACE && n > 1) {
        how = NO_SPACE;
        return __real_pwrite(fd, p, n / 2, at);
    }
    return -1;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
    return fails() ? -1 : __real_fsync(fd);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd) {
    return fails() ? -1 : __real_fdatasync(fd);
}

int __real_ftruncate(int fd, off_t n);
int __wrap_ftruncate(int fd, off_t n);
int __wrap_ftruncate(int fd, off_t n) {
    return fails() ? -1 : __real_ftruncate(fd, n);
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to) {
    return fails() ? -1 : __real_rename(from, to);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, int mode);
int __wrap_open(const char *path, int flags, int mode) {
    if (read_only && (flags & (O_WRONLY | O_RDWR)) != 0) {
        errno = EROFS;
        return -1;
    }
    return __real_open(path, flags, mode);
}

/* ---- One story, with a failure at each of its calls ---- */

enum { LEAVES = 4 };

/* What came back of the story until the first error. */
struct outcome {
    uint64_t durable; /* leaves that were called so */
    uint64_t signed_; /* leaves of the newest checkpoint that was returned */
    enum csl_err err;
    struct csl_diag diag;
};

static enum csl_err append(struct csl_ledger *l, uint64_t i, bool durable, struct csl_diag *diag) {
    char text[LEAF_ROOM];
    uint64_t index;
    size_t n = leaf_text(text, i);
    return csl_ledger_append(l, &index, (const uint8_t *)text, n, durable, diag);
}

/* Opens, appends LEAVES leaves, every second one durable, with checkpoints, one of them cosigned. */
static void story(struct outcome *o, struct csl_ledger **l) {
    static struct csl_note note;
    memset(o, 0, sizeof *o);
    *l = NULL;
    o->err = try_open(l, "a", &o->diag);
    uint64_t from = o->err == CSL_OK ? csl_ledger_size(*l) : 0;
    for (uint64_t i = from; o->err == CSL_OK && i < from + LEAVES; i++) {
        o->err = append(*l, i, i % 2 == 0, &o->diag);
        if (o->err == CSL_OK && i % 2 == 0) {
            o->durable = i + 1;
        }
        if (o->err == CSL_OK && i % 2 == 1) {
            o->err = csl_ledger_checkpoint(*l, &note, &o->diag);
            o->signed_ = o->err == CSL_OK ? i + 1 : o->signed_;
            if (o->err == CSL_OK) {
                o->err = csl_note_cosign(&note, witness_names[0], witness_keys[0], 1234567890, &o->diag);
            }
            if (o->err == CSL_OK) {
                o->err = csl_ledger_cosigned(*l, &note, witness_names[0], witness_keys[0], &o->diag);
            }
        }
    }
}

static void check_after(const struct outcome *o) {
    static struct csl_note note;
    struct csl_ledger *l = open_ledger("a"); /* the disk is well again */
    uint64_t n = csl_ledger_size(l);
    assert_true(n >= o->durable && n >= o->signed_);
    for (uint64_t i = 0; i < n; i++) {
        check_leaf(l, i, i);
    }
    if (o->signed_ != 0) {
        assert_ok(csl_ledger_newest(l, &note, NULL));
        assert_true(note.checkpoint.size >= o->signed_);
    }
    add_leaf(l, n, true);
    csl_ledger_close(l);
    l = open_ledger("a");
    assert_int_equal(csl_ledger_size(l), n + 1);
    csl_ledger_close(l);
}

static int well_again(void **state) {
    fail_at = -1;
    read_only = false;
    return world_fresh(state);
}

static void fail_each_call(enum how h, bool again) {
    bool reached = true;
    for (long long at = 0; reached; at++) {
        struct outcome o;
        struct csl_ledger *l;
        uint64_t index;
        struct csl_diag diag = {""};
        (void)world_fresh(NULL);
        if (again) { /* a ledger that is there already, with a history */
            story(&o, &l);
            assert_ok(o.err);
            csl_ledger_close(l);
        }
        how = h;
        fail_at = at;
        story(&o, &l);
        reached = o.err != CSL_OK;
        if (reached) {
            assert_err(o.err, CSL_EIO);
            assert_non_null(strstr(o.diag.text, "/a")); /* names the file */
        }
        if (reached && l != NULL) {
            struct csl_diag first = {""};
            assert_err(csl_ledger_check(l, &first), CSL_EIO);
            fail_at = -1; /* there is room again: the ledger stays closed, with the same sentence */
            assert_err(csl_ledger_append(l, &index, (const uint8_t *)"x", 1, false, &diag), CSL_EIO);
            assert_string_equal(diag.text, first.text);
            assert_err(csl_ledger_sync(l, &diag), CSL_EIO);
            static struct csl_note note;
            assert_err(csl_ledger_checkpoint(l, &note, &diag), CSL_EIO);
        }
        fail_at = -1;
        csl_ledger_close(l);
        check_after(&o);
    }
}

static void no_space(void **state) {
    (void)state;
    fail_each_call(NO_SPACE, false);
    fail_each_call(NO_SPACE, true);
}

static void io_error(void **state) {
    (void)state;
    fail_each_call(IO_ERROR, false);
    fail_each_call(IO_ERROR, true);
}

static void half_a_write(void **state) {
    (void)state;
    fail_each_call(HALF_THEN_NO_SPACE, false);
    fail_each_call(HALF_THEN_NO_SPACE, true);
}

/* The failure stays while the ledger is closed: nothing crashes, and what was durable is there. */
static void closing_on_a_full_disk(void **state) {
    struct outcome o;
    struct csl_ledger *l;
    (void)state;
    story(&o, &l);
    assert_ok(o.err);
    assert_ok(append(l, LEAVES, false, NULL));
    how = NO_SPACE;
    fail_at = 0;
    csl_ledger_close(l);
    fail_at = -1;
    check_after(&o);
}

/* A witness that cannot remember what it cosigned does not cosign. */
static void witness_on_a_full_disk(void **state) {
    static struct csl_note note;
    struct outcome o;
    struct csl_ledger *l;
    uint64_t have;
    bool forked;
    (void)state;
    story(&o, &l);
    struct csl_ledger *w = open_witness(1);
    assert_ok(csl_ledger_newest(l, &note, NULL));
    how = NO_SPACE;
    fail_at = 0;
    assert_err(csl_ledger_witness(w, &note, NAME, key, ORIGIN, 0, NULL, 0, &have, &forked, NULL), CSL_EIO);
    assert_err(csl_ledger_check(w, NULL), CSL_EIO);
    fail_at = -1;
    csl_ledger_close(l);
    csl_ledger_close(w);
    w = open_witness(1);
    assert_ok(csl_ledger_seen(w, &note, NAME, NULL));
    assert_int_equal(note.checkpoint.size, 0);
    csl_ledger_close(w);
}

/* Those who wait for one fsync share it: far fewer calls than leaves. */
static void group_commit_shares_syncs(void **state) {
    (void)state;
    struct csl_ledger *l = open_ledger("a");
    calls = 0;
    for (uint64_t i = 0; i < 50; i++) {
        assert_ok(append(l, i, false, NULL));
    }
    assert_int_equal(calls, 50); /* one write each, and nothing else */
    assert_ok(csl_ledger_sync(l, NULL));
    assert_int_equal(calls, 51);
    assert_ok(csl_ledger_sync(l, NULL));
    assert_int_equal(calls, 51);
    csl_ledger_close(l);
}

static void read_only_folder(void **state) {
    struct csl_ledger *l = NULL;
    struct csl_diag diag = {""};
    (void)state;
    csl_ledger_close(open_ledger("a"));
    read_only = true;
    enum csl_err err = try_open(&l, "a", &diag);
    read_only = false;
    assert_err(err, CSL_EIO);
    assert_non_null(strstr(diag.text, "Read-only"));
    csl_ledger_close(open_ledger("a"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_space, well_again),
        cmocka_unit_test_setup(io_error, well_again),
        cmocka_unit_test_setup(half_a_write, well_again),
        cmocka_unit_test_setup(closing_on_a_full_disk, well_again),
        cmocka_unit_test_setup(witness_on_a_full_disk, well_again),
        cmocka_unit_test_setup(group_commit_shares_syncs, well_again),
        cmocka_unit_test_setup(read_only_folder, well_again),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
