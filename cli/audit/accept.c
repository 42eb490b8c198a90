/* consilium audit accept: a member lost its ledger for good; its next one is taken as new, on the record. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/show.h"
#include "roles/daemon/witness.h"

struct options {
    const char *site, *roster, *member, *reason;
};

static const struct csl_opt opts[] = {
    CSL_STRING(struct options, site, "site", "DIR", true, "this site's folder; its daemon may run"),
    CSL_STRING(struct options, roster, "roster", "FILE", false, "default: roster.yaml in the folder"),
    CSL_STRING(struct options, member, "member", "NAME", true, "who lost its ledger"),
    CSL_STRING(struct options, reason, "reason", "TEXT", true, "what happened, for the auditors"),
    CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "audit accept",
    .synopsis = "--site DIR --member NAME --reason TEXT",
    .has_json = true,
    .text =
        "Writes into this site's ledger that NAME lost its own, with the last checkpoint of it that was "
        "cosigned here, and\n"
        "forgets that checkpoint: the next one that NAME shows is taken as the first of a new ledger. To be "
        "run at every other\n"
        "site, once somebody there has spoken with NAME; then NAME restarts its daemon. What the lost ledger "
        "said stays lost.",
    .opts = opts};

static enum csl_err tell(struct csl_cli *cli, const char *site, const struct csl_member *who,
                         const struct csl_note *seen) {
    char root[CSL_HEX32_TEXT];
    unsigned long long n = seen->checkpoint.size;
    (void)csl_hex32(root, seen->checkpoint.root);
    if (cli->json) {
        return csl_cli_print_json(cli, json_pack("{s:s, s:s, s:I, s:s}", "site", site, "member", who->name,
                                                 "entries", (json_int_t)n, "root", root));
    }
    (void)printf(
        "%s forgets the ledger of %s (%llu entries, %.16s...) and takes its next one as new; this is in "
        "the ledger here\n",
        site, who->name, n, root);
    return CSL_OK;
}

static enum csl_err accept_member(struct csl_cli *cli, const struct options *o, struct csl_context *ctx) {
    const struct csl_member *who = csl_roster_member(&ctx->roster, o->member);
    if (who == NULL) {
        return csl_fail(&cli->diag, CSL_EUSAGE, "--member %.64s: the roster has no such member", o->member);
    }
    struct csl_note *seen = malloc(sizeof *seen);
    if (seen == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = csl_witness_accept(seen, ctx, who, o->reason, &cli->diag);
    if (err == CSL_OK) {
        err = tell(cli, ctx->self->name, who, seen);
    }
    free(seen);
    return err;
}

static enum csl_err run(struct csl_cli *cli, const struct options *o) {
    struct csl_context ctx;
    struct csl_logbook book = {.ctx = NULL};
    TRY(csl_context_load(&ctx, o->site, o->roster, &cli->diag));
    enum csl_err err = csl_logbook_open(&book, &ctx, 0, &cli->diag);
    if (err == CSL_OK) {
        ctx.logbook = &book;
        err = accept_member(cli, o, &ctx);
        ctx.logbook = NULL;
        csl_logbook_close(&book);
    }
    csl_context_free(&ctx);
    return err;
}

int cmd_audit_accept(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, run(cli, &o));
}
