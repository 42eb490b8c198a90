#include "cli/demo_chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chain/account.h"
#include "cli/audit/chain.h"
#include "cli/run_args.h"
#include "crypto/files_internal.h"

enum { PATH_SIZE = 1400, GENESIS_SITE = 128 };

/* ---- Accounts, genesis, contract ---- */

static enum csl_err make_account(struct csl_demo_chain_site *s, struct csl_member *m, const char *dir,
                                 struct csl_diag *diag) {
    char path[PATH_SIZE];
    struct csl_account *account = NULL;
    (void)snprintf(path, sizeof path, "%s/%s/chain.key", dir, m->name);
    TRY(csl_account_new(&account, diag));
    enum csl_err err = csl_account_save(account, path, diag);
    memcpy(s->account, csl_account_address(account), sizeof s->account);
    csl_account_free(account);
    TRY(err);
    memcpy(s->name, m->name, sizeof s->name);
    m->has_account = true;
    memcpy(m->account, s->account, sizeof m->account);
    return CSL_OK;
}

enum csl_err csl_demo_chain_roster(void *arg, struct csl_roster *r, const char *dir, struct csl_diag *diag) {
    struct csl_demo_chain *c = arg;
    for (size_t i = 0; i < r->n_members && c->n < CSL_DEMO_CHAIN_SITES; i++) {
        struct csl_member *m = &r->members[i];
        if ((m->roles & (CSL_ROLE_PARTY | CSL_ROLE_DEALER | CSL_ROLE_OWNER)) != 0) {
            TRY(make_account(&c->sites[c->n], m, dir, diag));
            c->n++;
        }
    }
    r->chain = (struct csl_chain_rule){.id = CSL_ANVIL_CHAIN_ID, .confirmations = 1};
    csl_address_of_contract(r->chain.contract, c->sites[0].account, 0); /* its first transaction makes it */
    return CSL_OK;
}

/* Whom the new chain gives a coin. */
static enum csl_err write_genesis(const struct csl_demo_chain *c, const char *path, struct csl_diag *diag) {
    char text[256 + CSL_DEMO_CHAIN_SITES * GENESIS_SITE], account[CSL_ADDRESS_ROOM];
    int n = snprintf(text, sizeof text,
                     "{\"config\":{\"chainId\":%d},\"difficulty\":\"0x0\",\"gasLimit\":\"0x1c9c380\","
                     "\"timestamp\":\"0x%llx\",\"alloc\":{",
                     CSL_ANVIL_CHAIN_ID, (unsigned long long)time(NULL));
    for (size_t i = 0; i < c->n; i++) {
        csl_address_text(account, c->sites[i].account);
        n += snprintf(text + n, sizeof text - (size_t)n, "%s\"%s\":{\"balance\":\"0xde0b6b3a7640000\"}",
                      i == 0 ? "" : ",", account);
    }
    n += snprintf(text + n, sizeof text - (size_t)n, "}}\n");
    return csl__replace_file(path, 0600, text, (size_t)n, diag);
}

static enum csl_err deploy(struct csl_demo_chain *c, struct csl_demo_audit *a) {
    struct csl_run_args r = {.n = 0};
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "anchor");
    csl_run_args_add(&r, "--deploy");
    csl_run_args_number(&r, "--chain-id", CSL_ANVIL_CHAIN_ID);
    csl_run_args_option(&r, "--url", csl_anvil_url(c->anvil));
    csl_run_args_add(&r, "--json");
    json_t *doc = NULL;
    enum csl_err err = csl_federation_run_as(a->fed, &doc, c->sites[0].name, r.at, &a->cli->diag);
    if (err == CSL_OK && !a->cli->json) {
        (void)printf("  contract      %s, %lld gas\n", json_string_value(json_object_get(doc, "contract")),
                     (long long)json_integer_value(json_object_get(doc, "gas_used")));
    }
    json_decref(doc);
    return err;
}

enum csl_err csl_demo_chain_start(struct csl_demo_chain *c, struct csl_demo_audit *a) {
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/genesis.json", csl_federation_dir(a->fed));
    TRY(write_genesis(c, path, &a->cli->diag));
    const char *args[] = {"--init", path, NULL};
    TRY(csl_anvil_start(&c->anvil, c->program, args, &a->cli->diag));
    return deploy(c, a);
}

void csl_demo_chain_stop(struct csl_demo_chain *c) {
    csl_anvil_stop(c->anvil);
    c->anvil = NULL;
}

/* ---- Anchoring ---- */

static enum csl_err anchor_one(struct csl_demo_chain *c, struct csl_demo_audit *a, const char *name,
                               json_t *all) {
    struct csl_run_args r = {.n = 0};
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "anchor");
    csl_run_args_add(&r, "--once");
    csl_run_args_number(&r, "--poll-ms", 50);
    csl_run_args_number(&r, "--wait", 60);
    csl_run_args_option(&r, "--url", csl_anvil_url(c->anvil));
    csl_run_args_add(&r, "--json");
    json_t *doc = NULL;
    TRY(csl_federation_run_as(a->fed, &doc, name, r.at, &a->cli->diag));
    const json_t *anchor = json_object_get(doc, "anchor");
    if (!a->cli->json && json_is_object(anchor)) {
        (void)printf("  %s, account %s\n", name, json_string_value(json_object_get(doc, "account")));
        csl_chain_print_anchor(anchor, "    ");
    }
    return json_array_append_new(all, doc) == 0 ? CSL_OK : CSL_ENOMEM;
}

enum csl_err csl_demo_chain_anchor(struct csl_demo_chain *c, struct csl_demo_audit *a, json_t **doc) {
    json_t *all = json_array();
    enum csl_err err = all == NULL ? CSL_ENOMEM : CSL_OK;
    for (size_t i = 0; err == CSL_OK && i < c->n; i++) {
        err = anchor_one(c, a, c->sites[i].name, all);
    }
    if (err != CSL_OK) {
        json_decref(all);
        return err;
    }
    *doc = all;
    return CSL_OK;
}

enum csl_err csl_demo_chain_show(struct csl_demo_chain *c, struct csl_demo_audit *a, const char *session,
                                 json_t **doc) {
    struct csl_run_args r = {.n = 0};
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "show");
    csl_run_args_option(&r, "--session", session);
    csl_run_args_option(&r, "--chain", csl_anvil_url(c->anvil));
    csl_run_args_add(&r, "--json");
    json_t *shown = NULL;
    TRY(csl_federation_run_as(a->fed, &shown, c->sites[0].name, r.at, &a->cli->diag));
    *doc = json_incref(json_object_get(shown, "anchor"));
    json_decref(shown);
    if (!a->cli->json && json_is_object(*doc)) {
        csl_chain_print_anchor(*doc, "    ");
    }
    return CSL_OK;
}

/* ---- Verifying ---- */

static void bundle_path(char out[PATH_SIZE], const struct csl_demo_audit *a, const char *name) {
    (void)snprintf(out, PATH_SIZE, "%s/ledger-%s.bundle", csl_federation_dir(a->fed), name);
}

static enum csl_err export_all(const struct csl_demo_chain *c, struct csl_demo_audit *a) {
    for (size_t i = 0; i < c->n; i++) {
        char path[PATH_SIZE];
        bundle_path(path, a, c->sites[i].name);
        struct csl_run_args r = {.n = 0};
        csl_run_args_add(&r, "audit");
        csl_run_args_add(&r, "export");
        csl_run_args_option(&r, "--out", path);
        csl_run_args_add(&r, "--json");
        json_t *doc = NULL;
        enum csl_err err = csl_federation_run_as(a->fed, &doc, c->sites[i].name, r.at, &a->cli->diag);
        json_decref(doc);
        TRY(err);
    }
    return CSL_OK;
}

enum csl_err csl_demo_chain_verify(struct csl_demo_chain *c, struct csl_demo_audit *a, int *code,
                                   json_t **doc) {
    char roster[PATH_SIZE], (*paths)[PATH_SIZE] = calloc(CSL_DEMO_CHAIN_SITES, sizeof *paths);
    if (paths == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = export_all(c, a);
    (void)snprintf(roster, sizeof roster, "%s/%s/roster.yaml", csl_federation_dir(a->fed), c->sites[0].name);
    struct csl_run_args r = {.n = 0};
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "verify");
    csl_run_args_option(&r, "--roster", roster);
    csl_run_args_option(&r, "--chain", csl_anvil_url(c->anvil));
    csl_run_args_add(&r, "--json");
    for (size_t i = 0; i < c->n; i++) {
        bundle_path(paths[i], a, c->sites[i].name);
        csl_run_args_add(&r, paths[i]);
    }
    if (err == CSL_OK) {
        err = csl_federation_run_tool(a->fed, doc, code, r.at, &a->cli->diag);
    }
    free(paths);
    return err;
}
