/* The account under which a site anchors: made, or found at a remote signer. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "cli/audit/anchor.h"
#include "crypto/files_internal.h"
#include "net/http/http.h"

static enum csl_err key_path(char out[CSL__PATH_MAX], const char *site, struct csl_diag *diag) {
    return csl__path(out, site, "chain.key", diag);
}

enum csl_err csl_anchor_new_account(struct csl_cli *cli, const struct csl_anchor_words *o) {
    char path[CSL__PATH_MAX], text[CSL_ADDRESS_ROOM];
    struct csl_account *a = NULL;
    TRY(key_path(path, o->site, &cli->diag));
    TRY(csl_account_new(&a, &cli->diag));
    enum csl_err err = csl_account_save(a, path, &cli->diag);
    csl_address_text(text, csl_account_address(a));
    csl_account_free(a);
    TRY(err);
    if (cli->json) {
        return csl_cli_print_json(cli, json_pack("{s:s, s:s}", "account", text, "key", path));
    }
    (void)printf(
        "account       %s\nkey           %s (keep it as you keep the site's other keys)\n"
        "Next: give the account to whoever keeps the roster (consilium roster chain), and send it some of "
        "the chain's coin for fees\n",
        text, path);
    return CSL_OK;
}

static bool is_loopback(const char *url) {
    char place[280];
    csl_http_place(place, sizeof place, url);
    const char *host = strstr(place, "://");
    host = host == NULL ? place : host + 3;
    if (strncmp(host, "[::1]", 5) == 0) {
        return host[5] == '\0' || host[5] == ':';
    }
    char name[64];
    size_t n = strcspn(host, ":");
    struct in_addr a;
    if (n >= sizeof name) {
        return false;
    }
    memcpy(name, host, n);
    name[n] = '\0';
    return strcmp(name, "localhost") == 0 ||
           (inet_pton(AF_INET, name, &a) == 1 && ntohl(a.s_addr) >> 24 == 127);
}

/* Keys that everybody has: whoever anchors with them says nothing, and what they hold is taken. */
static enum csl_err refuse_known(const struct csl_anchor_words *o, const uint8_t address[CSL_ADDRESS_BYTES],
                                 struct csl_diag *diag) {
    char text[CSL_ADDRESS_ROOM];
    if (!csl_address_is_well_known(address)) {
        return CSL_OK;
    }
    csl_address_text(text, address);
    if (o->development && is_loopback(o->url)) {
        return CSL_OK;
    }
    return csl_fail(
        diag, CSL_EPERM,
        "account %s is one of the development keys that everybody has: make one with --new-account "
        "(--development allows it with a node on this machine)",
        text);
}

enum csl_err csl_anchor_check_signer(struct csl_anchor_job *j, struct csl_diag *diag) {
    if (!j->signer_checked) {
        TRY(csl_signer_check(&j->signer, diag));
        j->signer_checked = true;
    }
    return CSL_OK;
}

enum csl_err csl_anchor_open_signer(struct csl_anchor_job *j, struct csl_diag *diag) {
    const struct csl_anchor_words *o = j->o;
    char path[CSL__PATH_MAX];
    if (o->remote_signer == NULL && (o->account != NULL || o->clef)) {
        return csl_fail(diag, CSL_EUSAGE, "%s is of a --remote-signer: without one, chain.key signs",
                        o->clef ? "--clef" : "--account");
    }
    if (o->remote_signer == NULL) {
        TRY(key_path(path, o->site, diag));
        enum csl_err err = csl_account_load(&j->account, path, diag);
        if (err == CSL_ENOINPUT) {
            return csl_fail_context(
                diag, err,
                "this site has no account: consilium audit anchor --site DIR --new-account, or "
                "--remote-signer");
        }
        TRY(err);
        j->signer = (struct csl_signer){.kind = CSL_SIGNER_ACCOUNT, .account = j->account};
        memcpy(j->signer.address, csl_account_address(j->account), CSL_ADDRESS_BYTES);
    } else {
        j->remote = (struct csl_rpc){.url = o->remote_signer,
                                     .ca_file = o->ca,
                                     .connect_ms = CSL_ANCHOR_CALL_MS,
                                     .total_ms = o->clef ? CSL_ANCHOR_SIGNER_MS : CSL_ANCHOR_CALL_MS,
                                     .idle_ms = o->clef ? CSL_ANCHOR_SIGNER_MS : CSL_ANCHOR_CALL_MS,
                                     .stopped = j->rpc.stopped};
        j->signer =
            (struct csl_signer){.kind = o->clef ? CSL_SIGNER_CLEF : CSL_SIGNER_WEB3, .remote = &j->remote};
        if (o->account == NULL) {
            return csl_fail(diag, CSL_EUSAGE, "--remote-signer needs --account, the address that signs");
        }
        enum csl_err err = csl_address_parse(j->signer.address, o->account, diag);
        if (err != CSL_OK) {
            return csl_fail_context(diag, CSL_EUSAGE, "--account");
        }
    }
    TRY(refuse_known(o, j->signer.address, diag));
    return o->remote_signer == NULL || o->deploy ? csl_anchor_check_signer(j, diag) : CSL_OK;
}
