/* The linear layer Y = conv(X, W) + b (dense: X.W + b) with fixed, shared weights: one opening and one
 * convolution a party, of the opened input: shares are never unfolded
 * (docs/protocol.md, steps L1 to L4: fixed-weight Beaver multiplication).
 *
 * Row-major matrices, one uint64_t an element, mod 2^bits. Constant time in all values.
 */
#ifndef CSL_MPC_LINEAR_H
#define CSL_MPC_LINEAR_H

#include "mpc/correlation.h"
#include "mpc/session.h"

/* A view of one party's share of a layer; everything is borrowed. */
struct csl_linear {
    const uint64_t *w;    /* W_i, in the layout of mpc/conv.h */
    const uint64_t *bias; /* b_i, out_c, added to every position, at the scale of X.W; NULL for none */
    struct csl_conv_shape conv;
    uint8_t bits;
};

/* L1, once per mask id: E = open([W] - [B]), one round. n = csl_conv_weights(). e gets public values below
 * 2^bits. b_mask is this party's B_i (csl_weight_mask()), for this package and epoch and nothing else. */
CSL_MUST_CHECK enum csl_err csl_linear_open_weights(struct csl_session *s, uint64_t *e, const uint64_t *w,
                                                    const uint64_t *b_mask, size_t n, unsigned bits);

/* Several layers in one round, at most CSL_ROUND_MAX_ITEMS: layers[i] with b_masks[i] into e[i]. */
CSL_MUST_CHECK enum csl_err csl_linear_open_all(struct csl_session *s, uint64_t *const *e,
                                                const struct csl_linear *layers,
                                                const uint64_t *const *b_masks, size_t n_layers);

/* L3, L4: one round. x: shares, batch x csl_conv_inputs() (bits above `bits` are ignored); y: shares, batch x
 * csl_conv_outputs(), below 2^bits. batch is the correlation's; its demand must be of this shape and bound to
 * E (csl_corr_bind_weights()). The demand is used up and wiped, whatever happens. y may not overlap x. On
 * error y is zero and the session is poisoned. */
CSL_MUST_CHECK enum csl_err csl_linear_forward(struct csl_session *s, uint64_t *y,
                                               const struct csl_linear *layer, const uint64_t *x,
                                               struct csl_corr *corr, size_t demand);

#endif
