/* consilium demo: hospitals on this machine classify digits that none of them sees. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "cli/commands.h"
#include "cli/demo_audit.h"
#include "cli/demo_chain.h"
#include "cli/federation.h"
#include "cli/run_args.h"

struct options {
    const char *data, *dir, *liar, *anvil;
    const char *model, *images, *labels;
    uint64_t parties, count;
};

static enum csl_err share_model(struct csl_cli *cli, struct csl_federation *fed, const struct options *o) {
    struct csl_run_args a = {.n = 0};
    csl_run_args_add(&a, "model");
    csl_run_args_add(&a, "share");
    csl_run_args_add(&a, o->model);
    csl_run_args_option(&a, "--name", "network");
    csl_run_args_option(&a, "--normalize", "unit");
    csl_run_args_add(&a, "--json");
    json_t *doc = NULL;
    enum csl_err err = csl_federation_run(fed, &doc, CSL_FEDERATION_OWNER, a.at, &cli->diag);
    json_decref(doc);
    return err;
}

/* The judge of the second audit is trusted not to be in league with a hospital: two shares of three may be
 * opened. */
static enum csl_err start(struct csl_federation **fed, struct csl_cli *cli, const struct options *o,
                          struct csl_demo_chain *chain) {
    struct csl_roster defaults = {.n_members = 0};
    csl_roster_defaults(&defaults);
    defaults.audit.colluding = 0;
    struct csl_federation_options fo = {.n_parties = (unsigned)o->parties,
                                        .model = "network",
                                        .dir = o->dir,
                                        .max_batch = 256,
                                        .profile = "lan",
                                        .audit = &defaults.audit,
                                        .roster = o->anvil == NULL ? NULL : csl_demo_chain_roster,
                                        .roster_arg = chain};
    return csl_federation_start(fed, &fo, &cli->diag);
}

static const struct csl_opt demo_opts[] = {
    CSL_UINT(struct options, parties, "parties", "N", 2, 16, "hospitals; default 3"),
    CSL_UINT(struct options, count, "count", "N", 1, 1000, "digits; default 5"),
    CSL_STRING(struct options, data, "data", "DIR", false,
               "where real MNIST is looked for; default: data/mnist"),
    CSL_STRING(struct options, dir, "dir", "DIR", false, "keep the sites, logs and keys in this new folder"),
    CSL_STRING(struct options, liar, "liar", "PROGRAM", false,
               "a daemon that can lie, for the second audit; default: the build tree's"),
    CSL_STRING(struct options, anvil, "anvil", "PROGRAM", false,
               "anchor the ledgers on this development chain, too (make demo CHAIN=1)"),
    CSL_OPTS_END};
static const struct csl_spec demo_spec = {
    .name = "demo",
    .synopsis = "[--parties N] [--count N] [--data DIR] [--anvil PROGRAM] [--json]",
    .text = "Hospitals on this machine classify handwritten digits that none of them sees. Run it from the "
            "project's folder:\n"
            "it shows real MNIST where that is present (make mnist), else the project's own drawn digits. "
            "Then the\n"
            "session is audited, and a second one in which one hospital lies.",
    .opts = demo_opts,
    .has_json = true};

static const char example_model[] = "examples/mnist/mnist_a.onnx";

static void find_digits(struct options *o, bool quiet, char images[1024], char labels[1024]) {
    const char *dir = o->data != NULL ? o->data : "data/mnist";
    (void)snprintf(images, 1024, "%s/t10k-images-idx3-ubyte.gz", dir);
    (void)snprintf(labels, 1024, "%s/t10k-labels-idx1-ubyte.gz", dir);
    const char *what = "real MNIST";
    if (access(images, R_OK) != 0 || access(labels, R_OK) != 0) {
        what = "drawn for this project (examples/mnist); `make mnist` fetches the real ones";
        (void)snprintf(images, 1024, "examples/mnist/digits-images-idx3-ubyte");
        (void)snprintf(labels, 1024, "examples/mnist/digits-labels-idx1-ubyte");
    }
    if (!quiet) {
        (void)printf("Digits: %s.\n", what);
    }
    o->images = images;
    o->labels = labels;
}

/* ---- The story ---- */

struct demo {
    struct csl_cli *cli;
    const struct options *o;
    struct csl_federation *fed;
    json_t *inference, *clean, *tampered;
    struct csl_demo_chain chain;
    json_t *anchors[2], *anchored, *of_session;
};

static void say(const struct demo *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct demo *d, const char *fmt, ...) {
    if (!d->cli->json) {
        va_list ap;
        va_start(ap, fmt);
        (void)vprintf(fmt, ap);
        va_end(ap);
        (void)fflush(stdout);
    }
}

static enum csl_err infer(struct demo *d, uint64_t count, bool show) {
    struct csl_run_args a = {.n = 0};
    csl_run_args_add(&a, "infer");
    csl_run_args_option(&a, "--model", "network");
    csl_run_args_option(&a, "--images", d->o->images);
    csl_run_args_option(&a, "--labels", d->o->labels);
    csl_run_args_option(&a, "--compare", d->o->model);
    csl_run_args_number(&a, "--count", count);
    if (show && !d->cli->json) {
        csl_run_args_add(&a, "--show");
        return csl_federation_run(d->fed, NULL, CSL_FEDERATION_CLIENT, a.at, &d->cli->diag);
    }
    csl_run_args_add(&a, "--json");
    json_t *doc = NULL;
    enum csl_err err = csl_federation_run(d->fed, &doc, CSL_FEDERATION_CLIENT, a.at, &d->cli->diag);
    if (show) {
        d->inference = doc;
    } else {
        json_decref(doc);
    }
    return err;
}

static enum csl_err classify(struct demo *d) {
    say(d,
        "Each is a process of its own; they speak TLS 1.3 with certificates on both sides.\n"
        "The model's owner seals the network (%s) for each hospital: numbers that by themselves are noise.\n",
        d->o->model);
    TRY(share_model(d->cli, d->fed, d->o));
    say(d, "A clinic shares the digits in the same way. What each hospital got of them:\n");
    return infer(d, d->o->count, true);
}

static void say_verdict(const struct demo *d, const json_t *doc) {
    int code = (int)json_integer_value(json_object_get(doc, "exit"));
    const char *party = json_string_value(json_object_get(doc, "party"));
    if (code == 0) {
        say(d, "  consistent: every signature, hash and proof holds\n");
    } else if (code == 2 && party != NULL) {
        say(d, "  attributable: %s sent a wrong message in round %d\n", party,
            (int)json_integer_value(json_object_get(doc, "round")));
    } else {
        say(d, "  exit code %d\n", code);
    }
}

static enum csl_err audit_clean(struct demo *d, struct csl_demo_audit *a) {
    say(d, "\nThe audit: every site exports its ledger of the session, and anybody who has the roster can "
           "verify it.\n");
    TRY(csl_demo_verify(a, "clean", &d->clean));
    say_verdict(d, d->clean);
    return CSL_OK;
}

/* The lie is signed like every other message: nobody notices until a judge recomputes what was sent. */
static enum csl_err audit_tampered(struct demo *d, struct csl_demo_audit *a, const char *liar) {
    const char *party = csl_federation_party_name(d->fed, 1);
    say(d,
        "\nNow %s runs a program that sends one wrong message, and signs it (it is a test's; the daemon has "
        "no such switch).\n",
        party);
    TRY(csl_demo_corrupt(a, party, liar, "round:5"));
    TRY(infer(d, 1, false));
    say(d, "A judge whom the hospitals chose recomputes what they sent, from views that they open to him:\n");
    TRY(csl_demo_replay(a, "tampered", &d->tampered));
    say_verdict(d, d->tampered);
    return CSL_OK;
}

/* ---- The chain ---- */

static enum csl_err anchor_all(struct demo *d, struct csl_demo_audit *a, bool first) {
    if (first) {
        say(d,
            "\nThe chain: anvil, on this machine. Every site has an account of its own there; %s deploys the "
            "contract.\n",
            d->chain.sites[0].name);
        TRY(csl_demo_chain_start(&d->chain, a));
        say(d, "Every site anchors its ledger:\n");
    } else {
        say(d, "\nEvery site anchors again; each anchor names the one before it:\n");
    }
    return csl_demo_chain_anchor(&d->chain, a, &d->anchors[first ? 0 : 1]);
}

static enum csl_err verify_anchors(struct demo *d, struct csl_demo_audit *a) {
    int code = 0;
    json_t *report = NULL;
    say(d, "Whoever has the roster and a node of the chain can verify the ledgers against it:\n");
    TRY(csl_demo_chain_verify(&d->chain, a, &code, &report));
    json_t *sites = json_object_get(report, "anchored");
    for (size_t i = 0; i < json_array_size(sites); i++) {
        const json_t *s = json_array_get(sites, i);
        say(d, "  %-12s %lld of %lld entries are anchored\n", json_string_value(json_object_get(s, "site")),
            (long long)json_integer_value(json_object_get(s, "anchored")),
            (long long)json_integer_value(json_object_get(s, "entries")));
    }
    d->anchored = json_pack("{s:i, s:O, s:O}", "exit", code, "sites", sites, "findings",
                            json_object_get(report, "findings"));
    json_decref(report);
    say(d, "  %s\n",
        code == 0 ? "consistent: every ledger contains what its site anchored"
                  : "NOT consistent with the chain");
    if (d->anchored == NULL) {
        return CSL_ENOMEM;
    }
    const char *session = json_string_value(json_object_get(d->clean, "session"));
    say(d, "The session's anchor, as audit show at %s has it:\n", d->chain.sites[0].name);
    return csl_demo_chain_show(&d->chain, a, session, &d->of_session);
}

static bool find_liar(char out[1024], const struct options *o) {
    size_t n = 900;
    if (o->liar != NULL) {
        (void)snprintf(out, 1024, "%s", o->liar);
    } else if (uv_exepath(out, &n) == 0) {
        char *slash = strrchr(out, '/');
        (void)snprintf(slash == NULL ? out : slash + 1, 100, "../tests/hostile/hostile");
    }
    return access(out, X_OK) == 0;
}

static enum csl_err run(struct demo *d) {
    char liar[1024] = "";
    struct csl_demo_audit a = {.cli = d->cli, .fed = d->fed, .n_parties = (unsigned)d->o->parties};
    TRY(classify(d));
    TRY(audit_clean(d, &a));
    if (d->o->anvil != NULL) {
        TRY(anchor_all(d, &a, true));
        TRY(verify_anchors(d, &a));
    }
    if (!find_liar(liar, d->o)) {
        say(d, "\n(No lying daemon is at hand, %s: the second audit is left out. The build tree has one.)\n",
            liar);
        return CSL_OK;
    }
    TRY(audit_tampered(d, &a, liar));
    return d->o->anvil == NULL ? CSL_OK : anchor_all(d, &a, false);
}

static enum csl_err demo(struct csl_cli *cli, struct options *o) {
    struct demo d = {.cli = cli, .o = o, .chain = {.program = o->anvil}};
    char images[1024], labels[1024];
    find_digits(o, cli->json, images, labels);
    say(&d, "Making keys and certificates, starting %llu hospitals and a dealer ...\n",
        (unsigned long long)o->parties);
    TRY(start(&d.fed, cli, o, &d.chain));
    enum csl_err err = run(&d);
    csl_demo_chain_stop(&d.chain);
    csl_federation_stop(d.fed, NULL);
    if (err == CSL_OK && cli->json) {
        err = csl_cli_print_json(
            cli, json_pack("{s:s, s:i, s:O?, s:{s:O?, s:O?}, s:{s:O?, s:O?, s:O?, s:O?}}", "version",
                           CSL_VERSION, "parties", (int)o->parties, "inference", d.inference, "audit",
                           "clean", d.clean, "tampered", d.tampered, "chain", "first", d.anchors[0], "second",
                           d.anchors[1], "verified", d.anchored, "session", d.of_session));
    }
    json_decref(d.inference);
    json_decref(d.clean);
    json_decref(d.tampered);
    json_decref(d.anchors[0]);
    json_decref(d.anchors[1]);
    json_decref(d.anchored);
    json_decref(d.of_session);
    return err;
}

int cmd_demo(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {.parties = 3, .count = 5, .model = example_model};
    int code;
    if (!csl_args_parse(cli, &demo_spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, demo(cli, &o));
}
