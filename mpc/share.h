/* Sharing inputs among the parties and joining outputs at the client (docs/protocol.md, I1 and O1).
 *
 * Constant time in values. What is shared or joined is known in clear at the client only; the shares are
 * marked secret, and who sends one to its one recipient marks it public there (CSL_PUBLIC).
 */
#ifndef CSL_MPC_SHARE_H
#define CSL_MPC_SHARE_H

#include "mpc/link.h"

enum { CSL_SHARE_SEED_BYTES = 32 };

/* I1: shares x (n elements mod 2^bits) among n_parties. Draws n_parties - 1 seeds of 32 bytes into seeds, for
 * parties 0..N-2, and writes the last party's share into last (n elements below 2^bits). On error both are
 * zero. CSL_EUSAGE for n_parties outside 2..16 or bits outside 1..64; CSL_EOS without randomness. */
CSL_MUST_CHECK enum csl_err csl_share_input(uint8_t *seeds, uint64_t *last, const uint64_t *x, size_t n,
                                            unsigned bits, unsigned n_parties);

/* I1 at parties 0..N-2: the share that a seed stands for. */
CSL_MUST_CHECK enum csl_err csl_share_expand(uint64_t *share, const uint8_t seed[CSL_SHARE_SEED_BYTES],
                                             size_t n, unsigned bits);

/* O1 at a party: out = the top bits - cut_bits bits of the low `bits` bits of y, 0 <= cut_bits < bits.
 * out may be y. It goes to the client alone. */
void csl_output_cut(uint64_t *out, const uint64_t *y, size_t n, unsigned bits, unsigned cut_bits);

/* O1 at the client: out = the signed output in units of 2^cut_bits. shares: n_parties arrays of n.
 * The true value y / 2^cut_bits lies within n_parties/2 + 1 units of it; with cut_bits 0 it is exact. */
void csl_output_join(int64_t *out, const uint64_t *const *shares, unsigned n_parties, size_t n, unsigned bits,
                     unsigned cut_bits);

#endif
