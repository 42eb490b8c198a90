/* The plaintext references: what the secure evaluation must agree with. (The float reference is
 * csl_network_eval.)
 *
 * csl_eval_fixed: the plan in exact integers. Truncation is floor((z + d) / 2^f), and a maximum takes a
 *   when a - b + d >= 0, where d stands for the protocol's rounding (docs/protocol.md T5, M1): with the d
 *   of correlation and shares it equals the secure evaluation bit for bit; with none (NULL oracle) it
 *   rounds to nearest, and takes the exact maximum.
 * csl_eval_error_bound: how far secure logits can be from the nearest reference.
 * For the model's owner and for tests; variable time in everything.
 */
#ifndef CSL_NN_EVAL_H
#define CSL_NN_EVAL_H

#include "nn/plan.h"

/* Weights as integers in the layout of mpc/conv.h: w at w_frac, b at x_frac + w_frac fractional bits, two's
 * complement. */
struct csl_qweights {
    uint32_t n_layers;
    struct csl_layer_qweights {
        size_t n_w, n_b;
        int64_t *w, *b;
    } * layers;
};

/* Rounds to nearest, ties to even. CSL_EDATA names layer and index of a weight that does not fit. */
CSL_MUST_CHECK enum csl_err csl_quantise(struct csl_qweights *out, const struct csl_plan *plan,
                                         const struct csl_weights *weights, struct csl_diag *diag);
void csl_qweights_clear(struct csl_qweights *q);

/* Inputs (in the order of input_shape) to fixed point, in the order of the shares (HWC). CSL_EDATA names the
 * index of a value outside the plan's interval (or NaN); then out is zero. */
CSL_MUST_CHECK enum csl_err csl_plan_encode_input(const struct csl_plan *plan, int64_t *out, const float *x,
                                                  uint32_t batch, struct csl_diag *diag);

/* d of element `at` (row-major, batch x count) of demand number `demand` of csl_plan_demands, where z is to
 * be truncated or compared. */
typedef int64_t csl_round_fn(void *ctx, size_t demand, size_t at, int64_t z);

/* x, y: integers at csl_plan_input_frac / csl_plan_output_frac; y is the exact output before the cut of O1.
 * CSL_EDATA names the step when a value leaves its range (impossible for a plan compiled without samples and
 * an input in its interval; seen for certain up to 2^63). oracle NULL: to nearest. */
CSL_MUST_CHECK enum csl_err csl_eval_fixed(const struct csl_plan *plan, const struct csl_qweights *q,
                                           int64_t *y, const int64_t *x, uint32_t batch, csl_round_fn *oracle,
                                           void *ctx, struct csl_diag *diag);

/* With reveal_label: the index that the arg-max over y (one row of csl_eval_fixed's outputs) takes. oracle as
 * above, for row `row` of the batch. */
CSL_MUST_CHECK enum csl_err csl_eval_label(const struct csl_plan *plan, uint32_t *label, const int64_t *y,
                                           size_t row, csl_round_fn *oracle, void *ctx);

/* Largest distance, in logit units, of each of the n_outputs secure logits from the nearest reference: each
 * truncation adds at most one unit of its result (T5), each level of a maximum of products at most 2^f units,
 * which go through |W| (ReLU and maxima never enlarge a difference, PWL by its steepest slope),
 * and the cut of O1 adds at most (N+1)/2 units of 2^s (none for s = 0): what the parties cut off sums to less
 * than N units, of which the client adds N/2. */
CSL_MUST_CHECK enum csl_err csl_eval_error_bound(const struct csl_plan *plan, const struct csl_qweights *q,
                                                 double *bound, unsigned n_parties);

/* Step O1 at the client: what csl_output_join gave (units of 2^s) to logit units. */
void csl_plan_decode_output(const struct csl_plan *plan, double *y, const int64_t *joined, size_t n);

/* The plan's head in place on one row of logits (softmax, log-softmax, or nothing); largest logit's index. */
void csl_plan_apply_head(const struct csl_plan *plan, double *y);
uint32_t csl_argmax(const double *y, uint32_t n);

#endif
