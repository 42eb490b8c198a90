#include "world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

void must(enum csl_err err, const struct csl_diag *diag, const char *what) {
    if (err != CSL_OK) {
        fail_msg("%s: %s: %s", what, csl_err_name(err), diag->text);
    }
}

/* One of the alternatives of word is in text. */
static bool holds(const char *text, const char *word) {
    char list[200];
    assert_true(strlen(word) < sizeof list);
    (void)snprintf(list, sizeof list, "%s", word);
    char *rest = list;
    for (char *one; (one = strsep(&rest, "|")) != NULL;) {
        if (strstr(text, one) != NULL) {
            return true;
        }
    }
    return false;
}

void failed_as(enum csl_err err, const struct csl_diag *diag, enum csl_err want, enum csl_err want2,
               const char *const *words) {
    if (err != want && (want2 == CSL_OK || err != want2)) {
        fail_msg("%s instead of %s: %s", csl_err_name(err), csl_err_name(want), diag->text);
    }
    for (; *words != NULL; words++) {
        if (!holds(diag->text, *words)) {
            fail_msg("\"%s\" is not in: %s", *words, diag->text);
        }
    }
}

/* ---- The consortium ---- */

struct csl_federation_options world_options(unsigned n_parties) {
    return (struct csl_federation_options){.n_parties = n_parties,
                                           .model = MODEL,
                                           .max_batch = WORLD_MAX_BATCH,
                                           .profile = "lan", /* a busy machine may look like a far one */
                                           .program = CSL_PROGRAM,
                                           .keys = CSL_TEST_KEYS};
}

struct csl_timeouts quick_timeouts(void) {
    struct csl_roster r = {0};
    csl_roster_defaults(&r);
    r.timeouts.connect_ms = r.timeouts.handshake_ms = 2000;
    r.timeouts.heartbeat_ms = 100;
    r.timeouts.dead_ms = 1000;
    return r.timeouts;
}

void world_path(char out[1024], const struct world *w, const char *site, const char *file) {
    (void)snprintf(out, 1024, "%s/%s/%s", csl_federation_dir(w->fed), site, file);
}

void world_context(struct csl_context *ctx, const struct world *w, const char *site) {
    char dir[1024];
    struct csl_diag diag = {""};
    (void)snprintf(dir, sizeof dir, "%s/%s", csl_federation_dir(w->fed), site);
    must(csl_context_load(ctx, dir, NULL, &diag), &diag, site);
}

void world_open_unshared(struct world *w, const struct csl_federation_options *opt) {
    struct csl_diag diag = {""};
    memset(w, 0, sizeof *w);
    w->n = opt->n_parties;
#ifdef __SANITIZE_ADDRESS__
    /* Of some fifty daemons that end, one hangs in LeakSanitizer's own tracer (seen with gcc 12); this
     * process is still checked, and ASAN_OPTIONS=detect_leaks=1 checks the daemons too. */
    (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 0);
#endif
    struct model m;
    model_init(&m, 13);
    model_input(&m, "x", DIMS(-1, N_IN));
    net_tensors(&m, ONNX_FLOAT, true, false);
    model_node(&m, "Gemm", "hidden", "x,w1,b1", "z");
    model_node(&m, "Relu", "relu", "z", "h");
    model_node(&m, "Gemm", "out", "h,w2,b2", "y");
    model_output(&m, "y");
    struct csl_plan_options po = csl_plan_options_default();
    po.input = (struct csl_normalization){CSL_NORMALIZE_CENTERED, -1.0, 1.0};
    po.frac_bits = 15; /* so that a packed input does not end with a byte (see bad_inputs) */
    w->net = compile_net_with(model_finish(&m), &po);
    must(csl_federation_start(&w->fed, opt, &diag), &diag, "start");
    world_context(&w->owner, w, "model-owner");
    world_context(&w->clinic, w, "clinic");
}

void world_share(struct world *w) {
    struct csl_diag diag = {""};
    uint8_t digest[CSL_DIGEST_BYTES];
    must(csl_owner_share(digest, &w->owner, MODEL, &w->net->plan, &w->net->weights, &diag), &diag, "share");
}

void world_open(struct world *w, const struct csl_federation_options *opt) {
    world_open_unshared(w, opt);
    world_share(w);
}

static void print_log(const struct world *w, const char *name) {
    char path[1024], text[4096];
    (void)snprintf(path, sizeof path, "%s/%s.log", csl_federation_dir(w->fed), name);
    FILE *f = fopen(path, "re");
    for (size_t n; f != NULL && (n = fread(text, 1, sizeof text, f)) != 0;) {
        (void)fwrite(text, 1, n, stderr);
    }
    if (f != NULL) {
        (void)fclose(f);
    }
}

/* Daemons end in order when they are told to; under a sanitizer that is also when they report. */
static bool end_in_order(struct world *w, const char *name) {
    pid_t pid = csl_federation_pid(w->fed, name);
    if (pid <= 0) {
        return true;
    }
    (void)kill(pid, SIGTERM);
    (void)kill(pid, SIGCONT);
    int code = csl_federation_wait_ended(w->fed, name);
    if (code != 0) {
        (void)fprintf(stderr, "%s ended with %d; its log:\n", name, code);
        print_log(w, name);
    }
    return code == 0;
}

void world_close(struct world *w) {
    bool ok = true;
    for (unsigned i = 0; w->fed != NULL && i <= w->n; i++) {
        ok = end_in_order(w, i < w->n ? csl_federation_party_name(w->fed, i) : "dealer") && ok;
    }
    csl_context_free(&w->owner);
    csl_context_free(&w->clinic);
    csl_federation_stop(w->fed, NULL);
    if (w->net != NULL) {
        compiled_free(w->net);
    }
    memset(w, 0, sizeof *w);
    assert_true(ok);
}

static void spawn(struct world *w, const char *name, const char *program, const char *const *args) {
    struct csl_diag diag = {""};
    must(csl_federation_spawn(w->fed, name, program, args, &diag), &diag, name);
}

void world_spawn(struct world *w, const char *name) {
    spawn(w, name, NULL, NULL);
}

void world_spawn_hostile(struct world *w, const char *name, const char *const *args) {
    spawn(w, name, CSL_HOSTILE, args);
}

void world_signal(struct world *w, const char *name, int sig) {
    pid_t pid = csl_federation_pid(w->fed, name);
    assert_true(pid > 0); /* 0 would be the whole process group */
    assert_int_equal(kill(pid, sig), 0);
}

void world_revive(struct world *w) {
    for (unsigned i = 0; i <= w->n; i++) {
        const char *name = i < w->n ? csl_federation_party_name(w->fed, i) : "dealer";
        if (csl_federation_pid(w->fed, name) == 0) {
            world_spawn(w, name);
        } else {
            world_signal(w, name, SIGCONT);
        }
    }
}

void world_kill(struct world *w, const char *name) {
    world_signal(w, name, SIGKILL);
    assert_int_equal(csl_federation_wait_ended(w->fed, name), 128 + SIGKILL);
}

static void lives(struct world *w, const char *name) {
    siginfo_t info = {0};
    pid_t pid = csl_federation_pid(w->fed, name);
    assert_true(pid > 0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    if (info.si_pid != 0) {
        fail_msg("%s has ended", name);
    }
}

void world_lives(struct world *w, const char *but) {
    for (unsigned i = 0; i <= w->n; i++) {
        const char *name = i < w->n ? csl_federation_party_name(w->fed, i) : "dealer";
        if (but == NULL || strcmp(name, but) != 0) {
            lives(w, name);
        }
    }
}

void world_wait_stopped(struct world *w, const char *name) {
    assert_true(csl_federation_wait_stopped(w->fed, name));
}

/* ---- Sessions by the library ---- */

void world_inputs(float *x, const struct csl_plan *plan, uint32_t count, unsigned salt) {
    for (size_t i = 0; i < (size_t)count * csl_plan_n_inputs(plan); i++) {
        unsigned step = (unsigned)(i * 37 + salt * 101 + i * i % 7) % 65;
        x[i] = (float)(plan->input.lo + (plan->input.hi - plan->input.lo) * step / 64);
    }
}

enum csl_err world_client_open(struct csl_client **c, const struct csl_context *ctx, const char *model,
                               uint32_t max_batch, struct csl_diag *diag) {
    struct csl_client_options opt = {.model = model, .max_batch = max_batch};
    return csl_client_open(c, ctx, &opt, diag);
}

enum csl_err world_client_infer(struct csl_client *c, double *logits, struct csl_batch_stats *stats,
                                const float *x, uint32_t count, struct csl_diag *diag) {
    uint32_t classes[64] = {0};
    assert_true(count <= 64);
    struct csl_outputs out = {.logits = logits, .classes = classes};
    return csl_client_infer(c, &out, stats, x, count, NULL, NULL, diag);
}

struct csl_client *world_client(struct world *w, uint32_t max_batch) {
    struct csl_diag diag = {""};
    struct csl_client *c;
    must(world_client_open(&c, &w->clinic, MODEL, max_batch, &diag), &diag, "open");
    return c;
}

void world_check_logits(const struct world *w, const double *logits, const float *x, uint32_t count) {
    const struct csl_plan *plan = &w->net->plan;
    struct csl_diag diag = {""};
    double bound[N_OUT];
    int64_t xq[WORLD_MAX_BATCH * N_IN], yq[WORLD_MAX_BATCH * N_OUT];
    must(csl_eval_error_bound(plan, &w->net->q, bound, w->n), &diag, "bound");
    must(csl_plan_encode_input(plan, xq, x, count, &diag), &diag, "encode");
    must(csl_eval_fixed(plan, &w->net->q, yq, xq, count, NULL, NULL, &diag), &diag, "fixed");
    for (size_t i = 0; i < (size_t)count * N_OUT; i++) {
        double want = ldexp((double)yq[i], -(int)csl_plan_output_frac(plan));
        if (!(fabs(logits[i] - want) <= bound[i % N_OUT])) {
            fail_msg("logit %zu is %f, not %f +- %f", i, logits[i], want, bound[i % N_OUT]);
        }
    }
}

void world_infer(struct world *w, struct csl_client *c, uint32_t count, struct csl_batch_stats *stats) {
    static unsigned salt;
    struct csl_diag diag = {""};
    struct csl_batch_stats own;
    float x[WORLD_MAX_BATCH * N_IN];
    double logits[WORLD_MAX_BATCH * N_OUT];
    world_inputs(x, &w->net->plan, count, salt++);
    must(world_client_infer(c, logits, stats != NULL ? stats : &own, x, count, &diag), &diag, "infer");
    world_check_logits(w, logits, x, count);
}

void world_session(struct world *w) {
    struct csl_client *c = world_client(w, 2);
    world_infer(w, c, 2, NULL);
    csl_client_close(c);
}

enum csl_err world_try(struct world *w, struct csl_diag *diag) {
    struct csl_client *c;
    float x[N_IN] = {0};
    double logits[N_OUT];
    struct csl_batch_stats stats;
    TRY(world_client_open(&c, &w->clinic, MODEL, 1, diag));
    enum csl_err err = world_client_infer(c, logits, &stats, x, 1, diag);
    csl_client_close(c);
    return err;
}

static void *attempt_thread(void *arg) {
    struct attempt *a = arg;
    a->err = world_try(a->w, &a->diag);
    return NULL;
}

void attempt_start(struct attempt *a, struct world *w) {
    memset(a, 0, sizeof *a);
    a->w = w;
    assert_int_equal(pthread_create(&a->thread, NULL, attempt_thread, a), 0);
}

enum csl_err attempt_join(struct attempt *a) {
    assert_int_equal(pthread_join(a->thread, NULL), 0);
    return a->err;
}
