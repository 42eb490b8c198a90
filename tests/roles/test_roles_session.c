/* Sessions that go well: every number of parties, batches, clients side by side, and what they cost. */
#include "world.h"

#include "roles/lane/dealt.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct world world;

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

static void open_parties(unsigned n) {
    struct csl_federation_options opt = world_options(n);
    world_open(&world, &opt);
}

/* ---- Any number of parties, batches of any size ---- */

static void batches(struct world *w) {
    struct csl_client *c = world_client(w, 16);
    static const uint32_t counts[] = {1, 16, 3, 1};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct csl_batch_stats s;
        world_infer(w, c, counts[i], &s);
        assert_int_equal(s.count, counts[i]);
    }
    csl_client_close(c);
}

static void two_parties(void **state) {
    (void)state;
    open_parties(2);
    batches(&world);
    world_session(&world);
}

static void three_parties(void **state) {
    (void)state;
    open_parties(3);
    for (int i = 0; i < 4; i++) {
        world_session(&world);
    }
    batches(&world);
}

static void five_parties(void **state) {
    (void)state;
    open_parties(5);
    batches(&world);
}

static void sixteen_parties(void **state) {
    (void)state;
    open_parties(16);
    world_session(&world);
    batches(&world);
}

/* ---- What the client refuses by itself ---- */

static void inputs_outside_the_interval(void **state) {
    (void)state;
    open_parties(2);
    struct csl_client *c = world_client(&world, 2);
    float x[2 * N_IN] = {0};
    double logits[2 * N_OUT];
    struct csl_batch_stats s;
    struct csl_diag diag = {""};
    x[N_IN + 3] = 1.5F;
    FAILED(world_client_infer(c, logits, &s, x, 2, &diag), &diag, CSL_EDATA, "input 1, element 3", "1.5");
    FAILED(world_client_infer(c, logits, &s, x, 3, &diag), &diag, CSL_EUSAGE, "batch of 3", "2");
    world_infer(&world, c, 2, NULL); /* the session goes on */
    csl_client_close(c);
    FAILED(world_client_open(&c, &world.clinic, MODEL, 17, &diag), &diag, CSL_EUSAGE, "17", "limit is 16");
}

/* ---- Side by side ---- */

static void two_clients(void **state) {
    (void)state;
    open_parties(3);
    struct csl_client *a = world_client(&world, 4), *b = world_client(&world, 8);
    for (uint32_t i = 1; i <= 4; i++) {
        world_infer(&world, a, i, NULL);
        world_infer(&world, b, 2 * i, NULL);
    }
    csl_client_close(a);
    world_infer(&world, b, 8, NULL);
    csl_client_close(b);
}

enum { CROWD = 6 };
struct visitor {
    struct csl_context ctx;
    enum csl_err err;
    struct csl_diag diag;
    pthread_t thread;
};

static enum csl_err visit(struct visitor *v) {
    struct csl_client *c;
    TRY(world_client_open(&c, &v->ctx, MODEL, 4, &v->diag));
    float x[4 * N_IN];
    double logits[4 * N_OUT];
    struct csl_batch_stats s;
    world_inputs(x, csl_client_plan(c), 4, 7);
    enum csl_err err = CSL_OK;
    for (int i = 0; i < 3 && err == CSL_OK; i++) {
        err = world_client_infer(c, logits, &s, x, 4, &v->diag);
    }
    csl_client_close(c);
    return err;
}

static void *visitor_thread(void *arg) {
    struct visitor *v = arg;
    v->err = visit(v);
    return NULL;
}

/* They wait for their turn, and all get it. */
static void more_clients_than_lanes(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(3);
    opt.lanes = 2;
    world_open(&world, &opt);
    static struct visitor crowd[CROWD];
    for (int i = 0; i < CROWD; i++) {
        world_context(&crowd[i].ctx, &world, "clinic");
        assert_int_equal(pthread_create(&crowd[i].thread, NULL, visitor_thread, &crowd[i]), 0);
    }
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(pthread_join(crowd[i].thread, NULL), 0);
        csl_context_free(&crowd[i].ctx);
    }
    for (int i = 0; i < CROWD; i++) {
        must(crowd[i].err, &crowd[i].diag, "one of the crowd");
    }
}

/* A lane that nobody gives back: the next client is told, and the lane's owner is not disturbed. */
static void no_lane_for_long(void **state) {
    (void)state;
    struct csl_timeouts t = quick_timeouts();
    t.connect_ms = 1000; /* with handshake_ms: how long a session waits for a lane */
    struct csl_federation_options opt = world_options(2);
    opt.lanes = 1;
    opt.timeouts = &t;
    world_open(&world, &opt);
    struct csl_client *c = world_client(&world, 2);
    struct csl_diag diag = {""};
    struct fake other; /* the library's client would try again for some seconds */
    fake_open(&other, &world, &world.clinic);
    fake_dial(&other, 0, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    fake_ask(&other, 0, MODEL, 2);
    FAILED(fake_end(&other, 0, &diag), &diag, CSL_EBUSY, "hospital-a", "1 lanes");
    fake_close(&other);
    world_infer(&world, c, 2, NULL);
    csl_client_close(c);
    world_session(&world);
}

/* ---- Cost ---- */

/* AGREE_BYTES of roles/lane/lane_open.c: session id, digests, stream, a flag, profile; nonce, program,
 * configuration, seed. Then everybody's signature of the session's statement. */
enum {
    AGREEMENT = 16 + 4 * 32 + 4 + 1 + 1 + 4 * 32,
    HEADER = CSL_FRAME_HEADER_BYTES,
    SIGNED = CSL_SIGNATURE_BYTES + HEADER
};

static void check_cost(const struct world *w, const struct csl_plan *plan, const struct csl_batch_stats *s,
                       bool opened_weights) {
    struct csl_cost cost;
    assert_int_equal(csl_plan_cost(plan, &cost, w->n, s->count, s->profile, false), CSL_OK);
    uint32_t sign = w->clinic.roster.audit.sign;
    if (sign != CSL_ROSTER_SIGN_OFF) {
        csl_cost_add_signatures(&cost, w->n);
    }
    uint64_t messages = cost.rounds - 1 + (sign == CSL_ROSTER_SIGN_AFTER); /* the last round is the output */
    uint64_t link = cost.online_bytes + messages * HEADER;
    assert_int_equal(s->rounds, cost.rounds);
    assert_int_equal(s->max_link_bytes, link);
    assert_int_equal(s->online_bytes, (w->n - 1) * link + cost.output_bytes + HEADER);
    uint64_t dealt = sign == CSL_ROSTER_SIGN_OFF ? 0 : CSL_DEALT_RECORD_BYTES + HEADER;
    dealt *= w->n - 1; /* the dealer's statement */
    assert_int_equal(s->offline_bytes, cost.offline_bytes + (uint64_t)s->count * HEADER + dealt);
    uint64_t setup = AGREEMENT + HEADER + SIGNED + (opened_weights ? cost.open_weights_bytes + HEADER : 0);
    assert_int_equal(s->setup_bytes, (w->n - 1) * setup);
}

static struct csl_client *ahead_client(void) {
    struct csl_client_options opt = {.model = MODEL, .max_batch = 16, .ahead = true};
    struct csl_diag diag = {""};
    struct csl_client *c;
    must(csl_client_open(&c, &world.clinic, &opt, &diag), &diag, "open");
    return c;
}

/* This batch, if it is the first, and the one after it, of 5 more, up to 16. */
static void announce_around(struct csl_client *c, uint32_t count, bool ahead) {
    struct csl_diag diag = {""};
    if (ahead && count == 1) {
        must(csl_client_announce(c, count, &diag), &diag, "announce");
    }
    if (ahead && count + 5 <= 16) {
        must(csl_client_announce(c, count + 5, &diag), &diag, "announce the next");
    }
}

/* Exactly the formulas of nn/plan.h and frame headers; weights are opened once an epoch. */
static void cost_is_the_plans(uint32_t sign, enum csl_profile profile) {
    struct csl_audit_policy audit = {.sign = sign, .views_mib = 1, .colluding = 1};
    struct csl_federation_options opt = world_options(3);
    opt.audit = &audit;
    opt.profile = csl_profile_name(profile);
    world_open(&world, &opt);
    for (int session = 0; session < 3; session++) {
        bool ahead = session == 1; /* announced or not, a batch costs the same */
        struct csl_client *c = ahead ? ahead_client() : world_client(&world, 16);
        for (uint32_t count = 1; count <= 16; count += 5) {
            struct csl_batch_stats s;
            announce_around(c, count, ahead);
            world_infer(&world, c, count, &s);
            assert_int_equal(s.profile, profile);
            check_cost(&world, csl_client_plan(c), &s, session == 0);
        }
        csl_client_close(c);
    }
    /* A new epoch, a new mask. */
    world_kill(&world, "hospital-b");
    world_spawn(&world, "hospital-b");
    struct csl_client *c = world_client(&world, 1);
    struct csl_batch_stats s;
    world_infer(&world, c, 1, &s);
    check_cost(&world, csl_client_plan(c), &s, true);
    csl_client_close(c);
}

static void cost_unsigned(void **state) {
    (void)state;
    cost_is_the_plans(CSL_ROSTER_SIGN_OFF, CSL_PROFILE_LAN);
}

static void cost_signed_after(void **state) {
    (void)state;
    cost_is_the_plans(CSL_ROSTER_SIGN_AFTER, CSL_PROFILE_WAN);
}

static void cost_wan(void **state) {
    (void)state;
    cost_is_the_plans(CSL_ROSTER_SIGN_BEFORE, CSL_PROFILE_WAN);
}

/* Party 0's option counts, whatever the others' say. */
static void the_first_party_chooses(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(2);
    opt.idle = true;
    opt.profile = NULL;
    world_open_unshared(&world, &opt);
    static const char *const wan[] = {"--profile", "wan", NULL}, *const lan[] = {"--profile", "lan", NULL};
    struct csl_diag diag = {""};
    must(csl_federation_spawn(world.fed, "dealer", NULL, NULL, &diag), &diag, "dealer");
    must(csl_federation_spawn(world.fed, "hospital-a", NULL, wan, &diag), &diag, "hospital-a");
    must(csl_federation_spawn(world.fed, "hospital-b", NULL, lan, &diag), &diag, "hospital-b");
    world_share(&world);
    struct csl_client *c = world_client(&world, 4);
    struct csl_batch_stats s;
    world_infer(&world, c, 4, &s);
    assert_int_equal(s.profile, CSL_PROFILE_WAN);
    csl_client_close(c);
}

/* Whatever it measures on this machine: the session is of one profile, and right. */
static void by_the_round_trip(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(3);
    opt.profile = "auto";
    world_open(&world, &opt);
    for (int session = 0; session < 2; session++) {
        struct csl_client *c = world_client(&world, 4);
        struct csl_batch_stats s;
        world_infer(&world, c, 4, &s);
        check_cost(&world, csl_client_plan(c), &s, session == 0);
        csl_client_close(c);
    }
}

static void cost_signed_before(void **state) {
    (void)state;
    cost_is_the_plans(CSL_ROSTER_SIGN_BEFORE, CSL_PROFILE_LAN);
}

static double number(const json_t *doc, const char *key) {
    const json_t *v = json_object_get(doc, key);
    if (!json_is_number(v)) {
        fail_msg("no number %s", key);
    }
    return json_number_value(v);
}

/* The commands, with network A: at most 12 rounds, and 10 KB a party and link. */
static void network_a(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(3);
    world_open_unshared(&world, &opt);
    const char *const share[] = {"model",  "share",  "examples/mnist/mnist_a.onnx",
                                 "--name", MODEL,    "--normalize",
                                 "unit",   "--json", NULL};
    const char *const infer[] = {"infer",
                                 "--model",
                                 MODEL,
                                 "--images",
                                 "examples/mnist/digits-images-idx3-ubyte",
                                 "--labels",
                                 "examples/mnist/digits-labels-idx1-ubyte",
                                 "--compare",
                                 "examples/mnist/mnist_a.onnx",
                                 "--count",
                                 "5",
                                 "--json",
                                 NULL};
    struct csl_diag diag = {""};
    json_t *doc;
    must(csl_federation_run(world.fed, &doc, CSL_FEDERATION_OWNER, share, &diag), &diag, "share");
    json_decref(doc);
    must(csl_federation_run(world.fed, &doc, CSL_FEDERATION_CLIENT, infer, &diag), &diag, "infer");
    assert_true(number(doc, "rounds") <= 12);
    assert_true(number(doc, "online_bytes_per_link") <= 10000);
    assert_true(number(doc, "agree_with_plain") == 1.0);
    assert_true(number(doc, "max_bound_use") <= 1.0);
    assert_int_equal(json_array_size(json_object_get(doc, "results")), 5);
    json_decref(doc);
}

/* ---- Who dials whom ---- */

static void overridden_directions(void **state) {
    (void)state;
    static const struct csl_federation_dial dials[] = {
        {"dealer", "hospital-a"}, {"dealer", "hospital-c"}, {"hospital-a", "hospital-b"}};
    struct csl_federation_options opt = world_options(3);
    opt.dials = dials;
    opt.n_dials = sizeof dials / sizeof *dials;
    world_open(&world, &opt);
    world_session(&world);
    batches(&world);
    struct csl_client *a = world_client(&world, 2), *b = world_client(&world, 2);
    world_infer(&world, a, 2, NULL);
    world_infer(&world, b, 2, NULL);
    csl_client_close(a);
    csl_client_close(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(two_parties, stop),
        cmocka_unit_test_teardown(three_parties, stop),
        cmocka_unit_test_teardown(five_parties, stop),
        cmocka_unit_test_teardown(sixteen_parties, stop),
        cmocka_unit_test_teardown(inputs_outside_the_interval, stop),
        cmocka_unit_test_teardown(two_clients, stop),
        cmocka_unit_test_teardown(more_clients_than_lanes, stop),
        cmocka_unit_test_teardown(no_lane_for_long, stop),
        cmocka_unit_test_teardown(cost_unsigned, stop),
        cmocka_unit_test_teardown(cost_signed_after, stop),
        cmocka_unit_test_teardown(cost_signed_before, stop),
        cmocka_unit_test_teardown(cost_wan, stop),
        cmocka_unit_test_teardown(the_first_party_chooses, stop),
        cmocka_unit_test_teardown(by_the_round_trip, stop),
        cmocka_unit_test_teardown(network_a, stop),
        cmocka_unit_test_teardown(overridden_directions, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
