/* The anchors that a site has under way, on its disk: what must not be done twice or lost.
 *
 *   <dir>/outbox.json    anchors that are not final yet, oldest first, with the raw bytes that were signed;
 *                        replaced atomically and synced at each change
 *   <dir>/final.jsonl    a line for each final anchor, appended and synced; a line that a crash tore off at
 *                        the end is cut away, and those of anchors that were gone back on. The chain has the
 *                        same: this file only saves asking. Never read as a whole
 *   <dir>/lock           held while a process works
 *
 * <dir> names chain, contract and account, so that a site that moves to another begins anew and keeps the
 * old. Only one anchor at a time waits for its block (the last); those before it are in blocks and wait to be
 * final. After a reorganisation several may wait again: their raw bytes are sent again.
 *
 * Errors: CSL_EBUSY another process works on it; CSL_EDATA it is damaged (the sentence says what to do);
 * CSL_ECREATE, CSL_EIO, CSL_ENOMEM. Needs no chain library. All of it is public.
 */
#ifndef CSL_CHAIN_OUTBOX_H
#define CSL_CHAIN_OUTBOX_H

#include "chain/contract.h"
#include "crypto/files_internal.h"

enum { CSL_OUTBOX_MAX = 64, CSL_OUTBOX_VARIANTS = 12, CSL_OUTBOX_RAW_MAX = 1024 };

enum csl_outbox_state {
    CSL_OUTBOX_QUEUED, /* chosen; nothing is signed */
    CSL_OUTBOX_SIGNED, /* raw bytes are kept; they may have been sent, and may be in a block */
    CSL_OUTBOX_MINED   /* it is in a block */
};

/* The same nonce and call with other fees; the last is the newest. */
struct csl_outbox_variant {
    uint8_t hash[CSL_HASH_BYTES];
    uint8_t raw[CSL_OUTBOX_RAW_MAX];
    size_t n_raw;
    uint64_t max_fee, max_priority;
    bool legacy;
};

struct csl_outbox_mined { /* tx zero: not known, the contract alone shows it */
    uint8_t tx[CSL_HASH_BYTES], block_hash[CSL_HASH_BYTES];
    uint64_t block, time_s, gas_used, gas_price;
};

struct csl_outbox_entry {
    uint64_t index; /* in the contract */
    struct csl_anchor_root previous, is;
    enum csl_outbox_state state;
    uint64_t nonce, gas_limit;
    int64_t signed_s; /* when the newest variant was signed */
    size_t n_variants;
    struct csl_outbox_variant variants[CSL_OUTBOX_VARIANTS];
    struct csl_outbox_mined mined;
};

struct csl_outbox {
    char dir[CSL__PATH_MAX];
    int lock;
    /* The newest final anchor; index + 1 of them are final. count 0: none. */
    uint64_t n_final;
    struct csl_anchor_root final;
    uint64_t final_block;
    uint8_t final_hash[CSL_HASH_BYTES]; /* of that block */
    unsigned reverts;                   /* in a row: mined, and refused by the contract */
    int64_t behind_s;                   /* since when nodes show less than was seen; 0: they do not */
    int64_t taken_s;                    /* when a checkpoint was last taken; 0: never */
    bool base_fee;                      /* the chain has had blocks with one (EIP-1559) */
    struct csl_outbox_entry entries[CSL_OUTBOX_MAX];
    size_t n;
};

/* dir is made when missing (its parent must exist). */
CSL_MUST_CHECK enum csl_err csl_outbox_open(struct csl_outbox **out, const char *dir, struct csl_diag *diag);
void csl_outbox_close(struct csl_outbox *o); /* NULL is allowed */

/* Writes what is in *o through to the disk: call it after each change, before what depends on it. */
CSL_MUST_CHECK enum csl_err csl_outbox_save(const struct csl_outbox *o, struct csl_diag *diag);
/* Appends the oldest entry (CSL_OUTBOX_MINED) to final.jsonl, in place of what stands there of its index and
 * above. csl_outbox_drop_final and a save make it so in the outbox. */
CSL_MUST_CHECK enum csl_err csl_outbox_write_final(const struct csl_outbox *o, struct csl_diag *diag);
void csl_outbox_drop_final(struct csl_outbox *o);
/* Cuts the lines of anchors that are not final any more, after a save. */
CSL_MUST_CHECK enum csl_err csl_outbox_cut_finals(const struct csl_outbox *o, struct csl_diag *diag);

/* What the next anchor continues: the last entry's, or the newest final one. */
const struct csl_anchor_root *csl_outbox_last(const struct csl_outbox *o);
/* A new entry at the end that continues it, CSL_OUTBOX_QUEUED; NULL when there is no room. */
struct csl_outbox_entry *csl_outbox_add(struct csl_outbox *o, const struct csl_anchor_root *is);
/* Forgets entries from i on. */
void csl_outbox_cut(struct csl_outbox *o, size_t i);

/* ---- For readers, while a process may work on it ---- */

struct csl_outbox_anchor { /* one that is in a block */
    uint64_t index;
    struct csl_anchor_root previous, is;
    struct csl_outbox_mined mined;
    bool final;
};
/* The first anchor that covers an entry of the ledger, that is of more than `leaf` entries; *found false when
 * none does. */
CSL_MUST_CHECK enum csl_err csl_outbox_covering(struct csl_outbox_anchor *out, bool *found, const char *dir,
                                                uint64_t leaf, struct csl_diag *diag);

/* For tests and fuzzing: parses what outbox.json would hold into *o, whose dir names it in errors. */
CSL_MUST_CHECK enum csl_err csl_outbox_parse(struct csl_outbox *o, const char *text, size_t n,
                                             struct csl_diag *diag);

#endif
