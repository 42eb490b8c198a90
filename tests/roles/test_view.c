/* Views as files: what is written is read again, the folder keeps its bound, a failing disk breaks nothing,
 * and every change is found. */
#include "replay_world.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rsa.h>

#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "roles/judge/opening.h"

enum { BIG = 300 * 1024 };

/* A party's site folder, and a session whose records are written into it. */
struct site {
    struct rw w;
    struct rw_session *s;
    struct csl_context *ctx;
    struct csl_package package;
    char dir[64];
    EVP_PKEY *wrap, *judge;
};

static void site_open(struct site *t, uint32_t views_mib) {
    static EVP_PKEY *wrap, *judge; /* half a second each */
    memset(t, 0, sizeof *t);
    rw_open(&t->w, 2, false, true);
    t->s = rw_run(&t->w, RW_HONEST, 1);
    wrap = wrap != NULL ? wrap : EVP_RSA_gen(3072);
    judge = judge != NULL ? judge : EVP_RSA_gen(3072);
    t->wrap = wrap;
    t->judge = judge;
    t->ctx = &t->w.ctx[1];
    (void)snprintf(t->dir, sizeof t->dir, "/tmp/consilium-view.XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    t->ctx->dir = t->dir;
    t->ctx->site.wrap_key = wrap;
    t->w.roster.members[1].wrap_key = wrap;
    t->ctx->roster.audit.views_mib = views_mib;
    t->package.manifest = t->w.manifest_bytes;
    t->package.n_manifest = t->w.n_manifest;
    memcpy(t->package.signature, t->w.manifest_signature, sizeof t->package.signature);
    t->package.part = t->w.parts[1];
    t->package.n_part = t->w.n_parts[1];
}

static void path_of(char out[256], const struct site *t, const char *name) {
    (void)snprintf(out, 256, "%s/%s", t->dir, name);
}

static size_t each_view(const struct site *t, const char *end, bool remove_it) {
    char path[256], file[600];
    size_t n = 0;
    path_of(path, t, "state/views");
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        size_t len = strlen(e->d_name), want = strlen(end);
        if (len > want && strcmp(e->d_name + len - want, end) == 0) {
            n++;
            (void)snprintf(file, sizeof file, "%s/%s", path, e->d_name);
            if (remove_it) {
                (void)unlink(file);
            }
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return n;
}

static void site_close(struct site *t) {
    static const char *const names[] = {"opened", "judge/openings", "judge", "state/views", "state", ""};
    (void)each_view(t, "view", true);
    (void)each_view(t, "weights", true);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256];
        path_of(path, t, names[i]);
        (void)remove(path);
    }
    rw_session_free(t->s);
    rw_close(&t->w);
}

static struct csl_view_writer *begin(const struct site *t, uint8_t id, uint8_t mask) {
    struct csl_view_writer *v = NULL;
    struct csl_diag diag = {""};
    uint8_t session[16], mask_id[32];
    memset(session, id, sizeof session);
    memset(mask_id, mask, sizeof mask_id);
    assert_int_equal(csl_view_begin(&v, t->ctx, session, &t->s->record, &t->package, mask_id, &t->w.shares[1],
                                    &t->w.request, &diag),
                     CSL_OK);
    return v;
}

static void add(struct csl_view_writer *v, const struct csl_record *r) {
    assert_int_equal(csl_view_add(v, r, NULL), CSL_OK);
}

/* A record of a given size, borrowing the rest. */
static struct csl_record big_record(const struct site *t, uint8_t *share, size_t n) {
    struct csl_record r = t->s->batches[1][0];
    r.outputs[0].share = share;
    r.outputs[0].n = n;
    return r;
}

static enum csl_err open_id(struct csl_view_reader **v, const struct site *t, uint8_t id,
                            struct csl_diag *diag) {
    uint8_t session[16];
    memset(session, id, sizeof session);
    return csl_view_open_own(v, t->ctx, session, diag);
}

/* Reads all; *n batches; complete. An error is returned. */
static enum csl_err read_all(struct csl_view_reader *v, const struct site *t, size_t *n, bool *complete,
                             struct csl_diag *diag) {
    struct csl_view_session s;
    const char *why;
    *n = 0;
    TRY(csl_view_read_session(&s, v, &t->w.roster, diag));
    csl_view_session_clear(&s);
    for (;;) {
        struct csl_record r;
        bool end;
        TRY(csl_view_read_batch(&r, &end, v, diag));
        if (end) {
            *complete = csl_view_complete(v, &why);
            return CSL_OK;
        }
        csl_record_clear(&r);
        ++*n;
    }
}

static enum csl_err read_id(const struct site *t, uint8_t id, size_t *n, bool *complete,
                            struct csl_diag *diag) {
    struct csl_view_reader *v;
    TRY(open_id(&v, t, id, diag));
    enum csl_err err = read_all(v, t, n, complete, diag);
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
    struct site t;
    struct csl_view_reader *v;
    struct csl_view_session s;
    struct csl_diag diag = {""};
    struct stat st;
    char path[256];
    site_open(&t, 4);
    struct csl_view_writer *w = begin(&t, 1, 1);
    assert_non_null(w);
    add(w, &t.s->batches[1][0]);
    add(w, &t.s->batches[1][1]);
    csl_view_end(w);
    path_of(path, &t, "state/views/01010101010101010101010101010101.view");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(open_id(&v, &t, 1, &diag), CSL_OK);
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
    w = begin(&t, 1, 1); /* a session id once more: the old view stays */
    assert_null(w);
    size_t n;
    bool complete;
    assert_int_equal(read_id(&t, 1, &n, &complete, &diag), CSL_OK);
    assert_true(n == 2 && complete);
    site_close(&t);
    site_open(&t, 0);
    assert_null(begin(&t, 1, 1)); /* none are kept */
    assert_int_equal(csl_view_add(NULL, &t.s->batches[1][0], NULL), CSL_OK);
    csl_view_end(NULL);
    site_close(&t);
}

/* A party that sent another share of E when it was opened again must not make the others' views unusable. */
static void another_e_is_kept_beside(void **state) {
    (void)state;
    struct site t;
    struct csl_diag diag = {""};
    site_open(&t, 4);
    for (uint8_t id = 1; id <= 3; id++) { /* as it was, another one, as it was */
        t.w.shares[1].layers[0].e[0] ^= id == 2;
        struct csl_view_writer *w = begin(&t, id, 1);
        t.w.shares[1].layers[0].e[0] ^= id == 2;
        assert_non_null(w);
        csl_view_end(w);
    }
    assert_int_equal(each_view(&t, "weights", false), 2);
    struct csl_view_session s[3];
    for (uint8_t id = 1; id <= 3; id++) {
        struct csl_view_reader *v;
        assert_int_equal(open_id(&v, &t, id, &diag), CSL_OK);
        assert_int_equal(csl_view_read_session(&s[id - 1], v, &t.w.roster, &diag), CSL_OK);
        csl_view_reader_free(v);
    }
    same(s[0].e[0], s[2].e[0], s[0].n_e[0]);
    assert_int_equal(s[1].e[0][0], s[0].e[0][0] ^ 1);
    for (int i = 0; i < 3; i++) {
        csl_view_session_clear(&s[i]);
    }
    site_close(&t);
}

/* ---- The bound ---- */

static uint64_t folder_size(const struct site *t) {
    char path[256], file[600];
    uint64_t n = 0;
    struct stat st;
    path_of(path, t, "state/views");
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
    struct site t;
    struct csl_diag diag = {""};
    size_t n;
    bool complete;
    site_open(&t, 1);
    uint8_t *share = calloc(BIG, 1);
    struct csl_record r = big_record(&t, share, BIG);
    struct csl_view_writer *running = begin(&t, 200, 7); /* the very oldest, but it runs */
    for (uint8_t id = 1; id <= 8; id++) {
        struct csl_view_writer *w = begin(&t, id, id <= 2 ? 1 : 2);
        assert_non_null(w);
        add(w, &r);
        csl_view_end(w);
        assert_true(folder_size(&t) <= 1 << 20);
    }
    add(running, &t.s->batches[1][0]);
    csl_view_end(running);
    assert_int_equal(read_id(&t, 200, &n, &complete, &diag), CSL_OK);
    assert_true(n == 1 && complete);
    assert_int_equal(read_id(&t, 8, &n, &complete, &diag), CSL_OK);
    assert_true(n == 1 && complete);
    for (uint8_t id = 1; id <= 5; id++) {
        assert_int_equal(read_id(&t, id, &n, &complete, &diag), CSL_ENOINPUT);
        assert_non_null(strstr(diag.text, "views_mib"));
    }
    assert_int_equal(each_view(&t, "weights", false), 2); /* of masks 2 and 7: nobody needs the first */
    free(share);
    site_close(&t);
}

static void a_view_too_large_stops(void **state) {
    (void)state;
    struct site t;
    struct csl_diag diag = {""};
    size_t n;
    bool complete;
    site_open(&t, 1);
    uint8_t *share = calloc(BIG, 1);
    struct csl_record r = big_record(&t, share, BIG);
    struct csl_view_writer *w = begin(&t, 1, 1);
    for (int i = 0; i < 6; i++) {
        add(w, &r);
        assert_true(folder_size(&t) <= 1 << 20);
    }
    csl_view_end(w);
    assert_int_equal(read_id(&t, 1, &n, &complete, &diag), CSL_OK);
    assert_true(n == 3 && !complete);
    free(share);
    site_close(&t);
}

/* ---- A failing disk ---- */

static void a_failed_write_breaks_nothing(void **state) {
    (void)state;
    struct site t;
    struct csl_diag diag = {""};
    struct rlimit old, small;
    struct stat st;
    char path[256];
    size_t n;
    bool complete;
    site_open(&t, 4);
    struct csl_view_writer *w = begin(&t, 1, 1);
    add(w, &t.s->batches[1][0]);
    path_of(path, &t, "state/views/01010101010101010101010101010101.view");
    assert_int_equal(stat(path, &st), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = (rlim_t)st.st_size + 100; /* within the next record */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    add(w, &t.s->batches[1][1]);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    add(w, &t.s->batches[1][1]); /* a gap would be worse than an end */
    csl_view_end(w);
    assert_int_equal(read_id(&t, 1, &n, &complete, &diag), CSL_OK);
    assert_true(n == 1 && !complete);
    site_close(&t);
}

/* ---- Changes ---- */

static void write_file(const char *path, const char *bytes, size_t n) {
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* A crash: whatever was written whole is read, and the view says that it has no end. */
static void every_truncation_is_seen(void **state) {
    (void)state;
    struct site t;
    struct csl_diag diag = {""};
    char path[256], *bytes;
    size_t n, size;
    bool complete;
    site_open(&t, 4);
    struct csl_view_writer *w = begin(&t, 1, 1);
    add(w, &t.s->batches[1][0]);
    csl_view_end(w);
    path_of(path, &t, "state/views/01010101010101010101010101010101.view");
    assert_int_equal(csl__read_file(&bytes, &size, path, 1 << 22, &diag), CSL_OK);
    for (size_t cut = 1; cut < size; cut += cut < 600 ? 41 : size / 16) {
        write_file(path, bytes, size - cut);
        complete = true;
        enum csl_err err = read_id(&t, 1, &n, &complete, &diag);
        assert_true((err == CSL_OK && !complete) || err == CSL_EDATA);
    }
    for (size_t at = 0; at < size; at += 97) { /* and every change */
        bytes[at] ^= 4;
        write_file(path, bytes, size);
        complete = true;
        enum csl_err err = read_id(&t, 1, &n, &complete, &diag);
        assert_true(err != CSL_OK || !complete); /* a longer length looks like an unfinished record */
        bytes[at] ^= 4;
    }
    csl_secret_free(bytes);
    site_close(&t);
}

/* ---- Opened to a judge ---- */

static void fill_head(struct csl_opened_view *head, const struct site *t, const char *party) {
    memset(head, 0, sizeof *head);
    memcpy(head->roster_digest, t->w.roster_digest, 32);
    memset(head->session_id, 1, 16);
    memcpy(head->package_digest, t->w.manifest.digest, 32);
    (void)snprintf(head->party, sizeof head->party, "%s", party);
    (void)strcpy(head->model, "network");
    assert_int_equal(csl_key_spki(head->judge, t->judge), CSL_OK);
}

static void write_opened(const struct site *t, const char *path, const char *party) {
    struct csl_opened_view head;
    struct csl_view_reader *v;
    struct csl_diag diag = {""};
    fill_head(&head, t, party);
    assert_int_equal(open_id(&v, t, 1, &diag), CSL_OK);
    assert_int_equal(csl_opened_view_write(path, &head, v, t->judge, t->w.keys[1], &diag), CSL_OK);
    csl_view_reader_free(v);
}

static void opened_views(void **state) {
    (void)state;
    struct site t;
    struct csl_opened_view head;
    struct csl_view_reader *v;
    struct csl_diag diag = {""};
    char path[256], *bytes;
    size_t n, size;
    bool complete;
    site_open(&t, 4);
    struct csl_view_writer *w = begin(&t, 1, 1);
    add(w, &t.s->batches[1][0]);
    add(w, &t.s->batches[1][1]);
    csl_view_end(w);
    path_of(path, &t, "opened");
    write_opened(&t, path, "hospital-b");
    assert_int_equal(csl_opened_view_open(&v, &head, path, &t.w.roster, t.judge, &diag), CSL_OK);
    assert_string_equal(head.party, "hospital-b");
    assert_int_equal(read_all(v, &t, &n, &complete, &diag), CSL_OK);
    assert_true(n == 2 && complete);
    csl_view_reader_free(v);
    struct csl_audit_report report = {.verdict = CSL_VERDICT_CONSISTENT}; /* and replayed from the file */
    const csl_bundle *bundles[2] = {t.s->bundles[0], t.s->bundles[1]};
    struct csl_replay_options opt = {.roster = &t.w.roster,
                                     .roster_digest = t.w.roster_digest,
                                     .party = "hospital-b",
                                     .package_digest = head.package_digest,
                                     .session_id = head.session_id,
                                     .bundles = bundles,
                                     .n_bundles = 2};
    for (int wrong = 0; wrong < 3; wrong++) { /* a head that names another package would be counted wrongly */
        memset(&report, 0, sizeof report);
        assert_int_equal(csl_opened_view_open(&v, &head, path, &t.w.roster, t.judge, &diag), CSL_OK);
        head.package_digest[0] ^= wrong == 1;
        head.session_id[0] ^= wrong == 2;
        assert_int_equal(csl_replay_view(&report, NULL, &opt, v, &diag), CSL_OK);
        assert_int_equal(report.verdict, wrong == 0 ? CSL_VERDICT_CONSISTENT : CSL_VERDICT_MISMATCH);
        csl_audit_report_clear(&report);
        csl_view_reader_free(v);
    }
    assert_int_equal(csl_opened_view_open(&v, &head, path, &t.w.roster, t.wrap, &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "another judge"));
    assert_int_equal(csl__read_file(&bytes, &size, path, 1 << 22, &diag), CSL_OK);
    for (size_t at = 0; at < size; at += 101) { /* signed as a whole */
        bytes[at] ^= 2;
        write_file(path, bytes, size);
        assert_int_not_equal(csl_opened_view_open(&v, &head, path, &t.w.roster, t.judge, &diag), CSL_OK);
        bytes[at] ^= 2;
    }
    for (size_t cut = 1; cut < size; cut += size / 13) {
        write_file(path, bytes, size - cut);
        assert_int_not_equal(csl_opened_view_open(&v, &head, path, &t.w.roster, t.judge, &diag), CSL_OK);
    }
    csl_secret_free(bytes);
    (void)unlink(path);
    write_opened(&t, path, "hospital-a"); /* signed by another than it says */
    assert_int_equal(csl_opened_view_open(&v, &head, path, &t.w.roster, t.judge, &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "hospital-a did not sign"));
    site_close(&t);
}

/* ---- The judge's register ---- */

static void the_register_counts(void **state) {
    (void)state;
    struct site t;
    struct csl_opened_view a, b;
    struct csl_diag diag = {""};
    char dir[256];
    site_open(&t, 1);
    path_of(dir, &t, "judge");
    assert_int_equal(mkdir(dir, 0700), 0);
    t.w.roster.audit.colluding = 0; /* of two parties' shares one may be opened */
    fill_head(&a, &t, "hospital-a");
    fill_head(&b, &t, "hospital-b");
    for (int again = 0; again < 2; again++) {
        assert_int_equal(csl_register_opening(dir, &a, &t.w.roster, &diag), CSL_OK);
        assert_int_equal(csl_register_opening(dir, &b, &t.w.roster, &diag), CSL_EPERM);
        assert_non_null(strstr(diag.text, "share the model anew"));
    }
    b.package_digest[0] ^= 1; /* another package */
    assert_int_equal(csl_register_opening(dir, &b, &t.w.roster, &diag), CSL_OK);
    t.w.roster.audit.colluding = 1;
    a.package_digest[5] ^= 1;
    assert_int_equal(csl_register_opening(dir, &a, &t.w.roster, &diag), CSL_EPERM);
    (void)strcpy(a.party, "clinic");
    assert_int_equal(csl_register_opening(dir, &a, &t.w.roster, &diag), CSL_EAUTH);
    site_close(&t);
}

/* On a full disk nothing is opened, and what was opened afterwards counts. */
static void half_a_line_hides_nobody(void **state) {
    (void)state;
    struct site t;
    struct csl_opened_view a, b;
    struct csl_diag diag = {""};
    struct rlimit old, small;
    char dir[256];
    site_open(&t, 1);
    path_of(dir, &t, "judge");
    assert_int_equal(mkdir(dir, 0700), 0);
    t.w.roster.audit.colluding = 0;
    fill_head(&a, &t, "hospital-a");
    fill_head(&b, &t, "hospital-b");
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 40;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(csl_register_opening(dir, &a, &t.w.roster, &diag), CSL_EIO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(csl_register_opening(dir, &a, &t.w.roster, &diag), CSL_OK);
    assert_int_equal(csl_register_opening(dir, &b, &t.w.roster, &diag), CSL_EPERM);
    site_close(&t);
}

static void limits(void **state) {
    (void)state;
    struct csl_roster r = {.n_parties = 2};
    static const unsigned want[][3] = {/* parties, colluding, limit */
                                       {2, 0, 1}, {2, 1, 0}, {2, 15, 0}, {3, 0, 2},
                                       {3, 1, 1}, {3, 2, 0}, {5, 1, 3},  {16, 15, 0}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        r.n_parties = want[i][0];
        r.audit.colluding = want[i][1];
        assert_int_equal(csl_openings_limit(&r), want[i][2]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_e_is_kept_beside),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_oldest_views_go_first),
        cmocka_unit_test(a_view_too_large_stops),
        cmocka_unit_test(a_failed_write_breaks_nothing),
        cmocka_unit_test(every_truncation_is_seen),
        cmocka_unit_test(opened_views),
        cmocka_unit_test(the_register_counts),
        cmocka_unit_test(half_a_line_hides_nobody),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
