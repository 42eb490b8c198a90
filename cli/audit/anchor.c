/* consilium audit anchor: this site's checkpoints on a chain; a process of its own beside the daemon. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/audit/anchor.h"
#include "cli/audit/chain.h"
#include "cli/show.h"
#include "crypto/files_internal.h"
#include "roles/daemon/daemon.h"

enum { GWEI = 1000000000, POLL_MS_DEFAULT = 5000, STEP_MS = 600000 /* of all answers in a step */ };

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

static struct csl_anchor_limits limits_of(const struct csl_anchor_words *o) {
    struct csl_anchor_limits l = csl_anchor_limits_default;
    l.max_fee = o->max_fee_gwei * GWEI;
    l.max_priority = o->max_tip_gwei * GWEI < l.max_fee ? o->max_tip_gwei * GWEI : l.max_fee;
    l.gas_limit = o->gas_limit;
    l.resend_s = (uint32_t)o->resend_s;
    l.behind_s = (uint32_t)o->behind_s;
    return l;
}

/* ---- Deploying ---- */

/* The file that keeps the transaction, by chain and account. */
static enum csl_err kept_in(char path[CSL__PATH_MAX], const struct csl_anchor_job *j, struct csl_diag *diag) {
    char dir[CSL__PATH_MAX], name[40 + CSL_ADDRESS_ROOM], account[CSL_ADDRESS_ROOM];
    TRY(csl__path(dir, j->o->site, "state", diag));
    TRY(csl__make_dir(dir, diag));
    TRY(csl__path(dir, j->o->site, "state/anchor", diag));
    TRY(csl__make_dir(dir, diag));
    csl_hex0x_text(account, j->signer.address, CSL_ADDRESS_BYTES);
    (void)snprintf(name, sizeof name, "deploy-%llu-%s.tx", (unsigned long long)j->o->chain_id, account);
    return csl__path(path, dir, name, diag);
}

static enum csl_err deploy(struct csl_anchor_job *j, struct csl_diag *diag) {
    const struct csl_anchor_words *o = j->o;
    uint8_t contract[CSL_ADDRESS_BYTES], tx[CSL_HASH_BYTES];
    char text[CSL_ADDRESS_ROOM], hash[CSL_HASH_ROOM], kept[CSL__PATH_MAX];
    uint64_t gas = 0;
    struct csl_anchor_limits limits = limits_of(o);
    if (o->chain_id == 0) {
        return csl_fail(diag, CSL_EUSAGE,
                        "--deploy needs --chain-id: what is signed is for that chain alone");
    }
    TRY(kept_in(kept, j, diag));
    TRY(csl_anchor_deploy(contract, tx, &gas, &j->rpc, o->chain_id, &j->signer, &limits,
                          (uint32_t)(o->wait * 1000), kept, diag));
    csl_address_text(text, contract);
    csl_hex0x_text(hash, tx, sizeof tx);
    if (j->cli->json) {
        return csl_cli_print_json(j->cli, json_pack("{s:s, s:I, s:s, s:I, s:s}", "contract", text, "chain_id",
                                                    (json_int_t)o->chain_id, "transaction", hash, "gas_used",
                                                    (json_int_t)gas, "kept", kept));
    }
    (void)printf("contract      %s on chain %llu\ntransaction   %s, %llu gas\n"
                 "kept          %s: run again, this shows the same contract; without it, it makes another\n"
                 "Next: consilium roster chain ROSTER --id %llu --contract %s --account NAME:ADDRESS... "
                 "--out ROSTER\n",
                 text, (unsigned long long)o->chain_id, hash, (unsigned long long)gas, kept,
                 (unsigned long long)o->chain_id, text);
    return CSL_OK;
}

/* ---- Anchoring ---- */

static void say(void *arg, const char *text) {
    (void)arg;
    csl_log("%s", text);
}

/* That the roster says what this site is about to do. */
static enum csl_err check_roster(const struct csl_anchor_job *j, struct csl_diag *diag) {
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

static enum csl_err open_anchor(struct csl_anchor_job *j, struct csl_diag *diag) {
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

/* One step, whose questions all end by then. */
static enum csl_err step(struct csl_anchor_job *j, bool take, int64_t until_ms, struct csl_diag *diag) {
    j->rpc.until_ms = j->remote.until_ms = until_ms;
    TRY(csl_anchor_check_signer(j, diag));
    return csl_anchor_step(j->anchor, j->book.ledger, take, diag);
}

/* A restart is no reason to anchor before it is time. */
static int64_t first_time(const struct csl_anchor_job *j) {
    struct csl_anchor_progress p;
    csl_anchor_progress(j->anchor, &p);
    int64_t since = (int64_t)time(NULL) - p.outbox->taken_s, left = (int64_t)j->o->every - since;
    return now_ms() + (since < 0 || left < 0 ? 0 : left * 1000);
}

static bool under_way(const struct csl_anchor_job *j) {
    struct csl_anchor_progress p;
    csl_anchor_progress(j->anchor, &p);
    return p.outbox->n != 0;
}

/* Until a signal comes. A node is asked when there is something to ask: each question may have its price. */
static enum csl_err keep_anchoring(struct csl_anchor_job *j, struct csl_diag *diag) {
    struct trouble t = {""};
    int64_t next = first_time(j);
    while (stopped == 0) {
        bool take = now_ms() >= next;
        if (!take && !under_way(j)) {
            nap(j->o->poll_ms);
            continue;
        }
        enum csl_err err = step(j, take, now_ms() + STEP_MS, diag);
        if (err != CSL_OK && !csl_anchor_again(err)) {
            return err;
        }
        if (stopped == 0) {
            tell_trouble(&t, err, diag);
        }
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

static enum csl_err not_all(const struct csl_anchor_job *j, enum csl_err err, uint64_t target,
                            struct csl_diag *diag) {
    char why[320];
    struct csl_anchor_progress p;
    csl_anchor_progress(j->anchor, &p);
    (void)snprintf(why, sizeof why, "%s", err == CSL_OK ? "" : diag->text);
    return csl_fail(
        diag, err == CSL_OK ? CSL_ETIMEOUT : err,
        "%llu of %llu entries are anchored, %llu of them finally; the rest goes on when this runs "
        "again%s%s",
        (unsigned long long)p.mined, (unsigned long long)target, (unsigned long long)p.final,
        why[0] == '\0' ? "" : ": ", why);
}

/* Until the checkpoint that is the newest now is final. */
static enum csl_err anchor_once(struct csl_anchor_job *j, uint64_t *target, struct csl_diag *diag) {
    struct trouble t = {""};
    struct csl_anchor_progress p;
    struct csl_note *note = calloc(1, sizeof *note);
    enum csl_err err = note == NULL ? CSL_ENOMEM : csl_ledger_newest(j->book.ledger, note, diag);
    *target = err == CSL_OK ? note->checkpoint.size : 0;
    free(note);
    TRY(err == CSL_ENOINPUT ? CSL_OK : err);
    int64_t until = now_ms() + (int64_t)j->o->wait * 1000;
    for (;;) {
        err = step(j, true, until, diag);
        if (err != CSL_OK && !csl_anchor_again(err)) {
            return err;
        }
        csl_anchor_progress(j->anchor, &p);
        if (err == CSL_OK && p.final >= *target) {
            return CSL_OK;
        }
        tell_trouble(&t, err, diag);
        int64_t left = until - now_ms();
        if (stopped == 0 && left > 0) {
            nap(left < (int64_t)j->o->poll_ms ? (uint64_t)left : j->o->poll_ms);
        }
        if (stopped != 0 || now_ms() >= until) {
            return not_all(j, err, *target, diag);
        }
    }
}

static enum csl_err show_once(struct csl_anchor_job *j, uint64_t target, struct csl_diag *diag) {
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

static enum csl_err run_job(struct csl_anchor_job *j, struct csl_diag *diag) {
    const struct csl_anchor_words *o = j->o;
    TRY(csl_anchor_open_signer(j, diag));
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

static enum csl_err run(struct csl_cli *cli, const struct csl_anchor_words *o) {
    if (o->new_account) {
        return csl_anchor_new_account(cli, o);
    }
    if (o->url == NULL) {
        return csl_fail(&cli->diag, CSL_EUSAGE,
                        "--url, or CONSILIUM_CHAIN_URL, must name a node of the chain");
    }
    struct csl_anchor_job *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return CSL_ENOMEM;
    }
    j->cli = cli;
    j->o = o;
    j->rpc = (struct csl_rpc){.url = o->url,
                              .ca_file = o->ca,
                              .connect_ms = CSL_ANCHOR_CALL_MS,
                              .total_ms = CSL_ANCHOR_CALL_MS,
                              .idle_ms = CSL_ANCHOR_CALL_MS,
                              .stopped = &stopped};
    enum csl_err err = run_job(j, &cli->diag);
    csl_anchor_close(j->anchor);
    csl_logbook_close(&j->book);
    csl_context_free(&j->ctx);
    csl_account_free(j->account);
    free(j);
    return err;
}

static const struct csl_opt opts[] = {
    CSL_STRING(struct csl_anchor_words, site, "site", "DIR", true, "this site's folder; its daemon may run"),
    CSL_STRING(struct csl_anchor_words, roster, "roster", "FILE", false,
               "default: roster.yaml in the folder"),
    CSL_STRING(struct csl_anchor_words, url, "url", "URL", false,
               "the node's JSON-RPC; default: $CONSILIUM_CHAIN_URL"),
    CSL_STRING(struct csl_anchor_words, ca, "ca-file", "FILE", false,
               "PEM roots for https; default: the system's"),
    CSL_UINT(struct csl_anchor_words, every, "every", "SECONDS", 1, 2592000,
             "how often something new is anchored (3600)"),
    CSL_FLAG(struct csl_anchor_words, once, "once",
             "anchor the newest checkpoint, wait until it is final, and end"),
    CSL_UINT(struct csl_anchor_words, wait, "wait", "SECONDS", 1, 86400,
             "the longest wait of --once and --deploy (600)"),
    CSL_UINT(struct csl_anchor_words, poll_ms, "poll-ms", "N", 20, 600000,
             "between two looks at the chain while something is under way (5000)"),
    CSL_STRING(struct csl_anchor_words, remote_signer, "remote-signer", "URL", false,
               "who signs instead of chain.key: Web3Signer's JSON-RPC"),
    CSL_FLAG(struct csl_anchor_words, clef, "clef", "the remote signer is Clef"),
    CSL_STRING(struct csl_anchor_words, account, "account", "ADDRESS", false,
               "the account at the remote signer"),
    CSL_UINT(struct csl_anchor_words, max_fee_gwei, "max-fee-gwei", "N", 1, 1000000,
             "most to pay for a gas (100)"),
    CSL_UINT(struct csl_anchor_words, max_tip_gwei, "max-tip-gwei", "N", 0, 1000000,
             "most of it for the block's maker (3)"),
    CSL_UINT(struct csl_anchor_words, gas_limit, "gas-limit", "N", 21000, 10000000,
             "most gas of an anchor (200000)"),
    CSL_UINT(struct csl_anchor_words, resend_s, "resend", "SECONDS", 1, 86400,
             "an anchor that waits longer is sent again with an eighth more fees (60)"),
    CSL_UINT(struct csl_anchor_words, behind_s, "behind", "SECONDS", 60, 2592000,
             "a node that shows less than was seen before is believed after so long (3600)"),
    CSL_FLAG(struct csl_anchor_words, after_reverts, "after-reverts",
             "go on although three in a row were reverted"),
    CSL_FLAG(struct csl_anchor_words, development, "development",
             "allow well-known keys with a node on this machine"),
    CSL_FLAG(struct csl_anchor_words, new_account, "new-account",
             "make an account (chain.key in the folder), and end"),
    CSL_FLAG(struct csl_anchor_words, deploy, "deploy", "put the contract on the chain, and end"),
    CSL_UINT(struct csl_anchor_words, chain_id, "chain-id", "N", 1, 999999999999999999, "of --deploy"),
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
    struct csl_anchor_words o = {.every = 3600,
                                 .wait = 600,
                                 .poll_ms = POLL_MS_DEFAULT,
                                 .max_fee_gwei = 100,
                                 .max_tip_gwei = 3,
                                 .gas_limit = csl_anchor_limits_default.gas_limit,
                                 .resend_s = csl_anchor_limits_default.resend_s,
                                 .behind_s = csl_anchor_limits_default.behind_s,
                                 .url = getenv("CONSILIUM_CHAIN_URL")};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, run(cli, &o));
}
