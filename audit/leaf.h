/* Leaves of a ledger: encoding, and decoding with every length and count checked. proto/audit.proto says what
 * each holds and when it is written. Includes generated code: for the layers above audit only. */
#ifndef CSL_AUDIT_LEAF_H
#define CSL_AUDIT_LEAF_H

#include "audit.pb-c.h"
#include "crypto/err.h"

enum {
    CSL_LEAF_SALT_BYTES = 32,
    /* Commitments in an input leaf: part after part, an inference after the other. Of batches with more
     * csl_leaf_encode writes none; the owners' signed roots stand for them. */
    CSL_LEAF_COMMITMENTS_MAX = 1 << 14
};

enum csl_model_event {
    CSL_MODEL_SEALED = 1,
    CSL_MODEL_ACCEPTED,
    CSL_MODEL_RESEALED,
    CSL_MODEL_ARCHIVED,
    CSL_MODEL_RESTORED
};

/* A WITNESS leaf is a refusal, or, when its reason begins with this, an operator's word that a member's new
 * ledger is taken for the one that it lost. */
#define CSL_WITNESS_ACCEPTED "accepted: "

typedef Csl__Audit__Leaf csl_leaf;

/* Packs a leaf with a fresh salt and the time now; the caller frees *out. Whatever csl_leaf_decode would
 * refuse is CSL_EDATA here; but sentences (reasons, and who and what of a refusal) may be any, they are cut
 * at 512 bytes and control characters replaced. */
CSL_MUST_CHECK enum csl_err csl_leaf_encode(uint8_t **out, size_t *n, csl_leaf *leaf);
/* Strict: salt, lengths of digests, ids and signatures, counts (at most 16 parties, 32 inputs of a batch),
 * names; exactly one known body. CSL_EDATA names the field. The caller frees by csl_leaf_free. */
CSL_MUST_CHECK enum csl_err csl_leaf_decode(csl_leaf **out, const uint8_t *p, size_t n,
                                            struct csl_diag *diag);
void csl_leaf_free(csl_leaf *leaf); /* NULL is allowed */
/* "session opened", for people. */
const char *csl_leaf_kind_name(int body_case);

/* Declares a leaf `l` with its body `b`. */
#define CSL_LEAF(l, b, Type, TYPE, FIELD, field)                                                             \
    Csl__Audit__##Type b = CSL__AUDIT__##TYPE##__INIT;                                                       \
    csl_leaf l = CSL__AUDIT__LEAF__INIT;                                                                     \
    l.body_case = CSL__AUDIT__LEAF__BODY_##FIELD;                                                            \
    l.field = &b

#endif
