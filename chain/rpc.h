/* A chain's node by JSON-RPC (Ethereum execution API) over HTTP. Needs libcurl (CSL_HAVE_CHAIN).
 *
 * A node is not trusted: every answer is checked for its form (id, types, lengths, quantities without leading
 * zeros, sizes), and for being an answer to what was asked (the block of that number, the receipt of that
 * hash, logs of that address). What a node says of the chain stays its word.
 *
 * Errors: those of csl_http; CSL_EPROTO an answer that is not as the specification says; CSL_EPEER the node
 * refused (an error object): rpc->refused says in what way, as far as one can tell, and the sentence has the
 * node's own words, made printable; with CSL_REFUSED_NOT the connection ended before there was an answer.
 * Every sentence names the method and the node. Variable time. A struct is used by one thread at a time.
 */
#ifndef CSL_CHAIN_RPC_H
#define CSL_CHAIN_RPC_H

#include <signal.h>

#include "chain/abi.h"
#include "chain/tx.h"

/* How a node refuses. Clients differ in words, hence in part by their messages' text. */
enum csl_rpc_refusal {
    CSL_REFUSED_NOT,
    CSL_REFUSED_OTHER,       /* the sentence has the reason */
    CSL_REFUSED_REVERT,      /* the contract said no: rpc->revert, rpc->revert_known */
    CSL_REFUSED_KNOWN,       /* it has this very transaction already */
    CSL_REFUSED_NONCE_LOW,   /* the nonce was used: by this transaction if that was mined, or by another */
    CSL_REFUSED_NONCE_HIGH,  /* nonces before it are missing */
    CSL_REFUSED_UNDERPRICED, /* fees too low: below the base fee or the pool's floor, or too little more than
                                those of the transaction that it would replace */
    CSL_REFUSED_FUNDS,       /* the account cannot pay gas_limit * max_fee */
    CSL_REFUSED_CHAIN_ID,    /* signed for another chain */
    CSL_REFUSED_METHOD,      /* the node has no such method */
    CSL_REFUSED_RANGE        /* too many blocks or logs at once */
};

struct csl_rpc {
    const char *url;                        /* borrowed */
    const char *ca_file;                    /* as in net/http/http.h */
    uint32_t connect_ms, total_ms, idle_ms; /* of one question */
    /* Of all together: no question begins or lasts beyond this time of CLOCK_MONOTONIC (CSL_ETIMEOUT); 0:
     * none. Nor does one begin when *stopped is set (NULL: never), as by a signal. */
    int64_t until_ms;
    const volatile sig_atomic_t *stopped;
    /* The contract's own errors (csl_abi_revert_text); borrowed, may be NULL. */
    const char *const *errors;
    size_t n_errors;
    /* Of the last call. */
    enum csl_rpc_refusal refused;
    char revert[CSL_REVERT_TEXT]; /* "" unless CSL_REFUSED_REVERT */
    int revert_known;             /* index into errors, or -1 */
    uint64_t last_id;
};

/* Which block: a tag, a number or a hash (EIP-1898). */
struct csl_block_at {
    enum { CSL_AT_LATEST, CSL_AT_PENDING, CSL_AT_SAFE, CSL_AT_FINALIZED, CSL_AT_NUMBER, CSL_AT_HASH } kind;
    uint64_t number;
    uint8_t hash[CSL_HASH_BYTES];
};
#define CSL_LATEST (&(const struct csl_block_at){.kind = CSL_AT_LATEST})
#define CSL_PENDING (&(const struct csl_block_at){.kind = CSL_AT_PENDING})

struct csl_block {
    uint64_t number;
    uint8_t hash[CSL_HASH_BYTES], parent[CSL_HASH_BYTES];
    uint64_t timestamp; /* seconds since 1970 */
    uint64_t gas_limit;
    bool has_base_fee; /* false: a chain without EIP-1559 */
    uint64_t base_fee; /* wei a gas */
};

/* Now, of CLOCK_MONOTONIC. */
int64_t csl_rpc_now_ms(void);

CSL_MUST_CHECK enum csl_err csl_rpc_chain_id(struct csl_rpc *rpc, uint64_t *id, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_rpc_block_number(struct csl_rpc *rpc, uint64_t *number,
                                                 struct csl_diag *diag);

/* *found is false when the node has no such block. Not for CSL_AT_PENDING (CSL_EUSAGE): it has no hash. */
CSL_MUST_CHECK enum csl_err csl_rpc_block(struct csl_rpc *rpc, struct csl_block *block, bool *found,
                                          const struct csl_block_at *at, struct csl_diag *diag);

/* The account's next nonce at that block: CSL_LATEST counts what is mined, CSL_PENDING also what waits. */
CSL_MUST_CHECK enum csl_err csl_rpc_nonce(struct csl_rpc *rpc, uint64_t *nonce,
                                          const uint8_t address[CSL_ADDRESS_BYTES],
                                          const struct csl_block_at *at, struct csl_diag *diag);
CSL_MUST_CHECK enum csl_err csl_rpc_balance(struct csl_rpc *rpc, csl_wei *wei,
                                            const uint8_t address[CSL_ADDRESS_BYTES],
                                            const struct csl_block_at *at, struct csl_diag *diag);
/* The code at an address; none: *n is 0 and *code NULL. The caller frees. */
CSL_MUST_CHECK enum csl_err csl_rpc_code(struct csl_rpc *rpc, uint8_t **code, size_t *n,
                                         const uint8_t address[CSL_ADDRESS_BYTES],
                                         const struct csl_block_at *at, struct csl_diag *diag);

/* What a transaction should offer now, in wei a gas. */
struct csl_fees {
    bool legacy;       /* no base fee: gas_price alone */
    uint64_t base_fee; /* of the next block */
    uint64_t priority; /* the median tip that was paid in the last blocks; at least what the node's
                          eth_maxPriorityFeePerGas says when no block had any */
    uint64_t gas_price;
};

/* eth_feeHistory (the base fee of the next block and tips); eth_gasPrice where there is no base fee. The
 * caller keeps limits of its own: a node can say anything. */
CSL_MUST_CHECK enum csl_err csl_rpc_fees(struct csl_rpc *rpc, struct csl_fees *fees, struct csl_diag *diag);

struct csl_call {
    const uint8_t *from; /* CSL_ADDRESS_BYTES; NULL: nobody */
    const uint8_t *to;   /* NULL: a creation (csl_rpc_estimate_gas only) */
    const uint8_t *data;
    size_t n_data;
};

/* The gas it would take on top of the latest block. A revert is CSL_EPEER with CSL_REFUSED_REVERT. */
CSL_MUST_CHECK enum csl_err csl_rpc_estimate_gas(struct csl_rpc *rpc, uint64_t *gas,
                                                 const struct csl_call *call, struct csl_diag *diag);
/* What it returns, at most 1 MiB; the caller frees *out (NULL when *n is 0). */
CSL_MUST_CHECK enum csl_err csl_rpc_call(struct csl_rpc *rpc, uint8_t **out, size_t *n,
                                         const struct csl_call *call, const struct csl_block_at *at,
                                         struct csl_diag *diag);

/* Sends raw bytes. The node must answer with their hash. CSL_EPEER: see rpc->refused; CSL_REFUSED_KNOWN is as
 * good as sent. After anything else (CSL_EPEER with CSL_REFUSED_NOT, too) it may have been sent or not: ask
 * for the hash, or send the same bytes again. */
CSL_MUST_CHECK enum csl_err csl_rpc_send(struct csl_rpc *rpc, const uint8_t *raw, size_t n_raw,
                                         struct csl_diag *diag);

struct csl_receipt {
    uint8_t tx_hash[CSL_HASH_BYTES];
    uint8_t block_hash[CSL_HASH_BYTES];
    uint64_t block_number;
    uint8_t from[CSL_ADDRESS_BYTES];
    bool created; /* a contract, at `contract`; otherwise it was sent to `to` */
    uint8_t contract[CSL_ADDRESS_BYTES], to[CSL_ADDRESS_BYTES];
    bool succeeded; /* status 1; false: it was mined and reverted, and has cost its gas */
    uint64_t gas_used;
    uint64_t gas_price; /* paid, wei a gas */
};

/* *found is false while it is not in a block that the node holds for the chain's. */
CSL_MUST_CHECK enum csl_err csl_rpc_receipt(struct csl_rpc *rpc, struct csl_receipt *receipt, bool *found,
                                            const uint8_t tx_hash[CSL_HASH_BYTES], struct csl_diag *diag);

struct csl_rpc_tx {
    uint8_t hash[CSL_HASH_BYTES];
    uint8_t from[CSL_ADDRESS_BYTES];
    uint64_t nonce;
    bool mined; /* then in this block; otherwise it waits in the node's pool */
    uint8_t block_hash[CSL_HASH_BYTES];
    uint64_t block_number;
};

/* *found is false when the node knows no such transaction. */
CSL_MUST_CHECK enum csl_err csl_rpc_transaction(struct csl_rpc *rpc, struct csl_rpc_tx *tx, bool *found,
                                                const uint8_t hash[CSL_HASH_BYTES], struct csl_diag *diag);

enum { CSL_LOG_TOPICS = 4, CSL_LOG_DATA_MAX = 4096 };

struct csl_log {
    uint8_t address[CSL_ADDRESS_BYTES];
    uint8_t topics[CSL_LOG_TOPICS][CSL_HASH_BYTES];
    size_t n_topics;
    const uint8_t *data; /* borrowed for the callback */
    size_t n_data;
    uint64_t block_number;
    uint8_t block_hash[CSL_HASH_BYTES];
    uint8_t tx_hash[CSL_HASH_BYTES];
    uint64_t index; /* in its block */
};

struct csl_log_filter {
    const uint8_t *address;                /* the contract */
    const uint8_t *topics[CSL_LOG_TOPICS]; /* NULL: any */
    uint64_t from_block, to_block;         /* inclusive */
    uint32_t step;                         /* blocks asked for at once; 0: 1,000 */
};

/* Takes a log; any error ends the call with it. */
typedef enum csl_err csl_log_sink(void *arg, const struct csl_log *log, struct csl_diag *diag);

/* The contract's logs in order of block and index, each once: asked for in ranges of `step` blocks, which are
 * halved where the node says that is too much. Every log is checked against the filter. At most 100,000.
 * to_block is at most the node's newest: some refuse more, others leave out what comes later. */
CSL_MUST_CHECK enum csl_err csl_rpc_logs(struct csl_rpc *rpc, const struct csl_log_filter *filter,
                                         csl_log_sink *sink, void *arg, struct csl_diag *diag);

#endif
