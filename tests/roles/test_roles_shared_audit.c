/* The audit of shared sessions over real daemons: what the ledgers of all sites hold of the requests of
 * several clients is consistent, views of it replay, and a party that lies is named. */
#include "guest.h"
#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/verify.h"
#include "cli/run_args.h"

static struct world world;
static struct visitors visitors;
static struct csl_timeouts timeouts;

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

static void open_world(unsigned n, uint32_t sign, uint32_t check_rows, uint32_t views_mib) {
    struct csl_audit_policy audit = {.sign = sign, .check_rows = check_rows, .views_mib = views_mib};
    struct csl_federation_options opt = world_options(n);
    timeouts = quick_timeouts();
    timeouts.session_idle_ms = 2500; /* then the session closes; a busy machine must not be slower */
    opt.audit = &audit;
    opt.timeouts = &timeouts;
    world_open(&world, &opt);
}

/* Entries in a site's ledger, as `audit show` tells them: the session's, or (NULL) those of no batch. */
static json_t *entries_of(const char *site, const char *session) {
    struct csl_run_args r = {.n = 0};
    struct csl_diag diag = {""};
    json_t *doc = NULL;
    csl_run_args_add(&r, "audit");
    csl_run_args_add(&r, "show");
    if (session != NULL) {
        csl_run_args_option(&r, "--session", session);
    }
    csl_run_args_add(&r, "--json");
    must(csl_federation_run_as(world.fed, &doc, site, r.at, &diag), &diag, "show");
    json_t *entries = json_incref(json_object_get(doc, "entries"));
    json_decref(doc);
    return entries;
}

static const char *text_of(const json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));
    return text == NULL ? "" : text;
}

struct told {
    unsigned batches, requests, outputs, several; /* batches of more than one request */
};

/* Each batch's inputs and outputs name the same guests and requests. */
static struct told count_entries(const json_t *entries) {
    struct told t = {0};
    const json_t *e, *inputs = NULL;
    size_t i;
    json_array_foreach(entries, i, e) {
        if (strcmp(text_of(e, "kind"), "session opened") == 0) {
            assert_true(json_is_true(json_object_get(e, "shared")));
            assert_null(json_object_get(e, "client"));
        } else if (strcmp(text_of(e, "kind"), "inputs") == 0) {
            inputs = json_object_get(e, "inputs");
            t.batches++;
            t.requests += (unsigned)json_array_size(inputs);
            t.several += json_array_size(inputs) > 1;
        } else if (strcmp(text_of(e, "kind"), "output") == 0) {
            const json_t *outputs = json_object_get(e, "outputs");
            assert_int_equal(json_array_size(outputs), json_array_size(inputs));
            for (size_t k = 0; k < json_array_size(outputs); k++) {
                const json_t *in = json_array_get(inputs, k), *out = json_array_get(outputs, k);
                assert_string_equal(text_of(in, "owner"), "clinic");
                assert_int_equal(strlen(text_of(in, "guest")), 32);
                assert_string_equal(text_of(in, "guest"), text_of(out, "guest"));
                assert_int_equal(json_integer_value(json_object_get(in, "request")),
                                 json_integer_value(json_object_get(out, "request")));
                t.outputs++;
            }
        }
    }
    return t;
}

/* Guests side by side; what they asked for, in inferences. */
static unsigned crowd(unsigned n, unsigned requests) {
    unsigned inferences = 0;
    visitors_start(&visitors, n, &world, requests);
    visitors_succeed(&visitors);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < requests; k++) {
            inferences += visitors.at[i].counts[k];
        }
    }
    return inferences;
}

static void open_and_replay(const char *party, const char *session, const char *judge, int want,
                            const char *who, int round, const char *step) {
    char view[ROOM], key[ROOM + 32], name[80];
    struct csl_diag diag = {""};
    (void)snprintf(name, sizeof name, "%s-%.8s.view", party, session);
    (void)snprintf(key, sizeof key, "%s/recipient.pem", judge);
    judge_file(view, &world, name);
    must(judge_open_view(&world, party, session, key, NULL, view, &diag), &diag, "open");
    judge_verdict_is(&world, party, view, judge, want, who, round, step);
}

/* Several clients, several batches over one dealing, some rows of it checked; then a second session in which
 * hospital-b sends something wrong, and signs it. */
static void ledgers_and_views(void **state) {
    (void)state;
    enum { GUESTS = 5, REQUESTS = 6 };
    char judge[ROOM], session[SESSION_TEXT], lied[SESSION_TEXT];
    struct csl_diag diag = {""};
    open_world(3, CSL_ROSTER_SIGN_BEFORE, 2, 16);
    judge_open(judge, &world, "judge");
    unsigned inferences = crowd(GUESTS, REQUESTS);
    judge_export(&world, session);
    json_t *entries = entries_of("hospital-b", session);
    struct told t = count_entries(entries);
    json_decref(entries);
    assert_int_equal(t.requests, GUESTS * REQUESTS);
    assert_int_equal(t.outputs, GUESTS * REQUESTS);
    judge_verify_is(&world, CSL_VERDICT_CONSISTENT, t.batches, inferences);
    open_and_replay("hospital-c", session, judge, CSL_VERDICT_CONSISTENT, NULL, 0, NULL);

    world_kill(&world, "hospital-b");
    world_spawn_hostile(&world, "hospital-b", (const char *const[]){"--lie", "round:2", NULL});
    float x[N_IN] = {0};
    double logits[N_OUT];
    struct csl_batch_stats stats;
    struct csl_client *c = guest_client(&world, 1);
    must(world_client_infer(c, logits, &stats, x, 1, &diag), &diag, "infer"); /* nobody notices */
    csl_client_close(c);
    judge_export(&world, lied);
    assert_string_not_equal(lied, session);
    judge_verify_is(&world, CSL_VERDICT_CONSISTENT, 1, 1);
    open_and_replay("hospital-c", lied, judge, CSL_VERDICT_CONSISTENT, NULL, 0, NULL);
    open_and_replay("hospital-b", lied, judge, CSL_VERDICT_ATTRIBUTABLE, "hospital-b", 2, "relu");
}

/* With the signatures after the output; the requests are verified as they come all the same. */
static void signed_after(void **state) {
    (void)state;
    char session[SESSION_TEXT];
    open_world(2, CSL_ROSTER_SIGN_AFTER, 0, 16);
    unsigned inferences = crowd(3, 4);
    judge_export(&world, session);
    json_t *entries = entries_of("hospital-a", session);
    struct told t = count_entries(entries);
    json_decref(entries);
    judge_verify_is(&world, CSL_VERDICT_CONSISTENT, t.batches, inferences);
}

static unsigned shared_sessions(const char *site) {
    json_t *entries = entries_of(site, NULL);
    const json_t *e;
    size_t i;
    unsigned n = 0;
    json_array_foreach(entries, i, e) {
        n += strcmp(text_of(e, "kind"), "session opened") == 0 && json_is_true(json_object_get(e, "shared"));
    }
    json_decref(entries);
    return n;
}

/* A session that stands for long would fill the room for views: new guests begin another in time, while those
 * that are there go on. */
static void a_large_view(void **state) {
    (void)state;
    char session[SESSION_TEXT];
    open_world(2, CSL_ROSTER_SIGN_BEFORE, 0, 1);
    struct csl_client *c = guest_client(&world, 16);
    world_infer(&world, c, 16, NULL);
    guest_visit(&world);
    assert_int_equal(shared_sessions("hospital-a"), 1);
    for (unsigned i = 0; i < 100; i++) {
        world_infer(&world, c, 16, NULL);
    }
    guest_visit(&world);
    assert_int_equal(shared_sessions("hospital-a"), 2);
    world_infer(&world, c, 16, NULL);
    csl_client_close(c);
    judge_export(&world, session); /* the second, once it is closed */
    judge_verify_is(&world, CSL_VERDICT_CONSISTENT, 1, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(ledgers_and_views, stop),
        cmocka_unit_test_teardown(signed_after, stop),
        cmocka_unit_test_teardown(a_large_view, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
