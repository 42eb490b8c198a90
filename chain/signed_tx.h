/* Signed transactions as evidence: of every type that Ethereum's chains execute a call by (EIP-2718), not
 * only those that this program sends (chain/tx.h).
 *
 *   0  legacy, with EIP-155 or signed for every chain      3  EIP-4844
 *   1  EIP-2930                                            4  EIP-7702
 *   2  EIP-1559
 *
 * Strict where a chain is: canonical RLP, the fields' own lengths, tip within fee. What authorizations and
 * blobs say plays no part in the call, so that only their form is looked at. Variable time: all of it is
 * public. Errors: CSL_EDATA bytes that no chain takes; CSL_ENOMEM. Needs no chain library.
 */
#ifndef CSL_CHAIN_SIGNED_TX_H
#define CSL_CHAIN_SIGNED_TX_H

#include "chain/tx.h"

enum { CSL_SIGNED_TX_MAX = 32 * 1024 * 1024, CSL_SIGNED_TX_TYPES = 5 };

struct csl_signed_tx {
    unsigned type;
    bool any_chain; /* legacy without EIP-155; then chain_id is 0 */
    uint64_t chain_id;
    uint64_t nonce, gas_limit;
    bool creates;
    uint8_t to[CSL_ADDRESS_BYTES]; /* unless it creates */
    bool pays;                     /* sends coins along */
    const uint8_t *data;           /* borrows the raw bytes */
    size_t n_data;
    uint8_t signing_hash[CSL_HASH_BYTES]; /* what was signed: csl_account_recover gives by whom */
    struct csl_tx_signature sig;
};

CSL_MUST_CHECK enum csl_err csl_signed_tx_decode(struct csl_signed_tx *e, const uint8_t *raw, size_t n_raw,
                                                 struct csl_diag *diag);

/* The fields of each type before the signature, in order: c chain id, n nonce, p gas price, m tip, x fee,
 * g gas limit, t recipient, v value, d data, A access list, b blob fee, H blob hashes, Z authorizations. */
extern const char *const csl__signed_tx_forms[CSL_SIGNED_TX_TYPES];

#endif
