/* What `consilium model check` says about a network: text for people, numbers for scripts. */
#ifndef CSL_NN_MODEL_REPORT_H
#define CSL_NN_MODEL_REPORT_H

#include <stdio.h>

#include "nn/plan.h"

struct csl_model_report {
    struct csl_plan plan; /* valid when ok */
    struct csl_plan_report ranges;
    struct csl_cost cost; /* for n_parties and batch */
    unsigned n_parties;
    uint32_t batch;
    struct csl_issues issues; /* every node that cannot be run */
    bool ok;
    char error[512]; /* the first error when !ok */
};

/* Compiles a finished graph and fills the report; import_issues (may be NULL) are copied in front. Never
 * fails for a network that cannot be run (then ok is false); only CSL_ENOMEM and CSL_EUSAGE. weights may be
 * NULL. */
CSL_MUST_CHECK enum csl_err csl_model_report_make(struct csl_model_report *report,
                                                  struct csl_weights *weights, const struct csl_graph *graph,
                                                  const struct csl_issues *import_issues,
                                                  const struct csl_plan_options *opt, unsigned n_parties,
                                                  uint32_t batch, struct csl_diag *diag);
void csl_model_report_clear(struct csl_model_report *report);

/* Plain text, a line a layer. */
void csl_model_report_print(const struct csl_model_report *report, FILE *out);

#endif
