/* Records of a view, as a judge decodes what a party has sealed: what is let through is packed and read again
 * the same, and a replay of it ends without an accusation. */
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "roles/judge/replay.h"
#include "roles/judge/view_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PARTIES = 2 };
static struct csl_member members[5] = {{.name = "hospital-a", .party = 0, .roles = CSL_ROLE_PARTY},
                                       {.name = "hospital-b", .party = 1, .roles = CSL_ROLE_PARTY},
                                       {.name = "dealer", .party = -1, .roles = CSL_ROLE_DEALER},
                                       {.name = "clinic", .party = -1, .roles = CSL_ROLE_CLIENT},
                                       {.name = "radiology", .party = -1, .roles = CSL_ROLE_CLIENT}};
static const struct csl_roster roster = {
    .members = members, .n_members = 5, .n_parties = PARTIES, .parties = {0, 1}, .dealer = 2};

static void check(bool ok) {
    if (!ok) {
        abort();
    }
}

/* Nobody has signed what a fuzzer makes up; and the roster here has no keys. */
static void replay(const struct csl_view_session *s) {
    static const uint8_t digest[32];
    struct csl_audit_report report = {.verdict = CSL_VERDICT_CONSISTENT};
    struct csl_replay_options opt = {.roster = &roster, .roster_digest = digest, .party = "hospital-a"};
    struct csl_replay *r = NULL;
    if (csl_replay_begin(&r, &opt, s, &report, NULL) == CSL_OK) {
        check(report.verdict == CSL_VERDICT_MISMATCH);
    }
    csl_replay_free(r);
    csl_audit_report_clear(&report);
}

static void session(const Csl__View__Session *m) {
    struct csl_view_session s;
    struct csl_diag diag = {""};
    memset(&s, 0, sizeof s);
    if (csl__view_take_session(&s, m, &roster, &diag) == CSL_OK) {
        replay(&s);
    } else {
        check(diag.text[0] != '\0');
    }
    csl_view_session_clear(&s);
}

static void weights(const Csl__View__Weights *m) {
    struct csl_view_session s;
    memset(&s, 0, sizeof s);
    (void)!csl__view_take_weights(&s, m, NULL);
    csl_view_session_clear(&s);
}

static void batch(const Csl__View__Batch *m) {
    struct csl_record r, again;
    struct csl_diag diag = {""};
    memset(&r, 0, sizeof r);
    memset(&again, 0, sizeof again);
    if (csl__view_take_batch(&r, m, PARTIES, &roster, &diag) == CSL_OK) {
        uint8_t *p = NULL;
        size_t n = 0;
        Csl__View__Record *record = NULL;
        check(csl__view_pack_batch(&p, &n, &r, PARTIES) == CSL_OK);
        check(csl__view_unpack(&record, p, n, NULL) == CSL_OK);
        check(record->kind_case == CSL__VIEW__RECORD__KIND_BATCH);
        check(csl__view_take_batch(&again, record->batch, PARTIES, &roster, NULL) == CSL_OK);
        check(again.n_rounds == r.n_rounds && again.n_inputs == r.n_inputs && again.n_outputs == r.n_outputs);
        check(again.first_row == r.first_row);
        for (size_t i = 0; i < r.n_inputs; i++) {
            const struct csl_record_input *a = &r.inputs[i], *b = &again.inputs[i];
            check(a->first == b->first && a->count == b->count && a->owner == b->owner &&
                  memcmp(&a->request, &b->request, sizeof a->request) == 0);
        }
        csl__view_free(record);
        csl_secret_free(p);
    } else {
        check(diag.text[0] != '\0');
    }
    csl_record_clear(&r);
    csl_record_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Csl__View__Record *r = NULL;
    if (csl__view_unpack(&r, data, size, NULL) != CSL_OK) {
        return 0;
    }
    if (r->kind_case == CSL__VIEW__RECORD__KIND_SESSION) {
        session(r->session);
    } else if (r->kind_case == CSL__VIEW__RECORD__KIND_WEIGHTS) {
        weights(r->weights);
    } else if (r->kind_case == CSL__VIEW__RECORD__KIND_BATCH) {
        batch(r->batch);
    }
    csl__view_free(r);
    return 0;
}
