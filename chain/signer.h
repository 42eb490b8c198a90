/* Signs transactions with an account of ours or through a remote signer. Needs CSL_HAVE_CHAIN.
 *
 * A remote signer (Web3Signer, Clef) holds the key and is asked by JSON-RPC for the signed raw bytes. They
 * are decoded and compared with what was asked for, field by field, and their sender is recovered: a signer
 * that changes a nonce, fee, recipient, chain or data, or signs with another key, is refused (CSL_EPROTO,
 * CSL_EAUTH). It is never asked to send: the bytes must be durable here first, so that after a crash the same
 * bytes are sent again.
 */
#ifndef CSL_CHAIN_SIGNER_H
#define CSL_CHAIN_SIGNER_H

#include "chain/rpc.h"

enum csl_signer_kind {
    CSL_SIGNER_ACCOUNT, /* the key is here */
    CSL_SIGNER_WEB3,    /* eth_signTransaction: Web3Signer; also geth's form of the answer */
    CSL_SIGNER_CLEF     /* account_signTransaction: a person may have to approve */
};

struct csl_signer {
    enum csl_signer_kind kind;
    const struct csl_account *account;  /* CSL_SIGNER_ACCOUNT; borrowed */
    struct csl_rpc *remote;             /* otherwise; borrowed. Give Clef's total_ms the time of a person */
    uint8_t address[CSL_ADDRESS_BYTES]; /* who must sign; for an account its own */
};

/* Checks that the signer has the address: the account's own, or eth_accounts / account_list of the remote
 * one. CSL_ECONFIG when it has not. */
CSL_MUST_CHECK enum csl_err csl_signer_check(const struct csl_signer *signer, struct csl_diag *diag);

/* The signed raw bytes (the caller frees) and the transaction's hash. */
CSL_MUST_CHECK enum csl_err csl_signer_sign(uint8_t **raw, size_t *n_raw, uint8_t hash[CSL_HASH_BYTES],
                                            const struct csl_signer *signer, const struct csl_tx *tx,
                                            struct csl_diag *diag);

#endif
