#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run_args.h"
#include "roles/package/recipient.h"

void judge_file(char out[ROOM], const struct world *w, const char *name) {
    (void)snprintf(out, ROOM, "%s/%s", csl_federation_dir(w->fed), name);
}

void judge_open(char dir[ROOM], const struct world *w, const char *name) {
    struct csl_diag diag = {""};
    judge_file(dir, w, name);
    must(csl_recipient_keygen(dir, "judge", &diag), &diag, "judge");
}

/* The site's last session; the document of the command. */
static json_t *export_of(struct world *w, const char *site, const char *name) {
    char path[ROOM];
    struct csl_diag diag = {""};
    struct csl_run_args r = {.n = 0};
    json_t *doc = NULL;
    judge_file(path, w, name);
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "export");
    csl_run_args_add(&r, "--last");
    csl_run_args_option(&r, "--out", path);
    csl_run_args_option(&r, "--wait-ms", "30000");
    csl_run_args_add(&r, "--json");
    (void)remove(path);
    must(csl_federation_run_as(w->fed, &doc, site, r.at, &diag), &diag, "export");
    return doc;
}

void judge_export(struct world *w, char session[SESSION_TEXT]) {
    for (unsigned i = 0; i < w->n; i++) {
        char name[80];
        (void)snprintf(name, sizeof name, "%u.bundle", i);
        json_t *doc = export_of(w, csl_federation_party_name(w->fed, i), name);
        (void)snprintf(session, SESSION_TEXT, "%s", json_string_value(json_object_get(doc, "session")));
        json_decref(doc);
    }
}

/* The parties' bundles, as arguments. */
static void add_bundles(struct csl_run_args *r, const struct world *w,
                        char paths[CSL_MAX_PARTIES + 1][ROOM]) {
    for (unsigned i = 0; i < w->n; i++) {
        char name[80];
        (void)snprintf(name, sizeof name, "%u.bundle", i);
        judge_file(paths[i], w, name);
        csl_run_args_add(r, paths[i]);
    }
}

void judge_verify_is(struct world *w, int want, unsigned batches, unsigned inferences) {
    struct csl_run_args r = {.n = 0};
    struct csl_diag diag = {""};
    char roster[1024], paths[CSL_MAX_PARTIES + 1][ROOM];
    json_t *doc = export_of(w, "dealer", "dealer.bundle");
    int code = -1;
    json_decref(doc);
    doc = NULL;
    world_path(roster, w, "clinic", "roster.yaml");
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "verify");
    csl_run_args_option(&r, "--roster", roster);
    csl_run_args_add(&r, "--json");
    add_bundles(&r, w, paths);
    judge_file(paths[w->n], w, "dealer.bundle");
    csl_run_args_add(&r, paths[w->n]);
    must(csl_federation_run_tool(w->fed, &doc, &code, r.at, &diag), &diag, "verify");
    const json_t *counts = json_object_get(doc, "counts");
    char *text = json_dumps(doc, 0);
    if (code != want || json_integer_value(json_object_get(counts, "batches")) != (json_int_t)batches ||
        json_integer_value(json_object_get(counts, "inferences")) != (json_int_t)inferences) {
        fail_msg("exit %d instead of %d: %s", code, want, text);
    }
    free(text);
    json_decref(doc);
}

void judge_accuses(struct world *w, int want, const char *who, const char *word) {
    struct csl_run_args r = {.n = 0};
    struct csl_diag diag = {""};
    char roster[1024], paths[CSL_MAX_PARTIES + 1][ROOM];
    json_t *doc = NULL;
    int code = -1;
    world_path(roster, w, "clinic", "roster.yaml");
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "verify");
    csl_run_args_option(&r, "--roster", roster);
    csl_run_args_add(&r, "--json");
    add_bundles(&r, w, paths);
    must(csl_federation_run_tool(w->fed, &doc, &code, r.at, &diag), &diag, "verify");
    const char *named = json_string_value(json_object_get(doc, "party"));
    char *text = json_dumps(doc, 0);
    if ((want < 0 ? code == 2 : code != want) || (who == NULL) != (named == NULL) ||
        (who != NULL && strcmp(who, named) != 0) || strstr(text, word) == NULL) {
        fail_msg("exit %d instead of %d: %s", code, want, text);
    }
    free(text);
    json_decref(doc);
}

enum csl_err judge_open_view(struct world *w, const char *party, const char *session, const char *key,
                             const char *consent, const char *out, struct csl_diag *diag) {
    struct csl_run_args r = {.n = 0};
    json_t *doc = NULL;
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "open");
    csl_run_args_option(&r, "--session", session);
    csl_run_args_option(&r, "--judge", key);
    csl_run_args_option(&r, "--out", out);
    if (consent != NULL) {
        csl_run_args_option(&r, "--consent", consent);
    }
    csl_run_args_add(&r, "--json");
    enum csl_err err = csl_federation_run_as(w->fed, &doc, party, r.at, diag);
    json_decref(doc);
    return err;
}

void judge_consent(struct world *w, const char *party, const char *session, const char *key,
                   const char *out) {
    struct csl_run_args r = {.n = 0};
    struct csl_diag diag = {""};
    json_t *doc = NULL;
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "consent");
    csl_run_args_option(&r, "--model", MODEL);
    csl_run_args_option(&r, "--session", session);
    csl_run_args_option(&r, "--party", party);
    csl_run_args_option(&r, "--judge", key);
    csl_run_args_option(&r, "--out", out);
    csl_run_args_add(&r, "--json");
    must(csl_federation_run(w->fed, &doc, CSL_FEDERATION_OWNER, r.at, &diag), &diag, "consent");
    json_decref(doc);
}

enum csl_err judge_replay(struct world *w, const char *party, const char *view, const char *judge,
                          json_t **doc, int *code, struct csl_diag *diag) {
    struct csl_run_args r = {.n = 0};
    char roster[1024], paths[CSL_MAX_PARTIES + 1][ROOM];
    world_path(roster, w, "clinic", "roster.yaml");
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "replay");
    csl_run_args_option(&r, "--party", party);
    csl_run_args_option(&r, "--view", view);
    csl_run_args_option(&r, "--key", judge);
    csl_run_args_option(&r, "--roster", roster);
    csl_run_args_add(&r, "--json");
    add_bundles(&r, w, paths);
    *doc = NULL;
    return csl_federation_run_tool(w->fed, doc, code, r.at, diag);
}

enum csl_err judge_replay_fails(struct world *w, const char *party, const char *view, const char *judge,
                                struct csl_diag *diag) {
    json_t *doc = NULL;
    int code;
    enum csl_err err = judge_replay(w, party, view, judge, &doc, &code, diag);
    json_decref(doc); /* the error as a document */
    return err;
}

void judge_verdict_is(struct world *w, const char *party, const char *view, const char *judge, int want,
                      const char *who, int round, const char *step) {
    struct csl_diag diag = {""};
    json_t *doc = NULL;
    int code = -1;
    must(judge_replay(w, party, view, judge, &doc, &code, &diag), &diag, "replay");
    const char *named = json_string_value(json_object_get(doc, "party"));
    char *text = json_dumps(doc, 0);
    if (code != want || (who == NULL) != (named == NULL) || (who != NULL && strcmp(who, named) != 0)) {
        fail_msg("exit %d instead of %d: %s", code, want, text);
    }
    if (who != NULL) {
        assert_int_equal(json_integer_value(json_object_get(doc, "round")), round);
        assert_string_equal(json_string_value(json_object_get(doc, "step")), step);
        assert_int_equal(json_integer_value(json_object_get(doc, "batch")), 1);
    }
    free(text);
    json_decref(doc);
}
