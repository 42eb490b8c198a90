/* The dealer is held to what it deals: an honest one serves, each fault of another ends the session, names
 * the dealer, and nobody else. */
#include "world.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "roles/daemon/logbook.h"
#include "roles/judge/evidence.h"
#include "roles/lane/dealt.h"

enum { CHECKED = 2 };

static struct world world;

static void start(unsigned n_parties, uint32_t check_rows, uint32_t sign) {
    struct csl_roster r;
    memset(&r, 0, sizeof r);
    csl_roster_defaults(&r);
    r.audit.check_rows = check_rows;
    r.audit.sign = sign;
    struct csl_federation_options opt = world_options(n_parties);
    opt.audit = &r.audit;
    world_open(&world, &opt);
}

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

/* What the check costs, beside the dealer's corrections: of count + e rows. */
static void check_cost(const struct csl_plan *plan, const struct csl_batch_stats *s, uint32_t e) {
    enum { HEADER = CSL_FRAME_HEADER_BYTES };
    struct csl_demand *demands = calloc(CSL_PLAN_MAX_DEMANDS, sizeof *demands);
    size_t n;
    assert_non_null(demands);
    assert_int_equal(csl_plan_demands(plan, CSL_PROFILE_LAN, false, demands, &n), CSL_OK);
    uint64_t rows = (uint64_t)s->count + e;
    uint64_t peer = csl_dealt_bytes(demands, n, e, (uint32_t)rows) +
                    HEADER * (1 + (e != 0 ? csl_check_rounds(demands, n) : 0));
    assert_int_equal(s->offline_bytes,
                     rows * (csl_correction_bytes(demands, n) + HEADER) + (world.n - 1) * peer);
    free(demands);
}

static void honest_dealers_pass(void **state) {
    (void)state;
    for (unsigned n = 2; n <= 3; n++) {
        start(n, n == 2 ? 64 : CHECKED, CSL_ROSTER_SIGN_BEFORE);
        for (int session = 0; session < 2; session++) {
            struct csl_client *c = world_client(&world, 16);
            for (uint32_t count = 1; count <= 16; count += 5) {
                struct csl_batch_stats s;
                world_infer(&world, c, count, &s);
                check_cost(csl_client_plan(c), &s, n == 2 ? 64 : CHECKED);
            }
            csl_client_close(c);
        }
        world_lives(&world, NULL);
        world_close(&world);
    }
    start(2, CHECKED, CSL_ROSTER_SIGN_OFF); /* the check needs the statement, whatever the parties sign */
    world_session(&world);
}

/* The evidence that a site holds, the only one. */
static bool evidence_of(const char *site, char path[1024]) {
    world_path(path, &world, site, "state/evidence");
    DIR *dir = opendir(path);
    struct dirent *entry = NULL;
    while (dir != NULL && (entry = readdir(dir)) != NULL && entry->d_name[0] == '.') {
    }
    if (entry != NULL) {
        size_t n = strlen(path);
        (void)snprintf(path + n, 1024 - n, "/%.200s", entry->d_name);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return entry != NULL;
}

/* Every site's evidence convicts the dealer, by the key in the roster. */
static const char *evidence_convicts(void) {
    static const char *const sites[] = {"hospital-a", "hospital-b", "hospital-c"};
    const char *found = NULL;
    for (size_t i = 0; i < 3; i++) {
        char path[1024];
        struct csl_evidence e;
        struct csl_diag diag = {""}, finding = {""};
        if (!evidence_of(sites[i], path)) {
            continue; /* a peer was faster to end the session */
        }
        must(csl_evidence_load(&e, path, &diag), &diag, path);
        must(csl_evidence_verify(&e, csl_roster_dealer(&world.clinic.roster)->sign_key, &finding, &diag),
             &diag, path);
        assert_int_equal(
            csl_evidence_verify(&e, csl_roster_party(&world.clinic.roster, 0)->sign_key, &finding, &diag),
            CSL_EAUTH);
        csl_evidence_clear(&e);
        found = sites[i];
    }
    assert_non_null(found);
    return found;
}

/* `consilium audit replay --dealer` says so, with its exit code. */
static int replay(const char *path, json_t **doc, struct csl_diag *diag) {
    char roster[1024];
    world_path(roster, &world, "clinic", "roster.yaml");
    const char *args[] = {"audit", "replay", "--dealer", path, "--roster", roster, "--json", NULL};
    int code = -1;
    enum csl_err err = csl_federation_run_tool(world.fed, doc, &code, args, diag);
    return err == CSL_OK ? code : csl_err_exit_code(err);
}

static void is_replayed(const char *site) {
    char path[1024];
    struct csl_diag diag = {""};
    json_t *doc = NULL;
    assert_true(evidence_of(site, path));
    assert_int_equal(replay(path, &doc, &diag), 2);
    assert_string_equal(json_string_value(json_object_get(doc, "party")), "dealer");
    assert_string_equal(json_string_value(json_object_get(doc, "verdict")), "attributable");
    assert_int_equal(json_integer_value(json_object_get(doc, "exit")), 2);
    assert_int_equal(strlen(json_string_value(json_object_get(doc, "session"))), 32);
    json_decref(doc);
    FILE *f = fopen(path, "r+b"); /* a bit of the last path */
    assert_non_null(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    int last = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    assert_int_equal(fputc(last ^ 1, f), last ^ 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(replay(path, &doc, &diag), 1);
    assert_null(json_object_get(doc, "party"));
    json_decref(doc);
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(replay(path, &doc, &diag), csl_err_exit_code(CSL_EDATA));
    json_decref(doc);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(replay(path, &doc, &diag), csl_err_exit_code(CSL_ENOINPUT));
    json_decref(doc);
}

static void hostile_dealer(const char *what) {
    const char *const args[] = {"--deal", what, NULL};
    world_kill(&world, "dealer");
    world_spawn_hostile(&world, "dealer", args);
}

/* The session ends, its sentence names the dealer and accuses no party. */
static void is_refused(const char *what, const char *word) {
    struct csl_diag diag = {""};
    hostile_dealer(what);
    enum csl_err err = world_try(&world, &diag);
    FAILED2(err, &diag, CSL_EAUTH, CSL_EPEER, "dealer dealt", word);
    static const char *const accusations[] = {"a dealt",           "b dealt",           "c dealt",
                                              "hospital-a opened", "hospital-b opened", "hospital-c opened"};
    for (size_t i = 0; i < sizeof accusations / sizeof *accusations; i++) {
        assert_null(strstr(diag.text, accusations[i]));
    }
    world_lives(&world, NULL);
}

static void what_it_signs_is_what_it_dealt(void **state) {
    (void)state;
    start(3, 0, CSL_ROSTER_SIGN_BEFORE);
    is_refused("root", "corrections that");
    is_refused("seed-root", "seeds that");
    is_refused("count", "another count");
    is_refused("plan", "another plan");
    world_kill(&world, "dealer");
    world_spawn(&world, "dealer");
    world_session(&world);
}

static void wrong_correlations_are_found(void **state) {
    (void)state;
    char path[1024];
    start(3, CHECKED, CSL_ROSTER_SIGN_BEFORE);
    is_refused("c", "C: the sacrifice");
    assert_false(evidence_of("hospital-a", path)); /* nobody can prove it */
    is_refused("root", "corrections that");
    is_refused("bits", "evidence");
    is_replayed(evidence_convicts());
    world_kill(&world, "dealer");
    world_spawn(&world, "dealer");
    world_session(&world);
}

/* A DEALT leaf a batch that its own key signed, and a CLOSE leaf a session. */
static void the_dealer_keeps_a_ledger(void **state) {
    (void)state;
    enum { BATCHES = 3 };
    start(2, 1, CSL_ROSTER_SIGN_BEFORE);
    struct csl_client *c = world_client(&world, 4);
    for (int i = 0; i < BATCHES; i++) {
        world_infer(&world, c, 2, NULL);
    }
    csl_client_close(c);
    world_signal(&world, "dealer", SIGTERM);
    assert_int_equal(csl_federation_wait_ended(world.fed, "dealer"), 0);
    struct csl_context ctx;
    struct csl_logbook book;
    struct csl_diag diag = {""};
    size_t dealt = 0, closed = 0;
    world_context(&ctx, &world, "dealer");
    must(csl_logbook_open(&book, &ctx, 0, &diag), &diag, "ledger");
    for (uint64_t i = 0; i < csl_ledger_size(book.ledger); i++) {
        uint8_t *bytes;
        size_t n;
        csl_leaf *leaf;
        must(csl_ledger_leaf(book.ledger, &bytes, &n, i, &diag), &diag, "leaf");
        must(csl_leaf_decode(&leaf, bytes, n, &diag), &diag, "leaf");
        free(bytes);
        if (leaf->body_case == CSL__AUDIT__LEAF__BODY_DEALT) {
            const Csl__Audit__Signed *s = leaf->dealt->dealt;
            Csl__Audit__DealtStatement *m;
            must(csl_statement_verify(CSL_STATEMENT_DEALT, s->statement.data, s->statement.len,
                                      s->signature.data, s->signature.len, ctx.self->sign_key, &diag),
                 &diag, "signature");
            must(csl_dealt_statement_decode(&m, s->statement.data, s->statement.len, &diag), &diag, "dealt");
            assert_int_equal(m->first, 3 * dealt); /* two that serve, one that is checked */
            assert_int_equal(m->count, 3);
            assert_int_equal(m->demands_digest.len, 32);
            csl_statement_free(m);
            dealt++;
        } else if (leaf->body_case == CSL__AUDIT__LEAF__BODY_CLOSE) {
            assert_int_equal(leaf->close->batches, BATCHES);
            assert_int_equal(leaf->close->inferences, 3 * BATCHES);
            closed++;
        }
        csl_leaf_free(leaf);
    }
    assert_int_equal(dealt, BATCHES);
    assert_int_equal(closed, 1);
    csl_logbook_close(&book);
    csl_context_free(&ctx);
    world_spawn(&world, "dealer");
    world_session(&world);
}

/* Nothing is checked where the roster does not ask for it: the option has its price. */
static void unchecked_bits_go_unnoticed(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    start(2, 0, CSL_ROSTER_SIGN_BEFORE);
    hostile_dealer("bits");
    struct csl_client *c = NULL;
    must(world_client_open(&c, &world.clinic, MODEL, 2, &diag), &diag, "open");
    float x[2 * N_IN];
    double logits[2 * N_OUT];
    struct csl_batch_stats stats;
    world_inputs(x, csl_client_plan(c), 2, 1);
    must(world_client_infer(c, logits, &stats, x, 2, &diag), &diag, "infer"); /* of any value */
    csl_client_close(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(honest_dealers_pass, stop),
        cmocka_unit_test_teardown(what_it_signs_is_what_it_dealt, stop),
        cmocka_unit_test_teardown(wrong_correlations_are_found, stop),
        cmocka_unit_test_teardown(the_dealer_keeps_a_ledger, stop),
        cmocka_unit_test_teardown(unchecked_bits_go_unnoticed, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
