/* Merkle trees as in RFC 6962, section 2.1 (SHA-256): roots, inclusion and consistency proofs.
 *
 * Leaf hash = SHA-256(0x00 | data), node = SHA-256(0x01 | left | right), the root of no leaves SHA-256("").
 * Everything here is public. Variable time. Errors: CSL_ENOMEM, CSL_EINTERNAL (OpenSSL); verification:
 * CSL_EAUTH when the proof does not hold, whatever its form (wrong length, size or index too).
 */
#ifndef CSL_AUDIT_MERKLE_H
#define CSL_AUDIT_MERKLE_H

#include "crypto/err.h"
#include "crypto/hash.h"

enum {
    CSL_MERKLE_BYTES = 32,
    CSL_MERKLE_PROOF_MAX = 65 /* nodes of any proof in a tree of at most 2^63 leaves */
};

CSL_MUST_CHECK enum csl_err csl_merkle_leaf(uint8_t out[CSL_MERKLE_BYTES], const uint8_t *data, size_t n);

/* The root over n leaf hashes (n x 32 bytes), n may be 0. */
CSL_MUST_CHECK enum csl_err csl_merkle_root(uint8_t out[CSL_MERKLE_BYTES], const uint8_t *leaf_hashes,
                                            size_t n);

/* A tree that grows, with every complete inner node kept: appending is O(1) amortised, roots of any earlier
 * size and proofs are O(log n). About 64 bytes a leaf. Not thread-safe. */
struct csl_merkle_tree {
    uint64_t n;
    struct csl_merkle_level {
        uint8_t *hashes;
        size_t n, room;
    } levels[64];
};
void csl_merkle_tree_init(struct csl_merkle_tree *t);
void csl_merkle_tree_clear(struct csl_merkle_tree *t);
CSL_MUST_CHECK enum csl_err csl_merkle_append(struct csl_merkle_tree *t,
                                              const uint8_t leaf_hash[CSL_MERKLE_BYTES]);
/* Of the first `size` leaves, size <= t->n (else CSL_EUSAGE, as below). */
CSL_MUST_CHECK enum csl_err csl_merkle_tree_root(uint8_t out[CSL_MERKLE_BYTES],
                                                 const struct csl_merkle_tree *t, uint64_t size);
/* proof: room for CSL_MERKLE_PROOF_MAX nodes. index < size <= t->n; old_size <= size <= t->n. */
CSL_MUST_CHECK enum csl_err csl_merkle_inclusion(uint8_t (*proof)[CSL_MERKLE_BYTES], size_t *n_proof,
                                                 const struct csl_merkle_tree *t, uint64_t index,
                                                 uint64_t size);
CSL_MUST_CHECK enum csl_err csl_merkle_consistency(uint8_t (*proof)[CSL_MERKLE_BYTES], size_t *n_proof,
                                                   const struct csl_merkle_tree *t, uint64_t old_size,
                                                   uint64_t size);

CSL_MUST_CHECK enum csl_err csl_merkle_verify_inclusion(const uint8_t root[CSL_MERKLE_BYTES], uint64_t size,
                                                        const uint8_t leaf_hash[CSL_MERKLE_BYTES],
                                                        uint64_t index,
                                                        const uint8_t (*proof)[CSL_MERKLE_BYTES],
                                                        size_t n_proof);
/* That the tree of `size` leaves continues that of old_size. old_size 0 (old_root: SHA-256("")) is consistent
 * with everything by an empty proof. */
CSL_MUST_CHECK enum csl_err csl_merkle_verify_consistency(const uint8_t old_root[CSL_MERKLE_BYTES],
                                                          uint64_t old_size,
                                                          const uint8_t root[CSL_MERKLE_BYTES], uint64_t size,
                                                          const uint8_t (*proof)[CSL_MERKLE_BYTES],
                                                          size_t n_proof);

#endif
