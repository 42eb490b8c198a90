/* Checking the dealer: opening and sacrificing correlations that were dealt in excess (docs/protocol.md C).
 *
 * Of T rows that were dealt, e are chosen by a coin that the parties toss after delivery.
 *  - What holds no weight mask (everything but linear demands) is a function of the parties' bits keys alone
 *    (step K3): they are opened for the chosen rows, and everybody makes the dealer's corrections anew.
 *    t bad rows of T go unnoticed with probability C(T-t, e) / C(T, e).
 *  - Matrix correlations are never opened, since A and A.B give B, and E = W - B then gives the weights. The
 *    chosen rows (A', C') are sacrificed: a random combination of all others is compared with each. A wrong C
 *    of a row that is kept passes with probability at most 2^-e (errors in the top bit alone); an error of
 *    2^v in a ring of l bits with 2^-(l-v)e.
 * Chosen rows are wiped and never used (csl_corr_discard). That every key belongs to what the dealer
 * promised is for the caller to verify, between csl_check_open() and csl_check_bits().
 *
 * The peers follow the protocol: one that sends something else makes the check fail, and of a failed
 * sacrifice nobody can say whose fault it was. Wrong bits can be shown to others (roles/judge/evidence.h).
 * A check that fails poisons the session. Constant time in all secrets.
 */
#ifndef CSL_MPC_CHECK_H
#define CSL_MPC_CHECK_H

#include "mpc/correlation.h"
#include "mpc/epoch.h"
#include "mpc/session.h"

enum {
    CSL_CHECK_MAX_ROWS = 64,
    CSL_COIN_BYTES = 32,
    CSL_CHECK_KEY_BYTES = 64, /* of an opened row: bits key 32 | SHA-256 of the matrix key 32 */
};

/* C1: two exchanges. Every party draws 32 bytes, commits to them, then reveals them; the coin is a hash of
 * all, uniform when one party is honest. CSL_EPROTO names the party that revealed something else than it
 * committed to. names: of the parties, or NULL ("party 1"). On error coin is zero. */
CSL_MUST_CHECK enum csl_err csl_check_toss(struct csl_session *s, uint8_t coin[CSL_COIN_BYTES],
                                           const char *const *names);

/* C2: n of the rows 0..total-1, every set of n with the same probability, rising. 1 <= n <=
 * CSL_CHECK_MAX_ROWS, n < total <= CSL_MAX_BATCH, else CSL_EUSAGE. Public. */
CSL_MUST_CHECK enum csl_err csl_check_choose(uint32_t *rows, size_t n, uint32_t total,
                                             const uint8_t coin[CSL_COIN_BYTES]);

/* C3: one exchange. Opens our records of the chosen rows: n x (CSL_CHECK_KEY_BYTES + n_proof) bytes, in which
 * the caller put what proves that the keys are the promised ones. opened gets every party's, ours too, in
 * party order: n_parties x n x as many bytes. */
CSL_MUST_CHECK enum csl_err csl_check_open(struct csl_session *s, uint8_t *opened, const uint8_t *own,
                                           size_t n, size_t n_proof);

/* C3, of one row: makes the corrections of all but linear demands from the parties' opened bits keys (of
 * party p at bits_keys + p * stride) and compares their digest (csl_correction_digests) with the promised
 * one. corrections: at the last party the row's chunk, of which the sentence then names demand and field;
 * else NULL. CSL_EAUTH: they are wrong. */
CSL_MUST_CHECK enum csl_err csl_check_bits(const struct csl_demand *demands, size_t n_demands,
                                           unsigned n_parties, const uint8_t *bits_keys, size_t stride,
                                           const uint8_t bits_digest[CSL_DIGEST_BYTES],
                                           const uint8_t *corrections, struct csl_diag *diag);

/* C4: two exchanges for each CSL_ROUND_MAX_ITEMS linear demands (none: no exchange). corr holds all T rows,
 * whole and not yet bound; `rows` are the chosen ones. keys and mask_id: our share of the weight masks (K5),
 * which are expanded here a layer at a time. CSL_EAUTH names the demand. corr stays as it is, also on error.
 */
CSL_MUST_CHECK enum csl_err csl_check_sacrifice(struct csl_session *s, const struct csl_corr *corr,
                                                const uint32_t *rows, size_t n,
                                                const uint8_t coin[CSL_COIN_BYTES],
                                                const struct csl_epoch_keys *keys, const uint8_t mask_id[32]);

/* ---- What it costs, and what it is worth ---- */

/* Nodes of the longest Merkle path in a tree of `total` leaves. */
unsigned csl_check_path_nodes(uint32_t total);
/* Exchanges of a check. */
uint32_t csl_check_rounds(const struct csl_demand *demands, size_t n_demands);
/* Payload bytes to each peer; n_proof as in csl_check_open(). 0 when it overflows. */
uint64_t csl_check_bytes(const struct csl_demand *demands, size_t n_demands, size_t n, size_t n_proof);
/* The chance that at least one of `bad` rows is among the n of total that are opened: 1 - C(T-t, e)/C(T, e).
 */
double csl_check_chance(uint32_t total, uint32_t n, uint32_t bad);

#endif
