/* Anchoring a site's ledger: one step at a time, each safe to be cut off anywhere.
 *
 * A step asks the node what became of what is under way, sends again what it does not know, raises fees where
 * an anchor waits too long, and takes the ledger's newest checkpoint when none waits:
 *
 *   queued -> signed (raw bytes, nonce and hash on the disk before they are first sent) -> mined -> final
 *
 * Nothing is anchored twice: the contract takes only what continues its newest anchor, and what it holds is
 * read before anything is signed; so a restored backup of the outbox finds the anchors that it does not know.
 * Nothing is lost: each checkpoint covers all entries before it.
 *
 * Refused, each with the reason and what to do: another chain id or contract; development keys
 * (csl_anchor_open); fees, gas or costs above the limits; anchors on the chain that the ledger does not
 * contain (CSL_EAUTH: it was rolled back, or somebody else has the account's key).
 * An error of csl_anchor_step for which csl_anchor_again() is true passes by itself or by somebody's help at
 * the node or account: call it again later. Needs CSL_HAVE_CHAIN. Variable time. One thread.
 */
#ifndef CSL_CHAIN_ANCHOR_H
#define CSL_CHAIN_ANCHOR_H

#include "audit/ledger.h"
#include "chain/outbox.h"
#include "chain/signer.h"

struct csl_anchor_limits {
    uint64_t max_fee;      /* wei a gas, base fee and tip together; all that bounds a legacy price */
    uint64_t max_priority; /* wei a gas, the tip: what a lying node could drain where there is a base fee */
    uint64_t gas_limit;    /* of one anchor */
    uint32_t resend_s;     /* an anchor that waits longer is sent again with higher fees */
    uint32_t behind_s;     /* a node that shows less than was seen is waited for so long, then believed */
    unsigned reverts;      /* this many anchors in a row that were mined and refused: CSL_EPERM */
};
extern const struct csl_anchor_limits csl_anchor_limits_default;

/* Where a crash may come; for tests. Each is right behind the write or call that it names. */
enum csl_anchor_point {
    CSL_POINT_QUEUED,
    CSL_POINT_SIGNED,     /* on the disk, not sent */
    CSL_POINT_SENT,       /* the node has it */
    CSL_POINT_SEEN,       /* its receipt was read, not written */
    CSL_POINT_MINED,      /* written */
    CSL_POINT_FINAL_LINE, /* in final.jsonl, still in the outbox */
    CSL_POINT_FINAL,
    CSL_POINTS
};

struct csl_anchor_options {
    const char *state;  /* the site's folder for it; made when missing */
    const char *origin; /* of the ledger's checkpoints */
    uint32_t confirmations;
    struct csl_contract contract;    /* its rpc is borrowed */
    const struct csl_signer *signer; /* borrowed */
    struct csl_anchor_limits limits;
    bool after_reverts;          /* go on although limits.reverts is reached: somebody looked into it */
    int64_t (*now_s)(void *arg); /* NULL: the clock */
    void (*at)(void *arg, enum csl_anchor_point point); /* NULL as a rule */
    void (*say)(void *arg, const char *text);           /* what happened, a line; NULL: nobody listens */
    void *arg;
};

struct csl_anchor;
CSL_MUST_CHECK enum csl_err csl_anchor_open(struct csl_anchor **out, const struct csl_anchor_options *opt,
                                            struct csl_diag *diag);
void csl_anchor_close(struct csl_anchor *a); /* NULL is allowed */

/* "<state>/<chain>-<contract>-<account>", where the outbox of these lies. */
CSL_MUST_CHECK enum csl_err csl_anchor_dir(char out[CSL__PATH_MAX], const char *state, uint64_t chain_id,
                                           const uint8_t contract[CSL_ADDRESS_BYTES],
                                           const uint8_t account[CSL_ADDRESS_BYTES], struct csl_diag *diag);

/* One step. take: a new checkpoint may be begun now. */
CSL_MUST_CHECK enum csl_err csl_anchor_step(struct csl_anchor *a, struct csl_ledger *ledger, bool take,
                                            struct csl_diag *diag);
bool csl_anchor_again(enum csl_err err);

struct csl_anchor_progress {
    uint64_t final, mined, anchored; /* entries of the ledger that are covered by a final anchor; by one in a
                                        block; by one that was begun */
    size_t waiting;                  /* anchors that are not in a block */
    const struct csl_outbox *outbox; /* borrowed */
};
void csl_anchor_progress(const struct csl_anchor *a, struct csl_anchor_progress *out);

/* Puts the contract on the chain with a transaction of the signer's account, waits for its block until
 * wait_ms have passed, and checks its code. Limits as above, gas_limit apart. kept: a file that gets the
 * signed bytes
 * ("0x", hex digits, end of line) before they are sent, and stays; where it is there already, with this
 * contract's creation by this account on this chain, that transaction's receipt is looked for, or it is sent
 * again: nothing is signed anew. Its folder must exist. CSL_ETIMEOUT: it may still come; CSL_ESTALE: another
 * transaction took its nonce; CSL_EDATA: the file is of something else, or damaged; CSL_EBUSY: another
 * process is at it. */
CSL_MUST_CHECK enum csl_err csl_anchor_deploy(uint8_t contract[CSL_ADDRESS_BYTES], uint8_t tx[CSL_HASH_BYTES],
                                              uint64_t *gas_used, struct csl_rpc *rpc, uint64_t chain_id,
                                              const struct csl_signer *signer,
                                              const struct csl_anchor_limits *limits, uint32_t wait_ms,
                                              const char *kept, struct csl_diag *diag);

#endif
