/* consilium bench all: the table over networks, batches, parties and networks between them; a result file
 * that bench/compare reads, and plots. */
#include <errno.h>
#include <ftw.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/bench/infer.h"
#include "cli/bench/kernels.h"
#include "cli/bench/plot.h"
#include "cli/bench/relu.h"
#include "cli/bench/serve.h"
#include "cli/commands.h"
#include "cli/temp_folder.h"

#define DEFAULT_MODELS "examples/*/*.onnx"

struct options {
    struct csl_list models;
    const char *out, *normalize;
    bool quick;
};

struct all {
    struct csl_cli *cli;
    struct options o;
    char keys[512];
    struct csl_bench_cpu cpu;
    glob_t found; /* networks, where none are named */
    json_t *infer, *relu, *serve, *kernels;
};

/* ---- Which ---- */

#define PLAIN(N, B, NET, QUICK)                                                                              \
    { N, B, NET, "spin", "after-output", QUICK }
#define BATCHES(N, NET, QUICK)                                                                               \
    PLAIN(N, 1, NET, QUICK), PLAIN(N, 16, NET, false), PLAIN(N, 128, NET, false), PLAIN(N, 1024, NET, false)
static const struct workload {
    unsigned parties, batch;
    const char *net, *wait, *sign;
    bool quick; /* also with --quick */
} workloads[] = {
    BATCHES(2, "loopback", true),
    {2, 1, "loopback", "block", "after-output", true},
    {2, 1, "loopback", "auto", "after-output", true},
    {2, 1, "loopback", "spin", "before-output", true},
    BATCHES(3, "loopback", true),
    BATCHES(5, "loopback", false),
    BATCHES(8, "loopback", false),
    BATCHES(2, "lan", true),
    PLAIN(3, 1, "lan", false),
    PLAIN(5, 1, "lan", false),
    PLAIN(8, 1, "lan", false),
    BATCHES(2, "wan", true),
    PLAIN(3, 1, "wan", false),
    PLAIN(5, 1, "wan", false),
    PLAIN(8, 1, "wan", false),
};
enum { N_WORKLOADS = sizeof workloads / sizeof *workloads };

static const struct {
    unsigned count, parties;
    const char *wait;
    bool quick;
} relus[] = {{10000, 2, "spin", true},    {100000, 2, "spin", false},  {100000, 2, "block", false},
             {100000, 3, "spin", false},  {100000, 5, "spin", false},  {100000, 8, "spin", false},
             {1000000, 2, "spin", false}, {1000000, 3, "spin", false}, {1000000, 5, "spin", false},
             {1000000, 8, "spin", false}};
enum { N_RELUS = sizeof relus / sizeof *relus };

/* ---- One after the other ---- */

static double at(const json_t *doc, const char *key) {
    return json_number_value(json_object_get(doc, key));
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static double largest_party_mib(const json_t *doc) {
    const char *key;
    json_t *value;
    double most = 0;
    json_object_foreach(json_object_get(doc, "peak_rss_kib"), key, value) {
        if (strncmp(key, "hospital-", 9) == 0 && json_number_value(value) > most) {
            most = json_number_value(value);
        }
    }
    return most / 1024;
}

static void print_head(void) {
    (void)printf("%-16s %2s %5s %-8s %-5s %-6s | %10s %10s %10s %6s %6s | %9s %9s | %6s %11s | %9s %7s\n",
                 "model", "N", "batch", "net", "wait", "sign", "median, ms", "p95", "bound", "ratio", "own",
                 "images/s", "sustained", "rounds", "B a party", "dealer/s", "MiB");
}

static void print_row(const struct workload *w, const char *model, const json_t *doc, const char *error) {
    (void)printf("%-16.16s %2u %5u %-8s %-5s %-6.*s | ", base_name(model), w->parties, w->batch, w->net,
                 w->wait, (int)strcspn(w->sign, "-"), w->sign);
    if (doc == NULL) {
        (void)printf("%s\n", error);
    } else {
        (void)printf("%10.3f %10.3f %10.3f %6.2f %6.2f | %9.0f %9.0f | %6.0f %11.0f | %9.0f %7.0f\n",
                     at(doc, "median_ms"), at(doc, "p95_ms"), at(doc, "bound_ms"), at(doc, "ratio"),
                     at(doc, "ratio_same_wait"), at(doc, "images_per_s"), at(doc, "sustained_images_per_s"),
                     at(doc, "rounds"), at(doc, "bytes_per_party"),
                     at(json_object_get(doc, "offline"), "dealer_inferences_per_s"), largest_party_mib(doc));
    }
    (void)fflush(stdout);
}

/* One that cannot run here (memory, say) is a row that says why, and the next one goes on. */
static void run_one(struct all *a, const struct workload *w, const char *model) {
    struct csl_bench_infer o = {.model = model,
                                .normalize = a->o.normalize,
                                .net = w->net,
                                .wait = w->wait,
                                .sign = w->sign,
                                .parties = w->parties,
                                .batch = w->batch,
                                .count = strcmp(w->net, "wan") == 0 ? 10 : 0,
                                .quick = a->o.quick,
                                .keys = a->keys,
                                .cpu = &a->cpu};
    struct csl_diag diag = {""};
    json_t *doc;
    enum csl_err err = csl_bench_infer(&doc, &o, &diag);
    if (!a->cli->json) {
        print_row(w, model, doc, diag.text[0] != 0 ? diag.text : csl_err_text(err));
    }
    if (doc == NULL) {
        doc = json_pack("{s:{s:s, s:i, s:i, s:s, s:s, s:s}, s:s}", "workload", "model", model, "parties",
                        (int)w->parties, "batch", (int)w->batch, "net", w->net, "wait", w->wait, "sign",
                        w->sign, "error", diag.text);
    }
    (void)json_array_append_new(a->infer, doc);
}

static void run_relu(struct all *a, size_t i) {
    struct csl_bench_relu o = {.count = relus[i].count,
                               .parties = relus[i].parties,
                               .k = 24,
                               .f = 16,
                               .wait = relus[i].wait,
                               .quick = a->o.quick};
    struct csl_diag diag = {""};
    json_t *doc;
    enum csl_err err = csl_bench_relu(&doc, &o, &diag);
    if (!a->cli->json && err == CSL_OK) {
        (void)printf(
            "%7u ReLUs, N = %u, %-5s | %10.3f ms, %.1f ns each, bound %.3f ms, ratio %.2f, %.3f B each\n",
            relus[i].count, relus[i].parties, relus[i].wait, at(doc, "median_ms"), at(doc, "ns_each"),
            at(doc, "bound_ms"), at(doc, "ratio"), at(doc, "bytes_each"));
    } else if (!a->cli->json) {
        (void)printf("%7u ReLUs, N = %u, %-5s | %s\n", relus[i].count, relus[i].parties, relus[i].wait,
                     diag.text);
    }
    if (doc != NULL) {
        (void)json_array_append_new(a->relu, doc);
    }
    (void)fflush(stdout);
}

static void print_serve(const char *model, const json_t *doc, const char *error) {
    const json_t *idle = json_object_get(doc, "idle"), *best = json_object_get(doc, "saturation");
    (void)printf("%-16.16s served | ", base_name(model));
    if (doc == NULL) {
        (void)printf("%s\n", error);
    } else {
        (void)printf(
            "idle %.3f ms at the parties (a session of its own %.3f), most %.0f requests/s with %.0f "
            "clients\n",
            at(json_object_get(idle, "shared"), "online_p50_ms"),
            at(json_object_get(idle, "own"), "online_p50_ms"), at(best, "requests_per_s"),
            at(best, "clients"));
    }
    (void)fflush(stdout);
}

static void run_serve(struct all *a, const char *model) {
    struct csl_bench_serve o = {.model = model,
                                .normalize = a->o.normalize,
                                .wait = "block",
                                .sign = "after-output",
                                .keys = a->keys,
                                .clients = a->o.quick ? "1" : NULL,
                                .parties = 2,
                                .batch = 1,
                                .requests = a->o.quick ? 4 : 0,
                                .quick = a->o.quick};
    struct csl_diag diag = {""};
    json_t *doc;
    enum csl_err err = csl_bench_serve(&doc, &o, &diag);
    if (!a->cli->json) {
        print_serve(model, doc, diag.text[0] != 0 ? diag.text : csl_err_text(err));
    }
    if (doc == NULL) {
        doc = json_pack("{s:{s:s}, s:s}", "workload", "model", model, "error", diag.text);
    }
    (void)json_array_append_new(a->serve, doc);
}

/* ---- Files ---- */

static json_t *report(const struct all *a) {
    char date[32];
    time_t now = time(NULL);
    struct tm t;
    (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &t));
    return json_pack("{s:s, s:s, s:b, s:o, s:O, s:O, s:O, s:O}", "version", CSL_VERSION, "date", date,
                     "quick", (int)a->o.quick, "machine", csl_bench_cpu_json(&a->cpu), "infer", a->infer,
                     "relu", a->relu, "serve", a->serve, "kernels", a->kernels);
}

static enum csl_err write_files(const struct all *a, json_t *doc) {
    char path[1024];
    struct csl_diag *diag = &a->cli->diag;
    (void)snprintf(path, sizeof path, "%s/result.json", a->o.out);
    if (json_dump_file(doc, path, JSON_INDENT(1)) != 0) {
        return csl_fail(diag, CSL_ECREATE, "%s: %s", path, strerror(errno));
    }
    for (size_t i = 0; i < a->o.models.n; i++) {
        (void)snprintf(path, sizeof path, "%s/latency-%s.svg", a->o.out, base_name(a->o.models.items[i]));
        TRY(csl_bench_plot(path, a->infer, a->o.models.items[i], diag));
    }
    return CSL_OK;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

/* ---- The command ---- */

static enum csl_err find_models(struct all *a) {
    struct csl_list *models = &a->o.models;
    if (models->n == 0 && glob(DEFAULT_MODELS, 0, NULL, &a->found) == 0) {
        for (size_t i = 0; i < a->found.gl_pathc && models->n < CSL_LIST_MAX; i++) {
            models->items[models->n++] = a->found.gl_pathv[i];
        }
    }
    return models->n != 0 ? CSL_OK
                          : csl_fail(&a->cli->diag, CSL_ENOINPUT,
                                     DEFAULT_MODELS ": none are here; name networks with --model");
}

static enum csl_err prepare(struct all *a) {
    TRY(find_models(a));
    for (size_t i = 0; i < a->o.models.n; i++) {
        if (access(a->o.models.items[i], R_OK) != 0) {
            return csl_fail(&a->cli->diag, CSL_ENOINPUT, "%s: %s; name networks with --model",
                            a->o.models.items[i], strerror(errno));
        }
    }
    if (a->o.out != NULL && mkdir(a->o.out, 0777) != 0 && errno != EEXIST) {
        return csl_fail(&a->cli->diag, CSL_ECREATE, "%s: %s", a->o.out, strerror(errno));
    }
    TRY(csl_temp_folder(a->keys, sizeof a->keys, NULL, &a->cli->diag));
    a->infer = json_array();
    a->relu = json_array();
    a->serve = json_array();
    return CSL_OK;
}

static enum csl_err run_all(struct all *a) {
    TRY(prepare(a));
    csl_bench_cpu_measure(&a->cpu, a->o.quick);
    if (!a->cli->json) {
        print_head();
    }
    for (size_t m = 0; m < a->o.models.n; m++) {
        for (size_t i = 0; i < N_WORKLOADS; i++) {
            if (!a->o.quick || workloads[i].quick) {
                run_one(a, &workloads[i], a->o.models.items[m]);
            }
        }
        run_serve(a, a->o.models.items[m]);
    }
    for (size_t i = 0; i < N_RELUS; i++) {
        if (!a->o.quick || relus[i].quick) {
            run_relu(a, i);
        }
    }
    a->kernels = csl_bench_kernels(a->o.quick);
    json_t *doc = report(a);
    enum csl_err err = doc == NULL ? CSL_ENOMEM : a->o.out != NULL ? write_files(a, doc) : CSL_OK;
    if (err == CSL_OK && a->cli->json) {
        err = csl_cli_print_json(a->cli, json_incref(doc));
    }
    json_decref(doc);
    return err;
}

static const struct csl_opt opts[] = {
    CSL_LIST(struct all, o.models, "model", "MODEL", false, "repeatable; default: " DEFAULT_MODELS),
    CSL_STRING(struct all, o.normalize, "normalize", "HOW", false,
               "raw, unit, centered or mnist; default: unit"),
    CSL_STRING(struct all, o.out, "out", "DIR", false, "result.json and latency-MODEL.svg go there"),
    CSL_FLAG(struct all, o.quick, "quick", "some of the workloads, a few batches each"), CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "bench all",
    .synopsis = "[--model MODEL]... [--quick] [--out DIR] [--json]",
    .text = "Runs the workloads of docs/performance.md one after the other: networks at batch 1, 16, 128 and "
            "1024, among 2,\n"
            "3, 5 and 8 parties, on loopback and over the lan and wan profiles; each served to concurrent "
            "clients; ReLUs;\n"
            "kernels. Without --model the networks of examples/; others are named. Takes many minutes a "
            "network; other work\n"
            "on the machine shows. bench/compare puts two result files side by side.",
    .opts = opts,
    .has_json = true};

int cmd_bench_all(struct csl_cli *cli, int argc, char **argv) {
    struct all *a = calloc(1, sizeof *a);
    int code;
    if (a == NULL) {
        return csl_cli_finish(cli, CSL_ENOMEM);
    }
    a->cli = cli;
    a->o.normalize = "unit";
    if (csl_args_parse(cli, &spec, a, NULL, argc, argv, &code)) {
        code = csl_cli_finish(cli, run_all(a));
        if (a->infer != NULL) { /* then the folder of keys is there */
            (void)nftw(a->keys, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        }
        json_decref(a->infer);
        json_decref(a->relu);
        json_decref(a->serve);
        json_decref(a->kernels);
    }
    globfree(&a->found);
    free(a);
    return code;
}
