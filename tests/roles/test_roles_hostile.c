/* Clients and parties that break the protocol: the end of their session, with a sentence, and of nothing
 * else. */
#include "world.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mpc/pack.h"

static struct world world;
static struct csl_timeouts timeouts;

static int start(void **state) {
    (void)state;
    timeouts = quick_timeouts();
    timeouts.session_idle_ms = 1000;
    struct csl_federation_options opt = world_options(3);
    opt.timeouts = &timeouts;
    opt.lanes = 2;
    world_open(&world, &opt);
    return 0;
}

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

static int still_serves(void **state) {
    (void)state;
    world_session(&world);
    world_lives(&world, NULL);
    return 0;
}

/* ---- Out of order ---- */

static void open_fake(struct fake *f) {
    fake_open(f, &world, &world.clinic);
    fake_session(f, 2);
}

/* Party i says why, and names the client. */
static void ends(struct fake *f, unsigned i, enum csl_err want, const char *word) {
    struct csl_diag diag = {""};
    FAILED(fake_end(f, i, &diag), &diag, want, csl_roster_party(&world.clinic.roster, i)->name, "clinic",
           word);
    fake_close(f);
}

static void input_before_prepare(void **state) {
    (void)state;
    struct fake f;
    open_fake(&f);
    fake_input(&f, 0, 1, 1);
    ends(&f, 0, CSL_EPROTO, "input where prepare is due");
    open_fake(&f);
    fake_send_vector(&f, 2, 1, 1);
    ends(&f, 2, CSL_EPROTO, "DATA");
}

static void wrong_batches(void **state) {
    (void)state;
    struct fake f;
    open_fake(&f);
    fake_prepare(&f, 1, 2, 1);
    ends(&f, 1, CSL_EPROTO, "batch 2");
    open_fake(&f);
    fake_prepare(&f, 0, 1, 3);
    ends(&f, 0, CSL_EPROTO, "3 inputs");
    open_fake(&f);
    fake_prepare_all(&f, 1, 2);
    fake_input(&f, 0, 7, 2);
    ends(&f, 0, CSL_EPROTO, "batch 7");
    open_fake(&f);
    fake_prepare_all(&f, 1, 2);
    fake_input(&f, 2, 7, 2);
    ends(&f, 2, CSL_EPROTO, "batch 7");
    open_fake(&f);
    fake_prepare_all(&f, 1, 2);
    struct fake_statement s;
    fake_sign(&s, &f, 1, 2);
    fake_send_input(&f, 2, 1, &s);
    fake_send_vector(&f, 2, 7, 2);
    csl_signed_clear(&s.s);
    ends(&f, 2, CSL_EPROTO, "DATA 7");
    open_fake(&f);
    fake_prepare_all(&f, 1, 2);
    fake_prepare(&f, 1, 2, 1); /* where an input is due */
    ends(&f, 1, CSL_EPROTO, "prepare where input is due");
}

/* Nobody else is blamed, and no input was asked for. */
static void another_count_at_one(void **state) {
    (void)state;
    struct fake f;
    struct csl_diag diag = {""};
    open_fake(&f);
    for (unsigned i = 0; i < world.n; i++) {
        fake_prepare(&f, i, 1, i == 1 ? 1 : 2);
    }
    FAILED(fake_end(&f, 1, &diag), &diag, CSL_EPROTO, "hospital-b", "clinic", "correlations 0 to 1");
    fake_close(&f);
}

/* ---- Input that is none ---- */

/* The last party's Input, before its DATA. */
static void announce_vector(struct fake *f, uint32_t count) {
    struct fake_statement s;
    fake_sign(&s, f, 1, count);
    fake_send_input(f, 2, 1, &s);
    csl_signed_clear(&s.s);
}

static void bad_inputs(void **state) {
    (void)state;
    struct fake f;
    struct csl_diag diag = {""};
    unsigned bits = csl_plan_input_bits(&world.net->plan);
    size_t n;
    uint8_t bytes[1024];
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(csl_pack_size(&n, 2 * N_IN, bits), CSL_OK);
    assert_true(n < sizeof bytes);
    open_fake(&f);
    fake_prepare_all(&f, 1, 2);
    announce_vector(&f, 2);
    fake_send(&f, 2, CSL_FRAME_DATA, 1, bytes, n - 1);
    ends(&f, 2, CSL_EPROTO, "bytes is due");
    open_fake(&f);
    fake_prepare_all(&f, 1, 2);
    announce_vector(&f, 2);
    fake_send(&f, 2, CSL_FRAME_DATA, 1, bytes, n + 1);
    FAILED(fake_end(&f, 2, &diag), &diag, CSL_EPEER, "hospital-c"); /* above the limit of a frame: cut off */
    fake_close(&f);
    open_fake(&f);
    fake_prepare_all(&f, 1, 1);
    assert_int_equal(csl_pack_size(&n, N_IN, bits), CSL_OK);
    assert_int_not_equal(n * 8, N_IN * bits); /* there are padding bits, and they are set */
    announce_vector(&f, 1);
    fake_send(&f, 2, CSL_FRAME_DATA, 1, bytes, n);
    ends(&f, 2, CSL_EPROTO, "input of clinic");
    open_fake(&f);
    fake_prepare_all(&f, 1, 2);
    CSL_CONTROL(m, body, Input, INPUT, INPUT, input);
    body.batch = 1;
    body.seed = csl_bytes(bytes, 31);
    must(csl_talk_send(&f.talks[0], &m, &diag), &diag, "send");
    ends(&f, 0, CSL_EPROTO, "seed");
}

/* ---- Frames ---- */

static void unasked_data(void **state) {
    (void)state;
    struct fake f;
    struct csl_diag diag = {""};
    uint8_t bytes[64] = {0};
    open_fake(&f); /* parties 0 and 1 take no DATA at all */
    fake_send(&f, 1, CSL_FRAME_DATA, 1, bytes, sizeof bytes);
    FAILED(fake_end(&f, 1, &diag), &diag, CSL_EPEER, "hospital-b");
    fake_close(&f);
    fake_open(&f, &world, &world.clinic); /* nor does a daemon */
    fake_dial(&f, 0, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    fake_send(&f, 0, CSL_FRAME_DATA, 1, bytes, sizeof bytes);
    FAILED(fake_end(&f, 0, &diag), &diag, CSL_EPEER, "hospital-a");
    fake_close(&f);
}

static void garbage(void **state) {
    (void)state;
    struct fake f;
    struct csl_diag diag = {""};
    static const uint8_t bytes[] = {0xff, 0xff, 0xff, 0xff, 1, 2, 3};
    open_fake(&f);
    fake_send(&f, 0, CSL_FRAME_CONTROL, 0, bytes, sizeof bytes);
    ends(&f, 0, CSL_EPROTO, "cannot be decoded");
    open_fake(&f);
    fake_send(&f, 1, CSL_FRAME_CONTROL, 0, bytes, 0);
    ends(&f, 1, CSL_EPROTO, "kind");
    open_fake(&f);
    fake_send(&f, 2, CSL_FRAME_HELLO, 0, bytes, sizeof bytes);
    ends(&f, 2, CSL_EPROTO, "HELLO");
    fake_open(&f, &world, &world.clinic); /* instead of a request */
    fake_dial(&f, 0, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    fake_send(&f, 0, CSL_FRAME_CONTROL, 0, bytes, sizeof bytes);
    FAILED(fake_end(&f, 0, &diag), &diag, CSL_EPROTO, "hospital-a", "cannot be decoded");
    fake_close(&f);
}

static void oversize(void **state) {
    (void)state;
    struct fake f;
    struct csl_diag diag = {""};
    enum { MORE = (1 << 20) + 1 };
    uint8_t *bytes = calloc(MORE, 1);
    assert_non_null(bytes);
    open_fake(&f);
    fake_send(&f, 0, CSL_FRAME_CONTROL, 0, bytes, MORE);
    FAILED(fake_end(&f, 0, &diag), &diag, CSL_EPEER, "hospital-a");
    fake_close(&f);
    fake_open(&f, &world, &world.clinic);
    fake_dial(&f, 0, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    fake_send(&f, 0, CSL_FRAME_CONTROL, 0, bytes, MORE);
    FAILED(fake_end(&f, 0, &diag), &diag, CSL_EPEER, "hospital-a");
    fake_close(&f);
    free(bytes);
}

/* A request that no client may make. */
static void odd_requests(void **state) {
    (void)state;
    struct fake f;
    struct csl_diag diag = {""};
    fake_open(&f, &world, &world.clinic);
    fake_dial(&f, 0, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    fake_prepare(&f, 0, 1, 1);
    FAILED(fake_end(&f, 0, &diag), &diag, CSL_EPROTO, "hospital-a", "first message");
    fake_dial(&f, 1, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    fake_ask(&f, 1, MODEL, 17);
    FAILED(fake_end(&f, 1, &diag), &diag, CSL_EUSAGE, "hospital-b", "17", "limit is 16");
    fake_dial(&f, 2, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    fake_ask(&f, 2, "", 1);
    FAILED(fake_end(&f, 2, &diag), &diag, CSL_EPERM, "hospital-c");
    fake_close(&f);
}

/* ---- Silence ---- */

static void silent_client(void **state) {
    (void)state;
    struct fake f;
    struct csl_diag diag = {""};
    fake_open(&f, &world, &world.clinic); /* after HELLO */
    fake_dial(&f, 0, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    FAILED2(fake_end(&f, 0, &diag), &diag, CSL_EPEER, CSL_ETIMEOUT, "hospital-a");
    fake_close(&f);
    open_fake(&f); /* in a session; whose clock runs out first tells the others */
    FAILED2(fake_end(&f, 0, &diag), &diag, CSL_ETIMEOUT, CSL_EPEER, "hospital-a", "no answer from clinic");
    fake_close(&f);
    open_fake(&f); /* where an input is due */
    fake_prepare_all(&f, 1, 1);
    FAILED2(fake_end(&f, 1, &diag), &diag, CSL_ETIMEOUT, CSL_EPEER, "hospital-b", "no answer from clinic");
    fake_close(&f);
}

/* Asked at one party only: the others never join. */
static void half_a_session(void **state) {
    (void)state;
    struct fake f;
    struct csl_diag diag = {""};
    fake_open(&f, &world, &world.clinic);
    fake_dial(&f, 0, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    fake_ask(&f, 0, MODEL, 1);
    fake_expect(&f, 0, CSL__PB__CONTROL__KIND_ADMITTED);
    FAILED(fake_end(&f, 0, &diag), &diag, CSL_ETIMEOUT, "hospital-a", "hospital-b", "did not join");
    fake_close(&f);
}

/* ---- Floods ---- */

enum { SOCKETS = 100, GREETINGS = 300 }; /* a listener has 64 handshakes at a time, each for a second */

static void sockets_that_say_nothing(void **state) {
    (void)state;
    int fds[SOCKETS];
    const struct csl_member *a = csl_roster_party(&world.clinic.roster, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(a->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < SOCKETS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(fds[i], (struct sockaddr *)&to, sizeof to);
    }
    world_session(&world);
    for (int i = 0; i < SOCKETS; i++) {
        (void)close(fds[i]);
    }
}

/* A client of the roster that opens connections and asks for nothing: some are refused, and when it has gone
 * all is as before. */
static void greetings_that_ask_nothing(void **state) {
    (void)state;
    static struct csl_talk talks[GREETINGS];
    struct csl_talk *wait;
    struct fake f;
    struct csl_diag diag = {""};
    unsigned refused = 0;
    fake_open(&f, &world, &world.clinic);
    for (int i = 0; i < GREETINGS; i++) {
        must(csl_talk_dial(&talks[i], &f.worker, csl_roster_party(&world.clinic.roster, 0),
                           CSL__PB__PURPOSE__PURPOSE_CLIENT, NULL, &diag),
             &diag, "dial");
        wait = &talks[i];
        refused += csl_talk_wait_ready(&f.worker, &wait, 1, FAKE_WAIT_MS, &diag) != CSL_OK;
    }
    for (int i = 0; i < GREETINGS; i++) {
        csl_talk_close(&talks[i]);
    }
    fake_close(&f);
    (void)refused; /* how many depends on how fast they come: each lives for handshake_ms */
}

/* ---- A party that breaks the protocol ---- */

static void short_message(const char *name, const char *round, const char *word) {
    struct csl_diag diag = {""};
    world_kill(&world, name);
    world_spawn_hostile(&world, name, (const char *const[]){"--short-at", round, NULL});
    enum csl_err err = world_try(&world, &diag);
    FAILED2(err, &diag, CSL_EPROTO, CSL_EPEER, name, word);
    world_kill(&world, name);
    world_spawn(&world, name);
    world_session(&world);
}

static void short_messages(void **state) {
    (void)state;
    short_message("hospital-b", "round:1", "round 1");
    short_message("hospital-a", "round:2", "round 2");
    short_message("hospital-c", "round:3", "round 3");
    short_message("hospital-b", "round:4", "round 4");
    short_message("hospital-a", "round:5", "round 5");
    short_message("hospital-c", "round:9", "round 9"); /* the last opening, with its signature */
}

/* The last test: a failure of the group's teardown would not count. */
static void all_end_in_order(void **state) {
    (void)state;
    world_lives(&world, NULL);
    world_close(&world);
}

int main(void) {
#define THEN_SERVES(test) cmocka_unit_test_teardown(test, still_serves)
    const struct CMUnitTest tests[] = {
        THEN_SERVES(input_before_prepare),
        THEN_SERVES(wrong_batches),
        THEN_SERVES(another_count_at_one),
        THEN_SERVES(bad_inputs),
        THEN_SERVES(unasked_data),
        THEN_SERVES(garbage),
        THEN_SERVES(oversize),
        THEN_SERVES(odd_requests),
        THEN_SERVES(silent_client),
        THEN_SERVES(half_a_session),
        THEN_SERVES(sockets_that_say_nothing),
        THEN_SERVES(greetings_that_ask_nothing),
        THEN_SERVES(short_messages),
        cmocka_unit_test(all_end_in_order),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
