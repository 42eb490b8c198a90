/* The plaintext references: what the secure evaluation must agree with.
 *
 * csl_eval_float: the network in double precision over the float32 weights.
 * csl_eval_fixed: the plan in exact integers. Truncation is floor((z + r_low) / 2^f), where r_low in
 *   [0, 2^f) stands for r mod 2^f of the protocol (docs/protocol.md T5): with the correlation's own r_low it
 *   equals the secure evaluation bit for bit; with none (NULL oracle) it is the floor.
 * csl_eval_error_bound: how far secure logits can be from the floor reference.
 * For the model's owner and for tests; variable time in everything.
 */
#ifndef CSL_NN_EVAL_H
#define CSL_NN_EVAL_H

#include "nn/plan.h"

/* Weights as integers: w at w_frac, b at x_frac + w_frac fractional bits, two's complement. */
struct csl_qweights {
    uint32_t n_layers;
    struct csl_layer_qweights {
        uint32_t k, n;
        int64_t *w, *b;
    } layers[CSL_PLAN_MAX_LAYERS];
};

/* Rounds to nearest, ties to even. CSL_EDATA names layer and index of a weight that does not fit. */
CSL_MUST_CHECK enum csl_err csl_quantise(struct csl_qweights *out, const struct csl_plan *plan,
                                         const struct csl_weights *weights, struct csl_diag *diag);
void csl_qweights_clear(struct csl_qweights *q);

/* x: batch x n_inputs floats (normalised), y: batch x n_outputs logits (the head is not applied). */
CSL_MUST_CHECK enum csl_err csl_eval_float(const struct csl_plan *plan, const struct csl_weights *weights,
                                           double *y, const float *x, uint32_t batch);

/* Inputs to fixed point (x_frac of layer 0). CSL_EDATA names the index of a value outside the plan's interval
 * (or NaN); then out is zero. */
CSL_MUST_CHECK enum csl_err csl_plan_encode_input(const struct csl_plan *plan, int64_t *out, const float *x,
                                                  uint32_t batch, struct csl_diag *diag);

/* r mod 2^trunc_f for element `at` (row-major, batch x n) of layer `layer`. */
typedef uint64_t csl_round_fn(void *ctx, uint32_t layer, size_t at);

/* x, y: integers at csl_plan_input_frac / csl_plan_output_frac; y is the exact output before the cut of O1.
 * CSL_EDATA names the layer when a z leaves its range (impossible for a compiled plan and an input in its
 * interval). oracle NULL: r_low = 0, the floor. */
CSL_MUST_CHECK enum csl_err csl_eval_fixed(const struct csl_plan *plan, const struct csl_qweights *q,
                                           int64_t *y, const int64_t *x, uint32_t batch, csl_round_fn *oracle,
                                           void *ctx, struct csl_diag *diag);

/* Largest distance, in logit units, of each of the n_outputs secure logits from the floor reference: each
 * truncation adds at most one unit of its result, which goes through |W| (ReLU never enlarges a difference),
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
