/* Witnessing: members show each other their ledgers' checkpoints, prove that each continues the one before,
 * and cosign (docs/audit.md W). Who is rolled back, or shows different ledgers to different members, is found
 * out by those who remember.
 *
 * Daemons do it among themselves over their control connections (roles/daemon/daemon_witness.c). An owner,
 * who runs no daemon, does it when it shares a model:
 *
 *     owner   csl_witness_offer(&o, ctx, party, ...)     ShareModel.checkpoint, old_size, proof
 *     party   csl_witness_judge(&v, ctx, owner, ...)     ModelStored.checkpoint = v.note.text when v.kind is
 *                                                        CSL_WITNESSED; REFUSED: the model is not stored
 *     owner   csl_witness_take(ctx, party, text, ...)
 *
 * Needs ctx->logbook. Any thread; each call may take an fsync or two.
 */
#ifndef CSL_ROLES_WITNESS_H
#define CSL_ROLES_WITNESS_H

#include "control.pb-c.h"
#include "roles/daemon/logbook.h"

#define CSL_WITNESS_UNKNOWN UINT64_MAX
enum { CSL_WITNESS_REASON_MAX = 400 };

/* What is sent to a witness. Borrowed pointers in proof point into nodes: do not copy the struct. */
struct csl_witness_offer {
    struct csl_note note; /* our newest checkpoint, our signature alone */
    uint64_t old_size;    /* the proof leads from here */
    uint8_t nodes[CSL_MERKLE_PROOF_MAX][CSL_MERKLE_BYTES];
    ProtobufCBinaryData proof[CSL_MERKLE_PROOF_MAX];
    size_t n_proof;
};
/* Makes a checkpoint of what is in our ledger (csl_ledger_checkpoint), and the proof from `known`, what the
 * witness has cosigned; CSL_WITNESS_UNKNOWN: as the cosignatures in our own ledger tell, else from 0. */
CSL_MUST_CHECK enum csl_err csl_witness_offer(struct csl_witness_offer *o, const struct csl_context *ctx,
                                              const struct csl_member *to, uint64_t known,
                                              struct csl_diag *diag);

enum csl_witness_kind {
    CSL_WITNESSED,      /* note: with our cosignature */
    CSL_WITNESS_BEHIND, /* the proof must begin at have */
    CSL_WITNESS_REFUSED /* note: what we had cosigned; reason. A WITNESS leaf was written. */
};
struct csl_witness_verdict {
    enum csl_witness_kind kind;
    uint64_t have;
    struct csl_note note;
    struct csl_diag reason;
};
/* Judges a member's checkpoint. lenient: a smaller one than we know is BEHIND, not refused (it may have
 * crossed another of the same site's programs). CSL_EDATA: no checkpoint; CSL_EAUTH: not this member's. */
CSL_MUST_CHECK enum csl_err csl_witness_judge(struct csl_witness_verdict *v, const struct csl_context *ctx,
                                              const struct csl_member *from, const char *note,
                                              uint64_t old_size, const ProtobufCBinaryData *proof,
                                              size_t n_proof, bool lenient, struct csl_diag *diag);
/* A checkpoint of ours that came back cosigned. Empty text: nothing happens. */
CSL_MUST_CHECK enum csl_err csl_witness_take(const struct csl_context *ctx, const struct csl_member *from,
                                             const char *text, struct csl_diag *diag);
/* Whether a checkpoint that is said to be ours, and that a witness refuses to see continued, proves that our
 * ledger is not the one it was: CSL_EAUTH with the sentence; CSL_OK: it proves nothing. */
CSL_MUST_CHECK enum csl_err csl_witness_against_us(const struct csl_context *ctx,
                                                   const struct csl_member *from, const char *text,
                                                   struct csl_diag *diag);

/* An operator's word that `who` lost its ledger: what was cosigned of it is written down (a durable WITNESS
 * leaf, with the checkpoint that was refused, if one was, and "accepted: REASON") and forgotten, so that its
 * next checkpoint is taken as the first. A daemon that runs notices by itself. *seen gets what was forgotten.
 * CSL_ENOINPUT: nothing of it was cosigned here; CSL_EUSAGE: ourselves, or no reason. */
CSL_MUST_CHECK enum csl_err csl_witness_accept(struct csl_note *seen, const struct csl_context *ctx,
                                               const struct csl_member *who, const char *reason,
                                               struct csl_diag *diag);

#endif
