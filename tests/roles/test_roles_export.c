/* Sessions of an earlier roster are exported and verified with it (docs/audit.md A), by the commands and over
 * real daemons. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run_args.h"
#include "judge.h"

static struct world world;
static char earlier[ROOM], present[1024], first[SESSION_TEXT], second[SESSION_TEXT];
static const char *const daemons[] = {"hospital-a", "hospital-b", "dealer"};
enum { DAEMONS = sizeof daemons / sizeof *daemons };

static char *read_text(const char *path) {
    char *text = calloc(1, 1 << 16);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 16) - 1, f) != 0);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* The roster with one line exchanged. */
static void edit(const char *to, const char *from, const char *old, const char *new) {
    char *text = read_text(from), *at = strstr(text, old);
    assert_non_null(at);
    assert_int_equal(strlen(old), strlen(new));
    memcpy(at, new, strlen(new));
    write_text(to, text);
    free(text);
}

static void change_roster(void) {
    static const char *const sites[] = {"hospital-a", "hospital-b", "dealer", "model-owner", "clinic"};
    for (unsigned i = 0; i < DAEMONS; i++) {
        world_kill(&world, daemons[i]);
    }
    for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
        char path[1024];
        world_path(path, &world, sites[i], "roster.yaml");
        edit(path, path, "max_batch: 16", "max_batch: 15");
    }
    csl_context_free(&world.clinic);
    world_context(&world.clinic, &world, "clinic");
    for (unsigned i = 0; i < DAEMONS; i++) {
        world_spawn(&world, daemons[i]);
    }
}

static enum csl_err export_as(const char *site, const char *session, const char *roster, const char *out,
                              json_t **doc, struct csl_diag *diag) {
    struct csl_run_args r = {.n = 0};
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "export");
    csl_run_args_option(&r, session == NULL ? "--wait-ms" : "--session", session == NULL ? "1000" : session);
    if (roster != NULL) {
        csl_run_args_option(&r, "--roster", roster);
    }
    csl_run_args_option(&r, "--out", out);
    csl_run_args_add(&r, "--json");
    (void)remove(out);
    *doc = NULL;
    return csl_federation_run_as(world.fed, doc, site, r.at, diag);
}

static enum csl_err try_export(const char *site, const char *session, const char *roster,
                               struct csl_diag *diag) {
    char out[ROOM];
    json_t *doc;
    judge_file(out, &world, "none.bundle");
    enum csl_err err = export_as(site, session, roster, out, &doc, diag);
    json_decref(doc);
    return err;
}

/* Of all daemons; the verdict of `audit verify` with this roster is `want`. */
static void verdict_is(const char *session, const char *exported_with, const char *roster, int want) {
    struct csl_run_args r = {.n = 0};
    struct csl_diag diag = {""};
    char out[DAEMONS][ROOM];
    json_t *doc;
    int code = -1;
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "verify");
    csl_run_args_option(&r, "--roster", roster);
    csl_run_args_add(&r, "--json");
    for (unsigned i = 0; i < DAEMONS; i++) {
        judge_file(out[i], &world, daemons[i]);
        (void)strcat(out[i], ".bundle");
        must(export_as(daemons[i], session, exported_with, out[i], &doc, &diag), &diag, daemons[i]);
        json_decref(doc);
        csl_run_args_add(&r, out[i]);
    }
    doc = NULL;
    must(csl_federation_run_tool(world.fed, &doc, &code, r.at, &diag), &diag, "verify");
    char *text = json_dumps(doc, 0);
    if (code != want ||
        json_integer_value(json_object_get(json_object_get(doc, "counts"), "cosigned")) != 2) {
        fail_msg("exit %d instead of %d: %s", code, want, text);
    }
    free(text);
    json_decref(doc);
}

static int start(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(2);
    world_open(&world, &opt);
    judge_file(earlier, &world, "earlier.yaml");
    world_path(present, &world, "clinic", "roster.yaml");
    char *text = read_text(present);
    write_text(earlier, text);
    free(text);
    world_session(&world);
    judge_export(&world, first);
    change_roster();
    world_session(&world);
    judge_export(&world, second);
    return 0;
}

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

static void each_with_its_own(void **state) {
    (void)state;
    assert_string_not_equal(first, second);
    verdict_is(first, earlier, earlier, 0);
    verdict_is(second, NULL, present, 0);
    verdict_is(second, present, present, 0);
}

/* The whole ledger: what ran under the other roster remains to be verified. */
static void whole_ledgers(void **state) {
    (void)state;
    verdict_is(NULL, earlier, earlier, 3);
    verdict_is(NULL, NULL, present, 3);
}

static void not_the_roster_of_its_time(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    FAILED(try_export("hospital-a", first, NULL, &diag), &diag, CSL_EUSAGE, "earlier roster", "--roster");
    FAILED(try_export("hospital-b", second, earlier, &diag), &diag, CSL_EUSAGE, "not that of --roster");
    /* The dealer's ledger names no roster: then it is `audit verify` that says so. */
    char a[ROOM], out[ROOM];
    json_t *doc;
    judge_file(a, &world, "a.bundle");
    judge_file(out, &world, "d.bundle");
    must(export_as("hospital-a", first, earlier, a, &doc, &diag), &diag, "export");
    json_decref(doc);
    must(export_as("dealer", first, NULL, out, &doc, &diag), &diag, "export");
    json_decref(doc);
    const char *args[] = {"audit", "verify", "--roster", earlier, "--json", a, out, NULL};
    int code = -1;
    doc = NULL;
    must(csl_federation_run_tool(world.fed, &doc, &code, args, &diag), &diag, "verify");
    char *text = json_dumps(doc, 0);
    assert_int_equal(code, 1);
    assert_non_null(strstr(text, "the bundle of dealer was exported under another roster"));
    free(text);
    json_decref(doc);
}

static void rosters_that_do_not_fit(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    char other[ROOM];
    judge_file(other, &world, "other.yaml");
    FAILED(try_export("hospital-a", first, other, &diag), &diag, CSL_ENOINPUT, "other.yaml");
    edit(other, earlier, "version: 1", "version: 7");
    FAILED(try_export("hospital-a", first, other, &diag), &diag, CSL_ECONFIG, "other.yaml", "version");
    edit(other, earlier, "name: \"hospital-a\"", "name: \"hospital-x\"");
    FAILED(try_export("hospital-a", first, other, &diag), &diag, CSL_ECONFIG,
           "hospital-a is not in this roster");
    edit(other, earlier, "name: \"hospital-a\"", "name: \"hospital-x\""); /* the two exchange their keys */
    edit(other, other, "name: \"hospital-b\"", "name: \"hospital-a\"");
    edit(other, other, "name: \"hospital-x\"", "name: \"hospital-b\"");
    FAILED(try_export("hospital-a", first, other, &diag), &diag, CSL_ECONFIG, "signing key of hospital-a",
           "before the key changed");
}

static void usage(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    const char *args[] = {"audit", "export", "--last", "--roster", earlier, "--out", "x", NULL};
    json_t *doc = NULL;
    FAILED(csl_federation_run_as(world.fed, &doc, "hospital-a", args, &diag), &diag, CSL_EUSAGE,
           "audit export");
    json_decref(doc);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_with_its_own),
        cmocka_unit_test(whole_ledgers),
        cmocka_unit_test(not_the_roster_of_its_time),
        cmocka_unit_test(rosters_that_do_not_fit),
        cmocka_unit_test(usage),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
