/* Whose request is next in a shared session (docs/protocol.md S15): however many places a client fills, each
 * of the others waits for one batch of it, not for all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "roles/lane/lane_internal.h"

static struct csl__shared s;
static const struct csl_member somebody;

static int clean(void **state) {
    (void)state;
    memset(&s, 0, sizeof s);
    return 0;
}

static void ask(unsigned place, size_t client) {
    struct csl__guest *g = &s.guests[place];
    *g = (struct csl__guest){
        .member = &somebody, .client = client, .state = CSL_GUEST_WAITING, .arrival = s.arrivals++};
}

/* A batch that has room for the first `room` requests. Returns how many there were in front of `place`, or
 * `room` where it was not among them. */
static size_t batch(uint32_t number, size_t room, unsigned place) {
    struct csl__guest *order[CSL_GUESTS_MAX];
    size_t n = csl__tick_order(&s, order), at = room;
    for (size_t i = 0; i < n && i < room; i++) {
        at = order[i] == &s.guests[place] ? i : at;
        order[i]->state = CSL_GUEST_IDLE;
        s.served[order[i]->client] = number;
    }
    return at;
}

static void expect_order(const unsigned *places, size_t n) {
    struct csl__guest *order[CSL_GUESTS_MAX];
    assert_int_equal(csl__tick_order(&s, order), n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(order[i] - s.guests, places[i]);
    }
}

static void nobody_waits(void **state) {
    (void)state;
    expect_order(NULL, 0);
    ask(3, 0);
    s.guests[3].state = CSL_GUEST_VECTOR;  /* not complete */
    s.guests[4].state = CSL_GUEST_WAITING; /* a free place */
    expect_order(NULL, 0);
}

static void one_client_is_served_by_age(void **state) {
    (void)state;
    ask(9, 5);
    ask(2, 5);
    ask(31, 5);
    s.served[5] = 7;
    expect_order((const unsigned[]){9, 2, 31}, 3);
}

static void clients_take_turns(void **state) {
    (void)state;
    ask(0, 1);
    ask(1, 1);
    ask(2, 1);
    ask(3, 2);
    ask(4, 2);
    ask(5, 0);
    expect_order((const unsigned[]){0, 3, 5, 1, 4, 2}, 6);
    s.served[1] = 2; /* who was served later goes later */
    s.served[2] = 1;
    expect_order((const unsigned[]){5, 3, 0, 4, 1, 2}, 6);
}

/* One client fills every place that is left, with requests that fill a batch each, and asks again at once. */
static void the_greedy_wait(void **state) {
    (void)state;
    enum { OTHERS = 4, BATCHES = 200 };
    uint32_t since[OTHERS] = {0}; /* the batch after which its request came */
    for (unsigned i = OTHERS; i < CSL_GUESTS_MAX; i++) {
        ask(i, 100);
    }
    for (unsigned i = 0; i < OTHERS; i++) {
        ask(i, i);
    }
    for (uint32_t number = 1; number <= BATCHES; number++) {
        (void)batch(number, 1, 0);
        for (unsigned i = 0; i < CSL_GUESTS_MAX; i++) {
            if (s.guests[i].state == CSL_GUEST_WAITING) {
                continue;
            }
            if (i < OTHERS) { /* one batch of each other client at most */
                assert_true(number - since[i] <= OTHERS + 1);
                since[i] = number;
            }
            ask(i, i < OTHERS ? i : 100);
        }
    }
    for (unsigned i = 0; i < OTHERS; i++) {
        assert_true(BATCHES - since[i] <= OTHERS + 1);
    }
}

/* Who comes anew, or now and then, waits for no more than the batch that runs and one of each other. */
static void a_newcomer(void **state) {
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        ask(i, i % 2);
    }
    (void)batch(1, 1, 0);
    (void)batch(2, 1, 0);
    ask(20, 9);
    assert_int_equal(batch(3, 1, 20), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nobody_waits, clean),
        cmocka_unit_test_setup(one_client_is_served_by_age, clean),
        cmocka_unit_test_setup(clients_take_turns, clean),
        cmocka_unit_test_setup(the_greedy_wait, clean),
        cmocka_unit_test_setup(a_newcomer, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
