/* A ledger on the disk: what is written comes back, and what was tampered with is found when it is opened. */
#include "tests/audit/ledger_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef const uint8_t (*nodes)[CSL_MERKLE_BYTES];

/* ---- Writing and reading ---- */

static void appended_leaves_come_back(void **state) {
    enum { N = 100 };
    (void)state;
    struct csl_ledger *l = open_ledger("a");
    struct csl_merkle_tree want;
    uint8_t hash[N][32], root[32], got[32], proof[CSL_MERKLE_PROOF_MAX][32];
    csl_merkle_tree_init(&want);
    for (uint64_t i = 0; i < N; i++) {
        char text[LEAF_ROOM];
        add_leaf(l, i, i % 10 == 0);
        assert_ok(csl_merkle_leaf(hash[i], (const uint8_t *)text, leaf_text(text, i)));
        assert_ok(csl_merkle_append(&want, hash[i]));
        assert_ok(csl_merkle_tree_root(root, &want, i + 1));
        assert_ok(csl_ledger_root(l, got, i + 1));
        assert_memory_equal(got, root, 32);
    }
    for (int again = 0; again < 2; again++) {
        assert_int_equal(csl_ledger_size(l), N);
        assert_int_equal(csl_ledger_torn(l), 0);
        for (uint64_t i = 0; i < N; i++) {
            size_t n;
            check_leaf(l, i, i);
            assert_ok(csl_ledger_inclusion(l, proof, &n, i, N));
            assert_ok(csl_merkle_verify_inclusion(root, N, hash[i], i, (nodes)proof, n));
        }
        csl_ledger_close(l);
        l = open_ledger("a");
    }
    csl_ledger_close(l);
    csl_merkle_tree_clear(&want);
}

static void sizes_are_bounded(void **state) {
    (void)state;
    struct csl_ledger *l = open_ledger("a");
    uint8_t *big = calloc(1, CSL_LEAF_MAX + 1), *got;
    uint64_t index;
    size_t n;
    assert_non_null(big);
    assert_err(csl_ledger_append(l, &index, big, 0, true, NULL), CSL_EDATA);
    assert_err(csl_ledger_append(l, &index, big, CSL_LEAF_MAX + 1, true, NULL), CSL_EDATA);
    for (uint64_t i = 0; i < 3; i++) { /* together longer than the reader's buffer */
        big[0] = (uint8_t)i;
        assert_ok(csl_ledger_append(l, &index, big, CSL_LEAF_MAX - (i == 1), false, NULL));
        assert_int_equal(index, i);
    }
    csl_ledger_close(l);
    l = open_ledger("a");
    assert_int_equal(csl_ledger_size(l), 3);
    assert_ok(csl_ledger_leaf(l, &got, &n, 2, NULL));
    assert_int_equal(n, CSL_LEAF_MAX);
    assert_int_equal(got[0], 2);
    free(got);
    assert_err(csl_ledger_leaf(l, &got, &n, 3, NULL), CSL_EUSAGE);
    csl_ledger_close(l);
    free(big);
}

static void checkpoints_are_signed_and_found_again(void **state) {
    static struct csl_note a, b;
    uint8_t root[32];
    (void)state;
    struct csl_ledger *l = open_ledger("a");
    assert_err(csl_ledger_newest(l, &a, NULL), CSL_ENOINPUT);
    add_leaves(l, 0, 5);
    assert_ok(csl_ledger_checkpoint(l, &a, NULL));
    assert_int_equal(a.checkpoint.size, 5);
    assert_ok(csl_ledger_root(l, root, 5));
    assert_memory_equal(a.checkpoint.root, root, 32);
    assert_ok(csl_note_verify(&a, NAME, key, NULL));
    assert_string_equal(a.checkpoint.origin, ORIGIN);
    assert_ok(csl_ledger_checkpoint(l, &b, NULL)); /* nothing new: the same one */
    assert_string_equal(a.text, b.text);
    add_leaf(l, 5, false);
    csl_ledger_close(l); /* signs once more */
    l = open_ledger("a");
    assert_ok(csl_ledger_newest(l, &b, NULL));
    assert_int_equal(b.checkpoint.size, 6);
    csl_ledger_close(l);
}

/* ---- Tampering ---- */

enum { SIGNED = 6, UNSIGNED = 2 };

/* A ledger as a crash leaves it: SIGNED leaves under a checkpoint, n_unsigned after it. */
static void make_crashed(struct snapshot *s, unsigned n_unsigned) {
    static struct csl_note note;
    struct csl_ledger *l = open_ledger("a");
    add_leaves(l, 0, SIGNED);
    assert_ok(csl_ledger_checkpoint(l, &note, NULL));
    add_leaves(l, SIGNED, SIGNED + n_unsigned);
    assert_ok(csl_ledger_sync(l, NULL));
    snapshot_take(s, "a");
    csl_ledger_close(l);
}

static void truncation_at_every_byte(void **state) {
    struct snapshot s;
    (void)state;
    make_crashed(&s, UNSIGNED);
    for (size_t n = 0; n <= s.log.n; n++) {
        struct csl_ledger *l = NULL;
        struct csl_diag diag = {""};
        snapshot_restore(&s, "a");
        put_file("a", "log", s.log.data, n);
        enum csl_err err = try_open(&l, "a", &diag);
        if (n < entry_at(&s.log, SIGNED)) { /* a leaf that was signed is not all there */
            struct file now;
            assert_err(err, CSL_EAUTH);
            assert_non_null(strstr(diag.text, "/log"));
            save_file(&now, "a", "log"); /* evidence: it stays as it is */
            assert_int_equal(now.n, n);
            free(now.data);
            continue;
        }
        assert_ok(err);
        uint64_t whole = csl_ledger_size(l);
        assert_int_equal(csl_ledger_torn(l), n - entry_at(&s.log, whole));
        assert_true(whole == SIGNED + UNSIGNED || n < entry_at(&s.log, whole + 1));
        add_leaf(l, whole, true); /* and it goes on */
        csl_ledger_close(l);
        l = open_ledger("a");
        assert_int_equal(csl_ledger_size(l), whole + 1);
        check_leaf(l, whole, whole);
        csl_ledger_close(l);
    }
    snapshot_free(&s);
}

/* Flips each bit of a file; returns how many openings went through with something cut off. */
static unsigned flip_all(const struct snapshot *s, const char *file, const struct file *f) {
    unsigned cut_off = 0;
    for (size_t bit = 0; bit < f->n * 8; bit++) {
        struct csl_ledger *l = NULL;
        struct csl_diag diag = {""};
        snapshot_restore(s, "a");
        f->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        put_file("a", file, f->data, f->n);
        f->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum csl_err err = try_open(&l, "a", &diag);
        if (err == CSL_OK) {
            if (csl_ledger_torn(l) == 0) {
                print_error("bit %zu of %s went unseen\n", bit, file);
                fail();
            }
            cut_off++;
            csl_ledger_close(l);
        } else {
            assert_err(err, CSL_EAUTH);
            assert_non_null(strstr(diag.text, "/"));
        }
    }
    return cut_off;
}

static void every_bit_flip(void **state) {
    struct snapshot s;
    (void)state;
    make_crashed(&s, 0); /* everything is signed: nothing may be cut off */
    assert_int_equal(flip_all(&s, "log", &s.log), 0);
    assert_int_equal(flip_all(&s, "checkpoint", &s.checkpoint), 0);
    snapshot_free(&s);
}

/* Of what was not signed yet, the last entry alone can be taken for one that a crash left. */
static void every_bit_flip_behind_the_checkpoint(void **state) {
    struct snapshot s;
    (void)state;
    make_crashed(&s, UNSIGNED);
    size_t last = entry_at(&s.log, SIGNED + UNSIGNED - 1);
    unsigned cut_off = flip_all(&s, "log", &s.log);
    assert_in_range(cut_off, 1, (s.log.n - last) * 8);
    snapshot_free(&s);
}

static void cut_out(struct file *out, const struct file *log, uint64_t i) {
    size_t at = entry_at(log, i), end = entry_at(log, i + 1);
    out->n = log->n - (end - at);
    memcpy(out->data, log->data, at);
    memcpy(out->data + at, log->data + end, log->n - end);
}

static void refused_naming(const char *word) {
    struct csl_ledger *l = NULL;
    struct csl_diag diag = {""};
    assert_err(try_open(&l, "a", &diag), CSL_EAUTH);
    assert_null(l);
    if (strstr(diag.text, word) == NULL) {
        print_error("no \"%s\" in: %s\n", word, diag.text);
        fail();
    }
}

/* Entries that are whole by themselves, but not those that were signed. */
static void removed_reordered_added_and_exchanged(void **state) {
    struct snapshot s;
    (void)state;
    make_crashed(&s, UNSIGNED);
    struct file t = {malloc(2 * s.log.n), 0};
    assert_non_null(t.data);
    for (uint64_t i = 0; i < SIGNED; i++) {
        snapshot_restore(&s, "a");
        cut_out(&t, &s.log, i); /* the unsigned ones move up: still as many as were signed */
        put_file("a", "log", t.data, t.n);
        refused_naming("changed, removed, added or moved");

        size_t a = entry_at(&s.log, i), b = entry_at(&s.log, i + 1), c = entry_at(&s.log, i + 2);
        memcpy(t.data, s.log.data, s.log.n); /* swapped with the next */
        memcpy(t.data + a, s.log.data + b, c - b);
        memcpy(t.data + a + (c - b), s.log.data + a, b - a);
        put_file("a", "log", t.data, s.log.n);
        refused_naming("changed, removed, added or moved");

        if (i + 1 < SIGNED) {              /* else the first SIGNED are what they were */
            memcpy(t.data, s.log.data, b); /* doubled */
            memcpy(t.data + b, s.log.data + a, s.log.n - a);
            put_file("a", "log", t.data, s.log.n + (b - a));
            refused_naming("changed, removed, added or moved");
        }
    }
    snapshot_restore(&s, "a");
    csl_ledger_close(open_ledger("a")); /* it was good all the while */
    free(t.data);
    snapshot_free(&s);
}

static void files_that_are_gone(void **state) {
    struct snapshot s;
    (void)state;
    make_crashed(&s, 0);
    remove_file("a", "log");
    refused_naming("log was removed");
    snapshot_restore(&s, "a");
    remove_file("a", "checkpoint");
    refused_naming("checkpoint is missing");
    remove_file("a", "log"); /* both: nothing is left to compare with; the witnesses remember */
    struct csl_ledger *l = open_ledger("a");
    assert_int_equal(csl_ledger_size(l), 0);
    csl_ledger_close(l);
    snapshot_free(&s);
}

/* The log alone is put back to an older copy; then the checkpoint alone; then both with a history. */
static void rollback(void **state) {
    struct snapshot old, new;
    (void)state;
    struct csl_ledger *l = open_ledger("a"), *w = open_witness(0);
    add_leaves(l, 0, 3);
    cosign_newest(l, w, 0);
    snapshot_take(&old, "a");
    add_leaves(l, 3, 7);
    cosign_newest(l, w, 0);
    add_leaves(l, 7, 9);
    cosign_newest(l, w, 0);
    csl_ledger_close(l);
    snapshot_take(&new, "a");

    put_file("a", "log", old.log.data, old.log.n);
    refused_naming("cut off or rolled back");
    snapshot_restore(&new, "a");
    put_file("a", "checkpoint", old.checkpoint.data, old.checkpoint.n);
    refused_naming("rolled back");
    put_file("a", "log", old.log.data, old.log.n); /* history still knows better */
    refused_naming("rolled back");

    /* All of it: only the witness sees it. */
    static struct csl_note note;
    struct csl_diag diag = {""};
    uint64_t have;
    bool forked;
    snapshot_restore(&old, "a");
    l = open_ledger("a");
    assert_ok(csl_ledger_newest(l, &note, NULL));
    assert_err(csl_ledger_witness(w, &note, NAME, key, ORIGIN, 0, NULL, 0, &have, &forked, &diag), CSL_EAUTH);
    assert_int_equal(have, 9);
    assert_false(forked);
    assert_non_null(strstr(diag.text, "rolled back"));
    csl_ledger_close(l);
    csl_ledger_close(w);
    snapshot_free(&old);
    snapshot_free(&new);
}

/* Two copies of one ledger go on by themselves: the same size, another root, both signed. */
static void a_fork_is_a_proof(void **state) {
    struct snapshot s;
    static struct csl_note one, two;
    struct csl_diag diag = {""};
    uint8_t proof[CSL_MERKLE_PROOF_MAX][32];
    size_t n;
    uint64_t have;
    bool forked;
    (void)state;
    make_crashed(&s, 0);
    struct csl_ledger *w = open_witness(0), *l = open_ledger("a");
    cosign_newest(l, w, 0);
    add_leaf(l, 100, true);
    cosign_newest(l, w, 0);
    assert_ok(csl_ledger_newest(l, &one, NULL));
    csl_ledger_close(l);
    snapshot_restore(&s, "a");
    l = open_ledger("a");
    add_leaf(l, 200, true);
    assert_ok(csl_ledger_checkpoint(l, &two, NULL));
    assert_ok(csl_ledger_consistency(l, proof, &n, SIGNED, SIGNED + 1));
    assert_err(csl_ledger_witness(w, &two, NAME, key, ORIGIN, SIGNED, (nodes)proof, n, &have, &forked, &diag),
               CSL_EAUTH);
    assert_true(forked);
    assert_int_equal(have, SIGNED + 1);
    assert_ok(csl_ledger_seen(w, &one, NAME, NULL)); /* both are signed by it, and say different things */
    assert_ok(csl_note_verify(&one, NAME, key, NULL));
    assert_ok(csl_note_verify(&two, NAME, key, NULL));
    assert_int_equal(one.checkpoint.size, two.checkpoint.size);
    assert_memory_not_equal(one.checkpoint.root, two.checkpoint.root, 32);
    add_leaf(l, 201, true); /* going on does not help: no proof leads from what was seen */
    assert_ok(csl_ledger_checkpoint(l, &two, NULL));
    assert_ok(csl_ledger_consistency(l, proof, &n, SIGNED, SIGNED + 2));
    assert_err(csl_ledger_witness(w, &two, NAME, key, ORIGIN, SIGNED, (nodes)proof, n, &have, &forked, &diag),
               CSL_ESTALE);
    assert_ok(csl_ledger_consistency(l, proof, &n, SIGNED + 1, SIGNED + 2));
    assert_err(
        csl_ledger_witness(w, &two, NAME, key, ORIGIN, SIGNED + 1, (nodes)proof, n, &have, &forked, &diag),
        CSL_EAUTH);
    assert_false(forked);
    csl_ledger_close(l);
    csl_ledger_close(w);
    snapshot_free(&s);
}

static void history_is_checked(void **state) {
    struct snapshot s;
    (void)state;
    struct csl_ledger *l = open_ledger("a"), *w = open_witness(0);
    for (uint64_t i = 0; i < 4; i++) {
        add_leaf(l, i, false);
        cosign_newest(l, w, 0);
    }
    static struct csl_note note;
    for (size_t i = 0; i < 3; i++) { /* the fourth is the newest */
        assert_ok(csl_ledger_history(l, &note, i, NULL));
        assert_int_equal(note.checkpoint.size, i + 1);
        assert_ok(csl_note_verify_cosignature(&note, witness_names[0], witness_keys[0], NULL));
    }
    assert_err(csl_ledger_history(l, &note, 3, NULL), CSL_ENOINPUT);
    csl_ledger_close(l);
    csl_ledger_close(w);
    snapshot_take(&s, "a");
    for (size_t n = 0; n < s.history.n; n++) { /* torn: it loses a note, and says so */
        snapshot_restore(&s, "a");
        put_file("a", "history", s.history.data, n);
        l = open_ledger("a");
        assert_true(n == 0 || csl_ledger_history(l, &note, 2, NULL) == CSL_ENOINPUT);
        csl_ledger_close(l);
    }
    /* A signature that only another can verify (the cosignature) is left to the audit. */
    snapshot_restore(&s, "a");
    for (size_t at = 0; s.history.data[at] != '\n' || s.history.data[at + 1] != '\n'; at++) {
        s.history.data[at] ^= 1;
        put_file("a", "history", s.history.data, s.history.n);
        s.history.data[at] ^= 1;
        struct csl_ledger *bad = NULL;
        assert_err(try_open(&bad, "a", NULL), CSL_EAUTH);
    }
    snapshot_free(&s);
}

/* Another site's key, and another site's ledger. */
static void of_somebody_else(void **state) {
    struct snapshot s;
    char dir[300];
    struct csl_ledger *l = NULL;
    struct csl_diag diag = {""};
    (void)state;
    make_crashed(&s, 0);
    path_of(dir, "a", NULL);
    struct csl_ledger_options opt = {.dir = dir, .origin = ORIGIN, .name = NAME, .sign_key = witness_keys[0]};
    assert_err(csl_ledger_open(&l, &opt, &diag), CSL_EAUTH);
    opt.sign_key = key;
    opt.origin = "consilium/other/hospital-a";
    assert_err(csl_ledger_open(&l, &opt, &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "consilium/other/hospital-a"));
    snapshot_free(&s);
}

/* What a crash of the machine leaves of pages that were never written. */
static void zeros_at_the_end(void **state) {
    struct snapshot s;
    (void)state;
    make_crashed(&s, UNSIGNED);
    for (size_t n = 1; n < 40; n++) {
        struct file t = {calloc(1, s.log.n + n), s.log.n + n};
        assert_non_null(t.data);
        memcpy(t.data, s.log.data, s.log.n);
        snapshot_restore(&s, "a");
        put_file("a", "log", t.data, t.n);
        struct csl_ledger *l = open_ledger("a");
        assert_int_equal(csl_ledger_size(l), SIGNED + UNSIGNED);
        assert_int_equal(csl_ledger_torn(l), n);
        csl_ledger_close(l);
        free(t.data);
    }
    snapshot_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(appended_leaves_come_back, world_fresh),
        cmocka_unit_test_setup(sizes_are_bounded, world_fresh),
        cmocka_unit_test_setup(checkpoints_are_signed_and_found_again, world_fresh),
        cmocka_unit_test_setup(truncation_at_every_byte, world_fresh),
        cmocka_unit_test_setup(every_bit_flip, world_fresh),
        cmocka_unit_test_setup(every_bit_flip_behind_the_checkpoint, world_fresh),
        cmocka_unit_test_setup(removed_reordered_added_and_exchanged, world_fresh),
        cmocka_unit_test_setup(files_that_are_gone, world_fresh),
        cmocka_unit_test_setup(rollback, world_fresh),
        cmocka_unit_test_setup(a_fork_is_a_proof, world_fresh),
        cmocka_unit_test_setup(history_is_checked, world_fresh),
        cmocka_unit_test_setup(of_somebody_else, world_fresh),
        cmocka_unit_test_setup(zeros_at_the_end, world_fresh),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
