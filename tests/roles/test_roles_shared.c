/* Shared sessions that go well: a client alone, and several side by side, in every mode. */
#include "guest.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/eval.h"

static struct world world;
static struct visitors visitors;

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

static void open_parties(unsigned n) {
    struct csl_federation_options opt = world_options(n);
    world_open(&world, &opt);
}

/* ---- Alone ---- */

static void one_alone(void **state) {
    (void)state;
    open_parties(2);
    struct csl_client *c = guest_client(&world, 16);
    static const uint32_t counts[] = {1, 16, 3, 1, 16, 16, 2};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct csl_batch_stats s;
        world_infer(&world, c, counts[i], &s);
        assert_int_equal(s.count, counts[i]);
    }
    csl_client_close(c);
    c = guest_client(&world, 4); /* the same session goes on */
    world_infer(&world, c, 4, NULL);
    struct csl_client *own = world_client(&world, 16); /* beside one of its own */
    world_infer(&world, own, 16, NULL);
    world_infer(&world, c, 1, NULL);
    csl_client_close(own);
    csl_client_close(c);
}

/* ---- Together ---- */

static void crowd(struct csl_federation_options *opt, unsigned n, unsigned requests) {
    world_open(&world, opt);
    visitors_start(&visitors, n, &world, requests);
    visitors_succeed(&visitors);
    guest_visit(&world); /* all places are free again, and the session stands */
}

static void two_parties(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(2);
    crowd(&opt, VISITORS_MAX, VISITOR_REQUESTS);
}

static void three_parties(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(3);
    opt.lanes = 1;
    crowd(&opt, VISITORS_MAX, VISITOR_REQUESTS);
}

static void wide_area(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(2);
    opt.profile = "wan";
    crowd(&opt, 4, 6);
}

static void spinning(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(2);
    opt.wait = "spin";
    crowd(&opt, 4, 6);
}

static void signed_as(uint32_t sign, uint32_t check_rows) {
    struct csl_roster r = {0};
    csl_roster_defaults(&r);
    struct csl_audit_policy audit = r.audit;
    audit.sign = sign;
    audit.check_rows = check_rows;
    struct csl_federation_options opt = world_options(3);
    opt.audit = &audit;
    crowd(&opt, 4, 6);
}

static void signed_after(void **state) {
    (void)state;
    signed_as(CSL_ROSTER_SIGN_AFTER, 0);
}

static void not_signed(void **state) {
    (void)state;
    signed_as(CSL_ROSTER_SIGN_OFF, 0);
}

static void dealer_checked(void **state) {
    (void)state;
    signed_as(CSL_ROSTER_SIGN_BEFORE, 2);
}

/* ---- Labels ---- */

/* No logit is larger than the class's by more than both their errors. */
static void check_classes(const uint32_t *classes, const float *x, uint32_t count) {
    const struct csl_plan *plan = &world.net->plan;
    struct csl_diag diag = {""};
    double bound[N_OUT];
    int64_t xq[4 * N_IN], yq[4 * N_OUT];
    must(csl_eval_error_bound(plan, &world.net->q, bound, world.n), &diag, "bound");
    must(csl_plan_encode_input(plan, xq, x, count, &diag), &diag, "encode");
    must(csl_eval_fixed(plan, &world.net->q, yq, xq, count, NULL, NULL, &diag), &diag, "fixed");
    double unit = ldexp(1.0, -(int)csl_plan_output_frac(plan));
    for (uint32_t i = 0; i < count; i++) {
        assert_true(classes[i] < N_OUT);
        for (uint32_t k = 0; k < N_OUT; k++) {
            double ahead = (double)(yq[i * N_OUT + k] - yq[i * N_OUT + classes[i]]) * unit;
            assert_true(ahead <= bound[k] + bound[classes[i]] + 0.01);
        }
    }
}

static void labels(void **state) {
    (void)state;
    open_parties(2);
    struct csl_client_options opt = {.model = MODEL, .max_batch = 4, .reveal_label = true, .shared = true};
    struct csl_client *c, *logits = guest_client(&world, 4); /* another session: what is revealed differs */
    struct csl_diag diag = {""};
    must(csl_client_open(&c, &world.clinic, &opt, &diag), &diag, "join");
    for (unsigned i = 0; i < 4; i++) {
        float x[4 * N_IN];
        uint32_t classes[4];
        struct csl_batch_stats s;
        world_inputs(x, &world.net->plan, 4, i);
        struct csl_outputs out = {.classes = classes};
        must(csl_client_infer(c, &out, &s, x, 4, NULL, NULL, &diag), &diag, "labels");
        check_classes(classes, x, 4);
        world_infer(&world, logits, 2, NULL);
    }
    csl_client_close(c);
    csl_client_close(logits);
}

/* ---- What cannot be shared ---- */

static void not_for_everything(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(2);
    opt.max_batch = 128;
    world_open(&world, &opt);
    struct csl_client *c;
    struct csl_diag diag = {""};
    FAILED(guest_client_open(&c, &world.clinic, 100, &diag), &diag, CSL_EUSAGE, "requests of 100", "64");
    struct csl_parts parts = {.n = 1};
    struct csl_client_options with_parts = {.model = MODEL, .max_batch = 1, .shared = true, .parts = &parts};
    FAILED(csl_client_open(&c, &world.clinic, &with_parts, &diag), &diag, CSL_EUSAGE, "parts");
    guest_visit(&world);
}

/* ---- By command ---- */

/* Five inputs of raw values, as .npy. */
static void write_features(const char *path) {
    enum { HEADER = 128, MAGIC = 10, N = 5 };
    char head[HEADER + 1];
    float x[N * N_IN];
    memset(head, ' ', HEADER);
    memcpy(head, "\x93NUMPY\x01\x00\x76\x00", MAGIC);
    int n = snprintf(head + MAGIC, sizeof head - MAGIC,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", N, N_IN);
    head[MAGIC + n] = ' ';
    head[HEADER - 1] = '\n';
    for (size_t i = 0; i < N * N_IN; i++) {
        x[i] = (float)(i * 37 % 256);
    }
    FILE *f = fopen(path, "wbe");
    assert_non_null(f);
    assert_int_equal(fwrite(head, HEADER, 1, f), 1);
    assert_int_equal(fwrite(x, sizeof x, 1, f), 1);
    assert_int_equal(fclose(f), 0);
}

static void inferred(void **state) {
    (void)state;
    char path[1024];
    struct csl_diag diag = {""};
    json_t *doc = NULL;
    open_parties(2);
    world_path(path, &world, "clinic", "features.npy");
    write_features(path);
    const char *args[] = {"infer", "--shared", "--model", MODEL, "--images", path,
                          "--npy", "features", "--batch", "2",   "--json",   NULL};
    must(csl_federation_run(world.fed, &doc, CSL_FEDERATION_CLIENT, args, &diag), &diag, "infer");
    assert_int_equal(json_integer_value(json_object_get(doc, "images")), 5);
    json_decref(doc);
}

/* ---- bench serve, of a federation that runs ---- */

static double of(const json_t *doc, const char *key) {
    const json_t *v = json_object_get(doc, key);
    if (!json_is_number(v)) {
        fail_msg("no %s", key);
    }
    return json_number_value(v);
}

static json_t *serve(const char *sessions, const char *clients) {
    const char *args[] = {"bench",      "serve", "--model", MODEL,     sessions, "--clients", clients,
                          "--requests", "4",     "--quick", "--batch", "3",      "--json",    NULL};
    struct csl_diag diag = {""};
    json_t *doc = NULL;
    must(csl_federation_run(world.fed, &doc, CSL_FEDERATION_CLIENT, args, &diag), &diag, "bench serve");
    assert_non_null(doc);
    assert_null(json_object_get(doc, "checked")); /* it was given no network */
    return doc;
}

static void measured(void **state) {
    (void)state;
    open_parties(2);
    json_t *doc = serve("--shared", "1,5");
    const json_t *step = json_array_get(json_object_get(doc, "steps"), 1);
    assert_int_equal(of(step, "clients"), 5);
    assert_int_equal(of(step, "requests"), 20);
    assert_true(of(step, "mean_batch_requests") >= 1 && of(step, "mean_batch_requests") <= 5);
    json_decref(doc);
    doc = serve("--own", "2");
    step = json_array_get(json_object_get(doc, "steps"), 0);
    assert_int_equal(of(step, "requests"), 8);
    assert_int_equal(of(step, "mean_batch_inferences"), 3);
    json_decref(doc);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(one_alone, stop),     cmocka_unit_test_teardown(two_parties, stop),
        cmocka_unit_test_teardown(three_parties, stop), cmocka_unit_test_teardown(wide_area, stop),
        cmocka_unit_test_teardown(spinning, stop),      cmocka_unit_test_teardown(signed_after, stop),
        cmocka_unit_test_teardown(not_signed, stop),    cmocka_unit_test_teardown(dealer_checked, stop),
        cmocka_unit_test_teardown(labels, stop),        cmocka_unit_test_teardown(not_for_everything, stop),
        cmocka_unit_test_teardown(inferred, stop),      cmocka_unit_test_teardown(measured, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
