/* Views opened to a judge, as files; and the register in which a judge counts them. */
#include "view_world.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "roles/judge/opening.h"

/* ---- Opened to a judge ---- */

static void fill_head(struct csl_opened_view *head, const struct view_site *t, const char *party) {
    memset(head, 0, sizeof *head);
    memcpy(head->roster_digest, t->w.roster_digest, 32);
    memset(head->session_id, 1, 16);
    memcpy(head->package_digest, t->w.manifest.digest, 32);
    (void)snprintf(head->party, sizeof head->party, "%s", party);
    (void)strcpy(head->model, "network");
    assert_int_equal(csl_key_spki(head->judge, t->judge), CSL_OK);
}

static void write_opened(const struct view_site *t, const char *path, const char *party) {
    struct csl_opened_view head;
    struct csl_view_reader *v;
    struct csl_diag diag = {""};
    fill_head(&head, t, party);
    assert_int_equal(view_open_id(&v, t, 1, &diag), CSL_OK);
    assert_int_equal(csl_opened_view_write(path, &head, v, t->judge, t->w.keys[1], &diag), CSL_OK);
    csl_view_reader_free(v);
}

static void opened_views(void **state) {
    (void)state;
    struct view_site t;
    struct csl_opened_view head;
    struct csl_view_reader *v;
    struct csl_diag diag = {""};
    char path[256], *bytes;
    size_t n, size;
    bool complete;
    view_site_open(&t, 4);
    struct csl_view_writer *w = view_begin(&t, 1, 1);
    view_add(w, &t.s->batches[1][0]);
    view_add(w, &t.s->batches[1][1]);
    csl_view_end(w);
    view_path(path, &t, "opened");
    write_opened(&t, path, "hospital-b");
    assert_int_equal(csl_opened_view_open(&v, &head, path, &t.w.roster, t.judge, &diag), CSL_OK);
    assert_string_equal(head.party, "hospital-b");
    assert_int_equal(view_read_all(v, &t, &n, &complete, &diag), CSL_OK);
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
        view_write_file(path, bytes, size);
        assert_int_not_equal(csl_opened_view_open(&v, &head, path, &t.w.roster, t.judge, &diag), CSL_OK);
        bytes[at] ^= 2;
    }
    for (size_t cut = 1; cut < size; cut += size / 13) {
        view_write_file(path, bytes, size - cut);
        assert_int_not_equal(csl_opened_view_open(&v, &head, path, &t.w.roster, t.judge, &diag), CSL_OK);
    }
    csl_secret_free(bytes);
    (void)unlink(path);
    write_opened(&t, path, "hospital-a"); /* signed by another than it says */
    assert_int_equal(csl_opened_view_open(&v, &head, path, &t.w.roster, t.judge, &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "hospital-a did not sign"));
    view_site_close(&t);
}

/* ---- The judge's register ---- */

static void the_register_counts(void **state) {
    (void)state;
    struct view_site t;
    struct csl_opened_view a, b;
    struct csl_diag diag = {""};
    char dir[256];
    view_site_open(&t, 1);
    view_path(dir, &t, "judge");
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
    view_site_close(&t);
}

/* On a full disk nothing is opened, and what was opened afterwards counts. */
static void half_a_line_hides_nobody(void **state) {
    (void)state;
    struct view_site t;
    struct csl_opened_view a, b;
    struct csl_diag diag = {""};
    struct rlimit old, small;
    char dir[256];
    view_site_open(&t, 1);
    view_path(dir, &t, "judge");
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
    view_site_close(&t);
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
        cmocka_unit_test(opened_views),
        cmocka_unit_test(the_register_counts),
        cmocka_unit_test(half_a_line_hides_nobody),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
