/* Secure evaluation of a plan over shares, and the shares of a model.
 *
 * The owner quantises the weights and splits them: parties 0..N-2 get a 32-byte seed, the last party an
 * explicit share (csl_model_split). Every party expands or decodes its own, opens the masked weights once a
 * mask id (step L1), and evaluates any number of batches.
 *
 * Shares are secret, in wiped memory; constant time in all of them. Shapes and the plan are public. The plan
 * has passed csl_plan_check in all of these.
 */
#ifndef CSL_NN_INFER_H
#define CSL_NN_INFER_H

#include "crypto/prg.h"
#include "mpc/epoch.h"
#include "mpc/session.h"
#include "nn/eval.h"

struct csl_corr;

/* One party's share of the numbers of a model. Start from {0}; csl_model_share_clear wipes and frees. */
struct csl_model_share {
    uint32_t n_layers;
    bool opened; /* E is there */
    struct csl_layer_share {
        struct csl_conv_shape shape;
        uint32_t demand; /* number in csl_plan_demands */
        uint8_t bits;
        size_t n_w, n_b;
        uint64_t *w; /* W_i, layout of mpc/conv.h, below 2^bits */
        uint64_t *b; /* b_i, out_c */
        uint64_t *e; /* E = W - B, public; NULL before csl_model_open_weights */
    } * layers;      /* n_layers long */
};

/* At the owner: shares q among n_parties. Draws n_parties - 1 seeds of 32 bytes into seeds, for parties
 * 0..N-2, and makes the last party's share. On error seeds is zero and last empty. CSL_EUSAGE for n_parties
 * outside 2..16, CSL_EDATA when q does not fit the plan. */
CSL_MUST_CHECK enum csl_err csl_model_split(uint8_t *seeds, struct csl_model_share *last,
                                            const struct csl_plan *plan, const struct csl_qweights *q,
                                            unsigned n_parties, struct csl_diag *diag);

/* At parties 0..N-2: the share that a seed stands for. */
CSL_MUST_CHECK enum csl_err csl_model_share_expand(struct csl_model_share *share, const struct csl_plan *plan,
                                                   const uint8_t seed[CSL_SEED_BYTES]);

/* The last party's share as bytes: each layer's W, then b, packed at the layer's ring (mpc/pack.h), each in
 * whole bytes. The size follows from the plan alone (csl_cost.share_bytes); 0 when it overflows. */
size_t csl_model_share_bytes(const struct csl_plan *plan);
CSL_MUST_CHECK enum csl_err csl_model_share_encode(uint8_t *out, size_t n_out,
                                                   const struct csl_model_share *share);
/* CSL_EPROTO for a wrong length or padding bits that are set; share is empty then. */
CSL_MUST_CHECK enum csl_err csl_model_share_decode(struct csl_model_share *share, const struct csl_plan *plan,
                                                   const uint8_t *in, size_t n_in, struct csl_diag *diag);

void csl_model_share_clear(struct csl_model_share *share);

/* L1 for all layers, up to CSL_ROUND_MAX_ITEMS of them in one round; B_i of layer d is csl_weight_mask(keys,
 * mask_id, d) (step K5), and the dealer's masks must be csl_weight_mask_sum with the same number. A second
 * time is CSL_EINTERNAL: clear the E first (csl_model_share_close) when a new epoch begins. On error the
 * session is poisoned and no E is kept.
 */
CSL_MUST_CHECK enum csl_err csl_model_open_weights(struct csl_session *s, struct csl_model_share *share,
                                                   const struct csl_epoch_keys *keys,
                                                   const uint8_t mask_id[CSL_DIGEST_BYTES]);

/* Forgets E: a new mask id. */
void csl_model_share_close(struct csl_model_share *share);

/* Step L2 for every layer, before the input is there: Z = A.E + C. All rows of corr are filled. */
CSL_MUST_CHECK enum csl_err csl_infer_prepare(struct csl_corr *corr, const struct csl_model_share *share,
                                              struct csl_diag *diag);

/* Asks the cache for the first 1.5 MiB of weights, as long as there is nothing else to do: csl_infer needs
 * them right after its first round. */
void csl_infer_warm(const struct csl_model_share *share);

/* One batch: y (batch x n_outputs, below 2^csl_plan_output_bits) from x (batch x n_inputs, shares mod
 * 2^csl_plan_input_bits); the batch is corr's, whose demands (csl_plan_demands) are used up and wiped. y and
 * x do not overlap. profile and reveal_label are those that corr's demands were made for (else
 * CSL_EINTERNAL). Rounds and bytes are those of csl_plan_cost. reveal_label: the arg-max over the outputs
 * follows, and y is one class index an inference, below 2^csl_plan_label_bits. On error y is zero and the
 * session poisoned. */
CSL_MUST_CHECK enum csl_err csl_infer(struct csl_session *s, uint64_t *y, const struct csl_plan *plan,
                                      const struct csl_model_share *share, struct csl_corr *corr,
                                      const uint64_t *x, enum csl_profile profile, bool reveal_label);

#endif
