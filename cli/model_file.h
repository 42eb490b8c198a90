/* A model file of any format, compiled: what model check, model share and infer --compare begin with. */
#ifndef CSL_CLI_MODEL_FILE_H
#define CSL_CLI_MODEL_FILE_H

#include "nn/model_report.h"

/* name: raw, unit, centered, mnist, or none with an interval "LO:HI" (NULL otherwise). CSL_EUSAGE. */
CSL_MUST_CHECK enum csl_err csl_parse_normalization(struct csl_normalization *out, const char *name,
                                                    const char *interval, struct csl_diag *diag);

/* Imports and compiles. CSL_EDATA lists every node that cannot be run. weights: csl_weights_clear. */
CSL_MUST_CHECK enum csl_err csl_model_file_compile(struct csl_plan *plan, struct csl_weights *weights,
                                                   const char *path, const struct csl_plan_options *opt,
                                                   struct csl_diag *diag);

#endif
