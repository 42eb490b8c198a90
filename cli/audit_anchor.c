/* consilium audit anchor: this site's checkpoints on a chain; a process of its own beside the daemon. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chain/account.h"
#include "chain/anchor.h"
#include "cli/audit_chain.h"
#include "cli/commands.h"
#include "cli/show.h"
#include "crypto/files_internal.h"
#include "net/http/http.h"
#include "roles/daemon.h"
#include "roles/logbook.h"

enum { GWEI = 1000000000, POLL_MS_DEFAULT = 5000, CALL_MS = 20000, SIGNER_MS = 300000 };

struct options {
    const char *site, *roster, *url, *ca, *remote_signer, *account;
    bool clef, new_account, deploy, once, after_reverts, development;
    uint64_t every, wait, poll_ms, chain_id, max_fee_gwei, max_tip_gwei, gas_limit, resend_s;
};

static volatile sig_atomic_t stopped;

static void stop(int number) {
    (void)number;
    stopped = 1;
}

static void nap(uint64_t ms) {
    const struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000L};
    (void)nanosleep(&pause, NULL);
}

static int64_t now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- The account ---- */

struct job {
    struct csl_cli *cli;
    const struct options *o;
    struct csl_context ctx;
    struct csl_logbook book;
    struct csl_account *account;
    struct csl_rpc rpc, remote;
    struct csl_signer signer;
    struct csl_anchor *anchor;
};

static enum csl_err key_path(char out[CSL__PATH_MAX], const char *site, struct csl_diag *diag) {
    return csl__path(out, site, "chain.key", diag);
}

static enum csl_err new_account(struct csl_cli *cli, const struct options *o) {
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
static enum csl_err refuse_known(const struct options *o, const uint8_t address[CSL_ADDRESS_BYTES],
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

static enum csl_err open_signer(struct job *j, struct csl_diag *diag) {
    const struct options *o = j->o;
    char path[CSL__PATH_MAX];
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
                                     .connect_ms = CALL_MS,
                                     .total_ms = o->clef ? SIGNER_MS : CALL_MS,
                                     .idle_ms = o->clef ? SIGNER_MS : CALL_MS};
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
    return csl_signer_check(&j->signer, diag);
}

static struct csl_anchor_limits limits_of(const struct options *o) {
    struct csl_anchor_limits l = csl_anchor_limits_default;
    l.max_fee = o->max_fee_gwei * GWEI;
    l.max_priority = o->max_tip_gwei * GWEI < l.max_fee ? o->max_tip_gwei * GWEI : l.max_fee;
    l.gas_limit = o->gas_limit;
    l.resend_s = (uint32_t)o->resend_s;
    return l;
}

/* ---- Deploying ---- */

static enum csl_err deploy(struct job *j, struct csl_diag *diag) {
    const struct options *o = j->o;
    uint8_t contract[CSL_ADDRESS_BYTES], tx[CSL_HASH_BYTES];
    char text[CSL_ADDRESS_ROOM], hash[CSL_HASH_ROOM];
    uint64_t gas = 0;
    struct csl_anchor_limits limits = limits_of(o);
    if (o->chain_id == 0) {
        return csl_fail(diag, CSL_EUSAGE,
                        "--deploy needs --chain-id: what is signed is for that chain alone");
    }
    TRY(csl_anchor_deploy(contract, tx, &gas, &j->rpc, o->chain_id, &j->signer, &limits,
                          (uint32_t)(o->wait * 1000), diag));
    csl_address_text(text, contract);
    csl_hex0x_text(hash, tx, sizeof tx);
    if (j->cli->json) {
        return csl_cli_print_json(j->cli, json_pack("{s:s, s:I, s:s, s:I}", "contract", text, "chain_id",
                                                    (json_int_t)o->chain_id, "transaction", hash, "gas_used",
                                                    (json_int_t)gas));
    }
    (void)printf("contract      %s on chain %llu\ntransaction   %s, %llu gas\n"
                 "Next: consilium roster chain ROSTER --id %llu --contract %s --account NAME:ADDRESS... "
                 "--out ROSTER\n",
                 text, (unsigned long long)o->chain_id, hash, (unsigned long long)gas,
                 (unsigned long long)o->chain_id, text);
    return CSL_OK;
}

/* ---- Anchoring ---- */

static void say(void *arg, const char *text) {
    (void)arg;
    csl_log("%s", text);
}

/* That the roster says what this site is about to do. */
static enum csl_err check_roster(const struct job *j, struct csl_diag *diag) {
    const struct csl_member *m = j->ctx.self;
    char has[CSL_ADDRESS_ROOM], signs[CSL_ADDRESS_ROOM];
    if (j->ctx.roster.chain.id == 0) {
        return csl_fail(diag, CSL_ECONFIG, "the roster has no chain: docs/chain.md says how it gets one");
    }
    csl_address_text(signs, j->signer.address);
    if (!m->has_account) {
        return csl_fail(
            diag, CSL_ECONFIG,
            "the roster has no account for %s: auditors would not look for %s (consilium roster chain)",
            m->name, signs);
    }
    csl_address_text(has, m->account);
    return memcmp(m->account, j->signer.address, sizeof m->account) == 0
               ? CSL_OK
               : csl_fail(diag, CSL_ECONFIG,
                          "the roster says that %s anchors as %s, and here is the key of %s", m->name, has,
                          signs);
}

static enum csl_err open_anchor(struct job *j, struct csl_diag *diag) {
    char state[CSL__PATH_MAX], origin[CSL_ORIGIN_MAX + 1];
    const struct csl_chain_rule *chain = &j->ctx.roster.chain;
    TRY(check_roster(j, diag));
    TRY(csl_logbook_open(&j->book, &j->ctx, 0, diag));
    TRY(csl__path(state, j->ctx.dir, "state/anchor", diag));
    csl_logbook_origin(origin, &j->ctx.roster, j->ctx.self->name);
    struct csl_anchor_options ao = {.state = state,
                                    .origin = origin,
                                    .confirmations = chain->confirmations,
                                    .contract = {.rpc = &j->rpc, .chain_id = chain->id},
                                    .signer = &j->signer,
                                    .limits = limits_of(j->o),
                                    .after_reverts = j->o->after_reverts,
                                    .say = say};
    memcpy(ao.contract.address, chain->contract, sizeof ao.contract.address);
    return csl_anchor_open(&j->anchor, &ao, diag);
}

/* What is wrong is said once, and again when it is something else or over. */
struct trouble {
    char text[sizeof((struct csl_diag *)0)->text];
};

static void tell_trouble(struct trouble *t, enum csl_err err, const struct csl_diag *diag) {
    if (err == CSL_OK && t->text[0] != '\0') {
        csl_log("anchoring goes on");
        t->text[0] = '\0';
    } else if (err != CSL_OK && strcmp(t->text, diag->text) != 0) {
        csl_log("not anchored now: %s", diag->text);
        memcpy(t->text, diag->text, sizeof t->text);
    }
}

static bool under_way(const struct job *j) {
    struct csl_anchor_progress p;
    csl_anchor_progress(j->anchor, &p);
    return p.outbox->n != 0;
}

/* Until a signal comes. A node is asked when there is something to ask: each question may have its price. */
static enum csl_err keep_anchoring(struct job *j, struct csl_diag *diag) {
    struct trouble t = {""};
    int64_t next = now_ms();
    while (stopped == 0) {
        bool take = now_ms() >= next;
        if (!take && !under_way(j)) {
            nap(j->o->poll_ms);
            continue;
        }
        enum csl_err err = csl_anchor_step(j->anchor, j->book.ledger, take, diag);
        if (err != CSL_OK && !csl_anchor_again(err)) {
            return err;
        }
        tell_trouble(&t, err, diag);
        diag->text[0] = '\0';
        if (err == CSL_OK && take) {
            next = now_ms() + (int64_t)j->o->every * 1000;
        }
        if (stopped == 0) {
            nap(j->o->poll_ms);
        }
    }
    return CSL_OK;
}

/* Until the checkpoint that is the newest now is final. */
static enum csl_err anchor_once(struct job *j, uint64_t *target, struct csl_diag *diag) {
    struct trouble t = {""};
    struct csl_anchor_progress p;
    struct csl_note *note = calloc(1, sizeof *note);
    enum csl_err err = note == NULL ? CSL_ENOMEM : csl_ledger_newest(j->book.ledger, note, diag);
    *target = err == CSL_OK ? note->checkpoint.size : 0;
    free(note);
    TRY(err == CSL_ENOINPUT ? CSL_OK : err);
    int64_t until = now_ms() + (int64_t)j->o->wait * 1000;
    for (;;) {
        err = csl_anchor_step(j->anchor, j->book.ledger, true, diag);
        if (err != CSL_OK && !csl_anchor_again(err)) {
            return err;
        }
        csl_anchor_progress(j->anchor, &p);
        if (err == CSL_OK && p.final >= *target) {
            return CSL_OK;
        }
        tell_trouble(&t, err, diag);
        if (stopped != 0 || now_ms() >= until) {
            char why[320];
            (void)snprintf(why, sizeof why, "%s", err == CSL_OK ? "" : diag->text);
            return csl_fail(
                diag, err == CSL_OK ? CSL_ETIMEOUT : err,
                "%llu of %llu entries are anchored, %llu of them finally; the rest goes on when this runs "
                "again%s%s",
                (unsigned long long)p.mined, (unsigned long long)*target, (unsigned long long)p.final,
                why[0] == '\0' ? "" : ": ", why);
        }
        nap(j->o->poll_ms);
    }
}

static enum csl_err show_once(struct job *j, uint64_t target, struct csl_diag *diag) {
    json_t *anchor = NULL;
    char account[CSL_ADDRESS_ROOM];
    csl_address_text(account, j->signer.address);
    const struct csl_chain_node nobody = {.url = NULL};
    if (target != 0) {
        TRY(csl_chain_anchor_of(&anchor, &j->ctx, target - 1, &nobody, diag));
    }
    if (j->cli->json) {
        return csl_cli_print_json(j->cli,
                                  json_pack("{s:s, s:s, s:I, s:o?}", "site", j->ctx.self->name, "account",
                                            account, "entries", (json_int_t)target, "anchor", anchor));
    }
    (void)printf("site          %s, account %s\n", j->ctx.self->name, account);
    if (!json_is_object(anchor)) {
        (void)printf(
            "%s\n", target == 0 ? "the ledger has no checkpoint yet: nothing to anchor"
                                : "all is anchored; this outbox does not know by which transaction (ask with "
                                  "audit show --chain)");
    } else {
        csl_chain_print_anchor(anchor, "");
    }
    json_decref(anchor);
    return CSL_OK;
}

static enum csl_err run_job(struct job *j, struct csl_diag *diag) {
    const struct options *o = j->o;
    TRY(open_signer(j, diag));
    if (o->deploy) {
        return deploy(j, diag);
    }
    TRY(csl_context_load(&j->ctx, o->site, o->roster, diag));
    TRY(open_anchor(j, diag));
    struct sigaction act = {.sa_handler = stop};
    (void)sigaction(SIGTERM, &act, NULL);
    (void)sigaction(SIGINT, &act, NULL);
    if (!o->once) {
        return keep_anchoring(j, diag);
    }
    uint64_t target = 0;
    TRY(anchor_once(j, &target, diag));
    return show_once(j, target, diag);
}

static enum csl_err run(struct csl_cli *cli, const struct options *o) {
    if (o->new_account) {
        return new_account(cli, o);
    }
    if (o->url == NULL) {
        return csl_fail(&cli->diag, CSL_EUSAGE,
                        "--url, or CONSILIUM_CHAIN_URL, must name a node of the chain");
    }
    struct job *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return CSL_ENOMEM;
    }
    j->cli = cli;
    j->o = o;
    j->rpc = (struct csl_rpc){
        .url = o->url, .ca_file = o->ca, .connect_ms = CALL_MS, .total_ms = CALL_MS, .idle_ms = CALL_MS};
    enum csl_err err = run_job(j, &cli->diag);
    csl_anchor_close(j->anchor);
    csl_logbook_close(&j->book);
    csl_context_free(&j->ctx);
    csl_account_free(j->account);
    free(j);
    return err;
}

static const struct csl_opt opts[] = {
    CSL_STRING(struct options, site, "site", "DIR", true, "this site's folder; its daemon may run"),
    CSL_STRING(struct options, roster, "roster", "FILE", false, "default: roster.yaml in the folder"),
    CSL_STRING(struct options, url, "url", "URL", false,
               "the node's JSON-RPC; default: $CONSILIUM_CHAIN_URL"),
    CSL_STRING(struct options, ca, "ca-file", "FILE", false, "PEM roots for https; default: the system's"),
    CSL_UINT(struct options, every, "every", "SECONDS", 1, 2592000,
             "how often something new is anchored (3600)"),
    CSL_FLAG(struct options, once, "once", "anchor the newest checkpoint, wait until it is final, and end"),
    CSL_UINT(struct options, wait, "wait", "SECONDS", 1, 86400,
             "the longest wait of --once and --deploy (600)"),
    CSL_UINT(struct options, poll_ms, "poll-ms", "N", 20, 600000,
             "between two looks at the chain while something is under way (5000)"),
    CSL_STRING(struct options, remote_signer, "remote-signer", "URL", false,
               "who signs instead of chain.key: Web3Signer's JSON-RPC"),
    CSL_FLAG(struct options, clef, "clef", "the remote signer is Clef"),
    CSL_STRING(struct options, account, "account", "ADDRESS", false, "the account at the remote signer"),
    CSL_UINT(struct options, max_fee_gwei, "max-fee-gwei", "N", 1, 1000000, "most to pay for a gas (100)"),
    CSL_UINT(struct options, max_tip_gwei, "max-tip-gwei", "N", 0, 1000000,
             "most of it for the block's maker (3)"),
    CSL_UINT(struct options, gas_limit, "gas-limit", "N", 21000, 10000000, "most gas of an anchor (200000)"),
    CSL_UINT(struct options, resend_s, "resend", "SECONDS", 1, 86400,
             "an anchor that waits longer is sent again with an eighth more fees (60)"),
    CSL_FLAG(struct options, after_reverts, "after-reverts", "go on although three in a row were reverted"),
    CSL_FLAG(struct options, development, "development", "allow well-known keys with a node on this machine"),
    CSL_FLAG(struct options, new_account, "new-account",
             "make an account (chain.key in the folder), and end"),
    CSL_FLAG(struct options, deploy, "deploy", "put the contract on the chain, and end"),
    CSL_UINT(struct options, chain_id, "chain-id", "N", 1, 999999999999999999, "of --deploy"),
    CSL_OPTS_END};

int cmd_audit_anchor(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_spec spec = {
        .name = "audit anchor",
        .synopsis = "--site DIR [--url URL] [--every SECONDS | --once] [--json]\n"
                    "       consilium audit anchor --site DIR --new-account\n"
                    "       consilium audit anchor --site DIR --url URL --deploy --chain-id N",
        .text = "Puts the newest checkpoint of this site's ledger into the contract that the roster names, "
                "under the "
                "site's\n"
                "account, as often as there is something new. Sessions never wait for it: a chain that is "
                "down only "
                "delays\n"
                "anchors. What is under way is in DIR/state/anchor and survives crashes. docs/chain.md says "
                "how to set "
                "it up.",
        .has_json = true,
        .opts = opts};
    struct options o = {.every = 3600,
                        .wait = 600,
                        .poll_ms = POLL_MS_DEFAULT,
                        .max_fee_gwei = 100,
                        .max_tip_gwei = 3,
                        .gas_limit = csl_anchor_limits_default.gas_limit,
                        .resend_s = csl_anchor_limits_default.resend_s,
                        .url = getenv("CONSILIUM_CHAIN_URL")};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, run(cli, &o));
}
