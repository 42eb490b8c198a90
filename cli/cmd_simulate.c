/* consilium simulate, consilium demo: a whole consortium on this machine, every role a process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/federation.h"

struct options {
    const char *model, *labels, *normalize, *interval, *reveal, *npy, *dir, *wait, *data;
    struct csl_list images;
    uint64_t parties, count, batch, frac_bits;
    bool keep;
};

/* ---- Shared ---- */

enum { ARGS_MAX = 60, NUMBER_TEXT = 24 };

struct args { /* a command line under construction */
    const char *at[ARGS_MAX];
    size_t n;
    char numbers[4][NUMBER_TEXT];
    size_t n_numbers;
};

static void add(struct args *a, const char *word) {
    if (a->n + 1 < ARGS_MAX) {
        a->at[a->n++] = word;
        a->at[a->n] = NULL;
    }
}

static void add_option(struct args *a, const char *name, const char *value) {
    if (value != NULL) {
        add(a, name);
        add(a, value);
    }
}

static void add_number(struct args *a, const char *name, uint64_t value) {
    if (value != 0 && a->n_numbers < 4) {
        char *text = a->numbers[a->n_numbers++];
        (void)snprintf(text, NUMBER_TEXT, "%llu", (unsigned long long)value);
        add_option(a, name, text);
    }
}

static enum csl_err share_model(struct csl_cli *cli, struct csl_federation *fed, const struct options *o) {
    struct args a = {.n = 0};
    add(&a, "model");
    add(&a, "share");
    add(&a, o->model);
    add_option(&a, "--name", "network");
    add_option(&a, "--normalize", o->normalize);
    add_option(&a, "--interval", o->interval);
    add_number(&a, "--frac-bits", o->frac_bits);
    add(&a, "--json");
    json_t *doc = NULL;
    enum csl_err err = csl_federation_run(fed, &doc, CSL_FEDERATION_OWNER, a.at, &cli->diag);
    json_decref(doc);
    return err;
}

static void infer_args(struct args *a, const struct options *o) {
    add(a, "infer");
    add_option(a, "--model", "network");
    for (size_t i = 0; i < o->images.n; i++) {
        add_option(a, "--images", o->images.items[i]);
    }
    add_option(a, "--npy", o->npy);
    add_option(a, "--labels", o->labels);
    add_option(a, "--compare", o->model);
    add_option(a, "--reveal", o->reveal);
    add_number(a, "--count", o->count);
    add_number(a, "--batch", o->batch);
}

/* Before a minute of key making: files must be there (relative paths are the caller's). */
static enum csl_err check_options(struct csl_cli *cli, const struct options *o) {
    if (o->reveal != NULL && strcmp(o->reveal, "logits") != 0 && strcmp(o->reveal, "label") != 0) {
        return csl_fail(&cli->diag, CSL_EUSAGE, "--reveal is logits or label, not \"%.40s\"", o->reveal);
    }
    const char *files[CSL_LIST_MAX + 2];
    size_t n = 0;
    files[n++] = o->model;
    if (o->labels != NULL) {
        files[n++] = o->labels;
    }
    for (size_t i = 0; i < o->images.n; i++) {
        files[n++] = o->images.items[i];
    }
    for (size_t i = 0; i < n; i++) {
        if (access(files[i], R_OK) != 0) {
            return csl_fail(&cli->diag, CSL_ENOINPUT, "%s: cannot be read", files[i]);
        }
    }
    return CSL_OK;
}

static enum csl_err start(struct csl_federation **fed, struct csl_cli *cli, const struct options *o) {
    TRY(check_options(cli, o));
    struct csl_federation_options fo = {.n_parties = (unsigned)o->parties,
                                        .model = "network",
                                        .dir = o->dir,
                                        .max_batch = (uint32_t)(o->batch > 256 ? o->batch : 256),
                                        .wait = o->wait};
    return csl_federation_start(fed, &fo, &cli->diag);
}

/* ---- simulate ---- */

static const struct csl_opt simulate_opts[] = {
    CSL_UINT(struct options, parties, "parties", "N", 2, 16, "computing parties; default 3"),
    CSL_STRING(struct options, model, "model", "MODEL", true,
               "the network: ONNX, or Keras where that is built in"),
    CSL_LIST(struct options, images, "images", "FILE", true,
             "IDX, PGM, PPM, PNG, .npy (repeatable; gzip too)"),
    CSL_STRING(struct options, npy, "npy", "images|features", false, "how a two-dimensional .npy is meant"),
    CSL_STRING(struct options, labels, "labels", "FILE", false, "IDX labels"),
    CSL_STRING(struct options, normalize, "normalize", "HOW", false,
               "raw, unit, centered, mnist, or none with --interval; default: unit"),
    CSL_STRING(struct options, interval, "interval", "LO:HI", false, "range of the inputs, with none"),
    CSL_STRING(struct options, reveal, "reveal", "logits|label", false,
               "label: the client learns the class and nothing else; default: logits"),
    CSL_UINT(struct options, count, "count", "N", 1, 1u << 24, "only the first N images"),
    CSL_UINT(struct options, batch, "batch", "N", 1, 65536, "images in one pass; default 1"),
    CSL_UINT(struct options, frac_bits, "frac-bits", "N", 4, 20, "fractional bits; default 16"),
    CSL_STRING(struct options, wait, "wait", "spin|block", false, "how parties wait; default: block"),
    CSL_STRING(struct options, dir, "dir", "DIR", false, "keep the sites, logs and keys in this new folder"),
    CSL_OPTS_END};
static const struct csl_spec simulate_spec = {
    .name = "simulate",
    .synopsis = "--parties N --model MODEL --images FILE [--labels FILE] [--normalize HOW] [--count K] "
                "[--batch B] [--reveal label] [--json]",
    .text = "Issues keys and certificates, starts N parties and the dealer as processes that speak TLS on "
            "loopback, shares the\n"
            "model, runs the images through it and compares every output with the plaintext network.",
    .opts = simulate_opts,
    .has_json = true};

static void print_simulation(json_t *doc) {
    const char *key;
    json_t *value;
    json_object_foreach(doc, key, value) {
        char *text =
            json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        (void)printf("%-26s %s\n", key, text != NULL ? text : json_string_value(value));
        free(text);
    }
}

static enum csl_err simulate(struct csl_cli *cli, const struct options *o) {
    struct csl_federation *fed;
    TRY(start(&fed, cli, o));
    json_t *doc = NULL, *rss = json_object();
    enum csl_err err = share_model(cli, fed, o);
    if (err == CSL_OK) {
        struct args a = {.n = 0};
        infer_args(&a, o);
        add(&a, "--quiet");
        add(&a, "--json");
        err = csl_federation_run(fed, &doc, CSL_FEDERATION_CLIENT, a.at, &cli->diag);
    }
    csl_federation_stop(fed, rss);
    if (err == CSL_OK) {
        (void)json_object_set(doc, "peak_rss_kib", rss);
        if (cli->json) {
            err = csl_cli_print_json(cli, json_incref(doc));
        } else {
            print_simulation(doc);
        }
    }
    json_decref(rss);
    json_decref(doc);
    return err;
}

int cmd_simulate(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {.parties = 3, .batch = 1, .normalize = "unit"};
    int code;
    if (!csl_args_parse(cli, &simulate_spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, simulate(cli, &o));
}

/* ---- demo ---- */

static const struct csl_opt demo_opts[] = {
    CSL_UINT(struct options, parties, "parties", "N", 2, 16, "hospitals; default 3"),
    CSL_UINT(struct options, count, "count", "N", 1, 1000, "digits; default 5"),
    CSL_STRING(struct options, data, "data", "DIR", false,
               "where real MNIST is looked for; default: data/mnist"),
    CSL_STRING(struct options, dir, "dir", "DIR", false, "keep the sites, logs and keys in this new folder"),
    CSL_OPTS_END};
static const struct csl_spec demo_spec = {
    .name = "demo",
    .synopsis = "[--parties N] [--count N] [--data DIR]",
    .text = "Hospitals on this machine classify handwritten digits that none of them sees. Run it from the "
            "project's folder:\n"
            "it shows real MNIST where that is present (make mnist), else the project's own drawn digits.",
    .opts = demo_opts};

static const char example_model[] = "examples/mnist/mnist_a.onnx";

static void find_digits(struct options *o, char images[1024], char labels[1024]) {
    const char *dir = o->data != NULL ? o->data : "data/mnist";
    (void)snprintf(images, 1024, "%s/t10k-images-idx3-ubyte.gz", dir);
    (void)snprintf(labels, 1024, "%s/t10k-labels-idx1-ubyte.gz", dir);
    if (access(images, R_OK) == 0 && access(labels, R_OK) == 0) {
        (void)printf("Digits: real MNIST (%s).\n", dir);
    } else {
        (void)snprintf(images, 1024, "examples/mnist/digits-images-idx3-ubyte");
        (void)snprintf(labels, 1024, "examples/mnist/digits-labels-idx1-ubyte");
        (void)printf(
            "Digits: drawn for this project (examples/mnist); `make mnist` fetches the real ones.\n");
    }
    o->images.items[o->images.n++] = images;
    o->labels = labels;
}

static enum csl_err demo(struct csl_cli *cli, struct options *o) {
    char images[1024], labels[1024];
    find_digits(o, images, labels);
    (void)printf("Making keys and certificates, starting %llu hospitals and a dealer ...\n",
                 (unsigned long long)o->parties);
    (void)fflush(stdout);
    struct csl_federation *fed;
    TRY(start(&fed, cli, o));
    (void)printf("Each is a process of its own; they speak TLS 1.3 with certificates on both sides.\n"
                 "The model's owner shares the network (%s): each hospital gets numbers that by themselves "
                 "are noise.\n",
                 o->model);
    (void)fflush(stdout);
    enum csl_err err = share_model(cli, fed, o);
    if (err == CSL_OK) {
        (void)printf("A clinic shares the digits in the same way. What each hospital got of them:\n");
        (void)fflush(stdout);
        struct args a = {.n = 0};
        infer_args(&a, o);
        add(&a, "--show");
        err = csl_federation_run(fed, NULL, CSL_FEDERATION_CLIENT, a.at, &cli->diag);
    }
    csl_federation_stop(fed, NULL);
    return err;
}

int cmd_demo(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {.parties = 3, .batch = 1, .count = 5, .normalize = "unit", .model = example_model};
    int code;
    if (!csl_args_parse(cli, &demo_spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, demo(cli, &o));
}
