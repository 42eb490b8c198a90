/* consilium audit open: a party shows its view of one session to a judge. */
#include <string.h>

#include "cli/commands.h"
#include "cli/hex.h"
#include "roles/judge/opening.h"

struct options {
    const char *site, *roster, *session, *judge, *out, *consent;
};

static const struct csl_opt opts[] = {
    CSL_STRING(struct options, site, "site", "DIR", true, "this party's site folder"),
    CSL_STRING(struct options, roster, "roster", "FILE", false, "default: roster.yaml in the folder"),
    CSL_STRING(struct options, session, "session", "ID", true, "32 hex digits, as the ledger shows it"),
    CSL_STRING(struct options, judge, "judge", "FILE", true,
               "the judge's public key (recipient.pem of consilium cert recipient)"),
    CSL_STRING(struct options, out, "out", "FILE", true, "the opened view; a new file"),
    CSL_STRING(struct options, consent, "consent", "FILE", false,
               "what the model's owner made with audit consent"),
    CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "audit open",
    .synopsis = "--site DIR --session ID --judge recipient.pem --out FILE [--consent FILE] [--json]",
    .has_json = true,
    .text =
        "Seals this party's view of a session to a judge: its share of the model, its input shares and what "
        "it received.\n"
        "An opened share stays opened: every other party is told first, and all count whose shares of this "
        "package were\n"
        "ever opened. At most (parties - 1 - audit.colluding of the roster) may be, with two parties none, "
        "unless the\n"
        "model's owner consents; after that the owner shares the model anew. The judge must be no member.",
    .opts = opts};

static enum csl_err print_opened(struct csl_cli *cli, const struct options *o, const struct csl_opening *x) {
    char package[2 * CSL_DIGEST_BYTES + 1], judge[2 * CSL_SPKI_BYTES + 1];
    csl_hex_write(package, x->package_digest, sizeof x->package_digest);
    csl_hex_write(judge, x->judge, sizeof x->judge);
    if (cli->json) {
        return csl_cli_print_json(cli, json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "party", x->party,
                                                 "session", o->session, "package", package, "judge", judge,
                                                 "file", o->out, "consent", x->consent.statement != NULL));
    }
    (void)printf("view of       %s, session %s\n"
                 "model         package %s\n"
                 "judge         %s\n"
                 "file          %s (only the judge can read it)\n",
                 x->party, o->session, package, judge, o->out);
    return CSL_OK;
}

static enum csl_err run(struct csl_cli *cli, const struct options *o, struct csl_context *ctx,
                        const uint8_t *session_id) {
    struct csl_logbook book = {.ctx = NULL};
    struct csl_opening opening = {.party = ""};
    struct csl_opening_options opt = {
        .session_id = session_id, .judge = o->judge, .consent = o->consent, .out = o->out};
    TRY(csl_logbook_open(&book, ctx, 0, &cli->diag));
    ctx->logbook = &book;
    enum csl_err err = csl_opening_run(&opening, &book, &opt, &cli->diag);
    if (err == CSL_OK) {
        err = print_opened(cli, o, &opening);
    }
    csl_opening_clear(&opening);
    ctx->logbook = NULL;
    csl_logbook_close(&book);
    return err;
}

int cmd_audit_open(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {0};
    uint8_t session_id[16];
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    if (!csl_hex_parse(session_id, sizeof session_id, o.session)) {
        return csl_cli_usage(cli, "--session %.80s: an id has 32 hex digits", o.session);
    }
    struct csl_context ctx;
    enum csl_err err = csl_context_load(&ctx, o.site, o.roster, &cli->diag);
    if (err == CSL_OK) {
        err = run(cli, &o, &ctx, session_id);
        csl_context_free(&ctx);
    }
    return csl_cli_finish(cli, err);
}
