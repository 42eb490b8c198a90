/* Checkpoints of a ledger as signed notes, in the text forms of c2sp.org/signed-note,
 * c2sp.org/tlog-checkpoint and c2sp.org/tlog-cosignature.
 *
 *     consilium/<consortium>/<site>          origin
 *     42                                     leaves
 *     base64(root)
 *
 *     — <site> base64(key id 4 | signature 64)                           the site's own
 *     — <other> base64(key id 4 | time u64 big-endian | signature 64)    a cosignature, one a witness
 *
 * Ed25519 over the text (its last newline included), respectively over "cosignature/v1\ntime <t>\n" | text;
 * key id = SHA-256(name "\n" type u8 | public key 32)[0..4), type 1 for the site's own and 4 for a
 * cosignature. The text holds no zero byte, so that no signature here can be taken for one of
 * crypto/sign.h's.
 */
#ifndef CSL_AUDIT_NOTE_H
#define CSL_AUDIT_NOTE_H

#include "audit/merkle.h"
#include "crypto/sign.h"

enum { CSL_NOTE_MAX = 8192, CSL_ORIGIN_MAX = 288, CSL_NOTE_SIGNATURES_MAX = 32, CSL_NOTE_NAME_MAX = 64 };

struct csl_checkpoint {
    char origin[CSL_ORIGIN_MAX + 1];
    uint64_t size;
    uint8_t root[CSL_MERKLE_BYTES];
};

/* A note as text, NUL-terminated, and what stands in it. */
struct csl_note {
    char text[CSL_NOTE_MAX];
    size_t n_body; /* bytes of the text that signatures cover */
    struct csl_checkpoint checkpoint;
    size_t n_signatures;
    struct csl_note_signature {
        char name[CSL_NOTE_NAME_MAX + 1];
        uint8_t key_id[4];
        bool cosignature;
        uint64_t time_s; /* of a cosignature */
        uint8_t signature[CSL_SIGNATURE_BYTES];
    } signatures[CSL_NOTE_SIGNATURES_MAX];
};

/* Signs a checkpoint. name: the site's. CSL_EUSAGE: an origin or name that is empty, too
 * long, or holds anything but visible ASCII characters other than '+'. */
CSL_MUST_CHECK enum csl_err csl_note_sign(struct csl_note *out, const struct csl_checkpoint *c,
                                          const char *name, EVP_PKEY *key, struct csl_diag *diag);
/* Strict: exactly the form above with one signature or more, one of a name and kind; base 64 in its one
 * canonical form; CSL_EDATA otherwise, with the reason. Nothing is verified. */
CSL_MUST_CHECK enum csl_err csl_note_parse(struct csl_note *out, const char *text, size_t n,
                                           struct csl_diag *diag);
/* CSL_OK when `name` signed (cosigned) it with key; CSL_EAUTH when it did not, or there is no such line. */
CSL_MUST_CHECK enum csl_err csl_note_verify(const struct csl_note *note, const char *name, EVP_PKEY *key,
                                            struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_note_verify_cosignature(const struct csl_note *note, const char *name,
                                                        EVP_PKEY *key, struct csl_diag *diag);
/* Adds name's cosignature (replacing an older one of the same name) to a note that the caller has verified.
 */
CSL_MUST_CHECK enum csl_err csl_note_cosign(struct csl_note *note, const char *name, EVP_PKEY *key,
                                            uint64_t time_s, struct csl_diag *diag);
/* Takes over name's cosignature line from another copy of the same body (else CSL_EDATA) after verifying it;
 * CSL_EAUTH. */
CSL_MUST_CHECK enum csl_err csl_note_merge(struct csl_note *note, const struct csl_note *other,
                                           const char *name, EVP_PKEY *key, struct csl_diag *diag);

/* Drops all signatures but signer's own and cosigner's cosignature (NULL: none of that kind). */
void csl_note_only(struct csl_note *note, const char *signer, const char *cosigner);
/* Drops the cosignatures that none of these keys made, as the lines' key ids say; nothing is verified. A key
 * NULL stands for every key of that name; n 0: nothing is dropped. */
struct csl_note_signer {
    const char *name;
    EVP_PKEY *key; /* public; borrowed */
};
void csl_note_keep_cosigners(struct csl_note *note, const struct csl_note_signer *signers, size_t n);
size_t csl_note_cosignatures(const struct csl_note *note);

#endif
