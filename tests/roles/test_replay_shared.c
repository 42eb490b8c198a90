/* The replay of shared sessions: rows of several clients in a batch, several batches over one dealing. Honest
 * parties are never accused, one that cheats is named with the inference, and views keep all of it. */
#include "replay_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "roles/judge/view_internal.h"

#define OK(x) assert_int_equal((x), CSL_OK)

static void consistent(const struct rw_session *s, unsigned p) {
    struct rw_verdict v = rw_replay(s, p, 0);
    if (v.verdict != CSL_VERDICT_CONSISTENT || v.batches != RW_BATCHES) {
        fail_msg("party %u: verdict %d after %zu batches: %s", p, (int)v.verdict, v.batches, v.text);
    }
}

static void all_consistent(const struct rw_session *s, int but) {
    for (unsigned p = 0; p < s->w->n; p++) {
        if ((int)p != but) {
            consistent(s, p);
        }
    }
}

static struct rw_verdict named(const struct rw_session *s, uint32_t round) {
    const struct rw_fault *f = &s->fault;
    struct rw_verdict v = rw_replay(s, (unsigned)f->party, 0);
    if (v.verdict != CSL_VERDICT_ATTRIBUTABLE || !v.fault.found || v.fault.round != round ||
        v.batch != f->batch || strcmp(v.who, s->w->roster.members[f->party].name) != 0) {
        fail_msg("party %d, batch %u, round %u: verdict %d: %s", f->party, f->batch, round, (int)v.verdict,
                 v.text);
    }
    return v;
}

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
            all_consistent(s, -1);
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
        named(s, round);
        all_consistent(s, f.party);
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
        struct rw_verdict v = named(s, 0);
        assert_int_equal(v.fault.inference, f.output_row + 1);
        assert_int_equal(v.fault.element, 0);
        all_consistent(s, f.party);
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
    struct csl_record *r = &s->batches[0][1];
    struct csl_signed other, mine = r->outputs[1].statement;
    Csl__Audit__OutputStatement *m = NULL;
    OK(csl_output_statement_decode(&m, mine.statement, mine.n, NULL));
    m->commitment.data[0] ^= 1;
    OK(csl_statement_sign(&other, CSL_STATEMENT_OUTPUT, &m->base, w.keys[0], NULL));
    csl_statement_free(m);
    r->outputs[1].statement = other;
    rw_bundles(s); /* its ledger says so, its view the other */
    r->outputs[1].statement = mine;
    csl_signed_clear(&other);
    struct rw_verdict v = rw_replay(s, 0, 0);
    assert_int_equal(v.verdict, CSL_VERDICT_ATTRIBUTABLE);
    assert_int_equal(v.batch, 2);
    assert_non_null(strstr(v.text, "two different commitments"));
    consistent(s, 1);
    rw_session_free(s);
    rw_close(&w);
}

/* ---- Changed views ---- */

static struct csl_record *first(struct rw_session *s, unsigned p) {
    return &s->batches[p][0];
}
static void guest(struct rw_session *s, unsigned p) {
    first(s, p)->inputs[1].request.guest[3] ^= 1;
}
static void number(struct rw_session *s, unsigned p) {
    first(s, p)->inputs[1].request.number++;
}
static void no_number(struct rw_session *s, unsigned p) {
    first(s, p)->inputs[1].request.number = 0;
}
static void owner(struct rw_session *s, unsigned p) {
    first(s, p)->inputs[1].owner = first(s, p)->inputs[0].owner;
}
static void no_owner(struct rw_session *s, unsigned p) {
    first(s, p)->inputs[1].owner = NULL;
}
static void rows_of_request(struct rw_session *s, unsigned p) {
    first(s, p)->inputs[1].count++;
}
static void first_of_request(struct rw_session *s, unsigned p) {
    first(s, p)->inputs[1].first = 0;
}
static void fewer_rows(struct rw_session *s, unsigned p) {
    first(s, p)->inputs[1].first = first(s, p)->inputs[0].count = 0;
}
static void inputs_swapped(struct rw_session *s, unsigned p) {
    struct csl_record_input *in = first(s, p)->inputs, swapped = in[0];
    in[0] = in[1];
    in[1] = swapped;
    in[0].first = 0;
    in[1].first = 1;
}
static void shares_swapped(struct rw_session *s, unsigned p) {
    struct csl_record_input *in = first(s, p)->inputs;
    uint8_t *share = in[0].share;
    in[0].share = in[1].share;
    in[1].share = share;
}
static void outputs_swapped(struct rw_session *s, unsigned p) {
    struct csl_record_output *out = first(s, p)->outputs, swapped = out[0];
    out[0] = out[1];
    out[1] = swapped;
}
static void output_share(struct rw_session *s, unsigned p) {
    first(s, p)->outputs[1].share[0] ^= 1;
}
static void fewer_outputs(struct rw_session *s, unsigned p) {
    struct csl_record_output *out = &first(s, p)->outputs[--first(s, p)->n_outputs];
    csl_secret_free(out->share);
    csl_signed_clear(&out->statement);
}
static void first_row(struct rw_session *s, unsigned p) {
    first(s, p)->first_row = 1; /* 1 and 2 have these counters, if the checked one is the last */
    first(s, p)->counters[0] = 1;
    first(s, p)->counters[1] = 2;
}
static void first_row_alone(struct rw_session *s, unsigned p) {
    first(s, p)->first_row = 3;
}
static void first_row_beyond(struct rw_session *s, unsigned p) {
    first(s, p)->first_row = UINT32_MAX;
}
static void not_shared(struct rw_session *s, unsigned p) {
    s->views[p].request.shared = false;
}

static void changed_views_accuse_nobody(void **state) {
    (void)state;
    static const struct {
        const char *word;
        void (*make)(struct rw_session *s, unsigned p);
    } changes[] = {
        {"committed to", guest},
        {"committed to", number},
        {"those of the batch", no_number},
        {"is not signed by", owner},
        {"is not signed by", no_owner},
        {"those of the batch", rows_of_request},
        {"those of the batch", first_of_request},
        {"those of the batch", fewer_rows},
        {"signed", inputs_swapped},
        {"committed to", shares_swapped},
        {"output share", outputs_swapped},
        {"output share", output_share},
        {"those of the batch", fewer_outputs},
        {"seed of inference", first_row},
        {"rows that the heads name", first_row_alone},
        {"rows that the heads name", first_row_beyond},
        {"request", not_shared},
    };
    struct rw w;
    open_shared(&w, 2, false);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        for (unsigned p = 0; p < 2; p++) {
            struct rw_session *s = rw_run(&w, RW_HONEST, 1);
            changes[i].make(s, p);
            struct rw_verdict v = rw_replay(s, p, 0);
            if (v.verdict != CSL_VERDICT_MISMATCH || strstr(v.text, changes[i].word) == NULL) {
                fail_msg("change %zu (\"%s\"): verdict %d: %s", i, changes[i].word, (int)v.verdict, v.text);
            }
            rw_session_free(s);
        }
    }
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
    all_consistent(s, -1);
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
        cmocka_unit_test(two_outputs_are_a_proof),       cmocka_unit_test(changed_views_accuse_nobody),
        cmocka_unit_test(views_keep_all_of_it),          cmocka_unit_test(wrong_records_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
