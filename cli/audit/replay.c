/* consilium audit replay: the judge recomputes what a party should have sent. */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "cli/commands.h"
#include "cli/hex.h"
#include "roles/judge/opening.h"
#include "roles/judge/replay.h"
#include "roles/package/recipient.h"

struct options {
    const char *party, *view, *key, *roster;
};

static const struct csl_opt opts[] = {
    CSL_STRING(struct options, party, "party", "NAME", true, "whose view it is: the party's name or number"),
    CSL_STRING(struct options, view, "view", "FILE", true, "what the party made with audit open"),
    CSL_STRING(struct options, key, "key", "DIR", true, "the judge's folder (consilium cert recipient)"),
    CSL_STRING(struct options, roster, "roster", "FILE", true, "the consortium's roster of that time"),
    CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "audit replay",
    .synopsis = "--party NAME --view FILE --key DIR --roster FILE [--json] BUNDLE...\n"
                "       consilium audit replay --dealer FILE --roster FILE [--json]",
    .has_json = true,
    .pos_min = 1,
    .pos_max = CSL_LIST_MAX,
    .pos_meta = "BUNDLE",
    .text =
        "Recomputes every message that the party sent in a session from its opened view, and names the first "
        "wrong one.\n"
        "The bundles (audit export) of the other parties show what the party signed. Exit codes: 0 all "
        "right, "
        "1 the view\n"
        "does not fit what others signed (nobody is accused), 2 the party that is named sent what it should "
        "not have sent,\n"
        "3 not enough is there to say. The folder of the key keeps a register of whose shares were opened, "
        "and the command\n"
        "refuses beyond the roster's limit.",
    .opts = opts};

struct judge {
    const char *party; /* borrowed from the roster or the command line */
    struct csl_roster roster;
    uint8_t roster_digest[32];
    csl_bundle *bundles[CSL_LIST_MAX];
    size_t n_bundles;
    EVP_PKEY *key;
    struct csl_opened_view head;
    struct csl_view_reader *reader;
    struct csl_audit_report report;
    struct csl_replay_fault fault;
};

static void judge_free(struct judge *j) {
    for (size_t i = 0; i < j->n_bundles; i++) {
        csl_bundle_free(j->bundles[i]);
    }
    EVP_PKEY_free(j->key);
    csl_view_reader_free(j->reader);
    csl_opened_view_clear(&j->head);
    csl_audit_report_clear(&j->report);
    csl_roster_free(&j->roster);
    free(j);
}

/* ---- The bundles, verified first ---- */

/* What is wrong with the bundles counts here too; what they lack does not: they need not be all. */
static enum csl_err take_findings(struct judge *j, const struct csl_audit_report *found) {
    for (size_t i = 0; i < found->n_findings; i++) {
        const struct csl_finding *f = &found->findings[i];
        uint8_t id[16];
        bool has_id = csl_hex_parse(id, sizeof id, f->session);
        if (f->verdict != CSL_VERDICT_INCOMPLETE) {
            TRY(csl_audit_find(&j->report, f->verdict, f->who, has_id ? id : NULL, f->batch, "%s", f->text));
        }
    }
    return CSL_OK;
}

static enum csl_err verify_bundles(struct judge *j, struct csl_diag *diag) {
    const struct csl_roster *r = &j->roster;
    struct csl_audit_report found = {.verdict = CSL_VERDICT_CONSISTENT};
    struct csl_auditee *members = calloc(r->n_members, sizeof *members);
    if (members == NULL) {
        return CSL_ENOMEM;
    }
    for (size_t i = 0; i < r->n_members; i++) {
        const struct csl_member *m = &r->members[i];
        members[i] = (struct csl_auditee){
            .name = m->name, .roles = m->roles, .party = m->party, .sign_key = m->sign_key};
    }
    struct csl_audit_world world = {.members = members,
                                    .n_members = r->n_members,
                                    .n_parties = r->n_parties,
                                    .consortium = r->consortium,
                                    .roster_digest = j->roster_digest};
    enum csl_err err = csl_audit_verify(&found, &world, (const void *const *)j->bundles, j->n_bundles, diag);
    if (err == CSL_OK) {
        err = take_findings(j, &found);
    }
    csl_audit_report_clear(&found);
    free(members);
    return err;
}

/* ---- The view ---- */

/* A member's name, or the number of a party. */
static const char *party_named(const struct csl_roster *r, const char *text) {
    char *end;
    unsigned long i = strtoul(text, &end, 10);
    bool number = text[0] >= '0' && text[0] <= '9' && *end == '\0' && i < r->n_parties;
    return number && csl_roster_member(r, text) == NULL ? csl_roster_party(r, (unsigned)i)->name : text;
}

static enum csl_err load(struct judge *j, const struct options *o, const struct csl_list *files,
                         struct csl_diag *diag) {
    TRY(csl_roster_load(&j->roster, o->roster, diag));
    TRY(csl_roster_digest(j->roster_digest, &j->roster));
    j->party = party_named(&j->roster, o->party);
    for (size_t i = 0; i < files->n; i++) {
        TRY(csl_bundle_read(&j->bundles[i], files->items[i], diag));
        j->n_bundles++;
    }
    TRY(csl_recipient_key(&j->key, o->key, diag));
    TRY(csl_opened_view_open(&j->reader, &j->head, o->view, &j->roster, j->key, diag));
    if (strcmp(j->head.party, j->party) != 0) {
        return csl_fail(diag, CSL_EUSAGE, "%s is the view of %s, not of %s", o->view, j->head.party,
                        j->party);
    }
    TRY(csl_judge_check(j->head.judge, &j->roster, diag));
    return csl_register_opening(o->key, &j->head, &j->roster, diag);
}

static enum csl_err replay(struct judge *j, struct csl_diag *diag) {
    TRY(verify_bundles(j, diag));
    struct csl_replay_options opt = {.roster = &j->roster,
                                     .roster_digest = j->roster_digest,
                                     .party = j->party,
                                     .package_digest = j->head.package_digest,
                                     .session_id = j->head.session_id,
                                     .bundles = (const csl_bundle *const *)j->bundles,
                                     .n_bundles = j->n_bundles};
    return csl_replay_view(&j->report, &j->fault, &opt, j->reader, diag);
}

/* ---- What was found ---- */

static const char *const verdicts[] = {"consistent", "mismatch", "attributable", "incomplete"};

/* The first finding that carries the verdict. */
static const struct csl_finding *leading(const struct csl_audit_report *r) {
    for (size_t i = 0; i < r->n_findings; i++) {
        if (r->findings[i].verdict == r->verdict) {
            return &r->findings[i];
        }
    }
    return NULL;
}

static json_t *findings_json(const struct csl_audit_report *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_findings; i++) {
        const struct csl_finding *f = &r->findings[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i, s:s}", "verdict", verdicts[f->verdict],
                                              "who", f->who, "session", f->session, "batch", (int)f->batch,
                                              "text", f->text));
    }
    return list;
}

static enum csl_err print_json(struct csl_cli *cli, const struct judge *j) {
    const struct csl_audit_report *r = &j->report;
    const struct csl_finding *f = leading(r);
    char session[33];
    csl_hex_write(session, j->head.session_id, sizeof j->head.session_id);
    json_t *doc = json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "exit", (int)r->verdict, "verdict",
                            verdicts[r->verdict], "replayed", j->head.party, "session", session, "batches",
                            (json_int_t)r->batches, "inferences", (json_int_t)r->inferences, "signatures",
                            (json_int_t)r->signatures, "findings", findings_json(r));
    if (doc != NULL && r->verdict == CSL_VERDICT_ATTRIBUTABLE && f != NULL) {
        json_object_set_new(doc, "party", json_string(j->fault.found ? j->head.party : f->who));
    }
    if (doc != NULL && j->fault.found) {
        const struct csl_replay_fault *x = &j->fault;
        json_object_set_new(doc, "batch", json_integer(x->batch));
        json_object_set_new(doc, "round", x->round == 0 ? json_null() : json_integer(x->round));
        json_object_set_new(doc, "step", json_string(x->step));
        json_object_set_new(doc, "what", json_string(x->what));
        json_object_set_new(doc, "inference", json_integer((json_int_t)x->inference));
        json_object_set_new(doc, "element", json_integer((json_int_t)x->element));
    }
    return csl_cli_print_json(cli, doc);
}

static enum csl_err print_report(struct csl_cli *cli, const struct judge *j) {
    const struct csl_audit_report *r = &j->report;
    if (cli->json) {
        return print_json(cli, j);
    }
    for (size_t i = 0; i < r->n_findings; i++) {
        (void)printf("%-13s %s\n", verdicts[r->findings[i].verdict], r->findings[i].text);
    }
    if (r->verdict == CSL_VERDICT_CONSISTENT) {
        (void)printf(
            "consistent    every message of %s in %zu batches (%zu inferences) is what it should have "
            "sent\n",
            j->head.party, r->batches, r->inferences);
    }
    return CSL_OK;
}

int cmd_audit_replay(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {0};
    struct csl_list files = {.n = 0};
    int code;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--dealer", strlen("--dealer")) == 0) {
            return cmd_audit_replay_dealer(cli, argc, argv);
        }
    }
    if (!csl_args_parse(cli, &spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    struct judge *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return csl_cli_finish(cli, CSL_ENOMEM);
    }
    enum csl_err err = load(j, &o, &files, &cli->diag);
    if (err == CSL_OK) {
        err = replay(j, &cli->diag);
    }
    if (err == CSL_OK) {
        err = print_report(cli, j);
    }
    code = err == CSL_OK ? (int)j->report.verdict : csl_cli_finish(cli, err);
    judge_free(j);
    return code;
}
