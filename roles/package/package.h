/* Model packages (docs/protocol.md Q): what a party holds of a shared model, as a file and in memory.
 *
 * The owner signs a public manifest and seals each party's secret part to that party's wrapping key. A
 * ModelPackage (proto/model.proto) is the one file format: manifest, signature, party, sealed part, and the
 * statements of those who handed it on. The part is salt (32) | share, where the share is a 32-byte seed for
 * parties 0..N-2 and csl_model_share_encode's bytes for the last. The package digest is SHA-256(manifest);
 * the manifest commits to every part by SHA-256("consilium/model-share" 0 | nonce | party u32 | part), where
 * nonce is the manifest's and the salt hides the part, and names SHA-256 of every sealed part.
 */
#ifndef CSL_ROLES_PACKAGE_H
#define CSL_ROLES_PACKAGE_H

#include <pthread.h>

#include "crypto/sign.h"
#include "model.pb-c.h"
#include "nn/infer.h"
#include "roles/context.h"

enum {
    CSL_SALT_BYTES = 32,
    CSL_MANIFEST_MAX = 1 << 18,
    CSL_RESEALS_MAX = 64, /* hands that a package may pass through */
    CSL_SEAL_DAYS_DEFAULT = 365,
    CSL_SEAL_DAYS_MAX = 36500
};

/* Milliseconds since 1970, by the wall clock. */
uint64_t csl_wall_ms(void);

/* ---- Manifest: public ---- */

struct csl_manifest {
    char name[CSL_MODEL_NAME_MAX + 1];
    char owner[CSL_NAME_MAX + 1];
    struct csl_plan plan;
    unsigned n_parties;
    uint8_t nonce[32];
    uint8_t commitments[CSL_MAX_PARTIES][CSL_DIGEST_BYTES];
    uint8_t sealed[CSL_MAX_PARTIES][CSL_DIGEST_BYTES];   /* SHA-256 of the sealed parts */
    char parties[CSL_MAX_PARTIES][CSL_NAME_MAX + 1];     /* whom they were sealed to */
    uint8_t party_keys[CSL_MAX_PARTIES][CSL_SPKI_BYTES]; /* their signing keys */
    uint64_t sealed_ms, expires_ms;                      /* wall clock */
    uint8_t digest[CSL_DIGEST_BYTES];
};
/* Decodes and checks the form, not the signature. On error *out is zero. CSL_EDATA names the field. */
CSL_MUST_CHECK enum csl_err csl_manifest_decode(struct csl_manifest *out, const uint8_t *bytes, size_t n,
                                                struct csl_diag *diag);
/* The owner's side: fills digest and returns malloc'ed bytes. */
CSL_MUST_CHECK enum csl_err csl_manifest_encode(uint8_t **bytes, size_t *n, struct csl_manifest *m);

/* What everybody checks of a manifest, parties and clients: that the roster names its owner as the owner of
 * this model (CSL_EPERM), that the owner signed these bytes with the roster's key (CSL_EAUTH), that it is
 * for the roster's number of parties (CSL_EDATA), and that it has not expired (CSL_ESTALE). m is what
 * csl_manifest_decode made of bytes[0..n). */
CSL_MUST_CHECK enum csl_err csl_manifest_verify(const struct csl_manifest *m, const uint8_t *bytes, size_t n,
                                                const uint8_t *signature, size_t n_signature,
                                                const struct csl_roster *roster, struct csl_diag *diag);
/* The last of these alone: CSL_ESTALE when expires_ms has passed. */
CSL_MUST_CHECK enum csl_err csl_seal_check_expiry(const char *model, const char *owner, uint64_t expires_ms,
                                                  struct csl_diag *diag);

/* The commitment to one party's part. */
CSL_MUST_CHECK enum csl_err csl_part_commit(uint8_t out[CSL_DIGEST_BYTES], const uint8_t nonce[32],
                                            unsigned party, const uint8_t *part, size_t n);
/* How long a party's part is; 0 when it cannot be counted. */
size_t csl_part_bytes(const struct csl_plan *plan, unsigned n_parties, unsigned party);

/* Envelope label of a sealed part, and its associated data: SHA-256("consilium/package" 0 | nonce | party
 * u32). */
#define CSL_PART_LABEL "consilium/model-part"
CSL_MUST_CHECK enum csl_err csl_part_aad(uint8_t out[CSL_DIGEST_BYTES], const uint8_t nonce[32],
                                         unsigned party);

/* ---- The file ---- */

/* Decodes a ModelPackage and checks its form: version, lengths, counts, and that the bytes are the one
 * encoding of what they hold, so that no bit in it is without a meaning. Freed by csl_package_file_free.
 * CSL_EDATA. */
CSL_MUST_CHECK enum csl_err csl_package_file_parse(Csl__Pb__ModelPackage **out, const uint8_t *bytes,
                                                   size_t n, struct csl_diag *diag);
void csl_package_file_free(Csl__Pb__ModelPackage *f); /* NULL is allowed */
/* malloc'ed bytes; version is filled in. */
CSL_MUST_CHECK enum csl_err csl_package_file_pack(uint8_t **out, size_t *n, Csl__Pb__ModelPackage *f);
/* A package file's bytes, freed by csl_secret_free; and the same parsed, where each sentence begins with the
 * path. */
CSL_MUST_CHECK enum csl_err csl_package_file_load(char **bytes, size_t *n, const char *path,
                                                  struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_package_file_read(Csl__Pb__ModelPackage **out, const char *path,
                                                  struct csl_diag *diag);

/* ---- A package of ours, opened. Immutable and counted ---- */

struct csl_package {
    _Atomic int refs;
    char name[CSL_MODEL_NAME_MAX + 1];
    char owner[CSL_NAME_MAX + 1];
    struct csl_plan plan;
    unsigned n_parties;
    uint8_t digest[CSL_DIGEST_BYTES]; /* SHA-256 of the manifest */
    uint8_t *manifest;
    size_t n_manifest;
    uint8_t signature[CSL_SIGNATURE_BYTES];  /* the owner's, of the manifest */
    uint8_t sealed_digest[CSL_DIGEST_BYTES]; /* SHA-256 of the sealed part that it was opened from */
    uint64_t expires_ms;
    uint8_t *part; /* secret */
    size_t n_part;
};

/* Everything that a party checks but its own ledger (roles/package/store.c does), each with its own sentence:
 * csl_manifest_verify; the party is ours; the sealed part is the one that the manifest names, or one that
 * the chain of statements leads to (roles/package/reseal.h); it opens with our wrapping key; the commitment;
 * that the share decodes. */
CSL_MUST_CHECK enum csl_err csl_package_open(struct csl_package **out, const struct csl_context *ctx,
                                             const Csl__Pb__ModelPackage *file, struct csl_diag *diag);
struct csl_package *csl_package_ref(struct csl_package *p);
void csl_package_unref(struct csl_package *p); /* NULL is allowed */
/* CSL_ESTALE when its seal has expired: asked whenever a session opens. */
CSL_MUST_CHECK enum csl_err csl_package_check_expiry(const struct csl_package *p, struct csl_diag *diag);
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

/* ---- The store of a party: thread-safe ----
 *
 * <site>/state/models/NAME.model is a ModelPackage. It is served only when the site's ledger
 * (ctx->logbook) says that this very package (manifest and sealed part) is the newest of its name that was
 * accepted here. */

/* The newest ACCEPTED leaf of each model name. */
struct csl_accepted {
    uint64_t scanned; /* leaves of the ledger that are known */
    struct csl_accepted_model {
        char name[CSL_MODEL_NAME_MAX + 1];
        uint8_t package_digest[CSL_DIGEST_BYTES];
        uint8_t sealed_digest[CSL_DIGEST_BYTES];
    } * models;
    size_t n;
};
/* Reads what the ledger got since. */
CSL_MUST_CHECK enum csl_err csl_accepted_update(struct csl_accepted *a, const struct csl_context *ctx,
                                                struct csl_diag *diag);
/* CSL_EAUTH with the reason when the ledger does not have this package as its newest. */
CSL_MUST_CHECK enum csl_err csl_accepted_check(const struct csl_accepted *a, const struct csl_package *p,
                                               struct csl_diag *diag);
/* Writes the leaf, durably. */
CSL_MUST_CHECK enum csl_err csl_accepted_add(const struct csl_context *ctx, const struct csl_package *p,
                                             struct csl_diag *diag);
void csl_accepted_clear(struct csl_accepted *a);

/* A model's file as it was when it was last looked at, and why it is not served. */
struct csl_store_file {
    char name[CSL_MODEL_NAME_MAX + 1];
    uint64_t inode, size;
    int64_t changed_ns;
    enum csl_err err;
    struct csl_diag why;
};

struct csl_store {
    pthread_mutex_t writing; /* of those who change it, before lock */
    pthread_mutex_t lock;
    const struct csl_context *ctx;
    struct csl_accepted accepted; /* under writing */
    _Atomic int64_t listed_ns;    /* when the folder that was last listed had changed */
    struct csl_store_file *files; /* CSL_ROSTER_MODELS_MAX places */
    size_t n_files;
    struct csl_package *packages[CSL_ROSTER_MODELS_MAX]; /* the latest of each name */
    struct csl_opened
        *opened[CSL_ROSTER_MODELS_MAX]; /* beside it; NULL, or of its package and the last epoch */
    size_t n;
};
/* Loads every package in <site>/state/models. A file that cannot be used is named in the log and not served.
 * ctx is borrowed for the store's life. */
CSL_MUST_CHECK enum csl_err csl_store_init(struct csl_store *s, const struct csl_context *ctx,
                                           struct csl_diag *diag);
void csl_store_clear(struct csl_store *s);
/* Takes a package in: opens and checks it, writes the ACCEPTED leaf durably, then the file. *out gets the
 * package. For a command beside the daemon, which finds the file by csl_store_refresh. */
CSL_MUST_CHECK enum csl_err csl_store_accept(struct csl_package **out, const struct csl_context *ctx,
                                             Csl__Pb__ModelPackage *file, struct csl_diag *diag);
/* The same in the daemon: the package takes the place of an older one at once. */
CSL_MUST_CHECK enum csl_err csl_store_put(struct csl_store *s, struct csl_package **out,
                                          Csl__Pb__ModelPackage *file, struct csl_diag *diag);
/* Reads the file of a model and checks that the ledger has it, for those who hand it on. */
CSL_MUST_CHECK enum csl_err csl_store_read(Csl__Pb__ModelPackage **file, struct csl_package **package,
                                           const struct csl_context *ctx, const char *name,
                                           struct csl_diag *diag);
/* Looks for files that changed (model install puts them there): loads them, and says in the log which are
 * not served. Not for the main thread: it decrypts. */
void csl_store_refresh(struct csl_store *s);
/* Whether the folder may have changed since it was last looked at: cheap. */
bool csl_store_changed(struct csl_store *s);
/* A reference to the package of a model, whose seal is good now; otherwise the sentence says why there is
 * none: CSL_EUNAVAILABLE (never shared here), CSL_ESTALE (expired), or why its file is not served. */
CSL_MUST_CHECK enum csl_err csl_store_find(struct csl_store *s, struct csl_package **out, const char *name,
                                           struct csl_diag *diag);
/* A reference to the opened weights of this package and epoch, or NULL; and offering one for others. */
struct csl_opened *csl_store_opened(struct csl_store *s, const struct csl_package *p,
                                    const uint8_t epoch_id[CSL_EPOCH_ID_BYTES]);
void csl_store_offer(struct csl_store *s, const struct csl_package *p, struct csl_opened *o);

#endif
