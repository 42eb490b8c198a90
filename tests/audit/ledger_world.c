#include "tests/audit/ledger_world.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/bytes.h"

EVP_PKEY *key, *witness_keys[WITNESSES];
const char *const witness_names[WITNESSES] = {"hospital-b", "hospital-c", "dealer"};

static char base[] = "/tmp/csl_ledger_XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int world_setup(void **state) {
    (void)state;
    key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    bool ok = key != NULL && mkdtemp(base) != NULL;
    for (unsigned i = 0; i < WITNESSES; i++) {
        witness_keys[i] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        ok = ok && witness_keys[i] != NULL;
    }
    return ok ? 0 : 1;
}

int world_teardown(void **state) {
    (void)state;
    EVP_PKEY_free(key);
    for (unsigned i = 0; i < WITNESSES; i++) {
        EVP_PKEY_free(witness_keys[i]);
    }
    return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int world_fresh(void **state) {
    (void)state;
    return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 && mkdir(base, 0700) == 0 ? 0 : 1;
}

/* ---- Files ---- */

void path_of(char out[300], const char *ledger, const char *file) {
    int n = file == NULL ? snprintf(out, 300, "%s/%s", base, ledger)
                         : snprintf(out, 300, "%s/%s/%s", base, ledger, file);
    assert_in_range(n, 1, 299);
}

void save_file(struct file *f, const char *ledger, const char *file) {
    char path[300];
    struct stat st;
    path_of(path, ledger, file);
    *f = (struct file){NULL, 0};
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        return;
    }
    assert_int_equal(fstat(fd, &st), 0);
    f->n = (size_t)st.st_size;
    f->data = malloc(f->n + 1);
    assert_non_null(f->data);
    assert_int_equal(read(fd, f->data, f->n), f->n);
    close(fd);
}

void put_file(const char *ledger, const char *file, const uint8_t *data, size_t n) {
    char path[300];
    path_of(path, ledger, file);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    for (size_t done = 0; done < n;) {
        ssize_t w = write(fd, data + done, n - done);
        assert_true(w > 0);
        done += (size_t)w;
    }
    assert_int_equal(close(fd), 0);
}

void remove_file(const char *ledger, const char *file) {
    char path[300];
    path_of(path, ledger, file);
    (void)unlink(path);
}

void snapshot_take(struct snapshot *s, const char *ledger) {
    save_file(&s->log, ledger, "log");
    save_file(&s->checkpoint, ledger, "checkpoint");
    save_file(&s->history, ledger, "history");
}

static void put_or_remove(const struct file *f, const char *ledger, const char *file) {
    if (f->data == NULL) {
        remove_file(ledger, file);
    } else {
        put_file(ledger, file, f->data, f->n);
    }
}

void snapshot_restore(const struct snapshot *s, const char *ledger) {
    put_or_remove(&s->log, ledger, "log");
    put_or_remove(&s->checkpoint, ledger, "checkpoint");
    put_or_remove(&s->history, ledger, "history");
}

void snapshot_free(struct snapshot *s) {
    free(s->log.data);
    free(s->checkpoint.data);
    free(s->history.data);
}

/* ---- Ledgers ---- */

static enum csl_err open_as(struct csl_ledger **l, const char *ledger, const char *name, EVP_PKEY *k,
                            struct csl_diag *diag) {
    char dir[300], origin[100];
    path_of(dir, ledger, NULL);
    (void)snprintf(origin, sizeof origin, "consilium/heart-network/%s", name);
    struct csl_ledger_options opt = {.dir = dir, .origin = origin, .name = name, .sign_key = k};
    return csl_ledger_open(l, &opt, diag);
}

enum csl_err try_open(struct csl_ledger **l, const char *ledger, struct csl_diag *diag) {
    return open_as(l, ledger, NAME, key, diag);
}

struct csl_ledger *open_ledger(const char *ledger) {
    struct csl_diag diag = {""};
    struct csl_ledger *l = NULL;
    if (try_open(&l, ledger, &diag) != CSL_OK) {
        print_error("%s\n", diag.text);
        fail();
    }
    return l;
}

struct csl_ledger *open_witness(unsigned i) {
    struct csl_ledger *l = NULL;
    assert_ok(open_as(&l, witness_names[i], witness_names[i], witness_keys[i], NULL));
    return l;
}

size_t leaf_text(char out[LEAF_ROOM], uint64_t i) {
    int n = snprintf(out, LEAF_ROOM, "leaf %llu %.*s", (unsigned long long)i, (int)(i % 13),
                     "............................");
    return (size_t)n;
}

void add_leaf(struct csl_ledger *l, uint64_t i, bool durable) {
    char text[LEAF_ROOM];
    uint64_t index;
    struct csl_diag diag = {""};
    size_t n = leaf_text(text, i);
    if (csl_ledger_append(l, &index, (const uint8_t *)text, n, durable, &diag) != CSL_OK) {
        print_error("%s\n", diag.text);
        fail();
    }
}

void add_leaves(struct csl_ledger *l, uint64_t from, uint64_t to) {
    for (uint64_t i = from; i < to; i++) {
        add_leaf(l, i, false);
    }
}

void check_leaf(struct csl_ledger *l, uint64_t index, uint64_t i) {
    char text[LEAF_ROOM];
    uint8_t *got;
    size_t n, want = leaf_text(text, i);
    assert_ok(csl_ledger_leaf(l, &got, &n, index, NULL));
    assert_int_equal(n, want);
    assert_memory_equal(got, text, n);
    free(got);
}

size_t entry_at(const struct file *log, uint64_t i) {
    size_t at = 8;
    for (; i > 0; i--) {
        assert_true(at + 12 <= log->n);
        at += 12 + csl_load_u32(log->data + at);
    }
    return at;
}

void cosign_newest(struct csl_ledger *l, struct csl_ledger *witness, unsigned i) {
    struct csl_note *note = malloc(sizeof *note), *seen = malloc(sizeof *seen);
    uint8_t proof[CSL_MERKLE_PROOF_MAX][CSL_MERKLE_BYTES];
    size_t n_proof;
    uint64_t have;
    bool forked;
    assert_true(note != NULL && seen != NULL);
    assert_ok(csl_ledger_checkpoint(l, note, NULL));
    assert_ok(csl_ledger_seen(witness, seen, NAME, NULL));
    assert_ok(csl_ledger_consistency(l, proof, &n_proof, seen->checkpoint.size, note->checkpoint.size));
    assert_ok(csl_ledger_witness(witness, note, NAME, key, ORIGIN, seen->checkpoint.size,
                                 (const uint8_t(*)[CSL_MERKLE_BYTES])proof, n_proof, &have, &forked, NULL));
    assert_ok(csl_ledger_cosigned(l, note, witness_names[i], witness_keys[i], NULL));
    free(note);
    free(seen);
}
