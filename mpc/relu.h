/* Truncation and ReLU of l = k + f bits from one opening of k + min(f, 4) (docs/protocol.md, steps T1 to T7).
 *
 * Both never fail and round stochastically and without bias, to less than 1 + N/32 units of the result (less
 * than 1 for f <= 4): T5. With m = 2^(f-1), or 0 for f <= 4: the range's margin. z is out of range when the
 * interval bounds of the plan were wrong; then the result is wrong, and nothing is revealed. Constant time in
 * all shares; tables are read at public digits only.
 *
 * Shapes: batch x count elements, row-major; batch from the correlation, count, k, f and out_bits from its
 * demand, which is used up and wiped whatever happens. z holds shares mod 2^l (bits above are ignored); y
 * gets shares below 2^out_bits, and may be z. On error y is zero and the session is poisoned.
 */
#ifndef CSL_MPC_RELU_H
#define CSL_MPC_RELU_H

#include "mpc/correlation.h"
#include "mpc/session.h"

/* T1..T5: y = max(z, 0) / 2^f. -2^(l-1) + m <= z <= 2^(l-1) - 2^f - m. Three rounds c, u, e; two with a
 * single digit.
 */
CSL_MUST_CHECK enum csl_err csl_relu(struct csl_session *s, uint64_t *y, const uint64_t *z,
                                     struct csl_corr *corr, size_t demand);

/* T6: y = z / 2^f, signed. |z| < 2^(l-2) - m. One round. */
CSL_MUST_CHECK enum csl_err csl_trunc(struct csl_session *s, uint64_t *y, const uint64_t *z,
                                      struct csl_corr *corr, size_t demand);

/* M1: y = max(a, b) of batch x count pairs, mod 2^l: always one of the two, at most 2^f below the larger (the
 * top k of the l bits of a - b are compared; -2^(l-1) <= a - b <= 2^(l-1) - 2^f). No rounding. Three rounds,
 * or two with a single digit. y may be a or b. */
CSL_MUST_CHECK enum csl_err csl_max(struct csl_session *s, uint64_t *y, const uint64_t *a, const uint64_t *b,
                                    struct csl_corr *corr, size_t demand);

/* M2: as M1, and the payload of the one that was taken: yp from ap, bp, mod 2^bits. Nothing is opened but
 * masked values; the payload's opening goes with round c. */
CSL_MUST_CHECK enum csl_err csl_argmax_step(struct csl_session *s, uint64_t *y, uint64_t *yp,
                                            const uint64_t *a, const uint64_t *ap, const uint64_t *b,
                                            const uint64_t *bp, struct csl_corr *corr, size_t demand);

#endif
