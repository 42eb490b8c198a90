/* What making and verifying a bundle share. */
#ifndef CSL_AUDIT_BUNDLE_INTERNAL_H
#define CSL_AUDIT_BUNDLE_INTERNAL_H

#include "audit/bundle.h"

/* Lengths and counts of every field; CSL_EDATA names it. */
CSL_MUST_CHECK enum csl_err csl__bundle_check(const csl_bundle *b, const char *what, struct csl_diag *diag);

#endif
