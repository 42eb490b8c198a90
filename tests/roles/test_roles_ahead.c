/* Sessions whose client announces batches ahead: any number of them and of any sizes; what is refused, by the
 * client's program and by parties; and that nothing hangs when a client, a party or the dealer dies while
 * batches are announced, being made, ready, or in a round. */
#include "judge.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "audit/verify.h"

static struct world world;
static struct csl_timeouts timeouts;

enum { MAX = 16, SECONDS = 10 /* far above what it takes */ };

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

static int start(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(3);
    timeouts = quick_timeouts();
    timeouts.round_ms = 2000;
    opt.timeouts = &timeouts;
    opt.lanes = 1; /* it must be given back */
    world_open(&world, &opt);
    return 0;
}

static int revive(void **state) {
    (void)state;
    world_revive(&world);
    return 0;
}

static enum csl_err try_open(struct csl_client **c, struct csl_diag *diag) {
    struct csl_client_options opt = {.model = MODEL, .max_batch = MAX, .ahead = true};
    return csl_client_open(c, &world.clinic, &opt, diag);
}

static struct csl_client *open_ahead(void) {
    struct csl_diag diag = {""};
    struct csl_client *c;
    must(try_open(&c, &diag), &diag, "open");
    return c;
}

static void announce(struct csl_client *c, uint32_t count) {
    struct csl_diag diag = {""};
    must(csl_client_announce(c, count, &diag), &diag, "announce");
}

/* ---- Streams ---- */

/* Each as early as it may be; its offline bytes are its own. */
static void stream(const uint32_t *counts, size_t n) {
    struct csl_client *c = open_ahead();
    struct csl_batch_stats s;
    uint64_t each = 0, other = 0;
    for (size_t b = 0, announced = 0; b < n; b++) {
        for (; announced < n && announced < b + CSL_CLIENT_AHEAD; announced++) {
            announce(c, counts[announced]);
        }
        world_infer(&world, c, counts[b], &s);
        assert_int_equal(s.count, counts[b]);
        assert_int_equal(s.batch, b + 1);
        if (counts[b] == 1) {
            each = s.offline_bytes;
        } else if (counts[b] == 2) {
            other = s.offline_bytes;
        }
    }
    assert_true(each == 0 || other == 0 || each < other);
    csl_client_close(c);
}

static void streams(void **state) {
    (void)state;
    static const uint32_t two[] = {16, 1}, three[] = {1, 16, 2},
                          many[] = {1, 2, 3, 16, 1, 1, 9, 4, 16, 16, 5, 2};
    stream(two, 2);
    stream(three, 3);
    stream(many, sizeof many / sizeof *many);
    struct csl_client *c = open_ahead(); /* who may announce need not */
    world_infer(&world, c, 3, NULL);
    announce(c, 5);
    world_infer(&world, c, 5, NULL);
    world_infer(&world, c, 1, NULL);
    csl_client_close(c);
    world_session(&world);
}

/* ---- What the client's program refuses ---- */

static void wrong_use(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    struct csl_batch_stats s;
    float x[MAX * N_IN] = {0};
    double logits[MAX * N_OUT];
    struct csl_client *c = world_client(&world, 2);
    FAILED(csl_client_announce(c, 1, &diag), &diag, CSL_EUSAGE, "not opened for it");
    csl_client_close(c);
    struct csl_client_options both = {.model = MODEL, .max_batch = 2, .ahead = true, .shared = true};
    FAILED(csl_client_open(&c, &world.clinic, &both, &diag), &diag, CSL_EUSAGE, "shared session");
    c = open_ahead();
    FAILED(csl_client_announce(c, 0, &diag), &diag, CSL_EUSAGE, "batch of 0");
    FAILED(csl_client_announce(c, MAX + 1, &diag), &diag, CSL_EUSAGE, "batch of 17");
    announce(c, 2);
    announce(c, 1);
    FAILED(csl_client_announce(c, 1, &diag), &diag, CSL_EUSAGE, "batch 3", "too many");
    FAILED(world_client_infer(c, logits, &s, x, 3, &diag), &diag, CSL_EUSAGE, "batch of 3", "of 2");
    x[N_IN + 3] = 1.5F;
    FAILED(world_client_infer(c, logits, &s, x, 2, &diag), &diag, CSL_EDATA, "input 1, element 3");
    world_infer(&world, c, 2, NULL); /* it is still due */
    world_infer(&world, c, 1, NULL);
    csl_client_close(c);
}

/* ---- What parties refuse ---- */

static void ask(struct fake *f, unsigned i, bool ahead, bool shared) {
    uint8_t guest[16] = {1};
    struct csl_diag diag = {""};
    CSL_CONTROL(m, body, OpenSession, OPEN_SESSION, OPEN_SESSION, open_session);
    body.session_id = csl_bytes(f->id, sizeof f->id);
    body.model = (char *)(uintptr_t)MODEL;
    body.max_batch = 4;
    body.ahead = ahead;
    body.shared = shared;
    body.guest_id = csl_bytes(guest, shared ? sizeof guest : 0);
    must(csl_talk_send(&f->talks[i], &m, &diag), &diag, "ask");
}

static void enter(struct fake *f) {
    fake_open(f, &world, &world.clinic);
    for (unsigned i = 0; i < world.n; i++) {
        fake_dial(f, i, CSL__PB__PURPOSE__PURPOSE_CLIENT);
        ask(f, i, true, false);
        fake_expect(f, i, CSL__PB__CONTROL__KIND_ADMITTED);
    }
    for (unsigned i = 0; i < world.n; i++) {
        fake_expect(f, i, CSL__PB__CONTROL__KIND_SESSION_READY);
    }
}

static void ends(struct fake *f, unsigned i, enum csl_err want, const char *word) {
    struct csl_diag diag = {""};
    FAILED(fake_end(f, i, &diag), &diag, want, csl_roster_party(&world.clinic.roster, i)->name, "clinic",
           word);
    fake_close(f);
    world_session(&world);
}

static void wrong_announcements(void **state) {
    (void)state;
    struct fake f;
    enter(&f);
    for (uint32_t batch = 1; batch <= 3; batch++) {
        fake_prepare(&f, 1, batch, 1);
    }
    ends(&f, 1, CSL_EPROTO, "at most 2 may wait");
    enter(&f);
    fake_prepare(&f, 0, 2, 1);
    ends(&f, 0, CSL_EPROTO, "batch 1 of at most 4 is due");
    enter(&f);
    fake_prepare_all(&f, 1, 4);
    fake_prepare(&f, 2, 1, 4); /* again, when its input is due */
    ends(&f, 2, CSL_EPROTO, "announced batch 1");
    enter(&f);
    fake_prepare(&f, 2, 1, 5);
    ends(&f, 2, CSL_EPROTO, "5 inputs");
    enter(&f);
    fake_prepare(&f, 0, 1, 0);
    ends(&f, 0, CSL_EPROTO, "count");
    enter(&f);
    fake_input(&f, 1, 1, 1);
    ends(&f, 1, CSL_EPROTO, "input where prepare is due");
}

/* Parties that were told different things: by count, by whether there is another batch, and by what session.
 */
static void told_differently(void **state) {
    (void)state;
    struct fake f;
    struct csl_diag diag = {""};
    enter(&f);
    fake_prepare_all(&f, 1, 2); /* the batch that is served meanwhile is not to blame */
    fake_prepare(&f, 0, 2, 3);
    fake_prepare(&f, 1, 2, 3);
    fake_prepare(&f, 2, 2, 1);
    FAILED2(fake_end(&f, 0, &diag), &diag, CSL_EPROTO, CSL_EPEER, "hospital-c prepares batch 2",
            "unless clinic told every party the same"); /* by itself, or from hospital-b */
    fake_close(&f);
    enter(&f);
    fake_prepare(&f, 0, 1, 1);
    FAILED2(fake_end(&f, 0, &diag), &diag, CSL_ETIMEOUT, CSL_EPEER, "hospital-a", "hospital-b|hospital-c");
    fake_close(&f);
    world_session(&world);
    fake_open(&f, &world, &world.clinic);
    for (unsigned i = 0; i < world.n; i++) {
        fake_dial(&f, i, CSL__PB__PURPOSE__PURPOSE_CLIENT);
        ask(&f, i, i != 1, false);
        fake_expect(&f, i, CSL__PB__CONTROL__KIND_ADMITTED);
    }
    FAILED2(fake_end(&f, 1, &diag), &diag, CSL_EPROTO, CSL_EPEER, "hospital-b", "announced ahead");
    fake_close(&f);
    world_session(&world);
    fake_open(&f, &world, &world.clinic);
    fake_dial(&f, 0, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    ask(&f, 0, true, true);
    FAILED(fake_end(&f, 0, &diag), &diag, CSL_EUSAGE, "shared session");
    fake_close(&f);
    world_session(&world);
}

/* ---- The client goes ---- */

static void vanish(struct fake *f) {
    for (unsigned i = 0; i < world.n; i++) { /* as the kernel does for a process that was killed */
        if (f->talks[i].conn != NULL) {
            csl_conn_close(f->talks[i].conn, CSL_EPEER, "killed");
        }
    }
    fake_close(f);
    world_session(&world); /* it waits for the one lane, some seconds at most */
    world_lives(&world, NULL);
}

static void client_vanishes(void **state) {
    (void)state;
    struct fake f;
    enter(&f);
    for (unsigned i = 0; i < world.n; i++) {
        fake_prepare(&f, i, 1, 4);
        fake_prepare(&f, i, 2, 4);
    }
    vanish(&f); /* announced */
    enter(&f);
    fake_prepare_all(&f, 1, 4);
    for (unsigned i = 0; i < world.n; i++) {
        fake_prepare(&f, i, 2, 4);
    }
    vanish(&f); /* one ready, one being made */
    enter(&f);
    fake_prepare_all(&f, 1, 4);
    for (unsigned i = 0; i < world.n; i++) {
        fake_prepare(&f, i, 2, 1);
    }
    fake_input_all(&f, 1, 4);
    vanish(&f); /* in a round */
}

/* Nobody announces anything for too long: as without announcements. */
static void client_idles(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(2);
    struct fake f;
    struct csl_diag diag = {""};
    timeouts = quick_timeouts();
    timeouts.session_idle_ms = 1000;
    opt.timeouts = &timeouts;
    opt.lanes = 1;
    world_open(&world, &opt);
    enter(&f);
    FAILED2(fake_end(&f, 0, &diag), &diag, CSL_ETIMEOUT, CSL_EPEER, "hospital-a", "no answer from clinic");
    fake_close(&f);
    enter(&f); /* an input that does not come */
    fake_prepare_all(&f, 1, 1);
    FAILED2(fake_end(&f, 1, &diag), &diag, CSL_ETIMEOUT, CSL_EPEER, "hospital-b", "no answer from clinic");
    fake_close(&f);
    world_session(&world);
}

/* ---- A party, or the dealer, goes ---- */

static time_t now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* A stream of three batches in a thread, which may fail anywhere. */
struct asker {
    pthread_t thread;
    enum csl_err err;
    struct csl_diag diag;
};

static enum csl_err ask_three(struct csl_diag *diag) {
    struct csl_client *c;
    struct csl_batch_stats s;
    float x[4 * N_IN] = {0};
    double logits[4 * N_OUT];
    TRY(try_open(&c, diag));
    enum csl_err err = csl_client_announce(c, 4, diag);
    for (uint32_t b = 0; b < 3 && err == CSL_OK; b++) {
        err = b < 2 ? csl_client_announce(c, 3 - b, diag) : CSL_OK;
        if (err == CSL_OK) {
            err = world_client_infer(c, logits, &s, x, b == 0 ? 4 : 4 - b, diag);
        }
    }
    csl_client_close(c);
    return err;
}

static void *asker_thread(void *arg) {
    struct asker *a = arg;
    a->err = ask_three(&a->diag);
    return NULL;
}

/* It reaches the point of the stream, and is killed there, or hangs. */
static void goes_at(const char *name, const char *point, bool killed) {
    struct asker a = {.err = CSL_OK};
    world_kill(&world, name);
    world_spawn_hostile(&world, name, (const char *const[]){"--stop-at", point, NULL});
    assert_int_equal(pthread_create(&a.thread, NULL, asker_thread, &a), 0);
    world_wait_stopped(&world, name);
    time_t from = now();
    if (killed) {
        world_kill(&world, name);
    }
    assert_int_equal(pthread_join(a.thread, NULL), 0);
    if (a.err != CSL_ETIMEOUT || killed) {
        FAILED2(a.err, &a.diag, CSL_EPEER, CSL_EUNAVAILABLE, name);
    } else {
        FAILED(a.err, &a.diag, CSL_ETIMEOUT, name);
    }
    assert_true(now() - from <= SECONDS);
    if (killed) {
        world_spawn(&world, name);
    } else {
        world_signal(&world, name, SIGCONT);
    }
    world_session(&world);
    world_lives(&world, NULL);
}

static void a_party_goes(void **state) {
    (void)state;
    goes_at("hospital-b", "mesh:2", true);    /* the pool's connections */
    goes_at("hospital-c", "prepare:2", true); /* while the first batch may be in a round */
    goes_at("hospital-b", "round:6", true);   /* the second batch is announced, or ready */
    goes_at("hospital-a", "prepare:3", false);
}

static void the_dealer_goes(void **state) {
    (void)state;
    goes_at("dealer", "deal:1", true);
    goes_at("dealer", "deal:2", true);
    goes_at("dealer", "deal:2", false);
}

/* ---- The audit ---- */

/* Rows that are checked, views, and two parties: correlations are those of the heads, whenever they were
 * made. */
static void ledgers_and_views(void **state) {
    (void)state;
    enum { BATCHES = 4, INFERENCES = 4 + 1 + 16 + 3 };
    struct csl_audit_policy audit = {.sign = CSL_ROSTER_SIGN_BEFORE, .check_rows = 2, .views_mib = 16};
    struct csl_federation_options opt = world_options(2);
    char judge[ROOM], key[ROOM + 32], view[ROOM], agreed[ROOM], session[SESSION_TEXT];
    struct csl_diag diag = {""};
    audit.colluding = 1;
    opt.audit = &audit;
    world_open(&world, &opt);
    judge_open(judge, &world, "judge");
    (void)snprintf(key, sizeof key, "%s/recipient.pem", judge);
    judge_file(view, &world, "b.view");
    judge_file(agreed, &world, "b.consent");
    stream((const uint32_t[BATCHES]){4, 1, 16, 3}, BATCHES);
    judge_export(&world, session);
    judge_verify_is(&world, CSL_VERDICT_CONSISTENT, BATCHES, INFERENCES);
    judge_consent(&world, "hospital-b", session, key, agreed);
    must(judge_open_view(&world, "hospital-b", session, key, agreed, view, &diag), &diag, "open");
    judge_verdict_is(&world, "hospital-b", view, judge, CSL_VERDICT_CONSISTENT, NULL, 0, NULL);

    struct csl_client *c = open_ahead(); /* what is left over is nobody's fault */
    announce(c, 2);
    announce(c, 3);
    world_infer(&world, c, 2, NULL);
    announce(c, 1);
    csl_client_close(c);
    judge_export(&world, session);
    judge_verify_is(&world, CSL_VERDICT_CONSISTENT, 1, 2);

    c = open_ahead();
    announce(c, 1);
    announce(c, 1);
    world_infer(&world, c, 1, NULL);
    world_kill(&world, "hospital-a"); /* it enters nothing any more */
    float x[N_IN] = {0};
    double logits[N_OUT];
    struct csl_batch_stats s;
    FAILED(world_client_infer(c, logits, &s, x, 1, &diag), &diag, CSL_EPEER, "hospital-a");
    csl_client_close(c);
    world_spawn(&world, "hospital-a");
    judge_export(&world, session);
    judge_verify_is(&world, CSL_VERDICT_INCOMPLETE, 1, 1);
}

int main(void) {
    const struct CMUnitTest failing[] = {
        cmocka_unit_test_setup(streams, revive),
        cmocka_unit_test_setup(wrong_use, revive),
        cmocka_unit_test_setup(wrong_announcements, revive),
        cmocka_unit_test_setup(told_differently, revive),
        cmocka_unit_test_setup(client_vanishes, revive),
        cmocka_unit_test_setup(a_party_goes, revive),
        cmocka_unit_test_setup(the_dealer_goes, revive),
    };
    const struct CMUnitTest worlds[] = {
        cmocka_unit_test_teardown(client_idles, stop),
        cmocka_unit_test_teardown(ledgers_and_views, stop),
    };
    int failed = cmocka_run_group_tests(failing, start, stop);
    return failed + cmocka_run_group_tests(worlds, NULL, NULL);
}
