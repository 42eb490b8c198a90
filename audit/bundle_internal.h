/* What making and verifying a bundle share. */
#ifndef CSL_AUDIT_BUNDLE_INTERNAL_H
#define CSL_AUDIT_BUNDLE_INTERNAL_H

#include "audit/bundle.h"

/* Lengths and counts of every field; CSL_EDATA names it. */
CSL_MUST_CHECK enum csl_err csl__bundle_check(const csl_bundle *b, const char *what, struct csl_diag *diag);

/* bundle_notes.c: the history, and a last checkpoint that covers the first `covers` entries: the newest one,
 * unless the one before covers them too and more members have cosigned it. The caller frees `at`, after an
 * error too. */
struct csl__bundle_notes {
    struct csl_note *at;
    size_t n;
};
CSL_MUST_CHECK enum csl_err csl__bundle_choose_notes(struct csl__bundle_notes *out, struct csl_ledger *l,
                                                     const struct csl_bundle_roster *of, bool of_session,
                                                     uint64_t covers, struct csl_diag *diag);

#endif
