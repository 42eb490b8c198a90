/* Evidence against the dealer: what is let through is written the same again, and whatever the statement in
 * it says is looked up without harm. */
#include <stdlib.h>
#include <string.h>

#include "roles/judge/evidence.h"
#include "roles/lane/dealt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const struct csl_evidence *e) {
    Csl__Audit__DealtStatement *m;
    unsigned whose;
    if (csl_dealt_statement_decode(&m, e->dealt.statement, e->dealt.n, NULL) != CSL_OK) {
        return;
    }
    enum csl_err err = csl_evidence_paths(e, m, &whose);
    if (err != CSL_OK && err != CSL_EAUTH) {
        abort();
    }
    csl_statement_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct csl_evidence e;
    struct csl_signed s;
    struct csl_diag diag = {""};
    uint8_t *again;
    size_t n;
    if (size >= CSL_DEALT_RECORD_BYTES && csl_dealt_from_record(&s, data, &diag) == CSL_OK) {
        uint8_t record[CSL_DEALT_RECORD_BYTES];
        if (csl_dealt_to_record(record, &s) != CSL_OK || memcmp(record, data, sizeof record) != 0) {
            abort();
        }
        csl_signed_clear(&s);
    }
    if (csl_evidence_decode(&e, data, size, &diag) != CSL_OK) {
        if (diag.text[0] == '\0') {
            abort(); /* an error without a sentence */
        }
        return 0;
    }
    if (csl_evidence_encode(&again, &n, &e) != CSL_OK || n != size || memcmp(again, data, n) != 0) {
        abort();
    }
    free(again);
    look_up(&e);
    csl_evidence_clear(&e);
    return 0;
}
