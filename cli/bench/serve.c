/* consilium bench serve: a federation under the load of more and more concurrent clients. */
#include "cli/bench/serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/bench/infer.h"
#include "cli/federation.h"
#include "cli/infer_run.h"
#include "cli/run_args.h"
#include "crypto/prg.h"
#include "roles/lane/lane.h"

enum { INPUTS_MAX = 4096, SAMPLES = 2, LANES_BESIDE = 4 };

/* A step that gains less than this on the best before, twice in a row, is past saturation. */
static const double GAIN = 1.05;

struct run {
    const struct csl_bench_serve *o;
    struct csl_diag *diag;
    unsigned clients[CSL_SERVE_STEPS_MAX];
    size_t n_clients;
    struct csl_federation *fed;
    struct csl_context ctx;
    struct csl_serve_load load;
    struct csl_plan plan;
    float *x;
    struct csl_serve_step idle_own, idle_shared;
    struct csl_serve_step steps[CSL_SERVE_STEPS_MAX];
    size_t n_steps;
    struct csl_comparison checked;
    size_t n_checked;
    json_t *rss;
};

/* ---- Options ---- */

static enum csl_err parse_clients(struct run *x) {
    const char *at = x->o->clients != NULL ? x->o->clients : "1,2,4,8,16,32";
    unsigned most = x->o->own ? CSL_SERVE_CLIENTS_MAX : CSL_GUESTS_MAX;
    for (; *at != '\0' && x->n_clients < CSL_SERVE_STEPS_MAX; x->n_clients++) {
        char *end;
        unsigned long n = strtoul(at, &end, 10);
        if (end == at || (*end != '\0' && (*end != ',' || end[1] == '\0')) || n == 0 || n > most) {
            break;
        }
        x->clients[x->n_clients] = (unsigned)n;
        at = *end == ',' ? end + 1 : end;
    }
    return *at == '\0' && x->n_clients != 0
               ? CSL_OK
               : csl_fail(x->diag, CSL_EUSAGE,
                          "--clients is a list of at most %d numbers from 1 to %u, \"1,2,4\", not \"%.60s\"",
                          CSL_SERVE_STEPS_MAX, most, x->o->clients != NULL ? x->o->clients : "");
}

static enum csl_err check(struct run *x) {
    const struct csl_bench_serve *o = x->o;
    uint32_t sign;
    if (o->own && o->shared) {
        return csl_fail(x->diag, CSL_EUSAGE, "--shared or --own, not both");
    }
    if (o->site == NULL && (o->compare != NULL || o->roster != NULL)) {
        return csl_fail(x->diag, CSL_EUSAGE, "--compare and --roster go with --site");
    }
    if (strcmp(o->wait, "spin") != 0 && strcmp(o->wait, "block") != 0) {
        return csl_fail(x->diag, CSL_EUSAGE, "--wait is spin or block, not \"%.40s\"", o->wait);
    }
    if (!csl_roster_sign_parse(&sign, o->sign)) {
        return csl_fail(x->diag, CSL_EUSAGE, "--sign is after-output, before-output or off, not \"%.40s\"",
                        o->sign);
    }
    const char *file = o->site != NULL ? o->compare : o->model;
    if (file != NULL && access(file, R_OK) != 0) { /* now, not after all the work */
        return csl_fail(x->diag, CSL_ENOINPUT, "%s: %s", file, strerror(errno));
    }
    return parse_clients(x);
}

/* In a federation that runs, whose roster says how many places one client has. */
static enum csl_err fit_places(struct run *x) {
    uint32_t places = x->ctx.roster.limits.session_places_per_client;
    size_t n = 0;
    while (n < x->n_clients && (x->o->own || x->clients[n] <= places)) {
        n++;
    }
    if (n < x->n_clients && (x->o->clients != NULL || n == 0)) {
        return csl_fail(x->diag, CSL_EUSAGE,
                        "--clients %u: the roster gives one client %u places in a shared session "
                        "(limits.session_places_per_client); ask for fewer, or --own",
                        x->clients[n], places);
    }
    x->n_clients = n;
    return CSL_OK;
}

/* ---- The federation ---- */

static enum csl_err all_places(void *arg, struct csl_roster *r, const char *dir, struct csl_diag *diag) {
    (void)arg, (void)dir, (void)diag;
    r->limits.session_places_per_client = CSL_GUESTS_MAX;
    return CSL_OK;
}

static unsigned most_clients(const struct run *x) {
    unsigned most = 1;
    for (size_t i = 0; i < x->n_clients; i++) {
        most = x->clients[i] > most ? x->clients[i] : most;
    }
    return most;
}

static enum csl_err share(struct run *x) {
    struct csl_bench_model m = {x->o->model, x->o->normalize, x->o->interval, x->o->frac_bits};
    return csl_bench_share(x->fed, &m, x->diag);
}

static enum csl_err start(struct run *x) {
    const struct csl_bench_serve *o = x->o;
    struct csl_audit_policy audit = {.views_mib = 256, .colluding = 1};
    (void)csl_roster_sign_parse(&audit.sign, o->sign);
    if (o->keys != NULL && mkdir(o->keys, 0700) != 0 && errno != EEXIST) {
        return csl_fail(x->diag, CSL_ECREATE, "%s: %s", o->keys, strerror(errno));
    }
    struct csl_federation_options fo = {.n_parties = (unsigned)o->parties,
                                        .model = "network",
                                        .max_batch = (uint32_t)(o->batch > 256 ? o->batch : 256),
                                        .lanes = LANES_BESIDE + (o->own ? most_clients(x) : 0),
                                        .wait = o->wait,
                                        .profile = o->profile,
                                        .keys = o->keys,
                                        .roster = all_places,
                                        .audit = &audit};
    TRY(csl_federation_start(&x->fed, &fo, x->diag));
    TRY(share(x));
    char dir[1200];
    (void)snprintf(dir, sizeof dir, "%s/clinic", csl_federation_dir(x->fed));
    return csl_context_load(&x->ctx, dir, NULL, x->diag);
}

/* ---- Inputs ---- */

static enum csl_err make_inputs(struct run *x) {
    static const uint8_t seed[CSL_SEED_BYTES] = {3};
    size_t each = csl_plan_n_inputs(&x->plan);
    x->load.n_x = x->o->batch > INPUTS_MAX ? x->o->batch : INPUTS_MAX / x->o->batch * x->o->batch;
    size_t n = x->load.n_x * each;
    uint64_t *raw = calloc(n, sizeof *raw);
    x->x = calloc(n, sizeof *x->x);
    struct csl_prg prg = {.path = NULL};
    enum csl_err err = raw == NULL || x->x == NULL ? CSL_ENOMEM : csl_prg_init(&prg, seed);
    if (err == CSL_OK) {
        err = csl_prg_fill_u64(&prg, raw, n, 0, 16);
    }
    for (size_t i = 0; i < n && err == CSL_OK; i++) {
        x->x[i] =
            (float)(x->plan.input.lo + (x->plan.input.hi - x->plan.input.lo) * (double)raw[i] / 65536.0);
    }
    csl_prg_clear(&prg);
    free(raw);
    x->load.x = x->x;
    return err;
}

/* What is served, as a client learns it. */
static enum csl_err look(struct run *x) {
    const char *name = x->o->site != NULL ? x->o->model : "network";
    x->load = (struct csl_serve_load){.ctx = &x->ctx,
                                      .client = {.model = name,
                                                 .max_batch = (uint32_t)x->o->batch,
                                                 .reveal_label = csl_roster_label_only(&x->ctx.roster, name),
                                                 .shared = !x->o->own},
                                      .batch = (uint32_t)x->o->batch,
                                      .requests = x->o->requests,
                                      .seconds = (double)(x->o->seconds != 0 ? x->o->seconds
                                                          : x->o->quick      ? 1
                                                                             : 5),
                                      .warm_up = x->o->quick ? 1 : 5,
                                      .samples = SAMPLES};
    struct csl_client *c;
    TRY(csl_client_open(&c, &x->ctx, &x->load.client, x->diag));
    x->plan = *csl_client_plan(c);
    csl_client_close(c);
    return make_inputs(x);
}

/* ---- Steps ---- */

/* One request at a time and a pause after it, so that nothing of the last one is still being done. */
static enum csl_err idle(struct run *x, struct csl_serve_step *out, bool shared) {
    struct csl_serve_load alone = x->load;
    alone.client.shared = shared;
    alone.client.max_batch = alone.batch = 1;
    alone.n_clients = 1;
    alone.requests = x->o->quick ? 10 : 100;
    alone.pause_ms = 10;
    return csl_serve_run(out, &alone, x->diag);
}

static enum csl_err run_steps(struct run *x) {
    double best = 0;
    unsigned flat = 0;
    for (size_t i = 0; i < x->n_clients && (x->o->clients != NULL || flat < 2); i++) {
        struct csl_serve_step *s = &x->steps[i];
        x->load.n_clients = x->clients[i];
        TRY(csl_serve_run(s, &x->load, x->diag));
        x->n_steps = i + 1;
        double rate = (double)s->inferences / s->seconds;
        flat = rate < GAIN * best ? flat + 1 : 0;
        best = rate > best ? rate : best;
    }
    return CSL_OK;
}

/* ---- The sample against the plaintext ---- */

static size_t count_samples(const struct run *x) {
    size_t n = 0;
    for (size_t i = 0; i < x->n_steps; i++) {
        n += x->steps[i].n_samples;
    }
    return n;
}

static void copy_samples(struct csl_infer_result *r, struct csl_infer_inputs *in, const struct run *x) {
    size_t batch = x->o->batch, each = csl_plan_n_inputs(&x->plan), at = 0;
    for (size_t i = 0; i < x->n_steps; i++) {
        for (size_t k = 0; k < x->steps[i].n_samples; k++, at += batch) {
            const struct csl_serve_sample *s = &x->steps[i].samples[k];
            memcpy(in->images.data + at * each, x->x + s->first * each, batch * each * sizeof(float));
            memcpy(r->logits + at * r->n_outputs, s->logits, batch * r->n_outputs * sizeof(double));
            memcpy(r->classes + at, s->classes, batch * sizeof *r->classes);
        }
    }
}

static enum csl_err compare(struct run *x, const char *path) {
    size_t n = count_samples(x) * x->o->batch, each = csl_plan_n_inputs(&x->plan);
    struct csl_infer_result r = {
        .n = n, .n_outputs = csl_plan_n_outputs(&x->plan), .labels_only = x->load.client.reveal_label};
    struct csl_infer_inputs in = {
        .images = {.count = n, .channels = 1, .height = 1, .width = each, .data = NULL}};
    r.logits = calloc(n * r.n_outputs, sizeof *r.logits);
    r.classes = calloc(n, sizeof *r.classes);
    in.images.data = calloc(n * each, sizeof *in.images.data);
    enum csl_err err = CSL_ENOMEM;
    if (r.logits != NULL && r.classes != NULL && in.images.data != NULL) {
        copy_samples(&r, &in, x);
        err = csl_infer_compare(&x->checked, &r, &in, &x->plan, path, x->ctx.roster.n_parties, x->diag);
    }
    free(r.logits);
    free(r.classes);
    free(in.images.data);
    x->n_checked = n;
    return err == CSL_OK && !(x->checked.max_bound_use <= 1)
               ? csl_fail(x->diag, CSL_EPROTO,
                          "a result is off by %.2f times its bound: wrong outputs were served",
                          x->checked.max_bound_use)
               : err;
}

/* ---- The report ---- */

static json_t *optional(double v) {
    return v != 0 ? json_real(v) : json_null();
}

static json_t *step_json(const struct csl_serve_step *s, unsigned clients) {
    return json_pack("{s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "clients", (int)clients,
                     "requests", (json_int_t)s->requests, "seconds", s->seconds, "requests_per_s",
                     (double)s->requests / s->seconds, "inferences_per_s", (double)s->inferences / s->seconds,
                     "p50_ms", s->p50_ms, "p95_ms", s->p95_ms, "p99_ms", s->p99_ms, "max_ms", s->max_ms,
                     "online_p50_ms", s->online_p50_ms, "mean_batch_requests", optional(s->batch_requests),
                     "mean_batch_inferences", optional(s->batch_inferences));
}

static json_t *idle_json(const struct csl_serve_step *s) {
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "requests", (json_int_t)s->requests, "p50_ms",
                     s->p50_ms, "p95_ms", s->p95_ms, "p99_ms", s->p99_ms, "sent_p50_ms", s->sent_p50_ms,
                     "online_p50_ms", s->online_p50_ms);
}

static json_t *steps_json(const struct run *x, json_t **best) {
    json_t *list = json_array();
    double most = 0;
    for (size_t i = 0; i < x->n_steps; i++) {
        const struct csl_serve_step *s = &x->steps[i];
        double rate = (double)s->inferences / s->seconds;
        (void)json_array_append_new(list, step_json(s, x->clients[i]));
        if (rate > most) {
            most = rate;
            json_decref(*best);
            *best = json_pack("{s:i, s:f, s:f}", "clients", (int)x->clients[i], "requests_per_s",
                              (double)s->requests / s->seconds, "inferences_per_s", rate);
        }
    }
    return list;
}

static json_t *report(const struct run *x) {
    const struct csl_bench_serve *o = x->o;
    json_t *best = NULL, *steps = steps_json(x, &best);
    json_t *doc = json_pack(
        "{s:s, s:{s:s, s:i, s:i, s:s, s:s, s:s, s:s}, s:{s:o, s:o}, s:o, s:o}", "version", CSL_VERSION,
        "workload", "model", o->model, "parties", (int)x->ctx.roster.n_parties, "batch", (int)o->batch,
        "sessions", o->own ? "own" : "shared", "wait", o->site != NULL ? "theirs" : o->wait, "sign",
        csl_roster_sign_name((enum csl_roster_sign)x->ctx.roster.audit.sign), "profile",
        csl_profile_name(x->idle_own.profile), "idle", "own", idle_json(&x->idle_own), "shared",
        idle_json(&x->idle_shared), "steps", steps, "saturation", best != NULL ? best : json_null());
    if (doc != NULL && x->n_checked != 0) {
        (void)json_object_set_new(doc, "checked",
                                  json_pack("{s:I, s:f, s:I}", "inferences", (json_int_t)x->n_checked,
                                            "max_bound_use", x->checked.max_bound_use, "same_class_as_float",
                                            (json_int_t)x->checked.agree));
    }
    if (doc != NULL && x->fed == NULL && o->site == NULL) {
        (void)json_object_set(doc, "peak_rss_kib", x->rss);
    }
    return doc;
}

/* ---- All of it ---- */

static enum csl_err run_all(struct run *x) {
    const struct csl_bench_serve *o = x->o;
    TRY(check(x));
    TRY(o->site != NULL ? csl_context_load(&x->ctx, o->site, o->roster, x->diag) : start(x));
    TRY(fit_places(x));
    TRY(look(x));
    TRY(idle(x, &x->idle_own, false));
    TRY(idle(x, &x->idle_shared, true));
    TRY(run_steps(x));
    const char *path = o->site != NULL ? o->compare : o->model;
    return path != NULL ? compare(x, path) : CSL_OK;
}

enum csl_err csl_bench_serve(json_t **doc, const struct csl_bench_serve *o, struct csl_diag *diag) {
    struct run *x = calloc(1, sizeof *x);
    *doc = NULL;
    if (x == NULL) {
        return CSL_ENOMEM;
    }
    x->o = o;
    x->diag = diag;
    x->rss = json_object();
    enum csl_err err = run_all(x);
    csl_federation_stop(x->fed, x->rss);
    x->fed = NULL;
    if (err == CSL_OK) {
        *doc = report(x);
        err = *doc == NULL ? CSL_ENOMEM : CSL_OK;
    }
    for (size_t i = 0; i < x->n_steps; i++) {
        csl_serve_step_clear(&x->steps[i]);
    }
    csl_serve_step_clear(&x->idle_own);
    csl_serve_step_clear(&x->idle_shared);
    csl_comparison_clear(&x->checked);
    csl_context_free(&x->ctx);
    json_decref(x->rss);
    free(x->x);
    free(x);
    return err;
}
