/* What `model check` says about the audit's part of the cost. */
#ifndef CSL_CLI_MODEL_CHECK_AUDIT_H
#define CSL_CLI_MODEL_CHECK_AUDIT_H

#include <jansson.h>

#include "nn/model_report.h"

struct csl_check_audit {
    uint32_t sign;            /* enum csl_roster_sign */
    uint32_t rows;            /* audit.check_rows */
    uint64_t signature_bytes; /* of a batch, to each peer; in the report's online bytes */
    uint64_t dealt_bytes;     /* the dealer's statement and what checks it, a party to each peer, offline */
    uint32_t dealt_exchanges;
    double caught; /* the chance that one bad correlation of the batch is found */
};

/* Adds the audit's bytes to report->cost (a report that is ok; else nothing). sign: the roster's word.
 * CSL_EUSAGE: it is none, or rows do not fit a batch. */
CSL_MUST_CHECK enum csl_err csl_check_audit_add(struct csl_check_audit *out, struct csl_model_report *report,
                                                const char *sign, uint32_t rows, struct csl_diag *diag);
void csl_check_audit_print(const struct csl_check_audit *a);
json_t *csl_check_audit_json(const struct csl_check_audit *a);

#endif
