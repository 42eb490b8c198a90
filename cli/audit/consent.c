/* consilium audit consent: the model's owner lets one party open its view of one session to one judge. */
#include <string.h>

#include <openssl/evp.h>

#include "cli/commands.h"
#include "cli/hex.h"
#include "roles/judge/opening.h"
#include "roles/package/recipient.h"

struct options {
    const char *site, *roster, *session, *party, *judge, *package, *model, *out;
};

static const struct csl_opt opts[] = {
    CSL_STRING(struct options, site, "site", "DIR", true, "the owner's site folder"),
    CSL_STRING(struct options, roster, "roster", "FILE", false, "default: roster.yaml in the folder"),
    CSL_STRING(struct options, session, "session", "ID", true, "the session: 32 hex digits"),
    CSL_STRING(struct options, party, "party", "NAME", true, "who may open its view"),
    CSL_STRING(struct options, judge, "judge", "FILE", true, "to whom: the judge's public key"),
    CSL_STRING(struct options, package, "package", "DIGEST", false, "the package that the session ran"),
    CSL_STRING(struct options, model, "model", "NAME", false, "instead: the newest package of this model"),
    CSL_STRING(struct options, out, "out", "FILE", true, "the consent, for the party; a new file"),
    CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "audit consent",
    .synopsis = "--site DIR --session ID --party NAME --judge recipient.pem --package DIGEST|--model NAME "
                "--out FILE",
    .has_json = true,
    .text =
        "Signs that a party may open its share of the model to a judge although the roster's limit does not "
        "allow it, and\n"
        "enters that into the owner's ledger. A judge who colludes with the other parties then learns the "
        "model.",
    .opts = opts};

static enum csl_err judge_key(uint8_t out[CSL_SPKI_BYTES], const char *path, struct csl_diag *diag) {
    EVP_PKEY *key = NULL;
    TRY(csl_recipient_public(&key, NULL, NULL, path, diag));
    enum csl_err err = csl_key_spki(out, key);
    EVP_PKEY_free(key);
    return err;
}

static enum csl_err consent(struct csl_cli *cli, const struct options *o, struct csl_logbook *book,
                            struct csl_opening *x) {
    char package[2 * CSL_DIGEST_BYTES + 1];
    struct csl_signed consent;
    if (o->model != NULL) {
        TRY(csl_sealed_package(x->package_digest, book, o->model, &cli->diag));
    }
    TRY(judge_key(x->judge, o->judge, &cli->diag));
    (void)snprintf(x->party, sizeof x->party, "%.*s", CSL_NAME_MAX, o->party);
    TRY(csl_consent_give(&consent, book, x, &cli->diag));
    enum csl_err err = csl_consent_write(o->out, &consent, book->ctx->self->name, &cli->diag);
    csl_signed_clear(&consent);
    TRY(err);
    csl_hex_write(package, x->package_digest, sizeof x->package_digest);
    if (cli->json) {
        return csl_cli_print_json(cli, json_pack("{s:s, s:s, s:s, s:s}", "party", x->party, "session",
                                                 o->session, "package", package, "file", o->out));
    }
    (void)printf("%s may open its view of session %s (package %s)\nfile          %s\n", x->party, o->session,
                 package, o->out);
    return CSL_OK;
}

static enum csl_err run(struct csl_cli *cli, const struct options *o, struct csl_opening *x) {
    struct csl_context ctx;
    struct csl_logbook book = {.ctx = NULL};
    TRY(csl_context_load(&ctx, o->site, o->roster, &cli->diag));
    enum csl_err err = csl_logbook_open(&book, &ctx, 0, &cli->diag);
    if (err == CSL_OK) {
        ctx.logbook = &book;
        err = consent(cli, o, &book, x);
        ctx.logbook = NULL;
        csl_logbook_close(&book);
    }
    csl_context_free(&ctx);
    return err;
}

int cmd_audit_consent(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {0};
    struct csl_opening x = {.party = ""};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    if (!csl_hex_parse(x.session_id, sizeof x.session_id, o.session)) {
        return csl_cli_usage(cli, "--session %.80s: an id has 32 hex digits", o.session);
    }
    if ((o.package == NULL) == (o.model == NULL)) {
        return csl_cli_usage(cli, "give either --package or --model");
    }
    if (o.package != NULL && !csl_hex_parse(x.package_digest, sizeof x.package_digest, o.package)) {
        return csl_cli_usage(cli, "--package %.80s: a digest has 64 hex digits", o.package);
    }
    return csl_cli_finish(cli, run(cli, &o, &x));
}
