/* consilium party, consilium dealer: the daemons. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "crypto/cpu.h"
#include "mpc/threads.h"
#include "roles/daemon/dealer.h"
#include "roles/daemon/party.h"

struct options {
    const char *site, *roster, *bind, *wait, *profile;
    uint64_t port, listen_fd, threads;
};

enum { NO_FD = 1 << 20 };

#define COMMON_OPTIONS                                                                                       \
    CSL_STRING(struct options, site, "site", "DIR", true, "this site's folder (consilium cert keygen)"),     \
        CSL_STRING(struct options, roster, "roster", "FILE", false, "default: roster.yaml in the folder"),   \
        CSL_STRING(struct options, bind, "bind", "ADDRESS", false, "address to listen on; default: all"),    \
        CSL_UINT(struct options, port, "port", "N", 1, 65535, "port to listen on; default: the roster's"),   \
        CSL_UINT(struct options, listen_fd, "listen-fd", "N", 3, NO_FD - 1,                                  \
                 "use this inherited, bound socket instead"),                                                \
        CSL_UINT(struct options, threads, "threads", "N", 1, CSL_MAX_THREADS,                                \
                 "for large layers; default: the cores, divided by the roster's daemons on this host")

static const struct csl_opt party_opts[] = {
    COMMON_OPTIONS,
    CSL_STRING(
        struct options, wait, "wait", "auto|spin|block", false,
        "how a lane waits for its peers: spin polls for 100 us first, block sleeps at once, auto polls where "
        "rounds have lately been shorter; default: auto"),
    CSL_STRING(struct options, profile, "profile", "auto|lan|wan", false,
               "of sessions; counts at the first party: fewest bytes, fewest rounds, or by the round trip; "
               "default: auto"),
    CSL_OPTS_END};
static const struct csl_opt dealer_opts[] = {COMMON_OPTIONS, CSL_OPTS_END};

static const struct csl_spec party_spec = {
    .name = "party",
    .synopsis = "--site DIR [--roster FILE] [--bind ADDRESS] [--port N] [--wait auto|spin|block] "
                "[--profile auto|lan|wan] [--threads N]",
    .text = "Runs a party's daemon until SIGTERM. It keeps this site's shares of the models in DIR/state, "
            "connects to the\n"
            "other daemons (in any order of starting) and serves the sessions of clients. A renewed "
            "certificate in DIR\n"
            "is taken up without a restart. The log goes to stderr.",
    .opts = party_opts};
static const struct csl_spec dealer_spec = {
    .name = "dealer",
    .synopsis = "--site DIR [--roster FILE] [--bind ADDRESS] [--port N] [--threads N]",
    .text = "Runs the dealer's daemon until SIGTERM. It makes correlations for the parties and never sees "
            "data; whoever\n"
            "runs it must not collude with any party. The log goes to stderr.",
    .opts = dealer_opts};

static struct csl_daemon_options daemon_options(const struct options *o) {
    return (struct csl_daemon_options){.bind_address = o->bind,
                                       .port = (uint16_t)o->port,
                                       .listen_fd = o->listen_fd == NO_FD ? -1 : (int)o->listen_fd};
}

/* Daemons of the roster that are reached at this site's host, this one among them. */
static unsigned daemons_here(const struct csl_context *ctx) {
    unsigned n = 0;
    for (size_t i = 0; i < ctx->roster.n_members; i++) {
        const struct csl_member *m = &ctx->roster.members[i];
        bool computes = (m->roles & (CSL_ROLE_PARTY | CSL_ROLE_DEALER)) != 0;
        n += computes && m->host[0] != 0 && strcmp(m->host, ctx->self->host) == 0;
    }
    return n;
}

/* Followed by close_site(), unless it fails. */
static enum csl_err open_site(struct csl_context *ctx, struct csl_cli *cli, const struct options *o) {
    TRY(csl_cpu_check(&cli->diag));
    TRY(csl_context_load(ctx, o->site, o->roster, &cli->diag));
    unsigned n = o->threads != 0 ? (unsigned)o->threads : csl_threads_default(daemons_here(ctx));
    enum csl_err err = csl_threads_start(n, &cli->diag);
    if (err != CSL_OK) {
        csl_context_free(ctx);
    }
    return err;
}

static void close_site(struct csl_context *ctx) {
    csl_threads_stop();
    csl_context_free(ctx);
}

static enum csl_err run_party(struct csl_cli *cli, const struct options *o) {
    struct csl_party_options po = {.daemon = daemon_options(o), .wait = CSL_WAIT_AUTO, .auto_profile = true};
    if (o->wait != NULL && !csl_wait_parse(&po.wait, o->wait)) {
        return csl_fail(&cli->diag, CSL_EUSAGE, "--wait is auto, spin or block, not \"%.40s\"", o->wait);
    }
    TRY(csl_profile_option(&po.auto_profile, &po.profile, o->profile, &cli->diag));
    struct csl_context ctx;
    TRY(open_site(&ctx, cli, o));
    enum csl_err err = csl_party_run(&ctx, &po, &cli->diag);
    close_site(&ctx);
    return err;
}

static enum csl_err run_dealer(struct csl_cli *cli, const struct options *o) {
    struct csl_daemon_options d = daemon_options(o);
    struct csl_context ctx;
    TRY(open_site(&ctx, cli, o));
    enum csl_err err = csl_dealer_run(&ctx, &d, &cli->diag);
    close_site(&ctx);
    return err;
}

int cmd_party(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {.listen_fd = NO_FD};
    int code;
    if (!csl_args_parse(cli, &party_spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, run_party(cli, &o));
}

int cmd_dealer(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {.listen_fd = NO_FD};
    int code;
    if (!csl_args_parse(cli, &dealer_spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, run_dealer(cli, &o));
}
