#include "cli/demo_audit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/run_args.h"

enum { PATH_SIZE = 1200 };

static void path_of(char out[PATH_SIZE], const struct csl_demo_audit *a, const char *who, const char *rest) {
    (void)snprintf(out, PATH_SIZE, "%s/%s%s", csl_federation_dir(a->fed), who, rest);
}

/* ---- Bundles ---- */

/* Everybody who keeps a ledger of a session: the parties and the dealer. */
static const char *site_at(const struct csl_demo_audit *a, unsigned i) {
    return i < a->n_parties ? csl_federation_party_name(a->fed, i) : "dealer";
}

static void bundle_path(char out[PATH_SIZE], const struct csl_demo_audit *a, const char *tag, unsigned i) {
    char name[128];
    (void)snprintf(name, sizeof name, "audit-%s-%s.bundle", tag, site_at(a, i));
    path_of(out, a, name, "");
}

static enum csl_err export_all(struct csl_demo_audit *a, const char *tag, char session[64]) {
    for (unsigned i = 0; i <= a->n_parties; i++) {
        char path[PATH_SIZE];
        bundle_path(path, a, tag, i);
        struct csl_run_args r = {.n = 0};
        csl_run_args_add(&r, "audit");
        csl_run_args_add(&r, "export");
        csl_run_args_add(&r, "--last");
        csl_run_args_option(&r, "--out", path);
        csl_run_args_add(&r, "--json");
        json_t *doc = NULL;
        enum csl_err err = csl_federation_run_as(a->fed, &doc, site_at(a, i), r.at, &a->cli->diag);
        const char *id = err == CSL_OK ? json_string_value(json_object_get(doc, "session")) : NULL;
        if (id != NULL && i < a->n_parties) {
            (void)snprintf(session, 64, "%s", id);
        }
        json_decref(doc);
        TRY(err);
    }
    return CSL_OK;
}

/* ---- Verdicts ---- */

static json_t *verdict_json(int code, json_t *report, const char *session) {
    json_t *party = json_object_get(report, "party"), *round = json_object_get(report, "round");
    return json_pack("{s:i, s:O?, s:O?, s:s, s:O?}", "exit", code, "party", party, "round", round, "session",
                     session, "findings", json_object_get(report, "findings"));
}

static void add_bundles(struct csl_run_args *r, char (*paths)[PATH_SIZE], const struct csl_demo_audit *a,
                        const char *tag) {
    for (unsigned i = 0; i <= a->n_parties; i++) {
        bundle_path(paths[i], a, tag, i);
        csl_run_args_add(r, paths[i]);
    }
}

enum csl_err csl_demo_verify(struct csl_demo_audit *a, const char *tag, json_t **doc) {
    char roster[PATH_SIZE], paths[CSL_ROSTER_PARTIES_MAX + 1][PATH_SIZE], session[64] = "";
    *doc = NULL;
    TRY(export_all(a, tag, session));
    path_of(roster, a, "clinic", "/roster.yaml");
    struct csl_run_args r = {.n = 0};
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "verify");
    csl_run_args_option(&r, "--roster", roster);
    csl_run_args_add(&r, "--json");
    add_bundles(&r, paths, a, tag);
    json_t *report = NULL;
    int code = 0;
    enum csl_err err = csl_federation_run_tool(a->fed, &report, &code, r.at, &a->cli->diag);
    if (err == CSL_OK) {
        *doc = verdict_json(code, report, session);
    }
    json_decref(report);
    return err == CSL_OK && *doc == NULL ? CSL_ENOMEM : err;
}

/* ---- Views, and the judge ---- */

static enum csl_err make_judge(struct csl_demo_audit *a, char dir[PATH_SIZE]) {
    struct stat st;
    path_of(dir, a, "judge", "");
    if (stat(dir, &st) == 0) {
        return CSL_OK;
    }
    struct csl_run_args r = {.n = 0};
    csl_run_args_add(&r, "cert");
    csl_run_args_add(&r, "recipient");
    csl_run_args_option(&r, "--name", "judge");
    csl_run_args_option(&r, "--out", dir);
    csl_run_args_add(&r, "--json");
    json_t *doc = NULL;
    int code = 0;
    enum csl_err err = csl_federation_run_tool(a->fed, &doc, &code, r.at, &a->cli->diag);
    json_decref(doc);
    return err;
}

/* Of two parties' shares none may be opened unless the model's owner consents. */
static enum csl_err consent(struct csl_demo_audit *a, const char *party, const char *session, const char *key,
                            char file[PATH_SIZE]) {
    path_of(file, a, party, ".consent");
    struct csl_run_args r = {.n = 0};
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "consent");
    csl_run_args_option(&r, "--model", "network");
    csl_run_args_option(&r, "--session", session);
    csl_run_args_option(&r, "--party", party);
    csl_run_args_option(&r, "--judge", key);
    csl_run_args_option(&r, "--out", file);
    csl_run_args_add(&r, "--json");
    json_t *doc = NULL;
    enum csl_err err = csl_federation_run(a->fed, &doc, CSL_FEDERATION_OWNER, r.at, &a->cli->diag);
    json_decref(doc);
    return err;
}

static enum csl_err open_view(struct csl_demo_audit *a, const char *party, const char *session,
                              const char *judge, char view[PATH_SIZE]) {
    char key[PATH_SIZE + 32], name[128], agreed[PATH_SIZE];
    (void)snprintf(key, sizeof key, "%s/recipient.pem", judge);
    (void)snprintf(name, sizeof name, "%s.%s.view", party, session);
    path_of(view, a, name, "");
    struct csl_run_args r = {.n = 0};
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "open");
    csl_run_args_option(&r, "--session", session);
    csl_run_args_option(&r, "--judge", key);
    csl_run_args_option(&r, "--out", view);
    if (a->n_parties == 2) {
        TRY(consent(a, party, session, key, agreed));
        csl_run_args_option(&r, "--consent", agreed);
    }
    csl_run_args_add(&r, "--json");
    json_t *doc = NULL;
    enum csl_err err = csl_federation_run_as(a->fed, &doc, party, r.at, &a->cli->diag);
    json_decref(doc);
    return err;
}

static enum csl_err replay_one(struct csl_demo_audit *a, const char *tag, const char *party,
                               const char *session, const char *judge, json_t **doc) {
    char view[PATH_SIZE], roster[PATH_SIZE], paths[CSL_ROSTER_PARTIES_MAX + 1][PATH_SIZE];
    TRY(open_view(a, party, session, judge, view));
    path_of(roster, a, "clinic", "/roster.yaml");
    struct csl_run_args r = {.n = 0};
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "replay");
    csl_run_args_option(&r, "--party", party);
    csl_run_args_option(&r, "--view", view);
    csl_run_args_option(&r, "--key", judge);
    csl_run_args_option(&r, "--roster", roster);
    csl_run_args_add(&r, "--json");
    add_bundles(&r, paths, a, tag);
    json_t *report = NULL;
    int code = 0;
    enum csl_err err = csl_federation_run_tool(a->fed, &report, &code, r.at, &a->cli->diag);
    if (err == CSL_OK) {
        *doc = verdict_json(code, report, session);
    }
    json_decref(report);
    return err == CSL_OK && *doc == NULL ? CSL_ENOMEM : err;
}

enum csl_err csl_demo_replay(struct csl_demo_audit *a, const char *tag, json_t **doc) {
    char judge[PATH_SIZE], session[64] = "";
    *doc = NULL;
    TRY(export_all(a, tag, session));
    TRY(make_judge(a, judge));
    /* Never all: with the last share the judge would hold the whole model. Of two, one, with its owner's
     * consent. */
    bool two = a->n_parties == 2;
    for (unsigned i = two ? 1 : 0; i < (two ? 2 : a->n_parties - 1); i++) {
        const char *party = csl_federation_party_name(a->fed, i);
        json_decref(*doc);
        *doc = NULL;
        TRY(replay_one(a, tag, party, session, judge, doc));
        if (!a->cli->json) {
            (void)printf("  %-12s view opened to the judge: %s\n", party,
                         json_integer_value(json_object_get(*doc, "exit")) == 0
                             ? "every message recomputed, all right"
                             : "A MESSAGE IS WRONG");
        }
        if (json_integer_value(json_object_get(*doc, "exit")) != 0) {
            return CSL_OK;
        }
    }
    return CSL_OK;
}

/* ---- A hospital that lies ---- */

enum csl_err csl_demo_corrupt(struct csl_demo_audit *a, const char *party, const char *program,
                              const char *round) {
    pid_t pid = csl_federation_pid(a->fed, party);
    if (pid > 0) {
        (void)kill(pid, SIGTERM);
        (void)csl_federation_wait_ended(a->fed, party);
    }
    const char *args[] = {"--lie", round, NULL};
    return csl_federation_spawn(a->fed, party, program, args, &a->cli->diag);
}
