/* What the results must be: blocks, receipts, transactions, fees, logs. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chain/rpc_internal.h"

/* An object, or null for nothing. */
static enum csl_err object_or_null(bool *found, const json_t *json, struct csl_diag *diag) {
    *found = json_is_object(json);
    return *found || json_is_null(json)
               ? CSL_OK
               : csl_fail(diag, CSL_EPROTO, "the result is neither an object nor null");
}

enum csl_err csl__take_block(struct csl_block *block, bool *found, const struct csl_block_at *at,
                             const json_t *json, struct csl_diag *diag) {
    struct csl_block b = {0};
    bool is_there = false;
    TRY(object_or_null(&is_there, json, diag));
    if (is_there) {
        TRY(csl__take_u64(&b.number, json, "number", diag));
        TRY(csl__take_fixed(b.hash, sizeof b.hash, json, "hash", diag));
        TRY(csl__take_fixed(b.parent, sizeof b.parent, json, "parentHash", diag));
        TRY(csl__take_u64(&b.timestamp, json, "timestamp", diag));
        TRY(csl__take_u64(&b.gas_limit, json, "gasLimit", diag));
        b.has_base_fee = csl__has(json, "baseFeePerGas");
        if (b.has_base_fee) {
            TRY(csl__take_u64(&b.base_fee, json, "baseFeePerGas", diag));
        }
        if ((at->kind == CSL_AT_NUMBER && b.number != at->number) ||
            (at->kind == CSL_AT_HASH && memcmp(b.hash, at->hash, sizeof b.hash) != 0)) {
            return csl_fail(diag, CSL_EPROTO, "the answer is another block than was asked for");
        }
        *block = b;
    }
    *found = is_there;
    return CSL_OK;
}

/* Receipts and transactions: an address, or null where a contract is created. */
static enum csl_err take_address_or_null(uint8_t address[CSL_ADDRESS_BYTES], bool *is_there,
                                         const json_t *json, const char *field, struct csl_diag *diag) {
    *is_there = csl__has(json, field);
    return *is_there ? csl__take_fixed(address, CSL_ADDRESS_BYTES, json, field, diag) : CSL_OK;
}

static enum csl_err another(const uint8_t got[CSL_HASH_BYTES], const uint8_t want[CSL_HASH_BYTES],
                            struct csl_diag *diag) {
    return memcmp(got, want, CSL_HASH_BYTES) == 0
               ? CSL_OK
               : csl_fail(diag, CSL_EPROTO, "the answer is of another transaction than was asked for");
}

enum csl_err csl__take_receipt(struct csl_receipt *receipt, bool *found,
                               const uint8_t tx_hash[CSL_HASH_BYTES], const json_t *json,
                               struct csl_diag *diag) {
    struct csl_receipt r = {0};
    bool is_there = false, has_to = false;
    uint64_t status = 0;
    TRY(object_or_null(&is_there, json, diag));
    if (is_there) {
        TRY(csl__take_fixed(r.tx_hash, sizeof r.tx_hash, json, "transactionHash", diag));
        TRY(another(r.tx_hash, tx_hash, diag));
        is_there = csl__has(json, "blockHash"); /* some nodes give receipts of what waits */
    }
    if (is_there) {
        TRY(csl__take_fixed(r.block_hash, sizeof r.block_hash, json, "blockHash", diag));
        TRY(csl__take_u64(&r.block_number, json, "blockNumber", diag));
        TRY(csl__take_fixed(r.from, sizeof r.from, json, "from", diag));
        TRY(take_address_or_null(r.to, &has_to, json, "to", diag));
        TRY(take_address_or_null(r.contract, &r.created, json, "contractAddress", diag));
        TRY(csl__take_u64(&status, json, "status", diag));
        TRY(csl__take_u64(&r.gas_used, json, "gasUsed", diag));
        if (csl__has(json, "effectiveGasPrice")) { /* since EIP-1559 */
            TRY(csl__take_u64(&r.gas_price, json, "effectiveGasPrice", diag));
        }
        if (status > 1 || has_to == r.created) {
            return csl_fail(diag, CSL_EPROTO, "%s",
                            status > 1 ? "status is neither 0 nor 1"
                                       : "the receipt has not one of to and contractAddress");
        }
        r.succeeded = status == 1;
        *receipt = r;
    }
    *found = is_there;
    return CSL_OK;
}

enum csl_err csl__take_tx(struct csl_rpc_tx *tx, bool *found, const uint8_t hash[CSL_HASH_BYTES],
                          const json_t *json, struct csl_diag *diag) {
    struct csl_rpc_tx t = {0};
    bool is_there = false;
    TRY(object_or_null(&is_there, json, diag));
    if (is_there) {
        TRY(csl__take_fixed(t.hash, sizeof t.hash, json, "hash", diag));
        TRY(another(t.hash, hash, diag));
        TRY(csl__take_fixed(t.from, sizeof t.from, json, "from", diag));
        TRY(csl__take_u64(&t.nonce, json, "nonce", diag));
        t.mined = csl__has(json, "blockHash");
        if (t.mined) {
            TRY(csl__take_fixed(t.block_hash, sizeof t.block_hash, json, "blockHash", diag));
            TRY(csl__take_u64(&t.block_number, json, "blockNumber", diag));
        }
        *tx = t;
    }
    *found = is_there;
    return CSL_OK;
}

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* reward: for each block a list of its percentiles, of which one was asked for. */
static enum csl_err take_tip(uint64_t *tip, const json_t *rewards, struct csl_diag *diag) {
    enum { BLOCKS_MAX = 64 };
    uint64_t tips[BLOCKS_MAX];
    size_t n = 0, n_rewards = json_array_size(rewards);
    for (size_t i = 0; i < n_rewards && i < BLOCKS_MAX; i++) {
        const json_t *of_block = json_array_get(rewards, i);
        uint64_t v = 0;
        if (json_array_size(of_block) != 1) {
            return csl_fail(diag, CSL_EPROTO, "reward is not a list of one tip a block");
        }
        TRY(csl__take_u64(&v, json_array_get(of_block, 0), NULL, diag));
        if (v != 0) {
            tips[n++] = v;
        }
    }
    if (n != 0) {
        qsort(tips, n, sizeof tips[0], by_size);
        *tip = tips[n / 2];
    } else {
        *tip = 0;
    }
    return CSL_OK;
}

enum csl_err csl__take_fee_history(uint64_t *base_fee, uint64_t *tip, const json_t *json,
                                   struct csl_diag *diag) {
    const json_t *fees = json_object_get(json, "baseFeePerGas");
    size_t n = json_array_size(fees); /* 0 for what is no list */
    uint64_t next = 0, paid = 0;
    if (n == 0) {
        return csl_fail(diag, CSL_EPROTO, "baseFeePerGas is not a list of fees");
    }
    enum csl_err err = csl__take_u64(&next, json_array_get(fees, n - 1), NULL, diag);
    if (err != CSL_OK) {
        return csl_fail_context(diag, err, "baseFeePerGas");
    }
    err = take_tip(&paid, json_object_get(json, "reward"), diag);
    if (err != CSL_OK) {
        return csl_fail_context(diag, err, "reward");
    }
    *base_fee = next;
    *tip = paid;
    return CSL_OK;
}

static enum csl_err take_topics(struct csl_log *log, const struct csl_log_filter *filter, const json_t *json,
                                struct csl_diag *diag) {
    const json_t *topics = json_object_get(json, "topics");
    log->n_topics = json_array_size(topics);
    if (!json_is_array(topics) || log->n_topics > CSL_LOG_TOPICS) {
        return csl_fail(diag, CSL_EPROTO, "topics is not a list of at most %d", CSL_LOG_TOPICS);
    }
    for (size_t i = 0; i < log->n_topics; i++) {
        TRY(csl__take_fixed(log->topics[i], CSL_HASH_BYTES, json_array_get(topics, i), NULL, diag));
    }
    for (size_t i = 0; i < CSL_LOG_TOPICS; i++) {
        if (filter->topics[i] != NULL &&
            (i >= log->n_topics || memcmp(log->topics[i], filter->topics[i], CSL_HASH_BYTES) != 0)) {
            return csl_fail(diag, CSL_EPROTO, "a log has other topics than were asked for");
        }
    }
    return CSL_OK;
}

/* Blocks rise, and so do indices in one block, whose hash is one; each log comes once. */
static enum csl_err check_order(struct csl__log_order *order, const struct csl_log *log, uint64_t from,
                                uint64_t to, struct csl_diag *diag) {
    if (log->block_number < from || log->block_number > to) {
        return csl_fail(diag, CSL_EPROTO,
                        "a log is of block %" PRIu64 ", where %" PRIu64 " to %" PRIu64 " were asked for",
                        log->block_number, from, to);
    }
    if (order->n != 0 && (log->block_number < order->block ||
                          (log->block_number == order->block && log->index <= order->index))) {
        return csl_fail(diag, CSL_EPROTO, "logs are out of order or come twice (block %" PRIu64 ")",
                        log->block_number);
    }
    if (order->n != 0 && log->block_number == order->block &&
        memcmp(log->block_hash, order->block_hash, CSL_HASH_BYTES) != 0) {
        return csl_fail(diag, CSL_EPROTO, "two logs of block %" PRIu64 " name two blocks", log->block_number);
    }
    order->n++;
    order->block = log->block_number;
    order->index = log->index;
    memcpy(order->block_hash, log->block_hash, CSL_HASH_BYTES);
    return CSL_OK;
}

enum csl_err csl__take_log(struct csl_log *log, uint8_t **data, struct csl__log_order *order,
                           const struct csl_log_filter *filter, uint64_t from, uint64_t to,
                           const json_t *json, struct csl_diag *diag) {
    struct csl_log l = {0};
    if (!json_is_object(json)) {
        return csl_fail(diag, CSL_EPROTO, "a log is not an object");
    }
    if (json_is_true(json_object_get(json, "removed"))) {
        return csl_fail(diag, CSL_EPROTO, "a log is of a block that is no longer in the chain");
    }
    TRY(csl__take_fixed(l.address, sizeof l.address, json, "address", diag));
    if (filter->address != NULL && memcmp(l.address, filter->address, sizeof l.address) != 0) {
        return csl_fail(diag, CSL_EPROTO, "a log is of another contract than was asked for");
    }
    TRY(take_topics(&l, filter, json, diag));
    TRY(csl__take_u64(&l.block_number, json, "blockNumber", diag));
    TRY(csl__take_fixed(l.block_hash, sizeof l.block_hash, json, "blockHash", diag));
    TRY(csl__take_fixed(l.tx_hash, sizeof l.tx_hash, json, "transactionHash", diag));
    TRY(csl__take_u64(&l.index, json, "logIndex", diag));
    TRY(check_order(order, &l, from, to, diag));
    TRY(csl__take_bytes(data, &l.n_data, CSL_LOG_DATA_MAX, json, "data", diag));
    l.data = *data;
    *log = l;
    return CSL_OK;
}

enum csl_err csl__take_has_address(bool *has, const uint8_t address[CSL_ADDRESS_BYTES], const json_t *json,
                                   struct csl_diag *diag) {
    bool found = false;
    if (!json_is_array(json)) {
        return csl_fail(diag, CSL_EPROTO, "the result is not a list of addresses");
    }
    for (size_t i = 0; i < json_array_size(json); i++) {
        uint8_t one[CSL_ADDRESS_BYTES];
        TRY(csl__take_fixed(one, sizeof one, json_array_get(json, i), NULL, diag));
        found = found || memcmp(one, address, sizeof one) == 0;
    }
    *has = found;
    return CSL_OK;
}
