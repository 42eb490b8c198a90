/* What a transaction should offer now. */
#include "chain/rpc_internal.h"

static uint64_t sum(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static enum csl_err ask_price(uint64_t *v, struct csl_rpc *rpc, const char *method, struct csl_diag *diag) {
    json_t *result = NULL;
    TRY(csl__rpc_ask(&result, rpc, method, json_array(), CSL__RPC_SMALL, diag));
    enum csl_err err = csl__take_u64(v, result, NULL, diag);
    json_decref(result);
    return err == CSL_OK ? CSL_OK : csl__rpc_context(diag, err, rpc, method);
}

/* The last five blocks, and the median tip of each. */
static enum csl_err ask_history(struct csl_fees *fees, struct csl_rpc *rpc, struct csl_diag *diag) {
    static const char method[] = "eth_feeHistory";
    json_t *result = NULL;
    TRY(csl__rpc_ask(&result, rpc, method, json_pack("[s, s, [i]]", "0x5", "latest", 50), CSL__RPC_SMALL,
                     diag));
    enum csl_err err = csl__take_fee_history(&fees->base_fee, &fees->priority, result, diag);
    json_decref(result);
    return err == CSL_OK ? CSL_OK : csl__rpc_context(diag, err, rpc, method);
}

/* Where nobody paid a tip, what the node thinks; a node without the method thinks of none. */
static enum csl_err ask_tip(struct csl_fees *fees, struct csl_rpc *rpc, struct csl_diag *diag) {
    enum csl_err err = ask_price(&fees->priority, rpc, "eth_maxPriorityFeePerGas", diag);
    return err == CSL_EPEER && rpc->refused == CSL_REFUSED_METHOD ? CSL_OK : err;
}

enum csl_err csl_rpc_fees(struct csl_rpc *rpc, struct csl_fees *fees, struct csl_diag *diag) {
    struct csl_fees got = {0};
    struct csl_block latest;
    bool found = false;
    TRY(csl_rpc_block(rpc, &latest, &found, CSL_LATEST, diag));
    if (!found) {
        return csl__rpc_context(diag, csl_fail(diag, CSL_EPROTO, "the node has no latest block"), rpc,
                                "eth_getBlockByNumber");
    }
    got.legacy = !latest.has_base_fee;
    if (got.legacy) {
        TRY(ask_price(&got.gas_price, rpc, "eth_gasPrice", diag));
    } else {
        enum csl_err err = ask_history(&got, rpc, diag);
        if (err == CSL_EPEER && rpc->refused == CSL_REFUSED_METHOD) {
            got.base_fee =
                sum(latest.base_fee, latest.base_fee / 8 + 1); /* EIP-1559: the most it can rise to */
        } else if (err != CSL_OK) {
            return err;
        }
        if (got.priority == 0) {
            TRY(ask_tip(&got, rpc, diag));
        }
        got.gas_price = sum(got.base_fee, got.priority);
    }
    *fees = got;
    return CSL_OK;
}
