/* A node's answers: the first byte says to which question, the rest is the answer's body. */
#include <stdlib.h>
#include <string.h>

#include "chain/rpc_internal.h"

static void take(uint8_t question, const json_t *result) {
    static const uint8_t hash[CSL_HASH_BYTES] = {0}, address[CSL_ADDRESS_BYTES] = {0};
    static const struct csl_log_filter filter = {.address = address};
    struct csl__log_order order = {0};
    struct csl_block block;
    struct csl_receipt receipt;
    struct csl_rpc_tx tx;
    struct csl_log log;
    uint64_t a = 0, b = 0;
    csl_wei wei = 0;
    uint8_t *bytes = NULL;
    size_t n = 0;
    bool found = false;
    switch (question % 8) {
    case 0:
        (void)!csl__take_block(&block, &found, CSL_LATEST, result, NULL);
        break;
    case 1:
        (void)!csl__take_receipt(&receipt, &found, hash, result, NULL);
        break;
    case 2:
        (void)!csl__take_tx(&tx, &found, hash, result, NULL);
        break;
    case 3:
        (void)!csl__take_fee_history(&a, &b, result, NULL);
        break;
    case 4:
        for (size_t i = 0; i < json_array_size(result); i++) {
            bytes = NULL;
            (void)!csl__take_log(&log, &bytes, &order, &filter, 0, UINT64_MAX, json_array_get(result, i),
                                 NULL);
            free(bytes);
        }
        return;
    case 5:
        (void)!csl__take_u64(&a, result, NULL, NULL);
        (void)!csl__take_wei(&wei, result, NULL, NULL);
        break;
    case 6:
        (void)!csl__take_bytes(&bytes, &n, CSL_TX_RAW_MAX, result, json_is_object(result) ? "raw" : NULL,
                               NULL);
        break;
    default:
        (void)!csl__take_has_address(&found, address, result, NULL);
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const errors[] = {"Stale(uint64,bytes32)", "Not(address,bool,uint256)"};
    struct csl_rpc rpc = {.url = "http://127.0.0.1", .errors = errors, .n_errors = 2};
    struct csl_diag diag = {{0}};
    json_t *result = NULL;
    if (size == 0) {
        return 0;
    }
    enum csl_err err = csl__rpc_parse(&result, &rpc, 1, (const char *)data + 1, size - 1, &diag);
    if (err == CSL_OK) {
        take(data[0], result);
    } else if (diag.text[0] == 0 || strlen(rpc.revert) >= sizeof rpc.revert) {
        abort();
    }
    json_decref(result);
    return 0;
}
