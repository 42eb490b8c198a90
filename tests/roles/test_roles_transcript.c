/* What a session signs and leaves in the ledgers; and parties and clients that do not sign, or sign something
 * else: no output, an error that names them, and an entry that says why the session ended. */
#include "transcript.h"

#include <stdlib.h>
#include <string.h>

static struct world world;
static struct csl_timeouts timeouts;

static void open_world(uint32_t sign, unsigned n) {
    struct csl_audit_policy audit = {.sign = sign, .views_mib = 1, .colluding = 1};
    struct csl_federation_options opt = world_options(n);
    timeouts = quick_timeouts();
    opt.timeouts = &timeouts;
    opt.audit = &audit;
    opt.lanes = 2;
    world_open(&world, &opt);
}

static int start(void **state) {
    (void)state;
    open_world(CSL_ROSTER_SIGN_BEFORE, 3);
    return 0;
}

static int stop(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

static const char *party(unsigned i) {
    return csl_federation_party_name(world.fed, i);
}

/* ---- What is left ---- */

static struct story stories[CSL_MAX_PARTIES];

static void read_all(const uint8_t *id) {
    for (unsigned i = 0; i < world.n; i++) {
        story_read(&stories[i], &world, party(i), id);
    }
}

static void clear_all(void) {
    for (unsigned i = 0; i < world.n; i++) {
        story_clear(&stories[i]);
    }
}

static void check_session(uint32_t sign, enum csl_profile profile) {
    struct csl_diag diag = {""};
    const Csl__Audit__SessionLeaf *first = stories[0].leaves[0]->session;
    for (unsigned i = 0; i < world.n; i++) {
        assert_int_equal(stories[i].leaves[0]->body_case, CSL__AUDIT__LEAF__BODY_SESSION);
        const Csl__Audit__SessionLeaf *leaf = stories[i].leaves[0]->session;
        same_bytes(&leaf->statement, &first->statement);
        assert_int_equal(leaf->n_signatures, world.n);
        for (unsigned k = 0; k < world.n; k++) {
            must(csl_statement_verify(CSL_STATEMENT_SESSION, leaf->statement.data, leaf->statement.len,
                                      leaf->signatures[k].data, leaf->signatures[k].len,
                                      csl_roster_party(&world.clinic.roster, k)->sign_key, &diag),
                 &diag, "session");
        }
    }
    Csl__Audit__SessionStatement *m;
    must(csl_session_statement_decode(&m, first->statement.data, first->statement.len, &diag), &diag, "?");
    assert_string_equal(m->model, MODEL);
    assert_string_equal(m->client, "clinic");
    assert_int_equal(m->n_parties, world.n);
    assert_int_equal(m->sign, sign);
    assert_int_equal(m->profile, profile);
    for (unsigned i = 0; i < world.n; i++) {
        assert_string_equal(m->parties[i], party(i));
        same_bytes(&m->software[i], &m->software[0]); /* the same program */
        same_bytes(&m->configuration[i], &m->configuration[0]);
        for (unsigned k = 0; k < i; k++) {
            assert_memory_not_equal(m->seed_commitments[i].data, m->seed_commitments[k].data, 32);
        }
    }
    csl_statement_free(m);
}

static void check_inputs(unsigned i, size_t batch, uint32_t count) {
    struct csl_diag diag = {""};
    const csl_leaf *leaf = story_leaf(&stories[i], CSL__AUDIT__LEAF__BODY_INPUT, batch);
    const csl_leaf *first = story_leaf(&stories[0], CSL__AUDIT__LEAF__BODY_INPUT, batch);
    assert_non_null(leaf);
    assert_int_equal(leaf->input->n_inputs, 1);
    assert_int_equal(leaf->input->n_commitments, count);
    signed_by(&world, CSL_STATEMENT_INPUT, leaf->input->inputs[0], "clinic");
    same_bytes(&leaf->input->inputs[0]->statement, &first->input->inputs[0]->statement);
    uint8_t leaves[16][CSL_MERKLE_BYTES], root[CSL_MERKLE_BYTES];
    for (uint32_t k = 0; k < count; k++) {
        memcpy(leaves[k], leaf->input->commitments[k].data, CSL_MERKLE_BYTES);
    }
    Csl__Audit__InputStatement *m;
    const ProtobufCBinaryData *s = &leaf->input->inputs[0]->statement;
    must(csl_merkle_root(root, leaves[0], count), &diag, "root");
    must(csl_input_statement_decode(&m, s->data, s->len, &diag), &diag, "input");
    assert_memory_equal(m->roots[i].data, root, sizeof root);
    csl_statement_free(m);
}

static void check_heads(unsigned i, size_t batch) {
    const csl_leaf *leaf = story_leaf(&stories[i], CSL__AUDIT__LEAF__BODY_HEADS, batch);
    const csl_leaf *first = story_leaf(&stories[0], CSL__AUDIT__LEAF__BODY_HEADS, batch);
    assert_non_null(leaf);
    assert_int_equal(leaf->heads->batch, batch + 1);
    assert_int_equal(leaf->heads->n_heads, world.n);
    for (unsigned k = 0; k < world.n; k++) { /* all tell the same of everybody */
        signed_by(&world, CSL_STATEMENT_HEAD, leaf->heads->heads[k], party(k));
        same_bytes(&leaf->heads->heads[k]->statement, &first->heads->heads[k]->statement);
    }
    signed_by(&world, CSL_STATEMENT_DEALT, leaf->heads->dealt, "dealer");
}

static void check_output(unsigned i, size_t batch, const struct given *given) {
    const csl_leaf *leaf = story_leaf(&stories[i], CSL__AUDIT__LEAF__BODY_OUTPUT, batch);
    assert_non_null(leaf);
    signed_by(&world, CSL_STATEMENT_OUTPUT, leaf->output->outputs[0], party(i));
    assert_int_equal(leaf->output->outputs[0]->statement.len, given->n);
    assert_memory_equal(leaf->output->outputs[0]->statement.data, given->statement, given->n);
    assert_memory_equal(leaf->output->outputs[0]->signature.data, given->signature, sizeof given->signature);
}

static void check_close(unsigned i, uint64_t batches, uint64_t inferences) {
    const csl_leaf *leaf = stories[i].leaves[stories[i].n - 1];
    assert_int_equal(leaf->body_case, CSL__AUDIT__LEAF__BODY_CLOSE);
    assert_int_equal(leaf->close->error, CSL_OK);
    assert_int_equal(leaf->close->session.len, CSL_DIGEST_BYTES);
    assert_int_equal(leaf->close->batches, batches);
    assert_int_equal(leaf->close->inferences, inferences);
}

static void a_session_leaves(uint32_t sign, enum csl_profile profile) {
    static struct given given[2][CSL_MAX_PARTIES];
    struct fake f;
    uint8_t id[CSL_SESSION_ID_BYTES];
    fake_open(&f, &world, &world.clinic);
    memcpy(id, f.id, sizeof id);
    fake_session(&f, 4);
    fake_batch(&f, 1, 2, given[0]);
    fake_batch(&f, 2, 4, given[1]);
    fake_finish(&f);
    read_all(id);
    check_session(sign, profile);
    for (unsigned i = 0; i < world.n; i++) {
        assert_int_equal(stories[i].n, sign == CSL_ROSTER_SIGN_OFF ? 2 : 8);
        check_close(i, 2, 6);
        for (size_t batch = 0; batch < 2 && sign != CSL_ROSTER_SIGN_OFF; batch++) {
            check_inputs(i, batch, batch == 0 ? 2 : 4);
            check_heads(i, batch);
            check_output(i, batch, &given[batch][i]);
        }
    }
    clear_all();
}

static void before_output(void **state) {
    (void)state;
    a_session_leaves(CSL_ROSTER_SIGN_BEFORE, CSL_PROFILE_LAN);
}

/* The parties' word on the profile is signed, and so in every ledger. */
static void fewest_rounds(void **state) {
    (void)state;
    struct csl_federation_options opt = world_options(3);
    opt.profile = "wan";
    world_open(&world, &opt);
    a_session_leaves(world.clinic.roster.audit.sign, CSL_PROFILE_WAN);
    world_close(&world);
}

/* Another world each. */
static void after_output(void **state) {
    (void)state;
    open_world(CSL_ROSTER_SIGN_AFTER, 3);
    a_session_leaves(CSL_ROSTER_SIGN_AFTER, CSL_PROFILE_LAN);
    world_close(&world);
}

static void nothing_is_signed(void **state) {
    (void)state;
    open_world(CSL_ROSTER_SIGN_OFF, 2);
    a_session_leaves(CSL_ROSTER_SIGN_OFF, CSL_PROFILE_LAN);
    struct fake f;
    struct csl_diag diag = {""};
    struct fake_statement s;
    fake_open(&f, &world, &world.clinic);
    fake_session(&f, 1);
    fake_prepare_all(&f, 1, 1);
    fake_sign(&s, &f, 1, 1);
    fake_send_input(&f, 0, 1, &s);
    csl_signed_clear(&s.s);
    FAILED(fake_end(&f, 0, &diag), &diag, CSL_EPROTO, "hospital-a", "clinic", "audit.sign: off");
    fake_close(&f);
    world_close(&world);
}

/* ---- Parties ---- */

/* The newest session that this party's ledger closed: its error (it saw the fault, or heard of it from the
 * other) and sentence. */
static void last_close(unsigned at, enum csl_err want, const char *word) {
    struct csl_context ctx;
    struct csl_logbook book;
    struct csl_diag diag = {""};
    uint8_t *bytes;
    size_t n;
    world_context(&ctx, &world, party(at));
    must(csl_logbook_open(&book, &ctx, 0, &diag), &diag, "ledger");
    for (uint64_t i = csl_ledger_size(book.ledger); i-- > 0;) {
        csl_leaf *leaf;
        must(csl_ledger_leaf(book.ledger, &bytes, &n, i, &diag), &diag, "leaf");
        must(csl_leaf_decode(&leaf, bytes, n, &diag), &diag, "leaf");
        free(bytes);
        bool found = leaf->body_case == CSL__AUDIT__LEAF__BODY_CLOSE;
        if (found) {
            assert_true(leaf->close->error == (unsigned)want || leaf->close->error == CSL_EPEER);
            assert_non_null(strstr(leaf->close->reason, word));
        }
        csl_leaf_free(leaf);
        if (found) {
            csl_logbook_close(&book);
            csl_context_free(&ctx);
            return;
        }
    }
    fail_msg("no session was closed");
}

static void with_fault(const char *name, const char *option, const char *value) {
    world_kill(&world, name);
    world_spawn_hostile(&world, name, (const char *const[]){option, value, NULL});
}

static void cured(const char *name) {
    world_kill(&world, name);
    world_spawn(&world, name);
    world_session(&world);
    world_lives(&world, NULL);
}

/* Rounds of the first session of an epoch: 1 agreement, 2 weights, 3 the session's signatures, 4 the dealer's
 * statement, 5 to 9 the openings. */
static void a_party_signs_another_session(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    with_fault("hospital-b", "--flip-at", "round:3");
    FAILED(world_try(&world, &diag), &diag, CSL_EAUTH, "hospital-b signed another session statement");
    cured("hospital-b");
}

static void no_output_without_signatures(const char *name, const char *option, const char *value) {
    struct csl_diag diag = {""};
    with_fault(name, option, value);
    FAILED(world_try(&world, &diag), &diag, CSL_EAUTH, name, "does not fit what it sent", "not released");
    cured(name);
}

static void a_party_signs_garbage(void **state) {
    (void)state;
    no_output_without_signatures("hospital-c", "--flip-at", "round:9");
    no_output_without_signatures("hospital-a", "--no-sign", "yes");
}

/* It signs what it should have sent. */
static void a_party_signs_something_else(void **state) {
    (void)state;
    no_output_without_signatures("hospital-b", "--lie-unsigned", "round:1");
    no_output_without_signatures("hospital-a", "--lie-unsigned", "round:5");
}

/* The session of a party that does not sign is incomplete, and the ledgers say so. */
static void the_ledgers_say_why(void **state) {
    (void)state;
    struct fake f;
    struct csl_diag diag = {""};
    with_fault("hospital-b", "--no-sign", "yes");
    FAILED(world_try(&world, &diag), &diag, CSL_EAUTH, "hospital-b"); /* waits for the epoch */
    fake_open(&f, &world, &world.clinic);
    fake_session(&f, 1);
    fake_prepare_all(&f, 1, 1);
    fake_input_all(&f, 1, 1);
    for (unsigned i = 0; i < world.n; i++) {
        FAILED2(fake_end(&f, i, &diag), &diag, CSL_EAUTH, CSL_EPEER, "hospital-b|hospital-a|hospital-c");
    }
    fake_close(&f);
    last_close(0, CSL_EAUTH, "hospital-b");
    last_close(2, CSL_EAUTH, "hospital-b");
    cured("hospital-b");
}

/* Its output went out: the ledgers hold what there is of it, without the head of hospital-b. */
static void the_batch_is_entered(void) {
    struct fake f;
    struct csl_diag diag = {""};
    enum csl_err ends[CSL_MAX_PARTIES];
    fake_open(&f, &world, &world.clinic);
    fake_session(&f, 2);
    fake_batch(&f, 1, 2, NULL);
    for (unsigned i = 0; i < world.n; i++) {
        ends[i] = fake_end(&f, i, &diag);
    }
    assert_true(ends[0] == CSL_EAUTH || ends[2] == CSL_EAUTH); /* the other may have heard of it first */
    read_all(f.id);
    for (unsigned i = 0; i < world.n; i += 2) {
        const csl_leaf *heads = story_leaf(&stories[i], CSL__AUDIT__LEAF__BODY_HEADS, 0);
        check_inputs(i, 0, 2);
        assert_non_null(story_leaf(&stories[i], CSL__AUDIT__LEAF__BODY_OUTPUT, 0));
        assert_non_null(heads);
        assert_in_range(heads->heads->n_heads, ends[i] == CSL_EAUTH ? 2 : 1, 2);
        for (size_t k = 0; k < heads->heads->n_heads; k++) {
            const char *who = heads->heads->heads[k]->signer;
            assert_string_not_equal(who, "hospital-b");
            signed_by(&world, CSL_STATEMENT_HEAD, heads->heads->heads[k], who);
        }
    }
    clear_all();
    fake_close(&f);
}

static void signed_late_or_not_at_all(void **state) {
    (void)state;
    open_world(CSL_ROSTER_SIGN_AFTER, 3);
    with_fault("hospital-b", "--no-sign", "yes");
    struct csl_client *c = world_client(&world, 2);
    struct csl_batch_stats s;
    struct csl_diag diag = {""};
    float x[2 * N_IN] = {0};
    double logits[2 * N_OUT];
    world_infer(&world, c, 2, NULL); /* the output is out already */
    FAILED(world_client_infer(c, logits, &s, x, 2, &diag), &diag, CSL_EAUTH, "hospital-b",
           "does not fit what it sent us in batch 1");
    csl_client_close(c);
    the_batch_is_entered();
    cured("hospital-b");
    world_close(&world);
}

/* ---- What the client is told ---- */

static void told(const char *name, const char *what, enum csl_err want, const char *word) {
    struct csl_diag diag = {""};
    with_fault(name, "--tell", what);
    FAILED(world_try(&world, &diag), &diag, want, name, word);
    cured(name);
}

static void the_client_checks(void **state) {
    (void)state;
    told("hospital-b", "session", CSL_EAUTH, "different session statements");
    told("hospital-c", "unsigned", CSL_EPROTO, "did not sign its output");
    told("hospital-a", "salt", CSL_EAUTH, "does not commit to the share");
    told("hospital-b", "signature", CSL_EAUTH, "is not signed by its key");
    struct csl_diag diag = {""};
    with_fault("hospital-a", "--tell", "manifest");
    FAILED(world_try(&world, &diag), &diag, CSL_EAUTH, "model-owner", MODEL);
    cured("hospital-a");
}

/* ---- Clients ---- */

enum field { SESSION, BATCH, COUNT, PART, ROOT, SALT, SIGNATURE, MISSING, GARBAGE, FIELDS };

/* The fake's statement with one thing wrong in it. */
static void wrong_statement(struct fake_statement *s, const struct fake *f, enum field field) {
    struct csl_diag diag = {""};
    Csl__Audit__InputStatement *m;
    fake_sign(s, f, 1, 2);
    must(csl_input_statement_decode(&m, s->s.statement, s->s.n, &diag), &diag, "decode");
    m->session.data[5] ^= field == SESSION;
    m->batch += field == BATCH;
    m->count += field == COUNT;
    m->part += field == PART;
    m->roots[0].data[31] ^= field == ROOT;
    csl_signed_clear(&s->s);
    must(csl_statement_sign(&s->s, CSL_STATEMENT_INPUT, &m->base, f->ctx->site.sign_key, &diag), &diag,
         "sign");
    csl_statement_free(m);
    s->salt[3] ^= field == SALT;
    s->s.signature[0] ^= field == SIGNATURE;
    if (field == GARBAGE) { /* signed, and no statement */
        s->s.n = 7;
        must(csl_statement_sign_bytes(s->s.signature, CSL_STATEMENT_INPUT, s->s.statement, s->s.n,
                                      f->ctx->site.sign_key, &diag),
             &diag, "sign");
    }
}

static void clients_that_sign_something_else(void **state) {
    (void)state;
    static const struct {
        enum csl_err want;
        const char *word;
    } expect[FIELDS] = {
        [SESSION] = {CSL_EAUTH, "another session"},       [BATCH] = {CSL_EAUTH, "another batch"},
        [COUNT] = {CSL_EAUTH, "another batch"},           [PART] = {CSL_EAUTH, "another batch"},
        [ROOT] = {CSL_EAUTH, "does not commit"},          [SALT] = {CSL_EAUTH, "does not commit"},
        [SIGNATURE] = {CSL_EAUTH, "is not signed"},       [MISSING] = {CSL_EPROTO, "did not sign"},
        [GARBAGE] = {CSL_EDATA, "statement of the input"}};
    for (int field = 0; field < FIELDS; field++) {
        struct fake f;
        struct fake_statement s;
        struct csl_diag diag = {""};
        fake_open(&f, &world, &world.clinic);
        fake_session(&f, 2);
        fake_prepare_all(&f, 1, 2);
        wrong_statement(&s, &f, (enum field)field);
        fake_send_input(&f, 0, 1, field == MISSING ? NULL : &s);
        csl_signed_clear(&s.s);
        FAILED(fake_end(&f, 0, &diag), &diag, expect[field].want, "hospital-a", "clinic", expect[field].word);
        fake_close(&f);
    }
    world_session(&world);
}

/* Each party alone would be content. */
static void statements_that_differ(void **state) {
    (void)state;
    struct fake f;
    struct fake_statement s;
    struct csl_diag diag = {""};
    fake_open(&f, &world, &world.clinic);
    fake_session(&f, 2);
    fake_prepare_all(&f, 1, 2);
    wrong_statement(&s, &f, ROOT); /* of party 0: the others cannot see it */
    fake_input(&f, 0, 1, 2);
    fake_send_input(&f, 1, 1, &s);
    fake_send_input(&f, 2, 1, &s);
    fake_send_vector(&f, 2, 1, 2);
    csl_signed_clear(&s.s);
    FAILED2(fake_end(&f, 0, &diag), &diag, CSL_EAUTH, CSL_EPEER, "does not fit|aborted");
    fake_close(&f);
    world_session(&world);
}

/* ---- A ledger that cannot be written ---- */

static void the_disk_is_full(void **state) {
    (void)state;
    struct csl_diag diag = {""};
    with_fault("hospital-b", "--ledger-full", "1");
    for (int i = 0; i < 2; i++) { /* the daemon lives, and goes on refusing */
        FAILED2(world_try(&world, &diag), &diag, CSL_EIO, CSL_EIO, "hospital-b", "No space left");
    }
    world_lives(&world, NULL);
    cured("hospital-b");
    with_fault("hospital-b", "--ledger-full", "3"); /* the session's leaf and an input's can be written */
    struct csl_client *c = world_client(&world, 1);
    struct csl_batch_stats s;
    float x[N_IN] = {0};
    double logits[N_OUT];
    enum csl_err err = world_client_infer(c, logits, &s, x, 1, &diag);
    if (err == CSL_OK) { /* the batch's leaves come after its output */
        err = world_client_infer(c, logits, &s, x, 1, &diag);
    }
    FAILED(err, &diag, CSL_EIO, "hospital-b", "No space left");
    csl_client_close(c);
    world_lives(&world, NULL);
    cured("hospital-b");
}

/* Whatever a test that failed has left behind does not spoil the next one. */
static int honest_again(void **state) {
    (void)state;
    for (unsigned i = 0; i < world.n; i++) {
        if (csl_federation_pid(world.fed, party(i)) != 0) {
            world_kill(&world, party(i));
        }
        world_spawn(&world, party(i));
    }
    world_session(&world); /* they are up */
    return 0;
}

/* The last test of the first world: a failure of the group's teardown would not count. */
static void all_end_in_order(void **state) {
    (void)state;
    world_lives(&world, NULL);
    world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_output),
        cmocka_unit_test(clients_that_sign_something_else),
        cmocka_unit_test(statements_that_differ),
        cmocka_unit_test_teardown(a_party_signs_another_session, honest_again),
        cmocka_unit_test_teardown(a_party_signs_garbage, honest_again),
        cmocka_unit_test_teardown(a_party_signs_something_else, honest_again),
        cmocka_unit_test_teardown(the_ledgers_say_why, honest_again),
        cmocka_unit_test_teardown(the_client_checks, honest_again),
        cmocka_unit_test_teardown(the_disk_is_full, honest_again),
        cmocka_unit_test(all_end_in_order),
    };
    const struct CMUnitTest others[] = {
        cmocka_unit_test_teardown(after_output, stop),
        cmocka_unit_test_teardown(fewest_rounds, stop),
        cmocka_unit_test_teardown(nothing_is_signed, stop),
        cmocka_unit_test_teardown(signed_late_or_not_at_all, stop),
    };
    int failed = cmocka_run_group_tests(tests, start, stop);
    return failed + cmocka_run_group_tests(others, NULL, NULL);
}
