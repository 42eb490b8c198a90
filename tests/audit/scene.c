#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/audit/scene.h"

void scene_open(struct scene *s, unsigned n_parties, enum csl_audit_sign sign) {
    *s = (struct scene){.n = 0};
    w_open(&s->w, n_parties);
    for (size_t i = 0; i < 2; i++) {
        w_session_fill(&s->w, &s->sessions[i], (uint8_t)(i + 1), sign);
    }
    w_model(&s->w, s->sessions[0].m.package_digest.data, "digits");
    s->w.next_counter = 1;
}

/* Two sessions of two batches, the second batch with an input in parts. */
void scene_play(struct scene *s) {
    for (size_t i = 0; i < 2; i++) {
        w_session_enter(&s->w, &s->sessions[i]);
        for (uint32_t k = 0; k < 2; k++) {
            struct w_batch *b = &s->batches[2 * i + k];
            b->number = k + 1;
            b->count = 3 + k;
            b->parts = k == 1 ? 2 : 0;
            w_batch(&s->w, &s->sessions[i], b);
        }
        w_session_end(&s->w, &s->sessions[i], CSL_OK);
    }
}

/* Every site's whole ledger, each having seen half of the others' and all of them. */
void scene_export(struct scene *s) {
    for (unsigned i = 0; i < s->w.n_members; i++) {
        s->bundles[s->n++] = w_bundle(&s->w, i, 0, NULL, NULL);
        for (unsigned k = 0; k <= s->w.n_parties; k++) {
            if (k != i) {
                w_saw(&s->w, s->bundles[i], k, i % 2 == 0 ? s->w.logs[k].n : s->w.logs[k].n / 2);
            }
        }
    }
}

void scene_close(struct scene *s) {
    for (size_t i = 0; i < s->n; i++) {
        csl_bundle_free(s->bundles[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        w_batch_clear(&s->batches[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        w_session_clear(&s->sessions[i]);
    }
    w_close(&s->w);
}

/* The client keeps no ledger: its bundle has no checkpoint of anything. */
void scene_drop_empty(struct scene *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->bundles[i]->n_leaves == 0) {
            csl_bundle_free(s->bundles[i]);
        } else {
            s->bundles[n++] = s->bundles[i];
        }
    }
    s->n = n;
}

/* The verdict is as told, and who is named (NULL: nobody) is the only one. */
void scene_expect(struct scene *s, enum csl_verdict verdict, const char *who) {
    struct csl_audit_report r = w_verify(&s->w, s->bundles, s->n);
    bool named = false, other = false;
    for (size_t i = 0; i < r.n_findings; i++) {
        if (r.findings[i].verdict == CSL_VERDICT_ATTRIBUTABLE) {
            bool is = who != NULL && strcmp(r.findings[i].who, who) == 0;
            named |= is;
            other |= !is;
        }
    }
    if (r.verdict != verdict || other || named != (who != NULL)) {
        w_print(&r);
        fail_msg("verdict %d, not %d", (int)r.verdict, (int)verdict);
    }
    assert_true((r.verdict == CSL_VERDICT_CONSISTENT) == (r.n_findings == 0));
    csl_audit_report_clear(&r);
}

void scene_honest(struct scene *s, unsigned n, enum csl_audit_sign sign) {
    scene_open(s, n, sign);
    scene_play(s);
    scene_export(s);
    scene_drop_empty(s);
}

static const uint8_t *wanted_id, *wanted_digest;
static bool of_session(const csl_leaf *l) {
    const ProtobufCBinaryData *d = NULL;
    switch (l->body_case) {
    case CSL__AUDIT__LEAF__BODY_MODEL:
        return true;
    case CSL__AUDIT__LEAF__BODY_SESSION: {
        uint8_t digest[32];
        assert_int_equal(csl_sha256_once(digest, l->session->statement.data, l->session->statement.len),
                         CSL_OK);
        return memcmp(digest, wanted_digest, 32) == 0;
    }
    case CSL__AUDIT__LEAF__BODY_INPUT:
        d = &l->input->session;
        break;
    case CSL__AUDIT__LEAF__BODY_HEADS:
        d = &l->heads->session;
        break;
    case CSL__AUDIT__LEAF__BODY_OUTPUT:
        d = &l->output->session;
        break;
    case CSL__AUDIT__LEAF__BODY_CLOSE:
        return memcmp(l->close->session_id.data, wanted_id, 16) == 0;
    case CSL__AUDIT__LEAF__BODY_DEALT: {
        Csl__Audit__DealtStatement *m = NULL;
        assert_int_equal(csl_dealt_statement_decode(&m, l->dealt->dealt->statement.data,
                                                    l->dealt->dealt->statement.len, NULL),
                         CSL_OK);
        bool yes = memcmp(m->session_id.data, wanted_id, 16) == 0;
        csl_statement_free(m);
        return yes;
    }
    default:
        return false;
    }
    return memcmp(d->data, wanted_digest, 32) == 0;
}

void scene_export_session(struct scene *s, size_t which) {
    wanted_id = s->sessions[which].m.session_id.data;
    wanted_digest = s->sessions[which].digest;
    for (unsigned i = 0; i <= s->w.n_parties; i++) {
        s->bundles[s->n++] = w_bundle(&s->w, i, 0, wanted_id, of_session);
    }
}
