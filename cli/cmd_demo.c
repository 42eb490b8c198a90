/* consilium demo: hospitals on this machine classify digits that none of them sees. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/federation.h"
#include "cli/run_args.h"

struct options {
    const char *data, *dir;
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

static enum csl_err start(struct csl_federation **fed, struct csl_cli *cli, const struct options *o) {
    struct csl_federation_options fo = {
        .n_parties = (unsigned)o->parties, .model = "network", .dir = o->dir, .max_batch = 256};
    return csl_federation_start(fed, &fo, &cli->diag);
}

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
    o->images = images;
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
        struct csl_run_args a = {.n = 0};
        csl_run_args_add(&a, "infer");
        csl_run_args_option(&a, "--model", "network");
        csl_run_args_option(&a, "--images", o->images);
        csl_run_args_option(&a, "--labels", o->labels);
        csl_run_args_option(&a, "--compare", o->model);
        csl_run_args_number(&a, "--count", o->count);
        csl_run_args_add(&a, "--show");
        err = csl_federation_run(fed, NULL, CSL_FEDERATION_CLIENT, a.at, &cli->diag);
    }
    csl_federation_stop(fed, NULL);
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
