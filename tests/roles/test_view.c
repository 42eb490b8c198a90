/* Views as files: what is written is read again, the folder keeps its bound, a failing disk breaks nothing,
 * and every change is found. */
#include "view_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/files_internal.h"
#include "crypto/secret.h"

enum { BIG = 300 * 1024 };

/* A record of a given size, borrowing the rest. */
static struct csl_record big_record(const struct view_site *t, uint8_t *share, size_t n) {
    struct csl_record r = t->s->batches[1][0];
    r.outputs[0].share = share;
    r.outputs[0].n = n;
    return r;
}

static enum csl_err read_id(const struct view_site *t, uint8_t id, size_t *n, bool *complete,
                            struct csl_diag *diag) {
    struct csl_view_reader *v;
    TRY(view_open_id(&v, t, id, diag));
    enum csl_err err = view_read_all(v, t, n, complete, diag);
    csl_view_reader_free(v);
    return err;
}

/* ---- Written and read ---- */

static void same(const void *a, const void *b, size_t n) {
    assert_memory_equal(a, b, n);
}

static void same_record(const struct csl_record *a, const struct csl_record *b, unsigned n) {
    assert_int_equal(a->batch, b->batch);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->total, b->total);
    same(a->counters, b->counters, a->count * sizeof *a->counters);
    same(a->seeds, b->seeds, (size_t)a->count * CSL_INDEX_SEED_BYTES);
    same(a->seed_leaves, b->seed_leaves, (size_t)a->total * 32);
    assert_int_equal(a->n_corrections, b->n_corrections);
    same(a->corrections, b->corrections, a->count * a->n_corrections);
    assert_int_equal(a->n_inputs, b->n_inputs);
    for (size_t i = 0; i < a->n_inputs; i++) {
        same(a->inputs[i].share, b->inputs[i].share, a->inputs[i].n);
        same(a->inputs[i].salt, b->inputs[i].salt, 32);
        same(a->inputs[i].statement.statement, b->inputs[i].statement.statement, a->inputs[i].statement.n);
    }
    assert_int_equal(a->n_rounds, b->n_rounds);
    for (size_t k = 0; k < a->n_rounds; k++) {
        for (unsigned p = 0; p < n; p++) {
            same(a->rounds[k].messages[p], b->rounds[k].messages[p], a->rounds[k].n);
        }
    }
    for (unsigned p = 0; p < n; p++) {
        same(a->heads[p].signature, b->heads[p].signature, CSL_SIGNATURE_BYTES);
    }
    assert_int_equal(a->n_outputs, b->n_outputs);
    for (size_t i = 0; i < a->n_outputs; i++) {
        same(a->outputs[i].share, b->outputs[i].share, a->outputs[i].n);
        same(a->outputs[i].statement.signature, b->outputs[i].statement.signature, CSL_SIGNATURE_BYTES);
    }
}

static void what_is_written_is_read(void **state) {
    (void)state;
    struct view_site t;
    struct csl_view_reader *v;
    struct csl_view_session s;
    struct csl_diag diag = {""};
    struct stat st;
    char path[256];
    view_site_open(&t, 4);
    struct csl_view_writer *w = view_begin(&t, 1, 1);
    assert_non_null(w);
    view_add(w, &t.s->batches[1][0]);
    view_add(w, &t.s->batches[1][1]);
    csl_view_end(w);
    view_path(path, &t, "state/views/01010101010101010101010101010101.view");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(view_open_id(&v, &t, 1, &diag), CSL_OK);
    assert_int_equal(csl_view_read_session(&s, v, &t.w.roster, &diag), CSL_OK);
    same(s.part, t.w.parts[1], t.w.n_parts[1]);
    same(s.record.digest, t.s->record.digest, 32);
    assert_int_equal(s.request.parts.n, RW_OWNERS);
    assert_ptr_equal(s.request.parts.at[1].owner, t.w.clients[1]);
    for (int b = 0; b < RW_BATCHES; b++) {
        struct csl_record r;
        bool end;
        assert_int_equal(csl_view_read_batch(&r, &end, v, &diag), CSL_OK);
        assert_false(end);
        same_record(&t.s->batches[1][b], &r, 2);
        csl_record_clear(&r);
    }
    csl_view_session_clear(&s);
    csl_view_reader_free(v);
    w = view_begin(&t, 1, 1); /* a session id once more: the old view stays */
    assert_null(w);
    size_t n;
    bool complete;
    assert_int_equal(read_id(&t, 1, &n, &complete, &diag), CSL_OK);
    assert_true(n == 2 && complete);
    view_site_close(&t);
    view_site_open(&t, 0);
    assert_null(view_begin(&t, 1, 1)); /* none are kept */
    assert_int_equal(csl_view_add(NULL, &t.s->batches[1][0], NULL), CSL_OK);
    csl_view_end(NULL);
    view_site_close(&t);
}

/* A party that sent another share of E when it was opened again must not make the others' views unusable. */
static void another_e_is_kept_beside(void **state) {
    (void)state;
    struct view_site t;
    struct csl_diag diag = {""};
    view_site_open(&t, 4);
    for (uint8_t id = 1; id <= 3; id++) { /* as it was, another one, as it was */
        t.w.shares[1].layers[0].e[0] ^= id == 2;
        struct csl_view_writer *w = view_begin(&t, id, 1);
        t.w.shares[1].layers[0].e[0] ^= id == 2;
        assert_non_null(w);
        csl_view_end(w);
    }
    assert_int_equal(view_each(&t, "weights", false), 2);
    struct csl_view_session s[3];
    for (uint8_t id = 1; id <= 3; id++) {
        struct csl_view_reader *v;
        assert_int_equal(view_open_id(&v, &t, id, &diag), CSL_OK);
        assert_int_equal(csl_view_read_session(&s[id - 1], v, &t.w.roster, &diag), CSL_OK);
        csl_view_reader_free(v);
    }
    same(s[0].e[0], s[2].e[0], s[0].n_e[0]);
    assert_int_equal(s[1].e[0][0], s[0].e[0][0] ^ 1);
    for (int i = 0; i < 3; i++) {
        csl_view_session_clear(&s[i]);
    }
    view_site_close(&t);
}

/* ---- The bound ---- */

static uint64_t folder_size(const struct view_site *t) {
    char path[256], file[600];
    uint64_t n = 0;
    struct stat st;
    view_path(path, t, "state/views");
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        (void)snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        n += e->d_name[0] != '.' && stat(file, &st) == 0 ? (uint64_t)st.st_size : 0;
    }
    if (d != NULL) {
        closedir(d);
    }
    return n;
}

static void the_oldest_views_go_first(void **state) {
    (void)state;
    struct view_site t;
    struct csl_diag diag = {""};
    size_t n;
    bool complete;
    view_site_open(&t, 1);
    uint8_t *share = calloc(BIG, 1);
    struct csl_record r = big_record(&t, share, BIG);
    struct csl_view_writer *running = view_begin(&t, 200, 7); /* the very oldest, but it runs */
    for (uint8_t id = 1; id <= 8; id++) {
        struct csl_view_writer *w = view_begin(&t, id, id <= 2 ? 1 : 2);
        assert_non_null(w);
        view_add(w, &r);
        csl_view_end(w);
        assert_true(folder_size(&t) <= 1 << 20);
    }
    view_add(running, &t.s->batches[1][0]);
    csl_view_end(running);
    assert_int_equal(read_id(&t, 200, &n, &complete, &diag), CSL_OK);
    assert_true(n == 1 && complete);
    assert_int_equal(read_id(&t, 8, &n, &complete, &diag), CSL_OK);
    assert_true(n == 1 && complete);
    for (uint8_t id = 1; id <= 5; id++) {
        assert_int_equal(read_id(&t, id, &n, &complete, &diag), CSL_ENOINPUT);
        assert_non_null(strstr(diag.text, "views_mib"));
    }
    assert_int_equal(view_each(&t, "weights", false), 2); /* of masks 2 and 7: nobody needs the first */
    free(share);
    view_site_close(&t);
}

static void a_view_too_large_stops(void **state) {
    (void)state;
    struct view_site t;
    struct csl_diag diag = {""};
    size_t n;
    bool complete;
    view_site_open(&t, 1);
    uint8_t *share = calloc(BIG, 1);
    struct csl_record r = big_record(&t, share, BIG);
    struct csl_view_writer *w = view_begin(&t, 1, 1);
    for (int i = 0; i < 6; i++) {
        view_add(w, &r);
        assert_true(folder_size(&t) <= 1 << 20);
    }
    csl_view_end(w);
    assert_int_equal(read_id(&t, 1, &n, &complete, &diag), CSL_OK);
    assert_true(n == 3 && !complete);
    free(share);
    view_site_close(&t);
}

/* The session asks while a thread still writes: what it asks for must be its own (ThreadSanitizer). */
static void a_large_view_is_known_at_once(void **state) {
    (void)state;
    struct view_site t;
    struct csl_diag diag = {""};
    size_t n;
    bool complete;
    view_site_open(&t, 1);
    uint8_t *share = calloc(BIG, 1);
    struct csl_record r = big_record(&t, share, BIG);
    struct csl_view_writer *w = view_begin(&t, 1, 1);
    assert_false(csl_view_is_large(NULL));
    view_add(w, &t.s->batches[1][0]);
    assert_false(csl_view_is_large(w));
    view_add(w, &r);
    assert_true(csl_view_is_large(w)); /* a quarter of 1 MiB, though not all of it is in the file yet */
    view_add(w, &t.s->batches[1][1]);
    assert_true(csl_view_is_large(w));
    csl_view_end(w);
    assert_int_equal(read_id(&t, 1, &n, &complete, &diag), CSL_OK);
    assert_true(n == 3 && complete);
    free(share);
    view_site_close(&t);
}

/* ---- A failing disk ---- */

static void a_failed_write_breaks_nothing(void **state) {
    (void)state;
    struct view_site t;
    struct csl_diag diag = {""};
    struct rlimit old, small;
    struct stat st;
    char path[256];
    size_t n;
    bool complete;
    view_site_open(&t, 4);
    struct csl_view_writer *w = view_begin(&t, 1, 1);
    view_add(w, &t.s->batches[1][0]);
    view_path(path, &t, "state/views/01010101010101010101010101010101.view");
    assert_int_equal(stat(path, &st), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = (rlim_t)st.st_size + 100; /* within the next record */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    view_add(w, &t.s->batches[1][1]);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    view_add(w, &t.s->batches[1][1]); /* a gap would be worse than an end */
    csl_view_end(w);
    assert_int_equal(read_id(&t, 1, &n, &complete, &diag), CSL_OK);
    assert_true(n == 1 && !complete);
    view_site_close(&t);
}

/* ---- Changes ---- */

static void every_truncation_is_seen(void **state) {
    (void)state;
    struct view_site t;
    struct csl_diag diag = {""};
    char path[256], *bytes;
    size_t n, size;
    bool complete;
    view_site_open(&t, 4);
    struct csl_view_writer *w = view_begin(&t, 1, 1);
    view_add(w, &t.s->batches[1][0]);
    csl_view_end(w);
    view_path(path, &t, "state/views/01010101010101010101010101010101.view");
    assert_int_equal(csl__read_file(&bytes, &size, path, 1 << 22, &diag), CSL_OK);
    for (size_t cut = 1; cut < size; cut += cut < 600 ? 41 : size / 16) {
        view_write_file(path, bytes, size - cut);
        complete = true;
        enum csl_err err = read_id(&t, 1, &n, &complete, &diag);
        assert_true((err == CSL_OK && !complete) || err == CSL_EDATA);
    }
    for (size_t at = 0; at < size; at += 97) { /* and every change */
        bytes[at] ^= 4;
        view_write_file(path, bytes, size);
        complete = true;
        enum csl_err err = read_id(&t, 1, &n, &complete, &diag);
        assert_true(err != CSL_OK || !complete); /* a longer length looks like an unfinished record */
        bytes[at] ^= 4;
    }
    csl_secret_free(bytes);
    view_site_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_e_is_kept_beside),      cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_oldest_views_go_first),     cmocka_unit_test(a_view_too_large_stops),
        cmocka_unit_test(a_failed_write_breaks_nothing), cmocka_unit_test(every_truncation_is_seen),
        cmocka_unit_test(a_large_view_is_known_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
