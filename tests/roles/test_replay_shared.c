/* The replay of shared sessions: rows of several clients in a batch, several batches over one dealing. Honest
 * parties are never accused, one that cheats is named with the inference, and views keep all of it. */
#include "replay_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "roles/judge/view_internal.h"

#define OK(x) assert_int_equal((x), CSL_OK)

static void open_shared(struct rw *w, unsigned n, bool label) {
    rw_open(w, n, label, false);
    rw_set_shared(w);
}

/* ---- Honest, and not ---- */

static void honest_parties_are_consistent(void **state) {
    (void)state;
    for (unsigned n = 2; n <= 3; n++) {
        for (int form = 0; form < 4; form++) {
            struct rw w;
            open_shared(&w, n, (form & 1) != 0);
            w.sign = (form & 2) != 0 ? CSL_SIGN_AFTER_OUTPUT : CSL_SIGN_BEFORE_OUTPUT;
            struct rw_session *s = rw_run(&w, RW_HONEST, 1);
            rw_all_consistent(s, -1);
            rw_session_free(s);
            rw_close(&w);
        }
    }
}

static void wrong_messages_are_named(void **state) {
    (void)state;
    struct rw w;
    open_shared(&w, 2, true);
    for (uint32_t round = 1; round <= w.openings; round += 2) {
        struct rw_fault f = {.party = (int)(round / 2 % 2), .batch = 1 + round / 4 % 2, .round = round};
        struct rw_session *s = rw_run(&w, f, (uint8_t)round);
        rw_named(s, round);
        rw_all_consistent(s, f.party);
        rw_session_free(s);
    }
    rw_close(&w);
}

/* What went to the first client, or to the second. */
static void wrong_outputs_are_named(void **state) {
    (void)state;
    for (int form = 0; form < 8; form++) {
        struct rw w;
        open_shared(&w, 3, (form & 1) != 0);
        struct rw_fault f = {
            .party = form % 3, .batch = 1 + form / 4, .output = true, .output_row = (form & 2) != 0};
        struct rw_session *s = rw_run(&w, f, 1);
        struct rw_verdict v = rw_named(s, 0);
        assert_int_equal(v.fault.inference, f.output_row + 1);
        assert_int_equal(v.fault.element, 0);
        rw_all_consistent(s, f.party);
        rw_session_free(s);
        rw_close(&w);
    }
}

/* All parties signed for the rows of the first batch in the second: each of them is named. */
static void rows_twice_are_named(void **state) {
    (void)state;
    struct rw w;
    open_shared(&w, 2, false);
    w.rows_twice = true;
    struct rw_session *s = rw_run(&w, RW_HONEST, 1);
    for (unsigned p = 0; p < 2; p++) {
        struct rw_verdict v = rw_replay(s, p, 0);
        assert_int_equal(v.verdict, CSL_VERDICT_ATTRIBUTABLE);
        assert_string_equal(v.who, w.roster.members[p].name);
        assert_int_equal(v.batch, 2);
        assert_non_null(strstr(v.text, "correlations twice"));
    }
    rw_session_free(s);
    rw_close(&w);
}

static void two_outputs_are_a_proof(void **state) {
    (void)state;
    struct rw w;
    open_shared(&w, 2, false);
    struct rw_session *s = rw_run(&w, RW_HONEST, 1);
    rw_commit_otherwise(s, 0, 1, 1);
    struct rw_verdict v = rw_replay(s, 0, 0);
    assert_int_equal(v.verdict, CSL_VERDICT_ATTRIBUTABLE);
    assert_int_equal(v.batch, 2);
    assert_non_null(strstr(v.text, "two different commitments"));
    rw_consistent(s, 1);
    rw_session_free(s);
    rw_close(&w);
}

/* ---- Records of views ---- */

static Csl__View__Record *packed(const struct rw_session *s, unsigned p, uint32_t b) {
    Csl__View__Record *record = NULL;
    uint8_t *bytes = NULL;
    size_t n = 0;
    OK(csl__view_pack_batch(&bytes, &n, &s->batches[p][b], s->w->n));
    OK(csl__view_unpack(&record, bytes, n, NULL));
    csl_secret_free(bytes);
    return record;
}

/* Each party's records through their messages, and replayed. */
static void views_keep_all_of_it(void **state) {
    (void)state;
    struct rw w;
    open_shared(&w, 3, true);
    struct rw_session *s = rw_run(&w, RW_HONEST, 1);
    for (unsigned p = 0; p < 3; p++) {
        for (uint32_t b = 0; b < RW_BATCHES; b++) {
            Csl__View__Record *m = packed(s, p, b);
            struct csl_record back = {0};
            OK(csl__view_take_batch(&back, m->batch, 3, &w.roster, NULL));
            assert_ptr_equal(back.inputs[1].owner, w.clients[1]);
            assert_int_equal(back.inputs[1].first, 1);
            assert_int_equal(back.first_row, b * RW_COUNT);
            csl_record_clear(&s->batches[p][b]);
            s->batches[p][b] = back;
            csl__view_free(m);
        }
        uint8_t *bytes = NULL;
        size_t n = 0;
        struct csl_package package = {.manifest = w.manifest_bytes,
                                      .n_manifest = w.n_manifest,
                                      .part = w.parts[p],
                                      .n_part = w.n_parts[p]};
        Csl__View__Record *m = NULL;
        struct csl_view_session v = {.n_part = 0};
        OK(csl__view_pack_session(&bytes, &n, &s->record, &package, &w.request));
        OK(csl__view_unpack(&m, bytes, n, NULL));
        OK(csl__view_take_session(&v, m->session, &w.roster, NULL));
        assert_true(v.request.shared);
        csl_view_session_clear(&v);
        csl__view_free(m);
        csl_secret_free(bytes);
    }
    rw_all_consistent(s, -1);
    rw_session_free(s);
    rw_close(&w);
}

static void field_guest(Csl__View__Batch *m) {
    m->inputs[1]->guest.len--;
}
static void field_no_guest(Csl__View__Batch *m) {
    m->inputs[1]->guest.len = 0;
}
static void field_no_request(Csl__View__Batch *m) {
    m->inputs[1]->request = 0;
}
static void field_first_no_request(Csl__View__Batch *m) {
    m->inputs[0]->request = 0;
}
static void field_no_requests(Csl__View__Batch *m) {
    m->inputs[0]->request = m->inputs[1]->request = 0; /* guests and owners are there */
}
static void field_owner(Csl__View__Batch *m) {
    m->inputs[1]->owner[0] = 'x';
}
static void field_count(Csl__View__Batch *m) {
    m->inputs[1]->count++;
}
static void field_no_count(Csl__View__Batch *m) {
    m->inputs[0]->count = 0;
}
static void field_fewer(Csl__View__Batch *m) {
    m->count++; /* of the rows, not of the inputs */
}
static void field_huge(Csl__View__Batch *m) {
    m->inputs[0]->count = UINT32_MAX;
}
static void field_first_row(Csl__View__Batch *m) {
    m->first_row = m->total - m->count + 1;
}
static void field_outputs(Csl__View__Batch *m) {
    m->n_output--;
}
static void field_salts(Csl__View__Batch *m) {
    m->n_output_salt--;
}
static void field_salt(Csl__View__Batch *m) {
    m->output_salt[1].len--;
}
static void field_share(Csl__View__Batch *m) {
    m->output_share[1].len = 0;
}
static void field_many(Csl__View__Batch *m) {
    static Csl__View__Input *all[CSL_RECORD_INPUTS_MAX + 1];
    for (size_t i = 0; i <= CSL_RECORD_INPUTS_MAX; i++) {
        all[i] = m->inputs[0];
    }
    m->inputs = all;
    m->n_inputs = CSL_RECORD_INPUTS_MAX + 1;
}

static void wrong_records_are_refused(void **state) {
    (void)state;
    static void (*const changes[])(Csl__View__Batch *) = {
        field_guest,       field_no_guest, field_no_request, field_first_no_request,
        field_no_requests, field_owner,    field_count,      field_no_count,
        field_fewer,       field_huge,     field_first_row,  field_outputs,
        field_salts,       field_salt,     field_share,      field_many,
    };
    struct rw w;
    open_shared(&w, 2, false);
    struct rw_session *s = rw_run(&w, RW_HONEST, 1);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        Csl__View__Record *m = packed(s, 1, 0);
        Csl__View__Batch kept = *m->batch;
        size_t salt = kept.output_salt[1].len, share = kept.output_share[1].len;
        struct csl_record back = {0};
        struct csl_diag diag = {""};
        changes[i](m->batch);
        if (csl__view_take_batch(&back, m->batch, 2, &w.roster, &diag) != CSL_EDATA || diag.text[0] == '\0') {
            fail_msg("change %zu is taken: %s", i, diag.text);
        }
        csl_record_clear(&back);
        *m->batch = kept;
        m->batch->output_salt[1].len = salt;
        m->batch->output_share[1].len = share;
        csl__view_free(m);
    }
    rw_session_free(s);
    rw_close(&w);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_parties_are_consistent), cmocka_unit_test(wrong_messages_are_named),
        cmocka_unit_test(wrong_outputs_are_named),       cmocka_unit_test(rows_twice_are_named),
        cmocka_unit_test(two_outputs_are_a_proof),       cmocka_unit_test(views_keep_all_of_it),
        cmocka_unit_test(wrong_records_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
