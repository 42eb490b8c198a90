/* Model packages (docs/protocol.md M): what a party holds of a shared model, on disk and in memory.
 *
 * A package is the public manifest and this party's secret part: salt (32) | share, where the share is a
 * 32-byte seed for parties 0..N-2 and csl_model_share_encode's bytes for the last. Its digest is
 * SHA-256(manifest); the manifest commits to every part by
 * SHA-256("consilium/model-share" 0 | nonce | party u32 | part), where nonce is the manifest's and the salt
 * in the part hides it. On disk the part lies in an envelope to the party's own wrapping key.
 */
#ifndef CSL_ROLES_PACKAGE_H
#define CSL_ROLES_PACKAGE_H

#include <pthread.h>

#include "nn/infer.h"
#include "roles/context.h"

enum { CSL_SALT_BYTES = 32, CSL_MANIFEST_MAX = 1 << 18 };

/* Immutable and counted. */
struct csl_package {
    _Atomic int refs;
    char name[CSL_MODEL_NAME_MAX + 1];
    char owner[CSL_NAME_MAX + 1];
    struct csl_plan plan;
    unsigned n_parties;
    uint8_t digest[CSL_DIGEST_BYTES];
    uint8_t *manifest;
    size_t n_manifest;
    uint8_t *part; /* secret */
    size_t n_part;
};

/* Decodes a manifest and checks it; for clients too. On error *plan is zero. */
struct csl_manifest {
    char name[CSL_MODEL_NAME_MAX + 1];
    char owner[CSL_NAME_MAX + 1];
    struct csl_plan plan;
    unsigned n_parties;
    uint8_t nonce[32];
    uint8_t commitments[CSL_MAX_PARTIES][CSL_DIGEST_BYTES];
    uint8_t digest[CSL_DIGEST_BYTES];
};
CSL_MUST_CHECK enum csl_err csl_manifest_decode(struct csl_manifest *out, const uint8_t *bytes, size_t n,
                                                struct csl_diag *diag);
/* The owner's side: fills digest and returns malloc'ed bytes. */
CSL_MUST_CHECK enum csl_err csl_manifest_encode(uint8_t **bytes, size_t *n, struct csl_manifest *m);

/* The commitment to one party's part. */
CSL_MUST_CHECK enum csl_err csl_part_commit(uint8_t out[CSL_DIGEST_BYTES], const uint8_t nonce[32],
                                            unsigned party, const uint8_t *part, size_t n);
/* How long a party's part is. */
size_t csl_part_bytes(const struct csl_plan *plan, unsigned n_parties, unsigned party);

/* Checks everything that a party can: manifest, number of parties, commitment, and that the share decodes.
 * manifest and part are copied. */
CSL_MUST_CHECK enum csl_err csl_package_new(struct csl_package **out, const struct csl_context *ctx,
                                            const uint8_t *manifest, size_t n_manifest, const uint8_t *part,
                                            size_t n_part, struct csl_diag *diag);
struct csl_package *csl_package_ref(struct csl_package *p);
void csl_package_unref(struct csl_package *p); /* NULL is allowed */
/* This party's share of the numbers, without E. The caller clears. */
CSL_MUST_CHECK enum csl_err csl_package_share(struct csl_model_share *out, const struct csl_package *p,
                                              unsigned party, struct csl_diag *diag);

/* A share whose weights are opened for one epoch: shared by the lanes. */
struct csl_opened {
    _Atomic int refs;
    uint8_t package_digest[CSL_DIGEST_BYTES];
    uint8_t epoch_id[CSL_EPOCH_ID_BYTES];
    struct csl_model_share share;
};
/* Takes the share over (it is empty then). */
CSL_MUST_CHECK enum csl_err csl_opened_new(struct csl_opened **out, const struct csl_package *p,
                                           const uint8_t epoch_id[CSL_EPOCH_ID_BYTES],
                                           struct csl_model_share *share);
void csl_opened_unref(struct csl_opened *o);

/* ---- The store of a party: thread-safe ---- */
struct csl_store {
    pthread_mutex_t lock;
    const struct csl_context *ctx;
    struct csl_package *packages[CSL_ROSTER_MODELS_MAX]; /* the latest of each name */
    struct csl_opened
        *opened[CSL_ROSTER_MODELS_MAX]; /* beside it; NULL, or of its package and the last epoch */
    size_t n;
};
/* Loads every package in <site>/state/models. A file that cannot be used is named in the log and not served.
 */
CSL_MUST_CHECK enum csl_err csl_store_init(struct csl_store *s, const struct csl_context *ctx,
                                           struct csl_diag *diag);
void csl_store_clear(struct csl_store *s);
/* Writes the package to disk, then it takes the place of an older one. */
CSL_MUST_CHECK enum csl_err csl_store_put(struct csl_store *s, struct csl_package *p, struct csl_diag *diag);
/* A reference, or NULL. */
struct csl_package *csl_store_get(struct csl_store *s, const char *name);
/* A reference to the opened weights of this package and epoch, or NULL; and offering one for others. */
struct csl_opened *csl_store_opened(struct csl_store *s, const struct csl_package *p,
                                    const uint8_t epoch_id[CSL_EPOCH_ID_BYTES]);
void csl_store_offer(struct csl_store *s, const struct csl_package *p, struct csl_opened *o);

#endif
