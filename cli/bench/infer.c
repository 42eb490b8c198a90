/* consilium bench infer: one network, measured among real processes, beside the bound of this machine. */
#include "cli/bench/infer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/federation.h"
#include "cli/model/file.h"
#include "cli/run_args.h"
#include "crypto/prg.h"
#include "net/mesh_link.h"
#include "nn/image.h"

enum { PATH_ROOM = 1200, IMAGES_AT_ONCE = 4096 };

struct run {
    const struct csl_bench_infer *o;
    struct csl_diag *diag;
    struct csl_plan *plan;
    const struct csl_bench_profile *net;
    uint64_t count;           /* batches */
    struct csl_images images; /* of --images; count 0: none */
    enum csl_wait wait;
    enum csl_profile profile; /* the parties' choice, once they ran */
    struct csl_federation *fed;
    struct csl_bench_net *between;
    struct csl_bench_machine machine;
    struct csl_bench_offline offline;
    json_t *measured; /* one batch at a time */
    json_t *stream;   /* the same batches, announced ahead */
    json_t *rss;
};

/* ---- The plan ---- */

static enum csl_err compile(struct run *x) {
    struct csl_model_choice choice = {.frac_bits = x->o->frac_bits != 0 ? (unsigned)x->o->frac_bits : 16};
    TRY(csl_parse_normalization(&choice.input, x->o->normalize, x->o->interval, x->diag));
    struct csl_network *net = NULL;
    struct csl_issues issues = {0};
    struct csl_weights weights = {0};
    x->plan = calloc(1, sizeof *x->plan);
    enum csl_err err =
        x->plan == NULL ? CSL_ENOMEM : csl_model_file_import(&net, &issues, x->o->model, x->diag);
    if (err == CSL_OK) {
        err = csl_model_compile(x->plan, &weights, NULL, net, &choice, x->diag);
    }
    csl_weights_clear(&weights);
    csl_issues_clear(&issues);
    csl_network_free(net);
    return err;
}

/* Batches that take a second or a few. */
static uint64_t default_count(const struct run *x) {
    bool far = x->net != NULL && x->net->rtt_us > 5000;
    uint64_t batch = x->o->batch;
    return x->o->quick ? 3 : far ? 20 : batch >= 1024 ? 8 : batch >= 128 ? 24 : batch >= 16 ? 32 : 200;
}

static enum csl_err check(struct run *x) {
    const struct csl_bench_infer *o = x->o;
    uint32_t sign;
    if (o->net != NULL && strcmp(o->net, "loopback") != 0) {
        x->net = csl_bench_profile(o->net);
        if (x->net == NULL) {
            return csl_fail(x->diag, CSL_EUSAGE, "--net is loopback, lan or wan, not \"%.40s\"", o->net);
        }
    }
    if (!csl_wait_parse(&x->wait, o->wait)) {
        return csl_fail(x->diag, CSL_EUSAGE, "--wait is spin, auto or block, not \"%.40s\"", o->wait);
    }
    bool automatic;
    TRY(csl_profile_option(&automatic, &x->profile, o->profile, x->diag));
    if (!csl_roster_sign_parse(&sign, o->sign)) {
        return csl_fail(x->diag, CSL_EUSAGE, "--sign is after-output, before-output or off, not \"%.40s\"",
                        o->sign);
    }
    x->count = o->count != 0 ? o->count : default_count(x);
    return CSL_OK;
}

/* ---- Memory ---- */

/* Bytes that can be had without driving others out; 0: not known. */
static uint64_t available_memory(void) {
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL &&
           sscanf(line, "MemAvailable: %llu", &kib) != 1) {
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return (uint64_t)kib << 10;
}

/* A party that the kernel kills for its memory would say less. */
static enum csl_err check_memory(const struct run *x) {
    struct csl_cost c;
    unsigned n = (unsigned)x->o->parties;
    TRY(csl_plan_cost(x->plan, &c, n, (uint32_t)x->o->batch, x->profile, false));
    uint64_t need = n * (c.party_memory + c.ahead_memory) + c.dealer_memory + c.client_memory,
             have = available_memory();
    return have == 0 || need <= have
               ? CSL_OK
               : csl_fail(
                     x->diag, CSL_ENOMEM,
                     "%u parties, dealer and client need about %llu MiB for batches of %llu, and %llu MiB "
                     "are available: take a smaller --batch, or fewer parties",
                     n, (unsigned long long)(need >> 20), (unsigned long long)x->o->batch,
                     (unsigned long long)(have >> 20));
}

/* ---- Inputs ---- */

/* Floats as .npy: what --images names, again and again; else random ones, 0..255, or of the interval where
 * values are used as they are. */
static bool write_random(FILE *f, const struct run *x, uint64_t n) {
    static const uint8_t seed[CSL_SEED_BYTES] = {2};
    bool none = strcmp(x->o->normalize, "none") == 0;
    double lo = none ? x->plan->input.lo : 0, hi = none ? x->plan->input.hi : 255;
    uint64_t *raw = malloc(IMAGES_AT_ONCE * sizeof *raw);
    float *v = malloc(IMAGES_AT_ONCE * sizeof *v);
    struct csl_prg prg = {.path = NULL};
    bool ok = raw != NULL && v != NULL && csl_prg_init(&prg, seed) == CSL_OK;
    for (uint32_t stream = 0; ok && n > 0; stream++) {
        size_t here = n < IMAGES_AT_ONCE ? (size_t)n : IMAGES_AT_ONCE;
        ok = csl_prg_fill_u64(&prg, raw, here, stream, 16) == CSL_OK;
        for (size_t i = 0; i < here; i++) {
            v[i] = (float)(lo + (hi - lo) * (double)raw[i] / 65536.0);
        }
        ok = ok && fwrite(v, sizeof *v, here, f) == here;
        n -= here;
    }
    csl_prg_clear(&prg);
    free(raw);
    free(v);
    return ok;
}

static bool write_values(FILE *f, const struct run *x, const struct csl_images *given, uint64_t images) {
    size_t each = csl_plan_n_inputs(x->plan);
    bool ok = true;
    if (given->count == 0) {
        return write_random(f, x, images * each);
    }
    for (uint64_t i = 0; i < images && ok; i++) {
        ok = fwrite(given->data + i % given->count * each, sizeof(float), each, f) == each;
    }
    return ok;
}

static enum csl_err write_inputs(const struct run *x, const struct csl_images *given, const char *path) {
    enum { HEADER = 128, MAGIC = 10 };
    char head[HEADER + 1];
    uint64_t images = x->count * x->o->batch;
    memset(head, ' ', HEADER);
    memcpy(head, "\x93NUMPY\x01\x00\x76\x00", MAGIC); /* version 1.0, 118 more bytes of header */
    int n = snprintf(head + MAGIC, sizeof head - MAGIC,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (%llu, 1, %llu), }",
                     (unsigned long long)images, (unsigned long long)csl_plan_n_inputs(x->plan));
    head[MAGIC + n] = ' ';
    head[HEADER - 1] = '\n';
    FILE *f = fopen(path, "wxe");
    bool ok = f != NULL && fwrite(head, HEADER, 1, f) == 1 && write_values(f, x, given, images);
    ok = f != NULL && fclose(f) == 0 && ok;
    return ok ? CSL_OK : csl_fail(x->diag, CSL_ECREATE, "%s: cannot be written", path);
}

/* Before anything is measured: what is named must be there, and fit. */
static enum csl_err load_images(struct run *x) {
    const struct csl_list *files = &x->o->images;
    struct csl_image_options opt = {.max_count = (size_t)(x->count * x->o->batch),
                                    .npy_shape = CSL_NPY_FEATURES};
    if (files->n == 0) {
        return CSL_OK;
    }
    TRY(csl_images_load(&x->images, files->items, files->n, &opt, x->diag));
    size_t each = csl_images_stride(&x->images), want = csl_plan_n_inputs(x->plan);
    return each == want
               ? CSL_OK
               : csl_fail(x->diag, CSL_EDATA,
                          "%s: %zu values an input; the network %s takes %zu: name images of its size",
                          files->items[0], each, x->o->model, want);
}

/* ---- The consortium ---- */

static enum csl_err through(void *arg, uint16_t *via, const uint16_t *ports, size_t n,
                            struct csl_diag *diag) {
    struct run *x = arg;
    return csl_bench_net_start(&x->between, x->net, via, ports, n, diag);
}

static enum csl_err start(struct run *x) {
    struct csl_audit_policy audit = {.views_mib = 256, .colluding = 1};
    (void)csl_roster_sign_parse(&audit.sign, x->o->sign);
    if (x->o->keys != NULL && mkdir(x->o->keys, 0700) != 0 && errno != EEXIST) {
        return csl_fail(x->diag, CSL_ECREATE, "%s: %s", x->o->keys, strerror(errno));
    }
    struct csl_federation_options fo = {.n_parties = (unsigned)x->o->parties,
                                        .model = "network",
                                        .max_batch = (uint32_t)(x->o->batch > 256 ? x->o->batch : 256),
                                        .wait = x->o->wait,
                                        .profile = x->o->profile,
                                        .threads = (uint32_t)x->o->threads,
                                        .keys = x->o->keys,
                                        .audit = &audit,
                                        .via = x->net != NULL ? through : NULL,
                                        .via_arg = x};
    return csl_federation_start(&x->fed, &fo, x->diag);
}

enum csl_err csl_bench_share(struct csl_federation *fed, const struct csl_bench_model *m,
                             struct csl_diag *diag) {
    struct csl_run_args a = {.n = 0};
    json_t *doc = NULL;
    csl_run_args_add(&a, "model");
    csl_run_args_add(&a, "share");
    csl_run_args_add(&a, m->path);
    csl_run_args_option(&a, "--name", "network");
    csl_run_args_option(&a, "--normalize", m->normalize);
    csl_run_args_option(&a, "--interval", m->interval);
    csl_run_args_number(&a, "--frac-bits", m->frac_bits);
    csl_run_args_add(&a, "--json");
    enum csl_err err = csl_federation_run(fed, &doc, CSL_FEDERATION_OWNER, a.at, diag);
    json_decref(doc);
    return err;
}

static enum csl_err share(struct run *x) {
    struct csl_bench_model m = {x->o->model, x->o->normalize, x->o->interval, x->o->frac_bits};
    return csl_bench_share(x->fed, &m, x->diag);
}

static enum csl_err ask(struct run *x, json_t **doc, const char *inputs, bool one_by_one) {
    struct csl_run_args a = {.n = 0};
    csl_run_args_add(&a, "infer");
    csl_run_args_option(&a, "--model", "network");
    csl_run_args_option(&a, "--images", inputs);
    csl_run_args_number(&a, "--count", x->count * x->o->batch);
    csl_run_args_number(&a, "--batch", x->o->batch);
    if (one_by_one) {
        csl_run_args_add(&a, "--one-by-one");
    }
    csl_run_args_add(&a, "--quiet");
    csl_run_args_add(&a, "--json");
    return csl_federation_run(x->fed, doc, CSL_FEDERATION_CLIENT, a.at, x->diag);
}

/* The latency of a batch as a client has it that has one thing to ask; then what a stream of them reaches. */
static enum csl_err infer(struct run *x) {
    char inputs[PATH_ROOM];
    (void)snprintf(inputs, sizeof inputs, "%s/inputs.npy", csl_federation_dir(x->fed));
    TRY(write_inputs(x, &x->images, inputs));
    TRY(ask(x, &x->measured, inputs, true));
    const char *profile = json_string_value(json_object_get(x->measured, "profile"));
    TRY(csl_profile_parse(&x->profile, profile != NULL ? profile : "", x->diag));
    return ask(x, &x->stream, inputs, false);
}

/* ---- The report ---- */

static double number(const struct run *x, const char *key) {
    return json_number_value(json_object_get(x->measured, key));
}

/* Of a batch, what infer says of an inference: all batches are equal. */
static json_int_t a_batch(const struct run *x, const char *key) {
    return llround(number(x, key) * (double)x->o->batch);
}

static json_t *workload_json(const struct run *x) {
    const struct csl_bench_infer *o = x->o;
    return json_pack("{s:s, s:i, s:i, s:i, s:s, s:s, s:s, s:s}", "model", o->model, "parties",
                     (int)o->parties, "batch", (int)o->batch, "batches", (int)x->count, "net",
                     x->net != NULL ? x->net->name : "loopback", "wait", o->wait, "sign", o->sign, "profile",
                     csl_profile_name(x->profile));
}

static json_t *offline_json(const struct run *x) {
    const struct csl_bench_offline *f = &x->offline;
    return json_pack("{s:f, s:f, s:f, s:I}", "dealer_inferences_per_s", f->dealer_per_s,
                     "party_inferences_per_s", f->party_per_s, "last_party_inferences_per_s",
                     f->last_party_per_s, "correction_bytes", (json_int_t)f->correction_bytes);
}

/* What the parties do: whoever polls sleeps after a while, and --wait auto may do either. */
static enum csl_bench_way own_way(enum csl_wait wait) {
    return wait == CSL_WAIT_BLOCK ? CSL_BENCH_BLOCK : CSL_BENCH_BEST;
}

static json_t *report(const struct run *x, const struct csl_bench_work *work) {
    struct csl_bench_bound best = csl_bench_bound_of(&x->machine, work, CSL_BENCH_BEST),
                           own = csl_bench_bound_of(&x->machine, work, own_way(x->wait));
    const json_t *online = json_object_get(x->measured, "online_ms");
    double batch = (double)x->o->batch, median = json_number_value(json_object_get(online, "median"));
    json_t *doc = json_pack(
        "{s:s, s:o, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:f, s:f}", "version",
        CSL_VERSION, "workload", workload_json(x), "profile", csl_profile_name(x->profile), "median_ms",
        median, "p95_ms", json_number_value(json_object_get(online, "p95")), "bound_ms", best.bound_ms,
        "ratio", median / best.bound_ms, "bound_same_wait_ms", own.bound_ms, "ratio_same_wait",
        median / own.bound_ms, "images_per_s", batch * 1e3 / median, "sustained_images_per_s",
        json_number_value(json_object_get(x->stream, "images_per_s")), "rounds",
        (json_int_t)number(x, "rounds"), "bytes_per_party", a_batch(x, "online_bytes_per_party"),
        "bytes_per_link", a_batch(x, "online_bytes_per_link"), "client_ms", number(x, "client_ms"),
        "setup_ms", number(x, "setup_ms"));
    if (doc != NULL) {
        (void)json_object_set_new(doc, "one_by_one_images_per_s", json_real(number(x, "images_per_s")));
        (void)json_object_set_new(doc, "offline", offline_json(x));
        (void)json_object_set(doc, "peak_rss_kib", x->rss);
        (void)json_object_set_new(doc, "bound", csl_bench_bound_json(&x->machine, work, &best));
        (void)json_object_set_new(doc, "bound_same_wait", csl_bench_bound_json(&x->machine, work, &own));
        (void)json_object_set_new(doc, "machine", csl_bench_machine_json(&x->machine));
    }
    return doc;
}

/* ---- All of it ---- */

static enum csl_err measure_machine(struct run *x, const struct csl_bench_work *work) {
    unsigned n = (unsigned)x->o->parties;
    if (x->o->cpu != NULL) {
        x->machine.cpu = *x->o->cpu;
        TRY(csl_bench_rounds_measure(&x->machine.rounds, n, x->o->quick, x->diag));
    } else {
        TRY(csl_bench_machine_measure(&x->machine, n, x->o->quick, x->diag));
    }
    x->machine.cpu.weights_bytes_per_s =
        work->weight_bytes != 0 ? csl_bench_read_rate(work->weight_bytes, x->o->quick) : 0;
    return CSL_OK;
}

static enum csl_err measure_again(struct run *x, const struct csl_bench_work *work) {
    TRY(csl_bench_machine_again(&x->machine, x->o->quick, x->diag));
    double rate = work->weight_bytes != 0 ? csl_bench_read_rate(work->weight_bytes, x->o->quick) : 0;
    if (rate > x->machine.cpu.weights_bytes_per_s) {
        x->machine.cpu.weights_bytes_per_s = rate;
    }
    return CSL_OK;
}

static enum csl_err run_all(struct run *x, struct csl_bench_work *work) {
    TRY(check(x));
    TRY(compile(x));
    TRY(check_memory(x));
    TRY(load_images(x));
    unsigned n = (unsigned)x->o->parties;
    TRY(csl_bench_work_of(work, x->plan, n, (uint32_t)x->o->batch, x->profile));
    TRY(measure_machine(x, work)); /* takes the weights from it, which both profiles share */
    TRY(start(x));
    TRY(share(x));
    TRY(infer(x));
    csl_federation_stop(x->fed, x->rss);
    x->fed = NULL;
    TRY(measure_again(x, work));
    TRY(csl_bench_work_of(work, x->plan, n, (uint32_t)x->o->batch, x->profile));
    work->net = x->net;
    return csl_bench_offline(&x->offline, x->plan, x->profile, n, x->o->quick, x->diag);
}

enum csl_err csl_bench_infer(json_t **doc, const struct csl_bench_infer *o, struct csl_diag *diag) {
    struct run x = {.o = o, .diag = diag, .rss = json_object()};
    struct csl_bench_work work;
    enum csl_err err = run_all(&x, &work);
    csl_federation_stop(x.fed, x.rss);
    csl_bench_net_stop(x.between);
    *doc = err == CSL_OK ? report(&x, &work) : NULL;
    if (err == CSL_OK && *doc == NULL) {
        err = CSL_ENOMEM;
    }
    json_decref(x.measured);
    json_decref(x.stream);
    json_decref(x.rss);
    csl_images_clear(&x.images);
    free(x.plan);
    return err;
}
