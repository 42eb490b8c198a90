/* The dealer, a maker of correlations: it knows every party's seeds, sees no data, and sends corrections
 * to the last party alone (docs/protocol.md, steps K and "Makers" in mpc/correlation.h).
 *
 * correction = value of the dealt field - sum of parties 0..N-2's expansions (XOR for bits). The value is a
 * function of the own fields, which are the sums of all N expansions.
 * Constant time in seeds, masks and values.
 */
#ifndef CSL_MPC_DEALER_H
#define CSL_MPC_DEALER_H

#include "mpc/correlation.h"

/* Corrections for `batch` indices: out gets batch chunks of csl_correction_bytes() each; n_out is checked.
 *   seeds: batch x n_parties x CSL_INDEX_SEED_BYTES, seed(i, index) of step K3, row after row;
 *   masks: n_demands pointers; for a linear demand B = sum of the parties' B_i mod 2^bits (csl_conv_weights()
 *          elements, csl_weight_mask_sum()), ignored for others. C = conv(A, B) over the batch.
 * On error out is zero. CSL_EDATA (demands, sizes), CSL_ENOMEM. */
CSL_MUST_CHECK enum csl_err csl_dealer_corrections(uint8_t *out, size_t n_out,
                                                   const struct csl_demand *demands, size_t n_demands,
                                                   unsigned n_parties, const uint8_t *seeds,
                                                   const uint64_t *const *masks, size_t batch,
                                                   struct csl_diag *diag);

/* The same of demands that are not linear, from the bits keys alone (batch x n_parties x 32 bytes): for whom
 * they were opened to, in a check of the dealer. Corrections of linear demands are left zero. */
CSL_MUST_CHECK enum csl_err csl_dealer_bits_corrections(uint8_t *out, size_t n_out,
                                                        const struct csl_demand *demands, size_t n_demands,
                                                        unsigned n_parties, const uint8_t *bits_keys,
                                                        size_t batch, struct csl_diag *diag);

#endif
