/* Transactions: EIP-1559 (type 2 of EIP-2718), and legacy ones with EIP-155 for chains that have no base fee.
 *
 * All of it is public. Encoding and decoding need no library; signing and who signed do (CSL_HAVE_CHAIN).
 * Errors: CSL_EUSAGE a transaction that no chain takes (see struct csl_tx); CSL_EDATA raw bytes that are not
 * one of these two; CSL_EAUTH a signature that is none; CSL_EPROTO signed bytes that are not what was asked
 * for; CSL_ENOMEM.
 */
#ifndef CSL_CHAIN_TX_H
#define CSL_CHAIN_TX_H

#include "chain/address.h"

struct csl_account;

enum { CSL_TX_DATA_MAX = 96 * 1024, CSL_TX_RAW_MAX = CSL_TX_DATA_MAX + 1024 };

/* Above it a legacy v would not fit 64 bits (EIP-2294). */
#define CSL_CHAIN_ID_MAX ((UINT64_MAX - 36) / 2)

struct csl_tx {
    uint64_t chain_id;             /* 1 .. CSL_CHAIN_ID_MAX */
    uint64_t nonce;                /* below 2^64 - 1 (EIP-2681) */
    bool creates;                  /* a contract, whose init code is data; then to is zero */
    uint8_t to[CSL_ADDRESS_BYTES]; /* otherwise */
    csl_wei value;                 /* nothing here sends any */
    const uint8_t *data;           /* borrowed; at most CSL_TX_DATA_MAX */
    size_t n_data;
    uint64_t gas_limit;
    bool legacy;           /* max_fee is its gas price, max_priority is zero */
    uint64_t max_fee;      /* wei a gas, the tip in it */
    uint64_t max_priority; /* wei a gas, at most max_fee */
};

struct csl_tx_signature {
    int parity;
    uint8_t rs[64];
};

/* The most that it can cost: gas_limit * max_fee + value; CSL_WEI_MAX when that overflows. */
csl_wei csl_tx_cost(const struct csl_tx *tx);

/* The hash that is signed. */
CSL_MUST_CHECK enum csl_err csl_tx_signing_hash(uint8_t hash[CSL_HASH_BYTES], const struct csl_tx *tx,
                                                struct csl_diag *diag);

/* The raw bytes with this signature; *raw is the caller's (free). */
CSL_MUST_CHECK enum csl_err csl_tx_encode(uint8_t **raw, size_t *n_raw, const struct csl_tx *tx,
                                          const struct csl_tx_signature *sig, struct csl_diag *diag);

/* Reads raw bytes back, strictly: canonical RLP, no access list (nothing here uses one), EIP-155 where
 * legacy. tx->data borrows raw. The signature is not checked here. */
CSL_MUST_CHECK enum csl_err csl_tx_decode(struct csl_tx *tx, struct csl_tx_signature *sig, const uint8_t *raw,
                                          size_t n_raw, struct csl_diag *diag);

/* A transaction's hash, by which chains know it: Keccak-256 of the raw bytes. */
void csl_tx_hash(uint8_t hash[CSL_HASH_BYTES], const uint8_t *raw, size_t n_raw);

/* CSL_OK when got is want in every field; CSL_EPROTO names the first that differs. */
CSL_MUST_CHECK enum csl_err csl_tx_compare(const struct csl_tx *got, const struct csl_tx *want,
                                           struct csl_diag *diag);

/* Signs: raw bytes to be kept before they are sent, and the transaction's hash. */
CSL_MUST_CHECK enum csl_err csl_tx_sign(uint8_t **raw, size_t *n_raw, uint8_t hash[CSL_HASH_BYTES],
                                        const struct csl_tx *tx, const struct csl_account *account,
                                        struct csl_diag *diag);

/* Who signed these raw bytes. */
CSL_MUST_CHECK enum csl_err csl_tx_sender(uint8_t address[CSL_ADDRESS_BYTES], const uint8_t *raw,
                                          size_t n_raw, struct csl_diag *diag);

#endif
