/* The mesh of a session: rounds that go well, interrupts, and how it may be used. */
#include "mesh_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const size_t size_100[] = {100};

static void thousands_of_rounds(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 16, 1000, 0, 8192, 20000, 3};
    const unsigned ns[] = {2, 3, 5};
    for (unsigned k = 0; k < 3; k++) {
        for (int wait = 0; wait < 3; wait++) {
            struct test_mesh m;
            struct party p[5];
            mesh_parties_init(p, &m, ns[k], sizes, 8, ns[k] == 2 ? 2000 : 500);
            for (unsigned i = 0; i < ns[k]; i++) {
                p[i].wait = (enum csl_wait)wait;
            }
            mesh_parties_run(p, ns[k]);
            for (unsigned i = 0; i < ns[k]; i++) {
                if (p[i].err != CSL_OK) {
                    fail_msg("party %u: %s", i, p[i].diag.text);
                }
                assert_int_equal(p[i].done, p[i].rounds);
            }
        }
    }
}

static void ten_megabytes_both_ways(void **state) {
    (void)state;
    static const size_t sizes[] = {10u << 20, 1, 0};
    for (unsigned n = 2; n <= 3; n++) {
        struct test_mesh m;
        struct party p[3];
        mesh_parties_init(p, &m, n, sizes, 3, 6);
        mesh_parties_run(p, n);
        for (unsigned i = 0; i < n; i++) {
            if (p[i].err != CSL_OK) {
                fail_msg("party %u: %s", i, p[i].diag.text);
            }
            assert_int_equal(p[i].done, 6);
        }
    }
}

static void act_count(struct party *p) {
    mesh_one_round(p, 1, 100);
    csl_mesh_link_set_slot(p->link, 2);
    mesh_one_round(p, 2, 7);
    mesh_one_round(p, 3, 0);
    const struct csl_mesh_counters *a = csl_mesh_link_counters(p->link, 0);
    const struct csl_mesh_counters *b = csl_mesh_link_counters(p->link, 2);
    p->bad = p->bad || a->rounds != 1 || b->rounds != 2;
    for (unsigned j = 0; j < 3; j++) {
        uint64_t one = j != p->self;
        p->bad = p->bad || a->peer[j].bytes_sent != one * 112 || a->peer[j].bytes_received != one * 112 ||
                 a->peer[j].frames_sent != one || b->peer[j].bytes_sent != one * 31 ||
                 b->peer[j].bytes_received != one * 31 || b->peer[j].frames_received != 2 * one;
    }
}

static void counters_by_slot(void **state) {
    (void)state;
    struct test_mesh m;
    struct party p[3];
    mesh_parties_init(p, &m, 3, NULL, 0, 0);
    for (unsigned i = 0; i < 3; i++) {
        p[i].act = act_count;
    }
    mesh_parties_run(p, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(p[i].err, CSL_OK);
    }
}

/* ---- interrupts, and use ---- */

static pthread_mutex_t link_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t link_known = PTHREAD_COND_INITIALIZER;
static struct csl_mesh_link *shared_link;
static bool link_done;

static void act_alone_in_round_2(struct party *p) {
    mesh_one_round(p, 1, 100);
    pthread_mutex_lock(&link_lock);
    shared_link = p->link;
    pthread_cond_signal(&link_known);
    pthread_mutex_unlock(&link_lock);
    mesh_one_round(p, 2, 100);
    pthread_mutex_lock(&link_lock);
    while (!link_done) {
        pthread_cond_wait(&link_known, &link_lock);
    }
    pthread_mutex_unlock(&link_lock);
    enum csl_err first = p->err;
    mesh_one_round(p, 3, 100); /* poisoned for good */
    p->bad = p->bad || p->err != first;
}

static bool has_failed(void *arg) {
    struct party *p = arg;
    return csl_mesh_link_error(p->link, NULL) != CSL_OK;
}

/* Takes part in round 1, then only listens. */
static void act_listen(struct party *p) {
    mesh_one_round(p, 1, 100);
    enum csl_err err = csl_loop_run_until(&p->loop, has_failed, p, LONG_MS);
    p->bad = p->bad || err != CSL_OK;
    p->err = csl_mesh_link_error(p->link, &p->diag);
}

/* Sleeps until another one has begun a round, and until one has gone. */
static bool is_pending(void *arg) {
    const struct party *p = arg;
    return csl_mesh_link_pending(p->link);
}

static void act_wake(struct party *p) {
    for (uint32_t k = 1; k <= 3; k++) {
        enum csl_err err = csl_loop_run_until(&p->loop, is_pending, p, LONG_MS);
        p->bad = p->bad || err != CSL_OK;
        mesh_one_round(p, k, 100);
        p->bad = p->bad || p->done != k || csl_mesh_link_error(p->link, NULL) != CSL_OK;
    }
    enum csl_err err = csl_loop_run_until(&p->loop, is_pending, p, LONG_MS);
    p->bad = p->bad || err != CSL_OK;
    mesh_one_round(p, 4, 100);
}

static void woken(void **state) {
    (void)state;
    struct test_mesh m;
    struct party p[2];
    mesh_parties_init(p, &m, 2, size_100, 1, 3);
    p[0].act = act_wake;
    mesh_parties_run(p, 2);
    assert_int_equal(p[0].err, CSL_EPEER);
    assert_non_null(strstr(p[0].diag.text, "lost connection to party-1"));
    assert_int_equal(p[1].err, CSL_OK);
}

static void interrupted(void **state) {
    (void)state;
    for (int wait = 0; wait < 3; wait++) {
        struct test_mesh m;
        struct party p[2];
        pthread_t t[2];
        shared_link = NULL;
        link_done = false;
        mesh_parties_init(p, &m, 2, size_100, 1, 5);
        p[0].act = act_alone_in_round_2;
        p[0].wait = (enum csl_wait)wait;
        p[1].act = act_listen;
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(pthread_create(&t[i], NULL, mesh_party_main, &p[i]), 0);
        }
        pthread_mutex_lock(&link_lock);
        while (shared_link == NULL) {
            pthread_cond_wait(&link_known, &link_lock);
        }
        csl_mesh_link_interrupt(shared_link, CSL_EPEER, "party-1 does not answer its heartbeat");
        csl_mesh_link_interrupt(shared_link, CSL_EBUSY, "a second reason");
        link_done = true;
        pthread_cond_signal(&link_known);
        pthread_mutex_unlock(&link_lock);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(pthread_join(t[i], NULL), 0);
            assert_false(p[i].bad);
        }
        assert_int_equal(p[0].err, CSL_EPEER);
        assert_true(strstr(p[0].diag.text, "does not answer its heartbeat (in round 2)") != NULL ||
                    strstr(p[0].diag.text, "does not answer its heartbeat (after round 1)") != NULL);
        assert_int_equal(p[1].err, CSL_EPEER);
        assert_non_null(strstr(p[1].diag.text, "party-0 aborted"));
        assert_non_null(strstr(p[1].diag.text, "does not answer its heartbeat"));
    }
}

/* Counts its calls; the third one refuses. */
static enum csl_err third_refuses(void *arg, struct csl_diag *diag) {
    unsigned *calls = arg;
    return ++*calls == 3 ? csl_fail(diag, CSL_EAUTH, "the clinic signed something else") : CSL_OK;
}

static void act_meanwhile(struct party *p) {
    struct csl_link *base = csl_mesh_link_base(p->link);
    unsigned calls = 0;
    base->meanwhile = third_refuses;
    base->meanwhile_arg = &calls;
    mesh_rounds_from(p, 1);
    p->bad = p->bad || calls != 3 || p->done != 2;
}

static void meanwhile(void **state) {
    (void)state;
    struct test_mesh m;
    struct party p[3];
    mesh_parties_init(p, &m, 3, size_100, 1, 5);
    p[1].act = act_meanwhile;
    mesh_parties_run(p, 3);
    assert_int_equal(p[1].err, CSL_EAUTH);
    assert_string_equal(p[1].diag.text, "the clinic signed something else");
    assert_int_equal(p[1].culprit, 3); /* no peer's fault */
    for (unsigned i = 0; i < 3; i += 2) {
        assert_int_equal(p[i].err, CSL_EPEER);
        assert_non_null(strstr(p[i].diag.text, "party-1 aborted"));
        assert_non_null(strstr(p[i].diag.text, "the clinic signed something else"));
    }
}

static void act_misuse(struct party *p) {
    struct csl_link *base = csl_mesh_link_base(p->link);
    uint8_t a[8] = {0}, b[8] = {0};
    uint8_t *in[CSL_MAX_PARTIES] = {a, b};
    uint8_t out[8] = {0};
    p->bad = p->bad || base->ops->exchange(base, in, 2, out, 8, &p->diag) != CSL_EUSAGE;
    p->bad = p->bad || base->ops->exchange(base, in, 0, out, 8, &p->diag) != CSL_EUSAGE;
    p->bad = p->bad || base->ops->exchange(base, in, 1, out, (size_t)1 << 40, &p->diag) != CSL_EUSAGE;
    mesh_one_round(p, 1, 100);
    p->bad = p->bad || p->err != CSL_OK || base->ops->exchange(base, in, 1, out, 8, NULL) != CSL_EUSAGE;
}

static void misused(void **state) {
    (void)state;
    struct test_mesh m;
    struct party p[2];
    mesh_parties_init(p, &m, 2, size_100, 1, 1);
    p[0].act = p[1].act = act_misuse;
    mesh_parties_run(p, 2);
    assert_int_equal(p[0].err, CSL_OK);
}

static void wrong_peer_attached(void **state) {
    (void)state;
    struct test_mesh m;
    struct csl_loop loop;
    struct csl_mesh_link *link;
    struct csl_diag diag;
    struct csl_mesh_options opt = {.n_parties = 3, .self = 0, .names = {"party-0", "party-1", "party-2"}};
    test_mesh_new(&m, 3, &mesh_ca);
    assert_int_equal(csl_loop_init(&loop, NULL), CSL_OK);
    assert_int_equal(csl_mesh_link_new(&link, &loop, &opt, &diag), CSL_OK);
    assert_int_equal(csl_mesh_link_attach(link, 1, m.parts[0][2], &diag), CSL_EAUTH);
    assert_non_null(strstr(diag.text, "party-2 was given for party-1"));
    assert_int_equal(csl_mesh_link_attach(link, 0, m.parts[1][0], &diag), CSL_EUSAGE);
    assert_int_equal(csl_mesh_link_attach(link, 1, m.parts[0][1], &diag), CSL_OK);
    uint8_t *in[CSL_MAX_PARTIES] = {NULL};
    struct csl_link *base = csl_mesh_link_base(link);
    assert_int_equal(base->ops->exchange(base, in, 1, NULL, 0, &diag), CSL_EUSAGE);
    assert_non_null(strstr(diag.text, "no connection to party-2"));
    csl_mesh_link_free(link);
    csl_conn_parts_free(m.parts[1][2]);
    csl_conn_parts_free(m.parts[2][0]);
    csl_conn_parts_free(m.parts[2][1]);
    assert_int_equal(csl_loop_clear(&loop, LONG_MS), CSL_OK);
    opt.n_parties = 1;
    assert_int_equal(csl_loop_init(&loop, NULL), CSL_OK);
    assert_int_equal(csl_mesh_link_new(&link, &loop, &opt, &diag), CSL_EUSAGE);
    assert_int_equal(csl_loop_clear(&loop, LONG_MS), CSL_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousands_of_rounds),
        cmocka_unit_test(ten_megabytes_both_ways),
        cmocka_unit_test(counters_by_slot),
        cmocka_unit_test(woken),
        cmocka_unit_test(interrupted),
        cmocka_unit_test(meanwhile),
        cmocka_unit_test(misused),
        cmocka_unit_test(wrong_peer_attached),
    };
    return cmocka_run_group_tests(tests, mesh_setup, mesh_teardown);
}
