/* The dealer's signed statement of a batch of correlations (docs/audit.md D): made by the dealer, verified by
 * every party on receipt, and the check of the dealer behind it (docs/protocol.md C, mpc/check.h).
 *
 * A mismatch is CSL_EAUTH and names the dealer. Digests, leaves and roots are public; a Merkle path shows
 * nothing of other rows' keys.
 */
#ifndef CSL_ROLES_DEALT_H
#define CSL_ROLES_DEALT_H

#include "audit/statement.h"
#include "mpc/check.h"
#include "roles/lane/record.h"

struct csl_context;

/* What a batch of correlations is; the same at the dealer and at every party. */
struct csl_dealt {
    uint8_t session_id[16];
    uint8_t epoch_id[CSL_EPOCH_ID_BYTES];
    uint8_t package_digest[CSL_DIGEST_BYTES];
    uint8_t demands_digest[CSL_DIGEST_BYTES];
    uint32_t stream, first, total; /* counters first .. first + total - 1 */
    unsigned n_parties;
};

/* D1 of one index, from its two keys; D2 of one index's corrections. */
CSL_MUST_CHECK enum csl_err csl_dealt_seed_leaf(uint8_t out[32], const uint8_t seed[CSL_INDEX_SEED_BYTES]);
CSL_MUST_CHECK enum csl_err csl_dealt_corrections_leaf(uint8_t out[32], const struct csl_demand *demands,
                                                       size_t n_demands, const uint8_t *corrections,
                                                       size_t n);

/* At the dealer. seed_leaves: n_parties x total x 32, party after party; correction_leaves: total x 32. */
CSL_MUST_CHECK enum csl_err csl_dealt_sign(struct csl_signed *out, const struct csl_dealt *d,
                                           const uint8_t *seed_leaves, const uint8_t *correction_leaves,
                                           EVP_PKEY *key, struct csl_diag *diag);

/* At party `self`: signature and every field are right, and so is the root of our own seed leaves; at the
 * last party (correction_leaves not NULL) also that of the corrections. */
CSL_MUST_CHECK enum csl_err csl_dealt_verify(const struct csl_signed *s, const struct csl_dealt *d,
                                             unsigned self, const uint8_t *seed_leaves,
                                             const uint8_t *correction_leaves,
                                             const struct csl_member *dealer, struct csl_diag *diag);

/* The fixed record that carries the statement from the last party to the others in one exchange: length u32 |
 * statement | signature | zeros. CSL_EPROTO for one that is malformed. */
enum { CSL_DEALT_RECORD_BYTES = 1024 };
CSL_MUST_CHECK enum csl_err csl_dealt_to_record(uint8_t out[CSL_DEALT_RECORD_BYTES],
                                                const struct csl_signed *s);
CSL_MUST_CHECK enum csl_err csl_dealt_from_record(struct csl_signed *out,
                                                  const uint8_t in[CSL_DEALT_RECORD_BYTES],
                                                  struct csl_diag *diag);

/* ---- The check ---- */

/* One row of one party as it is opened: bits key | SHA-256(matrix key) | path of D1, and of the last party
 * SHA-256(matrix corrections) | SHA-256(bits corrections) | path of D2 (zeros of the others); paths are
 * filled up with zeros to csl_check_path_nodes(total) nodes. */
size_t csl_dealt_opening_bytes(uint32_t total);

struct csl_dealt_check {
    const struct csl_context *ctx;
    struct csl_session *session;
    const struct csl_dealt *dealt;
    const struct csl_signed *statement; /* verified */
    const struct csl_demand *demands;
    size_t n_demands;
    struct csl_corr *corr; /* all rows; those that were checked are discarded */
    const struct csl_epoch_keys *keys;
    const uint8_t *mask_id;           /* 32 */
    const uint8_t *seed_leaves;       /* total x 32, ours */
    const uint8_t *correction_leaves; /* total x 32; NULL but at the last party */
    size_t n_rows;                    /* e: to be checked */
};
/* The whole check C1 to C4. rows (n_rows) gets which were checked and discarded. A fault of the dealer is
 * CSL_EAUTH naming it; of its bits, the evidence is stored in the site's state (roles/judge/evidence.h) and
 * the sentence says where. */
CSL_MUST_CHECK enum csl_err csl_dealt_check(const struct csl_dealt_check *c, uint32_t *rows,
                                            struct csl_diag *diag);

/* Largest message of a batch's statement and check, for the mesh link; and its payload bytes to each peer. */
uint64_t csl_dealt_max_message(const struct csl_demand *demands, size_t n_demands, size_t n_rows,
                               uint32_t total);
uint64_t csl_dealt_bytes(const struct csl_demand *demands, size_t n_demands, size_t n_rows, uint32_t total);

#endif
