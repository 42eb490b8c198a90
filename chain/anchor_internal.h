/* Shared by anchor.c (steps), anchor_settle.c (what became of it), anchor_send.c (fees, signing, sending),
 * anchor_deploy.c. */
#ifndef CSL_CHAIN_ANCHOR_INTERNAL_H
#define CSL_CHAIN_ANCHOR_INTERNAL_H

#include "chain/anchor.h"

struct csl_anchor {
    struct csl_anchor_options opt;
    uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES];
    const uint8_t *account;
    struct csl_outbox *box;
    struct csl_block latest; /* of this step */
    bool checked;            /* chain and contract were right once: from then on it is the node's trouble */
};

void csl__anchor_say(const struct csl_anchor *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void csl__anchor_at(const struct csl_anchor *a, enum csl_anchor_point point);
int64_t csl__anchor_now(const struct csl_anchor *a);

/* ---- anchor_settle.c ---- */
/* Brings the outbox up to what the node shows: receipts, reorganised blocks, anchors that it does not know
 * of, nonces that were taken, finality. */
CSL_MUST_CHECK enum csl_err csl__anchor_settle(struct csl_anchor *a, struct csl_ledger *ledger,
                                               struct csl_diag *diag);
/* The first entry that is not in a block; box->n when all are. */
size_t csl__anchor_waiting(const struct csl_anchor *a);

/* ---- anchor_back.c ---- */
/* Whether the node holds this block for the chain's at that height. */
CSL_MUST_CHECK enum csl_err csl__anchor_is_canonical(bool *yes, const struct csl_anchor *a, uint64_t number,
                                                     const uint8_t hash[CSL_HASH_BYTES], uint64_t *time_s,
                                                     struct csl_diag *diag);
/* The node shows less than was seen before: CSL_ESTALE with these words, until that has lasted
 * limits.behind_s; then CSL_OK with *go_on, and the caller goes back to what the contract holds. */
CSL_MUST_CHECK enum csl_err csl__anchor_behind(struct csl_anchor *a, bool *go_on, struct csl_diag *diag,
                                               const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Entries from there on are in no block: they wait again, with the bytes that we have; without any they are
 * begun anew. */
CSL_MUST_CHECK enum csl_err csl__anchor_back_to_waiting(struct csl_anchor *a, size_t from,
                                                        struct csl_diag *diag);
/* That the blocks of mined entries are still there. */
CSL_MUST_CHECK enum csl_err csl__anchor_check_blocks(struct csl_anchor *a, struct csl_diag *diag);
/* Fewer on the chain than are final here: the node is behind, or more blocks were reorganised than the
 * roster's confirmations allow for. Then what is left there is continued. */
CSL_MUST_CHECK enum csl_err csl__anchor_go_back(struct csl_anchor *a, uint64_t count,
                                                const struct csl_anchor_entry *newest, struct csl_diag *diag);

/* ---- anchor_send.c ---- */
/* Makes the node know every signed entry, the oldest first; raises the fees of the first when it waited too
 * long. */
CSL_MUST_CHECK enum csl_err csl__anchor_send_again(struct csl_anchor *a, struct csl_diag *diag);
/* The last entry, which is queued: estimates, signs, keeps, sends. */
CSL_MUST_CHECK enum csl_err csl__anchor_send_new(struct csl_anchor *a, struct csl_diag *diag);
/* What to offer now, within the limits; CSL_EBUSY when the chain asks for more. */
CSL_MUST_CHECK enum csl_err csl__anchor_fees(struct csl_tx *tx, struct csl_rpc *rpc,
                                             const struct csl_anchor_limits *limits, struct csl_diag *diag);
/* That the account can pay tx at its limits. */
CSL_MUST_CHECK enum csl_err csl__anchor_funds(struct csl_rpc *rpc, const uint8_t account[CSL_ADDRESS_BYTES],
                                              const struct csl_tx *tx, struct csl_diag *diag);

#endif
