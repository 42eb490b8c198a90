/* Evidence that the dealer dealt wrong bits: what anybody can verify who knows the dealer's public key.
 *
 * It holds the dealer's signed statement of the batch (roles/lane/dealt.h), the demands that the statement
 * fixes by their digest, and of one row: every party's opened bits key, with what leads from it to the signed
 * roots, and the digests of the corrections likewise. The verifier makes the corrections anew from the keys:
 * another digest than the signed one is a proof. No honest dealer can be accused by it: keys and corrections
 * are fixed by what it signed, and of those of one row it dealt the right ones.
 * It shows nothing but the keys of a row that was discarded.
 *
 * File: "CSLE" | version u32 = 1 | length u32 and statement | signature 64 | row u32 | demands u32 and their
 * encoding | for every party: bits key 32, SHA-256(matrix key) 32, nodes u32, path | SHA-256(matrix
 * corrections) 32, SHA-256(bits corrections) 32, nodes u32, path.
 */
#ifndef CSL_ROLES_EVIDENCE_H
#define CSL_ROLES_EVIDENCE_H

#include "audit/statement.h"
#include "mpc/correlation.h"
#include "mpc/link.h"

enum { CSL_EVIDENCE_MAX_BYTES = 1 << 20, CSL_EVIDENCE_MAX_NODES = 24 };

struct csl_evidence_path {
    size_t n;
    uint8_t nodes[CSL_EVIDENCE_MAX_NODES][CSL_MERKLE_BYTES];
};
struct csl_evidence {
    struct csl_signed dealt;
    uint32_t row; /* within the statement's indices */
    struct csl_demand *demands;
    size_t n_demands;
    unsigned n_parties;
    struct csl_evidence_key {
        uint8_t bits_key[32], matrix_digest[32];
        struct csl_evidence_path path;
    } keys[CSL_MAX_PARTIES];
    uint8_t corrections_matrix[32], corrections_bits[32]; /* digests */
    struct csl_evidence_path corrections_path;
};
void csl_evidence_clear(struct csl_evidence *e); /* may be zero */

/* *out is malloc'ed. */
CSL_MUST_CHECK enum csl_err csl_evidence_encode(uint8_t **out, size_t *n, const struct csl_evidence *e);
/* Strict; CSL_EDATA says what is wrong. */
CSL_MUST_CHECK enum csl_err csl_evidence_decode(struct csl_evidence *out, const uint8_t *p, size_t n,
                                                struct csl_diag *diag);

/* Whether keys and corrections are those that the statement (decoded from e->dealt) fixes. CSL_EAUTH: not,
 * and *whose is the party whose key it is, or n_parties for the corrections. */
CSL_MUST_CHECK enum csl_err csl_evidence_paths(const struct csl_evidence *e,
                                               const Csl__Audit__DealtStatement *m, unsigned *whose);

/* Nodes of the path of leaf `index` in a tree of `size`. */
size_t csl_evidence_path_nodes(uint32_t index, uint32_t size);

/* Whether it holds against the owner of this key. CSL_OK: it does, and `finding` says what was wrong, for
 * people. CSL_EAUTH: it does not; diag says why. Other errors are this program's. */
CSL_MUST_CHECK enum csl_err csl_evidence_verify(const struct csl_evidence *e, EVP_PKEY *dealer,
                                                struct csl_diag *finding, struct csl_diag *diag);

/* <dir>/state/evidence/<session id>.evidence, written beside, synced, renamed; path: room for 4096 or NULL.
 */
CSL_MUST_CHECK enum csl_err csl_evidence_store(const struct csl_evidence *e, const char *dir,
                                               const uint8_t session_id[16], char *path,
                                               struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_evidence_load(struct csl_evidence *out, const char *path,
                                              struct csl_diag *diag);

#endif
