/* One batch of inputs, or of one owner's parts of them, as it is shared among the parties (step I1): a seed
 * for each of parties 0..N-2, the packed difference for the last. */
#ifndef CSL_ROLES_INPUT_SHARE_H
#define CSL_ROLES_INPUT_SHARE_H

#include "roles/parts.h"
#include "roles/talk.h"

struct csl_input_share {
    unsigned n_parties, bits;
    size_t n; /* values: count times those of the input or part */
    uint64_t *last;
    uint8_t *packed;
    size_t n_packed;
    uint8_t *seeds; /* n_parties x 32; the last one is not used */
};

/* x: count inputs of the plan's shape (part NULL), or count times the part's box, row-major; normalised.
 * CSL_EDATA: a value outside the plan's interval; then nothing is held. */
CSL_MUST_CHECK enum csl_err csl_input_share_make(struct csl_input_share *out, const struct csl_plan *plan,
                                                 const struct csl_part *part, const float *x, uint32_t count,
                                                 unsigned n_parties, struct csl_diag *diag);
void csl_input_share_clear(struct csl_input_share *s); /* may be all zero */

/* Party i's share of it, n values below 2^bits, into out (as the party will expand it). */
CSL_MUST_CHECK enum csl_err csl_input_share_of(uint64_t *out, const struct csl_input_share *s,
                                               unsigned party);

/* Sends each party its share, as the input of this batch. */
CSL_MUST_CHECK enum csl_err csl_input_share_send(const struct csl_input_share *s, struct csl_talk *talks,
                                                 uint32_t batch, struct csl_diag *diag);

#endif
