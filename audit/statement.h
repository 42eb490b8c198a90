/* Signed statements: what parties, dealer, owners and clients answer for (proto/audit.proto).
 *
 * One packs the message, signs the bytes under the statement's context (crypto/sign.h) and keeps the bytes:
 * what is verified is what was signed. Packing is deterministic, so that parties that agree on the content
 * agree on the bytes. Every statement but the dealer's names the session by the digest of its session
 * statement, which fixes everything else; a signature is thus worth nothing in another session, batch or
 * role.
 */
#ifndef CSL_AUDIT_STATEMENT_H
#define CSL_AUDIT_STATEMENT_H

#include "audit.pb-c.h"
#include "audit/merkle.h"
#include "crypto/sign.h"

enum csl_statement { /* contexts "consilium/session", ... */
                     CSL_STATEMENT_SESSION,
                     CSL_STATEMENT_DEALT,
                     CSL_STATEMENT_INPUT,
                     CSL_STATEMENT_HEAD,
                     CSL_STATEMENT_OUTPUT,
                     CSL_STATEMENT_RESEAL,
                     CSL_STATEMENT_CONSENT,
                     CSL_STATEMENT_MANIFEST, /* a model's manifest (proto/model.proto), bytes of another layer
                                              */
                     CSL_STATEMENT_VIEW      /* a sealed view, likewise */
};

enum csl_audit_sign { CSL_SIGN_OFF, CSL_SIGN_AFTER_OUTPUT, CSL_SIGN_BEFORE_OUTPUT };

enum { CSL_STATEMENT_MAX = 8192 };

/* Bytes and their signature; owned. */
struct csl_signed {
    uint8_t *statement;
    size_t n;
    uint8_t signature[CSL_SIGNATURE_BYTES];
};
void csl_signed_clear(struct csl_signed *s); /* may be zero */
CSL_MUST_CHECK enum csl_err csl_signed_copy(struct csl_signed *out, const uint8_t *statement, size_t n,
                                            const uint8_t signature[CSL_SIGNATURE_BYTES]);

/* Packs the message (any of proto/audit.proto's statements) into *out; the caller frees. */
CSL_MUST_CHECK enum csl_err csl_statement_pack(uint8_t **out, size_t *n, const ProtobufCMessage *m);
/* Packs and signs. */
CSL_MUST_CHECK enum csl_err csl_statement_sign(struct csl_signed *out, enum csl_statement what,
                                               const ProtobufCMessage *m, EVP_PKEY *key,
                                               struct csl_diag *diag);
/* Signs and verifies bytes that exist already. CSL_EAUTH. */
CSL_MUST_CHECK enum csl_err csl_statement_sign_bytes(uint8_t sig[CSL_SIGNATURE_BYTES],
                                                     enum csl_statement what, const uint8_t *p, size_t n,
                                                     EVP_PKEY *key, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_statement_verify(enum csl_statement what, const uint8_t *p, size_t n,
                                                 const uint8_t *sig, size_t n_sig, EVP_PKEY *key,
                                                 struct csl_diag *diag);

/* Decoding: strict in lengths and counts (1..16 parties), CSL_EDATA names the field. Freed by
 * csl_statement_free. */
CSL_MUST_CHECK enum csl_err csl_session_statement_decode(Csl__Audit__SessionStatement **out, const uint8_t *p,
                                                         size_t n, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_dealt_statement_decode(Csl__Audit__DealtStatement **out, const uint8_t *p,
                                                       size_t n, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_input_statement_decode(Csl__Audit__InputStatement **out, const uint8_t *p,
                                                       size_t n, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_head_statement_decode(Csl__Audit__HeadStatement **out, const uint8_t *p,
                                                      size_t n, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_output_statement_decode(Csl__Audit__OutputStatement **out, const uint8_t *p,
                                                        size_t n, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_reseal_statement_decode(Csl__Audit__ResealStatement **out, const uint8_t *p,
                                                        size_t n, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_consent_statement_decode(Csl__Audit__ConsentStatement **out, const uint8_t *p,
                                                         size_t n, struct csl_diag *diag);
void csl_statement_free(void *m); /* any of them; NULL is allowed */

/* ---- Commitments (docs/audit.md) ---- */

/* D1: the leaf hash of one index of one party: csl_merkle_leaf(SHA-256(matrix key) | SHA-256(bits key)), the
 * two halves of csl_index_seed (mpc/epoch.h). The keys are secret, their digests tell nothing of them. */
CSL_MUST_CHECK enum csl_err csl_seed_leaf(uint8_t out[CSL_MERKLE_BYTES],
                                          const uint8_t matrix_digest[CSL_SHA256_BYTES],
                                          const uint8_t bits_digest[CSL_SHA256_BYTES]);
/* D2: of one index's corrections: csl_merkle_leaf(SHA-256(those of linear demands) | SHA-256(those of the
 * others)), each in the order of the demands, so that the second can be shown without the first. */
CSL_MUST_CHECK enum csl_err csl_corrections_leaf(uint8_t out[CSL_MERKLE_BYTES],
                                                 const uint8_t matrix_digest[CSL_SHA256_BYTES],
                                                 const uint8_t bits_digest[CSL_SHA256_BYTES]);
/* I1: of one inference's input share: csl_merkle_leaf(SHA-256("consilium/input-share" 0 | PRF(salt, "row" |
 * row u32) | share bytes)); share: the row's 32-byte seed, or its packed values at the last party. */
CSL_MUST_CHECK enum csl_err csl_input_leaf(uint8_t out[CSL_MERKLE_BYTES], const uint8_t salt[32],
                                           uint32_t row, const uint8_t *share, size_t n);
/* O1: SHA-256("consilium/output-share" 0 | salt | share). */
CSL_MUST_CHECK enum csl_err csl_output_commit(uint8_t out[32], const uint8_t salt[32], const uint8_t *share,
                                              size_t n);

#endif
