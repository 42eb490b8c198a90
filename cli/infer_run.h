/* A list of images through one session: inputs, batches, statistics, and the comparison with the plaintext
 * network. */
#ifndef CSL_CLI_INFER_RUN_H
#define CSL_CLI_INFER_RUN_H

#include "nn/image.h"
#include "roles/client/client.h"

struct csl_infer_inputs {
    struct csl_images images; /* normalised for the model */
    struct csl_images raw;    /* 0..255, for pictures */
    struct csl_labels labels; /* count 0: none */
    size_t n_images;          /* inferences, where we own no part of the input */
};
void csl_infer_inputs_clear(struct csl_infer_inputs *in);

struct csl_infer_result {
    size_t n; /* inferences */
    uint32_t n_outputs;
    bool labels_only;
    double *logits; /* n x n_outputs; zero when labels_only */
    uint32_t *classes;
    struct csl_batch_stats *batches;
    size_t n_batches;
    uint64_t open_ns; /* opening the session */
    uint64_t run_ns;  /* all batches, preparing included */
};
void csl_infer_result_clear(struct csl_infer_result *r);

/* What plaintext evaluation of the same inputs gives. */
struct csl_comparison {
    uint32_t *classes;             /* of the float network */
    size_t agree;                  /* secure class == float class */
    size_t correct, plain_correct; /* of those with a label */
    double max_logit_error;        /* against the float network */
    double max_fixed_error;        /* against the fixed-point reference */
    double max_bound_use;          /* the largest error in parts of its stated bound: never above 1 */
};
void csl_comparison_clear(struct csl_comparison *c);

struct csl_infer_options {
    struct csl_client_options client; /* max_batch: the batches */
    csl_share_fn *show;               /* called before each batch is sent; NULL: none */
    void *show_arg;
    bool one_by_one; /* each batch is announced when it is due; else, where there are several, ahead */
};

/* Runs all images; plan gets the shared model's. Of an input with parts, the images are our own part, and
 * where we own none their number is opt's n_images. */
CSL_MUST_CHECK enum csl_err csl_infer_run(struct csl_infer_result *out, const struct csl_context *ctx,
                                          struct csl_infer_inputs *in, struct csl_plan *plan,
                                          const struct csl_infer_options *options, struct csl_diag *diag);

/* Imports and compiles model_path as the shared plan was compiled (CSL_EDATA when that gives another plan)
 * and evaluates. With labels revealed only classes are compared. */
CSL_MUST_CHECK enum csl_err csl_infer_compare(struct csl_comparison *out, const struct csl_infer_result *r,
                                              const struct csl_infer_inputs *in, const struct csl_plan *plan,
                                              const char *model_path, unsigned n_parties,
                                              struct csl_diag *diag);

/* Median and 95th percentile of n values (sorted in place). */
struct csl_quantiles {
    double median, p95;
};
struct csl_quantiles csl_quantiles_of(double *values, size_t n);

#endif
