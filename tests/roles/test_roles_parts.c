/* Inputs with several owners, and sessions that reveal the label alone. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "roles/client/contributor.h"

enum { COUNT = 3, BATCHES = 2 };

static const struct csl_federation_extra extras[] = {{"radiology", CSL_ROLE_CLIENT, true},
                                                     {"pathology", CSL_ROLE_CLIENT, true},
                                                     {"visitor", CSL_ROLE_CLIENT, false}};

static struct world world;
static struct csl_context radiology, pathology;

static void start(bool label_only) {
    struct csl_federation_options opt = world_options(3);
    struct csl_timeouts quick = quick_timeouts();
    quick.session_idle_ms = 20000;
    opt.timeouts = &quick;
    opt.extras = extras;
    opt.n_extras = 3;
    opt.label_only = label_only;
    world_open(&world, &opt);
    world_context(&radiology, &world, "radiology");
    world_context(&pathology, &world, "pathology");
}

static void stop(void) {
    csl_context_free(&radiology);
    csl_context_free(&pathology);
    world_close(&world);
}

/* ---- Owners of parts, each in a thread ---- */

struct owner {
    const struct csl_context *ctx;
    const float *x; /* the whole inputs, BATCHES * COUNT of them */
    uint8_t id[CSL_SESSION_ID_BYTES];
    bool leaves; /* after the first batch was announced */
    float spoil; /* put into its first value, unless 0 */
    pthread_t thread;
    enum csl_err err;
    struct csl_diag diag;
    uint32_t batches;
};

static enum csl_err contribute(struct owner *o) {
    struct csl_contributor *c;
    TRY(csl_contributor_join(&c, o->ctx, o->id, &o->diag));
    const struct csl_part *part = csl_contributor_part(c);
    size_t n = csl_part_elements(part);
    float own[COUNT * N_IN];
    enum csl_err err;
    uint32_t count = 0, done = 0;
    while ((err = csl_contributor_wait(c, &count, &o->diag)) == CSL_OK && count != 0 && !o->leaves) {
        for (uint32_t row = 0; row < count; row++) {
            memcpy(own + row * n, o->x + (size_t)(done + row) * N_IN + part->begin[0], n * sizeof *own);
        }
        own[0] = o->spoil != 0 ? o->spoil : own[0];
        err = csl_contributor_send(c, own, &o->diag);
        if (err != CSL_OK) {
            break;
        }
        done += count;
        o->batches++;
    }
    csl_contributor_leave(c);
    return err;
}

static void *owner_thread(void *arg) {
    struct owner *o = arg;
    o->err = contribute(o);
    return NULL;
}

struct owners {
    struct owner at[2];
    size_t n;
    bool ahead; /* the client announces all batches at once */
};

static void on_session(void *arg, const uint8_t id[CSL_SESSION_ID_BYTES]) {
    struct owners *o = arg;
    for (size_t i = 0; i < o->n; i++) {
        memcpy(o->at[i].id, id, sizeof o->at[i].id);
        assert_int_equal(pthread_create(&o->at[i].thread, NULL, owner_thread, &o->at[i]), 0);
    }
}

static void join(struct owners *o) {
    for (size_t i = 0; i < o->n; i++) {
        pthread_join(o->at[i].thread, NULL);
    }
}

static void parse(struct csl_parts *p, const char *const *texts) {
    struct csl_diag diag = {""};
    for (p->n = 0; texts[p->n] != NULL; p->n++) {
        must(csl_part_parse(&p->at[p->n], &world.clinic.roster, texts[p->n], &diag), &diag, texts[p->n]);
    }
}

static enum csl_err open_parts(struct csl_client **c, const struct csl_parts *p, struct owners *o,
                               struct csl_diag *diag) {
    struct csl_client_options opt = {.model = MODEL,
                                     .max_batch = COUNT,
                                     .parts = p,
                                     .ahead = o->ahead,
                                     .on_session = on_session,
                                     .arg = o};
    return csl_client_open(c, &world.clinic, &opt, diag);
}

static enum csl_err infer(struct csl_client *c, double *logits, const float *x, struct csl_diag *diag) {
    struct csl_batch_stats stats;
    uint32_t classes[COUNT];
    struct csl_outputs out = {.logits = logits, .classes = classes};
    return csl_client_infer(c, &out, &stats, x, COUNT, NULL, NULL, diag);
}

/* A session over parts, where clinic owns its own box or none: the logits are those of the whole inputs. */
static void session_of(const char *const *texts, uint32_t own_begin, uint32_t own_n, bool ahead) {
    struct csl_diag diag = {""};
    float x[BATCHES * COUNT * N_IN], own[COUNT * N_IN];
    double logits[COUNT * N_OUT];
    world_inputs(x, &world.net->plan, BATCHES * COUNT, 7);
    struct owners o = {
        .at = {{.ctx = &radiology, .x = x}, {.ctx = &pathology, .x = x}}, .n = 2, .ahead = ahead};
    struct csl_parts parts;
    parse(&parts, texts);
    struct csl_client *c;
    must(open_parts(&c, &parts, &o, &diag), &diag, "open");
    assert_int_equal(csl_client_owns_input(c), own_n != 0);
    for (int b = 0; ahead && b < BATCHES; b++) {
        must(csl_client_announce(c, COUNT, &diag), &diag, "announce");
    }
    for (int b = 0; b < BATCHES; b++) {
        const float *batch = x + (size_t)b * COUNT * N_IN;
        for (uint32_t row = 0; row < COUNT; row++) {
            memcpy(own + row * own_n, batch + row * N_IN + own_begin, own_n * sizeof *own);
        }
        must(infer(c, logits, own_n != 0 ? own : NULL, &diag), &diag, "infer");
        world_check_logits(&world, logits, batch, COUNT);
    }
    csl_client_close(c);
    join(&o);
    for (size_t i = 0; i < o.n; i++) {
        must(o.at[i].err, &o.at[i].diag, "contribute");
        assert_int_equal(o.at[i].batches, BATCHES);
    }
}

static void three_owners(void **state) {
    (void)state;
    static const char *const parts[] = {"clinic=0:2", "radiology=2:5", "pathology=5:", NULL};
    session_of(parts, 0, 2, false);
    session_of(parts, 0, 2, true);
}

static void others_own_it_all(void **state) {
    (void)state;
    static const char *const parts[] = {"pathology=3:6", "radiology=:3", NULL};
    session_of(parts, 0, 0, false);
    session_of(parts, 0, 0, true);
}

/* ---- What is refused ---- */

static void refused(const char *const *texts, enum csl_err want, const char *word, const char *word2) {
    struct csl_diag diag = {""};
    struct owners none = {.n = 0};
    struct csl_parts parts;
    parse(&parts, texts);
    struct csl_client *c = NULL;
    FAILED(open_parts(&c, &parts, &none, &diag), &diag, want, word, word2);
    assert_null(c);
}

static void wrong_parts(void **state) {
    (void)state;
    refused((const char *const[]){"clinic=0:4", "radiology=3:6", NULL}, CSL_EDATA, "overlap", "radiology");
    refused((const char *const[]){"clinic=0:3", "radiology=3:5", NULL}, CSL_EDATA, "5 of", "6");
    refused((const char *const[]){"clinic=0:3", "radiology=3:7", NULL}, CSL_EDATA, "3:7", "radiology");
    refused((const char *const[]){"clinic=0:3", "clinic=3:6", NULL}, CSL_EDATA, "clinic", "two parts");
    refused((const char *const[]){"clinic=0:3,0:1", "radiology=3:6,0:1", NULL}, CSL_EDATA, "clinic",
            "ranges");
    refused((const char *const[]){"clinic=0:3", "visitor=3:6", NULL}, CSL_EPERM, "visitor", MODEL);
    struct csl_diag diag = {""};
    struct csl_part part;
    FAILED(csl_part_parse(&part, &world.clinic.roster, "nobody=0:1", &diag), &diag, CSL_EPERM, "nobody");
    FAILED(csl_part_parse(&part, &world.clinic.roster, "clinic=0-1", &diag), &diag, CSL_EUSAGE, "clinic=0-1");
    FAILED(csl_part_parse(&part, &world.clinic.roster, "clinic", &diag), &diag, CSL_EUSAGE, "clinic");
    world_lives(&world, NULL);
    world_session(&world);
}

/* An owner that is not named in the session is not let in, and learns nothing. */
static void uninvited(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    float x[COUNT * N_IN];
    world_inputs(x, &world.net->plan, COUNT, 9);
    struct owners o = {.at = {{.ctx = &pathology, .x = x}}, .n = 1};
    struct csl_parts parts;
    parse(&parts, (const char *const[]){"clinic=:", NULL});
    struct csl_client *c;
    must(open_parts(&c, &parts, &o, &diag), &diag, "open");
    double logits[COUNT * N_OUT];
    must(infer(c, logits, x, &diag), &diag, "infer");
    world_check_logits(&world, logits, x, COUNT);
    join(&o);
    assert_int_not_equal(o.at[0].err, CSL_OK);
    assert_int_equal(o.at[0].batches, 0);
    csl_client_close(c);
}

static void fails_with(struct owner other, const char *word) {
    struct csl_diag diag = {""};
    float x[COUNT * N_IN];
    world_inputs(x, &world.net->plan, COUNT, 11);
    other.ctx = &radiology;
    other.x = x;
    struct owners o = {.at = {other}, .n = 1};
    struct csl_parts parts;
    parse(&parts, (const char *const[]){"clinic=0:3", "radiology=3:6", NULL});
    struct csl_client *c;
    must(open_parts(&c, &parts, &o, &diag), &diag, "open");
    float own[COUNT * 3] = {0};
    double logits[COUNT * N_OUT];
    FAILED(infer(c, logits, own, &diag), &diag, CSL_EPEER, "radiology");
    csl_client_close(c);
    join(&o);
    if (word != NULL) {
        FAILED(o.at[0].err, &o.at[0].diag, CSL_EDATA, word);
    }
    world_lives(&world, NULL);
    world_session(&world);
}

static void an_owner_leaves(void **state) {
    (void)state;
    fails_with((struct owner){.leaves = true}, NULL);
}

/* Its own program refuses the value: with it in, others' data could be read through saturated units. */
static void an_owner_out_of_range(void **state) {
    (void)state;
    fails_with((struct owner){.spoil = 1000}, "interval|1000");
}

/* ---- Labels ---- */

static void labels_match(void) {
    struct csl_diag diag = {""};
    struct csl_client_options opt = {.model = MODEL, .max_batch = 16, .reveal_label = true};
    struct csl_client *c;
    must(csl_client_open(&c, &world.clinic, &opt, &diag), &diag, "open");
    float x[16 * N_IN];
    double y[16 * N_OUT];
    uint32_t classes[16];
    struct csl_batch_stats stats;
    struct csl_cost cost;
    world_inputs(x, &world.net->plan, 16, 3);
    struct csl_outputs out = {.classes = classes};
    must(csl_client_infer(c, &out, &stats, x, 16, NULL, NULL, &diag), &diag, "infer");
    assert_int_equal(csl_network_eval(world.net->net, y, x, 16), CSL_OK);
    for (int i = 0; i < 16; i++) {
        double got = y[i * N_OUT + classes[i]], best = y[i * N_OUT + csl_argmax(y + i * N_OUT, N_OUT)];
        assert_true(classes[i] < N_OUT && best - got < 0.01); /* equal ones may go either way */
    }
    assert_int_equal(csl_plan_cost(&world.net->plan, &cost, world.n, 16, CSL_PROFILE_LAN, true), CSL_OK);
    assert_int_equal(stats.rounds, cost.rounds);
    csl_client_close(c);
}

static void label_on_request(void **state) {
    (void)state;
    labels_match();
}

static void label_only_model(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_client *c = NULL;
    FAILED(world_client_open(&c, &world.clinic, MODEL, 1, &diag), &diag, CSL_EPERM, "label");
    assert_null(c);
    labels_match();
}

static int start_open(void **state) {
    (void)state;
    start(false);
    return 0;
}

static int start_label_only(void **state) {
    (void)state;
    start(true);
    return 0;
}

static int stop_all(void **state) {
    (void)state;
    stop();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_owners),     cmocka_unit_test(others_own_it_all),
        cmocka_unit_test(wrong_parts),      cmocka_unit_test(uninvited),
        cmocka_unit_test(an_owner_leaves),  cmocka_unit_test(an_owner_out_of_range),
        cmocka_unit_test(label_on_request),
    };
    const struct CMUnitTest label_tests[] = {cmocka_unit_test(label_only_model)};
    int failed = cmocka_run_group_tests(tests, start_open, stop_all);
    return failed + cmocka_run_group_tests(label_tests, start_label_only, stop_all);
}
