/* Control messages with a field that is not as it must be are refused, and the field is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/note.h"
#include "audit/statement.h"
#include "nn/plan.h"
#include "roles/message.h"

static uint8_t bytes[CSL_STATEMENT_MAX + 1];
static char note[CSL_NOTE_MAX + 1];

static ProtobufCBinaryData of(size_t n) {
    return csl_bytes(bytes, n);
}

/* field NULL: it is accepted. */
static void judge(const csl_control *m, const char *field) {
    struct csl_diag diag = {""};
    uint8_t *packed;
    size_t n;
    csl_control *back = NULL;
    assert_int_equal(csl_message_encode(&packed, &n, m), CSL_OK);
    enum csl_err err = csl_message_decode(&back, packed, n, &diag);
    free(packed);
    if (field == NULL) {
        assert_int_equal(err, CSL_OK);
        csl_message_free(back);
        return;
    }
    assert_int_equal(err, CSL_EPROTO);
    if (strstr(diag.text, field) == NULL) {
        fail_msg("\"%s\" is not in: %s", field, diag.text);
    }
}

/* A guest's id where, and only where, the session is shared. */
static void open_session(void **state) {
    (void)state;
    CSL_CONTROL(m, body, OpenSession, OPEN_SESSION, OPEN_SESSION, open_session);
    body.session_id = of(16);
    body.model = (char *)"network";
    body.max_batch = 1;
    judge(&m, NULL);
    body.guest_id = of(16);
    judge(&m, "guest_id");
    body.shared = true;
    judge(&m, NULL);
    for (size_t n = 0; n < 33; n++) {
        body.guest_id = of(n);
        judge(&m, n == 16 ? NULL : "guest_id");
    }
}

static void admitted(void **state) {
    (void)state;
    CSL_CONTROL(m, body, Admitted, ADMITTED, ADMITTED, admitted);
    for (size_t n = 0; n < 33; n++) {
        body.session_id = of(n);
        judge(&m, n == 0 || n == 16 ? NULL : "session_id");
    }
}

static void session_ready(void **state) {
    (void)state;
    CSL_CONTROL(m, body, SessionReady, SESSION_READY, SESSION_READY, session_ready);
    body.package_digest = of(32);
    body.epoch_id = of(32);
    body.manifest = of(10);
    body.manifest_signature = of(64);
    judge(&m, NULL); /* where nothing is signed */
    body.session = of(32);
    judge(&m, NULL);
    body.session = of(31);
    judge(&m, "session");
    body.session = of(0);
    body.manifest_signature = of(0);
    judge(&m, "manifest_signature");
}

/* The three fields of something that is signed: all of them, or none. */
static void signed_fields(const csl_control *m, ProtobufCBinaryData *salt, ProtobufCBinaryData *statement,
                          ProtobufCBinaryData *signature) {
    static const struct {
        size_t salt, statement, signature;
        const char *field;
    } cases[] = {
        {0, 0, 0, NULL},
        {32, 1, 64, NULL},
        {32, CSL_STATEMENT_MAX, 64, NULL},
        {32, CSL_STATEMENT_MAX + 1, 64, "statement"},
        {31, 5, 64, "salt"},
        {33, 5, 64, "salt"},
        {32, 5, 63, "signature"},
        {32, 5, 65, "signature"},
        {0, 5, 64, "statement"},
        {32, 0, 64, "statement"},
        {32, 5, 0, "statement"},
        {32, 0, 0, "statement"},
        {0, 0, 64, "statement"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (salt == NULL && cases[i].field != NULL && (cases[i].salt != 32 || cases[i].signature == 0)) {
            continue; /* it has no salt */
        }
        if (salt != NULL) {
            *salt = of(cases[i].salt);
        }
        *statement = of(cases[i].statement);
        *signature = of(cases[i].signature);
        judge(m, cases[i].field);
    }
}

static void input(void **state) {
    (void)state;
    CSL_CONTROL(m, body, Input, INPUT, INPUT, input);
    body.batch = 1;
    judge(&m, NULL); /* to the last party */
    for (size_t n = 1; n < 40; n++) {
        body.seed = of(n);
        judge(&m, n == 32 ? NULL : "seed");
    }
    body.seed = of(32);
    body.count = 1 << 16;
    judge(&m, NULL);
    body.count++;
    judge(&m, "count");
    body.count = 0;
    signed_fields(&m, &body.salt, &body.statement, &body.signature);
    body = (Csl__Pb__Input)CSL__PB__INPUT__INIT;
    judge(&m, "batch");
}

static void batch_done(void **state) {
    (void)state;
    CSL_CONTROL(m, body, BatchDone, BATCH_DONE, BATCH_DONE, batch_done);
    body.batch = 1;
    signed_fields(&m, &body.salt, &body.statement, &body.signature);
    body.statement = body.salt = body.signature = of(0);
    body.profile = CSL_PROFILE_WAN;
    judge(&m, NULL);
    body.profile = CSL_PROFILE_COUNT;
    judge(&m, "profile");
}

static void open_corrections(void **state) {
    (void)state;
    CSL_CONTROL(m, body, OpenCorrections, OPEN_CORRECTIONS, OPEN_CORRECTIONS, open_corrections);
    body.session_id = of(16);
    body.epoch_id = of(32);
    body.package_digest = of(32);
    body.plan = of(10);
    body.max_batch = 1;
    for (body.profile = 0; body.profile < CSL_PROFILE_COUNT; body.profile++) {
        judge(&m, NULL);
    }
    judge(&m, "profile");
    body.profile = UINT32_MAX;
    judge(&m, "profile");
}

static void dealt(void **state) {
    (void)state;
    CSL_CONTROL(m, body, Dealt, DEALT, DEALT, dealt);
    body.signature = of(64);
    judge(&m, "statement");
    body.statement = of(CSL_STATEMENT_MAX + 1);
    judge(&m, "statement");
    body.statement = of(100);
    judge(&m, NULL);
    body.signature = of(0);
    judge(&m, "signature");
}

/* Proofs of n nodes, of which the last is of n_last bytes. */
static void proofs(const csl_control *m, size_t *n_proof, ProtobufCBinaryData **proof) {
    ProtobufCBinaryData nodes[CSL_MERKLE_PROOF_MAX + 1];
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        nodes[i] = of(32);
    }
    *proof = nodes;
    *n_proof = CSL_MERKLE_PROOF_MAX;
    judge(m, NULL);
    *n_proof = CSL_MERKLE_PROOF_MAX + 1;
    judge(m, "proof");
    nodes[1] = of(31);
    *n_proof = 2;
    judge(m, "proof");
    *n_proof = 0;
}

static void checkpoints(void **state) {
    (void)state;
    memset(note, 'x', CSL_NOTE_MAX);
    CSL_CONTROL(add, body, AddCheckpoint, ADD_CHECKPOINT, ADD_CHECKPOINT, add_checkpoint);
    judge(&add, "note");
    body.note = note;
    judge(&add, "note"); /* a byte too long */
    note[CSL_NOTE_MAX - 1] = 0;
    judge(&add, NULL);
    proofs(&add, &body.n_proof, &body.proof);
    CSL_CONTROL(cosigned, answer, Cosigned, COSIGNED, COSIGNED, cosigned);
    judge(&cosigned, "note");
    answer.note = note;
    judge(&cosigned, NULL);
    CSL_CONTROL(no, refusal, WitnessRefuses, WITNESS_REFUSES, WITNESS_REFUSES, witness_refuses);
    judge(&no, NULL);
    refusal.reason = (char *)"two\nlines";
    judge(&no, "reason");
}

static void models(void **state) {
    (void)state;
    CSL_CONTROL(m, body, ShareModel, SHARE_MODEL, SHARE_MODEL, share_model);
    body.manifest = of(10);
    judge(&m, "signature");
    body.signature = of(64);
    judge(&m, NULL);
    proofs(&m, &body.n_proof, &body.proof);
    CSL_CONTROL(stored, answer, ModelStored, MODEL_STORED, MODEL_STORED, model_stored);
    answer.package_digest = of(32);
    judge(&stored, NULL);
    memset(note, 'x', CSL_NOTE_MAX);
    answer.checkpoint = note;
    judge(&stored, "checkpoint");
}

static void openings(void **state) {
    (void)state;
    CSL_CONTROL(m, body, OpeningAnnounced, OPENING_ANNOUNCED, OPENING_ANNOUNCED, opening_announced);
    body.package_digest = of(32);
    body.session_id = of(16);
    body.judge = of(32);
    judge(&m, NULL);
    body.judge = of(31);
    judge(&m, "judge");
    body.judge = of(32);
    signed_fields(&m, NULL, &body.consent, &body.consent_signature);
    char *names[CSL_MAX_PARTIES + 1];
    for (size_t i = 0; i <= CSL_MAX_PARTIES; i++) {
        names[i] = (char *)"hospital-a";
    }
    CSL_CONTROL(known, answer, OpeningsKnown, OPENINGS_KNOWN, OPENINGS_KNOWN, openings_known);
    answer.parties = names;
    answer.n_parties = CSL_MAX_PARTIES;
    judge(&known, NULL);
    answer.n_parties = CSL_MAX_PARTIES + 1;
    judge(&known, "parties");
    answer.n_parties = 1;
    names[0] = (char *)"a\x1b[2J";
    judge(&known, "parties");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_session), cmocka_unit_test(admitted),    cmocka_unit_test(session_ready),
        cmocka_unit_test(input),        cmocka_unit_test(batch_done),  cmocka_unit_test(open_corrections),
        cmocka_unit_test(dealt),        cmocka_unit_test(checkpoints), cmocka_unit_test(models),
        cmocka_unit_test(openings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
