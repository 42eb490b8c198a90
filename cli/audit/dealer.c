/* consilium audit replay --dealer: whether evidence of wrong correlations convicts the dealer. */
#include <string.h>

#include "audit/verify.h"
#include "cli/commands.h"
#include "cli/hex.h"
#include "net/roster.h"
#include "roles/judge/evidence.h"

struct options {
    const char *evidence, *roster;
};

static const struct csl_opt opts[] = {
    CSL_STRING(struct options, evidence, "dealer", "FILE", true,
               "the evidence, from a party's folder state/evidence"),
    CSL_STRING(struct options, roster, "roster", "FILE", true, "the consortium's roster of that time"),
    CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "audit replay",
    .synopsis = "--dealer FILE --roster FILE [--json]",
    .has_json = true,
    .text = "Makes the corrections of one index anew from the keys that were opened, and compares them with "
            "what the dealer signed.\n"
            "Needs the dealer's public key and nothing else. Exit codes: 2 the dealer dealt wrong "
            "correlations, 1 the evidence does\n"
            "not hold: it proves nothing against anybody.",
    .opts = opts};

struct judgement {
    const char *dealer;
    char session[33];
    uint32_t stream, counter;
    enum csl_verdict verdict;
    struct csl_diag text;
};

/* What the evidence is about, as far as the statement says it. */
static enum csl_err describe(struct judgement *j, const struct csl_evidence *e, struct csl_diag *diag) {
    Csl__Audit__DealtStatement *m;
    TRY(csl_dealt_statement_decode(&m, e->dealt.statement, e->dealt.n, diag));
    csl_hex_write(j->session, m->session_id.data, m->session_id.len);
    j->stream = m->stream;
    j->counter = m->first + e->row;
    csl_statement_free(m);
    return CSL_OK;
}

static enum csl_err judge(struct judgement *j, const struct csl_evidence *e, const struct csl_member *dealer,
                          struct csl_diag *diag) {
    struct csl_diag why = {""};
    j->dealer = dealer->name;
    j->verdict = CSL_VERDICT_MISMATCH;
    enum csl_err err = csl_evidence_verify(e, dealer->sign_key, &j->text, &why);
    if (err == CSL_EAUTH) {
        (void)csl_fail(&j->text, err, "the evidence does not hold against %s: %.400s", dealer->name,
                       why.text);
        return CSL_OK;
    }
    if (err != CSL_OK) {
        return csl_fail(diag, err, "%s", why.text[0] != '\0' ? why.text : csl_err_text(err));
    }
    j->verdict = CSL_VERDICT_ATTRIBUTABLE;
    return describe(j, e, diag);
}

static enum csl_err print(struct csl_cli *cli, const struct judgement *j) {
    bool convicted = j->verdict == CSL_VERDICT_ATTRIBUTABLE;
    if (!cli->json) {
        (void)printf("%-13s %s%s%s\n", convicted ? "attributable" : "mismatch", convicted ? j->dealer : "",
                     convicted ? ": " : "", j->text.text);
        return CSL_OK;
    }
    json_t *doc = json_pack("{s:i, s:s, s:s}", "exit", (int)j->verdict, "verdict",
                            convicted ? "attributable" : "mismatch", "text", j->text.text);
    if (doc != NULL && convicted) {
        (void)json_object_set_new(doc, "party", json_string(j->dealer));
        (void)json_object_set_new(doc, "session", json_string(j->session));
        (void)json_object_set_new(doc, "stream", json_integer(j->stream));
        (void)json_object_set_new(doc, "counter", json_integer(j->counter));
    }
    return csl_cli_print_json(cli, doc);
}

int cmd_audit_replay_dealer(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    struct csl_roster roster = {0};
    struct csl_evidence evidence = {0};
    struct judgement j = {0};
    enum csl_err err = csl_roster_load(&roster, o.roster, &cli->diag);
    if (err == CSL_OK) {
        err = csl_evidence_load(&evidence, o.evidence, &cli->diag);
    }
    if (err == CSL_OK) {
        err = judge(&j, &evidence, csl_roster_dealer(&roster), &cli->diag);
    }
    if (err == CSL_OK) {
        err = print(cli, &j);
    }
    code = err == CSL_OK ? (int)j.verdict : csl_cli_finish(cli, err);
    csl_evidence_clear(&evidence);
    csl_roster_free(&roster);
    return code;
}
