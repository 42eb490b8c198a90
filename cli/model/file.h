/* A model file of any format: imported, lowered, compiled. What model check, model share and infer --compare
 * begin with. */
#ifndef CSL_CLI_MODEL_FILE_H
#define CSL_CLI_MODEL_FILE_H

#include "nn/model_report.h"

/* name: raw, unit, centered, mnist, or none with an interval "LO:HI" (NULL otherwise). CSL_EUSAGE. */
CSL_MUST_CHECK enum csl_err csl_parse_normalization(struct csl_normalization *out, const char *name,
                                                    const char *interval, struct csl_diag *diag);

/* Imports by the file's first bytes (ONNX, Keras .h5 and .keras), folds and lowers. Nodes that cannot be run
 * are in issues, all of them, and the result is CSL_EDATA whose sentence lists them. *net: csl_network_free.
 */
CSL_MUST_CHECK enum csl_err csl_model_file_import(struct csl_network **net, struct csl_issues *issues,
                                                  const char *path, struct csl_diag *diag);

/* How a network is compiled, as the options of the commands say. */
struct csl_model_choice {
    struct csl_normalization input;
    unsigned frac_bits;
    bool sample_ranges;              /* narrow the ranges by these images (2 bits of margin) */
    const struct csl_images *images; /* raw, not normalised; NULL: none */
};

/* The compiler's options of a choice. ranges (all zero) is filled where samples narrow them, and must outlive
 * the options. net NULL: the ranges are left. */
CSL_MUST_CHECK enum csl_err csl_model_options(struct csl_plan_options *out, struct csl_ranges *ranges,
                                              const struct csl_network *net,
                                              const struct csl_model_choice *choice, struct csl_diag *diag);

/* Compiles. CSL_EDATA names the layer. report may be NULL. */
CSL_MUST_CHECK enum csl_err csl_model_compile(struct csl_plan *plan, struct csl_weights *weights,
                                              struct csl_plan_report *report, const struct csl_network *net,
                                              const struct csl_model_choice *choice, struct csl_diag *diag);

/* A copy of images, normalised; the caller clears it. CSL_EDATA when they do not fit the network. */
CSL_MUST_CHECK enum csl_err csl_images_for(struct csl_images *out, const struct csl_images *raw,
                                           const struct csl_normalization *how, size_t n_inputs,
                                           struct csl_diag *diag);

#endif
