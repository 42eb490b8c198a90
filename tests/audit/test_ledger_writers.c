/* A ledger in use by several: processes, threads, and somebody who tampers with it meanwhile. */
#include "tests/audit/ledger_world.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WRITERS = 3, EACH = 60 };

static void append_marked(struct csl_ledger *l, unsigned writer) {
    for (uint64_t i = 0; i < EACH; i++) {
        uint8_t leaf[2 + 40] = {(uint8_t)writer, (uint8_t)i};
        uint64_t index;
        assert_ok(csl_ledger_append(l, &index, leaf, 2 + (size_t)(i % 40), i % 16 == 0, NULL));
    }
}

/* Each writer's leaves are all there, in its order. */
static void check_marked(struct csl_ledger *l) {
    unsigned next[WRITERS] = {0};
    assert_int_equal(csl_ledger_size(l), WRITERS * EACH);
    for (uint64_t i = 0; i < WRITERS * EACH; i++) {
        uint8_t *leaf;
        size_t n;
        assert_ok(csl_ledger_leaf(l, &leaf, &n, i, NULL));
        assert_true(n >= 2 && leaf[0] < WRITERS);
        assert_int_equal(leaf[1], next[leaf[0]]++);
        free(leaf);
    }
}

static void several_processes(void **state) {
    (void)state;
    csl_ledger_close(open_ledger("a"));
    pid_t pids[WRITERS];
    for (unsigned w = 0; w < WRITERS; w++) {
        pids[w] = fork();
        assert_true(pids[w] >= 0);
        if (pids[w] == 0) {
            static struct csl_note note;
            struct csl_ledger *l = NULL;
            bool ok = try_open(&l, "a", NULL) == CSL_OK;
            for (uint64_t i = 0; ok && i < EACH; i++) {
                uint8_t leaf[2 + 40] = {(uint8_t)w, (uint8_t)i};
                uint64_t index;
                ok = csl_ledger_append(l, &index, leaf, 2 + (size_t)(i % 40), i % 16 == 0, NULL) == CSL_OK &&
                     (i % 9 != 0 || csl_ledger_checkpoint(l, &note, NULL) == CSL_OK);
            }
            csl_ledger_close(l);
            _exit(ok ? 0 : 1);
        }
    }
    for (unsigned w = 0; w < WRITERS; w++) {
        int status;
        assert_int_equal(waitpid(pids[w], &status, 0), pids[w]);
        assert_int_equal(status, 0);
    }
    struct csl_ledger *l = open_ledger("a");
    check_marked(l);
    csl_ledger_close(l);
}

struct writer {
    struct csl_ledger *l;
    unsigned number;
    pthread_t thread;
};

static void *writer_body(void *arg) {
    struct writer *w = arg;
    append_marked(w->l, w->number);
    return NULL;
}

static void several_threads_with_group_commit(void **state) {
    (void)state;
    char dir[300];
    struct csl_ledger *l = NULL;
    struct writer writers[WRITERS];
    path_of(dir, "a", NULL);
    struct csl_ledger_options opt = {
        .dir = dir, .origin = ORIGIN, .name = NAME, .sign_key = key, .sync_ms = 1};
    assert_ok(csl_ledger_open(&l, &opt, NULL));
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.l = l, .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, writer_body, &writers[i]), 0);
    }
    static struct csl_note note;
    for (int i = 0; i < 20; i++) {
        assert_ok(csl_ledger_checkpoint(l, &note, NULL));
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
    }
    check_marked(l);
    csl_ledger_close(l);
    l = open_ledger("a");
    check_marked(l);
    csl_ledger_close(l);
}

/* What another process appended, and one that died in the middle of an entry, before our next one. */
static void others_are_taken_in(void **state) {
    struct file log;
    (void)state;
    struct csl_ledger *a = open_ledger("a"), *b = open_ledger("a");
    add_leaf(a, 0, true);
    add_leaf(b, 1, true);
    add_leaf(a, 2, true);
    assert_int_equal(csl_ledger_size(a), 3);
    check_leaf(a, 1, 1);
    add_leaf(b, 3, true);
    save_file(&log, "a", "log");
    put_file("a", "log", log.data, log.n);
    char path[300];
    path_of(path, "a", "log");
    FILE *f = fopen(path, "ab");
    assert_non_null(f);
    assert_int_equal(fwrite(log.data + 8, 1, 15, f), 15); /* the first 15 bytes of an entry */
    assert_int_equal(fclose(f), 0);
    add_leaf(a, 4, true);
    assert_int_equal(csl_ledger_torn(a), 15);
    csl_ledger_close(a);
    csl_ledger_close(b);
    a = open_ledger("a");
    for (uint64_t i = 0; i < 5; i++) {
        check_leaf(a, i, i);
    }
    csl_ledger_close(a);
    free(log.data);
}

/* Tampering while it is in use: what is read is compared with the tree, and the file must not shrink. */
static void tampered_in_use(void **state) {
    struct file log;
    struct csl_diag diag = {""};
    uint8_t *leaf;
    size_t n;
    uint64_t index;
    (void)state;
    struct csl_ledger *l = open_ledger("a");
    add_leaves(l, 0, 3);
    save_file(&log, "a", "log");
    log.data[entry_at(&log, 1) + 14] ^= 1;
    put_file("a", "log", log.data, log.n);
    assert_err(csl_ledger_leaf(l, &leaf, &n, 1, &diag), CSL_EAUTH);
    check_leaf(l, 0, 0);
    put_file("a", "log", log.data, log.n - 1);
    assert_err(csl_ledger_append(l, &index, (const uint8_t *)"x", 1, true, &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "became shorter"));
    assert_err(csl_ledger_check(l, &diag), CSL_EAUTH); /* for good */
    csl_ledger_close(l);
    free(log.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(several_processes, world_fresh),
        cmocka_unit_test_setup(several_threads_with_group_commit, world_fresh),
        cmocka_unit_test_setup(others_are_taken_in, world_fresh),
        cmocka_unit_test_setup(tampered_in_use, world_fresh),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
