/* consilium roster chain: where members anchor their ledgers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain/address.h"
#include "cli/commands.h"
#include "cli/roster_show.h"
#include "crypto/files_internal.h"
#include "net/roster.h"

enum { CONFIRMATIONS = 12 };

struct chain_opts {
    const char *out, *contract;
    uint64_t id, confirmations;
    struct csl_list accounts;
    bool none, development;
};

/* NAME:ADDRESS, or NAME: for none. */
static enum csl_err set_account(struct csl_roster *r, const char *spec, bool development,
                                struct csl_diag *diag) {
    const char *address;
    const char *colon = strchr(spec, ':');
    char *name = colon == NULL ? strdup(spec) : strndup(spec, (size_t)(colon - spec));
    address = colon == NULL ? NULL : colon + 1;
    size_t i = 0;
    enum csl_err err = name == NULL ? CSL_ENOMEM : CSL_OK;
    if (err == CSL_OK && address == NULL) {
        err = csl_fail(diag, CSL_EUSAGE, "--account %.100s: not NAME:ADDRESS", spec);
    }
    if (err == CSL_OK && csl_roster_member(r, name) == NULL) {
        err = csl_fail(diag, CSL_EUSAGE, "--account %.100s: no member is called \"%.40s\"", spec, name);
    }
    while (err == CSL_OK && strcmp(r->members[i].name, name) != 0) {
        i++;
    }
    free(name);
    TRY(err);
    struct csl_member *m = &r->members[i];
    m->has_account = address[0] != '\0';
    err = m->has_account ? csl_address_parse(m->account, address, diag) : CSL_OK;
    if (err == CSL_OK && m->has_account && !development && csl_address_is_well_known(m->account)) {
        return csl_fail(diag, CSL_EPERM,
                        "--account %.100s: one of the development keys that everybody has; what it anchors "
                        "proves nothing (--development allows it)",
                        spec);
    }
    return err == CSL_OK ? CSL_OK : csl_fail_context(diag, CSL_EUSAGE, "--account %.100s", spec);
}

/* What is given; the rest stays. */
static enum csl_err set_rule(struct csl_chain_rule *c, const struct chain_opts *o, struct csl_diag *diag) {
    bool given = o->id != 0 || o->contract != NULL || o->confirmations != 0;
    if (o->none && given) {
        return csl_fail(diag, CSL_EUSAGE,
                        "--none takes the chain away: no --id, --contract, --confirmations");
    }
    if (o->none) {
        memset(c, 0, sizeof *c);
    }
    if (!given) {
        return CSL_OK;
    }
    if (c->id == 0 && (o->id == 0 || o->contract == NULL)) {
        return csl_fail(diag, CSL_EUSAGE, "the roster has no chain yet: it needs both --id and --contract");
    }
    if (c->id == 0) {
        c->confirmations = CONFIRMATIONS;
    }
    c->id = o->id != 0 ? o->id : c->id;
    c->confirmations = o->confirmations != 0 ? (uint32_t)o->confirmations : c->confirmations;
    return o->contract == NULL || csl_address_parse(c->contract, o->contract, diag) == CSL_OK
               ? CSL_OK
               : csl_fail_context(diag, CSL_EUSAGE, "--contract");
}

static enum csl_err set_chain(struct csl_roster *r, const struct chain_opts *o, struct csl_diag *diag) {
    TRY(set_rule(&r->chain, o, diag));
    for (size_t i = 0; i < o->accounts.n; i++) {
        TRY(set_account(r, o->accounts.items[i], o->development, diag));
    }
    return CSL_OK;
}

static enum csl_err change_chain(struct csl_cli *cli, const char *file, const struct chain_opts *o) {
    struct csl_roster r;
    char *text = NULL, hex[CSL_HEX32_TEXT];
    TRY(csl_roster_load(&r, file, &cli->diag));
    enum csl_err err = set_chain(&r, o, &cli->diag);
    err = err == CSL_OK ? csl_roster_write(&text, &r, &cli->diag) : err;
    err = err == CSL_OK ? csl_roster_digest_text(hex, &r) : err;
    err = err == CSL_OK ? csl__replace_file(o->out, 0644, text, strlen(text), &cli->diag) : err;
    if (err == CSL_OK) {
        (void)printf(
            "roster        %s\ndigest        %s (another than before: every site must install it)\n"
            "Next: send it to every site with its digest. There: consilium roster install %s --site DIR, "
            "and a restart\n",
            o->out, hex, o->out);
    }
    free(text);
    csl_roster_free(&r);
    return err;
}

int cmd_roster_chain(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_UINT(struct chain_opts, id, "id", "N", 1, 999999999999999999, "the chain's id"),
        CSL_STRING(struct chain_opts, contract, "contract", "ADDRESS", false,
                   "where members anchor (consilium audit anchor --deploy)"),
        CSL_UINT(struct chain_opts, confirmations, "confirmations", "N", 1, 10000,
                 "blocks until an anchor is final, its own among them (12)"),
        CSL_LIST(struct chain_opts, accounts, "account", "NAME:ADDRESS", false,
                 "under which account that member anchors; NAME: alone takes it away"),
        CSL_FLAG(struct chain_opts, none, "none", "takes the chain away"),
        CSL_FLAG(struct chain_opts, development, "development", "allow accounts whose keys everybody has"),
        CSL_STRING(struct chain_opts, out, "out", "FILE", true, "the new roster; may be the same file"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "roster chain",
        .synopsis =
            "FILE [--id N --contract ADDRESS] [--confirmations N] [--account NAME:ADDRESS]... --out FILE",
        .text =
            "Writes into a roster on which chain, in which contract and under which accounts members anchor "
            "their "
            "ledgers.\n"
            "What is not given stays as it is. Auditors trust these accounts: have each site say its own by "
            "another way, too.",
        .opts = opts,
        .pos_min = 1,
        .pos_max = 1,
        .pos_meta = "FILE"};
    struct chain_opts o = {.id = 0};
    struct csl_list files;
    int code;
    if (!csl_args_parse(cli, &spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, change_chain(cli, files.items[0], &o));
}
