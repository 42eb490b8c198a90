/* Sessions that are none: replayed, unknown, or of other things at one party. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct world world;
static struct csl_timeouts timeouts;

static int start(void **state) {
    (void)state;
    timeouts = quick_timeouts();
    struct csl_federation_options opt = world_options(3);
    opt.timeouts = &timeouts;
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

static void peer_without_session(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_context b;
    struct fake f, client;
    world_context(&b, &world, "hospital-b");
    fake_open(&f, &world, &b);
    fake_dial(&f, 0, CSL__PB__PURPOSE__PURPOSE_PEER);
    csl_conn_set_reading(f.talks[0].conn, true);
    FAILED(fake_end(&f, 0, &diag), &diag, CSL_EPEER, "hospital-a"); /* parked, then dropped */
    fake_close(&f);

    fake_open(&client, &world, &world.clinic);
    fake_session(&client, 1);
    fake_open(&f, &world, &b);
    for (unsigned i = 0; i < world.n; i++) {
        CSL_CONTROL(m, body, CloseSession, CLOSE_SESSION, CLOSE_SESSION, close_session);
        must(csl_talk_send(&client.talks[i], &m, &diag), &diag, "close");
        FAILED(fake_end(&client, i, &diag), &diag, CSL_EPEER, "ended the connection");
    }
    memcpy(f.id, client.id, sizeof f.id);
    fake_dial(&f, 0, CSL__PB__PURPOSE__PURPOSE_PEER);
    csl_conn_set_reading(f.talks[0].conn, true);
    /* The lane that ends just now drops it without a word; the main thread says so. */
    FAILED2(fake_end(&f, 0, &diag), &diag, CSL_ESTALE, CSL_EPEER, "hospital-a", "ended|cut off");
    fake_close(&f);
    fake_close(&client);
    csl_context_free(&b);
}

static void replayed_session(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct fake f, again;
    fake_open(&f, &world, &world.clinic);
    fake_session(&f, 1);
    fake_open(&again, &world, &world.clinic);
    memcpy(again.id, f.id, sizeof f.id);
    for (unsigned i = 0; i < world.n; i++) { /* while it runs, and after */
        fake_dial(&again, i, CSL__PB__PURPOSE__PURPOSE_CLIENT);
        fake_ask(&again, i, MODEL, 1);
        FAILED(fake_end(&again, i, &diag), &diag, CSL_ESTALE, "used before");
    }
    fake_close(&again);
    fake_close(&f);
    fake_open(&again, &world, &world.clinic);
    memcpy(again.id, f.id, sizeof f.id);
    fake_dial(&again, 0, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    fake_ask(&again, 0, MODEL, 1);
    FAILED(fake_end(&again, 0, &diag), &diag, CSL_ESTALE, "hospital-a", "used before");
    fake_close(&again);
}

static void ask_all(struct fake *f, uint32_t batch_at_b) {
    fake_open(f, &world, &world.clinic);
    for (unsigned i = 0; i < world.n; i++) {
        fake_dial(f, i, CSL__PB__PURPOSE__PURPOSE_CLIENT);
        fake_ask(f, i, MODEL, i == 1 ? batch_at_b : 2);
    }
}

static void other_batch_size_at_one(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct fake f;
    ask_all(&f, 1);
    FAILED2(fake_end(&f, 0, &diag), &diag, CSL_EPROTO, CSL_EPEER, "hospital-a", "hospital-b",
            "batch size|round 1");
    fake_close(&f);
}

static void copy(const char *from, const char *to) {
    char bytes[65536];
    FILE *in = fopen(from, "re"), *out = fopen(to, "we");
    assert_non_null(in);
    assert_non_null(out);
    size_t n = fread(bytes, 1, sizeof bytes, in);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    (void)fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* One party restored an old backup of its models: its ledger does not let it serve that. Where it takes the
 * old package in again, the others notice. */
static void other_model_at_one(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct fake f;
    char now[1024], old[1024];
    world_path(now, &world, "hospital-b", "state/models/" MODEL ".model");
    world_path(old, &world, "hospital-b", "old.model");
    copy(now, old);
    world_share(&world);
    world_session(&world);
    world_kill(&world, "hospital-b");
    copy(old, now);
    world_spawn(&world, "hospital-b");
    fake_open(&f, &world, &world.clinic);
    fake_dial(&f, 1, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    fake_ask(&f, 1, MODEL, 1);
    FAILED(fake_end(&f, 1, &diag), &diag, CSL_EAUTH, "hospital-b", MODEL, "newest entry");
    fake_close(&f);
    world_kill(&world, "hospital-b");
    const char *args[] = {"model", "install", old, "--json", NULL};
    json_t *doc;
    must(csl_federation_run_as(world.fed, &doc, "hospital-b", args, &diag), &diag, "install");
    json_decref(doc);
    world_spawn(&world, "hospital-b");
    (void)!world_try(&world, &diag); /* waits for the new epoch, too */
    ask_all(&f, 2);
    FAILED2(fake_end(&f, 0, &diag), &diag, CSL_ESTALE, CSL_EPEER, "hospital-b", "another version of model");
    fake_close(&f);
    world_share(&world);
}

static void model_never_shared(void **state) {
    (void)state;
    struct world other;
    struct csl_diag diag = {""};
    struct csl_federation_options opt = world_options(2);
    world_open_unshared(&other, &opt);
    enum csl_err err = world_try(&other, &diag);
    world_share(&other); /* what the sentence advises; and all daemons are up before they are told to end */
    world_session(&other);
    world_close(&other);
    FAILED(err, &diag, CSL_EUNAVAILABLE, "hospital-a", MODEL, "not shared", "model share");
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
        THEN_SERVES(peer_without_session),    THEN_SERVES(replayed_session),
        THEN_SERVES(other_batch_size_at_one), THEN_SERVES(other_model_at_one),
        cmocka_unit_test(model_never_shared), cmocka_unit_test(all_end_in_order),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
