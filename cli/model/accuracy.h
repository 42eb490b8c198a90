/* Fixed point against float, on sample images: what model check --images says. */
#ifndef CSL_CLI_MODEL_ACCURACY_H
#define CSL_CLI_MODEL_ACCURACY_H

#include "nn/eval.h"

struct csl_accuracy {
    size_t n;     /* images */
    size_t agree; /* class in fixed point == class in float */
    size_t n_labels, correct, plain_correct;
    double max_logit_error;
    size_t n_step_images;                  /* images that the errors of the steps are of: the first few */
    double step_error[CSL_PLAN_MAX_STEPS]; /* largest difference of an element from the float network's, after
                                              the last step of a node; -1: not the end of a node */
};

/* images: normalised. labels may be empty. Truncations round to nearest, as csl_eval_fixed without an oracle.
 */
CSL_MUST_CHECK enum csl_err csl_accuracy_measure(struct csl_accuracy *out, const struct csl_network *net,
                                                 const struct csl_plan *plan,
                                                 const struct csl_weights *weights,
                                                 const struct csl_images *images,
                                                 const struct csl_labels *labels, struct csl_diag *diag);

#endif
