/* Guests of a shared session that die, lie or send garbage: the one who does it is told, at the party that it
 * did it to; everybody else's requests go on being answered, and its place is free again. */
#include "guest.h"

#include <string.h>

#include "mpc/pack.h"
#include "roles/lane/lane.h"

static struct world world;
static struct csl_client *honest; /* is in the session all the time, as the clinic */
static struct csl_context ward;   /* another client */

enum { PLACES = 20 }; /* of one client */

static enum csl_err set_places(void *arg, struct csl_roster *r, const char *dir, struct csl_diag *diag) {
    (void)arg, (void)dir, (void)diag;
    r->limits.session_places_per_client = PLACES;
    return CSL_OK;
}

static int start(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(3);
    const struct csl_federation_extra extra = {"ward", CSL_ROLE_CLIENT, true};
    opt.extras = &extra;
    opt.n_extras = 1;
    opt.roster = set_places;
    opt.lanes = 1;
    world_open(&world, &opt);
    world_context(&ward, &world, "ward");
    honest = guest_client(&world, 16);
    return 0;
}

static int stop(void **state) {
    (void)state;
    csl_client_close(honest);
    csl_context_free(&ward);
    world_close(&world);
    return 0;
}

static void goes_on(void) {
    world_infer(&world, honest, 3, NULL);
    world_infer(&world, honest, 1, NULL);
}

enum { FIRST = 0, LAST = 2 };

/* ---- Gone, between any two of its messages ---- */

enum stage { DIALLED, ASKED, ADMITTED, READY, INPUT_TO_ONE, INPUT_BUT_NO_VECTOR, ALL_SENT, STAGES };

static void go_to(struct guest *g, enum stage stage) {
    struct fake_statement s;
    if (stage == DIALLED) {
        fake_dial(&g->f, FIRST, CSL__PB__PURPOSE__PURPOSE_CLIENT);
    } else if (stage == ASKED) {
        guest_ask(g, FIRST, MODEL, 4, false);
    } else if (stage == ADMITTED) {
        guest_join(g, FIRST, 4);
    } else {
        guest_enter(g, 4);
    }
    if (stage == INPUT_TO_ONE) {
        guest_send(g, 1, 1, 2);
    } else if (stage == INPUT_BUT_NO_VECTOR) {
        guest_sign(&s, g, 1, 2, 7);
        for (unsigned i = 0; i < world.n; i++) {
            guest_send_input(g, i, 1, 2, &s);
        }
        csl_signed_clear(&s.s);
    } else if (stage == ALL_SENT) {
        guest_send_all(g, 1, 2);
    }
}

static void gone(void **state) {
    (void)state;
    for (enum stage stage = DIALLED; stage < STAGES; stage++) {
        struct guest g;
        guest_open(&g, &world);
        go_to(&g, stage);
        guest_dies(&g);
        goes_on();
        guest_open(&g, &world); /* the same in order */
        go_to(&g, stage);
        guest_close(&g);
        goes_on();
    }
}

/* Whoever is slow waits alone. */
static void slow(void **state) {
    (void)state;
    struct guest g;
    guest_open(&g, &world);
    guest_enter(&g, 4);
    for (unsigned i = 0; i < world.n; i++) {
        guest_send(&g, i, 5, 4); /* numbers rise, that is all */
        goes_on();
    }
    (void)guest_answered(&g, 5);
    guest_send_all(&g, 6, 1);
    (void)guest_answered(&g, 6);
    guest_close(&g);
}

/* ---- Wrong, at one party ---- */

static void refused_at(struct guest *g, unsigned i, enum csl_err want, const char *word) {
    struct csl_diag diag = {""};
    FAILED(fake_end(&g->f, i, &diag), &diag, want, csl_federation_party_name(world.fed, i), word);
    goes_on();
    guest_close(g);
    goes_on();
}

static void enter(struct guest *g) {
    guest_open(g, &world);
    guest_enter(g, 4);
}

static void out_of_order(void **state) {
    (void)state;
    struct guest g;
    enter(&g);
    fake_prepare(&g.f, FIRST, 1, 1);
    refused_at(&g, FIRST, CSL_EPROTO, "prepare where a request is due");
    enter(&g);
    guest_send(&g, FIRST, 1, 2);
    guest_send(&g, FIRST, 2, 2);
    refused_at(&g, FIRST, CSL_EPROTO, "request 2 before request 1");
    enter(&g);
    guest_send_all(&g, 3, 1);
    (void)guest_answered(&g, 3);
    guest_send(&g, 1, 3, 1);
    refused_at(&g, 1, CSL_EPROTO, "request 3 again");
    enter(&g);
    fake_send_vector(&g.f, LAST, 1, 1); /* before its Input */
    refused_at(&g, LAST, CSL_EPROTO, "DATA");
}

static void garbage(void **state) {
    (void)state;
    struct guest g;
    static const uint8_t noise[200] = {0x12, 0xff, 3, 4, 5};
    for (unsigned i = 0; i < world.n; i++) {
        enter(&g);
        fake_send(&g.f, i, CSL_FRAME_CONTROL, 0, noise, sizeof noise);
        refused_at(&g, i, CSL_EPROTO, "");
    }
}

static void bad_counts(void **state) {
    (void)state;
    struct guest g;
    struct fake_statement s;
    static const uint32_t counts[] = {0, 5};
    for (size_t i = 0; i < 2; i++) {
        enter(&g);
        guest_sign(&s, &g, 1, 4, 7);
        guest_send_input(&g, 1, 1, counts[i], &s);
        csl_signed_clear(&s.s);
        refused_at(&g, 1, CSL_EPROTO, "at most 4");
    }
}

static void bad_vectors(void **state) {
    (void)state;
    struct guest g;
    struct fake_statement s;
    enter(&g);
    guest_sign(&s, &g, 1, 4, 7);
    guest_send_input(&g, LAST, 1, 4, &s);
    fake_send_vector(&g.f, LAST, 1, 3);
    refused_at(&g, LAST, CSL_EPROTO, "DATA 1 of");
    csl_signed_clear(&s.s);

    enter(&g); /* of another request */
    guest_sign(&s, &g, 1, 4, 7);
    guest_send_input(&g, LAST, 1, 4, &s);
    fake_send_vector(&g.f, LAST, 2, 4);
    refused_at(&g, LAST, CSL_EPROTO, "DATA 1 of");
    csl_signed_clear(&s.s);

    enter(&g); /* bits above the values */
    guest_sign(&s, &g, 1, 1, 7);
    guest_send_input(&g, LAST, 1, 1, &s);
    uint8_t ones[1024];
    size_t n;
    assert_int_equal(csl_pack_size(&n, N_IN, csl_plan_input_bits(&world.net->plan)), CSL_OK);
    assert_true(n <= sizeof ones);
    memset(ones, 0xff, n);
    fake_send(&g.f, LAST, CSL_FRAME_DATA, 1, ones, n);
    refused_at(&g, LAST, CSL_EPROTO, "");
    csl_signed_clear(&s.s);
}

/* ---- Statements ---- */

/* Signed as m says; session and roots are right. */
static void send_signed(struct guest *g, const Csl__Audit__InputStatement *m, bool flip) {
    struct fake_statement s;
    fake_sign_as(&s, &g->f, 7, m);
    s.s.signature[5] ^= flip;
    guest_send_input(g, 1, 1, 2, &s);
    csl_signed_clear(&s.s);
}

static void bad_statements(void **state) {
    (void)state;
    static const uint8_t other[CSL_GUEST_ID_BYTES] = {1};
    for (int what = 0; what < 5; what++) {
        static const char *const words[] = {"not signed by its key", "another batch, count or part",
                                            "another guest", "another guest or request", "another session"};
        struct guest g;
        enter(&g);
        Csl__Audit__InputStatement m = CSL__AUDIT__INPUT_STATEMENT__INIT;
        m.guest = csl_bytes(what == 2 ? other : g.id, sizeof other);
        m.request = what == 3 ? 2 : 1;
        m.count = what == 1 ? 3 : 2;
        g.f.session[0] ^= what == 4;
        send_signed(&g, &m, what == 0);
        refused_at(&g, 1, CSL_EAUTH, words[what]);
    }
}

static void statement_of_a_batch(void **state) {
    (void)state;
    struct guest g;
    enter(&g);
    Csl__Audit__InputStatement m = CSL__AUDIT__INPUT_STATEMENT__INIT; /* as in a session of one's own */
    m.batch = 1;
    m.count = 2;
    send_signed(&g, &m, false);
    refused_at(&g, 1, CSL_EAUTH, "clinic");
    enter(&g);
    guest_send_input(&g, 1, 1, 2, NULL);
    refused_at(&g, 1, CSL_EPROTO, "did not sign");
}

static void other_share(void **state) {
    (void)state;
    struct guest g;
    struct fake_statement s;
    enter(&g);
    guest_sign(&s, &g, 1, 2, 7);
    s.salt[0] ^= 1;
    guest_send_input(&g, 1, 1, 2, &s);
    refused_at(&g, 1, CSL_EAUTH, "does not commit to the share");
    csl_signed_clear(&s.s);
}

/* Each of its statements is right for the one who gets it; a batch with both would end the session for all.
 */
static void two_tongues(void **state) {
    (void)state;
    struct guest g;
    enter(&g);
    for (unsigned i = 0; i < world.n; i++) {
        struct fake_statement s;
        guest_sign(&s, &g, 1, 2, i == 1 ? 8 : 7);
        guest_send_input(&g, i, 1, 2, &s);
        csl_signed_clear(&s.s);
    }
    fake_send_vector(&g.f, LAST, 1, 2);
    struct csl_diag diag = {""}; /* a third one may hear of it after the two, and wait for more */
    FAILED(fake_end(&g.f, 1, &diag), &diag, CSL_EPROTO, "different inputs as request 1");
    guest_close(&g);
    goes_on();
}

/* ---- Joining ---- */

static void one_id_twice(void **state) {
    (void)state;
    struct guest g, same;
    struct csl_diag diag = {""};
    enter(&g);
    guest_open(&same, &world);
    memcpy(same.id, g.id, sizeof same.id);
    guest_ask(&same, FIRST, MODEL, 4, false);
    FAILED(fake_end(&same.f, FIRST, &diag), &diag, CSL_EPROTO, "guest id");
    guest_close(&same);
    guest_send_all(&g, 1, 4);
    (void)guest_answered(&g, 1);
    guest_close(&g);
    guest_open(&same, &world); /* whoever had it has gone, but it was used */
    memcpy(same.id, g.id, sizeof same.id);
    guest_enter(&same, 4);
    guest_send(&same, FIRST, 1, 1);
    refused_at(&same, FIRST, CSL_EAUTH, "comes again");
}

/* The session has a name now: to others it does not pass for something else. */
static void for_something_else(void **state) {
    (void)state;
    struct guest g;
    guest_open(&g, &world);
    guest_join(&g, FIRST, 4);
    guest_ask(&g, 1, MODEL, 4, true);
    refused_at(&g, 1, CSL_ESTALE, "something else");
    guest_open(&g, &world);
    guest_join(&g, FIRST, 4);
    guest_ask(&g, 1, "other", 4, false);
    refused_at(&g, 1, CSL_EPERM, "other");
}

static void no_place(const struct csl_context *ctx, const char *who, const char *words) {
    struct guest g;
    struct csl_diag diag = {""};
    guest_open_as(&g, &world, ctx);
    guest_ask(&g, FIRST, MODEL, 1, false);
    FAILED(fake_end(&g.f, FIRST, &diag), &diag, CSL_EBUSY, "hospital-a", who, words);
    guest_close(&g);
}

/* One client takes its places, another all that are left; then they are given back. */
static void a_full_house(void **state) {
    (void)state;
    static struct guest g[CSL_GUESTS_MAX];
    for (unsigned i = 1; i < CSL_GUESTS_MAX; i++) { /* and the honest one */
        guest_open_as(&g[i], &world, i < PLACES ? &world.clinic : &ward);
        guest_join(&g[i], FIRST, 1);
        if (i + 1 == PLACES) {
            no_place(&world.clinic, "clinic has 20 places", "limits.session_places_per_client");
        }
    }
    no_place(&ward, "all 32 places", MODEL);
    no_place(&world.clinic, "clinic has 20 places", MODEL);
    goes_on();
    guest_close(&g[PLACES]); /* one of the ward's: the clinic may not take it */
    no_place(&world.clinic, "clinic has 20 places", MODEL);
    for (unsigned i = 1; i < CSL_GUESTS_MAX; i++) {
        if (i != PLACES) {
            guest_close(&g[i]);
        }
    }
    guest_visit(&world);
    goes_on();
}

/* Past party 0, which knows nothing of it: the others count for themselves. */
static void too_many_at_another_party(void **state) {
    (void)state;
    static struct guest g[PLACES];
    struct guest first;
    struct csl_diag diag = {""};
    enter(&first);
    for (unsigned i = 2; i < PLACES; i++) { /* the honest one and `first` have two */
        guest_open(&g[i], &world);
        memcpy(g[i].f.id, first.f.id, sizeof first.f.id);
        guest_join(&g[i], 1, 1);
    }
    guest_open(&g[0], &world);
    memcpy(g[0].f.id, first.f.id, sizeof first.f.id);
    guest_ask(&g[0], 1, MODEL, 1, false);
    FAILED(fake_end(&g[0].f, 1, &diag), &diag, CSL_EBUSY, "hospital-b", "clinic has 20 places");
    guest_close(&g[0]);
    for (unsigned i = 2; i < PLACES; i++) {
        guest_close(&g[i]);
    }
    guest_send_all(&first, 1, 4);
    (void)guest_answered(&first, 1);
    guest_close(&first);
    goes_on();
}

/* Requests of one client that fill a batch each, from many places, and after them a small one of another: all
 * of them wait when the last party comes to it. */
static void one_who_asks_for_much(void **state) {
    (void)state;
    enum { MANY = 8, MOST = 16 };
    static struct guest g[MANY];
    struct guest small;
    for (unsigned i = 0; i < MANY; i++) {
        guest_open(&g[i], &world);
        guest_enter(&g[i], MOST);
    }
    guest_open_as(&small, &world, &ward);
    guest_enter(&small, 1);
    world_signal(&world, "hospital-c", SIGSTOP);
    world_wait_stopped(&world, "hospital-c");
    for (unsigned i = 0; i < MANY; i++) {
        guest_send_all(&g[i], 1, MOST);
    }
    guest_send_all(&small, 1, 1);
    world_signal(&world, "hospital-c", SIGCONT);
    uint32_t first = UINT32_MAX, last = 0;
    for (unsigned i = 0; i < MANY; i++) {
        uint32_t batch = guest_answered(&g[i], 1);
        first = batch < first ? batch : first;
        last = batch > last ? batch : last;
        guest_close(&g[i]);
    }
    assert_true(last - first >= MANY - 1); /* each had a batch of its own */
    assert_true(guest_answered(&small, 1) <= first + 2);
    guest_close(&small);
    goes_on();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gone),
        cmocka_unit_test(slow),
        cmocka_unit_test(out_of_order),
        cmocka_unit_test(garbage),
        cmocka_unit_test(bad_counts),
        cmocka_unit_test(bad_vectors),
        cmocka_unit_test(bad_statements),
        cmocka_unit_test(statement_of_a_batch),
        cmocka_unit_test(other_share),
        cmocka_unit_test(two_tongues),
        cmocka_unit_test(one_id_twice),
        cmocka_unit_test(for_something_else),
        cmocka_unit_test(a_full_house),
        cmocka_unit_test(too_many_at_another_party),
        cmocka_unit_test(one_who_asks_for_much),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
