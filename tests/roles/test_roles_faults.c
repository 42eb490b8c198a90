/* A party, the dealer or the client dies or hangs in each phase of a session. The client must hear of it
 * within seconds, with the name of who failed and, where there was one, the round; all other daemons live on;
 * and once the dead one is back, the next session works. There is one lane: it must have been given back. */
#include "world.h"

#include <string.h>
#include <time.h>

static struct world world;
static struct csl_timeouts timeouts;

enum { SECONDS = 20 }; /* far above what it takes, below round_ms */

static int start(void **state) {
    (void)state;
    timeouts = quick_timeouts();
    struct csl_federation_options opt = world_options(3);
    opt.lanes = 1;
    opt.timeouts = &timeouts;
    world_open(&world, &opt);
    return 0;
}

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

static int revive(void **state) {
    (void)state;
    world_revive(&world);
    return 0;
}

static time_t now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* name runs with a breakpoint from now on. */
static void instrument(const char *name, const char *point) {
    world_kill(&world, name);
    world_spawn_hostile(&world, name, (const char *const[]){"--stop-at", point, NULL});
}

static void recovers(const char *name) {
    world_lives(&world, name);
    world_spawn(&world, name);
    world_session(&world);
    world_lives(&world, NULL);
}

/* ---- Killed ---- */

static void before_the_session(void **state) {
    (void)state;
    for (unsigned i = 0; i < world.n; i++) {
        const char *name = csl_federation_party_name(world.fed, i);
        struct csl_diag diag = {""};
        world_kill(&world, name);
        FAILED2(world_try(&world, &diag), &diag, CSL_EUNAVAILABLE, CSL_EPEER, name);
        recovers(name);
    }
}

/* The daemon reaches the point of the session and is killed there. */
static void killed_at(const char *name, const char *point, const char *round) {
    struct attempt a;
    instrument(name, point);
    attempt_start(&a, &world);
    world_wait_stopped(&world, name);
    time_t from = now();
    world_kill(&world, name);
    FAILED2(attempt_join(&a), &a.diag, CSL_EPEER, CSL_EUNAVAILABLE, name, round);
    assert_true(now() - from <= SECONDS);
    recovers(name);
}

static void while_connecting(void **state) {
    (void)state;
    killed_at("hospital-a", "mesh:1", "");
    killed_at("hospital-b", "mesh:1", "");
    killed_at("hospital-c", "mesh:1", "");
}

/* Round 1 is the agreement, round 2 the masked weights, round 3 the signatures of the session. */
static void while_setting_up(void **state) {
    (void)state;
    killed_at("hospital-b", "round:1", ""); /* the others may be connecting still */
    killed_at("hospital-a", "round:2", "round 2|round 1");
    killed_at("hospital-c", "round:3", "round 3|round 2");
}

static void while_correlations_are_made(void **state) {
    (void)state;
    killed_at("hospital-b", "prepare:1", "");
    killed_at("hospital-c", "prepare:1", "");
    killed_at("hospital-a", "round:4", "round 4|round 3"); /* the dealer's statement */
}

/* It had all messages of the round before, but of the two others one may still have waited for the other's
 * then, or, before the first round of a batch, for its input. */
static void in_a_round(void **state) {
    (void)state;
    killed_at("hospital-a", "round:5", "round 5|round 4|the input of clinic");
    killed_at("hospital-b", "round:7", "round 7|round 6");
    killed_at("hospital-c", "round:9", "round 9|round 8"); /* with the signatures */
}

static void between_batches(void **state) {
    (void)state;
    for (unsigned i = 0; i < world.n; i++) {
        const char *name = csl_federation_party_name(world.fed, i);
        struct csl_client *c = world_client(&world, 2);
        float x[N_IN] = {0};
        double logits[N_OUT];
        struct csl_batch_stats s;
        struct csl_diag diag = {""};
        world_infer(&world, c, 2, NULL);
        world_kill(&world, name);
        FAILED(world_client_infer(c, logits, &s, x, 1, &diag), &diag, CSL_EPEER, name);
        FAILED(world_client_infer(c, logits, &s, x, 1, &diag), &diag, CSL_EUSAGE, "ended");
        csl_client_close(c);
        recovers(name);
    }
}

/* ---- Stopped: no goodbye from the kernel, only silence ---- */

static void hangs_in_a_round(void **state) {
    (void)state;
    struct attempt a;
    instrument("hospital-b", "round:6");
    attempt_start(&a, &world);
    world_wait_stopped(&world, "hospital-b");
    time_t from = now();
    FAILED2(attempt_join(&a), &a.diag, CSL_EPEER, CSL_ETIMEOUT, "hospital-b", "round 6|round 5");
    assert_true(now() - from <= SECONDS);
    world_signal(&world, "hospital-b", SIGCONT);
    world_session(&world); /* it finds its place again */
    world_lives(&world, NULL);
}

static void hangs_before_the_session(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    world_signal(&world, "hospital-c", SIGSTOP);
    world_wait_stopped(&world, "hospital-c");
    time_t from = now();
    FAILED2(world_try(&world, &diag), &diag, CSL_ETIMEOUT, CSL_EPEER, "hospital-c");
    assert_true(now() - from <= SECONDS);
    world_signal(&world, "hospital-c", SIGCONT);
    world_session(&world);
    world_lives(&world, NULL);
}

/* ---- The dealer ---- */

static void dealer_before_the_session(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    world_kill(&world, "dealer");
    FAILED2(world_try(&world, &diag), &diag, CSL_EUNAVAILABLE, CSL_EPEER, "dealer");
    recovers("dealer");
}

static void dealer_in_a_batch(void **state) {
    (void)state;
    killed_at("dealer", "deal:1", "");
    struct csl_client *c;
    instrument("dealer", "deal:2");
    c = world_client(&world, 1);
    world_infer(&world, c, 1, NULL);
    csl_client_close(c);
    struct attempt a;
    attempt_start(&a, &world);
    world_wait_stopped(&world, "dealer");
    world_kill(&world, "dealer");
    FAILED(attempt_join(&a), &a.diag, CSL_EPEER, "dealer");
    recovers("dealer");
}

static void dealer_hangs_in_a_batch(void **state) {
    (void)state;
    struct attempt a;
    instrument("dealer", "deal:1");
    attempt_start(&a, &world);
    world_wait_stopped(&world, "dealer");
    FAILED2(attempt_join(&a), &a.diag, CSL_EPEER, CSL_ETIMEOUT, "dealer");
    world_signal(&world, "dealer", SIGCONT);
    world_session(&world);
    world_lives(&world, NULL);
}

/* ---- The client ---- */

static void vanish(struct fake *f) {
    for (unsigned i = 0; i < world.n; i++) { /* as the kernel does for a process that was killed */
        if (f->talks[i].conn != NULL) {
            csl_conn_close(f->talks[i].conn, CSL_EPEER, "killed");
        }
    }
    fake_close(f);
    world_session(&world);
    world_lives(&world, NULL);
}

static void client_vanishes(void **state) {
    (void)state;
    struct fake f;
    fake_open(&f, &world, &world.clinic);
    fake_dial(&f, 0, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    fake_ask(&f, 0, MODEL, 1);
    fake_expect(&f, 0, CSL__PB__CONTROL__KIND_ADMITTED);
    vanish(&f); /* one party has a lane for it */

    fake_open(&f, &world, &world.clinic);
    fake_session(&f, 2);
    vanish(&f);

    fake_open(&f, &world, &world.clinic);
    fake_session(&f, 2);
    fake_prepare_all(&f, 1, 2);
    vanish(&f);

    fake_open(&f, &world, &world.clinic);
    fake_session(&f, 2);
    fake_prepare_all(&f, 1, 2);
    fake_input(&f, 0, 1, 2); /* the others wait for theirs, party 0 for the others */
    fake_input(&f, 2, 1, 2);
    vanish(&f);

    fake_open(&f, &world, &world.clinic);
    fake_session(&f, 2);
    fake_prepare_all(&f, 1, 2);
    fake_input_all(&f, 1, 2); /* nobody takes the output */
    vanish(&f);
}

/* The last test: a failure of the group's teardown would not count. */
static void all_end_in_order(void **state) {
    (void)state;
    world_lives(&world, NULL);
    world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(before_the_session, revive),
        cmocka_unit_test_teardown(while_connecting, revive),
        cmocka_unit_test_teardown(while_setting_up, revive),
        cmocka_unit_test_teardown(while_correlations_are_made, revive),
        cmocka_unit_test_teardown(in_a_round, revive),
        cmocka_unit_test_teardown(between_batches, revive),
        cmocka_unit_test_teardown(hangs_in_a_round, revive),
        cmocka_unit_test_teardown(hangs_before_the_session, revive),
        cmocka_unit_test_teardown(dealer_before_the_session, revive),
        cmocka_unit_test_teardown(dealer_in_a_batch, revive),
        cmocka_unit_test_teardown(dealer_hangs_in_a_batch, revive),
        cmocka_unit_test_teardown(client_vanishes, revive),
        cmocka_unit_test(all_end_in_order),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
