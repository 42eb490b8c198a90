/* A transaction as it was signed, from a node. */
#ifndef CSL_CHAIN_RPC_RAW_H
#define CSL_CHAIN_RPC_RAW_H

#include "chain/rpc.h"

/* The signed raw bytes, put together again from the fields of eth_getTransactionByHash, since not every node
 * gives them out; their hash is the one that was asked for, so that they are right or an error (CSL_EPROTO).
 * *found is false when the node knows no such transaction. The caller frees *raw. */
CSL_MUST_CHECK enum csl_err csl_rpc_raw(struct csl_rpc *rpc, uint8_t **raw, size_t *n_raw, bool *found,
                                        const uint8_t hash[CSL_HASH_BYTES], struct csl_diag *diag);

#endif
