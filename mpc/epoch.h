/* Epochs: keys, seeds of indices, weight masks, and the guards that keep every index used once, ever.
 *
 * docs/protocol.md, steps K1 to K5. Keys live in memory only: after a restart or from a restored
 * backup the nonces, hence the epoch, are new. The guards live and die with their epoch.
 * Little-endian integers in every hash and PRF. Outputs that are keys, seeds or masks are secret.
 */
#ifndef CSL_MPC_EPOCH_H
#define CSL_MPC_EPOCH_H

#include "mpc/link.h"

#include <pthread.h>

enum { CSL_NONCE_BYTES = 32, CSL_EPOCH_ID_BYTES = 32, CSL_DIGEST_BYTES = 32, CSL_STREAM_WINDOW = 1024 };

/* K2: SHA-256("consilium/epoch" | roster digest | dealer nonce | nonce_0 | ... | nonce_{N-1}).
 * nonces: n_parties x 32 bytes, in party order. Public. */
CSL_MUST_CHECK enum csl_err csl_epoch_id(uint8_t out[CSL_EPOCH_ID_BYTES],
                                         const uint8_t roster_digest[CSL_DIGEST_BYTES],
                                         const uint8_t dealer_nonce[CSL_NONCE_BYTES], const uint8_t *nonces,
                                         unsigned n_parties);

struct csl_epoch_keys {
    uint8_t corr_key[32];
    uint8_t mask_key[32];
};

/* K2: both working keys of one party by HKDF from the seed that the dealer granted it (K1). The caller
 * wipes seed. On error keys is zero. */
CSL_MUST_CHECK enum csl_err csl_epoch_keys_derive(struct csl_epoch_keys *keys,
                                                  const uint8_t epoch_id[CSL_EPOCH_ID_BYTES],
                                                  const uint8_t seed[32]);
void csl_epoch_keys_clear(struct csl_epoch_keys *keys);

/* K3: the two keys of an index, PRF(corr_key_i, "matrix" | stream u32 | counter u32) | PRF(corr_key_i, "bits"
 * | the same). The first makes the fields of linear demands, the second those of all others: the second can
 * be opened for a check of the dealer, the first never (A and A.B give B). Ask a guard below first. */
CSL_MUST_CHECK enum csl_err csl_index_seed(uint8_t out[64], const struct csl_epoch_keys *keys,
                                           uint32_t stream, uint32_t counter);

/* K5: SHA-256("consilium/mask" | package digest | epoch_id). Public. */
CSL_MUST_CHECK enum csl_err csl_mask_id(uint8_t out[32], const uint8_t package_digest[CSL_DIGEST_BYTES],
                                        const uint8_t epoch_id[CSL_EPOCH_ID_BYTES]);

/* K5: B_i of one linear layer (its demand number): n elements mod 2^bits, stream `layer` of the
 * PRG keyed by PRF(mask_key_i, "mask" | mask_id). On error out is zero. */
CSL_MUST_CHECK enum csl_err csl_weight_mask(uint64_t *out, const struct csl_epoch_keys *keys,
                                            const uint8_t mask_id[32], uint32_t layer, size_t n,
                                            unsigned bits);

/* At the dealer: B = sum of B_i mod 2^bits over all parties' keys. On error out is zero. */
CSL_MUST_CHECK enum csl_err csl_weight_mask_sum(uint64_t *out, const struct csl_epoch_keys *keys,
                                                unsigned n_parties, const uint8_t mask_id[32], uint32_t layer,
                                                size_t n, unsigned bits);

/* ---- used once ---- */

/* The streams of an epoch that were taken at this party. Any thread; memory only; one for each epoch. It
 * remembers the last CSL_STREAM_WINDOW streams one by one (lanes may present them out of order) and holds
 * every older one for used. */
struct csl_stream_set {
    pthread_mutex_t lock;
    uint64_t next; /* one more than the highest stream seen */
    uint64_t seen[CSL_STREAM_WINDOW / 64];
};

/* CSL_ENOMEM or CSL_EOS when there is no mutex to be had. */
CSL_MUST_CHECK enum csl_err csl_stream_set_init(struct csl_stream_set *set);
void csl_stream_set_clear(struct csl_stream_set *set);

/* Party 0 allots the next stream for a session and thereby takes it. CSL_ESTALE when the epoch's 2^32 are
 * used up. */
CSL_MUST_CHECK enum csl_err csl_stream_allot(struct csl_stream_set *set, uint32_t *stream,
                                             struct csl_diag *diag);

/* Every other party (and the dealer) takes the stream that party 0 proposes. CSL_ESTALE when it was taken
 * before or is older than the window: then the proposer is behind its peers, and the sentence says how to
 * resynchronise. */
CSL_MUST_CHECK enum csl_err csl_stream_take(struct csl_stream_set *set, uint32_t stream,
                                            struct csl_diag *diag);

/* The counters of one stream: they only rise. One thread (the session's lane). */
struct csl_counter_guard {
    uint32_t stream;
    uint64_t next; /* the first counter that may still be taken */
};

static inline struct csl_counter_guard csl_counter_guard_of(uint32_t stream) {
    return (struct csl_counter_guard){.stream = stream, .next = 0};
}

/* Takes counters first .. first+n-1 (n >= 1); what lies below them is burnt. CSL_ESTALE when one of them was
 * taken or burnt before, or when the stream's 2^32 counters are exceeded; nothing is taken then. */
CSL_MUST_CHECK enum csl_err csl_counter_take(struct csl_counter_guard *g, uint32_t first, uint32_t n,
                                             struct csl_diag *diag);

#endif
