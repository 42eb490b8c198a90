/* A site's ledger: an append-only Merkle log in <dir>, kept through crashes.
 *
 *   <dir>/log          "CSLL" | version u32 = 1, then entries: length u32 | SHA-256(length)[0..4) |
 *                      leaf hash[0..4) | a leaf's bytes (audit/leaf.h)
 *   <dir>/checkpoint   the newest signed note, with the cosignatures that have come (replaced atomically);
 *                      there from the first moment on, of no leaf then
 *   <dir>/history      checkpoints that somebody cosigned, oldest first, without the newest; at most 4096:
 *                      beyond that every second one of the older half is dropped
 *   <dir>/seen/NAME    the newest checkpoint of member NAME that this site cosigned, with both signatures
 *   <dir>/lock         for file locks
 *
 * Opening reads everything and checks it: the log must hold at least the leaves of the newest checkpoint and
 * history, with the same roots (truncation, rollback, bit flips: CSL_EAUTH, which names the first entry or
 * the checkpoint that differs and what to do). Entries beyond the checkpoint were not yet signed; an
 * unfinished one at the very end, left by a crash, is cut off and reported by csl_ledger_torn().
 *
 * In memory: about 64 bytes an entry, and the history. Every entry is read once when it is opened.
 *
 * Any thread, and several processes (a daemon and a command): each append takes a file lock and first reads
 * what others appended. A failed write or fsync closes the ledger for good in this process: every later
 * append fails with the same sentence (a full disk: CSL_EIO), so that nothing runs unlogged.
 */
#ifndef CSL_AUDIT_LEDGER_H
#define CSL_AUDIT_LEDGER_H

#include "audit/note.h"

enum { CSL_LEAF_MAX = 1 << 20 };

struct csl_ledger;

struct csl_ledger_options {
    const char *dir; /* made (0700) when missing; its parent must exist */
    const char *origin, *name;
    EVP_PKEY *sign_key; /* borrowed for the ledger's life */
    uint32_t sync_ms; /* group commit: what was appended with durable = false is synced within this time by a
                         thread of the ledger; 0: no thread, the caller calls csl_ledger_sync() */
};
CSL_MUST_CHECK enum csl_err csl_ledger_open(struct csl_ledger **out, const struct csl_ledger_options *opt,
                                            struct csl_diag *diag);
/* Syncs, signs a last checkpoint when there is something new, and frees. NULL is allowed. */
void csl_ledger_close(struct csl_ledger *l);
/* Bytes that the opening cut off, 0 as a rule. */
uint64_t csl_ledger_torn(const struct csl_ledger *l);

/* Appends one leaf's bytes; *index is its place. durable: returns when it is on the disk (fsync; those who
 * wait at the same time share one). CSL_EIO, CSL_EDATA (longer than CSL_LEAF_MAX or empty). */
CSL_MUST_CHECK enum csl_err csl_ledger_append(struct csl_ledger *l, uint64_t *index, const uint8_t *leaf,
                                              size_t n, bool durable, struct csl_diag *diag);
/* Everything appended so far is on the disk when it returns. */
CSL_MUST_CHECK enum csl_err csl_ledger_sync(struct csl_ledger *l, struct csl_diag *diag);
/* The error that closed it, or CSL_OK: asked before a session is admitted. */
CSL_MUST_CHECK enum csl_err csl_ledger_check(struct csl_ledger *l, struct csl_diag *diag);

uint64_t csl_ledger_size(struct csl_ledger *l);
/* Reads what other processes appended since: they are in the size then. */
CSL_MUST_CHECK enum csl_err csl_ledger_refresh(struct csl_ledger *l, struct csl_diag *diag);
/* Roots after n leaves: "previous" and "current" hash of entry i are those of i and i + 1. */
CSL_MUST_CHECK enum csl_err csl_ledger_root(struct csl_ledger *l, uint8_t out[CSL_MERKLE_BYTES], uint64_t n);
/* The bytes of leaf i; the caller frees. */
CSL_MUST_CHECK enum csl_err csl_ledger_leaf(struct csl_ledger *l, uint8_t **leaf, size_t *n, uint64_t i,
                                            struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_ledger_inclusion(struct csl_ledger *l, uint8_t (*proof)[CSL_MERKLE_BYTES],
                                                 size_t *n_proof, uint64_t index, uint64_t size);
CSL_MUST_CHECK enum csl_err csl_ledger_consistency(struct csl_ledger *l, uint8_t (*proof)[CSL_MERKLE_BYTES],
                                                   size_t *n_proof, uint64_t old_size, uint64_t size);

/* Syncs and signs the present size, unless the newest checkpoint has it already; stores and returns it. */
CSL_MUST_CHECK enum csl_err csl_ledger_checkpoint(struct csl_ledger *l, struct csl_note *out,
                                                  struct csl_diag *diag);
/* The newest stored checkpoint with its cosignatures; CSL_ENOINPUT when there is none. */
CSL_MUST_CHECK enum csl_err csl_ledger_newest(struct csl_ledger *l, struct csl_note *out,
                                              struct csl_diag *diag);
/* Takes in a copy of our newest checkpoint that `name` cosigned (verified here), which goes to history when a
 * newer one replaces it. A copy of an older one is verified and dropped. */
CSL_MUST_CHECK enum csl_err csl_ledger_cosigned(struct csl_ledger *l, const struct csl_note *note,
                                                const char *name, EVP_PKEY *key, struct csl_diag *diag);
/* Checkpoint i of history, oldest first; CSL_ENOINPUT past the end. The newest is not among them. */
CSL_MUST_CHECK enum csl_err csl_ledger_history(struct csl_ledger *l, struct csl_note *out, size_t i,
                                               struct csl_diag *diag);

/* ---- As a witness of others ---- */

/* The newest checkpoint of `name` that we cosigned; size 0 when there is none. */
CSL_MUST_CHECK enum csl_err csl_ledger_seen(struct csl_ledger *l, struct csl_note *out, const char *name,
                                            struct csl_diag *diag);
/* Judges a checkpoint of `name` (its key, its origin) against the one seen: signature, size not smaller, the
 * same root at the same size, else the consistency proof from seen->size. Then cosigns it into *note and
 * remembers it durably. CSL_EAUTH with the reason: not continued; *forked says that both notes are signed by
 * it and contradict each other (the caller keeps both: a proof). CSL_ESTALE: the proof starts at another size
 * than the one that we saw last (*have says which). */
CSL_MUST_CHECK enum csl_err csl_ledger_witness(struct csl_ledger *l, struct csl_note *note, const char *name,
                                               EVP_PKEY *key, const char *origin, uint64_t old_size,
                                               const uint8_t (*proof)[CSL_MERKLE_BYTES], size_t n_proof,
                                               uint64_t *have, bool *forked, struct csl_diag *diag);

#endif
