/* One batch of inputs, or of one owner's parts of them, as it is shared among the parties (step I1): a seed
 * for each of parties 0..N-2, the packed difference for the last; and the owner's signature over commitments
 * to all of it (docs/audit.md I1).
 *
 * Every inference of the batch has a seed of its own, PRF(seed of the batch, "row" | row u32): one can be
 * shown without the others.
 */
#ifndef CSL_ROLES_INPUT_SHARE_H
#define CSL_ROLES_INPUT_SHARE_H

#include "audit/statement.h"
#include "mpc/share.h"
#include "roles/parts.h"
#include "roles/talk.h"

struct csl_input_share {
    unsigned n_parties, bits;
    uint32_t count;
    size_t each; /* values of one inference */
    size_t n;    /* count * each */
    uint64_t *last;
    uint8_t *packed;
    size_t n_packed;
    uint8_t *seeds;              /* n_parties x 32; the last one is not used */
    uint8_t *salts;              /* n_parties x 32; NULL where nothing is signed */
    struct csl_signed statement; /* likewise */
};

/* x: count inputs of the plan's shape (part NULL), or count times the part's box, row-major; normalised.
 * CSL_EDATA: a value outside the plan's interval; then nothing is held. */
CSL_MUST_CHECK enum csl_err csl_input_share_make(struct csl_input_share *out, const struct csl_plan *plan,
                                                 const struct csl_part *part, const float *x, uint32_t count,
                                                 unsigned n_parties, struct csl_diag *diag);
void csl_input_share_clear(struct csl_input_share *s); /* may be all zero */

/* Draws salts, commits to every party's share, and signs as the owner of the part of this number (0: the
 * whole input). session: digest of the session's statement. guest (16) and request: in a shared session,
 * where batch and part are 0; else NULL and 0. */
CSL_MUST_CHECK enum csl_err csl_input_share_sign(struct csl_input_share *s, EVP_PKEY *key,
                                                 const uint8_t session[CSL_DIGEST_BYTES], uint32_t batch,
                                                 uint32_t part, const uint8_t *guest, uint32_t request,
                                                 struct csl_diag *diag);

/* Party i's share of it, n values below 2^bits, into out (as the party will expand it). */
CSL_MUST_CHECK enum csl_err csl_input_share_of(uint64_t *out, const struct csl_input_share *s,
                                               unsigned party);

/* Sends each party its share, as the input of this batch: Input, and for the last party the DATA after it. */
CSL_MUST_CHECK enum csl_err csl_input_share_send(const struct csl_input_share *s, struct csl_talk *talks,
                                                 uint32_t batch, struct csl_diag *diag);
/* The same in a shared session, as the guest's request of this number. */
CSL_MUST_CHECK enum csl_err csl_input_share_send_request(const struct csl_input_share *s,
                                                         struct csl_talk *talks, uint32_t request,
                                                         struct csl_diag *diag);

/* ---- At a party, and in a replay ---- */

/* The seed of one inference. */
CSL_MUST_CHECK enum csl_err csl_input_row_seed(uint8_t out[CSL_SHARE_SEED_BYTES],
                                               const uint8_t seed[CSL_SHARE_SEED_BYTES], uint32_t row);
/* Parties 0..N-2: the share of a whole batch, count x each values below 2^bits. */
CSL_MUST_CHECK enum csl_err csl_input_expand(uint64_t *out, const uint8_t seed[CSL_SHARE_SEED_BYTES],
                                             uint32_t count, size_t each, unsigned bits);
/* Commitments to a party's share, count x 32 (docs/audit.md I1): over each inference's seed (parties 0..N-2),
 * or, where seed is NULL, over its values, each inference packed by itself (the last party). */
CSL_MUST_CHECK enum csl_err csl_input_leaves(uint8_t *leaves, const uint8_t salt[CSL_DIGEST_BYTES],
                                             const uint8_t *seed, const uint64_t *x, uint32_t count,
                                             size_t each, unsigned bits);

#endif
