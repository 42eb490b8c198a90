/* Concurrent closed-loop clients: a thread and a session each. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/bench/serve.h"
#include "roles/talk.h"

struct timed {
    uint64_t call_ns, sent_ns, online_ns;
    uint32_t batch;
};

struct load {
    const struct csl_serve_load *of;
    atomic_bool failed;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned ready;    /* under lock: clients that wait for the start */
    uint64_t start_ns; /* under lock; 0: not yet */
};

struct one {
    struct load *load;
    unsigned number;
    pthread_t thread;
    struct csl_client *c;
    double *logits; /* of the request in work */
    uint32_t *classes;
    struct timed *times;
    size_t n, room;
    uint64_t end_ns;
    uint32_t rounds;
    enum csl_profile profile;
    struct csl_serve_sample *samples;
    size_t n_samples;
    enum csl_err err;
    struct csl_diag diag;
};

/* ---- A request ---- */

static enum csl_err check_shape(struct one *o) {
    const struct csl_serve_load *of = o->load->of;
    uint32_t n_out = csl_plan_n_outputs(csl_client_plan(o->c));
    bool right = true;
    for (uint32_t i = 0; i < of->batch; i++) {
        right = right && o->classes[i] < n_out;
        for (uint32_t k = 0; k < n_out && !of->client.reveal_label; k++) {
            right = right && isfinite(o->logits[(size_t)i * n_out + k]);
        }
    }
    return right ? CSL_OK : csl_fail(&o->diag, CSL_EPROTO, "client %u got a result that is none", o->number);
}

static enum csl_err keep_sample(struct one *o, size_t first) {
    const struct csl_serve_load *of = o->load->of;
    size_t n_out = csl_plan_n_outputs(csl_client_plan(o->c));
    struct csl_serve_sample *s = &o->samples[o->n_samples];
    s->first = first;
    s->logits = malloc(of->batch * n_out * sizeof *s->logits);
    s->classes = malloc(of->batch * sizeof *s->classes);
    o->n_samples++;
    if (s->logits == NULL || s->classes == NULL) {
        return CSL_ENOMEM;
    }
    memcpy(s->logits, o->logits, of->batch * n_out * sizeof *s->logits);
    memcpy(s->classes, o->classes, of->batch * sizeof *s->classes);
    return CSL_OK;
}

static enum csl_err note(struct one *o, const struct timed *t) {
    if (o->n == o->room) {
        size_t room = o->room == 0 ? 256 : 2 * o->room;
        struct timed *grown = reallocarray(o->times, room, sizeof *grown);
        if (grown == NULL) {
            return CSL_ENOMEM;
        }
        o->times = grown;
        o->room = room;
    }
    o->times[o->n++] = *t;
    return CSL_OK;
}

static enum csl_err ask(struct one *o, uint64_t number, bool counts) {
    const struct csl_serve_load *of = o->load->of;
    size_t slots = of->n_x / of->batch, first = (size_t)((number + o->number * 7) % slots) * of->batch;
    struct csl_outputs out = {.logits = o->logits, .classes = o->classes};
    struct csl_batch_stats s;
    uint64_t start = csl_monotonic_ns();
    TRY(csl_client_infer(o->c, &out, &s, of->x + first * csl_plan_n_inputs(csl_client_plan(o->c)), of->batch,
                         NULL, NULL, &o->diag));
    o->end_ns = csl_monotonic_ns();
    TRY(check_shape(o));
    if (!counts) {
        return CSL_OK;
    }
    o->rounds = s.rounds;
    o->profile = s.profile;
    struct timed t = {.call_ns = o->end_ns - start,
                      .sent_ns = s.client_ns,
                      .online_ns = s.output_ns - s.input_ns,
                      .batch = s.batch};
    TRY(note(o, &t));
    return o->n_samples < of->samples ? keep_sample(o, first) : CSL_OK;
}

/* ---- A client ---- */

static void rest(double ms) {
    struct timespec t = {.tv_sec = (time_t)(ms / 1e3), .tv_nsec = (long)(fmod(ms, 1e3) * 1e6)};
    if (ms > 0) {
        (void)nanosleep(&t, NULL);
    }
}

static enum csl_err prepare(struct one *o) {
    const struct csl_serve_load *of = o->load->of;
    TRY(csl_client_open(&o->c, of->ctx, &of->client, &o->diag));
    size_t n_out = csl_plan_n_outputs(csl_client_plan(o->c));
    o->logits = calloc(of->batch * n_out, sizeof *o->logits);
    o->classes = calloc(of->batch, sizeof *o->classes);
    o->samples = calloc(of->samples + 1, sizeof *o->samples);
    if (o->logits == NULL || o->classes == NULL || o->samples == NULL) {
        return CSL_ENOMEM;
    }
    for (unsigned i = 0; i < of->warm_up; i++) {
        TRY(ask(o, i, false));
    }
    return CSL_OK;
}

static enum csl_err work(struct one *o) {
    const struct csl_serve_load *of = o->load->of;
    uint64_t until = o->load->start_ns + (uint64_t)(of->seconds * 1e9);
    for (uint64_t i = 0; of->requests != 0 ? i < of->requests : csl_monotonic_ns() < until; i++) {
        if (atomic_load(&o->load->failed)) {
            return CSL_OK;
        }
        TRY(ask(o, i, true));
        rest(of->pause_ms);
    }
    return CSL_OK;
}

static void wait_for_start(struct load *l) {
    (void)pthread_mutex_lock(&l->lock);
    l->ready++;
    (void)pthread_cond_broadcast(&l->changed);
    while (l->start_ns == 0) {
        (void)pthread_cond_wait(&l->changed, &l->lock);
    }
    (void)pthread_mutex_unlock(&l->lock);
}

static void *run_one(void *arg) {
    struct one *o = arg;
    struct load *l = o->load;
    o->err = prepare(o);
    if (o->err != CSL_OK) {
        atomic_store(&l->failed, true);
    }
    wait_for_start(l);
    if (o->err == CSL_OK) {
        o->err = work(o);
        if (o->err != CSL_OK) {
            atomic_store(&l->failed, true);
        }
    }
    csl_client_close(o->c);
    return NULL;
}

/* ---- All of them ---- */

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The p-th of n sorted values. */
static double percentile(const double *v, size_t n, double p) {
    size_t i = n == 0 ? 0 : (size_t)ceil(p * (double)n);
    return n == 0 ? 0 : v[i == 0 ? 0 : i - 1];
}

enum what { CALL, SENT, ONLINE, BATCH };

static size_t gather(double *v, const struct one *all, unsigned n, enum what what) {
    size_t at = 0;
    for (unsigned i = 0; i < n; i++) {
        for (size_t k = 0; k < all[i].n; k++) {
            const struct timed *t = &all[i].times[k];
            v[at++] = what == CALL     ? (double)t->call_ns / 1e6
                      : what == SENT   ? (double)t->sent_ns / 1e6
                      : what == ONLINE ? (double)t->online_ns / 1e6
                                       : (double)t->batch;
        }
    }
    qsort(v, at, sizeof *v, by_value);
    return at;
}

static void count_batches(struct csl_serve_step *s, const double *numbers, size_t n) {
    size_t batches = 0;
    for (size_t i = 0; i < n; i++) {
        batches += i == 0 || numbers[i] > numbers[i - 1];
    }
    if (n != 0 && numbers[0] != 0) {
        s->batch_requests = (double)n / (double)batches;
        s->batch_inferences = s->batch_requests * ((double)s->inferences / (double)s->requests);
    }
}

static enum csl_err sum_up(struct csl_serve_step *s, struct load *l, struct one *all) {
    const struct csl_serve_load *of = l->of;
    uint64_t end = l->start_ns;
    for (unsigned i = 0; i < of->n_clients; i++) {
        s->requests += all[i].n;
        end = all[i].end_ns > end ? all[i].end_ns : end;
    }
    s->inferences = s->requests * of->batch;
    s->seconds = (double)(end - l->start_ns) / 1e9;
    s->rounds = all[0].rounds;
    s->profile = all[0].profile;
    double *v = calloc(s->requests + 1, sizeof *v);
    s->samples = calloc((size_t)of->n_clients * of->samples + 1, sizeof *s->samples);
    if (v == NULL || s->samples == NULL) {
        free(v);
        return CSL_ENOMEM;
    }
    size_t n = gather(v, all, of->n_clients, CALL);
    s->p50_ms = percentile(v, n, 0.5);
    s->p95_ms = percentile(v, n, 0.95);
    s->p99_ms = percentile(v, n, 0.99);
    s->max_ms = percentile(v, n, 1);
    n = gather(v, all, of->n_clients, SENT);
    s->sent_p50_ms = percentile(v, n, 0.5);
    n = gather(v, all, of->n_clients, ONLINE);
    s->online_p50_ms = percentile(v, n, 0.5);
    n = gather(v, all, of->n_clients, BATCH);
    if (of->client.shared) {
        count_batches(s, v, n);
    } else {
        s->batch_requests = 1;
        s->batch_inferences = of->batch;
    }
    free(v);
    for (unsigned i = 0; i < of->n_clients; i++) {
        memcpy(s->samples + s->n_samples, all[i].samples, all[i].n_samples * sizeof *s->samples);
        s->n_samples += all[i].n_samples;
        all[i].n_samples = 0;
    }
    return CSL_OK;
}

static enum csl_err first_error(const struct one *all, unsigned n, struct csl_diag *diag) {
    for (unsigned i = 0; i < n; i++) {
        if (all[i].err != CSL_OK) {
            return csl_fail(diag, all[i].err, "client %u of %u: %s", i + 1, n,
                            all[i].diag.text[0] != '\0' ? all[i].diag.text : csl_err_text(all[i].err));
        }
    }
    return CSL_OK;
}

static void free_samples(struct csl_serve_sample *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(s[i].logits);
        free(s[i].classes);
    }
    free(s);
}

static void clear_one(struct one *o) {
    free(o->logits);
    free(o->classes);
    free(o->times);
    free_samples(o->samples, o->n_samples);
}

static unsigned start_all(struct load *l, struct one *all, unsigned n) {
    unsigned started = 0;
    while (started < n && pthread_create(&all[started].thread, NULL, run_one, &all[started]) == 0) {
        started++;
    }
    if (started < n) {
        atomic_store(&l->failed, true);
        all[started].err = csl_fail(&all[started].diag, CSL_EOS, "no thread for a client");
    }
    (void)pthread_mutex_lock(&l->lock);
    while (l->ready < started) {
        (void)pthread_cond_wait(&l->changed, &l->lock);
    }
    l->start_ns = csl_monotonic_ns();
    (void)pthread_cond_broadcast(&l->changed);
    (void)pthread_mutex_unlock(&l->lock);
    return started;
}

enum csl_err csl_serve_run(struct csl_serve_step *out, const struct csl_serve_load *load,
                           struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    struct load l = {.of = load};
    struct one *all = calloc(load->n_clients, sizeof *all);
    if (all == NULL) {
        return CSL_ENOMEM;
    }
    (void)pthread_mutex_init(&l.lock, NULL);
    (void)pthread_cond_init(&l.changed, NULL);
    for (unsigned i = 0; i < load->n_clients; i++) {
        all[i].load = &l;
        all[i].number = i;
    }
    unsigned started = start_all(&l, all, load->n_clients);
    for (unsigned i = 0; i < started; i++) {
        (void)pthread_join(all[i].thread, NULL);
    }
    (void)pthread_cond_destroy(&l.changed);
    (void)pthread_mutex_destroy(&l.lock);
    enum csl_err err = first_error(all, load->n_clients, diag);
    if (err == CSL_OK) {
        err = sum_up(out, &l, all);
    }
    for (unsigned i = 0; i < load->n_clients; i++) {
        clear_one(&all[i]);
    }
    free(all);
    if (err != CSL_OK) {
        csl_serve_step_clear(out);
    }
    return err;
}

void csl_serve_step_clear(struct csl_serve_step *s) {
    free_samples(s->samples, s->n_samples);
    memset(s, 0, sizeof *s);
}
