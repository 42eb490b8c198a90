/* What tests expect of a replay. */
#include "replay_world.h"

#include <string.h>

void rw_consistent(const struct rw_session *s, unsigned p) {
    struct rw_verdict v = rw_replay(s, p, 0);
    if (v.verdict != CSL_VERDICT_CONSISTENT || v.batches != RW_BATCHES) {
        fail_msg("party %u: verdict %d after %zu batches: %s", p, (int)v.verdict, v.batches, v.text);
    }
}

void rw_all_consistent(const struct rw_session *s, int but) {
    for (unsigned p = 0; p < s->w->n; p++) {
        if ((int)p != but) {
            rw_consistent(s, p);
        }
    }
}

struct rw_verdict rw_named(const struct rw_session *s, uint32_t round) {
    const struct rw_fault *f = &s->fault;
    struct rw_verdict v = rw_replay(s, (unsigned)f->party, 0);
    if (v.verdict != CSL_VERDICT_ATTRIBUTABLE) {
        fail_msg("party %d, batch %u, round %u: verdict %d: %s", f->party, f->batch, round, (int)v.verdict,
                 v.text);
    }
    assert_string_equal(v.who, s->w->roster.members[f->party].name);
    assert_true(v.fault.found);
    assert_int_equal(v.batch, f->batch);
    assert_int_equal(v.fault.batch, f->batch);
    assert_int_equal(v.fault.round, round);
    return v;
}

void rw_accuses_nobody(struct rw_verdict v, enum csl_verdict want, const char *word) {
    if (v.verdict != want || strstr(v.text, word) == NULL) {
        fail_msg("verdict %d instead of %d (\"%s\"): %s", (int)v.verdict, (int)want, word, v.text);
    }
}

struct csl_record *rw_first(struct rw_session *s, unsigned p) {
    return &s->batches[p][0];
}

void rw_commit_otherwise(struct rw_session *s, unsigned p, uint32_t b, size_t i) {
    struct csl_record *r = &s->batches[p][b];
    struct csl_signed other, mine = r->outputs[i].statement;
    Csl__Audit__OutputStatement *m = NULL;
    assert_int_equal(csl_output_statement_decode(&m, mine.statement, mine.n, NULL), CSL_OK);
    m->commitment.data[0] ^= 1;
    assert_int_equal(csl_statement_sign(&other, CSL_STATEMENT_OUTPUT, &m->base, s->w->keys[p], NULL), CSL_OK);
    csl_statement_free(m);
    r->outputs[i].statement = other;
    rw_bundles(s);
    r->outputs[i].statement = mine;
    csl_signed_clear(&other);
}
