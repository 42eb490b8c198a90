/* Logs in bounded ranges. */
#include <stdlib.h>

#include "chain/rpc_internal.h"

enum { STEP = 1000, LOGS_MAX = 100000 };
static const char method[] = "eth_getLogs";

/* NULL without memory. Topics behind the last that is asked for are left out. */
static json_t *filter_of(const struct csl_log_filter *filter, uint64_t from, uint64_t to) {
    json_t *topics = json_array();
    size_t n = CSL_LOG_TOPICS;
    int bad = topics == NULL;
    while (n > 0 && filter->topics[n - 1] == NULL) {
        n--;
    }
    for (size_t i = 0; i < n && bad == 0; i++) {
        bad = json_array_append_new(topics, filter->topics[i] == NULL
                                                ? json_null()
                                                : csl__put_bytes(filter->topics[i], CSL_HASH_BYTES));
    }
    if (bad != 0) {
        json_decref(topics);
        return NULL;
    }
    return json_pack("[{s:o, s:o, s:o, s:o}]", "fromBlock", csl__put_u64(from), "toBlock", csl__put_u64(to),
                     "address", csl__put_address(filter->address), "topics", topics);
}

/* CSL_EPROTO of a log is told with method and node; the sink's errors are its own. */
static enum csl_err hand_over(struct csl_rpc *rpc, const json_t *logs, struct csl__log_order *order,
                              const struct csl_log_filter *filter, uint64_t from, uint64_t to,
                              csl_log_sink *sink, void *arg, struct csl_diag *diag) {
    if (!json_is_array(logs)) {
        return csl__rpc_context(diag, csl_fail(diag, CSL_EPROTO, "the result is not a list of logs"), rpc,
                                method);
    }
    for (size_t i = 0; i < json_array_size(logs); i++) {
        struct csl_log log;
        uint8_t *data = NULL;
        enum csl_err err = csl__take_log(&log, &data, order, filter, from, to, json_array_get(logs, i), diag);
        if (err == CSL_OK && order->n > LOGS_MAX) {
            err = csl_fail(diag, CSL_EPROTO, "more than %d logs", LOGS_MAX);
        }
        if (err != CSL_OK) {
            free(data);
            return csl__rpc_context(diag, err, rpc, method);
        }
        err = sink(arg, &log, diag);
        free(data);
        TRY(err);
    }
    return CSL_OK;
}

enum csl_err csl_rpc_logs(struct csl_rpc *rpc, const struct csl_log_filter *filter, csl_log_sink *sink,
                          void *arg, struct csl_diag *diag) {
    struct csl__log_order order = {0};
    uint64_t step = filter->step == 0 ? STEP : filter->step, from = filter->from_block;
    while (from <= filter->to_block) {
        uint64_t left = filter->to_block - from, to = from + (left < step - 1 ? left : step - 1);
        json_t *logs = NULL;
        enum csl_err err =
            csl__rpc_ask(&logs, rpc, method, filter_of(filter, from, to), CSL__RPC_LARGE, diag);
        if (err == CSL_EPEER && rpc->refused == CSL_REFUSED_RANGE && to > from) {
            step = (to - from + 1) / 2;
            continue;
        }
        TRY(err);
        err = hand_over(rpc, logs, &order, filter, from, to, sink, arg, diag);
        json_decref(logs);
        TRY(err);
        if (to == filter->to_block) {
            break; /* from would overflow where that is 2^64 - 1 */
        }
        from = to + 1;
    }
    return CSL_OK;
}
