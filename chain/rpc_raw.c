#include "chain/rpc_raw.h"

#include <stdlib.h>
#include <string.h>

#include "chain/rpc_internal.h"

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

enum csl_err csl_rpc_raw(struct csl_rpc *rpc, uint8_t **raw, size_t *n_raw, bool *found,
                         const uint8_t hash[CSL_HASH_BYTES], struct csl_diag *diag) {
    static const char method[] = "eth_getTransactionByHash";
    json_t *json = NULL;
    uint8_t *data = NULL, is[CSL_HASH_BYTES];
    struct csl_tx tx;
    struct csl_tx_signature sig;
    *raw = NULL;
    *n_raw = 0;
    *found = false;
    TRY(csl__rpc_ask(&json, rpc, method, json_pack("[o]", csl__put_bytes(hash, CSL_HASH_BYTES)),
                     CSL__RPC_LARGE, diag));
    enum csl_err err = CSL_OK;
    if (json_is_null(json)) {
        goto out;
    }
    TRY_OUT(take_fields(&tx, &sig, &data, json, diag));
    TRY_OUT(csl_tx_encode(raw, n_raw, &tx, &sig, diag));
    csl_tx_hash(is, *raw, *n_raw);
    if (memcmp(is, hash, sizeof is) != 0) {
        err = csl_fail(diag, CSL_EPROTO, "the transaction's fields do not have its hash");
        goto out;
    }
    *found = true;
out:
    if (err != CSL_OK) {
        free(*raw);
        *raw = NULL;
        *n_raw = 0;
        err = csl__rpc_context(diag, err, rpc, method);
    }
    free(data);
    json_decref(json);
    return err;
}
