/* Ledgers of running daemons: cosigned by all the others; rolled back, forked, damaged, and on a full disk.
 */
#include "world.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "roles/daemon/logbook.h"

static struct world world;

enum { DAEMONS = 4, WAIT_MS = 30000 };
static const char *const daemons[DAEMONS] = {"hospital-a", "hospital-b", "hospital-c", "dealer"};

static int start(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(3);
    world_open(&world, &opt);
    return 0;
}

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

/* ---- Files of a ledger ---- */

static bool read_note(struct csl_note *note, const char *site, const char *file) {
    char path[1024], text[CSL_NOTE_MAX];
    world_path(path, &world, site, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0) {
        (void)close(fd);
    }
    return n >= 0 && csl_note_parse(note, text, (size_t)n, NULL) == CSL_OK;
}

typedef bool (*reached)(const char *site, const void *arg);

/* Waits for changes in a folder until what is waited for is there. */
static void wait_until(reached f, const char *site, const char *folder, const void *arg) {
    char path[1024], events[4096];
    int in = inotify_init1(IN_CLOEXEC);
    world_path(path, &world, site, folder);
    assert_true(in >= 0 && inotify_add_watch(in, path, IN_MOVED_TO) >= 0);
    while (!f(site, arg)) {
        struct pollfd p = {.fd = in, .events = POLLIN};
        if (poll(&p, 1, WAIT_MS) != 1) {
            fail_msg("%s of %s did not become what it must", folder, site);
        }
        assert_true(read(in, events, sizeof events) > 0);
    }
    (void)close(in);
}

static struct csl_note cosigned; /* that all_cosigned found */

static bool all_cosigned(const char *site, const void *arg) {
    return read_note(&cosigned, site, "state/ledger/checkpoint") &&
           cosigned.checkpoint.size >= *(const uint64_t *)arg &&
           csl_note_cosignatures(&cosigned) == DAEMONS - 1;
}

struct seen {
    const char *of;
    uint64_t size;
};

static bool has_seen(const char *site, const void *arg) {
    static struct csl_note note;
    const struct seen *s = arg;
    char file[64];
    (void)snprintf(file, sizeof file, "state/ledger/seen/%s", s->of);
    return read_note(&note, site, file) && note.checkpoint.size >= s->size;
}

/* All the others have cosigned `of` at its newest checkpoint; its size. Nothing may be logged meanwhile. */
static uint64_t settled(const char *of) {
    static struct csl_note note;
    uint64_t one = 1;
    for (unsigned i = 0; i < DAEMONS; i++) {
        wait_until(all_cosigned, daemons[i], "state/ledger", &one);
    }
    assert_true(read_note(&note, of, "state/ledger/checkpoint"));
    struct seen s = {of, note.checkpoint.size};
    for (unsigned i = 0; i < DAEMONS; i++) {
        if (strcmp(daemons[i], of) != 0) {
            wait_until(has_seen, daemons[i], "state/ledger/seen", &s);
        }
    }
    return s.size;
}

static void copy_ledger(const char *site, const char *from, const char *to) {
    char dir[1024], command[4096];
    world_path(dir, &world, site, "state");
    (void)snprintf(command, sizeof command, "cd '%s' && rm -rf '%s' && cp -a '%s' '%s'", dir, to, from, to);
    assert_int_equal(system(command), 0);
}

static void flip(const char *site, const char *file, off_t at) {
    char path[1024];
    uint8_t byte = 0;
    world_path(path, &world, site, file);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(close(fd), 0);
}

/* Leaves of a kind that concern `who` (WITNESS) in the ledger of a daemon that may be running. */
static unsigned witness_leaves(const char *site, const char *who) {
    struct csl_context ctx;
    struct csl_logbook book;
    struct csl_diag diag = {""};
    unsigned n = 0;
    world_context(&ctx, &world, site);
    must(csl_logbook_open(&book, &ctx, 0, &diag), &diag, "logbook");
    for (uint64_t i = 0; i < csl_ledger_size(book.ledger); i++) {
        uint8_t *bytes;
        size_t n_bytes;
        csl_leaf *leaf;
        must(csl_ledger_leaf(book.ledger, &bytes, &n_bytes, i, &diag), &diag, "leaf");
        must(csl_leaf_decode(&leaf, bytes, n_bytes, &diag), &diag, "leaf");
        n += leaf->body_case == CSL__AUDIT__LEAF__BODY_WITNESS && strcmp(leaf->witness->who, who) == 0;
        csl_leaf_free(leaf);
        free(bytes);
    }
    csl_logbook_close(&book);
    csl_context_free(&ctx);
    return n;
}

/* ---- Tests ---- */

static void all_cosign_all(void **state) {
    (void)state;
    world_session(&world);
    for (unsigned i = 0; i < DAEMONS; i++) {
        uint64_t one = 1;
        wait_until(all_cosigned, daemons[i], "state/ledger", &one);
        for (unsigned k = 0; k < DAEMONS; k++) {
            const struct csl_member *m = csl_roster_member(&world.clinic.roster, daemons[k]);
            struct csl_diag diag = {""};
            must(k == i ? csl_note_verify(&cosigned, m->name, m->sign_key, &diag)
                        : csl_note_verify_cosignature(&cosigned, m->name, m->sign_key, &diag),
                 &diag, "signature");
        }
    }
}

/* A whole ledger that was put back to an older copy is good by itself: the others remember. */
static void a_rolled_back_ledger_is_named(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    settled("hospital-b");
    world_kill(&world, "hospital-b");
    copy_ledger("hospital-b", "ledger", "old");
    world_spawn(&world, "hospital-b");
    world_session(&world);
    uint64_t size = settled("hospital-b");
    world_kill(&world, "hospital-b");
    copy_ledger("hospital-b", "ledger", "new");
    copy_ledger("hospital-b", "old", "ledger");
    world_spawn(&world, "hospital-b");
    char text[32];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)size);
    /* What it enters meanwhile (its peers come and go) may make as many entries again: then it is another
     * ledger. */
    FAILED(world_try(&world, &diag), &diag, CSL_EAUTH, "hospital-b", "rolled back|forked|another ledger",
           text);
    FAILED(world_try(&world, &diag), &diag, CSL_EAUTH, "hospital-b", "rolled back|forked|another ledger");
    world_lives(&world, NULL);
    assert_true(witness_leaves("hospital-a", "hospital-b") >= 1);

    world_kill(&world, "hospital-b"); /* what the sentence advises */
    copy_ledger("hospital-b", "new", "ledger");
    world_spawn(&world, "hospital-b");
    world_session(&world);
}

/* An older copy that went on by itself, beyond what the others have seen: no proof leads there. */
static void a_forked_ledger_is_named(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_context ctx;
    struct csl_logbook book;
    uint64_t size = settled("hospital-b");
    world_kill(&world, "hospital-b");
    copy_ledger("hospital-b", "ledger", "new");
    copy_ledger("hospital-b", "old", "ledger");
    world_context(&ctx, &world, "hospital-b");
    must(csl_logbook_open(&book, &ctx, 0, &diag), &diag, "logbook");
    assert_true(csl_ledger_size(book.ledger) < size);
    while (csl_ledger_size(book.ledger) < size + 50) {
        uint64_t index;
        must(csl_ledger_append(book.ledger, &index, (const uint8_t *)"another story", 13, false, &diag),
             &diag, "append");
    }
    csl_logbook_close(&book); /* signs it */
    csl_context_free(&ctx);
    world_spawn(&world, "hospital-b");
    FAILED(world_try(&world, &diag), &diag, CSL_EAUTH, "hospital-b", "forked|another ledger");
    world_lives(&world, NULL);
    world_kill(&world, "hospital-b");
    copy_ledger("hospital-b", "new", "ledger");
    world_spawn(&world, "hospital-b");
    world_session(&world);
}

/* ---- A ledger that is lost for good ---- */

static enum csl_err accept_at(const char *site, const char *member, const char *reason,
                              struct csl_diag *diag) {
    const char *args[] = {"audit", "accept", "--member", member, "--reason", reason, "--json", NULL};
    json_t *doc = NULL;
    enum csl_err err = csl_federation_run_as(world.fed, &doc, site, args, diag);
    if (err == CSL_OK) {
        assert_string_equal(json_string_value(json_object_get(doc, "member")), member);
        assert_true(json_integer_value(json_object_get(doc, "entries")) > 0);
    }
    json_decref(doc);
    return err;
}

/* What `audit show` tells of the newest acceptance; -1: there is none. */
static json_int_t accepted_entries(const char *site, const char *member, const char *reason) {
    struct csl_diag diag = {""};
    json_t *doc, *entry;
    json_int_t n = -1;
    size_t i;
    must(csl_federation_run_as(world.fed, &doc, site, (const char *const[]){"audit", "show", "--json", NULL},
                               &diag),
         &diag, "show");
    json_array_foreach(json_object_get(doc, "entries"), i, entry) {
        if (strcmp(json_string_value(json_object_get(entry, "kind")), "ledger accepted") == 0) {
            assert_string_equal(json_string_value(json_object_get(entry, "who")), member);
            assert_non_null(strstr(json_string_value(json_object_get(entry, "reason")), reason));
            assert_non_null(json_object_get(entry, "entries_shown")); /* it was refused before */
            n = json_integer_value(json_object_get(entry, "entries_cosigned"));
        }
    }
    json_decref(doc);
    return n;
}

/* The newest ledger of a site is gone; its backup is older than what the others remember. They say, each for
 * itself and on the record, that they take what it has. Their daemons run all the time. */
static void a_lost_ledger_is_accepted(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    world_session(&world);
    uint64_t size = settled("hospital-b");
    world_kill(&world, "hospital-b");
    copy_ledger("hospital-b", "old", "ledger");
    world_spawn(&world, "hospital-b");
    FAILED(world_try(&world, &diag), &diag, CSL_EAUTH, "hospital-b", "rolled back");
    FAILED(accept_at("hospital-a", "hospital-x", "gone", &diag), &diag, CSL_EUSAGE, "no such member");
    FAILED(accept_at("hospital-a", "hospital-a", "gone", &diag), &diag, CSL_EUSAGE, "its own ledger");
    FAILED(accept_at("hospital-a", "hospital-b", " ", &diag), &diag, CSL_EUSAGE, "reason");
    FAILED(accept_at("hospital-a", "clinic", "gone", &diag), &diag, CSL_ENOINPUT, "clinic");
    world_kill(&world, "hospital-b");
    for (unsigned i = 0; i < DAEMONS; i++) {
        if (strcmp(daemons[i], "hospital-b") != 0) {
            unsigned before = witness_leaves(daemons[i], "hospital-b");
            must(accept_at(daemons[i], "hospital-b", "disk lost, backup of Monday", &diag), &diag, "accept");
            assert_int_equal(witness_leaves(daemons[i], "hospital-b"), before + 1);
            FAILED(accept_at(daemons[i], "hospital-b", "again", &diag), &diag, CSL_ENOINPUT, "hospital-b");
        }
    }
    /* What was cosigned last; the end of the session may have come after we looked. */
    assert_true(accepted_entries("hospital-a", "hospital-b", "backup of Monday") >= (json_int_t)size);
    world_spawn(&world, "hospital-b");
    world_session(&world);
    assert_true(settled("hospital-b") > 0);
    world_lives(&world, NULL);
}

static void a_damaged_ledger_does_not_start(void **state) {
    (void)state;
    static const char *const names[] = {"hospital-c", "dealer"};
    for (unsigned i = 0; i < 2; i++) {
        settled(names[i]);
        world_kill(&world, names[i]);
        flip(names[i], "state/ledger/log", 40);
        world_spawn(&world, names[i]);
        assert_int_equal(csl_federation_wait_ended(world.fed, names[i]), csl_err_exit_code(CSL_EAUTH));
        flip(names[i], "state/ledger/log", 40);
        world_spawn(&world, names[i]);
        world_session(&world);
    }
}

/* A limit on file sizes is a disk on which the log has no more room. */
static void a_full_disk_stops_sessions_and_not_the_daemon(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct rlimit was, tight;
    struct stat st;
    char path[1024];
    settled("hospital-b");
    world_kill(&world, "hospital-b");
    world_path(path, &world, "hospital-b", "state/ledger/log");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    tight = was;
    tight.rlim_cur = (rlim_t)st.st_size + 100;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    world_spawn(&world, "hospital-b");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    (void)signal(SIGXFSZ, before);
    FAILED(world_try(&world, &diag), &diag, CSL_EIO, "hospital-b", "log");
    FAILED(world_try(&world, &diag), &diag, CSL_EIO, "hospital-b", "no session is admitted");
    struct fake f;
    fake_open(&f, &world, &world.clinic);
    fake_dial(&f, 1, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    fake_ask(&f, 1, MODEL, 1);
    FAILED(fake_end(&f, 1, &diag), &diag, CSL_EIO, "no session is admitted", "log");
    fake_close(&f);
    world_lives(&world, NULL);
    world_kill(&world, "hospital-b");
    world_spawn(&world, "hospital-b");
    world_session(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_cosign_all),
        cmocka_unit_test(a_rolled_back_ledger_is_named),
        cmocka_unit_test(a_forked_ledger_is_named),
        cmocka_unit_test(a_lost_ledger_is_accepted),
        cmocka_unit_test(a_damaged_ledger_does_not_start),
        cmocka_unit_test(a_full_disk_stops_sessions_and_not_the_daemon),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
