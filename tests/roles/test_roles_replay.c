/* Views are opened to a judge, counted, and replayed, by the commands and over real daemons; parties that lie
 * are named. */
#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>

static struct csl_federation_options options(unsigned n, const struct csl_audit_policy *audit) {
    struct csl_federation_options opt = world_options(n);
    opt.audit = audit;
    return opt;
}

static struct csl_audit_policy policy(uint32_t colluding) {
    return (struct csl_audit_policy){
        .sign = CSL_ROSTER_SIGN_BEFORE, .check_rows = 0, .views_mib = 16, .colluding = colluding};
}

/* A command's error comes back by its exit code, which these two share. */
#define REFUSED_77(err, diag, ...) FAILED2(err, diag, CSL_EPERM, CSL_EAUTH, __VA_ARGS__)

/* ---- Tests ---- */

/* Three parties, one of which may collude: one share may be opened. */
static void openings_are_counted(void **state) {
    (void)state;
    struct world w;
    struct csl_audit_policy audit = policy(1);
    struct csl_federation_options opt = options(3, &audit);
    char judge[ROOM], key[ROOM + 32], view[ROOM], other[ROOM], agreed[ROOM], session[SESSION_TEXT];
    struct csl_diag diag = {""};
    world_open(&w, &opt);
    judge_open(judge, &w, "judge");
    (void)snprintf(key, sizeof key, "%s/recipient.pem", judge);
    judge_file(view, &w, "a.view");
    judge_file(other, &w, "b.view");
    judge_file(agreed, &w, "b.consent");
    world_session(&w);
    judge_export(&w, session);
    must(judge_open_view(&w, "hospital-a", session, key, NULL, view, &diag), &diag, "open");
    judge_verdict_is(&w, "hospital-a", view, judge, 0, NULL, 0, NULL);
    REFUSED_77(judge_open_view(&w, "hospital-b", session, key, NULL, other, &diag), &diag,
               "hospital-a, hospital-b", "at most 1", "share the model anew", "audit consent");
    world_session(&w); /* over all sessions of the package */
    judge_export(&w, session);
    REFUSED_77(judge_open_view(&w, "hospital-b", session, key, NULL, other, &diag), &diag, "anew");
    FAILED(judge_open_view(&w, "hospital-a", session, key, NULL, view, &diag), &diag, CSL_ECREATE,
           "overwritten");
    judge_consent(&w, "hospital-b", session, key, agreed);
    REFUSED_77(judge_open_view(&w, "hospital-c", session, key, agreed, other, &diag), &diag,
               "another opening");
    must(judge_open_view(&w, "hospital-b", session, key, agreed, other, &diag), &diag, "open with consent");
    judge_verdict_is(&w, "hospital-b", other, judge, 0, NULL, 0, NULL);
    world_share(&w); /* anew */
    world_session(&w);
    judge_export(&w, session);
    judge_file(view, &w, "c.view");
    must(judge_open_view(&w, "hospital-c", session, key, NULL, view, &diag), &diag,
         "open after sharing anew");
    judge_verdict_is(&w, "hospital-c", view, judge, 0, NULL, 0, NULL);
    world_close(&w);
}

static void two_parties_need_consent(void **state) {
    (void)state;
    struct world w;
    struct csl_audit_policy audit = policy(1);
    audit.sign = CSL_ROSTER_SIGN_AFTER;
    struct csl_federation_options opt = options(2, &audit);
    opt.profile = "wan"; /* the replay takes it from the signed statement */
    char judge[ROOM], key[ROOM + 32], view[ROOM], agreed[ROOM], session[SESSION_TEXT];
    struct csl_diag diag = {""};
    world_open(&w, &opt);
    judge_open(judge, &w, "judge");
    (void)snprintf(key, sizeof key, "%s/recipient.pem", judge);
    judge_file(view, &w, "a.view");
    judge_file(agreed, &w, "a.consent");
    world_session(&w);
    judge_export(&w, session);
    REFUSED_77(judge_open_view(&w, "hospital-a", session, key, NULL, view, &diag), &diag,
               "model-owner must consent");
    judge_consent(&w, "hospital-a", session, key, agreed);
    must(judge_open_view(&w, "hospital-a", session, key, agreed, view, &diag), &diag, "open");
    judge_verdict_is(&w, "hospital-a", view, judge, 0, NULL, 0, NULL);
    judge_verdict_is(&w, "0", view, judge, 0, NULL, 0, NULL); /* by its number */
    world_close(&w);
}

static void write_pem(const char *path, EVP_PKEY *key) {
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(PEM_write_PUBKEY(f, key), 1);
    assert_int_equal(fclose(f), 0);
}

static void who_must_agree(void **state) {
    (void)state;
    struct world w;
    struct csl_audit_policy audit = policy(0);
    audit.check_rows = 2; /* of what is dealt, some is discarded */
    struct csl_federation_options opt = options(3, &audit);
    char judge[ROOM], other[ROOM], key[ROOM + 32], member[ROOM], view[ROOM], session[SESSION_TEXT];
    struct csl_diag diag = {""};
    world_open(&w, &opt);
    judge_open(judge, &w, "judge");
    judge_open(other, &w, "other-judge");
    (void)snprintf(key, sizeof key, "%s/recipient.pem", judge);
    judge_file(view, &w, "a.view");
    judge_file(member, &w, "member.pem");
    world_session(&w);
    judge_export(&w, session);
    write_pem(member, csl_roster_dealer(&w.clinic.roster)->wrap_key); /* never to a member */
    REFUSED_77(judge_open_view(&w, "hospital-a", session, member, NULL, view, &diag), &diag, "dealer",
               "cert recipient");
    FAILED(judge_open_view(&w, "hospital-a", "00112233445566778899aabbccddeeff", key, NULL, view, &diag),
           &diag, CSL_ENOINPUT, "no view of this session");
    world_kill(&w, "hospital-c"); /* who cannot be told cannot count */
    enum csl_err err = judge_open_view(&w, "hospital-a", session, key, NULL, view, &diag);
    assert_true(err != CSL_OK);
    FAILED(err, &diag, err, "hospital-c", "stays closed");
    world_spawn(&w, "hospital-c");
    must(judge_open_view(&w, "hospital-a", session, key, NULL, view, &diag), &diag, "open");
    REFUSED_77(judge_replay_fails(&w, "hospital-a", view, other, &diag), &diag, "another judge");
    FAILED(judge_replay_fails(&w, "hospital-b", view, judge, &diag), &diag, CSL_EUSAGE, "of hospital-a");
    judge_verdict_is(&w, "hospital-a", view, judge, 0, NULL, 0, NULL);
    world_close(&w);
}

struct opener {
    struct world *w;
    const char *party, *session, *key;
    char out[ROOM];
    enum csl_err err;
    struct csl_diag diag;
    pthread_t thread;
};
static void *open_in_thread(void *arg) {
    struct opener *o = arg;
    o->err = judge_open_view(o->w, o->party, o->session, o->key, NULL, o->out, &o->diag);
    return NULL;
}

/* Two at once, of which one may: never both. */
static void two_at_once(void **state) {
    (void)state;
    struct world w;
    struct csl_audit_policy audit = policy(1);
    struct csl_federation_options opt = options(3, &audit);
    char judge[ROOM], key[ROOM + 32], session[SESSION_TEXT];
    world_open(&w, &opt);
    judge_open(judge, &w, "judge");
    (void)snprintf(key, sizeof key, "%s/recipient.pem", judge);
    world_session(&w);
    judge_export(&w, session);
    struct opener o[2] = {{.w = &w, .party = "hospital-a"}, {.w = &w, .party = "hospital-b"}};
    for (int i = 0; i < 2; i++) {
        o[i].session = session;
        o[i].key = key;
        judge_file(o[i].out, &w, i == 0 ? "a.view" : "b.view");
        assert_int_equal(pthread_create(&o[i].thread, NULL, open_in_thread, &o[i]), 0);
    }
    unsigned opened = 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(o[i].thread, NULL), 0);
        opened += o[i].err == CSL_OK;
        if (o[i].err != CSL_OK) {
            REFUSED_77(o[i].err, &o[i].diag, "share the model anew");
        }
    }
    assert_true(opened <= 1);
    world_close(&w);
}

/* A lie that is signed is named; the others are not. */
static void liars_are_named(void **state) {
    (void)state;
    static const struct {
        const char *option, *value;
        int round;
        const char *step;
    } lies[] = {{"--lie", "round:1", 1, "hidden"}, {"--lie", "round:2", 2, "relu"},
                {"--lie", "round:3", 3, "relu"},   {"--lie", "round:4", 4, "relu"},
                {"--lie", "round:5", 5, "out"},    {"--lie-output", "yes", 0, "output"}};
    struct world w;
    struct csl_audit_policy audit = policy(0);
    struct csl_federation_options opt = options(3, &audit);
    char judge[ROOM], key[ROOM + 32], view[ROOM], session[SESSION_TEXT], name[32];
    struct csl_diag diag = {""};
    world_open(&w, &opt);
    judge_open(judge, &w, "judge");
    (void)snprintf(key, sizeof key, "%s/recipient.pem", judge);
    for (int i = 0; i < (int)(sizeof lies / sizeof *lies); i++) {
        float x[N_IN] = {0};
        double logits[N_OUT];
        struct csl_batch_stats stats;
        world_kill(&w, "hospital-b");
        world_spawn_hostile(&w, "hospital-b", (const char *const[]){lies[i].option, lies[i].value, NULL});
        struct csl_client *c = world_client(&w, 1); /* nobody notices */
        must(world_client_infer(c, logits, &stats, x, 1, &diag), &diag, "infer");
        csl_client_close(c);
        judge_export(&w, session);
        (void)snprintf(name, sizeof name, "b%d.view", i);
        judge_file(view, &w, name);
        must(judge_open_view(&w, "hospital-b", session, key, NULL, view, &diag), &diag, "open");
        judge_verdict_is(&w, "hospital-b", view, judge, 2, "hospital-b", lies[i].round, lies[i].step);
    }
    judge_file(view, &w, "a.view"); /* of the last session */
    must(judge_open_view(&w, "hospital-a", session, key, NULL, view, &diag), &diag, "open");
    judge_verdict_is(&w, "hospital-a", view, judge, 0, NULL, 0, NULL);
    world_close(&w);
}

/* Signatures that do not fit, or none: no output is released, and the sentence names who. */
static void no_signature_no_output(void **state) {
    (void)state;
    static const char *const faults[][3] = {
        {"--lie-unsigned", "round:1", NULL}, {"--lie-unsigned", "round:5", NULL}, {"--no-sign", "yes", NULL}};
    struct world w;
    struct csl_federation_options opt = options(3, NULL);
    struct csl_diag diag = {""};
    world_open(&w, &opt);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        world_kill(&w, "hospital-b");
        world_spawn_hostile(&w, "hospital-b", faults[i]);
        FAILED(world_try(&w, &diag), &diag, CSL_EAUTH, "hospital-b", "not released");
    }
    char session[SESSION_TEXT]; /* what the client signed is kept, and is the same at all */
    judge_export(&w, session);
    judge_accuses(&w, -1, NULL, "hospital-a's ledger, batch 1: the entry of its heads is missing");
    world_close(&w);
}

/* The input of batch 1 as its owner signs it for party i. */
static void send_input(struct fake *f, unsigned i, uint8_t salt) {
    struct fake_statement s;
    Csl__Audit__InputStatement m = CSL__AUDIT__INPUT_STATEMENT__INIT;
    m.batch = 1;
    m.count = 2;
    fake_sign_as(&s, f, salt, &m);
    fake_send_input(f, i, 1, &s);
    csl_signed_clear(&s.s);
}

/* Each party alone would be content: no output, and the ledgers of both prove it. */
static void owners_that_sign_two_inputs_are_named(void **state) {
    (void)state;
    struct world w;
    struct csl_federation_options opt = options(3, NULL);
    struct csl_diag diag = {""};
    char session[SESSION_TEXT];
    world_open(&w, &opt);
    for (unsigned other = 0; other < w.n; other++) {
        struct fake f;
        fake_open(&f, &w, &w.clinic);
        fake_session(&f, 2);
        fake_prepare_all(&f, 1, 2);
        for (unsigned i = 0; i < w.n; i++) {
            send_input(&f, i, i == other ? 8 : 7);
        }
        fake_send_vector(&f, w.n - 1, 1, 2);
        FAILED2(fake_end(&f, other, &diag), &diag, CSL_EAUTH, CSL_EPEER, "clinic signed something else",
                "not released");
        fake_close(&f);
        judge_export(&w, session);
        judge_accuses(&w, 2, "clinic", "input statement");
    }
    world_session(&w);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openings_are_counted),
        cmocka_unit_test(two_parties_need_consent),
        cmocka_unit_test(who_must_agree),
        cmocka_unit_test(two_at_once),
        cmocka_unit_test(liars_are_named),
        cmocka_unit_test(no_signature_no_output),
        cmocka_unit_test(owners_that_sign_two_inputs_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
