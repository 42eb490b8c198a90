/* The contract that checkpoints are anchored in (chain/contract/ConsiliumAnchor.sol), called and read.
 *
 * An anchor says: the ledger of this origin had `size` entries and this root when the block was made. It is
 * stored under the account that sent it, so that only the account's key can add to a member's list, and each
 * names the one before it. Nothing in the contract can be changed or removed.
 * What a node answers is checked for its form and for being a list of that kind (indices, sizes and blocks
 * that rise); whether it is the chain's is the node's word. Errors: those of chain/rpc.h; CSL_EPROTO an
 * answer that such a contract cannot have given; CSL_ECONFIG another chain, or other code. Needs
 * CSL_HAVE_CHAIN, but for the code itself, csl_contract_origin and csl_contract_put/take_anchor. All of it is
 * public.
 */
#ifndef CSL_CHAIN_CONTRACT_H
#define CSL_CHAIN_CONTRACT_H

#include "audit/merkle.h"
#include "chain/rpc.h"

/* contract_code.c: the code's last bytes are what stands on the chain. */
enum {
    CSL_CONTRACT_CREATION_BYTES = 2498,
    CSL_CONTRACT_RUNTIME_BYTES = 2471,
    CSL_CONTRACT_ORIGIN_BYTES = 32,
    CSL_CONTRACT_CALL_BYTES = 4 + 5 * 32,
    CSL_CONTRACT_ENTRIES_MAX = 4096 /* that csl_contract_entries gives at once */
};
/* A member's anchors that can be: one a second for more than a century. */
#define CSL_CONTRACT_COUNT_MAX (UINT64_C(1) << 32)
extern const uint8_t csl_contract_creation[CSL_CONTRACT_CREATION_BYTES];

/* For struct csl_rpc: the errors by which the contract refuses. */
enum csl_contract_error {
    CSL_CONTRACT_NOT_CURRENT,
    CSL_CONTRACT_NOT_LARGER,
    CSL_CONTRACT_NO_ROOT,
    CSL_CONTRACT_NO_ENTRY
};
enum { CSL_CONTRACT_ERRORS = 4 };
extern const char *const csl_contract_errors[CSL_CONTRACT_ERRORS];

struct csl_anchor_root { /* size 0: nothing, and the root is zero */
    uint64_t size;
    uint8_t root[CSL_MERKLE_BYTES];
};
bool csl_anchor_root_same(const struct csl_anchor_root *a, const struct csl_anchor_root *b);

struct csl_anchor_entry {
    uint64_t index;
    struct csl_anchor_root is;
    uint64_t block, time_s; /* of the block */
};

struct csl_contract {
    struct csl_rpc *rpc; /* borrowed; its errors are set by csl_contract_check */
    uint64_t chain_id;
    uint8_t address[CSL_ADDRESS_BYTES];
};

/* SHA-256 of a ledger's origin (audit/note.h): what stands for it on the chain. */
CSL_MUST_CHECK enum csl_err csl_contract_origin(uint8_t out[CSL_CONTRACT_ORIGIN_BYTES], const char *origin);

/* The call's data, and back: false when the contract would not take it for such a call, whatever stands
 * there. Bytes behind the arguments play no part. */
void csl_contract_put_anchor(uint8_t out[CSL_CONTRACT_CALL_BYTES],
                             const uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES],
                             const struct csl_anchor_root *previous, const struct csl_anchor_root *next);
bool csl_contract_take_anchor(uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES], struct csl_anchor_root *previous,
                              struct csl_anchor_root *next, const uint8_t *data, size_t n);

/* That the node is of this chain and has this code at the address, now. */
CSL_MUST_CHECK enum csl_err csl_contract_check(const struct csl_contract *c, struct csl_diag *diag);

/* How many anchors a member has of that origin, and the newest; *count 0 when there is none, or no contract
 * yet at that block. */
CSL_MUST_CHECK enum csl_err csl_contract_head(const struct csl_contract *c, uint64_t *count,
                                              struct csl_anchor_entry *newest,
                                              const uint8_t member[CSL_ADDRESS_BYTES],
                                              const uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES],
                                              const struct csl_block_at *at, struct csl_diag *diag);
/* Entries from..to-1 in order, which must be there (CSL_ESTALE: fewer are), page by page: memory is bounded
 * however many they are, time by rpc->until_ms. A sink that sets *enough gets no more; its errors end it. */
typedef enum csl_err csl_anchor_sink(void *arg, const struct csl_anchor_entry *e, bool *enough,
                                     struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_contract_each(const struct csl_contract *c, uint64_t from, uint64_t to,
                                              const uint8_t member[CSL_ADDRESS_BYTES],
                                              const uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES],
                                              const struct csl_block_at *at, csl_anchor_sink *sink, void *arg,
                                              struct csl_diag *diag);
/* The same as a list, of at most CSL_CONTRACT_ENTRIES_MAX; the caller frees *out. */
CSL_MUST_CHECK enum csl_err csl_contract_entries(const struct csl_contract *c, struct csl_anchor_entry **out,
                                                 uint64_t from, uint64_t to,
                                                 const uint8_t member[CSL_ADDRESS_BYTES],
                                                 const uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES],
                                                 const struct csl_block_at *at, struct csl_diag *diag);

/* The transaction and block that made an entry, by its event. *found is false when the node does not show
 * it (nodes may forget events of old blocks). */
struct csl_anchor_event {
    struct csl_anchor_root previous;
    uint8_t tx[CSL_HASH_BYTES], block_hash[CSL_HASH_BYTES];
};
CSL_MUST_CHECK enum csl_err csl_contract_event(const struct csl_contract *c, struct csl_anchor_event *out,
                                               bool *found, const struct csl_anchor_entry *entry,
                                               const uint8_t member[CSL_ADDRESS_BYTES],
                                               const uint8_t origin[CSL_CONTRACT_ORIGIN_BYTES],
                                               struct csl_diag *diag);

#endif
