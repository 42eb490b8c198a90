/* The hash chain over what one party sent in a session's batches (docs/audit.md T).
 *
 *     H_0 = SHA-256("consilium/transcript" 0 | session digest | party u32 | nonce_0 | ... | nonce_{N-1})
 *     H   = SHA-256(H | batch u32 | round u32 | length u64 | payload)      for every opening, in order
 *
 * A party's openings are the same bytes for every peer, so there is one chain a party. The nonces are
 * exchanged between the parties and never exported: the dealer knows the masks, and could test guesses of an
 * input against an unsalted hash. round counts the openings of the batch from 1 on; before them, as round 0,
 * stand the counters of the correlations that serve the batch (roles/lane/record.h).
 */
#ifndef CSL_AUDIT_TRANSCRIPT_H
#define CSL_AUDIT_TRANSCRIPT_H

#include "crypto/err.h"
#include "crypto/hash.h"

struct csl_transcript {
    uint8_t head[CSL_SHA256_BYTES];
};

CSL_MUST_CHECK enum csl_err csl_transcript_start(struct csl_transcript *t, const uint8_t session[32],
                                                 unsigned party, const uint8_t *nonces, unsigned n_parties);
CSL_MUST_CHECK enum csl_err csl_transcript_add(struct csl_transcript *t, uint32_t batch, uint32_t round,
                                               const uint8_t *payload, size_t n);

#endif
