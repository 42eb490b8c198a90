/* What `consilium model check` says about a network: text for people, numbers for scripts. */
#ifndef CSL_NN_MODEL_REPORT_H
#define CSL_NN_MODEL_REPORT_H

#include <stdio.h>

#include "nn/plan.h"

struct csl_model_report {
    struct csl_plan plan; /* valid when ok */
    struct csl_plan_report ranges;
    struct csl_cost cost; /* for n_parties, batch, profile, reveal_label */
    struct csl_cost
        steps[CSL_PLAN_MAX_STEPS + 1]; /* rounds and online_bytes of each step; the arg-max's last */
    unsigned n_parties;
    uint32_t batch;
    enum csl_profile profile;
    bool reveal_label;
    struct csl_issues issues; /* every node that cannot be run */
    bool ok;
    char error[512]; /* the first error when !ok */
};

/* Compiles a lowered network and fills the report. net NULL: it could not be lowered, and issues say why.
 * issues (may be NULL) are copied. Never fails for a network that cannot be run (then ok is false); only
 * CSL_ENOMEM and CSL_EUSAGE. weights may be NULL. */
CSL_MUST_CHECK enum csl_err csl_model_report_make(struct csl_model_report *report,
                                                  struct csl_weights *weights, const struct csl_network *net,
                                                  const struct csl_issues *issues,
                                                  const struct csl_plan_options *opt, unsigned n_parties,
                                                  uint32_t batch, enum csl_profile profile, bool reveal_label,
                                                  struct csl_diag *diag);
void csl_model_report_clear(struct csl_model_report *report);

/* Plain text, a line a step. */
void csl_model_report_print(const struct csl_model_report *report, FILE *out);

#endif
