/* Shared inside nn: the two halves of csl_plan_compile. */
#ifndef CSL_NN_PLAN_INTERNAL_H
#define CSL_NN_PLAN_INTERNAL_H

#include "nn/eval.h"

/* Graph to layers: fills plan's name, input shape, head, and of each layer name, k, n and activation; the
 * float weights; and issues. CSL_OK also with issues (the layers are then incomplete). */
CSL_MUST_CHECK enum csl_err csl__lower(struct csl_plan *plan, struct csl_weights *weights,
                                       struct csl_issues *issues, const struct csl_graph *graph,
                                       struct csl_diag *diag);

/* Ranges to widths: fills the rest of the plan and the report. */
CSL_MUST_CHECK enum csl_err csl__assign_widths(struct csl_plan *plan, const struct csl_weights *weights,
                                               struct csl_plan_report *report, unsigned frac_bits,
                                               struct csl_diag *diag);

/* One layer of csl_quantise. */
CSL_MUST_CHECK enum csl_err csl__quantise_layer(struct csl_layer_qweights *q, const struct csl_layer *layer,
                                                const struct csl_layer_weights *weights,
                                                struct csl_diag *diag);

/* Largest quantised weight and bias, and largest input in fixed point: sums over 2^20 of their products
 * stay within 128 bits. */
#define CSL__MAX_WEIGHT ((int64_t)1 << 40)
#define CSL__MAX_BIAS ((int64_t)1 << 60)
#define CSL__MAX_INPUT ((int64_t)1 << 40)

__extension__ typedef __int128 csl__wide;

#endif
