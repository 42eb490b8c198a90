/* consilium audit verify: what bundles prove, and against whom. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/bundle.h"
#include "audit/verify.h"
#include "cli/audit/chain.h"
#include "cli/commands.h"
#include "net/roster.h"

struct options {
    const char *roster, *chain, *ca;
    uint64_t timeout_s, deadline_s;
};

static const char *const words[] = {[CSL_VERDICT_CONSISTENT] = "consistent",
                                    [CSL_VERDICT_MISMATCH] = "mismatch",
                                    [CSL_VERDICT_ATTRIBUTABLE] = "attributable",
                                    [CSL_VERDICT_INCOMPLETE] = "incomplete"};

static const char *accused(const struct csl_audit_report *r) {
    for (size_t i = 0; i < r->n_findings; i++) {
        if (r->findings[i].verdict == CSL_VERDICT_ATTRIBUTABLE) {
            return r->findings[i].who;
        }
    }
    return NULL;
}

static bool has_bundle(csl_bundle *const *bundles, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(bundles[i]->site, name) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- Output ---- */

static json_t *findings_json(const struct csl_audit_report *r) {
    json_t *all = json_array();
    for (size_t i = 0; i < r->n_findings; i++) {
        const struct csl_finding *f = &r->findings[i];
        (void)json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:i, s:o}", "verdict", words[f->verdict],
                                                   "party", f->who, "session", f->session, "batch",
                                                   (int)f->batch, "text", json_string(f->text)));
    }
    return all;
}

static json_t *report_json(const struct csl_audit_report *r, json_t *absent, json_t *anchored) {
    const char *who = accused(r);
    return json_pack(
        "{s:s, s:i, s:o, s:o, s:o, s:o*, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I}}", "verdict",
        words[r->verdict], "exit", (int)r->verdict, "party", who == NULL ? json_null() : json_string(who),
        "findings", findings_json(r), "no_bundle_of", absent, "anchored", anchored, "counts", "bundles",
        (json_int_t)r->bundles, "sessions", (json_int_t)r->sessions, "batches", (json_int_t)r->batches,
        "inferences", (json_int_t)r->inferences, "leaves", (json_int_t)r->leaves, "signatures",
        (json_int_t)r->signatures, "cosigned", (json_int_t)r->cosigned);
}

static void print_report(const struct csl_audit_report *r, const json_t *absent, const json_t *anchored) {
    static const char *const means[] = {
        [CSL_VERDICT_CONSISTENT] = "everything is signed, complete and fits together",
        [CSL_VERDICT_MISMATCH] = "something does not verify; nothing says whose fault it is",
        [CSL_VERDICT_ATTRIBUTABLE] = "somebody signed what excludes each other",
        [CSL_VERDICT_INCOMPLETE] = "something is missing; that accuses nobody"};
    (void)printf(
        "checked       %zu bundles: %zu sessions, %zu batches, %zu inferences; %zu entries, %zu signatures\n",
        r->bundles, r->sessions, r->batches, r->inferences, r->leaves, r->signatures);
    (void)printf("cosigned      every bundle's checkpoint by at least %zu others\n", r->cosigned);
    if (json_array_size(absent) != 0) {
        (void)printf("no bundle of ");
        for (size_t i = 0; i < json_array_size(absent); i++) {
            (void)printf(" %s", json_string_value(json_array_get(absent, i)));
        }
        (void)printf(": what they keep was not looked at\n");
    }
    csl_chain_print_verified(anchored);
    for (size_t i = 0; i < r->n_findings; i++) {
        const struct csl_finding *f = &r->findings[i];
        (void)printf("%-13s %s%s%s\n", words[f->verdict], f->text, f->session[0] == '\0' ? "" : "; session ",
                     f->session);
    }
    const char *who = accused(r);
    (void)printf("verdict       %s%s%s: %s\n", words[r->verdict], who == NULL ? "" : ", ",
                 who == NULL ? "" : who, means[r->verdict]);
}

/* ---- All of it ---- */

struct job {
    struct csl_roster roster;
    uint8_t digest[32];
    struct csl_auditee members[CSL_ROSTER_MEMBERS_MAX];
    csl_bundle *bundles[CSL_LIST_MAX];
    size_t n;
};

static enum csl_err load(struct job *j, const char *roster, const struct csl_list *files,
                         struct csl_diag *diag) {
    TRY(csl_roster_load(&j->roster, roster, diag));
    TRY(csl_roster_digest(j->digest, &j->roster));
    for (size_t i = 0; i < j->roster.n_members; i++) {
        const struct csl_member *m = &j->roster.members[i];
        j->members[i] = (struct csl_auditee){
            .name = m->name, .roles = m->roles, .party = m->party, .sign_key = m->sign_key};
    }
    for (size_t i = 0; i < files->n; i++) {
        TRY(csl_bundle_read(&j->bundles[i], files->items[i], diag));
        j->n++;
    }
    return CSL_OK;
}

/* Those who keep a ledger of sessions, and whose bundle nobody gave. */
static json_t *absent_of(const struct job *j) {
    json_t *all = json_array();
    for (size_t i = 0; i < j->roster.n_members; i++) {
        const struct csl_auditee *m = &j->members[i];
        if ((m->roles & (CSL_ROLE_PARTY | CSL_ROLE_DEALER)) != 0 && !has_bundle(j->bundles, j->n, m->name)) {
            (void)json_array_append_new(all, json_string(m->name));
        }
    }
    return all;
}

static enum csl_err verify(struct csl_cli *cli, const struct options *o, const struct csl_list *files,
                           enum csl_verdict *verdict) {
    struct csl_audit_report r = {.verdict = CSL_VERDICT_CONSISTENT};
    struct job *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = load(j, o->roster, files, &cli->diag);
    struct csl_audit_world world = {.members = j->members,
                                    .n_members = j->roster.n_members,
                                    .n_parties = j->roster.n_parties,
                                    .consortium = j->roster.consortium,
                                    .roster_digest = j->digest};
    if (err == CSL_OK) {
        err = csl_audit_verify(&r, &world, (const void *const *)j->bundles, j->n, &cli->diag);
    }
    json_t *anchored = NULL;
    if (err == CSL_OK && o->chain != NULL) {
        const struct csl_chain_node node = {
            .url = o->chain, .ca_file = o->ca, .timeout_s = o->timeout_s, .deadline_s = o->deadline_s};
        err = csl_chain_verify(&anchored, &r, &j->roster, j->members, j->bundles, j->n, &node, &cli->diag);
    }
    if (err == CSL_OK) {
        json_t *absent = absent_of(j);
        *verdict = r.verdict;
        if (cli->json) {
            err = csl_cli_print_json(cli, report_json(&r, absent, anchored));
        } else {
            print_report(&r, absent, anchored);
            json_decref(absent);
            json_decref(anchored);
        }
    }
    csl_audit_report_clear(&r);
    for (size_t i = 0; i < j->n; i++) {
        csl_bundle_free(j->bundles[i]);
    }
    csl_roster_free(&j->roster);
    free(j);
    return err;
}

int cmd_audit_verify(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct options, roster, "roster", "FILE", true, "the roster of that time"),
        CSL_STRING(struct options, chain, "chain", "URL", false,
                   "a node of the roster's chain: what sites anchored there is compared, too"),
        CSL_STRING(struct options, ca, "ca-file", "FILE", false,
                   "PEM roots for its https; default: the system's"),
        CSL_UINT(struct options, timeout_s, "chain-timeout", "SECONDS", 1, 600,
                 "for each of its answers (20)"),
        CSL_UINT(struct options, deadline_s, "chain-deadline", "SECONDS", 1, 86400,
                 "for all its answers about a bundle (600)"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "audit verify",
        .synopsis = "--roster FILE [--chain URL] [--json] BUNDLE...",
        .text =
            "Verifies what sites exported: signatures, proofs, commitments, and that all tell the same.\n"
            "Needs nothing but the roster. Exit code: 0 consistent, 1 mismatch (something does not verify),\n"
            "2 attributable (names the member whose own signatures exclude each other), 3 incomplete.\n"
            "With --chain each ledger must contain what its site anchored; ask a node that you trust, not "
            "the "
            "site's.",
        .has_json = true,
        .opts = opts,
        .pos_min = 1,
        .pos_max = CSL_LIST_MAX,
        .pos_meta = "BUNDLE"};
    struct options o = {0};
    struct csl_list files;
    enum csl_verdict verdict = CSL_VERDICT_INCOMPLETE;
    int code;
    if (!csl_args_parse(cli, &spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    enum csl_err err = verify(cli, &o, &files, &verdict);
    return err == CSL_OK ? (int)verdict : csl_cli_finish(cli, err);
}
