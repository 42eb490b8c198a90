/* A shared session that fails, or ends: every guest hears of it, with the name of who failed; and the next
 * one opens. */
#include "forward.h"
#include "guest.h"

#include <string.h>
#include <time.h>

static struct world world;
static struct csl_timeouts timeouts;
static struct visitors visitors;

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

/* idle_ms 0: far longer than a test takes. */
static void open_parties(unsigned n, uint32_t idle_ms) {
    struct csl_federation_options opt = world_options(n);
    timeouts = quick_timeouts();
    timeouts.session_idle_ms = idle_ms != 0 ? idle_ms : timeouts.session_idle_ms;
    opt.lanes = 1;
    opt.timeouts = &timeouts;
    world_open(&world, &opt);
}

/* ---- A party, or the dealer, fails ---- */

static void instrument(const char *name, const char *fault, const char *point) {
    world_kill(&world, name);
    world_spawn_hostile(&world, name, (const char *const[]){fault, point, NULL});
}

static void all_failed(const char *name) {
    visitors_end(&visitors);
    for (unsigned i = 0; i < visitors.n; i++) {
        struct visitor *v = &visitors.at[i];
        FAILED2(v->err, &v->diag, CSL_EPEER, CSL_EUNAVAILABLE, name);
        assert_true(v->done < v->requests);
    }
}

static void recovers(const char *name) {
    world_lives(&world, name);
    world_spawn(&world, name);
    guest_visit(&world);
}

/* Rounds 1 to 3 set the session up; then ticks, and batches of five openings. */
static void killed_at(const char *name, const char *point) {
    instrument(name, "--stop-at", point);
    visitors_start(&visitors, 4, &world, VISITOR_REQUESTS);
    world_wait_stopped(&world, name);
    world_kill(&world, name);
    all_failed(name);
    recovers(name);
}

static void killed_in_a_batch(void **state) {
    (void)state;
    open_parties(3, 0);
    killed_at("hospital-a", "round:6");
    killed_at("hospital-b", "round:8");
    killed_at("hospital-c", "round:20");
}

static void killed_in_a_tick(void **state) {
    (void)state;
    open_parties(2, 0);
    killed_at("hospital-b", "round:4");
}

static void dealer_killed(void **state) {
    (void)state;
    open_parties(2, 0);
    killed_at("dealer", "deal:3");
}

/* ---- A party lies in a tick ---- */

static void a_bad_tick(const char *fault, const char *how, const char *words) {
    struct csl_diag diag = {""};
    struct csl_client *c;
    instrument("hospital-b", fault, how);
    enum csl_err err = guest_client_open(&c, &world.clinic, 2, &diag);
    if (err == CSL_OK) {
        float x[2 * N_IN] = {0};
        double logits[2 * N_OUT];
        struct csl_batch_stats s;
        err = world_client_infer(c, logits, &s, x, 2, &diag);
        csl_client_close(c);
    }
    FAILED2(err, &diag, CSL_EPROTO, CSL_EPEER, "hospital-b", words);
    world_kill(&world, "hospital-b");
    recovers("hospital-b");
}

static void bad_ticks(void **state) {
    (void)state;
    open_parties(2, 0);
    static const char *const senseless[] = {"many", "twice", "number", "count", "large", "flags"};
    for (size_t i = 0; i < sizeof senseless / sizeof *senseless; i++) {
        a_bad_tick("--tick", senseless[i], "tick that makes no sense");
    }
    a_bad_tick("--flip-at", "round:4", "tick that makes no sense");
    a_bad_tick("--short-at", "round:4", "bytes");
}

/* ---- It ends ---- */

/* There is one lane: it is given back when nobody has been in the session for session_idle_ms. */
static void nobody_there(void **state) {
    (void)state;
    open_parties(3, 1000);
    guest_visit(&world);
    world_session(&world); /* waits for the lane, connect_ms + handshake_ms at most */
    guest_visit(&world);
}

/* Guests that ask for nothing, or of one party only, do not keep it. */
static void idle_guests(void **state) {
    (void)state;
    open_parties(2, 1000);
    struct guest silent, half;
    struct csl_diag diag = {""};
    guest_open(&silent, &world);
    guest_enter(&silent, 2);
    guest_open(&half, &world);
    guest_enter(&half, 2);
    guest_send(&half, 0, 1, 2);
    FAILED(fake_end(&silent.f, 0, &diag), &diag, CSL_ETIMEOUT, "clinic sent no request");
    FAILED(fake_end(&half.f, 0, &diag), &diag, CSL_ETIMEOUT, "request 1 was not answered");
    FAILED(fake_end(&half.f, 1, &diag), &diag, CSL_ETIMEOUT, "clinic sent no request");
    guest_close(&silent);
    guest_close(&half);
    world_session(&world);
}

/* Its parties never come together: the one lane is given back, too. */
static void opened_at_one_party(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(2);
    timeouts = quick_timeouts();
    timeouts.connect_ms = timeouts.handshake_ms =
        1000; /* how long a party waits for the others, in all 3 s */
    opt.lanes = 1;
    opt.timeouts = &timeouts;
    world_open(&world, &opt);
    struct guest g;
    struct csl_diag diag = {""};
    guest_open(&g, &world);
    guest_join(&g, 0, 2);
    FAILED2(fake_end(&g.f, 0, &diag), &diag, CSL_ETIMEOUT, CSL_EPEER, "hospital-b");
    guest_close(&g);
    guest_visit(&world);
}

/* Daemons that are told to stop end at once, and say so. */
static void stopped(void **state) {
    (void)state;
    open_parties(2, 0);
    struct guest g;
    struct csl_diag diag = {""};
    guest_open(&g, &world);
    guest_enter(&g, 2);
    world_signal(&world, "hospital-a", SIGTERM);
    FAILED2(fake_end(&g.f, 0, &diag), &diag, CSL_EPEER, CSL_EUNAVAILABLE, "hospital-a");
    guest_close(&g);
    assert_int_equal(csl_federation_wait_ended(world.fed, "hospital-a"), 0);
    recovers("hospital-a");
}

/* ---- A new epoch ---- */

static struct forward to_dealer; /* hospital-a's way to the dealer */

static enum csl_err through(void *arg, uint16_t *via, const uint16_t *ports, size_t n,
                            struct csl_diag *diag) {
    (void)arg;
    (void)diag;
    memcpy(via, ports, n * sizeof *via);
    forward_start(&to_dealer, ports[n - 1]); /* the last one is the dealer's */
    via[n - 1] = to_dealer.port;
    return CSL_OK;
}

static int stop_forward(void **state) {
    forward_stop(&to_dealer);
    return stop(state);
}

static void keep_id(void *arg, const uint8_t session_id[CSL_SESSION_ID_BYTES]) {
    memcpy(arg, session_id, CSL_SESSION_ID_BYTES);
}

static struct csl_client *join_and_tell(uint8_t id[CSL_SESSION_ID_BYTES]) {
    struct csl_client *c;
    struct csl_diag diag = {""};
    struct csl_client_options opt = {
        .model = MODEL, .max_batch = 4, .shared = true, .on_session = keep_id, .arg = id};
    must(csl_client_open(&c, &world.clinic, &opt, &diag), &diag, "join");
    return c;
}

/* hospital-a is lost to the dealer and comes back: a new epoch. Sessions of the last one go on as long as
 * somebody is in them; whoever comes joins another; and when the last has left, the lane is free at once. */
static void a_new_epoch(void **state) {
    (void)state;
    static const struct csl_federation_dial dials[] = {{"dealer", "hospital-b"}};
    struct csl_federation_options opt = world_options(2);
    timeouts = quick_timeouts(); /* but a session may idle for two minutes */
    opt.lanes = 2;
    opt.timeouts = &timeouts;
    opt.via = through;
    opt.dials = dials;
    opt.n_dials = 1;
    world_open(&world, &opt);
    uint8_t before[CSL_SESSION_ID_BYTES], now_id[CSL_SESSION_ID_BYTES];
    struct csl_client *old = join_and_tell(before), *fresh = join_and_tell(now_id);
    assert_memory_equal(before, now_id, sizeof before);
    world_infer(&world, old, 4, NULL);
    forward_cut(&to_dealer);
    while (memcmp(before, now_id, sizeof before) == 0) { /* until hospital-a has noticed */
        csl_client_close(fresh);
        fresh = join_and_tell(now_id);
    }
    world_infer(&world, old, 4, NULL);
    world_infer(&world, fresh, 2, NULL);
    world_infer(&world, old, 1, NULL);
    csl_client_close(old);
    world_session(&world); /* there are two lanes, and one is the new session's */
    world_infer(&world, fresh, 4, NULL);
    csl_client_close(fresh);
    world_lives(&world, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(killed_in_a_batch, stop),
        cmocka_unit_test_teardown(killed_in_a_tick, stop),
        cmocka_unit_test_teardown(dealer_killed, stop),
        cmocka_unit_test_teardown(bad_ticks, stop),
        cmocka_unit_test_teardown(nobody_there, stop),
        cmocka_unit_test_teardown(idle_guests, stop),
        cmocka_unit_test_teardown(opened_at_one_party, stop),
        cmocka_unit_test_teardown(stopped, stop),
        cmocka_unit_test_teardown(a_new_epoch, stop_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
