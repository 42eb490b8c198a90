/* What a node says of the contract, and of a transaction as it was signed. */
#include <stdlib.h>
#include <string.h>

#include "chain/contract_internal.h"
#include "chain/rpc_internal.h"

enum { ENTRY_WORDS = 4 };

static void take_entry(struct csl_reader *r, struct csl_anchor_entry *e) {
    csl_abi_take_bytes32(r, e->is.root);
    e->is.size = csl_abi_take_u64(r);
    e->block = csl_abi_take_u64(r);
    e->time_s = csl_abi_take_u64(r);
}

bool csl__contract_take_head(uint64_t *count, struct csl_anchor_entry *newest, const uint8_t *bytes,
                             size_t n) {
    struct csl_reader r = csl_reader_of(bytes, n);
    memset(newest, 0, sizeof *newest);
    *count = n == 0 ? 0 : csl_abi_take_u64(&r);
    if (n != 0) {
        take_entry(&r, newest);
    }
    bool empty = newest->is.size == 0;
    if (r.bad || r.left != 0 || (*count == 0) != empty || *count > CSL_CONTRACT_ENTRIES_MAX) {
        memset(newest, 0, sizeof *newest);
        *count = 0;
        return false;
    }
    newest->index = *count == 0 ? 0 : *count - 1;
    return true;
}

/* Offset, length, then four words an entry. */
bool csl__contract_take_page(struct csl_anchor_entry *out, uint64_t *given, uint64_t from, size_t most,
                             const uint8_t *bytes, size_t n) {
    struct csl_reader r = csl_reader_of(bytes, n);
    uint64_t offset = csl_abi_take_u64(&r);
    *given = csl_abi_take_u64(&r);
    bool fits =
        !r.bad && offset == CSL_ABI_WORD && *given <= most && r.left == *given * ENTRY_WORDS * CSL_ABI_WORD;
    for (size_t i = 0; fits && i < *given; i++) {
        take_entry(&r, &out[i]);
        out[i].index = from + i;
    }
    return fits && !r.bad;
}

bool csl__contract_rises(const struct csl_anchor_entry *e, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        if (e[i].is.size == 0 || (i > 0 && (e[i].is.size <= e[i - 1].is.size || e[i].block < e[i - 1].block ||
                                            e[i].time_s < e[i - 1].time_s))) {
            return false;
        }
    }
    return true;
}

bool csl__contract_take_event(struct csl_anchor_root *previous, struct csl_anchor_root *is,
                              const uint8_t *data, size_t n) {
    struct csl_reader r = csl_reader_of(data, n);
    previous->size = csl_abi_take_u64(&r);
    csl_abi_take_bytes32(&r, previous->root);
    is->size = csl_abi_take_u64(&r);
    csl_abi_take_bytes32(&r, is->root);
    return !r.bad && r.left == 0;
}

/* ---- A transaction's fields ---- */

/* r and s: quantities of at most 32 bytes. */
static enum csl_err take_256(uint8_t out[32], const json_t *json, const char *field, struct csl_diag *diag) {
    const char *text = json_string_value(json_object_get(json, field));
    size_t n = text == NULL ? 0 : strlen(text);
    char padded[2 + 64 + 1] = "0x0000000000000000000000000000000000000000000000000000000000000000";
    if (n < 3 || n > 66 || strncmp(text, "0x", 2) != 0) {
        return csl_fail(diag, CSL_EPROTO, "%s is not a number of 256 bits", field);
    }
    memcpy(padded + 66 - (n - 2), text + 2, n - 2);
    return csl_hex0x_parse(out, 32, padded)
               ? CSL_OK
               : csl_fail(diag, CSL_EPROTO, "%s is not a number of 256 bits", field);
}

/* v: 0 or 1 where typed; else 35 or 36 more than twice the chain's id (EIP-155). */
static enum csl_err take_signature(struct csl_tx_signature *sig, struct csl_tx *tx, const json_t *json,
                                   struct csl_diag *diag) {
    uint64_t v = 0;
    TRY(csl__take_u64(&v, json, "v", diag));
    if (tx->legacy && v >= 37) {
        tx->chain_id = (v - 35) / 2;
        v = (v - 35) % 2;
    }
    if (v > 1) {
        return csl_fail(diag, CSL_EPROTO, "v is not that of a signature");
    }
    sig->parity = (int)v;
    TRY(take_256(sig->rs, json, "r", diag));
    return take_256(sig->rs + 32, json, "s", diag);
}

/* *data is tx->data, which the caller frees. */
static enum csl_err take_fields(struct csl_tx *tx, struct csl_tx_signature *sig, uint8_t **data,
                                const json_t *json, struct csl_diag *diag) {
    uint64_t type = 0;
    memset(tx, 0, sizeof *tx);
    if (csl__has(json, "type")) {
        TRY(csl__take_u64(&type, json, "type", diag));
    }
    if (type != 0 && type != 2) {
        return csl_fail(diag, CSL_EPROTO, "a transaction of type %llu is not one of ours",
                        (unsigned long long)type);
    }
    tx->legacy = type == 0;
    TRY(csl__take_u64(&tx->nonce, json, "nonce", diag));
    TRY(csl__take_u64(&tx->gas_limit, json, "gas", diag));
    TRY(csl__take_wei(&tx->value, json, "value", diag));
    tx->creates = !csl__has(json, "to");
    if (!tx->creates) {
        TRY(csl__take_fixed(tx->to, sizeof tx->to, json, "to", diag));
    }
    if (tx->legacy) {
        TRY(csl__take_u64(&tx->max_fee, json, "gasPrice", diag));
    } else {
        TRY(csl__take_u64(&tx->chain_id, json, "chainId", diag));
        TRY(csl__take_u64(&tx->max_fee, json, "maxFeePerGas", diag));
        TRY(csl__take_u64(&tx->max_priority, json, "maxPriorityFeePerGas", diag));
    }
    TRY(take_signature(sig, tx, json, diag));
    TRY(csl__take_bytes(data, &tx->n_data, CSL_TX_DATA_MAX, json, "input", diag));
    tx->data = *data;
    return CSL_OK;
}

enum csl_err csl__take_raw(uint8_t **raw, size_t *n_raw, bool *found, const uint8_t hash[CSL_HASH_BYTES],
                           const json_t *json, struct csl_diag *diag) {
    uint8_t *data = NULL, is[CSL_HASH_BYTES];
    struct csl_tx tx;
    struct csl_tx_signature sig;
    enum csl_err err;
    *raw = NULL;
    *n_raw = 0;
    *found = false;
    if (json_is_null(json)) {
        return CSL_OK;
    }
    TRY_OUT(take_fields(&tx, &sig, &data, json, diag));
    TRY_OUT(csl_tx_encode(raw, n_raw, &tx, &sig, diag));
    csl_tx_hash(is, *raw, *n_raw);
    *found = memcmp(is, hash, sizeof is) == 0;
    if (!*found) {
        err = csl_fail(diag, CSL_EPROTO, "the transaction's fields do not have its hash");
        free(*raw);
        *raw = NULL;
        *n_raw = 0;
    }
out:
    free(data);
    return err;
}
